/* SPDX-License-Identifier: ISC */
/*
 * test_letters.c - dead letters, and back
 *
 * Claims what becomes of a letter that is asked for: exported as the record
 * it was, buried anew, dropped; counted; kept over a crash at any moment.
 * Claims that days of refusals kill no record that another configuration
 * would deliver, and that one bad record in 500 dies alone.  In virtual time.
 */

#include "engine_rig.h"
#include "export/asked.h"
#include "export/letter.h"

#include <fcntl.h>

#define HOUR		(3600 * S)
#define DAY		(24 * HOUR)
#define UIDS_MAX	1024

static bool down;		/* nothing is taken */
static int down_status;
static uint8_t refused[4096];	/* the last request that was */
static size_t refused_n;
static unsigned same;		/* accepted ones equal to it, byte for byte */
static unsigned got[64];	/* accepted records "bad #NN" */
static bool bad_is_fine;	/* the backend thinks better of it */
static unsigned bad_seen;	/* accepted records that are bad */
static unsigned good_seen;

static void
again(void)
{
	reset();
	down = false;
	refused_n = same = 0;
	memset(got, 0, sizeof(got));
	bad_is_fine = false;
	bad_seen = good_seen = 0;
}

static unsigned
times(struct bytes body, const char *text)
{
	const uint8_t *p = body.p, *end = body.p + body.n;
	unsigned n = 0;

	for (; (p = memmem(p, (size_t)(end - p), text, strlen(text))) != NULL;
	    p += strlen(text))
		n++;
	return n;
}

static void
note_accepted(struct bytes body)
{
	char name[16];
	unsigned i;

	bad_seen += times(body, "bad");
	good_seen += times(body, "good");
	for (i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "bad #%02u", i);
		got[i] += times(body, name);
	}
	same += refused_n > 0 &&
	    bytes_eq(body, bytes_of(refused, refused_n));
}

static void
note_refused(struct bytes body)
{
	refused_n = body.n < sizeof(refused) ? body.n : 0;
	memcpy(refused, body.p, refused_n);
}

static int
refuses_what_is_bad(unsigned nth, struct bytes body, struct post *p)
{
	if (down)
		return down_status;
	if (has(body, "bad") && !bad_is_fine) {
		memcpy(p->answer, "no such thing", 13);
		p->answer_len = 13;
		snprintf(p->content_type, sizeof(p->content_type),
		    "text/plain");
		note_refused(body);
		return 400;
	}
	note_accepted(body);
	return 200;
}

/* As the verb does it: written aside, then renamed. */
static void
ask(const char *text)
{
	struct entry_name *e;
	int fd = disk_open(proc, "/dead/asked/.tmp", O_CREAT | O_RDWR, 0600);

	ck_assert_int_ge(fd, 0);
	e = disk_find(host, "/dead/asked/.tmp");
	ck_assert_int_eq(disk_resize(e->node, 0), 0);
	ck_assert_int_eq(disk_write(proc, e->node, text, strlen(text), 0),
	    (int64_t)strlen(text));
	disk_close(proc, fd);
	ck_assert_int_eq(disk_rename(proc, "/dead/asked/.tmp",
	    "/dead/asked/1.ask"), 0);
}

static bool
is_asked(void)
{
	const struct entry_name *e = disk_find(host, "/dead/asked/1.ask");

	return e != NULL && e->node != NULL;
}

/* n letters, each with a record of its own. */
static void
bury(unsigned n)
{
	char name[16];
	unsigned i;

	give("good", 1);
	pass(S);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "bad #%02u", i);
		give(name, 1);
		pass(3 * S);
	}
	ck_assert_uint_eq(count(CTR_export_dead_records), n);
	ck_assert_uint_eq(count(CTR_export_dead_held), n);
}

/* One frame; the 322nd record is the bad one. */
static void
give_500_with_a_bad_one(void)
{
	static uint8_t body[1u << 17];
	struct mpw w = { body, body + sizeof(body), false };
	unsigned i;

	for (i = 0; i < 500; i++) {
		mpw_array(&w, 2);
		mpw_event_time(&w, loop_wall(env.loop));
		mpw_map(&w, 1);
		mpw_str(&w, BYTES("message"));
		mpw_str(&w, i == 321 ? BYTES("bad") : BYTES("good"));
	}
	put_body(&w, body, 500);
}

