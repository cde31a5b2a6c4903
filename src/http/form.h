/* SPDX-License-Identifier: ISC */
/*
 * form.h - the json= of a form body
 *
 * What:     application/x-www-form-urlencoded, '+' and %xx undone.
 * Used by:  body.c.
 */
#ifndef EMPLOG_FORM_H
#define EMPLOG_FORM_H

#include "base/bytes.h"

/*
 * Finds the parameter name and writes its value to out, which has room for
 * body.n bytes.  Its length, or -ENOENT.  A '%' without two hex digits
 * stays as it is.
 */
int64_t	 form_get(struct bytes body, const char *name, uint8_t *out);

#endif
