/* SPDX-License-Identifier: ISC */
/* probe.c - health, readiness, metrics and the test record; see probe.h */

#include "http/probe.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/must.h"
#include "counters/prom.h"
#include "export/export.h"
#include "http/json.h"
#include "queue/queue.h"
#include "banned.h"

#define READY_AGE_NS	UINT64_C(60000000000)
#define TEST_WAIT_NS	UINT64_C(10000000000)
#define TESTS_MAX	16	/* test records under way */
#define TEST_BODY_MAX	(1u << 20)	/* read in one turn of the loop */
#define METRICS_CAP	65536

struct test {
	struct probe	*p;
	struct serve_req *req;		/* NULL: free */
	struct queue_put put;
	struct export_watch watch;
	struct op	 timer;
	bool		 stored;
	bool		 watching;
	bool		 putting;
	bool		 told;
	bool		 delivered;
	int		 status;
	char		 words[256];
};

struct probe {
	struct env	*env;
	struct probe_conf conf;
	struct test	 test[TESTS_MAX];
	bool		 closing;
	void		(*closed)(void *arg);	/* NULL: told, or not asked */
	void		*closed_arg;
};

static void
answer_json(struct serve_req *req, int status, json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	serve_answer(req, text == NULL ? 500 : status, "application/json",
	    text == NULL ? (struct bytes){ 0 } : bytes_str(text), NULL, 0);
	free(text);
}

/* What others say need not be UTF-8, and JSON has nothing else. */
static json_t *
json_words(const char *words)
{
	json_t *s = json_string(words);

	return s != NULL ? s : json_string("(not text)");
}

static void
answer_health(struct probe *p, struct serve_req *req)
{
	bool full = !queue_has_room(p->conf.queue);

	answer_json(req, full ? 503 : 200, json_pack("{s:b,s:I,s:I}",
	    "healthy", !full,
	    "queue_bytes", (json_int_t)queue_bytes(p->conf.queue),
	    "held_records", (json_int_t)queue_held_records(p->conf.queue)));
}

static void
say_old(const struct probe *p, const struct export_state *st, uint64_t age_ns,
    char *why, size_t cap)
{
	uint64_t s = age_ns / UINT64_C(1000000000);

	if (p->conf.export == NULL)
		snprintf(why, cap, "the oldest record has waited %" PRIu64
		    " s for the next hop's acknowledgement", s);
	else if (st->last_status == 0 && st->words[0] == '\0')
		snprintf(why, cap, "the oldest record has waited %" PRIu64
		    " s; the backend has not answered yet", s);
	else
		snprintf(why, cap, "the oldest record has waited %" PRIu64
		    " s; the backend's last answer: %d %s", s,
		    st->last_status, st->words);
}

/* NULL: ready. */
static const char *
not_ready(struct probe *p, const struct export_state *st, char *why,
    size_t cap)
{
	uint64_t oldest = queue_oldest_ns(p->conf.queue);
	uint64_t now = loop_wall(p->env->loop);

	if (st->hold_status != 0)
		snprintf(why, cap, "the backend answers %d: %s",
		    st->hold_status, st->words);
	else if (oldest > 0 && now > oldest && now - oldest > READY_AGE_NS)
		say_old(p, st, now - oldest, why, cap);
	else
		return NULL;
	return why;
}

static void
answer_ready(struct probe *p, struct serve_req *req)
{
	struct export_state st = { .words = "" };
	const char *reason;
	char why[512];
	json_t *o;

	if (p->conf.export != NULL)
		export_state(p->conf.export, &st);
	reason = not_ready(p, &st, why, sizeof(why));
	o = json_pack("{s:b,s:I,s:i}", "ready", reason == NULL,
	    "held_records", (json_int_t)queue_held_records(p->conf.queue),
	    "last_status", st.last_status);
	if (reason != NULL)
		json_object_set_new(o, "reason", json_words(reason));
	if (ctr_get(&p->env->ctr, CTR_state_fleeting) != 0)
		json_object_set_new(o, "warning", json_string("common.state_dir "
		    "is on no volume: what is kept is lost with the container "
		    "or the machine"));
	answer_json(req, reason == NULL ? 200 : 503, o);
}

