/* SPDX-License-Identifier: ISC */
/*
 * test_engine.c - the export over a queue and a backend, in virtual time
 *
 * Claims when a request goes out and when none does: probes, the circuit,
 * bisection, the end.  A world of one process (src/sim), so that half an hour
 * takes a moment, and one that turns in place is seen: events are counted.
 */

#include "engine_rig.h"

/* A frame that is only the beginning of a group of Fluent Bit's. */
static void
give_mark(void)
{
	uint8_t body[64];
	struct mpw w = { body, body + sizeof(body), false };

	mpw_array(&w, 2);
	mpw_event_time(&w, UINT64_C(0xffffffff) * S);
	mpw_map(&w, 0);
	put_body(&w, body, 1);
}

static int
fails_five_times_then_401(unsigned nth, struct bytes body, struct post *p)
{
	return nth < 5 ? 503 : nth == 5 ? 401 : 200;
}

START_TEST(a_401_to_the_circuits_probe_is_asked_again_after_30_s)
{
	start(fails_five_times_then_401);
	give("one", 1);
	pass(300 * S);
	ck_assert_uint_eq(post_n, 7);
	ck_assert_int_eq(post[5].status, 401);
	ck_assert_uint_ge(post[6].at_ns - post[5].at_ns, 30 * S);
	ck_assert_uint_lt(post[6].at_ns - post[5].at_ns, 31 * S);
	ck_assert_uint_eq(count(CTR_export_done_records), 1);
	stop();
}
END_TEST

static int
fails_five_times(unsigned nth, struct bytes body, struct post *p)
{
	return nth < 5 ? 503 : 200;
}

START_TEST(a_batch_without_a_record_does_not_use_up_the_circuits_probe)
{
	start(fails_five_times);
	give("one", 1);
	while (count(CTR_export_circuit_open) == 0)
		pass(10 * MS);
	give_mark();
	pass(300 * S);
	ck_assert_uint_eq(count(CTR_export_group_marks), 1);
	ck_assert_uint_eq(count(CTR_export_done_records), 1);
	stop();
}
END_TEST

static int
one_waits_an_hour_the_rest_is_refused(unsigned nth, struct bytes body,
    struct post *p)
{
	if (nth == 0) {
		p->retry_after_ms = 3600000;
		return 429;
	}
	return 401;
}

START_TEST(held_it_asks_every_30_s_although_another_batch_waits_an_hour)
{
	unsigned i;

	start(one_waits_an_hour_the_rest_is_refused);
	give("one", 1);
	pass(S);
	give("two", 1);
	pass(601 * S);
	ck_assert_uint_ge(post_n, 21);
	ck_assert_uint_le(post_n, 23);
	for (i = 2; i < post_n; i++) {
		ck_assert_uint_ge(post[i].at_ns - post[i - 1].at_ns, 30 * S);
		ck_assert_uint_lt(post[i].at_ns - post[i - 1].at_ns, 31 * S);
	}
	stop();
}
END_TEST

static unsigned one_at, two_at;		/* number of the request, plus 1 */

static int
one_waits_ten_minutes(unsigned nth, struct bytes body, struct post *p)
{
	if (nth == 0) {
		p->retry_after_ms = 600000;
		return 429;
	}
	if (has(body, "one"))
		one_at = nth + 1;
	else if (two_at == 0)
		two_at = nth + 1;
	return 200;
}

/* And one request that waits is not an outage: nothing else is behind. */
START_TEST(a_request_that_waits_is_overtaken_by_the_next)
{
	unsigned i;

	one_at = two_at = 0;
	start(one_waits_ten_minutes);
	give("one", 1);
	pass(S);
	for (i = 0; i < 10; i++) {
		give("two", 1);
		pass(59 * S);
	}
	ck_assert_uint_eq(one_at, 0);
	ck_assert_uint_eq(count(CTR_export_done_records), 10);
	pass(60 * S);
	ck_assert_uint_lt(two_at, one_at);
	ck_assert_uint_eq(count(CTR_export_done_records), 11);
	ck_assert_uint_eq(count(CTR_queue_returns), 0);
	stop();
}
END_TEST

