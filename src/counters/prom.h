/* SPDX-License-Identifier: ISC */
/* prom.h - counters as Prometheus text (exposition format 0.0.4) */
#ifndef EMPLOG_PROM_H
#define EMPLOG_PROM_H

#include "counters/counters.h"

#define PROM_TYPE "text/plain; version=0.0.4; charset=utf-8"

/*
 * Writes every counter as emplogd_<name>{role="…"}; those that only grow end
 * in _total.  Returns the length, or -ENOSPC.
 */
int	 prom_write(const struct counters *c, const char *role, char *out,
	    size_t cap);

#endif
