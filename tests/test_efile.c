/* SPDX-License-Identifier: ISC */
/*
 * test_efile.c - the local export's files when the disk fails
 *
 * Claims: a line that was told durable is in a file, whole and once, until
 * its file is the oldest of more than files_keep; whatever fails.  Real
 * files, and a loop (fileloop.h) whose operations can be made fail.
 */

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "export/file.h"
#include "fileloop.h"

#define LINE_MAX	4096

static struct loop *l;
static struct env env;
static struct efile *f;
static char dir[64], sub[80];
static int opened_res, written_res;
static unsigned closed_n;

static void
opened(void *arg, int res)
{
	opened_res = res;
}

static void
written(void *arg, int res)
{
	written_res = res;
}

static void
closed(void *arg)
{
	closed_n++;
}

static int
open_files(uint64_t bytes_max, unsigned keep)
{
	struct efile_conf c = { sub, bytes_max, keep };

	ck_assert_int_eq(efile_new(&f, &env, &c), 0);
	opened_res = 1;
	efile_open(f, opened, NULL);
	fileloop_settle(l);
	ck_assert_int_ne(opened_res, 1);
	return opened_res;
}

static void
close_files(void)
{
	closed_n = 0;
	efile_close(f, closed, NULL);
	fileloop_settle(l);
	ck_assert_uint_eq(closed_n, 1);
	efile_free(&f);
}

/* A line that begins with its number, filled up to len bytes. */
static int
line(unsigned n, size_t len)
{
	char text[LINE_MAX];

	ck_assert_uint_lt(len, sizeof(text));
	memset(text, 'x', len);
	text[snprintf(text, sizeof(text), "%u:", n)] = 'x';
	written_res = 1;
	ck_assert_int_eq(efile_write(f, bytes_of(text, len), written, NULL),
	    0);
	fileloop_settle(l);
	ck_assert_int_ne(written_res, 1);
	return written_res;
}

static void
faults(enum op_kind kind, unsigned times, int res)
{
	fileloop_fault(l, (struct fault){ .kind = kind, .times = times,
	    .res = res });
}

static unsigned
files(void)
{
	struct dirent *d;
	DIR *at = opendir(sub);
	unsigned n = 0;

	ck_assert_ptr_nonnull(at);
	while ((d = readdir(at)) != NULL)
		n += strncmp(d->d_name, "logs", 4) == 0;
	closedir(at);
	return n;
}

/* How often a line of this number is there; all must be whole. */
static unsigned
times(unsigned number)
{
	char path[512], text[LINE_MAX], *end;
	struct dirent *d;
	DIR *at = opendir(sub);
	unsigned n = 0;
	FILE *in;

	ck_assert_ptr_nonnull(at);
	while ((d = readdir(at)) != NULL) {
		if (strncmp(d->d_name, "logs", 4) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", sub, d->d_name);
		in = fopen(path, "r");
		ck_assert_ptr_nonnull(in);
		while (fgets(text, sizeof(text), in) != NULL) {
			n += strtoul(text, &end, 10) == number;
			ck_assert_msg(*end == ':' &&
			    text[strlen(text) - 1] == '\n', "%s: %.20s",
			    path, text);
		}
		fclose(in);
	}
	closedir(at);
	return n;
}

static void
setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_efile-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/export", dir);
	l = fileloop_new();
	env_init(&env, l, "test");
	env.log_fd = -1;
}

