/* SPDX-License-Identifier: ISC */
/* loan.c - a lane for another's encoder; the contract is in loan.h */

#include "shm/loan.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/pool_lane.h"

#define SPINS		20000u
#define LEAST_BYTES	(ENCODE_HEAD + 2)

enum { LOAN_FREE, LOAN_IDLE, LOAN_TAKEN };

struct loan {
	struct lane	 lane;		/* its lock: for the copy of the jobs
					   and for what replaces w */
	struct writer	 old;		/* head NULL: none */
	uint32_t	 state;		/* LOAN_*, under all.mutex */
	bool		 forked;	/* the mapping is zero pages */
	bool		 old_forked;
};

/* Lanes belong to the process; the mutex is for open and close alone. */
static struct {
	pthread_mutex_t	 mutex;
	struct loan	 loan[LOANS_MAX];
	struct pool_conf conf;
	unsigned	 out;		/* borrowers */
	_Atomic uint32_t died;
	/* of closed lanes */
	_Atomic uint64_t written, refused, oversize, shortened, redacted;
} all = { .mutex = PTHREAD_MUTEX_INITIALIZER };
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;

static struct loan *
main_loan(void)
{
	return &all.loan[0];
}

static bool
is_open(const struct lane *l)
{
	return atomic_load_explicit(&l->open, memory_order_acquire) != 0;
}

static uint64_t
wall(void)
{
	return all.conf.sys->wall_ns(all.conf.sys->arg);
}

static uint64_t
mono(void)
{
	return all.conf.sys->mono_ns(all.conf.sys->arg);
}

/* ---- fork ---- */

/*
 * In a child the parent's lanes are not mapped, but its borrower may be in
 * the middle of a record: zero pages take the place, and the next call finds
 * the record there.  Only plain system calls: other threads are gone.
 */
static void
forked_child(void)
{
	static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
	struct loan *l;

	all.mutex = fresh;
	jobs_forget();
	for (l = all.loan; l < all.loan + LOANS_MAX; l++) {
		atomic_store(&l->lane.lock, 0);
		if (!is_open(&l->lane) || l->forked)
			continue;
		l->forked = true;
		(void)mmap(l->lane.w.head, LANE_CONTROL_BYTES +
		    2 * l->lane.w.data_bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
		    -1, 0);
	}
}

static void
init_once(void)
{
	once_error = -pthread_atfork(NULL, NULL, forked_child);
}

/* ---- opening ---- */

static int
lane_open(struct loan *l)
{
	const struct pool_conf *c = &all.conf;
	bool first = l == main_loan();
	struct writer_conf conf = pool_writer_conf(c, first);
	int r;

	r = writer_open(&l->lane.w, &conf);
	if (r == -ENOSPC && !first) {
		/* Borrowers cannot share as the threads of pool.c do. */
		conf.ring_max += conf.ring_max / 4 * 3;
		conf.lane_bytes = LANE_DATA_MIN;
		if (c->state_dir[0] != '\0')
			conf.state_dir = c->state_dir;
		r = writer_open(&l->lane.w, &conf);
	}
	if (r < 0)
		return r;
	l->forked = false;
	l->lane.looked_mono_ns = l->lane.opened_mono_ns = mono();
	atomic_store(&l->lane.gap, 0);
	if (first)
		jobs_mirror_all(&l->lane.w);
	atomic_store_explicit(&l->lane.open, 1, memory_order_release);
	return 0;
}

/* The first lane if nobody has it, else a place for another. */
static struct loan *
place(void)
{
	struct loan *l;

	for (l = all.loan; l < all.loan + LOANS_MAX; l++)
		if (l->state != LOAN_TAKEN)
			return l;
	return NULL;
}

int
loan_open(struct loan **ret_loan, const struct pool_conf *conf)
{
	struct loan *l;
	int r = 0;

	pthread_once(&once, init_once);
	if (once_error != 0)
		return once_error;
	pthread_mutex_lock(&all.mutex);
	if (all.out == 0 && !is_open(&main_loan()->lane))
		all.conf = *conf;
	l = place();
	if (l == NULL)
		r = -EMFILE;
	else if (!is_open(&l->lane))
		r = lane_open(l);
	if (r == 0) {
		l->state = LOAN_TAKEN;
		all.out++;
		*ret_loan = l;
	}
	pthread_mutex_unlock(&all.mutex);
	return r;
}

