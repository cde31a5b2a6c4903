/* SPDX-License-Identifier: ISC */
/* log.c - the way of one record into a lane; the contract is in log.h */

#include "shm/log.h"

#include <errno.h>
#include <string.h>

/* ---- refusals and the record that tells them ---- */

void
log_refuse(struct lane *l, uint32_t level, uint64_t bytes, uint64_t wall_ns)
{
	struct lane_producer *p = l->w.prod;

	if (atomic_load_explicit(&l->gap, memory_order_relaxed) == 0)
		atomic_store_explicit(&p->refused_first_ns, wall_ns,
		    memory_order_relaxed);
	atomic_store_explicit(&p->refused_last_ns, wall_ns,
	    memory_order_relaxed);
	atomic_fetch_add_explicit(&p->refused_bytes, bytes,
	    memory_order_relaxed);
	atomic_fetch_add_explicit(&p->refused[level], 1,
	    memory_order_relaxed);
	atomic_store_explicit(&l->gap, 1, memory_order_relaxed);
}

struct gap {
	uint64_t	 by_level[LANE_SEVERITIES];
	uint64_t	 total;
};

static void
gap_load(const struct lane_producer *p, struct gap *gap)
{
	uint64_t n;
	unsigned i;

	*gap = (struct gap){ .total = 0 };
	for (i = 0; i < LANE_SEVERITIES; i++) {
		n = atomic_load_explicit(&p->refused[i],
		    memory_order_relaxed) -
		    atomic_load_explicit(&p->told[i], memory_order_relaxed);
		/* told is also the agent's word: it may be wrong. */
		gap->by_level[i] = n < UINT64_MAX / 2 ? n : 0;
		gap->total += gap->by_level[i];
	}
}

static size_t
gap_fields(const struct lane_producer *p, const struct gap *gap,
    struct emplog_field *f)
{
	static const char *const key[] = { "refused_trace", "refused_debug",
	    "refused_info", "refused_warn", "refused_error",
	    "refused_fatal" };
	size_t n = 0;
	unsigned i;

	f[n++] = EMPLOG_STR("event_type", "emplog_gap");
	f[n++] = EMPLOG_UINT("refused", gap->total);
	for (i = 0; i < LANE_SEVERITIES; i++) {
		if (gap->by_level[i] > 0)
			f[n++] = EMPLOG_UINT(key[i], gap->by_level[i]);
	}
	f[n++] = EMPLOG_UINT("first_ms", atomic_load_explicit(
	    &p->refused_first_ns, memory_order_relaxed) / 1000000);
	f[n++] = EMPLOG_UINT("last_ms", atomic_load_explicit(
	    &p->refused_last_ns, memory_order_relaxed) / 1000000);
	return n;
}

static bool
gap_put(struct lane *l, const struct gap *gap, uint64_t wall_ns,
    uint64_t reserve)
{
	static const char text[] = "records refused: the lane was full";
	struct emplog_field f[4 + LANE_SEVERITIES];
	struct text_notes notes = { 0 };
	struct encode_in in = {
		.wall_ns = wall_ns,
		.level = EMPLOG_WARN,
		.message = text,
		.message_len = sizeof(text) - 1,
		.head = f,
		.n_head = gap_fields(l->w.prod, gap, f),
	};
	uint8_t *p, *end;
	uint64_t worst;
	size_t cap;

	worst = encode_worst(&in, LANE_RECORD_MAX, &cap);
	p = writer_lend(&l->w, worst, reserve);
	if (p == NULL)
		return false;
	end = encode_put(p, &in, cap, &notes);
	writer_publish(&l->w, (uint64_t)(end - p), 1);
	return true;
}

void
log_gap(struct lane *l, uint64_t wall_ns, uint64_t reserve)
{
	struct lane_producer *p = l->w.prod;
	uint32_t none = LANE_CLAIM_NONE;
	struct gap gap;
	unsigned i;

	/* Not claimed before there is room: the agent may be waiting to. */
	if (writer_lend(&l->w, 1024, reserve) == NULL ||
	    !atomic_compare_exchange_strong(&p->gap_claim, &none,
	    LANE_CLAIM_PRODUCER))
		return;
	gap_load(p, &gap);
	if (gap.total == 0 || gap_put(l, &gap, wall_ns, reserve)) {
		for (i = 0; i < LANE_SEVERITIES; i++)
			atomic_fetch_add_explicit(&p->told[i],
			    gap.by_level[i], memory_order_relaxed);
		atomic_store_explicit(&l->gap, 0, memory_order_relaxed);
	}
	/* release: told before the agent may claim */
	atomic_store_explicit(&p->gap_claim, LANE_CLAIM_NONE,
	    memory_order_release);
}

