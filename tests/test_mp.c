/* SPDX-License-Identifier: ISC */
/*
 * test_mp.c - msgpack in place
 *
 * Claims: every tag is read as the specification says; an item cut off at
 * any byte is -EAGAIN and leaves the cursor; mp_need() says more than there
 * is then, and exactly enough for strings; a lying count ends; nesting ends
 * at MP_DEPTH_MAX; what is written is read back the same.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "forward/mp.h"

static struct mp
on(const void *p, size_t n)
{
	return (struct mp){ p, (const uint8_t *)p + n };
}

/* One of each tag, complete; n is its length. */
static size_t
example(uint8_t tag, uint8_t p[64])
{
	static const uint8_t behind[32] = {
		0, 255, 0, 0, 1 + 3, 2 + 3, 4 + 3, 1 + 1 + 3, 2 + 1 + 3,
		4 + 1 + 3, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17,
		1 + 3, 2 + 3, 4 + 3, 2 + 3, 4 + 3, 2 + 6, 4 + 6
	};
	static const uint8_t length_bytes[32] = {
		[4] = 1, [5] = 2, [6] = 4, [7] = 1, [8] = 2, [9] = 4,
		[0x19] = 1, [0x1a] = 2, [0x1b] = 4, [0x1c] = 2, [0x1d] = 4,
		[0x1e] = 2, [0x1f] = 4
	};
	size_t n;

	memset(p, 0, 64);
	p[0] = tag;
	if (tag <= 0x7f || tag >= 0xe0)
		return 1;
	if (tag <= 0x8f)
		return 1 + 2 * (size_t)(tag & 15);
	if (tag <= 0x9f)
		return 1 + (size_t)(tag & 15);
	if (tag <= 0xbf)
		return 1 + (size_t)(tag & 31);
	n = length_bytes[tag - 0xc0];
	if (n > 0)
		p[n] = 3;	/* the least byte of the length */
	return 1 + (size_t)behind[tag - 0xc0];
}

START_TEST(each_tag_is_read_whole_and_again_when_cut_off)
{
	uint8_t tag = (uint8_t)_i, buf[64], *p;
	size_t n = example(tag, buf), cut;
	struct mp_item it;
	struct mp m;

	if (tag == 0xc1) {
		m = on(buf, 64);
		ck_assert_int_eq(mp_next(&m, &it), -EBADMSG);
		ck_assert_int_eq(mp_skip(&m), -EBADMSG);
		return;
	}
	for (cut = 0; cut < n; cut++) {
		/* exactly so many bytes: a read behind them is seen by ASan */
		p = malloc(cut + 1);
		memcpy(p, buf, cut);
		m = on(p, cut);
		ck_assert_int_eq(mp_skip(&m), -EAGAIN);
		ck_assert_ptr_eq(m.p, p);
		if (mp_next(&m, &it) == -EAGAIN) {
			ck_assert_ptr_eq(m.p, p);
			ck_assert_uint_gt(mp_need(m), cut);
			ck_assert_uint_le(mp_need(m), n);
		}
		free(p);
	}
	m = on(buf, n);
	ck_assert_uint_eq(mp_need(m), n);
	ck_assert_int_eq(mp_skip(&m), 0);
	ck_assert_ptr_eq(m.p, buf + n);
}
END_TEST

static void
reads(const char *bytes, size_t n, enum mp_type type, int64_t i)
{
	struct mp m = on(bytes, n);
	struct mp_item it;

	ck_assert_int_eq(mp_next(&m, &it), 0);
	ck_assert_ptr_eq(m.p, m.end);
	ck_assert_int_eq(it.type, type);
	if (type == MP_UINT)
		ck_assert_uint_eq(it.u, (uint64_t)i);
	if (type == MP_INT)
		ck_assert_int_eq(it.i, i);
}
#define READS(lit, type, i) reads(lit, sizeof(lit) - 1, type, i)

START_TEST(integers_are_read_from_any_width)
{
	READS("\x7f", MP_UINT, 127);
	READS("\xff", MP_INT, -1);
	READS("\xe0", MP_INT, -32);
	READS("\xcc\xff", MP_UINT, 255);
	READS("\xcd\x00\x01", MP_UINT, 1);
	READS("\xce\x80\x00\x00\x00", MP_UINT, 0x80000000);
	READS("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", MP_UINT, -1);
	READS("\xd0\x80", MP_INT, -128);
	READS("\xd0\x7f", MP_UINT, 127);
	READS("\xd1\x80\x00", MP_INT, -32768);
	READS("\xd2\x80\x00\x00\x00", MP_INT, INT32_MIN);
	READS("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", MP_INT, INT64_MIN);
	READS("\xd3\x00\x00\x00\x00\x00\x00\x00\x05", MP_UINT, 5);
}
END_TEST

