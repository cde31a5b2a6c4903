/* SPDX-License-Identifier: ISC */
/* pb_record.c - OTLP's messages in protobuf; the contract is in write.h */

#include "base/must.h"
#include "otlp/jtext.h"
#include "otlp/write.h"

#include "banned.h"

/* opentelemetry.proto.common.v1 */
#define ANY_STRING	PB_LEN(1)
#define ANY_BOOL	PB_VARINT(2)
#define ANY_INT		PB_VARINT(3)
#define ANY_DOUBLE	PB_I64(4)
#define ANY_ARRAY	PB_LEN(5)
#define ANY_KVLIST	PB_LEN(6)
#define ANY_BYTES	PB_LEN(7)
#define LIST_VALUE	PB_LEN(1)	/* ArrayValue, KeyValueList */
#define KV_KEY		PB_LEN(1)
#define KV_VALUE	PB_LEN(2)
#define SCOPE_NAME	PB_LEN(1)
#define SCOPE_ATTR	PB_LEN(3)
/* opentelemetry.proto.resource.v1, logs.v1 */
#define RESOURCE_ATTR	PB_LEN(1)
#define RESOURCE_DROPPED PB_VARINT(2)
#define RL_RESOURCE	PB_LEN(1)
#define SL_SCOPE	PB_LEN(1)
#define SL_RECORD	PB_LEN(2)
#define LOG_TIME	PB_I64(1)
#define LOG_SEVERITY	PB_VARINT(2)
#define LOG_SEVERITY_TEXT PB_LEN(3)
#define LOG_BODY	PB_LEN(5)
#define LOG_ATTR	PB_LEN(6)
#define LOG_DROPPED	PB_VARINT(7)
#define LOG_FLAGS	PB_I32(8)
#define LOG_TRACE_ID	PB_LEN(9)
#define LOG_SPAN_ID	PB_LEN(10)
#define LOG_OBSERVED	PB_I64(11)
#define LOG_EVENT_NAME	PB_LEN(12)

#define SMALL	100			/* a guess of one byte of length */
#define RECORD_GUESS 400		/* of two */

static void	tree(struct pb *, struct mp *);

static void
string_item(struct pb *w, uint8_t tag, struct bytes s)
{
	struct text t;

	text_fit(s, SIZE_MAX, SIZE_MAX, &t);
	pb_text(w, tag, &t);
}

/* A number as key: its text, in jtext.c's words but without the quotes. */
static void
number_key(struct pb *w, const struct mp_item *it)
{
	uint8_t text[48];
	struct jtext j = { text, text + sizeof(text), SIZE_MAX, false, false };

	jtext_key(&j, it);
	must(!j.full);
	pb_bytes(w, KV_KEY, bytes_of(text + 1, (size_t)(j.p - text) - 2));
}

static void
tree_key(struct pb *w, const struct mp_item *it)
{
	switch (it->type) {
	case MP_STR: case MP_BIN: case MP_EXT:
		string_item(w, KV_KEY, it->s);
		break;
	case MP_ARRAY: case MP_MAP:
		break;			/* "": told by the value */
	default:
		number_key(w, it);
		break;
	}
}

static void
member(struct pb *w, const struct mp_item *key, struct mp *m)
{
	struct pb_mark kv, any;

	kv = pb_open(w, LIST_VALUE, SMALL);
	tree_key(w, key);
	any = pb_open(w, KV_VALUE, SMALL);
	tree(w, m);
	pb_close(w, any);
	pb_close(w, kv);
}

/* A key that is an array or a map becomes a member before its value. */
static void
map_items(struct pb *w, struct mp *m, uint32_t pairs)
{
	struct mp_item key;
	struct mp at;

	for (; pairs > 0 && !w->full; pairs--) {
		at = *m;
		if (mp_next(m, &key) < 0)
			return;
		if (key.type == MP_ARRAY || key.type == MP_MAP) {
			*m = at;
			member(w, &key, m);
		}
		member(w, &key, m);
	}
}

