/* SPDX-License-Identifier: ISC */
/*
 * test_unharmed.c - what libemplog must never do to the program it is in
 *
 * Claimed: no signal, no wait and no lie comes out of a call, whatever became
 * of the standard error, of the file size limit, of ring.ctl and of the lane's
 * lock, and whatever the arguments are; jobs are told of from any thread and
 * at any level; what was refused is told with its times, to the very end.
 */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "shm/jobs.h"
#include "shm/log.h"
#include "shm_kit.h"

static struct emplog *elog;
static struct emplog_options opt;

static void
setup(void)
{
	unsetenv("LOG_LEVEL");
	unsetenv("EMPLOG_CONSOLE");
	unsetenv("EMPLOG_DISABLED");
	kit_ring();
	pool.conf.sys = &kit_sys;
	opt = (struct emplog_options){ .ring_dir = kit_dir,
	    .lane_bytes = 65536, .console = EMPLOG_CONSOLE_OFF };
}

static void
teardown(void)
{
	emplog_close(&elog);
	kit_clean();
}

static void
open_it(void)
{
	ck_assert_int_eq(emplog_open(&elog, &opt), 0);
}

static bool
pending(int sig)
{
	sigset_t set;

	return sigpending(&set) == 0 && sigismember(&set, sig) == 1;
}

/* ---- signals ---- */

START_TEST(a_standard_error_that_nobody_reads_is_no_sigpipe)
{
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(dup2(fd[1], 2), 2);
	close(fd[1]);
	close(fd[0]);
	signal(SIGPIPE, SIG_DFL);
	opt.console = EMPLOG_CONSOLE_ON;
	setenv("DISABLE_FLUENT_BIT_LOGGING", "1", 1);
	open_it();
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	ck_assert(!pending(SIGPIPE));
}
END_TEST

START_TEST(a_signal_of_the_programs_own_stays_pending)
{
	sigset_t set;
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(dup2(fd[1], 2), 2);
	close(fd[1]);
	close(fd[0]);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	raise(SIGPIPE);
	opt.console = EMPLOG_CONSOLE_ON;
	open_it();
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	ck_assert(pending(SIGPIPE));
}
END_TEST

/*
 * In a child, for check writes files of its own: what it logs under a limit.
 * The answer of emplog_log(), as an exit status, or the signal.
 */
static int
log_limited(rlim_t bytes, bool open_before)
{
	const struct rlimit rl = { bytes, bytes };
	int r, status;
	pid_t pid;

	kit_sys.file_limit = shm_sys_os.file_limit;
	pid = fork();
	if (pid == 0) {
		signal(SIGXFSZ, SIG_DFL);
		if (open_before && emplog_open(&elog, &opt) < 0)
			_exit(99);
		setrlimit(RLIMIT_FSIZE, &rl);
		if (!open_before && (emplog_open(&elog, &opt) < 0 ||
		    strstr(emplog_state(elog), "ulimit -f") == NULL))
			_exit(98);
		r = emplog_log(elog, EMPLOG_INFO, "x", NULL, 0);
		_exit(pending(SIGXFSZ) ? 97 : -r);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Of each size: no file at all, ring.ctl but no lane, a byte too little. */
START_TEST(a_file_size_limit_of_any_size_is_no_sigxfsz)
{
	const rlim_t limit[] = { 0, RING_CTL_BYTES - 1, RING_CTL_BYTES,
	    LANE_CONTROL_BYTES + LANE_DATA_MIN - 1 };
	char path[128];

	snprintf(path, sizeof(path), "%s/ring.ctl", kit_dir);
	ck_assert_int_eq(log_limited(limit[_i], false), ENOSYS);
	ck_assert_int_eq(access(path, F_OK),
	    limit[_i] < RING_CTL_BYTES ? -1 : 0);
}
END_TEST

START_TEST(a_standard_error_at_its_size_limit_is_no_sigxfsz)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/log", kit_top);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(dup2(fd, 2), 2);
	close(fd);
	opt.console = EMPLOG_CONSOLE_ON;
	ck_assert_int_eq(log_limited(0, true), 0);
}
END_TEST

/* It is 0666: any user of the machine may do that. */
START_TEST(a_ring_ctl_cut_by_another_is_no_sigbus)
{
	char path[128];
	struct ring_ctl ctl;
	int fd;

	snprintf(path, sizeof(path), "%s/ring.ctl", kit_dir);
	kit.left = RING_CTL_BYTES;
	open_it();
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0),
	    -ENOSYS);
	fd = open(path, O_RDWR);
	ck_assert_int_eq(pread(fd, &ctl, sizeof(ctl), 0), sizeof(ctl));
	ck_assert_uint_eq(atomic_load(&ctl.no_lane), 1);
	ck_assert_uint_gt(atomic_load(&ctl.no_lane_last_ns), 0);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	close(fd);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0),
	    -ENOSYS);
	emplog_close(&elog);
	/* Nor is it when it is found so. */
	open_it();
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0),
	    -ENOSYS);
}
END_TEST