START_TEST(a_letter_given_back_is_accepted_once_and_counted)
{
	start(refuses_what_is_bad);
	bury(3);
	bad_is_fine = true;
	ask("emplogd-dlq 1 replay 0-2\n");
	pass(10 * S);
	ck_assert_uint_eq(bad_seen, 3);
	ck_assert_uint_eq(count(CTR_export_dead_replayed), 3);
	ck_assert_uint_eq(count(CTR_export_dead_held), 0);
	ck_assert_uint_eq(count(CTR_export_done_records), 4);
	ck_assert_uint_eq(count(CTR_export_taken_records), 7);
	ck_assert(!is_asked());
	stop();
}
END_TEST

START_TEST(only_the_letters_asked_for_come_back)
{
	start(refuses_what_is_bad);
	bury(5);
	bad_is_fine = true;
	ask("emplogd-dlq 1 replay 1 3-3\n");
	pass(10 * S);
	ck_assert_uint_eq(bad_seen, 2);
	ck_assert_uint_eq(count(CTR_export_dead_held), 3);
	ask("emplogd-dlq 1 replay 0-99\n");
	pass(10 * S);
	ck_assert_uint_eq(bad_seen, 5);
	ck_assert_uint_eq(count(CTR_export_dead_held), 0);
	stop();
}
END_TEST

START_TEST(a_letter_refused_again_is_a_letter_again_and_once)
{
	start(refuses_what_is_bad);
	bury(2);
	ask("emplogd-dlq 1 replay 0-1\n");
	pass(60 * S);
	ck_assert_uint_eq(count(CTR_export_dead_held), 2);
	ck_assert_uint_eq(count(CTR_export_dead_records), 4);
	ck_assert_uint_eq(count(CTR_export_dead_replayed), 2);
	ck_assert(!is_asked());
	stop();
}
END_TEST

START_TEST(letters_dropped_are_counted_and_the_rest_is_kept)
{
	start(refuses_what_is_bad);
	bury(4);
	ask("emplogd-dlq 1 drop 1-2\n");
	pass(10 * S);
	ck_assert_uint_eq(count(CTR_export_dead_dropped), 2);
	ck_assert_uint_eq(count(CTR_export_dead_held), 2);
	ck_assert(!is_asked());
	bad_is_fine = true;
	ask("emplogd-dlq 1 replay 0-9\n");
	pass(10 * S);
	ck_assert_uint_eq(bad_seen, 2);
	stop();
}
END_TEST

static struct bytes
lane_identity(void)
{
	static uint8_t buf[256];
	struct mpw w = { buf, buf + sizeof(buf), false };

	mpw_map(&w, 2);
	mpw_str(&w, BYTES("worker_id"));
	mpw_str(&w, BYTES("worker-7"));
	mpw_str(&w, BYTES("service_type"));
	mpw_str(&w, BYTES("gpu"));
	return bytes_of(buf, (size_t)(w.p - buf));
}

START_TEST(a_letter_given_back_is_the_request_that_was_refused_to_the_byte)
{
	start(refuses_what_is_bad);
	identity = lane_identity();
	bury(1);
	ck_assert(has(bytes_of(refused, refused_n), "worker-7"));
	ck_assert(has(bytes_of(refused, refused_n), "log.record.uid"));
	pass(DAY);
	bad_is_fine = true;
	ask("emplogd-dlq 1 replay 0\n");
	pass(10 * S);
	ck_assert_uint_eq(bad_seen, 1);
	ck_assert_uint_eq(same, 1);
	stop();
}
END_TEST

/*
 * Whatever is under way when it ends: a letter is accepted, or kept, and what
 * was asked for is done by the next process; but for the one batch that was
 * under way nothing comes twice.
 */
static void
end_while_letters_go_back(unsigned events, bool power, bool slow)
{
	unsigned i;

	again();
	start(refuses_what_is_bad);
	bury(5);
	bad_is_fine = true;
	down = slow;		/* the letters wait for seconds */
	down_status = 503;
	ask("emplogd-dlq 1 replay 0-1 3-4\n");
	happen(events);
	down = false;
	crash_and_start(power);
	pass(30 * S);
	if (power && count(CTR_export_dead_held) > 1) {
		ask("emplogd-dlq 1 replay 0-1 3-4\n");	/* it was not synced */
		pass(30 * S);
	}
	ck_assert_uint_eq(count(CTR_export_dead_held), 1);
	for (i = 0; i < 5; i++) {
		ck_assert_uint_ge(got[i], i != 2);
		ck_assert_uint_le(got[i], i == 2 ? 0 : 2);
	}
	ck_assert(!is_asked());
	stop();
}

START_TEST(a_crash_at_any_event_of_a_replay_loses_no_letter)
{
	unsigned n;

	for (n = 0; n < 240; n++)
		end_while_letters_go_back(n / 4, n & 1, n & 2);
}
END_TEST

