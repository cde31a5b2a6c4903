/* SPDX-License-Identifier: ISC */
/*
 * fuzz_otlp.c - what the walker accepts becomes a request, or a refusal
 *
 * Input: options, a byte that sizes the buffer, the length of the identity,
 * then identity and body.  Claims: never a crash, never more than the cap; a
 * refused call leaves nothing behind; protobuf is made of the fields it may
 * have, ascending, and JSON is UTF-8 without control characters.  The same
 * records written in both ways say the same to two readers that are not ours
 * to write with: the one below for protobuf, jansson for JSON.  The same
 * bytes are also read as an answer.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "otlp/otlp.h"
#include "otlp/text.h"

#define NOW	UINT64_C(1754920945000000000)
#define check(x) do { if (!(x)) abort(); } while (0)

int	 LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t
varint(struct bytes *b)
{
	uint64_t v = 0;
	unsigned i;

	for (i = 0; i < 10; i++) {
		check(b->n > 0);
		v |= (uint64_t)(b->p[0] & 0x7f) << 7 * i;
		b->p++;
		b->n--;
		if (b->p[-1] < 0x80) {
			check(i == 0 || b->p[-1] != 0);	/* the shortest */
			return v;
		}
	}
	abort();
}

static struct bytes
take(struct bytes *b, uint64_t n)
{
	struct bytes part = { b->p, (size_t)n };

	check(n <= b->n);
	b->p += n;
	b->n -= (size_t)n;
	return part;
}

/* A field of the wanted tags, ascending; its content when it has a length. */
static uint8_t
field(struct bytes *b, const char *tags, uint8_t *last, struct bytes *ret)
{
	uint8_t tag = take(b, 1).p[0];

	check(tag != 0 && strchr(tags, tag) != NULL && tag >> 3 >= *last >> 3);
	*last = tag;
	*ret = (struct bytes){ NULL, 0 };
	switch (tag & 7) {
	case 0: (void)varint(b); break;
	case 1: (void)take(b, 8); break;
	case 2: *ret = take(b, varint(b)); break;
	case 5: (void)take(b, 4); break;
	}
	return tag;
}

static void
check_record(struct bytes b)
{
	struct bytes part;
	uint8_t last = 0;

	while (b.n > 0)
		field(&b, "\x09\x10\x1a\x2a\x32\x38\x45\x4a\x52\x59\x62", &last,
		    &part);
}

static void
check_pb(struct bytes b)
{
	uint8_t top = 0, rl, sl;
	struct bytes resource, scope, record;

	while (b.n > 0) {
		field(&b, "\x0a", &top, &resource);
		for (rl = 0; resource.n > 0;) {
			if (field(&resource, "\x0a\x12", &rl, &scope) != 0x12)
				continue;
			for (sl = 0; scope.n > 0;)
				if (field(&scope, "\x0a\x12", &sl, &record) ==
				    0x12)
					check_record(record);
		}
	}
}

static void
check_json(struct bytes b)
{
	struct text t;
	size_t i;

	text_fit(b, SIZE_MAX, SIZE_MAX, &t);
	check(!t.bad);
	for (i = 0; i < b.n; i++)
		check(b.p[i] >= 0x20);
	check(b.n > 2 && b.p[0] == '{' && b.p[b.n - 1] == '}');
}

/* ---- what a record says, read back ---- */

#define SAID_MAX	64

struct said {
	uint64_t	 time_ns, severity;
	size_t		 attributes;
	struct bytes	 body, event;	/* text; none: NULL */
};

static uint64_t
fixed64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The text of an AnyValue, if it is one. */
static struct bytes
any_text(struct bytes any)
{
	struct bytes none = { NULL, 0 };

	if (any.n == 0 || take(&any, 1).p[0] != 0x0a)
		return none;
	return take(&any, varint(&any));
}

static void
said_pb(struct bytes b, struct said *ret)
{
	struct bytes at, part;
	uint8_t last = 0, tag;

	*ret = (struct said){ 0 };
	while (b.n > 0) {
		at = b;
		tag = field(&b, "\x09\x10\x1a\x2a\x32\x38\x45\x4a\x52\x59\x62",
		    &last, &part);
		(void)take(&at, 1);
		switch (tag) {
		case 0x09: ret->time_ns = fixed64(at.p); break;
		case 0x10: ret->severity = varint(&at); break;
		case 0x2a: ret->body = any_text(part); break;
		case 0x32: ret->attributes++; break;
		case 0x62: ret->event = part; break;
		default: break;
		}
	}
}

static size_t
read_pb(struct bytes b, struct said *ret)
{
	struct bytes resource, scope, record;
	uint8_t top = 0, rl, sl;
	size_t n = 0;

	while (b.n > 0) {
		field(&b, "\x0a", &top, &resource);
		for (rl = 0; resource.n > 0;) {
			if (field(&resource, "\x0a\x12", &rl, &scope) != 0x12)
				continue;
			for (sl = 0; scope.n > 0;)
				if (field(&scope, "\x0a\x12", &sl, &record) ==
				    0x12 && n < SAID_MAX)
					said_pb(record, &ret[n++]);
		}
	}
	return n;
}

static struct bytes
json_text(const json_t *j)
{
	return bytes_of((const uint8_t *)json_string_value(j),
	    json_string_length(j));
}

