/* SPDX-License-Identifier: ISC */
/*
 * test_sim.c - agent, two relays and an exporter in one simulated world
 *
 * Claims: a connection of the world keeps the order of its bytes; the same
 * seed gives the same world, event for event; and whatever is cut or crashes,
 * every record that was published arrives, whole, and none twice unless the
 * exporter itself crashed.
 *
 * usage: test_sim [SEED [SEEDS]]
 */

#include <check.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"
#include "forward/mp.h"
#include "roles/role.h"
#include "shm/writer.h"
#include "sim/sim.h"

#define MS		UINT64_C(1000000)
#define S		UINT64_C(1000000000)
#define LANES		3
#define RING		"/dev/shm/ring"

enum who { AGENT, RELAY1, RELAY2, EXPORTER, WHO };

struct node {
	struct sim_host	*host;
	struct sim_proc	*proc;
	struct role	*role;
	const struct role_kind *kind;
	struct conf	*conf;
	bool		 ready;
	unsigned	 crashes;
};

struct world {
	struct sim	*sim;
	struct node	 node[WHO];
	struct sim_proc	*maker[LANES];
	struct writer	 writer[LANES];
	bool		 open[LANES];
	uint64_t	 made[LANES];
	uint64_t	 refused;
	uint8_t		*seen[LANES];
	uint64_t	 arrived, twice, foreign;
	uint64_t	 seed;
	bool		 loud;
};

static uint64_t first_seed = 1000;

static void
tell(void *arg, bool fault, const char *line)
{
	if (fault)
		fprintf(stderr, "conf: %s\n", line);
}

static struct conf *
conf_of(enum who who)
{
	static const char *const common[] = {
		"common.state_dir=/state", ("common.ring_dir=" RING),
		"relay.http_listen=", "agent.http_listen=",
		"relay.queue_max=64M", "exporter.queue_max=64M",
	};
	static const char *const own[WHO] = {
		[AGENT] = "agent.relay=127.0.0.1:24224,127.0.0.1:24324",
		[RELAY1] = "relay.listen=127.0.0.1:24224",
		[RELAY2] = "relay.listen=127.0.0.1:24324",
		[EXPORTER] = "exporter.listen=127.0.0.1:24225",
	};
	static const unsigned bits[WHO] = { ROLE_AGENT, ROLE_RELAY,
	    ROLE_RELAY, ROLE_EXPORTER };
	static char *no_env[] = { NULL };
	const char *sets[16];
	struct conf_source src = { .env = no_env, .sets = sets,
	    .roles = bits[who], .tell = tell };
	struct conf *c = NULL;
	unsigned n = 0;

	for (n = 0; n < sizeof(common) / sizeof(common[0]); n++)
		sets[n] = common[n];
	sets[n++] = own[who];
	if (bits[who] == ROLE_RELAY)
		sets[n++] = "relay.next=127.0.0.1:24225";
	src.sets_n = n;
	ck_assert_int_eq(conf_read(&c, &src), 0);
	return c;
}

static void
log_line(void *arg, enum log_level level, const char *line)
{
	struct node *n = arg;

	if (getenv("SIM_LOUD") != NULL)
		fprintf(stderr, "%12.6f %s\n",
		    (double)loop_now(sim_loop(n->proc)) / 1e9, line);
}

static void
tune(void *arg, struct env *env)
{
	struct node *n = arg;

	env->alloc = sim_alloc;
	env->release = sim_release;
	env->mem_arg = n->proc;
	env->log_sink = log_line;
	env->log_arg = n;
}

static void
opened(void *arg, struct role *r, int res)
{
	struct node *n = arg;

	ck_assert_msg(res == 0, "%s: %s", r->kind->name, strerror(-res));
	n->ready = true;
}

static void
node_start(struct node *n)
{
	struct role_world w;

	n->proc = sim_proc_new(n->host, n->kind->name);
	n->ready = false;
	w = (struct role_world){ sim_loop(n->proc), sim_shm(n->proc), tune, n };
	n->role = role_open(n->kind, &w, n->conf, opened, n);
	ck_assert_ptr_nonnull(n->role);
}

