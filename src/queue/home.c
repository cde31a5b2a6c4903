/* SPDX-License-Identifier: ISC */
/* home.c - the queue's directory: made, locked, listed; see recover.h */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "queue/recover.h"

#include "banned.h"

static void
mkdir_step(struct recover *rec, int64_t res)
{
	struct queue *q = rec->q;
	const char *slash = strrchr(q->conf.dir, '/');

	if (res < 0 && res != -EEXIST) {
		recover_fail(rec, (int)res);
		return;
	}
	if (res == -EEXIST || slash == NULL) {
		recover_step(rec, R_DIR);
		loop_open(recover_loop(rec), &rec->op, q->conf.dir,
		    O_RDONLY | O_DIRECTORY, 0);
		return;
	}
	memcpy(rec->path, q->conf.dir, (size_t)(slash - q->conf.dir) + 1);
	rec->path[slash - q->conf.dir + (slash == q->conf.dir)] = '\0';
	recover_step(rec, R_PARENT_OPEN);
	loop_open(recover_loop(rec), &rec->op, rec->path,
	    O_RDONLY | O_DIRECTORY, 0);
}

static void
parent_step(struct recover *rec, int64_t res)
{
	switch (rec->state) {
	case R_PARENT_OPEN:
		if (res < 0) {	/* not readable: then it is not synced */
			mkdir_step(rec, -EEXIST);
			return;
		}
		rec->fd = (int)res;
		recover_step(rec, R_PARENT_SYNC);
		loop_fsync(recover_loop(rec), &rec->op, rec->fd);
		return;
	case R_PARENT_SYNC:
		recover_step(rec, R_PARENT_CLOSE);
		loop_close(recover_loop(rec), &rec->op, rec->fd);
		rec->fd = -1;
		return;
	default:
		mkdir_step(rec, -EEXIST);
		return;
	}
}

static void
dir_step(struct recover *rec, int64_t res)
{
	struct queue *q = rec->q;

	if (res < 0) {
		recover_fail(rec, (int)res);
		return;
	}
	q->dirfd = (int)res;
	recover_step(rec, R_LOCK_OPEN);
	loop_open(recover_loop(rec), &rec->op, queue_path(q, rec->path, "lock"),
	    O_RDWR | O_CREAT, 0600);
}

static void
lock_open_step(struct recover *rec, int64_t res)
{
	if (res < 0) {
		recover_fail(rec, (int)res);
		return;
	}
	rec->q->lock_fd = (int)res;
	recover_step(rec, R_LOCK);
	loop_lock(recover_loop(rec), &rec->op, rec->q->lock_fd);
}

static void
lock_step(struct recover *rec, int64_t res)
{
	if (res < 0) {
		recover_fail(rec, res == -EAGAIN ? -EBUSY : (int)res);
		return;
	}
	recover_step(rec, R_LIST);
	loop_list(recover_loop(rec), &rec->op, rec->q->conf.dir);
}

/* "0123456789abcdef.seg", and no other spelling. */
static bool
parse_name(const char *name, uint64_t *ret_number)
{
	uint64_t n = 0;
	int i, d;

	for (i = 0; i < 16; i++) {
		if (name[i] >= '0' && name[i] <= '9')
			d = name[i] - '0';
		else if (name[i] >= 'a' && name[i] <= 'f')
			d = name[i] - 'a' + 10;
		else
			return false;
		n = n << 4 | (uint64_t)d;
	}
	*ret_number = n;
	return strcmp(name + 16, ".seg") == 0;
}

static int
take_names(struct recover *rec)
{
	struct queue *q = rec->q;
	struct segment *seg;
	uint64_t number;
	size_t i;

	for (i = 0; i < rec->op.list.n; i++) {
		if (!parse_name(rec->op.list.names[i], &number))
			continue;
		seg = segment_new(q, number);
		if (seg == NULL)
			return -ENOMEM;
		seg->sealed = true;
		segment_append(q, seg);
		/* A name at the very end of the numbers is nobody's. */
		if (number < UINT64_MAX / 2)
			q->number = at_least(q->number, number);
	}
	return 0;
}