/* ---- closing ---- */

static void
lane_unlock(struct loan *l)
{
	atomic_store_explicit(&l->lane.lock, 0, memory_order_release);
}

static void
stats_keep(const struct lane_producer *p)
{
	struct emplog_stats st = { 0 };

	pool_lane_stats(&st, p);
	atomic_fetch_add(&all.written, st.written);
	atomic_fetch_add(&all.refused, st.refused);
	atomic_fetch_add(&all.oversize, st.oversize);
	atomic_fetch_add(&all.shortened, st.shortened);
	atomic_fetch_add(&all.redacted, st.redacted);
}

/* A parent's lane is only forgotten. */
static void
leave(struct writer *w, bool forked, bool clean)
{
	void *base = w->head;

	if (base == NULL)
		return;
	if (!forked) {
		stats_keep(w->prod);
		writer_close(w, clean);
		return;
	}
	writer_forget(w);
	(void)munmap(base, LANE_CONTROL_BYTES + 2 * w->data_bytes);
}

void
loan_let_go(struct loan *l)
{
	leave(&l->old, l->old_forked, true);
	l->old.head = NULL;
}

static void
lane_close(struct loan *l, bool clean)
{
	const struct shm_sys *sys = all.conf.sys;

	loan_let_go(l);
	/* Held for as long as a copy of the jobs takes, by a thread that may
	   have lost its turn; this call may wait. */
	while (is_open(&l->lane) && !pool_lock(&l->lane, SPINS))
		sys->nap(sys->arg);
	atomic_store(&l->lane.open, 0);
	leave(&l->lane.w, l->forked, clean);
	l->lane.w.head = NULL;
	l->forked = false;
	lane_unlock(l);
}

void
loan_close(struct loan **loan, bool clean_always)
{
	struct loan *l = loan != NULL ? *loan : NULL;
	bool clean, last;

	if (l == NULL)
		return;
	pthread_mutex_lock(&all.mutex);
	last = --all.out == 0;
	clean = clean_always || !last ||
	    (jobs_count() == 0 && !atomic_load(&all.died));
	l->state = LOAN_IDLE;
	if (last || l != main_loan()) {
		lane_close(l, clean);
		l->state = LOAN_FREE;
	}
	/* The first one may be idle since long. */
	if (last && main_loan()->state == LOAN_IDLE) {
		lane_close(main_loan(), clean);
		main_loan()->state = LOAN_FREE;
	}
	pthread_mutex_unlock(&all.mutex);
	*loan = NULL;
}

/* ---- what is lent ---- */

uint8_t *
loan_data(const struct loan *l, uint64_t *ret_bytes)
{
	*ret_bytes = l->lane.w.data_bytes;
	return l->lane.w.data;
}

uint64_t
loan_at(const struct loan *l)
{
	return l->lane.w.at & (l->lane.w.data_bytes - 1);
}

uint64_t
loan_room(struct loan *l, uint32_t level, bool job_end)
{
	struct writer *w = &l->lane.w;
	uint64_t reserve = log_reserve(w, level, job_end), room;
	uint64_t most = log_record_max(w);

	if (!is_open(&l->lane))
		return 0;
	/* Looks at the tail only when what was free then is not enough. */
	if (writer_lend(w, most, reserve) != NULL)
		return most;
	room = w->data_bytes - (w->at - w->tail);
	return room > reserve ? room - reserve : 0;
}

uint64_t
loan_record_max(const struct loan *l)
{
	return log_record_max(&l->lane.w);
}

const uint8_t *
loan_identity(const struct loan *l, uint32_t *ret_len)
{
	const struct lane_head *h = l->lane.w.head;

	*ret_len = h->identity_len <= LANE_IDENTITY_MAX ? h->identity_len : 0;
	return h->identity;
}

