/* SPDX-License-Identifier: ISC */
/* export.c - the engine between queue and backend; see export.h */

#include "export/inner.h"

#include <errno.h>
#include <stdio.h>

#include "base/must.h"
#include "export/asked.h"
#include "queue/queue.h"
#include "banned.h"

#define SLOTS_MAX	64
#define DEAD_BYTES_MAX	(UINT64_C(256) << 20)
#define NEVER		UINT64_MAX

/* ---- what to do now ---- */

/* Held: one probe at a time, each by another slot. */
static bool
is_probe(const struct slot *s, uint64_t now)
{
	const struct export *e = s->e;

	return now >= e->probe_ns && e->sending == 0 &&
	    &e->slot[e->probe_next % e->slots] == s;
}

/* A probe's turn passes over slots that have nothing to send. */
static void
pass_turn(struct export *e)
{
	unsigned i;

	for (i = 0; i < e->slots; i++, e->probe_next++)
		if (e->slot[e->probe_next % e->slots].state == READY)
			return;
}

static bool
may_send(struct slot *s, uint64_t now)
{
	struct export *e = s->e;

	if (e->fresh || (e->hold_status != 0 && !is_probe(s, now)))
		return false;
	if (!to_files(e) && !circuit_try(&e->circuit, now))
		return false;
	if (e->hold_status != 0) {
		e->probe_next++;
		e->probe_ns = now + EXPORT_PROBE_NS;
	}
	return true;
}

static void
go_on(struct slot *s, uint64_t now)
{
	const char *why;

	if (s->state == WAITING && slot_clock(s) >= s->due_ns)
		s->state = READY;
	if (s->state != READY)
		return;
	why = s->dead_why != NULL ? s->dead_why : slot_undeliverable(s);
	if (s->dead_why != NULL)
		slot_bury_again(s);
	else if (why != NULL)
		slot_bury(s, why, 0, "");
	else if (may_send(s, now))
		slot_send(s);
}

/*
 * Then all free slots but one give their memory back.  Not whenever nothing can be
 * taken for a moment: to have it mapped again costs more than a request.
 */
static bool
all_done(struct export *e)
{
	return ctr_get(ctr(e), CTR_queue_held_bytes) == 0;
}

static void
note_state(struct export *e)
{
	e->said.hold_status = e->hold_status;
	e->said.circuit_open = e->circuit.state != CIRCUIT_CLOSED;
	ctr_set(ctr(e), CTR_export_held_auth, e->hold_status != 0);
	ctr_set(ctr(e), CTR_export_circuit_open, e->said.circuit_open);
	ctr_set(ctr(e), CTR_export_dead_held, dead_held(e->dead));
	export_letters_lost(e);
}

static uint64_t
earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When the first of those that are ready may go; NEVER: an answer tells. */
static uint64_t
ready_due(const struct export *e, uint64_t now)
{
	uint64_t at = now;

	if (e->fresh || (e->hold_status != 0 && e->sending > 0) ||
	    e->circuit.state == CIRCUIT_HALF)
		return NEVER;
	if (e->hold_status != 0)
		at = e->probe_ns;
	if (e->circuit.state == CIRCUIT_OPEN && e->circuit.until_ns > at)
		at = e->circuit.until_ns;
	return at;
}

static uint64_t
slot_due(const struct slot *s, uint64_t now)
{
	uint64_t clock = slot_clock(s);

	return s->due_ns > clock ? now + (s->due_ns - clock) : now;
}

/* When there is something to do without anybody telling us. */
static uint64_t
next_due(struct export *e, uint64_t now)
{
	uint64_t at = NEVER;
	bool ready = false, room = false;
	unsigned i;

	for (i = 0; i < e->slots; i++) {
		if (e->slot[i].state == WAITING)
			at = earliest(at, slot_due(&e->slot[i], now));
		ready = ready || e->slot[i].state == READY;
		room = room || e->slot[i].state == FREE;
	}
	if (ready)
		at = earliest(at, ready_due(e, now));
	if (room && queue_peek(e->queue) > 0)
		at = earliest(at, e->fill_ns + EXPORT_LINGER_NS);
	at = earliest(at, export_letters_next(e, now, room));
	return at == NEVER || at > now ? at : now;
}

