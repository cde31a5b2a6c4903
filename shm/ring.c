/* SPDX-License-Identifier: ISC */
/* ring.c - the directory of lanes; the contract is in ring.h */

#include "shm/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RING_CTL_MAGIC		"EMPRING"
#define RING_CTL_VERSION	1
#define LANE_BYTES_LEAST	(256u << 10)	/* unless room is short */

static int
ring_path(char *buf, size_t cap, const char *dir, const char *name)
{
	int n;

	n = snprintf(buf, cap, "%s/%s", dir, name);
	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

static bool
owner_trusted(uint32_t uid, uint32_t self, uint32_t named)
{
	return uid == self || uid <= RING_SYSTEM_UID ||
	    (named != 0 && uid == named);
}

static int
dir_judge(const struct shm_sys *sys, const struct shm_stat *st,
    uint32_t owner)
{
	bool others_write = (st->mode & (S_IWGRP | S_IWOTH)) != 0;

	if (S_ISLNK(st->mode))
		return -ELOOP;
	if (!S_ISDIR(st->mode))
		return -ENOTDIR;
	if (!owner_trusted(st->uid, sys->uid(sys->arg), owner))
		return -EPERM;
	if (others_write && (st->mode & S_ISVTX) == 0)
		return -EPERM;
	return 0;
}

int
ring_check(const struct shm_sys *sys, const char *dir, uint32_t owner,
    bool *ret_made)
{
	struct shm_stat st;
	bool made = false;
	int r;

	r = sys->lstat(sys->arg, dir, &st);
	if (r == -ENOENT) {
		r = sys->mkdir(sys->arg, dir, 0700);
		if (r < 0 && r != -EEXIST)
			return r;
		made = r == 0;
		r = sys->lstat(sys->arg, dir, &st);
	}
	if (r == 0)
		r = dir_judge(sys, &st, owner);
	if (r == 0)
		*ret_made = made;
	return r;
}

uint64_t
ring_room(const struct shm_sys *sys, const char *dir, uint64_t max)
{
	struct shm_space space;

	if (max > 0)
		return max;
	/* A tmpfs without a limit has a total of 0. */
	if (sys->statfs(sys->arg, dir, &space) < 0 || space.total == 0)
		return RING_MAX;
	return space.total / 4 < RING_MAX ? space.total / 4 : RING_MAX;
}

struct used {
	const struct shm_sys *sys;
	const char	*dir;
	uint64_t	 bytes;
};

static bool
is_lane_name(const char *name)
{
	size_t n = strlen(name);

	if (strncmp(name, ".tmp-", 5) == 0)
		return true;
	return n > 5 && (strcmp(name + n - 5, ".lane") == 0 ||
	    strcmp(name + n - 5, ".dead") == 0);
}

static void
used_add(void *ctx, const char *name)
{
	struct used *u = ctx;
	struct shm_stat st;
	char path[256];

	if (!is_lane_name(name) ||
	    ring_path(path, sizeof(path), u->dir, name) < 0 ||
	    u->sys->lstat(u->sys->arg, path, &st) < 0)
		return;
	u->bytes += st.size;
}

uint64_t
ring_used(const struct shm_sys *sys, const char *dir)
{
	struct used u = { .sys = sys, .dir = dir };

	/*
	 * A ring that cannot be listed (0733, say) is not counted: the tmpfs
	 * is the limit then.
	 */
	if (sys->list(sys->arg, dir, used_add, &u) < 0)
		return 0;
	return u.bytes;
}

static uint64_t
power_below(uint64_t n)
{
	uint64_t p = LANE_DATA_MIN;

	while (p * 2 <= n && p < LANE_DATA_MAX)
		p *= 2;
	return p;
}

uint64_t
ring_lane_bytes(const struct shm_sys *sys, const char *dir, uint64_t want)
{
	struct shm_space space;

	if (want > 0)
		return power_below(want);
	if (sys->statfs(sys->arg, dir, &space) < 0 || space.total == 0)
		return LANE_BYTES_LEAST;
	want = space.total / 64;
	return power_below(want > LANE_BYTES_LEAST ? want : LANE_BYTES_LEAST);
}

int
ring_knock_open(const struct shm_sys *sys, const char *dir, uint64_t *ret_ino)
{
	/* Both ends at once: an open never waits, a write never raises SIGPIPE. */
	const int flags = O_RDWR | O_NONBLOCK | O_NOFOLLOW;
	struct shm_stat st;
	char path[256];
	bool made;
	int fd, r;

	r = ring_path(path, sizeof(path), dir, "knock");
	if (r < 0)
		return r;
	made = sys->mkfifo(sys->arg, path, 0666) == 0;
	fd = sys->open(sys->arg, path, flags, 0);
	if (fd < 0)
		return fd;
	r = sys->fstat(sys->arg, fd, &st);
	if (r == 0 && !S_ISFIFO(st.mode))
		r = -EPERM;
	if (r == 0 && made)
		r = sys->fchmod(sys->arg, fd, 0666);	/* past the umask */
	if (r < 0) {
		sys->close(sys->arg, fd);
		return r;
	}
	*ret_ino = st.ino;
	return fd;
}

int
ring_knock(const struct shm_sys *sys, int fd, uint64_t ino)
{
	struct shm_stat st;
	int r;

	/*
	 * Daemons close every descriptor they find; then ours may be a file of
	 * the program's, and a byte in it would be damage.
	 */
	if (sys->fstat(sys->arg, fd, &st) < 0 || !S_ISFIFO(st.mode) ||
	    st.ino != ino)
		return -EBADF;
	r = sys->write(sys->arg, fd, "k", 1);
	/* Full of knocks: the agent has enough to wake up from. */
	return r == -EAGAIN || r > 0 ? 0 : r;
}

static int
ctl_make(const struct shm_sys *sys, const char *path)
{
	struct ring_ctl ctl = { .magic = RING_CTL_MAGIC,
	    .version = RING_CTL_VERSION };
	int fd, r;

	if (sys->file_limit(sys->arg) < RING_CTL_BYTES)
		return -EFBIG;	/* SIGXFSZ would end the program */
	fd = sys->open(sys->arg, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
	    0600);
	if (fd < 0)
		return fd;
	r = sys->fallocate(sys->arg, fd, RING_CTL_BYTES);
	if (r == 0)
		r = sys->write(sys->arg, fd, &ctl, sizeof(ctl));
	if (r >= 0)
		r = sys->fchmod(sys->arg, fd, 0666);
	if (r < 0) {
		sys->unlink(sys->arg, path);
		sys->close(sys->arg, fd);
		return r;
	}
	return fd;
}

/*
 * Its owner must be trusted, but any user may write to it: it is never looked
 * at through the mapping, which may be cut short at any time.
 */
static int
ctl_judge(const struct shm_sys *sys, const struct shm_stat *dir, int fd)
{
	struct ring_ctl ctl;
	struct shm_stat st;
	int r;

	r = sys->fstat(sys->arg, fd, &st);
	if (r < 0)
		return r;
	if (!S_ISREG(st.mode) || st.size < RING_CTL_BYTES)
		return -EBADMSG;
	if (st.uid != 0 && st.uid != dir->uid && st.uid != sys->uid(sys->arg))
		return -EPERM;
	r = sys->read(sys->arg, fd, &ctl, sizeof(ctl));
	if (r < 0)
		return r;
	return r == sizeof(ctl) && ctl.version == RING_CTL_VERSION &&
	    memcmp(ctl.magic, RING_CTL_MAGIC, sizeof(ctl.magic)) == 0 ? 0 :
	    -EBADMSG;
}

struct ring_ctl *
ring_ctl_map(const struct shm_sys *sys, const char *dir, uint32_t owner)
{
	struct ring_ctl *ctl = NULL;
	struct shm_stat st;
	void *base = NULL;
	char path[256];
	int fd;

	if (sys->lstat(sys->arg, dir, &st) < 0 ||
	    dir_judge(sys, &st, owner) < 0 ||
	    ring_path(path, sizeof(path), dir, "ring.ctl") < 0)
		return NULL;
	fd = sys->open(sys->arg, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd == -ENOENT)
		fd = ctl_make(sys, path);
	if (fd < 0)
		return NULL;
	if (ctl_judge(sys, &st, fd) == 0 && sys->map(sys->arg, fd,
	    RING_CTL_BYTES, 0, false, true, true, &base) == 0)
		ctl = base;
	sys->close(sys->arg, fd);
	return ctl;
}

void
ring_ctl_unmap(const struct shm_sys *sys, struct ring_ctl *ctl)
{
	if (ctl != NULL)
		sys->unmap(sys->arg, ctl, RING_CTL_BYTES);
}
