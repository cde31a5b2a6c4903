/* SPDX-License-Identifier: ISC */
/*
 * test_crashpoints.c - the power may go at any instant
 *
 * A queue works on a simulated disk and all it does to it is recorded: writes,
 * syncs, names.  Then for each instant every disk is made that may be found
 * after it: what was synced, and of the writes, sizes and names that were not
 * any subset, up to 12 of them all subsets, beyond that as many as DRAWS says
 * (4096 when not given) by seed; and some with writes torn between sectors of
 * 512 bytes.  Each is opened by the real queue and compared with what is
 * known of that instant:
 *
 *   what was acknowledged and not committed is there, with its bytes;
 *   nothing is there that was never put, nothing twice, all in order;
 *   what was committed durably does not come again;
 *   of a range that is there, or was acknowledged, no second copy is taken,
 *   and one that is not there is new;
 *   it takes the next put, and closes.
 *
 * Recoveries are work too: of some the disk is recorded in turn, and the power
 * goes in the midst of them; and after one that found what a killed process
 * had written and not synced, it must all be there.
 *
 * Without SEEDS=n, so many, no seed is begun after SECONDS_MOST.  SEED=n is the
 * first.  A fault names seed, instant and image; IMAGE=n opens that one alone,
 * LOUD=1 tells what was done to the disk.
 */

#include <stdarg.h>
#include <time.h>

#include "queue/streams.h"

#include "crash_disk.h"
#include "queue_world.h"

#define MS		UINT64_C(1000000)
#define HOME		"/state"
#define DIR		HOME "/q"
#define UNITS_MAX	1024u
#define LANES		3u		/* and LANES: none */
#define ALL_SUBSETS	12u
#define TORN_DRAWS	6u
#define DEEP_EVERY	400u		/* images of which the recovery is cut */
#define DEEP_DRAWS	3u		/* images of each of its instants */
#define KILL_DRAWS	4u
#define IMAGES_LEAST	5000u
#define SECONDS_MOST	10	/* no seed is begun later */
#define NEVER		UINT32_MAX

/* ---- what is put ---- */

struct unit {
	struct queue_put put;
	uint32_t	 lane;
	uint64_t	 from;
	uint32_t	 len;
	uint64_t	 seq;
	uint32_t	 put_at;	/* events before it; NEVER */
	uint32_t	 acked_at;
	uint32_t	 asked_at;	/* queue_commit() */
	uint32_t	 done_at;	/* the commit is durable since */
	uint8_t		 stream[STREAM_ID_LEN];
};

static struct unit unit[UNITS_MAX];
static uint32_t units;

/* ---- what was done to the disk ---- */

static struct trace work, again;
static struct disk image, deep_image, durable_disk, deep_durable;
static uint64_t seed, images, torn, drawn, deep, only, flows;
static uint32_t instant, draws = 4096;
static const char *where = "";

void
broken(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "test_crashpoints: SEED=%" PRIu64 " IMAGE=%" PRIu64
	    " instant %u%s: ", seed, images, instant, where);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* ---- a queue on a simulated disk ---- */

static uint8_t blob[QUEUE_TAKE_MAX], out[QUEUE_TAKE_MAX];

static bool
is_put(void *arg)
{
	return ((struct run *)arg)->put_res != 1;
}

static void
begin(struct run *r, uint64_t s, const struct sim_faults *faults)
{
	if (run_world(r, DIR, 64u << 10, s, faults) < 0)
		broken("no memory");
	r->conf.commit_ms = 20;
	r->put_res = 1;
}

static void
run_open(struct run *r)
{
	env_init(&r->env, sim_loop(r->proc), "test");
	r->env.log_fd = -1;
	if (queue_new(&r->q, &r->env, &r->conf) < 0)
		broken("no memory");
	queue_open(r->q, on_open, r);
	sim_run(r->sim, UINT64_MAX, is_open, r);
}

static void
run_end(struct run *r)
{
	queue_close(r->q, on_close, r);
	sim_run(r->sim, UINT64_MAX, is_closed, r);
	if (!r->closed)
		broken("it does not close");
	queue_free(&r->q);
	env_fini(&r->env);
	sim_free(&r->sim);
}

