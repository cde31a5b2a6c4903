/* SPDX-License-Identifier: ISC */
/* segment.c - the list of segments, and the janitor that keeps it short */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "queue/priv.h"

#include "banned.h"

static void	 janitor_done(struct op *op);

void
janitor_init(struct queue *q)
{
	op_init(&q->j.op, janitor_done, q);
	q->j.spare_fd = -1;
}

/* ---- the list ---- */

void
segment_name(char name[32], uint64_t number)
{
	(void)snprintf(name, 32, "%016llx.seg", (unsigned long long)number);
}

struct segment *
segment_new(struct queue *q, uint64_t number)
{
	struct segment *seg;

	seg = env_alloc(q->env, sizeof(*seg));
	if (seg != NULL)
		*seg = (struct segment){ .number = number, .order = number,
		    .fd = -1 };
	return seg;
}

void
segment_append(struct queue *q, struct segment *seg)
{
	*(q->newest != NULL ? &q->newest->next : &q->oldest) = seg;
	q->newest = seg;
}

static void
segment_remove(struct queue *q, struct segment *seg)
{
	struct segment *prev = NULL, *s;
	unsigned i;

	must(!reader_is_at(q, seg));
	for (s = q->oldest; s != seg; s = s->next)
		prev = s;
	*(prev != NULL ? &prev->next : &q->oldest) = seg->next;
	if (q->newest == seg)
		q->newest = prev;
	for (i = 0; i < 2; i++)
		if (q->flow[i].r.feed_seg == seg)
			q->flow[i].r.feed_seg = NULL;
	/* Nothing below the oldest can come back: one range says so. */
	if (prev == NULL && q->oldest != NULL && !q->unsure)
		(void)ranges_add(&q->done, q->env, 0, q->oldest->first_seq);
	ranges_fini(&seg->copies, q->env);
	env_free(q->env, seg);
	if (PLANTED(forget_ranges))
		streams_age(q->streams, UINT64_MAX);
}

void
segments_free(struct queue *q)
{
	struct segment *seg;

	while ((seg = q->oldest) != NULL) {
		must(seg->fd < 0);
		q->oldest = seg->next;
		ranges_fini(&seg->copies, q->env);
			env_free(q->env, seg);
	}
	q->newest = NULL;
}

void
segment_seal(struct queue *q)
{
	must(q->cur != NULL && !q->cur->sealed);
	q->cur->sealed = true;
	q->cur = NULL;
}

uint64_t
segments_bytes(const struct queue *q)
{
	const struct segment *seg;
	uint64_t n = 0;

	for (seg = q->oldest; seg != NULL; seg = seg->next)
		n += seg->size;
	return n;
}

void
segment_unread_less(struct segment *seg, const struct frame *f)
{
	must(seg->unread.frames > 0);
	seg->unread.frames--;
	seg->unread.records -= f->records;
	seg->unread_bytes -= f->body.n;
}

void
segments_committed(struct queue *q, uint64_t from, uint64_t to)
{
	struct segment *seg;
	uint64_t a, b;

	for (seg = q->oldest; seg != NULL; seg = seg->next) {
		a = seg->first_seq > from ? seg->first_seq : from;
		b = seg->end_seq < to ? seg->end_seq : to;
		if (a >= b)
			continue;
		/* Copies somebody made may share a range: never below 0. */
		seg->live -= b - a < seg->live ? b - a : seg->live;
	}
}

/* ---- what there is to do ---- */

static bool
has_newer_checkpoint(const struct segment *seg)
{
	for (seg = seg->next; seg != NULL; seg = seg->next)
		if (seg->checkpointed)
			return true;
	return false;
}

/* No part of a file of which order.c made several. */
static bool
is_whole(const struct queue *q, const struct segment *seg)
{
	const struct segment *s;

	for (s = q->oldest; s != NULL; s = s->next)
		if (s != seg && s->number == seg->number)
			return false;
	return true;
}

/*
 * Beside a backlog what is fresh is done first: what was committed in it, or
 * of it, the newer checkpoint has.  In their order go the parts of a file, as
 * the last takes it away, and what is damaged: another start may read it.
 */
static bool
has_its_turn(const struct queue *q, const struct segment *seg)
{
	return seg == q->oldest || !seg->has_data ||
	    (!seg->rotten && is_whole(q, seg));
}

static bool
is_finished(const struct queue *q, const struct segment *seg)
{
	return seg->sealed && seg->fd < 0 && seg->live == 0 &&
	    seg->held.frames == 0 && !reader_is_at(q, seg) &&
	    has_its_turn(q, seg) && has_newer_checkpoint(seg);
}

static void
step(struct queue *q, enum janitor_state state)
{
	q->j.state = state;
}

