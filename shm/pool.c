/* SPDX-License-Identifier: ISC */
/* pool.c - the lanes of this process; the contract is in pool.h */

#include "shm/pool.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/jobs.h"
#include "shm/pool_lane.h"
#include "shm/ring.h"

#define SPINS_LONG	20000		/* for what is rare: about 0.5 ms */
#define REBALANCE_AFTER	64		/* collisions on a shared lane */

struct pool pool;
static _Thread_local struct lease lease_own;
static pthread_key_t lease_key;
static pthread_once_t lease_once = PTHREAD_ONCE_INIT;
static int lease_error;

static inline void
relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static bool
lock_try(_Atomic uint32_t *lock)
{
	/* acquire: pairs with the release in lock_give() */
	return atomic_load_explicit(lock, memory_order_relaxed) == 0 &&
	    atomic_exchange_explicit(lock, 1, memory_order_acquire) == 0;
}

static bool
lock_spin(_Atomic uint32_t *lock, unsigned spins)
{
	while (!lock_try(lock)) {
		if (spins-- == 0)
			return false;
		relax();
	}
	return true;
}

static void
lock_give(_Atomic uint32_t *lock)
{
	atomic_store_explicit(lock, 0, memory_order_release);
}

static bool
is_open(const struct lane *l)
{
	return atomic_load_explicit(&l->open, memory_order_acquire) != 0;
}

struct lease *
pool_lease(void)
{
	return &lease_own;
}

/* ---- once per process ---- */

/* A thread ends: its lane goes back. */
static void
lease_end(void *p)
{
	struct lease *lease = p;

	if (lease->lane != NULL &&
	    lease->epoch == atomic_load(&pool.epoch) &&
	    atomic_load(pool.fork_word) == POOL_READY)
		atomic_fetch_sub(&lease->lane->users, 1);
	lease->lane = NULL;
}

static void
forked_child(void)
{
	atomic_store(pool.fork_word, POOL_FORKED);
}

static void
init_once(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	p = mmap(NULL, page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		lease_error = -ENOMEM;
		return;
	}
	pool.fork_word = p;
	atomic_store(pool.fork_word, POOL_READY);
	/* Kernels before 4.14 and some sandboxes: a handler does what it can. */
	if (madvise(p, page, MADV_WIPEONFORK) < 0)
		lease_error = -pthread_atfork(NULL, NULL, forked_child);
	if (lease_error == 0)
		lease_error = -pthread_key_create(&lease_key, lease_end);
}

int
pool_init(void)
{
	pthread_once(&lease_once, init_once);
	return lease_error;
}

/* ---- leases ---- */

static struct lane *
least_used(void)
{
	struct lane *l, *best = NULL;

	for (l = pool.lane; l < pool.lane + POOL_LANES; l++) {
		if (is_open(l) && (best == NULL ||
		    atomic_load(&l->users) < atomic_load(&best->users)))
			best = l;
	}
	return best;
}

/* Mapped before it is needed: counting opens no file. */
static void
ctl_find(void)
{
	const struct pool_conf *c = &pool.conf;

	atomic_store(&pool.ctl, ring_ctl_map(c->sys, c->ring_dir,
	    c->ring_owner));
}

/* One more lane, if one may be tried for now.  Under pool.opening. */
static struct lane *
open_another(void)
{
	struct lane *l;
	uint64_t now = pool_mono();

	if (now < atomic_load(&pool.try_ns))
		return NULL;
	for (l = pool.lane; l < pool.lane + POOL_LANES; l++)
		if (!is_open(l) && lock_try(&l->lock))
			break;
	if (l == pool.lane + POOL_LANES)
		return NULL;
	if (pool_lane_open(l) < 0) {
		atomic_store(&pool.try_ns, now + RETRY_NS);
		lock_give(&l->lock);
		if (atomic_load(&pool.ctl) == NULL)
			ctl_find();
		return NULL;
	}
	lock_give(&l->lock);
	return l;
}

/* A lane nobody has, else a new one, else the one fewest have. */
static struct lane *
choose(void)
{
	bool mine = lock_spin(&pool.opening, SPINS_LONG);
	struct lane *l = least_used(), *other;

	/* Somebody opens for long: whatever there is serves for now. */
	if (mine && (l == NULL || atomic_load(&l->users) > 0)) {
		other = open_another();
		if (other != NULL)
			l = other;
	}
	if (l != NULL)
		atomic_fetch_add(&l->users, 1);
	if (mine)
		lock_give(&pool.opening);
	return l;
}

