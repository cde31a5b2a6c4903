/* SPDX-License-Identifier: ISC */
/*
 * look.h - what lies in a queue's directory, without touching it
 *
 * What:     the recovery of recover.c with its hands tied: the same passes
 *           over the same segments, so it sees the same frames, the same
 *           commits and the same damage as the next start would; but it
 *           locks, writes, syncs and moves nothing.
 * Used by:  emplogd queue ls, check, cat, export; the tests of damage.
 * Memory:   as recovery's: it does not depend on how much lies there.
 *
 * Beside a process that has the queue open the look is of no one moment: the
 * end of the newest segment may be half written (damage that is none a
 * moment later), and segments may go between two passes (sum.gone).
 *
 * Order of calls: of each segment, oldest first, its frames and damage in the
 * order they lie in, then segment(); at the end done(), once.
 */
#ifndef EMPLOG_QUEUE_LOOK_H
#define EMPLOG_QUEUE_LOOK_H

#include "queue/frame.h"
#include "queue/scan.h"

struct env;

struct look_segment {
	uint64_t	 number;	/* its name */
	uint64_t	 order;		/* what it says of itself */
	uint64_t	 bytes;
	uint64_t	 first_seq, end_seq;	/* equal: it holds no data */
	uint64_t	 frames, records;	/* intact */
	uint64_t	 held_frames, held_records;	/* of those: not done */
	uint64_t	 copies;	/* frames seen in an older segment */
	uint64_t	 oldest_ns, newest_ns;	/* taken_ns; 0: no data */
	int		 version;	/* -1: what is at its start has none */
	int		 error;		/* -errno: it could not be read;
					   -EPROTONOSUPPORT: of that version */
	bool		 checkpoint;	/* begins with one, intact */
	bool		 newest;
};

struct look_damage {
	uint64_t	 number;	/* of the segment */
	uint64_t	 from, to;	/* bytes */
	enum scan_why	 why;
	int		 version;	/* with SCAN_VERSION */
};

struct look_sum {
	uint8_t		 id[STREAM_ID_LEN];	/* zero: nothing told it */
	uint64_t	 held_frames, held_records;
	/* Put, and neither here nor accounted for; 0 when some were gone. */
	uint64_t	 lost_frames, lost_records;
	bool		 unread;	/* some of it could not be read */
	bool		 gone;		/* a segment went while it was looked at */
};

struct look {
	/* A data frame's first intact copy; lent until the call returns. */
	void		(*frame)(void *arg, const struct frame *f, bool held);
	void		(*damage)(void *arg, const struct look_damage *d);
	void		(*segment)(void *arg, const struct look_segment *s);
	/* sum is NULL when res is -errno: -ENOENT, -EACCES, -ENOTDIR, ….
	   -EAGAIN: it changed too much meanwhile, and nothing was told yet. */
	void		(*done)(void *arg, int res, const struct look_sum *sum);
	void		*arg;
	/* the look's own */
	struct queue	*q;
	struct look_segment seg;
	struct look_sum	 sum;
};

/* Borrows look and dir until done(). 0, or -ENOMEM and no done(). */
int	 queue_look(struct look *look, struct env *env, const char *dir);

#endif
