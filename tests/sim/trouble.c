/* SPDX-License-Identifier: ISC */
/* trouble.c - an hour in a town: bursts of records, and what befalls whom */

#include "town.h"

#define PATIENCE	(30 * 60 * S)	/* to deliver when all is calm */

static struct node *
any_node(struct town *t)
{
	struct node *n;

	do {
		n = &t->node[sim_random(t->sim, WHO)];
	} while (!n->used);
	return n;
}

static void
crash_soon(struct town *t)
{
	t->victim = (unsigned)(any_node(t) - t->node);
	t->steps_left = 1 + sim_random(t->sim, 400);
	t->relapse = false;
}

static void
power(struct town *t)
{
	struct node *n = any_node(t);

	if (n->who != AGENT || t->agent_power)
		town_crash(t, n, true);
}

static void
stop(struct town *t)
{
	struct node *n = any_node(t);

	if (n->proc == NULL || n->draining || n->go_ns > 0)
		return;
	sim_stop(n->proc, true);
	n->go_ns = sim_now(t->sim) + sim_random(t->sim, 15 * S) + 1;
}

static void
dark(struct town *t)
{
	/* One draw a line: compilers differ in the order of arguments. */
	struct node *n = any_node(t);

	sim_dark(n->host, sim_now(t->sim) + sim_random(t->sim, 60 * S));
}

static void
jump(struct town *t)
{
	int64_t by = (int64_t)sim_random(t->sim, 3600 * S);
	struct node *n = any_node(t);

	sim_clock(n->host, sim_random(t->sim, 2) == 0 ? by : -by);
}

static void
full(struct town *t)
{
	struct node *n = any_node(t);

	sim_disk_full(n->host, sim_random(t->sim, 3) > 0);
}

/* For less than the 20 s that a start waits for a block. */
static void
unreadable(struct town *t)
{
	struct node *n = any_node(t);
	uint64_t now = sim_now(t->sim);

	if (now < n->legible_ns)
		return;
	n->legible_ns = now + 60 * S;
	sim_unreadable(n->host, now + sim_random(t->sim, 15 * S));
}

static void
flip(struct town *t)
{
	struct node *n = any_node(t);
	struct sim_flip f;

	if (t->flips && sim_flip(n->host, excuse_dir(n), &f) == 0)
		oracle_flip(t, n, &f);
}

static void
kill_maker(struct town *t)
{
	maker_kill(t, (unsigned)sim_random(t->sim, t->lanes));
}

static void
restart(struct town *t)
{
	town_drain(t, any_node(t));
}

static void
crash(struct town *t)
{
	town_crash(t, any_node(t), false);
}

static void
one_trouble(struct town *t)
{
	static void (*const all[])(struct town *) = { crash_soon, crash_soon,
	    crash, power, power, stop, dark, jump, full, full, flip,
	    unreadable, kill_maker, restart };

	all[sim_random(t->sim, sizeof(all) / sizeof(all[0]))](t);
}

static uint64_t
made(const struct town *t)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < t->lanes; i++)
		n += t->lane[i].made;
	return n;
}

static uint64_t
faults(const struct town *t)
{
	uint64_t n[KINDS], sum = 0;
	unsigned i;

	town_fired(t, n);
	for (i = 0; i < FAULT_KINDS; i++)
		sum += i == FAULT_SHORT ? 0 : n[i];
	return sum;
}

/* Not delivered within bounded time: the outage is long over. */
static void
catch_up(struct town *t, const char *what)
{
	uint64_t until = sim_now(t->sim) + PATIENCE;

	t->mood = BACK_OK;
	t->mood_until_ns = until;
	while (!oracle_all(t)) {
		if (sim_now(t->sim) >= until)
			town_fail(t, "half an hour after %s not all is there",
			    what);
		town_run(t, 10 * S);
	}
}

/* Of the backend, or of the way to the relays; the makers go on. */
static void
outage(struct town *t, uint64_t for_ns)
{
	uint64_t until = sim_now(t->sim) + for_ns;
	bool backend = sim_random(t->sim, 2) == 0;

	t->fired[for_ns == DAY ? OUTAGE_DAY : OUTAGE_HOUR]++;
	if (backend) {
		t->away_until_ns = until;
	} else {
		sim_dark(t->node[RELAY1].host, until);
		if (t->node[RELAY2].used)
			sim_dark(t->node[RELAY2].host, until);
	}
	while (sim_now(t->sim) < until) {
		makers_burst(t, 3, 3);
		town_run(t, 1 + sim_random(t->sim, for_ns / 100));
	}
	catch_up(t, for_ns == DAY ? "a day without" : "an hour without");
}

static bool
is_over(const struct town *t)
{
	return made(t) >= RECORDS_MIN &&
	    sim_now(t->sim) - t->begun_ns >= HOUR && faults(t) >= FAULTS_MIN;
}

static void
settle(struct town *t)
{
	uint64_t until = sim_now(t->sim) + PATIENCE;
	struct node *n;

	/* Something waits for its next try; by the wall clock, long now. */
	t->mood = BACK_503;
	t->mood_until_ns = until;
	makers_burst(t, 4, 6);
	town_run(t, 3 * S);
	for (n = t->node; n < t->node + WHO; n++)
		if (n->used && sim_random(t->sim, 2) == 0)
			sim_clock(n->host, -(int64_t)(7200 * S));
	town_calm(t);
	do {
		town_run(t, 10 * S);
	} while (sim_now(t->sim) < until && !oracle_all(t));
	oracle_end(t);
}

/* No seed is less than it says it is. */
static void
look_size(const struct town *t)
{
	unsigned i, lanes = 0;

	for (i = 0; i < t->lanes; i++)
		lanes += t->lane[i].made > 0;
	if (lanes < LANES_MIN || !is_over(t))
		town_fail(t, "a small world");
}

void
trouble_run(struct town *t)
{
	if (t->seed % 15 == 7)
		outage(t, HOUR);
	if (t->seed % 100 == 44)
		outage(t, DAY);
	while (!is_over(t)) {
		if (sim_random(t->sim, 2) == 0)
			one_trouble(t);
		if (sim_random(t->sim, 12) == 0)
			makers_burst(t, 10, 60);
		else
			makers_burst(t, 10, 6);
		town_run(t, sim_random(t->sim, 60 * S));
	}
	settle(t);
	look_size(t);
}
