/* SPDX-License-Identifier: ISC */
/* edge_body.c - which messages make a body; see edge_in.h */

#include <errno.h>
#include <libdeflate.h>
#include <string.h>

#include "base/must.h"
#include "hop/edge_in.h"
#include "hop/wire.h"

#include "banned.h"

#define IN_FIRST	(64u << 10)
#define COPY_MAX	(32u << 10)	/* a body this short is copied out */
#define PACK_LEVEL	1
#define PACK_MIN	1024u		/* less is not worth it */

int
edge_room(struct edge *e)
{
	size_t cap = e->in_cap == 0 ? IN_FIRST : 2 * e->in_cap;
	uint8_t *in;

	if (e->in_len < e->in_cap)
		return 0;
	if (e->gather.bytes > 0 && e->in_cap >= EDGE_BODY)
		return -ENOBUFS;
	if (cap > EDGE_BODY)
		cap = EDGE_BODY;
	if (e->in_cap >= EDGE_BODY)	/* one message is longer */
		cap = e->scan.need;
	must(cap > e->in_cap);
	in = env_alloc(e->env, cap);
	if (in == NULL)
		return -ENOMEM;
	if (e->in_len > 0)
		memcpy(in, e->in, e->in_len);
	env_free(e->env, e->in);
	e->in = in;
	e->in_cap = cap;
	return 0;
}

static bool
has_stream(const struct gather *g, const uint8_t stream[STREAM_ID_LEN])
{
	unsigned i;

	for (i = 0; i < g->streams; i++)
		if (memcmp(g->stream[i], stream, STREAM_ID_LEN) == 0)
			return true;
	return false;
}

static bool
is_full(const struct gather *g)
{
	return g->full || g->messages == EDGE_MESSAGES ||
	    g->streams == EDGE_STREAMS;
}

static int
gather_one(struct edge *e, const struct message *m)
{
	struct gather *g = &e->gather;
	struct wire w = { .from = 0 };
	int r = 0;

	if (m->emplog.n > 0)
		r = wire_read(m->emplog, &w);
	message_scan_init(&e->scan, EDGE_MESSAGE_MAX);
	if (r < 0)
		return r;
	g->full = g->messages > 0 && g->bytes + m->bytes > e->body_max;
	if (g->full)
		return 0;		/* it begins the next one */
	if (!stream_is_none(w.stream) && !has_stream(g, w.stream))
		memcpy(g->stream[g->streams++], w.stream, STREAM_ID_LEN);
	g->bytes += m->bytes;
	g->messages++;
	g->asked += m->chunk.n > 0;
	return 0;
}

int
edge_gather(struct edge *e)
{
	struct gather *g = &e->gather;
	struct message m;
	int r = 0;

	while (r == 0 && e->in_len > g->bytes && !is_full(g)) {
		r = message_scan(&e->scan, bytes_of(e->in + g->bytes,
		    e->in_len - g->bytes), &m);
		if (r == 0)
			r = gather_one(e, &m);
	}
	return r == -EAGAIN ? 0 : r;
}

bool
edge_must_wait(const struct edge *e)
{
	unsigned i, s;

	for (i = 0; i < EDGE_LETTERS; i++)
		for (s = 0; s < e->gather.streams; s++)
			if (e->letter[i].used &&
			    has_stream(&e->letter[i].what,
			    e->gather.stream[s]))
				return true;
	return false;
}

/* Packed, for an edge that found it too large.  -ENOMEM: as it is. */
static int
pack(struct edge *e, struct letter *l)
{
	size_t n = e->gather.bytes, cap;

	if (e->packer == NULL)
		e->packer = libdeflate_alloc_compressor(PACK_LEVEL);
	if (e->packer == NULL)
		return -ENOMEM;
	cap = libdeflate_gzip_compress_bound(e->packer, n);
	l->body = env_alloc(e->env, cap);
	if (l->body == NULL)
		return -ENOMEM;
	l->len = libdeflate_gzip_compress(e->packer, e->in, n, l->body, cap);
	must(l->len > 0);
	l->packed = true;
	return 0;
}

static int
copy_out(struct edge *e, struct letter *l)
{
	l->len = e->gather.bytes;
	l->body = env_alloc(e->env, l->len);
	if (l->body == NULL)
		return -ENOMEM;
	memcpy(l->body, e->in, l->len);
	return 0;
}

/* The body keeps the input's memory, what is behind it moves. */
static int
swap_out(struct edge *e, struct letter *l)
{
	size_t n = e->gather.bytes, rest = e->in_len - n;
	size_t cap = rest > IN_FIRST ? rest : IN_FIRST;
	uint8_t *in;

	in = env_alloc(e->env, cap);
	if (in == NULL)
		return -ENOMEM;
	memcpy(in, e->in + n, rest);
	l->len = n;
	l->body = e->in;
	e->in = in;
	e->in_cap = cap;
	return 0;
}

int
edge_take_body(struct edge *e, struct letter *l)
{
	size_t n = e->gather.bytes, rest = e->in_len - n;
	bool moves = true;
	int r = -ENOMEM;

	l->packed = false;
	if (e->packs && n >= PACK_MIN)
		r = pack(e, l);
	if (r < 0) {
		moves = n <= COPY_MAX;
		r = moves ? copy_out(e, l) : swap_out(e, l);
	}
	if (r < 0)
		return r;
	if (moves)
		memmove(e->in, e->in + n, rest);
	e->in_len = rest;
	l->what = e->gather;
	e->gather = (struct gather){ 0 };
	return 0;
}

bool
edge_shrink(struct edge *e)
{
	bool more = !e->packs || e->body_max > EDGE_MAKES_MIN;

	e->packs = true;
	if (e->body_max > EDGE_MAKES_MIN)
		e->body_max /= 2;
	return more;
}
