/* SPDX-License-Identifier: ISC */
/*
 * fuzz_json.c - any bytes to the JSON and msgpack readers (libFuzzer: clang)
 *
 * Claims: whatever the text, each entry written is one the walker accepts;
 * the reader ends, at the end of the text; less room changes nothing but
 * -ENOSPC; what came out can be written as JSON, and that read again gives
 * the same number of records.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/must.h"
#include "forward/walk.h"
#include "forward/mp.h"
#include "http/json.h"
#include "http/mpin.h"

#define OUT_CAP		(1u << 20)

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check_entry(const uint8_t *p, size_t n)
{
	struct walk w;

	walk_entries(bytes_of(p, n), JSON_RECORD_MAX, &w);
	must(w.error == 0);
	must(w.records == 1);
	must(w.good_bytes == n);
}

/* JSON of an entry's record, read again: one record, nothing bad. */
static void
check_again(const uint8_t *p, size_t n)
{
	struct mp m = mp_of(bytes_of(p, n));
	size_t cap = n * 8 + 64, len;
	struct json_in again;
	struct entry e;
	uint8_t *out;
	char *text;

	must(walk_entry(&m, &e) == 0);
	text = malloc(cap);
	out = malloc(OUT_CAP);
	must(text != NULL && out != NULL);
	must(json_out(e.record, text, cap, &len) == 0);
	json_in_init(&again, bytes_of(text, len), 1);
	must(json_in_next(&again, out, OUT_CAP) > 0 ||
	    again.counts.too_large == 1);
	must(again.counts.bad_json == 0);
	must(again.counts.bad_utf8 == 0);
	free(text);
	free(out);
}

static void
read_json(struct bytes text, uint8_t *out, size_t cap, bool deep)
{
	struct json_in j, before;
	int64_t r;

	json_in_init(&j, text, 1000000001);
	for (;;) {
		before = j;
		r = json_in_next(&j, out, cap);
		if (r == 0)
			break;
		if (r == -EAGAIN) {
			must(j.at > before.at);
			continue;
		}
		if (r == -ENOSPC) {
			must(cap < JSON_RECORD_MAX);
			r = json_in_next(&j, out, OUT_CAP);
			if (r <= 0)
				continue;
		}
		must(r > 0);
		must(j.at > before.at);
		must(j.counts.records == before.counts.records + 1);
		check_entry(out, (size_t)r);
		if (deep)
			check_again(out, (size_t)r);
	}
	must(j.at == text.n);
}

static void
read_msgpack(struct bytes body, uint8_t *out)
{
	struct mp_in m;
	size_t at;
	int64_t r;

	mp_in_init(&m, body, 1000000001);
	do {
		at = m.at;
		r = mp_in_next(&m, out, OUT_CAP);
		must(r >= 0 || r == -EAGAIN);
		must(r == 0 || m.at > at);
		if (r > 0)
			check_entry(out, (size_t)r);
	} while (r != 0);
	must(m.at == body.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t *out = malloc(OUT_CAP);

	must(out != NULL);
	read_json(bytes_of(p, n), out, OUT_CAP, true);
	read_json(bytes_of(p, n), out, 48, false);
	read_msgpack(bytes_of(p, n), out);
	free(out);
	return 0;
}
