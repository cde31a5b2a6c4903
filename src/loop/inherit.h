/* SPDX-License-Identifier: ISC */
/*
 * inherit.h - sockets that were there before this process, and outlive it
 *
 * What:     a listening socket that somebody else opened (a service manager,
 *           or a predecessor that was killed) is taken over by loop_listen()
 *           when its address is the one asked for, and connections that came
 *           in through it and were not heard yet by whoever listens.
 * Used by:  roles/main.c gives them; src/hop/port.c asks for its connections.
 *
 *   LISTEN_FDS (systemd) --+
 *                          +--> loop_inherit() --> loop_listen() by address
 *   roles/keep.h ----------+                  \--> loop_heir() by listener
 *
 * Close-on-exec says who a descriptor belongs to.  Set: it ends with this
 * process, as everything the loop opens.  Clear, after loop_outlive(): a
 * listening socket, or a connection of which nothing has been taken yet.  The
 * kernel keeps what its peer sent, so a successor can hear it from the start.
 *
 * Invariants
 *   1. An inherited descriptor is handed out once, by loop_listen() or by
 *      loop_heir(), or it is closed by loop_inherit_end().
 *   2. A connection goes to nobody but the listener it came in through.
 */
#ifndef EMPLOG_INHERIT_H
#define EMPLOG_INHERIT_H

#include "loop/loop.h"

/* What a loop holds of them; see backend.h. */
struct inherited {
	int		*fds;		/* -1: handed out */
	unsigned	 n;
	bool		 outlive;	/* loop_outlive() was called */
};

/*
 * LISTEN_FDS of systemd, if LISTEN_PID says that they are for this process:
 * the descriptors are 3 and up, *ret_n of them.  0; -EINVAL: the variables
 * are no numbers, or too many.
 */
#define INHERIT_FIRST	3
#define INHERIT_MAX	64
int	 inherit_listed(char *const *env, unsigned *ret_n);

/*
 * Takes over n descriptors; before the first loop_listen(), once.  What is no
 * TCP socket is left alone.  -ENOMEM: nothing was taken over.
 */
int	 loop_inherit(struct loop *l, const int *fds, unsigned n);
/*
 * Closes what nobody asked for and returns how many listening sockets were
 * among it; text gets the address of the first.  Its connections, if any, are
 * reset.
 */
unsigned loop_inherit_end(struct loop *l, char text[LOOP_ADDR_TEXT]);

/* From now on what is listened to and accepted is left open at the end. */
void	 loop_outlive(struct loop *l);
bool	 loop_outlives(const struct loop *l);

/*
 * A connection inherited with this listener, as from loop_accept(); -ENOENT:
 * there is none, or none any more.
 */
int	 loop_heir(struct loop *l, int listen_fd, struct loop_addr *ret_peer);
/*
 * Something of it will be taken now: it ends with this process.  Undoes what
 * loop_await() set.
 */
void	 loop_own(struct loop *l, int fd);

/* For loop_listen(): -ENOENT when none has this address. */
int	 inherit_listener(struct loop *l, const struct loop_addr *at,
	    struct loop_addr *ret_bound);
/* For the backends: SOCK_CLOEXEC or, after loop_outlive(), 0. */
int	 inherit_flags(const struct loop *l);
/* For loop_free(). */
void	 inherit_fini(struct loop *l);

#endif
