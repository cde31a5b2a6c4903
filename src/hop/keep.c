/* SPDX-License-Identifier: ISC */
/* keep.c - bytes that are no records, kept in files; see keep.h */

#include "hop/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/env.h"
#include "base/must.h"
#include "banned.h"

enum step {
	MAKE_DIR, OPEN_PARENT, SYNC_PARENT, CLOSE_PARENT, OPEN_FILE, WRITE,
	SYNC, CLOSE_FILE, OPEN_DIR, SYNC_DIR, CLOSE_DIR
};

static void
set_parent(struct keep *k)
{
	const char *slash = strrchr(k->dir, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - k->dir);

	if (n >= sizeof(k->parent))
		n = 0;		/* keep_put() will not take such a dir */
	if (slash == NULL)
		k->parent[n++] = '.';
	else if (slash == k->dir)
		k->parent[n++] = '/';
	else
		memcpy(k->parent, k->dir, n);
	k->parent[n] = '\0';
}

void
keep_init(struct keep *k, struct env *env, const char *dir,
    uint64_t bytes_max)
{
	*k = (struct keep){ .env = env, .dir = dir, .bytes_max = bytes_max };
	if (dir != NULL)
		set_parent(k);
}

static void
submit(struct keep_job *job, enum step step)
{
	struct loop *l = job->keep->env->loop;

	job->step = (uint8_t)step;
	switch (step) {
	case MAKE_DIR:
		loop_mkdir(l, &job->op, job->keep->dir, 0700);
		break;
	case OPEN_FILE:
		loop_open(l, &job->op, job->path,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
		break;
	case WRITE:
		loop_write(l, &job->op, job->fd, job->left.p, job->left.n,
		    job->len - job->left.n);
		break;
	case SYNC_PARENT: case SYNC: case SYNC_DIR:
		loop_fsync(l, &job->op, job->fd);
		break;
	case CLOSE_PARENT: case CLOSE_FILE: case CLOSE_DIR:
		loop_close(l, &job->op, job->fd);
		break;
	case OPEN_PARENT: case OPEN_DIR:
		loop_open(l, &job->op, step == OPEN_DIR ? job->keep->dir :
		    job->keep->parent, O_RDONLY | O_DIRECTORY, 0);
		break;
	}
}

/* What comes after a step that went well. */
static void
next(struct keep_job *job, int64_t res)
{
	switch ((enum step)job->step) {
	case MAKE_DIR:
		submit(job, job->keep->entered ? OPEN_FILE : OPEN_PARENT);
		break;
	case OPEN_PARENT:
		job->fd = (int)res;
		submit(job, SYNC_PARENT);
		break;
	case SYNC_PARENT:
		submit(job, CLOSE_PARENT);
		break;
	case CLOSE_PARENT:
		job->keep->entered = true;
		submit(job, OPEN_FILE);
		break;
	case OPEN_FILE:
		job->fd = (int)res;
		submit(job, WRITE);
		break;
	case WRITE:
		job->left.p += res;
		job->left.n -= (size_t)res;
		submit(job, job->left.n > 0 ? WRITE : SYNC);
		break;
	case SYNC:
		submit(job, CLOSE_FILE);
		break;
	case CLOSE_FILE:
		submit(job, OPEN_DIR);
		break;
	case OPEN_DIR:
		job->fd = (int)res;
		submit(job, SYNC_DIR);
		break;
	case SYNC_DIR:
		submit(job, CLOSE_DIR);
		break;
	case CLOSE_DIR:
		job->keep->bytes += job->len;
		job->done(job, 0);
		break;
	}
}

static void
failed(struct keep_job *job, int res)
{
	if (job->res == 0)
		job->res = res;
	if (job->step == WRITE || job->step == SYNC)
		submit(job, CLOSE_FILE);
	else if (job->step == SYNC_PARENT)
		submit(job, CLOSE_PARENT);
	else if (job->step == SYNC_DIR)
		submit(job, CLOSE_DIR);
	else
		job->done(job, job->res);
}

static void
step_done(struct op *op)
{
	struct keep_job *job = op->arg;
	int64_t res = op->res;

	if (job->step == MAKE_DIR && res == -EEXIST)
		res = 0;
	if (job->step == WRITE && res == 0)
		res = -EIO;
	if (res < 0)
		failed(job, (int)res);
	else if (job->res < 0)
		job->done(job, job->res);
	else
		next(job, res);
}

static void
hex(const uint8_t *p, size_t n, char *text)
{
	static const char digit[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < n; i++) {
		text[2 * i] = digit[p[i] >> 4];
		text[2 * i + 1] = digit[p[i] & 15];
	}
	text[2 * n] = '\0';
}

int
keep_put(struct keep *k, struct keep_job *job,
    const uint8_t stream[STREAM_ID_LEN], uint64_t from, struct bytes bytes,
    const char *why)
{
	char id[2 * STREAM_ID_LEN + 1];
	int n;

	must(bytes.n > 0);
	if (k->bytes_max - k->bytes < bytes.n || k->bytes > k->bytes_max)
		return -EDQUOT;
	hex(stream, STREAM_ID_LEN, id);
	/* the clock: a restart must not meet the names of the last run */
	n = snprintf(job->path, sizeof(job->path),
	    "%s/%s-%" PRIu64 "-%" PRIx64 "-%" PRIu64 ".%s", k->dir, id, from,
	    loop_wall(k->env->loop), k->files++, why);
	if (n < 0 || (size_t)n >= sizeof(job->path))
		return -ENAMETOOLONG;
	op_init(&job->op, step_done, job);
	job->keep = k;
	job->left = bytes;
	job->len = bytes.n;
	job->fd = -1;
	job->res = 0;
	submit(job, MAKE_DIR);
	return 0;
}
