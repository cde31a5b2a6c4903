/* SPDX-License-Identifier: ISC */
/*
 * test_guard.c - who may use a hop: certificates and the shared key
 *
 * Claims: records pass TLS, the key and both together as they pass a plain
 * hop; who lacks one, or has another one, is refused, told so in words and
 * counted, and hands over nothing; Forward's handshake is what Fluentd and
 * Fluent Bit say and expect, byte for byte, in whatever pieces it comes; one
 * port still tells HTTP, Forward and TLS apart; a close at any step ends.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/cert.h"
#include "forward/mp.h"
#include "hop/greet.h"
#include "hop_rig.h"
#include "loop/tls.h"

static struct rig rig;
static struct cert_pem ca;
static struct tls *server, *client;
static const struct hop_key key_out = { "geheim", "", "", "to:a" };
static const struct hop_key key_in = { "geheim", "", "", "at:r" };
static const struct hop_key key_other = { "wrong", "", "", "to:a" };
static const struct hop_key user_out = { "geheim", "fleet", "pw", "to:a" };
static const struct hop_key user_in = { "geheim", "fleet", "pw", "at:r" };
static const struct hop_key user_bad = { "geheim", "fleet", "pW", "to:a" };

/* ---- identities ---- */

static const char *
in_dir(const char *name)
{
	static char path[3][160];
	static unsigned n;

	n = (n + 1) % 3;
	snprintf(path[n], sizeof(path[n]), "%s.%s", rig.dir, name);
	return path[n];
}

static void
put_file(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void
made(void *arg, int res, const char *why)
{
	ck_assert_msg(res == 0, "%s", why);
	*(bool *)arg = true;
}

static struct tls *
make(struct env *env, const struct tls_conf *conf)
{
	struct tls *t;
	bool done = false;

	ck_assert_int_eq(tls_new(&t, env, conf), 0);
	tls_open(t, made, &done);
	while (!done)
		loop_turn(rig.loop, true);
	return t;
}

static void
unmade(void *arg)
{
	*(bool *)arg = true;
}

static void
unmake(struct tls **t)
{
	bool done = false;

	if (*t == NULL)
		return;
	tls_close(*t, unmade, &done);
	while (!done)
		loop_turn(rig.loop, true);
	tls_free(t);
}

static void
make_both(bool clients)
{
	const char *names[] = { "relay.test" };
	struct cert_pem c;
	struct tls_conf conf;

	ck_assert_int_eq(cert_make_ca("test", 30, &ca), 0);
	ck_assert_int_eq(cert_issue(&ca, names, 1, 30, &c), 0);
	put_file("ca", ca.cert);
	put_file("crt", c.cert);
	put_file("key", c.key);
	cert_free(&c);
	cert_free(&ca);
	conf = (struct tls_conf){ .server = true, .cert = in_dir("crt"),
	    .key = in_dir("key"), .ca = clients ? in_dir("ca") : NULL };
	server = make(&rig.env, &conf);
	conf = (struct tls_conf){ .ca = in_dir("ca") };
	client = make(&rig.out, &conf);
}

/* ---- a sender of one lane ---- */

static struct out {
	struct sender	*sender;
	struct lane	 lane;
	struct hop_chunk hc;
	size_t		 at;		/* records acknowledged */
	unsigned	 ups, downs, missed;
	char		 words[256];
	bool		 closed;
} out;

static void
more(void)
{
	size_t n = out.lane.records - out.at;

	if (n == 0)
		return;
	out.hc.chunk = lane_chunk(&out.lane, out.at, n < 50 ? n : 50);
	ck_assert_int_eq(sender_send(out.sender, &out.hc), 0);
}

static void
chunk_done(struct hop_chunk *hc, int res)
{
	if (res != 0)
		return;
	out.at += hc->chunk.records;
	more();
}

static void
up(void *arg)
{
	out.ups++;
	more();
}

static void
keep_words(void)
{
	snprintf(out.words, sizeof(out.words), "%s",
	    sender_words(out.sender));
}

static void
down(void *arg, int why)
{
	out.downs += sender_is_news(out.sender);
	keep_words();
}

static void
missed(void *arg, int why)
{
	out.missed++;
	keep_words();
}

static void
out_start(const char *scheme, const struct hop_key *key)
{
	char peers[128];
	struct sender_conf conf = { .peers = peers, .agent_id = "test",
	    .up = up, .down = down, .missed = missed,
	    .shake = { .tls = client, .name = "relay.test", .key = key } };

	snprintf(peers, sizeof(peers), "%s%s", scheme, rig.addr);
	out = (struct out){ .hc = { .done = chunk_done } };
	lane_init(&out.lane, &rig, 500, 300);
	ck_assert_int_eq(sender_new(&out.sender, &rig.out, &conf), 0);
	sender_start(out.sender);
}

static void
out_closed(void *arg)
{
	out.closed = true;
}

static void
out_end(void)
{
	sender_close(out.sender, out_closed, NULL);
	while (!out.closed)
		loop_turn(rig.loop, true);
	sender_free(&out.sender);
	lane_fini(&out.lane);
}

static bool
all_acked(struct rig *r, void *arg)
{
	return out.at == out.lane.records;
}

static bool
is_told(struct rig *r, void *arg)
{
	return out.missed + out.downs > 0;
}

static void
arrives(const char *scheme, const struct hop_key *key)
{
	out_start(scheme, key);
	rig_until(&rig, all_acked, NULL);
	ck_assert_uint_eq(out.missed + out.downs, 0);
	rig_expect_lane(&rig, &out.lane);
	out_end();
}

static void
is_refused(const char *scheme, const struct hop_key *key, const char *words)
{
	out_start(scheme, key);
	rig_until(&rig, is_told, NULL);
	ck_assert_msg(strstr(out.words, words) != NULL, "'%s'", out.words);
	ck_assert_uint_eq(out.at, 0);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_records), 0);
	out_end();
}

