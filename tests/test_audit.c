/* SPDX-License-Identifier: ISC */
/*
 * test_audit.c - claims about what the audit reads: a queue's directory with
 * any bytes in it, the uids of an export
 */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/stock.h"
#include "admin/uids.h"
#include "base/env.h"

#define ROUNDS	400
#define BODY	200

static struct env env;
static char dir[64];

static void
setup(void)
{
	env_init(&env, NULL, "test");
	snprintf(dir, sizeof(dir), "/tmp/emplog-audit.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void
teardown(void)
{
	char line[128];

	snprintf(line, sizeof(line), "rm -rf %s", dir);
	ck_assert_int_eq(system(line), 0);
	env_fini(&env);
}

static void
write_file(const char *name, const void *bytes, size_t n)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	close(fd);
}

/* ---- a segment by hand: checkpoint, then data frames, then commits ---- */

struct made {
	uint8_t		 p[64 * 1024];
	size_t		 n;
	uint64_t	 generation;
	uint64_t	 number;
};

static void
add_frame(struct made *m, struct frame *f, const void *body)
{
	uint8_t *at = m->p + m->n, *to;

	f->generation = m->generation;
	to = frame_put(at, f);
	if (f->body.n > 0)
		memcpy(to, body, f->body.n);
	frame_seal(at, m->generation, m->n);
	m->n += frame_size(0, f->body.n);
}

static void
add_ledger(struct made *m, uint8_t kind, uint64_t seq,
    const struct ranges *done, const struct streams *s)
{
	struct frame f = { .kind = kind, .seq = seq, .from = m->number };
	struct ledger l = { 0 };
	uint8_t body[16384];
	size_t n = ledger_size(done->n), more = 0;

	ledger_put(body, &l, done, done->n);
	if (s != NULL)
		ck_assert_int_eq(streams_save(s, body + n, sizeof(body) - n,
		    &more), 0);
	f.body.n = n + more;
	add_frame(m, &f, body);
}

static const uint8_t *
lane(void)
{
	static const uint8_t id[STREAM_ID_LEN] = { 1, 2, 3 };

	return id;
}

static void
add_data(struct made *m, uint64_t seq)
{
	struct frame f = { .kind = FRAME_DATA, .seq = seq, .records = 1,
	    .from = seq * BODY, .to = (seq + 1) * BODY };
	uint8_t body[BODY];

	memset(body, (int)seq, sizeof(body));
	memcpy(f.stream, lane(), STREAM_ID_LEN);
	f.body.n = BODY;
	add_frame(m, &f, body);
}

static void
begin(struct made *m, uint64_t number)
{
	memset(m, 0, sizeof(*m));
	m->generation = 77 + number;
	m->number = number;
}

/* Two segments: frames 0..4 and 5..9; done are 0, 1 and 6. */
static void
make_two(struct made *one, struct made *two)
{
	struct ranges done = { 0 }, later = { 0 };
	struct streams *s = NULL;
	uint64_t i;

	ck_assert_int_eq(streams_new(&s, &env), 0);
	begin(one, 1);
	add_ledger(one, FRAME_CHECKPOINT, 0, &done, s);
	for (i = 0; i < 5; i++)
		add_data(one, i);
	ck_assert_int_eq(ranges_add(&done, &env, 0, 2), 0);
	ck_assert_int_eq(streams_add(s, lane(), 0, 5 * BODY, false, 1), 0);
	begin(two, 2);
	add_ledger(two, FRAME_CHECKPOINT, 5, &done, s);
	for (i = 5; i < 10; i++)
		add_data(two, i);
	ck_assert_int_eq(ranges_add(&later, &env, 6, 7), 0);
	add_ledger(two, FRAME_COMMIT, 10, &later, NULL);
	ranges_fini(&done, &env);
	ranges_fini(&later, &env);
	streams_free(&s);
}

static void
write_made(const struct made *m)
{
	char name[32];

	snprintf(name, sizeof(name), "%016llx.seg",
	    (unsigned long long)m->number);
	write_file(name, m->p, m->n);
}

static struct made one, two;

static uint64_t
bytes_in(const struct streams *s)
{
	const struct ranges *rs = streams_taken(s, lane());

	return rs == NULL ? 0 : ranges_count(rs, 0, 100 * BODY);
}

START_TEST(a_queue_is_seen_as_its_recovery_would)
{
	struct stock s;
	size_t i;

	make_two(&one, &two);
	write_made(&one);
	write_made(&two);
	ck_assert_int_eq(stock_read(&s, &env, dir, NULL, NULL), 0);
	ck_assert_uint_eq(s.segments, 2);
	ck_assert_uint_eq(s.frames, 10);
	ck_assert_uint_eq(s.next_seq, 10);
	ck_assert_uint_eq(bytes_in(s.streams), 10 * BODY);
	ck_assert_uint_eq(bytes_in(s.held), 7 * BODY);
	for (i = 0; i < s.frames; i++)
		ck_assert(s.frame[i].held == !(s.frame[i].seq < 2 ||
		    s.frame[i].seq == 6));
	stock_fini(&s);
}
END_TEST

START_TEST(what_a_segment_long_gone_had_is_in_the_checkpoint)
{
	struct stock s;

	make_two(&one, &two);
	write_made(&two);
	ck_assert_int_eq(stock_read(&s, &env, dir, NULL, NULL), 0);
	ck_assert_uint_eq(s.frames, 5);
	ck_assert_uint_eq(bytes_in(s.streams), 10 * BODY);
	ck_assert_uint_eq(bytes_in(s.held), 4 * BODY);
	stock_fini(&s);
}
END_TEST

START_TEST(no_queue_is_told_from_an_empty_one)
{
	struct stock s;
	char gone[128];

	ck_assert_int_eq(stock_read(&s, &env, dir, NULL, NULL), 0);
	ck_assert_uint_eq(s.frames, 0);
	stock_fini(&s);
	snprintf(gone, sizeof(gone), "%s/gone", dir);
	ck_assert_int_eq(stock_read(&s, &env, gone, NULL, NULL), -ENOENT);
	stock_fini(&s);
}
END_TEST

static void
see_body(void *arg, const struct frame *f, bool held)
{
	size_t i;

	(void)held;
	ck_assert_uint_eq(f->body.n, BODY);
	for (i = 0; i < f->body.n; i++)
		ck_assert_uint_eq(f->body.p[i], (uint8_t)f->seq);
	++*(unsigned *)arg;
}

START_TEST(damaged_segments_give_whole_frames_or_none)
{
	unsigned seed = 7, i, seen, all = 0;
	struct made *m;
	struct stock s;
	size_t at;

	make_two(&one, &two);
	for (i = 0; i < ROUNDS; i++) {
		struct made a = one, b = two;

		m = rand_r(&seed) % 2 ? &a : &b;
		at = (size_t)rand_r(&seed) % m->n;
		if (i % 4 == 0)
			m->n = at;
		else if (i % 4 == 1)
			memset(m->p + at, 0, m->n - at);
		else
			m->p[at] ^= (uint8_t)(1u << rand_r(&seed) % 8);
		write_made(&a);
		write_made(&b);
		seen = 0;
		ck_assert_int_eq(stock_read(&s, &env, dir, see_body, &seen),
		    0);
		ck_assert_uint_eq(seen, s.frames);
		ck_assert_uint_le(seen, 10);
		all += seen;
		stock_fini(&s);
	}
	ck_assert_uint_gt(all, ROUNDS * 5);
}
END_TEST

START_TEST(what_is_no_segment_is_passed_over)
{
	char path[128];
	struct stock s;

	make_two(&one, &two);
	write_made(&two);
	write_file("00000000000000zz.seg", "x", 1);
	write_file("lock", "", 0);
	snprintf(path, sizeof(path), "%s/0000000000000003.seg", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/0000000000000004.seg", dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/0000000000000005.seg", dir);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	ck_assert_int_eq(stock_read(&s, &env, dir, NULL, NULL), 0);
	ck_assert_uint_eq(s.frames, 5);
	stock_fini(&s);
}
END_TEST

/* ---- uids ---- */

#define HEX	"000102030405060708090a0b0c0d0e0f"
#define UID(n)	"{\"key\":\"log.record.uid\",\"value\":{\"stringValue\":\"" \
		HEX ":" n "\"}}"

START_TEST(a_uid_is_32_digits_a_colon_and_a_position)
{
	uint8_t id[STREAM_ID_LEN];
	uint64_t pos;

	ck_assert(uid_parse(HEX ":4711", '\0', id, &pos));
	ck_assert_uint_eq(pos, 4711);
	ck_assert_uint_eq(id[15], 15);
	ck_assert(!uid_parse(HEX ":", '\0', id, &pos));
	ck_assert(!uid_parse(HEX "4711", '\0', id, &pos));
	ck_assert(!uid_parse(HEX ":47x1", '\0', id, &pos));
	ck_assert(!uid_parse("job-7", '\0', id, &pos));
	ck_assert(!uid_parse("", '\0', id, &pos));
}
END_TEST

START_TEST(uids_are_those_of_whole_lines)
{
	static const uint8_t id[STREAM_ID_LEN] = { 0, 1, 2, 3, 4, 5, 6, 7, 8,
	    9, 10, 11, 12, 13, 14, 15 };
	struct uids u;

	write_file("logs-00000001.jsonl", "[" UID("5") "," UID("10") "]\n",
	    2 * sizeof(UID("5")) + 3);
	write_file("logs.jsonl", UID("20") "\n" UID("30"),
	    2 * sizeof(UID("20")) - 1);
	write_file("other.jsonl", UID("40") "\n", sizeof(UID("40")));
	ck_assert_int_eq(uids_read(&u, dir), 0);
	ck_assert(uids_has(&u, id, 5) && uids_has(&u, id, 10));
	ck_assert(uids_has(&u, id, 20) && !uids_has(&u, id, 30));
	ck_assert(!uids_has(&u, id, 40) && !uids_has(&u, id, 6));
	ck_assert(!u.cut);
	uids_fini(&u);
	ck_assert(!uids_has(&u, id, 5));
}
END_TEST

START_TEST(an_export_whose_first_file_is_gone_is_cut)
{
	struct uids u;

	write_file("logs-00000002.jsonl", UID("5") "\n", sizeof(UID("5")));
	ck_assert_int_eq(uids_read(&u, dir), 0);
	ck_assert(u.cut);
	uids_fini(&u);
}
END_TEST

int
main(void)
{
	Suite *su = suite_create("audit");
	TCase *t = tcase_create("stock");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_queue_is_seen_as_its_recovery_would);
	tcase_add_test(t, what_a_segment_long_gone_had_is_in_the_checkpoint);
	tcase_add_test(t, no_queue_is_told_from_an_empty_one);
	tcase_add_test(t, damaged_segments_give_whole_frames_or_none);
	tcase_add_test(t, what_is_no_segment_is_passed_over);
	tcase_add_test(t, a_uid_is_32_digits_a_colon_and_a_position);
	tcase_add_test(t, uids_are_those_of_whole_lines);
	tcase_add_test(t, an_export_whose_first_file_is_gone_is_cut);
	suite_add_tcase(su, t);
	sr = srunner_create(su);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
