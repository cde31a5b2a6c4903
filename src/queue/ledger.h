/* SPDX-License-Identifier: ISC */
/*
 * ledger.h - the body of a commit and of a checkpoint frame
 *
 *  off len
 *    0   8  own_pos: next position of the queue's own stream
 *    8  64  cumulated since the directory was made, frames and records:
 *           put, done, dropped for age, lost to damage
 *   72   4  n, ranges of seq that follow
 *   76   4  zero
 *   80 16n  { from, to } ascending, disjoint.  Commit: done since the last
 *           commit; checkpoint: all that are done or void
 *           then, in a checkpoint, the streams to the end (streams.h)
 */
#ifndef EMPLOG_LEDGER_H
#define EMPLOG_LEDGER_H

#include "base/bytes.h"
#include "queue/ranges.h"

#define LEDGER_HEAD	80
#define LEDGER_RANGES_MAX (1u << 19)

struct tally { uint64_t frames, records; };

struct ledger {
	uint64_t	 own_pos;
	struct tally	 put;
	struct tally	 done;
	struct tally	 aged;
	struct tally	 lost;
};

static inline size_t
ledger_size(uint32_t ranges_n)
{
	return LEDGER_HEAD + 16 * (size_t)ranges_n;
}

/* Writes ledger_size(n) bytes: the first n ranges of done. */
void	 ledger_put(uint8_t *p, const struct ledger *l,
	    const struct ranges *done, uint32_t n);
/*
 * Adds the ranges to done; ret_rest is what follows them.  -EBADMSG: nothing
 * was changed; -ENOMEM.
 */
int	 ledger_get(struct bytes b, struct env *env, struct ledger *ret_l,
	    struct ranges *done, struct bytes *ret_rest);

#endif