/* ---- the work that is recorded ---- */

static uint64_t lane_pos[LANES];

static void
fill(uint8_t *p, uint32_t i)
{
	uint32_t k;

	for (k = 0; k < unit[i].len; k++)
		p[k] = (uint8_t)(i * 131 + k * 7 + (k >> 8) + seed);
}

static void
on_put(struct queue_put *put, int res)
{
	struct unit *u = put->arg;
	uint32_t i;

	if (res < 0)
		return;			/* a fault of the disk: not there */
	u->acked_at = work.n;
	/* Commits asked for before it was put went with its group. */
	for (i = 0; i < units; i++)
		if (unit[i].asked_at != NEVER && unit[i].done_at == NEVER &&
		    unit[i].asked_at < u->put_at)
			unit[i].done_at = work.n;
}

static void
put_one(struct run *r)
{
	struct unit *u = &unit[units];
	struct chunk c = { .records = 1, .identity = bytes_of("\x80", 1) };

	if (units == UNITS_MAX)
		return;
	*u = (struct unit){ .lane = dice(LANES + 1), .put_at = work.n,
	    .acked_at = NEVER, .asked_at = NEVER, .done_at = NEVER };
	u->len = 1 + (dice(6) == 0 ? dice(30000) : dice(1500));
	if (u->lane < LANES) {
		memset(c.stream, (int)u->lane + 1, STREAM_ID_LEN);
		c.from = lane_pos[u->lane];
		c.to = c.from + u->len;
	}
	fill(blob, units);
	c.taken_ns = loop_wall(sim_loop(r->proc));
	c.body[0] = bytes_of(blob, u->len);
	u->put = (struct queue_put){ .done = on_put, .arg = u };
	if (queue_put(r->q, &c, &u->put) < 0)
		return;
	if (u->lane < LANES)
		lane_pos[u->lane] += u->len;
	u->from = c.from;
	u->seq = u->put.seq;
	memcpy(u->stream, c.stream, STREAM_ID_LEN);
	units++;
}

static uint32_t
unit_of(const struct chunk *c)
{
	uint32_t i;

	for (i = 0; i < units; i++)
		if (memcmp(unit[i].stream, c->stream, STREAM_ID_LEN) == 0 &&
		    unit[i].from == c->from)
			break;
	if (i == units)
		broken("a frame nobody put");
	fill(blob, i);
	if (c->body[0].n != unit[i].len || c->records != 1 ||
	    memcmp(blob, c->body[0].p, unit[i].len) != 0)
		broken("unit %u has other bytes", i);
	return i;
}

static void
consume(struct run *r)
{
	static uint32_t held[32];
	static uint32_t held_n;
	struct chunk c;
	uint64_t seq;
	uint32_t k;

	if (r == NULL) {
		held_n = 0;
		return;
	}
	while (held_n < 32 && dice(4) != 0) {
		flows += queue_turn(r->q) == QUEUE_FRESH;
		if (queue_take(r->q, out, sizeof(out), &c, &seq) < 0)
			break;
		held[held_n++] = unit_of(&c);
	}
	while (held_n > 0 && dice(3) != 0) {
		k = dice(3) == 0 ? dice(held_n) : 0;
		queue_commit(r->q, unit[held[k]].seq);
		unit[held[k]].asked_at = work.n;
		memmove(&held[k], &held[k + 1],
		    (--held_n - k) * sizeof(held[0]));
	}
}

/*
 * unit.asked_at < put_at is of events: a commit and a put between the same
 * two events would be one instant, so each is given an event's width.
 */
static void
widen(void)
{
	static const struct sim_disk_op nothing = { .kind = OP_FSYNC,
	    .ino = UINT64_MAX, .path = "-" };

	record(&work, &nothing);
}

