/* SPDX-License-Identifier: ISC */
/* inpost.c - bodies to the receiver, its answers back; see inpost.h */

#include "http/inpost.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/env.h"
#include "base/must.h"
#include "forward/message.h"
#include "hop/receiver.h"
#include "hop/wire.h"

#include "banned.h"

#define INPOST_MAGIC	0x494e504fU
#define MS		UINT64_C(1000000)
#define MESSAGE_MAX	((size_t)16 << 20)
#define ACK_MORE	32	/* bytes of an answer besides its id */

struct item {			/* a request under way */
	struct inpost	*ip;
	struct item	*next, **prevp;
	struct serve_req *req;		/* NULL: answered */
	struct bytes	 body;		/* the request's */
	size_t		 sent;
	struct iovec	 iov;
	int		 fd[2];		/* our end; the other, if it is ours */
	unsigned	 asked;		/* messages that want an answer */
	uint8_t		*answer;
	size_t		 cap, len;
	uint64_t	 until_ns;
	bool		 whole;		/* the receiver has the body */
	bool		 over;		/* nothing more comes */
	bool		 late;		/* it took too long */
	struct op	 send, recv, timer, close[2];
};

struct inpost {
	uint32_t	 magic;
	struct env	*env;
	struct inpost_conf conf;
	struct item	*items;
	struct op	 last;
	bool		 closing;
	void		(*closed)(void *arg);
	void		*closed_arg;
};

static void	 send_done(struct op *op);
static void	 recv_done(struct op *op);
static void	 close_done(struct op *op);
static void	 timer_done(struct op *op);
static void	 last_done(struct op *op);

static void
inpost_check(const struct inpost *ip)
{
	must(ip != NULL);
	must(ip->magic == INPOST_MAGIC);
}

static void
count(struct inpost *ip, enum ctr what)
{
	ctr_add(&ip->env->ctr, what, 1);
}

/* ---- answers that are words ---- */

static void
refuse(struct inpost *ip, struct serve_req *req, int status, const char *words)
{
	const struct serve_header later = { "Retry-After", "1" };
	const struct serve_header allow = { "Allow", "POST" };

	count(ip, CTR_recv_posts_refused);
	serve_answer(req, status, "text/plain", bytes_of(words, strlen(words)),
	    status == 405 ? &allow : &later, status == 405 || status == 503);
}

/* ---- is it one for us ---- */

bool
inpost_owns(const struct serve_req *req)
{
	return strcmp(req_path(req), INPOST_PATH) == 0;
}

/* What answers the body needs: 0, -EBADMSG, -EMSGSIZE. */
static int
look(struct item *it, size_t max)
{
	size_t at = 0, cap = 1;
	struct message_scan scan;
	struct message m;
	struct bytes left;
	struct wire w;
	int r;

	while (at < it->body.n) {
		left = bytes_of(it->body.p + at, it->body.n - at);
		at += message_nils(left);
		left = bytes_of(it->body.p + at, it->body.n - at);
		if (left.n == 0)
			break;
		message_scan_init(&scan, max);
		r = message_scan(&scan, left, &m);
		if (r == 0 && m.emplog.n > 0)
			r = wire_read(m.emplog, &w);
		if (r < 0)
			return r == -EMSGSIZE ? r : -EBADMSG;
		at += m.bytes;
		it->asked += m.chunk.n > 0;
		cap += m.chunk.n > 0 ? m.chunk.n + ACK_MORE : 0;
	}
	it->cap = cap;
	return it->body.n == 0 ? -EBADMSG :
	    cap > INPOST_ANSWER_MAX ? -EMSGSIZE : 0;
}

/* ---- the end of a request ---- */

/* Whole answers; of one that was cut off nothing is left. */
static unsigned
answered(struct item *it)
{
	struct mp m = { it->answer, it->answer + it->len };
	uint64_t records;
	struct bytes id;
	unsigned n = 0;

	while (m.p < m.end && wire_read_ack(&m, &id, &records) == 0)
		n++;
	it->len = (size_t)(m.p - it->answer);
	return n;
}