START_TEST(an_end_at_any_event_of_a_replay_loses_no_letter)
{
	unsigned n;

	for (n = 0; n < 60; n++) {
		again();
		start(refuses_what_is_bad);
		bury(3);
		bad_is_fine = true;
		ask("emplogd-dlq 1 replay 0-2\n");
		happen(n);
		ck_assert_uint_eq(bad_seen + count(CTR_export_dead_held) >= 3,
		    1);
		stop();
	}
}
END_TEST

START_TEST(of_500_records_the_bad_one_dies_alone)
{
	unsigned i, steps = 0;
	uint64_t last = 0;

	start(refuses_what_is_bad);
	give("good", 1);
	pass(S);
	give_500_with_a_bad_one();
	pass(60 * S);
	ck_assert_uint_eq(count(CTR_export_dead_records), 1);
	ck_assert_uint_eq(count(CTR_export_done_records), 500);
	ck_assert_uint_eq(good_seen, 500);
	ck_assert_uint_eq(bad_seen, 0);
	for (i = 0; i < post_n; i++) {
		if (post[i].status != 400)
			continue;
		if (steps++ > 1)
			ck_assert_uint_ge(post[i].at_ns - last, S - 10 * MS);
		last = post[i].at_ns;
	}
	ck_assert_uint_ge(steps, 9);
	ck_assert_uint_le(steps, 10);
	stop();
}
END_TEST

/*
 * A day on which everything is answered so, a record a minute; `before`: the
 * last one before it was accepted.  What died at its beginning, when it might
 * have been the records' fault, comes back by replay.
 */
static void
a_day_of(int status, bool before, unsigned dead_most)
{
	unsigned i, given = before;

	start(refuses_what_is_bad);
	if (before)
		give("good", 1);
	pass(S);
	down = true;
	down_status = status;
	for (i = 0; i < 24 * 60; i++) {
		give("good", 1);
		given++;
		pass(60 * S);
	}
	ck_assert_uint_le(count(CTR_export_dead_records), dead_most);
	/* asked every 30 s, or, of an outage, about once a minute */
	ck_assert_uint_ge(post_n, 24 * 60 / 2);
	ck_assert_uint_le(post_n, 24 * 60 * 2 + 700);
	down = false;
	pass(HOUR);
	ck_assert_uint_eq(good_seen + count(CTR_export_dead_held), given);
	if (count(CTR_export_dead_held) > 0)
		ask("emplogd-dlq 1 replay 0-9999\n");
	pass(60 * S);
	ck_assert_uint_eq(good_seen, given);
	ck_assert_uint_eq(count(CTR_export_dead_held), 0);
	stop();
}

START_TEST(a_day_of_400s_from_the_start_kills_nothing)
{
	a_day_of(400, false, 0);
}
END_TEST

START_TEST(a_day_of_400s_after_a_success_kills_for_ten_minutes_at_most)
{
	a_day_of(400, true, 11);
}
END_TEST

START_TEST(a_day_of_401s_kills_nothing)
{
	a_day_of(401, true, 0);
}
END_TEST

START_TEST(a_day_of_404s_kills_nothing)
{
	a_day_of(404, true, 0);
}
END_TEST

START_TEST(a_day_of_500s_kills_nothing)
{
	a_day_of(500, true, 0);
}
END_TEST

START_TEST(fresh_records_pass_letters_that_are_refused_again)
{
	unsigned most, i;

	for (most = 1; most <= 4; most += 3) {
		again();
		conf.requests_max = most;
		start(refuses_what_is_bad);
		bury(40);
		good_seen = 0;
		ask("emplogd-dlq 1 replay 0-39\n");
		for (i = 0; i < 60; i++) {
			give("good", 1);
			pass(S);
		}
		/* of one request a bisection holds up the queue behind it */
		if (most > 1)
			ck_assert_uint_ge(good_seen, 58);
		pass(HOUR);
		ck_assert_uint_eq(good_seen, 60);
		ck_assert_uint_eq(count(CTR_export_dead_held), 40);
		stop();
	}
}
END_TEST

START_TEST(letters_that_damage_took_are_counted)
{
	struct entry_name *e;
	uint8_t junk[64];

	start(refuses_what_is_bad);
	bury(4);
	e = disk_find(host, "/dead/0000000000000001.seg");
	ck_assert_ptr_nonnull(e);
	memset(junk, 0xa5, sizeof(junk));
	ck_assert_int_eq(disk_write(proc, e->node, junk, sizeof(junk),
	    8192 + 100), sizeof(junk));
	crash_and_start(false);
	pass(S);
	ck_assert_uint_eq(count(CTR_export_dead_lost), 1);
	ck_assert_uint_eq(count(CTR_export_dead_held), 3);
	bad_is_fine = true;
	ask("emplogd-dlq 1 replay 0-9\n");
	pass(10 * S);
	ck_assert_uint_eq(bad_seen, 3);
	ck_assert_uint_eq(count(CTR_export_dead_replayed), 3);
	ck_assert_uint_eq(count(CTR_export_dead_lost), 1);
	ck_assert(!is_asked());
	stop();
}
END_TEST

