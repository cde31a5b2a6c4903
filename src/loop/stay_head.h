/* SPDX-License-Identifier: ISC */
/*
 * stay_head.h - is this one of the requests that stay, and is it whole
 *
 * What:     recognises; it does not parse HTTP.  What it is not sure of is
 *           HEAD_OTHER, and libmicrohttpd has its own opinion of it.
 * Used by:  stay.c; what it takes is said in stay.h.
 *
 *   POST /path HTTP/1.1\r\n Name: value\r\n ... \r\n | body |
 *        ^ path                                      ^ len  ^ len + body_n
 */
#ifndef EMPLOG_STAY_HEAD_H
#define EMPLOG_STAY_HEAD_H

#include <stddef.h>
#include <stdint.h>

#define HEAD_MAX	(8u << 10)

enum head_kind { HEAD_OTHER, HEAD_PART, HEAD_WHOLE };

struct head {
	const char	*method;	/* a constant */
	const char	*path;		/* in the bytes given */
	size_t		 path_n;
	size_t		 len;		/* of the head, its empty line too */
	size_t		 body_n;
};

/* HEAD_PART: so many bytes are needed, at least, to know more. */
enum head_kind head_read(struct head *h, const uint8_t *p, size_t n,
	    size_t *ret_need);
/* Of a whole one: path and values are ended by NUL, in place. */
void	 head_cut(struct head *h, uint8_t *p);
/* The value, after head_cut(), or NULL. */
const char *head_find(const struct head *h, const uint8_t *p,
	    const char *name);

#endif
