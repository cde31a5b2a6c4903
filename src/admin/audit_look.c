/* SPDX-License-Identifier: ISC */
/* audit_look.c - what is in no queue behind the one it left; see audit.h */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "admin/audit.h"
#include "admin/human.h"
#include "admin/uids.h"
#include "banned.h"

#define MINUTE_NS	UINT64_C(60000000000)
/* A little less than a station remembers: see queue/streams.h. */
#define KEEP_ENDED	(50 * MINUTE_NS)
#define KEEP_FOREIGN	(8 * MINUTE_NS)
#define KEEP_OPEN	(UINT64_C(6) * 24 * 60 * MINUTE_NS)

/* A stream somebody let go of, and where it could be. */
struct search {
	struct audit_look	*lk;
	const struct part *from;	/* NULL: a lane */
	int		 error;
};

int
audit_merge(struct ranges *known, struct env *env, const struct streams *s,
    const uint8_t *id)
{
	const struct ranges *rs = s == NULL ? NULL : streams_taken(s, id);

	return rs == NULL ? 0 : ranges_merge(known, env, rs);
}

int
audit_known_of(struct audit_look *lk, const struct part *from,
    const uint8_t *id, struct ranges *known, bool *ret_known)
{
	struct sites *st = lk->sites;
	const struct part *p;
	unsigned i;
	int r = 0;

	for (i = 0; i < st->n && r == 0; i++) {
		p = &st->part[i];
		if (!part_is_station(p) || p == from)
			continue;
		r = audit_merge(known, &st->env, p->stock.streams, id);
		if (r == 0)
			r = audit_merge(known, &st->env, p->bad, id);
	}
	*ret_known = known->n > 0;
	return r;
}

unsigned
audit_stations(const struct audit_look *lk, const struct part *but)
{
	unsigned i, n = 0;

	for (i = 0; i < lk->sites->n; i++)
		n += part_is_station(&lk->sites->part[i]) &&
		    &lk->sites->part[i] != but;
	return n;
}

/* Bytes of a lane that are in a spill, or were. */
static int
spilled_of(struct audit_look *lk, const uint8_t *id, struct ranges *ret)
{
	struct sites *st = lk->sites;
	unsigned i;
	int r = 0;

	for (i = 0; i < st->n && r == 0; i++)
		if (st->part[i].kind == PART_AGENT && st->part[i].there &&
		    st->part[i].stock_error == 0)
			r = audit_merge(ret, &st->env, st->part[i].stock.streams, id);
	return r;
}

/* Bytes an agent lost with the lane, and counted. */
static int
lost_of(struct audit_look *lk, const uint8_t *id, struct ranges *ret)
{
	struct sites *st = lk->sites;
	unsigned i;
	int r = 0;

	for (i = 0; i < st->n && r == 0; i++)
		if (st->part[i].kind == PART_AGENT && st->part[i].there)
			r = audit_merge(ret, &st->env, st->part[i].fate[FATE_LOST],
			    id);
	return r;
}

/*
 * Was it written over by its process?  Then what it says of itself is no
 * evidence.  The agent noted it where it saw.
 */
static bool
is_spoiled(struct audit_look *lk, const struct watched *w)
{
	const struct sites *st = lk->sites;
	const struct ranges *rs;
	uint8_t id[LANE_ID_LEN];
	unsigned i;

	if (w->error == 0 && w->r.spoiled)
		return true;
	if (!uid_stream(w->name, id))
		return false;
	for (i = 0; i < st->n; i++) {
		if (st->part[i].kind != PART_AGENT || !st->part[i].there)
			continue;
		rs = streams_taken(st->part[i].fate[FATE_LOST], id);
		if (rs != NULL && ranges_has(rs, LANE_POSITION_MAX - 1))
			return true;
	}
	return false;
}

static bool
touches(const struct ranges *rs, uint64_t from, uint64_t to)
{
	return ranges_has(rs, to) || (from > 0 && ranges_has(rs, from - 1));
}

