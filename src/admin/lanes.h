/* SPDX-License-Identifier: ISC */
/*
 * lanes.h - all lanes of a host, seen by an observer
 *
 * What:     the directories of lanes (the ring, and state_dir/ring), each
 *           lane mapped read-only once, followed when it is renamed to .dead,
 *           let go when its file is gone.
 * Used by:  ring.c, tail.c, trace.c, audit.c.
 * Bounds:   LANES_MAX lanes; more are counted and not shown.
 */
#ifndef EMPLOG_LANES_H
#define EMPLOG_LANES_H

#include "shm/reader.h"

#define LANES_MAX	1024

struct watched {
	struct reader	 r;
	char		 name[40];	/* id in hex, without .lane or .dead */
	const char	*dir;
	bool		 dead_name;	/* the file is called .dead */
	bool		 here;		/* seen by this scan */
	int		 error;		/* < 0: not mapped, and why */
	uint64_t	 pos;		/* for tail: what comes next */
	bool		 begun;		/* pos is set */
};

struct lanes {
	const struct shm_sys *sys;
	char		 dir[2][256];
	struct watched	*v[LANES_MAX];
	unsigned	 n;
	unsigned	 more;		/* beyond LANES_MAX, in the last scan */
	int		 error;		/* of listing dir[0], last scan */
	/* Called before a lane is let go; may be NULL. */
	void		(*gone)(void *arg, struct watched *w);
	void		*arg;
};

void	 lanes_init(struct lanes *ls, const struct shm_sys *sys,
	    const char *ring_dir, const char *state_dir);
void	 lanes_fini(struct lanes *ls);
/* Looks at the directories again.  -ENOMEM. */
int	 lanes_scan(struct lanes *ls);

#endif
