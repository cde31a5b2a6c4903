/* SPDX-License-Identifier: ISC */
/*
 * nth_town.h - makers, agent, relay, exporter and a backend, one of them
 *              with an nth failure
 *
 * What:     a small quiet world of src/sim; the one process that has a struct
 *           nth is its victim.  The scenario says what happens in which
 *           order; the same each time, but for the failure.
 * Oracle:   each record that was published has a mark in its text,
 *           "[lane.number]", looked for in what the backend accepts, in files
 *           of the exporter and in dead letters.
 *
 *   makers --lanes--> agent --> relay --> exporter --> backend
 *                        (who of them there is, the scenario says)
 *
 * What must hold, whatever failed
 *   1. Nobody crashes, no must() fails, and no one turns without end.
 *   2. Who ends, ends in time, and has given back memory and descriptors.
 *   3. Who cannot start says so in a line, and starts when it can again.
 *   4. After the failure has gone each record arrives; once, unless the
 *      process that exports was cut off, and its last commits with it.
 *   5. Nobody says that its books do not balance, or that bytes were bad.
 */
#ifndef NTH_TOWN_H
#define NTH_TOWN_H

#include "config/config.h"
#include "nth.h"
#include "roles/role.h"
#include "shm/writer.h"
#include "sim/sim.h"

#define MS		UINT64_C(1000000)
#define S		UINT64_C(1000000000)
#define RING		"/dev/shm/ring"
#define LANES		2
#define RECORDS		256		/* of a lane, at most */

enum who { AGENT, RELAY, EXPORTER, WHO, MAKERS };

struct town;

struct node {
	struct town	*t;
	enum who	 who;
	bool		 used;
	struct nth	*nth;		/* NULL: nothing fails here */
	struct nth_shm	 shm;
	struct sim_host	*host;
	struct sim_proc	*proc;		/* NULL: it is down */
	struct role	*role;
	const struct conf *conf;
	void		*ctr;		/* its counters outlive it */
	bool		 ready, refused, drained;
	bool		 away;		/* the scenario wants it down */
	unsigned	 errors;	/* lines of this life that say one */
	uint64_t	 up_ns;		/* when it is started again */
};

struct lane {
	struct sim_proc	*maker;
	struct nth_shm	 shm;
	struct writer	 w;
	bool		 open;
	unsigned	 made;
	unsigned	 got[RECORDS];	/* times delivered */
	bool		 dead[RECORDS];
};

struct town {
	struct sim	*sim;
	struct node	 node[WHO];
	struct lane	 lane[LANES];
	struct nth	*makers;	/* what fails them, or NULL */
	/* What the backend answers to this one; NULL: 200. */
	int		(*answer)(struct town *t, struct bytes body);
	unsigned	 posts;		/* answered */
	uint64_t	 events;	/* since the last was due to happen */
	unsigned	 starts_refused, cut_off;
	bool		 attention;
	bool		 uncertain;	/* who exports was cut off */
	char		 last[512];	/* line that was said */
};

/* What is configured, once for all runs. */
struct town_conf {
	struct conf	*of[WHO];	/* NULL: there is none */
	/* Puts files on disks before anybody starts; may be NULL. */
	void		(*disks)(struct town *t);
};
/* sets: NULL-ended, besides what all have. */
struct conf *town_read_conf(enum who who, const char *const *sets);

/* The nodes of c; victim has the failure n. */
void	 town_open(struct town *t, const struct town_conf *c, enum who victim,
	    struct nth *n);
/* Drains all, looks at what each has given back, and forgets the world. */
void	 town_close(struct town *t);
void	 town_run(struct town *t, uint64_t for_ns);
/* Until each record has arrived and nobody holds any; at most two minutes. */
void	 town_settle(struct town *t);
/* SIGTERM; it stays away until town_up(). */
void	 town_drain(struct town *t, enum who who);
/* kill -9; it stays away until town_up(). */
void	 town_kill(struct town *t, enum who who);
void	 town_up(struct town *t, enum who who);
/* n records with so many bytes of text into a lane, as far as it has room. */
void	 town_make(struct town *t, unsigned lane, unsigned n, size_t bytes);
/* Their process is gone, and did not close its lane. */
void	 town_kill_maker(struct town *t, unsigned lane);
uint64_t town_ctr(const struct town *t, enum who who, enum ctr id);

/* test_nth.c: says what is wrong and with which failure; ends the process. */
_Noreturn void	 nth_wrong(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2)));

#endif
