/* SPDX-License-Identifier: ISC */
/* test_loop_bridge.c - pairs, and bridges to what TLS says; see test_loop.c */

#include "test_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/cert.h"
#include "base/env.h"
#include "loop/bridge.h"
#include "loop/serve.h"
#include "loop/tls.h"

static struct env env;
static struct tls *server, *client;
static struct bridges *set;
static int peer;			/* the far end of the connection */
static int plain;			/* the far end of the pair */

static void
on_flag(void *arg)
{
	*(bool *)arg = true;
}

static void
await_flag(const bool *flag)
{
	while (!*flag)
		loop_turn(l, true);
}

/* ---- pairs ---- */

static int64_t
say(int fd, const char *text, size_t n)
{
	struct iovec v = { (void *)(uintptr_t)text, n };
	struct tap t;

	tap_init(&t);
	loop_send(l, &t.op, fd, &v, 1);
	return await(&t);
}

/* What comes next, as text; "" at the end. */
static const char *
hear(int fd)
{
	static char buf[256];
	struct tap t;

	tap_init(&t);
	loop_recv(l, &t.op, fd, buf, sizeof(buf) - 1);
	await(&t);
	if (t.res < 0)
		return strerror((int)-t.res);
	buf[t.res] = '\0';
	return buf;
}

START_TEST(what_goes_into_one_end_of_a_pair_comes_out_of_the_other)
{
	int fd[2];

	ck_assert_int_eq(loop_pair(l, fd), 0);
	ck_assert_int_eq(say(fd[0], "there", 5), 5);
	ck_assert_str_eq(hear(fd[1]), "there");
	ck_assert_int_eq(say(fd[1], "and back", 8), 8);
	ck_assert_str_eq(hear(fd[0]), "and back");
	close_fd(fd[0]);
	ck_assert_str_eq(hear(fd[1]), "");
	ck_assert_int_eq(say(fd[1], "x", 1), -EPIPE);
	close_fd(fd[1]);
}
END_TEST

START_TEST(an_end_that_is_shut_down_still_hears)
{
	int fd[2];

	ck_assert_int_eq(loop_pair(l, fd), 0);
	ck_assert_int_eq(say(fd[0], "last", 4), 4);
	ck_assert_int_eq(loop_shutdown(l, fd[0]), 0);
	ck_assert_str_eq(hear(fd[1]), "last");
	ck_assert_str_eq(hear(fd[1]), "");
	ck_assert_int_eq(say(fd[1], "answer", 6), 6);
	ck_assert_str_eq(hear(fd[0]), "answer");
	close_fd(fd[0]);
	close_fd(fd[1]);
}
END_TEST

/* ---- bridges ---- */

static void
opened(void *arg, int res, const char *why)
{
	ck_assert_msg(res == 0, "%s", why);
	*(bool *)arg = true;
}

static void
identity(struct tls **t, const struct tls_conf *conf)
{
	bool done = false;

	ck_assert_int_eq(tls_new(t, &env, conf), 0);
	tls_open(*t, opened, &done);
	await_flag(&done);
}

static void
identities(void)
{
	const char *names[] = { "relay.test" };
	struct tls_conf sc = { .server = true, .cert = in_dir("s.pem"),
	    .key = in_dir("s.key") }, cc = { .ca = in_dir("ca.pem") };
	struct cert_pem ca, c;

	ck_assert_int_eq(cert_make_ca("test", 30, &ca), 0);
	ck_assert_int_eq(cert_issue(&ca, names, 1, 30, &c), 0);
	put_file("ca.pem", ca.cert);
	put_file("s.pem", c.cert);
	put_file("s.key", c.key);
	cert_free(&c);
	cert_free(&ca);
	identity(&server, &sc);
	identity(&client, &cc);
}

static void
begin(unsigned max)
{
	env_init(&env, l, "test");
	server = client = NULL;
	ck_assert_int_eq(bridges_new(&set, &env, max), 0);
}

static void
end_identity(struct tls **t)
{
	bool done = false;

	if (*t == NULL)
		return;
	tls_close(*t, on_flag, &done);
	await_flag(&done);
	tls_free(t);
}

static void
close_set(void)
{
	bool done = false;

	bridges_close(set, on_flag, &done);
	await_flag(&done);
	ck_assert_uint_eq(bridges_open_count(set), 0);
	bridges_free(&set);
}

static void
finish(void)
{
	if (set != NULL)
		close_set();
	end_identity(&server);
	end_identity(&client);
	env_fini(&env);
}

