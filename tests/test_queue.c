/* SPDX-License-Identifier: ISC */
/*
 * test_queue.c - claims about the queue, each line of its promise: durable
 * before done, taken only when durable, forgotten only when committed, and
 * that it opens whatever lies in the directory.
 *
 * Real files in a directory of its own, a loop of our own (fileloop.h) whose
 * operations can be made fail.
 */

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"
#include "fileloop.h"
#include "queue/frame.h"
#include "queue/ledger.h"
#include "queue/queue.h"
#include "queue/streams.h"

#define PUTS_MAX	4096
#define MS		1000000ull

static struct loop *l;
static struct env env;
static struct queue *q;
static struct queue_conf conf;
static char dir[64], path[256];
static int open_res;
static bool closed;
static unsigned notified;

static struct queue_put put[PUTS_MAX];
static int put_res[PUTS_MAX];		/* 1: not yet */
static unsigned puts_n;
static uint8_t out[QUEUE_TAKE_MAX];
static uint8_t blob[QUEUE_TAKE_MAX];

/*
 * A process that is to be killed claims by its exit status: check's own words
 * go into a file that it shares with us, and a half one ends the run.
 */
static bool doomed;
#define CLAIM(x) do {							\
	if (!doomed)							\
		ck_assert(x);						\
	else if (!(x))							\
		_exit(3);						\
} while (0)

/* ---- a queue in a directory ---- */

static void
on_open(void *arg, int res)
{
	open_res = res;
}

static void
on_close(void *arg)
{
	closed = true;
}

static int trouble;
static unsigned troubles;
static unsigned read_troubles[2];	/* begun, ended */

static void
on_trouble(void *arg, enum queue_trouble what, int error)
{
	if (what == QUEUE_READS) {
		read_troubles[error == 0]++;
		return;
	}
	trouble = error;
	troubles++;
}

static void
on_notify(void *arg)
{
	notified++;
}

static void
on_put(struct queue_put *p, int res)
{
	CLAIM(put_res[p - put] == 1);
	put_res[p - put] = res;
}

static int
try_open(void)
{
	conf.dir = dir;
	conf.notify = on_notify;
	conf.trouble = on_trouble;
	CLAIM(queue_new(&q, &env, &conf) == 0);
	open_res = 1;
	queue_open(q, on_open, NULL);
	fileloop_settle(l);
	CLAIM(open_res != 1);
	return open_res;
}

static void
start(void)
{
	ck_assert_int_eq(try_open(), 0);
}

static void
stop(void)
{
	closed = false;
	queue_close(q, on_close, NULL);
	fileloop_settle(l);
	ck_assert(closed);
	queue_free(&q);
	ck_assert_uint_eq(loop_pending(l), 0);
}

static void
new_loop(void)
{
	l = fileloop_new();
	env_init(&env, l, "test");
	env.log_fd = -1;
}

/* The process is gone without a word, but we keep what it had allocated. */
static void
crash(void)
{
	static void *grave[1024];
	static unsigned graves;
	int fd;

	ck_assert_uint_lt(graves, 1022);
	grave[graves++] = q;
	grave[graves++] = l;
	ck_assert_ptr_eq(grave[graves - 1], l);
	q = NULL;
	for (fd = 3; fd < 64; fd++) {
		char link[64], to[256];
		ssize_t n;

		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, to, sizeof(to) - 1);
		if (n > 0 && strncmp(to, dir, strlen(dir)) == 0)
			close(fd);
	}
	env_fini(&env);
	new_loop();
}

static void
restart(void)
{
	crash();
	start();
}

static int
remove_one(const char *name, const struct stat *st, int type, struct FTW *f)
{
	return remove(name);
}

static void
remove_tree(const char *name)
{
	ck_assert_int_eq(nftw(name, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void
empty_dir(void)
{
	if (access(dir, F_OK) == 0)
		remove_tree(dir);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
}

/* In memory where there is a place: the claims are not about the device. */
static void
setup(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	if (getenv("QUEUE_DIR") != NULL)
		base = getenv("QUEUE_DIR");
	(void)snprintf(dir, sizeof(dir), "%s/test-queue-XXXXXX", base);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_lt(strlen(dir) + 2, sizeof(dir));
	strncat(dir, "/q", 3);
	conf = (struct queue_conf){ .segment_bytes = 256 << 10,
	    .staging_bytes = 512 << 10 };
	puts_n = notified = 0;
	new_loop();
}

static void
teardown(void)
{
	if (q != NULL)
		stop();
	dir[strlen(dir) - 2] = '\0';
	remove_tree(dir);
	env_fini(&env);
	loop_free(&l);
}

/* ---- puts and takes ---- */

/* The body of a frame says which it is, all over. */
static void
fill(uint8_t *p, size_t n, unsigned i)
{
	size_t k;

	for (k = 0; k < n; k++)
		p[k] = (uint8_t)(i * 31 + k * 7 + (k >> 8));
}

static int
try_put(unsigned i, size_t n)
{
	struct chunk c = { .records = i % 5 + 1, .taken_ns = loop_wall(l),
	    .identity = BYTES("\x80") };

	CLAIM(i < PUTS_MAX);
	fill(blob, n, i);
	c.body[0] = bytes_of(blob, n / 3);
	c.body[1] = bytes_of(blob + n / 3, n - n / 3);
	put[i] = (struct queue_put){ .done = on_put };
	put_res[i] = 1;
	return queue_put(q, &c, &put[i]);
}

static void
put_some(unsigned n, size_t size)
{
	while (n-- > 0) {
		ck_assert_int_eq(try_put(puts_n, size), 0);
		puts_n++;
	}
}

static void
put_durable(unsigned n, size_t size)
{
	put_some(n, size);
	fileloop_settle(l);
	ck_assert_int_eq(put_res[puts_n - 1], 0);
}

static int
try_take(uint64_t *ret_seq, struct chunk *c)
{
	int r;

	r = queue_take(q, out, sizeof(out), c, ret_seq);
	if (r == -EAGAIN) {
		fileloop_settle(l);
		r = queue_take(q, out, sizeof(out), c, ret_seq);
	}
	return r;
}

/* Takes the next and checks that it is put number i, of this size. */
static uint64_t
take(unsigned i, size_t size)
{
	static uint8_t want[QUEUE_TAKE_MAX];
	struct chunk c;
	uint64_t seq;

	ck_assert_int_eq(try_take(&seq, &c), 0);
	ck_assert_uint_eq(chunk_body_len(&c), size);
	ck_assert_uint_eq(c.body[0].n, size);
	ck_assert_uint_eq(c.records, i % 5 + 1);
	ck_assert_uint_eq(c.identity.n, 1);
	fill(want, size, i);
	ck_assert_mem_eq(c.body[0].p, want, size);
	return seq;
}

static void
take_none(void)
{
	struct chunk c;
	uint64_t seq;

	ck_assert_int_eq(try_take(&seq, &c), -EAGAIN);
	ck_assert_uint_eq(queue_peek(q), 0);
}

static void
pass(uint64_t ns)
{
	fileloop_pass(l, ns);
	fileloop_settle(l);
}

static unsigned
segments(void)
{
	unsigned n = 0;
	struct dirent *d;
	DIR *dp = opendir(dir);

	ck_assert_ptr_nonnull(dp);
	while ((d = readdir(dp)) != NULL)
		n += strstr(d->d_name, ".seg") != NULL;
	closedir(dp);
	return n;
}

static const char *
seg_path(unsigned n)
{
	(void)snprintf(path, sizeof(path), "%s/%016x.seg", dir, n);
	return path;
}

/* ---- the promise ---- */

START_TEST(the_directory_is_made_for_its_owner_alone)
{
	struct stat st;

	start();
	ck_assert_int_eq(stat(dir, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert(!stream_is_none(queue_id(q)));
}
END_TEST

START_TEST(done_comes_after_the_sync_and_not_before)
{
	unsigned syncs;

	start();
	put_some(1, 100);
	syncs = fileloop_count(l, OP_FSYNC);
	ck_assert_uint_eq(queue_held_frames(q), 1);
	while (put_res[0] == 1) {
		ck_assert_uint_eq(queue_peek(q), 0);
		ck_assert_int_gt(loop_turn(l, false), 0);
	}
	ck_assert_int_eq(put_res[0], 0);
	ck_assert_uint_eq(fileloop_count(l, OP_FSYNC), syncs + 1);
	ck_assert_uint_gt(queue_peek(q), 100);
	ck_assert_uint_ge(notified, 1);
}
END_TEST

START_TEST(frames_come_out_in_order_as_they_went_in)
{
	unsigned i;

	start();
	put_durable(1, 0);
	put_durable(1, 1);
	put_durable(50, 300);
	put_durable(2, 100000);
	take(0, 0);
	take(1, 1);
	for (i = 2; i < 52; i++)
		ck_assert_uint_eq(take(i, 300), i);
	for (; i < 54; i++)
		take(i, 100000);
	take_none();
}
END_TEST

START_TEST(many_puts_of_one_turn_are_one_sync)
{
	unsigned syncs;

	start();
	syncs = fileloop_count(l, OP_FSYNC);
	put_durable(500, 300);
	ck_assert_uint_eq(fileloop_count(l, OP_FSYNC), syncs + 1);
}
END_TEST

START_TEST(an_idle_queue_writes_and_syncs_nothing)
{
	unsigned writes, syncs;
	int i;

	start();
	put_durable(3, 1000);
	queue_commit(q, take(0, 1000));
	pass(2000 * MS);
	writes = fileloop_count(l, OP_WRITE);
	syncs = fileloop_count(l, OP_FSYNC);
	for (i = 0; i < 100; i++)
		pass(60000 * MS);
	ck_assert_uint_eq(fileloop_count(l, OP_WRITE), writes);
	ck_assert_uint_eq(fileloop_count(l, OP_FSYNC), syncs);
	take(1, 1000);
}
END_TEST

START_TEST(what_was_done_is_there_after_a_crash_and_what_was_committed_not)
{
	unsigned i;

	start();
	put_durable(10, 5000);
	for (i = 0; i < 5; i++)
		queue_commit(q, take(i, 5000));
	pass(300 * MS);
	restart();
	ck_assert_uint_eq(queue_held_frames(q), 5);
	ck_assert_uint_eq(queue_held_records(q), 1 + 2 + 3 + 4 + 5);
	for (i = 5; i < 10; i++)
		take(i, 5000);
	take_none();
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 0);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_put_frames), 10);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_done_frames), 5);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_quarantined_frames), 0);
}
END_TEST

