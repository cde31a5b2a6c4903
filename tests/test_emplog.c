/* SPDX-License-Identifier: ISC */
/*
 * test_emplog.c - libemplog as a program sees it
 *
 * Claimed: what is logged is in the lane as msgpack-c reads it; refusals go by
 * severity and are told; threads, forks, signals, retirement, a full ring and
 * every kind of end are survived, and nothing of it is silent.  Each test is
 * a process of its own, for lanes belong to the process.
 */
#include <malloc.h>
#include <msgpack.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "shm/jobs.h"
#include "shm/log.h"
#include "shm_kit.h"

static struct emplog *elog;
static struct emplog_options opt;
static msgpack_zone zone;

static void
setup(void)
{
	unsetenv("MACHINE_ID");
	unsetenv("WORKER_ID");
	unsetenv("LOG_LEVEL");
	unsetenv("EMPLOG_CONSOLE");
	unsetenv("EMPLOG_DISABLED");
	kit_ring();
	pool.conf.sys = &kit_sys;
	opt = (struct emplog_options){ .ring_dir = kit_dir,
	    .lane_bytes = 65536, .console = EMPLOG_CONSOLE_OFF,
	    .machine_id = "m-1", .worker_id = "w-1" };
	msgpack_zone_init(&zone, 8192);
}

static void
teardown(void)
{
	emplog_close(&elog);
	msgpack_zone_destroy(&zone);
	kit_clean();
}

static struct writer *
lane(unsigned i)
{
	return &pool.lane[i].w;
}

static void
agent_takes_all(void)
{
	atomic_store_explicit(&lane(0)->agent->tail, lane(0)->at,
	    memory_order_release);
}

/* ---- reading back ---- */

struct back {
	const uint8_t	*p;
	uint64_t	 n, at;
};

static struct back
back_from(const struct writer *w, uint64_t pos)
{
	return (struct back){ w->data + pos % w->data_bytes, w->at - pos, 0 };
}

static bool
back_next(struct back *b, msgpack_object *ret)
{
	size_t at = b->at;

	if (b->at == b->n)
		return false;
	ck_assert_int_ge(msgpack_unpack((const char *)b->p, b->n, &at, &zone,
	    ret), MSGPACK_UNPACK_EXTRA_BYTES);
	b->at = at;
	ck_assert_int_eq(ret->type, MSGPACK_OBJECT_ARRAY);
	ck_assert_uint_eq(ret->via.array.size, 2);
	*ret = ret->via.array.ptr[1];
	ck_assert_int_eq(ret->type, MSGPACK_OBJECT_MAP);
	return true;
}

static const msgpack_object *
get(const msgpack_object *m, const char *key)
{
	const msgpack_object_kv *kv = m->via.map.ptr;
	uint32_t i;

	for (i = 0; i < m->via.map.size; i++)
		if (kv[i].key.via.str.size == strlen(key) &&
		    memcmp(kv[i].key.via.str.ptr, key, strlen(key)) == 0)
			return &kv[i].val;
	return NULL;
}

static bool
has(const msgpack_object *m, const char *key, const char *s)
{
	const msgpack_object *o = get(m, key);

	return o != NULL && o->type == MSGPACK_OBJECT_STR &&
	    o->via.str.size == strlen(s) &&
	    memcmp(o->via.str.ptr, s, strlen(s)) == 0;
}

static double
num(const msgpack_object *m, const char *key)
{
	const msgpack_object *o = get(m, key);

	if (o == NULL)
		return -1;
	return o->type == MSGPACK_OBJECT_FLOAT64 ? o->via.f64 :
	    (double)o->via.i64;
}

/* The record at pos, the only one or the first. */
static msgpack_object
record_at(uint64_t pos)
{
	struct back b = back_from(lane(0), pos);
	msgpack_object o;

	ck_assert(back_next(&b, &o));
	return o;
}

static struct emplog_stats
stats(void)
{
	struct emplog_stats st;

	emplog_get_stats(elog, &st);
	return st;
}

/* ---- open and identity ---- */

START_TEST(a_record_is_in_the_lane_when_the_call_returns)
{
	msgpack_object o;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_info(elog, "hello", EMPLOG_INT("n", 3)), 0);
	o = record_at(0);
	ck_assert(has(&o, "level", "info"));
	ck_assert(has(&o, "message", "hello"));
	ck_assert_int_eq((int)num(&o, "n"), 3);
	ck_assert(has(&o, "logger_name", "emplog"));
	ck_assert_ptr_null(get(&o, "machine_id"));
	ck_assert_uint_eq(stats().written, 1);
	ck_assert_uint_eq(stats().lanes, 1);
	ck_assert_ptr_nonnull(strstr(emplog_state(elog), lane(0)->path));
}
END_TEST

START_TEST(identity_is_in_the_lanes_head_once)
{
	static const char want[] = "\x83\xaamachine_id\xa3m-1"
	    "\xa9worker_id\xa3w-1\xacservice_type\xa7" "comfyui";

	setenv("SERVICE_TYPE", "comfyui", 1);
	setenv("WORKER_ID", "not this", 1);
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_uint_eq(lane(0)->head->identity_len, sizeof(want) - 1);
	ck_assert_mem_eq(lane(0)->head->identity, want, sizeof(want) - 1);
}
END_TEST

