/* SPDX-License-Identifier: ISC */
/* conn.c - one connection of a receiver; see conn.h */

#include <errno.h>

#include "base/must.h"
#include "hop/conn.h"
#include "banned.h"

#define S		UINT64_C(1000000000)
#define MS		UINT64_C(1000000)
/* limits on slow peers, in times of conf.silent_ms */
#define FIRST		2	/* nothing of a first message comes */
#define SLOW		2	/* a message takes, and a second more a KiB */
#define BORROWED	4	/* with the last of the memory */
#define SEND		2	/* an answer is not taken */
#define ROOM		4	/* the queue has none */
#define CLOSING_NS	(1 * S)
#define AHEAD		4	/* memory: so many times what has come */
#define GROW_MIN	65536

static void	 recv_done(struct op *op);
static void	 send_done(struct op *op);
static void	 close_done(struct op *op);

static void
conn_check(const struct conn *c)
{
	must(c != NULL);
	must(c->magic == CONN_MAGIC);
	must(c->start <= c->len);
	must(c->len <= c->cap);
}

static struct loop *
loop_of(const struct conn *c)
{
	return c->r->env->loop;
}

int
conn_new(struct receiver *r, int fd, const struct loop_addr *peer)
{
	struct conn *c;

	c = env_alloc(r->env, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->magic = CONN_MAGIC;
	c->r = r;
	c->fd = fd;
	c->peer = *peer;
	c->buf = c->small;
	c->cap = CONN_SMALL;
	c->seen_ns = loop_now(r->env->loop);
	answers_init(&c->answers);
	message_scan_init(&c->scan, r->conf.message_max);
	op_init(&c->recv, recv_done, c);
	op_init(&c->send, send_done, c);
	op_init(&c->close, close_done, c);
	c->next = r->conns;
	c->prevp = &r->conns;
	if (c->next != NULL)
		c->next->prevp = &c->next;
	r->conns = c;
	r->open++;
	receiver_watch(r);
	conn_go(c);
	return 0;
}

/* ---- the buffer ---- */

static void
move_down(struct conn *c)
{
	if (c->start == 0)
		return;
	memmove(c->buf, c->buf + c->start, c->len - c->start);
	c->len -= c->start;
	c->start = 0;
}

static void
swap_buffer(struct conn *c, uint8_t *buf, size_t cap)
{
	move_down(c);
	must(c->len <= cap);
	memcpy(buf, c->buf, c->len);
	if (c->buf != c->small)
		receiver_memory_back(c->r, c->buf, c->cap);
	c->buf = buf;
	c->cap = cap;
}

/*
 * Room for the message as far as it is known, but never more than AHEAD
 * times what has come of it: an announced length costs us nothing.
 */
static int
make_room(struct conn *c)
{
	size_t have = c->len - c->start, want = c->scan.need, limit;
	uint8_t *buf;
	int r;

	if (c->start > 0 && c->cap - c->start < want)
		move_down(c);
	if (want <= c->cap - c->start && c->len < c->cap)
		return 0;
	limit = AHEAD * have > GROW_MIN ? AHEAD * have : GROW_MIN;
	want = want > have ? want : have + 1;
	want = want < limit ? want : limit;
	want = (want + CONN_SMALL - 1) / CONN_SMALL * CONN_SMALL;
	if (want <= c->cap)
		return 0;
	r = receiver_memory(c->r, c, want, &buf);
	if (r == 0)
		swap_buffer(c, buf, want);
	return r;
}

static bool
small_will_do(const struct conn *c)
{
	return c->len - c->start <= CONN_SMALL && !c->in.active;
}

void
conn_shrink(struct conn *c)
{
	conn_check(c);
	if (c->buf == c->small || !small_will_do(c) || c->len > c->start ||
	    c->state == CONN_DEAD)
		return;
	if (op_idle(&c->recv)) {
		swap_buffer(c, c->small, CONN_SMALL);
		receiver_wake(c->r);
	} else if (!c->shrink) {
		/* the buffer is the loop's until recv completes */
		c->shrink = true;
		loop_cancel(loop_of(c), &c->recv);
	}
}

/* After a message: what was lent of the last memory goes to the next one. */
static void
give_back(struct conn *c)
{
	if (c->r->borrower != c || !small_will_do(c))
		return;
	if (c->buf != c->small)
		swap_buffer(c, c->small, CONN_SMALL);
	receiver_returned(c->r, c);
}

/* ---- ending ---- */

/* Last in each completion: c may be gone afterwards. */
static void
settle(struct conn *c)
{
	struct receiver *r = c->r;

	if (c->state == CONN_OPEN)
		return;
	if (!c->in.keeping)
		intake_end(c, -ECANCELED);
	if (c->state == CONN_DRAINS && c->answers.first == NULL &&
	    op_idle(&c->send))
		conn_kill(c);
	if (c->state != CONN_DEAD || !op_idle(&c->recv) || !op_idle(&c->send))
		return;
	if (!c->closing_fd) {
		c->closing_fd = true;
		loop_close(loop_of(c), &c->close, c->fd);
	}
	(void)answers_fill(c);	/* drops them */
	if (!c->closed_fd || c->in.keeping || c->answers.first != NULL)
		return;
	if (c->buf != c->small)
		swap_buffer(c, c->small, 0);
	receiver_gone(r, c);
}

void
conn_kill(struct conn *c)
{
	conn_check(c);
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_DEAD;
	c->len = c->start = 0;
	if (!op_idle(&c->recv))
		loop_cancel(loop_of(c), &c->recv);
	if (!op_idle(&c->send))
		loop_cancel(loop_of(c), &c->send);
}

void
conn_drain(struct conn *c)
{
	conn_check(c);
	if (c->state != CONN_OPEN)
		return;
	c->state = CONN_DRAINS;
	if (!op_idle(&c->recv))
		loop_cancel(loop_of(c), &c->recv);
	if (!c->in.keeping)
		intake_end(c, -ECANCELED);
	receiver_watch(c->r);
}

/* A sender with a shared key is told in its own words. */
static void
answer_ping(struct conn *c)
{
	uint8_t pong[WIRE_PONG_MAX];

	if (c->messages == 0 && wire_is_ping(bytes_of(c->buf + c->start,
	    c->len - c->start)))
		answers_say(c, bytes_of(pong, wire_pong(pong)));
}

/* What it sent cannot be taken; what was good before is still answered. */
static void
refuse(struct conn *c, int why)
{
	if (why == -EBADMSG)
		answer_ping(c);
	if (why == -EMSGSIZE)
		ctr_add(conn_ctr(c), CTR_recv_too_large, 1);
	else if (why == -EBADMSG || why == -EPROTO)
		ctr_add(conn_ctr(c), CTR_recv_bad, 1);
	conn_drain(c);
}

/* ---- answers ---- */

static void
send_answers(struct conn *c)
{
	struct answers *a = &c->answers;
	struct iovec *v = &c->answer_iov;
	int r;

	if (!op_idle(&c->send))
		return;
	r = answers_fill(c);
	if (r > 0 && c->state != CONN_DEAD) {
		*v = (struct iovec){ a->out + a->off, a->len - a->off };
		c->send_ns = loop_now(loop_of(c));
		loop_send(loop_of(c), &c->send, c->fd, v, 1);
		receiver_watch(c->r);
	} else if (r < 0) {
		conn_kill(c);
	}
}

void
conn_answer(struct conn *c)
{
	conn_check(c);
	send_answers(c);
	if (c->state == CONN_OPEN)
		conn_go(c);
	else
		settle(c);
}

static void
send_done(struct op *op)
{
	struct conn *c = op->arg;
	struct answers *a = &c->answers;

	conn_check(c);
	if (op->res <= 0) {
		conn_kill(c);
	} else {
		a->off += (size_t)op->res;
		must(a->off <= a->len);
		if (a->off == a->len)
			a->off = a->len = 0;
	}
	conn_answer(c);
}

static void
close_done(struct op *op)
{
	struct conn *c = op->arg;

	conn_check(c);
	c->closed_fd = true;
	settle(c);
}

/* ---- reading ---- */

static void
recv_done(struct op *op)
{
	struct conn *c = op->arg;

	conn_check(c);
	if (c->state == CONN_OPEN && op->res > 0) {
		c->len += (size_t)op->res;
		c->seen_ns = loop_now(loop_of(c));
	} else if (c->state == CONN_OPEN && c->shrink &&
	    op->res == -ECANCELED) {
		swap_buffer(c, c->small, CONN_SMALL);
		receiver_wake(c->r);
	} else if (c->state == CONN_OPEN) {
		conn_drain(c);	/* it may have shut down one half only */
	}
	c->shrink = false;
	conn_go(c);
}

static void
read_more(struct conn *c)
{
	int r;

	if (!op_idle(&c->recv))
		return;
	r = make_room(c);
	if (r == -ENOBUFS) {
		c->began_ns = 0;
		return;		/* called again when there is memory */
	}
	if (r < 0) {
		refuse(c, r);
		return;
	}
	c->seen_ns = loop_now(loop_of(c));
	if (c->len == c->start)
		c->began_ns = 0;
	else if (c->began_ns == 0)
		c->began_ns = c->seen_ns;
	if (c->began_ns != 0 || c->messages == 0)
		receiver_watch(c->r);
	loop_recv(loop_of(c), &c->recv, c->fd, c->buf + c->len,
	    c->cap - c->len);
}

/* 0: a message is being taken now; 1: more bytes must come first. */
static int
next_message(struct conn *c)
{
	struct bytes have;
	struct message m;
	int r;

	if (c->scan.at == 0)
		c->start += message_nils(bytes_of(c->buf + c->start,
		    c->len - c->start));
	if (c->start == c->len)
		c->start = c->len = 0;
	have = bytes_of(c->buf + c->start, c->len - c->start);
	if (have.n == 0) {
		c->scan.need = 1;
		return 1;
	}
	r = message_scan(&c->scan, have, &m);
	if (r == -EAGAIN)
		return 1;
	return r < 0 ? r : intake_begin(c, &m);
}

/* One message more: 0; 1: it waits or needs bytes; -errno: end it. */
static int
go_on(struct conn *c)
{
	bool waited = c->waits_room;
	int r = 0;

	if (!op_idle(&c->recv))
		return 1;	/* the buffer is the loop's */
	if (!c->in.active) {
		if (c->answers.n >= ANSWERS_MAX || c->waits_memory)
			return 1;
		r = next_message(c);
		if (r == 1)
			read_more(c);
	}
	if (r != 0)
		return r;
	r = intake_run(c);
	c->waits_room = r == -EAGAIN || r == -ENOSPC;
	ctr_add(conn_ctr(c), CTR_recv_refused_full, c->waits_room && !waited);
	if (c->waits_room && !waited) {
		c->room_ns = loop_now(loop_of(c));
		receiver_watch(c->r);
	}
	if (c->waits_room || r == -ENOBUFS || r == -EINPROGRESS)
		return 1;
	if (r < 0)
		return r;
	intake_end(c, 0);
	c->start += c->in.message.bytes;
	c->messages++;
	c->began_ns = 0;
	message_scan_init(&c->scan, c->r->conf.message_max);
	give_back(c);
	return 0;
}

void
conn_go(struct conn *c)
{
	int r = 0;

	conn_check(c);
	while (c->state == CONN_OPEN && r == 0)
		r = go_on(c);
	if (r < 0)
		refuse(c, r);
	send_answers(c);
	settle(c);
}

/* ---- time ---- */

/* Also who sends a byte now and then ends some time. */
static bool
too_slow(const struct conn *c, uint64_t now_ns)
{
	uint64_t silent = c->r->conf.silent_ms * MS;
	uint64_t have = c->len - c->start;

	if (op_idle(&c->recv))
		return false;	/* it waits for us */
	if (have > 0 && (now_ns - c->seen_ns > silent ||
	    now_ns - c->began_ns > SLOW * silent + have * (S / 1024)))
		return true;
	if (c->messages == 0 && now_ns - c->seen_ns > FIRST * silent)
		return true;
	return c->r->borrower == c &&
	    now_ns - c->lent_ns > BORROWED * silent;
}

/*
 * Nothing is read, so nobody hears that its sender has gone and come again on
 * another connection.  Who wants no acknowledgement has nothing to send again.
 */
static bool
kept_waiting(const struct conn *c, uint64_t now_ns)
{
	return c->waits_room && c->in.message.chunk.n > 0 &&
	    now_ns - c->room_ns > ROOM * c->r->conf.silent_ms * MS;
}

static bool
too_long(const struct conn *c, uint64_t now_ns)
{
	const struct receiver *r = c->r;

	if (!op_idle(&c->send) &&
	    now_ns - c->send_ns > SEND * r->conf.silent_ms * MS)
		return true;
	if (too_slow(c, now_ns))
		return true;
	return r->closing && now_ns - r->closing_ns > CLOSING_NS;
}

bool
conn_watch(struct conn *c, uint64_t now_ns)
{
	conn_check(c);
	if (c->state == CONN_DEAD)
		return false;
	if (kept_waiting(c, now_ns)) {
		ctr_add(conn_ctr(c), CTR_recv_kept_waiting, 1);
		conn_kill(c);
		settle(c);
		return false;
	}
	if (too_long(c, now_ns)) {
		ctr_add(conn_ctr(c), CTR_recv_silent, !c->r->closing);
		conn_kill(c);
		settle(c);
		return false;
	}
	if (c->buf != c->small && now_ns - c->seen_ns > 2 * S)
		conn_shrink(c);
	return c->messages == 0 || c->waits_room || c->buf != c->small || c->len > c->start ||
	    !op_idle(&c->send) || c->state == CONN_DRAINS || c->r->closing;
}
