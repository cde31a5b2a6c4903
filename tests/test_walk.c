/* SPDX-License-Identifier: ISC */
/*
 * test_walk.c - the bounded walk over Forward entries
 *
 * Claims: both forms of entry and every legal time are accepted, everything
 * else refused; of a body cut off or damaged at any byte exactly the whole
 * entries before it are good; limits hold one below, at, one above; a large
 * body is cut at entry boundaries only; hostile nesting and counts end.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "forward/mp.h"
#include "forward/walk.h"

#define RECORD_MAX	65536

#define TIME	"\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x05"
#define ENTRY	"\x92" TIME "\x81\xa3" "msg\xa2" "hi"
#define META	"\x92\x92" TIME "\x81\xa1" "k\x01\x81\xa3" "msg\xa2" "hi"

static struct walk
walk(struct bytes b)
{
	struct walk w;

	walk_entries(b, RECORD_MAX, &w);
	return w;
}

static void
accepts(struct bytes b, uint32_t records)
{
	struct walk w = walk(b);

	ck_assert_int_eq(w.error, 0);
	ck_assert_uint_eq(w.good_bytes, b.n);
	ck_assert_uint_eq(w.records, records);
}

static void
refuses(struct bytes b, int error)
{
	struct walk w = walk(b);

	ck_assert_int_eq(w.error, error);
	ck_assert_uint_eq(w.good_bytes, 0);
	ck_assert_uint_eq(w.records, 0);
}

START_TEST(each_legal_entry_is_accepted)
{
	accepts(BYTES(""), 0);
	accepts(BYTES(ENTRY), 1);
	accepts(BYTES(ENTRY META ENTRY), 3);
	accepts(BYTES("\x92\xc7\x08\x00\x65\x53\xf1\x00\x00\x00\x00\x05\x80"), 1);
	accepts(BYTES("\x92\xce\x65\x53\xf1\x00\x80"), 1);
	accepts(BYTES("\x92\xc0\x80"), 1);
	accepts(BYTES("\x92\x92\xc0\x80\x80"), 1);
	accepts(BYTES("\x92\xcb\x41\xd9\x54\xfc\x40\x00\x00\x00\x80"), 1);
	/* not minimal, as Fluent Bit writes it */
	accepts(BYTES("\xdd\x00\x00\x00\x02" TIME "\xdf\x00\x00\x00\x00"), 1);
	accepts(BYTES("\xdc\x00\x02\xdc\x00\x02" TIME "\xde\x00\x00\x80"), 1);
}
END_TEST

START_TEST(what_is_no_entry_is_refused)
{
	refuses(BYTES("\xc1"), -EBADMSG);
	refuses(BYTES("\x05"), -EBADMSG);
	refuses(BYTES("\x91" TIME), -EBADMSG);
	refuses(BYTES("\x93" TIME "\x80\x80"), -EBADMSG);
	refuses(BYTES("\x92\xff\x80"), -EBADMSG);		/* negative */
	refuses(BYTES("\x92\xa1x\x80"), -EBADMSG);
	refuses(BYTES("\x92\xd7\x01" "12345678" "\x80"), -EBADMSG);
	refuses(BYTES("\x92\xd6\x00" "1234" "\x80"), -EBADMSG);
	refuses(BYTES("\x92" TIME "\x90"), -EBADMSG);		/* no map */
	refuses(BYTES("\x92" TIME "\xa1x"), -EBADMSG);
	refuses(BYTES("\x92\x91" TIME "\x80\x80\x80"), -EBADMSG);
	refuses(BYTES("\x92\x92" TIME "\x05\x80"), -EBADMSG);	/* metadata */
	refuses(BYTES("\x92" TIME "\x81\xc1\x01"), -EBADMSG);
}
END_TEST

