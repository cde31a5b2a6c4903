/* SPDX-License-Identifier: ISC */
/*
 * json_record.h - one JSON value to msgpack
 *
 * What:     reads a record from its '{' to its '}' and writes the entry, with
 *           what scrub.h says about its texts.  Where records begin and what
 *           is done about bad ones is json.c's.
 * Used by:  json.c alone.
 */
#ifndef EMPLOG_JSON_RECORD_H
#define EMPLOG_JSON_RECORD_H

#include "forward/mp.h"
#include "http/json.h"

struct frame {			/* a map or array being written */
	uint8_t		*head;	/* its 3-byte header */
	uint32_t	 count;
	bool		 map;
	bool		 secret;	/* under a secret key */
};

struct record {			/* one record being read */
	const uint8_t	*start, *p, *end;
	struct mpw	 w;
	struct frame	 frame[JSON_DEPTH_MAX];
	unsigned	 depth;
	bool		 secret;	/* the value that comes is one */
	uint64_t	 cut_bytes;	/* of texts before they were shortened */
	bool		 shortened;
	struct json_counts *counts;
	const char	*why;
};

/*
 * One entry, r->p at the record's '{'; r->p is where it stopped.  -EBADMSG:
 * see r->why; -E2BIG too deep; -EMSGSIZE too many members; -ENOSPC.
 */
int	 json_record_read(struct record *r, uint64_t now_ns);
/* One value that opens nothing; or -EBADMSG. */
int	 json_value_read(struct record *r);

const uint8_t *json_space_end(const uint8_t *p, const uint8_t *end);
/*
 * The first byte of a string that is not plain: '"', '\\', a control.
 * *ret_high gets a bit set where one before it was not ASCII.
 */
const uint8_t *json_plain_end(const uint8_t *p, const uint8_t *end,
	    uint64_t *ret_high);

#endif
