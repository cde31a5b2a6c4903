/* SPDX-License-Identifier: ISC */
/* wire.c - messages and answers between emplogds; contract in wire.h */

#include "hop/wire.h"

#include <errno.h>
#include <xxhash.h>

#include "base/must.h"
#include "banned.h"

/* 16 bytes as 22 digits and two '=' */
static void
base64_16(const uint8_t in[16], uint8_t out[WIRE_ID_LEN])
{
	static const char digit[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t v;
	unsigned i, o = 0;

	for (i = 0; i < 15; i += 3) {
		v = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 |
		    in[i + 2];
		out[o++] = (uint8_t)digit[v >> 18];
		out[o++] = (uint8_t)digit[v >> 12 & 63];
		out[o++] = (uint8_t)digit[v >> 6 & 63];
		out[o++] = (uint8_t)digit[v & 63];
	}
	out[o++] = (uint8_t)digit[in[15] >> 2];
	out[o++] = (uint8_t)digit[(in[15] & 3) << 4];
	out[o++] = '=';
	out[o++] = '=';
}

void
wire_id(const struct chunk *c, uint8_t ret_id[WIRE_ID_LEN])
{
	uint8_t range[STREAM_ID_LEN + 16];
	XXH128_canonical_t canon;

	memcpy(range, c->stream, STREAM_ID_LEN);
	le64_put(range + STREAM_ID_LEN, c->from);
	le64_put(range + STREAM_ID_LEN + 8, c->to);
	XXH128_canonicalFromHash(&canon, XXH3_128bits(range, sizeof(range)));
	base64_16(canon.digest, ret_id);
}

static void
put_tag(struct mpw *w, const char *agent_id)
{
	char tag[8 + WIRE_AGENT_MAX] = "emplog.";
	size_t n = strlen(agent_id);

	must(n <= WIRE_AGENT_MAX);
	memcpy(tag + 7, agent_id, n);
	mpw_str(w, bytes_of(tag, 7 + n));
}

size_t
wire_head(uint8_t p[WIRE_HEAD_MAX], const char *agent_id, size_t body_bytes)
{
	struct mpw w = { p, p + WIRE_HEAD_MAX, false };

	must(body_bytes <= UINT32_MAX);
	mpw_array(&w, 3);
	put_tag(&w, agent_id);
	mpw_bin_head(&w, (uint32_t)body_bytes);
	must(!w.full);
	return (size_t)(w.p - p);
}

static void
put_emplog(struct mpw *w, const struct chunk *c, uint64_t good)
{
	bool backlog = (c->flags & CHUNK_BACKLOG) != 0;
	bool broken = (c->flags & CHUNK_BROKEN) != 0;

	mpw_str(w, BYTES("emplog"));
	mpw_map(w, 3 + (c->encoding != 0) + backlog + (c->taken_ns != 0) +
	    broken + (good != WIRE_ALL) + (c->identity.n > 0));
	mpw_str(w, BYTES("v"));
	mpw_uint(w, WIRE_VERSION);
	mpw_str(w, BYTES("s"));
	mpw_bin(w, bytes_of(c->stream, STREAM_ID_LEN));
	mpw_str(w, BYTES("f"));
	mpw_uint(w, c->from);
	if (c->encoding != 0) {
		mpw_str(w, BYTES("e"));
		mpw_uint(w, c->encoding);
	}
	if (backlog) {
		mpw_str(w, BYTES("b"));
		mpw_bool(w, true);
	}
	if (c->taken_ns != 0) {
		mpw_str(w, BYTES("t"));
		mpw_uint(w, c->taken_ns);
	}
	if (broken) {
		mpw_str(w, BYTES("q"));
		mpw_bool(w, true);
	}
	if (good != WIRE_ALL) {
		mpw_str(w, BYTES("g"));
		mpw_uint(w, good);
	}
	if (c->identity.n > 0) {
		mpw_str(w, BYTES("i"));
		mpw_raw(w, c->identity);
	}
}

size_t
wire_tail(uint8_t p[WIRE_TAIL_MAX], const struct chunk *c,
    const uint8_t id[WIRE_ID_LEN], uint64_t good)
{
	struct mpw w = { p, p + WIRE_TAIL_MAX, false };

	must(c->identity.n <= IDENTITY_MAX);
	mpw_map(&w, 3);
	mpw_str(&w, BYTES("chunk"));	/* first: Fluent Bit wants it so */
	mpw_str(&w, bytes_of(id, WIRE_ID_LEN));
	mpw_str(&w, BYTES("fluent_signal"));
	mpw_uint(&w, c->signal);
	put_emplog(&w, c, good);
	must(!w.full);
	return (size_t)(w.p - p);
}

size_t
wire_control(uint8_t p[WIRE_CONTROL_MAX], const char *agent_id,
    const uint8_t *stream)
{
	struct mpw w = { p, p + WIRE_CONTROL_MAX, false };

	mpw_array(&w, 3);
	put_tag(&w, agent_id);
	mpw_bin(&w, bytes_of(NULL, 0));
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("emplog"));
	mpw_map(&w, stream == NULL ? 1 : 3);
	mpw_str(&w, BYTES("v"));
	mpw_uint(&w, WIRE_VERSION);
	if (stream != NULL) {
		mpw_str(&w, BYTES("s"));
		mpw_bin(&w, bytes_of(stream, STREAM_ID_LEN));
		mpw_str(&w, BYTES("end"));
		mpw_bool(&w, true);
	}
	must(!w.full);
	return (size_t)(w.p - p);
}

