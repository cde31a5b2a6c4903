/* SPDX-License-Identifier: ISC */
/* serve.c - complete HTTP requests; the contract is in serve.h */

#include "loop/serve_inner.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <strings.h>

#include "loop/inherit.h"
#include "loop/stay.h"

#include "banned.h"

#define BODY_MAX	(16u << 20)
#define BUDGET		(20u << 20)
#define CONNECTIONS_MAX	1024
#define IDLE_MS		60000
#define CONNECTION_MEM	(16u << 10)	/* headers and what recv() gives */
#define CONNECTION_STEP	(2u << 10)
#define FLUSH_NS	200000000u	/* for the last answers at close */

static void
serve_check(const struct serve *s)
{
	must(s != NULL);
	must(s->magic == SERVE_MAGIC);
}

/* Both ops again: what wakes libmicrohttpd, and when at the latest. */
static void
rearm(struct serve *s)
{
	struct loop *l = s->env->loop;
	uint64_t now = loop_now(l), at = UINT64_MAX;
	MHD_UNSIGNED_LONG_LONG ms;

	if (op_idle(&s->poll))
		loop_poll(l, &s->poll, s->epoll_fd, POLLIN);
	if (s->resumed)
		at = 0;
	else if (MHD_get_timeout(s->mhd, &ms) == MHD_YES)
		at = ms < UINT32_MAX ? now + ms * 1000000u : UINT64_MAX;
	if (s->closing && s->flush_until > 0 && s->flush_until < at)
		at = s->flush_until;
	if (at == UINT64_MAX)
		return;
	if (op_idle(&s->timer))
		loop_timer(l, &s->timer, at);
	else if (at < s->timer.at_ns)
		loop_cancel(l, &s->timer);	/* its end sets the new one */
}

/* ---- answers ---- */

