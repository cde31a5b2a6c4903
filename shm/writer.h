/* SPDX-License-Identifier: ISC */
/*
 * writer.h - the raw producer's side of one lane
 *
 * What:     makes a lane, lends room at its head, publishes.  emplog.c's
 *           logger and the agent (for records that came by HTTP) are both
 *           made of this.
 * Threads:  one at a time: the caller sees to that.
 */
#ifndef EMPLOG_WRITER_H
#define EMPLOG_WRITER_H

#include "shm/lane.h"
#include "shm/sys.h"

struct writer_conf {
	const struct shm_sys *sys;
	const char	*ring_dir;
	const char	*state_dir;	/* NULL: no lane on disk */
	uint64_t	 lane_bytes;	/* data; 0: by the rule in emplog-ring(7) */
	uint64_t	 ring_max;	/* 0: by the rule */
	uint64_t	 disk_max;	/* of lanes on disk; 0: by the rule */
	uint32_t	 flags;		/* LANE_F_AGENT */
	bool		 patient;	/* naps where others open at this moment */
	const uint8_t	*identity;	/* msgpack map */
	uint32_t	 identity_len;
	uint32_t	 ring_owner;	/* a uid above RING_SYSTEM_UID that may own
					   ring_dir; 0: none (ring.h) */
};

struct writer {
	const struct shm_sys	*sys;
	struct lane_head	*head;		/* the mapping */
	struct lane_producer	*prod;
	struct lane_agent	*agent;
	struct lane_mark	*marks;
	struct lane_job		*jobs;
	uint8_t			*data;		/* mapped twice */
	uint64_t		 data_bytes;
	uint64_t		 at;		/* own copy of head */
	uint64_t		 tail;		/* last tail seen */
	uint64_t		 records;
	uint64_t		 next_mark;	/* position of the next stripe */
	int			 knock_fd;	/* -1: none */
	uint64_t		 knocked;	/* knock_at last answered */
	uint64_t		 knock_ino;
	uint64_t		 ino;		/* of the lane's file */
	bool			 made_ring;	/* 0700, by this call */
	char			 path[256];
};

/*
 * Makes ring_dir when absent (0700, own uid), then the lane: .tmp-, lock,
 * fchmod 0660, fallocate, map populated, rename.  Falls back to
 * state_dir/ring; if that fails too, the error is the ring's.  -ENOSPC (the
 * tmpfs or ring_max is full), -EACCES, -ELOOP (a symlink), -ENOTDIR, -EPERM
 * (squatted), -EFBIG (RLIMIT_FSIZE), -EINVAL (identity over
 * LANE_IDENTITY_MAX), -ENAMETOOLONG, ....  A failed call leaves no file.
 */
int	 writer_open(struct writer *w, const struct writer_conf *conf);
/*
 * Marks the lane closed cleanly (clean) and unmaps.  The file stays for the
 * agent, but for a lane that never held or refused a record and was closed
 * cleanly.
 */
void	 writer_close(struct writer *w, bool clean);
/* In a forked child: the mapping is the parent's, only the FIFO is let go. */
void	 writer_forget(struct writer *w);

/*
 * Room for n bytes at head, contiguous, or NULL.  reserve bytes are kept
 * free beyond it (severity).
 */
uint8_t	*writer_lend(struct writer *w, uint64_t n, uint64_t reserve);
/* Publishes n bytes of the loan as records whole records; knocks if asked. */
void	 writer_publish(struct writer *w, uint64_t n, uint64_t records);
/*
 * The agent asked for a new lane, or the file is gone (one lstat: now and
 * then, not per record).
 */
bool	 writer_retired(const struct writer *w);

#endif
