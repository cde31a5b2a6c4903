/* SPDX-License-Identifier: ISC */
/*
 * fuzz_inpost.c - any bytes as the body of a POST of chunks (libFuzzer: clang)
 *
 * Input: a byte of flags, a byte that sizes what the receiver takes, then the
 * body.  Two requests with it are under way at once, and a third comes when
 * those are answered; a real inpost, receiver and queue on the simulated loop,
 * the server and its requests are here.
 *
 *   flags  1 the second is a GET   2 the end comes while they are under way
 *          4 sends and receives are cut short   8 the queue is nearly full
 *
 * Claims: each request is answered once and in time; 200 is whole
 * acknowledgements and no more than messages that asked; what is answered 400
 * or 405 leaves nothing in the queue; the queue holds what was counted, but
 * for what a disk cut short, and something where records are acknowledged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"
#include "base/must.h"
#include "forward/message.h"
#include "forward/mp.h"
#include "hop/receiver.h"
#include "hop/wire.h"
#include "http/inpost.h"
#include "queue/queue.h"
#include "sim/sim.h"

#define INPUT_MAX	8192
#define S		1000000000ull
#define F_GET		1
#define F_END		2
#define F_SHORT		4
#define F_FULL		8

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* ---- the server's side, in place of loop/serve.c ---- */

struct serve_req {
	const char	*method;
	struct bytes	 body;
	struct loop_addr peer;
	int		 status;	/* 0: not answered */
	unsigned	 acks;
	uint64_t	 records;	/* they are for, where they tell */
};

const char *
req_method(const struct serve_req *r)
{
	return r->method;
}

const char *
req_path(const struct serve_req *r)
{
	return INPOST_PATH;
}

struct bytes
req_body(const struct serve_req *r)
{
	return r->body;
}

const struct loop_addr *
req_peer(const struct serve_req *r)
{
	return &r->peer;
}

/* The body is lent until now: what reads it later is seen by ASan. */
void
serve_answer(struct serve_req *r, int status, const char *content_type,
    struct bytes body, const struct serve_header *headers, unsigned headers_n)
{
	struct mp m = mp_of(body);
	struct bytes id;
	uint64_t records;

	must(r->status == 0);
	must(content_type != NULL);
	must(headers_n <= 1);
	r->status = status;
	must(status == 200 || status == 400 || status == 405 ||
	    status == 413 || status == 503);
	while (status == 200 && m.p < m.end) {
		must(wire_read_ack(&m, &id, &records) == 0);
		r->records += records;
		r->acks++;
	}
	free((void *)(uintptr_t)r->body.p);
	r->body = (struct bytes){ 0 };
}

/* ---- the world ---- */

struct world {
	struct sim	*sim;
	struct env	 env;
	struct queue	*q;
	struct receiver	*r;
	struct inpost	*ip;
	struct serve_req req[3];
	bool		 opened, closed;
};

static void
on_open(void *arg, int res)
{
	struct world *w = arg;

	must(res == 0);
	w->opened = true;
}

static void
on_close(void *arg)
{
	*(bool *)arg = true;
}

static void
run(struct world *w, uint64_t ns)
{
	sim_run(w->sim, sim_now(w->sim) + ns, NULL, NULL);
}

static void
begin(struct world *w, uint8_t flags, uint8_t size)
{
	const struct sim_faults f = {
	    .short_io = (flags & F_SHORT) != 0 ? 500000 : 0 };
	struct queue_conf qc = { .dir = "/q", .bytes_max = 8 << 20,
	    .segment_bytes = 256 << 10, .staging_bytes = 256 << 10 };
	struct receiver_conf rc = { .message_max = 64 + 64 * (size_t)size,
	    .input_max = 256 << 10 };
	struct inpost_conf ic = { .message_max = rc.message_max };
	struct sim_proc *p;

	if ((flags & F_FULL) != 0)
		qc.bytes_max = 512 << 10;
	must(sim_new(&w->sim, 1, &f) == 0);
	p = sim_proc_new(sim_host_new(w->sim, "relay"), "relay");
	must(p != NULL);
	env_init(&w->env, sim_loop(p), "fuzz");
	w->env.log_fd = -1;
	must(queue_new(&w->q, &w->env, &qc) == 0);
	queue_open(w->q, on_open, w);
	run(w, S);
	must(w->opened);
	rc.queue = w->q;
	must(receiver_new(&w->r, &w->env, &rc) == 0);
	ic.receiver = w->r;
	must(inpost_new(&w->ip, &w->env, &ic) == 0);
}