/* ---- arguments ---- */

START_TEST(null_in_place_of_a_result_is_refused)
{
	struct emplog_stats st = { .written = 7 };

	ck_assert_int_eq(emplog_open(NULL, &opt), -EINVAL);
	emplog_get_stats(NULL, &st);
	ck_assert_uint_eq(st.written, 0);
	open_it();
	emplog_get_stats(elog, NULL);
	ck_assert_str_eq(emplog_state(NULL), "closed");
	emplog_close(&elog);
	emplog_close(&elog);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), -EINVAL);
	ck_assert_int_eq(emplog_health_check(elog, true, NULL, 0), -EINVAL);
	ck_assert_int_eq(emplog_service_event(elog, "e", NULL, NULL, 0),
	    -EINVAL);
	ck_assert_int_eq(emplog_job_progress(elog, NULL, NULL, 0), -EINVAL);
}
END_TEST

START_TEST(an_option_that_is_none_is_einval)
{
	opt.level_set = true;
	opt.level = EMPLOG_FATAL + 1;
	ck_assert_int_eq(emplog_open(&elog, &opt), -EINVAL);
	opt.level = EMPLOG_FATAL;
	opt.console = EMPLOG_CONSOLE_ON + 1;
	ck_assert_int_eq(emplog_open(&elog, &opt), -EINVAL);
	opt.console = EMPLOG_CONSOLE_OFF;
	open_it();
}
END_TEST

START_TEST(absurd_types_texts_and_numbers_are_records_all_the_same)
{
	struct emplog_field f[64];
	struct emplog_job job = EMPLOG_JOB("j\xff\xfe");
	char console[128];
	unsigned i;
	int fd;

	snprintf(console, sizeof(console), "%s/log", kit_top);
	fd = open(console, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(dup2(fd, 2), 2);
	opt.console = EMPLOG_CONSOLE_ON;
	open_it();
	for (i = 0; i < 64; i++)
		f[i] = (struct emplog_field){ .key = i % 3 ? "k\xc3" : NULL,
		    .key_len = 2, .type = i < 32 ? i : 1u << (i - 32),
		    .len = i % 2 ? SIZE_MAX : 0 };
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "\xc0\x80\xed", f, 64),
	    0);
	f[0] = EMPLOG_DOUBLE("n", NAN);
	f[1] = EMPLOG_DOUBLE("i", -INFINITY);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", f, 2), 0);
	job.queue_ms = NAN;
	job.duration_ms = INFINITY;
	job.progress = 1e300;
	ck_assert_int_eq(emplog_job_completed(elog, &job, f, 2), 0);
	close(fd);
}
END_TEST

/* A map whose field is that map. */
START_TEST(a_map_within_itself_ends)
{
	struct emplog_field f[2];

	open_it();
	f[0] = EMPLOG_MAP("again", f, 2);
	f[1] = EMPLOG_ARRAY("and", f, 2);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", f, 2), -E2BIG);
	f[0] = EMPLOG_MAP("again", f, 1);
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", f, 1), 0);
}
END_TEST

/* ---- jobs ---- */

static unsigned
lane_jobs(void)
{
	unsigned i, n = 0;

	for (i = 0; i < LANE_JOBS; i++)
		n += atomic_load(&pool.lane[0].w.jobs[i].state) ==
		    LANE_JOB_SET;
	return n;
}

static void *
start_a_job(void *arg)
{
	const struct emplog_job job = EMPLOG_JOB("other-thread");

	ck_assert_int_eq(emplog_job_started(elog, &job, NULL, 0), 0);
	return NULL;
}

START_TEST(a_job_is_in_the_lane_whichever_thread_has_it)
{
	pthread_t t;

	open_it();
	/* The first lane is this thread's from here on. */
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	pthread_create(&t, NULL, start_a_job, NULL);
	pthread_join(t, NULL);
	ck_assert_uint_eq(pool.lane[1].w.records, 1);
	ck_assert_uint_eq(lane_jobs(), 1);
}
END_TEST

