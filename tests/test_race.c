/* SPDX-License-Identifier: ISC */
/*
 * test_race.c - writer and reader of one lane, at once
 *
 * Claimed: what the reader finds before a head is written in full, is cut at
 * boundaries of records, and is never written over before the reader gives it
 * back; nothing but atomics is shared beyond that.
 * How:     two threads and one lane small enough to be full most of the time.
 * The reader is given the writer's own mapping, so that ThreadSanitizer, which
 * knows addresses and not pages, sees both sides meet (--enable-tsan).
 */
#include <pthread.h>
#include <sched.h>

#include "shm/reader.h"
#include "shm/writer.h"
#include "shm_kit.h"

#define RECORDS	100000u
#define SHORT	9u		/* a number and one byte of what follows */

static struct writer w;
static struct shm_sys same;

static int
same_map(void *arg, int fd, uint64_t control, uint64_t data, bool twice,
    bool writable, bool dontfork, void **ret_base)
{
	*ret_base = w.head;
	return 0;
}

static void
same_unmap(void *arg, void *base, uint64_t bytes)
{
}

static uint64_t
length_of(uint32_t i)
{
	return SHORT + i * 2654435761u % 1500;
}

static void *
produce(void *arg)
{
	uint64_t n;
	uint32_t i;
	uint8_t *p;

	for (i = 0; i < RECORDS; i++) {
		n = length_of(i);
		while ((p = writer_lend(&w, n, 0)) == NULL)
			sched_yield();
		memset(p, (int)(i % 251), n);
		memcpy(p, &i, sizeof(i));
		writer_publish(&w, n, 1);
	}
	return NULL;
}

/* Copies [from, to) out of the lane. */
static void
fetch(struct reader *r, uint64_t from, uint64_t to, uint8_t *buf)
{
	struct reader_piece p[2];

	reader_pieces(r, from, to, p);
	memcpy(buf, p[0].p, p[0].n);
	if (p[1].n > 0)
		memcpy(buf + p[0].n, p[1].p, p[1].n);
}

static void
whole(const uint8_t *buf, uint64_t bytes, uint32_t *next)
{
	uint64_t n, k;
	uint32_t i;

	while (bytes > 0) {
		n = length_of(*next);
		ck_assert_uint_le(n, bytes);
		memcpy(&i, buf, sizeof(i));
		ck_assert_uint_eq(i, *next);
		for (k = sizeof(i); k < n; k++)
			if (buf[k] != i % 251)
				ck_abort_msg("record %u, byte %u", i,
				    (unsigned)k);
		buf += n;
		bytes -= n;
		(*next)++;
	}
}

START_TEST(two_sides_at_once_agree_on_every_byte)
{
	static uint8_t buf[1 << 20];
	struct writer_conf c = { .sys = &kit_sys, .ring_dir = kit_dir,
	    .lane_bytes = 65536, .identity = (const uint8_t *)"\x80",
	    .identity_len = 1 };
	uint64_t head, to, at = 0, full = 0;
	struct reader r;
	uint32_t next = 0;
	pthread_t t;

	ck_assert_int_eq(writer_open(&w, &c), 0);
	same = shm_sys_os;
	same.map = same_map;
	same.unmap = same_unmap;
	ck_assert_int_eq(reader_attach(&r, &same, w.path, true), 0);
	ck_assert_int_eq(pthread_create(&t, NULL, produce, NULL), 0);
	while (next < RECORDS) {
		head = reader_head(&r, at);
		if (head == at) {
			reader_set_knock(&r, at + 1);
			sched_yield();
			continue;
		}
		full += head - at > 32768;
		to = reader_cut(&r, at, head, 8192);
		ck_assert(to > at && to <= head);
		fetch(&r, at, to, buf);
		whole(buf, to - at, &next);
		ck_assert_uint_le(reader_records(&r), RECORDS);
		at = to;
		reader_set_tail(&r, at);
	}
	ck_assert_int_eq(pthread_join(t, NULL), 0);
	ck_assert(!r.spoiled);
	ck_assert_uint_gt(full, 0);	/* it was full now and then */
	ck_assert_uint_eq(reader_head(&r, at), at);
	ck_assert_uint_eq(reader_records(&r), RECORDS);
	reader_detach(&r);
	writer_close(&w, true);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("race");
	TCase *t = tcase_create("race");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, kit_ring, kit_clean);
	tcase_add_test(t, two_sides_at_once_agree_on_every_byte);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
