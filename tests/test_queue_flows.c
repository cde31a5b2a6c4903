/* SPDX-License-Identifier: ISC */
/*
 * test_queue_flows.c - claims about two flows of a queue: what is fresh goes
 * beside what waited, each in its order, nothing twice and nothing forgotten,
 * until they are one again.
 *
 * Real files in a directory of its own, the loop of fileloop.h.
 */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "fileloop.h"
#include "queue/priv.h"	/* whose turn it is, by force */

#define MS		1000000ull
#define WAITED		(61000 * MS)
#define PUTS_MAX	4096u

static struct loop *l;
static struct env env;
static struct queue *q;
static struct queue_conf conf;
static char dir[64];
static int open_res;
static bool closed;
static struct queue_put put[PUTS_MAX];
static unsigned puts_n;
static uint8_t out[QUEUE_TAKE_MAX], blob[1u << 20];

static void
on_open(void *arg, int res)
{
	open_res = res;
}

static void
on_close(void *arg)
{
	closed = true;
}

static void
on_put(struct queue_put *p, int res)
{
	ck_assert_int_eq(res, 0);
}

static void
start(void)
{
	conf.dir = dir;
	ck_assert_int_eq(queue_new(&q, &env, &conf), 0);
	open_res = 1;
	queue_open(q, on_open, NULL);
	fileloop_settle(l);
	ck_assert_int_eq(open_res, 0);
}

static void
stop(void)
{
	closed = false;
	queue_close(q, on_close, NULL);
	fileloop_settle(l);
	ck_assert(closed);
	queue_free(&q);
	ck_assert_uint_eq(loop_pending(l), 0);
}

static int
remove_one(const char *name, const struct stat *st, int type, struct FTW *f)
{
	return remove(name);
}

static void
setup(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	(void)snprintf(dir, sizeof(dir), "%s/test-flows-XXXXXX", base);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	conf = (struct queue_conf){ .segment_bytes = 256 << 10,
	    .staging_bytes = 512 << 10 };
	puts_n = 0;
	l = fileloop_new();
	env_init(&env, l, "test");
	env.log_fd = -1;
	fileloop_pass(l, 3600 * 1000 * MS);
}

static void
teardown(void)
{
	if (q != NULL)
		stop();
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	env_fini(&env);
	loop_free(&l);
}

static void
pass(uint64_t ns)
{
	fileloop_pass(l, ns);
	fileloop_settle(l);
}

/* Frame i is put i, and has its number in each of its bytes. */
static void
give(unsigned n, size_t size)
{
	struct chunk c = { .records = 1, .taken_ns = loop_wall(l) };

	for (; n > 0; n--, puts_n++) {
		ck_assert_uint_lt(puts_n, PUTS_MAX);
		memset(blob, (int)(puts_n & 0xff), size);
		memset(c.stream, 0, STREAM_ID_LEN);
		c.body[0] = bytes_of(blob, size);
		put[puts_n] = (struct queue_put){ .done = on_put };
		ck_assert_int_eq(queue_put(q, &c, &put[puts_n]), 0);
		if (n % 4 == 0)
			fileloop_settle(l);
	}
	fileloop_settle(l);
}

static int
try_take(uint64_t *ret_seq)
{
	struct chunk c;
	int r;

	r = queue_take(q, out, sizeof(out), &c, ret_seq);
	if (r == -EAGAIN) {
		fileloop_settle(l);
		r = queue_take(q, out, sizeof(out), &c, ret_seq);
	}
	if (r == 0)
		ck_assert_uint_eq(out[0], *ret_seq & 0xff);
	return r;
}

/* The next of this flow; -1: there is none of it. */
static int64_t
take_of(enum queue_flow flow)
{
	uint64_t seq;

	fileloop_settle(l);
	q->lead = flow == QUEUE_FRESH ? 1 : 0;
	if (queue_turn(q) != flow || try_take(&seq) < 0)
		return -1;
	return (int64_t)seq;
}

/* What comes next, whosever turn it is; -1: nothing. */
static int64_t
take(void)
{
	uint64_t seq;

	fileloop_settle(l);
	(void)queue_turn(q);
	return try_take(&seq) < 0 ? -1 : (int64_t)seq;
}