static void
port_is(enum port_tls secure, const struct hop_key *key)
{
	rig.pconf.secure = secure;
	rig.pconf.tls = server;
	rig.pconf.key = key;
	rig_start(&rig);
}

static void
setup(void)
{
	rig_init(&rig);
	server = client = NULL;
}

static void
teardown(void)
{
	rig_fini(&rig);
}

/* Their tls outlives the connections, and the loop both. */
static void
rest(void)
{
	rig_stop(&rig);
	unmake(&server);
	unmake(&client);
	unlink(in_dir("ca"));
	unlink(in_dir("crt"));
	unlink(in_dir("key"));
}

/* ---- a whole hop ---- */

START_TEST(records_pass_whatever_guards_the_hop)
{
	static const struct {
		enum port_tls secure;
		const char *scheme;
		const struct hop_key *in, *out;
		bool forward_only;
	} row[] = {
		{ PORT_TLS, "tls://", NULL, NULL, false },
		{ PORT_BOTH, "tls://", NULL, NULL, false },
		{ PORT_BOTH, "", NULL, NULL, false },
		{ PORT_PLAIN, "", &key_in, &key_out, true },
		{ PORT_PLAIN, "tcp://", &key_in, &key_out, false },
		{ PORT_TLS, "tls://", &key_in, &key_out, true },
		{ PORT_BOTH, "tls://", &user_in, &user_out, true },
		{ PORT_BOTH, "", &user_in, &user_out, true },
	};

	make_both(false);
	rig.forward_only = row[_i].forward_only;
	port_is(row[_i].secure, row[_i].in);
	arrives(row[_i].scheme, row[_i].out);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_tls_handshakes),
	    strcmp(row[_i].scheme, "tls://") == 0);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_key_refused), 0);
	rest();
}
END_TEST
#define HOPS 8

START_TEST(a_wrong_key_is_refused_in_words_once)
{
	rig.forward_only = true;
	port_is(PORT_PLAIN, &key_in);
	is_refused("", &key_other, "shared_key mismatch");
	ck_assert_uint_ge(rig_ctr(&rig, CTR_recv_key_refused), 1);
	rest();
}
END_TEST

START_TEST(a_refusal_is_told_once_however_often_it_comes)
{
	rig.forward_only = true;
	port_is(PORT_PLAIN, &key_in);
	out_start("", &key_other);
	rig_until_ctr(&rig, CTR_recv_key_refused, 4);
	ck_assert_uint_eq(out.missed + out.downs, 1);
	out_end();
	rest();
}
END_TEST

