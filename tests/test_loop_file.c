/* SPDX-License-Identifier: ISC */
/* test_loop_file.c - files, directories, watches; see test_loop.c */

#include "test_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/backend.h"

static int
open_file(const char *name, int flags)
{
	struct tap t;

	tap_init(&t);
	loop_open(l, &t.op, in_dir(name), flags, 0640);
	return (int)await(&t);
}

START_TEST(what_is_written_is_read)
{
	char buf[16] = "";
	struct tap t;
	int fd;

	fd = open_file("f", O_RDWR | O_CREAT);
	ck_assert_int_ge(fd, 0);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	tap_init(&t);
	loop_write(l, &t.op, fd, "hello world", 11, 0);
	ck_assert_int_eq(await(&t), 11);
	loop_write(l, &t.op, fd, "W", 1, 6);
	ck_assert_int_eq(await(&t), 1);
	loop_read(l, &t.op, fd, buf, 5, 6);
	ck_assert_int_eq(await(&t), 5);
	ck_assert_str_eq(buf, "World");
	loop_read(l, &t.op, fd, buf, sizeof(buf), 9);
	ck_assert_int_eq(await(&t), 2);
	loop_read(l, &t.op, fd, buf, sizeof(buf), 11);
	ck_assert_int_eq(await(&t), 0);
	loop_fsync(l, &t.op, fd);
	ck_assert_int_eq(await(&t), 0);
	close_fd(fd);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

START_TEST(open_says_why_not)
{
	put_file("f", "");
	ck_assert_int_eq(open_file("none", O_RDONLY), -ENOENT);
	ck_assert_int_eq(open_file("f", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
	ck_assert_int_eq(open_file("f", O_RDONLY | O_DIRECTORY), -ENOTDIR);
	ck_assert_int_eq(symlink("f", in_dir("link")), 0);
	ck_assert_int_eq(open_file("link", O_RDONLY | O_NOFOLLOW), -ELOOP);
}
END_TEST

START_TEST(ops_on_a_closed_descriptor_are_ebadf)
{
	char buf[8];
	struct tap t;
	int fd;

	fd = open_file("f", O_RDWR | O_CREAT);
	close_fd(fd);
	tap_init(&t);
	loop_read(l, &t.op, fd, buf, sizeof(buf), 0);
	ck_assert_int_eq(await(&t), -EBADF);
	loop_write(l, &t.op, fd, buf, sizeof(buf), 0);
	ck_assert_int_eq(await(&t), -EBADF);
	loop_fsync(l, &t.op, fd);
	ck_assert_int_eq(await(&t), -EBADF);
	loop_fallocate(l, &t.op, fd, 0, 10);
	ck_assert_int_eq(await(&t), -EBADF);
	loop_truncate(l, &t.op, fd, 0);
	ck_assert_int_eq(await(&t), -EBADF);
	loop_lock(l, &t.op, fd);
	ck_assert_int_eq(await(&t), -EBADF);
	loop_close(l, &t.op, fd);
	ck_assert_int_eq(await(&t), -EBADF);
}
END_TEST

START_TEST(a_nonblocking_file_is_read_all_the_same)
{
	char buf[8];
	struct tap t;
	int fd;

	put_file("f", "abc");
	fd = open_file("f", O_RDWR | O_NONBLOCK);
	tap_init(&t);
	loop_read(l, &t.op, fd, buf, sizeof(buf), 0);
	ck_assert_int_eq(await(&t), 3);
	loop_write(l, &t.op, fd, "d", 1, 3);
	ck_assert_int_eq(await(&t), 1);
	close_fd(fd);
}
END_TEST

START_TEST(a_directory_can_be_made_durable)
{
	struct tap t;
	int fd;

	tap_init(&t);
	loop_open(l, &t.op, dir, O_RDONLY | O_DIRECTORY, 0);
	fd = (int)await(&t);
	ck_assert_int_ge(fd, 0);
	loop_fsync(l, &t.op, fd);
	ck_assert_int_eq(await(&t), 0);
	close_fd(fd);
}
END_TEST

START_TEST(names_are_made_moved_and_removed)
{
	struct tap t;

	tap_init(&t);
	put_file("a", "a");
	put_file("b", "b");
	loop_rename(l, &t.op, in_dir("a"), in_dir("b"));
	ck_assert_int_eq(await(&t), 0);
	ck_assert_int_eq(access(in_dir("a"), F_OK), -1);
	loop_rename(l, &t.op, in_dir("a"), in_dir("b"));
	ck_assert_int_eq(await(&t), -ENOENT);
	loop_mkdir(l, &t.op, in_dir("d"), 0700);
	ck_assert_int_eq(await(&t), 0);
	loop_mkdir(l, &t.op, in_dir("d"), 0700);
	ck_assert_int_eq(await(&t), -EEXIST);
	loop_unlink(l, &t.op, in_dir("b"));
	ck_assert_int_eq(await(&t), 0);
	loop_unlink(l, &t.op, in_dir("b"));
	ck_assert_int_eq(await(&t), -ENOENT);
	loop_unlink(l, &t.op, in_dir("d"));
	ck_assert_int_eq(await(&t), -EISDIR);
}
END_TEST

START_TEST(fallocate_grows_and_truncate_sets_the_size)
{
	struct tap t;
	struct stat st;
	int fd;

	fd = open_file("f", O_RDWR | O_CREAT);
	tap_init(&t);
	loop_fallocate(l, &t.op, fd, 0, 100000);
	ck_assert_int_eq(await(&t), 0);
	fstat(fd, &st);
	ck_assert_int_eq(st.st_size, 100000);
	ck_assert_int_ge(st.st_blocks * 512, 100000);
	loop_truncate(l, &t.op, fd, 7);
	ck_assert_int_eq(await(&t), 0);
	fstat(fd, &st);
	ck_assert_int_eq(st.st_size, 7);
	loop_fallocate(l, &t.op, fd, 0, 0);
	ck_assert_int_eq(await(&t), -EINVAL);
	close_fd(fd);
}
END_TEST

/* ---- list, stat, space, lock ---- */

START_TEST(list_is_sorted_by_bytes_and_has_no_dots)
{
	static const char *const names[] = {
		"B", "a", "aa", "ab", "b", "z-10", "z-9", "\xc3\xa9",
	};
	const size_t n = sizeof(names) / sizeof(*names);
	struct tap t;
	size_t i;

	tap_init(&t);
	loop_list(l, &t.op, dir);
	ck_assert_int_eq(await(&t), 0);
	op_list_free(&t.op);
	for (i = n; i > 0; i--)
		put_file(names[i - 1], "");
	loop_list(l, &t.op, dir);
	ck_assert_int_eq(await(&t), (int64_t)n);
	ck_assert_uint_eq(t.op.list.n, n);
	for (i = 0; i < n; i++)
		ck_assert_str_eq(t.op.list.names[i], names[i]);
	op_list_free(&t.op);
	op_list_free(&t.op);		/* twice is harmless */
}
END_TEST

START_TEST(list_says_why_not)
{
	struct tap t;

	put_file("f", "");
	tap_init(&t);
	loop_list(l, &t.op, in_dir("none"));
	ck_assert_int_eq(await(&t), -ENOENT);
	loop_list(l, &t.op, in_dir("f"));
	ck_assert_int_eq(await(&t), -ENOTDIR);
}
END_TEST

START_TEST(list_has_a_most_of_names)
{
	struct list_names ln = { 0 };
	char name[16];
	struct tap t;
	int i, extra;

	for (extra = -1; extra <= 1; extra++) {
		tap_init(&t);
		for (i = 0; i < LOOP_LIST_MAX + extra; i++) {
			snprintf(name, sizeof(name), "%x", i);
			list_add(&ln, name);
		}
		if (extra == 1) {
			ck_assert_int_eq(list_end(&ln, &t.op), -E2BIG);
			ck_assert_ptr_null(t.op.list.names);
		} else
			ck_assert_int_eq(list_end(&ln, &t.op),
			    LOOP_LIST_MAX + extra);
		op_list_free(&t.op);
	}
}
END_TEST

static enum loop_type
type_of(const char *name)
{
	struct tap t;

	tap_init(&t);
	loop_stat(l, &t.op, in_dir(name));
	ck_assert_int_eq(await(&t), 0);
	return t.op.stat.type;
}

START_TEST(stat_tells_the_name_itself)
{
	struct stat st;
	struct tap t;

	put_file("file", "12345");
	chmod(in_dir("file"), 02640);
	ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
	ck_assert_int_eq(symlink("nowhere", in_dir("link")), 0);
	ck_assert_int_eq(mkdir(in_dir("dir"), 0700), 0);
	ck_assert_int_eq(type_of("fifo"), LOOP_FIFO);
	ck_assert_int_eq(type_of("link"), LOOP_LINK);
	ck_assert_int_eq(type_of("dir"), LOOP_DIR);
	tap_init(&t);
	loop_stat(l, &t.op, "/dev/null");
	ck_assert_int_eq(await(&t), 0);
	ck_assert_int_eq(t.op.stat.type, LOOP_OTHER);
	loop_stat(l, &t.op, in_dir("file"));
	ck_assert_int_eq(await(&t), 0);
	stat(in_dir("file"), &st);
	ck_assert_int_eq(t.op.stat.type, LOOP_FILE);
	ck_assert_uint_eq(t.op.stat.mode, 02640);
	ck_assert_uint_eq(t.op.stat.size, 5);
	ck_assert_uint_eq(t.op.stat.uid, st.st_uid);
	ck_assert_uint_eq(t.op.stat.gid, st.st_gid);
	ck_assert_uint_eq(t.op.stat.ino, st.st_ino);
	ck_assert_uint_eq(t.op.stat.mtime_ns, (uint64_t)st.st_mtim.tv_sec *
	    1000000000u + (uint64_t)st.st_mtim.tv_nsec);
	loop_stat(l, &t.op, in_dir("none"));
	ck_assert_int_eq(await(&t), -ENOENT);
}
END_TEST

START_TEST(space_is_of_the_file_system)
{
	struct tap t;

	tap_init(&t);
	loop_space(l, &t.op, dir);
	ck_assert_int_eq(await(&t), 0);
	ck_assert_uint_gt(t.op.space.total_bytes, 0);
	ck_assert_uint_le(t.op.space.free_bytes, t.op.space.total_bytes);
	loop_space(l, &t.op, in_dir("none"));
	ck_assert_int_eq(await(&t), -ENOENT);
}
END_TEST

/* A process that locks the file, says so, and holds on until killed. */
static pid_t
other_holder(const char *path)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd, said[2];
	pid_t pid;
	char c = 0;

	ck_assert_int_eq(pipe(said), 0);
	pid = fork();
	if (pid == 0) {
		fd = open(path, O_RDWR);
		c = fcntl(fd, F_OFD_SETLK, &fl) == 0 ? 'y' : 'n';
		(void)!write(said[1], &c, 1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(said[0], &c, 1), 1);
	ck_assert_int_eq(c, 'y');
	close(said[0]);
	close(said[1]);
	return pid;
}

START_TEST(a_lock_is_for_one_process)
{
	struct tap t;
	pid_t pid;
	int fd;

	put_file("lock", "");
	pid = other_holder(in_dir("lock"));
	fd = open_file("lock", O_RDWR);
	tap_init(&t);
	loop_lock(l, &t.op, fd);
	ck_assert_int_eq(await(&t), -EAGAIN);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	loop_lock(l, &t.op, fd);
	ck_assert_int_eq(await(&t), 0);
	loop_lock(l, &t.op, fd);	/* ours already */
	ck_assert_int_eq(await(&t), 0);
	close_fd(fd);
}
END_TEST

/* ---- FIFOs ---- */

START_TEST(an_empty_fifo_is_again_and_a_full_one_too)
{
	char buf[65536] = "";
	struct tap t;
	int fd, i;

	ck_assert_int_eq(mkfifo(in_dir("p"), 0600), 0);
	fd = open_file("p", O_RDWR | O_NONBLOCK);
	ck_assert_int_ge(fd, 0);
	tap_init(&t);
	loop_read(l, &t.op, fd, buf, sizeof(buf), LOOP_STREAM);
	ck_assert_int_eq(await(&t), -EAGAIN);
	loop_write(l, &t.op, fd, "knock", 5, LOOP_STREAM);
	ck_assert_int_eq(await(&t), 5);
	loop_read(l, &t.op, fd, buf, sizeof(buf), LOOP_STREAM);
	ck_assert_int_eq(await(&t), 5);
	ck_assert_mem_eq(buf, "knock", 5);
	for (i = 0; i < 100 && t.res > 0; i++) {
		loop_write(l, &t.op, fd, buf, sizeof(buf), LOOP_STREAM);
		await(&t);
	}
	ck_assert_int_eq(t.res, -EAGAIN);
	close_fd(fd);
}
END_TEST

START_TEST(a_fifo_without_a_reader_is_epipe_and_no_signal)
{
	struct tap t;
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	close(fd[0]);
	tap_init(&t);
	loop_write(l, &t.op, fd[1], "x", 1, LOOP_STREAM);
	ck_assert_int_eq(await(&t), -EPIPE);
	close_fd(fd[1]);
}
END_TEST

/* ---- watch ---- */

START_TEST(watch_tells_of_names_that_come_change_and_go)
{
	struct loop_watch *w;
	struct tap t;

	tap_init(&t);
	ck_assert_int_eq(loop_watch_open(l, dir, &w), 0);
	loop_watch(l, &t.op, w);
	loop_turn(l, false);
	ck_assert_uint_eq(t.n, 0);
	put_file("a", "x");
	ck_assert_int_ge(await(&t), 1);
	loop_watch(l, &t.op, w);
	if (op_idle(&t.op) || loop_turn(l, false) == 0) {
		rename(in_dir("a"), in_dir("b"));
		ck_assert_int_ge(await(&t), 1);
	}
	unlink(in_dir("b"));
	loop_watch(l, &t.op, w);
	ck_assert_int_ge(await(&t), 1);
	loop_watch_close(l, &w);
	ck_assert_ptr_null(w);
}
END_TEST

START_TEST(watch_misses_nothing_between_two_calls)
{
	struct loop_watch *w;
	int64_t sum = 0;
	char name[16];
	struct tap t;
	int i;

	tap_init(&t);
	ck_assert_int_eq(loop_watch_open(l, dir, &w), 0);
	for (i = 0; i < 200; i++) {
		/* before, while and after the op is pending */
		snprintf(name, sizeof(name), "%d", i);
		if (i % 3 == 0) {
			put_file(name, "");
			loop_watch(l, &t.op, w);
		} else {
			loop_watch(l, &t.op, w);
			if (i % 3 == 1)
				loop_turn(l, false);
			put_file(name, "");
		}
		if (!op_idle(&t.op))
			await(&t);
		ck_assert_int_ge(t.res, 1);
		sum += t.res;
	}
	/* what the last look left over */
	loop_watch(l, &t.op, w);
	loop_turn(l, false);
	loop_cancel(l, &t.op);
	if (!op_idle(&t.op))
		await(&t);
	if (t.res > 0)
		sum += t.res;
	ck_assert_int_eq(sum, 400);	/* IN_CREATE and IN_CLOSE_WRITE each */
	loop_watch_close(l, &w);
}
END_TEST

static long
queue_max(void)
{
	FILE *f;
	long n = 0;

	f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	if (f == NULL || fscanf(f, "%ld", &n) != 1)
		n = 0;
	if (f != NULL)
		fclose(f);
	return n;
}

START_TEST(watch_says_when_it_lost_count)
{
	struct loop_watch *w;
	long i, n = queue_max();
	char name[32];
	struct tap t;

	if (n == 0 || n > 40000)
		return;
	tap_init(&t);
	ck_assert_int_eq(loop_watch_open(l, dir, &w), 0);
	for (i = 0; i < n / 2 + 8; i++) {
		snprintf(name, sizeof(name), "%ld", i);
		put_file(name, "");
	}
	loop_watch(l, &t.op, w);
	ck_assert_int_eq(await(&t), -EOVERFLOW);
	put_file("more", "");
	loop_watch(l, &t.op, w);
	ck_assert_int_eq(await(&t), 2);
	loop_watch_close(l, &w);
}
END_TEST

START_TEST(watch_of_what_is_no_directory_fails)
{
	struct loop_watch *w = NULL;

	put_file("f", "");
	ck_assert_int_eq(loop_watch_open(l, in_dir("none"), &w), -ENOENT);
	ck_assert_int_eq(loop_watch_open(l, in_dir("f"), &w), -ENOTDIR);
	ck_assert_ptr_null(w);
	loop_watch_close(l, &w);
}
END_TEST

START_TEST(watch_ends_with_its_directory)
{
	struct loop_watch *w;
	struct tap t;

	ck_assert_int_eq(mkdir(in_dir("d"), 0700), 0);
	ck_assert_int_eq(loop_watch_open(l, in_dir("d"), &w), 0);
	tap_init(&t);
	loop_watch(l, &t.op, w);
	loop_turn(l, false);
	ck_assert_int_eq(rmdir(in_dir("d")), 0);
	ck_assert_int_eq(await(&t), -ENOENT);
	loop_watch_close(l, &w);
}
END_TEST

/* ---- many ---- */

#define MANY	10000

START_TEST(ten_thousand_ops_each_complete_once)
{
	struct tap *t;
	char *buf;
	int fd, i;

	put_file("f", "x");
	fd = open_file("f", O_RDONLY);
	t = calloc(MANY, sizeof(*t));
	buf = calloc(MANY, 1);
	for (i = 0; i < MANY; i++) {
		tap_init(&t[i]);
		loop_read(l, &t[i].op, fd, buf + i, 1, 0);
	}
	ck_assert_uint_eq(loop_pending(l), MANY);
	for (i = 0; i < MANY; i += 3)
		loop_cancel(l, &t[i].op);
	while (loop_pending(l) > 0)
		loop_turn(l, true);
	for (i = 0; i < MANY; i++) {
		ck_assert_uint_eq(t[i].n, 1);
		ck_assert(t[i].res == 1 || (i % 3 == 0 &&
		    t[i].res == -ECANCELED));
		ck_assert_int_eq(buf[i], t[i].res == 1 ? 'x' : buf[i]);
	}
	free(buf);
	free(t);
	close_fd(fd);
}
END_TEST

void
file_tests(TCase *tc)
{
	tcase_add_test(tc, what_is_written_is_read);
	tcase_add_test(tc, open_says_why_not);
	tcase_add_test(tc, ops_on_a_closed_descriptor_are_ebadf);
	tcase_add_test(tc, a_nonblocking_file_is_read_all_the_same);
	tcase_add_test(tc, a_directory_can_be_made_durable);
	tcase_add_test(tc, names_are_made_moved_and_removed);
	tcase_add_test(tc, fallocate_grows_and_truncate_sets_the_size);
	tcase_add_test(tc, list_is_sorted_by_bytes_and_has_no_dots);
	tcase_add_test(tc, list_says_why_not);
	tcase_add_test(tc, list_has_a_most_of_names);
	tcase_add_test(tc, stat_tells_the_name_itself);
	tcase_add_test(tc, space_is_of_the_file_system);
	tcase_add_test(tc, a_lock_is_for_one_process);
	tcase_add_test(tc, an_empty_fifo_is_again_and_a_full_one_too);
	tcase_add_test(tc, a_fifo_without_a_reader_is_epipe_and_no_signal);
	tcase_add_test(tc, watch_tells_of_names_that_come_change_and_go);
	tcase_add_test(tc, watch_misses_nothing_between_two_calls);
	tcase_add_test(tc, watch_says_when_it_lost_count);
	tcase_add_test(tc, watch_of_what_is_no_directory_fails);
	tcase_add_test(tc, watch_ends_with_its_directory);
	tcase_add_test(tc, ten_thousand_ops_each_complete_once);
}
