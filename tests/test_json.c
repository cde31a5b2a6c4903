/* SPDX-License-Identifier: ISC */
/*
 * test_json.c - JSON becomes exactly the records it says, whatever it is
 *
 * How:      each text goes through json_in_next(); what comes out is accepted
 *           by the walker, turned back into JSON and compared with what was
 *           expected, or with what jansson makes of the same text.
 */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "forward/mp.h"
#include "forward/walk.h"
#include "http/json.h"
#include "http/scrub.h"

#define NOW	1754920927118000001u
#define OUT_CAP	(2u << 20)

static struct json_in in;
static uint8_t out[OUT_CAP];
static size_t out_len;
static char text[OUT_CAP];		/* the records as JSON, one a line */
static size_t text_len;

/* The record of the entry [p, p + n) as a line of text. */
static void
to_text(const uint8_t *p, size_t n)
{
	struct mp m = mp_of(bytes_of(p, n));
	struct bytes rec;
	struct entry e;
	size_t len;

	ck_assert_int_eq(walk_entry(&m, &e), 0);
	ck_assert_uint_eq(e.time_ns, NOW);
	rec = e.record;
	ck_assert_int_eq(json_out(rec, text + text_len,
	    sizeof(text) - text_len - 2, &len), 0);
	text_len += len;
	text[text_len++] = '\n';
	text[text_len] = '\0';
}

static void
feed_bytes(const void *p, size_t n)
{
	struct walk w;
	int64_t r;

	out_len = text_len = 0;
	text[0] = '\0';
	json_in_init(&in, bytes_of(p, n), NOW);
	while ((r = json_in_next(&in, out + out_len, sizeof(out) - out_len)) !=
	    0) {
		if (r == -EAGAIN)
			continue;
		ck_assert_int_gt(r, 0);
		ck_assert_int_le(r, JSON_RECORD_MAX);
		to_text(out + out_len, (size_t)r);
		out_len += (size_t)r;
	}
	ck_assert_uint_eq(in.at, n);
	walk_entries(bytes_of(out, out_len), JSON_RECORD_MAX, &w);
	ck_assert_int_eq(w.error, 0);
	ck_assert_uint_eq(w.good_bytes, out_len);
	ck_assert_uint_eq(w.records, in.counts.records);
}

static void
feed(const char *s)
{
	feed_bytes(s, strlen(s));
}

static void
gives(const char *s, const char *records)
{
	feed(s);
	ck_assert_str_eq(text, records);
}

/* The one value v of {"v":…}. */
static void
value_gives(const char *v, const char *want)
{
	char a[512], b[512];

	(void)snprintf(a, sizeof(a), "{\"v\":%s}", v);
	(void)snprintf(b, sizeof(b), "{\"v\":%s}\n", want);
	gives(a, b);
	ck_assert_uint_eq(in.bad_at, SIZE_MAX);
}

START_TEST(an_object_is_a_record)
{
	gives("{\"a\":1,\"b\":\"x\",\"c\":[true,false,null,{}],\"d\":{\"e\":[]}}",
	    "{\"a\":1,\"b\":\"x\",\"c\":[true,false,null,{}],\"d\":{\"e\":[]}}\n");
	ck_assert_uint_eq(in.counts.records, 1);
	gives(" \r\n\t{ \"a\" : 1 , \"b\" : [ 1 , 2 ] } \n",
	    "{\"a\":1,\"b\":[1,2]}\n");
	gives("{}", "{}\n");
	gives("", "");
	gives("  \n", "");
	gives("\xef\xbb\xbf{\"a\":1}", "{\"a\":1}\n");
}
END_TEST

START_TEST(arrays_lines_and_concatenations_are_records)
{
	const char *three = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";

	gives("[{\"a\":1},{\"a\":2},{\"a\":3}]", three);
	gives("[ {\"a\":1} ,\n{\"a\":2} , {\"a\":3} ] ", three);
	gives("{\"a\":1}\n{\"a\":2}\n{\"a\":3}", three);
	gives("{\"a\":1}\r\n\r\n{\"a\":2}\r\n{\"a\":3}\r\n", three);
	gives("{\"a\":1}{\"a\":2} {\"a\":3}", three);
	gives("[{\"a\":1}]\n[{\"a\":2},{\"a\":3}]", three);
	gives("[{\"a\":1}]{\"a\":2}[][{\"a\":3}]", three);
	ck_assert_uint_eq(in.counts.bad_json, 0);
	gives("[]", "");
	ck_assert_uint_eq(in.counts.bad_json, 0);
}
END_TEST

START_TEST(the_bytes_are_these)
{
	static const uint8_t want[] = {
		0x92, 0xd7, 0x00, 0x68, 0x99, 0xf7, 0xdf, 0x07, 0x08, 0x89,
		0x81, 0xde, 0x00, 0x02, 0xa1, 'a', 0x01, 0xa1, 'b',
		0xdc, 0x00, 0x02, 0xff, 0xa1, 'x'
	};

	feed("{\"a\":1,\"b\":[-1,\"x\"]}");
	ck_assert_uint_eq(out_len, sizeof(want));
	ck_assert_mem_eq(out, want, sizeof(want));
}
END_TEST

