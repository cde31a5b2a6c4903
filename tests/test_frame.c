/* SPDX-License-Identifier: ISC */
/*
 * test_frame.c - claims about the bytes of segments: frames, ledgers, and the
 * scan that finds intact frames among any bytes.
 *
 * The golden files are written once and never again: what they hold must be
 * read for ever, and today's writer must still make the same bytes.  A new
 * version gets a new file: GOLDEN_NEW=1 writes it if it is not there.
 */

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "queue/frame.h"
#include "queue/ledger.h"
#include "queue/scan.h"
#include "queue/streams.h"

#define GEN	0x1122334455667789ull

static uint8_t buf[1 << 16];
static const uint8_t stream[STREAM_ID_LEN] = "stream-of-bytes";

static struct frame
some_frame(struct bytes body)
{
	struct frame f = {
		.kind = FRAME_DATA, .signal = SIGNAL_TRACES,
		.encoding = ENC_OTLP, .flags = CHUNK_BACKLOG,
		.records = 3, .seq = 42, .from = 1000, .to = 1000 + body.n,
		.taken_ns = 1700000000000000001ull,
		.identity = BYTES("\x81\xa1k\xa1v"), .body = body,
	};

	memcpy(f.stream, stream, STREAM_ID_LEN);
	return f;
}

static size_t
lay(uint8_t *p, const struct frame *f, uint64_t at)
{
	memcpy(frame_put(p, f), f->body.p, f->body.n);
	frame_seal(p, GEN, at);
	return frame_size(f->identity.n, f->body.n);
}

static size_t
lay_some(size_t off, uint64_t seq)
{
	struct frame f = some_frame(BYTES("some records, by and by"));

	f.seq = seq;
	return off + lay(buf + off, &f, off);
}

static void
setup(void)
{
	memset(buf, 0, sizeof(buf));
}

START_TEST(a_frame_comes_back_as_it_went_in)
{
	struct frame f = some_frame(BYTES("body")), g;
	size_t n = lay(buf, &f, 4096);

	ck_assert_uint_eq(n % 8, 0);
	ck_assert_int_eq(frame_get(buf, n, &g), 0);
	ck_assert_uint_eq(g.size, n);
	ck_assert_uint_eq(g.kind, FRAME_DATA);
	ck_assert_uint_eq(g.signal, SIGNAL_TRACES);
	ck_assert_uint_eq(g.encoding, ENC_OTLP);
	ck_assert_uint_eq(g.flags, CHUNK_BACKLOG);
	ck_assert_uint_eq(g.records, 3);
	ck_assert_uint_eq(g.generation, GEN);
	ck_assert_uint_eq(g.seq, 42);
	ck_assert_uint_eq(g.from, 1000);
	ck_assert_uint_eq(g.to, 1004);
	ck_assert_uint_eq(g.taken_ns, 1700000000000000001ull);
	ck_assert_uint_eq(g.at, 4096);
	ck_assert_mem_eq(g.stream, stream, STREAM_ID_LEN);
	ck_assert(bytes_eq(g.identity, f.identity));
	ck_assert(bytes_eq(g.body, f.body));
}
END_TEST

