/* SPDX-License-Identifier: ISC */
/* jtext.c - JSON text; the contract is in jtext.h */

#include "otlp/jtext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "forward/mp.h"

#include "banned.h"

/* n bytes that are chars characters. */
static void
put(struct jtext *w, const void *p, size_t n, size_t chars)
{
	if (w->full || n > (size_t)(w->end - w->p) || chars > w->chars) {
		w->full = true;
		return;
	}
	memcpy(w->p, p, n);
	w->p += n;
	w->chars -= chars;
}

void
jtext_raw(struct jtext *w, struct bytes ascii)
{
	if (ascii.n > 0)
		put(w, ascii.p, ascii.n, ascii.n);
}

static void
escape(struct jtext *w, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	char u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

	switch (c) {
	case '"': put(w, "\\\"", 2, 2); break;
	case '\\': put(w, "\\\\", 2, 2); break;
	case '\n': put(w, "\\n", 2, 2); break;
	case '\r': put(w, "\\r", 2, 2); break;
	case '\t': put(w, "\\t", 2, 2); break;
	default: put(w, u, sizeof(u), sizeof(u)); break;
	}
}

/* A run of plain characters: as many of them as fit. */
static void
plain(struct jtext *w, const uint8_t *p, size_t n)
{
	size_t room = (size_t)(w->end - w->p), fits = n;

	if (w->full)
		return;
	if (fits > room)
		fits = room;
	if (fits > w->chars)
		fits = w->chars;
	put(w, p, fits, fits);
	if (fits < n)
		w->full = true;
}

static void
string_body(struct jtext *w, struct bytes s)
{
	size_t i, n;
	bool valid;

	for (i = 0; i < s.n && !w->full; i += n) {
		n = text_plain(bytes_of(s.p + i, s.n - i));
		if (n > 0) {
			plain(w, s.p + i, n);
			continue;
		}
		n = text_step(s.p + i, s.n - i, &valid);
		if (!valid) {
			w->repaired = true;
			put(w, "\xef\xbf\xbd", 3, 1);
		} else if (n > 1) {
			put(w, s.p + i, n, 1);
		} else {
			escape(w, s.p[i]);
		}
	}
}

void
jtext_string(struct jtext *w, struct bytes s)
{
	jtext_lit(w, "\"");
	string_body(w, s);
	jtext_lit(w, "\"");
}

void
jtext_uint(struct jtext *w, uint64_t u)
{
	char text[20], *p = text + sizeof(text);

	do {
		*--p = (char)('0' + u % 10);
		u /= 10;
	} while (u > 0);
	jtext_raw(w, bytes_of(p, (size_t)(text + sizeof(text) - p)));
}

