/* SPDX-License-Identifier: ISC */
/*
 * test_otlp.c - records of many chunks as one request
 *
 * Claimed: every limit of Dash0 one below, at and one above; a call that
 * does not fit leaves the batch as it was; nothing is lost without a count.
 * Requests are looked at in their JSON form; that protobuf says the same is
 * t0410-otlp-decoder.sh's claim.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "forward/mp.h"
#include "otlp/otlp.h"
#include "otlp/pb.h"
#include "tests/pack_json.h"

#define NOW	UINT64_C(1754920945000000000)
#define CAP	(4u << 20)

static struct env env;
static struct otlp_conf conf;
static struct otlp_batch *batch;
static uint8_t body[2u << 20], id_mem[IDENTITY_MAX];
static struct mpw w;
static json_t *request;

static void
begin(void)
{
	env_init(&env, NULL, "test");
	conf = (struct otlp_conf){
		.limits = OTLP_DASH0, .format = OTLP_JSON
	};
	w = (struct mpw){ body, body + sizeof(body), false };
}

static void
end(void)
{
	json_decref(request);
	request = NULL;
	otlp_batch_free(&batch);
	env_fini(&env);
}

static void
open_batch(size_t cap)
{
	otlp_batch_free(&batch);
	ck_assert_int_eq(otlp_batch_new(&batch, &env, &conf, cap), 0);
}

/* The entry's head; the caller writes a map behind it. */
static void
entry(uint64_t ns)
{
	mpw_array(&w, 2);
	mpw_event_time(&w, ns);
}

static void
entry_json(const char *record)
{
	json_t *v = json_loads(record, JSON_ALLOW_NUL, NULL);

	ck_assert_msg(v != NULL, "%s", record);
	entry(NOW);
	pack_json(&w, v);
	json_decref(v);
}

/* What was written since the last call. */
static struct chunk
chunk(const char *identity)
{
	struct chunk c = { .from = 1000, .taken_ns = NOW };
	struct mpw i = { id_mem, id_mem + sizeof(id_mem), false };
	json_t *v = json_loads(identity, 0, NULL);

	pack_json(&i, v);
	json_decref(v);
	ck_assert(!w.full && !i.full);
	c.identity = bytes_of(id_mem, (size_t)(i.p - id_mem));
	c.body[0] = bytes_of(body, (size_t)(w.p - body));
	c.to = c.from + c.body[0].n;
	w.p = body;
	return c;
}

static int
add(const char *identity)
{
	struct chunk c = chunk(identity);

	return otlp_batch_add(batch, &c, 0, UINT32_MAX, NOW);
}

static json_t *
finished(void)
{
	struct bytes b = otlp_batch_finish(batch);
	json_error_t e;

	json_decref(request);
	request = json_loadb((const char *)b.p, b.n, JSON_REJECT_DUPLICATES,
	    &e);
	ck_assert_msg(request != NULL, "%s at %d", e.text, e.position);
	return request;
}

static json_t *
group(size_t resource)
{
	return json_array_get(json_object_get(request, "resourceLogs"),
	    resource);
}

/* The one record of a fresh batch that holds what was written. */
static json_t *
only_record(void)
{
	json_t *records;

	open_batch(CAP);
	ck_assert_int_eq(add("{}"), 0);
	finished();
	records = json_object_get(json_array_get(json_object_get(group(0),
	    "scopeLogs"), 0), "logRecords");
	ck_assert_uint_eq(json_array_size(records), 1);
	return json_array_get(records, 0);
}

static json_t *
attr(json_t *record, const char *key)
{
	json_t *a;
	size_t i;

	json_array_foreach(json_object_get(record, "attributes"), i, a)
		if (strcmp(json_string_value(json_object_get(a, "key")),
		    key) == 0)
			return json_object_get(a, "value");
	return NULL;
}

static const char *
text(json_t *value)
{
	return json_string_value(json_object_get(value, "stringValue"));
}

static size_t
attrs_n(json_t *record)
{
	return json_array_size(json_object_get(record, "attributes"));
}

static long long
dropped(json_t *record)
{
	return json_integer_value(json_object_get(record,
	    "droppedAttributesCount"));
}

