/* SPDX-License-Identifier: ISC */
/*
 * emplog.h - write structured records into shared memory
 *
 * What:     a logger encodes each record in place into this process's lane;
 *           the emplogd agent ships it from there.  The record is safe from
 *           the death of this process the moment emplog_log() returns.
 * Never:    blocks, makes a system call per record, allocates after open, or
 *           ends the caller.  When there is no room a record is refused by
 *           severity and counted, and a gap record says so later.
 * Threads:  every call may be made from any thread at the same time.  After
 *           fork() the child writes to a lane of its own.  A call from a
 *           signal handler that interrupted another is refused (-EBUSY).
 *
 *	struct emplog *log;
 *
 *	emplog_open(&log, NULL);	// identity from the environment
 *	emplog_info(log, "model loaded", EMPLOG_STR("model", "sdxl"),
 *	    EMPLOG_INT("load_ms", 812));
 *	emplog_close(&log);
 *
 * See emplog(3).
 */
#ifndef EMPLOG_H
#define EMPLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define EMPLOG_API __attribute__((visibility("default")))
#else
#define EMPLOG_API
#endif

#define EMPLOG_VERSION "0.1.0"

struct emplog;

enum emplog_level {
	EMPLOG_TRACE, EMPLOG_DEBUG, EMPLOG_INFO, EMPLOG_WARN, EMPLOG_ERROR,
	EMPLOG_FATAL
};

/* Where a record is also printed, one line on stderr. */
enum emplog_console {
	EMPLOG_CONSOLE_DEFAULT,	/* EMPLOG_CONSOLE, else fallback */
	EMPLOG_CONSOLE_OFF,
	EMPLOG_CONSOLE_FALLBACK,	/* only what no lane took */
	EMPLOG_CONSOLE_ON
};

/*
 * NULL or "" takes the environment's value, then the default.  All strings
 * are copied at open.
 */
struct emplog_options {
	const char	*machine_id;	/* MACHINE_ID */
	const char	*worker_id;	/* WORKER_ID */
	const char	*service_type;	/* SERVICE_TYPE */
	const char	*connector_id;	/* CONNECTOR_ID */
	const char	*service_name;	/* SERVICE_NAME, OTEL_SERVICE_NAME */
	const char	*service_version; /* SERVICE_VERSION */
	const char	*deployment;	/* DEPLOYMENT_ENV, RAILWAY_ENVIRONMENT */
	const char	*logger_name;	/* "emplog" */
	const char	*ring_dir;	/* EMPLOG_RING_DIR, EMPLOGD_COMMON_RING_DIR,
					   /dev/shm/emplog; see emplog(3) */
	const char	*state_dir;	/* EMPLOGD_COMMON_STATE_DIR: where a lane goes
					   when the ring is full */
	enum emplog_level level;	/* least level written; EMPLOG_TRACE unless
					   LOG_LEVEL says else */
	bool		 level_set;	/* level was given, LOG_LEVEL is ignored */
	enum emplog_console console;
	size_t		 lane_bytes;	/* 0: a 64th of the tmpfs, 256K..4M */
};

enum emplog_type {
	EMPLOG_T_STR, EMPLOG_T_INT, EMPLOG_T_UINT, EMPLOG_T_DOUBLE,
	EMPLOG_T_BOOL, EMPLOG_T_BYTES, EMPLOG_T_MAP, EMPLOG_T_ARRAY,
	EMPLOG_T_NULL
};

struct emplog_field {
	const char	*key;		/* ignored inside an array */
	uint32_t	 key_len;
	uint32_t	 type;		/* enum emplog_type, | EMPLOG_KEY_PLAIN */
	union {
		const char	*s;
		int64_t		 i;
		uint64_t	 u;
		double		 d;
		bool		 b;
		const void	*p;
		const struct emplog_field *f;
	} v;
	size_t		 len;		/* of s and p in bytes, of f in fields */
};

static inline uint32_t
emplog_len(const char *s)
{
	return s == NULL ? 0 : (uint32_t)__builtin_strlen(s);
}

