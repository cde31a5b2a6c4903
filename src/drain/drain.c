/* SPDX-License-Identifier: ISC */
/* drain.c - life, whose turn it is, sleeping and waking; see drain.h */

#include "drain/inner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/must.h"
#include "banned.h"

#define ROUNDS_MAX	64		/* a pump, then others have a turn */
#define DOZE_AFTER	(2 * SECOND)	/* without traffic: deep sleep */
#define TICK_BUSY	(25 * MS)
#define TICK_HELD	(100 * MS)	/* bytes wait: the spill has clocks */
#define TICK_DEEP	SECOND
#define STOP_GRACE	(150 * MS)	/* for acknowledgements on the way */
#define STOP_MOST	(800 * MS)

void
drain_check(const struct drain *d)
{
	must(d != NULL);
	must(d->magic == DRAIN_MAGIC);
}

void
drain_note(struct drain *d, enum log_level level, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (d->conf.note == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->conf.note(d->conf.arg, level, text);
}

void
drain_kick(struct drain *d)
{
	if (op_idle(&d->pump_op) && d->state != DRAIN_NEW &&
	    d->state != DRAIN_DONE)
		loop_timer(d->env->loop, &d->pump_op, 0);
}

/* ---- sleeping ---- */

/*
 * A producer stores head, then loads knock_at, without a fence between: it
 * would cost as much as the record.  So the first tick after knock_at was
 * stored for deep sleep is a short one: by then what was in the producer's
 * store buffer is seen.
 */
static bool
set_knocks(struct drain *d, bool deep)
{
	struct inlane *l;
	bool changed = false;
	uint64_t at;
	unsigned i;

	for (i = 0; i < d->lanes; i++) {
		l = d->lane[i];
		at = l->head + (deep ? 1 : l->r.data_bytes / 4);
		if (l->state == INLANE_DEAD || l->knock_at == at)
			continue;
		reader_set_knock(&l->r, at);
		l->knock_at = at;
		changed = true;
	}
	return changed;
}

static void
arm_tick(struct drain *d, uint64_t at)
{
	if (op_idle(&d->tick_op)) {
		d->tick_at = at;
		loop_timer(d->env->loop, &d->tick_op, at);
	} else if (at < d->tick_at) {
		d->tick_at = 0;		/* on_tick() comes and arms anew */
		loop_cancel(d->env->loop, &d->tick_op);
	}
}

static void
rest(struct drain *d)
{
	uint64_t now = drain_now(d), wait = TICK_DEEP;
	bool deep = now - d->traffic_ns >= DOZE_AFTER;

	if (set_knocks(d, deep))
		d->knocks_ns = now;
	/* A tick armed before comes too soon to be the second look. */
	if (!deep || now - d->knocks_ns < TICK_BUSY || d->scan_due ||
	    d->state != DRAIN_RUN)
		wait = TICK_BUSY;
	else if (drain_held_bytes(d) > 0)
		wait = TICK_HELD;
	arm_tick(d, now + wait);
}

/* ---- the pump ---- */

static bool
look_at_all(struct drain *d)
{
	bool more = false;
	unsigned i;

	for (i = 0; i < d->lanes; i++)
		more |= inlane_look(d, d->lane[i]);
	if (more)
		d->traffic_ns = drain_now(d);
	return more;
}

static bool
one_round(struct drain *d)
{
	bool moved = false;
	unsigned i;

	for (i = 0; i < d->lanes; i++)
		moved |= inlane_move(d, d->lane[(d->turn + i) % d->lanes]);
	if (d->lanes > 0)
		d->turn = (d->turn + 1) % d->lanes;
	if (d->state == DRAIN_RUN)
		moved |= backlog_move(d);
	return moved;
}

static void
rounds(struct drain *d)
{
	unsigned n = 0;

	while (one_round(d)) {
		if (++n == ROUNDS_MAX) {
			drain_kick(d);
			return;
		}
	}
}

static uint64_t
settled_bytes(const struct counters *c)
{
	return ctr_get(c, CTR_lane_acked_bytes) +
	    ctr_get(c, CTR_lane_spilled_bytes) +
	    ctr_get(c, CTR_lane_lost_bytes);
}

/* Taken is acked, spilled, held, aside or lost: else we have a bug. */
static void
check_conservation(struct drain *d)
{
	const struct counters *c = &d->env->ctr;
	uint64_t held = 0, sum;
	unsigned i;

	for (i = 0; i < d->lanes; i++)
		held += d->lane[i]->head - d->lane[i]->tail;
	sum = settled_bytes(c) + held + ctr_get(c, CTR_lane_aside_bytes);
	if (held != ctr_get(c, CTR_lane_held_bytes) ||
	    sum != ctr_get(c, CTR_lane_taken_bytes))
		ctr_add(&d->env->ctr, CTR_conservation_broken, 1);
}

static void
chores(struct drain *d)
{
	uint64_t now = drain_now(d);

	if (now - d->chores_ns < SECOND)
		return;
	d->chores_ns = now;
	d->queue_stuck = false;		/* one more try a second */
	ringdir_second(d);
	ownrec_open(d);
	burial_chores(d);
	check_conservation(d);
}

static void
feed_ingest(struct drain *d)
{
	if (!d->starved || d->conf.room == NULL)
		return;
	d->starved = false;
	d->conf.room(d->conf.arg);
}

static void
run(struct drain *d)
{
	ringlook(d);
	look_at_all(d);
	chores(d);
	rounds(d);
	burial_pump(d);
	backlog_rest(d);
	rest(d);
}

/* ---- stopping ---- */

static bool
all_safe(const struct drain *d)
{
	unsigned i;

	for (i = 0; i < d->lanes; i++) {
		if (!inlane_safe(d->lane[i]))
			return false;
	}
	return d->ingest_out == 0;
}

static bool
spilled_enough(struct drain *d)
{
	uint64_t since = drain_now(d) - d->stop_ns;
	unsigned i;

	if (all_safe(d) || since >= STOP_MOST)
		return true;
	if (d->conf.queue == NULL || d->queue_stuck)
		return d->spans_out == 0 || since >= STOP_GRACE;
	if (since >= STOP_GRACE)
		for (i = 0; i < d->lanes; i++)
			inlane_double(d, d->lane[i]);
	return false;
}

static void
spill_rest(struct drain *d)
{
	look_at_all(d);
	rounds(d);
	if (!spilled_enough(d)) {
		rest(d);
		return;
	}
	check_conservation(d);
	d->state = DRAIN_HALT;
	ringdir_halt(d);
	loop_cancel(d->env->loop, &d->tick_op);
	drain_kick(d);
}

static void
halt(struct drain *d)
{
	if (!ringdir_idle(d) || !op_idle(&d->tick_op))
		return;		/* the last one to end kicks */
	d->state = DRAIN_DONE;
	d->stop_done(d->stop_arg);
}

static void
on_pump(struct op *op)
{
	struct drain *d = op->arg;

	drain_check(d);
	switch (d->state) {
	case DRAIN_RUN:
		run(d);
		/* Last: it may hand in records. */
		feed_ingest(d);
		break;
	case DRAIN_SPILL:
		spill_rest(d);
		break;
	case DRAIN_HALT:
		halt(d);
		break;
	default:
		break;
	}
}

static void
on_tick(struct op *op)
{
	struct drain *d = op->arg;

	drain_check(d);
	drain_kick(d);
}

/* ---- life ---- */

static int
copy_path(char dst[PATH_BYTES], const char *dir, const char *suffix)
{
	int n;

	n = snprintf(dst, PATH_BYTES, "%s%s", dir, suffix);
	/* Room for "/<32 hex>.lane" behind it. */
	return n < 0 || n > PATH_BYTES - 48 ? -EINVAL : 0;
}

static int
copy_conf(struct drain *d, const struct drain_conf *conf)
{
	int r;

	d->conf = *conf;
	if (conf->identity.n > sizeof(d->identity))
		return -EINVAL;
	if (conf->identity.n > 0)
		memcpy(d->identity, conf->identity.p, conf->identity.n);
	d->conf.identity.p = d->identity;
	r = copy_path(d->ring_dir, conf->ring_dir, "");
	if (r == 0 && conf->state_dir != NULL)
		r = copy_path(d->disk_dir, conf->state_dir, "/ring");
	return r;
}

static int
make_pools(struct drain *d)
{
	unsigned i;

	d->span_mem = env_alloc(d->env, SPANS_MAX * sizeof(struct span));
	d->ingest_mem = env_alloc(d->env,
	    INGEST_MAX * sizeof(struct ingest_way));
	d->dead = env_alloc(d->env, DEAD_MAX * sizeof(struct dead_file));
	d->scratch = env_alloc(d->env, SCRATCH_BYTES);
	if (d->span_mem == NULL || d->ingest_mem == NULL || d->dead == NULL ||
	    d->scratch == NULL)
		return -ENOMEM;
	for (i = 0; i < SPANS_MAX; i++) {
		d->span_mem[i].d = d;
		d->span_mem[i].next = d->span_free;
		d->span_free = &d->span_mem[i];
	}
	for (i = 0; i < INGEST_MAX; i++) {
		d->ingest_mem[i].d = d;
		d->ingest_mem[i].next = d->ingest_free;
		d->ingest_free = &d->ingest_mem[i];
	}
	return 0;
}

static void
release(struct drain *d)
{
	env_free(d->env, d->span_mem);
	env_free(d->env, d->ingest_mem);
	env_free(d->env, d->dead);
	env_free(d->env, d->scratch);
	env_free(d->env, d->lane);
	env_free(d->env, d);
}

int
drain_new(struct drain **ret_d, struct env *env,
    const struct drain_conf *conf)
{
	struct drain *d;
	int r;

	must(conf->sender != NULL && conf->shm_sys != NULL);
	d = env_alloc(env, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	d->magic = DRAIN_MAGIC;
	d->env = env;
	d->state = DRAIN_NEW;
	d->lock_fd = d->knock_fd = -1;
	op_init(&d->pump_op, on_pump, d);
	op_init(&d->tick_op, on_tick, d);
	r = copy_conf(d, conf);
	if (r == 0)
		r = make_pools(d);
	if (r < 0) {
		release(d);
		return r;
	}
	*ret_d = d;
	return 0;
}

/*
 * The counters go on over restarts, so what an earlier agent held is taken
 * already: by its own books, for killed at any moment it leaves no other
 * word that can be relied on.  What is more was written meanwhile; what is
 * less may be in lanes that could not be opened, else it went with its files
 * (a tmpfs ends with its machine).
 */
static void
open_books(struct drain *d, uint64_t settled)
{
	struct counters *c = &d->env->ctr;
	uint64_t taken = ctr_get(c, CTR_lane_taken_bytes);
	uint64_t now = settled + d->first_held;
	uint64_t less = now < taken ? taken - now : 0;

	if (now > taken)
		ctr_add(c, CTR_lane_taken_bytes, now - taken);
	ctr_set(c, CTR_lane_aside_bytes, d->unopened ? less : 0);
	if (!d->unopened)
		ctr_add(c, CTR_lane_lost_bytes, less);
}

int
drain_start(struct drain *d, char ret_why[DRAIN_WHY])
{
	uint64_t settled = settled_bytes(&d->env->ctr);
	int r;

	drain_check(d);
	must(d->state == DRAIN_NEW);
	ret_why[0] = '\0';
	r = ringdir_open(d, ret_why);
	if (r < 0) {
		ringdir_close(d);
		return r;
	}
	ctr_set(&d->env->ctr, CTR_lane_held_bytes, 0);
	d->chores_ns = d->traffic_ns = drain_now(d);
	d->first_wall_ns = d->conf.shm_sys->wall_ns(d->conf.shm_sys->arg);
	d->scan_due = true;
	ringlook(d);
	open_books(d, settled);
	d->state = DRAIN_RUN;
	ownrec_open(d);
	ringdir_run(d);
	drain_kick(d);
	return 0;
}

void
drain_stop(struct drain *d, void (*done)(void *arg), void *arg)
{
	drain_check(d);
	must(d->state == DRAIN_NEW || d->state == DRAIN_RUN);
	if (d->state == DRAIN_RUN)
		burial_tell_dropped(d);
	ownrec_close(d);
	/* Lanes that came a moment ago, our own among them, are spilled too. */
	if (d->state == DRAIN_RUN)
		ringlook_now(d);
	d->state = d->state == DRAIN_RUN ? DRAIN_SPILL : DRAIN_HALT;
	d->stop_ns = drain_now(d);
	d->stop_done = done;
	d->stop_arg = arg;
	drain_kick(d);
}

void
drain_free(struct drain **dp)
{
	struct drain *d = *dp;

	if (d == NULL)
		return;
	drain_check(d);
	must(d->state == DRAIN_NEW || d->state == DRAIN_DONE);
	must(d->spans_out == 0 && d->doubling == 0 && d->ingest_out == 0);
	must(op_idle(&d->pump_op) && op_idle(&d->tick_op));
	while (d->lanes > 0) {
		inlane_forget(d, d->lane[d->lanes - 1]);
		inlane_free(d, d->lanes - 1);
	}
	backlog_fini(d);
	ringdir_close(d);
	d->magic = 0;
	release(d);
	*dp = NULL;
}

void
drain_sender_up(struct drain *d)
{
	drain_check(d);
	drain_kick(d);
}

void
drain_sender_down(struct drain *d)
{
	drain_check(d);
	drain_kick(d);
}

void
drain_queue_notify(struct drain *d)
{
	drain_check(d);
	d->queue_stuck = false;
	drain_kick(d);
}

unsigned
drain_lanes(const struct drain *d)
{
	drain_check(d);
	return d->lanes;
}

uint64_t
drain_held_bytes(const struct drain *d)
{
	drain_check(d);
	return ctr_get(&d->env->ctr, CTR_lane_held_bytes);
}
