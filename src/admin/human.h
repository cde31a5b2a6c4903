/* SPDX-License-Identifier: ISC */
/*
 * human.h - sizes, times and strangers' texts as people read them
 */
#ifndef EMPLOG_HUMAN_H
#define EMPLOG_HUMAN_H

#include <stdint.h>
#include <stdio.h>

struct human { char text[32]; };

/* "17 B", "1.5 KiB", "64.0 MiB" */
struct human human_bytes(uint64_t n);
/* "12 s", "3 min", "2 h 10 min", "4 d 3 h" */
struct human human_age(uint64_t ns);
/* now - then, 0 when then lies ahead. */
uint64_t human_since(uint64_t now_ns, uint64_t then_ns);
uint64_t human_now(void);		/* wall clock, ns */

/* Text of a record: control characters (C0, DEL, C1) do not get through. */
void	 human_put(FILE *out, const char *s);
/* Text that is JSON: DEL and C1, which JSON lets stand, are escaped. */
void	 human_put_json(FILE *out, const char *json);

#endif
