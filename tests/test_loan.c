/* SPDX-License-Identifier: ISC */
/*
 * test_loan.c - shm/loan.h: a lane lent to an encoder that is not ours
 *
 * Claims: what was written at loan_at() is a record once published and
 * nothing before; what is none is refused; refusals are counted and told;
 * a retired lane, an unlinked one and a fork cost no record; jobs are in the
 * first lane; the lane is closed cleanly, unless jobs are left.
 */

#include <sys/stat.h>
#include <sys/wait.h>

#include "shm/loan.h"
#include "shm/ring.h"
#include "tests/shm_kit.h"

static struct pool_conf conf;
static uint64_t kit_wall_on;	/* the wall clock is ahead by so much */

static uint64_t
kit_wall(void *arg)
{
	return shm_sys_os.wall_ns(arg) + kit_wall_on;
}

static void
setup(void)
{
	kit_ring();
	memset(&conf, 0, sizeof(conf));
	kit_wall_on = 0;
	kit_sys.wall_ns = kit_wall;
	conf.sys = &kit_sys;
	snprintf(conf.ring_dir, sizeof(conf.ring_dir), "%s", kit_dir);
	conf.lane_bytes = LANE_DATA_MIN;
}

/* A record with a job's id, as a foreign encoder writes one. */
static struct loan_record
write_record(struct loan *l, size_t pad)
{
	static const uint8_t head[] = { 0x92, 0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	    0xde, 0, 2, 0xa2, 'i', 'd', 0xa3, 'j', '-', '1', 0xa1, 'p',
	    0xda };
	uint64_t bytes;
	uint8_t *p = loan_data(l, &bytes) + loan_at(l);

	memcpy(p, head, sizeof(head));
	p[sizeof(head)] = (uint8_t)(pad >> 8);
	p[sizeof(head) + 1] = (uint8_t)pad;
	memset(p + sizeof(head) + 2, 'x', pad);
	return (struct loan_record){ .bytes = sizeof(head) + 2 + pad,
	    .level = EMPLOG_INFO, .id_at = 18, .id_len = 3 };
}

static int
put(struct loan *l, size_t pad)
{
	struct loan_record rec = write_record(l, pad);

	return loan_publish(l, &rec);
}

/* The producer's words, read from the lane's file. */
struct words {
	uint64_t	 head, records;
	uint64_t	 refused[LANE_SEVERITIES];
	uint64_t	 told[LANE_SEVERITIES];
	uint32_t	 closed;
};

static struct words
words_of(const char *path)
{
	struct lane_producer p;
	struct words w;
	unsigned i;
	int fd = open(path, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &p, sizeof(p), LANE_PRODUCER_AT),
	    sizeof(p));
	close(fd);
	w.head = atomic_load(&p.head);
	w.records = atomic_load(&p.records);
	w.closed = atomic_load(&p.closed);
	for (i = 0; i < LANE_SEVERITIES; i++) {
		w.refused[i] = atomic_load(&p.refused[i]);
		w.told[i] = atomic_load(&p.told[i]);
	}
	return w;
}

static void
agent_word(const char *path, uint64_t at, const void *v, size_t n)
{
	int fd = open(path, O_RDWR);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, v, n, (off_t)(LANE_AGENT_AT + at)),
	    (ssize_t)n);
	close(fd);
}

START_TEST(what_is_published_is_whole_and_stamped)
{
	struct loan *l = NULL;
	uint8_t *p;
	uint64_t bytes;
	char path[256];

	ck_assert_int_eq(loan_open(&l, &conf), 0);
	snprintf(path, sizeof(path), "%s", loan_path(l));
	p = loan_data(l, &bytes);
	(void)write_record(l, 10);
	ck_assert_uint_eq(words_of(path).head, 0);
	ck_assert_int_eq(put(l, 10), 0);
	ck_assert_uint_eq(words_of(path).head, 36);
	ck_assert_uint_eq(loan_at(l), 36);
	ck_assert_uint_ne(p[3] | p[4] | p[5] | p[6], 0);
	loan_close(&l, false);
	ck_assert_ptr_null(l);
	ck_assert_uint_eq(words_of(path).closed, 1);
	kit_clean();
}
END_TEST

