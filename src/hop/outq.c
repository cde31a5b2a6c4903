/* SPDX-License-Identifier: ISC */
/* outq.c - chunks on their way over one connection; contract in outq.h */

#include "hop/outq.h"

#include <errno.h>

#include "base/must.h"
#include "banned.h"

#define FILL_BYTES	4096
#define PAGE		4096
#define SEND_BYTES	((size_t)1 << 20)	/* one loan, about */

enum { OUT_WAITS = 1, OUT_SENT, OUT_EARLY };	/* hop_chunk.state */

static const uint8_t filler[FILL_BYTES] = { [0 ... FILL_BYTES - 1] = 0xc1 };

void
outq_init(struct outq *q, const char *agent_id)
{
	*q = (struct outq){ .fill_from = SIZE_MAX, .agent_id = agent_id };
	q->lastp = &q->first;
}

void
outq_begin(struct outq *q)
{
	must(q->first == NULL);
	must(!q->flying);
	must(q->bytes == 0);
	must(q->chunks == 0);
	q->cur = NULL;
	q->cur_off = 0;
	q->fill_from = SIZE_MAX;
	q->careful = false;
	q->ctl_len = q->ctl_off = 0;
	q->ctl_ends = 0;
	q->early = 0;
}

void
outq_put(struct outq *q, struct hop_chunk *hc)
{
	hc->next = NULL;
	hc->state = OUT_WAITS;
	hc->sent_ns = 0;
	*q->lastp = hc;
	q->lastp = &hc->next;
	if (q->cur == NULL)
		q->cur = hc;
	q->chunks++;
	q->bytes += chunk_body_len(&hc->chunk);
}

void
outq_hello(struct outq *q)
{
	/* the end of a stream says as well who is here */
	if (q->ctl_len == 0 && q->ends == 0)
		q->ctl_len = wire_control(q->ctl, q->agent_id, NULL);
}

void
outq_end(struct outq *q, const uint8_t stream[STREAM_ID_LEN])
{
	if (q->ends == OUTQ_ENDS) {
		/* those already in ctl stand first */
		memmove(q->end[q->ctl_ends], q->end[q->ctl_ends + 1],
		    (OUTQ_ENDS - q->ctl_ends - 1) * STREAM_ID_LEN);
		q->ends--;
	}
	memcpy(q->end[q->ends++], stream, STREAM_ID_LEN);
}

static void
ctl_build(struct outq *q)
{
	while (q->ctl_ends < q->ends &&
	    sizeof(q->ctl) - q->ctl_len >= WIRE_CONTROL_MAX)
		q->ctl_len += wire_control(q->ctl + q->ctl_len, q->agent_id,
		    q->end[q->ctl_ends++]);
}

static void
ctl_sent(struct outq *q, size_t n)
{
	must(n <= q->ctl_len - q->ctl_off);
	q->ctl_off += n;
	if (q->ctl_off < q->ctl_len)
		return;
	q->ends -= q->ctl_ends;
	memmove(q->end[0], q->end[q->ctl_ends], q->ends * STREAM_ID_LEN);
	q->ctl_len = q->ctl_off = 0;
	q->ctl_ends = 0;
}

static size_t
message_len(const struct hop_chunk *hc)
{
	return hc->head_len + chunk_body_len(&hc->chunk) + hc->tail_len;
}

static struct iovec
vec(const uint8_t *p, size_t n)
{
	/* iovec has no const; send only reads */
	union { const uint8_t *in; void *out; } u = { .in = p };

	return (struct iovec){ u.out, n };
}

/* The memory that holds the message from off on, as far as it is one run. */
static struct iovec
piece(const struct outq *q, const struct hop_chunk *hc, size_t off)
{
	const struct bytes *body = hc->chunk.body;
	size_t len = chunk_body_len(&hc->chunk);

	if (off < hc->head_len)
		return vec(hc->head + off, hc->head_len - off);
	off -= hc->head_len;
	if (off >= len)
		return vec(hc->tail + (off - len), hc->tail_len - (off - len));
	if (hc == q->cur && off >= q->fill_from)
		return vec(filler, len - off < FILL_BYTES ? len - off :
		    FILL_BYTES);
	if (off < body[0].n)
		return vec(body[0].p + off, body[0].n - off);
	off -= body[0].n;
	return vec(body[1].p + off, body[1].n - off);
}

static size_t
to_page_end(struct iovec v)
{
	size_t left = PAGE - ((uintptr_t)v.iov_base & (PAGE - 1));

	return v.iov_len < left ? v.iov_len : left;
}

static unsigned
chunks_iov(struct outq *q, struct iovec *iov, unsigned max)
{
	const struct hop_chunk *hc = q->cur;
	size_t off = q->cur_off, bytes = 0;
	unsigned n = 0;

	while (hc != NULL && n < max && bytes < SEND_BYTES) {
		iov[n] = piece(q, hc, off);
		if (q->careful) {
			iov[n].iov_len = to_page_end(iov[n]);
			return 1;
		}
		off += iov[n].iov_len;
		bytes += iov[n++].iov_len;
		if (off == message_len(hc)) {
			hc = hc->next;
			off = 0;
		}
	}
	return n;
}

