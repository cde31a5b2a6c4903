/* SPDX-License-Identifier: ISC */
/*
 * anew.c - at a start, the newest segment is written once more as it is read
 *
 * When an fsync has failed and the process ended before it could cut the
 * segment, the kernel may show bytes that are not on the disk, believe them
 * clean, and let every later fsync pass.  What is to count must be dirty once
 * more: the same bytes, to the same place.  That concerns the newest ledger's
 * segment and what is behind it alone; older ones have a newer checkpoint,
 * which says nothing of a group that failed.
 */

#include <errno.h>

#include "queue/recover.h"

#include "banned.h"

#define TRIES		3u		/* on a full disk, a second apart */

bool
anew_is_due(const struct recover *rec)
{
	return rec->seg->order >= rec->base->order && !rec->readonly &&
	    rec->seg->durable > 0;
}

static void
ask(struct recover *rec)
{
	uint64_t left = rec->seg->durable - rec->pos;
	size_t want = rec->feed.careful ? FRAME_BLOCK : WRITE_MAX;

	if (left == 0) {
		recover_sync(rec);
		return;
	}
	rec->rd = (struct feed_read){ rec->feed.mem.p,
	    want < left ? want : (size_t)left, rec->pos };
	recover_step(rec, R_ANEW_READ);
	loop_read(recover_loop(rec), &rec->op, rec->fd, rec->rd.buf,
	    rec->rd.len, rec->rd.off);
}

void
anew_start(struct recover *rec)
{
	rec->pos = 0;
	rec->tries = 0;
	feed_reset(&rec->feed, 0);
	if (pages_grow(&rec->feed.mem, WRITE_MAX, 0) < 0)
		recover_give_up(rec, -ENOMEM);
	else
		ask(rec);
}

static void
put_back(struct recover *rec)
{
	recover_step(rec, R_ANEW_WRITE);
	loop_write(recover_loop(rec), &rec->op, rec->fd, rec->rd.buf,
	    rec->rd.len, rec->rd.off);
}

/* A block that cannot be read is left as it is. */
static void
was_read(struct recover *rec, int64_t res)
{
	if (res > 0) {
		rec->rd.len = (size_t)res;
		put_back(rec);
		return;
	}
	if (res == 0)
		rec->pos = rec->seg->durable;	/* somebody cut it */
	else if (rec->feed.careful)
		rec->pos += rec->rd.len;
	rec->feed.careful = true;
	ask(rec);
}

/*
 * Where the same place needs other room on the disk, and there is none, it
 * stays at what the pages say: a full disk is no reason not to start.
 */
static void
was_written(struct recover *rec, int64_t res)
{
	if (queue_is_full_error((int)res) && ++rec->tries < TRIES) {
		recover_later(rec, R_ANEW_AGAIN);
	} else if (queue_is_full_error((int)res) || res == 0) {
		recover_sync(rec);
	} else if (res < 0) {
		recover_give_up(rec, (int)res);
	} else {
		rec->tries = 0;
		rec->pos += (uint64_t)res;
		ask(rec);
	}
}

void
anew_step(struct recover *rec, int64_t res)
{
	if (rec->state == R_ANEW_READ)
		was_read(rec, res);
	else if (rec->state == R_ANEW_WRITE)
		was_written(rec, res);
	else
		put_back(rec);
}
