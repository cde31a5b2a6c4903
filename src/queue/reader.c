/* SPDX-License-Identifier: ISC */
/* reader.c - finds the next frame to be taken, and reads ahead */

#include <errno.h>
#include <fcntl.h>

#include "counters/fates.h"
#include "queue/priv.h"

#include "banned.h"

#define READ_MIN	(64u << 10)
#define READ_MAX	(1u << 20)

static void	 reader_done(struct op *op);

void
reader_init(struct queue *q)
{
	op_init(&q->r.op, reader_done, q);
	q->r.fd = -1;
}

void
reader_fini(struct queue *q)
{
	must(q->r.fd < 0);
	pages_free(&q->r.feed.mem);
	env_free(q->env, q->r.path);
	env_free(q->env, q->win.v);
}

/* ---- finding the next frame ---- */

static size_t
read_bytes(const struct queue *q)
{
	size_t n = q->conf.staging_bytes / 4;

	if (n < READ_MIN)
		return READ_MIN;
	return n > READ_MAX ? READ_MAX : n & ~(size_t)(FRAME_BLOCK - 1);
}

static bool
is_aged(const struct queue *q, const struct frame *f)
{
	uint64_t now = loop_wall(q->env->loop);

	return q->conf.age_max_ns != 0 && now > f->taken_ns &&
	    now - f->taken_ns >= q->conf.age_max_ns;
}

static void
drop_aged(struct queue *q, struct segment *seg, const struct frame *f)
{
	struct out *o = window_at(q, f->seq);

	segment_unread_less(seg, f);
	if (o != NULL)
		o->state = OUT_DONE;
	window_pop(q);
	ctr_add(&q->env->ctr, CTR_queue_dropped_age_records, f->records);
	fates_note(q->env->fates, f->stream, f->from, f->to, FATE_AGED,
	    loop_wall(q->env->loop));
	queue_frame_done(q, seg, f->seq, f->records, f->body.n,
	    &q->ledger.aged);
}

/* Not for the consumer: done, void, or seen in another copy. */
static bool
is_passed(const struct queue *q, const struct frame *f)
{
	const struct out *o = window_at(q, f->seq);

	return f->kind != FRAME_DATA || f->seq < q->take_seq ||
	    f->seq >= SEQ_MAX ||
	    ranges_has(&q->done, f->seq) ||
	    ranges_has(&q->r.seg->copies, f->seq) ||
	    (o != NULL && o->state == OUT_DONE);
}

/* True when it is the next to be taken. */
static bool
look_at(struct queue *q, const struct frame *f)
{
	struct reader *r = &q->r;

	if (!is_passed(q, f)) {
		if (!is_aged(q, f)) {
			r->ready = true;
			r->head = *f;
			return true;
		}
		drop_aged(q, r->seg, f);
	}
	r->off += f->size;
	return false;
}

/*
 * The end of a segment: what it should have had and did not show is lost,
 * and its file will be kept.
 */
static void
count_lost(struct queue *q, struct segment *seg)
{
	struct tally n = seg->unread;

	if (n.frames == 0)
		return;
	window_forget(q, seg);
	seg->rotten = true;
	seg->live -= n.frames < seg->live ? n.frames : seg->live;
	seg->held.frames -= n.frames;
	seg->held.records -= n.records;
	q->held.frames -= n.frames;
	q->held.records -= n.records;
	q->held_bytes -= seg->unread_bytes;
	q->ledger.lost.frames += n.frames;
	q->ledger.lost.records += n.records;
	ctr_add(&q->env->ctr, CTR_queue_lost_frames, n.frames);
	ctr_add(&q->env->ctr, CTR_queue_lost_records, n.records);
	seg->unread = (struct tally){ 0 };
	seg->unread_bytes = 0;
}

/* The first one from seg on that is there to stay. */
static struct segment *
staying(struct segment *seg)
{
	while (seg != NULL && seg->leaving)
		seg = seg->next;
	return seg;
}

static bool
next_segment(struct queue *q)
{
	struct reader *r = &q->r;
	struct segment *next;

	if (r->seg == NULL) {
		next = staying(q->oldest);
	} else {
		if (r->off < r->seg->durable || !r->seg->sealed)
			return r->off < r->seg->durable;
		count_lost(q, r->seg);
		next = staying(r->seg->next);
	}
	if (next == NULL)
		return false;
	r->seg = next;
	r->off = next->data_off;
	return true;
}

static void
read_on(struct queue *q, size_t need)
{
	struct reader *r = &q->r;
	char name[32];

	if (r->fd >= 0 && r->fd_seg != r->seg) {
		loop_close(q->env->loop, &r->op, r->fd);
		r->fd = -1;
		r->closing = true;
		return;
	}
	if (r->fd < 0) {
		segment_name(name, r->seg->number);
		r->fd_seg = r->seg;
		loop_open(q->env->loop, &r->op,
		    queue_path(q, r->path, name), O_RDONLY, 0);
		return;
	}
	if (r->feed_seg != r->seg) {
		feed_reset(&r->feed, r->off);
		r->feed_seg = r->seg;
	}
	if (feed_ask(&r->feed, r->off, need, read_bytes(q), r->seg->durable,
	    &r->rd) < 0) {
		queue_probe(q);
		return;
	}
	loop_read(q->env->loop, &r->op, r->fd, r->rd.buf, r->rd.len,
	    r->rd.off);
}

