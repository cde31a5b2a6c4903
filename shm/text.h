/* SPDX-License-Identifier: ISC */
/*
 * text.h - what a string looks like in a lane
 *
 * What:     long strings keep head and tail, long base64 runs likewise, and
 *           what follows "Bearer" becomes "[redacted]"; which keys are secret.
 * Used by:  shm/encode.c.
 * Never:    writes more than it read, allocates, or lets a part of a secret
 *           through because the string was cut inside it.
 *
 *   Bearer eyJhbGciOi...        Bearer [redacted]   (under 10 chars: ***)
 *   base64 run of >= TEXT_RUN   its first 64, "...", its last 16
 *   longer than cap             the first half, "...", the last half, cut
 *                               between UTF-8 characters ("..." is U+2026)
 */
#ifndef EMPLOG_TEXT_H
#define EMPLOG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TEXT_CAP	8192u	/* a longer string becomes head...tail */
#define TEXT_CAP_LEAST	32u
#define TEXT_RUN	256u	/* a base64 run this long is a payload */
#define TEXT_REDACTED	"[redacted]"

struct text_notes {
	uint32_t	 shortened;	/* strings */
	uint32_t	 redacted;	/* values and tokens */
	uint64_t	 original;	/* bytes of the shortened ones */
};

/*
 * Writes s as it shall be stored; at most min(n, cap) bytes, cap at least
 * TEXT_CAP_LEAST.  Returns how many.
 */
size_t	 text_put(uint8_t *dst, size_t cap, const char *s, size_t n,
	    struct text_notes *notes);
/* Has s something that text_put() would change though it is short? */
bool	 text_tainted(const char *s, size_t n);
/* The whole rule; text_key_secret() first sorts out the harmless ones. */
bool	 text_key_check(const char *key, size_t n);

/* ---- the short way for what is harmless: nearly everything ---- */

typedef uint8_t text_v16 __attribute__((vector_size(16)));
typedef uint64_t text_v2 __attribute__((vector_size(16)));

/* 16 bytes of a text and the same one further: all pairs of neighbours. */
struct text_pairs {
	text_v16 a, b;
};

static inline uint64_t
text_load8(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t
text_load4(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline text_v16
text_load16(const void *p)
{
	text_v16 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline struct text_pairs
text_pairs16(const char *p)
{
	struct text_pairs v;

	memcpy(&v.a, p, sizeof(v.a));
	memcpy(&v.b, p + 1, sizeof(v.b));
	return v;
}

/* Of a text of 9 to 17 bytes: its first and last 8 pairs. */
static inline struct text_pairs
text_pairs8(const char *p, size_t n)
{
	return (struct text_pairs){
		(text_v16)(text_v2){ text_load8(p), text_load8(p + n - 9) },
		(text_v16)(text_v2){ text_load8(p + 1), text_load8(p + n - 8) }
	};
}

/* Of 5 to 8 bytes. */
static inline struct text_pairs
text_pairs4(const char *p, size_t n)
{
	return (struct text_pairs){
		(text_v16)(text_v2){ text_load4(p) |
		    text_load4(p + n - 5) << 32 },
		(text_v16)(text_v2){ text_load4(p + 1) |
		    text_load4(p + n - 4) << 32 }
	};
}

/* Of bytes that are 0 or 255: is there one of 255? */
static inline bool
text_any(text_v16 v)
{
#ifdef __SSE2__
	typedef char v16 __attribute__((vector_size(16)));

	return __builtin_ia32_pmovmskb128((v16)v) != 0;
#else
	text_v2 hit = (text_v2)v;

	return (hit[0] | hit[1]) != 0;
#endif
}

/*
 * Every secret word has a k, w, z or "cr" in it: cooKie toKen apiKey, passWd
 * passWord, authoriZation, seCRet; none of them at the very end.
 */
static inline bool
text_suspect(struct text_pairs v)
{
	text_v16 x = v.a | 0x20, y = v.b | 0x20;

	return text_any((text_v16)((x == 'k') | (x == 'w') | (x == 'z') |
	    ((x == 'c') & (y == 'r'))));
}

/* Are values under this key secrets?  A few ns for the ones that are not. */
static inline bool
text_key_secret(const char *k, size_t n)
{
	if (n < 5)
		return false;
	if (n > 17)
		return text_key_check(k, n);
	return text_suspect(n > 8 ? text_pairs8(k, n) : text_pairs4(k, n)) &&
	    text_key_check(k, n);
}

/* Of 8 bytes and more: is there any?  Ids, names and words have none. */
static inline bool
text_has_space(const char *s, size_t n)
{
	text_v16 hit;
	size_t i;

	if (n < 16)
		return text_any((text_v16)((text_v16)(text_v2){
		    text_load8(s), text_load8(s + n - 8) } == ' '));
	hit = (text_v16)(text_load16(s + n - 16) == ' ');
	for (i = 0; i + 16 < n; i += 16)
		hit |= (text_v16)(text_load16(s + i) == ' ');
	return text_any(hit);
}

/* Could s be stored as it is?  false is no promise that it cannot. */
static inline bool
text_plain(const char *s, size_t n)
{
	if (n >= TEXT_RUN)
		return false;
	if (n < 8)	/* "Bearer x" */
		return true;
	return !text_has_space(s, n) || !text_tainted(s, n);
}

#endif
