/* SPDX-License-Identifier: ISC */
/*
 * mp.h - msgpack in place: a bounded cursor and a bounded appender
 *
 * What:     mp_next() reads one item header; strings, binaries and exts stay
 *           where they are.  mp_skip() passes over a whole value without
 *           recursion, whatever a peer claims.
 * Source:   https://github.com/msgpack/msgpack/blob/master/spec.md
 * Never:    allocates, reads past the end, or believes a length.
 *
 * Errors: -EAGAIN more bytes are needed, -EBADMSG not msgpack (0xc1) or not
 * the wanted type, -E2BIG deeper than MP_DEPTH_MAX, -ENOSPC (appender).  A
 * failed call leaves the cursor where it was.
 */
#ifndef EMPLOG_MP_H
#define EMPLOG_MP_H

#include "base/bytes.h"

#define MP_DEPTH_MAX	32

enum mp_type {
	MP_NIL, MP_BOOL, MP_UINT, MP_INT, MP_DOUBLE, MP_STR, MP_BIN, MP_EXT,
	MP_ARRAY, MP_MAP
};

struct mp {			/* the cursor */
	const uint8_t	*p;
	const uint8_t	*end;
};

struct mp_item {
	enum mp_type	 type;
	int8_t		 ext_type;
	union {
		bool		 b;
		uint64_t	 u;	/* MP_UINT: any non-negative integer */
		int64_t		 i;	/* MP_INT: negative ones only */
		double		 d;
		uint32_t	 count;	/* MP_ARRAY items, MP_MAP pairs */
	};
	struct bytes	 s;		/* MP_STR, MP_BIN, MP_EXT: borrowed */
};

static inline struct mp
mp_of(struct bytes b)
{
	/* NULL + 0 is undefined in C. */
	return (struct mp){ b.p, b.n == 0 ? b.p : b.p + b.n };
}

/*
 * The length of a whole small scalar or string at p, 0 for anything else or
 * one that is cut off: most of what there is, told by its first byte.
 */
static inline size_t
mp_small(const uint8_t *p, const uint8_t *end)
{
	size_t left = (size_t)(end - p), n = 0;

	if (left == 0)
		return 0;
	if (*p <= 0x7f || *p >= 0xe0 || *p == 0xc0 || *p == 0xc2 || *p == 0xc3)
		return 1;
	if (*p >= 0xa0 && *p <= 0xbf)
		n = 1 + (size_t)(*p & 0x1f);
	else if (*p == 0xd9 && left >= 2)
		n = 2 + (size_t)p[1];
	else if (*p == 0xcb || *p == 0xcf || *p == 0xd3)
		n = 9;
	else if (*p >= 0xcc && *p <= 0xce)
		n = 1 + ((size_t)1 << (*p - 0xcc));
	return n <= left ? n : 0;
}

/* Reads one header; a count is bounded by the bytes left (pairs: half). */
int	 mp_next(struct mp *m, struct mp_item *ret_item);
/*
 * How many bytes the item at m takes at least, as far as the bytes there
 * tell: its header and, of a string, its payload, of a container a byte for
 * each member.  After -EAGAIN it is more than there are.
 */
uint64_t mp_need(struct mp m);
/* Passes over one whole value. */
int	 mp_skip(struct mp *m);
/* One whole value as borrowed bytes. */
int	 mp_value(struct mp *m, struct bytes *ret_value);
/* A string (or binary: peers mix them). */
int	 mp_str(struct mp *m, struct bytes *ret_s);
int	 mp_uint(struct mp *m, uint64_t *ret_u);
int	 mp_array(struct mp *m, uint32_t *ret_n);
int	 mp_map(struct mp *m, uint32_t *ret_pairs);
/* The value of a string key in a map that stands at m; -ENOENT. */
int	 mp_find(struct mp m, const char *key, struct mp *ret_value);

/*
 * Appends to [p, end).  After a write that does not fit, full is set and
 * nothing more is written: test it once at the end.
 */
struct mpw {
	uint8_t		*p;
	uint8_t		*end;
	bool		 full;
};

void	 mpw_nil(struct mpw *w);
void	 mpw_bool(struct mpw *w, bool b);
void	 mpw_uint(struct mpw *w, uint64_t u);
void	 mpw_int(struct mpw *w, int64_t i);
void	 mpw_double(struct mpw *w, double d);
void	 mpw_str(struct mpw *w, struct bytes s);
void	 mpw_bin(struct mpw *w, struct bytes s);
/* The header alone: n bytes follow from elsewhere. */
void	 mpw_bin_head(struct mpw *w, uint32_t n);
void	 mpw_array(struct mpw *w, uint32_t n);
void	 mpw_map(struct mpw *w, uint32_t pairs);
/* Forward's EventTime: ext 0, seconds and nanoseconds, 10 bytes. */
void	 mpw_event_time(struct mpw *w, uint64_t ns);
void	 mpw_raw(struct mpw *w, struct bytes b);

#endif
