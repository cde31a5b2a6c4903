/* SPDX-License-Identifier: ISC */
/*
 * tls.h - TLS 1.3 as a property of a descriptor (OpenSSL behind it)
 *
 * What:     after loop_tls() has completed, loop_recv(), loop_peek(),
 *           loop_send() and loop_close() on that descriptor mean the bytes
 *           inside TLS; whoever reads and writes there need not know.
 * Used by:  src/hop (port, sender), src/loop/bridge.c.
 * Never:    skips a check of a certificate, takes an older TLS, or puts a
 *           key's bytes into a text.
 *
 *      loop_send(op) -> copy -> SSL_write -> out -> send of the backend
 *      loop_recv(op) <- SSL_read <-- in <--------- recv of the backend
 *
 *   struct tls is one side's identity: certificate and key, whom it trusts.
 *   Its files are read again when a handshake begins and the last look is
 *   over a second old: a renewed certificate, written in place, renamed over
 *   the old one or behind a symlink, is used from then on without a restart.
 *   Files that do not fit each other are told once and the last good ones go
 *   on being used.
 *
 * Invariants
 *   1. A send completes when its bytes are with the kernel, as without TLS.
 *      Where it is cancelled or the connection lost before, those already
 *      encrypted count as sent: some may be with the peer.  What it was given
 *      is copied once, at once, and a page that has vanished is -EFAULT as
 *      there.
 *   2. Memory per descriptor is fixed: TLS_IN_BYTES, TLS_OUT_BYTES and what
 *      OpenSSL keeps for a connection.
 *   3. Nothing is read before it is verified; a failed handshake closes
 *      nothing: the descriptor is the caller's, good for loop_close() alone.
 *
 * OpenSSL takes its randomness and the date for certificates by itself: an
 * exception to "all through the loop", like libcurl.  The simulator has no
 * TLS.
 */
#ifndef EMPLOG_TLS_H
#define EMPLOG_TLS_H

#include "loop/loop.h"

struct env;
struct tls;

#define TLS_WHY		256

struct tls_conf {
	bool		 server;
	/* PEM files.  A server needs both; a client may have neither. */
	const char	*cert;		/* the chain, own certificate first */
	const char	*key;
	/*
	 * Whom to trust.  Client: NULL means the system's.  Server: NULL asks
	 * for no certificate; else each client must have one.
	 */
	const char	*ca;
};

/* Copies conf.  0 or -ENOMEM. */
int	 tls_new(struct tls **ret_t, struct env *env,
	    const struct tls_conf *conf);
/*
 * Reads the files; opened(arg, res, why): 0, or -errno and in words what is
 * wrong with which file; never from inside this call.
 */
void	 tls_open(struct tls *t, void (*opened)(void *arg, int res,
	    const char *why), void *arg);
/* After loop_tls() on it has completed everywhere and closed() came. */
void	 tls_free(struct tls **t);
/* Ends its timer and files; closed(arg) later. */
void	 tls_close(struct tls *t, void (*closed)(void *arg), void *arg);
/* When the own certificate ends, s since 1970; 0: there is none. */
uint64_t tls_expires(const struct tls *t);
/*
 * Called with a text when files were renewed, when they were refused (the
 * ones before stay in use), and when the certificate ends within 14 days.
 */
enum tls_news { TLS_RENEWED, TLS_REFUSED, TLS_ENDS };
void	 tls_on_news(struct tls *t, void (*news)(void *arg,
	    enum tls_news what, const char *text), void *arg);

/*
 * Shakes hands on a connected descriptor that has no op pending.  Client:
 * name is what the certificate must be for (a host or an address), sni what
 * is asked for (NULL: name, unless that is an address).  Server: both NULL.
 * res 0; -EACCES a certificate was refused (ours or the peer's); -EPROTO no
 * TLS 1.3 there; -ECONNRESET, -ETIMEDOUT (after TLS_SHAKE_MS), -ENOMEM.
 */
#define TLS_SHAKE_MS	10000
void	 loop_tls(struct loop *l, struct op *op, int fd, struct tls *t,
	    const char *name, const char *sni);
/* Why it failed, for people; "" when nothing did.  Until loop_close(). */
const char *loop_tls_why(const struct loop *l, int fd);

#endif