START_TEST(a_wrong_password_is_refused_in_words)
{
	rig.forward_only = true;
	port_is(PORT_PLAIN, &user_in);
	is_refused("", &user_bad, "username/password mismatch");
	rest();
}
END_TEST

START_TEST(a_sender_without_key_is_told_to_get_one)
{
	rig.forward_only = true;
	port_is(PORT_PLAIN, &key_in);
	is_refused("", NULL, "set common.shared_key");
	rest();
}
END_TEST

START_TEST(a_sender_with_a_key_wants_to_be_asked_for_it)
{
	port_is(PORT_PLAIN, NULL);
	is_refused("", &key_out, "must be set on both sides");
	rest();
}
END_TEST

START_TEST(another_name_in_the_certificate_is_refused)
{
	struct sender_conf conf = { .peers = NULL, .agent_id = "test",
	    .up = up, .down = down, .missed = missed };
	char peers[128];

	make_both(false);
	port_is(PORT_TLS, NULL);
	snprintf(peers, sizeof(peers), "tls://%s", rig.addr);
	conf.peers = peers;
	conf.shake.tls = client;
	out = (struct out){ .hc = { .done = chunk_done } };
	lane_init(&out.lane, &rig, 5, 30);
	ck_assert_int_eq(sender_new(&out.sender, &rig.out, &conf), 0);
	sender_start(out.sender);
	rig_until(&rig, is_told, NULL);
	ck_assert_msg(strstr(out.words, "mismatch") != NULL, "%s", out.words);
	ck_assert_uint_ge(ctr_get(&rig.out.ctr, CTR_tls_failed), 1);
	out_end();
	rest();
}
END_TEST

START_TEST(a_client_without_certificate_is_refused_where_one_is_wanted)
{
	make_both(true);
	port_is(PORT_TLS, NULL);
	is_refused("tls://", NULL, "certificate required");
	ck_assert_uint_ge(rig_ctr(&rig, CTR_tls_failed), 1);
	rest();
}
END_TEST

START_TEST(a_plain_peer_is_refused_where_tls_is_wanted)
{
	make_both(false);
	port_is(PORT_TLS, NULL);
	out_start("", NULL);
	rig_until_ctr(&rig, CTR_recv_plain_refused, 1);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_records), 0);
	out_end();
	rest();
}
END_TEST

START_TEST(tls_is_refused_where_there_is_none)
{
	make_both(false);
	port_is(PORT_PLAIN, NULL);
	out_start("tls://", NULL);
	rig_until_ctr(&rig, CTR_recv_tls, 1);
	ck_assert_uint_eq(out.ups, 0);
	out_end();
	rest();
}
END_TEST

/* ---- raw peers ---- */

static const uint8_t helo_head[] = "\x92\xa4HELO\x83\xa5nonce\xc4\x10";

/* Reads our HELO; keeps its nonce. */
static void
expect_helo(int fd, uint8_t nonce[16])
{
	size_t i;
	uint8_t b;

	rig_expect(&rig, fd, bytes_of(helo_head, sizeof(helo_head) - 1));
	for (i = 0; i < 16; i++) {
		while (recv(fd, &b, 1, MSG_DONTWAIT) != 1)
			loop_turn(rig.loop, true);
		nonce[i] = b;
	}
	rig_expect(&rig, fd, BYTES("\xa4" "auth\xa0\xa9keepalive\xc3"));
}

static size_t
ping_for(const uint8_t nonce[16], uint8_t ping[KEY_OUT_MAX])
{
	static const struct hop_key web = { "geheim", "", "", "web1" };
	struct key_helo h = { .nonce_len = 16 };

	memcpy(h.nonce, nonce, 16);
	return key_write_ping(&web, &h, "0123456789abcdef0123456789abcdef",
	    ping);
}

