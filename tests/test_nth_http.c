/* SPDX-License-Identifier: ISC */
/*
 * test_nth_http.c - the nth allocation, or operation, of records by HTTP fails
 *
 * Claims: whichever it is, once or for as long as it takes, what was
 * acknowledged has been taken, what was answered 201 has been taken or
 * counted as dropped, no client waits for ever, and at the end everything
 * is given back.
 * How:    port, serve and ingest on a real loop, a client on plain sockets;
 * the same day with n = 1, 2, ... until a run has no nth call (nth.h).
 */

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/must.h"
#include "hop/port.h"
#include "http/ingest.h"
#include "nth.h"

#define MS		UINT64_C(1000000)
#define WAIT_NS		(30 * MS)	/* for an answer */
#define TRIES		300

static struct loop *loop;
static struct env env;
static struct serve *serve;
static struct ingest *ingest;
static struct port *port;
static struct nth nth;
static unsigned blocks;			/* of env's memory in use */
static uint32_t taken;			/* records in the sink */
static uint64_t refused_starts, unanswered;

static void
wrong(const char *what)
{
	ck_abort_msg("%s %" PRIu64 " fails %s (%s, %" PRIu64 " times): %s",
	    nth.what == NTH_ALLOC ? "allocation" : "operation", nth.at,
	    nth.ever ? "for ever" : "once", nth_kind_name(nth.kind),
	    nth.failed, what);
}

/* ---- the server ---- */

static void *
get(void *arg, size_t n)
{
	blocks++;
	return calloc(1, n);
}

static void
give_back(void *arg, void *p)
{
	blocks--;
	free(p);
}

static int
sink(void *arg, struct bytes entries, uint32_t records, bool durable,
    struct ingest_put *put)
{
	taken += records;
	if (!durable)
		return 1;
	put->done(put, 0);
	return 0;
}

static void
on_req(void *arg, struct serve_req *req)
{
	ingest_request(ingest, req);
}

static int
on_refused(void *arg, const struct serve_req *req, int status)
{
	return ingest_refused(ingest, req, status);
}

static void
on_flag(void *arg)
{
	*(bool *)arg = true;
}

static void
op_flag(struct op *op)
{
	*(bool *)op->arg = true;
}

/* Turns until *flag, or for so long; false: it was too long. */
static bool
turn(const bool *flag, uint64_t ns)
{
	bool over = false;
	struct op op;

	op_init(&op, op_flag, &over);
	loop_timer(loop, &op, loop_now(loop) + ns);
	while (!over && !*flag)
		(void)loop_turn(loop, true);
	loop_cancel(loop, &op);
	while (!op_idle(&op))
		(void)loop_turn(loop, true);
	return *flag;
}

/* Everything, in the order and with the checks of roles/agent.c. */
static int
start(void)
{
	static const struct serve_conf sc = { .handler = on_req,
	    .refused = on_refused };
	static const struct ingest_conf ic = { .sink = sink };
	struct port_conf pc = { .listen = "127.0.0.1:0" };
	int r;

	r = serve_new(&serve, &env, &sc);
	if (r == 0)
		r = ingest_new(&ingest, &env, &ic);
	pc.serve = serve;
	if (r == 0)
		r = port_open(&port, &env, &pc);
	return r;
}

static void
stop(void)
{
	bool closed = false;

	if (port != NULL) {
		port_close(port, on_flag, &closed);
		if (!turn(&closed, 2000 * MS))
			wrong("the port does not close");
	}
	closed = false;
	if (serve != NULL) {
		serve_close(serve, on_flag, &closed);
		if (!turn(&closed, 2000 * MS))
			wrong("the server does not close");
	}
	port_free(&port);
	ingest_free(&ingest);
	serve_free(&serve);
}

static void
start_somehow(void)
{
	while (start() < 0) {
		refused_starts++;
		stop();
		nth_lift(&nth);
	}
}

/* ---- a client ---- */

static int
dial(void)
{
	const struct loop_addr *at = port_bound(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (const void *)&at->sa, at->len), 0);
	return fd;
}

/* The status, or 0: none came. */
static int
answer(int fd)
{
	uint64_t until = loop_now(loop) + WAIT_NS;
	bool never = false;
	char text[512];
	int status = 0;
	ssize_t n;

	while (loop_now(loop) < until) {
		n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
		if (n > 0) {
			text[n] = '\0';
			ck_assert_int_eq(sscanf(text, "HTTP/1.%*d %d",
			    &status), 1);
			return status;
		}
		if (n == 0 || errno != EAGAIN)
			return 0;
		(void)turn(&never, MS / 2);
	}
	unanswered++;
	return 0;
}

