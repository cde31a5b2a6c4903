/* SPDX-License-Identifier: ISC */
/*
 * must.h - assertions for our own bugs, on in every build
 *
 * What:     must(x) aborts with the place when x is false.
 * Never:    used on input (peer, disk, configuration, lane, kernel result):
 *           that is checked, refused with -errno and counted.  Never holds an
 *           expression with a side effect.
 */
#ifndef EMPLOG_MUST_H
#define EMPLOG_MUST_H

#define must(x) ((x) ? (void)0 : must_failed(#x, __FILE__, __LINE__, __func__))

/* Writes one line to stderr and aborts. */
_Noreturn void	 must_failed(const char *what, const char *file, int line,
		    const char *func);

#endif
