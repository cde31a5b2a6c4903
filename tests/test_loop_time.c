/* SPDX-License-Identifier: ISC */
/* test_loop_time.c - timers, turns, random, other threads; see test_loop.c */

#include "test_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loop/backend.h"

#define MS	1000000u

START_TEST(a_timer_is_never_early)
{
	uint64_t at;
	struct tap t;
	int i;

	tap_init(&t);
	for (i = 1; i < 20; i++) {
		at = loop_now(l) + (uint64_t)i * 333333;
		loop_timer(l, &t.op, at);
		ck_assert_int_eq(await(&t), 0);
		ck_assert_uint_ge(loop_now(l), at);
	}
}
END_TEST

START_TEST(a_timer_of_the_past_comes_with_the_next_turn)
{
	struct tap t;

	tap_init(&t);
	loop_timer(l, &t.op, 0);
	ck_assert_uint_eq(t.n, 0);
	ck_assert_int_eq(loop_turn(l, false), 1);
	ck_assert_uint_eq(t.n, 1);
	ck_assert_int_eq(t.res, 0);
}
END_TEST

#define TIMERS	500

struct alarm {
	struct op	 op;
	unsigned	 order;		/* of setting */
};

static struct alarm alarms[TIMERS];
static struct alarm *rang[TIMERS];
static unsigned rang_n;

static void
ring(struct op *op)
{
	if (op->res == 0)
		rang[rang_n++] = op->arg;
}

START_TEST(timers_come_by_deadline_and_equal_ones_in_order)
{
	uint64_t base = loop_now(l);
	unsigned i, live = 0;

	rang_n = 0;
	for (i = 0; i < TIMERS; i++) {
		alarms[i].order = i;
		op_init(&alarms[i].op, ring, &alarms[i]);
		loop_timer(l, &alarms[i].op,
		    base + loop_random_below(l, 20) * 500000);
	}
	for (i = 0; i < TIMERS; i++) {
		if (loop_random_below(l, 3) == 0)
			loop_cancel(l, &alarms[i].op);
		else
			live++;
	}
	while (loop_pending(l) > 0)
		loop_turn(l, true);
	ck_assert_uint_eq(rang_n, live);
	for (i = 1; i < rang_n; i++) {
		ck_assert_uint_le(rang[i - 1]->op.at_ns, rang[i]->op.at_ns);
		if (rang[i - 1]->op.at_ns == rang[i]->op.at_ns)
			ck_assert_uint_lt(rang[i - 1]->order, rang[i]->order);
	}
}
END_TEST

START_TEST(timers_set_anew_two_thousand_times_keep_their_order)
{
	uint64_t at, far = loop_now(l) + UINT64_C(3600000000000);
	unsigned i, k;

	rang_n = 0;
	for (i = 0; i < TIMERS; i++)
		op_init(&alarms[i].op, ring, &alarms[i]);
	for (k = 0; k < 4; k++) {
		for (i = 0; i < TIMERS; i++) {
			loop_cancel(l, &alarms[i].op);
			loop_turn(l, false);
			ck_assert(op_idle(&alarms[i].op));
			at = (i * 7919u + k) % TIMERS / 2;
			loop_timer(l, &alarms[i].op, far + at);
		}
	}
	for (i = 0; i < TIMERS; i += 2)
		loop_cancel(l, &alarms[i].op);
	loop_turn(l, false);
	for (i = 0; i < TIMERS; i += 2)
		loop_timer(l, &alarms[i].op, 1 + (i * 7919u) % TIMERS);
	ck_assert_int_eq(loop_turn(l, false), TIMERS / 2);
	ck_assert_uint_eq(rang_n, TIMERS / 2);
	for (i = 1; i < rang_n; i++)
		ck_assert_uint_le(rang[i - 1]->op.at_ns, rang[i]->op.at_ns);
	for (i = 1; i < TIMERS; i += 2)
		loop_cancel(l, &alarms[i].op);
	ck_assert_int_eq(loop_turn(l, false), TIMERS / 2);
}
END_TEST

START_TEST(the_farthest_timer_does_not_wrap)
{
	struct tap t, far;

	tap_init(&t);
	tap_init(&far);
	loop_timer(l, &far.op, UINT64_MAX);
	loop_turn(l, false);
	ck_assert_uint_eq(far.n, 0);
	loop_timer(l, &t.op, loop_now(l) + MS);
	ck_assert_int_eq(await(&t), 0);
	loop_cancel(l, &far.op);
	loop_timer(l, &t.op, UINT64_MAX - 1);
	loop_turn(l, false);
	loop_cancel(l, &t.op);
	ck_assert_int_eq(await(&t), -ECANCELED);
	ck_assert_int_eq(far.res, -ECANCELED);
}
END_TEST