START_TEST(the_handshake_comes_in_any_pieces)
{
	uint8_t nonce[16], ping[KEY_OUT_MAX];
	size_t i, n;
	int fd;

	rig.forward_only = true;
	port_is(PORT_PLAIN, &key_in);
	fd = rig_client(&rig);
	expect_helo(fd, nonce);
	n = ping_for(nonce, ping);
	for (i = 0; i < n; i++) {
		rig_send(&rig, fd, bytes_of(ping + i, 1));
		loop_turn(rig.loop, false);
	}
	rig_expect(&rig, fd, BYTES("\x95\xa4PONG\xc3\xa0\xa4" "at:r\xd9\x80"));
	close(fd);
	rest();
}
END_TEST

START_TEST(bytes_behind_a_ping_are_refused)
{
	uint8_t nonce[16], ping[KEY_OUT_MAX + 1];
	size_t n;
	int fd;

	rig.forward_only = true;
	port_is(PORT_PLAIN, &key_in);
	fd = rig_client(&rig);
	expect_helo(fd, nonce);
	n = ping_for(nonce, ping);
	ping[n] = 0x93;
	rig_send(&rig, fd, bytes_of(ping, n + 1));
	rig_expect_end(&rig, fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_key_refused), 1);
	close(fd);
	rest();
}
END_TEST

START_TEST(a_ping_without_end_is_bounded)
{
	uint8_t nonce[16], big[2 * KEY_IN_MAX] = "\x96\xa4PING\xda\x40\x00";
	int fd;

	rig.forward_only = true;
	port_is(PORT_PLAIN, &key_in);
	fd = rig_client(&rig);
	expect_helo(fd, nonce);
	rig_send(&rig, fd, bytes_of(big, sizeof(big)));
	rig_expect_end(&rig, fd);
	close(fd);
	rest();
}
END_TEST

START_TEST(a_port_for_http_too_speaks_first_only_after_silence)
{
	uint8_t nonce[16];
	int fd;

	port_is(PORT_PLAIN, &key_in);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("POST / HTTP/1.1\r\n\r\n"));
	while (rig.http_fd < 0)
		loop_turn(rig.loop, true);
	rig_expect_nothing(fd);
	close(fd);
	/* who begins with Forward has no key */
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("\x93\xa1t"));
	rig_until_ctr(&rig, CTR_recv_key_refused, 1);
	rig_expect_end(&rig, fd);
	close(fd);
	fd = rig_client(&rig);
	expect_helo(fd, nonce);
	close(fd);
	rest();
}
END_TEST

static void
step_over(struct op *op)
{
	*(bool *)op->arg = true;
}

static int64_t
await(struct op *op, bool *over)
{
	while (!*over)
		loop_turn(rig.loop, true);
	*over = false;
	return op->res;
}

START_TEST(http_inside_tls_is_handed_on_as_plain_bytes)
{
	struct iovec iov = { (void *)(uintptr_t)"GET / HTTP/1.1\r\n\r\n", 18 };
	uint8_t got[32];
	bool over = false;
	struct op op;
	int fd;

	make_both(false);
	port_is(PORT_BOTH, &key_in);
	op_init(&op, step_over, &over);
	loop_connect(rig.loop, &op, port_bound(rig.port));
	fd = (int)await(&op, &over);
	ck_assert_int_ge(fd, 0);
	loop_tls(rig.loop, &op, fd, client, "relay.test", NULL);
	ck_assert_int_eq(await(&op, &over), 0);
	loop_send(rig.loop, &op, fd, &iov, 1);
	ck_assert_int_eq(await(&op, &over), 18);
	while (rig.http_fd < 0)
		loop_turn(rig.loop, true);
	rig_expect(&rig, rig.http_fd, BYTES("GET / HTTP/1.1\r\n\r\n"));
	rig_send(&rig, rig.http_fd, BYTES("HTTP/1.1 200\r\n"));
	loop_recv(rig.loop, &op, fd, got, sizeof(got));
	ck_assert_int_eq(await(&op, &over), 14);
	ck_assert_int_eq(memcmp(got, "HTTP/1.1 200\r\n", 14), 0);
	loop_close(rig.loop, &op, fd);
	(void)await(&op, &over);
	rest();
}
END_TEST

START_TEST(a_silent_guest_is_closed_in_time)
{
	int fd;

	make_both(false);
	rig.forward_only = true;
	rig.pconf.first_byte_ms = 50;
	port_is(PORT_TLS, &key_in);
	fd = rig_client(&rig);
	rig_expect_end(&rig, fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_key_refused), 0);
	close(fd);
	rest();
}
END_TEST

