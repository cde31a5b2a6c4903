/* SPDX-License-Identifier: ISC */
/* job.c - a job's life and a service's health; the contract is in emplog.h */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shm/jobs.h"
#include "shm/log.h"

#define JOB_FIELDS	16	/* most that job_head() writes */

struct job_kind {
	const char	*event_type;
	const char	*message;
	const char	*status;
	uint32_t	 level;
	enum jobs_event	 event;
};
static const struct job_kind received = { "job_received", "Job received",
    "received", EMPLOG_INFO, JOBS_RECEIVED };
static const struct job_kind started = { "job_started",
    "Job processing started", "processing", EMPLOG_INFO, JOBS_STARTED };
static const struct job_kind progressed = { "job_progress",
    "Job progress update", "processing", EMPLOG_INFO, JOBS_WENT_ON };
static const struct job_kind completed = { "job_completed",
    "Job completed successfully", "completed", EMPLOG_INFO, JOBS_ENDED };
static const struct job_kind failed = { "job_failed", "Job failed", "failed",
    EMPLOG_ERROR, JOBS_ENDED };

/* The first that matches; upper and lower case differ. */
static const char *
error_type_of(const char *error)
{
	static const struct { const char *part, *type; } rule[] = {
		{ "timeout", "timeout" },
		{ "memory", "memory" }, { "OOM", "memory" },
		{ "connection", "network" }, { "network", "network" },
		{ "model", "model" }, { "load", "model" },
		{ "validation", "validation" }, { "invalid", "validation" },
	};
	size_t i;

	if (error == NULL)
		return "unknown";
	for (i = 0; i < sizeof(rule) / sizeof(rule[0]); i++)
		if (strstr(error, rule[i].part) != NULL)
			return rule[i].type;
	return "unknown";
}

/* 17784, not 17784.0: saved queries compare with whole numbers. */
static struct emplog_field
number(const char *key, double v)
{
	if (v >= -9e15 && v <= 9e15 && (double)(int64_t)v == v)
		return EMPLOG_INT(key, (int64_t)v);
	return EMPLOG_DOUBLE(key, v);
}

static size_t
text(struct emplog_field *f, const char *key, const char *v)
{
	if (v == NULL || *v == '\0')
		return 0;
	*f = EMPLOG_STR(key, v);
	return 1;
}

/* What every event of a job may carry. */
static size_t
job_head(struct emplog_field *f, const struct job_kind *kind,
    const struct emplog_job *job)
{
	size_t n = 0;

	f[n++] = EMPLOG_STR("event_type", kind->event_type);
	f[n++] = EMPLOG_STR("job_id", job->job_id);
	f[n++] = EMPLOG_STR("job_status", kind->status);
	n += text(&f[n], "model", job->model);
	n += text(&f[n], "session_id", job->session_id);
	n += text(&f[n], "trace_id", job->trace_id);
	n += text(&f[n], "span_id", job->span_id);
	if (job->queue_ms >= 0)
		f[n++] = number("queue_ms", job->queue_ms);
	if (job->duration_ms >= 0)
		f[n++] = number("duration", job->duration_ms);
	if (job->progress >= 0)
		f[n++] = number("progress", job->progress);
	if (job->input_size >= 0)
		f[n++] = EMPLOG_INT("input_size", job->input_size);
	if (job->output_size >= 0)
		f[n++] = EMPLOG_INT("output_size", job->output_size);
	return n;
}

static uint64_t
wall(void)
{
	return pool.conf.sys->wall_ns(pool.conf.sys->arg);
}

/* What the caller does not know of the job's times, the table may. */
static void
times_fill(struct emplog_job *job, enum jobs_event event, uint64_t wall_ns)
{
	const struct shm_sys *sys = pool.conf.sys;
	struct jobs_times t;

	if (atomic_load(pool.fork_word) != POOL_READY)
		pool_settle();
	t = jobs_note(event, job->job_id, strlen(job->job_id),
	    sys->mono_ns(sys->arg), wall_ns);
	if (job->queue_ms < 0)
		job->queue_ms = t.queue_ms;
	if (job->duration_ms < 0)
		job->duration_ms = t.duration_ms;
}

