/* SPDX-License-Identifier: ISC */
/*
 * test_damage.c - a queue whose bytes are not what was written
 *
 * A queue of three segments is made once, with known frames, some committed.
 * Then it is spoilt in every way below, each time on a disk of its own, and
 * opened.  Always:
 *
 *   it opens, takes the next put and closes;
 *   every frame that was not touched and not committed comes, once, in order;
 *   what comes has the bytes its place in its stream must have;
 *   a committed one comes only where the frame that said so was touched;
 *   what was touched is counted and lies in quarantine, byte for byte;
 *   emplogd queue check's look sees the same damage and the same frames.
 *
 * DAMAGE=full does all of it, as tests/part-damage.sh: every cut, 100,000
 * flips; else it is some, for the suites of every build.  QUEUE_FLIPS=n flips
 * so many bits, SEED=n others.  JOBS=n shares the disks among n processes:
 * together they try the same ones.
 */

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "queue/look.h"
#include "queue/queue.h"
#include "sim/sim.h"

#define DIR		"/var/lib/q"
#define SEGMENT		(128u << 10)
#define SEGS		3u
#define UNITS_MAX	400u
#define SEGS_MAX	8u
#define FRAMES_MAX	1200u
#define TAIL		(64u << 10)
#define LOOK_EVERY	7u	/* trials, of those where all is there */
#define FLIPS		100000u
#define FLIP_FEW	2000u	/* when not full */
#define JOBS_MAX	16u

/* An assertion of check's writes a file each time, and there are millions. */
#define holds(claim, ...) do {						\
	if (!(claim))							\
		ck_abort_msg(__VA_ARGS__);				\
} while (0)

struct unit {
	struct queue_put put;
	uint32_t	 len;
	uint64_t	 from, seq;
	bool		 committed;
};

struct place {			/* of a frame */
	uint32_t	 seg;
	size_t		 at, size;
	uint8_t		 kind;
	uint32_t	 unit;
};

struct segment_bytes { uint8_t *p; size_t n; uint64_t number; };

static struct unit unit[UNITS_MAX];
static uint32_t units;
static struct segment_bytes base[SEGS_MAX], now[SEGS_MAX];
static uint32_t segs;
static struct place place[FRAMES_MAX];
static uint32_t places;
static uint64_t rnd, trials, seed;
static uint32_t jobs = 1, job;	/* this one of them */
static uint64_t turn;

/* What the processes have tried; shared. */
struct tried { uint64_t disks, flips; };
static struct tried *tried;

static uint8_t blob[QUEUE_TAKE_MAX], out[QUEUE_TAKE_MAX];
static char note[128];		/* what was done, for words */

static uint32_t
dice(uint32_t n)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return (uint32_t)(rnd >> 24) % n;
}

static const uint8_t lane[STREAM_ID_LEN] = "damage-lane-001";

static void
fill(uint8_t *p, uint32_t i)
{
	uint32_t k;

	for (k = 0; k < unit[i].len; k++)
		p[k] = (uint8_t)(i * 151 + k * 13 + (k >> 8));
}

/* ---- a queue in a simulated world ---- */

struct run {
	struct sim	*sim;
	struct sim_host	*host;
	struct sim_proc	*proc;
	struct env	 env;
	struct queue	*q;
	struct queue_conf conf;
	int		 res, put_res;
	bool		 closed;
};

static void
on_open(void *arg, int res)
{
	((struct run *)arg)->res = res;
}

static void
on_close(void *arg)
{
	((struct run *)arg)->closed = true;
}

static void
on_put(struct queue_put *put, int res)
{
	ck_assert_int_eq(res, 0);
	((struct run *)put->arg)->put_res--;
}

static bool
is_open(void *arg)
{
	return ((struct run *)arg)->res != 1;
}

static bool
is_closed(void *arg)
{
	return ((struct run *)arg)->closed;
}

static bool
is_put(void *arg)
{
	return ((struct run *)arg)->put_res == 0;
}

static void
run_begin(struct run *r)
{
	static const struct sim_faults none = { .disk_delay_ns = 1000 };

	*r = (struct run){ .res = 1, .conf = { .dir = DIR,
	    .segment_bytes = SEGMENT, .staging_bytes = 128u << 10,
	    .commit_ms = 1 } };
	ck_assert_int_eq(sim_new(&r->sim, seed + trials, &none), 0);
	r->host = sim_host_new(r->sim, "h");
	r->proc = sim_proc_new(r->host, "queue");
	env_init(&r->env, sim_loop(r->proc), "test");
	r->env.log_fd = -1;
}

