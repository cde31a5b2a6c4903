/* SPDX-License-Identifier: ISC */
/*
 * dial.h - a name to a connected descriptor
 *
 * What:     resolves host and port anew each time and tries its addresses in
 *           order, each for DIAL_MS at most.
 * Used by:  src/hop/sender.c.
 */
#ifndef EMPLOG_DIAL_H
#define EMPLOG_DIAL_H

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
};

/*
 * done(d, res) ends each dial_start(): a descriptor, or why the last address
 * failed; -ECANCELED after dial_cancel().
 */
void	 dial_init(struct dial *d, struct env *env,
	    void (*done)(struct dial *d, int res), void *arg);
void	 dial_start(struct dial *d, const char *host, const char *port);
void	 dial_cancel(struct dial *d);
bool	 dial_idle(const struct dial *d);

#endif
