/* SPDX-License-Identifier: ISC */
/*
 * bench_lttng.c - the record of bench_call.c as an LTTng-UST event
 *
 * What:     the same fields, the same pace, the same timing; a session that
 *           records emplog_bench:record must be running.
 * Usage:    bench_lttng records per_second
 */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "bench_lttng.h"

#include "bench_series.h"

static void
trace_once(int64_t i)
{
	lttng_ust_tracepoint(emplog_bench, record, "Job progress update",
	    "job_progress", "job-5b0c1b1e-0d3f-4d3e-9a53-2f0f7a1d9c11",
	    "processing", i % 100, "KSampler", 1, 11264.5, 1);
}

static void
run(struct series *s, bool trace, uint64_t gap_ns)
{
	uint64_t start = now_ns(), due = start, a, b;
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (gap_ns > 0)
			for (due += gap_ns; now_ns() < due;)
				;
		a = now_ns();
		if (trace)
			trace_once((int64_t)i);
		b = now_ns();
		s->ns[i] = (uint32_t)(b - a);
	}
	s->total_s = (double)(now_ns() - start) / 1e9;
}

int
main(int argc, char **argv)
{
	struct series s = { 0 };
	uint32_t timing;

	if (argc < 3) {
		fputs("usage: bench_lttng records per_second\n", stderr);
		return 2;
	}
	series_init(&s, strtoul(argv[1], NULL, 10));
	run(&s, false, 0);
	timing = series_at(&s, 500);
	printf("{\"timing_p50\":%u,\"enabled\":%s,", timing,
	    lttng_ust_tracepoint_enabled(emplog_bench, record) ? "true" :
	    "false");
	run(&s, true, (uint64_t)(1e9 / atof(argv[2])));
	series_show("paced", &s, timing);
	run(&s, true, 0);
	printf(",");
	series_show("flat", &s, timing);
	printf("}\n");
	series_fini(&s);
	return 0;
}
