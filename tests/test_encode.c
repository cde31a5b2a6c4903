/* SPDX-License-Identifier: ISC */
/*
 * test_encode.c - the bytes of a record, read back by msgpack-c
 *
 * Claimed: every type and length comes back as it went in; no more is written
 * than was reserved; long texts, payloads, tokens and secret keys are
 * replaced as text.h says, at their limits; nothing is cut inside a character
 * or a token.
 */
#include <check.h>
#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "shm/encode.h"

static uint8_t *buf;
static msgpack_unpacked un;
static struct text_notes notes;
static uint64_t worst, actual;
#define BUF_BYTES	(4u << 20)
#define LIMIT		(256u << 10)

static void
setup(void)
{
	buf = malloc(BUF_BYTES);
	memset(&notes, 0, sizeof(notes));
	msgpack_unpacked_init(&un);
}

static void
teardown(void)
{
	msgpack_unpacked_destroy(&un);
	free(buf);
}

static struct encode_in
record(const char *message, const struct emplog_field *f, size_t n)
{
	return (struct encode_in){ .wall_ns = 1700000000123456789u,
	    .level = EMPLOG_INFO, .message = message,
	    .message_len = strlen(message), .fields = f, .n = n };
}

/* Encodes and unpacks; the bytes behind the reservation stay as they were. */
static const msgpack_object_map *
encode(const struct encode_in *in, uint64_t limit)
{
	const msgpack_object *o = &un.data;
	size_t cap, off = 0;
	uint8_t *end;

	worst = encode_worst(in, limit, &cap);
	ck_assert_uint_le(worst, limit);
	memset(buf + worst, 0xc1, 64);
	end = encode_put(buf, in, cap, &notes);
	actual = (uint64_t)(end - buf);
	ck_assert_uint_le(actual, worst);
	ck_assert_uint_eq(buf[worst], 0xc1);
	ck_assert_int_eq(msgpack_unpack_next(&un, (char *)buf, actual, &off),
	    MSGPACK_UNPACK_SUCCESS);
	ck_assert_uint_eq(off, actual);
	ck_assert_int_eq(o->type, MSGPACK_OBJECT_ARRAY);
	ck_assert_uint_eq(o->via.array.size, 2);
	ck_assert_int_eq(o->via.array.ptr[1].type, MSGPACK_OBJECT_MAP);
	return &o->via.array.ptr[1].via.map;
}

static const msgpack_object *
get(const msgpack_object_map *m, const char *key)
{
	uint32_t i;

	for (i = 0; i < m->size; i++)
		if (m->ptr[i].key.via.str.size == strlen(key) &&
		    memcmp(m->ptr[i].key.via.str.ptr, key, strlen(key)) == 0)
			return &m->ptr[i].val;
	return NULL;
}

static bool
is_str(const msgpack_object *o, const char *s, size_t n)
{
	return o != NULL && o->type == MSGPACK_OBJECT_STR &&
	    o->via.str.size == n && memcmp(o->via.str.ptr, s, n) == 0;
}

#define ck_str(o, s)	ck_assert(is_str(o, s, strlen(s)))

/* How text comes out of a field. */
static const msgpack_object *
text_of(const char *s, size_t n)
{
	static struct emplog_field f;
	struct encode_in in = record("m", &f, 1);

	f = EMPLOG_STRN("text", s, n);
	return get(encode(&in, LIMIT), "text");
}

START_TEST(a_record_is_eventtime_and_map_level_and_message_first)
{
	static const uint8_t front[] = { 0x92, 0xd7, 0x00,
	    0x65, 0x53, 0xf1, 0x00, 0x07, 0x5b, 0xcd, 0x15, 0xde, 0, 2 };
	struct encode_in in = record("hello", NULL, 0);
	const msgpack_object_map *m = encode(&in, LIMIT);

	ck_assert_mem_eq(buf, front, sizeof(front));
	ck_str(&m->ptr[0].key, "level");
	ck_str(&m->ptr[0].val, "info");
	ck_str(&m->ptr[1].key, "message");
	ck_str(&m->ptr[1].val, "hello");
}
END_TEST

START_TEST(every_level_has_its_name)
{
	static const char *const name[] = { "trace", "debug", "info", "warn",
	    "error", "fatal" };
	struct encode_in in = record("m", NULL, 0);

	for (in.level = EMPLOG_TRACE; in.level <= EMPLOG_FATAL; in.level++)
		ck_str(get(encode(&in, LIMIT), "level"), name[in.level]);
}
END_TEST