/* The first answer comes when the sim's longest delay is over. */
static int
always_401(unsigned nth, struct bytes body, struct post *p)
{
	return 401;
}

START_TEST(held_it_asks_with_one_batch_at_a_time)
{
	unsigned i, k;

	start(always_401);
	for (i = 0; i < 20; i++) {
		give("one", 1);
		pass(500 * MS);
	}
	k = post_n;
	pass(300 * S);
	ck_assert_uint_ge(post_n - k, 9);
	ck_assert_uint_le(post_n - k, 11);
	ck_assert_uint_eq(count(CTR_export_dead_records), 0);
	stop();
}
END_TEST

static int
takes_one_then_refuses(unsigned nth, struct bytes body, struct post *p)
{
	return nth == 0 ? 200 : 400;
}

START_TEST(records_refused_one_by_one_die_at_most_one_a_second)
{
	unsigned i;

	start(takes_one_then_refuses);
	give("good", 1);
	pass(S);
	for (i = 0; i < 100; i++) {
		give("bad", 1);
		pass(100 * MS);
	}
	ck_assert_uint_ge(count(CTR_export_dead_records), 1);
	ck_assert_uint_le(count(CTR_export_dead_records), 11);
	stop();
}
END_TEST

START_TEST(ten_minutes_after_the_last_success_nothing_dies)
{
	uint64_t dead;

	start(takes_one_then_refuses);
	give("good", 1);
	pass(600 * S);
	pass(2 * S);
	give("bad", 100);
	pass(60 * S);
	dead = count(CTR_export_dead_records);
	ck_assert_uint_eq(dead, 0);
	ck_assert_uint_eq(count(CTR_export_held_auth), 1);
	stop();
}
END_TEST

static int
refuses_what_is_bad(unsigned nth, struct bytes body, struct post *p)
{
	return has(body, "bad") ? 422 : 200;
}

START_TEST(a_refused_record_dies_alone)
{
	start(refuses_what_is_bad);
	give("good", 1);
	pass(S);
	give("good", 40);
	give("bad", 1);
	give("good", 40);
	pass(60 * S);
	ck_assert_uint_eq(count(CTR_export_dead_records), 1);
	ck_assert_uint_eq(count(CTR_export_done_records), 81);
	ck_assert_uint_eq(queue_held_frames(queue), 0);
	stop();
}
END_TEST

/* Found by the simulator's seed 164: it held for ever. */
START_TEST(a_bad_record_in_every_request_is_no_configuration)
{
	unsigned i;

	start(refuses_what_is_bad);
	for (i = 0; i < 8; i++) {
		give("bad", 1);
		give("good", 40);
		pass(500 * MS);
	}
	ck_assert_uint_eq(count(CTR_export_done_records), 0);
	pass(1800 * S);
	ck_assert_uint_eq(count(CTR_export_dead_records), 8);
	ck_assert_uint_eq(count(CTR_export_done_records), 320);
	ck_assert_uint_eq(queue_held_frames(queue), 0);
	stop();
}
END_TEST

START_TEST(a_letter_the_disk_does_not_take_is_told_and_kept_later)
{
	start(refuses_what_is_bad);
	give("good", 1);
	pass(S);
	give("bad", 1);
	while (durable_n < 2)
		pass(MS / 100);
	sought = "cannot keep a dead letter";
	sim->faults.write_error = 1000000;
	pass(30 * S);
	ck_assert_uint_eq(count(CTR_export_dead_records), 0);
	ck_assert_uint_eq(lines_n, 1);
	ck_assert_uint_eq(count(CTR_export_dead_error), EIO);
	sought = "dead letters are kept under '/dead' again";
	sim_calm(sim);
	pass(10 * S);
	ck_assert_uint_eq(count(CTR_export_dead_records), 1);
	ck_assert_uint_eq(lines_n, 2);
	ck_assert_uint_eq(count(CTR_export_dead_error), 0);
	give("good", 1);
	pass(S);
	ck_assert_uint_eq(count(CTR_export_done_records), 2);
	stop();
}
END_TEST

