/* SPDX-License-Identifier: ISC */
/*
 * test_serve.c - whole requests come in, answers go out, nothing grows
 *
 * How:      a raw client and the server on one loop, once with the epoll
 *           backend and once with io_uring where there is one.
 */
#include "http_rig.h"

#include <dirent.h>
#include <libdeflate.h>
#include <pthread.h>
#include <zstd.h>

#define BODY_MAX	(256u << 10)
#define BUDGET		(320u << 10)

enum how { ANSWER_NOW, KEEP };

static enum how how;
static struct serve_req *kept[64];
static unsigned kept_n;
static bool got_one;
static size_t got_len;
static char got[4096];			/* the start of the last body */
static unsigned got_n;

static void
on_req(void *arg, struct serve_req *req)
{
	struct bytes b = req_body(req);

	(void)arg;
	got_len = b.n;
	got_n++;
	(void)snprintf(got, sizeof(got), "%.*s", (int)(b.n < 4000 ? b.n :
	    4000), b.p == NULL ? "" : (const char *)b.p);
	got_one = true;
	if (how == KEEP) {
		ck_assert_uint_lt(kept_n, 64);
		kept[kept_n++] = req;
		return;
	}
	serve_answer(req, 201, "text/plain", BYTES("ok"), NULL, 0);
}

static const struct serve_conf conf = { .handler = on_req,
    .body_max = BODY_MAX, .budget_bytes = BUDGET, .connections_max = 8,
    .idle_ms = 1000 };

#define RIG()	do {							\
	how = ANSWER_NOW;						\
	kept_n = got_n = 0;						\
	got_one = false;						\
	rig_open(io_of(_i), &conf);					\
} while (0)

