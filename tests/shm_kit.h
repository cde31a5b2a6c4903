/* SPDX-License-Identifier: ISC */
/*
 * shm_kit.h - a ring of a test's own, and a system that does as told
 *
 * What:     kit_ring() makes a fresh directory on a tmpfs, kit_clean() takes
 *           it away; kit_sys is the real system but for the words below.
 * Used by:  tests/test_writer.c, tests/test_emplog.c.
 */
#ifndef EMPLOG_SHM_KIT_H
#define EMPLOG_SHM_KIT_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/lane.h"
#include "shm/sys.h"

static char kit_top[64];	/* made by kit_ring(), holds the ring */
static char kit_dir[96];	/* the ring: not made */
static struct shm_sys kit_sys;

static struct {
	uint64_t	 tmpfs;		/* total size; 0: the real one */
	uint64_t	 left;		/* of fallocate, UINT64_MAX: no limit */
	uint64_t	 file_limit;
	uint64_t	 mono_ns;	/* 0: the real clock */
	uint32_t	 uid;		/* UINT32_MAX: the real one */
} kit;

static inline int
kit_statfs(void *arg, const char *path, struct shm_space *ret)
{
	int r = shm_sys_os.statfs(arg, path, ret);

	if (r == 0 && kit.tmpfs > 0)
		ret->total = kit.tmpfs;
	return r;
}

static inline int
kit_fallocate(void *arg, int fd, uint64_t len)
{
	if (len > kit.left)
		return -ENOSPC;
	if (kit.left != UINT64_MAX)
		kit.left -= len;
	return shm_sys_os.fallocate(arg, fd, len);
}

static inline uint64_t
kit_file_limit(void *arg)
{
	return kit.file_limit;
}

static inline uint64_t
kit_mono(void *arg)
{
	return kit.mono_ns != 0 ? kit.mono_ns : shm_sys_os.mono_ns(arg);
}

static inline uint32_t
kit_uid(void *arg)
{
	return kit.uid != UINT32_MAX ? kit.uid : shm_sys_os.uid(arg);
}

static inline void
kit_ring(void)
{
	memset(&kit, 0, sizeof(kit));
	kit.left = kit.file_limit = UINT64_MAX;
	kit.uid = UINT32_MAX;
	kit_sys = shm_sys_os;
	kit_sys.statfs = kit_statfs;
	kit_sys.fallocate = kit_fallocate;
	kit_sys.file_limit = kit_file_limit;
	kit_sys.mono_ns = kit_mono;
	kit_sys.uid = kit_uid;
	snprintf(kit_top, sizeof(kit_top), "/dev/shm/emplog-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(kit_top));
	snprintf(kit_dir, sizeof(kit_dir), "%s/ring", kit_top);
}

static inline void
kit_remove(const char *dir, int depth)
{
	char path[4096];
	struct dirent *e;
	DIR *d = depth > 0 ? opendir(dir) : NULL;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 ||
		    strcmp(e->d_name, "..") == 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >=
		    (int)sizeof(path))
			continue;
		if (unlink(path) < 0)
			kit_remove(path, depth - 1);
	}
	if (d != NULL)
		closedir(d);
	(void)rmdir(dir);
}

static inline void
kit_clean(void)
{
	kit_remove(kit_top, 4);
}

/* Names in dir that end so; the last one's path in ret_path if not NULL. */
static inline unsigned
kit_count(const char *dir, const char *suffix, char *ret_path, size_t cap)
{
	struct dirent *e;
	unsigned n = 0;
	size_t len, m = strlen(suffix);
	DIR *d = opendir(dir);

	while (d != NULL && (e = readdir(d)) != NULL) {
		len = strlen(e->d_name);
		if (e->d_name[0] == '.' && m > 0 && suffix[0] != '.')
			continue;
		if (len < m || strcmp(e->d_name + len - m, suffix) != 0)
			continue;
		n++;
		if (ret_path != NULL)
			snprintf(ret_path, cap, "%s/%s", dir, e->d_name);
	}
	if (d != NULL)
		closedir(d);
	return n;
}

static inline unsigned
kit_temporaries(const char *dir)
{
	struct dirent *e;
	unsigned n = 0;
	DIR *d = opendir(dir);

	while (d != NULL && (e = readdir(d)) != NULL)
		n += strncmp(e->d_name, ".tmp-", 5) == 0;
	if (d != NULL)
		closedir(d);
	return n;
}

static inline int
kit_locked(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), r;

	ck_assert_int_ge(fd, 0);
	r = shm_sys_os.locked(NULL, fd);
	close(fd);
	return r;
}

#endif
