/* SPDX-License-Identifier: ISC */
/* message.c - Forward messages found and read; contract in message.h */

#include "forward/message.h"

#include <errno.h>

#include "base/must.h"
#include "banned.h"

#define MAX_MAX		((size_t)1 << 30)
#define METADATA_MAX	65536

enum step {
	AT_ARRAY, AT_TAG, AT_BODY, IN_ENTRIES, IN_RECORD, AT_OPTION, IN_OPTION,
	AT_END
};

size_t
message_nils(struct bytes have)
{
	size_t n = 0;

	while (n < have.n && have.p[n] == 0xc0)
		n++;
	return n;
}

void
message_scan_init(struct message_scan *ms, size_t max)
{
	must(max > 0);
	must(max <= MAX_MAX);
	*ms = (struct message_scan){ .max = max, .step = AT_ARRAY };
}

static int
wants(struct message_scan *ms, uint64_t need)
{
	if (need > ms->max)
		return -EMSGSIZE;
	ms->need = (size_t)need;
	return -EAGAIN;
}

/* One item header; behind values follow it in this message at least. */
static int
item(struct message_scan *ms, struct bytes have, uint64_t behind,
    struct mp_item *ret)
{
	struct mp m = { have.p + ms->at, have.p + have.n };
	uint64_t need;
	int r;

	r = mp_next(&m, ret);
	if (r == -EAGAIN) {
		need = mp_need(m);
		return need > ms->max ? -EMSGSIZE :
		    wants(ms, ms->at + need + behind);
	}
	if (r < 0)
		return r;
	if ((size_t)(m.p - have.p) > ms->max)
		return -EMSGSIZE;
	ms->at = (size_t)(m.p - have.p);
	return 0;
}

/*
 * Passes over ms->left values.  A count of what is still to come is enough:
 * how deep it nests does not matter here, and each value is a byte at least,
 * so a lie about a count ends at ms->max.
 */
static int
pass(struct message_scan *ms, struct bytes have)
{
	struct mp_item it;
	int r;

	while (ms->left > 0) {
		r = item(ms, have, ms->left - 1, &it);
		if (r < 0)
			return r;
		ms->left--;
		if (it.type == MP_ARRAY)
			ms->left += it.count;
		else if (it.type == MP_MAP)
			ms->left += 2 * (uint64_t)it.count;
		if (ms->left > ms->max - ms->at)
			return -EMSGSIZE;
	}
	return 0;
}

static int
at_array(struct message_scan *ms, struct bytes have)
{
	struct mp_item it;
	int r;

	r = item(ms, have, 0, &it);
	if (r < 0)
		return r;
	if (it.type != MP_ARRAY || it.count < 2 || it.count > 4)
		return -EBADMSG;
	ms->members = it.count;
	ms->step = AT_TAG;
	return 0;
}

static int
at_tag(struct message_scan *ms, struct bytes have)
{
	struct mp_item it;
	int r;

	r = item(ms, have, 1, &it);
	/* a header of 5 and one byte behind it */
	if (r == -EAGAIN && ms->need - ms->at > MESSAGE_TAG_MAX + 6)
		r = -EMSGSIZE;
	if (r < 0)
		return r;
	if (it.type != MP_STR && it.type != MP_BIN)
		return -EBADMSG;
	if (it.s.n > MESSAGE_TAG_MAX)
		return -EMSGSIZE;
	ms->tag = (struct message_span){ ms->at - it.s.n, it.s.n };
	ms->step = AT_BODY;
	return 0;
}

