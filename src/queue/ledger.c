/* SPDX-License-Identifier: ISC */
/* ledger.c - commit and checkpoint bodies; the byte table is in ledger.h */

#include "queue/ledger.h"

#include <errno.h>

#include "base/must.h"

#include "banned.h"

static void
tally_put(uint8_t *p, const struct tally *t)
{
	le64_put(p, t->frames);
	le64_put(p + 8, t->records);
}

static struct tally
tally_get(const uint8_t *p)
{
	return (struct tally){ le64_get(p), le64_get(p + 8) };
}

void
ledger_put(uint8_t *p, const struct ledger *l, const struct ranges *done,
    uint32_t n)
{
	uint32_t i;

	must(n <= done->n);
	le64_put(p, l->own_pos);
	tally_put(p + 8, &l->put);
	tally_put(p + 24, &l->done);
	tally_put(p + 40, &l->aged);
	tally_put(p + 56, &l->lost);
	le32_put(p + 72, n);
	le32_put(p + 76, 0);
	for (i = 0, p += LEDGER_HEAD; i < n; i++, p += 16) {
		le64_put(p, ranges_at(done, i)->from);
		le64_put(p + 8, ranges_at(done, i)->to);
	}
}

static bool
ranges_are_sane(const uint8_t *p, uint32_t n)
{
	uint64_t last = 0;
	uint32_t i;

	for (i = 0; i < n; i++, p += 16) {
		if (le64_get(p) >= le64_get(p + 8) ||
		    (i > 0 && le64_get(p) < last))
			return false;
		last = le64_get(p + 8);
	}
	return true;
}

int
ledger_get(struct bytes b, struct env *env, struct ledger *ret_l,
    struct ranges *done, struct bytes *ret_rest)
{
	const uint8_t *p = b.p;
	uint32_t i, n;
	int r;

	if (b.n < LEDGER_HEAD)
		return -EBADMSG;
	n = le32_get(p + 72);
	if (n > LEDGER_RANGES_MAX || ledger_size(n) > b.n ||
	    !ranges_are_sane(p + LEDGER_HEAD, n))
		return -EBADMSG;
	for (i = 0; i < n; i++) {
		r = ranges_add(done, env, le64_get(p + LEDGER_HEAD + 16 * i),
		    le64_get(p + LEDGER_HEAD + 16 * i + 8));
		if (r < 0)
			return r;
	}
	*ret_l = (struct ledger){ .own_pos = le64_get(p),
	    .put = tally_get(p + 8), .done = tally_get(p + 24),
	    .aged = tally_get(p + 40), .lost = tally_get(p + 56) };
	*ret_rest = bytes_of(p + ledger_size(n), b.n - ledger_size(n));
	return 0;
}
