/* SPDX-License-Identifier: ISC */
/* test_loop_tls.c - descriptors that speak TLS; see test_loop.c */

#include "test_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/cert.h"
#include "base/env.h"
#include "loop/tls.h"

static struct env env;
static struct cert_pem ca;
static struct tls *server, *client;
static int fd[2];			/* server's end, client's end */
static struct tap shake[2];
static char news[TLS_WHY * 2];
static unsigned news_n;

/* ---- identities ---- */

static void
issue(const char *cert, const char *key, const char *host, unsigned days)
{
	const char *names[] = { host, "127.0.0.1" };
	struct cert_pem c;

	ck_assert_int_eq(cert_issue(&ca, names, 2, days, &c), 0);
	put_file(cert, c.cert);
	put_file(key, c.key);
	cert_free(&c);
}

static void
made(void *arg, int res, const char *why)
{
	int *ret = arg;

	*ret = res;
	if (res < 0)
		(void)snprintf(news, sizeof(news), "%s", why);
}

static void
on_news(void *arg, enum tls_news what, const char *text)
{
	(void)snprintf(news, sizeof(news), "%s", text);
	news_n++;
}

static int
make(struct tls **t, bool is_server, const char *cert, const char *key,
    const char *trust)
{
	struct tls_conf conf = { .server = is_server,
	    .cert = cert == NULL ? NULL : in_dir(cert),
	    .key = key == NULL ? NULL : in_dir(key),
	    .ca = trust == NULL ? NULL : in_dir(trust) };
	int res = 1;

	ck_assert_int_eq(tls_new(t, &env, &conf), 0);
	tls_on_news(*t, on_news, NULL);
	tls_open(*t, made, &res);
	ck_assert_int_eq(res, 1);
	while (res == 1)
		loop_turn(l, true);
	return res;
}

static void
gone(void *arg)
{
	*(bool *)arg = true;
}

static void
unmake(struct tls **t)
{
	bool closed = false;

	if (*t == NULL)
		return;
	tls_close(*t, gone, &closed);
	while (!closed)
		loop_turn(l, true);
	tls_free(t);
}

static void
begin(void)
{
	env_init(&env, l, "test");
	news[0] = '\0';
	news_n = 0;
	ck_assert_int_eq(cert_make_ca("test", 30, &ca), 0);
	put_file("ca.pem", ca.cert);
	issue("s.pem", "s.key", "relay.test", 30);
	server = client = NULL;
}

static void
finish(void)
{
	unmake(&server);
	unmake(&client);
	cert_free(&ca);
	env_fini(&env);
}

static void
both(void)
{
	begin();
	ck_assert_int_eq(make(&server, true, "s.pem", "s.key", NULL), 0);
	ck_assert_int_eq(make(&client, false, NULL, NULL, "ca.pem"), 0);
}

/* ---- connections ---- */

static void
start_shake(const char *name, const char *sni)
{
	tcp_pair(fd);
	tap_init(&shake[0]);
	tap_init(&shake[1]);
	loop_tls(l, &shake[0].op, fd[0], server, NULL, NULL);
	loop_tls(l, &shake[1].op, fd[1], client, name, sni);
}

static void
connect_as(const char *name)
{
	start_shake(name, NULL);
	ck_assert_int_eq(await(&shake[1]), 0);
	if (shake[0].n == 0)
		await(&shake[0]);
	ck_assert_int_eq(shake[0].res, 0);
}

static void
close_both(void)
{
	close_fd(fd[1]);
	close_fd(fd[0]);
}

static void
say_hear(const char *text)
{
	struct iovec v = { (void *)(uintptr_t)text, strlen(text) };
	struct tap s, r;
	char buf[64];

	tap_init(&s);
	tap_init(&r);
	loop_recv(l, &r.op, fd[0], buf, sizeof(buf));
	loop_send(l, &s.op, fd[1], &v, 1);
	ck_assert_int_eq(await(&r), (int64_t)strlen(text));
	if (s.n == 0)
		await(&s);
	ck_assert_int_eq(s.res, (int64_t)strlen(text));
	ck_assert_mem_eq(buf, text, strlen(text));
}

