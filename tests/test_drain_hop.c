/* SPDX-License-Identifier: ISC */
/*
 * test_drain_hop.c - connector, agent and relay together, each a process
 *
 * Claimed: what a connector published arrives at the relay exactly once,
 * though agent and relay die at any time; the agent stays small.
 * How: connectors and agents are forked children (libemplog; drain, queue and
 * sender on a real loop); the relay is this process: receiver, queue, and a
 * consumer that ticks off each record by its number.
 */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"
#include "base/must.h"
#include "drain/drain.h"
#include "forward/mp.h"
#include "hop/port.h"
#include "hop/receiver.h"
#include "hop/sender.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "shm/emplog.h"
#include "shm/reader.h"
#include "shm/sys.h"
#include "tests/io.h"

#define MS		1000000ull
#define SECOND		1000000000ull
#define RECORDS_MAX	60000

static enum loop_io io;
static char base[64], ring[96], state[96], store[96], where[64];

/* ---- the relay: this process ---- */

static struct loop *lp;
static struct env env;
static struct queue *rq;
static struct receiver *rcv;
static struct port *port;
static uint8_t seen[RECORDS_MAX];
static unsigned seen_n, twice, deaths;
static bool flag;
static struct op tick;

static void
on_flag(void *arg)
{
	flag = true;
}

static void
on_flag_res(void *arg, int res)
{
	must(res == 0);
	flag = true;
}

static void
on_tick(struct op *op)
{
}

static void
turn(void)
{
	if (op_idle(&tick))
		loop_timer(lp, &tick, loop_now(lp) + 10 * MS);
	loop_turn(lp, true);
}

static void
until_flag(void)
{
	while (!flag)
		turn();
	flag = false;
}

static void
tick_off(struct mp map)
{
	uint64_t n;
	struct mp v;

	if (mp_find(map, "event_type", &v) == 0) {
		deaths++;
		return;
	}
	ck_assert_int_eq(mp_find(map, "number", &v), 0);
	ck_assert_int_eq(mp_uint(&v, &n), 0);
	ck_assert_uint_lt(n, RECORDS_MAX);
	twice += seen[n]++ > 0;
	seen_n++;
}

static void
consume(void *arg)
{
	static uint8_t buf[QUEUE_TAKE_MAX];
	struct chunk c;
	uint64_t seq;
	uint32_t two;
	struct mp m;

	receiver_resume(rcv);
	while (queue_take(rq, buf, sizeof(buf), &c, &seq) == 0) {
		ck_assert((c.flags & CHUNK_BROKEN) == 0);
		m = mp_of(c.body[0]);
		while (m.p < m.end) {
			ck_assert_int_eq(mp_array(&m, &two), 0);
			ck_assert_int_eq(mp_skip(&m), 0);
			tick_off(m);
			ck_assert_int_eq(mp_skip(&m), 0);
		}
		queue_commit(rq, seq);
	}
}

static void
relay_up(void)
{
	struct queue_conf qc = { .dir = store, .bytes_max = 256u << 20,
	    .notify = consume };
	struct receiver_conf rc = { 0 };
	struct port_conf pc = { .listen = where };
	char text[LOOP_ADDR_TEXT];

	ck_assert_int_eq(queue_new(&rq, &env, &qc), 0);
	queue_open(rq, on_flag_res, NULL);
	until_flag();
	rc.queue = rq;
	ck_assert_int_eq(receiver_new(&rcv, &env, &rc), 0);
	pc.receiver = rcv;
	ck_assert_int_eq(port_open(&port, &env, &pc), 0);
	loop_addr_text(port_bound(port), text);
	snprintf(where, sizeof(where), "%s", text);
}

static void
relay_down(void)
{
	port_close(port, on_flag, NULL);
	until_flag();
	receiver_close(rcv, on_flag, NULL);
	until_flag();
	queue_close(rq, on_flag, NULL);
	until_flag();
	port_free(&port);
	receiver_free(&rcv);
	queue_free(&rq);
}

/* ---- an agent: a child ---- */

struct agent {
	struct env	 env;
	struct loop	*loop;
	struct sender	*sender;
	struct queue	*queue;
	struct drain	*drain;
	struct op	 watch;
	int		 steps;
};

static void
agent_up(void *arg)
{
	struct agent *a = arg;

	if (a->drain != NULL)
		drain_sender_up(a->drain);
}

static void
agent_down(void *arg, int why)
{
	struct agent *a = arg;

	if (a->drain != NULL)
		drain_sender_down(a->drain);
}

static void
agent_notify(void *arg)
{
	struct agent *a = arg;

	if (a->drain != NULL)
		drain_queue_notify(a->drain);
}

