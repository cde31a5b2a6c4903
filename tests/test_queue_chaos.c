/* SPDX-License-Identifier: ISC */
/*
 * test_queue_chaos.c - the promise of queue.h under everything at once:
 * any order of completions, faults, ends at any moment, a consumer that
 * commits, rewinds and returns from an outage as it likes.  A seed is a child process with lives of
 * its own; SEED=n runs that one, SEEDS=n so many.
 *
 * The oracle: what was reported durable and not committed comes again, no
 * bytes of a stream come under two sequence numbers, what is with the consumer
 * or done does not come, each of two flows ascends, the books balance.
 */

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "fileloop.h"
#include "queue/queue.h"
#include "queue/streams.h"

#define UNITS_MAX	8192u
#define SEQS_MAX	4096u
#define LEAPS_MAX	64u
#define LANES		4u
#define MS		1000000ull
#define NONE		UINT32_MAX

/* What is put: so many bytes of a lane, or of no lane at all. */
struct unit {
	struct queue_put put;
	uint32_t	 lane;		/* LANES: none, the queue's own */
	uint64_t	 from;
	uint32_t	 len;
	uint64_t	 taken_ns;
	uint64_t	 order;		/* of the last put, of all */
	bool		 pending;
	bool		 durable;	/* it was said */
	bool		 committed;
	bool		 came;		/* since the start of this life */
	uint64_t	 done_life;	/* it was committed in, and under */
	uint64_t	 done_seq;
	uint64_t	 seq;		/* it came under, plus 1; 0: none */
};

static struct loop *l;
static struct env env;
static struct queue *q;
static struct queue_conf conf;
static char dir[64];
static uint64_t seed, rnd, life, order;
static int open_res;
static bool closed, is_open;
static bool rot;			/* reads may fail: frames may be lost */
static uint64_t lost, damaged;		/* by all lives */
static struct unit unit[UNITS_MAX];
static uint32_t units;
static uint64_t lane_pos[LANES];
static uint64_t held[64], last_seq[2];	/* by flow, plus 1 */
static bool two;			/* the last one was of the fresh flow */
/* Of all children: beginnings of two flows, takes of the fresh one. */
static struct tried { uint64_t returns, fresh, switches; } *tried;
static unsigned held_n, barriers_out;
static uint8_t blob[QUEUE_TAKE_MAX], out[QUEUE_TAKE_MAX];

static void broken(const char *fmt, ...) __attribute__((format(printf, 1, 2),
    noreturn));

static void
broken(const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "test_queue_chaos: SEED=%llu%s life %llu: ",
	    (unsigned long long)seed, rot ? " rot" : "", (unsigned long long)life);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\n");
	_exit(1);
}

static uint32_t
dice(uint32_t n)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return (uint32_t)(rnd >> 24) % n;
}

/* ---- what the queue says ---- */

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

static void
on_put(struct queue_put *p, int res)
{
	struct unit *u = p->arg;

	if (!u->pending)
		broken("done came twice");
	u->pending = false;
	if (res == 0)
		u->durable = true;
	else if (res != -EIO && res != -ENOSPC)
		broken("a put ended with %d", res);
}

struct barrier { struct queue_put put; uint64_t order; };

/* All that was put before is durable, or nothing is said of it. */
static void
on_barrier(struct queue_put *p, int res)
{
	struct barrier *b = p->arg;
	uint32_t i;

	barriers_out--;
	for (i = 0; res == 0 && i < units; i++)
		if (unit[i].pending && unit[i].order < b->order)
			broken("a barrier came before a put");
	free(b);
}

/* ---- puts ---- */

static void
fill(uint8_t *p, uint32_t i)
{
	uint32_t k;

	for (k = 0; k < unit[i].len; k++)
		p[k] = (uint8_t)(i * 31 + k * 7 + (k >> 8));
}

static void
stream_of(uint32_t lane, uint8_t id[STREAM_ID_LEN])
{
	memset(id, 0, STREAM_ID_LEN);
	if (lane < LANES)
		memset(id, (int)(lane + 1), STREAM_ID_LEN);
}

