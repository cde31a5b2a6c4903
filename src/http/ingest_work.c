/* SPDX-License-Identifier: ISC */
/* ingest_work.c - one request until it is answered; see ingest.h */

#include "http/ingest_inner.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "base/must.h"

#include "banned.h"

#define WAIT_NS		500000000u	/* for ingest_resume() */
#define WAIT_ALL_NS	2000000000u	/* of one who gives up after 5 s */
#define WAIT_MAX	64		/* requests that wait for it */
#define WAIT_BYTES	(4u << 20)	/* and their bodies */

#define SETTLE_NS	1000000000u	/* for a disk that may be stuck */

struct piece {			/* what a put is known by */
	struct ingest_put put;
	uint32_t	 records;
};

/* ---- what the client is told ---- */

bool
wants_disk(const struct serve_req *req)
{
	const char *ack = req_header(req, "Emplog-Ack");

	return ack != NULL && (strcasecmp(ack, "agent") == 0 ||
	    strcasecmp(ack, "relay") == 0);
}

void
answer_text(struct serve_req *req, int status, const char *text)
{
	serve_answer(req, status, "text/plain", bytes_str(text), NULL, 0);
}

void
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
	ingest_count(i, CTR_ingest_bad_json, c->bad_json);
	ingest_count(i, CTR_ingest_bad_utf8, c->bad_utf8);
	ingest_count(i, CTR_ingest_too_deep, c->too_deep);
	ingest_count(i, CTR_ingest_too_large, c->too_large);
	ingest_count(i, CTR_ingest_not_object, c->not_object);
	ingest_count(i, CTR_ingest_shortened, c->shortened);
	ingest_count(i, CTR_ingest_redacted, c->redacted);
}

static void
work_answer(const struct work *w, struct serve_req *req, bool durable)
{
	const char *why;
	size_t at;

	if (!durable)
		answer_plain(req, 201);
	else if (w->failed || w->lost > 0)
		answer_plain(req, 503);
	else if (body_fault(&w->in, &at, &why))
		answer_fault(req, w->taken == 0 ? 400 : 200, at, why);
	else
		answer_plain(req, 200);
}

static void
answer_all(struct work *w)
{
	struct again *a;

	if (w->answered)
		return;
	w->answered = true;
	work_answer(w, w->req, w->durable);
	while ((a = w->again) != NULL) {
		w->again = a->next;
		work_answer(w, a->req, a->durable);
		env_free(w->ingest->env, a);
	}
}

/* Who asked for no acknowledgement does not wait for a disk that is stuck. */
static void
settle(struct work *w)
{
	struct ingest *i = w->ingest;

	w->settle_at = loop_now(i->env->loop) +
	    (i->hurried ? HURRY_NS : SETTLE_NS);
	list_add(&i->settling, w);
}

void
work_settle_late(struct ingest *i)
{
	struct work *w;

	while ((w = i->settling.first) != NULL &&
	    loop_now(i->env->loop) >= w->settle_at) {
		(void)list_take(&i->settling);
		w->settle_at = 0;
		answer_all(w);
	}
}

static void
work_link(struct work *w)
{
	struct ingest *i = w->ingest;

	w->later = i->all;
	w->laterp = &i->all;
	if (w->later != NULL)
		w->later->laterp = &w->later;
	i->all = w;
}

static void
work_unlink(struct work *w)
{
	*w->laterp = w->later;
	if (w->later != NULL)
		w->later->laterp = w->laterp;
}

/* The body is read and nothing is on its way to the disk any more. */
static void
work_end(struct work *w)
{
	struct ingest *i = w->ingest;

	count_all(i, body_counts(&w->in));
	if (w->settle_at != 0)
		list_remove(&i->settling, w);
	if (w->durable)
		ingest_count(i, CTR_ingest_refused, w->lost);
	else
		ingest_drop(i, w->lost);
	if (w->lost == 0 && !w->failed && w->taken > 0)
		seen_add(i->seen, w->key, loop_now(i->env->loop), w->durable);
	answer_all(w);
	work_unlink(w);
	body_close(&w->in, i->env);
	w->magic = 0;
	env_free(i->env, w);
}

/* ---- into the sink ---- */

static void
on_put(struct ingest_put *put, int res)
{
	struct work *w = put->arg;
	struct piece *p = (struct piece *)put;	/* its first member */

	must(w->magic == WORK_MAGIC);
	must(w->puts > 0);
	if (res < 0)
		w->failed = true;
	if (res < 0 && !w->durable)
		ingest_drop(w->ingest, p->records);
	env_free(w->ingest->env, p);
	w->puts--;
	if (w->ended && w->puts == 0)
		work_end(w);
}

static int
put(struct work *w, struct bytes entries, uint32_t records)
{
	struct ingest *i = w->ingest;
	struct piece *p;
	int r;

	p = env_alloc(i->env, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	*p = (struct piece){ .put = { .done = on_put, .arg = w },
	    .records = records };
	w->puts++;
	r = i->conf.sink(i->conf.arg, entries, records, w->durable, &p->put);
	if (r != 0) {
		w->puts--;
		env_free(i->env, p);
	}
	if (r < 0)
		return r;
	w->taken += records;
	ingest_count(i, CTR_ingest_records, records);
	return 0;
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

	if (i->hurried)
		return false;
	if (w->wait_until != 0)
		return loop_now(i->env->loop) < w->wait_until;
	if (w->waits_end != 0 && loop_now(i->env->loop) >= w->waits_end)
		return false;
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
	if (w->waits_end == 0 && !w->durable)
		w->waits_end = w->wait_until - WAIT_NS + WAIT_ALL_NS;
	list_add(&i->waiting, w);
	i->waiting_n++;
	i->waiting_bytes += w->body_n;
}

void
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
	else if (!w->durable)
		settle(w);
}

/* ---- a new one ---- */

int
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
	w->began_ns = loop_now(i->env->loop);
	work_link(w);
	*ret_work = w;
	return 0;
}
