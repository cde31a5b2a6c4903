/* SPDX-License-Identifier: ISC */
/*
 * ranges.h - a set of u64, as sorted, disjoint, merged ranges [from, to)
 *
 * What:     which bytes of a stream were taken, which frames are committed.
 * Owns:     its vector, from env's memory; one range needs none.
 */
#ifndef EMPLOG_RANGES_H
#define EMPLOG_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct env;

struct range { uint64_t from, to; };

struct ranges {
	struct range	*v;		/* NULL: the one inside is used */
	uint32_t	 n;
	uint32_t	 cap;
	struct range	 one;
};

/* A zeroed struct ranges is an empty set. */
void	 ranges_fini(struct ranges *rs, struct env *env);
void	 ranges_clear(struct ranges *rs);
const struct range *ranges_at(const struct ranges *rs, uint32_t i);
/* Empty ranges are no-ops.  -ENOMEM: as before. */
int	 ranges_add(struct ranges *rs, struct env *env, uint64_t from,
	    uint64_t to);
/*
 * Without memory for the second half of a range cut in two, the smaller half
 * goes too: a set that knows too little makes a duplicate, never a loss.
 */
void	 ranges_remove(struct ranges *rs, struct env *env, uint64_t from,
	    uint64_t to);
/* All of b into a.  -ENOMEM: some of it may be in. */
int	 ranges_merge(struct ranges *a, struct env *env,
	    const struct ranges *b);
bool	 ranges_has(const struct ranges *rs, uint64_t x);
/* The first part of [from, to) not in the set; -ENOENT: all of it is. */
int	 ranges_gap(const struct ranges *rs, uint64_t from, uint64_t to,
	    struct range *ret_gap);
/* How many of [from, to) are in the set. */
uint64_t ranges_count(const struct ranges *rs, uint64_t from, uint64_t to);

#endif
