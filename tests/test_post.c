/* SPDX-License-Identifier: ISC */
/*
 * test_post.c - one request out, one answer back, whatever the server does
 *
 * How:      loop_post() against serve on the same loop for what HTTP allows,
 *           and against bare sockets for what it does not.  With both real
 *           backends.
 */
#include "http_rig.h"

#include <netinet/in.h>
#include <time.h>

static struct serve_req *kept;
static char got_body[128], got_head[512];
static struct bytes big_answer;
static char retry[64];

static const char *
head_of(struct serve_req *req, const char *name)
{
	const char *v = req_header(req, name);

	return v == NULL ? "-" : v;
}

/* /status/N answers N; /keep keeps; /retry N with Retry-After; /big. */
static void
on_req(void *arg, struct serve_req *req)
{
	const char *path = req_path(req);
	struct bytes b = req_body(req);

	(void)arg;
	(void)snprintf(got_body, sizeof(got_body), "%.*s",
	    (int)(b.n < 100 ? b.n : 100), b.n == 0 ? "" : (const char *)b.p);
	(void)snprintf(got_head, sizeof(got_head), "%s|%s|%s|%s|%s",
	    head_of(req, "Content-Type"), head_of(req, "X-One"),
	    head_of(req, "X-Empty"), head_of(req, "Expect"),
	    head_of(req, "Content-Length"));
	if (strncmp(path, "/status/", 8) == 0)
		serve_answer(req, (int)strtol(path + 8, NULL, 10),
		    "application/x-test", BYTES("the answer"), NULL, 0);
	else if (strcmp(path, "/retry") == 0)
		serve_answer(req, 503, NULL, BYTES(""),
		    &(struct serve_header){ "Retry-After", retry }, 1);
	else if (strcmp(path, "/big") == 0)
		serve_answer(req, 200, "text/plain", big_answer, NULL, 0);
	else
		kept = req;
}

static const struct serve_conf conf = { .handler = on_req };

#define RIG()	do {							\
	kept = NULL;							\
	rig_open(io_of(_i), &conf);					\
} while (0)

static char url_text[256];

static const char *
url_of(const struct loop_addr *a, const char *path)
{
	char where[LOOP_ADDR_TEXT];

	loop_addr_text(a, where);
	(void)snprintf(url_text, sizeof(url_text), "http://%s%s", where, path);
	return url_text;
}

static struct post post;
static struct op op;
static bool posted;

static void
begin(const char *url, uint32_t timeout_ms)
{
	posted = false;
	post.url = url;
	post.timeout_ms = timeout_ms;
	op_init(&op, on_flag, &posted);
	loop_post(loop, &op, &post);
}

static int64_t
post_to(const char *url, uint32_t timeout_ms)
{
	begin(url, timeout_ms);
	turn_until(&posted);
	ck_assert(op_idle(&op));
	return op.res;
}

static void
fresh(void)
{
	post = (struct post){ .body = BYTES("the body") };
}

START_TEST(an_answer_comes_back)
{
	static const int status[] = { 200, 204, 301, 400, 401, 403, 404, 413,
		429, 500, 503 };
	char path[32], answer[64];
	unsigned i;

	RIG();
	for (i = 0; i < sizeof(status) / sizeof(status[0]); i++) {
		fresh();
		post.answer = (uint8_t *)answer;
		post.answer_cap = sizeof(answer);
		(void)snprintf(path, sizeof(path), "/status/%d", status[i]);
		ck_assert_int_eq(post_to(url_of(&at, path), 5000), 0);
		ck_assert_int_eq(post.status, status[i]);
		ck_assert_int_eq(post.retry_after_ms, -1);
		ck_assert_str_eq(post.error, "");
		ck_assert_str_eq(post.content_type, "application/x-test");
		ck_assert_str_eq(got_body, "the body");
		if (status[i] != 204) {
			ck_assert_uint_eq(post.answer_len, 10);
			ck_assert_mem_eq(answer, "the answer", 10);
		}
	}
	rig_close();
}
END_TEST

