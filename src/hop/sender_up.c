/* SPDX-License-Identifier: ISC */
/* sender_up.c - what goes over a connection; see sender.h, sender_in.h */

#include <errno.h>

#include "base/planted.h"
#include "forward/mp.h"
#include "hop/sender_in.h"
#include "hop/wire.h"
#include "loop/tls.h"
#include "banned.h"

#define EDGE_PATIENCE_MS UINT64_C(600000)

/* ---- up ---- */

void
up_gauge(struct sender *s)
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

/* The peer: an answer. */
static bool
owes(const struct sender *s)
{
	return s->out.first != NULL || s->patience.owed_ns != 0;
}

static uint64_t
oldest_sent(const struct sender *s)
{
	return s->out.first != NULL ? s->out.first->sent_ns :
	    s->patience.owed_ns;
}

static uint64_t
answer_due(const struct sender *s)
{
	/* an edge sees what goes on, and ends it itself */
	if (dial_is_edge(&s->dial))
		return patience_since(&s->patience, oldest_sent(s)) +
		    EDGE_PATIENCE_MS * MS;
	return patience_due(&s->patience, oldest_sent(s));
}

static void
watch_answers(struct sender *s)
{
	if (s->deadline == 0 && owes(s)) {
		s->deadline = answer_due(s);
		sender_arm(s);
	}
}

void
up_begin(struct sender *s)
{
	s->state = S_UP;
	s->missed = true;
	s->was_up = true;
	s->in_len = 0;
	s->deadline = 0;
	s->since = loop_now(s->env->loop);
	patience_begin(&s->patience, s->since);
	s->taken_back = 0;
	outq_begin(&s->out);
	ctr_add(ctr(s), CTR_hop_connects, 1);
	ctr_set(ctr(s), CTR_hop_up, 1);
	loop_recv(s->env->loop, &s->recv, s->fd, s->in, sizeof(s->in));
	s->conf.up(s->conf.arg);
	if (s->state != S_UP)
		return;
	/* A port closes who says nothing; it is told who is here. */
	if (s->out.first == NULL)
		outq_hello(&s->out);
	kick(s);
}

void
up_expired(struct sender *s)
{
	if (!owes(s))
		return;
	if (answer_due(s) <= loop_now(s->env->loop)) {
		patience_silent(&s->patience);
		sender_lose(s, -ETIMEDOUT, "");
	} else {
		watch_answers(s);
	}
}

void
up_lost(struct sender *s, const struct hop_chunk *hc)
{
	if (hc->sent_ns == 0)
		return;
	ctr_add(ctr(s), CTR_hop_resent_chunks, 1);
	ctr_add(ctr(s), CTR_hop_resent_bytes, chunk_body_len(&hc->chunk));
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
		patience_went(&s->patience, loop_now(s->env->loop));
	else if (res == -EFAULT)
		r = outq_fault(&s->out, &filled);
	else
		r = res < 0 ? (int)res : -EIO;
	ctr_add(ctr(s), CTR_hop_filled_bytes, filled);
	return r;
}

static void	 answered(struct sender *s, struct hop_chunk *hc);

void
up_sent(struct op *op)
{
	struct sender *s = sender_of(op);
	struct hop_chunk *hc;
	int r;

	r = send_result(s, op->res);
	if (s->state == S_UP && r < 0)
		sender_lose(s, r, sender_tls_words(s, r));
	while (s->state == S_UP && (hc = outq_take_early(&s->out)) != NULL)
		answered(s, hc);
	kick(s);
	sender_settle(s);
	sender_finish(s);
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
	if (s->out.chunks == 1)
		patience_went(&s->patience, loop_now(s->env->loop));
	up_gauge(s);
	watch_answers(s);
	kick(s);
	return 0;
}

int
sender_take_back(struct sender *s, struct hop_chunk *hc)
{
	int r;

	sender_check(s);
	r = s->state == S_UP ? outq_take_back(&s->out, hc) : -EBUSY;
	if (r < 0)
		return r;
	up_lost(s, hc);
	patience_taken_back(&s->patience, hc->sent_ns);
	s->taken_back++;
	up_gauge(s);
	return 0;
}

uint64_t
sender_silent(const struct sender *s)
{
	sender_check(s);
	if (s->state != S_UP || !owes(s))
		return 0;
	return loop_now(s->env->loop) -
	    patience_since(&s->patience, oldest_sent(s));
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
	patience_answered(&s->patience, hc->sent_ns, loop_now(s->env->loop));
	s->told[0] = '\0';
	peers_worked(&s->peers);
	up_gauge(s);
	hc->done(hc, 0);
}

static void
answer(struct sender *s, struct bytes id, uint64_t records)
{
	struct hop_chunk *hc;
	int r;

	r = outq_take(&s->out, id, &hc);
	if (r == -ENOENT && PLANTED(accept_older_epoch) &&
	    s->out.first != NULL) {
		hc = s->out.first;
		r = outq_take_back(&s->out, hc);
	}
	if (r == -ENOENT && s->taken_back > 0) {
		s->taken_back--;
		patience_answered(&s->patience, s->patience.owed_ns,
		    loop_now(s->env->loop));
	} else if (r == -ENOENT) {
		ctr_add(ctr(s), CTR_hop_bad_acks, 1);
	}
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
	if (r < 0 && key_is_helo(bytes_of(s->in, s->in_len)))
		return -EACCES;
	if (r < 0) {
		ctr_add(ctr(s), CTR_hop_bad_acks, 1);
		r = -EBADMSG;
	}
	return r;
}

void
up_received(struct op *op)
{
	struct sender *s = sender_of(op);
	size_t room = sender_room(s);
	const char *words = "";
	int r;

	if (s->state == S_UP && op->res > 0) {
		s->in_len += (size_t)op->res;
		r = read_answers(s);
		if (r == -EACCES)
			words = "it asks for a shared key; set "
			    "common.shared_key";
	} else {
		r = op->res < 0 ? (int)op->res : -ECONNRESET;
		words = sender_tls_words(s, r);
	}
	if (r < 0)
		sender_lose(s, r, words);
	if (s->state == S_UP) {
		loop_recv(s->env->loop, &s->recv, s->fd, s->in + s->in_len,
		    sizeof(s->in) - s->in_len);
		if (room < s->conf.inflight_max / 2 && sender_room(s) > room)
			s->conf.up(s->conf.arg);
	}
	sender_settle(s);
	sender_finish(s);
}