static void
run_open(struct run *r)
{
	ck_assert_int_eq(queue_new(&r->q, &r->env, &r->conf), 0);
	queue_open(r->q, on_open, r);
	sim_run(r->sim, UINT64_MAX, is_open, r);
	holds(r->res == 0, "%s: open: %d", note, r->res);
}

static void
run_close(struct run *r)
{
	queue_close(r->q, on_close, r);
	sim_run(r->sim, UINT64_MAX, is_closed, r);
	holds(r->closed, "%s: does not close", note);
	queue_free(&r->q);
}

static void
run_end(struct run *r)
{
	env_fini(&r->env);
	sim_free(&r->sim);
}

/* ---- the queue that will be spoilt ---- */

static void
put_one(struct run *r, uint32_t len)
{
	static uint64_t pos;
	struct unit *u = &unit[units];
	struct chunk c = { .records = 1, .identity = bytes_of("\x80", 1) };

	pos = units == 0 ? 0 : pos;
	u->len = len;
	u->from = pos;
	fill(blob, units);
	memcpy(c.stream, lane, STREAM_ID_LEN);
	c.from = pos;
	c.to = pos += len;
	c.taken_ns = loop_wall(sim_loop(r->proc));
	c.body[0] = bytes_of(blob, len);
	u->put = (struct queue_put){ .done = on_put, .arg = r };
	r->put_res = 1;
	ck_assert_int_eq(queue_put(r->q, &c, &u->put), 0);
	sim_run(r->sim, UINT64_MAX, is_put, r);
	u->seq = u->put.seq;
	units++;
}

static void
commit_some(struct run *r)
{
	struct chunk c;
	uint64_t seq;
	uint32_t i;

	for (i = 0; i < units; i++) {
		while (queue_take(r->q, out, sizeof(out), &c, &seq) < 0)
			sim_run(r->sim, sim_now(r->sim) + 100000, NULL, NULL);
		if (i % 7 == 3 || i == 1)
			queue_commit(r->q, seq);
		unit[i].committed = i % 7 == 3 || i == 1;
	}
	sim_run(r->sim, sim_now(r->sim) + 10000000, NULL, NULL);
}

static void
keep_file(void *arg, const char *path, struct bytes b)
{
	struct segment_bytes *s = &base[segs];
	unsigned long long number;

	if (sscanf(path, DIR "/%16llx.seg", &number) != 1)
		return;
	ck_assert_uint_lt(segs, SEGS + 1);
	segs++;
	s->p = malloc(b.n);
	memcpy(s->p, b.p, b.n);
	s->n = b.n;
	s->number = number;
}

static void
find_places(uint32_t seg)
{
	const struct segment_bytes *s = &base[seg];
	struct scan sc;
	uint32_t i;
	size_t at;

	for (at = 0; at < s->n; at += sc.len) {
		scan_next(s->p + at, s->n - at, at, true, 0, &sc);
		ck_assert_int_ne(sc.kind, SCAN_DAMAGE);
		if (sc.kind != SCAN_FRAME)
			continue;
		ck_assert_uint_lt(places, FRAMES_MAX);
		place[places] = (struct place){ .seg = seg, .at = at,
		    .size = sc.len, .kind = sc.frame.kind, .unit = UINT32_MAX };
		for (i = 0; i < units && sc.frame.kind == FRAME_DATA; i++)
			if (unit[i].seq == sc.frame.seq)
				place[places].unit = i;
		places++;
	}
}

static void
make_base(void)
{
	struct run r;
	uint32_t i;

	rnd = 77;
	run_begin(&r);
	run_open(&r);
	while (queue_bytes(r.q) < 2 * SEGMENT + 1)
		put_one(&r, 1 + dice(dice(5) == 0 ? 9000 : 900));
	for (i = 0; i < 20; i++)	/* the last one: over 64 KiB */
		put_one(&r, 1 + dice(3000));
	commit_some(&r);
	run_close(&r);
	sim_files(r.host, keep_file, NULL);
	run_end(&r);
	for (i = 0; i < segs; i++)
		find_places(i);
	ck_assert_uint_ge(segs, 2);
	ck_assert_uint_gt(base[segs - 1].n, TAIL);
}

static void
restore(void)
{
	uint32_t i;

	for (i = 0; i < segs; i++) {
		if (now[i].p == NULL)
			now[i].p = malloc(base[i].n);
		memcpy(now[i].p, base[i].p, base[i].n);
		now[i].n = base[i].n;
		now[i].number = base[i].number;
	}
}

/* ---- what a look sees ---- */