static void
agent_begin(void *arg, int res)
{
	struct agent *a = arg;
	struct drain_conf dc = {
		.ring_dir = ring, .state_dir = base, .shm_sys = &shm_sys_os,
		.sender = a->sender, .queue = a->queue,
		.identity = BYTES("\x81\xaamachine_id\xa2m1"),
		.dead_keep_ns = 60 * SECOND,
	};
	char why[DRAIN_WHY];
	int r;

	must(res == 0);
	must(drain_new(&a->drain, &a->env, &dc) == 0);
	r = drain_start(a->drain, why);
	if (r < 0) {
		fprintf(stderr, "drain_start: %s\n", why);
		_exit(3);
	}
	sender_start(a->sender);
}

static void agent_stopped(void *arg);

static void
agent_step(void *arg)
{
	struct agent *a = arg;

	switch (a->steps++) {
	case 0:
		sender_close(a->sender, agent_step, a);
		break;
	case 1:
		queue_close(a->queue, agent_step, a);
		break;
	default:
		loop_stop(a->loop);
	}
}

static volatile sig_atomic_t term;

static void
on_term(int sig)
{
	term = 1;
}

static void
agent_watch(struct op *op)
{
	struct agent *a = op->arg;

	if (term)
		drain_stop(a->drain, agent_stopped, a);
	else
		loop_timer(a->loop, op, loop_now(a->loop) + 20 * MS);
}

static void
agent_stopped(void *arg)
{
	agent_step(arg);
}

static void
agent_main(void)
{
	struct agent a = { 0 };
	struct queue_conf qc = { .dir = state, .bytes_max = 100u << 20,
	    .staging_bytes = 1280u << 10, .notify = agent_notify,
	    .notify_arg = &a };
	struct sender_conf sc = { .peers = where, .agent_id = "a1",
	    .up = agent_up, .down = agent_down, .arg = &a };
	char counters[128];

	signal(SIGTERM, on_term);
	must(loop_new(&a.loop, io, NULL) == 0);
	env_init(&a.env, a.loop, "agent");
	a.env.log_fd = -1;
	snprintf(counters, sizeof(counters), "%s/counters", base);
	must(counters_map(&a.env.ctr, counters, "agent") == 0);
	must(queue_new(&a.queue, &a.env, &qc) == 0);
	must(sender_new(&a.sender, &a.env, &sc) == 0);
	queue_open(a.queue, agent_begin, &a);
	op_init(&a.watch, agent_watch, &a);
	loop_timer(a.loop, &a.watch, loop_now(a.loop) + 20 * MS);
	loop_run(a.loop);
	drain_free(&a.drain);
	sender_free(&a.sender);
	queue_free(&a.queue);
	env_fini(&a.env);
	loop_free(&a.loop);
}

static pid_t
child(void (*body)(void))
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		/* The relay's locks are not the child's to hold. */
		(void)close_range(3, ~0u, 0);
		body();
		_exit(0);
	}
	return pid;
}

static void
end(pid_t pid, int sig)
{
	int status;

	ck_assert_int_eq(kill(pid, sig), 0);
	while (waitpid(pid, &status, WNOHANG) == 0)
		turn();
	if (sig == SIGTERM)
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- a connector: a child ---- */

static unsigned first_number, numbers, pause_every;
static const char *text;

static void
connector_main(void)
{
	static char filler[400];
	struct emplog_options o = { .ring_dir = ring, .worker_id = "w1",
	    .console = EMPLOG_CONSOLE_OFF, .lane_bytes = 256 << 10 };
	struct timespec ms = { .tv_nsec = 1000000 };
	struct emplog *log;
	unsigned i;

	memset(filler, 'x', sizeof(filler) - 1);
	text = filler;
	if (emplog_open(&log, &o) < 0)
		_exit(2);
	for (i = first_number; i < first_number + numbers; i++) {
		while (emplog_error(log, "a record",
		    EMPLOG_UINT("number", i), EMPLOG_STR("filler", text)) ==
		    -EAGAIN)
			nanosleep(&ms, NULL);
		if (pause_every > 0 && i % pause_every == 0)
			nanosleep(&ms, NULL);
	}
	_exit(0);	/* as good as killed: nothing is closed */
}

static pid_t
connector(unsigned from, unsigned n, unsigned pause)
{
	first_number = from;
	numbers = n;
	pause_every = pause;
	return child(connector_main);
}

static void
join(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0)
		turn();
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
until_seen(unsigned n)
{
	uint64_t limit = loop_now(lp) + 20 * SECOND;

	while (seen_n < n && loop_now(lp) < limit)
		turn();
	ck_assert_uint_eq(seen_n, n);
	ck_assert_uint_eq(twice, 0);
}

/* From /proc/pid/status, in KiB. */
static unsigned
rss_anon(pid_t pid)
{
	char path[64], line[128];
	unsigned kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL)
		(void)sscanf(line, "RssAnon: %u kB", &kib);
	fclose(f);
	return kib;
}

static uint64_t
agents_count(enum ctr id)
{
	struct counters c = { 0 };
	char path[128];
	uint64_t n;

	snprintf(path, sizeof(path), "%s/counters", base);
	ck_assert_int_eq(counters_peek(&c, path), 0);
	n = ctr_get(&c, id);
	counters_fini(&c);
	return n;
}

/* ---- fixture ---- */

