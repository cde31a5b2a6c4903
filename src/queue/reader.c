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
reader_init(struct flow *fl)
{
	op_init(&fl->r.op, reader_done, fl);
	fl->r.fd = -1;
}

void
reader_fini(struct flow *fl)
{
	must(fl->r.fd < 0);
	pages_free(&fl->r.feed.mem);
	env_free(fl->q->env, fl->r.path);
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
	struct window *w = flow_window(q, f->seq);

	segment_unread_less(seg, f);
	if (w != NULL) {
		window_at(w, f->seq)->state = OUT_DONE;
		window_pop(w);
	}
	ctr_add(&q->env->ctr, CTR_queue_dropped_age_records, f->records);
	fates_note(q->env->fates, f->stream, f->from, f->to, FATE_AGED,
	    loop_wall(q->env->loop));
	queue_frame_done(q, seg, f->seq, f->records, f->body.n,
	    &q->ledger.aged);
}

/* Not for the consumer: done, void, with it, or seen in another copy. */
static bool
is_passed(struct queue *q, const struct flow *fl, const struct frame *f)
{
	return f->kind != FRAME_DATA || f->seq < fl->take_seq ||
	    f->seq >= SEQ_MAX || ranges_has(&q->done, f->seq) ||
	    ranges_has(&fl->r.seg->copies, f->seq) || flow_has(q, f->seq);
}

