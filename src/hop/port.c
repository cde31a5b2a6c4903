/* SPDX-License-Identifier: ISC */
/* port.c - one listening port, protocols told by the first byte */

#include "hop/port.h"

#include <errno.h>
#include <stdio.h>

#include "base/env.h"
#include "base/must.h"
#include "hop/greet.h"
#include "hop/receiver.h"
#include "loop/bridge.h"
#include "loop/inherit.h"
#include "loop/serve.h"
#include "loop/tls.h"
#include "banned.h"

#define PORT_MAGIC	0x504f5254U
#define MS		UINT64_C(1000000)
#define WAITING_MAX	256
#define FIRST_BYTE_MS	60000
#define RETRY_MS	100	/* after accept failed: descriptors, memory */
#define NOTE_MS		10000

struct guest {			/* a connection that is nobody's yet */
	struct port	*port;
	struct guest	*next, **prevp;	/* the oldest first */
	int		 fd;
	struct loop_addr peer;
	uint64_t	 until_ns;
	bool		 greets;	/* says HELO when until_ns is over */
	bool		 silent;	/* until_ns is over */
	bool		 ends;		/* its place is wanted */
	bool		 tls;		/* it is inside */
	uint8_t		 byte;
	struct op	 op;		/* peek or TLS */
	struct op	 close;
	struct greet	*greet;		/* NULL: not begun */
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
	uint64_t	 noted_ns;	/* 0: never */
	bool		 closing, closing_fd;
	void		(*closed)(void *arg);
	void		*closed_arg;
};

static void	 accept_more(struct port *p);
static void	 accept_done(struct op *op);
static void	 timer_done(struct op *op);
static void	 listener_closed(struct op *op);
static void	 peek_done(struct op *op);
static void	 tls_done(struct op *op);
static void	 greet_done(struct greet *gr, int res);
static void	 guest_closed(struct op *op);
static void	 guest_new(struct port *p, int fd, const struct loop_addr *peer);

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

/* Connections of a predecessor that it had taken nothing of. */
static void
take_heirs(struct port *p)
{
	struct loop_addr peer;
	int fd;

	while ((fd = loop_heir(p->env->loop, p->fd, &peer)) >= 0) {
		count(p, CTR_recv_inherited);
		guest_new(p, fd, &peer);
	}
}

