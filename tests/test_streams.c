/* SPDX-License-Identifier: ISC */
/*
 * test_streams.c - claims about sets of ranges and the table of streams, the
 * sets checked against a plain array of bits.
 */

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "base/env.h"
#include "queue/ranges.h"
#include "queue/streams.h"

#define BITS	256
#define HOUR	3600000000000ull

static struct env env;
static struct streams *s;

static void
setup(void)
{
	env_init(&env, NULL, "test");
	ck_assert_int_eq(streams_new(&s, &env), 0);
}

static void
teardown(void)
{
	streams_free(&s);
	env_fini(&env);
}

static const uint8_t *
id(uint64_t n)
{
	static uint8_t bytes[STREAM_ID_LEN];

	memset(bytes, 1, sizeof(bytes));
	memcpy(bytes, &n, sizeof(n));
	return bytes;
}

/* ---- ranges ---- */

static void
compare(const struct ranges *rs, const bool *bit)
{
	uint64_t i, n = 0;
	struct range gap;
	uint32_t k;

	for (i = 0; i < BITS; i++) {
		ck_assert(ranges_has(rs, i) == bit[i]);
		n += bit[i];
		ck_assert_int_eq(ranges_gap(rs, i, i + 1, &gap),
		    bit[i] ? -ENOENT : 0);
	}
	ck_assert_uint_eq(ranges_count(rs, 0, BITS), n);
	for (k = 1; k < rs->n; k++)
		ck_assert_uint_lt(ranges_at(rs, k - 1)->to,
		    ranges_at(rs, k)->from);
}

START_TEST(ranges_hold_what_a_bitmap_holds)
{
	struct ranges rs = { 0 };
	bool bit[BITS] = { false };
	uint64_t a, b, i;
	int round;

	srand(3);
	for (round = 0; round < 3000; round++) {
		a = (uint64_t)rand() % BITS;
		b = a + (uint64_t)rand() % 12;
		b = b > BITS ? BITS : b;
		for (i = a; i < b; i++)
			bit[i] = round % 3 != 0;
		if (round % 3 != 0)
			ck_assert_int_eq(ranges_add(&rs, &env, a, b), 0);
		else
			ranges_remove(&rs, &env, a, b);
		compare(&rs, bit);
	}
	ranges_fini(&rs, &env);
}
END_TEST

static void *
no_memory(void *arg, size_t n)
{
	return NULL;
}

START_TEST(without_memory_a_set_forgets_but_never_invents)
{
	void *(*alloc)(void *, size_t) = env.alloc;
	struct ranges rs = { 0 };

	ck_assert_int_eq(ranges_add(&rs, &env, 0, 100), 0);
	env.alloc = no_memory;
	ck_assert_int_eq(ranges_add(&rs, &env, 200, 300), -ENOMEM);
	ck_assert_uint_eq(rs.n, 1);
	ranges_remove(&rs, &env, 10, 20);
	ck_assert(!ranges_has(&rs, 10));
	ck_assert(!ranges_has(&rs, 19));
	ck_assert(ranges_has(&rs, 20));
	ck_assert(ranges_has(&rs, 99));
	ck_assert(!ranges_has(&rs, 100));
	env.alloc = alloc;
	ranges_fini(&rs, &env);
}
END_TEST

/* ---- streams ---- */

START_TEST(an_unknown_stream_is_all_new)
{
	struct range r;

	ck_assert_int_eq(streams_cut(s, id(1), 5, 9, &r), 0);
	ck_assert_uint_eq(r.from, 5);
	ck_assert_uint_eq(r.to, 9);
	ck_assert_int_eq(streams_cut(s, id(1), 5, 5, &r), -ENOENT);
	ck_assert_uint_eq(streams_end_of(s, id(1)), 0);
}
END_TEST

START_TEST(a_range_is_cut_into_the_pieces_not_taken)
{
	struct range r;

	ck_assert_int_eq(streams_add(s, id(1), 10, 20, false, 1), 0);
	ck_assert_int_eq(streams_add(s, id(1), 30, 40, false, 2), 0);
	ck_assert_int_eq(streams_cut(s, id(1), 0, 50, &r), 0);
	ck_assert_uint_eq(r.from, 0);
	ck_assert_uint_eq(r.to, 10);
	ck_assert_int_eq(streams_cut(s, id(1), r.to, 50, &r), 0);
	ck_assert_uint_eq(r.from, 20);
	ck_assert_uint_eq(r.to, 30);
	ck_assert_int_eq(streams_cut(s, id(1), r.to, 50, &r), 0);
	ck_assert_uint_eq(r.from, 40);
	ck_assert_uint_eq(r.to, 50);
	ck_assert_int_eq(streams_cut(s, id(1), 12, 20, &r), -ENOENT);
	ck_assert_uint_eq(streams_end_of(s, id(1)), 40);
}
END_TEST

