/* SPDX-License-Identifier: ISC */
/*
 * encode.h - one record as msgpack, straight into its place
 *
 * What:     [EventTime, {level, message, fields ..., extra}], the text rules
 *           of text.h applied; sized at its worst first, so that the room is
 *           reserved once and nothing is checked while writing.
 * Used by:  shm/log.c, shm/ident.c, shm/console.c, shm/loan.c.
 * Never:    allocates, or writes beyond what encode_worst() said.
 *
 *   92                         array of 2
 *   d7 00 ssssssss nnnnnnnn    EventTime, seconds and nanoseconds
 *   de nnnn                    map16, pairs
 *   a5 level   a4 info ...     then message, head fields, fields, extra,
 *                              and truncated, original_size where cut
 *
 * Values of secret keys become "[redacted]", in nested maps and arrays too;
 * numbers stay (prompt_tokens is one).  What is nested deeper than
 * ENCODE_DEPTH becomes nil and counts as shortened.  Keys are cut at 255
 * bytes, a container at 65,000 elements.
 */
#ifndef EMPLOG_ENCODE_H
#define EMPLOG_ENCODE_H

#include "shm/emplog.h"
#include "shm/text.h"

#define ENCODE_DEPTH	16

/*
 * Without holes and to be initialised whole: what a compiler clears in wide
 * stores comes back late to the narrower loads that follow.
 */
struct encode_in {
	uint64_t	 wall_ns;
	uint32_t	 level;		/* enum emplog_level */
	uint32_t	 extra_len;
	const char	*message;
	size_t		 message_len;
	const struct emplog_field *head; /* the library's own, first */
	size_t		 n_head;
	const struct emplog_field *fields;
	size_t		 n;
	const uint8_t	*extra;		/* pairs encoded before, verbatim */
	size_t		 extra_pairs;
};

/*
 * How many bytes in may need, and in *ret_cap at which length its strings
 * must be cut so that they are at most limit.  More than limit: they cannot.
 */
uint64_t encode_worst(const struct encode_in *in, uint64_t limit,
	    size_t *ret_cap);
/* Writes in with that cap; returns its end.  Adds to *notes. */
uint8_t	*encode_put(uint8_t *p, const struct encode_in *in, size_t cap,
	    struct text_notes *notes);

/* One pair of short texts (<= 255 bytes each), for identities. */
uint8_t	*encode_pair(uint8_t *p, const char *key, const char *value);
#define ENCODE_PAIR_MAX	(2 * (2 + 255))
/* A short key and a number, whole ones as integers: at most key + 10 bytes. */
uint8_t	*encode_number(uint8_t *p, const char *key, double v);
/* More pairs were put behind the record at p: its count says so. */
void	 encode_more(uint8_t *p, unsigned pairs);
/* The wall time of the record at p, set late. */
void	 encode_stamp(uint8_t *p, uint64_t wall_ns);
/* Bytes of a record before its first pair. */
#define ENCODE_HEAD	14u

#endif
