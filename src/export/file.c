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
#define NUMBER_MAX	UINT64_C(999999999999999)

/* What the one op under way is for. */
enum step {
	IDLE, MKDIR, LIST, STAT, OPEN, READ_TAIL, CUT, WRITE, NEWLINE, SYNC,
	CUT_BACK, CUT_AGAIN, CLOSE_OLD, RENAME, DROP_EMPTY, LIST_OLD, DROP_OLD,
	SYNC_DIR_OPEN, SYNC_DIR, SYNC_DIR_CLOSE, CLOSE
};

struct efile {
	struct env	*env;
	char		 dir[PATH_CAP - 32];
	uint64_t	 bytes_max;
	unsigned	 files_keep;

	struct op	 op;
	enum step	 step;
	bool		 opening;	/* efile_open is under way */
	bool		 spoiled;	/* no line is to follow in this file */
	bool		 uncut;		/* it ends in a line that is to come again */
	bool		 dir_synced;	/* since fd was opened */
	int		 fd;		/* -1: to be opened */
	int		 dir_fd;
	int		 error;		/* of what is being undone */
	uint64_t	 size;		/* of whole lines */
	uint64_t	 newest;	/* number of a complete file; 0: none */
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
stat_current(struct efile *f)
{
	f->step = STAT;
	path_current(f);
	loop_stat(f->env->loop, &f->op, f->path);
}

static void
open_current(struct efile *f)
{
	f->step = OPEN;
	f->whole = 0;
	f->holes = f->dir_synced = false;
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
close_old(struct efile *f)
{
	int fd = f->fd;

	f->step = CLOSE_OLD;
	f->fd = -1;
	loop_close(f->env->loop, &f->op, fd);
}

/* Before any other: the same line would be there twice. */
static void
cut_again(struct efile *f)
{
	f->step = CUT_AGAIN;
	loop_truncate(f->env->loop, &f->op, f->fd, f->size);
}

/* What the line needs next. */
static void
proceed(struct efile *f)
{
	if (f->fd < 0)
		stat_current(f);
	else if (!f->dir_synced)
		sync_dir(f);
	else if (f->opening)
		finish(f, 0);
	else if (f->uncut)
		cut_again(f);
	else if (f->spoiled ||
	    (f->size > 0 && f->size + f->line.n + 1 > f->bytes_max))
		close_old(f);
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
		f->spoiled = true;	/* its end was not looked at */
		proceed(f);
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
		proceed(f);
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
		f->spoiled = true;	/* whole or not, it stays as it is */
		proceed(f);
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

/* The number of a complete file of that name; 0: it is none of ours. */
static uint64_t
number_of(struct efile *f, const char *name)
{
	uint64_t n = 0;

	if (strncmp(name, "logs-", 5) == 0)
		n = strtoull(name + 5, NULL, 10);
	if (n == 0 || n > NUMBER_MAX)
		return 0;
	path_numbered(f, f->path2, n);
	return strcmp(f->path2 + strlen(f->dir) + 1, name) == 0 ? n : 0;
}

/* How many complete files were listed, and the oldest and newest of them. */
static unsigned
listed(struct efile *f, uint64_t *ret_oldest)
{
	uint64_t n, oldest = 0;
	unsigned count = 0;
	size_t i;

	for (i = 0; i < f->op.list.n; i++) {
		n = number_of(f, f->op.list.names[i]);
		if (n == 0)
			continue;
		count++;
		if (oldest == 0 || n < oldest)
			oldest = n;
		if (n > f->newest)
			f->newest = n;
	}
	op_list_free(&f->op);
	*ret_oldest = oldest;
	return count;
}

static void
list_old(struct efile *f)
{
	f->step = LIST_OLD;
	loop_list(f->env->loop, &f->op, f->dir);
}

/* One at a time, until there are as many as are kept. */
static void
drop_old(struct efile *f)
{
	uint64_t oldest;

	if (f->op.res < 0 || listed(f, &oldest) <= f->files_keep) {
		proceed(f);
		return;
	}
	f->step = DROP_OLD;
	path_numbered(f, f->path, oldest);
	loop_unlink(f->env->loop, &f->op, f->path);
}

/*
 * A file no line got into does not count: a disk that goes on failing must
 * not push the good ones out.
 */
static void
put_away(struct efile *f)
{
	path_current(f);
	if (f->size == 0) {
		f->step = DROP_EMPTY;
		loop_unlink(f->env->loop, &f->op, f->path);
		return;
	}
	f->step = RENAME;
	path_numbered(f, f->path2, f->newest + 1);
	loop_rename(f->env->loop, &f->op, f->path, f->path2);
}

/*
 * The part of a line is cut off again.  Of a file system without room that
 * is all; one that failed gets no further line in this file.
 */
static void
undo_line(struct efile *f, int error)
{
	f->error = error;
	if (error != -ENOSPC && error != -EDQUOT)
		f->spoiled = true;
	f->step = CUT_BACK;
	loop_truncate(f->env->loop, &f->op, f->fd, f->size);
}

static void
line_written(struct efile *f, int64_t n)
{
	if (n <= 0) {
		undo_line(f, n < 0 ? (int)n : -EIO);
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
line_synced(struct efile *f, int res)
{
	if (res < 0) {
		f->spoiled = true;	/* even if there was no room */
		undo_line(f, res);
		return;
	}
	f->size += f->line.n + 1;
	ctr_add(&f->env->ctr, CTR_export_file_bytes, f->line.n + 1);
	finish(f, 0);
}

static void
line_undone(struct efile *f, int res)
{
	f->uncut = res < 0;
	finish(f, f->error);
}

static void
close_dir(struct efile *f, int res)
{
	int fd = f->dir_fd;

	f->error = res;
	f->step = SYNC_DIR_CLOSE;
	f->dir_fd = -1;
	loop_close(f->env->loop, &f->op, fd);
}

static void
dir_closed(struct efile *f)
{
	f->dir_synced = f->error == 0;
	if (f->dir_synced)
		proceed(f);
	else
		finish(f, f->error);
}

static void
closed(struct efile *f)
{
	f->step = IDLE;
	f->fd = -1;
	f->closed(f->closed_arg);
}

/* Only a file that is not there is empty: lines lie in the others. */
static void
looked_at(struct efile *f, int res)
{
	if (res < 0 && res != -ENOENT) {
		finish(f, res);
		return;
	}
	f->size = res == 0 ? f->op.stat.size : 0;
	open_current(f);
}

/* Steps whose failure ends what is under way. */
static void
went_well(struct efile *f)
{
	struct loop *l = f->env->loop;
	uint64_t oldest;

	switch (f->step) {
	case MKDIR:
		f->step = LIST;
		loop_list(l, &f->op, f->dir);
		break;
	case LIST:
		(void)listed(f, &oldest);
		stat_current(f);
		break;
	case OPEN:
		f->fd = (int)f->op.res;
		if (f->size > 0)
			read_tail(f, f->size);
		else
			proceed(f);
		break;
	case CUT:
		proceed(f);
		break;
	case CUT_AGAIN:
		f->uncut = false;
		proceed(f);
		break;
	case SYNC_DIR_OPEN:
		f->dir_fd = (int)f->op.res;
		f->step = SYNC_DIR;
		loop_fsync(l, &f->op, f->dir_fd);
		break;
	case RENAME:
		f->newest++;
		f->spoiled = false;
		list_old(f);
		break;
	case DROP_EMPTY:
		f->spoiled = false;
		proceed(f);
		break;
	default:
		must(false);
	}
}

static void
stepped(struct op *op)
{
	struct efile *f = op->arg;
	int res = op->res < 0 ? (int)op->res : 0;

	switch (f->step) {
	case STAT: looked_at(f, res); break;
	case READ_TAIL: tail_read(f, op->res); break;
	case WRITE: line_written(f, op->res); break;
	case NEWLINE:
		if (op->res != 1) {
			undo_line(f, res < 0 ? res : -EIO);
			break;
		}
		f->step = SYNC;
		loop_fsync(f->env->loop, &f->op, f->fd);
		break;
	case SYNC: line_synced(f, res); break;
	case CUT_BACK: line_undone(f, res); break;
	case CLOSE_OLD: put_away(f); break;
	case LIST_OLD: drop_old(f); break;
	case DROP_OLD:
		if (res < 0)
			proceed(f);	/* at the next rotation again */
		else
			list_old(f);
		break;
	case SYNC_DIR: close_dir(f, res); break;
	case SYNC_DIR_CLOSE: dir_closed(f); break;
	case CLOSE: closed(f); break;
	default:
		f->spoiled = f->spoiled || (f->step == CUT && res < 0);
		if (res < 0 && !(f->step == MKDIR && res == -EEXIST))
			finish(f, res);
		else
			went_well(f);
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
	proceed(f);
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
