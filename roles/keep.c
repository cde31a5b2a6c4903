/* SPDX-License-Identifier: ISC */
/* keep.c - a parent that keeps the ports; the contract is in keep.h */

#include "roles/keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "config/config.h"
#include "loop/inherit.h"
#include "banned.h"

#define NAP_FIRST_MS	100	/* before a start that follows a short life */
#define NAP_MOST_MS	2000	/* an old client waits 5 s for its answer */
#define LONG_LIFE_MS	1000	/* one that serves is not kept waiting */
#define FDS_MAX		4096	/* kept of one child */
#define FDS_LOOK	65536	/* without /proc: numbers that are tried */

struct keeper {
	sigset_t	 signals;	/* waited for, and blocked */
	sigset_t	 before;	/* the mask of whoever started us */
	struct kept	 kept;		/* for the next child */
	int		*fds;		/* FDS_MAX; kept.fds */
	pid_t		 child;		/* 0: none lives */
	int		 status;	/* of the last one, as of waitpid() */
	uint64_t	 born_ms;
	unsigned	 nap_ms;
	bool		 died_young;
	bool		 ending;	/* told to */
};

int
kept_init(struct kept *k, char *const *env)
{
	unsigned i;

	*k = (struct kept){ .fds = k->listed };
	for (i = 0; i < INHERIT_MAX; i++)
		k->listed[i] = INHERIT_FIRST + (int)i;
	return inherit_listed(env, &k->n);
}

void
keep_ready(const struct kept *k)
{
	if (k->ready != NULL)
		atomic_store(k->ready, true);
}

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- what a child leaves ---- */

static bool
is_socket(int fd)
{
	socklen_t n = sizeof(int);
	int type = 0;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0;
}

/* As exec(2) would; one that stays is for the next child. */
static void
sweep_one(struct keeper *k, int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (fd <= STDERR_FILENO || flags < 0)
		return;
	if ((flags & FD_CLOEXEC) != 0 ||
	    (is_socket(fd) && k->kept.n == FDS_MAX))
		close(fd);
	else if (is_socket(fd))
		k->fds[k->kept.n++] = fd;
}

static void
sweep(struct keeper *k)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int fd;

	k->kept.fds = k->fds;
	k->kept.n = 0;
	for (fd = 0; d == NULL && fd < FDS_LOOK; fd++)
		sweep_one(k, fd);
	if (d == NULL)
		return;
	/* ".", ".." are 0, and the directory's own descriptor stays. */
	while ((e = readdir(d)) != NULL) {
		fd = (int)strtol(e->d_name, NULL, 10);
		if (fd != dirfd(d))
			sweep_one(k, fd);
	}
	closedir(d);
}

/* ---- children ---- */

/*
 * fork(2) that shares the table of descriptors.  It goes past the library's
 * own fork(): the keeper has one thread, no lock is held, and nothing was
 * registered to be done at a fork.
 */
static pid_t
fork_sharing_files(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
}

/* What a service manager wants of the keeper is for the one who works. */
static void
take_watchdog(pid_t keeper)
{
	const char *of = getenv("WATCHDOG_PID");
	char text[24];

	if (of == NULL || strtol(of, NULL, 10) != (long)keeper)
		return;
	(void)snprintf(text, sizeof(text), "%ld", (long)getpid());
	(void)setenv("WATCHDOG_PID", text, 1);
}

/* In the child.  Its parent may have died before it could ask to be told. */
static void
become_child(struct keeper *k, pid_t keeper)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != keeper)
		_exit(1);
	(void)sigprocmask(SIG_SETMASK, &k->before, NULL);
	take_watchdog(keeper);
}

/* 0: in the child.  Else the keeper's, -errno when there is no child. */
static pid_t
start_child(struct keeper *k)
{
	pid_t keeper = getpid(), pid;

	k->kept.keeper = keeper;
	fflush(NULL);
	pid = fork_sharing_files();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		become_child(k, keeper);
		return 0;
	}
	k->kept.starts++;
	k->child = pid;
	k->born_ms = now_ms();
	return pid;
}

/* Also of what process 1 inherits. */
static void
reap(struct keeper *k)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != k->child)
			continue;
		k->child = 0;
		k->status = status;
	}
}

/* The next signal, at most so many milliseconds; -1: none came. */
static int
wait_signal(const struct keeper *k, uint64_t ms)
{
	struct timespec most = { (time_t)(ms / 1000),
	    (long)(ms % 1000) * 1000000 };
	int r;

	do
		r = sigtimedwait(&k->signals, NULL, &most);
	while (r < 0 && errno == EINTR);
	return r;
}

