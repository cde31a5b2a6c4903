/* SPDX-License-Identifier: ISC */
/*
 * pool_lane.h - one lane of a process: opened, looked at, closed
 *
 * Used by:  pool.c; shm/loan.c, whose lanes are no pool's, what is not of the
 *           pool itself.  All but the opening under the lane's lock.
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

/*
 * How a lane is to be opened; the texts are c's.  The first may use the whole
 * ring and the disk behind it; the others only half of the ring, for one
 * program with many threads must not take the room from those that come after
 * it: its threads can share.
 */
struct writer_conf pool_writer_conf(const struct pool_conf *c, bool first);
/* 0, or -errno of writer_open(); under pool.opening or the lane's lock. */
int	 pool_lane_open(struct lane *l);
void	 pool_lane_close(struct lane *l, bool clean);
/*
 * Is it the agent's no more?  Looked for once a second, now is of the monotonic
 * clock.  A lane younger than that is kept (the agent looks once more after
 * that long): an agent gone wrong cannot make us open one per record.
 */
bool	 pool_lane_retired(struct lane *l, uint64_t now);
/*
 * One that is retired is closed cleanly, for this process goes on, and a new
 * one takes its place.  -ENOSYS: that could not be opened.
 */
int	 pool_lane_look(struct lane *l, uint64_t wall_ns);
/* Refusals that found no lane's lock go into this one's count. */
void	 pool_lane_losses(struct lane *l);
/* Adds what it has counted. */
void	 pool_lane_stats(struct emplog_stats *st,
	    const struct lane_producer *p);

#endif
