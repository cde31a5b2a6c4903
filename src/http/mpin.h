/* SPDX-License-Identifier: ISC */
/*
 * mpin.h - a msgpack body to Forward entries
 *
 * What:     concatenated maps, Forward entries ([time, map]) or arrays of
 *           either become entries, their secrets replaced; the counterpart of
 *           json.h.
 * Used by:  body.c.
 * Never:    hands on what the walker would refuse.  What follows a fault is
 *           given up: msgpack has no place to begin anew.
 */
#ifndef EMPLOG_MPIN_H
#define EMPLOG_MPIN_H

#include "http/json.h"

struct mp_in {
	struct bytes	 body;
	size_t		 at;
	uint64_t	 left;		/* members of the outer array */
	uint64_t	 now_ns;
	struct json_counts counts;	/* bad_json: what is not msgpack */
	size_t		 bad_at;	/* SIZE_MAX: none */
	const char	*bad_why;
};

void	 mp_in_init(struct mp_in *m, struct bytes body, uint64_t now_ns);
/* As json_in_next(). */
int64_t	 mp_in_next(struct mp_in *m, uint8_t *out, size_t cap);

#endif