bool
audit_has_relays(const struct audit_look *lk)
{
	const char *peer = conf_text(lk->a->conf, KEY_agent_relay);
	unsigned i, here = 0, asked = 1;

	for (i = 0; i < lk->sites->n; i++)
		here += lk->sites->part[i].kind == PART_RELAY &&
		    lk->sites->part[i].there;
	while ((peer = strchr(peer, ',')) != NULL) {
		peer++;
		asked++;
	}
	return here >= asked || audit_stations(lk, NULL) == 0;
}

/* ---- lanes ---- */

/* The file was renamed to .dead when the agent was done with it. */
static bool
long_gone(const struct watched *w)
{
	uint64_t now = human_now();
	struct stat s;

	if (human_since(now, w->r.created_ns) > KEEP_OPEN)
		return true;
	return w->dead_name && stat(w->r.path, &s) == 0 &&
	    human_since(now, (uint64_t)s.st_ctim.tv_sec * 1000000000u) >
	    KEEP_ENDED;
}

static void
lane_hole(struct audit_look *lk, const struct watched *w,
    const struct ranges *sp, const struct range *hole)
{
	struct finding f = { .placed = true, .from = hole->from,
	    .to = hole->to, .hop = touches(sp, hole->from, hole->to) ?
	    HOP_LANE_SPILL : HOP_LANE_RELAY };

	memcpy(f.stream, w->r.id, STREAM_ID_LEN);
	f.words = f.hop == HOP_LANE_SPILL ?
	    "freed by the agent among bytes it spilled, but they are in "
	    "neither its spill nor a relay" :
	    "freed by the agent as acknowledged, but no relay has them";
	audit_found(lk, &f);
}

static int
audit_at_lane(struct audit_look *lk, struct watched *w)
{
	struct env *env = &lk->sites->env;
	uint64_t tail = w->pos, head, at = 0;
	struct ranges known = { 0 }, spilled = { 0 };
	struct range hole;
	bool is_known;
	int r;

	head = reader_head(&w->r, tail);
	lk->lanes_n++;
	lk->head_bytes += head;
	lk->held_bytes += head - tail;
	r = spilled_of(lk, w->r.id, &spilled);
	if (r == 0)
		r = audit_known_of(lk, NULL, w->r.id, &known, &is_known);
	if (r == 0)
		r = lost_of(lk, w->r.id, &known);
	if (r == 0 && tail > 0 && !is_known && long_gone(w)) {
		lk->forgotten++;
		at = tail;
	}
	if (r == 0)		/* what a spill took is looked for from there */
		r = ranges_merge(&known, env, &spilled);
	while (r == 0 && ranges_gap(&known, at, tail, &hole) == 0) {
		lane_hole(lk, w, &spilled, &hole);
		at = hole.to;
	}
	ranges_fini(&known, env);
	ranges_fini(&spilled, env);
	return r;
}

int
audit_at_lanes(struct audit_look *lk)
{
	struct watched *w;
	unsigned i, spoiled = 0;
	int r = 0;

	if (audit_stations(lk, NULL) == 0) {
		audit_note(lk, "no relay has its queue here: looked as far as "
		    "what the agent believes acknowledged");
		return 0;
	}
	for (i = 0; i < lk->lanes->n && r == 0; i++) {
		w = lk->lanes->v[i];
		w->r.spoiled = is_spoiled(lk, w);
		if (w->r.spoiled)
			spoiled++;
		else if (w->error == 0)
			r = audit_at_lane(lk, w);
		else if (w->error != -EAGAIN)
			audit_blind(lk, "lane %.8s cannot be read: %s", w->name,
			    strerror(-w->error));
	}
	if (spoiled > 0)
		audit_note(lk, "%u lanes were written over by their processes, "
		    "and are no evidence", spoiled);
	return r;
}

/* ---- queues ---- */

static uint64_t
counter(const struct part *p, enum ctr id)
{
	return p->c_error == 0 ? ctr_get(&p->c, id) : 0;
}

/*
 * The queue itself let go of some, and counted them: of damage nobody knows
 * what it held, of what was dropped only who has its fates.
 */
