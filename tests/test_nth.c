/* SPDX-License-Identifier: ISC */
/*
 * test_nth.c - the nth allocation, or the nth operation, of a role fails
 *
 * Claims: whichever it is, once or for as long as it takes, nobody crashes,
 * what has ended has given everything back, who does not start says why, and
 * when the failure is gone every record that was logged arrives, once.
 * How:    a scenario of nth_town.h is run with n = 1, 2, ... until a run has
 * no nth call; prints how many calls it makes.
 *
 * usage: test_nth [SCENARIO [memory|op|shm [FIRST [once|ever]]]]
 */

#include <check.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "nth_town.h"

struct scenario {
	const char	*name;
	enum who	 victim;
	const char	*sets[WHO][6];	/* NULL-ended; none: not there */
	void		(*play)(struct town *t, struct nth *n);
	void		(*disks)(struct town *t);
};

static struct nth nth;
static const struct scenario *playing;
static const char *only_what, *only_how;
static const char *const what_name[] = { "nothing", "memory", "op", "shm" };
static uint64_t first = 1;

/* ---- what fails, said when it is too late to ask ---- */

static void
tell_where(FILE *to)
{
	fprintf(to, "%s: %s %" PRIu64 " %s (%s failed, %" PRIu64 " times): ",
	    playing->name, what_name[nth.what], nth.at,
	    nth.ever ? "ever" : "once", nth_kind_name(nth.kind), nth.failed);
}

void
nth_wrong(const char *fmt, ...)
{
	va_list ap;

	tell_where(stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nrun it again: test_nth %s %s %" PRIu64 " %s\n",
	    playing->name, what_name[nth.what], nth.at,
	    nth.ever ? "ever" : "once");
	_exit(1);
}

static void
on_abort(int sig)
{
	(void)sig;
	nth_wrong("a bug was found, or made");
}

/* ---- scenarios ---- */

/* Straight; spilled; the backlog; a maker that died; an end and a start. */
static void
play_agent(struct town *t, struct nth *n)
{
	town_run(t, 100 * MS);
	town_make(t, 0, 4, 100);
	town_make(t, 1, 4, 100);
	town_run(t, 300 * MS);
	town_kill(t, RELAY);
	town_make(t, 0, 6, 2000);
	town_run(t, 2 * S);
	town_make(t, 1, 4, 100);
	town_kill_maker(t, 1);
	town_run(t, 300 * MS);
	town_up(t, RELAY);
	town_run(t, 1500 * MS);
	town_make(t, 0, 4, 100);
	town_drain(t, AGENT);
	town_up(t, AGENT);
	town_run(t, 500 * MS);
	town_make(t, 0, 4, 100);
	town_run(t, 500 * MS);
	nth_lift(n);
	town_settle(t);
}

/* Each with lanes, one after the other; what a lane has taken arrives. */
static void
play_makers(struct town *t, struct nth *n)
{
	unsigned i;

	town_run(t, 100 * MS);
	for (i = 0; i < 16; i++) {
		town_make(t, i % 2, 4, i < 8 ? 100 : 2000);
		town_run(t, 200 * MS);
		if (i % 3 == 2)
			town_kill_maker(t, i % 2);
	}
	nth_lift(n);
	town_settle(t);
}

/* Stored and passed on; sent again; an end by force and one in order. */
static void
play_relay(struct town *t, struct nth *n)
{
	town_run(t, 200 * MS);
	town_make(t, 0, 4, 100);
	town_run(t, 200 * MS);
	town_kill(t, EXPORTER);
	town_make(t, 1, 6, 2000);
	town_run(t, 1 * S);
	town_kill(t, RELAY);
	town_make(t, 0, 4, 100);
	town_run(t, 300 * MS);
	town_up(t, RELAY);
	town_up(t, EXPORTER);
	town_run(t, 1500 * MS);
	town_make(t, 0, 4, 100);
	town_run(t, 300 * MS);
	town_drain(t, RELAY);
	town_up(t, RELAY);
	town_run(t, 500 * MS);
	nth_lift(n);
	town_settle(t);
}