START_TEST(a_commit_alone_is_durable_within_its_time)
{
	start();
	put_durable(2, 100);
	queue_commit(q, take(0, 100));
	pass(199 * MS);
	ck_assert_uint_eq(fileloop_count(l, OP_FSYNC), 5);
	pass(1 * MS);
	restart();
	ck_assert_uint_eq(queue_held_frames(q), 1);
	take(1, 100);
}
END_TEST

START_TEST(commits_out_of_order_are_kept)
{
	uint64_t seq[6];
	unsigned i;

	start();
	put_durable(6, 100);
	for (i = 0; i < 6; i++)
		seq[i] = take(i, 100);
	queue_commit(q, seq[4]);
	queue_commit(q, seq[1]);
	queue_commit(q, seq[1]);
	ck_assert_uint_eq(queue_held_frames(q), 4);
	pass(300 * MS);
	restart();
	ck_assert_uint_eq(take(0, 100), seq[0]);
	ck_assert_uint_eq(take(2, 100), seq[2]);
	ck_assert_uint_eq(take(3, 100), seq[3]);
	ck_assert_uint_eq(take(5, 100), seq[5]);
	take_none();
}
END_TEST

START_TEST(rewind_begins_with_the_oldest_not_committed)
{
	uint64_t seq[6];
	unsigned i;

	start();
	put_durable(6, 30000);
	for (i = 0; i < 6; i++)
		seq[i] = take(i, 30000);
	queue_commit(q, seq[0]);
	queue_commit(q, seq[3]);
	queue_rewind(q);
	ck_assert_uint_eq(take(1, 30000), seq[1]);
	queue_commit(q, seq[2]);	/* taken before the rewind: counts */
	ck_assert_uint_eq(take(4, 30000), seq[4]);
	take(5, 30000);
	take_none();
	for (i = 0; i < 6; i++)
		queue_commit(q, seq[i]);
	ck_assert_uint_eq(queue_held_frames(q), 0);
	ck_assert_uint_eq(queue_held_records(q), 0);
	queue_rewind(q);
	take_none();
}
END_TEST

START_TEST(a_take_buffer_too_small_changes_nothing)
{
	struct chunk c;
	uint64_t seq;

	start();
	put_durable(1, 1000);
	ck_assert_uint_eq(queue_peek(q), 1001);
	ck_assert_int_eq(queue_take(q, out, 1000, &c, &seq), -ENOBUFS);
	ck_assert_int_eq(queue_take(q, out, 1001, &c, &seq), 0);
}
END_TEST

START_TEST(bodies_one_below_at_and_above_the_limit)
{
	const size_t max = FRAME_BODY_MAX;

	start();
	put_durable(1, max - 1);
	put_durable(1, max);
	ck_assert_int_eq(try_put(puts_n, max + 1), -EMSGSIZE);
	take(0, max - 1);
	take(1, max);
	restart();
	take(0, max - 1);
	take(1, max);
}
END_TEST

START_TEST(a_barrier_waits_for_what_was_put_before)
{
	start();
	put_some(1, 100);
	put[1].done = on_put;
	put_res[1] = 1;
	queue_barrier(q, &put[1]);
	while (put_res[1] == 1)
		loop_turn(l, false);
	ck_assert_int_eq(put_res[0], 0);
	ck_assert_int_eq(put_res[1], 0);
	put_res[1] = 1;
	queue_barrier(q, &put[1]);
	ck_assert_int_eq(put_res[1], 1);
	fileloop_settle(l);
	ck_assert_int_eq(put_res[1], 0);
}
END_TEST

START_TEST(staging_is_bounded_and_notify_says_when_there_is_room)
{
	unsigned i;
	int r = 0;

	start();
	for (i = 0; i < 100 && r == 0; i++)
		r = try_put(i, 50000);
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_uint_le(i, 7);
	notified = 0;
	fileloop_settle(l);
	ck_assert_uint_ge(notified, 1);
	ck_assert_int_eq(try_put(i, 50000), 0);
	fileloop_settle(l);
}
END_TEST

START_TEST(puts_while_a_group_is_in_flight_become_the_next_group)
{
	unsigned i;

	start();
	put_some(1, 1000);
	while (fileloop_count(l, OP_WRITE) < 2)
		loop_turn(l, false);
	put_some(20, 1000);
	fileloop_settle(l);
	for (i = 0; i < 21; i++) {
		ck_assert_int_eq(put_res[i], 0);
		take(i, 1000);
	}
}
END_TEST

START_TEST(close_finishes_what_is_staged_and_commits_what_is_done)
{
	unsigned i;

	start();
	put_durable(2, 1000);
	queue_commit(q, take(0, 1000));
	put_some(10, 1000);
	stop();
	for (i = 0; i < 12; i++)
		ck_assert_int_eq(put_res[i], 0);
	start();
	ck_assert_uint_eq(queue_held_frames(q), 11);
	take(1, 1000);
}
END_TEST

START_TEST(close_may_come_at_any_moment_of_open)
{
	unsigned turns, i;

	for (turns = 0; turns < 40; turns++) {
		conf.dir = dir;
		ck_assert_int_eq(queue_new(&q, &env, &conf), 0);
		queue_open(q, on_open, NULL);
		for (i = 0; i < turns; i++)
			loop_turn(l, false);
		stop();
	}
}
END_TEST

START_TEST(buffers_are_given_back_after_an_idle_second_and_reading_goes_on)
{
	unsigned reads;

	start();
	put_durable(2, 1000);
	take(0, 1000);
	pass(1100 * MS);
	reads = fileloop_count(l, OP_READ);
	ck_assert_uint_eq(queue_peek(q), 1001);
	take(1, 1000);
	ck_assert_uint_eq(fileloop_count(l, OP_READ), reads + 1);
}
END_TEST

START_TEST(small_frames_do_not_cost_a_read_each)
{
	unsigned i, reads;

	start();
	put_durable(1000, 100);
	restart();
	reads = fileloop_count(l, OP_READ);
	for (i = 0; i < 1000; i++)
		take(i, 100);
	ck_assert_uint_le(fileloop_count(l, OP_READ), reads + 3);
}
END_TEST

START_TEST(a_reader_at_the_end_reads_nothing_from_disk)
{
	unsigned i, reads;

	start();
	reads = fileloop_count(l, OP_READ);
	for (i = 0; i < 50; i++) {
		put_durable(1, 30000);
		queue_commit(q, take(i, 30000));
	}
	ck_assert_uint_eq(fileloop_count(l, OP_READ), reads);
}
END_TEST

/* ---- segments ---- */

START_TEST(segments_are_unlinked_when_all_is_committed)
{
	unsigned i;

	start();
	for (i = 0; i < 40; i++)
		put_durable(1, 50000);
	ck_assert_uint_ge(segments(), 8);
	for (i = 0; i < 40; i++)
		queue_commit(q, take(i, 50000));
	pass(300 * MS);
	ck_assert_uint_le(segments(), 2);
	ck_assert_uint_eq(queue_held_frames(q), 0);
	restart();
	ck_assert_uint_eq(queue_held_frames(q), 0);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_done_frames), 40);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 0);
}
END_TEST