START_TEST(a_logger_that_differs_says_so_in_its_records)
{
	struct emplog *other;
	msgpack_object o;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	opt.worker_id = "w-2";
	opt.connector_id = "c-9";
	opt.logger_name = "second";
	ck_assert_int_eq(emplog_open(&other, &opt), 0);
	ck_assert_int_eq(emplog_log(other, EMPLOG_WARN, "x", NULL, 0), 0);
	o = record_at(0);
	ck_assert(has(&o, "worker_id", "w-2"));
	ck_assert(has(&o, "connector_id", "c-9"));
	ck_assert(has(&o, "logger_name", "second"));
	ck_assert_ptr_null(get(&o, "machine_id"));
	emplog_close(&other);
	ck_assert_ptr_null(other);
	/* The first one's lane goes on. */
	ck_assert_int_eq(emplog_log(elog, EMPLOG_WARN, "y", NULL, 0), 0);
}
END_TEST

START_TEST(texts_over_255_bytes_are_einval)
{
	char text[257];

	memset(text, 'a', 256);
	text[256] = '\0';
	opt.worker_id = text;
	ck_assert_int_eq(emplog_open(&elog, &opt), -EINVAL);
	ck_assert_ptr_null(elog);
	text[255] = '\0';
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
}
END_TEST

START_TEST(levels_below_the_least_are_not_written)
{
	setenv("LOG_LEVEL", "WARN", 1);
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_WARN, "x", NULL, 0), 0);
	ck_assert_uint_eq(stats().written, 1);
	emplog_close(&elog);
	opt.level_set = true;
	opt.level = EMPLOG_INFO;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_DEBUG, "x", NULL, 0), 0);
	ck_assert_uint_eq(lane(0)->records, 1);
}
END_TEST

START_TEST(bad_arguments_are_einval)
{
	struct emplog_job job = EMPLOG_JOB(NULL);

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_log(NULL, EMPLOG_INFO, "x", NULL, 0), -EINVAL);
	ck_assert_int_eq(emplog_log(elog, 6, "x", NULL, 0), -EINVAL);
	ck_assert_int_eq(emplog_log(elog, (enum emplog_level)-1, "x", NULL,
	    0), -EINVAL);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 1),
	    -EINVAL);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, NULL, NULL, 0), 0);
	ck_assert_int_eq(emplog_job_started(elog, &job, NULL, 0), -EINVAL);
	job.job_id = "";
	ck_assert_int_eq(emplog_job_failed(elog, &job, NULL, 0), -EINVAL);
	emplog_close(NULL);
}
END_TEST

START_TEST(the_time_is_the_callers_when_it_gives_one)
{
	static const uint8_t front[] = { 0x92, 0xd7, 0x00,
	    0x65, 0x53, 0xf1, 0x00, 0x07, 0x5b, 0xcd, 0x15 };

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_log_at(elog, EMPLOG_INFO,
	    1700000000123456789u, "mXX", 1, NULL, 0), 0);
	ck_assert_mem_eq(lane(0)->data, front, sizeof(front));
	msgpack_object o = record_at(0);
	ck_assert(has(&o, "message", "m"));
}
END_TEST

START_TEST(no_heap_is_touched_after_open)
{
	const struct emplog_field f[] = { EMPLOG_STR("a", "b") };
	struct mallinfo2 before, after;
	unsigned i;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	emplog_log(elog, EMPLOG_INFO, "x", f, 1);
	before = mallinfo2();
	for (i = 0; i < 2000; i++)
		emplog_log(elog, EMPLOG_INFO, "x", f, 1);
	after = mallinfo2();
	ck_assert_uint_gt(stats().refused, 0);
	ck_assert_uint_eq(before.uordblks, after.uordblks);
}
END_TEST

/* ---- refusal and gap ---- */

static unsigned
fill(enum emplog_level level)
{
	unsigned n = 0;

	while (emplog_log(elog, level, "fill", NULL, 0) == 0)
		n++;
	return n;
}

START_TEST(refused_by_severity_and_room_is_kept_for_job_ends)
{
	struct emplog_job job = EMPLOG_JOB("j");
	uint64_t size, left;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_job_received(elog, &job, NULL, 0), 0);
	ck_assert_uint_gt(fill(EMPLOG_INFO), 100);
	size = lane(0)->data_bytes;
	left = size - lane(0)->at;
	ck_assert_uint_ge(left, LOG_RESERVE(size));
	ck_assert_uint_lt(left, LOG_RESERVE(size) + 300);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_DEBUG, "x", NULL, 0),
	    -EAGAIN);
	ck_assert_uint_gt(fill(EMPLOG_WARN), 10);
	left = size - lane(0)->at;
	ck_assert_uint_ge(left, LOG_RESERVE_WARN(size));
	ck_assert_uint_lt(left, LOG_RESERVE_WARN(size) + 300);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_FATAL, "x", NULL, 0),
	    -EAGAIN);
	ck_assert_int_eq(emplog_job_progress(elog, &job, NULL, 0), -EAGAIN);
	ck_assert_int_eq(emplog_job_completed(elog, &job, NULL, 0), 0);
	ck_assert_int_eq(emplog_job_failed(elog, &job, NULL, 0), 0);
	ck_assert_uint_eq(atomic_load(&lane(0)->prod->refused[EMPLOG_INFO]),
	    2);
	ck_assert_uint_eq(atomic_load(&lane(0)->prod->refused[EMPLOG_WARN]),
	    1);
	ck_assert_uint_eq(stats().refused, 5);
}
END_TEST

