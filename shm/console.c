/* SPDX-License-Identifier: ISC */
/*
 * console.c - a record as a line of text on stderr
 *
 * The record is encoded first, with all rules about secrets and length, and
 * the line is made from those bytes:
 *
 *	2026-01-31T23:59:59.123Z WARN message key=value key="two words"
 */

#include <stdio.h>
#include <string.h>

#include "shm/log.h"

#define STDERR		2
#define RECORD_CAP	3072u
/* PIPE_BUF: a pipe that polls writable takes this much without blocking. */
#define LINE_CAP	4096u

struct line {
	size_t	 n;
	char	 s[LINE_CAP];
};

static void
add(struct line *l, const void *s, size_t n)
{
	/* One byte stays for the newline. */
	if (n > LINE_CAP - 1 - l->n)
		n = LINE_CAP - 1 - l->n;
	memcpy(l->s + l->n, s, n);
	l->n += n;
}

static void
add_char(struct line *l, char c)
{
	add(l, &c, 1);
}

static bool
is_word(const uint8_t *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] == '"' || s[i] == '=' || s[i] == 0x7f)
			return false;
	return n > 0;
}

/* Control characters would let a record draw on the terminal. */
static void
add_clean(struct line *l, const uint8_t *s, size_t n, bool quoted)
{
	static const char hex[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < n; i++) {
		if (s[i] < ' ' || s[i] == 0x7f) {
			add(l, "\\x", 2);
			add_char(l, hex[s[i] >> 4]);
			add_char(l, hex[s[i] & 15]);
			continue;
		}
		if (quoted && (s[i] == '"' || s[i] == '\\'))
			add_char(l, '\\');
		add_char(l, (char)s[i]);
	}
}

static void
add_text(struct line *l, const uint8_t *s, size_t n)
{
	if (is_word(s, n)) {
		add(l, s, n);
		return;
	}
	add_char(l, '"');
	add_clean(l, s, n, true);
	add_char(l, '"');
}

/* ---- reading back what encode.c wrote: its types only, and whole ---- */

static uint64_t
be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* A string or bin: its text and, in *p, what follows it. */
static const uint8_t *
text_get(const uint8_t **p, size_t *ret_n)
{
	const uint8_t *s = *p;
	unsigned head;

	if ((*s & 0xe0) == 0xa0) {
		*ret_n = *s & 0x1f;
		*p = s + 1 + *ret_n;
		return s + 1;
	}
	head = *s == 0xd9 || *s == 0xc4 ? 1 : *s == 0xdb ? 4 : 2;
	*ret_n = (size_t)be(s + 1, head);
	*p = s + 1 + head + *ret_n;
	return s + 1 + head;
}

static bool
is_text(uint8_t c)
{
	return (c & 0xe0) == 0xa0 || (c >= 0xd9 && c <= 0xdb) ||
	    c == 0xc4 || c == 0xc5;
}

static const uint8_t *
add_number(struct line *l, const uint8_t *p)
{
	char buf[32];
	unsigned size;
	uint64_t bits;
	double d;
	int n;

	if (*p < 0x80 || *p >= 0xe0) {
		n = snprintf(buf, sizeof(buf), "%d", (int8_t)*p);
		add(l, buf, (size_t)n);
		return p + 1;
	}
	size = *p == 0xcb ? 8 : 1u << (*p & 3);
	bits = be(p + 1, size);
	if (*p == 0xcb) {
		memcpy(&d, &bits, sizeof(d));
		n = snprintf(buf, sizeof(buf), "%.15g", d);
	} else if (*p < 0xd0) {
		n = snprintf(buf, sizeof(buf), "%llu",
		    (unsigned long long)bits);
	} else {
		/* Its sign is in the topmost of its own bytes. */
		bits <<= 64 - 8 * size;
		n = snprintf(buf, sizeof(buf), "%lld",
		    (long long)((int64_t)bits >> (64 - 8 * size)));
	}
	add(l, buf, (size_t)n);
	return p + 1 + size;
}

