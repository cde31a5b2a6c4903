/* SPDX-License-Identifier: ISC */
/*
 * flow.c - one flow of frames, or two beside each other
 *
 *   one     back |----taken----|==== all that is there =====|   -> seq
 *
 *   two     back |--taken--|=== what waited ===|                front NULL:
 *                                             split             one again,
 *          front                               |--taken--|====| when back
 *                                                               is over
 *
 * queue_return() makes two of one, behind the newest durable frame; and when
 * what is fresh has grown old too, all that is there is the back flow and the
 * front one begins anew.  Back and front each ascend; a frame that the front
 * had is passed by the back one.
 *
 * Turns are by bytes: of two that have something it is the turn of who has
 * had less.  A front flow that has given what is at hand, all of it or all
 * that was read ahead, has had its turn: a few small frames that come again and
 * again do not keep the back one waiting.  One that has none goes first when
 * it has one.
 */

#include <errno.h>

#include "queue/priv.h"

#include "banned.h"

#define WAITED_NS	(60 * SECOND_NS)
#define LEAD_MAX	((int64_t)(4 * QUEUE_TAKE_MAX))

void
flow_init(struct queue *q)
{
	struct flow *fl;

	for (fl = q->flow; fl < q->flow + 2; fl++) {
		fl->q = q;
		reader_init(fl);
	}
	q->back = q->turn = &q->flow[0];
}

void
flow_fini(struct queue *q)
{
	struct flow *fl;

	for (fl = q->flow; fl < q->flow + 2; fl++) {
		must(op_idle(&fl->r.op));
		reader_fini(fl);
		window_fini(&fl->win, q->env);
	}
}

static struct flow *
other(const struct queue *q, const struct flow *fl)
{
	return fl == q->back ? q->front : q->back;
}

/* ---- what there is ---- */

static bool
can_take(const struct queue *q, const struct flow *fl)
{
	return fl != NULL && fl->r.ready &&
	    (q->front == NULL || fl->win.n < WINDOW_MAX);
}

bool
flow_ready(const struct queue *q)
{
	return q->flow[0].r.ready || q->flow[1].r.ready;
}

struct window *
flow_window(struct queue *q, uint64_t seq)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		if (window_at(&q->flow[i].win, seq) != NULL)
			return &q->flow[i].win;
	return NULL;
}

bool
flow_has(struct queue *q, uint64_t seq)
{
	const struct window *w = flow_window(q, seq);

	return w != NULL && window_at(w, seq)->state != OUT_REWOUND;
}

/* The first that is not committed, 0: none, or it is not known. */
static uint64_t
first_ns(const struct flow *fl)
{
	const struct out *o;

	if (fl->win.n == 0)
		return fl->r.ready ? fl->r.head.taken_ns : 0;
	o = window_nth(&fl->win, 0);
	return fl->r.ready && fl->r.head.seq < o->seq ?
	    fl->r.head.taken_ns : o->taken_ns;
}

uint64_t
flow_oldest_ns(const struct queue *q)
{
	uint64_t at = first_ns(q->back);

	if (at != 0 || q->front == NULL)
		return at;
	return q->waiting.frames > 0 ?	/* they are being read */
	    ctr_get(&q->env->ctr, CTR_queue_oldest_ns) : first_ns(q->front);
}

/* ---- turns ---- */

struct flow *
flow_next(const struct queue *q)
{
	if (can_take(q, q->turn))
		return q->turn;
	return can_take(q, other(q, q->turn)) ? other(q, q->turn) : NULL;
}

void
flow_spent(struct queue *q, const struct flow *fl, uint64_t bytes)
{
	if (q->front == NULL)
		return;
	if (fl == q->front) {
		q->lead -= (int64_t)bytes;
		if (q->lead > 0 && !fl->r.ready)
			q->lead = 0;
	} else if (!q->front->r.ready && op_idle(&q->front->r.op)) {
		q->lead = 1;
	} else {
		q->lead += (int64_t)bytes;
	}
	if (q->lead > LEAD_MAX)
		q->lead = LEAD_MAX;
	if (q->lead < -LEAD_MAX)
		q->lead = -LEAD_MAX;
}

