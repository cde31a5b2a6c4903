/* SPDX-License-Identifier: ISC */
/* frame.c - the bytes of one frame; the byte table is in frame.h */

#include "queue/frame.h"

#include <errno.h>
#include <xxhash.h>

#include "base/must.h"
#include "base/planted.h"

#include "banned.h"

#define AT_MAGIC	8
#define AT_VERSION	12
#define AT_KIND		13
#define AT_SIGNAL	14
#define AT_ENCODING	15
#define AT_FLAGS	16
#define AT_IDENTITY	18
#define AT_BODY		20
#define AT_RECORDS	24
#define AT_ZERO		28
#define AT_GENERATION	32
#define AT_SEQ		40
#define AT_STREAM	48
#define AT_FROM		64
#define AT_TO		72
#define AT_TAKEN	80
#define AT_AT		88

static size_t
round8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

size_t
frame_size(size_t identity_len, size_t body_len)
{
	return round8(FRAME_HEAD + identity_len + body_len);
}

uint8_t *
frame_put(uint8_t *p, const struct frame *f)
{
	size_t end = FRAME_HEAD + f->identity.n + f->body.n;

	must(f->identity.n <= IDENTITY_MAX);
	must(f->body.n <= FRAME_LEDGER_MAX);
	memset(p, 0, FRAME_HEAD);
	le32_put(p + AT_MAGIC, FRAME_MAGIC);
	p[AT_VERSION] = FRAME_VERSION;
	p[AT_KIND] = f->kind;
	p[AT_SIGNAL] = f->signal;
	p[AT_ENCODING] = f->encoding;
	le16_put(p + AT_FLAGS, f->flags);
	le16_put(p + AT_IDENTITY, (uint16_t)f->identity.n);
	le32_put(p + AT_BODY, (uint32_t)f->body.n);
	le32_put(p + AT_RECORDS, f->records);
	le64_put(p + AT_SEQ, f->seq);
	memcpy(p + AT_STREAM, f->stream, STREAM_ID_LEN);
	le64_put(p + AT_FROM, f->from);
	le64_put(p + AT_TO, f->to);
	le64_put(p + AT_TAKEN, f->taken_ns);
	if (f->identity.n > 0)
		memcpy(p + FRAME_HEAD, f->identity.p, f->identity.n);
	memset(p + end, 0, round8(end) - end);
	return p + FRAME_HEAD + f->identity.n;
}

static size_t
stored_size(const uint8_t *p)
{
	return frame_size(le16_get(p + AT_IDENTITY), le32_get(p + AT_BODY));
}

void
frame_seal(uint8_t *p, uint64_t generation, uint64_t at)
{
	le64_put(p + AT_GENERATION, generation);
	le64_put(p + AT_AT, at);
	le64_put(p, XXH3_64bits(p + 8, stored_size(p) - 8));
}

static bool
data_is_sane(const struct frame *f)
{
	return f->signal <= SIGNAL_TRACES && f->encoding <= ENC_OTLP &&
	    f->body.n <= FRAME_BODY_MAX && f->from <= f->to &&
	    f->to - f->from == f->body.n;
}

static bool
ledger_is_sane(const struct frame *f)
{
	return f->signal == 0 && f->encoding == 0 && f->flags == 0 &&
	    f->records == 0 && f->identity.n == 0 && f->to == 0 &&
	    f->body.n <= FRAME_LEDGER_MAX;
}

static bool
is_sane(const struct frame *f)
{
	if (f->identity.n > IDENTITY_MAX || f->at % 8 != 0)
		return false;
	switch (f->kind) {
	case FRAME_DATA:
		return data_is_sane(f);
	case FRAME_COMMIT:
	case FRAME_CHECKPOINT:
		return ledger_is_sane(f);
	default:
		return false;
	}
}

int
frame_peek(const uint8_t *p, size_t n, struct frame *ret_f)
{
	struct frame f;

	if (n < FRAME_HEAD)
		return -EAGAIN;
	if (le32_get(p + AT_MAGIC) != FRAME_MAGIC ||
	    p[AT_VERSION] != FRAME_VERSION || le32_get(p + AT_ZERO) != 0)
		return -EBADMSG;
	f = (struct frame){
		.kind = p[AT_KIND], .signal = p[AT_SIGNAL],
		.encoding = p[AT_ENCODING], .flags = le16_get(p + AT_FLAGS),
		.records = le32_get(p + AT_RECORDS),
		.generation = le64_get(p + AT_GENERATION),
		.seq = le64_get(p + AT_SEQ), .from = le64_get(p + AT_FROM),
		.to = le64_get(p + AT_TO), .taken_ns = le64_get(p + AT_TAKEN),
		.at = le64_get(p + AT_AT), .size = stored_size(p),
	};
	memcpy(f.stream, p + AT_STREAM, STREAM_ID_LEN);
	f.identity = bytes_of(p + FRAME_HEAD, le16_get(p + AT_IDENTITY));
	f.body = bytes_of(p + FRAME_HEAD + f.identity.n, le32_get(p + AT_BODY));
	if (!is_sane(&f))
		return -EBADMSG;
	*ret_f = f;
	return 0;
}

int
frame_version(const uint8_t *p, size_t n)
{
	if (n <= AT_VERSION || le32_get(p + AT_MAGIC) != FRAME_MAGIC)
		return -EBADMSG;
	return p[AT_VERSION];
}

int
frame_get(const uint8_t *p, size_t n, struct frame *ret_f)
{
	struct frame f;
	int r;

	r = frame_peek(p, n, &f);
	if (r < 0)
		return r;
	if (n < f.size)
		return -EAGAIN;
	if (XXH3_64bits(p + 8, f.size - 8) != le64_get(p) &&
	    !PLANTED(read_past_torn_frame))
		return -EBADMSG;
	*ret_f = f;
	return 0;
}