START_TEST(numbers_keep_their_value)
{
	value_gives("0", "0");
	value_gives("-0", "0");
	value_gives("127", "127");
	value_gives("128", "128");
	value_gives("-32", "-32");
	value_gives("-33", "-33");
	value_gives("4294967295", "4294967295");
	value_gives("4294967296", "4294967296");
	value_gives("9223372036854775807", "9223372036854775807");
	value_gives("9223372036854775808", "9223372036854775808");
	value_gives("18446744073709551615", "18446744073709551615");
	value_gives("18446744073709551616", "1.8446744073709552e+19");
	value_gives("-9223372036854775808", "-9223372036854775808");
	value_gives("-9223372036854775809", "-9.223372036854776e+18");
	value_gives("0.1", "0.1");
	value_gives("-6.5", "-6.5");
	value_gives("1e3", "1000.0");
	value_gives("1E+2", "100.0");
	value_gives("25e-1", "2.5");
	value_gives("0.30000000000000004", "0.30000000000000004");
	value_gives("2.2250738585072014e-308", "2.2250738585072014e-308");
	value_gives("5e-324", "4.94065645841247e-324");
	value_gives("1e308", "1e+308");
}
END_TEST

START_TEST(a_number_no_double_holds_stays_text)
{
	char big[1200];

	value_gives("1e309", "\"1e309\"");
	value_gives("-1e999", "\"-1e999\"");
	memset(big, '7', sizeof(big));
	memcpy(big, "{\"v\":", 5);
	memcpy(big + sizeof(big) - 1, "}", 1);
	feed_bytes(big, sizeof(big));
	ck_assert_uint_eq(in.counts.records, 1);
	ck_assert_int_eq(text[5], '"');
}
END_TEST

START_TEST(what_is_no_number_is_refused)
{
	static const char *const no[] = { "01", "+1", ".5", "1.", "1e", "1e+",
		"-", "--1", "0x10", "NaN", "Infinity", "-Infinity", "1_000",
		"1.e3", "00", "-01", "" };
	char s[64];
	size_t i;

	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		(void)snprintf(s, sizeof(s), "{\"v\":%s}", no[i]);
		feed(s);
		ck_assert_msg(in.counts.records == 0, "%s", s);
		ck_assert_msg(in.counts.bad_json == 1, "%s", s);
	}
}
END_TEST

START_TEST(escapes_become_what_they_mean)
{
	feed("{\"v\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac"
	    "\\ud83d\\ude00\\u0000z\"}");
	ck_assert_str_eq(text, "{\"v\":\"\\\"\\\\/\\b\\f\\n\\r\\tA\xc3\xa9"
	    "\xe2\x82\xac\xf0\x9f\x98\x80\\u0000z\"}\n");
	gives("{\"\\u006b\\n\":1}", "{\"k\\n\":1}\n");
	ck_assert_uint_eq(in.counts.bad_utf8, 0);
}
END_TEST

START_TEST(bad_strings_are_refused_with_place_and_reason)
{
	static const struct {
		const char *s;
		size_t at;
		const char *why;
	} no[] = {
		{ "{\"v\":\"\\x\"}", 7, "expected an escape after '\\'" },
		{ "{\"v\":\"\\u12g4\"}", 8,
		    "expected four hex digits after \\u" },
		{ "{\"v\":\"\\u12", 8, "expected four hex digits after \\u" },
		{ "{\"v\":\"a\tb\"}", 7, "a control character in a string" },
		{ "{\"v\":\"a\nb\"}", 7, "a control character in a string" },
		{ "{\"v\":\"abc", 9, "the string has no end" },
		{ "{\"v\":\"abc\\", 10, "the string has no end" },
		{ "{\"v\":\"", 6, "the string has no end" },
		{ "{\"v\"", 4, "expected ':'" },
		{ "{\"v\" 1}", 5, "expected ':'" },
		{ "{\"v\":1", 6, "expected ',' or '}'" },
		{ "{\"v\":1 2}", 7, "expected ',' or '}'" },
		{ "{\"v\":[1 2]}", 8, "expected ',' or ']'" },
		{ "{\"v\":[1}", 7, "expected ',' or ']'" },
		{ "{\"v\":1]", 6, "expected ',' or '}'" },
		{ "{\"v\":1,}", 7, "expected '\"' and a key" },
		{ "{,}", 1, "expected '\"' and a key" },
		{ "{v:1}", 1, "expected '\"' and a key" },
		{ "{'v':1}", 1, "expected '\"' and a key" },
		{ "{\"v\":[1,]}", 8, "expected a value" },
		{ "{\"v\":[,1]}", 6, "expected a value" },
		{ "{\"v\":tru}", 5, "expected a value" },
		{ "{\"v\":True}", 5, "expected a value" },
		{ "{\"v\":", 5, "the text ends within a record" },
		{ "{", 1, "expected '\"' and a key" },
		{ "x", 0, "expected a value" },
	};
	size_t i;

	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		feed(no[i].s);
		ck_assert_msg(in.counts.records == 0, "%s", no[i].s);
		ck_assert_msg(in.bad_at == no[i].at, "%s: %zu", no[i].s,
		    in.bad_at);
		ck_assert_str_eq(in.bad_why, no[i].why);
	}
}
END_TEST