/* A connection, in TLS or not, with a bridge at its end. */
static void
connect_bridge(bool tls)
{
	struct tap a, b;
	int fd[2];

	tcp_pair(fd);
	if (tls) {
		if (server == NULL)
			identities();
		tap_init(&a);
		tap_init(&b);
		loop_tls(l, &a.op, fd[0], server, NULL, NULL);
		loop_tls(l, &b.op, fd[1], client, "relay.test", NULL);
		while (a.n == 0 || b.n == 0)
			loop_turn(l, true);
		ck_assert_int_eq(a.res, 0);
		ck_assert_int_eq(b.res, 0);
	}
	peer = fd[1];
	ck_assert_int_eq(bridge_new(set, fd[0], &plain), 0);
}

static void
await_none(void)
{
	while (bridges_open_count(set) > 0)
		loop_turn(l, true);
}

START_TEST(bytes_cross_both_ways_and_the_ends_follow_them)
{
	begin(0);
	connect_bridge(_i % 2 == 1);
	ck_assert_int_eq(say(peer, "question", 8), 8);
	ck_assert_str_eq(hear(plain), "question");
	ck_assert_int_eq(say(plain, "answer", 6), 6);
	ck_assert_str_eq(hear(peer), "answer");
	if (_i < 2) {		/* the peer has asked all it wants */
		ck_assert_int_eq(loop_shutdown(l, peer), 0);
		ck_assert_str_eq(hear(plain), "");
		ck_assert_int_eq(say(plain, "more", 4), 4);
		ck_assert_str_eq(hear(peer), "more");
		close_fd(plain);
		ck_assert_str_eq(hear(peer), "");
	} else {		/* the server has said all it will */
		ck_assert_int_eq(loop_shutdown(l, plain), 0);
		ck_assert_str_eq(hear(peer), "");
		ck_assert_int_eq(say(peer, "more", 4), 4);
		ck_assert_str_eq(hear(plain), "more");
		close_fd(plain);
	}
	close_fd(peer);
	await_none();
	finish();
}
END_TEST

/* ---- much, both ways at once ---- */

struct flow {			/* total bytes from one end to another */
	struct op	 send, recv;
	struct iovec	 iov;
	int		 from, to;
	size_t		 sent, got, total, piece;
	int64_t		 fault;		/* 0 or less: how it ended early */
	bool		 ended;
	uint8_t		 out[70000], in[70000];
};

static struct flow flow[2];

static uint8_t
byte_at(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7);
}

static void
flow_send(struct flow *f)
{
	size_t i, n = f->total - f->sent;

	if (n == 0)
		return;
	n = n < sizeof(f->out) ? n : sizeof(f->out);
	for (i = 0; i < n; i++)
		f->out[i] = byte_at(f->sent + i);
	f->iov = (struct iovec){ f->out, n };
	loop_send(l, &f->send, f->from, &f->iov, 1);
}

static void
flow_sent(struct op *op)
{
	struct flow *f = op->arg;

	if (op->res <= 0) {
		f->fault = op->res;
		return;
	}
	f->sent += (size_t)op->res;
	flow_send(f);
}

static void
flow_got(struct op *op)
{
	struct flow *f = op->arg;
	int64_t i;

	f->ended = op->res <= 0;
	/* one assertion: each is a message to the one who runs this */
	for (i = 0; i < op->res && f->in[i] == byte_at(f->got + (size_t)i); i++)
		continue;
	if (i < op->res && !f->ended)
		ck_abort_msg("byte %zu is wrong", f->got + (size_t)i);
	if (f->ended)
		return;
	f->got += (size_t)op->res;
	if (f->got < f->total)
		loop_recv(l, &f->recv, f->to, f->in, f->piece);
}

static void
flow_start(struct flow *f, int from, int to, size_t total, size_t piece)
{
	f->from = from;
	f->to = to;
	f->sent = f->got = 0;
	f->total = total;
	f->piece = piece;
	f->fault = 1;
	f->ended = false;
	op_init(&f->send, flow_sent, f);
	op_init(&f->recv, flow_got, f);
	flow_send(f);
	if (piece > 0)
		loop_recv(l, &f->recv, to, f->in, piece);
}

static void
flow_stop(struct flow *f)
{
	loop_cancel(l, &f->send);
	loop_cancel(l, &f->recv);
	while (!op_idle(&f->send) || !op_idle(&f->recv)) {
		loop_cancel(l, &f->send);	/* it may have begun anew */
		loop_cancel(l, &f->recv);
		loop_turn(l, true);
	}
}