/* A directory that others have been in, and a queue that held nothing. */
static void
spoil_disk(struct town *t)
{
	static uint8_t noise[9000];
	struct sim_host *h = t->node[RELAY].host;
	struct bytes some = { noise, sizeof(noise) };
	size_t i;

	for (i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 167 + (i >> 7));
	(void)sim_install(h, "/state", LOOP_DIR, bytes_of(NULL, 0));
	(void)sim_install(h, "/state/relay", LOOP_DIR, bytes_of(NULL, 0));
	(void)sim_install(h, "/state/relay/0", LOOP_DIR, bytes_of(NULL, 0));
	(void)sim_install(h, "/state/relay/0/spare", LOOP_FILE, some);
	(void)sim_install(h, "/state/relay/0/0000000000000001.seg", LOOP_FILE,
	    some);
	(void)sim_install(h, "/state/relay/0/0000000000000002.seg", LOOP_FILE,
	    bytes_of(noise, 100));
	(void)sim_install(h, "/state/relay/0/0000000000000003.seg", LOOP_DIR,
	    bytes_of(NULL, 0));
	(void)sim_install(h, "/state/relay/0/README", LOOP_FILE, some);
}

/* Its queue opened over and over, written, committed, and cleaned up. */
static void
play_damage(struct town *t, struct nth *n)
{
	unsigned i;

	for (i = 0; i < 3; i++) {
		town_up(t, RELAY);
		town_run(t, 300 * MS);
		town_make(t, i % 2, 5, 1500);
		town_run(t, 1500 * MS);
		if (i == 1)
			town_kill(t, RELAY);
		else
			town_drain(t, RELAY);
	}
	town_up(t, RELAY);
	town_run(t, 500 * MS);
	nth_lift(n);
	town_settle(t);
}

/* One record is refused, whatever it is sent with; now and then all are. */
static int
moody(struct town *t, struct bytes body)
{
	if (memmem(body.p, body.n, "[1.3]", 5) != NULL)
		return 400;
	switch (t->posts) {
	case 1: return 503;
	case 2: return 429;
	default: return 200;
	}
}

static void
play_exporter(struct town *t, struct nth *n)
{
	t->answer = moody;
	town_run(t, 200 * MS);
	town_make(t, 0, 4, 100);
	town_run(t, 2 * S);
	town_make(t, 0, 4, 2000);
	town_make(t, 1, 6, 100);
	town_run(t, 4 * S);
	town_drain(t, EXPORTER);
	town_make(t, 0, 4, 100);
	town_up(t, EXPORTER);
	town_run(t, 1 * S);
	nth_lift(n);
	town_settle(t);
}

static void
play_files(struct town *t, struct nth *n)
{
	town_run(t, 200 * MS);
	town_make(t, 0, 4, 100);
	town_run(t, 500 * MS);
	town_make(t, 1, 6, 2000);
	town_run(t, 1 * S);
	town_drain(t, EXPORTER);
	town_make(t, 0, 4, 100);
	town_up(t, EXPORTER);
	town_run(t, 1 * S);
	nth_lift(n);
	town_settle(t);
}

/* ---- the runs ---- */

static void
read_confs(const struct scenario *s, struct town_conf *c)
{
	unsigned i;

	c->disks = s->disks;
	for (i = 0; i < WHO; i++)
		c->of[i] = s->sets[i][0] == NULL ? NULL :
		    town_read_conf((enum who)i, s->sets[i]);
}

struct sums {
	uint64_t	 runs, refused, failed, wrong;
};

static void
play_once(const struct town_conf *c, enum nth_what what, uint64_t at,
    bool ever, struct sums *sums)
{
	static struct town t;

	nth = (struct nth){ .what = what, .at = at, .ever = ever,
	    .loud = getenv("NTH_LOUD") != NULL };
	if (getenv("NTH_LOUD") != NULL) {
		tell_where(stderr);
		fprintf(stderr, "begins\n");
	}
	town_open(&t, c, playing->victim, &nth);
	playing->play(&t, &nth);
	town_close(&t);
	sums->runs++;
	sums->refused += t.starts_refused;
	sums->failed += nth.failed;
}