/*
 * Beside a type: nobody need look whether values under this key are secrets.
 * Every secret word has a k, a w or a z in it, or a c and an r; of a literal
 * key the compiler sees that.
 */
#define EMPLOG_KEY_PLAIN	0x100u

static inline __attribute__((always_inline)) uint32_t
emplog_key_plain(const char *k)
{
	if (!__builtin_constant_p(__builtin_strlen(k)) ||
	    __builtin_strpbrk(k, "kKwWzZ") != (char *)0 ||
	    (__builtin_strpbrk(k, "cC") != (char *)0 &&
	    __builtin_strpbrk(k, "rR") != (char *)0))
		return 0;
	return EMPLOG_KEY_PLAIN;
}

#define EMPLOG_FIELD_(k, t, m, val, n)	((struct emplog_field){ .key = (k), \
	.key_len = emplog_len(k), .type = (t) | emplog_key_plain(k), .v = { .m = (val) }, .len = (n) })
#define EMPLOG_STR(k, val)	EMPLOG_FIELD_(k, EMPLOG_T_STR, s, val, \
	emplog_len(val))
#define EMPLOG_STRN(k, val, n)	EMPLOG_FIELD_(k, EMPLOG_T_STR, s, val, n)
#define EMPLOG_INT(k, val)	EMPLOG_FIELD_(k, EMPLOG_T_INT, i, val, 0)
#define EMPLOG_UINT(k, val)	EMPLOG_FIELD_(k, EMPLOG_T_UINT, u, val, 0)
#define EMPLOG_DOUBLE(k, val)	EMPLOG_FIELD_(k, EMPLOG_T_DOUBLE, d, val, 0)
/* Through u: a union not filled whole makes gcc clear the array first. */
#define EMPLOG_BOOL(k, val)	EMPLOG_FIELD_(k, EMPLOG_T_BOOL, u, \
	(val) ? 1 : 0, 0)
#define EMPLOG_BYTES(k, val, n)	EMPLOG_FIELD_(k, EMPLOG_T_BYTES, p, val, n)
#define EMPLOG_MAP(k, fields, n)	EMPLOG_FIELD_(k, EMPLOG_T_MAP, f, fields, n)
#define EMPLOG_ARRAY(k, fields, n)	EMPLOG_FIELD_(k, EMPLOG_T_ARRAY, f, fields, n)

/*
 * Opens a logger; o may be NULL.  Without a usable ring directory it still
 * opens: records go to the console line and emplog_state() says why.
 * -ENOMEM, -EINVAL (a text over 255 bytes, a level or console that is none,
 * ret_log NULL).  Not for a signal handler.
 */
EMPLOG_API int	 emplog_open(struct emplog **ret_log,
		    const struct emplog_options *o);
/* Marks the lanes of this process as closed cleanly.  Accepts NULL. */
EMPLOG_API void	 emplog_close(struct emplog **log);

/*
 * Writes one record.  0; -EAGAIN refused, no room at this level; -ENOSYS no
 * lane at all; -E2BIG over the record limit even shortened; -EBUSY called
 * from a signal handler inside another call.  All are counted and none need
 * be looked at.  Fields are borrowed for the call.
 */
EMPLOG_API int	 emplog_log(struct emplog *log, enum emplog_level level,
		    const char *message, const struct emplog_field *fields,
		    size_t n);
/* The same with the message's length and a wall time (0: now). */
EMPLOG_API int	 emplog_log_at(struct emplog *log, enum emplog_level level,
		    uint64_t wall_ns, const char *message, size_t message_len,
		    const struct emplog_field *fields, size_t n);

/* emplog_log() with the length of a literal message known. */
static inline int
emplog_put_(struct emplog *log, enum emplog_level level, const char *message,
    const struct emplog_field *fields, size_t n)
{
	return emplog_log_at(log, level, 0, message, emplog_len(message),
	    fields, n);
}

