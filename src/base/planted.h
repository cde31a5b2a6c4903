/* SPDX-License-Identifier: ISC */
/*
 * planted.h - bugs that are planted on purpose, to see that they are found
 *
 * What:     if (PLANTED(name)) is a plain false, and nothing of it is in the
 *           binary, but in a build configured with --enable-planted; there the
 *           bug that was chosen is true: each time, or the k-th time only.
 * Chosen:   by planted_choose() (the simulator's -b, make sim BUG=name), or by
 *           EMPLOG_PLANTED in the environment (emplogd, for tests/e2e):
 *
 *             name      every time it is passed
 *             name:k    the k-th time, counted from 1, and never again
 *
 * Names:    planted.def; one at a time.
 * Never:    in what users run: tests/t0006-nothing-planted.sh reads it.
 */
#ifndef EMPLOG_PLANTED_H
#define EMPLOG_PLANTED_H

#include <stdbool.h>

#ifdef EMPLOG_PLANTED
/* True: this is the bug chosen, and this the time. */
bool	 planted_now(const char *name);
/* False: there is no bug of that name. */
bool	 planted_choose(const char *bug);
#define PLANTED(name)	planted_now(#name)
#else
#define PLANTED(name)	false
#define planted_choose(bug)	false
#endif

#endif