START_TEST(integers_come_back_at_every_edge)
{
	static const int64_t v[] = { 0, 1, 127, 128, 255, 256, 65535, 65536,
	    UINT32_MAX, (int64_t)UINT32_MAX + 1, INT64_MAX, -1, -32, -33,
	    -128, -129, -32768, -32769, INT32_MIN, (int64_t)INT32_MIN - 1,
	    INT64_MIN };
	struct emplog_field f = { 0 };
	struct encode_in in = record("m", &f, 1);
	const msgpack_object *o;
	size_t i;

	for (i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		f = EMPLOG_INT("n", v[i]);
		o = get(encode(&in, LIMIT), "n");
		ck_assert_int_eq(o->type, v[i] < 0 ?
		    MSGPACK_OBJECT_NEGATIVE_INTEGER :
		    MSGPACK_OBJECT_POSITIVE_INTEGER);
		ck_assert_int_eq(o->via.i64, v[i]);
	}
	f = EMPLOG_UINT("n", UINT64_MAX);
	ck_assert_uint_eq(get(encode(&in, LIMIT), "n")->via.u64, UINT64_MAX);
}
END_TEST

START_TEST(the_other_types_come_back)
{
	const struct emplog_field f[] = {
		EMPLOG_DOUBLE("d", -0.1), EMPLOG_BOOL("t", true),
		EMPLOG_BOOL("f", 256), EMPLOG_BYTES("b", "\0\1\2", 3),
		EMPLOG_STR("s", NULL), EMPLOG_STR("e", ""),
		{ .key = "nil", .key_len = 3, .type = EMPLOG_T_NULL },
		{ .key = "odd", .key_len = 3, .type = 99 },
		EMPLOG_DOUBLE("nan", NAN),
	};
	struct encode_in in = record("m", f, 9);
	const msgpack_object_map *m = encode(&in, LIMIT);

	ck_assert_uint_eq(m->size, 11);
	ck_assert(get(m, "d")->via.f64 == -0.1);
	ck_assert(get(m, "t")->via.boolean);
	ck_assert(get(m, "f")->via.boolean);	/* any number that is not 0 */
	ck_assert_int_eq(get(m, "b")->type, MSGPACK_OBJECT_BIN);
	ck_assert_mem_eq(get(m, "b")->via.bin.ptr, "\0\1\2", 3);
	ck_assert_int_eq(get(m, "s")->type, MSGPACK_OBJECT_NIL);
	ck_str(get(m, "e"), "");
	ck_assert_int_eq(get(m, "nil")->type, MSGPACK_OBJECT_NIL);
	ck_assert_int_eq(get(m, "odd")->type, MSGPACK_OBJECT_NIL);
	ck_assert(isnan(get(m, "nan")->via.f64));
}
END_TEST

START_TEST(texts_and_keys_of_every_length_come_back)
{
	char key[300], value[300];
	struct emplog_field f = { 0 };
	struct encode_in in = record("m", &f, 1);
	const msgpack_object_map *m;
	unsigned n, keep;

	for (n = 0; n < sizeof(key); n++) {
		memset(key, 'a' + (int)(n % 10), n);
		/* Spaces: a run of letters this long is a payload. */
		memset(value, ' ', n);
		if (n > 0)
			value[n - 1] = '!';
		f = EMPLOG_STRN("", value, n);
		f.key = key;
		f.key_len = n;
		m = encode(&in, LIMIT);
		keep = n < 255 ? n : 255;
		ck_assert(is_str(&m->ptr[2].key, key, keep));
		ck_assert(is_str(&m->ptr[2].val, value, n));
	}
	ck_assert_uint_eq(notes.shortened, 0);
}
END_TEST

START_TEST(fields_at_every_edge_of_a_page_are_read_within_it)
{
	/* The copy of short texts may not read one byte too many. */
	char *exact;
	unsigned n;

	for (n = 1; n < 64; n++) {
		exact = malloc(n);	/* ASan sees the ends */
		memset(exact, 'r', n);
		ck_assert(is_str(text_of(exact, n), exact, n));
		free(exact);
	}
}
END_TEST

static struct emplog_field nest[32];