/* Nothing in this world damages bytes: whoever says so is wrong. */
static void
nothing_damaged(const struct node *n)
{
	static const enum ctr never[] = { CTR_conservation_broken,
	    CTR_recv_bad, CTR_recv_quarantined_chunks, CTR_recv_lost_records,
	    CTR_hop_bad_acks, CTR_queue_lost_records, CTR_lane_spoiled,
	    CTR_lane_lost_bytes, CTR_stream_evicted, CTR_backlog_refused };
	const struct counters *c = &n->role->env.ctr;
	size_t i;

	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		ck_assert_msg(ctr_get(c, never[i]) == 0, "%s: %s is %" PRIu64,
		    n->kind->name, ctr_info[never[i]].name,
		    ctr_get(c, never[i]));
}

static void
node_crash(struct node *n, bool power)
{
	struct counters ctr = n->role->env.ctr;

	nothing_damaged(n);
	n->crashes++;
	if (power)
		sim_power_loss(n->host);
	else
		sim_crash(n->proc);
	counters_fini(&ctr);
	node_start(n);
}

static void
world_open(struct world *w, uint64_t seed, const struct sim_faults *f)
{
	static const char *const names[WHO] = { "agent", "relay1", "relay2",
	    "exporter" };
	static const struct role_kind *const kinds[WHO] = { &role_agent,
	    &role_relay, &role_relay, &role_exporter };
	unsigned i;

	*w = (struct world){ .seed = seed };
	ck_assert_int_eq(sim_new(&w->sim, seed, f), 0);
	for (i = WHO; i-- > 0;) {
		w->node[i].host = sim_host_new(w->sim, names[i]);
		w->node[i].kind = kinds[i];
		w->node[i].conf = conf_of((enum who)i);
		node_start(&w->node[i]);
	}
	for (i = 0; i < LANES; i++) {
		w->maker[i] = sim_proc_new(w->node[AGENT].host, "maker");
		w->seen[i] = calloc(1, 1 << 20);
	}
	sim_run(w->sim, sim_now(w->sim) + S, NULL, NULL);
}

static void
world_close(struct world *w)
{
	unsigned i;

	for (i = 0; i < LANES; i++) {
		if (w->open[i])
			writer_close(&w->writer[i], true);
		free(w->seen[i]);
	}
	for (i = 0; i < WHO; i++) {
		struct counters ctr = w->node[i].role->env.ctr;

		counters_fini(&ctr);
	}
	sim_free(&w->sim);
	for (i = 0; i < WHO; i++)
		conf_free(&w->node[i].conf);
}

static size_t
record_bytes(unsigned lane, uint64_t n)
{
	return 40 + (size_t)((n * 2654435761u + lane * 40503u) % 900);
}

/* One record {p, n, x}; refused when the lane has no room. */
static void
produce(struct world *w, unsigned lane)
{
	uint64_t n = w->made[lane];
	size_t len = record_bytes(lane, n);
	struct writer *wr = &w->writer[lane];
	char text[1024];
	uint8_t *room;
	struct mpw m;

	room = writer_lend(wr, len + 64, 0);
	if (room == NULL) {
		w->refused++;
		return;
	}
	memset(text, 'a' + (int)(n % 26), len);
	m = (struct mpw){ room, room + len + 64, false };
	mpw_array(&m, 2);
	mpw_event_time(&m, sim_shm(w->maker[lane])->wall_ns(w->maker[lane]));
	mpw_map(&m, 3);
	mpw_str(&m, BYTES("p"));
	mpw_uint(&m, lane);
	mpw_str(&m, BYTES("n"));
	mpw_uint(&m, n);
	mpw_str(&m, BYTES("x"));
	mpw_str(&m, bytes_of(text, len));
	ck_assert(!m.full);
	writer_publish(wr, (uint64_t)(m.p - room), 1);
	w->made[lane]++;
}

