/* SPDX-License-Identifier: ISC */
/*
 * reader_said.c - what the producer says beside its bytes: what it refused,
 * that it closed the lane, which jobs it has; see reader.h
 */

#include <string.h>

#include "shm/reader_inner.h"

/* A liar's counts are cut to this, so that sums of them never wrap. */
#define COUNT_MAX	((uint64_t)UINT32_MAX)

/* ---- gaps ---- */

static uint64_t
untold(const struct reader *r, struct reader_gap *ret)
{
	const struct lane_producer *p = producer(r);
	uint64_t refused, told, n;
	unsigned i;

	*ret = (struct reader_gap){ .total = 0 };
	for (i = 0; i < LANE_SEVERITIES; i++) {
		told = relaxed(&p->told[i]);
		refused = relaxed(&p->refused[i]);
		n = refused > told ? refused - told : 0;
		ret->by_severity[i] = n < COUNT_MAX ? n : COUNT_MAX;
		ret->total += ret->by_severity[i];
	}
	ret->first_ns = relaxed(&p->refused_first_ns);
	ret->last_ns = relaxed(&p->refused_last_ns);
	return ret->total;
}

static bool
claim(struct reader *r)
{
	_Atomic uint32_t *word = &producer(r)->gap_claim;
	uint32_t old = LANE_CLAIM_NONE;

	if (atomic_compare_exchange_strong(word, &old, LANE_CLAIM_AGENT))
		return true;
	/* An earlier agent's claim is ours; a dead producer's is void. */
	if (old == LANE_CLAIM_PRODUCER && r->alive)
		return false;
	return atomic_compare_exchange_strong(word, &old, LANE_CLAIM_AGENT);
}

int
reader_gap_claim(struct reader *r, struct reader_gap *ret)
{
	struct reader_gap gap;

	if (untold(r, &gap) == 0 || !claim(r))
		return 0;
	/* Again, now that nobody else changes told. */
	if (untold(r, &gap) == 0) {
		reader_gap_drop(r);
		return 0;
	}
	*ret = gap;
	return 1;
}

void
reader_gap_told(struct reader *r, const struct reader_gap *gap)
{
	unsigned i;

	for (i = 0; i < LANE_SEVERITIES; i++)
		atomic_fetch_add_explicit(&producer(r)->told[i],
		    gap->by_severity[i], memory_order_relaxed);
	reader_gap_drop(r);
}

void
reader_gap_drop(struct reader *r)
{
	/* release: told is written before the next one may claim */
	atomic_store_explicit(&producer(r)->gap_claim, LANE_CLAIM_NONE,
	    memory_order_release);
}

uint64_t
reader_refused(const struct reader *r)
{
	uint64_t n, sum = 0;
	unsigned i;

	for (i = 0; i < LANE_SEVERITIES; i++) {
		n = relaxed(&producer(r)->refused[i]);
		sum += n < COUNT_MAX ? n : COUNT_MAX;
	}
	return sum;
}

uint64_t
reader_refused_more(struct reader *r)
{
	uint64_t n = reader_refused(r), before = relaxed(&agent(r)->counted);

	if (n == before)
		return 0;
	atomic_store_explicit(&agent(r)->counted, n, memory_order_relaxed);
	return n > before ? n - before : 0;
}

/* ---- the producer's end and its jobs ---- */

bool
reader_closed(const struct reader *r)
{
	return atomic_load_explicit(&producer(r)->closed,
	    memory_order_acquire) == 1;
}

static bool
take_job(struct lane_job *from, struct reader_job *ret)
{
	struct lane_job job;

	/* acquire: pairs with the release that set it */
	if (atomic_load_explicit(&from->state, memory_order_acquire) !=
	    LANE_JOB_SET)
		return false;
	memcpy((void *)&job, (const void *)from, sizeof(job));
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&from->state, memory_order_relaxed) !=
	    LANE_JOB_SET || job.len > sizeof(job.id))
		return false;
	memcpy(ret->id, job.id, job.len);
	ret->id[job.len] = '\0';
	ret->received_wall_ns = job.received_wall_ns;
	ret->started = job.started_mono_ns != 0;
	return true;
}

unsigned
reader_jobs(const struct reader *r, struct reader_job *ret, unsigned max)
{
	struct lane_job *jobs;
	unsigned i, n = 0;

	jobs = (struct lane_job *)((uintptr_t)r->base + LANE_JOBS_AT);
	for (i = 0; i < LANE_JOBS && n < max; i++) {
		if (take_job(&jobs[i], &ret[n]))
			n++;
	}
	return n;
}
