/* SPDX-License-Identifier: ISC */
/* edge.c - a sender's bytes as HTTP requests; the contract is in edge.h */

#include "hop/edge.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "hop/edge_in.h"
#include "hop/wire.h"

#include "banned.h"

#define MS		UINT64_C(1000000)
#define HELLO_MS	10000
#define POST_MS		600000	/* even for who is slow */

static void	 recv_done(struct op *op);
static void	 send_done(struct op *op);
static void	 close_done(struct op *op);
static void	 timer_done(struct op *op);
static void	 post_done(struct op *op);
static void	 again_done(struct op *op);
static void	 last_done(struct op *op);
static void	 begin(struct edge *e);
static void	 go_on(struct edge *e);

static void
edge_check(const struct edge *e)
{
	must(e != NULL);
	must(e->magic == EDGE_MAGIC);
	must(e->gather.bytes <= e->in_len);
	must(e->in_len <= e->in_cap);
}

static struct edge *
edge_of(struct op *op)
{
	struct edge *e = op->arg;

	edge_check(e);
	return e;
}

/* ---- life ---- */

static int
copy(struct edge *e, char **ret, const char *text)
{
	if (text == NULL || *text == '\0')
		return 0;
	*ret = env_strdup(e->env, text);
	return *ret == NULL ? -ENOMEM : 0;
}

static int
copy_key(struct edge *e, const char *key)
{
	static const char bearer[] = "Bearer ";
	size_t n;

	if (key == NULL || *key == '\0')
		return 0;
	n = sizeof(bearer) + strlen(key);
	e->bearer = env_alloc(e->env, n);
	if (e->bearer == NULL)
		return -ENOMEM;
	(void)snprintf(e->bearer, n, "%s%s", bearer, key);
	return 0;
}

static int
copy_conf(struct edge *e, const struct edge_conf *conf)
{
	int r;

	r = edge_address(e, conf);
	if (r == 0)
		r = copy(e, &e->agent_id, conf->agent_id);
	if (r == 0)
		r = copy(e, &e->ca, conf->ca);
	if (r == 0)
		r = copy(e, &e->cert, conf->cert);
	if (r == 0)
		r = copy(e, &e->cert_key, conf->cert_key);
	if (r == 0)
		r = copy_key(e, conf->key);
	e->header[e->headers++] = (struct post_header){ "Content-Type",
	    "application/msgpack" };
	if (e->bearer != NULL)
		e->header[e->headers++] = (struct post_header){
		    "Authorization", e->bearer };
	/* behind those of all: only where a body is packed */
	e->header[e->headers] = (struct post_header){ "Content-Encoding",
	    "gzip" };
	return r;
}

static void
free_all(struct edge *e)
{
	if (e->bearer != NULL)
		explicit_bzero(e->bearer, strlen(e->bearer));
	env_free(e->env, e->bearer);
	env_free(e->env, e->url);
	env_free(e->env, e->connect_to);
	env_free(e->env, e->agent_id);
	env_free(e->env, e->ca);
	env_free(e->env, e->cert);
	env_free(e->env, e->cert_key);
	env_free(e->env, e->in);
	libdeflate_free_compressor(e->packer);
	e->magic = 0;
	env_free(e->env, e);
}

int
edge_new(struct edge **ret_e, struct env *env, const struct edge_conf *conf)
{
	struct edge *e;
	unsigned i;
	int r;

	must(conf->url != NULL);
	must(conf->agent_id != NULL);
	e = env_alloc(env, sizeof(*e));
	if (e == NULL)
		return -ENOMEM;
	e->magic = EDGE_MAGIC;
	e->env = env;
	e->fd = -1;
	e->homep = &e->home;
	e->body_max = EDGE_MAKES;
	op_init(&e->recv, recv_done, e);
	op_init(&e->send, send_done, e);
	op_init(&e->close, close_done, e);
	op_init(&e->timer, timer_done, e);
	op_init(&e->last, last_done, e);
	for (i = 0; i < EDGE_LETTERS; i++) {
		e->letter[i].e = e;
		op_init(&e->letter[i].op, post_done, &e->letter[i]);
		op_init(&e->letter[i].again, again_done, &e->letter[i]);
	}
	r = strlen(conf->agent_id) > WIRE_AGENT_MAX ? -EINVAL :
	    copy_conf(e, conf);
	if (r < 0) {
		free_all(e);
		return r;
	}
	*ret_e = e;
	return 0;
}

void
edge_free(struct edge **ep)
{
	struct edge *e = *ep;

	if (e == NULL)
		return;
	edge_check(e);
	must(e->state == EDGE_IDLE && !e->wanted);
	must(op_idle(&e->last) && op_idle(&e->timer));
	free_all(e);
	*ep = NULL;
}

/* ---- letters ---- */

static void
again_done(struct op *op)
{
	struct letter *l = op->arg;
	struct edge *e = l->e;

	edge_check(e);
	if (e->state == EDGE_UP) {
		edge_letter_send(l);
		return;
	}
	edge_letter_free(l);
	go_on(e);
}

