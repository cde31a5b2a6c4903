/* SPDX-License-Identifier: ISC */
/*
 * dead.h - records no backend will take, kept with the reason
 *
 * What:     a queue of its own (dir/, the format of queue.h) in which each
 *           frame is one record; its identity holds the lane's, and
 *             emplog.dead_why     "refused", "too large", "not a record", …
 *             emplog.dead_status  the HTTP status, "" for none
 *             emplog.dead_words   the backend's words
 * Never:    lets the source be committed before the letter is durable.
 */
#ifndef EMPLOG_DEAD_H
#define EMPLOG_DEAD_H

#include "base/chunk.h"

struct env;
struct dead;

struct dead_letter {
	struct chunk	 chunk;		/* body[0]: the record's entry, or bytes;
					   stream and range: where it was born,
					   so that its id stays the same */
	const char	*why;
	int		 status;
	const char	*words;
};

int	 dead_new(struct dead **ret_d, struct env *env, const char *dir,
	    uint64_t bytes_max);
void	 dead_open(struct dead *d, void (*opened)(void *arg, int res),
	    void *arg);
/*
 * Copies the letter; done(arg, 0) when it is durable.  -EBUSY: one is under
 * way.  Any failure: the letter is not kept, try again later.
 */
int	 dead_put(struct dead *d, const struct dead_letter *letter,
	    void (*done)(void *arg, int res), void *arg);
void	 dead_close(struct dead *d, void (*closed)(void *arg), void *arg);
void	 dead_free(struct dead **d);

#endif
