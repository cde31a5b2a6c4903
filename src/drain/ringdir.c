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
#define TMP_AGE		(60 * SECOND)
#define SCAN_GAP	(20 * MS)	/* least time between two scans */
#define KNOCKS_MAX	4000u		/* listened to a second */
#define ID_HEX		(2 * LANE_ID_LEN)

static int
join(char path[PATH_BYTES], const char *dir, const char *name)
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

	r = join(path, d->ring_dir, "agent.lock");
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

	r = join(d->knock_path, d->ring_dir, "knock");
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

/* ---- looking through ---- */

struct scan {
	struct drain	*d;
	const char	*dir;
	bool		 on_disk;
	bool		 first;
	uint64_t	 waiting;	/* lanes there is no place for */
	int		 error;		/* there is no descriptor for more */
};

static bool
ends_in(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && strcmp(name + n - m, suffix) == 0;
}

static bool
is_hex_id(const char *p)
{
	return strspn(p, "0123456789abcdef") >= ID_HEX;
}

/* Those that are there no more make room for others. */
static void
forget_bad(struct drain *d)
{
	unsigned i;

	for (i = 0; i < d->bad_n;) {
		if (d->bad[i].seen == d->scan_no)
			i++;
		else
			d->bad[i] = d->bad[--d->bad_n];
	}
}

/*
 * Counts a file once, by its inode.  Where there are more of them than can
 * be remembered the others are passed over: anybody may put files here, and
 * a line for each at each look would fill the log.
 */
static void
bad_file(struct drain *d, const char *path, int res)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	struct shm_stat st;
	unsigned i;

	if (sys->lstat(sys->arg, path, &st) < 0)
		return;
	for (i = 0; i < d->bad_n; i++) {
		if (d->bad[i].ino == st.ino) {
			d->bad[i].seen = d->scan_no;
			return;
		}
	}
	if (d->bad_n == BAD_MAX)
		return;
	d->bad[d->bad_n].ino = st.ino;
	d->bad[d->bad_n++].seen = d->scan_no;
	ctr_add(&d->env->ctr, CTR_lane_bad, 1);
	if (res == -EPROTO)
		drain_note(d, LOG_WARN, "lane '%s' is of another version than "
		    "this emplogd reads (%d), and left alone: an emplogd of "
		    "its version drains it", path, LANE_VERSION);
	else
		drain_note(d, LOG_WARN, "'%s' is not a lane: %s", path,
		    strerror(-res));
}

/* What a producer was killed over while making it. */
static void
sweep_tmp(struct drain *d, const char *path)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	uint64_t now = sys->wall_ns(sys->arg);
	struct shm_stat st;
	int fd, locked;

	if (sys->lstat(sys->arg, path, &st) < 0 ||
	    now < st.mtime_ns || now - st.mtime_ns < TMP_AGE)
		return;
	if (!S_ISREG(st.mode)) {
		bad_file(d, path, -EPERM);
		return;
	}
	fd = sys->open(sys->arg, path,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	locked = sys->locked(sys->arg, fd);
	(void)sys->close(sys->arg, fd);
	if (locked == 0)
		(void)sys->unlink(sys->arg, path);
}

static bool
known(struct drain *d, const char *path)
{
	unsigned i;

	for (i = 0; i < d->lanes; i++) {
		if (strcmp(d->lane[i]->r.path, path) == 0) {
			d->lane[i]->seen = d->scan_no;
			return true;
		}
	}
	return false;
}

static void
new_lane(struct scan *s, const char *name, const char *path)
{
	int r;

	if (known(s->d, path))
		return;
	if (strlen(name) != ID_HEX + 5 || !is_hex_id(name)) {
		bad_file(s->d, path, -EINVAL);
		return;
	}
	r = inlane_attach(s->d, path, name, s->on_disk, s->first);
	switch (r) {
	case -EMFILE:
	case -ENFILE:
		s->error = r;
		s->waiting++;
		break;
	case -EUSERS:
		s->waiting++;
		break;
	case 0:
	/* Gone, not ready or no room now: the next look may be luckier. */
	case -ENOENT:
	case -EAGAIN:
	case -ENOMEM:
	case -ENOSPC:
		break;
	default:
		bad_file(s->d, path, r);
		break;
	}
}

static void
on_name(void *ctx, const char *name)
{
	static const char *const ours[] = { "knock", "ring.ctl", "agent.lock" };
	struct scan *s = ctx;
	char path[PATH_BYTES];
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (strcmp(name, ours[i]) == 0)
			return;
	}
	if (join(path, s->dir, name) < 0)
		return;
	if (ends_in(name, ".lane"))
		new_lane(s, name, path);
	else if (strncmp(name, ".tmp-", 5) == 0)
		sweep_tmp(s->d, path);
	else if (ends_in(name, ".dead") && is_hex_id(name))
		burial_adopt(s->d, path);
	else
		bad_file(s->d, path, -EINVAL);
}

static void
scan_dir(struct scan *s, const char *dir, bool on_disk)
{
	const struct shm_sys *sys = s->d->conf.shm_sys;
	int r;

	s->dir = dir;
	s->on_disk = on_disk;
	r = dir[0] != '\0' ? sys->list(sys->arg, dir, on_name, s) : 0;
	if (r == -EMFILE || r == -ENFILE)
		s->error = r;
}

/* New lanes cannot be opened, or can again: told once. */
static void
tell_files(struct drain *d, int error)
{
	if (d->no_files == (error < 0))
		return;
	d->no_files = error < 0;
	if (error < 0)
		drain_note(d, LOG_WARN, "no new lane under '%s' can be opened: "
		    "%s; what is in them waits; %s", d->ring_dir,
		    strerror(-error), disk_remedy(error));
	else
		drain_note(d, LOG_INFO, "new lanes under '%s' are opened again",
		    d->ring_dir);
}

/* Its name is gone while its process may live: it must make a new one. */
static void
miss_lanes(struct drain *d)
{
	struct inlane *l;
	unsigned i;
	int r;

	for (i = 0; i < d->lanes; i++) {
		l = d->lane[i];
		if (l->unlinked || l->seen == d->scan_no ||
		    l->state == INLANE_GONE)
			continue;
		r = reader_check(&l->r);
		if (r != -ENOENT)
			continue;
		l->unlinked = true;
		/* Our own is, when we close it. */
		inlane_retire(d, l, l->own && !d->own_open ? NULL :
		    "its file was unlinked");
	}
}

void
ringdir_scan(struct drain *d)
{
	if (d->scan_due && (d->scan_no == 0 ||
	    drain_now(d) - d->scanned_ns >= SCAN_GAP))
		ringdir_scan_now(d);
}

void
ringdir_scan_now(struct drain *d)
{
	struct scan s = { .d = d, .first = d->scan_no == 0 };

	d->scan_due = false;
	d->scanned_ns = drain_now(d);
	d->scan_no++;
	scan_dir(&s, d->ring_dir, false);
	scan_dir(&s, d->disk_dir, true);
	ctr_set(&d->env->ctr, CTR_lane_waiting, s.waiting);
	tell_files(d, s.error);
	if (s.error == 0)
		forget_bad(d);
	miss_lanes(d);
	burial_look(d);
}