START_TEST(of_a_cut_off_body_the_whole_entries_are_good)
{
	static const char body[] = META ENTRY META;
	size_t ends[] = { 0, sizeof(META) - 1, sizeof(META ENTRY) - 1,
	    sizeof(body) - 1 };
	size_t cut, whole;
	struct walk w;
	uint8_t *p;

	for (cut = 0; cut < sizeof(body) - 1; cut++) {
		p = malloc(cut + 1);
		memcpy(p, body, cut);
		w = walk(bytes_of(p, cut));
		for (whole = 0; ends[whole + 1] <= cut; whole++)
			;
		ck_assert_uint_eq(w.good_bytes, ends[whole]);
		ck_assert_uint_eq(w.records, whole);
		ck_assert_int_eq(w.error, cut == ends[whole] ? 0 : -EAGAIN);
		free(p);
	}
}
END_TEST

START_TEST(of_a_body_filled_up_the_whole_entries_are_good)
{
	uint8_t body[3 * sizeof(ENTRY)];
	size_t n = sizeof(ENTRY) - 1, at;
	struct walk w;

	for (at = n; at < 2 * n; at++) {
		memcpy(body, ENTRY ENTRY ENTRY, 3 * n);
		memset(body + at, 0xc1, 3 * n - at);
		w = walk(bytes_of(body, 3 * n));
		/* a string's bytes may be anything: the last two are one */
		ck_assert_uint_eq(w.good_bytes, at < 2 * n - 2 ? n : 2 * n);
		ck_assert_int_eq(w.error, -EBADMSG);
	}
}
END_TEST

START_TEST(any_damaged_byte_is_survived)
{
	static const char body[] = META ENTRY;
	struct walk w;
	uint8_t *p;
	int v;

	for (v = 0; v < 256; v++) {
		p = malloc(sizeof(body) - 1);
		memcpy(p, body, sizeof(body) - 1);
		p[_i] = (uint8_t)v;
		w = walk(bytes_of(p, sizeof(body) - 1));
		ck_assert_uint_le(w.good_bytes, sizeof(body) - 1);
		ck_assert(w.error != 0 || w.good_bytes == sizeof(body) - 1);
		free(p);
	}
}
END_TEST