START_TEST(bytes_go_both_ways_and_are_not_in_plain)
{
	both();
	connect_as("relay.test");
	say_hear("a record");
	close_both();
	finish();
}
END_TEST

START_TEST(what_is_peeked_comes_again)
{
	struct iovec v = { (void *)(uintptr_t)"GET /", 5 };
	struct tap s, r;
	char buf[8];

	both();
	connect_as("relay.test");
	tap_init(&s);
	tap_init(&r);
	loop_send(l, &s.op, fd[1], &v, 1);
	ck_assert_int_eq(await(&s), 5);
	loop_peek(l, &r.op, fd[0], buf, 1);
	ck_assert_int_eq(await(&r), 1);
	ck_assert_int_eq(buf[0], 'G');
	loop_recv(l, &r.op, fd[0], buf, sizeof(buf));
	ck_assert_int_eq(await(&r), 5);
	close_both();
	finish();
}
END_TEST

/* Sends until all went; the receiver sums up. */
START_TEST(megabytes_arrive_whole_and_in_order)
{
	enum { N = 5 << 20 };
	uint8_t *out = malloc(N), *in = malloc(N);
	struct iovec v[3];
	struct tap s, r;
	size_t sent = 0, got = 0, k;

	ck_assert(out != NULL && in != NULL);
	for (k = 0; k < N; k++)
		out[k] = (uint8_t)(k * 7 + (k >> 9));
	both();
	connect_as("relay.test");
	tap_init(&s);
	tap_init(&r);
	while (got < N) {
		if (op_idle(&s.op) && sent < N) {
			size_t n = N - sent, a = n / 3;

			v[0] = (struct iovec){ out + sent, a };
			v[1] = (struct iovec){ out + sent + a, 0 };
			v[2] = (struct iovec){ out + sent + a, n - a };
			loop_send(l, &s.op, fd[1], v, 3);
		}
		if (op_idle(&r.op))
			loop_recv(l, &r.op, fd[0], in + got, N - got);
		loop_turn(l, true);
		if (op_idle(&s.op) && s.n > 0) {
			ck_assert_int_gt(s.res, 0);
			sent += (size_t)s.res;
			s.n = 0;
		}
		if (op_idle(&r.op) && r.n > 0) {
			ck_assert_int_gt(r.res, 0);
			got += (size_t)r.res;
			r.n = 0;
		}
	}
	while (!op_idle(&s.op))
		loop_turn(l, true);
	ck_assert_mem_eq(in, out, N);
	close_both();
	finish();
	free(out);
	free(in);
}
END_TEST

START_TEST(a_close_is_told_and_a_cut_is_no_end)
{
	struct tap r;
	char c;

	both();
	connect_as("relay.test");
	tap_init(&r);
	loop_recv(l, &r.op, fd[0], &c, 1);
	close_fd(fd[1]);
	if (r.n == 0)
		await(&r);
	ck_assert_int_eq(r.n, 1);
	ck_assert_int_eq(r.res, 0);
	close_fd(fd[0]);

	connect_as("relay.test");
	loop_recv(l, &r.op, fd[0], &c, 1);
	ck_assert_int_eq(shutdown(fd[1], SHUT_RDWR), 0);
	ck_assert_int_eq(await(&r), -ECONNRESET);
	close_both();
	finish();
}
END_TEST

/* ---- whom to believe ---- */

static void
refused(const char *name, int why, const char *words)
{
	start_shake(name, NULL);
	ck_assert_int_eq(await(&shake[1]), why);
	ck_assert_msg(strstr(loop_tls_why(l, fd[1]), words) != NULL, "%s",
	    loop_tls_why(l, fd[1]));
	if (shake[0].n == 0)
		await(&shake[0]);
	ck_assert_int_lt(shake[0].res, 0);
	close_both();
}