static size_t
chars(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

/* n times the same character. */
static struct bytes
run_of(const char *c, size_t n)
{
	static char mem[1 << 16];
	size_t len = strlen(c), i;

	ck_assert_uint_le(len * n, sizeof(mem));
	for (i = 0; i < n; i++)
		memcpy(mem + i * len, c, len);
	return bytes_of(mem, len * n);
}

static json_t *
record_of(struct bytes key, struct bytes value)
{
	entry(NOW);
	mpw_map(&w, 1);
	mpw_str(&w, key);
	mpw_str(&w, value);
	return only_record();
}

static const struct otlp_counts *
counts(void)
{
	return otlp_batch_counts(batch);
}

START_TEST(a_body_has_at_most_4096_bytes)
{
	static const struct { size_t n, kept; } at[] = {
		{ 4095, 4095 }, { 4096, 4096 }, { 4097, 4096 }
	};
	const char *s;
	size_t i;

	for (i = 0; i < 3; i++) {
		s = text(json_object_get(record_of(BYTES("message"),
		    run_of("x", at[i].n)), "body"));
		ck_assert_uint_eq(strlen(s), at[i].kept);
		ck_assert_uint_eq(counts()->cut, at[i].n > 4096);
	}
	/* 1365 characters of three bytes are 4095; one more is 4098. */
	s = text(json_object_get(record_of(BYTES("message"),
	    run_of("\xe2\x82\xac", 1366)), "body"));
	ck_assert_uint_eq(strlen(s), 4095);
}
END_TEST

START_TEST(a_key_has_at_most_128_characters)
{
	static const char *const c[] = { "k", "\xc3\xa4", "\xf0\x9f\x98\x80" };
	json_t *record, *a;
	size_t i, n;

	for (i = 0; i < 3; i++) {
		for (n = 127; n <= 129; n++) {
			record = record_of(run_of(c[i], n), BYTES("v"));
			a = json_array_get(json_object_get(record,
			    "attributes"), 0);
			ck_assert_uint_eq(chars(json_string_value(
			    json_object_get(a, "key"))), n < 128 ? n : 128);
			ck_assert_uint_eq(counts()->cut, n > 128);
		}
	}
}
END_TEST

START_TEST(a_value_has_at_most_2048_characters)
{
	static const char *const c[] = { "v", "\xc3\xa4", "\xf0\x9f\x98\x80" };
	json_t *record;
	size_t i, n;

	for (i = 0; i < 3; i++) {
		for (n = 2047; n <= 2049; n++) {
			record = record_of(BYTES("error"), run_of(c[i], n));
			ck_assert_uint_eq(chars(text(attr(record, "error"))),
			    n < 2048 ? n : 2048);
			ck_assert_uint_eq(counts()->cut, n > 2048);
		}
	}
}
END_TEST

START_TEST(an_event_name_has_at_most_256_characters)
{
	json_t *record;
	size_t n;

	for (n = 255; n <= 257; n++) {
		record = record_of(BYTES("event_type"), run_of("e", n));
		ck_assert_uint_eq(strlen(json_string_value(json_object_get(
		    record, "eventName"))), n < 256 ? n : 256);
		ck_assert_uint_eq(strlen(text(attr(record, "event_type"))), n);
	}
}
END_TEST

static json_t *
record_of_fields(unsigned n)
{
	char key[16];
	unsigned i;

	entry(NOW);
	mpw_map(&w, n);
	for (i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "f%03u", i);
		mpw_str(&w, bytes_str(key));
		mpw_uint(&w, i);
	}
	return only_record();
}

START_TEST(a_record_has_at_most_16_attributes)
{
	json_t *record, *more;
	unsigned n;

	for (n = 15; n <= 16; n++) {
		record = record_of_fields(n);
		ck_assert_uint_eq(attrs_n(record), n);
		ck_assert_ptr_null(attr(record, "emplog.more"));
		ck_assert_uint_eq(counts()->folded, 0);
	}
	record = record_of_fields(17);
	ck_assert_uint_eq(attrs_n(record), 16);
	ck_assert_str_eq(text(attr(record, "emplog.more")),
	    "{\"f015\":15,\"f016\":16}");
	ck_assert_uint_eq(counts()->folded, 2);
	ck_assert_int_eq(dropped(record), 0);

	record = record_of_fields(512);
	more = json_loads(text(attr(record, "emplog.more")), 0, NULL);
	ck_assert_uint_eq(attrs_n(record), 16);
	ck_assert_uint_eq(json_object_size(more), counts()->folded);
	ck_assert_uint_eq(15 + counts()->folded + counts()->dropped, 512);
	ck_assert_int_eq(dropped(record), (long long)counts()->dropped);
	json_decref(more);
}
END_TEST

/* Fifteen small fields, then one whose value has n characters, then one. */
static json_t *
record_that_folds(size_t n)
{
	char key[16];
	unsigned i;

	entry(NOW);
	mpw_map(&w, 17);
	for (i = 0; i < 15; i++) {
		snprintf(key, sizeof(key), "f%03u", i);
		mpw_str(&w, bytes_str(key));
		mpw_nil(&w);
	}
	mpw_str(&w, BYTES("big"));
	mpw_str(&w, run_of("\xc3\xa4", n));
	mpw_str(&w, BYTES("a"));
	mpw_bool(&w, true);
	return only_record();
}

START_TEST(what_is_folded_has_at_most_2048_characters)
{
	const size_t frame = strlen("{\"big\":\"\",\"a\":true}");
	const size_t alone = strlen("{\"big\":\"\"}");
	json_t *record;
	size_t n;

	for (n = 2047; n <= 2049; n++) {
		record = record_that_folds(n - frame);
		ck_assert_uint_eq(chars(text(attr(record, "emplog.more"))),
		    n <= 2048 ? n : n - strlen(",\"a\":true"));
		ck_assert_int_eq(dropped(record), n > 2048);
		ck_assert_uint_eq(counts()->folded, n > 2048 ? 1 : 2);
	}
	/* Too big itself: the other one is folded. */
	record = record_that_folds(2049 - alone);
	ck_assert_str_eq(text(attr(record, "emplog.more")), "{\"a\":true}");
	ck_assert_int_eq(dropped(record), 1);
}
END_TEST

START_TEST(where_nothing_folds_the_sixteenth_attribute_has_the_place)
{
	char key[16];
	json_t *record;
	unsigned i;

	entry(NOW);
	mpw_map(&w, 17);
	for (i = 0; i < 17; i++) {
		snprintf(key, sizeof(key), "f%03u", i);
		mpw_str(&w, bytes_str(key));
		mpw_str(&w, run_of("x", 3000));
	}
	record = only_record();
	ck_assert_uint_eq(attrs_n(record), 16);
	ck_assert_ptr_nonnull(attr(record, "f015"));
	ck_assert_int_eq(dropped(record), 1);
	ck_assert_uint_eq(counts()->dropped, 1);
	ck_assert_uint_eq(counts()->cut, 16);
}
END_TEST