struct seen {
	struct look	 look;
	uint64_t	 held, places, bytes;
	bool		 over;
};

static void
seen_frame(void *arg, const struct frame *f, bool held)
{
	((struct seen *)arg)->held += held;
}

static void
seen_damage(void *arg, const struct look_damage *d)
{
	struct seen *s = arg;

	s->places++;
	s->bytes += d->to - d->from;
}

static void
seen_segment(void *arg, const struct look_segment *s)
{
}

static void
seen_done(void *arg, int res, const struct look_sum *sum)
{
	struct seen *s = arg;

	holds(res == 0, "%s: look: %d", note, res);
	ck_assert_uint_eq(sum->held_frames, s->held);
	s->over = true;
}

static bool
is_over(void *arg)
{
	return ((struct seen *)arg)->over;
}

static void
look(struct run *r, struct seen *s)
{
	*s = (struct seen){ .look = { .frame = seen_frame,
	    .damage = seen_damage, .segment = seen_segment,
	    .done = seen_done, .arg = s } };
	ck_assert_int_eq(queue_look(&s->look, &r->env, DIR), 0);
	sim_run(r->sim, UINT64_MAX, is_over, s);
	ck_assert(s->over);
}

/* ---- one trial ---- */

/* What the damage did to each frame, as the test that did it knows. */
static bool touched[FRAMES_MAX];
static bool came[UNITS_MAX];
static bool extra;		/* the frame of goes_on() may come too */

static void
touch(uint32_t seg, size_t from, size_t to)
{
	uint32_t i;

	for (i = 0; i < places; i++)
		if (place[i].seg == seg && place[i].at < to &&
		    from < place[i].at + place[i].size)
			touched[i] = true;
}

static uint32_t
unit_of(const struct chunk *c)
{
	uint32_t i;

	for (i = 0; i < units; i++)
		if (unit[i].from == c->from)
			break;
	holds(i < units && memcmp(c->stream, lane, STREAM_ID_LEN) == 0,
	    "%s: a frame nobody put", note);
	fill(blob, i);
	holds(c->body[0].n == unit[i].len &&
	    memcmp(blob, c->body[0].p, unit[i].len) == 0,
	    "%s: unit %u has other bytes", note, i);
	return i;
}

static void
take_all(struct run *r)
{
	struct chunk c;
	uint64_t seq, last = 0;
	unsigned idle = 0;
	uint32_t i, n = 0;

	memset(came, 0, sizeof(came));
	while (idle < 20 && queue_held_frames(r->q) > n) {
		if (queue_take(r->q, out, sizeof(out), &c, &seq) < 0) {
			idle++;
			sim_run(r->sim, sim_now(r->sim) + 100000, NULL, NULL);
			continue;
		}
		idle = 0;
		holds(n == 0 || seq > last, "%s: out of order", note);
		last = seq;
		n++;
		if (extra && bytes_eq(c.body[0], BYTES("on")))
			continue;
		i = unit_of(&c);
		holds(!came[i], "%s: unit %u twice", note, i);
		holds(seq == unit[i].seq, "%s: unit %u", note, i);
		came[i] = true;
	}
	/* Its sequence may be too far off to be taken with the others. */
	holds(queue_held_frames(r->q) == n ||
	    (extra && queue_held_frames(r->q) == n + 1), "%s: some are held",
	    note);
}

static void
judge(void)
{
	bool whole[UNITS_MAX] = { false }, ledgers = true;
	uint32_t i;

	for (i = 0; i < places; i++) {
		if (place[i].kind != FRAME_DATA)
			ledgers = ledgers && !touched[i];
		else if (!touched[i] && place[i].unit != UINT32_MAX)
			whole[place[i].unit] = true;
	}
	for (i = 0; i < units; i++) {
		holds(!came[i] || whole[i],
		    "%s: unit %u was touched and comes", note, i);
		holds(came[i] || !whole[i] || unit[i].committed,
		    "%s: unit %u was not touched and is gone", note, i);
		holds(!came[i] || !unit[i].committed || !ledgers,
		    "%s: unit %u was committed and comes", note, i);
	}
}

struct kept { uint64_t bytes; unsigned files; };

static void
in_quarantine(void *arg, const char *path, struct bytes b)
{
	struct kept *k = arg;
	size_t n = strlen(path);

	if (strncmp(path, DIR "/quarantine/", strlen(DIR) + 12) == 0 && n > 4 &&
	    strcmp(path + n - 4, ".bin") == 0) {
		k->files++;
		k->bytes += b.n;
	}
}