/* Whole, none or a part of it: a part would be two truths about one byte. */
static bool
is_new(uint32_t i)
{
	struct unit *u = &unit[i];
	uint8_t id[STREAM_ID_LEN];
	struct range r;

	if (u->lane == LANES)
		return true;
	stream_of(u->lane, id);
	if (streams_cut(queue_streams(q), id, u->from, u->from + u->len,
	    &r) < 0)
		return false;
	if (u->durable && !rot)
		broken("unit %u is durable and new", i);
	if (r.from != u->from || r.to != u->from + u->len)
		broken("unit %u is new in parts", i);
	return true;
}

static void
put_unit(uint32_t i)
{
	struct unit *u = &unit[i];
	struct chunk c = { .records = i % 5 + 1, .from = u->from,
	    .to = u->from + u->len, .identity = bytes_of("\x80", 1) };

	if (!is_new(i))
		return;
	stream_of(u->lane, c.stream);
	u->taken_ns = c.taken_ns = loop_wall(l);
	fill(blob, i);
	c.body[0] = bytes_of(blob, u->len / 3);
	c.body[1] = bytes_of(blob + u->len / 3, u->len - u->len / 3);
	u->put = (struct queue_put){ .done = on_put, .arg = u };
	u->order = order++;
	if (queue_put(q, &c, &u->put) < 0)
		return;
	u->pending = true;
	u->from = c.from;
}

static void
put_something(void)
{
	struct unit *u = &unit[units];
	uint32_t i;

	/* Again what is not known to be durable, as a sender does. */
	if (units > 0 && dice(3) == 0) {
		i = dice(units);
		if (!unit[i].pending && unit[i].lane < LANES)
			put_unit(i);
		return;
	}
	if (units == UNITS_MAX)
		return;
	*u = (struct unit){ .lane = dice(LANES + 1) };
	u->len = dice(20) == 0 ? dice(200000) : dice(12000);
	if (u->lane < LANES) {
		u->len++;
		u->from = lane_pos[u->lane];
		lane_pos[u->lane] += u->len;
	}
	put_unit(units);
	units++;
}

static void
barrier(void)
{
	struct barrier *b = calloc(1, sizeof(*b));

	*b = (struct barrier){ .order = order++,
	    .put = { .done = on_barrier, .arg = b } };
	barriers_out++;
	queue_barrier(q, &b->put);
}

/* ---- takes ---- */

static bool
is_unit(uint32_t i, const struct chunk *c)
{
	static uint8_t want[QUEUE_TAKE_MAX];
	const struct unit *u = &unit[i];

	if (u->len != c->body[0].n || u->from != c->from ||
	    c->records != i % 5 + 1)
		return false;
	fill(want, i);
	return u->len == 0 || memcmp(want, c->body[0].p, u->len) == 0;
}

/* Which unit this is: of its lane, or of those without one. */
static uint32_t
find_unit(const struct chunk *c)
{
	uint32_t i, lane = c->stream[0] - 1u;
	uint8_t id[STREAM_ID_LEN];

	stream_of(lane, id);
	if (lane >= LANES || memcmp(id, c->stream, STREAM_ID_LEN) != 0)
		lane = LANES;
	for (i = 0; i < units; i++)
		if (unit[i].lane == lane && unit[i].len > 0 &&
		    is_unit(i, c))
			return i;
	return NONE;
}

/* After a start that could not read all, sequences go on 2^32 higher. */
static uint32_t *
of_seq(uint64_t seq)
{
	static uint32_t of[LEAPS_MAX][SEQS_MAX];

	if (seq >> 32 >= LEAPS_MAX || (uint32_t)seq >= SEQS_MAX ||
	    (!rot && seq >> 32 > 0))
		broken("sequence %llu", (unsigned long long)seq);
	return &of[seq >> 32][(uint32_t)seq];
}

static uint32_t
came(const struct chunk *c, uint64_t seq)
{
	uint32_t i;

	if (c->body[0].n == 0)
		return NONE;
	i = find_unit(c);
	if (i == NONE)
		broken("seq %llu is no unit", (unsigned long long)seq);
	if (*of_seq(seq) != 0 && *of_seq(seq) != i + 1)
		broken("seq %llu was another", (unsigned long long)seq);
	if (!rot && unit[i].seq != 0 && unit[i].seq != seq + 1)
		broken("unit %u came as %llu and %llu", i,
		    (unsigned long long)unit[i].seq - 1,
		    (unsigned long long)seq);
	*of_seq(seq) = i + 1;
	unit[i].seq = seq + 1;
	unit[i].came = true;
	return i;
}

