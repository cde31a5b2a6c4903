/* SPDX-License-Identifier: ISC */
/* trim.c - a record within the backend's limits; the contract is in trim.h */

#include "otlp/trim.h"

#include "base/must.h"
#include "otlp/jtext.h"

#include "banned.h"

/* An escape is six characters; nothing in msgpack grows more than that. */
#define JSON_GROWTH	6
#define NO_LIMIT	SIZE_MAX

/*
 * Results are written where they stay: a struct of pointers and bools that
 * is returned and copied costs more than what is done here.
 */
static void
fit(struct trim *t, struct bytes s, size_t chars_max, size_t bytes_max,
    struct text *ret)
{
	if (t->limits == OTLP_NONE)
		chars_max = bytes_max = NO_LIMIT;
	text_fit(s, chars_max, bytes_max, ret);
	t->counts->cut += ret->cut;
	t->counts->repaired += ret->bad;
}

static void
set_text(struct trim_value *v, struct bytes b)
{
	v->is_text = true;
	v->t.b = b;
	v->t.bad = v->t.cut = false;
}

static void
set_mp(struct trim_value *v, struct bytes value)
{
	v->is_text = false;
	v->mp = value;
}

/* A writer to what is left of the arena. */
static struct jtext
arena_jtext(struct trim *t, size_t chars_max, size_t bytes_max)
{
	size_t room = sizeof(t->arena) - t->arena_n;

	if (bytes_max > room)
		bytes_max = room;
	return (struct jtext){
		.p = t->arena + t->arena_n,
		.end = t->arena + t->arena_n + bytes_max,
		.chars = chars_max
	};
}

static struct bytes
arena_keep(struct trim *t, const struct jtext *w)
{
	struct bytes b;

	b.p = t->arena + t->arena_n;
	b.n = (size_t)(w->p - b.p);
	t->arena_n += b.n;
	return b;
}

/* Also counts the strings in it that a writer will have to repair. */
static bool
too_deep(struct trim *t, struct bytes value)
{
	uint64_t left[TRIM_DEPTH_MAX + 1];
	struct mp m = mp_of(value);
	struct mp_item it;
	unsigned depth = 0;
	struct text s;

	left[0] = 1;
	for (;;) {
		while (left[depth] == 0)
			if (depth-- == 0)
				return false;
		left[depth]--;
		if (mp_next(&m, &it) < 0)
			return true;
		if (it.type == MP_STR) {
			text_fit(it.s, NO_LIMIT, NO_LIMIT, &s);
			t->counts->repaired += s.bad;
		}
		if (it.type != MP_ARRAY && it.type != MP_MAP)
			continue;
		if (depth == TRIM_DEPTH_MAX)
			return true;
		left[++depth] = it.type == MP_MAP ? 2 * (uint64_t)it.count :
		    it.count;
	}
}

/* An array or map: as it is, or as the beginning of its JSON text. */
static void
tree(struct trim *t, struct bytes value, size_t chars_max, size_t bytes_max,
    struct trim_value *ret)
{
	size_t most = chars_max < bytes_max ? chars_max : bytes_max;
	bool deep = too_deep(t, value);
	struct jtext w;

	if (t->limits == OTLP_NONE)
		chars_max = bytes_max = TRIM_JSON_MAX;
	set_mp(ret, value);
	if (!deep && (t->limits == OTLP_NONE || value.n <= most / JSON_GROWTH))
		return;
	w = arena_jtext(t, chars_max, bytes_max);
	jtext_value(&w, value);
	if (!deep && !w.full)
		return;
	t->counts->cut += w.full;
	set_text(ret, arena_keep(t, &w));
}

