/* SPDX-License-Identifier: ISC */
/* ringctl.c - what was refused for want of a lane; see inner.h, shm/ring.h */

#include "drain/inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "shm/guard.h"
#include "banned.h"

#define SILENT		(5 * SECOND)	/* then it is told */
#define MAKE_EACH	(10 * SECOND)	/* a new file in place of a cut one */

static void
map(struct drain *d)
{
	d->ctl = ring_ctl_map(d->conf.shm_sys, d->ring_dir, 0);
	if (d->ctl == NULL)
		return;
	/* Any user may cut it short, and it is read through the mapping. */
	d->ctl_guard = guard_install();
	if (d->ctl_guard == 0)
		d->ctl_guard = guard_add(d->ctl, RING_CTL_BYTES, true);
	if (d->ctl_guard < 0)
		ringctl_close(d);
}

/* What is no ring.ctl there makes room for one: we own the directory. */
void
ringctl_open(struct drain *d)
{
	const struct shm_sys *sys = d->conf.shm_sys;
	char path[PATH_BYTES];
	int n;

	d->ctl_made_ns = drain_now(d);
	map(d);
	n = snprintf(path, PATH_BYTES, "%s/ring.ctl", d->ring_dir);
	if (d->ctl != NULL || n < 0 || n >= PATH_BYTES)
		return;
	(void)sys->unlink(sys->arg, path);
	map(d);
}

void
ringctl_close(struct drain *d)
{
	if (d->ctl == NULL)
		return;
	guard_remove(d->ctl_guard);
	ring_ctl_unmap(d->conf.shm_sys, d->ctl);
	d->ctl = NULL;
}

static void
tell(struct drain *d)
{
	uint64_t n, told, last;

	n = atomic_load_explicit(&d->ctl->no_lane, memory_order_relaxed);
	told = atomic_load_explicit(&d->ctl->told, memory_order_relaxed);
	last = atomic_load_explicit(&d->ctl->no_lane_last_ns,
	    memory_order_relaxed);
	if (n <= told || last + SILENT > loop_wall(d->env->loop) ||
	    ownrec_no_lane(d, n - told, last) < 0)
		return;
	atomic_store_explicit(&d->ctl->told, n, memory_order_relaxed);
	ctr_add(&d->env->ctr, CTR_lane_gap_records, 1);
}

static bool
is_cut(const struct drain *d)
{
	return guard_intact(d->ctl_guard) < RING_CTL_BYTES;
}

void
ringctl_chores(struct drain *d)
{
	if (d->ctl != NULL && !is_cut(d))
		tell(d);
	if (d->ctl != NULL && is_cut(d)) {
		ctr_add(&d->env->ctr, CTR_lane_bad, 1);
		drain_note(d, LOG_WARN, "'%s/ring.ctl' was cut short; what it "
		    "counted is lost", d->ring_dir);
		ringctl_close(d);
	}
	if (d->ctl == NULL && drain_now(d) - d->ctl_made_ns >= MAKE_EACH)
		ringctl_open(d);
}