START_TEST(headers_go_as_given_and_none_is_added)
{
	static const struct post_header h[] = {
		{ "Content-Type", "application/x-protobuf" },
		{ "X-One", "1 2" }, { "X-Empty", "" } };

	RIG();
	fresh();
	post.headers = h;
	post.headers_n = 3;
	ck_assert_int_eq(post_to(url_of(&at, "/status/200"), 5000), 0);
	ck_assert_str_eq(got_head, "application/x-protobuf|1 2||-|8");
	fresh();
	ck_assert_int_eq(post_to(url_of(&at, "/status/200"), 5000), 0);
	ck_assert_str_eq(got_head, "-|-|-|-|8");
	post.body = (struct bytes){ 0 };
	ck_assert_int_eq(post_to(url_of(&at, "/status/200"), 5000), 0);
	ck_assert_str_eq(got_head, "-|-|-|-|0");
	ck_assert_str_eq(got_body, "");
	rig_close();
}
END_TEST

START_TEST(a_header_with_a_line_break_is_refused)
{
	struct post_header h = { "X-One", "a\r\nX-Two: b" };

	RIG();
	fresh();
	post.headers = &h;
	post.headers_n = 1;
	ck_assert_int_eq(post_to(url_of(&at, "/status/200"), 5000), -EINVAL);
	ck_assert_ptr_null(strstr(post.error, "X-Two"));
	rig_close();
}
END_TEST

