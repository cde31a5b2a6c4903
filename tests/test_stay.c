/* SPDX-License-Identifier: ISC */
/*
 * test_stay.c - a request stays in its socket until it is answered, and
 * sockets go from one process to the next
 *
 * How:      heads as bytes; then a raw client and a server on one loop that
 *           was told to outlive, whose socket the test looks into.
 */
#include "http_rig.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "loop/stay.h"
#include "loop/stay_head.h"

#define BODY_MAX	(256u << 10)
#define BUDGET		(320u << 10)
#define PLAIN	"POST /a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" \
		"Content-Type: application/json\r\nConnection: close\r\n\r\nhello"

/* ---- heads ---- */

static enum head_kind
kind_of(const char *text, struct head *h, size_t *ret_need)
{
	return head_read(h, (const uint8_t *)text, strlen(text), ret_need);
}

START_TEST(each_part_of_a_request_wants_more_and_the_whole_is_whole)
{
	const size_t all = sizeof(PLAIN) - 1;
	struct head h;
	size_t need, n;

	for (n = 0; n < all; n++) {
		ck_assert_int_eq(head_read(&h, (const uint8_t *)PLAIN, n,
		    &need), HEAD_PART);
		ck_assert_uint_gt(need, n);
		ck_assert_uint_le(need, all);
	}
	ck_assert_int_eq(kind_of(PLAIN, &h, &need), HEAD_WHOLE);
	ck_assert_uint_eq(h.len, all - 5);
	ck_assert_uint_eq(h.body_n, 5);
	ck_assert_str_eq(h.method, "POST");
}
END_TEST

START_TEST(its_values_are_found_whatever_their_case)
{
	char text[] = PLAIN;
	struct head h;
	size_t need;

	ck_assert_int_eq(kind_of(text, &h, &need), HEAD_WHOLE);
	head_cut(&h, (uint8_t *)text);
	ck_assert_str_eq(h.path, "/a/b");
	ck_assert_str_eq(head_find(&h, (uint8_t *)text, "content-TYPE"),
	    "application/json");
	ck_assert_str_eq(head_find(&h, (uint8_t *)text, "Host"), "x");
	ck_assert_str_eq(head_find(&h, (uint8_t *)text, "Connection"),
	    "close");
	ck_assert_ptr_null(head_find(&h, (uint8_t *)text, "Content"));
	ck_assert_ptr_null(head_find(&h, (uint8_t *)text, "Emplog-Ack"));
	ck_assert_str_eq(text + h.len, "hello");
}
END_TEST

#define END	"\r\n\r\nhello"
#define L5	"Content-Length: 5\r\n"
#define HC	"Host: x\r\nConnection: close\r\n"
static const char *const others[] = {
	"GET / HTTP/1.1\r\n" HC L5 "A: b" END,
	"PATCH / HTTP/1.1\r\n" HC L5 "A: b" END,
	"POST / HTTP/1.0\r\n" HC L5 "A: b" END,
	"POST /?a=b HTTP/1.1\r\n" HC L5 "A: b" END,
	"POST /%41 HTTP/1.1\r\n" HC L5 "A: b" END,
	"POST http://x/ HTTP/1.1\r\n" HC L5 "A: b" END,
	"POST / a HTTP/1.1\r\n" HC L5 "A: b" END,
	"POST / HTTP/1.1\r\n" HC "A: b" END,
	"POST / HTTP/1.1\r\n" HC L5 L5 "A: b" END,
	"POST / HTTP/1.1\r\n" HC "Content-Length: +5\r\nA: b" END,
	"POST / HTTP/1.1\r\n" HC "Content-Length: 5, 5\r\nA: b" END,
	"POST / HTTP/1.1\r\n" HC "Content-Length:\r\nA: b" END,
	"POST / HTTP/1.1\r\n" HC "Content-Length: 99999999\r\nA: b" END,
	"POST / HTTP/1.1\r\n" HC L5 "Transfer-Encoding: chunked" END,
	"POST / HTTP/1.1\r\n" HC L5 "content-encoding: gzip" END,
	"POST / HTTP/1.1\r\n" HC L5 "Expect: 100-continue" END,
	"POST / HTTP/1.1\r\n" HC L5 "Upgrade: h2c" END,
	"POST / HTTP/1.1\r\n" HC L5 "A: b\r\n folded" END,
	"POST / HTTP/1.1\r\n" HC L5 "A : b" END,
	"POST / HTTP/1.1\r\n" HC L5 "no colon" END,
	"POST / HTTP/1.1\r\n" HC L5 "A: \001" END,
	"POST / HTTP/1.1\r\n" HC L5 "A: b\rc" END,
	"POST / HTTP/1.1\r\n" HC L5 "A: b\nc" END,
	"POST / HTTP/1.1\r\nConnection: close\r\n" L5 "A: b" END,
	"POST / HTTP/1.1\r\nHost: y\r\n" HC L5 "A: b" END,
	"POST / HTTP/1.1\r\nHost: y\r\n" L5 "A: b" END,
	"POST / HTTP/1.1\r\nHost: y\r\nConnection: keep-alive\r\n" L5 "A: b"
	    END,
	"POST / HTTP/1.1\r\n" HC L5 "A: b" END "more",
	"no HTTP at all\r\n\r\n",
	"P\r\n\r\n",
	"\r\n\r\n",
};