static uint64_t
count(enum ctr c)
{
	return ctr_get(&env.ctr, c);
}

static void
nothing_is_left(void)
{
	ck_assert_int_eq(take(), -1);
	ck_assert_uint_eq(queue_held_frames(q), 0);
	ck_assert_uint_eq(queue_held_records(q), 0);
	ck_assert_uint_eq(count(CTR_queue_backlog_records), 0);
	ck_assert_uint_eq(count(CTR_queue_put_records),
	    count(CTR_queue_done_records) + count(CTR_queue_lost_records) +
	    count(CTR_queue_dropped_age_records));
}

/* ---- claims ---- */

START_TEST(what_is_fresh_goes_beside_what_waited_and_they_become_one)
{
	int64_t seq, last[2] = { -1, 9 };
	unsigned n;

	start();
	give(10, 1000);
	pass(WAITED);
	queue_return(q);
	ck_assert_uint_eq(count(CTR_queue_returns), 1);
	ck_assert_uint_eq(count(CTR_queue_backlog_records), 10);
	give(10, 1000);
	for (n = 0; n < 18; n++) {
		seq = take();
		ck_assert_int_eq(seq, last[seq >= 10] + 1);
		last[seq >= 10] = seq;
		queue_commit(q, (uint64_t)seq);
	}
	ck_assert_int_eq(last[0], 8);
	ck_assert_int_eq(last[1], 18);
	ck_assert_uint_eq(count(CTR_queue_backlog_records), 1);
	queue_commit(q, (uint64_t)take());
	queue_commit(q, (uint64_t)take());
	nothing_is_left();
	give(3, 1000);
	for (n = 20; n < 23; n++) {
		ck_assert_int_eq(queue_turn(q), QUEUE_BACKLOG);
		queue_commit(q, (uint64_t)take_of(QUEUE_BACKLOG));
	}
	nothing_is_left();
	ck_assert_uint_eq(count(CTR_queue_returns), 1);
}
END_TEST

/* Else an outage's backlog keeps the disk full of what is long delivered. */
START_TEST(what_is_delivered_beside_a_backlog_leaves_the_disk)
{
	uint64_t bytes;
	int64_t seq;

	start();
	give(20, 30000);
	pass(WAITED);
	queue_return(q);
	bytes = count(CTR_queue_bytes);
	for (seq = 20; seq < 220; seq++) {
		give(1, 30000);
		ck_assert_int_eq(take_of(QUEUE_FRESH), seq);
		queue_commit(q, (uint64_t)seq);
		pass(300 * MS);
		ck_assert_uint_le(count(CTR_queue_bytes),
		    bytes + 4 * (256 << 10));
	}
	stop();
	start();		/* and nothing is missed for that */
	ck_assert_uint_eq(queue_held_frames(q), 20);
	ck_assert_uint_eq(count(CTR_queue_lost_frames), 0);
	for (seq = 0; seq < 20; seq++) {
		ck_assert_int_eq(take(), seq);
		queue_commit(q, (uint64_t)seq);
	}
	nothing_is_left();
	pass(1000 * MS);
	ck_assert_uint_le(count(CTR_queue_segments), 2);
}
END_TEST

START_TEST(what_waited_less_than_a_minute_is_no_backlog)
{
	start();
	give(4, 1000);
	pass(59000 * MS);
	queue_return(q);
	ck_assert_uint_eq(count(CTR_queue_returns), 0);
	pass(1000 * MS);
	queue_return(q);
	ck_assert_uint_eq(count(CTR_queue_returns), 1);
}
END_TEST

/* An agent's spill comes late, and is no backlog of ours for that. */
START_TEST(what_was_old_when_it_came_is_no_backlog)
{
	struct chunk c = { .records = 1, .taken_ns = 1,
	    .body[0] = bytes_of(blob, 100) };

	start();
	put[0] = (struct queue_put){ .done = on_put };
	ck_assert_int_eq(queue_put(q, &c, &put[0]), 0);
	pass(1000 * MS);
	queue_return(q);
	ck_assert_uint_eq(count(CTR_queue_returns), 0);
}
END_TEST

