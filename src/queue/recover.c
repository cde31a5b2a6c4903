/* SPDX-License-Identifier: ISC */
/*
 * recover.c - from any bytes in the directory to an open queue
 *
 * Passes over the segments, each in memory that does not depend on
 * how many there are:
 *   HEADS    the first frame of each: its true number, and which is the
 *            newest with an intact checkpoint (the base)
 *   LEDGERS  from the base on: checkpoint and commits, so what is done
 *   DATA     all: what is held, what is damaged; damage is copied away, each
 *            is synced, the last two are cut behind their last frame
 *   ORDER    only where frames of one lie between those of another; order.c
 * Then a new segment is begun, always.
 */

#include <errno.h>
#include <fcntl.h>

#include "queue/recover.h"

#include "banned.h"

#define READ_BYTES	(1u << 20)

static void	 recover_done(struct op *op);

static void
recover_free(struct recover *rec)
{
	struct queue *q = rec->q;

	q->rec = NULL;
	ranges_fini(&rec->seen, q->env);
	ranges_fini(&rec->own, q->env);
	ranges_fini(&rec->damage, q->env);
	ranges_fini(&rec->cut.copies, q->env);
	quarantine_fini(&rec->qu);
	pages_free(&rec->feed.mem);
	env_free(q->env, rec->path);
	env_free(q->env, rec);
}

int
recover_start(struct queue *q)
{
	struct recover *rec;

	rec = env_alloc(q->env, sizeof(*rec));
	if (rec == NULL)
		return -ENOMEM;
	*rec = (struct recover){ .q = q, .fd = -1 };
	if (q->look != NULL) {		/* who looks does not wait */
		rec->feed.gave_up = true;
		rec->feed.waits = FEED_WAITS_OPEN;
	}
	op_init(&rec->op, recover_done, rec);
	rec->path = env_alloc(q->env, strlen(q->conf.dir) + PATH_ROOM);
	if (quarantine_init(&rec->qu, q) < 0 || rec->path == NULL) {
		recover_free(rec);
		return -ENOMEM;
	}
	rec->qu.done = damage_copied;
	rec->qu.arg = rec;
	q->rec = rec;
	home_open(rec);
	return 0;
}

/* ---- the end, good or bad ---- */

void
recover_fail(struct recover *rec, int res)
{
	struct queue *q = rec->q;

	recover_free(rec);
	segments_free(q);	/* half known: nothing to clean up by */
	if (q->look != NULL)	/* which frees it */
		q->opened(q->opened_arg, res);
	else
		queue_opened(q, res);
}

static void
succeed(struct recover *rec)
{
	struct queue *q = rec->q;

	replay_settle(rec);
	/* What was not read may have numbers that nobody may have again. */
	q->unsure = rec->unsure;
	if (rec->unsure)
		q->seq += QUEUE_SEQ_LEAP;
	q->settled = q->seq;
	if (stream_is_none(q->id))
		loop_random(q->env->loop, q->id, STREAM_ID_LEN);
	q->ledger.own_pos = at_least(q->ledger.own_pos,
	    streams_end_of(q->streams, q->id));
	recover_free(rec);
	q->force_segment = true;
	queue_gauges(q);
	writer_go(q);
	queue_rest(q);
}

/* ---- passes ---- */

static void
find_base(struct recover *rec)
{
	struct segment *seg;

	rec->base = rec->q->oldest;
	for (seg = rec->q->oldest; seg != NULL; seg = seg->next)
		if (seg->checkpointed)
			rec->base = seg;
}

static void
stat_segment(struct recover *rec)
{
	char name[32];

	segment_name(name, rec->seg->number);
	recover_step(rec, R_STAT);
	loop_stat(recover_loop(rec), &rec->op,
	    queue_path(rec->q, rec->path, name));
}

/* All frames are known: in the end the order of their sequences counts. */
static void
end_data(struct recover *rec)
{
	int r = order_by_seq(rec->q);

	if (r < 0) {
		recover_fail(rec, r);
	} else if (rec->pass == DATA && order_is_mixed(rec->q)) {
		recover_pass(rec, ORDER);
	} else {
		recover_step(rec, R_DIRSYNC);
		loop_fsync(recover_loop(rec), &rec->op, rec->q->dirfd);
	}
}

static void
end_pass(struct recover *rec)
{
	struct queue *q = rec->q;
	int r;

	switch (rec->pass) {
	case HEADS:
		r = order_by_number(q);
		if (r < 0) {
			recover_fail(rec, r);
			return;
		}
		find_base(rec);
		recover_pass(rec, LEDGERS);
		return;
	case LEDGERS:
		recover_pass(rec, DATA);
		return;
	default:
		if (q->look != NULL)
			look_settle(rec);
		else
			end_data(rec);
		return;
	}
}

static void
go_on_with(struct recover *rec, struct segment *seg)
{
	rec->seg = rec->pass == ORDER ? order_next(rec, seg) : seg;
	if (rec->seg == NULL)
		end_pass(rec);
	else
		stat_segment(rec);
}