static void
lease_drop(struct lease *lease)
{
	if (lease->lane != NULL && lease->epoch == atomic_load(&pool.epoch))
		atomic_fetch_sub(&lease->lane->users, 1);
	lease->lane = NULL;
}

static void
lease_renew(struct lease *lease)
{
	lease_drop(lease);
	lease->contended = 0;
	lease->epoch = atomic_load(&pool.epoch);
	lease->lane = choose();
	if (lease->lane != NULL)
		(void)pthread_setspecific(lease_key, lease);
}

bool
pool_lock(struct lane *l, unsigned spins)
{
	if (!is_open(l) || !lock_spin(&l->lock, spins))
		return false;
	if (is_open(l))
		return true;
	lock_give(&l->lock);
	return false;
}

static struct lane *
try_all(unsigned spins)
{
	struct lane *l;

	for (l = pool.lane; l < pool.lane + POOL_LANES; l++)
		if (pool_lock(l, spins))
			return l;
	return NULL;
}

/*
 * All are held for long where their holders have no processor: they get this
 * one.  To yield is not enough where other processes want it as well.
 */
static struct lane *
take_late(const struct shm_sys *sys)
{
	struct lane *l = NULL;
	unsigned i;

	for (i = 0; l == NULL && i < POOL_YIELDS + POOL_NAPS; i++) {
		if (i < POOL_YIELDS)
			sys->yield(sys->arg);
		else
			sys->nap(sys->arg);
		l = try_all(0);
	}
	return l;
}

/* The own lane's lock is held by another thread: any lane will do. */
static struct lane *
take_any(struct lease *lease)
{
	struct lane *l;

	if (lease->lane != NULL && pool_lock(lease->lane, POOL_SPINS))
		return lease->lane;
	if (++lease->contended > REBALANCE_AFTER)
		lease_renew(lease);
	l = try_all(0);
	if (l == NULL)
		l = try_all(POOL_SPINS);
	if (l == NULL && least_used() != NULL)
		l = take_late(pool.conf.sys);
	return l;
}

static __attribute__((noinline)) struct lane *
take_slow(struct lease *lease, uint64_t wall_ns, uint32_t level, int *ret_r)
{
	struct lane *l;

	if (atomic_load(pool.fork_word) != POOL_READY)
		pool_settle();
	if (lease->lane == NULL || !is_open(lease->lane) ||
	    lease->epoch != atomic_load(&pool.epoch))
		lease_renew(lease);
	l = take_any(lease);
	if (l == NULL && least_used() == NULL) {
		*ret_r = -ENOSYS;
		return NULL;
	}
	if (l == NULL) {
		pool_lose(level, wall_ns);
		*ret_r = -EAGAIN;
		return NULL;
	}
	if (pool_lane_look(l, wall_ns) < 0) {
		lock_give(&l->lock);
		*ret_r = -ENOSYS;
		return NULL;
	}
	return l;
}

static bool
look_due(const struct lane *l, uint64_t wall_ns)
{
	/* Unsigned: a clock set back is due as well. */
	return wall_ns - l->looked_wall_ns > LOOK_NS ||
	    atomic_load_explicit(&l->w.agent->retired,
	    memory_order_relaxed) != 0;
}

struct lane *
pool_take(struct lease *lease, uint64_t wall_ns, uint32_t level, int *ret_r)
{
	struct lane *l = lease->lane;

	if (l != NULL &&
	    atomic_load_explicit(pool.fork_word, memory_order_relaxed) ==
	    POOL_READY && lease->epoch == atomic_load_explicit(&pool.epoch,
	    memory_order_relaxed) && lock_try(&l->lock)) {
		if (is_open(l) && !look_due(l, wall_ns))
			goto taken;
		lock_give(&l->lock);
	}
	l = take_slow(lease, wall_ns, level, ret_r);
	if (l == NULL)
		return NULL;
taken:
	if (atomic_load_explicit(&pool.lost_any, memory_order_relaxed) != 0)
		pool_lane_losses(l);
	return l;
}

void
pool_give(struct lane *l)
{
	if (l == &pool.lane[0])
		jobs_mirror_late(&l->w);
	lock_give(&l->lock);
}

