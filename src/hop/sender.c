/* SPDX-License-Identifier: ISC */
/* sender.c - one connection to one of a list of peers; see sender.h */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hop/sender_in.h"
#include "hop/wire.h"
#include "loop/tls.h"
#include "banned.h"

#define INFLIGHT_MAX	((uint64_t)32 << 20)
#define ACK_TIMEOUT_MS	5000
#define MISSED_NS	(2000 * MS)	/* peers that start together are no news */

static void	 dial_done(struct dial *d, int res);
static void	 shake_done(struct shake *sh, int res);
static void	 close_done(struct op *op);
static void	 timer_done(struct op *op);
static void	 last_done(struct op *op);
static void	 tell_missed(struct sender *s);

/* ---- life ---- */

static void
ops_init(struct sender *s)
{
	dial_init(&s->dial, s->env, dial_done, s);
	shake_init(&s->shake, s->env, &s->conf.shake, shake_done, s);
	op_init(&s->send, up_sent, s);
	op_init(&s->recv, up_received, s);
	op_init(&s->close, close_done, s);
	op_init(&s->timer, timer_done, s);
	op_init(&s->last, last_done, s);
}

static int
peers_set(struct sender *s)
{
	struct edge_conf ec = { .url = NULL };
	unsigned i;
	int r;

	if (s->conf.edge != NULL)
		ec = *s->conf.edge;
	s->conf.edge = NULL;		/* it is copied below */
	ec.agent_id = s->agent_id;
	r = peers_init(&s->peers, s->env, s->conf.peers);
	for (i = 0; r == 0 && i < s->peers.n; i++)
		r = dial_know(&s->dial, s->peers.name[i], &ec);
	return r;
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
	ops_init(s);
	s->agent_id = env_strdup(env, conf->agent_id);
	r = s->agent_id == NULL ? -ENOMEM : peers_set(s);
	if (r < 0) {
		dial_fini(&s->dial);
		if (s->peers.n > 0)
			peers_fini(&s->peers);
		env_free(env, s->agent_id);
		env_free(env, s);
		return r;
	}
	outq_init(&s->out, s->agent_id);
	patience_init(&s->patience, s->conf.ack_timeout_ms);
	*ret_s = s;
	return 0;
}

static bool
all_idle(const struct sender *s)
{
	return dial_idle(&s->dial) && shake_idle(&s->shake) &&
	    op_idle(&s->send) && op_idle(&s->recv) && op_idle(&s->close) &&
	    op_idle(&s->timer) && op_idle(&s->last);
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
	dial_fini(&s->dial);
	peers_fini(&s->peers);
	env_free(s->env, s->agent_id);
	s->magic = 0;
	env_free(s->env, s);
	*sp = NULL;
}

/* ---- time: one timer, one deadline ---- */

void
sender_arm(struct sender *s)
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
	sender_arm(s);
}

/* ---- away: dial, wait ---- */

static void
try_peer(struct sender *s)
{
	struct peer peer;

	peers_peer(&s->peers, &peer);
	s->state = S_DIAL;
	dial_start(&s->dial, peers_name(&s->peers), &peer);
}

static bool
is_cut(int why)
{
	return why == -ECONNRESET || why == -EPIPE;
}

static void
wait_then_try(struct sender *s)
{
	s->state = S_WAIT;
	set_deadline(s, peers_failed(&s->peers, is_cut(s->why), s->up_ns,
	    dial_wait_ns(&s->dial)));
	s->up_ns = 0;
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
void
sender_finish(struct sender *s)
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
	sender_finish(sender_of(op));
}

/* ---- lost: the loan of every chunk ends before it completes ---- */

void
sender_settle(struct sender *s)
{
	if (s->state == S_LOST && op_idle(&s->send) && op_idle(&s->recv) &&
	    op_idle(&s->close))
		loop_close(s->env->loop, &s->close, s->fd);
}

static void
note_why(struct sender *s, int why, const char *words)
{
	s->why = why;
	(void)snprintf(s->words, sizeof(s->words), "%s", words);
}

/* TLS 1.3: a client learns only from its first read that it was refused. */
const char *
sender_tls_words(const struct sender *s, int why)
{
	return why == -EACCES || why == -EPROTO ?
	    loop_tls_why(s->env->loop, s->fd) : "";
}

