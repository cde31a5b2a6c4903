/* SPDX-License-Identifier: ISC */
/* batch.c - frames on their way to the backend; the contract is in batch.h */

#include "export/batch.h"

#include <errno.h>
#include <libdeflate.h>

#include "base/env.h"
#include "base/must.h"
#include "base/planted.h"
#include "export/dead.h"
#include "forward/mp.h"
#include "queue/queue.h"
#include "banned.h"

#define GZIP_LEVEL	4	/* 6 costs twice the time for 3 % less */

void
batch_init(struct batch *b, struct env *env)
{
	*b = (struct batch){ .env = env };
}

void
batch_trim(struct batch *b)
{
	env_free(b->env, b->raw);
	env_free(b->env, b->packed);
	otlp_batch_free(&b->otlp);
	libdeflate_free_compressor(b->gzip);
	b->gzip = NULL;
	b->raw = b->packed = NULL;
	b->raw_cap = b->packed_cap = 0;
	b->body = (struct bytes){ 0 };
}

void
batch_fini(struct batch *b)
{
	batch_trim(b);
	b->frame_n = 0;
}

static bool
goes_alone(const struct chunk *c)
{
	return c->encoding != ENC_FORWARD || c->signal != SIGNAL_LOGS ||
	    (c->flags & CHUNK_BROKEN) != 0;
}

const struct batch_frame *
batch_alone(const struct batch *b)
{
	uint32_t nth;
	const struct batch_frame *f = batch_at(b, &nth);

	return goes_alone(&f->chunk) ? f : NULL;
}

bool
batch_is_raw(const struct batch *b)
{
	const struct batch_frame *f = batch_alone(b);

	return f != NULL && f->chunk.encoding == ENC_OTLP;
}

/* All that was taken, the first records on top. */
static void
set_ranges(struct batch *b)
{
	uint32_t n = b->records;

	b->range_n = 0;
	if (b->frame_n > 1 && goes_alone(&b->frame[b->frame_n - 1].chunk)) {
		n--;
		b->range[b->range_n++] = (struct batch_range){ n, n + 1 };
	}
	if (n > 0 || b->range_n == 0)
		b->range[b->range_n++] = (struct batch_range){ 0, n };
}

static void
keep(struct batch *b, const struct chunk *c, uint64_t seq)
{
	struct batch_frame *f = &b->frame[b->frame_n++];

	f->chunk = *c;
	f->seq = seq;
	f->first = b->records;
	b->raw_len += c->body[0].n + c->identity.n;
	b->records += goes_alone(c) ? 1 : c->records;
}

struct source {
	void	*from;
	size_t	(*peek)(const void *from);
	int	(*take)(void *from, void *buf, size_t cap, struct chunk *ret,
		    uint64_t *ret_seq);
};

static int
fill_from(struct batch *b, const struct source *s, size_t bytes)
{
	struct chunk c;
	uint64_t seq;
	size_t need;
	int r = 0;

	must(b->range_n == 0);
	b->frame_n = 0;
	b->raw_len = 0;
	b->records = 0;
	if (b->raw == NULL) {
		b->raw_cap = QUEUE_TAKE_MAX;
		b->raw = env_alloc(b->env, b->raw_cap);
		if (b->raw == NULL)
			return -ENOMEM;
	}
	while (b->frame_n < BATCH_FRAMES_MAX) {
		need = s->peek(s->from);
		if (b->frame_n > 0 && b->raw_len + need > bytes)
			break;
		r = s->take(s->from, b->raw + b->raw_len,
		    b->raw_cap - b->raw_len, &c, &seq);
		if (r < 0)
			break;
		keep(b, &c, seq);
		if (goes_alone(&c))
			break;
	}
	if (b->frame_n > 0)
		set_ranges(b);
	return (int)b->frame_n;
}

struct of_queue {
	struct queue	*queue;
	enum queue_flow	 flow;
};

static size_t
peek_queue(const void *from)
{
	const struct of_queue *q = from;

	return queue_peek(q->queue);
}