START_TEST(what_is_no_record_is_refused)
{
	struct loan *l = NULL;
	struct loan_record rec;
	uint64_t bytes;

	ck_assert_int_eq(loan_open(&l, &conf), 0);
	rec = write_record(l, 4);
	rec.bytes = 15;
	ck_assert_int_eq(loan_publish(l, &rec), -EINVAL);
	rec = write_record(l, 4);
	rec.level = LANE_SEVERITIES;
	ck_assert_int_eq(loan_publish(l, &rec), -EINVAL);
	rec = write_record(l, 4);
	rec.job = true;
	rec.id_len = rec.bytes - rec.id_at + 1;
	ck_assert_int_eq(loan_publish(l, &rec), -EINVAL);
	rec = write_record(l, 4);
	rec.bytes = LANE_RECORD_MAX + 1;
	ck_assert_int_eq(loan_publish(l, &rec), -EAGAIN);
	rec = write_record(l, 4);
	loan_data(l, &bytes)[0] = 0x93;
	ck_assert_int_eq(loan_publish(l, &rec), -EINVAL);
	ck_assert_uint_eq(loan_at(l), 0);
	loan_close(&l, true);
	kit_clean();
}
END_TEST

START_TEST(a_full_lane_counts_and_tells)
{
	struct loan *l = NULL;
	struct words p;
	uint64_t refused = 0, head;
	char path[256];

	ck_assert_int_eq(loan_open(&l, &conf), 0);
	snprintf(path, sizeof(path), "%s", loan_path(l));
	while (put(l, 1000) == 0)
		;
	for (refused = 1; refused < 10; refused++)
		ck_assert_int_eq(loan_refuse(l, EMPLOG_INFO, false, 1000), 0);
	ck_assert_int_eq(loan_refuse(l, EMPLOG_WARN, false, 1000), 1);
	ck_assert_uint_gt(loan_room(l, EMPLOG_INFO, true),
	    loan_room(l, EMPLOG_WARN, false));
	ck_assert_uint_lt(loan_room(l, EMPLOG_INFO, false), 1026);
	p = words_of(path);
	ck_assert_uint_eq(p.refused[EMPLOG_INFO], refused);
	ck_assert_uint_eq(p.told[EMPLOG_INFO], 0);
	head = p.head;
	agent_word(path, 0, &head, sizeof(head));
	ck_assert_int_eq(loan_refuse(l, EMPLOG_INFO, false, 1000), 1);
	ck_assert_int_eq(put(l, 10), 0);
	p = words_of(path);
	ck_assert_uint_eq(p.told[EMPLOG_INFO], refused);
	ck_assert_uint_gt(p.head, head + 36);	/* the gap record behind it */
	loan_close(&l, true);
	kit_clean();
}
END_TEST

static void
moves(bool unlinked)
{
	const uint32_t one = 1;
	struct loan *l = NULL;
	char old[256];
	uint64_t bytes;
	uint8_t *was;

	kit.mono_ns = 1;
	ck_assert_int_eq(loan_open(&l, &conf), 0);
	snprintf(old, sizeof(old), "%s", loan_path(l));
	was = loan_data(l, &bytes);
	ck_assert_int_eq(put(l, 10), 0);
	if (unlinked)
		ck_assert_int_eq(unlink(old), 0);
	else
		agent_word(old, 128, &one, sizeof(one));
	/* younger than a second: kept */
	ck_assert_int_eq(put(l, 10), 0);
	kit.mono_ns += 2000000000u;
	kit_wall_on += 2000000000u;
	ck_assert_int_eq(put(l, 20), LOAN_MOVED);
	ck_assert_str_ne(loan_path(l), old);
	ck_assert_uint_eq(words_of(loan_path(l)).head, 46);
	memset(was, 0, bytes);	/* still mapped */
	loan_let_go(l);
	ck_assert_int_eq(put(l, 30), 0);
	if (!unlinked)
		ck_assert_uint_eq(words_of(old).closed, 1);
	loan_close(&l, true);
	kit.mono_ns = 0;
	kit_clean();
}

START_TEST(a_retired_lane_is_replaced)
{
	moves(false);
}
END_TEST

START_TEST(an_unlinked_lane_is_replaced)
{
	moves(true);
}
END_TEST

