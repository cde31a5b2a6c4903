/* SPDX-License-Identifier: ISC */
/*
 * drain_stage.h - loop, sender and queue played by the test
 *
 * What:     virtual time; a relay that acknowledges, and a disk that syncs,
 *           when the test says so.  relay_*() and disk_*() are the test's
 *           hands; all else has the names the drain calls.
 * Used by:  tests/test_drain.c alone, which is linked without the real ones.
 */
#ifndef EMPLOG_DRAIN_STAGE_H
#define EMPLOG_DRAIN_STAGE_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "hop/sender.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "queue/streams.h"

#define MS	1000000ull
#define SECOND	1000000000ull

/* ---- a loop of virtual time ---- */

struct loop {
	uint64_t	 now;
	struct op	*timer[8];
	struct op	*ready[8];
	struct op	*watch[2];
	struct op	*knock;		/* polls the FIFO */
	int		 knocked;
};
static struct loop lp;

static void
submit(struct op *op, uint8_t kind)
{
	must(op->kind == OP_IDLE);
	op->kind = kind;
	op->cancelled = false;
}

static void
put_in(struct op **slot, size_t n, struct op *op)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (slot[i] == NULL) {
			slot[i] = op;
			return;
		}
	}
	must(!"room in the test's loop");
}

static void
complete(struct op *op, int64_t res)
{
	op->kind = OP_IDLE;
	op->res = res;
	op->done(op);
}

static void
ready(struct op *op, uint8_t kind, int64_t res)
{
	submit(op, kind);
	op->res = res;
	put_in(lp.ready, 8, op);
}

void
op_init(struct op *op, op_fn *done, void *arg)
{
	*op = (struct op){ .magic = OP_MAGIC, .done = done, .arg = arg };
}

uint64_t
loop_now(const struct loop *l)
{
	return l->now;
}

uint64_t
loop_wall(const struct loop *l)
{
	return 1000 * SECOND + l->now;
}

void
loop_timer(struct loop *l, struct op *op, uint64_t at_ns)
{
	submit(op, OP_TIMER);
	op->at_ns = at_ns;
	put_in(l->timer, 8, op);
}

static bool
take_from(struct op **slot, size_t n, struct op *op)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (slot[i] == op) {
			slot[i] = NULL;
			return true;
		}
	}
	return false;
}

void
loop_cancel(struct loop *l, struct op *op)
{
	if (op_idle(op))
		return;
	op->cancelled = true;
	if (take_from(l->timer, 8, op) || take_from(l->watch, 2, op) ||
	    take_from(&l->knock, 1, op)) {
		op->res = -ECANCELED;
		put_in(l->ready, 8, op);
	}
}

int
loop_watch_open(struct loop *l, const char *dir, struct loop_watch **ret)
{
	*ret = (struct loop_watch *)(uintptr_t)1;
	return 0;
}

void
loop_watch(struct loop *l, struct op *op, struct loop_watch *w)
{
	submit(op, OP_WATCH);
	put_in(l->watch, 2, op);
}

void
loop_watch_close(struct loop *l, struct loop_watch **w)
{
	*w = NULL;
}

void
loop_open(struct loop *l, struct op *op, const char *path, int flags,
    uint32_t mode)
{
	int fd = open(path, flags | O_CLOEXEC, mode);

	ready(op, OP_OPEN, fd < 0 ? -errno : fd);
}

void
loop_close(struct loop *l, struct op *op, int fd)
{
	ready(op, OP_CLOSE, close(fd));
}

void
loop_poll(struct loop *l, struct op *op, int fd, uint32_t events)
{
	submit(op, OP_POLL);
	op->fd = fd;
	l->knock = op;
}

void
loop_read(struct loop *l, struct op *op, int fd, void *buf, size_t len,
    uint64_t off)
{
	ssize_t n = read(fd, buf, len);

	l->knocked += n > 0;
	ready(op, OP_READ, n < 0 ? -errno : n);
}

static bool
turn_ready(void)
{
	struct op *op;
	bool any = false;
	size_t i;

	for (i = 0; i < 8; i++) {
		op = lp.ready[i];
		if (op == NULL)
			continue;
		lp.ready[i] = NULL;
		any = true;
		complete(op, op->res);
	}
	return any;
}

static bool
turn_timers(void)
{
	struct op *op;
	bool any = false;
	size_t i;

	for (i = 0; i < 8; i++) {
		op = lp.timer[i];
		if (op == NULL || op->at_ns > lp.now)
			continue;
		lp.timer[i] = NULL;
		any = true;
		complete(op, 0);
	}
	return any;
}

