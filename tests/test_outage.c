/* SPDX-License-Identifier: ISC */
/*
 * test_outage.c - a backend that is away for an hour, a day, a week
 *
 * Claims, with the age a relay's queue has by default: what was given while
 * the backend was away arrives, once and in order; what became older than a
 * week is dropped and counted; the backend is asked about once a minute, and
 * the first record arrives within two of its return.  In virtual time.
 */

#include "engine_rig.h"

#define MINUTE		(60 * S)
#define HOUR		(60 * MINUTE)
#define DAY		(24 * HOUR)
#define EVERY		MINUTE		/* a record; 4 KiB of the queue */

static bool away;
static uint32_t last;			/* number accepted, and how many */
static unsigned accepted, backwards;
static uint64_t back_ns, first_ns;	/* it is there again; it got one */

/* Of a request: the numbers in it ascend, and go on where the last ended. */
static void
read_numbers(struct bytes body)
{
	const uint8_t *p = body.p, *end = body.p + body.n;
	uint32_t n;

	for (; (p = memmem(p, (size_t)(end - p), "nr ", 3)) != NULL; p += 3) {
		n = (uint32_t)strtoul((const char *)p + 3, NULL, 10);
		backwards += n <= last;
		last = n;
		accepted++;
	}
}

static int
away_or_here(unsigned nth, struct bytes body, struct post *p)
{
	if (away)
		return nth % 2 == 0 ? 503 : 0;
	if (first_ns == 0)
		first_ns = sim_now(sim);
	read_numbers(body);
	return 200;
}

static uint32_t given;

static void
give_for(uint64_t ns)
{
	uint64_t until = sim_now(sim) + ns;
	char text[32];

	while (sim_now(sim) < until) {
		snprintf(text, sizeof(text), "nr %07u.", ++given);
		give(text, 1);
		pass(EVERY);
	}
}

/* Away for so long, and an hour that it is back. */
static void
an_outage_of(uint64_t ns)
{
	given = last = 0;
	accepted = backwards = 0;
	first_ns = 0;
	conf.requests_max = 1;		/* the order of arrival is its own */
	queue_age_ns = 7 * DAY;
	start(away_or_here);
	away = true;
	give_for(ns);
	ck_assert_uint_eq(count(CTR_export_done_records), 0);
	ck_assert_uint_le(post_n, ns / MINUTE * 2 + 20);
	away = false;
	back_ns = sim_now(sim);
	give_for(HOUR);
	ck_assert_uint_le(first_ns - back_ns, 2 * MINUTE);
	ck_assert_uint_eq(backwards, 0);
	ck_assert_uint_eq(last, given);
	ck_assert_uint_eq(count(CTR_export_dead_records), 0);
	ck_assert_uint_eq(accepted +
	    count(CTR_queue_dropped_age_records), given);
}

START_TEST(after_an_hour_everything_arrives_once_and_in_order)
{
	an_outage_of(HOUR);
	ck_assert_uint_eq(accepted, given);
	stop();
}
END_TEST

START_TEST(after_a_day_everything_arrives_once_and_in_order)
{
	an_outage_of(DAY);
	ck_assert_uint_eq(accepted, given);
	stop();
}
END_TEST

START_TEST(after_a_week_everything_arrives_once_and_in_order)
{
	an_outage_of(7 * DAY - HOUR);
	ck_assert_uint_eq(accepted, given);
	stop();
}
END_TEST

START_TEST(after_eight_days_what_is_older_than_a_week_was_dropped_and_counted)
{
	an_outage_of(8 * DAY);
	ck_assert_uint_ge(count(CTR_queue_dropped_age_records),
	    DAY / EVERY - 60);
	ck_assert_uint_le(count(CTR_queue_dropped_age_records),
	    DAY / EVERY + 60);
	stop();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("outage");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, reset, NULL);
	tcase_add_test(tc, after_an_hour_everything_arrives_once_and_in_order);
	tcase_add_test(tc, after_a_day_everything_arrives_once_and_in_order);
	tcase_add_test(tc, after_a_week_everything_arrives_once_and_in_order);
	tcase_add_test(tc,
	    after_eight_days_what_is_older_than_a_week_was_dropped_and_counted);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
