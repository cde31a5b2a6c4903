/* SPDX-License-Identifier: ISC */
/*
 * bench_series.h - many short times, and what stands in their middle
 *
 * Used by:  bench_call.c, bench_lttng.c, bench_latency.c.
 */
#ifndef EMPLOG_BENCH_SERIES_H
#define EMPLOG_BENCH_SERIES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct series {
	uint32_t	*ns;
	size_t		 n;
	double		 total_s;
};

static inline uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Written once: a page fault of ours must not count as the call's. */
static inline void
series_init(struct series *s, size_t n)
{
	s->n = n;
	s->ns = malloc(n * sizeof(s->ns[0]));
	if (n == 0 || s->ns == NULL)
		abort();
	memset(s->ns, 1, n * sizeof(s->ns[0]));
}

static inline void
series_fini(struct series *s)
{
	free(s->ns);
}

static inline int
series_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Sorts; the time below which so many of 1000 are. */
static inline uint32_t
series_at(struct series *s, unsigned per_mille)
{
	qsort(s->ns, s->n, sizeof(s->ns[0]), series_order);
	return s->ns[(s->n - 1) * per_mille / 1000];
}

/* Of what lies between 5 % and 95 %: the clock's steps may be 10 ns. */
static inline double
series_middle(struct series *s)
{
	size_t i, from = s->n / 20, to = s->n - from;
	double sum = 0;

	qsort(s->ns, s->n, sizeof(s->ns[0]), series_order);
	for (i = from; i < to; i++)
		sum += s->ns[i];
	return sum / (double)(to - from);
}

/* As timed, less what timing takes (net). */
static inline void
series_show(const char *name, struct series *s, uint32_t timing)
{
	uint32_t p50 = series_at(s, 500), p99 = series_at(s, 990);
	uint32_t p999 = series_at(s, 999);

	printf("\"%s_p50\":%u,\"%s_p99\":%u,\"%s_p999\":%u,\"%s_max\":%u,"
	    "\"%s_net_p50\":%d,\"%s_net_p999\":%d,\"%s_per_s\":%.0f,"
	    "\"%s_middle\":%.1f",
	    name, p50, name, p99, name, p999, name, s->ns[s->n - 1],
	    name, (int)p50 - (int)timing, name, (int)p999 - (int)timing,
	    name, (double)s->n / s->total_s, name, series_middle(s));
}

#endif