enum queue_flow
queue_turn(struct queue *q)
{
	queue_check(q);
	q->turn = q->front != NULL && q->lead > 0 ? q->front : q->back;
	return queue_flow(q);
}

enum queue_flow
queue_flow(const struct queue *q)
{
	const struct flow *fl = flow_next(q);

	queue_check(q);
	return fl != NULL && fl == q->front ? QUEUE_FRESH : QUEUE_BACKLOG;
}

/* ---- how long a frame has waited here ---- */

void
flow_mark(struct queue *q)
{
	uint64_t now = loop_now(q->env->loop);

	q->durable_ns = now;
	if (now - q->mark[1].ns < WAITED_NS)
		return;
	q->mark[0] = q->mark[1];
	q->mark[1] = (struct mark){ q->settled, now };
}

/*
 * By the steady clock, for one that jumps makes nothing old; and by the time
 * the chunk was taken, for a restart makes nothing old either.
 */
static bool
has_waited(const struct queue *q, const struct flow *fl)
{
	uint64_t now = loop_now(q->env->loop), wall = loop_wall(q->env->loop);
	uint64_t below = q->open_seq, taken = fl->r.head.taken_ns;
	unsigned i;

	if (!fl->r.ready || wall < taken || wall - taken < WAITED_NS)
		return false;
	for (i = 0; i < 2; i++)
		if (now - q->mark[i].ns >= WAITED_NS &&
		    q->mark[i].seq > below)
			below = q->mark[i].seq;
	if (now - q->durable_ns >= WAITED_NS)
		below = q->settled;
	return fl->r.head.seq < below;
}

/* ---- two of one, and one of two ---- */

/* What is durable waited; the front flow has what comes from here on. */
static void
split(struct queue *q, struct flow *front)
{
	const struct segment *seg;

	q->split = (struct split){ q->settled, q->newest->number,
	    q->newest->durable };
	front->r.seg = q->newest;
	front->r.off = q->newest->durable;
	front->r.ready = front->r.dropped = false;
	front->take_seq = q->settled;
	q->lead = 1;
	q->front = front;
	q->waiting = (struct tally){ 0 };
	for (seg = q->oldest; seg != NULL; seg = seg->next) {
		q->waiting.frames += seg->held.frames;
		q->waiting.records += seg->held.records;
	}
	ctr_add(&q->env->ctr, CTR_queue_returns, 1);
}

void
queue_return(struct queue *q)
{
	struct flow *idle = &q->flow[q->back == &q->flow[0]];

	queue_check(q);
	if (!q->open || q->closing)
		return;
	if (q->front == NULL) {
		if (!has_waited(q, q->back) || !op_idle(&idle->r.op) ||
		    idle->r.fd >= 0)
			return;
		split(q, idle);
	} else {
		if (!has_waited(q, q->front) || window_append(&q->back->win,
		    q->env, &q->front->win) < 0)
			return;
		split(q, q->front);
	}
	reader_go(q);
	queue_gauges(q);
}

bool
flow_is_over(const struct queue *q, const struct flow *fl)
{
	const struct segment *seg = fl->r.seg;

	if (q->front == NULL || fl != q->back || seg == NULL)
		return false;
	return seg->first_seq >= q->split.seq ||
	    (seg->number == q->split.number && fl->r.off >= q->split.off);
}

/* Without memory for it there are two for a while longer. */
void
flow_join(struct queue *q)
{
	struct flow *back = q->back, *front = q->front;
	struct segment *seg = back->r.seg;
	struct window w;

	if (back->r.ready || !op_idle(&back->r.op))
		return;
	if (window_append(&back->win, q->env, &front->win) < 0) {
		queue_probe(q);
		return;
	}
	w = back->win;
	back->win = front->win;
	front->win = w;
	back->r.seg = NULL;
	q->back = q->turn = front;
	q->front = NULL;
	/* Nobody comes by there any more. */
	if (front->r.seg != seg && seg->first_seq < q->split.seq)
		reader_lost(q, seg);
}
