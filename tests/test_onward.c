/* SPDX-License-Identifier: ISC */
/*
 * test_onward.c - from a queue to a next hop that is away for hours
 *
 * Claims: behind a hop that comes back at least three frames in ten are fresh
 * until the backlog is done, each of both flows ascends, a fresh frame does
 * not wait for the backlog; what a lost connection had under way is sent
 * again and nothing else is.  In virtual time; the sender is played by the
 * test, the queue is real.
 */

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"
#include "hop/onward.h"
#include "hop/sender.h"
#include "queue/queue.h"
#include "sim/inner.h"

#define S		UINT64_C(1000000000)
#define MINUTE		(60 * S)
#define HOUR		(60 * MINUTE)
#define DAY		(24 * HOUR)
#define FRAMES_MAX	32768
#define BODY		2000
#define ROOM		(4 * BODY)
#define PUTS_MAX	64

/* ---- a hop that acknowledges a frame each so often ---- */

struct sender {
	bool		 up;
	struct hop_chunk *first, **last;
	uint64_t	 pace_ns;
	size_t		 bytes;
	struct op	 timer;
};

static struct sim *sim;
static struct sim_proc *proc;
static struct env env;
static struct queue *queue;
static struct onward *onward;
static struct sender peer;
static struct queue_put put[PUTS_MAX];
static uint64_t given_ns[FRAMES_MAX];
static uint8_t seen[FRAMES_MAX];
static uint32_t given, missed, old, fresh, top, last, astray, again, late;
static uint64_t gone_ns;
static bool rang;
static int told;

bool
sender_is_up(const struct sender *s)
{
	return s->up;
}

size_t
sender_room(const struct sender *s)
{
	return !s->up || s->bytes >= ROOM ? 0 : ROOM - s->bytes;
}

static void
next_answer(struct sender *s)
{
	if (s->first != NULL && op_idle(&s->timer))
		loop_timer(env.loop, &s->timer, loop_now(env.loop) +
		    s->pace_ns);
}

static void
arrives(const struct chunk *c)
{
	uint32_t n = (uint32_t)strtoul((const char *)c->body[0].p, NULL, 10);

	ck_assert_uint_lt(n, FRAMES_MAX);
	if (seen[n] < 2)
		seen[n]++;
	if (seen[n] > 1) {
		again++;
		return;
	}
	if (n > top)
		top = n;
	else if (n > last)
		last = n;
	else
		astray++;
	if (n <= missed)
		old++;
	else if (gone_ns == 0)
		fresh++;
	if (old == missed && gone_ns == 0)
		gone_ns = sim_now(sim);
	late += n > missed && sim_now(sim) - given_ns[n] > MINUTE;
}

int
sender_send(struct sender *s, struct hop_chunk *hc)
{
	ck_assert(s->up);
	ck_assert_uint_eq(hc->chunk.body[0].n, BODY);
	arrives(&hc->chunk);
	hc->next = NULL;
	*s->last = hc;
	s->last = &hc->next;
	s->bytes += BODY;
	next_answer(s);
	return 0;
}

static void
answer(struct sender *s, int res)
{
	struct hop_chunk *hc = s->first;

	s->first = hc->next;
	if (s->first == NULL)
		s->last = &s->first;
	s->bytes -= BODY;
	hc->done(hc, res);
}

static void
answered(struct op *op)
{
	struct sender *s = op->arg;

	if (s->first != NULL)
		answer(s, 0);
	next_answer(s);
}

static void
goes_down(struct sender *s)
{
	s->up = false;
	while (s->first != NULL)
		answer(s, -ECONNRESET);
}

static void
goes_up(struct sender *s, uint64_t pace_ns)
{
	s->up = true;
	s->pace_ns = pace_ns;
	onward_go(onward);
}

/* ---- the world ---- */

static void
notify(void *arg)
{
	if (onward != NULL)
		onward_go(onward);
}

static void
is_told(void *arg, int res)
{
	ck_assert_int_eq(res, 0);
	told++;
}

static void
is_closed(void *arg)
{
	told++;
}

static void
alarm_done(struct op *op)
{
	rang = true;
}

static bool
has_rung(void *arg)
{
	return rang;
}

static void
pass(uint64_t ns)
{
	struct op alarm;

	rang = false;
	op_init(&alarm, alarm_done, NULL);
	loop_timer(env.loop, &alarm, sim_now(sim) + ns);
	sim_run(sim, sim_now(sim) + ns + S, has_rung, NULL);
	ck_assert(rang);
}

