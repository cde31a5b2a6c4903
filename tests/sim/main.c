/* SPDX-License-Identifier: ISC */
/*
 * main.c - seeds through the simulator
 *
 * usage: sim [-s FIRST] [-n SEEDS] [-j JOBS] [-b BUG] [-t]
 *
 *   -t   each seed twice; its traces must be equal
 *   -b   with this bug, which a seed must find; then 0 is success
 *
 * A failure prints its seed and the command that runs it again.  Prints how
 * often each kind of fault fired; one that never did is a failure, unless
 * there were few seeds.
 */

#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "base/planted.h"
#include "town.h"

#define JOBS_MAX	16
#define SEEDS_FOR_ALL	100	/* from so many on each kind must have fired */
#define SEED_SECONDS	120	/* of a processor: then it hangs */

struct told {			/* by a child, of one seed */
	uint64_t	 seed, trace, records, seconds, twice, lost, bytes;
	bool		 two_relays;
	uint64_t	 fired[KINDS];
};

/* Those that found something in the code, run where none are asked for. */
static const uint64_t kept[] = {
	47,	/* an ended stream was sent again from a full disk */
	44,	/* after a day's outage a relay had no descriptor left */
	164,	/* one bad record in every request of an outage held all */
};

static uint64_t now_seed;
static const char *now_bug;

static void
say_seed(void)
{
	char line[160];
	int n;

	n = snprintf(line, sizeof(line), "seed %" PRIu64 ": see it again with"
	    " make sim SEED=%" PRIu64 " SEEDS=1%s%s\n", now_seed, now_seed,
	    now_bug == NULL ? "" : " BUG=", now_bug == NULL ? "" : now_bug);
	(void)!write(STDERR_FILENO, line, (size_t)n);
}

void
town_fail(const struct town *t, const char *fmt, ...)
{
	char line[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "seed %" PRIu64 " at %.3f s: %s\n", t->seed,
	    (double)sim_now(t->sim) / 1e9, line);
	say_seed();
	_exit(1);
}

static void
on_signal(int sig)
{
	say_seed();
	_exit(1);
}

/* By the processor's time: others may have the machine. */
static void
hang_after(time_t seconds)
{
	struct itimerval t = { .it_value.tv_sec = seconds };

	must(setitimer(ITIMER_PROF, &t, NULL) == 0);
}

static void
one_seed(uint64_t seed, struct told *told)
{
	struct town *t = calloc(1, sizeof(*t));
	unsigned i;
	uint64_t k;

	must(t != NULL);
	now_seed = seed;
	hang_after(SEED_SECONDS);
	town_open(t, seed);
	trouble_run(t);
	*told = (struct told){ .seed = seed, .trace = sim_trace(t->sim),
	    .seconds = (sim_now(t->sim) - t->begun_ns) / S,
	    .twice = t->twice, .bytes = t->memory_most,
	    .two_relays = t->node[RELAY2].used };
	for (i = 0; i < t->lanes; i++) {
		told->records += t->lane[i].made;
		for (k = 0; k < t->lane[i].made; k++)
			told->lost += t->lane[i].rec[k].delivered == 0;
	}
	town_fired(t, told->fired);
	town_close(t);
	hang_after(0);
	free(t);
}

static void
tell_seed(uint64_t seed, bool twice, int out)
{
	struct told a, b;

	one_seed(seed, &a);
	if (twice) {
		one_seed(seed, &b);
		if (a.trace != b.trace) {
			fprintf(stderr, "seed %" PRIu64 " is not the same world"
			    " twice\n", seed);
			_exit(1);
		}
	}
	_exit(write(out, &a, sizeof(a)) != sizeof(a));
}

/*
 * A process for each seed: what crashes in a town leaves its places in the
 * real process's table of guarded mappings.
 */
static void
child(uint64_t first, uint64_t end, unsigned step, bool twice, int out)
{
	uint64_t seed;
	int status;
	pid_t pid;

	for (seed = first; seed < end; seed += step) {
		pid = fork();
		must(pid >= 0);
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			tell_seed(seed, twice, out);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0)
			_exit(1);
	}
	_exit(0);
}

struct sum {
	uint64_t	 seeds, records, seconds, trace, twice, lost;
	uint64_t	 two_relays, bytes_most;
	uint64_t	 fired[KINDS];
	bool		 failed;
};

