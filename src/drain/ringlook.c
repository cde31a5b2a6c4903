/* SPDX-License-Identifier: ISC */
/* ringlook.c - what is in the ring directory; see inner.h, shm/lane.h */

#include "drain/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/must.h"
#include "base/remedy.h"
#include "banned.h"

#define TMP_AGE		(60 * SECOND)
#define SCAN_GAP	(20 * MS)	/* least time between two looks */
#define ID_HEX		(2 * LANE_ID_LEN)

struct scan {
	struct drain	*d;
	const char	*dir;
	bool		 on_disk;
	bool		 first;
	uint64_t	 waiting;	/* lanes there is no place for */
	uint64_t	 unopened;	/* these, and others that may be full */
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
	case 0:
		break;
	case -EMFILE:
	case -ENFILE:
		s->error = r;
		s->unopened++;
		s->waiting++;
		break;
	case -EUSERS:
		s->unopened++;
		s->waiting++;
		break;
	/* No room now, gone, or not ready: the next look may be luckier. */
	case -ENOMEM:
	case -ENOSPC:
		s->unopened++;
		break;
	case -ENOENT:
	case -EAGAIN:
		break;
	default:
		s->unopened += r == -EPROTO;
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
	if (ring_join(path, s->dir, name) < 0)
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
ringlook(struct drain *d)
{
	if (d->scan_due && (d->scan_no == 0 ||
	    drain_now(d) - d->scanned_ns >= SCAN_GAP))
		ringlook_now(d);
}

void
ringlook_now(struct drain *d)
{
	struct scan s = { .d = d, .first = d->scan_no == 0 };

	d->scan_due = false;
	d->scanned_ns = drain_now(d);
	d->scan_no++;
	scan_dir(&s, d->ring_dir, false);
	scan_dir(&s, d->disk_dir, true);
	ctr_set(&d->env->ctr, CTR_lane_waiting, s.waiting);
	if (s.first)
		d->unopened = s.unopened > 0 || s.error < 0;
	tell_files(d, s.error);
	if (s.error == 0)
		forget_bad(d);
	miss_lanes(d);
	burial_look(d);
}
