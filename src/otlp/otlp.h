/* SPDX-License-Identifier: ISC */
/*
 * otlp.h - records of many chunks as one OTLP logs request
 *
 * What:     one pass from msgpack to ExportLogsServiceRequest (protobuf), or
 *           to one OTLP/JSON line.  Canonical bytes: fields ascending, lengths
 *           minimal, so that a decoder's re-encoding is byte-equal.
 * Source:   opentelemetry-proto v1 (logs, collector/logs).
 * Limits:   OTLP_DASH0: body 4096 bytes, 16 attributes, keys 128 characters,
 *           values 2048 characters.  What exceeds 16 is folded into one
 *           attribute emplog.more (JSON, <= 2048 characters, counts as one of
 *           the 16); what finds no place there is cut and counted in
 *           dropped_attributes_count.  Cuts never split a character.
 */
#ifndef EMPLOG_OTLP_H
#define EMPLOG_OTLP_H

#include "otlp/norm.h"

struct env;

enum otlp_limits { OTLP_NONE, OTLP_DASH0 };
enum otlp_format { OTLP_PROTOBUF, OTLP_JSON };

struct otlp_conf {
	struct norm_conf norm;
	enum otlp_limits limits;
	enum otlp_format format;
	uint64_t	 window_ns;	/* older is sent with now; 0: none */
};

/* Counted by the encoder, in records or attributes. */
struct otlp_counts {
	uint64_t	 records;	/* encoded */
	uint64_t	 bad;		/* entries that are no records */
	uint64_t	 late;		/* older than the window */
	uint64_t	 folded, dropped;	/* attributes */
	uint64_t	 cut;		/* values */
	uint64_t	 marks;		/* group markers skipped */
	uint64_t	 repaired;	/* texts that were not UTF-8 */
};

/*
 * Records of one stream that lie side by side and are all in the request, or
 * all bad; what is in no part of a request was forgotten, which is a bug.
 */
struct otlp_part {
	uint8_t		 stream[STREAM_ID_LEN];
	uint64_t	 from, to;
	bool		 bad;		/* no record, or a group marker */
};
#define OTLP_PARTS_MAX	1024

struct otlp_batch;			/* one request being made */

/* cap: most bytes of the request, a little over the wanted size. */
int	 otlp_batch_new(struct otlp_batch **ret_b, struct env *env,
	    const struct otlp_conf *conf, size_t cap);
void	 otlp_batch_free(struct otlp_batch **b);
void	 otlp_batch_reset(struct otlp_batch *b);
/*
 * Appends records [first, first + count) of a chunk (all: 0, UINT32_MAX).
 * chunk->body[0] holds the whole body, [1] is empty.  0; -ENOSPC: does not
 * fit, the batch is as before the call; -EMSGSIZE: the same, of an empty
 * batch.  Bad entries are passed over and counted.
 */
int	 otlp_batch_add(struct otlp_batch *b, const struct chunk *chunk,
	    uint32_t first, uint32_t count, uint64_t now_wall_ns);
size_t	 otlp_batch_len(const struct otlp_batch *b);	/* so far, about */
const struct otlp_counts *otlp_batch_counts(const struct otlp_batch *b);
/* Where its records were born; lent until the next add or reset. */
const struct otlp_part *otlp_batch_parts(const struct otlp_batch *b,
	    unsigned *ret_n);
/* The request, lent until reset; JSON: one line without its newline. */
struct bytes otlp_batch_finish(struct otlp_batch *b);

/*
 * The deployment.environment.name of record first of a chunk (empty: none)
 * and of how many records from there on: what an exporter needs that sends
 * each environment to its own dataset.  Borrowed from chunk or conf.
 * -ENOENT: the chunk has no such record.
 */
int	 otlp_environment(const struct norm_conf *conf,
	    const struct chunk *chunk, uint32_t first,
	    struct bytes *ret_name, uint32_t *ret_count);

/*
 * An answer's body (protobuf): ExportLogsServiceResponse (those of metrics
 * and traces have the same bytes).  cut: body is only its beginning.
 * ret_rejected 0 and message "" for a full success.  -EBADMSG: not an OTLP
 * answer.
 */
int	 otlp_answer(struct bytes body, bool cut, uint64_t *ret_rejected,
	    char *ret_message, size_t message_cap);

#endif
