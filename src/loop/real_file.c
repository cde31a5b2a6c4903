/* SPDX-License-Identifier: ISC */
/* real_file.c - file operations and inotify; the contract is in real.h */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/must.h"
#include "loop/real.h"

#include "banned.h"

#define IO_MAX	(1u << 30)	/* of one read or write */

bool
real_is_dir(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

/*
 * Not a write to a FIFO: that may raise SIGPIPE, which the worker's thread has
 * blocked.  Not a close of a file: the last one frees its blocks.
 */
bool
real_at_once(const struct op *op)
{
	struct stat st;

	if (op->kind == OP_READ)
		return op->off == LOOP_STREAM;
	if (op->kind != OP_CLOSE || fstat(op->fd, &st) < 0)
		return false;
	return !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static int64_t
result(int64_t r)
{
	return r < 0 ? -errno : r;
}

static int64_t
file_read(struct op *op)
{
	size_t n = op->len < IO_MAX ? op->len : IO_MAX;

	if (op->off == LOOP_STREAM)
		return result(read(op->fd, op->buf, n));
	return result(pread(op->fd, op->buf, n, (off_t)op->off));
}

static int64_t
file_write(struct op *op)
{
	size_t n = op->len < IO_MAX ? op->len : IO_MAX;

	if (op->off == LOOP_STREAM)
		return result(write(op->fd, op->cbuf, n));
	return result(pwrite(op->fd, op->cbuf, n, (off_t)op->off));
}

/*
 * fdatasync() of a directory leaves out the entries on ext4: to it they are
 * not data that a reader of the file needs.
 */
static int64_t
file_fsync(struct op *op)
{
	if (real_is_dir(op->fd))
		return result(fsync(op->fd));
	return result(fdatasync(op->fd));
}

static int64_t
file_close(struct op *op)
{
	/* Linux has closed it also when it says EINTR. */
	if (close(op->fd) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

static enum loop_type
type_of(mode_t mode)
{
	if (S_ISREG(mode))
		return LOOP_FILE;
	if (S_ISDIR(mode))
		return LOOP_DIR;
	if (S_ISFIFO(mode))
		return LOOP_FIFO;
	return S_ISLNK(mode) ? LOOP_LINK : LOOP_OTHER;
}

static int64_t
file_stat(struct op *op)
{
	struct stat st;

	if (lstat(op->path, &st) < 0)
		return -errno;
	op->stat = (struct loop_stat){
		.type = type_of(st.st_mode), .mode = st.st_mode & 07777,
		.uid = st.st_uid, .gid = st.st_gid, .ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u +
		    (uint64_t)st.st_mtim.tv_nsec,
	};
	return 0;
}

static bool
is_fleeting(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (fs.f_type == TMPFS_MAGIC ||
	    fs.f_type == RAMFS_MAGIC || fs.f_type == OVERLAYFS_SUPER_MAGIC);
}

static int64_t
file_space(struct op *op)
{
	struct statvfs v;

	if (statvfs(op->path, &v) < 0)
		return -errno;
	op->space = (struct loop_space){
		.total_bytes = (uint64_t)v.f_blocks * v.f_frsize,
		.free_bytes = (uint64_t)v.f_bavail * v.f_frsize,
		.free_inodes = v.f_favail,
		.fleeting = is_fleeting(op->path),
	};
	return 0;
}

static int64_t
file_list(struct op *op)
{
	struct list_names ln = { 0 };
	struct dirent *d;
	DIR *dir;

	dir = opendir(op->path);
	if (dir == NULL)
		return -errno;
	while (errno = 0, (d = readdir(dir)) != NULL)
		list_add(&ln, d->d_name);
	if (errno != 0 && ln.error == 0)
		ln.error = -errno;
	closedir(dir);
	return list_end(&ln, op);
}

static int64_t
file_lock(struct op *op)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(op->fd, F_OFD_SETLK, &fl) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static int64_t
file_once(struct op *op)
{
	switch (op->kind) {
	case OP_READ:
		return file_read(op);
	case OP_WRITE:
		return file_write(op);
	case OP_FSYNC:
		return file_fsync(op);
	case OP_OPEN:
		return result(open(op->path, (int)op->flags, (mode_t)op->len));
	case OP_CLOSE:
		return file_close(op);
	case OP_RENAME:
		return result(rename(op->path, op->path2));
	case OP_UNLINK:
		return result(unlink(op->path));
	case OP_MKDIR:
		return result(mkdir(op->path, (mode_t)op->len));
	case OP_FALLOCATE:
		return result(fallocate(op->fd, 0, (off_t)op->off,
		    (off_t)op->len));
	case OP_TRUNCATE:
		return result(ftruncate(op->fd, (off_t)op->len));
	case OP_LIST:
		return file_list(op);
	case OP_STAT:
		return file_stat(op);
	case OP_SPACE:
		return file_space(op);
	case OP_LOCK:
		return file_lock(op);
	default:
		must(!"a file operation");
		return -ENOSYS;
	}
}

int64_t
real_file(struct op *op)
{
	int64_t r;

	do
		r = file_once(op);
	while (r == -EINTR);
	return r;
}

/* ---- inotify ---- */

int
real_watch_open(struct loop *l, const char *dir, struct loop_watch **ret_watch)
{
	const uint32_t what = IN_CREATE | IN_DELETE | IN_MOVED_FROM |
	    IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR;
	struct loop_watch *w;
	int r;

	w = malloc(sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0) {
		r = -errno;
		free(w);
		return r;
	}
	if (inotify_add_watch(w->fd, dir, what) < 0) {
		r = -errno;
		close(w->fd);
		free(w);
		return r;
	}
	*ret_watch = w;
	return 0;
}

void
real_watch_close(struct loop *l, struct loop_watch *w)
{
	close(w->fd);
	free(w);
}

static int64_t
count_events(const char *buf, size_t len, int64_t sum)
{
	const struct inotify_event *ev;
	size_t at;

	for (at = 0; at < len; at += sizeof(*ev) + ev->len) {
		ev = (const struct inotify_event *)(buf + at);
		if (ev->mask & IN_Q_OVERFLOW)
			sum = -EOVERFLOW;
		else if ((ev->mask & IN_IGNORED) && sum != -EOVERFLOW)
			sum = -ENOENT;
		else if (sum >= 0)
			sum++;
	}
	return sum;
}

int64_t
real_watch_take(const struct loop_watch *w)
{
	_Alignas(struct inotify_event) char buf[4096];
	int64_t sum = 0;
	ssize_t n;

	for (;;) {
		n = read(w->fd, buf, sizeof(buf));
		if (n > 0)
			sum = count_events(buf, (size_t)n, sum);
		else if (n == 0 || errno != EINTR)
			break;
	}
	if (sum == 0)
		return n < 0 ? -errno : -EAGAIN;
	return sum;
}
