/* SPDX-License-Identifier: ISC */
/*
 * shake.h - the client's side of a connection, before its first record
 *
 * What:     TLS where the peer's scheme says so, then Forward's handshake by
 *           the shared key where there is one.
 * Used by:  src/hop/sender.c.
 *
 *   connected -> [TLS] -> [HELO -> PING -> PONG] -> done(0)
 *
 * A server with a key speaks first; one that says nothing for KEY_SHAKE_MS
 * has none, and a connection with a key ends there: it would not be checked.
 */
#ifndef EMPLOG_SHAKE_H
#define EMPLOG_SHAKE_H

#include "hop/key.h"
#include "hop/peers.h"
#include "loop/loop.h"

#define SHAKE_WHY	256

struct env;
struct tls;

struct shake_conf {		/* all borrowed */
	struct tls	*tls;		/* NULL: no peer is tls:// */
	const char	*name;		/* of the certificate; NULL: the host */
	const char	*sni;		/* NULL: name */
	const struct hop_key *key;	/* NULL: none */
};

struct shake {
	struct env	*env;
	struct shake_conf conf;
	void		(*done)(struct shake *s, int res);
	void		*arg;
	int		 fd;
	unsigned	 step;
	bool		 active;
	int		 res;		/* decided, when not 1 */
	struct op	 op, timer;
	struct iovec	 iov;
	struct key_helo	 helo;
	char		 salt[KEY_SALT + 1];
	size_t		 len;		/* of buf */
	uint8_t		 buf[KEY_IN_MAX];
	char		 why[SHAKE_WHY];
};

void	 shake_init(struct shake *s, struct env *env,
	    const struct shake_conf *conf, void (*done)(struct shake *s, int res),
	    void *arg);
/*
 * fd is connected and stays the caller's.  done(s, 0); -EACCES: a
 * certificate or the key was refused, -EPROTO, -ETIMEDOUT, -ECONNRESET,
 * -ECANCELED, …: why says it in words, where strerror() does not.
 */
void	 shake_start(struct shake *s, int fd, const struct peer *peer);
void	 shake_cancel(struct shake *s);
bool	 shake_idle(const struct shake *s);

#endif
