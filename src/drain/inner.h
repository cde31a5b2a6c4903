/* SPDX-License-Identifier: ISC */
/*
 * inner.h - what the files of src/drain share
 *
 *   drain.c     life, the pump (whose turn is it), sleeping and waking
 *   ringdir.c   the ring directory: preparing, watching, the FIFO
 *   ringlook.c  what is in it: lanes, what was left behind, garbage
 *   inlane.c    one lane: attaching, positions, what befalls it
 *   whoami.c    its identity and the machine's in one map
 *   span.c      ranges on their way out, and which way
 *   backlog.c   what was spilled, on its way to the relay
 *   share.c     what of the connection is for which of these two
 *   burial.c    dead lanes: last words, .dead files
 *   ownrec.c    records of the agent's own, and those that came by HTTP
 */
#ifndef EMPLOG_DRAIN_INNER_H
#define EMPLOG_DRAIN_INNER_H

#include "drain/drain.h"

#include "base/chunk.h"
#include "hop/sender.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "shm/reader.h"
#include "shm/ring.h"
#include "shm/writer.h"

#define MS			1000000ull
#define SECOND			1000000000ull

#define LANES_MAX		1024	/* attached at a time */
#define LANES_UID_MAX		512	/* of one user: others need some too */
#define SPANS_MAX		64	/* out at a time, over all lanes */
#define LANE_SPANS_MAX		8	/* of one lane */
/*
 * Of one lane, not delivered: 50 hosts of 20 lanes are below RANGES_ALL_MAX
 * of the relay's table.
 */
#define LANE_HOLES_MAX		256
#define BACKLOG_MAX		4	/* frames out at a time */
#define BACKLOG_BYTES		(2u << 20)	/* of buffers for them */
#define DEAD_MAX		256	/* .dead files remembered */
#define ENDS_MAX		256	/* streams to be ended */
#define BAD_MAX			256	/* names refused, told once each */
#define INGEST_MAX		64	/* durable requests on their way */
#define SCRATCH_BYTES		16384	/* an own record is made in */
#define PATH_BYTES		256

enum way { WAY_NONE, WAY_LIVE, WAY_SPILL, WAY_LOST };
enum span_state { SPAN_FREE, SPAN_WAIT, SPAN_OUT, SPAN_DONE };

struct inlane;

/* A range of a lane on its way out. */
struct span {
	struct drain	*d;
	struct inlane	*lane;
	struct span	*next;		/* in the lane, by from; or free */
	uint64_t	 from, to;
	uint64_t	 taken_ns;
	uint32_t	 records;
	uint8_t		 state;		/* enum span_state */
	uint8_t		 way;		/* enum way, while out and when done */
	bool		 doubled;	/* stop: with the sender and on disk */
	bool		 doubling;
	struct hop_chunk hc;
	struct queue_put put;
};

enum inlane_state {
	INLANE_OPEN,			/* its process lives */
	INLANE_LEAVING,			/* retired, looked at until until_ns */
	INLANE_DEAD,			/* its process is gone */
	INLANE_GONE			/* to be freed */
};

struct inlane {
	struct reader	 r;		/* its identity is the merged one */
	uint8_t		 state;		/* enum inlane_state */
	bool		 on_disk;
	bool		 own;		/* the agent's */
	bool		 unlinked;	/* no name any more */
	bool		 spoil_told;
	bool		 last_words;	/* worker_died and gap are written */
	bool		 backlog;	/* the queue holds bytes of it */
	uint64_t	 spill_seq;	/* the last frame of them */
	unsigned	 holes;		/* ranges of them, at most */
	uint64_t	 spill_end;	/* where the last range ends */
	uint64_t	 tail, sent, head;
	uint64_t	 spill_to;	/* what lies before goes to disk */
	uint64_t	 records_sent;	/* records before sent, or UINT64_MAX */
	uint64_t	 knock_at;
	uint64_t	 stamp_pos;	/* bytes before it are older ... */
	uint64_t	 stamp_ns;	/* ... than this */
	uint64_t	 moved_ns;	/* head last moved */
	uint64_t	 moved_wall_ns;
	uint64_t	 until_ns;	/* leaving: end of it */
	uint64_t	 seen;		/* scan that saw its name last */
	struct span	*first, **lastp;
	unsigned	 chores;	/* seconds it has been here */
	unsigned	 spans;		/* in the list */
	unsigned	 spilling;	/* of them, with the queue */
};

struct backlog_frame {
	struct drain	*d;
	struct hop_chunk hc;
	uint8_t		*buf;
	size_t		 cap;
	uint64_t	 seq;
	bool		 out;
};

struct backlog {
	struct backlog_frame frame[BACKLOG_MAX];
	size_t		 buf_bytes;	/* of all frames */
	unsigned	 out;
	uint64_t	 next_seq;	/* one past the last taken */
	uint64_t	 through_seq;	/* all before it are delivered */
	bool		 again;		/* one failed: rewind when all are in */
	bool		 starved;	/* no memory for a frame */
};

