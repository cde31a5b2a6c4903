/* SPDX-License-Identifier: ISC */
/*
 * edge.h - a peer that is reached through HTTPS alone
 *
 * What:     stands between a sender and a relay behind an edge: the sender
 *           gets one end of a pair and speaks Forward as over TCP; what it
 *           writes goes on as POSTs of whole messages, and the answers'
 *           bodies, acknowledgements, come back.
 * Used by:  src/hop/dial.c, for peers https://host[:port][/path] (and
 *           http://, for edges of one's own network and tests).
 * Never:    lets two requests under way hold chunks of one stream: edges keep
 *           no order between requests, a lane has one.  Puts the key into a
 *           text.
 *
 *   sender ==pair== in --cut at messages--> letter[0..3] --POST--> edge, relay
 *                ^                             |
 *                `------- acknowledgements <---'   200, application/msgpack
 *
 *   IDLE --edge_open--> HELLO --200--> UP --a fault, or the sender left--> ENDS
 *     ^                   |  refused                                        |
 *     `-------------------'-------------------------------------------------'
 *
 * Invariants
 *   1. Opening says hello first, by a POST of its own: a peer that cannot be
 *      reached, does not believe the key or is no relay is never "up".
 *   2. At most EDGE_LETTERS requests are under way; a message goes at once
 *      when one is free and its stream is in none, else it waits for company:
 *      up to EDGE_BODY bytes or EDGE_MESSAGES messages make a body.
 *   3. Memory: (EDGE_LETTERS + 1) * EDGE_BODY for bodies (a message that is
 *      longer takes its own length, EDGE_MESSAGE_MAX at most), EDGE_LETTERS *
 *      EDGE_ANSWER for answers, and what libcurl needs; next to nothing
 *      while nothing is under way.
 *   4. What an edge does now and then - a connection cut, 502, 504 - is asked
 *      again, EDGE_TRIES times in all: a range that came already is cut there.
 *      Anything else but 200 with an acknowledgement for each message that
 *      asked is a fault: those who were answered are told, the rest has
 *      EDGE_GRACE_MS to come home, the pair is closed, edge_why() says why.
 *      So the sender goes to its next peer and sends again.
 *   5. An edge that answers 413 gets gzip and half as much from then on, down
 *      to 64 KiB or one message.
 */
#ifndef EMPLOG_EDGE_H
#define EMPLOG_EDGE_H

#include "loop/loop.h"

#define EDGE_LETTERS	4
#define EDGE_BODY	((1u << 20) + (16u << 10))
#define EDGE_MESSAGE_MAX (16u << 20)
#define EDGE_MESSAGES	512
#define EDGE_STREAMS	64	/* a body has chunks of, at most */
#define EDGE_ANSWER	(32u << 10)
#define EDGE_TRIES	3
#define EDGE_AGAIN_MS	100	/* at most before the second, then double */
#define EDGE_GRACE_MS	1000
#define EDGE_STALL_MS	14000	/* not a byte either way: the peer is gone */
#define EDGE_WHY	320

struct env;
struct edge;

/* All text is copied; NULL and "" both mean none. */
struct edge_conf {
	const char	*url;		/* a peer's text, see peers.h */
	const char	*agent_id;	/* of the hello */
	const char	*ca;		/* PEM file; none: the system's */
	const char	*cert, *cert_key; /* PEM files of our own */
	const char	*name;		/* asked for and verified instead of host */
	const char	*key;		/* shared: Authorization: Bearer */
};

/* -EINVAL: url; -ENOMEM. */
int	 edge_new(struct edge **ret_e, struct env *env,
	    const struct edge_conf *conf);
/*
 * Says hello; then opened(arg, res): a descriptor that is the caller's and
 * speaks Forward, or -EACCES (key or certificate refused), -EMSGSIZE,
 * -EPROTO (no relay answers there), -EBUSY (it says later), -ETIMEDOUT,
 * -ECONNREFUSED, ….  Never from inside this call.  Not open or opening
 * (must); what was open may still be ending.
 */
void	 edge_open(struct edge *e, void (*opened)(void *arg, int res),
	    void *arg);
/* Why it failed or ended last, for people; "" when it did not. */
const char *edge_why(const struct edge *e);
/* The same as -errno, -ETIMEDOUT: it fell silent; 0 when it did not. */
int	 edge_error(const struct edge *e);
/* How long the peer asked to be left alone, from now; 0: it did not. */
uint64_t edge_wait_ns(const struct edge *e);
/*
 * Ends everything: opened(arg, -ECANCELED) if that is still to come, then
 * closed(arg), never from inside this call.
 */
void	 edge_close(struct edge *e, void (*closed)(void *arg), void *arg);
/* Never opened, or closed.  Accepts NULL. */
void	 edge_free(struct edge **e);

#endif
