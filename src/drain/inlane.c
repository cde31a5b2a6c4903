/* SPDX-License-Identifier: ISC */
/* inlane.c - one lane on the agent's side: where it stands, what befalls it */

#include "drain/inner.h"

#include <errno.h>
#include <stdio.h>

#include "base/must.h"
#include "counters/fates.h"
#include "queue/streams.h"
#include "banned.h"

#define LEAVE_TIME	SECOND

static void
count(struct drain *d, enum ctr id, uint64_t n)
{
	ctr_add(&d->env->ctr, id, n);
}

void
inlane_held_less(struct drain *d, uint64_t n)
{
	uint64_t held = ctr_get(&d->env->ctr, CTR_lane_held_bytes);

	must(n <= held);
	ctr_set(&d->env->ctr, CTR_lane_held_bytes, held - n);
}

static void
held_more(struct drain *d, uint64_t n)
{
	ctr_set(&d->env->ctr, CTR_lane_held_bytes,
	    ctr_get(&d->env->ctr, CTR_lane_held_bytes) + n);
}

/* ---- attaching ---- */

static bool
id_known(const struct drain *d, const uint8_t *id)
{
	unsigned i;

	for (i = 0; i < d->lanes; i++) {
		if (memcmp(d->lane[i]->r.id, id, LANE_ID_LEN) == 0)
			return true;
	}
	return false;
}

/* One user's lanes, however many, leave room for another's. */
static bool
too_many(const struct drain *d, const struct inlane *l)
{
	unsigned i, n = 0;

	for (i = 0; i < d->lanes; i++)
		n += d->lane[i]->r.uid == l->r.uid && !d->lane[i]->own;
	return n >= LANES_UID_MAX && !l->own;
}

/* Room for one more in the table of lanes. */
static int
table_grow(struct drain *d)
{
	unsigned cap = d->lanes_cap == 0 ? 16 : d->lanes_cap * 2;
	struct inlane **more;

	if (d->lanes < d->lanes_cap)
		return 0;
	if (d->lanes >= LANES_MAX)
		return -EUSERS;
	more = env_alloc(d->env, cap * sizeof(struct inlane *));
	if (more == NULL)
		return -ENOMEM;
	if (d->lanes > 0)
		memcpy(more, d->lane, d->lanes * sizeof(struct inlane *));
	env_free(d->env, d->lane);
	d->lane = more;
	d->lanes_cap = cap;
	return 0;
}

static bool
has_spilled(struct drain *d, struct inlane *l)
{
	return d->conf.queue != NULL &&
	    streams_end_of(queue_streams(d->conf.queue), l->r.id) > 0;
}

/*
 * How far the queue holds this lane from its tail on without a hole.  A span
 * that was on its way to the relay when we died may lie between two that
 * were spilled: the tail must not pass it.  What was spilled behind it is
 * sent again, and the relay knows its range.
 */
static uint64_t
spilled_to(struct drain *d, struct inlane *l)
{
	struct range hole;

	if (!has_spilled(d, l) || l->tail == l->head)
		return l->tail;
	return streams_cut(queue_streams(d->conf.queue), l->r.id, l->tail,
	    l->head, &hole) == 0 ? hole.from : l->head;
}

/* At most: of what was delivered the queue's table knows as well. */
static unsigned
holes_of(struct drain *d, const struct inlane *l)
{
	const struct ranges *rs = streams_taken(queue_streams(d->conf.queue),
	    l->r.id);

	return rs == NULL || rs->n > LANE_HOLES_MAX ? LANE_HOLES_MAX : rs->n;
}

/* Of n bytes of a lane that was there at the start, those taken already. */
static uint64_t
from_aside(struct drain *d, const struct inlane *l, uint64_t n)
{
	uint64_t aside = ctr_get(&d->env->ctr, CTR_lane_aside_bytes);

	if (l->r.created_ns >= d->first_wall_ns)
		return 0;
	if (n > aside)
		n = aside;
	ctr_set(&d->env->ctr, CTR_lane_aside_bytes, aside - n);
	return n;
}

/*
 * Where the lane stands.  What the queue has of it is not sent from here
 * again: the agent died between the put and moving the tail.
 */
static void
find_place(struct drain *d, struct inlane *l, bool first)
{
	uint64_t end = 0, n;

	l->tail = reader_tail(&l->r);
	l->head = reader_head(&l->r, l->tail);
	n = l->head - l->tail;
	if (first)
		d->first_held += n;
	else
		count(d, CTR_lane_taken_bytes, n - from_aside(d, l, n));
	held_more(d, n);
	end = spilled_to(d, l);
	if (end > l->tail) {
		count(d, CTR_lane_spilled_bytes, end - l->tail);
		inlane_held_less(d, end - l->tail);
		l->tail = end;
		reader_set_tail(&l->r, end);
	}
	/* Which of the queue's frames are its own is not known any more. */
	if (has_spilled(d, l) && queue_held_frames(d->conf.queue) > 0) {
		l->backlog = true;
		l->spill_seq = UINT64_MAX;
		l->holes = holes_of(d, l);
	}
	l->sent = l->tail;
	l->records_sent = reader_records_at(&l->r, l->tail, l->head);
	l->stamp_pos = l->head;
	l->stamp_ns = l->moved_ns = drain_now(d);
	l->moved_wall_ns = l->r.created_ns;
}