START_TEST(one_frame_not_committed_keeps_its_segment)
{
	uint64_t seq[40];
	unsigned i;

	start();
	for (i = 0; i < 40; i++)
		put_durable(1, 50000);
	for (i = 0; i < 40; i++)
		seq[i] = take(i, 50000);
	for (i = 0; i < 40; i++)
		if (i != 11)
			queue_commit(q, seq[i]);
	pass(300 * MS);
	restart();
	ck_assert_uint_eq(queue_held_frames(q), 1);
	ck_assert_uint_eq(take(11, 50000), seq[11]);
	take_none();
}
END_TEST

START_TEST(many_starts_leave_no_segments_behind)
{
	unsigned i;

	for (i = 0; i < 20; i++) {
		if (i % 2 == 0)
			start();
		else
			restart();
		put_durable(1, 100);
		queue_commit(q, take(i, 100));
		if (i % 2 == 1)
			stop();
		else
			pass(300 * MS);
	}
	start();
	pass(300 * MS);
	ck_assert_uint_le(segments(), 2);
}
END_TEST

/* Some of what is pending ends, and some time goes by. */
static void
some_turns(void)
{
	unsigned n = (unsigned)rand() % 12;

	while (n-- > 0 && loop_turn(l, false) > 0)
		;
	if (rand() % 8 == 0)
		fileloop_pass(l, (unsigned)rand() % 400 * MS);
}

/* What a consumer may do at any moment: take, finish out of order, give up. */
static void
consume(uint64_t *held, unsigned *held_n)
{
	struct chunk c;
	unsigned i;

	if (*held_n < 16 && rand() % 2 == 0 &&
	    queue_take(q, out, sizeof(out), &c, &held[*held_n]) == 0)
		(*held_n)++;
	if (*held_n > 0 && rand() % 3 == 0) {
		i = (unsigned)rand() % *held_n;
		queue_commit(q, held[i]);
		held[i] = held[--*held_n];
	}
	if (rand() % 40 == 0) {
		queue_rewind(q);
		*held_n = 0;
	}
}

/* A life under load, then another start, which finds all that was kept. */
static void
busy_life(void)
{
	uint64_t held[16], kept;
	unsigned held_n = 0, i;
	struct chunk c;

	for (i = 0; i < 150; i++) {
		if (puts_n < PUTS_MAX &&
		    try_put(puts_n, 1000 + (unsigned)rand() % 30000) == 0)
			puts_n++;
		some_turns();
		consume(held, &held_n);
	}
	kept = queue_held_frames(q);
	stop();
	start();
	ck_assert_uint_eq(queue_held_frames(q), kept);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 0);
	for (i = 0; i < kept / 2; i++) {
		ck_assert_int_eq(try_take(&held[0], &c), 0);
		queue_commit(q, held[0]);
		some_turns();
	}
}

START_TEST(writer_reader_and_janitor_may_finish_in_any_order)
{
	unsigned seed, life;

	conf.segment_bytes = 64 << 10;
	conf.staging_bytes = 128 << 10;
	for (seed = 1; seed <= 60; seed++) {
		srand(seed);
		fileloop_shuffle(l, seed * 2654435761u);
		start();
		for (life = 0; life < 3; life++)
			busy_life();
		stop();
		empty_dir();
		puts_n = 0;
	}
}
END_TEST

START_TEST(at_its_bound_puts_are_refused_and_commits_are_not)
{
	unsigned i, n;
	int r = 0;

	conf.bytes_max = 1 << 20;
	start();
	for (n = 0; n < 100 && r == 0; n++) {
		r = try_put(n, 20000);
		fileloop_settle(l);
	}
	n--;
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_ge(n, 25);
	ck_assert_uint_le(queue_bytes(q), conf.bytes_max);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_full), 1);
	notified = 0;
	for (i = 0; i < n; i++) {
		queue_commit(q, take(i, 20000));
		pass(300 * MS);
	}
	ck_assert_uint_ge(notified, 1);
	ck_assert_int_eq(try_put(n, 20000), 0);
	fileloop_settle(l);
	ck_assert_int_eq(put_res[n], 0);
	restart();
	ck_assert_uint_eq(queue_held_frames(q), 1);
	take(n, 20000);
}
END_TEST

START_TEST(what_is_too_old_is_dropped_and_counted)
{
	conf.age_max_ns = 10000 * MS;
	start();
	put_durable(4, 100);
	pass(5000 * MS);
	put_durable(1, 100);
	ck_assert_uint_ne(queue_oldest_ns(q), 0);
	pass(5001 * MS);
	ck_assert_uint_eq(queue_held_frames(q), 1);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_dropped_age_records),
	    1 + 2 + 3 + 4);
	take(4, 100);
	pass(300 * MS);
	restart();
	ck_assert_uint_eq(queue_held_frames(q), 1);
}
END_TEST

/* ---- damage ---- */

static unsigned
files_in_quarantine(void)
{
	unsigned n = 0;
	struct dirent *d;
	DIR *dp;

	(void)snprintf(path, sizeof(path), "%s/quarantine", dir);
	dp = opendir(path);
	if (dp == NULL)
		return 0;
	while ((d = readdir(dp)) != NULL)
		n += strstr(d->d_name, ".bin") != NULL ||
		    strstr(d->d_name, ".seg") != NULL;
	closedir(dp);
	return n;
}

