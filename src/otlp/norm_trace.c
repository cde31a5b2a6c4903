/* SPDX-License-Identifier: ISC */
/* norm_trace.c - trace and span ids; the contract is in norm.h */

#include <errno.h>

#include "otlp/norm.h"

#include "banned.h"

static int
nibble(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int
hex(const uint8_t *p, uint8_t *ret, size_t n)
{
	size_t i;
	int hi, lo;

	for (i = 0; i < n; i++) {
		hi = nibble(p[2 * i]);
		lo = nibble(p[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return -EINVAL;
		ret[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

int
norm_hex_id(struct bytes text, uint8_t *ret_id, size_t n)
{
	uint8_t id[16], any = 0;
	size_t i;

	if (n > sizeof(id) || text.n != 2 * n || hex(text.p, id, n) < 0)
		return -EINVAL;
	for (i = 0; i < n; i++)
		any |= id[i];
	if (any == 0)
		return -EINVAL;
	memcpy(ret_id, id, n);
	return 0;
}

/*
 * 00-<32 hex>-<16 hex>-<2 hex>.  A later version may be longer after a
 * further dash; version ff is invalid.
 */
int
norm_traceparent(struct bytes t, uint8_t ret_trace[16], uint8_t ret_span[8],
    uint8_t *ret_flags)
{
	uint8_t version, flags, trace[16], span[8];

	if (t.n < 55 || hex(t.p, &version, 1) < 0 || version == 0xff ||
	    t.p[2] != '-' || t.p[35] != '-' || t.p[52] != '-')
		return -EINVAL;
	if (t.n > 55 && (version == 0 || t.p[55] != '-'))
		return -EINVAL;
	if (norm_hex_id(bytes_of(t.p + 3, 32), trace, 16) < 0 ||
	    norm_hex_id(bytes_of(t.p + 36, 16), span, 8) < 0 ||
	    hex(t.p + 53, &flags, 1) < 0)
		return -EINVAL;
	memcpy(ret_trace, trace, 16);
	memcpy(ret_span, span, 8);
	*ret_flags = flags;
	return 0;
}
