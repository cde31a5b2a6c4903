/* SPDX-License-Identifier: ISC */
/*
 * fill.c - what goes into a free slot: records of the queue, or letters that
 * were asked for; see inner.h
 *
 *   asked.h --begin--> want --one slot at a time--> delivered, or buried anew
 *                        '--drop: taken and done--'   --> all_taken --> done
 *
 * Letters are records that waited before: they get one slot, fresh records
 * all the others, and of a single one every other turn.
 */

#include "export/inner.h"

#include <errno.h>

#include "base/must.h"
#include "export/asked.h"
#include "queue/queue.h"
#include "banned.h"

#define DROPS_MAX	256	/* in one turn */
#define DROP_NS		UINT64_C(1000000) /* between two turns */
#define SETTLE_NS	UINT64_C(50000000) /* a look at what is on disk */

/* ---- what to take ---- */

static bool
letters_due(const struct export *e)
{
	return e->want != NULL && !e->stopping && e->letters_out == 0 &&
	    dead_peek(e->dead) > 0;
}

/* The one slot there is goes to the queue and to letters by turns. */
static bool
takes_letters(const struct slot *s)
{
	const struct export *e = s->e;

	return letters_due(e) && !e->want->drop && (e->slots > 1 ||
	    !e->letters_last || queue_peek(e->queue) == 0);
}

/*
 * One request at once when nothing is under way; after that full batches,
 * or what has gathered since EXPORT_LINGER_NS.
 */
static bool
worth_filling(struct export *e, uint64_t now)
{
	if (e->stopping || queue_peek(e->queue) == 0)
		return false;
	return e->sending == 0 || now - e->fill_ns >= EXPORT_LINGER_NS ||
	    ctr_get(ctr(e), CTR_queue_held_bytes) >=
	    (e->sending + 1) * e->conf.batch_bytes;
}

static int
take_letters(struct slot *s)
{
	struct export *e = s->e;
	int n = batch_fill_letters(&s->batch, e->dead, e->conf.batch_bytes);

	if (n > 0)
		e->letters_out = (unsigned)n;
	return n;
}

void
slot_fill(struct slot *s, uint64_t now)
{
	struct export *e = s->e;
	bool letters = takes_letters(s);
	int n;

	if (!letters && !worth_filling(e, now))
		return;
	if (!letters)
		e->fill_ns = now; /* of no memory too: not again at once */
	n = letters ? take_letters(s) :
	    batch_fill(&s->batch, e->queue, e->conf.batch_bytes);
	e->letters_last = letters;
	if (n <= 0)
		return;
	s->letters = letters;
	s->state = READY;
	s->attempts = 0;
	s->dead_why = NULL;
	ctr_add(ctr(e), CTR_export_taken_records, s->batch.records);
	ctr_set(ctr(e), CTR_export_held_records, s->batch.records +
	    ctr_get(ctr(e), CTR_export_held_records));
}

/* ---- the account of letters: dead = replayed + dropped + lost + held ---- */

void
export_letters_found(struct export *e)
{
	struct counters *c = ctr(e);
	uint64_t dead = ctr_get(c, CTR_export_dead_records), have;

	have = dead_held(e->dead) + ctr_get(c, CTR_export_dead_replayed) +
	    ctr_get(c, CTR_export_dead_dropped) +
	    ctr_get(c, CTR_export_dead_lost);
	if (dead > have)
		ctr_add(c, CTR_export_dead_lost, dead - have);
	else	/* one was durable and not counted yet, or none ever was */
		ctr_set(c, CTR_export_dead_records, have);
	e->lost_seen = dead_lost(e->dead);
}

void
export_letters_lost(struct export *e)
{
	uint64_t lost = dead_lost(e->dead);

	ctr_add(ctr(e), CTR_export_dead_lost, lost - e->lost_seen);
	e->lost_seen = lost;
}

/* ---- what was asked for ---- */

void
export_begin(void *arg, const struct asked_for *want)
{
	struct export *e = arg;

	e->want = want;
	e->want_n = 0;
	dead_want(e->dead, want);
	export_pump(e);
}

void
slot_letter_done(struct slot *s, uint64_t seq)
{
	struct export *e = s->e;

	must(s->letters && e->letters_out > 0);
	dead_done(e->dead, seq);
	e->letters_out--;
	e->want_n++;
	ctr_add(ctr(e), CTR_export_dead_replayed, 1);
}

static void
drop_some(struct export *e)
{
	struct chunk c;
	uint64_t seq;
	void *buf;
	int i;

	if (dead_peek(e->dead) == 0)
		return;
	buf = env_alloc(e->env, QUEUE_TAKE_MAX);
	for (i = 0; buf != NULL && i < DROPS_MAX; i++) {
		if (dead_take(e->dead, buf, QUEUE_TAKE_MAX, &c, &seq) < 0)
			break;
		dead_done(e->dead, seq);
		e->want_n++;
		ctr_add(ctr(e), CTR_export_dead_dropped, 1);
	}
	env_free(e->env, buf);
}

static void
want_done(struct export *e)
{
	env_log(e->env, LOG_INFO, "%llu dead letters were %s, %llu are kept",
	    (unsigned long long)e->want_n, e->want->drop ? "dropped" :
	    "exported again", (unsigned long long)dead_held(e->dead));
	e->want = NULL;
	dead_want(e->dead, NULL);
	asked_done(e->asked);
}

void
export_letters(struct export *e)
{
	if (e->want == NULL || e->stopping)
		return;
	if (e->want->drop)
		drop_some(e);
	if (e->letters_out == 0 && dead_all_taken(e->dead) &&
	    dead_is_settled(e->dead))
		want_done(e);
}

/* Fresh records tell when they come; what is being written does not. */
uint64_t
export_letters_next(const struct export *e, uint64_t now, bool room)
{
	if (e->want == NULL || e->stopping || e->letters_out > 0)
		return UINT64_MAX;
	if (dead_peek(e->dead) > 0)
		return e->want->drop ? now + DROP_NS :
		    room ? now + EXPORT_LINGER_NS : UINT64_MAX;
	return dead_all_taken(e->dead) ? now + SETTLE_NS : UINT64_MAX;
}
