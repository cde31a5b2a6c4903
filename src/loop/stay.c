/* SPDX-License-Identifier: ISC */
/* stay.c - requests that stay in their socket; the contract is in stay.h */

#include "loop/stay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/must.h"
#include "loop/inherit.h"
#include "loop/serve_inner.h"
#include "loop/stay_head.h"

#include "banned.h"

#define LOOKS_MAX	64	/* a request that comes in so many pieces */
#define WAIT_NS		UINT64_C(1000000000)	/* for one to be whole */
#define OUT_FIRST	512	/* an answer without a text */

enum stay_state {
	STAY_LOOKING,		/* peek or await is pending */
	STAY_HANDED,		/* no op is pending */
	STAY_ANSWERED,		/* sending, and taking out what was asked */
	STAY_CLOSING,
	STAY_LEFT		/* the socket is another's; a timer ends */
};

struct stay {
	uint32_t	 magic;		/* STAY_MAGIC */
	enum stay_state	 state;
	struct serve	*serve;
	struct stay	*next, **prevp;	/* on serve->stays */
	int		 fd;
	uint8_t		*buf;
	size_t		 cap;
	size_t		 held;		/* of the server's budget */
	struct head	 head;		/* of the whole request */
	size_t		 left;		/* to take out */
	bool		 failed;	/* to send or to take out */
	unsigned	 looks;
	bool		 waited;	/* the timer ran out */
	struct op	 op;		/* on fd */
	struct op	 rest;		/* the recv of what was asked */
	struct op	 timer;		/* until it is to be whole */
	struct serve_req req;
	char		*out;
	size_t		 out_n, out_at;
	struct iovec	 iov;
	char		 small[OUT_FIRST];
};
#define STAY_MAGIC	0x53544159U

static void	 look(struct stay *y);
static void	 looked(struct op *op);
static void	 came(struct op *op);
static void	 timer_ended(struct op *op);
static void	 send_more(struct stay *y);
static void	 take(struct stay *y);
static void	 sent(struct op *op);
static void	 took(struct op *op);
static void	 closed(struct op *op);

static struct stay *
stay_of(struct op *op)
{
	struct stay *y = op->arg;

	must(y != NULL);
	must(y->magic == STAY_MAGIC);
	return y;
}

static struct loop *
loop_of(const struct stay *y)
{
	return y->serve->env->loop;
}

/* ---- begin and end ---- */

int
stay_take(struct serve *s, int fd, const struct loop_addr *peer)
{
	struct stay *y;

	if (s->stays_n >= s->conf.connections_max)
		return -EMFILE;
	y = env_alloc(s->env, sizeof(*y));
	if (y == NULL)
		return -ENOMEM;
	y->buf = env_alloc(s->env, STAY_FIRST);
	if (y->buf == NULL) {
		env_free(s->env, y);
		return -ENOMEM;
	}
	y->magic = STAY_MAGIC;
	y->serve = s;
	y->fd = fd;
	y->cap = STAY_FIRST;
	y->req = (struct serve_req){ .magic = REQ_MAGIC, .serve = s,
	    .stay = y, .peer = *peer };
	op_init(&y->op, looked, y);
	op_init(&y->rest, took, y);
	op_init(&y->timer, timer_ended, y);
	y->prevp = &s->stays;
	y->next = s->stays;
	if (y->next != NULL)
		y->next->prevp = &y->next;
	s->stays = y;
	s->stays_n++;
	look(y);
	return 0;
}

/* Last in a completion: y is gone, and the server may be. */
static void
gone(struct stay *y)
{
	struct serve *s = y->serve;

	must(op_idle(&y->op));
	if (!op_idle(&y->timer)) {
		loop_cancel(s->env->loop, &y->timer);
		return;		/* its end comes here again */
	}
	*y->prevp = y->next;
	if (y->next != NULL)
		y->next->prevp = y->prevp;
	s->stays_n--;
	s->held -= y->held;
	if (y->req.state == REQ_ANSWERED)
		s->sending--;
	if (y->out != y->small)
		env_free(s->env, y->out);
	env_free(s->env, y->buf);
	y->magic = 0;
	env_free(s->env, y);
	if (s->closing)
		serve_went_on(s);
}