bool
audit_has_counted(const struct part *p)
{
	return counter(p, CTR_queue_lost_records) > 0 ||
	    (p->fates_error < 0 &&
	    (counter(p, CTR_queue_dropped_age_records) > 0 ||
	    counter(p, CTR_backlog_refused) > 0));
}

bool
audit_is_old(const struct stream_seen *st)
{
	uint64_t age = human_since(human_now(), st->touched_ns);

	return age > (st->ended ? KEEP_ENDED : st->foreign ? KEEP_FOREIGN :
	    KEEP_OPEN);
}

static void
queue_hole(struct audit_look *lk, const struct part *p, const uint8_t *id,
    const struct range *hole)
{
	struct finding f = { .placed = true, .part = p, .from = hole->from,
	    .to = hole->to };

	memcpy(f.stream, id, STREAM_ID_LEN);
	f.hop = p->kind == PART_AGENT ? HOP_SPILL_RELAY : HOP_RELAY_EXPORTER;
	f.words = p->kind == PART_AGENT ?
	    "delivered from the spill, but no relay has them" :
	    "delivered by the relay, but nobody behind it has them";
	if (audit_has_counted(p))
		lk->counted_bytes += f.to - f.from;
	else
		audit_found(lk, &f);
}

/* Each range of the stream that was taken and has left. */
static int
holes_of(struct search *se, const struct stream_seen *st,
    const struct ranges *known)
{
	const struct range *rg;
	struct range hole;
	uint64_t at;
	uint32_t i;

	for (i = 0; i < st->taken->n; i++) {
		rg = ranges_at(st->taken, i);
		for (at = rg->from; ranges_gap(known, at, rg->to, &hole) == 0;
		    at = hole.to)
			queue_hole(se->lk, se->from, st->id, &hole);
	}
	return 0;
}

static void
audit_at_stream(void *arg, const struct stream_seen *st)
{
	struct search *se = arg;
	struct env *env = &se->lk->sites->env;
	struct ranges known = { 0 };
	bool is_known;
	int r;

	if (se->error < 0)
		return;
	r = audit_known_of(se->lk, se->from, st->id, &known, &is_known);
	if (r == 0)
		r = audit_merge(&known, env, se->from->stock.held, st->id);
	if (r == 0)
		r = audit_merge(&known, env, se->from->bad, st->id);
	if (r == 0)
		r = audit_fates_of(se->lk, se->from, st->id, &known);
	if (r == 0 && !is_known && audit_is_old(st))
		se->lk->forgotten++;
	else if (r == 0)
		r = holes_of(se, st, &known);
	ranges_fini(&known, env);
	se->error = r;
}

static int
audit_at_queue(struct audit_look *lk, const struct part *p)
{
	struct search se = { .lk = lk, .from = p };

	if (!p->there || p->stock_error == -ENOENT)
		return 0;
	if (p->stock_error < 0) {
		audit_blind(lk, "the queue of '%s' cannot be read: %s", p->dir,
		    strerror(-p->stock_error));
		return 0;
	}
	if (p->ends)
		return 0;
	if (audit_stations(lk, p) == 0) {
		if (p->kind != PART_AGENT)
			audit_note(lk, "'%s' sends on, and the queue behind it "
			    "is not here", p->dir);
		return 0;
	}
	streams_each(p->stock.streams, audit_at_stream, &se);
	return se.error;
}

int
audit_at_spills(struct audit_look *lk)
{
	unsigned i;
	int r = 0;

	for (i = 0; i < lk->sites->n && r == 0; i++)
		if (lk->sites->part[i].kind == PART_AGENT)
			r = audit_at_queue(lk, &lk->sites->part[i]);
	return r;
}

int
audit_at_relays(struct audit_look *lk)
{
	unsigned i;
	int r = 0;

	for (i = 0; i < lk->sites->n && r == 0; i++)
		if (lk->sites->part[i].kind != PART_AGENT)
			r = audit_at_queue(lk, &lk->sites->part[i]);
	return r;
}
