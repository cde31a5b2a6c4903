/* SPDX-License-Identifier: ISC */
/*
 * priv.h - what the files of src/queue share, and nobody else sees
 *
 *   queue.c    life, the timer, the gauges, what it knows
 *   put.c      what is put: room, ranges, the group it is staged in
 *   write.c    groups: launch, write, sync, complete or fail
 *   commit.c   what a group remembers, and a segment in front
 *   segment.c  the list of segments; the janitor: spare, seal, unlink
 *   take.c     the calls of the consumer
 *   reader.c   finds the next frame, and reads ahead
 *   flow.c     one flow of frames, or two beside each other
 *   recover.c  from any directory to an open queue, with home.c (the
 *              directory), replay.c (the frames), damage.c (what is none),
 *              look.c (touches nothing)
 *   feed.c     bytes of a file in a buffer that slides
 * With their own contracts: frame, ledger, ranges, scan, streams, window.
 *
 * Machines run side by side, each with one op: writer, janitor, and a reader
 * for each flow.  They meet only in the fields below.
 *
 *   put -> fill ==launch==> fly --write, sync--> segment.durable -> reader
 *   commit -> fresh ==launch==> flying --sync--> segment.live falls
 *                                             -> janitor unlinks at 0
 */
#ifndef EMPLOG_QUEUE_PRIV_H
#define EMPLOG_QUEUE_PRIV_H

#include "base/env.h"
#include "base/must.h"
#include "base/planted.h"
#include "loop/loop.h"
#include "queue/frame.h"
#include "queue/ledger.h"
#include "queue/queue.h"
#include "queue/ranges.h"
#include "queue/scan.h"
#include "queue/streams.h"
#include "queue/window.h"

#define QUEUE_MAGIC	0x51554555U
#define WRITE_MAX	(1u << 20)	/* one write */
#define COMMIT_ROOM	FRAME_BLOCK	/* kept free in each group */
#define COMMIT_RANGES	((COMMIT_ROOM - FRAME_HEAD - LEDGER_HEAD) / 16)
#define SECOND_NS	1000000000ull
#define PATH_ROOM	96		/* for a name behind dir */

static inline size_t
block_up(size_t n)
{
	return (n + FRAME_BLOCK - 1) & ~(size_t)(FRAME_BLOCK - 1);
}

/* Whole pages of anonymous memory, so that idle buffers can be given back. */
struct pages { uint8_t *p; size_t cap; };

/* At least cap bytes; keeps the first `keep`.  -ENOMEM: as before. */
int	 pages_grow(struct pages *m, size_t cap, size_t keep);
void	 pages_free(struct pages *m);

/* Bytes [off, off + len) of one file. */
struct feed {
	struct pages	 mem;
	uint64_t	 off;
	size_t		 len;
	bool		 careful;	/* a read failed: block by block now */
	bool		 gave_up;	/* a block that was waited for in vain */
	unsigned	 waits;		/* in vain so far */
};

/*
 * Waits of a second that a block is worth which cannot be read: while it is
 * open, and at a start, which reads all three times and is waited for itself.
 */
#define FEED_WAITS	60u
#define FEED_WAITS_OPEN	20u

struct feed_read { uint8_t *buf; size_t len; uint64_t off; };

void	 feed_reset(struct feed *f, uint64_t off);
/* The bytes from at on, up to limit. */
struct bytes feed_at(const struct feed *f, uint64_t at, uint64_t limit);
/* What to read so that need bytes lie at `at`.  -ENOMEM. */
int	 feed_ask(struct feed *f, uint64_t at, size_t need, size_t read_bytes,
	    uint64_t limit, struct feed_read *ret_read);
/*
 * What came: res of the read.  -EAGAIN: nothing, to be asked for again in a
 * second.  A block that cannot be read for long becomes bytes that are no
 * frame; from then on a block is waited for no longer than there were reads
 * that went well, so that a bad disk is not waited for at every block.
 * -ENODATA: the file ends before limit.
 */
int	 feed_got(struct feed *f, const struct feed_read *rd, int64_t res,
	    unsigned waits);

