/* SPDX-License-Identifier: ISC */
/*
 * chunk.h - the unit of sending, storing, acknowledging and de-duplicating
 *
 * What:     a run of whole records from one lane or one request, and where it
 *           was born.  The struct describes; it owns nothing.
 *
 *   stream   16 bytes: a lane's id, or a queue's id for records that came
 *            without one.  All zero: not assigned yet (the queue does it).
 *   [from,to) the chunk's place in its stream, of the uncompressed body:
 *            to - from == body_len() always, and neither ever wraps.
 *
 * Invariants
 *   1. A chunk's body is made of whole records (a Forward PackedForward body)
 *      when encoding is ENC_FORWARD; of one OTLP request when ENC_OTLP.
 *   2. Two chunks of one stream with overlapping ranges hold the same bytes
 *      where they overlap.
 */
#ifndef EMPLOG_CHUNK_H
#define EMPLOG_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

#define STREAM_ID_LEN	16
#define CHUNK_BYTES_MAX	(1u << 20)	/* body we cut and store at most */
#define RECORD_BYTES_MAX (1u << 20)	/* one record, at a relay */
#define IDENTITY_MAX	2048		/* msgpack map, bytes */

enum signal { SIGNAL_LOGS = 0, SIGNAL_METRICS = 1, SIGNAL_TRACES = 2 };
enum encoding { ENC_FORWARD = 0, ENC_OTLP = 1 };

/* The two flows of a lane: order holds within each. */
#define CHUNK_BACKLOG	0x01	/* came through a spill, not straight */
#define CHUNK_FOREIGN	0x02	/* stream made of a foreign sender's chunk id */
#define CHUNK_BROKEN	0x04	/* quarantined: taken, but not to be parsed */

struct chunk {
	uint8_t		 stream[STREAM_ID_LEN];
	uint64_t	 from;
	uint64_t	 to;
	uint64_t	 taken_ns;	/* wall clock when first taken in */
	uint32_t	 records;	/* 0: not counted yet */
	uint8_t		 signal;	/* enum signal */
	uint8_t		 encoding;	/* enum encoding */
	uint8_t		 flags;		/* CHUNK_* */
	struct bytes	 identity;	/* msgpack map of strings, may be empty */
	struct bytes	 body[2];	/* two when a lane wraps; [1] may be empty */
};

static inline size_t
chunk_body_len(const struct chunk *c)
{
	return c->body[0].n + c->body[1].n;
}

static inline bool
stream_is_none(const uint8_t id[STREAM_ID_LEN])
{
	static const uint8_t none[STREAM_ID_LEN];

	return memcmp(id, none, STREAM_ID_LEN) == 0;
}

#endif
