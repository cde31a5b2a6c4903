/* SPDX-License-Identifier: ISC */
/*
 * backend.h - the seam between the loop and what carries out its operations
 *
 * What:     loop.c is the half all backends share: the life of an op, the
 *           ready queue, timers, one clock reading per turn, the checks.  A
 *           backend (epoll, uring, sim) is one table of functions.
 * Used by:  loop.c, the backends, worker.c, post.c.  Nobody else: callers of
 *           the loop see loop.h alone.
 *
 *   loop_recv() ...          loop.c                        backend
 *        |            op_start(): checks, counts
 *        +--------------------------------------------> submit(l, op)
 *                                                            |
 *                 ready queue <-- loop_complete(l, op, res) -+  now or later
 *   loop_turn():                                             |
 *        timers_due() ------------------------------->  wait(l, until)
 *        now, wall  <--------------------------------  now(l), wall(l)
 *        expired timers --> ready queue
 *        for each that was ready: op idle, done(op)
 *
 *        another thread: loop_complete_from_thread() --> hand-over list
 *                        + eventfd --> loop_hand_take() in wait()
 *
 * Contract of a backend
 *   1. submit() gets an op whose kind and arguments are set.  The op is the
 *      backend's until loop_complete(), which it calls exactly once per
 *      submit(), from submit() itself or later: done() is never called there.
 *   2. OP_TIMER never reaches a backend, nor does an op that is ready.
 *   3. While the op is the backend's, so are op->state, next, prevp, seq and
 *      priv (zero at submit()).  It is on no list when it is completed.
 *   4. cancel(l, op) is called at most once per submission, with op->cancelled
 *      set.  The backend sees to it that the op completes soon, with
 *      -ECANCELED or with what it came to; a file operation that runs is let
 *      run.  An accept or open that came first still delivers a descriptor.
 *   5. wait(l, until_ns) returns when an op was completed, when now() has
 *      reached until_ns, or early for any other cause (a signal).
 *      until_ns 0: it looks and does not wait; UINT64_MAX: there is no limit.
 *   6. A descriptor number is small: loop.c keeps 24 bytes for each number up
 *      to the highest one used.
 *   7. One thread calls everything here but loop_complete_from_thread().
 *
 * Several loops may live in one process (sim: one for each simulated one).
 * A test that drives them itself reads loop_due() and loop_ready() and calls
 * loop_turn(l, false).
 */
#ifndef EMPLOG_BACKEND_H
#define EMPLOG_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/inherit.h"
#include "loop/loop.h"

struct backend {
	const char	*name;		/* for loop_name() */
	int		 socket_flags;	/* SOCK_NONBLOCK or 0: as it wants them */
	void		(*submit)(struct loop *l, struct op *op);
	void		(*cancel)(struct loop *l, struct op *op);
	void		(*wait)(struct loop *l, uint64_t until_ns);
	/* Read afresh at each call; loop.c calls them once per turn. */
	uint64_t	(*now)(struct loop *l);
	uint64_t	(*wall)(struct loop *l);
	void		(*random)(struct loop *l, void *buf, size_t n);
	/* The descriptor or -errno; *ret_bound untouched on failure. */
	int		(*listen)(struct loop *l, const struct loop_addr *at,
			    struct loop_addr *ret_bound);
	/* Two connected streams; 0 or -errno. */
	int		(*pair)(struct loop *l, int ret_fd[2]);
	/* Ends the sending direction; 0 or -errno. */
	int		(*shutdown)(struct loop *l, int fd);
	/* NULL: it does nothing. */
	void		(*defer)(int listen_fd);
	/* struct loop_watch is the backend's own type. */
	int		(*watch_open)(struct loop *l, const char *dir,
			    struct loop_watch **ret_watch);
	void		(*watch_close)(struct loop *l, struct loop_watch *w);
	/*
	 * NULL: post.c sends it with libcurl.  Else it takes OP_POST as
	 * submit() takes the others, and cancel() cancels it.
	 */
	void		(*post)(struct loop *l, struct op *op);
	/* Releases l->be_state.  No op is pending. */
	void		(*free)(struct loop *l);
};

/*
 * What lies between a descriptor's ops and the backend (tls.c).  start() gets
 * recv, send and close; their op is the layer's until loop_complete(), but a
 * close goes on to the backend in the end.  cancel() as a backend's.
 */
struct fd_layer;
struct fd_layer_calls {
	void		(*start)(struct fd_layer *layer, struct op *op);
	void		(*cancel)(struct fd_layer *layer, struct op *op);
	/* loop_shutdown(); what was sent before is with the backend. */
	int		(*shutdown)(struct fd_layer *layer);
};
struct fd_layer {
	const struct fd_layer_calls *calls;
};