static void
goes_on(struct run *r)
{
	struct queue_put put = { .done = on_put, .arg = r };
	struct chunk c = { .records = 1, .body = { BYTES("on"), BYTES("") } };

	r->put_res = 1;
	ck_assert_int_eq(queue_put(r->q, &c, &put), 0);
	sim_run(r->sim, UINT64_MAX, is_put, r);
}

static uint64_t
data_touched(void)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < places; i++)
		n += touched[i] && place[i].kind == FRAME_DATA;
	return n;
}

/* A disk that holds now[]. */
static void
install(struct run *r)
{
	char path[64];
	uint32_t i;

	(void)sim_install(r->host, DIR, LOOP_DIR, bytes_of(NULL, 0));
	for (i = 0; i < segs; i++) {
		snprintf(path, sizeof(path), DIR "/%016" PRIx64 ".seg",
		    now[i].number);
		if (now[i].p != NULL && now[i].number != 0)
			(void)sim_install(r->host, path, LOOP_FILE,
			    bytes_of(now[i].p, now[i].n));
	}
}

/* Is the disk that is to be tried now this process's? */
static bool
is_mine(void)
{
	bool mine = turn++ % jobs == job;

	if (!mine)
		memset(touched, 0, sizeof(touched));
	return mine;
}

/* now[] is the directory; harmed: at least one byte that matters is wrong. */
static void
trial(bool harmed)
{
	struct kept kept = { 0 };
	struct seen seen;
	struct run r;
	bool looks;

	if (!is_mine())
		return;
	trials++;
	run_begin(&r);
	install(&r);
	looks = trials % LOOK_EVERY == 0;
	if (looks)
		look(&r, &seen);
	run_open(&r);
	holds(!looks || queue_held_frames(r.q) == seen.held,
	    "%s: look says %" PRIu64 " held, open %" PRIu64, note, seen.held,
	    queue_held_frames(r.q));
	take_all(&r);
	judge();
	sim_files(r.host, in_quarantine, &kept);
	holds((kept.files > 0) == harmed, "%s: %u pieces", note,
	    kept.files);
	holds(!looks || (seen.places > 0) == harmed,
	    "%s: %" PRIu64 " places", note, seen.places);
	holds((!looks || kept.bytes == seen.bytes) && kept.files ==
	    ctr_get(&r.env.ctr, CTR_queue_quarantined_frames) &&
	    kept.bytes == ctr_get(&r.env.ctr, CTR_queue_quarantined_bytes),
	    "%s: %" PRIu64 " bytes kept in %u files", note, kept.bytes,
	    kept.files);
	holds(ctr_get(&r.env.ctr, CTR_queue_lost_frames) <=
	    data_touched(), "%s: %" PRIu64 " are counted lost", note,
	    ctr_get(&r.env.ctr, CTR_queue_lost_frames));
	goes_on(&r);
	run_close(&r);
	run_end(&r);
	memset(touched, 0, sizeof(touched));
}

/* Not zero, so it does not pass for bytes never written. */
static bool
has_bytes(const struct segment_bytes *s, size_t from, size_t to)
{
	for (; from < to; from++)
		if (s->p[from] != 0)
			return true;
	return false;
}

static bool
cuts_frame(uint32_t seg, size_t at)
{
	uint32_t i;

	for (i = 0; i < places; i++)
		if (place[i].seg == seg && place[i].at < at &&
		    at < place[i].at + place[i].size)
			return has_bytes(&base[seg], place[i].at, at);
	return false;
}

/* ---- the claims ---- */

static bool
is_full(void)
{
	const char *s = getenv("DAMAGE");

	return s != NULL && strcmp(s, "full") == 0;
}

START_TEST(untouched_it_is_whole)
{
	restore();
	snprintf(note, sizeof(note), "untouched");
	trial(false);
}
END_TEST

/* Without the others, mostly: it is quicker. */
static void
alone(uint32_t s, bool is)
{
	uint32_t i;

	for (i = 0; i < segs; i++) {
		now[i].number = is && i != s ? 0 : base[i].number;
		if (now[i].number == 0)
			touch(i, 0, base[i].n);
	}
}

START_TEST(the_last_segment_ends_at_any_byte)
{
	uint32_t s = segs - 1;
	size_t cut;

	restore();
	for (cut = base[s].n - TAIL; cut < base[s].n;
	    cut += is_full() ? 1 : 61) {
		snprintf(note, sizeof(note), "cut at %zu", cut);
		now[s].n = cut;
		touch(s, cut, base[s].n);
		alone(s, cut % 64 != 0);
		trial(cuts_frame(s, cut));
	}
}
END_TEST

