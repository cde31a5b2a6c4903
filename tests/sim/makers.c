/* SPDX-License-Identifier: ISC */
/* makers.c - processes that log into lanes, and die; see town.h */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "forward/mp.h"
#include "town.h"

static uint64_t
mix(uint64_t v)
{
	v = (v ^ v >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	return v ^ v >> 29;
}

/* The payload, from lane and number alone. */
size_t
record_text(unsigned lane, uint64_t n, char text[TEXT_MAX])
{
	uint64_t h = mix(n * 64 + lane + 1);
	size_t len = 40 + h % 300, i;

	if (h % 41 == 0)
		len += 3000 + (h >> 20) % 1000;
	i = (size_t)snprintf(text, TEXT_MAX, "L%uN%llu:", lane,
	    (unsigned long long)n);
	for (; i < len; i++) {
		if (i % 8 == 0)
			h = mix(h);
		text[i] = (char)('a' + (h >> i % 8 * 8) % 26);
	}
	return len;
}

static void
remember(struct town *t, unsigned lane, uint32_t bytes)
{
	struct lane_of *l = &t->lane[lane];
	struct life *f = l->life;

	if (l->made == l->cap) {
		l->cap = l->cap == 0 ? 8192 : 2 * l->cap;
		l->rec = realloc(l->rec, l->cap * sizeof(*l->rec));
		must(l->rec != NULL);
	}
	if (f->n == f->cap) {
		f->cap = f->cap == 0 ? 512 : 2 * f->cap;
		f->end = realloc(f->end, f->cap * sizeof(*f->end));
		must(f->end != NULL);
	}
	l->rec[l->made++] = (struct record){ .bytes = bytes };
	f->end[f->n++] = l->w.at;
}

/* As a logger counts it: the agent tells it in a gap record. */
static void
refuse(struct town *t, struct lane_of *l)
{
	struct lane_producer *p = l->w.prod;
	uint64_t now = sim_wall(t->node[AGENT].host);

	t->refused++;
	t->fired[LANE_FULL]++;
	if (atomic_load(&p->refused_first_ns) == 0)
		atomic_store(&p->refused_first_ns, now);
	atomic_store(&p->refused_last_ns, now);
	atomic_fetch_add(&p->refused[2], 1);
}

/* kill -9: mapping and lock are gone, the lane is not closed. */
void
maker_kill(struct town *t, unsigned lane)
{
	struct lane_of *l = &t->lane[lane];

	if (l->maker == NULL)
		return;
	sim_crash(l->maker);
	l->maker = NULL;
	l->open = false;
	t->fired[MAKER_KILLED]++;
}

/* One record {p, n, x}. */
static void
produce(struct town *t, unsigned lane)
{
	struct lane_of *l = &t->lane[lane];
	char text[TEXT_MAX];
	size_t len = record_text(lane, l->made, text);
	uint8_t *room = writer_lend(&l->w, len + 64, 0);
	struct mpw m;

	if (room == NULL) {
		refuse(t, l);
		return;
	}
	if (sim_random(t->sim, 5000) == 0) {
		/* half a record: nobody may ever see it */
		memset(room, 0x92, len / 2);
		t->fired[MAKER_MIDWAY]++;
		maker_kill(t, lane);
		return;
	}
	m = (struct mpw){ room, room + len + 64, false };
	mpw_array(&m, 2);
	mpw_event_time(&m, sim_wall(t->node[AGENT].host));
	mpw_map(&m, 3);
	mpw_str(&m, BYTES("p"));
	mpw_uint(&m, lane);
	mpw_str(&m, BYTES("n"));
	mpw_uint(&m, l->made);
	mpw_str(&m, BYTES("x"));
	mpw_str(&m, bytes_of(text, len));
	must(!m.full);
	writer_publish(&l->w, (uint64_t)(m.p - room), 1);
	remember(t, lane, (uint32_t)(m.p - room));
}

static void
new_life(struct town *t, unsigned lane)
{
	struct lane_of *l = &t->lane[lane];
	struct life *f = calloc(1, sizeof(*f));

	must(f != NULL);
	memcpy(f->id, l->w.head->id, sizeof(f->id));
	f->lane = lane;
	f->first = l->made;
	f->next = t->lives;
	t->lives = l->life = f;
}

static void
open_lane(struct town *t, unsigned lane)
{
	struct lane_of *l = &t->lane[lane];
	struct writer_conf c = { .ring_dir = RING, .lane_bytes = 65536,
	    .identity = (const uint8_t *)"\x80", .identity_len = 1 };

	if (l->open && writer_retired(&l->w)) {
		writer_close(&l->w, true);
		l->open = false;
	}
	if (l->open)
		return;
	if (l->maker == NULL)
		l->maker = sim_proc_new(t->node[AGENT].host, "maker");
	c.sys = sim_shm(l->maker);
	l->open = writer_open(&l->w, &c) == 0;
	if (l->open)
		new_life(t, lane);
}

void
makers_burst(struct town *t, unsigned steps, unsigned most)
{
	unsigned i, lane, k;

	for (i = 0; i < steps; i++) {
		for (lane = 0; lane < t->lanes; lane++) {
			open_lane(t, lane);
			k = (unsigned)sim_random(t->sim, most + 1);
			for (; k > 0 && t->lane[lane].open; k--)
				produce(t, lane);
		}
		town_run(t, 1 + sim_random(t->sim, 20 * MS));
	}
}

/* Their host has lost power. */
void
makers_lose(struct town *t)
{
	unsigned i;

	for (i = 0; i < t->lanes; i++) {
		t->lane[i].maker = NULL;
		t->lane[i].open = false;
	}
}

void
makers_close(struct town *t)
{
	struct life *f;
	unsigned i;

	for (i = 0; i < t->lanes; i++) {
		if (t->lane[i].open)
			writer_close(&t->lane[i].w, true);
		t->lane[i].open = false;
		free(t->lane[i].rec);
	}
	while ((f = t->lives) != NULL) {
		t->lives = f->next;
		free(f->end);
		free(f);
	}
}
