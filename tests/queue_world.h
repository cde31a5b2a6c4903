/* SPDX-License-Identifier: ISC */
/*
 * queue_world.h - one queue in a simulated world
 *
 * Shared by the tests of damage and of crash points.  The caller opens it,
 * with on_open() and is_open(), and closes it, with on_close() and
 * is_closed(); arg is the struct run.
 */
#ifndef EMPLOG_TESTS_QUEUE_WORLD_H
#define EMPLOG_TESTS_QUEUE_WORLD_H

#include "base/env.h"
#include "queue/queue.h"
#include "sim/sim.h"

struct run {
	struct sim	*sim;
	struct sim_host	*host;
	struct sim_proc	*proc;
	struct env	 env;
	struct queue	*q;
	struct queue_conf conf;
	int		 res;		/* of the open; 1: not yet */
	int		 put_res;	/* the test's */
	bool		 closed;
};

static inline void
on_open(void *arg, int res)
{
	((struct run *)arg)->res = res;
}

static inline void
on_close(void *arg)
{
	((struct run *)arg)->closed = true;
}

static inline bool
is_open(void *arg)
{
	return ((struct run *)arg)->res != 1;
}

static inline bool
is_closed(void *arg)
{
	return ((struct run *)arg)->closed;
}

/* A host with a process, no queue yet.  -ENOMEM. */
static inline int
run_world(struct run *r, const char *dir, uint32_t segment_bytes,
    uint64_t seed, const struct sim_faults *faults)
{
	int res;

	*r = (struct run){ .res = 1, .conf = { .dir = dir,
	    .segment_bytes = segment_bytes, .staging_bytes = 128u << 10 } };
	res = sim_new(&r->sim, seed, faults);
	if (res < 0)
		return res;
	r->host = sim_host_new(r->sim, "h");
	r->proc = sim_proc_new(r->host, "queue");
	return 0;
}

#endif
