/* SPDX-License-Identifier: ISC */
/*
 * secure.h - what a role's hops are guarded with: certificates and the key
 *
 * What:     reads the TLS files common.tls_* names before the role opens its
 *           ports and dials, tells the operator when they change or end, and
 *           has the shared key in the two shapes hops take it.
 * Used by:  roles/agent.c, roles/station.c.
 *
 *   secure_open() -> [client's files] -> [server's files] -> opened()
 */
#ifndef EMPLOG_SECURE_H
#define EMPLOG_SECURE_H

#include "hop/edge.h"
#include "hop/key.h"
#include "hop/port.h"
#include "hop/sender.h"
#include "roles/role.h"

struct secure {
	struct role	*role;
	struct tls	*client, *server;	/* NULL: not wanted */
	char		 host[2][KEY_HOST_MAX + 1];
	struct hop_key	 out, in;	/* of a sender, of a port */
	struct edge_conf edge;
	unsigned	 step;
	void		(*next)(void *arg);	/* opened or closed */
	void		*arg;
};

/*
 * Certificates for peers (a list as agent.relay, or NULL) and, where listens
 * and common.tls_listen say so, for ports.  opened(arg) comes later; a
 * failure is role_fail()ed instead.
 */
void	 secure_open(struct secure *s, struct role *role, const char *peers,
	    bool listens, void (*opened)(void *arg), void *arg);
/* After all who use it. */
void	 secure_close(struct secure *s, void (*closed)(void *arg), void *arg);
void	 secure_free(struct secure *s);

/* Fills what of a sender's or a port's conf is about this. */
void	 secure_sender(struct secure *s, struct sender_conf *sc);
void	 secure_port(struct secure *s, struct port_conf *pc);
/* The shared key, or NULL. */
const char *secure_key(const struct secure *s);

#endif
