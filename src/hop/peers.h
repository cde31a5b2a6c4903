/* SPDX-License-Identifier: ISC */
/*
 * peers.h - which peer to try next, and how long to wait before
 *
 * What:     "host:port[, tls://host:port...]" in the order given; after the
 *           last one a pause with full jitter, 100 ms doubling to 5 s.
 * Used by:  src/hop/sender.c; src/config asks peer_parse().
 *
 *   host:port, tcp://host:port     Forward in clear
 *   tls://host:port                Forward inside TLS
 *   https://host[:port][/path]     Forward messages as POSTs, through an edge
 *   http://host[:port][/path]      the same in clear
 *
 *   how it ended                               tried next     pause before
 *   cut, after it had worked for 5 s           the first      short
 *   refused, silent, or cut before that        the next one   none
 *   ... and that was the last of the list      the first      doubles
 *
 * Who fell silent may still look alive to a dial, as a stopped process does:
 * so the next one.  The pause begins anew when a connection has worked for
 * longer than a quarter of what the pause may be: a peer that comes and goes
 * at once is dialled ever more seldom, one behind a bad line is not.
 */
#ifndef EMPLOG_PEERS_H
#define EMPLOG_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEERS_MAX	16u
#define PEER_PATH	"/v1/forward"	/* where a URL has none */

struct env;

enum peer_scheme { PEER_TCP, PEER_TLS, PEER_HTTP, PEER_HTTPS };

struct peer {
	enum peer_scheme scheme;
	char		 host[256];	/* an IPv6 address without brackets */
	char		 port[8];	/* 1 to 65535 */
	char		 path[128];	/* of a URL; else "" */
};

/* -EINVAL: none of the above. */
int	 peer_parse(const char *text, size_t n, struct peer *ret);
bool	 peer_is_tls(const struct peer *p);
/* PEER_HTTP or PEER_HTTPS. */
bool	 peer_is_url(const struct peer *p);

struct peers {
	struct env	*env;
	char		*text;		/* own copy, cut into names */
	const char	*name[PEERS_MAX];
	unsigned	 n;
	unsigned	 at;
	unsigned	 rounds;	/* through the list, without success */
	bool		 worked;	/* it answered on this connection */
};

/* -EINVAL: empty, too many or no peer; -ENOMEM. */
int	 peers_init(struct peers *p, struct env *env, const char *list);
void	 peers_fini(struct peers *p);
/* The one in use, or tried: as it was written. */
const char *peers_name(const struct peers *p);
void	 peers_peer(const struct peers *p, struct peer *ret);
/*
 * An attempt failed (up_ns 0), or a connection that was up for so long ended;
 * cut: by somebody there, not by silence.  Returns how long to wait, ns: a
 * pause is as long as it asked to be left alone, 5 s at most.
 */
uint64_t peers_failed(struct peers *p, bool cut, uint64_t up_ns,
	    uint64_t asked_ns);
/* It answered on the connection there is. */
void	 peers_worked(struct peers *p);

#endif