START_TEST(when_room_returns_a_gap_record_says_what_is_missing)
{
	struct back b;
	msgpack_object o;
	uint64_t at;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	fill(EMPLOG_INFO);
	emplog_log(elog, EMPLOG_INFO, "lost", NULL, 0);
	emplog_log(elog, EMPLOG_DEBUG, "lost", NULL, 0);
	fill(EMPLOG_ERROR);
	at = lane(0)->at;
	agent_takes_all();
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "after", NULL, 0), 0);
	b = back_from(lane(0), at);
	ck_assert(back_next(&b, &o));
	ck_assert(has(&o, "event_type", "emplog_gap"));
	ck_assert(has(&o, "level", "warn"));
	ck_assert_int_eq((int)num(&o, "refused"), 4);
	ck_assert_int_eq((int)num(&o, "refused_info"), 2);
	ck_assert_int_eq((int)num(&o, "refused_debug"), 1);
	ck_assert_int_eq((int)num(&o, "refused_error"), 1);
	ck_assert_ptr_null(get(&o, "refused_warn"));
	ck_assert(num(&o, "first_ms") > 1e12);
	ck_assert(num(&o, "last_ms") >= num(&o, "first_ms"));
	ck_assert(back_next(&b, &o));
	ck_assert(has(&o, "message", "after"));
	/* Told once. */
	at = lane(0)->at;
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "more", NULL, 0), 0);
	b = back_from(lane(0), at);
	ck_assert(back_next(&b, &o));
	ck_assert(has(&o, "message", "more"));
	ck_assert_uint_eq(atomic_load(&lane(0)->prod->told[EMPLOG_INFO]), 2);
	ck_assert_uint_eq(atomic_load(&lane(0)->prod->gap_claim),
	    LANE_CLAIM_NONE);
}
END_TEST

START_TEST(a_gap_the_agent_claimed_is_left_to_it)
{
	msgpack_object o;
	uint64_t at;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	fill(EMPLOG_INFO);
	atomic_store(&lane(0)->prod->gap_claim, LANE_CLAIM_AGENT);
	at = lane(0)->at;
	agent_takes_all();
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "after", NULL, 0), 0);
	o = record_at(at);
	ck_assert(has(&o, "message", "after"));
	/* The agent told it and let go. */
	atomic_store(&lane(0)->prod->told[EMPLOG_INFO], 1);
	atomic_store(&lane(0)->prod->gap_claim, LANE_CLAIM_NONE);
	at = lane(0)->at;
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "later", NULL, 0), 0);
	o = record_at(at);
	ck_assert(has(&o, "message", "later"));
}
END_TEST

START_TEST(a_record_that_cannot_be_shortened_enough_is_e2big)
{
	struct emplog_field f[700];
	unsigned i;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	for (i = 0; i < 700; i++)
		f[i] = EMPLOG_INT("key", 1);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", f, 700), -E2BIG);
	ck_assert_uint_eq(stats().oversize, 1);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", f, 500), 0);
}
END_TEST

/* ---- jobs ---- */

START_TEST(a_jobs_life_has_the_names_and_times_of_old)
{
	struct emplog_job job = EMPLOG_JOB("job-1");
	const struct emplog_field f[] = { EMPLOG_STR("execution_step", "K") };
	struct back b;
	msgpack_object o;

	kit.mono_ns = 1000000000;
	job.model = "sdxl";
	job.input_size = 18342;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_job_received(elog, &job, NULL, 0), 0);
	kit.mono_ns += 250000000;
	job.input_size = -1;
	ck_assert_int_eq(emplog_job_started(elog, &job, NULL, 0), 0);
	job.progress = 45;
	ck_assert_int_eq(emplog_job_progress(elog, &job, f, 1), 0);
	kit.mono_ns += 17784500000;
	job.progress = -1;
	job.model = NULL;
	job.output_size = 912;
	ck_assert_int_eq(emplog_job_completed(elog, &job, NULL, 0), 0);

	b = back_from(lane(0), 0);
	ck_assert(back_next(&b, &o));
	ck_assert(has(&o, "level", "info"));
	ck_assert(has(&o, "message", "Job received"));
	ck_assert(has(&o, "event_type", "job_received"));
	ck_assert(has(&o, "job_id", "job-1"));
	ck_assert(has(&o, "job_status", "received"));
	ck_assert(has(&o, "model", "sdxl"));
	ck_assert_int_eq((int)num(&o, "input_size"), 18342);
	ck_assert(back_next(&b, &o));
	ck_assert(has(&o, "message", "Job processing started"));
	ck_assert(has(&o, "event_type", "job_started"));
	ck_assert(has(&o, "job_status", "processing"));
	ck_assert_int_eq((int)get(&o, "queue_ms")->via.i64, 250);
	ck_assert(back_next(&b, &o));
	ck_assert(has(&o, "message", "Job progress update"));
	ck_assert(has(&o, "event_type", "job_progress"));
	ck_assert_int_eq((int)num(&o, "progress"), 45);
	ck_assert(has(&o, "execution_step", "K"));
	ck_assert(back_next(&b, &o));
	ck_assert(has(&o, "message", "Job completed successfully"));
	ck_assert(has(&o, "event_type", "job_completed"));
	ck_assert(has(&o, "job_status", "completed"));
	ck_assert(num(&o, "duration") == 17784.5);
	ck_assert_int_eq((int)num(&o, "output_size"), 912);
	ck_assert_uint_eq(jobs_count(), 0);
}
END_TEST

