/* SPDX-License-Identifier: ISC */
/* window.c - a sorted ring of frames; the contract is in window.h */

#include "queue/window.h"

#include <errno.h>

#include "base/env.h"
#include "base/must.h"

#include "banned.h"

#define WINDOW_MIN	64u

void
window_fini(struct window *w, struct env *env)
{
	env_free(env, w->v);
	*w = (struct window){ 0 };
}

struct out *
window_nth(const struct window *w, uint32_t i)
{
	must(i < w->n);
	return &w->v[(w->head + i) & (w->cap - 1)];
}

/* How many are below seq. */
static uint32_t
below(const struct window *w, uint64_t seq)
{
	uint32_t lo = 0, hi = w->n, mid;

	if (hi > 0 && window_nth(w, hi - 1)->seq < seq)
		return hi;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (window_nth(w, mid)->seq < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct out *
window_at(const struct window *w, uint64_t seq)
{
	uint32_t i = below(w, seq);
	struct out *o;

	if (i == w->n)
		return NULL;
	o = window_nth(w, i);
	return o->seq == seq ? o : NULL;
}

static int
grow(struct window *w, struct env *env, uint32_t n)
{
	uint32_t cap = w->cap == 0 ? WINDOW_MIN : w->cap, i;
	struct out *v;

	while (cap < n)
		cap *= 2;
	if (cap == w->cap)
		return 0;
	v = env_alloc(env, cap * sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	for (i = 0; i < w->n; i++)
		v[i] = *window_nth(w, i);
	env_free(env, w->v);
	w->v = v;
	w->cap = cap;
	w->head = 0;
	return 0;
}

int
window_enter(struct window *w, struct env *env, uint64_t seq,
    struct out **ret_o)
{
	uint32_t i = below(w, seq), k;
	int r;

	if (i == w->n || window_nth(w, i)->seq != seq) {
		if (w->n >= WINDOW_MAX)
			return -EAGAIN;
		r = grow(w, env, w->n + 1);
		if (r < 0)
			return r;
		for (k = w->n++; k > i; k--)
			*window_nth(w, k) = *window_nth(w, k - 1);
		*window_nth(w, i) = (struct out){ .seq = seq,
		    .state = OUT_DONE };
	}
	*ret_o = window_nth(w, i);
	return 0;
}

void
window_pop(struct window *w)
{
	while (w->n > 0 && window_nth(w, 0)->state == OUT_DONE) {
		w->head = (w->head + 1) & (w->cap - 1);
		w->n--;
	}
}

int
window_append(struct window *w, struct env *env, struct window *from)
{
	uint32_t i;
	int r;

	if (from->n == 0)
		return 0;
	must(w->n == 0 || window_nth(w, w->n - 1)->seq <
	    window_nth(from, 0)->seq);
	r = grow(w, env, w->n + from->n);
	if (r < 0)
		return r;
	for (i = 0; i < from->n; i++)
		w->v[(w->head + w->n++) & (w->cap - 1)] = *window_nth(from, i);
	from->n = 0;
	return 0;
}

void
window_forget(struct window *w, const struct segment *seg)
{
	struct out *o;
	uint32_t i;

	for (i = 0; i < w->n; i++) {
		o = window_nth(w, i);
		if (o->seg == seg && o->state == OUT_REWOUND)
			o->state = OUT_DONE;
	}
	window_pop(w);
}