START_TEST(no_new_lane_leaves_the_record_in_the_old_one)
{
	const struct loan_record rec = { .bytes = 36 };
	const uint32_t one = 1;
	struct loan *l = NULL;
	char old[256];

	kit.mono_ns = 1;
	ck_assert_int_eq(loan_open(&l, &conf), 0);
	snprintf(old, sizeof(old), "%s", loan_path(l));
	agent_word(old, 128, &one, sizeof(one));
	kit.mono_ns += 2000000000u;
	kit.left = 0;	/* the tmpfs is full */
	ck_assert_int_eq(put(l, 10), -ENOSYS);
	ck_assert_uint_eq(words_of(old).head, 36);
	ck_assert_uint_eq(loan_room(l, EMPLOG_ERROR, true), 0);
	ck_assert_int_eq(loan_publish(l, &rec), -ENOSYS);
	loan_let_go(l);
	ck_assert_uint_eq(words_of(old).closed, 1);
	loan_close(&l, true);
	kit.mono_ns = 0;
	kit_clean();
}
END_TEST

/* In the child: the record it was writing when it was forked. */
static int
in_child(struct loan *l, struct loan_record *rec, const char *old)
{
	uint64_t bytes;

	if (loan_publish(l, rec) != LOAN_MOVED)
		return 2;
	if (strcmp(loan_path(l), old) == 0)
		return 3;
	loan_let_go(l);
	if (put(l, 50) != 0)
		return 4;
	if (words_of(loan_path(l)).records != 2)
		return 5;
	memset(loan_data(l, &bytes) + loan_at(l), 0, 100);
	loan_close(&l, true);
	return 0;
}

