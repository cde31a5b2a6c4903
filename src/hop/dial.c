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

bool
dial_idle(const struct dial *d)
{
	return !d->active;
}

static void
step(struct dial *d)
{
	d->until_ns = loop_now(d->env->loop) + DIAL_MS * MS;
	if (op_idle(&d->timer))
		loop_timer(d->env->loop, &d->timer, d->until_ns);
}

void
dial_start(struct dial *d, const char *host, const char *port)
{
	must(!d->active);
	must(strlen(host) < sizeof(d->host));
	must(strlen(port) < sizeof(d->port));
	(void)snprintf(d->host, sizeof(d->host), "%s", host);
	(void)snprintf(d->port, sizeof(d->port), "%s", port);
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
dial_cancel(struct dial *d)
{
	if (!d->active)
		return;
	d->cancelled = true;
	give_up(d);
}