/* A list with one text, whose JSON has n characters. */
static json_t *
record_of_list(size_t n)
{
	entry(NOW);
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("list"));
	mpw_array(&w, 1);
	mpw_str(&w, run_of("\xc3\xa4", n - 4));
	return attr(only_record(), "list");
}

START_TEST(a_list_whose_json_is_too_long_becomes_that_text_cut)
{
	json_t *v;
	size_t n;

	for (n = 2047; n <= 2048; n++) {
		v = record_of_list(n);
		ck_assert_ptr_nonnull(json_object_get(v, "arrayValue"));
		ck_assert_uint_eq(counts()->cut, 0);
	}
	v = record_of_list(2049);
	ck_assert_ptr_nonnull(text(v));
	ck_assert_uint_eq(chars(text(v)), 2048);
	ck_assert_int_eq(memcmp(text(v), "[\"\xc3\xa4", 4), 0);
	ck_assert_uint_eq(counts()->cut, 1);
}
END_TEST

static json_t *
record_of_depth(unsigned depth)
{
	unsigned i;

	entry(NOW);
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("deep"));
	for (i = 0; i < depth; i++)
		mpw_array(&w, 1);
	mpw_uint(&w, 1);
	return attr(only_record(), "deep");
}

START_TEST(what_nests_deeper_than_16_becomes_json_text)
{
	conf.limits = OTLP_NONE;
	ck_assert_ptr_null(text(record_of_depth(15)));
	ck_assert_ptr_null(text(record_of_depth(16)));
	ck_assert_str_eq(text(record_of_depth(17)),
	    "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]");
	ck_assert_str_eq(text(record_of_depth(30)),
	    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
	ck_assert_uint_eq(counts()->cut, 0);
}
END_TEST

static json_t *
record_of_binary(size_t n)
{
	entry(NOW);
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("bin"));
	mpw_bin(&w, run_of("\xff", n));
	return attr(only_record(), "bin");
}

START_TEST(bytes_count_as_the_base64_they_are_shown_as)
{
	ck_assert_ptr_null(text(record_of_binary(1535)));
	ck_assert_ptr_null(text(record_of_binary(1536)));
	ck_assert_uint_eq(strlen(text(record_of_binary(1537))), 2048);
	ck_assert_uint_eq(counts()->cut, 1);
}
END_TEST

START_TEST(without_limits_nothing_is_cut_or_folded)
{
	json_t *record;

	conf.limits = OTLP_NONE;
	record = record_of(BYTES("message"), run_of("x", 50000));
	ck_assert_uint_eq(strlen(text(json_object_get(record, "body"))), 50000);
	record = record_of_fields(512);
	ck_assert_uint_eq(attrs_n(record), 512);
	record = record_of(run_of("k", 1000), run_of("k", 1000));
	ck_assert_uint_eq(attrs_n(record), 1);
	ck_assert_uint_eq(counts()->cut + counts()->folded +
	    counts()->dropped, 0);
}
END_TEST

START_TEST(bytes_that_are_not_utf8_become_replacement_characters)
{
	static const struct { const char *bad, *good; } at[] = {
		{ "a\xff" "b", "a\xef\xbf\xbd" "b" },
		{ "\xc3", "\xef\xbf\xbd" },
		{ "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" },	/* overlong */
		{ "\xed\xa0\x80",				/* surrogate */
		    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xf0\x9f\x98", "\xef\xbf\xbd" },		/* cut off */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		    "\xef\xbf\xbd" },				/* > 10ffff */
		{ "\xe2\x82x", "\xef\xbf\xbdx" },
	};
	json_t *record;
	size_t i;

	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		record = record_of(BYTES("error"), bytes_str(at[i].bad));
		ck_assert_str_eq(text(attr(record, "error")), at[i].good);
		ck_assert_uint_eq(counts()->repaired, 1);
		record = record_of(bytes_str(at[i].bad), BYTES("v"));
		ck_assert_ptr_nonnull(attr(record, at[i].good));
	}
}
END_TEST

START_TEST(texts_inside_a_map_are_repaired_and_counted)
{
	json_t *record;

	entry(NOW);
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("m"));
	mpw_map(&w, 2);
	mpw_str(&w, BYTES("k\xff"));
	mpw_str(&w, BYTES("v\xfe"));
	mpw_str(&w, BYTES("good"));
	mpw_str(&w, BYTES("\xc3\xa4"));
	record = only_record();
	ck_assert_ptr_nonnull(attr(record, "m"));
	ck_assert_uint_eq(counts()->repaired, 2);
}
END_TEST

START_TEST(a_repaired_body_keeps_within_its_bytes)
{
	const char *s;

	s = text(json_object_get(record_of(BYTES("message"),
	    run_of("\xff", 1365)), "body"));
	ck_assert_uint_eq(strlen(s), 4095);
	ck_assert_uint_eq(counts()->cut, 0);
	s = text(json_object_get(record_of(BYTES("message"),
	    run_of("\xff", 1366)), "body"));
	ck_assert_uint_eq(strlen(s), 4095);
	ck_assert_uint_eq(counts()->cut, 1);
}
END_TEST