/* ---- one record ---- */

uint64_t
log_reserve(const struct writer *w, uint32_t level, bool job_end)
{
	if (job_end)
		return 0;
	return level < EMPLOG_WARN ? LOG_RESERVE(w->data_bytes) :
	    LOG_RESERVE_WARN(w->data_bytes);
}

uint64_t
log_record_max(const struct writer *w)
{
	return w->data_bytes / 4 < LANE_RECORD_MAX ? w->data_bytes / 4 :
	    LANE_RECORD_MAX;
}

static void
notes_count(struct lane_producer *p, const struct text_notes *notes)
{
	atomic_fetch_add_explicit(&p->shortened, notes->shortened,
	    memory_order_relaxed);
	atomic_fetch_add_explicit(&p->redacted, notes->redacted,
	    memory_order_relaxed);
}

/* Under the lane's lock. */
static int
lane_write(struct lane *l, const struct encode_in *in, bool job_end)
{
	struct text_notes notes = { 0 };
	struct writer *w = &l->w;
	uint64_t worst, limit = log_record_max(w);
	uint8_t *p, *end;
	size_t cap;

	worst = encode_worst(in, limit, &cap);
	if (worst > limit) {
		atomic_fetch_add_explicit(&w->prod->oversize, 1,
		    memory_order_relaxed);
		return -E2BIG;
	}
	p = writer_lend(w, worst, log_reserve(w, in->level, job_end));
	if (p == NULL) {
		log_refuse(l, in->level, worst, in->wall_ns);
		return -EAGAIN;
	}
	end = encode_put(p, in, cap, &notes);
	writer_publish(w, (uint64_t)(end - p), 1);
	if (notes.shortened + notes.redacted > 0)
		notes_count(w->prod, &notes);
	return 0;
}

/* What a full lane refused is printed only when it matters. */
static bool
printed(const struct emplog *log, uint32_t level, int r)
{
	if (log->console == EMPLOG_CONSOLE_ON)
		return true;
	return log->console == EMPLOG_CONSOLE_FALLBACK && r < 0 &&
	    (r == -ENOSYS || level >= EMPLOG_WARN);
}

/* Inline: once for emplog_log_at(), where each call counts, once for all. */
static inline __attribute__((always_inline)) int
put(struct emplog *log, const struct encode_in *in, bool job_end)
{
	struct lease *lease = pool_lease();
	struct lane *l;
	int r = 0;

	if (lease->busy) {
		pool_lose(in->level, in->wall_ns);
		return -EBUSY;
	}
	lease_enter(lease);
	l = pool_take(lease, in->wall_ns, in->level, &r);
	if (l != NULL) {
		if (atomic_load_explicit(&l->gap, memory_order_relaxed) != 0)
			log_gap(l, in->wall_ns, l->w.data_bytes / 4);
		r = lane_write(l, in, job_end);
		pool_give(l);
	} else if (r == -ENOSYS)
		pool_no_lane();
	lease_leave(lease);
	if (__builtin_expect(r < 0 || log->console == EMPLOG_CONSOLE_ON, 0) &&
	    printed(log, in->level, r))
		console_put(pool.conf.sys, in);
	return r;
}

int
log_write(struct emplog *log, struct encode_in *in, bool job_end)
{
	in->extra = log->extra;
	in->extra_len = log->extra_len;
	in->extra_pairs = log->extra_pairs;
	return put(log, in, job_end);
}

int
emplog_log_at(struct emplog *log, enum emplog_level level, uint64_t wall_ns,
    const char *message, size_t message_len,
    const struct emplog_field *fields, size_t n)
{
	struct encode_in in;

	if (log == NULL || (unsigned)level > EMPLOG_FATAL ||
	    (fields == NULL && n > 0))
		return -EINVAL;
	if (!log_wants(log, level))
		return 0;
	in = (struct encode_in){
		.wall_ns = wall_ns != 0 ? wall_ns :
		    pool.conf.sys->wall_ns(pool.conf.sys->arg),
		.level = level,
		.extra_len = log->extra_len,
		.message = message,
		.message_len = message == NULL ? 0 : message_len,
		.head = NULL,
		.n_head = 0,
		.fields = fields,
		.n = n,
		.extra = log->extra,
		.extra_pairs = log->extra_pairs,
	};
	return put(log, &in, false);
}

int
emplog_log(struct emplog *log, enum emplog_level level, const char *message,
    const struct emplog_field *fields, size_t n)
{
	return emplog_log_at(log, level, 0, message, emplog_len(message),
	    fields, n);
}
