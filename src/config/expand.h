/* SPDX-License-Identifier: ISC */
/*
 * expand.h - ${VAR} and ${VAR:-default} in values of the file
 *
 *   ${VAR}            the variable's value; a fault when it is not set
 *   ${VAR:-default}   default when it is not set or empty; no ${ inside
 *   $$                one $
 *   $ before anything else stands for itself
 */
#ifndef EMPLOG_EXPAND_H
#define EMPLOG_EXPAND_H

#include <stddef.h>

#define EXPAND_NAME_MAX	128

struct expand_fault {
	char	name[EXPAND_NAME_MAX];	/* the variable, where there is one */
};

/*
 * Writes the expansion of text to buf.  -ENOENT: a variable is not set and
 * has no default (named in ret_fault); -EINVAL: '${' without '}', with a bad
 * name, or inside a default; -E2BIG: over cap with its NUL.
 */
int	 expand(const char *text, char *const *env, char *buf, size_t cap,
	    struct expand_fault *ret_fault);

#endif