START_TEST(zeros_from_any_word_on)
{
	uint32_t s = segs - 1;
	size_t at;

	restore();
	for (at = base[s].n; at > base[s].n - TAIL;
	    at -= is_full() ? 8 : 152) {
		snprintf(note, sizeof(note), "zeros from %zu", at);
		memset(now[s].p + at, 0, base[s].n - at);
		touch(s, at, base[s].n);
		alone(s, at % 64 != 0);
		trial(cuts_frame(s, at));
	}
}
END_TEST

static void
flip(uint32_t s, size_t at, uint8_t bit)
{
	snprintf(note, sizeof(note), "bit %u of byte %zu of segment %u", bit,
	    at, s);
	now[s].p[at] ^= (uint8_t)(1u << bit);
	touch(s, at, at + 1);
	trial(true);
	now[s].p[at] ^= (uint8_t)(1u << bit);
}

START_TEST(any_bit_of_any_head_is_flipped)
{
	uint32_t i, bit;
	size_t k;

	restore();
	for (i = 0; i < places; i++) {
		/* All kinds, and so many of the data that it takes seconds. */
		if (place[i].kind == FRAME_DATA &&
		    i % (is_full() ? 5 : 50) != 0)
			continue;
		for (k = 0; k < FRAME_HEAD; k++)
			for (bit = 0; bit < 8; bit++)
				flip(place[i].seg, place[i].at + k,
				    (uint8_t)bit);
	}
}
END_TEST

/* As by a write that went astray: intact, but not where it belongs. */
START_TEST(a_frame_lies_where_another_was)
{
	uint32_t a, b;

	restore();
	for (a = 0; a < places; a++)
		for (b = 0; b < places; b += 1 + dice(9)) {
			if (a == b || place[a].size > place[b].size)
				continue;
			snprintf(note, sizeof(note), "frame %u at %u", a, b);
			memcpy(now[place[b].seg].p + place[b].at,
			    base[place[a].seg].p + place[a].at, place[a].size);
			touched[b] = true;
			trial(true);
			memcpy(now[place[b].seg].p + place[b].at,
			    base[place[b].seg].p + place[b].at, place[a].size);
		}
}
END_TEST

START_TEST(any_bit_is_flipped)
{
	const char *want = getenv("QUEUE_FLIPS");
	uint64_t n, most = want != NULL ? strtoull(want, NULL, 10) :
	    is_full() ? FLIPS : FLIP_FEW;
	uint64_t before = trials;
	uint32_t s;

	restore();
	rnd = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (n = 0; n < most; n++) {
		s = dice(segs);
		flip(s, dice((uint32_t)base[s].n), (uint8_t)dice(8));
	}
	__atomic_add_fetch(&tried->flips, trials - before, __ATOMIC_RELAXED);
}
END_TEST

START_TEST(mended_it_is_clean_and_the_damage_is_kept)
{
	struct kept kept;
	struct seen before, after;
	struct run r;
	uint32_t n, s;

	restore();
	rnd = 4711;
	for (n = 0; n < 200; n++) {
		s = dice(segs);
		now[s].p[dice((uint32_t)base[s].n)] ^= (uint8_t)(1 + dice(255));
		snprintf(note, sizeof(note), "mended %u", n);
		trials++;
		run_begin(&r);
		install(&r);
		look(&r, &before);
		r.conf.mend = true;
		run_open(&r);
		kept = (struct kept){ 0 };
		sim_files(r.host, in_quarantine, &kept);
		run_close(&r);
		look(&r, &after);
		run_end(&r);
		holds(before.places > 0 && after.places == 0,
		    "%s: %" PRIu64 " places, then %" PRIu64, note,
		    before.places, after.places);
		ck_assert_uint_eq(after.held, before.held);
		ck_assert_uint_eq(kept.bytes, before.bytes);
		if (n % 20 == 19)
			restore();
	}
}
END_TEST

/* The one spoilt byte, and whether a copy of its frame is kept. */
static uint8_t spoilt_piece[128 << 10];
static size_t spoilt_n;

static void
is_piece(void *arg, const char *path, struct bytes b)
{
	if (strstr(path, ".bin") != NULL && b.n >= spoilt_n &&
	    memcmp(b.p, spoilt_piece, spoilt_n) == 0)
		*(bool *)arg = true;
}

