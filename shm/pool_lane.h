/* SPDX-License-Identifier: ISC */
/*
 * pool_lane.h - one lane of the pool: opened, looked at, closed
 *
 * Used by:  pool.c; all but pool_lane_open() under the lane's lock.
 */
#ifndef EMPLOG_POOL_LANE_H
#define EMPLOG_POOL_LANE_H

#include "shm/pool.h"

#define LOOK_NS		1000000000u	/* between looks at a lane's file */
#define RETRY_NS	1000000000u	/* after an opening that failed */

static inline uint64_t
pool_mono(void)
{
	return pool.conf.sys->mono_ns(pool.conf.sys->arg);
}

/* 0, or -errno of writer_open(); under pool.opening or the lane's lock. */
int	 pool_lane_open(struct lane *l);
void	 pool_lane_close(struct lane *l, bool clean);
/*
 * Is it still the agent's?  If not, a new one takes its place; the old one is
 * closed cleanly, for this process goes on.  -ENOSYS: that could not be
 * opened.  A lane younger than a second is kept (the agent looks once more
 * after that long): an agent gone wrong cannot make us open one per record.
 */
int	 pool_lane_look(struct lane *l, uint64_t wall_ns);
/* Refusals that found no lane's lock go into this one's count. */
void	 pool_lane_losses(struct lane *l);
/* Adds what it has counted. */
void	 pool_lane_stats(struct emplog_stats *st,
	    const struct lane_producer *p);

#endif