static void
answer(struct item *it)
{
	struct serve_req *req = it->req;
	unsigned n = answered(it);

	it->req = NULL;
	if (n > 0 || (it->asked == 0 && it->whole && !it->late)) {
		if (n < it->asked)
			count(it->ip, CTR_recv_posts_refused);
		serve_answer(req, 200, "application/msgpack",
		    bytes_of(it->answer, it->len), NULL, 0);
	} else if (it->late) {
		refuse(it->ip, req, 503, it->ip->closing ?
		    "the relay is ending" :
		    "not stored in time: the queue is full or its disk slow");
	} else {
		refuse(it->ip, req, 503, "not stored: too many connections, "
		    "or the relay's log says why");
	}
}

/* Last in each completion: it may be gone afterwards. */
static void
settle(struct item *it)
{
	struct loop *l = it->ip->env->loop;

	if (!it->over)
		return;
	loop_cancel(l, &it->send);
	loop_cancel(l, &it->recv);
	loop_cancel(l, &it->timer);
	if (!op_idle(&it->send) || !op_idle(&it->recv) ||
	    !op_idle(&it->timer) || !op_idle(&it->close[0]))
		return;
	loop_close(l, &it->close[0], it->fd[0]);
	if (it->fd[1] >= 0)
		loop_close(l, &it->close[1], it->fd[1]);
}

static void
finish(struct inpost *ip)
{
	void (*closed)(void *arg) = ip->closed;

	if (!ip->closing || ip->items != NULL || !op_idle(&ip->last) ||
	    closed == NULL)
		return;
	ip->closed = NULL;
	closed(ip->closed_arg);
}

static void
item_free(struct item *it)
{
	struct inpost *ip = it->ip;

	*it->prevp = it->next;
	if (it->next != NULL)
		it->next->prevp = it->prevp;
	env_free(ip->env, it->answer);
	env_free(ip->env, it);
}

static void
close_done(struct op *op)
{
	struct item *it = op->arg;
	struct inpost *ip = it->ip;

	if (!op_idle(&it->close[0]) || !op_idle(&it->close[1]))
		return;
	answer(it);
	item_free(it);
	finish(ip);
}

/* ---- under way ---- */

static void
send_more(struct item *it)
{
	it->iov = (struct iovec){ (uint8_t *)(uintptr_t)it->body.p + it->sent,
	    it->body.n - it->sent };
	loop_send(it->ip->env->loop, &it->send, it->fd[0], &it->iov, 1);
}

/* Some of it was taken: the next may take as long again. */
static void
moved(struct item *it)
{
	if (!it->ip->closing)
		it->until_ns = loop_now(it->ip->env->loop) +
		    it->ip->conf.wait_ms * MS;
}

static void
send_done(struct op *op)
{
	struct item *it = op->arg;

	if (op->res > 0) {
		it->sent += (size_t)op->res;
		must(it->sent <= it->body.n);
		moved(it);
	}
	/* else it was closed early: what it still says is read */
	if (!it->over && op->res > 0 && it->sent < it->body.n)
		send_more(it);
	else if (!it->over && it->sent == it->body.n)
		it->whole = loop_shutdown(it->ip->env->loop,
		    it->fd[0]) == 0;
	settle(it);
}

static void
recv_done(struct op *op)
{
	struct item *it = op->arg;

	if (op->res > 0) {
		it->len += (size_t)op->res;
		moved(it);
	} else {
		it->over = true;
	}
	if (it->len == it->cap)		/* more than was asked for */
		it->over = true;
	if (!it->over)
		loop_recv(it->ip->env->loop, &it->recv, it->fd[0],
		    it->answer + it->len, it->cap - it->len);
	settle(it);
}

static void
timer_done(struct op *op)
{
	struct item *it = op->arg;

	if (!it->over && loop_now(it->ip->env->loop) >= it->until_ns)
		it->over = it->late = true;
	else if (!it->over)
		loop_timer(it->ip->env->loop, &it->timer, it->until_ns);
	settle(it);
}

