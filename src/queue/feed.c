/* SPDX-License-Identifier: ISC */
/* feed.c - bytes of a file in a buffer that slides; see priv.h */

#include <errno.h>
#include <sys/mman.h>

#include "queue/priv.h"

#include "banned.h"

int
pages_grow(struct pages *m, size_t cap, size_t keep)
{
	void *p;

	if (cap <= m->cap)
		return 0;
	must(keep <= m->cap);
	cap = block_up(cap);
	p = mmap(NULL, cap, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	if (keep > 0)
		memcpy(p, m->p, keep);
	pages_free(m);
	*m = (struct pages){ p, cap };
	return 0;
}

void
pages_free(struct pages *m)
{
	if (m->p != NULL)
		munmap(m->p, m->cap);
	*m = (struct pages){ 0 };
}

void
feed_reset(struct feed *f, uint64_t off)
{
	f->off = off;
	f->len = 0;
	f->careful = false;
}

struct bytes
feed_at(const struct feed *f, uint64_t at, uint64_t limit)
{
	uint64_t end = f->off + f->len < limit ? f->off + f->len : limit;

	if (at < f->off || at >= end)
		return bytes_of(NULL, 0);
	return bytes_of(f->mem.p + (at - f->off), end - at);
}

int
feed_ask(struct feed *f, uint64_t at, size_t need, size_t read_bytes,
    uint64_t limit, struct feed_read *ret_read)
{
	struct bytes have = feed_at(f, at, UINT64_MAX);
	size_t want;
	int r;

	must(at < limit);
	if (have.n > 0)
		memmove(f->mem.p, have.p, have.n);
	f->off = at;
	f->len = have.n;
	r = pages_grow(&f->mem, need > read_bytes ? need : read_bytes,
	    f->len);
	if (r < 0)
		return r;
	want = f->mem.cap - f->len;
	if (want > read_bytes && want > need - f->len)
		want = need - f->len > read_bytes ? need - f->len : read_bytes;
	if (want > WRITE_MAX)
		want = WRITE_MAX;
	if (f->careful && want > FRAME_BLOCK)
		want = FRAME_BLOCK;
	if (want > limit - at - f->len)
		want = limit - at - f->len;
	must(want > 0);
	*ret_read = (struct feed_read){ f->mem.p + f->len, want, at + f->len };
	return 0;
}

int
feed_got(struct feed *f, const struct feed_read *rd, int64_t res,
    unsigned waits)
{
	if (res == 0)
		return -ENODATA;
	if (res < 0 && rd->len > FRAME_BLOCK) {
		f->careful = true;
		return 0;
	}
	if (res < 0 && f->waits < waits) {
		f->waits++;
		return -EAGAIN;
	}
	if (res > 0)
		f->waits = f->gave_up && f->waits > 0 ? f->waits - 1 : 0;
	f->gave_up = res < 0 || (f->gave_up && f->waits > 0);
	if (res < 0) {
		memset(rd->buf, 0xff, rd->len);
		res = (int64_t)rd->len;
	}
	must((uint64_t)res <= rd->len);
	f->len += (size_t)res;
	return 0;
}