static void
list_step(struct recover *rec, int64_t res)
{
	int r = (int)res;

	if (res >= 0) {
		r = take_names(rec);
		op_list_free(&rec->op);
	}
	if (r < 0) {
		recover_fail(rec, r);
		return;
	}
	if (rec->q->look != NULL) {
		recover_pass(rec, HEADS);
		return;
	}
	recover_step(rec, R_SPARE_STAT);
	loop_stat(recover_loop(rec), &rec->op,
	    queue_path(rec->q, rec->path, "spare"));
}

/* A whole spare is kept: on a full disk there would be no other. */
static void
spare_step(struct recover *rec, int64_t res)
{
	struct queue *q = rec->q;

	if (res < 0) {
		recover_pass(rec, HEADS);
		return;
	}
	queue_path(q, rec->path, "spare");
	if (rec->op.stat.type == LOOP_FILE &&
	    rec->op.stat.size == q->conf.segment_bytes) {
		recover_step(rec, R_SPARE_OPEN);
		loop_open(recover_loop(rec), &rec->op, rec->path,
		    O_RDWR | (q->direct ? O_DIRECT : 0), 0);
		return;
	}
	if (rec->op.stat.type == LOOP_DIR) {
		recover_step(rec, R_SPARE_MKDIR);
		loop_mkdir(recover_loop(rec), &rec->op,
		    queue_path(q, rec->path, "quarantine"), 0700);
		return;
	}
	recover_step(rec, R_SPARE_UNLINK);
	loop_unlink(recover_loop(rec), &rec->op, rec->path);
}

/* A directory of that name: somebody's, but it cannot stay there. */
static void
spare_move_step(struct recover *rec)
{
	struct queue *q = rec->q;
	char name[PATH_ROOM];

	(void)snprintf(name, sizeof(name), "quarantine/spare-%llx",
	    (unsigned long long)loop_wall(q->env->loop));
	recover_step(rec, R_SPARE_UNLINK);
	loop_rename(recover_loop(rec), &rec->op,
	    queue_path(q, rec->path, "spare"),
	    queue_path(q, q->j.path, name));
}

static void
spare_open_step(struct recover *rec, int64_t res)
{
	struct queue *q = rec->q;

	if (res >= 0) {
		q->j.spare_fd = (int)res;
		q->j.spare_size = q->conf.segment_bytes;
		q->j.spare = SPARE_READY;
	}
	recover_pass(rec, HEADS);
}

void
home_open(struct recover *rec)
{
	if (rec->q->look != NULL) {
		recover_step(rec, R_LIST);
		loop_list(recover_loop(rec), &rec->op, rec->q->conf.dir);
		return;
	}
	recover_step(rec, R_MKDIR);
	loop_mkdir(recover_loop(rec), &rec->op, rec->q->conf.dir, 0700);
}

void
home_step(struct recover *rec, int64_t res)
{
	switch (rec->state) {
	case R_MKDIR:		mkdir_step(rec, res);		break;
	case R_PARENT_OPEN:
	case R_PARENT_SYNC:
	case R_PARENT_CLOSE:	parent_step(rec, res);		break;
	case R_DIR:		dir_step(rec, res);		break;
	case R_LOCK_OPEN:	lock_open_step(rec, res);	break;
	case R_LOCK:		lock_step(rec, res);		break;
	case R_LIST:		list_step(rec, res);		break;
	case R_SPARE_STAT:	spare_step(rec, res);		break;
	case R_SPARE_OPEN:	spare_open_step(rec, res);	break;
	case R_SPARE_UNLINK:	recover_pass(rec, HEADS);	break;
	case R_SPARE_MKDIR:	spare_move_step(rec);		break;
	default:		must(false);
	}
}