void
recover_pass(struct recover *rec, enum pass pass)
{
	rec->pass = pass;
	go_on_with(rec, pass == LEDGERS ? rec->base : rec->q->oldest);
}

static void
next_file(struct recover *rec)
{
	go_on_with(rec, rec->seg->next);
}

static void
close_file(struct recover *rec)
{
	recover_step(rec, R_CLOSE);
	loop_close(recover_loop(rec), &rec->op, rec->fd);
	rec->fd = -1;
}

/* ---- reading a file ---- */

/* Of another segment, where this one's own should begin. */
static bool
is_astray(const struct recover *rec, const struct scan *s)
{
	return s->kind == SCAN_STALE && rec->seg->astray && rec->pos == 0;
}

static int
see(struct recover *rec, struct bytes b, const struct scan *s)
{
	int r = 0;

	if (rec->pass == HEADS && version_is_other(rec, b, s))
		return version_see(rec, b, s);

	if (rec->q->look != NULL && rec->pass == DATA)
		look_bytes(rec, b, s);
	if (rec->pass == HEADS && rec->seg->doubted &&
	    s->kind != SCAN_ZERO) {
		replay_doubt(rec, s);
		return 1;
	}
	if (s->kind == SCAN_FRAME)
		r = replay_frame(rec, &s->frame);
	else if (rec->pass == DATA && (s->kind == SCAN_DAMAGE ||
	    is_astray(rec, s)))
		r = ranges_add(&rec->damage, rec->q->env, rec->pos,
		    rec->pos + s->len);
	/* Heads: what is not at the start is not looked for. */
	if (r == 0 && rec->pass == HEADS && !rec->seg->doubted)
		r = 1;
	rec->pos += s->len;
	return r;
}

void
recover_unread(struct recover *rec)
{
	ctr_add(&rec->q->env->ctr, CTR_queue_unread_segments, 1);
	rec->q->unread.failed++;
}

static void
file_done(struct recover *rec)
{
	int r = rec->pass == DATA ? replay_hole(rec, SEQ_MAX) : 0;

	version_settle(rec);
	if (r < 0) {
		recover_give_up(rec, r);
		return;
	}
	if (rec->pass == DATA && rec->q->look == NULL) {
		damage_copy(rec);
		return;
	}
	if (rec->pass == DATA)
		look_end(rec, 0);
	close_file(rec);
}

void
recover_give_up(struct recover *rec, int res)
{
	rec->res = res;
	close_file(rec);
}

static void
read_bytes(struct recover *rec)
{
	recover_step(rec, R_READ);
	loop_read(recover_loop(rec), &rec->op, rec->fd, rec->rd.buf,
	    rec->rd.len, rec->rd.off);
}

static void
read_on(struct recover *rec)
{
	struct segment *seg = rec->seg;
	size_t need = FRAME_HEAD;
	struct bytes b;
	struct scan s;
	int r = 0;

	while (r == 0) {
		if (rec->pos >= seg->size) {
			file_done(rec);
			return;
		}
		b = feed_at(&rec->feed, rec->pos, seg->size);
		scan_next(b.p, b.n, rec->pos, rec->pos + b.n == seg->size,
		    seg->generation, &s);
		need = s.len;
		if (s.kind == SCAN_MORE)
			break;
		r = see(rec, b, &s);
	}
	if (r == 1)
		file_done(rec);
	if (r == 0)
		r = feed_ask(&rec->feed, rec->pos, need,
		    rec->pass == HEADS && rec->version == 0 ? FRAME_BLOCK :
		    READ_BYTES, seg->size,
		    &rec->rd);
	if (r < 0)
		recover_give_up(rec, r);
	else if (r == 0)
		read_bytes(rec);
}

static void
read_step(struct recover *rec, int64_t res)
{
	bool block = rec->feed.careful;
	int r;

	if (queue_is_passing_error((int)res)) {
		recover_give_up(rec, (int)res);
		return;
	}
	r = feed_got(&rec->feed, &rec->rd, res, FEED_WAITS_OPEN);
	if (r == -EAGAIN || res > 0)
		queue_read_trouble(rec->q, r == -EAGAIN ? (int)res : 0);
	if (r == -EAGAIN) {
		recover_later(rec, R_READ_AGAIN);
		return;
	}
	if (res < 0 && block) {
		rec->unsure = true;
		if (rec->pass == DATA)
			replay_unread(rec);
	}
	if (r == -ENODATA)
		rec->seg->size = rec->rd.off;
	read_on(rec);
}

/* A segment may go while it is looked at; but not the one others build on. */
static bool
look_skips(struct recover *rec, int64_t res)
{
	if (res == -ENOENT && rec->pass != DATA) {
		recover_fail(rec, -EAGAIN);
		return true;
	}
	if (rec->pass == DATA) {
		look_begin(rec);
		look_end(rec, rec->seg->version != 0 ? -EPROTONOSUPPORT :
		    res < 0 ? (int)res : -EISDIR);
	}
	rec->unsure = rec->unsure || res != -ENOENT;
	next_file(rec);
	return true;
}