const char *
loan_path(const struct loan *l)
{
	return l->lane.w.path;
}

bool
loan_made_ring(const struct loan *l)
{
	return l->lane.w.made_ring;
}

/* ---- jobs ---- */

/*
 * Their copy is in the first lane, whoever's thread this is.  Who finds the
 * lock held leaves it to its holder, who looks again after giving it back.
 */
static void
jobs_copy(void)
{
	struct loan *m = main_loan();
	unsigned tries = LANE_JOBS;

	while (atomic_load(&jobs_late) != 0 && tries-- > 0 &&
	    pool_lock(&m->lane, 0)) {
		if (!m->forked)
			jobs_mirror_late(&m->lane.w);
		lane_unlock(m);
	}
}

struct jobs_times
loan_note(enum jobs_event event, const char *id, size_t len)
{
	static const struct jobs_times unknown = { -1, -1 };
	struct jobs_times t;

	if (all.conf.sys == NULL)
		return unknown;
	t = jobs_note(event, id, len, mono(), wall());
	jobs_copy();
	return t;
}

/* Says to the table what the record says, and in the record what it knows. */
static uint64_t
job_note(const struct loan_record *rec, uint8_t *p, uint64_t wall_ns)
{
	struct jobs_times t;
	uint8_t *end = p + rec->bytes;

	t = jobs_note(rec->event, (const char *)p + rec->id_at,
	    (size_t)rec->id_len, mono(), wall_ns);
	if (!rec->fill)
		return rec->bytes;
	if (rec->event == JOBS_STARTED && t.queue_ms >= 0)
		end = encode_number(end, "queue_ms", t.queue_ms);
	else if (rec->event == JOBS_ENDED && t.duration_ms >= 0)
		end = encode_number(end, "duration", t.duration_ms);
	if (end > p + rec->bytes)
		encode_more(p, 1);
	return (uint64_t)(end - p);
}

/* ---- publishing ---- */

static bool
look_due(const struct loan *l, uint64_t wall_ns)
{
	return l->forked || wall_ns - l->lane.looked_wall_ns > LOOK_NS ||
	    atomic_load_explicit(&l->lane.w.agent->retired,
	    memory_order_relaxed) != 0;
}

static bool
must_move(struct loan *l, uint64_t wall_ns)
{
	if (l->forked)
		return true;
	l->lane.looked_wall_ns = wall_ns;
	return pool_lane_retired(&l->lane, mono());
}

static void
notes_count(struct lane_producer *p, const struct loan_record *rec)
{
	atomic_fetch_add_explicit(&p->shortened, rec->shortened,
	    memory_order_relaxed);
	atomic_fetch_add_explicit(&p->redacted, rec->redacted,
	    memory_order_relaxed);
}

static void
put(struct loan *l, const struct loan_record *rec, uint64_t bytes,
    uint64_t wall_ns)
{
	struct lane *lane = &l->lane;

	writer_publish(&lane->w, bytes, 1);
	if (rec->shortened + rec->redacted > 0)
		notes_count(lane->w.prod, rec);
	/* Behind the record, where others put it before: ours was there. */
	if (atomic_load_explicit(&lane->gap, memory_order_relaxed) != 0)
		log_gap(lane, wall_ns, lane->w.data_bytes / 4);
}

/*
 * A new lane, with the record that lies at the old one's head in it.  Gives
 * the lane's lock back.
 */
static int
move(struct loan *l, const struct loan_record *rec, uint64_t bytes,
    uint64_t wall_ns)
{
	struct writer *old = &l->old;
	uint8_t *to;
	int r;

	loan_let_go(l);
	*old = l->lane.w;
	l->old_forked = l->forked;
	atomic_store(&l->lane.open, 0);
	r = lane_open(l);
	lane_unlock(l);
	if (r < 0) {
		/* It is read to its end: better there than nowhere. */
		l->lane.w.head = NULL;
		if (!l->old_forked)
			writer_publish(old, bytes, 1);
		return -ENOSYS;
	}
	to = writer_lend(&l->lane.w, bytes, 0);
	if (to == NULL) {
		log_refuse(&l->lane, rec->level, bytes, wall_ns);
		return LOAN_MOVED;
	}
	memcpy(to, old->data + (old->at & (old->data_bytes - 1)), bytes);
	put(l, rec, bytes, wall_ns);
	return LOAN_MOVED;
}

