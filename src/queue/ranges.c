/* SPDX-License-Identifier: ISC */
/* ranges.c - sorted, merged ranges; the contract is in ranges.h */

#include "queue/ranges.h"

#include <errno.h>
#include <string.h>

#include "base/env.h"
#include "base/must.h"

#include "banned.h"

static struct range *
vec(struct ranges *rs)
{
	return rs->v != NULL ? rs->v : &rs->one;
}

static uint32_t
room(const struct ranges *rs)
{
	return rs->v != NULL ? rs->cap : 1;
}

const struct range *
ranges_at(const struct ranges *rs, uint32_t i)
{
	must(i < rs->n);
	return rs->v != NULL ? &rs->v[i] : &rs->one;
}

void
ranges_fini(struct ranges *rs, struct env *env)
{
	env_free(env, rs->v);
	*rs = (struct ranges){ 0 };
}

void
ranges_clear(struct ranges *rs)
{
	rs->n = 0;
}

/* The first range that ends at or behind x (touching counts). */
static uint32_t
first_ending_at(const struct ranges *rs, uint64_t x)
{
	uint32_t lo = 0, hi = rs->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (ranges_at(rs, mid)->to >= x)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static int
grow(struct ranges *rs, struct env *env)
{
	uint32_t cap = rs->v == NULL ? 4 : rs->cap * 2;
	struct range *v;

	if (rs->n < room(rs))
		return 0;
	if (cap <= rs->n)
		return -ENOMEM;
	v = env_alloc(env, cap * sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	memcpy(v, vec(rs), rs->n * sizeof(*v));
	env_free(env, rs->v);
	rs->v = v;
	rs->cap = cap;
	return 0;
}

static int
insert(struct ranges *rs, struct env *env, uint32_t i, struct range r)
{
	struct range *v;
	int e;

	e = grow(rs, env);
	if (e < 0)
		return e;
	v = vec(rs);
	memmove(v + i + 1, v + i, (rs->n - i) * sizeof(*v));
	v[i] = r;
	rs->n++;
	return 0;
}

static void
delete(struct ranges *rs, uint32_t i, uint32_t n)
{
	struct range *v = vec(rs);

	memmove(v + i, v + i + n, (rs->n - i - n) * sizeof(*v));
	rs->n -= n;
}

int
ranges_add(struct ranges *rs, struct env *env, uint64_t from, uint64_t to)
{
	struct range *v;
	uint32_t i, j;

	if (from >= to)
		return 0;
	i = first_ending_at(rs, from);
	if (i == rs->n || ranges_at(rs, i)->from > to)
		return insert(rs, env, i, (struct range){ from, to });
	v = vec(rs);
	for (j = i; j + 1 < rs->n && v[j + 1].from <= to; j++)
		;
	if (v[i].from > from)
		v[i].from = from;
	v[i].to = v[j].to > to ? v[j].to : to;
	delete(rs, i + 1, j - i);
	return 0;
}

static void
cut_in_two(struct ranges *rs, struct env *env, uint32_t i, uint64_t from,
    uint64_t to)
{
	struct range *v = vec(rs), right = { to, v[i].to };

	if (insert(rs, env, i + 1, right) < 0) {
		if (right.to - right.from > from - v[i].from)
			v[i].from = to;
		else
			v[i].to = from;
		return;
	}
	vec(rs)[i].to = from;
}

void
ranges_remove(struct ranges *rs, struct env *env, uint64_t from, uint64_t to)
{
	struct range *v = vec(rs);
	uint32_t i, j;

	if (from >= to)
		return;
	i = first_ending_at(rs, from + 1);
	if (i == rs->n || v[i].from >= to)
		return;
	if (v[i].from < from && v[i].to > to) {
		cut_in_two(rs, env, i, from, to);
		return;
	}
	if (v[i].from < from)
		v[i++].to = from;
	for (j = i; j < rs->n && v[j].to <= to; j++)
		;
	if (j < rs->n && v[j].from < to)
		v[j].from = to;
	delete(rs, i, j - i);
}

int
ranges_merge(struct ranges *a, struct env *env, const struct ranges *b)
{
	uint32_t i;
	int r;

	for (i = 0; i < b->n; i++) {
		r = ranges_add(a, env, ranges_at(b, i)->from,
		    ranges_at(b, i)->to);
		if (r < 0)
			return r;
	}
	return 0;
}

bool
ranges_has(const struct ranges *rs, uint64_t x)
{
	uint32_t i;

	if (x == UINT64_MAX)
		return false;
	i = first_ending_at(rs, x + 1);
	return i < rs->n && ranges_at(rs, i)->from <= x;
}

int
ranges_gap(const struct ranges *rs, uint64_t from, uint64_t to,
    struct range *ret_gap)
{
	uint32_t i;

	if (from >= to)
		return -ENOENT;
	i = first_ending_at(rs, from + 1);
	if (i < rs->n && ranges_at(rs, i)->from <= from)
		from = ranges_at(rs, i++)->to;
	if (from >= to)
		return -ENOENT;
	if (i < rs->n && ranges_at(rs, i)->from < to)
		to = ranges_at(rs, i)->from;
	*ret_gap = (struct range){ from, to };
	return 0;
}

uint64_t
ranges_count(const struct ranges *rs, uint64_t from, uint64_t to)
{
	uint64_t a, b, n = 0;
	uint32_t i;

	if (from >= to)
		return 0;
	for (i = first_ending_at(rs, from); i < rs->n; i++) {
		a = ranges_at(rs, i)->from;
		b = ranges_at(rs, i)->to;
		if (a >= to)
			break;
		a = a > from ? a : from;
		b = b < to ? b : to;
		n += b > a ? b - a : 0;
	}
	return n;
}
