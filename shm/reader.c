/* SPDX-License-Identifier: ISC */
/* reader.c - a lane seen from outside; the contract is in reader.h */

#include "shm/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "shm/guard.h"
#include "shm/reader_inner.h"

/* Pages are given back in steps no page size we run on is larger than. */
#define DROP_STEP	65536u

static struct lane_mark *
marks(const struct reader *r)
{
	return (struct lane_mark *)((uintptr_t)r->base + LANE_MARKS_AT);
}

static const uint8_t *
data(const struct reader *r)
{
	return (const uint8_t *)r->base + LANE_DATA_AT;
}

/* acquire: pairs with the release of writer_publish() */
static uint64_t
published(const struct reader *r)
{
	return atomic_load_explicit(&producer(r)->head, memory_order_acquire);
}

static uint64_t
record_max(const struct reader *r)
{
	uint64_t quarter = r->data_bytes / 4;

	return quarter < LANE_RECORD_MAX ? quarter : LANE_RECORD_MAX;
}

/* Did a fault meanwhile show that the file shrank? */
static void
look_for_holes(struct reader *r)
{
	uint64_t intact = guard_intact(r->guard);

	if (intact < r->intact)
		r->intact = intact;
	if (r->intact < r->mapped)
		r->spoiled = true;
}

int
reader_guard_install(void)
{
	return guard_install();
}

/* ---- attaching ---- */

static int
check_size(uint64_t size, uint64_t *ret_data_bytes)
{
	uint64_t n;

	if (size == 0)
		return -EAGAIN;
	if (size < LANE_DATA_AT + LANE_DATA_MIN ||
	    size > LANE_DATA_AT + LANE_DATA_MAX)
		return -EBADMSG;
	n = size - LANE_DATA_AT;
	if ((n & (n - 1)) != 0)
		return -EBADMSG;
	*ret_data_bytes = n;
	return 0;
}

static int
check_head(const struct lane_head *h, const struct reader *r,
    const struct shm_stat *st)
{
	static const char none[sizeof(h->magic)];

	if (memcmp(h->magic, none, sizeof(none)) == 0)
		return -EAGAIN;
	if (memcmp(h->magic, LANE_MAGIC, sizeof(h->magic)) != 0)
		return -EBADMSG;
	if (h->version != LANE_VERSION)
		return -EPROTO;
	if (h->control_bytes != LANE_CONTROL_BYTES ||
	    h->data_bytes != r->data_bytes ||
	    h->identity_len > LANE_IDENTITY_MAX)
		return -EBADMSG;
	return h->uid == st->uid ? 0 : -EPERM;
}

static int
take_head(struct reader *r, const struct shm_stat *st)
{
	struct lane_head h;
	int res;

	memcpy(&h, r->base, sizeof(h));
	/* The copy is what is checked and used: no second load behind it. */
	atomic_signal_fence(memory_order_seq_cst);
	look_for_holes(r);
	if (r->spoiled)
		return -EBADMSG;
	res = check_head(&h, r, st);
	if (res < 0)
		return res;
	memcpy(r->id, h.id, sizeof(r->id));
	r->flags = h.flags;
	r->pid = h.pid;
	r->uid = h.uid;
	r->created_ns = h.created_ns;
	r->ino = st->ino;
	r->identity_len = h.identity_len;
	memcpy(r->identity, h.identity, h.identity_len);
	return 0;
}

bool
reader_head_holds(struct reader *r)
{
	const struct lane_head *h = r->base;
	bool same;

	same = memcmp(h->magic, LANE_MAGIC, sizeof(h->magic)) == 0 &&
	    h->version == LANE_VERSION && h->data_bytes == r->data_bytes &&
	    h->control_bytes == LANE_CONTROL_BYTES && h->pid == r->pid &&
	    h->uid == r->uid && memcmp(h->id, r->id, sizeof(r->id)) == 0;
	look_for_holes(r);
	return same && !r->spoiled;
}

static int
map_lane(struct reader *r, int fd)
{
	int res;

	r->mapped = LANE_DATA_AT + r->data_bytes;
	r->intact = r->mapped;
	res = guard_install();
	if (res < 0)
		return res;
	res = r->sys->map(r->sys->arg, fd, LANE_CONTROL_BYTES, r->data_bytes,
	    false, r->writable, true, &r->base);
	if (res < 0) {
		r->base = NULL;
		return res;
	}
	r->guard = guard_add(r->base, r->mapped, r->writable);
	return r->guard < 0 ? r->guard : 0;
}

