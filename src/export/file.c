/* SPDX-License-Identifier: ISC */
/* file.c - OTLP/JSON lines in rotated files; the contract is in file.h */

#include "export/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/must.h"
#include "banned.h"

#define PATH_CAP	512
#define TAIL_BLOCK	65536

/* What the one op under way is for. */
enum step {
	IDLE, MKDIR, LIST, STAT, OPEN, READ_TAIL, CUT, WRITE, NEWLINE, SYNC,
	CLOSE_OLD, RENAME, DROP_OLD, SYNC_DIR_OPEN, SYNC_DIR, SYNC_DIR_CLOSE,
	CLOSE
};

struct efile {
	struct env	*env;
	char		 dir[PATH_CAP - 32];
	uint64_t	 bytes_max;
	unsigned	 files_keep;

	struct op	 op;
	enum step	 step;
	bool		 opening;	/* efile_open is under way */
	bool		 spoiled;	/* a write or sync failed on fd */
	int		 fd;
	int		 dir_fd;
	uint64_t	 size;
	uint64_t	 oldest;	/* numbers of complete files; 0: none */
	uint64_t	 newest;
	char		 path[PATH_CAP];
	char		 path2[PATH_CAP];
	uint8_t		*tail;		/* while looking at the last line */
	uint64_t	 tail_at;
	uint64_t	 whole;		/* end of the last line; 0: not seen */
	bool		 holes;		/* it has bytes no JSON has */

	struct bytes	 line;
	size_t		 line_at;
	void		(*done)(void *arg, int res);
	void		*done_arg;
	void		(*closed)(void *arg);
	void		*closed_arg;
};

static void	 stepped(struct op *op);

static void
path_current(struct efile *f)
{
	snprintf(f->path, sizeof(f->path), "%s/logs.jsonl", f->dir);
}

static void
path_numbered(struct efile *f, char path[PATH_CAP], uint64_t n)
{
	snprintf(path, PATH_CAP, "%s/logs-%08llu.jsonl", f->dir,
	    (unsigned long long)n);
}

