/* SPDX-License-Identifier: ISC */
/*
 * otlp_make.c - records as JSON in, OTLP bodies out; for the tests
 *
 *   otlp_make <pb|json> <input.json >body
 *
 * The input: { "identity": {…}, "stream": "32 hex", "from": 0, "taken": ns,
 * "now": ns, "limits": "dash0"|"none", "names": "emp"|"otel", "window": ns,
 * "records": [ {…}, … ] }, or an array of such, one for each chunk.  A key
 * "$time" of a record is its EventTime in ns and no field; a value
 * {"$bin": "hex"} is a binary, {"$double": "nan"} what JSON has not.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"
#include "forward/mp.h"
#include "otlp/otlp.h"
#include "tests/pack_json.h"

#define BODY_MAX	(4u << 20)

static void
die(const char *what)
{
	fprintf(stderr, "otlp_make: %s\n", what);
	exit(2);
}

static bool
is(json_t *in, const char *key, const char *word)
{
	const char *s = json_string_value(json_object_get(in, key));

	return s != NULL && strcmp(s, word) == 0;
}

static uint64_t
number(json_t *in, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(in, key));
}

static void
add(struct otlp_batch *b, json_t *in)
{
	static uint8_t body[BODY_MAX];
	uint8_t identity[IDENTITY_MAX];
	json_t *records = json_object_get(in, "records"), *r;
	json_t *id = json_object_get(in, "identity");
	struct mpw w = { body, body + sizeof(body), false };
	struct mpw iw = { identity, identity + sizeof(identity), false };
	struct chunk c = { .from = number(in, "from") };
	const char *stream = json_string_value(json_object_get(in, "stream"));
	size_t i;

	json_array_foreach(records, i, r) {
		mpw_array(&w, 2);
		mpw_event_time(&w, number(r, "$time"));
		pack_json(&w, r);
	}
	if (id != NULL)
		pack_json(&iw, id);
	if (w.full || iw.full)
		die("too much");
	if (stream != NULL)
		unhex_json(stream, c.stream, sizeof(c.stream));
	c.taken_ns = number(in, "taken");
	c.identity = bytes_of(identity, (size_t)(iw.p - identity));
	c.body[0] = bytes_of(body, (size_t)(w.p - body));
	c.to = c.from + c.body[0].n;
	if (otlp_batch_add(b, &c, 0, UINT32_MAX, number(in, "now")) != 0)
		die("does not fit");
}

int
main(int argc, char **argv)
{
	struct otlp_conf conf = { .norm.service_namespace = "emp" };
	struct otlp_batch *b;
	struct bytes out;
	struct env env;
	json_error_t error;
	json_t *in, *one;
	size_t i;

	if (argc != 2)
		die("usage: otlp_make pb|json <input >body");
	in = json_loadf(stdin, 0, &error);
	if (in == NULL)
		die(error.text);
	one = json_is_array(in) ? json_array_get(in, 0) : in;
	conf.format = strcmp(argv[1], "json") == 0 ? OTLP_JSON : OTLP_PROTOBUF;
	conf.limits = is(one, "limits", "none") ? OTLP_NONE : OTLP_DASH0;
	conf.norm.names = is(one, "names", "otel") ? NAMES_OTEL : NAMES_EMP;
	conf.window_ns = number(one, "window");
	env_init(&env, NULL, "test");
	if (otlp_batch_new(&b, &env, &conf, 4 * BODY_MAX) != 0)
		die("no memory");
	if (json_is_array(in))
		json_array_foreach(in, i, one)
			add(b, one);
	else
		add(b, in);
	out = otlp_batch_finish(b);
	if (fwrite(out.p, 1, out.n, stdout) != out.n)
		die("cannot write");
	otlp_batch_free(&b);
	env_fini(&env);
	json_decref(in);
	return 0;
}
