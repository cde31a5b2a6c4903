/* SPDX-License-Identifier: ISC */
/*
 * runs.h - runs of records become one request of OTLP protobuf
 *
 * What:     a run is records of one resource and scope, written one after the
 *           other; runs of one resource follow each other, and only the first
 *           has it.  The lengths in front of all of them are known at the end.
 * Used by:  otlp.c, which says where they lie.
 */
#ifndef EMPLOG_OTLP_RUNS_H
#define EMPLOG_OTLP_RUNS_H

#include "base/bytes.h"

struct run {
	uint32_t	 resource_at;
	uint32_t	 resource_n;	/* 0 in all but the first of one */
	uint32_t	 scope_at, scope_n;
	uint32_t	 records_at, records_n;		/* n: bytes */
};

/*
 * Writes the lengths and closes the gaps, in mem itself: in front of the
 * first run's resource, and of its scope, there must be RUN_SLACK bytes.
 * The first run's records stay where they are.
 */
struct bytes runs_join(uint8_t *mem, const struct run *runs, unsigned n);
#define RUN_SLACK	8		/* a tag and a length of up to 4 GiB */

#endif
