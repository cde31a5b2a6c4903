/* SPDX-License-Identifier: ISC */
/*
 * bench_log.c - what one emplog_log() costs its caller
 *
 * What:     one thread logs a record of 8 fields, flat out and paced; each
 *           call is timed, and what timing itself takes is measured the same
 *           way.  Another thread plays the agent: it moves tail to head.
 *           Prints one JSON line: nanoseconds, as timed and with the median
 *           cost of the timing taken off.
 * Usage:    bench_log [records [per_second]]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/emplog.h"
#include "shm/pool.h"

struct series {
	uint32_t	*ns;
	size_t		 n;
	double		 total_s;
};

static _Atomic bool done;

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *
agent(void *arg)
{
	const struct timespec nap = { .tv_nsec = 200000 };
	struct writer *w = &pool.lane[0].w;
	uint64_t head;

	atomic_store(&w->agent->knock_at, UINT64_MAX);
	while (!done) {
		head = atomic_load_explicit(&w->prod->head,
		    memory_order_acquire);
		atomic_store_explicit(&w->agent->tail, head,
		    memory_order_release);
		nanosleep(&nap, NULL);
	}
	return NULL;
}

static int
log_once(struct emplog *log, int64_t i)
{
	return emplog_info(log, "Job progress update",
	    EMPLOG_STR("event_type", "job_progress"),
	    EMPLOG_STR("job_id", "job-5b0c1b1e-0d3f-4d3e-9a53-2f0f7a1d9c11"),
	    EMPLOG_STR("job_status", "processing"),
	    EMPLOG_INT("progress", i % 100),
	    EMPLOG_STR("execution_step", "KSampler"),
	    EMPLOG_INT("queue_remaining", 1),
	    EMPLOG_DOUBLE("vram_usage", 11264.5),
	    EMPLOG_BOOL("is_processing", true));
}

/* gap_ns 0: flat out.  log NULL: only the timing. */
static void
run(struct series *s, struct emplog *log, uint64_t gap_ns)
{
	uint64_t start = now_ns(), due = start, a, b;
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (gap_ns > 0)
			for (due += gap_ns; now_ns() < due;)
				;
		a = now_ns();
		if (log != NULL)
			(void)log_once(log, (int64_t)i);
		b = now_ns();
		s->ns[i] = (uint32_t)(b - a);
	}
	s->total_s = (double)(now_ns() - start) / 1e9;
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t
less(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

static void
show(const char *name, struct series *s, uint32_t timing)
{
	uint32_t p50, p99, p999;

	qsort(s->ns, s->n, sizeof(s->ns[0]), by_value);
	p50 = s->ns[s->n / 2];
	p99 = s->ns[s->n * 99 / 100];
	p999 = s->ns[s->n * 999 / 1000];
	printf("\"%s\":{\"p50\":%u,\"p99\":%u,\"p999\":%u,\"max\":%u,"
	    "\"net_p50\":%u,\"net_p99\":%u,\"net_p999\":%u,"
	    "\"per_s\":%.0f}", name, p50, p99, p999, s->ns[s->n - 1],
	    less(p50, timing), less(p99, timing), less(p999, timing),
	    (double)s->n / s->total_s);
}

static void
tidy(const char *dir, const char *lane)
{
	static const char *const name[] = { "knock", "ring.ctl" };
	char path[128];
	size_t i;

	unlink(lane);
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, name[i]);
		unlink(path);
	}
	rmdir(dir);
}

int
main(int argc, char **argv)
{
	char dir[64], path[256];
	struct emplog_options o = { .ring_dir = dir, .lane_bytes = 4u << 20,
	    .console = EMPLOG_CONSOLE_OFF };
	struct series s = { .n = argc > 1 ? (size_t)atol(argv[1]) : 500000 };
	double per_second = argc > 2 ? atof(argv[2]) : 100000;
	struct emplog_stats st;
	struct emplog *log;
	uint32_t timing;
	uint64_t t0, t1;
	pthread_t thread;
	size_t i;

	snprintf(dir, sizeof(dir), "/dev/shm/bench-log-%d", (int)getpid());
	s.ns = calloc(s.n, sizeof(s.ns[0]));
	if (s.ns == NULL || emplog_open(&log, &o) < 0 ||
	    pthread_create(&thread, NULL, agent, NULL) != 0)
		return 1;
	run(&s, NULL, 0);
	qsort(s.ns, s.n, sizeof(s.ns[0]), by_value);
	timing = s.ns[s.n / 2];
	printf("{\"bench\":\"log\",\"fields\":8,\"records\":%zu,"
	    "\"timing_p50\":%u,", s.n, timing);
	run(&s, log, 0);
	show("flat", &s, timing);
	printf(",");
	run(&s, log, (uint64_t)(1e9 / per_second));
	show("paced", &s, timing);
	t0 = now_ns();
	for (i = 0; i < s.n; i++)
		(void)log_once(log, (int64_t)i);
	t1 = now_ns();
	emplog_get_stats(log, &st);
	printf(",\"untimed_mean\":%.1f,\"bytes\":%.0f,\"refused\":%llu}\n",
	    (double)(t1 - t0) / (double)s.n,
	    (double)pool.lane[0].w.at / (double)pool.lane[0].w.records,
	    (unsigned long long)st.refused);
	done = true;
	pthread_join(thread, NULL);
	memcpy(path, pool.lane[0].w.path, sizeof(path));
	emplog_close(&log);
	tidy(dir, path);
	free(s.ns);
	return 0;
}
