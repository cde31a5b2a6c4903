/* SPDX-License-Identifier: ISC */
/*
 * seen.h - was this very request here a moment ago
 *
 * What:     a bounded table of 128-bit hashes of path and body.  Sets of four;
 *           in a full one the oldest goes.
 * Used by:  ingest.c, for clients that send each line several times.
 */
#ifndef EMPLOG_SEEN_H
#define EMPLOG_SEEN_H

#include "base/bytes.h"

#define SEEN_NS		2000000000u
#define SEEN_SETS	1024
#define SEEN_WAYS	4

struct seen_key {
	uint64_t	 lo, hi;
};

struct seen {
	struct {
		struct seen_key	 key;
		uint64_t	 at_ns;		/* 0: empty */
		bool		 durable;
	} way[SEEN_SETS][SEEN_WAYS];
};

struct seen_key seen_key(const char *path, struct bytes body);
bool	 seen_same(struct seen_key a, struct seen_key b);
/* Within the last SEEN_NS, and on disk if that is wanted. */
bool	 seen_has(const struct seen *s, struct seen_key key, uint64_t now_ns,
	    bool durable);
void	 seen_add(struct seen *s, struct seen_key key, uint64_t now_ns,
	    bool durable);

#endif
