/* SPDX-License-Identifier: ISC */
/* walk.c - the bounded walk over Forward entries; the contract is in walk.h */

#include "forward/walk.h"

#include <errno.h>

#include "forward/mp.h"
#include "banned.h"

#define NS_PER_S	UINT64_C(1000000000)

/*
 * Fluent Bit brackets groups of records with entries whose seconds are
 * 0xffffffff (start) or 0xfffffffe (end): no events of the year 2106.
 */
static bool
is_group_mark(uint64_t seconds, uint64_t nanos)
{
	return nanos == 0 && (seconds == 0xffffffffu || seconds == 0xfffffffeu);
}

static bool
is_map(struct bytes value)
{
	struct mp m = mp_of(value);
	uint32_t pairs;

	return mp_map(&m, &pairs) == 0;
}

static int
take_time(struct mp *m, struct entry *e)
{
	struct mp_item it;
	uint64_t s, ns;
	int r;

	r = mp_next(m, &it);
	if (r < 0)
		return r;
	switch (it.type) {
	case MP_EXT:
		if (it.ext_type != 0 || it.s.n != 8)
			return -EBADMSG;
		s = (uint64_t)it.s.p[0] << 24 | (uint64_t)it.s.p[1] << 16 |
		    (uint64_t)it.s.p[2] << 8 | it.s.p[3];
		ns = (uint64_t)it.s.p[4] << 24 | (uint64_t)it.s.p[5] << 16 |
		    (uint64_t)it.s.p[6] << 8 | it.s.p[7];
		e->group_mark = is_group_mark(s, ns);
		e->time_ns = s * NS_PER_S + ns;
		return 0;
	case MP_UINT:
		e->time_ns = it.u > UINT64_MAX / NS_PER_S ? 0 : it.u * NS_PER_S;
		return 0;
	case MP_NIL:		/* "now", as 0 is */
		return 0;
	case MP_DOUBLE:
		e->time_ns = it.d > 0 && it.d < 1.8e10 ?
		    (uint64_t)(it.d * 1e9) : 0;
		return 0;
	default:
		return -EBADMSG;
	}
}

/* Element 0: a time, or [time, metadata]. */
static int
take_head(struct mp *m, struct entry *e)
{
	struct mp at = *m;
	struct mp_item it;
	int r;

	r = mp_next(&at, &it);
	if (r < 0)
		return r;
	if (it.type != MP_ARRAY)
		return take_time(m, e);
	if (it.count != 2)
		return -EBADMSG;
	*m = at;
	r = take_time(m, e);
	if (r < 0)
		return r;
	r = mp_value(m, &e->metadata);
	if (r == 0 && !is_map(e->metadata))
		r = -EBADMSG;
	return r;
}

/* Up to the record. */
static int
begin_entry(struct mp *m, struct entry *e)
{
	uint32_t n;
	int r;

	r = mp_array(m, &n);
	if (r == 0 && n != 2)
		r = -EBADMSG;
	return r < 0 ? r : take_head(m, e);
}

int
walk_entry(struct mp *m, struct entry *ret_entry)
{
	struct entry e = { 0 };
	struct mp at = *m;
	int r;

	r = begin_entry(&at, &e);
	if (r == 0)
		r = mp_value(&at, &e.record);
	if (r < 0)
		return r;
	if (!is_map(e.record))
		return -EBADMSG;
	*m = at;
	*ret_entry = e;
	return 0;
}

int
walk_head(struct mp *m, struct entry *ret_entry)
{
	struct entry e = { 0 };
	struct mp at = *m;
	int r;

	r = begin_entry(&at, &e);
	if (r < 0)
		return r;
	e.record = bytes_of(at.p, (size_t)(at.end - at.p));
	*m = at;
	*ret_entry = e;
	return 0;
}

void
walk_until(struct bytes body, size_t record_max, size_t stop_bytes,
    struct walk *ret_walk)
{
	struct walk w = { 0 };
	struct mp m = mp_of(body);
	struct entry e;
	const uint8_t *start;
	int r;

	while (m.p < m.end && (stop_bytes == 0 || w.good_bytes < stop_bytes)) {
		start = m.p;
		r = walk_entry(&m, &e);
		if (r == -EAGAIN && (size_t)(m.end - start) > record_max)
			r = -EMSGSIZE;
		else if (r == 0 && (size_t)(m.p - start) > record_max)
			r = -EMSGSIZE;
		if (r < 0) {
			w.error = r;
			break;
		}
		w.good_bytes = (size_t)(m.p - body.p);
		w.records++;
		w.group_marks += e.group_mark;
	}
	*ret_walk = w;
}

void
walk_entries(struct bytes body, size_t record_max, struct walk *ret_walk)
{
	walk_until(body, record_max, 0, ret_walk);
}