START_TEST(a_failed_job_has_its_error_type_told_from_the_error)
{
	static const struct { const char *error, *type; } t[] = {
		{ "Request timeout after 60000ms", "timeout" },
		{ "connection timeout", "timeout" },
		{ "out of memory", "memory" }, { "CUDA OOM", "memory" },
		{ "connection refused", "network" },
		{ "network is down", "network" },
		{ "no such model", "model" }, { "cannot load", "model" },
		{ "validation of input", "validation" },
		{ "invalid size", "validation" },
		{ "Timeout", "unknown" }, { "boom", "unknown" },
		{ NULL, "unknown" },
	};
	struct emplog_job job = EMPLOG_JOB("j");
	msgpack_object o;
	uint64_t at;
	size_t i;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		job.error = t[i].error;
		at = lane(0)->at;
		ck_assert_int_eq(emplog_job_failed(elog, &job, NULL, 0), 0);
		o = record_at(at);
		ck_assert(has(&o, "level", "error"));
		ck_assert(has(&o, "message", "Job failed"));
		ck_assert(has(&o, "job_status", "failed"));
		ck_assert(has(&o, "error_type", t[i].type));
		ck_assert(t[i].error == NULL || has(&o, "error", t[i].error));
		/* Never received nor started: no made-up duration. */
		ck_assert_ptr_null(get(&o, "duration"));
	}
	job.error_type = "own";
	at = lane(0)->at;
	ck_assert_int_eq(emplog_job_failed(elog, &job, NULL, 0), 0);
	o = record_at(at);
	ck_assert(has(&o, "error_type", "own"));
}
END_TEST

static unsigned
lane_jobs(const struct writer *w, const char *id)
{
	unsigned i, n = 0;

	for (i = 0; i < LANE_JOBS; i++)
		n += atomic_load(&w->jobs[i].state) == LANE_JOB_SET &&
		    (id == NULL || (w->jobs[i].len == strlen(id) &&
		    memcmp(w->jobs[i].id, id, strlen(id)) == 0));
	return n;
}

START_TEST(jobs_in_progress_are_in_the_lane_for_the_agent)
{
	struct emplog_job job;
	char id[100];
	unsigned i;

	opt.lane_bytes = 1u << 20;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	for (i = 0; i < LANE_JOBS + 1; i++) {
		snprintf(id, sizeof(id), "job-%u", i);
		job = EMPLOG_JOB(id);
		ck_assert_int_eq(emplog_job_received(elog, &job, NULL, 0), 0);
	}
	ck_assert_uint_eq(lane_jobs(lane(0), NULL), LANE_JOBS);
	ck_assert_uint_eq(lane_jobs(lane(0), "job-63"), 1);
	ck_assert_uint_eq(lane_jobs(lane(0), "job-64"), 0);
	job = EMPLOG_JOB("job-7");
	ck_assert_int_eq(emplog_job_completed(elog, &job, NULL, 0), 0);
	ck_assert_uint_eq(lane_jobs(lane(0), "job-7"), 0);
	ck_assert_uint_eq(lane_jobs(lane(0), NULL), LANE_JOBS - 1);
	/* An id longer than its slot is cut there, and still found. */
	memset(id, 'x', 99);
	id[99] = '\0';
	job = EMPLOG_JOB(id);
	ck_assert_int_eq(emplog_job_started(elog, &job, NULL, 0), 0);
	ck_assert_uint_eq(lane_jobs(lane(0), NULL), LANE_JOBS);
	ck_assert_int_eq(emplog_job_completed(elog, &job, NULL, 0), 0);
	ck_assert_uint_eq(lane_jobs(lane(0), NULL), LANE_JOBS - 1);
}
END_TEST

START_TEST(health_and_service_events_have_their_shapes)
{
	const struct emplog_field f[] = { EMPLOG_BOOL("api_available", false) };
	struct back b;
	msgpack_object o;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_health_check(elog, false, f, 1), 0);
	ck_assert_int_eq(emplog_health_check(elog, true, NULL, 0), 0);
	ck_assert_int_eq(emplog_service_event(elog, "ready", "up", f, 1), 0);
	b = back_from(lane(0), 0);
	ck_assert(back_next(&b, &o));
	ck_assert(has(&o, "level", "warn"));
	ck_assert(has(&o, "message", "Health check: unhealthy"));
	ck_assert(has(&o, "event_type", "health_check"));
	ck_assert(has(&o, "health_status", "unhealthy"));
	ck_assert(!get(get(&o, "health_details"),
	    "api_available")->via.boolean);
	ck_assert(back_next(&b, &o));
	ck_assert(has(&o, "level", "info"));
	ck_assert(has(&o, "health_status", "healthy"));
	ck_assert(back_next(&b, &o));
	ck_assert(has(&o, "event_type", "service_ready"));
	ck_assert(has(&o, "message", "up"));
}
END_TEST

