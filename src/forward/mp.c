/* SPDX-License-Identifier: ISC */
/* mp.c - msgpack in place; the contract is in mp.h */

#include "forward/mp.h"

#include <errno.h>

#include "base/must.h"
#include "banned.h"

static uint64_t
be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* The item's kind of length field: how many bytes follow the tag. */
static unsigned
field_bytes(uint8_t tag)
{
	static const uint8_t n[32] = {
		0, 0, 0, 0,		/* c0 nil, c1 never, c2 c3 bool */
		1, 2, 4,		/* c4-c6 bin */
		1, 2, 4,		/* c7-c9 ext */
		4, 8,			/* ca cb float */
		1, 2, 4, 8,		/* cc-cf uint */
		1, 2, 4, 8,		/* d0-d3 int */
		0, 0, 0, 0, 0,		/* d4-d8 fixext */
		1, 2, 4,		/* d9-db str */
		2, 4,			/* dc dd array */
		2, 4			/* de df map */
	};

	return tag >= 0xc0 && tag <= 0xdf ? n[tag - 0xc0] : 0;
}

static int
take_bytes(struct mp *at, uint64_t n, struct bytes *ret)
{
	if (n > (uint64_t)(at->end - at->p))
		return -EAGAIN;
	*ret = bytes_of(at->p, (size_t)n);
	at->p += n;
	return 0;
}

static int
take_ext(struct mp *at, uint64_t n, struct mp_item *it)
{
	it->type = MP_EXT;
	if (at->p == at->end)
		return -EAGAIN;
	it->ext_type = (int8_t)*at->p++;
	return take_bytes(at, n, &it->s);
}

static int
take_count(struct mp *at, enum mp_type type, uint64_t n, struct mp_item *it)
{
	uint64_t left = (uint64_t)(at->end - at->p);

	it->type = type;
	it->count = (uint32_t)n;
	/* Each member is at least one byte: a count beyond that cannot be. */
	return (type == MP_MAP ? 2 * n : n) > left ? -EAGAIN : 0;
}

static void
set_signed(struct mp_item *it, int64_t v)
{
	if (v >= 0) {
		it->type = MP_UINT;
		it->u = (uint64_t)v;
	} else {
		it->type = MP_INT;
		it->i = v;
	}
}

static int
long_item(uint8_t tag, uint64_t v, struct mp *at, struct mp_item *it)
{
	uint32_t f32;
	float f;

	switch (tag) {
	case 0xc0: it->type = MP_NIL; return 0;
	case 0xc2: case 0xc3: it->type = MP_BOOL; it->b = tag == 0xc3; return 0;
	case 0xc4: case 0xc5: case 0xc6:
		it->type = MP_BIN;
		return take_bytes(at, v, &it->s);
	case 0xc7: case 0xc8: case 0xc9: return take_ext(at, v, it);
	case 0xca:
		it->type = MP_DOUBLE;
		f32 = (uint32_t)v;
		memcpy(&f, &f32, sizeof(f));
		it->d = (double)f;
		return 0;
	case 0xcb:
		it->type = MP_DOUBLE;
		memcpy(&it->d, &v, sizeof(v));
		return 0;
	case 0xcc: case 0xcd: case 0xce: case 0xcf:
		it->type = MP_UINT;
		it->u = v;
		return 0;
	case 0xd0: set_signed(it, (int8_t)v); return 0;
	case 0xd1: set_signed(it, (int16_t)v); return 0;
	case 0xd2: set_signed(it, (int32_t)v); return 0;
	case 0xd3: set_signed(it, (int64_t)v); return 0;
	case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
		return take_ext(at, 1u << (tag - 0xd4), it);
	case 0xd9: case 0xda: case 0xdb:
		it->type = MP_STR;
		return take_bytes(at, v, &it->s);
	case 0xdc: case 0xdd: return take_count(at, MP_ARRAY, v, it);
	case 0xde: case 0xdf: return take_count(at, MP_MAP, v, it);
	default: return -EBADMSG;	/* 0xc1 */
	}
}

int
mp_next(struct mp *m, struct mp_item *ret_item)
{
	struct mp at = *m;
	unsigned n;
	uint8_t tag;
	int r;

	if (at.p == at.end)
		return -EAGAIN;
	tag = *at.p++;
	if (tag <= 0x7f || tag >= 0xe0) {
		set_signed(ret_item, (int8_t)tag);
		r = 0;
	} else if (tag <= 0x8f) {
		r = take_count(&at, MP_MAP, tag & 0x0f, ret_item);
	} else if (tag <= 0x9f) {
		r = take_count(&at, MP_ARRAY, tag & 0x0f, ret_item);
	} else if (tag <= 0xbf) {
		ret_item->type = MP_STR;
		r = take_bytes(&at, tag & 0x1f, &ret_item->s);
	} else {
		n = field_bytes(tag);
		if (n > (size_t)(at.end - at.p))
			return -EAGAIN;
		at.p += n;
		r = long_item(tag, be(at.p - n, n), &at, ret_item);
	}
	if (r == 0)
		*m = at;
	return r;
}

