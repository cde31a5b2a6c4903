/* SPDX-License-Identifier: ISC */
/*
 * bug.h - bugs that are planted on purpose, to see that a test finds them
 *
 * What:     if (BUG(name)) is false in every build but the simulator's own
 *           (EMPLOG_PLANTED_BUGS, see src/sim/sim.mk), where one name at a
 *           time is true.
 * Never:    in emplogd: the compiler sees a plain false.
 */
#ifndef EMPLOG_BUG_H
#define EMPLOG_BUG_H

#include <stdbool.h>

#ifdef EMPLOG_PLANTED_BUGS
bool	 bug_planted(const char *name);
#define BUG(name)	bug_planted(#name)
#else
#define BUG(name)	false
#endif

/* The simulator's: plants it; false: there is none of that name here. */
bool	 bug_plant(const char *name);

#endif