static void
do_work(void)
{
	static const struct sim_faults kinds[] = {
		{ .disk_delay_ns = 200000 },
		{ .disk_delay_ns = 200000, .short_io = 100000 },
		{ .disk_delay_ns = 200000, .write_error = 30000 },
		{ .disk_delay_ns = 200000, .fsync_error = 30000 },
	};
	uint32_t steps = 24, kind = (uint32_t)((seed - 1) % 4), n, i;
	struct run r;

	trace_clear(&work);
	units = 0;
	memset(lane_pos, 0, sizeof(lane_pos));
	consume(NULL);
	begin(&r, seed, &kinds[kind]);
	disk_clear(&durable_disk);
	file_of(&durable_disk, sim_install(r.host, HOME, LOOP_DIR,
	    bytes_of(NULL, 0)))->is_dir = true;
	name_set(&durable_disk, HOME, durable_disk.file[0].ino);
	sim_record(r.host, record, &work);
	run_open(&r);
	if (r.res < 0 && kind < 2)
		broken("open: %d", r.res);
	if (r.res < 0) {
		queue_free(&r.q);
		sim_free(&r.sim);
		return;
	}
	while (steps-- > 0) {
		for (n = dice(6); n > 0; n--)
			put_one(&r);
		sim_run(r.sim, sim_now(r.sim) + dice(3000000), NULL, NULL);
		if (dice(3) == 0) {	/* the consumer was away */
			sim_run(r.sim, sim_now(r.sim) + 61000 * MS, NULL,
			    NULL);
			queue_return(r.q);
		}
		consume(&r);
		widen();
		sim_run(r.sim, sim_now(r.sim) + (dice(8) == 0 ? 1100 * MS :
		    dice(300000)), NULL, NULL);
	}
	sim_calm(r.sim);
	run_end(&r);
	for (i = 0; i < units && kind == 0; i++)
		if (unit[i].asked_at != NEVER && unit[i].done_at == NEVER)
			unit[i].done_at = work.n;
}

/* ---- what must be so after a power loss at an instant ---- */

static bool came[UNITS_MAX];
static bool must_come[UNITS_MAX];	/* also: see cut_after_kill() */

static void
take_all(struct run *r)
{
	uint64_t seq, last = 0, until;
	bool any = false;
	struct chunk c;
	uint32_t i;

	memset(came, 0, sizeof(came));
	until = sim_now(r->sim) + 50 * MS;
	for (;;) {
		if (queue_take(r->q, out, sizeof(out), &c, &seq) < 0) {
			if (queue_held_frames(r->q) == 0 ||
			    sim_now(r->sim) >= until)
				break;
			sim_run(r->sim, sim_now(r->sim) + MS / 10, NULL, NULL);
			continue;
		}
		i = unit_of(&c);
		if (any && seq <= last)
			broken("sequence %" PRIu64 " after %" PRIu64, seq, last);
		if (came[i])
			broken("unit %u comes twice", i);
		came[i] = any = true;
		last = seq;
		if (queue_held_frames(r->q) == 0)
			break;
		until = sim_now(r->sim) + 50 * MS;
		if (seq != unit[i].seq)
			broken("unit %u was %" PRIu64 ", is %" PRIu64, i,
			    unit[i].seq, seq);
	}
}

static bool
is_new(struct run *r, const struct unit *u)
{
	struct range gap;

	if (streams_cut(queue_streams(r->q), u->stream, u->from,
	    u->from + u->len, &gap) < 0)
		return false;
	if (gap.from != u->from || gap.to != u->from + u->len)
		broken("a range is known in part");
	return true;
}

static void
check_unit(struct run *r, uint32_t i)
{
	const struct unit *u = &unit[i];
	bool was_put = u->put_at <= instant, acked = u->acked_at <= instant;
	bool asked = u->asked_at <= instant, done = u->done_at <= instant;

	if (came[i] && !was_put)
		broken("unit %u was not put yet", i);
	if (acked && !asked && !came[i])
		broken("unit %u was acknowledged and is gone", i);
	if (must_come[i] && !came[i])
		broken("unit %u was found after a kill and is gone", i);
	if (done && came[i])
		broken("unit %u was committed and comes again", i);
	if (acked && is_new(r, u))
		broken("unit %u was acknowledged and is new", i);
	if (came[i] && is_new(r, u))
		broken("unit %u is there and new", i);
	if (!came[i] && !acked && !asked && !is_new(r, u))
		broken("unit %u is not there and not new", i);
}