START_TEST(what_is_out_of_the_ordinary_does_not_stay)
{
	struct head h;
	size_t need;

	ck_assert_msg(kind_of(others[_i], &h, &need) == HEAD_OTHER, "%s",
	    others[_i]);
}
END_TEST

START_TEST(a_request_is_as_large_as_allowed_and_no_larger)
{
	char text[256];
	struct head h;
	size_t need, len;
	int over;

	for (over = 0; over <= 1; over++) {
		snprintf(text, sizeof(text), "PUT / HTTP/1.1\r\n" HC
		    "Content-Length: %u\r\n\r\n", STAY_MAX);
		len = strlen(text);
		snprintf(text, sizeof(text), "PUT / HTTP/1.1\r\n" HC
		    "Content-Length: %u\r\n\r\n",
		    STAY_MAX - (unsigned)len + (unsigned)over);
		ck_assert_uint_eq(strlen(text), len);
		ck_assert_int_eq(kind_of(text, &h, &need),
		    over ? HEAD_OTHER : HEAD_PART);
		if (!over)
			ck_assert_uint_eq(need, STAY_MAX);
	}
}
END_TEST

START_TEST(a_head_without_end_does_not_stay)
{
	static char text[HEAD_MAX + 1];
	struct head h;
	size_t need;

	memset(text, 'P', HEAD_MAX);
	ck_assert_int_eq(head_read(&h, (uint8_t *)text, HEAD_MAX - 1, &need),
	    HEAD_PART);
	ck_assert_int_eq(head_read(&h, (uint8_t *)text, HEAD_MAX, &need),
	    HEAD_OTHER);
}
END_TEST

/* ---- a server ---- */

static struct serve_req *held;
static bool got_one;
static unsigned got_n;
static size_t got_len;
static bool answer_now;

static void
on_req(void *arg, struct serve_req *req)
{
	(void)arg;
	got_one = true;
	got_n++;
	got_len = req_body(req).n;
	if (answer_now)
		serve_answer(req, 201, "text/plain", BYTES("ok"), NULL, 0);
	else
		held = req;
}

static const struct serve_conf conf = { .handler = on_req,
    .body_max = BODY_MAX, .budget_bytes = BUDGET, .connections_max = 8,
    .idle_ms = 1000 };

#define RIG(now)	do {						\
	rig_outlive = true;						\
	answer_now = now;						\
	got_one = false;						\
	got_n = 0;							\
	held = NULL;							\
	rig_open(io_of(_i), &conf);					\
} while (0)