START_TEST(keys_that_would_become_the_same_are_not_sent_twice)
{
	static char one[200], two[200];
	json_t *record;

	memset(one, 'k', sizeof(one));
	memset(two, 'k', sizeof(two));
	two[150] = 'x';
	entry(NOW);
	mpw_map(&w, 4);
	mpw_str(&w, bytes_of(one, sizeof(one)));
	mpw_uint(&w, 1);
	mpw_str(&w, bytes_of(two, sizeof(two)));
	mpw_uint(&w, 2);
	mpw_str(&w, bytes_of(one, 128));	/* needs no cut */
	mpw_uint(&w, 3);
	mpw_str(&w, bytes_of(one, 127));
	mpw_uint(&w, 4);
	record = only_record();
	ck_assert_uint_eq(attrs_n(record), 2);
	ck_assert_int_eq(dropped(record), 2);
	ck_assert_uint_eq(counts()->dropped, 2);
}
END_TEST

START_TEST(what_an_identity_has_too_much_is_counted)
{
	json_t *resource;

	conf.norm.machine_id = "m1";
	entry_json("{\"message\":\"one\"}");
	entry_json("{\"message\":\"two\"}");
	open_batch(CAP);
	ck_assert_int_eq(add("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,"
	    "\"machine_id\":7,\"f\":1,\"g\":1,\"h\":1,\"i\":1}"), 0);
	ck_assert_uint_eq(otlp_batch_counts(batch)->dropped, 3);
	finished();
	resource = json_object_get(group(0), "resource");
	ck_assert_int_eq(dropped(resource), 3);
	ck_assert_str_eq(text(attr(resource, "machine_id")), "m1");
	ck_assert_ptr_nonnull(attr(resource, "g"));
	ck_assert_ptr_null(attr(resource, "i"));
}
END_TEST

START_TEST(a_record_is_known_by_its_stream_and_position)
{
	struct chunk c;
	json_t *records;
	char want[64];
	size_t first;

	entry_json("{\"message\":\"one\"}");
	first = (size_t)(w.p - body);
	entry_json("{\"message\":\"two\"}");
	c = chunk("{}");
	memset(c.stream, 0xab, sizeof(c.stream));
	open_batch(CAP);
	ck_assert_int_eq(otlp_batch_add(batch, &c, 0, UINT32_MAX, NOW), 0);
	finished();
	records = json_object_get(json_array_get(json_object_get(group(0),
	    "scopeLogs"), 0), "logRecords");
	ck_assert_str_eq(text(attr(json_array_get(records, 0),
	    "log.record.uid")), "abababababababababababababababab:1000");
	snprintf(want, sizeof(want), "abababababababababababababababab:%zu",
	    1000 + first);
	ck_assert_str_eq(text(attr(json_array_get(records, 1),
	    "log.record.uid")), want);
}
END_TEST

START_TEST(a_record_older_than_the_window_is_sent_as_of_now)
{
	const uint64_t window = UINT64_C(21600000000000);
	char want[32];
	json_t *record;
	uint64_t age;

	conf.window_ns = window;
	for (age = window - 1; age <= window + 1; age++) {
		entry(NOW - age);
		mpw_map(&w, 0);
		record = only_record();
		snprintf(want, sizeof(want), "%llu", (unsigned long long)
		    (age > window ? NOW : NOW - age));
		ck_assert_str_eq(json_string_value(json_object_get(record,
		    "timeUnixNano")), want);
		ck_assert_int_eq(attr(record, "emplog.original_time") != NULL,
		    age > window);
		ck_assert_uint_eq(counts()->late, age > window);
	}
	ck_assert_str_eq(text(attr(record, "emplog.original_time")),
	    "2025-08-11T08:02:24.999999999Z");
	/* Its first word stays. */
	entry(NOW - age);
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("emplog.original_time"));
	mpw_str(&w, BYTES("before"));
	record = only_record();
	ck_assert_str_eq(text(attr(record, "emplog.original_time")), "before");
	ck_assert_uint_eq(attrs_n(record), 1);
}
END_TEST

static size_t
scopes_n(size_t resource)
{
	return json_array_size(json_object_get(group(resource), "scopeLogs"));
}

START_TEST(records_share_a_resource_also_across_chunks)
{
	open_batch(CAP);
	entry_json("{\"message\":\"1\"}");
	entry_json("{\"message\":\"2\"}");
	ck_assert_int_eq(add("{\"machine_id\":\"a\"}"), 0);
	entry_json("{\"message\":\"3\",\"machine_id\":\"a\"}");
	entry_json("{\"message\":\"4\",\"logger_name\":\"x\"}");
	entry_json("{\"message\":\"5\",\"logger_name\":\"x\"}");
	entry_json("{\"message\":\"6\"}");
	ck_assert_int_eq(add("{\"machine_id\":\"a\"}"), 0);
	entry_json("{\"message\":\"7\"}");
	ck_assert_int_eq(add("{\"machine_id\":\"b\"}"), 0);
	finished();
	ck_assert_uint_eq(json_array_size(json_object_get(request,
	    "resourceLogs")), 2);
	ck_assert_uint_eq(scopes_n(0), 3);
	ck_assert_uint_eq(scopes_n(1), 1);
	ck_assert_uint_eq(counts()->records, 7);
}
END_TEST

static void
lots(unsigned n, const char *who)
{
	char record[256];
	unsigned i;

	for (i = 0; i < n; i++) {
		snprintf(record, sizeof(record), "{\"message\":\"number %u\","
		    "\"machine_id\":\"%s%u\",\"logger_name\":\"%u\"}", i, who,
		    i / 3, i % 2);
		entry_json(record);
	}
}