static bool
is_sound(const struct loan_record *rec, const uint8_t *p)
{
	return rec->bytes >= LEAST_BYTES && rec->level < LANE_SEVERITIES &&
	    p[0] == 0x92 && p[1] == 0xd7 && p[2] == 0 && p[11] == 0xde &&
	    (!rec->job || (rec->id_at <= rec->bytes &&
	    rec->id_len <= rec->bytes - rec->id_at));
}

int
loan_publish(struct loan *l, const struct loan_record *rec)
{
	struct writer *w = &l->lane.w;
	uint64_t bytes = rec->bytes, wall_ns, more;
	uint8_t *p;

	if (!is_open(&l->lane))
		return -ENOSYS;
	more = rec->job ? LOAN_APPEND : 0;
	p = bytes > log_record_max(w) ? NULL : writer_lend(w, bytes + more,
	    log_reserve(w, rec->level, rec->job_end));
	wall_ns = wall();
	if (p == NULL) {
		log_refuse(&l->lane, rec->level, bytes, wall_ns);
		return -EAGAIN;
	}
	if (!is_sound(rec, p))
		return -EINVAL;
	encode_stamp(p, wall_ns);
	if (rec->job)
		bytes = job_note(rec, p, wall_ns);
	/* Held where jobs are being copied: then at the next record. */
	if (__builtin_expect(look_due(l, wall_ns), 0) &&
	    must_move(l, wall_ns) && pool_lock(&l->lane, SPINS))
		return move(l, rec, bytes, wall_ns);
	put(l, rec, bytes, wall_ns);
	if (rec->job)
		jobs_copy();
	return 0;
}

int
loan_refuse(struct loan *l, uint32_t level, bool job_end, uint64_t bytes)
{
	if (!is_open(&l->lane) || level >= LANE_SEVERITIES)
		return 0;
	if (writer_lend(&l->lane.w, bytes, log_reserve(&l->lane.w, level,
	    job_end)) != NULL)
		return 1;
	log_refuse(&l->lane, level, bytes, wall());
	return 0;
}

void
loan_oversize(struct loan *l)
{
	if (is_open(&l->lane))
		atomic_fetch_add_explicit(&l->lane.w.prod->oversize, 1,
		    memory_order_relaxed);
}

/* ---- the whole ---- */

void
loan_died(void)
{
	atomic_store(&all.died, 1);
}

void
loan_stats(struct emplog_stats *ret_stats)
{
	struct emplog_stats st = {
		.written = atomic_load(&all.written),
		.refused = atomic_load(&all.refused),
		.oversize = atomic_load(&all.oversize),
		.shortened = atomic_load(&all.shortened),
		.redacted = atomic_load(&all.redacted),
	};
	struct loan *l;

	pthread_mutex_lock(&all.mutex);
	for (l = all.loan; l < all.loan + LOANS_MAX; l++) {
		if (!pool_lock(&l->lane, SPINS))
			continue;
		if (!l->forked)
			pool_lane_stats(&st, l->lane.w.prod);
		st.lanes++;
		lane_unlock(l);
	}
	pthread_mutex_unlock(&all.mutex);
	*ret_stats = st;
}

/* As in emplog.c: an end by exit(3) is no death, unless jobs are left. */
__attribute__((destructor)) static void
exiting(void)
{
	struct loan *l;

	if (jobs_count() > 0 || atomic_load(&all.died))
		return;
	for (l = all.loan; l < all.loan + LOANS_MAX; l++) {
		if (!pool_lock(&l->lane, SPINS))
			continue;
		if (!l->forked)
			atomic_store_explicit(&l->lane.w.prod->closed, 1,
			    memory_order_release);
		lane_unlock(l);
	}
}