/* What goes through one connection, of the last SHARE_WINDOW bytes. */
enum flow { FLOW_LIVE, FLOW_BACKLOG, FLOWS };
struct share { uint64_t sent[FLOWS]; };

struct dead_file {
	char		 path[PATH_BYTES];
	uint64_t	 bytes;
	uint64_t	 since_ns;
};

struct stream_end {
	uint8_t		 id[STREAM_ID_LEN];
	bool		 waits;		/* for the queue */
	bool		 after_all;	/* all of it, not only up to ... */
	uint64_t	 after_seq;	/* ... this frame */
};

struct ingest_way {
	struct drain	*d;
	struct queue_put put;
	struct ingest_put *ip;		/* NULL: nobody waits */
	struct ingest_way *next;	/* free ones */
};

enum drain_state {
	DRAIN_NEW,
	DRAIN_RUN,
	DRAIN_SPILL,			/* drain_stop(): the rest goes to disk */
	DRAIN_HALT,			/* operations are being cancelled */
	DRAIN_DONE
};

struct drain {
	uint32_t	 magic;
	struct env	*env;
	struct drain_conf conf;		/* strings below are its own */
	char		 ring_dir[PATH_BYTES];
	char		 disk_dir[PATH_BYTES];	/* state_dir/ring, or "" */
	char		 knock_path[PATH_BYTES];
	uint8_t		 identity[IDENTITY_MAX];
	uint8_t		 state;		/* enum drain_state */

	/* ring directory */
	int		 lock_fd;	/* agent.lock */
	int		 knock_fd;	/* the loop's, -1 */
	struct ring_ctl	*ctl;		/* or NULL */
	int		 ctl_guard;	/* its slot, guard.h */
	uint64_t	 ctl_made_ns;
	struct loop_watch *watch, *disk_watch;
	struct op	 watch_op, disk_watch_op, knock_op;
	uint8_t		 knock_buf[512];
	unsigned	 knocks;	/* this second */
	uint64_t	 scan_no;
	uint64_t	 scanned_ns;
	bool		 scan_due;
	struct { uint64_t ino, seen; } bad[BAD_MAX];
	unsigned	 bad_n;
	bool		 no_files;	/* a look found no descriptor, and said so */

	/* lanes */
	struct inlane	**lane;
	unsigned	 lanes, lanes_cap;
	unsigned	 turn;		/* whose turn, in the round */
	struct span	*span_mem, *span_free;
	unsigned	 spans_out;
	uint64_t	 first_held;	/* found by the first scan */
	uint64_t	 first_wall_ns;	/* of that scan */
	bool		 unopened;	/* it found more than it could open */
	unsigned	 doubling;	/* see inlane_double() */
	bool		 queue_stuck;	/* full, until it notifies */

	/* wake-up */
	struct op	 pump_op, tick_op;
	uint64_t	 tick_at;
	uint64_t	 traffic_ns;
	uint64_t	 knocks_ns;	/* a knock_at changed last */
	uint64_t	 chores_ns;
	uint64_t	 stop_ns;
	uint64_t	 dropped_ns;	/* when drops were told last */

	struct backlog	 backlog;
	struct share	 share;
	struct dead_file *dead;
	unsigned	 dead_n;
	uint64_t	 dead_bytes;
	uint64_t	 ring_max;
	struct stream_end end[ENDS_MAX];
	unsigned	 ends;

	/* own records */
	struct writer	 own;
	bool		 own_open;
	uint64_t	 own_retry_ns;
	bool		 starved;	/* ingest waits for room */
	struct ingest_way *ingest_mem, *ingest_free;
	unsigned	 ingest_out;
	uint8_t		*scratch;

	void		(*stop_done)(void *arg);
	void		*stop_arg;
};
#define DRAIN_MAGIC	0x4452414eU

static inline uint64_t
drain_now(const struct drain *d)
{
	return loop_now(d->env->loop);
}

void	 drain_check(const struct drain *d);
/* The pump runs in the next turn of the loop. */
void	 drain_kick(struct drain *d);
void	 drain_note(struct drain *d, enum log_level level, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));

/* ---- ringdir.c ---- */
int	 ringdir_open(struct drain *d, char ret_why[DRAIN_WHY]);
/* Begins to watch and to listen for knocks. */
void	 ringdir_run(struct drain *d);
void	 ringdir_halt(struct drain *d);
/* Nothing of it is pending any more; closes the FIFO on the way. */
bool	 ringdir_idle(struct drain *d);
/* Once a second: listens again where knocks had become too many. */
void	 ringdir_second(struct drain *d);
void	 ringdir_close(struct drain *d);
/* dir/name, or -ENAMETOOLONG. */
int	 ring_join(char path[PATH_BYTES], const char *dir, const char *name);