START_TEST(what_was_removed_is_new_again_and_restore_takes_it_back)
{
	struct range r;

	ck_assert_int_eq(streams_add(s, id(1), 0, 30, false, 1), 0);
	streams_remove(s, id(1), 10, 20);
	ck_assert_int_eq(streams_cut(s, id(1), 0, 30, &r), 0);
	ck_assert_uint_eq(r.from, 10);
	ck_assert_uint_eq(r.to, 20);
	streams_restore(s, id(1), 10, 20);
	ck_assert_int_eq(streams_cut(s, id(1), 0, 30, &r), -ENOENT);
	streams_remove(s, id(2), 0, 1);
	streams_restore(s, id(2), 0, 1);
	ck_assert_uint_eq(streams_count(s), 1);
}
END_TEST

START_TEST(ranges_of_one_stream_at_the_limit_and_above)
{
	uint64_t i;

	for (i = 0; i < RANGES_MAX; i++)
		ck_assert_int_eq(streams_add(s, id(1), 2 * i, 2 * i + 1,
		    false, 1), 0);
	ck_assert_int_eq(streams_add(s, id(1), 2 * i, 2 * i + 1, false, 1),
	    -ENOSPC);
	/* What closes a hole, or touches a range, needs no room. */
	ck_assert_int_eq(streams_add(s, id(1), 1, 2, false, 1), 0);
	ck_assert_int_eq(streams_add(s, id(1), 2 * i, 2 * i + 1, false, 1), 0);
}
END_TEST

START_TEST(a_full_table_forgets_ended_then_foreign_then_oldest)
{
	uint64_t i;

	for (i = 0; i < STREAMS_MAX; i++)
		ck_assert_int_eq(streams_add(s, id(i), 0, 1, i == 5, i), 0);
	streams_end(s, id(9), 1);
	ck_assert_uint_eq(streams_count(s), STREAMS_MAX);
	ck_assert_int_eq(streams_add(s, id(i), 0, 1, false, i), 0);
	ck_assert_uint_eq(streams_end_of(s, id(9)), 0);
	ck_assert_int_eq(streams_add(s, id(i + 1), 0, 1, false, i), 0);
	ck_assert_uint_eq(streams_end_of(s, id(5)), 0);
	ck_assert_int_eq(streams_add(s, id(i + 2), 0, 1, false, i), 0);
	ck_assert_uint_eq(streams_end_of(s, id(0)), 0);
	ck_assert_uint_eq(streams_end_of(s, id(1)), 1);
	ck_assert_uint_eq(streams_count(s), STREAMS_MAX);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_stream_evicted), 3);
}
END_TEST

START_TEST(streams_are_forgotten_by_their_kind_s_age)
{
	ck_assert_int_eq(streams_add(s, id(1), 0, 1, false, 1), 0);
	ck_assert_int_eq(streams_add(s, id(2), 0, 1, true, 1), 0);
	ck_assert_int_eq(streams_add(s, id(3), 0, 1, false, 1), 0);
	streams_end(s, id(3), 1);
	streams_age(s, HOUR / 6);
	ck_assert_uint_eq(streams_end_of(s, id(2)), 1);
	streams_age(s, HOUR / 6 + 1);
	ck_assert_uint_eq(streams_end_of(s, id(2)), 0);
	streams_age(s, HOUR);
	ck_assert_uint_eq(streams_end_of(s, id(3)), 1);
	streams_age(s, HOUR + 1);
	ck_assert_uint_eq(streams_end_of(s, id(3)), 0);
	streams_age(s, 7 * 24 * HOUR);
	ck_assert_uint_eq(streams_count(s), 1);
	streams_age(s, 7 * 24 * HOUR + 1);
	ck_assert_uint_eq(streams_count(s), 0);
}
END_TEST

START_TEST(a_clock_that_goes_back_forgets_nothing)
{
	ck_assert_int_eq(streams_add(s, id(1), 0, 1, true, 90 * HOUR), 0);
	streams_age(s, HOUR);
	ck_assert_uint_eq(streams_count(s), 1);
}
END_TEST

static size_t
saved(uint8_t **ret_p)
{
	size_t n = streams_size(s), len;

	*ret_p = malloc(n);
	ck_assert_ptr_nonnull(*ret_p);
	ck_assert_int_eq(streams_save(s, *ret_p, n - 1, &len), -ENOSPC);
	ck_assert_int_eq(streams_save(s, *ret_p, n, &len), 0);
	ck_assert_uint_eq(n, len);
	return n;
}

static void
some_streams(void)
{
	uint64_t i;

	for (i = 0; i < 50; i++) {
		ck_assert_int_eq(streams_add(s, id(i), 0, 10 + i, i % 3 == 0,
		    i), 0);
		ck_assert_int_eq(streams_add(s, id(i), 100, 110, false, i), 0);
	}
	streams_end(s, id(7), 99);
}

