/* SPDX-License-Identifier: ISC */
/* take.c - the calls of queue.h that the consumer makes */

#include <errno.h>

#include "queue/priv.h"

#include "banned.h"

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
	segment_unread_less(r->seg, &r->head);
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
		segment_unread_less(o->seg, &f);
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
