/* SPDX-License-Identifier: ISC */
/*
 * window.h - the frames the consumer has, in order of their sequence
 *
 * What:     a ring that is sorted: frames are taken in order, so one is nearly
 *           always entered at its end, and leaves at its beginning, when all
 *           before it are done too.
 * Bounds:   WINDOW_MAX; one that stays with the consumer holds up so many.
 */
#ifndef EMPLOG_QUEUE_WINDOW_H
#define EMPLOG_QUEUE_WINDOW_H

#include <stdint.h>

#define WINDOW_MAX	262144u

struct env;
struct segment;

/* REWOUND: it was given back, and is to be taken again. */
enum out_state { OUT_TAKEN, OUT_REWOUND, OUT_DONE };

struct out {
	struct segment	*seg;
	uint64_t	 seq;
	uint64_t	 taken_ns;
	uint64_t	 off;
	uint32_t	 records;
	uint32_t	 body_len;
	enum out_state	 state;
};

/* A zeroed one is empty. */
struct window {
	struct out	*v;		/* cap is 0 or a power of two */
	uint32_t	 cap;
	uint32_t	 head;
	uint32_t	 n;
};

void	 window_fini(struct window *w, struct env *env);
/* NULL: it is not in the window. */
struct out *window_at(const struct window *w, uint64_t seq);
/* The i-th, i < n; the first one is not done. */
struct out *window_nth(const struct window *w, uint32_t i);
/*
 * Its place, made when there is none: OUT_DONE then, and its seq alone is set.
 * -EAGAIN: full; -ENOMEM.
 */
int	 window_enter(struct window *w, struct env *env, uint64_t seq,
	    struct out **ret_o);
/* What is done at its beginning leaves it. */
void	 window_pop(struct window *w);
/* All of `from`, which are above those in w; `from` is empty then.  -ENOMEM. */
int	 window_append(struct window *w, struct env *env, struct window *from);
/* Frames given back that the disk has no more are nobody's now. */
void	 window_forget(struct window *w, const struct segment *seg);

#endif
