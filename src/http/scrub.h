/* SPDX-License-Identifier: ISC */
/*
 * scrub.h - what of a text may go on: length, Base64 and secrets
 *
 * What:     the rules of the lane's encoder for records that come by HTTP.  A
 *           text longer than SCRUB_TEXT_MAX keeps its head and tail; a Base64
 *           run of SCRUB_RUN_MIN or more keeps a little of both ends; the
 *           value of a secret key and what follows "Bearer" are replaced.
 * Used by:  json.c.
 * Never:    allocates; splits a UTF-8 sequence.
 */
#ifndef EMPLOG_SCRUB_H
#define EMPLOG_SCRUB_H

#include "base/bytes.h"

#define SCRUB_TEXT_MAX	8192	/* longest text that stays whole */
#define SCRUB_HEAD	4096	/* what a longer one keeps of its start */
#define SCRUB_TAIL	2048	/* and of its end, less a word cut in two */
#define SCRUB_RUN_MIN	256	/* shortest run that is Base64 */
#define SCRUB_RUN_HEAD	64
#define SCRUB_RUN_TAIL	16
#define SCRUB_INSTEAD	"[redacted]"

/* Collects one text of any length. */
struct scrub {
	size_t		 used;
	uint64_t	 total;		/* bytes put in */
	bool		 cut;		/* too long, or had a Base64 run */
	bool		 spilt;		/* buf[SCRUB_HEAD..] is a window */
	uint8_t		 buf[SCRUB_TEXT_MAX];
};

void	 scrub_init(struct scrub *s);
/* Appends whole UTF-8 sequences; a Base64 run is looked for within b. */
void	 scrub_put(struct scrub *s, struct bytes b);
/* The text as it may go on; borrowed from s. */
struct bytes scrub_end(struct scrub *s);

/* Is the value of this key a secret when it is a string. */
bool	 scrub_key_is_secret(struct bytes key);
/*
 * The credential behind a "Bearer" in text, from offset at on: its place,
 * never empty.  False: there is none.  What is written instead is never
 * longer: SCRUB_INSTEAD, or stars where that does not fit.
 */
bool	 scrub_bearer(struct bytes text, size_t at, size_t *ret_from,
	    size_t *ret_to);

/* Length of the valid UTF-8 sequence at p, 0: it is none.  p < end. */
unsigned utf8_len(const uint8_t *p, const uint8_t *end);

#endif