void
pool_no_lane(void)
{
	const struct shm_sys *sys = pool.conf.sys;
	struct ring_ctl *ctl = atomic_load(&pool.ctl);

	atomic_fetch_add(&pool.no_lane, 1);
	if (ctl == NULL)
		return;
	/* The time first: the agent tells of a count when it is a while old. */
	(void)sys->poke(sys->arg, &ctl->no_lane_last_ns,
	    sys->wall_ns(sys->arg));
	(void)sys->count(sys->arg, &ctl->no_lane);
}

/* ---- the whole ---- */

static void
pool_start(void)
{
	atomic_store(&pool.ctl, NULL);
	lock_spin(&pool.lane[0].lock, SPINS_LONG);
	if (pool_lane_open(&pool.lane[0]) < 0)
		atomic_store(&pool.try_ns, pool_mono() + RETRY_NS);
	lock_give(&pool.lane[0].lock);
	ctl_find();
}

void
pool_open(const struct pool_conf *conf)
{
	pool.conf = *conf;
	atomic_store(&pool.try_ns, 0);
	atomic_fetch_add(&pool.epoch, 1);
	pool_start();
}

void
pool_close(void)
{
	struct lane *l;

	atomic_fetch_add(&pool.epoch, 1);
	for (l = pool.lane; l < pool.lane + POOL_LANES; l++) {
		if (pool_lock(l, SPINS_LONG)) {
			pool_lane_close(l, true);
			lock_give(&l->lock);
		}
		atomic_store(&l->users, 0);
	}
	ring_ctl_unmap(pool.conf.sys, atomic_exchange(&pool.ctl, NULL));
}

static void
forget(struct lane *l)
{
	if (atomic_load(&l->open) != 0)
		writer_forget(&l->w);
	atomic_store(&l->open, 0);
	atomic_store(&l->users, 0);
	atomic_store(&l->gap, 0);
	atomic_store(&l->lock, 0);
}

void
pool_settle(void)
{
	uint32_t word = POOL_FORKED;
	unsigned i, spins = SPINS_LONG;

	if (!atomic_compare_exchange_strong(pool.fork_word, &word,
	    POOL_RESETTING)) {
		/* Another thread of the child is at it. */
		while (atomic_load(pool.fork_word) != POOL_READY &&
		    spins-- > 0)
			relax();
		return;
	}
	for (i = 0; i < POOL_LANES; i++)
		forget(&pool.lane[i]);
	for (i = 0; i < LANE_SEVERITIES; i++)
		atomic_store(&pool.lost[i], 0);
	atomic_store(&pool.lost_first_ns, 0);
	atomic_store(&pool.lost_any, 0);
	atomic_store(&pool.opening, 0);
	atomic_store(&pool.try_ns, 0);
	atomic_store(&pool.written, 0);
	atomic_store(&pool.refused, 0);
	atomic_store(&pool.no_lane, 0);
	atomic_store(&pool.oversize, 0);
	atomic_store(&pool.shortened, 0);
	atomic_store(&pool.redacted, 0);
	jobs_forget();
	/* Leases of the parent are void; odd stays odd. */
	atomic_fetch_add(&pool.epoch, 2);
	if (atomic_load(&pool.epoch) % 2 != 0)
		pool_start();
	atomic_store(pool.fork_word, POOL_READY);
}

void
pool_exit(bool clean)
{
	struct lane *l;

	if (pool.fork_word == NULL ||
	    atomic_load(pool.fork_word) != POOL_READY)
		return;
	for (l = pool.lane; l < pool.lane + POOL_LANES; l++) {
		if (!pool_lock(l, POOL_SPINS))
			continue;
		pool_lane_losses(l);
		if (clean)
			atomic_store_explicit(&l->w.prod->closed, 1,
			    memory_order_release);
		pool_give(l);
	}
}

void
pool_stats(struct emplog_stats *ret_stats)
{
	struct emplog_stats st = {
		.written = atomic_load(&pool.written),
		.refused = atomic_load(&pool.refused),
		.no_lane = atomic_load(&pool.no_lane),
		.oversize = atomic_load(&pool.oversize),
		.shortened = atomic_load(&pool.shortened),
		.redacted = atomic_load(&pool.redacted),
	};
	struct lane *l;
	unsigned i;

	for (i = 0; i < LANE_SEVERITIES; i++)
		st.refused += atomic_load(&pool.lost[i]);
	for (l = pool.lane; l < pool.lane + POOL_LANES; l++) {
		if (!pool_lock(l, SPINS_LONG))
			continue;
		pool_lane_stats(&st, l->w.prod);
		st.lanes++;
		lock_give(&l->lock);
	}
	*ret_stats = st;
}