static unsigned freed;

static void
again_then_free(struct op *op)
{
	unsigned *left = op->arg;

	ck_assert(op_idle(op));
	if ((*left)-- > 0) {
		loop_timer(l, op, 0);
		return;
	}
	memset(op, 0xff, sizeof(*op));
	free(op);
	freed++;
}

START_TEST(done_may_submit_again_and_may_free)
{
	unsigned left = 3, turns = 0;
	struct op *op;

	op = malloc(sizeof(*op));
	freed = 0;
	op_init(op, again_then_free, &left);
	loop_timer(l, op, 0);
	while (freed == 0) {
		ck_assert_int_eq(loop_turn(l, true), 1);
		turns++;
	}
	ck_assert_uint_eq(turns, 4);	/* each new submission, a new turn */
	ck_assert_uint_eq(loop_pending(l), 0);
}
END_TEST

static unsigned depth;

static void
nest(struct op *op)
{
	ck_assert_uint_eq(depth, 0);
	depth++;
	op_init(op, nest, op->arg);
	depth--;
	loop_stop(l);
}

START_TEST(done_is_never_called_by_a_submission)
{
	struct loop_addr at = { .len = sizeof(at.sa) };
	struct op op[3];
	int i;

	at.sa.ss_family = 77;
	for (i = 0; i < 3; i++)
		op_init(&op[i], nest, NULL);
	depth = 1;		/* nest() fails the test while this stands */
	loop_timer(l, &op[0], 0);
	loop_connect(l, &op[1], &at);
	loop_timer(l, &op[2], UINT64_MAX);
	loop_cancel(l, &op[2]);
	depth = 0;
	ck_assert_uint_eq(loop_pending(l), 3);
	loop_run(l);		/* ended by nest() */
	while (loop_pending(l) > 0)
		loop_turn(l, true);
}
END_TEST

START_TEST(a_turn_that_does_not_wait_returns)
{
	struct tap t;

	tap_init(&t);
	ck_assert_int_eq(loop_turn(l, false), 0);
	loop_timer(l, &t.op, loop_now(l) + 3600 * UINT64_C(1000000000));
	ck_assert_int_eq(loop_turn(l, false), 0);
	loop_cancel(l, &t.op);
	ck_assert_int_eq(loop_turn(l, true), 1);
}
END_TEST

static uint64_t seen_now;
static uint64_t seen_wall;

static void
busy(struct op *op)
{
	struct timespec ts = { .tv_nsec = 2 * MS };

	seen_now = loop_now(l);
	seen_wall = loop_wall(l);
	nanosleep(&ts, NULL);
	ck_assert_uint_eq(loop_now(l), seen_now);
	ck_assert_uint_eq(loop_wall(l), seen_wall);
}

START_TEST(the_clocks_stand_within_a_turn_and_go_between)
{
	struct op op;
	uint64_t first = loop_now(l);

	op_init(&op, busy, NULL);
	loop_timer(l, &op, first);
	loop_turn(l, true);
	ck_assert_uint_ge(seen_now, first);
	loop_turn(l, false);
	ck_assert_uint_ge(loop_now(l), seen_now + 2 * MS);
	ck_assert_uint_gt(loop_wall(l), seen_wall);
}
END_TEST

START_TEST(random_differs_and_stays_below_its_bound)
{
	unsigned seen = 0;
	uint8_t a[32], b[32];
	uint64_t v;
	int i;

	loop_random(l, a, sizeof(a));
	loop_random(l, b, sizeof(b));
	ck_assert_mem_ne(a, b, sizeof(a));
	for (i = 0; i < 1000; i++) {
		v = loop_random_below(l, 3);
		ck_assert_uint_lt(v, 3);
		seen |= 1u << v;
	}
	ck_assert_uint_eq(seen, 7);
	ck_assert_uint_eq(loop_random_below(l, 1), 0);
}
END_TEST

/* ---- another thread ends ops, as the one of loop_post() does ---- */

#define HANDED	2000

struct giver {
	pthread_t	 thread;
	struct tap	 taps[HANDED];
};

static void *
give(void *arg)
{
	struct giver *g = arg;
	int i;

	for (i = 0; i < HANDED; i++)
		loop_complete_from_thread(l, &g->taps[i].op, i);
	return NULL;
}