/* What the server's socket has to receive. */
static size_t
in_socket(void *buf, size_t cap)
{
	ssize_t n = recv(rig_accepted, buf, cap, MSG_PEEK | MSG_DONTWAIT);

	return n < 0 ? 0 : (size_t)n;
}

START_TEST(nothing_is_taken_out_before_the_answer)
{
	static const struct serve_header more = { "Retry-After", "7" };
	struct client *c;
	char buf[512];

	RIG(false);
	c = client_open();
	client_text(c, PLAIN);
	turn_until(&got_one);
	ck_assert_uint_eq(in_socket(buf, sizeof(buf)), sizeof(PLAIN) - 1);
	ck_assert_mem_eq(buf, PLAIN, sizeof(PLAIN) - 1);
	/* and it is left open when the process ends */
	ck_assert_int_eq(fcntl(rig_accepted, F_GETFD), 0);
	ck_assert_str_eq(req_method(held), "POST");
	ck_assert_str_eq(req_path(held), "/a/b");
	ck_assert_ptr_null(req_query(held, "a"));
	ck_assert_mem_eq(req_body(held).p, "hello", 5);
	serve_answer(held, 503, "text/plain", BYTES("later"), &more, 1);
	ck_assert_int_eq(client_answer(c), 503);
	ck_assert_str_eq(client_body(c), "later");
	ck_assert_str_eq(client_header(c, "Retry-After"), "7");
	ck_assert_str_eq(client_header(c, "Connection"), "close");
	ck_assert_int_eq(client_answer(c), 0);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(what_does_not_stay_ends_with_the_process)
{
	struct client *c;
	char buf[512];

	RIG(false);
	c = client_open();
	client_text(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
	    "\r\nhello");
	turn_until(&got_one);
	ck_assert_uint_eq(in_socket(buf, sizeof(buf)), 0);
	ck_assert_int_eq(fcntl(rig_accepted, F_GETFD), FD_CLOEXEC);
	serve_answer(held, 201, NULL, (struct bytes){ 0 }, NULL, 0);
	ck_assert_int_eq(client_answer(c), 201);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(one_that_comes_in_pieces_is_put_together)
{
	const char *p = PLAIN;
	struct client *c;

	RIG(true);
	c = client_open();
	for (; *p != '\0'; p++)
		ck_assert_uint_eq(client_send(c, p, 1), 1);
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(got_len, 5);
	ck_assert_uint_eq(got_n, 1);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(one_that_pauses_is_served_all_the_same)
{
	struct client *c;

	RIG(true);
	c = client_open();
	ck_assert_uint_eq(client_send(c, PLAIN, 60), 60);
	rest_ns(1200000000);
	client_text(c, &PLAIN[60]);
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_uint_eq(got_len, 5);
	client_close(c);
	rig_close();
}
END_TEST

static void
post_large(struct client *c, size_t n)
{
	char *body = malloc(n);

	memset(body, 'x', n);
	client_post_bytes(c, "/", "Connection: close\r\n", body, n);
	free(body);
}

START_TEST(a_large_one_stays_too)
{
	struct client *c;
	char *buf = malloc(STAY_MAX);

	RIG(false);
	c = client_open();
	post_large(c, BODY_MAX);
	turn_until(&got_one);
	ck_assert_uint_eq(got_len, BODY_MAX);
	ck_assert_uint_gt(in_socket(buf, STAY_MAX), BODY_MAX);
	serve_answer(held, 201, NULL, (struct bytes){ 0 }, NULL, 0);
	ck_assert_int_eq(client_answer(c), 201);
	client_close(c);
	c = client_open();
	post_large(c, BODY_MAX + 1);
	ck_assert_int_eq(client_answer(c), 413);
	client_close(c);
	free(buf);
	rig_close();
}
END_TEST

START_TEST(large_ones_share_the_budget)
{
	struct client *c, *d;

	RIG(false);
	c = client_open();
	d = client_open();
	post_large(c, 200u << 10);
	turn_until(&got_one);
	post_large(d, 200u << 10);
	ck_assert_int_eq(client_answer(d), 503);
	client_close(d);
	serve_answer(held, 201, NULL, (struct bytes){ 0 }, NULL, 0);
	ck_assert_int_eq(client_answer(c), 201);
	ck_assert_int_eq(client_answer(c), 0);
	client_close(c);
	got_one = false;
	c = client_open();
	post_large(c, 200u << 10);
	turn_until(&got_one);
	serve_answer(held, 201, NULL, (struct bytes){ 0 }, NULL, 0);
	ck_assert_int_eq(client_answer(c), 201);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(a_client_that_went_away_is_no_trouble)
{
	struct client *c;

	RIG(false);
	c = client_open();
	client_text(c, PLAIN);
	turn_until(&got_one);
	client_close(c);
	serve_answer(held, 201, NULL, (struct bytes){ 0 }, NULL, 0);
	c = client_open();
	ck_assert_uint_eq(client_send(c, PLAIN, 60), 60);
	client_close(c);
	answer_now = true;
	c = client_open();
	client_text(c, PLAIN);
	ck_assert_int_eq(client_answer(c), 201);
	client_close(c);
	rig_close();
}
END_TEST

START_TEST(close_waits_for_answers_and_not_for_halves)
{
	struct client *c, *half;

	RIG(false);
	half = client_open();
	ck_assert_uint_eq(client_send(half, PLAIN, 60), 60);
	c = client_open();
	client_text(c, PLAIN);
	turn_until(&got_one);
	serve_close(serve, on_closed, &serve_is_closed);
	ck_assert_int_eq(client_answer(half), 0);
	ck_assert(!serve_is_closed);
	serve_answer(held, 201, NULL, (struct bytes){ 0 }, NULL, 0);
	turn_until(&serve_is_closed);
	ck_assert_int_eq(client_answer(c), 201);
	client_close(half);
	client_close(c);
	rig_close();
}
END_TEST

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

START_TEST(without_memory_it_is_refused_and_the_server_goes_on)
{
	void *(*good)(void *, size_t);
	struct client *c;
	unsigned n;

	RIG(true);
	good = env.alloc;
	for (n = 0; n < 5; n++) {
		alloc_left = n;
		env.alloc = failing_alloc;
		c = client_open();
		client_text(c, PLAIN);
		/* what stays needs two; without them there is none at all */
		ck_assert_int_eq(client_answer(c), n < 2 ? 0 : 201);
		env.alloc = good;
		client_close(c);
	}
	rig_close();
}
END_TEST

/* ---- sockets of a predecessor ---- */

static int
listen_by_hand(uint32_t host, struct sockaddr_in *ret)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(host) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, n), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*ret = a;
	return fd;
}

static int
connect_by_hand(const struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(connect(fd, (const struct sockaddr *)a, sizeof(*a)),
	    0);
	return fd;
}

START_TEST(a_listener_and_its_connections_are_taken_over)
{
	struct sockaddr_in a, b;
	int one = listen_by_hand(INADDR_LOOPBACK, &a);
	int any = listen_by_hand(INADDR_ANY, &b);
	int c1 = connect_by_hand(&a), c2 = connect_by_hand(&b);
	int fds[] = { accept(any, NULL, NULL), any, 2, accept(one, NULL, NULL),
	    one };
	char text[LOOP_ADDR_TEXT];
	struct loop_addr bound, peer;

	ck_assert_int_eq(loop_new(&loop, io_of(_i), NULL), 0);
	ck_assert_int_eq(loop_inherit(loop, fds, 5), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(a.sin_port));
	ck_assert_int_eq(loop_listen(loop, text, &bound), one);
	ck_assert_int_eq(fcntl(one, F_GETFD), FD_CLOEXEC);
	snprintf(text, sizeof(text), "0.0.0.0:%u", ntohs(b.sin_port));
	ck_assert_int_eq(loop_listen(loop, text, &bound), any);
	ck_assert_int_eq(loop_heir(loop, one, &peer), fds[3]);
	ck_assert_int_eq(loop_heir(loop, one, &peer), -ENOENT);
	ck_assert_int_eq(loop_heir(loop, any, &peer), fds[0]);
	ck_assert_uint_eq(loop_inherit_end(loop, text), 0);
	loop_free(&loop);
	ck_assert_int_ge(fcntl(2, F_GETFD), 0);
	close(one), close(any), close(c1), close(c2);
	close(fds[0]), close(fds[3]);
}
END_TEST

START_TEST(what_nobody_asks_for_is_told_and_closed)
{
	struct sockaddr_in a;
	int fds[] = { listen_by_hand(INADDR_LOOPBACK, &a) };
	char text[LOOP_ADDR_TEXT], expected[LOOP_ADDR_TEXT];
	struct loop_addr bound;
	int fd;

	ck_assert_int_eq(loop_new(&loop, io_of(_i), NULL), 0);
	loop_outlive(loop);
	ck_assert_int_eq(loop_inherit(loop, fds, 1), 0);
	fd = loop_listen(loop, "127.0.0.1:0", &bound);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fd, fds[0]);
	ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
	ck_assert_uint_eq(loop_inherit_end(loop, text), 1);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u",
	    ntohs(a.sin_port));
	ck_assert_str_eq(text, expected);
	ck_assert_int_lt(fcntl(fds[0], F_GETFD), 0);
	close(fd);
	loop_free(&loop);
}
END_TEST