/* A repeated field's elements may be told in parts, one after the other. */
START_TEST(requests_of_different_resources_are_the_sum_of_their_parts)
{
	static uint8_t parts[1 << 16];
	size_t n = 0;
	struct bytes b;
	unsigned i;

	conf.format = OTLP_PROTOBUF;
	for (i = 1; i < 40; i += 13) {
		open_batch(CAP);
		lots(i, "a");
		ck_assert_int_eq(add("{}"), 0);
		b = otlp_batch_finish(batch);
		memcpy(parts, b.p, b.n);
		n = b.n;
		open_batch(CAP);
		lots(9, "b");
		ck_assert_int_eq(add("{}"), 0);
		b = otlp_batch_finish(batch);
		memcpy(parts + n, b.p, b.n);
		n += b.n;
		open_batch(CAP);
		lots(i, "a");
		ck_assert_int_eq(add("{}"), 0);
		lots(9, "b");
		ck_assert_int_eq(add("{}"), 0);
		b = otlp_batch_finish(batch);
		ck_assert_uint_eq(b.n, n);
		ck_assert_mem_eq(b.p, parts, n);
	}
}
END_TEST

START_TEST(a_chunk_may_be_added_in_pieces)
{
	static uint8_t whole[1 << 16];
	struct chunk c;
	struct bytes b;
	size_t n;

	conf.format = _i == 0 ? OTLP_PROTOBUF : OTLP_JSON;
	lots(20, "m");
	c = chunk("{}");
	open_batch(CAP);
	ck_assert_int_eq(otlp_batch_add(batch, &c, 0, UINT32_MAX, NOW), 0);
	b = otlp_batch_finish(batch);
	n = b.n;
	memcpy(whole, b.p, n);
	open_batch(CAP);
	ck_assert_int_eq(otlp_batch_add(batch, &c, 0, 7, NOW), 0);
	ck_assert_uint_eq(counts()->records, 7);
	ck_assert_int_eq(otlp_batch_add(batch, &c, 7, 1, NOW), 0);
	ck_assert_int_eq(otlp_batch_add(batch, &c, 8, UINT32_MAX, NOW), 0);
	ck_assert_uint_eq(counts()->records, 20);
	b = otlp_batch_finish(batch);
	ck_assert_uint_eq(b.n, n);
	ck_assert_mem_eq(b.p, whole, n);
}
END_TEST

START_TEST(a_call_that_does_not_fit_leaves_the_batch_as_it_was)
{
	static uint8_t before[1 << 16];
	struct otlp_counts was;
	struct bytes b;
	size_t n, cap;

	conf.format = _i == 0 ? OTLP_PROTOBUF : OTLP_JSON;
	open_batch(CAP);
	lots(4, "a");
	ck_assert_int_eq(add("{}"), 0);
	b = otlp_batch_finish(batch);
	n = b.n;
	memcpy(before, b.p, n);
	/* Wherever the end of the buffer lies in the second call. */
	for (cap = n + 200; cap < n + 1200; cap += 3) {
		open_batch(cap);
		lots(4, "a");
		ck_assert_int_eq(add("{}"), 0);
		was = *counts();
		lots(100, "a");
		ck_assert_int_eq(add("{}"), -ENOSPC);
		ck_assert_mem_eq(&was, counts(), sizeof(was));
		b = otlp_batch_finish(batch);
		ck_assert_uint_eq(b.n, n);
		ck_assert_mem_eq(b.p, before, n);
		ck_assert_uint_le(b.n, cap);
	}
}
END_TEST

START_TEST(a_chunk_too_large_for_an_empty_batch_is_told_apart)
{
	conf.format = _i == 0 ? OTLP_PROTOBUF : OTLP_JSON;
	open_batch(4096);
	lots(100, "a");
	ck_assert_int_eq(add("{}"), -EMSGSIZE);
	ck_assert_uint_eq(counts()->records, 0);
	lots(1, "a");
	ck_assert_int_eq(add("{}"), 0);
	lots(100, "a");
	ck_assert_int_eq(add("{}"), -ENOSPC);
	otlp_batch_reset(batch);
	ck_assert_uint_eq(counts()->records, 0);
	lots(1, "a");
	ck_assert_int_eq(add("{}"), 0);
}
END_TEST

START_TEST(an_empty_batch_is_an_empty_request)
{
	struct bytes b;

	conf.format = OTLP_PROTOBUF;
	open_batch(CAP);
	ck_assert_uint_eq(otlp_batch_finish(batch).n, 0);
	conf.format = OTLP_JSON;
	open_batch(CAP);
	b = otlp_batch_finish(batch);
	ck_assert(bytes_eq(b, BYTES("{\"resourceLogs\":[]}")));
	ck_assert(bytes_eq(otlp_batch_finish(batch), b));
	ck_assert_uint_eq(otlp_batch_len(batch), b.n);
}
END_TEST

