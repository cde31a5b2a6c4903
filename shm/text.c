/* SPDX-License-Identifier: ISC */
/* text.c - what a string looks like in a lane; the contract is in text.h */

#include "shm/text.h"

#define RUN_HEAD	64u
#define RUN_TAIL	16u
#define DOTS		"\xe2\x80\xa6"
#define DOTS_LEN	3u
/* Of a very long string only this much at either end is looked at. */
#define WINDOW		(4 * TEXT_CAP)

enum { C_BASE64 = 1, C_TOKEN = 2 };

#define A	(C_BASE64 | C_TOKEN)
static const uint8_t class[256] = {
	['0'] = A, A, A, A, A, A, A, A, A, A,
	['A'] = A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,
	A, A, A, A, A,
	['a'] = A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,
	A, A, A, A, A,
	['+'] = A, ['/'] = A, ['='] = A, ['-'] = A, ['_'] = A,
	['.'] = C_TOKEN, ['~'] = C_TOKEN,
};
#undef A

static bool
is(char c, unsigned bit)
{
	return (class[(uint8_t)c] & bit) != 0;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Is word (lower case) at s, whatever its case? */
static bool
word_at(const char *s, const char *word, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (lower(s[i]) != word[i])
			return false;
	return true;
}

static bool
has_word(const char *s, size_t n, const char *word)
{
	size_t i, m = strlen(word);

	for (i = 0; i + m <= n; i++)
		if (lower(s[i]) == word[0] && word_at(s + i, word, m))
			return true;
	return false;
}

static bool
is_word(const char *s, size_t n, const char *word)
{
	return n == strlen(word) && word_at(s, word, n);
}

static bool
is_letter(char c)
{
	return lower(c) >= 'a' && lower(c) <= 'z';
}

/*
 * Is the "token" that ends at k[i] a credential?  Not where the word goes on
 * (tokens, tokenizer; but tokenValue does not), nor where the next one says
 * that it is about language models' tokens (token_usage, tokenCount).
 */
static bool
is_token_key(const char *k, size_t n, size_t i)
{
	static const char *const harmless[] = { "usage", "count", "limit",
	    "rate", "type", "budget", "length", "expir" };
	size_t j, m;

	if (i == n)
		return true;
	if (is_letter(k[i]) && (k[i] >= 'a' || k[i - 1] < 'a'))
		return false;
	if (!is_letter(k[i]))
		i++;
	for (j = 0; j < sizeof(harmless) / sizeof(harmless[0]); j++) {
		m = strlen(harmless[j]);
		if (n - i >= m && word_at(k + i, harmless[j], m))
			return false;
	}
	return true;
}

static bool
has_token_key(const char *k, size_t n)
{
	size_t i;

	for (i = 5; i <= n; i++)
		if (word_at(k + i - 5, "token", 5) && is_token_key(k, n, i))
			return true;
	return false;
}

bool
text_key_check(const char *k, size_t n)
{
	static const char *const within[] = { "secret", "password",
	    "passwd", "authorization" };
	static const char *const whole[] = { "cookie", "set-cookie",
	    "set_cookie", "cookies", "x-api-key", "x_api_key", "api-key",
	    "api_key", "apikey", "xapikey" };
	size_t i;

	for (i = 0; i < sizeof(within) / sizeof(within[0]); i++)
		if (has_word(k, n, within[i]))
			return true;
	for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (is_word(k, n, whole[i]))
			return true;
	return has_token_key(k, n);
}

/* Does a bearer token begin at s[i], i.e. is "bearer " before it? */
static bool
token_begins(const char *s, size_t i)
{
	size_t j = i;

	while (j > 0 && s[j - 1] == ' ')
		j--;
	return j < i && j >= 6 && word_at(s + j - 6, "bearer", 6);
}

static bool
has_token(const char *s, size_t n)
{
	const char *p = s, *end = s + n;

	while ((p = memchr(p, ' ', (size_t)(end - p))) != NULL) {
		while (p < end && *p == ' ')
			p++;
		if (p == end)
			return false;
		if (is(*p, C_TOKEN) && token_begins(s, (size_t)(p - s)))
			return true;
	}
	return false;
}

/*
 * A run of 256 covers one of the places 255, 511, ...; from a place that is
 * not in a long enough run the next candidate is 256 after its gap.
 */
static bool
has_run(const char *s, size_t n)
{
	size_t at = TEXT_RUN - 1, from = 0, i;

	while (at < n) {
		for (i = at + 1; i > from && is(s[i - 1], C_BASE64); i--)
			;
		if (at + 1 - i >= TEXT_RUN)
			return true;
		from = i;
		at = i + (is(s[at], C_BASE64) ? TEXT_RUN - 1 : TEXT_RUN);
	}
	return false;
}

/* A space behind an r or R: perhaps Bearer's. */
static text_v16
r_space(struct text_pairs v)
{
	return (text_v16)(((v.a | 0x20) == 'r') & (v.b == ' '));
}

static bool
has_r_space(const char *s, size_t n)
{
	text_v16 hit;
	size_t i;

	if (n < 9)	/* "Bearer x" */
		return n == 8 && s[6] == ' ';
	if (n <= 17)
		return text_any(r_space(text_pairs8(s, n)));
	hit = r_space(text_pairs16(s + n - 17));
	for (i = 0; i + 17 < n; i += 16)
		hit |= r_space(text_pairs16(s + i));
	return text_any(hit);
}

bool
text_tainted(const char *s, size_t n)
{
	return (has_r_space(s, n) && has_token(s, n)) ||
	    (n >= TEXT_RUN && has_run(s, n));
}

/*
 * The output as a line of bytes of which two windows are written, [0, head)
 * and [tail, end): one pass measures (both empty), a second one writes.
 */
struct out {
	uint8_t		*dst;
	uint64_t	 at;		/* position in the whole output */
	uint64_t	 head, tail;
	uint32_t	 tokens, runs;
};

static void
out_put(struct out *o, const char *s, size_t n)
{
	uint64_t from = o->at, to = from + n, cut;

	o->at = to;
	if (from < o->head) {
		cut = to < o->head ? to : o->head;
		memcpy(o->dst, s, cut - from);
		o->dst += cut - from;
	}
	if (to > o->tail) {
		cut = from > o->tail ? from : o->tail;
		memcpy(o->dst, s + (cut - from), to - cut);
		o->dst += to - cut;
	}
}

static size_t
run_len(const char *s, size_t n, unsigned bit)
{
	size_t i;

	for (i = 0; i < n && is(s[i], bit); i++)
		;
	return i;
}

static void
token_put(struct out *o, size_t n)
{
	const size_t m = sizeof(TEXT_REDACTED) - 1;

	/* Never longer than what it stands for. */
	if (n >= m)
		out_put(o, TEXT_REDACTED, m);
	else
		out_put(o, "*********", n);
	o->tokens++;
}

static void
run_put(struct out *o, const char *s, size_t n)
{
	if (n < TEXT_RUN) {
		out_put(o, s, n);
		return;
	}
	out_put(o, s, RUN_HEAD);
	out_put(o, DOTS, DOTS_LEN);
	out_put(o, s + n - RUN_TAIL, RUN_TAIL);
	o->runs++;
}

/* Cuts s into tokens, base64 runs and the rest. */
static void
walk(struct out *o, const char *s, size_t n)
{
	size_t i = 0, m;

	while (i < n) {
		if (is(s[i], C_TOKEN) && token_begins(s, i)) {
			m = run_len(s + i, n - i, C_TOKEN);
			token_put(o, m);
		} else if (is(s[i], C_BASE64)) {
			m = run_len(s + i, n - i, C_BASE64);
			run_put(o, s + i, m);
		} else {
			for (m = 1; i + m < n && !is(s[i + m], C_TOKEN); m++)
				;
			out_put(o, s + i, m);
		}
		i += m;
	}
}

/*
 * Of a very long string the two ends.  The second one begins after the word
 * it would have cut: half a token does not look like one, nor does one cut
 * off its "Bearer", so the word behind goes as well; and when that is "Bearer"
 * itself, what follows it.
 */
static size_t
tail_skip(const char *s, size_t n)
{
	size_t i = run_len(s, n, C_TOKEN), word;

	do {
		while (i < n && s[i] == ' ')
			i++;
		word = run_len(s + i, n - i, C_TOKEN);
		i += word;
	} while (word == 6 && word_at(s + i - 6, "bearer", 6));
	return i;
}

static void
walk_ends(struct out *o, const char *s, size_t n)
{
	const char *t;
	size_t skip;

	if (n <= 2 * WINDOW) {
		walk(o, s, n);
		return;
	}
	walk(o, s, WINDOW);
	t = s + n - WINDOW;
	skip = tail_skip(t, WINDOW);
	out_put(o, DOTS, DOTS_LEN);
	o->runs++;
	walk(o, t + skip, WINDOW - skip);
}

/* The last place <= n where a character begins or s ends. */
static size_t
utf8_back(const uint8_t *s, size_t n)
{
	size_t i = n, back = 0;

	while (i > 0 && back < 4 && (s[i - 1] & 0xc0) == 0x80) {
		i--;
		back++;
	}
	if (i == 0 || s[i - 1] < 0xc0)
		return n;	/* ends with ASCII, or is no UTF-8 */
	/* s[i - 1] leads: how many bytes does it announce? */
	if (back >= (s[i - 1] >= 0xf0 ? 3u : s[i - 1] >= 0xe0 ? 2u : 1u))
		return n;
	return i - 1;
}

/* Output that fits is one window; else two, and dots put between. */
static size_t
cut_put(uint8_t *dst, size_t cap, const char *s, size_t n, uint64_t total)
{
	size_t half = (cap - DOTS_LEN) / 2, head, skip = 0, len;
	struct out o = { .dst = dst, .head = half, .tail = total - half };

	walk_ends(&o, s, n);
	head = utf8_back(dst, half);
	while (skip < 3 && skip < half && (dst[half + skip] & 0xc0) == 0x80)
		skip++;
	len = half - skip;
	memmove(dst + head + DOTS_LEN, dst + half + skip, len);
	memcpy(dst + head, DOTS, DOTS_LEN);
	return head + DOTS_LEN + len;
}

size_t
text_put(uint8_t *dst, size_t cap, const char *s, size_t n,
    struct text_notes *notes)
{
	struct out o = { .dst = dst, .tail = UINT64_MAX };
	uint64_t total;

	if (n <= cap && !text_tainted(s, n)) {
		memcpy(dst, s, n);
		return n;
	}
	walk_ends(&o, s, n);
	total = o.at;
	notes->redacted += o.tokens;
	if (total > cap || o.runs > 0) {
		notes->shortened++;
		notes->original += n;
	}
	if (total > cap)
		return cut_put(dst, cap, s, n, total);
	o = (struct out){ .dst = dst, .head = UINT64_MAX, .tail = UINT64_MAX };
	walk_ends(&o, s, n);
	return total;
}