static int
rejects_in_part(unsigned nth, struct bytes body, struct post *p)
{
	/* partial_success: rejected 1 or 0, "old" */
	memcpy(p->answer, nth % 2 == 0 ? "\x0a\x07\x08\x01\x12\x03old" :
	    "\x0a\x07\x08\x00\x12\x03old", 9);
	p->answer_len = 9;
	return 200;
}

START_TEST(partial_success_is_told_at_once_and_then_once_a_minute)
{
	unsigned i;

	start(rejects_in_part);
	sought = "old";
	lines_n = 0;
	give("one", 1);
	pass(S);
	ck_assert_uint_eq(lines_n, 1);
	for (i = 0; i < 119; i++) {
		give("one", 1);
		pass(S);
	}
	ck_assert_uint_ge(lines_n, 2);
	ck_assert_uint_le(lines_n, 3);
	ck_assert_uint_eq(count(CTR_export_rejected_records), 60);
	ck_assert_uint_eq(count(CTR_export_retries), 0);
	stop();
}
END_TEST

static int
warns(unsigned nth, struct bytes body, struct post *p)
{
	memcpy(p->answer, "\x0a\x06\x12\x04soon", 8);
	p->answer_len = 8;
	return 200;
}

START_TEST(a_warning_that_rejects_nothing_is_told_too)
{
	start(warns);
	sought = "soon";
	lines_n = 0;
	give("one", 1);
	pass(S);
	ck_assert_uint_eq(lines_n, 1);
	ck_assert_uint_eq(count(CTR_export_done_records), 1);
	stop();
}
END_TEST

static int
asks_for_seven_seconds(unsigned nth, struct bytes body, struct post *p)
{
	p->retry_after_ms = 7000;
	return nth < 20 ? 503 : 200;
}

START_TEST(retry_after_is_kept_to_the_millisecond_and_opens_no_circuit)
{
	unsigned i;

	start(asks_for_seven_seconds);
	give("one", 1);
	pass(200 * S);
	ck_assert_uint_eq(post_n, 21);
	for (i = 1; i < post_n; i++) {
		ck_assert_uint_ge(post[i].at_ns - post[i - 1].at_ns, 7 * S);
		ck_assert_uint_lt(post[i].at_ns - post[i - 1].at_ns,
		    7 * S + 3 * MS);
	}
	stop();
}
END_TEST

static int
is_away(unsigned nth, struct bytes body, struct post *p)
{
	return 0;
}

START_TEST(a_backend_that_is_away_is_asked_less_and_less_and_nothing_is_lost)
{
	unsigned i, k;

	start(is_away);
	for (i = 0; i < 50; i++) {
		give("one", 1);
		pass(200 * MS);
	}
	pass(600 * S);
	k = post_n;
	pass(600 * S);
	ck_assert_uint_ge(post_n - k, 9);
	ck_assert_uint_le(post_n - k, 41);
	say = refuses_what_is_bad;
	pass(120 * S);
	ck_assert_uint_eq(count(CTR_export_done_records), 50);
	stop();
}
END_TEST

static int
too_large_over_300_bytes(unsigned nth, struct bytes body, struct post *p)
{
	return body.n > 300 ? 413 : 200;
}

START_TEST(texts_repaired_are_counted_once)
{
	start(refuses_what_is_bad);
	give("\xff", 3);
	pass(S);
	ck_assert_uint_eq(count(CTR_export_repaired_texts), 3);
	stop();
}
END_TEST

START_TEST(a_413_halves_without_a_wait)
{
	start(too_large_over_300_bytes);
	give("twenty bytes of text", 64);
	pass(S);
	ck_assert_uint_eq(count(CTR_export_done_records), 64);
	ck_assert_uint_eq(count(CTR_export_dead_records), 0);
	stop();
}
END_TEST

