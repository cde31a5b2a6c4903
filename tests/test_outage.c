/* SPDX-License-Identifier: ISC */
/*
 * test_outage.c - a backend that is away for an hour, a day, a week
 *
 * Claims, with the age a relay's queue has by default: what was given while
 * the backend was away arrives, once and in order; what became older than a
 * week is dropped and counted; the backend is asked about once a minute, and
 * the first record arrives within two of its return.  Back again it takes so
 * many records a minute: of these at least three in ten are fresh while the
 * backlog lasts, a fresh one need not wait for it, and the backlog is done in
 * the time its share takes.  In virtual time.
 */

#include "engine_rig.h"

#define MINUTE		(60 * S)
#define HOUR		(60 * MINUTE)
#define DAY		(24 * HOUR)
#define EVERY		MINUTE		/* a record; 4 KiB of the queue */
#define RECORDS_MAX	65536
#define PER_POST	4		/* records of a request */

/* One that takes a request each so often, and asks for patience before. */
struct pace { uint64_t ns, next_ns; };

static struct {
	bool		 away;
	uint64_t	 back_ns;	/* it is there again */
	uint64_t	 first_ns;	/* it got one since */
	uint64_t	 gone_ns;	/* the backlog is, 0: not yet */
	struct pace	 pace;
	uint32_t	 given;
	uint32_t	 missed;	/* were given when it took one again */
	uint32_t	 waiting;	/* of these had not arrived */
	uint32_t	 accepted, old, fresh, late;
	uint32_t	 top, last;	/* of what is fresh, of what waited */
	uint32_t	 astray, twice, mixed;
	uint64_t	 behind_ns;	/* most, of the newest that arrived */
	uint64_t	 patience_ns;	/* a fresh one is late after it */
	uint64_t	 given_ns[RECORDS_MAX];
	bool		 here[RECORDS_MAX];
} w;

static uint64_t
dropped(void)
{
	return count(CTR_queue_dropped_age_records);
}

/*
 * Two flows, each ascending: what is above all that came is fresh, the rest
 * is above all of the rest.
 */
static bool
arrives(uint32_t n)
{
	bool newest = n > w.top;

	if (w.here[n]) {		/* its flow went on from another */
		w.twice++;
		return false;
	}
	w.here[n] = true;
	w.accepted++;
	if (newest)
		w.top = n;
	else if (n > w.last)
		w.last = n;
	else
		w.astray++;
	if (n <= w.missed)
		w.old++;
	else if (w.gone_ns == 0)
		w.fresh++;
	w.late += n > w.missed &&
	    sim_now(sim) - w.given_ns[n] > w.patience_ns;
	if (w.old + dropped() == w.waiting && w.gone_ns == 0)
		w.gone_ns = sim_now(sim);
	return newest;
}

static void
read_numbers(struct bytes body)
{
	const uint8_t *p = body.p, *end = body.p + body.n;
	unsigned newest = 0, all = 0;
	uint32_t n;

	for (; (p = memmem(p, (size_t)(end - p), "nr ", 3)) != NULL; p += 3) {
		n = (uint32_t)strtoul((const char *)p + 3, NULL, 10);
		ck_assert_uint_lt(n, RECORDS_MAX);
		newest += arrives(n);
		all++;
	}
	w.mixed += newest > 0 && newest < all;
	if (w.top > w.missed && sim_now(sim) - w.given_ns[w.top] > w.behind_ns)
		w.behind_ns = sim_now(sim) - w.given_ns[w.top];
}

static int
away_or_here(unsigned nth, struct bytes body, struct post *p)
{
	uint64_t now = sim_now(sim);

	if (w.away)
		return nth % 2 == 0 ? 503 : 0;
	if (w.first_ns == 0) {
		w.first_ns = now;
		w.missed = w.given;	/* what comes now is fresh */
		w.waiting = w.given - w.accepted;
		w.behind_ns = 0;
	}
	if (now < w.pace.next_ns) {
		p->retry_after_ms = (int64_t)((w.pace.next_ns - now) / MS + 1);
		return 429;
	}
	w.pace.next_ns = now + w.pace.ns;
	read_numbers(body);
	return 200;
}

