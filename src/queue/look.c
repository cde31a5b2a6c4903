/* SPDX-License-Identifier: ISC */
/* look.c - a recovery that touches nothing; see look.h */

#include <errno.h>

#include "queue/recover.h"

#include "banned.h"

static void
finish(void *arg, int res)
{
	struct look *look = arg;

	queue_free(&look->q);
	look->done(look->arg, res, res == 0 ? &look->sum : NULL);
}

int
queue_look(struct look *look, struct env *env, const char *dir)
{
	struct queue_conf conf = { .dir = dir };
	int r;

	look->sum = (struct look_sum){ .gone = false };
	r = queue_new(&look->q, env, &conf);
	if (r < 0)
		return r;
	look->q->look = look;
	look->q->opened = finish;
	look->q->opened_arg = look;
	r = recover_start(look->q);
	if (r < 0)
		queue_free(&look->q);
	return r;
}

void
look_begin(struct recover *rec)
{
	const struct segment *seg = rec->seg;

	rec->q->look->seg = (struct look_segment){ .number = seg->number,
	    .order = seg->order, .version = -1, .newest = seg->next == NULL,
	    .checkpoint = seg->checkpointed };
}

void
look_frame(struct recover *rec, const struct frame *f, bool copy, bool held)
{
	struct look *look = rec->q->look;
	struct look_segment *s = &look->seg;

	if (copy) {
		s->copies++;
		return;
	}
	if (s->frames == 0 || f->seq < s->first_seq)
		s->first_seq = f->seq;
	s->end_seq = at_least(s->end_seq, f->seq + 1);
	s->frames++;
	s->records += f->records;
	s->held_frames += held;
	s->held_records += held ? f->records : 0;
	if (s->oldest_ns == 0 || f->taken_ns < s->oldest_ns)
		s->oldest_ns = f->taken_ns;
	s->newest_ns = at_least(s->newest_ns, f->taken_ns);
	look->frame(look->arg, f, held);
}

void
look_bytes(struct recover *rec, struct bytes b, const struct scan *s)
{
	struct look *look = rec->q->look;
	struct look_damage d = { .number = rec->seg->number, .from = rec->pos,
	    .to = rec->pos + s->len };

	if (rec->pos == 0)
		look->seg.version = frame_version(b.p, b.n);
	if (s->kind == SCAN_STALE && rec->seg->astray && rec->pos == 0)
		d.why = SCAN_PLACE;
	else if (s->kind == SCAN_DAMAGE)
		d.why = scan_why(b.p, b.n, rec->pos);
	else
		return;
	d.version = frame_version(b.p, b.n);
	look->damage(look->arg, &d);
}

void
look_end(struct recover *rec, int error)
{
	struct look *look = rec->q->look;

	if (rec->seg->version != 0)
		look->seg.version = rec->seg->version;
	look->seg.bytes = rec->seg->size;
	look->seg.error = error;
	if (error == -ENOENT)
		look->sum.gone = true;
	else
		look->segment(look->arg, &look->seg);
}

void
look_settle(struct recover *rec)
{
	struct queue *q = rec->q;
	struct look_sum *sum = &q->look->sum;
	struct tally before = q->ledger.lost;

	replay_settle(rec);
	memcpy(sum->id, q->id, STREAM_ID_LEN);
	sum->held_frames = q->held.frames;
	sum->held_records = q->held.records;
	sum->unread = rec->unsure;
	if (!sum->gone) {
		sum->lost_frames = q->ledger.lost.frames - before.frames;
		sum->lost_records = q->ledger.lost.records - before.records;
	}
	recover_fail(rec, 0);
}
