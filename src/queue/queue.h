/* SPDX-License-Identifier: ISC */
/*
 * queue.h - chunks on disk, in order, until the consumer is done with them
 *
 * What:     append-only segments of self-describing frames; the promise in
 *           four lines:
 *             a put is done when an fdatasync that covers it returned 0;
 *             a frame is taken only after that;
 *             a frame is forgotten only after its commit is durable in a
 *             newer checkpoint; whatever lies in the directory, it opens.
 * Used by:  agent (spill), relay and exporter (store).
 * Never:    blocks the loop; writes or syncs when idle; retries a failed
 *           fsync on the same file; deletes damaged bytes (quarantine/).
 *
 *   dir/0000000000000001.seg    complete; begins with a checkpoint
 *   dir/0000000000000002.seg    the newest is being written
 *   dir/spare                   one preallocated segment
 *   dir/quarantine/             damaged pieces, each with a .why; never
 *                               deleted by us
 *   dir/lock                    OFD lock: one process a directory
 *
 * Frame (little endian, begins on any byte; each commit of a group begins on
 * a fresh 4 KiB block, and a written block is never written again):
 *   see src/queue/frame.h for the byte table.
 *
 * Flow
 *   queue_put() --copy--> staging --write, fdatasync--> put->done(0)
 *                                                 \--> notify()
 *   queue_take() <--copy-- read ahead <-- durable frames after the cursor
 *   queue_commit(seq) --> commit frame (with the next group, or within
 *                          commit_ms when nothing else is written)
 *
 * Two flows: after an outage what is fresh goes beside what waited, so that
 * it is seen at once and not behind days of backlog.
 *
 *   queue_return()     |==== backlog ====>|==== fresh ====>
 *                      ^ oldest untaken   ^ durable then   ^ newest
 *     The backlog ends where the fresh flow began; then there is one again.
 *     Nothing of this is on disk: commits are ranges of seq, in any order.
 *
 * Invariants
 *   1. seq grows by one per data frame and never repeats in a directory.
 *   2. Frames of a flow are taken in seq order, of two by turns, each frame
 *      once; queue_rewind() starts each flow again at its oldest one taken
 *      and not committed.  Without queue_return() there is one flow.
 *   3. streams (its table) holds exactly the ranges of frames put or found
 *      on disk, durable or on their way; a failed group takes its back.
 */
#ifndef EMPLOG_QUEUE_H
#define EMPLOG_QUEUE_H

#include "base/chunk.h"

struct env;
struct queue;
struct streams;

enum queue_trouble { QUEUE_WRITES, QUEUE_READS };

struct queue_conf {
	const char	*dir;		/* made when absent, 0700 */
	uint64_t	 bytes_max;	/* all segments; at it puts are refused */
	uint64_t	 age_max_ns;	/* 0: for ever; older is dropped, counted */
	uint32_t	 segment_bytes;	/* 16 MiB when 0; a quarter of bytes_max
					   at most */
	uint32_t	 staging_bytes;	/* 4 MiB when 0 */
	uint32_t	 commit_ms;	/* lone commits wait so long; 200 when 0 */
	bool		 mend;		/* at open, damage that was copied away
					   is wiped where it was */
	/* Something more can be taken, or puts have room again. */
	void		(*notify)(void *arg);
	void		*notify_arg;
	/*
	 * The disk does not take what is written, or does not give what is
	 * read (-errno), or does again (0): each once, for words to an
	 * operator; of a disk that comes and goes not each time.  May be
	 * NULL; calls nothing of queue.h.
	 */
	void		(*trouble)(void *arg, enum queue_trouble what,
			    int error);
};

/* One append.  The caller's, from queue_put() to done(). */
struct queue_put {
	/*
	 * res 0: durable.  -EIO, -ENOSPC: it is not, and never will be by this
	 * put; the ranges were taken back.  Do not acknowledge.
	 */
	void		(*done)(struct queue_put *put, int res);
	void		*arg;
	uint64_t	 seq;		/* given by queue_put() */
	/* the queue's own */
	struct queue_put *next;
	uint8_t		 stream[STREAM_ID_LEN];
	uint64_t	 from, to;
};