static uint8_t *
slurp(const char *name, size_t *ret_n)
{
	struct stat st;
	uint8_t *p;
	int fd;

	fd = open(name, O_RDONLY);
	ck_assert_msg(fd >= 0, "%s", name);
	ck_assert_int_eq(fstat(fd, &st), 0);
	p = malloc((size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(read(fd, p, (size_t)st.st_size), st.st_size);
	close(fd);
	*ret_n = (size_t)st.st_size;
	return p;
}

static void
spew(const char *name, const uint8_t *p, size_t n)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	close(fd);
}

/* Takes all there is: which puts came, each whole and once. */
static unsigned
take_all(bool *came, size_t size)
{
	static uint8_t want[QUEUE_TAKE_MAX];
	struct chunk c;
	uint64_t seq;
	unsigned n = 0, i;

	while (try_take(&seq, &c) == 0) {
		ck_assert_uint_lt(seq, PUTS_MAX);
		ck_assert(!came[seq]);
		came[seq] = true;
		i = (unsigned)seq;
		ck_assert_uint_eq(c.body[0].n, size);
		fill(want, size, i);
		ck_assert_mem_eq(c.body[0].p, want, size);
		n++;
	}
	return n;
}

static void
check_books(void)
{
	const struct counters *c = &env.ctr;

	ck_assert_uint_eq(ctr_get(c, CTR_queue_put_frames),
	    ctr_get(c, CTR_queue_done_frames) +
	    ctr_get(c, CTR_queue_held_frames) +
	    ctr_get(c, CTR_queue_lost_frames));
	ck_assert_uint_eq(ctr_get(c, CTR_queue_put_records),
	    ctr_get(c, CTR_queue_done_records) +
	    ctr_get(c, CTR_queue_held_records) +
	    ctr_get(c, CTR_queue_lost_records) +
	    ctr_get(c, CTR_queue_dropped_age_records));
	ck_assert_uint_eq(ctr_get(c, CTR_queue_held_frames),
	    queue_held_frames(q));
}

/* One segment of 30 frames of 300 bytes, each its own group but the last. */
static uint8_t *
one_segment(size_t *ret_n)
{
	uint8_t *p;

	start();
	while (puts_n < 25)
		put_durable(1, 300);
	put_durable(5, 300);
	crash();
	p = slurp(seg_path(1), ret_n);
	return p;
}

static size_t
used_bytes(const uint8_t *p, size_t n)
{
	while (n > 0 && p[n - 1] == 0)
		n--;
	return n;
}

/* The queue opens and every frame that ends before byte `cut` is there. */
static void
whole_frames_survive(size_t cut)
{
	bool came[PUTS_MAX] = { false };
	unsigned n, i, want;

	want = cut < 4096 * 26 ? (unsigned)(cut / 4096) : 26;
	start();
	n = take_all(came, 300);
	for (i = 0; i + 1 < want; i++)
		ck_assert_msg(came[i], "cut at %zu: put %u", cut, i);
	ck_assert_uint_le(n, 30);
	check_books();
	stop();
}

START_TEST(a_segment_cut_at_any_byte_keeps_what_lies_before)
{
	size_t n, used, cut;
	uint8_t *p;

	p = one_segment(&n);
	used = used_bytes(p, n);
	ck_assert_uint_gt(used, 4096 * 26);
	for (cut = used - 8192; cut <= used; cut += 1 + cut % 7) {
		empty_dir();
		spew(seg_path(1), p, cut);
		whole_frames_survive(cut);
	}
	free(p);
}
END_TEST

START_TEST(a_zero_tail_is_no_damage_wherever_it_begins)
{
	size_t n, used, cut;
	uint8_t *p, *z;

	p = one_segment(&n);
	used = used_bytes(p, n);
	z = calloc(1, n);
	for (cut = used - 8192; cut <= used; cut += 8) {
		empty_dir();
		memcpy(z, p, cut);
		memset(z + cut, 0, n - cut);
		spew(seg_path(1), z, n);
		whole_frames_survive(cut);
		if (cut % 4096 == 0)
			ck_assert_uint_eq(files_in_quarantine(), 0);
	}
	free(p);
	free(z);
}
END_TEST

START_TEST(a_flipped_bit_costs_one_frame)
{
	bool came[PUTS_MAX];
	size_t n, used, at;
	unsigned k, got;
	uint8_t *p;

	p = one_segment(&n);
	used = used_bytes(p, n);
	srand(11);
	for (k = 0; k < 150; k++) {
		at = (size_t)rand() % used;
		memset(came, 0, sizeof(came));
		empty_dir();
		p[at] ^= (uint8_t)(1 << k % 8);
		spew(seg_path(1), p, n);
		p[at] ^= (uint8_t)(1 << k % 8);
		start();
		got = take_all(came, 300);
		ck_assert_msg(got >= 29, "byte %zu: %u", at, got);
		ck_assert_uint_ge(got + files_in_quarantine(), 30);
		check_books();
		stop();
	}
	free(p);
}
END_TEST

/* Ten segments of three frames; number k holds 4k-4 .. 4k-1. */
static void
ten_segments(void)
{
	start();
	while (segments() < 10)
		put_durable(1, 60000);
	stop();
}

static void
rename_segment(unsigned from, unsigned to)
{
	char a[256];

	(void)snprintf(a, sizeof(a), "%s", seg_path(from));
	ck_assert_int_eq(rename(a, seg_path(to)), 0);
}

START_TEST(a_deleted_segment_costs_its_own_frames_and_they_are_counted)
{
	bool came[PUTS_MAX] = { false };
	unsigned got;

	ten_segments();
	ck_assert_int_eq(unlink(seg_path(5)), 0);
	start();
	ck_assert_uint_ge(ctr_get(&env.ctr, CTR_queue_lost_frames), 3);
	got = take_all(came, 60000);
	ck_assert_uint_eq(got + ctr_get(&env.ctr, CTR_queue_lost_frames),
	    puts_n);
	check_books();
}
END_TEST

START_TEST(a_doubled_segment_is_delivered_once)
{
	bool came[PUTS_MAX] = { false };
	size_t n;
	uint8_t *p;

	ten_segments();
	p = slurp(seg_path(4), &n);
	spew(seg_path(11), p, n);
	spew(seg_path(77), p, n);
	free(p);
	start();
	ck_assert_uint_eq(take_all(came, 60000), puts_n);
	check_books();
}
END_TEST

START_TEST(a_sequence_never_given_is_passed_by_recovery_and_reader)
{
	bool came[PUTS_MAX] = { false };
	size_t n, at = 4096 * 11;
	uint8_t *p;

	p = one_segment(&n);
	le64_put(p + at + 40, UINT64_MAX);
	frame_seal(p + at, le64_get(p + 32), at);
	spew(seg_path(1), p, n);
	free(p);
	start();
	ck_assert_uint_eq(take_all(came, 300), 29);
	ck_assert(!came[10]);
	check_books();
}
END_TEST

/* Counted by the one, read first from the other. */
START_TEST(frames_in_two_segments_are_those_of_one)
{
	bool came[PUTS_MAX] = { false };
	uint8_t *p;
	size_t n;

	p = one_segment(&n);
	memset(p, 0xa5, 100);
	spew(seg_path(2), p, n);	/* all frames, but no checkpoint */
	free(p);
	p = slurp(seg_path(1), &n);
	memset(p + 4096, 0, 5 * 4096);	/* none of the first five */
	spew(seg_path(1), p, n);
	free(p);
	start();
	ck_assert_uint_eq(take_all(came, 300), 30);
	check_books();
}
END_TEST

START_TEST(swapped_segments_are_delivered_in_order)
{
	unsigned i;

	ten_segments();
	rename_segment(3, 99);
	rename_segment(6, 3);
	rename_segment(99, 6);
	start();
	for (i = 0; i < puts_n; i++)
		ck_assert_uint_eq(take(i, 60000), i);
	take_none();
	check_books();
}
END_TEST

START_TEST(each_damaged_head_costs_nothing_but_the_checkpoint)
{
	unsigned k, i, got;
	bool came[PUTS_MAX];
	size_t n;
	uint8_t *p;

	ten_segments();
	for (k = 1; k <= 10; k++) {
		p = slurp(seg_path(k), &n);
		memset(p + 20, 0xa5, 60);
		spew(seg_path(k), p, n);
		free(p);
		memset(came, 0, sizeof(came));
		start();
		got = take_all(came, 60000);
		ck_assert_uint_eq(got, puts_n);
		for (i = 0; i < puts_n; i++)
			ck_assert(came[i]);
		check_books();
		crash();
	}
	start();
}
END_TEST

/* Else a put would be acknowledged that nobody is ever given. */
START_TEST(a_checkpoint_cannot_finish_frames_that_it_does_not_know)
{
	uint8_t *p;
	size_t n;

	start();
	put_durable(3, 300);
	queue_commit(q, take(0, 300));
	stop();
	start();
	put_durable(1, 300);
	crash();
	p = slurp(seg_path(2), &n);
	ck_assert_uint_eq(le32_get(p + FRAME_HEAD + 72), 1);
	ck_assert_uint_eq(le64_get(p + FRAME_HEAD + LEDGER_HEAD + 8), 1);
	le64_put(p + FRAME_HEAD + LEDGER_HEAD + 8, 1000);
	frame_seal(p, le64_get(p + 32), 0);
	spew(seg_path(2), p, n);
	free(p);
	start();
	take(3, 300);
	put_durable(1, 300);
	take(4, 300);
	check_books();
}
END_TEST

/* All frames of the file, or all but the first so many. */
static void
set_version(const char *name, uint8_t version, unsigned but)
{
	size_t n, at;
	uint8_t *p;

	p = slurp(name, &n);
	for (at = 0; at + 16 < n; at += 8)
		if (le32_get(p + at + 8) == FRAME_MAGIC && but-- == 0) {
			p[at + 12] = version;
			but = 0;
		}
	spew(name, p, n);
	free(p);
}

/* Takes and commits what there is; how many frames. */
static unsigned
deliver_all(void)
{
	struct chunk c;
	uint64_t seq;
	unsigned n;

	for (n = 0; try_take(&seq, &c) == 0; n++)
		queue_commit(q, seq);
	return n;
}

START_TEST(segments_of_another_version_wait_for_its_emplogd)
{
	size_t n, then;
	uint8_t *p, *was;
	unsigned got;

	ten_segments();
	set_version(seg_path(2), 2, 0);
	set_version(seg_path(10), 2, 0);
	was = slurp(seg_path(10), &then);
	start();
	ck_assert_uint_eq(queue_unread(q).version, 2);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_unread_segments), 2);
	got = deliver_all();
	ck_assert_uint_lt(got, puts_n);
	ck_assert_uint_gt(got, 0);
	put_durable(1, 60000);
	ck_assert_uint_eq(deliver_all(), 1);
	check_books();
	stop();
	start();		/* all that this one knows is done, and says so */
	ck_assert_uint_eq(deliver_all(), 0);
	stop();
	ck_assert_uint_eq(files_in_quarantine(), 0);
	p = slurp(seg_path(10), &n);
	ck_assert_uint_eq(n, then);
	ck_assert_mem_eq(p, was, n);
	free(p);
	free(was);
	set_version(seg_path(2), FRAME_VERSION, 0);
	set_version(seg_path(10), FRAME_VERSION, 0);
	start();
	ck_assert_uint_eq(queue_unread(q).version, 0);
	ck_assert_uint_eq(deliver_all(), puts_n - got - 1);
	check_books();
}
END_TEST

/* It may say of a version what a flipped bit says. */
START_TEST(one_frame_of_another_version_is_damage)
{
	unsigned got;
	uint8_t *p;
	size_t n;

	ten_segments();
	p = slurp(seg_path(2), &n);
	p[12] = 2;
	spew(seg_path(2), p, n);
	free(p);
	set_version(seg_path(3), 2, 1);
	start();
	ck_assert_uint_eq(queue_unread(q).version, 0);
	got = deliver_all();
	ck_assert_uint_eq(got + ctr_get(&env.ctr, CTR_queue_lost_frames),
	    puts_n);
	ck_assert_uint_gt(ctr_get(&env.ctr, CTR_queue_lost_frames), 1);
	ck_assert_uint_gt(files_in_quarantine(), 1);
	check_books();
}
END_TEST