START_TEST(every_flipped_bit_is_noticed)
{
	struct frame f = some_frame(BYTES("body of a frame")), g;
	size_t n = lay(buf, &f, 0), i;
	int r;

	for (i = 0; i < n * 8; i++) {
		buf[i / 8] ^= (uint8_t)(1 << i % 8);
		r = frame_get(buf, n, &g);
		ck_assert_msg(r == -EBADMSG || r == -EAGAIN, "bit %zu", i);
		buf[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	ck_assert_int_eq(frame_get(buf, n, &g), 0);
}
END_TEST

START_TEST(every_shorter_frame_is_again)
{
	struct frame f = some_frame(BYTES("body of a frame")), g = { 0 };
	size_t n = lay(buf, &f, 0), i;

	for (i = 0; i < n; i++)
		ck_assert_int_eq(frame_get(buf, i, &g), -EAGAIN);
	ck_assert_uint_eq(g.size, 0);
}
END_TEST

/* Sealed, so that only the bounds can refuse it. */
static int
sealed_is(const struct frame *f)
{
	static uint8_t big[FRAME_LEDGER_MAX + 4096];
	struct frame g;

	frame_put(big, f);
	frame_seal(big, GEN, 0);
	return frame_get(big, sizeof(big), &g);
}

START_TEST(each_field_is_bounded)
{
	struct frame f = some_frame(BYTES("body"));

	f.signal = SIGNAL_TRACES + 1;
	ck_assert_int_eq(sealed_is(&f), -EBADMSG);
	f.signal = 0;
	f.encoding = ENC_OTLP + 1;
	ck_assert_int_eq(sealed_is(&f), -EBADMSG);
	f.encoding = 0;
	f.kind = 0;
	ck_assert_int_eq(sealed_is(&f), -EBADMSG);
	f.kind = 4;
	ck_assert_int_eq(sealed_is(&f), -EBADMSG);
	f.kind = FRAME_DATA;
	f.to++;
	ck_assert_int_eq(sealed_is(&f), -EBADMSG);
	f.to--;
	f.from = UINT64_MAX;
	ck_assert_int_eq(sealed_is(&f), -EBADMSG);
	f.from = 1000;
	ck_assert_int_eq(sealed_is(&f), 0);
}
END_TEST

START_TEST(body_and_identity_one_below_at_and_above_the_limit)
{
	static const uint8_t id[IDENTITY_MAX];
	struct frame f = some_frame(bytes_of(NULL, FRAME_BODY_MAX));
	struct frame l = { .kind = FRAME_CHECKPOINT };

	ck_assert_int_eq(sealed_is(&f), 0);
	f.body.n++;
	f.to++;
	ck_assert_int_eq(sealed_is(&f), -EBADMSG);
	f.body.n -= 2;
	f.to -= 2;
	f.identity = bytes_of(id, IDENTITY_MAX);
	ck_assert_int_eq(sealed_is(&f), 0);
	le16_put(buf, 0);
	l.body.n = FRAME_LEDGER_MAX;
	ck_assert_int_eq(sealed_is(&l), 0);
	l.to = 1;
	ck_assert_int_eq(sealed_is(&l), -EBADMSG);
}
END_TEST

/* ---- the scan ---- */

static struct scan
scan_at(size_t at, size_t end, bool last)
{
	struct scan s;

	scan_next(buf + at, end - at, at, last, GEN, &s);
	return s;
}

START_TEST(scan_walks_frames_and_padding)
{
	size_t a = lay_some(0, 1), b = lay_some(4096, 2);
	struct scan s;

	s = scan_at(0, b, true);
	ck_assert_int_eq(s.kind, SCAN_FRAME);
	ck_assert_uint_eq(s.len, a);
	s = scan_at(a, b, true);
	ck_assert_int_eq(s.kind, SCAN_ZERO);
	ck_assert_uint_eq(s.len, 4096 - a);
	s = scan_at(4096, b, true);
	ck_assert_int_eq(s.kind, SCAN_FRAME);
	ck_assert_uint_eq(s.frame.seq, 2);
	ck_assert_int_eq(scan_at(b, b, true).kind, SCAN_END);
	ck_assert_int_eq(scan_at(b, sizeof(buf), true).kind, SCAN_ZERO);
}
END_TEST

START_TEST(scan_finds_the_frame_behind_any_damaged_byte)
{
	size_t a = lay_some(0, 1), b = lay_some(a, 2), i;
	struct scan s;

	for (i = 0; i < a; i++) {
		buf[i] ^= 0x5a;
		s = scan_at(0, b, true);
		ck_assert_int_eq(s.kind, SCAN_DAMAGE);
		ck_assert_uint_eq(s.len, a);
		ck_assert_int_eq(scan_at(a, b, true).kind, SCAN_FRAME);
		buf[i] ^= 0x5a;
	}
}
END_TEST

START_TEST(scan_asks_for_more_until_a_frame_is_whole)
{
	size_t a = lay_some(0, 1), i;
	struct scan s;

	for (i = 0; i < a; i++) {
		s = scan_at(0, i, false);
		ck_assert_int_eq(s.kind, SCAN_MORE);
		ck_assert_uint_gt(s.len, i);
		ck_assert_uint_le(s.len, a);
	}
	ck_assert_int_eq(scan_at(0, a, false).kind, SCAN_FRAME);
}
END_TEST

START_TEST(scan_ends_whatever_the_bytes_are)
{
	size_t at, n, round;
	struct scan s;

	srand(7);
	for (round = 0; round < 300; round++) {
		n = (size_t)rand() % 9000;
		for (at = 0; at < n; at++)
			buf[at] = (uint8_t)(rand() % 3 ? 0 : rand());
		if (n > 2000)
			lay_some(((size_t)rand() % 1000) & ~7ul, 5);
		for (at = 0; at < n; at += s.len) {
			s = scan_at(at, n, true);
			ck_assert_int_ne(s.kind, SCAN_MORE);
			ck_assert_int_ne(s.kind, SCAN_END);
			ck_assert_uint_gt(s.len, 0);
			ck_assert_uint_le(s.len, n - at);
		}
	}
}
END_TEST

START_TEST(a_frame_elsewhere_is_no_frame_and_another_generation_is_stale)
{
	size_t a = lay_some(0, 1);
	struct scan s;

	memmove(buf + 4096, buf, a);
	s = scan_at(4096, 4096 + a, true);
	ck_assert_int_eq(s.kind, SCAN_DAMAGE);
	scan_next(buf, a, 0, true, GEN + 2, &s);
	ck_assert_int_eq(s.kind, SCAN_STALE);
	ck_assert_uint_eq(s.len, a);
	scan_next(buf, a, 0, true, 0, &s);
	ck_assert_int_eq(s.kind, SCAN_FRAME);
}
END_TEST

START_TEST(another_version_is_damage_and_the_rest_is_found)
{
	size_t a = lay_some(0, 1), b = lay_some(a, 2);
	struct scan s;

	buf[12] = FRAME_VERSION + 1;
	frame_seal(buf, GEN, 0);
	s = scan_at(0, b, true);
	ck_assert_int_eq(s.kind, SCAN_DAMAGE);
	ck_assert_uint_eq(s.len, a);
}
END_TEST

/* ---- ledgers ---- */

START_TEST(a_ledger_comes_back_and_bad_ones_change_nothing)
{
	struct ledger l = { .own_pos = 9, .put = { 5, 50 }, .done = { 3, 30 },
	    .aged = { 1, 10 }, .lost = { 1, 7 } }, m;
	struct ranges in = { 0 }, out = { 0 };
	struct bytes rest;
	struct env env;
	size_t n;

	env_init(&env, NULL, "test");
	ck_assert_int_eq(ranges_add(&in, &env, 1, 4), 0);
	ck_assert_int_eq(ranges_add(&in, &env, 7, 9), 0);
	ledger_put(buf, &l, &in, 2);
	n = ledger_size(2);
	ck_assert_int_eq(ledger_get(bytes_of(buf, n - 1), &env, &m, &out,
	    &rest), -EBADMSG);
	le64_put(buf + LEDGER_HEAD, 4);
	ck_assert_int_eq(ledger_get(bytes_of(buf, n), &env, &m, &out, &rest),
	    -EBADMSG);
	ck_assert_uint_eq(out.n, 0);
	le64_put(buf + LEDGER_HEAD, 1);
	ck_assert_int_eq(ledger_get(bytes_of(buf, n + 5), &env, &m, &out,
	    &rest), 0);
	ck_assert_mem_eq(&m, &l, sizeof(l));
	ck_assert_uint_eq(rest.n, 5);
	ck_assert_uint_eq(out.n, 2);
	ck_assert_uint_eq(ranges_at(&out, 1)->from, 7);
	ranges_fini(&in, &env);
	ranges_fini(&out, &env);
	env_fini(&env);
}
END_TEST

/* ---- golden files ---- */

static size_t
golden_image(uint8_t *p)
{
	struct frame f = some_frame(BYTES("golden body"));
	struct frame c = { .kind = FRAME_CHECKPOINT, .seq = 42, .from = 7,
	    .taken_ns = 1700000000000000000ull };
	struct ledger l = { .own_pos = 1, .put = { 2, 3 }, .done = { 4, 5 },
	    .aged = { 6, 7 }, .lost = { 8, 9 } };
	struct ranges done = { 0 };
	struct streams *s = NULL;
	struct env env;
	size_t n = 0, at;

	env_init(&env, NULL, "test");
	ck_assert_int_eq(streams_new(&s, &env), 0);
	ck_assert_int_eq(streams_add(s, stream, 0, 1000, false, 11), 0);
	ck_assert_int_eq(streams_add(s, stream, 2000, 2001, false, 12), 0);
	ck_assert_int_eq(ranges_add(&done, &env, 0, 40), 0);
	memcpy(c.stream, stream, STREAM_ID_LEN);
	c.body.n = ledger_size(1) + streams_size(s);
	ledger_put(frame_put(p, &c), &l, &done, 1);
	ck_assert_int_eq(streams_save(s, p + FRAME_HEAD + ledger_size(1),
	    streams_size(s), &n), 0);
	frame_seal(p, GEN, 0);
	at = FRAME_BLOCK;
	at += lay(p + at, &f, at);
	c.kind = FRAME_COMMIT;
	c.body.n = ledger_size(1);
	ledger_put(frame_put(p + at, &c), &l, &done, 1);
	frame_seal(p + at, GEN, at);
	at += frame_size(0, c.body.n);
	streams_free(&s);
	ranges_fini(&done, &env);
	env_fini(&env);
	return at;
}

START_TEST(today_s_bytes_are_those_of_the_golden_file)
{
	static uint8_t want[8192];
	size_t n = golden_image(buf), m;
	char path[512];
	FILE *f;

	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/tests/golden/%s",
	    SRCDIR, "queue-segment-v1.bin"), (int)sizeof(path));
	if (getenv("GOLDEN_NEW") != NULL) {
		f = fopen(path, "wbx");
		ck_assert_ptr_nonnull(f);
		ck_assert_uint_eq(fwrite(buf, 1, n, f), n);
		fclose(f);
	}
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s", path);
	m = fread(want, 1, sizeof(want), f);
	fclose(f);
	ck_assert_uint_eq(n, m);
	ck_assert_mem_eq(buf, want, n);
}
END_TEST

int
main(void)
{
	TCase *t = tcase_create("frame");
	Suite *s = suite_create("frame");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, a_frame_comes_back_as_it_went_in);
	tcase_add_test(t, every_flipped_bit_is_noticed);
	tcase_add_test(t, every_shorter_frame_is_again);
	tcase_add_test(t, each_field_is_bounded);
	tcase_add_test(t, body_and_identity_one_below_at_and_above_the_limit);
	tcase_add_test(t, scan_walks_frames_and_padding);
	tcase_add_test(t, scan_finds_the_frame_behind_any_damaged_byte);
	tcase_add_test(t, scan_asks_for_more_until_a_frame_is_whole);
	tcase_add_test(t, scan_ends_whatever_the_bytes_are);
	tcase_add_test(t,
	    a_frame_elsewhere_is_no_frame_and_another_generation_is_stale);
	tcase_add_test(t, another_version_is_damage_and_the_rest_is_found);
	tcase_add_test(t, a_ledger_comes_back_and_bad_ones_change_nothing);
	tcase_add_test(t, today_s_bytes_are_those_of_the_golden_file);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
