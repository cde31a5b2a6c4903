/* SPDX-License-Identifier: ISC */
/* replay.c - what the frames found say, by pass; see recover.h */

#include <errno.h>

#include "counters/fates.h"
#include "queue/recover.h"

#include "banned.h"

static void
head_frame(struct recover *rec, const struct frame *f)
{
	struct segment *seg = rec->seg;

	if (f->kind != FRAME_CHECKPOINT)
		return;
	seg->checkpointed = true;
	seg->doubted = f->from != seg->number;
	if (f->from < UINT64_MAX / 2)
		seg->order = f->from;
	rec->q->number = at_least(rec->q->number, seg->order);
	if (f->seq < SEQ_MAX)
		seg->first_seq = f->seq;
}

/*
 * A file that was renamed has a checkpoint that names another segment, and so
 * has one whose first block was written over with another's.  Then what is
 * behind it is of the generation this file had.
 */
void
replay_doubt(struct recover *rec, const struct scan *s)
{
	struct segment *seg = rec->seg;

	seg->doubted = false;
	if (s->kind != SCAN_STALE)
		return;
	seg->astray = true;
	seg->checkpointed = false;
	seg->order = seg->number;
	seg->first_seq = 0;
	seg->generation = s->frame.generation;
}

static int
ledger_body(struct recover *rec, const struct frame *f)
{
	struct queue *q = rec->q;
	struct ledger l;
	struct bytes rest;
	int r;

	r = ledger_get(f->body, q->env, &l, &q->done, &rest);
	if (r < 0)
		return r;
	/* It knows no frame from its own sequence on: none of them is done. */
	ranges_remove(&q->done, q->env, f->seq, UINT64_MAX);
	q->ledger = l;
	rec->first_live = f->seq;
	memcpy(q->id, f->stream, STREAM_ID_LEN);
	if (f->kind == FRAME_CHECKPOINT)
		r = streams_load(q->streams, rest);
	return r;
}

static void
hold(struct queue *q, struct segment *seg, const struct frame *f)
{
	seg->live++;
	seg->held.frames++;
	seg->held.records += f->records;
	seg->unread.frames++;
	seg->unread.records += f->records;
	seg->unread_bytes += f->body.n;
	q->held.frames++;
	q->held.records += f->records;
	q->held_bytes += f->body.n;
}

/*
 * Is it in no segment read before?  -EEXIST: a second copy, which the reader
 * must not take from here, whatever order it reads the segments in.
 */
static int
first_copy(struct recover *rec, uint64_t seq)
{
	struct env *env = rec->q->env;
	int r;

	if (rec->own_of != rec->seg)
		ranges_clear(&rec->own);
	rec->own_of = rec->seg;
	if (ranges_has(&rec->own, seq))
		return -EEXIST;
	if (ranges_has(&rec->seen, seq)) {
		r = ranges_add(&rec->seg->copies, env, seq, seq + 1);
		return r < 0 ? r : -EEXIST;
	}
	r = ranges_add(&rec->seen, env, seq, seq + 1);
	return r < 0 ? r : ranges_add(&rec->own, env, seq, seq + 1);
}

void
replay_unread(struct recover *rec)
{
	if (!rec->seg->rotten)
		recover_unread(rec);
	rec->seg->rotten = true;
	rec->hole = true;
}

/*
 * A disk that failed may answer the next time.  The reader must not find what
 * nobody has counted: such frames lie in a file that is kept.
 */
int
replay_hole(struct recover *rec, uint64_t seq)
{
	int r = 0;

	if (rec->hole && rec->hole_seq < seq)
		r = ranges_add(&rec->seg->copies, rec->q->env, rec->hole_seq,
		    seq);
	rec->hole = false;
	rec->hole_seq = seq + 1;
	return r;
}

/*
 * A second copy lies in a copy of a file, and that has the same generation.
 * One of a file of its own is another frame with a sequence that was given
 * twice, as after a backup was put back: it cannot be delivered beside the
 * first, and so its file is kept.
 */
static void
keep_forked(struct recover *rec)
{
	const struct segment *seg;

	if (rec->twin_of == rec->seg || rec->seg->rotten)
		return;
	rec->twin_of = rec->seg;
	for (seg = rec->q->oldest; seg != NULL; seg = seg->next)
		if (seg != rec->seg && seg->generation == rec->seg->generation)
			return;
	rec->seg->rotten = true;
}