START_TEST(listed_sockets_count_only_for_the_one_they_are_for)
{
	char pid[32];
	char *mine[] = { pid, (char[]){ "LISTEN_FDS=2" }, NULL };
	char *many[] = { pid, (char[]){ "LISTEN_FDS=65" }, NULL };
	char *word[] = { pid, (char[]){ "LISTEN_FDS=2x" }, NULL };
	char *none[] = { pid, NULL };
	unsigned n;

	snprintf(pid, sizeof(pid), "LISTEN_PID=%d", (int)getpid());
	ck_assert_int_eq(inherit_listed(mine, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(inherit_listed(none, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(inherit_listed(many, &n), -EINVAL);
	ck_assert_int_eq(inherit_listed(word, &n), -EINVAL);
	snprintf(pid, sizeof(pid), "LISTEN_PID=%d", (int)getpid() + 1);
	n = 7;
	ck_assert_int_eq(inherit_listed(mine, &n), 0);
	ck_assert_uint_eq(n, 0);
}
END_TEST

int
main(void)
{
	TCase *c = tcase_create("all");

	tcase_add_test(c,
	    each_part_of_a_request_wants_more_and_the_whole_is_whole);
	tcase_add_test(c, its_values_are_found_whatever_their_case);
	tcase_add_loop_test(c, what_is_out_of_the_ordinary_does_not_stay, 0,
	    (int)(sizeof(others) / sizeof(others[0])));
	tcase_add_test(c, a_request_is_as_large_as_allowed_and_no_larger);
	tcase_add_test(c, a_head_without_end_does_not_stay);
	tcase_add_test(c, listed_sockets_count_only_for_the_one_they_are_for);
#define ADD(t) tcase_add_loop_test(c, t, io_first(), io_end())
	ADD(nothing_is_taken_out_before_the_answer);
	ADD(what_does_not_stay_ends_with_the_process);
	ADD(one_that_comes_in_pieces_is_put_together);
	ADD(one_that_pauses_is_served_all_the_same);
	ADD(a_large_one_stays_too);
	ADD(large_ones_share_the_budget);
	ADD(a_client_that_went_away_is_no_trouble);
	ADD(close_waits_for_answers_and_not_for_halves);
	ADD(without_memory_it_is_refused_and_the_server_goes_on);
	ADD(a_listener_and_its_connections_are_taken_over);
	ADD(what_nobody_asks_for_is_told_and_closed);
	return rig_main("stay", c);
}
