/* SPDX-License-Identifier: ISC */
/*
 * test_ingest.c - what comes by HTTP is in the sink, counted, or refused
 *
 * How:      a client, serve and ingest on one loop; the sink keeps what it
 *           gets, can be full, and says when its pieces are durable.
 */
#include "ingest_rig.h"

START_TEST(one_object_is_201_and_in_the_sink)
{
	RIG();
	ck_assert_int_eq(send_one("/", JSON, "{\"message\":\"hi\"}"), 201);
	ck_assert_uint_eq(sink_records, 1);
	ck_assert_str_eq(record(0), "{\"message\":\"hi\"}");
	ck_assert_uint_eq(ctr(CTR_ingest_requests), 1);
	ck_assert_uint_eq(ctr(CTR_ingest_records), 1);
	ck_assert_uint_eq(ctr(CTR_ingest_bytes), 16);
	rig_end();
}
END_TEST

START_TEST(every_content_type_people_send_is_understood)
{
	static const char *const type[] = { "application/json",
		"application/json; charset=utf-8", "application/x-ndjson",
		"text/plain", "text/plain;charset=UTF-8",
		"application/octet-stream", "application/vnd.api+json",
		"application/x-www-form-urlencoded" };
	char head[128], body[64];
	unsigned i;

	RIG();
	for (i = 0; i < 8; i++) {
		(void)snprintf(head, sizeof(head), "Content-Type: %s\r\n",
		    type[i]);
		(void)snprintf(body, sizeof(body), "{\"n\":%u}\n{\"b\":%u}", i,
		    i);
		ck_assert_int_eq(send_one("/any/path", head, body), 201);
		ck_assert_uint_eq(sink_records, 2 * i + 2);
	}
	ck_assert_int_eq(send_one("/", "", "[{\"n\":9}]"), 201);
	ck_assert_uint_eq(sink_records, 17);
	ck_assert_str_eq(record(16), "{\"n\":9}");
	rig_end();
}
END_TEST

START_TEST(a_form_has_its_json)
{
	const char *form = "Content-Type: application/x-www-form-urlencoded"
	    "\r\n";

	RIG();
	ck_assert_int_eq(send_one("/", form,
	    "a=b&json=%7B%22m%22%3A%22x+y%2b%zz%22%7d&c=d"), 201);
	ck_assert_str_eq(record(0), "{\"m\":\"x y+%zz\"}");
	ck_assert_int_eq(send_one("/", form, "a=b"), 201);
	ck_assert_uint_eq(ctr(CTR_ingest_bad_request), 1);
	ck_assert_int_eq(send_one("/",
	    "Content-Type: application/x-www-form-urlencoded\r\n" ACK,
	    "xjson=1"), 400);
	ck_assert_uint_eq(sink_records, 1);
	rig_end();
}
END_TEST

START_TEST(msgpack_maps_and_entries_are_taken)
{
	uint8_t m[256];
	struct mpw w = { m, m + sizeof(m), false };
	struct client *c;

	RIG();
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("a"));
	mpw_uint(&w, 1);
	mpw_array(&w, 2);		/* an entry */
	mpw_uint(&w, 1700000000);
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("a"));
	mpw_uint(&w, 2);
	mpw_array(&w, 3);		/* an array of a map, 7 and a map */
	mpw_map(&w, 0);
	mpw_uint(&w, 7);
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("a"));
	mpw_uint(&w, 4);
	c = client_open();
	client_post_bytes(c, "/", "Content-Type: application/msgpack\r\n" ACK,
	    m, (size_t)(w.p - m));
	while (held_n == 0)
		(void)loop_turn(loop, true);
	ck_assert_uint_eq(sink_records, 4);
	ck_assert_str_eq(record(0), "{\"a\":1}");
	ck_assert_str_eq(record(1), "{\"a\":2}");
	ck_assert_str_eq(record(2), "{}");
	ck_assert_str_eq(record(3), "{\"a\":4}");
	held[0]->done(held[0], 0);
	ck_assert_int_eq(client_answer(c), 200);
	ck_assert_uint_eq(ctr(CTR_ingest_not_object), 1);
	/* cut off: what came before it is kept */
	client_post_bytes(c, "/", "Content-Type: application/msgpack\r\n", m,
	    (size_t)(w.p - m) - 1);
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(ctr(CTR_ingest_bad_json), 1);
	ck_assert_uint_eq(sink_records, 6);
	client_post(c, "/", "Content-Type: application/msgpack\r\n" ACK,
	    "\xc1");
	ck_assert_int_eq(client_answer(c), 400);
	ck_assert_str_eq(client_body(c),
	    "byte 0: expected a msgpack value\n");
	client_close(c);
	rig_end();
}
END_TEST