/* What follows a complete length field v of a tag from c0 to df. */
static uint64_t
need_behind(uint8_t tag, uint64_t v)
{
	switch (tag) {
	case 0xc4: case 0xc5: case 0xc6:
	case 0xd9: case 0xda: case 0xdb:
	case 0xdc: case 0xdd:
		return v;
	case 0xc7: case 0xc8: case 0xc9:
		return v + 1;
	case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
		return (UINT64_C(1) << (tag - 0xd4)) + 1;
	case 0xde: case 0xdf:
		return 2 * v;
	default:
		return 0;
	}
}

uint64_t
mp_need(struct mp m)
{
	uint8_t tag;
	unsigned n;

	if (m.p == m.end)
		return 1;
	tag = *m.p++;
	if (tag <= 0x7f || tag >= 0xe0)
		return 1;
	if (tag <= 0x8f)
		return 1 + 2 * (uint64_t)(tag & 0x0f);
	if (tag <= 0x9f)
		return 1 + (uint64_t)(tag & 0x0f);
	if (tag <= 0xbf)
		return 1 + (uint64_t)(tag & 0x1f);
	n = field_bytes(tag);
	if (n > (size_t)(m.end - m.p))
		return 1 + (uint64_t)n;
	return 1 + n + need_behind(tag, be(m.p, n));
}

int
mp_skip(struct mp *m)
{
	uint64_t left[MP_DEPTH_MAX + 1];
	struct mp at = *m;
	struct mp_item it;
	unsigned depth = 0;
	size_t n;
	int r;

	left[0] = 1;
	for (;;) {
		while (left[depth] == 0) {
			if (depth == 0) {
				*m = at;
				return 0;
			}
			depth--;
		}
		left[depth]--;
		n = mp_small(at.p, at.end);
		if (n > 0) {
			at.p += n;
			continue;
		}
		r = mp_next(&at, &it);
		if (r < 0)
			return r;
		if (it.type != MP_ARRAY && it.type != MP_MAP)
			continue;
		if (depth == MP_DEPTH_MAX)
			return -E2BIG;
		left[++depth] = it.type == MP_MAP ? 2 * (uint64_t)it.count :
		    it.count;
	}
}

int
mp_value(struct mp *m, struct bytes *ret_value)
{
	const uint8_t *start = m->p;
	int r;

	r = mp_skip(m);
	if (r < 0)
		return r;
	*ret_value = bytes_of(start, (size_t)(m->p - start));
	return 0;
}

/* One item of the wanted type, or of the other that peers mix it with. */
static int
want(struct mp *m, enum mp_type type, enum mp_type other, struct mp_item *ret)
{
	struct mp at = *m;
	int r;

	r = mp_next(&at, ret);
	if (r < 0)
		return r;
	if (ret->type != type && ret->type != other)
		return -EBADMSG;
	*m = at;
	return 0;
}

int
mp_str(struct mp *m, struct bytes *ret_s)
{
	struct mp_item it;
	int r;

	r = want(m, MP_STR, MP_BIN, &it);
	if (r == 0)
		*ret_s = it.s;
	return r;
}

int
mp_uint(struct mp *m, uint64_t *ret_u)
{
	struct mp_item it;
	int r;

	r = want(m, MP_UINT, MP_UINT, &it);
	if (r == 0)
		*ret_u = it.u;
	return r;
}

int
mp_array(struct mp *m, uint32_t *ret_n)
{
	struct mp_item it;
	int r;

	r = want(m, MP_ARRAY, MP_ARRAY, &it);
	if (r == 0)
		*ret_n = it.count;
	return r;
}

int
mp_map(struct mp *m, uint32_t *ret_pairs)
{
	struct mp_item it;
	int r;

	r = want(m, MP_MAP, MP_MAP, &it);
	if (r == 0)
		*ret_pairs = it.count;
	return r;
}

int
mp_find(struct mp m, const char *key, struct mp *ret_value)
{
	struct bytes want_key = bytes_str(key), s;
	uint32_t pairs;
	struct mp k;
	int r;

	r = mp_map(&m, &pairs);
	for (; r == 0 && pairs > 0; pairs--) {
		k = m;
		r = mp_skip(&m);
		if (r == 0 && mp_str(&k, &s) == 0 && bytes_eq(s, want_key)) {
			*ret_value = m;
			return 0;
		}
		if (r == 0)
			r = mp_skip(&m);
	}
	return r < 0 ? r : -ENOENT;
}