/* Bytes count as the Base64 they are shown as. */
static void
binary(struct trim *t, const struct mp_item *it, struct bytes value,
    size_t most, struct trim_value *ret)
{
	struct bytes text;
	struct jtext w;

	set_mp(ret, value);
	if (t->limits == OTLP_NONE || it->s.n <= most / 4 * 3)
		return;
	w = arena_jtext(t, most + 2, NO_LIMIT);
	jtext_base64(&w, bytes_of(it->s.p, most / 4 * 3));
	t->counts->cut++;
	text = arena_keep(t, &w);
	must(!w.full && text.n > 2);	/* the arena has room for all */
	set_text(ret, bytes_of(text.p + 1, text.n - 2));
}

/* Digits: a double would round it. */
static void
huge(struct trim *t, uint64_t u, struct trim_value *ret)
{
	struct jtext w = arena_jtext(t, 20, 20);

	jtext_uint(&w, u);
	set_text(ret, arena_keep(t, &w));
}

/* A string, or an integer that may be over INT64_MAX. */
static bool
is_large(struct bytes value)
{
	return (value.p[0] & 0xe0) == 0xa0 || value.p[0] == 0xd9 ||
	    (value.p[0] == 0xcf && value.p[1] >= 0x80);
}

/* One of chars_max and bytes_max is the limit, the other is NO_LIMIT. */
static void
value_of(struct trim *t, const struct norm_value *v, size_t chars_max,
    size_t bytes_max, struct trim_value *ret)
{
	size_t most = chars_max < bytes_max ? chars_max : bytes_max;
	struct mp m = mp_of(v->b);
	struct mp_item it;

	if (v->kind == NV_STR) {
		ret->is_text = true;
		fit(t, v->b, chars_max, bytes_max, &ret->t);
		return;
	}
	set_mp(ret, v->b);
	if (mp_small(m.p, m.end) == v->b.n && !is_large(v->b))
		return;
	if (mp_next(&m, &it) < 0) {
		set_mp(ret, BYTES("\xc0"));
	} else if (it.type == MP_STR) {
		ret->is_text = true;
		fit(t, it.s, chars_max, bytes_max, &ret->t);
	} else if (it.type == MP_BIN || it.type == MP_EXT) {
		binary(t, &it, v->b, most, ret);
	} else if (it.type == MP_ARRAY || it.type == MP_MAP) {
		tree(t, v->b, chars_max, bytes_max, ret);
	} else if (it.type == MP_UINT && it.u > INT64_MAX) {
		huge(t, it.u, ret);
	}
}

static bool
key_taken(const struct trim_attr *attr, unsigned n, struct bytes key)
{
	while (n-- > 0)
		if (bytes_eq(attr[n].key.b, key))
			return true;
	return false;
}

static bool
repair_key(struct trim *t, struct text *key)
{
	uint8_t *p = t->arena + t->arena_n;

	if (key->b.n > (sizeof(t->arena) - t->arena_n) / TEXT_REPAIR_MAX)
		return false;
	key->b = bytes_of(p, text_repair(p, key->b));
	key->bad = false;
	t->arena_n += key->b.n;
	return true;
}

/*
 * A key as it goes out.  false: it had to be changed and is now the name of
 * another attribute, or such a one has its name.
 */
static bool
key_of(struct trim *t, struct trim_attr *attr, unsigned n, struct bytes key)
{
	struct text *k = &attr[n].key;
	bool changed = true;

	if (key.n == 0)
		key = BYTES("_");
	else if (bytes_eq(key, BYTES("emplog.more")))
		key = BYTES("emplog.more.original");
	else
		changed = false;
	fit(t, key, DASH0_KEY_CHARS, NO_LIMIT, k);
	if (k->bad && !repair_key(t, k))
		return false;
	changed |= k->cut || k->b.p != key.p;
	t->keys_changed |= changed;
	return !t->keys_changed || !key_taken(attr, n, k->b);
}

