/* SPDX-License-Identifier: ISC */
/* json_record.c - one JSON value to msgpack; see json_record.h */

#include "http/json_record.h"

#include <errno.h>
#include <stdlib.h>

#include "base/must.h"
#include "http/scrub.h"
#include "http/vec.h"

#include "banned.h"

#define NUMBER_MAX	512		/* digits and all that strtod may see */
#define MEMBERS_MAX	UINT16_MAX	/* the patched headers hold 16 bits */

/* ---- text ---- */

const uint8_t *
json_space_end(const uint8_t *p, const uint8_t *end)
{
	while (p < end &&
	    (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

#define EACH(c)	(0x0101010101010101u * (c))

const uint8_t *
json_plain_end(const uint8_t *p, const uint8_t *end, uint64_t *ret_high)
{
	uint64_t v, quote, slash, hit, high = 0;
	vec b, highs = { 0 };

	/* Most strings are short: only a long one is worth the wide steps. */
	for (; end - p >= 2 * VEC_BYTES; p += VEC_BYTES) {
		b = vec_load(p);
		if (vec_any((vec)((b == '"') | (b == '\\') | (b < 0x20))))
			break;
		highs |= b;
	}
	if (vec_any(highs & 0x80))
		high = EACH(0x80);
	for (; end - p >= 8; p += 8) {
		v = le64_get(p);
		quote = v ^ EACH('"');
		slash = v ^ EACH('\\');
		/* exact for the lowest hit, and only that is looked at */
		hit = ((quote - EACH(1)) & ~quote) |
		    ((slash - EACH(1)) & ~slash) | ((v - EACH(0x20)) & ~v);
		hit &= EACH(0x80);
		if (hit != 0) {
			p += __builtin_ctzll(hit) / 8;
			v &= (hit & -hit) - 1;
			*ret_high |= high | (v & EACH(0x80));
			return p;
		}
		high |= v;
	}
	for (; p < end && *p != '"' && *p != '\\' && *p >= 0x20; p++)
		high |= *p;
	*ret_high |= high & EACH(0x80);
	return p;
}

static int
bad(struct record *r, const char *why)
{
	r->why = why;
	return -EBADMSG;
}

/* A U+FFFD for each byte that begins no UTF-8; behind the last of them. */
static const uint8_t *
put_bad(struct scrub *s, const uint8_t *p, const uint8_t *end)
{
	static const char instead[] = "\xef\xbf\xbd\xef\xbf\xbd"
	    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
	    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd";
	size_t n = 0;

	while (p < end && n < sizeof(instead) - 1 && utf8_len(p, end) == 0) {
		n += 3;
		p++;
	}
	scrub_put(s, bytes_of(instead, n));
	return p;
}

/* Plain bytes into s, with U+FFFD for what is not UTF-8. */
static void
put_utf8(struct scrub *s, const uint8_t *p, const uint8_t *end, bool *bad_utf8)
{
	const uint8_t *from;
	unsigned n;

	while (p < end) {
		for (from = p; p < end; p += n)
			if ((n = utf8_len(p, end)) == 0)
				break;
		scrub_put(s, bytes_of(from, (size_t)(p - from)));
		if (p < end) {
			p = put_bad(s, p, end);
			*bad_utf8 = true;
		}
	}
}

static int
hex4(const uint8_t *p, const uint8_t *end)
{
	int v = 0, i, d;

	if (end - p < 4)
		return -1;
	for (i = 0; i < 4; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			d = p[i] - '0';
		else if ((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f')
			d = (p[i] | 0x20) - 'a' + 10;
		else
			return -1;
		v = v << 4 | d;
	}
	return v;
}

static void
put_code(struct scrub *s, unsigned c)
{
	uint8_t b[4];
	size_t n;

	if (c < 0x80) {
		b[0] = (uint8_t)c;
		n = 1;
	} else if (c < 0x800) {
		b[0] = (uint8_t)(0xc0 | c >> 6);
		b[1] = (uint8_t)(0x80 | (c & 0x3f));
		n = 2;
	} else if (c < 0x10000) {
		b[0] = (uint8_t)(0xe0 | c >> 12);
		b[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		b[2] = (uint8_t)(0x80 | (c & 0x3f));
		n = 3;
	} else {
		b[0] = (uint8_t)(0xf0 | c >> 18);
		b[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		b[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		b[3] = (uint8_t)(0x80 | (c & 0x3f));
		n = 4;
	}
	scrub_put(s, bytes_of(b, n));
}

/* \uXXXX, r->p behind the u; a lone surrogate becomes U+FFFD. */
static int
escape_code(struct record *r, struct scrub *s, bool *bad_utf8)
{
	int hi = hex4(r->p, r->end), lo;

	if (hi < 0)
		return bad(r, "expected four hex digits after \\u");
	r->p += 4;
	if (hi >= 0xd800 && hi <= 0xdbff && r->end - r->p >= 6 &&
	    r->p[0] == '\\' && r->p[1] == 'u') {
		lo = hex4(r->p + 2, r->end);
		if (lo >= 0xdc00 && lo <= 0xdfff) {
			r->p += 6;
			put_code(s, 0x10000u +
			    ((unsigned)(hi - 0xd800) << 10) +
			    (unsigned)(lo - 0xdc00));
			return 0;
		}
	}
	if (hi >= 0xd800 && hi <= 0xdfff) {
		*bad_utf8 = true;
		hi = 0xfffd;
	}
	put_code(s, (unsigned)hi);
	return 0;
}

static int
escape(struct record *r, struct scrub *s, bool *bad_utf8)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (++r->p == r->end)
		return bad(r, "the string has no end");
	if (*r->p == 'u') {
		r->p++;
		return escape_code(r, s, bad_utf8);
	}
	at = *r->p == 0 ? NULL : strchr(from, *r->p);
	if (at == NULL)
		return bad(r, "expected an escape after '\\'");
	r->p++;
	scrub_put(s, bytes_of(&to[at - from], 1));
	return 0;
}

/* What a string's scan stopped at, when it is neither '"' nor '\\'. */
static int
bad_string(struct record *r)
{
	return bad(r, r->p == r->end ? "the string has no end" :
	    "a control character in a string");
}

static int
decode(struct record *r, struct scrub *s)
{
	const uint8_t *from;
	bool bad_utf8 = false;
	uint64_t high;
	int rc = 0;

	scrub_init(s);
	for (;;) {
		from = r->p;
		high = 0;
		r->p = json_plain_end(from, r->end, &high);
		if (high != 0)
			put_utf8(s, from, r->p, &bad_utf8);
		else
			scrub_put(s, bytes_of(from, (size_t)(r->p - from)));
		if (r->p == r->end || *r->p < 0x20)
			return bad_string(r);
		if (*r->p == '"')
			break;
		rc = escape(r, s, &bad_utf8);
		if (rc < 0)
			return rc;
	}
	r->p++;
	if (bad_utf8)
		r->counts->bad_utf8++;
	return 0;
}

/*
 * Takes a string off the text, r->p behind its first quote.  *ret borrows
 * from the text where nothing had to be changed, else from s.
 */
static int
string(struct record *r, struct scrub *s, struct bytes *ret)
{
	const uint8_t *from = r->p, *to;
	uint64_t high = 0;
	int rc;

	to = json_plain_end(from, r->end, &high);
	if (to < r->end && *to == '"' && high == 0 &&
	    to - from < SCRUB_RUN_MIN) {
		*ret = bytes_of(from, (size_t)(to - from));
		r->p = to + 1;
		return 0;
	}
	rc = decode(r, s);
	if (rc < 0)
		return rc;
	*ret = scrub_end(s);
	if (s->cut) {
		r->shortened = true;
		r->cut_bytes += s->total;
		r->counts->shortened++;
	}
	return 0;
}

/* A text with what follows "Bearer" replaced. */
static void
write_redacted(struct record *r, struct bytes text, size_t from, size_t to)
{
	uint8_t *head = r->w.p;
	size_t at = 0, n;

	mpw_raw(&r->w, BYTES("\xda\0\0"));
	do {
		mpw_raw(&r->w, bytes_of(text.p + at, from - at));
		if (to - from < sizeof(SCRUB_INSTEAD) - 1)
			mpw_raw(&r->w, bytes_of("*********", to - from));
		else
			mpw_raw(&r->w, BYTES(SCRUB_INSTEAD));
		at = to;
		r->counts->redacted++;
	} while (scrub_bearer(text, at, &from, &to));
	mpw_raw(&r->w, bytes_of(text.p + at, text.n - at));
	if (r->w.full)
		return;
	n = (size_t)(r->w.p - head) - 3;
	/* it is never longer than text was */
	must(n <= UINT16_MAX);
	head[1] = (uint8_t)(n >> 8);
	head[2] = (uint8_t)n;
}

static int
string_value(struct record *r)
{
	struct scrub s;
	struct bytes text;
	size_t from, to;
	int rc;

	rc = string(r, &s, &text);
	if (rc < 0)
		return rc;
	if (r->secret && text.n > 0) {
		mpw_str(&r->w, BYTES(SCRUB_INSTEAD));
		r->counts->redacted++;
	} else if (text.n > 7 && scrub_bearer(text, 0, &from, &to)) {
		write_redacted(r, text, from, to);
	} else {
		mpw_str(&r->w, text);
	}
	return 0;
}

/* ---- numbers ---- */

/* The end of the digits from p on, NULL when there are none. */
static const uint8_t *
digits(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p == from ? NULL : p;
}

/* The end of a number by RFC 8259's grammar, NULL: it is none. */
static const uint8_t *
number_end(const uint8_t *p, const uint8_t *end, bool *ret_integer)
{
	*ret_integer = true;
	if (p < end && *p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else
		p = digits(p, end);
	if (p != NULL && p < end && *p == '.') {
		*ret_integer = false;
		p = digits(p + 1, end);
	}
	if (p != NULL && p < end && (*p | 0x20) == 'e') {
		*ret_integer = false;
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = digits(p, end);
	}
	return p;
}

/* False: it does not fit 64 bits. */
static bool
integer(struct record *r, const uint8_t *p, const uint8_t *end)
{
	bool minus = *p == '-';
	uint64_t v = 0;

	for (p += minus; p < end; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	if (!minus)
		mpw_uint(&r->w, v);
	else if (v <= (uint64_t)INT64_MAX + 1)
		mpw_int(&r->w, (int64_t)(0 - v));
	else
		return false;
	return true;
}

/*
 * Few digits and a small exponent are exact in double arithmetic: one
 * division of two exact numbers rounds correctly.
 */
static bool
short_decimal(const uint8_t *p, const uint8_t *end, double *ret)
{
	static const double ten[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
		1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
	bool minus = *p == '-', point = false;
	unsigned places = 0;
	uint64_t v = 0;

	p += minus;
	if (end - p > 16)
		return false;
	for (; p < end; p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
		places += point;
	}
	*ret = (double)v / ten[places];
	if (minus)
		*ret = -*ret;
	return true;
}

static int
number(struct record *r)
{
	const uint8_t *from = r->p, *to;
	char text[NUMBER_MAX];
	bool is_integer;
	size_t n;
	double d;

	to = number_end(from, r->end, &is_integer);
	if (to == NULL)
		return bad(r, "expected a digit");
	r->p = to;
	if (is_integer && integer(r, from, to))
		return 0;
	n = (size_t)(to - from);
	if (short_decimal(from, to, &d)) {
		mpw_double(&r->w, d);
		return 0;
	}
	if (n < sizeof(text)) {
		memcpy(text, from, n);
		text[n] = '\0';
		d = strtod(text, NULL);
		if (__builtin_isfinite(d)) {
			mpw_double(&r->w, d);
			return 0;
		}
	}
	/* What no double holds is not lost: it stays as it was written. */
	if (n > SCRUB_TEXT_MAX)
		return bad(r, "the number is too long");
	mpw_str(&r->w, bytes_of(from, n));
	return 0;
}

/* ---- values ---- */

static int
word(struct record *r, const char *w, size_t n)
{
	if ((size_t)(r->end - r->p) < n || memcmp(r->p, w, n) != 0)
		return bad(r, "expected a value");
	r->p += n;
	return 0;
}

static int
open_frame(struct record *r, bool map)
{
	if (r->depth == JSON_DEPTH_MAX)
		return -E2BIG;
	r->frame[r->depth++] = (struct frame){ .head = r->w.p, .map = map,
	    .secret = r->secret };
	mpw_raw(&r->w, bytes_of(map ? "\xde\0" : "\xdc\0", 3));
	r->p++;
	return 0;
}

static void
note_shortened(struct record *r, struct frame *f)
{
	mpw_str(&r->w, BYTES("truncated"));
	mpw_bool(&r->w, true);
	mpw_str(&r->w, BYTES("original_size"));
	mpw_uint(&r->w, r->cut_bytes);
	f->count += 2;
}

static int
close_frame(struct record *r)
{
	struct frame *f = &r->frame[--r->depth];

	r->p++;
	if (r->depth == 0 && r->shortened)
		note_shortened(r, f);
	if (f->count > MEMBERS_MAX)
		return -EMSGSIZE;
	if (!r->w.full) {
		f->head[1] = (uint8_t)(f->count >> 8);
		f->head[2] = (uint8_t)f->count;
	}
	return 0;
}

int
json_value_read(struct record *r)
{
	int rc = 0;

	if (r->p == r->end)
		return bad(r, "the text ends within a record");
	switch (*r->p) {
	case '"':
		r->p++;
		return string_value(r);
	case '{':
		return open_frame(r, true);
	case '[':
		return open_frame(r, false);
	case 't':
		rc = word(r, "true", 4);
		mpw_bool(&r->w, true);
		return rc;
	case 'f':
		rc = word(r, "false", 5);
		mpw_bool(&r->w, false);
		return rc;
	case 'n':
		rc = word(r, "null", 4);
		mpw_nil(&r->w);
		return rc;
	case '-': case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		return number(r);
	default:
		return bad(r, "expected a value");
	}
}

static int
key(struct record *r)
{
	struct scrub s;
	struct bytes text;
	int rc;

	if (r->p == r->end || *r->p != '"')
		return bad(r, "expected '\"' and a key");
	r->p++;
	rc = string(r, &s, &text);
	if (rc < 0)
		return rc;
	mpw_str(&r->w, text);
	/* what lies within a secret is secret too */
	r->secret = r->frame[r->depth - 1].secret || scrub_key_is_secret(text);
	r->p = json_space_end(r->p, r->end);
	if (r->p == r->end || *r->p != ':')
		return bad(r, "expected ':'");
	r->p = json_space_end(r->p + 1, r->end);
	return 0;
}

/* One member of the innermost frame, or its end. */
static int
member(struct record *r)
{
	struct frame *f = &r->frame[r->depth - 1];
	int rc = 0;

	r->p = json_space_end(r->p, r->end);
	if (r->p < r->end && *r->p == (f->map ? '}' : ']'))
		return close_frame(r);
	if (f->count > 0) {
		if (r->p == r->end || *r->p != ',')
			return bad(r, f->map ? "expected ',' or '}'" :
			    "expected ',' or ']'");
		r->p = json_space_end(r->p + 1, r->end);
	}
	f->count++;
	if (f->map)
		rc = key(r);
	else
		r->secret = f->secret;
	return rc < 0 ? rc : json_value_read(r);
}

int
json_record_read(struct record *r, uint64_t now_ns)
{
	int rc;

	mpw_array(&r->w, 2);
	mpw_event_time(&r->w, now_ns);
	rc = open_frame(r, true);
	while (rc == 0 && r->depth > 0 && !r->w.full)
		rc = member(r);
	return rc == 0 && r->w.full ? -ENOSPC : rc;
}
