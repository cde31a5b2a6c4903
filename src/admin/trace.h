/* SPDX-License-Identifier: ISC */
/*
 * trace.h - where is a record now, and what is known of it
 *
 * What:     a record is asked for by its log.record.uid (stream and position)
 *           or with all others of its job.  trace_find.c finds the records of
 *           a job in lanes, spill, queues, dead letters and local exports;
 *           trace.c says of each where it is.
 * Used by:  emplogd trace.
 * Bounds:   TRACE_MAX records of a job; more are counted.
 */
#ifndef EMPLOG_TRACE_H
#define EMPLOG_TRACE_H

#include "admin/admin.h"
#include "admin/lanes.h"
#include "admin/site.h"

#define TRACE_MAX	1000

struct traced {
	uint8_t		 stream[STREAM_ID_LEN];
	uint64_t	 pos;
	bool		 exported;	/* a local export has it */
	bool		 dead;		/* a dead letter, for this reason: */
	char		 why[320];
};

struct trace {
	struct admin	*a;
	struct sites	*sites;
	struct lanes	*lanes;
	const char	*job;		/* NULL: by uid */
	struct traced	 rec[TRACE_MAX];
	unsigned	 n;
	unsigned	 more;		/* beyond TRACE_MAX */
	unsigned	 running;	/* lanes that call the job in progress */
	unsigned	 blind;
};

/* The record, new or known already; NULL: one too many. */
struct traced *trace_add(struct trace *t, const uint8_t *stream,
	    uint64_t pos);
/*
 * Reads all there is; job: adds its records.  Marks what is exported or dead.
 * -ENOMEM, or what kept it from looking.
 */
int	 trace_find(struct trace *t);

#endif