static void
set_timer(struct export *e, uint64_t at)
{
	if (!op_idle(&e->timer)) {
		if (at < e->timer_at || at == NEVER)
			loop_cancel(e->env->loop, &e->timer);
		return;
	}
	if (at == NEVER)
		return;
	e->timer_at = at;
	loop_timer(e->env->loop, &e->timer, at);
}

static void
cancel_posts(struct export *e)
{
	unsigned i;

	for (i = 0; i < e->slots; i++)
		if (!op_idle(&e->slot[i].op))
			loop_cancel(e->env->loop, &e->slot[i].op);
}

static void
file_closed(void *arg)
{
	struct export *e = arg;

	e->running = false;
	e->stopped(e->stopped_arg);
}

static void
dead_closed(void *arg)
{
	struct export *e = arg;

	if (e->file != NULL)
		efile_close(e->file, file_closed, e);
	else
		file_closed(e);
}

static void
asked_closed(void *arg)
{
	struct export *e = arg;

	e->want = NULL;
	dead_close(e->dead, dead_closed, e);
}

/* True while stopping: nothing else is to be done. */
static bool
stop_step(struct export *e, uint64_t now)
{
	unsigned i;

	if (!e->stopping)
		return false;
	if (now >= e->stop_at)
		cancel_posts(e);
	for (i = 0; i < e->slots; i++)
		if (e->slot[i].state == SENDING || e->slot[i].state == BURYING)
			break;
	if (i < e->slots) {
		set_timer(e, now < e->stop_at ? e->stop_at : NEVER);
	} else if (!op_idle(&e->timer)) {
		loop_cancel(e->env->loop, &e->timer);
	} else if (e->running) {
		e->running = false;
		asked_close(e->asked, asked_closed, e);
	}
	return true;
}

/* Takes the new configuration over between two requests. */
static void
freshen(struct export *e)
{
	unsigned i;

	if (!e->fresh || e->sending > 0)
		return;
	target_fini(&e->target, e->env);
	e->target = e->fresh_target;
	e->conf.gzip = e->fresh_conf.gzip;
	e->conf.timeout_ms = e->fresh_conf.timeout_ms;
	e->conf.otlp = e->fresh_conf.otlp;
	e->fresh = false;
	e->hold_status = 0;
	circuit_ok(&e->circuit);
	for (i = 0; i < e->slots; i++) {
		otlp_batch_free(&e->slot[i].batch.otlp);
		memset(e->slot[i].header, 0, sizeof(e->slot[i].header));
		/* when to come again, or never, was the old target's word */
		if (e->slot[i].state == WAITING) {
			e->slot[i].due_ns = 0;
			e->slot[i].dead_why = NULL;
		}
	}
}

void
export_pump(struct export *e)
{
	uint64_t now = loop_now(e->env->loop);
	struct slot *s;
	unsigned i;

	if (!e->running || stop_step(e, now))
		return;
	freshen(e);
	for (i = 0; i < e->slots; i++) {
		s = &e->slot[i];
		if (s->state == FREE)
			slot_fill(s, now);
		if (s->state == FREE && i > 0 && all_done(e))
			batch_trim(&s->batch);
		if (s->state != FREE)
			go_on(s, now);
	}
	if (e->hold_status != 0)
		pass_turn(e);
	export_letters(e);
	note_state(e);
	set_timer(e, next_due(e, now));
}

static void
timer_done(struct op *op)
{
	export_pump(op->arg);
}

/* ---- opening and closing ---- */

static void
more_letters(void *arg)
{
	export_pump(arg);
}

