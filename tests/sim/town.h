/* SPDX-License-Identifier: ISC */
/*
 * town.h - agent, relays, exporter, makers and a backend in one sim world
 *
 * What:     one seed is one town: which shape it has, what its makers log,
 *           which troubles befall it when, and what its backend answers.
 * Oracle:   every record that was published is known by lane and number, and
 *           its payload by these two.  At the end each is delivered once, or
 *           it is known why not.
 *
 *   makers --lanes--> agent --hop--> relay(s) [--hop--> exporter] --> backend
 *      |                     tap: acknowledgements                       |
 *      '------------------- lane[].rec[] : the oracle <------------------'
 *
 * What may happen to a record, and nothing else
 *   delivered once     always, but for
 *   not at all         it was at level "ring" when its host lost power: past
 *                      the tail of its lane and in no frame of the spill; or
 *                      in a frame one of whose bits flipped; or it is in the
 *                      dead letters
 *   again              when the process that exports it ended, no ledger on
 *                      the disk said that its frame was done, and its commit
 *                      had not had the time; the backend took it without
 *                      saying so; a flip hit the only ledger that said it was
 *                      done, the checkpoint that knew its range, or its
 *                      frame (once more for each); or two relays export, and
 *                      it was on its way to one
 */
#ifndef TOWN_H
#define TOWN_H

#include "config/config.h"
#include "roles/role.h"
#include "shm/writer.h"
#include "sim/sim.h"

#define MS		UINT64_C(1000000)
#define S		UINT64_C(1000000000)
#define LANES		4
#define RING		"/dev/shm/ring"
#define TEXT_MAX	4400
#define LANES_MIN	3
#define RECORDS_MIN	10000
#define HOUR		(3600 * S)
#define DAY		(24 * HOUR)
#define FAULTS_MIN	20

enum who { AGENT, RELAY1, RELAY2, EXPORTER, WHO };

enum shape { ONE_RELAY, RELAY_EXPORTER, TWO_RELAYS, TWO_RELAYS_EXPORTER };

/* What a town counts besides the world's faults. */
enum event {
	ACK_LOST, ACK_LATE, ACK_TWICE, ACK_OLD,
	BACK_OK, BACK_JSON, BACK_PARTIAL, BACK_429, BACK_AFTER, BACK_408,
	BACK_500, BACK_503, BACK_3XX, BACK_HTML, BACK_401, BACK_403, BACK_404,
	BACK_407, BACK_413, BACK_400, BACK_422, BACK_POISON, BACK_SILENT,
	BACK_TOOK_SILENT,
	MAKER_KILLED, MAKER_MIDWAY, LANE_FULL, AGENT_POWER, GRACEFUL,
	OUTAGE_HOUR, OUTAGE_DAY, EVENTS
};

struct record {
	uint64_t	 delivered_ns;
	uint32_t	 bytes;		/* of its entry */
	uint8_t		 delivered;	/* times */
	uint8_t		 again;		/* more, for what flips have hit */
	bool		 ring_only, flipped, dead;	/* why it may be lost */
	bool		 maybe_twice;
};

/* One lane file: which records lie where in its stream. */
struct life {
	struct life	*next;
	uint8_t		 id[16];
	unsigned	 lane;
	uint64_t	 first;		/* number of its first record */
	uint64_t	*end;		/* position behind each */
	size_t		 n, cap;
};

struct lane_of {
	struct sim_proc	*maker;
	struct writer	 w;
	bool		 open;
	struct life	*life;
	struct record	*rec;
	uint64_t	 made, cap;
};

struct node {
	struct town	*t;
	enum who	 who;
	struct sim_host	*host;
	struct sim_proc	*proc;		/* NULL: it is down */
	struct role	*role;
	const struct role_kind *kind;
	struct conf	*conf;
	void		*ctr;		/* its counters outlive it */
	bool		 used, exports;
	bool		 ready, failed, draining, drained;
	uint64_t	 up_ns;		/* when it is started again */
	uint64_t	 go_ns;		/* when SIGCONT comes; 0: it runs */
	uint64_t	 legible_ns;	/* its disk may fail to be read again */
	unsigned	 crashes;
	uint64_t	 syncs_failed;	/* of its host, seen so far */
	/* what it had exported before then has its commit on disk */
	uint64_t	 settled_ns, quiet_ns, quiet_failed;
	uint64_t	 stored_more;	/* records, for what flips have hit */
};

