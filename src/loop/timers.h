/* SPDX-License-Identifier: ISC */
/*
 * timers.h - pending timers in order of (deadline, order of setting)
 *
 * What:     a pairing heap threaded through the ops themselves, so setting a
 *           timer allocates nothing and cannot fail.
 * Used by:  loop.c alone.
 *
 *     *root --> op ----------- at_ns, seq: its place
 *               |child
 *               v
 *              op --next--> op --next--> op      (children, any order)
 *
 *   prevp is the pointer that points at the op: the root's, a parent's child
 *   or a sibling's next.
 *
 * Invariant: no child comes before its parent.
 */
#ifndef EMPLOG_TIMERS_H
#define EMPLOG_TIMERS_H

struct op;

/* op->at_ns and op->seq are set and stay. */
void	 timers_add(struct op **root, struct op *op);
/* op is in the heap; afterwards its links are NULL. */
void	 timers_remove(struct op **root, struct op *op);

#endif
