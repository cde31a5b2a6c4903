/* SPDX-License-Identifier: ISC */
/* write.c - groups of frames: launch, write, sync, then done or failed */

#include <errno.h>

#include "queue/priv.h"

#include "banned.h"

static void	 writer_done(struct op *op);

void
writer_init(struct queue *q)
{
	op_init(&q->w.op, writer_done, q);
	group_reset(&q->group[0]);
	group_reset(&q->group[1]);
	q->fill = &q->group[0];
}

/* ---- sealing a group ---- */

/* The frames of a group follow each other; its end is zeros. */
static void
group_seal(struct group *g, uint64_t generation, uint64_t off)
{
	size_t at, size, end = block_up(g->len);
	struct frame f;
	int r;

	for (at = 0; at < g->len; at += size) {
		r = frame_peek(g->mem.p + at, g->len - at, &f);
		must(r == 0);
		size = f.size;
		frame_seal(g->mem.p + at, generation, off + at);
	}
	must(end <= g->mem.cap);
	memset(g->mem.p + g->len, 0, end - g->len);
	g->len = end;
}

/* ---- the end of a group ---- */

static void
complete(struct queue_put *put, int res)
{
	struct queue_put *next;

	for (; put != NULL; put = next) {
		next = put->next;
		put->done(put, res);
	}
}

static void
end_opening(struct queue *q, int res)
{
	q->force_segment = false;
	if (q->opened != NULL)
		queue_opened(q, res);
}

/* Counts what the group brought to the segment. */
static void
enter_frames(struct queue *q, struct segment *seg, const struct group *g)
{
	seg->live += g->put.frames;
	seg->held.frames += g->put.frames;
	seg->held.records += g->put.records;
	seg->unread.frames += g->put.frames;
	seg->unread.records += g->put.records;
	seg->unread_bytes += g->body_bytes;
	if (g->put.frames > 0) {
		seg->has_data = true;
		seg->end_seq = g->first_seq + g->put.frames;
		q->settled = seg->end_seq;
		flow_mark(q);
	}
	q->ledger.put.frames += g->put.frames;
	q->ledger.put.records += g->put.records;
	ctr_add(&q->env->ctr, CTR_queue_put_frames, g->put.frames);
	ctr_add(&q->env->ctr, CTR_queue_put_records, g->put.records);
}

static void
enter_commits(struct queue *q)
{
	uint32_t i;

	for (i = 0; i < q->flying.n; i++)
		segments_committed(q, ranges_at(&q->flying, i)->from,
		    ranges_at(&q->flying, i)->to);
	ranges_clear(&q->flying);
}

static void
group_durable(struct queue *q)
{
	struct writer *w = &q->w;
	struct group *g = w->fly;
	struct segment *seg = q->cur;
	struct queue_put *puts = g->puts;
	bool was_ready = flow_ready(q);

	if (w->rotated) {
		seg->checkpointed = true;
		seg->data_off = w->off;
	}
	seg->end = seg->durable = w->off + g->len;
	if (seg->size < seg->end)
		seg->size = seg->end;
	if (!PLANTED(export_before_fsync))
		enter_frames(q, seg, g);
	enter_commits(q);
	reader_lend(q, g, seg, w->off);
	group_reset(g);
	w->fly = NULL;
	w->state = W_IDLE;
	w->failures = 0;
	end_opening(q, 0);
	complete(puts, 0);
	reader_go(q);
	if (q->tell || (q->refused && queue_has_room(q)) ||
	    (flow_ready(q) && !was_ready))
		queue_notify(q);
	janitor_go(q);
	queue_commit_soon(q);		/* more than one frame holds */
	writer_go(q);
	queue_gauges(q);
}

/* Takes the group's frames back out of everything put() entered. */
static void
take_back(struct queue *q, struct group *g)
{
	struct queue_put *put;

	for (put = g->puts; put != NULL; put = put->next)
		streams_remove(q->streams, put->stream, put->from, put->to);
	q->held.frames -= g->put.frames;
	q->held.records -= g->put.records;
	q->held_bytes -= g->body_bytes;
	if (g->put.frames == 0)
		return;
	/* Some of it may be on the disk all the same: never to be taken. */
	q->settled = g->first_seq + g->put.frames;
	(void)ranges_add(&q->done, q->env, g->first_seq, q->settled);
}

/* Nothing more is written to a file that failed once. */
static void
give_up_segment(struct queue *q)
{
	ctr_add(&q->env->ctr, CTR_queue_sync_failed, 1);
	q->cur->end = q->cur->durable;
	segment_seal(q);
}