static bool
take(void)
{
	enum queue_flow flow;
	struct chunk c;
	uint64_t seq;
	uint32_t i;

	if (dice(2) == 0)
		(void)queue_turn(q);
	flow = queue_flow(q);
	if (held_n == sizeof(held) / sizeof(held[0]) ||
	    queue_take(q, out, sizeof(out), &c, &seq) < 0)
		return false;
	if (seq < last_seq[flow])
		broken("%llu after %llu of flow %u", (unsigned long long)seq,
		    (unsigned long long)last_seq[flow] - 1, (unsigned)flow);
	last_seq[flow] = seq + 1;
	for (i = 0; i < held_n; i++)
		if (held[i] == seq)
			broken("%llu is held and comes",
			    (unsigned long long)seq);
	i = came(&c, seq);
	if (i != NONE && unit[i].done_life == life &&
	    unit[i].done_seq == seq)
		broken("%llu is done and comes", (unsigned long long)seq);
	tried->fresh += flow == QUEUE_FRESH;
	tried->switches += two != (flow == QUEUE_FRESH);
	two = flow == QUEUE_FRESH;
	held[held_n++] = seq;
	return true;
}

static void
commit(unsigned k)
{
	uint32_t i = *of_seq(held[k]);

	queue_commit(q, held[k]);
	if (i != 0) {
		unit[i - 1].committed = true;
		unit[i - 1].done_life = life;
		unit[i - 1].done_seq = held[k];
	}
	memmove(&held[k], &held[k + 1], (--held_n - k) * sizeof(held[0]));
}

static void
consume(void)
{
	unsigned n = dice(4);

	while (n-- > 0 && take())
		;
	while (held_n > 0 && dice(3) != 0)
		commit(dice(2) == 0 ? 0 : dice(held_n));
	if (dice(30) == 0) {
		queue_rewind(q);
		last_seq[0] = last_seq[1] = 0;
		/* An answer that was on its way may still come. */
		if (held_n > 0 && dice(2) == 0)
			commit(dice(held_n));
		held_n = 0;
	}
	/* A minute away, sometimes, and then it is back. */
	if (dice(15) == 0) {
		fileloop_pass(l, 61000 * MS);
		queue_return(q);
	}
	if (dice(10) == 0)
		queue_return(q);
}

/* ---- lives ---- */

static void
set_fault(void)
{
	static const enum op_kind kinds[] = { OP_WRITE, OP_WRITE, OP_FSYNC,
	    OP_FSYNC, OP_RENAME, OP_FALLOCATE, OP_UNLINK, OP_TRUNCATE,
	    OP_OPEN, OP_OPEN, OP_MKDIR, OP_STAT, OP_READ, OP_IDLE };
	static const int few[] = { -EMFILE, -ENFILE, -ENOMEM };
	struct fault f = { .kind = kinds[dice(rot ? 14 : 11)],
	    .after = dice(12), .times = 1 + dice(3) * dice(3),
	    .res = dice(2) == 0 ? -EIO : -ENOSPC, .torn = dice(3) == 0 };

	if (f.kind == OP_OPEN && !rot)
		f.res = few[dice(3)];
	fileloop_fault(l, f);
}

static void
some_turns(void)
{
	unsigned n = dice(3) == 0 ? dice(40) : dice(6);

	while (n-- > 0 && loop_turn(l, false) > 0)
		;
	if (dice(10) == 0)
		fileloop_pass(l, dice(1500) * MS);
}

static void
new_loop(void)
{
	l = fileloop_new();
	fileloop_cuttable(l);
	env_init(&env, l, "test");
	env.log_fd = -1;
}

static void
close_files(void)
{
	char link[64], to[256];
	ssize_t n;
	int fd;

	for (fd = 3; fd < 256; fd++) {
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, to, sizeof(to) - 1);
		if (n > 0 && memmem(to, (size_t)n, dir, strlen(dir)) != NULL)
			close(fd);
	}
}

static void
note_damage(void)
{
	lost += ctr_get(&env.ctr, CTR_queue_lost_frames);
	damaged += ctr_get(&env.ctr, CTR_queue_quarantined_frames);
	damaged += ctr_get(&env.ctr, CTR_queue_unread_segments);
	tried->returns += ctr_get(&env.ctr, CTR_queue_returns);
}