static void
post(struct world *w, unsigned i, const char *method, struct bytes body)
{
	struct serve_req *r = &w->req[i];
	uint8_t *copy = malloc(body.n + 1);

	must(copy != NULL);
	if (body.n > 0)
		memcpy(copy, body.p, body.n);
	*r = (struct serve_req){ .method = method,
	    .body = bytes_of(copy, body.n) };
	must(inpost_owns(r));
	inpost_request(w->ip, r);
}

static void
finish(struct world *w)
{
	w->closed = false;
	receiver_close(w->r, on_close, &w->closed);
	run(w, 10 * S);
	must(w->closed);
	w->closed = false;
	queue_close(w->q, on_close, &w->closed);
	run(w, 10 * S);
	must(w->closed);
	inpost_free(&w->ip);
	receiver_free(&w->r);
	queue_free(&w->q);
	env_fini(&w->env);
	sim_free(&w->sim);
}

static void
end_posts(struct world *w)
{
	w->closed = false;
	inpost_close(w->ip, on_close, &w->closed);
	must(!w->closed);
	run(w, 5 * S);
	must(w->closed);
}

/* ---- what may be said of a body ---- */

/* Messages that ask for an answer, at the start of the body. */
static unsigned
asked(struct bytes body, size_t max)
{
	struct message_scan ms;
	struct message m;
	unsigned n = 0;
	size_t skip;

	for (;;) {
		skip = message_nils(body);
		body = bytes_of(body.p + skip, body.n - skip);
		message_scan_init(&ms, max);
		if (body.n == 0 || message_scan(&ms, body, &m) != 0)
			return n;
		n += m.chunk.n > 0;
		body = bytes_of(body.p + m.bytes, body.n - m.bytes);
	}
}

static void
check_answers(const struct world *w, unsigned n, unsigned most)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		must(w->req[i].status != 0);
		must(w->req[i].acks <= most);
	}
}

static uint64_t
ctr(const struct world *w, enum ctr id)
{
	return ctr_get(&w->env.ctr, id);
}

/* What a short write cost was counted, and is acknowledged to nobody. */
static void
check_held(const struct world *w, uint8_t flags)
{
	uint64_t taken = ctr(w, CTR_recv_records);
	uint64_t held = queue_held_records(w->q);

	must(held <= taken);
	must(held == taken || (flags & F_SHORT) != 0);
	must(held > 0 || w->req[0].records == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct world w;
	struct bytes body;
	unsigned most;

	if (n < 2 || n > INPUT_MAX)
		return 0;
	w = (struct world){ .opened = false };
	body = bytes_of(p + 2, n - 2);
	most = asked(body, 64 + 64 * (size_t)p[1]);
	begin(&w, p[0], p[1]);
	post(&w, 0, "POST", body);
	post(&w, 1, (p[0] & F_GET) != 0 ? "GET" : "POST", body);
	if ((p[0] & F_END) == 0)
		run(&w, 60 * S);
	else
		end_posts(&w);
	check_answers(&w, 2, most);
	must((p[0] & F_GET) == 0 || w.req[1].status == 405);
	if (w.req[0].status == 400)
		must(ctr(&w, CTR_recv_messages) == 0);
	check_held(&w, p[0]);
	post(&w, 2, "POST", body);
	run(&w, 60 * S);
	check_answers(&w, 3, most);
	must((p[0] & F_END) == 0 || w.req[2].status == 503);
	must(w.req[0].status != 400 || (p[0] & F_END) != 0 ||
	    w.req[2].status == 400);
	check_held(&w, p[0]);
	if ((p[0] & F_END) == 0)
		end_posts(&w);
	finish(&w);
	return 0;
}
