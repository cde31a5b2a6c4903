/* SPDX-License-Identifier: ISC */
/*
 * frame.h - the bytes of one frame of a segment
 *
 * What:     encode and decode, nothing else: no file, no allocation.
 *
 *  off len
 *    0   8  XXH3-64 of everything behind it: bytes 8 .. size
 *    8   4  magic 'E' 'M' 'Q' 'F'
 *   12   1  version, 1
 *   13   1  kind: 1 data, 2 commit, 3 checkpoint
 *   14   1  signal   (data, else 0)
 *   15   1  encoding (data, else 0)
 *   16   2  flags, CHUNK_*
 *   18   2  length of the identity
 *   20   4  length of the body
 *   24   4  records in the body
 *   28   4  zero
 *   32   8  generation: random, one a segment file
 *   40   8  seq: of this data frame; else the next one to be given
 *   48  16  stream; commit and checkpoint: the queue's id
 *   64   8  from; commit and checkpoint: the number of the segment
 *   72   8  to;   commit and checkpoint: 0
 *   80   8  taken_ns, wall clock
 *   88   8  at: where in the file byte 0 of this frame lies
 *   96      identity, then body, then zeros to a multiple of 8
 *
 * All little endian.  The body of a commit or checkpoint is in ledger.h.
 *
 * Invariants
 *   1. A frame begins on a multiple of 8, a group of frames on a fresh block
 *      of FRAME_BLOCK; what lies between is zero.
 *   2. generation and at make a frame that was copied, left over or forged
 *      inside a record no frame of this place.
 */
#ifndef EMPLOG_FRAME_H
#define EMPLOG_FRAME_H

#include "base/chunk.h"

#define FRAME_MAGIC	0x46514d45U	/* "EMQF" */
#define FRAME_VERSION	1
#define FRAME_HEAD	96
#define FRAME_BLOCK	4096
#define FRAME_BODY_MAX	(CHUNK_BYTES_MAX + RECORD_BYTES_MAX)
#define FRAME_LEDGER_MAX (16u << 20)	/* body of a commit or checkpoint */

enum frame_kind { FRAME_DATA = 1, FRAME_COMMIT = 2, FRAME_CHECKPOINT = 3 };

struct frame {
	uint8_t		 kind;
	uint8_t		 signal;
	uint8_t		 encoding;
	uint16_t	 flags;
	uint32_t	 records;
	uint64_t	 generation;
	uint64_t	 seq;
	uint8_t		 stream[STREAM_ID_LEN];
	uint64_t	 from;
	uint64_t	 to;
	uint64_t	 taken_ns;
	uint64_t	 at;
	size_t		 size;		/* of the whole frame, padded */
	struct bytes	 identity;	/* into the bytes decoded */
	struct bytes	 body;
};

/* Bytes of a frame with an identity and a body so long. */
size_t	 frame_size(size_t identity_len, size_t body_len);
/*
 * Writes head, identity and the zeros at the end; the body's bytes are the
 * caller's to write, at the returned place.  f->body.n is its length, its
 * pointer is not looked at.  p has room for frame_size().
 */
uint8_t	*frame_put(uint8_t *p, const struct frame *f);
/* Last: says where it lies, and sums it up. */
void	 frame_seal(uint8_t *p, uint64_t generation, uint64_t at);
/*
 * The head alone, each field bounded, nothing summed.  -EAGAIN: n is less
 * than FRAME_HEAD; -EBADMSG: no frame of this version.
 */
int	 frame_peek(const uint8_t *p, size_t n, struct frame *ret_f);
/* What version its magic goes with; -EBADMSG: no magic, or n is too little. */
int	 frame_version(const uint8_t *p, size_t n);
/* The whole frame, intact.  -EAGAIN: n is less than its size; -EBADMSG. */
int	 frame_get(const uint8_t *p, size_t n, struct frame *ret_f);

#endif