START_TEST(a_bad_line_costs_only_itself)
{
	gives("{\"a\":1}\n{\"a\":oops}\n{\"a\":3}\n", "{\"a\":1}\n{\"a\":3}\n");
	ck_assert_uint_eq(in.counts.bad_json, 1);
	ck_assert_uint_eq(in.bad_at, 13);
	/* broken off by a newline: the next line is sound */
	gives("{\"a\":1\n{\"a\":2}\n", "{\"a\":2}\n");
	gives("{\"a\":\"x\n{\"a\":2}\n", "{\"a\":2}\n");
	/* broken off where a value was to come: that is not the next line */
	gives("{\"a\":\n{\"a\":2}\n{\"a\":3}\n", "{\"a\":2}\n{\"a\":3}\n");
	ck_assert_uint_eq(in.counts.bad_json, 1);
	gives("garbage\nmore\n{\"a\":2}", "{\"a\":2}\n");
	ck_assert_uint_eq(in.counts.bad_json, 2);
	/* an indented record is one bad part, and none of its inside a record */
	gives("{\n  \"a\": {\n    \"b\": oops\n  },\n  \"c\": {}\n}\n{\"d\":1}",
	    "{\"d\":1}\n");
	ck_assert_uint_eq(in.counts.bad_json, 1);
}
END_TEST

START_TEST(a_bad_element_costs_only_itself)
{
	gives("[{\"a\":1},{\"a\":oops,\"b\":[1,2]},{\"a\":3}]",
	    "{\"a\":1}\n{\"a\":3}\n");
	ck_assert_uint_eq(in.counts.bad_json, 1);
	gives("[{\"a\":1}},{\"a\":2}]", "{\"a\":1}\n{\"a\":2}\n");
	gives("[{\"a\":1},,{\"a\":2}]", "{\"a\":1}\n{\"a\":2}\n");
	ck_assert_uint_eq(in.counts.bad_json, 1);
	gives("[{\"a\":1},]", "{\"a\":1}\n");
	ck_assert_uint_eq(in.counts.bad_json, 1);
	gives("[{\"a\":1} {\"a\":2}]", "{\"a\":1}\n");
	ck_assert_uint_eq(in.counts.bad_json, 1);
	gives("[{\"a\":\"},{\\\"\",\"b\":x},{\"a\":2}]", "{\"a\":2}\n");
	gives("[{\"a\":1}", "{\"a\":1}\n");
	ck_assert_uint_eq(in.counts.bad_json, 1);
	ck_assert_str_eq(in.bad_why, "expected ']'");
	gives("[", "");
	ck_assert_uint_eq(in.counts.bad_json, 1);
	gives("]", "");
	ck_assert_uint_eq(in.counts.bad_json, 1);
}
END_TEST

START_TEST(values_that_are_no_objects_are_counted)
{
	gives("[1,\"two\",null,[{\"a\":1},2],{\"a\":4},true]", "{\"a\":4}\n");
	ck_assert_uint_eq(in.counts.not_object, 5);
	ck_assert_uint_eq(in.counts.bad_json, 0);
	ck_assert_uint_eq(in.bad_at, 1);
	ck_assert_str_eq(in.bad_why, "expected an object");
	gives("42", "");
	ck_assert_uint_eq(in.counts.not_object, 1);
	gives("\"x\" {\"a\":1}", "{\"a\":1}\n");
	ck_assert_uint_eq(in.counts.not_object, 1);
}
END_TEST

static void
nested(char *s, unsigned depth, char open, char close)
{
	unsigned i;

	/* the record is one level itself */
	s += sprintf(s, "{\"v\":");
	for (i = 1; i < depth; i++)
		if (open == '{')
			s += sprintf(s, "{\"v\":");
		else
			*s++ = open;
	*s++ = '1';
	for (i = 1; i < depth; i++)
		*s++ = close;
	(void)sprintf(s, "}{\"n\":1}");
}

