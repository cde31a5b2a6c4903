/* SPDX-License-Identifier: ISC */
/*
 * reader.h - a lane seen from outside: the agent's and the observers' side
 *
 * What:     maps a lane, bounds every field, cuts chunks at marks, guards
 *           against a file that shrinks (SIGBUS).
 * Used by:  src/drain (agent, writable), src/admin (tail, ring; read-only).
 * Never:    interprets a record, or believes a field twice.
 */
#ifndef EMPLOG_READER_H
#define EMPLOG_READER_H

#include "shm/lane.h"
#include "shm/sys.h"

struct reader {
	const struct shm_sys *sys;
	void		*base;		/* control area, then data, once */
	uint64_t	 mapped;	/* bytes */
	uint64_t	 data_bytes;	/* checked at attach, never loaded again */
	uint8_t		 id[LANE_ID_LEN];
	uint32_t	 flags;
	uint32_t	 pid, uid;
	uint64_t	 created_ns;
	uint64_t	 ino;
	uint32_t	 identity_len;
	uint8_t		 identity[LANE_IDENTITY_MAX];	/* a copy */
	bool		 writable;
	bool		 spoiled;	/* shrunk under us, or lied */
	bool		 alive;		/* at attach or last reader_alive() */
	int		 guard;		/* slot in the SIGBUS table, -1 */
	uint64_t	 intact;	/* bytes of mapped the file still has */
	uint64_t	 dropped;	/* pages before it were given back */
	char		 path[256];
};

/*
 * Maps path.  writable: the agent's own words are written.  -EAGAIN: still
 * being made; -EBADMSG: not a lane; -EPROTO: another version; -ELOOP; -EPERM:
 * the file's owner is not the one its head names, or not a regular file;
 * -ENOSPC: no slot in the SIGBUS table; and what open and mmap return.  On
 * failure r is detached.
 */
int	 reader_attach(struct reader *r, const struct shm_sys *sys,
	    const char *path, bool writable);
void	 reader_detach(struct reader *r);
/* Does its head say what it said at attach?  Its process may write there. */
bool	 reader_head_holds(struct reader *r);
/* For an observer: and can its positions be? */
bool	 reader_is_sane(struct reader *r);
/* Is hex, 32 digits, the id its head names?  Else both are not one lane. */
bool	 reader_has_name(const struct reader *r, const char *hex);

/* Does its process hold the lock still?  1, 0 or -errno. Opens the file. */
int	 reader_alive(struct reader *r);
/*
 * Is the file still there under its name, the same inode, as large?  0;
 * -ENOENT: gone or another file's name now; -EFAULT: it shrank, the lane is
 * spoiled and r->intact says how much is left.
 */
int	 reader_check(struct reader *r);
/* The file was renamed; what reader_check() and reader_alive() open. */
int	 reader_moved(struct reader *r, const char *path);

/*
 * Published end, bounded: from <= head <= from + data_bytes, else the lane
 * is spoiled and from is returned.  from is the caller's trusted cursor.
 */
uint64_t reader_head(struct reader *r, uint64_t from);
uint64_t reader_tail(const struct reader *r);	/* bounded by its head */
uint64_t reader_records(const struct reader *r);
/*
 * Records before pos as the producer tells them: exact at a mark, at head the
 * last count (at most one behind), UINT64_MAX where nothing is known.
 */
uint64_t reader_records_at(const struct reader *r, uint64_t pos,
	    uint64_t head);
/*
 * The largest record boundary in (from, head] with boundary - from <= max,
 * told from the marks; the smallest one if none is so near; head if there is
 * no mark between.
 */
uint64_t reader_cut(struct reader *r, uint64_t from, uint64_t head,
	    uint64_t max);
/* [from, to) where it lies: one or two pieces.  to - from <= data_bytes. */
struct reader_piece { const uint8_t *p; uint64_t n; };
void	 reader_pieces(const struct reader *r, uint64_t from, uint64_t to,
	    struct reader_piece ret[2]);

/* The agent's words. */
void	 reader_set_tail(struct reader *r, uint64_t tail);
/* Ends with a full fence: look at head again before going to sleep. */
void	 reader_set_knock(struct reader *r, uint64_t knock_at);
void	 reader_retire(struct reader *r);
/* Resident pages before pos are given back. */
void	 reader_drop(struct reader *r, uint64_t pos);

/* Refusals not yet told in a gap record. */
struct reader_gap {
	uint64_t by_severity[LANE_SEVERITIES];
	uint64_t total;
	uint64_t first_ns, last_ns;
};
/*
 * Claims the right to tell the gap: 1 and *ret filled, 0 nothing to tell or
 * the producer is telling.  After the gap record is safe reader_gap_told().
 */
int	 reader_gap_claim(struct reader *r, struct reader_gap *ret);
void	 reader_gap_told(struct reader *r, const struct reader_gap *gap);
/* Gives the claim back untold. */
void	 reader_gap_drop(struct reader *r);
/* All records this lane ever refused, told or not. */
uint64_t reader_refused(const struct reader *r);
/* Those not counted yet, by this agent or one before it; now they are. */
uint64_t reader_refused_more(struct reader *r);

bool	 reader_closed(const struct reader *r);		/* cleanly */
/* Jobs in progress; at most max, returns how many. ids are NUL-ended. */
struct reader_job { char id[97]; uint64_t received_wall_ns; bool started; };
unsigned reader_jobs(const struct reader *r, struct reader_job *ret,
	    unsigned max);

/*
 * Observers: copies whole records from *pos on into buf without moving the
 * lane; starts at the oldest safe mark when *pos was overtaken and says so
 * (ret_skipped).  Returns bytes copied, 0 when there is nothing new.  With
 * cap >= READER_COPY_MIN(data_bytes) nothing else is ever skipped.
 */
#define READER_COPY_MIN(data_bytes)	\
	(LANE_RECORD_MAX + (size_t)(data_bytes) / LANE_MARKS)
size_t	 reader_copy(struct reader *r, uint64_t *pos, uint8_t *buf,
	    size_t cap, bool *ret_skipped);
/* Where an observer begins to see the oldest record still whole. */
uint64_t reader_oldest(struct reader *r);

/*
 * SIGBUS guard: installed once per process by the first caller; pages of a
 * guarded mapping that vanish are replaced by zero pages and the reader is
 * marked spoiled.  Safe to call again.  0 or -errno.
 */
int	 reader_guard_install(void);

#endif
