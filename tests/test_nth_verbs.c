/* SPDX-License-Identifier: ISC */
/*
 * test_nth_verbs.c - the nth allocation of an administrator's verb fails
 *
 * Claims: whichever it is, once or from then on, a verb neither crashes nor
 * leaks, and what it prints is all there is, or it says that it is not.
 * How:    malloc and its kin are this file's (ld --wrap), and jansson's the
 * verbs' own; each verb is run with n = 1, 2, ... until a run has no nth call.
 */

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/must.h"
#include "counters/counters.h"
#include "forward/mp.h"
#include "lane_kit.h"

#define GOLDEN		SRCDIR "/tests/golden/dead-letters-form1.seg"

/* ---- memory ---- */

void	*__real_malloc(size_t n);
void	*__real_calloc(size_t n, size_t m);
void	*__real_realloc(void *p, size_t n);
void	 __real_free(void *p);
char	*__real_strndup(const char *s, size_t n);
FILE	*__real_open_memstream(char **p, size_t *n);
void	*__wrap_malloc(size_t n);
void	*__wrap_calloc(size_t n, size_t m);
void	*__wrap_realloc(void *p, size_t n);
void	 __wrap_free(void *p);
char	*__wrap_strndup(const char *s, size_t n);
FILE	*__wrap_open_memstream(char **p, size_t *n);

static bool counting;
static uint64_t fail_at;
static bool fail_ever;
static int usual;			/* status, when nothing fails */

/* What the process of a verb tells of itself. */
static struct { uint64_t calls, failed; unsigned leaked; } *sh;

/* What a verb has and has not given back. */
#define HAS_MAX		16384
#define OUT_MAX		(256u << 10)
static void *has[HAS_MAX];
static unsigned has_n;

static void *
gets(void *p)
{
	if (!counting || p == NULL)
		return p;
	must(has_n < HAS_MAX);
	return has[has_n++] = p;
}

static void
gives_back(const void *p)
{
	unsigned i;

	for (i = has_n; i-- > 0;)
		if (has[i] == p) {
			has[i] = has[--has_n];
			return;
		}
}

static bool
fails(void)
{
	if (!counting)
		return false;
	sh->calls++;
	if (fail_at == 0 || sh->calls < fail_at ||
	    (sh->calls > fail_at && !fail_ever))
		return false;
	sh->failed++;
	errno = ENOMEM;
	return true;
}

void *
__wrap_malloc(size_t n)
{
	return fails() ? NULL : gets(__real_malloc(n));
}

void *
__wrap_calloc(size_t n, size_t m)
{
	return fails() ? NULL : gets(__real_calloc(n, m));
}

void *
__wrap_realloc(void *p, size_t n)
{
	if (fails())
		return NULL;
	gives_back(p);
	return gets(__real_realloc(p, n));
}

void
__wrap_free(void *p)
{
	gives_back(p);
	__real_free(p);
}

char *
__wrap_strndup(const char *s, size_t n)
{
	return fails() ? NULL : gets(__real_strndup(s, n));
}

FILE *
__wrap_open_memstream(char **p, size_t *n)
{
	return fails() ? NULL : __real_open_memstream(p, n);
}

/* ---- a host with something of everything ---- */

static char dir[64], ring[96], state[96], queue[128];
static char ring_set[128], state_set[128];
static struct kit lane;

static void
make_lane(void)
{
	uint8_t buf[512];
	struct mpw w = { buf, buf + sizeof(buf), false };
	unsigned i;

	mpw_map(&w, 2);
	mpw_str(&w, BYTES("worker_id"));
	mpw_str(&w, BYTES("w0"));
	mpw_str(&w, BYTES("service_type"));
	mpw_str(&w, BYTES("comfyui"));
	kit_make(&lane, ring, 1, LANE_DATA_MIN, buf, (uint32_t)(w.p - buf));
	for (i = 0; i < 3; i++) {
		w = (struct mpw){ buf, buf + sizeof(buf), false };
		mpw_array(&w, 2);
		mpw_event_time(&w, UINT64_C(1700000000000000000) + i);
		mpw_map(&w, 3);
		mpw_str(&w, BYTES("message"));
		mpw_str(&w, BYTES("a job was received"));
		mpw_str(&w, BYTES("job_id"));
		mpw_str(&w, BYTES("job-1"));
		mpw_str(&w, BYTES("list"));
		mpw_array(&w, 2);
		mpw_uint(&w, i);
		mpw_str(&w, BYTES("x"));
		kit_put(&lane, buf, (size_t)(w.p - buf));
	}
}

static void
make_role(const char *role)
{
	struct counters c;
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", state, role);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%s/counters", state, role);
	counters_init(&c);
	ck_assert_int_eq(counters_map(&c, path, role), 0);
	strcpy(c.head->state, "run");
	ctr_set(&c, CTR_queue_held_records, 3);
	counters_fini(&c);
}