static void
on_probe(struct queue_put *put, int res)
{
	((struct run *)put->arg)->put_res = res;
}

static void
goes_on(struct run *r)
{
	struct queue_put put = { .done = on_probe, .arg = r };
	struct chunk c = { .records = 1, .body = { BYTES("goes on"),
	    BYTES("") } };
	unsigned tries = 0;

	while (queue_put(r->q, &c, &put) < 0) {
		if (++tries > 100)
			broken("no put is taken");
		sim_run(r->sim, sim_now(r->sim) + MS, NULL, NULL);
	}
	sim_run(r->sim, UINT64_MAX, is_put, r);
	if (r->put_res != 0)
		broken("a put ends with %d", r->put_res);
}

/* Opens it; with t, what that does is recorded. */
static void
try_image(const struct disk *img, struct trace *t)
{
	static const struct sim_faults none = { .disk_delay_ns = 100000 };
	struct run r;
	uint32_t i;

	images++;
	if (only != 0 && images != only && t == NULL)
		return;
	begin(&r, seed + images, &none);
	disk_put(r.host, img);
	if (t != NULL)
		sim_record(r.host, record, t);
	run_open(&r);
	if (r.res < 0)
		broken("open: %d", r.res);
	if (t != NULL)
		sim_record(r.host, NULL, NULL);
	take_all(&r);
	for (i = 0; i < units; i++)
		check_unit(&r, i);
	if (ctr_get(&r.env.ctr, CTR_queue_lost_frames) != 0)
		broken("%" PRIu64 " frames are counted lost",
		    ctr_get(&r.env.ctr, CTR_queue_lost_frames));
	goes_on(&r);
	run_end(&r);
}

/* The power goes again while that disk is recovered. */
static void
cut_recovery(const struct disk *img)
{
	static struct instants in;
	uint32_t k, n;

	disk_copy(&deep_durable, img);
	disk_renumber(&deep_durable);
	trace_clear(&again);
	try_image(&deep_durable, &again);
	in = (struct instants){ .t = &again, .d = &deep_durable };
	where = ", again in its recovery";
	for (k = 0; k < again.n; k++) {
		instants_step(&in, k);
		for (n = 0; n < DEEP_DRAWS; n++) {
			make_image(&deep_image, &in, (uint64_t)dice(UINT32_MAX) <<
			    16 ^ dice(UINT32_MAX), n == 0);
			try_image(&deep_image, NULL);
			deep++;
		}
	}
	where = "";
}

/*
 * The process is killed: what it wrote is all to be seen, synced or not, and
 * the next one recovers that.  From then on it answers for it (a copy that is
 * sent again is acknowledged), and so it must be there when the power goes.
 */
static void
cut_after_kill(const struct instants *now)
{
	static struct instants in;
	static struct trace both;
	uint32_t k;

	make_image(&deep_image, now, UINT64_MAX, false);
	if (now->n > 64)
		return;
	trace_clear(&again);
	try_image(&deep_image, &again);
	trace_translate(&again, &deep_image);
	memcpy(must_come, came, sizeof(came));
	disk_copy(&deep_durable, now->d);
	in = (struct instants){ .t = &both, .d = &deep_durable };
	both.n = 0;
	for (k = 0; k < now->n; k++)
		both.ev[both.n++] = now->t->ev[now->pending[k]];
	for (k = 0; k < again.n; k++)
		both.ev[both.n++] = again.ev[k];
	for (k = 0; k < both.n; k++)
		instants_step(&in, k);
	where = ", killed before";
	for (k = 0; k < KILL_DRAWS; k++, deep++) {
		make_image(&deep_image, &in, k == 0 ? 0 :
		    (uint64_t)dice(UINT32_MAX) << 32 | dice(UINT32_MAX), false);
		try_image(&deep_image, NULL);
	}
	where = "";
	memset(must_come, 0, sizeof(must_come));
}