static void
open_lane(struct world *w, unsigned lane)
{
	struct writer_conf c = { .sys = sim_shm(w->maker[lane]),
	    .ring_dir = RING, .lane_bytes = 65536,
	    .identity = (const uint8_t *)"\x80", .identity_len = 1 };

	if (w->open[lane] && writer_retired(&w->writer[lane])) {
		writer_close(&w->writer[lane], true);
		w->open[lane] = false;
	}
	if (!w->open[lane])
		w->open[lane] = writer_open(&w->writer[lane], &c) == 0;
}

/* ---- what arrived ---- */

static int64_t
int_attr(json_t *rec, const char *key)
{
	json_t *a, *v;
	size_t i;

	json_array_foreach(json_object_get(rec, "attributes"), i, a) {
		if (strcmp(json_string_value(json_object_get(a, "key")),
		    key) != 0)
			continue;
		v = json_object_get(json_object_get(a, "value"), "intValue");
		return v == NULL ? -1 : atoll(json_string_value(v));
	}
	return -1;
}

static void
arrive(struct world *w, json_t *rec)
{
	int64_t p = int_attr(rec, "p"), n = int_attr(rec, "n");

	if (p < 0 || n < 0) {
		w->foreign++;
		return;
	}
	ck_assert_int_lt(p, LANES);
	ck_assert_msg((uint64_t)n < w->made[p], "seed %" PRIu64
	    ": record %" PRId64 " of lane %" PRId64 " was never made",
	    w->seed, n, p);
	if (w->seen[p][n]++ > 0)
		w->twice++;
	else
		w->arrived++;
}

static void
read_lines(void *arg, const char *path, struct bytes content)
{
	const char *at = (const char *)content.p, *end, *nl;
	struct world *w = arg;
	json_t *root, *rl, *sl, *rec;
	size_t i, j, k;

	if (strncmp(path, "/state/exporter/export/logs", 27) != 0 ||
	    content.n == 0)
		return;
	end = at + content.n;
	for (; at < end && (nl = memchr(at, '\n', (size_t)(end - at))) != NULL;
	    at = nl + 1) {
		root = json_loadb(at, (size_t)(nl - at), 0, NULL);
		ck_assert_msg(root != NULL, "seed %" PRIu64
		    ": a line is no JSON", w->seed);
		json_array_foreach(json_object_get(root, "resourceLogs"), i, rl)
			json_array_foreach(json_object_get(rl, "scopeLogs"),
			    j, sl)
				json_array_foreach(json_object_get(sl,
				    "logRecords"), k, rec)
					arrive(w, rec);
		json_decref(root);
	}
}

static uint64_t
count_arrived(struct world *w)
{
	unsigned i;

	for (i = 0; i < LANES; i++)
		memset(w->seen[i], 0, 1 << 20);
	w->arrived = w->twice = 0;
	sim_files(w->node[EXPORTER].host, read_lines, w);
	return w->arrived;
}

static uint64_t
made(const struct world *w)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < LANES; i++)
		n += w->made[i];
	return n;
}

static void
some_traffic(struct world *w, unsigned steps)
{
	unsigned i, lane, k;

	for (i = 0; i < steps; i++) {
		for (lane = 0; lane < LANES; lane++) {
			open_lane(w, lane);
			for (k = (unsigned)sim_random(w->sim, 12); k > 0 &&
			    w->open[lane]; k--)
				produce(w, lane);
		}
		sim_run(w->sim, sim_now(w->sim) + 1 +
		    sim_random(w->sim, 20 * MS), NULL, NULL);
	}
}

static void
everything_arrives(struct world *w)
{
	const struct counters *c = &w->node[EXPORTER].role->env.ctr;
	unsigned i;

	/* First, so that a torn last line has been cut off. */
	for (i = 0; i == 0 || (i < 120 && count_arrived(w) < made(w)); i++)
		sim_run(w->sim, sim_now(w->sim) + 5 * S, NULL, NULL);
	count_arrived(w);
	ck_assert_msg(w->arrived == made(w), "seed %" PRIu64 ": %" PRIu64
	    " made, %" PRIu64 " arrived", w->seed, made(w), w->arrived);
	/* Its file may have some twice after a crash; its queue has none. */
	ck_assert_msg(ctr_get(c, CTR_queue_put_records) == made(w),
	    "seed %" PRIu64 ": %" PRIu64 " made, %" PRIu64 " stored",
	    w->seed, made(w), ctr_get(c, CTR_queue_put_records));
}

