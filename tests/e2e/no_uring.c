/* SPDX-License-Identifier: ISC */
/*
 * no_uring.c - runs a program under a seccomp filter that refuses io_uring
 *
 * usage: no_uring eperm|enosys|kill PROGRAM ARGUMENT...
 */

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int
install(unsigned refusal)
{
	/* Numbers 425 to 427 are io_uring's on every architecture. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, __NR_io_uring_setup, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, __NR_io_uring_register, 1,
		    0),
		BPF_STMT(BPF_RET | BPF_K, refusal),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

int
main(int argc, char **argv)
{
	unsigned refusal;

	if (argc < 3)
		goto usage;
	if (strcmp(argv[1], "eperm") == 0)
		refusal = SECCOMP_RET_ERRNO | EPERM;
	else if (strcmp(argv[1], "enosys") == 0)
		refusal = SECCOMP_RET_ERRNO | ENOSYS;
	else if (strcmp(argv[1], "kill") == 0)
		refusal = SECCOMP_RET_KILL_PROCESS;
	else
		goto usage;
	if (install(refusal) < 0) {
		perror("seccomp");
		return 126;
	}
	execv(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
usage:
	fprintf(stderr, "usage: %s eperm|enosys|kill PROGRAM ARGUMENT...\n",
	    argv[0]);
	return 2;
}