int
export_new(struct export **ret_e, struct env *env, struct queue *queue,
    const struct export_conf *conf)
{
	struct efile_conf fc = { conf->file_dir, conf->file_max,
	    conf->files_keep };
	struct export *e;
	unsigned i;
	int r;

	e = env_alloc(env, sizeof(*e));
	if (e == NULL)
		return -ENOMEM;
	e->env = env;
	e->queue = queue;
	e->conf = *conf;
	e->said.words = e->words;
	r = target_init(&e->target, env, conf);
	if (r < 0)
		goto out;
	e->slots = to_files(e) ? 1 : conf->requests_max;
	must(e->slots >= 1 && e->slots <= SLOTS_MAX);
	e->slot = env_alloc(env, e->slots * sizeof(*e->slot));
	r = e->slot == NULL ? -ENOMEM : 0;
	if (r == 0 && to_files(e))
		r = efile_new(&e->file, env, &fc);
	if (r == 0)
		r = dead_new(&e->dead, env, conf->dead_dir, DEAD_BYTES_MAX,
		    more_letters, e);
	if (r == 0)
		r = asked_new(&e->asked, env, conf->dead_dir, export_begin, e);
	if (r < 0)
		goto out;
	op_init(&e->timer, timer_done, e);
	for (i = 0; i < e->slots; i++) {
		e->slot[i].e = e;
		batch_init(&e->slot[i].batch, env);
		op_init(&e->slot[i].op, slot_answered, &e->slot[i]);
	}
	*ret_e = e;
out:
	if (r < 0)
		export_free(&e);
	return r;
}

void
export_free(struct export **ep)
{
	struct export *e = *ep;
	unsigned i;

	if (e == NULL)
		return;
	for (i = 0; e->slot != NULL && i < e->slots; i++)
		if (e->slot[i].e != NULL)
			batch_fini(&e->slot[i].batch);
	target_fini(&e->target, e->env);
	if (e->fresh)
		target_fini(&e->fresh_target, e->env);
	efile_free(&e->file);
	asked_free(&e->asked);
	dead_free(&e->dead);
	env_free(e->env, e->slot);
	env_free(e->env, e);
	*ep = NULL;
}

static void
opened(struct export *e, int res)
{
	e->running = res == 0;
	if (e->running)
		export_letters_found(e);
	/* What was under way at the last end is taken from the queue again. */
	ctr_set(ctr(e), CTR_export_held_records, 0);
	ctr_set(ctr(e), CTR_export_taken_records, export_settled(e));
	if (e->running)
		asked_open(e->asked);
	e->ready(e->ready_arg, res);
	export_pump(e);
}

static void
file_opened(void *arg, int res)
{
	opened(arg, res);
}

static void
dead_opened(void *arg, int res)
{
	struct export *e = arg;

	if (res == 0 && e->file != NULL)
		efile_open(e->file, file_opened, e);
	else
		opened(e, res);
}

void
export_start(struct export *e, void (*ready)(void *arg, int res), void *arg)
{
	e->ready = ready;
	e->ready_arg = arg;
	dead_open(e->dead, dead_opened, e);
}

void
export_notify(struct export *e)
{
	export_pump(e);
}

void
export_stop(struct export *e, uint64_t at_ns, void (*stopped)(void *arg),
    void *arg)
{
	e->stopping = true;
	e->stop_at = at_ns;
	e->stopped = stopped;
	e->stopped_arg = arg;
	if (e->running)
		export_pump(e);
	else
		stopped(arg);
}

int
export_reconf(struct export *e, const struct export_conf *conf)
{
	struct target t;
	int r;

	r = target_init(&t, e->env, conf);
	if (r < 0)
		return r;
	if ((t.url[0] == NULL) != to_files(e)) {
		target_fini(&t, e->env);
		return -ENOTSUP;
	}
	if (e->fresh)
		target_fini(&e->fresh_target, e->env);
	e->fresh = true;
	e->fresh_target = t;
	e->fresh_conf = *conf;
	export_pump(e);
	return 0;
}

void
export_state(const struct export *e, struct export_state *ret)
{
	*ret = e->said;
}

void
export_watch(struct export *e, struct export_watch *w)
{
	w->next = e->watches;
	e->watches = w;
}

void
export_unwatch(struct export *e, struct export_watch *w)
{
	struct export_watch **wp;

	for (wp = &e->watches; *wp != NULL; wp = &(*wp)->next)
		if (*wp == w) {
			*wp = w->next;
			return;
		}
}