static void
said_json(const json_t *j, struct said *ret)
{
	const char *time = json_string_value(json_object_get(j,
	    "timeUnixNano"));

	*ret = (struct said){
		.time_ns = time != NULL ? strtoull(time, NULL, 10) : 0,
		.severity = (uint64_t)json_integer_value(json_object_get(j,
		    "severityNumber")),
		.attributes = json_array_size(json_object_get(j,
		    "attributes")),
		.body = json_text(json_object_get(json_object_get(j, "body"),
		    "stringValue")),
		.event = json_text(json_object_get(j, "eventName")),
	};
}

static size_t
read_json(const json_t *all, struct said *ret)
{
	const json_t *resources, *scopes, *records;
	size_t i, k, m, n = 0;

	resources = json_object_get(all, "resourceLogs");
	for (i = 0; i < json_array_size(resources); i++) {
		scopes = json_object_get(json_array_get(resources, i),
		    "scopeLogs");
		for (k = 0; k < json_array_size(scopes); k++) {
			records = json_object_get(json_array_get(scopes, k),
			    "logRecords");
			for (m = 0; m < json_array_size(records); m++)
				if (n < SAID_MAX)
					said_json(json_array_get(records, m),
					    &ret[n++]);
		}
	}
	return n;
}

static struct otlp_batch *
written(struct env *env, struct otlp_conf conf, enum otlp_format format,
    const struct chunk *c, struct bytes *ret)
{
	struct otlp_batch *b = NULL;

	conf.format = format;
	*ret = (struct bytes){ NULL, 0 };
	check(otlp_batch_new(&b, env, &conf, 1 << 20) == 0);
	if (otlp_batch_add(b, c, 0, UINT32_MAX, NOW) == 0)
		*ret = otlp_batch_finish(b);
	return b;
}

static void
same_in_both(struct env *env, const struct otlp_conf *conf,
    const struct chunk *c)
{
	struct said pb[SAID_MAX], js[SAID_MAX];
	struct otlp_batch *one, *two;
	struct bytes a, b;
	json_error_t why;
	json_t *all;
	size_t i, n;

	one = written(env, *conf, OTLP_PROTOBUF, c, &a);
	two = written(env, *conf, OTLP_JSON, c, &b);
	if (a.n > 0 && b.n > 0) {
		all = json_loadb((const char *)b.p, b.n, JSON_ALLOW_NUL, &why);
		check(all != NULL);
		n = read_pb(a, pb);
		check(read_json(all, js) == n);
		for (i = 0; i < n; i++) {
			check(pb[i].time_ns == js[i].time_ns);
			check(pb[i].severity == js[i].severity);
			check(pb[i].attributes == js[i].attributes);
			check(bytes_eq(pb[i].body, js[i].body));
			check(bytes_eq(pb[i].event, js[i].event));
		}
		json_decref(all);
	}
	otlp_batch_free(&one);
	otlp_batch_free(&two);
}

static void
run(struct otlp_batch *b, const struct chunk *c, size_t cap, bool json)
{
	size_t before = otlp_batch_len(b);
	struct bytes out;
	int r;

	r = otlp_batch_add(b, c, 0, UINT32_MAX, NOW);
	check(r == 0 || (r == -EMSGSIZE && otlp_batch_len(b) == before));
	if (r == 0) {
		before = otlp_batch_len(b);
		r = otlp_batch_add(b, c, 1, 3, NOW);
		check(r == 0 || ((r == -ENOSPC || r == -EMSGSIZE) &&
		    otlp_batch_len(b) == before));
	}
	out = otlp_batch_finish(b);
	check(out.n <= cap);
	if (json)
		check_json(out);
	else
		check_pb(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct otlp_conf conf = { .norm.service_namespace = "emp" };
	struct chunk c = { .from = 77, .taken_ns = NOW };
	struct otlp_batch *b;
	struct walk walk;
	struct env env;
	uint64_t rejected;
	char message[32];
	size_t cap, id_n;

	(void)otlp_answer(bytes_of(data, n), n % 2 == 0, &rejected, message,
	    sizeof(message));
	if (n < 3)
		return 0;
	conf.format = data[0] & 1 ? OTLP_JSON : OTLP_PROTOBUF;
	conf.limits = data[0] & 2 ? OTLP_DASH0 : OTLP_NONE;
	conf.norm.names = data[0] & 4 ? NAMES_OTEL : NAMES_EMP;
	conf.window_ns = data[0] & 8 ? UINT64_C(21600000000000) : 0;
	memset(c.stream, data[0] >> 4, sizeof(c.stream));
	cap = 256 + (size_t)data[1] * 256;
	id_n = data[2] < n - 3 ? data[2] : n - 3;
	c.identity = bytes_of(data + 3, id_n);
	walk_entries(bytes_of(data + 3 + id_n, n - 3 - id_n),
	    RECORD_BYTES_MAX, &walk);
	c.body[0] = bytes_of(data + 3 + id_n, walk.good_bytes);
	c.to = c.from + walk.good_bytes;
	env_init(&env, NULL, "fuzz");
	if (otlp_batch_new(&b, &env, &conf, cap) == 0)
		run(b, &c, cap, conf.format == OTLP_JSON);
	otlp_batch_free(&b);
	if (c.to > c.from)
		same_in_both(&env, &conf, &c);
	env_fini(&env);
	return 0;
}