void
jtext_int(struct jtext *w, int64_t i)
{
	if (i < 0)
		jtext_lit(w, "-");
	jtext_uint(w, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
}

void
jtext_double(struct jtext *w, double d)
{
	char text[32];
	int digits, n;

	if (isnan(d)) {
		jtext_lit(w, "\"NaN\"");
	} else if (isinf(d)) {
		jtext_raw(w, d > 0 ? BYTES("\"Infinity\"") :
		    BYTES("\"-Infinity\""));
	} else {
		/* The shortest that reads back the same. */
		for (digits = 15;; digits++) {
			n = snprintf(text, sizeof(text), "%.*g", digits, d);
			must(n > 0 && (size_t)n < sizeof(text));
			if (digits == 17 || strtod(text, NULL) == d)
				break;
		}
		jtext_raw(w, bytes_of(text, (size_t)n));
	}
}

void
jtext_base64(struct jtext *w, struct bytes b)
{
	static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i, left;
	uint32_t v;
	char out[4];

	jtext_lit(w, "\"");
	for (i = 0; i < b.n && !w->full; i += 3) {
		left = b.n - i;
		v = (uint32_t)b.p[i] << 16;
		v |= left > 1 ? (uint32_t)b.p[i + 1] << 8 : 0;
		v |= left > 2 ? b.p[i + 2] : 0;
		out[0] = abc[v >> 18];
		out[1] = abc[v >> 12 & 63];
		out[2] = left > 1 ? abc[v >> 6 & 63] : '=';
		out[3] = left > 2 ? abc[v & 63] : '=';
		put(w, out, 4, 4);
	}
	jtext_lit(w, "\"");
}

void
jtext_hex(struct jtext *w, struct bytes b)
{
	static const char hex[] = "0123456789abcdef";
	size_t i;
	char c[2];

	jtext_lit(w, "\"");
	for (i = 0; i < b.n; i++) {
		c[0] = hex[b.p[i] >> 4];
		c[1] = hex[b.p[i] & 15];
		put(w, c, 2, 2);
	}
	jtext_lit(w, "\"");
}

static void
scalar(struct jtext *w, const struct mp_item *it)
{
	switch (it->type) {
	case MP_NIL: jtext_lit(w, "null"); break;
	case MP_BOOL:
		jtext_raw(w, it->b ? BYTES("true") : BYTES("false"));
		break;
	case MP_UINT: jtext_uint(w, it->u); break;
	case MP_INT: jtext_int(w, it->i); break;
	case MP_DOUBLE: jtext_double(w, it->d); break;
	case MP_STR: jtext_string(w, it->s); break;
	case MP_BIN: case MP_EXT: jtext_base64(w, it->s); break;
	case MP_ARRAY: case MP_MAP: must(false); break;
	}
}

void
jtext_key(struct jtext *w, const struct mp_item *it)
{
	bool quoted = it->type == MP_DOUBLE && !isfinite(it->d);

	switch (it->type) {
	case MP_STR: case MP_BIN: case MP_EXT:
		jtext_string(w, it->s);
		break;
	case MP_ARRAY: case MP_MAP:
		jtext_lit(w, "\"\"");
		break;
	default:
		if (!quoted)
			jtext_lit(w, "\"");
		scalar(w, it);
		if (!quoted)
			jtext_lit(w, "\"");
		break;
	}
}

struct level {
	uint64_t	 left;		/* items; a pair is two */
	bool		 map;
	bool		 first;
	bool		 split;		/* the key was no scalar */
};

/*
 * What goes between items, before the next one of this level.  A key that is
 * an array or a map becomes a member of its own, named "", and so its value.
 */
static void
between(struct jtext *w, struct level *l)
{
	if (l->map && l->left % 2 == 1 && l->split)
		jtext_lit(w, ",\"\":");
	else if (l->map && l->left % 2 == 1)
		jtext_lit(w, ":");
	else if (!l->first)
		jtext_lit(w, ",");
}

void
jtext_value(struct jtext *w, struct bytes value)
{
	struct level level[MP_DEPTH_MAX + 1];
	struct mp m = mp_of(value);
	struct mp_item it;
	struct level *l = level;
	bool is_key;

	*l = (struct level){ 1, false, true, false };
	while (!w->full) {
		if (l->left == 0) {
			if (l == level)
				return;
			jtext_raw(w, l->map ? BYTES("}") : BYTES("]"));
			l--;
			continue;
		}
		between(w, l);
		is_key = l->map && l->left % 2 == 0;
		l->left--;
		l->first = false;
		if (mp_next(&m, &it) < 0)
			return;
		if (is_key) {
			jtext_key(w, &it);
			l->split = it.type == MP_ARRAY || it.type == MP_MAP;
			if (!l->split)
				continue;
			jtext_lit(w, ":");
		}
		if (it.type != MP_ARRAY && it.type != MP_MAP) {
			scalar(w, &it);
			continue;
		}
		if (l == level + MP_DEPTH_MAX)
			return;
		jtext_raw(w, it.type == MP_MAP ? BYTES("{") : BYTES("["));
		*++l = (struct level){
			it.type == MP_MAP ? 2 * (uint64_t)it.count : it.count,
			it.type == MP_MAP, true, false
		};
	}
}