static int
take_queue(void *from, void *buf, size_t cap, struct chunk *ret,
    uint64_t *ret_seq)
{
	const struct of_queue *q = from;
	int r = -EAGAIN;

	if (queue_flow(q->queue) == q->flow)
		r = queue_take(q->queue, buf, cap, ret, ret_seq);
	while (r >= 0 && PLANTED(drop_fill)) {
		queue_commit(q->queue, *ret_seq);
		r = queue_take(q->queue, buf, cap, ret, ret_seq);
	}
	return r;
}

int
batch_fill(struct batch *b, struct queue *q, size_t bytes)
{
	struct of_queue of = { q, queue_turn(q) };
	const struct source s = { &of, peek_queue, take_queue };

	return fill_from(b, &s, bytes);
}

static size_t
peek_letter(const void *d)
{
	return dead_peek(d);
}

static int
take_letter(void *d, void *buf, size_t cap, struct chunk *ret,
    uint64_t *ret_seq)
{
	return dead_take(d, buf, cap, ret, ret_seq);
}

int
batch_fill_letters(struct batch *b, struct dead *d, size_t bytes)
{
	const struct source s = { d, peek_letter, take_letter };

	return fill_from(b, &s, bytes);
}

void
batch_pop(struct batch *b)
{
	must(b->range_n > 0);
	b->range_n--;
}

bool
batch_split(struct batch *b)
{
	struct batch_range *top = &b->range[b->range_n - 1];
	uint32_t mid;

	must(b->range_n > 0);
	if (top->to - top->from <= 1 || b->range_n == BATCH_RANGES_MAX)
		return false;
	mid = top->from + (top->to - top->from) / 2;
	b->range[b->range_n++] = (struct batch_range){ top->from, mid };
	top->from = mid;
	return true;
}

void
batch_turn(struct batch *b)
{
	struct batch_range top;

	must(b->range_n > 0);
	top = b->range[b->range_n - 1];
	memmove(&b->range[1], &b->range[0],
	    (b->range_n - 1) * sizeof(b->range[0]));
	b->range[0] = top;
}

static unsigned
frame_of(const struct batch *b, uint32_t record)
{
	unsigned i = b->frame_n - 1;

	while (b->frame[i].first > record)
		i--;
	return i;
}

const struct batch_frame *
batch_at(const struct batch *b, uint32_t *ret_nth)
{
	uint32_t record;
	unsigned i;

	must(b->range_n > 0);
	record = b->range[b->range_n - 1].from;
	i = frame_of(b, record);
	*ret_nth = record - b->frame[i].first;
	return &b->frame[i];
}

struct bytes
batch_entry(const struct batch_frame *f, uint32_t nth)
{
	struct mp m = mp_of(f->chunk.body[0]);
	const uint8_t *start = m.p;
	uint32_t i;

	for (i = 0; i <= nth; i++) {
		start = m.p;
		if (mp_skip(&m) < 0)
			return (struct bytes){ 0 };
	}
	return bytes_of(start, (size_t)(m.p - start));
}

/*
 * Adds as many records of one frame from first on as fit, at most count:
 * all at once, else by halves.  Returns how many, or -EMSGSIZE.
 */
static int64_t
add_some(struct batch *b, const struct batch_frame *f, uint32_t first,
    uint32_t count, uint64_t wall_ns)
{
	int r;

	for (; count > 0; count /= 2) {
		r = otlp_batch_add(b->otlp, &f->chunk, first, count, wall_ns);
		if (r == 0)
			return count;
		if (r == -EMSGSIZE && count == 1)
			return r;
	}
	return 0;
}

/* About how many of a frame's records are bytes long together, at least 1. */
static uint32_t
records_in(const struct batch_frame *f, size_t bytes)
{
	size_t len = f->chunk.body[0].n;
	uint64_t n;

	n = len == 0 ? 1 : (uint64_t)f->chunk.records * bytes / len;
	return n == 0 ? 1 : n < f->chunk.records ? (uint32_t)n :
	    f->chunk.records;
}

