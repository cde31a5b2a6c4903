/* SPDX-License-Identifier: ISC */
/* ingest.c - records that come by HTTP; the contract is in ingest.h */

#include "http/ingest.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "base/env.h"
#include "base/must.h"
#include "http/body.h"
#include "http/seen.h"

#include "banned.h"

#define TURN_BYTES	(256u << 10)
#define OUT_BYTES	(2 * JSON_RECORD_MAX)	/* <= CHUNK_BYTES_MAX */
#define WAIT_NS		500000000u	/* for ingest_resume() */
#define WAIT_MAX	64		/* requests that wait for it */
#define WAIT_BYTES	(4u << 20)	/* and their bodies */

_Static_assert(OUT_BYTES <= CHUNK_BYTES_MAX, "a piece is a chunk at most");

struct work {			/* one request until it is answered */
	uint32_t	 magic;		/* WORK_MAGIC */
	struct work	*next;		/* on runnable or waiting */
	struct ingest	*ingest;
	struct serve_req *req;
	struct body	 in;
	struct seen_key	 key;
	size_t		 body_n;
	uint64_t	 taken;		/* records in the sink */
	uint64_t	 lost;		/* records there was no room for */
	uint64_t	 wait_until;	/* loop_now() clock; 0: never waited */
	unsigned	 puts;		/* handed in, not yet durable */
	bool		 durable;	/* the client waits for the disk */
	bool		 failed;	/* a put will never be durable */
	bool		 ended;		/* the body has been read */
};
#define WORK_MAGIC	0x574f524bU

struct list {
	struct work	*first;
	struct work	**end;
};

struct ingest {
	uint32_t	 magic;		/* INGEST_MAGIC */
	struct env	*env;
	struct ingest_conf conf;
	struct op	 timer;
	struct list	 runnable;	/* bodies not read to their end */
	struct list	 waiting;	/* for room; oldest first */
	unsigned	 waiting_n;
	size_t		 waiting_bytes;
	unsigned	 works;
	bool		 dying;
	struct seen	*seen;
	uint8_t		*out;		/* OUT_BYTES */
};
#define INGEST_MAGIC	0x494e4753U

struct piece {			/* what a durable put is known by */
	struct ingest_put put;
	struct work	*work;
};

static void
count(struct ingest *i, enum ctr id, uint64_t n)
{
	if (n > 0)
		ctr_add(&i->env->ctr, id, n);
}

static void
list_init(struct list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void
list_add(struct list *l, struct work *w)
{
	w->next = NULL;
	*l->end = w;
	l->end = &w->next;
}

static struct work *
list_take(struct list *l)
{
	struct work *w = l->first;

	if (w == NULL)
		return NULL;
	l->first = w->next;
	if (l->first == NULL)
		l->end = &l->first;
	w->next = NULL;
	return w;
}

/* ---- what the client is told ---- */

static void
answer_text(struct serve_req *req, int status, const char *text)
{
	serve_answer(req, status, "text/plain", bytes_str(text), NULL, 0);
}

static void
answer_plain(struct serve_req *req, int status)
{
	static const struct serve_header later = { "Retry-After", "1" };

	serve_answer(req, status, NULL, (struct bytes){ 0 }, &later,
	    status == 503);
}

/* The place of the first fault; it names none of the body's text. */
static void
answer_fault(struct serve_req *req, int status, size_t at, const char *why)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "byte %zu: %s\n", at, why);
	answer_text(req, status, text);
}

static void
count_all(struct ingest *i, const struct json_counts *c)
{
	count(i, CTR_ingest_bad_json, c->bad_json);
	count(i, CTR_ingest_bad_utf8, c->bad_utf8);
	count(i, CTR_ingest_too_deep, c->too_deep);
	count(i, CTR_ingest_too_large, c->too_large);
	count(i, CTR_ingest_not_object, c->not_object);
	count(i, CTR_ingest_shortened, c->shortened);
	count(i, CTR_ingest_redacted, c->redacted);
}

static void
work_answer(struct work *w)
{
	const char *why;
	size_t at;

	if (!w->durable)
		answer_plain(w->req, 201);
	else if (w->failed || w->lost > 0)
		answer_plain(w->req, 503);
	else if (body_fault(&w->in, &at, &why))
		answer_fault(w->req, w->taken == 0 ? 400 : 200, at, why);
	else
		answer_plain(w->req, 200);
}

/* The body is read and nothing is on its way to the disk any more. */
static void
work_end(struct work *w)
{
	struct ingest *i = w->ingest;

	count_all(i, body_counts(&w->in));
	count(i, w->durable ? CTR_ingest_refused : CTR_ingest_dropped,
	    w->lost);
	if (w->lost == 0 && !w->failed && w->taken > 0)
		seen_add(i->seen, w->key, loop_now(i->env->loop), w->durable);
	work_answer(w);
	body_close(&w->in, i->env);
	w->magic = 0;
	env_free(i->env, w);
	i->works--;
}

/* ---- into the sink ---- */

static void
on_put(struct ingest_put *put, int res)
{
	struct work *w = put->arg;

	must(w->magic == WORK_MAGIC);
	must(w->puts > 0);
	/* put is the first member of its piece */
	env_free(w->ingest->env, put);
	w->puts--;
	if (res < 0)
		w->failed = true;
	if (w->ended && w->puts == 0)
		work_end(w);
}

