/* SPDX-License-Identifier: ISC */
/*
 * streams.h - which bytes of which stream were already taken
 *
 * What:     per stream a set of disjoint, merged ranges [from, to).  An
 *           arriving range is cut against it: what is left is new.
 * Why:      a set and not a high-water mark, because live and backlog flows
 *           of one lane arrive interleaved and chunks are cut anew after a
 *           reconnect.
 * Used by:  src/queue (adds, removes, stores in checkpoints), src/hop
 *           (cuts).
 * Bounds:   STREAMS_MAX streams and RANGES_MAX ranges a stream; at the bound
 *           the least recently touched ended, then foreign, then any stream
 *           is forgotten and counted (stream_evicted).
 *
 * Forgetting, in wall time: an ended stream after an hour, a foreign one
 * (made of a sender's chunk id) after ten minutes, any other after 7 days
 * without a touch.
 */
#ifndef EMPLOG_STREAMS_H
#define EMPLOG_STREAMS_H

#include "base/chunk.h"
#include "queue/ranges.h"

#define STREAMS_MAX	65536
#define RANGES_MAX	4096		/* of one stream */
#define RANGES_ALL_MAX	262144		/* of all, or streams are forgotten */

struct env;
struct streams;

int	 streams_new(struct streams **ret_s, struct env *env);
void	 streams_free(struct streams **s);

/*
 * The first part of [from, to) not taken: 0 and *ret_new, or -ENOENT when
 * all of it is taken.  Call again from ret_new->to for the next part.
 */
int	 streams_cut(const struct streams *s, const uint8_t id[STREAM_ID_LEN],
	    uint64_t from, uint64_t to, struct range *ret_new);
/* Marks as taken.  -ENOMEM; -ENOSPC when the stream has too many holes. */
int	 streams_add(struct streams *s, const uint8_t id[STREAM_ID_LEN],
	    uint64_t from, uint64_t to, bool foreign, uint64_t wall_ns);
/* Takes back what streams_add() marked and no disk has. */
void	 streams_remove(struct streams *s, const uint8_t id[STREAM_ID_LEN],
	    uint64_t from, uint64_t to);
/* Marks again what streams_remove() has just taken out; never fails. */
void	 streams_restore(struct streams *s, const uint8_t id[STREAM_ID_LEN],
	    uint64_t from, uint64_t to);
/* The sender says the stream is finished. */
void	 streams_end(struct streams *s, const uint8_t id[STREAM_ID_LEN],
	    uint64_t wall_ns);
/* Forgets what is due. */
void	 streams_age(struct streams *s, uint64_t wall_ns);
/* The end of the highest range of a stream, 0 when unknown. */
uint64_t streams_end_of(const struct streams *s,
	    const uint8_t id[STREAM_ID_LEN]);
size_t	 streams_count(const struct streams *s);
/* One of them, as streams_each() tells of it; all borrowed. */
struct stream_seen {
	const uint8_t	*id;
	const struct ranges *taken;
	uint64_t	 touched_ns;
	bool		 ended;
	bool		 foreign;
};
/* Calls see for each; it changes nothing in s. */
void	 streams_each(const struct streams *s,
	    void (*see)(void *arg, const struct stream_seen *st), void *arg);
/* NULL: unknown; else what it has taken, borrowed until the next change. */
const struct ranges *streams_taken(const struct streams *s,
	    const uint8_t id[STREAM_ID_LEN]);

/*
 * Bytes of a checkpoint, streams in the order of their last touch.  The
 * writer stops at cap (-ENOSPC); the reader takes any bytes (-EBADMSG,
 * -ENOMEM, and the table is as before).
 *
 *   u32 version 1, u32 streams, then of each
 *     16 id, u8 flags (1 ended, 2 foreign), u8 0, u16 0, u32 ranges,
 *     u64 touched_ns, ranges x { u64 from, u64 to }
 */
size_t	 streams_size(const struct streams *s);
int	 streams_save(const struct streams *s, uint8_t *p, size_t cap,
	    size_t *ret_len);
int	 streams_load(struct streams *s, struct bytes saved);

#endif
