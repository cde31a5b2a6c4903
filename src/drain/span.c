/* SPDX-License-Identifier: ISC */
/* span.c - ranges of a lane on their way out, and which way; see drain.h */

#include "drain/inner.h"

#include <errno.h>

#include "base/must.h"
#include "base/planted.h"
#include "counters/fates.h"
#include "banned.h"

#define LIVE_BYTES	((uint64_t)CHUNK_BYTES_MAX)	/* few lanes */
#define LIVE_SHARED	(256ull << 10)	/* many: nobody waits for a MiB */
#define SPILL_BYTES	(256ull << 10)	/* what comes back needs a buffer */
#define LANES_FEW	4
#define SPILL_WAIT	(500 * MS)
#define SPILL_SOON	(20 * MS)	/* a near relay answers as soon as a disk */
#define AWAY_LONG	SECOND
#define SILENT_LONG	(400 * MS)
#define HUSH		(200 * MS)	/* no more of it: a chunk half sent stays */
#define RECORD_LEAST	13		/* [EventTime, {}] */
#define RECORD_USUAL	512		/* where marks do not tell */

static struct span *
span_new(struct drain *d, struct inlane *l, uint64_t to)
{
	struct span *s = d->span_free;

	if (s == NULL || l->spans >= LANE_SPANS_MAX)
		return NULL;
	d->span_free = s->next;
	s->lane = l;
	s->next = NULL;
	s->from = l->sent;
	s->to = to;
	s->taken_ns = loop_wall(d->env->loop);
	s->state = SPAN_WAIT;
	s->way = WAY_NONE;
	s->doubled = s->doubling = false;
	*l->lastp = s;
	l->lastp = &s->next;
	l->spans++;
	l->sent = to;
	return s;
}

static void
span_drop_first(struct drain *d, struct inlane *l)
{
	struct span *s = l->first;

	l->first = s->next;
	if (l->first == NULL)
		l->lastp = &l->first;
	l->spans--;
	s->state = SPAN_FREE;
	s->lane = NULL;
	s->next = d->span_free;
	d->span_free = s;
}

void
inlane_forget(struct drain *d, struct inlane *l)
{
	while (l->first != NULL) {
		must(l->first->state != SPAN_OUT && !l->first->doubling);
		span_drop_first(d, l);
	}
}

/* Counted before the tail moves: killed between, it counts twice, never 0. */
static void
advance(struct drain *d, struct inlane *l, const struct span *s)
{
	static const enum ctr by_way[] = {
		[WAY_LIVE] = CTR_lane_acked_bytes,
		[WAY_SPILL] = CTR_lane_spilled_bytes,
		[WAY_LOST] = CTR_lane_lost_bytes,
	};
	uint64_t n = s->to - l->tail;

	must(s->from == l->tail && s->way != WAY_NONE);
	ctr_add(&d->env->ctr, by_way[s->way], n);
	if (s->way == WAY_LOST)
		fates_note(d->env->fates, l->r.id, l->tail, s->to, FATE_LOST,
		    loop_wall(d->env->loop));
	inlane_held_less(d, n);
	l->tail = s->to;
	reader_set_tail(&l->r, s->to);
	reader_drop(&l->r, s->to);
}

void
inlane_settle(struct drain *d, struct inlane *l)
{
	while (l->first != NULL && l->first->state == SPAN_DONE &&
	    !l->first->doubling) {
		advance(d, l, l->first);
		span_drop_first(d, l);
	}
	inlane_stamp(d, l);
}

/* Lost on its way to the relay, but its second copy is on disk. */
static void
span_kept(struct span *s)
{
	if (s->state != SPAN_WAIT || !s->doubled)
		return;
	s->state = SPAN_DONE;
	s->way = WAY_SPILL;
}

static void
span_back(struct span *s, bool done)
{
	struct drain *d = s->d;

	must(s->state == SPAN_OUT);
	s->state = done ? SPAN_DONE : SPAN_WAIT;
	d->spans_out--;
	if (s->way == WAY_SPILL)
		s->lane->spilling--;
	span_kept(s);
	inlane_settle(d, s->lane);
	drain_kick(d);
}