/* Twenty that nobody took for two minutes. */
static void
twenty_have_waited(const char *endpoint)
{
	reset();
	conf.endpoint = endpoint;
	conf.batch_bytes = 1;
	conf.requests_max = 1;
	start(refuses_what_is_bad);
	stopped_n = 0;
	export_stop(export, sim_now(sim) + S, stopped, NULL);
	pass(10 * S);
	ck_assert_int_eq(stopped_n, 1);
	export_free(&export);
	give("one", 1);
	while (durable_n < 20) {
		pass(S);
		give("one", 1);
	}
	pass(120 * S);
	crash_and_start(false);
	give("two", 1);
	pass(60 * S);
	ck_assert_uint_eq(count(CTR_export_done_records), durable_n);
}

START_TEST(a_local_export_keeps_its_lines_in_order_also_after_a_wait)
{
	twenty_have_waited("");
	ck_assert_uint_eq(count(CTR_queue_returns), 0);
	stop();
	twenty_have_waited("http://backend");
	ck_assert_uint_eq(count(CTR_queue_returns), 1);
	stop();
}
END_TEST

START_TEST(a_new_target_is_taken_while_held_and_while_waiting)
{
	start(one_waits_an_hour_the_rest_is_refused);
	give("one", 1);
	pass(S);
	give("two", 1);
	pass(10 * S);
	say = refuses_what_is_bad;
	ck_assert_int_eq(export_reconf(export, &conf), 0);
	pass(2 * S);
	ck_assert_uint_eq(count(CTR_export_done_records), 2);
	stop();
}
END_TEST

START_TEST(what_was_not_answered_stays_in_the_queue)
{
	start(is_away);
	give("one", 5);
	pass(S);
	stopped_n = 0;
	export_stop(export, sim_now(sim) + S, stopped, NULL);
	pass(10 * S);
	ck_assert_int_eq(stopped_n, 1);
	export_free(&export);
	ck_assert_uint_eq(queue_held_records(queue), 5);
	queue_rewind(queue);
	say = refuses_what_is_bad;
	ck_assert_int_eq(export_new(&export, &env, queue, &conf), 0);
	export_start(export, opened, NULL);
	pass(S);
	ck_assert_uint_eq(count(CTR_export_done_records), 5);
	stop();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("engine");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, reset, NULL);
	tcase_add_test(tc,
	    a_401_to_the_circuits_probe_is_asked_again_after_30_s);
	tcase_add_test(tc,
	    a_batch_without_a_record_does_not_use_up_the_circuits_probe);
	tcase_add_test(tc,
	    held_it_asks_every_30_s_although_another_batch_waits_an_hour);
	tcase_add_test(tc,
	    a_local_export_keeps_its_lines_in_order_also_after_a_wait);
	tcase_add_test(tc, a_request_that_waits_is_overtaken_by_the_next);
	tcase_add_test(tc, held_it_asks_with_one_batch_at_a_time);
	tcase_add_test(tc,
	    records_refused_one_by_one_die_at_most_one_a_second);
	tcase_add_test(tc, ten_minutes_after_the_last_success_nothing_dies);
	tcase_add_test(tc, a_refused_record_dies_alone);
	tcase_add_test(tc,
	    a_bad_record_in_every_request_is_no_configuration);
	tcase_add_test(tc,
	    a_letter_the_disk_does_not_take_is_told_and_kept_later);
	tcase_add_test(tc,
	    partial_success_is_told_at_once_and_then_once_a_minute);
	tcase_add_test(tc, a_warning_that_rejects_nothing_is_told_too);
	tcase_add_test(tc,
	    retry_after_is_kept_to_the_millisecond_and_opens_no_circuit);
	tcase_add_test(tc,
	    a_backend_that_is_away_is_asked_less_and_less_and_nothing_is_lost);
	tcase_add_test(tc, texts_repaired_are_counted_once);
	tcase_add_test(tc, a_413_halves_without_a_wait);
	tcase_add_test(tc, a_new_target_is_taken_while_held_and_while_waiting);
	tcase_add_test(tc, what_was_not_answered_stays_in_the_queue);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
