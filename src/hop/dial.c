/* SPDX-License-Identifier: ISC */
/* dial.c - a name to a connected descriptor; the contract is in dial.h */

#include "hop/dial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/must.h"
#include "banned.h"

#define MS	UINT64_C(1000000)

static void	 resolved(struct op *op);
static void	 connected(struct op *op);
static void	 closed(struct op *op);
static void	 expired(struct op *op);

void
dial_init(struct dial *d, struct env *env,
    void (*done)(struct dial *d, int res), void *arg)
{
	*d = (struct dial){ .env = env, .done = done, .arg = arg };
	op_init(&d->resolve, resolved, d);
	op_init(&d->connect, connected, d);
	op_init(&d->close, closed, d);
	op_init(&d->timer, expired, d);
}

int
dial_know(struct dial *d, const char *peer, const struct edge_conf *conf)
{
	struct edge_conf ec = *conf;
	struct dial_edge *de = &d->edges[d->edges_n];
	struct peer p;
	int r;

	r = peer_parse(peer, strlen(peer), &p);
	if (r < 0 || !peer_is_url(&p))
		return r;
	must(d->edges_n < PEERS_MAX);
	ec.url = peer;
	r = edge_new(&de->edge, d->env, &ec);
	if (r < 0)
		return r;
	de->peer = peer;
	d->edges_n++;
	return 0;
}

void
dial_fini(struct dial *d)
{
	while (d->edges_n > 0)
		edge_free(&d->edges[--d->edges_n].edge);
}

bool
dial_idle(const struct dial *d)
{
	return !d->active && (!d->closing || d->edges_open == 0);
}

bool
dial_is_edge(const struct dial *d)
{
	return d->edge != NULL;
}

int
dial_error(const struct dial *d)
{
	return d->edge == NULL ? 0 : edge_error(d->edge);
}

const char *
dial_why(const struct dial *d)
{
	return d->edge == NULL ? "" : edge_why(d->edge);
}

uint64_t
dial_wait_ns(const struct dial *d)
{
	return d->edge == NULL ? 0 : edge_wait_ns(d->edge);
}

/* ---- by an edge ---- */

static struct edge *
edge_of(const struct dial *d, const char *peer)
{
	unsigned i;

	for (i = 0; i < d->edges_n; i++)
		if (d->edges[i].peer == peer)
			return d->edges[i].edge;
	return NULL;
}

static void
edge_opened(void *arg, int res)
{
	struct dial *d = arg;

	d->active = false;
	d->done(d, res);
}

static void
edge_closed(void *arg)
{
	struct dial *d = arg;

	must(d->edges_open > 0);
	if (--d->edges_open == 0 && !d->active)
		d->done(d, -ECANCELED);
}

/* ---- by an address ---- */

static void
step(struct dial *d)
{
	uint64_t most = DIAL_MS * MS;

	if (d->addrs > 2)
		most = 2 * most / d->addrs;
	d->until_ns = loop_now(d->env->loop) + most;
	if (op_idle(&d->timer))
		loop_timer(d->env->loop, &d->timer, d->until_ns);
	else if (d->timer.at_ns > d->until_ns)
		loop_cancel(d->env->loop, &d->timer);	/* armed anew there */
}

void
dial_start(struct dial *d, const char *name, const struct peer *peer)
{
	must(!d->active && !d->closing);
	d->edge = edge_of(d, name);
	if (d->edge != NULL) {
		d->active = true;
		edge_open(d->edge, edge_opened, d);
		return;
	}
	must(!peer_is_url(peer));
	(void)snprintf(d->host, sizeof(d->host), "%s", peer->host);
	(void)snprintf(d->port, sizeof(d->port), "%s", peer->port);
	d->active = true;
	d->cancelled = d->decided = false;
	d->addrs = d->at = 0;
	loop_resolve(d->env->loop, &d->resolve, d->host, d->port);
	step(d);
}

/* Last in each completion: a new dial may begin in done(). */
static void
finish(struct dial *d)
{
	if (!d->decided || !op_idle(&d->resolve) || !op_idle(&d->connect) ||
	    !op_idle(&d->close) || !op_idle(&d->timer))
		return;
	d->decided = false;
	d->active = false;
	d->done(d, d->res);
}

static void
decide(struct dial *d, int res)
{
	d->decided = true;
	d->res = res;
	if (!op_idle(&d->timer))
		loop_cancel(d->env->loop, &d->timer);
}

static void
try_next(struct dial *d, int why)
{
	if (d->cancelled) {
		decide(d, -ECANCELED);
	} else if (d->at == d->addrs) {
		/* it was our own patience that ended */
		decide(d, why == -ECANCELED ? -ETIMEDOUT : why);
	} else {
		loop_connect(d->env->loop, &d->connect, &d->addr[d->at++]);
		step(d);
	}
}

static void
resolved(struct op *op)
{
	struct dial *d = op->arg;

	if (op->res >= 0) {
		must(op->resolved.n >= 1);
		must(op->resolved.n <= 4);
		d->addrs = op->resolved.n;
		memcpy(d->addr, op->resolved.addr, sizeof(d->addr));
	}
	try_next(d, (int)op->res);
	finish(d);
}

static void
connected(struct op *op)
{
	struct dial *d = op->arg;

	if (op->res < 0) {
		try_next(d, (int)op->res);
	} else if (d->cancelled) {
		loop_close(d->env->loop, &d->close, (int)op->res);
		decide(d, -ECANCELED);
	} else {
		decide(d, (int)op->res);
	}
	finish(d);
}

static void
closed(struct op *op)
{
	finish(op->arg);
}

static void
give_up(struct dial *d)
{
	if (!op_idle(&d->resolve))
		loop_cancel(d->env->loop, &d->resolve);
	if (!op_idle(&d->connect))
		loop_cancel(d->env->loop, &d->connect);
}

static void
expired(struct op *op)
{
	struct dial *d = op->arg;

	if (!d->decided && loop_now(d->env->loop) >= d->until_ns)
		give_up(d);
	else if (!d->decided)
		loop_timer(d->env->loop, &d->timer, d->until_ns);
	finish(d);
}

void
dial_close(struct dial *d)
{
	unsigned i;

	must(!d->closing);
	d->closing = true;
	d->edges_open = d->edges_n;
	for (i = 0; i < d->edges_n; i++)
		edge_close(d->edges[i].edge, edge_closed, d);
	if (!d->active || d->edge != NULL)
		return;
	d->cancelled = true;
	give_up(d);
}
