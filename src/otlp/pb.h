/* SPDX-License-Identifier: ISC */
/*
 * pb.h - protobuf's wire format, appended to a bounded buffer
 *
 * What:     scalars and strings whose length is known are written at once.
 *           A message whose length is not known yet is opened with a guess;
 *           closing it writes the shortest length and moves the bytes only
 *           when the guess took another number of bytes.
 * Source:   https://protobuf.dev/programming-guides/encoding/
 *
 * After a write that does not fit, full is set and nothing more is written:
 * test it once at the end.
 */
#ifndef EMPLOG_PB_H
#define EMPLOG_PB_H

#include "base/bytes.h"
#include "otlp/text.h"

#define PB_VARINT_MAX	10

struct pb {
	uint8_t		*p;
	uint8_t		*end;
	bool		 full;
};

/* Tags of fields 1 to 15: field << 3 | wire type. */
#define PB_VARINT(field)	((uint8_t)((field) << 3 | 0))
#define PB_I64(field)		((uint8_t)((field) << 3 | 1))
#define PB_LEN(field)		((uint8_t)((field) << 3 | 2))
#define PB_I32(field)		((uint8_t)((field) << 3 | 5))

static inline size_t
pb_varint_len(uint64_t v)
{
	/* 7 bits a byte: one more than (index of the highest bit) / 7. */
	return ((63 - (unsigned)__builtin_clzll(v | 1)) * 9 + 73) / 64;
}

static inline uint8_t *
pb_varint_put(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

/* n bytes to be filled, or NULL and full. */
static inline uint8_t *
pb_room(struct pb *w, size_t n)
{
	uint8_t *p = w->p;

	if (w->full || n > (size_t)(w->end - p)) {
		w->full = true;
		return NULL;
	}
	w->p += n;
	return p;
}

void	 pb_varint(struct pb *w, uint8_t tag, uint64_t v);
void	 pb_fixed64(struct pb *w, uint8_t tag, uint64_t v);
void	 pb_fixed32(struct pb *w, uint8_t tag, uint32_t v);
void	 pb_double(struct pb *w, uint8_t tag, double d);
void	 pb_bytes(struct pb *w, uint8_t tag, struct bytes b);
/* Repaired where it is bad. */
void	 pb_text(struct pb *w, uint8_t tag, const struct text *t);

/* The mark to close with; guess: about how many bytes it will be. */
struct pb_mark {
	uint8_t		*body;
	uint8_t		 width;		/* of the length */
};
struct pb_mark pb_open(struct pb *w, uint8_t tag, size_t guess);
void	 pb_close(struct pb *w, struct pb_mark mark);

#endif