START_TEST(a_job_is_in_the_lane_though_its_level_is_not_written)
{
	struct emplog_job job = EMPLOG_JOB("quiet");

	opt.level_set = true;
	opt.level = EMPLOG_WARN;
	open_it();
	ck_assert_int_eq(emplog_job_started(elog, &job, NULL, 0), 0);
	ck_assert_uint_eq(lane_jobs(), 1);
	ck_assert_int_eq(emplog_job_completed(elog, &job, NULL, 0), 0);
	ck_assert_uint_eq(lane_jobs(), 0);
}
END_TEST

static _Atomic bool enough;

static void *
mirror_on(void *arg)
{
	while (!enough)
		if (pool_lock(&pool.lane[0], POOL_SPINS)) {
			jobs_mirror_all(&pool.lane[0].w);
			pool_give(&pool.lane[0]);
		}
	return NULL;
}

START_TEST(a_job_that_ends_while_it_is_copied_has_ended)
{
	struct emplog_job job = EMPLOG_JOB("copied");
	pthread_t t;
	unsigned i;

	opt.level_set = true;
	opt.level = EMPLOG_FATAL;
	open_it();
	pthread_create(&t, NULL, mirror_on, NULL);
	for (i = 0; i < 20000; i++) {
		(void)emplog_job_started(elog, &job, NULL, 0);
		(void)emplog_job_completed(elog, &job, NULL, 0);
	}
	enough = true;
	pthread_join(t, NULL);
	ck_assert_uint_eq(jobs_count(), 0);
}
END_TEST

static int in_handler;

static void
job_handler(int sig)
{
	const struct emplog_job job = EMPLOG_JOB("handler");

	in_handler = emplog_job_started(elog, &job, NULL, 0);
}

static uint64_t
mono_raises(void *arg)
{
	raise(SIGUSR1);
	return shm_sys_os.mono_ns(arg);
}

START_TEST(a_handler_inside_a_job_call_is_ebusy)
{
	const struct emplog_job job = EMPLOG_JOB("main");

	open_it();
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	signal(SIGUSR1, job_handler);
	kit_sys.mono_ns = mono_raises;
	ck_assert_int_eq(emplog_job_started(elog, &job, NULL, 0), 0);
	kit_sys.mono_ns = shm_sys_os.mono_ns;
	ck_assert_int_eq(in_handler, -EBUSY);
	ck_assert_uint_eq(jobs_count(), 1);
	/* What was asked of it is missing, so it is counted. */
	ck_assert_int_eq(emplog_log(elog, EMPLOG_INFO, "x", NULL, 0), 0);
	ck_assert_uint_ge(atomic_load(
	    &pool.lane[0].w.prod->refused[EMPLOG_INFO]), 1);
}
END_TEST

/* ---- refusals ---- */

static void *
hold_and_log(void *arg)
{
	ck_assert_int_eq(emplog_log_at(elog, EMPLOG_ERROR,
	    *(const uint64_t *)arg, "x", 1, NULL, 0), -EAGAIN);
	return NULL;
}

/* Another thread holds the lane's lock while a record comes. */
static void
lose_one(uint64_t wall_ns)
{
	pthread_t t;

	ck_assert(pool_lock(&pool.lane[0], 0));
	pthread_create(&t, NULL, hold_and_log, &wall_ns);
	pthread_join(t, NULL);
	pool_give(&pool.lane[0]);
}

START_TEST(what_found_no_lock_is_told_with_its_times)
{
	struct lane_producer *p;

	/* Room for one lane. */
	setenv("EMPLOGD_COMMON_RING_MAX", "128K", 1);
	open_it();
	p = pool.lane[0].w.prod;
	lose_one(5000000000);
	lose_one(7000000000);
	ck_assert_int_eq(emplog_log_at(elog, EMPLOG_INFO, 9000000000, "x", 1,
	    NULL, 0), 0);
	ck_assert_uint_eq(atomic_load(&p->told[EMPLOG_ERROR]), 2);
	ck_assert_uint_eq(atomic_load(&p->refused_first_ns), 5000000000);
	ck_assert_uint_eq(atomic_load(&p->refused_last_ns), 7000000000);
}
END_TEST

static unsigned naps, given_after;

static void
nap_then_give(void *arg)
{
	if (++naps == given_after)
		pool_give(&pool.lane[0]);
}

static void *
log_one(void *ret_r)
{
	*(int *)ret_r = emplog_log(elog, EMPLOG_ERROR, "x", NULL, 0);
	return NULL;
}