START_TEST(what_was_lost_stays_counted_when_the_newest_segment_is_unread)
{
	uint64_t seq, lost;
	struct chunk c;
	size_t bytes;
	unsigned last;
	uint8_t *p;

	start();
	while (segments() < 4)
		put_durable(1, 60000);
	p = slurp(seg_path(2), &bytes);
	memset(p + 20000, 0x5a, 100);
	spew(seg_path(2), p, bytes);
	free(p);
	while (try_take(&seq, &c) == 0)
		queue_commit(q, seq);
	stop();
	lost = ctr_get(&env.ctr, CTR_queue_lost_records);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 1);
	ck_assert_uint_gt(lost, 0);
	for (last = 64; access(seg_path(last), F_OK) < 0; last--)
		;
	fileloop_fault(l, (struct fault){ .kind = OP_OPEN, .times = 9,
	    .path = strrchr(seg_path(last), '/'), .res = -EACCES });
	start();
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_unread_segments), 1);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 1);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_records), lost);
	check_books();
}
END_TEST

START_TEST(damage_seen_while_running_costs_its_frames_and_keeps_the_file)
{
	uint64_t seq[PUTS_MAX], n = 0;
	struct chunk c;
	size_t bytes;
	uint8_t *p;

	start();
	while (segments() < 6)
		put_durable(1, 60000);
	p = slurp(seg_path(3), &bytes);
	memset(p + 20000, 0x5a, 100);
	spew(seg_path(3), p, bytes);
	free(p);
	while (try_take(&seq[n], &c) == 0)
		queue_commit(q, seq[n++]);
	pass(300 * MS);
	ck_assert_uint_eq(n, puts_n - 1);
	ck_assert_uint_eq(queue_held_frames(q), 0);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 1);
	ck_assert_uint_eq(files_in_quarantine(), 1);
	check_books();
}
END_TEST

START_TEST(any_bytes_in_the_directory_open)
{
	unsigned round, k, n;
	bool came[PUTS_MAX];
	size_t len, i;

	srand(5);
	for (round = 0; round < 60; round++) {
		empty_dir();
		for (k = 1; k <= 4; k++) {
			len = (size_t)rand() % 30000;
			for (i = 0; i < len; i++)
				blob[i] = (uint8_t)(rand() % (round % 5 + 1) ?
				    0 : rand());
			spew(seg_path(k), blob, len);
		}
		(void)snprintf(path, sizeof(path), "%s/%s", dir,
		    round % 2 ? "spare" : "0000000000000009.seg");
		ck_assert_int_eq(mkdir(path, 0700), 0);
		(void)snprintf(path, sizeof(path), "%s/%s", dir,
		    "ffffffffffffffff.seg");
		spew(path, blob, 5000);
		start();
		puts_n = 0;
		put_durable(3, 500);
		memset(came, 0, sizeof(came));
		n = take_all(came, 500);
		ck_assert_uint_eq(n, 3);
		check_books();
		stop();
		start();
		ck_assert_uint_eq(queue_held_frames(q), 3);
		stop();
	}
}
END_TEST

/* ---- what was taken of which stream ---- */

static int
put_range(unsigned i, uint8_t stream, uint64_t from, uint64_t to)
{
	struct chunk c = { .from = from, .to = to, .records = 1,
	    .body = { bytes_of(blob, to - from) } };

	memset(c.stream, stream, STREAM_ID_LEN);
	put[i] = (struct queue_put){ .done = on_put };
	put_res[i] = 1;
	return queue_put(q, &c, &put[i]);
}

static bool
is_taken(uint8_t stream, uint64_t from, uint64_t to)
{
	uint8_t id[STREAM_ID_LEN];
	struct range r;

	memset(id, stream, sizeof(id));
	return streams_cut(queue_streams(q), id, from, to, &r) == -ENOENT;
}

START_TEST(ranges_are_remembered_also_of_segments_long_gone)
{
	unsigned i;

	start();
	for (i = 0; i < 60; i++) {
		ck_assert_int_eq(put_range(i, 7, i * 40000, (i + 1) * 40000),
		    0);
		fileloop_settle(l);
		ck_assert_int_eq(put_res[i], 0);
	}
	while (queue_held_frames(q) > 0) {
		struct chunk c;
		uint64_t seq;

		ck_assert_int_eq(try_take(&seq, &c), 0);
		queue_commit(q, seq);
	}
	pass(300 * MS);
	ck_assert_uint_le(segments(), 2);
	restart();
	ck_assert(is_taken(7, 0, 60 * 40000));
	ck_assert(!is_taken(7, 60 * 40000, 60 * 40000 + 1));
	ck_assert(!is_taken(8, 0, 1));
}
END_TEST

START_TEST(records_without_a_stream_get_this_queue_s_and_never_twice)
{
	struct chunk c = { .records = 1, .body = { BYTES("abc") } };
	uint64_t to;

	start();
	put[0] = (struct queue_put){ .done = on_put };
	put_res[0] = 1;
	ck_assert_int_eq(queue_put(q, &c, &put[0]), 0);
	ck_assert_mem_eq(c.stream, queue_id(q), STREAM_ID_LEN);
	ck_assert_uint_eq(c.to - c.from, 3);
	to = c.to;
	fileloop_settle(l);
	restart();
	memset(c.stream, 0, sizeof(c.stream));
	put_res[0] = 1;
	ck_assert_int_eq(queue_put(q, &c, &put[0]), 0);
	ck_assert_uint_ge(c.from, to);
	ck_assert_mem_eq(c.stream, queue_id(q), STREAM_ID_LEN);
}
END_TEST

START_TEST(a_checkpoint_names_no_range_that_is_only_staged)
{
	unsigned i, k;
	size_t n;
	uint8_t *p;

	start();
	for (i = 0; segments() == 1; i++) {
		ck_assert_int_eq(put_range(i, 7, i * 40000, (i + 1) * 40000),
		    0);
		fileloop_settle(l);
	}
	crash();
	/* The last group was torn off: only the new checkpoint got through. */
	p = slurp(seg_path(2), &n);
	memset(p + 4096, 0, n - 4096);
	spew(seg_path(2), p, n);
	free(p);
	start();
	for (k = 0; k + 1 < i; k++)
		ck_assert(is_taken(7, k * 40000, (k + 1) * 40000));
	ck_assert(!is_taken(7, k * 40000, (k + 1) * 40000));
	ck_assert_uint_eq(queue_held_frames(q), i - 1);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 0);
}
END_TEST

/* ---- a disk that fails ---- */

START_TEST(a_failed_sync_is_not_retried_and_what_it_covered_is_new_again)
{
	unsigned syncs;
	struct chunk c;
	uint64_t seq;

	start();
	ck_assert_int_eq(put_range(0, 7, 0, 100), 0);
	fileloop_settle(l);
	fileloop_fault(l, (struct fault){ OP_FSYNC, .times = 1,
	    .res = -EIO });
	ck_assert_int_eq(put_range(1, 7, 100, 300), 0);
	syncs = fileloop_count(l, OP_FSYNC);
	while (put_res[1] == 1)
		ck_assert_int_gt(loop_turn(l, false), 0);
	ck_assert_int_eq(put_res[1], -EIO);
	ck_assert_uint_eq(fileloop_count(l, OP_FSYNC), syncs + 1);
	ck_assert(is_taken(7, 0, 100));
	ck_assert(!is_taken(7, 100, 101));
	ck_assert_uint_eq(queue_held_frames(q), 1);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_sync_failed), 1);
	/* Sent again: it goes to a new segment, and only that copy counts. */
	ck_assert_int_eq(put_range(2, 7, 100, 400), 0);
	fileloop_settle(l);
	ck_assert_int_eq(put_res[2], 0);
	ck_assert_uint_eq(segments(), 2);
	restart();
	ck_assert_uint_eq(queue_held_frames(q), 2);
	ck_assert_int_eq(try_take(&seq, &c), 0);
	ck_assert_uint_eq(c.to, 100);
	ck_assert_int_eq(try_take(&seq, &c), 0);
	ck_assert_uint_eq(c.from, 100);
	ck_assert_uint_eq(c.to, 400);
	take_none();
	check_books();
}
END_TEST

static void
put_many(unsigned n)
{
	for (; n > 0; n -= 5)
		put_durable(5, 40000);
}

START_TEST(an_open_that_fails_unlinks_nothing)
{
	unsigned n;

	for (n = 0; n < 40; n++) {
		empty_dir();
		puts_n = 0;
		start();
		put_many(30);
		crash();
		fileloop_fault(l, (struct fault){ .kind = n % 2 ? OP_FSYNC :
		    OP_OPEN, .after = n / 2, .times = 1, .res = n % 2 ? -EIO :
		    -EMFILE });
		if (try_open() < 0) {
			queue_free(&q);
			start();
		}
		fileloop_fault(l, (struct fault){ .times = 0 });
		ck_assert_uint_eq(queue_held_frames(q), 30);
		ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 0);
		stop();
	}
}
END_TEST