static void
add(struct sum *s, const struct told *t)
{
	unsigned i;

	s->seeds++;
	s->records += t->records;
	s->seconds += t->seconds;
	s->twice += t->twice;
	s->lost += t->lost;
	s->two_relays += t->two_relays;
	if (t->bytes > s->bytes_most)
		s->bytes_most = t->bytes;
	s->trace += t->trace * (2 * t->seed + 1);
	for (i = 0; i < KINDS; i++)
		s->fired[i] += t->fired[i];
	if (getenv("SIM_SEEDS") != NULL)
		printf("seed %" PRIu64 ": trace %016" PRIx64 ", %" PRIu64
		    " records, %" PRIu64 " s\n", t->seed, t->trace,
		    t->records, t->seconds);
}

/* Children tell through one pipe; the first that fails ends them all. */
static void
gather(struct sum *s, uint64_t first, uint64_t seeds, unsigned jobs,
    bool twice)
{
	pid_t pid[JOBS_MAX];
	struct told t;
	int fd[2], status;
	unsigned i;

	must(pipe(fd) == 0);
	fflush(stdout);
	for (i = 0; i < jobs; i++) {
		pid[i] = fork();
		must(pid[i] >= 0);
		if (pid[i] == 0) {
			close(fd[0]);
			child(first + i, first + seeds, jobs, twice, fd[1]);
		}
	}
	close(fd[1]);
	for (i = 0; i < jobs;) {
		while (read(fd[0], &t, sizeof(t)) == sizeof(t)) {
			add(s, &t);
			break;
		}
		if (waitpid(-1, &status, WNOHANG) <= 0)
			continue;
		i++;
		if (status != 0 && !s->failed) {
			s->failed = true;
			for (unsigned k = 0; k < jobs; k++)
				kill(pid[k], SIGTERM);
		}
	}
	while (read(fd[0], &t, sizeof(t)) == sizeof(t))
		add(s, &t);
	close(fd[0]);
}

static bool
histogram(const struct sum *s)
{
	bool all = true;
	unsigned i;

	for (i = 0; i < KINDS; i++) {
		printf("%-22s %" PRIu64 "\n", kind_name[i], s->fired[i]);
		all = all && s->fired[i] > 0;
	}
	printf("%" PRIu64 " seeds, %" PRIu64 " records, %" PRIu64 " not "
	    "delivered and accounted for, %" PRIu64 " twice, %" PRIu64
	    " virtual hours, trace %016" PRIx64 "\n", s->seeds, s->records,
	    s->lost, s->twice, s->seconds / 3600, s->trace);
	printf("%" PRIu64 " with two relays, no process over %" PRIu64
	    " KiB\n", s->two_relays, s->bytes_most >> 10);
	if (!all && s->seeds >= SEEDS_FOR_ALL)
		printf("a kind of fault never fired\n");
	return s->seeds < SEEDS_FOR_ALL ||
	    (all && s->two_relays >= s->seeds / 3);
}

static int
verdict(const struct sum *s)
{
	if (now_bug != NULL && s->failed) {
		printf("bug %s: found, after %" PRIu64 " seeds without\n",
		    now_bug, s->seeds);
		return 0;
	}
	if (now_bug != NULL) {
		printf("bug %s: NOT FOUND in %" PRIu64 " seeds\n", now_bug,
		    s->seeds);
		return 1;
	}
	return !s->failed && histogram(s) ? 0 : 1;
}

int
main(int argc, char **argv)
{
	uint64_t first = 1, seeds = 4;
	struct sum s = { 0 };
	unsigned jobs = 2, i;
	bool twice = false;
	int c;

	while ((c = getopt(argc, argv, "s:n:j:b:t")) != -1) {
		switch (c) {
		case 's': first = strtoull(optarg, NULL, 10); break;
		case 'n': seeds = strtoull(optarg, NULL, 10); break;
		case 'j': jobs = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'b': now_bug = optarg; break;
		case 't': twice = true; break;
		default: return 2;
		}
	}
	if (jobs == 0 || jobs > JOBS_MAX || seeds == 0)
		return 2;
	if (now_bug != NULL && !planted_choose(now_bug)) {
		fprintf(stderr, "there is no bug '%s' in this build: see "
		    "src/base/planted.h\n", now_bug);
		return 2;
	}
	/* What a process gives back, the next one asks for. */
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_TOP_PAD, 16 << 20);
	signal(SIGABRT, on_signal);
	signal(SIGSEGV, on_signal);
	signal(SIGPROF, on_signal);
	gather(&s, first, seeds, jobs < seeds ? jobs : (unsigned)seeds, twice);
	for (i = 0; argc == 1 && i < sizeof(kept) / sizeof(kept[0]); i++)
		gather(&s, kept[i], 1, 1, twice);
	return verdict(&s);
}