/* ---- the end of a connection ---- */

static void
idle(struct edge *e)
{
	e->state = EDGE_IDLE;
	if (e->closing && op_idle(&e->last))
		loop_timer(e->env->loop, &e->last, 0);
	else if (e->wanted && !e->closing)
		begin(e);
}

/* At once, or only those that wait for another try. */
static void
cancel_letters(struct edge *e, bool at_once)
{
	unsigned i;

	for (i = 0; i < EDGE_LETTERS; i++) {
		loop_cancel(e->env->loop, &e->letter[i].again);
		if (at_once)
			loop_cancel(e->env->loop, &e->letter[i].op);
	}
}

/* Those who wait to be written: nobody will read them. */
static void
drop_answers(struct edge *e)
{
	struct letter *l;

	while (op_idle(&e->send) && (l = e->home) != NULL) {
		e->home = l->next;
		edge_letter_free(l);
		e->iov.iov_len = 0;
	}
	if (e->home == NULL)
		e->homep = &e->home;
}

/* Last in each completion: the edge may begin anew. */
static void
settle(struct edge *e)
{
	struct loop *l = e->env->loop;

	if (e->state != EDGE_ENDS)
		return;
	loop_cancel(l, &e->recv);
	cancel_letters(e, e->left || e->late);
	if (e->left || e->late) {
		loop_cancel(l, &e->send);
		drop_answers(e);
	}
	if (edge_any_letter(e))
		return;
	loop_cancel(l, &e->timer);
	if (!op_idle(&e->recv) || !op_idle(&e->send) || !op_idle(&e->timer) ||
	    !op_idle(&e->close))
		return;
	loop_close(l, &e->close, e->fd);
}

static void
close_done(struct op *op)
{
	struct edge *e = edge_of(op);

	e->fd = -1;
	env_free(e->env, e->in);
	e->in = NULL;
	e->in_cap = e->in_len = 0;
	e->gather = (struct gather){ 0 };
	idle(e);
}

static void
end(struct edge *e, bool left)
{
	struct loop *l = e->env->loop;

	e->left |= left;
	if (e->state != EDGE_UP)
		return;
	e->state = EDGE_ENDS;
	loop_timer(l, &e->timer, loop_now(l) + EDGE_GRACE_MS * MS);
}

static void
timer_done(struct op *op)
{
	struct edge *e = edge_of(op);

	e->late = true;
	settle(e);
}

/* ---- answers to the sender ---- */

static void
write_answers(struct edge *e)
{
	struct letter *l = e->home;

	if (l == NULL || !op_idle(&e->send) || e->left || e->late)
		return;
	if (e->iov.iov_len == 0)
		e->iov = (struct iovec){ l->post.answer, l->post.answer_len };
	loop_send(e->env->loop, &e->send, e->fd, &e->iov, 1);
}

static void
send_done(struct op *op)
{
	struct edge *e = edge_of(op);
	struct letter *l = e->home;
	size_t n = op->res > 0 ? (size_t)op->res : 0;

	must(l != NULL);
	must(n <= e->iov.iov_len);
	e->iov.iov_base = (uint8_t *)e->iov.iov_base + n;
	e->iov.iov_len -= n;
	if (n == 0) {
		e->iov.iov_len = 0;
		end(e, true);
	}
	if (e->iov.iov_len == 0) {
		e->home = l->next;
		if (e->home == NULL)
			e->homep = &e->home;
		edge_letter_free(l);
	}
	go_on(e);
}

static void
hello_done(struct edge *e, struct letter *l, int res)
{
	int pair[2] = { -1, -1 };
	unsigned acks;

	res = edge_judge(e, l, res, &acks);
	ctr_add(&e->env->ctr, CTR_hop_posts_failed, res < 0);
	edge_letter_free(l);
	if (e->closing)
		res = -ECANCELED;
	if (res == 0)
		res = loop_pair(e->env->loop, pair);
	e->wanted = false;
	if (res < 0) {
		idle(e);
		e->opened(e->opened_arg, res);
		return;
	}
	e->state = EDGE_UP;
	e->left = e->late = false;
	e->fd = pair[0];
	e->why[0] = '\0';
	e->error = 0;
	message_scan_init(&e->scan, EDGE_MESSAGE_MAX);
	go_on(e);
	e->opened(e->opened_arg, pair[1]);
}