void
sender_lose(struct sender *s, int why, const char *words)
{
	if (s->state != S_UP)
		return;
	s->state = S_LOST;
	/* an edge ends its end of the pair, whatever the reason is */
	if (is_cut(why) && dial_error(&s->dial) != 0)
		why = dial_error(&s->dial);
	note_why(s, why, words);
	s->deadline = 0;
	s->up_ns = loop_now(s->env->loop) - s->since;
	s->since = loop_now(s->env->loop);
	ctr_set(ctr(s), CTR_hop_up, 0);
	ctr_add(ctr(s), CTR_hop_failures, !s->closing);
	if (!op_idle(&s->send))
		loop_cancel(s->env->loop, &s->send);
	if (!op_idle(&s->recv))
		loop_cancel(s->env->loop, &s->recv);
	sender_settle(s);
}

static void
close_done(struct op *op)
{
	struct sender *s = sender_of(op);
	struct hop_chunk *hc;

	s->fd = -1;
	while (!s->closing && (hc = outq_take_first(&s->out)) != NULL) {
		up_lost(s, hc);
		hc->done(hc, -ECONNRESET);
	}
	up_gauge(s);
	/* told before the next one is taken: sender_peer() is the lost one */
	if (!s->closing && s->was_up)
		s->conf.down(s->conf.arg, s->why);
	else if (!s->closing)
		tell_missed(s);
	if (!s->closing)
		wait_then_try(s);
	s->was_up = false;
	sender_finish(s);
}

/* ---- completions while away ---- */

static bool
is_refusal(int why)
{
	return why == -EACCES || why == -EPROTO;
}

static void
tell_missed(struct sender *s)
{
	bool due = !s->missed &&
	    loop_now(s->env->loop) - s->since >= MISSED_NS;

	if (s->conf.missed == NULL ||
	    !(is_refusal(s->why) ? sender_is_news(s) : due))
		return;
	s->missed = true;
	s->conf.missed(s->conf.arg, s->why);
}

static void
dial_done(struct dial *d, int res)
{
	struct sender *s = d->arg;
	struct peer peer;

	sender_check(s);
	if (res >= 0 && s->closing) {
		loop_close(s->env->loop, &s->close, res);
	} else if (res >= 0) {
		s->state = S_SHAKE;
		s->fd = res;
		peers_peer(&s->peers, &peer);
		if (peer_is_url(&peer))
			up_begin(s);	/* its edge has shaken hands */
		else
			shake_start(&s->shake, s->fd, &peer);
	} else if (!s->closing) {
		note_why(s, res, "");
		ctr_add(ctr(s), CTR_hop_failures, 1);
		tell_missed(s);
		wait_then_try(s);
	}
	sender_finish(s);
}

static void
shake_done(struct shake *sh, int res)
{
	struct sender *s = sh->arg;

	sender_check(s);
	if (res == 0 && !s->closing) {
		up_begin(s);
	} else {
		s->state = S_LOST;
		note_why(s, res, sh->why);
		ctr_add(ctr(s), CTR_hop_failures, !s->closing);
		sender_settle(s);
	}
	sender_finish(s);
}

static void
expired(struct sender *s)
{
	switch (s->state) {
	case S_WAIT:
		try_peer(s);
		break;
	case S_UP:
		up_expired(s);
		break;
	case S_IDLE: case S_DIAL: case S_SHAKE: case S_LOST: case S_CLOSED:
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
			sender_arm(s);
	}
	sender_finish(s);
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
	dial_close(&s->dial);
	shake_cancel(&s->shake);
	sender_lose(s, -ECANCELED, "");
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

const char *
sender_words(const struct sender *s)
{
	const char *words = s->words[0] != '\0' ? s->words :
	    dial_why(&s->dial);

	sender_check(s);
	return *words != '\0' ? words : strerror(-s->why);
}

/* Each connection over a bad line may be lost, ten in a second. */
static bool
is_lost_anew(struct sender *s)
{
	uint64_t now = loop_now(s->env->loop);

	if (s->lost_ns != 0 && now - s->lost_ns < LOST_AGAIN_MS * MS &&
	    strcmp(s->lost, sender_peer(s)) == 0)
		return false;
	(void)snprintf(s->lost, sizeof(s->lost), "%s", sender_peer(s));
	s->lost_ns = now;
	return true;
}

bool
sender_is_news(struct sender *s)
{
	const char *words = sender_words(s);

	if (!is_refusal(s->why) && dial_why(&s->dial)[0] == '\0')
		return is_lost_anew(s);
	if (strcmp(s->told, words) == 0)
		return false;
	(void)snprintf(s->told, sizeof(s->told), "%s", words);
	return !s->was_up || is_lost_anew(s);
}
