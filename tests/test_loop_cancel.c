/* SPDX-License-Identifier: ISC */
/*
 * test_loop_cancel.c - each pending kind can be ended early; see test_loop.c
 *
 * Each op is given a turn first, so that what is cancelled really waits in
 * the kernel or on a thread, and a second run cancels without that turn.
 */

#include "test_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Cancels t, pending, and checks that it ends as such, once. */
static void
end_early(struct tap *t, bool turn_first)
{
	if (turn_first)
		loop_turn(l, false);
	ck_assert(!op_idle(&t->op));
	loop_cancel(l, &t->op);
	ck_assert_uint_eq(t->n, 0);	/* not from inside the call */
	loop_cancel(l, &t->op);		/* asking twice changes nothing */
	ck_assert_int_eq(await(t), -ECANCELED);
	loop_turn(l, false);
	ck_assert_uint_eq(t->n, 1);
	loop_cancel(l, &t->op);		/* nor does asking an idle one */
	ck_assert_uint_eq(loop_pending(l), 0);
}

START_TEST(accept_is_cancelled)
{
	struct tap t;
	int i, s;

	for (i = 0; i < 2; i++) {
		tap_init(&t);
		s = loop_listen(l, "127.0.0.1:0", NULL);
		loop_accept(l, &t.op, s);
		end_early(&t, i == 0);
		close_fd(s);
	}
}
END_TEST

START_TEST(recv_and_peek_are_cancelled)
{
	struct tap t;
	int i, fd[2];
	char c;

	tcp_pair(fd);
	for (i = 0; i < 4; i++) {
		tap_init(&t);
		if (i < 2)
			loop_recv(l, &t.op, fd[0], &c, 1);
		else
			loop_peek(l, &t.op, fd[0], &c, 1);
		end_early(&t, i % 2 == 0);
	}
	close_fd(fd[0]);
	close_fd(fd[1]);
}
END_TEST

START_TEST(send_is_cancelled)
{
	static char zeros[1 << 20];
	struct iovec v = { zeros, sizeof(zeros) };
	struct tap t;
	int fd[2], i;

	tcp_pair(fd);
	/* until the socket takes no more: the op stays pending */
	do {
		tap_init(&t);
		loop_send(l, &t.op, fd[0], &v, 1);
		for (i = 0; i < 20 && t.n == 0; i++) {
			struct timespec ms = { .tv_nsec = 1000000 };

			nanosleep(&ms, NULL);
			loop_turn(l, false);
		}
	} while (t.n > 0);
	end_early(&t, true);
	close_fd(fd[0]);
	close_fd(fd[1]);
}
END_TEST