static void
end(struct stay *y)
{
	y->state = STAY_CLOSING;
	op_init(&y->op, closed, y);
	loop_close(loop_of(y), &y->op, y->fd);
}

static void
closed(struct op *op)
{
	struct stay *y = stay_of(op);

	y->state = STAY_LEFT;
	gone(y);
}

/* It is none that stays: nothing was taken out of it. */
static void
give_on(struct stay *y)
{
	y->state = STAY_LEFT;
	/* it closes what it cannot serve, and counts it */
	(void)serve_give(y->serve, y->fd, &y->req.peer);
	gone(y);
}

/* ---- a request comes ---- */

static void
look(struct stay *y)
{
	y->looks++;
	op_init(&y->op, looked, y);
	loop_peek(loop_of(y), &y->op, y->fd, y->buf, y->cap);
}

/* Room for a request of n bytes, which is to be looked at anew. */
static bool
grow(struct stay *y, size_t n)
{
	struct serve *s = y->serve;
	uint8_t *mem;

	if (n <= y->cap)
		return true;
	must(y->held == 0 || n > y->held);
	if (n > STAY_MAX || n - y->held > s->conf.budget_bytes - s->held)
		return false;
	mem = env_alloc(s->env, n);
	if (mem == NULL)
		return false;
	env_free(s->env, y->buf);
	s->held += n - y->held;
	y->held = n;
	y->buf = mem;
	y->cap = n;
	return true;
}

static void
await(struct stay *y, size_t n)
{
	if (y->waited || y->looks > LOOKS_MAX || !grow(y, n)) {
		give_on(y);
		return;
	}
	if (op_idle(&y->timer))
		loop_timer(loop_of(y), &y->timer,
		    loop_now(loop_of(y)) + WAIT_NS);
	op_init(&y->op, came, y);
	loop_await(loop_of(y), &y->op, y->fd, n);
}

static void
hand(struct stay *y)
{
	struct serve *s = y->serve;
	struct serve_req *r = &y->req;

	head_cut(&y->head, y->buf);
	y->state = STAY_HANDED;
	r->method = y->head.method;
	r->path = y->head.path;
	r->body = y->buf + y->head.len;
	r->len = y->head.body_n;
	r->state = REQ_HANDED;
	s->pending++;
	s->conf.handler(s->conf.arg, r);
}

static void
looked(struct op *op)
{
	struct stay *y = stay_of(op);
	enum head_kind kind;
	size_t need;

	if (op->res <= 0 || y->serve->closing) {
		end(y);
		return;
	}
	kind = head_read(&y->head, y->buf, (size_t)op->res, &need);
	if (y->head.body_n > y->serve->conf.body_max)
		kind = HEAD_OTHER;	/* it is refused there */
	switch (kind) {
	case HEAD_WHOLE:
		hand(y);
		break;
	case HEAD_PART:
		await(y, need);
		break;
	case HEAD_OTHER:
		give_on(y);
		break;
	}
}

static void
came(struct op *op)
{
	struct stay *y = stay_of(op);

	if (y->serve->closing)
		end(y);
	else if (op->res < 0)
		give_on(y);
	else
		look(y);
}

static void
timer_ended(struct op *op)
{
	struct stay *y = stay_of(op);

	y->waited = true;
	if (y->state == STAY_LEFT)
		gone(y);
	else if (y->state == STAY_LOOKING)
		loop_cancel(loop_of(y), &y->op);
}

const char *
stay_header(const struct stay *y, const char *name)
{
	return head_find(&y->head, y->buf, name);
}

/* ---- the answer ---- */

static size_t
write_head(const struct stay *y, char *out, size_t cap, int status,
    const char *type, size_t body_n)
{
	time_t now = (time_t)(loop_wall(loop_of(y)) / 1000000000);
	char date[40] = "";
	struct tm tm;
	int n;

	if (gmtime_r(&now, &tm) != NULL)
		(void)strftime(date, sizeof(date),
		    "%a, %d %b %Y %H:%M:%S GMT", &tm);
	n = snprintf(out, cap, "HTTP/1.1 %d %s\r\nDate: %s\r\n"
	    "Connection: close\r\nContent-Length: %zu\r\n%s%s%s", status,
	    MHD_get_reason_phrase_for((unsigned)status), date, body_n,
	    type == NULL ? "" : "Content-Type: ", type == NULL ? "" : type,
	    type == NULL ? "" : "\r\n");
	must(n > 0);
	must((size_t)n < cap);
	return (size_t)n;
}

