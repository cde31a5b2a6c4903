/* SPDX-License-Identifier: ISC */
/* receiver.c - the set of connections of a port; see receiver.h, conn.h */

#include "hop/receiver.h"

#include <errno.h>

#include "base/must.h"
#include "hop/conn.h"
#include "banned.h"

#define S		UINT64_C(1000000000)
#define MS		UINT64_C(1000000)
#define MESSAGE_MAX	((size_t)16 << 20)
#define INPUT_MAX	((size_t)40 << 20)
#define CONNECTIONS_MAX	1024
#define SILENT_MS	30000
#define KEEP_MAX	((uint64_t)64 << 20)	/* quarantine files a run */

static void	 wake_done(struct op *op);
static void	 sweep_done(struct op *op);

static void
receiver_check(const struct receiver *r)
{
	must(r != NULL);
	must(r->magic == RECEIVER_MAGIC);
}

static void
set_defaults(struct receiver_conf *conf)
{
	if (conf->message_max == 0)
		conf->message_max = MESSAGE_MAX;
	if (conf->input_max == 0)
		conf->input_max = INPUT_MAX;
	if (conf->connections_max == 0)
		conf->connections_max = CONNECTIONS_MAX;
	if (conf->silent_ms == 0)
		conf->silent_ms = SILENT_MS;
}

