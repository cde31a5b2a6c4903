/* SPDX-License-Identifier: ISC */
/* must.c - the end of a process that found a bug in itself; see must.h */

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "banned.h"

void
must_failed(const char *what, const char *file, int line, const char *func)
{
	char msg[512];
	int n;

	n = snprintf(msg, sizeof(msg),
	    "emplogd: bug: '%s' does not hold in %s, %s:%d\n",
	    what, func, file, line);
	if (n > 0)
		(void)!write(STDERR_FILENO, msg,
		    (size_t)n < sizeof(msg) ? (size_t)n : sizeof(msg) - 1);
	abort();
}
