/* SPDX-License-Identifier: ISC */
/*
 * version.c - segments of an emplogd with another format; see recover.h
 *
 * They are left alone: the emplogd that wrote them delivers what they hold.
 * A flipped bit may say of one frame what they say, so a file is such a one
 * only if its first frame is, another is too, and none of it is ours.
 */

#include "queue/recover.h"

#include "banned.h"

#define VERSION_ROOM	16u	/* so much of a frame has its version */

bool
version_is_other(struct recover *rec, struct bytes b, const struct scan *s)
{
	int version = frame_version(b.p, b.n);

	if (rec->pos == 0 && s->kind == SCAN_DAMAGE && version > 0 &&
	    version != FRAME_VERSION)
		rec->version = (uint8_t)version;
	return rec->version != 0;
}

static bool
has_version(struct bytes b, size_t at, int version)
{
	for (; at + VERSION_ROOM <= b.n; at += 8)
		if (frame_version(b.p + at, b.n - at) == version)
			return true;
	return false;
}

int
version_see(struct recover *rec, struct bytes b, const struct scan *s)
{
	if (s->kind == SCAN_FRAME || s->kind == SCAN_STALE) {
		rec->version = 0;	/* it is ours, and begins with damage */
		return 1;
	}
	b.n = s->len + VERSION_ROOM < b.n ? s->len + VERSION_ROOM : b.n;
	if (s->kind == SCAN_DAMAGE &&
	    has_version(b, rec->pos == 0 ? 8 : 0, rec->version))
		rec->has_two = true;
	rec->pos += s->len;
	return 0;
}

void
version_settle(struct recover *rec)
{
	if (rec->version == 0 || !rec->has_two)
		return;
	ctr_add(&rec->q->env->ctr, CTR_queue_unread_segments, 1);
	rec->q->unread.version++;
	rec->seg->foreign = true;
	rec->seg->version = rec->version;
	rec->unsure = true;	/* it may have sequences we do not know */
}