static void
array_items(struct pb *w, struct mp *m, uint32_t n)
{
	struct pb_mark any;

	for (; n > 0 && !w->full; n--) {
		any = pb_open(w, LIST_VALUE, SMALL);
		tree(w, m);
		pb_close(w, any);
	}
}

/* What no int64 holds is told in digits: a double would round it. */
static void
uint_item(struct pb *w, uint64_t u)
{
	char text[20], *p = text + sizeof(text);

	if (u <= INT64_MAX) {
		pb_varint(w, ANY_INT, u);
		return;
	}
	for (; u > 0; u /= 10)
		*--p = (char)('0' + u % 10);
	pb_bytes(w, ANY_STRING, bytes_of(p, (size_t)(text + sizeof(text) - p)));
}

/*
 * The content of one AnyValue, nothing for nil.  Recursion is bounded:
 * trim.c lets no value deeper than TRIM_DEPTH_MAX come here.
 */
static void
tree(struct pb *w, struct mp *m)
{
	struct pb_mark list;
	struct mp_item it;

	if (mp_next(m, &it) < 0)
		return;
	switch (it.type) {
	case MP_NIL: break;
	case MP_BOOL: pb_varint(w, ANY_BOOL, it.b); break;
	case MP_UINT: uint_item(w, it.u); break;
	case MP_INT: pb_varint(w, ANY_INT, (uint64_t)it.i); break;
	case MP_DOUBLE: pb_double(w, ANY_DOUBLE, it.d); break;
	case MP_STR: string_item(w, ANY_STRING, it.s); break;
	case MP_BIN: case MP_EXT: pb_bytes(w, ANY_BYTES, it.s); break;
	case MP_ARRAY:
		list = pb_open(w, ANY_ARRAY, SMALL);
		array_items(w, m, it.count);
		pb_close(w, list);
		break;
	case MP_MAP:
		list = pb_open(w, ANY_KVLIST, SMALL);
		map_items(w, m, it.count);
		pb_close(w, list);
		break;
	}
}

static void
any(struct pb *w, const struct trim_value *v)
{
	struct mp m = mp_of(v->mp);

	if (v->is_text)
		pb_text(w, ANY_STRING, &v->t);
	else
		tree(w, &m);
}

static uint8_t *
field(uint8_t *p, uint8_t tag, size_t n)
{
	*p++ = tag;
	return pb_varint_put(p, n);
}

static uint8_t *
bytes_field(uint8_t *p, uint8_t tag, struct bytes b)
{
	p = field(p, tag, b.n);
	memcpy(p, b.p, b.n);
	return p + b.n;
}

/* An AnyValue of a number or bool, 11 bytes at most; 0: it is none. */
static size_t
scalar(const struct trim_value *v, uint8_t any[11])
{
	struct mp m = mp_of(v->mp);
	struct pb w = { any, any + 11, false };
	struct mp_item it;

	if (mp_next(&m, &it) < 0)
		return 0;
	if (it.type == MP_UINT && it.u <= INT64_MAX)
		pb_varint(&w, ANY_INT, it.u);
	else if (it.type == MP_DOUBLE)
		pb_double(&w, ANY_DOUBLE, it.d);
	else if (it.type == MP_BOOL)
		pb_varint(&w, ANY_BOOL, it.b);
	else if (it.type == MP_INT)
		pb_varint(&w, ANY_INT, (uint64_t)it.i);
	return (size_t)(w.p - any);
}

/* Lengths are known here too. */
static bool
scalar_attr(struct pb *w, uint8_t tag, const struct trim_attr *a)
{
	uint8_t any[11], *p;
	size_t any_n = scalar(&a->value, any), n;

	if (any_n == 0)
		return false;
	n = 1 + pb_varint_len(a->key.b.n) + a->key.b.n + 2 + any_n;
	p = pb_room(w, 1 + pb_varint_len(n) + n);
	if (p == NULL)
		return true;
	p = field(p, tag, n);
	p = bytes_field(p, KV_KEY, a->key.b);
	p = field(p, KV_VALUE, any_n);
	memcpy(p, any, any_n);
	return true;
}

