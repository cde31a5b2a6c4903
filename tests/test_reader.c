/* SPDX-License-Identifier: ISC */
/*
 * test_reader.c - a lane read by one who trusts nothing in it
 *
 * Claimed: whatever a producer writes into its lane or does to its file, the
 * reader stays inside its mapping, never goes back, and says what it saw.
 * How: lanes are made by hand (lane_kit.h), then bent.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lane_kit.h"
#include "shm/guard.h"
#include "shm/reader.h"

#define DATA	LANE_DATA_MIN
#define WHO	"\x81\xa9worker_id\xa2w7"

static char dir[64];
static struct kit k;
static struct reader r;

static void
setup(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(dir, sizeof(dir), "%s/reader.XXXXXX", base);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	kit_make(&k, dir, 1, DATA, WHO, sizeof(WHO) - 1);
	r = (struct reader){ .guard = -1 };
}

static void
teardown(void)
{
	char cmd[128];

	reader_detach(&r);
	kit_die(&k);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static int
attach(void)
{
	return reader_attach(&r, &shm_sys_os, k.path, true);
}

static void
put(uint64_t n, int c)
{
	static uint8_t rec[LANE_DATA_MIN];

	memset(rec, c, n);
	kit_put(&k, rec, n);
}

/* ---- attaching ---- */

START_TEST(a_lane_says_who_wrote_it)
{
	ck_assert_int_eq(attach(), 0);
	ck_assert_uint_eq(r.data_bytes, DATA);
	ck_assert_uint_eq(r.pid, (uint32_t)getpid());
	ck_assert_uint_eq(r.identity_len, sizeof(WHO) - 1);
	ck_assert_mem_eq(r.identity, WHO, sizeof(WHO) - 1);
	ck_assert(r.alive);
	ck_assert(!r.spoiled);
	ck_assert_int_eq(reader_check(&r), 0);
}
END_TEST

START_TEST(identity_len_is_taken_at_its_limit_and_refused_above)
{
	k.head->identity_len = LANE_IDENTITY_MAX;
	ck_assert_int_eq(attach(), 0);
	reader_detach(&r);
	k.head->identity_len = LANE_IDENTITY_MAX + 1;
	ck_assert_int_eq(attach(), -EBADMSG);
	k.head->identity_len = UINT32_MAX;
	ck_assert_int_eq(attach(), -EBADMSG);
	ck_assert_ptr_null(r.base);
}
END_TEST

START_TEST(a_lying_head_is_refused_at_the_door)
{
	k.head->data_bytes = DATA * 2;
	ck_assert_int_eq(attach(), -EBADMSG);
	k.head->data_bytes = 0;
	ck_assert_int_eq(attach(), -EBADMSG);
	k.head->data_bytes = DATA;
	k.head->control_bytes = 4096;
	ck_assert_int_eq(attach(), -EBADMSG);
	k.head->control_bytes = LANE_CONTROL_BYTES;
	k.head->uid++;
	ck_assert_int_eq(attach(), -EPERM);
	k.head->uid--;
	k.head->version = LANE_VERSION + 1;
	ck_assert_int_eq(attach(), -EPROTO);
	k.head->version = LANE_VERSION;
	memcpy(k.head->magic, "EMPLAME", 8);
	ck_assert_int_eq(attach(), -EBADMSG);
	memset(k.head->magic, 0, 8);
	ck_assert_int_eq(attach(), -EAGAIN);
	memcpy(k.head->magic, LANE_MAGIC, 8);
	ck_assert_int_eq(attach(), 0);
}
END_TEST

