/* SPDX-License-Identifier: ISC */
/*
 * port.h - one listening port, protocols told by the first byte
 *
 *   0x16            TLS, and inside of it again one of these
 *   'A'..'Z'        HTTP: handed to serve, inside of TLS by a bridge
 *   0x90-0x9f, dc, dd   msgpack array: handed to the receiver
 *   anything else   closed and counted (recv_bad)
 *
 * A connection that sends nothing (a health check, Fluentd's heartbeat) is
 * closed after first_byte_ms and is no error.
 *
 * With a key the server has to speak first (HELO), which HTTP does not bear:
 * a port without serve says it at once (where TLS is left to the client,
 * after PORT_PATIENCE_MS without a byte of it), one with serve to whom has
 * been silent for PORT_PATIENCE_MS.  HTTP's own key is serve's handler's.
 */
#ifndef EMPLOG_PORT_H
#define EMPLOG_PORT_H

#include "loop/loop.h"

#define PORT_PATIENCE_MS	300

struct bridges;
struct env;
struct hop_key;
struct port;
struct receiver;
struct serve;
struct tls;

enum port_tls { PORT_PLAIN, PORT_TLS, PORT_BOTH };

struct port_conf {
	const char	*listen;	/* "127.0.0.1:24224" */
	struct receiver	*receiver;	/* NULL: Forward is refused */
	struct serve	*serve;		/* NULL: HTTP is refused */
	bool		 defer;		/* as loop_defer() */
	unsigned	 connections_max; /* waiting for a byte; 256 when 0 */
	uint32_t	 first_byte_ms;	/* 60000 when 0 */
	enum port_tls	 secure;
	struct tls	*tls;		/* a server's, unless PORT_PLAIN */
	struct bridges	*bridges;	/* for HTTP inside TLS; with tls and serve */
	const struct hop_key *key;	/* NULL: none; needs a receiver */
	/* Or NULL.  Somebody was refused; at most one text in 10 s. */
	void		(*note)(void *arg, const char *text);
	void		*arg;
};

/* Listens at once: -EADDRINUSE, -EACCES, -EINVAL, -ENOMEM. */
int	 port_open(struct port **ret_p, struct env *env,
	    const struct port_conf *conf);
/* Where it is bound (port 0 was asked for in tests). */
const struct loop_addr *port_bound(const struct port *p);
/* Stops accepting; closed(arg) when nothing is pending. */
void	 port_close(struct port *p, void (*closed)(void *arg), void *arg);
void	 port_free(struct port **p);

#endif