int
receiver_new(struct receiver **ret_r, struct env *env,
    const struct receiver_conf *conf)
{
	struct receiver *r;

	must(conf->queue != NULL);
	r = env_alloc(env, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	r->magic = RECEIVER_MAGIC;
	r->env = env;
	r->conf = *conf;
	set_defaults(&r->conf);
	/* one message as received and unpacked always finds room */
	r->shared = r->conf.input_max > 2 * r->conf.message_max ?
	    r->conf.input_max - 2 * r->conf.message_max : 0;
	r->waitersp = &r->waiters;
	inflate_init(&r->inflate);
	keep_init(&r->keep, env, conf->quarantine_dir, KEEP_MAX);
	op_init(&r->wake, wake_done, r);
	op_init(&r->sweep, sweep_done, r);
	*ret_r = r;
	return 0;
}

static void
free_pools(struct receiver *r)
{
	struct answer *an;
	struct answer_put *p;

	while ((an = r->free_answers) != NULL) {
		r->free_answers = an->next;
		env_free(r->env, an);
	}
	while ((p = r->free_puts) != NULL) {
		r->free_puts = p->next;
		env_free(r->env, p);
	}
}

void
receiver_free(struct receiver **rp)
{
	struct receiver *r = *rp;

	if (r == NULL)
		return;
	receiver_check(r);
	must(r->conns == NULL);
	must(op_idle(&r->wake));
	must(op_idle(&r->sweep));
	must(r->held == 0);
	inflate_fini(&r->inflate);
	free_pools(r);
	r->magic = 0;
	env_free(r->env, r);
	*rp = NULL;
}

static void
gauge(struct receiver *r)
{
	ctr_set(&r->env->ctr, CTR_recv_open, r->open);
}

int
receiver_take(struct receiver *r, int fd, const struct loop_addr *peer)
{
	int res;

	receiver_check(r);
	if (r->closing || r->open >= r->conf.connections_max) {
		ctr_add(&r->env->ctr, CTR_recv_refused, 1);
		return -EMFILE;
	}
	res = conn_new(r, fd, peer);
	if (res == 0)
		ctr_add(&r->env->ctr, CTR_recv_connections, 1);
	gauge(r);
	return res;
}

unsigned
receiver_open_count(const struct receiver *r)
{
	receiver_check(r);
	return r->open;
}

/* ---- memory ---- */

static void
wait_memory(struct receiver *r, struct conn *c)
{
	if (c->waits_memory)
		return;
	c->waits_memory = true;
	c->wait_next = NULL;
	*r->waitersp = c;
	r->waitersp = &c->wait_next;
}

static void
wait_no_more(struct receiver *r, struct conn *c)
{
	struct conn **at;

	if (!c->waits_memory)
		return;
	for (at = &r->waiters; *at != c; at = &(*at)->wait_next)
		must(*at != NULL);
	*at = c->wait_next;
	if (*at == NULL)
		r->waitersp = at;
	c->waits_memory = false;
}

static bool
may_have(struct receiver *r, struct conn *c, size_t n)
{
	if (r->borrower == c || r->held + n <= r->shared)
		return true;
	if (r->borrower != NULL)
		return false;
	r->borrower = c;
	c->lent_ns = loop_now(r->env->loop);
	return true;
}

int
receiver_memory(struct receiver *r, struct conn *c, size_t n,
    uint8_t **ret_p)
{
	struct conn *other;
	uint8_t *p;

	must(n > 0);
	if (!may_have(r, c, n)) {
		wait_memory(r, c);
		for (other = r->conns; other != NULL; other = other->next)
			conn_shrink(other);
		return -ENOBUFS;
	}
	p = env_alloc(r->env, n);
	if (p == NULL)
		return -ENOMEM;
	r->held += n;
	*ret_p = p;
	return 0;
}

void
receiver_memory_back(struct receiver *r, void *p, size_t n)
{
	if (p == NULL)
		return;
	must(r->held >= n);
	r->held -= n;
	env_free(r->env, p);
	if (r->waiters != NULL)
		receiver_wake(r);
}

void
receiver_returned(struct receiver *r, struct conn *c)
{
	if (r->borrower != c)
		return;
	r->borrower = NULL;
	if (r->waiters != NULL)
		receiver_wake(r);
}

/* ---- going on ---- */

void
receiver_wake(struct receiver *r)
{
	if (op_idle(&r->wake))
		loop_timer(r->env->loop, &r->wake, 0);
}

static void
finish(struct receiver *r)
{
	if (r->closing && r->conns == NULL && op_idle(&r->wake) &&
	    op_idle(&r->sweep) && r->closed != NULL) {
		void (*closed)(void *arg) = r->closed;

		r->closed = NULL;
		closed(r->closed_arg);
	}
}

static void
wake_memory(struct receiver *r)
{
	struct conn *c = r->waiters, *next;

	/* who still finds none waits again, behind the others */
	r->waiters = NULL;
	r->waitersp = &r->waiters;
	for (; c != NULL; c = next) {
		next = c->wait_next;
		c->waits_memory = false;
		conn_go(c);
	}
}

static void
wake_room(struct receiver *r)
{
	struct conn *c, *next;

	for (c = r->conns; c != NULL; c = next) {
		next = c->next;
		if (c->waits_room)
			conn_go(c);
	}
}

static void
wake_done(struct op *op)
{
	struct receiver *r = op->arg;

	receiver_check(r);
	wake_memory(r);
	wake_room(r);
	finish(r);
}

void
receiver_resume(struct receiver *r)
{
	const struct conn *c;

	receiver_check(r);
	for (c = r->conns; c != NULL && !c->waits_room; c = c->next)
		;
	if (c != NULL)
		receiver_wake(r);
}

/* ---- watching ---- */

void
receiver_watch(struct receiver *r)
{
	uint64_t every = r->conf.silent_ms * MS / 4;

	if (every > S)
		every = S;
	if (r->closing && every > S / 10)
		every = S / 10;
	if (op_idle(&r->sweep))
		loop_timer(r->env->loop, &r->sweep,
		    loop_now(r->env->loop) + every);
}

static void
sweep_done(struct op *op)
{
	struct receiver *r = op->arg;
	uint64_t now = loop_now(r->env->loop);
	struct conn *c, *next;
	bool again = false;

	receiver_check(r);
	for (c = r->conns; c != NULL; c = next) {
		next = c->next;
		again |= conn_watch(c, now);
	}
	if (again)
		receiver_watch(r);
	finish(r);
}

/* ---- closing ---- */

void
receiver_gone(struct receiver *r, struct conn *c)
{
	wait_no_more(r, c);
	receiver_returned(r, c);
	*c->prevp = c->next;
	if (c->next != NULL)
		c->next->prevp = c->prevp;
	r->open--;
	gauge(r);
	c->magic = 0;
	env_free(r->env, c);
	if (r->closing)
		receiver_wake(r);
}

void
receiver_close(struct receiver *r, void (*closed)(void *arg), void *arg)
{
	struct conn *c;

	receiver_check(r);
	must(!r->closing);
	r->closing = true;
	r->closing_ns = loop_now(r->env->loop);
	r->closed = closed;
	r->closed_arg = arg;
	for (c = r->conns; c != NULL; c = c->next)
		conn_drain(c);
	/* the ordinary sweep would come late */
	if (!op_idle(&r->sweep))
		loop_cancel(r->env->loop, &r->sweep);
	receiver_wake(r);
}