/* The most frequent: key and value are good text, so all lengths are known. */
static void
text_attr(struct pb *w, uint8_t tag, struct bytes key, struct bytes text)
{
	size_t any_n = 1 + pb_varint_len(text.n) + text.n;
	size_t n = 1 + pb_varint_len(key.n) + key.n + 1 +
	    pb_varint_len(any_n) + any_n;
	uint8_t *p = pb_room(w, 1 + pb_varint_len(n) + n);

	if (p == NULL)
		return;
	p = field(p, tag, n);
	p = bytes_field(p, KV_KEY, key);
	p = field(p, KV_VALUE, any_n);
	p = field(p, ANY_STRING, text.n);
	if (text.n > 0)
		memcpy(p, text.p, text.n);
}

static void
attr(struct pb *w, uint8_t tag, const struct trim_attr *a)
{
	struct pb_mark kv, value;

	if (a->value.is_text && !a->value.t.bad) {
		text_attr(w, tag, a->key.b, a->value.t.b);
		return;
	}
	if (!a->value.is_text && scalar_attr(w, tag, a))
		return;
	kv = pb_open(w, tag, SMALL);
	pb_bytes(w, KV_KEY, a->key.b);
	value = pb_open(w, KV_VALUE, SMALL);
	any(w, &a->value);
	pb_close(w, value);
	pb_close(w, kv);
}

static void
ids(struct pb *w, const struct norm *n)
{
	if (n->trace_flags != 0)
		pb_fixed32(w, LOG_FLAGS, n->trace_flags);
	if (n->has_trace)
		pb_bytes(w, LOG_TRACE_ID, bytes_of(n->trace_id, 16));
	if (n->has_span)
		pb_bytes(w, LOG_SPAN_ID, bytes_of(n->span_id, 8));
}

void
pb_record(struct pb *w, const struct trim *t)
{
	const struct norm *n = t->n;
	struct pb_mark record, body;
	unsigned i;

	record = pb_open(w, SL_RECORD, RECORD_GUESS);
	if (n->time_ns != 0)
		pb_fixed64(w, LOG_TIME, n->time_ns);
	if (n->severity != 0)
		pb_varint(w, LOG_SEVERITY, n->severity);
	if (t->severity_text.b.n > 0)
		pb_text(w, LOG_SEVERITY_TEXT, &t->severity_text);
	if (t->has_body) {
		body = pb_open(w, LOG_BODY, t->body.is_text ?
		    t->body.t.b.n + 2 : SMALL);
		any(w, &t->body);
		pb_close(w, body);
	}
	for (i = 0; i < t->attr_n; i++)
		attr(w, LOG_ATTR, &t->attr[i]);
	if (t->dropped > 0)
		pb_varint(w, LOG_DROPPED, t->dropped);
	ids(w, n);
	if (n->observed_ns != 0)
		pb_fixed64(w, LOG_OBSERVED, n->observed_ns);
	if (t->event_name.b.n > 0)
		pb_text(w, LOG_EVENT_NAME, &t->event_name);
	pb_close(w, record);
}

void
pb_resource(struct pb *w, const struct trim *t)
{
	struct pb_mark mark = pb_open(w, RL_RESOURCE, RECORD_GUESS);
	unsigned i;

	for (i = 0; i < t->resource_n; i++)
		attr(w, RESOURCE_ATTR, &t->resource[i]);
	if (t->resource_dropped > 0)
		pb_varint(w, RESOURCE_DROPPED, t->resource_dropped);
	pb_close(w, mark);
}

void
pb_scope(struct pb *w, const struct trim *t)
{
	struct pb_mark mark = pb_open(w, SL_SCOPE, SMALL);
	unsigned i;

	if (t->scope_name.b.n > 0)
		pb_text(w, SCOPE_NAME, &t->scope_name);
	for (i = 0; i < t->scope_n; i++)
		attr(w, SCOPE_ATTR, &t->scope[i]);
	pb_close(w, mark);
}
