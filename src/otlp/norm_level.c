/* SPDX-License-Identifier: ISC */
/* norm_level.c - how sources spell severity; the contract is in norm.h */

#include <errno.h>

#include "forward/mp.h"
#include "otlp/norm.h"

#include "banned.h"

#define WORD_MAX	32

enum {
	TRACE = 1, DEBUG = 5, DEBUG2, DEBUG3, INFO = 9, INFO2, WARN = 13,
	ERROR = 17, ERROR2, ERROR3, FATAL = 21
};

/* The usual ones first: the table is searched from the top. */
static const struct {
	char		 word[16];
	uint8_t		 len;
	uint8_t		 number;
} words[] = {
#define WORD(w, n) { w, sizeof(w) - 1, n }
	WORD("info", INFO), WORD("error", ERROR), WORD("warn", WARN),
	WORD("debug", DEBUG), WORD("warning", WARN), WORD("trace", TRACE),
	WORD("fatal", FATAL), WORD("critical", FATAL),
	/* winston's npm levels, as OpenTelemetry's own transport maps them */
	WORD("http", DEBUG3), WORD("verbose", DEBUG2), WORD("silly", TRACE),
	/* syslog */
	WORD("emerg", FATAL), WORD("emergency", FATAL), WORD("panic", FATAL),
	WORD("alert", ERROR3), WORD("crit", ERROR2), WORD("err", ERROR),
	WORD("notice", INFO2), WORD("information", INFO), WORD("inf", INFO),
	WORD("informational", INFO), WORD("wrn", WARN), WORD("dbg", DEBUG),
	WORD("severe", ERROR), WORD("fine", DEBUG), WORD("log", INFO),
#undef WORD
};

/*
 * The first run of text between escape sequences: a colouring formatter
 * writes ESC [ 32 m info ESC [ 39 m.
 */
static struct bytes
without_colour(struct bytes s)
{
	const uint8_t *p = s.p, *end = s.p + s.n, *start;

	while (end - p >= 2 && p[0] == 0x1b && p[1] == '[') {
		p += 2;
		while (p < end && !(*p >= 0x40 && *p <= 0x7e))
			p++;
		if (p < end)
			p++;
	}
	while (p < end && (*p == ' ' || *p == '['))
		p++;
	for (start = p; p < end && *p != 0x1b; p++)
		;
	while (p > start && (p[-1] == ' ' || p[-1] == ']' || p[-1] == ':'))
		p--;
	return bytes_of(start, (size_t)(p - start));
}

static uint8_t
word_number(struct bytes word)
{
	char low[WORD_MAX];
	size_t i;

	for (i = 0; i < word.n; i++)
		low[i] = (char)(word.p[i] >= 'A' && word.p[i] <= 'Z' ?
		    word.p[i] + 32 : word.p[i]);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].len == word.n &&
		    memcmp(words[i].word, low, word.n) == 0)
			return words[i].number;
	return 0;
}

/*
 * syslog's 0 to 7; OpenTelemetry's own where pino has none; pino's and
 * bunyan's 10 to 60, and what lies between them, by the ten below.
 */
static uint8_t
number_number(uint64_t u)
{
	static const uint8_t syslog[] = {
		FATAL, ERROR3, ERROR2, ERROR, WARN, INFO2, INFO, DEBUG
	};
	static const uint8_t pino[] = {
		TRACE, DEBUG, INFO, WARN, ERROR, FATAL
	};

	if (u <= 7)
		return syslog[u];
	if (u < 10 || u == WARN || u == ERROR || u == FATAL)
		return (uint8_t)u;
	return u < 70 ? pino[u / 10 - 1] : 0;
}

static bool
is_number(struct bytes s, uint64_t *ret_u)
{
	uint64_t u = 0;
	size_t i;

	if (s.n == 0 || s.n > 3)
		return false;
	for (i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		u = u * 10 + (s.p[i] - '0');
	}
	*ret_u = u;
	return true;
}

int
norm_level(struct bytes value, struct norm_level *ret_level)
{
	struct mp m = mp_of(value);
	struct norm_level l = { 0 };
	struct mp_item it;
	uint64_t u;

	if (mp_next(&m, &it) < 0)
		return -EINVAL;
	if (it.type == MP_UINT) {
		l.digits = it.u;
		l.number = number_number(it.u);
	} else if (it.type == MP_DOUBLE && it.d >= 0 && it.d < 1000 &&
	    it.d == (double)(unsigned)it.d) {
		l.digits = (uint64_t)it.d;
		l.number = number_number(l.digits);
	} else if (it.type == MP_STR) {
		l.word = without_colour(it.s);
		if (l.word.n == 0 || l.word.n > WORD_MAX)
			return -EINVAL;
		l.number = is_number(l.word, &u) ? number_number(u) :
		    word_number(l.word);
	} else {
		return -EINVAL;
	}
	*ret_level = l;
	return 0;
}
