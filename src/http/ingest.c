/* SPDX-License-Identifier: ISC */
/* ingest.c - records that come by HTTP; the contract is in ingest.h */

#include "http/ingest_inner.h"

#include <errno.h>

#include "base/must.h"

#include "banned.h"

#define TURN_BYTES	(256u << 10)

_Static_assert(OUT_BYTES <= CHUNK_BYTES_MAX, "a piece is a chunk at most");

/* ---- on the loop ---- */

static void
rearm(struct ingest *i)
{
	struct loop *l = i->env->loop;
	uint64_t at = i->runnable.first != NULL ? 0 : UINT64_MAX;
	struct work *w;

	for (w = i->waiting.first; w != NULL; w = w->next)
		if (w->wait_until < at)
			at = w->wait_until;
	if (i->settling.first != NULL && i->settling.first->settle_at < at)
		at = i->settling.first->settle_at;
	if (at == UINT64_MAX)
		return;
	if (op_idle(&i->timer))
		loop_timer(l, &i->timer, at);
	else if (at < i->timer.at_ns)
		loop_cancel(l, &i->timer);	/* its end sets the new one */
}

/* Those who wait are tried again; whose time is up for the last time. */
static void
wake_waiting(struct ingest *i)
{
	struct work *w;

	while ((w = list_take(&i->waiting)) != NULL) {
		i->waiting_n--;
		i->waiting_bytes -= w->body_n;
		list_add(&i->runnable, w);
	}
}

static void
on_timer(struct op *op)
{
	struct ingest *i = op->arg;
	struct work *w;

	must(i->magic == INGEST_MAGIC);
	if (i->dying) {
		i->magic = 0;
		env_free(i->env, i);
		return;
	}
	work_settle_late(i);
	if (i->runnable.first == NULL)
		wake_waiting(i);
	w = list_take(&i->runnable);
	if (w != NULL)
		work_step(w);
	rearm(i);
}

void
ingest_hurry(struct ingest *i)
{
	uint64_t at = loop_now(i->env->loop) + HURRY_NS;
	struct work *w;

	must(i->magic == INGEST_MAGIC);
	i->hurried = true;
	for (w = i->settling.first; w != NULL; w = w->next)
		if (w->settle_at > at)
			w->settle_at = at;
	wake_waiting(i);
	rearm(i);
}

void
ingest_resume(struct ingest *i)
{
	must(i->magic == INGEST_MAGIC);
	wake_waiting(i);
	rearm(i);
}

/* ---- a request comes ---- */

static bool
is_taken(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
}

static void
refuse_method(struct ingest *i, struct serve_req *req)
{
	static const struct serve_header allow = { "Allow", "POST, PUT" };

	ingest_count(i, CTR_ingest_bad_request, 1);
	serve_answer(req, 405, NULL, (struct bytes){ 0 }, &allow, 1);
}

/* How many records were in it is not known: at least one. */
int
ingest_refused(struct ingest *i, const struct serve_req *req, int status)
{
	must(i->magic == INGEST_MAGIC);
	if (!is_taken(req_method(req)) || wants_disk(req))
		return status;
	ingest_drop(i, 1);
	return 201;
}

/* No work could be made of it. */
static void
refuse(struct ingest *i, struct serve_req *req, int error)
{
	if (error == -ENOMEM) {
		ingest_count(i, CTR_ingest_busy, 1);
		answer_plain(req, ingest_refused(i, req, 503));
		return;
	}
	ingest_count(i, CTR_ingest_bad_request, 1);
	if (wants_disk(req))
		answer_text(req, 400, "expected json= in the form\n");
	else
		answer_plain(req, 201);
}

/* The same request, not yet answered. */
static struct work *
under_way(const struct ingest *i, struct seen_key key)
{
	uint64_t now = loop_now(i->env->loop);
	struct work *w;

	/* The newest are first: behind an old one there are only older. */
	for (w = i->all; w != NULL && now - w->began_ns < SEEN_NS;
	    w = w->later)
		if (seen_same(w->key, key))
			return w;
	return NULL;
}

/*
 * An exact duplicate within SEEN_NS is not taken again.  One of a request
 * that is still under way shares its fate and is answered with it; but an old
 * client does not wait for one that waits for the disk as long as it takes.
 */
static bool
is_again(struct ingest *i, struct serve_req *req, struct seen_key key)
{
	bool durable = wants_disk(req);
	struct again *a;
	struct work *w;

	if (seen_has(i->seen, key, loop_now(i->env->loop), durable)) {
		ingest_count(i, CTR_ingest_duplicates, 1);
		answer_plain(req, durable ? 200 : 201);
		return true;
	}
	w = under_way(i, key);
	if (w == NULL || (durable && !w->durable))
		return false;
	if (w->answered || (!durable && w->durable)) {
		ingest_count(i, CTR_ingest_duplicates, 1);
		answer_plain(req, 201);
		return true;
	}
	a = env_alloc(i->env, sizeof(*a));
	if (a == NULL)
		return false;
	*a = (struct again){ w->again, req, durable };
	w->again = a;
	ingest_count(i, CTR_ingest_duplicates, 1);
	return true;
}

void
ingest_request(struct ingest *i, struct serve_req *req)
{
	struct bytes body = req_body(req);
	struct seen_key key;
	struct work *w;
	int r;

	must(i->magic == INGEST_MAGIC);
	must(!i->dying);
	if (!is_taken(req_method(req))) {
		refuse_method(i, req);
		return;
	}
	ingest_count(i, CTR_ingest_requests, 1);
	ingest_count(i, CTR_ingest_bytes, body.n);
	key = seen_key(req_path(req), body);
	if (is_again(i, req, key))
		return;
	r = work_new(i, req, key, &w);
	if (r < 0) {
		refuse(i, req, r);
		return;
	}
	/* Behind others it waits its turn; else it is mostly done at once. */
	if (i->runnable.first != NULL)
		list_add(&i->runnable, w);
	else
		work_step(w);
	rearm(i);
}

int
ingest_new(struct ingest **ret_i, struct env *env,
    const struct ingest_conf *conf)
{
	struct ingest *i;

	must(conf->sink != NULL);
	i = env_alloc(env, sizeof(*i));
	if (i == NULL)
		return -ENOMEM;
	*i = (struct ingest){ .magic = INGEST_MAGIC, .env = env,
	    .conf = *conf };
	if (i->conf.turn_bytes == 0)
		i->conf.turn_bytes = TURN_BYTES;
	list_init(&i->runnable);
	list_init(&i->waiting);
	list_init(&i->settling);
	op_init(&i->timer, on_timer, i);
	i->seen = env_alloc(env, sizeof(*i->seen));
	i->out = env_alloc(env, OUT_BYTES);
	if (i->seen == NULL || i->out == NULL) {
		env_free(env, i->seen);
		env_free(env, i->out);
		env_free(env, i);
		return -ENOMEM;
	}
	*ret_i = i;
	return 0;
}

void
ingest_free(struct ingest **ingest)
{
	struct ingest *i = *ingest;

	if (i == NULL)
		return;
	must(i->magic == INGEST_MAGIC);
	must(i->all == NULL);
	env_free(i->env, i->seen);
	env_free(i->env, i->out);
	i->seen = NULL;
	i->out = NULL;
	*ingest = NULL;
	if (!op_idle(&i->timer)) {
		/* the timer's end frees the rest */
		i->dying = true;
		loop_cancel(i->env->loop, &i->timer);
		return;
	}
	i->magic = 0;
	env_free(i->env, i);
}