START_TEST(secrets_in_msgpack_are_replaced)
{
	static const uint8_t body[] =
	    "\x84\xa8password\xa2pw"
	    "\xa7secrets\x93\xa1" "a\x07\xa0"
	    "\xa1t\xb9on: Bearer abcdefgh7 off."
	    "\xa1k\x81\xa6" "cookie\xc4\x01x";
	struct client *c;

	RIG();
	c = client_open();
	client_post_bytes(c, "/", "Content-Type: application/msgpack\r\n",
	    body, sizeof(body) - 1);
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(sink_records, 1);
	ck_assert_str_eq(record(0), "{\"password\":\"[redacted]\","
	    "\"secrets\":[\"[redacted]\",7,\"\"],"
	    "\"t\":\"on: Bearer ********* off.\","
	    "\"k\":{\"cookie\":\"[redacted]\"}}");
	ck_assert_uint_eq(ctr(CTR_ingest_redacted), 4);
	client_close(c);
	rig_end();
}
END_TEST

/* Each of its texts of two bytes becomes one of eleven. */
START_TEST(msgpack_that_grows_too_large_is_refused)
{
	static uint8_t body[160 << 10];
	struct mpw w = { .p = body, .end = body + sizeof(body) };
	struct client *c;
	unsigned i;

	RIG();
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("secrets"));
	mpw_array(&w, 60000);
	for (i = 0; i < 60000; i++)
		mpw_str(&w, BYTES("a"));
	ck_assert(!w.full);
	c = client_open();
	client_post_bytes(c, "/", "Content-Type: application/msgpack\r\n" ACK,
	    body, (size_t)(w.p - body));
	ck_assert_int_eq(client_answer(c), 400);
	ck_assert_uint_eq(ctr(CTR_ingest_too_large), 1);
	ck_assert_uint_eq(sink_records, 0);
	client_close(c);
	rig_end();
}
END_TEST

START_TEST(too_deep_msgpack_is_refused)
{
	uint8_t m[64];
	unsigned depth;
	struct client *c;

	RIG();
	c = client_open();
	/* the map of the record is the first level */
	for (depth = MP_DEPTH_MAX - 1; depth <= MP_DEPTH_MAX + 1; depth++) {
		memcpy(m, "\x81\xa1k", 3);
		memset(m + 3, 0x91, depth - 1);
		m[2 + depth] = 1;
		client_post_bytes(c, "/",
		    "Content-Type: application/msgpack\r\n", m, depth + 3);
		ck_assert_int_eq(client_answer(c), 201);
		ck_assert_uint_eq(ctr(CTR_ingest_too_deep),
		    depth > MP_DEPTH_MAX);
	}
	ck_assert_uint_eq(sink_records, 2);
	client_close(c);
	rig_end();
}
END_TEST

START_TEST(other_methods_are_405)
{
	static const char *const method[] = { "GET", "DELETE", "OPTIONS" };
	struct client *c;
	char text[64];
	unsigned i;

	RIG();
	c = client_open();
	for (i = 0; i < 3; i++) {
		(void)snprintf(text, sizeof(text),
		    "%s / HTTP/1.1\r\nHost: h\r\n\r\n", method[i]);
		client_text(c, text);
		ck_assert_int_eq(client_answer(c), 405);
		ck_assert_str_eq(client_header(c, "Allow"), "POST, PUT");
	}
	client_text(c, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n"
	    "\r\n{\"a\":1}");
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(sink_records, 1);
	ck_assert_uint_eq(ctr(CTR_ingest_bad_request), 3);
	client_close(c);
	rig_end();
}
END_TEST

START_TEST(bad_json_is_201_to_old_clients_and_400_with_its_place_to_ours)
{
	struct client *c;

	RIG();
	c = client_open();
	client_post(c, "/", JSON, "{\"a\":oops}");
	ck_assert_int_eq(client_answer(c), 201);
	client_post(c, "/", JSON ACK, "{\"a\":oops}");
	ck_assert_int_eq(client_answer(c), 400);
	ck_assert_str_eq(client_body(c), "byte 5: expected a value\n");
	ck_assert_uint_eq(ctr(CTR_ingest_bad_json), 2);
	/* some of it was good */
	sink_at_once = true;
	client_post(c, "/", JSON ACK, "{\"a\":oops}\n{\"a\":1}");
	ck_assert_int_eq(client_answer(c), 200);
	ck_assert_str_eq(client_body(c), "byte 5: expected a value\n");
	client_post(c, "/", JSON ACK, "");
	ck_assert_int_eq(client_answer(c), 200);
	client_post(c, "/", JSON ACK, "[]");
	ck_assert_int_eq(client_answer(c), 200);
	ck_assert_uint_eq(sink_records, 1);
	client_close(c);
	rig_end();
}
END_TEST

