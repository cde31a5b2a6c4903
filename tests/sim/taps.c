/* SPDX-License-Identifier: ISC */
/* taps.c - acknowledgements lost, late, doubled, of an older connection */

#include <string.h>

#include "forward/mp.h"
#include "hop/wire.h"
#include "town.h"

static const struct node *
node_of(const struct town *t, const struct sim_proc *p)
{
	unsigned i;

	for (i = 0; p != NULL && i < WHO; i++)
		if (t->node[i].proc == p)
			return &t->node[i];
	return NULL;
}

/* Nothing but whole acknowledgements; *ret_first is how long the first is. */
static bool
are_acks(const struct sim_tapped *s, size_t *ret_first)
{
	struct mp m = { s->bytes, s->bytes + s->n };
	struct bytes id;
	uint64_t records;

	*ret_first = 0;
	while (m.p < m.end) {
		if (wire_read_ack(&m, &id, &records) < 0)
			return false;
		if (*ret_first == 0)
			*ret_first = (size_t)(m.p - s->bytes);
	}
	return s->n > 0;
}

static void
keep(struct town *t, enum who to, const struct sim_tapped *s, size_t n)
{
	struct old_ack *o = &t->ack[to][t->ack_next++ % ACKS_KEPT];

	if (n > sizeof(o->bytes))
		return;
	o->connection = s->connection;
	o->n = n;
	memcpy(o->bytes, s->bytes, n);
}

/* In front of these: one that an earlier connection brought. */
static void
add_old(struct town *t, enum who to, struct sim_tapped *s)
{
	struct old_ack *o;
	unsigned i;

	for (i = 0; i < ACKS_KEPT; i++) {
		o = &t->ack[to][i];
		if (o->n == 0 || o->connection == s->connection ||
		    s->n + o->n > s->cap)
			continue;
		memmove(s->bytes + o->n, s->bytes, s->n);
		memcpy(s->bytes, o->bytes, o->n);
		s->n += o->n;
		o->n = 0;
		t->fired[ACK_OLD]++;
		return;
	}
}

void
taps_see(void *arg, struct sim_tapped *s)
{
	struct town *t = arg;
	const struct node *to = node_of(t, s->to);
	size_t first;

	if (to == NULL || t->calm || !are_acks(s, &first))
		return;
	keep(t, to->who, s, first);
	if (sim_random(t->sim, 1000000) >= t->ack_odds)
		return;
	switch (sim_random(t->sim, 4)) {
	case 0:
		s->lose = true;
		t->fired[ACK_LOST]++;
		break;
	case 1:
		s->delay_ns += sim_random(t->sim, 15 * S);
		t->fired[ACK_LATE]++;
		break;
	case 2:
		if (s->n + first > s->cap)
			break;
		memmove(s->bytes + first, s->bytes, s->n);
		s->n += first;
		t->fired[ACK_TWICE]++;
		break;
	default:
		add_old(t, to->who, s);
		break;
	}
}