static void
both_ways(bool tls, size_t total, size_t piece)
{
	begin(0);
	connect_bridge(tls);
	flow_start(&flow[0], peer, plain, total, piece);
	flow_start(&flow[1], plain, peer, total, piece);
	while (flow[0].got < total || flow[1].got < total)
		loop_turn(l, true);
	close_fd(plain);
	close_fd(peer);
	await_none();
	finish();
}

START_TEST(both_directions_full_lose_and_mix_nothing)
{
	both_ways(_i == 1, 3 << 20, _i == 0 ? 65536 : 20011);
}
END_TEST

START_TEST(readers_of_one_byte_at_a_time_get_all)
{
	both_ways(_i == 1, 20000, 1);
}
END_TEST

START_TEST(who_does_not_read_stops_the_other_side)
{
	struct iovec v;
	struct tap t;
	size_t sent = 0;
	uint64_t until;

	begin(0);
	connect_bridge(_i == 1);
	v = (struct iovec){ flow[0].out, sizeof(flow[0].out) };
	tap_init(&t);
	loop_send(l, &t.op, plain, &v, 1);
	/* neither end reads: what the kernel takes is all there is */
	until = loop_now(l) + UINT64_C(300000000);
	while (loop_now(l) < until) {
		if (op_idle(&t.op)) {
			sent += (size_t)t.res;
			loop_send(l, &t.op, plain, &v, 1);
			until = loop_now(l) + UINT64_C(300000000);
		}
		loop_turn(l, false);
	}
	ck_assert_uint_lt(sent, 16u << 20);
	loop_cancel(l, &t.op);
	await(&t);
	close_fd(plain);
	close_fd(peer);
	await_none();
	finish();
}
END_TEST

/* ---- death ---- */

START_TEST(a_peer_that_dies_is_an_end_at_the_other_side)
{
	struct linger hard = { 1, 0 };

	begin(0);
	connect_bridge(_i == 1);
	ck_assert_int_eq(say(peer, "half a", 6), 6);
	ck_assert_str_eq(hear(plain), "half a");
	/* a reset; in TLS, after a good-bye that nobody may see */
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close_fd(peer);
	ck_assert_str_eq(hear(plain), "");
	close_fd(plain);
	await_none();
	finish();
}
END_TEST

START_TEST(an_answer_before_the_whole_question_arrives)
{
	begin(0);
	connect_bridge(_i == 1);
	flow_start(&flow[0], peer, plain, 4 << 20, 0);
	(void)hear(plain);
	ck_assert_int_eq(say(plain, "413", 3), 3);
	close_fd(plain);		/* the rest is not read */
	ck_assert_str_eq(hear(peer), "413");
	ck_assert_str_eq(hear(peer), "");
	while (flow[0].sent < flow[0].total)
		loop_turn(l, true);
	ck_assert_int_eq(flow[0].fault, 1);
	close_fd(peer);
	await_none();
	finish();
}
END_TEST

START_TEST(a_peer_that_never_ends_is_left_after_a_while)
{
	uint64_t start;

	begin(0);
	connect_bridge(_i == 1);
	start = loop_now(l);
	close_fd(plain);
	ck_assert_str_eq(hear(peer), "");
	await_none();
	ck_assert_uint_ge(loop_now(l) - start,
	    (BRIDGE_LINGER_MS - 100) * UINT64_C(1000000));
	close_fd(peer);
	finish();
}
END_TEST

START_TEST(a_set_is_closed_at_any_instant)
{
	unsigned turns, i;

	/* each takes BRIDGE_CLOSE_MS at most; nearly every early one */
	for (turns = 0; turns < 60; turns += turns < 8 ? 1 : 7) {
		begin(0);
		connect_bridge(_i == 1);
		flow_start(&flow[0], peer, plain, SIZE_MAX / 2, 4096);
		flow_start(&flow[1], plain, peer, SIZE_MAX / 2, 4096);
		for (i = 0; i < turns; i++)
			loop_turn(l, true);
		close_set();
		flow_stop(&flow[0]);
		flow_stop(&flow[1]);
		close_fd(peer);
		close_fd(plain);
		finish();
	}
}
END_TEST

START_TEST(what_the_server_said_before_closing_arrives)
{
	begin(0);
	connect_bridge(_i == 1);
	flow_start(&flow[0], plain, peer, 100000, 65536);
	while (flow[0].sent < flow[0].total)
		loop_turn(l, true);
	close_fd(plain);
	close_set();
	while (!flow[0].ended && flow[0].got < flow[0].total)
		loop_turn(l, true);
	ck_assert_uint_eq(flow[0].got, 100000);
	close_fd(peer);
	finish();
}
END_TEST

