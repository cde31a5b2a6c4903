/* SPDX-License-Identifier: ISC */
/*
 * fuzz_recv.c - any bytes to the receiver, as a connection or a POST's body
 * brings them (libFuzzer: clang)
 *
 * Input: a byte that sizes the pieces, then what a peer says.  It goes twice
 * over a pair of the simulated loop into a real receiver and queue, as
 * inpost.h does with a body.  Claims: each connection ends by itself once its
 * peer is silent; the queue holds the records that were counted, and no more
 * messages are acknowledged than were taken; what came with a stream is not
 * held twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"
#include "base/must.h"
#include "forward/mp.h"
#include "hop/receiver.h"
#include "hop/wire.h"
#include "queue/queue.h"
#include "sim/sim.h"

#define INPUT_MAX	8192
#define ACKS_MAX	(1u << 16)
#define S		1000000000ull

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct peer {
	struct loop	*l;
	int		 fd;
	struct op	 send, recv, close;
	struct iovec	 iov;
	const uint8_t	*p;
	size_t		 n, sent, piece;
	size_t		 got;
	uint8_t		 in[ACKS_MAX];
	bool		 open;
};

struct world {
	struct sim	*sim;
	struct env	 env;
	struct queue	*q;
	struct receiver	*r;
	struct peer	 peer;
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
	bool *closed = arg;

	*closed = true;
}

/* ---- the peer: says its piece, shuts down, hears the answers ---- */

static void
say_more(struct peer *pe)
{
	size_t n = pe->n - pe->sent;

	if (n == 0) {
		(void)loop_shutdown(pe->l, pe->fd);
		return;
	}
	n = n < pe->piece ? n : pe->piece;
	pe->iov = (struct iovec){ (void *)(uintptr_t)(pe->p + pe->sent), n };
	loop_send(pe->l, &pe->send, pe->fd, &pe->iov, 1);
}

static void
on_sent(struct op *op)
{
	struct peer *pe = op->arg;

	if (op->res <= 0 || !pe->open)
		return;
	pe->sent += (size_t)op->res;
	say_more(pe);
}

static void
on_heard(struct op *op)
{
	struct peer *pe = op->arg;

	if (op->res <= 0) {
		pe->open = false;
		return;
	}
	pe->got += (size_t)op->res;
	must(pe->got < ACKS_MAX);
	loop_recv(pe->l, &pe->recv, pe->fd, pe->in + pe->got,
	    ACKS_MAX - pe->got);
}

static void
on_gone(struct op *op)
{
	struct peer *pe = op->arg;

	pe->fd = -1;
}

static uint64_t
acks(const struct peer *pe)
{
	struct mp m = { pe->in, pe->in + pe->got };
	struct bytes id;
	uint64_t n, k;

	for (n = 0; wire_read_ack(&m, &id, &k) == 0; n++)
		;
	return n;
}

/* ---- the world ---- */

static void
run(struct world *w, uint64_t ns)
{
	sim_run(w->sim, sim_now(w->sim) + ns, NULL, NULL);
}

static bool
is_over(void *arg)
{
	const struct world *w = arg;

	return !w->peer.open && receiver_open_count(w->r) == 0;
}

static void
begin(struct world *w)
{
	static const struct sim_faults none;
	static const struct queue_conf qc = { .dir = "/q",
	    .bytes_max = 8 << 20, .segment_bytes = 256 << 10,
	    .staging_bytes = 256 << 10 };
	struct receiver_conf rc = { .message_max = 64 << 10,
	    .input_max = 256 << 10 };
	struct sim_proc *p;

	must(sim_new(&w->sim, 1, &none) == 0);
	p = sim_proc_new(sim_host_new(w->sim, "relay"), "relay");
	must(p != NULL);
	w->peer.l = sim_loop(p);
	env_init(&w->env, w->peer.l, "fuzz");
	w->env.log_fd = -1;
	must(queue_new(&w->q, &w->env, &qc) == 0);
	queue_open(w->q, on_open, w);
	run(w, S);
	must(w->opened);
	rc.queue = w->q;
	must(receiver_new(&w->r, &w->env, &rc) == 0);
}

static void
talk(struct world *w, const uint8_t *p, size_t n, size_t piece)
{
	struct loop_addr nobody;
	struct peer *pe = &w->peer;
	int fd[2];

	memset(&nobody, 0, sizeof(nobody));
	must(loop_pair(pe->l, fd) == 0);
	pe->fd = fd[0];
	pe->p = p;
	pe->n = n;
	pe->piece = piece;
	pe->sent = pe->got = 0;
	pe->open = true;
	op_init(&pe->send, on_sent, pe);
	op_init(&pe->recv, on_heard, pe);
	op_init(&pe->close, on_gone, pe);
	must(receiver_take(w->r, fd[1], &nobody) == 0);
	loop_recv(pe->l, &pe->recv, pe->fd, pe->in, ACKS_MAX);
	say_more(pe);
	sim_run(w->sim, sim_now(w->sim) + 300 * S, is_over, w);
	must(is_over(w));
	if (!op_idle(&pe->send))
		loop_cancel(pe->l, &pe->send);
	run(w, S);
	loop_close(pe->l, &pe->close, pe->fd);
	run(w, S);
	must(pe->fd < 0);
}

static void
finish(struct world *w)
{
	bool closed = false;

	receiver_close(w->r, on_close, &closed);
	run(w, 10 * S);
	must(closed);
	closed = false;
	queue_close(w->q, on_close, &closed);
	run(w, 10 * S);
	must(closed);
	receiver_free(&w->r);
	queue_free(&w->q);
	env_fini(&w->env);
	sim_free(&w->sim);
}

static uint64_t
ctr(const struct world *w, enum ctr id)
{
	return ctr_get(&w->env.ctr, id);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct world w;
	uint64_t messages;

	if (n < 2 || n > INPUT_MAX)
		return 0;
	w = (struct world){ .opened = false };
	begin(&w);
	talk(&w, p + 1, n - 1, 1 + (size_t)p[0] * p[0]);
	must(queue_held_records(w.q) == ctr(&w, CTR_recv_records));
	messages = ctr(&w, CTR_recv_messages);
	must(acks(&w.peer) <= messages);
	talk(&w, p + 1, n - 1, n);
	must(queue_held_records(w.q) == ctr(&w, CTR_recv_records));
	must(acks(&w.peer) <= ctr(&w, CTR_recv_messages) - messages);
	finish(&w);
	return 0;
}
