/* SPDX-License-Identifier: ISC */
/*
 * text.h - UTF-8 that others wrote: how much of it fits, and made valid
 *
 * What:     a byte that is no part of a character becomes U+FFFD, one for
 *           each maximal run that began like a character (Unicode 3.9).
 *           Surrogates and overlong forms are no characters.
 */
#ifndef EMPLOG_TEXT_H
#define EMPLOG_TEXT_H

#include "base/bytes.h"

#define TEXT_REPAIR_MAX	3	/* bytes of output for one of input */

struct text {
	struct bytes	 b;	/* what fits, as it was written */
	bool		 bad;	/* it must be written with text_repair() */
	bool		 cut;	/* something was left off */
};

/*
 * The longest beginning of s, of whole characters, that is at most chars_max
 * characters and, made valid, bytes_max bytes.
 */
void	 text_fit(struct bytes s, size_t chars_max, size_t bytes_max,
	    struct text *ret_text);
/*
 * The length of the character at p (left >= 1 bytes), or, with ret_valid
 * false, of what is to become one U+FFFD.
 */
size_t	 text_step(const uint8_t *p, size_t left, bool *ret_valid);
/* Bytes from the start that are plain ASCII from 0x20, less '"' and '\\'. */
size_t	 text_plain(struct bytes s);
/* Bytes of the result; dst has room for TEXT_REPAIR_MAX * s.n. */
size_t	 text_repair(uint8_t *dst, struct bytes s);

#endif
