/* SPDX-License-Identifier: ISC */
/*
 * test_ingest_flow.c - clients that come together, too large or too late
 *
 * Claimed: an old client hears 2xx soon whatever becomes of its body, and a
 * duplicate is one also while the first is still under way.
 * How:      see ingest_rig.h.
 */
#include "ingest_rig.h"

#define SMALL	65536

static const struct serve_conf small = { .handler = on_req,
    .refused = on_refused, .body_max = SMALL, .budget_bytes = SMALL };

START_TEST(what_is_not_even_read_is_201_to_old_clients)
{
	char *big = calloc(1, SMALL + 1);
	struct client *c, *waits;

	memset(big, ' ', SMALL + 1);
	RIG_OF(&small);
	c = client_open();
	/* too large */
	client_post_bytes(c, "/", JSON, big, SMALL + 1);
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(ctr(CTR_ingest_too_large), 1);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 1);
	client_post_bytes(c, "/", JSON ACK, big, SMALL + 1);
	ck_assert_int_eq(client_answer(c), 413);
	ck_assert_uint_eq(ctr(CTR_ingest_too_large), 2);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 1);
	/* in an encoding nobody knows, or a broken one */
	client_post(c, "/", JSON "Content-Encoding: br\r\n", "{\"a\":1}");
	ck_assert_int_eq(client_answer(c), 201);
	client_post(c, "/", JSON "Content-Encoding: gzip\r\n", "{\"a\":1}");
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(ctr(CTR_ingest_bad_request), 2);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 3);
	/* while another one's body fills the room for bodies */
	waits = client_open();
	memcpy(big, "{\"a\":1}", 7);
	client_post_bytes(waits, "/", JSON ACK, big, SMALL);
	while (held_n == 0)
		(void)loop_turn(loop, true);
	client_post(c, "/", JSON, "{\"a\":2}");
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(ctr(CTR_ingest_busy), 1);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 4);
	client_post(c, "/", JSON ACK, "{\"a\":2}");
	ck_assert_int_eq(client_answer(c), 503);
	ck_assert_str_eq(client_header(c, "Retry-After"), "1");
	held[0]->done(held[0], 0);
	ck_assert_int_eq(client_answer(waits), 200);
	client_close(waits);
	client_close(c);
	free(big);
	rig_end();
}
END_TEST

START_TEST(a_duplicate_of_one_under_way_shares_its_fate)
{
	struct client *a, *b, *old;

	RIG();
	a = client_open();
	b = client_open();
	old = client_open();
	client_post(a, "/", JSON ACK, "{\"a\":1}");
	while (held_n == 0)
		(void)loop_turn(loop, true);
	client_post(b, "/", JSON ACK, "{\"a\":1}");
	while (ctr(CTR_ingest_duplicates) == 0)
		(void)loop_turn(loop, true);
	/* an old client does not wait for the disk */
	client_post(old, "/", JSON, "{\"a\":1}");
	ck_assert_int_eq(client_answer(old), 201);
	ck_assert_uint_eq(ctr(CTR_ingest_duplicates), 2);
	ck_assert_uint_eq(sink_records, 1);
	ck_assert_uint_eq(b->len, 0);
	held[0]->done(held[0], 0);
	ck_assert_int_eq(client_answer(a), 200);
	ck_assert_int_eq(client_answer(b), 200);
	/* and when the disk fails, neither is acknowledged */
	client_post(a, "/", JSON ACK, "{\"a\":2}");
	while (held_n == 1)
		(void)loop_turn(loop, true);
	client_post(b, "/", JSON ACK, "{\"a\":2}");
	while (ctr(CTR_ingest_duplicates) == 2)
		(void)loop_turn(loop, true);
	held[1]->done(held[1], -EIO);
	ck_assert_int_eq(client_answer(a), 503);
	ck_assert_int_eq(client_answer(b), 503);
	ck_assert_uint_eq(sink_records, 2);
	client_close(a);
	client_close(b);
	client_close(old);
	rig_end();
}
END_TEST

START_TEST(a_duplicate_of_one_that_waits_for_room_counts_once)
{
	struct client *a, *b, *c;

	RIG();
	sink_error = -EAGAIN;
	a = client_open();
	b = client_open();
	client_post(a, "/", JSON, "{\"a\":1}");
	while (sink_calls == 0)
		(void)loop_turn(loop, true);
	client_post(b, "/", JSON, "{\"a\":1}");
	while (ctr(CTR_ingest_duplicates) == 0)
		(void)loop_turn(loop, true);
	ck_assert_uint_eq(b->len, 0);
	/* one that wants the disk is not content with that */
	sink_error = 0;
	sink_at_once = true;
	c = client_open();
	client_post(c, "/", JSON ACK, "{\"a\":1}");
	ck_assert_int_eq(client_answer(c), 200);
	ck_assert_uint_eq(sink_durable, 1);
	ingest_resume(ingest);
	ck_assert_int_eq(client_answer(a), 201);
	ck_assert_int_eq(client_answer(b), 201);
	ck_assert_uint_eq(sink_records, 2);
	client_close(a);
	client_close(b);
	client_close(c);
	rig_end();
}
END_TEST

