/* SPDX-License-Identifier: ISC */
/*
 * letter.h - why a record died, in the identity of its frame
 *
 * What:     pure: puts the note of a dead letter behind the identity of its
 *           lane, finds it again, takes it off again.
 * Used by:  dead.c writes and takes off, admin/dlq.c reads.
 *
 * The identity is a msgpack map of strings; the note is pairs at its end:
 *
 *   form 1                          form 2 adds
 *   emplog.dead_why     a word      emplog.dead_form      "2"
 *   emplog.dead_status  "400", ""   emplog.dead_time      ns, wall clock
 *   emplog.dead_words   <= 255 B    emplog.dead_endpoint  URL, no secret
 *                                   emplog.dead_dataset   name
 *
 * Invariants
 *   1. The lane's identity is whole or, where it alone leaves no room for a
 *      note, the note is what is cut: a letter given back is the record it
 *      was.
 *   2. A reader of any form takes the keys it knows; what is missing is "".
 */
#ifndef EMPLOG_LETTER_H
#define EMPLOG_LETTER_H

#include "base/chunk.h"

#define LETTER_FORM	2

struct letter_note {
	struct bytes	 why;		/* "refused", "too large", … */
	struct bytes	 words;		/* the backend's */
	struct bytes	 endpoint;
	struct bytes	 dataset;
	int		 status;	/* HTTP, 0: none */
	uint64_t	 time_ns;	/* wall clock, 0: form 1 did not say */
};

/* Identity and note into buf; returns the bytes. */
size_t	 letter_put(uint8_t buf[IDENTITY_MAX], struct bytes identity,
	    const struct letter_note *note);
/* Borrows identity; whatever is in it, and nothing is trusted. */
void	 letter_get(struct bytes identity, struct letter_note *ret_note);
/* The identity without the note, into buf; returns the bytes, 0: none. */
size_t	 letter_strip(uint8_t buf[IDENTITY_MAX], struct bytes identity);

#endif