static int
job_write(struct emplog *log, const struct job_kind *kind,
    const struct emplog_job *job, uint64_t wall_ns,
    const struct emplog_field *fields, size_t n)
{
	struct emplog_field head[JOB_FIELDS];
	struct encode_in in = {
		.wall_ns = wall_ns,
		.level = kind->level,
		.message = kind->message,
		.message_len = strlen(kind->message),
		.head = head,
		.n_head = job_head(head, kind, job),
		.fields = fields,
		.n = n,
	};

	if (kind == &failed) {
		in.n_head += text(&head[in.n_head], "error", job->error);
		head[in.n_head++] = EMPLOG_STR("error_type",
		    job->error_type != NULL ? job->error_type :
		    error_type_of(job->error));
	}
	if (!log_wants(log, kind->level))
		return 0;
	return log_write(log, &in, kind->event == JOBS_ENDED);
}

/* The lane's copy, where the record went elsewhere or was not written. */
static void
copy_late(void)
{
	if (atomic_load_explicit(&jobs_late, memory_order_relaxed) != 0 &&
	    pool_lock(&pool.lane[0], POOL_SPINS))
		pool_give(&pool.lane[0]);
}

static int
job_event(struct emplog *log, const struct job_kind *kind,
    const struct emplog_job *job, const struct emplog_field *fields, size_t n)
{
	struct lease *lease = pool_lease();
	struct emplog_job own;
	uint64_t now;
	int r;

	if (log == NULL || job == NULL || job->job_id == NULL ||
	    *job->job_id == '\0' || (fields == NULL && n > 0))
		return -EINVAL;
	now = wall();
	/* A signal handler inside a call may find the table half changed. */
	if (lease->busy) {
		pool_lose(kind->level, now);
		return -EBUSY;
	}
	own = *job;
	/* The table is kept whatever level is written. */
	lease_enter(lease);
	times_fill(&own, kind->event, now);
	lease_leave(lease);
	r = job_write(log, kind, &own, now, fields, n);
	lease_enter(lease);
	copy_late();
	lease_leave(lease);
	return r;
}

int
emplog_job_received(struct emplog *log, const struct emplog_job *job,
    const struct emplog_field *fields, size_t n)
{
	return job_event(log, &received, job, fields, n);
}

int
emplog_job_started(struct emplog *log, const struct emplog_job *job,
    const struct emplog_field *fields, size_t n)
{
	return job_event(log, &started, job, fields, n);
}

int
emplog_job_progress(struct emplog *log, const struct emplog_job *job,
    const struct emplog_field *fields, size_t n)
{
	return job_event(log, &progressed, job, fields, n);
}

int
emplog_job_completed(struct emplog *log, const struct emplog_job *job,
    const struct emplog_field *fields, size_t n)
{
	return job_event(log, &completed, job, fields, n);
}

int
emplog_job_failed(struct emplog *log, const struct emplog_job *job,
    const struct emplog_field *fields, size_t n)
{
	return job_event(log, &failed, job, fields, n);
}

int
emplog_health_check(struct emplog *log, bool healthy,
    const struct emplog_field *details, size_t n)
{
	const struct emplog_field f[] = {
		EMPLOG_STR("event_type", "health_check"),
		EMPLOG_STR("health_status", healthy ? "healthy" : "unhealthy"),
		EMPLOG_MAP("health_details", details, n),
	};

	if (details == NULL && n > 0)
		return -EINVAL;
	return emplog_log(log, healthy ? EMPLOG_INFO : EMPLOG_WARN, healthy ?
	    "Health check: healthy" : "Health check: unhealthy", f, 3);
}

int
emplog_service_event(struct emplog *log, const char *event,
    const char *message, const struct emplog_field *fields, size_t n)
{
	char type[128];
	struct emplog_field head;
	struct encode_in in;

	if (log == NULL || event == NULL || (fields == NULL && n > 0))
		return -EINVAL;
	if (!log_wants(log, EMPLOG_INFO))
		return 0;
	/* A longer name is cut: it is a name. */
	(void)snprintf(type, sizeof(type), "service_%s", event);
	head = EMPLOG_STR("event_type", type);
	in = (struct encode_in){
		.wall_ns = wall(),
		.level = EMPLOG_INFO,
		.message = message != NULL ? message : type,
		.message_len = strlen(message != NULL ? message : type),
		.head = &head,
		.n_head = 1,
		.fields = fields,
		.n = n,
	};
	return log_write(log, &in, false);
}