/* At each step: nothing said, within TLS, asked for the key. */
START_TEST(a_port_closes_whatever_its_guests_do)
{
	uint8_t nonce[16];
	int fd;

	make_both(false);
	rig.forward_only = _i != 0;
	port_is(_i == 2 ? PORT_PLAIN : PORT_BOTH, _i == 2 ? &key_in : NULL);
	fd = rig_client(&rig);
	if (_i == 1)
		rig_send(&rig, fd, BYTES("\x16\x03\x01"));
	if (_i == 2)
		expect_helo(fd, nonce);
	loop_turn(rig.loop, false);
	rest();
	close(fd);
}
END_TEST

START_TEST(a_sender_closes_at_each_step_of_the_handshake)
{
	int i;

	make_both(false);
	rig.forward_only = true;
	port_is(PORT_TLS, &key_in);
	for (i = 0; i < 60; i++) {
		unsigned turns = (unsigned)i;

		out_start("tls://", i % 2 == 0 ? &key_out : &key_other);
		while (turns-- > 0)
			loop_turn(rig.loop, false);
		out_end();
	}
	rest();
}
END_TEST

/* ---- the four messages ---- */

/* Digests by sha512sum of the concatenated texts. */
static const char digest_web[] =
    "2b2c882b862b072e3a0033c85ce9b19d1ac604b28acb8f23534fdc3df1504a27"
    "c9a003def704d9ec49f8f705d16025616f9c71d0477afc17d42d20bd25176f02";
static const char digest_relay[] =
    "e8a5e0d6edeb22f64bbdc36391fbe4e8e5170a05f499a78da3f316eb6708828a"
    "f1687cdf95ca205c579751aec73d0983870475cf9d40f0f4af9eeb93790bfebe";
static const char digest_user[] =
    "ea44fb3bf4eeba9ec983cd0050a578b96621b10f4f8134e03d4a10dc89f81175"
    "3988766416565fa5075314c59e110437af9eaf29a3df1a7200a61214dd572ae8";
static const char salt[] = "0123456789abcdef0123456789abcdef";

static struct key_helo
known_helo(bool user)
{
	struct key_helo h = { .nonce_len = 16, .auth_len = user ? 16 : 0 };
	uint8_t i;

	for (i = 0; i < 16; i++) {
		h.nonce[i] = i;
		h.auth[i] = (uint8_t)(16 + i);
	}
	return h;
}

START_TEST(digests_are_forwards)
{
	static const struct hop_key web = { "geheim", "fleet", "pw", "web1" };
	static const struct hop_key relay = { "geheim", "fleet", "pw",
	    "at:relay" };
	struct key_helo h = known_helo(true);
	struct key_ping p;
	uint8_t buf[KEY_OUT_MAX], say[KEY_SAY_MAX];
	char why[KEY_WHY];
	const char *no = NULL;
	size_t n, used;

	n = key_write_ping(&web, &h, salt, buf);
	ck_assert_ptr_nonnull(memmem(buf, n, digest_web, 128));
	ck_assert_ptr_nonnull(memmem(buf, n, digest_user, 128));
	ck_assert_int_eq(key_read_ping(&relay, &h, bytes_of(buf, n), &p, &used,
	    &no), 0);
	ck_assert_uint_eq(used, n);
	n = key_write_pong(&relay, &h, &p, NULL, say);
	ck_assert_ptr_nonnull(memmem(say, n, digest_relay, 128));
	ck_assert_int_eq(key_read_pong(&web, &h, salt, bytes_of(say, n),
	    &used, why), 0);
}
END_TEST

