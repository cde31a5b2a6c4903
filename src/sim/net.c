/* SPDX-License-Identifier: ISC */
/* net.c - sockets of a simulated world: streams with delay, and cuts */

#include "sim/inner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/must.h"
#include "banned.h"

struct parcel {
	struct sock	*to;
	size_t		 n;
	uint8_t		 bytes[];
};

static struct sim *
sim_of(struct sim_proc *p)
{
	return p->host->sim;
}

static uint64_t
delay(struct sim *s)
{
	return 1000 + sim_random(s, s->faults.net_delay_ns + 1);
}

/* When what is due at_ns comes from, or to, this host. */
static uint64_t
lit(const struct sim_host *h, uint64_t at_ns)
{
	return h != NULL && h->dark_ns > at_ns ? h->dark_ns : at_ns;
}

static uint16_t
port_of(const struct loop_addr *a)
{
	const struct sockaddr_in6 *in6 = (const void *)&a->sa;
	const struct sockaddr_in *in = (const void *)&a->sa;

	return a->sa.ss_family == AF_INET6 ? ntohs(in6->sin6_port) :
	    ntohs(in->sin_port);
}

static void
set_port(struct loop_addr *a, uint16_t port)
{
	struct sockaddr_in6 *in6 = (void *)&a->sa;
	struct sockaddr_in *in = (void *)&a->sa;

	if (a->sa.ss_family == AF_INET6)
		in6->sin6_port = htons(port);
	else
		in->sin_port = htons(port);
}

static void
sock_put(struct sock *k)
{
	must(k->refs > 0);
	if (--k->refs > 0)
		return;
	free(k->rx);
	free(k);
}

static struct listener *
listener_at(struct sim *s, uint16_t port)
{
	struct listener *l;

	for (l = s->listeners; l != NULL; l = l->next)
		if (l->port == port)
			return l;
	return NULL;
}

int
net_listen(struct sim_proc *p, const struct loop_addr *at,
    struct loop_addr *ret_bound)
{
	struct sim *s = sim_of(p);
	uint16_t port = port_of(at);
	struct listener *l;
	int fd;

	if (port == 0)
		port = s->next_port++;
	if (listener_at(s, port) != NULL)
		return -EADDRINUSE;
	fd = proc_fd(p, FD_LISTEN);
	if (fd < 0)
		return fd;
	l = must_alloc(sizeof(*l));
	l->proc = p;
	l->fd = fd;
	l->port = port;
	l->next = s->listeners;
	s->listeners = l;
	p->fd[fd].listener = l;
	*ret_bound = *at;
	set_port(ret_bound, port);
	return fd;
}

