/* SPDX-License-Identifier: ISC */
/* take.c - the read side, and the window of frames the consumer has */

#include <errno.h>
#include <fcntl.h>

#include "counters/fates.h"
#include "queue/priv.h"

#include "banned.h"

#define READ_MIN	(64u << 10)
#define READ_MAX	(1u << 20)
#define WINDOW_MIN	64u

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

/* ---- the window ---- */

static struct out *
window_at(const struct queue *q, uint64_t seq)
{
	const struct window *w = &q->win;

	if (seq < w->base || seq - w->base >= w->n)
		return NULL;
	return &w->v[(w->head + (seq - w->base)) & (w->cap - 1)];
}

static int
window_grow(struct queue *q, uint64_t n)
{
	struct window *w = &q->win;
	uint32_t cap = w->cap == 0 ? WINDOW_MIN : w->cap, i;
	struct out *v;

	while (cap < n)
		cap *= 2;
	if (cap == w->cap)
		return 0;
	v = env_alloc(q->env, cap * sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	for (i = 0; i < w->n; i++)
		v[i] = w->v[(w->head + i) & (w->cap - 1)];
	env_free(q->env, w->v);
	w->v = v;
	w->cap = cap;
	w->head = 0;
	return 0;
}

/* Room for seq; what lies between is no frame. */
static int
window_reach(struct queue *q, uint64_t seq)
{
	struct window *w = &q->win;
	uint64_t n;
	int r;

	if (w->n == 0)
		w->base = seq;
	must(seq >= w->base);
	n = seq - w->base + 1;
	if (n > WINDOW_MAX)
		return -EAGAIN;
	r = window_grow(q, n);
	if (r < 0)
		return r;
	for (; w->n < n; w->n++)
		w->v[(w->head + w->n) & (w->cap - 1)] =
		    (struct out){ .state = OUT_NONE };
	return 0;
}

static void
window_pop(struct queue *q)
{
	struct window *w = &q->win;
	uint32_t state;

	while (w->n > 0) {
		state = w->v[w->head].state;
		if (state == OUT_TAKEN || state == OUT_REWOUND)
			return;
		w->head = (w->head + 1) & (w->cap - 1);
		w->base++;
		w->n--;
	}
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

static void
unread_less(struct segment *seg, const struct frame *f)
{
	must(seg->unread.frames > 0);
	seg->unread.frames--;
	seg->unread.records -= f->records;
	seg->unread_bytes -= f->body.n;
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

	unread_less(seg, f);
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

/* Frames given back that the disk has no more are nobody's now. */
static void
forget_rewound(struct queue *q, const struct segment *seg)
{
	struct window *w = &q->win;
	struct out *o;
	uint32_t i;

	for (i = 0; i < w->n; i++) {
		o = &w->v[(w->head + i) & (w->cap - 1)];
		if (o->seg == seg && o->state == OUT_REWOUND)
			o->state = OUT_DONE;
	}
	window_pop(q);
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
	forget_rewound(q, seg);
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

/* ---- the calls of queue.h ---- */

size_t
queue_peek(const struct queue *q)
{
	queue_check(q);
	if (!q->r.ready)
		return 0;
	return q->r.head.body.n + q->r.head.identity.n;
}

static void
copy_out(const struct queue *q, struct bytes b, uint8_t *buf,
    struct chunk *ret)
{
	const struct frame *f = &q->r.head;
	struct frame now;
	int r;

	r = frame_peek(b.p, b.n, &now);
	must(r == 0 && now.size <= b.n && now.seq == f->seq);
	*ret = (struct chunk){
		.from = f->from, .to = f->to, .taken_ns = f->taken_ns,
		.records = f->records, .signal = f->signal,
		.encoding = f->encoding, .flags = (uint8_t)f->flags,
		.identity = bytes_of(buf + now.body.n, now.identity.n),
		.body = { bytes_of(buf, now.body.n), bytes_of(NULL, 0) },
	};
	memcpy(ret->stream, f->stream, STREAM_ID_LEN);
	if (now.body.n > 0)
		memcpy(buf, now.body.p, now.body.n);
	if (now.identity.n > 0)
		memcpy(buf + now.body.n, now.identity.p, now.identity.n);
}

static void
hand_over(struct queue *q)
{
	struct reader *r = &q->r;
	struct out *o = window_at(q, r->head.seq);

	must(o != NULL);
	unread_less(r->seg, &r->head);
	*o = (struct out){ .seg = r->seg, .taken_ns = r->head.taken_ns,
	    .off = r->off, .records = r->head.records,
	    .body_len = (uint32_t)r->head.body.n, .state = OUT_TAKEN };
	q->take_seq = r->head.seq + 1;
	r->off += r->head.size;
	r->ready = false;
}

int
queue_take(struct queue *q, void *buf, size_t cap, struct chunk *ret,
    uint64_t *ret_seq)
{
	struct reader *r = &q->r;
	struct bytes b;
	int e;

	queue_check(q);
	if (r->ready && r->dropped) {
		r->ready = r->dropped = false;
		reader_go(q);
	}
	if (!r->ready)
		return -EAGAIN;
	if (queue_peek(q) > cap)
		return -ENOBUFS;
	e = window_reach(q, r->head.seq);
	if (e == -ENOMEM) {
		q->tell = true;
		queue_probe(q);
	}
	if (e < 0)
		return -EAGAIN;
	b = feed_at(&r->feed, r->off, r->seg->durable);
	copy_out(q, b, buf, ret);
	*ret_seq = r->head.seq;
	hand_over(q);
	q->trim_at = loop_now(q->env->loop) + SECOND_NS;
	queue_timer(q);
	reader_go(q);
	queue_gauges(q);
	return 0;
}

void
queue_commit(struct queue *q, uint64_t seq)
{
	struct out *o;
	struct frame f;
	uint32_t n;

	queue_check(q);
	o = window_at(q, seq);
	if (o == NULL || (o->state != OUT_TAKEN && o->state != OUT_REWOUND))
		return;			/* finished before, by age or twice */
	f = (struct frame){ .seq = seq, .records = o->records,
	    .body = bytes_of(NULL, o->body_len) };
	if (o->state == OUT_REWOUND) {
		unread_less(o->seg, &f);
		if (q->r.ready && q->r.head.seq == seq)
			q->r.ready = q->r.dropped = false;
	}
	o->state = OUT_DONE;
	ctr_add(&q->env->ctr, CTR_queue_done_frames, 1);
	ctr_add(&q->env->ctr, CTR_queue_done_records, o->records);
	queue_frame_done(q, o->seg, seq, o->records, o->body_len,
	    &q->ledger.done);
	n = q->win.n;
	window_pop(q);
	if (n >= WINDOW_MAX / 2 && q->win.n < n && q->r.ready) {
		q->tell = true;		/* the window may have been full */
		queue_kick(q);
	}
	if (!q->r.ready)
		reader_go(q);
	queue_gauges(q);
}

void
queue_rewind(struct queue *q)
{
	struct window *w = &q->win;
	struct reader *r = &q->r;
	struct out *o;
	uint32_t i;

	queue_check(q);
	if (w->n == 0)
		return;
	for (i = 0; i < w->n; i++) {
		o = &w->v[(w->head + i) & (w->cap - 1)];
		if (o->state != OUT_TAKEN)
			continue;
		o->state = OUT_REWOUND;
		o->seg->unread.frames++;
		o->seg->unread.records += o->records;
		o->seg->unread_bytes += o->body_len;
	}
	o = &w->v[w->head];
	r->seg = o->seg;
	r->off = o->off;
	r->ready = r->dropped = false;
	q->take_seq = w->base;
	reader_go(q);
	if (r->ready)
		q->tell = true;
	queue_kick(q);
}
