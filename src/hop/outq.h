/* SPDX-License-Identifier: ISC */
/*
 * outq.h - chunks on their way over one connection, in order
 *
 * What:     which bytes go next, as iovecs into the chunks themselves; which
 *           chunk an answer belongs to.  No I/O.
 * Used by:  src/hop/sender.c.
 *
 *      first          cur
 *        |  sent, not   |  being sent  |  waiting         -> next
 *        |  answered    |  cur_off     |
 *
 * A chunk whose memory vanished is filled up with 0xc1, which no msgpack has:
 * the announced length stays true and the rest of the connection whole.  The
 * option map behind the body says where that begins: the fill may lie inside
 * a string, where no walker would notice it.
 */
#ifndef EMPLOG_OUTQ_H
#define EMPLOG_OUTQ_H

#include <sys/uio.h>

#include "hop/sender.h"
#include "hop/wire.h"

#define OUTQ_ENDS	256	/* ends of streams not yet told */

struct outq {
	struct hop_chunk *first;
	struct hop_chunk **lastp;
	struct hop_chunk *cur;		/* first not sent as a whole */
	size_t		 cur_off;	/* bytes of cur's message sent */
	size_t		 fill_from;	/* offset in cur's body, or SIZE_MAX */
	bool		 careful;	/* page by page: something faulted */
	bool		 flying;	/* an iov is out */
	bool		 ctl_flying;	/* ... and it is control bytes */
	unsigned	 chunks;
	unsigned	 early;		/* answered before they were sent whole */
	uint64_t	 bytes;		/* of bodies */

	const char	*agent_id;	/* borrowed */
	uint8_t		 ctl[4 * WIRE_CONTROL_MAX];
	size_t		 ctl_len, ctl_off;
	unsigned	 ctl_ends;	/* how many of end[] are in ctl */
	uint8_t		 end[OUTQ_ENDS][STREAM_ID_LEN];
	unsigned	 ends;
};

void	 outq_init(struct outq *q, const char *agent_id);
/* A new connection: nothing of ctl counts as told. Empty (must). */
void	 outq_begin(struct outq *q);

/* hc has head and tail; it is the queue's until one of the takes below. */
void	 outq_put(struct outq *q, struct hop_chunk *hc);
/* Bytes that are no chunk, unless some are to be told as it is. */
void	 outq_hello(struct outq *q);
/* At OUTQ_ENDS the oldest is not told: the peer forgets it by age. */
void	 outq_end(struct outq *q, const uint8_t stream[STREAM_ID_LEN]);

/* What to send next, at most max iovecs; 0: nothing. Lent until _sent. */
unsigned outq_iov(struct outq *q, struct iovec *iov, unsigned max);
struct outq_sent { unsigned chunks; uint64_t bytes; };
/* Ends the loan: n bytes went (0 when the send failed). */
void	 outq_sent(struct outq *q, size_t n, uint64_t now_ns,
	    struct outq_sent *ret_sent);
/*
 * After a send that failed with -EFAULT, and outq_sent(0).  0: go on, and
 * *ret_filled bytes were given up; -EFAULT: it was not a body's memory.
 */
int	 outq_fault(struct outq *q, size_t *ret_filled);

/*
 * The chunk an answer belongs to: 0 and it is out of the queue; -EAGAIN it
 * was not sent as a whole yet, outq_take_early() gives it then; -ENOENT.
 */
int	 outq_take(struct outq *q, struct bytes id,
	    struct hop_chunk **ret_hc);
struct hop_chunk *outq_take_early(struct outq *q);
/* This one, which went as a whole and has no answer; -EBUSY: it did not. */
int	 outq_take_back(struct outq *q, struct hop_chunk *hc);
/* The first one, whatever became of it; NULL: empty. No iov is out (must). */
struct hop_chunk *outq_take_first(struct outq *q);

#endif