static void
on_acked(struct hop_chunk *hc, int res)
{
	struct span *s = hc->arg;

	drain_check(s->d);
	span_back(s, res == 0);
}

/*
 * Its pages need not count in the agent's size until the answer comes; a
 * second sending faults them in again.
 */
static void
on_sent(struct hop_chunk *hc)
{
	struct span *s = hc->arg;

	drain_check(s->d);
	if (PLANTED(free_lane_on_send))
		reader_set_tail(&s->lane->r, s->to);
	reader_drop(&s->lane->r, s->to);
}

static void
on_durable(struct queue_put *put, int res)
{
	struct span *s = put->arg;

	drain_check(s->d);
	if (res < 0)
		s->d->queue_stuck = true;
	span_back(s, res == 0);
}

/*
 * How many records a range holds: from marks where they say it, a guess
 * elsewhere.  Only status uses it; the relay counts.
 */
static uint32_t
records_of(struct inlane *l, const struct span *s, uint64_t head)
{
	uint64_t at = reader_records_at(&l->r, s->to, head);
	uint64_t bytes = s->to - s->from, n = bytes / RECORD_USUAL;

	if (at != UINT64_MAX && l->records_sent != UINT64_MAX &&
	    at > l->records_sent)
		n = at - l->records_sent;
	l->records_sent = at;
	if (n > bytes / RECORD_LEAST)
		n = bytes / RECORD_LEAST;
	return n == 0 ? 1 : (uint32_t)n;
}

/* Of a lane cut short: bytes from pos on that are there, or that are not. */
static uint64_t
whole_part(const struct inlane *l, uint64_t pos, bool *ret_there)
{
	uint64_t at = pos & (l->r.data_bytes - 1);
	uint64_t left = l->r.intact > LANE_DATA_AT ?
	    l->r.intact - LANE_DATA_AT : 0;

	*ret_there = at < left;
	return at < left ? left - at : l->r.data_bytes - at;
}

static uint64_t
cut_bytes(const struct drain *d, const struct inlane *l, enum way way)
{
	uint64_t most = way == WAY_SPILL ? SPILL_BYTES :
	    d->lanes <= LANES_FEW ? LIVE_BYTES : LIVE_SHARED;

	return most < l->r.data_bytes / 4 ? most : l->r.data_bytes / 4;
}

/* The next range to go; a lost one is settled at once and NULL returned. */
static struct span *
cut(struct drain *d, struct inlane *l, enum way way)
{
	uint64_t to, n;
	struct span *s;
	bool there;

	to = reader_cut(&l->r, l->sent, l->head, cut_bytes(d, l, way));
	/* No mark for so long: a liar's lane, or records of a MiB. */
	if (to - l->sent > CHUNK_BYTES_MAX)
		to = l->sent + CHUNK_BYTES_MAX;
	n = whole_part(l, l->sent, &there);
	if (l->r.intact < l->r.mapped && to - l->sent > n)
		to = l->sent + n;
	s = span_new(d, l, to);
	if (s == NULL)
		return NULL;
	s->records = records_of(l, s, l->head);
	if (!there && l->r.intact < l->r.mapped) {
		s->way = WAY_LOST;
		s->state = SPAN_DONE;
		inlane_settle(d, l);
		drain_kick(d);
		return NULL;
	}
	return s;
}

static void
fill_chunk(struct chunk *c, const struct span *s)
{
	const struct inlane *l = s->lane;
	struct reader_piece piece[2];

	reader_pieces(&l->r, s->from, s->to, piece);
	*c = (struct chunk){
		.from = s->from, .to = s->to, .taken_ns = s->taken_ns,
		.records = s->records, .signal = SIGNAL_LOGS,
		.encoding = ENC_FORWARD,
		.identity = bytes_of(l->r.identity, l->r.identity_len),
		.body = { bytes_of(piece[0].p, piece[0].n),
		    bytes_of(piece[1].p, piece[1].n) },
	};
	memcpy(c->stream, l->r.id, STREAM_ID_LEN);
}