#define EMPLOG_CALL_(log, level, msg, ...) emplog_put_(log, level, msg, \
	(const struct emplog_field[]){ __VA_ARGS__ }, \
	sizeof((const struct emplog_field[]){ __VA_ARGS__ }) / \
	sizeof(struct emplog_field))
#define emplog_trace(log, ...)	EMPLOG_CALL_(log, EMPLOG_TRACE, __VA_ARGS__)
#define emplog_debug(log, ...)	EMPLOG_CALL_(log, EMPLOG_DEBUG, __VA_ARGS__)
#define emplog_info(log, ...)	EMPLOG_CALL_(log, EMPLOG_INFO, __VA_ARGS__)
#define emplog_warn(log, ...)	EMPLOG_CALL_(log, EMPLOG_WARN, __VA_ARGS__)
#define emplog_error(log, ...)	EMPLOG_CALL_(log, EMPLOG_ERROR, __VA_ARGS__)
#define emplog_fatal(log, ...)	EMPLOG_CALL_(log, EMPLOG_FATAL, __VA_ARGS__)

/*
 * A job's life.  job_id is required (-EINVAL); the rest may be 0 or NULL.
 * queue_ms is filled in at started (since received) and duration at completed
 * and failed (since started, else received) from a monotonic clock when the
 * caller gives none (< 0).  Jobs in progress are known to the lane, so that a
 * killed worker is reported with them.
 */
struct emplog_job {
	const char	*job_id;
	const char	*session_id;
	const char	*model;
	const char	*trace_id;	/* 32 hex */
	const char	*span_id;	/* 16 hex */
	double		 queue_ms;	/* < 0: fill in */
	double		 duration_ms;	/* < 0: fill in */
	double		 progress;	/* 0..100, < 0: none */
	int64_t		 input_size;	/* < 0: none */
	int64_t		 output_size;	/* < 0: none */
	const char	*error;		/* failed */
	const char	*error_type;	/* NULL: told from error */
};
#define EMPLOG_JOB(id)	((struct emplog_job){ .job_id = (id), .queue_ms = -1, \
	.duration_ms = -1, .progress = -1, .input_size = -1, .output_size = -1 })

EMPLOG_API int	 emplog_job_received(struct emplog *log,
		    const struct emplog_job *job,
		    const struct emplog_field *fields, size_t n);
EMPLOG_API int	 emplog_job_started(struct emplog *log,
		    const struct emplog_job *job,
		    const struct emplog_field *fields, size_t n);
EMPLOG_API int	 emplog_job_progress(struct emplog *log,
		    const struct emplog_job *job,
		    const struct emplog_field *fields, size_t n);
EMPLOG_API int	 emplog_job_completed(struct emplog *log,
		    const struct emplog_job *job,
		    const struct emplog_field *fields, size_t n);
EMPLOG_API int	 emplog_job_failed(struct emplog *log,
		    const struct emplog_job *job,
		    const struct emplog_field *fields, size_t n);
/* event_type health_check; details become health_details. */
EMPLOG_API int	 emplog_health_check(struct emplog *log, bool healthy,
		    const struct emplog_field *details, size_t n);
/* event_type service_<event>. */
EMPLOG_API int	 emplog_service_event(struct emplog *log, const char *event,
		    const char *message, const struct emplog_field *fields,
		    size_t n);

struct emplog_stats {
	uint64_t	 written;	/* records published by this process */
	uint64_t	 refused;	/* no room */
	uint64_t	 no_lane;
	uint64_t	 oversize;
	uint64_t	 shortened;
	uint64_t	 redacted;
	uint32_t	 lanes;		/* this process has */
};
EMPLOG_API void	 emplog_get_stats(struct emplog *log,
		    struct emplog_stats *ret_stats);
/*
 * Where records go now, for people: "lane /dev/shm/emplog/….lane", "console:
 * no space in /dev/shm/emplog", ….  Lent until the next call or close.
 */
EMPLOG_API const char *emplog_state(struct emplog *log);

#ifdef __cplusplus
}
#endif
#endif