START_TEST(depth_is_bounded)
{
	char s[65536];
	unsigned d;

	for (d = JSON_DEPTH_MAX - 1; d <= JSON_DEPTH_MAX; d++) {
		nested(s, d, '[', ']');
		feed(s);
		ck_assert_uint_eq(in.counts.records, 2);
		nested(s, d, '{', '}');
		feed(s);
		ck_assert_uint_eq(in.counts.records, 2);
	}
	nested(s, JSON_DEPTH_MAX + 1, '{', '}');
	gives(s, "{\"n\":1}\n");
	ck_assert_uint_eq(in.counts.too_deep, 1);
	nested(s, 8000, '[', ']');
	gives(s, "{\"n\":1}\n");
	ck_assert_uint_eq(in.counts.too_deep, 1);
	ck_assert_uint_eq(in.counts.bad_json, 0);
}
END_TEST

/* A record of exactly n bytes when encoded, in strings that stay whole. */
static char *
record_of(size_t n)
{
	/* head 11, map 3, then key "k" 2 and str16 3 + text each */
	size_t left = n - 14, piece;
	char *s = malloc(n * 2), *p = s;

	p += sprintf(p, "{");
	while (left > 0) {
		piece = left > 8000 ? 4000 : left - 5;
		p += sprintf(p, "%s\"k\":\"", p == s + 1 ? "" : ",");
		memset(p, '.', piece);
		p += piece;
		*p++ = '"';
		left -= piece + 5;
	}
	(void)sprintf(p, "}");
	return s;
}

START_TEST(record_size_is_bounded)
{
	size_t n;
	char *s;

	for (n = JSON_RECORD_MAX - 1; n <= JSON_RECORD_MAX; n++) {
		s = record_of(n);
		feed(s);
		free(s);
		ck_assert_uint_eq(in.counts.records, 1);
		ck_assert_uint_eq(out_len, n);
	}
	s = record_of(JSON_RECORD_MAX + 1);
	gives(s, "");
	free(s);
	ck_assert_uint_eq(in.counts.too_large, 1);
	ck_assert_uint_eq(in.counts.bad_json, 0);
}
END_TEST

START_TEST(members_are_bounded)
{
	size_t n, i;
	char *s = malloc(300000), *p;

	for (n = 65534; n <= 65536; n++) {
		p = s + sprintf(s, "[{\"a\":[1");
		for (i = 1; i < n; i++)
			p += sprintf(p, ",1");
		(void)sprintf(p, "]},{\"b\":1}]");
		feed(s);
		ck_assert_uint_eq(in.counts.too_large, n == 65536);
		ck_assert_uint_eq(in.counts.records, n == 65536 ? 1 : 2);
	}
	free(s);
}
END_TEST

START_TEST(no_room_consumes_nothing)
{
	const char *s = "{\"a\":\"authorization Bearer 0123456789\"}{\"b\":1}";
	uint8_t small[64];
	size_t cap;
	int64_t r;

	feed(s);
	for (cap = 0; cap <= sizeof(small); cap++) {
		json_in_init(&in, bytes_str(s), NOW);
		r = json_in_next(&in, small, cap);
		if (r > 0)
			break;
		ck_assert_int_eq(r, -ENOSPC);
		ck_assert_uint_eq(in.at, 0);
		ck_assert_uint_eq(in.counts.records, 0);
		ck_assert_uint_eq(in.counts.redacted, 0);
	}
	ck_assert_uint_eq(cap, (size_t)r);
	ck_assert_mem_eq(small, out, (size_t)r);
}
END_TEST

START_TEST(many_bad_parts_take_more_than_one_call)
{
	size_t n = 100000, i;
	char *s = malloc(n * 2 + 20), *p = s;
	unsigned again = 0;
	int64_t r;

	for (i = 0; i < n; i++)
		p += sprintf(p, "x\n");
	(void)sprintf(p, "{\"a\":1}");
	json_in_init(&in, bytes_str(s), NOW);
	while ((r = json_in_next(&in, out, sizeof(out))) == -EAGAIN)
		again++;
	ck_assert_int_gt(r, 0);
	ck_assert_uint_ge(again, n / 300);
	ck_assert_uint_eq(in.counts.bad_json, n);
	for (p = s, i = 0; i < n; i++)
		p += sprintf(p, "{\n");
	(void)sprintf(p, "{\"a\":1}");
	feed(s);
	ck_assert_uint_eq(in.counts.bad_json, n);
	ck_assert_uint_eq(in.counts.records, 1);
	free(s);
}
END_TEST

START_TEST(bad_utf8_is_replaced_and_counted_by_string)
{
	static const char *const bad[] = {
		"\x80", "\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x98" };
	char s[64];
	size_t i, j, k;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(s, sizeof(s), "{\"v\":\"<%s>\"}", bad[i]);
		feed(s);
		ck_assert_uint_eq(in.counts.records, 1);
		ck_assert_uint_eq(in.counts.bad_utf8, 1);
		/* one U+FFFD for each byte that is none */
		j = strlen("{\"v\":\"<");
		for (k = 0; k < strlen(bad[i]); k++, j += 3)
			ck_assert_int_eq(memcmp(text + j, "\xef\xbf\xbd", 3), 0);
		ck_assert_int_eq(text[j], '>');
	}
	gives("{\"v\":\"\\ud800\",\"w\":\"\\udc00x\",\"y\":\"\\ud800\\u0041\"}",
	    "{\"v\":\"\xef\xbf\xbd\",\"w\":\"\xef\xbf\xbdx\","
	    "\"y\":\"\xef\xbf\xbd" "A\"}\n");
	ck_assert_uint_eq(in.counts.bad_utf8, 3);
	gives("{\"\xff\":1}", "{\"\xef\xbf\xbd\":1}\n");
	ck_assert_uint_eq(in.counts.bad_utf8, 1);
	gives("{\"v\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbf\"}",
	    "{\"v\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbf\"}\n");
	ck_assert_uint_eq(in.counts.bad_utf8, 0);
}
END_TEST

