/* SPDX-License-Identifier: ISC */
/* whoami.c - a lane's identity and the machine's, one map; see inner.h */

#include "drain/inner.h"

#include <errno.h>

#include "base/must.h"
#include "forward/mp.h"
#include "banned.h"

/* A map of strings to strings and nothing behind it? */
static int
strings_only(struct bytes map, uint32_t *ret_pairs, struct bytes *ret_body)
{
	struct mp m = mp_of(map);
	struct bytes s, body;
	uint32_t i, pairs;
	int r;

	r = mp_map(&m, &pairs);
	if (r < 0)
		return r;
	body = bytes_of(m.p, (size_t)(m.end - m.p));
	for (i = 0; i < 2 * pairs; i++) {
		r = mp_str(&m, &s);
		if (r < 0)
			return r;
	}
	if (m.p != m.end)
		return -EBADMSG;
	*ret_pairs = pairs;
	*ret_body = body;
	return 0;
}

static bool
has_key(struct bytes map, struct bytes key)
{
	char text[64];
	struct mp at;

	if (key.n >= sizeof(text))
		return false;
	memcpy(text, key.p, key.n);
	text[key.n] = '\0';
	return mp_find(mp_of(map), text, &at) == 0;
}

/* Pairs of more that map has not, as bytes in w.  Returns how many. */
static uint32_t
missing_pairs(struct bytes map, struct bytes more, struct mpw *w)
{
	struct mp m = mp_of(more);
	struct bytes key, value;
	uint32_t pairs, i, n = 0;

	if (more.n == 0 || mp_map(&m, &pairs) < 0)
		return 0;
	for (i = 0; i < pairs; i++) {
		if (mp_str(&m, &key) < 0 || mp_str(&m, &value) < 0)
			break;
		if (has_key(map, key))
			continue;
		mpw_str(w, key);
		mpw_str(w, value);
		n++;
	}
	return w->full ? 0 : n;
}

void
whoami_merge(struct drain *d, struct reader *r)
{
	uint8_t add[IDENTITY_MAX], out[IDENTITY_MAX];
	struct bytes map = bytes_of(r->identity, r->identity_len);
	struct mpw w = { add, add + sizeof(add), false };
	struct mpw all = { out, out + sizeof(out), false };
	struct bytes body = { NULL, 0 };
	uint32_t pairs = 0, more;

	if (map.n > 0 && strings_only(map, &pairs, &body) < 0) {
		map = body = (struct bytes){ NULL, 0 };
		pairs = 0;
		ctr_add(&d->env->ctr, CTR_lane_bad, 1);
	}
	if (map.n == 0)
		map = BYTES("\x80");
	more = missing_pairs(map, d->conf.identity, &w);
	mpw_map(&all, pairs + more);
	mpw_raw(&all, body);
	mpw_raw(&all, bytes_of(add, more > 0 ? (size_t)(w.p - add) : 0));
	if (all.full)		/* too long together: the lane's own word */
		return;
	r->identity_len = (uint32_t)(all.p - out);
	memcpy(r->identity, out, r->identity_len);
}
