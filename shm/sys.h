/* SPDX-License-Identifier: ISC */
/*
 * sys.h - every outside call of shm/, in one table
 *
 * What:     the producer library and the lane reader reach the system only
 *           through this; tests and the simulator put their own in its place.
 * Errors:   -errno, never errno.
 */
#ifndef EMPLOG_SYS_H
#define EMPLOG_SYS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shm_stat {
	uint64_t size, ino, mtime_ns;
	uint32_t mode;		/* with the type bits of st_mode */
	uint32_t uid, gid;
};
struct shm_space { uint64_t total, free; };

struct shm_sys {
	void	*arg;
	uint64_t (*mono_ns)(void *arg);
	uint64_t (*wall_ns)(void *arg);
	int	 (*random)(void *arg, void *buf, size_t n);
	int	 (*open)(void *arg, const char *path, int flags, uint32_t mode);
	int	 (*close)(void *arg, int fd);
	int	 (*fstat)(void *arg, int fd, struct shm_stat *ret);
	int	 (*lstat)(void *arg, const char *path, struct shm_stat *ret);
	int	 (*statfs)(void *arg, const char *path, struct shm_space *ret);
	int	 (*mkdir)(void *arg, const char *path, uint32_t mode);
	int	 (*mkfifo)(void *arg, const char *path, uint32_t mode);
	int	 (*fchmod)(void *arg, int fd, uint32_t mode);
	/* Sleeps for a millisecond, about. */
	void	 (*nap)(void *arg);
	int	 (*resize)(void *arg, int fd, uint64_t len);
	int	 (*fallocate)(void *arg, int fd, uint64_t len);
	int	 (*punch)(void *arg, int fd, uint64_t off, uint64_t len);
	int	 (*rename)(void *arg, const char *from, const char *to);
	int	 (*unlink)(void *arg, const char *path);
	int	 (*write)(void *arg, int fd, const void *p, size_t n);
	int	 (*read)(void *arg, int fd, void *p, size_t n); /* at 0 */
	/* OFD write lock; test only says whether another holds it (1, 0). */
	int	 (*lock)(void *arg, int fd);
	int	 (*locked)(void *arg, int fd);
	/*
	 * Maps control and data.  twice: the data once more behind itself;
	 * writable: shared, read and write; private to this process over fork
	 * when dontfork.
	 */
	int	 (*map)(void *arg, int fd, uint64_t control, uint64_t data,
		    bool twice, bool writable, bool dontfork, void **ret_base);
	void	 (*unmap)(void *arg, void *base, uint64_t bytes);
	/* Pages that this process need not keep resident. */
	void	 (*drop)(void *arg, void *p, uint64_t bytes);
	/* The names in a directory, one call each; for the budget check. */
	int	 (*list)(void *arg, const char *path,
		    void (*name)(void *ctx, const char *name), void *ctx);
	uint32_t (*uid)(void *arg);
	uint64_t (*file_limit)(void *arg);	/* RLIMIT_FSIZE */
	uint32_t (*pid)(void *arg);

	/* ---- of a logger only ---- */

	/*
	 * Writes up to 4096 bytes where that does not block (0: it would) and
	 * raises no signal: a pipe without a reader is -EPIPE, a file at its
	 * size limit -EFBIG.
	 */
	int	 (*say)(void *arg, int fd, const void *p, size_t n);
	/*
	 * Adds 1 to the low half of word, or stores v, in a mapping that
	 * others may cut short: -EFAULT then, and no SIGBUS.
	 */
	int	 (*count)(void *arg, _Atomic uint64_t *word);
	int	 (*poke)(void *arg, _Atomic uint64_t *word, uint64_t v);
	/* Lets another thread have the processor, if one waits for it. */
	void	 (*yield)(void *arg);
};

/* The real one. */
extern const struct shm_sys shm_sys_os;

#endif