static int
put_durable(struct work *w, struct bytes entries, uint32_t records)
{
	struct ingest *i = w->ingest;
	struct piece *p;
	int r;

	p = env_alloc(i->env, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	*p = (struct piece){ .put = { .done = on_put, .arg = w }, .work = w };
	w->puts++;
	r = i->conf.sink(i->conf.arg, entries, records, true, &p->put);
	if (r < 0) {
		w->puts--;
		env_free(i->env, p);
	}
	return r;
}

static int
put(struct work *w, struct bytes entries, uint32_t records)
{
	struct ingest *i = w->ingest;
	int r;

	if (w->durable)
		r = put_durable(w, entries, records);
	else
		r = i->conf.sink(i->conf.arg, entries, records, false, NULL);
	if (r == 0) {
		w->taken += records;
		count(i, CTR_ingest_records, records);
	}
	return r;
}

/*
 * Reads on until a turn's share is used, the piece is full or the body ends.
 * 1: there is more; 0: the end.
 */
static int
fill(struct work *w, size_t *ret_len, uint32_t *ret_records)
{
	struct ingest *i = w->ingest;
	const size_t from = body_at(&w->in);
	size_t len = 0;
	uint32_t records = 0;
	int64_t n;

	do {
		n = body_next(&w->in, i->out + len, OUT_BYTES - len);
		if (n > 0) {
			len += (size_t)n;
			records++;
		}
	} while (n > 0 && body_at(&w->in) - from < i->conf.turn_bytes);
	*ret_len = len;
	*ret_records = records;
	return n != 0;
}

static bool
may_wait(const struct work *w)
{
	const struct ingest *i = w->ingest;

	if (w->wait_until != 0)
		return loop_now(i->env->loop) < w->wait_until;
	if (i->waiting_n == 0)
		return true;
	return i->waiting_n < WAIT_MAX && i->waiting_bytes < WAIT_BYTES &&
	    w->body_n <= WAIT_BYTES - i->waiting_bytes;
}

static void
wait_for_room(struct work *w)
{
	struct ingest *i = w->ingest;

	if (w->wait_until == 0)
		w->wait_until = loop_now(i->env->loop) + WAIT_NS;
	list_add(&i->waiting, w);
	i->waiting_n++;
	i->waiting_bytes += w->body_n;
}

/* One turn's share of a body; w is on a list again or gone afterwards. */
static void
work_step(struct work *w)
{
	struct ingest *i = w->ingest;
	const struct body before = w->in;
	uint32_t records;
	size_t len;
	int more, r = 0;

	must(w->magic == WORK_MAGIC);
	more = fill(w, &len, &records);
	if (records > 0)
		r = put(w, bytes_of(i->out, len), records);
	if (r == -EAGAIN && may_wait(w)) {
		w->in = before;
		wait_for_room(w);
		return;
	}
	if (r < 0)
		w->lost += records;
	else
		w->wait_until = 0;
	if (more != 0) {
		list_add(&i->runnable, w);
		return;
	}
	w->ended = true;
	if (w->puts == 0)
		work_end(w);
}

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
	if (i->runnable.first == NULL)
		wake_waiting(i);
	w = list_take(&i->runnable);
	if (w != NULL)
		work_step(w);
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
wants_disk(const struct serve_req *req)
{
	const char *ack = req_header(req, "Emplog-Ack");

	return ack != NULL && (strcasecmp(ack, "agent") == 0 ||
	    strcasecmp(ack, "relay") == 0);
}

/* 0; -EBADMSG: a form without records; -ENOMEM. */
static int
work_new(struct ingest *i, struct serve_req *req, struct seen_key key,
    struct work **ret_work)
{
	struct work *w;
	int r;

	w = env_alloc(i->env, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	w->magic = WORK_MAGIC;
	w->ingest = i;
	w->req = req;
	w->key = key;
	w->body_n = req_body(req).n;
	w->durable = wants_disk(req);
	r = body_open(&w->in, i->env, req_header(req, "Content-Type"),
	    req_body(req), loop_wall(i->env->loop));
	if (r < 0) {
		env_free(i->env, w);
		return r;
	}
	i->works++;
	*ret_work = w;
	return 0;
}

static void
refuse_method(struct ingest *i, struct serve_req *req)
{
	static const struct serve_header allow = { "Allow", "POST, PUT" };

	count(i, CTR_ingest_bad_request, 1);
	serve_answer(req, 405, NULL, (struct bytes){ 0 }, &allow, 1);
}

/* No work could be made of it. */
static void
refuse(struct ingest *i, struct serve_req *req, int error)
{
	if (error == -ENOMEM) {
		count(i, CTR_ingest_busy, 1);
		answer_plain(req, 503);
		return;
	}
	count(i, CTR_ingest_bad_request, 1);
	if (wants_disk(req))
		answer_text(req, 400, "expected json= in the form\n");
	else
		answer_plain(req, 201);
}

void
ingest_request(struct ingest *i, struct serve_req *req)
{
	struct bytes body = req_body(req);
	const char *method = req_method(req);
	struct seen_key key;
	struct work *w;
	int r;

	must(i->magic == INGEST_MAGIC);
	must(!i->dying);
	if (strcmp(method, "POST") != 0 && strcmp(method, "PUT") != 0) {
		refuse_method(i, req);
		return;
	}
	count(i, CTR_ingest_requests, 1);
	count(i, CTR_ingest_bytes, body.n);
	key = seen_key(req_path(req), body);
	if (seen_has(i->seen, key, loop_now(i->env->loop), wants_disk(req))) {
		count(i, CTR_ingest_duplicates, 1);
		answer_plain(req, wants_disk(req) ? 200 : 201);
		return;
	}
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
	must(i->works == 0);
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
