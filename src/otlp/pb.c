/* SPDX-License-Identifier: ISC */
/* pb.c - protobuf's wire format; the contract is in pb.h */

#include "otlp/pb.h"

#include "base/must.h"

#include "banned.h"

void
pb_varint(struct pb *w, uint8_t tag, uint64_t v)
{
	uint8_t *p = pb_room(w, 1 + pb_varint_len(v));

	if (p == NULL)
		return;
	*p++ = tag;
	pb_varint_put(p, v);
}

void
pb_fixed64(struct pb *w, uint8_t tag, uint64_t v)
{
	uint8_t *p = pb_room(w, 9);

	if (p == NULL)
		return;
	*p = tag;
	le64_put(p + 1, v);
}

void
pb_fixed32(struct pb *w, uint8_t tag, uint32_t v)
{
	uint8_t *p = pb_room(w, 5);

	if (p == NULL)
		return;
	*p = tag;
	le32_put(p + 1, v);
}

/* A NaN is written as the one quiet NaN, whatever its payload was. */
void
pb_double(struct pb *w, uint8_t tag, double d)
{
	uint64_t v;

	memcpy(&v, &d, sizeof(v));
	pb_fixed64(w, tag, d != d ? UINT64_C(0x7ff8000000000000) : v);
}

void
pb_bytes(struct pb *w, uint8_t tag, struct bytes b)
{
	uint8_t *p = pb_room(w, 1 + pb_varint_len(b.n) + b.n);

	if (p == NULL)
		return;
	*p++ = tag;
	p = pb_varint_put(p, b.n);
	if (b.n > 0)
		memcpy(p, b.p, b.n);
}

void
pb_text(struct pb *w, uint8_t tag, const struct text *t)
{
	struct pb_mark mark;
	size_t n, i;
	bool valid;
	uint8_t *p;

	if (!t->bad) {
		pb_bytes(w, tag, t->b);
		return;
	}
	mark = pb_open(w, tag, t->b.n);
	for (i = 0; i < t->b.n; i += n) {
		n = text_step(t->b.p + i, t->b.n - i, &valid);
		p = pb_room(w, valid ? n : 3);
		if (p != NULL)
			memcpy(p, valid ? t->b.p + i :
			    (const uint8_t *)"\xef\xbf\xbd", valid ? n : 3);
	}
	pb_close(w, mark);
}

struct pb_mark
pb_open(struct pb *w, uint8_t tag, size_t guess)
{
	struct pb_mark mark = { NULL, (uint8_t)pb_varint_len(guess) };
	uint8_t *p = pb_room(w, 1u + mark.width);

	if (p == NULL)
		return mark;
	*p = tag;
	mark.body = p + 1 + mark.width;
	return mark;
}

void
pb_close(struct pb *w, struct pb_mark mark)
{
	size_t n, width;
	uint8_t *body;

	if (w->full)
		return;
	must(mark.body != NULL && mark.body <= w->p);
	n = (size_t)(w->p - mark.body);
	width = pb_varint_len(n);
	body = mark.body - mark.width + width;
	if (body != mark.body) {
		if (body > mark.body && pb_room(w, width - mark.width) == NULL)
			return;
		memmove(body, mark.body, n);
		w->p = body + n;
	}
	pb_varint_put(mark.body - mark.width, n);
}