static struct encode_in
nested(unsigned depth)
{
	unsigned i;

	nest[depth] = EMPLOG_INT("leaf", 7);
	for (i = depth; i-- > 0;)
		nest[i] = i % 2 == 0 ? EMPLOG_MAP("in", &nest[i + 1], 1) :
		    EMPLOG_ARRAY("in", &nest[i + 1], 1);
	return record("m", nest, 1);
}

static const msgpack_object *
descend(const msgpack_object *o)
{
	while (o->type == MSGPACK_OBJECT_MAP ||
	    o->type == MSGPACK_OBJECT_ARRAY)
		o = o->type == MSGPACK_OBJECT_MAP ? &o->via.map.ptr[0].val :
		    &o->via.array.ptr[0];
	return o;
}

START_TEST(nesting_ends_at_16)
{
	struct encode_in in;
	const msgpack_object_map *m;

	in = nested(15);
	m = encode(&in, LIMIT);
	ck_assert_int_eq(descend(&m->ptr[2].val)->via.i64, 7);
	ck_assert_uint_eq(notes.shortened, 0);
	in = nested(16);
	m = encode(&in, LIMIT);
	ck_assert_int_eq(descend(&m->ptr[2].val)->type, MSGPACK_OBJECT_NIL);
	ck_assert_uint_eq(notes.shortened, 1);
	ck_assert(get(m, "truncated")->via.boolean);
}
END_TEST

static char *
words(size_t n)
{
	char *s = malloc(n + 1);
	size_t i;

	for (i = 0; i < n; i++)
		s[i] = i % 7 == 6 ? ' ' : (char)('a' + i % 26);
	s[n] = '\0';
	return s;
}

START_TEST(a_text_over_8k_becomes_head_and_tail_with_its_size)
{
	char *s = words(50000);
	const msgpack_object_map *m;
	struct emplog_field f = { 0 };
	struct encode_in in = record("m", &f, 1);
	const msgpack_object *o;
	size_t half = (TEXT_CAP - 3) / 2;

	ck_assert(is_str(text_of(s, TEXT_CAP - 1), s, TEXT_CAP - 1));
	ck_assert(is_str(text_of(s, TEXT_CAP), s, TEXT_CAP));
	ck_assert_uint_eq(notes.shortened, 0);
	f = EMPLOG_STRN("text", s, TEXT_CAP + 1);
	m = encode(&in, LIMIT);
	o = get(m, "text");
	ck_assert_uint_le(o->via.str.size, TEXT_CAP);
	ck_assert_mem_eq(o->via.str.ptr, s, half);
	ck_assert_mem_eq(o->via.str.ptr + half, "\xe2\x80\xa6", 3);
	ck_assert_mem_eq(o->via.str.ptr + half + 3, s + TEXT_CAP + 1 - half,
	    half);
	ck_assert(get(m, "truncated")->via.boolean);
	ck_assert_uint_eq(get(m, "original_size")->via.u64, TEXT_CAP + 1);
	ck_assert_uint_eq(notes.shortened, 1);
	f = EMPLOG_STRN("text", s, 50000);
	m = encode(&in, LIMIT);
	ck_assert_uint_eq(get(m, "original_size")->via.u64, 50000);
	ck_assert_uint_le(get(m, "text")->via.str.size, TEXT_CAP);
	free(s);
}
END_TEST

static bool
utf8_valid(const char *s, size_t n)
{
	size_t i = 0, k;

	while (i < n) {
		uint8_t c = (uint8_t)s[i];
		size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

		if ((c & 0xc0) == 0x80 || i + len > n)
			return false;
		for (k = 1; k < len; k++)
			if (((uint8_t)s[i + k] & 0xc0) != 0x80)
				return false;
		i += len;
	}
	return true;
}

START_TEST(no_character_is_cut_in_two)
{
	static const char *const unit[] = { "\xc3\xa9", "\xe2\x82\xac",
	    "\xf0\x9f\x98\x80" };
	const msgpack_object *o;
	size_t u, shift, len, n;
	char *s = malloc(20100);

	for (u = 0; u < 3; u++) {
		len = strlen(unit[u]);
		for (shift = 0; shift < 4; shift++) {
			memset(s, '.', 4);
			for (n = shift; n < 20000; n += len)
				memcpy(s + n, unit[u], len);
			o = text_of(s, n);
			ck_assert(utf8_valid(o->via.str.ptr,
			    o->via.str.size));
			ck_assert_uint_gt(o->via.str.size, TEXT_CAP - 16);
		}
	}
	free(s);
}
END_TEST