/* Sequences count from 0: one from here on was never given. */
#define SEQ_MAX		(UINT64_MAX / 2)

struct segment {
	struct segment	*next;		/* newer */
	uint64_t	 number;	/* its name */
	uint64_t	 order;		/* the number it says it has */
	uint64_t	 generation;	/* 0: not known */
	uint64_t	 first_seq;
	uint64_t	 end_seq;
	uint64_t	 data_off;	/* behind the checkpoint */
	uint64_t	 durable;	/* readers stop here */
	uint64_t	 end;		/* the next group begins here */
	uint64_t	 size;		/* on disk */
	uint64_t	 live;		/* frames without durable commit */
	struct tally	 held;		/* not committed */
	struct tally	 unread;	/* held and not with the consumer */
	uint64_t	 unread_bytes;	/* bodies of those */
	struct ranges	 copies;	/* its frames that another one holds */
	int		 fd;		/* of the writer, -1 when closed */
	bool		 checkpointed;	/* its checkpoint is durable */
	bool		 sealed;
	bool		 rotten;	/* has damage nobody copied: file is kept */
	bool		 quarantined;	/* what is damaged was copied at start */
	bool		 has_data;
	bool		 leaving;	/* the janitor removes it: enter no more */
	bool		 doubted;	/* its checkpoint names another segment */
	bool		 astray;	/* and it is another's indeed: damage */
	bool		 foreign;	/* not a file we can read: let alone */
	uint8_t		 version;	/* and of its frames; 0: of no other */
};

struct group {
	struct pages	 mem;
	size_t		 len;
	uint64_t	 first_seq;
	uint64_t	 first_ns;	/* taken_ns of the first frame */
	struct tally	 put;
	uint64_t	 body_bytes;
	struct queue_put *puts;
	struct queue_put **tail;
	bool		 barriers;
};

enum writer_state {
	W_IDLE, W_SPARE, W_RENAME, W_CHECKPOINT, W_DATA, W_SYNC, W_DIRSYNC,
};

struct writer {
	struct op	 op;
	enum writer_state state;
	struct group	*fly;
	struct segment	*seg;		/* what the spare becomes */
	struct pages	 ckpt;
	size_t		 ckpt_len;
	size_t		 at;		/* written of what is being written */
	size_t		 len;		/* in this write */
	uint64_t	 off;		/* where the group begins */
	bool		 rotated;	/* a checkpoint is part of this group */
	bool		 name_lost;	/* the janitor's sync of it failed */
	unsigned	 failures;	/* groups, in a row */
	char		*path;
	char		*path2;
};

enum janitor_state {
	J_IDLE, J_TRIM, J_CLOSE, J_UNLINK, J_MKDIR, J_MOVE, J_WHY_OPEN,
	J_WHY_WRITE, J_WHY_CLOSE, J_DIRSYNC,
	J_SPARE_OPEN, J_SPARE_ROOM, J_SPARE_CLOSE, J_SPARE_UNLINK,
};
enum spare { SPARE_NONE, SPARE_MAKING, SPARE_READY, SPARE_FAILED };

struct janitor {
	struct op	 op;
	enum janitor_state state;
	struct segment	*seg;
	enum spare	 spare;
	int		 spare_fd;
	uint64_t	 spare_size;
	int		 spare_err;	/* why it failed */
	bool		 force;		/* the writer needs it: over the bound */
	bool		 sync_dir;
	int		 why_fd;
	char		*path;
	char		*path2;
};

struct reader {
	struct op	 op;		/* open, read, close */
	struct segment	*seg;
	uint64_t	 off;
	struct feed	 feed;
	struct segment	*feed_seg;	/* whose bytes the feed has */
	struct feed_read rd;
	int		 fd;
	struct segment	*fd_seg;
	bool		 closing;
	bool		 ready;		/* head is the frame at off */
	bool		 dropped;	/* ready, but its bytes were given back */
	struct frame	 head;
	uint64_t	 again_ns;	/* a read failed: not before then */
	char		*path;
};

/* Frames that are taken in order: all there are, or a part of them. */
struct flow {
	struct queue	*q;
	struct reader	 r;
	struct window	 win;
	uint64_t	 take_seq;	/* frames below it were looked at */
};