static bool
turn_knock(void)
{
	struct op *op = lp.knock;
	struct pollfd p = { .events = POLLIN };

	if (op == NULL)
		return false;
	p.fd = op->fd;
	if (poll(&p, 1, 0) != 1)
		return false;
	lp.knock = NULL;
	complete(op, 0);
	return true;
}

/* Something came or went in the ring. */
static void
loop_ring_changed(void)
{
	struct op *op = lp.watch[0];

	if (op == NULL)
		return;
	lp.watch[0] = NULL;
	complete(op, 1);
}

/* ---- a relay ---- */

#define STREAMS		128
#define ARRIVALS	8192

struct born {			/* what the relay has of one stream */
	uint8_t		 id[STREAM_ID_LEN];
	uint8_t		*bytes;		/* STREAM_BYTES */
	uint8_t		*have;		/* one per byte */
	uint64_t	 end;		/* of the highest range */
	uint64_t	 total;		/* bytes taken */
	bool		 ended;
};
#define STREAM_BYTES	(1u << 20)

struct arrival {
	unsigned	 stream;
	uint64_t	 from, to;
	bool		 backlog;
};

struct sender {
	bool		 up;
	bool		 answers;	/* acknowledges at once */
	int		 refuses;	/* the next chunk, with this; then 0 */
	size_t		 room;
	bool		 going;		/* nothing went as a whole yet */
	uint64_t	 owes_ns;	/* an answer, since; 0: none */
	uint64_t	 since;
	struct hop_chunk *first, **lastp;
	unsigned	 out;
	struct born	 born[STREAMS];
	unsigned	 born_n;
	struct arrival	 arrival[ARRIVALS];
	unsigned	 arrivals;
	uint8_t		 identity[IDENTITY_MAX];	/* of the last one */
	size_t		 identity_len;
};
static struct sender snd;

static struct born *
relay_stream(const uint8_t *id)
{
	struct born *b;
	unsigned i;

	for (i = 0; i < snd.born_n; i++) {
		if (memcmp(snd.born[i].id, id, STREAM_ID_LEN) == 0)
			return &snd.born[i];
	}
	must(snd.born_n < STREAMS);
	b = &snd.born[snd.born_n++];
	memcpy(b->id, id, STREAM_ID_LEN);
	b->bytes = calloc(1, STREAM_BYTES);
	b->have = calloc(1, STREAM_BYTES);
	must(b->bytes != NULL && b->have != NULL);
	return b;
}

static void
relay_take(const struct chunk *c)
{
	struct born *b = relay_stream(c->stream);
	size_t n = chunk_body_len(c), i;
	uint8_t byte;

	ck_assert_uint_eq(c->to - c->from, n);
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_gt(c->records, 0);
	ck_assert_uint_le(c->to, STREAM_BYTES);
	for (i = 0; i < n; i++) {
		byte = i < c->body[0].n ? c->body[0].p[i] :
		    c->body[1].p[i - c->body[0].n];
		/* the same range always holds the same bytes */
		if (b->have[c->from + i])
			ck_assert_uint_eq(b->bytes[c->from + i], byte);
		else
			b->total++;
		b->bytes[c->from + i] = byte;
		b->have[c->from + i] = 1;
	}
	if (c->to > b->end)
		b->end = c->to;
	must(snd.arrivals < ARRIVALS);
	snd.arrival[snd.arrivals++] = (struct arrival){
		(unsigned)(b - snd.born), c->from, c->to,
		(c->flags & CHUNK_BACKLOG) != 0
	};
	memcpy(snd.identity, c->identity.p, c->identity.n);
	snd.identity_len = c->identity.n;
}

static struct hop_chunk *
relay_next(void)
{
	struct hop_chunk *hc = snd.first;

	must(hc != NULL);
	snd.first = hc->next;
	if (snd.first == NULL)
		snd.lastp = &snd.first;
	snd.out--;
	return hc;
}

/* Takes and acknowledges the first n. */
static void
relay_ack(unsigned n)
{
	struct hop_chunk *hc;

	while (n-- > 0) {
		hc = relay_next();
		relay_take(&hc->chunk);
		hc->done(hc, 0);
	}
}

/* Those that came straight from a lane, before the spilled ones. */
static void
relay_ack_live(void)
{
	struct hop_chunk **at = &snd.first, *hc;

	while ((hc = *at) != NULL) {
		if ((hc->chunk.flags & CHUNK_BACKLOG) != 0) {
			at = &hc->next;
			continue;
		}
		*at = hc->next;
		if (snd.lastp == &hc->next)
			snd.lastp = at;
		snd.out--;
		relay_take(&hc->chunk);
		hc->done(hc, 0);
	}
}