START_TEST(a_base64_run_of_256_is_shortened_one_of_255_is_not)
{
	const msgpack_object *o;
	char s[1024], want[256];

	memset(s, 'A', sizeof(s));
	memcpy(s, "data:image/png;base64,", 22);
	s[22 + 255] = '"';
	ck_assert(is_str(text_of(s, 300), s, 300));
	ck_assert_uint_eq(notes.shortened, 0);
	s[22 + 255] = 'A';
	s[22 + 256] = '"';
	o = text_of(s, 300);
	memset(want, 'A', sizeof(want));
	memcpy(want, "data:image/png;base64,", 22);
	memcpy(want + 22 + 64, "\xe2\x80\xa6", 3);
	want[22 + 64 + 3 + 16] = '"';
	ck_assert(is_str(o, want, 22 + 64 + 3 + 16 + 22));
	ck_assert_uint_eq(notes.shortened, 1);
	ck_assert_uint_eq(notes.original, 300);
}
END_TEST

START_TEST(a_run_is_found_wherever_it_lies)
{
	const msgpack_object *o;
	size_t at;
	char s[2000];

	for (at = 0; at + 256 <= sizeof(s); at += 37) {
		memset(s, ' ', sizeof(s));
		memset(s + at, 'Q', 256);
		o = text_of(s, sizeof(s));
		ck_assert_uint_eq(o->via.str.size, sizeof(s) - 256 + 83);
	}
}
END_TEST

START_TEST(a_payload_of_3_megabytes_fits_in_a_kilobyte)
{
	const msgpack_object *o;
	char *s = malloc(3u << 20);

	memset(s, 'Z', 3u << 20);
	memcpy(s, "{\"image\":\"", 10);
	memcpy(s + (3u << 20) - 9, "\",\"n\":12}", 9);
	o = text_of(s, 3u << 20);
	ck_assert_uint_lt(o->via.str.size, 1024);
	ck_assert_mem_eq(o->via.str.ptr, s, 10 + 64);
	ck_assert_mem_eq(o->via.str.ptr + o->via.str.size - 8, ",\"n\":12}",
	    8);
	ck_assert_uint_eq(notes.original, 3u << 20);
	free(s);
}
END_TEST

START_TEST(what_follows_bearer_is_replaced)
{
	ck_str(text_of("Bearer eyJhbGciOiJIUzI1NiJ9.e30.x-_~", 36),
	    "Bearer [redacted]");
	ck_str(text_of("GET / bearer abcdefghij; BEARER  0123456789abcdef\n",
	    50), "GET / bearer [redacted]; BEARER  [redacted]\n");
	ck_assert_uint_eq(notes.redacted, 3);
	/* Never longer than it was. */
	ck_str(text_of("Bearer abcdefghi", 16), "Bearer *********");
	ck_str(text_of("Bearer ab", 9), "Bearer **");
	ck_str(text_of("Bearer a", 8), "Bearer *");
	ck_str(text_of("Bearer : nothing", 16), "Bearer : nothing");
	ck_str(text_of("the Bearer ", 11), "the Bearer ");
	ck_str(text_of("Error for you or me", 19), "Error for you or me");
	ck_str(text_of("Bearer", 6), "Bearer");
}
END_TEST

START_TEST(a_token_is_found_at_every_place_and_length)
{
	char s[400], secret[] = "s3cr3t-t0k3n-v4lu3";
	const msgpack_object *o;
	size_t at, n, i;

	for (n = sizeof(secret) + 6; n < sizeof(s); n += 13) {
		for (at = 0; at + 7 + sizeof(secret) - 1 <= n; at++) {
			memset(s, '.', n);
			memcpy(s + at, "Bearer ", 7);
			memcpy(s + at + 7, secret, sizeof(secret) - 1);
			o = text_of(s, n);
			for (i = 0; i + 6 <= o->via.str.size; i++)
				ck_assert_mem_ne(o->via.str.ptr + i, "s3cr3t",
				    6);
		}
	}
}
END_TEST

START_TEST(no_part_of_a_token_survives_a_cut)
{
	const size_t n = 200000;
	char *s = malloc(n + 64);
	const msgpack_object *o;
	size_t at, i;

	/* Around the ends of what is looked at, and of what is kept. */
	for (at = n - 4 * TEXT_CAP - 50; at < n - 4 * TEXT_CAP + 10; at++) {
		memset(s, ',', n);
		memcpy(s + at, " Bearer  Bearer XYZXYZXYZXYZXYZXYZXYZ", 37);
		o = text_of(s, n);
		for (i = 0; i + 3 <= o->via.str.size; i++)
			ck_assert_mem_ne(o->via.str.ptr + i, "XYZ", 3);
	}
	free(s);
}
END_TEST

