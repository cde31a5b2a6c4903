/* SPDX-License-Identifier: ISC */
/* nth_shm.c - of the calls of shm/ to its system one fails; see nth.h */

#include "nth.h"

#include <sys/stat.h>

static struct nth_shm *
of(void *arg)
{
	return arg;
}

static int
fails(void *arg, unsigned kind)
{
	return nth_fails(of(arg)->n, kind) ? nth_kind_error(kind) : 0;
}

/* A call that fails without having done anything. */
#define CALL(name, kind, params, args)					\
	static int							\
	nth_##name params						\
	{								\
		int r = fails(arg, kind);				\
									\
		return r < 0 ? r : of(arg)->real->name args;		\
	}

#define REAL	of(arg)->real->arg

CALL(random, SYS_RANDOM, (void *arg, void *buf, size_t n), (REAL, buf, n))
CALL(open, SYS_OPEN, (void *arg, const char *path, int flags, uint32_t mode),
    (REAL, path, flags, mode))
CALL(lstat, SYS_LSTAT, (void *arg, const char *path, struct shm_stat *ret),
    (REAL, path, ret))
CALL(statfs, SYS_STATFS, (void *arg, const char *path, struct shm_space *ret),
    (REAL, path, ret))
CALL(mkdir, SYS_MKDIR, (void *arg, const char *path, uint32_t mode),
    (REAL, path, mode))
CALL(mkfifo, SYS_MKFIFO, (void *arg, const char *path, uint32_t mode),
    (REAL, path, mode))
CALL(fchmod, SYS_FCHMOD, (void *arg, int fd, uint32_t mode), (REAL, fd, mode))
CALL(resize, SYS_RESIZE, (void *arg, int fd, uint64_t len), (REAL, fd, len))
CALL(fallocate, SYS_FALLOCATE, (void *arg, int fd, uint64_t len),
    (REAL, fd, len))
CALL(punch, SYS_PUNCH, (void *arg, int fd, uint64_t off, uint64_t len),
    (REAL, fd, off, len))
CALL(rename, SYS_RENAME, (void *arg, const char *from, const char *to),
    (REAL, from, to))
CALL(unlink, SYS_UNLINK, (void *arg, const char *path), (REAL, path))
CALL(write, SYS_WRITE, (void *arg, int fd, const void *p, size_t n),
    (REAL, fd, p, n))
CALL(read, SYS_READ, (void *arg, int fd, void *p, size_t n), (REAL, fd, p, n))
CALL(lock, SYS_LOCK, (void *arg, int fd), (REAL, fd))
CALL(locked, SYS_LOCKED, (void *arg, int fd), (REAL, fd))
CALL(map, SYS_MAP, (void *arg, int fd, uint64_t control, uint64_t data,
    bool twice, bool writable, bool dontfork, void **ret_base),
    (REAL, fd, control, data, twice, writable, dontfork, ret_base))
CALL(list, SYS_LIST, (void *arg, const char *path,
    void (*name)(void *ctx, const char *name), void *ctx),
    (REAL, path, name, ctx))

/* Of a FIFO there is nothing to be read from a disk. */
static int
nth_fstat(void *arg, int fd, struct shm_stat *ret)
{
	int r = of(arg)->real->fstat(REAL, fd, ret);

	if (r == 0 && S_ISREG(ret->mode))
		r = fails(arg, SYS_FSTAT);
	return r;
}

/* One that fails has closed. */
static int
nth_close(void *arg, int fd)
{
	int r = fails(arg, SYS_CLOSE), real;

	real = of(arg)->real->close(REAL, fd);
	return r < 0 ? r : real;
}

/* ---- what cannot fail ---- */

static uint64_t
nth_mono_ns(void *arg)
{
	return of(arg)->real->mono_ns(REAL);
}

static uint64_t
nth_wall_ns(void *arg)
{
	return of(arg)->real->wall_ns(REAL);
}

static void
nth_nap(void *arg)
{
	of(arg)->real->nap(REAL);
}

static void
nth_unmap(void *arg, void *base, uint64_t bytes)
{
	of(arg)->real->unmap(REAL, base, bytes);
}

static void
nth_drop(void *arg, void *p, uint64_t bytes)
{
	of(arg)->real->drop(REAL, p, bytes);
}

static uint32_t
nth_uid(void *arg)
{
	return of(arg)->real->uid(REAL);
}

static uint64_t
nth_file_limit(void *arg)
{
	return of(arg)->real->file_limit(REAL);
}

static uint32_t
nth_pid(void *arg)
{
	return of(arg)->real->pid(REAL);
}

const struct shm_sys *
nth_shm(struct nth_shm *s, struct nth *n, const struct shm_sys *real)
{
	*s = (struct nth_shm){ .real = real, .n = n, .mine = {
		.arg = s, .mono_ns = nth_mono_ns, .wall_ns = nth_wall_ns,
		.random = nth_random, .open = nth_open, .close = nth_close,
		.fstat = nth_fstat, .lstat = nth_lstat, .statfs = nth_statfs,
		.mkdir = nth_mkdir, .mkfifo = nth_mkfifo,
		.fchmod = nth_fchmod, .nap = nth_nap, .resize = nth_resize,
		.fallocate = nth_fallocate, .punch = nth_punch,
		.rename = nth_rename, .unlink = nth_unlink,
		.write = nth_write, .read = nth_read, .lock = nth_lock,
		.locked = nth_locked, .map = nth_map, .unmap = nth_unmap,
		.drop = nth_drop, .list = nth_list, .uid = nth_uid,
		.file_limit = nth_file_limit, .pid = nth_pid,
	} };
	return &s->mine;
}