/* Element 1 tells the mode. */
static int
at_body(struct message_scan *ms, struct bytes have)
{
	size_t start = ms->at;
	struct mp_item it;
	int r;

	r = item(ms, have, ms->members - 2, &it);
	if (r < 0)
		return r;
	switch (it.type) {
	case MP_STR: case MP_BIN:
		ms->mode = MESSAGE_PACKED;
		ms->body = (struct message_span){ ms->at - it.s.n, it.s.n };
		ms->step = AT_OPTION;
		return ms->members <= 3 ? 0 : -EBADMSG;
	case MP_ARRAY:
		ms->mode = MESSAGE_FORWARD;
		ms->body.at = ms->at;
		ms->left = it.count;
		ms->step = IN_ENTRIES;
		return ms->members <= 3 ? 0 : -EBADMSG;
	case MP_NIL: case MP_UINT: case MP_DOUBLE: case MP_EXT:
		ms->mode = MESSAGE_ONE;
		ms->time = (struct message_span){ start, ms->at - start };
		ms->record.at = ms->at;
		ms->left = 1;
		ms->step = IN_RECORD;
		return ms->members >= 3 ? 0 : -EBADMSG;
	default:
		return -EBADMSG;
	}
}

static int
in_entries(struct message_scan *ms, struct bytes have)
{
	int r;

	r = pass(ms, have);
	if (r < 0)
		return r;
	ms->body.n = ms->at - ms->body.at;
	ms->step = AT_OPTION;
	return 0;
}

static int
in_record(struct message_scan *ms, struct bytes have)
{
	int r;

	r = pass(ms, have);
	if (r < 0)
		return r;
	ms->record.n = ms->at - ms->record.at;
	ms->step = AT_OPTION;
	return 0;
}

static int
at_option(struct message_scan *ms)
{
	ms->option.at = ms->at;
	ms->left = ms->members - (ms->mode == MESSAGE_ONE ? 3 : 2);
	ms->step = IN_OPTION;
	return 0;
}

static int
in_option(struct message_scan *ms, struct bytes have)
{
	size_t max = ms->mode == MESSAGE_ONE ? METADATA_MAX :
	    MESSAGE_OPTION_MAX;
	int r;

	r = pass(ms, have);
	if (r == -EAGAIN && ms->need - ms->option.at > max)
		r = -EMSGSIZE;
	if (r < 0)
		return r;
	ms->option.n = ms->at - ms->option.at;
	if (ms->option.n > max)
		return -EMSGSIZE;
	ms->step = AT_END;
	return 0;
}

static int
step(struct message_scan *ms, struct bytes have)
{
	switch ((enum step)ms->step) {
	case AT_ARRAY:		return at_array(ms, have);
	case AT_TAG:		return at_tag(ms, have);
	case AT_BODY:		return at_body(ms, have);
	case IN_ENTRIES:	return in_entries(ms, have);
	case IN_RECORD:		return in_record(ms, have);
	case AT_OPTION:		return at_option(ms);
	case IN_OPTION:		return in_option(ms, have);
	case AT_END:		break;
	}
	must(ms->step != AT_END);
	return -EBADMSG;
}

/* ---- the option map ---- */

/* str or bin of 1 to MESSAGE_ID_MAX bytes; nil and "" ask for no answer. */
static int
option_chunk(struct bytes value, struct message *msg)
{
	struct mp m = mp_of(value);
	struct mp_item it;

	if (mp_next(&m, &it) < 0)
		return -EBADMSG;
	if (it.type == MP_NIL)
		return 0;
	if (it.type != MP_STR && it.type != MP_BIN)
		return -EBADMSG;
	if (it.s.n > MESSAGE_ID_MAX)
		return -EMSGSIZE;
	if (it.s.n > 0)
		msg->chunk = value;
	return 0;
}

/*
 * "text" is Fluentd's word for plain.  A word we do not know is no reason to
 * refuse what may be readable: the magic decides, as in Fluent Bit.
 */
static int
option_compressed(struct bytes value, struct message *msg)
{
	struct mp m = mp_of(value);
	struct bytes word, b = msg->body;

	if (mp_str(&m, &word) < 0 || bytes_eq(word, BYTES("text")))
		return 0;
	if (bytes_eq(word, BYTES("gzip")))
		msg->packing = PACKED_GZIP;
	else if (bytes_eq(word, BYTES("zstd")))
		msg->packing = PACKED_ZSTD;
	else if (b.n >= 2 && b.p[0] == 0x1f && b.p[1] == 0x8b)
		msg->packing = PACKED_GZIP;
	else if (b.n >= 4 && memcmp(b.p, "\x28\xb5\x2f\xfd", 4) == 0)
		msg->packing = PACKED_ZSTD;
	return 0;
}

