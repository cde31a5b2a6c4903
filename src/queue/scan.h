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

#endif