START_TEST(retry_after_is_seconds_or_a_date)
{
	struct tm tm;
	time_t t;

	RIG();
	fresh();
	(void)snprintf(retry, sizeof(retry), "7");
	ck_assert_int_eq(post_to(url_of(&at, "/retry"), 5000), 0);
	ck_assert_int_eq(post.status, 503);
	ck_assert_int_eq(post.retry_after_ms, 7000);
	(void)snprintf(retry, sizeof(retry), "0");
	ck_assert_int_eq(post_to(url_of(&at, "/retry"), 5000), 0);
	ck_assert_int_eq(post.retry_after_ms, 0);
	(void)snprintf(retry, sizeof(retry), "99999999999999999999");
	ck_assert_int_eq(post_to(url_of(&at, "/retry"), 5000), 0);
	ck_assert_int_eq(post.retry_after_ms, (int64_t)INT32_MAX * 1000);
	t = time(NULL) + 100;
	ck_assert_ptr_nonnull(gmtime_r(&t, &tm));
	strftime(retry, sizeof(retry), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	ck_assert_int_eq(post_to(url_of(&at, "/retry"), 5000), 0);
	ck_assert_int_ge(post.retry_after_ms, 80000);
	ck_assert_int_le(post.retry_after_ms, 100000);
	(void)snprintf(retry, sizeof(retry), "Fri, 31 Dec 1999 23:59:59 GMT");
	ck_assert_int_eq(post_to(url_of(&at, "/retry"), 5000), 0);
	ck_assert_int_eq(post.retry_after_ms, 0);
	(void)snprintf(retry, sizeof(retry), "soon");
	ck_assert_int_eq(post_to(url_of(&at, "/retry"), 5000), 0);
	ck_assert_int_eq(post.retry_after_ms, -1);
	rig_close();
}
END_TEST

START_TEST(a_large_answer_is_cut)
{
	uint8_t *mem = malloc(3u << 20), answer[101];

	memset(mem, 'a', 3u << 20);
	RIG();
	fresh();
	post.answer = answer;
	post.answer_cap = 100;
	answer[100] = 'z';
	big_answer = bytes_of(mem, 500000);
	ck_assert_int_eq(post_to(url_of(&at, "/big"), 5000), 0);
	ck_assert_int_eq(post.status, 200);
	ck_assert_uint_eq(post.answer_len, 100);
	ck_assert_int_eq(answer[100], 'z');
	/* one that does not end is given up, and is an answer all the same */
	big_answer = bytes_of(mem, 3u << 20);
	ck_assert_int_eq(post_to(url_of(&at, "/big"), 5000), 0);
	ck_assert_int_eq(post.status, 200);
	ck_assert_uint_eq(post.answer_len, 100);
	post.answer = NULL;
	ck_assert_int_eq(post_to(url_of(&at, "/status/200"), 5000), 0);
	ck_assert_uint_eq(post.answer_len, 0);
	free(mem);
	rig_close();
}
END_TEST

START_TEST(a_large_body_arrives)
{
	uint8_t *mem = malloc(4u << 20);

	memset(mem, 'b', 4u << 20);
	RIG();
	fresh();
	post.body = bytes_of(mem, 4u << 20);
	ck_assert_int_eq(post_to(url_of(&at, "/status/200"), 10000), 0);
	ck_assert_int_eq(post.status, 200);
	ck_assert_str_eq(got_head, "-|-|-|-|4194304");
	free(mem);
	rig_close();
}
END_TEST

START_TEST(no_answer_in_time_is_a_timeout)
{
	RIG();
	fresh();
	ck_assert_int_eq(post_to(url_of(&at, "/keep"), 100), -ETIMEDOUT);
	ck_assert_int_eq(post.status, 0);
	ck_assert_str_ne(post.error, "");
	ck_assert_ptr_nonnull(kept);
	serve_answer(kept, 200, NULL, BYTES(""), NULL, 0);
	rig_close();
}
END_TEST

START_TEST(a_cancelled_request_ends_soon)
{
	RIG();
	fresh();
	begin(url_of(&at, "/keep"), 60000);
	while (kept == NULL)
		(void)loop_turn(loop, true);
	loop_cancel(loop, &op);
	turn_until(&posted);
	ck_assert_int_eq(op.res, -ECANCELED);
	ck_assert_int_eq(post.status, 0);
	serve_answer(kept, 200, NULL, BYTES(""), NULL, 0);
	/* before its thread has seen it */
	begin(url_of(&at, "/keep"), 60000);
	loop_cancel(loop, &op);
	turn_until(&posted);
	ck_assert_int_eq(op.res, -ECANCELED);
	if (kept != NULL && serve_pending(serve) > 0)
		serve_answer(kept, 200, NULL, BYTES(""), NULL, 0);
	rig_close();
}
END_TEST

static struct loop_addr
nobody(void)
{
	struct loop_addr a;
	bool closed = false;
	struct op o;
	int fd = loop_listen(loop, "127.0.0.1:0", &a);

	op_init(&o, on_flag, &closed);
	loop_close(loop, &o, fd);
	turn_until(&closed);
	return a;
}

START_TEST(what_cannot_be_reached_says_so)
{
	struct loop_addr a;

	RIG();
	fresh();
	a = nobody();
	ck_assert_int_eq(post_to(url_of(&a, "/"), 5000), -ECONNREFUSED);
	ck_assert_ptr_nonnull(strstr(post.error, "127.0.0.1"));
	ck_assert_int_eq(post_to("http://nobody.invalid:1/", 5000),
	    -EHOSTUNREACH);
	ck_assert_int_eq(post_to("file:///etc/passwd", 5000), -EINVAL);
	ck_assert_int_eq(post_to("ftp://127.0.0.1/", 5000), -EINVAL);
	ck_assert_int_eq(post_to("not a url", 5000), -EINVAL);
	ck_assert_int_eq(post.status, 0);
	rig_close();
}
END_TEST

/* ---- servers that are none ---- */

static struct op raw_accept, raw_recv;
static bool raw_accepted;
static int raw_listen, raw_fd;
static char raw_in[65536];

static void
on_raw(struct op *o)
{
	raw_fd = (int)o->res;
	raw_accepted = true;
}

static struct loop_addr
raw_open(void)
{
	struct loop_addr a;

	raw_listen = loop_listen(loop, "127.0.0.1:0", &a);
	ck_assert_int_ge(raw_listen, 0);
	raw_accepted = false;
	op_init(&raw_accept, on_raw, NULL);
	loop_accept(loop, &raw_accept, raw_listen);
	return a;
}

static void
raw_close_fd(int fd)
{
	bool closed = false;
	struct op o;

	op_init(&o, on_flag, &closed);
	loop_close(loop, &o, fd);
	turn_until(&closed);
}

/* Takes the connection, reads the request, sends text, closes. */
static void
raw_answer(const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	bool done = false;
	struct op o;

	turn_until(&raw_accepted);
	ck_assert_int_ge(raw_fd, 0);
	op_init(&raw_recv, on_flag, &done);
	loop_recv(loop, &raw_recv, raw_fd, raw_in, sizeof(raw_in));
	turn_until(&done);
	if (iov.iov_len > 0) {
		done = false;
		op_init(&o, on_flag, &done);
		loop_send(loop, &o, raw_fd, &iov, 1);
		turn_until(&done);
	}
	raw_close_fd(raw_fd);
	raw_close_fd(raw_listen);
}

START_TEST(broken_answers_are_no_answers)
{
	static const char *const bad[] = {
		"", "\x16\x03\x01\x02", "220 smtp ready\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" };
	struct loop_addr a;
	unsigned i;

	RIG();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fresh();
		a = raw_open();
		begin(url_of(&a, "/"), 5000);
		raw_answer(bad[i]);
		turn_until(&posted);
		ck_assert_msg(op.res == -EPROTO, "%u: %d", i, (int)op.res);
		ck_assert_int_eq(post.status, 0);
		ck_assert_str_ne(post.error, "");
	}
	rig_close();
}
END_TEST

