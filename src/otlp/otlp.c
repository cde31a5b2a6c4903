/* SPDX-License-Identifier: ISC */
/*
 * otlp.c - records of many chunks as one request; the contract is in otlp.h
 *
 * The buffer holds runs: records of one resource and scope, one after the
 * other.  Each run is written once, where it stays if it is the first:
 *
 *   | slack | resource | slack | scope | record | record | … | next run
 *
 * The lengths in front are only known at the end, so otlp_batch_finish()
 * writes them into the slack, right up against the records, and closes the
 * gaps between runs.  A call that does not fit is undone by forgetting what
 * it wrote.  In JSON there are no lengths: a run begins with what closes the
 * one before it.
 */

#include "otlp/otlp.h"

#include <errno.h>

#include "base/env.h"
#include "base/must.h"
#include "base/planted.h"
#include "otlp/parts.h"
#include "otlp/runs.h"
#include "otlp/write.h"

#include "banned.h"

#define BATCH_MAGIC	0x424c5431u
#define JSON_END	BYTES("]}]}]}")
#define BATCH_CAP_MIN	256

struct otlp_batch {
	uint32_t	 magic;
	struct env	*env;
	struct otlp_conf conf;
	struct pb	 w;
	uint8_t		*mem;
	size_t		 cap;
	struct run	*run;
	unsigned	 run_n, run_max;
	unsigned	 resource_run;	/* which run has the newest resource */
	bool		 lane_run;	/* the newest run is the chunk's own
					   identity, with nothing of a record */
	bool		 finished;
	struct bytes	 request;
	struct otlp_counts counts;
	struct parts	 parts;
	struct norm_lane lane;
	struct norm	 norm;
	struct trim	 trim;
};

/* One chunk on its way in. */
struct adding {
	const struct chunk *chunk;
	uint64_t	 now_ns;
	uint8_t		 uid[2 * STREAM_ID_LEN + 1 + 20];
};

static void
batch_check(const struct otlp_batch *b)
{
	must(b != NULL);
	must(b->magic == BATCH_MAGIC);
}

static bool
is_json(const struct otlp_batch *b)
{
	return b->conf.format == OTLP_JSON;
}

static bool
bytes_same(const struct otlp_batch *b, uint32_t at, uint32_t n,
    const uint8_t *p, size_t len)
{
	return n == len && memcmp(b->mem + at, p, n) == 0;
}

static uint32_t
at(const struct otlp_batch *b, const uint8_t *p)
{
	return (uint32_t)(p - b->mem);
}