/* Where one flow ends and the other begins. */
struct split {
	uint64_t	 seq;		/* the first of the other */
	uint64_t	 number;	/* of the segment */
	uint64_t	 off;
};

/* All frames below seq were durable at that time. */
struct mark { uint64_t seq, ns; };

struct look;
struct recover;

struct queue {
	uint32_t	 magic;
	struct env	*env;
	struct queue_conf conf;
	uint8_t		 id[STREAM_ID_LEN];
	bool		 open;
	bool		 closing;
	bool		 resting;	/* closing, and all was written */
	bool		 unsure;	/* some segments were not read at start */
	struct queue_unread unread;	/* how many */
	bool		 direct;	/* O_DIRECT is taken here */
	int		 dirfd;
	int		 lock_fd;

	struct segment	*oldest;
	struct segment	*newest;
	struct segment	*cur;		/* being written, or NULL */
	uint64_t	 number;	/* of the newest, ever */

	uint64_t	 seq;		/* the next one to be given */
	uint64_t	 settled;	/* all below are durable or void */
	uint64_t	 sick_until;	/* the disk fails: puts are refused */
	int		 spare_trouble, write_trouble;	/* -errno, 0: none */
	bool		 told;		/* of one of these, not of its end */
	bool		 often;		/* soon after the one before */
	uint64_t	 well_ns;	/* its end was told; 0: none ever */
	int		 read_trouble;	/* what a block that is waited for gave */
	struct ledger	 ledger;	/* put: durable; done, aged: in memory */
	struct tally	 held;
	uint64_t	 held_bytes;
	struct ranges	 done;		/* committed or void */
	struct ranges	 fresh;		/* of those: in no group yet */
	struct ranges	 flying;	/* in the group being written */
	struct streams	*streams;

	struct group	 group[2];
	struct group	*fill;
	struct writer	 w;
	struct janitor	 j;
	struct flow	 flow[2];
	struct flow	*back;		/* all frames, or what waited */
	struct flow	*front;		/* what is fresh, NULL: one flow */
	struct flow	*turn;		/* of the next take */
	int64_t		 lead;		/* bytes the back one is ahead by */
	struct split	 split;		/* while there are two */
	struct tally	 waiting;	/* held, before the split */
	struct mark	 mark[2];	/* the older one first */
	uint64_t	 durable_ns;	/* of the last frames */
	uint64_t	 open_seq;	/* frames below were there at start */
	struct recover	*rec;
	struct look	*look;		/* not NULL: nothing is touched */

	bool		 commit_due;
	bool		 force_segment;
	bool		 refused;	/* a put was: notify when there is room */
	bool		 tell;		/* notify at the next turn */
	struct op	 kick;
	struct op	 timer;
	uint64_t	 timer_at;	/* what the timer is set to */
	uint64_t	 commit_at;	/* 0: not due */
	uint64_t	 probe_at;
	uint64_t	 trim_at;
	uint64_t	 age_at;
	uint64_t	 calm_at;	/* the end of a trouble is told */

	int		 open_res;
	void		(*opened)(void *arg, int res);
	void		*opened_arg;
	void		(*closed)(void *arg);
	void		*closed_arg;
	void		(*late_closed)(void *arg);	/* while an open failed */
	void		*late_arg;
};

/* ---- queue.c ---- */
void	 queue_check(const struct queue *q);
/* Runs the writer at the next turn, so that one turn's puts are one group. */
void	 queue_kick(struct queue *q);
void	 queue_timer(struct queue *q);
void	 queue_probe(struct queue *q);
void	 queue_gauges(struct queue *q);
void	 queue_notify(struct queue *q);
/* Something is staged or due that the writer has not finished. */
bool	 queue_has_work(const struct queue *q);
/* A machine came to rest. */
void	 queue_rest(struct queue *q);
void	 queue_opened(struct queue *q, int res);
/* A frame is finished, by its consumer or by age. */
void	 queue_frame_done(struct queue *q, struct segment *seg, uint64_t seq,
	    uint32_t records, uint64_t body_len, struct tally *why);