static int
option_pair(struct bytes key, struct bytes value, struct message *msg)
{
	struct mp m = mp_of(value);
	struct mp_item it;
	uint64_t u;

	if (bytes_eq(key, BYTES("chunk")))
		return option_chunk(value, msg);
	if (bytes_eq(key, BYTES("compressed")))
		return msg->mode == MESSAGE_PACKED ?
		    option_compressed(value, msg) : 0;
	if (bytes_eq(key, BYTES("size"))) {
		if (mp_uint(&m, &u) == 0)
			msg->size = u;
	} else if (bytes_eq(key, BYTES("fluent_signal"))) {
		if (mp_uint(&m, &u) < 0)
			return -EBADMSG;
		msg->signal = u < UINT8_MAX ? (uint8_t)u : UINT8_MAX;
	} else if (bytes_eq(key, BYTES("metadata"))) {
		if (mp_next(&m, &it) == 0 && it.type == MP_MAP)
			msg->metadata = value;
	} else if (bytes_eq(key, BYTES("emplog"))) {
		if (mp_next(&m, &it) < 0 || it.type != MP_MAP)
			return -EBADMSG;
		msg->emplog = value;
	}
	return 0;
}

static int
read_option(struct bytes option, struct message *msg)
{
	struct mp k, m = mp_of(option);
	struct bytes key, value;
	struct mp_item it;
	uint32_t pairs;
	int r;

	if (option.n == 0)
		return 0;
	r = mp_next(&m, &it);
	if (r < 0 || (it.type != MP_MAP && it.type != MP_NIL))
		return -EBADMSG;
	for (pairs = it.type == MP_MAP ? it.count : 0; pairs > 0; pairs--) {
		k = m;
		if (mp_skip(&m) < 0 || mp_value(&m, &value) < 0)
			return -EBADMSG;
		if (mp_str(&k, &key) < 0)
			continue;	/* no key of ours */
		r = option_pair(key, value, msg);
		if (r < 0)
			return r;
	}
	return 0;
}

static struct bytes
span(struct bytes have, struct message_span s)
{
	return bytes_of(have.p + s.at, s.n);
}

int
message_scan(struct message_scan *ms, struct bytes have,
    struct message *ret_message)
{
	struct message msg;
	int r;

	must(ms->max > 0);
	must(have.n >= ms->at);
	while (ms->step != AT_END) {
		r = step(ms, have);
		if (r < 0)
			return r;
	}
	msg = (struct message){
		.mode = (enum message_mode)ms->mode, .bytes = ms->at,
		.tag = span(have, ms->tag), .body = span(have, ms->body),
		.time = span(have, ms->time), .record = span(have, ms->record),
	};
	r = read_option(span(have, ms->option), &msg);
	if (r < 0)
		return r;
	*ret_message = msg;
	return 0;
}

/* ---- Message mode as an entry ---- */

size_t
message_entry_bytes(const struct message *m)
{
	/* two array headers, an EventTime */
	return 2 + 10 + m->time.n + m->metadata.n + m->record.n;
}

static bool
no_time(struct bytes time)
{
	struct mp m = mp_of(time);
	struct mp_item it;

	return mp_next(&m, &it) == 0 &&
	    (it.type == MP_NIL || (it.type == MP_UINT && it.u == 0));
}

void
message_entry(const struct message *m, uint64_t now_ns, struct mpw *w)
{
	must(m->mode == MESSAGE_ONE);
	mpw_array(w, 2);
	if (m->metadata.n > 0)
		mpw_array(w, 2);
	if (no_time(m->time))
		mpw_event_time(w, now_ns);
	else
		mpw_raw(w, m->time);
	mpw_raw(w, m->metadata);
	mpw_raw(w, m->record);
}
