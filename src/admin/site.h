/* SPDX-License-Identifier: ISC */
/*
 * site.h - the roles of some state directories, as an observer reads them
 *
 * What:     per role its counters, its queue, what it has in quarantine and
 *           among the dead letters; each read once, when asked for.
 * Used by:  the audit and emplogd trace.
 */
#ifndef EMPLOG_SITE_H
#define EMPLOG_SITE_H

#include "admin/stock.h"
#include "counters/counters.h"
#include "counters/fates.h"

#define SITES_MAX	16
#define PARTS_MAX	(3 * SITES_MAX)

enum part_kind { PART_AGENT, PART_RELAY, PART_EXPORTER };

struct part {
	enum part_kind	 kind;
	const char	*role;
	char		 dir[400];	/* state_dir/<role> */
	bool		 there;
	bool		 ends;		/* it exports; else it sends on */
	bool		 sent_on;	/* it exports, and has sent on too */
	bool		 local;		/* to files, and never did to others */
	struct counters	 c;
	int		 c_error;
	bool		 running;
	struct stock	 stock;		/* spill or queue */
	int		 stock_error;
	struct streams	*bad;		/* ranges in quarantine */
	struct stock	 dead;
	int		 dead_error;
	/* What it noted of what left; dead letters of the last days only,
	   older ones are of before. */
	struct streams	*fate[FATE_COUNT];
	uint64_t	 evicted;	/* streams it has no note of any more */
	int		 fates_error;
};

struct sites {
	struct env	 env;
	struct part	 part[PARTS_MAX];
	unsigned	 n;
};

/* -ENOMEM: empty, for sites_fini() alone. */
int	 sites_init(struct sites *st);
/* -ENOSPC: SITES_MAX.  What is not there is no error. */
int	 sites_add(struct sites *st, const char *state_dir);
void	 sites_fini(struct sites *st);
/*
 * Reads the agents; the relays; the exporters, in this order; a second call
 * reads all anew.  see: each frame of who exports; may be NULL.  -ENOMEM.
 */
int	 sites_read(struct sites *st, void (*before)(void *arg,
	    struct part *p), stock_see *see, void *arg);
/* Its counters anew. */
void	 part_recount(struct part *p);
/* Lets go of what sites_read() read. */
void	 sites_drop(struct sites *st);
/* A queue of a relay or an exporter that could be read. */
static inline bool
part_is_station(const struct part *p)
{
	return p->there && p->kind != PART_AGENT && p->stock_error == 0;
}

#endif
