/* SPDX-License-Identifier: ISC */
/*
 * test_failover.c - when a peer is left, and where to
 *
 * Claims: who falls silent is left for the next one, though it still accepts;
 * who comes and goes is left too, and dialled ever more seldom; what is sent
 * again is counted to the byte; a line too thin for the usual patience gets
 * through all the same; a chunk may be taken back from who is silent, who owes
 * an answer nevertheless; a name of which most addresses are black holes is
 * reached in ten seconds.  A gate before the real receiver, in a thread of its
 * own, can freeze, cut and delay.
 */
#include <arpa/inet.h>
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hop/patience.h"
#include "hop/peers.h"
#include "hop_rig.h"

#define MS	UINT64_C(1000000)

static struct rig rig;

/* ---- a gate: one connection at a time to the receiver ---- */

struct gate {
	pthread_t	 thread;
	int		 listener;
	struct loop_addr to;
	char		 addr[LOOP_ADDR_TEXT];
	atomic_bool	 frozen;	/* reads and answers nothing */
	atomic_bool	 stop;
	atomic_uint	 accepted;
	atomic_uint	 cut_after;	/* so many reads of answers; 0: never */
	atomic_uint	 delay_ms;	/* of an answer */
};

static struct gate gate;

/* false: the connection is over. */
static bool
carry(int from, int to)
{
	char buf[65536];
	ssize_t n = recv(from, buf, sizeof(buf), 0);

	return n > 0 && send(to, buf, (size_t)n, MSG_NOSIGNAL) == n;
}

static void
serve_one(int client)
{
	int server = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd p[2] = { { client, POLLIN, 0 }, { server, POLLIN, 0 } };
	unsigned answers = 0;
	bool more = true;

	ck_assert_int_eq(connect(server, (struct sockaddr *)&gate.to.sa,
	    gate.to.len), 0);
	while (more && !gate.stop) {
		if (poll(p, 2, 5) <= 0 || gate.frozen)
			continue;
		if (p[1].revents != 0) {
			poll(NULL, 0, (int)gate.delay_ms);
			more = carry(server, client);
			answers++;
			if (answers == gate.cut_after)
				more = false;
		}
		if (more && p[0].revents != 0)
			more = carry(client, server);
	}
	close(server);
	close(client);
}

static void *
gate_run(void *arg)
{
	struct pollfd p = { gate.listener, POLLIN, 0 };
	int fd;

	while (!gate.stop) {
		if (poll(&p, 1, 5) <= 0)
			continue;
		fd = accept(gate.listener, NULL, NULL);
		gate.accepted++;
		serve_one(fd);
	}
	return NULL;
}

/* Listens on loopback; of a listener that is no loop's. */
static int
listener(int backlog, char addr[LOOP_ADDR_TEXT])
{
	struct loop_addr at = { .len = sizeof(struct sockaddr_in) };
	struct sockaddr_in *in = (struct sockaddr_in *)&at.sa;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)in, at.len), 0);
	ck_assert_int_eq(listen(fd, backlog), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)in, &at.len), 0);
	loop_addr_text(&at, addr);
	return fd;
}

static void
gate_open(void)
{
	gate = (struct gate){ .to = *port_bound(rig.port) };
	gate.listener = listener(64, gate.addr);
	ck_assert_int_eq(pthread_create(&gate.thread, NULL, gate_run, NULL),
	    0);
}

static void
gate_close(void)
{
	gate.stop = true;
	pthread_join(gate.thread, NULL);
	close(gate.listener);
}

/* ---- a source: one chunk after another, each until it is acknowledged ---- */

struct source {
	struct sender	*sender;
	struct lane	 lane;
	struct hop_chunk hc;
	size_t		 next, most;	/* records acknowledged, to be */
	bool		 busy, closed;
	unsigned	 downs;
	int		 why;
	char		 lost[LOOP_ADDR_TEXT];	/* the peer, when told */
};

static struct source src;

static void	 push(void);

static void
chunk_done(struct hop_chunk *hc, int res)
{
	src.busy = false;
	src.next += res == 0;
}

static void
push(void)
{
	if (src.busy || src.next == src.most || !sender_is_up(src.sender))
		return;
	src.hc = (struct hop_chunk){ .done = chunk_done,
	    .chunk = lane_chunk(&src.lane, src.next, 1) };
	src.busy = sender_send(src.sender, &src.hc) == 0;
}

static void
up(void *arg)
{
	push();
}

static void
down(void *arg, int why)
{
	src.downs++;
	src.why = why;
	snprintf(src.lost, sizeof(src.lost), "%s", sender_peer(src.sender));
}