START_TEST(each_flow_gets_half_of_the_bytes)
{
	uint64_t bytes[2] = { 0, 0 };
	int64_t seq;
	unsigned n;

	start();
	give(30, 30000);
	pass(WAITED);
	queue_return(q);
	give(90, 10000);
	for (n = 0; n < 100; n++) {
		seq = take();
		bytes[seq >= 30] += seq >= 30 ? 10000 : 30000;
		queue_commit(q, (uint64_t)seq);
		ck_assert_uint_le(bytes[0], bytes[1] + 40000);
		ck_assert_uint_le(bytes[1], bytes[0] + 40000);
	}
}
END_TEST

/* Requests of one flow each: there is always a fresh one, and never many. */
START_TEST(a_few_small_fresh_ones_do_not_keep_the_backlog_waiting)
{
	enum queue_flow flow;
	unsigned old = 0, n;
	uint64_t seq;

	start();
	give(40, 30000);
	pass(WAITED);
	queue_return(q);
	for (n = 0; n < 40; n++) {
		give(1, 100);
		flow = queue_turn(q);
		old += flow == QUEUE_BACKLOG;
		ck_assert_int_eq(try_take(&seq), 0);
		while (flow == QUEUE_FRESH && queue_flow(q) == flow)
			ck_assert_int_eq(try_take(&seq), 0);
	}
	ck_assert_uint_ge(old, 18);
	ck_assert_uint_le(old, 22);
}
END_TEST

/* The fresh ones have waited too: those the consumer has stay with it. */
START_TEST(what_the_consumer_has_does_not_come_again_as_backlog)
{
	int64_t seq;

	start();
	give(10, 1000);
	pass(WAITED);
	queue_return(q);
	give(6, 1000);
	ck_assert_int_eq(take_of(QUEUE_FRESH), 10);
	ck_assert_int_eq(take_of(QUEUE_FRESH), 11);
	queue_commit(q, 11);
	pass(WAITED);
	queue_return(q);
	ck_assert_uint_eq(count(CTR_queue_returns), 2);
	ck_assert_uint_eq(count(CTR_queue_backlog_records), 15);
	give(2, 1000);
	ck_assert_int_eq(take_of(QUEUE_FRESH), 16);
	for (seq = 0; seq < 16; seq++)
		if (seq != 10 && seq != 11)
			ck_assert_int_eq(take_of(QUEUE_BACKLOG), seq);
	ck_assert_int_eq(take(), 17);
	ck_assert_int_eq(take(), -1);
	for (seq = 0; seq < 18; seq++)
		queue_commit(q, (uint64_t)seq);
	nothing_is_left();
}
END_TEST

START_TEST(a_rewind_begins_each_flow_with_its_oldest)
{
	int64_t seq;

	start();
	give(10, 1000);
	pass(WAITED);
	queue_return(q);
	give(6, 1000);
	for (seq = 0; seq < 3; seq++)
		ck_assert_int_eq(take_of(QUEUE_BACKLOG), seq);
	for (seq = 10; seq < 13; seq++)
		ck_assert_int_eq(take_of(QUEUE_FRESH), seq);
	queue_commit(q, 0);
	queue_commit(q, 11);
	queue_rewind(q);
	queue_commit(q, 2);		/* its answer was on the way */
	ck_assert_int_eq(take_of(QUEUE_BACKLOG), 1);
	ck_assert_int_eq(take_of(QUEUE_FRESH), 10);
	ck_assert_int_eq(take_of(QUEUE_FRESH), 12);
	ck_assert_int_eq(take_of(QUEUE_BACKLOG), 3);
	ck_assert_int_eq(take_of(QUEUE_FRESH), 13);
}
END_TEST

/* What the consumer has lies behind what nobody has taken. */
START_TEST(a_rewind_passes_over_nothing_that_was_not_taken)
{
	int64_t seq;

	start();
	give(10, 1000);
	pass(WAITED);
	queue_return(q);
	give(6, 1000);
	ck_assert_int_eq(take_of(QUEUE_BACKLOG), 0);
	queue_commit(q, 0);
	ck_assert_int_eq(take_of(QUEUE_FRESH), 10);
	pass(WAITED);
	queue_return(q);
	queue_rewind(q);
	for (seq = 1; seq < 16; seq++)
		ck_assert_int_eq(take(), seq);
	ck_assert_int_eq(take(), -1);
}
END_TEST