START_TEST(sizes_that_no_lane_has_are_refused)
{
	static const off_t sizes[] = {
		1, 4096, LANE_DATA_AT, LANE_DATA_AT + LANE_DATA_MIN - 1,
		LANE_DATA_AT + LANE_DATA_MIN + 1,
		LANE_DATA_AT + LANE_DATA_MIN / 2,
		LANE_DATA_AT + LANE_DATA_MIN * 3,
		LANE_DATA_AT + (off_t)LANE_DATA_MAX * 2,
	};
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ck_assert_int_eq(ftruncate(k.fd, sizes[i]), 0);
		ck_assert_int_eq(attach(), -EBADMSG);
	}
	ck_assert_int_eq(ftruncate(k.fd, 0), 0);
	ck_assert_int_eq(attach(), -EAGAIN);
}
END_TEST

START_TEST(symlinks_fifos_and_directories_are_no_lanes)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/link.lane", dir);
	ck_assert_int_eq(symlink(k.path, path), 0);
	ck_assert_int_eq(reader_attach(&r, &shm_sys_os, path, true), -ELOOP);
	snprintf(path, sizeof(path), "%s/fifo.lane", dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(reader_attach(&r, &shm_sys_os, path, true), -EPERM);
	snprintf(path, sizeof(path), "%s/dir.lane", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_lt(reader_attach(&r, &shm_sys_os, path, true), 0);
	snprintf(path, sizeof(path), "%s/none.lane", dir);
	ck_assert_int_eq(reader_attach(&r, &shm_sys_os, path, true), -ENOENT);
}
END_TEST

START_TEST(any_bytes_as_a_head_are_survived)
{
	unsigned round;
	size_t i;

	srandom(20261123);
	for (round = 0; round < 2000; round++) {
		uint8_t *p = (uint8_t *)k.head;

		i = (size_t)random() % sizeof(*k.head);
		p[i] = (uint8_t)random();
		if (round % 7 == 0)
			for (i = 0; i < sizeof(*k.head); i++)
				p[i] = (uint8_t)random();
		if (attach() == 0)
			reader_detach(&r);
		ck_assert_ptr_null(r.base);
		if (round % 5 == 0)
			memcpy(k.head->magic, LANE_MAGIC, 8);
	}
}
END_TEST

/* ---- life ---- */

START_TEST(lock_gone_is_process_gone)
{
	ck_assert_int_eq(attach(), 0);
	ck_assert_int_eq(reader_alive(&r), 1);
	kit_die(&k);
	ck_assert_int_eq(reader_alive(&r), 0);
	ck_assert(!r.alive);
}
END_TEST

START_TEST(an_unlinked_or_replaced_lane_is_noticed)
{
	int fd;

	ck_assert_int_eq(attach(), 0);
	ck_assert_int_eq(unlink(k.path), 0);
	ck_assert_int_eq(reader_check(&r), -ENOENT);
	ck_assert_int_eq(reader_alive(&r), -ENOENT);
	fd = open(k.path, O_CREAT | O_RDWR | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(reader_check(&r), -ENOENT);
	ck_assert_int_eq(reader_alive(&r), -ENOENT);
	close(fd);
}
END_TEST

/* ---- head, tail, marks ---- */

START_TEST(head_is_bounded_by_the_readers_own_cursor)
{
	ck_assert_int_eq(attach(), 0);
	put(100, 'a');
	ck_assert_uint_eq(reader_head(&r, 0), 100);
	atomic_store(&k.prod->head, 50 + DATA);
	ck_assert_uint_eq(reader_head(&r, 50), 50 + DATA);
	ck_assert(!r.spoiled);
	atomic_store(&k.prod->head, 50 + DATA + 1);
	ck_assert_uint_eq(reader_head(&r, 50), 50);
	ck_assert(r.spoiled);
	/* and stays so, whatever head says later */
	atomic_store(&k.prod->head, 100);
	ck_assert_uint_eq(reader_head(&r, 50), 50);
}
END_TEST

START_TEST(head_never_goes_back)
{
	ck_assert_int_eq(attach(), 0);
	put(100, 'a');
	ck_assert_uint_eq(reader_head(&r, 100), 100);
	ck_assert(!r.spoiled);
	atomic_store(&k.prod->head, 99);
	ck_assert_uint_eq(reader_head(&r, 100), 100);
	ck_assert(r.spoiled);
}
END_TEST

START_TEST(tail_is_bounded_by_head)
{
	ck_assert_int_eq(attach(), 0);
	put(1000, 'a');
	reader_set_tail(&r, 400);
	ck_assert_uint_eq(reader_tail(&r), 400);
	reader_set_tail(&r, 1001);
	ck_assert_uint_eq(reader_tail(&r), 1000);
	reader_set_tail(&r, UINT64_MAX);
	ck_assert_uint_eq(reader_tail(&r), 1000);
	/* one whole lane behind is the most there can be */
	atomic_store(&k.prod->head, DATA + 10);
	reader_set_tail(&r, 10);
	ck_assert_uint_eq(reader_tail(&r), 10);
	reader_set_tail(&r, 9);
	ck_assert_uint_gt(reader_tail(&r), 9);
	ck_assert_uint_le(reader_tail(&r), DATA + 10);
}
END_TEST

START_TEST(cuts_lie_at_marks_or_at_head)
{
	uint64_t cut;
	unsigned i;

	ck_assert_int_eq(attach(), 0);
	ck_assert_uint_eq(reader_cut(&r, 0, 0, 4096), 0);
	for (i = 0; i < 100; i++)
		put(300, 'a');
	ck_assert_uint_eq(reader_cut(&r, 0, 30000, 30000), 30000);
	cut = reader_cut(&r, 0, 30000, 29999);
	ck_assert_uint_le(cut, 29999);
	ck_assert_uint_gt(cut, 29999 - 2 * 1024);
	ck_assert_uint_eq(cut % 300, 0);
	cut = reader_cut(&r, cut, 30000, 1);
	ck_assert_uint_eq(cut, 30000);
	cut = reader_cut(&r, 0, 30000, 100);
	ck_assert_uint_gt(cut, 0);
	ck_assert_uint_lt(cut, 2 * 1024);
	ck_assert_uint_eq(cut % 300, 0);
}
END_TEST

START_TEST(marks_that_lie_outside_are_not_believed)
{
	unsigned i;

	ck_assert_int_eq(attach(), 0);
	put(30000, 'a');
	put(300, 'a');
	for (i = 0; i < LANE_MARKS; i++)
		atomic_store(&k.marks[i].pos, i % 2 ? UINT64_MAX : 30301);
	ck_assert_uint_eq(reader_cut(&r, 0, 30300, 4096), 30300);
	for (i = 0; i < LANE_MARKS; i++)
		atomic_store(&k.marks[i].pos, 0);
	ck_assert_uint_eq(reader_cut(&r, 0, 30300, 4096), 30300);
}
END_TEST

START_TEST(records_are_known_at_marks_and_at_head)
{
	unsigned i;

	ck_assert_int_eq(attach(), 0);
	for (i = 0; i < 100; i++)
		put(300, 'a');
	ck_assert_uint_eq(reader_records_at(&r, 0, 30000), 0);
	ck_assert_uint_eq(reader_records_at(&r, 30000, 30000), 100);
	i = (unsigned)reader_cut(&r, 0, 30000, 15000);
	ck_assert_uint_eq(reader_records_at(&r, i, 30000), i / 300);
	ck_assert(reader_records_at(&r, i + 1, 30000) == UINT64_MAX);
}
END_TEST

START_TEST(pieces_wrap_once_and_cover_all)
{
	struct reader_piece p[2];

	ck_assert_int_eq(attach(), 0);
	reader_pieces(&r, 0, DATA, p);
	ck_assert_uint_eq(p[0].n, DATA);
	ck_assert_uint_eq(p[1].n, 0);
	reader_pieces(&r, DATA - 1, DATA, p);
	ck_assert_uint_eq(p[0].n, 1);
	ck_assert_uint_eq(p[1].n, 0);
	reader_pieces(&r, DATA - 1, DATA + 1, p);
	ck_assert_uint_eq(p[0].n, 1);
	ck_assert_uint_eq(p[1].n, 1);
	ck_assert_ptr_eq(p[1].p, (uint8_t *)r.base + LANE_DATA_AT);
	reader_pieces(&r, 5 * DATA + 7, 6 * DATA + 7, p);
	ck_assert_uint_eq(p[0].n, DATA - 7);
	ck_assert_uint_eq(p[1].n, 7);
}
END_TEST

START_TEST(dropped_pages_come_back_with_their_bytes)
{
	struct kit big;
	uint64_t i;

	kit_make(&big, dir, 2, 256 << 10, NULL, 0);
	ck_assert_int_eq(reader_attach(&r, &shm_sys_os, big.path, true), 0);
	for (i = 0; i < 200; i++)
		kit_put(&big, "0123456789abcdef0123456789abcdef", 1000 % 33);
	memset(big.data, 'x', big.data_bytes);
	reader_drop(&r, 65535);
	ck_assert_uint_eq(r.dropped, 0);
	reader_drop(&r, 200000);
	ck_assert_uint_eq(r.dropped, 3 * 65536);
	for (i = 0; i < big.data_bytes; i++)
		ck_assert_int_eq(((uint8_t *)r.base)[LANE_DATA_AT + i], 'x');
	reader_drop(&r, 100u << 20);
	ck_assert_uint_eq(r.dropped, 100u << 20);
	kit_die(&big);
}
END_TEST

START_TEST(the_agents_words_reach_the_producer)
{
	ck_assert_int_eq(attach(), 0);
	reader_set_tail(&r, 0);
	reader_set_knock(&r, 77);
	reader_retire(&r);
	ck_assert_uint_eq(atomic_load(&k.agent->knock_at), 77);
	ck_assert_uint_eq(atomic_load(&k.agent->retired), 1);
}
END_TEST

/* ---- the file shrinks ---- */

START_TEST(truncated_to_nothing_reads_as_zeros_and_is_spoiled)
{
	struct reader_piece p[2];
	volatile uint8_t sum = 0;
	uint64_t i;

	put(DATA, 'a');
	ck_assert_int_eq(attach(), 0);
	ck_assert_uint_eq(reader_head(&r, 0), DATA);
	ck_assert_int_eq(ftruncate(k.fd, 0), 0);
	reader_pieces(&r, 0, DATA, p);
	for (i = 0; i < p[0].n; i++)
		sum |= p[0].p[i];
	ck_assert_uint_eq(sum, 0);
	reader_set_tail(&r, 10);
	reader_set_knock(&r, 10);
	reader_retire(&r);
	ck_assert_uint_eq(reader_head(&r, 42), 42);
	ck_assert(r.spoiled);
	ck_assert_uint_eq(r.intact, LANE_PRODUCER_AT);	/* page 0: not looked at */
	ck_assert_int_eq(reader_check(&r), -EFAULT);
	ck_assert_uint_eq(r.intact, 0);
}
END_TEST

START_TEST(what_lies_before_a_truncation_is_still_read)
{
	struct reader_piece p[2];
	uint64_t i;

	put(DATA, 'a');
	ck_assert_int_eq(attach(), 0);
	ck_assert_int_eq(ftruncate(k.fd, LANE_DATA_AT + 8192), 0);
	ck_assert_int_eq(reader_check(&r), -EFAULT);
	ck_assert(r.spoiled);
	ck_assert_uint_eq(r.intact, LANE_DATA_AT + 8192);
	reader_pieces(&r, 0, DATA, p);
	for (i = 0; i < DATA; i++)
		ck_assert_int_eq(p[0].p[i], i < 8192 ? 'a' : 0);
	for (i = 0; i < 8192; i++)
		ck_assert_int_eq(p[0].p[i], 'a');
}
END_TEST

START_TEST(a_hole_reads_as_zeros_and_nothing_faults)
{
	struct reader_piece p[2];

	put(DATA, 'a');
	ck_assert_int_eq(attach(), 0);
	ck_assert_int_eq(fallocate(k.fd, FALLOC_FL_PUNCH_HOLE |
	    FALLOC_FL_KEEP_SIZE, LANE_DATA_AT, 8192), 0);
	reader_pieces(&r, 0, DATA, p);
	ck_assert_int_eq(p[0].p[0], 0);
	ck_assert_int_eq(p[0].p[8192], 'a');
	ck_assert_uint_eq(reader_head(&r, 0), DATA);
	/* the control area too: head is then behind the cursor */
	ck_assert_int_eq(fallocate(k.fd, FALLOC_FL_PUNCH_HOLE |
	    FALLOC_FL_KEEP_SIZE, 0, LANE_CONTROL_BYTES), 0);
	ck_assert_uint_eq(reader_head(&r, DATA), DATA);
	ck_assert(r.spoiled);
}
END_TEST

static int
in_child(void (*f)(void))
{
	int status;
	pid_t pid;

	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		f();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void
fault_elsewhere(void)
{
	char path[300];
	volatile char *p;
	int fd;

	snprintf(path, sizeof(path), "%s/other", dir);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	if (ftruncate(fd, 4096) < 0)
		return;
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (guard_install() < 0 || ftruncate(fd, 0) < 0)
		return;
	(void)p[0];
}

static void
killed_by_sigbus(void)
{
	if (guard_install() == 0)
		raise(SIGBUS);
}

START_TEST(a_sigbus_that_is_not_ours_still_kills)
{
	int status;

	status = in_child(fault_elsewhere);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGBUS);
	status = in_child(killed_by_sigbus);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGBUS);
}
END_TEST

START_TEST(guard_slots_end_in_enospc_and_come_back)
{
	static int slot[GUARD_SLOTS];
	static char bytes[4096];
	int i;

	for (i = 0; i < GUARD_SLOTS; i++) {
		slot[i] = guard_add(bytes, sizeof(bytes), false);
		ck_assert_int_ge(slot[i], 0);
	}
	ck_assert_int_eq(guard_add(bytes, sizeof(bytes), false), -ENOSPC);
	ck_assert_int_eq(attach(), -ENOSPC);
	ck_assert_ptr_null(r.base);
	guard_remove(slot[7]);
	ck_assert_int_eq(attach(), 0);
	for (i = 0; i < GUARD_SLOTS; i++)
		if (i != 7)
			guard_remove(slot[i]);
}
END_TEST

/* ---- gaps ---- */

START_TEST(a_gap_is_claimed_told_and_then_over)
{
	struct reader_gap gap;

	ck_assert_int_eq(attach(), 0);
	ck_assert_int_eq(reader_gap_claim(&r, &gap), 0);
	atomic_store(&k.prod->refused[2], 5);
	atomic_store(&k.prod->refused[4], 2);
	atomic_store(&k.prod->told[2], 1);
	atomic_store(&k.prod->refused_first_ns, 10);
	atomic_store(&k.prod->refused_last_ns, 20);
	ck_assert_uint_eq(reader_refused(&r), 7);
	ck_assert_int_eq(reader_gap_claim(&r, &gap), 1);
	ck_assert_uint_eq(gap.total, 6);
	ck_assert_uint_eq(gap.by_severity[2], 4);
	ck_assert_uint_eq(gap.by_severity[4], 2);
	ck_assert_uint_eq(gap.first_ns, 10);
	ck_assert_uint_eq(gap.last_ns, 20);
	ck_assert_uint_eq(atomic_load(&k.prod->gap_claim), LANE_CLAIM_AGENT);
	reader_gap_told(&r, &gap);
	ck_assert_uint_eq(atomic_load(&k.prod->told[2]), 5);
	ck_assert_uint_eq(atomic_load(&k.prod->gap_claim), LANE_CLAIM_NONE);
	ck_assert_int_eq(reader_gap_claim(&r, &gap), 0);
}
END_TEST

START_TEST(a_living_producers_claim_stands_a_dead_ones_is_void)
{
	struct reader_gap gap;

	ck_assert_int_eq(attach(), 0);
	atomic_store(&k.prod->refused[0], 1);
	atomic_store(&k.prod->gap_claim, LANE_CLAIM_PRODUCER);
	ck_assert_int_eq(reader_gap_claim(&r, &gap), 0);
	ck_assert_uint_eq(atomic_load(&k.prod->gap_claim),
	    LANE_CLAIM_PRODUCER);
	kit_die(&k);
	ck_assert_int_eq(reader_alive(&r), 0);
	ck_assert_int_eq(reader_gap_claim(&r, &gap), 1);
	reader_gap_drop(&r);
	ck_assert_int_eq(reader_gap_claim(&r, &gap), 1);
}
END_TEST

START_TEST(counts_that_lie_are_cut)
{
	struct reader_gap gap;
	unsigned i;

	ck_assert_int_eq(attach(), 0);
	for (i = 0; i < LANE_SEVERITIES; i++)
		atomic_store(&k.prod->refused[i], UINT64_MAX - i);
	ck_assert_int_eq(reader_gap_claim(&r, &gap), 1);
	ck_assert_uint_eq(gap.total, LANE_SEVERITIES * (uint64_t)UINT32_MAX);
	reader_gap_drop(&r);
	for (i = 0; i < LANE_SEVERITIES; i++)
		atomic_store(&k.prod->told[i], UINT64_MAX);
	ck_assert_int_eq(reader_gap_claim(&r, &gap), 0);
}
END_TEST

/* ---- jobs ---- */

START_TEST(jobs_in_progress_are_told_and_lies_are_not)
{
	struct reader_job job[LANE_JOBS];

	ck_assert_int_eq(attach(), 0);
	ck_assert_uint_eq(reader_jobs(&r, job, LANE_JOBS), 0);
	memset(k.jobs[3].id, 'j', sizeof(k.jobs[3].id));
	k.jobs[3].len = sizeof(k.jobs[3].id);
	k.jobs[3].started_mono_ns = 9;
	atomic_store(&k.jobs[3].state, LANE_JOB_SET);
	memcpy(k.jobs[9].id, "one", 3);
	k.jobs[9].len = 3;
	atomic_store(&k.jobs[9].state, LANE_JOB_SET);
	k.jobs[10].len = sizeof(k.jobs[10].id) + 1;
	atomic_store(&k.jobs[10].state, LANE_JOB_SET);
	k.jobs[11].len = 1;
	atomic_store(&k.jobs[11].state, LANE_JOB_BUSY);
	k.jobs[12].len = 1;
	atomic_store(&k.jobs[12].state, 99);
	ck_assert_uint_eq(reader_jobs(&r, job, LANE_JOBS), 2);
	ck_assert_uint_eq(strlen(job[0].id), sizeof(k.jobs[3].id));
	ck_assert(job[0].started);
	ck_assert_str_eq(job[1].id, "one");
	ck_assert(!job[1].started);
	ck_assert_uint_eq(reader_jobs(&r, job, 1), 1);
}
END_TEST

/* ---- observers ---- */

START_TEST(an_observer_sees_every_record_and_moves_nothing)
{
	static uint8_t buf[READER_COPY_MIN(DATA)];
	uint64_t pos = 0;
	bool skipped;
	size_t n;

	ck_assert_int_eq(reader_attach(&r, &shm_sys_os, k.path, false), 0);
	put(100, 'a');
	put(200, 'b');
	ck_assert_uint_eq(reader_oldest(&r), 0);
	n = reader_copy(&r, &pos, buf, sizeof(buf), &skipped);
	ck_assert_uint_eq(n, 300);
	ck_assert(!skipped);
	ck_assert_int_eq(buf[99], 'a');
	ck_assert_int_eq(buf[100], 'b');
	ck_assert_uint_eq(pos, 300);
	ck_assert_uint_eq(reader_copy(&r, &pos, buf, sizeof(buf), &skipped), 0);
	ck_assert_uint_eq(atomic_load(&k.agent->tail), 0);
}
END_TEST

START_TEST(an_overtaken_observer_begins_again_at_a_whole_record)
{
	static uint8_t buf[READER_COPY_MIN(DATA)];
	uint64_t pos = 0;
	bool skipped;
	unsigned i;
	size_t n;

	ck_assert_int_eq(reader_attach(&r, &shm_sys_os, k.path, false), 0);
	for (i = 0; i < 1000; i++)
		put(100, 'a' + (int)(i % 26));
	n = reader_copy(&r, &pos, buf, sizeof(buf), &skipped);
	ck_assert(skipped);
	ck_assert_uint_eq(pos, 100000);
	ck_assert_uint_eq(n % 100, 0);
	ck_assert_uint_gt(n, DATA - DATA / 4 - 2 * 1024);
	ck_assert_uint_le(n, DATA - DATA / 4);
	for (i = 0; i < n; i++)
		ck_assert_int_eq(buf[i],
		    'a' + (int)((100000 - n + i) / 100 % 26));
}
END_TEST

START_TEST(an_observer_ahead_of_head_comes_back)
{
	static uint8_t buf[READER_COPY_MIN(DATA)];
	uint64_t pos = 5000;
	bool skipped;

	ck_assert_int_eq(reader_attach(&r, &shm_sys_os, k.path, false), 0);
	put(100, 'a');
	ck_assert_uint_eq(reader_copy(&r, &pos, buf, sizeof(buf), &skipped),
	    100);
	ck_assert(skipped);
	ck_assert_uint_eq(pos, 100);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("reader");
	TCase *t = tcase_create("reader");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_lane_says_who_wrote_it);
	tcase_add_test(t, identity_len_is_taken_at_its_limit_and_refused_above);
	tcase_add_test(t, a_lying_head_is_refused_at_the_door);
	tcase_add_test(t, sizes_that_no_lane_has_are_refused);
	tcase_add_test(t, symlinks_fifos_and_directories_are_no_lanes);
	tcase_add_test(t, any_bytes_as_a_head_are_survived);
	tcase_add_test(t, lock_gone_is_process_gone);
	tcase_add_test(t, an_unlinked_or_replaced_lane_is_noticed);
	tcase_add_test(t, head_is_bounded_by_the_readers_own_cursor);
	tcase_add_test(t, head_never_goes_back);
	tcase_add_test(t, tail_is_bounded_by_head);
	tcase_add_test(t, cuts_lie_at_marks_or_at_head);
	tcase_add_test(t, marks_that_lie_outside_are_not_believed);
	tcase_add_test(t, records_are_known_at_marks_and_at_head);
	tcase_add_test(t, pieces_wrap_once_and_cover_all);
	tcase_add_test(t, dropped_pages_come_back_with_their_bytes);
	tcase_add_test(t, the_agents_words_reach_the_producer);
	tcase_add_test(t, truncated_to_nothing_reads_as_zeros_and_is_spoiled);
	tcase_add_test(t, what_lies_before_a_truncation_is_still_read);
	tcase_add_test(t, a_hole_reads_as_zeros_and_nothing_faults);
	tcase_add_test(t, a_sigbus_that_is_not_ours_still_kills);
	tcase_add_test(t, guard_slots_end_in_enospc_and_come_back);
	tcase_add_test(t, a_gap_is_claimed_told_and_then_over);
	tcase_add_test(t, a_living_producers_claim_stands_a_dead_ones_is_void);
	tcase_add_test(t, counts_that_lie_are_cut);
	tcase_add_test(t, jobs_in_progress_are_told_and_lies_are_not);
	tcase_add_test(t, an_observer_sees_every_record_and_moves_nothing);
	tcase_add_test(t, an_overtaken_observer_begins_again_at_a_whole_record);
	tcase_add_test(t, an_observer_ahead_of_head_comes_back);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