static void
teardown(void)
{
	char command[128];

	loop_free(&l);
	env_fini(&env);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(lines_are_durable_and_files_are_kept_by_number)
{
	unsigned i;

	ck_assert_int_eq(open_files(1000, 3), 0);
	for (i = 1; i <= 20; i++)
		ck_assert_int_eq(line(i, 400), 0);
	ck_assert_uint_eq(files(), 4);		/* two lines a file */
	for (i = 1; i <= 12; i++)
		ck_assert_uint_eq(times(i), 0);
	for (; i <= 20; i++)
		ck_assert_uint_eq(times(i), 1);
	close_files();
}
END_TEST

START_TEST(a_file_is_full_at_its_size_and_not_before)
{
	ck_assert_int_eq(open_files(1000, 9), 0);
	ck_assert_int_eq(line(1, 499), 0);
	ck_assert_int_eq(line(2, 499), 0);
	ck_assert_uint_eq(files(), 1);
	ck_assert_int_eq(line(3, 1), 0);
	ck_assert_uint_eq(files(), 2);
	close_files();
}
END_TEST

START_TEST(what_was_written_before_is_kept_at_the_next_start)
{
	ck_assert_int_eq(open_files(1000, 3), 0);
	ck_assert_int_eq(line(1, 100), 0);
	close_files();
	ck_assert_int_eq(open_files(1000, 3), 0);
	ck_assert_int_eq(line(2, 100), 0);
	close_files();
	ck_assert_uint_eq(times(1), 1);
	ck_assert_uint_eq(times(2), 1);
	ck_assert_uint_eq(files(), 1);
}
END_TEST

START_TEST(a_full_disk_costs_no_file)
{
	unsigned i;

	ck_assert_int_eq(open_files(1000, 2), 0);
	for (i = 1; i <= 5; i++)
		ck_assert_int_eq(line(i, 400), 0);
	for (i = 0; i < 10; i++) {
		fileloop_fault(l, (struct fault){ .kind = OP_WRITE, .times = 1,
		    .res = -ENOSPC, .torn = true });
		ck_assert_int_eq(line(6, 400), -ENOSPC);
	}
	for (i = 1; i <= 5; i++)
		ck_assert_uint_eq(times(i), 1);
	ck_assert_uint_eq(times(6), 0);
	ck_assert_int_eq(line(6, 400), 0);
	ck_assert_uint_eq(files(), 3);
	ck_assert_uint_eq(times(6), 1);
	close_files();
}
END_TEST

START_TEST(a_disk_that_fails_costs_no_file)
{
	static const enum op_kind kinds[] = { OP_WRITE, OP_FSYNC, OP_OPEN };
	unsigned i;

	ck_assert_int_eq(open_files(1000, 2), 0);
	for (i = 1; i <= 5; i++)
		ck_assert_int_eq(line(i, 400), 0);
	for (i = 0; i < 10; i++) {
		faults(kinds[_i], 1, -EIO);
		if (line(6, 400) == 0)
			break;
	}
	faults(OP_IDLE, 0, 0);
	ck_assert_int_eq(line(7, 400), 0);
	for (i = 3; i <= 5; i++)
		ck_assert_uint_eq(times(i), 1);
	ck_assert_uint_eq(times(7), 1);
	close_files();
}
END_TEST

START_TEST(a_failed_sync_is_not_repeated_on_that_file)
{
	ck_assert_int_eq(open_files(1000, 3), 0);
	ck_assert_int_eq(line(1, 100), 0);
	faults(OP_FSYNC, 1, -EIO);
	ck_assert_int_eq(line(2, 100), -EIO);
	ck_assert_int_eq(line(2, 100), 0);
	ck_assert_uint_eq(files(), 2);
	ck_assert_uint_eq(times(1), 1);
	ck_assert_uint_eq(times(2), 1);
	close_files();
}
END_TEST

START_TEST(a_rotation_that_fails_overwrites_nothing)
{
	ck_assert_int_eq(open_files(500, 3), 0);
	ck_assert_int_eq(line(1, 400), 0);
	faults(OP_RENAME, 3, -EROFS);
	ck_assert_int_eq(line(2, 400), -EROFS);
	ck_assert_int_eq(line(2, 400), -EROFS);
	ck_assert_int_eq(line(2, 400), -EROFS);
	ck_assert_int_eq(line(2, 400), 0);
	ck_assert_uint_eq(times(1), 1);
	ck_assert_uint_eq(times(2), 1);
	ck_assert_uint_eq(files(), 2);
	close_files();
}
END_TEST

START_TEST(an_end_that_cannot_be_read_costs_no_line)
{
	ck_assert_int_eq(open_files(1000, 3), 0);
	ck_assert_int_eq(line(1, 400), 0);
	close_files();
	faults(OP_READ, 1, -EIO);
	ck_assert_int_eq(open_files(1000, 3), 0);
	ck_assert_int_eq(line(2, 400), 0);
	ck_assert_uint_eq(times(1), 1);
	ck_assert_uint_eq(times(2), 1);
	close_files();
}
END_TEST

/* Where its lines end is not known: nothing is written over them. */
START_TEST(a_file_that_cannot_be_looked_at_costs_no_line)
{
	ck_assert_int_eq(open_files(1000, 3), 0);
	ck_assert_int_eq(line(1, 400), 0);
	close_files();
	faults(OP_STAT, 1, -EIO);
	ck_assert_int_eq(open_files(1000, 3), -EIO);
	faults(OP_STAT, 2, -ENOMEM);
	ck_assert_int_eq(line(2, 400), -ENOMEM);
	ck_assert_int_eq(line(2, 400), -ENOMEM);
	ck_assert_int_eq(line(2, 400), 0);
	ck_assert_uint_eq(times(1), 1);
	ck_assert_uint_eq(times(2), 1);
	close_files();
}
END_TEST

/* Its line is still to come: it would be there twice. */
START_TEST(a_file_is_not_left_with_a_line_that_was_given_up)
{
	ck_assert_int_eq(open_files(1000, 3), 0);
	ck_assert_int_eq(line(1, 400), 0);
	/* the sync and the cut, the cut twice more */
	fileloop_fault(l, (struct fault){ .kind = OP_IDLE, .after = 2,
	    .times = 4, .res = -EIO });
	ck_assert_int_eq(line(2, 400), -EIO);
	ck_assert_int_eq(line(2, 400), -EIO);
	ck_assert_int_eq(line(2, 400), -EIO);
	ck_assert_int_eq(line(2, 400), 0);
	ck_assert_uint_eq(times(1), 1);
	ck_assert_uint_eq(times(2), 1);
	close_files();
}
END_TEST

START_TEST(a_directory_that_cannot_be_synced_is_tried_again)
{
	unsigned i;

	ck_assert_int_eq(open_files(500, 3), 0);
	ck_assert_int_eq(line(1, 400), 0);
	/* of the new file's directory, then of its line */
	faults(OP_FSYNC, 1, -EIO);
	ck_assert_int_eq(line(2, 400), -EIO);
	i = fileloop_count(l, OP_FSYNC);
	ck_assert_int_eq(line(2, 400), 0);
	ck_assert_uint_eq(fileloop_count(l, OP_FSYNC) - i, 2);
	ck_assert_uint_eq(times(1), 1);
	ck_assert_uint_eq(times(2), 1);
	close_files();
}
END_TEST

static void
touch(const char *name, const char *content)
{
	char path[512];
	FILE *out;

	(void)mkdir(sub, 0755);
	snprintf(path, sizeof(path), "%s/%s", sub, name);
	out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(content, out);
	fclose(out);
}

START_TEST(names_that_are_not_ours_neither_count_nor_go)
{
	unsigned i;

	touch("logs-18446744073709551615.jsonl", "1:\n");
	touch("logs-99999999999999999999.jsonl", "1:\n");
	touch("logs-1.jsonl", "1:\n");
	touch("logs-00000001.jsonl.gz", "1:\n");
	touch("logs-00000001.jsonl", "2:\n");
	touch("logs-00900000.jsonl", "3:\n");
	ck_assert_int_eq(open_files(500, 2), 0);
	for (i = 10; i < 13; i++)
		ck_assert_int_eq(line(i, 400), 0);
	ck_assert_uint_eq(times(1), 4);
	ck_assert_uint_eq(times(2), 0);
	ck_assert_uint_eq(times(3), 0);
	ck_assert_uint_eq(times(10), 1);
	ck_assert_uint_eq(files(), 4 + 3);
	close_files();
}
END_TEST

START_TEST(a_torn_line_is_cut_off_at_the_start)
{
	touch("logs.jsonl", "1:\n2:x");
	ck_assert_int_eq(open_files(500, 2), 0);
	ck_assert_uint_eq(times(1), 1);
	ck_assert_int_eq(line(3, 10), 0);
	ck_assert_uint_eq(times(2), 0);
	ck_assert_uint_eq(times(3), 1);
	close_files();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("efile");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, lines_are_durable_and_files_are_kept_by_number);
	tcase_add_test(tc, a_file_is_full_at_its_size_and_not_before);
	tcase_add_test(tc, what_was_written_before_is_kept_at_the_next_start);
	tcase_add_test(tc, a_full_disk_costs_no_file);
	tcase_add_loop_test(tc, a_disk_that_fails_costs_no_file, 0, 3);
	tcase_add_test(tc, a_failed_sync_is_not_repeated_on_that_file);
	tcase_add_test(tc, a_rotation_that_fails_overwrites_nothing);
	tcase_add_test(tc, an_end_that_cannot_be_read_costs_no_line);
	tcase_add_test(tc, a_file_that_cannot_be_looked_at_costs_no_line);
	tcase_add_test(tc, a_file_is_not_left_with_a_line_that_was_given_up);
	tcase_add_test(tc, a_directory_that_cannot_be_synced_is_tried_again);
	tcase_add_test(tc, names_that_are_not_ours_neither_count_nor_go);
	tcase_add_test(tc, a_torn_line_is_cut_off_at_the_start);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