/* The connection is lost; took: the relay has them, their acks are lost. */
static void
relay_lose(bool took)
{
	struct hop_chunk *hc;

	snd.up = false;
	snd.since = lp.now;
	while (snd.first != NULL) {
		hc = relay_next();
		if (took)
			relay_take(&hc->chunk);
		hc->done(hc, -ECONNRESET);
	}
}

bool
sender_is_up(const struct sender *s)
{
	return s->up;
}

size_t
sender_room(const struct sender *s)
{
	return s->up ? s->room : 0;
}

int
sender_send(struct sender *s, struct hop_chunk *hc)
{
	if (!s->up)
		return -ENOTCONN;
	if (s->room == 0)
		return -EAGAIN;
	if (s->refuses < 0) {
		int r = s->refuses;

		s->refuses = 0;
		return r;
	}
	hc->next = NULL;
	*s->lastp = hc;
	s->lastp = &hc->next;
	s->out++;
	return 0;
}

void
sender_end_stream(struct sender *s, const uint8_t id[STREAM_ID_LEN])
{
	relay_stream(id)->ended = true;
}

uint64_t
sender_since(const struct sender *s)
{
	return s->since;
}

uint64_t
sender_silent(const struct sender *s)
{
	return s->owes_ns == 0 ? 0 : lp.now - s->owes_ns;
}

/* The relay takes it all the same: a stopped one goes on some day. */
int
sender_take_back(struct sender *s, struct hop_chunk *hc)
{
	if (s->going)
		return -EBUSY;
	must(hc == s->first);
	relay_take(&relay_next()->chunk);
	return 0;
}

/* ---- a disk ---- */

#define FRAMES	4096

struct frame {
	struct chunk	 chunk;
	uint8_t		*body;
	uint8_t		 identity[IDENTITY_MAX];
	uint64_t	 seq;
	struct queue_put *put;		/* not durable yet */
	bool		 durable, committed, failed;
};

struct queue {
	bool		 syncs;		/* at once */
	int		 refuses;	/* -errno of queue_put(), or 0 */
	struct frame	 frame[FRAMES];
	unsigned	 n, cursor;
	uint64_t	 own_at;
};
static struct queue dsk;

int
queue_put(struct queue *q, struct chunk *c, struct queue_put *put)
{
	static const uint8_t own[STREAM_ID_LEN] = { 0x0c, 1 };
	size_t n = chunk_body_len(c);
	struct frame *f;

	if (q->refuses != 0)
		return q->refuses;
	must(q->n < FRAMES);
	ck_assert_uint_gt(c->records, 0);
	f = &q->frame[q->n];
	if (stream_is_none(c->stream)) {
		memcpy(c->stream, own, sizeof(own));
		c->from = q->own_at;
		c->to = q->own_at += n;
	}
	ck_assert_uint_eq(c->to - c->from, n);
	f->body = malloc(n);
	must(f->body != NULL);
	memcpy(f->body, c->body[0].p, c->body[0].n);
	if (c->body[1].n > 0)
		memcpy(f->body + c->body[0].n, c->body[1].p, c->body[1].n);
	memcpy(f->identity, c->identity.p, c->identity.n);
	f->chunk = *c;
	f->chunk.body[0] = bytes_of(f->body, n);
	f->chunk.body[1] = bytes_of(NULL, 0);
	f->chunk.identity.p = f->identity;
	f->put = put;
	put->seq = f->seq = ++q->n;
	return 0;
}

/* The disk answers every put on its way. */
static bool
disk_answer(int res)
{
	struct queue_put *put;
	bool any = false;
	unsigned i;

	for (i = 0; i < dsk.n; i++) {
		put = dsk.frame[i].put;
		if (put == NULL)
			continue;
		dsk.frame[i].put = NULL;
		dsk.frame[i].durable = res == 0;
		dsk.frame[i].failed = res != 0;
		put->done(put, res);
		any = true;
	}
	return any;
}

static struct frame *
disk_next(struct queue *q)
{
	struct frame *f;

	for (; q->cursor < q->n; q->cursor++) {
		f = &q->frame[q->cursor];
		if (!f->durable && !f->failed)
			return NULL;
		if (f->durable && !f->committed)
			return f;
	}
	return NULL;
}

size_t
queue_peek(const struct queue *q)
{
	struct frame *f = disk_next(&dsk);

	must(q == &dsk);
	return f == NULL ? 0 : f->chunk.body[0].n + f->chunk.identity.n;
}