static uint64_t
quiet_run(uint64_t seed)
{
	struct sim_faults f = { .short_io = 20000, .net_delay_ns = 2 * MS,
	    .disk_delay_ns = 3 * MS };
	struct world w;
	uint64_t trace;
	unsigned i;

	world_open(&w, seed, &f);
	some_traffic(&w, 100);
	everything_arrives(&w);
	for (i = 0; i < WHO; i++)
		nothing_damaged(&w.node[i]);
	ck_assert_uint_eq(w.twice, 0);
	ck_assert_uint_gt(made(&w), 500);
	trace = sim_trace(w.sim);
	world_close(&w);
	return trace;
}

START_TEST(one_seed_twice_is_the_same_world)
{
	uint64_t a = quiet_run(42), b = quiet_run(42);

	ck_assert_uint_eq(a, b);
	ck_assert_uint_ne(a, quiet_run(43));
}
END_TEST

static void
rough_run(uint64_t seed)
{
	struct sim_faults f = { .cut = 3000, .short_io = 50000,
	    .net_delay_ns = 5 * MS, .disk_delay_ns = 5 * MS };
	struct world w;
	unsigned i, who;

	world_open(&w, seed, &f);
	for (i = 0; i < 30; i++) {
		some_traffic(&w, 15);
		who = (unsigned)sim_random(w.sim, WHO);
		node_crash(&w.node[who], who != AGENT &&
		    sim_random(w.sim, 2) == 0);
	}
	sim_calm(w.sim);
	everything_arrives(&w);
	for (i = 0; i < WHO; i++)
		nothing_damaged(&w.node[i]);
	ck_assert_msg(w.node[EXPORTER].crashes > 0 || w.twice == 0,
	    "seed %" PRIu64 ": %" PRIu64 " twice", seed, w.twice);
	printf("seed %" PRIu64 ": %" PRIu64 " records, %" PRIu64 " twice, %"
	    PRIu64 " cuts, crashes %u %u %u %u\n", seed, w.arrived, w.twice,
	    sim_fired(w.sim, FAULT_CUT), w.node[0].crashes,
	    w.node[1].crashes, w.node[2].crashes, w.node[3].crashes);
	fflush(stdout);
	world_close(&w);
}

START_TEST(cuts_and_crashes_lose_nothing)
{
	rough_run(first_seed + (uint64_t)_i);
}
END_TEST

/* ---- the world itself ---- */

#define STREAM_BYTES	(64u << 10)

struct stream {
	struct loop	*from, *to;
	struct op	 accept, connect, send, recv;
	struct iovec	 iov;
	uint8_t		 out[STREAM_BYTES], in[STREAM_BYTES];
	size_t		 sent, got;
	int		 fd, peer_fd;
};

static void
stream_send(struct op *op)
{
	struct stream *t = op->arg;

	if (op == &t->connect)
		t->fd = (int)op->res;
	else
		t->sent += (size_t)op->res;
	ck_assert_int_ge(op->res, 0);
	if (t->sent == STREAM_BYTES)
		return;
	t->iov = (struct iovec){ t->out + t->sent,
	    1 + (t->sent * 7) % 300 };
	if (t->iov.iov_len > STREAM_BYTES - t->sent)
		t->iov.iov_len = STREAM_BYTES - t->sent;
	loop_send(t->from, &t->send, t->fd, &t->iov, 1);
}

static void
stream_recv(struct op *op)
{
	struct stream *t = op->arg;

	if (op == &t->accept)
		t->peer_fd = (int)op->res;
	else
		t->got += (size_t)op->res;
	ck_assert_int_ge(op->res, 0);
	if (t->got < STREAM_BYTES)
		loop_recv(t->to, &t->recv, t->peer_fd, t->in + t->got,
		    STREAM_BYTES - t->got);
}

