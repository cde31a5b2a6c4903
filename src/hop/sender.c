/* SPDX-License-Identifier: ISC */
/* sender.c - one connection to one of a list of peers; see sender.h */

#include "hop/sender.h"

#include <errno.h>

#include "base/env.h"
#include "base/must.h"
#include "forward/mp.h"
#include "hop/dial.h"
#include "hop/outq.h"
#include "hop/peers.h"
#include "hop/wire.h"
#include "banned.h"

#define SENDER_MAGIC	0x534e4452U
#define MS		UINT64_C(1000000)
#define INFLIGHT_MAX	((uint64_t)32 << 20)
#define CHUNKS_MAX	8192	/* under way at once */
#define ACK_TIMEOUT_MS	15000
#define MISSED_NS	(2000 * MS)	/* peers that start together are no news */
#define IOVS		64
#define ANSWERS_BYTES	4096

enum state { S_IDLE, S_DIAL, S_UP, S_LOST, S_WAIT, S_CLOSED };

struct sender {
	uint32_t	 magic;
	struct env	*env;
	struct sender_conf conf;
	char		*agent_id;
	struct peers	 peers;
	enum state	 state;
	bool		 closing;
	bool		 missed;	/* told, or a peer was reached once */
	void		(*closed)(void *arg);
	void		*closed_arg;

	struct dial	 dial;
	struct op	 send, recv, close, timer, last;
	uint64_t	 deadline;	/* of the state; 0: none */
	int		 fd;
	int		 why;
	uint64_t	 since;
	uint64_t	 went_ns;	/* bytes of a chunk went */
	uint64_t	 answered_ns;
	uint64_t	 resend;	/* lost chunks that will come again */

	struct outq	 out;
	struct iovec	 iov[IOVS];
	size_t		 in_len;
	uint8_t		 in[ANSWERS_BYTES];
};

static void	 dial_done(struct dial *d, int res);
static void	 send_done(struct op *op);
static void	 recv_done(struct op *op);
static void	 close_done(struct op *op);
static void	 timer_done(struct op *op);
static void	 last_done(struct op *op);

static void
sender_check(const struct sender *s)
{
	must(s != NULL);
	must(s->magic == SENDER_MAGIC);
}

static struct sender *
sender_of(struct op *op)
{
	struct sender *s = op->arg;

	sender_check(s);
	return s;
}

static struct counters *
ctr(struct sender *s)
{
	return &s->env->ctr;
}

/* ---- life ---- */

static void
ops_init(struct sender *s)
{
	dial_init(&s->dial, s->env, dial_done, s);
	op_init(&s->send, send_done, s);
	op_init(&s->recv, recv_done, s);
	op_init(&s->close, close_done, s);
	op_init(&s->timer, timer_done, s);
	op_init(&s->last, last_done, s);
}