/* A spare that cannot be made has told its trouble itself. */
static void
write_failed(struct queue *q, int res)
{
	struct writer *w = &q->w;

	if (w->state == W_RENAME && res == -ENOENT) {
		q->j.spare = SPARE_NONE;	/* somebody took it away */
		return;
	}
	if (w->state < W_RENAME)
		return;
	if (res != -ENOMEM)
		queue_trouble(q, &q->write_trouble, res);
	if (w->state > W_RENAME)
		give_up_segment(q);
	/* One failure: the next group goes to a new file.  Two: wait. */
	if (++w->failures > 1)
		q->sick_until = loop_now(q->env->loop) + SECOND_NS;
}

static void
retry_later(struct queue *q)
{
	uint64_t at = loop_now(q->env->loop) + SECOND_NS;

	if (q->fresh.n > 0 && !q->closing)
		q->commit_at = at;
	if (q->refused || q->sick_until != 0)
		q->probe_at = at;
	queue_timer(q);
}

static void
group_failed(struct queue *q, int res)
{
	struct writer *w = &q->w;
	struct group *g = w->fly;
	struct queue_put *puts = g->puts, *barriers;
	int told = queue_is_full_error(res) ? -ENOSPC : -EIO;

	write_failed(q, res);
	env_free(q->env, w->seg);
	w->seg = NULL;
	take_back(q, g);
	barriers = group_take_barriers(q->fill);
	/* Without memory these are delivered again after a crash. */
	(void)ranges_merge(&q->fresh, q->env, &q->flying);
	ranges_clear(&q->flying);
	group_reset(g);
	w->fly = NULL;
	w->state = W_IDLE;
	retry_later(q);
	end_opening(q, queue_is_full_error(res) ? 0 : res);
	complete(puts, told);
	complete(barriers, told);
	janitor_go(q);
	writer_go(q);
	queue_gauges(q);
}

/* ---- writing ---- */

static void
write_piece(struct queue *q, const struct pages *m, size_t total,
    uint64_t off)
{
	struct writer *w = &q->w;

	w->len = total - w->at < WRITE_MAX ? total - w->at : WRITE_MAX;
	loop_write(q->env->loop, &w->op, q->cur->fd, m->p + w->at, w->len,
	    off + w->at);
}

static void
begin_data(struct queue *q)
{
	struct writer *w = &q->w;
	struct group *g = w->fly;

	if (!w->rotated)
		writer_commit(q, g);
	w->off = w->rotated ? w->ckpt_len : q->cur->end;
	w->at = 0;
	group_seal(g, q->cur->generation, w->off);
	if (g->len == 0) {
		w->state = W_SYNC;
		loop_fsync(q->env->loop, &w->op, q->cur->fd);
		return;
	}
	w->state = W_DATA;
	write_piece(q, &g->mem, g->len, w->off);
}

/* A short write is asked to say why; 0 would be asked for ever. */
static int
wrote(struct queue *q, int64_t res)
{
	struct writer *w = &q->w;

	ctr_add(&q->env->ctr, CTR_queue_writes, 1);
	ctr_add(&q->env->ctr, CTR_queue_written_bytes, (uint64_t)res);
	if (res == 0)
		return -ENOSPC;
	w->at += (size_t)res;
	/* Direct I/O goes on at a block, so the last one is written twice. */
	w->at &= ~(size_t)(FRAME_BLOCK - 1);
	return (size_t)res < FRAME_BLOCK ? -ENOSPC : 0;
}

static void
data_step(struct queue *q)
{
	struct writer *w = &q->w;

	if (w->at < w->fly->len) {
		write_piece(q, &w->fly->mem, w->fly->len, w->off);
		return;
	}
	if (PLANTED(export_before_fsync)) {
		q->cur->durable = w->off + w->fly->len;
		enter_frames(q, q->cur, w->fly);
		reader_go(q);
	}
	w->state = W_SYNC;
	loop_fsync(q->env->loop, &w->op, q->cur->fd);
}

static void
checkpoint_step(struct queue *q)
{
	struct writer *w = &q->w;

	if (w->at < w->ckpt_len)
		write_piece(q, &w->ckpt, w->ckpt_len, 0);
	else
		begin_data(q);
}

static void
sync_step(struct queue *q)
{
	struct writer *w = &q->w;

	ctr_add(&q->env->ctr, CTR_queue_syncs, 1);
	if (w->state == W_SYNC && w->rotated) {
		w->state = W_DIRSYNC;
		loop_fsync(q->env->loop, &w->op, q->dirfd);
		return;
	}
	if (w->rotated && w->name_lost) {
		group_failed(q, -EIO);
		return;
	}
	queue_trouble(q, &q->write_trouble, 0);
	group_durable(q);
}

