/* SPDX-License-Identifier: ISC */
/*
 * gap.h - a record that tells of those dropped on the way in by HTTP
 *
 * What:     ingest_dropped less ingest_dropped_told, as an emplog_gap record
 *           in the queue: a second after the first drop, every 5 s at most,
 *           and again each second while the queue has no room for it.
 * Used by:  roles/station.c.  The agent tells of its own in src/drain.
 * Never:    turns while there is nothing to tell; counts as told what is not
 *           durable (after a crash between the two it is told twice).
 */
#ifndef EMPLOG_GAP_H
#define EMPLOG_GAP_H

struct env;
struct gap;
struct queue;

/* Borrows queue until gap_close() is done.  0, -ENOMEM. */
int	 gap_new(struct gap **ret_g, struct env *env, struct queue *queue);
/* Something was counted in ingest_dropped, now or before a restart. */
void	 gap_dropped(struct gap *g);
/*
 * Tells the rest where there is room; closed(arg) when the disk has it, maybe
 * from inside this call.  No gap_dropped() afterwards.
 */
void	 gap_close(struct gap *g, void (*closed)(void *arg), void *arg);
/* After closed().  Accepts NULL. */
void	 gap_free(struct gap **g);

#endif