static void
try_one(const struct instants *in, uint64_t mask, bool tear)
{
	make_image(&image, in, mask, tear);
	torn += tear;
	try_image(&image, NULL);
	if (images % DEEP_EVERY == 0)
		cut_recovery(&image);
}

static void
try_instant(const struct instants *in)
{
	uint64_t mask, n = UINT64_C(1) << (in->n < 20 ? in->n : 20);
	uint32_t i;

	if (getenv("LOUD") != NULL)
		printf("instant %u: %u are pending\n", instant, in->n);
	if (in->n <= ALL_SUBSETS) {
		for (mask = 0; mask < n; mask++)
			try_one(in, mask, false);
	} else {
		for (i = 0; i < draws; i++)
			try_one(in, (uint64_t)dice(UINT32_MAX) << 32 |
			    dice(UINT32_MAX), false);
		drawn += draws;
	}
	cut_after_kill(in);
	for (i = 0; i < TORN_DRAWS && in->n > 0; i++)
		try_one(in, i == 0 ? UINT64_MAX :
		    (uint64_t)dice(UINT32_MAX) << 32 | dice(UINT32_MAX), true);
}

static void
run_seed(void)
{
	static struct instants in;
	uint32_t k;

	rnd = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	(void)dice(2);
	do_work();
	in = (struct instants){ .t = &work, .d = &durable_disk };
	instant = 0;
	try_instant(&in);
	for (k = 0; k < work.n; k++) {
		instant = k + 1;
		if (work.ev[k].ino == UINT64_MAX)
			continue;
		instants_step(&in, k);
		instants_sweep(&in);
		try_instant(&in);
	}
}

static void
tell_work(void)
{
	uint32_t i, acked = 0, asked = 0, done = 0;

	for (i = 0; i < work.n; i++)
		printf("%4u kind %u ino %" PRIu64 " %s %s off %" PRIu64 " len %"
		    PRIu64 " res %" PRId64 "\n", i, work.ev[i].kind,
		    work.ev[i].ino, work.ev[i].path, work.ev[i].path2,
		    work.ev[i].off, work.ev[i].len, work.ev[i].res);
	for (i = 0; i < units; i++) {
		acked += unit[i].acked_at != NEVER;
		asked += unit[i].asked_at != NEVER;
		done += unit[i].done_at != NEVER;
	}
	printf("seed %" PRIu64 ": %u put, %u acknowledged, %u committed, %u of "
	    "them durably\n", seed, units, acked, asked, done);
}

static uint64_t
number(const char *name, uint64_t def)
{
	const char *s = getenv(name);

	return s == NULL ? def : strtoull(s, NULL, 10);
}

int
main(void)
{
	uint64_t first = number("SEED", 1), seeds = number("SEEDS", 4);
	uint64_t events = 0;
	struct timespec a, b;

	draws = (uint32_t)number("DRAWS", draws);
	only = number("IMAGE", 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (seed = first; seed < first + seeds; seed++) {
		clock_gettime(CLOCK_MONOTONIC, &b);
		if (getenv("SEEDS") == NULL && images >= IMAGES_LEAST &&
		    b.tv_sec - a.tv_sec > SECONDS_MOST)
			break;
		run_seed();
		events += work.n;
		if (getenv("LOUD") != NULL)
			tell_work();
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("crash points: %" PRIu64 " images of %" PRIu64 " instants, seeds "
	    "%" PRIu64 " to %" PRIu64 "; %" PRIu64 " torn, %" PRIu64 " drawn, "
	    "%" PRIu64 " in or after a recovery, %" PRIu64 " frames taken "
	    "beside a backlog; %ld s\n", images, events, first, seed - 1,
	    torn, drawn, deep, flows,
	    (long)(b.tv_sec - a.tv_sec));
	if (images < IMAGES_LEAST && only == 0) {
		printf("too few: %u are wanted\n", IMAGES_LEAST);
		return 1;
	}
	if (flows == 0 && only == 0) {
		printf("there were never two flows\n");
		return 1;
	}
	return 0;
}
