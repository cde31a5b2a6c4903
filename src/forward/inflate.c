/* SPDX-License-Identifier: ISC */
/* inflate.c - gzip and zstd with bounded output; contract in inflate.h */

#include "forward/inflate.h"

#include <errno.h>
#include <libdeflate.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/must.h"
#include "banned.h"

#define GZIP_RATIO_MAX	1032	/* deflate cannot do more */

void
inflate_init(struct inflate *z)
{
	*z = (struct inflate){ 0 };
}

void
inflate_fini(struct inflate *z)
{
	libdeflate_free_decompressor(z->gzip);
	(void)ZSTD_freeDCtx(z->zstd);
	*z = (struct inflate){ 0 };
}

size_t
inflate_hint(enum message_packing packing, struct bytes in)
{
	unsigned long long said;
	size_t n;

	if (packing == PACKED_ZSTD) {
		said = ZSTD_getFrameContentSize(in.p, in.n);
		/* unknown and error are the two greatest values */
		n = said < SIZE_MAX / 2 ? (size_t)said : 4 * in.n;
	} else {
		/* the last member's length, modulo 4 GiB */
		n = in.n >= 18 ? le32_get(in.p + in.n - 4) : 0;
		if (n / GZIP_RATIO_MAX > in.n)
			n = 4 * in.n;
	}
	return n > in.n ? n : in.n + 64;
}

static int
gunzip(struct inflate *z, struct bytes in, uint8_t *out, size_t cap,
    size_t *ret_len)
{
	size_t len = 0, took, gave;
	enum libdeflate_result r;

	if (z->gzip == NULL)
		z->gzip = libdeflate_alloc_decompressor();
	if (z->gzip == NULL)
		return -ENOMEM;
	do {
		r = libdeflate_gzip_decompress_ex(z->gzip, in.p, in.n,
		    out + len, cap - len, &took, &gave);
		if (r == LIBDEFLATE_INSUFFICIENT_SPACE)
			return -ENOBUFS;
		if (r != LIBDEFLATE_SUCCESS || took == 0)
			return -EBADMSG;
		in = bytes_of(in.p + took, in.n - took);
		len += gave;
	} while (in.n > 0);
	*ret_len = len;
	return 0;
}

static int
unzstd(struct inflate *z, struct bytes in, uint8_t *out, size_t cap,
    size_t *ret_len)
{
	size_t n;

	if (z->zstd == NULL)
		z->zstd = ZSTD_createDCtx();
	if (z->zstd == NULL)
		return -ENOMEM;
	n = ZSTD_decompressDCtx(z->zstd, out, cap, in.p, in.n);
	if (ZSTD_isError(n))
		return ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall ?
		    -ENOBUFS : -EBADMSG;
	*ret_len = n;
	return 0;
}

int
inflate_bytes(struct inflate *z, enum message_packing packing,
    struct bytes in, uint8_t *out, size_t cap, size_t *ret_len)
{
	must(packing == PACKED_GZIP || packing == PACKED_ZSTD);
	if (in.n == 0)
		return -EBADMSG;
	if (packing == PACKED_GZIP)
		return gunzip(z, in, out, cap, ret_len);
	return unzstd(z, in, out, cap, ret_len);
}
