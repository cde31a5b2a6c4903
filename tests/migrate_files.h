/* SPDX-License-Identifier: ISC */
/*
 * migrate_files.h - old configurations in memory, and what is made of them
 *
 * What:     a file system of a few texts for migrate_files(), and our own
 *           reader over what it printed.
 * Used by:  tests/test_migrate.c, tests/fuzz/fuzz_migrate.c.
 */
#ifndef EMPLOG_TESTS_MIGRATE_FILES_H
#define EMPLOG_TESTS_MIGRATE_FILES_H

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "admin/migrate.h"

struct kept_file {
	const char	*path, *text;
	size_t		 n;
};

struct kept {
	struct kept_file file[8];
	unsigned	 n;
};

static int
kept_load(void *arg, const char *path, char *buf, size_t cap, size_t *ret_n)
{
	const struct kept *k = arg;
	unsigned i;

	for (i = 0; i < k->n; i++) {
		if (strcmp(k->file[i].path, path) != 0)
			continue;
		if (k->file[i].n >= cap)
			return -EFBIG;
		memcpy(buf, k->file[i].text, k->file[i].n);
		*ret_n = k->file[i].n;
		return 0;
	}
	return -ENOENT;
}

static int
kept_match(void *arg, const char *pattern, void *each_arg,
    int (*each)(void *each_arg, const char *path))
{
	const struct kept *k = arg;
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < k->n; i++)
		if (fnmatch(pattern, k->file[i].path, FNM_PATHNAME) == 0)
			r = each(each_arg, k->file[i].path);
	return r;
}

/* The faults our reader finds in conf, or -errno. */
static int
faults_in(const char *conf, size_t n, char *const *env,
    void (*tell)(void *arg, bool fault, const char *line))
{
	int fd = memfd_create("made.conf", MFD_CLOEXEC), r;
	char path[64];
	struct conf_source src = { .file = path, .env = env, .tell = tell };
	struct conf *c = NULL;

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = write(fd, conf, n) == (ssize_t)n ? conf_read(&c, &src) : -EIO;
	conf_free(&c);
	close(fd);
	return r;
}

#endif
