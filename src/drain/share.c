/* SPDX-License-Identifier: ISC */
/* share.c - fresh and spilled bytes on one connection; see drain.h */

#include "drain/inner.h"

#include "banned.h"

/* What one flow sent alone costs it two thirds of this at most, later. */
#define SHARE_WINDOW	((uint64_t)4 << 20)

/*
 * Without a backlog nothing is noted: when one comes it begins at once, and
 * owes nothing for what went straight before.
 */
void
share_sent(struct drain *d, enum flow flow, uint64_t n)
{
	uint64_t *sent = d->share.sent;

	if (d->conf.queue == NULL || queue_held_frames(d->conf.queue) == 0) {
		sent[FLOW_LIVE] = sent[FLOW_BACKLOG] = 0;
		return;
	}
	sent[flow] += n;
	while (sent[FLOW_LIVE] + sent[FLOW_BACKLOG] > SHARE_WINDOW) {
		sent[FLOW_LIVE] /= 2;
		sent[FLOW_BACKLOG] /= 2;
	}
}

static bool
any_lane_is_due(struct drain *d)
{
	unsigned i;

	for (i = 0; i < d->lanes; i++) {
		if (inlane_is_due(d, d->lane[i]))
			return true;
	}
	return false;
}

/*
 * One of the two is always below: both cannot wait for each other.  The
 * other may have all it can out, and wait for answers; these kick the pump.
 */
bool
share_allows(struct drain *d, enum flow flow)
{
	const uint64_t *sent = d->share.sent;
	uint64_t sum = sent[FLOW_LIVE] + sent[FLOW_BACKLOG];

	if (sent[flow] * 5 <= sum * 3)
		return true;
	return flow == FLOW_LIVE ? !backlog_is_due(d) : !any_lane_is_due(d);
}