int
efile_new(struct efile **ret_f, struct env *env, const struct efile_conf *conf)
{
	struct efile *f;

	f = env_alloc(env, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	f->env = env;
	snprintf(f->dir, sizeof(f->dir), "%s", conf->dir);
	f->bytes_max = conf->bytes_max;
	f->files_keep = conf->files_keep;
	f->fd = f->dir_fd = -1;
	op_init(&f->op, stepped, f);
	*ret_f = f;
	return 0;
}

void
efile_free(struct efile **fp)
{
	struct efile *f = *fp;

	if (f == NULL)
		return;
	must(f->step == IDLE && f->fd < 0);
	env_free(f->env, f->tail);
	env_free(f->env, f);
	*fp = NULL;
}

static void
finish(struct efile *f, int res)
{
	void (*done)(void *, int) = f->done;

	f->step = IDLE;
	f->opening = false;
	env_free(f->env, f->tail);
	f->tail = NULL;
	f->done = NULL;
	done(f->done_arg, res);
}

static void
open_current(struct efile *f)
{
	f->step = OPEN;
	path_current(f);
	loop_open(f->env->loop, &f->op, f->path, O_RDWR | O_CREAT | O_NOFOLLOW,
	    0640);
}

/* The directory's entries must be durable before a line in a new file is. */
static void
sync_dir(struct efile *f)
{
	f->step = SYNC_DIR_OPEN;
	loop_open(f->env->loop, &f->op, f->dir, O_RDONLY | O_DIRECTORY, 0);
}

static void
write_line(struct efile *f)
{
	f->step = WRITE;
	loop_write(f->env->loop, &f->op, f->fd, f->line.p + f->line_at,
	    f->line.n - f->line_at, f->size + f->line_at);
}

static void
ready_to_write(struct efile *f)
{
	if (f->opening)
		finish(f, 0);
	else
		write_line(f);
}

/* Looks for the last line, a block at a time from the end. */
static void
read_tail(struct efile *f, uint64_t end)
{
	f->tail_at = end > TAIL_BLOCK ? end - TAIL_BLOCK : 0;
	if (f->tail == NULL)
		f->tail = env_alloc(f->env, TAIL_BLOCK);
	if (f->tail == NULL) {
		finish(f, -ENOMEM);
		return;
	}
	f->step = READ_TAIL;
	loop_read(f->env->loop, &f->op, f->fd, f->tail,
	    (size_t)(end - f->tail_at), f->tail_at);
}

static void
cut_torn(struct efile *f, uint64_t whole)
{
	if (whole == f->size) {
		sync_dir(f);
		return;
	}
	f->size = whole;
	f->step = CUT;
	loop_truncate(f->env->loop, &f->op, f->fd, whole);
}

/*
 * The last line is whole when a newline ends it and every sector of it came
 * to the disk: a lost one is all zeros.  Else it is cut off: only one line
 * was ever under way, and nobody was told that it was there.
 */
static void
tail_read(struct efile *f, int64_t n)
{
	const uint8_t *end, *nl;

	if (n <= 0) {
		cut_torn(f, 0);
		return;
	}
	end = f->tail + n;
	if (f->whole == 0) {
		nl = memrchr(f->tail, '\n', (size_t)n);
		if (nl != NULL)
			f->whole = f->tail_at + (uint64_t)(nl - f->tail) + 1;
		end = nl;
	}
	if (end != NULL) {
		n = end - f->tail;
		nl = memrchr(f->tail, '\n', (size_t)n);
		end = nl == NULL ? f->tail : nl + 1;
		if (memchr(end, '\0', (size_t)n - (size_t)(end - f->tail)))
			f->holes = true;
		if (nl != NULL || f->tail_at == 0) {
			cut_torn(f, f->holes ? f->tail_at +
			    (uint64_t)(end - f->tail) : f->whole);
			return;
		}
	}
	if (f->tail_at == 0)
		cut_torn(f, 0);
	else
		read_tail(f, f->tail_at);
}

static void
listed(struct efile *f)
{
	uint64_t n;
	size_t i;
	char *end;

	for (i = 0; i < f->op.list.n; i++) {
		if (strncmp(f->op.list.names[i], "logs-", 5) != 0)
			continue;
		n = strtoull(f->op.list.names[i] + 5, &end, 10);
		if (n == 0 || strcmp(end, ".jsonl") != 0)
			continue;
		if (f->oldest == 0 || n < f->oldest)
			f->oldest = n;
		if (n > f->newest)
			f->newest = n;
	}
	op_list_free(&f->op);
	f->step = STAT;
	path_current(f);
	loop_stat(f->env->loop, &f->op, f->path);
}

static void
close_old(struct efile *f)
{
	int fd = f->fd;

	f->step = CLOSE_OLD;
	f->fd = -1;
	loop_close(f->env->loop, &f->op, fd);
}

static void
rename_old(struct efile *f)
{
	f->newest++;
	if (f->oldest == 0)
		f->oldest = f->newest;
	f->step = RENAME;
	path_current(f);
	path_numbered(f, f->path2, f->newest);
	loop_rename(f->env->loop, &f->op, f->path, f->path2);
}

static void
drop_old(struct efile *f)
{
	if (f->oldest == 0 || f->newest - f->oldest + 1 <= f->files_keep) {
		f->size = 0;
		f->spoiled = false;
		open_current(f);
		return;
	}
	f->step = DROP_OLD;
	path_numbered(f, f->path, f->oldest++);
	loop_unlink(f->env->loop, &f->op, f->path);
}

static void
line_written(struct efile *f, int64_t n)
{
	if (n <= 0) {
		f->spoiled = true;
		finish(f, n < 0 ? (int)n : -EIO);
		return;
	}
	f->line_at += (size_t)n;
	if (f->line_at < f->line.n) {
		write_line(f);
		return;
	}
	f->step = NEWLINE;
	loop_write(f->env->loop, &f->op, f->fd, "\n", 1, f->size + f->line.n);
}

static void
line_synced(struct efile *f, int64_t res)
{
	if (res < 0) {
		f->spoiled = true;
		finish(f, (int)res);
		return;
	}
	f->size += f->line.n + 1;
	ctr_add(&f->env->ctr, CTR_export_file_bytes, f->line.n + 1);
	finish(f, 0);
}

/* Steps whose failure ends what is under way. */
static void
went_well(struct efile *f)
{
	struct loop *l = f->env->loop;
	int64_t res = f->op.res;

	switch (f->step) {
	case LIST:
		listed(f);
		break;
	case OPEN:
		f->fd = (int)res;
		if (f->size > 0)
			read_tail(f, f->size);
		else
			sync_dir(f);
		break;
	case CUT:
		sync_dir(f);
		break;
	case SYNC_DIR_OPEN:
		f->dir_fd = (int)res;
		f->step = SYNC_DIR;
		loop_fsync(l, &f->op, f->dir_fd);
		break;
	case SYNC_DIR:
		f->step = SYNC_DIR_CLOSE;
		loop_close(l, &f->op, f->dir_fd);
		f->dir_fd = -1;
		break;
	case SYNC_DIR_CLOSE:
		ready_to_write(f);
		break;
	case CLOSE_OLD:
		rename_old(f);
		break;
	case RENAME: case DROP_OLD:
		drop_old(f);
		break;
	case NEWLINE:
		f->step = SYNC;
		loop_fsync(l, &f->op, f->fd);
		break;
	default:
		must(false);
	}
}

static void
closed(struct efile *f)
{
	f->step = IDLE;
	f->fd = -1;
	f->closed(f->closed_arg);
}

static void
stepped(struct op *op)
{
	struct efile *f = op->arg;

	switch (f->step) {
	case MKDIR:
		if (op->res < 0 && op->res != -EEXIST) {
			finish(f, (int)op->res);
			break;
		}
		f->step = LIST;
		loop_list(f->env->loop, &f->op, f->dir);
		break;
	case STAT:
		f->size = op->res == 0 ? op->stat.size : 0;
		open_current(f);
		break;
	case READ_TAIL:
		tail_read(f, op->res);
		break;
	case WRITE:
		line_written(f, op->res);
		break;
	case SYNC:
		line_synced(f, op->res);
		break;
	case CLOSE:
		closed(f);
		break;
	case DROP_OLD:
		drop_old(f);		/* already gone is as good */
		break;
	default:
		if (op->res < 0) {
			f->spoiled = f->step == NEWLINE || f->spoiled;
			finish(f, (int)op->res);
		} else {
			went_well(f);
		}
		break;
	}
}

void
efile_open(struct efile *f, void (*ready)(void *arg, int res), void *arg)
{
	must(f->step == IDLE && f->fd < 0);
	f->opening = true;
	f->done = ready;
	f->done_arg = arg;
	f->step = MKDIR;
	loop_mkdir(f->env->loop, &f->op, f->dir, 0750);
}

int
efile_write(struct efile *f, struct bytes line,
    void (*done)(void *arg, int res), void *arg)
{
	if (f->step != IDLE)
		return -EBUSY;
	f->line = line;
	f->line_at = 0;
	f->done = done;
	f->done_arg = arg;
	if (f->fd < 0)
		drop_old(f);
	else if (f->spoiled ||
	    (f->size > 0 && f->size + line.n + 1 > f->bytes_max))
		close_old(f);
	else
		write_line(f);
	return 0;
}

void
efile_close(struct efile *f, void (*cb)(void *arg), void *arg)
{
	must(f->step == IDLE);
	f->closed = cb;
	f->closed_arg = arg;
	if (f->fd < 0) {
		cb(arg);
		return;
	}
	f->step = CLOSE;
	loop_close(f->env->loop, &f->op, f->fd);
}