/* A sink with room for one piece every 0.4 s: no piece waits for 0.5. */
START_TEST(a_body_that_waits_again_and_again_is_answered_all_the_same)
{
	uint64_t began;
	struct client *c;
	size_t n;
	char *s;

	RIG();
	s = many(20000, &n);
	sink_error = -EAGAIN;
	c = client_open();
	began = loop_now(loop);
	client_post_bytes(c, "/", JSON, s, n);
	while (sink_calls == 0 || serve_pending(serve) > 0) {
		rest_ns(400000000);
		sink_room = 1;
		ingest_resume(ingest);
	}
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_lt(loop_now(loop) - began, 4500000000u);
	ck_assert_uint_gt(sink_records, 0);
	ck_assert_uint_eq(ctr(CTR_ingest_records), sink_records);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 20000 - sink_records);
	free(s);
	client_close(c);
	rig_end();
}
END_TEST

/* Posts it as an old client; it is on its way to the disk. */
static struct client *
post_to_disk(const char *body)
{
	struct client *c = client_open();
	unsigned before = held_n;

	sink_disk = true;
	client_post(c, "/", JSON, body);
	while (held_n == before)
		(void)loop_turn(loop, true);
	return c;
}

START_TEST(an_old_client_is_answered_when_the_disk_has_it)
{
	struct client *a, *again;

	RIG();
	a = post_to_disk("{\"a\":1}");
	again = client_open();
	client_post(again, "/", JSON, "{\"a\":1}");
	while (ctr(CTR_ingest_duplicates) == 0)
		(void)loop_turn(loop, true);
	ck_assert_uint_eq(serve_pending(serve), 2);
	held[0]->done(held[0], 0);
	ck_assert_int_eq(client_answer(a), 201);
	ck_assert_int_eq(client_answer(again), 201);
	ck_assert_uint_eq(ctr(CTR_ingest_records), 1);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 0);
	client_close(a);
	client_close(again);
	rig_end();
}
END_TEST

START_TEST(what_the_disk_refuses_of_an_old_client_is_counted)
{
	struct client *a;

	RIG();
	a = post_to_disk("{\"a\":1}");
	held[0]->done(held[0], -EIO);
	ck_assert_int_eq(client_answer(a), 201);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 1);
	/* so that it is no duplicate, should it come again */
	client_close(a);
	a = post_to_disk("{\"a\":1}");
	ck_assert_uint_eq(ctr(CTR_ingest_duplicates), 0);
	held[1]->done(held[1], 0);
	ck_assert_int_eq(client_answer(a), 201);
	client_close(a);
	rig_end();
}
END_TEST

START_TEST(a_disk_that_is_stuck_keeps_no_old_client)
{
	struct client *a, *b, *again;
	uint64_t began;

	RIG();
	began = loop_now(loop);
	a = post_to_disk("{\"a\":1}");
	b = post_to_disk("{\"a\":2}");
	ck_assert_int_eq(client_answer(a), 201);
	ck_assert_int_eq(client_answer(b), 201);
	ck_assert_uint_ge(loop_now(loop) - began, 1000000000u);
	ck_assert_uint_lt(loop_now(loop) - began, 3000000000u);
	/* nor what comes once more */
	again = client_open();
	client_post(again, "/", JSON, "{\"a\":2}");
	ck_assert_int_eq(client_answer(again), 201);
	held[0]->done(held[0], 0);
	held[1]->done(held[1], -EIO);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 1);
	/* and at the end even less */
	began = loop_now(loop);
	client_post(a, "/", JSON, "{\"a\":3}");
	while (held_n == 2)
		(void)loop_turn(loop, true);
	ingest_hurry(ingest);
	ck_assert_int_eq(client_answer(a), 201);
	ck_assert_uint_lt(loop_now(loop) - began, 900000000u);
	held[2]->done(held[2], 0);
	client_close(a);
	client_close(b);
	client_close(again);
	rig_end();
}
END_TEST

START_TEST(in_a_hurry_nobody_waits_for_room)
{
	struct client *a;

	RIG();
	sink_error = -EAGAIN;
	a = client_open();
	client_post(a, "/", JSON ACK, "{\"a\":1}");
	while (sink_calls == 0)
		(void)loop_turn(loop, true);
	ck_assert_uint_eq(serve_pending(serve), 1);
	ingest_hurry(ingest);
	ck_assert_int_eq(client_answer(a), 503);
	ck_assert_uint_eq(sink_calls, 2);
	client_post(a, "/", JSON, "{\"a\":2}");
	ck_assert_int_eq(client_answer(a), 201);
	ck_assert_uint_eq(sink_calls, 3);
	ck_assert_uint_eq(ctr(CTR_ingest_refused), 1);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped), 1);
	client_close(a);
	rig_end();
}
END_TEST

int
main(void)
{
	TCase *c = tcase_create("all");

#define ADD(t) tcase_add_loop_test(c, t, io_first(), io_end())
	ADD(what_is_not_even_read_is_201_to_old_clients);
	ADD(a_duplicate_of_one_under_way_shares_its_fate);
	ADD(a_duplicate_of_one_that_waits_for_room_counts_once);
	ADD(a_body_that_waits_again_and_again_is_answered_all_the_same);
	ADD(an_old_client_is_answered_when_the_disk_has_it);
	ADD(what_the_disk_refuses_of_an_old_client_is_counted);
	ADD(a_disk_that_is_stuck_keeps_no_old_client);
	ADD(in_a_hurry_nobody_waits_for_room);
	return rig_main("ingest_flow", c);
}