/* Fills the request from the current range; returns the record it got to. */
static int64_t
add_range(struct batch *b, struct batch_range r, size_t bytes,
    uint64_t wall_ns)
{
	uint32_t at = r.from, count, most;
	const struct batch_frame *f;
	size_t len = 0;
	int64_t n;

	for (; at < r.to && len < bytes; len = otlp_batch_len(b->otlp)) {
		f = &b->frame[frame_of(b, at)];
		count = f->first + f->chunk.records;
		count = (count < r.to ? count : r.to) - at;
		most = records_in(f, bytes - len);
		n = add_some(b, f, at - f->first, count < most ? count : most,
		    wall_ns);
		if (n < 0 && at == r.from)
			return n;
		if (n <= 0)
			break;
		at += (uint32_t)n;
	}
	return at;
}

/* The part of the top range from `at` on becomes the range below it. */
static void
cut_at(struct batch *b, uint32_t at)
{
	struct batch_range *top = &b->range[b->range_n - 1];
	struct batch_range first = { top->from, at };

	if (at == top->to)
		return;
	must(at > top->from && b->range_n < BATCH_RANGES_MAX);
	top->from = at;
	b->range[b->range_n++] = first;
}

const char *
batch_one_dataset(struct batch *b, const struct norm_conf *conf,
    const char *(*pick)(const void *arg, struct bytes environment),
    const void *arg)
{
	struct batch_range *top = &b->range[b->range_n - 1];
	const struct batch_frame *f;
	const char *name = NULL, *next;
	uint32_t at = top->from, n;
	struct bytes environment;

	must(b->range_n > 0);
	if (batch_is_raw(b))
		return pick(arg, (struct bytes){ 0 });
	for (; at < top->to; at += n) {
		f = &b->frame[frame_of(b, at)];
		if (otlp_environment(conf, &f->chunk, at - f->first,
		    &environment, &n) < 0) {
			environment = (struct bytes){ 0 };
			n = 1;
		}
		next = pick(arg, environment);
		if (name != NULL && next != name)
			break;
		name = next;
	}
	cut_at(b, at < top->to ? at : top->to);
	return name;
}

static int
gzip_body(struct batch *b)
{
	size_t need, n = 0;

	if (b->gzip == NULL)
		b->gzip = libdeflate_alloc_compressor(GZIP_LEVEL);
	if (b->gzip == NULL)
		return -ENOMEM;
	need = libdeflate_gzip_compress_bound(b->gzip, b->body.n);
	if (need > b->packed_cap) {
		env_free(b->env, b->packed);
		b->packed = env_alloc(b->env, need);
		b->packed_cap = b->packed == NULL ? 0 : need;
	}
	if (b->packed != NULL)
		n = libdeflate_gzip_compress(b->gzip, b->body.p, b->body.n,
		    b->packed, b->packed_cap);
	if (n == 0)
		return -ENOMEM;
	b->body = bytes_of(b->packed, n);
	return 0;
}

static int
encode_records(struct batch *b, const struct otlp_conf *conf, size_t bytes,
    uint64_t wall_ns)
{
	struct batch_range *top = &b->range[b->range_n - 1];
	int64_t at;
	int r;

	if (b->otlp == NULL) {
		r = otlp_batch_new(&b->otlp, b->env, conf,
		    2 * bytes + RECORD_BYTES_MAX);
		if (r < 0)
			return r;
	}
	otlp_batch_reset(b->otlp);
	at = add_range(b, *top, bytes, wall_ns);
	if (at < 0 || at == top->from) {
		if (top->to - top->from > 1)
			cut_at(b, top->from + 1);
		return -EMSGSIZE;
	}
	cut_at(b, (uint32_t)at);
	b->counts = *otlp_batch_counts(b->otlp);
	if (b->counts.records == 0)
		return -ENODATA;
	b->body = otlp_batch_finish(b->otlp);
	return 0;
}

int
batch_encode(struct batch *b, const struct otlp_conf *conf, size_t bytes,
    bool gzip, uint64_t wall_ns)
{
	int r = 0;

	must(b->range_n > 0);
	b->counts = (struct otlp_counts){ 0 };
	if (batch_is_raw(b)) {
		b->body = batch_alone(b)->chunk.body[0];
		b->counts.records = 1;
	} else {
		r = encode_records(b, conf, bytes, wall_ns);
	}
	b->raw_body = r == 0 ? b->body.n : 0;
	if (r == 0 && gzip)
		r = gzip_body(b);
	return r;
}