START_TEST(floats_and_bools_are_read)
{
	struct mp m = on("\xca\x3f\x80\x00\x00\xcb\xbf\xf0\0\0\0\0\0\0\xc2\xc3",
	    16);
	struct mp_item it;

	ck_assert_int_eq(mp_next(&m, &it), 0);
	ck_assert(it.type == MP_DOUBLE && it.d == 1.0);
	ck_assert_int_eq(mp_next(&m, &it), 0);
	ck_assert(it.type == MP_DOUBLE && it.d == -1.0);
	ck_assert_int_eq(mp_next(&m, &it), 0);
	ck_assert(it.type == MP_BOOL && !it.b);
	ck_assert_int_eq(mp_next(&m, &it), 0);
	ck_assert(it.type == MP_BOOL && it.b);
	ck_assert_int_eq(mp_next(&m, &it), -EAGAIN);
}
END_TEST

/* n arrays of one, the last holds a nil. */
static int
skip_nested(size_t n)
{
	uint8_t buf[64];
	struct mp m = on(buf, n + 1);

	memset(buf, 0x91, n);
	buf[n] = 0xc0;
	return mp_skip(&m);
}

START_TEST(nesting_ends_at_its_limit)
{
	ck_assert_int_eq(skip_nested(MP_DEPTH_MAX - 1), 0);
	ck_assert_int_eq(skip_nested(MP_DEPTH_MAX), 0);
	ck_assert_int_eq(skip_nested(MP_DEPTH_MAX + 1), -E2BIG);
}
END_TEST

START_TEST(lying_counts_cost_nothing_and_end)
{
	static const char *const lie[] = {
		"\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff",
		"\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff",
		"\xc9\xff\xff\xff\xff"
	};
	struct mp_item it;
	struct mp m;
	size_t i;

	for (i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
		m = on(lie[i], 5);
		ck_assert_int_eq(mp_next(&m, &it), -EAGAIN);
		ck_assert_int_eq(mp_skip(&m), -EAGAIN);
		ck_assert_uint_ge(mp_need(m), UINT64_C(0xffffffff) + 5);
	}
}
END_TEST

START_TEST(many_levels_of_great_counts_do_not_overflow)
{
	uint8_t buf[4096];
	struct mp m = on(buf, sizeof(buf));
	size_t i;

	for (i = 0; i + 3 <= sizeof(buf); i += 3)
		memcpy(buf + i, "\xde\x01\x00", 3);
	buf[4095] = 0xc0;
	ck_assert_int_lt(mp_skip(&m), 0);
	ck_assert_ptr_eq(m.p, buf);
}
END_TEST

START_TEST(find_takes_the_key_and_not_a_value_like_it)
{
	/* {"a": "b", 7: 8, "b": 5} */
	static const char map[] = "\x83\xa1" "a\xa1" "b\x07\x08\xa1" "b\x05";
	struct mp v;
	uint64_t u;

	ck_assert_int_eq(mp_find(on(map, sizeof(map) - 1), "b", &v), 0);
	ck_assert_int_eq(mp_uint(&v, &u), 0);
	ck_assert_uint_eq(u, 5);
	ck_assert_int_eq(mp_find(on(map, sizeof(map) - 1), "c", &v), -ENOENT);
	/* the value may be missing: it is read by its own rules */
	ck_assert_int_eq(mp_find(on(map, sizeof(map) - 2), "b", &v), 0);
	ck_assert_int_eq(mp_uint(&v, &u), -EAGAIN);
	ck_assert_int_eq(mp_find(on(map, sizeof(map) - 3), "b", &v), -EAGAIN);
	ck_assert_int_eq(mp_find(on("\x93", 1), "b", &v), -EAGAIN);
	ck_assert_int_eq(mp_find(on("\x05", 1), "b", &v), -EBADMSG);
}
END_TEST

