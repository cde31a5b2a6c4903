/* SPDX-License-Identifier: ISC */
/*
 * inpost.h - Forward messages that come as the bodies of HTTP requests
 *
 * What:     POST /v1/forward: what an agent behind an edge that passes only
 *           HTTP (src/hop/edge.h) would have sent over a connection.  The body
 *           goes to the receiver through a pair, as if it came over TCP; its
 *           acknowledgements are the answer.
 * Used by:  roles/station.c.
 * Never:    answers before what it acknowledges is durable; keeps a body
 *           longer than INPOST_WAIT_MS without any of it being taken.
 *
 *   request -- body --> our end ==pair== receiver --> queue
 *      200  <-- acks --              (shut down behind the body: it answers
 *                                     all that is durable, then closes)
 *
 * Answers
 *   200 application/msgpack: acknowledgements, of all messages that asked, or
 *       of as many as were taken before the receiver gave up
 *   400 no Forward messages in it, 405 another method,
 *   413 a message, or the answer, is too large, 503 + Retry-After: none was
 *       taken (the queue is full, or the process ends); text says which
 */
#ifndef EMPLOG_INPOST_H
#define EMPLOG_INPOST_H

#include "loop/serve.h"

#define INPOST_PATH	"/v1/forward"
#define INPOST_WAIT_MS	10000	/* less than the edge at the other end waits */
#define INPOST_END_MS	300	/* at inpost_close() */
#define INPOST_ANSWER_MAX (1u << 20)

struct env;
struct inpost;
struct receiver;

struct inpost_conf {
	struct receiver	*receiver;
	size_t		 message_max;	/* the receiver's; 16 MiB when 0 */
	uint32_t	 wait_ms;	/* INPOST_WAIT_MS when 0 */
};

/* -ENOMEM. */
int	 inpost_new(struct inpost **ret_ip, struct env *env,
	    const struct inpost_conf *conf);
bool	 inpost_owns(const struct serve_req *req);
/* Takes over a request that it owns; answers it. */
void	 inpost_request(struct inpost *ip, struct serve_req *req);
/*
 * New ones are answered 503, those under way within INPOST_END_MS; then
 * closed(arg), never from inside this call.  Before serve_close().
 */
void	 inpost_close(struct inpost *ip, void (*closed)(void *arg),
	    void *arg);
/* After serve_close().  Accepts NULL. */
void	 inpost_free(struct inpost **ip);

#endif
