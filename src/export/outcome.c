/* SPDX-License-Identifier: ISC */
/* outcome.c - what became of a request, record by record; see inner.h */

#include "export/inner.h"

#include <errno.h>
#include <stdio.h>

#include "base/must.h"
#include "base/planted.h"
#include "base/remedy.h"
#include "counters/fates.h"
#include "export/answer.h"
#include "queue/queue.h"
#include "banned.h"

static uint64_t
any64(struct export *e)
{
	uint64_t v;

	loop_random(e->env->loop, &v, sizeof(v));
	return v;
}

void
export_say(struct export *e, const char *words)
{
	snprintf(e->words, sizeof(e->words), "%s", words);
}

void
slot_wait(struct slot *s, uint64_t ns)
{
	s->state = WAITING;
	s->due_ns = slot_clock(s) + ns;
}

/* ---- a batch comes to its end ---- */

static void
tell_watches(struct export *e, uint64_t seq, bool delivered, int status)
{
	struct export_watch **wp = &e->watches, *w;

	while ((w = *wp) != NULL) {
		if (w->seq != seq) {
			wp = &w->next;
			continue;
		}
		*wp = w->next;
		w->told(w, delivered, status, e->words);
	}
}

static void
slot_free(struct slot *s)
{
	struct export *e = s->e;
	unsigned i;

	for (i = 0; i < s->batch.frame_n && !s->letters; i++) {
		queue_commit(e->queue, s->batch.frame[i].seq);
		tell_watches(e, s->batch.frame[i].seq, s->dead_why == NULL,
		    e->said.last_status);
	}
	s->batch.frame_n = 0;
	s->state = FREE;
}

/* The current range is dealt with; what comes next in this slot. */
void
slot_range_done(struct slot *s)
{
	const struct batch_range *r = &s->batch.range[s->batch.range_n - 1];
	uint32_t i;

	for (i = r->from; s->letters && i < r->to; i++)
		slot_letter_done(s, s->batch.frame[i].seq);
	batch_pop(&s->batch);
	s->attempts = 0;
	s->state = READY;
	if (s->batch.range_n == 0)
		slot_free(s);
}

/* Where the records were born that the current range's request has. */
static void
note_parts(struct slot *s)
{
	struct env *env = s->e->env;
	uint64_t now = loop_wall(env->loop);
	const struct otlp_part *p;
	const struct chunk *c;
	unsigned i, n;

	if (batch_is_raw(&s->batch)) {
		c = &batch_alone(&s->batch)->chunk;
		fates_note(env->fates, c->stream, c->from, c->to, FATE_DONE,
		    now);
		return;
	}
	p = otlp_batch_parts(s->batch.otlp, &n);
	for (i = 0; i < n; i++)
		fates_note(env->fates, p[i].stream, p[i].from, p[i].to,
		    p[i].bad ? FATE_BAD : FATE_DONE, now);
}

void
slot_count(struct slot *s, uint64_t rejected)
{
	const struct batch_range *r = &s->batch.range[s->batch.range_n - 1];
	const struct otlp_counts *n = &s->batch.counts;
	struct counters *c = ctr(s->e);

	note_parts(s);
	rejected = rejected < n->records ? rejected : n->records;
	ctr_add(c, CTR_export_done_records, n->records - rejected);
	ctr_add(c, CTR_export_rejected_records, rejected);
	ctr_add(c, CTR_export_bad_records, n->bad);
	ctr_add(c, CTR_export_group_marks, n->marks);
	ctr_add(c, CTR_export_repaired_texts, n->repaired);
	ctr_add(c, CTR_export_late_records, n->late);
	ctr_add(c, CTR_export_folded_attributes, n->folded);
	ctr_add(c, CTR_export_cut_values, n->cut);
	ctr_add(c, CTR_export_dropped_attributes, n->dropped);
	ctr_set(c, CTR_export_held_records,
	    ctr_get(c, CTR_export_held_records) - (r->to - r->from));
}

/* partial_success: what it says, once a minute; the counter has it all. */
static void
warn(struct export *e, uint64_t rejected, const char *words)
{
	uint64_t now = loop_now(e->env->loop);

	if ((rejected == 0 && words[0] == '\0') || now < e->warn_ns)
		return;
	e->warn_ns = now + WARN_NS;
	env_log(e->env, LOG_WARN, "the backend rejected %llu records of a "
	    "request it took: %s", (unsigned long long)rejected, words);
}