static struct MHD_Response *
response_new(const char *type, struct bytes body,
    const struct serve_header *headers, unsigned n)
{
	struct MHD_Response *m;
	char none[1] = "";
	bool ok = true;
	unsigned i;

	/* the copy is libmicrohttpd's; its argument lacks a const */
	m = MHD_create_response_from_buffer(body.n, body.n == 0 ? none :
	    (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY);
	if (m == NULL)
		return NULL;
	if (type != NULL)
		ok = MHD_add_response_header(m, "Content-Type", type) ==
		    MHD_YES;
	for (i = 0; ok && i < n; i++)
		ok = MHD_add_response_header(m, headers[i].name,
		    headers[i].value) == MHD_YES;
	if (!ok) {
		MHD_destroy_response(m);
		return NULL;
	}
	return m;
}

void
serve_answer(struct serve_req *r, int status, const char *content_type,
    struct bytes body, const struct serve_header *headers, unsigned headers_n)
{
	struct serve *s;

	req_check(r);
	must(r->state == REQ_HANDED);
	must(status >= 200 && status <= 599);
	s = r->serve;
	if (r->stay != NULL) {
		stay_answer(r, status, content_type, body, headers, headers_n);
		return;
	}
	r->response = response_new(content_type, body, headers, headers_n);
	if (r->response != NULL && s->closing)
		(void)MHD_add_response_header(r->response, "Connection",
		    "close");
	r->status = status;
	r->state = REQ_ANSWERED;
	req_body_drop(r);
	s->pending--;
	s->sending++;
	if (r->suspended) {
		r->suspended = false;
		MHD_resume_connection(r->conn);
		/* that wakes nobody when there is no thread to be woken */
		s->resumed = true;
		if (!s->running)
			rearm(s);
	}
}

static enum MHD_Result
queue_response(struct serve_req *r)
{
	enum MHD_Result ok;

	must(r->state == REQ_ANSWERED);
	if (r->response == NULL)
		return MHD_NO;		/* no memory: the connection ends */
	ok = MHD_queue_response(r->conn, (unsigned)r->status, r->response);
	MHD_destroy_response(r->response);
	r->response = NULL;
	return ok;
}

/* What the handler need not see. */
static void
answer_refused(struct serve_req *r)
{
	static const struct serve_header later = { "Retry-After", "1" };
	struct serve *s = r->serve;
	struct env *env = s->env;
	int status = r->refuse;

	if (r->refuse == 413)
		ctr_add(&env->ctr, CTR_ingest_too_large, 1);
	else if (r->refuse == 503)
		ctr_add(&env->ctr, CTR_ingest_busy, 1);
	else
		ctr_add(&env->ctr, CTR_ingest_bad_request, 1);
	if (s->conf.refused != NULL)
		status = s->conf.refused(s->conf.arg, r, status);
	r->state = REQ_HANDED;
	s->pending++;
	serve_answer(r, status, NULL, (struct bytes){ 0 }, &later,
	    status == 503);
}

/* ---- libmicrohttpd's calls ---- */

static void
req_peer_set(struct serve_req *r)
{
	const union MHD_ConnectionInfo *i;

	i = MHD_get_connection_info(r->conn,
	    MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	if (i == NULL || i->client_addr == NULL)
		return;
	if (i->client_addr->sa_family == AF_INET)
		r->peer.len = sizeof(struct sockaddr_in);
	else if (i->client_addr->sa_family == AF_INET6)
		r->peer.len = sizeof(struct sockaddr_in6);
	memcpy(&r->peer.sa, i->client_addr, r->peer.len);
}

/*
 * The headers are there.  A client that waits for "100 Continue" is refused
 * at once; for one that already sends, the body is read and passed over, or
 * it would meet a reset instead of the answer.
 */
static enum MHD_Result
req_begin(struct serve *s, struct MHD_Connection *conn, const char *path,
    const char *method, void **ctx)
{
	const char *length, *expect;
	struct serve_req *r;
	uint64_t n = 0;

	r = env_alloc(s->env, sizeof(*r));
	if (r == NULL)
		return MHD_NO;
	*r = (struct serve_req){ .magic = REQ_MAGIC, .serve = s,
	    .conn = conn, .path = path, .method = method };
	*ctx = r;
	req_peer_set(r);
	length = req_header(r, "Content-Length");
	if (length != NULL)
		n = strtoull(length, NULL, 10);
	req_body_announced(r, n);
	expect = req_header(r, "Expect");
	if (r->refuse != 0 && (n > 4 * (uint64_t)s->conf.body_max ||
	    (expect != NULL && strcasecmp(expect, "100-continue") == 0))) {
		answer_refused(r);
		return queue_response(r);
	}
	return MHD_YES;
}

/* The body is whole. */
static void
req_hand(struct serve_req *r)
{
	struct serve *s = r->serve;

	req_body_decode(r);
	if (r->refuse != 0) {
		answer_refused(r);
		return;
	}
	r->state = REQ_HANDED;
	s->pending++;
	r->inside = true;
	s->conf.handler(s->conf.arg, r);
	r->inside = false;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *conn, const char *path,
    const char *method, const char *version, const char *data, size_t *data_n,
    void **ctx)
{
	struct serve_req *r = *ctx;

	(void)version;
	if (r == NULL)
		return req_begin(arg, conn, path, method, ctx);
	req_check(r);
	if (*data_n > 0) {
		req_body_take(r, data, *data_n);
		*data_n = 0;
		return MHD_YES;
	}
	if (r->state == REQ_READING)
		req_hand(r);
	if (r->state == REQ_ANSWERED)
		return queue_response(r);
	r->suspended = true;
	MHD_suspend_connection(conn);
	return MHD_YES;
}

/* The answer is sent, or the connection is gone. */
static void
on_completed(void *arg, struct MHD_Connection *conn, void **ctx,
    enum MHD_RequestTerminationCode why)
{
	struct serve_req *r = *ctx;

	(void)arg;
	(void)conn;
	(void)why;
	if (r == NULL)
		return;
	req_check(r);
	/* a suspended connection is looked at only after its answer */
	must(r->state != REQ_HANDED);
	if (r->state == REQ_ANSWERED)
		r->serve->sending--;
	if (r->response != NULL)
		MHD_destroy_response(r->response);
	req_body_drop(r);
	r->magic = 0;
	env_free(r->serve->env, r);
	*ctx = NULL;
}

/* ---- on the loop ---- */

/* No request is out and no answer on its way: done, once the ops are idle. */
static void
close_step(struct serve *s)
{
	uint64_t now = loop_now(s->env->loop);

	if (s->pending > 0)
		return;
	if (s->flush_until == 0)
		s->flush_until = now + FLUSH_NS;
	if (s->sending > 0 && now < s->flush_until)
		return;
	stay_cut_off(s);
	if (s->stays != NULL)
		return;
	s->closed = true;
	loop_cancel(s->env->loop, &s->poll);
	/* whichever op ends last calls done */
	if (op_idle(&s->timer))
		loop_timer(s->env->loop, &s->timer, 0);
	else
		loop_cancel(s->env->loop, &s->timer);
}

void
serve_went_on(struct serve *s)
{
	if (s->closing && !s->closed)
		close_step(s);
	if (!s->closed)
		rearm(s);
}

static void
run(struct serve *s)
{
	must(!s->running);
	s->running = true;
	s->resumed = false;
	(void)MHD_run(s->mhd);
	s->running = false;
	serve_went_on(s);
}

static void
on_event(struct op *op)
{
	struct serve *s = op->arg;

	serve_check(s);
	if (!s->closed) {
		run(s);
		return;
	}
	if (op_idle(&s->poll) && op_idle(&s->timer) && s->done != NULL) {
		void (*done)(void *) = s->done;

		s->done = NULL;
		done(s->done_arg);
	}
}

/* ---- the contract ---- */

static struct MHD_Daemon *
daemon_new(struct serve *s)
{
	const unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
	    MHD_ALLOW_SUSPEND_RESUME;

	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, s,
	    MHD_OPTION_CONNECTION_LIMIT, s->conf.connections_max,
	    MHD_OPTION_CONNECTION_TIMEOUT, (s->conf.idle_ms + 999) / 1000,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEM,
	    MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)CONNECTION_STEP,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
	    MHD_OPTION_END);
}

