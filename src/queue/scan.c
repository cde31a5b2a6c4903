/* SPDX-License-Identifier: ISC */
/* scan.c - intact frames in the bytes of a segment; see scan.h */

#include "queue/scan.h"

#include <errno.h>

#include "base/must.h"

#include "banned.h"

/* Length of the zeros at the start, in whole words unless they reach n. */
static size_t
zeros(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i + 8 <= n && le64_get(p + i) == 0)
		i += 8;
	if (n - i >= 8)
		return i;
	for (size_t k = i; k < n; k++)
		if (p[k] != 0)
			return i;
	return n;
}

/*
 * 0: a frame that belongs here.  -ESTALE: intact, of another generation.
 * -EAGAIN: *ret_need bytes would tell.  -EBADMSG: none.
 */
static int
frame_here(const uint8_t *p, size_t n, uint64_t at, uint64_t generation,
    struct frame *ret_f, size_t *ret_need)
{
	int r;

	*ret_need = FRAME_HEAD;
	r = frame_peek(p, n, ret_f);
	if (r < 0)
		return r;
	if (ret_f->at != at)
		return -EBADMSG;
	*ret_need = ret_f->size;
	r = frame_get(p, n, ret_f);
	if (r < 0)
		return r;
	return generation != 0 && ret_f->generation != generation ?
	    -ESTALE : 0;
}

static bool
looks_like_frame(const uint8_t *p)
{
	return le32_get(p + 8) == FRAME_MAGIC;
}

/*
 * How far the damage at p[0] reaches: to the next frame, to a block that
 * begins with zeros (the padding behind a torn group), or to the end.
 */
static void
measure_damage(const uint8_t *p, size_t n, uint64_t at, bool last,
    uint64_t generation, struct scan *s)
{
	struct frame f;
	size_t i, need;
	int r;

	s->kind = SCAN_DAMAGE;
	for (i = 8; i + 16 <= n; i += 8) {
		if ((at + i) % FRAME_BLOCK == 0 &&
		    le64_get(p + i) == 0 && le64_get(p + i + 8) == 0)
			break;
		if (!looks_like_frame(p + i))
			continue;
		r = frame_here(p + i, n - i, at + i, generation, &f, &need);
		if (r == -EBADMSG || (r == -EAGAIN && last))
			continue;
		break;		/* a frame, or the caller must read on */
	}
	s->len = i + 16 > n && last ? n : i;
}

void
scan_next(const uint8_t *p, size_t n, uint64_t at, bool last,
    uint64_t generation, struct scan *s)
{
	size_t need;
	int r;

	must(at % 8 == 0);
	*s = (struct scan){ .kind = last ? SCAN_END : SCAN_MORE, .len = 16 };
	if (n < 16 && !last)
		return;
	s->len = 0;
	if (n == 0)
		return;
	s->len = zeros(p, n);
	/* A frame's first word is its hash, and that may be 0. */
	if (s->len >= 8 && s->len < n && n - s->len >= 8 &&
	    le32_get(p + s->len) == FRAME_MAGIC)
		s->len -= 8;
	s->kind = SCAN_ZERO;
	if (s->len > 0)
		return;
	r = n < 16 ? -EBADMSG :
	    frame_here(p, n, at, generation, &s->frame, &need);
	if (r == 0 || r == -ESTALE) {
		s->kind = r == 0 ? SCAN_FRAME : SCAN_STALE;
		s->len = s->frame.size;
	} else if (r == -EAGAIN && !last) {
		s->kind = SCAN_MORE;
		s->len = need;
	} else {
		measure_damage(p, n, at, last, generation, s);
	}
}

enum scan_why
scan_why(const uint8_t *p, size_t n, uint64_t at)
{
	struct frame f;
	int version = frame_version(p, n);

	if (version < 0)
		return SCAN_NOTHING;
	if (version != FRAME_VERSION)
		return SCAN_VERSION;
	if (n < FRAME_HEAD)
		return SCAN_SHORT;
	if (frame_peek(p, n, &f) < 0)
		return SCAN_HEAD;
	if (f.at != at)
		return SCAN_PLACE;
	return f.size > n ? SCAN_SHORT : SCAN_SUM;
}
