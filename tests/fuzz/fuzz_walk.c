/* SPDX-License-Identifier: ISC */
/*
 * fuzz_walk.c - any bytes to the walker (libFuzzer: clang)
 *
 * Claims: it ends inside the bytes; its good prefix is accepted as a whole;
 * walking in two steps finds the same entries as in one.
 */
#include <stdlib.h>

#include "base/must.h"
#include "forward/mp.h"
#include "forward/walk.h"

#define RECORD_MAX	4096

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct walk all, good, one, rest;
	struct entry e;
	struct mp m;
	uint32_t k;

	walk_entries(bytes_of(p, n), RECORD_MAX, &all);
	must(all.good_bytes <= n);
	must(all.error != 0 || all.good_bytes == n);
	walk_entries(bytes_of(p, all.good_bytes), RECORD_MAX, &good);
	must(good.error == 0);
	must(good.records == all.records);
	walk_until(bytes_of(p, n), RECORD_MAX, 1, &one);
	must(one.records <= 1);
	walk_entries(bytes_of(p + one.good_bytes, n - one.good_bytes),
	    RECORD_MAX, &rest);
	must(one.records + rest.records == all.records);
	m = mp_of(bytes_of(p, all.good_bytes));
	for (k = 0; k < all.records; k++)
		must(walk_entry(&m, &e) == 0);
	must(m.p == m.end);
	return 0;
}