static bool
one_step(struct queue *q)
{
	struct reader *r = &q->r;
	struct segment *seg = r->seg;
	struct bytes b = bytes_of(NULL, 0);
	struct scan s;

	if (r->feed_seg == seg)
		b = feed_at(&r->feed, r->off, seg->durable);
	scan_next(b.p, b.n, r->off, r->off + b.n == seg->durable,
	    seg->generation, &s);
	switch (s.kind) {
	case SCAN_FRAME:
		return !look_at(q, &s.frame);
	case SCAN_MORE:
		read_on(q, s.len);
		return false;
	case SCAN_DAMAGE:
		seg->rotten = seg->rotten || !seg->quarantined;
		break;
	default:
		break;
	}
	r->off += s.len;
	return true;
}

static void
leave_file(struct queue *q)
{
	struct reader *r = &q->r;

	if (!op_idle(&r->op) || r->fd < 0 || r->fd_seg == r->seg)
		return;
	loop_close(q->env->loop, &r->op, r->fd);
	r->fd = -1;
	r->closing = true;
}

static void
watch_age(struct queue *q)
{
	uint64_t wall = loop_wall(q->env->loop), end;

	q->age_at = 0;
	if (!q->r.ready || q->conf.age_max_ns == 0)
		return;
	end = q->r.head.taken_ns + q->conf.age_max_ns;
	if (end < q->conf.age_max_ns)
		return;			/* taken_ns is nonsense: never */
	q->age_at = loop_now(q->env->loop) + (end > wall ? end - wall : 0) + 1;
	queue_timer(q);
}

void
reader_go(struct queue *q)
{
	struct reader *r = &q->r;

	if (!q->open || q->closing || !op_idle(&r->op))
		return;
	if (r->ready && is_aged(q, &r->head)) {
		r->ready = r->dropped = false;
		drop_aged(q, r->seg, &r->head);
		r->off += r->head.size;
	}
	while (!r->ready && op_idle(&r->op)) {
		if ((r->seg == NULL || r->off >= r->seg->durable) &&
		    !next_segment(q))
			break;
		if (r->off < r->seg->durable && !one_step(q))
			break;
	}
	leave_file(q);
	watch_age(q);
	janitor_go(q);
}

/* Somebody took the file away, or its end: the rest cannot be had. */
static void
skip_rest(struct queue *q, const struct segment *seg)
{
	if (q->r.seg == seg)	/* else a rewind has left it meanwhile */
		q->r.off = seg->durable;
}

static void
reader_opened(struct queue *q, int64_t res)
{
	struct reader *r = &q->r;

	if (res >= 0) {
		r->fd = (int)res;
		return;
	}
	if (!queue_is_passing_error((int)res))
		skip_rest(q, r->fd_seg);
	r->fd_seg = NULL;
}

static void
reader_done(struct op *op)
{
	struct queue *q = op->arg;
	struct reader *r = &q->r;
	bool later = false;

	if (r->closing) {
		r->closing = false;
		r->fd_seg = NULL;
	} else if (r->fd < 0) {
		later = queue_is_passing_error((int)op->res);
		reader_opened(q, op->res);
	} else if (feed_got(&r->feed, &r->rd, op->res) == -ENODATA) {
		skip_rest(q, r->feed_seg);
	}
	if (later)
		queue_probe(q);
	else
		reader_go(q);
	if (r->ready)
		queue_notify(q);
	queue_gauges(q);
	queue_rest(q);
}

void
reader_lend(struct queue *q, struct group *g, struct segment *seg,
    uint64_t off)
{
	struct reader *r = &q->r;
	struct pages mem;

	if (g->put.frames == 0 || r->ready || !op_idle(&r->op))
		return;
	while (r->seg != seg && (r->seg == NULL ||
	    r->off >= r->seg->durable) && next_segment(q))
		;
	if (r->seg != seg || r->off != off)
		return;
	mem = r->feed.mem;
	r->feed = (struct feed){ .mem = g->mem, .off = off, .len = g->len };
	r->feed_seg = seg;
	g->mem = mem;
}

void
reader_trim(struct queue *q)
{
	struct reader *r = &q->r;

	if (!op_idle(&r->op) || r->feed.mem.p == NULL)
		return;
	pages_free(&r->feed.mem);
	r->feed_seg = NULL;
	r->dropped = r->ready;
}

/* True when nothing of it is open. */
bool
reader_close(struct queue *q)
{
	struct reader *r = &q->r;

	if (!op_idle(&r->op))
		return false;
	if (r->fd < 0)
		return true;
	loop_close(q->env->loop, &r->op, r->fd);
	r->fd = -1;
	r->closing = true;
	return false;
}
