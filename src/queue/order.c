/* SPDX-License-Identifier: ISC */
/*
 * order.c - in which order segments are read
 *
 * Files may have been renamed: what a segment says of itself counts, and in
 * the end the sequences of its frames.  Those of the queue's own segments
 * never lie between each other's.  A segment brought back from a copy does: of the
 * frames it shares with another, each of the two has some that are damaged
 * in the other one.  The reader goes through the segments one by one and
 * never back, so each such file becomes parts, cut wherever another one has
 * the next frame:
 *
 *   file A     0 1 2 . . 5 6          A [0..3)  B [3..5)  A [5..7)
 *   its copy   0 1 . 3 4 . .
 *
 * All parts of a file have its number; the last one is the segment that was
 * there before, has all the file's bytes, and with it the file goes.
 */

#include <errno.h>
#include <stdlib.h>

#include "queue/recover.h"

#include "banned.h"

/* ---- sorting ---- */

static int
by_order(const void *a, const void *b)
{
	const struct segment *x = *(struct segment *const *)a;
	const struct segment *y = *(struct segment *const *)b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static int
by_seq(const void *a, const void *b)
{
	const struct segment *x = *(struct segment *const *)a;
	const struct segment *y = *(struct segment *const *)b;

	if (x->first_seq != y->first_seq)
		return x->first_seq < y->first_seq ? -1 : 1;
	return by_order(a, b);
}

static int
sort(struct queue *q, int (*by)(const void *, const void *))
{
	struct segment **v, *seg;
	size_t n = 0, i = 0;

	for (seg = q->oldest; seg != NULL; seg = seg->next)
		n++;
	if (n < 2)
		return 0;
	v = env_alloc(q->env, n * sizeof(struct segment *));
	if (v == NULL)
		return -ENOMEM;
	for (seg = q->oldest; seg != NULL; seg = seg->next)
		v[i++] = seg;
	qsort(v, n, sizeof(struct segment *), by);
	q->oldest = q->newest = NULL;
	for (i = 0; i < n; i++) {
		v[i]->next = NULL;
		segment_append(q, v[i]);
	}
	env_free(q->env, v);
	return 0;
}

int
order_by_number(struct queue *q)
{
	return sort(q, by_order);
}

int
order_by_seq(struct queue *q)
{
	return sort(q, by_seq);
}

/* ---- cutting ---- */

/* Sorted by first_seq: does one begin before all of those before it end? */
bool
order_is_mixed(const struct queue *q)
{
	const struct segment *seg;
	uint64_t end = 0;

	for (seg = q->oldest; seg != NULL; seg = seg->next) {
		if (!seg->has_data)
			continue;
		if (seg->first_seq < end)
			return true;
		end = seg->end_seq;
	}
	return false;
}

/* The next one to be read: those that nothing mingles with need not be. */
struct segment *
order_next(struct recover *rec, struct segment *seg)
{
	const struct segment *next;

	for (; seg != NULL; seg = seg->next) {
		if (!seg->has_data)
			continue;
		for (next = seg->next; next != NULL && !next->has_data; )
			next = next->next;
		if (seg->first_seq < rec->cut.end ||
		    (next != NULL && next->first_seq < seg->end_seq))
			break;
		rec->cut.end = seg->end_seq;
	}
	if (seg == NULL)
		return NULL;
	rec->cut.end = at_least(rec->cut.end, seg->end_seq);
	rec->cut.part = NULL;
	rec->cut.from = 0;
	rec->cut.any = false;
	rec->cut.held = (struct tally){ 0 };
	rec->cut.bytes = 0;
	ranges_clear(&rec->cut.copies);
	return seg;
}

/* Behind the one cut before it, or looked for once. */
static void
insert_before(struct recover *rec, struct segment *part)
{
	struct segment **p = rec->cut.part != NULL ? &rec->cut.part->next :
	    &rec->q->oldest;

	while (*p != rec->seg)
		p = &(*p)->next;
	part->next = rec->seg;
	*p = rec->cut.part = part;
}

static void
tally_move(struct tally *from, struct tally *to, const struct tally *n)
{
	from->frames -= n->frames;
	from->records -= n->records;
	*to = *n;
}

/* What was read of the segment becomes a part; f begins what is left. */
static int
cut_here(struct recover *rec, const struct frame *f)
{
	struct segment *seg = rec->seg, *part;
	struct cut *c = &rec->cut;

	part = segment_new(rec->q, seg->number);
	if (part == NULL)
		return -ENOMEM;
	part->order = seg->order;
	part->generation = seg->generation;
	part->first_seq = seg->first_seq;
	part->end_seq = c->last + 1;
	part->data_off = c->from;
	part->durable = part->end = rec->pos;
	part->sealed = part->has_data = true;
	part->quarantined = seg->quarantined;
	part->live = c->held.frames;
	part->unread_bytes = c->bytes;
	part->copies = c->copies;
	tally_move(&seg->held, &part->held, &c->held);
	tally_move(&seg->unread, &part->unread, &c->held);
	seg->live -= c->held.frames;
	seg->unread_bytes -= c->bytes;
	seg->data_off = rec->pos;
	seg->first_seq = f->seq;
	insert_before(rec, part);
	c->from = rec->pos;
	c->held = (struct tally){ 0 };
	c->bytes = 0;
	c->copies = (struct ranges){ 0 };
	return 0;
}

int
order_frame(struct recover *rec, const struct frame *f)
{
	struct env *env = rec->q->env;
	struct cut *c = &rec->cut;
	int r = 0;

	if (ranges_has(&rec->seg->copies, f->seq))
		return ranges_add(&c->copies, env, f->seq, f->seq + 1);
	/* A frame of the same file twice: the first is the one. */
	if (c->any && f->seq <= c->last)
		return 0;
	if (c->any && ranges_count(&rec->seen, c->last + 1, f->seq) > 0)
		r = cut_here(rec, f);
	if (r < 0)
		return r;
	c->any = true;
	c->last = f->seq;
	if (ranges_has(&rec->q->done, f->seq))
		return 0;
	c->held.frames++;
	c->held.records += f->records;
	c->bytes += f->body.n;
	return 0;
}