START_TEST(a_table_loaded_saves_the_same_bytes)
{
	uint8_t *a, *b;
	size_t n;

	some_streams();
	n = saved(&a);
	streams_free(&s);
	ck_assert_int_eq(streams_new(&s, &env), 0);
	ck_assert_int_eq(streams_load(s, bytes_of(a, n)), 0);
	ck_assert_uint_eq(streams_count(s), 50);
	ck_assert_uint_eq(saved(&b), n);
	ck_assert_mem_eq(a, b, n);
	free(a);
	free(b);
}
END_TEST

/* A checkpoint leaves out what is staged: that may cut a full stream. */
START_TEST(a_full_stream_with_a_hole_cut_into_it_is_loaded)
{
	struct range gap;
	uint8_t *a;
	uint64_t i;
	size_t n;

	for (i = 0; i < RANGES_MAX; i++)
		ck_assert_int_eq(streams_add(s, id(1), 10 * i, 10 * i + 5,
		    false, 1), 0);
	streams_remove(s, id(1), 2, 3);
	n = saved(&a);
	streams_restore(s, id(1), 2, 3);
	/* Refused before, so it was not there to be put back. */
	streams_restore(s, id(1), 10 * i, 10 * i + 5);
	ck_assert_int_eq(streams_cut(s, id(1), 10 * i, 10 * i + 5, &gap), 0);
	ck_assert_int_eq(streams_load(s, bytes_of(a, n)), 0);
	ck_assert_int_eq(streams_cut(s, id(1), 10, 15, &gap), -ENOENT);
	ck_assert_int_eq(streams_cut(s, id(1), 2, 3, &gap), 0);
	free(a);
}
END_TEST

START_TEST(damaged_bytes_are_refused_and_change_nothing)
{
	uint8_t *a, *b, *c;
	size_t n, i;
	int r;

	some_streams();
	n = saved(&a);
	c = malloc(n);
	for (i = 0; i < n; i++)
		ck_assert_int_eq(streams_load(s, bytes_of(a, i)), -EBADMSG);
	for (i = 0; i < n; i++) {
		memcpy(c, a, n);
		c[i] ^= 0xff;
		r = streams_load(s, bytes_of(c, n));
		ck_assert(r == 0 || r == -EBADMSG);
		if (r == 0)
			ck_assert_int_eq(streams_load(s, bytes_of(a, n)), 0);
	}
	ck_assert_uint_eq(saved(&b), n);
	ck_assert_mem_eq(a, b, n);
	free(a);
	free(b);
	free(c);
}
END_TEST

static unsigned allocs_left;

static void *
some_memory(void *arg, size_t n)
{
	return allocs_left-- == 0 ? NULL : calloc(1, n);
}

START_TEST(each_allocation_that_fails_is_enomem_and_changes_nothing)
{
	uint8_t *a, *b;
	unsigned k;
	size_t n;
	int r;

	some_streams();
	n = saved(&a);
	env.alloc = some_memory;
	for (k = 0, r = -ENOMEM; r == -ENOMEM; k++) {
		allocs_left = k;
		r = streams_load(s, bytes_of(a, n));
		allocs_left = UINT32_MAX;
		ck_assert_uint_eq(saved(&b), n);
		ck_assert_mem_eq(a, b, n);
		free(b);
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(k, 50);
	allocs_left = 0;
	ck_assert_int_eq(streams_add(s, id(999), 0, 1, false, 1), -ENOMEM);
	ck_assert_uint_eq(streams_count(s), 50);
	free(a);
}
END_TEST

int
main(void)
{
	TCase *t = tcase_create("streams");
	Suite *su = suite_create("streams");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, ranges_hold_what_a_bitmap_holds);
	tcase_add_test(t, without_memory_a_set_forgets_but_never_invents);
	tcase_add_test(t, an_unknown_stream_is_all_new);
	tcase_add_test(t, a_range_is_cut_into_the_pieces_not_taken);
	tcase_add_test(t,
	    what_was_removed_is_new_again_and_restore_takes_it_back);
	tcase_add_test(t, ranges_of_one_stream_at_the_limit_and_above);
	tcase_add_test(t, a_full_table_forgets_ended_then_foreign_then_oldest);
	tcase_add_test(t, streams_are_forgotten_by_their_kind_s_age);
	tcase_add_test(t, a_clock_that_goes_back_forgets_nothing);
	tcase_add_test(t, a_table_loaded_saves_the_same_bytes);
	tcase_add_test(t, a_full_stream_with_a_hole_cut_into_it_is_loaded);
	tcase_add_test(t, damaged_bytes_are_refused_and_change_nothing);
	tcase_add_test(t,
	    each_allocation_that_fails_is_enomem_and_changes_nothing);
	suite_add_tcase(su, t);
	sr = srunner_create(su);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
