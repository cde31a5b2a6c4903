/* SPDX-License-Identifier: ISC */
/* jobs.c - the jobs in progress; the contract is in jobs.h */

#include "shm/jobs.h"

#include <string.h>

#define ID_MAX		sizeof(((struct lane_job *)0)->id)
#define HELD_SPINS	10000

_Static_assert(LANE_JOBS == 64, "jobs_late has a bit for each");

static struct lane_job table[LANE_JOBS];
static _Atomic uint32_t hashes[LANE_JOBS];
_Atomic uint64_t jobs_late;

/* FNV-1a: only saves looking at the other 63. */
static uint32_t
hash(const char *id, size_t len)
{
	uint32_t h = 2166136261u;

	while (len-- > 0)
		h = (h ^ (uint8_t)*id++) * 16777619u;
	return h;
}

static bool
slot_take(struct lane_job *j, uint32_t from)
{
	return atomic_compare_exchange_strong(&j->state, &from,
	    LANE_JOB_BUSY);
}

/* Gives a taken slot back, set or free, and has it copied. */
static void
slot_give(struct lane_job *j, uint32_t state)
{
	atomic_store_explicit(&j->state, state, memory_order_release);
	atomic_fetch_or(&jobs_late, (uint64_t)1 << (j - table));
}

/* A slot that is being copied is set again in a moment. */
static bool
slot_take_set(struct lane_job *j)
{
	unsigned spins = HELD_SPINS;

	while (!slot_take(j, LANE_JOB_SET))
		if (atomic_load(&j->state) == LANE_JOB_FREE || spins-- == 0)
			return false;
	return true;
}

static struct lane_job *
slot_find(const char *id, uint32_t len, uint32_t h)
{
	struct lane_job *j;

	for (j = table; j < table + LANE_JOBS; j++) {
		if (atomic_load(&hashes[j - table]) != h ||
		    atomic_load(&j->state) == LANE_JOB_FREE ||
		    !slot_take_set(j))
			continue;
		if (j->len == len && memcmp(j->id, id, len) == 0)
			return j;
		atomic_store(&j->state, LANE_JOB_SET);
	}
	return NULL;
}

static struct lane_job *
slot_new(const char *id, uint32_t len, uint32_t h)
{
	struct lane_job *j;

	for (j = table; j < table + LANE_JOBS; j++) {
		if (!slot_take(j, LANE_JOB_FREE))
			continue;
		atomic_store(&hashes[j - table], h);
		j->len = len;
		memcpy(j->id, id, len);
		j->received_mono_ns = j->started_mono_ns = 0;
		j->received_wall_ns = 0;
		return j;
	}
	return NULL;
}

/* Whole microseconds: more would be noise in every record. */
static double
ms_since(uint64_t from, uint64_t to)
{
	if (from == 0 || to < from)
		return -1;
	return (double)((to - from) / 1000) / 1000;
}

struct jobs_times
jobs_note(enum jobs_event event, const char *id, size_t len, uint64_t mono_ns,
    uint64_t wall_ns)
{
	struct jobs_times t = { .queue_ms = -1, .duration_ms = -1 };
	uint32_t n = (uint32_t)(len < ID_MAX ? len : ID_MAX);
	uint32_t h = hash(id, n);
	struct lane_job *j;

	if (event == JOBS_WENT_ON)
		return t;
	j = slot_find(id, n, h);
	if (j == NULL && event != JOBS_ENDED)
		j = slot_new(id, n, h);
	if (j == NULL)
		return t;
	switch (event) {
	case JOBS_RECEIVED:
		j->received_mono_ns = mono_ns;
		j->received_wall_ns = wall_ns;
		break;
	case JOBS_STARTED:
		if (j->received_wall_ns == 0)
			j->received_wall_ns = wall_ns;
		j->started_mono_ns = mono_ns;
		t.queue_ms = ms_since(j->received_mono_ns, mono_ns);
		break;
	case JOBS_WENT_ON:
		break;
	case JOBS_ENDED:
		t.duration_ms = ms_since(j->started_mono_ns != 0 ?
		    j->started_mono_ns : j->received_mono_ns, mono_ns);
		break;
	}
	slot_give(j, event == JOBS_ENDED ? LANE_JOB_FREE : LANE_JOB_SET);
	return t;
}

unsigned
jobs_count(void)
{
	unsigned i, n = 0;

	for (i = 0; i < LANE_JOBS; i++)
		n += atomic_load(&table[i].state) != LANE_JOB_FREE;
	return n;
}

void
jobs_forget(void)
{
	unsigned i;

	for (i = 0; i < LANE_JOBS; i++)
		atomic_store(&table[i].state, LANE_JOB_FREE);
	atomic_store(&jobs_late, 0);
}

static void
mirror(struct writer *w, unsigned i)
{
	struct lane_job *j = &table[i], *out = &w->jobs[i];

	if (atomic_load(&j->state) == LANE_JOB_FREE) {
		atomic_store_explicit(&out->state, LANE_JOB_FREE,
		    memory_order_relaxed);
		return;
	}
	if (!slot_take(j, LANE_JOB_SET)) {
		/* Held: its holder marks it again, but perhaps did before. */
		atomic_fetch_or(&jobs_late, (uint64_t)1 << i);
		return;
	}
	atomic_store_explicit(&out->state, LANE_JOB_BUSY,
	    memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	out->len = j->len;
	out->received_mono_ns = j->received_mono_ns;
	out->started_mono_ns = j->started_mono_ns;
	out->received_wall_ns = j->received_wall_ns;
	memcpy(out->id, j->id, j->len);
	/* release: pairs with the acquire in reader_jobs() */
	atomic_store_explicit(&out->state, LANE_JOB_SET,
	    memory_order_release);
	atomic_store(&j->state, LANE_JOB_SET);
}

void
jobs_mirror_all(struct writer *w)
{
	unsigned i;

	for (i = 0; i < LANE_JOBS; i++)
		mirror(w, i);
}

void
jobs_mirror_marked(struct writer *w)
{
	uint64_t late = atomic_exchange(&jobs_late, 0);
	unsigned i = 0;

	for (; late != 0; late >>= 1, i++) {
		if (late & 1)
			mirror(w, i);
	}
}
