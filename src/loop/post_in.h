/* SPDX-License-Identifier: ISC */
/*
 * post_in.h - what the parts of loop_post() share: post.c the thread and its
 * requests, post_say.c what one says to libcurl and what came of it
 */
#ifndef EMPLOG_POST_IN_H
#define EMPLOG_POST_IN_H

#include <pthread.h>
#include <stdatomic.h>

#include "loop/backend.h"
#include "loop/curl.h"

#define IDLE_HANDLES	16		/* easy handles kept for the next */

struct xfer {			/* a request under way; the thread's */
	struct xfer	*next, **prevp;
	struct poster	*poster;
	struct op	*op;
	struct post	*post;
	CURL		*easy;
	struct curl_slist *headers;
	struct curl_slist *connect_to;
	curl_off_t	 moved;		/* bytes both ways, at moved_ns */
	uint64_t	 moved_ns;
	size_t		 got;		/* bytes of the answer */
	bool		 enough;	/* ANSWER_MAX was reached */
	char		 words[CURL_ERROR_SIZE];
};

struct poster {
	struct loop	*loop;
	struct curl_lib	 curl;
	int		 refused;	/* -errno: there is no libcurl */
	CURLM		*multi;
	pthread_t	 thread;
	_Atomic(struct op *) asked;	/* newest first */
	atomic_bool	 stop;
	/* the thread's own */
	struct xfer	*active;
	unsigned	 watched;	/* active ones that may not stall */
	CURL		*idle[IDLE_HANDLES];
	unsigned	 idle_n;
};

/* What is to be sent, and the limits.  0 or -ENOMEM, -EINVAL, …. */
int	 post_prepare(struct xfer *x);
/* What the op is told, with post's status and words. */
int	 post_outcome(struct xfer *x, CURLcode code);

#endif
