/* SPDX-License-Identifier: ISC */
/* writer.c - the raw producer's side of a lane; the contract is in writer.h */

#include "shm/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "shm/ring.h"

#define WARM_LINES	5u	/* of 64 bytes: a usual record */
#define RACES_MAX	32	/* naps while others give up room */

/* A lane being made. */
struct making {
	const struct shm_sys	*sys;
	const struct writer_conf *conf;
	const char		*dir;
	uint64_t		 room;		/* of the directory */
	uint64_t		 data_bytes;
	uint32_t		 flags;
	int			 fd;
	void			*base;
	uint8_t			 id[LANE_ID_LEN];
	char			 tmp[256];
};

static uint64_t
mapped_bytes(uint64_t data_bytes)
{
	return LANE_CONTROL_BYTES + 2 * data_bytes;
}

static int
make_names(struct making *mk, char *ret_path, size_t cap)
{
	char hex[2 * LANE_ID_LEN + 1];
	unsigned i;
	int n, r;

	r = mk->sys->random(mk->sys->arg, mk->id, sizeof(mk->id));
	if (r < 0)
		return r;
	for (i = 0; i < LANE_ID_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", mk->id[i]);
	n = snprintf(ret_path, cap, "%s/%s.lane", mk->dir, hex);
	if (n < 0 || (size_t)n >= cap)
		return -ENAMETOOLONG;
	n = snprintf(mk->tmp, sizeof(mk->tmp), "%s/.tmp-%s", mk->dir, hex);
	return n < 0 || (size_t)n >= sizeof(mk->tmp) ? -ENAMETOOLONG : 0;
}

/*
 * Half of the ring goes to lanes of full size; of the rest each takes a 32nd
 * of what is left, so that a hundred producers find room.
 */
static bool
fits(const struct making *mk, uint64_t used, uint64_t data)
{
	if (used + LANE_CONTROL_BYTES + data > mk->room)
		return false;
	return used < mk->room / 2 || data <= (mk->room - used) / 32 ||
	    data == LANE_DATA_MIN || mk->conf->lane_bytes > 0;
}

/*
 * The lock first: whoever finds the file may judge it by that from here on.
 * The budget is looked at with our own file in it, by its size and before it
 * takes memory, so that a hundred producers starting at once stay within it
 * together.
 */
static int
make_file(struct making *mk)
{
	const struct shm_sys *sys = mk->sys;
	uint64_t bytes = LANE_CONTROL_BYTES + mk->data_bytes, used;
	int r;

	r = sys->lock(sys->arg, mk->fd);
	if (r == 0)
		r = sys->fchmod(sys->arg, mk->fd, 0660);
	if (r == 0 && sys->file_limit(sys->arg) < bytes)
		r = -EFBIG;	/* SIGXFSZ would end the program */
	if (r == 0)
		r = sys->resize(sys->arg, mk->fd, bytes);
	if (r < 0)
		return r;
	used = ring_used(sys, mk->dir);
	if (!fits(mk, used > bytes ? used - bytes : 0, mk->data_bytes))
		return -EBUSY;
	return sys->fallocate(sys->arg, mk->fd, bytes);
}

static void
head_fill(const struct making *mk)
{
	struct lane_head *h = mk->base;
	struct lane_agent *agent = (void *)((uint8_t *)mk->base +
	    LANE_AGENT_AT);

	memcpy(h->magic, LANE_MAGIC, sizeof(h->magic));
	h->version = LANE_VERSION;
	h->control_bytes = LANE_CONTROL_BYTES;
	h->data_bytes = mk->data_bytes;
	memcpy(h->id, mk->id, sizeof(h->id));
	h->pid = mk->sys->pid(mk->sys->arg);
	h->uid = mk->sys->uid(mk->sys->arg);
	h->created_ns = mk->sys->wall_ns(mk->sys->arg);
	h->flags = mk->flags;
	h->identity_len = mk->conf->identity_len;
	if (h->identity_len > 0)
		memcpy(h->identity, mk->conf->identity, h->identity_len);
	/* Until the agent says else, the first record knocks. */
	atomic_store_explicit(&agent->knock_at, 1, memory_order_relaxed);
}

static void
writer_fill(struct writer *w, const struct making *mk)
{
	uint8_t *base = mk->base;

	w->head = mk->base;
	w->prod = (void *)(base + LANE_PRODUCER_AT);
	w->agent = (void *)(base + LANE_AGENT_AT);
	w->marks = (void *)(base + LANE_MARKS_AT);
	w->jobs = (void *)(base + LANE_JOBS_AT);
	w->data = base + LANE_DATA_AT;
	w->data_bytes = mk->data_bytes;
	w->next_mark = mk->data_bytes / LANE_MARKS;
}

/* One try at one size.  On failure nothing of it is left. */
static int
make(struct writer *w, struct making *mk)
{
	const struct shm_sys *sys = mk->sys;
	struct shm_stat st;
	int r;

	r = make_names(mk, w->path, sizeof(w->path));
	if (r < 0)
		return r;
	mk->fd = sys->open(sys->arg, mk->tmp,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (mk->fd < 0)
		return mk->fd;
	r = make_file(mk);
	if (r == 0)
		r = sys->fstat(sys->arg, mk->fd, &st);
	if (r == 0)
		r = sys->map(sys->arg, mk->fd, LANE_CONTROL_BYTES,
		    mk->data_bytes, true, true, true, &mk->base);
	if (r < 0)
		goto fail;
	w->ino = st.ino;
	head_fill(mk);
	r = sys->rename(sys->arg, mk->tmp, w->path);
	if (r < 0)
		goto fail;
	writer_fill(w, mk);
	sys->close(sys->arg, mk->fd);	/* the mapping keeps the lock */
	return 0;
fail:
	if (mk->base != NULL)
		sys->unmap(sys->arg, mk->base, mapped_bytes(mk->data_bytes));
	mk->base = NULL;
	sys->unlink(sys->arg, mk->tmp);
	sys->close(sys->arg, mk->fd);
	return r;
}

/*
 * The largest that fits.  -ENOSPC: the file system is full; -EBUSY: the ring
 * is, perhaps only for now.
 */
static int
make_largest(struct writer *w, struct making *mk, uint64_t data)
{
	int r = -EBUSY;

	if (!fits(mk, ring_used(mk->sys, mk->dir), LANE_DATA_MIN))
		return r;
	for (; (r == -ENOSPC || r == -EBUSY) && data >= LANE_DATA_MIN;
	    data /= 2) {
		if (!fits(mk, ring_used(mk->sys, mk->dir), data))
			continue;
		mk->data_bytes = data;
		r = make(w, mk);
	}
	return r;
}

static int
open_in(struct writer *w, const struct writer_conf *conf, const char *dir,
    uint64_t max, uint32_t flags)
{
	struct making mk = { .sys = conf->sys, .conf = conf, .dir = dir,
	    .flags = flags };
	unsigned naps = conf->patient ? RACES_MAX : 0;
	uint64_t data;
	int r;

	r = ring_check(mk.sys, dir, conf->ring_owner, &w->made_ring);
	if (r < 0)
		return r;
	mk.room = ring_room(mk.sys, dir, max);
	data = ring_lane_bytes(mk.sys, dir, conf->lane_bytes);
	r = make_largest(w, &mk, data);
	/* Those that took the room a moment ago may have to give it back. */
	while (r == -EBUSY && naps-- > 0) {
		mk.sys->nap(mk.sys->arg);
		r = make_largest(w, &mk, data);
	}
	return r == -EBUSY ? -ENOSPC : r;
}

static int
open_on_disk(struct writer *w, const struct writer_conf *conf)
{
	char dir[256];
	int n;

	n = snprintf(dir, sizeof(dir), "%s/ring", conf->state_dir);
	if (n < 0 || (size_t)n >= sizeof(dir))
		return -ENAMETOOLONG;
	return open_in(w, conf, dir, conf->disk_max,
	    conf->flags | LANE_F_ON_DISK);
}

int
writer_open(struct writer *w, const struct writer_conf *conf)
{
	int r;

	*w = (struct writer){ .sys = conf->sys, .knock_fd = -1,
	    .knocked = UINT64_MAX };
	if (conf->identity_len > LANE_IDENTITY_MAX)
		return -EINVAL;
	r = open_in(w, conf, conf->ring_dir, conf->ring_max,
	    conf->flags & ~LANE_F_ON_DISK);
	if (r < 0 && (conf->state_dir == NULL || open_on_disk(w, conf) < 0)) {
		w->head = NULL;
		return r;
	}
	/* Without the FIFO the agent's timer finds the records. */
	w->knock_fd = ring_knock_open(w->sys, conf->ring_dir, &w->knock_ino);
	return 0;
}

void
writer_forget(struct writer *w)
{
	struct shm_stat st;

	if (w->knock_fd >= 0 &&
	    w->sys->fstat(w->sys->arg, w->knock_fd, &st) == 0 &&
	    st.ino == w->knock_ino)
		w->sys->close(w->sys->arg, w->knock_fd);
	w->knock_fd = -1;
	w->head = NULL;
}

/* No record and no refusal: nobody will ask for it. */
static bool
is_unused(const struct writer *w)
{
	uint64_t refused = 0;
	unsigned i;

	for (i = 0; i < LANE_SEVERITIES; i++)
		refused |= atomic_load_explicit(&w->prod->refused[i],
		    memory_order_relaxed);
	return w->at == 0 && refused == 0;
}

void
writer_close(struct writer *w, bool clean)
{
	void *base = w->head;

	if (base == NULL)
		return;
	if (clean) {
		/* release: the last record's bytes before the word */
		atomic_store_explicit(&w->prod->closed, 1,
		    memory_order_release);
		if (is_unused(w))
			w->sys->unlink(w->sys->arg, w->path);
	}
	writer_forget(w);
	w->sys->unmap(w->sys->arg, base, mapped_bytes(w->data_bytes));
}

/*
 * The agent's word is believed only when it lies between what it said before
 * and head: a wrong one may then lose records, never overrun.
 */
static void
tail_look(struct writer *w)
{
	uint64_t tail;

	/* acquire: pairs with the release in reader_set_tail() */
	tail = atomic_load_explicit(&w->agent->tail, memory_order_acquire);
	if (tail > w->tail && tail <= w->at)
		w->tail = tail;
}

uint8_t *
writer_lend(struct writer *w, uint64_t n, uint64_t reserve)
{
	uint64_t room = w->data_bytes - (w->at - w->tail);

	if (n > room || reserve > room - n) {
		tail_look(w);
		room = w->data_bytes - (w->at - w->tail);
		if (n > room || reserve > room - n)
			return NULL;
	}
	return w->data + (w->at & (w->data_bytes - 1));
}

/* head entered a stripe: its first record boundary is here. */
static void
mark_put(struct writer *w)
{
	uint64_t stripe = w->data_bytes / LANE_MARKS;
	struct lane_mark *m = &w->marks[(w->at / stripe) % LANE_MARKS];

	/* 0 is never valid: nobody pairs the old position with new records. */
	atomic_store_explicit(&m->pos, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&m->records, w->records, memory_order_relaxed);
	/* release: pairs with the acquire of pos in reader.c */
	atomic_store_explicit(&m->pos, w->at, memory_order_release);
	w->next_mark = (w->at / stripe + 1) * stripe;
}

static void
knock(struct writer *w, uint64_t at)
{
	w->knocked = at;
	if (w->knock_fd < 0)
		return;
	if (ring_knock(w->sys, w->knock_fd, w->knock_ino) == -EBADF) {
		w->knock_fd = -1;
		return;
	}
	atomic_fetch_add_explicit(&w->prod->knocks, 1, memory_order_relaxed);
}

/*
 * The agent has read these lines since we wrote them last, a lap ago: what
 * brings them back is under way before the next record needs them.
 */
static inline void
warm(const struct writer *w)
{
	const uint8_t *p = w->data + (w->at & (w->data_bytes - 1));
	unsigned i;

	for (i = 0; i < WARM_LINES; i++)
		__builtin_prefetch(p + i * 64, 1);
}

void
writer_publish(struct writer *w, uint64_t n, uint64_t records)
{
	uint64_t at;

	w->at += n;
	w->records += records;
	/* release: pairs with the acquire in reader_head() */
	atomic_store_explicit(&w->prod->head, w->at, memory_order_release);
	atomic_store_explicit(&w->prod->records, w->records,
	    memory_order_relaxed);
	if (w->at >= w->next_mark)
		mark_put(w);
	/*
	 * No fence between head and knock_at: it would cost as much as the
	 * record.  The agent's membarrier stands in for it, or its timer.
	 */
	atomic_signal_fence(memory_order_seq_cst);
	at = atomic_load_explicit(&w->agent->knock_at, memory_order_relaxed);
	if (w->at >= at && at != w->knocked)
		knock(w, at);
	warm(w);
}

bool
writer_retired(const struct writer *w)
{
	struct shm_stat st;

	if (atomic_load_explicit(&w->agent->retired, memory_order_relaxed))
		return true;
	return w->sys->lstat(w->sys->arg, w->path, &st) < 0 ||
	    st.ino != w->ino;
}