/* ---- lanes that go away, rings without room ---- */

START_TEST(a_retired_lane_is_replaced_and_jobs_move_along)
{
	struct emplog_job job = EMPLOG_JOB("job-1");
	char old[256];

	kit.mono_ns = 1000000000;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_job_started(elog, &job, NULL, 0), 0);
	memcpy(old, lane(0)->path, sizeof(old));
	atomic_store(&lane(0)->agent->retired, 1);
	/* The lane is a second old at least before it is given up. */
	kit.mono_ns += 999999999;
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	ck_assert_str_eq(lane(0)->path, old);
	kit.mono_ns += 1;
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "y", NULL, 0), 0);
	ck_assert_str_ne(lane(0)->path, old);
	ck_assert_int_eq(kit_locked(old), 0);
	ck_assert_uint_eq(lane(0)->records, 1);
	ck_assert_uint_eq(lane_jobs(lane(0), "job-1"), 1);
	ck_assert_uint_eq(stats().written, 3);
	ck_assert_uint_eq(stats().lanes, 1);
}
END_TEST

START_TEST(an_unlinked_lane_is_replaced_within_a_second)
{
	char old[256];

	kit.mono_ns = 1000000000;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	memcpy(old, lane(0)->path, sizeof(old));
	ck_assert_int_eq(unlink(old), 0);
	kit.mono_ns += 1000000000;
	/* The record's clock decides when it is worth a look. */
	ck_assert_int_eq(emplog_log_at(elog, EMPLOG_INFO, 5, "y", 1, NULL, 0),
	    0);
	ck_assert_str_ne(lane(0)->path, old);
	ck_assert_int_eq(access(lane(0)->path, F_OK), 0);
}
END_TEST

START_TEST(without_a_lane_it_opens_counts_and_tries_again)
{
	struct ring_ctl ctl;
	char path[128];
	int fd;

	kit.mono_ns = 1000000000;
	kit.left = RING_CTL_BYTES;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_ptr_nonnull(strstr(emplog_state(elog), "console: "));
	ck_assert_ptr_nonnull(strstr(emplog_state(elog), "no room"));
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0),
	    -ENOSYS);
	kit.left = UINT64_MAX;
	kit.mono_ns += 999999999;
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0),
	    -ENOSYS);
	ck_assert_uint_eq(stats().no_lane, 2);
	snprintf(path, sizeof(path), "%s/ring.ctl", kit_dir);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, &ctl, sizeof(ctl)), sizeof(ctl));
	close(fd);
	ck_assert_uint_eq(atomic_load(&ctl.no_lane), 2);
	kit.mono_ns += 1;
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	ck_assert_uint_eq(stats().no_lane, 2);
	ck_assert_ptr_nonnull(strstr(emplog_state(elog), "lane "));
}
END_TEST

START_TEST(a_made_directory_is_said_in_the_state)
{
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_ptr_nonnull(strstr(emplog_state(elog), "made 0700"));
}
END_TEST

START_TEST(opened_and_closed_ten_thousand_times_nothing_is_left)
{
	struct mallinfo2 before, after;
	unsigned i, fds = 0;

	ck_assert_int_eq(mkdir(kit_dir, 0700), 0);
	memset(&before, 0, sizeof(before));
	for (i = 0; i < 10000; i++) {
		if (i == 10) {
			fds = kit_count("/proc/self/fd", "", NULL, 0);
			before = mallinfo2();
		}
		ck_assert_int_eq(emplog_open(&elog, &opt), 0);
		emplog_close(&elog);
	}
	after = mallinfo2();
	ck_assert_uint_eq(kit_count("/proc/self/fd", "", NULL, 0), fds);
	ck_assert_uint_eq(before.uordblks, after.uordblks);
	ck_assert_uint_eq(kit_count(kit_dir, ".lane", NULL, 0), 0);
	ck_assert_uint_eq(kit_temporaries(kit_dir), 0);
}
END_TEST

/* ---- threads ---- */

static sem_t leased, leave;

static void *
log_some(void *arg)
{
	uintptr_t i, n = (uintptr_t)arg;

	for (i = 0; i < n; i++)
		emplog_log(elog, EMPLOG_INFO, "thread", NULL, 0);
	return NULL;
}

static void *
log_and_stay(void *arg)
{
	log_some(arg);
	sem_post(&leased);
	sem_wait(&leave);
	return NULL;
}

/* n threads, one after the other, that have leased and stay. */
static void
stay(pthread_t *t, unsigned n)
{
	sem_init(&leased, 0, 0);
	sem_init(&leave, 0, 0);
	while (n-- > 0) {
		pthread_create(t++, NULL, log_and_stay, (void *)1);
		sem_wait(&leased);
	}
}

static void
stay_no_more(pthread_t *t, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		sem_post(&leave);
	while (n-- > 0)
		pthread_join(*t++, NULL);
}