/* An entry of exactly n bytes. */
static struct bytes
entry_of(uint8_t *buf, size_t n)
{
	struct mpw w = { buf, buf + n, false };

	mpw_raw(&w, BYTES("\x92" TIME "\x81\xa1" "k\xc6"));
	n -= (size_t)(w.p - buf) + 4;
	mpw_raw(&w, bytes_of((uint8_t[]){ (uint8_t)(n >> 24),
	    (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n }, 4));
	memset(w.p, 0xc1, n);
	return bytes_of(buf, (size_t)(w.p - buf) + n);
}

START_TEST(a_record_has_a_greatest_size)
{
	uint8_t *buf = malloc(RECORD_MAX + 2);
	struct bytes b;

	accepts(entry_of(buf, RECORD_MAX - 1), 1);
	accepts(entry_of(buf, RECORD_MAX), 1);
	refuses(entry_of(buf, RECORD_MAX + 1), -EMSGSIZE);
	/* and of one that is not all there it is known as early */
	b = entry_of(buf, RECORD_MAX + 2);
	refuses(bytes_of(b.p, RECORD_MAX), -EAGAIN);
	refuses(bytes_of(b.p, RECORD_MAX + 1), -EMSGSIZE);
	free(buf);
}
END_TEST

static void
nested(size_t levels, int error)
{
	uint8_t buf[128];
	struct mpw w = { buf, buf + sizeof(buf), false };

	mpw_raw(&w, BYTES("\x92" TIME "\x81\xa1" "k"));
	while (levels-- > 0)
		mpw_array(&w, 1);
	mpw_nil(&w);
	if (error == 0)
		accepts(bytes_of(buf, (size_t)(w.p - buf)), 1);
	else
		refuses(bytes_of(buf, (size_t)(w.p - buf)), error);
}

START_TEST(a_record_nests_so_deep_and_no_deeper)
{
	/* the map is a level of its own */
	nested(MP_DEPTH_MAX - 2, 0);
	nested(MP_DEPTH_MAX - 1, 0);
	nested(MP_DEPTH_MAX, -E2BIG);
}
END_TEST

START_TEST(lying_counts_end)
{
	refuses(BYTES("\x92" TIME "\xdf\xff\xff\xff\xff"), -EAGAIN);
	refuses(BYTES("\x92" TIME "\x81\xa1k\xdd\xff\xff\xff\xff\x01"),
	    -EAGAIN);
	refuses(BYTES("\xdd\xff\xff\xff\xff"), -EAGAIN);
	refuses(BYTES("\xdd\x00\x00\x00\x03\x01\x01\x01"), -EBADMSG);
}
END_TEST

START_TEST(a_large_body_is_cut_at_entries_only)
{
	static const char body[] = ENTRY ENTRY ENTRY;
	size_t n = sizeof(ENTRY) - 1, stop, want;
	struct walk w;

	for (stop = 1; stop <= 3 * n + 1; stop++) {
		walk_until(bytes_of(body, 3 * n), RECORD_MAX, stop, &w);
		want = (stop + n - 1) / n;
		want = want < 3 ? want : 3;
		ck_assert_int_eq(w.error, 0);
		ck_assert_uint_eq(w.good_bytes, want * n);
		ck_assert_uint_eq(w.records, want);
	}
}
END_TEST

START_TEST(group_marks_are_seen_and_years_are_not)
{
	struct walk w = walk(BYTES(
	    "\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x80"
	    "\x92\x92\xd7\x00\xff\xff\xff\xfe\x00\x00\x00\x00\x80\x80"
	    "\x92\x92\xd7\x00\xff\xff\xff\xfd\x00\x00\x00\x00\x80\x80"
	    "\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x01\x80\x80"));

	ck_assert_uint_eq(w.records, 4);
	ck_assert_uint_eq(w.group_marks, 2);
}
END_TEST

START_TEST(an_entry_is_given_with_its_parts)
{
	struct mp m = mp_of(BYTES(META ENTRY));
	struct entry e;

	ck_assert_int_eq(walk_entry(&m, &e), 0);
	ck_assert_uint_eq(e.time_ns, UINT64_C(1700000000000000005));
	ck_assert(bytes_eq(e.metadata, BYTES("\x81\xa1" "k\x01")));
	ck_assert(bytes_eq(e.record, BYTES("\x81\xa3" "msg\xa2" "hi")));
	ck_assert_int_eq(walk_entry(&m, &e), 0);
	ck_assert_uint_eq(e.metadata.n, 0);
	ck_assert_int_eq(walk_entry(&m, &e), -EAGAIN);
}
END_TEST

static uint64_t
time_of(struct bytes entry)
{
	struct mp m = mp_of(entry);
	struct entry e;

	ck_assert_int_eq(walk_entry(&m, &e), 0);
	return e.time_ns;
}

START_TEST(a_time_that_is_none_is_zero)
{
	ck_assert_uint_eq(time_of(BYTES("\x92\x05\x80")), 5000000000);
	ck_assert_uint_eq(time_of(
	    BYTES("\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x80")), 0);
	ck_assert_uint_eq(time_of(BYTES("\x92\xc0\x80")), 0);
	/* NaN, -1, infinity */
	ck_assert_uint_eq(time_of(
	    BYTES("\x92\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\x80")), 0);
	ck_assert_uint_eq(time_of(
	    BYTES("\x92\xcb\xbf\xf0\x00\x00\x00\x00\x00\x00\x80")), 0);
	ck_assert_uint_eq(time_of(
	    BYTES("\x92\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00\x80")), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("walk");
	TCase *t = tcase_create("walk");
	SRunner *sr;
	int failed;

	tcase_add_test(t, each_legal_entry_is_accepted);
	tcase_add_test(t, what_is_no_entry_is_refused);
	tcase_add_test(t, of_a_cut_off_body_the_whole_entries_are_good);
	tcase_add_test(t, of_a_body_filled_up_the_whole_entries_are_good);
	tcase_add_loop_test(t, any_damaged_byte_is_survived, 0,
	    sizeof(META ENTRY) - 1);
	tcase_add_test(t, a_record_has_a_greatest_size);
	tcase_add_test(t, a_record_nests_so_deep_and_no_deeper);
	tcase_add_test(t, lying_counts_end);
	tcase_add_test(t, a_large_body_is_cut_at_entries_only);
	tcase_add_test(t, group_marks_are_seen_and_years_are_not);
	tcase_add_test(t, an_entry_is_given_with_its_parts);
	tcase_add_test(t, a_time_that_is_none_is_zero);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
