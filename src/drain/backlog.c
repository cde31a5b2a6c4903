/* SPDX-License-Identifier: ISC */
/* backlog.c - what was spilled, on its way to the relay; see drain.h */

#include "drain/inner.h"

#include <errno.h>

#include "base/must.h"
#include "base/planted.h"
#include "counters/fates.h"
#include "banned.h"

static struct backlog_frame *
idle_frame(struct backlog *b)
{
	unsigned i;

	for (i = 0; i < BACKLOG_MAX; i++) {
		if (!b->frame[i].out)
			return &b->frame[i];
	}
	return NULL;
}

static void
buf_free(struct drain *d, struct backlog_frame *f)
{
	d->backlog.buf_bytes -= f->cap;
	env_free(d->env, f->buf);
	f->buf = NULL;
	f->cap = 0;
}

/* A buffer of n bytes, within the budget unless it is the only one. */
static int
buf_fit(struct drain *d, struct backlog_frame *f, size_t n)
{
	struct backlog *b = &d->backlog;

	if (f->cap >= n)
		return 0;
	if (f->buf != NULL)
		buf_free(d, f);
	if (b->out > 0 && b->buf_bytes + n > BACKLOG_BYTES)
		return -ENOBUFS;
	f->buf = env_alloc(d->env, n);
	if (f->buf == NULL) {
		b->starved = true;
		return -ENOMEM;
	}
	f->cap = n;
	b->buf_bytes += n;
	return 0;
}

/* Everything before the oldest frame still out is delivered. */
static void
move_through(struct backlog *b)
{
	uint64_t through = b->next_seq;
	unsigned i;

	for (i = 0; i < BACKLOG_MAX; i++) {
		if (b->frame[i].out && b->frame[i].seq < through)
			through = b->frame[i].seq;
	}
	if (!b->again && through > b->through_seq)
		b->through_seq = through;
}

static void
on_acked(struct hop_chunk *hc, int res)
{
	struct backlog_frame *f = hc->arg;
	struct drain *d = f->d;
	struct backlog *b = &d->backlog;

	drain_check(d);
	must(f->out);
	f->out = false;
	b->out--;
	if (res == 0)
		queue_commit(d->conf.queue, f->seq);
	else
		b->again = true;
	move_through(b);
	drain_kick(d);
}

/* After a failure: what was not committed is taken once more. */
static bool
rewound(struct drain *d)
{
	struct backlog *b = &d->backlog;

	if (!b->again)
		return true;
	if (b->out > 0)
		return false;
	queue_rewind(d->conf.queue);
	b->next_seq = b->through_seq;
	b->again = false;
	return true;
}

static bool
take(struct drain *d, struct backlog_frame *f)
{
	struct backlog *b = &d->backlog;

	if (queue_take(d->conf.queue, f->buf, f->cap, &f->hc.chunk,
	    &f->seq) < 0)
		return false;
	b->next_seq = f->seq + 1;
	b->starved = false;
	f->d = d;
	f->hc.chunk.flags |= CHUNK_BACKLOG;
	f->hc.done = on_acked;
	f->hc.arg = f;
	return true;
}

/* No connection will ever take it: it would block all behind it. */
static void
give_up(struct drain *d, struct backlog_frame *f, int res)
{
	ctr_add(&d->env->ctr, CTR_backlog_refused, 1);
	fates_note(d->env->fates, f->hc.chunk.stream, f->hc.chunk.from,
	    f->hc.chunk.to, FATE_REFUSED, loop_wall(d->env->loop));
	drain_note(d, LOG_ERROR, "a spilled chunk of %zu bytes cannot be "
	    "sent and is dropped: %s", chunk_body_len(&f->hc.chunk),
	    strerror(-res));
	queue_commit(d->conf.queue, f->seq);
	move_through(&d->backlog);
	drain_kick(d);
}

/* What waits for memory alone holds up nobody. */
bool
backlog_is_due(const struct drain *d)
{
	return d->conf.queue != NULL && !d->backlog.starved &&
	    queue_peek(d->conf.queue) > 0;
}

bool
backlog_move(struct drain *d)
{
	struct backlog *b = &d->backlog;
	struct backlog_frame *f;
	size_t n, room = sender_room(d->conf.sender);
	int r;

	if (d->conf.queue == NULL || room == 0 || !rewound(d))
		return false;
	n = queue_peek(d->conf.queue);
	f = idle_frame(b);
	/* One that never fits the room goes when nothing else is out. */
	if (n == 0 || f == NULL || (n > room && b->out > 0) ||
	    !share_allows(d, FLOW_BACKLOG) || buf_fit(d, f, n) < 0 ||
	    !take(d, f))
		return false;
	if (PLANTED(drop_backlog)) {
		queue_commit(d->conf.queue, f->seq);
		move_through(b);
		return true;
	}
	f->out = true;
	b->out++;
	r = sender_send(d->conf.sender, &f->hc);
	if (r == 0) {
		share_sent(d, FLOW_BACKLOG, chunk_body_len(&f->hc.chunk));
		return true;
	}
	f->out = false;
	b->out--;
	if (r == -EAGAIN || r == -ENOTCONN)
		b->again = true;
	else
		give_up(d, f, r);
	return false;
}

void
backlog_rest(struct drain *d)
{
	struct backlog *b = &d->backlog;
	unsigned i;

	if (b->buf_bytes == 0 || b->out > 0 ||
	    (d->conf.queue != NULL && queue_peek(d->conf.queue) > 0 &&
	    sender_is_up(d->conf.sender)))
		return;
	for (i = 0; i < BACKLOG_MAX; i++) {
		if (b->frame[i].buf != NULL)
			buf_free(d, &b->frame[i]);
	}
}

void
backlog_fini(struct drain *d)
{
	unsigned i;

	must(d->backlog.out == 0);
	for (i = 0; i < BACKLOG_MAX; i++) {
		if (d->backlog.frame[i].buf != NULL)
			buf_free(d, &d->backlog.frame[i]);
	}
}
