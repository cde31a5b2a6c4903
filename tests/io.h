/* SPDX-License-Identifier: ISC */
/*
 * io.h - which loop backends a suite runs on
 *
 * TEST_IO=epoll or TEST_IO=uring names the one; without it a suite runs on
 * both, or on epoll alone where the kernel refuses io_uring.  A backend asked
 * for by name and refused ends the suite with 77, skipped: no test passes
 * without having run.
 */
#ifndef EMPLOG_TESTS_IO_H
#define EMPLOG_TESTS_IO_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/loop.h"

static inline bool
io_uring_here(char *ret_why)
{
	struct loop *probe;

	if (loop_new(&probe, LOOP_URING, ret_why) < 0)
		return false;
	loop_free(&probe);
	return true;
}

/* LOOP_AUTO when nothing was asked for. */
static inline enum loop_io
io_asked(void)
{
	const char *s = getenv("TEST_IO");
	char why[LOOP_WHY];

	if (s == NULL || *s == '\0' || strcmp(s, "auto") == 0)
		return LOOP_AUTO;
	if (strcmp(s, "epoll") == 0)
		return LOOP_EPOLL;
	if (strcmp(s, "uring") != 0) {
		fprintf(stderr, "TEST_IO=%s: expected epoll or uring\n", s);
		exit(1);
	}
	if (!io_uring_here(why)) {
		fprintf(stderr, "no io_uring here: %s\n", why);
		exit(77);
	}
	return LOOP_URING;
}

/* For tcase_add_loop_test(): each test runs for io_first() <= _i < io_end(). */
static inline int
io_first(void)
{
	return io_asked() == LOOP_URING ? 1 : 0;
}

static inline int
io_end(void)
{
	char why[LOOP_WHY];

	switch (io_asked()) {
	case LOOP_EPOLL:
		return 1;
	case LOOP_URING:
		return 2;
	default:
		return io_uring_here(why) ? 2 : 1;
	}
}

/* The backend of test number _i. */
static inline enum loop_io
io_of(int i)
{
	return i == 0 ? LOOP_EPOLL : LOOP_URING;
}

#endif
