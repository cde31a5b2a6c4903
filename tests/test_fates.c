/* SPDX-License-Identifier: ISC */
/*
 * test_fates.c - ranges and what became of them
 *
 * Claims: what is noted is read back, joined where it touches and kept apart
 * by stream and fate, over a restart; a full file gives up the streams that
 * were not noted for longest, each as a whole; what is not ours is begun anew
 * and nothing of it believed.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counters/fates.h"
#include "counters/counters.h"

static char dir[] = "/tmp/test_fates.XXXXXX";
static char path[sizeof(dir) + 8];
static struct fates *f;

/* What a reader sees, in the order of (stream's first byte, fate, from). */
static struct fate_entry seen[FATES_MAX];
static unsigned seen_n;
static uint64_t evicted;

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fates", dir);
	ck_assert_int_eq(fates_map(&f, path), 0);
	fates_begin(f);
}

static void
teardown(void)
{
	fates_free(&f);
	(void)unlink(path);
	(void)rmdir(dir);
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
}

static int
by_place(const void *a, const void *b)
{
	const struct fate_entry *x = a, *y = b;
	int c = memcmp(x->stream, y->stream, FATES_STREAM);

	if (c != 0)
		return c;
	if (x->fate != y->fate)
		return x->fate < y->fate ? -1 : 1;
	return x->from < y->from ? -1 : x->from > y->from;
}

static void
see(void *arg, const struct fate_entry *e)
{
	ck_assert_uint_lt(seen_n, FATES_MAX);
	seen[seen_n++] = *e;
}

static void
look(void)
{
	seen_n = 0;
	ck_assert_int_eq(fates_read(path, see, NULL, &evicted), 0);
	qsort(seen, seen_n, sizeof(seen[0]), by_place);
}

static void
note(unsigned stream, uint64_t from, uint64_t to, enum fate fate)
{
	uint8_t id[FATES_STREAM] = { (uint8_t)stream, (uint8_t)(stream >> 8) };

	fates_note(f, id, from, to, fate, 77);
}

static void
is(unsigned i, unsigned stream, uint64_t from, uint64_t to, enum fate fate)
{
	ck_assert_uint_lt(i, seen_n);
	ck_assert_uint_eq(seen[i].stream[0], stream);
	ck_assert_uint_eq(seen[i].from, from);
	ck_assert_uint_eq(seen[i].to, to);
	ck_assert_uint_eq(seen[i].fate, fate);
	ck_assert_uint_eq(seen[i].noted_ns, 77);
}

START_TEST(what_touches_is_joined_and_what_does_not_is_not)
{
	note(1, 0, 10, FATE_DONE);
	note(1, 20, 30, FATE_DONE);
	note(1, 40, 50, FATE_DONE);
	look();
	ck_assert_uint_eq(seen_n, 3);
	note(1, 10, 20, FATE_DONE);		/* both sides at once */
	look();
	ck_assert_uint_eq(seen_n, 2);
	is(0, 1, 0, 30, FATE_DONE);
	is(1, 1, 40, 50, FATE_DONE);
	note(1, 31, 40, FATE_DONE);		/* the one above only */
	note(1, 5, 25, FATE_DONE);		/* nothing new */
	note(1, 60, 60, FATE_DONE);		/* nothing at all */
	look();
	ck_assert_uint_eq(seen_n, 2);
	is(1, 1, 31, 50, FATE_DONE);
	note(1, 0, 100, FATE_DONE);		/* over all of them */
	look();
	ck_assert_uint_eq(seen_n, 1);
	is(0, 1, 0, 100, FATE_DONE);
}
END_TEST

START_TEST(streams_and_fates_are_kept_apart)
{
	note(1, 0, 10, FATE_DONE);
	note(2, 10, 20, FATE_DONE);
	note(1, 10, 20, FATE_BAD);
	note(1, 5, 15, FATE_DEAD);
	note(1, 20, 30, FATE_AGED);
	note(1, 30, 40, FATE_REFUSED);
	look();
	ck_assert_uint_eq(seen_n, 6);
	is(0, 1, 0, 10, FATE_DONE);
	is(1, 1, 10, 20, FATE_BAD);
	is(2, 1, 5, 15, FATE_DEAD);
	is(3, 1, 20, 30, FATE_AGED);
	is(4, 1, 30, 40, FATE_REFUSED);
	is(5, 2, 10, 20, FATE_DONE);
}
END_TEST

START_TEST(no_fates_are_no_op_and_not_fresh)
{
	uint8_t id[FATES_STREAM] = { 0 };

	fates_note(NULL, id, 0, 10, FATE_DONE, 1);
	ck_assert(!fates_is_fresh(NULL));
}
END_TEST

START_TEST(what_was_noted_is_there_after_a_restart_and_goes_on)
{
	note(1, 0, 10, FATE_DONE);
	fates_free(&f);
	ck_assert_int_eq(fates_map(&f, path), 0);
	ck_assert(!fates_is_fresh(f));
	note(1, 10, 20, FATE_DONE);
	look();
	ck_assert_uint_eq(seen_n, 1);
	is(0, 1, 0, 20, FATE_DONE);
}
END_TEST

