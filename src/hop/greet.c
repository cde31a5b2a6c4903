/* SPDX-License-Identifier: ISC */
/* greet.c - HELO, PING, PONG of a server; the contract is in greet.h */

#include "hop/greet.h"

#include <errno.h>

#include "base/env.h"
#include "base/must.h"
#include "banned.h"

enum step { HELO, PING, PONG };

static void
say(struct greet *g, enum step step, size_t n)
{
	g->step = step;
	g->iov = (struct iovec){ g->out, n };
	loop_send(g->env->loop, &g->op, g->fd, &g->iov, 1);
}

static void
hear(struct greet *g)
{
	g->step = PING;
	loop_recv(g->env->loop, &g->op, g->fd, g->in + g->len,
	    sizeof(g->in) - g->len);
}

/* 0: goes on; else that is the end. */
static int
said(struct greet *g, int64_t n)
{
	if (n <= 0)
		return n == 0 ? -EIO : (int)n;
	g->iov.iov_base = (uint8_t *)g->iov.iov_base + n;
	g->iov.iov_len -= (size_t)n;
	if (g->iov.iov_len > 0)
		loop_send(g->env->loop, &g->op, g->fd, &g->iov, 1);
	else if (g->step == HELO)
		hear(g);
	else
		return 1;
	return 0;
}

static int
heard(struct greet *g, int64_t n)
{
	const char *why = NULL;
	struct key_ping ping = { .salt_len = 0 };
	size_t used, out;
	int r;

	if (n <= 0)
		return n == 0 ? -ECONNRESET : (int)n;
	g->len += (size_t)n;
	r = key_read_ping(g->key, &g->helo, bytes_of(g->in, g->len), &ping,
	    &used, &why);
	if (r == -EAGAIN && g->len < sizeof(g->in)) {
		hear(g);
		return 0;
	}
	/* Nobody may say more before the PONG. */
	if (r == -EAGAIN || (r == 0 && used != g->len))
		r = -EBADMSG;
	if (r < 0 && r != -EACCES)
		return r;
	g->res = r;
	out = key_write_pong(g->key, &g->helo, &ping, why, g->out);
	if (out == 0)
		return -ENOMEM;
	say(g, PONG, out);
	return 0;
}

static void
step_done(struct op *op)
{
	struct greet *g = op->arg;
	int r;

	r = g->step == PING ? heard(g, op->res) : said(g, op->res);
	if (r != 0)
		g->done(g, r == 1 ? g->res : r);
}

void
greet_start(struct greet *g, struct env *env, const struct hop_key *key,
    int fd, void (*done)(struct greet *g, int res), void *arg)
{
	*g = (struct greet){ .env = env, .key = key, .done = done, .arg = arg,
	    .fd = fd };
	op_init(&g->op, step_done, g);
	loop_random(env->loop, g->helo.nonce, KEY_NONCE);
	loop_random(env->loop, g->helo.auth, KEY_NONCE);
	say(g, HELO, key_write_helo(key, &g->helo, g->out));
}

void
greet_cancel(struct greet *g)
{
	if (!op_idle(&g->op))
		loop_cancel(g->env->loop, &g->op);
}