static int
data_frame(struct recover *rec, const struct frame *f)
{
	struct queue *q = rec->q;
	struct segment *seg = rec->seg;
	int r;

	r = replay_hole(rec, f->seq);
	if (r < 0)
		return r;
	r = first_copy(rec, f->seq);
	if (r == -EEXIST)
		keep_forked(rec);
	if (r == -EEXIST && q->look != NULL)
		look_frame(rec, f, true, false);
	if (r < 0)
		return r == -EEXIST ? 0 : r;
	ctr_add(&q->env->ctr, CTR_queue_recovered_frames, 1);
	if (!seg->has_data || f->seq < seg->first_seq)
		seg->first_seq = f->seq;
	seg->end_seq = at_least(seg->end_seq, f->seq + 1);
	seg->has_data = true;
	if (f->seq >= rec->first_live) {
		q->ledger.put.frames++;
		q->ledger.put.records += f->records;
	}
	if (!ranges_has(&q->done, f->seq))
		hold(q, seg, f);
	if (q->look != NULL)
		look_frame(rec, f, false, !ranges_has(&q->done, f->seq));
	if (seg->order < rec->base->order)
		return 0;		/* its range is in the checkpoint */
	r = streams_add(q->streams, f->stream, f->from, f->to,
	    (f->flags & CHUNK_FOREIGN) != 0, loop_wall(q->env->loop));
	return r == -ENOMEM ? r : 0;
}

int
replay_frame(struct recover *rec, const struct frame *f)
{
	struct queue *q = rec->q;
	int r;

	if (rec->seg->generation == 0)
		rec->seg->generation = f->generation;
	if (f->seq >= SEQ_MAX)
		return 0;
	q->seq = at_least(q->seq, f->kind == FRAME_DATA ? f->seq + 1 : f->seq);
	switch (rec->pass) {
	case HEADS:
		head_frame(rec, f);
		return rec->seg->doubted ? 0 : 1;
	case LEDGERS:
		if (f->kind == FRAME_DATA)
			return 0;
		r = ledger_body(rec, f);
		return r == -ENOMEM ? r : 0;
	case ORDER:
		return f->kind == FRAME_DATA ? order_frame(rec, f) : 0;
	default:
		rec->seg->durable = rec->pos + f->size;
		return f->kind == FRAME_DATA ? data_frame(rec, f) : 0;
	}
}

/* ---- what it adds up to ---- */

/* Durable once = done + dropped + lost + held: what is missing was lost. */
static uint64_t
missing(uint64_t put, uint64_t accounted)
{
	return put > accounted ? put - accounted : 0;
}

/*
 * The newest ledger may be in what could not be read.  What was counted as
 * dropped before stays counted: rather twice than not at all.
 */
static void
keep_losses(struct ledger *l, const struct counters *c)
{
	l->aged.records = at_least(l->aged.records,
	    ctr_get(c, CTR_queue_dropped_age_records));
	l->lost.frames = at_least(l->lost.frames,
	    ctr_get(c, CTR_queue_lost_frames));
	l->lost.records = at_least(l->lost.records,
	    ctr_get(c, CTR_queue_lost_records));
}

static void
was_before(void *arg, const struct stream_seen *st)
{
	struct queue *q = arg;
	const struct range *rg;
	uint32_t i;

	for (i = 0; i < st->taken->n; i++) {
		rg = ranges_at(st->taken, i);
		fates_note(q->env->fates, st->id, rg->from, rg->to,
		    FATE_BEFORE, st->touched_ns);
	}
}

/* What the queue took before anybody noted what becomes of it. */
static void
begin_fates(struct queue *q)
{
	if (!fates_is_fresh(q->env->fates))
		return;
	streams_each(q->streams, was_before, q);
	fates_begin(q->env->fates);
}

void
replay_settle(struct recover *rec)
{
	struct queue *q = rec->q;
	struct ledger *l = &q->ledger;
	struct counters *c = &q->env->ctr;
	uint64_t f, r;

	begin_fates(q);
	if (rec->unsure)
		keep_losses(l, c);
	f = l->done.frames + l->aged.frames + l->lost.frames + q->held.frames;
	r = l->done.records + l->aged.records + l->lost.records +
	    q->held.records;
	l->lost.frames += missing(l->put.frames, f);
	l->lost.records += missing(l->put.records, r);
	l->put.frames = at_least(l->put.frames, f);
	l->put.records = at_least(l->put.records, r);
	ctr_set(c, CTR_queue_put_frames, l->put.frames);
	ctr_set(c, CTR_queue_put_records, l->put.records);
	ctr_set(c, CTR_queue_done_frames, l->done.frames);
	ctr_set(c, CTR_queue_done_records, l->done.records);
	ctr_set(c, CTR_queue_dropped_age_records, l->aged.records);
	ctr_set(c, CTR_queue_lost_frames, l->lost.frames);
	ctr_set(c, CTR_queue_lost_records, l->lost.records);
}