START_TEST(a_forked_child_has_a_lane_of_its_own)
{
	struct loan *l = NULL;
	struct loan_record rec;
	char old[256];
	int status;
	pid_t pid;

	ck_assert_int_eq(loan_open(&l, &conf), 0);
	snprintf(old, sizeof(old), "%s", loan_path(l));
	ck_assert_int_eq(put(l, 10), 0);
	pid = fork();
	if (pid == 0) {
		rec = write_record(l, 10);
		_exit(in_child(l, &rec, old));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(put(l, 10), 0);
	ck_assert_uint_eq(words_of(old).records, 2);
	ck_assert_uint_eq(words_of(old).closed, 0);
	loan_close(&l, true);
	kit_clean();
}
END_TEST

static uint32_t
job_state(const char *path)
{
	struct lane_job j;
	int fd = open(path, O_RDONLY);

	ck_assert_int_eq(pread(fd, &j, sizeof(j), LANE_JOBS_AT), sizeof(j));
	close(fd);
	return atomic_load(&j.state);
}

START_TEST(jobs_of_any_borrower_are_in_the_first_lane)
{
	struct loan *a = NULL, *b = NULL;
	struct loan_record rec;
	char first[256];

	ck_assert_int_eq(loan_open(&a, &conf), 0);
	ck_assert_int_eq(loan_open(&b, &conf), 0);
	snprintf(first, sizeof(first), "%s", loan_path(a));
	rec = write_record(b, 4);
	rec.job = rec.fill = true;
	rec.event = JOBS_STARTED;
	ck_assert_int_eq(loan_publish(b, &rec), 0);
	ck_assert_uint_eq(job_state(first), LANE_JOB_SET);
	ck_assert_uint_eq(job_state(loan_path(b)), LANE_JOB_FREE);
	/* Its borrower goes, the lane stays for the next one. */
	loan_close(&a, false);
	ck_assert_uint_eq(words_of(first).closed, 0);
	ck_assert_int_eq(loan_open(&a, &conf), 0);
	ck_assert_str_eq(loan_path(a), first);
	rec = write_record(b, 4);
	rec.job = rec.fill = true;
	rec.event = JOBS_ENDED;
	ck_assert_int_eq(loan_publish(b, &rec), 0);
	/* duration was appended */
	ck_assert_uint_gt(words_of(loan_path(b)).head, 2 * rec.bytes);
	ck_assert_uint_eq(job_state(first), LANE_JOB_FREE);
	ck_assert_int_eq(put(a, 4), 0);
	loan_close(&b, false);
	loan_close(&a, false);
	ck_assert_uint_eq(words_of(first).closed, 1);
	kit_clean();
}
END_TEST

START_TEST(an_end_with_a_job_left_is_not_clean)
{
	struct loan *l = NULL;
	struct loan_record rec;
	char path[256];

	ck_assert_int_eq(loan_open(&l, &conf), 0);
	snprintf(path, sizeof(path), "%s", loan_path(l));
	rec = write_record(l, 4);
	rec.job = true;
	rec.event = JOBS_RECEIVED;
	ck_assert_int_eq(loan_publish(l, &rec), 0);
	loan_close(&l, false);
	ck_assert_uint_eq(words_of(path).closed, 0);
	(void)loan_note(JOBS_ENDED, "j-1", 3);
	kit_clean();
}
END_TEST

START_TEST(borrowers_beyond_the_most_are_told)
{
	struct loan *l[LOANS_MAX], *more = NULL;
	unsigned i;

	conf.ring_max = 64u << 20;
	for (i = 0; i < LOANS_MAX; i++)
		ck_assert_int_eq(loan_open(&l[i], &conf), 0);
	ck_assert_int_eq(loan_open(&more, &conf), -EMFILE);
	ck_assert_ptr_null(more);
	for (i = 0; i < LOANS_MAX; i++)
		loan_close(&l[i], true);
	loan_close(&more, true);
	kit_clean();
}
END_TEST

/* A lane of 64 KiB has as much again for control. */
START_TEST(beyond_half_a_ring_lanes_are_small_but_there)
{
	struct loan *l[LOANS_MAX], *more = NULL;
	uint64_t bytes, least = 0;
	unsigned i;

	conf.ring_max = 16u << 20;
	conf.lane_bytes = 1u << 20;
	for (i = 0; i < 33; i++) {
		ck_assert_int_eq(loan_open(&l[i], &conf), 0);
		(void)loan_data(l[i], &bytes);
		ck_assert_uint_eq(put(l[i], 100), 0);
		least += bytes == LANE_DATA_MIN;
	}
	ck_assert_uint_gt(least, 16);
	ck_assert_uint_lt(least, 32);
	/* And others find room when they have taken all they may. */
	conf.ring_max = 6u << 20;
	for (i = 0; i < 33; i++)
		loan_close(&l[i], true);
	kit_clean();
	kit_ring();
	snprintf(conf.ring_dir, sizeof(conf.ring_dir), "%s", kit_dir);
	for (i = 0; i < LOANS_MAX && loan_open(&l[i], &conf) == 0; i++)
		continue;
	ck_assert_uint_gt(i, 20);
	ck_assert_uint_lt(i, LOANS_MAX);
	ck_assert_uint_le(ring_used(conf.sys, kit_dir),
	    conf.ring_max - conf.ring_max / 8);
	ck_assert_int_eq(loan_open(&more, &conf), -ENOSPC);
	while (i-- > 0)
		loan_close(&l[i], true);
	kit_clean();
}
END_TEST

START_TEST(without_room_in_the_ring_lanes_are_on_the_disk)
{
	struct loan *l[2];
	unsigned i;

	conf.ring_max = 2 * (LANE_CONTROL_BYTES + LANE_DATA_MIN);
	snprintf(conf.state_dir, sizeof(conf.state_dir), "%s/state", kit_dir);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(loan_open(&l[i], &conf), 0);
		if (i == 0)
			ck_assert_int_eq(mkdir(conf.state_dir, 0700), 0);
		ck_assert_int_eq(put(l[i], 100), 0);
	}
	ck_assert_ptr_null(strstr(loan_path(l[0]), "/state/ring/"));
	ck_assert_ptr_nonnull(strstr(loan_path(l[1]), "/state/ring/"));
	for (i = 0; i < 2; i++)
		loan_close(&l[i], true);
	kit_clean();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("loan");
	TCase *tc = tcase_create("loan");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, what_is_published_is_whole_and_stamped);
	tcase_add_test(tc, what_is_no_record_is_refused);
	tcase_add_test(tc, a_full_lane_counts_and_tells);
	tcase_add_test(tc, a_retired_lane_is_replaced);
	tcase_add_test(tc, an_unlinked_lane_is_replaced);
	tcase_add_test(tc, no_new_lane_leaves_the_record_in_the_old_one);
	tcase_add_test(tc, a_forked_child_has_a_lane_of_its_own);
	tcase_add_test(tc, jobs_of_any_borrower_are_in_the_first_lane);
	tcase_add_test(tc, an_end_with_a_job_left_is_not_clean);
	tcase_add_test(tc, borrowers_beyond_the_most_are_told);
	tcase_add_test(tc, beyond_half_a_ring_lanes_are_small_but_there);
	tcase_add_test(tc, without_room_in_the_ring_lanes_are_on_the_disk);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