static void
answer_metrics(struct probe *p, struct serve_req *req)
{
	char *text = env_alloc(p->env, METRICS_CAP);
	int n = -ENOMEM;

	if (text != NULL)
		n = prom_write(&p->env->ctr, p->env->name, text, METRICS_CAP);
	serve_answer(req, n < 0 ? 500 : 200, PROM_TYPE,
	    n < 0 ? (struct bytes){ 0 } : bytes_of(text, (size_t)n), NULL, 0);
	env_free(p->env, text);
}

/* ---- the test record ---- */

static void
check_closed(struct probe *p)
{
	void (*closed)(void *arg) = p->closed;
	unsigned i;

	if (closed == NULL)
		return;
	for (i = 0; i < TESTS_MAX; i++)
		if (p->test[i].req != NULL || p->test[i].putting ||
		    !op_idle(&p->test[i].timer))
			return;
	p->closed = NULL;
	closed(p->closed_arg);
}

/* NULL: the backend has had its say about this very record. */
static const char *
test_note(const struct test *t)
{
	if (t->told)
		return NULL;
	if (!t->stored)
		return "the disk has not taken it";
	if (t->p->conf.export == NULL)
		return "stored here; the next hop delivers it";
	if (t->status == 0 && t->words[0] == '\0')
		return "the backend has not answered yet: it is kept";
	return "not delivered yet: it is kept and tried again";
}

static void
test_answer(struct test *t)
{
	const char *note = test_note(t);
	json_t *o;

	o = json_pack("{s:b,s:b,s:i,s:o}", "stored", t->stored,
	    "exported", t->told && t->delivered, "status", t->status,
	    "backend", json_words(t->words));
	if (note != NULL)
		json_object_set_new(o, "note", json_string(note));
	if (t->watching)
		export_unwatch(t->p->conf.export, &t->watch);
	t->watching = false;
	answer_json(t->req, t->stored ? 200 : 503, o);
	t->req = NULL;
	if (!op_idle(&t->timer))
		loop_cancel(t->p->env->loop, &t->timer);
	check_closed(t->p);
}

static void
test_told(struct export_watch *w, bool delivered, int status,
    const char *words)
{
	struct test *t = w->arg;

	t->watching = false;
	t->told = true;
	t->delivered = delivered;
	t->status = status;
	snprintf(t->words, sizeof(t->words), "%s", words);
	if (t->req != NULL)
		test_answer(t);
}

static void
test_stored(struct queue_put *put, int res)
{
	struct test *t = put->arg;

	t->putting = false;
	t->stored = res == 0;
	if (t->req != NULL && (res < 0 || t->p->conf.export == NULL))
		test_answer(t);
	else
		check_closed(t->p);
}

static void
test_timer(struct op *op)
{
	struct test *t = op->arg;
	struct export_state st = { .words = "" };

	if (t->req == NULL) {
		check_closed(t->p);
		return;
	}
	if (t->p->conf.export != NULL)
		export_state(t->p->conf.export, &st);
	t->status = st.last_status;
	snprintf(t->words, sizeof(t->words), "%s", st.words);
	test_answer(t);
}

static struct test *
test_slot(struct probe *p)
{
	unsigned i;

	for (i = 0; i < TESTS_MAX; i++)
		if (p->test[i].req == NULL && !p->test[i].putting &&
		    op_idle(&p->test[i].timer))
			return &p->test[i];
	return NULL;
}

/*
 * The entries of the body, or one record of our own.  Bytes; -EBADMSG: no
 * record in it; -EFBIG: more than cap, or one that no record may be.
 */
static int64_t
test_entries(struct probe *p, struct serve_req *req, uint8_t *out, size_t cap,
    uint32_t *ret_records)
{
	static const char own[] = "{\"message\":\"emplogd test record\","
	    "\"level\":\"info\",\"event_type\":\"service_test\"}";
	struct bytes body = req_body(req);
	struct json_in j;
	size_t at = 0;
	int64_t n;

	if (body.n > TEST_BODY_MAX)
		return -EFBIG;
	if (body.n == 0)
		body = bytes_of(own, sizeof(own) - 1);
	json_in_init(&j, body, loop_wall(p->env->loop));
	while ((n = json_in_next(&j, out + at, cap - at)) > 0 || n == -EAGAIN)
		at += n > 0 ? (size_t)n : 0;
	if (n == -ENOSPC || j.counts.too_large > 0)
		return -EFBIG;
	*ret_records = (uint32_t)j.counts.records;
	return j.counts.records == 0 ? -EBADMSG : (int64_t)at;
}