static const uint8_t *add_value(struct line *l, const uint8_t *p);

static const uint8_t *
add_nested(struct line *l, const uint8_t *p)
{
	bool map = *p == 0xde;
	size_t i, n = (size_t)be(p + 1, 2), len;
	const uint8_t *s;

	p += 3;
	add_char(l, map ? '{' : '[');
	for (i = 0; i < n; i++) {
		if (i > 0)
			add_char(l, ' ');
		if (map) {
			s = text_get(&p, &len);
			add_clean(l, s, len, false);
			add_char(l, '=');
		}
		p = add_value(l, p);
	}
	add_char(l, map ? '}' : ']');
	return p;
}

static const uint8_t *
add_value(struct line *l, const uint8_t *p)
{
	const uint8_t *s;
	size_t n;

	switch (*p) {
	case 0xc0:
		add(l, "null", 4);
		return p + 1;
	case 0xc2:
		add(l, "false", 5);
		return p + 1;
	case 0xc3:
		add(l, "true", 4);
		return p + 1;
	case 0xdc:
	case 0xde:
		return add_nested(l, p);
	}
	if (!is_text(*p))
		return add_number(l, p);
	s = text_get(&p, &n);
	add_text(l, s, n);
	return p;
}

/* Days since 1970 to a date, without the zone tables of gmtime(3). */
static void
add_time(struct line *l, uint64_t wall_ns)
{
	uint64_t s = wall_ns / 1000000000u, day = s / 86400, t = s % 86400;
	uint64_t z = day + 719468, era = z / 146097, doe = z % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint64_t mp = (5 * doy + 2) / 153;
	unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	unsigned year = (unsigned)(yoe + era * 400 + (month <= 2));
	char buf[64];
	int n;

	n = snprintf(buf, sizeof(buf), "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ ",
	    year, month, (unsigned)(doy - (153 * mp + 2) / 5 + 1),
	    (unsigned)(t / 3600), (unsigned)(t / 60 % 60), (unsigned)(t % 60),
	    (unsigned)(wall_ns / 1000000 % 1000));
	add(l, buf, (size_t)n);
}

/* p is at the map: level and message come first. */
static void
add_record(struct line *l, const uint8_t *p, uint32_t level)
{
	static const char *const name[] = { "TRACE ", "DEBUG ", "INFO ",
	    "WARN ", "ERROR ", "FATAL " };
	size_t i, n, pairs = (size_t)be(p + 1, 2);
	const uint8_t *s;

	p += 3;
	add(l, name[level], strlen(name[level]));
	for (i = 0; i < pairs; i++) {
		s = text_get(&p, &n);
		if (i == 0) {
			(void)text_get(&p, &n);
			continue;
		}
		if (i == 1 && is_text(*p)) {
			s = text_get(&p, &n);
			add_clean(l, s, n, false);
			continue;
		}
		add_char(l, ' ');
		add_clean(l, s, n, false);
		add_char(l, '=');
		p = add_value(l, p);
	}
}

void
console_put(const struct shm_sys *sys, const struct encode_in *in)
{
	struct encode_in own = *in;
	struct text_notes notes = { 0 };
	uint8_t record[RECORD_CAP];
	struct line l;
	size_t cap;

	if (encode_worst(&own, RECORD_CAP, &cap) > RECORD_CAP) {
		/* Too many fields for a line: its message at least. */
		own.n = own.n_head = 0;
		if (encode_worst(&own, RECORD_CAP, &cap) > RECORD_CAP) {
			own.extra_len = own.extra_pairs = 0;
			(void)encode_worst(&own, RECORD_CAP, &cap);
		}
	}
	(void)encode_put(record, &own, cap, &notes);
	l.n = 0;
	add_time(&l, in->wall_ns);
	add_record(&l, record + 11, in->level);
	l.s[l.n++] = '\n';
	(void)sys->say(sys->arg, STDERR, l.s, l.n);
}