START_TEST(marks_are_skipped_and_what_is_no_record_is_counted)
{
	const struct otlp_part *p;
	unsigned n;
	size_t len;

	open_batch(CAP);
	mpw_array(&w, 2);
	mpw_raw(&w, BYTES("\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00"));
	mpw_map(&w, 0);
	entry(NOW);
	mpw_map(&w, 1);
	mpw_uint(&w, 1);
	mpw_uint(&w, 2);
	entry_json("{\"message\":\"good\"}");
	mpw_raw(&w, BYTES("\xc1"));
	len = (size_t)(w.p - body);
	ck_assert_int_eq(add("{}"), 0);
	ck_assert_uint_eq(counts()->marks, 1);
	ck_assert_uint_eq(counts()->bad, 1);
	ck_assert_uint_eq(counts()->records, 2);
	/* Each is in a part: the mark, two records side by side, the rest. */
	p = otlp_batch_parts(batch, &n);
	ck_assert_uint_eq(n, 3);
	ck_assert(p[0].bad && !p[1].bad && p[2].bad);
	ck_assert_uint_eq(p[0].from, 1000);
	ck_assert_uint_eq(p[0].to, p[1].from);
	ck_assert_uint_eq(p[1].to, p[2].from);
	ck_assert_uint_eq(p[2].to, 1000 + len);
	finished();
}
END_TEST

START_TEST(an_add_that_does_not_fit_leaves_the_parts_as_they_were)
{
	char record[200];
	unsigned n, i;
	int r = 0;

	open_batch(2048);
	snprintf(record, sizeof(record), "{\"message\":\"%0150d\"}", 7);
	for (i = 0; i < 50 && r == 0; i++) {
		w.p = body;
		entry_json(record);
		r = add("{}");
	}
	ck_assert_int_eq(r, -ENOSPC);
	/* One stream, the same range again and again: a part each. */
	(void)otlp_batch_parts(batch, &n);
	ck_assert_uint_eq(n, i - 1);
	finished();
}
END_TEST

START_TEST(runs_of_one_environment_are_told)
{
	struct norm_conf c = { .deployment = "conf" };
	struct bytes name;
	struct chunk k;
	uint32_t n;

	entry_json("{\"message\":\"1\"}");
	entry_json("{\"message\":\"2\",\"environment\":\"\"}");
	entry_json("{\"environment\":\"b\",\"deployment_env\":\"a\"}");
	entry_json("{\"deployment_env\":\"a\",\"environment\":\"b\"}");
	entry_json("{\"deployment_env\":7}");
	k = chunk("{\"deployment\":\"lane\"}");
	ck_assert_int_eq(otlp_environment(&c, &k, 0, &name, &n), 0);
	ck_assert(bytes_eq(name, BYTES("lane")));
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(otlp_environment(&c, &k, 2, &name, &n), 0);
	ck_assert(bytes_eq(name, BYTES("a")));
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(otlp_environment(&c, &k, 4, &name, &n), 0);
	ck_assert(bytes_eq(name, BYTES("lane")));
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(otlp_environment(&c, &k, 5, &name, &n), -ENOENT);
	k.identity.n = 0;
	ck_assert_int_eq(otlp_environment(&c, &k, 4, &name, &n), 0);
	ck_assert(bytes_eq(name, BYTES("conf")));
}
END_TEST

static void *
fail_nth(void *arg, size_t n)
{
	int *left = arg;

	return (*left)-- == 0 ? NULL : calloc(1, n);
}

static void
release(void *arg, void *p)
{
	free(p);
}

START_TEST(a_batch_without_memory_is_none)
{
	struct otlp_batch *b = NULL;
	int left, nth;

	env.alloc = fail_nth;
	env.release = release;
	env.mem_arg = &left;
	for (nth = 0; nth < 4; nth++) {
		left = nth;
		ck_assert_int_eq(otlp_batch_new(&b, &env, &conf, CAP),
		    -ENOMEM);
		ck_assert_ptr_null(b);
	}
	left = 4;
	ck_assert_int_eq(otlp_batch_new(&b, &env, &conf, CAP), 0);
	otlp_batch_free(&b);
	otlp_batch_free(&b);
	ck_assert_int_eq(otlp_batch_new(&b, &env, &conf, 255), -EINVAL);
}
END_TEST

static int
answer(const char *hex, uint64_t *rejected, char *message, size_t cap)
{
	uint8_t mem[512];

	return otlp_answer(bytes_of(mem, unhex_json(hex, mem, sizeof(mem))),
	    false, rejected, message, cap);
}

START_TEST(an_answer_is_read)
{
	static const struct {
		const char	*hex;
		int		 res;
		uint64_t	 rejected;
		const char	*message;
	} at[] = {
		{ "", 0, 0, "" },
		{ "0a00", 0, 0, "" },
		{ "0a07080312036f6c64", 0, 3, "old" },
		{ "0a03120177", 0, 0, "w" },
		{ "0a0412026109", 0, 0, "a?" },		/* a control */
		{ "0a03120180", 0, 0, "?" },		/* not UTF-8 */
		{ "1001", 0, 0, "" },			/* of a later version */
		{ "0a02180111" "0000000000000000", 0, 0, "" },
		{ "0a0a08ffffffffffffffff7f", 0, INT64_MAX, "" },
		{ "0a0b08ffffffffffffffffff01", -EBADMSG, 0, "" },
		{ "0a0c08ffffffffffffffffff7f", -EBADMSG, 0, "" },
		{ "0a", -EBADMSG, 0, "" },
		{ "0a01", -EBADMSG, 0, "" },
		{ "0a0712056f6c64", -EBADMSG, 0, "" },
		{ "0801", -EBADMSG, 0, "" },		/* 1 as a varint */
		{ "0a020a00", -EBADMSG, 0, "" },	/* 1.1 as a message */
		{ "0a021001", -EBADMSG, 0, "" },	/* 1.2 as a varint */
		{ "00", -EBADMSG, 0, "" },		/* field 0 */
		{ "0b", -EBADMSG, 0, "" },		/* a group */
		{ "3c68746d6c3e", -EBADMSG, 0, "" },	/* <html> */
		{ "7b7d", -EBADMSG, 0, "" },		/* {} */
		{ "0affffffffffffffffff01", -EBADMSG, 0, "" },
		{ "ffffffffffffffffffff01", -EBADMSG, 0, "" },
	};
	uint64_t rejected;
	char message[64];
	size_t i;

	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		rejected = 0;
		message[0] = '\0';
		ck_assert_msg(answer(at[i].hex, &rejected, message,
		    sizeof(message)) == at[i].res, "%s", at[i].hex);
		ck_assert_msg(rejected == at[i].rejected, "%s", at[i].hex);
		ck_assert_str_eq(message, at[i].message);
	}
}
END_TEST