static void
put_attr(struct trim *t, struct trim_attr *attr, unsigned *n,
    const struct norm_attr *from)
{
	if (from->rank < UINT16_MAX && !t->keys_changed) {
		attr[*n].key.b = from->key;
		attr[*n].key.bad = attr[*n].key.cut = false;
	} else if (!key_of(t, attr, *n, from->key)) {
		t->dropped++;
		t->counts->dropped++;
		return;
	}
	value_of(t, &from->value, DASH0_VALUE_CHARS, NO_LIMIT,
	    &attr[*n].value);
	(*n)++;
}

static void
fold_value(struct jtext *w, const struct norm_value *v)
{
	if (v->kind == NV_STR)
		jtext_string(w, v->b);
	else
		jtext_value(w, v->b);
}

/* "key":value behind what the object has already; false: no room. */
static bool
fold(struct jtext *w, const struct norm_attr *a, bool first)
{
	struct jtext try = *w;

	if (!first)
		jtext_lit(&try, ",");
	jtext_string(&try, a->key);
	jtext_lit(&try, ":");
	fold_value(&try, &a->value);
	if (try.full)
		return false;
	*w = try;
	return true;
}

/*
 * The attributes from at on as one, a JSON object.  0: none of them fits,
 * and nothing was put.
 */
static unsigned
put_more(struct trim *t, unsigned at)
{
	struct trim_attr *a = &t->attr[t->attr_n];
	struct jtext w;
	unsigned folded = 0;

	w = arena_jtext(t, DASH0_VALUE_CHARS - 1, NO_LIMIT);
	jtext_lit(&w, "{");
	for (; at < t->n->attr_n; at++)
		if (fold(&w, &t->n->attr[at], folded == 0))
			folded++;
	if (folded == 0)
		return 0;
	w.chars++;
	jtext_lit(&w, "}");
	must(!w.full);
	t->counts->repaired += w.repaired;
	t->counts->folded += folded;
	a->key = (struct text){ BYTES("emplog.more"), false, false };
	set_text(&a->value, arena_keep(t, &w));
	t->attr_n++;
	return folded;
}

static void
put_attrs(struct trim *t)
{
	const struct norm *n = t->n;
	unsigned i, whole = n->attr_n, rest = 0, folded = 0;

	if (t->limits == OTLP_DASH0 && whole > DASH0_ATTRS)
		whole = DASH0_ATTRS - 1;
	for (i = 0; i < whole; i++)
		put_attr(t, t->attr, &t->attr_n, &n->attr[i]);
	if (i < n->attr_n) {
		folded = put_more(t, i);
		if (folded == 0)	/* then that place is free */
			put_attr(t, t->attr, &t->attr_n, &n->attr[i++]);
		rest = n->attr_n - i;
	}
	t->dropped += rest - folded;
	t->counts->dropped += rest - folded;
}

void
trim_record(struct trim *t, const struct norm *n)
{
	t->n = n;
	t->arena_n = 0;
	t->attr_n = 0;
	t->keys_changed = false;
	t->dropped = n->lost;
	t->counts->dropped += n->lost;
	fit(t, n->severity_text, DASH0_VALUE_CHARS, NO_LIMIT,
	    &t->severity_text);
	fit(t, n->event_name, DASH0_EVENT_CHARS, NO_LIMIT, &t->event_name);
	t->has_body = n->body.kind != NV_STR || n->body.b.n > 0;
	if (t->has_body)
		value_of(t, &n->body, NO_LIMIT, DASH0_BODY_BYTES, &t->body);
	put_attrs(t);
}

void
trim_identity(struct trim *t, const struct norm *n)
{
	unsigned i;

	t->resource_n = t->scope_n = 0;
	t->resource_dropped = n->resource_lost;
	t->counts->dropped += n->resource_lost;
	t->keys_changed = false;
	for (i = 0; i < n->resource_n; i++)
		put_attr(t, t->resource, &t->resource_n, &n->resource[i]);
	fit(t, n->scope_name, DASH0_VALUE_CHARS, NO_LIMIT, &t->scope_name);
	for (i = 0; i < n->scope_n; i++)
		put_attr(t, t->scope, &t->scope_n, &n->scope[i]);
}
