/* SPDX-License-Identifier: ISC */
/*
 * serve_inner.h - what the files of serve.h share
 *
 *   serve.c     requests that libmicrohttpd reads, and the contract
 *   serve_req.c what a request says, and its body within the budget
 *   stay.c      those that stay in their socket until they are answered
 */
#ifndef EMPLOG_SERVE_INNER_H
#define EMPLOG_SERVE_INNER_H

#include <microhttpd.h>

#include "base/env.h"
#include "base/must.h"
#include "loop/serve.h"

struct stay;

struct serve {
	uint32_t	 magic;		/* SERVE_MAGIC */
	struct env	*env;
	struct serve_conf conf;
	struct MHD_Daemon *mhd;
	int		 epoll_fd;
	struct op	 poll;		/* on epoll_fd */
	struct op	 timer;		/* libmicrohttpd's next timeout */
	size_t		 held;		/* bytes of bodies, against the budget */
	unsigned	 pending;	/* handed out, not answered */
	unsigned	 sending;	/* answered, not yet sent */
	struct stay	*stays;		/* see stay.h */
	unsigned	 stays_n;
	bool		 running;	/* inside libmicrohttpd */
	bool		 resumed;	/* it must run again, now */
	bool		 closing;
	bool		 closed;
	uint64_t	 flush_until;	/* loop_now() clock, 0: not begun */
	void		(*done)(void *arg);
	void		*done_arg;
};
#define SERVE_MAGIC	0x53525645U

enum req_state {
	REQ_READING,		/* the body comes */
	REQ_HANDED,		/* the handler has it */
	REQ_ANSWERED		/* response is set, or there was no memory */
};

struct serve_req {
	uint32_t	 magic;		/* REQ_MAGIC */
	struct serve	*serve;
	struct MHD_Connection *conn;	/* NULL: it is stay's */
	struct stay	*stay;
	struct MHD_Response *response;
	const char	*method;	/* conn's or stay's, as is path */
	const char	*path;
	void		*arg;
	struct loop_addr peer;
	uint8_t		*body;
	size_t		 len;
	size_t		 cap;
	size_t		 held;		/* of serve->held */
	enum req_state	 state;
	int		 status;	/* of the response */
	int		 refuse;	/* status known before the handler */
	bool		 inside;	/* the handler has not returned */
	bool		 suspended;
};
#define REQ_MAGIC	0x52455121U

static inline void
req_check(const struct serve_req *r)
{
	must(r != NULL);
	must(r->magic == REQ_MAGIC);
}

/* What it had is given back to the budget. */
void	 req_body_drop(struct serve_req *r);
/* The next part of one that comes; r->refuse says when it is too much. */
void	 req_body_take(struct serve_req *r, const void *p, size_t n);
/* Its length was said: refused now, or given its room at once. */
void	 req_body_announced(struct serve_req *r, uint64_t n);
/* The encoded body becomes the plain one; r->refuse when it cannot. */
void	 req_body_decode(struct serve_req *r);

/* After anything has ended: goes on with closing, if that is so. */
void	 serve_went_on(struct serve *s);

#endif