START_TEST(wanted_types_are_checked_and_the_cursor_stays)
{
	struct mp m = on("\xa1x\x05\xc4\x01y", 6);
	struct bytes s;
	uint64_t u;
	uint32_t n;

	ck_assert_int_eq(mp_uint(&m, &u), -EBADMSG);
	ck_assert_int_eq(mp_map(&m, &n), -EBADMSG);
	ck_assert_int_eq(mp_str(&m, &s), 0);
	ck_assert_int_eq(mp_str(&m, &s), -EBADMSG);
	ck_assert_int_eq(mp_uint(&m, &u), 0);
	ck_assert_int_eq(mp_str(&m, &s), 0);	/* a binary is as good */
	ck_assert(bytes_eq(s, BYTES("y")));
	ck_assert_int_eq(mp_str(&m, &s), -EAGAIN);
}
END_TEST

/* ---- writing ---- */

static const int64_t edges[] = {
	0, 1, 127, 128, 255, 256, 65535, 65536, 0xffffffff, 0x100000000,
	INT64_MAX, -1, -32, -33, -128, -129, -32768, -32769, INT32_MIN,
	(int64_t)INT32_MIN - 1, INT64_MIN
};

START_TEST(integers_are_read_back)
{
	uint8_t buf[16];
	struct mpw w = { buf, buf + sizeof(buf), false };
	struct mp_item it;
	struct mp m;

	mpw_int(&w, edges[_i]);
	m = on(buf, (size_t)(w.p - buf));
	ck_assert_int_eq(mp_next(&m, &it), 0);
	ck_assert_ptr_eq(m.p, m.end);
	ck_assert_int_eq(it.type == MP_UINT ? (int64_t)it.u : it.i, edges[_i]);
}
END_TEST

static const size_t lengths[] = { 0, 1, 31, 32, 255, 256, 65535, 65536 };

START_TEST(strings_and_binaries_are_read_back)
{
	static uint8_t text[65536], buf[2 * 65536 + 16];
	struct mpw w = { buf, buf + sizeof(buf), false };
	struct bytes s = bytes_of(text, lengths[_i]);
	struct mp_item a, b;
	struct mp m;

	memset(text, 'x', sizeof(text));
	mpw_str(&w, s);
	mpw_bin_head(&w, (uint32_t)s.n);
	mpw_raw(&w, s);
	ck_assert(!w.full);
	m = on(buf, (size_t)(w.p - buf));
	ck_assert_int_eq(mp_next(&m, &a), 0);
	ck_assert_int_eq(mp_next(&m, &b), 0);
	ck_assert_ptr_eq(m.p, m.end);
	ck_assert(a.type == MP_STR && bytes_eq(a.s, s));
	ck_assert(b.type == MP_BIN && bytes_eq(b.s, s));
}
END_TEST

START_TEST(a_full_writer_stays_full_and_writes_nothing_more)
{
	uint8_t buf[8] = { 0 };
	struct mpw w = { buf, buf + 4, false };

	mpw_uint(&w, 7);
	mpw_uint(&w, 70000);	/* 5 bytes */
	ck_assert(w.full);
	mpw_nil(&w);
	ck_assert_ptr_eq(w.p, buf + 1);
	ck_assert_mem_eq(buf, "\x07\0\0\0\0\0\0\0", 8);
}
END_TEST

START_TEST(an_event_time_is_ten_bytes)
{
	uint8_t buf[10];
	struct mpw w = { buf, buf + sizeof(buf), false };

	mpw_event_time(&w, UINT64_C(1700000000) * 1000000000 + 5);
	ck_assert(!w.full);
	ck_assert_mem_eq(buf, "\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x05", 10);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("mp");
	TCase *t = tcase_create("mp");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(t, each_tag_is_read_whole_and_again_when_cut_off,
	    0, 256);
	tcase_add_test(t, integers_are_read_from_any_width);
	tcase_add_test(t, floats_and_bools_are_read);
	tcase_add_test(t, nesting_ends_at_its_limit);
	tcase_add_test(t, lying_counts_cost_nothing_and_end);
	tcase_add_test(t, many_levels_of_great_counts_do_not_overflow);
	tcase_add_test(t, find_takes_the_key_and_not_a_value_like_it);
	tcase_add_test(t, wanted_types_are_checked_and_the_cursor_stays);
	tcase_add_loop_test(t, integers_are_read_back, 0,
	    sizeof(edges) / sizeof(edges[0]));
	tcase_add_loop_test(t, strings_and_binaries_are_read_back, 0,
	    sizeof(lengths) / sizeof(lengths[0]));
	tcase_add_test(t, a_full_writer_stays_full_and_writes_nothing_more);
	tcase_add_test(t, an_event_time_is_ten_bytes);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
