/* SPDX-License-Identifier: ISC */
/* oracle.c - what was published, what arrived, and what may not; see town.h */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "town.h"

#define MEMORY_MOST	(24u << 20)	/* of one process */

/* ---- arrivals ---- */

void
oracle_arrive(struct town *t, unsigned lane, uint64_t n, struct bytes text,
    bool maybe_twice)
{
	char want[TEXT_MAX];
	struct record *r;
	size_t len;

	if (lane >= t->lanes || n >= t->lane[lane].made)
		town_fail(t, "record %" PRIu64 " of lane %u was never made",
		    n, lane);
	len = record_text(lane, n, want);
	if (!bytes_eq(text, bytes_of(want, len)))
		town_fail(t, "record %" PRIu64 " of lane %u is not what was "
		    "logged", n, lane);
	r = &t->lane[lane].rec[n];
	if (r->delivered > 0 && !r->maybe_twice) {
		t->twice++;
		if (r->again > 0)
			r->again--;
		else if (t->shape == TWO_RELAYS)
			t->twice_bytes += r->bytes;
		else
			town_fail(t, "record %" PRIu64 " of lane %u came "
			    "again", n, lane);
	}
	t->arrived += r->delivered == 0;
	r->delivered += r->delivered < UINT8_MAX;
	r->delivered_ns = sim_now(t->sim);
	r->maybe_twice = maybe_twice;
}

void
oracle_own(struct town *t, struct bytes uid, uint64_t refused)
{
	unsigned i;

	if (uid.n == 0)
		town_fail(t, "a record without a uid");
	for (i = 0; i < t->uids; i++)
		if (uid.n == strlen(t->uid[i]) &&
		    memcmp(t->uid[i], uid.p, uid.n) == 0)
			return;
	if (t->uids == sizeof(t->uid) / sizeof(t->uid[0]))
		town_fail(t, "the agent has much to say");
	t->uid[t->uids] = calloc(1, uid.n + 1);
	must(t->uid[t->uids] != NULL);
	memcpy(t->uid[t->uids++], uid.p, uid.n);
	t->told += refused;
}

void
oracle_crash(struct town *t, struct node *n)
{
	n->crashes++;
	if (n->who == AGENT && n->role != NULL)
		t->twice_most += node_ctr(n, CTR_hop_inflight_bytes) +
		    (256u << 10);
}

/* ---- at every step ---- */

/* Bytes of lanes at the agent, records from the relay on. */
static bool
balances(const struct node *n)
{
	if (n->who != AGENT)
		return n->kind->conserves(n->role);
	return node_ctr(n, CTR_lane_taken_bytes) ==
	    node_ctr(n, CTR_lane_acked_bytes) +
	    node_ctr(n, CTR_lane_spilled_bytes) +
	    node_ctr(n, CTR_lane_lost_bytes) +
	    node_ctr(n, CTR_lane_aside_bytes) +
	    node_ctr(n, CTR_lane_held_bytes);
}

void
oracle_books(struct town *t)
{
	struct node *n;

	for (n = t->node; n < t->node + WHO; n++)
		if (n->ready && !balances(n))
			town_fail(t, "%s %u does not conserve", n->kind->name,
			    n->who);
}

/* Nothing held, no trouble, for a while: its commits are on the disk. */
static void
look_settled(struct town *t, struct node *n)
{
	uint64_t now = sim_now(t->sim);
	uint64_t failed = node_ctr(n, CTR_queue_sync_failed) +
	    node_ctr(n, CTR_queue_disk_full);

	if (node_ctr(n, CTR_queue_held_records) > 0 || !n->ready ||
	    n->go_ns > 0 || node_ctr(n, CTR_queue_disk_error) > 0 ||
	    failed != n->quiet_failed) {
		n->quiet_ns = now;
		n->quiet_failed = failed;
	} else if (now - n->quiet_ns >= 4 * S) {
		n->settled_ns = now - 3 * S;
	}
}

static void
look_node(struct town *t, struct node *n)
{
	static const enum ctr never[] = { CTR_conservation_broken, CTR_recv_bad,
	    CTR_recv_lost_records, CTR_lane_spoiled,
	    CTR_stream_evicted, CTR_backlog_refused,
	    CTR_recv_quarantined_chunks };
	size_t most, i;

	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (node_ctr(n, never[i]) > 0)
			town_fail(t, "%s %u: %s is %" PRIu64, n->kind->name,
			    n->who, ctr_info[never[i]].name,
			    node_ctr(n, never[i]));
	if (node_ctr(n, CTR_queue_lost_records) > 0 &&
	    sim_fired(t->sim, FAULT_FLIP) == 0)
		town_fail(t, "%s %u has lost %" PRIu64 " stored records",
		    n->kind->name, n->who, node_ctr(n, CTR_queue_lost_records));
	if (node_ctr(n, CTR_lane_lost_bytes) > 0 && t->fired[AGENT_POWER] == 0)
		town_fail(t, "bytes of lanes are lost");
	(void)sim_memory(n->proc, &most);
	t->memory_most = most > t->memory_most ? most : t->memory_most;
	if (most > MEMORY_MOST)
		town_fail(t, "%s %u used %zu bytes", n->kind->name, n->who,
		    most);
	if (n->exports)
		look_settled(t, n);
}

