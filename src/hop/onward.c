/* SPDX-License-Identifier: ISC */
/* onward.c - from a queue through a hop; the contract is in onward.h */

#include "hop/onward.h"

#include <errno.h>

#include "base/env.h"
#include "base/must.h"
#include "base/planted.h"
#include "hop/sender.h"
#include "queue/queue.h"
#include "banned.h"

struct flight {
	struct onward	*o;
	struct hop_chunk hc;
	uint64_t	 seq;
	uint8_t		*buf;		/* NULL: this place is free */
};

struct onward {
	struct env	*env;
	struct queue	*queue;
	struct sender	*sender;
	struct flight	 flight[ONWARD_MAX];
	unsigned	 in_flight;
	bool		 rewind;	/* when the last one came back */
};

static void
landed(struct hop_chunk *hc, int res)
{
	struct flight *f = hc->arg;
	struct onward *o = f->o;

	env_free(o->env, f->buf);
	f->buf = NULL;
	o->in_flight--;
	if (res == 0)
		queue_commit(o->queue, f->seq);
	else
		o->rewind = true;
	if (res != -ECANCELED)
		onward_go(o);
}

int
onward_new(struct onward **ret_o, struct env *env, struct queue *queue,
    struct sender *sender)
{
	struct onward *o;
	unsigned i;

	o = env_alloc(env, sizeof(*o));
	if (o == NULL)
		return -ENOMEM;
	o->env = env;
	o->queue = queue;
	o->sender = sender;
	for (i = 0; i < ONWARD_MAX; i++) {
		o->flight[i].o = o;
		o->flight[i].hc.done = landed;
		o->flight[i].hc.arg = &o->flight[i];
	}
	*ret_o = o;
	return 0;
}

void
onward_free(struct onward **op)
{
	struct onward *o = *op;

	if (o == NULL)
		return;
	must(o->in_flight == 0);
	env_free(o->env, o);
	*op = NULL;
}

static struct flight *
free_flight(struct onward *o)
{
	unsigned i;

	for (i = 0; i < ONWARD_MAX; i++)
		if (o->flight[i].buf == NULL)
			return &o->flight[i];
	return NULL;
}

/* Takes and sends the next frame; false: not now. */
static bool
send_next(struct onward *o)
{
	struct flight *f = free_flight(o);
	size_t need;
	int r;

	(void)queue_turn(o->queue);
	need = queue_peek(o->queue);
	if (f == NULL || need == 0 || sender_room(o->sender) == 0)
		return false;
	f->buf = env_alloc(o->env, need);
	if (f->buf == NULL)
		return false;
	r = queue_take(o->queue, f->buf, need, &f->hc.chunk, &f->seq);
	if (r == 0 && PLANTED(drop_onward)) {
		queue_commit(o->queue, f->seq);
		env_free(o->env, f->buf);
		f->buf = NULL;
		return true;
	}
	if (r == 0) {
		f->hc.chunk.flags |= CHUNK_BACKLOG;
		r = sender_send(o->sender, &f->hc);
		if (r < 0)
			o->rewind = true;
	}
	if (r < 0) {
		env_free(o->env, f->buf);
		f->buf = NULL;
		return false;
	}
	o->in_flight++;
	return true;
}

void
onward_go(struct onward *o)
{
	if (!sender_is_up(o->sender))
		return;
	if (o->rewind) {
		if (o->in_flight > 0)
			return;
		o->rewind = false;
		queue_rewind(o->queue);
	}
	queue_return(o->queue);
	while (send_next(o))
		continue;
}