static void
post_done(struct op *op)
{
	struct letter *l = op->arg;
	struct edge *e = l->e;
	bool first = e->state != EDGE_ENDS;
	char why[EDGE_WHY];
	unsigned acks;
	int r;

	edge_check(e);
	if (e->state == EDGE_HELLO) {
		hello_done(e, l, (int)op->res);
		return;
	}
	if (edge_letter_may_pass(l, op->res)) {
		ctr_add(&e->env->ctr, CTR_hop_posts_failed, 1);
		edge_letter_again(l);
		return;
	}
	memcpy(why, e->why, sizeof(why));
	r = edge_judge(e, l, (int)op->res, &acks);
	if (r == 0 || !first)		/* the first fault is the reason */
		memcpy(e->why, why, sizeof(why));
	else
		e->error = r;
	ctr_add(&e->env->ctr, CTR_hop_posts_failed, r < 0);
	if (r < 0)
		end(e, false);
	if (acks > 0) {
		l->next = NULL;
		*e->homep = l;
		e->homep = &l->next;
	} else {
		edge_letter_free(l);
	}
	go_on(e);
}

/* ---- from the sender ---- */

static void
fault(struct edge *e, int r)
{
	(void)snprintf(e->why, sizeof(e->why), "%s", strerror(-r));
	e->error = r;
	end(e, false);
}

/* What can go goes, what can come is read. */
static void
carry(struct edge *e)
{
	struct letter *l;
	int r;

	if (!op_idle(&e->recv)) {
		/* the buffer is the loop's until that is back */
		if (e->gather.bytes > 0 && edge_letter_unused(e) != NULL &&
		    !edge_must_wait(e))
			loop_cancel(e->env->loop, &e->recv);
		return;
	}
	do {
		r = edge_gather(e);
		l = edge_letter_unused(e);
		if (r < 0 || e->gather.bytes == 0 || l == NULL ||
		    edge_must_wait(e))
			break;
		r = edge_take_body(e, l);
		if (r == 0)
			r = edge_letter_post(l, POST_MS);
	} while (r == 0);
	if (r == 0)
		r = edge_room(e);
	if (r == 0)
		loop_recv(e->env->loop, &e->recv, e->fd, e->in + e->in_len,
		    e->in_cap - e->in_len);
	else if (r != -ENOBUFS)
		fault(e, r);
}

static void
go_on(struct edge *e)
{
	write_answers(e);
	if (e->state == EDGE_UP)
		carry(e);
	settle(e);
}

static void
recv_done(struct op *op)
{
	struct edge *e = edge_of(op);

	if (op->res > 0)
		e->in_len += (size_t)op->res;
	else if (op->res != -ECANCELED)
		end(e, true);
	go_on(e);
}

/* ---- opening and closing ---- */

static void
begin(struct edge *e)
{
	struct letter *l = &e->letter[0];
	int r = 0;

	e->state = EDGE_HELLO;
	e->why[0] = '\0';
	l->what = (struct gather){ 0 };
	l->packed = false;
	l->body = env_alloc(e->env, WIRE_CONTROL_MAX);
	if (l->body == NULL) {
		r = -ENOMEM;
	} else {
		l->len = wire_control(l->body, e->agent_id, NULL);
		r = edge_letter_post(l, HELLO_MS);
	}
	e->res = r;
	if (r < 0)
		loop_timer(e->env->loop, &e->last, 0);
}

/* No hello for want of memory; or all is over. */
static void
last_done(struct op *op)
{
	struct edge *e = edge_of(op);
	bool failed = e->state == EDGE_HELLO && e->res < 0;

	if (failed) {
		e->state = EDGE_IDLE;
		e->wanted = false;
		(void)snprintf(e->why, sizeof(e->why), "out of memory");
		e->opened(e->opened_arg, e->res);
	}
	if (!e->closing || e->state != EDGE_IDLE)
		return;
	if (e->wanted) {
		e->wanted = false;
		e->opened(e->opened_arg, -ECANCELED);
	}
	e->closed(e->closed_arg);
}

void
edge_open(struct edge *e, void (*opened)(void *arg, int res), void *arg)
{
	edge_check(e);
	must(!e->wanted && !e->closing);
	must(e->state == EDGE_IDLE || e->state == EDGE_ENDS ||
	    e->state == EDGE_UP);
	e->opened = opened;
	e->opened_arg = arg;
	e->wanted = true;
	if (e->state == EDGE_IDLE) {
		begin(e);
	} else {
		end(e, true);	/* its end was closed, whether we saw it or not */
		settle(e);
	}
}

void
edge_close(struct edge *e, void (*closed)(void *arg), void *arg)
{
	edge_check(e);
	must(!e->closing);
	e->closing = true;
	e->closed = closed;
	e->closed_arg = arg;
	end(e, true);
	if (e->state == EDGE_HELLO)
		loop_cancel(e->env->loop, &e->letter[0].op);
	if (e->state == EDGE_IDLE && op_idle(&e->last))
		loop_timer(e->env->loop, &e->last, 0);
	settle(e);
}

const char *
edge_why(const struct edge *e)
{
	edge_check(e);
	return e->why;
}

int
edge_error(const struct edge *e)
{
	edge_check(e);
	return e->error;
}

uint64_t
edge_wait_ns(const struct edge *e)
{
	uint64_t now = loop_now(e->env->loop);

	return e->wait_until_ns > now ? e->wait_until_ns - now : 0;
}
