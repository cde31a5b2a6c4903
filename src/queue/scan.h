/* SPDX-License-Identifier: ISC */
/*
 * scan.h - finds the intact frames in the bytes of a segment
 *
 * What:     pure: the caller has some bytes of a file, the scan says what the
 *           first of them are.  Recovery and queue_take() share it, so both
 *           see the same frames in the same damaged file.
 */
#ifndef EMPLOG_SCAN_H
#define EMPLOG_SCAN_H

#include "queue/frame.h"

enum scan_kind {
	SCAN_FRAME,	/* len bytes: frame is intact */
	SCAN_ZERO,	/* len bytes of nothing: padding, or never written */
	SCAN_STALE,	/* len bytes: intact, but of another generation */
	SCAN_DAMAGE,	/* len bytes that are none of the above */
	SCAN_MORE,	/* cannot tell before len bytes are there */
	SCAN_END,	/* no byte is left */
};

/* Why the bytes at a place are no frame. */
enum scan_why {
	SCAN_NOTHING,	/* no frame begins there */
	SCAN_VERSION,	/* one of another version */
	SCAN_HEAD,	/* the fields of its head cannot be */
	SCAN_PLACE,	/* it was written for another place */
	SCAN_SHORT,	/* it goes on where the bytes end */
	SCAN_SUM,	/* its sum is another */
	SCAN_WHYS
};

struct scan {
	enum scan_kind	 kind;
	size_t		 len;
	struct frame	 frame;
};

/*
 * Looks at p[0..n), which lie at byte `at` (a multiple of 8) of a file;
 * last: no byte follows them.  generation 0: not known yet.
 */
void	 scan_next(const uint8_t *p, size_t n, uint64_t at, bool last,
	    uint64_t generation, struct scan *ret_s);
/* Of the bytes that scan_next() called damage. */
enum scan_why scan_why(const uint8_t *p, size_t n, uint64_t at);

#endif