START_TEST(a_close_while_an_open_fails_is_answered_after_it)
{
	start();
	stop();
	fileloop_fault(l, (struct fault){ .kind = OP_FSYNC, .times = 1,
	    .res = -EIO });
	ck_assert_int_eq(queue_new(&q, &env, &conf), 0);
	open_res = 1;
	closed = false;
	queue_open(q, on_open, NULL);
	while (fileloop_count(l, OP_FSYNC) < 5)
		loop_turn(l, false);
	ck_assert_int_eq(open_res, 1);
	queue_close(q, on_close, NULL);
	ck_assert(!closed);
	fileloop_settle(l);
	ck_assert_int_eq(open_res, -EIO);
	ck_assert(closed);
	queue_free(&q);
}
END_TEST

START_TEST(without_descriptors_the_reader_waits_and_loses_nothing)
{
	unsigned i, n;

	start();
	put_many(20);
	restart();
	fileloop_fault(l, (struct fault){ .kind = OP_OPEN, .times = 2,
	    .res = -EMFILE, .path = "2.seg" });
	for (i = 0; queue_peek(q) > 0; i++) {
		queue_commit(q, take(i, 40000));
		fileloop_settle(l);
	}
	ck_assert_uint_lt(i, 20);
	notified = 0;
	for (n = 0; n < 4; n++)		/* it asks again, and again in vain */
		pass(1100 * MS);
	ck_assert_uint_gt(notified, 0);
	for (; i < 20; i++)
		queue_commit(q, take(i, 40000));
	take_none();
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 0);
}
END_TEST

/* A disk that is away for a moment: over a network it is. */
START_TEST(a_block_that_can_be_read_later_is_not_lost)
{
	unsigned i, n, at_start = _i > 0;

	start();
	put_many(30);
	crash();
	if (!at_start)
		start();
	fileloop_fault(l, (struct fault){ .kind = OP_READ, .times = 4,
	    .after = at_start ? (unsigned)_i - 1 : 6, .res = -EIO });
	if (at_start) {
		ck_assert_int_eq(queue_new(&q, &env, &conf), 0);
		open_res = 1;
		queue_open(q, on_open, NULL);
	}
	for (n = 0, i = 0; n < 8 || i < 30; n++) {
		ck_assert_uint_lt(n, 100);
		pass(1100 * MS);
		while (open_res == 0 && queue_peek(q) > 0) {
			queue_commit(q, take(i++, 40000));
			fileloop_settle(l);
		}
	}
	ck_assert_int_eq(open_res, 0);
	/* Each time it was told, and that it goes on. */
	ck_assert(read_troubles[0] > 0 || _i > 1);
	ck_assert_uint_eq(read_troubles[1], read_troubles[0]);
	take_none();
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 0);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_quarantined_frames), 0);
}
END_TEST

/* Nobody knows what lies there: at start it is refused, later waited for. */
START_TEST(a_read_without_memory_finds_no_damage)
{
	unsigned i, n = 0;
	struct chunk c;
	uint64_t seq;

	start();
	put_many(30);
	crash();
	fileloop_fault(l, (struct fault){ .kind = OP_READ, .times = 12,
	    .after = (unsigned)_i, .res = -ENOMEM });
	for (i = 0; i < 40; i++) {
		if (try_open() == 0)
			break;
		ck_assert_int_eq(open_res, -ENOMEM);
		queue_free(&q);
	}
	for (n = i = 0; i < 20; i++) {
		pass(1100 * MS);
		while (try_take(&seq, &c) == 0) {
			queue_commit(q, seq);
			fileloop_settle(l);
			n++;
		}
	}
	ck_assert_uint_eq(n, 30);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_lost_frames), 0);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_quarantined_frames), 0);
}
END_TEST

/* A disk that comes back later than a start waits for it. */
START_TEST(what_was_damage_at_start_is_none_of_the_queue_s_frames)
{
	unsigned i, n = 0;
	struct chunk c;
	uint64_t seq;

	start();
	put_many(30);
	crash();
	fileloop_fault(l, (struct fault){ .kind = OP_READ, .times = 12,
	    .after = (unsigned)_i, .res = -EIO });
	ck_assert_int_eq(queue_new(&q, &env, &conf), 0);
	open_res = 1;
	queue_open(q, on_open, NULL);
	for (i = 0; i < 60; i++) {
		pass(1100 * MS);
		while (open_res == 0 && try_take(&seq, &c) == 0) {
			queue_commit(q, seq);
			fileloop_settle(l);
			n++;
		}
	}
	ck_assert_int_eq(open_res, 0);
	/* behind the last ledger nobody knows how many there were */
	ck_assert(n + ctr_get(&env.ctr, CTR_queue_lost_frames) == 30 ||
	    ctr_get(&env.ctr, CTR_queue_quarantined_frames) > 0);
	check_books();
}
END_TEST

/* It was with the consumer, came back, and then its file was gone. */
START_TEST(a_frame_given_back_whose_file_is_gone_is_lost_and_counted)
{
	struct chunk c;
	uint64_t seq[64];
	unsigned n = 0, i;

	start();
	put_many(30);
	restart();
	while (n < 64 && try_take(&seq[n], &c) == 0)
		n++;
	ck_assert_uint_eq(n, 30);
	for (i = 1; i < 8; i++)
		(void)unlink(seg_path(i));
	queue_rewind(q);
	fileloop_settle(l);
	while (try_take(&seq[0], &c) == 0)
		;
	for (i = 0; i < n; i++)
		queue_commit(q, seq[i]);
	ck_assert_uint_gt(ctr_get(&env.ctr, CTR_queue_lost_frames), 0);
	pass(1000 * MS);
	ck_assert_int_eq(try_put(30, 100), 0);
	pass(1000 * MS);
	queue_rewind(q);
	take(30, 100);
	check_books();
}
END_TEST

START_TEST(a_spare_somebody_took_away_is_made_anew)
{
	unsigned i;

	start();
	(void)snprintf(path, sizeof(path), "%s/spare", dir);
	ck_assert_int_eq(unlink(path), 0);
	for (i = 0; i < 30; i++) {
		ck_assert_int_eq(try_put(i, 40000), 0);
		pass(2000 * MS);
	}
	ck_assert_int_eq(put_res[29], 0);
	ck_assert_uint_le(ctr_get(&env.ctr, CTR_queue_sync_failed), 1);
}
END_TEST

START_TEST(commits_that_come_while_it_closes_are_written)
{
	uint64_t a, b;

	start();
	put_durable(2, 100);
	a = take(0, 100);
	b = take(1, 100);
	queue_commit(q, a);
	closed = false;
	queue_close(q, on_close, NULL);
	loop_turn(l, false);
	queue_commit(q, b);
	fileloop_settle(l);
	ck_assert(closed);
	queue_free(&q);
	start();
	ck_assert_uint_eq(queue_held_frames(q), 0);
}
END_TEST

START_TEST(more_commits_out_of_order_than_one_frame_holds_are_written)
{
	uint64_t seq[1200];
	unsigned i;

	start();
	put_durable(1200, 10);
	for (i = 0; i < 1200; i++)
		seq[i] = take(i, 10);
	for (i = 0; i < 1200; i += 2)
		queue_commit(q, seq[i]);
	pass(1000 * MS);
	pass(1000 * MS);
	pass(1000 * MS);
	restart();
	ck_assert_uint_eq(queue_held_frames(q), 600);
}
END_TEST

START_TEST(a_barrier_fails_with_what_it_waits_for)
{
	start();
	put_some(1, 100);
	while (fileloop_count(l, OP_WRITE) < 2)
		loop_turn(l, false);
	fileloop_fault(l, (struct fault){ OP_FSYNC, .times = 1,
	    .res = -EIO });
	put[1].done = on_put;
	put_res[1] = 1;
	queue_barrier(q, &put[1]);
	fileloop_settle(l);
	ck_assert_int_eq(put_res[0], -EIO);
	ck_assert_int_eq(put_res[1], -EIO);
}
END_TEST

START_TEST(a_full_disk_is_a_mode_and_ends)
{
	unsigned i, n;
	int r = 0;

	start();
	put_durable(1, 50000);
	fileloop_fault(l, (struct fault){ OP_FALLOCATE, .times = UINT32_MAX,
	    .res = -ENOSPC });
	for (n = 1; n < 30 && r == 0; n++) {
		r = try_put(n, 50000);
		fileloop_settle(l);
	}
	n--;
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_ge(ctr_get(&env.ctr, CTR_queue_disk_full), 1);
	ck_assert_int_eq(trouble, -ENOSPC);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_disk_error), ENOSPC);
	/* Reading and committing go on. */
	for (i = 0; i + 1 < n; i++)
		queue_commit(q, take(i, 50000));
	pass(300 * MS);
	ck_assert_uint_eq(queue_held_frames(q), 1);
	notified = 0;
	fileloop_fault(l, (struct fault){ .times = 0 });
	pass(1100 * MS);
	ck_assert_uint_ge(notified, 1);
	ck_assert_int_eq(try_put(n, 50000), 0);
	fileloop_settle(l);
	ck_assert_int_eq(put_res[n], 0);
	/* It was told once at each end. */
	ck_assert_int_eq(trouble, 0);
	ck_assert_uint_eq(troubles, 2);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_disk_error), 0);
	restart();
	take(n - 1, 50000);
	take(n, 50000);
	take_none();
	check_books();
}
END_TEST

