/* SPDX-License-Identifier: ISC */
/*
 * asked.h - what an administrator asks of the dead letters, as files
 *
 * What:     dir/NAME.ask, one request each, put there by rename; the running
 *           process is told by inotify, one that starts finds them.  One at
 *           a time, in order of their names, is handed to begin(); its file
 *           is removed when it has been done, so one that was cut short is
 *           begun again: what is done of it is not there to be done twice.
 * Used by:  export (reads), admin/dlq.c (writes, text alone).
 * Never:    trusts a file: what is no request is told and removed.
 *
 *   emplogd-dlq 1 replay 0-41 44 60-61\n
 *               |  |      '-- letters by number, first-last, ascending
 *               |  '-- replay | drop
 *               '-- version
 */
#ifndef EMPLOG_ASKED_H
#define EMPLOG_ASKED_H

#include "base/bytes.h"

struct asked;
struct env;

#define ASKED_DIR	"asked"		/* under that of the letters */
#define ASKED_SUFFIX	".ask"
#define ASKED_RANGES_MAX 1024u
#define ASKED_BYTES_MAX	(48u << 10)	/* so many ranges fit */

struct asked_range { uint64_t first, last; };	/* both are asked for */

struct asked_for {
	bool		 drop;		/* else replay */
	unsigned	 n;
	struct asked_range v[ASKED_RANGES_MAX];
};

/* -EINVAL: no request of a version that is known. */
int	 asked_read(struct bytes text, struct asked_for *ret_for);
/* The text; returns its bytes, ASKED_BYTES_MAX always suffice. */
size_t	 asked_text(const struct asked_for *want, char *buf, size_t cap);
bool	 asked_has(const struct asked_for *want, uint64_t number);

/* begin(): borrowed until asked_done().  0 or -ENOMEM. */
int	 asked_new(struct asked **ret_a, struct env *env, const char *dir,
	    void (*begin)(void *arg, const struct asked_for *want), void *arg);
/* Looks, and goes on looking; without inotify every half minute. */
void	 asked_open(struct asked *a);
/* What begin() was given is done. */
void	 asked_done(struct asked *a);
/* A request under way stays on disk. */
void	 asked_close(struct asked *a, void (*closed)(void *arg), void *arg);
void	 asked_free(struct asked **a);

#endif
