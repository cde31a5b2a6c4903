/* SPDX-License-Identifier: ISC */
/* seen.c - was this very request here a moment ago; see seen.h */

#include "http/seen.h"

#include <xxhash.h>

#include "base/must.h"

#include "banned.h"

struct seen_key
seen_key(const char *path, struct bytes body)
{
	XXH128_hash_t h;

	h = XXH3_128bits_withSeed(body.p, body.n, XXH3_64bits(path,
	    strlen(path)));
	return (struct seen_key){ h.low64, h.high64 };
}

bool
seen_same(struct seen_key a, struct seen_key b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

bool
seen_has(const struct seen *s, struct seen_key key, uint64_t now_ns,
    bool durable)
{
	size_t set = key.lo % SEEN_SETS, i;

	for (i = 0; i < SEEN_WAYS; i++)
		if (seen_same(s->way[set][i].key, key) &&
		    s->way[set][i].at_ns != 0 &&
		    now_ns - s->way[set][i].at_ns < SEEN_NS &&
		    (s->way[set][i].durable || !durable))
			return true;
	return false;
}

void
seen_add(struct seen *s, struct seen_key key, uint64_t now_ns, bool durable)
{
	size_t set = key.lo % SEEN_SETS, i, at = 0;

	must(now_ns != 0);
	for (i = 0; i < SEEN_WAYS; i++) {
		if (seen_same(s->way[set][i].key, key)) {
			at = i;
			break;
		}
		if (s->way[set][i].at_ns < s->way[set][at].at_ns)
			at = i;
	}
	s->way[set][at].key = key;
	s->way[set][at].at_ns = now_ns;
	s->way[set][at].durable = durable;
}