START_TEST(threads_hand_over_every_op_once)
{
	struct giver *g;
	int i, k;

	g = calloc(2, sizeof(*g));
	for (k = 0; k < 2; k++) {
		for (i = 0; i < HANDED; i++) {
			tap_init(&g[k].taps[i]);
			op_start(l, &g[k].taps[i].op, OP_POST, -1);
		}
	}
	for (k = 0; k < 2; k++)
		pthread_create(&g[k].thread, NULL, give, &g[k]);
	while (loop_pending(l) > 0)
		loop_turn(l, true);
	for (k = 0; k < 2; k++) {
		pthread_join(g[k].thread, NULL);
		for (i = 0; i < HANDED; i++) {
			ck_assert_uint_eq(g[k].taps[i].n, 1);
			ck_assert_int_eq(g[k].taps[i].res, i);
		}
	}
	free(g);
}
END_TEST

static void *
give_late(void *arg)
{
	struct timespec ts = { .tv_nsec = 30 * MS };

	nanosleep(&ts, NULL);
	loop_complete_from_thread(l, arg, 0);
	return NULL;
}

START_TEST(a_far_timer_lets_the_loop_sleep)
{
	struct tap far, t;
	pthread_t thread;
	int turns = 0;

	tap_init(&far);
	tap_init(&t);
	loop_timer(l, &far.op, UINT64_MAX - 1);
	op_start(l, &t.op, OP_POST, -1);
	pthread_create(&thread, NULL, give_late, &t.op);
	for (; t.n == 0; turns++)
		loop_turn(l, true);
	pthread_join(thread, NULL);
	ck_assert_int_lt(turns, 5);
	loop_cancel(l, &far.op);
	ck_assert_int_eq(await(&far), -ECANCELED);
}
END_TEST

/* ---- what only a bug of ours can do ends the process ---- */

START_TEST(submitting_a_pending_op_aborts)
{
	struct tap t;

	tap_init(&t);
	loop_timer(l, &t.op, UINT64_MAX);
	loop_timer(l, &t.op, UINT64_MAX);
}
END_TEST

START_TEST(a_second_recv_on_a_descriptor_aborts)
{
	struct tap a, b;
	int fd[2];
	char c;

	tcp_pair(fd);
	tap_init(&a);
	tap_init(&b);
	loop_recv(l, &a.op, fd[0], &c, 1);
	loop_recv(l, &b.op, fd[0], &c, 1);
}
END_TEST

START_TEST(closing_under_a_pending_op_aborts)
{
	struct tap a, b;
	int fd[2];
	char c;

	tcp_pair(fd);
	tap_init(&a);
	tap_init(&b);
	loop_recv(l, &a.op, fd[0], &c, 1);
	loop_close(l, &b.op, fd[0]);
}
END_TEST

START_TEST(freeing_the_loop_with_an_op_pending_aborts)
{
	struct tap t;

	tap_init(&t);
	loop_timer(l, &t.op, UINT64_MAX);
	loop_free(&l);
}
END_TEST

START_TEST(an_op_without_init_aborts)
{
	struct op op;

	memset(&op, 0, sizeof(op));
	loop_timer(l, &op, 0);
}
END_TEST

void
time_tests(TCase *tc)
{
	tcase_add_test(tc, a_timer_is_never_early);
	tcase_add_test(tc, a_timer_of_the_past_comes_with_the_next_turn);
	tcase_add_test(tc, timers_come_by_deadline_and_equal_ones_in_order);
	tcase_add_test(tc,
	    timers_set_anew_two_thousand_times_keep_their_order);
	tcase_add_test(tc, the_farthest_timer_does_not_wrap);
	tcase_add_test(tc, done_may_submit_again_and_may_free);
	tcase_add_test(tc, done_is_never_called_by_a_submission);
	tcase_add_test(tc, a_turn_that_does_not_wait_returns);
	tcase_add_test(tc, the_clocks_stand_within_a_turn_and_go_between);
	tcase_add_test(tc, random_differs_and_stays_below_its_bound);
	tcase_add_test(tc, threads_hand_over_every_op_once);
	tcase_add_test(tc, a_far_timer_lets_the_loop_sleep);
	tcase_add_test_raise_signal(tc, submitting_a_pending_op_aborts,
	    SIGABRT);
	tcase_add_test_raise_signal(tc, a_second_recv_on_a_descriptor_aborts,
	    SIGABRT);
	tcase_add_test_raise_signal(tc, closing_under_a_pending_op_aborts,
	    SIGABRT);
	tcase_add_test_raise_signal(tc,
	    freeing_the_loop_with_an_op_pending_aborts, SIGABRT);
	tcase_add_test_raise_signal(tc, an_op_without_init_aborts, SIGABRT);
}
