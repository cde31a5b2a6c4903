/* SPDX-License-Identifier: ISC */
/*
 * test_counters.c - the mapped page of counters
 *
 * Claims: what is counted stands in the file at once and outlives its
 * process; a file of another version is read by name; a damaged one is never
 * believed; without a file counting goes on.
 */

#include "counters/counters.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], path[96];
static uint8_t image[1 << 16];
static size_t image_len;

static void
setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_counters.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/counters", dir);
}

static void
teardown(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static void
load_image(void)
{
	FILE *f = fopen(path, "r");

	ck_assert_ptr_nonnull(f);
	image_len = fread(image, 1, sizeof(image), f);
	ck_assert_uint_lt(image_len, sizeof(image));
	fclose(f);
}

static void
store_image(size_t n)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(image, 1, n, f), n);
	fclose(f);
}

/* A file that counts 7 and 9, and is left by its process. */
static void
make_file(void)
{
	struct counters c;

	counters_init(&c);
	ck_assert_int_eq(counters_map(&c, path, "relay"), 0);
	ctr_add(&c, CTR_recv_records, 7);
	ctr_set(&c, CTR_recv_open, 9);
	strcpy(c.head->io, "epoll");
	strcpy(c.head->state, "done");
	c.head->seen_ns = 123456789;
	counters_fini(&c);
}

START_TEST(a_second_process_is_refused_and_disturbs_nothing)
{
	struct counters first, second;

	counters_init(&first);
	counters_init(&second);
	ck_assert_int_eq(counters_map(&first, path, "relay"), 0);
	ctr_set(&first, CTR_recv_open, 9);
	strcpy(first.head->state, "run");
	ck_assert_int_eq(counters_map(&second, path, "agent"), -EBUSY);
	ck_assert_uint_eq(ctr_get(&first, CTR_recv_open), 9);
	ck_assert_str_eq(first.head->state, "run");
	ck_assert_str_eq(first.head->role, "relay");
	ctr_add(&second, CTR_recv_open, 1);	/* in private memory */
	counters_fini(&first);
	ck_assert_int_eq(counters_map(&second, path, "agent"), 0);
	counters_fini(&second);
}
END_TEST

START_TEST(the_table_is_in_order)
{
	size_t n;
	int i, j;

	for (i = 0; i < CTR_COUNT; i++) {
		ck_assert(ctr_info[i].brief[0] != '\0');
		ck_assert(ctr_info[i].part[0] != '\0');
		n = strlen(ctr_info[i].brief);
		ck_assert_msg(ctr_info[i].brief[n - 1] != '.', "%s",
		    ctr_info[i].name);
		for (j = 0; j < i; j++)
			ck_assert_str_ne(ctr_info[i].name, ctr_info[j].name);
		/* Parts are not scattered. */
		for (j = 0; j < i - 1; j++)
			if (strcmp(ctr_info[j].part, ctr_info[i].part) == 0)
				ck_assert_str_eq(ctr_info[i - 1].part,
				    ctr_info[i].part);
	}
}
END_TEST

START_TEST(private_memory_counts_from_zero)
{
	struct counters c;
	int i;

	counters_init(&c);
	for (i = 0; i < CTR_COUNT; i++)
		ck_assert_uint_eq(ctr_get(&c, i), 0);
	ctr_add(&c, CTR_lane_seen, 2);
	ctr_add(&c, CTR_lane_seen, 3);
	ctr_set(&c, CTR_hop_up, 1);
	ck_assert_uint_eq(ctr_get(&c, CTR_lane_seen), 5);
	ck_assert_uint_eq(ctr_get(&c, CTR_hop_up), 1);
	ck_assert_uint_eq(c.mapped, 0);
	counters_fini(&c);
	ck_assert_ptr_null(c.head);
}
END_TEST

START_TEST(the_file_is_laid_out_as_said)
{
	const char *name;
	uint64_t v;
	uint32_t u;
	int i;

	make_file();
	load_image();
	ck_assert_mem_eq(image, "EMPLCTR", 8);
	memcpy(&u, image + 8, 4);
	ck_assert_uint_eq(u, 1);
	memcpy(&u, image + 12, 4);
	ck_assert_uint_eq(u, 256);
	memcpy(&u, image + 16, 4);
	ck_assert_uint_eq(u, CTR_COUNT);
	memcpy(&u, image + 20, 4);
	ck_assert_uint_eq(u, (uint32_t)getpid());
	memcpy(&v, image + 256 + 8 * CTR_recv_records, 8);
	ck_assert_uint_eq(v, 7);
	name = (const char *)image + 256 + 8 * CTR_COUNT;
	for (i = 0; i < CTR_COUNT; i++, name += strlen(name) + 1)
		ck_assert_str_eq(name, ctr_info[i].name);
	ck_assert_ptr_eq(name, (const char *)image + image_len);
}
END_TEST

