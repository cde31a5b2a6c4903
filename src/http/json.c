/* SPDX-License-Identifier: ISC */
/* json.c - where records begin and end in a body; the contract is in json.h */

#include "http/json.h"

#include <errno.h>
#include <stdio.h>

#include "base/must.h"
#include "http/json_record.h"

#include "banned.h"

#define SKIP_PARTS_MAX	256		/* bad parts in one call */
#define SKIP_BYTES_MAX	(256u << 10)

/* What may come next in the outer array. */
enum expect { FIRST_OR_END, ELEMENT, COMMA_OR_END };

void
json_in_init(struct json_in *j, struct bytes text, uint64_t now_ns)
{
	*j = (struct json_in){ .text = text, .now_ns = now_ns,
	    .bad_at = SIZE_MAX };
	/* A byte order mark is no part of the text. */
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		j->at = 3;
}

static void
note_bad(struct json_in *j, size_t at, const char *why)
{
	if (j->bad_at != SIZE_MAX)
		return;
	j->bad_at = at;
	(void)snprintf(j->bad_why, sizeof(j->bad_why), "%s", why);
}

/* Behind the string whose first quote is at p. */
static const uint8_t *
string_end(const uint8_t *p, const uint8_t *end)
{
	uint64_t high = 0;

	for (p++; p < end; p++) {
		p = json_plain_end(p, end, &high);
		if (p == end)
			break;
		if (*p == '"')
			return p + 1;
		if (*p == '\\' && p + 1 < end)
			p++;
	}
	return end;
}

/*
 * Where the element that begins at p ends: behind its own last bracket when
 * it is whole, else at the ',' or ']' behind it.  Trusts quotes and brackets,
 * for there is nothing else to go by.
 */
static const uint8_t *
element_end(const uint8_t *p, const uint8_t *end, bool whole)
{
	uint64_t depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = string_end(p, end);
			continue;
		}
		if (depth == 0 && (*p == ',' || *p == ']'))
			return p;
		if (*p == '{' || *p == '[')
			depth++;
		if ((*p == '}' || *p == ']') && depth > 0 && --depth == 0 &&
		    whole)
			return p + 1;
		p++;
	}
	return end;
}

/* The next line that is not the rest of an indented record. */
static const uint8_t *
line_end(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *nl;

	while ((nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		p = nl + 1;
		if (p == end || (*p > ' ' && *p != '}' && *p != ']'))
			return p;
	}
	return end;
}

/* Passes over a bad part that began at from. */
static void
skip_bad(struct json_in *j, const uint8_t *from)
{
	const uint8_t *end = j->text.p + j->text.n, *p;

	/* Not from p: a line that broke off was found bad on a later one. */
	p = j->in_array ? element_end(from, end, false) : line_end(from, end);
	j->at = (size_t)(p - j->text.p);
	j->expect = COMMA_OR_END;
}

/* A value that is no record, or something that is no value. */
static void
skip_other(struct json_in *j, const uint8_t *p)
{
	uint8_t nowhere[1];
	struct json_counts none = { 0 };
	struct record r = { .p = p, .end = j->text.p + j->text.n,
	    .w = { nowhere, nowhere, true }, .counts = &none };

	if (*p == '[') {	/* inside the outer array */
		r.p = element_end(p, r.end, true);
	} else if (json_value_read(&r) < 0) {
		j->counts.bad_json++;
		note_bad(j, (size_t)(r.p - j->text.p), r.why);
		skip_bad(j, p);
		return;
	}
	j->counts.not_object++;
	note_bad(j, (size_t)(p - j->text.p), "expected an object");
	j->at = (size_t)(r.p - j->text.p);
	j->expect = COMMA_OR_END;
}

/* A record that cannot be one of ours. */
static void
skip_record(struct json_in *j, const struct record *r, int rc)
{
	const uint8_t *end = j->text.p + j->text.n;
	size_t at = (size_t)(r->p - j->text.p);

	if (rc == -EBADMSG) {
		j->counts.bad_json++;
		note_bad(j, at, r->why);
		skip_bad(j, r->start);
		return;
	}
	if (rc == -E2BIG) {
		j->counts.too_deep++;
		note_bad(j, at, "the record nests too deep");
	} else {
		j->counts.too_large++;
		note_bad(j, at, "the record is too large");
	}
	j->at = (size_t)(element_end(r->start, end, true) - j->text.p);
	j->expect = COMMA_OR_END;
}

/* Moves to the next record's '{'.  1: there; 0: the end; -EAGAIN. */
static int
find(struct json_in *j)
{
	const uint8_t *end = j->text.p + j->text.n, *p;
	const size_t from = j->at;
	unsigned parts = 0;

	for (;;) {
		p = json_space_end(j->text.p + j->at, end);
		j->at = (size_t)(p - j->text.p);
		if (p == end)
			break;
		if (parts > SKIP_PARTS_MAX || j->at - from > SKIP_BYTES_MAX)
			return -EAGAIN;
		if (!j->in_array && *p == '[') {
			j->in_array = true;
			j->expect = FIRST_OR_END;
			j->at++;
		} else if (j->in_array && *p == ']' && j->expect != ELEMENT) {
			j->in_array = false;
			j->at++;
		} else if (j->in_array && j->expect == COMMA_OR_END) {
			parts++;
			if (*p == ',') {
				j->expect = ELEMENT;
				j->at++;
				continue;
			}
			j->counts.bad_json++;
			note_bad(j, j->at, "expected ',' or ']'");
			skip_bad(j, p);
		} else if (*p == '{') {
			return 1;
		} else {
			parts++;
			skip_other(j, p);
		}
	}
	if (j->in_array) {
		j->counts.bad_json++;
		note_bad(j, j->at, "expected ']'");
		j->in_array = false;
	}
	return 0;
}

int64_t
json_in_next(struct json_in *j, uint8_t *out, size_t cap)
{
	const size_t room = cap < JSON_RECORD_MAX ? cap : JSON_RECORD_MAX;
	const size_t from = j->at;
	struct json_counts before;
	unsigned parts = 0;
	struct record r;
	int rc;

	must(j->at <= j->text.n);
	while ((rc = find(j)) == 1) {
		before = j->counts;
		r.start = r.p = j->text.p + j->at;
		r.end = j->text.p + j->text.n;
		r.w = (struct mpw){ .p = out, .end = out + room };
		r.depth = 0;
		r.secret = r.shortened = false;
		r.cut_bytes = 0;
		r.counts = &j->counts;
		r.why = NULL;
		rc = json_record_read(&r, j->now_ns);
		if (rc == 0) {
			j->counts.records++;
			j->at = (size_t)(r.p - j->text.p);
			j->expect = COMMA_OR_END;
			return r.w.p - out;
		}
		j->counts = before;
		if (rc == -ENOSPC && cap < JSON_RECORD_MAX)
			return -ENOSPC;
		skip_record(j, &r, rc);
		if (++parts == SKIP_PARTS_MAX || j->at - from > SKIP_BYTES_MAX)
			return -EAGAIN;
	}
	return rc;
}