/* Fresh commits are to be written, though nothing else is. */
void	 queue_commit_soon(struct queue *q);
/* The answer is about this process and this moment, not about the file. */
bool	 queue_is_passing_error(int res);
/* The disk's answer means: no room. */
bool	 queue_is_full_error(int res);
/*
 * *which, spare or write trouble, is error from now on.  Tells when one begins
 * and ends; of one that comes and goes, the end when it has lasted 10 s.
 */
void	 queue_trouble(struct queue *q, int *which, int error);
/* What a read gave: -errno and it is tried again, or 0 and it goes on. */
void	 queue_read_trouble(struct queue *q, int error);
char	*queue_path(const struct queue *q, char *path, const char *name);

/* ---- put.c ---- */
/* Empty again; keeps its memory. */
void	 group_reset(struct group *g);
/* -ENOMEM; -EAGAIN: not in this group. */
int	 group_room(struct queue *q, struct group *g, size_t size);
/* Appends; the group has the room. */
void	 group_put(struct queue *q, struct group *g, const struct chunk *c,
	    struct queue_put *put);
void	 group_barrier(struct group *g, struct queue_put *put);
/* Takes them out, linked. */
struct queue_put *group_take_barriers(struct group *g);

/* ---- write.c ---- */
void	 writer_init(struct queue *q);
void	 writer_go(struct queue *q);
/* The janitor is done with the spare. */
void	 writer_spare(struct queue *q);

/* ---- commit.c ---- */
/* Appends what was committed since the last one, as much as one frame has. */
void	 writer_commit(struct queue *q, struct group *g);
/* Puts the checkpoint of the segment begun into w.ckpt: 0, -EOVERFLOW ... */
int	 writer_checkpoint(struct queue *q);

/* ---- segment.c ---- */
void	 janitor_init(struct queue *q);
void	 janitor_go(struct queue *q);
struct segment *segment_new(struct queue *q, uint64_t number);
void	 segment_append(struct queue *q, struct segment *seg);
void	 segment_seal(struct queue *q);
void	 segment_name(char name[32], uint64_t number);
void	 segments_free(struct queue *q);
uint64_t segments_bytes(const struct queue *q);
/* This frame of it is with the consumer, or done. */
void	 segment_unread_less(struct segment *seg, const struct frame *f);
/* Frames of this range of seq have a durable commit. */
void	 segments_committed(struct queue *q, uint64_t from, uint64_t to);

/* ---- reader.c ---- */
void	 reader_init(struct flow *fl);
void	 reader_fini(struct flow *fl);
/* Looks for the next frames, as far as it goes without I/O. */
void	 reader_go(struct queue *q);
/* A durable group's memory becomes the read-ahead of a reader at its end. */
void	 reader_lend(struct queue *q, struct group *g, struct segment *seg,
	    uint64_t off);
void	 reader_trim(struct queue *q);
/* True when nothing of them is open. */
bool	 reader_close(struct queue *q);
bool	 reader_is_at(const struct queue *q, const struct segment *seg);
/* What it should have had and did not show is lost, and its file kept. */
void	 reader_lost(struct queue *q, struct segment *seg);

/* ---- flow.c ---- */
void	 flow_init(struct queue *q);
void	 flow_fini(struct queue *q);
/* A frame can be taken, of any flow. */
bool	 flow_ready(const struct queue *q);
/* Whose frame queue_take() gives next, NULL: none. */
struct flow *flow_next(const struct queue *q);
/* It gave this frame. */
void	 flow_spent(struct queue *q, const struct flow *fl, uint64_t bytes);
/* The window that has it, NULL: none. */
struct window *flow_window(struct queue *q, uint64_t seq);
/* With the consumer, or done. */
bool	 flow_has(struct queue *q, uint64_t seq);
/* Nothing more of this flow comes: it is at the split. */
bool	 flow_is_over(const struct queue *q, const struct flow *fl);
/* One flow again, when the back one is over. */
void	 flow_join(struct queue *q);
/* Frames became durable. */
void	 flow_mark(struct queue *q);
uint64_t flow_oldest_ns(const struct queue *q);

/* ---- recover.c ---- */
int	 recover_start(struct queue *q);

#endif
