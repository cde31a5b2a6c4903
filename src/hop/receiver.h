/* SPDX-License-Identifier: ISC */
/*
 * receiver.h - the receiving end of a hop, for emplogd, Fluent Bit, Fluentd
 *
 * What:     reads Forward messages off one connection, validates, cuts what
 *           was already taken, puts the rest into a queue and acknowledges
 *           when it is durable.
 * Used by:  src/hop/port.h (accepts, looks at the first byte).
 * Never:    acknowledges before the fdatasync that covers a chunk; believes
 *           a length; answers what did not ask for it.
 *
 *   bytes -> message -> walk -> cut against streams -> queue_put -> ack
 *                         \-> rest to quarantine, its range counts as taken
 *
 * Back-pressure: when the queue has no room, or input_max bytes of input are
 * held over all connections, reading stops; TCP does the rest.
 */
#ifndef EMPLOG_RECEIVER_H
#define EMPLOG_RECEIVER_H

#include "loop/loop.h"
#include "base/chunk.h"

struct env;
struct queue;
struct receiver;		/* the set of connections of one port */

struct receiver_conf {
	struct queue	*queue;
	size_t		 message_max;	/* 16 MiB when 0 */
	size_t		 input_max;	/* 40 MiB when 0: over all of them */
	unsigned	 connections_max; /* 1024 when 0 */
	/*
	 * Silence in the middle of a message after which its connection is
	 * closed; 30000 when 0.  The other limits on slow peers are made of
	 * it, see conn.c.  Between messages a peer may be silent for ever.
	 */
	uint32_t	 silent_ms;
	/*
	 * Keeps bytes that are no records: writes them to quarantine_dir
	 * (created when first needed) with the reason; then they count as
	 * taken.  NULL: the queue stores them as a CHUNK_BROKEN frame.
	 */
	const char	*quarantine_dir;
};

/* Borrows env, the queue and the text of quarantine_dir.  -ENOMEM. */
int	 receiver_new(struct receiver **ret_r, struct env *env,
	    const struct receiver_conf *conf);
/*
 * Takes over a connected descriptor; peeked bytes are still in it.  -EMFILE:
 * connections_max are open, or it is closing; -ENOMEM.  It is the caller's
 * then.
 */
int	 receiver_take(struct receiver *r, int fd,
	    const struct loop_addr *peer);
/* The queue said notify(): goes on where it had stopped for room. */
void	 receiver_resume(struct receiver *r);
/* Stops reading, acknowledges what is durable, closes; then closed(arg). */
void	 receiver_close(struct receiver *r, void (*closed)(void *arg),
	    void *arg);
void	 receiver_free(struct receiver **r);
unsigned receiver_open_count(const struct receiver *r);

#endif
