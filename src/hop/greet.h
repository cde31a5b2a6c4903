/* SPDX-License-Identifier: ISC */
/*
 * greet.h - the server's side of Forward's handshake by a shared key
 *
 * What:     says HELO, reads the PING, says PONG; who does not know the key
 *           is told so.
 * Used by:  src/hop/port.c.
 */
#ifndef EMPLOG_GREET_H
#define EMPLOG_GREET_H

#include "hop/key.h"
#include "loop/loop.h"

struct env;

struct greet {
	struct env	*env;
	const struct hop_key *key;	/* borrowed */
	void		(*done)(struct greet *g, int res);
	void		*arg;
	int		 fd;
	unsigned	 step;
	int		 res;		/* after the PONG */
	struct op	 op;
	struct iovec	 iov;
	struct key_helo	 helo;
	size_t		 len;		/* of in */
	uint8_t		 out[KEY_SAY_MAX];
	uint8_t		 in[KEY_IN_MAX];
};

/*
 * done(g, 0): the peer knows the key; -EACCES: it does not, and was told;
 * -EBADMSG: that was no PING; -ECONNRESET, -ECANCELED, ….  fd stays the
 * caller's.  No time limit: the caller cancels.
 */
void	 greet_start(struct greet *g, struct env *env,
	    const struct hop_key *key, int fd,
	    void (*done)(struct greet *g, int res), void *arg);
/* done() comes once its operation has ended. */
void	 greet_cancel(struct greet *g);

#endif
