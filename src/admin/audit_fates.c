/* SPDX-License-Identifier: ISC */
/* audit_fates.c - what left who exports, by its own notes; see audit.h */

#include <errno.h>
#include <string.h>

#include "admin/audit.h"
#include "banned.h"

/* A part that exports, whose streams are looked through. */
struct through {
	struct audit_look *lk;
	const struct part *p;
	int		 error;
};

int
audit_fates_of(const struct audit_look *lk, const struct part *p,
    const uint8_t *id, struct ranges *known)
{
	unsigned i;
	int r = 0;

	for (i = FATE_BEFORE; i < FATE_COUNT && r == 0; i++)
		r = audit_merge(known, &lk->sites->env, p->fate[i], id);
	return r;
}

static void
missing(struct through *th, enum audit_hop hop, const uint8_t *id,
    const struct range *hole, const char *words)
{
	struct finding f = { .hop = hop, .part = th->p, .placed = true,
	    .from = hole->from, .to = hole->to, .words = words };

	memcpy(f.stream, id, STREAM_ID_LEN);
	audit_found(th->lk, &f);
}

/* Where what is known begins; of a note that was given up nothing is. */
static uint64_t
known_from(const struct part *p, const struct ranges *noted)
{
	if (p->evicted == 0)
		return 0;
	return noted->n > 0 ? ranges_at(noted, 0)->from : UINT64_MAX;
}

static void
holes_of(struct through *th, const struct stream_seen *st,
    const struct ranges *known, uint64_t at)
{
	const struct range *rg;
	struct range hole;
	uint32_t i;

	for (i = 0; i < st->taken->n; i++) {
		rg = ranges_at(st->taken, i);
		if (at < rg->from)
			at = rg->from;
		for (; at < rg->to && ranges_gap(known, at, rg->to,
		    &hole) == 0; at = hole.to) {
			if (audit_has_counted(th->p))
				th->lk->counted_bytes += hole.to - hole.from;
			else
				missing(th, HOP_EXPORT, st->id, &hole, "done "
				    "in its queue, but in no request that was "
				    "answered");
		}
	}
}

static void
at_stream(void *arg, const struct stream_seen *st)
{
	struct through *th = arg;
	struct env *env = &th->lk->sites->env;
	struct ranges known = { 0 };
	uint64_t from = 0;
	bool is_known;
	int r = th->error;

	if (r == 0)
		r = audit_fates_of(th->lk, th->p, st->id, &known);
	if (r == 0)
		from = known_from(th->p, &known);
	if (r == 0)
		r = audit_merge(&known, env, th->p->stock.held, st->id);
	if (r == 0)
		r = audit_merge(&known, env, th->p->bad, st->id);
	if (r == 0 && th->p->sent_on)
		r = audit_known_of(th->lk, th->p, st->id, &known, &is_known);
	if (r == 0 && from == UINT64_MAX)
		th->lk->forgotten++;
	else if (r == 0)
		holes_of(th, st, &known, from);
	ranges_fini(&known, env);
	th->error = r;
}

/* A letter was durable before it was noted. */
static void
at_doomed(void *arg, const struct stream_seen *st)
{
	struct through *th = arg;
	const struct range *rg;
	struct range hole;
	uint64_t at;
	uint32_t i;

	for (i = 0; i < st->taken->n; i++) {
		rg = ranges_at(st->taken, i);
		for (at = rg->from; at < rg->to &&
		    streams_cut(th->p->dead.streams, st->id, at, rg->to,
		    &hole) == 0; at = hole.to)
			missing(th, HOP_DEAD, st->id, &hole, "counted as a "
			    "dead letter that was never kept");
	}
}

static int
audit_at_part(struct audit_look *lk, const struct part *p)
{
	struct through th = { .lk = lk, .p = p };

	if (p->sent_on && audit_stations(lk, p) == 0)
		audit_note(lk, "'%s' has sent on before it exported, or after, "
		    "and the queue behind it is not here", p->dir);
	else
		streams_each(p->stock.streams, at_stream, &th);
	if (th.error == 0 && p->dead_error == 0)
		streams_each(p->fate[FATE_DEAD], at_doomed, &th);
	return th.error;
}

int
audit_at_fates(struct audit_look *lk)
{
	const struct part *p;
	unsigned i;
	int r = 0;

	for (i = 0; i < lk->sites->n && r == 0; i++) {
		p = &lk->sites->part[i];
		if (!p->there || !p->ends || p->stock_error < 0)
			continue;
		if (p->fates_error == 0)
			r = audit_at_part(lk, p);
		else
			audit_note(lk, "'%s/fates' cannot be read: %s; what "
			    "left there is counted and not named", p->dir,
			    strerror(-p->fates_error));
	}
	return r;
}
