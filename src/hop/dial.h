/* SPDX-License-Identifier: ISC */
/*
 * dial.h - a name to a connected descriptor
 *
 * What:     resolves host and port anew each time and tries its addresses in
 *           order, each for DIAL_MS at most, all of them for twice that; for
 *           a peer "https://host" its edge (edge.h) says hello and gives the
 *           descriptor.
 * Used by:  src/hop/sender.c.
 */
#ifndef EMPLOG_DIAL_H
#define EMPLOG_DIAL_H

#include "hop/edge.h"
#include "hop/peers.h"
#include "loop/loop.h"

#define DIAL_MS	5000

struct env;

struct dial {
	struct env	*env;
	void		(*done)(struct dial *d, int res);
	void		*arg;
	struct op	 resolve, connect, close, timer;
	uint64_t	 until_ns;	/* of this step */
	struct loop_addr addr[4];
	unsigned	 addrs, at;
	bool		 active, cancelled, decided;
	int		 res;
	char		 host[256], port[32];
	/* peers that have one, by the text of the list */
	struct dial_edge { const char *peer; struct edge *edge; }
			 edges[PEERS_MAX];
	unsigned	 edges_n, edges_open;
	struct edge	*edge;		/* the one dialled last, or NULL */
	bool		 closing;
};

/*
 * done(d, res) ends each dial_start(): a descriptor, or why the last address
 * failed; -ECANCELED after dial_cancel().
 */
void	 dial_init(struct dial *d, struct env *env,
	    void (*done)(struct dial *d, int res), void *arg);
/* Borrows peer; makes its edge if it has one.  -EINVAL, -ENOMEM. */
int	 dial_know(struct dial *d, const char *peer,
	    const struct edge_conf *conf);
/* name is the pointer that was made known; peer is what it says. */
void	 dial_start(struct dial *d, const char *name,
	    const struct peer *peer);
/* Once: cancels, and ends the edges; done() comes when the last has ended. */
void	 dial_close(struct dial *d);
/* No dial is under way; after dial_close(): all has ended. */
bool	 dial_idle(const struct dial *d);
void	 dial_fini(struct dial *d);
/* Of the edge dialled last, see edge.h; without one "" and 0. */
bool	 dial_is_edge(const struct dial *d);
const char *dial_why(const struct dial *d);
int	 dial_error(const struct dial *d);
uint64_t dial_wait_ns(const struct dial *d);

#endif
