/* SPDX-License-Identifier: ISC */
/*
 * jobs.h - the jobs in progress of this process
 *
 * What:     up to LANE_JOBS, found by id, with the times that queue_ms and
 *           duration are told from.  The table here is the truth; the main
 *           lane holds a copy for the agent, which names these jobs when the
 *           process dies.
 * Used by:  shm/job.c (the API), shm/pool.c (a new main lane).
 * Never:    blocks: a slot is taken by CAS, and one that is held (it is being
 *           copied, mostly) is waited for some 100 us at most; a copy that
 *           finds the lane's lock held is made by whoever writes to that lane
 *           next.
 */
#ifndef EMPLOG_JOBS_H
#define EMPLOG_JOBS_H

#include "shm/writer.h"

enum jobs_event { JOBS_RECEIVED, JOBS_STARTED, JOBS_ENDED, JOBS_WENT_ON };

struct jobs_times {
	double	 queue_ms;	/* < 0: not known */
	double	 duration_ms;
};

/*
 * A job went on.  With the table full, or the slot held too long by another
 * thread, the times are not known.  id is cut at its slot's size.
 */
struct jobs_times jobs_note(enum jobs_event event, const char *id, size_t len,
	    uint64_t mono_ns, uint64_t wall_ns);
unsigned jobs_count(void);
void	 jobs_forget(void);

/* Under the main lane's lock: all of them into a new lane ... */
void	 jobs_mirror_all(struct writer *w);
/* ... those marked late ... */
void	 jobs_mirror_marked(struct writer *w);

extern _Atomic uint64_t jobs_late;	/* bit i: slot i is not copied yet */

/* ... which is nearly always none. */
static inline void
jobs_mirror_late(struct writer *w)
{
	if (atomic_load_explicit(&jobs_late, memory_order_relaxed) != 0)
		jobs_mirror_marked(w);
}

#endif