static void
setup(void)
{
	const char *at = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(base, sizeof(base), "%s/hop.XXXXXX", at);
	ck_assert_ptr_nonnull(mkdtemp(base));
	snprintf(ring, sizeof(ring), "%s/lanes", base);
	snprintf(state, sizeof(state), "%s/spill", base);
	snprintf(store, sizeof(store), "%s/store", base);
	snprintf(where, sizeof(where), "127.0.0.1:0");
	ck_assert_int_eq(loop_new(&lp, io_asked(), NULL), 0);
	env_init(&env, lp, "relay");
	env.log_fd = -1;
	op_init(&tick, on_tick, NULL);
	memset(seen, 0, sizeof(seen));
	seen_n = twice = deaths = 0;
	relay_up();
}

static void
teardown(void)
{
	char cmd[128];

	relay_down();
	loop_cancel(lp, &tick);
	while (!op_idle(&tick))
		loop_turn(lp, true);
	env_fini(&env);
	loop_free(&lp);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", base);
	ck_assert_int_eq(system(cmd), 0);
}

/* ---- claims ---- */

START_TEST(records_of_a_dead_connector_arrive_when_an_agent_comes)
{
	pid_t agent;

	io = io_of(_i);
	join(connector(0, 480, 0));
	ck_assert_uint_eq(seen_n, 0);
	agent = child(agent_main);
	until_seen(480);
	while (deaths == 0)
		turn();
	end(agent, SIGTERM);
	ck_assert_uint_eq(agents_count(CTR_conservation_broken), 0);
	ck_assert_uint_eq(agents_count(CTR_worker_died), 1);
}
END_TEST

START_TEST(a_fast_connector_loses_nothing_and_the_agent_stays_small)
{
	pid_t agent, con;
	unsigned kib = 0, now;

	io = io_of(_i);
	agent = child(agent_main);
	con = connector(0, 50000, 0);
	while (seen_n < 45000 && waitpid(con, NULL, WNOHANG) == 0) {
		turn();
		now = rss_anon(agent);
		kib = now > kib ? now : kib;
	}
	until_seen(50000);
	printf("RssAnon of the agent under load: %u KiB\n", kib);
#ifndef __SANITIZE_ADDRESS__
	ck_assert_uint_le(kib, 4096);
#endif
	end(agent, SIGTERM);
	ck_assert_uint_eq(agents_count(CTR_conservation_broken), 0);
}
END_TEST

START_TEST(an_agent_killed_again_and_again_repeats_and_loses_nothing)
{
	pid_t agent, con;
	unsigned i;

	io = io_of(_i);
	con = connector(0, 20000, 20);
	for (i = 1; i <= 8; i++) {
		agent = child(agent_main);
		while (seen_n < i * 2000)
			turn();
		end(agent, SIGKILL);
	}
	agent = child(agent_main);
	join(con);
	until_seen(20000);
	end(agent, SIGTERM);
}
END_TEST

START_TEST(what_comes_while_the_relay_is_away_arrives_after)
{
	uint64_t until;
	pid_t agent, con;

	io = io_of(_i);
	agent = child(agent_main);
	con = connector(0, 20000, 10);
	while (seen_n < 1000)
		turn();
	relay_down();
	until = loop_now(lp) + 2500 * MS;
	while (loop_now(lp) < until)
		turn();
	relay_up();
	join(con);
	until_seen(20000);
	ck_assert_uint_gt(agents_count(CTR_lane_spilled_bytes), 0);
	end(agent, SIGTERM);
	ck_assert_uint_eq(agents_count(CTR_conservation_broken), 0);
}
END_TEST

START_TEST(an_agent_told_to_stop_while_the_relay_is_away_keeps_all)
{
	uint64_t begun;
	pid_t agent, con;

	io = io_of(_i);
	agent = child(agent_main);
	con = connector(0, 3000, 10);
	while (seen_n < 1000)
		turn();
	relay_down();
	join(con);
	begun = loop_now(lp);
	end(agent, SIGTERM);
	ck_assert_uint_lt(loop_now(lp) - begun, 1500 * MS);
	relay_up();
	agent = child(agent_main);
	until_seen(3000);
	end(agent, SIGTERM);
	ck_assert_uint_eq(agents_count(CTR_conservation_broken), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("drain_hop");
	TCase *t = tcase_create("drain_hop");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t,
	    records_of_a_dead_connector_arrive_when_an_agent_comes, io_first(),
	    io_end());
	tcase_add_loop_test(t,
	    a_fast_connector_loses_nothing_and_the_agent_stays_small, io_first(),
	    io_end());
	tcase_add_loop_test(t,
	    an_agent_killed_again_and_again_repeats_and_loses_nothing, io_first(),
	    io_end());
	tcase_add_loop_test(t,
	    what_comes_while_the_relay_is_away_arrives_after, io_first(),
	    io_end());
	tcase_add_loop_test(t,
	    an_agent_told_to_stop_while_the_relay_is_away_keeps_all, io_first(),
	    io_end());
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
