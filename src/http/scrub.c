/* SPDX-License-Identifier: ISC */
/* scrub.c - what of a text may go on; the contract is in scrub.h */

#include "http/scrub.h"

#include "base/must.h"
#include "http/vec.h"
#include "shm/text.h"

#include "banned.h"

static bool
is_tail(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

unsigned
utf8_len(const uint8_t *p, const uint8_t *end)
{
	size_t left = (size_t)(end - p);
	uint8_t c = p[0];

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4 || left < 2 || !is_tail(p[1]))
		return 0;
	if (c < 0xe0)
		return 2;
	/* overlong, surrogate, beyond U+10FFFF */
	if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ||
	    (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
		return 0;
	if (left < 3 || !is_tail(p[2]))
		return 0;
	if (c < 0xf0)
		return 3;
	return left >= 4 && is_tail(p[3]) ? 4 : 0;
}

void
scrub_init(struct scrub *s)
{
	s->used = 0;
	s->total = 0;
	s->cut = false;
	s->spilt = false;
}

static void
append(struct scrub *s, const uint8_t *p, size_t n)
{
	must(n <= sizeof(s->buf) - s->used);
	memcpy(s->buf + s->used, p, n);
	s->used += n;
}

/*
 * Once the text is too long, what lies behind SCRUB_HEAD is a window on its
 * end: when that is full it keeps the last SCRUB_TAIL bytes and goes on.
 */
static void
put(struct scrub *s, const uint8_t *p, size_t n)
{
	size_t keep, first;

	if (n <= sizeof(s->buf) - s->used) {
		append(s, p, n);
		return;
	}
	s->cut = s->spilt = true;
	if (s->used < SCRUB_HEAD) {
		first = SCRUB_HEAD - s->used;
		append(s, p, first);
		p += first;
		n -= first;
	}
	keep = s->used - SCRUB_HEAD;
	if (keep > SCRUB_TAIL)
		keep = SCRUB_TAIL;
	if (n >= SCRUB_TAIL) {
		p += n - SCRUB_TAIL;
		n = SCRUB_TAIL;
		keep = 0;
	}
	memmove(s->buf + SCRUB_HEAD, s->buf + s->used - keep, keep);
	s->used = SCRUB_HEAD + keep;
	append(s, p, n);
}

static bool
is_base64(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=' ||
	    c == '-' || c == '_';
}

static const uint8_t *
base64_end(const uint8_t *p, const uint8_t *end)
{
	vec b;

	for (; end - p >= VEC_BYTES; p += VEC_BYTES) {
		b = vec_load(p);
		if (!vec_every((vec)(((b | 0x20) - 'a' < 26) |
		    (b - '0' < 10) | (b == '+') | (b == '/') | (b == '=') |
		    (b == '-') | (b == '_'))))
			break;
	}
	while (p < end && is_base64(*p))
		p++;
	return p;
}

/*
 * A run of SCRUB_RUN_MIN covers a multiple of SCRUB_RUN_MIN - 1 at least, so
 * looking at those places alone finds it: its ends are sought from there.
 */
static bool
find_run(struct bytes b, size_t at, size_t *ret_from, size_t *ret_to)
{
	size_t from, i, to;

	for (i = at; i < b.n; i = to + 1) {
		i += SCRUB_RUN_MIN - 1;
		if (i >= b.n)
			break;
		to = i;
		if (!is_base64(b.p[i]))
			continue;
		for (from = i; from > at && is_base64(b.p[from - 1]); from--)
			;
		to = (size_t)(base64_end(b.p + i, b.p + b.n) - b.p);
		if (to - from >= SCRUB_RUN_MIN) {
			*ret_from = from;
			*ret_to = to;
			return true;
		}
	}
	return false;
}

void
scrub_put(struct scrub *s, struct bytes b)
{
	size_t at = 0, from, to;

	s->total += b.n;
	while (b.n - at >= SCRUB_RUN_MIN && find_run(b, at, &from, &to)) {
		s->cut = true;
		put(s, b.p + at, from + SCRUB_RUN_HEAD - at);
		put(s, (const uint8_t *)"\xe2\x80\xa6", 3);
		put(s, b.p + to - SCRUB_RUN_TAIL, SCRUB_RUN_TAIL);
		at = to;
	}
	if (at < b.n)
		put(s, b.p + at, b.n - at);
}

/* How much of the head is whole sequences. */
static size_t
whole(const uint8_t *p, size_t n)
{
	size_t lead = n;

	while (lead > 0 && is_tail(p[lead - 1]))
		lead--;
	if (lead == 0 || p[lead - 1] < 0x80)
		return n;
	lead--;
	return utf8_len(p + lead, p + n) == n - lead ? n : lead;
}

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool
same(const uint8_t *p, const char *word, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (lower(p[i]) != (uint8_t)word[i])
			return false;
	return true;
}

/* What a credential may be made of: RFC 6750's, and '_' and '~'. */
static bool
is_token(uint8_t c)
{
	return is_base64(c) || c == '.' || c == '~';
}

/*
 * Where the tail begins behind a word that would be cut in two: half a
 * credential does not look like one, nor does one cut off its "Bearer".
 */
static size_t
tail_begin(const uint8_t *p, size_t at, size_t n)
{
	size_t word;

	while (at < n && is_token(p[at]))
		at++;
	do {
		while (at < n && p[at] == ' ')
			at++;
		for (word = at; at < n && is_token(p[at]); at++)
			;
	} while (at - word == 6 && same(p + word, "bearer", 6));
	while (at < n && is_tail(p[at]))
		at++;
	return at;
}

struct bytes
scrub_end(struct scrub *s)
{
	size_t head, tail, n;

	if (!s->spilt)
		return bytes_of(s->buf, s->used);
	head = whole(s->buf, SCRUB_HEAD);
	tail = SCRUB_HEAD;
	if (s->used - tail > SCRUB_TAIL)
		tail = s->used - SCRUB_TAIL;
	while (tail < s->used && is_tail(s->buf[tail]))
		tail++;
	tail = tail_begin(s->buf, tail, s->used);
	n = s->used - tail;
	memmove(s->buf + head + 3, s->buf + tail, n);
	memcpy(s->buf + head, "\xe2\x80\xa6", 3);
	return bytes_of(s->buf, head + 3 + n);
}

/* One rule for what came by HTTP and what producers write. */
bool
scrub_key_is_secret(struct bytes key)
{
	return text_key_secret((const char *)key.p, key.n);
}

static size_t
credential_end(struct bytes text, size_t at)
{
	while (at < text.n && text.p[at] > ' ' && text.p[at] != '"' &&
	    text.p[at] != '\'' && text.p[at] != ',' && text.p[at] != ';' &&
	    text.p[at] != '\\')
		at++;
	return at;
}

bool
scrub_bearer(struct bytes text, size_t at, size_t *ret_from, size_t *ret_to)
{
	const uint8_t *sp;
	size_t from, to;

	for (; text.n > at; at = from) {
		sp = memchr(text.p + at, ' ', text.n - at);
		if (sp == NULL)
			return false;
		from = (size_t)(sp - text.p) + 1;
		if (from < 7 || !same(sp - 6, "bearer", 6))
			continue;
		while (from < text.n && text.p[from] == ' ')
			from++;
		to = credential_end(text, from);
		if (to > from) {
			*ret_from = from;
			*ret_to = to;
			return true;
		}
	}
	return false;
}
