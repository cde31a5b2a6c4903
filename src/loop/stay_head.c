/* SPDX-License-Identifier: ISC */
/* stay_head.c - is this a request that stays; see stay_head.h */

#include "loop/stay_head.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/must.h"
#include "loop/stay.h"

#include "banned.h"

/* What the lines of a head have said. */
struct said {
	unsigned	hosts, lengths, closes;
	size_t		length;
};

static bool
is_token(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool
is(const char *text, const uint8_t *p, size_t n)
{
	return strlen(text) == n && strncasecmp(text, (const char *)p, n) == 0;
}

static bool
read_length(const uint8_t *p, size_t n, size_t *ret)
{
	size_t v = 0, i;

	if (n == 0 || n > 7)
		return false;
	for (i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (size_t)(p[i] - '0');
	}
	*ret = v;
	return true;
}

/* One that changes what the bytes mean is none of ours. */
static bool
read_field(struct said *s, const uint8_t *name, size_t name_n,
    const uint8_t *value, size_t value_n)
{
	static const char *const others[] = { "Transfer-Encoding",
	    "Content-Encoding", "Expect", "Upgrade", "Trailer", "TE" };
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (is(others[i], name, name_n))
			return false;
	if (is("Host", name, name_n))
		s->hosts++;
	if (is("Content-Length", name, name_n)) {
		s->lengths++;
		return read_length(value, value_n, &s->length);
	}
	if (is("Connection", name, name_n)) {
		s->closes++;
		return is("close", value, value_n);
	}
	return true;
}

/* A line without its end; ret_value is where the value begins. */
static bool
split(const uint8_t *line, size_t n, size_t *ret_name_n, size_t *ret_value,
    size_t *ret_value_n)
{
	size_t name_n = 0, at, i;

	while (name_n < n && is_token(line[name_n]))
		name_n++;
	if (name_n == 0 || name_n == n || line[name_n] != ':')
		return false;
	for (at = name_n + 1; at < n && (line[at] == ' ' || line[at] == '\t');)
		at++;
	for (i = at; i < n; i++)
		if ((line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f)
			return false;
	while (n > at && (line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	*ret_name_n = name_n;
	*ret_value = at;
	*ret_value_n = n - at;
	return true;
}

/* "POST /path HTTP/1.1" */
static bool
read_first(struct head *h, const uint8_t *line, size_t n)
{
	static const char version[] = " HTTP/1.1";
	const size_t version_n = sizeof(version) - 1;
	size_t at, i;

	if (n > 5 && memcmp(line, "POST ", 5) == 0)
		h->method = "POST";
	else if (n > 4 && memcmp(line, "PUT ", 4) == 0)
		h->method = "PUT";
	else
		return false;
	at = strlen(h->method) + 1;
	if (n <= at + version_n || line[at] != '/' ||
	    memcmp(line + n - version_n, version, version_n) != 0)
		return false;
	n -= version_n;
	for (i = at; i < n; i++)
		if (line[i] <= ' ' || line[i] >= 0x7f || line[i] == '?' ||
		    line[i] == '%' || line[i] == '#')
			return false;
	h->path = (const char *)line + at;
	h->path_n = n - at;
	return true;
}

/* Where the line at p ends, at its \r\n; NULL when it has none. */
static const uint8_t *
line_end(const uint8_t *p, const uint8_t *end)
{
	return memmem(p, (size_t)(end - p), "\r\n", 2);
}

static bool
read_lines(struct head *h, struct said *s, const uint8_t *p)
{
	const uint8_t *end = p + h->len, *to = line_end(p, end);
	size_t name_n, value, value_n;

	must(to != NULL);
	if (!read_first(h, p, (size_t)(to - p)))
		return false;
	for (p = to + 2; (to = line_end(p, end)) != NULL && to > p;
	    p = to + 2)
		if (!split(p, (size_t)(to - p), &name_n, &value, &value_n) ||
		    !read_field(s, p, name_n, p + value, value_n))
			return false;
	return true;
}

enum head_kind
head_read(struct head *h, const uint8_t *p, size_t n, size_t *ret_need)
{
	size_t look = n < HEAD_MAX ? n : HEAD_MAX;
	const uint8_t *end = memmem(p, look, "\r\n\r\n", 4);
	struct said s = { 0 };

	*h = (struct head){ 0 };
	if (n > 0 && *p != 'P')
		return HEAD_OTHER;
	if (end == NULL) {
		*ret_need = n + 1;
		return n < HEAD_MAX ? HEAD_PART : HEAD_OTHER;
	}
	h->len = (size_t)(end - p) + 4;
	if (!read_lines(h, &s, p) || s.hosts != 1 || s.lengths != 1 ||
	    s.closes != 1 || s.length > STAY_MAX - h->len ||
	    n > h->len + s.length)
		return HEAD_OTHER;
	h->body_n = s.length;
	*ret_need = h->len + s.length;
	return n < *ret_need ? HEAD_PART : HEAD_WHOLE;
}

void
head_cut(struct head *h, uint8_t *p)
{
	uint8_t *end = p + h->len, *line, *to;
	size_t name_n, value, value_n;

	p[(size_t)((const uint8_t *)h->path - p) + h->path_n] = '\0';
	line = p + (line_end(p, end) - p) + 2;
	while ((to = line + (line_end(line, end) - line)) > line) {
		if (split(line, (size_t)(to - line), &name_n, &value,
		    &value_n))
			line[value + value_n] = '\0';
		line = to + 2;
	}
}

const char *
head_find(const struct head *h, const uint8_t *p, const char *name)
{
	const uint8_t *end = p + h->len, *line, *to;
	size_t n = strlen(name);

	for (line = p; line < end; line = to + 1) {
		to = memchr(line, '\n', (size_t)(end - line));
		if (to == NULL)
			break;
		if ((size_t)(to - line) > n && line[n] == ':' &&
		    strncasecmp((const char *)line, name, n) == 0) {
			for (line += n + 1; *line == ' ' || *line == '\t';)
				line++;
			return (const char *)line;
		}
	}
	return NULL;
}
