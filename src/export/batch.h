/* SPDX-License-Identifier: ISC */
/*
 * batch.h - frames of the queue on their way to the backend
 *
 * What:     keeps the frames it was filled with (their bytes, so that any
 *           part can be encoded again), and a stack of record ranges still to
 *           be delivered: normally one, two halves after a 413 or a 400.
 *
 *   frames   | seq 7: 100 records | seq 8: 3 | seq 9: 40 |   143 records
 *   stack    [0,143)  --400-->  [0,71) [71,143)  --2xx-->  [71,143)  …
 *
 * What must go alone, of another signal or encoding or no records at all, is
 * the last frame, one record, and a range of its own below the others.
 *
 * A batch is done when its stack is empty; then its frames are committed.
 */
#ifndef EMPLOG_BATCH_H
#define EMPLOG_BATCH_H

#include "base/chunk.h"
#include "otlp/otlp.h"

#define BATCH_FRAMES_MAX	256
#define BATCH_RANGES_MAX	40	/* log2 of records, and some */

struct dead;
struct env;
struct libdeflate_compressor;
struct queue;

struct batch_frame {
	struct chunk	 chunk;		/* points into raw */
	uint64_t	 seq;
	uint32_t	 first;		/* number of its first record */
};

struct batch_range { uint32_t from, to; };

struct batch {
	struct env	*env;
	uint8_t		*raw;
	size_t		 raw_len;
	size_t		 raw_cap;
	struct batch_frame frame[BATCH_FRAMES_MAX];
	unsigned	 frame_n;
	uint32_t	 records;
	struct batch_range range[BATCH_RANGES_MAX];	/* top: current */
	unsigned	 range_n;
	struct otlp_batch *otlp;
	struct libdeflate_compressor *gzip;
	uint8_t		*packed;	/* gzip of the request */
	size_t		 packed_cap;
	/* what is sent: set by batch_encode() */
	struct bytes	 body;
	size_t		 raw_body;	/* its bytes before compression */
	struct otlp_counts counts;
};

void	 batch_init(struct batch *b, struct env *env);
void	 batch_fini(struct batch *b);
/* Gives the memory back; between batches when there is nothing to do. */
void	 batch_trim(struct batch *b);

/*
 * Takes frames of the flow of the queue whose turn it is until about bytes are
 * there, it has no more, or one must go alone.  Returns how many; -ENOMEM.
 */
int	 batch_fill(struct batch *b, struct queue *q, size_t bytes);
/* The same of the letters wanted; each frame is one record. */
int	 batch_fill_letters(struct batch *b, struct dead *d, size_t bytes);
/*
 * Encodes the current range; what does not fit is split off and becomes the
 * range below.  -ENOMEM; -EMSGSIZE: the first record of the range fits in no
 * request: the range is then that record alone; -ENODATA: nothing in the
 * range is a record, pop it.
 */
int	 batch_encode(struct batch *b, const struct otlp_conf *conf,
	    size_t bytes, bool gzip, uint64_t wall_ns);
/*
 * Cuts the current range down to the records of one dataset: pick(arg,
 * environment) names it, equal pointers are equal.  Returns the name.
 */
const char *batch_one_dataset(struct batch *b, const struct norm_conf *conf,
	    const char *(*pick)(const void *arg, struct bytes environment),
	    const void *arg);
/* The current range is delivered. */
void	 batch_pop(struct batch *b);
/* Splits the current range; false: it is a single record. */
bool	 batch_split(struct batch *b);
/* The current range comes last; nothing happens to the only one. */
void	 batch_turn(struct batch *b);
/* The frame and the number within it of the current range's first record. */
const struct batch_frame *batch_at(const struct batch *b, uint32_t *ret_nth);
/* Bytes of one whole entry of a frame; empty if there is none. */
struct bytes batch_entry(const struct batch_frame *f, uint32_t nth);
/* The frame of the current range where that must go alone, else NULL. */
const struct batch_frame *batch_alone(const struct batch *b);
/* The current range is OTLP as received: passed on as it is. */
bool	 batch_is_raw(const struct batch *b);

#endif