START_TEST(what_is_not_begun_is_begun_anew)
{
	fates_free(&f);
	(void)unlink(path);
	ck_assert_int_eq(fates_map(&f, path), 0);
	note(1, 0, 10, FATE_BEFORE);
	ck_assert_int_eq(fates_read(path, see, NULL, &evicted), -EINVAL);
	fates_free(&f);
	ck_assert_int_eq(fates_map(&f, path), 0);
	ck_assert(fates_is_fresh(f));
	fates_begin(f);
	look();
	ck_assert_uint_eq(seen_n, 0);
}
END_TEST

static void
overwrite(off_t at, const void *bytes, size_t n)
{
	int fd = open(path, O_RDWR);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}

/* As after a power failure: not closed, and the kernel is another. */
static void
crash_of(const char *boot)
{
	char text[40] = "";
	uint32_t open_still = 0;

	snprintf(text, sizeof(text), "%s", boot);
	overwrite(offsetof(struct fates_head, clean), &open_still, 4);
	overwrite(offsetof(struct fates_head, boot), text, sizeof(text));
}

START_TEST(after_a_crash_of_the_machine_nothing_is_believed)
{
	note(1, 0, 10, FATE_DONE);
	fates_free(&f);
	crash_of("another");
	ck_assert_int_eq(fates_map(&f, path), 0);
	ck_assert(fates_is_fresh(f));
}
END_TEST

START_TEST(after_a_reboot_in_order_all_is_there)
{
	note(1, 0, 10, FATE_DONE);
	fates_free(&f);
	overwrite(offsetof(struct fates_head, boot), "another", 8);
	ck_assert_int_eq(fates_map(&f, path), 0);
	ck_assert(!fates_is_fresh(f));
	look();
	ck_assert_uint_eq(seen_n, 1);
}
END_TEST

START_TEST(a_kill_costs_nothing)
{
	struct fates *again;

	note(1, 0, 10, FATE_DONE);
	/* the first one is never closed, as with SIGKILL */
	ck_assert_int_eq(fates_map(&again, path), 0);
	ck_assert(!fates_is_fresh(again));
	look();
	ck_assert_uint_eq(seen_n, 1);
	fates_free(&again);
}
END_TEST

START_TEST(any_bytes_are_begun_anew_or_read_without_harm)
{
	const size_t bytes = sizeof(struct fates_head) +
	    FATES_MAX * sizeof(struct fate_entry);
	uint8_t *junk = malloc(bytes);
	size_t i;
	int turn;

	ck_assert_ptr_nonnull(junk);
	srandom(1);
	for (turn = 0; turn < 20; turn++) {
		for (i = 0; i < bytes; i++)
			junk[i] = (uint8_t)(random() >> 8);
		fates_free(&f);
		overwrite(turn % 2 == 0 ? 0 : (off_t)sizeof(struct fates_head),
		    junk, bytes - sizeof(struct fates_head));
		ck_assert_int_eq(fates_map(&f, path), 0);
		if (fates_is_fresh(f))
			fates_begin(f);
		note(1, 0, 10, FATE_DONE);
		look();
	}
	free(junk);
}
END_TEST

START_TEST(a_full_file_gives_up_the_streams_not_noted_for_longest)
{
	unsigned i, n;

	/* stream 0 in three pieces, noted all the time; the others once */
	note(0, 0, 10, FATE_DONE);
	note(0, 20, 30, FATE_DONE);
	note(0, 10, 20, FATE_BAD);
	for (i = 1; i < 3 * FATES_MAX; i++) {
		note(i, 5, 10, FATE_DONE);
		note(0, 20, 30 + i, FATE_DONE);
	}
	look();
	ck_assert_uint_le(seen_n, FATES_MAX);
	ck_assert_uint_gt(seen_n, FATES_MAX / 2);
	ck_assert_uint_ge(evicted, 2 * FATES_MAX - 8);
	for (i = n = 0; i < seen_n; i++)
		n += seen[i].stream[0] == 0 && seen[i].stream[1] == 0;
	ck_assert_uint_eq(n, 3);		/* whole, and here */
}
END_TEST

START_TEST(a_place_that_cannot_be_written_leaves_no_file_to_believe)
{
	struct fates *none = NULL;

	ck_assert_int_eq(fates_map(&none, "/proc/no/fates"), -ENOENT);
	ck_assert_ptr_null(none);
	ck_assert_int_eq(fates_read("/proc/no/fates", see, NULL, &evicted),
	    -ENOENT);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fates");
	TCase *t = tcase_create("fates");
	SRunner *run;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_touches_is_joined_and_what_does_not_is_not);
	tcase_add_test(t, streams_and_fates_are_kept_apart);
	tcase_add_test(t, no_fates_are_no_op_and_not_fresh);
	tcase_add_test(t, what_was_noted_is_there_after_a_restart_and_goes_on);
	tcase_add_test(t, what_is_not_begun_is_begun_anew);
	tcase_add_test(t, after_a_crash_of_the_machine_nothing_is_believed);
	tcase_add_test(t, after_a_reboot_in_order_all_is_there);
	tcase_add_test(t, a_kill_costs_nothing);
	tcase_add_test(t, any_bytes_are_begun_anew_or_read_without_harm);
	tcase_add_test(t,
	    a_full_file_gives_up_the_streams_not_noted_for_longest);
	tcase_add_test(t,
	    a_place_that_cannot_be_written_leaves_no_file_to_believe);
	suite_add_tcase(s, t);
	run = srunner_create(s);
	srunner_run_all(run, CK_ENV);
	failed = srunner_ntests_failed(run);
	srunner_free(run);
	return failed == 0 ? 0 : 1;
}