#define ACKS_KEPT	8
struct old_ack { uint64_t connection; uint8_t bytes[300]; size_t n; };

struct town {
	struct sim	*sim;
	uint64_t	 seed, begun_ns;
	enum shape	 shape;
	bool		 flips, poison, agent_power, calm;
	bool		 attention;	/* a node wants something */
	bool		 strike;	/* it is time for the crash */
	bool		 relapse;	/* and for the loss of power after it */
	uint64_t	 steps_left;	/* events until the crash; 0: none */
	uint64_t	 syncs_failed;	/* seen so far */
	unsigned	 victim;
	struct node	 node[WHO];
	struct lane_of	 lane[LANES];
	unsigned	 lanes;
	struct life	*lives;
	uint64_t	 refused, told;	/* records; by gap records */
	uint64_t	 arrived, twice, twice_bytes, twice_most;
	uint64_t	 untold;	/* of refused: may never be told */
	bool		 gaps_free, own_dead;
	size_t		 memory_most;	/* of one process */
	struct old_ack	 ack[WHO][ACKS_KEPT];
	unsigned	 ack_next;
	uint32_t	 ack_odds;	/* per million */
	enum event	 mood;
	uint64_t	 mood_until_ns;
	uint64_t	 away_until_ns;	/* the backend, and nothing else helps */
	uint64_t	 fired[EVENTS];
	char		*uid[8192];	/* of the agent's own records */
	unsigned	 uids;
};

/* main.c: says what is wrong, and how to see it again; ends the process. */
_Noreturn void	 town_fail(const struct town *t, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* town.c */
void	 town_open(struct town *t, uint64_t seed);
void	 town_close(struct town *t);
/* Virtual time goes on; who is to be started again meanwhile is. */
void	 town_run(struct town *t, uint64_t for_ns);
void	 town_crash(struct town *t, struct node *n, bool power);
void	 town_drain(struct town *t, struct node *n);
/* All is up and stays so. */
void	 town_calm(struct town *t);
uint64_t node_ctr(const struct node *n, enum ctr id);
/* Everything of the world and the town that fired, by kind. */
#define KINDS		(FAULT_KINDS + EVENTS)
extern const char *const kind_name[KINDS];
void	 town_fired(const struct town *t, uint64_t ret_n[KINDS]);

/* makers.c */
void	 makers_burst(struct town *t, unsigned steps, unsigned most);
void	 maker_kill(struct town *t, unsigned lane);
/* They went with the power of their host. */
void	 makers_lose(struct town *t);
void	 makers_close(struct town *t);
size_t	 record_text(unsigned lane, uint64_t n, char text[TEXT_MAX]);

/* oracle.c */
void	 oracle_arrive(struct town *t, unsigned lane, uint64_t n,
	    struct bytes text, bool maybe_twice);
/* The agent's own record; refused: what a gap record tells of, else 0. */
void	 oracle_own(struct town *t, struct bytes uid, uint64_t refused);
/* A process is about to end. */
void	 oracle_crash(struct town *t, struct node *n);
/* What must hold after every event: the books of each process balance. */
void	 oracle_books(struct town *t);
/* What must hold now and then, and whenever a process ends. */
void	 oracle_step(struct town *t);
/* False: something that must be delivered is not yet. */
bool	 oracle_all(struct town *t);
void	 oracle_end(struct town *t);

/* excuse.c */
/* Where the queue of a node is. */
const char *excuse_dir(const struct node *n);
/* A flip has hit it. */
void	 oracle_flip(struct town *t, struct node *n,
	    const struct sim_flip *flip);
/* Its process has ended: what it will find of its queue. */
void	 oracle_ended(struct town *t, struct node *n);
/* The host of the lanes is about to lose power; and has. */
void	 oracle_power(struct town *t);
void	 oracle_powered(struct town *t);

/* backend.c */
int	 backend_answer(void *arg, struct post *post);

/* taps.c */
void	 taps_see(void *arg, struct sim_tapped *tapped);

/* trouble.c */
void	 trouble_run(struct town *t);

#endif