static void
source_start(const char *peers, uint32_t ack_timeout_ms, size_t records,
    size_t pad)
{
	struct sender_conf conf = { .peers = peers, .agent_id = "test",
	    .up = up, .down = down, .ack_timeout_ms = ack_timeout_ms };

	src = (struct source){ .most = records };
	lane_init(&src.lane, &rig, records, pad);
	ck_assert_int_eq(sender_new(&src.sender, &rig.out, &conf), 0);
	sender_start(src.sender);
}

static void
closed(void *arg)
{
	src.closed = true;
}

static bool
is_closed(struct rig *r, void *arg)
{
	return src.closed;
}

static void
source_end(void)
{
	sender_close(src.sender, closed, NULL);
	rig_until(&rig, is_closed, NULL);
	sender_free(&src.sender);
	lane_fini(&src.lane);
}

static bool
all_acked(struct rig *r, void *arg)
{
	push();
	return src.next == src.most;
}

static bool
half_acked(struct rig *r, void *arg)
{
	push();
	return src.next >= src.most / 2;
}

static void
setup(void)
{
	rig_init(&rig);
	rig_start(&rig);
	gate_open();
}

static void
teardown(void)
{
	gate_close();
	rig_fini(&rig);
}

static uint64_t
out_ctr(enum ctr id)
{
	return ctr_get(&rig.out.ctr, id);
}

/* ---- claims ---- */

START_TEST(who_fell_silent_is_left_for_the_next_one)
{
	char peers[2 * LOOP_ADDR_TEXT + 2];

	snprintf(peers, sizeof(peers), "%s,%s", gate.addr, rig.addr);
	source_start(peers, 300, 40, 100);
	rig_until(&rig, half_acked, NULL);
	ck_assert_str_eq(sender_peer(src.sender), gate.addr);
	gate.frozen = true;
	rig_until(&rig, all_acked, NULL);
	ck_assert_int_eq(src.why, -ETIMEDOUT);
	ck_assert_str_eq(src.lost, gate.addr);
	ck_assert_str_eq(sender_peer(src.sender), rig.addr);
	ck_assert_uint_eq(src.downs, 1);
	ck_assert_uint_eq(gate.accepted, 1);
	rig_expect_lane(&rig, &src.lane);
	source_end();
}
END_TEST

START_TEST(who_comes_and_goes_is_left_for_the_next_one)
{
	char peers[2 * LOOP_ADDR_TEXT + 2];

	gate.cut_after = 1;
	snprintf(peers, sizeof(peers), "%s,%s", gate.addr, rig.addr);
	source_start(peers, 0, 40, 100);
	rig_until(&rig, all_acked, NULL);
	ck_assert_str_eq(src.lost, gate.addr);
	ck_assert_str_eq(sender_peer(src.sender), rig.addr);
	ck_assert_uint_eq(gate.accepted, 1);
	source_end();
}
END_TEST

START_TEST(what_is_sent_again_is_counted_to_the_byte)
{
	gate.cut_after = 2;
	source_start(gate.addr, 0, 12, 5000);
	rig_until(&rig, all_acked, NULL);
	ck_assert_uint_gt(src.downs, 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_acked_bytes), src.lane.len);
	ck_assert_uint_eq(out_ctr(CTR_hop_sent_bytes),
	    src.lane.len + out_ctr(CTR_hop_resent_bytes));
	ck_assert_uint_eq(out_ctr(CTR_hop_sent_chunks),
	    12 + out_ctr(CTR_hop_resent_chunks));
	rig_expect_lane(&rig, &src.lane);
	source_end();
}
END_TEST

START_TEST(a_line_too_slow_for_the_usual_patience_gets_through)
{
	gate.delay_ms = 250;
	source_start(gate.addr, 100, 5, 100);
	rig_until(&rig, all_acked, NULL);
	/* 100 and 200 ms were too few; 400 or 800 are enough, and kept */
	ck_assert_uint_ge(src.downs, 2);
	ck_assert_uint_le(src.downs, 3);
	rig_expect_lane(&rig, &src.lane);
	source_end();
}
END_TEST

/* ---- chunks taken back ---- */

static bool
is_sent(struct rig *r, void *arg)
{
	push();
	return out_ctr(CTR_hop_sent_chunks) == 1;
}

static void
nothing(struct op *op)
{
}

static void
silence(uint64_t ms)
{
	struct op timer;

	op_init(&timer, nothing, NULL);
	loop_timer(rig.loop, &timer, loop_now(rig.loop) + ms * MS);
	while (!op_idle(&timer))
		loop_turn(rig.loop, true);
}

static bool
is_answered(struct rig *r, void *arg)
{
	return sender_silent(src.sender) == 0;
}

