/* SPDX-License-Identifier: ISC */
/* letters.c - dead letters as they lie on disk; see letters.h */

#include "admin/letters.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/human.h"
#include "base/env.h"
#include "export/asked.h"
#include "queue/ledger.h"
#include "queue/scan.h"
#include "banned.h"

#define SEGMENT_MAX	(64u << 20)
#define PATH_CAP	1024

struct sight {
	struct env	 env;		/* memory of the ranges */
	struct ranges	 done;		/* no longer kept */
	struct ranges	 seen;
	void		(*each)(void *arg, const struct letter *l);
	void		*arg;
	int64_t		 n;
	bool		 telling;	/* second pass */
};

/* ---- frames ---- */

static int
see_data(struct sight *s, const struct frame *f)
{
	struct letter l = { .number = f->seq, .frame = f };
	int r;

	if (!s->telling || ranges_has(&s->done, f->seq) ||
	    ranges_has(&s->seen, f->seq))
		return 0;
	r = ranges_add(&s->seen, &s->env, f->seq, f->seq + 1);
	if (r < 0)
		return r;
	letter_get(f->identity, &l.note);
	s->n++;
	if (s->each != NULL)
		s->each(s->arg, &l);
	return 0;
}

static int
see_ledger(struct sight *s, const struct frame *f)
{
	struct ledger ledger;
	struct bytes rest;
	int r;

	if (s->telling)
		return 0;
	r = ledger_get(f->body, &s->env, &ledger, &s->done, &rest);
	return r == -ENOMEM ? r : 0;
}

static int
see_bytes(struct sight *s, const uint8_t *p, size_t n)
{
	uint64_t generation = 0;
	struct scan found;
	size_t at = 0;
	int r = 0;

	while (at < n && r == 0) {
		scan_next(p + at, n - at, at, true, generation, &found);
		if (found.kind == SCAN_MORE || found.kind == SCAN_END)
			break;
		if (found.kind == SCAN_FRAME) {
			generation = found.frame.generation;
			r = found.frame.kind == FRAME_DATA ?
			    see_data(s, &found.frame) :
			    see_ledger(s, &found.frame);
		}
		if (found.len == 0)
			break;
		at += found.len;
	}
	return r;
}

/* ---- files ---- */

static int64_t
read_all(int fd, uint8_t *p, size_t n)
{
	size_t at = 0;
	ssize_t got;

	while (at < n) {
		got = pread(fd, p + at, n - at, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		at += (size_t)got;
	}
	return (int64_t)at;
}

/* One that was removed meanwhile held nothing that is kept. */
static int
see_file(struct sight *s, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK), r = 0;
	struct stat st;
	uint8_t *p;
	int64_t n;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
		close(fd);
		return 0;
	}
	n = st.st_size > (off_t)SEGMENT_MAX ? SEGMENT_MAX : st.st_size;
	p = malloc((size_t)n);
	if (p == NULL)
		r = -ENOMEM;
	if (r == 0)
		n = read_all(fd, p, (size_t)n);
	if (r == 0)
		r = n < 0 ? (int)n : see_bytes(s, p, (size_t)n);
	free(p);
	close(fd);
	return r;
}

static int
is_segment(const struct dirent *e)
{
	const char *dot = strchr(e->d_name, '.');

	return dot == e->d_name + 16 && strcmp(dot, ".seg") == 0;
}

static int
see_files(struct sight *s, int fd, struct dirent **list, int n)
{
	int r = 0, i;

	s->telling = false;
	for (i = 0; i < n && r == 0; i++)
		r = see_file(s, fd, list[i]->d_name);
	s->telling = true;
	for (i = 0; i < n && r == 0; i++)
		r = see_file(s, fd, list[i]->d_name);
	return r;
}

int64_t
letters_each(const char *dir, void (*each)(void *arg, const struct letter *l),
    void *arg)
{
	struct sight s = { .each = each, .arg = arg };
	struct dirent **list = NULL;
	int fd, n, r;

	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = scandirat(fd, ".", &list, is_segment, alphasort);
	r = n < 0 ? -errno : 0;
	if (r == 0)
		r = env_init(&s.env, NULL, "dlq");
	if (r == 0)
		r = see_files(&s, fd, list, n);
	ranges_fini(&s.done, &s.env);
	ranges_fini(&s.seen, &s.env);
	env_fini(&s.env);		/* which is empty, or begun */
	for (; n > 0; n--)
		free(list[n - 1]);
	free(list);
	close(fd);
	return r < 0 ? r : s.n;
}

/* ---- asking ---- */

int
letters_are_run(const char *dir)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_CAP];
	int fd, r;

	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = fcntl(fd, F_OFD_GETLK, &l) < 0 ? -errno : l.l_type != F_UNLCK;
	close(fd);
	return r;
}

static int
write_all(int fd, const char *p, size_t n)
{
	ssize_t put;

	for (; n > 0; p += put, n -= (size_t)put) {
		put = write(fd, p, n);
		if (put < 0 && errno == EINTR)
			put = 0;
		else if (put < 0)
			return -errno;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Whoever made a name in it. */
static int
sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* Who runs emplogd must be able to read and remove what root asks. */
static int
open_asked(const char *dir, struct stat *ret_owner)
{
	char path[PATH_CAP];
	int fd, r;

	if (stat(dir, ret_owner) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/" ASKED_DIR, dir);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	r = sync_dir(dir);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (geteuid() == 0 && fchown(fd, ret_owner->st_uid,
	    ret_owner->st_gid) < 0) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static int
put_text(int dir, const struct stat *owner, const char *name,
    const char *text, size_t n)
{
	char aside[NAME_MAX];
	int fd, r;

	snprintf(aside, sizeof(aside), ".%s", name);
	fd = openat(dir, aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, n);
	if (r == 0 && geteuid() == 0 &&
	    fchown(fd, owner->st_uid, owner->st_gid) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(dir, aside, dir, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, aside, 0);
	else if (fsync(dir) < 0)
		r = -errno;
	return r;
}

int
letters_ask(const char *dir, const struct asked_for *want, char *path,
    size_t cap)
{
	char name[64], *text;
	struct stat owner;
	int fd, r;

	/* In order of time, as they are done. */
	snprintf(name, sizeof(name), "%020llu-%ld" ASKED_SUFFIX,
	    (unsigned long long)human_now(), (long)getpid());
	snprintf(path, cap, "%s/" ASKED_DIR "/%s", dir, name);
	text = malloc(ASKED_BYTES_MAX);
	if (text == NULL)
		return -ENOMEM;
	fd = open_asked(dir, &owner);
	r = fd < 0 ? fd : put_text(fd, &owner, name, text,
	    asked_text(want, text, ASKED_BYTES_MAX));
	if (fd >= 0)
		close(fd);
	free(text);
	return r;
}