static int
attach_fd(struct reader *r, int fd)
{
	struct shm_stat st;
	int res;

	res = r->sys->fstat(r->sys->arg, fd, &st);
	if (res < 0)
		return res;
	if (!S_ISREG(st.mode))
		return -EPERM;
	res = check_size(st.size, &r->data_bytes);
	if (res < 0)
		return res;
	res = map_lane(r, fd);
	if (res < 0)
		return res;
	res = take_head(r, &st);
	if (res < 0)
		return res;
	res = r->sys->locked(r->sys->arg, fd);
	if (res < 0)
		return res;
	r->alive = res > 0;
	return 0;
}

bool
reader_has_name(const struct reader *r, const char *hex)
{
	char text[2 * LANE_ID_LEN + 1];
	unsigned i;

	for (i = 0; i < LANE_ID_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", r->id[i]);
	return memcmp(text, hex, 2 * LANE_ID_LEN) == 0;
}

int
reader_attach(struct reader *r, const struct shm_sys *sys, const char *path,
    bool writable)
{
	int fd, res;

	*r = (struct reader){ .sys = sys, .writable = writable, .guard = -1 };
	res = reader_moved(r, path);
	if (res < 0)
		return res;
	/* O_NONBLOCK: what pretends to be a lane may be a FIFO. */
	fd = sys->open(sys->arg, path, (writable ? O_RDWR : O_RDONLY) |
	    O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	res = attach_fd(r, fd);
	(void)sys->close(sys->arg, fd);
	if (res < 0)
		reader_detach(r);
	return res;
}

void
reader_detach(struct reader *r)
{
	if (r->base == NULL)
		return;
	guard_remove(r->guard);
	r->sys->unmap(r->sys->arg, r->base, r->mapped);
	r->base = NULL;
	r->guard = -1;
}

int
reader_moved(struct reader *r, const char *path)
{
	size_t n = strlen(path);

	if (n >= sizeof(r->path))
		return -ENAMETOOLONG;
	memcpy(r->path, path, n + 1);
	return 0;
}

/* ---- is it still there, is its process ---- */

int
reader_alive(struct reader *r)
{
	struct shm_stat st;
	int fd, res;

	fd = r->sys->open(r->sys->arg, r->path,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	res = r->sys->fstat(r->sys->arg, fd, &st);
	if (res == 0)
		res = st.ino != r->ino ? -ENOENT :
		    r->sys->locked(r->sys->arg, fd);
	(void)r->sys->close(r->sys->arg, fd);
	if (res >= 0)
		r->alive = res > 0;
	return res;
}

int
reader_check(struct reader *r)
{
	struct shm_stat st;
	int res;

	look_for_holes(r);
	res = r->sys->lstat(r->sys->arg, r->path, &st);
	if (res < 0)
		return res;
	if (!S_ISREG(st.mode) || st.ino != r->ino)
		return -ENOENT;
	if (st.size < r->intact)
		r->intact = st.size;
	if (r->intact < r->mapped) {
		r->spoiled = true;
		return -EFAULT;
	}
	return 0;
}

/* ---- positions ---- */

uint64_t
reader_head(struct reader *r, uint64_t from)
{
	uint64_t head = published(r);

	look_for_holes(r);
	if (r->spoiled)
		return from;
	if (head < from || head - from > r->data_bytes) {
		r->spoiled = true;
		return from;
	}
	return head;
}

/* The least valid mark in [least, head], head when there is none. */
static uint64_t
first_mark(const struct reader *r, uint64_t least, uint64_t head)
{
	uint64_t pos, best = head;
	unsigned i;

	for (i = 0; i < LANE_MARKS; i++) {
		/* acquire: pairs with the release in the writer's mark() */
		pos = atomic_load_explicit(&marks(r)[i].pos,
		    memory_order_acquire);
		if (pos >= least && pos < best)
			best = pos;
	}
	return best;
}

uint64_t
reader_tail(const struct reader *r)
{
	uint64_t head = published(r);
	uint64_t tail = relaxed(&agent(r)->tail);

	if (tail > head)
		return head;
	/* A lie: what is surely gone is passed over, the rest is taken. */
	if (head - tail > r->data_bytes)
		return first_mark(r, head - r->data_bytes, head);
	return tail;
}

bool
reader_is_sane(struct reader *r)
{
	uint64_t tail = relaxed(&agent(r)->tail), head = published(r);

	return reader_head_holds(r) && tail <= head &&
	    head - tail <= r->data_bytes && head <= LANE_POSITION_MAX;
}

uint64_t
reader_records(const struct reader *r)
{
	return relaxed(&producer(r)->records);
}

uint64_t
reader_records_at(const struct reader *r, uint64_t pos, uint64_t head)
{
	uint64_t n;
	unsigned i;

	if (pos == 0)
		return 0;
	if (pos == head)
		return reader_records(r);
	for (i = 0; i < LANE_MARKS; i++) {
		if (atomic_load_explicit(&marks(r)[i].pos,
		    memory_order_acquire) != pos)
			continue;
		n = relaxed(&marks(r)[i].records);
		/* Overwritten meanwhile?  Then n may be the next one's. */
		atomic_thread_fence(memory_order_acquire);
		return relaxed(&marks(r)[i].pos) == pos ? n : UINT64_MAX;
	}
	return UINT64_MAX;
}

uint64_t
reader_cut(struct reader *r, uint64_t from, uint64_t head, uint64_t max)
{
	uint64_t pos, near = from, far = head;
	unsigned i;

	if (head - from <= max)
		return head;
	for (i = 0; i < LANE_MARKS; i++) {
		/* acquire: pairs with the release in the writer's mark() */
		pos = atomic_load_explicit(&marks(r)[i].pos,
		    memory_order_acquire);
		if (pos <= from || pos >= head)
			continue;
		if (pos - from <= max && pos > near)
			near = pos;
		if (pos < far)
			far = pos;
	}
	look_for_holes(r);
	return near > from ? near : far;
}

void
reader_pieces(const struct reader *r, uint64_t from, uint64_t to,
    struct reader_piece ret[2])
{
	uint64_t at = from & (r->data_bytes - 1);
	uint64_t n = to - from;
	uint64_t first = r->data_bytes - at;

	if (first > n)
		first = n;
	ret[0] = (struct reader_piece){ data(r) + at, first };
	ret[1] = (struct reader_piece){ data(r), n - first };
}

/* ---- the agent's words ---- */

void
reader_set_tail(struct reader *r, uint64_t tail)
{
	/* release: pairs with the acquire in writer_lend() */
	atomic_store_explicit(&agent(r)->tail, tail, memory_order_release);
}

void
reader_set_knock(struct reader *r, uint64_t knock_at)
{
	atomic_store_explicit(&agent(r)->knock_at, knock_at,
	    memory_order_relaxed);
	/* pairs with the fence between head and knock_at in the writer */
	atomic_thread_fence(memory_order_seq_cst);
}

void
reader_retire(struct reader *r)
{
	atomic_store_explicit(&agent(r)->retired, 1, memory_order_release);
}

void
reader_drop(struct reader *r, uint64_t pos)
{
	uint64_t to = pos & ~(uint64_t)(DROP_STEP - 1);
	struct reader_piece piece[2];
	unsigned i;

	if (to <= r->dropped)
		return;
	if (to - r->dropped > r->data_bytes)
		r->dropped = to - r->data_bytes;
	reader_pieces(r, r->dropped, to, piece);
	for (i = 0; i < 2; i++) {
		if (piece[i].n > 0)
			r->sys->drop(r->sys->arg,
			    (void *)(uintptr_t)piece[i].p, piece[i].n);
	}
	r->dropped = to;
}

/* ---- observers ---- */

/* Behind it the producer may be writing now. */
static uint64_t
safe_from(const struct reader *r, uint64_t head)
{
	uint64_t behind = r->data_bytes - record_max(r);

	return head > behind ? head - behind : 0;
}

uint64_t
reader_oldest(struct reader *r)
{
	uint64_t head = published(r);
	uint64_t safe = safe_from(r, head);

	return safe == 0 ? 0 : first_mark(r, safe, head);
}

static void
copy_out(const struct reader *r, uint64_t from, uint64_t to, uint8_t *buf)
{
	struct reader_piece piece[2];

	reader_pieces(r, from, to, piece);
	memcpy(buf, piece[0].p, piece[0].n);
	memcpy(buf + piece[0].n, piece[1].p, piece[1].n);
	/* The bytes are loaded before head is looked at again. */
	atomic_thread_fence(memory_order_acquire);
}

size_t
reader_copy(struct reader *r, uint64_t *pos, uint8_t *buf, size_t cap,
    bool *ret_skipped)
{
	uint64_t head, to;
	unsigned tries;

	*ret_skipped = false;
	for (tries = 0; tries < 8; tries++) {
		head = published(r);
		if (*pos > head || *pos < safe_from(r, head)) {
			*pos = reader_oldest(r);
			*ret_skipped = true;
			continue;
		}
		to = reader_cut(r, *pos, head, cap);
		if (to == *pos || r->spoiled)
			return 0;
		if (to - *pos > cap) {
			*pos = to;
			*ret_skipped = true;
			continue;
		}
		copy_out(r, *pos, to, buf);
		if (*pos < safe_from(r, published(r)))
			continue;
		cap = to - *pos;
		*pos = to;
		return cap;
	}
	return 0;
}
