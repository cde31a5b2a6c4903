/* SPDX-License-Identifier: ISC */
/* queue.c - the calls of queue.h, the timer and the gauges */

#include "queue/queue.h"

#include <errno.h>

#include "queue/priv.h"

#include "banned.h"

#define SEGMENT_BYTES	(16u << 20)
#define SEGMENT_MIN	(64u << 10)
#define STAGING_BYTES	(4u << 20)
#define COMMIT_MS	200u
#define CALM_NS		(10 * SECOND_NS)

void
queue_check(const struct queue *q)
{
	must(q != NULL);
	must(q->magic == QUEUE_MAGIC);
}

bool
queue_is_passing_error(int res)
{
	return res == -EMFILE || res == -ENFILE || res == -ENOMEM ||
	    res == -EAGAIN || res == -EINTR;
}

bool
queue_is_full_error(int res)
{
	return res == -ENOSPC || res == -EDQUOT || res == -EFBIG;
}

char *
queue_path(const struct queue *q, char *path, const char *name)
{
	size_t n = strlen(q->conf.dir), m = strlen(name);

	must(m + 2 <= PATH_ROOM);
	memcpy(path, q->conf.dir, n);
	path[n] = '/';
	memcpy(path + n + 1, name, m + 1);
	return path;
}

/* ---- the timer: the earliest of five deadlines ---- */

static uint64_t
earliest(const struct queue *q)
{
	const uint64_t at[] = { q->commit_at, q->probe_at, q->trim_at,
	    q->age_at, q->calm_at };
	uint64_t min = UINT64_MAX;
	size_t i;

	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		if (at[i] != 0 && at[i] < min)
			min = at[i];
	return min;
}

void
queue_timer(struct queue *q)
{
	uint64_t at = earliest(q);

	if (!op_idle(&q->timer)) {
		if (at < q->timer_at)
			loop_cancel(q->env->loop, &q->timer);
		return;
	}
	/* At the end nothing waits for a time: queue_rest() is rid of it. */
	if (at == UINT64_MAX || q->closing)
		return;
	q->timer_at = at;
	loop_timer(q->env->loop, &q->timer, at);
}

static bool
due(uint64_t *at, uint64_t now)
{
	if (*at == 0 || *at > now)
		return false;
	*at = 0;
	return true;
}

static void
trim(struct queue *q)
{
	streams_age(q->streams, loop_wall(q->env->loop));
	if (q->w.state != W_IDLE)
		return;
	pages_free(&q->w.ckpt);
	for (int i = 0; i < 2; i++)
		if (q->group[i].len == 0)
			pages_free(&q->group[i].mem);
	reader_trim(q);
}

/* Looks whether what was full, failed or short is there again. */
static void
probe(struct queue *q, uint64_t now)
{
	bool was_full = q->j.spare == SPARE_FAILED, was_ready = flow_ready(q);

	if (now >= q->sick_until)
		q->sick_until = 0;
	if (was_full)
		q->j.spare = SPARE_NONE;
	reader_go(q);
	if ((q->refused && !was_full) || q->tell ||
	    (flow_ready(q) && !was_ready))
		queue_notify(q);
	janitor_go(q);
}

static void
told(struct queue *q, int error)
{
	q->told = error != 0;
	if (error == 0)
		q->well_ns = loop_now(q->env->loop);
	if (q->conf.trouble != NULL)
		q->conf.trouble(q->conf.notify_arg, QUEUE_WRITES, error);
}

static void
timer_done(struct op *op)
{
	struct queue *q = op->arg;
	uint64_t now = loop_now(q->env->loop);

	if (due(&q->commit_at, now))
		q->commit_due = true;
	if (due(&q->probe_at, now))
		probe(q, now);
	if (due(&q->trim_at, now))
		trim(q);
	if (due(&q->age_at, now))
		reader_go(q);
	if (due(&q->calm_at, now))
		told(q, 0);
	if (q->open || q->closing)
		writer_go(q);
	queue_gauges(q);
	queue_timer(q);
	queue_rest(q);
}