/* The process, or with it the machine, is gone. */
static void
crash(bool power)
{
	struct loop *dead = l;
	uint32_t i;

	note_damage();
	q = NULL;
	if (power)
		fileloop_cut(l, seed * 77 + life + 1);
	close_files();
	new_loop();
	fileloop_inherit(l, dead);
	is_open = false;
	barriers_out = 0;
	for (i = 0; i < units; i++)
		unit[i].pending = false;
}

static void
check_books(void)
{
	const struct counters *c = &env.ctr;
	uint64_t staged = 0;
	uint32_t i;

	for (i = 0; i < units; i++)
		if (unit[i].pending)
			staged += i % 5 + 1;
	if (ctr_get(c, CTR_queue_put_records) + staged !=
	    ctr_get(c, CTR_queue_done_records) +
	    queue_held_records(q) +
	    ctr_get(c, CTR_queue_lost_records) +
	    ctr_get(c, CTR_queue_dropped_age_records))
		broken("the books: put %llu + %llu done %llu held %llu lost %llu "
		    "aged %llu",
		    (unsigned long long)ctr_get(c, CTR_queue_put_records),
		    (unsigned long long)staged,
		    (unsigned long long)ctr_get(c, CTR_queue_done_records),
		    (unsigned long long)queue_held_records(q),
		    (unsigned long long)ctr_get(c, CTR_queue_lost_records),
		    (unsigned long long)ctr_get(c,
		    CTR_queue_dropped_age_records));
	if (!rot && ctr_get(c, CTR_queue_lost_frames) != 0)
		broken("%llu are lost", (unsigned long long)ctr_get(c,
		    CTR_queue_lost_frames));
}

/* Opens; after faults it may take more than one try. */
static void
start(void)
{
	unsigned tries;
	uint32_t i;

	life++;
	held_n = 0;
	last_seq[0] = last_seq[1] = 0;
	two = false;
	for (i = 0; i < units; i++)
		unit[i].came = false;
	for (tries = 0; ; tries++) {
		if (tries == 3)
			fileloop_fault(l, (struct fault){ .times = 0 });
		if (queue_new(&q, &env, &conf) < 0)
			broken("no memory");
		open_res = 1;
		queue_open(q, on_open, NULL);
		while (open_res == 1 && dice(60) != 0)
			if (loop_turn(l, true) < 0)
				break;
		if (open_res == 1 && dice(2) == 0) {
			crash(dice(2) == 0);	/* in the middle of it */
			tries = 0;
			continue;
		}
		if (open_res == 1) {
			closed = false;
			queue_close(q, on_close, NULL);
			while (!closed)
				loop_turn(l, true);
			if (open_res == 1)
				broken("closed, and open was not answered");
			queue_free(&q);
			continue;
		}
		fileloop_settle(l);
		if (open_res == 0)
			break;
		if (tries > 5)
			broken("open says %d", open_res);
		queue_free(&q);
	}
	is_open = true;
}

static void
close_queue(bool busy)
{
	unsigned n = 0;

	closed = false;
	queue_close(q, on_close, NULL);
	while (!closed) {
		loop_turn(l, true);
		if (busy && held_n > 0 && dice(3) == 0)
			commit(dice(held_n));
		if (++n > 100000)
			broken("it never closes");
	}
	note_damage();
	if (barriers_out != 0)
		broken("%u barriers are left", barriers_out);
	for (n = 0; n < units; n++)
		if (unit[n].pending)
			broken("unit %u was told nothing", n);
	queue_free(&q);
	is_open = false;
}

static void
end_life(void)
{
	unsigned n = dice(30);

	switch (dice(4)) {
	case 0:
		close_queue(true);
		break;
	case 1:
		closed = false;
		queue_close(q, on_close, NULL);
		while (n-- > 0 && !closed)
			loop_turn(l, true);
		if (closed)
			queue_free(&q);
		crash(dice(2) == 0);
		break;
	default:
		crash(dice(2) == 0);
	}
}

static void
live(void)
{
	unsigned steps = 20 + dice(150);

	while (steps-- > 0) {
		if (dice(3) != 0)
			put_something();
		if (dice(12) == 0)
			barrier();
		if (dice(25) == 0)
			set_fault();
		some_turns();
		consume();
		if (dice(10) == 0 && !rot)
			check_books();
	}
}

static bool
is_old(const struct unit *u)
{
	return conf.age_max_ns != 0 &&
	    loop_wall(l) - u->taken_ns >= conf.age_max_ns;
}