/* Found on a machine so busy that each look came before the next bytes. */
START_TEST(what_the_server_said_arrives_where_each_turn_comes_late)
{
	bool done = false;

	begin(0);
	connect_bridge(_i == 1);
	flow_start(&flow[0], plain, peer, 50000, 65536);
	while (flow[0].sent < flow[0].total)
		loop_turn(l, true);
	bridges_close(set, on_flag, &done);
	while (!done) {
		usleep(21000);
		loop_turn(l, false);
	}
	bridges_free(&set);
	while (!flow[0].ended && flow[0].got < flow[0].total)
		loop_turn(l, true);
	ck_assert_uint_eq(flow[0].got, 50000);
	close_fd(plain);
	close_fd(peer);
	finish();
}
END_TEST

START_TEST(a_set_has_its_bound)
{
	int fd[2], far;

	begin(1);
	connect_bridge(false);
	tcp_pair(fd);
	ck_assert_int_eq(bridge_new(set, fd[0], &far), -EMFILE);
	close_fd(fd[0]);
	close_fd(fd[1]);
	close_fd(plain);
	close_fd(peer);
	await_none();
	finish();
}
END_TEST

/* ---- HTTP inside TLS ---- */

static void
answer(void *arg, struct serve_req *req)
{
	struct bytes body = req_body(req);

	(*(unsigned *)arg)++;
	ck_assert_uint_eq(body.n, 4);
	serve_answer(req, 200, "text/plain", body, NULL, 0);
}

START_TEST(requests_inside_tls_are_served_on_a_kept_connection)
{
	static const char post[] = "POST / HTTP/1.1\r\nHost: relay.test\r\n"
	    "Content-Length: 4\r\n\r\nabcd";
	struct serve *serve;
	struct loop_addr from = { .len = sizeof(from.sa) };
	bool closed = false;
	unsigned n = 0, i;
	struct serve_conf conf = { .handler = answer, .arg = &n };
	const char *text;

	begin(0);
	ck_assert_int_eq(serve_new(&serve, &env, &conf), 0);
	connect_bridge(true);
	ck_assert_int_eq(getpeername(peer, (struct sockaddr *)&from.sa,
	    &from.len), 0);
	ck_assert_int_eq(serve_take(serve, plain, &from), 0);
	for (i = 1; i <= 3; i++) {
		ck_assert_int_eq(say(peer, post, sizeof(post) - 1),
		    (int64_t)sizeof(post) - 1);
		text = hear(peer);
		ck_assert(strncmp(text, "HTTP/1.1 200", 12) == 0);
		ck_assert_ptr_nonnull(strstr(text, "abcd"));
		ck_assert_uint_eq(n, i);
	}
	serve_close(serve, on_flag, &closed);
	await_flag(&closed);
	serve_free(&serve);
	ck_assert_str_eq(hear(peer), "");
	close_fd(peer);
	await_none();
	finish();
}
END_TEST

void
bridge_tests(TCase *tc)
{
	tcase_add_test(tc,
	    what_goes_into_one_end_of_a_pair_comes_out_of_the_other);
	tcase_add_test(tc, an_end_that_is_shut_down_still_hears);
	tcase_add_loop_test(tc, bytes_cross_both_ways_and_the_ends_follow_them,
	    0, 4);
	tcase_add_loop_test(tc, both_directions_full_lose_and_mix_nothing,
	    0, 2);
	tcase_add_loop_test(tc, readers_of_one_byte_at_a_time_get_all, 0, 2);
	tcase_add_loop_test(tc, who_does_not_read_stops_the_other_side, 0, 2);
	tcase_add_loop_test(tc, a_peer_that_dies_is_an_end_at_the_other_side,
	    0, 2);
	tcase_add_loop_test(tc, an_answer_before_the_whole_question_arrives,
	    0, 2);
	tcase_add_loop_test(tc, a_peer_that_never_ends_is_left_after_a_while,
	    0, 2);
	tcase_add_loop_test(tc, a_set_is_closed_at_any_instant, 0, 2);
	tcase_add_loop_test(tc,
	    what_the_server_said_arrives_where_each_turn_comes_late, 0, 2);
	tcase_add_loop_test(tc, what_the_server_said_before_closing_arrives,
	    0, 2);
	tcase_add_test(tc, a_set_has_its_bound);
	tcase_add_test(tc,
	    requests_inside_tls_are_served_on_a_kept_connection);
}
