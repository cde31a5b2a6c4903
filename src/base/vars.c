/* SPDX-License-Identifier: ISC */
/* vars.c - variables of an environment; see vars.h */

#include "base/vars.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

const char *
vars_get(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; env != NULL && *env != NULL; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

bool
vars_number(char *const *env, const char *name, uint64_t *ret)
{
	const char *text = vars_get(env, name);
	char *end;

	if (text == NULL || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0;
}
