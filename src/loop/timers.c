/* SPDX-License-Identifier: ISC */
/* timers.c - pairing heap of timer ops; the contract is in timers.h */

#include "loop/timers.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/must.h"
#include "loop/loop.h"

#include "banned.h"

static bool
before(const struct op *a, const struct op *b)
{
	if (a->at_ns != b->at_ns)
		return a->at_ns < b->at_ns;
	return a->seq < b->seq;
}

/* op becomes what *at points at, in front of what was there. */
static void
link_at(struct op **at, struct op *op)
{
	op->next = *at;
	if (op->next != NULL)
		op->next->prevp = &op->next;
	op->prevp = at;
	*at = op;
}

/* Joins two roots; either may be NULL.  The result has no siblings. */
static struct op *
meld(struct op *a, struct op *b)
{
	struct op *t;

	if (a == NULL || b == NULL)
		return a == NULL ? b : a;
	if (before(b, a)) {
		t = a;
		a = b;
		b = t;
	}
	link_at(&a->child, b);
	return a;
}

/*
 * Joins the children of a removed root: in pairs from the left, then the
 * pairs from the right, which keeps removal at O(log n) over time.
 */
static struct op *
meld_children(struct op *first)
{
	struct op *pairs = NULL, *a, *b, *root = NULL;

	while ((a = first) != NULL) {
		b = a->next;
		first = b == NULL ? NULL : b->next;
		a->next = NULL;
		if (b != NULL)
			b->next = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while ((a = pairs) != NULL) {
		pairs = a->next;
		a->next = NULL;
		root = meld(root, a);
	}
	return root;
}

static void
set_root(struct op **root, struct op *op)
{
	*root = op;
	if (op != NULL) {
		op->next = NULL;
		op->prevp = root;
	}
}

void
timers_add(struct op **root, struct op *op)
{
	op->next = NULL;
	op->child = NULL;
	set_root(root, meld(*root, op));
}

void
timers_remove(struct op **root, struct op *op)
{
	struct op *rest;

	must(op->prevp != NULL);
	must(*op->prevp == op);
	*op->prevp = op->next;
	if (op->next != NULL)
		op->next->prevp = op->prevp;
	rest = meld_children(op->child);
	/* When op was the root, *root is NULL by now: it has no siblings. */
	set_root(root, meld(*root, rest));
	op->next = NULL;
	op->prevp = NULL;
	op->child = NULL;
}
