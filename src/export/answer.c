/* SPDX-License-Identifier: ISC */
/* answer.c - the backend's answer, read; the table is in answer.h */

#include "export/answer.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <strings.h>

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

/* { "partialSuccess": { "rejectedLogRecords": "3", "errorMessage": "…" } } */
static int
json_answer(struct bytes body, struct answer *a)
{
	const char *message = "";
	json_t *root, *part, *rejected;
	int r = -1;

	root = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES,
	    NULL);
	if (!json_is_object(root))
		goto out;
	part = json_object_get(root, "partialSuccess");
	if (json_object_size(root) > 0 && part == NULL)
		goto out;
	r = 0;
	rejected = json_object_get(part, "rejectedLogRecords");
	if (json_is_integer(rejected) && json_integer_value(rejected) > 0)
		a->rejected = (uint64_t)json_integer_value(rejected);
	else if (json_is_string(rejected))
		a->rejected = strtoull(json_string_value(rejected), NULL, 10);
	if (json_is_string(json_object_get(part, "errorMessage")))
		message = json_string_value(json_object_get(part,
		    "errorMessage"));
	words_of(bytes_str(message), a->words, sizeof(a->words));
out:
	json_decref(root);
	return r;
}

static bool
is_otlp(const char *type, struct bytes body, struct answer *a)
{
	if (body.n == 0)
		return true;
	if (strncasecmp(type, "application/json", 16) == 0)
		return json_answer(body, a) == 0;
	if (*type != '\0' &&
	    strncasecmp(type, "application/x-protobuf", 22) != 0)
		return false;
	return otlp_answer(body, &a->rejected, a->words,
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
answer_read(int status, const char *type, struct bytes body,
    struct answer *ret_answer)
{
	struct answer a = { .verdict = ANSWER_RETRY };
	char kind[61];

	if (status >= 200 && status < 300) {
		if (is_otlp(type, body, &a)) {
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
		if (status >= 400 && status < 500)
			a.verdict = refusal(status);
	}
	*ret_answer = a;
}
