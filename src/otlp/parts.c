/* SPDX-License-Identifier: ISC */
/* parts.c - which records are in a request; the contract is in parts.h */

#include "otlp/parts.h"

#include <errno.h>

#include "banned.h"

struct parts_mark
parts_mark(const struct parts *ps)
{
	struct parts_mark m = { .n = ps->n };

	if (ps->n > 0)
		m.last = ps->v[ps->n - 1];
	return m;
}

void
parts_undo(struct parts *ps, const struct parts_mark *m)
{
	ps->n = m->n;
	if (m->n > 0)
		ps->v[m->n - 1] = m->last;
}

static bool
continues(const struct otlp_part *p, const struct otlp_part *new)
{
	return p->to == new->from && p->bad == new->bad &&
	    memcmp(p->stream, new->stream, STREAM_ID_LEN) == 0;
}

int
parts_add(struct parts *ps, const struct chunk *c, size_t from, size_t to,
    bool bad)
{
	struct otlp_part new = { .from = c->from + from, .to = c->from + to,
	    .bad = bad };

	memcpy(new.stream, c->stream, STREAM_ID_LEN);
	if (ps->n > 0 && continues(&ps->v[ps->n - 1], &new))
		ps->v[ps->n - 1].to = new.to;
	else if (ps->n == OTLP_PARTS_MAX)
		return -ENOSPC;
	else
		ps->v[ps->n++] = new;
	return 0;
}
