/* SPDX-License-Identifier: ISC */
/*
 * shelf.h - what lies in the queue of a host, read by the oracle itself
 *
 * What:     the intact data frames of the segments, and of each whether any
 *           intact ledger says that it is done; the ranges of streams that
 *           the newest checkpoint knows.  Nothing of a running process.
 * Used by:  excuse.c, when a process has ended or a bit has flipped.
 */
#ifndef SHELF_H
#define SHELF_H

#include "base/chunk.h"
#include "sim/sim.h"

struct shelf_frame {
	uint8_t		 stream[STREAM_ID_LEN];
	uint64_t	 seq, from, to;
	uint32_t	 records;
	bool		 done;
};

struct shelf_span { uint64_t from, to; };	/* of seqs */

struct shelf {
	struct shelf_frame *frame;
	size_t		 frames, frames_cap;
	struct shelf_span *done;
	size_t		 dones, dones_cap;
	uint8_t		*table;		/* of the newest checkpoint, copied */
	size_t		 table_n;
	uint64_t	 newest;	/* its segment; 0: there is none */
	const char	*dir;
	const struct sim_flip *without;
};

/* The segments under dir; without that flip, or NULL. */
void	 shelf_read(struct shelf *s, struct sim_host *h, const char *dir,
	    const struct sim_flip *without);
void	 shelf_free(struct shelf *s);
const struct shelf_frame *shelf_find(const struct shelf *s, uint64_t seq);
/* Each range of each stream that the newest checkpoint knows. */
void	 shelf_table(const struct shelf *s, void (*each)(void *arg,
	    const uint8_t *stream, uint64_t from, uint64_t to), void *arg);

#endif