START_TEST(an_ack_waits_for_the_disk)
{
	struct client *c;

	RIG();
	c = client_open();
	client_post(c, "/", JSON ACK, "{\"a\":1}");
	while (held_n == 0)
		(void)loop_turn(loop, true);
	rest_ns(20000000);
	ck_assert_uint_eq(c->len, 0);
	ck_assert_uint_eq(serve_pending(serve), 1);
	held[0]->done(held[0], 0);
	ck_assert_int_eq(client_answer(c), 200);
	/* a disk that fails is 503, and the client's to send again */
	client_post(c, "/", JSON "Emplog-Ack: relay\r\n", "{\"a\":2}");
	while (held_n == 1)
		(void)loop_turn(loop, true);
	held[1]->done(held[1], -EIO);
	ck_assert_int_eq(client_answer(c), 503);
	ck_assert_str_eq(client_header(c, "Retry-After"), "1");
	sink_at_once = true;
	client_post(c, "/", JSON ACK, "{\"a\":2}");
	ck_assert_int_eq(client_answer(c), 200);
	ck_assert_uint_eq(ctr(CTR_ingest_duplicates), 0);
	client_close(c);
	rig_end();
}
END_TEST

START_TEST(no_room_is_a_counted_drop_or_a_503)
{
	RIG();
	sink_error = -ENOSPC;
	ck_assert_int_eq(send_one("/", JSON, "[{\"a\":1},{\"a\":2}]"), 201);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 2);
	ck_assert_int_eq(send_one("/", JSON ACK, "[{\"a\":1},{\"a\":2}]"), 503);
	ck_assert_uint_eq(ctr(CTR_ingest_refused), 2);
	ck_assert_uint_eq(ctr(CTR_ingest_records), 0);
	/* what was dropped may come again */
	sink_error = 0;
	ck_assert_int_eq(send_one("/", JSON, "[{\"a\":1},{\"a\":2}]"), 201);
	ck_assert_uint_eq(sink_records, 2);
	ck_assert_uint_eq(ctr(CTR_ingest_duplicates), 0);
	rig_end();
}
END_TEST

START_TEST(a_short_lack_of_room_is_waited_for)
{
	struct client *a, *b;

	RIG();
	sink_error = -EAGAIN;
	a = client_open();
	b = client_open();
	client_post(a, "/", JSON, "{\"a\":1}");
	client_post(b, "/", JSON, "{\"a\":2}");
	while (sink_calls < 2)
		(void)loop_turn(loop, true);
	ck_assert_uint_eq(serve_pending(serve), 2);
	sink_error = 0;
	ingest_resume(ingest);
	ck_assert_int_eq(client_answer(a), 201);
	ck_assert_int_eq(client_answer(b), 201);
	ck_assert_uint_eq(sink_records, 2);
	ck_assert_uint_eq(ctr(CTR_ingest_records), 2);
	/* a long one is not */
	sink_error = -EAGAIN;
	client_post(a, "/", JSON, "{\"a\":3}");
	ck_assert_int_eq(client_answer(a), 201);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 1);
	client_post(a, "/", JSON ACK, "{\"a\":3}");
	ck_assert_int_eq(client_answer(a), 503);
	ck_assert_uint_eq(ctr(CTR_ingest_refused), 1);
	client_close(a);
	client_close(b);
	rig_end();
}
END_TEST

START_TEST(duplicates_within_two_seconds_are_dropped)
{
	unsigned i;

	RIG();
	for (i = 0; i < 5; i++)
		ck_assert_int_eq(send_one("/", JSON, "{\"a\":1}"), 201);
	ck_assert_uint_eq(sink_records, 1);
	ck_assert_uint_eq(ctr(CTR_ingest_duplicates), 4);
	/* another path or another body is another request */
	ck_assert_int_eq(send_one("/b", JSON, "{\"a\":1}"), 201);
	ck_assert_int_eq(send_one("/", JSON, "{\"a\":1} "), 201);
	ck_assert_uint_eq(sink_records, 3);
	/* the first was not on a disk: one who asks for that is no duplicate */
	sink_at_once = true;
	ck_assert_int_eq(send_one("/", JSON ACK, "{\"a\":1}"), 200);
	ck_assert_uint_eq(sink_records, 4);
	ck_assert_int_eq(send_one("/", JSON ACK, "{\"a\":1}"), 200);
	ck_assert_uint_eq(sink_records, 4);
	ck_assert_uint_eq(ctr(CTR_ingest_duplicates), 5);
	rest_ns(2100000000);
	ck_assert_int_eq(send_one("/", JSON, "{\"a\":1}"), 201);
	ck_assert_uint_eq(sink_records, 5);
	rig_end();
}
END_TEST

