/* SPDX-License-Identifier: ISC */
/* take.c - the calls of queue.h that the consumer makes */

#include <errno.h>

#include "queue/priv.h"

#include "banned.h"

size_t
queue_peek(const struct queue *q)
{
	const struct flow *fl = flow_next(q);

	queue_check(q);
	return fl == NULL ? 0 :
	    fl->r.head.body.n + fl->r.head.identity.n;
}

static void
copy_out(const struct frame *f, struct bytes b, uint8_t *buf,
    struct chunk *ret)
{
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
hand_over(struct flow *fl, struct out *o)
{
	struct reader *r = &fl->r;

	segment_unread_less(r->seg, &r->head);
	*o = (struct out){ .seg = r->seg, .seq = r->head.seq,
	    .taken_ns = r->head.taken_ns, .off = r->off,
	    .records = r->head.records,
	    .body_len = (uint32_t)r->head.body.n, .state = OUT_TAKEN };
	fl->take_seq = r->head.seq + 1;
	r->off += r->head.size;
	r->ready = false;
}

/*
 * The next one, with its bytes, which may have been given back.  Not the other
 * flow's while this one reads them again: queue_flow() has named this one.
 */
static struct flow *
next_flow(struct queue *q)
{
	struct flow *fl = flow_next(q);

	if (fl == NULL || !fl->r.dropped)
		return fl;
	fl->r.ready = fl->r.dropped = false;
	reader_go(q);
	return fl->r.ready ? fl : NULL;
}

int
queue_take(struct queue *q, void *buf, size_t cap, struct chunk *ret,
    uint64_t *ret_seq)
{
	struct reader *r;
	struct flow *fl;
	struct out *o;
	uint64_t size;
	int e;

	queue_check(q);
	fl = next_flow(q);
	if (fl == NULL)
		return -EAGAIN;
	r = &fl->r;
	if (r->head.body.n + r->head.identity.n > cap)
		return -ENOBUFS;
	e = window_enter(&fl->win, q->env, r->head.seq, &o);
	if (e == -ENOMEM) {
		q->tell = true;
		queue_probe(q);
	}
	if (e < 0)
		return -EAGAIN;
	copy_out(&r->head, feed_at(&r->feed, r->off, r->seg->durable), buf,
	    ret);
	*ret_seq = r->head.seq;
	size = r->head.size;
	hand_over(fl, o);
	q->trim_at = loop_now(q->env->loop) + SECOND_NS;
	queue_timer(q);
	reader_go(q);
	flow_spent(q, fl, size);
	queue_gauges(q);
	return 0;
}

/* Given back and taken by nobody since: it is done all the same. */
static void
done_rewound(struct queue *q, const struct out *o)
{
	const struct frame f = { .seq = o->seq, .records = o->records,
	    .body = bytes_of(NULL, o->body_len) };
	struct flow *fl;

	segment_unread_less(o->seg, &f);
	for (fl = q->flow; fl < q->flow + 2; fl++)
		if (fl->r.ready && fl->r.head.seq == o->seq)
			fl->r.ready = fl->r.dropped = false;
}

void
queue_commit(struct queue *q, uint64_t seq)
{
	struct window *w = flow_window(q, seq);
	struct out *o;
	uint32_t n;

	queue_check(q);
	o = w == NULL ? NULL : window_at(w, seq);
	if (o == NULL || o->state == OUT_DONE)
		return;			/* finished before, by age or twice */
	if (o->state == OUT_REWOUND)
		done_rewound(q, o);
	o->state = OUT_DONE;
	ctr_add(&q->env->ctr, CTR_queue_done_frames, 1);
	ctr_add(&q->env->ctr, CTR_queue_done_records, o->records);
	queue_frame_done(q, o->seg, seq, o->records, o->body_len,
	    &q->ledger.done);
	n = w->n;
	window_pop(w);
	if (n >= WINDOW_MAX / 2 && w->n < n && flow_ready(q)) {
		q->tell = true;		/* the window may have been full */
		queue_kick(q);
	}
	if (!q->back->r.ready || (q->front != NULL && !q->front->r.ready))
		reader_go(q);
	queue_gauges(q);
}

static void
rewind_flow(struct flow *fl)
{
	struct reader *r = &fl->r;
	struct out *o;
	uint32_t i;

	if (fl->win.n == 0)
		return;
	for (i = 0; i < fl->win.n; i++) {
		o = window_nth(&fl->win, i);
		if (o->state != OUT_TAKEN)
			continue;
		o->state = OUT_REWOUND;
		o->seg->unread.frames++;
		o->seg->unread.records += o->records;
		o->seg->unread_bytes += o->body_len;
	}
	o = window_nth(&fl->win, 0);
	if (o->seq > fl->take_seq)	/* the reader has still to come by */
		return;
	r->seg = o->seg;
	r->off = o->off;
	r->ready = r->dropped = false;
	fl->take_seq = o->seq;
}

void
queue_rewind(struct queue *q)
{
	queue_check(q);
	if (q->flow[0].win.n == 0 && q->flow[1].win.n == 0)
		return;
	rewind_flow(&q->flow[0]);
	rewind_flow(&q->flow[1]);
	reader_go(q);
	if (flow_ready(q))
		q->tell = true;
	queue_kick(q);
}