int
otlp_batch_new(struct otlp_batch **ret_b, struct env *env,
    const struct otlp_conf *conf, size_t cap)
{
	struct otlp_batch *b;

	if (cap < BATCH_CAP_MIN || cap > UINT32_MAX)
		return -EINVAL;
	b = env_alloc(env, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	b->magic = BATCH_MAGIC;
	b->env = env;
	b->conf = *conf;
	b->cap = cap;
	/* A run is a resource, a scope and a record: not below 128 bytes. */
	b->run_max = (unsigned)(cap / 128 + 1);
	b->mem = env_alloc(env, cap);
	b->run = env_alloc(env, b->run_max * sizeof(b->run[0]));
	b->parts.v = env_alloc(env, OTLP_PARTS_MAX * sizeof(b->parts.v[0]));
	if (b->mem == NULL || b->run == NULL || b->parts.v == NULL) {
		otlp_batch_free(&b);
		return -ENOMEM;
	}
	b->trim.limits = conf->limits;
	b->trim.counts = &b->counts;
	otlp_batch_reset(b);
	*ret_b = b;
	return 0;
}

void
otlp_batch_free(struct otlp_batch **b)
{
	struct env *env;

	if (*b == NULL)
		return;
	batch_check(*b);
	env = (*b)->env;
	env_free(env, (*b)->run);
	env_free(env, (*b)->parts.v);
	env_free(env, (*b)->mem);
	(*b)->magic = 0;
	env_free(env, *b);
	*b = NULL;
}

void
otlp_batch_reset(struct otlp_batch *b)
{
	batch_check(b);
	b->w = (struct pb){ b->mem, b->mem + b->cap, false };
	b->run_n = b->resource_run = 0;
	b->lane_run = b->finished = false;
	b->counts = (struct otlp_counts){ 0 };
	b->parts.n = 0;
	if (is_json(b)) {
		b->w.end -= JSON_END.n;
		memcpy(pb_room(&b->w, 17), "{\"resourceLogs\":[", 17);
	}
}

static void
put(struct otlp_batch *b, struct bytes s)
{
	uint8_t *p = pb_room(&b->w, s.n);

	if (p != NULL)
		memcpy(p, s.p, s.n);
}

/* In front of a resource, of a scope, of a record's place. */
static void
before_resource(struct otlp_batch *b)
{
	if (!is_json(b))
		(void)pb_room(&b->w, RUN_SLACK);
	else
		put(b, b->run_n > 0 ? BYTES("]}]},{") : BYTES("{"));
}

static void
before_scope(struct otlp_batch *b, bool first)
{
	if (!is_json(b))
		(void)pb_room(&b->w, RUN_SLACK);
	else
		put(b, first ? BYTES(",\"scopeLogs\":[{") : BYTES("]},{"));
}

static void
put_scope(struct otlp_batch *b, struct run *r)
{
	const uint8_t *start = b->w.p;

	if (is_json(b))
		json_scope(&b->w, &b->trim);
	else
		pb_scope(&b->w, &b->trim);
	r->scope_at = at(b, start);
	r->scope_n = (uint32_t)(b->w.p - start);
	if (is_json(b))
		put(b, BYTES(",\"logRecords\":["));
	r->records_at = at(b, b->w.p);
	r->records_n = 0;
}

static void
put_resource(struct otlp_batch *b, struct run *r)
{
	const uint8_t *start;

	before_resource(b);
	start = b->w.p;
	if (is_json(b))
		json_resource(&b->w, &b->trim);
	else
		pb_resource(&b->w, &b->trim);
	r->resource_at = at(b, start);
	r->resource_n = (uint32_t)(b->w.p - start);
}

static bool
same_resource(const struct otlp_batch *b, const struct run *new)
{
	const struct run *r = &b->run[b->resource_run];

	return b->run_n > 0 && bytes_same(b, r->resource_at, r->resource_n,
	    b->mem + new->resource_at, new->resource_n);
}

static bool
same_scope(const struct otlp_batch *b, const struct run *new)
{
	const struct run *r = &b->run[b->run_n - 1];

	return bytes_same(b, r->scope_at, r->scope_n, b->mem + new->scope_at,
	    new->scope_n);
}

/*
 * Begins a run for trim's resource and scope, unless they are those of the
 * newest run: each is written where it would stand, compared, and forgotten
 * if it says nothing new.
 */
static int
switch_run(struct otlp_batch *b)
{
	uint8_t *start = b->w.p;
	struct run new = { 0 };
	bool same;

	put_resource(b, &new);
	same = !b->w.full && same_resource(b, &new);
	if (same) {
		b->w.p = start;
		new.resource_n = 0;
	}
	before_scope(b, !same);
	put_scope(b, &new);
	if (b->w.full || b->run_n == b->run_max)
		return -ENOSPC;
	if (same && same_scope(b, &new)) {
		b->w.p = start;
		return 0;
	}
	if (!same)
		b->resource_run = b->run_n;
	b->run[b->run_n++] = new;
	return 0;
}

/* "<stream>:<position>", empty for records that were born nowhere. */
static struct bytes
uid_of(struct adding *a, uint64_t position)
{
	uint8_t digits[20], *p = digits + sizeof(digits), *out;

	if (stream_is_none(a->chunk->stream))
		return (struct bytes){ NULL, 0 };
	do {
		*--p = (uint8_t)('0' + position % 10);
		position /= 10;
	} while (position > 0);
	out = a->uid + 2 * STREAM_ID_LEN + 1;
	memcpy(out, p, (size_t)(digits + sizeof(digits) - p));
	out += digits + sizeof(digits) - p;
	return bytes_of(a->uid, (size_t)(out - a->uid));
}

static void
uid_begin(struct adding *a)
{
	static const char hex[] = "0123456789abcdef";
	unsigned i;

	for (i = 0; i < STREAM_ID_LEN; i++) {
		a->uid[2 * i] = (uint8_t)hex[a->chunk->stream[i] >> 4];
		a->uid[2 * i + 1] = (uint8_t)hex[a->chunk->stream[i] & 15];
	}
	a->uid[2 * STREAM_ID_LEN] = ':';
}

/*
 * A backend takes no record that is older than its window (or, Dash0, three
 * days ahead): it goes out as of now and says when it really was.  One that
 * came through here before keeps its first word.
 */
static void
keep_in_window(struct otlp_batch *b, uint64_t now_ns)
{
	struct norm *n = &b->norm;
	char iso[NORM_ISO_LEN];
	struct bytes text;
	unsigned i;
	bool late;

	if (b->conf.window_ns == 0 || n->time_ns == 0)
		return;
	late = n->time_ns < now_ns && now_ns - n->time_ns > b->conf.window_ns;
	if (!late && (n->time_ns < now_ns ||
	    n->time_ns - now_ns <= DASH0_FUTURE_NS))
		return;
	b->counts.late++;
	norm_iso(n->time_ns, iso);
	n->time_ns = now_ns;
	for (i = 0; i < n->attr_n; i++)
		if (n->attr[i].rank == F_original_time)
			return;
	text = norm_scratch(n, iso, sizeof(iso));
	if (text.n > 0)
		norm_add(n, F_original_time, text);
}

static int
identify(struct otlp_batch *b, const struct norm_from *from)
{
	int r;

	if (b->lane_run && b->norm.own == 0)
		return 0;
	norm_identity(&b->norm, from);
	trim_identity(&b->trim, &b->norm);
	r = switch_run(b);
	if (r == 0)
		b->lane_run = b->norm.own == 0;
	return r;
}

static int
put_record(struct otlp_batch *b)
{
	struct run *r;

	r = &b->run[b->run_n - 1];
	if (is_json(b)) {
		if (r->records_n > 0)
			put(b, BYTES(","));
		json_record(&b->w, &b->trim);
	} else {
		pb_record(&b->w, &b->trim);
	}
	if (b->w.full)
		return -ENOSPC;
	r->records_n = at(b, b->w.p) - r->records_at;
	b->counts.records++;
	return 0;
}

/*
 * Leaves m behind the record, whose end is known when its fields are: to
 * look for it first would mean to read it twice.  1: no end was found.
 */
static int
add_entry(struct otlp_batch *b, struct adding *a, const struct entry *e,
    struct mp *m, uint64_t position)
{
	struct norm_from from = {
		&b->conf.norm, &b->lane, e, uid_of(a, position),
		a->chunk->taken_ns != 0 ? a->chunk->taken_ns : a->now_ns
	};
	int r;

	if (PLANTED(drop_encode))
		return mp_skip(m) < 0;
	if (e->group_mark || norm_fields(&b->norm, &from) < 0) {
		if (mp_skip(m) < 0)
			return 1;
		b->counts.marks += e->group_mark;
		b->counts.bad += !e->group_mark;
		return 0;
	}
	m->p = b->norm.record_end;
	keep_in_window(b, a->now_ns);
	trim_record(&b->trim, &b->norm);
	r = identify(b, &from);
	return r < 0 ? r : put_record(b);
}

/* What became of the entry from start on, by the count that has grown. */
static int
note_part(struct otlp_batch *b, const struct chunk *c, const uint8_t *start,
    const uint8_t *end, const struct otlp_counts *before)
{
	bool bad = b->counts.bad + b->counts.marks >
	    before->bad + before->marks;

	if (!bad && b->counts.records == before->records)
		return 0;
	return parts_add(&b->parts, c, (size_t)(start - c->body[0].p),
	    (size_t)(end - c->body[0].p), bad);
}

/* The walker let nothing such in. */
static int
lost_rest(struct otlp_batch *b, const struct chunk *c, const uint8_t *start)
{
	b->counts.bad++;
	return parts_add(&b->parts, c, (size_t)(start - c->body[0].p),
	    c->body[0].n, true);
}

static int
add_entries(struct otlp_batch *b, struct adding *a, uint32_t first,
    uint32_t count)
{
	const struct chunk *c = a->chunk;
	struct mp m = mp_of(c->body[0]);
	struct otlp_counts before;
	struct entry e;
	const uint8_t *start;
	uint32_t i;
	int r = 0;

	for (i = 0; m.p < m.end && i < first; i++) {
		start = m.p;
		if (mp_skip(&m) < 0)
			return lost_rest(b, c, start);
	}
	for (i = 0; m.p < m.end && i < count && r == 0; i++) {
		start = m.p;
		before = b->counts;
		if (walk_head(&m, &e) < 0)
			return lost_rest(b, c, start);
		r = add_entry(b, a, &e, &m, c->from +
		    (uint64_t)(start - c->body[0].p));
		if (r > 0)
			return lost_rest(b, c, start);
		if (r == 0)
			r = note_part(b, c, start, m.p, &before);
	}
	return r;
}

int
otlp_batch_add(struct otlp_batch *b, const struct chunk *chunk,
    uint32_t first, uint32_t count, uint64_t now_wall_ns)
{
	struct adding a = { .chunk = chunk, .now_ns = now_wall_ns };
	struct otlp_counts counts;
	struct parts_mark parts;
	struct run last = { 0 };
	unsigned run_n, resource_run;
	uint8_t *p;
	int r;

	batch_check(b);
	must(!b->finished);
	must(chunk->body[1].n == 0);
	p = b->w.p;
	counts = b->counts;
	parts = parts_mark(&b->parts);
	run_n = b->run_n;
	resource_run = b->resource_run;
	if (run_n > 0)
		last = b->run[run_n - 1];
	uid_begin(&a);
	norm_lane_init(&b->lane, chunk->identity);
	b->lane_run = false;
	r = add_entries(b, &a, first, count);
	if (r == 0)
		return 0;
	b->w.p = p;
	b->w.full = false;
	b->counts = counts;
	parts_undo(&b->parts, &parts);
	b->run_n = run_n;
	b->resource_run = resource_run;
	if (run_n > 0)
		b->run[run_n - 1] = last;
	b->lane_run = false;
	return run_n == 0 ? -EMSGSIZE : r;
}

size_t
otlp_batch_len(const struct otlp_batch *b)
{
	batch_check(b);
	return b->finished ? b->request.n : (size_t)(b->w.p - b->mem);
}

const struct otlp_counts *
otlp_batch_counts(const struct otlp_batch *b)
{
	batch_check(b);
	return &b->counts;
}

const struct otlp_part *
otlp_batch_parts(const struct otlp_batch *b, unsigned *ret_n)
{
	batch_check(b);
	*ret_n = b->parts.n;
	return b->parts.v;
}

static struct bytes
finish_json(struct otlp_batch *b)
{
	b->w.end += JSON_END.n;
	put(b, b->run_n > 0 ? JSON_END : BYTES("]}"));
	must(!b->w.full);
	return bytes_of(b->mem, (size_t)(b->w.p - b->mem));
}

struct bytes
otlp_batch_finish(struct otlp_batch *b)
{
	batch_check(b);
	if (!b->finished)
		b->request = is_json(b) ? finish_json(b) :
		    runs_join(b->mem, b->run, b->run_n);
	b->finished = true;
	return b->request;
}
