/* SPDX-License-Identifier: ISC */
/*
 * sift.h - one record while its fields are being sorted; norm.c's own
 *
 * What:     norm.c takes the record apart into known and unknown fields;
 *           norm_place.c moves the known ones to where they belong; what
 *           stays becomes attributes, again in norm.c.
 */
#ifndef EMPLOG_SIFT_H
#define EMPLOG_SIFT_H

#include "forward/mp.h"
#include "otlp/norm.h"

struct known {
	struct bytes	 key;		/* as the record spells it */
	struct bytes	 value;
	uint8_t		 alias;
};

/* One record being sorted. */
struct sift {
	struct norm	*n;
	const struct norm_from *from;
	uint64_t	 set[2];	/* bit per field */
	struct known	 known[F_COUNT];
	uint32_t	 hash[NORM_ATTRS_MAX];	/* of n->attr, the unknown */
	unsigned	 chars;		/* pieces of a spread string so far */
};

_Static_assert(F_COUNT <= 128, "two words of bits");

static inline bool
sift_has(const struct sift *s, enum field_id id)
{
	return (s->set[id / 64] >> id % 64 & 1) != 0;
}

static inline void
sift_set(struct sift *s, enum field_id id)
{
	s->set[id / 64] |= UINT64_C(1) << id % 64;
}

static inline void
sift_clear(struct sift *s, enum field_id id)
{
	s->set[id / 64] &= ~(UINT64_C(1) << id % 64);
}

/* The text of a msgpack string; false: it is none. */
static inline bool
sift_text(struct bytes value, struct bytes *ret)
{
	struct mp m = mp_of(value);
	struct mp_item it;

	if ((value.p[0] & 0xe0) == 0xa0 || value.p[0] == 0xd9) {
		it.s.n = value.p[0] == 0xd9 ? 2 : 1;	/* of the header */
		*ret = bytes_of(value.p + it.s.n, value.n - it.s.n);
		return true;
	}
	if (mp_next(&m, &it) < 0 || it.type != MP_STR)
		return false;
	*ret = it.s;
	return true;
}

/* A field that stays an attribute under its own name. */
void	 sift_unknown(struct sift *s, struct bytes key, struct bytes value);
/* Identity, time, severity, body and trace. */
void	 sift_places(struct sift *s);

#endif