static void
take_signal(struct keeper *k, int number)
{
	if (number == SIGCHLD) {
		reap(k);
		return;
	}
	if (number == SIGTERM || number == SIGINT)
		k->ending = true;
	if (number > 0 && k->child > 0)
		(void)kill(k->child, number);
}

static void
watch_child(struct keeper *k)
{
	while (k->child > 0)
		take_signal(k, wait_signal(k, 3600000));
}

static void
nap(struct keeper *k)
{
	uint64_t until = now_ms() + k->nap_ms, now;

	while (!k->ending && (now = now_ms()) < until)
		take_signal(k, wait_signal(k, until - now));
}

/* ---- whether there is to be another ---- */

/*
 * A signal nobody sends to make it end, or a fault of one that could start:
 * what is wrong then may pass, as a full disk or a lock of the one before.
 */
static bool
shall_restart(const struct keeper *k)
{
	if (k->ending)
		return false;
	if (WIFSIGNALED(k->status))
		return WTERMSIG(k->status) != SIGTERM &&
		    WTERMSIG(k->status) != SIGINT;
	return WEXITSTATUS(k->status) == 1 && atomic_load(k->kept.ready);
}

static void
tell_death(const struct keeper *k)
{
	if (WIFSIGNALED(k->status))
		fprintf(stderr, "emplogd: warning: killed by signal %d; its "
		    "%u sockets are kept and it is started anew\n",
		    WTERMSIG(k->status), k->kept.n);
	else
		fprintf(stderr, "emplogd: warning: ended with status %d; its "
		    "%u sockets are kept and it is started anew\n",
		    WEXITSTATUS(k->status), k->kept.n);
}

static int
exit_status(const struct keeper *k)
{
	if (WIFSIGNALED(k->status))
		return 128 + WTERMSIG(k->status);
	return WEXITSTATUS(k->status);
}

/* At once, but the later the more short lives there were in a row. */
static void
set_nap(struct keeper *k)
{
	if (now_ms() - k->born_ms >= LONG_LIFE_MS)
		k->nap_ms = 0;
	else if (!k->died_young)
		k->nap_ms = 0;
	else if (k->nap_ms == 0)
		k->nap_ms = NAP_FIRST_MS;
	else if ((k->nap_ms *= 2) > NAP_MOST_MS)
		k->nap_ms = NAP_MOST_MS;
	k->died_young = now_ms() - k->born_ms < LONG_LIFE_MS;
}

/* True: in a child that is to work.  False: the keeper's end. */
static bool
keep(struct keeper *k)
{
	pid_t pid;

	for (;;) {
		pid = start_child(k);
		if (pid == 0)
			return true;
		if (pid < 0) {
			fprintf(stderr, "emplogd: warning: cannot start "
			    "a process: %s; it is tried again\n",
			    strerror(-pid));
		} else {
			watch_child(k);
			if (!shall_restart(k))
				return false;
			sweep(k);
			tell_death(k);
		}
		set_nap(k);
		nap(k);
		if (k->ending) {
			k->status = 0;
			return false;
		}
	}
}

static int
open_keeper(struct keeper *k, const struct kept *given)
{
	k->kept = *given;
	k->fds = calloc(FDS_MAX, sizeof(*k->fds));
	if (k->fds == NULL)
		return -ENOMEM;
	memcpy(k->fds, given->fds, given->n * sizeof(*k->fds));
	k->kept.fds = k->fds;
	k->kept.ready = mmap(NULL, sizeof(*k->kept.ready),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (k->kept.ready == MAP_FAILED)
		return -errno;
	sigemptyset(&k->signals);
	sigaddset(&k->signals, SIGTERM);
	sigaddset(&k->signals, SIGINT);
	sigaddset(&k->signals, SIGHUP);
	sigaddset(&k->signals, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &k->signals, &k->before) < 0)
		return -errno;
	/* Ignored, as some shells have it, there would be nobody to wait for. */
	signal(SIGCHLD, SIG_DFL);
	return 0;
}

int
keep_run(const struct kept *given,
    int (*work)(void *arg, const struct kept *kept), void *arg)
{
	struct keeper k = { 0 };
	int r;

	r = open_keeper(&k, given);
	if (r < 0) {
		fprintf(stderr, "emplogd: error: cannot keep: %s\n",
		    strerror(-r));
		return 1;
	}
	r = keep(&k) ? work(arg, &k.kept) : exit_status(&k);
	free(k.fds);
	(void)munmap(k.kept.ready, sizeof(*k.kept.ready));
	return r;
}
