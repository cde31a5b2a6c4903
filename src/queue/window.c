/* SPDX-License-Identifier: ISC */
/* window.c - the frames the consumer has, by sequence */

#include <errno.h>

#include "queue/priv.h"

#include "banned.h"

#define WINDOW_MIN	64u

struct out *
window_at(const struct queue *q, uint64_t seq)
{
	const struct window *w = &q->win;

	if (seq < w->base || seq - w->base >= w->n)
		return NULL;
	return &w->v[(w->head + (seq - w->base)) & (w->cap - 1)];
}

static int
window_grow(struct queue *q, uint64_t n)
{
	struct window *w = &q->win;
	uint32_t cap = w->cap == 0 ? WINDOW_MIN : w->cap, i;
	struct out *v;

	while (cap < n)
		cap *= 2;
	if (cap == w->cap)
		return 0;
	v = env_alloc(q->env, cap * sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	for (i = 0; i < w->n; i++)
		v[i] = w->v[(w->head + i) & (w->cap - 1)];
	env_free(q->env, w->v);
	w->v = v;
	w->cap = cap;
	w->head = 0;
	return 0;
}

/* Room for seq; what lies between is no frame. */
int
window_reach(struct queue *q, uint64_t seq)
{
	struct window *w = &q->win;
	uint64_t n;
	int r;

	if (w->n == 0)
		w->base = seq;
	must(seq >= w->base);
	n = seq - w->base + 1;
	if (n > WINDOW_MAX)
		return -EAGAIN;
	r = window_grow(q, n);
	if (r < 0)
		return r;
	for (; w->n < n; w->n++)
		w->v[(w->head + w->n) & (w->cap - 1)] =
		    (struct out){ .state = OUT_NONE };
	return 0;
}

void
window_pop(struct queue *q)
{
	struct window *w = &q->win;
	uint32_t state;

	while (w->n > 0) {
		state = w->v[w->head].state;
		if (state == OUT_TAKEN || state == OUT_REWOUND)
			return;
		w->head = (w->head + 1) & (w->cap - 1);
		w->base++;
		w->n--;
	}
}

void
window_forget(struct queue *q, const struct segment *seg)
{
	struct window *w = &q->win;
	struct out *o;
	uint32_t i;

	for (i = 0; i < w->n; i++) {
		o = &w->v[(w->head + i) & (w->cap - 1)];
		if (o->seg == seg && o->state == OUT_REWOUND)
			o->state = OUT_DONE;
	}
	window_pop(q);
}