int
serve_new(struct serve **ret_serve, struct env *env,
    const struct serve_conf *conf)
{
	const union MHD_DaemonInfo *info;
	struct serve *s;

	must(conf->handler != NULL);
	if (MHD_is_feature_supported(MHD_FEATURE_EPOLL) != MHD_YES)
		return -ENOSYS;
	s = env_alloc(env, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	*s = (struct serve){ .magic = SERVE_MAGIC, .env = env, .conf = *conf };
	if (s->conf.body_max == 0)
		s->conf.body_max = BODY_MAX;
	if (s->conf.budget_bytes == 0)
		s->conf.budget_bytes = BUDGET;
	if (s->conf.connections_max == 0)
		s->conf.connections_max = CONNECTIONS_MAX;
	if (s->conf.idle_ms == 0)
		s->conf.idle_ms = IDLE_MS;
	s->mhd = daemon_new(s);
	if (s->mhd == NULL) {
		env_free(env, s);
		return -ENOMEM;
	}
	info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	must(info != NULL);
	s->epoll_fd = info->epoll_fd;
	op_init(&s->poll, on_event, s);
	op_init(&s->timer, on_event, s);
	rearm(s);
	*ret_serve = s;
	return 0;
}

int
serve_take(struct serve *s, int fd, const struct loop_addr *peer)
{
	serve_check(s);
	must(!s->closing);
	if (loop_outlives(s->env->loop) && stay_take(s, fd, peer) == 0)
		return 0;
	return serve_give(s, fd, peer);
}

int
serve_give(struct serve *s, int fd, const struct loop_addr *peer)
{
	loop_own(s->env->loop, fd);
	errno = 0;
	if (MHD_add_connection(s->mhd, fd, (const struct sockaddr *)&peer->sa,
	    peer->len) != MHD_YES)
		return errno > 0 ? -errno : -EMFILE;
	rearm(s);
	return 0;
}

unsigned
serve_pending(const struct serve *s)
{
	serve_check(s);
	return s->pending;
}

void
serve_close(struct serve *s, void (*done)(void *arg), void *arg)
{
	serve_check(s);
	must(!s->closing);
	s->closing = true;
	s->done = done;
	s->done_arg = arg;
	stay_hurry(s);
	/* The loop calls on_event() soon, and that goes on from here. */
	loop_cancel(s->env->loop, &s->poll);
}

void
serve_free(struct serve **serve)
{
	struct serve *s = *serve;

	if (s == NULL)
		return;
	serve_check(s);
	must(s->closed);
	must(s->pending == 0);
	must(s->stays == NULL);
	must(op_idle(&s->poll) && op_idle(&s->timer));
	MHD_stop_daemon(s->mhd);
	s->magic = 0;
	env_free(s->env, s);
	*serve = NULL;
}