/* ---- ringlook.c ---- */
/*
 * Looks through both directories: new lanes, gone lanes, garbage; when that
 * is due, and not too often.
 */
void	 ringlook(struct drain *d);
void	 ringlook_now(struct drain *d);

/* ---- ringctl.c ---- */
/* Maps ring.ctl, made when absent, where that can be done. */
void	 ringctl_open(struct drain *d);
void	 ringctl_close(struct drain *d);
/* Tells what it counts, replaces one that was cut short; once a second. */
void	 ringctl_chores(struct drain *d);

/* ---- inlane.c ---- */
/*
 * Attaches path, named hex; first: found at start.  0; -EUSERS: there are too
 * many; -EPROTO: it is of another version; else -errno.
 */
int	 inlane_attach(struct drain *d, const char *path, const char *hex,
	    bool on_disk, bool first);
void	 inlane_free(struct drain *d, unsigned i);
/* Of the agent whose own lane is in the ring; 0: it has none yet. */
uint32_t inlane_agent_pid(struct drain *d);
/* Loads head; true when there is something new. */
bool	 inlane_look(struct drain *d, struct inlane *l);
/* Its process is to make a new one; why is for an operator, if not NULL. */
void	 inlane_retire(struct drain *d, struct inlane *l, const char *why);
void	 inlane_died(struct drain *d, struct inlane *l);
/* Nothing of it is held any more. */
static inline bool
inlane_empty(const struct inlane *l)
{
	return l->tail == l->head && l->first == NULL;
}

/* Before its file is left to observers: one written over is noted. */
void	 inlane_check_head(struct drain *d, struct inlane *l);
/* The tail or the head moved: how old is the oldest byte? */
void	 inlane_stamp(struct drain *d, struct inlane *l);
void	 inlane_held_less(struct drain *d, uint64_t n);

/* ---- whoami.c ---- */
/*
 * The machine's fields behind the lane's, where it has none, into r's own
 * copy.  What is no map of strings counts as saying nothing.
 */
void	 whoami_merge(struct drain *d, struct reader *r);

/* ---- span.c ---- */
/* Sends or spills one span; true when something moved. */
bool	 inlane_move(struct drain *d, struct inlane *l);
/* It has more than a trickle that goes straight, or is on its way so. */
bool	 inlane_is_due(struct drain *d, struct inlane *l);
/* Takes what is done off the front. */
void	 inlane_settle(struct drain *d, struct inlane *l);
/* Stop: what is with the sender goes to disk as well. */
void	 inlane_double(struct drain *d, struct inlane *l);
/* Stop: every byte is acknowledged or on disk. */
bool	 inlane_safe(const struct inlane *l);
/* Gives its spans back; none is out.  Their bytes stay in the lane. */
void	 inlane_forget(struct drain *d, struct inlane *l);

/* ---- backlog.c ---- */
bool	 backlog_move(struct drain *d);
/* Gives unused buffers back. */
void	 backlog_rest(struct drain *d);
void	 backlog_fini(struct drain *d);

/* A frame can be sent but for its share. */
bool	 backlog_is_due(const struct drain *d);

/* ---- share.c ---- */
/* n bytes of a flow went to the sender. */
void	 share_sent(struct drain *d, enum flow flow, uint64_t n);
/* False: it has had more than three fifths, and the other one waits. */
bool	 share_allows(struct drain *d, enum flow flow);

/* ---- burial.c ---- */
/* Finds out whether living lanes still have their process. */
void	 burial_look(struct drain *d);
/* What is to be done for lanes that have ended; once a pump. */
void	 burial_pump(struct drain *d);
/* Gaps, .dead files, streams to end; once a second. */
void	 burial_chores(struct drain *d);
/* What came by HTTP and was dropped since it was told last. */
void	 burial_tell_dropped(struct drain *d);
/* Lanes and .dead files take more than half of what the ring may hold. */
bool	 burial_ring_half_full(const struct drain *d);
/* A .dead file that is there already. */
void	 burial_adopt(struct drain *d, const char *path);

/* ---- ownrec.c ---- */
void	 ownrec_open(struct drain *d);
void	 ownrec_close(struct drain *d);
/* Entries into the own lane; -EAGAIN, -EMSGSIZE, -ENOTCONN: no lane. */
int	 ownrec_lane(struct drain *d, struct bytes entries, uint32_t records);
int	 ownrec_died(struct drain *d, struct inlane *l);
int	 ownrec_gap(struct drain *d, struct inlane *l,
	    const struct reader_gap *gap);
int	 ownrec_no_lane(struct drain *d, uint64_t records, uint64_t last_ns);
int	 ownrec_dropped(struct drain *d, uint64_t records);

#endif