/* NTH_ALL: each run in a process of its own, and all that is wrong is said. */
static void
play_apart(const struct town_conf *c, enum nth_what what, uint64_t at,
    bool ever, struct sums *sums)
{
	int status = 0;
	pid_t pid;

	if (getenv("NTH_ALL") == NULL) {
		play_once(c, what, at, ever, sums);
		return;
	}
	pid = fork();
	if (pid == 0) {
		play_once(c, what, at, ever, sums);
		_exit(nth.failed > 0 ? 2 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	sums->runs++;
	sums->wrong += !WIFEXITED(status) || WEXITSTATUS(status) == 1;
	nth.failed = status != 0;
}

static bool
wanted(enum nth_what what, bool ever)
{
	return (only_what == NULL || strcmp(only_what, what_name[what]) == 0) &&
	    (only_how == NULL || ever == (strcmp(only_how, "ever") == 0));
}

static void
each_n(const struct town_conf *c, enum nth_what what, bool ever)
{
	struct sums sums = { 0 };
	uint64_t at = first;

	do
		play_apart(c, what, at++, ever, &sums);
	while (nth.failed > 0 && only_how == NULL);
	printf("%s: each %s fails %s: %" PRIu64 " runs, %" PRIu64 " calls "
	    "failed, %" PRIu64 " starts were refused\n", playing->name,
	    what == NTH_ALLOC ? "allocation" : what == NTH_OP ? "operation" :
	    "call of shm",
	    ever ? "for ever" : "once", sums.runs, sums.failed, sums.refused);
	fflush(stdout);
	ck_assert_uint_eq(sums.wrong, 0);
}

static void
play_all(const struct scenario *s)
{
	struct sums sums = { 0 };
	struct town_conf c;
	unsigned i, ever;

	playing = s;
	signal(SIGABRT, on_abort);
	read_confs(s, &c);
	play_once(&c, NTH_NOTHING, 0, false, &sums);
	printf("%s: N: ", s->name);
	nth_print(&nth, stdout);
	printf("\n");
	fflush(stdout);
	ck_assert_uint_ge(nth.allocs + nth.ops + nth.sys, 200);
	for (i = NTH_ALLOC; i <= NTH_SYS; i++)
		for (ever = 0; ever < 2; ever++)
			if (wanted(i, ever == 1))
				each_n(&c, i, ever == 1);
	for (i = 0; i < WHO; i++)
		conf_free(&c.of[i]);
}

#define LISTEN	"relay.listen=127.0.0.1:24224"
#define URL	"exporter.endpoint=http://127.0.0.1:4318"
static const struct scenario scenarios[] = {
	{ "agent", AGENT, { [AGENT] = { "agent.relay=127.0.0.1:24224" },
	    [RELAY] = { LISTEN, URL } }, play_agent, NULL },
	{ "makers", MAKERS, { [AGENT] = { "agent.relay=127.0.0.1:24224" },
	    [RELAY] = { LISTEN, URL } }, play_makers, NULL },
	{ "relay", RELAY, { [AGENT] = { "agent.relay=127.0.0.1:24224" },
	    [RELAY] = { LISTEN, "relay.next=127.0.0.1:24225" },
	    [EXPORTER] = { "exporter.listen=127.0.0.1:24225", URL } },
	    play_relay, NULL },
	{ "damage", RELAY, { [AGENT] = { "agent.relay=127.0.0.1:24224" },
	    [RELAY] = { LISTEN, "relay.next=127.0.0.1:24225" },
	    [EXPORTER] = { "exporter.listen=127.0.0.1:24225", URL } },
	    play_damage, spoil_disk },
	{ "exporter", EXPORTER, { [AGENT] = { "agent.relay=127.0.0.1:24225" },
	    [EXPORTER] = { "exporter.listen=127.0.0.1:24225", URL } },
	    play_exporter, NULL },
	{ "files", EXPORTER, { [AGENT] = { "agent.relay=127.0.0.1:24225" },
	    [EXPORTER] = { "exporter.listen=127.0.0.1:24225" } }, play_files,
	    NULL },
};
#define SCENARIOS	(sizeof(scenarios) / sizeof(scenarios[0]))

START_TEST(whatever_fails_nothing_is_lost)
{
	play_all(&scenarios[_i]);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *s = suite_create("nth");
	TCase *tc = tcase_create("roles");
	SRunner *sr;
	int failed, i;

	/* World after world: what one has used is there for the next. */
	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 512 << 20);
	only_what = argc > 2 ? argv[2] : NULL;
	first = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	only_how = argc > 4 ? argv[4] : NULL;
	tcase_set_timeout(tc, 600);
	for (i = 0; i < (int)SCENARIOS; i++)
		if (argc < 2 || strcmp(argv[1], scenarios[i].name) == 0)
			tcase_add_loop_test(tc, whatever_fails_nothing_is_lost,
			    i, i + 1);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
