/* SPDX-License-Identifier: ISC */
/* port.c - one listening port, protocols told by the first byte */

#include "hop/port.h"

#include <errno.h>

#include "base/env.h"
#include "base/must.h"
#include "hop/receiver.h"
#include "loop/serve.h"
#include "banned.h"

#define PORT_MAGIC	0x504f5254U
#define MS		UINT64_C(1000000)
#define WAITING_MAX	256
#define FIRST_BYTE_MS	60000
#define RETRY_MS	100	/* after accept failed: descriptors, memory */

struct guest {			/* a connection that has said nothing */
	struct port	*port;
	struct guest	*next, **prevp;	/* the oldest first */
	int		 fd;
	struct loop_addr peer;
	uint64_t	 until_ns;
	uint8_t		 byte;
	struct op	 peek, close;
};

struct port {
	uint32_t	 magic;
	struct env	*env;
	struct port_conf conf;
	struct loop_addr bound;
	int		 fd;
	struct op	 accept, timer, close;
	uint64_t	 retry_ns;	/* 0: accepting */
	struct guest	*guests, **lastp;
	unsigned	 guests_n;
	bool		 closing, closing_fd;
	void		(*closed)(void *arg);
	void		*closed_arg;
};

static void	 accept_more(struct port *p);
static void	 accept_done(struct op *op);
static void	 timer_done(struct op *op);
static void	 listener_closed(struct op *op);
static void	 peek_done(struct op *op);
static void	 guest_closed(struct op *op);

static struct port *
port_of(struct op *op)
{
	struct port *p = op->arg;

	must(p != NULL);
	must(p->magic == PORT_MAGIC);
	return p;
}

static void
count(struct port *p, enum ctr what)
{
	ctr_add(&p->env->ctr, what, 1);
}