START_TEST(a_disk_that_fails_is_told_once_and_when_it_works_again)
{
	unsigned n;

	start();
	put_durable(1, 100);
	fileloop_fault(l, (struct fault){ OP_FSYNC, .times = UINT32_MAX,
	    .res = -EIO });
	for (n = 1; n < 6; n++) {
		(void)try_put(n, 100);
		fileloop_settle(l);
		pass(1100 * MS);
	}
	ck_assert_int_eq(trouble, -EIO);
	ck_assert_uint_eq(troubles, 1);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_disk_error), EIO);
	fileloop_fault(l, (struct fault){ .times = 0 });
	pass(1100 * MS);
	ck_assert_int_eq(try_put(6, 100), 0);
	fileloop_settle(l);
	ck_assert_int_eq(put_res[6], 0);
	ck_assert_int_eq(trouble, 0);
	ck_assert_uint_eq(troubles, 2);
}
END_TEST

START_TEST(a_disk_that_comes_and_goes_fills_no_log)
{
	unsigned n = 1, i;

	start();
	for (i = 0; i < 6; i++) {
		fileloop_fault(l, (struct fault){ OP_FSYNC,
		    .times = UINT32_MAX, .res = -EIO });
		(void)try_put(n++, 100);
		fileloop_settle(l);
		ck_assert_int_eq(trouble, -EIO);
		ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_disk_error), EIO);
		fileloop_fault(l, (struct fault){ .times = 0 });
		pass(2100 * MS);
		ck_assert_int_eq(try_put(n, 100), 0);
		fileloop_settle(l);
		ck_assert_int_eq(put_res[n++], 0);
		ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_disk_error), 0);
	}
	/* Begun, ended, begun again; the end when it has lasted. */
	ck_assert_uint_eq(troubles, 3);
	pass(9000 * MS);
	ck_assert_int_eq(try_put(n, 100), 0);
	ck_assert_uint_eq(troubles, 3);
	pass(1100 * MS);
	ck_assert_uint_eq(troubles, 4);
	ck_assert_int_eq(trouble, 0);
}
END_TEST

/* A spare stands ready, and cannot get its name. */
START_TEST(a_directory_that_takes_no_names_is_a_mode_and_ends)
{
	unsigned n, failed = 0;
	int r = 0;

	start();
	put_durable(1, 50000);
	fileloop_fault(l, (struct fault){ OP_RENAME, .times = UINT32_MAX,
	    .res = -EACCES });
	for (n = 1; n < 40 && r == 0; n++) {
		r = try_put(n, 50000);
		fileloop_settle(l);
		failed += r == 0 && put_res[n] == -EIO;
	}
	n--;
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_le(failed, 2);
	ck_assert_int_eq(trouble, -EACCES);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_queue_disk_error), EACCES);
	notified = 0;
	fileloop_fault(l, (struct fault){ .times = 0 });
	pass(1100 * MS);
	ck_assert_uint_ge(notified, 1);
	ck_assert_int_eq(try_put(n, 50000), 0);
	fileloop_settle(l);
	ck_assert_int_eq(put_res[n], 0);
	ck_assert_int_eq(trouble, 0);
	ck_assert_uint_eq(troubles, 2);
	ck_assert_uint_eq(queue_held_frames(q), n + 1 - failed);
	check_books();
}
END_TEST

START_TEST(nobody_probes_a_full_disk_that_nobody_needs)
{
	unsigned tries, i;

	fileloop_fault(l, (struct fault){ OP_FALLOCATE, .after = 1,
	    .times = UINT32_MAX, .res = -ENOSPC });
	start();
	tries = fileloop_count(l, OP_FALLOCATE);
	for (i = 0; i < 100; i++)
		pass(1100 * MS);
	ck_assert_uint_eq(fileloop_count(l, OP_FALLOCATE), tries);
	ck_assert_int_eq(try_put(0, 50000), -ENOSPC);
	for (i = 0; i < 10; i++)
		pass(1100 * MS);
	ck_assert_uint_eq(fileloop_count(l, OP_FALLOCATE), tries + 10);
}
END_TEST

/* What a scenario with one fault somewhere did; the oracle. */
static struct {
	bool		 done[PUTS_MAX];	/* seq was reported durable */
	bool		 gone[PUTS_MAX];	/* it was committed */
} oracle;

static void
scenario(unsigned puts)
{
	struct chunk c;
	uint64_t seq;
	unsigned i;
	int r;

	memset(&oracle, 0, sizeof(oracle));
	if (try_open() < 0)
		return;
	for (i = 0; i < puts; i++) {
		r = try_put(i, 40000);
		if (i % 3 == 0)
			fileloop_settle(l);
		if (r == 0 && i % 4 == 1 &&
		    try_take(&seq, &c) == 0 && seq % 3 == 0) {
			queue_commit(q, seq);
			oracle.gone[seq] = true;
		}
		if (i % 10 == 9)
			pass(1100 * MS);
	}
	fileloop_settle(l);
	for (i = 0; i < puts; i++)
		if (put[i].done != NULL && put_res[i] == 0)
			oracle.done[put[i].seq] = true;
	if (puts % 2 == 0)
		pass(300 * MS);
}

/* Every frame reported done and not committed is found, none comes twice. */
static void
judge(const char *what, unsigned n)
{
	bool came[PUTS_MAX] = { false };
	struct chunk c;
	uint64_t seq;
	unsigned i;

	ck_assert_msg(try_open() == 0, "%s %u: %d", what, n, open_res);
	while (try_take(&seq, &c) == 0) {
		ck_assert_uint_lt(seq, PUTS_MAX);
		ck_assert_msg(!came[seq], "%s %u: %u twice", what, n,
		    (unsigned)seq);
		came[seq] = true;
	}
	for (i = 0; i < PUTS_MAX; i++)
		ck_assert_msg(!oracle.done[i] || oracle.gone[i] || came[i],
		    "%s %u: frame %u is gone", what, n, i);
	check_books();
	stop();
}

static void
each_fault(enum op_kind kind, int res, unsigned times, bool torn)
{
	unsigned n;

	for (n = 0; n < 400; n++) {
		struct fault f = { .kind = kind, .after = n, .times = times,
		    .res = res, .torn = torn };

		memset(put, 0, sizeof(put));
		empty_dir();
		fileloop_fault(l, f);
		scenario(n % 2 ? 31 : 30);
		crash();
		judge("op", n);
		env_fini(&env);
		loop_free(&l);
		new_loop();
		if (n > 60 && kind != OP_IDLE)
			break;
	}
}

START_TEST(each_operation_that_fails_once_loses_nothing_done)
{
	each_fault(OP_IDLE, -EIO, 1, false);
}
END_TEST

START_TEST(each_operation_that_fails_from_then_on_loses_nothing_done)
{
	each_fault(OP_IDLE, -ENOSPC, UINT32_MAX, false);
}
END_TEST

START_TEST(each_torn_write_loses_nothing_done)
{
	each_fault(OP_WRITE, -EIO, 1, true);
}
END_TEST

START_TEST(each_failed_sync_loses_nothing_done)
{
	each_fault(OP_FSYNC, -EIO, 2, false);
}
END_TEST

static unsigned allocs_left;

static void *
some_memory(void *arg, size_t n)
{
	return allocs_left-- == 0 ? NULL : calloc(1, n);
}

START_TEST(each_allocation_that_fails_loses_nothing_done)
{
	unsigned n;
	int r;

	for (n = 0; n < 200; n++) {
		memset(put, 0, sizeof(put));
		memset(&oracle, 0, sizeof(oracle));
		empty_dir();
		allocs_left = n;
		env.alloc = some_memory;
		conf.dir = dir;
		conf.notify = on_notify;
		r = queue_new(&q, &env, &conf);
		if (r == 0) {
			queue_free(&q);
			allocs_left = n;
			scenario(30);
		} else {
			ck_assert_int_eq(r, -ENOMEM);
		}
		env.alloc = NULL;
		crash();
		judge("alloc", n);
		env_fini(&env);
		loop_free(&l);
		new_loop();
	}
}
END_TEST

/* ---- other processes, other disks ---- */

