/* SPDX-License-Identifier: ISC */
/*
 * excuse.c - which records may be lost, or come again, and why; see town.h
 *
 * Each excuse is drawn from what lies on the disk when it is needed, read by
 * shelf.c: the frame that a flip hit, the frames that no ledger says are done
 * when their exporter starts again, the frames that the spill of an agent
 * without power still has.
 */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shelf.h"
#include "shm/lane.h"
#include "town.h"

static const char *const queue_dir[WHO] = { "/state/agent/spill/",
    "/state/relay/0/", "/state/relay/0/", "/state/exporter/0/" };

const char *
excuse_dir(const struct node *n)
{
	return queue_dir[n->who];
}

static struct life *
life_of(struct town *t, const uint8_t *stream)
{
	struct life *f;

	for (f = t->lives; f != NULL; f = f->next)
		if (memcmp(f->id, stream, sizeof(f->id)) == 0)
			return f;
	return NULL;
}

/* The first record that ends behind a position. */
static size_t
behind(const struct life *f, uint64_t at)
{
	size_t low = 0, high = f->n, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (f->end[mid] > at)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Each record of a range; how many: 0 when it is no lane of a maker. */
static uint64_t
each_in(struct town *t, const uint8_t *stream, uint64_t from, uint64_t to,
    void (*each)(const struct node *n, struct record *r),
    const struct node *n)
{
	struct life *f = life_of(t, stream);
	uint64_t count = 0;
	size_t i;

	if (f == NULL)
		return 0;
	for (i = behind(f, from); i < f->n && f->end[i] <= to; i++, count++)
		each(n, &t->lane[f->lane].rec[f->first + i]);
	return count;
}

/* What was refused and not told of by now may never be. */
static void
gaps_lost(struct town *t)
{
	t->untold = t->refused > t->told ? t->refused - t->told : 0;
}

/* ---- a bit has flipped ---- */

static void
may_be_lost(const struct node *n, struct record *r)
{
	r->flipped = true;
	if (n->exports)
		r->again += r->again < UINT8_MAX;
}

static void
may_come_again(const struct node *n, struct record *r)
{
	if (n->exports)
		r->again += r->again < UINT8_MAX;
}

/* Frames that are no more, and frames that are no more known to be done. */
static void
compare(struct town *t, struct node *n, const struct shelf *was,
    const struct shelf *is)
{
	const struct shelf_frame *f, *now;

	for (f = was->frame; f < was->frame + was->frames; f++) {
		now = shelf_find(is, f->seq);
		if (now == NULL) {
			n->stored_more += f->records;
			if (each_in(t, f->stream, f->from, f->to, may_be_lost,
			    n) == 0)
				gaps_lost(t);	/* the agent's own */
		} else if (f->done && !now->done) {
			(void)each_in(t, f->stream, f->from, f->to,
			    may_come_again, n);
		}
	}
}

struct ranges_of { struct town *t; struct node *n; };

/* Of a stream that the checkpoint knew: as if it had never been taken. */
static void
forgotten(void *arg, const uint8_t *stream, uint64_t from, uint64_t to)
{
	struct ranges_of *a = arg;
	uint64_t k;

	k = each_in(a->t, stream, from, to, may_come_again, a->n);
	a->n->stored_more += k > 0 ? k : a->t->uids;
}

void
oracle_flip(struct town *t, struct node *n, const struct sim_flip *flip)
{
	struct ranges_of a = { t, n };
	struct shelf was, is;

	shelf_read(&was, n->host, queue_dir[n->who], flip);
	shelf_read(&is, n->host, queue_dir[n->who], NULL);
	compare(t, n, &was, &is);
	if (is.newest != was.newest)
		shelf_table(&was, forgotten, &a);
	shelf_free(&was);
	shelf_free(&is);
}

/* ---- an exporter has ended ---- */

static void
uncommitted(const struct node *n, struct record *r)
{
	if (r->delivered > 0 && r->delivered_ns >= n->settled_ns)
		r->maybe_twice = true;
}

void
oracle_ended(struct town *t, struct node *n)
{
	const struct shelf_frame *f;
	struct shelf s;

	if (!n->exports)
		return;
	shelf_read(&s, n->host, queue_dir[n->who], NULL);
	for (f = s.frame; f < s.frame + s.frames; f++)
		if (!f->done)
			(void)each_in(t, f->stream, f->from, f->to,
			    uncommitted, n);
	shelf_free(&s);
}

/* ---- the host of the lanes has no power ---- */

/* A lane whose file is gone, or kept as dead, was drained to its end. */
static uint64_t
tail_of(const struct town *t, const struct life *f)
{
	char path[128], id[33];
	uint64_t tail;
	unsigned i;

	for (i = 0; i < 16; i++)
		snprintf(id + 2 * i, 3, "%02x", f->id[i]);
	snprintf(path, sizeof(path), RING "/%s.lane", id);
	if (sim_peek(t->node[AGENT].host, path, LANE_AGENT_AT, &tail,
	    sizeof(tail)) != sizeof(tail))
		return UINT64_MAX;
	return tail;
}

void
oracle_power(struct town *t)
{
	struct life *f;
	struct lane_of *l;
	size_t i;

	for (f = t->lives; f != NULL; f = f->next) {
		l = &t->lane[f->lane];
		for (i = behind(f, tail_of(t, f)); i < f->n; i++)
			l->rec[f->first + i].ring_only = true;
	}
	gaps_lost(t);
}

static void
is_spilled(const struct node *n, struct record *r)
{
	r->ring_only = false;
}

void
oracle_powered(struct town *t)
{
	struct node *n = &t->node[AGENT];
	const struct shelf_frame *f;
	struct shelf s;

	shelf_read(&s, n->host, queue_dir[AGENT], NULL);
	for (f = s.frame; f < s.frame + s.frames; f++)
		(void)each_in(t, f->stream, f->from, f->to, is_spilled, n);
	shelf_free(&s);
}
