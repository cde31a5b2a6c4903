/* SPDX-License-Identifier: ISC */
/*
 * test_loop_choose.c - loop_new() under those who refuse io_uring
 *
 * Each test forks a child, puts a seccomp filter of raw BPF on it and looks
 * which loop it gets; the child's exit status is the number of the first
 * claim that failed.
 */

#include "test_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/backend.h"

static int
forbid_uring(uint32_t action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register,
		    1, 0),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {
		.len = sizeof(code) / sizeof(*code), .filter = code,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		return -errno;
	return 0;
}

static void
nothing(struct op *op)
{
}

/* 0, or the number of the claim that does not hold. */
static int
epoll_is_taken(uint32_t action, int uring_error, const char *word)
{
	struct loop *mine = NULL;
	char why[LOOP_WHY];
	struct op op;

	if (forbid_uring(action) < 0)
		return 1;
	if (loop_new(&mine, LOOP_URING, why) != uring_error)
		return 2;
	if (mine != NULL || strstr(why, word) == NULL)
		return 3;
	if (loop_new(&mine, LOOP_AUTO, why) != 0)
		return 4;
	if (strcmp(loop_name(mine), "epoll") != 0)
		return 5;
	if (strncmp(why, "epoll: ", 7) != 0 || strstr(why, word) == NULL)
		return 6;
	if (strstr(why, "io_uring_setup") == NULL || strchr(why, '\n') != NULL)
		return 7;
	if (strlen(why) >= LOOP_WHY - 1)
		return 8;	/* cut off */
	op_init(&op, nothing, NULL);
	loop_timer(mine, &op, 0);
	if (loop_turn(mine, true) != 1)
		return 9;
	loop_free(&mine);
	return 0;
}

static void
in_child(uint32_t action, int uring_error, const char *word)
{
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0)
		_exit(epoll_is_taken(action, uring_error, word));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

START_TEST(refusal_by_enosys_makes_auto_take_epoll)
{
	in_child(SECCOMP_RET_ERRNO | ENOSYS, -ENOSYS, "ENOSYS");
}
END_TEST

START_TEST(refusal_by_eperm_makes_auto_take_epoll)
{
	in_child(SECCOMP_RET_ERRNO | EPERM, -EPERM, "EPERM");
}
END_TEST

START_TEST(a_filter_that_kills_makes_auto_take_epoll)
{
	in_child(SECCOMP_RET_KILL_PROCESS, -EPERM, "kills");
}
END_TEST

START_TEST(a_filter_that_kills_the_thread_makes_auto_take_epoll)
{
	in_child(SECCOMP_RET_KILL_THREAD, -EPERM, "kills");
}
END_TEST

START_TEST(a_filter_that_traps_makes_auto_take_epoll)
{
	in_child(SECCOMP_RET_TRAP, -EPERM, "kills");
}
END_TEST

START_TEST(auto_takes_uring_where_it_may)
{
	const char *name = loop_uring_probe() == 0 ? "uring" : "epoll";
	struct loop *mine;
	char why[LOOP_WHY];

	ck_assert_int_eq(loop_new(&mine, LOOP_AUTO, why), 0);
	ck_assert_str_eq(loop_name(mine), name);
	ck_assert_mem_eq(why, name, 5);
	loop_free(&mine);
	ck_assert_ptr_null(mine);
	loop_free(&mine);		/* NULL is fine */
}
END_TEST

START_TEST(nobody_waiting_for_children_changes_nothing)
{
	const char *name = loop_uring_probe() == 0 ? "uring" : "epoll";
	struct loop *mine;
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		signal(SIGCHLD, SIG_IGN);
		if (loop_new(&mine, LOOP_AUTO, NULL) != 0)
			_exit(1);
		_exit(strcmp(loop_name(mine), name) == 0 ? 0 : 2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_loop_leaves_no_descriptor_behind)
{
	struct loop *mine;
	int i, before, after;

	for (i = 0; i < 4; i++) {
		before = dup(0);
		close(before);
		ck_assert_int_eq(loop_new(&mine,
		    i < 2 ? LOOP_AUTO : LOOP_EPOLL, NULL), 0);
		loop_free(&mine);
		after = dup(0);
		close(after);
		ck_assert_int_eq(after, before);
	}
}
END_TEST

void
choose_tests(TCase *tc)
{
	tcase_add_test(tc, refusal_by_enosys_makes_auto_take_epoll);
	tcase_add_test(tc, refusal_by_eperm_makes_auto_take_epoll);
	tcase_add_test(tc, a_filter_that_kills_makes_auto_take_epoll);
	tcase_add_test(tc,
	    a_filter_that_kills_the_thread_makes_auto_take_epoll);
	tcase_add_test(tc, a_filter_that_traps_makes_auto_take_epoll);
	tcase_add_test(tc, auto_takes_uring_where_it_may);
	tcase_add_test(tc, nobody_waiting_for_children_changes_nothing);
	tcase_add_test(tc, a_loop_leaves_no_descriptor_behind);
}