START_TEST(a_second_process_is_told_that_it_is_busy)
{
	int status, ready[2];
	char c;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (try_open() == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	ck_assert_int_eq(try_open(), -EBUSY);
	stop();
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	start();
}
END_TEST

/* Puts for ever; says on the pipe what is durable, then what is committed. */
static void
child_under_load(int fd)
{
	struct chunk c;
	uint64_t seq, told = 0, word;
	unsigned i;

	doomed = true;
	if (try_open() != 0)
		_exit(1);
	for (i = 0; i < PUTS_MAX; i++) {
		while (try_put(i, 100 + i * 37 % 9000) < 0)
			loop_turn(l, false);
		loop_turn(l, false);
		if (queue_take(q, out, sizeof(out), &c, &seq) == 0 &&
		    seq % 2 == 0) {
			word = seq << 1 | 1;
			if (write(fd, &word, 8) != 8)
				_exit(1);
			queue_commit(q, seq);
		}
		for (; told <= i && put_res[told] == 0; told++) {
			word = put[told].seq << 1;
			if (write(fd, &word, 8) != 8)
				_exit(1);
		}
		fileloop_pass(l, 5 * MS);
	}
	for (;;)
		pause();
}

static void
one_kill(unsigned round)
{
	struct timespec ts = { 0, 1000000 + rand() % 60000000 };
	int status, p[2];
	uint64_t word;
	pid_t pid;

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_ge(fcntl(p[0], F_SETPIPE_SZ, 1 << 20), 1 << 20);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		child_under_load(p[1]);
	close(p[1]);
	nanosleep(&ts, NULL);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	memset(&oracle, 0, sizeof(oracle));
	while (read(p[0], &word, 8) == 8)
		*(word & 1 ? &oracle.gone[word >> 1] :
		    &oracle.done[word >> 1]) = true;
	close(p[0]);
	judge("kill", round);
}

START_TEST(whatever_was_done_is_found_after_kill_9)
{
	unsigned seed = (unsigned)time(NULL), round;
	const char *given = getenv("SEED");

	if (given != NULL)
		seed = (unsigned)strtoul(given, NULL, 10);
	printf("test_queue: SEED=%u\n", seed);
	fflush(stdout);
	srand(seed);
	for (round = 0; round < 50; round++) {
		empty_dir();
		one_kill(round);
	}
}
END_TEST

/* A disk of 2 MiB; false when we may not mount one. */
static bool
mount_small_disk(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mkdir(dir, 0700) == 0 &&
	    mount("none", dir, "tmpfs", 0, "size=2m") == 0;
}

START_TEST(on_a_disk_really_full_commits_go_on_and_puts_come_back)
{
	unsigned i, n;
	int r = 0;

	if (!mount_small_disk()) {
		printf("test_queue: no mount namespace, a claim untested\n");
		return;
	}
	start();
	for (n = 0; n < 200 && r == 0; n++) {
		r = try_put(n, 20000);
		fileloop_settle(l);
	}
	n--;
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_ge(n, 60);
	restart();
	ck_assert_uint_eq(queue_held_frames(q), n);
	for (i = 0; i < n; i++) {
		queue_commit(q, take(i, 20000));
		pass(300 * MS);
	}
	ck_assert_int_eq(try_put(n, 20000), 0);
	fileloop_settle(l);
	ck_assert_int_eq(put_res[n], 0);
	restart();
	ck_assert_uint_eq(queue_held_frames(q), 1);
	take(n, 20000);
	check_books();
	stop();
	ck_assert_int_eq(umount2(dir, MNT_DETACH), 0);
}
END_TEST

int
main(void)
{
	TCase *t = tcase_create("queue");
	Suite *s = suite_create("queue");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_directory_is_made_for_its_owner_alone);
	tcase_add_test(t, done_comes_after_the_sync_and_not_before);
	tcase_add_test(t, frames_come_out_in_order_as_they_went_in);
	tcase_add_test(t, many_puts_of_one_turn_are_one_sync);
	tcase_add_test(t, an_idle_queue_writes_and_syncs_nothing);
	tcase_add_test(t,
	    what_was_done_is_there_after_a_crash_and_what_was_committed_not);
	tcase_add_test(t, a_commit_alone_is_durable_within_its_time);
	tcase_add_test(t, commits_out_of_order_are_kept);
	tcase_add_test(t, rewind_begins_with_the_oldest_not_committed);
	tcase_add_test(t, a_take_buffer_too_small_changes_nothing);
	tcase_add_test(t, bodies_one_below_at_and_above_the_limit);
	tcase_add_test(t, a_barrier_waits_for_what_was_put_before);
	tcase_add_test(t,
	    staging_is_bounded_and_notify_says_when_there_is_room);
	tcase_add_test(t,
	    puts_while_a_group_is_in_flight_become_the_next_group);
	tcase_add_test(t,
	    close_finishes_what_is_staged_and_commits_what_is_done);
	tcase_add_test(t, close_may_come_at_any_moment_of_open);
	tcase_add_test(t,
	    buffers_are_given_back_after_an_idle_second_and_reading_goes_on);
	tcase_add_test(t, small_frames_do_not_cost_a_read_each);
	tcase_add_test(t, a_reader_at_the_end_reads_nothing_from_disk);
	tcase_add_test(t, segments_are_unlinked_when_all_is_committed);
	tcase_add_test(t, one_frame_not_committed_keeps_its_segment);
	tcase_add_test(t, many_starts_leave_no_segments_behind);
	tcase_add_test(t,
	    writer_reader_and_janitor_may_finish_in_any_order);
	tcase_add_test(t, at_its_bound_puts_are_refused_and_commits_are_not);
	tcase_add_test(t, what_is_too_old_is_dropped_and_counted);
	tcase_add_test(t, a_segment_cut_at_any_byte_keeps_what_lies_before);
	tcase_add_test(t, a_zero_tail_is_no_damage_wherever_it_begins);
	tcase_add_test(t, a_flipped_bit_costs_one_frame);
	tcase_add_test(t,
	    a_deleted_segment_costs_its_own_frames_and_they_are_counted);
	tcase_add_test(t, a_doubled_segment_is_delivered_once);
	tcase_add_test(t,
	    a_sequence_never_given_is_passed_by_recovery_and_reader);
	tcase_add_test(t, frames_in_two_segments_are_those_of_one);
	tcase_add_test(t, swapped_segments_are_delivered_in_order);
	tcase_add_test(t, each_damaged_head_costs_nothing_but_the_checkpoint);
	tcase_add_test(t,
	    a_checkpoint_cannot_finish_frames_that_it_does_not_know);
	tcase_add_test(t, segments_of_another_version_wait_for_its_emplogd);
	tcase_add_test(t, one_frame_of_another_version_is_damage);
	tcase_add_test(t,
	    what_was_lost_stays_counted_when_the_newest_segment_is_unread);
	tcase_add_test(t,
	    damage_seen_while_running_costs_its_frames_and_keeps_the_file);
	tcase_add_test(t, any_bytes_in_the_directory_open);
	tcase_add_test(t, ranges_are_remembered_also_of_segments_long_gone);
	tcase_add_test(t,
	    records_without_a_stream_get_this_queue_s_and_never_twice);
	tcase_add_test(t, a_checkpoint_names_no_range_that_is_only_staged);
	tcase_add_test(t,
	    a_failed_sync_is_not_retried_and_what_it_covered_is_new_again);
	tcase_add_test(t, an_open_that_fails_unlinks_nothing);
	tcase_add_test(t, a_close_while_an_open_fails_is_answered_after_it);
	tcase_add_test(t,
	    without_descriptors_the_reader_waits_and_loses_nothing);
	tcase_add_loop_test(t, a_block_that_can_be_read_later_is_not_lost,
	    0, 20);
	tcase_add_loop_test(t, a_read_without_memory_finds_no_damage, 0, 20);
	tcase_add_loop_test(t,
	    what_was_damage_at_start_is_none_of_the_queue_s_frames, 0, 20);
	tcase_add_test(t,
	    a_frame_given_back_whose_file_is_gone_is_lost_and_counted);
	tcase_add_test(t, a_spare_somebody_took_away_is_made_anew);
	tcase_add_test(t, commits_that_come_while_it_closes_are_written);
	tcase_add_test(t,
	    more_commits_out_of_order_than_one_frame_holds_are_written);
	tcase_add_test(t, a_barrier_fails_with_what_it_waits_for);
	tcase_add_test(t, a_full_disk_is_a_mode_and_ends);
	tcase_add_test(t,
	    a_disk_that_fails_is_told_once_and_when_it_works_again);
	tcase_add_test(t, a_disk_that_comes_and_goes_fills_no_log);
	tcase_add_test(t, a_directory_that_takes_no_names_is_a_mode_and_ends);
	tcase_add_test(t, nobody_probes_a_full_disk_that_nobody_needs);
	tcase_add_test(t, each_operation_that_fails_once_loses_nothing_done);
	tcase_add_test(t,
	    each_operation_that_fails_from_then_on_loses_nothing_done);
	tcase_add_test(t, each_torn_write_loses_nothing_done);
	tcase_add_test(t, each_failed_sync_loses_nothing_done);
	tcase_add_test(t, each_allocation_that_fails_loses_nothing_done);
	tcase_add_test(t, a_second_process_is_told_that_it_is_busy);
	tcase_add_test(t, whatever_was_done_is_found_after_kill_9);
	tcase_add_test(t,
	    on_a_disk_really_full_commits_go_on_and_puts_come_back);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
