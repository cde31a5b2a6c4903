/* SPDX-License-Identifier: ISC */
/* ringdir.c - the ring directory and who knocks; see drain.h, shm/lane.h */

#include "drain/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/must.h"
#include "base/remedy.h"
#include "banned.h"

#define RING_MODE	03777u
#define KNOCKS_MAX	4000u		/* listened to a second */

int
ring_join(char path[PATH_BYTES], const char *dir, const char *name)
{
	int n;

	n = snprintf(path, PATH_BYTES, "%s/%s", dir, name);
	return n < 0 || n >= PATH_BYTES ? -ENAMETOOLONG : 0;
}

/* ---- preparing ---- */

static int
fix_mode(const struct shm_sys *sys, const char *dir, uint32_t mode)
{
	int fd, r;

	fd = sys->open(sys->arg, dir,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	r = sys->fchmod(sys->arg, fd, mode);
	(void)sys->close(sys->arg, fd);
	return r;
}

static int
refuse(struct drain *d, int res, char *why, const char *text)
{
	snprintf(why, DRAIN_WHY, "ring directory '%s': %s", d->ring_dir, text);
	ctr_add(&d->env->ctr, CTR_lane_foreign_dir, 1);
	return res;
}

static int
judge_dir(struct drain *d, const struct shm_stat *st, char *why)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	char text[160];

	if (S_ISLNK(st->mode))
		return refuse(d, -ELOOP, why,
		    "is a symbolic link; name the directory itself");
	if (!S_ISDIR(st->mode))
		return refuse(d, -ENOTDIR, why, "is not a directory");
	if (st->uid != sys->uid(sys->arg)) {
		snprintf(text, sizeof(text), "belongs to uid %u, the agent is "
		    "uid %u; chown it, or remove it and start the agent "
		    "before its connectors", st->uid, sys->uid(sys->arg));
		return refuse(d, -EPERM, why, text);
	}
	/* Ours, but others could put their files in place of lanes. */
	if ((st->mode & (S_IWGRP | S_IWOTH)) != 0 &&
	    (st->mode & S_ISVTX) == 0)
		return fix_mode(sys, d->ring_dir,
		    (st->mode & 07777) | S_ISVTX);
	return 0;
}

static int
prepare_dir(struct drain *d, char *why)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	struct shm_stat st;
	int r;

	r = sys->lstat(sys->arg, d->ring_dir, &st);
	if (r == -ENOENT) {
		r = sys->mkdir(sys->arg, d->ring_dir, 0700);
		if (r == 0)	/* past the umask */
			r = fix_mode(sys, d->ring_dir, RING_MODE);
		if (r == 0 || r == -EEXIST)
			r = sys->lstat(sys->arg, d->ring_dir, &st);
	}
	if (r < 0) {
		snprintf(why, DRAIN_WHY, "ring directory '%s' cannot be made "
		    "or read: %s", d->ring_dir, strerror(-r));
		return r;
	}
	return judge_dir(d, &st, why);
}

/* Somebody else's file under a name of ours: we own the directory. */
static int
oust_foreign(struct drain *d, const char *path, uint32_t type)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	struct shm_stat st;
	int r;

	r = sys->lstat(sys->arg, path, &st);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if ((st.mode & S_IFMT) == type && st.uid == sys->uid(sys->arg))
		return 0;
	ctr_add(&d->env->ctr, CTR_lane_bad, 1);
	return sys->unlink(sys->arg, path);
}

static int
take_lock(struct drain *d, char *why)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	char path[PATH_BYTES];
	uint32_t pid;
	int n, r;

	r = ring_join(path, d->ring_dir, "agent.lock");
	if (r == 0)
		r = oust_foreign(d, path, S_IFREG);
	if (r == 0)
		r = sys->open(sys->arg, path,
		    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (r < 0)
		goto out;
	d->lock_fd = r;
	r = sys->lock(sys->arg, d->lock_fd);
out:
	if (r == -EAGAIN || r == -EACCES) {
		pid = inlane_agent_pid(d);
		n = snprintf(why, DRAIN_WHY, "another agent has '%s'", path);
		if (pid != 0)
			snprintf(why + n, DRAIN_WHY - (size_t)n, ", pid %u",
			    pid);
		return -EBUSY;
	}
	if (r < 0)
		snprintf(why, DRAIN_WHY, "'%s': %s", path, strerror(-r));
	return r;
}

static int
make_knock(struct drain *d, char *why)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	uint64_t ino;
	int fd, r;

	r = ring_join(d->knock_path, d->ring_dir, "knock");
	if (r < 0)
		return r;
	/* A connector may have made it before us: that one is knocked at. */
	fd = ring_knock_open(sys, d->ring_dir, &ino);
	if (fd < 0) {
		r = sys->unlink(sys->arg, d->knock_path);
		if (r == 0 || r == -ENOENT)
			fd = ring_knock_open(sys, d->ring_dir, &ino);
	}
	if (fd < 0) {
		snprintf(why, DRAIN_WHY, "FIFO '%s': %s", d->knock_path,
		    strerror(-fd));
		return fd;
	}
	(void)sys->fchmod(sys->arg, fd, 0666);	/* may be another's: fine */
	return sys->close(sys->arg, fd);
}

/* Best effort: lanes on disk are for a full tmpfs only. */
static void
prepare_disk_dir(struct drain *d)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	struct shm_stat st;
	int r;

	if (d->disk_dir[0] == '\0')
		return;
	r = sys->mkdir(sys->arg, d->disk_dir, 0700);
	if (r == 0)
		(void)fix_mode(sys, d->disk_dir, RING_MODE);
	r = sys->lstat(sys->arg, d->disk_dir, &st);
	if (r == 0 && S_ISDIR(st.mode) && st.uid == sys->uid(sys->arg))
		return;
	drain_note(d, LOG_WARN, "no lanes on disk: '%s' is not a directory of "
	    "the agent's own", d->disk_dir);
	d->disk_dir[0] = '\0';
}