static uint8_t *
room(struct mpw *w, size_t n)
{
	uint8_t *p = w->p;

	if (w->full || n > (size_t)(w->end - w->p)) {
		w->full = true;
		return NULL;
	}
	w->p += n;
	return p;
}

static void
put_be(uint8_t *p, uint64_t v, unsigned n)
{
	while (n-- > 0) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

static void
tagged(struct mpw *w, uint8_t tag, uint64_t v, unsigned n)
{
	uint8_t *p = room(w, 1 + (size_t)n);

	if (p == NULL)
		return;
	p[0] = tag;
	put_be(p + 1, v, n);
}

void
mpw_nil(struct mpw *w)
{
	tagged(w, 0xc0, 0, 0);
}

void
mpw_bool(struct mpw *w, bool b)
{
	tagged(w, b ? 0xc3 : 0xc2, 0, 0);
}

void
mpw_uint(struct mpw *w, uint64_t u)
{
	if (u <= 0x7f)
		tagged(w, (uint8_t)u, 0, 0);
	else if (u <= UINT8_MAX)
		tagged(w, 0xcc, u, 1);
	else if (u <= UINT16_MAX)
		tagged(w, 0xcd, u, 2);
	else if (u <= UINT32_MAX)
		tagged(w, 0xce, u, 4);
	else
		tagged(w, 0xcf, u, 8);
}

void
mpw_int(struct mpw *w, int64_t i)
{
	if (i >= 0)
		mpw_uint(w, (uint64_t)i);
	else if (i >= -32)
		tagged(w, (uint8_t)i, 0, 0);
	else if (i >= INT8_MIN)
		tagged(w, 0xd0, (uint64_t)i, 1);
	else if (i >= INT16_MIN)
		tagged(w, 0xd1, (uint64_t)i, 2);
	else if (i >= INT32_MIN)
		tagged(w, 0xd2, (uint64_t)i, 4);
	else
		tagged(w, 0xd3, (uint64_t)i, 8);
}

void
mpw_double(struct mpw *w, double d)
{
	uint64_t v;

	memcpy(&v, &d, sizeof(v));
	tagged(w, 0xcb, v, 8);
}

void
mpw_raw(struct mpw *w, struct bytes b)
{
	uint8_t *p = room(w, b.n);

	if (p != NULL && b.n > 0)
		memcpy(p, b.p, b.n);
}

void
mpw_str(struct mpw *w, struct bytes s)
{
	must(s.n <= UINT32_MAX);
	if (s.n <= 31)
		tagged(w, (uint8_t)(0xa0 | s.n), 0, 0);
	else if (s.n <= UINT8_MAX)
		tagged(w, 0xd9, s.n, 1);
	else if (s.n <= UINT16_MAX)
		tagged(w, 0xda, s.n, 2);
	else
		tagged(w, 0xdb, s.n, 4);
	mpw_raw(w, s);
}

void
mpw_bin_head(struct mpw *w, uint32_t n)
{
	if (n <= UINT8_MAX)
		tagged(w, 0xc4, n, 1);
	else if (n <= UINT16_MAX)
		tagged(w, 0xc5, n, 2);
	else
		tagged(w, 0xc6, n, 4);
}

void
mpw_bin(struct mpw *w, struct bytes s)
{
	must(s.n <= UINT32_MAX);
	mpw_bin_head(w, (uint32_t)s.n);
	mpw_raw(w, s);
}

void
mpw_array(struct mpw *w, uint32_t n)
{
	if (n <= 15)
		tagged(w, (uint8_t)(0x90 | n), 0, 0);
	else if (n <= UINT16_MAX)
		tagged(w, 0xdc, n, 2);
	else
		tagged(w, 0xdd, n, 4);
}

void
mpw_map(struct mpw *w, uint32_t pairs)
{
	if (pairs <= 15)
		tagged(w, (uint8_t)(0x80 | pairs), 0, 0);
	else if (pairs <= UINT16_MAX)
		tagged(w, 0xde, pairs, 2);
	else
		tagged(w, 0xdf, pairs, 4);
}

void
mpw_event_time(struct mpw *w, uint64_t ns)
{
	uint8_t *p = room(w, 10);

	if (p == NULL)
		return;
	p[0] = 0xd7;
	p[1] = 0x00;
	put_be(p + 2, ns / 1000000000u, 4);
	put_be(p + 6, ns % 1000000000u, 4);
}
