/* SPDX-License-Identifier: ISC */
/*
 * test_loop.h - what the parts of the loop's test suite share
 *
 * Each test function is run once per backend, with `l` a fresh loop and `dir`
 * an empty directory.  A test that leaves an op pending fails: the fixture
 * frees the loop, which insists.
 */
#ifndef TEST_LOOP_H
#define TEST_LOOP_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"

extern struct loop *l;
extern char dir[64];

/* An op and what became of it. */
struct tap {
	struct op	 op;
	unsigned	 n;		/* times done */
	int64_t		 res;
};

void	 tap_init(struct tap *t);
/* Turns the loop until t is done once more; gives its result. */
int64_t	 await(struct tap *t);
/* A path in dir; eight of them live at a time. */
const char *in_dir(const char *name);
/* Makes a file with this text. */
void	 put_file(const char *name, const char *text);
/* Two ends of a TCP connection over loopback. */
void	 tcp_pair(int fd[2]);
void	 close_fd(int fd);

void	 net_tests(TCase *tc);
void	 cancel_tests(TCase *tc);
void	 time_tests(TCase *tc);
void	 file_tests(TCase *tc);
void	 notify_tests(TCase *tc);
void	 choose_tests(TCase *tc);
void	 tls_tests(TCase *tc);
void	 bridge_tests(TCase *tc);

#endif
