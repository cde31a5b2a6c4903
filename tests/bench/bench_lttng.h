/* SPDX-License-Identifier: ISC */
/* bench_lttng.h - the event of bench_call.c as LTTng-UST writes it */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER emplog_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "bench_lttng.h"

#if !defined(EMPLOG_BENCH_LTTNG_H) || \
    defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define EMPLOG_BENCH_LTTNG_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(emplog_bench, record,
    LTTNG_UST_TP_ARGS(const char *, message, const char *, event_type,
	const char *, job_id, const char *, job_status, int64_t, progress,
	const char *, execution_step, int64_t, queue_remaining,
	double, vram_usage, int, is_processing),
    LTTNG_UST_TP_FIELDS(
	lttng_ust_field_string(message, message)
	lttng_ust_field_string(event_type, event_type)
	lttng_ust_field_string(job_id, job_id)
	lttng_ust_field_string(job_status, job_status)
	lttng_ust_field_integer(int64_t, progress, progress)
	lttng_ust_field_string(execution_step, execution_step)
	lttng_ust_field_integer(int64_t, queue_remaining, queue_remaining)
	lttng_ust_field_float(double, vram_usage, vram_usage)
	lttng_ust_field_integer(int, is_processing, is_processing)
    )
)

#endif

#include <lttng/tracepoint-event.h>