START_TEST(a_rewind_after_they_became_one_gives_all_again_in_order)
{
	int64_t seq;

	start();
	give(5, 1000);
	pass(WAITED);
	queue_return(q);
	give(5, 1000);
	for (seq = 0; seq < 10; seq++)
		ck_assert_int_ge(take(), 0);
	ck_assert_int_eq(take(), -1);
	queue_commit(q, 3);
	queue_commit(q, 7);
	give(1, 1000);
	queue_rewind(q);
	for (seq = 0; seq < 11; seq++)
		if (seq != 3 && seq != 7)
			ck_assert_int_eq(take(), seq);
	ck_assert_int_eq(take(), -1);
}
END_TEST

START_TEST(a_restart_gives_what_is_not_committed_and_begins_anew)
{
	int64_t seq;

	start();
	give(10, 30000);
	pass(WAITED);
	queue_return(q);
	give(10, 30000);
	for (seq = 0; seq < 4; seq++)
		queue_commit(q, (uint64_t)take_of(QUEUE_BACKLOG));
	for (seq = 10; seq < 15; seq++)
		queue_commit(q, (uint64_t)take_of(QUEUE_FRESH));
	(void)take_of(QUEUE_BACKLOG);
	(void)take_of(QUEUE_FRESH);
	stop();
	start();
	ck_assert_uint_eq(queue_held_frames(q), 11);
	pass(WAITED);			/* they were taken long ago */
	queue_return(q);
	give(2, 30000);
	ck_assert_int_eq(take_of(QUEUE_FRESH), 20);
	for (seq = 4; seq < 10; seq++)
		ck_assert_int_eq(take_of(QUEUE_BACKLOG), seq);
	for (seq = 15; seq < 20; seq++)
		ck_assert_int_eq(take_of(QUEUE_BACKLOG), seq);
	ck_assert_int_eq(take(), 21);
	ck_assert_int_eq(take(), -1);
	for (seq = 0; seq < 22; seq++)
		queue_commit(q, (uint64_t)seq);
	nothing_is_left();
}
END_TEST

START_TEST(what_is_too_old_is_dropped_from_both)
{
	conf.age_max_ns = 300000 * MS;
	start();
	give(5, 1000);
	pass(WAITED);
	queue_return(q);
	give(5, 1000);
	ck_assert_int_eq(take_of(QUEUE_BACKLOG), 0);
	ck_assert_int_eq(take_of(QUEUE_FRESH), 5);
	pass(240000 * MS);
	ck_assert_uint_eq(count(CTR_queue_dropped_age_records), 4);
	ck_assert_uint_eq(count(CTR_queue_backlog_records), 0);
	pass(61000 * MS);
	ck_assert_uint_eq(count(CTR_queue_dropped_age_records), 8);
	queue_commit(q, 0);
	queue_commit(q, 5);
	nothing_is_left();
}
END_TEST

/*
 * The segment in which one flow ends and the other begins: a frame of it is
 * damaged when the back one comes by, and the front one has left it.
 */
START_TEST(what_the_segment_of_the_split_has_lost_is_counted)
{
	char path[96];
	unsigned i, n = 0;
	off_t at;
	int fd;

	start();
	give(8, 4000);			/* 8 blocks behind the checkpoint */
	pass(WAITED);			/* and the read ahead is given back */
	(void)snprintf(path, sizeof(path), "%s/%016x.seg", dir, 1u);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	for (at = 4096; at < 8 * 8192 && n < 2; at += 64) {
		uint8_t b[64];

		ck_assert_int_eq(pread(fd, b, 64, at), 64);
		for (i = 0; i < 64 && b[i] == 6; i++)
			;
		if (i < 64)
			continue;
		memset(b, 0xee, 64);
		ck_assert_int_eq(pwrite(fd, b, 64, at), 64);
		n++;
	}
	ck_assert_uint_eq(n, 2);
	queue_return(q);
	ck_assert_uint_eq(count(CTR_queue_returns), 1);
	give(80, 8000);
	for (i = 0; i < 60; i++)	/* the front one is in another now */
		queue_commit(q, (uint64_t)take_of(QUEUE_FRESH));
	ck_assert_uint_eq(count(CTR_queue_lost_frames), 0);
	for (; i < 87; i++)
		queue_commit(q, (uint64_t)take());
	ck_assert_uint_eq(count(CTR_queue_lost_frames), 1);
	close(fd);
	nothing_is_left();
}
END_TEST

