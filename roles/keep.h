/* SPDX-License-Identifier: ISC */
/*
 * keep.h - a parent that keeps the ports while the one who works is replaced
 *
 * What:     --keep makes two processes.  The child does all the work; the
 *           keeper waits for it, passes signals on, and starts the next one
 *           when it was killed or crashed.
 * Why:      a client that knows no retry must meet no closed port.  What is
 *           in the backlog of a listening socket, and what a peer has sent
 *           into an accepted one, is the kernel's and outlives the child, if
 *           somebody has the descriptor.
 * Never:    reads, writes or accepts; has no data and can lose none.
 *
 *                    one table of descriptors (CLONE_FILES)
 *               +-------------------------------------------+
 *     keeper ---+  listening sockets, connections unheard   +--- child
 *       |       |  (no close-on-exec: stay)                 |     opens,
 *       |       |  all else (close-on-exec)                 |     accepts,
 *       |       +-------------------------------------------+     works
 *       |                                                          |
 *       +<---------------------- SIGCHLD ---------------------- killed
 *       +--- closes what is close-on-exec, as exec(2) would
 *       +--- clone() ------------------------------------> next child, which
 *                                              takes the rest: loop/inherit.h
 *
 * Invariants
 *   1. At most one child lives, and it dies with the keeper (SIGKILL).
 *   2. Between a child's death and the next one's birth everything it had
 *      opened close-on-exec is closed: its locks are free.
 *   3. The keeper ends with its child's status when the child has ended by
 *      itself, was told to, or never came to be ready.
 */
#ifndef EMPLOG_KEEP_H
#define EMPLOG_KEEP_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "loop/inherit.h"

/* What a process finds when it begins. */
struct kept {
	pid_t		 keeper;	/* 0: there is none */
	const int	*fds;		/* sockets to take over */
	int		 listed[INHERIT_MAX];	/* fds of the first one */
	unsigned	 n;
	uint32_t	 starts;	/* how many there were before this one */
	atomic_bool	*ready;		/* shared with the keeper; NULL: none */
};

/*
 * No keeper; what a service manager lists in env is to be taken over.  k is
 * whole also when it fails.  -EINVAL: LISTEN_FDS is no number, or too large.
 */
int	 kept_init(struct kept *k, char *const *env);
/* The child is ready: from now on its end by a fault is not the keeper's. */
void	 keep_ready(const struct kept *k);
/*
 * Is the keeper: work(arg, kept) runs in child after child, and what it
 * returns is its exit status.  Returns the exit status of the whole, in the
 * keeper and in each child.  given: as of kept_init().
 */
int	 keep_run(const struct kept *given,
	    int (*work)(void *arg, const struct kept *kept), void *arg);

#endif
