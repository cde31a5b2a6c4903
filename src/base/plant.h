/* SPDX-License-Identifier: ISC */
/*
 * plant.h - records dropped on purpose, to see that they are missed
 *
 * What:     in a build with --enable-planted-bugs, PLANTED_DROP=hop:k in the
 *           environment makes the k-th thing that passes a hop vanish without
 *           a counter, once; in any other build PLANT_DROP() is false and
 *           nothing of it is in the binary.
 * Used by:  where responsibility moves; tests/e2e/audit.py breaks each.
 *
 *   live     a range of a lane counts as acknowledged and is not sent
 *   spill    a range of a lane counts as spilled and is not stored
 *   backlog  a spilled frame counts as delivered and is not sent
 *   intake   a relay or exporter acknowledges a chunk and does not store it
 *   onward   a relay's frame counts as delivered and is not sent on
 *   fill     a frame is done and never reaches a request
 *   dead     a record counts as a dead letter and is not kept
 *   encode   a record does not get into its request
 */
#ifndef EMPLOG_PLANT_H
#define EMPLOG_PLANT_H

#include <stdbool.h>

#ifdef PLANTED_BUGS
/* True for the k-th call with the hop that PLANTED_DROP names. */
bool	 plant_drop(const char *hop);
#define PLANT_DROP(hop)	plant_drop(hop)
#else
#define PLANT_DROP(hop)	false
#endif

#endif