START_TEST(no_byte_is_lost_when_the_power_goes_while_it_is_mended)
{
	struct seen seen;
	struct run r;
	uint32_t n, i, cut = 0;
	bool kept;

	rnd = 815;
	for (n = 0; n < 1000; n++) {
		restore();
		i = dice(places);
		now[place[i].seg].p[place[i].at + 9] ^= 1;
		spoilt_n = place[i].size;
		memcpy(spoilt_piece, now[place[i].seg].p + place[i].at,
		    spoilt_n);
		snprintf(note, sizeof(note), "cut mending %u", n);
		trials++;
		run_begin(&r);
		r.env.alloc = sim_alloc;
		r.env.release = sim_release;
		r.env.mem_arg = r.proc;
		install(&r);
		r.conf.mend = true;
		ck_assert_int_eq(queue_new(&r.q, &r.env, &r.conf), 0);
		queue_open(r.q, on_open, &r);
		sim_run(r.sim, sim_now(r.sim) + dice(900000), is_open, &r);
		cut += r.res == 1;
		sim_power_loss(r.host);
		env_fini(&r.env);	/* what is not the process's memory */
		r.proc = sim_proc_new(r.host, "next");
		env_init(&r.env, sim_loop(r.proc), "test");
		r.env.log_fd = -1;
		look(&r, &seen);
		kept = false;
		sim_files(r.host, is_piece, &kept);
		holds(kept || seen.bytes >= spoilt_n,
		    "%s: frame %u is neither there nor kept", note, i);
		run_end(&r);
	}
	ck_assert_uint_gt(cut, 200);
}
END_TEST

START_TEST(segments_have_each_others_names)
{
	uint32_t a, b;

	for (a = 0; a < segs; a++)
		for (b = a + 1; b < segs; b++) {
			restore();
			snprintf(note, sizeof(note), "swapped %u, %u", a, b);
			now[a].number = base[b].number;
			now[b].number = base[a].number;
			trial(false);
		}
}
END_TEST

START_TEST(a_segment_is_there_twice)
{
	uint32_t a;

	segs++;
	for (a = 0; a + 1 < segs; a++) {
		segs--;
		restore();
		segs++;
		snprintf(note, sizeof(note), "doubled %u", a);
		now[segs - 1] = base[a];
		now[segs - 1].number = 99 + a;
		trial(false);
	}
	segs--;
	now[segs].p = NULL;
}
END_TEST

/* What a backup brings back: a copy of segment a, under a name of its own. */
static void
copy_segment(uint32_t a)
{
	ck_assert_uint_lt(segs, SEGS_MAX);
	base[segs] = base[a];
	base[segs].number = 99 + segs;
	find_places(segs++);
}

static void
spoil_frame(uint32_t i)
{
	now[place[i].seg].p[place[i].at + dice((uint32_t)place[i].size)] ^=
	    (uint8_t)(1 + dice(255));
	touched[i] = true;
}

/* Some copies are gone, some frames of the others spoilt.  True: any is. */
static bool
mingle(uint32_t n)
{
	uint32_t i, rate = 2 + dice(n % 2 == 0 ? 4 : 60);
	bool harmed = false;

	restore();
	for (i = 0; i < segs; i++)
		if (dice(8) == 0) {
			now[i].number = 0;
			touch(i, 0, base[i].n);
		}
	for (i = 0; i < places; i++)
		if (now[place[i].seg].number != 0 &&
		    place[i].kind == FRAME_DATA && dice(rate) == 0) {
			spoil_frame(i);
			harmed = true;
		}
	snprintf(note, sizeof(note), "mingled %u", n);
	return harmed;
}

/* Each has frames the other one has not: all of them come, and in order. */
START_TEST(a_copy_has_what_is_spoilt_in_the_other)
{
	uint32_t n;

	copy_segment(0);
	copy_segment(1);
	copy_segment(0);
	rnd = 2027;
	for (n = 0; n < 400; n++)
		trial(mingle(n));
}
END_TEST

static void
reopen(struct run *r)
{
	run_close(r);
	r->res = 1;
	r->closed = false;
	run_open(r);
}

/* Takes all there is, commits one in every, tells which. */
static void
commit_one_in(struct run *r, uint32_t every, bool committed[UNITS_MAX])
{
	uint32_t i;

	take_all(r);
	for (i = 0; i < units; i++)
		if (came[i] && dice(every) == 0) {
			queue_commit(r->q, unit[i].seq);
			committed[i] = true;
		}
}

static void
is_old_segment(void *arg, const char *path, struct bytes b)
{
	uint32_t i;
	char name[64];

	for (i = 0; i < segs; i++) {
		snprintf(name, sizeof(name), DIR "/%016" PRIx64 ".seg",
		    now[i].number);
		*(unsigned *)arg += strcmp(path, name) == 0;
	}
}