int
sender_new(struct sender **ret_s, struct env *env,
    const struct sender_conf *conf)
{
	struct sender *s;
	int r;

	must(conf->peers != NULL);
	must(conf->agent_id != NULL);
	if (strlen(conf->agent_id) > WIRE_AGENT_MAX)
		return -EINVAL;
	s = env_alloc(env, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->magic = SENDER_MAGIC;
	s->env = env;
	s->conf = *conf;
	s->fd = -1;
	if (s->conf.inflight_max == 0)
		s->conf.inflight_max = INFLIGHT_MAX;
	if (s->conf.ack_timeout_ms == 0)
		s->conf.ack_timeout_ms = ACK_TIMEOUT_MS;
	s->agent_id = env_strdup(env, conf->agent_id);
	r = s->agent_id == NULL ? -ENOMEM :
	    peers_init(&s->peers, env, conf->peers);
	if (r < 0) {
		env_free(env, s->agent_id);
		env_free(env, s);
		return r;
	}
	outq_init(&s->out, s->agent_id);
	ops_init(s);
	*ret_s = s;
	return 0;
}

static bool
all_idle(const struct sender *s)
{
	return dial_idle(&s->dial) && op_idle(&s->send) &&
	    op_idle(&s->recv) && op_idle(&s->close) && op_idle(&s->timer) &&
	    op_idle(&s->last);
}

void
sender_free(struct sender **sp)
{
	struct sender *s = *sp;

	if (s == NULL)
		return;
	sender_check(s);
	must(s->state == S_IDLE || s->state == S_CLOSED);
	must(all_idle(s));
	peers_fini(&s->peers);
	env_free(s->env, s->agent_id);
	s->magic = 0;
	env_free(s->env, s);
	*sp = NULL;
}

/* ---- time: one timer, one deadline ---- */

static void
arm(struct sender *s)
{
	if (s->deadline == 0)
		return;
	if (op_idle(&s->timer))
		loop_timer(s->env->loop, &s->timer, s->deadline);
	else if (s->timer.at_ns > s->deadline)
		loop_cancel(s->env->loop, &s->timer);	/* armed anew there */
}

static void
set_deadline(struct sender *s, uint64_t in_ns)
{
	s->deadline = loop_now(s->env->loop) + in_ns;
	arm(s);
}

/* ---- away: dial, wait ---- */

static void
try_peer(struct sender *s)
{
	s->state = S_DIAL;
	dial_start(&s->dial, peers_name(&s->peers));
}

static void
wait_then_try(struct sender *s)
{
	s->state = S_WAIT;
	set_deadline(s, peers_failed(&s->peers));
}

void
sender_start(struct sender *s)
{
	sender_check(s);
	must(s->state == S_IDLE);
	s->since = loop_now(s->env->loop);
	try_peer(s);
}

/* ---- closing: all ops come home, then closed() ---- */

/* Last in each completion: the caller may free s in closed(). */
static void
finish(struct sender *s)
{
	struct hop_chunk *hc;

	if (!s->closing || !all_idle(s) || s->state == S_CLOSED)
		return;
	s->state = S_CLOSED;
	while ((hc = outq_take_first(&s->out)) != NULL)
		hc->done(hc, -ECANCELED);
	s->closed(s->closed_arg);
}

static void
last_done(struct op *op)
{
	finish(sender_of(op));
}

/* ---- up ---- */

static void
gauge(struct sender *s)
{
	ctr_set(ctr(s), CTR_hop_inflight_bytes, s->out.bytes);
}

static void
kick(struct sender *s)
{
	unsigned n;

	if (s->state != S_UP || !op_idle(&s->send))
		return;
	n = outq_iov(&s->out, s->iov, IOVS);
	if (n > 0)
		loop_send(s->env->loop, &s->send, s->fd, s->iov, n);
}

/*
 * Due after the oldest chunk went as a whole, or the last answer.  While it
 * is still going, each byte that goes is a sign of life; what goes behind it
 * is none.
 */
static uint64_t
answer_due(const struct sender *s)
{
	uint64_t since = s->out.first->sent_ns;	/* 0: not as a whole */

	if (since == 0)
		since = s->went_ns;
	if (since < s->answered_ns)
		since = s->answered_ns;
	return since + s->conf.ack_timeout_ms * MS;
}

static void
watch_answers(struct sender *s)
{
	if (s->deadline == 0 && s->out.first != NULL) {
		s->deadline = answer_due(s);
		arm(s);
	}
}

static void
went_up(struct sender *s, int fd)
{
	s->state = S_UP;
	s->missed = true;
	s->fd = fd;
	s->in_len = 0;
	s->deadline = 0;
	s->since = loop_now(s->env->loop);
	s->went_ns = s->answered_ns = s->since;
	outq_begin(&s->out);
	ctr_add(ctr(s), CTR_hop_connects, 1);
	ctr_set(ctr(s), CTR_hop_up, 1);
	loop_recv(s->env->loop, &s->recv, fd, s->in, sizeof(s->in));
	s->conf.up(s->conf.arg);
	if (s->state != S_UP)
		return;
	/* A port closes who says nothing; it is told who is here. */
	if (s->out.first == NULL)
		outq_hello(&s->out);
	kick(s);
}

/* ---- lost: the loan of every chunk ends before it completes ---- */

static void
settle(struct sender *s)
{
	if (s->state == S_LOST && op_idle(&s->send) && op_idle(&s->recv) &&
	    op_idle(&s->close))
		loop_close(s->env->loop, &s->close, s->fd);
}

static void
lose(struct sender *s, int why)
{
	if (s->state != S_UP)
		return;
	s->state = S_LOST;
	s->why = why;
	s->deadline = 0;
	s->since = loop_now(s->env->loop);
	ctr_set(ctr(s), CTR_hop_up, 0);
	ctr_add(ctr(s), CTR_hop_failures, !s->closing);
	if (!op_idle(&s->send))
		loop_cancel(s->env->loop, &s->send);
	if (!op_idle(&s->recv))
		loop_cancel(s->env->loop, &s->recv);
	settle(s);
}

static void
close_done(struct op *op)
{
	struct sender *s = sender_of(op);
	struct hop_chunk *hc;

	s->fd = -1;
	s->resend = 0;
	while (!s->closing && (hc = outq_take_first(&s->out)) != NULL) {
		s->resend++;
		hc->done(hc, -ECONNRESET);
	}
	gauge(s);
	if (!s->closing) {
		wait_then_try(s);
		s->conf.down(s->conf.arg, s->why);
	}
	finish(s);
}

/* ---- sending ---- */

static int
send_result(struct sender *s, int64_t res)
{
	struct outq_sent sent;
	size_t filled = 0;
	int r = 0;

	outq_sent(&s->out, res > 0 ? (size_t)res : 0,
	    loop_now(s->env->loop), &sent);
	ctr_add(ctr(s), CTR_hop_sent_chunks, sent.chunks);
	ctr_add(ctr(s), CTR_hop_sent_bytes, sent.bytes);
	if (res > 0)
		s->went_ns = loop_now(s->env->loop);
	else if (res == -EFAULT)
		r = outq_fault(&s->out, &filled);
	else
		r = res < 0 ? (int)res : -EIO;
	ctr_add(ctr(s), CTR_hop_filled_bytes, filled);
	return r;
}

static void	 answered(struct sender *s, struct hop_chunk *hc);

static void
send_done(struct op *op)
{
	struct sender *s = sender_of(op);
	struct hop_chunk *hc;
	int r;

	r = send_result(s, op->res);
	if (s->state == S_UP && r < 0)
		lose(s, r);
	while (s->state == S_UP && (hc = outq_take_early(&s->out)) != NULL)
		answered(s, hc);
	kick(s);
	settle(s);
	finish(s);
}

static int
sendable(const struct sender *s, const struct hop_chunk *hc)
{
	const struct chunk *c = &hc->chunk;
	size_t len = chunk_body_len(c);

	if (len == 0 || len > UINT32_MAX || stream_is_none(c->stream) ||
	    c->to - c->from != len || c->from > c->to ||
	    c->identity.n > IDENTITY_MAX)
		return -EINVAL;
	if (s->state != S_UP)
		return -ENOTCONN;
	if (s->out.first != NULL && len > sender_room(s))
		return -EAGAIN;
	return 0;
}

int
sender_send(struct sender *s, struct hop_chunk *hc)
{
	int r;

	sender_check(s);
	must(hc->done != NULL);
	r = sendable(s, hc);
	if (r < 0)
		return r;
	wire_id(&hc->chunk, hc->id);
	hc->head_len = (uint16_t)wire_head(hc->head, s->agent_id,
	    chunk_body_len(&hc->chunk));
	hc->tail_len = (uint16_t)wire_tail(hc->tail, &hc->chunk, hc->id,
	    WIRE_ALL);
	outq_put(&s->out, hc);
	if (s->resend > 0) {
		s->resend--;
		ctr_add(ctr(s), CTR_hop_resent_chunks, 1);
	}
	if (s->out.chunks == 1)
		s->went_ns = loop_now(s->env->loop);
	gauge(s);
	watch_answers(s);
	kick(s);
	return 0;
}

void
sender_end_stream(struct sender *s, const uint8_t id[STREAM_ID_LEN])
{
	sender_check(s);
	outq_end(&s->out, id);
	kick(s);
}

/* ---- answers ---- */

static void
answered(struct sender *s, struct hop_chunk *hc)
{
	ctr_add(ctr(s), CTR_hop_acked_chunks, 1);
	ctr_add(ctr(s), CTR_hop_acked_bytes, chunk_body_len(&hc->chunk));
	s->answered_ns = loop_now(s->env->loop);
	peers_worked(&s->peers);
	gauge(s);
	hc->done(hc, 0);
}

static void
answer(struct sender *s, struct bytes id, uint64_t records)
{
	struct hop_chunk *hc;
	int r;

	r = outq_take(&s->out, id, &hc);
	if (r == -ENOENT)
		ctr_add(ctr(s), CTR_hop_bad_acks, 1);
	if (r < 0)
		return;
	if (records > 0 && records <= UINT32_MAX)
		hc->chunk.records = (uint32_t)records;
	answered(s, hc);
}

/* Takes all whole answers; what is left moves to the front. */
static int
read_answers(struct sender *s)
{
	struct mp m = { s->in, s->in + s->in_len };
	struct bytes id;
	uint64_t records;
	int r = 0;

	while (s->state == S_UP && m.p < m.end) {
		r = wire_read_ack(&m, &id, &records);
		if (r < 0)
			break;
		answer(s, id, records);
	}
	s->in_len = (size_t)(m.end - m.p);
	memmove(s->in, m.p, s->in_len);
	if (r == -EAGAIN && s->in_len < sizeof(s->in))
		r = 0;
	if (r < 0) {
		ctr_add(ctr(s), CTR_hop_bad_acks, 1);
		r = -EBADMSG;
	}
	return r;
}

static void
recv_done(struct op *op)
{
	struct sender *s = sender_of(op);
	size_t room = sender_room(s);
	int r;

	if (s->state == S_UP && op->res > 0) {
		s->in_len += (size_t)op->res;
		r = read_answers(s);
	} else {
		r = op->res < 0 ? (int)op->res : -ECONNRESET;
	}
	if (r < 0)
		lose(s, r);
	if (s->state == S_UP) {
		loop_recv(s->env->loop, &s->recv, s->fd, s->in + s->in_len,
		    sizeof(s->in) - s->in_len);
		if (room < s->conf.inflight_max / 2 && sender_room(s) > room)
			s->conf.up(s->conf.arg);
	}
	settle(s);
	finish(s);
}

/* ---- completions while away ---- */

static void
tell_missed(struct sender *s)
{
	if (s->missed || s->conf.missed == NULL ||
	    loop_now(s->env->loop) - s->since < MISSED_NS)
		return;
	s->missed = true;
	s->conf.missed(s->conf.arg, s->why);
}

static void
dial_done(struct dial *d, int res)
{
	struct sender *s = d->arg;

	sender_check(s);
	if (res >= 0 && s->closing) {
		loop_close(s->env->loop, &s->close, res);
	} else if (res >= 0) {
		went_up(s, res);
	} else if (!s->closing) {
		s->why = res;
		ctr_add(ctr(s), CTR_hop_failures, 1);
		tell_missed(s);
		wait_then_try(s);
	}
	finish(s);
}

static void
expired(struct sender *s)
{
	switch (s->state) {
	case S_WAIT:
		try_peer(s);
		break;
	case S_UP:
		if (s->out.first == NULL)
			break;
		if (answer_due(s) <= loop_now(s->env->loop))
			lose(s, -ETIMEDOUT);
		else
			watch_answers(s);
		break;
	case S_IDLE: case S_DIAL: case S_LOST: case S_CLOSED:
		break;
	}
}

static void
timer_done(struct op *op)
{
	struct sender *s = sender_of(op);

	if (!s->closing) {
		if (s->deadline != 0 &&
		    loop_now(s->env->loop) >= s->deadline) {
			s->deadline = 0;
			expired(s);
		}
		if (s->deadline != 0)
			arm(s);
	}
	finish(s);
}

/* ---- closing and asking ---- */

void
sender_close(struct sender *s, void (*closed)(void *arg), void *arg)
{
	sender_check(s);
	must(!s->closing);
	s->closing = true;
	s->closed = closed;
	s->closed_arg = arg;
	loop_timer(s->env->loop, &s->last, 0);
	if (!op_idle(&s->timer))
		loop_cancel(s->env->loop, &s->timer);
	dial_cancel(&s->dial);
	lose(s, -ECANCELED);
}

bool
sender_is_up(const struct sender *s)
{
	sender_check(s);
	return s->state == S_UP;
}

size_t
sender_room(const struct sender *s)
{
	sender_check(s);
	if (s->state != S_UP || s->out.chunks >= CHUNKS_MAX ||
	    s->out.bytes >= s->conf.inflight_max)
		return 0;
	return (size_t)(s->conf.inflight_max - s->out.bytes);
}

const char *
sender_peer(const struct sender *s)
{
	sender_check(s);
	return peers_name(&s->peers);
}

uint64_t
sender_since(const struct sender *s)
{
	sender_check(s);
	return s->since;
}

int
sender_why(const struct sender *s)
{
	sender_check(s);
	return s->why;
}
