/* SPDX-License-Identifier: ISC */
/* streams.c - which bytes of which stream were taken; see streams.h */

#include "queue/streams.h"

#include <errno.h>
#include <xxhash.h>

#include "base/env.h"
#include "base/must.h"
#include "base/planted.h"
#include "loop/loop.h"

#include "banned.h"

#define STREAMS_MAGIC	0x53545253U
#define VERSION		1
#define HEAD_BYTES	8
#define STREAM_BYTES	32		/* of one, without its ranges */
#define F_ENDED		1
#define F_FOREIGN	2
#define SECOND		1000000000ull
#define BUCKETS_MIN	64u

/* In the order in which a full table forgets them. */
enum class { ENDED, FOREIGN, OPEN, CLASSES };

static const uint64_t keep_ns[CLASSES] = {
	[ENDED] = 3600 * SECOND,
	[FOREIGN] = 600 * SECOND,
	[OPEN] = 7 * 86400 * SECOND,
};

struct stream {
	uint8_t		 id[STREAM_ID_LEN];
	uint8_t		 flags;
	uint64_t	 touched_ns;
	struct ranges	 taken;
	struct stream	*chain;		/* of the bucket */
	struct stream	*older;		/* of the class, by last touch */
	struct stream	*newer;
};

struct list {
	struct stream	*oldest;
	struct stream	*newest;
};

struct streams {
	uint32_t	 magic;
	struct env	*env;
	uint64_t	 seed;		/* ids come from peers */
	struct stream	**bucket;
	uint32_t	 buckets;	/* a power of two */
	uint32_t	 count;
	uint32_t	 ranges;	/* of all streams */
	struct list	 list[CLASSES];
};

static void
streams_check(const struct streams *s)
{
	must(s != NULL);
	must(s->magic == STREAMS_MAGIC);
	must(s->count <= STREAMS_MAX);
}

static enum class
class_of(const struct stream *st)
{
	if (st->flags & F_ENDED)
		return ENDED;
	return st->flags & F_FOREIGN ? FOREIGN : OPEN;
}

static void
list_remove(struct streams *s, struct stream *st)
{
	struct list *l = &s->list[class_of(st)];

	*(st->older != NULL ? &st->older->newer : &l->oldest) = st->newer;
	*(st->newer != NULL ? &st->newer->older : &l->newest) = st->older;
	st->older = st->newer = NULL;
}

static void
list_append(struct streams *s, struct stream *st)
{
	struct list *l = &s->list[class_of(st)];

	st->older = l->newest;
	st->newer = NULL;
	*(l->newest != NULL ? &l->newest->newer : &l->oldest) = st;
	l->newest = st;
}

static struct stream **
bucket_of(const struct streams *s, const uint8_t *id)
{
	uint64_t h = XXH3_64bits_withSeed(id, STREAM_ID_LEN, s->seed);

	return &s->bucket[h & (s->buckets - 1)];
}

static struct stream *
find(const struct streams *s, const uint8_t *id)
{
	struct stream *st;

	for (st = *bucket_of(s, id); st != NULL; st = st->chain)
		if (memcmp(st->id, id, STREAM_ID_LEN) == 0)
			return st;
	return NULL;
}

static void
unchain(struct streams *s, struct stream *st)
{
	struct stream **p = bucket_of(s, st->id);

	while (*p != st)
		p = &(*p)->chain;
	*p = st->chain;
}

static void
forget(struct streams *s, struct stream *st)
{
	unchain(s, st);
	list_remove(s, st);
	s->count--;
	s->ranges -= st->taken.n;
	ranges_fini(&st->taken, s->env);
	env_free(s->env, st);
}

/* Makes room by forgetting one stream, but not the one being worked on. */
static bool
evict(struct streams *s, const struct stream *keep)
{
	struct stream *st;
	int c;

	for (c = 0; c < CLASSES; c++) {
		st = s->list[c].oldest;
		if (st == keep && st != NULL)
			st = st->newer;
		if (st == NULL)
			continue;
		forget(s, st);
		ctr_add(&s->env->ctr, CTR_stream_evicted, 1);
		return true;
	}
	return false;
}