START_TEST(a_threads_exit_returns_its_lane)
{
	pthread_t t;
	unsigned i;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	emplog_log(elog, EMPLOG_INFO, "main", NULL, 0);
	for (i = 0; i < 50; i++) {
		pthread_create(&t, NULL, log_some, (void *)1);
		pthread_join(t, NULL);
	}
	ck_assert_uint_eq(stats().lanes, 2);
	ck_assert_uint_eq(atomic_load(&pool.lane[1].users), 0);
	ck_assert_uint_eq(stats().written, 51);
	ck_assert_uint_eq(lane(1)->head->flags, LANE_F_EXTRA);
}
END_TEST

START_TEST(eight_lanes_at_most_then_threads_share)
{
	pthread_t t[12];
	unsigned i, users = 0;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	stay(t, 12);
	ck_assert_uint_eq(stats().lanes, POOL_LANES);
	for (i = 0; i < POOL_LANES; i++)
		users += atomic_load(&pool.lane[i].users);
	ck_assert_uint_eq(users, 12);
	stay_no_more(t, 12);
	ck_assert_uint_eq(stats().written, 12);
}
END_TEST

START_TEST(extra_lanes_leave_half_of_the_ring_to_others)
{
	pthread_t t[8];

	/* A ring for six of these lanes. */
	setenv("EMPLOGD_COMMON_RING_MAX", "768K", 1);
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	stay(t, 8);
	ck_assert_uint_eq(stats().lanes, 3);
	stay_no_more(t, 8);
	ck_assert_uint_eq(stats().written, 8);
}
END_TEST

static uint64_t
count_records(const struct writer *w)
{
	struct back b = back_from(w, 0);
	msgpack_object o;
	uint64_t n = 0;

	while (back_next(&b, &o)) {
		n += !has(&o, "event_type", "emplog_gap");
		msgpack_zone_clear(&zone);
	}
	return n;
}

START_TEST(forty_threads_in_twelve_processes_lose_nothing_silently)
{
	enum { THREADS = 40, EACH = 100, PROCESSES = 12 };
	pthread_t t[THREADS];
	struct emplog_stats st;
	uint64_t n = 0, gaps = 0;
	int i, p, status;

	ck_assert_int_eq(mkdir(kit_dir, 0700), 0);
	opt.lane_bytes = 1u << 20;
	for (p = 0; p < PROCESSES; p++) {
		if (fork() > 0)
			continue;
		if (emplog_open(&elog, &opt) < 0)
			_exit(1);
		for (i = 0; i < THREADS; i++)
			pthread_create(&t[i], NULL, log_some, (void *)EACH);
		for (i = 0; i < THREADS; i++)
			pthread_join(t[i], NULL);
		st = stats();
		for (i = 0; i < POOL_LANES; i++)
			if (atomic_load(&pool.lane[i].open)) {
				n += count_records(lane((unsigned)i));
				gaps += lane((unsigned)i)->records;
			}
		if (gaps != st.written ||
		    n + st.refused + st.no_lane != THREADS * EACH)
			_exit(2);
		emplog_close(&elog);
		_exit(0);
	}
	for (p = 0; p < PROCESSES; p++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert(WIFEXITED(status));
		ck_assert_int_eq(WEXITSTATUS(status), 0);
	}
}
END_TEST

/* ---- fork, signals, ends ---- */

START_TEST(a_child_writes_to_a_lane_of_its_own)
{
	struct emplog_job job = EMPLOG_JOB("parents");
	char path[256];
	int status;
	pid_t pid;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_job_started(elog, &job, NULL, 0), 0);
	memcpy(path, lane(0)->path, sizeof(path));
	pid = fork();
	if (pid == 0) {
		if (emplog_log(elog, EMPLOG_INFO, "child", NULL, 0) != 0 ||
		    strcmp(path, lane(0)->path) == 0 ||
		    lane(0)->records != 1 || stats().written != 1 ||
		    lane(0)->head->pid != (uint32_t)getpid() ||
		    jobs_count() != 0)
			_exit(1);
		emplog_close(&elog);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "parent", NULL, 0), 0);
	ck_assert_uint_eq(lane(0)->records, 2);
	ck_assert_str_eq(lane(0)->path, path);
	ck_assert_uint_eq(kit_count(kit_dir, ".lane", NULL, 0), 2);
}
END_TEST