static bool
is_down(struct rig *r, void *arg)
{
	return src.downs > 0;
}

/* One chunk is with a frozen peer, and is ours again. */
static void
sent_and_taken_back(uint32_t ack_timeout_ms)
{
	gate.frozen = true;
	source_start(gate.addr, ack_timeout_ms, 1, 100);
	rig_until(&rig, is_sent, NULL);
	silence(60);
	ck_assert_int_eq(sender_take_back(src.sender, &src.hc), 0);
	ck_assert_int_eq(sender_take_back(src.sender, &src.hc), -EBUSY);
	ck_assert_uint_eq(out_ctr(CTR_hop_inflight_bytes), 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_resent_chunks), 1);
	ck_assert_uint_eq(out_ctr(CTR_hop_resent_bytes), src.lane.len);
	ck_assert_uint_gt(sender_silent(src.sender), 50 * MS);
}

START_TEST(who_owes_for_a_chunk_taken_back_is_left_all_the_same)
{
	sent_and_taken_back(300);
	rig_until(&rig, is_down, NULL);
	ck_assert_int_eq(src.why, -ETIMEDOUT);
	ck_assert_uint_eq(out_ctr(CTR_hop_resent_chunks), 1);
	source_end();
}
END_TEST

START_TEST(a_late_answer_to_a_chunk_taken_back_is_a_sign_of_life)
{
	sent_and_taken_back(20000);
	gate.frozen = false;
	rig_until(&rig, is_answered, NULL);
	ck_assert_uint_eq(out_ctr(CTR_hop_bad_acks), 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_acked_chunks), 0);
	/* sent again it is known there */
	src.busy = false;
	rig_until(&rig, all_acked, NULL);
	ck_assert_uint_eq(src.downs, 0);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_dup_bytes), src.lane.len);
	rig_expect_lane(&rig, &src.lane);
	source_end();
}
END_TEST

/* ---- names with several addresses ---- */

static uint16_t holes[4];

/* The C library's, with a name of our own. */
int
getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
    struct addrinfo **ret_first)
{
	static int (*real)(const char *, const char *,
	    const struct addrinfo *, struct addrinfo **);
	struct addrinfo *ai;
	size_t i;
	int r;

	real = (int (*)(const char *, const char *, const struct addrinfo *,
	    struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
	if (strcmp(host, "holes.test") != 0)
		return real(host, port, hints, ret_first);
	for (*ret_first = NULL, i = 4; i-- > 0; *ret_first = ai) {
		r = real("127.0.0.1", port, hints, &ai);
		if (r != 0)
			return r;
		((struct sockaddr_in *)ai->ai_addr)->sin_port = holes[i];
		ai->ai_next = *ret_first;
	}
	return 0;
}

/* A port that takes connections but never answers the first segment. */
static uint16_t
hole_open(int *ret_fd, int *ret_first)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char addr[LOOP_ADDR_TEXT];

	*ret_fd = listener(0, addr);
	in.sin_port = htons((uint16_t)atoi(strchr(addr, ':') + 1));
	*ret_first = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(*ret_first, (struct sockaddr *)&in,
	    sizeof(in)), 0);
	return in.sin_port;
}

START_TEST(three_black_holes_of_four_addresses_cost_ten_seconds_at_most)
{
	uint64_t begun = loop_now(rig.loop);
	int fd[3], first[3], i;

	for (i = 0; i < 3; i++)
		holes[i] = hole_open(&fd[i], &first[i]);
	holes[3] = ((struct sockaddr_in *)&gate.to.sa)->sin_port;
	source_start("holes.test:1", 0, 1, 100);
	rig_until(&rig, all_acked, NULL);
	ck_assert_uint_gt(loop_now(rig.loop) - begun, 7000 * MS);
	ck_assert_uint_lt(loop_now(rig.loop) - begun, 10000 * MS);
	ck_assert_uint_eq(out_ctr(CTR_hop_failures), 0);
	source_end();
	for (i = 0; i < 3; i++) {
		close(first[i]);
		close(fd[i]);
	}
}
END_TEST

/* ---- the order, and pauses ---- */

