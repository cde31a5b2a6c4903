/* SPDX-License-Identifier: ISC */
/* decode.c - a body's Content-Encoding undone; the contract is in decode.h */

#include "http/decode.h"

#include <errno.h>
#include <libdeflate.h>
#include <strings.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/env.h"

#include "banned.h"

enum kind { NOTHING, GZIP, DEFLATE, ZSTD, UNKNOWN };

static enum kind
kind_of(const char *encoding)
{
	static const struct { const char *name; enum kind kind; } known[] = {
		{ "", NOTHING }, { "identity", NOTHING }, { "gzip", GZIP },
		{ "x-gzip", GZIP }, { "deflate", DEFLATE }, { "zstd", ZSTD }
	};
	size_t i;

	if (encoding == NULL)
		return NOTHING;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcasecmp(encoding, known[i].name) == 0)
			return known[i].kind;
	return UNKNOWN;
}

bool
decode_needed(const char *encoding)
{
	return kind_of(encoding) != NOTHING;
}

static int
deflate_error(enum libdeflate_result r)
{
	if (r == LIBDEFLATE_SUCCESS)
		return 0;
	return r == LIBDEFLATE_INSUFFICIENT_SPACE ? -ENOSPC : -EBADMSG;
}

/* All members, one behind the other. */
static int
gunzip(struct libdeflate_decompressor *d, struct bytes in, uint8_t *out,
    size_t cap, size_t *ret_len)
{
	size_t took, made, len = 0;
	int r;

	do {
		r = deflate_error(libdeflate_gzip_decompress_ex(d, in.p, in.n,
		    out + len, cap - len, &took, &made));
		if (r < 0)
			return r;
		in = bytes_of(in.p + took, in.n - took);
		len += made;
	} while (in.n > 0);
	*ret_len = len;
	return 0;
}

static int
undeflate(struct libdeflate_decompressor *d, struct bytes in, uint8_t *out,
    size_t cap, size_t *ret_len)
{
	int r;

	r = deflate_error(libdeflate_zlib_decompress(d, in.p, in.n, out, cap,
	    ret_len));
	if (r == -EBADMSG)
		r = deflate_error(libdeflate_deflate_decompress(d, in.p, in.n,
		    out, cap, ret_len));
	return r;
}

static int
unzstd(struct bytes in, uint8_t *out, size_t cap, size_t *ret_len)
{
	size_t n = ZSTD_decompress(out, cap, in.p, in.n);

	if (ZSTD_isError(n) == 0) {
		*ret_len = n;
		return 0;
	}
	return ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall ?
	    -ENOSPC : -EBADMSG;
}

/* One attempt with a buffer of cap bytes.  -ENOSPC: it is too small. */
static int
attempt(enum kind kind, struct bytes in, uint8_t *out, size_t cap,
    size_t *ret_len)
{
	struct libdeflate_decompressor *d;
	int r;

	if (kind == ZSTD)
		return unzstd(in, out, cap, ret_len);
	d = libdeflate_alloc_decompressor();
	if (d == NULL)
		return -ENOMEM;
	r = kind == GZIP ? gunzip(d, in, out, cap, ret_len) :
	    undeflate(d, in, out, cap, ret_len);
	libdeflate_free_decompressor(d);
	return r;
}

/* The most that in_n bytes may become. */
static size_t
bound(size_t in_n, size_t max)
{
	size_t most = DECODE_FREE;

	if (in_n > DECODE_FREE / DECODE_RATIO_MAX)
		most = in_n * DECODE_RATIO_MAX;
	return most < max ? most : max;
}

int
decode_body(struct env *env, const char *encoding, struct bytes in,
    size_t max, uint8_t **ret_body, size_t *ret_len)
{
	enum kind kind = kind_of(encoding);
	size_t cap, len = 0;
	uint8_t *out;
	int r;

	if (kind == NOTHING || kind == UNKNOWN)
		return -ENOTSUP;
	max = bound(in.n, max);
	/* JSON shrinks to a tenth or so: most bodies fit at once. */
	cap = in.n < max / 16 ? in.n * 16 : max;
	for (;;) {
		out = env_alloc(env, cap + 1);
		if (out == NULL)
			return -ENOMEM;
		r = attempt(kind, in, out, cap, &len);
		if (r == 0)
			break;
		env_free(env, out);
		if (r != -ENOSPC)
			return r;
		if (cap == max)
			return -EFBIG;
		cap = cap < max / 4 ? cap * 4 : max;
	}
	*ret_body = out;
	*ret_len = len;
	return 0;
}