START_TEST(values_of_secret_keys_are_replaced_whatever_their_case)
{
	static const char *const key[] = { "authorization", "Authorization",
	    "PROXY-AUTHORIZATION", "cookie", "Set-Cookie", "x-api-key",
	    "X-API-Key", "api_key", "apikey", "apiKey", "token",
	    "access_token", "hf_token_write", "TOKEN", "secret",
	    "api-token", "apiToken", "tokenValue", "token2", "a.token",
	    "tokenizer_token", "token_usages_token", "mytoken",
	    "client_secret_v2", "AWS_SECRET_ACCESS_KEY", "password",
	    "db_password", "Passwd" };
	struct emplog_field f = { 0 };
	struct encode_in in = record("m", &f, 1);
	const msgpack_object_map *m;
	size_t i;

	for (i = 0; i < sizeof(key) / sizeof(key[0]); i++) {
		f = EMPLOG_STR(key[i], "hunter2");
		m = encode(&in, LIMIT);
		ck_str(&m->ptr[2].val, "[redacted]");
		f = EMPLOG_BYTES(key[i], "hunter2", 7);
		m = encode(&in, LIMIT);
		ck_str(&m->ptr[2].val, "[redacted]");
	}
	ck_assert_uint_eq(notes.redacted, 2 * i);
}
END_TEST

START_TEST(harmless_keys_and_all_numbers_stay)
{
	static const char *const key[] = { "model", "worker_id", "keyboard",
	    "cookies_n", "author", "crew", "walk", "zone", "wk", "k",
	    "secre", "toke", "passwor", "tok_en", "monkey", "workflow_hash",
	    "a_key_that_is_longer_than_seventeen", "description", "tokens",
	    "max_tokens", "prompt_tokens", "MAX_TOKENS", "tokenizer",
	    "tokenizer_class_name_of_it", "Tokenizer", "TOKENIZER",
	    "token_usage", "token-type", "tokenCount", "token_limit",
	    "TOKEN_RATE", "access_token_expires_at" };
	const struct emplog_field number[] = {
		EMPLOG_INT("prompt_tokens", 41), EMPLOG_UINT("max_tokens", 5),
		EMPLOG_DOUBLE("token_rate", 1.5),
		EMPLOG_BOOL("has_password", true),
	};
	struct emplog_field f = { 0 };
	struct encode_in in = record("m", &f, 1);
	const msgpack_object_map *m;
	size_t i;

	for (i = 0; i < sizeof(key) / sizeof(key[0]); i++) {
		f = EMPLOG_STR(key[i], "plain");
		m = encode(&in, LIMIT);
		ck_str(&m->ptr[2].val, "plain");
	}
	in = record("m", number, 4);
	m = encode(&in, LIMIT);
	ck_assert_int_eq(get(m, "prompt_tokens")->via.i64, 41);
	ck_assert_int_eq(get(m, "max_tokens")->via.i64, 5);
	ck_assert(get(m, "token_rate")->via.f64 == 1.5);
	ck_assert(get(m, "has_password")->via.boolean);
	ck_assert_uint_eq(notes.redacted, 0);
}
END_TEST

/* Literals: what the compiler says of them is what is asked. */
START_TEST(a_literal_key_with_a_secret_word_is_never_plain)
{
	const struct emplog_field f[] = {
		EMPLOG_STR("token", "hunter2"),
		EMPLOG_STR("X_TOKEN", "hunter2"),
		EMPLOG_STR("client_secret", "hunter2"),
		EMPLOG_STR("CLIENT_SECRET", "hunter2"),
		EMPLOG_STR("sEcReT", "hunter2"),
		EMPLOG_STR("db_password", "hunter2"),
		EMPLOG_STR("PASSWD", "hunter2"),
		EMPLOG_STR("Authorization", "hunter2"),
		EMPLOG_STR("Cookie", "hunter2"),
		EMPLOG_STR("set-cookie", "hunter2"),
		EMPLOG_STR("X-API-KEY", "hunter2"),
		EMPLOG_STR("apikey", "hunter2"),
	};
	const size_t n = sizeof(f) / sizeof(f[0]);
	struct encode_in in = record("m", f, n);
	const msgpack_object_map *m = encode(&in, LIMIT);
	size_t i;

	for (i = 0; i < n; i++) {
		ck_assert_uint_eq(f[i].type, EMPLOG_T_STR);
		ck_str(get(m, f[i].key), TEXT_REDACTED);
	}
	ck_assert_uint_eq(notes.redacted, n);
}
END_TEST