static void
is_durable(struct queue_put *p, int res)
{
	ck_assert_int_eq(res, 0);
}

static void
give_one(void)
{
	char body[BODY] = { 0 };
	struct chunk c = { .records = 1, .taken_ns = loop_wall(env.loop),
	    .body[0] = bytes_of(body, sizeof(body)) };
	struct queue_put *p = &put[++given % PUTS_MAX];

	ck_assert_uint_lt(given, FRAMES_MAX);
	(void)snprintf(body, sizeof(body), "%u", given);
	given_ns[given] = sim_now(sim);
	p->done = is_durable;
	ck_assert_int_eq(queue_put(queue, &c, p), 0);
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
start(void)
{
	static const struct sim_faults none = { .net_delay_ns = 1000000 };
	struct queue_conf qc = { .dir = "/queue", .bytes_max = 128u << 20,
	    .notify = notify };

	given = missed = old = fresh = top = last = astray = again = late = 0;
	gone_ns = 0;
	told = 0;
	memset(seen, 0, sizeof(seen));
	ck_assert_int_eq(sim_new(&sim, 1, &none), 0);
	proc = sim_proc_new(sim_host_new(sim, "relay"), "relay");
	env_init(&env, sim_loop(proc), "test");
	env.log_fd = -1;
	peer = (struct sender){ .last = &peer.first };
	op_init(&peer.timer, answered, &peer);
	onward = NULL;
	ck_assert_int_eq(queue_new(&queue, &env, &qc), 0);
	queue_open(queue, is_told, NULL);
	pass(S);
	ck_assert_int_eq(told, 1);
	ck_assert_int_eq(onward_new(&onward, &env, queue, &peer), 0);
}

static void
stop(void)
{
	pass(MINUTE);
	ck_assert_uint_eq(queue_held_records(queue), 0);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_backlog_records), 0);
	ck_assert_uint_eq(top, given);
	ck_assert_uint_eq(astray, 0);
	onward_free(&onward);
	queue_close(queue, is_closed, NULL);
	pass(S);
	ck_assert_int_eq(told, 2);
	queue_free(&queue);
	env_fini(&env);
	sim_free(&sim);
}

/* Until the backlog is done; 5 a minute come in. */
static void
work_off(uint64_t at_most)
{
	uint64_t from = sim_now(sim);

	while (gone_ns == 0) {
		give_for(MINUTE, 12 * S);
		ck_assert_uint_le(sim_now(sim) - from, at_most);
	}
}

START_TEST(a_hop_that_was_away_gets_fresh_frames_beside_the_backlog)
{
	start();
	give_for(2 * DAY, MINUTE);
	missed = given;
	goes_up(&peer, 5 * S);
	work_off(2 * 24 * 60 * (10 * S) + HOUR);
	ck_assert_uint_eq(again, 0);
	ck_assert_uint_eq(late, 0);
	ck_assert_msg(fresh * 100 >= (fresh + old) * 30, "%u fresh, %u old",
	    fresh, old);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_returns), 1);
	stop();
}
END_TEST

/* Each hour the connection is lost for a moment. */
START_TEST(connections_lost_beside_a_backlog_repeat_what_was_under_way)
{
	uint32_t lost = 0;

	start();
	give_for(DAY, MINUTE);
	missed = given;
	goes_up(&peer, 5 * S);
	while (gone_ns == 0) {
		give_for(HOUR, 12 * S);
		if (gone_ns != 0)
			break;
		goes_down(&peer);
		lost++;
		pass(5 * S);
		goes_up(&peer, 5 * S);
	}
	ck_assert_uint_gt(lost, 2);
	ck_assert_uint_gt(again, 0);
	ck_assert_uint_le(again, lost * ROOM / BODY);
	ck_assert_uint_eq(late, 0);
	stop();
}
END_TEST

START_TEST(a_hop_away_for_seconds_has_one_flow)
{
	start();
	goes_up(&peer, S);
	give_for(HOUR, 12 * S);
	goes_down(&peer);
	give_for(40 * S, S);
	goes_up(&peer, S / 10);
	give_for(MINUTE, 12 * S);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_returns), 0);
	ck_assert_uint_eq(again, 0);
	ck_assert_uint_eq(last, 0);
	stop();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("onward");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc,
	    a_hop_that_was_away_gets_fresh_frames_beside_the_backlog);
	tcase_add_test(tc,
	    connections_lost_beside_a_backlog_repeat_what_was_under_way);
	tcase_add_test(tc, a_hop_away_for_seconds_has_one_flow);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
