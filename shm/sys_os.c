/* SPDX-License-Identifier: ISC */
/* sys_os.c - shm_sys over the real system; the contract is in sys.h */

#include "shm/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t
os_mono_ns(void *arg)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t
os_wall_ns(void *arg)
{
	return clock_ns(CLOCK_REALTIME);
}

static int
os_random(void *arg, void *buf, size_t n)
{
	uint8_t *p = buf;
	ssize_t r;

	while (n > 0) {
		r = getrandom(p, n, 0);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

static int
os_open(void *arg, const char *path, int flags, uint32_t mode)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int
os_close(void *arg, int fd)
{
	return close(fd) < 0 ? -errno : 0;
}

static void
stat_take(const struct stat *st, struct shm_stat *ret)
{
	*ret = (struct shm_stat){
		.size = (uint64_t)st->st_size,
		.ino = st->st_ino,
		.mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u +
		    (uint64_t)st->st_mtim.tv_nsec,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
	};
}

static int
os_fstat(void *arg, int fd, struct shm_stat *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	stat_take(&st, ret);
	return 0;
}

static int
os_lstat(void *arg, const char *path, struct shm_stat *ret)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	stat_take(&st, ret);
	return 0;
}

static int
os_statfs(void *arg, const char *path, struct shm_space *ret)
{
	struct statvfs st;

	if (statvfs(path, &st) < 0)
		return -errno;
	ret->total = (uint64_t)st.f_blocks * st.f_frsize;
	ret->free = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static int
os_mkdir(void *arg, const char *path, uint32_t mode)
{
	return mkdir(path, (mode_t)mode) < 0 ? -errno : 0;
}

static int
os_mkfifo(void *arg, const char *path, uint32_t mode)
{
	return mkfifo(path, (mode_t)mode) < 0 ? -errno : 0;
}

static int
os_fchmod(void *arg, int fd, uint32_t mode)
{
	return fchmod(fd, (mode_t)mode) < 0 ? -errno : 0;
}

static void
os_nap(void *arg)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	(void)nanosleep(&ms, NULL);
}

static int
os_resize(void *arg, int fd, uint64_t len)
{
	return ftruncate(fd, (off_t)len) < 0 ? -errno : 0;
}

static int
os_fallocate(void *arg, int fd, uint64_t len)
{
	int r;

	do
		r = posix_fallocate(fd, 0, (off_t)len);
	while (r == EINTR);
	return -r;
}

static int
os_punch(void *arg, int fd, uint64_t off, uint64_t len)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	    (off_t)off, (off_t)len) < 0 ? -errno : 0;
}

static int
os_rename(void *arg, const char *from, const char *to)
{
	return rename(from, to) < 0 ? -errno : 0;
}

static int
os_unlink(void *arg, const char *path)
{
	return unlink(path) < 0 ? -errno : 0;
}

static int
os_write(void *arg, int fd, const void *p, size_t n)
{
	ssize_t r;

	r = write(fd, p, n);
	return r < 0 ? -errno : (int)r;
}

static int
os_read(void *arg, int fd, void *p, size_t n)
{
	ssize_t r;

	r = pread(fd, p, n, 0);
	return r < 0 ? -errno : (int)r;
}

static int
os_lock(void *arg, int fd)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &fl) < 0 ? -errno : 0;
}

static int
os_locked(void *arg, int fd)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
		return -errno;
	return fl.l_type != F_UNLCK;
}

/*
 * The address range is reserved first, so that the parts lie side by side.
 * Only the producer (twice) populates: its first record must not fault, while
 * the agent wants no page before it reads it.
 */
static int
os_map(void *arg, int fd, uint64_t control, uint64_t data, bool twice,
    bool writable, bool dontfork, void **ret_base)
{
	uint64_t once = control + data, all = once + (twice ? data : 0);
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	int flags = MAP_SHARED | MAP_FIXED | (twice ? MAP_POPULATE : 0);
	uint8_t *base;
	int r;

	base = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
	    MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	if (mmap(base, once, prot, flags, fd, 0) == MAP_FAILED)
		goto fail;
	if (twice && mmap(base + once, data, prot, flags, fd,
	    (off_t)control) == MAP_FAILED)
		goto fail;
	/* Without it a child would keep its dead parent's lane alive. */
	if (dontfork && madvise(base, all, MADV_DONTFORK) < 0)
		goto fail;
	/* Only a courtesy to whoever reads the core. */
	(void)madvise(base, all, MADV_DONTDUMP);
	*ret_base = base;
	return 0;
fail:
	r = -errno;
	munmap(base, all);
	return r;
}