START_TEST(a_long_message_is_cut_between_characters)
{
	uint64_t rejected;
	char message[4];

	ck_assert_int_eq(answer("0a061204c3a4c3a4", &rejected, message, 4), 0);
	ck_assert_str_eq(message, "\xc3\xa4");
	ck_assert_int_eq(answer("0a061204c3a4c3a4", &rejected, message, 1), 0);
	ck_assert_str_eq(message, "");
}
END_TEST

START_TEST(a_wrong_guess_of_a_length_moves_the_bytes)
{
	static const size_t lens[] = { 0, 1, 127, 128, 129, 16383, 16384 };
	static uint8_t mem[32768], content[16384];
	size_t i, g, width;
	struct pb_mark m;
	struct pb out;

	memset(content, 'c', sizeof(content));
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (g = 0; g < sizeof(lens) / sizeof(lens[0]); g++) {
			out = (struct pb){ mem, mem + sizeof(mem), false };
			m = pb_open(&out, 0x0a, lens[g]);
			memcpy(pb_room(&out, lens[i]), content, lens[i]);
			pb_close(&out, m);
			width = pb_varint_len(lens[i]);
			ck_assert_uint_eq((size_t)(out.p - mem),
			    1 + width + lens[i]);
			ck_assert_mem_eq(mem + 1 + width, content, lens[i]);
		}
	}
	for (i = 0; i < 64; i++) {
		ck_assert_uint_eq(pb_varint_len(UINT64_C(1) << i), i / 7 + 1);
		ck_assert_uint_eq(pb_varint_len((UINT64_C(1) << i) - 1),
		    i == 0 ? 1 : (i - 1) / 7 + 1);
	}
	ck_assert_uint_eq(pb_varint_len(UINT64_MAX), 10);
}
END_TEST

/* One thousand records made at random of what records are made of. */

static uint64_t seed;