START_TEST(a_child_may_close_what_it_never_used)
{
	int status;
	pid_t pid;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	pid = fork();
	if (pid == 0) {
		emplog_close(&elog);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(kit_locked(lane(0)->path), 1);
	ck_assert_uint_eq(atomic_load(&lane(0)->prod->closed), 0);
	ck_assert_uint_eq(kit_count(kit_dir, ".lane", NULL, 0), 1);
}
END_TEST

static _Atomic unsigned handler_busy, handler_wrote;

static void
handler(int sig)
{
	int r = emplog_log(elog, EMPLOG_WARN, "handler", NULL, 0);

	if (r == -EBUSY)
		handler_busy++;
	else if (r == 0)
		handler_wrote++;
}

START_TEST(a_signal_handler_inside_a_call_is_ebusy_and_told)
{
	struct itimerval every = { .it_interval.tv_usec = 50,
	    .it_value.tv_usec = 50 };
	struct sigaction sa = { .sa_handler = handler,
	    .sa_flags = SA_RESTART };
	uint64_t mine = 0;

	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (handler_busy < 20 || handler_wrote < 20) {
		if (emplog_log(elog, EMPLOG_INFO, "main", NULL, 0) == 0)
			mine++;
		agent_takes_all();
	}
	every = (struct itimerval){ 0 };
	setitimer(ITIMER_REAL, &every, NULL);
	agent_takes_all();
	emplog_log(elog, EMPLOG_INFO, "last", NULL, 0);
	ck_assert_uint_ge(atomic_load(
	    &lane(0)->prod->told[EMPLOG_WARN]), handler_busy);
}
END_TEST

static uint32_t
closed_word(const char *path)
{
	uint32_t closed = 99;
	int fd = open(path, O_RDONLY);

	ck_assert_int_eq(pread(fd, &closed, 4, LANE_PRODUCER_AT +
	    offsetof(struct lane_producer, closed)), 4);
	close(fd);
	return closed;
}

/* Ends a child in one of the ways; its lane's word about it. */
static uint32_t
word_after(int way)
{
	struct emplog_job job = EMPLOG_JOB("j");
	char path[256];
	int up[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(up), 0);
	pid = fork();
	if (pid == 0) {
		emplog_open(&elog, &opt);
		emplog_log(elog, EMPLOG_INFO, "x", NULL, 0);
		(void)!write(up[1], lane(0)->path, sizeof(path));
		if (way == 3)
			emplog_job_started(elog, &job, NULL, 0);
		if (way == 0)
			emplog_close(&elog);
		if (way == 2)
			raise(SIGKILL);
		exit(0);
	}
	ck_assert_int_eq(read(up[0], path, sizeof(path)), sizeof(path));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(up[0]);
	close(up[1]);
	ck_assert_int_eq(kit_locked(path), 0);
	return closed_word(path);
}

START_TEST(close_and_exit_are_clean_death_and_unfinished_jobs_are_not)
{
	ck_assert_uint_eq(word_after(0), 1);	/* emplog_close() */
	ck_assert_uint_eq(word_after(1), 1);	/* exit(3) */
	ck_assert_uint_eq(word_after(2), 0);	/* SIGKILL */
	ck_assert_uint_eq(word_after(3), 0);	/* exit(3), a job unfinished */
}
END_TEST

/* ---- console ---- */

static int console_pipe[2];

static void
console_catch(void)
{
	ck_assert_int_eq(pipe2(console_pipe, O_NONBLOCK), 0);
	ck_assert_int_eq(dup2(console_pipe[1], 2), 2);
}

static size_t
console_read(char *buf, size_t cap)
{
	ssize_t n = read(console_pipe[0], buf, cap - 1);

	n = n < 0 ? 0 : n;
	buf[n] = '\0';
	return (size_t)n;
}

START_TEST(console_on_prints_every_record_once_and_no_secret)
{
	const struct emplog_field sub[] = { EMPLOG_INT("n", -5),
	    EMPLOG_BOOL("b", true), EMPLOG_DOUBLE("d", 0.5) };
	char line[8192];

	console_catch();
	opt.console = EMPLOG_CONSOLE_ON;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_log_at(elog, EMPLOG_WARN,
	    1709210096789000000u, "two\nlines", 9, (struct emplog_field[]){
	    EMPLOG_STR("k", "v w\"x"), EMPLOG_STR("password", "hunter2"),
	    EMPLOG_MAP("m", sub, 3) }, 3), 0);
	console_read(line, sizeof(line));
	ck_assert_str_eq(line, "2024-02-29T12:34:56.789Z WARN two\\x0alines"
	    " k=\"v w\\\"x\" password=[redacted] m={n=-5 b=true d=0.5}"
	    " logger_name=emplog\n");
}
END_TEST

START_TEST(console_fallback_prints_only_what_no_lane_took)
{
	char line[8192];

	console_catch();
	opt.console = EMPLOG_CONSOLE_FALLBACK;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_ERROR, "taken", NULL, 0), 0);
	ck_assert_uint_eq(console_read(line, sizeof(line)), 0);
	fill(EMPLOG_INFO);
	ck_assert_uint_eq(console_read(line, sizeof(line)), 0);
	fill(EMPLOG_ERROR);
	console_read(line, sizeof(line));
	ck_assert_ptr_nonnull(strstr(line, " ERROR fill "));
	emplog_close(&elog);
	kit.left = 0;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	emplog_log(elog, EMPLOG_DEBUG, "homeless", NULL, 0);
	console_read(line, sizeof(line));
	ck_assert_ptr_nonnull(strstr(line, " DEBUG homeless "));
}
END_TEST

START_TEST(a_full_stderr_does_not_block)
{
	char junk[4096];
	unsigned i;

	ck_assert_int_eq(pipe(console_pipe), 0);	/* blocking */
	ck_assert_int_eq(fcntl(console_pipe[1], F_SETPIPE_SZ, 65536), 65536);
	memset(junk, 'j', sizeof(junk));
	for (i = 0; i < 16; i++)
		ck_assert_int_eq(write(console_pipe[1], junk, sizeof(junk)),
		    sizeof(junk));
	ck_assert_int_eq(dup2(console_pipe[1], 2), 2);
	opt.console = EMPLOG_CONSOLE_ON;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
}
END_TEST

