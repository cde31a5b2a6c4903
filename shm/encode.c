/* SPDX-License-Identifier: ISC */
/* encode.c - one record as msgpack; the contract is in encode.h */

#include "shm/encode.h"

#include <assert.h>

#define KEY_MAX		255u
#define ELEMENTS_MAX	65000u
/* A key's header, a value's header and the least a value may become. */
#define FIELD_WORST	24u
/* Array, time, map16, level, message's key and header, what a cut adds. */
#define RECORD_WORST	128u

/* What a map's and an array's type have when this is added, and flat ones
   have not; NULL and what is no type may. */
#define NESTED_STEP	2u
#define NESTED_BIT	8u
static_assert(EMPLOG_T_BYTES + NESTED_STEP < NESTED_BIT &&
    ((EMPLOG_T_MAP + NESTED_STEP) & NESTED_BIT) != 0 &&
    ((EMPLOG_T_ARRAY + NESTED_STEP) & NESTED_BIT) != 0, "nested");

/* ---- appends; room was reserved ---- */

static inline uint8_t *
put_be16(uint8_t *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static inline uint8_t *
put_be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static inline uint8_t *
put_be64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

/* Short runs as two overlapping moves: a call costs more than the copy. */
static inline uint8_t *
put_bytes(uint8_t *p, const void *src, size_t n)
{
	const uint8_t *s = src;
	text_v16 v[4];
	uint64_t a, b;
	uint32_t c, d;

	if (n > 64) {
		memcpy(p, s, n);
	} else if (n > 32) {
		v[0] = text_load16(s);
		v[1] = text_load16(s + 16);
		v[2] = text_load16(s + n - 32);
		v[3] = text_load16(s + n - 16);
		memcpy(p, &v[0], 16);
		memcpy(p + 16, &v[1], 16);
		memcpy(p + n - 32, &v[2], 16);
		memcpy(p + n - 16, &v[3], 16);
	} else if (n >= 16) {
		v[0] = text_load16(s);
		v[1] = text_load16(s + n - 16);
		memcpy(p, &v[0], 16);
		memcpy(p + n - 16, &v[1], 16);
	} else if (n >= 8) {
		memcpy(&a, s, 8);
		memcpy(&b, s + n - 8, 8);
		memcpy(p, &a, 8);
		memcpy(p + n - 8, &b, 8);
	} else if (n >= 4) {
		memcpy(&c, s, 4);
		memcpy(&d, s + n - 4, 4);
		memcpy(p, &c, 4);
		memcpy(p + n - 4, &d, 4);
	} else if (n > 0) {
		p[0] = s[0];
		p[n / 2] = s[n / 2];
		p[n - 1] = s[n - 1];
	}
	return p + n;
}

static inline uint8_t *
put_str_head(uint8_t *p, size_t n)
{
	if (n < 32) {
		*p++ = (uint8_t)(0xa0 | n);
	} else if (n < 256) {
		*p++ = 0xd9;
		*p++ = (uint8_t)n;
	} else if (n < 65536) {
		*p++ = 0xda;
		p = put_be16(p, (uint16_t)n);
	} else {
		*p++ = 0xdb;
		p = put_be32(p, (uint32_t)n);
	}
	return p;
}

static inline uint8_t *
put_str(uint8_t *p, const void *s, size_t n)
{
	return put_bytes(put_str_head(p, n), s, n);
}

#define PUT_LIT(p, lit)	put_str(p, lit, sizeof(lit) - 1)

static inline uint8_t *
put_uint(uint8_t *p, uint64_t v)
{
	if (v < 128) {
		*p++ = (uint8_t)v;
		return p;
	}
	if (v < 256) {
		*p++ = 0xcc;
		*p++ = (uint8_t)v;
		return p;
	}
	if (v < 65536) {
		*p++ = 0xcd;
		return put_be16(p, (uint16_t)v);
	}
	if (v <= UINT32_MAX) {
		*p++ = 0xce;
		return put_be32(p, (uint32_t)v);
	}
	*p++ = 0xcf;
	return put_be64(p, v);
}

static inline uint8_t *
put_int(uint8_t *p, int64_t v)
{
	if (v >= 0)
		return put_uint(p, (uint64_t)v);
	if (v >= -32) {
		*p++ = (uint8_t)v;
		return p;
	}
	if (v >= INT8_MIN) {
		*p++ = 0xd0;
		*p++ = (uint8_t)v;
		return p;
	}
	if (v >= INT16_MIN) {
		*p++ = 0xd1;
		return put_be16(p, (uint16_t)v);
	}
	if (v >= INT32_MIN) {
		*p++ = 0xd2;
		return put_be32(p, (uint32_t)v);
	}
	*p++ = 0xd3;
	return put_be64(p, (uint64_t)v);
}

static inline uint8_t *
put_double(uint8_t *p, double d)
{
	uint64_t v;

	memcpy(&v, &d, sizeof(v));
	*p++ = 0xcb;
	return put_be64(p, v);
}

/* ---- the worst case ---- */

static inline uint32_t
type_of(const struct emplog_field *f)
{
	return f->type & ~EMPLOG_KEY_PLAIN;
}

static inline size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static uint64_t
fields_worst(const struct emplog_field *f, size_t n, size_t cap,
    uint64_t limit, unsigned depth)
{
	const struct emplog_field *end;
	uint64_t sum = 0;

	if (n == 0)
		return 0;	/* NULL + 0 is undefined in C */
	end = f + min_size(n, ELEMENTS_MAX);
	for (; f < end && sum <= limit; f++) {
		sum += FIELD_WORST + min_size(f->key_len, KEY_MAX);
		if (type_of(f) == EMPLOG_T_STR || type_of(f) == EMPLOG_T_BYTES)
			sum += min_size(f->len, cap);
		else if ((type_of(f) == EMPLOG_T_MAP ||
		    type_of(f) == EMPLOG_T_ARRAY) && depth < ENCODE_DEPTH &&
		    f->v.f != NULL)
			sum += fields_worst(f->v.f, f->len, cap, limit,
			    depth + 1);
	}
	return sum;
}

/*
 * The same in a few instructions per field, for flat fields whose texts are
 * below the cap all together: nearly every record.  0: it is not one.
 */
static uint64_t
flat_worst(const struct encode_in *in)
{
	const struct emplog_field *f = in->fields, *end;
	uint64_t sum = in->message_len, all = sum;
	unsigned seen = 0;

	if (in->n_head > 0 || in->n > TEXT_CAP / FIELD_WORST)
		return 0;
	end = in->n > 0 ? f + in->n : f;
	for (; f < end; f++) {
		seen |= f->type + NESTED_STEP;
		all |= f->len;	/* their sum alone might wrap */
		sum += f->key_len + f->len;	/* a number's is 0, or no harm */
	}
	if ((seen & NESTED_BIT) != 0 || all > TEXT_CAP || sum > TEXT_CAP)
		return 0;
	return RECORD_WORST + sum + in->extra_len + FIELD_WORST * in->n;
}

static uint64_t
full_worst(const struct encode_in *in, uint64_t limit, size_t *ret_cap)
{
	uint64_t sum = 0;
	size_t cap;

	for (cap = TEXT_CAP; cap >= TEXT_CAP_LEAST; cap /= 4) {
		sum = RECORD_WORST + min_size(in->message_len, cap) +
		    in->extra_len +
		    fields_worst(in->head, in->n_head, cap, limit, 1) +
		    fields_worst(in->fields, in->n, cap, limit, 1);
		*ret_cap = cap;
		if (sum <= limit)
			break;
	}
	return sum;
}

uint64_t
encode_worst(const struct encode_in *in, uint64_t limit, size_t *ret_cap)
{
	uint64_t sum = flat_worst(in);

	if (sum == 0 || sum > limit)
		return full_worst(in, limit, ret_cap);
	*ret_cap = TEXT_CAP;
	return sum;
}

/* ---- writing ---- */

struct ctx {
	size_t		 cap;
	struct text_notes *notes;
};

static __attribute__((noinline)) uint8_t *
put_text_slow(uint8_t *p, const char *s, size_t n, const struct ctx *c)
{
	uint8_t *body = p + 5;
	size_t m;

	/* Its length is known only afterwards; then it moves up. */
	m = text_put(body, c->cap, s, n, c->notes);
	p = put_str_head(p, m);
	memmove(p, body, m);
	return p + m;
}

static inline __attribute__((always_inline)) uint8_t *
put_text(uint8_t *p, const char *s, size_t n, const struct ctx *c)
{
	if (s == NULL) {
		*p++ = 0xc0;
		return p;
	}
	if (n <= c->cap && text_plain(s, n))
		return put_str(p, s, n);
	return put_text_slow(p, s, n, c);
}

static uint8_t *
put_bin(uint8_t *p, const void *s, size_t n, const struct ctx *c)
{
	size_t m = s == NULL ? 0 : min_size(n, c->cap);

	if (m < n) {
		c->notes->shortened++;
		c->notes->original += n;
	}
	if (m < 256) {
		*p++ = 0xc4;
		*p++ = (uint8_t)m;
	} else {
		*p++ = 0xc5;
		p = put_be16(p, (uint16_t)m);
	}
	return put_bytes(p, s, m);
}

static inline uint8_t *
put_key(uint8_t *p, const struct emplog_field *f)
{
	size_t n = f->key_len;

	if (__builtin_expect(n < 32 && f->key != NULL, 1)) {
		*p++ = (uint8_t)(0xa0 | n);
		return put_bytes(p, f->key, n);
	}
	return put_str(p, f->key, f->key == NULL ? 0 : min_size(n, KEY_MAX));
}

static uint8_t	*put_nested(uint8_t *p, const struct emplog_field *f,
		    bool secret, unsigned depth, const struct ctx *c);

static uint8_t *
put_redacted(uint8_t *p, const struct ctx *c)
{
	c->notes->redacted++;
	return PUT_LIT(p, TEXT_REDACTED);
}

static inline __attribute__((always_inline)) uint8_t *
put_value(uint8_t *p, const struct emplog_field *f, bool secret,
    unsigned depth, const struct ctx *c)
{
	switch (type_of(f)) {
	case EMPLOG_T_STR:
		if (secret && f->v.s != NULL)
			return put_redacted(p, c);
		return put_text(p, f->v.s, f->len, c);
	case EMPLOG_T_INT:
		return put_int(p, f->v.i);
	case EMPLOG_T_UINT:
		return put_uint(p, f->v.u);
	case EMPLOG_T_DOUBLE:
		return put_double(p, f->v.d);
	case EMPLOG_T_BOOL:
		/* Its byte: a bool of 2, from another language, is no bool. */
		*p++ = (f->v.u & 0xff) != 0 ? 0xc3 : 0xc2;
		return p;
	case EMPLOG_T_BYTES:
		if (secret)
			return put_redacted(p, c);
		return put_bin(p, f->v.p, f->len, c);
	case EMPLOG_T_MAP:
	case EMPLOG_T_ARRAY:
		return put_nested(p, f, secret, depth, c);
	default:
		*p++ = 0xc0;
		return p;
	}
}

/* Only values that could hold a secret make their key worth a look. */
static inline bool
is_secret(const struct emplog_field *f)
{
	const unsigned looked = 1u << EMPLOG_T_STR | 1u << EMPLOG_T_BYTES |
	    1u << EMPLOG_T_MAP | 1u << EMPLOG_T_ARRAY;

	return f->type <= EMPLOG_T_NULL && (looked >> f->type & 1) != 0 &&
	    f->key != NULL && text_key_secret(f->key, f->key_len);
}

static __attribute__((noinline)) uint8_t *
put_nested(uint8_t *p, const struct emplog_field *f, bool secret,
    unsigned depth, const struct ctx *c)
{
	const struct emplog_field *e = f->v.f;
	size_t i, n = min_size(f->len, ELEMENTS_MAX);
	bool map = type_of(f) == EMPLOG_T_MAP;

	if (depth >= ENCODE_DEPTH || (n < f->len && e != NULL))
		c->notes->shortened++;
	if (depth >= ENCODE_DEPTH) {
		*p++ = 0xc0;
		return p;
	}
	if (e == NULL)
		n = 0;
	*p++ = map ? 0xde : 0xdc;
	p = put_be16(p, (uint16_t)n);
	for (i = 0; i < n; i++, e++) {
		if (map)
			p = put_key(p, e);
		p = put_value(p, e, secret || (map && is_secret(e)),
		    depth + 1, c);
	}
	return p;
}

static inline uint8_t *
put_fields(uint8_t *p, const struct emplog_field *f, size_t n,
    const struct ctx *c)
{
	for (; n > 0; f++, n--) {
		p = put_key(p, f);
		p = put_value(p, f, is_secret(f), 1, c);
	}
	return p;
}

/* "level", its value and the key "message", ready to be copied. */
static const struct level_text {
	char		 s[24];
	uint8_t		 n;
} level_text[] = {
	[EMPLOG_TRACE] = { "\xa5" "level" "\xa5" "trace" "\xa7" "message", 20 },
	[EMPLOG_DEBUG] = { "\xa5" "level" "\xa5" "debug" "\xa7" "message", 20 },
	[EMPLOG_INFO] = { "\xa5" "level" "\xa4" "info" "\xa7" "message", 19 },
	[EMPLOG_WARN] = { "\xa5" "level" "\xa4" "warn" "\xa7" "message", 19 },
	[EMPLOG_ERROR] = { "\xa5" "level" "\xa5" "error" "\xa7" "message", 20 },
	[EMPLOG_FATAL] = { "\xa5" "level" "\xa5" "fatal" "\xa7" "message", 20 },
};

/* Where in a record's front its parts are; the pairs are written last. */
#define TIME_AT		3
#define PAIRS_AT	12
#define FRONT_LEN	14

static inline uint8_t *
put_front(uint8_t *p, const struct encode_in *in)
{
	static const uint8_t start[FRONT_LEN] = { 0x92, 0xd7, 0x00,
	    [PAIRS_AT - 1] = 0xde };
	const struct level_text *l = &level_text[in->level];

	memcpy(p, start, sizeof(start));
	(void)put_be64(p + TIME_AT, (in->wall_ns / 1000000000u) << 32 |
	    in->wall_ns % 1000000000u);
	p += FRONT_LEN;
	memcpy(p, l->s, sizeof(l->s));
	return p + l->n;
}

static uint8_t *
put_cut(uint8_t *p, const struct text_notes *notes)
{
	p = PUT_LIT(p, "truncated");
	*p++ = 0xc3;
	p = PUT_LIT(p, "original_size");
	return put_uint(p, notes->original);
}

uint8_t *
encode_put(uint8_t *p, const struct encode_in *in, size_t cap,
    struct text_notes *notes)
{
	struct text_notes own = { 0 };
	const struct ctx c = { .cap = cap, .notes = &own };
	size_t n_head = min_size(in->n_head, ELEMENTS_MAX);
	size_t n = min_size(in->n, ELEMENTS_MAX - n_head);
	uint8_t *front = p;
	size_t pairs;

	p = put_front(p, in);
	p = put_text(p, in->message, in->message_len, &c);
	if (n_head > 0)
		p = put_fields(p, in->head, n_head, &c);
	p = put_fields(p, in->fields, n, &c);
	p = put_bytes(p, in->extra, in->extra_len);
	pairs = 2 + n_head + n + in->extra_pairs;
	if (own.shortened > 0) {
		p = put_cut(p, &own);
		pairs += 2;
	}
	put_be16(front + PAIRS_AT, (uint16_t)pairs);
	notes->shortened += own.shortened;
	notes->redacted += own.redacted;
	notes->original += own.original;
	return p;
}

uint8_t *
encode_pair(uint8_t *p, const char *key, const char *value)
{
	p = put_str(p, key, min_size(strlen(key), KEY_MAX));
	return put_str(p, value, min_size(strlen(value), KEY_MAX));
}

uint8_t *
encode_number(uint8_t *p, const char *key, double v)
{
	p = put_str(p, key, min_size(strlen(key), KEY_MAX));
	if (v >= -9e15 && v <= 9e15 && (double)(int64_t)v == v)
		return put_int(p, (int64_t)v);
	return put_double(p, v);
}

void
encode_more(uint8_t *p, unsigned pairs)
{
	uint16_t n;

	memcpy(&n, p + PAIRS_AT, sizeof(n));
	put_be16(p + PAIRS_AT, (uint16_t)(__builtin_bswap16(n) + pairs));
}

void
encode_stamp(uint8_t *p, uint64_t wall_ns)
{
	p = put_be32(p + 3, (uint32_t)(wall_ns / 1000000000u));
	put_be32(p, (uint32_t)(wall_ns % 1000000000u));
}