static int
test_begin(struct probe *p, struct test *t, struct serve_req *req)
{
	size_t cap = JSON_RECORD_MAX + 4096;
	struct chunk c = { 0 };
	uint8_t *entries;
	int64_t n;
	int r;

	entries = env_alloc(p->env, cap);
	if (entries == NULL)
		return -ENOMEM;
	n = test_entries(p, req, entries, cap, &c.records);
	r = n < 0 ? (int)n : 0;
	if (r == 0) {
		c.body[0] = bytes_of(entries, (size_t)n);
		c.taken_ns = loop_wall(p->env->loop);
		r = queue_put(p->conf.queue, &c, &t->put);
	}
	env_free(p->env, entries);
	return r;
}

static void
refuse_test(struct serve_req *req, int error)
{
	static const struct { int error, status; const char *words; } why[] = {
		{ EBADMSG, 400, "the body is not a JSON object" },
		{ EFBIG, 413, "the body is more than a test may be" },
		{ ENOSPC, 503, "the queue is full" },
		{ EAGAIN, 503, "the queue has no room at the moment" },
		{ EBUSY, 503, "too many tests at once" },
		{ ESHUTDOWN, 503, "the relay is ending" },
		{ 0, 503, "no memory" },
	};
	size_t i = 0;

	while (why[i].error != 0 && why[i].error != -error)
		i++;
	answer_json(req, why[i].status, json_pack("{s:b,s:s}", "stored", 0,
	    "error", why[i].words));
}

static void
take_test(struct probe *p, struct serve_req *req)
{
	struct test *t = test_slot(p);
	int r;

	if (p->closing)
		r = -ESHUTDOWN;
	else
		r = t == NULL ? -EBUSY : test_begin(p, t, req);
	if (r < 0) {
		refuse_test(req, r);
		return;
	}
	t->req = req;
	t->putting = true;
	t->stored = t->told = t->delivered = false;
	t->status = 0;
	t->words[0] = '\0';
	loop_timer(p->env->loop, &t->timer,
	    loop_now(p->env->loop) + TEST_WAIT_NS);
	if (p->conf.export == NULL)
		return;
	t->watch.seq = t->put.seq;
	t->watching = true;
	export_watch(p->conf.export, &t->watch);
}

bool
probe_owns(const struct serve_req *req)
{
	return strcmp(req_method(req), "POST") == 0 &&
	    strcmp(req_path(req), "/test") == 0;
}

bool
probe_request(struct probe *p, struct serve_req *req)
{
	static const struct {
		const char *path;
		void (*answer)(struct probe *, struct serve_req *);
	} get[] = {
		{ "/health", answer_health },
		{ "/ready", answer_ready },
		{ "/metrics", answer_metrics },
	};
	size_t i;

	if (probe_owns(req)) {
		take_test(p, req);
		return true;
	}
	if (strcmp(req_method(req), "GET") != 0)
		return false;
	for (i = 0; i < sizeof(get) / sizeof(get[0]); i++)
		if (strcmp(req_path(req), get[i].path) == 0) {
			get[i].answer(p, req);
			return true;
		}
	return false;
}

int
probe_new(struct probe **ret_p, struct env *env, const struct probe_conf *conf)
{
	struct probe *p;
	unsigned i;

	p = env_alloc(env, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	p->env = env;
	p->conf = *conf;
	for (i = 0; i < TESTS_MAX; i++) {
		struct test *t = &p->test[i];

		t->p = p;
		t->put.done = test_stored;
		t->put.arg = t;
		t->watch.told = test_told;
		t->watch.arg = t;
		op_init(&t->timer, test_timer, t);
	}
	*ret_p = p;
	return 0;
}

void
probe_close(struct probe *p, void (*closed)(void *arg), void *arg)
{
	unsigned i;

	p->closing = true;
	p->closed = closed;
	p->closed_arg = arg;
	for (i = 0; i < TESTS_MAX; i++)
		if (p->test[i].req != NULL)
			test_answer(&p->test[i]);
	check_closed(p);
}

void
probe_free(struct probe **pp)
{
	struct probe *p = *pp;

	if (p == NULL)
		return;
	env_free(p->env, p);
	*pp = NULL;
}
