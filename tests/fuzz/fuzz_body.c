/* SPDX-License-Identifier: ISC */
/*
 * fuzz_body.c - any bytes as the body of a request (libFuzzer: clang)
 *
 * What:     the way of a body that came by HTTP: its encoding undone, then
 *           read by its type.  The first two bytes choose both.
 * Claims: a body is refused within its bounds, or each entry written is one
 * the walker accepts and the reader ends; a place that was kept reads the
 * same once more.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/must.h"
#include "forward/walk.h"
#include "http/body.h"
#include "http/decode.h"

#define OUT_CAP		(1u << 20)
#define BODY_MAX	(1u << 20)

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char *const encoding[] = { "", "gzip", "deflate", "zstd",
    "identity", "br" };
static const char *const type[] = { NULL, "application/json",
    "application/msgpack", "application/x-www-form-urlencoded",
    "application/x-ndjson", "text/plain" };

#define PICK(table, at)	((table)[(at) % (sizeof(table) / sizeof((table)[0]))])

static void
check_entry(const uint8_t *p, size_t n)
{
	struct walk w;

	walk_entries(bytes_of(p, n), JSON_RECORD_MAX, &w);
	must(w.error == 0);
	must(w.records == 1);
	must(w.good_bytes == n);
}

static void
read_all(struct body *b, size_t len, uint8_t *out)
{
	struct body before;
	uint8_t *again = malloc(OUT_CAP);
	size_t at;
	int64_t r;
	unsigned n;

	must(again != NULL);
	for (n = 0;; n++) {
		before = *b;
		r = body_next(b, out, OUT_CAP);
		must(r >= 0 || r == -EAGAIN);
		if (r == 0)
			break;
		must(body_at(b) > body_at(&before));
		must(body_at(b) <= len);
		if (r < 0)
			continue;
		check_entry(out, (size_t)r);
		if (n >= 4)
			continue;
		at = body_at(b);
		must(body_next(&before, again, OUT_CAP) == r);
		must(memcmp(out, again, (size_t)r) == 0);
		must(body_at(&before) == at);
	}
	free(again);
}

static void
read_body(struct env *env, const char *content_type, struct bytes text)
{
	uint8_t *out = malloc(OUT_CAP);
	struct body b;
	const char *why;
	size_t at;
	int r;

	must(out != NULL);
	r = body_open(&b, env, content_type, text, 1000000001);
	must(r == 0 || r == -EBADMSG);
	if (r == 0) {
		read_all(&b, text.n, out);
		if (body_fault(&b, &at, &why))
			must(why != NULL);
		body_close(&b, env);
	}
	free(out);
}

/* As serve.c: the encoding undone, then the body read. */
static void
take(struct env *env, const char *coding, const char *content_type,
    struct bytes raw)
{
	uint8_t *plain = NULL;
	size_t len = 0;
	int r;

	if (!decode_needed(coding)) {
		read_body(env, content_type, raw);
		return;
	}
	r = decode_body(env, coding, raw, BODY_MAX, &plain, &len);
	must(r == 0 || r == -ENOTSUP || r == -EBADMSG || r == -EFBIG);
	if (r < 0)
		return;
	must(len <= BODY_MAX);
	read_body(env, content_type, bytes_of(plain, len));
	env_free(env, plain);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct env env;

	if (n < 2 || n > 65536)
		return 0;
	env_init(&env, NULL, "fuzz");
	take(&env, PICK(encoding, p[0]), PICK(type, p[1]),
	    bytes_of(p + 2, n - 2));
	env_fini(&env);
	return 0;
}
