/* SPDX-License-Identifier: ISC */
/*
 * vars.h - variables of an environment that is passed, never the global one
 */
#ifndef EMPLOG_VARS_H
#define EMPLOG_VARS_H

#include <stdbool.h>
#include <stdint.h>

/* Borrowed from env; NULL: not set, or env is NULL. */
const char *vars_get(char *const *env, const char *name);
/* A whole decimal number; false: not set, or anything else. */
bool	 vars_number(char *const *env, const char *name, uint64_t *ret);

#endif