void
slot_accepted(struct slot *s, uint64_t rejected, const char *words)
{
	struct export *e = s->e;
	uint64_t now = loop_now(e->env->loop);

	warn(e, rejected, words);
	if (e->hold_status != 0)
		env_log(e->env, LOG_INFO, "the backend takes records again");
	e->hold_status = 0;
	e->ok_ns = now;
	e->said.last_ok_ns = loop_wall(e->env->loop);
	ctr_set(ctr(e), CTR_export_last_ok_ns, e->said.last_ok_ns);
	circuit_ok(&e->circuit);
	if (!to_files(e))		/* lines stay in order */
		queue_return(e->queue);
	slot_count(s, rejected);
	slot_range_done(s);
}

/* ---- the account ---- */

uint64_t
export_settled(const struct export *e)
{
	const struct counters *c = &e->env->ctr;

	return ctr_get(c, CTR_export_done_records) +
	    ctr_get(c, CTR_export_rejected_records) +
	    ctr_get(c, CTR_export_dead_records) +
	    ctr_get(c, CTR_export_bad_records) +
	    ctr_get(c, CTR_export_group_marks);
}

bool
export_conserves(const struct export *e)
{
	return ctr_get(&e->env->ctr, CTR_export_taken_records) ==
	    export_settled(e) + ctr_get(&e->env->ctr, CTR_export_held_records);
}

/* ---- dead letters ---- */

/* It waits with its request: told once a minute, for that may stop all. */
static void
not_buried(struct slot *s, int error)
{
	struct export *e = s->e;
	uint64_t now = loop_now(e->env->loop);

	slot_wait(s, FILE_RETRY_NS);
	ctr_set(ctr(e), CTR_export_dead_error, (uint64_t)-error);
	if (now < e->dead_warn_ns)
		return;
	e->dead_warn_ns = now + WARN_NS;
	env_log(e->env, LOG_ERROR, "cannot keep a dead letter under '%s': %s; "
	    "its request waits; %s", e->conf.dead_dir, strerror(-error),
	    letters_remedy(error));
}

static void
buried_again(struct export *e)
{
	if (ctr_get(ctr(e), CTR_export_dead_error) == 0)
		return;
	ctr_set(ctr(e), CTR_export_dead_error, 0);
	env_log(e->env, LOG_INFO, "dead letters are kept under '%s' again",
	    e->conf.dead_dir);
}

/* The record the current range is, or its frame of bytes. */
static void
letter_of(const struct slot *s, struct chunk *ret)
{
	const struct batch_frame *f;
	struct bytes entry;
	uint32_t nth;

	f = batch_at(&s->batch, &nth);
	*ret = f->chunk;
	if (f->chunk.encoding != ENC_FORWARD ||
	    (f->chunk.flags & CHUNK_BROKEN) != 0)
		return;
	entry = batch_entry(f, nth);
	ret->from += (uint64_t)(entry.p - f->chunk.body[0].p);
	ret->to = ret->from + entry.n;
	ret->body[0] = entry;
}

static void
buried(void *arg, int res)
{
	struct slot *s = arg;
	struct export *e = s->e;
	struct chunk c;

	if (res < 0) {
		not_buried(s, res);
		export_pump(e);
		return;
	}
	buried_again(e);
	letter_of(s, &c);
	fates_note(e->env->fates, c.stream, c.from, c.to, FATE_DEAD,
	    loop_wall(e->env->loop));
	ctr_add(ctr(e), CTR_export_dead_records, 1);
	ctr_set(ctr(e), CTR_export_held_records,
	    ctr_get(ctr(e), CTR_export_held_records) - 1);
	slot_range_done(s);
	s->dead_why = NULL;
	export_pump(e);
}

/* The current range is one record, or one frame of bytes: away with it. */
void
slot_bury_again(struct slot *s)
{
	struct dead_letter l = { .why = s->dead_why,
	    .status = s->dead_status, .words = s->dead_words };
	char endpoint[256];
	int r;

	target_tell(&s->e->target, s->header, endpoint, sizeof(endpoint),
	    &l.dataset);
	l.endpoint = endpoint;
	letter_of(s, &l.chunk);
	s->state = BURYING;
	if (PLANTED(drop_dead)) {
		buried(s, 0);
		return;
	}
	r = dead_put(s->e->dead, &l, buried, s);
	if (r == -EBUSY)
		slot_wait(s, FILE_RETRY_NS / 10);
	else if (r < 0)
		not_buried(s, r);
}

