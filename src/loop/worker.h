/* SPDX-License-Identifier: ISC */
/*
 * worker.h - one helper thread that carries out operations which may wait
 *
 * What:     a queue of ops, done one after the other; each goes back to the
 *           loop by loop_complete_from_thread().  The thread starts with the
 *           first op, so a loop that never needs it has none.
 * Used by:  loop_epoll.c and loop_uring.c: one for files, and one for names,
 *           because a DNS server that does not answer must not hold up an
 *           fsync.
 *
 *   loop's thread                      worker's thread
 *   worker_submit --> queue -----> take (copy of op) --> run
 *                                                         |
 *   loop_hand_take <-- hand-over list <-- copy back ------+
 *
 * Cancelling
 *   Queued: completes with -ECANCELED at once.  Running: a file operation
 *   ends as it ends; a question to the DNS is abandoned, the op completes with
 *   -ECANCELED at once and the thread throws the answer away.
 */
#ifndef EMPLOG_WORKER_H
#define EMPLOG_WORKER_H

#include "loop/backend.h"

struct worker;

/* op->state of an op that a worker has; a backend's own differ. */
#define WORKER_STATE	1

enum worker_kind { WORKER_FILES, WORKER_NAMES };

/* -ENOMEM.  Starts no thread yet. */
int	 worker_new(struct worker **ret_worker, struct loop *l,
	    enum worker_kind kind);
/*
 * No op is pending.  Ends the thread; one that still waits for an abandoned
 * answer is left to end by itself and touches nothing of the loop.
 */
void	 worker_free(struct worker **worker);
/* Takes any op real_file() or real_resolve() can do. */
void	 worker_submit(struct worker *w, struct op *op);
void	 worker_cancel(struct worker *w, struct op *op);

#endif
