/* SPDX-License-Identifier: ISC */
/*
 * http_rig.h - a loop with a server and a client on it, for tests
 *
 * What:     one loop carries both ends over loopback.  The client speaks raw
 *           bytes, so that a test can say what it likes; answers are read
 *           until they are whole.  turn_until() is the only wait.
 */
#ifndef EMPLOG_TESTS_HTTP_RIG_H
#define EMPLOG_TESTS_HTTP_RIG_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/env.h"
#include "loop/inherit.h"
#include "loop/loop.h"
#include "loop/serve.h"
#include "tests/io.h"

/* each suite uses what it needs */
#pragma GCC diagnostic ignored "-Wunused-function"

#define RIG_WAIT_NS	20000000000u	/* a test that waits longer fails */
#define RIG_IN		(1u << 20)

static struct loop *loop;
static struct env env;
static struct serve *serve;
static struct loop_addr at;		/* where the server is */
static int listen_fd;
static struct op accepting;
static bool serve_is_closed;
static bool rig_outlive;		/* loop_outlive() before it listens */
static int rig_accepted;		/* the last connection of the server */

/* Turns the loop until *flag; a timer bounds the wait. */
static void
no_op(struct op *op)
{
	(void)op;
}

static void
turn_until(const bool *flag)
{
	uint64_t until = loop_now(loop) + RIG_WAIT_NS;
	struct op guard;

	op_init(&guard, no_op, NULL);
	loop_timer(loop, &guard, until);
	while (!*flag) {
		(void)loop_turn(loop, true);
		ck_assert_msg(loop_now(loop) < until, "waited too long");
	}
	loop_cancel(loop, &guard);
	while (!op_idle(&guard))
		(void)loop_turn(loop, true);
}

static void
on_flag(struct op *op)
{
	*(bool *)op->arg = true;
}

static void
rest_ns(uint64_t ns)
{
	bool over = false;
	struct op op;

	op_init(&op, on_flag, &over);
	loop_timer(loop, &op, loop_now(loop) + ns);
	turn_until(&over);
}

static void
on_accept(struct op *op)
{
	if (op->res < 0)
		return;
	rig_accepted = (int)op->res;
	(void)serve_take(serve, (int)op->res, &op->addr);
	loop_accept(loop, &accepting, listen_fd);
}

static void
rig_open(enum loop_io io, const struct serve_conf *conf)
{
	ck_assert_int_eq(loop_new(&loop, io, NULL), 0);
	if (rig_outlive)
		loop_outlive(loop);
	env_init(&env, loop, "test");
	env.log_fd = -1;
	ck_assert_int_eq(serve_new(&serve, &env, conf), 0);
	listen_fd = loop_listen(loop, "127.0.0.1:0", &at);
	ck_assert_int_ge(listen_fd, 0);
	op_init(&accepting, on_accept, NULL);
	loop_accept(loop, &accepting, listen_fd);
	serve_is_closed = false;
}

static void
on_closed(void *arg)
{
	*(bool *)arg = true;
}

static void
rig_close(void)
{
	bool closed = false;
	struct op op;

	loop_cancel(loop, &accepting);
	while (!op_idle(&accepting))
		(void)loop_turn(loop, true);
	if (!serve_is_closed) {
		serve_close(serve, on_closed, &serve_is_closed);
		turn_until(&serve_is_closed);
	}
	serve_free(&serve);
	op_init(&op, on_flag, &closed);
	loop_close(loop, &op, listen_fd);
	turn_until(&closed);
	while (loop_pending(loop) > 0)
		(void)loop_turn(loop, true);
	env_fini(&env);
	loop_free(&loop);
}

/* ---- the client ---- */

struct client {
	int	 fd;
	size_t	 len;		/* bytes in in[] */
	size_t	 answer;	/* length of the answer at its start */
	bool	 eof;
	int	 status;
	char	 in[RIG_IN];
};

static int64_t
run_op(struct op *op, bool *done)
{
	turn_until(done);
	return op->res;
}

static struct client *
client_open(void)
{
	struct client *c = calloc(1, sizeof(*c));
	bool done = false;
	struct op op;

	op_init(&op, on_flag, &done);
	loop_connect(loop, &op, &at);
	c->fd = (int)run_op(&op, &done);
	ck_assert_int_ge(c->fd, 0);
	return c;
}

