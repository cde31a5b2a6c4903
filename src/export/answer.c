/* SPDX-License-Identifier: ISC */
/* answer.c - the backend's answer, read; the table is in answer.h */

#include "export/answer.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <strings.h>

#include "base/planted.h"
#include "otlp/otlp.h"
#include "banned.h"

/* Printable ASCII of an error body, one line: for a log and for people. */
static void
words_of(struct bytes body, char *words, size_t cap)
{
	size_t i, n = 0;

	for (i = 0; i < body.n && n + 1 < cap; i++) {
		if (body.p[i] >= 0x20 && body.p[i] < 0x7f)
			words[n++] = (char)body.p[i];
		else if (n > 0 && words[n - 1] != ' ')
			words[n++] = ' ';
	}
	words[n] = '\0';
}

/* A number, or one in a string, as protobuf's JSON has int64. */
static uint64_t
json_count(const json_t *part)
{
	static const char *const keys[] = { "rejectedLogRecords",
	    "rejectedSpans", "rejectedDataPoints" };
	const json_t *v = NULL;
	long long n = 0;
	size_t i;

	for (i = 0; v == NULL && i < sizeof(keys) / sizeof(keys[0]); i++)
		v = json_object_get(part, keys[i]);
	if (json_is_integer(v))
		n = json_integer_value(v);
	else if (json_is_string(v))
		n = strtoll(json_string_value(v), NULL, 10);
	return n > 0 ? (uint64_t)n : 0;
}

/* The beginning of a JSON answer; how many were rejected is not read. */
static int
json_beginning(struct bytes body, struct answer *a)
{
	static const char key[] = "\"partialSuccess\"";
	size_t i = 0;

	while (i < body.n && strchr(" \t\r\n{", body.p[i]) != NULL)
		i++;
	if (body.n - i < sizeof(key) - 1 ||
	    memcmp(body.p + i, key, sizeof(key) - 1) != 0)
		return -1;
	words_of(body, a->words, sizeof(a->words));
	return 0;
}

/* { "partialSuccess": { "rejectedLogRecords": "3", "errorMessage": "…" } } */
static int
json_answer(struct bytes body, struct answer *a)
{
	const char *message = "";
	json_t *root, *part;
	int r = -1;

	root = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES,
	    NULL);
	if (!json_is_object(root))
		goto out;
	part = json_object_get(root, "partialSuccess");
	if (json_object_size(root) > 0 && part == NULL)
		goto out;
	r = 0;
	a->rejected = json_count(part);
	if (json_is_string(json_object_get(part, "errorMessage")))
		message = json_string_value(json_object_get(part,
		    "errorMessage"));
	words_of(bytes_str(message), a->words, sizeof(a->words));
out:
	json_decref(root);
	return r;
}

static bool
is_otlp(const char *type, struct bytes body, bool cut, struct answer *a)
{
	if (body.n == 0)
		return true;
	if (strncasecmp(type, "application/json", 16) == 0)
		return (cut ? json_beginning(body, a) :
		    json_answer(body, a)) == 0;
	if (*type != '\0' &&
	    strncasecmp(type, "application/x-protobuf", 22) != 0)
		return false;
	return otlp_answer(body, cut, &a->rejected, a->words,
	    sizeof(a->words)) == 0;
}

static enum verdict
refusal(int status)
{
	switch (status) {
	case 408: case 429:
		return ANSWER_RETRY;
	case 413:
		return ANSWER_HALVE;
	case 400: case 422:
		return ANSWER_BISECT;
	default:
		/* 401, 403, 404, 407, 405, 415, …: not about the records */
		return ANSWER_HOLD;
	}
}

void
answer_read(int status, const char *type, struct bytes body, bool cut,
    struct answer *ret_answer)
{
	struct answer a = { .verdict = ANSWER_RETRY };
	char kind[61];

	if (status >= 200 && status < 300) {
		if (is_otlp(type, body, cut, &a)) {
			a.verdict = ANSWER_DONE;
		} else {
			a.rejected = 0;
			words_of(bytes_str(type), kind, sizeof(kind));
			snprintf(a.words, sizeof(a.words), "answered %d with "
			    "'%s', which is not OTLP: is this the endpoint?",
			    status, kind);
		}
	} else {
		words_of(body, a.words, sizeof(a.words));
		if (status == 503 && PLANTED(drop_on_503))
			a.verdict = ANSWER_DONE;
		if (status >= 400 && status < 500)
			a.verdict = refusal(status);
	}
	*ret_answer = a;
}