static unsigned
pick(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static void
random_text(void)
{
	static const char *const piece[] = {
		"a", "job-", "\xc3\xa4", "\xf0\x9f\x98\x80", "\xff", "\xe2\x82",
		"\n", "\"", "\\", "\x01", "info", "{", "0123456789abcdef"
	};
	char text_mem[8192];
	size_t at = 0, n, most = pick(4) == 0 ? pick(8000) : pick(60);
	const char *p;

	while (at < most) {
		p = piece[pick(sizeof(piece) / sizeof(piece[0]))];
		n = strlen(p);
		memcpy(text_mem + at, p, n);
		at += n;
	}
	mpw_str(&w, bytes_of(text_mem, at));
}

static void
random_value(unsigned depth)
{
	double d;
	unsigned i, n;

	switch (pick(depth == 0 ? 9 : 12)) {
	case 0: mpw_nil(&w); break;
	case 1: mpw_bool(&w, pick(2) == 0); break;
	case 2: mpw_uint(&w, seed >> pick(64)); break;
	case 3: mpw_int(&w, -(int64_t)(seed >> (1 + pick(63)))); break;
	case 4:
		memcpy(&d, &seed, sizeof(d));
		mpw_double(&w, d);
		break;
	case 5: mpw_bin(&w, run_of("\x80", pick(40))); break;
	case 6: mpw_str(&w, BYTES("2025-08-11T14:02:07.118Z")); break;
	case 7: case 8: random_text(); break;
	case 9:
		mpw_array(&w, n = pick(6));
		for (i = 0; i < n; i++)
			random_value(depth - 1);
		break;
	default:
		mpw_map(&w, n = pick(6));
		for (i = 0; i < n; i++) {
			if (pick(3) == 0)
				random_value(depth - 1);
			else
				random_text();
			random_value(depth - 1);
		}
		break;
	}
}

static void
random_key(void)
{
	static const char *const other[] = {
		"0", "1", "2", "", "_", "emplog.more", "jobId", "traceparent",
		"time", "ts", "severity", "msg", "x", "y", "z", "service"
	};

	switch (pick(4)) {
	case 0:
		mpw_str(&w, bytes_str(other[pick(sizeof(other) /
		    sizeof(other[0]))]));
		break;
	case 1: random_text(); break;
	default: mpw_str(&w, field_info[pick(F_COUNT)].name); break;
	}
}

static struct norm norm;

/* What became of the attributes the normaliser has. */
static void
look(json_t *record, uint64_t folded)
{
	json_t *a, *more = attr(record, "emplog.more");
	size_t i, n = attrs_n(record);
	const char *key, *s;
	json_t *seen = json_object();

	ck_assert_uint_le(n, 16);
	json_array_foreach(json_object_get(record, "attributes"), i, a) {
		key = json_string_value(json_object_get(a, "key"));
		ck_assert_msg(json_object_get(seen, key) == NULL, "%s", key);
		json_object_set_new(seen, key, json_true());
		ck_assert_uint_le(chars(key), 128);
		ck_assert_uint_gt(strlen(key), 0);
		s = text(json_object_get(a, "value"));
		if (s != NULL)
			ck_assert_uint_le(chars(s), 2048);
	}
	s = text(json_object_get(record, "body"));
	if (s != NULL)
		ck_assert_uint_le(strlen(s), 4096);
	json_decref(seen);
	if (more != NULL) {
		seen = json_loads(text(more), JSON_ALLOW_NUL |
		    JSON_DECODE_INT_AS_REAL, NULL);
		ck_assert_msg(json_is_object(seen), "%s", text(more));
		json_decref(seen);
	}
	ck_assert_uint_eq(norm.attr_n + norm.lost, n - (more != NULL) +
	    folded + (uint64_t)dropped(record));
}

START_TEST(no_field_of_a_thousand_records_is_lost_without_a_count)
{
	static uint8_t record[1u << 20];
	struct bytes pb;
	struct entry e = { .time_ns = NOW };
	unsigned i, k, n;
	size_t len;
	json_t *r;

	for (i = 0; i < 1000; i++) {
		seed = 88172645463325252u + i * 7919u;
		(void)pick(2);
		conf.norm.names = i % 5 == 4 ? NAMES_OTEL : NAMES_EMP;
		n = pick(pick(3) == 0 ? 60 : 20);
		w.p = body;
		mpw_map(&w, n);
		for (k = 0; k < n; k++) {
			random_key();
			random_value(3);
		}
		ck_assert(!w.full);
		len = (size_t)(w.p - body);
		memcpy(record, body, len);
		e.record = bytes_of(record, len);
		ck_assert_int_eq(norm_record(&norm, &conf.norm, &e,
		    (struct bytes){ 0 }, (struct bytes){ 0 }, NOW), 0);
		w.p = body;
		entry(NOW);
		mpw_raw(&w, e.record);
		conf.format = OTLP_JSON;
		r = only_record();
		look(r, counts()->folded);
		ck_assert_uint_eq(counts()->dropped, (uint64_t)dropped(r));
		/* The other format takes it too, and counts the same. */
		struct otlp_counts json_counts = *counts();

		conf.format = OTLP_PROTOBUF;
		entry(NOW);
		mpw_raw(&w, e.record);
		open_batch(CAP);
		ck_assert_int_eq(add("{}"), 0);
		pb = otlp_batch_finish(batch);
		ck_assert_uint_gt(pb.n, 0);
		ck_assert_mem_eq(&json_counts, counts(), sizeof(json_counts));
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("otlp");
	TCase *c = tcase_create("otlp");

	tcase_add_checked_fixture(c, begin, end);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_body_has_at_most_4096_bytes);
	tcase_add_test(c, a_key_has_at_most_128_characters);
	tcase_add_test(c, a_value_has_at_most_2048_characters);
	tcase_add_test(c, an_event_name_has_at_most_256_characters);
	tcase_add_test(c, a_record_has_at_most_16_attributes);
	tcase_add_test(c, what_is_folded_has_at_most_2048_characters);
	tcase_add_test(c,
	    where_nothing_folds_the_sixteenth_attribute_has_the_place);
	tcase_add_test(c, a_list_whose_json_is_too_long_becomes_that_text_cut);
	tcase_add_test(c, what_nests_deeper_than_16_becomes_json_text);
	tcase_add_test(c, bytes_count_as_the_base64_they_are_shown_as);
	tcase_add_test(c, without_limits_nothing_is_cut_or_folded);
	tcase_add_test(c,
	    bytes_that_are_not_utf8_become_replacement_characters);
	tcase_add_test(c, texts_inside_a_map_are_repaired_and_counted);
	tcase_add_test(c, a_repaired_body_keeps_within_its_bytes);
	tcase_add_test(c, keys_that_would_become_the_same_are_not_sent_twice);
	tcase_add_test(c, what_an_identity_has_too_much_is_counted);
	tcase_add_test(c, a_record_is_known_by_its_stream_and_position);
	tcase_add_test(c, a_record_older_than_the_window_is_sent_as_of_now);
	tcase_add_test(c, records_share_a_resource_also_across_chunks);
	tcase_add_test(c,
	    requests_of_different_resources_are_the_sum_of_their_parts);
	tcase_add_loop_test(c, a_chunk_may_be_added_in_pieces, 0, 2);
	tcase_add_loop_test(c,
	    a_call_that_does_not_fit_leaves_the_batch_as_it_was, 0, 2);
	tcase_add_loop_test(c,
	    a_chunk_too_large_for_an_empty_batch_is_told_apart, 0, 2);
	tcase_add_test(c, an_empty_batch_is_an_empty_request);
	tcase_add_test(c, marks_are_skipped_and_what_is_no_record_is_counted);
	tcase_add_test(c,
	    an_add_that_does_not_fit_leaves_the_parts_as_they_were);
	tcase_add_test(c, runs_of_one_environment_are_told);
	tcase_add_test(c, a_batch_without_memory_is_none);
	tcase_add_test(c, an_answer_is_read);
	tcase_add_test(c, a_long_message_is_cut_between_characters);
	tcase_add_test(c, a_wrong_guess_of_a_length_moves_the_bytes);
	tcase_add_test(c,
	    no_field_of_a_thousand_records_is_lost_without_a_count);
	suite_add_tcase(s, c);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
