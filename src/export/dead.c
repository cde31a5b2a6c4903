/* SPDX-License-Identifier: ISC */
/* dead.c - dead letters in a queue of their own; the contract is in dead.h */

#include "export/dead.h"

#include <errno.h>
#include <stdio.h>

#include "base/env.h"
#include "base/must.h"
#include "export/asked.h"
#include "export/letter.h"
#include "loop/loop.h"
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
	void		(*more)(void *arg);
	void		*more_arg;
	/* What is asked for, and how far that went since the rewind. */
	const struct asked_for *want;	/* NULL: nothing */
	uint64_t	 passed;	/* taken and kept, wanted or not */
	bool		 beyond;	/* past the last one wanted */
	bool		 stuck;		/* the queue gives out no more at once */
};

static void
durable(struct queue_put *put, int res)
{
	struct dead *d = put->arg;

	d->busy = false;
	d->done(d->arg, res);
}

static void
notified(void *arg)
{
	struct dead *d = arg;

	if (d->want != NULL)
		d->more(d->more_arg);
}

int
dead_new(struct dead **ret_d, struct env *env, const char *dir,
    uint64_t bytes_max, void (*more)(void *arg), void *arg)
{
	struct queue_conf conf = { .bytes_max = bytes_max,
	    .segment_bytes = 4u << 20, .staging_bytes = 2u << 20,
	    .notify = notified };
	struct dead *d;
	int r;

	d = env_alloc(env, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	d->env = env;
	d->quiet = *env;
	d->quiet.fates = NULL;	/* told by who buries */
	d->counts = env_alloc(env, counters_bytes());
	if (d->counts == NULL) {
		dead_free(&d);
		return -ENOMEM;
	}
	counters_init_in(&d->quiet.ctr, d->counts);
	snprintf(d->dir, sizeof(d->dir), "%s", dir);
	conf.dir = d->dir;
	conf.notify_arg = d;
	d->more = more;
	d->more_arg = arg;
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

static struct bytes
identity_of(struct dead *d, const struct dead_letter *l)
{
	const struct letter_note note = {
		.why = bytes_str(l->why), .words = bytes_str(l->words),
		.endpoint = bytes_str(l->endpoint),
		.dataset = bytes_str(l->dataset), .status = l->status,
		.time_ns = loop_wall(d->env->loop),
	};

	return bytes_of(d->identity, letter_put(d->identity,
	    l->chunk.identity, &note));
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

/* ---- and back ---- */

void
dead_want(struct dead *d, const struct asked_for *want)
{
	d->want = want;
	d->passed = 0;
	d->beyond = d->stuck = false;
	queue_rewind(d->queue);
}

size_t
dead_peek(const struct dead *d)
{
	return d->want == NULL || d->beyond || d->stuck ? 0 :
	    queue_peek(d->queue);
}

int
dead_take(struct dead *d, void *buf, size_t cap, struct chunk *ret,
    uint64_t *ret_seq)
{
	uint8_t identity[IDENTITY_MAX];
	uint64_t seq;
	int r;

	while (dead_peek(d) > 0) {
		r = queue_take(d->queue, buf, cap, ret, &seq);
		d->stuck = r == -EAGAIN && queue_peek(d->queue) > 0;
		if (r < 0)
			return r;
		d->passed++;
		d->beyond = seq >= d->want->v[d->want->n - 1].last;
		if (!asked_has(d->want, seq))
			continue;
		ret->identity.n = letter_strip(identity, ret->identity);
		memcpy((uint8_t *)buf + ret->body[0].n, identity,
		    ret->identity.n);
		ret->records = 1;
		*ret_seq = seq;
		return 0;
	}
	return -EAGAIN;
}

void
dead_done(struct dead *d, uint64_t seq)
{
	must(d->passed > 0);
	d->passed--;
	d->stuck = false;
	queue_commit(d->queue, seq);
}

bool
dead_all_taken(const struct dead *d)
{
	return d->want == NULL || d->beyond || d->stuck ||
	    d->passed >= queue_held_frames(d->queue);
}

bool
dead_is_settled(const struct dead *d)
{
	return queue_is_settled(d->queue);
}

uint64_t
dead_held(const struct dead *d)
{
	return queue_held_frames(d->queue);
}

uint64_t
dead_lost(const struct dead *d)
{
	return ctr_get(&d->quiet.ctr, CTR_queue_lost_records);
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
