/* SPDX-License-Identifier: ISC */
/*
 * onward.h - a queue's frames sent on through a hop, and committed on ack
 *
 * What:     takes frames while the sender has room, keeps each until it is
 *           acknowledged, commits it.  After a lost connection the queue is
 *           rewound: what was not acknowledged is sent again, in order.  When
 *           there is a connection and the queue has a backlog, what is fresh
 *           goes beside it (queue_return()).
 * Used by:  roles/relay.c (relay.next).
 * Bounds:   ONWARD_MAX frames in flight, and what the sender allows.
 */
#ifndef EMPLOG_ONWARD_H
#define EMPLOG_ONWARD_H

struct env;
struct onward;
struct queue;
struct sender;

#define ONWARD_MAX	32

/* Borrows both. 0 or -ENOMEM. */
int	 onward_new(struct onward **ret_o, struct env *env,
	    struct queue *queue, struct sender *sender);
/* The queue said notify(), or the sender up(). */
void	 onward_go(struct onward *o);
/* After sender_close(): nothing is in flight. */
void	 onward_free(struct onward **o);

#endif