static void
left_came(const bool first[UNITS_MAX], const bool done[UNITS_MAX])
{
	uint32_t i;

	for (i = 0; i < units; i++)
		holds(came[i] == (first[i] && !done[i]),
		    "%s: unit %u", note, i);
}

START_TEST(what_is_mingled_is_delivered_over_several_starts)
{
	static bool first[UNITS_MAX], before[UNITS_MAX],
	    done[UNITS_MAX];
	unsigned files = 0;
	uint32_t n;
	struct run r;

	copy_segment(0);
	copy_segment(1);
	rnd = 2028;
	for (n = 0; n < 100; n++) {
		(void)mingle(n);
		memset(touched, 0, sizeof(touched));
		memset(done, 0, sizeof(done));
		trials++;
		run_begin(&r);
		install(&r);
		run_open(&r);
		commit_one_in(&r, 3, done);
		memcpy(first, came, sizeof(came));
		memcpy(before, done, sizeof(done));
		queue_rewind(r.q);
		take_all(&r);
		left_came(first, before);
		reopen(&r);
		commit_one_in(&r, 1, done);
		left_came(first, before);
		sim_run(r.sim, sim_now(r.sim) + 10000000, NULL, NULL);
		reopen(&r);
		ck_assert_uint_eq(queue_held_frames(r.q), 0);
		goes_on(&r);
		sim_run(r.sim, sim_now(r.sim) + 10000000, NULL, NULL);
		sim_files(r.host, is_old_segment, &files);
		run_close(&r);
		run_end(&r);
	}
	ck_assert_uint_eq(files, 0);
}
END_TEST

/* ---- the disk does not read ---- */

struct kept_frame { const uint8_t *p; size_t n; bool found; };

static void
is_kept(void *arg, const char *path, struct bytes b)
{
	struct kept_frame *k = arg;

	if (strncmp(path, DIR "/quarantine/", strlen(DIR) + 12) == 0 &&
	    memmem(b.p, b.n, k->p, k->n) != NULL)
		k->found = true;
}

static bool
is_in_quarantine(struct run *r, uint32_t u)
{
	struct kept_frame k = { .n = 0 };
	uint32_t i;

	for (i = 0; i < places && k.n == 0; i++)
		if (place[i].unit == u)
			k = (struct kept_frame){ .n = place[i].size,
			    .p = base[place[i].seg].p + place[i].at };
	sim_files(r->host, is_kept, &k);
	return k.found;
}

static void
is_same_file(void *arg, const char *path, struct bytes b)
{
	uint32_t i;
	char name[64];

	for (i = 0; i < segs; i++) {
		snprintf(name, sizeof(name), DIR "/%016" PRIx64 ".seg",
		    base[i].number);
		if (strcmp(path, name) == 0 && b.n == base[i].n &&
		    memcmp(b.p, base[i].p, b.n) == 0)
			++*(uint32_t *)arg;
	}
}

/* The open meets n bad reads behind `after` good ones; refused: -errno. */
static int
open_badly(struct run *r, uint64_t after, uint64_t n)
{
	uint32_t same = 0;

	ck_assert_int_eq(queue_new(&r->q, &r->env, &r->conf), 0);
	(void)sim_read_fails(r->host, after, n);
	queue_open(r->q, on_open, r);
	sim_run(r->sim, UINT64_MAX, is_open, r);
	if (r->res == 0)
		return 0;
	holds(r->res == -EIO, "%s: open: %d", note, r->res);
	queue_free(&r->q);
	sim_files(r->host, is_same_file, &same);
	holds(same == segs, "%s: it refused, and touched something", note);
	return r->res;
}

static void
try_reads(uint64_t after, uint64_t n)
{
	bool first[UNITS_MAX] = { false };
	struct run r;
	uint32_t i;

	if (!is_mine())
		return;
	snprintf(note, sizeof(note), "%" PRIu64 " bad reads after %" PRIu64, n,
	    after);
	trials++;
	run_begin(&r);
	install(&r);
	if (open_badly(&r, after, n) == 0) {
		(void)sim_read_fails(r.host, 0, 0);
		take_all(&r);
		memcpy(first, came, sizeof(came));
		goes_on(&r);
		run_close(&r);
		r.closed = false;
	}
	(void)sim_read_fails(r.host, 0, 0);
	r.res = 1;
	run_open(&r);
	extra = true;
	take_all(&r);
	extra = false;
	for (i = 0; i < units; i++) {
		holds(unit[i].committed || first[i] || n > 1,
		    "%s: unit %u did not come", note, i);
		holds(unit[i].committed || came[i] ||
		    is_in_quarantine(&r, i),
		    "%s: unit %u is neither there nor kept", note, i);
	}
	run_close(&r);
	run_end(&r);
}