START_TEST(a_certificate_for_another_name_is_refused)
{
	both();
	refused("other.test", -EACCES, "ostname mismatch");
	refused("10.0.0.1", -EACCES, "IP address mismatch");
	connect_as("127.0.0.1");
	close_both();
	finish();
}
END_TEST

START_TEST(a_certificate_of_another_ca_is_refused)
{
	struct cert_pem other;

	begin();
	ck_assert_int_eq(cert_make_ca("other", 30, &other), 0);
	put_file("other.pem", other.cert);
	cert_free(&other);
	ck_assert_int_eq(make(&server, true, "s.pem", "s.key", NULL), 0);
	ck_assert_int_eq(make(&client, false, NULL, NULL, "other.pem"), 0);
	refused("relay.test", -EACCES, "unable to get local issuer");
	finish();
}
END_TEST

START_TEST(an_expired_certificate_is_refused)
{
	begin();
	issue("s.pem", "s.key", "relay.test", 0);
	ck_assert_int_eq(make(&server, true, "s.pem", "s.key", NULL), 0);
	ck_assert_str_eq(strstr(news, "ended") != NULL ? "ended" : news,
	    "ended");
	ck_assert_int_eq(make(&client, false, NULL, NULL, "ca.pem"), 0);
	refused("relay.test", -EACCES, "expired");
	finish();
}
END_TEST

START_TEST(a_client_must_have_a_certificate_where_one_is_asked_for)
{
	struct tap r;
	char c;

	begin();
	issue("c.pem", "c.key", "agent.test", 30);
	ck_assert_int_eq(make(&server, true, "s.pem", "s.key", "ca.pem"), 0);
	ck_assert_int_eq(make(&client, false, "c.pem", "c.key", "ca.pem"), 0);
	connect_as("relay.test");
	say_hear("known");
	close_both();
	unmake(&client);

	/* In TLS 1.3 a client hears of it after its own handshake. */
	ck_assert_int_eq(make(&client, false, NULL, NULL, "ca.pem"), 0);
	start_shake("relay.test", NULL);
	ck_assert_int_eq(await(&shake[1]), 0);
	if (shake[0].n == 0)
		await(&shake[0]);
	ck_assert_int_eq(shake[0].res, -EACCES);
	tap_init(&r);
	loop_recv(l, &r.op, fd[1], &c, 1);
	ck_assert_int_eq(await(&r), -EACCES);
	ck_assert(strstr(loop_tls_why(l, fd[1]), "certificate required"));
	close_both();
	finish();
}
END_TEST

