/* SPDX-License-Identifier: ISC */
/*
 * drain.h - the agent's way from the lanes of a host to its relay
 *
 * What:     watches the ring, attaches lanes, hands their bytes to the sender
 *           from where they lie, moves the tail when they are acknowledged;
 *           spills to the queue when that takes too long, and sends what was
 *           spilled later, beside what is fresh; buries dead lanes and says
 *           who died.
 * Used by:  roles/agent.c; src/http/ingest.h puts its records in here.
 * Never:    interprets a record, holds one in private memory (but for the
 *           backlog's few buffers), waits for a producer, or moves a tail
 *           past a byte that is neither acknowledged nor on disk.
 *
 *   lane       tail            sent               head
 *               |  out: spans   |     unsent       |     free
 *               |               |                  |
 *               |  LIVE  span --+--> sender_send() --> ack -----+
 *               |  SPILL span --+--> queue_put() --> durable ---+--> tail
 *               |                        |
 *               |                     backlog: queue_take(), sender_send(),
 *               |                              queue_commit()
 *
 *   A span is a range of one lane on its way out.  A lane's spans are in
 *   order; tail follows the first one that is not done.  A span that failed
 *   is sent again, or spilled, as it is: the same range.  So is one that a
 *   silent relay has had for 0.4 s while its lane filled up.
 *
 *   After an outage a lane's stream arrives at the relay in two flows:
 *
 *      0        delivered     spilled                   fresh        head
 *      |=============|~~~~~~~~~~~~~~~~~~~~~~~~~~|=============|........|
 *                    '--> backlog, oldest first '--> live
 *
 *   While both wait neither goes on past three fifths (share.c).  A lane
 *   that presses again spills again: each time a hole more in the ranges the
 *   relay keeps of its stream.  At LANE_HOLES_MAX it sends nothing live until
 *   what it had spilled is delivered.
 *
 * Invariants
 *   1. tail <= sent <= head <= tail + data_bytes, each of them only grows.
 *   2. The bytes of a span stay in the lane until the sender is done with
 *      them: tail never passes a span that is out.
 *   3. A lane sends its unsent bytes from the lowest on, and the queue's
 *      frames go in the order they were put: so order holds within each of
 *      the two flows.  But for what a lost connection had: sent again, or
 *      spilled when the relay stays away, it comes behind what was spilled
 *      while it was out.  And after a kill a lane sends straight what was
 *      spilled behind such a span: the tail had not passed it.
 *   4. lane_taken_bytes = acked + spilled + held + aside + lost; looked at
 *      once a second.
 *   5. While the queue has a frame to send and a lane bytes that are due,
 *      each gets a third at least of what is sent.
 *
 * Who is awake: knock_at of a lane says at which head its producer writes to
 * the FIFO.  Traffic in the last 2 s: a quarter ahead of what was seen, and a
 * timer of 25 ms.  Else: the next byte, and a timer of 1 s.
 */
#ifndef EMPLOG_DRAIN_H
#define EMPLOG_DRAIN_H

#include "base/bytes.h"
#include "base/env.h"

struct drain;
struct ingest_put;
struct queue;
struct sender;
struct shm_sys;

#define DRAIN_WHY	512

struct drain_conf {
	const char	*ring_dir;
	const char	*state_dir;	/* lanes on disk: state_dir/ring; or NULL */
	const struct shm_sys *shm_sys;	/* the files of the ring */
	struct sender	*sender;
	struct queue	*queue;		/* open; NULL: nothing can be spilled */
	/*
	 * msgpack map, strings to strings, copied: what the machine says where
	 * a lane says nothing.
	 */
	struct bytes	 identity;
	uint64_t	 dead_keep_ns;	/* how long .dead files stay */
	uint64_t	 ring_max;	/* 0: min(64 MiB, a quarter of the tmpfs) */
	/* Ingest was refused and there is room again.  May be NULL. */
	void		(*room)(void *arg);
	/* A line worth an operator's attention.  May be NULL. */
	void		(*note)(void *arg, enum log_level level,
			    const char *text);
	void		*arg;
};

/* Copies what conf points to, but for the parts.  0, -ENOMEM, -EINVAL. */
int	 drain_new(struct drain **ret_d, struct env *env,
	    const struct drain_conf *conf);
/*
 * Makes or checks the ring directory, takes agent.lock, attaches what is
 * there.  Blocking, on a tmpfs; start-up only.  -EBUSY: another agent runs;
 * -EPERM: the directory is somebody else's; -ELOOP: it is a symlink; -ENOTDIR,
 * -EACCES, …; ret_why then says it in words, with the remedy.
 */
int	 drain_start(struct drain *d, char ret_why[DRAIN_WHY]);
/*
 * Takes in nothing new, spills the rest of all lanes, then done(arg); within
 * a second whatever relay and disk do: what could not be spilled stays in
 * the lanes.  Chunks may still be with the sender, and puts with the queue:
 * close these next.  Also after a drain_start() that failed, or none.
 */
void	 drain_stop(struct drain *d, void (*done)(void *arg), void *arg);
/*
 * After drain_stop(), sender_close() and queue_close(), or without a
 * drain_start() that returned 0.
 */
void	 drain_free(struct drain **d);

/* To be called from sender_conf.up, sender_conf.down, queue_conf.notify. */
void	 drain_sender_up(struct drain *d);
void	 drain_sender_down(struct drain *d);
void	 drain_queue_notify(struct drain *d);

/*
 * ingest_conf.sink with the drain as its arg: whole entries of one request,
 * at most CHUNK_BYTES_MAX, copied.  Unless durable into the agent's own lane
 * when they fit a quarter of it: 1.  Else into the queue: 0, and put->done()
 * when on disk.  -EAGAIN, -ENOSPC: no room, room() comes; -EMSGSIZE.
 */
int	 drain_ingest(void *drain, struct bytes entries, uint32_t records,
	    bool durable, struct ingest_put *put);
/* One whole entry of the agent's own.  0, or an error as above. */
int	 drain_own_record(struct drain *d, struct bytes entry);

unsigned drain_lanes(const struct drain *d);
/* Bytes in lanes, neither acknowledged nor spilled. */
uint64_t drain_held_bytes(const struct drain *d);

#endif