/* What is no plain file, or is not for us to open, stays and is not ours. */
static void
skip_segment(struct recover *rec, int64_t res)
{
	if (rec->q->look != NULL && look_skips(rec, res))
		return;
	/* Not without it today: another start may find it well. */
	if (rec->pass == ORDER) {
		recover_fail(rec, res < 0 ? (int)res : -EAGAIN);
		return;
	}
	if (res == -EIO || queue_is_passing_error((int)res)) {
		recover_fail(rec, (int)res);
		return;
	}
	if (res < 0 && !rec->seg->foreign)
		recover_unread(rec);
	rec->unsure = rec->unsure || res < 0;
	rec->seg->foreign = true;
	next_file(rec);
}

static void
stat_step(struct recover *rec, int64_t res)
{
	struct segment *seg = rec->seg;

	if (res < 0 || rec->op.stat.type != LOOP_FILE || seg->foreign) {
		skip_segment(rec, res);
		return;
	}
	seg->size = rec->op.stat.size;
	recover_step(rec, R_OPEN);
	loop_open(recover_loop(rec), &rec->op, rec->path,
	    rec->pass == DATA && rec->q->look == NULL ?
	    O_RDWR : O_RDONLY, 0);
}

static void
open_step(struct recover *rec, int64_t res)
{
	if (res < 0 && rec->state == R_OPEN && rec->pass == DATA &&
	    rec->q->look == NULL) {
		recover_step(rec, R_OPEN_RDONLY);
		loop_open(recover_loop(rec), &rec->op, rec->path, O_RDONLY, 0);
		return;
	}
	if (res < 0) {
		skip_segment(rec, res);
		return;
	}
	rec->fd = (int)res;
	rec->readonly = rec->state == R_OPEN_RDONLY;
	rec->pos = 0;
	rec->version = 0;
	rec->has_two = false;
	feed_reset(&rec->feed, 0);
	ranges_clear(&rec->damage);
	rec->piece = 0;
	rec->hole = false;
	rec->hole_seq = 0;
	if (rec->q->look != NULL && rec->pass == DATA)
		look_begin(rec);
	read_on(rec);
}

/* ---- the end of a file ---- */

static bool
is_tail(const struct segment *seg)
{
	return seg->next == NULL || seg->next->next == NULL;
}

/* Of all: a write that failed may lie in any, if no trim came after it. */
void
recover_sync(struct recover *rec)
{
	recover_step(rec, R_SYNC);
	loop_fsync(recover_loop(rec), &rec->op, rec->fd);
}

/*
 * Frames found may never have been synced; a sync that fails now may have
 * failed before, and what it says of the pages cannot be trusted.
 */
static void
sync_step(struct recover *rec, int64_t res)
{
	struct segment *seg = rec->seg;

	ctr_add(&rec->q->env->ctr, CTR_queue_syncs, 1);
	if (res < 0) {
		ctr_add(&rec->q->env->ctr, CTR_queue_sync_failed, 1);
		recover_give_up(rec, (int)res);
		return;
	}
	if (!is_tail(seg) || seg->rotten || seg->durable == seg->size) {
		close_file(rec);
		return;
	}
	recover_step(rec, R_TRIM);
	loop_truncate(recover_loop(rec), &rec->op, rec->fd, seg->durable);
}

static void
close_step(struct recover *rec)
{
	if (rec->res < 0)
		recover_fail(rec, rec->res);
	else
		next_file(rec);
}

static void
dirsync_step(struct recover *rec, int64_t res)
{
	struct segment **p = &rec->q->oldest, *seg;

	if (res < 0) {
		recover_fail(rec, (int)res);
		return;
	}
	rec->q->newest = NULL;
	while ((seg = *p) != NULL) {
		if (seg->foreign) {
			*p = seg->next;
			env_free(rec->q->env, seg);
			continue;
		}
		rec->q->newest = seg;
		p = &seg->next;
	}
	succeed(rec);
}

static void
recover_done(struct op *op)
{
	struct recover *rec = op->arg;
	int64_t res = op->res;

	switch (rec->state) {
	case R_STAT:		stat_step(rec, res);		break;
	case R_OPEN:
	case R_OPEN_RDONLY:	open_step(rec, res);		break;
	case R_READ:		read_step(rec, res);		break;
	case R_READ_AGAIN:	read_on(rec);			break;
	case R_SYNC:		sync_step(rec, res);		break;
	case R_TRIM:
		if (res >= 0)
			rec->seg->size = rec->seg->durable;
		close_file(rec);
		break;
	case R_CLOSE:		close_step(rec);		break;
	case R_DIRSYNC:		dirsync_step(rec, res);		break;
	case R_COPY:						break;
	case R_WIPE:		damage_step(rec, res);		break;
	case R_ANEW_READ:
	case R_ANEW_WRITE:
	case R_ANEW_AGAIN:	anew_step(rec, res);		break;
	default:		home_step(rec, res);		break;
	}
}