START_TEST(who_speaks_no_tls_is_told_apart)
{
	struct tap t;

	both();
	tcp_pair(fd);
	tap_init(&t);
	ck_assert_int_eq(write(fd[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	loop_tls(l, &t.op, fd[0], server, NULL, NULL);
	ck_assert_int_eq(await(&t), -EPROTO);
	ck_assert(strstr(loop_tls_why(l, fd[0]), "http request") != NULL);
	close_fd(fd[0]);
	close_fd(fd[1]);
	finish();
}
END_TEST

START_TEST(a_handshake_can_be_cancelled_at_any_moment)
{
	struct tap t;
	unsigned turns, i;

	both();
	for (turns = 0; turns < 12; turns++) {
		tcp_pair(fd);
		tap_init(&t);
		tap_init(&shake[0]);
		loop_tls(l, &t.op, fd[1], client, "relay.test", NULL);
		loop_tls(l, &shake[0].op, fd[0], server, NULL, NULL);
		for (i = 0; i < turns && t.n == 0; i++)
			loop_turn(l, false);
		loop_cancel(l, &t.op);
		if (t.n == 0)
			await(&t);
		ck_assert(t.res == -ECANCELED || t.res == 0);
		close_fd(fd[1]);
		if (shake[0].n == 0)
			await(&shake[0]);
		close_fd(fd[0]);
	}
	finish();
}
END_TEST

START_TEST(a_peer_that_reads_nothing_does_not_hold_up_a_close)
{
	static uint8_t lots[4 << 20];
	struct iovec v = { lots, sizeof(lots) };
	struct tap s;
	uint64_t since;

	both();
	connect_as("relay.test");
	tap_init(&s);
	do {
		loop_send(l, &s.op, fd[1], &v, 1);
		since = loop_now(l);
		while (!op_idle(&s.op) && loop_now(l) - since < 100000000u)
			loop_turn(l, false);
	} while (op_idle(&s.op));
	loop_cancel(l, &s.op);
	await(&s);
	since = loop_now(l);
	close_fd(fd[1]);
	ck_assert_uint_lt(loop_now(l) - since, 2000000000u);
	close_fd(fd[0]);
	finish();
}
END_TEST

START_TEST(a_page_that_vanished_is_a_fault_and_what_lies_before_it_goes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec v = { p + page - 10, 20 };
	struct tap s;

	ck_assert(p != MAP_FAILED);
	/* a hole would be taken by whoever maps next */
	ck_assert_int_eq(mprotect(p + page, page, PROT_NONE), 0);
	both();
	connect_as("relay.test");
	tap_init(&s);
	loop_send(l, &s.op, fd[1], &v, 1);
	ck_assert_int_eq(await(&s), 10);
	v = (struct iovec){ p + page, 10 };
	loop_send(l, &s.op, fd[1], &v, 1);
	ck_assert_int_eq(await(&s), -EFAULT);
	close_both();
	finish();
	munmap(p, 2 * page);
}
END_TEST

/* Takes n raw bytes off the server's end, so whole TLS records. */
static void
take_raw(size_t n)
{
	char buf[1024];
	size_t got = 0;
	ssize_t r;

	while (got < n) {
		r = recv(fd[0], buf, sizeof(buf), MSG_DONTWAIT);
		ck_assert(r > 0 || (r < 0 && errno == EAGAIN));
		got += r > 0 ? (size_t)r : 0;
		loop_turn(l, false);
	}
}

START_TEST(what_a_peer_took_before_it_was_lost_counts_as_sent)
{
	enum { RECORD = 16 << 10 };	/* the longest TLS has */
	static uint8_t lots[2 * RECORD];
	struct iovec v = { lots, sizeof(lots) };
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	struct tap s, r;
	int little = 2048;
	char c;

	both();
	connect_as("relay.test");
	tap_init(&s);
	tap_init(&r);
	ck_assert_int_eq(setsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &little,
	    sizeof(little)), 0);
	ck_assert_int_eq(setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &little,
	    sizeof(little)), 0);
	/* buffers that the kernel made before are used up first */
	loop_send(l, &s.op, fd[1], &v, 1);
	take_raw(sizeof(lots));
	if (s.n == 0)
		await(&s);
	s.n = 0;
	loop_recv(l, &r.op, fd[1], &c, 1);
	loop_send(l, &s.op, fd[1], &v, 1);
	take_raw(RECORD + 1000);
	ck_assert_uint_eq(s.n, 0);
	ck_assert_int_eq(connect(fd[0], &nobody, sizeof(nobody)), 0);
	if (r.n == 0)
		await(&r);
	ck_assert_int_eq(r.res, -ECONNRESET);
	if (s.n == 0)
		await(&s);
	ck_assert_int_ge(s.res, RECORD);
	loop_send(l, &s.op, fd[1], &v, 1);
	ck_assert_int_eq(await(&s), -ECONNRESET);
	close_both();
	finish();
}
END_TEST

/* ---- files ---- */

START_TEST(bad_files_are_told_by_name)
{
	static const struct {
		const char *cert, *key, *words;
	} row[] = {
		{ "none.pem", "s.key", "No such file" },
		{ "s.key", "s.key", "not a certificate" },
		{ "s.pem", "s.pem", "not a private key" },
		{ "s.pem", "c.key", "does not belong" },
	};
	size_t i;

	begin();
	issue("c.pem", "c.key", "agent.test", 30);
	for (i = 0; i < sizeof(row) / sizeof(*row); i++) {
		ck_assert_int_lt(make(&server, true, row[i].cert, row[i].key,
		    NULL), 0);
		ck_assert_msg(strstr(news, row[i].words) != NULL, "%s: %s",
		    row[i].words, news);
		ck_assert(strstr(news, dir) != NULL);
		unmake(&server);
	}
	finish();
}
END_TEST

/* Waits until files are looked at again. */
static void
a_second(void)
{
	struct tap t;

	tap_init(&t);
	loop_timer(l, &t.op, loop_now(l) + 1050000000u);
	ck_assert_int_eq(await(&t), 0);
}

START_TEST(a_renewed_certificate_is_used_and_a_bad_one_is_not)
{
	both();
	connect_as("relay.test");
	close_both();
	issue("s.pem", "s.key", "renewed.test", 30);
	a_second();
	connect_as("renewed.test");
	close_both();
	ck_assert_uint_eq(news_n, 1);

	issue("s.pem", "other.key", "third.test", 30);	/* half of a pair */
	a_second();
	connect_as("renewed.test");
	close_both();
	ck_assert_uint_eq(news_n, 2);
	ck_assert(strstr(news, "does not belong") != NULL);
	a_second();
	connect_as("renewed.test");
	close_both();
	ck_assert_uint_eq(news_n, 2);	/* told once */

	ck_assert_int_eq(rename(in_dir("other.key"), in_dir("s.key")), 0);
	a_second();
	connect_as("third.test");
	close_both();
	finish();
}
END_TEST

START_TEST(a_certificate_that_ends_soon_is_told_once)
{
	begin();
	issue("s.pem", "s.key", "relay.test", 5);
	ck_assert_int_eq(make(&server, true, "s.pem", "s.key", NULL), 0);
	ck_assert_uint_eq(news_n, 1);
	ck_assert(strstr(news, "ends on") != NULL);
	ck_assert_uint_gt(tls_expires(server), 1700000000u);
	finish();
}
END_TEST

void
tls_tests(TCase *tc)
{
	tcase_add_test(tc, bytes_go_both_ways_and_are_not_in_plain);
	tcase_add_test(tc, what_is_peeked_comes_again);
	tcase_add_test(tc, megabytes_arrive_whole_and_in_order);
	tcase_add_test(tc, a_close_is_told_and_a_cut_is_no_end);
	tcase_add_test(tc, a_certificate_for_another_name_is_refused);
	tcase_add_test(tc, a_certificate_of_another_ca_is_refused);
	tcase_add_test(tc, an_expired_certificate_is_refused);
	tcase_add_test(tc,
	    a_client_must_have_a_certificate_where_one_is_asked_for);
	tcase_add_test(tc, who_speaks_no_tls_is_told_apart);
	tcase_add_test(tc, a_handshake_can_be_cancelled_at_any_moment);
	tcase_add_test(tc,
	    a_peer_that_reads_nothing_does_not_hold_up_a_close);
	tcase_add_test(tc,
	    a_page_that_vanished_is_a_fault_and_what_lies_before_it_goes);
	tcase_add_test(tc,
	    what_a_peer_took_before_it_was_lost_counts_as_sent);
	tcase_add_test(tc, bad_files_are_told_by_name);
	tcase_add_test(tc,
	    a_renewed_certificate_is_used_and_a_bad_one_is_not);
	tcase_add_test(tc, a_certificate_that_ends_soon_is_told_once);
}
