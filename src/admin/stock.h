/* SPDX-License-Identifier: ISC */
/*
 * stock.h - what a queue's directory has, seen by an observer
 *
 * What:     reads the segments as a recovery would and changes nothing: the
 *           ledger and the ranges of the newest intact checkpoint, the
 *           commits and the frames behind it, each frame still on disk.
 * Used by:  audit.c and trace.c, beside a running role or after its end.
 * Never:    takes the lock, writes, or believes a length.
 *
 *   checkpoint(base) ---- commits, frames ----> end of the newest segment
 *    streams, done        add to both
 *
 * A running role writes on meanwhile: what is seen was true at some moment
 * since the call began, and ranges and commits only grow.  A segment that goes
 * while it is looked for makes the reading begin anew.
 *
 * Bounds: STOCK_FRAMES_MAX frames, STOCK_FILE_MAX bytes of one segment, which
 * is the most of a queue that is in memory at a time.
 */
#ifndef EMPLOG_STOCK_H
#define EMPLOG_STOCK_H

#include "base/env.h"
#include "queue/frame.h"
#include "queue/ledger.h"
#include "queue/ranges.h"
#include "queue/streams.h"

#define STOCK_FRAMES_MAX	(16u << 20)
#define STOCK_FILE_MAX		(1u << 30)

/* One data frame on disk. */
struct stock_frame {
	uint8_t		 stream[STREAM_ID_LEN];
	uint64_t	 from, to;
	uint64_t	 seq;
	uint32_t	 records;
	uint16_t	 flags;		/* CHUNK_* */
	bool		 held;		/* not committed */
};

struct stock {
	struct env	*env;		/* borrowed */
	struct ledger	 ledger;	/* of the base */
	struct ranges	 done;		/* of sequence, committed or void */
	struct streams	*streams;	/* all that was ever taken */
	struct streams	*held;		/* of it, in frames not committed */
	struct stock_frame *frame;	/* in no order */
	size_t		 frames, cap;
	uint64_t	 next_seq;
	unsigned	 segments;
	bool		 based;		/* a checkpoint was found */
};

/* Each data frame on disk, once; its bytes are borrowed for the call. */
typedef void stock_see(void *arg, const struct frame *f, bool held);

/*
 * Reads dir; see may be NULL.  0; -ENOENT: there is no such queue; -EAGAIN: it
 * changes faster than it can be read; -EFBIG: over the bounds; -ENOMEM, and
 * what opening and reading return.  stock_fini() in any case.
 */
int	 stock_read(struct stock *s, struct env *env, const char *dir,
	    stock_see *see, void *arg);
void	 stock_fini(struct stock *s);

#endif
