/* SPDX-License-Identifier: ISC */
/* answers.c - acknowledgements in order, when durable; see conn.h */

#include <errno.h>

#include "base/must.h"
#include "base/planted.h"
#include "hop/conn.h"
#include "queue/queue.h"
#include "banned.h"

void
answers_init(struct answers *a)
{
	*a = (struct answers){ 0 };
	a->lastp = &a->first;
}

struct answer *
answers_add(struct conn *c, struct bytes id, bool told)
{
	struct answers *a = &c->answers;
	struct answer *an = c->r->free_answers;

	must(id.n <= sizeof(an->id));
	if (an != NULL)
		c->r->free_answers = an->next;
	else
		an = env_alloc(c->r->env, sizeof(*an));
	if (an == NULL)
		return NULL;
	an->next = NULL;
	an->conn = c;
	an->pending = 1;
	an->res = 0;
	an->asks = id.n > 0;
	an->told = told;
	an->whole = false;
	an->records = 0;
	an->id_len = id.n;
	if (id.n > 0)
		memcpy(an->id, id.p, id.n);
	*a->lastp = an;
	a->lastp = &an->next;
	a->n++;
	return an;
}

void
answer_taken(struct answer *an, int res)
{
	must(an->pending > 0);
	an->pending--;
	if (res < 0 && an->res == 0)
		an->res = res;
}

void
answers_say(struct conn *c, struct bytes b)
{
	struct answer *an = answers_add(c, b, false);

	if (an == NULL)
		return;
	an->whole = true;
	answer_taken(an, 0);
}

static void
put_free(struct receiver *r, struct answer_put *p)
{
	p->next = r->free_puts;
	r->free_puts = p;
	r->puts--;
}

static void
put_done(struct queue_put *put, int res)
{
	struct answer_put *p = put->arg;
	struct answer *an = p->answer;
	struct conn *c;

	if (PLANTED(ack_before_fsync) && an == NULL)
		return;
	c = an->conn;
	if (res < 0 && !an->asks)
		ctr_add(conn_ctr(c), CTR_recv_lost_records, p->records);
	put_free(c->r, p);
	if (c->r->waits_puts) {
		c->r->waits_puts = false;
		receiver_wake(c->r);
	}
	answer_taken(an, res);
	if (an->pending == 0)
		conn_answer(c);
}

int
answer_put(struct answer *an, struct chunk *c)
{
	struct receiver *r = an->conn->r;
	struct answer_put *p = r->free_puts;
	int res = 0;

	if (r->puts >= PUTS_MAX) {
		r->waits_puts = true;
		return -EAGAIN;
	}
	if (p != NULL)
		r->free_puts = p->next;
	else
		p = env_alloc(r->env, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	r->puts++;
	p->answer = an;
	p->records = c != NULL ? c->records : 0;
	p->put.done = put_done;
	p->put.arg = p;
	if (c != NULL && !PLANTED(drop_intake))
		res = queue_put(r->conf.queue, c, &p->put);
	else
		queue_barrier(r->conf.queue, &p->put);
	if (res < 0) {
		put_free(r, p);
		return res;
	}
	if (PLANTED(ack_before_fsync) && c != NULL) {
		p->answer = NULL;
		r->puts--;
		return 0;
	}
	an->pending++;
	return 0;
}

static void
drop_first(struct conn *c)
{
	struct answers *a = &c->answers;
	struct answer *an = a->first;

	a->first = an->next;
	if (an->next == NULL)
		a->lastp = &a->first;
	a->n--;
	an->next = c->r->free_answers;
	c->r->free_answers = an;
}

/*
 * One write an answer for Fluentd and Fluent Bit, who read once and parse
 * once; ours takes any run of them.
 */
static bool
fits(const struct answers *a, const struct answer *an)
{
	return a->len == 0 ||
	    (an->told && a->told && a->len + WIRE_ACK_MAX <= ANSWERS_OUT);
}

static void
append(struct conn *c, const struct answer *an)
{
	struct answers *a = &c->answers;

	if (an->whole) {
		memcpy(a->out + a->len, an->id, an->id_len);
		a->len += an->id_len;
		a->told = false;
		return;
	}
	a->len += wire_ack(a->out + a->len, bytes_of(an->id, an->id_len),
	    an->told, an->records);
	a->told = an->told;
	ctr_add(conn_ctr(c), CTR_recv_acks, 1);
}

int
answers_fill(struct conn *c)
{
	struct answers *a = &c->answers;
	const struct answer *an;

	while ((an = a->first) != NULL && an->pending == 0) {
		if (c->state != CONN_DEAD && an->res < 0)
			return an->res;
		if (c->state != CONN_DEAD && an->id_len > 0) {
			if (!fits(a, an))
				break;
			append(c, an);
		}
		drop_first(c);
	}
	return c->state != CONN_DEAD && a->len > a->off;
}