START_TEST(the_console_line_is_whole_however_large_the_record)
{
	struct emplog_field f[200];
	char line[8192], *big = malloc(60000);
	size_t n;
	unsigned i;

	console_catch();
	memset(big, 'b', 60000);
	for (i = 0; i < 60000; i += 9)
		big[i] = ' ';
	opt.console = EMPLOG_CONSOLE_ON;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	emplog_log_at(elog, EMPLOG_INFO, 0, big, 60000, NULL, 0);
	n = console_read(line, sizeof(line));
	ck_assert_uint_gt(n, 100);
	ck_assert_uint_le(n, 4096);
	ck_assert_int_eq(line[n - 1], '\n');
	for (i = 0; i < 200; i++)
		f[i] = EMPLOG_STRN("key", big, 60000);
	emplog_log(elog, EMPLOG_INFO, "many", f, 200);
	n = console_read(line, sizeof(line));
	ck_assert_ptr_nonnull(strstr(line, "INFO many"));
	ck_assert_int_eq(line[n - 1], '\n');
	free(big);
}
END_TEST

START_TEST(disabled_means_no_record_anywhere)
{
	char line[256];

	console_catch();
	setenv("EMPLOG_DISABLED", "1", 1);
	opt.console = EMPLOG_CONSOLE_ON;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_FATAL, "x", NULL, 0), 0);
	ck_assert_uint_eq(stats().written, 0);
	ck_assert_uint_eq(console_read(line, sizeof(line)), 0);
	ck_assert_ptr_nonnull(strstr(emplog_state(elog), "EMPLOG_DISABLED"));
}
END_TEST

START_TEST(the_old_switch_is_ignored_and_that_is_said_once)
{
	struct emplog *other;
	char line[256];

	console_catch();
	setenv("DISABLE_FLUENT_BIT_LOGGING", "true", 1);
	opt.console = EMPLOG_CONSOLE_FALLBACK;
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
	console_read(line, sizeof(line));
	ck_assert_ptr_nonnull(strstr(line, "EMPLOG_DISABLED"));
	ck_assert_int_eq(emplog_open(&other, &opt), 0);
	ck_assert_uint_eq(console_read(line, sizeof(line)), 0);
	emplog_close(&other);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
}
END_TEST

static TCase *
case_new(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return t;
}

int
main(void)
{
	Suite *s = suite_create("emplog");
	TCase *t;
	SRunner *sr;
	int failed;

	t = case_new(s, "open");
	tcase_add_test(t, a_record_is_in_the_lane_when_the_call_returns);
	tcase_add_test(t, identity_is_in_the_lanes_head_once);
	tcase_add_test(t, a_logger_that_differs_says_so_in_its_records);
	tcase_add_test(t, texts_over_255_bytes_are_einval);
	tcase_add_test(t, levels_below_the_least_are_not_written);
	tcase_add_test(t, bad_arguments_are_einval);
	tcase_add_test(t, the_time_is_the_callers_when_it_gives_one);
	tcase_add_test(t, no_heap_is_touched_after_open);
	t = case_new(s, "full");
	tcase_add_test(t, refused_by_severity_and_room_is_kept_for_job_ends);
	tcase_add_test(t, when_room_returns_a_gap_record_says_what_is_missing);
	tcase_add_test(t, a_gap_the_agent_claimed_is_left_to_it);
	tcase_add_test(t, a_record_that_cannot_be_shortened_enough_is_e2big);
	t = case_new(s, "jobs");
	tcase_add_test(t, a_jobs_life_has_the_names_and_times_of_old);
	tcase_add_test(t, a_failed_job_has_its_error_type_told_from_the_error);
	tcase_add_test(t, jobs_in_progress_are_in_the_lane_for_the_agent);
	tcase_add_test(t, health_and_service_events_have_their_shapes);
	t = case_new(s, "lanes");
	tcase_add_test(t, a_retired_lane_is_replaced_and_jobs_move_along);
	tcase_add_test(t, an_unlinked_lane_is_replaced_within_a_second);
	tcase_add_test(t, without_a_lane_it_opens_counts_and_tries_again);
	tcase_add_test(t, a_made_directory_is_said_in_the_state);
	tcase_add_test(t, opened_and_closed_ten_thousand_times_nothing_is_left);
	t = case_new(s, "threads");
	tcase_add_test(t, a_threads_exit_returns_its_lane);
	tcase_add_test(t, eight_lanes_at_most_then_threads_share);
	tcase_add_test(t, extra_lanes_leave_half_of_the_ring_to_others);
	tcase_add_test(t,
	    forty_threads_in_twelve_processes_lose_nothing_silently);
	t = case_new(s, "ends");
	tcase_add_test(t, a_child_writes_to_a_lane_of_its_own);
	tcase_add_test(t, a_child_may_close_what_it_never_used);
	tcase_add_test(t, a_signal_handler_inside_a_call_is_ebusy_and_told);
	tcase_add_test(t,
	    close_and_exit_are_clean_death_and_unfinished_jobs_are_not);
	t = case_new(s, "console");
	tcase_add_test(t, console_on_prints_every_record_once_and_no_secret);
	tcase_add_test(t, console_fallback_prints_only_what_no_lane_took);
	tcase_add_test(t, a_full_stderr_does_not_block);
	tcase_add_test(t, the_console_line_is_whole_however_large_the_record);
	tcase_add_test(t, disabled_means_no_record_anywhere);
	tcase_add_test(t, the_old_switch_is_ignored_and_that_is_said_once);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