int
port_open(struct port **ret_p, struct env *env, const struct port_conf *conf)
{
	struct port *p;
	int fd;

	must(conf->secure == PORT_PLAIN || conf->tls != NULL);
	must(conf->key == NULL || conf->receiver != NULL);
	must(conf->tls == NULL || conf->serve == NULL ||
	    conf->bridges != NULL);
	p = env_alloc(env, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	fd = loop_listen(env->loop, conf->listen, &p->bound);
	if (fd < 0) {
		env_free(env, p);
		return fd;
	}
	if (conf->defer)
		loop_defer(env->loop, fd);
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
	take_heirs(p);
	*ret_p = p;
	return 0;
}

const struct loop_addr *
port_bound(const struct port *p)
{
	must(p->magic == PORT_MAGIC);
	return &p->bound;
}

static void	 guest_end(struct guest *g);

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
		guest_end(g);
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
	env_free(p->env, g->greet);
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

/* Whatever it is at ends, and then its connection. */
static void
guest_end(struct guest *g)
{
	g->ends = true;
	if (g->greet != NULL)
		greet_cancel(g->greet);
	else if (!op_idle(&g->op))
		loop_cancel(g->port->env->loop, &g->op);
}

static bool
is_waiting(const struct guest *g)
{
	return !g->ends && !g->silent && op_idle(&g->close);
}

/* The one that has been here for longest and is not being closed. */
static struct guest *
oldest(const struct port *p)
{
	struct guest *g = p->guests;

	while (g != NULL && !is_waiting(g))
		g = g->next;
	return g;
}

static void
arm(struct port *p)
{
	const struct guest *g;
	uint64_t at = p->retry_ns;

	for (g = p->guests; g != NULL; g = g->next)
		if (is_waiting(g) && (at == 0 || g->until_ns < at))
			at = g->until_ns;
	if (at == 0 || p->closing)
		return;
	if (op_idle(&p->timer))
		loop_timer(p->env->loop, &p->timer, at);
	else if (p->timer.at_ns > at)
		loop_cancel(p->env->loop, &p->timer);	/* armed anew there */
}

static void
give_time(struct guest *g, uint64_t ms)
{
	g->silent = false;
	g->until_ns = loop_now(g->port->env->loop) + ms * MS;
	arm(g->port);
}

static void
refuse(struct guest *g, enum ctr what, const char *why)
{
	struct port *p = g->port;
	uint64_t now = loop_now(p->env->loop);
	char addr[LOOP_ADDR_TEXT], text[LOOP_ADDR_TEXT + 400];

	count(p, what);
	if (p->conf.note == NULL ||
	    (p->noted_ns != 0 && now - p->noted_ns < NOTE_MS * MS))
		return;
	p->noted_ns = now;
	loop_addr_text(&g->peer, addr);
	(void)snprintf(text, sizeof(text), "refused %s: %s", addr, why);
	p->conf.note(p->conf.arg, text);
}

/* ---- what a guest does ---- */

static void
peek(struct guest *g)
{
	struct port *p = g->port;
	bool tls_first = p->conf.secure == PORT_TLS && !g->tls;

	g->greets = p->conf.key != NULL && !tls_first;
	op_init(&g->op, peek_done, g);
	loop_peek(p->env->loop, &g->op, g->fd, &g->byte, 1);
	give_time(g, g->greets ? PORT_PATIENCE_MS : p->conf.first_byte_ms);
}

/* 0: goes on in greet_done(). */
static int
greet(struct guest *g)
{
	struct port *p = g->port;

	g->greet = env_alloc(p->env, sizeof(*g->greet));
	if (g->greet == NULL)
		return -ENOMEM;
	loop_own(p->env->loop, g->fd);
	give_time(g, KEY_SHAKE_MS);
	greet_start(g->greet, p->env, p->conf.key, g->fd, greet_done, g);
	return 0;
}

/* 0: it goes on; else it is closed. */
static int
begin(struct guest *g)
{
	const struct port_conf *c = &g->port->conf;

	if (c->key != NULL && c->serve == NULL &&
	    (g->tls || c->secure == PORT_PLAIN))
		return greet(g);
	peek(g);
	return 0;
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
	op_init(&g->op, peek_done, g);
	op_init(&g->close, guest_closed, g);
	g->prevp = p->lastp;
	*p->lastp = g;
	p->lastp = &g->next;
	p->guests_n++;
	if (begin(g) < 0)
		loop_close(p->env->loop, &g->close, g->fd);
	else if (p->closing)
		guest_end(g);
}

/* So that a crowd of silent ones keeps nobody out. */
static void
make_room(struct port *p)
{
	struct guest *g = oldest(p);

	if (g == NULL)
		return;
	count(p, CTR_recv_refused);
	guest_end(g);
}

static int
shake_tls(struct guest *g)
{
	struct port *p = g->port;

	if (p->conf.secure == PORT_PLAIN) {
		refuse(g, CTR_recv_tls, "it speaks TLS, and "
		    "common.tls_listen is no");
		return -EPROTO;
	}
	op_init(&g->op, tls_done, g);
	loop_tls(p->env->loop, &g->op, g->fd, p->conf.tls, NULL, NULL);
	/* its own limit ends it */
	give_time(g, UINT64_C(2) * TLS_SHAKE_MS);
	return 0;
}

/* 1, or why a bridge could not be had.  serve closes and counts its own. */
static int
take_http(struct guest *g)
{
	struct port *p = g->port;
	int fd, r;

	if (!g->tls) {
		(void)serve_take(p->conf.serve, g->fd, &g->peer);
		return 1;
	}
	r = bridge_new(p->conf.bridges, g->fd, &fd);
	if (r < 0) {
		count(p, CTR_recv_refused);
		return r;
	}
	(void)serve_give(p->conf.serve, fd, &g->peer);
	return 1;
}

static int
take_forward(struct guest *g)
{
	return receiver_take(g->port->conf.receiver, g->fd, &g->peer);
}

/* 1: somebody has taken it over; 0: it goes on; else it is closed. */
static int
hand_over(struct guest *g)
{
	struct port *p = g->port;
	uint8_t b = g->byte;

	/* What has a successor hear it again, serve sees to for HTTP. */
	if (b < 'A' || b > 'Z')
		loop_own(p->env->loop, g->fd);
	if (b == 0x16 && !g->tls)
		return shake_tls(g);
	if (p->conf.secure == PORT_TLS && !g->tls) {
		refuse(g, CTR_recv_plain_refused, "it does not speak TLS, and "
		    "common.tls_listen is yes");
		return -EPROTO;
	}
	if (b >= 'A' && b <= 'Z' && p->conf.serve != NULL)
		return take_http(g);
	if (((b < 0x90 || b > 0x9f) && b != 0xdc && b != 0xdd) ||
	    p->conf.receiver == NULL) {
		count(p, CTR_recv_bad);
		return -EPROTO;
	}
	if (p->conf.key != NULL) {
		refuse(g, CTR_recv_key_refused, "it does not wait to be asked "
		    "for the shared key; has it one?");
		return -EACCES;
	}
	return take_forward(g) == 0 ? 1 : -EPROTO;
}

/* Last in each completion of a guest; g may be gone. */
static void
guest_go(struct guest *g, int r)
{
	struct port *p = g->port;

	if (r == 1)
		guest_gone(g);
	else if (r < 0)
		loop_close(p->env->loop, &g->close, g->fd);
	finish(p);
}

static void
peek_done(struct op *op)
{
	struct guest *g = op->arg;
	int r = -ECANCELED;

	if (!g->ends && op->res == 1)
		r = hand_over(g);
	else if (!g->ends && g->silent && g->greets)
		r = greet(g);
	guest_go(g, r);
}

static void
tls_done(struct op *op)
{
	struct guest *g = op->arg;
	struct port *p = g->port;
	int r = (int)op->res;

	if (r == 0) {
		count(p, CTR_tls_handshakes);
		g->tls = true;
		r = g->ends ? -ECANCELED : begin(g);
	} else if (!g->ends) {
		refuse(g, CTR_tls_failed, loop_tls_why(p->env->loop, g->fd));
	}
	guest_go(g, r);
}

static void
greet_done(struct greet *gr, int res)
{
	struct guest *g = gr->arg;

	if (!g->ends && (res == -EACCES || res == -EBADMSG))
		refuse(g, CTR_recv_key_refused, res == -EACCES ?
		    "it does not know the shared key or the user" :
		    "it does not answer when asked for the shared key; has "
		    "it one?");
	if (res == 0)
		res = !g->ends && take_forward(g) == 0 ? 1 : -ECANCELED;
	guest_go(g, res);
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
be_late(struct guest *g)
{
	if (g->greets && g->greet == NULL && !op_idle(&g->op)) {
		g->silent = true;
		loop_cancel(g->port->env->loop, &g->op);
	} else {
		guest_end(g);
	}
}

static void
timer_done(struct op *op)
{
	struct port *p = port_of(op);
	uint64_t now = loop_now(p->env->loop);
	struct guest *g;

	for (g = p->guests; g != NULL; g = g->next)
		if (is_waiting(g) && g->until_ns <= now)
			be_late(g);
	if (p->retry_ns != 0 && p->retry_ns <= now) {
		p->retry_ns = 0;
		accept_more(p);
	}
	arm(p);
	finish(p);
}