/* Borrows conf->dir's text until queue_free(). 0 or -ENOMEM. */
int	 queue_new(struct queue **ret_q, struct env *env,
	    const struct queue_conf *conf);
/*
 * Recovers the directory; opened(arg, res): 0; -EBUSY another process has
 * it; -EACCES, -EROFS, -ENOSPC, … cannot be used.  Damage is no error.
 */
void	 queue_open(struct queue *q, void (*opened)(void *arg, int res),
	    void *arg);
/*
 * Segments that the open left alone: they stay, and an open that can read
 * them delivers what they hold.
 */
struct queue_unread {
	unsigned	 failed;	/* no permission, a block that is lost */
	unsigned	 version;	/* not this emplogd's */
};
struct queue_unread queue_unread(const struct queue *q);
/* After such an open so many sequences are given to no frame. */
#define QUEUE_SEQ_LEAP	(UINT64_C(1) << 32)
/* Writes what is staged and a last commit, then closed(arg). */
void	 queue_close(struct queue *q, void (*closed)(void *arg), void *arg);
void	 queue_free(struct queue **q);

/*
 * Copies the chunk (identity and body) and returns: the memory is the
 * caller's again at once.  A chunk without stream gets this queue's id and
 * the next position, written back into c.  c->records must be set.
 * -EAGAIN: no staging room now, notify() comes.  -ENOSPC: at bytes_max or
 * the disk is full, notify() comes when that has changed.  -EMSGSIZE: the
 * body is over CHUNK_BYTES_MAX + RECORD_BYTES_MAX.  On failure done() does
 * not come.
 */
int	 queue_put(struct queue *q, struct chunk *c, struct queue_put *put);
/*
 * done(put, 0) when everything put before is durable (at once at the next
 * turn if it is): how a duplicate is acknowledged.
 */
void	 queue_barrier(struct queue *q, struct queue_put *put);
/*
 * The next durable frame after the cursor, copied: body, then identity, into
 * buf (cap QUEUE_TAKE_MAX always suffices); *ret points into buf.
 * -EAGAIN: none now, notify() comes; -ENOBUFS: cap is too small.
 */
#define QUEUE_TAKE_MAX	(CHUNK_BYTES_MAX + RECORD_BYTES_MAX + IDENTITY_MAX)
int	 queue_take(struct queue *q, void *buf, size_t cap,
	    struct chunk *ret, uint64_t *ret_seq);
/* Bytes queue_take() needs for the next frame, 0: none is ready. */
size_t	 queue_peek(const struct queue *q);
/*
 * The consumer gets through: if the next frame has waited here for a minute,
 * what is durable from now on becomes a flow of its own, taken beside the
 * backlog until that is done; if the fresh flow itself has waited so long,
 * it is backlog too and a new one begins.  Else nothing happens.
 */
void	 queue_return(struct queue *q);
/* Which flow the next frame is of; QUEUE_BACKLOG while there is one. */
enum queue_flow { QUEUE_BACKLOG, QUEUE_FRESH };
enum queue_flow queue_flow(const struct queue *q);
/*
 * Gives the turn to the flow that is behind, by bytes, half and half while
 * both have something; the other one is taken from when it has none.  Before
 * each request or frame; without it the turn stays where it is.
 */
enum queue_flow queue_turn(struct queue *q);
/* The consumer is finished with a frame it took. */
void	 queue_commit(struct queue *q, uint64_t seq);
/* Every queue_commit() so far is on disk. */
bool	 queue_is_settled(const struct queue *q);
/* queue_take() begins again with the oldest frame not committed. */
void	 queue_rewind(struct queue *q);

struct streams	*queue_streams(struct queue *q);
/* The 16 bytes this directory was given when it was made. */
const uint8_t	*queue_id(const struct queue *q);
/* Not committed, durable or on the way. */
uint64_t queue_held_frames(const struct queue *q);
uint64_t queue_held_records(const struct queue *q);
uint64_t queue_bytes(const struct queue *q);	/* segments on disk */
/* taken_ns of the oldest frame not committed, 0: none. */
uint64_t queue_oldest_ns(const struct queue *q);
/* False: puts are refused, at bytes_max, on a full disk or one that fails. */
bool	 queue_has_room(const struct queue *q);

#endif