/* A listener whose queue is full: one more connect hangs in SYN_SENT. */
static int
full_listener(struct loop_addr *at, int filler[8])
{
	int s, i;

	s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memset(at, 0, sizeof(*at));
	((struct sockaddr_in *)&at->sa)->sin_family = AF_INET;
	((struct sockaddr_in *)&at->sa)->sin_addr.s_addr =
	    htonl(INADDR_LOOPBACK);
	at->len = sizeof(struct sockaddr_in);
	ck_assert_int_eq(bind(s, (struct sockaddr *)&at->sa, at->len), 0);
	ck_assert_int_eq(listen(s, 0), 0);
	getsockname(s, (struct sockaddr *)&at->sa, &at->len);
	for (i = 0; i < 8; i++) {
		filler[i] = socket(AF_INET,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(filler[i], (struct sockaddr *)&at->sa, at->len);
	}
	return s;
}

START_TEST(connect_is_cancelled_and_leaves_no_descriptor)
{
	struct loop_addr at;
	struct tap t;
	int s, i, next, filler[8];

	s = full_listener(&at, filler);
	for (i = 0; i < 2; i++) {
		next = dup(0);
		close(next);
		tap_init(&t);
		loop_connect(l, &t.op, &at);
		end_early(&t, i == 0);
		ck_assert_int_eq(fcntl(next, F_GETFD), -1);
	}
	for (i = 0; i < 8; i++)
		close(filler[i]);
	close(s);
}
END_TEST

START_TEST(poll_is_cancelled)
{
	struct tap t;
	int i, fd;

	fd = eventfd(0, EFD_CLOEXEC);
	for (i = 0; i < 2; i++) {
		tap_init(&t);
		loop_poll(l, &t.op, fd, POLLIN);
		end_early(&t, i == 0);
	}
	close(fd);
}
END_TEST

START_TEST(watch_is_cancelled)
{
	struct loop_watch *w;
	struct tap t;
	int i;

	ck_assert_int_eq(loop_watch_open(l, dir, &w), 0);
	for (i = 0; i < 2; i++) {
		tap_init(&t);
		loop_watch(l, &t.op, w);
		end_early(&t, i == 0);
	}
	loop_watch_close(l, &w);
}
END_TEST

START_TEST(timer_is_cancelled)
{
	struct tap t;
	int i;

	for (i = 0; i < 2; i++) {
		tap_init(&t);
		loop_timer(l, &t.op, UINT64_MAX);
		end_early(&t, i == 0);
	}
}
END_TEST

/* The resolver of test_loop_net.c sits in read() until the pipe is closed. */
static void
slow_host(char host[32], int fd[2])
{
	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	snprintf(host, 32, "pipe:%d", fd[0]);
}

START_TEST(resolve_is_cancelled_while_the_dns_is_silent)
{
	char host[32], host2[32];
	struct tap t, queued;
	int fd[2], fd2[2];

	slow_host(host, fd);
	slow_host(host2, fd2);
	tap_init(&t);
	tap_init(&queued);
	loop_resolve(l, &t.op, host, "80");
	loop_resolve(l, &queued.op, host2, "80");
	loop_cancel(l, &queued.op);
	ck_assert_int_eq(await(&queued), -ECANCELED);
	end_early(&t, true);
	memset(host, 'x', sizeof(host));	/* the thread has its own */
	/* a new question waits behind the abandoned one, and is answered */
	loop_resolve(l, &t.op, "missing.test", "80");
	close(fd[1]);
	ck_assert_int_eq(await(&t), -ENOENT);
	close(fd[0]);
	close(fd2[0]);
	close(fd2[1]);
}
END_TEST

START_TEST(a_silent_dns_does_not_hold_the_end_of_the_loop)
{
	struct timespec ms = { .tv_nsec = 20000000 };
	char host[32];
	struct tap t;
	int fd[2];

	slow_host(host, fd);
	tap_init(&t);
	loop_resolve(l, &t.op, host, "80");
	nanosleep(&ms, NULL);		/* likely runs by now; right anyway */
	loop_cancel(l, &t.op);
	ck_assert_int_eq(await(&t), -ECANCELED);
	loop_free(&l);			/* returns though the thread sits */
	close(fd[1]);			/* it ends alone, touching nothing */
	nanosleep(&ms, NULL);
}
END_TEST

START_TEST(a_queued_file_op_is_cancelled_and_a_running_one_ends)
{
	static char text[256 << 10];
	char buf[65536];
	struct tap w, s;
	ssize_t n = 0;
	int fd[2];

	/* a full blocking pipe keeps the files' thread busy */
	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	tap_init(&w);
	tap_init(&s);
	loop_write(l, &w.op, fd[1], text, sizeof(text), LOOP_STREAM);
	while (poll(&(struct pollfd){ .fd = fd[0], .events = POLLIN }, 1,
	    -1) != 1)
		;
	loop_stat(l, &s.op, dir);
	loop_cancel(l, &s.op);
	ck_assert_int_eq(await(&s), -ECANCELED);
	loop_cancel(l, &w.op);
	loop_turn(l, false);
	ck_assert_uint_eq(w.n, 0);
	while (n < (ssize_t)sizeof(text))
		n += read(fd[0], buf, sizeof(buf));
	ck_assert_int_eq(await(&w), sizeof(text));
	close(fd[0]);
	close_fd(fd[1]);
}
END_TEST

/* Each is done or it is not, and says which; nothing is done in halves. */
START_TEST(every_kind_of_file_op_ends_once_when_cancelled)
{
	enum { KINDS = 14 };
	struct tap t[KINDS];
	const char *other = in_dir("other");
	char buf[4] = "";
	unsigned i;
	int fd, dup_fd;

	put_file("file", "text");
	put_file("doomed", "");
	fd = open(in_dir("file"), O_RDWR | O_CLOEXEC);
	dup_fd = dup(fd);
	for (i = 0; i < KINDS; i++)
		tap_init(&t[i]);
	loop_read(l, &t[0].op, fd, buf, sizeof(buf), 0);
	loop_write(l, &t[1].op, fd, "text", 4, 4);
	loop_fsync(l, &t[2].op, fd);
	loop_open(l, &t[3].op, in_dir("file"), O_RDONLY, 0);
	loop_close(l, &t[4].op, dup_fd);
	loop_rename(l, &t[5].op, in_dir("doomed"), other);
	loop_unlink(l, &t[6].op, in_dir("nothing"));
	loop_mkdir(l, &t[7].op, in_dir("made"), 0700);
	loop_fallocate(l, &t[8].op, fd, 0, 4096);
	loop_truncate(l, &t[9].op, fd, 4096);
	loop_list(l, &t[10].op, dir);
	loop_stat(l, &t[11].op, dir);
	loop_space(l, &t[12].op, dir);
	loop_lock(l, &t[13].op, fd);
	for (i = 0; i < KINDS; i++)
		loop_cancel(l, &t[i].op);
	while (loop_pending(l) > 0)
		loop_turn(l, true);
	for (i = 0; i < KINDS; i++)
		ck_assert_uint_eq(t[i].n, 1);
	ck_assert_int_ne(t[6].res, 0);
	if (t[3].res >= 0)
		close_fd((int)t[3].res);
	/* A close is never taken back: its number would be lost. */
	ck_assert_int_eq(t[4].res, 0);
	ck_assert_int_eq(fcntl(dup_fd, F_GETFD), -1);
	ck_assert(t[5].res == 0 || t[5].res == -ECANCELED);
	ck_assert_int_eq(access(other, F_OK), t[5].res == 0 ? 0 : -1);
	ck_assert_int_eq(access(in_dir("made"), F_OK),
	    t[7].res == 0 ? 0 : -1);
	if (t[10].res >= 0)
		op_list_free(&t[10].op);
	close_fd(fd);
}
END_TEST

START_TEST(what_has_finished_is_not_cancelled)
{
	struct loop_addr at = { .len = sizeof(at.sa) };
	struct tap t;

	at.sa.ss_family = 77;
	tap_init(&t);
	loop_connect(l, &t.op, &at);	/* refused by socket(2), at once */
	loop_cancel(l, &t.op);
	ck_assert_int_eq(await(&t), -EAFNOSUPPORT);
}
END_TEST

/* A cancelled recv took nothing: the bytes come to the next one. */
START_TEST(a_cancelled_recv_loses_no_bytes)
{
	char out[64], in[64];
	size_t got = 0;
	struct tap t;
	int fd[2], i;

	tcp_pair(fd);
	for (i = 0; i < 64; i++) {
		out[i] = (char)i;
		tap_init(&t);
		loop_recv(l, &t.op, fd[1], in + got, sizeof(in) - got);
		if (i % 2 == 0)
			loop_turn(l, false);
		ck_assert_int_eq(write(fd[0], out + i, 1), 1);
		loop_cancel(l, &t.op);
		if (op_idle(&t.op) || await(&t) > 0)
			got += (size_t)t.res;
		else
			ck_assert_int_eq(t.res, -ECANCELED);
	}
	while (got < sizeof(in)) {
		loop_recv(l, &t.op, fd[1], in + got, sizeof(in) - got);
		ck_assert_int_gt(await(&t), 0);
		got += (size_t)t.res;
	}
	ck_assert_mem_eq(in, out, sizeof(in));
	close_fd(fd[0]);
	close_fd(fd[1]);
}
END_TEST

#define MANY	3000

/* More than the ring holds: some wait in it, some in front of it. */
START_TEST(thousands_of_waiting_ops_are_cancelled)
{
	struct tap *t;
	int fd, i;

	fd = eventfd(0, EFD_CLOEXEC);
	t = calloc(MANY, sizeof(*t));
	for (i = 0; i < MANY; i++) {
		tap_init(&t[i]);
		loop_poll(l, &t[i].op, fd, POLLIN);
	}
	loop_turn(l, false);
	for (i = MANY - 1; i >= 0; i--)
		loop_cancel(l, &t[i].op);
	while (loop_pending(l) > 0)
		loop_turn(l, true);
	for (i = 0; i < MANY; i++) {
		ck_assert_uint_eq(t[i].n, 1);
		ck_assert_int_eq(t[i].res, -ECANCELED);
	}
	free(t);
	close(fd);
}
END_TEST

void
cancel_tests(TCase *tc)
{
	tcase_add_test(tc, accept_is_cancelled);
	tcase_add_test(tc, recv_and_peek_are_cancelled);
	tcase_add_test(tc, send_is_cancelled);
	tcase_add_test(tc, connect_is_cancelled_and_leaves_no_descriptor);
	tcase_add_test(tc, poll_is_cancelled);
	tcase_add_test(tc, watch_is_cancelled);
	tcase_add_test(tc, timer_is_cancelled);
	tcase_add_test(tc, resolve_is_cancelled_while_the_dns_is_silent);
	tcase_add_test(tc, a_silent_dns_does_not_hold_the_end_of_the_loop);
	tcase_add_test(tc,
	    a_queued_file_op_is_cancelled_and_a_running_one_ends);
	tcase_add_test(tc, every_kind_of_file_op_ends_once_when_cancelled);
	tcase_add_test(tc, what_has_finished_is_not_cancelled);
	tcase_add_test(tc, a_cancelled_recv_loses_no_bytes);
	tcase_add_test(tc, thousands_of_waiting_ops_are_cancelled);
}
