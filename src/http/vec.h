/* SPDX-License-Identifier: ISC */
/*
 * vec.h - sixteen bytes at a time, for any machine the compiler knows
 *
 * What:     the compiler's vectors; a comparison gives 0xff or 0 per byte.
 * Used by:  json.c and scrub.c, where texts of megabytes are scanned.
 */
#ifndef EMPLOG_VEC_H
#define EMPLOG_VEC_H

#include "base/bytes.h"

#define VEC_BYTES	16

typedef uint8_t vec __attribute__((vector_size(VEC_BYTES)));

static inline vec
vec_load(const uint8_t *p)
{
	vec v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Is a bit set anywhere; every: in every byte that a comparison gave. */
static inline bool
vec_any(vec v)
{
	uint64_t half[2];

	memcpy(half, &v, sizeof(half));
	return (half[0] | half[1]) != 0;
}

static inline bool
vec_every(vec v)
{
	uint64_t half[2];

	memcpy(half, &v, sizeof(half));
	return (half[0] & half[1]) == UINT64_MAX;
}

#endif