/* Bytes that are to go alone, taken from the queue with others. */
static void
give_alone(const char *bytes, uint8_t is_encoding, uint8_t has_flags)
{
	struct mpw w = { NULL, NULL, false };

	encoding = is_encoding;
	flags = has_flags;
	w.p = (uint8_t *)(uintptr_t)bytes + strlen(bytes);
	put_body(&w, (const uint8_t *)bytes, (flags & CHUNK_BROKEN) == 0);
	encoding = flags = 0;
}

START_TEST(bytes_between_records_die_alone_with_their_reason)
{
	start(refuses_what_is_bad);
	sought = "not records";
	give("good", 3);
	give_alone("no msgpack", ENC_FORWARD, CHUNK_BROKEN);
	give("good", 2);
	pass(10 * S);
	ck_assert_uint_eq(good_seen, 5);
	ck_assert_uint_eq(count(CTR_export_done_records), 5);
	ck_assert_uint_eq(count(CTR_export_dead_records), 1);
	ck_assert_uint_eq(count(CTR_export_bad_records), 0);
	ck_assert_uint_eq(lines_n, 1);
	stop();
}
END_TEST

START_TEST(an_otlp_request_between_records_goes_out_as_it_came)
{
	start(refuses_what_is_bad);
	give("good", 3);
	give_alone("bad but OTLP", ENC_OTLP, 0);
	give("good", 2);
	bad_is_fine = true;
	pass(10 * S);
	ck_assert_uint_eq(good_seen, 5);
	ck_assert_uint_eq(bad_seen, 1);
	ck_assert_uint_eq(count(CTR_export_done_records), 6);
	ck_assert_uint_eq(count(CTR_export_dead_records), 0);
	stop();
}
END_TEST

START_TEST(what_is_no_request_is_told_and_removed)
{
	static const char *const text[] = { "", "replay 0-1\n",
	    "emplogd-dlq 2 replay 0\n", "emplogd-dlq 1 eat 0\n",
	    "emplogd-dlq 1 drop\n", "emplogd-dlq 1 drop 1",
	    "emplogd-dlq 1 drop 3-1\n", "emplogd-dlq 1 drop 3 2\n",
	    "emplogd-dlq 1 drop -1\n",
	    "emplogd-dlq 1 drop 99999999999999999999999\n" };
	size_t i;

	start(refuses_what_is_bad);
	bury(4);
	sought = "is no request";
	for (i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		ask(text[i]);
		pass(S);
		ck_assert_msg(!is_asked(), "%s", text[i]);
		ck_assert_uint_eq(lines_n, i + 1);
	}
	ck_assert_uint_eq(count(CTR_export_dead_held), 4);
	stop();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("letters");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, again, NULL);
	tcase_add_test(tc,
	    a_letter_given_back_is_accepted_once_and_counted);
	tcase_add_test(tc, only_the_letters_asked_for_come_back);
	tcase_add_test(tc,
	    a_letter_refused_again_is_a_letter_again_and_once);
	tcase_add_test(tc, letters_dropped_are_counted_and_the_rest_is_kept);
	tcase_add_test(tc,
	    a_letter_given_back_is_the_request_that_was_refused_to_the_byte);
	tcase_add_test(tc, a_crash_at_any_event_of_a_replay_loses_no_letter);
	tcase_add_test(tc, an_end_at_any_event_of_a_replay_loses_no_letter);
	tcase_add_test(tc, of_500_records_the_bad_one_dies_alone);
	tcase_add_test(tc, a_day_of_400s_from_the_start_kills_nothing);
	tcase_add_test(tc,
	    a_day_of_400s_after_a_success_kills_for_ten_minutes_at_most);
	tcase_add_test(tc, a_day_of_401s_kills_nothing);
	tcase_add_test(tc, a_day_of_404s_kills_nothing);
	tcase_add_test(tc, a_day_of_500s_kills_nothing);
	tcase_add_test(tc, fresh_records_pass_letters_that_are_refused_again);
	tcase_add_test(tc,
	    bytes_between_records_die_alone_with_their_reason);
	tcase_add_test(tc, an_otlp_request_between_records_goes_out_as_it_came);
	tcase_add_test(tc, letters_that_damage_took_are_counted);
	tcase_add_test(tc, what_is_no_request_is_told_and_removed);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
