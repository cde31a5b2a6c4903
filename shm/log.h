/* SPDX-License-Identifier: ISC */
/*
 * log.h - a logger from inside, and the way of one record into a lane
 *
 * What:     struct emplog, and log_write(): lane, gap, encoding, refusal by
 *           severity, console.
 * Used by:  shm/emplog.c, shm/log.c, shm/job.c, shm/loan.c.
 */
#ifndef EMPLOG_LOG_H
#define EMPLOG_LOG_H

#include "shm/encode.h"
#include "shm/pool.h"

/* Seven identity fields and the logger's name. */
#define LOG_EXTRA_MAX	(8 * ENCODE_PAIR_MAX)

struct emplog {
	uint32_t	 level;		/* least written; over FATAL: none */
	enum emplog_console console;	/* never DEFAULT */
	/* pairs at the end of each record: logger_name, and the identity
	   fields in which this logger differs from its lane */
	uint32_t	 extra_len;
	uint32_t	 extra_pairs;
	uint8_t		 extra[LOG_EXTRA_MAX];
	char		 state[512];
};

/*
 * What a record leaves free behind it, so that the worse ones still find
 * room: the last eighth is for warn and above, a 32nd for the ends of jobs.
 */
#define LOG_RESERVE(data_bytes)		((data_bytes) / 8)
#define LOG_RESERVE_WARN(data_bytes)	((data_bytes) / 32)
uint64_t log_reserve(const struct writer *w, uint32_t level, bool job_end);
/* The largest record this lane takes. */
uint64_t log_record_max(const struct writer *w);
/* Counts a record that found no room; under the lane's lock. */
void	 log_refuse(struct lane *l, uint32_t level, uint64_t bytes,
	    uint64_t wall_ns);

/* Writes in, which lacks extra; job_end: may use the last byte. */
int	 log_write(struct emplog *log, struct encode_in *in, bool job_end);
/* Is a record of this level written at all? */
static inline bool
log_wants(const struct emplog *log, uint32_t level)
{
	return level >= log->level;
}
/* Says what was refused, if there is room; under the lane's lock. */
void	 log_gap(struct lane *l, uint64_t wall_ns, uint64_t reserve);

/* One line on stderr if it would not block; secrets are replaced there too. */
void	 console_put(const struct shm_sys *sys, const struct encode_in *in);

#endif
