/* SPDX-License-Identifier: ISC */
/*
 * patience.h - how long a peer may owe an answer before it is left
 *
 * What:     the moment an answer is due.  No I/O, no clock of its own.
 * Used by:  src/hop/sender.c.
 *
 *   sent as a whole, or the last answer        due
 *        |<-------- usual << slow ------------->|
 *
 * Invariants
 *   1. While the oldest chunk is still going, each byte of it that goes is a
 *      sign of life; what goes behind it is none.
 *   2. A chunk that needs longer than usual over a thin line would be sent
 *      for ever: each silence doubles the patience, at most to 8 times; each
 *      answer within a quarter of it halves it again.
 *   3. A chunk that is taken back is owed all the same, until some answer
 *      comes.
 */
#ifndef EMPLOG_PATIENCE_H
#define EMPLOG_PATIENCE_H

#include <stdint.h>

struct patience {
	uint64_t	 usual_ns;
	unsigned	 slow;		/* doublings */
	uint64_t	 went_ns;	/* bytes of a chunk went */
	uint64_t	 answered_ns;
	uint64_t	 owed_ns;	/* oldest sent_ns taken back, or 0 */
};

void	 patience_init(struct patience *p, uint32_t usual_ms);
/* A connection is up; what was learned of the line stays. */
void	 patience_begin(struct patience *p, uint64_t now_ns);
void	 patience_went(struct patience *p, uint64_t now_ns);
/* sent_ns: when the chunk answered had gone as a whole, or 0. */
void	 patience_answered(struct patience *p, uint64_t sent_ns,
	    uint64_t now_ns);
/* It was due and did not come. */
void	 patience_silent(struct patience *p);
/* The chunk is not waited for any more, but the peer still owes for it. */
void	 patience_taken_back(struct patience *p, uint64_t sent_ns);
/* Since when an answer is owed for the oldest chunk, sent_ns as above. */
uint64_t patience_since(const struct patience *p, uint64_t sent_ns);
uint64_t patience_due(const struct patience *p, uint64_t sent_ns);

#endif
