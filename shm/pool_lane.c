/* SPDX-License-Identifier: ISC */
/* pool_lane.c - one lane of the pool; the contract is in pool_lane.h */

#include "shm/pool_lane.h"

#include <errno.h>

#include "shm/jobs.h"
#include "shm/ring.h"

static uint64_t
refused_sum(const struct lane_producer *p)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < LANE_SEVERITIES; i++)
		sum += atomic_load_explicit(&p->refused[i],
		    memory_order_relaxed);
	return sum;
}

void
pool_lane_stats(struct emplog_stats *st, const struct lane_producer *p)
{
	st->written += atomic_load_explicit(&p->records,
	    memory_order_relaxed);
	st->refused += refused_sum(p);
	st->oversize += atomic_load_explicit(&p->oversize,
	    memory_order_relaxed);
	st->shortened += atomic_load_explicit(&p->shortened,
	    memory_order_relaxed);
	st->redacted += atomic_load_explicit(&p->redacted,
	    memory_order_relaxed);
}

struct writer_conf
pool_writer_conf(const struct pool_conf *c, bool first)
{
	struct writer_conf conf = {
		.sys = c->sys,
		.ring_dir = c->ring_dir,
		.lane_bytes = c->lane_bytes,
		.ring_max = ring_room(c->sys, c->ring_dir, c->ring_max),
		.disk_max = c->ring_max,
		.ring_owner = c->ring_owner,
		.identity = c->identity,
		.identity_len = c->identity_len,
	};

	if (first && c->state_dir[0] != '\0')
		conf.state_dir = c->state_dir;
	if (!first) {
		conf.ring_max /= 2;
		conf.flags |= LANE_F_EXTRA;
	}
	return conf;
}

int
pool_lane_open(struct lane *l)
{
	bool first = l == &pool.lane[0];
	struct writer_conf conf = pool_writer_conf(&pool.conf, first);
	int r;

	/* In emplog_open(), or a child's first call: never again. */
	conf.patient = first && atomic_load(&pool.try_ns) == 0;
	r = writer_open(&l->w, &conf);
	if (first)
		atomic_store(&pool.error, r);
	if (r < 0)
		return r;
	if (l->w.made_ring)
		atomic_store(&pool.made_ring, 1);
	l->looked_mono_ns = l->opened_mono_ns = pool_mono();
	atomic_store(&l->gap, 0);
	atomic_store_explicit(&l->open, 1, memory_order_release);
	if (first)
		jobs_mirror_all(&l->w);
	return 0;
}

void
pool_lose(uint32_t level, uint64_t wall_ns)
{
	uint64_t none = 0;

	atomic_compare_exchange_strong(&pool.lost_first_ns, &none, wall_ns);
	atomic_store(&pool.lost_last_ns, wall_ns);
	atomic_fetch_add(&pool.lost[level], 1);
	atomic_store(&pool.lost_any, 1);
}

void
pool_lane_losses(struct lane *l)
{
	struct lane_producer *p = l->w.prod;
	uint64_t first, n;
	unsigned i;

	if (atomic_exchange(&pool.lost_any, 0) == 0)
		return;
	first = atomic_exchange(&pool.lost_first_ns, 0);
	if (atomic_load(&l->gap) == 0)
		atomic_store_explicit(&p->refused_first_ns, first,
		    memory_order_relaxed);
	atomic_store_explicit(&p->refused_last_ns,
	    atomic_load(&pool.lost_last_ns), memory_order_relaxed);
	for (i = 0; i < LANE_SEVERITIES; i++) {
		n = atomic_exchange(&pool.lost[i], 0);
		atomic_fetch_add_explicit(&p->refused[i], n,
		    memory_order_relaxed);
	}
	atomic_store(&l->gap, 1);
}

void
pool_lane_close(struct lane *l, bool clean)
{
	struct emplog_stats st = { 0 };

	pool_lane_losses(l);
	pool_lane_stats(&st, l->w.prod);
	atomic_fetch_add(&pool.written, st.written);
	atomic_fetch_add(&pool.refused, st.refused);
	atomic_fetch_add(&pool.oversize, st.oversize);
	atomic_fetch_add(&pool.shortened, st.shortened);
	atomic_fetch_add(&pool.redacted, st.redacted);
	atomic_store(&l->open, 0);
	writer_close(&l->w, clean);
}

bool
pool_lane_retired(struct lane *l, uint64_t now)
{
	bool retired = atomic_load_explicit(&l->w.agent->retired,
	    memory_order_relaxed) != 0;

	/* The record's time may be the caller's, and jump: this does not. */
	if (now - (retired ? l->opened_mono_ns : l->looked_mono_ns) < LOOK_NS)
		return false;
	l->looked_mono_ns = now;
	return writer_retired(&l->w);
}

int
pool_lane_look(struct lane *l, uint64_t wall_ns)
{
	uint64_t now = pool_mono();

	l->looked_wall_ns = wall_ns;
	if (!pool_lane_retired(l, now))
		return 0;
	pool_lane_close(l, true);
	if (pool_lane_open(l) == 0)
		return 0;
	atomic_store(&pool.try_ns, now + RETRY_NS);
	return -ENOSYS;
}
