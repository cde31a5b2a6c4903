/* SPDX-License-Identifier: ISC */
/*
 * test_loop.c - the contract of loop.h, once for each backend
 *
 * Claimed:  every kind of operation does what loop.h says, in success, in
 *           failure and when cancelled, on epoll and on io_uring alike; and
 *           loop_new() finds out which of them it may use.
 * How:      the same functions in one test case per backend.
 *           TEST_IO names one to run alone, see io.h.
 */

#include "test_loop.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/backend.h"
#include "tests/io.h"

struct loop *l;
char dir[64];

static void
tap_done(struct op *op)
{
	struct tap *t = op->arg;

	ck_assert(op_idle(op));
	t->n++;
	t->res = op->res;
}

void
tap_init(struct tap *t)
{
	memset(t, 0, sizeof(*t));
	op_init(&t->op, tap_done, t);
}

int64_t
await(struct tap *t)
{
	unsigned n = t->n;

	while (t->n == n)
		loop_turn(l, true);
	ck_assert_uint_eq(t->n, n + 1);
	return t->res;
}

const char *
in_dir(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned at;
	char *p = paths[at++ % 8];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

void
put_file(const char *name, const char *text)
{
	int fd;

	fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

void
close_fd(int fd)
{
	struct tap t;

	tap_init(&t);
	loop_close(l, &t.op, fd);
	ck_assert_int_eq(await(&t), 0);
}

void
tcp_pair(int fd[2])
{
	struct loop_addr at;
	struct tap a, c;
	int s;

	tap_init(&a);
	tap_init(&c);
	s = loop_listen(l, "127.0.0.1:0", &at);
	ck_assert_int_ge(s, 0);
	loop_accept(l, &a.op, s);
	loop_connect(l, &c.op, &at);
	while (a.n == 0 || c.n == 0)
		loop_turn(l, true);
	ck_assert_int_ge(a.res, 0);
	ck_assert_int_ge(c.res, 0);
	close_fd(s);
	fd[0] = (int)c.res;
	fd[1] = (int)a.res;
}

/* ---- fixtures ---- */

static void
open_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/emplog-loop-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void
setup_epoll(void)
{
	open_dir();
	ck_assert_int_eq(loop_new(&l, LOOP_EPOLL, NULL), 0);
	ck_assert_str_eq(loop_name(l), "epoll");
}

static void
setup_uring(void)
{
	open_dir();
	ck_assert_int_eq(loop_new(&l, LOOP_URING, NULL), 0);
	ck_assert_str_eq(loop_name(l), "uring");
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void
teardown(void)
{
	loop_free(&l);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static TCase *
backend_case(const char *name, void (*setup)(void))
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	net_tests(tc);
	cancel_tests(tc);
	time_tests(tc);
	file_tests(tc);
	notify_tests(tc);
	tls_tests(tc);
	bridge_tests(tc);
	return tc;
}

int
main(void)
{
	TCase *choose;
	SRunner *sr;
	Suite *s;
	int failed;

	s = suite_create("loop");
	if (io_first() == 0)
		suite_add_tcase(s, backend_case("epoll", setup_epoll));
	if (io_end() == 2)
		suite_add_tcase(s, backend_case("uring", setup_uring));
	choose = tcase_create("choose");
	tcase_set_timeout(choose, 30);
	choose_tests(choose);
	suite_add_tcase(s, choose);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
