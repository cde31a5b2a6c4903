/* SPDX-License-Identifier: ISC */
/*
 * loan.h - a lane for an encoder that is not ours
 *
 * What:     lends the room at the head of a lane to code that writes msgpack
 *           itself (JavaScript), and does all that remains: time, jobs,
 *           refusals and their gap records, retired lanes, fork, the end.
 * Used by:  contrib/node/src/addon.c.
 * Threads:  a loan belongs to one borrower, who makes one call at a time; up
 *           to LOANS_MAX borrowers at once, each with a lane of its own.
 * Never:    publishes more than was lent, blocks, or takes a mapping away
 *           while the borrower may still write to it.
 *
 * The first lane of the process holds the jobs in progress.  It stays when
 * its borrower goes and others remain: the next one gets it.  The others may
 * fill half of the ring; beyond that their lanes are of the least size, the
 * last eighth is left to other processes, and then they lie on the disk.
 *
 * A borrower writes whole records, ENCODE_HEAD as in encode.h, behind each
 * other's end: at loan_at(), at most loan_room() bytes.  The time in it is
 * set by loan_publish(), which may also append queue_ms or duration: for a
 * record with a job LOAN_APPEND bytes of the room must be left.
 *
 * LOAN_MOVED from any call: the lane was retired, unlinked or is a parent's;
 * loan_data() says where the new one is.  The old mapping stays, and what is
 * written there is lost, until loan_let_go().
 */
#ifndef EMPLOG_LOAN_H
#define EMPLOG_LOAN_H

#include "shm/jobs.h"
#include "shm/log.h"

#define LOANS_MAX	64
#define LOAN_APPEND	32u	/* "queue_ms" or "duration" and a number */
#define LOAN_MOVED	1

struct loan;

/* One record as its writer describes it; nothing of it is believed. */
struct loan_record {
	uint64_t	 bytes;
	uint32_t	 level;
	uint32_t	 shortened;
	uint32_t	 redacted;
	bool		 job;		/* event, id and fill are set */
	bool		 job_end;	/* may use the last byte */
	bool		 fill;		/* append the time, when it is known */
	enum jobs_event	 event;
	uint64_t	 id_at;		/* of the job's id, from the record */
	uint64_t	 id_len;
};

/*
 * Opens a lane.  The conf of the first borrower is the process's; a later
 * one's counts only when all were closed.  -EMFILE: LOANS_MAX are out; else
 * what writer_open() says, and the borrower may ask again, not at once.
 */
int	 loan_open(struct loan **ret_loan, const struct pool_conf *conf);
/*
 * The borrower writes no more.  Closed cleanly, unless jobs are in progress
 * and no other borrower is left: then, as after any death, the agent tells.
 * clean_always: the borrower takes leave by itself.  Accepts NULL.
 */
void	 loan_close(struct loan **loan, bool clean_always);

/* The data, mapped twice back to back: 2 * *ret_bytes may be written. */
uint8_t	*loan_data(const struct loan *loan, uint64_t *ret_bytes);
/* Where the next record goes, from loan_data(). */
uint64_t loan_at(const struct loan *loan);
/* How large it may be; grows behind the borrower's back, never shrinks. */
uint64_t loan_room(struct loan *loan, uint32_t level, bool job_end);
/* The largest record it takes. */
uint64_t loan_record_max(const struct loan *loan);
/* What the lane's head says of its process: a msgpack map. */
const uint8_t *loan_identity(const struct loan *loan, uint32_t *ret_len);
/* The lane's file. */
const char *loan_path(const struct loan *loan);
/* The ring's directory was missing and is this user's own now. */
bool	 loan_made_ring(const struct loan *loan);

/*
 * Publishes the record at loan_at().  0 or LOAN_MOVED: it is in a lane;
 * -EAGAIN no room (counted), -EINVAL it is none, -ENOSYS the lane is gone and
 * a new one cannot be had: the record is in the old one, which is closed, and
 * nothing but loan_let_go() and loan_close() may be called.
 */
int	 loan_publish(struct loan *loan, const struct loan_record *rec);
/*
 * A record of about so many bytes found no room.  Looks once more: 1 there is
 * room now, 0 it is counted.
 */
int	 loan_refuse(struct loan *loan, uint32_t level, bool job_end,
	    uint64_t bytes);
/* One that is too large even when shortened; counted. */
void	 loan_oversize(struct loan *loan);
/* Unmaps what a move left behind. */
void	 loan_let_go(struct loan *loan);

/* A job went on, of which no record is written to a lane. */
struct jobs_times loan_note(enum jobs_event event, const char *id, size_t len);
/* The process ends badly: its lanes are not to look closed at exit(3). */
void	 loan_died(void);
/* Of all borrowers of this process, gone ones included. */
void	 loan_stats(struct emplog_stats *ret_stats);

#endif
