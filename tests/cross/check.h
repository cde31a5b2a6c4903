/* SPDX-License-Identifier: ISC */
/*
 * check.h - as much of Check as the lane's suites use, for another machine
 *
 * Check itself is there for this machine alone.  Each test is a child, as
 * with Check; the last line counts as Check's does.  CROSS_SKIP names a test
 * that the emulator cannot pass.
 */
#ifndef CROSS_CHECK_H
#define CROSS_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CK_NORMAL	0
#define CK_ENV		0
#define CROSS_TESTS	256

typedef void cross_fn(int i);
typedef struct {
	cross_fn	*fn[CROSS_TESTS];
	const char	*name[CROSS_TESTS];
	int		 i[CROSS_TESTS];
	unsigned	 n;
	void		(*setup)(void);
	void		(*teardown)(void);
} TCase;
typedef struct {
	TCase		*tc[16];
	unsigned	 n;
} Suite;
typedef struct {
	Suite		*s;
	int		 failed;
} SRunner;

#define START_TEST(x)	static void x(int _i __attribute__((unused)))
#define END_TEST

#define cross_assert(ok, text, a, b) do { \
	if (!(ok)) { \
		fprintf(stderr, "%s:%d: %s: %jd, %jd\n", __FILE__, __LINE__, \
		    text, (intmax_t)(a), (intmax_t)(b)); \
		_exit(1); \
	} } while (0)
#define cross_int(a, op, b) do { \
	intmax_t a_ = (intmax_t)(a), b_ = (intmax_t)(b); \
	cross_assert(a_ op b_, #a " " #op " " #b, a_, b_); \
	} while (0)
#define cross_uint(a, op, b) do { \
	uintmax_t a_ = (uintmax_t)(a), b_ = (uintmax_t)(b); \
	cross_assert(a_ op b_, #a " " #op " " #b, a_, b_); \
	} while (0)
#define ck_assert(x)		cross_assert(x, #x, 0, 0)
#define ck_assert_int_eq(a, b)	cross_int(a, ==, b)
#define ck_assert_int_ne(a, b)	cross_int(a, !=, b)
#define ck_assert_int_ge(a, b)	cross_int(a, >=, b)
#define ck_assert_int_gt(a, b)	cross_int(a, >, b)
#define ck_assert_int_le(a, b)	cross_int(a, <=, b)
#define ck_assert_int_lt(a, b)	cross_int(a, <, b)
#define ck_assert_uint_eq(a, b)	cross_uint(a, ==, b)
#define ck_assert_uint_ne(a, b)	cross_uint(a, !=, b)
#define ck_assert_uint_ge(a, b)	cross_uint(a, >=, b)
#define ck_assert_uint_gt(a, b)	cross_uint(a, >, b)
#define ck_assert_uint_le(a, b)	cross_uint(a, <=, b)
#define ck_assert_uint_lt(a, b)	cross_uint(a, <, b)
#define ck_assert_ptr_eq(a, b)	ck_assert((a) == (b))
#define ck_assert_ptr_ne(a, b)	ck_assert((a) != (b))
#define ck_assert_ptr_null(a)	ck_assert((a) == NULL)
#define ck_assert_ptr_nonnull(a) ck_assert((a) != NULL)
#define ck_assert_str_eq(a, b)	ck_assert(strcmp(a, b) == 0)
#define ck_assert_str_ne(a, b)	ck_assert(strcmp(a, b) != 0)
#define ck_assert_mem_eq(a, b, n) ck_assert(memcmp(a, b, n) == 0)
#define ck_assert_mem_ne(a, b, n) ck_assert(memcmp(a, b, n) != 0)

static inline void *
cross_new(size_t n)
{
	void *p = calloc(1, n);

	if (p == NULL)
		abort();
	return p;
}

static inline void
cross_add(TCase *tc, cross_fn *fn, const char *name, int i)
{
	if (tc->n == CROSS_TESTS)
		abort();
	tc->fn[tc->n] = fn;
	tc->name[tc->n] = name;
	tc->i[tc->n++] = i;
}

#define tcase_create(name)	((TCase *)cross_new(sizeof(TCase)))
#define suite_create(name)	((Suite *)cross_new(sizeof(Suite)))
#define tcase_set_timeout(tc, s) ((void)(tc))
#define tcase_add_test(tc, t)	cross_add(tc, t, #t, 0)
#define tcase_add_loop_test(tc, t, from, to) do { \
	for (int i_ = (from); i_ < (to); i_++) \
		cross_add(tc, t, #t, i_); \
	} while (0)
#define tcase_add_checked_fixture(tc, up, down) \
	((void)((tc)->setup = (up), (tc)->teardown = (down)))
#define suite_add_tcase(su, c)	((void)((su)->tc[(su)->n++] = (c)))
#define srunner_ntests_failed(r) ((r)->failed)
#define srunner_free(r)		free(r)

static inline SRunner *
srunner_create(Suite *s)
{
	SRunner *r = cross_new(sizeof(*r));

	r->s = s;
	return r;
}

static inline bool
cross_passes(const TCase *tc, unsigned t)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		alarm(60);
		if (tc->setup != NULL)
			tc->setup();
		tc->fn[t](tc->i[t]);
		if (tc->teardown != NULL)
			tc->teardown();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "%s: status %#x\n", tc->name[t],
		    (unsigned)status);
		return false;
	}
	return true;
}

static inline void
srunner_run_all(SRunner *r, int how)
{
	const char *skip = getenv("CROSS_SKIP");
	unsigned c, t, n = 0;

	for (c = 0; c < r->s->n; c++)
		for (t = 0; t < r->s->tc[c]->n; t++) {
			if (skip != NULL &&
			    strcmp(skip, r->s->tc[c]->name[t]) == 0)
				continue;
			r->failed += !cross_passes(r->s->tc[c], t);
			n++;
		}
	printf("Checks: %u, Failures: %d, Errors: 0\n", n, r->failed);
}

#endif
