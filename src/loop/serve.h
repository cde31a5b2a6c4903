/* SPDX-License-Identifier: ISC */
/*
 * serve.h - complete HTTP requests in, answers out (libmicrohttpd behind it)
 *
 * What:     a server without a listening socket: connections are accepted by
 *           the loop and handed over, so one port can tell protocols apart by
 *           the first byte.  A request reaches the handler when its body is
 *           whole; it is answered now or later.
 * Threads:  none; libmicrohttpd runs on the loop's thread through its epoll
 *           descriptor.
 *
 *   serve_take(fd) --> [reads headers, body] --> handler(req)
 *                                                   |  now or later
 *                                              serve_answer(req, …)
 *
 * Invariants
 *   1. Each request handed to the handler is answered exactly once; if its
 *      client went away meanwhile the answer is dropped inside.
 *   2. Body memory over all requests stays under budget_bytes, claimed when
 *      Content-Length is known; a request that would pass it is answered 503
 *      + Retry-After, one whose own body passes body_max 413, unless
 *      refused() says otherwise.  Neither's body is kept; it is read to its
 *      end unless the client waits for "100 Continue", so that the answer is
 *      not lost in a reset.
 *   3. gzip, deflate and zstd are undone before the handler sees the body;
 *      415 for others, 400 for damaged ones, 413 for bombs.
 */
#ifndef EMPLOG_SERVE_H
#define EMPLOG_SERVE_H

#include "loop/loop.h"

struct serve;
struct serve_req;

struct serve_conf {
	void	(*handler)(void *arg, struct serve_req *req);
	void	*arg;
	/*
	 * A request that will not be handed over: the status it is answered
	 * with instead of status.  May be NULL.
	 */
	int	(*refused)(void *arg, const struct serve_req *req, int status);
	size_t	 body_max;		/* 16 MiB unless set */
	size_t	 budget_bytes;		/* 20 MiB unless set */
	unsigned connections_max;	/* 1024 unless set */
	uint32_t idle_ms;		/* 60000 unless set */
};

struct serve_header { const char *name; const char *value; };

/* 0, -ENOMEM or -ENOSYS (no libmicrohttpd). */
int	 serve_new(struct serve **ret_serve, struct env *env,
	    const struct serve_conf *conf);
/*
 * Stops taking connections; requests already handed out must be answered.
 * done(arg) when the last one is gone, its answer sent or 0.2 s have passed
 * (grace is for what is kept, not for who does not read); never from inside
 * this call.  Bodies still coming are given up.
 */
void	 serve_close(struct serve *s, void (*done)(void *arg), void *arg);
/* After done().  Accepts NULL. */
void	 serve_free(struct serve **s);
/*
 * Takes over an accepted descriptor, also when it fails; peeked bytes are
 * still in it.  -EMFILE: connections_max are open; -ENOMEM.
 */
int	 serve_take(struct serve *s, int fd, const struct loop_addr *peer);
/*
 * The same for the end of a bridge: there is no successor for it, so
 * libmicrohttpd reads it from now on.
 */
int	 serve_give(struct serve *s, int fd, const struct loop_addr *peer);
/* Requests handed out and not answered. */
unsigned serve_pending(const struct serve *s);

/* Lent until serve_answer(). */
const char	*req_method(const struct serve_req *r);
const char	*req_path(const struct serve_req *r);	/* without the query */
const char	*req_query(const struct serve_req *r, const char *key);
const char	*req_header(const struct serve_req *r, const char *name);
struct bytes	 req_body(const struct serve_req *r);
const struct loop_addr *req_peer(const struct serve_req *r);
/* The handler's own word per request. */
void		 req_set_arg(struct serve_req *r, void *arg);
void		*req_arg(const struct serve_req *r);

/* body is copied; headers may be NULL.  Ends the loan of everything above. */
void	 serve_answer(struct serve_req *r, int status,
	    const char *content_type, struct bytes body,
	    const struct serve_header *headers, unsigned headers_n);

#endif