static void
kick_done(struct op *op)
{
	struct queue *q = op->arg;

	if (q->open || q->closing)
		writer_go(q);
	if (q->tell)
		queue_notify(q);
	queue_gauges(q);
	queue_rest(q);
}

bool
queue_has_room(const struct queue *q)
{
	return q->j.spare != SPARE_FAILED &&
	    loop_now(q->env->loop) >= q->sick_until;
}

void
queue_trouble(struct queue *q, int *which, int error)
{
	bool before = q->spare_trouble != 0 || q->write_trouble != 0;
	uint64_t now = loop_now(q->env->loop);
	int any;

	*which = error;
	any = q->write_trouble != 0 ? q->write_trouble : q->spare_trouble;
	ctr_set(&q->env->ctr, CTR_queue_disk_error, (uint64_t)-any);
	if (before == (any != 0))
		return;
	q->calm_at = 0;
	if (any != 0 && !q->told) {
		q->often = q->well_ns != 0 && now - q->well_ns < CALM_NS;
		told(q, any);
	} else if (any == 0 && q->often) {
		q->calm_at = now + CALM_NS;
		queue_timer(q);
	} else if (any == 0) {
		told(q, 0);
	}
}

void
queue_read_trouble(struct queue *q, int error)
{
	bool before = q->read_trouble != 0;

	q->read_trouble = error;
	if (before != (error != 0) && q->conf.trouble != NULL)
		q->conf.trouble(q->conf.notify_arg, QUEUE_READS, error);
}

/* While somebody waits for room or bytes, they are asked for once a second. */
void
queue_probe(struct queue *q)
{
	if (q->probe_at == 0 && !q->closing)
		q->probe_at = loop_now(q->env->loop) + SECOND_NS;
	queue_timer(q);
}

void
queue_kick(struct queue *q)
{
	if (op_idle(&q->kick))
		loop_timer(q->env->loop, &q->kick, loop_now(q->env->loop));
}

void
queue_notify(struct queue *q)
{
	q->tell = false;
	if (queue_has_room(q))
		q->refused = false;
	if (q->open && !q->closing && q->conf.notify != NULL)
		q->conf.notify(q->conf.notify_arg);
}

void
queue_gauges(struct queue *q)
{
	struct counters *c = &q->env->ctr;
	const struct segment *seg;
	uint64_t n = 0;

	for (seg = q->oldest; seg != NULL; seg = seg->next)
		n++;
	ctr_set(c, CTR_queue_segments, n);
	ctr_set(c, CTR_queue_bytes, segments_bytes(q));
	ctr_set(c, CTR_queue_held_frames, q->held.frames);
	ctr_set(c, CTR_queue_held_records, q->held.records);
	ctr_set(c, CTR_queue_held_bytes, q->held_bytes);
	ctr_set(c, CTR_queue_oldest_ns, queue_oldest_ns(q));
	ctr_set(c, CTR_queue_backlog_records,
	    q->front == NULL ? 0 : q->waiting.records);
}

/* ---- life ---- */

static uint32_t
or_default(uint32_t v, uint32_t def)
{
	return v != 0 ? v : def;
}

static void
take_conf(struct queue *q, const struct queue_conf *conf)
{
	struct queue_conf *c = &q->conf;

	*c = *conf;
	c->segment_bytes = or_default(c->segment_bytes, SEGMENT_BYTES);
	if (c->bytes_max > 0 && c->segment_bytes > c->bytes_max / 4)
		c->segment_bytes = (uint32_t)(c->bytes_max / 4);
	if (c->segment_bytes < SEGMENT_MIN)
		c->segment_bytes = SEGMENT_MIN;
	c->segment_bytes &= ~(uint32_t)(FRAME_BLOCK - 1);
	if (c->bytes_max == 0)
		c->bytes_max = UINT64_MAX;
	c->staging_bytes = or_default(c->staging_bytes, STAGING_BYTES);
	c->commit_ms = or_default(c->commit_ms, COMMIT_MS);
}