START_TEST(a_read_fails_and_no_intact_frame_is_lost)
{
	uint64_t reads, n, k;
	struct run r;

	restore();
	run_begin(&r);
	install(&r);
	(void)sim_read_fails(r.host, 0, 0);
	run_open(&r);
	reads = sim_read_fails(r.host, 0, 0);
	run_close(&r);
	run_end(&r);
	ck_assert_uint_ge(reads, 2 * segs);
	for (n = 0; n <= reads + 200; n++)
		for (k = 1; k <= 256; k *= 2)
			try_reads(n, k);
	for (n = 0; n <= reads; n++)
		try_reads(n, UINT64_MAX);
}
END_TEST

START_TEST(a_segment_is_gone)
{
	uint32_t a;

	for (a = 0; a < segs; a++) {
		restore();
		snprintf(note, sizeof(note), "deleted %u", a);
		now[a].number = 0;
		touch(a, 0, base[a].n);
		trial(false);
	}
}
END_TEST

START_TEST(a_segment_is_of_another_version)
{
	uint32_t a, i;
	struct frame f;

	for (a = 0; a < segs; a++) {
		restore();
		snprintf(note, sizeof(note), "version 2: %u", a);
		for (i = 0; i < places; i++) {
			if (place[i].seg != a)
				continue;
			ck_assert_int_eq(frame_peek(now[a].p + place[i].at,
			    base[a].n - place[i].at, &f), 0);
			now[a].p[place[i].at + 12] = 2;
			frame_seal(now[a].p + place[i].at, f.generation, f.at);
			touched[i] = true;
		}
		trial(true);
	}
}
END_TEST

static void
told(void)
{
	__atomic_add_fetch(&tried->disks, trials, __ATOMIC_RELAXED);
	if (jobs > 1)
		return;
	printf("damage: %" PRIu64 " disks, the last: %s\n", trials, note);
	fflush(stdout);
}

static Suite *
suite(void)
{
	const struct { const char *name; const TTest *test; } all[] = {
		{ "whole", untouched_it_is_whole },
		{ "cut", the_last_segment_ends_at_any_byte },
		{ "zeros", zeros_from_any_word_on },
		{ "heads", any_bit_of_any_head_is_flipped },
		{ "flips", any_bit_is_flipped },
		{ "astray", a_frame_lies_where_another_was },
		{ "mended", mended_it_is_clean_and_the_damage_is_kept },
		{ "mending", no_byte_is_lost_when_the_power_goes_while_it_is_mended },
		{ "swapped", segments_have_each_others_names },
		{ "doubled", a_segment_is_there_twice },
		{ "mingled", a_copy_has_what_is_spoilt_in_the_other },
		{ "restarts", what_is_mingled_is_delivered_over_several_starts },
		{ "reads", a_read_fails_and_no_intact_frame_is_lost },
		{ "gone", a_segment_is_gone },
		{ "version", a_segment_is_of_another_version },
	};
	Suite *s = suite_create("damage");
	TCase *t;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		t = tcase_create(all[i].name);
		tcase_set_timeout(t, 0);
		tcase_add_checked_fixture(t, make_base, told);
		tcase_add_test(t, all[i].test);
		suite_add_tcase(s, t);
	}
	return s;
}

static int
run_share(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}

/* Each says for itself what fails. */
static int
run_shares(void)
{
	int bad = 0, status;
	uint32_t k;
	pid_t pid;

	for (k = 0; k < jobs; k++) {
		pid = fork();
		if (pid == 0) {
			job = k;
			exit(run_share());
		}
		bad += pid < 0;
	}
	while (wait(&status) > 0)
		bad += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return bad == 0 ? 0 : 1;
}

int
main(void)
{
	const char *s = getenv("SEED"), *j = getenv("JOBS");
	int rc;

	seed = s == NULL ? 1 : strtoull(s, NULL, 10);
	if (j != NULL && atoi(j) > 1)
		jobs = atoi(j) < (int)JOBS_MAX ? (uint32_t)atoi(j) : JOBS_MAX;
	tried = mmap(NULL, sizeof(*tried), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tried == MAP_FAILED)
		return 1;
	/* Disks come and go: not with their pages each time. */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
	rc = jobs > 1 ? run_shares() : run_share();
	printf("damage: %" PRIu64 " disks, %" PRIu64 " of them by flips, "
	    "SEED=%" PRIu64 "\n", tried->disks, tried->flips, seed);
	return rc;
}
