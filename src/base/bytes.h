/* SPDX-License-Identifier: ISC */
/*
 * bytes.h - a borrowed run of bytes, and little-endian loads and stores
 *
 * What:     struct bytes points into memory somebody else owns; it is valid
 *           as long as that owner says.  p may be NULL only when n is 0.
 */
#ifndef EMPLOG_BYTES_H
#define EMPLOG_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t	*p;
	size_t		 n;
};

/* The bytes of a string literal, without its NUL. */
#define BYTES(lit) ((struct bytes){ (const uint8_t *)("" lit), sizeof(lit) - 1 })

static inline struct bytes
bytes_of(const void *p, size_t n)
{
	return (struct bytes){ p, n };
}

static inline struct bytes
bytes_str(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static inline bool
bytes_eq(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline void
le16_put(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void
le32_put(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void
le64_put(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline uint16_t
le16_get(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t
le32_get(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t
le64_get(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

#endif
