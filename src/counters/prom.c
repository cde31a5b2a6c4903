/* SPDX-License-Identifier: ISC */
/* prom.c - counters for a scraper; see prom.h */

#include "counters/prom.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "banned.h"

static int
prom_one(const struct ctr_info *info, const char *role, uint64_t v, char *out,
    size_t cap)
{
	const char *total = info->kind == CTR_COUNTER ? "_total" : "";

	return snprintf(out, cap, "# HELP emplogd_%s%s %s\n"
	    "# TYPE emplogd_%s%s %s\n"
	    "emplogd_%s%s{role=\"%s\"} %" PRIu64 "\n",
	    info->name, total, info->brief, info->name, total,
	    info->kind == CTR_COUNTER ? "counter" : "gauge",
	    info->name, total, role, v);
}

int
prom_write(const struct counters *c, const char *role, char *out, size_t cap)
{
	size_t at = 0;
	int i, n;

	for (i = 0; i < CTR_COUNT; i++) {
		n = prom_one(&ctr_info[i], role, ctr_get(c, (enum ctr)i),
		    out + at, cap - at);
		if (n < 0 || (size_t)n >= cap - at)
			return -ENOSPC;
		at += (size_t)n;
	}
	return (int)at;
}