static void
item_start(struct item *it)
{
	struct inpost *ip = it->ip;
	struct loop *l = ip->env->loop;

	op_init(&it->send, send_done, it);
	op_init(&it->recv, recv_done, it);
	op_init(&it->close[0], close_done, it);
	op_init(&it->close[1], close_done, it);
	op_init(&it->timer, timer_done, it);
	it->next = ip->items;
	it->prevp = &ip->items;
	if (it->next != NULL)
		it->next->prevp = &it->next;
	ip->items = it;
	moved(it);
	if (receiver_take(ip->conf.receiver, it->fd[1],
	    req_peer(it->req)) < 0) {
		it->over = true;	/* and both ends are ours */
		settle(it);
		return;
	}
	it->fd[1] = -1;
	loop_timer(l, &it->timer, it->until_ns);
	loop_recv(l, &it->recv, it->fd[0], it->answer, it->cap);
	send_more(it);
}

static int
item_room(struct item *it)
{
	struct inpost *ip = it->ip;
	int r;

	r = look(it, ip->conf.message_max);
	if (r < 0)
		return r;
	it->answer = env_alloc(ip->env, it->cap);
	return it->answer == NULL ? -ENOMEM :
	    loop_pair(ip->env->loop, it->fd);
}

static void
begin(struct inpost *ip, struct serve_req *req)
{
	struct item *it;
	int r;

	it = env_alloc(ip->env, sizeof(*it));
	if (it == NULL) {
		refuse(ip, req, 503, "no memory");
		return;
	}
	it->ip = ip;
	it->req = req;
	it->body = req_body(req);
	r = item_room(it);
	if (r == 0) {
		item_start(it);
		return;
	}
	env_free(ip->env, it->answer);
	env_free(ip->env, it);
	if (r == -EBADMSG)
		refuse(ip, req, 400, "the body is not whole Forward messages");
	else if (r == -EMSGSIZE)
		refuse(ip, req, 413, "a message is larger than "
		    "relay.message_max, or there are too many in one body");
	else
		refuse(ip, req, 503, "no descriptors or no memory");
}

/* ---- the contract ---- */

void
inpost_request(struct inpost *ip, struct serve_req *req)
{
	inpost_check(ip);
	count(ip, CTR_recv_posts);
	if (strcmp(req_method(req), "POST") != 0) {
		refuse(ip, req, 405, "POST Forward messages here");
	} else if (ip->closing) {
		refuse(ip, req, 503, "the relay is ending");
	} else {
		begin(ip, req);
	}
}

int
inpost_new(struct inpost **ret_ip, struct env *env,
    const struct inpost_conf *conf)
{
	struct inpost *ip;

	must(conf->receiver != NULL);
	ip = env_alloc(env, sizeof(*ip));
	if (ip == NULL)
		return -ENOMEM;
	ip->magic = INPOST_MAGIC;
	ip->env = env;
	ip->conf = *conf;
	if (ip->conf.message_max == 0)
		ip->conf.message_max = MESSAGE_MAX;
	if (ip->conf.wait_ms == 0)
		ip->conf.wait_ms = INPOST_WAIT_MS;
	op_init(&ip->last, last_done, ip);
	*ret_ip = ip;
	return 0;
}

static void
last_done(struct op *op)
{
	finish(op->arg);
}

void
inpost_close(struct inpost *ip, void (*closed)(void *arg), void *arg)
{
	struct loop *l = ip->env->loop;
	struct item *it;

	inpost_check(ip);
	must(!ip->closing);
	ip->closing = true;
	ip->closed = closed;
	ip->closed_arg = arg;
	for (it = ip->items; it != NULL; it = it->next) {
		it->until_ns = loop_now(l) + INPOST_END_MS * MS;
		loop_cancel(l, &it->timer);	/* set anew there */
	}
	loop_timer(l, &ip->last, 0);
}

void
inpost_free(struct inpost **ipp)
{
	struct inpost *ip = *ipp;

	if (ip == NULL)
		return;
	inpost_check(ip);
	must(ip->items == NULL);
	must(op_idle(&ip->last));
	ip->magic = 0;
	env_free(ip->env, ip);
	*ipp = NULL;
}
