/* SPDX-License-Identifier: ISC */
/* burial.c - lanes that have ended, and what stays of them; see drain.h */

#include "drain/inner.h"

#include <errno.h>
#include <stdio.h>

#include "base/must.h"
#include "base/planted.h"
#include "queue/streams.h"
#include "banned.h"

#define SILENT		(5 * SECOND)	/* then the agent tells its gap */
#define CHECK_EVERY	10		/* scans, in chores */

bool
burial_ring_half_full(const struct drain *d)
{
	uint64_t bytes = d->dead_bytes;
	unsigned i;

	for (i = 0; i < d->lanes; i++) {
		if (!d->lane[i]->on_disk)
			bytes += d->lane[i]->r.mapped;
	}
	return bytes > d->ring_max / 2;
}

/* ---- .dead files, the flight recorder ---- */

static void
dead_drop(struct drain *d, unsigned i)
{
	const struct shm_sys *sys = d->conf.shm_sys;

	(void)sys->unlink(sys->arg, d->dead[i].path);
	d->dead_bytes -= d->dead[i].bytes;
	d->dead_n--;
	memmove(&d->dead[i], &d->dead[i + 1],
	    (d->dead_n - i) * sizeof(d->dead[0]));
}

static void
dead_add(struct drain *d, const char *path, uint64_t bytes)
{
	struct dead_file *f;

	if (d->dead_n == DEAD_MAX)
		dead_drop(d, 0);	/* the oldest */
	f = &d->dead[d->dead_n++];
	snprintf(f->path, sizeof(f->path), "%s", path);
	f->bytes = bytes;
	f->since_ns = drain_now(d);
	d->dead_bytes += bytes;
}

void
burial_adopt(struct drain *d, const char *path)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	struct shm_stat st;
	unsigned i;

	for (i = 0; i < d->dead_n; i++) {
		if (strcmp(d->dead[i].path, path) == 0)
			return;
	}
	if (sys->lstat(sys->arg, path, &st) == 0)
		dead_add(d, path, st.size);
}

static void
dead_age(struct drain *d)
{
	uint64_t now = drain_now(d);

	while (d->dead_n > 0 &&
	    (now - d->dead[0].since_ns >= d->conf.dead_keep_ns ||
	    burial_ring_half_full(d)))
		dead_drop(d, 0);
}

/* ---- streams to be ended at the relay ---- */

/*
 * One that finds no place is not ended: the relay then remembers its ranges
 * for a week instead of an hour.
 */
static void
end_later(struct drain *d, const struct inlane *l)
{
	struct stream_end *e;

	if (d->conf.queue != NULL)
		streams_end(queue_streams(d->conf.queue), l->r.id,
		    loop_wall(d->env->loop));
	if (d->ends == ENDS_MAX || l->head == 0)
		return;
	e = &d->end[d->ends++];
	memcpy(e->id, l->r.id, STREAM_ID_LEN);
	e->after_all = l->backlog && l->spill_seq == UINT64_MAX;
	e->after_seq = l->backlog ? l->spill_seq : 0;
	e->waits = l->backlog;
}

static bool
may_end(const struct drain *d, const struct stream_end *e)
{
	/*
	 * Killed now, we send again what no commit covers, perhaps when the
	 * relay has forgotten the stream.
	 */
	if (d->conf.queue != NULL && !queue_is_settled(d->conf.queue))
		return false;
	if (!e->waits || queue_held_frames(d->conf.queue) == 0)
		return true;
	return !e->after_all && d->backlog.through_seq > e->after_seq;
}

static void
end_streams(struct drain *d)
{
	unsigned i;

	if (!sender_is_up(d->conf.sender))
		return;
	for (i = 0; i < d->ends;) {
		if (!may_end(d, &d->end[i])) {
			i++;
			continue;
		}
		sender_end_stream(d->conf.sender, d->end[i].id);
		d->end[i] = d->end[--d->ends];
	}
}

/* ---- last words ---- */

static void
count_refused(struct drain *d, struct inlane *l)
{
	if (!l->r.spoiled)
		ctr_add(&d->env->ctr, CTR_lane_refused,
		    reader_refused_more(&l->r));
}

