/* SPDX-License-Identifier: ISC */
/*
 * fuzz_otlp.c - what the walker accepts becomes a request, or a refusal
 *
 * Input: options, a byte that sizes the buffer, the length of the identity,
 * then identity and body.  Claims: never a crash, never more than the cap; a
 * refused call leaves nothing behind; protobuf is made of the fields it may
 * have, ascending, and JSON is UTF-8 without control characters.  The same
 * bytes are also read as an answer.
 */
#include <errno.h>
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
	env_fini(&env);
	return 0;
}