/* Of a thread that logs while another one is given back after some naps. */
static int
result_when_given_after(unsigned n)
{
	pthread_t t;
	int r = 1;

	naps = 0;
	given_after = n;
	ck_assert(pool_lock(&pool.lane[0], 0));
	pthread_create(&t, NULL, log_one, &r);
	pthread_join(t, NULL);
	return r;
}

START_TEST(a_holder_without_a_processor_is_waited_for_a_little)
{
	setenv("EMPLOGD_COMMON_RING_MAX", "128K", 1);
	open_it();
	kit_sys.nap = nap_then_give;
	ck_assert_int_eq(result_when_given_after(2), 0);
	ck_assert_uint_eq(naps, 2);
	ck_assert_int_eq(result_when_given_after(POOL_NAPS + 1), -EAGAIN);
	ck_assert_uint_eq(naps, POOL_NAPS);
	pool_give(&pool.lane[0]);
}
END_TEST

static struct lane_producer
words_of(const char *path)
{
	struct lane_producer p;
	int fd = open(path, O_RDONLY);

	ck_assert_int_eq(pread(fd, &p, sizeof(p), LANE_PRODUCER_AT),
	    sizeof(p));
	close(fd);
	return p;
}

START_TEST(what_found_no_lock_is_in_the_lane_when_it_closes)
{
	struct lane_producer p;
	char path[256];
	int status;
	pid_t pid;

	setenv("EMPLOGD_COMMON_RING_MAX", "128K", 1);
	ck_assert_int_eq(mkdir(kit_dir, 0700), 0);
	pid = fork();
	if (pid == 0) {
		open_it();
		emplog_log(elog, EMPLOG_INFO, "x", NULL, 0);
		lose_one(5000000000);
		if (_i == 0)
			emplog_close(&elog);
		exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(kit_count(kit_dir, ".lane", path, sizeof(path)), 1);
	p = words_of(path);
	ck_assert_uint_eq(atomic_load(&p.closed), 1);
	ck_assert_uint_eq(atomic_load(&p.refused[EMPLOG_ERROR]), 1);
	ck_assert_uint_eq(atomic_load(&p.refused_last_ns), 5000000000);
}
END_TEST

/* An unused lane goes at its close; with something to tell it must not. */
START_TEST(a_lane_that_only_refused_stays_for_the_agent)
{
	setenv("EMPLOGD_COMMON_RING_MAX", "128K", 1);
	open_it();
	lose_one(5000000000);
	emplog_close(&elog);
	ck_assert_uint_eq(kit_count(kit_dir, ".lane", NULL, 0), 1);
}
END_TEST

static TCase *
case_new(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return t;
}

int
main(void)
{
	Suite *s = suite_create("unharmed");
	TCase *t;
	SRunner *sr;
	int failed;

	t = case_new(s, "signals");
	tcase_add_test(t, a_standard_error_that_nobody_reads_is_no_sigpipe);
	tcase_add_test(t, a_signal_of_the_programs_own_stays_pending);
	tcase_add_loop_test(t, a_file_size_limit_of_any_size_is_no_sigxfsz,
	    0, 4);
	tcase_add_test(t, a_standard_error_at_its_size_limit_is_no_sigxfsz);
	tcase_add_test(t, a_ring_ctl_cut_by_another_is_no_sigbus);
	t = case_new(s, "arguments");
	tcase_add_test(t, null_in_place_of_a_result_is_refused);
	tcase_add_test(t, an_option_that_is_none_is_einval);
	tcase_add_test(t,
	    absurd_types_texts_and_numbers_are_records_all_the_same);
	tcase_add_test(t, a_map_within_itself_ends);
	t = case_new(s, "jobs");
	tcase_add_test(t, a_job_is_in_the_lane_whichever_thread_has_it);
	tcase_add_test(t, a_job_is_in_the_lane_though_its_level_is_not_written);
	tcase_add_test(t, a_job_that_ends_while_it_is_copied_has_ended);
	tcase_add_test(t, a_handler_inside_a_job_call_is_ebusy);
	t = case_new(s, "refusals");
	tcase_add_test(t, what_found_no_lock_is_told_with_its_times);
	tcase_add_test(t, a_holder_without_a_processor_is_waited_for_a_little);
	tcase_add_loop_test(t,
	    what_found_no_lock_is_in_the_lane_when_it_closes, 0, 2);
	tcase_add_test(t, a_lane_that_only_refused_stays_for_the_agent);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