/* Only where that is planted. */
static bool
vanish(struct drain *d, struct span *s, enum way way)
{
	s->way = (uint8_t)way;
	s->state = SPAN_DONE;
	inlane_settle(d, s->lane);
	drain_kick(d);
	return true;
}

static bool
span_send(struct drain *d, struct span *s)
{
	fill_chunk(&s->hc.chunk, s);
	s->hc.done = on_acked;
	s->hc.sent = on_sent;
	s->hc.arg = s;
	if (PLANTED(drop_live))
		return vanish(d, s, WAY_LIVE);
	if (sender_send(d->conf.sender, &s->hc) < 0)
		return false;
	s->state = SPAN_OUT;
	s->way = WAY_LIVE;
	d->spans_out++;
	share_sent(d, FLOW_LIVE, s->to - s->from);
	return true;
}

/* Where the one before it does not end a range begins: a hole between. */
static void
note_spilled(struct inlane *l, const struct span *s)
{
	if (!l->backlog)
		l->holes = 0;
	if (l->holes == 0 || s->from != l->spill_end)
		l->holes++;
	l->spill_end = s->to;
	l->backlog = true;
	l->spill_seq = s->put.seq;
}

static bool
span_spill(struct drain *d, struct span *s)
{
	struct inlane *l = s->lane;
	struct chunk c;
	int r;

	fill_chunk(&c, s);
	s->put = (struct queue_put){ .done = on_durable, .arg = s };
	if (PLANTED(drop_spill))
		return vanish(d, s, WAY_SPILL);
	r = queue_put(d->conf.queue, &c, &s->put);
	if (r < 0) {
		if (r != -EAGAIN)
			d->queue_stuck = true;
		return false;
	}
	s->state = SPAN_OUT;
	s->way = WAY_SPILL;
	d->spans_out++;
	l->spilling++;
	note_spilled(l, s);
	return true;
}

/* ---- which way ---- */

/* One whose second copy the queue still writes waits for that. */
static struct span *
first_waiting(const struct inlane *l)
{
	struct span *s;

	for (s = l->first; s != NULL; s = s->next) {
		if (s->state == SPAN_WAIT && !s->doubling)
			return s;
	}
	return NULL;
}

static bool
relay_away(const struct drain *d)
{
	return !sender_is_up(d->conf.sender) &&
	    drain_now(d) - sender_since(d->conf.sender) >= AWAY_LONG;
}

/* The rules of the spill. */
static bool
presses(const struct drain *d, const struct inlane *l)
{
	uint64_t used = l->head - l->tail, size = l->r.data_bytes;
	uint64_t age = l->tail < l->stamp_pos ?
	    drain_now(d) - l->stamp_ns : 0;
	bool old = age >= SPILL_WAIT;

	/* A burst alone is no reason: a spill makes the lane wait for it. */
	if (used > size / 4 * 3 && (age >= SPILL_SOON ||
	    sender_room(d->conf.sender) == 0))
		return true;
	if (used > size / 2 && old)
		return true;
	if (relay_away(d) && (old || used > size / 2))
		return true;
	return l->state == INLANE_DEAD && burial_ring_half_full(d);
}

static bool
wants_spill(const struct drain *d, struct inlane *l, uint64_t next)
{
	if (d->conf.queue == NULL || d->queue_stuck || next == l->head)
		return false;
	if (l->spill_to > next)
		return true;
	if (!presses(d, l))
		return false;
	l->spill_to = l->head;
	return true;
}

/* What it had spilled has all been delivered? */
static void
end_of_backlog(struct drain *d, struct inlane *l)
{
	if (!l->backlog || l->spilling > 0)
		return;
	if (queue_held_frames(d->conf.queue) == 0 ||
	    (l->spill_seq != UINT64_MAX &&
	    d->backlog.through_seq > l->spill_seq))
		l->backlog = false;
}

static enum way
way_out(struct drain *d, struct inlane *l, uint64_t next)
{
	end_of_backlog(d, l);
	if (d->state != DRAIN_RUN)
		return d->conf.queue == NULL || d->queue_stuck ? WAY_NONE :
		    WAY_SPILL;
	if (wants_spill(d, l, next))
		return WAY_SPILL;
	if (sender_room(d->conf.sender) == 0 ||
	    sender_silent(d->conf.sender) >= HUSH ||
	    (l->backlog && l->holes >= LANE_HOLES_MAX))
		return WAY_NONE;
	return WAY_LIVE;
}

