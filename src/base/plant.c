/* SPDX-License-Identifier: ISC */
/* plant.c - which thing is to vanish; see plant.h */

#include "base/plant.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#ifdef PLANTED_BUGS
/* A build for tests alone: its only data that changes. */
static _Atomic unsigned long passed;

bool
plant_drop(const char *hop)
{
	const char *ask = getenv("PLANTED_DROP");
	size_t n = strlen(hop);

	if (ask == NULL || strncmp(ask, hop, n) != 0 || ask[n] != ':')
		return false;
	return ++passed == strtoul(ask + n + 1, NULL, 10);
}
#else
/* A file with nothing in it is no C. */
typedef int plant_nothing;
#endif