static bool
trim_one(struct queue *q)
{
	struct segment *seg;

	for (seg = q->oldest; seg != NULL; seg = seg->next)
		if (seg->sealed && seg->fd >= 0)
			break;
	if (seg == NULL)
		return false;
	q->j.seg = seg;
	step(q, J_TRIM);
	loop_truncate(q->env->loop, &q->j.op, seg->fd, seg->durable);
	return true;
}

static struct segment *
find_finished(const struct queue *q)
{
	struct segment *seg;

	for (seg = q->oldest; seg != NULL; seg = seg->next)
		if (is_finished(q, seg))
			break;
	return seg;
}

/* The next of the parts that order.c made of its file. */
static struct segment *
next_part(const struct segment *seg)
{
	struct segment *part = seg->next;

	while (part != NULL && part->number != seg->number)
		part = part->next;
	return part;
}

/* The file stays for its last part, with what is known of it. */
static struct segment *
drop_parts(struct queue *q)
{
	struct segment *seg, *part;

	while ((seg = find_finished(q)) != NULL) {
		part = next_part(seg);
		if (part == NULL)
			break;
		part->rotten = part->rotten || seg->rotten;
		segment_remove(q, seg);
	}
	return seg;
}

/* A reader that comes to it while it is on its way out passes it by. */
static bool
remove_one(struct queue *q)
{
	struct janitor *j = &q->j;
	struct segment *seg = drop_parts(q);
	char name[32];

	if (seg == NULL)
		return false;
	j->seg = seg;
	seg->leaving = true;
	if (seg->rotten) {
		step(q, J_MKDIR);
		loop_mkdir(q->env->loop, &j->op,
		    queue_path(q, j->path, "quarantine"), 0700);
		return true;
	}
	segment_name(name, seg->number);
	step(q, J_UNLINK);
	loop_unlink(q->env->loop, &j->op, queue_path(q, j->path, name));
	return true;
}

static bool
sync_dir(struct queue *q)
{
	if (!q->j.sync_dir)
		return false;
	q->j.sync_dir = false;
	step(q, J_DIRSYNC);
	loop_fsync(q->env->loop, &q->j.op, q->dirfd);
	return true;
}

static void
spare_failed(struct queue *q, int err)
{
	struct janitor *j = &q->j;

	j->spare = SPARE_FAILED;
	j->spare_err = err;
	j->force = false;
	ctr_add(&q->env->ctr, err == -EDQUOT ? CTR_queue_full :
	    CTR_queue_disk_full, 1);
	if (err != -EDQUOT)	/* that is our own bound */
		queue_trouble(q, &q->spare_trouble, err);
	if (q->refused)
		queue_probe(q);
}

/* An open with flags that this file system may not know. */
static void
open_spare(struct queue *q)
{
	step(q, J_SPARE_OPEN);
	loop_open(q->env->loop, &q->j.op, queue_path(q, q->j.path, "spare"),
	    O_RDWR | O_CREAT | O_TRUNC | (q->direct ? O_DIRECT : 0), 0600);
}

static bool
make_spare(struct queue *q)
{
	struct janitor *j = &q->j;

	if (j->spare != SPARE_NONE || (q->closing && !j->force))
		return false;
	j->spare_size = q->conf.segment_bytes;
	if (!j->force &&
	    segments_bytes(q) + j->spare_size > q->conf.bytes_max) {
		spare_failed(q, -EDQUOT);
		return false;
	}
	j->spare = SPARE_MAKING;
	open_spare(q);
	return true;
}

/* At the end; or its name is gone, and another is made. */
static bool
close_spare(struct queue *q)
{
	if (q->j.spare_fd < 0 || (q->j.spare != SPARE_NONE &&
	    (!q->closing || queue_has_work(q))))
		return false;
	step(q, J_SPARE_CLOSE);
	loop_close(q->env->loop, &q->j.op, q->j.spare_fd);
	q->j.spare_fd = -1;
	q->j.spare = SPARE_NONE;
	return true;
}

void
janitor_go(struct queue *q)
{
	if (q->j.state != J_IDLE || q->dirfd < 0 || q->rec != NULL)
		return;
	(void)(trim_one(q) || remove_one(q) || sync_dir(q) ||
	    close_spare(q) || make_spare(q));
}

/* ---- one step done ---- */

static void
trimmed(struct queue *q, int64_t res)
{
	struct segment *seg = q->j.seg;

	if (res >= 0)
		seg->size = seg->durable;
	step(q, J_CLOSE);
	loop_close(q->env->loop, &q->j.op, seg->fd);
	seg->fd = -1;
}

/* The file is gone, or nobody can remove it: both times it is not ours. */
static void
removed(struct queue *q)
{
	struct janitor *j = &q->j;

	segment_remove(q, j->seg);
	j->seg = NULL;
	j->sync_dir = true;
	if (j->spare == SPARE_FAILED)
		j->spare = SPARE_NONE;
	step(q, J_IDLE);
}