static void
client_close(struct client *c)
{
	bool done = false;
	struct op op;

	op_init(&op, on_flag, &done);
	loop_close(loop, &op, c->fd);
	(void)run_op(&op, &done);
	free(c);
}

/* Sends all of it, or until the server has had enough: bytes sent. */
static size_t
client_send(struct client *c, const void *p, size_t n)
{
	struct iovec iov = { (void *)(uintptr_t)p, n };
	size_t sent = 0;
	struct op op;
	int64_t r;

	while (sent < n) {
		bool done = false;

		op_init(&op, on_flag, &done);
		iov = (struct iovec){ (char *)(uintptr_t)p + sent, n - sent };
		loop_send(loop, &op, c->fd, &iov, 1);
		r = run_op(&op, &done);
		if (r <= 0)
			break;
		sent += (size_t)r;
	}
	return sent;
}

static void
client_text(struct client *c, const char *text)
{
	ck_assert_uint_eq(client_send(c, text, strlen(text)), strlen(text));
}

/* One more recv into in[]. */
static void
client_recv(struct client *c)
{
	bool done = false;
	struct op op;
	int64_t r;

	op_init(&op, on_flag, &done);
	loop_recv(loop, &op, c->fd, c->in + c->len, RIG_IN - 1 - c->len);
	r = run_op(&op, &done);
	if (r <= 0)
		c->eof = true;
	else
		c->len += (size_t)r;
	c->in[c->len] = '\0';
}

/* A header of the answer read last, or NULL; good until the next call. */
static const char *
client_header(struct client *c, const char *name)
{
	static char value[256];
	const char *p = c->in, *end = strstr(c->in, "\r\n\r\n");
	size_t n = strlen(name), len;

	while (p < end && (p = strstr(p, "\r\n")) != NULL && p < end) {
		p += 2;
		if (strncasecmp(p, name, n) != 0 || p[n] != ':')
			continue;
		p += n + 1;
		p += strspn(p, " ");
		len = strcspn(p, "\r");
		ck_assert_uint_lt(len, sizeof(value));
		memcpy(value, p, len);
		value[len] = '\0';
		return value;
	}
	return NULL;
}

/* Reads one whole answer: its status, or 0 when the connection ended. */
static int
client_answer(struct client *c)
{
	const char *end, *n;

	memmove(c->in, c->in + c->answer, c->len - c->answer);
	c->len -= c->answer;
	c->in[c->len] = '\0';
	c->answer = 0;
	while ((end = strstr(c->in, "\r\n\r\n")) == NULL && !c->eof)
		client_recv(c);
	if (end == NULL)
		return 0;
	ck_assert_int_eq(sscanf(c->in, "HTTP/1.%*d %d", &c->status), 1);
	c->answer = (size_t)(end - c->in) + 4;
	n = client_header(c, "Content-Length");
	if (n != NULL)
		c->answer += strtoul(n, NULL, 10);
	while (c->len < c->answer && !c->eof)
		client_recv(c);
	ck_assert_uint_ge(c->len, c->answer);
	return c->status;
}

/* The body of the answer read last. */
static const char *
client_body(struct client *c)
{
	static char body[4096];
	const char *p = strstr(c->in, "\r\n\r\n") + 4;
	size_t n = c->answer - (size_t)(p - c->in);

	ck_assert_uint_lt(n, sizeof(body));
	memcpy(body, p, n);
	body[n] = '\0';
	return body;
}

/* A POST of n bytes; headers are whole lines. */
static void
client_post_bytes(struct client *c, const char *path, const char *headers,
    const void *body, size_t n)
{
	char head[1024];

	(void)snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: x\r\n"
	    "Content-Length: %zu\r\n%s\r\n", path, n, headers);
	client_text(c, head);
	(void)client_send(c, body, n);
}

static void
client_post(struct client *c, const char *path, const char *headers,
    const char *body)
{
	client_post_bytes(c, path, headers, body, strlen(body));
}

/* A run of a suite for one backend; name is the claim's. */
static int
rig_main(const char *name, TCase *c)
{
	Suite *s = suite_create(name);
	SRunner *sr;
	int failed;

	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}

#endif