START_TEST(a_request_is_handed_over_whole_and_answered)
{
	struct client *c;

	RIG();
	c = client_open();
	client_text(c, "POST /a/b?x=1&y=%20z HTTP/1.1\r\nHost: h\r\n"
	    "Content-Type: text/x\r\nContent-Length: 5\r\n\r\nhe");
	rest_ns(20000000);
	ck_assert(!got_one);
	how = KEEP;
	client_text(c, "llo");
	turn_until(&got_one);
	ck_assert_str_eq(got, "hello");
	ck_assert_uint_eq(serve_pending(serve), 1);
	ck_assert_str_eq(req_method(kept[0]), "POST");
	ck_assert_str_eq(req_path(kept[0]), "/a/b");
	ck_assert_str_eq(req_query(kept[0], "x"), "1");
	ck_assert_str_eq(req_query(kept[0], "y"), " z");
	ck_assert_ptr_null(req_query(kept[0], "z"));
	ck_assert_str_eq(req_header(kept[0], "content-type"), "text/x");
	ck_assert_int_eq(req_peer(kept[0])->sa.ss_family, AF_INET);
	req_set_arg(kept[0], c);
	ck_assert_ptr_eq(req_arg(kept[0]), c);
	serve_answer(kept[0], 418, "text/tea", BYTES("short and stout"),
	    &(struct serve_header){ "X-Pot", "yes" }, 1);
	ck_assert_uint_eq(serve_pending(serve), 0);
	ck_assert_int_eq(client_answer(c), 418);
	ck_assert_str_eq(client_header(c, "X-Pot"), "yes");
	ck_assert_str_eq(client_header(c, "Content-Type"), "text/tea");
	ck_assert_str_eq(client_body(c), "short and stout");
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(a_connection_is_kept_and_requests_may_be_pipelined)
{
	struct client *c;
	unsigned i;

	RIG();
	c = client_open();
	for (i = 0; i < 3; i++) {
		client_post(c, "/", "", "x");
		ck_assert_int_eq(client_answer(c), 201);
	}
	for (i = 0; i < 10; i++)
		client_post(c, "/", "", "y");
	for (i = 0; i < 10; i++)
		ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(got_n, 13);
	client_text(c, "GET /health HTTP/1.1\r\nHost: h\r\n"
	    "Connection: close\r\n\r\n");
	ck_assert_int_eq(client_answer(c), 201);
	while (!c->eof)
		client_recv(c);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(later_answers_to_many_find_their_clients)
{
	struct client *c[8];
	char text[16];
	unsigned i;

	RIG();
	how = KEEP;
	for (i = 0; i < 8; i++) {
		c[i] = client_open();
		(void)snprintf(text, sizeof(text), "body %u", i);
		got_one = false;
		client_post(c[i], "/", "", text);
		turn_until(&got_one);
	}
	ck_assert_uint_eq(serve_pending(serve), 8);
	for (i = 8; i-- > 0;)
		serve_answer(kept[i], 200, NULL, req_body(kept[i]), NULL, 0);
	for (i = 0; i < 8; i++) {
		ck_assert_int_eq(client_answer(c[i]), 200);
		(void)snprintf(text, sizeof(text), "body %u", i);
		ck_assert_str_eq(client_body(c[i]), text);
		client_close(c[i]);
	}
	rig_close();
}
END_TEST

START_TEST(a_client_that_went_away_is_no_trouble)
{
	struct client *c;

	RIG();
	how = KEEP;
	c = client_open();
	client_post(c, "/", "", "x");
	turn_until(&got_one);
	client_close(c);
	rest_ns(20000000);
	serve_answer(kept[0], 200, NULL, BYTES("late"), NULL, 0);
	ck_assert_uint_eq(serve_pending(serve), 0);
	/* and one that leaves in the middle of its body */
	c = client_open();
	client_text(c, "POST / HTTP/1.1\r\nHost: h\r\n"
	    "Content-Length: 100000\r\n\r\nhalf");
	client_close(c);
	how = ANSWER_NOW;
	c = client_open();
	client_post(c, "/", "", "after");
	ck_assert_int_eq(client_answer(c), 201);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(a_half_closed_client_gets_its_answer)
{
	struct client *c;

	RIG();
	c = client_open();
	client_post(c, "/", "", "x");
	ck_assert_int_eq(shutdown(c->fd, SHUT_WR), 0);
	ck_assert_int_eq(client_answer(c), 201);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(chunked_bodies_are_put_together)
{
	struct client *c;
	char *big = malloc(100000), head[32];
	unsigned i;

	RIG();
	c = client_open();
	client_text(c, "POST / HTTP/1.1\r\nHost: h\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	client_text(c, "a;ext=1\r\n0123456789\r\n0\r\n\r\n");
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_str_eq(got, "abc0123456789");
	memset(big, 'b', 100000);
	client_text(c, "POST / HTTP/1.1\r\nHost: h\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n");
	for (i = 0; i < 2; i++) {
		(void)snprintf(head, sizeof(head), "%x\r\n", 100000);
		client_text(c, head);
		ck_assert_uint_eq(client_send(c, big, 100000), 100000);
		client_text(c, "\r\n");
	}
	client_text(c, "0\r\n\r\n");
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(got_len, 200000);
	free(big);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(expect_continue_is_answered)
{
	struct client *c;

	RIG();
	c = client_open();
	client_text(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
	    "Expect: 100-continue\r\n\r\n");
	ck_assert_int_eq(client_answer(c), 100);
	client_text(c, "abc");
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_str_eq(got, "abc");
	/* one too large is told so instead */
	client_text(c, "POST / HTTP/1.1\r\nHost: h\r\n"
	    "Content-Length: 300000\r\nExpect: 100-continue\r\n\r\n");
	ck_assert_int_eq(client_answer(c), 413);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_ingest_too_large), 1);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(a_body_is_as_large_as_allowed_and_no_larger)
{
	char *big = calloc(1, 3 * BODY_MAX);
	struct client *c;
	size_t n;

	RIG();
	c = client_open();
	for (n = BODY_MAX - 1; n <= BODY_MAX; n++) {
		client_post_bytes(c, "/", "", big, n);
		ck_assert_int_eq(client_answer(c), 201);
		ck_assert_uint_eq(got_len, n);
	}
	ck_assert_uint_eq(got_n, 2);
	/* the client that sends regardless reads its 413, no reset */
	client_post_bytes(c, "/", "", big, BODY_MAX + 1);
	ck_assert_int_eq(client_answer(c), 413);
	client_post_bytes(c, "/", "", big, 3 * BODY_MAX);
	ck_assert_int_eq(client_answer(c), 413);
	client_post(c, "/", "", "and on");
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(got_n, 3);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_ingest_too_large), 2);
	free(big);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(a_chunked_body_too_large_is_413_too)
{
	char *big = calloc(1, 70000);
	struct client *c;
	unsigned i;

	RIG();
	c = client_open();
	client_text(c, "POST / HTTP/1.1\r\nHost: h\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n");
	for (i = 0; i < 5; i++) {
		client_text(c, "10000\r\n");
		ck_assert_uint_eq(client_send(c, big, 65536), 65536);
		client_text(c, "\r\n");
	}
	client_text(c, "0\r\n\r\n");
	ck_assert_int_eq(client_answer(c), 413);
	ck_assert_uint_eq(got_n, 0);
	free(big);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(bodies_share_a_budget)
{
	char *big = calloc(1, BODY_MAX);
	struct client *a, *b;

	RIG();
	how = KEEP;
	a = client_open();
	b = client_open();
	client_post_bytes(a, "/", "", big, 200000);
	turn_until(&got_one);
	got_one = false;
	client_post_bytes(b, "/", "", big, 200000);
	ck_assert_int_eq(client_answer(b), 503);
	ck_assert_str_eq(client_header(b, "Retry-After"), "1");
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_ingest_busy), 1);
	/* what fits is taken */
	client_post_bytes(b, "/", "", big, BUDGET - 200000);
	turn_until(&got_one);
	got_one = false;
	serve_answer(kept[0], 200, NULL, BYTES(""), NULL, 0);
	serve_answer(kept[1], 200, NULL, BYTES(""), NULL, 0);
	ck_assert_int_eq(client_answer(a), 200);
	ck_assert_int_eq(client_answer(b), 200);
	client_post_bytes(b, "/", "", big, 200000);
	turn_until(&got_one);
	serve_answer(kept[2], 200, NULL, BYTES(""), NULL, 0);
	ck_assert_int_eq(client_answer(b), 200);
	free(big);
	client_close(a);
	client_close(b);
	rig_close();
}
END_TEST

/* text compressed; returned bytes are malloc'ed. */
static void *
packed(const char *how_, const void *p, size_t n, size_t *ret_n)
{
	struct libdeflate_compressor *z = libdeflate_alloc_compressor(6);
	size_t cap = n + 1000;
	void *out = malloc(cap);

	if (strcmp(how_, "gzip") == 0)
		*ret_n = libdeflate_gzip_compress(z, p, n, out, cap);
	else if (strcmp(how_, "deflate") == 0)
		*ret_n = libdeflate_zlib_compress(z, p, n, out, cap);
	else if (strcmp(how_, "raw") == 0)
		*ret_n = libdeflate_deflate_compress(z, p, n, out, cap);
	else
		*ret_n = ZSTD_compress(out, cap, p, n, 3);
	libdeflate_free_compressor(z);
	return out;
}

START_TEST(encoded_bodies_come_decoded)
{
	static const char *const kind[] = { "gzip", "deflate", "raw", "zstd" };
	char head[64], *text = malloc(200000);
	struct client *c;
	unsigned i;
	size_t n;
	void *z;

	for (i = 0; i < 200000; i++)
		text[i] = (char)('a' + i * i / 7 % 26);
	RIG();
	c = client_open();
	for (i = 0; i < 4; i++) {
		z = packed(kind[i], "hello hello", 11, &n);
		(void)snprintf(head, sizeof(head), "Content-Encoding: %s\r\n",
		    i == 2 ? "deflate" : kind[i]);
		client_post_bytes(c, "/", head, z, n);
		ck_assert_int_eq(client_answer(c), 201);
		ck_assert_str_eq(got, "hello hello");
		free(z);
		z = packed(kind[i], text, 200000, &n);
		client_post_bytes(c, "/", head, z, n);
		ck_assert_int_eq(client_answer(c), 201);
		ck_assert_uint_eq(got_len, 200000);
		ck_assert_int_eq(memcmp(got, text, 4000), 0);
		/* cut off in the middle it is a bad request */
		client_post_bytes(c, "/", head, z, n / 2);
		ck_assert_int_eq(client_answer(c), 400);
		free(z);
	}
	client_post(c, "/", "Content-Encoding: gzip\r\n", "this is not gzip");
	ck_assert_int_eq(client_answer(c), 400);
	client_post(c, "/", "Content-Encoding: br\r\n", "x");
	ck_assert_int_eq(client_answer(c), 415);
	client_post(c, "/", "Content-Encoding: identity\r\n", "plain");
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_ingest_bad_request), 6);
	free(text);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(gzip_of_several_members_is_one_body)
{
	struct client *c;
	size_t a, b;
	char *x, *y;

	RIG();
	c = client_open();
	x = packed("gzip", "one ", 4, &a);
	y = packed("gzip", "two", 3, &b);
	memcpy(x + a, y, b);
	client_post_bytes(c, "/", "Content-Encoding: gzip\r\n", x, a + b);
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_str_eq(got, "one two");
	free(x);
	free(y);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(a_bomb_is_refused)
{
	static const char *const kind[] = { "gzip", "zstd" };
	char *zeros = calloc(1, 8u << 20), head[64];
	struct client *c;
	unsigned i;
	size_t n;
	void *z;

	RIG();
	c = client_open();
	for (i = 0; i < 2; i++) {
		z = packed(kind[i], zeros, 8u << 20, &n);
		ck_assert_uint_lt(n, BUDGET - BODY_MAX);
		(void)snprintf(head, sizeof(head), "Content-Encoding: %s\r\n",
		    kind[i]);
		client_post_bytes(c, "/", head, z, n);
		ck_assert_int_eq(client_answer(c), 413);
		free(z);
	}
	ck_assert_uint_eq(got_n, 0);
	free(zeros);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(what_is_no_http_is_400_and_closed)
{
	struct client *c;

	RIG();
	c = client_open();
	client_text(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n"
	    "\r\n");
	ck_assert_int_ge(client_answer(c), 400);
	client_close(c);
	c = client_open();
	client_text(c, "\x01\x02\x03 garbage\r\n\r\n");
	(void)client_answer(c);
	while (!c->eof)
		client_recv(c);
	client_close(c);
	ck_assert_uint_eq(got_n, 0);
	rig_close();
}
END_TEST

START_TEST(connections_are_bounded)
{
	struct client *c[9];
	unsigned i;

	RIG();
	for (i = 0; i < 9; i++)
		c[i] = client_open();
	for (i = 0; i < 8; i++) {
		client_post(c[i], "/", "", "x");
		ck_assert_int_eq(client_answer(c[i]), 201);
	}
	ck_assert_int_eq(client_answer(c[8]), 0);
	for (i = 0; i < 9; i++)
		client_close(c[i]);
	rig_close();
}
END_TEST

START_TEST(idle_connections_are_closed)
{
	struct client *c;

	RIG();
	c = client_open();
	client_post(c, "/", "", "x");
	ck_assert_int_eq(client_answer(c), 201);
	/* nobody else wakes the loop: the timer must */
	while (!c->eof)
		client_recv(c);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(close_waits_for_answers_and_no_longer)
{
	struct client *busy, *idle, *slow;

	RIG();
	how = KEEP;
	busy = client_open();
	idle = client_open();
	slow = client_open();
	client_post(idle, "/", "", "x");
	turn_until(&got_one);
	serve_answer(kept[0], 200, NULL, BYTES(""), NULL, 0);
	ck_assert_int_eq(client_answer(idle), 200);
	client_text(slow, "POST / HTTP/1.1\r\nHost: h\r\n"
	    "Content-Length: 10\r\n\r\nhalf");
	got_one = false;
	client_post(busy, "/", "", "y");
	turn_until(&got_one);
	serve_close(serve, on_closed, &serve_is_closed);
	rest_ns(20000000);
	ck_assert(!serve_is_closed);
	serve_answer(kept[1], 200, NULL, BYTES("bye"), NULL, 0);
	turn_until(&serve_is_closed);
	ck_assert_int_eq(client_answer(busy), 200);
	ck_assert_str_eq(client_body(busy), "bye");
	ck_assert_str_eq(client_header(busy, "Connection"), "close");
	client_close(busy);
	client_close(idle);
	client_close(slow);
	rig_close();
}
END_TEST

static unsigned
threads(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

START_TEST(no_thread_is_made)
{
	struct client *c;
	unsigned before;

	ck_assert_int_eq(loop_new(&loop, io_of(_i), NULL), 0);
	before = threads();
	loop_free(&loop);
	RIG();
	c = client_open();
	client_post(c, "/", "", "x");
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(threads(), before);
	client_close(c);
	rig_close();
}
END_TEST

/* Fails each allocation in turn: refused somehow, never a crash or a leak. */
static unsigned alloc_left;

static void *
failing_alloc(void *arg, size_t n)
{
	(void)arg;
	if (alloc_left == 0)
		return NULL;
	alloc_left--;
	return calloc(1, n);
}

START_TEST(without_memory_it_refuses_and_goes_on)
{
	void *(*good)(void *, size_t);
	struct client *c;
	unsigned n;
	size_t zn;
	void *z = packed("gzip", "hello", 5, &zn);

	RIG();
	good = env.alloc;
	for (n = 0; n < 4; n++) {
		c = client_open();
		alloc_left = n;
		env.alloc = failing_alloc;
		client_post_bytes(c, "/", "Content-Encoding: gzip\r\n", z, zn);
		ck_assert_int_eq(client_answer(c),
		    n == 0 ? 0 : n < 3 ? 503 : 201);
		env.alloc = good;
		client_close(c);
	}
	free(z);
	rig_close();
}
END_TEST

int
main(void)
{
	TCase *c = tcase_create("all");

#define ADD(t) tcase_add_loop_test(c, t, io_first(), io_end())
	ADD(a_request_is_handed_over_whole_and_answered);
	ADD(a_connection_is_kept_and_requests_may_be_pipelined);
	ADD(later_answers_to_many_find_their_clients);
	ADD(a_client_that_went_away_is_no_trouble);
	ADD(a_half_closed_client_gets_its_answer);
	ADD(chunked_bodies_are_put_together);
	ADD(expect_continue_is_answered);
	ADD(a_body_is_as_large_as_allowed_and_no_larger);
	ADD(a_chunked_body_too_large_is_413_too);
	ADD(bodies_share_a_budget);
	ADD(encoded_bodies_come_decoded);
	ADD(gzip_of_several_members_is_one_body);
	ADD(a_bomb_is_refused);
	ADD(what_is_no_http_is_400_and_closed);
	ADD(connections_are_bounded);
	ADD(idle_connections_are_closed);
	ADD(close_waits_for_answers_and_no_longer);
	ADD(no_thread_is_made);
	ADD(without_memory_it_refuses_and_goes_on);
	return rig_main("serve", c);
}
