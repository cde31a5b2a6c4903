/* SPDX-License-Identifier: ISC */
/* audit_sums.c - what the counters say, and a queue's sequence; see audit.h */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/audit.h"
#include "admin/human.h"
#include "queue/queue.h"
#include "banned.h"

#define TRIES		50	/* a running role counts on meanwhile */
#define TRY_NS		4000000

struct sum { uint64_t in, out; };

static uint64_t
get(const struct part *p, enum ctr id)
{
	return ctr_get(&p->c, id);
}

static struct sum
agent_sum(const struct part *p)
{
	return (struct sum){ get(p, CTR_lane_taken_bytes),
	    get(p, CTR_lane_acked_bytes) + get(p, CTR_lane_spilled_bytes) +
	    get(p, CTR_lane_held_bytes) + get(p, CTR_lane_aside_bytes) +
	    get(p, CTR_lane_lost_bytes) };
}

static struct sum
queue_sum(const struct part *p)
{
	return (struct sum){ get(p, CTR_queue_put_records),
	    get(p, CTR_queue_done_records) + get(p, CTR_queue_held_records) +
	    get(p, CTR_queue_dropped_age_records) +
	    get(p, CTR_queue_lost_records) };
}

static uint64_t
settled(const struct part *p)
{
	return get(p, CTR_export_done_records) +
	    get(p, CTR_export_rejected_records) +
	    get(p, CTR_export_dead_records) + get(p, CTR_export_bad_records) +
	    get(p, CTR_export_group_marks);
}

static struct sum
export_sum(const struct part *p)
{
	return (struct sum){ get(p, CTR_export_taken_records),
	    settled(p) + get(p, CTR_export_held_records) };
}

/* More may come out than the queue calls done: repeated after a crash. */
static struct sum
done_sum(const struct part *p)
{
	uint64_t done = get(p, CTR_queue_done_records), out = settled(p);

	return (struct sum){ done, out > done ? done : out };
}

/* Each letter had a sequence of its own; one may be there twice. */
static struct sum
dead_sum(const struct part *p)
{
	uint64_t n = get(p, CTR_export_dead_records), kept = p->dead.next_seq;

	if (p->dead.ledger.put.frames > kept)
		kept = p->dead.ledger.put.frames;
	return (struct sum){ n, p->dead_error < 0 || kept > n ? n : kept };
}

/* True when both sides are equal at some moment. */
static bool
balances(struct part *p, struct sum (*sum)(const struct part *p),
    struct sum *ret)
{
	struct timespec nap = { 0, TRY_NS };
	unsigned i;

	for (i = 0; i < TRIES && p->c_error == 0; i++) {
		*ret = sum(p);
		if (ret->in == ret->out)
			return true;
		if (!p->running)
			return false;
		nanosleep(&nap, NULL);
		part_recount(p);
	}
	return p->c_error < 0;	/* it went: the next look says so */
}

static bool
is_placed(const struct audit_look *lk, enum audit_hop hop, const struct part *p)
{
	unsigned i;

	for (i = 0; i < lk->n; i++)
		if (lk->found[i].hop == hop && lk->found[i].part == p &&
		    lk->found[i].placed)
			return true;
	return false;
}

static void
unbalanced(struct audit_look *lk, const struct part *p, enum audit_hop hop,
    const struct sum *s, const char *words)
{
	struct finding f = { .hop = hop, .part = p, .words = words };

	if (is_placed(lk, hop, p))
		return;		/* it is known already, and where */
	f.records = s->in > s->out ? s->in - s->out : s->out - s->in;
	audit_found(lk, &f);
}

/* ---- the frames of a queue ---- */