static int
post(const char *path, const char *headers, const char *body)
{
	char text[1024];
	int fd = dial(), status, n;

	n = snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nHost: x\r\n"
	    "Content-Length: %zu\r\n%s\r\n%s", path, strlen(body), headers,
	    body);
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		n = 0;
	status = n == 0 ? 0 : answer(fd);
	close(fd);
	return status;
}

/* Until it is acknowledged; the failure goes meanwhile. */
static void
post_durably(const char *path, const char *body, uint32_t records)
{
	uint32_t before = taken;
	unsigned tries;

	for (tries = 0; post(path, "Emplog-Ack: agent\r\n", body) != 200;
	    tries++) {
		if (tries == 1)
			nth_lift(&nth);
		if (tries > TRIES)
			wrong("it is never acknowledged");
	}
	if (taken < before + records)
		wrong("it was acknowledged, and is nowhere");
}

/*
 * Once; who says 201 takes or counts it, now or soon.  A request whose body
 * was not read counts as one record: see ingest_dropped.
 */
static void
post_lightly(const char *path, const char *body, uint32_t records)
{
	uint64_t dropped = ctr_get(&env.ctr, CTR_ingest_dropped), until;
	uint32_t before = taken;
	bool never = false;

	if (post(path, "", body) != 201)
		return;
	until = loop_now(loop) + 4 * WAIT_NS;
	while (taken < before + records && loop_now(loop) < until &&
	    ctr_get(&env.ctr, CTR_ingest_dropped) == dropped)
		(void)turn(&never, MS / 2);
	if (taken < before + records &&
	    ctr_get(&env.ctr, CTR_ingest_dropped) == dropped)
		wrong("it was answered 201, and is neither taken nor counted");
}

/* ---- the runs ---- */

static void
play(enum nth_what what, uint64_t at, bool ever)
{
	char path[16];
	unsigned i;

	nth = (struct nth){ .what = what, .at = at, .ever = ever };
	blocks = taken = 0;
	ck_assert_int_eq(loop_new(&loop, LOOP_EPOLL, NULL), 0);
	ck_assert_int_eq(env_init(&env, loop, "test"), 0);
	env.log_fd = -1;
	env.alloc = get;
	env.release = give_back;
	nth_memory(&nth, &env);
	nth_loop(&nth, loop);
	start_somehow();
	for (i = 0; i < 8; i++) {
		(void)snprintf(path, sizeof(path), "/%u", i);
		post_durably(path, "{\"message\":\"a\",\"level\":\"info\"}",
		    1);
		post_lightly(path, "[{\"message\":\"b\"},{\"message\":2}]",
		    2);
		post_durably(path, "{\"message\":\"c\"}\n{\"d\":[1,2]}\n",
		    2);
	}
	stop();
	nth_lift(&nth);
	start_somehow();
	post_durably("/end", "{\"message\":\"six\"}", 1);
	stop();
	while (loop_pending(loop) > 0)
		(void)loop_turn(loop, true);
	if (blocks != 0)
		wrong("memory is not given back");
	env_fini(&env);
	loop_free(&loop);
}

static void
each_n(enum nth_what what, bool ever)
{
	uint64_t n = 0, runs = 0;

	refused_starts = unanswered = 0;
	do {
		play(what, ++n, ever);
		runs++;
	} while (nth.failed > 0);
	printf("http: each %s fails %s: %" PRIu64 " runs, %" PRIu64 " starts "
	    "were refused, %" PRIu64 " requests unanswered\n",
	    what == NTH_ALLOC ? "allocation" : "operation",
	    ever ? "for ever" : "once", runs, refused_starts, unanswered);
	fflush(stdout);
}

START_TEST(what_is_acknowledged_over_http_is_taken_whatever_fails)
{
	play(NTH_NOTHING, 0, false);
	printf("http: N: ");
	nth_print(&nth, stdout);
	printf("\n");
	fflush(stdout);
	ck_assert_uint_ge(nth.allocs + nth.ops, 200);
	each_n(NTH_ALLOC, false);
	each_n(NTH_ALLOC, true);
	each_n(NTH_OP, false);
	each_n(NTH_OP, true);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("nth_http");
	TCase *tc = tcase_create("all");
	SRunner *sr;
	int failures;

	tcase_add_test(tc,
	    what_is_acknowledged_over_http_is_taken_whatever_fails);
	tcase_set_timeout(tc, 600);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failures = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failures != 0;
}
