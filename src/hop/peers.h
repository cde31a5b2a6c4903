/* SPDX-License-Identifier: ISC */
/*
 * peers.h - which peer to try next, and how long to wait before
 *
 * What:     "host:port[, host:port...]" in the order given; after the last
 *           one a pause with full jitter, 100 ms doubling to 5 s.
 * Used by:  src/hop/sender.c.
 */
#ifndef EMPLOG_PEERS_H
#define EMPLOG_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#define PEERS_MAX	16

struct env;

struct peers {
	struct env	*env;
	char		*text;		/* own copy, cut into names */
	const char	*name[PEERS_MAX];
	unsigned	 n;
	unsigned	 at;
	unsigned	 rounds;	/* through the list, without success */
	bool		 worked;	/* the one at at answered */
};

/* -EINVAL: empty, too many or not host:port; -ENOMEM. */
int	 peers_init(struct peers *p, struct env *env, const char *list);
void	 peers_fini(struct peers *p);
const char *peers_name(const struct peers *p);
/* It failed: on to the next one.  Returns how long to wait first, ns. */
uint64_t peers_failed(struct peers *p);
/* It answered: a later failure begins again with the first one. */
void	 peers_worked(struct peers *p);

#endif