START_TEST(a_large_body_goes_in_slices_and_others_between)
{
	struct client *big, *small;
	size_t n;
	char *s;

	RIG();
	s = many(80000, &n);
	ck_assert_uint_gt(n, 12u << 20);
	ck_assert_uint_lt(n, 16u << 20);
	big = client_open();
	small = client_open();
	client_post_bytes(big, "/", JSON, s, n);
	while (sink_calls == 0)
		(void)loop_turn(loop, true);
	ck_assert_uint_lt(sink_records, 80000);
	client_post(small, "/", JSON, "{\"small\":1}");
	ck_assert_int_eq(client_answer(small), 201);
	ck_assert_uint_lt(sink_records, 80000);
	ck_assert_int_eq(client_answer(big), 201);
	ck_assert_uint_eq(sink_records, 80001);
	ck_assert_uint_gt(sink_calls, 40);
	ck_assert_uint_le(sink_piece_max, 600u << 10);
	free(s);
	client_close(big);
	client_close(small);
	rig_end();
}
END_TEST

START_TEST(every_piece_of_a_large_body_must_be_durable)
{
	struct client *c;
	unsigned i;
	size_t n;
	char *s;

	RIG();
	s = many(10000, &n);
	c = client_open();
	client_post_bytes(c, "/", JSON ACK, s, n);
	while (sink_records < 10000)
		(void)loop_turn(loop, true);
	rest_ns(10000000);
	ck_assert_uint_gt(held_n, 3);
	for (i = 0; i < held_n; i++) {
		ck_assert_uint_eq(serve_pending(serve), 1);
		held[i]->done(held[i], 0);
	}
	ck_assert_int_eq(client_answer(c), 200);
	free(s);
	client_close(c);
	rig_end();
}
END_TEST

START_TEST(a_client_that_leaves_loses_nothing)
{
	struct client *c;
	size_t n;
	char *s;

	RIG();
	s = many(10000, &n);
	c = client_open();
	client_post_bytes(c, "/", JSON, s, n);
	while (sink_calls == 0)
		(void)loop_turn(loop, true);
	client_close(c);
	while (sink_records < 10000)
		(void)loop_turn(loop, true);
	free(s);
	rig_end();
}
END_TEST

START_TEST(secrets_do_not_reach_the_sink)
{
	RIG();
	ck_assert_int_eq(send_one("/", JSON,
	    "{\"request_headers\":{\"authorization\":\"Bearer abc123def\"}}"),
	    201);
	ck_assert_str_eq(record(0),
	    "{\"request_headers\":{\"authorization\":\"[redacted]\"}}");
	ck_assert_uint_eq(ctr(CTR_ingest_redacted), 1);
	rig_end();
}
END_TEST

int
main(void)
{
	TCase *c = tcase_create("all");

#define ADD(t) tcase_add_loop_test(c, t, io_first(), io_end())
	ADD(one_object_is_201_and_in_the_sink);
	ADD(every_content_type_people_send_is_understood);
	ADD(a_form_has_its_json);
	ADD(msgpack_maps_and_entries_are_taken);
	ADD(secrets_in_msgpack_are_replaced);
	ADD(msgpack_that_grows_too_large_is_refused);
	ADD(too_deep_msgpack_is_refused);
	ADD(other_methods_are_405);
	ADD(bad_json_is_201_to_old_clients_and_400_with_its_place_to_ours);
	ADD(an_ack_waits_for_the_disk);
	ADD(no_room_is_a_counted_drop_or_a_503);
	ADD(a_short_lack_of_room_is_waited_for);
	ADD(duplicates_within_two_seconds_are_dropped);
	ADD(a_large_body_goes_in_slices_and_others_between);
	ADD(every_piece_of_a_large_body_must_be_durable);
	ADD(a_client_that_leaves_loses_nothing);
	ADD(secrets_do_not_reach_the_sink);
	return rig_main("ingest", c);
}