unsigned
outq_iov(struct outq *q, struct iovec *iov, unsigned max)
{
	unsigned n;

	must(!q->flying);
	must(max > 0);
	if (q->cur_off == 0 && q->ctl_off == 0)
		ctl_build(q);
	if (q->cur_off == 0 && q->ctl_len > 0) {
		iov[0] = vec(q->ctl + q->ctl_off, q->ctl_len - q->ctl_off);
		q->ctl_flying = true;
		n = 1;
	} else {
		q->ctl_flying = false;
		n = chunks_iov(q, iov, max);
	}
	q->flying = n > 0;
	return n;
}

static void
cur_done(struct outq *q, uint64_t now_ns, struct outq_sent *sent)
{
	struct hop_chunk *hc = q->cur;

	if (hc->state == OUT_WAITS)
		hc->state = OUT_SENT;
	hc->sent_ns = now_ns;
	sent->chunks++;
	sent->bytes += chunk_body_len(&hc->chunk);
	if (hc->sent != NULL)
		hc->sent(hc);
	q->cur = hc->next;
	q->cur_off = 0;
	q->fill_from = SIZE_MAX;
	q->careful = false;
}

void
outq_sent(struct outq *q, size_t n, uint64_t now_ns,
    struct outq_sent *ret_sent)
{
	struct outq_sent sent = { 0 };
	size_t left;

	must(q->flying);
	q->flying = false;
	if (q->ctl_flying) {
		ctl_sent(q, n);
		n = 0;
	}
	while (n > 0) {
		must(q->cur != NULL);
		left = message_len(q->cur) - q->cur_off;
		if (n < left) {
			q->cur_off += n;
			break;
		}
		n -= left;
		cur_done(q, now_ns, &sent);
	}
	*ret_sent = sent;
}

int
outq_fault(struct outq *q, size_t *ret_filled)
{
	size_t len, off;

	must(!q->flying);
	if (q->ctl_flying || q->cur == NULL)
		return -EFAULT;
	*ret_filled = 0;
	if (!q->careful) {
		/*
		 * A send of many pages may fail although the first is
		 * there: what is readable is sent page by page.
		 */
		q->careful = true;
		return 0;
	}
	len = chunk_body_len(&q->cur->chunk);
	off = q->cur_off - q->cur->head_len;
	if (q->cur_off < q->cur->head_len || off >= len ||
	    off >= q->fill_from)
		return -EFAULT;
	/* the option map comes behind the body: it can still say so */
	q->cur->tail_len = (uint16_t)wire_tail(q->cur->tail, &q->cur->chunk,
	    q->cur->id, off);
	q->fill_from = off;
	q->careful = false;
	*ret_filled = len - off;
	return 0;
}

static void
unlink_at(struct outq *q, struct hop_chunk **at)
{
	struct hop_chunk *hc = *at;

	*at = hc->next;
	if (hc->next == NULL)
		q->lastp = at;
	if (q->cur == hc)
		q->cur = hc->next;
	if (hc->state == OUT_EARLY)
		q->early--;
	hc->next = NULL;
	hc->state = 0;
	q->chunks--;
	q->bytes -= chunk_body_len(&hc->chunk);
}

int
outq_take(struct outq *q, struct bytes id, struct hop_chunk **ret_hc)
{
	struct hop_chunk **at, *hc;
	bool sent = true;

	for (at = &q->first; (hc = *at) != NULL; at = &hc->next) {
		sent = sent && hc != q->cur;
		/* the same range may be under way twice: the next one then */
		if (hc->state == OUT_EARLY ||
		    !bytes_eq(id, bytes_of(hc->id, WIRE_ID_LEN)))
			continue;
		if (sent) {
			unlink_at(q, at);
			*ret_hc = hc;
			return 0;
		}
		if (!q->flying)
			return -ENOENT;
		hc->state = OUT_EARLY;
		q->early++;
		return -EAGAIN;
	}
	return -ENOENT;
}

int
outq_take_back(struct outq *q, struct hop_chunk *hc)
{
	struct hop_chunk **at = &q->first;

	if (hc->state != OUT_SENT)
		return -EBUSY;
	while (*at != hc) {
		must(*at != NULL);
		at = &(*at)->next;
	}
	unlink_at(q, at);
	return 0;
}

struct hop_chunk *
outq_take_early(struct outq *q)
{
	struct hop_chunk **at, *hc;

	if (q->early == 0)
		return NULL;
	for (at = &q->first; (hc = *at) != q->cur; at = &hc->next) {
		if (hc->state != OUT_EARLY)
			continue;
		unlink_at(q, at);
		return hc;
	}
	return NULL;
}

struct hop_chunk *
outq_take_first(struct outq *q)
{
	struct hop_chunk *hc = q->first;

	must(!q->flying);
	if (hc != NULL)
		unlink_at(q, &q->first);
	return hc;
}
