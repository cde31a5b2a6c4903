/* SPDX-License-Identifier: ISC */
/*
 * port.h - one listening port, protocols told by the first byte
 *
 *   0x16            TLS: not configured here yet, closed and counted
 *   'A'..'Z'        HTTP: handed to serve
 *   0x90-0x9f, dc, dd   msgpack array: handed to the receiver
 *   anything else   closed and counted (recv_bad)
 *
 * A connection that sends nothing (a health check, Fluentd's heartbeat) is
 * closed after first_byte_ms and is no error.
 */
#ifndef EMPLOG_PORT_H
#define EMPLOG_PORT_H

#include "loop/loop.h"

struct env;
struct port;
struct receiver;
struct serve;

struct port_conf {
	const char	*listen;	/* "127.0.0.1:24224" */
	struct receiver	*receiver;	/* NULL: Forward is refused */
	struct serve	*serve;		/* NULL: HTTP is refused */
	unsigned	 connections_max; /* waiting for a byte; 256 when 0 */
	uint32_t	 first_byte_ms;	/* 60000 when 0 */
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
