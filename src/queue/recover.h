/* SPDX-License-Identifier: ISC */
/*
 * recover.h - what the parts of a recovery share
 *
 * home.c makes, locks and lists the directory; recover.c reads its segments
 * in three passes, or four; replay.c takes what their frames say; version.c
 * knows those of another emplogd; order.c sorts them, and cuts what is
 * mingled; anew.c makes sure of it; look.c tells of it where nothing may be
 * touched.
 */
#ifndef EMPLOG_QUEUE_RECOVER_H
#define EMPLOG_QUEUE_RECOVER_H

#include "queue/look.h"
#include "queue/quarantine.h"

enum recover_state {
	R_MKDIR, R_PARENT_OPEN, R_PARENT_SYNC, R_PARENT_CLOSE, R_DIR,
	R_LOCK_OPEN, R_LOCK, R_LIST, R_SPARE_STAT, R_SPARE_OPEN,
	R_SPARE_UNLINK, R_SPARE_MKDIR, R_STAT, R_OPEN, R_OPEN_RDONLY, R_READ,
	R_READ_AGAIN, R_COPY, R_WIPE,
	R_ANEW_READ, R_ANEW_WRITE, R_ANEW_AGAIN, R_SYNC, R_TRIM, R_CLOSE, R_DIRSYNC,
};
enum pass { HEADS, LEDGERS, DATA, ORDER, PASSES };

/* Of the segment read in ORDER: what is behind its last cut. */
struct cut {
	uint64_t	 end;		/* of all the segments before, in seq */
	struct segment	*part;		/* the last one cut off */
	uint64_t	 from;		/* byte */
	uint64_t	 last;		/* seq, if any */
	bool		 any;
	struct tally	 held;
	uint64_t	 bytes;		/* bodies of those */
	struct ranges	 copies;
};

struct recover {
	struct op	 op;
	struct queue	*q;
	enum recover_state state;
	enum pass	 pass;
	int		 res;
	bool		 unsure;	/* something could not be read */
	bool		 readonly;	/* fd is */
	unsigned	 tries;		/* to write the same anew */
	uint8_t		 version;	/* of the first frame, another than ours */
	bool		 has_two;	/* frames of that version */
	bool		 hole;		/* unread bytes behind the last frame */
	uint64_t	 hole_seq;	/* the first that may lie in it */
	char		*path;
	struct segment	*seg;		/* the one being read */
	struct segment	*base;
	int		 fd;
	struct feed	 feed;
	struct feed_read rd;
	uint64_t	 pos;
	uint64_t	 first_live;	/* frames below are in the ledger */
	struct ranges	 seen;		/* seqs */
	struct ranges	 own;		/* of them in own_of */
	const struct segment *own_of;
	const struct segment *twin_of;	/* keep_forked() has looked */
	struct ranges	 damage;	/* bytes of seg */
	uint32_t	 piece;
	struct quarantine qu;
	struct cut	 cut;
};

static inline void
recover_step(struct recover *rec, enum recover_state state)
{
	rec->state = state;
}

static inline struct loop *
recover_loop(struct recover *rec)
{
	return rec->q->env->loop;
}

/* In that state after a second. */
static inline void
recover_later(struct recover *rec, enum recover_state state)
{
	recover_step(rec, state);
	loop_timer(recover_loop(rec), &rec->op,
	    loop_now(recover_loop(rec)) + SECOND_NS);
}

static inline uint64_t
at_least(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- recover.c ---- */

/* The end: the queue is told res, the recovery is no more. */
void	 recover_fail(struct recover *rec, int res);
/* Begins a pass over the segments listed. */
void	 recover_pass(struct recover *rec, enum pass pass);
/* rec->seg is read to its end and as it shall be: the last it needs. */
void	 recover_sync(struct recover *rec);
/* rec->seg, or some of it, is left alone. */
void	 recover_unread(struct recover *rec);
/* Ends in recover_fail(res), when the file is closed. */
void	 recover_give_up(struct recover *rec, int res);

/* ---- damage.c ---- */

/* rec->damage from rec->piece on: ends in anew_start() or recover_sync(). */
void	 damage_copy(struct recover *rec);
/* A piece lies in quarantine, or does not; of rec->qu. */
void	 damage_copied(struct quarantine *qu, int res);
/* The write of R_WIPE is done. */
void	 damage_step(struct recover *rec, int64_t res);

/* ---- anew.c ---- */

/* Can rec->seg show bytes that no fsync would bring to the disk? */
bool	 anew_is_due(const struct recover *rec);
/* Ends in recover_sync() or recover_give_up(). */
void	 anew_start(struct recover *rec);
/* The operation of a state of R_ANEW is done. */
void	 anew_step(struct recover *rec, int64_t res);

/* ---- home.c ---- */

/* Begins with the directory; ends in recover_pass(HEADS) or recover_fail(). */
void	 home_open(struct recover *rec);
/* The operation of a state up to R_SPARE_MKDIR is done. */
void	 home_step(struct recover *rec, int64_t res);

/* ---- replay.c ---- */

/* An intact frame of rec->seg.  1: no more of this file in this pass.
   -ENOMEM. */
int	 replay_frame(struct recover *rec, const struct frame *f);
/* Bytes of rec->seg could not be read, in DATA: the file stays as it is. */
void	 replay_unread(struct recover *rec);
/* What no frame before `seq` was seen of is nobody's, though a later read may
   find it.  -ENOMEM. */
int	 replay_hole(struct recover *rec, uint64_t seq);
/* In the first pass, behind a checkpoint that is doubted. */
void	 replay_doubt(struct recover *rec, const struct scan *s);
/* Everything was seen: the ledger adds up, and the counters say it. */
void	 replay_settle(struct recover *rec);

/* ---- version.c: in the first pass ---- */

/* Is rec->seg, as far as it was read, of another version? */
bool	 version_is_other(struct recover *rec, struct bytes b,
	    const struct scan *s);
/* The bytes at rec->pos of such a one.  0; 1: it is not, and is read no more. */
int	 version_see(struct recover *rec, struct bytes b,
	    const struct scan *s);
/* All of it was read: is it left alone? */
void	 version_settle(struct recover *rec);

/* ---- order.c ---- */

/* By the numbers they say they have.  -ENOMEM. */
int	 order_by_number(struct queue *q);
/* By first_seq.  -ENOMEM. */
int	 order_by_seq(struct queue *q);
/* Sorted so, after DATA: do the frames of some lie between those of others? */
bool	 order_is_mixed(const struct queue *q);
/* From seg on, the next that is to be read, or NULL; its cuts begin. */
struct segment *order_next(struct recover *rec, struct segment *seg);
/* A data frame of rec->seg, at rec->pos.  -ENOMEM. */
int	 order_frame(struct recover *rec, const struct frame *f);

/* ---- look.c: what is told of when q->look is set ---- */

/* rec->seg is read from its start on, in the last pass. */
void	 look_begin(struct recover *rec);
/* A data frame; copy: it was seen before. */
void	 look_frame(struct recover *rec, const struct frame *f, bool copy,
	    bool held);
/* What the bytes at rec->pos are. */
void	 look_bytes(struct recover *rec, struct bytes b, const struct scan *s);
/* All of rec->seg was read, or it cannot be: -errno. */
void	 look_end(struct recover *rec, int error);
/* In place of what a recovery would go on to do: it ends. */
void	 look_settle(struct recover *rec);

#endif