START_TEST(a_helo_of_fluentd_or_fluent_bit_is_understood)
{
	struct bytes of[] = {
		BYTES("\x92\xa4HELO\x83\xa5nonce\xc4\x10" "0123456789abcdef"
		    "\xa4" "auth\xc4\x10" "fedcba9876543210\xa9keepalive\xc3"),
		BYTES("\x92\xa4HELO\x82\xa5nonce\xb0" "0123456789abcdef"
		    "\xa4" "auth\xa0"),
	};
	struct key_helo h;
	size_t i, n, used;

	for (i = 0; i < 2; i++) {
		for (n = 0; n < of[i].n; n++)
			ck_assert_int_eq(key_read_helo(bytes_of(of[i].p, n),
			    &h, &used), -EAGAIN);
		ck_assert_int_eq(key_read_helo(of[i], &h, &used), 0);
		ck_assert_uint_eq(used, of[i].n);
		ck_assert_int_eq(memcmp(h.nonce, "0123456789abcdef", 16), 0);
		ck_assert_uint_eq(h.auth_len, i == 0 ? 16 : 0);
	}
	ck_assert_int_eq(key_read_helo(BYTES("\x92\xa4HALO\x80"), &h, &used),
	    -EBADMSG);
	ck_assert_int_eq(key_read_helo(BYTES("\x92\xa4HELO\x80"), &h, &used),
	    -EBADMSG);
}
END_TEST

START_TEST(each_changed_byte_of_a_ping_is_refused)
{
	static const struct hop_key web = { "geheim", "", "", "web1" };
	struct key_helo h = known_helo(false);
	struct key_ping p;
	uint8_t buf[KEY_OUT_MAX];
	const char *no;
	size_t n, i, used;

	n = key_write_ping(&web, &h, salt, buf);
	/* behind the digest stand user and its digest, which are not asked */
	for (i = 0; i < n - 2; i++) {
		buf[i] ^= 1;
		ck_assert_int_lt(key_read_ping(&key_in, &h, bytes_of(buf, n),
		    &p, &used, &no), 0);
		buf[i] ^= 1;
	}
	ck_assert_int_eq(key_read_ping(&key_in, &h, bytes_of(buf, n), &p,
	    &used, &no), 0);
}
END_TEST

START_TEST(a_pong_that_only_mirrors_is_refused)
{
	static const struct hop_key web = { "geheim", "", "", "web1" };
	struct key_helo h = known_helo(false);
	struct key_ping p = { .salt_len = 32 };
	uint8_t say[KEY_SAY_MAX];
	char why[KEY_WHY];
	size_t n, used;

	memcpy(p.salt, salt, 32);
	n = key_write_pong(&web, &h, &p, NULL, say);
	ck_assert_int_eq(key_read_pong(&web, &h, salt, bytes_of(say, n), &used,
	    why), -EACCES);
	ck_assert(strstr(why, "as we do") != NULL);
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("guard");
	Suite *s = suite_create("guard");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, records_pass_whatever_guards_the_hop, 0, HOPS);
	tcase_add_test(tc, a_wrong_key_is_refused_in_words_once);
	tcase_add_test(tc, a_refusal_is_told_once_however_often_it_comes);
	tcase_add_test(tc, a_wrong_password_is_refused_in_words);
	tcase_add_test(tc, a_sender_without_key_is_told_to_get_one);
	tcase_add_test(tc, a_sender_with_a_key_wants_to_be_asked_for_it);
	tcase_add_test(tc, another_name_in_the_certificate_is_refused);
	tcase_add_test(tc,
	    a_client_without_certificate_is_refused_where_one_is_wanted);
	tcase_add_test(tc, a_plain_peer_is_refused_where_tls_is_wanted);
	tcase_add_test(tc, tls_is_refused_where_there_is_none);
	tcase_add_test(tc, the_handshake_comes_in_any_pieces);
	tcase_add_test(tc, bytes_behind_a_ping_are_refused);
	tcase_add_test(tc, a_ping_without_end_is_bounded);
	tcase_add_test(tc,
	    a_port_for_http_too_speaks_first_only_after_silence);
	tcase_add_test(tc, http_inside_tls_is_handed_on_as_plain_bytes);
	tcase_add_test(tc, a_silent_guest_is_closed_in_time);
	tcase_add_loop_test(tc, a_port_closes_whatever_its_guests_do, 0, 3);
	tcase_add_test(tc, a_sender_closes_at_each_step_of_the_handshake);
	tcase_add_test(tc, digests_are_forwards);
	tcase_add_test(tc, a_helo_of_fluentd_or_fluent_bit_is_understood);
	tcase_add_test(tc, each_changed_byte_of_a_ping_is_refused);
	tcase_add_test(tc, a_pong_that_only_mirrors_is_refused);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