/* -ENOMEM: there is no answer. */
static int
write_answer(struct stay *y, int status, const char *type, struct bytes body,
    const struct serve_header *headers, unsigned headers_n)
{
	size_t cap = 256 + (type == NULL ? 0 : strlen(type)) + body.n, n;
	unsigned i;
	int r;

	for (i = 0; i < headers_n; i++)
		cap += strlen(headers[i].name) + strlen(headers[i].value) + 4;
	y->out = cap <= sizeof(y->small) ? y->small :
	    env_alloc(y->serve->env, cap);
	if (y->out == NULL)
		return -ENOMEM;
	n = write_head(y, y->out, cap, status, type, body.n);
	for (i = 0; i < headers_n; i++) {
		r = snprintf(y->out + n, cap - n, "%s: %s\r\n",
		    headers[i].name, headers[i].value);
		must(r > 0);
		n += (size_t)r;
	}
	must(cap - n >= 2 + body.n);
	memcpy(y->out + n, "\r\n", 2);
	if (body.n > 0)
		memcpy(y->out + n + 2, body.p, body.n);
	y->out_n = n + 2 + body.n;
	return 0;
}

void
stay_answer(struct serve_req *r, int status, const char *content_type,
    struct bytes body, const struct serve_header *headers, unsigned headers_n)
{
	struct stay *y = r->stay;

	must(y->state == STAY_HANDED);
	r->state = REQ_ANSWERED;
	y->serve->pending--;
	y->serve->sending++;
	if (write_answer(y, status, content_type, body, headers,
	    headers_n) < 0) {
		end(y);		/* no memory: the connection ends */
		return;
	}
	y->state = STAY_ANSWERED;
	y->left = y->head.len + y->head.body_n;
	send_more(y);
	/*
	 * A short answer fits into the socket's buffer.  Taking out directly
	 * behind it leaves a kill no time to have the request heard twice.
	 */
	if (y->out_n <= sizeof(y->small))
		take(y);
}

static void
send_more(struct stay *y)
{
	y->iov.iov_base = y->out + y->out_at;
	y->iov.iov_len = y->out_n - y->out_at;
	op_init(&y->op, sent, y);
	loop_send(loop_of(y), &y->op, y->fd, &y->iov, 1);
}

static void
take(struct stay *y)
{
	loop_recv(loop_of(y), &y->rest, y->fd, y->buf,
	    y->left < y->cap ? y->left : y->cap);
}

/* Ends when both have come to an end, or soon when one of them has failed. */
static void
settle(struct stay *y)
{
	if (y->failed) {
		loop_cancel(loop_of(y), &y->op);
		loop_cancel(loop_of(y), &y->rest);
	}
	if (op_idle(&y->op) && op_idle(&y->rest))
		end(y);
}

static void
sent(struct op *op)
{
	struct stay *y = stay_of(op);

	if (op->res <= 0) {
		y->failed = true;
	} else {
		y->out_at += (size_t)op->res;
		if (y->out_at < y->out_n)
			send_more(y);
		else if (y->out_n > sizeof(y->small))
			take(y);
	}
	settle(y);
}

static void
took(struct op *op)
{
	struct stay *y = stay_of(op);

	if (op->res <= 0) {
		y->failed = true;
	} else {
		y->left -= (size_t)op->res;
		if (y->left > 0)
			take(y);
	}
	settle(y);
}

/* ---- the server closes ---- */

void
stay_hurry(struct serve *s)
{
	struct stay *y;

	for (y = s->stays; y != NULL; y = y->next)
		if (y->state == STAY_LOOKING)
			loop_cancel(s->env->loop, &y->op);
}

void
stay_cut_off(struct serve *s)
{
	struct stay *y;

	for (y = s->stays; y != NULL; y = y->next) {
		loop_cancel(s->env->loop, &y->op);
		loop_cancel(s->env->loop, &y->rest);
	}
}