START_TEST(order_of_peers)
{
	struct peers p;

	ck_assert_int_eq(peers_init(&p, &rig.out, "a:1,b:1,c:1"), 0);
	ck_assert_uint_eq(peers_failed(&p, false, 0, 0), 0);
	ck_assert_str_eq(peers_name(&p), "b:1");
	peers_worked(&p);	/* silent after a day: the next */
	ck_assert_uint_eq(peers_failed(&p, false, 86400000 * MS, 0), 0);
	ck_assert_str_eq(peers_name(&p), "c:1");
	peers_worked(&p);	/* cut after five seconds: the first */
	ck_assert_uint_lt(peers_failed(&p, true, 5000 * MS, 0), 100 * MS);
	ck_assert_str_eq(peers_name(&p), "a:1");
	peers_worked(&p);	/* cut before: the next */
	ck_assert_uint_eq(peers_failed(&p, true, 4999 * MS, 0), 0);
	ck_assert_str_eq(peers_name(&p), "b:1");
	/* never answered, however long it was up: the next */
	ck_assert_uint_eq(peers_failed(&p, true, 86400000 * MS, 0), 0);
	ck_assert_str_eq(peers_name(&p), "c:1");
	peers_fini(&p);
}
END_TEST

START_TEST(who_goes_as_soon_as_it_came_is_dialled_ever_more_seldom)
{
	uint64_t most = 0, wait, i;
	struct peers p;

	ck_assert_int_eq(peers_init(&p, &rig.out, "a:1,b:1"), 0);
	for (i = 0; i < 2000; i++) {
		peers_worked(&p);	/* one answer, and cut */
		wait = peers_failed(&p, true, 50 * MS, 0);
		ck_assert_uint_lt(wait, 5000 * MS);
		most = wait > most ? wait : most;
	}
	ck_assert_uint_gt(most, 2500 * MS);
	peers_fini(&p);
	/* the only one there is, not for that long */
	ck_assert_int_eq(peers_init(&p, &rig.out, "a:1"), 0);
	for (most = i = 0; i < 1000; i++) {
		peers_worked(&p);
		wait = peers_failed(&p, true, 20 * MS, 0);
		most = wait > most ? wait : most;
	}
	ck_assert_uint_gt(most, 100 * MS);
	ck_assert_uint_lt(most, 200 * MS);
	peers_worked(&p);
	ck_assert_uint_lt(peers_failed(&p, true, 5001 * MS, 0), 100 * MS);
	for (i = 0; i < 1000; i++) {
		peers_worked(&p);	/* a bad line, no bad peer */
		ck_assert_uint_lt(peers_failed(&p, true, 60 * MS, 0),
		    100 * MS);
	}
	peers_fini(&p);
}
END_TEST

START_TEST(patience_doubles_with_silence_and_halves_with_answers)
{
	static const uint64_t most[] = { 10, 20, 40, 40, 40 };
	uint64_t now = 1000 * MS, i;
	struct patience p;

	patience_init(&p, 5);
	patience_begin(&p, now);
	ck_assert_uint_eq(patience_due(&p, 0), now + 5 * MS);
	ck_assert_uint_eq(patience_due(&p, now + 1), now + 1 + 5 * MS);
	for (i = 0; i < 5; i++) {
		patience_silent(&p);
		ck_assert_uint_eq(patience_due(&p, now), now + most[i] * MS);
	}
	patience_begin(&p, now);	/* another connection: learned is kept */
	patience_answered(&p, now, now + 10 * MS);
	now += 10 * MS;			/* a quarter: no quick answer */
	ck_assert_uint_eq(patience_due(&p, 1), now + 40 * MS);
	patience_answered(&p, 1, now + 10 * MS - 1);
	ck_assert_uint_eq(patience_due(&p, 1), now + 30 * MS - 1);
	patience_went(&p, now + 20 * MS);	/* still going */
	ck_assert_uint_eq(patience_due(&p, 0), now + 40 * MS);
	patience_taken_back(&p, now + 15 * MS);
	patience_taken_back(&p, now + 16 * MS);
	ck_assert_uint_eq(patience_due(&p, 0), now + 35 * MS);
	patience_answered(&p, 0, now + 18 * MS);
	ck_assert_uint_eq(p.owed_ns, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("failover");
	TCase *t = tcase_create("failover");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, who_fell_silent_is_left_for_the_next_one);
	tcase_add_test(t, who_comes_and_goes_is_left_for_the_next_one);
	tcase_add_test(t, what_is_sent_again_is_counted_to_the_byte);
	tcase_add_test(t, a_line_too_slow_for_the_usual_patience_gets_through);
	tcase_add_test(t,
	    who_owes_for_a_chunk_taken_back_is_left_all_the_same);
	tcase_add_test(t,
	    a_late_answer_to_a_chunk_taken_back_is_a_sign_of_life);
	tcase_add_test(t,
	    three_black_holes_of_four_addresses_cost_ten_seconds_at_most);
	tcase_add_test(t, order_of_peers);
	tcase_add_test(t,
	    who_goes_as_soon_as_it_came_is_dialled_ever_more_seldom);
	tcase_add_test(t,
	    patience_doubles_with_silence_and_halves_with_answers);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