/* A table that cannot grow is slow, not wrong. */
static void
grow(struct streams *s)
{
	struct stream **old = s->bucket, **b, *st, *next;
	uint32_t i, n = s->buckets;

	if (s->count < n || n >= STREAMS_MAX)
		return;
	b = env_alloc(s->env, 2 * n * sizeof(struct stream *));
	if (b == NULL)
		return;
	s->bucket = b;
	s->buckets = 2 * n;
	for (i = 0; i < n; i++)
		for (st = old[i]; st != NULL; st = next) {
			next = st->chain;
			b = bucket_of(s, st->id);
			st->chain = *b;
			*b = st;
		}
	env_free(s->env, old);
}

static struct stream *
create(struct streams *s, const uint8_t *id, uint8_t flags, uint64_t now)
{
	struct stream *st, **b;

	while (s->count >= STREAMS_MAX && evict(s, NULL))
		;
	st = env_alloc(s->env, sizeof(*st));
	if (st == NULL)
		return NULL;
	grow(s);
	*st = (struct stream){ .flags = flags, .touched_ns = now };
	memcpy(st->id, id, STREAM_ID_LEN);
	b = bucket_of(s, id);
	st->chain = *b;
	*b = st;
	list_append(s, st);
	s->count++;
	return st;
}

static void
show_count(struct streams *s)
{
	ctr_set(&s->env->ctr, CTR_stream_count, s->count);
}

