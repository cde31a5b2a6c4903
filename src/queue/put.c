/* SPDX-License-Identifier: ISC */
/* put.c - what is put: room, ranges, and the group it is staged in */

#include <errno.h>

#include "queue/priv.h"

#include "banned.h"

#define GROUP_MIN	(64u << 10)
#define GROUP_HEADS	(16u << 10)	/* so that 2 x 1 MiB fit 2 MiB */

/* ---- filling a group ---- */

void
group_reset(struct group *g)
{
	*g = (struct group){ .mem = g->mem };
	g->tail = &g->puts;
}

int
group_room(struct queue *q, struct group *g, size_t size)
{
	size_t need = g->len + size + COMMIT_ROOM + FRAME_BLOCK;
	size_t cap = q->conf.staging_bytes / 2 + GROUP_HEADS;

	if (g->len > 0)
		return need <= g->mem.cap ? 0 : -EAGAIN;
	if (cap < GROUP_MIN)
		cap = GROUP_MIN;
	return pages_grow(&g->mem, need > cap ? need : cap, 0);
}

static void
group_link(struct group *g, struct queue_put *put)
{
	put->next = NULL;
	*g->tail = put;
	g->tail = &put->next;
}

void
group_put(struct queue *q, struct group *g, const struct chunk *c,
    struct queue_put *put)
{
	size_t len = chunk_body_len(c);
	struct frame f = {
		.kind = FRAME_DATA, .signal = c->signal,
		.encoding = c->encoding, .flags = c->flags,
		.records = c->records, .seq = q->seq, .from = c->from,
		.to = c->to, .taken_ns = c->taken_ns,
		.identity = c->identity, .body = bytes_of(NULL, len),
	};
	uint8_t *p;

	memcpy(f.stream, c->stream, STREAM_ID_LEN);
	p = frame_put(g->mem.p + g->len, &f);
	if (c->body[0].n > 0)
		memcpy(p, c->body[0].p, c->body[0].n);
	if (c->body[1].n > 0)
		memcpy(p + c->body[0].n, c->body[1].p, c->body[1].n);
	g->len += frame_size(c->identity.n, len);
	must(g->len + COMMIT_ROOM <= g->mem.cap);
	if (g->put.frames == 0) {
		g->first_seq = q->seq;
		g->first_ns = c->taken_ns;
	}
	g->put.frames++;
	g->put.records += c->records;
	g->body_bytes += len;
	q->held.frames++;
	q->held.records += c->records;
	q->held_bytes += len;
	put->seq = q->seq++;
	memcpy(put->stream, c->stream, STREAM_ID_LEN);
	put->from = c->from;
	put->to = c->to;
	group_link(g, put);
}

void
group_barrier(struct group *g, struct queue_put *put)
{
	put->seq = 0;
	put->from = put->to = 0;
	memset(put->stream, 0, STREAM_ID_LEN);
	g->barriers = true;
	group_link(g, put);
}

struct queue_put *
group_take_barriers(struct group *g)
{
	struct queue_put *put, *next, *ret = NULL, **tail = &ret;

	put = g->puts;
	g->puts = NULL;
	g->tail = &g->puts;
	g->barriers = false;
	for (; put != NULL; put = next) {
		next = put->next;
		if (put->from != put->to || !stream_is_none(put->stream)) {
			group_link(g, put);
			continue;
		}
		put->next = NULL;
		*tail = put;
		tail = &put->next;
	}
	return ret;
}

/* ---- put ---- */

static uint64_t
staged(const struct queue *q)
{
	return q->fill->len + (q->w.fly != NULL ? q->w.fly->len : 0);
}

/*
 * A put is taken only while a whole spare segment stands behind it, so that
 * commits can always be written; or, while the spare is being made, into what
 * is left of the current one.
 */
static int
disk_room(struct queue *q, size_t size)
{
	uint64_t used;

	if (!queue_has_room(q)) {
		queue_probe(q);
		return -ENOSPC;
	}
	switch (q->j.spare) {
	case SPARE_READY:
		return 0;
	default:
		used = staged(q) + size + 2 * FRAME_BLOCK;
		if (q->cur == NULL || q->cur->end + used > q->cur->size)
			return -EAGAIN;
		return 0;
	}
}

static int
check_chunk(const struct chunk *c)
{
	size_t n = chunk_body_len(c);

	if (n > FRAME_BODY_MAX || c->identity.n > IDENTITY_MAX)
		return -EMSGSIZE;
	if (c->signal > SIGNAL_TRACES || c->encoding > ENC_OTLP)
		return -EINVAL;
	if (stream_is_none(c->stream))
		return 0;
	if (c->to < c->from || c->to - c->from != n || c->to == UINT64_MAX)
		return -EINVAL;
	return 0;
}

/* Too many holes: the frame is kept, only a second copy is not noticed. */
static int
mark_taken(struct queue *q, const struct chunk *c)
{
	int r;

	r = streams_add(q->streams, c->stream, c->from, c->to,
	    (c->flags & CHUNK_FOREIGN) != 0, loop_wall(q->env->loop));
	if (r != -ENOSPC)
		return r;
	ctr_add(&q->env->ctr, CTR_stream_evicted, 1);
	return 0;
}

static int
refuse(struct queue *q, int r)
{
	q->refused = true;
	if (r == -ENOMEM) {
		/* Nothing else may wake us: look again in a while. */
		if (q->probe_at == 0)
			q->probe_at = loop_now(q->env->loop) + SECOND_NS / 10;
		queue_timer(q);
		r = -EAGAIN;
	}
	return r;
}

int
queue_put(struct queue *q, struct chunk *c, struct queue_put *put)
{
	bool assigned;
	size_t size;
	int r;

	queue_check(q);
	must(q->open && put->done != NULL);
	r = check_chunk(c);
	if (r < 0)
		return r;
	if (q->closing)
		return -EAGAIN;
	size = frame_size(c->identity.n, chunk_body_len(c));
	r = disk_room(q, size);
	if (r == 0)
		r = group_room(q, q->fill, size);
	if (r < 0)
		return refuse(q, r);
	assigned = stream_is_none(c->stream);
	if (assigned) {
		memcpy(c->stream, q->id, STREAM_ID_LEN);
		c->from = q->ledger.own_pos;
		c->to = c->from + chunk_body_len(c);
	}
	r = mark_taken(q, c);
	if (r < 0) {
		if (assigned)
			memset(c->stream, 0, STREAM_ID_LEN);
		return refuse(q, r);
	}
	if (memcmp(c->stream, q->id, STREAM_ID_LEN) == 0 &&
	    c->to > q->ledger.own_pos)
		q->ledger.own_pos = c->to;
	group_put(q, q->fill, c, put);
	queue_kick(q);
	return 0;
}

void
queue_barrier(struct queue *q, struct queue_put *put)
{
	queue_check(q);
	must(q->open && put->done != NULL);
	group_barrier(q->fill, put);
	queue_kick(q);
}
