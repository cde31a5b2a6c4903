/* SPDX-License-Identifier: ISC */
/* dead.c - dead letters in a queue of their own; the contract is in dead.h */

#include "export/dead.h"

#include <errno.h>
#include <stdio.h>

#include "base/env.h"
#include "base/must.h"
#include "forward/mp.h"
#include "queue/queue.h"
#include "banned.h"

struct dead {
	struct env	*env;
	struct queue	*queue;
	struct env	 quiet;		/* the letters' queue counts for itself */
	void		*counts;	/* what quiet counts in */
	struct queue_put put;
	bool		 busy;
	char		 dir[512];
	uint8_t		 identity[IDENTITY_MAX];
	void		(*done)(void *arg, int res);
	void		*arg;
};

static void
durable(struct queue_put *put, int res)
{
	struct dead *d = put->arg;

	d->busy = false;
	d->done(d->arg, res);
}

static void
ignore_notify(void *arg)
{
}

int
dead_new(struct dead **ret_d, struct env *env, const char *dir,
    uint64_t bytes_max)
{
	struct queue_conf conf = { .bytes_max = bytes_max,
	    .segment_bytes = 4u << 20, .staging_bytes = 2u << 20,
	    .notify = ignore_notify };
	struct dead *d;
	int r;

	d = env_alloc(env, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	d->env = env;
	d->quiet = *env;
	d->counts = env_alloc(env, counters_bytes());
	if (d->counts == NULL) {
		dead_free(&d);
		return -ENOMEM;
	}
	counters_init_in(&d->quiet.ctr, d->counts);
	snprintf(d->dir, sizeof(d->dir), "%s", dir);
	conf.dir = d->dir;
	d->put.done = durable;
	d->put.arg = d;
	r = queue_new(&d->queue, &d->quiet, &conf);
	if (r < 0)
		dead_free(&d);
	else
		*ret_d = d;
	return r;
}

void
dead_open(struct dead *d, void (*opened)(void *arg, int res), void *arg)
{
	queue_open(d->queue, opened, arg);
}

static uint32_t
pairs_of(struct bytes identity, struct mp *ret_pairs)
{
	struct mp m = mp_of(identity);
	uint32_t n;

	if (mp_map(&m, &n) < 0)
		n = 0;
	*ret_pairs = m;
	return n;
}

/* The lane's identity and the reason, as far as they fit. */
static struct bytes
identity_of(struct dead *d, const struct dead_letter *l)
{
	struct mpw w = { d->identity, d->identity + sizeof(d->identity), false };
	struct mp m;
	uint32_t n = pairs_of(l->chunk.identity, &m);
	char status[16] = "";

	if (l->chunk.identity.n + 400 > sizeof(d->identity))
		n = 0;
	if (l->status > 0)
		snprintf(status, sizeof(status), "%d", l->status);
	mpw_map(&w, n + 3);
	if (n > 0)
		mpw_raw(&w, bytes_of(m.p, (size_t)(m.end - m.p)));
	mpw_str(&w, BYTES("emplog.dead_why"));
	mpw_str(&w, bytes_str(l->why));
	mpw_str(&w, BYTES("emplog.dead_status"));
	mpw_str(&w, bytes_str(status));
	mpw_str(&w, BYTES("emplog.dead_words"));
	mpw_str(&w, bytes_of(l->words, strnlen(l->words, 256)));
	must(!w.full);
	return bytes_of(d->identity, (size_t)(w.p - d->identity));
}

int
dead_put(struct dead *d, const struct dead_letter *letter,
    void (*done)(void *arg, int res), void *arg)
{
	struct chunk c = letter->chunk;
	int r;

	if (d->busy)
		return -EBUSY;
	c.identity = identity_of(d, letter);
	c.records = 1;
	d->done = done;
	d->arg = arg;
	r = queue_put(d->queue, &c, &d->put);
	d->busy = r == 0;
	return r;
}

void
dead_close(struct dead *d, void (*closed)(void *arg), void *arg)
{
	queue_close(d->queue, closed, arg);
}

void
dead_free(struct dead **dp)
{
	struct dead *d = *dp;

	if (d == NULL)
		return;
	queue_free(&d->queue);
	env_free(d->env, d->counts);
	env_free(d->env, d);
	*dp = NULL;
}
