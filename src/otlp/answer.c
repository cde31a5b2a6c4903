/* SPDX-License-Identifier: ISC */
/* answer.c - ExportLogsServiceResponse; the contract is in otlp.h */

#include <errno.h>

#include "base/must.h"
#include "otlp/otlp.h"
#include "otlp/text.h"

#include "banned.h"

enum wire { W_VARINT = 0, W_I64 = 1, W_LEN = 2, W_I32 = 5 };

struct field {
	uint64_t	 number;
	unsigned	 wire;
	uint64_t	 v;		/* W_VARINT */
	struct bytes	 b;		/* W_LEN */
};

static int
take_varint(struct bytes *in, uint64_t *ret)
{
	uint64_t v = 0;
	unsigned i;

	for (i = 0; i < 10 && i < in->n; i++) {
		v |= (uint64_t)(in->p[i] & 0x7f) << (7 * i);
		if (in->p[i] >= 0x80)
			continue;
		if (i == 9 && in->p[i] > 1)
			return -EBADMSG;
		in->p += i + 1;
		in->n -= i + 1;
		*ret = v;
		return 0;
	}
	return -EBADMSG;
}

/* cut: the end of in is not the end of what was sent. */
static int
take_bytes(struct bytes *in, uint64_t n, bool cut, struct bytes *ret)
{
	if (n > in->n && cut)
		n = in->n;
	if (n > in->n)
		return -EBADMSG;
	*ret = bytes_of(in->p, (size_t)n);
	in->p += n;
	in->n -= (size_t)n;
	return 0;
}

static int
take_field(struct bytes *in, bool cut, struct field *f)
{
	uint64_t tag, n;

	if (take_varint(in, &tag) < 0 || tag >> 3 == 0 || tag > UINT32_MAX)
		return -EBADMSG;
	f->number = tag >> 3;
	f->wire = tag & 7;
	switch (f->wire) {
	case W_VARINT: return take_varint(in, &f->v);
	case W_I64: return take_bytes(in, 8, cut, &f->b);
	case W_I32: return take_bytes(in, 4, cut, &f->b);
	case W_LEN:
		if (take_varint(in, &n) < 0)
			return -EBADMSG;
		return take_bytes(in, n, cut, &f->b);
	default: return -EBADMSG;	/* groups: no answer has one */
	}
}

/* For people: valid UTF-8 without control characters, cut to cap. */
static void
copy_message(struct bytes b, char *message, size_t cap)
{
	size_t i, n, out = 0;
	bool valid;

	for (i = 0; i < b.n; i += n) {
		n = text_step(b.p + i, b.n - i, &valid);
		if (out + (valid ? n : 1) > cap - 1)
			break;
		if (!valid || b.p[i] < 0x20 || b.p[i] == 0x7f) {
			message[out++] = '?';
		} else {
			memcpy(message + out, b.p + i, n);
			out += n;
		}
	}
	message[out] = 0;
}

/* ExportLogsPartialSuccess: 1 rejected_log_records, 2 error_message. */
static int
partial(struct bytes in, bool cut, uint64_t *rejected, struct bytes *message)
{
	struct field f;

	while (in.n > 0) {
		if (take_field(&in, cut, &f) < 0)
			return cut ? 0 : -EBADMSG;
		if (f.number == 1) {
			if (f.wire != W_VARINT || f.v > INT64_MAX)
				return -EBADMSG;
			*rejected = f.v;
		} else if (f.number == 2) {
			if (f.wire != W_LEN)
				return -EBADMSG;
			*message = f.b;
		}
	}
	return 0;
}

int
otlp_answer(struct bytes body, bool cut, uint64_t *ret_rejected,
    char *ret_message, size_t message_cap)
{
	struct bytes message = { NULL, 0 };
	uint64_t rejected = 0;
	struct field f;

	must(message_cap > 0);
	while (body.n > 0) {
		if (take_field(&body, cut, &f) < 0)
			return -EBADMSG;
		if (f.number != 1)
			continue;	/* of a later version */
		if (f.wire != W_LEN ||
		    partial(f.b, cut, &rejected, &message) < 0)
			return -EBADMSG;
	}
	copy_message(message, ret_message, message_cap);
	*ret_rejected = rejected;
	return 0;
}
