/* SPDX-License-Identifier: ISC */
/* quarantine.c - keeps bytes that are no frames; see quarantine.h */

#include "queue/quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "banned.h"

static void	 quarantine_done(struct op *op);

int
quarantine_init(struct quarantine *qu, struct queue *q)
{
	*qu = (struct quarantine){ .q = q, .fd = -1, .from_fd = -1 };
	op_init(&qu->op, quarantine_done, qu);
	qu->path = env_alloc(q->env, strlen(q->conf.dir) + PATH_ROOM);
	return qu->path == NULL ? -ENOMEM : 0;
}

void
quarantine_fini(struct quarantine *qu)
{
	must(op_idle(&qu->op));
	pages_free(&qu->mem);
	env_free(qu->q->env, qu->path);
	qu->path = NULL;
}

static const char *
path_of(struct quarantine *qu, const char *end)
{
	char name[PATH_ROOM];
	int n;

	n = snprintf(name, sizeof(name), "quarantine/%016llx-%llx",
	    (unsigned long long)qu->number,
	    (unsigned long long)qu->piece.from);
	if (qu->grown)
		n += snprintf(name + n, sizeof(name) - (size_t)n, "-%llx",
		    (unsigned long long)qu->piece.to);
	(void)snprintf(name + n, sizeof(name) - (size_t)n, ".%s", end);
	return queue_path(qu->q, qu->path, name);
}

void
quarantine_piece(struct quarantine *qu, int from_fd, uint64_t number,
    struct range piece)
{
	int n;

	qu->from_fd = from_fd;
	qu->number = number;
	qu->piece = piece;
	qu->at = 0;
	qu->grown = false;
	qu->res = 0;
	n = snprintf(qu->why, sizeof(qu->why),
	    "bytes %llu to %llu of segment %016llx are no intact frame: "
	    "torn by a crash, or damaged since\n",
	    (unsigned long long)piece.from, (unsigned long long)piece.to,
	    (unsigned long long)number);
	must(n > 0 && (size_t)n < sizeof(qu->why));
	qu->state = Q_MKDIR;
	loop_mkdir(qu->q->env->loop, &qu->op,
	    queue_path(qu->q, qu->path, "quarantine"), 0700);
}

static void
close_with(struct quarantine *qu, int res)
{
	qu->res = res;
	qu->state = Q_CLOSE;
	loop_close(qu->q->env->loop, &qu->op, qu->fd);
	qu->fd = -1;
}

static void
read_piece(struct quarantine *qu)
{
	struct loop *l = qu->q->env->loop;
	uint64_t left = qu->piece.to - qu->piece.from - qu->at;

	if (left == 0) {
		qu->state = Q_SYNC;
		loop_fsync(l, &qu->op, qu->fd);
		return;
	}
	if (pages_grow(&qu->mem, WRITE_MAX, 0) < 0) {
		close_with(qu, -ENOMEM);
		return;
	}
	qu->state = Q_READ;
	loop_read(l, &qu->op, qu->from_fd, qu->mem.p,
	    left < WRITE_MAX ? left : WRITE_MAX, qu->piece.from + qu->at);
}

static void
write_piece(struct quarantine *qu, int64_t res)
{
	if (res <= 0) {
		close_with(qu, res == 0 ? -ENODATA : (int)res);
		return;
	}
	qu->state = Q_WRITE;
	loop_write(qu->q->env->loop, &qu->op, qu->fd, qu->mem.p, (size_t)res,
	    qu->at);
}

static void
wrote_piece(struct quarantine *qu, int64_t res)
{
	if (res <= 0) {
		close_with(qu, res == 0 ? -ENOSPC : (int)res);
		return;
	}
	qu->at += (uint64_t)res;
	read_piece(qu);
}

static void
finish(struct quarantine *qu, int res)
{
	qu->done(qu, res);
}

static void
open_piece(struct quarantine *qu)
{
	qu->state = Q_OPEN;
	loop_open(qu->q->env->loop, &qu->op, path_of(qu, "bin"),
	    O_WRONLY | O_CREAT | O_EXCL, 0600);
}

static void
made(struct quarantine *qu, int64_t res)
{
	if (res < 0) {
		open_piece(qu);		/* which says why, if it is no good */
		return;
	}
	qu->state = Q_HOME_SYNC;
	loop_fsync(qu->q->env->loop, &qu->op, qu->q->dirfd);
}

