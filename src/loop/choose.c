/* SPDX-License-Identifier: ISC */
/*
 * choose.c - which backend a loop gets, and why
 *
 * io_uring is tried in a child, because a seccomp filter may answer the very
 * first call by killing.  The child tells its finding through a pipe; when it
 * ends without a word, it was killed, and when it says nothing for long, it is.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/backend.h"

#include "banned.h"

#define KILLED		(-EKEYREVOKED)	/* no call of ours returns it */
#define PATIENCE_MS	2000		/* a probe takes less than one */

static _Noreturn void
child(int fd)
{
	const struct rlimit none = { 0, 0 };
	int r;

	/* Being killed here is an answer, not an accident to keep. */
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	r = loop_uring_probe();
	(void)!write(fd, &r, sizeof(r));
	_exit(0);
}

/* 0, what the probe said, or KILLED. */
static int
probe(void)
{
	struct pollfd pfd = { .events = POLLIN };
	int fds[2], r, answer;
	ssize_t n = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		r = -errno;
		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (pid == 0)
		child(fds[1]);
	close(fds[1]);
	pfd.fd = fds[0];
	do
		r = poll(&pfd, 1, PATIENCE_MS);
	while (r < 0 && errno == EINTR);
	if (r == 1)
		n = read(fds[0], &answer, sizeof(answer));
	else
		kill(pid, SIGKILL);
	close(fds[0]);
	/* Without a child to wait for (SIGCHLD ignored) it is gone already. */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return n == (ssize_t)sizeof(answer) ? answer : KILLED;
}

/* kernel.io_uring_disabled, 0 also when there is no such setting. */
static int
sysctl_disabled(void)
{
	char c = '0';
	int fd;

	fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (read(fd, &c, 1) != 1)
		c = '0';
	close(fd);
	return c == '1' || c == '2' ? c - '0' : 0;
}

#define ALLOW	"allow io_uring_setup, io_uring_enter, io_uring_register"

static void
say_refused(char *why, int error)
{
	switch (error) {
	case KILLED:
		snprintf(why, LOOP_WHY, "epoll: a seccomp filter kills on "
		    "io_uring; " ALLOW " in it");
		break;
	case -ENOSYS:
		snprintf(why, LOOP_WHY, "epoll: io_uring is not there "
		    "(ENOSYS): too old a kernel, or " ALLOW " in seccomp");
		break;
	case -EPERM: case -EACCES:
		if (sysctl_disabled() > 0)
			snprintf(why, LOOP_WHY, "epoll: io_uring is switched "
			    "off (EPERM); sysctl kernel.io_uring_disabled=0 "
			    "allows it");
		else
			snprintf(why, LOOP_WHY, "epoll: io_uring is refused "
			    "(EPERM); " ALLOW " in the seccomp profile");
		break;
	case -EOPNOTSUPP: case -EINVAL:
		snprintf(why, LOOP_WHY, "epoll: this kernel's io_uring lacks "
		    "operations; Linux 5.11 and newer have them");
		break;
	case -ENOMEM:
		snprintf(why, LOOP_WHY, "epoll: no memory for io_uring "
		    "(ENOMEM); raise RLIMIT_MEMLOCK");
		break;
	default:
		snprintf(why, LOOP_WHY, "epoll: io_uring failed (%s)",
		    strerrordesc_np(-error));
	}
}

int
loop_new(struct loop **ret_loop, enum loop_io io, char *ret_why)
{
	char why[LOOP_WHY] = "epoll: asked for";
	int r;

	if (io != LOOP_EPOLL) {
		r = probe();
		if (r == 0)
			r = loop_uring_new(ret_loop);
		if (r == 0) {
			snprintf(why, sizeof(why), "uring: %s",
			    io == LOOP_AUTO ? "the kernel allows io_uring" :
			    "asked for");
			goto out;
		}
		say_refused(why, r);
		if (io == LOOP_URING) {
			r = r == KILLED ? -EPERM : r;
			goto out;
		}
	}
	r = loop_epoll_new(ret_loop);
out:
	if (ret_why != NULL)
		memcpy(ret_why, why, LOOP_WHY);
	return r;
}
