/* SPDX-License-Identifier: ISC */
/*
 * test_pages.c - a queue on a disk that cannot be read for a while, or whose
 * pages show what is not on it
 *
 * Claims: a block that cannot be read is waited for, at a start and later, and
 * nothing is lost by it; one that cannot be read for good is given up within
 * minutes, alone, and counted; and whatever a start found, even what an fsync
 * had failed to bring to the disk, is there after the power is lost.
 */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"
#include "queue/queue.h"
#include "sim/sim.h"

#define S		UINT64_C(1000000000)
#define BODY		3000u
#define EVERY_TIME	1000000u	/* per million */

struct put { struct queue_put put; bool done; int res; };

static struct sim *sim;
static struct sim_host *host;
static struct sim_proc *proc;
static struct env env;
static struct queue *q;
static struct queue_conf conf;
static bool opened, closed, failed;
static int open_res;
static uint64_t at;			/* of the stream */
static struct put put[64];
static unsigned given;
static uint8_t out[QUEUE_TAKE_MAX];

static void
on_open(void *arg, int res)
{
	opened = true;
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
	struct put *u = p->arg;

	u->done = true;
	u->res = res;
	failed = failed || res < 0;
}

static bool
is_true(void *arg)
{
	return *(bool *)arg;
}

static void
begin_process(void)
{
	proc = sim_proc_new(host, "queue");
	env_init(&env, sim_loop(proc), "test");
	env.alloc = sim_alloc;
	env.release = sim_release;
	env.mem_arg = proc;
	env.log_fd = -1;
	opened = closed = failed = false;
	conf = (struct queue_conf){ .dir = "/q", .segment_bytes = 256u << 10,
	    .staging_bytes = 128u << 10 };
	ck_assert_int_eq(queue_new(&q, &env, &conf), 0);
	queue_open(q, on_open, NULL);
}

static void
begin(void)
{
	begin_process();
	(void)sim_run(sim, sim_now(sim) + 600 * S, is_true, &opened);
	ck_assert(opened);
	ck_assert_int_eq(open_res, 0);
}

/* Between two instructions; what it had asked for is not done any more. */
static void
crash(bool power)
{
	counters_fini(&env.ctr);
	if (power)
		sim_power_loss(host);
	else
		sim_crash(proc);
}

static void
world(uint64_t seed)
{
	static const struct sim_faults f = { .disk_delay_ns = 1000000 };

	ck_assert_int_eq(sim_new(&sim, seed, &f), 0);
	host = sim_host_new(sim, "host");
	at = 0;
	given = 0;
	begin();
}

static void
end_world(void)
{
	queue_close(q, on_close, NULL);
	(void)sim_run(sim, sim_now(sim) + 600 * S, is_true, &closed);
	ck_assert(closed);
	queue_free(&q);
	env_fini(&env);
	sim_free(&sim);
}

static void
give(unsigned n)
{
	static uint8_t body[BODY];
	struct chunk c;
	struct put *u;

	while (n-- > 0) {
		u = &put[given++ % 64];
		*u = (struct put){ .put = { .done = on_put, .arg = u } };
		memset(body, (int)(at / BODY % 251), sizeof(body));
		c = (struct chunk){ .from = at, .to = at + BODY, .records = 1,
		    .taken_ns = 1, .identity = BYTES("\x80"),
		    .body = { bytes_of(body, BODY), bytes_of(NULL, 0) } };
		memset(c.stream, 7, sizeof(c.stream));
		ck_assert_int_eq(queue_put(q, &c, &u->put), 0);
		at += BODY;
	}
}

static void
pass(uint64_t ns)
{
	(void)sim_run(sim, sim_now(sim) + ns, NULL, NULL);
}

static unsigned
take_all(void)
{
	unsigned n = 0;
	struct chunk c;
	uint64_t seq, end = sim_now(sim) + 300 * S;

	while (sim_now(sim) < end) {
		if (queue_take(q, out, sizeof(out), &c, &seq) == 0) {
			ck_assert_uint_eq(out[0], c.from / BODY % 251);
			queue_commit(q, seq);
			n++;
			continue;
		}
		if (queue_held_frames(q) == 0)
			break;
		pass(S / 10);
	}
	return n;
}

START_TEST(a_start_waits_for_a_disk_that_cannot_be_read)
{
	world(1);
	give(20);
	pass(S);
	crash(false);
	sim_unreadable(host, sim_now(sim) + 15 * S);
	begin();
	ck_assert_uint_eq(queue_held_records(q), 20);
	ck_assert_uint_eq(take_all(), 20);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_records), 0);
	ck_assert_uint_gt(sim_fired(sim, FAULT_READ_BAD), 0);
	end_world();
}
END_TEST

START_TEST(a_reader_waits_for_a_disk_that_cannot_be_read)
{
	world(2);
	give(20);
	pass(S);
	crash(false);
	begin();
	sim_unreadable(host, sim_now(sim) + 40 * S);
	pass(S);
	give(5);	/* it is asked on and on meanwhile */
	pass(20 * S);
	give(5);
	ck_assert_uint_eq(take_all(), 30);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_records), 0);
	ck_assert_uint_gt(sim_fired(sim, FAULT_READ_BAD), 0);
	end_world();
}
END_TEST

START_TEST(single_reads_that_fail_lose_nothing)
{
	world(3);
	give(20);
	pass(S);
	crash(false);
	sim_odds(sim)->read_error = 300000;
	begin();
	ck_assert_uint_eq(take_all(), 20);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_records), 0);
	ck_assert_uint_gt(sim_fired(sim, FAULT_READ_EIO), 5);
	end_world();
}
END_TEST

START_TEST(a_disk_that_is_never_read_again_is_no_reason_not_to_start)
{
	uint64_t was;

	world(4);
	give(20);
	pass(S);
	crash(false);
	sim_odds(sim)->read_error = EVERY_TIME;
	was = sim_now(sim);
	begin();
	ck_assert_uint_lt(sim_now(sim) - was, 120 * S);
	give(1);
	pass(S);
	ck_assert_int_eq(put[20].res, 0);
	ck_assert(put[20].done);
	sim_calm(sim);
	end_world();
}
END_TEST

/* The fsync of the second half fails, and the process ends at once. */
START_TEST(what_a_start_found_a_power_loss_leaves)
{
	uint64_t held;

	world((uint64_t)_i + 10);
	give(4);
	pass(S);
	sim_odds(sim)->fsync_error = EVERY_TIME;
	give(4);
	(void)sim_run(sim, sim_now(sim) + 10 * S, is_true, &failed);
	ck_assert(failed);
	sim_odds(sim)->fsync_error = 0;
	crash(false);
	begin();
	held = queue_held_records(q);
	ck_assert_uint_ge(held, 4);
	crash(true);
	begin();
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_records), 0);
	ck_assert_uint_eq(queue_held_records(q), held);
	ck_assert_uint_eq(take_all(), held);
	end_world();
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("pages");
	Suite *s = suite_create("pages");
	SRunner *sr;
	int failures;

	tcase_add_test(tc, a_start_waits_for_a_disk_that_cannot_be_read);
	tcase_add_test(tc, a_reader_waits_for_a_disk_that_cannot_be_read);
	tcase_add_test(tc, single_reads_that_fail_lose_nothing);
	tcase_add_test(tc,
	    a_disk_that_is_never_read_again_is_no_reason_not_to_start);
	tcase_add_loop_test(tc, what_a_start_found_a_power_loss_leaves, 0, 64);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failures = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failures > 0;
}