static void
home_synced(struct quarantine *qu, int64_t res)
{
	if (res < 0)
		finish(qu, (int)res);
	else
		open_piece(qu);
}

/* Copied before; but more of the file may be damaged since. */
static void
known(struct quarantine *qu, int64_t res)
{
	if (res == 0 && qu->op.stat.size == qu->piece.to - qu->piece.from) {
		finish(qu, -EEXIST);
		return;
	}
	qu->grown = true;
	open_piece(qu);
}

static void
opened(struct quarantine *qu, int64_t res)
{
	if (res == -EEXIST && !qu->grown) {
		qu->state = Q_STAT;
		loop_stat(qu->q->env->loop, &qu->op, path_of(qu, "bin"));
		return;
	}
	if (res < 0) {
		finish(qu, (int)res);
		return;
	}
	qu->fd = (int)res;
	read_piece(qu);
}

/* A half copy is no copy: its name must not say that it is one. */
static void
closed(struct quarantine *qu)
{
	struct loop *l = qu->q->env->loop;

	if (qu->res < 0) {
		qu->state = Q_WHY_CLOSE;
		loop_unlink(l, &qu->op, path_of(qu, "bin"));
		return;
	}
	qu->state = Q_DIR_OPEN;
	loop_open(l, &qu->op, queue_path(qu->q, qu->path, "quarantine"),
	    O_RDONLY | O_DIRECTORY, 0);
}

/* What was copied may be cut off or wiped next: its name must be there. */
static void
dir_step(struct quarantine *qu, int64_t res)
{
	struct loop *l = qu->q->env->loop;

	switch (qu->state) {
	case Q_DIR_OPEN:
		if (res < 0) {
			finish(qu, (int)res);
			return;
		}
		qu->fd = (int)res;
		qu->state = Q_DIR_SYNC;
		loop_fsync(l, &qu->op, qu->fd);
		return;
	case Q_DIR_SYNC:
		qu->res = res < 0 ? (int)res : 0;
		qu->state = Q_DIR_CLOSE;
		loop_close(l, &qu->op, qu->fd);
		qu->fd = -1;
		return;
	default:
		break;
	}
	if (qu->res < 0) {
		finish(qu, qu->res);
		return;
	}
	qu->state = Q_WHY_OPEN;
	loop_open(l, &qu->op, path_of(qu, "why"),
	    O_WRONLY | O_CREAT | O_TRUNC, 0600);
}

static void
why_opened(struct quarantine *qu, int64_t res)
{
	if (res < 0) {
		finish(qu, 0);		/* the bytes are safe all the same */
		return;
	}
	qu->fd = (int)res;
	qu->state = Q_WHY_WRITE;
	loop_write(qu->q->env->loop, &qu->op, qu->fd, qu->why,
	    strlen(qu->why), 0);
}

static void
why_wrote(struct quarantine *qu)
{
	qu->state = Q_WHY_CLOSE;
	loop_close(qu->q->env->loop, &qu->op, qu->fd);
	qu->fd = -1;
}

static void
quarantine_done(struct op *op)
{
	struct quarantine *qu = op->arg;
	int64_t res = op->res;

	switch (qu->state) {
	case Q_MKDIR:
		made(qu, res);
		break;
	case Q_HOME_SYNC:
		home_synced(qu, res);
		break;
	case Q_STAT:
		known(qu, res);
		break;
	case Q_OPEN:
		opened(qu, res);
		break;
	case Q_READ:
		write_piece(qu, res);
		break;
	case Q_WRITE:
		wrote_piece(qu, res);
		break;
	case Q_SYNC:
		close_with(qu, res < 0 ? (int)res : 0);
		break;
	case Q_CLOSE:
		closed(qu);
		break;
	case Q_DIR_OPEN:
	case Q_DIR_SYNC:
	case Q_DIR_CLOSE:
		dir_step(qu, res);
		break;
	case Q_WHY_OPEN:
		why_opened(qu, res);
		break;
	case Q_WHY_WRITE:
		why_wrote(qu);
		break;
	case Q_WHY_CLOSE:
		finish(qu, qu->res);
		break;
	}
}
