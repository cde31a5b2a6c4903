/* SPDX-License-Identifier: ISC */
/* text.c - UTF-8 that others wrote; the contract is in text.h */

#include "otlp/text.h"

#include "banned.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

static size_t
ascii(const uint8_t *p, size_t n)
{
	uint64_t w;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		memcpy(&w, p + i, sizeof(w));
		if ((w & HIGH_BITS) != 0)
			break;
	}
	while (i < n && p[i] < 0x80)
		i++;
	return i;
}

/* The least and most a second byte may be, and the length, by the first. */
static size_t
shape(uint8_t first, uint8_t *ret_least, uint8_t *ret_most)
{
	*ret_least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	*ret_most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

size_t
text_step(const uint8_t *p, size_t left, bool *ret_valid)
{
	uint8_t least, most;
	size_t n, i;

	*ret_valid = p[0] < 0x80;
	if (*ret_valid)
		return 1;
	n = shape(p[0], &least, &most);
	if (n == 0 || left < 2 || p[1] < least || p[1] > most)
		return 1;
	for (i = 2; i < n; i++)
		if (i >= left || (p[i] & 0xc0) != 0x80)
			return i;
	*ret_valid = true;
	return n;
}

static bool
all_valid(struct bytes s)
{
	size_t i = ascii(s.p, s.n);
	bool valid;

	while (i < s.n) {
		i += text_step(s.p + i, s.n - i, &valid);
		if (!valid)
			return false;
		i += ascii(s.p + i, s.n - i);
	}
	return true;
}

void
text_fit(struct bytes s, size_t chars_max, size_t bytes_max,
    struct text *ret_text)
{
	size_t i, n, chars, bytes = 0;
	bool valid;

	ret_text->b = s;
	ret_text->bad = ret_text->cut = false;
	if (s.n <= chars_max && s.n <= bytes_max && all_valid(s))
		return;
	for (i = chars = 0; i < s.n; i += n, chars++) {
		n = text_step(s.p + i, s.n - i, &valid);
		bytes += valid ? n : TEXT_REPAIR_MAX;
		if (chars == chars_max || bytes > bytes_max) {
			ret_text->cut = true;
			break;
		}
		if (!valid)
			ret_text->bad = true;
	}
	ret_text->b.n = i;
}

size_t
text_plain(struct bytes s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] >= 0x7f || s.p[i] == '"' ||
		    s.p[i] == '\\')
			break;
	return i;
}

size_t
text_repair(uint8_t *dst, struct bytes s)
{
	uint8_t *out = dst;
	size_t i, n;
	bool valid;

	for (i = 0; i < s.n; i += n) {
		n = text_step(s.p + i, s.n - i, &valid);
		memcpy(out, valid ? s.p + i : (const uint8_t *)"\xef\xbf\xbd",
		    valid ? n : 3);
		out += valid ? n : 3;
	}
	return (size_t)(out - dst);
}
