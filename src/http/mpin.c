/* SPDX-License-Identifier: ISC */
/* mpin.c - a msgpack body to Forward entries; the contract is in mpin.h */

#include "http/mpin.h"

#include <errno.h>

#include "base/must.h"
#include "forward/mp.h"
#include "forward/walk.h"
#include "http/mp_scrub.h"

#include "banned.h"

#define SKIP_PARTS_MAX	256

void
mp_in_init(struct mp_in *m, struct bytes body, uint64_t now_ns)
{
	*m = (struct mp_in){ .body = body, .now_ns = now_ns,
	    .bad_at = SIZE_MAX, .bad_why = "" };
}

static void
note_bad(struct mp_in *m, const char *why)
{
	if (m->bad_at != SIZE_MAX)
		return;
	m->bad_at = m->at;
	m->bad_why = why;
}

/* The rest of the body cannot be read. */
static int64_t
give_up(struct mp_in *m, int error)
{
	if (error == -E2BIG) {
		m->counts.too_deep++;
		note_bad(m, "a value nests too deep");
	} else {
		m->counts.bad_json++;
		note_bad(m, error == -EAGAIN ? "the body ends within a value" :
		    "expected a msgpack value");
	}
	m->at = m->body.n;
	return 0;
}

/* Is v one entry as it stands. */
static bool
is_entry(struct bytes v)
{
	struct walk w;

	walk_entries(v, JSON_RECORD_MAX, &w);
	return w.error == 0 && w.records == 1 && w.good_bytes == v.n;
}

static int64_t
too_large(struct mp_in *m)
{
	m->counts.too_large++;
	note_bad(m, "the record is too large");
	return 0;
}

/* One map or entry to out: its length; 0: it was skipped; -ENOSPC. */
static int64_t
take(struct mp_in *m, struct bytes v, bool map, uint8_t *out, size_t cap)
{
	const size_t room = cap < JSON_RECORD_MAX ? cap : JSON_RECORD_MAX;
	struct mpw w = { .p = out, .end = out + room };
	uint64_t redacted;
	int r;

	if (v.n > JSON_RECORD_MAX)
		return too_large(m);
	if (map) {
		mpw_array(&w, 2);
		mpw_event_time(&w, m->now_ns);
	}
	r = mp_scrub(v, &w, &redacted);
	if (r == 0 && w.full)	/* with its secrets replaced it may grow */
		return cap < JSON_RECORD_MAX ? -ENOSPC : too_large(m);
	if (r < 0 || !is_entry(bytes_of(out, (size_t)(w.p - out)))) {
		m->counts.too_deep++;
		note_bad(m, "the record nests too deep");
		return 0;
	}
	m->counts.records++;
	m->counts.redacted += redacted;
	return w.p - out;
}

/* The value at m->at.  As take(); what was read is passed over. */
static int64_t
one(struct mp_in *m, uint8_t *out, size_t cap)
{
	const uint8_t *start = m->body.p + m->at;
	struct mp at = mp_of(bytes_of(start, m->body.n - m->at)), whole = at;
	struct mp_item it;
	struct bytes v;
	int64_t n = 0;
	int r;

	r = mp_next(&at, &it);
	if (r == 0)
		r = mp_value(&whole, &v);
	if (r < 0)
		return give_up(m, r);
	if (it.type == MP_MAP || (it.type == MP_ARRAY && is_entry(v))) {
		n = take(m, v, it.type == MP_MAP, out, cap);
		if (n == -ENOSPC)
			return n;
	} else if (it.type == MP_ARRAY && m->left == 0) {
		m->left = it.count + 1;		/* and itself */
		whole = at;
	} else {
		m->counts.not_object++;
		note_bad(m, "expected a map");
	}
	if (m->left > 0)
		m->left--;
	m->at += (size_t)(whole.p - start);
	return n;
}

int64_t
mp_in_next(struct mp_in *m, uint8_t *out, size_t cap)
{
	unsigned parts = 0;
	int64_t n;

	must(m->at <= m->body.n);
	while (m->at < m->body.n) {
		n = one(m, out, cap);
		if (n != 0)
			return n;
		if (m->at < m->body.n && ++parts == SKIP_PARTS_MAX)
			return -EAGAIN;
	}
	return 0;
}