static void
setup(void)
{
	char cmd[512];

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(sh != MAP_FAILED);
	snprintf(dir, sizeof(dir), "/tmp/test_nth_verbs.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(ring, sizeof(ring), "%s/ring", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(queue, sizeof(queue), "%s/relay/0", state);
	ck_assert_int_eq(mkdir(ring, 0700), 0);
	ck_assert_int_eq(mkdir(state, 0700), 0);
	make_role("agent");
	make_role("relay");
	make_lane();
	snprintf(cmd, sizeof(cmd), "cd %s/relay && mkdir 0 dead && cp %s "
	    "0/0000000000000001.seg && cp %s dead/0000000000000001.seg",
	    state, GOLDEN, GOLDEN);
	ck_assert_int_eq(system(cmd), 0);
	snprintf(ring_set, sizeof(ring_set), "common.ring_dir=%s", ring);
	snprintf(state_set, sizeof(state_set), "common.state_dir=%s", state);
	ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
}

static void
teardown(void)
{
	char cmd[128];

	kit_die(&lane);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

/* ---- the runs ---- */

struct verb {
	const char	*words[6];
	bool		 steady;	/* says the same at each time */
};

static char out[OUT_MAX], err[OUT_MAX], want[OUT_MAX];

static void
direct(int fd, const char *leaf)
{
	char path[128];
	int to;

	snprintf(path, sizeof(path), "%s/%s", dir, leaf);
	to = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	must(to >= 0);
	must(dup2(to, fd) == fd);
	close(to);
}

static void
read_back(const char *leaf, char text[OUT_MAX])
{
	char path[128];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, leaf);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, OUT_MAX - 1, f);
	ck_assert_uint_lt(n, OUT_MAX - 1);
	text[n] = '\0';
	fclose(f);
}

/* As main does, in a process of its own. */
static _Noreturn void
be_verb(const struct verb *v)
{
	const char *sets[] = { ring_set, state_set };
	struct conf_source given = { .file = "/dev/null", .sets = sets,
	    .sets_n = 2 };
	char *argv[8] = { NULL }, text[8][160];
	int argc, r;

	direct(STDOUT_FILENO, "stdout");
	direct(STDERR_FILENO, "stderr");
	for (argc = 0; v->words[argc] != NULL; argc++) {
		snprintf(text[argc], sizeof(text[argc]), "%s",
		    v->words[argc]);
		argv[argc] = text[argc];
	}
	sh->calls = sh->failed = 0;
	sh->leaked = 0;
	has_n = 0;
	counting = true;
	r = admin_main(argc, argv, &given);
	counting = false;
	sh->leaked = has_n;
	exit(r);
}

/* How it ended, as waitpid() has it. */
static int
run(const struct verb *v)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		be_verb(v);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	read_back("stdout", out);
	read_back("stderr", err);
	return status;
}

/* NULL: it bore it. */
static const char *
what_is_wrong(const struct verb *v, int status)
{
	bool same = strcmp(out, want) == 0 ||
	    strstr(out, strerror(ENOMEM)) != NULL;

	if (!WIFEXITED(status))
		return "it is killed";
	if (sh->leaked > 0)
		return "memory has leaked";
	if (sh->failed == 0)
		return NULL;
	if (v->steady && !same && err[0] == '\0')
		return "it prints something else and says nothing";
	if (v->steady && !same && WEXITSTATUS(status) == 0)
		return "it prints something else and ends with 0";
	if (!v->steady && WEXITSTATUS(status) != usual && err[0] == '\0')
		return "it fails and does not say why";
	return NULL;
}

/* 1: it did not bear it. */
static unsigned
look_at(const struct verb *v, bool ever)
{
	const char *what;
	int status;

	fail_ever = ever;
	status = run(v);
	what = what_is_wrong(v, status);
	if (what != NULL)
		fprintf(stderr, "%s %s: allocation %" PRIu64 " fails %s: "
		    "%s\n%s---- out:\n%s----\n", v->words[0],
		    v->words[1] == NULL ? "" : v->words[1], fail_at,
		    ever ? "for ever" : "once", what, err, out);
	return what != NULL;
}

/* Where no call comes behind the nth, for ever is once. */
static unsigned
each_n(const struct verb *v)
{
	unsigned bad = 0;
	bool reached;

	for (fail_at = 1, reached = true; reached; fail_at++) {
		bad += look_at(v, false);
		reached = sh->failed > 0;
		if (sh->calls > fail_at)
			bad += look_at(v, true);
	}
	return bad;
}

static const struct verb verbs[] = {
	{ { "status", NULL }, false },
	{ { "status", "--json", NULL }, false },
	{ { "ring", NULL }, false },
	{ { "tail", NULL }, true },
	{ { "tail", "--json", NULL }, true },
	{ { "dlq", "ls", NULL }, true },
	{ { "dlq", "ls", "--json", NULL }, true },
	{ { "dlq", "show", NULL }, true },
	{ { "dlq", "show", "--json", NULL }, true },
	{ { "queue", "ls", queue, NULL }, true },
	{ { "queue", "check", queue, NULL }, true },
	{ { "queue", "cat", queue, NULL }, true },
	{ { "queue", "cat", "--json", queue, NULL }, true },
	{ { "audit", state, NULL }, true },
	{ { "trace", "job-1", state, NULL }, true },
	{ { "help", NULL }, true },
	{ { "help", "keys", NULL }, true },
	{ { "version", NULL }, true },
};
#define VERBS	(sizeof(verbs) / sizeof(verbs[0]))

START_TEST(what_is_printed_is_all_or_it_is_said)
{
	const struct verb *v;
	unsigned bad = 0;
	uint64_t sum = 0;

	for (v = verbs; v < verbs + VERBS; v++) {
		fail_at = 0;
		usual = WEXITSTATUS(run(v));
		ck_assert_uint_eq(sh->leaked, 0);
		strcpy(want, out);
		printf("emplogd %s %s: %" PRIu64 " allocations\n",
		    v->words[0], v->words[1] == NULL ? "" : v->words[1],
		    sh->calls);
		sum += sh->calls;
		bad += each_n(v);
	}
	printf("verbs: N: memory %" PRIu64 "\n", sum);
	fflush(stdout);
	ck_assert_uint_eq(bad, 0);
	ck_assert_uint_ge(sum, 200);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("nth_verbs");
	TCase *tc = tcase_create("all");
	SRunner *sr;
	int failures;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_printed_is_all_or_it_is_said);
	tcase_set_timeout(tc, 600);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failures = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failures != 0;
}