START_TEST(bytes_of_a_connection_come_in_the_order_they_were_sent)
{
	struct sim_faults f = { .short_io = 50000, .net_delay_ns = 5 * MS };
	static struct stream t;
	struct loop_addr at;
	struct sim *sim;
	size_t i;

	ck_assert_int_eq(sim_new(&sim, 7, &f), 0);
	t.from = sim_loop(sim_proc_new(sim_host_new(sim, "a"), "from"));
	t.to = sim_loop(sim_proc_new(sim_host_new(sim, "b"), "to"));
	for (i = 0; i < STREAM_BYTES; i++)
		t.out[i] = (uint8_t)(i * 31 + (i >> 8));
	op_init(&t.accept, stream_recv, &t);
	op_init(&t.recv, stream_recv, &t);
	op_init(&t.connect, stream_send, &t);
	op_init(&t.send, stream_send, &t);
	i = (size_t)loop_listen(t.to, "127.0.0.1:9", &at);
	loop_accept(t.to, &t.accept, (int)i);
	loop_connect(t.from, &t.connect, &at);
	sim_run(sim, sim_now(sim) + 60 * S, NULL, NULL);
	ck_assert_uint_eq(t.got, STREAM_BYTES);
	ck_assert_mem_eq(t.in, t.out, STREAM_BYTES);
	sim_free(&sim);
}
END_TEST

static void
pair_end(struct op *op)
{
	ck_assert_int_eq(op->res, 0);
	*(bool *)op->arg = true;
}

START_TEST(a_pair_carries_all_to_its_end_and_no_network_cuts_it)
{
	struct sim_faults f = { .short_io = 50000, .net_delay_ns = 5 * MS,
	    .cut = 1000000 };
	static struct stream t;
	bool ended = false;
	struct sim *sim;
	struct op end;
	int fd[2];
	size_t i;

	ck_assert_int_eq(sim_new(&sim, 8, &f), 0);
	t.from = t.to = sim_loop(sim_proc_new(sim_host_new(sim, "a"), "p"));
	for (i = 0; i < STREAM_BYTES; i++)
		t.out[i] = (uint8_t)(i * 31 + (i >> 8));
	op_init(&t.accept, stream_recv, &t);
	op_init(&t.recv, stream_recv, &t);
	op_init(&t.connect, stream_send, &t);
	op_init(&t.send, stream_send, &t);
	op_init(&end, pair_end, &ended);
	ck_assert_int_eq(loop_pair(t.from, fd), 0);
	t.connect.res = fd[0];		/* as if they had connected */
	t.accept.res = fd[1];
	stream_send(&t.connect);
	stream_recv(&t.accept);
	sim_run(sim, sim_now(sim) + 60 * S, NULL, NULL);
	ck_assert_uint_eq(t.got, STREAM_BYTES);
	ck_assert_mem_eq(t.in, t.out, STREAM_BYTES);
	ck_assert_int_eq(loop_shutdown(t.from, fd[0]), 0);
	loop_recv(t.from, &end, fd[1], t.in, 1);
	sim_run(sim, sim_now(sim) + 1 * S, NULL, NULL);
	ck_assert(ended);
	sim_free(&sim);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *s = suite_create("sim");
	TCase *tc = tcase_create("world");
	SRunner *sr;
	int failed, seeds = 20;

	if (argc > 1) {
		first_seed = strtoull(argv[1], NULL, 10);
		seeds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1;
	}
	tcase_set_timeout(tc, 120);
	if (argc == 1) {
		tcase_add_test(tc,
		    bytes_of_a_connection_come_in_the_order_they_were_sent);
		tcase_add_test(tc,
		    a_pair_carries_all_to_its_end_and_no_network_cuts_it);
		tcase_add_test(tc, one_seed_twice_is_the_same_world);
	}
	tcase_add_loop_test(tc, cuts_and_crashes_lose_nothing, 0, seeds);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