static void
give_one(void)
{
	char text[2000];

	memset(text, 'x', sizeof(text));
	snprintf(text, sizeof(text), "nr %07u.", ++w.given);
	text[strlen(text)] = 'x';
	text[sizeof(text) - 1] = '\0';
	ck_assert_uint_lt(w.given, RECORDS_MAX);
	w.given_ns[w.given] = sim_now(sim);
	give(text, 1);
}

static void
give_for(uint64_t ns, uint64_t every)
{
	uint64_t until = sim_now(sim) + ns;

	while (sim_now(sim) < until) {
		give_one();
		pass(every);
	}
}

static void
begin(uint64_t age_ns)
{
	memset(&w, 0, sizeof(w));
	conf.requests_max = 1;		/* the order of arrival is its own */
	conf.batch_bytes = PER_POST * 2100;
	conf.gzip = false;
	queue_age_ns = age_ns;
	start(away_or_here);
}

static void
an_outage_of(uint64_t ns)
{
	w.away = true;
	w.gone_ns = 0;
	give_for(ns, EVERY);
	w.away = false;
	w.back_ns = sim_now(sim);
	w.first_ns = 0;
	w.old = w.fresh = w.late = 0;
}

/*
 * From its return on a record each `every`, a request each `pace`; until
 * nothing of the outage is left, and what came since.
 */
static void
it_returns(uint64_t every, uint64_t pace, uint64_t at_most)
{
	w.pace.ns = pace;
	while (w.gone_ns == 0) {
		give_for(MINUTE, every);
		ck_assert_uint_le(sim_now(sim) - w.back_ns, at_most);
	}
	ck_assert_uint_le(w.first_ns - w.back_ns, 2 * MINUTE);
	w.pace.ns = 0;
	pass(2 * MINUTE);
}

static void
nothing_is_lost_or_astray(void)
{
	ck_assert_uint_eq(w.astray, 0);
	ck_assert_uint_eq(w.twice, 0);
	ck_assert_uint_eq(w.mixed, 0);
	ck_assert_uint_eq(w.top, w.given);
	ck_assert_uint_eq(count(CTR_export_dead_records), 0);
	ck_assert_uint_eq(w.accepted + dropped(), w.given);
	ck_assert_uint_eq(count(CTR_queue_held_records), 0);
	ck_assert_uint_eq(count(CTR_queue_backlog_records), 0);
}

static void
at_least_30_of_100_were_fresh(void)
{
	ck_assert_uint_gt(w.old, 0);
	ck_assert_msg(w.fresh * 100 >= (w.fresh + w.old) * 30,
	    "%u fresh, %u old", w.fresh, w.old);
	ck_assert_msg(w.old * 100 >= (w.fresh + w.old) * 30,
	    "%u fresh, %u old", w.fresh, w.old);
}

/*
 * It takes 12 a minute, 5 come in: they are nearly half of what is sent, and
 * each is there within two minutes.
 */
static void
fresh_ones_go_beside(uint64_t ns)
{
	begin(7 * DAY);
	w.patience_ns = 2 * MINUTE;
	an_outage_of(ns);
	ck_assert_uint_eq(count(CTR_export_done_records), 0);
	ck_assert_uint_le(post_n, ns / MINUTE * 2 + 20);
	it_returns(12 * S, 20 * S, ns / MINUTE * (10 * S) + HOUR);
	ck_assert_uint_eq(w.late, 0);
	at_least_30_of_100_were_fresh();
	nothing_is_lost_or_astray();
	if (getenv("OUTAGE_LOUD") != NULL)
		fprintf(stderr, "away %.0f h: %u old and %u fresh in %.1f h\n",
		    (double)ns / HOUR, w.old, w.fresh,
		    (double)(w.gone_ns - w.back_ns) / HOUR);
	stop();
}

START_TEST(after_an_hour_a_third_is_fresh_and_all_arrives_in_order)
{
	fresh_ones_go_beside(HOUR);
	ck_assert_uint_eq(w.accepted, w.given);
}
END_TEST