START_TEST(another_process_sees_it_at_once)
{
	struct counters c, seen;
	pid_t pid;
	int status;

	counters_init(&c);
	ck_assert_int_eq(counters_map(&c, path, "agent"), 0);
	pid = fork();
	if (pid == 0) {
		ctr_add(&c, CTR_lane_knocks, 42);
		raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(counters_peek(&seen, path), 0);
	ck_assert_uint_eq(ctr_get(&seen, CTR_lane_knocks), 42);
	ck_assert_str_eq(seen.head->role, "agent");
	counters_fini(&seen);
	counters_fini(&c);
}
END_TEST

START_TEST(a_stopped_process_can_be_peeked_at)
{
	struct counters c;

	make_file();
	ck_assert_int_eq(counters_peek(&c, path), 0);
	ck_assert_uint_eq(ctr_get(&c, CTR_recv_records), 7);
	ck_assert_uint_eq(ctr_get(&c, CTR_recv_open), 9);
	ck_assert_str_eq(c.head->role, "relay");
	ck_assert_str_eq(c.head->io, "epoll");
	ck_assert_str_eq(c.head->state, "done");
	ck_assert_uint_eq(c.head->seen_ns, 123456789);
	ck_assert_uint_eq(c.head->pid, (uint32_t)getpid());
	counters_fini(&c);
}
END_TEST

START_TEST(peeking_writes_nothing)
{
	static uint8_t before[sizeof(image)];
	struct counters c;
	size_t n;

	make_file();
	load_image();
	memcpy(before, image, image_len);
	n = image_len;
	ck_assert_int_eq(counters_peek(&c, path), 0);
	ctr_add(&c, CTR_recv_records, 1);
	counters_fini(&c);
	load_image();
	ck_assert_uint_eq(image_len, n);
	ck_assert_mem_eq(before, image, n);
}
END_TEST

START_TEST(a_restart_takes_counters_over_and_not_gauges)
{
	struct counters c;

	make_file();
	counters_init(&c);
	ck_assert_int_eq(counters_map(&c, path, "relay"), 0);
	ck_assert_uint_eq(ctr_get(&c, CTR_recv_records), 7);
	ck_assert_uint_eq(ctr_get(&c, CTR_recv_open), 0);
	ck_assert_str_eq(c.head->state, "");
	ctr_add(&c, CTR_recv_records, 1);
	counters_fini(&c);
	ck_assert_int_eq(counters_peek(&c, path), 0);
	ck_assert_uint_eq(ctr_get(&c, CTR_recv_records), 8);
	counters_fini(&c);
}
END_TEST

START_TEST(another_version_is_read_by_name)
{
	static const char names[] = "from_the_future\0recv_records";
	struct counters_head h = { .magic = "EMPLCTR", .version = 2,
	    .header_bytes = 512, .count = 2, .names_bytes = sizeof(names) };
	uint64_t word[2] = { 5, 11 };
	struct counters c;
	int i;

	memset(image, 0xee, 512);
	memcpy(image, &h, sizeof(h));
	memcpy(image + 512, word, sizeof(word));
	memcpy(image + 528, names, sizeof(names));
	store_image(528 + sizeof(names));
	ck_assert_int_eq(counters_peek(&c, path), 0);
	for (i = 0; i < CTR_COUNT; i++)
		ck_assert_uint_eq(ctr_get(&c, i),
		    i == CTR_recv_records ? 11 : 0);
	counters_fini(&c);
}
END_TEST

START_TEST(no_cut_file_is_believed)
{
	struct counters c;
	size_t n;

	make_file();
	load_image();
	for (n = 0; n < image_len; n += n < 300 ? 1 : 13) {
		store_image(n);
		ck_assert_int_eq(counters_peek(&c, path), -EINVAL);
	}
	store_image(image_len - 1);
	ck_assert_int_eq(counters_peek(&c, path), -EINVAL);
}
END_TEST

static void
head_is_refused(size_t at, uint64_t v, size_t n)
{
	struct counters c;
	uint8_t saved[8];

	memcpy(saved, image + at, 8);
	memcpy(image + at, &v, n);
	store_image(image_len);
	ck_assert_int_eq(counters_peek(&c, path), -EINVAL);
	memcpy(image + at, saved, 8);
}

START_TEST(no_lying_head_is_believed)
{
	make_file();
	load_image();
	head_is_refused(0, 0, 1);
	head_is_refused(offsetof(struct counters_head, header_bytes), 255, 4);
	head_is_refused(offsetof(struct counters_head, header_bytes),
	    UINT32_MAX, 4);
	head_is_refused(offsetof(struct counters_head, count), UINT32_MAX, 4);
	head_is_refused(offsetof(struct counters_head, count), 4097, 4);
	head_is_refused(offsetof(struct counters_head, count), CTR_COUNT + 1,
	    4);
	head_is_refused(offsetof(struct counters_head, names_bytes),
	    UINT64_MAX, 8);
	head_is_refused(offsetof(struct counters_head, names_bytes), 1, 8);
}
END_TEST

START_TEST(random_damage_never_crashes)
{
	struct counters c;
	unsigned seed = 7, i, k;

	make_file();
	load_image();
	for (i = 0; i < 300; i++) {
		for (k = 0; k < 8; k++)
			image[(size_t)rand_r(&seed) % 300] =
			    (uint8_t)rand_r(&seed);
		store_image(image_len);
		if (counters_peek(&c, path) == 0)
			counters_fini(&c);
	}
}
END_TEST

START_TEST(a_damaged_file_is_begun_anew)
{
	struct counters c;
	int i;

	make_file();
	load_image();
	image[image_len - 1] = 'x';	/* the last name never ends */
	store_image(image_len);
	counters_init(&c);
	ck_assert_int_eq(counters_map(&c, path, "relay"), 0);
	for (i = 0; i < CTR_COUNT; i++)
		ck_assert_uint_eq(ctr_get(&c, i), 0);
	counters_fini(&c);
	ck_assert_int_eq(counters_peek(&c, path), 0);
	counters_fini(&c);
}
END_TEST

START_TEST(two_processes_never_count_in_one_file)
{
	struct counters one, two, seen;

	counters_init(&one);
	ck_assert_int_eq(counters_map(&one, path, "relay"), 0);
	ctr_add(&one, CTR_recv_records, 5);
	strcpy(one.head->state, "run");
	counters_init(&two);
	ck_assert_int_eq(counters_map(&two, path, "relay"), -EBUSY);
	ctr_add(&two, CTR_recv_records, 1);	/* in memory of its own */
	counters_fini(&two);
	ck_assert_uint_eq(ctr_get(&one, CTR_recv_records), 5);
	ck_assert_int_eq(counters_peek(&seen, path), 0);
	ck_assert_int_eq(seen.held, 1);
	ck_assert_str_eq(seen.head->state, "run");
	counters_fini(&seen);
	counters_fini(&one);
	ck_assert_int_eq(counters_peek(&seen, path), 0);
	ck_assert_int_eq(seen.held, 0);
	counters_fini(&seen);
}
END_TEST

START_TEST(without_a_file_counting_goes_on)
{
	struct counters c;
	char other[160];

	counters_init(&c);
	ctr_add(&c, CTR_lane_knocks, 3);
	snprintf(other, sizeof(other), "%s/absent/counters", dir);
	ck_assert_int_eq(counters_map(&c, other, "relay"), -ENOENT);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_int_eq(counters_map(&c, path, "relay"), -ELOOP);
	ck_assert_int_eq(counters_map(&c, dir, "relay"), -EISDIR);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_lt(counters_map(&c, path, "relay"), 0);
	ctr_add(&c, CTR_lane_knocks, 4);
	ck_assert_uint_eq(ctr_get(&c, CTR_lane_knocks), 7);
	counters_fini(&c);
}
END_TEST

START_TEST(a_disk_without_room_is_an_error_and_no_signal)
{
	const struct rlimit small = { 1024, 1024 };
	struct counters c;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	counters_init(&c);
	ck_assert_int_eq(counters_map(&c, path, "relay"), -EFBIG);
	ctr_add(&c, CTR_lane_knocks, 1);
	counters_fini(&c);
}
END_TEST

START_TEST(a_long_role_is_cut)
{
	struct counters c;

	counters_init(&c);
	ck_assert_int_eq(counters_map(&c, path, "a_role_longer_than_16"), 0);
	ck_assert_str_eq(c.head->role, "a_role_longer_t");
	counters_fini(&c);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_second_process_is_refused_and_disturbs_nothing,
		the_table_is_in_order, private_memory_counts_from_zero,
		the_file_is_laid_out_as_said, another_process_sees_it_at_once,
		a_stopped_process_can_be_peeked_at, peeking_writes_nothing,
		a_restart_takes_counters_over_and_not_gauges,
		another_version_is_read_by_name, no_cut_file_is_believed,
		no_lying_head_is_believed, random_damage_never_crashes,
		a_damaged_file_is_begun_anew, two_processes_never_count_in_one_file,
		without_a_file_counting_goes_on,
		a_disk_without_room_is_an_error_and_no_signal,
		a_long_role_is_cut,
	};
	TCase *tc = tcase_create("counters");
	Suite *s = suite_create("counters");
	SRunner *sr;
	size_t i;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
