/* SPDX-License-Identifier: ISC */
/*
 * json_lines.c - OTLP's messages in JSON; the contract is in write.h
 *
 * What departs from plain proto3 JSON: ids in hexadecimal, enums as numbers,
 * 64-bit integers as decimal strings.
 */

#include "base/must.h"
#include "otlp/jtext.h"
#include "otlp/write.h"

#include "banned.h"

static void	tree(struct jtext *, struct mp *);

static struct jtext
writer(const struct pb *w)
{
	return (struct jtext){ w->p, w->end, SIZE_MAX, w->full, false };
}

static void
written(struct pb *w, const struct jtext *j)
{
	w->p = j->p;
	w->full = j->full;
}

static void
member(struct jtext *w, const struct mp_item *key, struct mp *m)
{
	jtext_lit(w, "{\"key\":");
	jtext_key(w, key);
	jtext_lit(w, ",\"value\":");
	tree(w, m);
	jtext_lit(w, "}");
}

static void
map_items(struct jtext *w, struct mp *m, uint32_t pairs)
{
	struct mp_item key;
	struct mp at;
	uint32_t i;

	for (i = 0; i < pairs && !w->full; i++) {
		if (i > 0)
			jtext_lit(w, ",");
		at = *m;
		if (mp_next(m, &key) < 0)
			return;
		if (key.type == MP_ARRAY || key.type == MP_MAP) {
			*m = at;
			member(w, &key, m);
			jtext_lit(w, ",");
		}
		member(w, &key, m);
	}
}

static void
array_items(struct jtext *w, struct mp *m, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n && !w->full; i++) {
		if (i > 0)
			jtext_lit(w, ",");
		tree(w, m);
	}
}

/* In quotes: JavaScript's numbers end at 2^53. */
static void
integer(struct jtext *w, const struct mp_item *it)
{
	if (it->type == MP_UINT && it->u > INT64_MAX)
		jtext_lit(w, "\"stringValue\":\"");
	else
		jtext_lit(w, "\"intValue\":\"");
	if (it->type == MP_UINT)
		jtext_uint(w, it->u);
	else
		jtext_int(w, it->i);
	jtext_lit(w, "\"");
}

static void
content(struct jtext *w, const struct mp_item *it, struct mp *m)
{
	switch (it->type) {
	case MP_NIL:
		break;
	case MP_BOOL:
		jtext_raw(w, it->b ? BYTES("\"boolValue\":true") :
		    BYTES("\"boolValue\":false"));
		break;
	case MP_UINT: case MP_INT:
		integer(w, it);
		break;
	case MP_DOUBLE:
		jtext_lit(w, "\"doubleValue\":");
		jtext_double(w, it->d);
		break;
	case MP_STR:
		jtext_lit(w, "\"stringValue\":");
		jtext_string(w, it->s);
		break;
	case MP_BIN: case MP_EXT:
		jtext_lit(w, "\"bytesValue\":");
		jtext_base64(w, it->s);
		break;
	case MP_ARRAY:
		jtext_lit(w, "\"arrayValue\":{\"values\":[");
		array_items(w, m, it->count);
		jtext_lit(w, "]}");
		break;
	case MP_MAP:
		jtext_lit(w, "\"kvlistValue\":{\"values\":[");
		map_items(w, m, it->count);
		jtext_lit(w, "]}");
		break;
	}
}

/* Recursion is bounded by TRIM_DEPTH_MAX, as in pb_record.c. */
static void
tree(struct jtext *w, struct mp *m)
{
	struct mp_item it;

	jtext_lit(w, "{");
	if (mp_next(m, &it) == 0)
		content(w, &it, m);
	jtext_lit(w, "}");
}

static void
any(struct jtext *w, const struct trim_value *v)
{
	struct mp m = mp_of(v->mp);

	if (!v->is_text) {
		tree(w, &m);
		return;
	}
	jtext_lit(w, "{\"stringValue\":");
	jtext_string(w, v->t.b);
	jtext_lit(w, "}");
}

static void
attrs(struct jtext *w, const struct trim_attr *attr, unsigned n)
{
	unsigned i;

	jtext_lit(w, "\"attributes\":[");
	for (i = 0; i < n; i++) {
		jtext_raw(w, i > 0 ? BYTES(",{\"key\":") :
		    BYTES("{\"key\":"));
		jtext_string(w, attr[i].key.b);
		jtext_lit(w, ",\"value\":");
		any(w, &attr[i].value);
		jtext_lit(w, "}");
	}
	jtext_lit(w, "]");
}

static void
dropped(struct jtext *w, uint32_t n)
{
	if (n == 0)
		return;
	jtext_lit(w, "\"droppedAttributesCount\":");
	jtext_uint(w, n);
	jtext_lit(w, ",");
}

static void
stamp(struct jtext *w, struct bytes name, uint64_t ns)
{
	if (ns == 0)
		return;
	jtext_raw(w, name);
	jtext_uint(w, ns);
	jtext_lit(w, "\",");
}

static void
named_text(struct jtext *w, struct bytes name, struct text t)
{
	if (t.b.n == 0)
		return;
	jtext_raw(w, name);
	jtext_string(w, t.b);
	jtext_lit(w, ",");
}

static void
ids(struct jtext *w, const struct norm *n)
{
	if (n->trace_flags != 0) {
		jtext_lit(w, "\"flags\":");
		jtext_uint(w, n->trace_flags);
		jtext_lit(w, ",");
	}
	if (n->has_trace) {
		jtext_lit(w, "\"traceId\":");
		jtext_hex(w, bytes_of(n->trace_id, 16));
		jtext_lit(w, ",");
	}
	if (n->has_span) {
		jtext_lit(w, "\"spanId\":");
		jtext_hex(w, bytes_of(n->span_id, 8));
		jtext_lit(w, ",");
	}
}

static void
severity(struct jtext *w, const struct trim *t)
{
	if (t->n->severity != 0) {
		jtext_lit(w, "\"severityNumber\":");
		jtext_uint(w, t->n->severity);
		jtext_lit(w, ",");
	}
	named_text(w, BYTES("\"severityText\":"), t->severity_text);
}

/* The attributes come last: they are always there and end without a comma. */
void
json_record(struct pb *out, const struct trim *t)
{
	struct jtext j = writer(out), *w = &j;

	jtext_lit(w, "{");
	stamp(w, BYTES("\"timeUnixNano\":\""), t->n->time_ns);
	stamp(w, BYTES("\"observedTimeUnixNano\":\""), t->n->observed_ns);
	severity(w, t);
	named_text(w, BYTES("\"eventName\":"), t->event_name);
	if (t->has_body) {
		jtext_lit(w, "\"body\":");
		any(w, &t->body);
		jtext_lit(w, ",");
	}
	ids(w, t->n);
	dropped(w, t->dropped);
	attrs(w, t->attr, t->attr_n);
	jtext_lit(w, "}");
	written(out, w);
}

void
json_resource(struct pb *out, const struct trim *t)
{
	struct jtext j = writer(out), *w = &j;

	jtext_lit(w, "\"resource\":{");
	dropped(w, t->resource_dropped);
	attrs(w, t->resource, t->resource_n);
	jtext_lit(w, "}");
	written(out, w);
}

void
json_scope(struct pb *out, const struct trim *t)
{
	struct jtext j = writer(out), *w = &j;

	jtext_lit(w, "\"scope\":{");
	named_text(w, BYTES("\"name\":"), t->scope_name);
	attrs(w, t->scope, t->scope_n);
	jtext_lit(w, "}");
	written(out, w);
}
