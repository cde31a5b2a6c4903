/* SPDX-License-Identifier: ISC */
/*
 * bench_call.c - what one emplog_log() costs its caller, beside a live agent
 *
 * What:     one thread logs a record of 8 fields into a fresh lane, paced and
 *           then flat out; each call is timed by clock_gettime(2), and what
 *           the timing itself takes is measured the same way and taken off.
 *           The first pass over the lane is in it: nothing is warmed up.
 *           getppid() before and after the paced run marks it for strace.
 * Usage:    bench_call records per_second [noflat]
 *           EMPLOG_RING_DIR names the ring of the agent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench_series.h"
#include "shm/emplog.h"

#define BURST	4000

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

/*
 * gap_ns 0: flat out, in bursts that the lane holds; the agent empties it in
 * between.  log NULL: only the timing.
 */
static void
run(struct series *s, struct emplog *log, uint64_t gap_ns)
{
	uint64_t start = now_ns(), due = start, a, b;
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (gap_ns > 0)
			for (due += gap_ns; now_ns() < due;)
				;
		else if (log != NULL && i % BURST == 0)
			usleep(100000);
		a = now_ns();
		if (log != NULL)
			(void)log_once(log, (int64_t)i);
		b = now_ns();
		s->ns[i] = (uint32_t)(b - a);
	}
	s->total_s = (double)(now_ns() - start) / 1e9;
}

/* Calls of clock_gettime(CLOCK_REALTIME), which is in each record. */
static double
clock_cost(void)
{
	struct timespec ts;
	uint64_t start = now_ns();
	int i;

	for (i = 0; i < 1000000; i++)
		clock_gettime(CLOCK_REALTIME, &ts);
	return (double)(now_ns() - start) / 1e6;
}

static void
show_stats(const char *name, struct emplog *log, const struct rusage *before)
{
	struct emplog_stats st;
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	emplog_get_stats(log, &st);
	printf(",\"%s_refused\":%llu,\"%s_minor_faults\":%ld,"
	    "\"%s_voluntary_switches\":%ld", name,
	    (unsigned long long)st.refused, name,
	    ru.ru_minflt - before->ru_minflt, name,
	    ru.ru_nvcsw - before->ru_nvcsw);
}

/* Without timing each call: the mean of a burst, the least of ten. */
static void
untimed(struct emplog *log)
{
	double ns, least = 1e9;
	uint64_t start;
	int i, k;

	for (k = 0; k < 10; k++) {
		usleep(100000);
		start = now_ns();
		for (i = 0; i < BURST; i++)
			(void)log_once(log, i);
		ns = (double)(now_ns() - start) / BURST;
		least = ns < least ? ns : least;
	}
	printf(",\"flat_untimed_mean_ns\":%.1f", least);
}

int
main(int argc, char **argv)
{
	struct emplog_options o = { .console = EMPLOG_CONSOLE_OFF };
	struct series s = { 0 };
	struct rusage before;
	struct emplog *log;
	uint32_t timing;
	double middle;

	if (argc < 3) {
		fputs("usage: bench_call records per_second [noflat]\n",
		    stderr);
		return 2;
	}
	series_init(&s, strtoul(argv[1], NULL, 10));
	run(&s, NULL, 0);
	timing = series_at(&s, 500);
	middle = series_middle(&s);
	if (emplog_open(&log, &o) < 0 ||
	    strncmp(emplog_state(log), "lane ", 5) != 0) {
		fprintf(stderr, "bench_call: no lane\n");
		return 1;
	}
	printf("{\"timing_p50\":%u,\"timing_middle\":%.1f,\"clock_ns\":%.1f,",
	    timing, middle, clock_cost());
	getrusage(RUSAGE_SELF, &before);
	syscall(SYS_getppid);
	run(&s, log, (uint64_t)(1e9 / atof(argv[2])));
	syscall(SYS_getppid);
	series_show("paced", &s, timing);
	show_stats("paced", log, &before);
	if (argc < 4) {
		getrusage(RUSAGE_SELF, &before);
		s.n = s.n < 10 * BURST ? s.n : 10 * BURST;
		run(&s, log, 0);
		printf(",");
		series_show("flat", &s, timing);
		untimed(log);
		show_stats("flat", log, &before);
	}
	printf("}\n");
	emplog_close(&log);
	series_fini(&s);
	return 0;
}
