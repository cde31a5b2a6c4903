/* SPDX-License-Identifier: ISC */
/* bridge.c - bytes between TLS and a pair; the contract is in bridge.h */

#include "loop/bridge.h"

#include <errno.h>

#include "base/env.h"
#include "base/must.h"

#include "banned.h"

#define MS		UINT64_C(1000000)
#define BRIDGES_MAX	1024
#define LOOK_MS		20	/* between two looks while closing */
#define BRIDGES_MAGIC	0x42524447U

enum { IN, OUT };		/* from the peer, to the peer */
enum { PEER, PLAIN };		/* the two sides of a bridge */

struct way {			/* one direction; one buffer, filled or sent */
	struct bridge	*b;
	struct op	 recv, send;
	struct iovec	 iov;
	bool		 over;		/* nothing more goes this way */
	bool		 drop;		/* nobody takes it: read and forget */
	bool		 still;		/* nothing moved since the last look */
	uint8_t		 buf[BRIDGE_BYTES];
};

struct bridge {
	struct bridges	*set;
	struct bridge	*next, **prevp;
	int		 fd[2];
	struct op	 close[2];
	struct op	 timer;
	bool		 dead, closing;
	struct way	 way[2];
};

struct bridges {
	uint32_t	 magic;
	struct env	*env;
	unsigned	 max, n;
	struct bridge	*first;
	struct op	 timer;
	uint64_t	 until_ns;	/* of closing */
	void		(*closed)(void *arg);
	void		*closed_arg;
	bool		 closing;
};

static void	 recv_done(struct op *op);
static void	 send_done(struct op *op);
static void	 linger_done(struct op *op);
static void	 close_done(struct op *op);
static void	 look_done(struct op *op);

static void
set_check(const struct bridges *set)
{
	must(set != NULL);
	must(set->magic == BRIDGES_MAGIC);
}

static struct loop *
loop_of(const struct bridge *b)
{
	return b->set->env->loop;
}

static int
from_of(const struct way *w)
{
	return w->b->fd[w == &w->b->way[IN] ? PEER : PLAIN];
}

static int
to_of(const struct way *w)
{
	return w->b->fd[w == &w->b->way[IN] ? PLAIN : PEER];
}

/* ---- the end ---- */

/* Last in each completion of the set: it may be freed in closed(). */
static void
set_finish(struct bridges *set)
{
	void (*closed)(void *arg) = set->closed;

	if (!set->closing || set->n > 0 || !op_idle(&set->timer) ||
	    closed == NULL)
		return;
	set->closed = NULL;
	closed(set->closed_arg);
}

static void
gone(struct bridge *b)
{
	struct bridges *set = b->set;

	*b->prevp = b->next;
	if (b->next != NULL)
		b->next->prevp = b->prevp;
	set->n--;
	env_free(set->env, b);
	set_finish(set);
}

static bool
is_quiet(const struct bridge *b)
{
	const struct way *in = &b->way[IN], *out = &b->way[OUT];

	return op_idle(&in->recv) && op_idle(&in->send) &&
	    op_idle(&out->recv) && op_idle(&out->send) && op_idle(&b->timer);
}

/* Last in each completion: b may be gone afterwards. */
static void
settle(struct bridge *b)
{
	if (b->way[IN].over && b->way[OUT].over)
		b->dead = true;
	if (!b->dead)
		return;
	loop_cancel(loop_of(b), &b->way[IN].recv);
	loop_cancel(loop_of(b), &b->way[IN].send);
	loop_cancel(loop_of(b), &b->way[OUT].recv);
	loop_cancel(loop_of(b), &b->way[OUT].send);
	loop_cancel(loop_of(b), &b->timer);
	if (b->closing || !is_quiet(b))
		return;
	b->closing = true;
	loop_close(loop_of(b), &b->close[PEER], b->fd[PEER]);
	loop_close(loop_of(b), &b->close[PLAIN], b->fd[PLAIN]);
}

static void
close_done(struct op *op)
{
	struct bridge *b = op->arg;

	if (op_idle(&b->close[PEER]) && op_idle(&b->close[PLAIN]))
		gone(b);
}

/* ---- carrying ---- */

static void
read_on(struct way *w)
{
	loop_recv(loop_of(w->b), &w->recv, from_of(w), w->buf, BRIDGE_BYTES);
}

static void
end_way(struct way *w)
{
	struct bridge *b = w->b;

	w->over = true;
	if (!w->drop)
		(void)loop_shutdown(loop_of(b), to_of(w));
	if (w == &b->way[OUT] && op_idle(&b->timer))
		loop_timer(loop_of(b), &b->timer, loop_now(loop_of(b)) +
		    BRIDGE_LINGER_MS * MS);
}