size_t
wire_ack(uint8_t p[WIRE_ACK_MAX], struct bytes chunk, bool told,
    uint64_t records)
{
	struct mpw w = { p, p + WIRE_ACK_MAX, false };

	mpw_map(&w, told ? 2 : 1);
	mpw_str(&w, BYTES("ack"));
	mpw_raw(&w, chunk);
	if (told) {
		mpw_str(&w, BYTES("n"));
		mpw_uint(&w, records);
	}
	must(!w.full);
	return (size_t)(w.p - p);
}

bool
wire_is_ping(struct bytes have)
{
	struct mp m = mp_of(have);
	struct bytes word;

	/* [ "PING", hostname, salt, digest, user, digest ] */
	if (have.n < 6 || *m.p++ != 0x96)
		return false;
	return mp_str(&m, &word) == 0 && bytes_eq(word, BYTES("PING"));
}

size_t
wire_pong(uint8_t p[WIRE_PONG_MAX])
{
	struct mpw w = { p, p + WIRE_PONG_MAX, false };

	mpw_array(&w, 5);
	mpw_str(&w, BYTES("PONG"));
	mpw_bool(&w, false);
	mpw_str(&w, BYTES("this port has no shared key: leave it out"));
	mpw_str(&w, BYTES(""));
	mpw_str(&w, BYTES(""));
	must(!w.full);
	return (size_t)(w.p - p);
}

/* ---- reading ---- */

static bool
is_str_map(struct bytes map)
{
	struct mp m = mp_of(map);
	struct mp_item it;
	uint32_t n;

	if (map.n > IDENTITY_MAX || mp_map(&m, &n) < 0)
		return false;
	for (n *= 2; n > 0; n--)
		if (mp_next(&m, &it) < 0 || it.type != MP_STR)
			return false;
	return true;
}

static int
read_uint(struct bytes value, uint64_t max, uint64_t *ret)
{
	struct mp m = mp_of(value);
	uint64_t u;

	if (mp_uint(&m, &u) < 0 || u > max)
		return -EBADMSG;
	*ret = u;
	return 0;
}

static int
read_bool(struct bytes value, bool *ret)
{
	struct mp m = mp_of(value);
	struct mp_item it;

	if (mp_next(&m, &it) < 0 || it.type != MP_BOOL)
		return -EBADMSG;
	*ret = it.b;
	return 0;
}

static int
read_stream(struct bytes value, struct wire *w)
{
	struct mp m = mp_of(value);
	struct bytes s;

	if (mp_str(&m, &s) < 0 || s.n != STREAM_ID_LEN)
		return -EBADMSG;
	memcpy(w->stream, s.p, STREAM_ID_LEN);
	return 0;
}

static int
read_identity(struct bytes value, struct wire *w)
{
	/*
	 * It came from a producer, who may write anything there: its records
	 * are taken all the same.
	 */
	w->bad_identity = !is_str_map(value);
	w->identity = w->bad_identity ? bytes_of(NULL, 0) : value;
	return 0;
}

static int
read_pair(struct bytes key, struct bytes value, struct wire *w)
{
	uint64_t u;
	int r;

	if (bytes_eq(key, BYTES("end")))
		return read_bool(value, &w->end);
	if (key.n != 1)
		return 0;
	switch (key.p[0]) {
	case 'v':
		r = read_uint(value, UINT64_MAX, &u);
		return r == 0 && u != WIRE_VERSION ? -EPROTO : r;
	case 's': return read_stream(value, w);
	case 'f': return read_uint(value, UINT64_MAX, &w->from);
	case 't': return read_uint(value, UINT64_MAX, &w->taken_ns);
	case 'g': return read_uint(value, UINT64_MAX, &w->good);
	case 'b': return read_bool(value, &w->backlog);
	case 'q': return read_bool(value, &w->broken);
	case 'i': return read_identity(value, w);
	case 'e':
		r = read_uint(value, ENC_OTLP, &u);
		if (r == 0)
			w->encoding = (uint8_t)u;
		return r;
	default: return 0;
	}
}

int
wire_read(struct bytes map, struct wire *ret_wire)
{
	struct wire w = { .good = WIRE_ALL };
	struct mp k, m = mp_of(map);
	struct bytes key, value;
	uint32_t pairs;
	int r;

	if (mp_map(&m, &pairs) < 0)
		return -EBADMSG;
	for (; pairs > 0; pairs--) {
		k = m;
		if (mp_skip(&m) < 0 || mp_value(&m, &value) < 0)
			return -EBADMSG;
		if (mp_str(&k, &key) < 0)
			continue;
		r = read_pair(key, value, &w);
		if (r < 0)
			return r;
	}
	*ret_wire = w;
	return 0;
}

int
wire_read_ack(struct mp *m, struct bytes *ret_id, uint64_t *ret_records)
{
	struct bytes answer, id;
	struct mp at = *m, v;
	uint64_t n = 0;
	int r;

	r = mp_value(&at, &answer);
	if (r < 0)
		return r == -EAGAIN ? r : -EBADMSG;
	if (mp_find(mp_of(answer), "ack", &v) < 0 || mp_str(&v, &id) < 0)
		return -EBADMSG;
	if (mp_find(mp_of(answer), "n", &v) == 0 && mp_uint(&v, &n) < 0)
		n = 0;
	*m = at;
	*ret_id = id;
	*ret_records = n;
	return 0;
}
