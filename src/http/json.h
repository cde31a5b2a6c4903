/* SPDX-License-Identifier: ISC */
/*
 * json.h - JSON text to Forward entries, in one pass
 *
 * What:     an object, an array of objects, NDJSON or concatenated objects
 *           become [EventTime, map] entries appended to a buffer; resumable,
 *           so that a 16 MiB body takes no turn of the loop for itself.
 * Source:   RFC 8259.
 * While it writes it does what the lane's encoder does: strings over 8 KiB
 * and Base64 runs become head…tail with truncated and original_size, values
 * of secret keys and bearer strings are replaced.  Bad UTF-8 becomes U+FFFD.
 * NaN and Infinity are not JSON.  Numbers: integers that fit 64 bits stay
 * integers, the rest are doubles; what a double cannot hold stays text.
 * Never:    recurses, allocates, or takes a record over RECORD_MAX.
 */
#ifndef EMPLOG_JSON_H
#define EMPLOG_JSON_H

#include "base/bytes.h"

#define JSON_DEPTH_MAX	30
#define JSON_RECORD_MAX	(256u << 10)

struct json_counts {
	uint64_t	 records;
	uint64_t	 bad_json;	/* parts skipped */
	uint64_t	 bad_utf8, too_deep, too_large, not_object;
	uint64_t	 shortened, redacted;
};

struct json_in {			/* one body being read */
	struct bytes	 text;
	size_t		 at;		/* next byte */
	bool		 in_array;
	uint8_t		 expect;	/* json.c's: what may come in the array */
	uint64_t	 now_ns;	/* time of entries that give none */
	struct json_counts counts;
	size_t		 bad_at;	/* first bad byte, SIZE_MAX: none */
	char		 bad_why[96];	/* "expected ',' or '}'" */
};

void	 json_in_init(struct json_in *j, struct bytes text, uint64_t now_ns);
/*
 * Appends the next entry to [out, out + cap): its length; 0 at the end of
 * the text.  -ENOSPC: does not fit in cap, nothing was consumed.  Bad parts
 * are skipped to the next array element, or to the next line that begins
 * with neither space nor '}' nor ']', and counted.  -EAGAIN: many bad parts
 * were skipped and nothing was written; call again, perhaps in another turn.
 */
int64_t	 json_in_next(struct json_in *j, uint8_t *out, size_t cap);

/*
 * Writes one msgpack value as JSON text, for people: binaries in Base64, an
 * EventTime as seconds, other extensions as null.  -ENOSPC, -EBADMSG.
 */
int	 json_out(struct bytes msgpack, char *out, size_t cap,
	    size_t *ret_len);

#endif
