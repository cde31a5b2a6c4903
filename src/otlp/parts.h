/* SPDX-License-Identifier: ISC */
/*
 * parts.h - which records are in a request, by where they were born
 *
 * What:     each record that was encoded, or counted as none, lengthens the
 *           part it continues or begins another.  What the encoder passes
 *           over without a count leaves a hole, which the audit finds.
 * Used by:  otlp.c; export/outcome.c makes fates of them.
 */
#ifndef EMPLOG_OTLP_PARTS_H
#define EMPLOG_OTLP_PARTS_H

#include "otlp/otlp.h"

struct parts {
	struct otlp_part *v;		/* OTLP_PARTS_MAX */
	unsigned	 n;
};

/* For undoing an add that did not fit. */
struct parts_mark {
	unsigned	 n;
	struct otlp_part last;
};
struct parts_mark parts_mark(const struct parts *ps);
void	 parts_undo(struct parts *ps, const struct parts_mark *m);

/* Bytes [from, to) of the chunk's body.  -ENOSPC: too many parts. */
int	 parts_add(struct parts *ps, const struct chunk *c, size_t from,
	    size_t to, bool bad);

#endif