START_TEST(who_is_silent_is_left)
{
	uint64_t begun;

	RIG();
	fresh();
	post.stall_ms = 700;
	begun = loop_now(loop);
	ck_assert_int_eq(post_to(url_of(&at, "/keep"), 0), -ETIMEDOUT);
	ck_assert_str_eq(post.error, "no byte for 700 ms");
	ck_assert_uint_ge(loop_now(loop) - begun, 690000000u);
	ck_assert_uint_lt(loop_now(loop) - begun, 5000000000u);
	serve_answer(kept, 200, NULL, BYTES(""), NULL, 0);
	rig_close();
}
END_TEST

START_TEST(who_is_slow_is_not_left)
{
	static const char answer[] =
	    "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"
	    "hello, hello, hello, hello, hello, hello";
	const size_t body = 40, all = sizeof(answer) - 1;
	struct iovec iov;
	struct loop_addr a;
	bool done = false;
	struct op o;
	size_t i;

	RIG();
	fresh();
	post.stall_ms = 1000;
	a = raw_open();
	begin(url_of(&a, "/"), 0);
	turn_until(&raw_accepted);
	op_init(&raw_recv, on_flag, &done);
	loop_recv(loop, &raw_recv, raw_fd, raw_in, sizeof(raw_in));
	turn_until(&done);
	for (i = 0; i < all; i += iov.iov_len) {	/* two seconds */
		rest_ns(50000000);
		iov = (struct iovec){ (void *)(uintptr_t)(answer + i),
		    i == 0 ? all - body : 1 };
		done = false;
		op_init(&o, on_flag, &done);
		loop_send(loop, &o, raw_fd, &iov, 1);
		turn_until(&done);
	}
	turn_until(&posted);
	ck_assert_int_eq(op.res, 0);
	ck_assert_int_eq(post.status, 200);
	raw_close_fd(raw_fd);
	raw_close_fd(raw_listen);
	rig_close();
}
END_TEST

START_TEST(another_address_speaks_for_the_urls)
{
	char where[LOOP_ADDR_TEXT];

	RIG();
	fresh();
	loop_addr_text(&at, where);
	post.connect_to = where;
	ck_assert_int_eq(post_to("http://edge.test:1/status/201", 5000), 0);
	ck_assert_int_eq(post.status, 201);
	rig_close();
}
END_TEST

