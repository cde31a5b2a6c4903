/* SPDX-License-Identifier: ISC */
/* planted.c - which bug is planted; see planted.h */

#include "base/planted.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#ifdef EMPLOG_PLANTED
/* A build for tests alone: its only data that changes. */
static const char *chosen;
static _Atomic unsigned long passed;

static const char *const names[] = {
#define PLANT(name, what) #name,
#include "base/planted.def"
#undef PLANT
};

/* "name" or "name:k" is of the bug called name. */
static bool
is_of(const char *bug, const char *name)
{
	size_t n = strlen(name);

	return strncmp(bug, name, n) == 0 && (bug[n] == '\0' || bug[n] == ':');
}

bool
planted_choose(const char *bug)
{
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is_of(bug, names[i])) {
			chosen = bug;
			return true;
		}
	return false;
}

bool
planted_now(const char *name)
{
	const char *bug = chosen != NULL ? chosen : getenv("EMPLOG_PLANTED");

	if (bug == NULL || !is_of(bug, name))
		return false;
	bug += strlen(name);
	return *bug == '\0' || ++passed == strtoul(bug + 1, NULL, 10);
}
#else
/* A file with nothing in it is no C. */
typedef int planted_nothing;
#endif
