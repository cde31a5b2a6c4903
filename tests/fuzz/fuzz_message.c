/* SPDX-License-Identifier: ISC */
/*
 * fuzz_message.c - any bytes to the message scan (libFuzzer: clang)
 *
 * Claims: a message found in one go is found byte by byte too, at the same
 * end and not before; need is more than there is and no lie; what a message
 * points to lies in it; our option and answers are read without harm.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/must.h"
#include "forward/message.h"
#include "hop/wire.h"

#define MESSAGE_MAX	65536

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
inside(const uint8_t *p, const struct message *m, struct bytes b)
{
	if (b.n == 0)
		return;
	must(b.p >= p);
	must(b.n <= m->bytes);
	must((size_t)(b.p - p) <= m->bytes - b.n);
}

static int
by_bytes(const uint8_t *p, size_t n, struct message *ret)
{
	struct message_scan ms;
	uint8_t *copy;
	size_t have;
	int r = -EAGAIN;

	message_scan_init(&ms, MESSAGE_MAX);
	for (have = 0; have <= n && r == -EAGAIN; have++) {
		copy = malloc(have + 1);
		must(copy != NULL);
		memcpy(copy, p, have);
		r = message_scan(&ms, bytes_of(copy, have), ret);
		if (r == -EAGAIN)
			must(ms.need > have);
		free(copy);
	}
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct mp answers = { p, p + n };
	struct message_scan ms;
	struct message m, slow;
	struct bytes id;
	struct wire w;
	uint64_t k;
	int r;

	if (n > 4096)
		return 0;
	message_scan_init(&ms, MESSAGE_MAX);
	r = message_scan(&ms, bytes_of(p, n), &m);
	must(by_bytes(p, n, &slow) == r || r == -EBADMSG || r == -EMSGSIZE);
	if (r == 0) {
		must(slow.bytes == m.bytes);
		must(slow.body.n == m.body.n);
		inside(p, &m, m.tag);
		inside(p, &m, m.body);
		inside(p, &m, m.time);
		inside(p, &m, m.record);
		inside(p, &m, m.metadata);
		inside(p, &m, m.chunk);
		inside(p, &m, m.emplog);
		if (m.emplog.n > 0 && wire_read(m.emplog, &w) == 0)
			inside(p, &m, w.identity);
	}
	while (wire_read_ack(&answers, &id, &k) == 0)
		;
	return 0;
}
