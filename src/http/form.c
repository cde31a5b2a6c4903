/* SPDX-License-Identifier: ISC */
/* form.c - the json= of a form body; see form.h */

#include "http/form.h"

#include <errno.h>

#include "banned.h"

static int
hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int64_t
decode(const uint8_t *p, const uint8_t *end, uint8_t *out)
{
	uint8_t *to = out;

	for (; p < end; p++) {
		if (*p == '%' && end - p > 2 && hex(p[1]) >= 0 &&
		    hex(p[2]) >= 0) {
			*to++ = (uint8_t)(hex(p[1]) << 4 | hex(p[2]));
			p += 2;
		} else {
			*to++ = *p == '+' ? ' ' : *p;
		}
	}
	return to - out;
}

int64_t
form_get(struct bytes body, const char *name, uint8_t *out)
{
	const uint8_t *p = body.p, *end = p + body.n, *amp;
	size_t n = strlen(name);

	while (p < end) {
		amp = memchr(p, '&', (size_t)(end - p));
		if (amp == NULL)
			amp = end;
		if ((size_t)(amp - p) > n && memcmp(p, name, n) == 0 &&
		    p[n] == '=')
			return decode(p + n + 1, amp, out);
		p = amp == end ? end : amp + 1;
	}
	return -ENOENT;
}