static size_t
mapped(void)
{
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%zu", &pages), 1);
	fclose(f);
	return pages * 4096;
}

/* From the disk both of them: nothing is lent from what was just written. */
START_TEST(a_second_read_ahead_is_there_while_there_are_two_flows)
{
	size_t one, two;
	unsigned i;

	conf.staging_bytes = 4 << 20;
	conf.segment_bytes = 4 << 20;
	start();
	give(40, 30000);
	pass(WAITED);
	(void)take();
	one = mapped();
	queue_return(q);
	give(40, 30000);
	pass(2000 * MS);
	(void)take_of(QUEUE_BACKLOG);
	(void)take_of(QUEUE_FRESH);
	two = mapped();
	ck_assert_uint_ge(two, one + (1u << 20) - 65536);
	for (i = 3; i < 80; i++)
		ck_assert_int_ge(take(), 0);
	ck_assert_int_eq(take(), -1);
	fileloop_settle(l);
	ck_assert_uint_le(mapped(), two - (1u << 20) + 65536);
}
END_TEST

START_TEST(many_fresh_ones_out_leave_the_window_in_order)
{
	int64_t seq, i;

	start();
	give(50, 100);
	pass(WAITED);
	queue_return(q);
	give(300, 100);
	for (seq = 50; seq < 250; seq++)
		ck_assert_int_eq(take_of(QUEUE_FRESH), seq);
	pass(WAITED);
	queue_return(q);
	for (i = 0; i < 50; i++)	/* below all that are out */
		ck_assert_int_eq(take_of(QUEUE_BACKLOG), i);
	for (seq = 249; seq >= 0; seq--)
		queue_commit(q, (uint64_t)seq);
	ck_assert_uint_eq(queue_held_frames(q), 100);
	queue_rewind(q);
	for (seq = 250; seq < 350; seq++) {
		ck_assert_int_eq(take(), seq);
		queue_commit(q, (uint64_t)seq);
	}
	nothing_is_left();
}
END_TEST

int
main(void)
{
	TCase *t = tcase_create("flows");
	Suite *s = suite_create("queue_flows");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t,
	    what_is_fresh_goes_beside_what_waited_and_they_become_one);
	tcase_add_test(t, what_is_delivered_beside_a_backlog_leaves_the_disk);
	tcase_add_test(t, what_waited_less_than_a_minute_is_no_backlog);
	tcase_add_test(t, what_was_old_when_it_came_is_no_backlog);
	tcase_add_test(t, each_flow_gets_half_of_the_bytes);
	tcase_add_test(t,
	    a_few_small_fresh_ones_do_not_keep_the_backlog_waiting);
	tcase_add_test(t,
	    what_the_consumer_has_does_not_come_again_as_backlog);
	tcase_add_test(t, a_rewind_begins_each_flow_with_its_oldest);
	tcase_add_test(t, a_rewind_passes_over_nothing_that_was_not_taken);
	tcase_add_test(t,
	    a_rewind_after_they_became_one_gives_all_again_in_order);
	tcase_add_test(t, a_restart_gives_what_is_not_committed_and_begins_anew);
	tcase_add_test(t, what_is_too_old_is_dropped_from_both);
	tcase_add_test(t, what_the_segment_of_the_split_has_lost_is_counted);
	tcase_add_test(t,
	    a_second_read_ahead_is_there_while_there_are_two_flows);
	tcase_add_test(t, many_fresh_ones_out_leave_the_window_in_order);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