int
port_open(struct port **ret_p, struct env *env, const struct port_conf *conf)
{
	struct port *p;
	int fd;

	p = env_alloc(env, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	fd = loop_listen(env->loop, conf->listen, &p->bound);
	if (fd < 0) {
		env_free(env, p);
		return fd;
	}
	p->magic = PORT_MAGIC;
	p->env = env;
	p->conf = *conf;
	p->fd = fd;
	if (p->conf.connections_max == 0)
		p->conf.connections_max = WAITING_MAX;
	if (p->conf.first_byte_ms == 0)
		p->conf.first_byte_ms = FIRST_BYTE_MS;
	p->lastp = &p->guests;
	op_init(&p->accept, accept_done, p);
	op_init(&p->timer, timer_done, p);
	op_init(&p->close, listener_closed, p);
	loop_accept(env->loop, &p->accept, fd);
	*ret_p = p;
	return 0;
}

const struct loop_addr *
port_bound(const struct port *p)
{
	must(p->magic == PORT_MAGIC);
	return &p->bound;
}

/* Last in each completion: p may be freed in closed(). */
static void
finish(struct port *p)
{
	if (!p->closing || !op_idle(&p->accept))
		return;
	if (!p->closing_fd && op_idle(&p->close)) {
		p->closing_fd = true;
		loop_close(p->env->loop, &p->close, p->fd);
	}
	if (p->closing_fd && p->guests == NULL && op_idle(&p->timer) &&
	    op_idle(&p->close))
		p->closed(p->closed_arg);
}

void
port_close(struct port *p, void (*closed)(void *arg), void *arg)
{
	struct guest *g;

	must(p->magic == PORT_MAGIC);
	must(!p->closing);
	p->closing = true;
	p->closed = closed;
	p->closed_arg = arg;
	for (g = p->guests; g != NULL; g = g->next)
		if (!op_idle(&g->peek))
			loop_cancel(p->env->loop, &g->peek);
	if (!op_idle(&p->timer))
		loop_cancel(p->env->loop, &p->timer);
	if (!op_idle(&p->accept))
		loop_cancel(p->env->loop, &p->accept);
	else
		finish(p);	/* loop_close() completes later */
}

void
port_free(struct port **pp)
{
	struct port *p = *pp;

	if (p == NULL)
		return;
	must(p->magic == PORT_MAGIC);
	must(p->closing);
	must(p->guests == NULL);
	must(op_idle(&p->close));
	p->magic = 0;
	env_free(p->env, p);
	*pp = NULL;
}

/* ---- guests ---- */

static void
guest_gone(struct guest *g)
{
	struct port *p = g->port;

	*g->prevp = g->next;
	if (g->next != NULL)
		g->next->prevp = g->prevp;
	else
		p->lastp = g->prevp;
	p->guests_n--;
	env_free(p->env, g);
}

static void
guest_closed(struct op *op)
{
	struct guest *g = op->arg;
	struct port *p = g->port;

	guest_gone(g);
	p->retry_ns = 0;
	accept_more(p);
	finish(p);
}

/* The one that has been silent for longest and is not being closed. */
static struct guest *
oldest(const struct port *p)
{
	struct guest *g = p->guests;

	while (g != NULL && (op_idle(&g->peek) || g->peek.cancelled))
		g = g->next;
	return g;
}

static void
arm(struct port *p)
{
	const struct guest *g = oldest(p);
	uint64_t at = p->retry_ns;

	if (g != NULL && (at == 0 || g->until_ns < at))
		at = g->until_ns;
	if (at == 0 || p->closing)
		return;
	if (op_idle(&p->timer))
		loop_timer(p->env->loop, &p->timer, at);
	else if (p->timer.at_ns > at)
		loop_cancel(p->env->loop, &p->timer);	/* armed anew there */
}

static void
guest_new(struct port *p, int fd, const struct loop_addr *peer)
{
	struct guest *g;

	g = env_alloc(p->env, sizeof(*g));
	if (g == NULL) {
		/* nothing to close it with but the port's own */
		must(op_idle(&p->close));
		loop_close(p->env->loop, &p->close, fd);
		count(p, CTR_recv_refused);
		return;
	}
	g->port = p;
	g->fd = fd;
	g->peer = *peer;
	g->until_ns = loop_now(p->env->loop) + p->conf.first_byte_ms * MS;
	op_init(&g->peek, peek_done, g);
	op_init(&g->close, guest_closed, g);
	g->prevp = p->lastp;
	*p->lastp = g;
	p->lastp = &g->next;
	p->guests_n++;
	loop_peek(p->env->loop, &g->peek, fd, &g->byte, 1);
	if (p->closing)
		loop_cancel(p->env->loop, &g->peek);
	arm(p);
}

/* So that a crowd of silent ones keeps nobody out. */
static void
make_room(struct port *p)
{
	struct guest *g = oldest(p);

	if (g == NULL)
		return;
	count(p, CTR_recv_refused);
	loop_cancel(p->env->loop, &g->peek);
}

/* 0: somebody has taken it over; else it is closed. */
static int
hand_over(struct guest *g)
{
	struct port *p = g->port;
	uint8_t b = g->byte;

	if (b == 0x16) {
		count(p, CTR_recv_tls);
		return -EPROTO;
	}
	if (b >= 'A' && b <= 'Z' && p->conf.serve != NULL) {
		/* it closes what it cannot serve, and counts it */
		(void)serve_take(p->conf.serve, g->fd, &g->peer);
		return 0;
	}
	if (((b >= 0x90 && b <= 0x9f) || b == 0xdc || b == 0xdd) &&
	    p->conf.receiver != NULL)
		return receiver_take(p->conf.receiver, g->fd, &g->peer);
	count(p, CTR_recv_bad);
	return -EPROTO;
}

static void
peek_done(struct op *op)
{
	struct guest *g = op->arg;
	struct port *p = g->port;

	if (!p->closing && op->res == 1 && hand_over(g) == 0) {
		guest_gone(g);
		finish(p);
		return;
	}
	loop_close(p->env->loop, &g->close, g->fd);
}

/* ---- the listener ---- */

static void
accept_more(struct port *p)
{
	if (!p->closing && op_idle(&p->accept) && op_idle(&p->close) &&
	    p->retry_ns == 0)
		loop_accept(p->env->loop, &p->accept, p->fd);
}

/* The listener, or a connection there was no memory for. */
static void
listener_closed(struct op *op)
{
	struct port *p = port_of(op);

	accept_more(p);
	finish(p);
}

static void
accept_done(struct op *op)
{
	struct port *p = port_of(op);

	if (op->res >= 0) {
		if (p->guests_n >= p->conf.connections_max)
			make_room(p);
		guest_new(p, (int)op->res, &op->addr);
	} else if (!p->closing && op->res != -ECONNABORTED) {
		p->retry_ns = loop_now(p->env->loop) + RETRY_MS * MS;
		if (op->res == -EMFILE || op->res == -ENFILE)
			make_room(p);	/* it goes on when that is closed */
		arm(p);
	}
	accept_more(p);
	finish(p);
}

static void
timer_done(struct op *op)
{
	struct port *p = port_of(op);
	uint64_t now = loop_now(p->env->loop);
	struct guest *g;

	for (g = p->guests; g != NULL && g->until_ns <= now; g = g->next)
		if (!op_idle(&g->peek))
			loop_cancel(p->env->loop, &g->peek);
	if (p->retry_ns != 0 && p->retry_ns <= now) {
		p->retry_ns = 0;
		accept_more(p);
	}
	arm(p);
	finish(p);
}