/* The spare has its name: it is the current segment now. */
static void
rename_step(struct queue *q)
{
	struct writer *w = &q->w;
	struct segment *seg = w->seg;
	int r;

	w->seg = NULL;
	loop_random(q->env->loop, &seg->generation, 8);
	seg->generation |= 1;
	seg->first_seq = seg->end_seq = q->settled;
	seg->fd = q->j.spare_fd;
	seg->size = q->j.spare_size;
	q->j.spare_fd = -1;
	q->j.spare = SPARE_NONE;
	if (q->cur != NULL)
		segment_seal(q);
	segment_append(q, seg);
	q->cur = seg;
	w->state = W_CHECKPOINT;
	w->at = 0;
	r = writer_checkpoint(q);
	if (r < 0)
		group_failed(q, r);
	else
		checkpoint_step(q);
	janitor_go(q);
}

static void
writer_step(struct queue *q, int64_t res)
{
	struct writer *w = &q->w;
	int r = res < 0 ? (int)res : 0;

	if (r == 0 && (w->state == W_CHECKPOINT || w->state == W_DATA))
		r = wrote(q, res);
	if (w->state == W_SYNC && PLANTED(reuse_failed_fsync))
		r = 0;		/* what a second fsync would say */
	if (r < 0) {
		group_failed(q, r);
		return;
	}
	switch (w->state) {
	case W_RENAME:
		rename_step(q);
		break;
	case W_CHECKPOINT:
		checkpoint_step(q);
		break;
	case W_DATA:
		data_step(q);
		break;
	default:
		sync_step(q);
		break;
	}
}

static void
writer_done(struct op *op)
{
	struct queue *q = op->arg;

	if (q->w.state != W_IDLE)	/* else a close of queue_rest() */
		writer_step(q, op->res);
	queue_rest(q);
}

/* ---- launching ---- */

static void
rotate(struct queue *q)
{
	struct writer *w = &q->w;
	char name[32];

	if (q->j.spare == SPARE_READY) {
		w->seg = segment_new(q, q->number + 1);
		if (w->seg == NULL) {
			group_failed(q, -ENOMEM);
			return;
		}
		w->state = W_RENAME;
		w->rotated = true;
		w->name_lost = false;
		segment_name(name, ++q->number);
		loop_rename(q->env->loop, &w->op,
		    queue_path(q, q->w.path, "spare"),
		    queue_path(q, q->w.path2, name));
		return;
	}
	w->state = W_SPARE;
	q->j.force = true;
	if (q->j.spare == SPARE_FAILED)
		q->j.spare = SPARE_NONE;
	janitor_go(q);
}

void
writer_spare(struct queue *q)
{
	if (q->w.state != W_SPARE)
		return;
	if (q->j.spare == SPARE_READY)
		rotate(q);
	else
		group_failed(q, q->j.spare_err);
}

static bool
fits_current(const struct queue *q, const struct group *g)
{
	const struct segment *seg = q->cur;
	uint64_t need = g->len + (q->fresh.n > 0 ? COMMIT_ROOM : 0);

	if (seg == NULL || q->force_segment)
		return false;
	return seg->end + block_up(need) <= seg->size ||
	    seg->end == seg->data_off;
}

static bool
has_work(const struct queue *q)
{
	return q->fill->len > 0 || q->force_segment ||
	    (q->commit_due && q->fresh.n > 0);
}

static void
only_barriers(struct queue *q)
{
	struct queue_put *puts = q->fill->puts;

	q->commit_due = q->commit_due && q->fresh.n > 0;
	if (puts == NULL)
		return;
	group_reset(q->fill);
	complete(puts, 0);
}

void
writer_go(struct queue *q)
{
	struct writer *w = &q->w;

	if (w->state != W_IDLE)
		return;
	if (!has_work(q)) {
		only_barriers(q);
		return;
	}
	w->fly = q->fill;
	w->rotated = false;
	q->fill = w->fly == &q->group[0] ? &q->group[1] : &q->group[0];
	q->commit_due = false;
	q->commit_at = 0;
	q->trim_at = q->closing ? 0 : loop_now(q->env->loop) + SECOND_NS;
	queue_timer(q);
	if (w->fly->mem.cap == 0 && group_room(q, w->fly, 0) < 0)
		group_failed(q, -ENOMEM);
	else if (fits_current(q, w->fly))
		begin_data(q);
	else
		rotate(q);
}