/*
 * A trickle is not sent record by record: what comes while a chunk is out
 * goes with the next one.
 */
static bool
worth_sending(const struct inlane *l)
{
	uint64_t out = l->sent - l->tail, more = l->head - l->sent;

	if (out == 0)
		return true;
	return more >= l->r.data_bytes / 8 && out < l->r.data_bytes / 2;
}

static bool
has_live_out(const struct inlane *l)
{
	const struct span *s;

	for (s = l->first; s != NULL; s = s->next) {
		if (s->state == SPAN_OUT && s->way == WAY_LIVE)
			return true;
	}
	return false;
}

/*
 * What is out counts: a small lane has all it holds out, and were the wire
 * filled with the backlog meanwhile, it would be full before the answer.
 */
bool
inlane_is_due(struct drain *d, struct inlane *l)
{
	const struct span *s = first_waiting(l);
	uint64_t next = s != NULL ? s->from : l->sent;
	bool much = l->head - l->tail >= l->r.data_bytes / 8;

	if (much && has_live_out(l))
		return true;
	if (next == l->head || way_out(d, l, next) != WAY_LIVE)
		return false;
	return s != NULL || l->sent == l->tail || much;
}

static bool
move(struct drain *d, struct inlane *l)
{
	struct span *s = first_waiting(l);
	uint64_t next = s != NULL ? s->from : l->sent;
	enum way way;

	if (next == l->head)
		return false;
	way = way_out(d, l, next);
	if (way == WAY_NONE)
		return false;
	if (s == NULL && way == WAY_LIVE && !worth_sending(l))
		return false;
	if (way == WAY_LIVE && !share_allows(d, FLOW_LIVE))
		return false;
	if (s == NULL)
		s = cut(d, l, way);
	if (s == NULL)
		return false;
	return way == WAY_LIVE ? span_send(d, s) : span_spill(d, s);
}

/*
 * A relay that fell silent holds the tail of a lane, which fills up: what is
 * on its way there goes to the disk as well, and counts as resent.
 */
static void
take_back(struct drain *d, struct inlane *l)
{
	struct span *s;

	if (d->state != DRAIN_RUN || d->conf.queue == NULL || d->queue_stuck ||
	    sender_silent(d->conf.sender) < SILENT_LONG || !presses(d, l))
		return;
	for (s = l->first; s != NULL; s = s->next) {
		if (s->state != SPAN_OUT || s->way != WAY_LIVE)
			continue;
		if (sender_take_back(d->conf.sender, &s->hc) < 0)
			break;
		s->state = SPAN_WAIT;
		s->way = WAY_NONE;
		d->spans_out--;
		l->spill_to = l->head;
	}
}

bool
inlane_move(struct drain *d, struct inlane *l)
{
	take_back(d, l);
	return move(d, l);
}

/* ---- stopping ---- */

static void
on_doubled(struct queue_put *put, int res)
{
	struct span *s = put->arg;

	drain_check(s->d);
	s->doubling = false;
	s->doubled = res == 0;
	s->d->doubling--;
	span_kept(s);
	inlane_settle(s->d, s->lane);
	drain_kick(s->d);
}

void
inlane_double(struct drain *d, struct inlane *l)
{
	struct chunk c;
	struct span *s;

	for (s = l->first; s != NULL; s = s->next) {
		if (s->state != SPAN_OUT || s->way != WAY_LIVE ||
		    s->doubling || s->doubled)
			continue;
		fill_chunk(&c, s);
		s->put = (struct queue_put){ .done = on_doubled, .arg = s };
		if (queue_put(d->conf.queue, &c, &s->put) < 0)
			return;
		s->doubling = true;
		d->doubling++;
	}
}

bool
inlane_safe(const struct inlane *l)
{
	const struct span *s;

	for (s = l->first; s != NULL; s = s->next) {
		if (s->state != SPAN_DONE && !s->doubled)
			return false;
	}
	return l->sent == l->head;
}