void
oracle_step(struct town *t)
{
	struct node *n;

	for (n = t->node; n < t->node + WHO; n++)
		if (n->used && n->proc != NULL && !n->failed)
			look_node(t, n);
}

/* ---- the end ---- */

static bool
accounted(const struct record *r)
{
	return r->delivered > 0 || r->ring_only || r->flipped || r->dead;
}

static void
find_dead(void *arg, const char *path, struct bytes content)
{
	const uint8_t *at = content.p, *end;
	unsigned long long n;
	struct town *t = arg;
	unsigned lane;
	char text[48];

	if (strstr(path, "/dead/") == NULL || content.n == 0)
		return;
	end = at + content.n;
	if (memmem(content.p, content.n, "emplog_gap", 10) != NULL)
		t->gaps_free = true;
	if (memmem(content.p, content.n, "emplogd.agent", 13) != NULL)
		t->own_dead = true;
	while (at < end && (at = memchr(at, 'L', (size_t)(end - at))) != NULL) {
		snprintf(text, sizeof(text), "%.*s",
		    (int)(end - at < 40 ? end - at : 40), (const char *)at);
		if (sscanf(text, "L%uN%llu:", &lane, &n) == 2 &&
		    lane < t->lanes && n < t->lane[lane].made)
			t->lane[lane].rec[n].dead = true;
		at++;
	}
}

static const struct record *
first_missing(struct town *t, unsigned *ret_lane, uint64_t *ret_n)
{
	struct lane_of *l;
	uint64_t i;

	for (l = t->lane; l < t->lane + t->lanes; l++)
		for (i = 0; i < l->made; i++)
			if (!accounted(&l->rec[i])) {
				*ret_lane = (unsigned)(l - t->lane);
				*ret_n = i;
				return &l->rec[i];
			}
	return NULL;
}

static bool
all_empty(const struct town *t)
{
	const struct node *n;

	for (n = t->node; n < t->node + WHO; n++)
		if (n->used && (!n->ready ||
		    node_ctr(n, CTR_queue_held_records) > 0 ||
		    node_ctr(n, CTR_lane_held_bytes) > 0))
			return false;
	return true;
}

bool
oracle_all(struct town *t)
{
	struct node *n;
	uint64_t at;
	unsigned lane;

	for (n = t->node; n < t->node + WHO; n++)
		if (n->exports)
			sim_files(n->host, find_dead, t);
	return first_missing(t, &lane, &at) == NULL && all_empty(t) &&
	    (t->gaps_free || t->told + t->untold >= t->refused);
}

static void
look_twice(const struct town *t)
{
	uint64_t most = t->twice_most +
	    node_ctr(&t->node[AGENT], CTR_hop_resent_bytes);

	if (t->shape == TWO_RELAYS && t->twice_bytes > most)
		town_fail(t, "%" PRIu64 " bytes came twice, at most %" PRIu64
		    " may", t->twice_bytes, most);
}

/* From a stream to one relay's queue: exactly once, whatever befell both. */
static void
look_stored(const struct town *t)
{
	uint64_t known = t->uids, i, stored;
	const struct lane_of *l;
	const struct node *n;

	if (t->own_dead)
		return;
	for (l = t->lane; l < t->lane + t->lanes; l++)
		for (i = 0; i < l->made; i++)
			known += l->rec[i].delivered > 0 || l->rec[i].dead ||
			    l->rec[i].flipped;
	for (n = t->node; n < t->node + WHO; n++) {
		stored = node_ctr(n, CTR_queue_put_records);
		if (n->used && n->who != AGENT &&
		    stored > known + n->stored_more)
			town_fail(t, "%s %u has stored %" PRIu64 " records, "
			    "of %" PRIu64 " there are", n->kind->name, n->who,
			    stored, known);
	}
}

void
oracle_end(struct town *t)
{
	const struct node *n;
	unsigned lane;
	uint64_t at;

	if (!oracle_all(t)) {
		if (first_missing(t, &lane, &at) != NULL)
			town_fail(t, "record %" PRIu64 " of lane %u is lost",
			    at, lane);
		for (n = t->node; n < t->node + WHO; n++)
			if (n->used && (!n->ready ||
			    node_ctr(n, CTR_queue_held_records) > 0 ||
			    node_ctr(n, CTR_lane_held_bytes) > 0))
				town_fail(t, "%s %u holds %" PRIu64 " records, "
				    "%" PRIu64 " bytes of lanes%s",
				    n->kind->name, n->who,
				    node_ctr(n, CTR_queue_held_records),
				    node_ctr(n, CTR_lane_held_bytes),
				    n->ready ? "" : ", and is not ready");
		town_fail(t, "gap records tell of %" PRIu64 " refusals of %"
		    PRIu64, t->told, t->refused);
	}
	if (!t->gaps_free && t->told > t->refused &&
	    t->node[AGENT].crashes == 0)
		town_fail(t, "gap records tell of %" PRIu64 " refusals, there "
		    "were %" PRIu64, t->told, t->refused);
	look_twice(t);
	look_stored(t);
}