int
streams_new(struct streams **ret_s, struct env *env)
{
	struct streams *s;

	s = env_alloc(env, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	*s = (struct streams){ .magic = STREAMS_MAGIC, .env = env,
	    .buckets = BUCKETS_MIN };
	s->bucket = env_alloc(env, s->buckets * sizeof(struct stream *));
	if (s->bucket == NULL) {
		env_free(env, s);
		return -ENOMEM;
	}
	if (env->loop != NULL)
		loop_random(env->loop, &s->seed, sizeof(s->seed));
	*ret_s = s;
	return 0;
}

static void
forget_all(struct streams *s)
{
	int c;

	for (c = 0; c < CLASSES; c++)
		while (s->list[c].oldest != NULL)
			forget(s, s->list[c].oldest);
}

void
streams_free(struct streams **sp)
{
	struct streams *s = *sp;

	if (s == NULL)
		return;
	streams_check(s);
	forget_all(s);
	env_free(s->env, s->bucket);
	s->magic = 0;
	env_free(s->env, s);
	*sp = NULL;
}

int
streams_cut(const struct streams *s, const uint8_t id[STREAM_ID_LEN],
    uint64_t from, uint64_t to, struct range *ret_new)
{
	const struct stream *st;
	uint64_t end;
	int r;

	streams_check(s);
	st = find(s, id);
	if (st != NULL && PLANTED(high_water_mark) && st->taken.n > 0) {
		end = ranges_at(&st->taken, st->taken.n - 1)->to;
		from = end > from ? end : from;
	} else if (st != NULL) {
		r = ranges_gap(&st->taken, from, to, ret_new);
		if (r < 0 || !PLANTED(forget_overlap_cut))
			return r;
	}
	if (from >= to)
		return -ENOENT;
	*ret_new = (struct range){ from, to };
	return 0;
}

static void
touch(struct streams *s, struct stream *st, uint64_t now)
{
	list_remove(s, st);
	st->touched_ns = now;
	list_append(s, st);
}

static int
add_range(struct streams *s, struct stream *st, uint64_t from, uint64_t to)
{
	uint32_t before = st->taken.n;
	struct range gap;
	int r;

	if (before >= RANGES_MAX &&
	    ranges_gap(&st->taken, from, to, &gap) == 0 &&
	    ranges_count(&st->taken, from ? from - 1 : 0, to + 1) == 0)
		return -ENOSPC;
	r = ranges_add(&st->taken, s->env, from, to);
	s->ranges += st->taken.n;
	s->ranges -= before;
	return r;
}

int
streams_add(struct streams *s, const uint8_t id[STREAM_ID_LEN],
    uint64_t from, uint64_t to, bool foreign, uint64_t wall_ns)
{
	struct stream *st;
	int r;

	streams_check(s);
	if (from >= to || to == UINT64_MAX)
		return from == to ? 0 : -EINVAL;
	st = find(s, id);
	if (st == NULL)
		st = create(s, id, foreign ? F_FOREIGN : 0, wall_ns);
	else
		touch(s, st, wall_ns);
	if (st == NULL)
		return -ENOMEM;
	r = add_range(s, st, from, to);
	if (r < 0 && st->taken.n == 0)
		forget(s, st);
	while (r == 0 && s->ranges > RANGES_ALL_MAX && evict(s, st))
		;
	show_count(s);
	return r;
}

void
streams_remove(struct streams *s, const uint8_t id[STREAM_ID_LEN],
    uint64_t from, uint64_t to)
{
	struct stream *st;

	streams_check(s);
	st = find(s, id);
	if (st == NULL)
		return;
	s->ranges -= st->taken.n;
	ranges_remove(&st->taken, s->env, from, to);
	s->ranges += st->taken.n;
}

void
streams_restore(struct streams *s, const uint8_t id[STREAM_ID_LEN],
    uint64_t from, uint64_t to)
{
	struct stream *st;

	streams_check(s);
	st = find(s, id);
	if (st == NULL)
		return;
	/*
	 * Fails only where remove had to forget a neighbour, or add_range()
	 * had no room to begin with: forget this.
	 */
	(void)add_range(s, st, from, to);
}

void
streams_end(struct streams *s, const uint8_t id[STREAM_ID_LEN],
    uint64_t wall_ns)
{
	struct stream *st;

	streams_check(s);
	st = find(s, id);
	if (st == NULL)
		return;
	list_remove(s, st);
	st->flags |= F_ENDED;
	st->touched_ns = wall_ns;
	list_append(s, st);
}

void
streams_age(struct streams *s, uint64_t wall_ns)
{
	struct stream *st;
	int c;

	streams_check(s);
	for (c = 0; c < CLASSES; c++)
		while ((st = s->list[c].oldest) != NULL &&
		    wall_ns > st->touched_ns &&
		    wall_ns - st->touched_ns >= keep_ns[c])
			forget(s, st);
	show_count(s);
}

uint64_t
streams_end_of(const struct streams *s, const uint8_t id[STREAM_ID_LEN])
{
	const struct stream *st;

	streams_check(s);
	st = find(s, id);
	if (st == NULL || st->taken.n == 0)
		return 0;
	return ranges_at(&st->taken, st->taken.n - 1)->to;
}

size_t
streams_count(const struct streams *s)
{
	streams_check(s);
	return s->count;
}

void
streams_each(const struct streams *s,
    void (*see)(void *arg, const struct stream_seen *st), void *arg)
{
	const struct stream *st;
	int c;

	streams_check(s);
	for (c = 0; c < CLASSES; c++)
		for (st = s->list[c].oldest; st != NULL; st = st->newer)
			see(arg, &(struct stream_seen){ st->id, &st->taken,
			    st->touched_ns, c == ENDED, c == FOREIGN });
}

const struct ranges *
streams_taken(const struct streams *s, const uint8_t id[STREAM_ID_LEN])
{
	const struct stream *st;

	streams_check(s);
	st = find(s, id);
	return st == NULL ? NULL : &st->taken;
}

/* ---- the bytes of a checkpoint ---- */

size_t
streams_size(const struct streams *s)
{
	streams_check(s);
	return HEAD_BYTES + (size_t)s->count * STREAM_BYTES +
	    (size_t)s->ranges * 16;
}

static uint8_t *
save_one(const struct stream *st, uint8_t *p)
{
	uint32_t i;

	memset(p, 0, STREAM_BYTES);
	memcpy(p, st->id, STREAM_ID_LEN);
	p[16] = st->flags;
	le32_put(p + 20, st->taken.n);
	le64_put(p + 24, st->touched_ns);
	p += STREAM_BYTES;
	for (i = 0; i < st->taken.n; i++, p += 16) {
		le64_put(p, ranges_at(&st->taken, i)->from);
		le64_put(p + 8, ranges_at(&st->taken, i)->to);
	}
	return p;
}

int
streams_save(const struct streams *s, uint8_t *p, size_t cap, size_t *ret_len)
{
	size_t need = streams_size(s);
	const struct stream *st;
	int c;

	if (need > cap)
		return -ENOSPC;
	le32_put(p, VERSION);
	le32_put(p + 4, s->count);
	p += HEAD_BYTES;
	for (c = 0; c < CLASSES; c++)
		for (st = s->list[c].oldest; st != NULL; st = st->newer)
			p = save_one(st, p);
	*ret_len = need;
	return 0;
}

static int
load_ranges(struct streams *s, struct stream *st, const uint8_t *p, uint32_t n)
{
	uint64_t from, to, last = 0;
	uint32_t i;
	int r;

	for (i = 0; i < n; i++, p += 16) {
		from = le64_get(p);
		to = le64_get(p + 8);
		if (from >= to || to == UINT64_MAX || (i > 0 && from <= last))
			return -EBADMSG;
		last = to;
		r = ranges_add(&st->taken, s->env, from, to);
		if (r < 0)
			return r;
		s->ranges++;
	}
	return 0;
}

static int
load_one(struct streams *s, struct bytes *b)
{
	struct stream *st;
	uint32_t n;
	int r;

	if (b->n < STREAM_BYTES)
		return -EBADMSG;
	n = le32_get(b->p + 20);
	/* May be a few over RANGES_MAX: what is staged cuts holes. */
	if ((b->n - STREAM_BYTES) / 16 < n ||
	    (b->p[16] & ~(F_ENDED | F_FOREIGN)) != 0 ||
	    find(s, b->p) != NULL)
		return -EBADMSG;
	st = create(s, b->p, b->p[16], le64_get(b->p + 24));
	if (st == NULL)
		return -ENOMEM;
	r = load_ranges(s, st, b->p + STREAM_BYTES, n);
	if (r < 0)
		return r;
	*b = bytes_of(b->p + STREAM_BYTES + 16 * (size_t)n,
	    b->n - STREAM_BYTES - 16 * (size_t)n);
	return 0;
}

/* The table's memory changes hands; its place stays. */
static void
take_over(struct streams *s, struct streams *from)
{
	struct streams was = *s;

	*s = *from;
	*from = was;
}

int
streams_load(struct streams *s, struct bytes saved)
{
	struct streams *fresh = NULL;
	uint32_t i, n;
	int r;

	streams_check(s);
	if (saved.n < HEAD_BYTES || le32_get(saved.p) != VERSION)
		return -EBADMSG;
	n = le32_get(saved.p + 4);
	if (n > STREAMS_MAX)
		return -EBADMSG;
	r = streams_new(&fresh, s->env);
	if (r < 0)
		return r;
	saved = bytes_of(saved.p + HEAD_BYTES, saved.n - HEAD_BYTES);
	for (i = 0; i < n && r == 0; i++)
		r = load_one(fresh, &saved);
	if (r == 0 && saved.n != 0)
		r = -EBADMSG;
	while (r == 0 && fresh->ranges > RANGES_ALL_MAX && evict(fresh, NULL))
		;
	if (r == 0)
		take_over(s, fresh);
	streams_free(&fresh);
	show_count(s);
	return r;
}