START_TEST(an_answer_that_ends_with_the_connection_is_one)
{
	struct loop_addr a;
	char answer[16];

	RIG();
	fresh();
	post.answer = (uint8_t *)answer;
	post.answer_cap = sizeof(answer);
	a = raw_open();
	begin(url_of(&a, "/"), 5000);
	raw_answer("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
	turn_until(&posted);
	ck_assert_int_eq(op.res, 0);
	ck_assert_int_eq(post.status, 200);
	ck_assert_uint_eq(post.answer_len, 5);
	rig_close();
}
END_TEST

START_TEST(tls_that_fails_is_told_apart)
{
	struct loop_addr a;
	char where[LOOP_ADDR_TEXT], url[128];

	RIG();
	fresh();
	a = raw_open();
	loop_addr_text(&a, where);
	(void)snprintf(url, sizeof(url), "https://%s/", where);
	begin(url, 5000);
	raw_answer("HTTP/1.1 400 Bad Request\r\n\r\n");
	turn_until(&posted);
	ck_assert_int_eq(op.res, -EACCES);
	rig_close();
}
END_TEST

START_TEST(redirects_are_answers)
{
	struct loop_addr a;

	RIG();
	fresh();
	a = raw_open();
	begin(url_of(&a, "/"), 5000);
	raw_answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
	    "Content-Length: 0\r\n\r\n");
	turn_until(&posted);
	ck_assert_int_eq(op.res, 0);
	ck_assert_int_eq(post.status, 302);
	rig_close();
}
END_TEST

#define MANY	64
START_TEST(many_at_once_all_end_and_connections_are_used_again)
{
	static struct post posts[MANY];
	static struct op ops[MANY];
	static bool ended[MANY];
	unsigned i, round;
	char *url;

	RIG();
	url = strdup(url_of(&at, "/status/200"));
	for (round = 0; round < 3; round++) {
		for (i = 0; i < MANY; i++) {
			posts[i] = (struct post){ .url = url,
			    .body = BYTES("x"), .timeout_ms = 10000 };
			ended[i] = false;
			op_init(&ops[i], on_flag, &ended[i]);
			loop_post(loop, &ops[i], &posts[i]);
		}
		for (i = 0; i < MANY; i++) {
			turn_until(&ended[i]);
			ck_assert_int_eq(ops[i].res, 0);
			ck_assert_int_eq(posts[i].status, 200);
		}
	}
	free(url);
	rig_close();
}
END_TEST

START_TEST(a_cancelled_one_leaves_the_others_alone)
{
	static struct post posts[8];
	static struct op ops[8];
	static bool ended[8];
	unsigned i;
	char *url;

	RIG();
	url = strdup(url_of(&at, "/status/200"));
	for (i = 0; i < 8; i++) {
		posts[i] = (struct post){ .url = url, .body = BYTES("x"),
		    .timeout_ms = 10000 };
		ended[i] = false;
		op_init(&ops[i], on_flag, &ended[i]);
		loop_post(loop, &ops[i], &posts[i]);
		if (i % 2 == 0)
			loop_cancel(loop, &ops[i]);
	}
	for (i = 0; i < 8; i++) {
		turn_until(&ended[i]);
		if (i % 2 == 1)
			ck_assert_int_eq(ops[i].res, 0);
		else
			ck_assert(ops[i].res == 0 ||
			    ops[i].res == -ECANCELED);
	}
	free(url);
	rig_close();
}
END_TEST

int
main(void)
{
	TCase *c = tcase_create("all");

	/* a proxy of the machine's is none of this suite's */
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	setenv("no_proxy", "*", 1);
#define ADD(t) tcase_add_loop_test(c, t, io_first(), io_end())
	ADD(an_answer_comes_back);
	ADD(headers_go_as_given_and_none_is_added);
	ADD(a_header_with_a_line_break_is_refused);
	ADD(retry_after_is_seconds_or_a_date);
	ADD(a_large_answer_is_cut);
	ADD(a_large_body_arrives);
	ADD(no_answer_in_time_is_a_timeout);
	ADD(a_cancelled_request_ends_soon);
	ADD(what_cannot_be_reached_says_so);
	ADD(broken_answers_are_no_answers);
	ADD(who_is_silent_is_left);
	ADD(who_is_slow_is_not_left);
	ADD(another_address_speaks_for_the_urls);
	ADD(an_answer_that_ends_with_the_connection_is_one);
	ADD(tls_that_fails_is_told_apart);
	ADD(redirects_are_answers);
	ADD(many_at_once_all_end_and_connections_are_used_again);
	ADD(a_cancelled_one_leaves_the_others_alone);
	return rig_main("post", c);
}