/* True when it is the next to be taken. */
static bool
look_at(struct queue *q, struct flow *fl, const struct frame *f)
{
	struct reader *r = &fl->r;

	if (!is_passed(q, fl, f)) {
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
void
reader_lost(struct queue *q, struct segment *seg)
{
	struct tally n = seg->unread;

	if (n.frames == 0)
		return;
	window_forget(&q->flow[0].win, seg);
	window_forget(&q->flow[1].win, seg);
	if (q->front != NULL && seg->first_seq < q->split.seq) {
		q->waiting.frames -= n.frames;
		q->waiting.records -= n.records;
	}
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

/*
 * The segment of the split is left by the front flow while the back one has
 * still to come: what it lost is counted when there is one flow again.
 */
static bool
next_segment(struct queue *q, struct flow *fl)
{
	struct reader *r = &fl->r;
	struct segment *next;

	if (r->seg == NULL) {
		next = staying(q->oldest);
	} else {
		if (r->off < r->seg->durable || !r->seg->sealed)
			return r->off < r->seg->durable;
		if (fl != q->front || r->seg->first_seq >= q->split.seq)
			reader_lost(q, r->seg);
		next = staying(r->seg->next);
	}
	if (next == NULL)
		return false;
	r->seg = next;
	r->off = next->data_off;
	return true;
}

static void
close_file(struct queue *q, struct reader *r)
{
	loop_close(q->env->loop, &r->op, r->fd);
	r->fd = -1;
	r->closing = true;
}

static void
read_on(struct queue *q, struct reader *r, size_t need)
{
	char name[32];

	if (r->fd >= 0 && r->fd_seg != r->seg) {
		close_file(q, r);
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
	if (loop_now(q->env->loop) < r->again_ns ||
	    feed_ask(&r->feed, r->off, need, read_bytes(q), r->seg->durable,
	    &r->rd) < 0) {
		queue_probe(q);
		return;
	}
	loop_read(q->env->loop, &r->op, r->fd, r->rd.buf, r->rd.len,
	    r->rd.off);
}

static bool
one_step(struct queue *q, struct flow *fl)
{
	struct reader *r = &fl->r;
	struct segment *seg = r->seg;
	struct bytes b = bytes_of(NULL, 0);
	struct scan s;

	if (r->feed_seg == seg)
		b = feed_at(&r->feed, r->off, seg->durable);
	scan_next(b.p, b.n, r->off, r->off + b.n == seg->durable,
	    seg->generation, &s);
	switch (s.kind) {
	case SCAN_FRAME:
		return !look_at(q, fl, &s.frame);
	case SCAN_MORE:
		read_on(q, r, s.len);
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

/* When the first of the frames that are next is too old. */
static void
watch_age(struct queue *q)
{
	uint64_t wall = loop_wall(q->env->loop), end, at;
	const struct flow *fl;

	q->age_at = 0;
	if (q->conf.age_max_ns == 0)
		return;
	for (fl = q->flow; fl < q->flow + 2; fl++) {
		end = fl->r.head.taken_ns + q->conf.age_max_ns;
		if (!fl->r.ready || end < q->conf.age_max_ns)
			continue;	/* taken_ns is nonsense: never */
		at = loop_now(q->env->loop) + (end > wall ? end - wall : 0) + 1;
		if (q->age_at == 0 || at < q->age_at)
			q->age_at = at;
	}
	if (q->age_at != 0)
		queue_timer(q);
}

static void
go(struct queue *q, struct flow *fl)
{
	struct reader *r = &fl->r;

	if (!op_idle(&r->op))
		return;
	if (r->ready && is_aged(q, &r->head)) {
		r->ready = r->dropped = false;
		drop_aged(q, r->seg, &r->head);
		r->off += r->head.size;
	}
	while (!r->ready && op_idle(&r->op) && !flow_is_over(q, fl)) {
		if (r->seg == NULL || r->off >= r->seg->durable) {
			if (!next_segment(q, fl))
				break;
		} else if (!one_step(q, fl)) {
			break;
		}
	}
	if (op_idle(&r->op) && r->fd >= 0 && r->fd_seg != r->seg)
		close_file(q, r);
}

/* Of no flow any more: it gives back what it has. */
static void
rest(struct queue *q, struct reader *r)
{
	if (!op_idle(&r->op))
		return;
	if (r->fd >= 0)
		close_file(q, r);
	pages_free(&r->feed.mem);
	r->feed_seg = NULL;
}

void
reader_go(struct queue *q)
{
	struct flow *fl;

	if (!q->open || q->closing)
		return;
	go(q, q->back);
	if (q->front != NULL)
		go(q, q->front);
	if (flow_is_over(q, q->back))
		flow_join(q);
	for (fl = q->flow; fl < q->flow + 2; fl++)
		if (fl != q->back && fl != q->front)
			rest(q, &fl->r);
	watch_age(q);
	janitor_go(q);
}

/* Somebody took the file away, or its end: the rest cannot be had. */
static void
skip_rest(struct reader *r, const struct segment *seg)
{
	if (r->seg == seg)	/* else a rewind has left it meanwhile */
		r->off = seg->durable;
}

static void
reader_opened(struct reader *r, int64_t res)
{
	if (res >= 0) {
		r->fd = (int)res;
		return;
	}
	if (!queue_is_passing_error((int)res))
		skip_rest(r, r->fd_seg);
	r->fd_seg = NULL;
}

static void
reader_done(struct op *op)
{
	struct flow *fl = op->arg;
	struct queue *q = fl->q;
	struct reader *r = &fl->r;
	bool later = false;
	int got;

	if (r->closing) {
		r->closing = false;
		r->fd_seg = NULL;
	} else if (r->fd < 0) {
		later = queue_is_passing_error((int)op->res);
		reader_opened(r, op->res);
	} else if (queue_is_passing_error((int)op->res)) {
		later = true;		/* that is no damage */
	} else {
		got = feed_got(&r->feed, &r->rd, op->res, FEED_WAITS);
		later = got == -EAGAIN;
		if (later || op->res > 0)
			queue_read_trouble(q, later ? (int)op->res : 0);
		if (later)
			r->again_ns = loop_now(q->env->loop) + SECOND_NS;
		if (got == -ENODATA)
			skip_rest(r, r->feed_seg);
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
	struct flow *fl = q->front != NULL ? q->front : q->back;
	struct reader *r = &fl->r;
	struct pages mem;

	if (g->put.frames == 0 || r->ready || !op_idle(&r->op))
		return;
	while (r->seg != seg && (r->seg == NULL ||
	    r->off >= r->seg->durable) && next_segment(q, fl))
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
	struct flow *fl;

	for (fl = q->flow; fl < q->flow + 2; fl++) {
		if (!op_idle(&fl->r.op) || fl->r.feed.mem.p == NULL)
			continue;
		pages_free(&fl->r.feed.mem);
		fl->r.feed_seg = NULL;
		fl->r.dropped = fl->r.ready;
	}
}

bool
reader_close(struct queue *q)
{
	bool closed = true;
	struct flow *fl;

	for (fl = q->flow; fl < q->flow + 2; fl++) {
		if (op_idle(&fl->r.op) && fl->r.fd < 0)
			continue;
		if (op_idle(&fl->r.op))
			close_file(q, &fl->r);
		closed = false;
	}
	return closed;
}

bool
reader_is_at(const struct queue *q, const struct segment *seg)
{
	const struct flow *fl;

	for (fl = q->flow; fl < q->flow + 2; fl++)
		if (fl->r.seg == seg || fl->r.fd_seg == seg)
			return true;
	return false;
}