/* {"v":"<n commas>"} */
static char *
long_text(size_t n, bool escaped)
{
	char *s = malloc(n * 6 + 16), *p = s;
	size_t i;

	p += sprintf(p, "{\"v\":\"");
	for (i = 0; i < n; i++)
		p += sprintf(p, escaped ? "\\u002c" : ",");
	(void)sprintf(p, "\"}");
	return s;
}

static json_t *
only_record(void)
{
	json_t *j = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(j);
	return j;
}

START_TEST(long_strings_keep_head_tail_and_size)
{
	static const size_t sizes[] = { SCRUB_TEXT_MAX - 1, SCRUB_TEXT_MAX,
		SCRUB_TEXT_MAX + 1, 50000, 1000000 };
	size_t i, e;
	json_t *j;
	char *s;

	for (i = 0; i < 5; i++)
		for (e = 0; e < 2; e++) {
			s = long_text(sizes[i], e == 1);
			feed(s);
			free(s);
			j = only_record();
			ck_assert_uint_eq(in.counts.shortened,
			    sizes[i] > SCRUB_TEXT_MAX);
			if (sizes[i] <= SCRUB_TEXT_MAX) {
				ck_assert_uint_eq(json_object_size(j), 1);
				ck_assert_uint_eq(json_string_length(
				    json_object_get(j, "v")), sizes[i]);
			} else {
				ck_assert_uint_eq(json_string_length(
				    json_object_get(j, "v")),
				    SCRUB_HEAD + 3 + SCRUB_TAIL);
				ck_assert(json_is_true(
				    json_object_get(j, "truncated")));
				ck_assert_int_eq(json_integer_value(
				    json_object_get(j, "original_size")),
				    (json_int_t)sizes[i]);
			}
			json_decref(j);
		}
}
END_TEST

START_TEST(a_long_string_is_cut_between_characters)
{
	char *s = malloc(40000), *p;
	const char *v;
	unsigned shift;
	json_t *j;
	size_t i;

	for (shift = 0; shift < 4; shift++) {
		p = s + sprintf(s, "{\"v\":\"%.*s", (int)shift, "abc");
		for (i = 0; i < 5000; i++)
			p += sprintf(p, "\xf0\x9f\x98\x80");
		(void)sprintf(p, "end\"}");
		feed(s);
		j = only_record();	/* jansson refuses bad UTF-8 */
		v = json_string_value(json_object_get(j, "v"));
		ck_assert_ptr_nonnull(strstr(v, "\xe2\x80\xa6"));
		ck_assert_ptr_null(strstr(v, "\xef\xbf\xbd"));
		ck_assert_str_eq(v + strlen(v) - 3, "end");
		json_decref(j);
	}
	free(s);
}
END_TEST

START_TEST(the_tail_is_the_end_of_the_text)
{
	char *s = malloc(400000), *p;
	const char *v;
	json_t *j;
	size_t i;

	/* escapes make many short pieces go through the window */
	p = s + sprintf(s, "{\"v\":\"");
	for (i = 0; i < 20000; i++)
		p += sprintf(p, "%zu\\n", i);
	(void)sprintf(p, "\"}");
	feed(s);
	j = only_record();
	v = json_string_value(json_object_get(j, "v"));
	ck_assert_int_eq(strncmp(v, "0\n1\n2\n", 6), 0);
	v += strlen(v) - 960;
	for (i = 20000 - 160; i < 20000; i++, v = strchr(v, '\n') + 1)
		ck_assert_uint_eq(strtoul(v, NULL, 10), i);
	json_decref(j);
	free(s);
}
END_TEST

START_TEST(a_credential_cut_in_two_is_not_in_the_tail)
{
	char *s = malloc(40000), *p;
	unsigned shift, i;

	/* the tail begins at each place of "Bearer sesame..." in turn */
	for (shift = 0; shift < 40; shift++) {
		p = s + sprintf(s, "{\"v\":\"");
		for (i = 0; i < 10000; i++)
			p += sprintf(p, ",");
		p += sprintf(p, " Bearer sesamesesamesesame ");
		for (i = 0; i < SCRUB_TAIL - shift; i++)
			p += sprintf(p, ",");
		(void)sprintf(p, "\"}");
		feed(s);
		ck_assert_uint_eq(in.counts.records, 1);
		ck_assert_uint_eq(in.counts.shortened, 1);
		ck_assert_ptr_null(strstr(text, "ame"));
	}
	free(s);
}
END_TEST