static void
recv_done(struct op *op)
{
	struct way *w = op->arg;
	struct bridge *b = w->b;

	w->still = false;
	if (b->dead) {
		/* nothing more */
	} else if (op->res < 0 && w == &b->way[IN]) {
		b->dead = true;
	} else if (op->res <= 0) {
		end_way(w);
	} else if (w->drop) {
		read_on(w);
	} else {
		w->iov = (struct iovec){ w->buf, (size_t)op->res };
		loop_send(loop_of(b), &w->send, to_of(w), &w->iov, 1);
	}
	settle(b);
}

static void
send_done(struct op *op)
{
	struct way *w = op->arg;
	struct bridge *b = w->b;
	size_t n = op->res > 0 ? (size_t)op->res : 0;

	w->still = false;
	must(n <= w->iov.iov_len);
	w->iov.iov_base = (uint8_t *)w->iov.iov_base + n;
	w->iov.iov_len -= n;
	if (b->dead) {
		/* nothing more */
	} else if (n == 0 && w == &b->way[OUT]) {
		b->dead = true;
	} else if (n == 0) {
		w->drop = true;
		read_on(w);
	} else if (w->iov.iov_len > 0) {
		loop_send(loop_of(b), &w->send, to_of(w), &w->iov, 1);
	} else {
		read_on(w);
	}
	settle(b);
}

static void
linger_done(struct op *op)
{
	struct bridge *b = op->arg;

	b->dead = true;
	settle(b);
}

/* ---- life ---- */

int
bridges_new(struct bridges **ret_set, struct env *env, unsigned max)
{
	struct bridges *set;

	set = env_alloc(env, sizeof(*set));
	if (set == NULL)
		return -ENOMEM;
	*set = (struct bridges){ .magic = BRIDGES_MAGIC, .env = env,
	    .max = max > 0 ? max : BRIDGES_MAX };
	op_init(&set->timer, look_done, set);
	*ret_set = set;
	return 0;
}

static void
way_init(struct bridge *b, struct way *w)
{
	w->b = b;
	op_init(&w->recv, recv_done, w);
	op_init(&w->send, send_done, w);
}

int
bridge_new(struct bridges *set, int fd, int *ret_plain)
{
	struct bridge *b;
	int pair[2], r;

	set_check(set);
	must(fd >= 0);
	if (set->closing)
		return -ESHUTDOWN;
	if (set->n >= set->max)
		return -EMFILE;
	b = env_alloc(set->env, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	r = loop_pair(set->env->loop, pair);
	if (r < 0) {
		env_free(set->env, b);
		return r;
	}
	b->set = set;
	b->fd[PEER] = fd;
	b->fd[PLAIN] = pair[0];
	op_init(&b->close[PEER], close_done, b);
	op_init(&b->close[PLAIN], close_done, b);
	op_init(&b->timer, linger_done, b);
	way_init(b, &b->way[IN]);
	way_init(b, &b->way[OUT]);
	b->next = set->first;
	b->prevp = &set->first;
	if (b->next != NULL)
		b->next->prevp = &b->next;
	set->first = b;
	set->n++;
	read_on(&b->way[IN]);
	read_on(&b->way[OUT]);
	*ret_plain = pair[1];
	return 0;
}

unsigned
bridges_open_count(const struct bridges *set)
{
	set_check(set);
	return set->n;
}

/* ---- closing the set ---- */

/*
 * A bridge whose plain side has nothing to say ends now, all of them late.
 * Nothing to say: from one look to the next, as a look may come before bytes
 * that are there are read.
 */
static void
look_done(struct op *op)
{
	struct bridges *set = op->arg;
	uint64_t now = loop_now(set->env->loop);
	struct bridge *b, *next;
	struct way *out;

	set_check(set);
	for (b = set->first; b != NULL; b = next) {
		next = b->next;
		out = &b->way[OUT];
		if ((out->still && op_idle(&out->send)) ||
		    now >= set->until_ns)
			b->dead = true;
		out->still = true;
		settle(b);
	}
	if (set->n > 0 && now < set->until_ns)
		loop_timer(set->env->loop, &set->timer, now + LOOK_MS * MS);
	set_finish(set);
}

void
bridges_close(struct bridges *set, void (*closed)(void *arg), void *arg)
{
	uint64_t now = loop_now(set->env->loop);

	set_check(set);
	must(!set->closing);
	set->closing = true;
	set->closed = closed;
	set->closed_arg = arg;
	set->until_ns = now + BRIDGE_CLOSE_MS * MS;
	loop_timer(set->env->loop, &set->timer, set->n == 0 ? now :
	    now + LOOK_MS * MS);
}

void
bridges_free(struct bridges **sp)
{
	struct bridges *set = *sp;

	if (set == NULL)
		return;
	set_check(set);
	must(set->n == 0);
	must(op_idle(&set->timer));
	set->magic = 0;
	env_free(set->env, set);
	*sp = NULL;
}
