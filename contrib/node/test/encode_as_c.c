/* SPDX-License-Identifier: ISC */
/*
 * encode_as_c.c - records as shm/encode.c writes them, for encode.test.js
 *
 * Standard input: frames of u32 length and a value tree, little endian; a
 * frame is u32 limit, u8 level, the message and u16 pairs, each a key and a
 * value:
 *
 *   S u32 bytes   I i64   U u64   D f64   T  F  N   B u32 bytes
 *   M u16 (S key, value)...   A u16 value...
 *
 * Standard output: per frame u32 length and the record; 0: over the limit.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/encode.h"

struct in {
	const uint8_t *p, *end;
};

static void
get(struct in *in, void *dst, size_t n)
{
	if ((size_t)(in->end - in->p) < n)
		abort();
	memcpy(dst, in->p, n);
	in->p += n;
}

static uint32_t
get32(struct in *in)
{
	uint32_t v;

	get(in, &v, 4);
	return v;
}

static const char *
get_text(struct in *in, size_t *ret_n)
{
	const char *s;

	*ret_n = get32(in);
	s = (const char *)in->p;
	if ((size_t)(in->end - in->p) < *ret_n)
		abort();
	in->p += *ret_n;
	return s;
}

static struct emplog_field *get_fields(struct in *in, bool keys,
    size_t *ret_n);

static void
get_value(struct in *in, struct emplog_field *f)
{
	uint8_t tag;

	get(in, &tag, 1);
	switch (tag) {
	case 'S':
		f->type = EMPLOG_T_STR;
		f->v.s = get_text(in, &f->len);
		break;
	case 'B':
		f->type = EMPLOG_T_BYTES;
		f->v.p = get_text(in, &f->len);
		break;
	case 'I':
		f->type = EMPLOG_T_INT;
		get(in, &f->v.i, 8);
		break;
	case 'U':
		f->type = EMPLOG_T_UINT;
		get(in, &f->v.u, 8);
		break;
	case 'D':
		f->type = EMPLOG_T_DOUBLE;
		get(in, &f->v.d, 8);
		break;
	case 'T':
	case 'F':
		f->type = EMPLOG_T_BOOL;
		f->v.u = tag == 'T';
		break;
	case 'N':
		f->type = EMPLOG_T_NULL;
		break;
	case 'M':
	case 'A':
		f->type = tag == 'M' ? EMPLOG_T_MAP : EMPLOG_T_ARRAY;
		f->v.f = get_fields(in, tag == 'M', &f->len);
		break;
	default:
		abort();
	}
}

static struct emplog_field *
get_fields(struct in *in, bool keys, size_t *ret_n)
{
	struct emplog_field *f;
	uint16_t n;
	size_t i, len;

	get(in, &n, 2);
	f = calloc(n + 1u, sizeof(*f));
	if (f == NULL)
		abort();
	for (i = 0; i < n; i++) {
		if (keys) {
			f[i].key = get_text(in, &len);
			f[i].key_len = (uint32_t)len;
		}
		get_value(in, &f[i]);
	}
	*ret_n = n;
	return f;
}

static void
one(struct in *in)
{
	struct encode_in rec = { .wall_ns = 0 };
	struct text_notes notes = { 0 };
	uint32_t limit = get32(in), n = 0;
	uint64_t worst;
	uint8_t level, *buf = NULL;
	size_t cap;

	get(in, &level, 1);
	rec.level = level;
	rec.message = get_text(in, &rec.message_len);
	rec.fields = get_fields(in, true, &rec.n);
	worst = encode_worst(&rec, limit, &cap);
	if (worst <= limit) {
		buf = malloc(worst);
		if (buf == NULL)
			abort();
		n = (uint32_t)(encode_put(buf, &rec, cap, &notes) - buf);
	}
	fwrite(&n, 4, 1, stdout);
	if (n > 0)
		fwrite(buf, 1, n, stdout);
	free(buf);
}

int
main(void)
{
	uint32_t n;

	while (fread(&n, 4, 1, stdin) == 1) {
		uint8_t *b = malloc(n + 1u);
		struct in in = { b, b + n };

		if (b == NULL || fread(b, 1, n, stdin) != n)
			return 1;
		one(&in);
		/* the fields are small and the process short */
	}
	return 0;
}