START_TEST(base64_runs_keep_their_ends)
{
	size_t n;
	char *s = malloc(20000), *p, run[64 + 1];
	const char *v;
	json_t *j;

	memset(run, 'Q', sizeof(run));
	run[64] = '\0';
	for (n = SCRUB_RUN_MIN - 1; n <= SCRUB_RUN_MIN + 1; n++) {
		p = s + sprintf(s, "{\"v\":\"data:image/png;base64,");
		memset(p, 'Q', n);
		p += n;
		(void)sprintf(p, " is all\"}");
		feed(s);
		j = only_record();
		v = json_string_value(json_object_get(j, "v"));
		ck_assert_int_eq(strncmp(v, "data:image/png;base64,QQ", 24), 0);
		ck_assert_str_eq(v + strlen(v) - 8, "Q is all");
		ck_assert_uint_eq(in.counts.shortened, n >= SCRUB_RUN_MIN);
		if (n >= SCRUB_RUN_MIN) {
			ck_assert_uint_eq(strlen(v), 22 + 64 + 3 + 16 + 7);
			ck_assert_int_eq(json_integer_value(
			    json_object_get(j, "original_size")),
			    (json_int_t)(22 + n + 7));
		} else {
			ck_assert_uint_eq(strlen(v), 22 + n + 7);
		}
		json_decref(j);
	}
	free(s);
}
END_TEST

START_TEST(several_runs_in_one_text_are_all_cut)
{
	char *s = malloc(40000), *p;
	json_t *j;
	int i;

	p = s + sprintf(s, "{\"v\":\"");
	for (i = 0; i < 4; i++) {
		memset(p, 'a', 600 + (size_t)i * 700);
		p += 600 + i * 700;
		p += sprintf(p, " and some words between ");
	}
	(void)sprintf(p, "\"}");
	feed(s);
	j = only_record();
	ck_assert_uint_eq(json_string_length(json_object_get(j, "v")),
	    4 * (64 + 3 + 16 + 24));
	json_decref(j);
	free(s);
}
END_TEST

START_TEST(secrets_are_replaced)
{
	gives("{\"Authorization\":\"Basic eDp5\",\"cookie\":\"a=b\","
	    "\"X-Api-Key\":\"k\",\"hf_token\":\"hf_x\",\"clientSecret\":\"s\","
	    "\"password\":\"p\",\"set-cookie\":[\"a=1\",\"b=2\"],"
	    "\"headers\":{\"AUTHORIZATION\":\"Bearer x\"}}",
	    "{\"Authorization\":\"[redacted]\",\"cookie\":\"[redacted]\","
	    "\"X-Api-Key\":\"[redacted]\",\"hf_token\":\"[redacted]\","
	    "\"clientSecret\":\"[redacted]\",\"password\":\"[redacted]\","
	    "\"set-cookie\":[\"[redacted]\",\"[redacted]\"],"
	    "\"headers\":{\"AUTHORIZATION\":\"[redacted]\"}}\n");
	ck_assert_uint_eq(in.counts.redacted, 9);
	gives("{\"token\":{\"a\":\"x\",\"b\":[\"y\",{\"c\":\"z\"}]},"
	    "\"d\":{\"e\":\"f\"}}", "{\"token\":{\"a\":\"[redacted]\","
	    "\"b\":[\"[redacted]\",{\"c\":\"[redacted]\"}]},"
	    "\"d\":{\"e\":\"f\"}}\n");
	ck_assert_uint_eq(in.counts.redacted, 3);
}
END_TEST

START_TEST(counts_of_tokens_stay)
{
	const char *s = "{\"token_usage\":{\"prompt_tokens\":41,"
	    "\"total_tokens\":1097,\"x\":true},\"max_tokens\":7,"
	    "\"token\":null,\"tok\":\"x\",\"tokenizer\":\"t5\",\"keyboard\":\"qwerty\","
	    "\"secret\":\"\",\"tokens\":[1,2]}";
	char want[512];

	(void)snprintf(want, sizeof(want), "%s\n", s);
	gives(s, want);
	ck_assert_uint_eq(in.counts.redacted, 0);
}
END_TEST