/* The reason stands beside the file; without room for it, so be it. */
static void
open_why(struct queue *q)
{
	struct janitor *j = &q->j;
	char to[PATH_ROOM];

	(void)snprintf(to, sizeof(to), "quarantine/%016llx.why",
	    (unsigned long long)j->seg->number);
	removed(q);
	step(q, J_WHY_OPEN);
	loop_open(q->env->loop, &j->op, queue_path(q, j->path, to),
	    O_WRONLY | O_CREAT | O_TRUNC, 0600);
}

static void
write_why(struct queue *q, int64_t res)
{
	static const char why[] = "frames that were durable are damaged in "
	    "this segment; the intact ones were delivered\n";
	struct janitor *j = &q->j;

	if (res < 0) {
		step(q, J_IDLE);
		return;
	}
	j->why_fd = (int)res;
	step(q, J_WHY_WRITE);
	loop_write(q->env->loop, &j->op, j->why_fd, why, sizeof(why) - 1, 0);
}

static void
close_why(struct queue *q)
{
	step(q, J_WHY_CLOSE);
	loop_close(q->env->loop, &q->j.op, q->j.why_fd);
}

static void
move_away(struct queue *q)
{
	struct janitor *j = &q->j;
	char name[32], to[PATH_ROOM];

	segment_name(name, j->seg->number);
	(void)snprintf(to, sizeof(to), "quarantine/%s", name);
	step(q, J_MOVE);
	loop_rename(q->env->loop, &j->op, queue_path(q, j->path, name),
	    queue_path(q, j->path2, to));
}

static void
spare_opened(struct queue *q, int64_t res)
{
	struct janitor *j = &q->j;

	if (res == -EINVAL && q->direct) {
		q->direct = false;
		open_spare(q);
		return;
	}
	if (res < 0) {
		spare_failed(q, (int)res);
		step(q, J_IDLE);
		return;
	}
	j->spare_fd = (int)res;
	step(q, J_SPARE_ROOM);
	loop_fallocate(q->env->loop, &j->op, j->spare_fd, 0, j->spare_size);
}

static void
spare_has_room(struct queue *q, int64_t res)
{
	struct janitor *j = &q->j;

	/* Where files cannot be preallocated, a full disk shows at a write. */
	if (res < 0 && res != -EOPNOTSUPP && res != -ENOSYS) {
		spare_failed(q, (int)res);
		step(q, J_SPARE_CLOSE);
		loop_close(q->env->loop, &j->op, j->spare_fd);
		j->spare_fd = -1;
		return;
	}
	j->spare = SPARE_READY;
	j->force = false;
	queue_trouble(q, &q->spare_trouble, 0);
	step(q, J_IDLE);
}

static void
spare_closed(struct queue *q)
{
	struct janitor *j = &q->j;

	if (j->spare != SPARE_FAILED) {
		step(q, J_IDLE);	/* closing: it stays for the next start */
		return;
	}
	step(q, J_SPARE_UNLINK);
	loop_unlink(q->env->loop, &j->op, queue_path(q, j->path, "spare"));
}

/*
 * A failure is told once, and the writer's own sync of the directory would
 * be answered as if its new name were safe.
 */
static void
dir_synced(struct queue *q, int64_t res)
{
	if (res < 0) {
		ctr_add(&q->env->ctr, CTR_queue_sync_failed, 1);
		q->w.name_lost = true;
	}
	step(q, J_IDLE);
}

static void
janitor_step(struct queue *q, int64_t res)
{
	switch (q->j.state) {
	case J_TRIM:
		trimmed(q, res);
		break;
	case J_MKDIR:
		move_away(q);
		break;
	case J_UNLINK:
		removed(q);
		break;
	case J_MOVE:
		open_why(q);
		break;
	case J_WHY_OPEN:
		write_why(q, res);
		break;
	case J_WHY_WRITE:
		close_why(q);
		break;
	case J_SPARE_OPEN:
		spare_opened(q, res);
		break;
	case J_SPARE_ROOM:
		spare_has_room(q, res);
		break;
	case J_SPARE_CLOSE:
		spare_closed(q);
		break;
	case J_DIRSYNC:
		dir_synced(q, res);
		break;
	default:
		step(q, J_IDLE);
		break;
	}
}

static void
janitor_done(struct op *op)
{
	struct queue *q = op->arg;
	enum spare before = q->j.spare;

	janitor_step(q, op->res);
	if (q->j.state != J_IDLE)
		return;
	if (q->w.state == W_SPARE && q->j.spare != SPARE_MAKING &&
	    q->j.spare != SPARE_NONE)
		writer_spare(q);
	janitor_go(q);
	if (q->refused && before != SPARE_READY &&
	    q->j.spare == SPARE_READY)
		queue_notify(q);
	queue_gauges(q);
	queue_rest(q);
}