START_TEST(a_plain_key_changes_nothing_in_the_record)
{
	const struct emplog_field e[] = { EMPLOG_STR("of", "list") };
	const struct emplog_field in_map[] = {
		EMPLOG_STR("token", "hunter2"),
	};
	struct emplog_field f[] = {
		EMPLOG_STR("event_type", "job_progress"),
		EMPLOG_INT("progress", -3),
		EMPLOG_BYTES("blob", "\1\2", 2),
		EMPLOG_MAP("data", in_map, 1),
		EMPLOG_ARRAY("items", e, 1),
	};
	const size_t n = sizeof(f) / sizeof(f[0]);
	struct encode_in in = record("m", f, n);
	uint8_t first[1024];
	uint64_t len, i;

	for (i = 0; i < n; i++)
		f[i].type |= EMPLOG_KEY_PLAIN;
	(void)encode(&in, LIMIT);
	len = actual;
	ck_assert_uint_le(len, sizeof(first));
	memcpy(first, buf, len);
	ck_assert_uint_eq(notes.redacted, 1);
	for (i = 0; i < n; i++)
		f[i].type &= ~EMPLOG_KEY_PLAIN;
	(void)encode(&in, LIMIT);
	ck_assert_uint_eq(len, actual);
	ck_assert_mem_eq(first, buf, len);
}
END_TEST

START_TEST(secrets_are_found_in_maps_and_arrays)
{
	const struct emplog_field headers[] = {
		EMPLOG_STR("Accept", "*/*"),
		EMPLOG_STR("Authorization", "Basic Zm9vOmJhcg=="),
	};
	const struct emplog_field list[] = {
		EMPLOG_STR("", "one"), EMPLOG_INT("", 2),
	};
	const struct emplog_field f[] = {
		EMPLOG_MAP("request_headers", headers, 2),
		EMPLOG_ARRAY("api_token", list, 2),
	};
	struct encode_in in = record("m", f, 2);
	const msgpack_object_map *m = encode(&in, LIMIT);
	const msgpack_object *o = get(m, "api_token");

	ck_str(get(&get(m, "request_headers")->via.map, "Accept"), "*/*");
	ck_str(get(&get(m, "request_headers")->via.map, "Authorization"),
	    "[redacted]");
	ck_str(&o->via.array.ptr[0], "[redacted]");
	ck_assert_int_eq(o->via.array.ptr[1].via.i64, 2);
}
END_TEST

START_TEST(a_record_over_its_limit_is_shortened_further_then_refused)
{
	struct emplog_field f[600] = { { 0 } };
	struct encode_in in = record("m", f, 0);
	char *s = words(TEXT_CAP);
	size_t cap;

	for (in.n = 0; in.n < 600; in.n++)
		f[in.n] = EMPLOG_STRN("k", s, TEXT_CAP);
	in.n = 8;
	(void)encode_worst(&in, 16384, &cap);
	ck_assert_uint_eq(cap, 512);	/* 8 of 2048 and their heads: more */
	(void)encode(&in, 16384);
	ck_assert_uint_eq(notes.shortened, 8);
	in.n = 280;
	(void)encode(&in, 16384);
	in.n = 600;
	ck_assert_uint_gt(encode_worst(&in, 16384, &cap), 16384);
	free(s);
}
END_TEST

START_TEST(lengths_beyond_reason_do_not_overflow_the_reservation)
{
	/* Two that add up to 0 in 64 bits; the texts are not read that far. */
	char *s = words(100000);
	struct emplog_field f[2] = {
		EMPLOG_STRN("a", s, (size_t)1 << 63),
		EMPLOG_STRN("b", s, (size_t)1 << 63),
	};
	struct encode_in in = record("m", f, 2);
	size_t cap;

	ck_assert_uint_ge(encode_worst(&in, LIMIT, &cap), 2 * TEXT_CAP);
	free(s);
}
END_TEST

