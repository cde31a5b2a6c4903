/* SPDX-License-Identifier: ISC */
/* commit.c - what is remembered: commits in a group, checkpoints in front */

#include <errno.h>

#include "queue/priv.h"

#include "banned.h"

/* Moves the first ranges of fresh, as many as fit one frame, to flying. */
static void
take_fresh(struct queue *q, uint32_t max)
{
	struct ranges swap;
	struct range r;

	must(q->flying.n == 0);
	if (q->fresh.n <= max) {
		swap = q->flying;
		q->flying = q->fresh;
		q->fresh = swap;
		return;
	}
	while (q->flying.n < max) {
		r = *ranges_at(&q->fresh, 0);
		if (ranges_add(&q->flying, q->env, r.from, r.to) < 0)
			return;
		ranges_remove(&q->fresh, q->env, r.from, r.to);
	}
}

static struct frame
ledger_frame(const struct queue *q, enum frame_kind kind, size_t len)
{
	struct frame f = {
		.kind = (uint8_t)kind, .seq = q->settled,
		.taken_ns = loop_wall(q->env->loop),
		.from = q->w.rotated ? q->number : q->cur->number,
		.body = bytes_of(NULL, len),
	};

	memcpy(f.stream, q->id, STREAM_ID_LEN);
	return f;
}

void
writer_commit(struct queue *q, struct group *g)
{
	struct frame f;
	size_t len;

	if (q->fresh.n == 0)
		return;
	take_fresh(q, COMMIT_RANGES);
	if (q->flying.n == 0)
		return;
	len = ledger_size(q->flying.n);
	f = ledger_frame(q, FRAME_COMMIT, len);
	ledger_put(frame_put(g->mem.p + g->len, &f), &q->ledger, &q->flying,
	    q->flying.n);
	g->len += frame_size(0, len);
}

static void
hide_puts(struct queue *q, const struct queue_put *put)
{
	for (; put != NULL; put = put->next)
		streams_remove(q->streams, put->stream, put->from, put->to);
}

static void
show_puts(struct queue *q, const struct queue_put *put)
{
	for (; put != NULL; put = put->next)
		streams_restore(q->streams, put->stream, put->from, put->to);
}

/*
 * The state without what is staged: a torn write may leave the checkpoint
 * and lose the frames behind it.
 */
static int
save_checkpoint(struct queue *q)
{
	struct pages *m = &q->w.ckpt;
	size_t head = ledger_size(q->done.n), len, n = 0;
	struct frame f;
	uint8_t *p;
	int r;

	len = head + streams_size(q->streams);
	if (q->done.n > LEDGER_RANGES_MAX || len > FRAME_LEDGER_MAX)
		return -EOVERFLOW;
	r = pages_grow(m, block_up(frame_size(0, len)), 0);
	if (r < 0)
		return r;
	f = ledger_frame(q, FRAME_CHECKPOINT, len);
	p = frame_put(m->p, &f);
	ledger_put(p, &q->ledger, &q->done, q->done.n);
	r = streams_save(q->streams, p + head, len - head, &n);
	if (r < 0)
		return r;
	must(n == len - head);
	q->w.ckpt_len = block_up(frame_size(0, len));
	memset(m->p + frame_size(0, len), 0,
	    q->w.ckpt_len - frame_size(0, len));
	frame_seal(m->p, q->cur->generation, 0);
	return 0;
}

int
writer_checkpoint(struct queue *q)
{
	int r;

	streams_age(q->streams, loop_wall(q->env->loop));
	hide_puts(q, q->w.fly->puts);
	hide_puts(q, q->fill->puts);
	r = save_checkpoint(q);
	show_puts(q, q->w.fly->puts);
	show_puts(q, q->fill->puts);
	if (r == 0)
		take_fresh(q, UINT32_MAX);
	return r;
}