static int
alloc_paths(struct queue *q)
{
	size_t n = strlen(q->conf.dir) + PATH_ROOM;

	q->j.path = env_alloc(q->env, n);
	q->j.path2 = env_alloc(q->env, n);
	q->w.path = env_alloc(q->env, n);
	q->w.path2 = env_alloc(q->env, n);
	q->flow[0].r.path = env_alloc(q->env, n);
	q->flow[1].r.path = env_alloc(q->env, n);
	return q->j.path == NULL || q->j.path2 == NULL ||
	    q->w.path == NULL || q->w.path2 == NULL ||
	    q->flow[0].r.path == NULL || q->flow[1].r.path == NULL ?
	    -ENOMEM : 0;
}

int
queue_new(struct queue **ret_q, struct env *env, const struct queue_conf *conf)
{
	struct queue *q;
	int r;

	must(conf->dir != NULL);
	q = env_alloc(env, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	*q = (struct queue){ .magic = QUEUE_MAGIC, .env = env, .direct = true,
	    .dirfd = -1, .lock_fd = -1 };
	take_conf(q, conf);
	op_init(&q->kick, kick_done, q);
	op_init(&q->timer, timer_done, q);
	writer_init(q);
	janitor_init(q);
	flow_init(q);
	r = alloc_paths(q);
	if (r == 0)
		r = streams_new(&q->streams, env);
	if (r < 0)
		queue_free(&q);
	else
		*ret_q = q;
	return r;
}

void
queue_open(struct queue *q, void (*opened)(void *arg, int res), void *arg)
{
	int r;

	queue_check(q);
	must(!q->open && q->rec == NULL);
	q->opened = opened;
	q->opened_arg = arg;
	r = recover_start(q);
	if (r < 0)
		queue_opened(q, r);
}

/* What was opened on the way is closed again before the caller is told. */
static void
opening_failed(void *arg)
{
	struct queue *q = arg;
	void (*opened)(void *, int) = q->opened;
	void (*closed)(void *) = q->late_closed;
	void *closed_arg = q->late_arg;

	q->opened = NULL;
	q->closing = q->resting = false;
	opened(q->opened_arg, q->open_res);
	if (closed != NULL)		/* then q is there until it is told */
		closed(closed_arg);
}

void
queue_opened(struct queue *q, int res)
{
	void (*opened)(void *, int) = q->opened;

	must(opened != NULL);
	q->force_segment = false;
	if (res < 0 && !q->closing) {
		q->open_res = res;
		queue_close(q, opening_failed, q);
		return;
	}
	if (res < 0) {			/* closed by its user meanwhile */
		q->opened = NULL;
		opened(q->opened_arg, res);
		queue_rest(q);
		return;
	}
	q->opened = NULL;
	q->open = true;
	q->open_seq = q->settled;
	reader_go(q);
	queue_gauges(q);
	queue_timer(q);
	opened(q->opened_arg, 0);
	if (flow_ready(q))
		queue_notify(q);
}

void
queue_close(struct queue *q, void (*closed)(void *arg), void *arg)
{
	queue_check(q);
	if (q->closing) {		/* an open that failed closes already */
		must(q->opened != NULL && q->late_closed == NULL);
		q->late_closed = closed;
		q->late_arg = arg;
		return;
	}
	q->closing = true;
	q->closed = closed;
	q->closed_arg = arg;
	q->commit_due = q->fresh.n > 0;
	q->commit_at = q->probe_at = q->trim_at = q->age_at = 0;
	q->calm_at = 0;
	queue_kick(q);
}

bool
queue_has_work(const struct queue *q)
{
	return q->rec != NULL || q->w.state != W_IDLE ||
	    q->fill->puts != NULL || q->commit_due;
}

/* The last steps: machines at rest, descriptors closed, timers gone. */
void
queue_rest(struct queue *q)
{
	void (*closed)(void *) = q->closed;

	if (!q->closing || closed == NULL || queue_has_work(q))
		return;
	q->resting = true;
	if (q->cur != NULL)
		segment_seal(q);
	janitor_go(q);
	if (q->j.state != J_IDLE || !reader_close(q))
		return;
	if (!op_idle(&q->timer)) {
		loop_cancel(q->env->loop, &q->timer);
		return;
	}
	if (!op_idle(&q->kick))
		return;
	if (!op_idle(&q->w.op))
		return;
	if (q->lock_fd >= 0) {
		loop_close(q->env->loop, &q->w.op, q->lock_fd);
		q->lock_fd = -1;
		return;
	}
	if (q->dirfd >= 0) {
		loop_close(q->env->loop, &q->w.op, q->dirfd);
		q->dirfd = -1;
		return;
	}
	q->open = false;
	q->closed = NULL;
	closed(q->closed_arg);
}

struct queue_unread
queue_unread(const struct queue *q)
{
	queue_check(q);
	return q->unread;
}

void
queue_free(struct queue **qp)
{
	struct queue *q = *qp;

	if (q == NULL)
		return;
	queue_check(q);
	must(op_idle(&q->w.op) && op_idle(&q->j.op));
	must(op_idle(&q->timer) && op_idle(&q->kick) && q->rec == NULL);
	must(q->dirfd < 0 && q->lock_fd < 0);
	flow_fini(q);
	segments_free(q);
	ranges_fini(&q->done, q->env);
	ranges_fini(&q->fresh, q->env);
	ranges_fini(&q->flying, q->env);
	streams_free(&q->streams);
	pages_free(&q->group[0].mem);
	pages_free(&q->group[1].mem);
	pages_free(&q->w.ckpt);
	env_free(q->env, q->j.path);
	env_free(q->env, q->j.path2);
	env_free(q->env, q->w.path);
	env_free(q->env, q->w.path2);
	q->magic = 0;
	env_free(q->env, q);
	*qp = NULL;
}

/* ---- commit ---- */

void
queue_frame_done(struct queue *q, struct segment *seg, uint64_t seq,
    uint32_t records, uint64_t body_len, struct tally *why)
{
	must(seg->held.frames > 0 && q->held.frames > 0);
	seg->held.frames--;
	seg->held.records -= records;
	q->held.frames--;
	q->held.records -= records;
	q->held_bytes -= body_len;
	if (q->front != NULL && seq < q->split.seq) {
		q->waiting.frames--;
		q->waiting.records -= records;
	}
	why->frames++;
	why->records += records;
	/* Without memory to note it, it is delivered again after a crash. */
	(void)ranges_add(&q->done, q->env, seq, seq + 1);
	(void)ranges_add(&q->fresh, q->env, seq, seq + 1);
	queue_commit_soon(q);
}

/* At the end it is now, or, when all is written, with the next start. */
void
queue_commit_soon(struct queue *q)
{
	if (q->fresh.n == 0 || q->commit_due || q->resting)
		return;
	if (q->closing) {
		q->commit_due = true;
		queue_kick(q);
	} else if (q->commit_at == 0) {
		q->commit_at = loop_now(q->env->loop) +
		    q->conf.commit_ms * 1000000ull;
		queue_timer(q);
	}
}

/* ---- what it knows ---- */

bool
queue_is_settled(const struct queue *q)
{
	queue_check(q);
	return q->fresh.n == 0 && q->flying.n == 0;
}

struct streams *
queue_streams(struct queue *q)
{
	queue_check(q);
	return q->streams;
}

const uint8_t *
queue_id(const struct queue *q)
{
	queue_check(q);
	return q->id;
}

uint64_t
queue_held_frames(const struct queue *q)
{
	queue_check(q);
	return q->held.frames;
}

uint64_t
queue_held_records(const struct queue *q)
{
	queue_check(q);
	return q->held.records;
}

uint64_t
queue_bytes(const struct queue *q)
{
	queue_check(q);
	return segments_bytes(q);
}

uint64_t
queue_oldest_ns(const struct queue *q)
{
	uint64_t at;

	queue_check(q);
	if (q->held.frames == 0)
		return 0;
	at = flow_oldest_ns(q);
	if (at != 0)
		return at;
	if (q->w.fly != NULL && q->w.fly->put.frames > 0)
		return q->w.fly->first_ns;
	if (q->fill->put.frames > 0)
		return q->fill->first_ns;
	return ctr_get(&q->env->ctr, CTR_queue_oldest_ns);
}
