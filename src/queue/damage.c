/* SPDX-License-Identifier: ISC */
/* damage.c - what is no frame is copied away, piece by piece; see recover.h */

#include <errno.h>

#include "queue/recover.h"

#include "banned.h"

#define PIECES_MAX	256u		/* of one segment; more: kept whole */

void
damage_copy(struct recover *rec)
{
	struct segment *seg = rec->seg;

	seg->end = seg->durable;
	seg->quarantined = true;
	if (rec->damage.n > PIECES_MAX)
		seg->rotten = true;
	if (rec->piece == rec->damage.n || seg->rotten) {
		if (anew_is_due(rec))
			anew_start(rec);
		else
			recover_sync(rec);
		return;
	}
	recover_step(rec, R_COPY);
	quarantine_piece(&rec->qu, rec->fd, seg->number,
	    *ranges_at(&rec->damage, rec->piece));
}

static void
next_piece(struct recover *rec)
{
	rec->piece++;
	damage_copy(rec);
}

/* Zeros where the piece was, a buffer at a time, synced with the file. */
static void
wipe(struct recover *rec, uint64_t at)
{
	const struct range *r = ranges_at(&rec->damage, rec->piece);
	uint64_t n = r->to - at < WRITE_MAX ? r->to - at : WRITE_MAX;

	rec->pos = at;
	if (n == 0 || pages_grow(&rec->feed.mem, n, 0) < 0) {
		next_piece(rec);
		return;
	}
	memset(rec->feed.mem.p, 0, n);
	recover_step(rec, R_WIPE);
	loop_write(recover_loop(rec), &rec->op, rec->fd, rec->feed.mem.p, n,
	    at);
}

/* What cannot be wiped stays, as it does without mend. */
void
damage_step(struct recover *rec, int64_t res)
{
	if (res > 0)
		wipe(rec, rec->pos + (uint64_t)res);
	else
		next_piece(rec);
}

void
damage_copied(struct quarantine *qu, int res)
{
	struct recover *rec = qu->arg;
	struct counters *c = &rec->q->env->ctr;
	const struct range *r = ranges_at(&rec->damage, rec->piece);

	if (res == 0) {
		ctr_add(c, CTR_queue_quarantined_frames, 1);
		ctr_add(c, CTR_queue_quarantined_bytes, r->to - r->from);
	} else if (res != -EEXIST) {
		rec->seg->rotten = true;
	}
	if (rec->q->conf.mend && !rec->seg->rotten)
		wipe(rec, r->from);
	else
		next_piece(rec);
}
