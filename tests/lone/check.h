/* SPDX-License-Identifier: ISC */
/*
 * check.h - as much of libcheck's as the suites of shm/ use
 *
 * What:     there is no libcheck for another C library or machine; the same
 *           test files run with this one.  Each test is a process of its own
 *           in a group of its own, with its fixture and a time limit, as
 *           under CK_FORK.  CHECK_SKIP names a test that cannot pass there.
 * Used by:  tests/t0100-shm-musl.sh, tests/t0110-shm-arm64.sh.
 */
#ifndef EMPLOG_LONE_CHECK_H
#define EMPLOG_LONE_CHECK_H

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_CASES	16
#define CHECK_TESTS	256
#define CK_NORMAL	1

typedef struct {
	const char	*name;
	void		(*run)(int i);
	int		 from, to;
} CheckTest;
typedef struct {
	CheckTest	 test[CHECK_TESTS];
	unsigned	 tests;
	void		(*setup)(void);
	void		(*teardown)(void);
	unsigned	 timeout;
} TCase;
typedef struct {
	const char	*name;
	TCase		*tcase[CHECK_CASES];
	unsigned	 cases;
} Suite;
typedef struct {
	Suite		*suite;
	int		 failed, count;
} SRunner;

#define START_TEST(name)	static void name(int _i) { (void)_i;
#define END_TEST		}

static inline void __attribute__((noreturn, format(printf, 3, 4)))
check_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("%s:%d: ", file, line);
	vprintf(fmt, ap);
	puts("");
	va_end(ap);
	fflush(stdout);
	_exit(1);
}

#define ck_abort_msg(...)	check_fail(__FILE__, __LINE__, __VA_ARGS__)
#define ck_assert_msg(x, ...)						\
	((x) ? (void)0 : check_fail(__FILE__, __LINE__, __VA_ARGS__))
#define ck_assert(x)		ck_assert_msg(x, "%s", #x)

#define CK_NUM(T, fmt, a, op, b) do {					\
	T a_ = (a), b_ = (b);						\
	ck_assert_msg(a_ op b_, "%s %s %s: %" fmt ", %" fmt, #a, #op,	\
	    #b, a_, b_);						\
} while (0)
#define CK_INT(a, op, b)	CK_NUM(intmax_t, PRIdMAX, a, op, b)
#define CK_UINT(a, op, b)	CK_NUM(uintmax_t, PRIuMAX, a, op, b)
#define ck_assert_int_eq(a, b)	CK_INT(a, ==, b)
#define ck_assert_int_ne(a, b)	CK_INT(a, !=, b)
#define ck_assert_int_lt(a, b)	CK_INT(a, <, b)
#define ck_assert_int_le(a, b)	CK_INT(a, <=, b)
#define ck_assert_int_gt(a, b)	CK_INT(a, >, b)
#define ck_assert_int_ge(a, b)	CK_INT(a, >=, b)
#define ck_assert_uint_eq(a, b)	CK_UINT(a, ==, b)
#define ck_assert_uint_ne(a, b)	CK_UINT(a, !=, b)
#define ck_assert_uint_lt(a, b)	CK_UINT(a, <, b)
#define ck_assert_uint_le(a, b)	CK_UINT(a, <=, b)
#define ck_assert_uint_gt(a, b)	CK_UINT(a, >, b)
#define ck_assert_uint_ge(a, b)	CK_UINT(a, >=, b)
#define ck_assert_ptr_eq(a, b)	ck_assert((const void *)(a) == (b))
#define ck_assert_ptr_ne(a, b)	ck_assert((const void *)(a) != (b))
#define ck_assert_ptr_null(a)	ck_assert((a) == NULL)
#define ck_assert_ptr_nonnull(a) ck_assert((a) != NULL)
#define ck_assert_mem_eq(a, b, n) ck_assert(memcmp(a, b, n) == 0)
#define ck_assert_mem_ne(a, b, n) ck_assert(memcmp(a, b, n) != 0)
#define CK_STR(a, op, b) do {						\
	const char *a_ = (a), *b_ = (b);				\
	ck_assert_msg(strcmp(a_, b_) op 0, "%s %s %s: \"%s\", \"%s\"",	\
	    #a, #op, #b, a_, b_);					\
} while (0)
#define ck_assert_str_eq(a, b)	CK_STR(a, ==, b)
#define ck_assert_str_ne(a, b)	CK_STR(a, !=, b)