static int
by_seq(const void *a, const void *b)
{
	const struct stock_frame *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Between frames of one stream: then it was of that stream, most likely. */
static void
place(const struct stock *s, const struct range *gone, struct finding *f)
{
	const struct stock_frame *before = NULL, *after = NULL;
	size_t i;

	for (i = 0; i < s->frames; i++) {
		if (s->frame[i].seq < gone->from)
			before = &s->frame[i];
		else if (after == NULL && s->frame[i].seq >= gone->to)
			after = &s->frame[i];
	}
	if (before == NULL || after == NULL || before->to >= after->from ||
	    memcmp(before->stream, after->stream, STREAM_ID_LEN) != 0)
		return;
	f->placed = true;
	f->from = before->to;
	f->to = after->from;
	memcpy(f->stream, before->stream, STREAM_ID_LEN);
}

static int
audit_at_sequence(struct audit_look *lk, struct part *p)
{
	struct env *env = &lk->sites->env;
	struct stock *s = &p->stock;
	struct ranges have = { 0 };
	struct range gone;
	uint64_t at, n = 0, lost;
	size_t i;
	int r;

	if (s->frames > 0)
		qsort(s->frame, s->frames, sizeof(*s->frame), by_seq);
	r = ranges_merge(&have, env, &s->done);
	for (i = 0; i < s->frames && r == 0; i++)
		r = ranges_add(&have, env, s->frame[i].seq,
		    s->frame[i].seq + 1);
	lost = p->c_error == 0 ? get(p, CTR_queue_lost_frames) :
	    s->ledger.lost.frames;
	for (at = 0; r == 0 && ranges_gap(&have, at, s->next_seq, &gone) == 0;
	    at = gone.to) {
		struct finding f = { .hop = HOP_QUEUE, .part = p, .words =
		    "a frame that was neither delivered nor dropped is not "
		    "on disk" };

		if (gone.to - gone.from >= QUEUE_SEQ_LEAP / 2)
			continue;	/* nobody was given these */
		n += gone.to - gone.from;
		if (n <= lost)
			continue;	/* counted at some start */
		place(s, &gone, &f);
		audit_found(lk, &f);
	}
	ranges_fini(&have, env);
	return r;
}

/* Killed in the middle of something: its gauges say what was before. */
static bool
broke_off(const struct part *p)
{
	return !p->running && strcmp(p->c.head->state, "done") != 0;
}

static void
audit_at_steady(struct audit_look *lk, struct part *p)
{
	struct sum s;

	if (p->kind == PART_AGENT && !balances(p, agent_sum, &s))
		unbalanced(lk, p, HOP_LANE_RELAY, &s, "bytes the agent has "
		    "counted as taken from lanes, and as nothing else");
	if (!balances(p, queue_sum, &s))
		unbalanced(lk, p, HOP_QUEUE, &s, "records its queue has "
		    "counted as stored, and as nothing else");
	if (p->ends && !balances(p, export_sum, &s))
		unbalanced(lk, p, HOP_EXPORT, &s, "records taken for the "
		    "export, and neither delivered nor dropped");
}

static void
audit_at_counters(struct audit_look *lk, struct part *p)
{
	struct sum s;

	if (broke_off(p))
		audit_note(lk, "'%s' was killed: what its counters held then is "
		    "told by its disk", p->dir);
	else
		audit_at_steady(lk, p);
	if (!p->ends || p->c_error < 0)
		return;
	if (!balances(p, dead_sum, &s))
		unbalanced(lk, p, HOP_DEAD, &s, "records counted as dead "
		    "letters that were never kept");
	if (!p->sent_on && !balances(p, done_sum, &s))
		unbalanced(lk, p, HOP_EXPORT, &s, "records done in its queue "
		    "that the export has not counted");
}

int
audit_at_sums(struct audit_look *lk)
{
	struct part *p;
	unsigned i;
	int r = 0;

	for (i = 0; i < lk->sites->n && r == 0; i++) {
		p = &lk->sites->part[i];
		if (!p->there)
			continue;
		if (p->stock_error == 0)
			r = audit_at_sequence(lk, p);
		if (p->c_error == 0)
			audit_at_counters(lk, p);
		else
			audit_blind(lk, "the counters of '%s' cannot be read: "
			    "%s", p->dir, strerror(-p->c_error));
	}
	return r;
}

/* ---- words ---- */

static void
print_part(FILE *out, const struct part *p)
{
	fprintf(out, "%-9s '%s'%s\n", p->role, p->dir, p->running ? "" :
	    ", not running");
	if (p->c_error < 0)
		return;
	if (p->kind == PART_AGENT)
		fprintf(out, "  lanes   %" PRIu64 " bytes = %" PRIu64
		    " acknowledged + %" PRIu64 " spilled + %" PRIu64
		    " held + %" PRIu64 " aside + %" PRIu64 " lost\n",
		    get(p, CTR_lane_taken_bytes), get(p, CTR_lane_acked_bytes),
		    get(p, CTR_lane_spilled_bytes),
		    get(p, CTR_lane_held_bytes), get(p, CTR_lane_aside_bytes),
		    get(p, CTR_lane_lost_bytes));
	fprintf(out, "  %s  %" PRIu64 " records = %" PRIu64 " delivered + %"
	    PRIu64 " held + %" PRIu64 " too old + %" PRIu64 " lost\n",
	    p->kind == PART_AGENT ? "spill " : "queue ",
	    get(p, CTR_queue_put_records), get(p, CTR_queue_done_records),
	    get(p, CTR_queue_held_records),
	    get(p, CTR_queue_dropped_age_records),
	    get(p, CTR_queue_lost_records));
	if (p->ends)
		fprintf(out, "  export  %" PRIu64 " records = %" PRIu64
		    " delivered + %" PRIu64 " held + %" PRIu64 " dead + %"
		    PRIu64 " rejected + %" PRIu64 " not convertible\n",
		    get(p, CTR_export_taken_records),
		    get(p, CTR_export_done_records),
		    get(p, CTR_export_held_records),
		    get(p, CTR_export_dead_records),
		    get(p, CTR_export_rejected_records),
		    get(p, CTR_export_bad_records) +
		    get(p, CTR_export_group_marks));
}

void
print_sums(FILE *out, const struct audit_look *lk)
{
	unsigned i;

	fprintf(out, "lanes     %" PRIu64 ": %s written, %s held\n",
	    lk->lanes_n, human_bytes(lk->head_bytes).text,
	    human_bytes(lk->held_bytes).text);
	for (i = 0; i < lk->sites->n; i++)
		if (lk->sites->part[i].there)
			print_part(out, &lk->sites->part[i]);
}
