/* SPDX-License-Identifier: ISC */
/*
 * jtext.h - JSON text, appended to a bounded buffer
 *
 * What:     strings escaped and made valid, numbers so that they read back
 *           the same, and a whole msgpack value as plain JSON.
 * Source:   RFC 8259.  NaN and infinities, which it has not, become strings.
 *
 * Bounds:   bytes (end) and characters (chars); a character or an escape is
 *           written whole or not at all.  After one that does not fit, full
 *           is set and nothing more is written.
 */
#ifndef EMPLOG_JTEXT_H
#define EMPLOG_JTEXT_H

#include "otlp/text.h"

struct jtext {
	uint8_t		*p;
	uint8_t		*end;
	size_t		 chars;		/* still allowed */
	bool		 full;
	bool		 repaired;	/* some string was not UTF-8 */
};

void	 jtext_raw(struct jtext *w, struct bytes ascii);
#define jtext_lit(w, s)	jtext_raw(w, BYTES(s))
/* With its quotes. */
void	 jtext_string(struct jtext *w, struct bytes s);
void	 jtext_uint(struct jtext *w, uint64_t u);
void	 jtext_int(struct jtext *w, int64_t i);
void	 jtext_double(struct jtext *w, double d);
/* In quotes: Base64 with padding, or lower case hexadecimal. */
void	 jtext_base64(struct jtext *w, struct bytes b);
void	 jtext_hex(struct jtext *w, struct bytes b);
/*
 * A map's key: in quotes, numbers too.  Of an array or a map "" alone: the
 * caller makes a member of its own of it.
 */
struct mp_item;
void	 jtext_key(struct jtext *w, const struct mp_item *it);
/* One msgpack value; binaries and exts as Base64, keys as strings. */
void	 jtext_value(struct jtext *w, struct bytes value);

#endif