START_TEST(extra_pairs_come_verbatim_after_the_fields)
{
	uint8_t extra[2 * ENCODE_PAIR_MAX];
	const struct emplog_field f[] = { EMPLOG_INT("a", 1) };
	const struct emplog_field head[] = { EMPLOG_INT("h", 0) };
	struct encode_in in = record("m", f, 1);
	const msgpack_object_map *m;
	uint8_t *p;

	p = encode_pair(extra, "logger_name", "test");
	p = encode_pair(p, "worker_id", "w-7");
	in.head = head;
	in.n_head = 1;
	in.extra = extra;
	in.extra_len = (uint32_t)(p - extra);
	in.extra_pairs = 2;
	m = encode(&in, LIMIT);
	ck_assert_uint_eq(m->size, 6);
	ck_str(&m->ptr[2].key, "h");
	ck_str(&m->ptr[3].key, "a");
	ck_str(&m->ptr[4].key, "logger_name");
	ck_str(&m->ptr[5].val, "w-7");
}
END_TEST

static uint32_t seed;

static uint32_t
rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* Any fields at all: the bytes are one msgpack object, within the room. */
START_TEST(random_records_are_whole_and_within_their_reservation)
{
	static const char alphabet[] = "aB r Bearer /+=-_.\xc3\xa9\n";
	struct emplog_field f[12] = { { 0 } }, sub[12] = { { 0 } };
	char *text = malloc(40000);
	struct encode_in in;
	unsigned i, j;
	size_t k;

	seed = (uint32_t)_i * 2654435761u + 1;
	for (k = 0; k < 40000; k++)
		text[k] = rnd(50) == 0 ? ' ' :
		    alphabet[rnd(sizeof(alphabet) - 1)];
	for (i = 0; i < 300; i++) {
		for (j = 0; j < 24; j++) {
			struct emplog_field *x = j < 12 ? &sub[j] :
			    &f[j - 12];

			*x = EMPLOG_STRN("", text + rnd(1000), rnd(8) == 0 ?
			    rnd(39000) : rnd(400));
			x->key = text + rnd(1000);
			x->key_len = rnd(40);
			x->type = rnd(9);
			if (x->type == EMPLOG_T_MAP ||
			    x->type == EMPLOG_T_ARRAY) {
				x->v.f = j < 12 ? NULL : sub;
				x->len = j < 12 ? 0 : rnd(13);
			}
		}
		in = record("message", f, rnd(13));
		(void)encode(&in, LIMIT);
	}
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("encode");
	TCase *t = tcase_create("encode");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t,
	    a_record_is_eventtime_and_map_level_and_message_first);
	tcase_add_test(t, every_level_has_its_name);
	tcase_add_test(t, integers_come_back_at_every_edge);
	tcase_add_test(t, the_other_types_come_back);
	tcase_add_test(t, texts_and_keys_of_every_length_come_back);
	tcase_add_test(t, fields_at_every_edge_of_a_page_are_read_within_it);
	tcase_add_test(t, nesting_ends_at_16);
	tcase_add_test(t, a_text_over_8k_becomes_head_and_tail_with_its_size);
	tcase_add_test(t, no_character_is_cut_in_two);
	tcase_add_test(t,
	    a_base64_run_of_256_is_shortened_one_of_255_is_not);
	tcase_add_test(t, a_run_is_found_wherever_it_lies);
	tcase_add_test(t, a_payload_of_3_megabytes_fits_in_a_kilobyte);
	tcase_add_test(t, what_follows_bearer_is_replaced);
	tcase_add_test(t, a_token_is_found_at_every_place_and_length);
	tcase_add_test(t, no_part_of_a_token_survives_a_cut);
	tcase_add_test(t,
	    values_of_secret_keys_are_replaced_whatever_their_case);
	tcase_add_test(t, harmless_keys_and_all_numbers_stay);
	tcase_add_test(t, a_literal_key_with_a_secret_word_is_never_plain);
	tcase_add_test(t, a_plain_key_changes_nothing_in_the_record);
	tcase_add_test(t, secrets_are_found_in_maps_and_arrays);
	tcase_add_test(t,
	    a_record_over_its_limit_is_shortened_further_then_refused);
	tcase_add_test(t,
	    lengths_beyond_reason_do_not_overflow_the_reservation);
	tcase_add_test(t, extra_pairs_come_verbatim_after_the_fields);
	tcase_add_loop_test(t,
	    random_records_are_whole_and_within_their_reservation, 0, 20);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
