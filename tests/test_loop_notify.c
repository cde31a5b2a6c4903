/* SPDX-License-Identifier: ISC */
/* test_loop_notify.c - what a service manager hears; see test_loop.c */

#include "test_loop.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop/notify.h"

#define MS	1000000u

static char socket_var[128], usec_var[64], pid_var[64];
static char *vars[] = { socket_var, usec_var, pid_var, NULL };

/* A manager: a socket bound to name ('@': abstract), and what it would say. */
static int
manager(const char *name, const char *usec, const char *pid)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = strlen(name);
	int fd;

	memcpy(sa.sun_path, name, n);
	if (*name == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, (socklen_t)
	    (offsetof(struct sockaddr_un, sun_path) + n)), 0);
	snprintf(socket_var, sizeof(socket_var), "NOTIFY_SOCKET=%s", name);
	snprintf(usec_var, sizeof(usec_var), "WATCHDOG_USEC=%s", usec);
	snprintf(pid_var, sizeof(pid_var), "WATCHDOG_PID=%s", pid);
	return fd;
}

static const char *
heard(int fd)
{
	static char text[64];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void
shut(struct notify *n, int fd)
{
	notify_close(n);
	while (!op_idle(&n->tick))
		loop_turn(l, true);
	close(fd);
}

static void
turn_for(uint64_t ns)
{
	struct tap t;

	tap_init(&t);
	loop_timer(l, &t.op, loop_now(l) + ns);
	await(&t);
}

START_TEST(a_path_and_an_abstract_name_hear_what_is_told)
{
	char abstract[80];
	struct notify n;
	int fd, i;

	snprintf(abstract, sizeof(abstract), "@%s", dir);
	for (i = 0; i < 2; i++) {
		fd = manager(i == 0 ? in_dir("notify") : abstract, "", "");
		ck_assert_int_eq(notify_open(&n, l, vars), 0);
		ck_assert_int_eq(notify_tell(&n, "READY=1"), 0);
		ck_assert_str_eq(heard(fd), "READY=1");
		shut(&n, fd);
	}
}
END_TEST

START_TEST(without_a_manager_telling_is_no_fault)
{
	char *none[] = { NULL };
	struct notify n;

	ck_assert_int_eq(notify_open(&n, l, none), 0);
	ck_assert_int_eq(notify_tell(&n, "READY=1"), 0);
	notify_watch(&n);
	ck_assert(op_idle(&n.tick));
	notify_close(&n);
}
END_TEST

START_TEST(a_name_that_is_no_socket_is_refused)
{
	static const char *const names[] = { "@", "/", "relative", "vsock:2:1",
	    ("/23456789012345678901234567890123456789012345678901234567890123"
	    "456789012345678901234567890123456789012345678") };
	struct notify n;
	size_t i;

	usec_var[0] = pid_var[0] = '\0';
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(socket_var, sizeof(socket_var), "NOTIFY_SOCKET=%s",
		    names[i]);
		ck_assert_int_eq(notify_open(&n, l, vars), -EINVAL);
		ck_assert_int_eq(notify_tell(&n, "READY=1"), 0);
		notify_close(&n);
	}
}
END_TEST

START_TEST(the_watchdog_hears_a_loop_that_turns_and_no_other)
{
	struct notify n;
	int fd = manager(in_dir("dog"), "40000", "");
	unsigned i;

	snprintf(pid_var, sizeof(pid_var), "WATCHDOG_PID=%d", (int)getpid());
	ck_assert_int_eq(notify_open(&n, l, vars), 0);
	ck_assert_uint_eq(n.every_ns, 20 * MS);
	notify_watch(&n);
	for (i = 0; i < 3; i++) {
		turn_for(25 * MS);
		ck_assert_str_eq(heard(fd), "WATCHDOG=1");
		while (*heard(fd) != '\0')
			;
	}
	/* It does not turn, and so nothing comes in thrice the time. */
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN },
	    1, 60), 0);
	shut(&n, fd);
}
END_TEST

START_TEST(a_watchdog_of_another_process_or_of_no_time_is_not_fed)
{
	static const char *const usec[] = { "1000000", "0", "", "-5", "1s",
	    "99999999999999999999", "18446744073709551615" };
	struct notify n;
	size_t i;
	int fd;

	for (i = 0; i < sizeof(usec) / sizeof(usec[0]); i++) {
		fd = manager(in_dir("w"), usec[i], "1");
		if (i > 0)
			pid_var[0] = '\0';
		ck_assert_int_eq(notify_open(&n, l, vars), 0);
		ck_assert_uint_eq(n.every_ns, 0);
		shut(&n, fd);
		unlink(socket_var + strlen("NOTIFY_SOCKET="));
	}
}
END_TEST

START_TEST(a_manager_that_does_not_read_never_holds_the_loop)
{
	struct notify n;
	int fd = manager(in_dir("deaf"), "2000", "");
	uint64_t before;

	pid_var[0] = '\0';
	ck_assert_int_eq(notify_open(&n, l, vars), 0);
	/* So many that its queue is full long since. */
	notify_watch(&n);
	before = loop_now(l);
	turn_for(700 * MS);
	ck_assert_uint_lt(loop_now(l) - before, 1600 * MS);
	shut(&n, fd);
}
END_TEST

void
notify_tests(TCase *tc)
{
	tcase_add_test(tc, a_path_and_an_abstract_name_hear_what_is_told);
	tcase_add_test(tc, without_a_manager_telling_is_no_fault);
	tcase_add_test(tc, a_name_that_is_no_socket_is_refused);
	tcase_add_test(tc, the_watchdog_hears_a_loop_that_turns_and_no_other);
	tcase_add_test(tc,
	    a_watchdog_of_another_process_or_of_no_time_is_not_fed);
	tcase_add_test(tc, a_manager_that_does_not_read_never_holds_the_loop);
}