static inline void *
check_new(size_t bytes)
{
	void *p = calloc(1, bytes);

	if (p == NULL)
		abort();
	return p;
}

static inline Suite *
suite_create(const char *name)
{
	Suite *s = check_new(sizeof(*s));

	s->name = name;
	return s;
}

static inline TCase *
tcase_create(const char *name)
{
	TCase *t = check_new(sizeof(*t));

	(void)name;
	t->timeout = 60;
	return t;
}

static inline void
suite_add_tcase(Suite *s, TCase *t)
{
	if (s->cases == CHECK_CASES)
		abort();
	s->tcase[s->cases++] = t;
}

static inline void
check_add(TCase *t, CheckTest test)
{
	if (t->tests == CHECK_TESTS)
		abort();
	t->test[t->tests++] = test;
}
#define tcase_add_loop_test(t, f, from, to)				\
	check_add(t, (CheckTest){ #f, f, from, to })
#define tcase_add_test(t, f)	tcase_add_loop_test(t, f, 0, 1)

static inline void
tcase_add_checked_fixture(TCase *t, void (*setup)(void),
    void (*teardown)(void))
{
	t->setup = setup;
	t->teardown = teardown;
}

static inline void
tcase_set_timeout(TCase *t, double seconds)
{
	t->timeout = (unsigned)seconds;
}

static inline SRunner *
srunner_create(Suite *s)
{
	SRunner *r = check_new(sizeof(*r));

	r->suite = s;
	return r;
}

static inline void __attribute__((noreturn))
check_child(const TCase *t, const CheckTest *test, int i)
{
	setpgid(0, 0);
	if (t->setup != NULL)
		t->setup();
	test->run(i);
	if (t->teardown != NULL)
		t->teardown();
	fflush(stdout);
	exit(0);
}

/*
 * The limit is the parent's alarm, for tests have alarms of their own: it
 * interrupts the wait.
 */
static volatile sig_atomic_t check_late;

static inline void
check_on_alarm(int sig)
{
	(void)sig;
	check_late = 1;
}

static inline void
check_one(SRunner *r, const TCase *t, const CheckTest *test, int i)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	check_late = 0;
	pid = fork();
	if (pid == 0)
		check_child(t, test, i);
	alarm(t->timeout);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && check_late)
		kill(pid, SIGKILL);
	alarm(0);
	kill(-pid, SIGKILL);
	r->count++;
	if (pid > 0 && status == 0)
		return;
	r->failed++;
	if (WIFSIGNALED(status))
		printf("%s:%s:%d: signal %d%s\n", r->suite->name, test->name,
		    i, WTERMSIG(status), check_late ? ", too slow" : "");
	else
		printf("%s:%s:%d: exit %d\n", r->suite->name, test->name, i,
		    WEXITSTATUS(status));
}

static inline void
srunner_run_all(SRunner *r, int mode)
{
	struct sigaction on_alarm = { .sa_handler = check_on_alarm };
	const char *skip = getenv("CHECK_SKIP");
	const TCase *t;
	unsigned i, j;
	int k;

	(void)mode;
	sigaction(SIGALRM, &on_alarm, NULL);
	for (i = 0; i < r->suite->cases; i++) {
		t = r->suite->tcase[i];
		for (j = 0; j < t->tests; j++) {
			if (skip != NULL && strcmp(skip, t->test[j].name) == 0)
				continue;
			for (k = t->test[j].from; k < t->test[j].to; k++)
				check_one(r, t, &t->test[j], k);
		}
	}
	printf("%s: %d checks, %d failures\n", r->suite->name, r->count,
	    r->failed);
}

static inline int
srunner_ntests_failed(SRunner *r)
{
	return r->failed;
}

static inline void
srunner_free(SRunner *r)
{
	unsigned i;

	for (i = 0; i < r->suite->cases; i++)
		free(r->suite->tcase[i]);
	free(r->suite);
	free(r);
}

#endif
