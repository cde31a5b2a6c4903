/* SPDX-License-Identifier: ISC */
/*
 * dead.h - records no backend will take, kept with the reason
 *
 * What:     a queue of its own (dir/, the format of queue.h) in which each
 *           frame is one record; its identity holds the lane's, and behind
 *           that why, when and where it died: see letter.h.  Letters asked
 *           for are taken out of it again, in order, each as the record it
 *           was: stream, range and identity, so that its id stays the same.
 * Never:    lets the source be committed before the letter is durable;
 *           forgets a letter that was taken before dead_done().
 *
 *   bury   dead_put() --> durable --> the source commits
 *   back   dead_want(), dead_take() --> accepted, or buried anew and durable
 *                                   --> dead_done(), of the old letter
 *   drop   dead_want(), dead_take() --> dead_done()
 *
 * Letters have the number of their frame; it never repeats in a directory.
 */
#ifndef EMPLOG_DEAD_H
#define EMPLOG_DEAD_H

#include "base/chunk.h"

struct asked_for;
struct dead;
struct env;

struct dead_letter {
	struct chunk	 chunk;		/* body[0]: the record's entry, or bytes;
					   stream and range: where it was born,
					   so that its id stays the same */
	const char	*why;
	int		 status;
	const char	*words;
	const char	*endpoint;	/* what they were refused by */
	const char	*dataset;
};

/* more(arg): dead_take() may have another one. */
int	 dead_new(struct dead **ret_d, struct env *env, const char *dir,
	    uint64_t bytes_max, void (*more)(void *arg), void *arg);
void	 dead_open(struct dead *d, void (*opened)(void *arg, int res),
	    void *arg);
/*
 * Copies the letter; done(arg, 0) when it is durable.  -EBUSY: one is under
 * way.  Any failure: the letter is not kept, try again later.
 */
int	 dead_put(struct dead *d, const struct dead_letter *letter,
	    void (*done)(void *arg, int res), void *arg);

/* Takes these from now on, from the first; borrowed until the next call. */
void	 dead_want(struct dead *d, const struct asked_for *want);
/*
 * The next of them, copied into buf as queue_take() does, without its note.
 * -EAGAIN: none now; -ENOBUFS.
 */
int	 dead_take(struct dead *d, void *buf, size_t cap, struct chunk *ret,
	    uint64_t *ret_seq);
/* Bytes the next dead_take() may need, 0: it will say -EAGAIN. */
size_t	 dead_peek(const struct dead *d);
/* This letter is a record delivered, or a newer letter, or was dropped. */
void	 dead_done(struct dead *d, uint64_t seq);
/*
 * No more of those wanted are there, or can be reached: a queue gives out so
 * many behind one that stays.
 */
bool	 dead_all_taken(const struct dead *d);
/* Every dead_done() is on disk, and does not come undone by a crash. */
bool	 dead_is_settled(const struct dead *d);
/* Letters that are kept; and so many more that are gone by damage. */
uint64_t dead_held(const struct dead *d);
uint64_t dead_lost(const struct dead *d);

void	 dead_close(struct dead *d, void (*closed)(void *arg), void *arg);
void	 dead_free(struct dead **d);

#endif