static int
adopt(struct drain *d, struct inlane *l, const char *hex)
{
	const struct shm_sys *sys = d->conf.shm_sys;

	if (!reader_has_name(&l->r, hex) || id_known(d, l->r.id))
		return -EBADMSG;
	l->lastp = &l->first;
	l->own = (l->r.flags & LANE_F_AGENT) != 0 &&
	    l->r.uid == sys->uid(sys->arg);
	if (too_many(d, l))
		return -EUSERS;
	l->seen = d->scan_no;
	return table_grow(d);
}

int
inlane_attach(struct drain *d, const char *path, const char *hex,
    bool on_disk, bool first)
{
	struct inlane *l;
	int r;

	l = env_alloc(d->env, sizeof(*l));
	if (l == NULL)
		return -ENOMEM;
	r = reader_attach(&l->r, d->conf.shm_sys, path, true);
	if (r < 0)
		goto fail;
	r = adopt(d, l, hex);
	if (r < 0)
		goto fail_attached;
	l->on_disk = on_disk;
	whoami_merge(d, &l->r);
	find_place(d, l, first);
	d->lane[d->lanes++] = l;
	count(d, CTR_lane_seen, 1);
	ctr_set(&d->env->ctr, CTR_lane_open, d->lanes);
	if (!l->r.alive)
		inlane_died(d, l);
	drain_kick(d);
	return 0;
fail_attached:
	reader_detach(&l->r);
fail:
	env_free(d->env, l);
	return r;
}

struct other {
	struct drain	*d;
	uint32_t	 pid;
};

static void
look_for_agent(void *ctx, const char *name)
{
	struct other *o = ctx;
	const struct shm_sys *sys = o->d->conf.shm_sys;
	size_t n = strlen(name);
	char path[PATH_BYTES];
	struct reader r;

	if (o->pid != 0 || n < 5 || strcmp(name + n - 5, ".lane") != 0 ||
	    snprintf(path, sizeof(path), "%s/%s", o->d->ring_dir, name) >=
	    (int)sizeof(path) || reader_attach(&r, sys, path, false) < 0)
		return;
	if ((r.flags & LANE_F_AGENT) != 0 && r.alive &&
	    r.uid == sys->uid(sys->arg))
		o->pid = r.pid;
	reader_detach(&r);
}

uint32_t
inlane_agent_pid(struct drain *d)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	struct other o = { .d = d };

	(void)sys->list(sys->arg, d->ring_dir, look_for_agent, &o);
	return o.pid;
}

void
inlane_free(struct drain *d, unsigned i)
{
	struct inlane *l = d->lane[i];

	must(l->first == NULL);
	reader_detach(&l->r);
	env_free(d->env, l);
	d->lane[i] = d->lane[--d->lanes];
	ctr_set(&d->env->ctr, CTR_lane_open, d->lanes);
}

/* ---- what happens to it ---- */

void
inlane_retire(struct drain *d, struct inlane *l, const char *why)
{
	if (l->state != INLANE_OPEN)
		return;
	l->state = INLANE_LEAVING;
	l->until_ns = drain_now(d) + LEAVE_TIME;
	reader_retire(&l->r);
	if (why != NULL)
		drain_note(d, LOG_WARN, "lane '%s' of pid %u, uid %u is "
		    "retired: %s", l->r.path, l->r.pid, l->r.uid, why);
}

void
inlane_died(struct drain *d, struct inlane *l)
{
	l->state = INLANE_DEAD;
	l->r.alive = false;
	count(d, CTR_lane_dead, 1);
	if (!l->own && (l->r.flags & LANE_F_EXTRA) == 0 &&
	    !reader_closed(&l->r))
		count(d, CTR_lane_died_unclean, 1);
}

/* What it says of bytes behind these is evidence of nothing. */
static void
note_spoiled(struct drain *d, struct inlane *l)
{
	l->spoil_told = true;
	count(d, CTR_lane_spoiled, 1);
	fates_note(d->env->fates, l->r.id, l->head, LANE_POSITION_MAX,
	    FATE_LOST, loop_wall(d->env->loop));
}

/* Nobody has drained it by its head since then: only who reads it is misled. */
void
inlane_check_head(struct drain *d, struct inlane *l)
{
	if (!l->spoil_told && !reader_head_holds(&l->r))
		note_spoiled(d, l);
}

static void
spoil(struct drain *d, struct inlane *l)
{
	if (l->spoil_told)
		return;
	note_spoiled(d, l);
	(void)reader_check(&l->r);	/* how much of it is left */
	inlane_retire(d, l, l->r.intact < l->r.mapped ?
	    "its file was cut short" : "its head is not to be believed");
}

void
inlane_stamp(struct drain *d, struct inlane *l)
{
	if (l->tail < l->stamp_pos)
		return;
	l->stamp_pos = l->head;
	l->stamp_ns = drain_now(d);
}

bool
inlane_look(struct drain *d, struct inlane *l)
{
	uint64_t head = reader_head(&l->r, l->tail);

	if (!l->r.spoiled && head < l->head)
		l->r.spoiled = true;	/* it was further already */
	if (l->r.spoiled) {
		spoil(d, l);
		return false;
	}
	if (head == l->head)
		return false;
	count(d, CTR_lane_taken_bytes, head - l->head);
	held_more(d, head - l->head);
	l->head = head;
	l->moved_ns = drain_now(d);
	l->moved_wall_ns = loop_wall(d->env->loop);
	inlane_stamp(d, l);
	return true;
}
