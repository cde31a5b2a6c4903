/* SPDX-License-Identifier: ISC */
/* norm_place.c - known fields to their places; the contract is in sift.h */

#include "otlp/sift.h"

#include "banned.h"

#define NIL_TAG	0xc0
#define EMPTY_STR_TAG 0xa0

/* The field's value is not what its place needs: it is an attribute then. */
static void
demote(struct sift *s, enum field_id id)
{
	sift_clear(s, id);
	sift_unknown(s, s->known[id].key, s->known[id].value);
}

static void
moved(struct sift *s, enum field_id id)
{
	sift_clear(s, id);
	s->n->moved++;
}

static bool
is_empty(struct bytes value)
{
	return value.n == 1 &&
	    (value.p[0] == NIL_TAG || value.p[0] == EMPTY_STR_TAG);
}

static bool
identity_text(struct norm *n, struct bytes value, struct bytes *ret)
{
	struct mp m = mp_of(value);
	struct mp_item it;

	if (mp_next(&m, &it) < 0)
		return false;
	if (it.type == MP_STR)
		*ret = it.s;
	else if (it.type == MP_UINT)
		*ret = norm_digits(n, it.u, false);
	else if (it.type == MP_INT)
		*ret = norm_digits(n, (uint64_t)-(it.i + 1) + 1, true);
	else
		return false;
	return ret->n > 0;
}

static void
sort_identity(struct sift *s)
{
	uint64_t bits = s->set[0] & ((UINT64_C(1) << NORM_IDENTITY_N) - 1);
	struct norm *n = s->n;
	enum field_id id;

	for (; bits != 0; bits &= bits - 1) {
		id = (enum field_id)__builtin_ctzll(bits);
		if (is_empty(s->known[id].value)) {
			sift_clear(s, id);
			n->same++;
		} else if (identity_text(n, s->known[id].value,
		    &n->own_value[id])) {
			n->own |= 1u << id;
			moved(s, id);
		} else {
			demote(s, id);
		}
	}
}

static void
sort_time(struct sift *s)
{
	static const uint8_t zone[] = "\xa3UTC";
	bool zoneless;

	s->n->time_ns = s->from->entry->time_ns;
	if (!sift_has(s, F_timestamp))
		return;
	if (norm_time(s->known[F_timestamp].value, &s->n->time_ns,
	    &zoneless) < 0) {
		demote(s, F_timestamp);
		return;
	}
	moved(s, F_timestamp);
	if (zoneless && !sift_has(s, F_assumed_zone)) {
		s->known[F_assumed_zone].value = bytes_of(zone, 4);
		sift_set(s, F_assumed_zone);
		s->n->added++;
	}
}

static void
sort_level(struct sift *s)
{
	struct norm *n = s->n;
	struct norm_level l;
	struct mp m;
	uint64_t u;

	n->severity = 0;
	n->severity_text = (struct bytes){ NULL, 0 };
	if (sift_has(s, F_level)) {
		if (norm_level(s->known[F_level].value, &l) == 0) {
			n->severity = l.number;
			n->severity_text = l.word.n > 0 ? l.word :
			    norm_digits(n, l.digits, false);
			moved(s, F_level);
		} else {
			demote(s, F_level);
		}
	}
	if (sift_has(s, F_severity_number)) {
		m = mp_of(s->known[F_severity_number].value);
		if (mp_uint(&m, &u) == 0 && u >= 1 && u <= 24) {
			n->severity = (uint8_t)u;
			moved(s, F_severity_number);
		} else {
			demote(s, F_severity_number);
		}
	}
}

static void
sort_body(struct sift *s)
{
	struct norm *n = s->n;

	n->body.kind = NV_STR;
	n->body.b = (struct bytes){ NULL, 0 };
	if (sift_has(s, F_message)) {
		n->body.b = s->known[F_message].value;
		if (!sift_text(n->body.b, &n->body.b))
			n->body.kind = NV_MSGPACK;
		moved(s, F_message);
	}
	/* It names the event and, for saved queries, stays an attribute. */
	n->event_name = (struct bytes){ NULL, 0 };
	if (sift_has(s, F_event_type))
		(void)sift_text(s->known[F_event_type].value, &n->event_name);
}

static bool
sort_id(struct sift *s, enum field_id id, uint8_t *ret, size_t len)
{
	struct bytes text;

	if (!sift_has(s, id))
		return false;
	if (!sift_text(s->known[id].value, &text) ||
	    norm_hex_id(text, ret, len) < 0) {
		if (is_empty(s->known[id].value)) {
			sift_clear(s, id);
			s->n->same++;
		} else {
			demote(s, id);
		}
		return false;
	}
	moved(s, id);
	return true;
}

static void
sort_flags(struct sift *s)
{
	struct mp m = mp_of(s->known[F_trace_flags].value);
	uint8_t flags[2];
	struct bytes text;
	uint64_t u;

	if (mp_uint(&m, &u) == 0 && u <= 0xff) {
		s->n->trace_flags = (uint8_t)u;
		moved(s, F_trace_flags);
	} else if (sift_text(s->known[F_trace_flags].value, &text) &&
	    text.n == 2 && bytes_eq(text, BYTES("00"))) {
		moved(s, F_trace_flags);
	} else if (sift_text(s->known[F_trace_flags].value, &text) &&
	    norm_hex_id(text, flags, 1) == 0) {
		s->n->trace_flags = flags[0];
		moved(s, F_trace_flags);
	} else {
		demote(s, F_trace_flags);
	}
}

/* Taken where there is no trace_id, and passed over where it says the same. */
static void
sort_traceparent(struct sift *s)
{
	struct norm *n = s->n;
	uint8_t trace[16], span[8], flags;
	struct bytes text;
	bool fits;

	if (!sift_text(s->known[F_traceparent].value, &text) ||
	    norm_traceparent(text, trace, span, &flags) < 0) {
		demote(s, F_traceparent);
		return;
	}
	fits = (!n->has_trace || memcmp(n->trace_id, trace, 16) == 0) &&
	    (!n->has_span || memcmp(n->span_id, span, 8) == 0) &&
	    (n->trace_flags == 0 || n->trace_flags == flags);
	if (!fits || text.n != 55) {
		demote(s, F_traceparent);
		return;
	}
	memcpy(n->trace_id, trace, 16);
	memcpy(n->span_id, span, 8);
	n->trace_flags = flags;
	n->has_trace = n->has_span = true;
	moved(s, F_traceparent);
}

static void
sort_trace(struct sift *s)
{
	struct norm *n = s->n;

	n->trace_flags = 0;
	n->has_trace = sort_id(s, F_trace_id, n->trace_id, 16);
	n->has_span = sort_id(s, F_span_id, n->span_id, 8);
	if (sift_has(s, F_trace_flags))
		sort_flags(s);
	if (sift_has(s, F_traceparent))
		sort_traceparent(s);
}

void
sift_places(struct sift *s)
{
	sort_identity(s);
	sort_time(s);
	sort_level(s);
	sort_body(s);
	sort_trace(s);
}
