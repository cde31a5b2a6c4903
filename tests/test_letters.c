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

static bool bad_is_fine;	/* the backend thinks better of it */
static unsigned bad_seen;	/* accepted records that are bad */

static void
again(void)
{
	reset();
	bad_is_fine = false;
	bad_seen = 0;
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

static int
refuses_what_is_bad(unsigned nth, struct bytes body, struct post *p)
{
	if (has(body, "bad") && !bad_is_fine) {
		memcpy(p->answer, "no such thing", 13);
		p->answer_len = 13;
		snprintf(p->content_type, sizeof(p->content_type),
		    "text/plain");
		return 400;
	}
	bad_seen += times(body, "bad");
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
	unsigned i;

	give("good", 1);
	pass(S);
	for (i = 0; i < n; i++) {
		give("bad", 1);
		pass(3 * S);
	}
	ck_assert_uint_eq(count(CTR_export_dead_records), n);
	ck_assert_uint_eq(count(CTR_export_dead_held), n);
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
	tcase_add_test(tc, what_is_no_request_is_told_and_removed);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
