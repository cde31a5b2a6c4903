/* SPDX-License-Identifier: ISC */
/* json_out.c - one msgpack value as JSON text; the contract is in json.h */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "forward/mp.h"
#include "http/json.h"
#include "http/scrub.h"

#include "banned.h"

struct out {
	char		*p, *end;
	bool		 full;
};

struct level {
	uint64_t	 left;		/* values still to come, keys included */
	bool		 map;
	bool		 first;
};

static void
put(struct out *o, const void *p, size_t n)
{
	if (o->full || n > (size_t)(o->end - o->p)) {
		o->full = true;
		return;
	}
	memcpy(o->p, p, n);
	o->p += n;
}

__attribute__((format(printf, 2, 3)))
static void
print(struct out *o, const char *fmt, ...)
{
	char text[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put(o, text, (size_t)n);
}

static void
put_char(struct out *o, uint8_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *at = c == 0 ? NULL : strchr(from, c);

	if (at != NULL)
		print(o, "\\%c", to[at - from]);
	else if (c < 0x20 || c == 0x7f)
		print(o, "\\u%04x", c);
	else
		put(o, &c, 1);
}

static void
put_text(struct out *o, struct bytes s)
{
	const uint8_t *p = s.p, *end = s.p + s.n;
	unsigned n;

	put(o, "\"", 1);
	while (p < end) {
		n = utf8_len(p, end);
		if (n == 0)
			put(o, "\xef\xbf\xbd", 3);
		else if (n == 1)
			put_char(o, *p);
		else
			put(o, p, n);
		p += n == 0 ? 1 : n;
	}
	put(o, "\"", 1);
}

static void
put_base64(struct out *o, struct bytes s)
{
	static const char a[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char quad[4];
	uint32_t v;
	size_t i;

	put(o, "\"", 1);
	for (i = 0; i < s.n; i += 3) {
		v = (uint32_t)s.p[i] << 16;
		v |= i + 1 < s.n ? (uint32_t)s.p[i + 1] << 8 : 0;
		v |= i + 2 < s.n ? s.p[i + 2] : 0;
		quad[0] = a[v >> 18];
		quad[1] = a[v >> 12 & 63];
		quad[2] = i + 1 < s.n ? a[v >> 6 & 63] : '=';
		quad[3] = i + 2 < s.n ? a[v & 63] : '=';
		put(o, quad, 4);
	}
	put(o, "\"", 1);
}

/* The shortest text that reads back as the same double. */
static void
put_double(struct out *o, double d)
{
	char text[40];
	int digits;

	if (!__builtin_isfinite(d)) {
		put(o, "null", 4);
		return;
	}
	for (digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			break;
	}
	put(o, text, strlen(text));
	if (strpbrk(text, ".e") == NULL)
		put(o, ".0", 2);
}

static void
put_ext(struct out *o, const struct mp_item *it)
{
	const uint8_t *p = it->s.p;

	if (it->ext_type != 0 || it->s.n != 8) {
		put(o, "null", 4);
		return;
	}
	print(o, "%u.%09u",
	    (unsigned)p[0] << 24 | (unsigned)p[1] << 16 |
	    (unsigned)p[2] << 8 | p[3],
	    (unsigned)p[4] << 24 | (unsigned)p[5] << 16 |
	    (unsigned)p[6] << 8 | p[7]);
}

static void
put_scalar(struct out *o, const struct mp_item *it)
{
	switch (it->type) {
	case MP_NIL: put(o, "null", 4); break;
	case MP_BOOL: print(o, "%s", it->b ? "true" : "false"); break;
	case MP_UINT: print(o, "%llu", (unsigned long long)it->u); break;
	case MP_INT: print(o, "%lld", (long long)it->i); break;
	case MP_DOUBLE: put_double(o, it->d); break;
	case MP_STR: put_text(o, it->s); break;
	case MP_BIN: put_base64(o, it->s); break;
	case MP_EXT: put_ext(o, it); break;
	case MP_ARRAY: case MP_MAP: break;	/* not a scalar */
	}
}

/* A key must be text in JSON: what is none is put in quotes as it is. */
static void
put_key(struct out *o, const struct mp_item *it)
{
	bool quoted = it->type == MP_STR || it->type == MP_BIN;

	if (!quoted)
		put(o, "\"", 1);
	put_scalar(o, it);
	if (!quoted)
		put(o, "\"", 1);
}

/* What stands before the next value of a level; true: it is a key. */
static bool
begin(struct out *o, struct level *l)
{
	bool is_key = l->map && l->left % 2 == 0;

	if (l->map && !is_key)
		put(o, ":", 1);
	else if (!l->first)
		put(o, ",", 1);
	l->first = false;
	l->left--;
	return is_key;
}

int
json_out(struct bytes msgpack, char *out, size_t cap, size_t *ret_len)
{
	struct out o = { out, out + cap, false };
	struct level level[MP_DEPTH_MAX + 1];
	struct mp m = mp_of(msgpack);
	unsigned depth = 0;
	struct mp_item it;
	bool is_key, inner;

	level[0] = (struct level){ .left = 1, .first = true };
	for (;;) {
		while (depth > 0 && level[depth].left == 0)
			put(&o, level[depth--].map ? "}" : "]", 1);
		if (o.full)
			return -ENOSPC;
		if (level[depth].left == 0)
			break;
		is_key = begin(&o, &level[depth]);
		if (mp_next(&m, &it) < 0)
			return -EBADMSG;
		inner = it.type == MP_ARRAY || it.type == MP_MAP;
		if (inner && (is_key || depth == MP_DEPTH_MAX))
			return -EBADMSG;
		if (inner) {
			put(&o, it.type == MP_MAP ? "{" : "[", 1);
			level[++depth] = (struct level){ .first = true,
			    .map = it.type == MP_MAP,
			    .left = it.type == MP_MAP ?
			    2 * (uint64_t)it.count : it.count };
		} else if (is_key) {
			put_key(&o, &it);
		} else {
			put_scalar(&o, &it);
		}
	}
	*ret_len = (size_t)(o.p - out);
	return 0;
}