/* Gives the next waiting connection to a waiting accept. */
static void
serve_backlog(struct listener *l)
{
	struct op *op = l->accept;
	struct sock *k;
	int fd;

	if (op == NULL || l->backlog_n == 0)
		return;
	l->accept = NULL;
	fd = proc_fd(l->proc, FD_SOCK);
	if (fd < 0) {
		sim_later(l->proc, op, fd, 0);
		return;
	}
	k = l->backlog[0];
	memmove(l->backlog, l->backlog + 1, --l->backlog_n * sizeof(k));
	k->proc = l->proc;
	k->fd = fd;
	k->accepted = true;
	l->proc->fd[fd].sock = k;
	struct sockaddr_in in = { .sin_family = AF_INET,
	    .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	memcpy(&op->addr.sa, &in, sizeof(in));
	op->addr.len = sizeof(in);
	sim_later(l->proc, op, fd, 0);
}

void
net_accept(struct sim_proc *p, struct op *op)
{
	struct listener *l = p->fd[op->fd].listener;

	must(p->fd[op->fd].kind == FD_LISTEN && l->accept == NULL);
	l->accept = op;
	serve_backlog(l);
}

/* The two ends of a connection; each is held by its descriptor and its peer. */
static struct sock *
two_socks(struct sim_proc *p, int fd)
{
	struct sock *here = must_alloc(sizeof(*here));
	struct sock *there = must_alloc(sizeof(*there));

	here->connection = there->connection = ++sim_of(p)->connections;
	here->refs = there->refs = 2;
	here->peer = there;
	there->peer = here;
	here->proc = p;
	here->fd = fd;
	there->fd = -1;
	p->fd[fd].sock = here;
	return here;
}

int
net_pair(struct sim_proc *p, int ret_fd[2])
{
	int a, b;

	a = proc_fd(p, FD_SOCK);
	if (a < 0)
		return a;
	b = proc_fd(p, FD_SOCK);
	if (b < 0) {
		p->fd[a] = (struct sim_fd){ 0 };
		return b;
	}
	struct sock *here = two_socks(p, a), *there = here->peer;
	there->proc = p;
	there->fd = b;
	here->pair = there->pair = true;
	p->fd[b].sock = there;
	ret_fd[0] = a;
	ret_fd[1] = b;
	return 0;
}

static void
connected(struct sim_event *e)
{
	struct sim_proc *p = e->proc;
	struct listener *l = listener_at(sim_of(p), (uint16_t)e->num);
	struct sock *here;
	int fd;

	if (e->op == NULL)
		return;
	if (l == NULL || l->backlog_n == 64) {
		loop_complete(p->loop, e->op, -ECONNREFUSED);
		return;
	}
	fd = proc_fd(p, FD_SOCK);
	if (fd < 0) {
		loop_complete(p->loop, e->op, fd);
		return;
	}
	here = two_socks(p, fd);
	l->backlog[l->backlog_n++] = here->peer;
	serve_backlog(l);
	loop_complete(p->loop, e->op, fd);
}

void
net_connect(struct sim_proc *p, struct op *op)
{
	struct listener *l = listener_at(sim_of(p), port_of(&op->addr));
	struct sim *s = sim_of(p);
	struct sim_event *e;

	e = sim_at(s, lit(p->host, lit(l == NULL ? NULL : l->proc->host,
	    s->now_ns + delay(s))), connected);
	e->proc = p;
	e->op = op;
	e->num = port_of(&op->addr);
}

/* ---- bytes ---- */

static size_t
few_bytes(struct sim *s, struct sock *k, size_t n)
{
	if (n > 1 && !k->pair && k->one_byte == 0 &&
	    sim_chance(s, s->faults.one_byte, FAULT_ONE_BYTE))
		k->one_byte = 40;
	if (k->one_byte == 0 || n == 0)
		return n;
	k->one_byte--;
	return 1;
}

static void
give_bytes(struct sock *k)
{
	struct op *op = k->recv;
	struct sim *s;
	size_t n;

	if (op == NULL || k->proc == NULL)
		return;
	s = sim_of(k->proc);
	if (k->reset) {
		k->recv = NULL;
		sim_later(k->proc, op, -ECONNRESET, 0);
		return;
	}
	if (k->rx_n == 0 && !k->eof)
		return;
	n = k->rx_n < op->len ? k->rx_n : (size_t)op->len;
	if (n > 1 && sim_chance(s, s->faults.short_io, FAULT_SHORT))
		n = 1 + (size_t)sim_random(s, n);
	n = few_bytes(s, k, n);
	if (n > 0)
		memcpy(op->buf, k->rx, n);
	k->recv = NULL;
	if ((op->flags & MSG_PEEK) == 0) {
		if (n > 0)
			memmove(k->rx, k->rx + n, k->rx_n - n);
		k->rx_n -= n;
	}
	sim_later(k->proc, op, (int64_t)n, 0);
	if (k->peer != NULL && k->peer->send != NULL &&
	    k->peer->proc != NULL) {
		op = k->peer->send;
		k->peer->send = NULL;
		net_send(k->peer->proc, op);
	}
}

void
net_recv(struct sim_proc *p, struct op *op)
{
	struct sock *k = p->fd[op->fd].sock;

	must(p->fd[op->fd].kind == FD_SOCK && k->recv == NULL);
	k->recv = op;
	give_bytes(k);
}

static void
arrived(struct sim_event *e)
{
	struct parcel *a = e->arg;
	struct sock *k = a->to;

	k->flying -= a->n;
	if (k->fd >= 0 || k->proc == NULL) {	/* open, or in the backlog */
		if (k->rx_n + a->n > k->rx_cap) {
			k->rx_cap = 2 * (k->rx_n + a->n);
			k->rx = realloc(k->rx, k->rx_cap);
			must(k->rx != NULL);
		}
		if (a->n > 0)
			memcpy(k->rx + k->rx_n, a->bytes, a->n);
		k->rx_n += a->n;
		give_bytes(k);
	}
	sock_put(k);
	free(a);
}

static void
ended(struct sim_event *e)
{
	struct sock *k = e->arg;

	if (e->num != 0)
		k->reset = true;
	k->eof = true;
	give_bytes(k);
	if (k->reset && k->send != NULL && k->proc != NULL) {
		sim_later(k->proc, k->send, -ECONNRESET, 0);
		k->send = NULL;
	}
	sock_put(k);
}

static void
end_at(struct sim *s, struct sock *k, uint64_t at, bool reset)
{
	struct sim_event *e;

	if (k->silent)
		return;		/* nobody tells it */
	if (at < k->last_ns)
		at = k->last_ns;
	k->last_ns = at;
	k->refs++;
	e = sim_at(s, at, ended);
	e->arg = k;
	e->num = reset;
}

int
net_shutdown(struct sim_proc *p, int fd)
{
	struct sim *s = sim_of(p);
	struct sock *k = p->fd[fd].sock;

	must(p->fd[fd].kind == FD_SOCK);
	if (k->reset || k->peer == NULL)
		return -ENOTCONN;
	end_at(s, k->peer, s->now_ns + delay(s), false);
	return 0;
}

static size_t
gather(const struct op *op, uint8_t *to, size_t cap)
{
	size_t i, n, at = 0;

	for (i = 0; i < op->len && at < cap; i++) {
		n = op->iov[i].iov_len;
		n = n < cap - at ? n : cap - at;
		if (to != NULL)
			memcpy(to + at, op->iov[i].iov_base, n);
		at += n;
	}
	return at;
}

static void
tap(struct sim_proc *p, struct sock *k, struct parcel *a, uint64_t *at)
{
	struct sim *s = sim_of(p);
	struct sock *to = a->to;
	struct sim_tapped t = { .from = p, .to = to->proc,
	    .connection = k->connection, .bytes = a->bytes, .n = a->n,
	    .cap = a->n + SIM_TAP_ROOM };

	if (s->tap == NULL || !k->accepted)
		return;
	s->tap(s->tap_arg, &t);
	must(t.n <= t.cap);
	a->n = t.n;
	*at += t.delay_ns;
	if (t.lose) {
		a->n = 0;
		end_at(s, to, *at, true);
		end_at(s, k, s->now_ns + 1000, true);
	}
}

/* When it arrives: not before what was sent before. */
static uint64_t
arrival(struct sim_proc *p, struct sock *k, struct parcel *a)
{
	struct sim *s = sim_of(p);
	struct sock *to = a->to;
	uint64_t at = s->now_ns + delay(s);

	if (k->pair)
		return at > to->last_ns ? at : to->last_ns;
	tap(p, k, a, &at);
	if (sim_chance(s, s->faults.together, FAULT_TOGETHER))
		at += UINT64_C(100000000);
	if (sim_chance(s, s->faults.late, FAULT_LATE))
		at += 1 + sim_random(s, UINT64_C(8000000000));
	at = lit(p->host, lit(to->proc == NULL ? NULL : to->proc->host, at));
	return at > to->last_ns ? at : to->last_ns;
}

/* Nobody hears it; the window fills up. */
static void
swallow(struct sim_proc *p, struct sock *k, struct op *op)
{
	size_t n = gather(op, NULL, SIM_WINDOW - k->swallowed);

	if (n == 0) {
		k->send = op;
		return;
	}
	k->swallowed += n;
	sim_later(p, op, (int64_t)n, 500);
}

void
net_send(struct sim_proc *p, struct op *op)
{
	struct sim *s = sim_of(p);
	struct sock *k = p->fd[op->fd].sock, *to = k->peer;
	struct sim_event *e;
	struct parcel *a;
	size_t room, n;

	must(p->fd[op->fd].kind == FD_SOCK);
	if (k->silent) {
		swallow(p, k, op);
		return;
	}
	if (k->reset || to == NULL || (to->fd < 0 && to->proc != NULL)) {
		sim_later(p, op, -EPIPE, 0);
		return;
	}
	if (!k->pair && sim_chance(s, s->faults.cut, FAULT_CUT)) {
		end_at(s, to, s->now_ns + delay(s), true);
		end_at(s, k, s->now_ns + 1000, true);
	}
	room = to->rx_n + to->flying < SIM_WINDOW ?
	    SIM_WINDOW - to->rx_n - to->flying : 0;
	if (room == 0) {
		k->send = op;
		return;
	}
	n = gather(op, NULL, room);
	if (n > 1 && sim_chance(s, s->faults.short_io, FAULT_SHORT))
		n = 1 + (size_t)sim_random(s, n);
	if (!k->pair && !k->silent &&
	    sim_chance(s, s->faults.silent, FAULT_SILENT))
		k->silent = to->silent = true;
	if (k->silent) {
		swallow(p, k, op);
		return;
	}
	a = must_alloc(sizeof(*a) + n + SIM_TAP_ROOM);
	a->to = to;
	a->n = gather(op, a->bytes, n);
	to->last_ns = arrival(p, k, a);
	to->refs++;
	to->flying += a->n;
	e = sim_at(s, to->last_ns, arrived);
	e->arg = a;
	sim_later(p, op, (int64_t)n, 500);
}

/* ---- the end ---- */

static void
close_listener(struct sim_proc *p, struct listener *l)
{
	struct listener **lp;
	unsigned i;

	for (lp = &sim_of(p)->listeners; *lp != l; lp = &(*lp)->next)
		continue;
	*lp = l->next;
	for (i = 0; i < l->backlog_n; i++) {
		struct sock *k = l->backlog[i], *peer = k->peer;

		if (peer != NULL) {
			end_at(sim_of(p), peer, sim_of(p)->now_ns, true);
			peer->peer = NULL;
			k->peer = NULL;
			sock_put(peer);
			sock_put(k);
		}
		sock_put(k);
	}
	free(l);
}

static void
close_sock(struct sim_proc *p, struct sock *k, bool reset)
{
	struct sim *s = sim_of(p);
	struct sock *peer = k->peer;

	must(k->recv == NULL || reset);
	k->fd = -1;
	k->recv = k->send = NULL;
	if (peer != NULL) {
		end_at(s, peer, s->now_ns + delay(s), reset);
		peer->peer = NULL;
		k->peer = NULL;
		sock_put(peer);
		sock_put(k);
	}
	sock_put(k);
}

void
net_close(struct sim_proc *p, int fd, bool reset)
{
	struct sim_fd *f = &p->fd[fd];

	if (f->kind == FD_LISTEN)
		close_listener(p, f->listener);
	else
		close_sock(p, f->sock, reset);
	*f = (struct sim_fd){ 0 };
}

bool
net_cancel(struct sim_proc *p, struct op *op)
{
	struct sim_fd *f;

	if (op->kind == OP_CONNECT) {
		sim_forget(sim_of(p), op);
		return true;
	}
	f = &p->fd[op->fd];
	if (f->kind == FD_LISTEN && f->listener->accept == op) {
		f->listener->accept = NULL;
		return true;
	}
	if (f->kind == FD_SOCK && f->sock->recv == op) {
		f->sock->recv = NULL;
		return true;
	}
	if (f->kind == FD_SOCK && f->sock->send == op) {
		f->sock->send = NULL;
		return true;
	}
	return false;
}
