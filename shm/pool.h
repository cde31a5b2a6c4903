/* SPDX-License-Identifier: ISC */
/*
 * pool.h - the lanes of this process, leased to its threads
 *
 * What:     up to POOL_LANES lanes.  A thread leases one at its first record
 *           and gives it back at its exit; threads beyond that share, so a
 *           lane is written under its lock, which is nearly always free.
 *           Lanes that the agent retired or somebody unlinked are replaced.
 * Used by:  shm/log.c, shm/jobs.c, shm/emplog.c.
 * Never:    blocks: a taken lock is spun on POOL_SPINS times, then any other
 *           lane serves, then the processor is given up POOL_YIELDS times
 *           for whoever holds them and slept away POOL_NAPS times, some 10 ms
 *           together, then the record is refused and counted.
 *           Never allocates from the heap once open.
 *
 * This is process-wide state, and the one place where shm/ keeps any: a lane
 * belongs to the process, whoever loads the library.
 *
 * Fork: the mappings are MADV_DONTFORK, so a child has none of them.  It sees
 * its fork word (MADV_WIPEONFORK) at 0, forgets the lanes and opens its own.
 */
#ifndef EMPLOG_POOL_H
#define EMPLOG_POOL_H

#include "shm/emplog.h"
#include "shm/writer.h"

#define POOL_LANES	8
#define POOL_SPINS	256
#define POOL_YIELDS	16
#define POOL_NAPS	10
#define POOL_TEXT_MAX	255

struct lane {
	_Alignas(64) _Atomic uint32_t lock;	/* 1: somebody writes */
	_Atomic uint32_t open;
	_Atomic uint32_t users;		/* leases */
	_Atomic uint32_t gap;		/* refusals not told; a hint */
	uint64_t	 looked_wall_ns; /* at retired and the file's name */
	uint64_t	 looked_mono_ns;
	uint64_t	 opened_mono_ns;
	struct writer	 w;
};

struct pool_conf {
	const struct shm_sys *sys;
	char		 ring_dir[POOL_TEXT_MAX + 1];
	char		 state_dir[POOL_TEXT_MAX + 1];	/* "": none */
	uint64_t	 lane_bytes;
	uint64_t	 ring_max;
	uint32_t	 ring_owner;
	uint32_t	 identity_len;
	uint8_t		 identity[LANE_IDENTITY_MAX];
};

struct pool {
	struct lane	 lane[POOL_LANES];
	struct pool_conf conf;
	_Atomic uint32_t epoch;		/* odd: open; leases of others are void */
	_Atomic uint32_t opening;	/* 1: somebody leases or opens */
	_Atomic uint32_t *fork_word;	/* POOL_* */
	_Atomic uint64_t try_ns;	/* monotonic: no opening before it */
	_Atomic int	 error;		/* of the last opening, 0 or -errno */
	_Atomic uint32_t made_ring;	/* 0700, by this process */
	struct ring_ctl	*_Atomic ctl;
	/* refused while no lane's lock was to be had; moved into the next */
	_Atomic uint64_t lost[LANE_SEVERITIES];
	_Atomic uint64_t lost_first_ns, lost_last_ns;
	_Atomic uint32_t lost_any;
	/* of closed lanes, and what no lane counts */
	_Atomic uint64_t written, refused, no_lane, oversize, shortened,
	    redacted;
};
#define POOL_FORKED	0u		/* just wiped */
#define POOL_RESETTING	1u
#define POOL_READY	2u

extern struct pool pool;

/* One per thread. */
struct lease {
	volatile uint32_t busy;		/* inside a call: see emplog.h */
	uint32_t	 epoch;
	uint32_t	 contended;
	struct lane	*lane;
};
struct lease *pool_lease(void);		/* the calling thread's */

/* Around what a signal handler of this thread must not come into. */
static inline void
lease_enter(struct lease *lease)
{
	lease->busy = 1;
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void
lease_leave(struct lease *lease)
{
	atomic_signal_fence(memory_order_seq_cst);
	lease->busy = 0;
}

/* Once per process, first; again is fine.  0, -ENOMEM, -EAGAIN. */
int	 pool_init(void);
/*
 * Opens the first lane.  That it cannot be had is no failure: pool.error
 * says why, and later calls try again.  conf is copied.
 */
void	 pool_open(const struct pool_conf *conf);
/* Closes all lanes cleanly.  No other call may be under way. */
void	 pool_close(void);
/* In a child after fork(): forgets what was the parent's. */
void	 pool_settle(void);

/*
 * Takes the calling thread's lane, or another one, locked; wall_ns is the
 * record's time.  NULL: *ret_r is -ENOSYS (there is none) or -EAGAIN (all
 * locks were held: counted as lost).  Ended by pool_give().
 */
struct lane *pool_take(struct lease *lease, uint64_t wall_ns, uint32_t level,
	    int *ret_r);
void	 pool_give(struct lane *lane);
/* A record found no lane's lock, or interrupted a call: counted. */
void	 pool_lose(uint32_t level, uint64_t wall_ns);
/* Takes one certain lane; spins at most spins times. */
bool	 pool_lock(struct lane *lane, unsigned spins);
/* A record was refused for want of any lane. */
void	 pool_no_lane(void);
/*
 * For exit(3): what is still to be counted or copied goes into the lanes;
 * they are left mapped, and marked closed cleanly when clean.
 */
void	 pool_exit(bool clean);
void	 pool_stats(struct emplog_stats *ret_stats);

#endif