static int
tell_gap(struct drain *d, struct inlane *l)
{
	struct reader_gap gap;
	int r;

	if (!l->r.spoiled && reader_gap_claim(&l->r, &gap) == 1) {
		r = PLANTED(lose_gap_record) ? 0 : ownrec_gap(d, l, &gap);
		if (r < 0) {
			reader_gap_drop(&l->r);
			return r;
		}
		reader_gap_told(&l->r, &gap);
		ctr_add(&d->env->ctr, CTR_lane_gap_records, 1);
	}
	return 0;
}

/* 0 when everything is said; else it is tried again. */
static int
say_last_words(struct drain *d, struct inlane *l)
{
	int r;

	if (l->last_words)
		return 0;
	r = tell_gap(d, l);
	if (r == 0 && l->state == INLANE_DEAD &&
	    (l->r.flags & LANE_F_EXTRA) == 0 && !l->own &&
	    !reader_closed(&l->r)) {
		r = ownrec_died(d, l);
		if (r == 0)
			ctr_add(&d->env->ctr, CTR_worker_died, 1);
	}
	if (r < 0)
		return r;
	l->last_words = true;
	return 0;
}

/* ---- the grave ---- */

static void
bury_file(struct drain *d, struct inlane *l)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	size_t n = strlen(l->r.path);
	char dead[PATH_BYTES];

	if (l->unlinked)
		return;
	if (l->own || l->on_disk || l->head == 0 ||
	    d->conf.dead_keep_ns == 0) {
		(void)sys->unlink(sys->arg, l->r.path);
		return;
	}
	/* Its process may have written over it, and an audit reads it yet. */
	inlane_check_head(d, l);
	reader_set_tail(&l->r, l->tail);
	memcpy(dead, l->r.path, n + 1);
	memcpy(dead + n - 5, ".dead", 6);	/* as long as ".lane" */
	if (sys->rename(sys->arg, l->r.path, dead) < 0) {
		(void)sys->unlink(sys->arg, l->r.path);
		return;
	}
	dead_add(d, dead, l->r.mapped);
}

static void
end_lane(struct drain *d, struct inlane *l)
{
	if (inlane_look(d, l) || !inlane_empty(l) ||
	    say_last_words(d, l) < 0)
		return;
	count_refused(d, l);
	bury_file(d, l);
	end_later(d, l);
	l->state = INLANE_GONE;
}

void
burial_look(struct drain *d)
{
	struct inlane *l;
	unsigned i;

	for (i = 0; i < d->lanes; i++) {
		l = d->lane[i];
		if (l->unlinked || l->state == INLANE_DEAD ||
		    l->state == INLANE_GONE)
			continue;
		if (reader_alive(&l->r) == 0)
			inlane_died(d, l);
	}
}

void
burial_pump(struct drain *d)
{
	uint64_t now = drain_now(d);
	struct inlane *l;
	unsigned i;

	for (i = 0; i < d->lanes;) {
		l = d->lane[i];
		if (l->state == INLANE_DEAD)
			(void)say_last_words(d, l);
		if (l->state == INLANE_DEAD ||
		    (l->state == INLANE_LEAVING && now >= l->until_ns))
			end_lane(d, l);
		if (l->state == INLANE_GONE)
			inlane_free(d, i);
		else
			i++;
	}
	dead_age(d);
	end_streams(d);
}

/* ---- once a second ---- */

void
burial_tell_dropped(struct drain *d)
{
	struct counters *c = &d->env->ctr;
	uint64_t n = ctr_get(c, CTR_ingest_dropped) -
	    ctr_get(c, CTR_ingest_dropped_told);

	if (n == 0 || ownrec_dropped(d, n) < 0)
		return;
	ctr_add(c, CTR_ingest_dropped_told, n);
	ctr_add(c, CTR_lane_gap_records, 1);
	d->dropped_ns = drain_now(d);
}

void
burial_chores(struct drain *d)
{
	uint64_t now = drain_now(d);
	struct inlane *l;
	unsigned i;

	for (i = 0; i < d->lanes; i++) {
		l = d->lane[i];
		count_refused(d, l);
		if (l->state == INLANE_OPEN && now - l->moved_ns >= SILENT)
			(void)tell_gap(d, l);
		if (!l->unlinked && ++l->chores % CHECK_EVERY == 0)
			(void)reader_check(&l->r);
	}
	ringctl_chores(d);
	if (now - d->dropped_ns >= SILENT)
		burial_tell_dropped(d);
	if (now - d->scanned_ns >= CHECK_EVERY * SECOND)
		d->scan_due = true;
}