START_TEST(bearer_strings_lose_their_credential)
{
	value_gives("\"GET / Authorization: Bearer abcdefghij1 done\"",
	    "\"GET / Authorization: Bearer [redacted] done\"");
	ck_assert_uint_eq(in.counts.redacted, 1);
	value_gives("\"bearer sk-0123456789, BEARER sk-9876543210\"",
	    "\"bearer [redacted], BEARER [redacted]\"");
	ck_assert_uint_eq(in.counts.redacted, 2);
	value_gives("\"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.abc\"",
	    "\"Bearer [redacted]\"");
	/* what is short keeps its length */
	value_gives("\"a bearer abc \"", "\"a bearer *** \"");
	value_gives("\"bearer 123456789\"", "\"bearer *********\"");
	value_gives("\"bearer 1234567890\"", "\"bearer [redacted]\"");
	ck_assert_uint_eq(in.counts.redacted, 1);
	value_gives("\"the bearer \"", "\"the bearer \"");
	value_gives("\"bearer\"", "\"bearer\"");
}
END_TEST

START_TEST(duplicate_keys_pass)
{
	gives("{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}\n");
}
END_TEST

/* ---- against jansson ---- */

static uint32_t seed = 1;

static unsigned
below(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static json_t *
any_string(void)
{
	static const char *const piece[] = { "a", "job-", "\xc3\xa9", "\n",
		"\"", "\\", "/", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "0123",
		" ", "\x01", "the quick brown fox", "\x7f" };
	char s[512] = "";
	size_t n = 0;
	unsigned i;

	for (i = below(12); i > 0; i--)
		n += (size_t)sprintf(s + n, "%s", piece[below(14)]);
	return json_stringn(s, n);
}

static json_t *
any_value(unsigned depth)
{
	unsigned i, n = below(6);
	json_t *j, *k;

	switch (below(depth < 6 ? 9 : 7)) {
	case 0: return json_null();
	case 1: return json_boolean(below(2));
	case 2: return json_integer((json_int_t)below(300) - 150);
	case 3: return json_integer((json_int_t)((uint64_t)below(1u << 24) *
	    below(1u << 24) * (below(2) ? 1 : 7)) * (below(2) ? 1 : -1));
	case 4: return json_real((double)(int)below(1000000) / 1000 - 500);
	case 5: return json_real((double)below(1u << 24) / 3e-9 * 1.1e70);
	case 6: return any_string();
	case 7:
		j = json_array();
		for (i = 0; i < n; i++)
			json_array_append_new(j, any_value(depth + 1));
		return j;
	default:
		j = json_object();
		for (i = 0; i < n; i++) {
			k = any_string();
			json_object_set_new(j, json_string_value(k),
			    any_value(depth + 1));
			json_decref(k);
		}
		return j;
	}
}

START_TEST(agrees_with_jansson_on_generated_documents)
{
	size_t flags[] = { JSON_COMPACT, JSON_INDENT(2), JSON_ENSURE_ASCII,
		JSON_ESCAPE_SLASH };
	json_t *rec, *back;
	unsigned i;
	char *s;

	for (i = 0; i < 3000; i++) {
		rec = json_object();
		json_object_set_new(rec, "x", any_value(0));
		json_object_set_new(rec, "y", any_value(0));
		s = json_dumps(rec, flags[below(4)]);
		feed(s);
		ck_assert_uint_eq(in.counts.records, 1);
		back = json_loads(text, 0, NULL);
		ck_assert_msg(json_equal(rec, back), "%s\n%s", s, text);
		free(s);
		json_decref(rec);
		json_decref(back);
	}
}
END_TEST

/* What jansson takes we take, what it refuses we refuse, byte by byte. */
START_TEST(agrees_with_jansson_on_damaged_documents)
{
	static const char good[] = "{\"a\":[1,-2.5e3,true,null],\"b\":"
	    "{\"c\":\"x\\u0041\\n\",\"d\":{}},\"e\":\"\xc3\xa9\"}";
	static const char with[] = "{}[]\",:\\0-.eEtnux /\n\x01";
	char s[sizeof(good)];
	json_error_t err;
	bool ours, theirs;
	size_t i, k;
	json_t *j;

	for (i = 0; i < sizeof(good) - 1; i++)
		for (k = 0; k < sizeof(with) - 1; k++) {
			memcpy(s, good, sizeof(good));
			s[i] = with[k];
			j = json_loadb(s, sizeof(good) - 1, 0, &err);
			theirs = j != NULL && json_is_object(j);
			json_decref(j);
			feed_bytes(s, sizeof(good) - 1);
			ours = in.counts.records == 1 &&
			    in.bad_at == SIZE_MAX;
			/* it refuses bad UTF-8, we mend it */
			if (in.counts.bad_utf8 > 0)
				continue;
			ck_assert_msg(ours == theirs, "%s: %d, %s", s, ours,
			    in.bad_why);
		}
}
END_TEST

START_TEST(hostile_bytes_never_leave_the_text)
{
	uint8_t *s;
	size_t n, i;
	unsigned k;

	for (k = 0; k < 20000; k++) {
		n = below(64);
		s = malloc(n + 1);
		for (i = 0; i < n; i++)
			s[i] = below(3) ? (uint8_t)"{}[]\",:\\u10-.etn \n"[
			    below(18)] : (uint8_t)below(256);
		s = realloc(s, n > 0 ? n : 1);
		feed_bytes(s, n);
		free(s);
	}
}
END_TEST

/* ---- json_out ---- */

START_TEST(out_writes_every_type)
{
	uint8_t m[128];
	struct mpw w = { m, m + sizeof(m), false };
	char s[256];
	size_t n;

	mpw_array(&w, 5);
	mpw_bin(&w, BYTES("\x01\x02\x03\x04"));
	mpw_event_time(&w, NOW);
	mpw_raw(&w, BYTES("\xd4\x05\x00"));
	mpw_map(&w, 2);
	mpw_uint(&w, 7);
	mpw_nil(&w);
	mpw_str(&w, BYTES("a\"b"));
	mpw_double(&w, 1.0 / 0.0);
	mpw_int(&w, INT64_MIN);
	ck_assert_int_eq(json_out(bytes_of(m, (size_t)(w.p - m)), s,
	    sizeof(s), &n), 0);
	s[n] = '\0';
	ck_assert_str_eq(s, "[\"AQIDBA==\",1754920927.118000001,null,"
	    "{\"7\":null,\"a\\\"b\":null},-9223372036854775808]");
}
END_TEST

START_TEST(out_refuses_what_does_not_fit_or_is_none)
{
	static const uint8_t m[] = { 0x92, 0xa1, 'x', 0x01 };
	static const uint8_t bad_key[] = { 0x81, 0x90, 0x01 };
	uint8_t deep[40];
	size_t cap, n = 99;
	char s[256];

	for (cap = 0; cap < 7; cap++)
		ck_assert_int_eq(json_out(bytes_of(m, 4), s, cap, &n), -ENOSPC);
	ck_assert_uint_eq(n, 99);
	ck_assert_int_eq(json_out(bytes_of(m, 4), s, 7, &n), 0);
	ck_assert_uint_eq(n, 7);
	ck_assert_int_eq(json_out(bytes_of(m, 3), s, 99, &n), -EBADMSG);
	ck_assert_int_eq(json_out(bytes_of(m, 0), s, 99, &n), -EBADMSG);
	ck_assert_int_eq(json_out(BYTES("\xc1"), s, 99, &n), -EBADMSG);
	ck_assert_int_eq(json_out(bytes_of(bad_key, 3), s, 99, &n), -EBADMSG);
	memset(deep, 0x91, sizeof(deep));
	deep[MP_DEPTH_MAX] = 0x01;
	ck_assert_int_eq(json_out(bytes_of(deep, MP_DEPTH_MAX + 1), s,
	    sizeof(s), &n), 0);
	deep[MP_DEPTH_MAX] = 0x91;
	ck_assert_int_eq(json_out(bytes_of(deep, sizeof(deep)), s, sizeof(s),
	    &n), -EBADMSG);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("json");
	TCase *c = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_test(c, an_object_is_a_record);
	tcase_add_test(c, arrays_lines_and_concatenations_are_records);
	tcase_add_test(c, the_bytes_are_these);
	tcase_add_test(c, numbers_keep_their_value);
	tcase_add_test(c, a_number_no_double_holds_stays_text);
	tcase_add_test(c, what_is_no_number_is_refused);
	tcase_add_test(c, escapes_become_what_they_mean);
	tcase_add_test(c, bad_strings_are_refused_with_place_and_reason);
	tcase_add_test(c, a_bad_line_costs_only_itself);
	tcase_add_test(c, a_bad_element_costs_only_itself);
	tcase_add_test(c, values_that_are_no_objects_are_counted);
	tcase_add_test(c, depth_is_bounded);
	tcase_add_test(c, record_size_is_bounded);
	tcase_add_test(c, members_are_bounded);
	tcase_add_test(c, no_room_consumes_nothing);
	tcase_add_test(c, many_bad_parts_take_more_than_one_call);
	tcase_add_test(c, bad_utf8_is_replaced_and_counted_by_string);
	tcase_add_test(c, long_strings_keep_head_tail_and_size);
	tcase_add_test(c, a_long_string_is_cut_between_characters);
	tcase_add_test(c, the_tail_is_the_end_of_the_text);
	tcase_add_test(c, a_credential_cut_in_two_is_not_in_the_tail);
	tcase_add_test(c, base64_runs_keep_their_ends);
	tcase_add_test(c, several_runs_in_one_text_are_all_cut);
	tcase_add_test(c, secrets_are_replaced);
	tcase_add_test(c, counts_of_tokens_stay);
	tcase_add_test(c, bearer_strings_lose_their_credential);
	tcase_add_test(c, duplicate_keys_pass);
	tcase_add_test(c, agrees_with_jansson_on_generated_documents);
	tcase_add_test(c, agrees_with_jansson_on_damaged_documents);
	tcase_add_test(c, hostile_bytes_never_leave_the_text);
	tcase_add_test(c, out_writes_every_type);
	tcase_add_test(c, out_refuses_what_does_not_fit_or_is_none);
	suite_add_tcase(s, c);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
