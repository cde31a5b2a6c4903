/* SPDX-License-Identifier: ISC */
/*
 * fileloop.h - a loop of files and timers only, whose calls can be made fail
 *
 * What:     loop.h's file operations, done one by one at loop_turn() on real
 *           files; time stands still unless a timer is all that is left, then
 *           it jumps.  For tests of what the queue does with each failure.
 */
#ifndef EMPLOG_TEST_FILELOOP_H
#define EMPLOG_TEST_FILELOOP_H

#include "loop/loop.h"

struct fault {
	enum op_kind	 kind;		/* OP_IDLE: any */
	unsigned	 after;		/* so many of them succeed */
	unsigned	 times;		/* then so many fail */
	int		 res;
	bool		 torn;		/* a write: half of it is written */
	const char	*path;		/* only of paths that hold this text */
};

struct loop *fileloop_new(void);
void	 fileloop_fault(struct loop *l, struct fault f);
/* From now on any op that can end next does, as the seed decides; 0: the one
   given first. */
void	 fileloop_shuffle(struct loop *l, uint64_t seed);
/* From now on it keeps what a power cut may take back. */
void	 fileloop_cuttable(struct loop *l);
/* The power goes: of what was never synced some blocks and names are gone. */
void	 fileloop_cut(struct loop *l, uint64_t seed);
/* The process of `dead` went, l is the next one's: it has the wall clock and
   what no sync has covered yet.  Files of those are numbered from 512. */
void	 fileloop_inherit(struct loop *l, struct loop *dead);
/* How many of a kind were done. */
unsigned fileloop_count(const struct loop *l, enum op_kind kind);
/* Moves both clocks. */
void	 fileloop_pass(struct loop *l, uint64_t ns);
/* Turns until nothing but timers is pending. */
void	 fileloop_settle(struct loop *l);

#endif