START_TEST(after_a_day_a_third_is_fresh_and_all_arrives_in_order)
{
	fresh_ones_go_beside(DAY);
	ck_assert_uint_eq(w.accepted, w.given);
}
END_TEST

START_TEST(after_a_week_a_third_is_fresh_and_all_arrives_in_order)
{
	fresh_ones_go_beside(7 * DAY - HOUR);
}
END_TEST

/*
 * 15 a minute come in and it takes 12: what is fresh grows old too, and is
 * backlog then; the newest are there all the same, and so is the backlog.
 */
START_TEST(of_more_than_is_taken_the_newest_and_the_oldest_go_both)
{
	begin(7 * DAY);
	an_outage_of(6 * HOUR);
	it_returns(4 * S, 20 * S, 6 * 60 * (10 * S) + HOUR);
	ck_assert_uint_gt(count(CTR_queue_returns), 10);
	at_least_30_of_100_were_fresh();
	ck_assert_uint_le(w.behind_ns, 4 * MINUTE);
	nothing_is_lost_or_astray();
	stop();
}
END_TEST

START_TEST(an_outage_while_the_last_one_is_worked_off_has_its_fresh_ones_too)
{
	begin(7 * DAY);
	w.patience_ns = 2 * MINUTE;
	an_outage_of(DAY);
	w.pace.ns = 20 * S;
	give_for(HOUR, 12 * S);
	ck_assert_uint_eq(w.gone_ns, 0);
	ck_assert_uint_gt(count(CTR_queue_backlog_records), 0);
	an_outage_of(6 * HOUR);
	it_returns(12 * S, 20 * S, 30 * 60 * (10 * S) + HOUR);
	ck_assert_uint_eq(count(CTR_queue_returns), 2);
	ck_assert_uint_eq(w.late, 0);
	nothing_is_lost_or_astray();
	stop();
}
END_TEST

/* Three times: what was not answered or not committed comes again. */
START_TEST(killed_beside_a_backlog_it_goes_on_with_both)
{
	unsigned i;

	begin(7 * DAY);
	an_outage_of(DAY);
	w.pace.ns = 20 * S;
	for (i = 0; i < 3; i++) {
		give_for(HOUR, 12 * S);
		ck_assert_uint_gt(count(CTR_queue_backlog_records), 0);
		crash_and_start(i == 1);
		ck_assert_uint_le(w.twice, (i + 1) * PER_POST);
	}
	ck_assert_uint_gt(w.fresh * 100, (w.fresh + w.old) * 30);
	w.patience_ns = 2 * MINUTE;
	w.late = 0;
	it_returns(12 * S, 20 * S, 24 * 60 * (10 * S) + HOUR);
	/* What came in the two minutes before each. */
	ck_assert_uint_le(w.late, 3 * 10);
	ck_assert_uint_le(w.twice, 3 * PER_POST);
	w.twice = 0;
	nothing_is_lost_or_astray();
	stop();
}
END_TEST

START_TEST(after_eight_days_what_is_older_than_a_week_was_dropped_and_counted)
{
	begin(7 * DAY);
	an_outage_of(8 * DAY);
	ck_assert_uint_ge(dropped(), DAY / EVERY - 60);
	ck_assert_uint_le(dropped(), DAY / EVERY + 60);
	it_returns(MINUTE, 0, HOUR);
	nothing_is_lost_or_astray();
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
	tcase_add_test(tc,
	    after_an_hour_a_third_is_fresh_and_all_arrives_in_order);
	tcase_add_test(tc,
	    after_a_day_a_third_is_fresh_and_all_arrives_in_order);
	tcase_add_test(tc,
	    after_a_week_a_third_is_fresh_and_all_arrives_in_order);
	tcase_add_test(tc,
	    of_more_than_is_taken_the_newest_and_the_oldest_go_both);
	tcase_add_test(tc,
	    an_outage_while_the_last_one_is_worked_off_has_its_fresh_ones_too);
	tcase_add_test(tc, killed_beside_a_backlog_it_goes_on_with_both);
	tcase_add_test(tc,
	    after_eight_days_what_is_older_than_a_week_was_dropped_and_counted);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
