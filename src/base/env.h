/* SPDX-License-Identifier: ISC */
/*
 * env.h - all the outside a part may touch
 *
 * What:     one struct env per instance of a role: its loop (I/O, clock,
 *           random), its memory, its counters, its log.  Passed to each part
 *           at init and borrowed by it until fini.
 * Why:      nothing in src/ or roles/ has mutable file-scope data, so several
 *           simulated processes live in one real one.
 */
#ifndef EMPLOG_ENV_H
#define EMPLOG_ENV_H

#include <stddef.h>
#include <stdint.h>

#include "counters/counters.h"

struct fates;
struct loop;

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct env {
	struct loop	*loop;		/* borrowed */
	struct counters	 ctr;		/* maps or borrows its words */
	struct fates	*fates;		/* of ranges let go; NULL: not told */
	enum log_level	 log_level;
	int		 log_fd;	/* -1: silent */
	/* Where lines go instead of log_fd when not NULL (tests, sim). */
	void		(*log_sink)(void *arg, enum log_level, const char *line);
	void		*log_arg;
	const char	*name;		/* "agent", "relay", "exporter" */
	/* Allocation, replaced by tests that fail the nth one. */
	void		*(*alloc)(void *arg, size_t n);
	void		 (*release)(void *arg, void *p);
	void		*mem_arg;
};

/*
 * Fills the defaults: malloc, stderr, info, private counters.  -ENOMEM: all
 * but the counters is there, and env_fini() does no harm.
 */
int	 env_init(struct env *env, struct loop *loop, const char *name);
/* Unmaps counters and fates. */
void	 env_fini(struct env *env);

/* Zeroed memory, or NULL when there is none (n is at least 1). */
void	*env_alloc(struct env *env, size_t n);
/* Accepts NULL. */
void	 env_free(struct env *env, void *p);
/* A copy of s, or NULL when there is no memory. */
char	*env_strdup(struct env *env, const char *s);

/*
 * One line for an operator: lower case, no full stop, the subject quoted,
 * what was expected.  Only roles and main log; a leaf returns -errno.
 * The level is printed as sd-daemon's "<3>" when stderr is the journal.
 */
void	 env_log(struct env *env, enum log_level level, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));

#endif