/* The current range's fate is sealed; burying comes later. */
static void
doom(struct slot *s, const char *why, int status, const char *words)
{
	uint64_t now = loop_now(s->e->env->loop);

	s->dead_why = why;
	s->dead_status = status;
	snprintf(s->dead_words, sizeof(s->dead_words), "%s", words);
	if (now < s->e->doom_ns)
		return;
	s->e->doom_ns = now + EXPORT_BISECT_NS;	/* one line a second */
	env_log(s->e->env, LOG_WARN,
	    "a record goes to the dead letters: %s (%d %s)", why, status, words);
}

void
slot_bury(struct slot *s, const char *why, int status, const char *words)
{
	doom(s, why, status, words);
	slot_bury_again(s);
}

/* ---- answers ---- */

static void
failed(struct slot *s)
{
	struct export *e = s->e;
	uint64_t now = loop_now(e->env->loop), ns;

	s->attempts++;
	ns = retry_wait_ns(s->attempts, any64(e));
	if (s->post.retry_after_ms >= 0)
		ns = retry_after_ns((uint64_t)s->post.retry_after_ms);
	/* A backend that names its time is asked then, not by the circuit. */
	if (s->post.retry_after_ms > 0)
		circuit_unused(&e->circuit, now);
	else
		circuit_failed(&e->circuit, now, any64(e));
	slot_wait(s, ns);
}

static void
hold(struct slot *s, int status, const char *words)
{
	struct export *e = s->e;

	if (e->hold_status != status)
		env_log(e->env, LOG_ERROR, "the backend answers %d: records "
		    "are held and it is asked again every 30 s; look at "
		    "exporter.endpoint, token and dataset: %s", status, words);
	circuit_ok(&e->circuit);	/* it is there, and it is not busy */
	e->hold_status = status;
	e->probe_ns = loop_now(e->env->loop) + EXPORT_PROBE_NS;
	s->state = READY;
}

/*
 * One step a second, of all slots together: a record is buried at the time
 * of its step, two halves are sent from the next one on.  Without trust
 * nothing is buried, but probes ask for parts: where every request has one
 * bad record, as after a long outage, a part without it is the proof.
 */
static void
bisect(struct slot *s, int status, const char *words)
{
	struct export *e = s->e;
	uint64_t now = loop_now(e->env->loop), at;

	if (e->ok_ns == 0 || now - e->ok_ns > EXPORT_TRUST_NS) {
		if (!batch_split(&s->batch))
			batch_turn(&s->batch);
		hold(s, status, words);
		return;
	}
	circuit_ok(&e->circuit);
	at = now > e->bisect_ns ? now : e->bisect_ns;
	e->bisect_ns = at + EXPORT_BISECT_NS;
	if (batch_split(&s->batch)) {
		slot_wait(s, e->bisect_ns - now);
	} else {
		doom(s, "refused", status, words);
		slot_wait(s, at - now);
	}
}

static void
halve(struct slot *s, int status, const char *words)
{
	circuit_ok(&s->e->circuit);
	s->state = READY;
	if (!batch_split(&s->batch))
		slot_bury(s, "too large", status, words);
}

void
slot_answered(struct op *op)
{
	struct slot *s = op->arg;
	struct export *e = s->e;
	struct answer a;

	e->sending--;
	if (op->res == -ECANCELED) {
		circuit_unused(&e->circuit, loop_now(e->env->loop));
		s->state = READY;
		export_pump(e);
		return;
	}
	answer_read(op->res < 0 ? 0 : s->post.status, s->post.content_type,
	    bytes_of(s->post.answer, s->post.answer_len),
	    s->post.answer_len == s->post.answer_cap, &a);
	target_hide(&e->target, a.words);
	e->said.last_status = op->res < 0 ? 0 : s->post.status;
	ctr_set(ctr(e), CTR_export_last_status,
	    (uint64_t)e->said.last_status);
	export_say(e, e->said.last_status == 0 ? s->post.error : a.words);
	switch (a.verdict) {
	case ANSWER_DONE: slot_accepted(s, a.rejected, a.words); break;
	case ANSWER_RETRY: failed(s); break;
	case ANSWER_HOLD: hold(s, s->post.status, a.words); break;
	case ANSWER_HALVE: halve(s, s->post.status, a.words); break;
	case ANSWER_BISECT: bisect(s, s->post.status, a.words); break;
	}
	export_pump(e);
}