int
ringdir_open(struct drain *d, char ret_why[DRAIN_WHY])
{
	int r;

	r = prepare_dir(d, ret_why);
	if (r == 0)
		r = take_lock(d, ret_why);
	if (r == 0)
		r = make_knock(d, ret_why);
	if (r < 0)
		return r;
	ringctl_open(d);
	prepare_disk_dir(d);
	d->ring_max = ring_room(d->conf.shm_sys, d->ring_dir,
	    d->conf.ring_max);
	r = loop_watch_open(d->env->loop, d->ring_dir, &d->watch);
	if (r < 0) {
		snprintf(ret_why, DRAIN_WHY, "'%s' cannot be watched: %s",
		    d->ring_dir, strerror(-r));
		return r;
	}
	if (d->disk_dir[0] != '\0')
		(void)loop_watch_open(d->env->loop, d->disk_dir,
		    &d->disk_watch);
	return 0;
}

void
ringdir_close(struct drain *d)
{
	const struct shm_sys *sys = d->conf.shm_sys;

	if (d->watch != NULL)
		loop_watch_close(d->env->loop, &d->watch);
	if (d->disk_watch != NULL)
		loop_watch_close(d->env->loop, &d->disk_watch);
	ringctl_close(d);
	if (d->lock_fd >= 0)
		(void)sys->close(sys->arg, d->lock_fd);
	d->lock_fd = -1;
}

/* ---- watching and listening ---- */

static void
on_watch(struct op *op)
{
	struct drain *d = op->arg;
	bool disk = op == &d->disk_watch_op;

	drain_check(d);
	if (op->cancelled || d->state != DRAIN_RUN) {
		drain_kick(d);
		return;
	}
	if (op->res < 0 && op->res != -EOVERFLOW) {
		/* The chores look through the directory every 10 s anyway. */
		drain_note(d, LOG_WARN, "'%s' is no longer watched: %s",
		    disk ? d->disk_dir : d->ring_dir,
		    strerror((int)-op->res));
		return;
	}
	d->scan_due = true;
	loop_watch(d->env->loop, op, disk ? d->disk_watch : d->watch);
	drain_kick(d);
}

static void on_knock_ready(struct op *op);

static void
listen_again(struct drain *d)
{
	/* Whoever knocks without end is heard by the timer only. */
	if (d->state != DRAIN_RUN || d->knock_fd < 0 || d->knocks > KNOCKS_MAX)
		return;
	op_init(&d->knock_op, on_knock_ready, d);
	loop_poll(d->env->loop, &d->knock_op, d->knock_fd, POLLIN);
}

static void
on_knock_read(struct op *op)
{
	struct drain *d = op->arg;

	drain_check(d);
	if (d->state != DRAIN_RUN) {
		drain_kick(d);
		return;
	}
	if (op->res > 0) {
		d->knocks += (unsigned)op->res;
		ctr_add(&d->env->ctr, CTR_lane_knocks, (uint64_t)op->res);
		drain_kick(d);
	}
	listen_again(d);
}

static void
on_knock_ready(struct op *op)
{
	struct drain *d = op->arg;

	drain_check(d);
	if (op->res < 0 || d->state != DRAIN_RUN) {
		drain_kick(d);
		return;
	}
	op_init(op, on_knock_read, d);
	loop_read(d->env->loop, op, d->knock_fd, d->knock_buf,
	    sizeof(d->knock_buf), LOOP_STREAM);
}

static void
on_knock_open(struct op *op)
{
	struct drain *d = op->arg;

	drain_check(d);
	if (op->res < 0) {
		drain_note(d, LOG_WARN, "FIFO '%s' cannot be opened (%s): "
		    "lanes are looked at by timer only", d->knock_path,
		    strerror((int)-op->res));
		drain_kick(d);
		return;
	}
	d->knock_fd = (int)op->res;
	if (d->state != DRAIN_RUN)
		drain_kick(d);
	listen_again(d);
}

void
ringdir_run(struct drain *d)
{
	op_init(&d->watch_op, on_watch, d);
	op_init(&d->disk_watch_op, on_watch, d);
	op_init(&d->knock_op, on_knock_open, d);
	loop_watch(d->env->loop, &d->watch_op, d->watch);
	if (d->disk_watch != NULL)
		loop_watch(d->env->loop, &d->disk_watch_op, d->disk_watch);
	loop_open(d->env->loop, &d->knock_op, d->knock_path,
	    O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0);
}

void
ringdir_second(struct drain *d)
{
	bool deaf = d->knocks > KNOCKS_MAX;

	d->knocks = 0;
	if (deaf && op_idle(&d->knock_op))
		listen_again(d);
}

static void
on_knock_closed(struct op *op)
{
	struct drain *d = op->arg;

	drain_check(d);
	drain_kick(d);
}

void
ringdir_halt(struct drain *d)
{
	loop_cancel(d->env->loop, &d->watch_op);
	loop_cancel(d->env->loop, &d->disk_watch_op);
	loop_cancel(d->env->loop, &d->knock_op);
}

bool
ringdir_idle(struct drain *d)
{
	if (!op_idle(&d->watch_op) || !op_idle(&d->disk_watch_op) ||
	    !op_idle(&d->knock_op))
		return false;
	if (d->knock_fd < 0)
		return true;
	op_init(&d->knock_op, on_knock_closed, d);
	loop_close(d->env->loop, &d->knock_op, d->knock_fd);
	d->knock_fd = -1;
	return false;
}
