/* SPDX-License-Identifier: ISC */
/* circuit.c - when to ask a failing backend again; see circuit.h */

#include "export/circuit.h"

#include "base/must.h"
#include "banned.h"

static uint64_t
jittered(uint64_t most, uint64_t random)
{
	uint64_t least = most / 4;

	return least + random % (most - least + 1);
}

static uint64_t
doubled(uint64_t first, uint64_t most, unsigned times)
{
	while (times-- > 0 && first < most)
		first *= 2;
	return first < most ? first : most;
}

bool
circuit_try(struct circuit *c, uint64_t now)
{
	switch (c->state) {
	case CIRCUIT_CLOSED:
		return true;
	case CIRCUIT_OPEN:
		if (now < c->until_ns)
			return false;
		c->state = CIRCUIT_HALF;
		return true;
	case CIRCUIT_HALF:
		return false;
	}
	must(false);
}

void
circuit_ok(struct circuit *c)
{
	*c = (struct circuit){ .state = CIRCUIT_CLOSED };
}

static void
open_until(struct circuit *c, uint64_t now, uint64_t random)
{
	c->state = CIRCUIT_OPEN;
	c->until_ns = now + jittered(doubled(CIRCUIT_WAIT_MIN_NS,
	    CIRCUIT_WAIT_MAX_NS, c->opened_n), random);
	c->opened_n++;
	c->failed_n = 0;
}

void
circuit_failed(struct circuit *c, uint64_t now, uint64_t random)
{
	unsigned i;

	if (c->state == CIRCUIT_HALF) {
		open_until(c, now, random);
		return;
	}
	if (c->state == CIRCUIT_OPEN)
		return;		/* a straggler sent before it opened */
	if (c->failed_n == CIRCUIT_FAILURES) {
		for (i = 1; i < CIRCUIT_FAILURES; i++)
			c->failed_ns[i - 1] = c->failed_ns[i];
		c->failed_n--;
	}
	c->failed_ns[c->failed_n++] = now;
	if (c->failed_n == CIRCUIT_FAILURES &&
	    now - c->failed_ns[0] <= CIRCUIT_WINDOW_NS)
		open_until(c, now, random);
}

void
circuit_unused(struct circuit *c, uint64_t now)
{
	if (c->state == CIRCUIT_HALF) {
		c->state = CIRCUIT_OPEN;
		c->until_ns = now;
	}
}

uint64_t
retry_wait_ns(unsigned attempt, uint64_t random)
{
	return jittered(doubled(UINT64_C(500000000), UINT64_C(30000000000),
	    attempt), random);
}

uint64_t
retry_after_ns(uint64_t ms)
{
	uint64_t most = RETRY_AFTER_MAX_NS / 1000000u;

	return (ms < most ? ms : most) * 1000000u;
}
