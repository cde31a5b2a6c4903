/* SPDX-License-Identifier: ISC */
/* shake.c - TLS and shared key of a client; the contract is in shake.h */

#include "hop/shake.h"

#include <errno.h>
#include <stdio.h>

#include "base/env.h"
#include "base/must.h"
#include "loop/tls.h"
#include "banned.h"

#define MS	UINT64_C(1000000)
#define OPEN	1		/* res: not decided */

enum step { TLS, HELO, PING, PONG };

static void	 step_done(struct op *op);
static void	 late(struct op *op);

void
shake_init(struct shake *s, struct env *env, const struct shake_conf *conf,
    void (*done)(struct shake *s, int res), void *arg)
{
	*s = (struct shake){ .env = env, .conf = *conf, .done = done,
	    .arg = arg };
	op_init(&s->op, step_done, s);
	op_init(&s->timer, late, s);
}

bool
shake_idle(const struct shake *s)
{
	return !s->active;
}

/* ---- the end ---- */

/* Last in each completion. */
static void
finish(struct shake *s)
{
	if (s->res == OPEN || !op_idle(&s->op) || !op_idle(&s->timer))
		return;
	s->active = false;
	s->done(s, s->res);
}

static void
decide(struct shake *s, int res, const char *why)
{
	if (s->res != OPEN)
		return;
	s->res = res;
	(void)snprintf(s->why, sizeof(s->why), "%s", why);
	if (!op_idle(&s->op))
		loop_cancel(s->env->loop, &s->op);
	if (!op_idle(&s->timer))
		loop_cancel(s->env->loop, &s->timer);
}

void
shake_cancel(struct shake *s)
{
	if (s->active)
		decide(s, -ECANCELED, "");
}

static void
late(struct op *op)
{
	struct shake *s = op->arg;

	if (op->res == 0)
		decide(s, -ETIMEDOUT, s->step == HELO ?
		    "it asks for no shared key; common.shared_key must be "
		    "set on both sides" :
		    "it does not answer the shared key");
	finish(s);
}

/* ---- the key ---- */

static void
receive(struct shake *s, enum step step)
{
	s->step = step;
	s->len = 0;
	if (op_idle(&s->timer))
		loop_timer(s->env->loop, &s->timer,
		    loop_now(s->env->loop) + KEY_SHAKE_MS * MS);
	loop_recv(s->env->loop, &s->op, s->fd, s->buf, sizeof(s->buf));
}

static void
make_salt(struct shake *s)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t raw[KEY_SALT / 2];
	size_t i;

	loop_random(s->env->loop, raw, sizeof(raw));
	for (i = 0; i < sizeof(raw); i++) {
		s->salt[2 * i] = hex[raw[i] >> 4];
		s->salt[2 * i + 1] = hex[raw[i] & 15];
	}
}

static int
got_helo(struct shake *s)
{
	size_t used;
	int r;

	r = key_read_helo(bytes_of(s->buf, s->len), &s->helo, &used);
	if (r == 0 && used != s->len)
		r = -EBADMSG;
	if (r < 0)
		return r;
	make_salt(s);
	s->len = key_write_ping(s->conf.key, &s->helo, s->salt, s->buf);
	if (s->len == 0)
		return -ENOMEM;
	s->step = PING;
	s->iov = (struct iovec){ s->buf, s->len };
	loop_send(s->env->loop, &s->op, s->fd, &s->iov, 1);
	return 0;
}

static int
got_pong(struct shake *s, char why[KEY_WHY])
{
	size_t used;
	int r;

	r = key_read_pong(s->conf.key, &s->helo, s->salt,
	    bytes_of(s->buf, s->len), &used, why);
	if (r == 0 && used != s->len)
		r = -EBADMSG;
	if (r == 0)
		decide(s, 0, "");
	return r;
}

static void
got_bytes(struct shake *s, int64_t n)
{
	char why[KEY_WHY] = "the shared key: not Forward's handshake";
	int r;

	if (n <= 0) {
		decide(s, n == 0 ? -ECONNRESET : (int)n, "");
		return;
	}
	s->len += (size_t)n;
	r = s->step == HELO ? got_helo(s) : got_pong(s, why);
	if (r == -EAGAIN && s->len < sizeof(s->buf))
		loop_recv(s->env->loop, &s->op, s->fd, s->buf + s->len,
		    sizeof(s->buf) - s->len);
	else if (r < 0)
		decide(s, r == -EAGAIN || r == -EBADMSG ? -EPROTO : r, why);
}

static void
sent(struct shake *s, int64_t n)
{
	if (n <= 0) {
		decide(s, n == 0 ? -EIO : (int)n, "");
	} else if ((size_t)n < s->iov.iov_len) {
		s->iov.iov_base = (uint8_t *)s->iov.iov_base + n;
		s->iov.iov_len -= (size_t)n;
		loop_send(s->env->loop, &s->op, s->fd, &s->iov, 1);
	} else {
		receive(s, PONG);
	}
}

/* ---- in order ---- */

static void
after_tls(struct shake *s)
{
	if (s->conf.key != NULL)
		receive(s, HELO);
	else
		decide(s, 0, "");
}

static void
tls_ended(struct shake *s, int res)
{
	if (res == 0) {
		ctr_add(&s->env->ctr, CTR_tls_handshakes, 1);
		after_tls(s);
		return;
	}
	ctr_add(&s->env->ctr, CTR_tls_failed, res != -ECANCELED);
	decide(s, res, loop_tls_why(s->env->loop, s->fd));
}

static void
step_done(struct op *op)
{
	struct shake *s = op->arg;

	if (s->res == OPEN)
		switch ((enum step)s->step) {
		case TLS:
			tls_ended(s, (int)op->res);
			break;
		case HELO: case PONG:
			got_bytes(s, op->res);
			break;
		case PING:
			sent(s, op->res);
			break;
		}
	finish(s);
}

/* With nothing to do it is done at once, but not from inside here. */
void
shake_start(struct shake *s, int fd, const struct peer *peer)
{
	must(!s->active);
	s->active = true;
	s->res = OPEN;
	s->fd = fd;
	s->why[0] = '\0';
	s->step = TLS;
	if (peer->scheme == PEER_TLS) {
		must(s->conf.tls != NULL);
		loop_tls(s->env->loop, &s->op, fd, s->conf.tls,
		    s->conf.name != NULL ? s->conf.name : peer->host,
		    s->conf.sni);
		return;
	}
	after_tls(s);
	if (s->res != OPEN)
		loop_timer(s->env->loop, &s->timer, 0);
}
