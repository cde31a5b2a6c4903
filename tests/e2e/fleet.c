/* SPDX-License-Identifier: ISC */
/*
 * fleet.c - producers of the shapes that occur on a host
 *
 * usage: fleet fill SIDE P PERCENT LANE_BYTES     so much of a lane, _exit
 *        fleet fork SIDE P                        forks while it logs
 *        fleet threads SIDE P THREADS COUNT PAUSE_MS
 *        fleet crowd SIDE P PROCESSES COUNT       all open at one moment
 *        fleet brief SIDE P COUNT AT_ONCE         processes of one record
 *        fleet full SIDE P LANE_BYTES             until all is refused
 *        fleet say                                one record of each kind
 *
 * Records and SIDE are as side.h describes them.  Those that wait do so for
 * their standard input to end.
 */

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "side.h"

#define THREADS_MAX	64
#define RECORD_EXTRA	128	/* of a record besides its payload, at most */

static uint64_t
number(const char *s)
{
	return strtoull(s, NULL, 10);
}

static void
nap(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

static struct side *
side_or_end(const char *path)
{
	struct side *s = side_map(path);

	if (s == NULL) {
		perror(path);
		exit(1);
	}
	return s;
}

static struct emplog *
open_or_end(size_t lane_bytes)
{
	struct emplog_options o = { .lane_bytes = lane_bytes };
	struct emplog *log;
	int r;

	r = emplog_open(&log, &o);
	if (r < 0) {
		fprintf(stderr, "emplog_open: %s\n", strerror(-r));
		_exit(1);
	}
	return log;
}

static void
wait_for_end(void)
{
	char c;

	while (read(0, &c, 1) > 0)
		;
}

static void
tell(const char *line)
{
	puts(line);
	fflush(stdout);
}

/* Ends without closing anything, as after a crash. */
static int
do_fill(char **arg)
{
	struct side *s = side_or_end(arg[0]);
	uint64_t p = number(arg[1]), lane = number(arg[3]);
	uint64_t most = lane / 100 * number(arg[2]), used = 0;
	struct emplog *log = open_or_end(lane);
	char text[PAYLOAD_MAX];

	while (used + PAYLOAD_MAX + RECORD_EXTRA <= most) {
		used += side_payload(text, p, s->issued) + RECORD_EXTRA;
		/* An info would leave the last eighth to warnings. */
		if (side_issue(s, log, EMPLOG_WARN, p) < 0)
			_exit(1);
	}
	_exit(0);
}

static int
do_fork(char **arg)
{
	struct side *s = side_or_end(arg[0]), *mine;
	uint64_t p = number(arg[1]);
	struct emplog *log = open_or_end(0);
	char path[256];
	unsigned i;
	pid_t pid;

	snprintf(path, sizeof(path), "%s-child", arg[0]);
	mine = side_or_end(path);
	for (i = 0; i < 20; i++)
		(void)side_issue(s, log, EMPLOG_INFO, p);
	pid = fork();
	while (pid == 0) {
		(void)side_issue(mine, log, EMPLOG_INFO, p + 1);
		nap(10);
	}
	snprintf(path, sizeof(path), "%d", (int)pid);
	tell(path);
	wait_for_end();
	return 1;
}

struct thread {
	pthread_t	 id;
	struct side	*side;
	struct emplog	*log;
	uint64_t	 p, count;
	unsigned	 pause_ms;
};

static void *
thread_main(void *arg)
{
	struct thread *t = arg;
	uint64_t i;

	for (i = 0; i < t->count; i++) {
		(void)side_issue(t->side, t->log, EMPLOG_INFO, t->p);
		nap(t->pause_ms);
	}
	return NULL;
}

static int
do_threads(char **arg)
{
	struct thread thread[THREADS_MAX];
	unsigned i, n = (unsigned)number(arg[2]);
	struct side *s = side_or_end(arg[0]);
	struct emplog *log = open_or_end(0);

	for (i = 0; i < n && i < THREADS_MAX; i++) {
		thread[i] = (struct thread){ .side = s, .log = log,
		    .p = number(arg[1]), .count = number(arg[3]),
		    .pause_ms = (unsigned)number(arg[4]) };
		if (pthread_create(&thread[i].id, NULL, thread_main,
		    &thread[i]) != 0)
			return 1;
	}
	for (i = 0; i < n && i < THREADS_MAX; i++)
		pthread_join(thread[i].id, NULL);
	tell("written");
	wait_for_end();
	emplog_close(&log);
	return 0;
}

/* One of a crowd: starts when go ends, says so on done, waits. */
static void
crowd_one(const char *side, unsigned i, char **arg, int go, int done)
{
	uint64_t left = number(arg[3]);
	struct emplog *log;
	struct side *s;
	char path[256], c = 0;

	snprintf(path, sizeof(path), "%s-%u", side, i);
	s = side_or_end(path);
	(void)!read(go, &c, 1);
	log = open_or_end(0);
	while (left-- > 0)
		(void)side_issue(s, log, EMPLOG_INFO, number(arg[1]) + i);
	(void)!write(done, "d", 1);
	wait_for_end();
	emplog_close(&log);
	_exit(0);
}

static int
do_crowd(char **arg)
{
	unsigned i, n = (unsigned)number(arg[2]);
	int go[2], done[2], status, bad = 0;
	char c;

	if (pipe(go) < 0 || pipe(done) < 0)
		return 1;
	for (i = 0; i < n; i++) {
		if (fork() == 0) {
			close(go[1]);
			crowd_one(arg[0], i, arg, go[0], done[1]);
		}
	}
	close(go[1]);
	close(done[1]);
	for (i = 0; i < n; i++)
		if (read(done[0], &c, 1) != 1)
			return 1;
	tell("written");
	while (wait(&status) > 0)
		bad |= status;
	return bad != 0;
}

static void
brief_one(struct side *s, uint64_t p, uint64_t n)
{
	struct emplog *log = open_or_end(64 << 10);

	if (emplog_log(log, EMPLOG_INFO, "brief", (const struct emplog_field[])
	    { EMPLOG_UINT("p", p), EMPLOG_UINT("n", n) }, 2) == 0)
		atomic_store(&s->accepted[n], 1);
	else
		atomic_fetch_add(&s->refused, 1);
	emplog_close(&log);
	_exit(0);
}

static int
do_brief(char **arg)
{
	struct side *s = side_or_end(arg[0]);
	uint64_t p = number(arg[1]), n, count = number(arg[2]);
	uint64_t most = number(arg[3]), alive = 0;
	int status, bad = 0;
	pid_t pid;

	for (n = 0; n < count; n++) {
		s->issued = n + 1;
		pid = fork();
		if (pid < 0)
			return 1;
		if (pid == 0)
			brief_one(s, p, n);
		if (++alive == most && wait(&status) > 0) {
			bad |= status;
			alive--;
		}
	}
	while (wait(&status) > 0)
		bad |= status;
	return bad != 0;
}

/* Until so many of a severity have been refused; the next one's room then. */
static void
refuse(struct side *s, struct emplog *log, enum emplog_level level,
    uint64_t p, unsigned times)
{
	while (times > 0)
		times -= side_issue(s, log, level, p) < 0;
}

/* Every line of standard input is one more record. */
static int
do_full(char **arg)
{
	struct side *s = side_or_end(arg[0]);
	uint64_t p = number(arg[1]);
	struct emplog *log = open_or_end(number(arg[2]));
	char line[16];

	refuse(s, log, EMPLOG_INFO, p, 11);
	refuse(s, log, EMPLOG_WARN, p, 7);
	refuse(s, log, EMPLOG_ERROR, p, 5);
	tell("full");
	while (fgets(line, sizeof(line), stdin) != NULL) {
		snprintf(line, sizeof(line), "%d",
		    side_issue(s, log, EMPLOG_INFO, p));
		tell(line);
	}
	_exit(1);
}

static int
do_say(char **arg)
{
	struct emplog *log = open_or_end(0);
	int info, warn;

	(void)arg;
	info = emplog_info(log, "an info", EMPLOG_STR("k", "v"));
	warn = emplog_warn(log, "a warning", EMPLOG_STR("k", "v"));
	printf("%d %d %s\n", info, warn, emplog_state(log));
	emplog_close(&log);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char	*name;
		int		 args;
		int		(*run)(char **arg);
	} modes[] = {
		{ "fill", 4, do_fill }, { "fork", 2, do_fork },
		{ "threads", 5, do_threads }, { "crowd", 4, do_crowd },
		{ "brief", 4, do_brief }, { "full", 3, do_full },
		{ "say", 0, do_say },
	};
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0 &&
		    argc == modes[i].args + 2)
			return modes[i].run(argv + 2);
	fprintf(stderr, "usage: see the head of fleet.c\n");
	return 2;
}