static void
os_unmap(void *arg, void *base, uint64_t bytes)
{
	munmap(base, bytes);
}

static void
os_drop(void *arg, void *p, uint64_t bytes)
{
	(void)madvise(p, bytes, MADV_DONTNEED);
}

/* What getdents64(2) fills; readdir(3) would allocate. */
struct dent {
	uint64_t	 ino;
	int64_t		 off;
	uint16_t	 reclen;
	uint8_t		 type;
	char		 name[];
};

static void
dents_call(const uint8_t *buf, size_t n,
    void (*name)(void *ctx, const char *name), void *ctx)
{
	const struct dent *d;
	size_t at;

	for (at = 0; at < n; at += d->reclen) {
		d = (const struct dent *)(buf + at);
		if (strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0)
			name(ctx, d->name);
	}
}

static int
os_list(void *arg, const char *path, void (*name)(void *ctx, const char *name),
    void *ctx)
{
	_Alignas(struct dent) uint8_t buf[4096];
	long n;
	int fd, r;

	fd = os_open(arg, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0)
		dents_call(buf, (size_t)n, name, ctx);
	r = n < 0 ? -errno : 0;
	close(fd);
	return r;
}

static uint32_t
os_uid(void *arg)
{
	return geteuid();
}

static uint64_t
os_file_limit(void *arg)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_FSIZE, &rl) < 0 || rl.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return rl.rlim_cur;
}

static bool
would_block(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) <= 0 || (p.revents & POLLOUT) == 0;
}

/*
 * What a write raises is pending for this thread alone: it is held back and
 * taken, unless one was pending before, which then is not ours.
 */
static ssize_t
write_unsignalled(int fd, const void *p, size_t n)
{
	const struct timespec now = { 0 };
	sigset_t ours, before, old;
	ssize_t r;

	sigemptyset(&ours);
	sigaddset(&ours, SIGPIPE);
	sigaddset(&ours, SIGXFSZ);
	if (sigpending(&before) < 0)
		return -errno;
	if (sigismember(&before, SIGPIPE) == 1)
		sigdelset(&ours, SIGPIPE);
	if (sigismember(&before, SIGXFSZ) == 1)
		sigdelset(&ours, SIGXFSZ);
	r = -pthread_sigmask(SIG_BLOCK, &ours, &old);
	if (r < 0)
		return r;
	r = write(fd, p, n);
	if (r < 0)
		r = -errno;
	if (r == -EPIPE || r == -EFBIG)
		(void)sigtimedwait(&ours, NULL, &now);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static int
os_say(void *arg, int fd, const void *p, size_t n)
{
	return would_block(fd) ? 0 : (int)write_unsignalled(fd, p, n);
}

/*
 * A futex operation of which only the addition matters: it wakes nobody, and
 * to the kernel a page that is gone is an error.  Its numbers are those of
 * linux/futex.h, which musl-gcc does not find.
 */
static int
os_count(void *arg, _Atomic uint64_t *word)
{
	const long wake_op = 5, private = 128, add_1 = 1 << 28 | 1 << 12;
	uint32_t nobody = 0;

	return syscall(SYS_futex, &nobody, wake_op | private, 0L, NULL,
	    word, add_1) < 0 ? -errno : 0;
}

static int
os_poke(void *arg, _Atomic uint64_t *word, uint64_t v)
{
	const struct iovec from = { &v, sizeof(v) };
	const struct iovec to = { word, sizeof(v) };

	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) < 0 ?
	    -errno : 0;
}

static void
os_yield(void *arg)
{
	sched_yield();
}

static uint32_t
os_pid(void *arg)
{
	return (uint32_t)getpid();
}

const struct shm_sys shm_sys_os = {
	.mono_ns = os_mono_ns,
	.wall_ns = os_wall_ns,
	.random = os_random,
	.open = os_open,
	.close = os_close,
	.fstat = os_fstat,
	.lstat = os_lstat,
	.statfs = os_statfs,
	.mkdir = os_mkdir,
	.mkfifo = os_mkfifo,
	.fchmod = os_fchmod,
	.nap = os_nap,
	.resize = os_resize,
	.fallocate = os_fallocate,
	.punch = os_punch,
	.rename = os_rename,
	.unlink = os_unlink,
	.write = os_write,
	.read = os_read,
	.lock = os_lock,
	.locked = os_locked,
	.map = os_map,
	.unmap = os_unmap,
	.drop = os_drop,
	.list = os_list,
	.uid = os_uid,
	.file_limit = os_file_limit,
	.pid = os_pid,
	.say = os_say,
	.count = os_count,
	.poke = os_poke,
	.yield = os_yield,
};
