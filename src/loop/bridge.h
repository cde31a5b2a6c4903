/* SPDX-License-Identifier: ISC */
/*
 * bridge.h - a plain descriptor for what the loop alone can read
 *
 * What:     TLS is a property of a descriptor inside the loop; a library that
 *           reads descriptors itself (libmicrohttpd) gets the other end of a
 *           pair, and the bytes are carried across.
 * Used by:  src/hop/port.c: HTTP inside TLS on a port.
 * Never:    keeps more than BRIDGE_BYTES of a direction, or reads on while
 *           the other side does not take.
 *
 *      peer ==TLS== fd          near end --- far end: libmicrohttpd's
 *                    \__ in  -->/   pair of the loop
 *                     `- out <--'
 *
 * Invariants
 *   1. The end of one direction is the end of that direction on the other
 *      side, behind all its bytes; the other direction goes on.
 *   2. When the plain side ended, the peer has BRIDGE_LINGER_MS to end too;
 *      what it still says is passed over, so that no reset overtakes the
 *      answer.  When the peer is gone, both sides are closed at once.
 *   3. Memory of a bridge: 2 * BRIDGE_BYTES, and what TLS keeps.
 */
#ifndef EMPLOG_BRIDGE_H
#define EMPLOG_BRIDGE_H

#include "loop/loop.h"

#define BRIDGE_BYTES	(16u << 10)
#define BRIDGE_LINGER_MS 2000
#define BRIDGE_CLOSE_MS	300	/* for the last answers at bridges_close() */

struct env;
struct bridges;

/* A set of at most max bridges, 1024 when 0.  Borrows env.  -ENOMEM. */
int	 bridges_new(struct bridges **ret_set, struct env *env, unsigned max);
/*
 * Takes over fd, which has no op pending; *ret_plain is the far end, the
 * caller's.  -EMFILE (too many, or no descriptors), -ESHUTDOWN: the set is
 * being closed, -ENOMEM; fd is the caller's then.
 */
int	 bridge_new(struct bridges *set, int fd, int *ret_plain);
unsigned bridges_open_count(const struct bridges *set);
/*
 * No more of them; each ends when what the plain side has said is across, or
 * BRIDGE_CLOSE_MS have passed.  Then closed(arg), never from inside this call.
 */
void	 bridges_close(struct bridges *set, void (*closed)(void *arg),
	    void *arg);
/* After closed().  Accepts NULL. */
void	 bridges_free(struct bridges **set);

#endif
