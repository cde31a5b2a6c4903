/* SPDX-License-Identifier: ISC */
/*
 * stay.h - requests that stay in their socket until they are answered
 *
 * What:     a request is looked at (MSG_PEEK), handed over whole, answered,
 *           and only then taken out of its socket.  Until then the kernel has
 *           it, and a successor of a process that is killed (roles/keep.h)
 *           finds it as it came: its client notices nothing but time.
 * Used by:  serve.c, where loop_outlive() was called.
 * Never:    takes a request that is out of the ordinary: libmicrohttpd gets
 *           it with all its bytes still in it.
 *
 *   socket:  | head | body |            nothing is taken out
 *               peek  -->  handler  -->  answer sent  -->  taken out, closed
 *   killed      again      again         again, the client   nothing to hear
 *   here:                                has gone
 *
 * What stays is a POST or PUT of HTTP/1.1 with Host, Connection: close and
 * Content-Length, head and body together at most STAY_MAX, without query,
 * coding, expectation, or bytes behind it.
 *
 * Invariants
 *   1. Nothing is received from the socket before the answer is in it.
 *   2. One op is pending on the socket at a time, or the send of an answer
 *      and the recv behind it.
 *   3. Buffers beyond STAY_FIRST are of the server's budget.
 */
#ifndef EMPLOG_STAY_H
#define EMPLOG_STAY_H

#include "loop/serve.h"

struct stay;

#define STAY_FIRST	(4u << 10)	/* an ordinary line of a log fits */
#define STAY_MAX	(1u << 20)

/* Takes over fd when it returns 0.  -ENOMEM, -EMFILE: too many stay. */
int	 stay_take(struct serve *s, int fd, const struct loop_addr *peer);
/* For serve_answer() and req_header(). */
void	 stay_answer(struct serve_req *r, int status, const char *content_type,
	    struct bytes body, const struct serve_header *headers,
	    unsigned headers_n);
const char *stay_header(const struct stay *y, const char *name);
/* What is not whole is given up; answers are sent. */
void	 stay_hurry(struct serve *s);
/* Answers are given up as well.  serve_went_on() is called for each end. */
void	 stay_cut_off(struct serve *s);

#endif
