/* SPDX-License-Identifier: ISC */
/* mp_scrub.c - a msgpack value without its secrets; see mp_scrub.h */

#include "http/mp_scrub.h"

#include <errno.h>

#include "base/must.h"
#include "http/scrub.h"

#include "banned.h"

struct level {			/* a container being copied */
	uint64_t	 left;		/* values to come; of a map keys too */
	bool		 map;
	bool		 secret;	/* all within it is */
	bool		 next_secret;	/* the value of this key is */
};

struct copy {
	struct mp	 m;
	struct mpw	*w;
	uint64_t	 redacted;
	unsigned	 depth;
	struct level	 level[MP_DEPTH_MAX + 2];
};

static int
open_level(struct copy *c, const struct mp_item *it, bool secret)
{
	bool map = it->type == MP_MAP;

	if (c->depth > MP_DEPTH_MAX)
		return -E2BIG;
	c->level[++c->depth] = (struct level){
		.left = map ? 2 * (uint64_t)it->count : it->count,
		.map = map, .secret = secret
	};
	return 0;
}

/* A text with what follows "Bearer" replaced; never longer than it was. */
static void
put_redacted(struct copy *c, struct bytes text, size_t from, size_t to)
{
	uint8_t *head = c->w->p;
	size_t at = 0, n;

	mpw_raw(c->w, BYTES("\xdb\0\0\0\0"));
	do {
		mpw_raw(c->w, bytes_of(text.p + at, from - at));
		if (to - from < sizeof(SCRUB_INSTEAD) - 1)
			mpw_raw(c->w, bytes_of("*********", to - from));
		else
			mpw_raw(c->w, BYTES(SCRUB_INSTEAD));
		at = to;
		c->redacted++;
	} while (scrub_bearer(text, at, &from, &to));
	mpw_raw(c->w, bytes_of(text.p + at, text.n - at));
	if (c->w->full)
		return;
	n = (size_t)(c->w->p - head) - 5;
	must(n <= text.n);
	head[1] = (uint8_t)(n >> 24);
	head[2] = (uint8_t)(n >> 16);
	head[3] = (uint8_t)(n >> 8);
	head[4] = (uint8_t)n;
}

static void
put_text(struct copy *c, const struct mp_item *it, struct bytes whole,
    bool secret)
{
	size_t from, to;

	if (secret && it->s.n > 0) {
		mpw_str(c->w, BYTES(SCRUB_INSTEAD));
		c->redacted++;
	} else if (it->type == MP_STR &&
	    scrub_bearer(it->s, 0, &from, &to)) {
		put_redacted(c, it->s, from, to);
	} else {
		mpw_raw(c->w, whole);
	}
}

/* One item: a scalar, a text, or a container's header. */
static int
copy_item(struct copy *c)
{
	struct level *l = &c->level[c->depth];
	bool key = l->map && l->left % 2 == 0;
	bool secret = l->map ? l->next_secret : l->secret;
	const uint8_t *from = c->m.p;
	struct mp_item it;
	struct bytes whole;
	bool text;
	int r;

	r = mp_next(&c->m, &it);
	if (r < 0)
		return r;
	l->left--;
	whole = bytes_of(from, (size_t)(c->m.p - from));
	text = it.type == MP_STR || it.type == MP_BIN;
	if (key) {
		/* what lies within a secret is secret too */
		l->next_secret = l->secret ||
		    (text && scrub_key_is_secret(it.s));
		secret = l->secret;
	}
	if (text && !key) {
		put_text(c, &it, whole, secret);
		return 0;
	}
	mpw_raw(c->w, whole);
	if (it.type == MP_ARRAY || it.type == MP_MAP)
		return open_level(c, &it, secret);
	return 0;
}

int
mp_scrub(struct bytes value, struct mpw *w, uint64_t *ret_redacted)
{
	struct copy c = { .m = mp_of(value), .w = w };
	int r = 0;

	c.level[0] = (struct level){ .left = 1 };
	while (r == 0) {
		while (c.depth > 0 && c.level[c.depth].left == 0)
			c.depth--;
		if (c.level[c.depth].left == 0)
			break;
		r = copy_item(&c);
	}
	*ret_redacted = c.redacted;
	return r;
}