int
queue_take(struct queue *q, void *buf, size_t cap, struct chunk *ret,
    uint64_t *ret_seq)
{
	struct frame *f = disk_next(q);
	uint8_t *p = buf;

	if (f == NULL)
		return -EAGAIN;
	if (cap < f->chunk.body[0].n + f->chunk.identity.n)
		return -ENOBUFS;
	*ret = f->chunk;
	memcpy(p, f->body, f->chunk.body[0].n);
	memcpy(p + f->chunk.body[0].n, f->identity, f->chunk.identity.n);
	ret->body[0].p = p;
	ret->identity.p = p + f->chunk.body[0].n;
	*ret_seq = f->seq;
	q->cursor++;
	return 0;
}

void
queue_commit(struct queue *q, uint64_t seq)
{
	must(seq >= 1 && seq <= q->n);
	must(!q->frame[seq - 1].committed);
	q->frame[seq - 1].committed = true;
}

void
queue_rewind(struct queue *q)
{
	q->cursor = 0;
}

static bool commits_wait;	/* for the disk */

bool
queue_is_settled(const struct queue *q)
{
	return !commits_wait;
}

uint64_t
queue_held_frames(const struct queue *q)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < q->n; i++)
		n += !q->frame[i].committed && !q->frame[i].failed;
	return n;
}

struct streams *
queue_streams(struct queue *q)
{
	return (struct streams *)(uintptr_t)q;
}

uint64_t
streams_end_of(const struct streams *s, const uint8_t id[STREAM_ID_LEN])
{
	uint64_t end = 0;
	unsigned i;

	for (i = 0; i < dsk.n; i++) {
		if (!dsk.frame[i].failed &&
		    memcmp(dsk.frame[i].chunk.stream, id, STREAM_ID_LEN) == 0 &&
		    dsk.frame[i].chunk.to > end)
			end = dsk.frame[i].chunk.to;
	}
	return end;
}

/* Whether one position of a stream is in a frame on the disk. */
static bool
disk_has(const uint8_t id[STREAM_ID_LEN], uint64_t pos, uint64_t *ret_to)
{
	unsigned i;

	for (i = 0; i < dsk.n; i++)
		if (!dsk.frame[i].failed &&
		    memcmp(dsk.frame[i].chunk.stream, id, STREAM_ID_LEN) == 0 &&
		    dsk.frame[i].chunk.from <= pos &&
		    pos < dsk.frame[i].chunk.to) {
			*ret_to = dsk.frame[i].chunk.to;
			return true;
		}
	return false;
}

int
streams_cut(const struct streams *s, const uint8_t id[STREAM_ID_LEN],
    uint64_t from, uint64_t to, struct range *ret_new)
{
	while (from < to && disk_has(id, from, &from))
		continue;
	if (from >= to)
		return -ENOENT;
	*ret_new = (struct range){ from, to };
	return 0;
}

/* Only how many; each frame is one. */
const struct ranges *
streams_taken(const struct streams *s, const uint8_t id[STREAM_ID_LEN])
{
	static struct ranges rs;
	unsigned i;

	rs = (struct ranges){ 0 };
	for (i = 0; i < dsk.n; i++)
		rs.n += !dsk.frame[i].failed &&
		    memcmp(dsk.frame[i].chunk.stream, id, STREAM_ID_LEN) == 0;
	return rs.n == 0 ? NULL : &rs;
}

void
streams_end(struct streams *s, const uint8_t id[STREAM_ID_LEN], uint64_t ns)
{
}

/* ---- the whole stage ---- */

/* All that can happen now, happens. */
static void
settle(void)
{
	bool any = true;
	unsigned n;

	for (n = 0; any; n++) {
		must(n < 100000);	/* else it never comes to rest */
		any = turn_ready();
		any |= turn_timers();
		any |= turn_knock();
		if (snd.answers && snd.up && snd.out > 0) {
			relay_ack(snd.out);
			any = true;
		}
		if (dsk.syncs)
			any |= disk_answer(0);
	}
}

/* Time passes in steps no timer is shorter than. */
static void
pass(uint64_t ns)
{
	uint64_t until = lp.now + ns;

	settle();
	while (lp.now < until) {
		lp.now += until - lp.now < 5 * MS ? until - lp.now : 5 * MS;
		settle();
	}
}

static void
stage_clear(void)
{
	unsigned i;

	for (i = 0; i < snd.born_n; i++) {
		free(snd.born[i].bytes);
		free(snd.born[i].have);
	}
	for (i = 0; i < dsk.n; i++)
		free(dsk.frame[i].body);
	memset(&lp, 0, sizeof(lp));
	memset(&snd, 0, sizeof(snd));
	memset(&dsk, 0, sizeof(dsk));
	snd.lastp = &snd.first;
	snd.room = 32u << 20;
	lp.now = 100 * SECOND;
}

#endif