/* What loop.c knows of a descriptor number. */
struct fd_use {
	struct op	*waiting;	/* the backend's: ops that wait on it */
	struct fd_layer	*layer;		/* NULL: ops go to the backend */
	uint16_t	 ops;		/* pending ops that name it */
	bool		 receiving;	/* accept or recv is pending */
	bool		 sending;
};

/* Ops finished by other threads, newest first. */
struct hand {
	_Atomic(struct op *) first;
	int		 fd;		/* eventfd; -1: not opened */
};

/* What post.c hangs on a loop at its first request. */
struct post_part {
	void		*state;
	/* By loop_cancel(): the op shall complete soon, from either thread. */
	void		(*cancel)(struct loop *l, struct op *op);
	/* At loop_free(), no post is pending: joins the thread. */
	void		(*free)(struct loop *l);
};

struct loop {
	uint32_t	 magic;		/* LOOP_MAGIC */
	const struct backend *be;
	void		*be_state;	/* the backend's */
	uint64_t	 now_ns;
	uint64_t	 wall_ns;
	size_t		 pending;
	struct op	*ready;		/* finished, oldest first */
	struct op	**ready_end;
	size_t		 ready_n;
	struct op	*timers;	/* heap, see timers.h */
	uint64_t	 timer_seq;
	struct fd_use	*fds;		/* by descriptor */
	size_t		 fds_n;
	struct hand	 hand;
	struct post_part post;
	struct inherited inherited;
	bool		 stop;
	bool		 turning;	/* inside loop_turn() */
};
#define LOOP_MAGIC	0x4c4f4f50U

/* ---- for a backend ---- */

/*
 * A loop on top of be; takes over be_state when it succeeds.  -ENOMEM.
 * be->now and be->wall are called at once.
 */
int	 loop_make(struct loop **ret_loop, const struct backend *be,
	    void *be_state);
/* The op has finished; its done() is called by a coming loop_turn(). */
void	 loop_complete(struct loop *l, struct op *op, int64_t res);
/* The record of a descriptor, or NULL: no memory for it. */
struct fd_use *loop_fd(struct loop *l, int fd);
/* Deadline of the first timer, UINT64_MAX when there is none. */
uint64_t loop_due(const struct loop *l);
/* Ops that are finished and wait for loop_turn(). */
size_t	 loop_ready(const struct loop *l);

/*
 * Builds the answer of an OP_LIST, in any thread.  Start with a zeroed
 * struct; add each name but "." and ".."; then end, which sorts, gives the
 * names to op->list in one malloc'ed block and returns their number.  The
 * first error sticks and comes out of list_end(): -ENOMEM, -E2BIG.
 */
#define LOOP_LIST_MAX	65536
struct list_names {
	char	*text;
	size_t	 len;
	size_t	 cap;
	size_t	 n;
	int	 error;
};
void	 list_add(struct list_names *ln, const char *name);
int64_t	 list_end(struct list_names *ln, struct op *op);

/* ---- for those who have a thread of their own: worker.c, post.c ---- */

/* Opens the hand-over of a loop; at the second call does nothing.  -errno. */
int	 loop_hand_open(struct loop *l);
/* What was handed over has been taken.  loop_free() calls it. */
void	 loop_hand_close(struct loop *l);
/*
 * The one call for another thread: op has finished with res, as by
 * loop_complete().  The loop wakes up.  The thread must not touch op again.
 * A thread that calls it is stopped before be->free or post.free returns.
 * loop_hand_open() was called before; both real backends do so at start.
 */
void	 loop_complete_from_thread(struct loop *l, struct op *op, int64_t res);
/* Empties the eventfd and completes what was handed over, oldest first. */
void	 loop_hand_take(struct loop *l);

/*
 * Starts an op: checks that it is idle and counts it.  fd is the descriptor
 * it names, or -1.  False: no memory, the op is completed with -ENOMEM.
 *
 * loop_post() is in post.c and is the only user outside loop.c:
 *
 *	op_start(l, op, OP_POST, -1); op->post = post;
 *	if (l->be->post != NULL) { l->be->post(l, op); return; }
 *	first time: l->post = (struct post_part){ state, cancel, free };
 *	give op to the thread, which ends it by loop_complete_from_thread().
 */
bool	 op_start(struct loop *l, struct op *op, enum op_kind kind, int fd);
/*
 * Gives a started op to the layer of its descriptor, else to the backend.  A
 * layer's own ops have op->inner set after op_init(): they go past it and are
 * not counted among those that name the descriptor.
 */
void	 op_submit(struct loop *l, struct op *op);

/* ---- the real backends; made by choose.c ---- */

/* 0 or -errno. */
int	 loop_epoll_new(struct loop **ret_loop);
int	 loop_uring_new(struct loop **ret_loop);
/*
 * What stands against io_uring here, found out in this very process (call it
 * in a child): 0, or -errno of the first call refused; -EOPNOTSUPP: the
 * kernel's lacks something we need.
 */
int	 loop_uring_probe(void);

#endif