/* A sound disk, and all that is there comes out. */
static void
last_life(void)
{
	uint64_t missing = 0;
	unsigned idle;
	uint32_t i;

	fileloop_fault(l, (struct fault){ .times = 0 });
	start();
	for (idle = 0; idle < 50; ) {
		fileloop_settle(l);
		idle = take() ? 0 : idle + 1;
		while (held_n > 0)
			commit(0);
		if (idle > 3)
			fileloop_pass(l, 100 * MS);
	}
	if (queue_held_frames(q) != 0)
		broken("%llu are held and do not come",
		    (unsigned long long)queue_held_frames(q));
	check_books();
	note_damage();
	for (i = 0; i < units; i++) {
		if (!unit[i].durable || unit[i].committed || unit[i].came ||
		    unit[i].len == 0 || is_old(&unit[i]))
			continue;
		missing++;
		if (!rot)
			broken("unit %u was durable and is gone", i);
	}
	if (missing > 0 && lost + damaged == 0)
		broken("%llu are missing, none counted",
		    (unsigned long long)missing);
	close_queue(false);
	start();
	if (queue_held_frames(q) != 0)
		broken("what was committed is held");
	close_queue(false);
}

/* ---- a seed ---- */

static int
remove_one(const char *name, const struct stat *st, int type, struct FTW *f)
{
	return remove(name);
}

static void
run(void)
{
	unsigned lives;

	rnd = seed * 0x9e3779b97f4a7c15u | 1;
	(void)dice(2);
	rot = dice(4) == 0;
	conf = (struct queue_conf){ .dir = dir,
	    .segment_bytes = (64u << 10) << dice(3),
	    .staging_bytes = (64u << 10) << dice(4),
	    .bytes_max = dice(2) == 0 ? 0 : (1u + dice(4)) << 20,
	    .age_max_ns = dice(3) == 0 ? 20000 * MS : 0 };
	new_loop();
	for (lives = 1 + dice(5); lives > 0; lives--) {
		fileloop_shuffle(l, dice(5) == 0 ? 0 : dice(UINT32_MAX) + 1u);
		start();
		live();
		end_life();
	}
	last_life();
	loop_free(&l);
}

static bool
seed_passes(uint64_t n)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	int status;
	pid_t pid;

	(void)snprintf(dir, sizeof(dir), "%s/test-chaos-XXXXXX", base);
	if (mkdtemp(dir) == NULL)
		return false;
	seed = n;
	pid = fork();
	if (pid == 0) {
		run();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	if (status != 0)
		(void)fprintf(stderr, "test_queue_chaos: SEED=%llu failed\n",
		    (unsigned long long)n);
	return status == 0;
}

static uint64_t
number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s == NULL ? otherwise : strtoull(s, NULL, 10);
}

START_TEST(what_is_durable_comes_and_nothing_comes_twice)
{
	uint64_t first = number("SEED", 1), n, bad = 0;
	uint64_t last = first + number("SEEDS", getenv("SEED") ? 1 : 150);

	for (n = first; n < last; n++)
		bad += !seed_passes(n);
	ck_assert_uint_eq(bad, 0);
	(void)printf("returns %llu, fresh takes %llu, changes %llu\n",
	    (unsigned long long)tried->returns,
	    (unsigned long long)tried->fresh,
	    (unsigned long long)tried->switches);
	if (last - first < 100)
		return;
	ck_assert_uint_gt(tried->returns, last - first);
	ck_assert_uint_gt(tried->fresh, last - first);
	ck_assert_uint_gt(tried->switches, last - first);
}
END_TEST

/* What lost something once: a ledger unread, a name whose sync failed. */
START_TEST(seeds_that_found_a_fault_find_it_no_more)
{
	static const uint64_t found[] = { 15440, 201326 };
	size_t i;

	for (i = 0; i < sizeof(found) / sizeof(found[0]); i++)
		ck_assert(seed_passes(found[i]));
}
END_TEST

int
main(void)
{
	TCase *t = tcase_create("chaos");
	Suite *s = suite_create("queue_chaos");
	SRunner *sr;
	int failed;

	tried = mmap(NULL, sizeof(*tried), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tried == MAP_FAILED)
		return 1;
	tcase_set_timeout(t, 3600);
	tcase_add_test(t, what_is_durable_comes_and_nothing_comes_twice);
	tcase_add_test(t, seeds_that_found_a_fault_find_it_no_more);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
