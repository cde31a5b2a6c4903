/* SPDX-License-Identifier: ISC */
/* damage_rig.c - see damage_rig.h */

#include "damage_rig.h"

struct unit unit[UNITS_MAX];
uint32_t units;
struct segment_bytes base[SEGS_MAX], now[SEGS_MAX];
uint32_t segs;
struct place place[FRAMES_MAX];
uint32_t places;
uint64_t rnd, trials, seed;
uint32_t jobs = 1, job;
bool touched[FRAMES_MAX], came[UNITS_MAX], extra;
char note[128];

static uint64_t turn;
static uint8_t blob[QUEUE_TAKE_MAX], out[QUEUE_TAKE_MAX];

uint32_t
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

static void
on_put(struct queue_put *put, int res)
{
	ck_assert_int_eq(res, 0);
	((struct run *)put->arg)->put_res--;
}

static bool
is_put(void *arg)
{
	return ((struct run *)arg)->put_res == 0;
}

void
run_begin(struct run *r)
{
	static const struct sim_faults none = { .disk_delay_ns = 1000 };

	holds(run_world(r, DIR, SEGMENT, seed + trials, &none) == 0,
	    "no memory");
	r->conf.commit_ms = 1;
	env_init(&r->env, sim_loop(r->proc), "test");
	r->env.log_fd = -1;
}

void
run_open(struct run *r)
{
	ck_assert_int_eq(queue_new(&r->q, &r->env, &r->conf), 0);
	queue_open(r->q, on_open, r);
	sim_run(r->sim, UINT64_MAX, is_open, r);
	holds(r->res == 0, "%s: open: %d", note, r->res);
}

void
run_close(struct run *r)
{
	queue_close(r->q, on_close, r);
	sim_run(r->sim, UINT64_MAX, is_closed, r);
	holds(r->closed, "%s: does not close", note);
	queue_free(&r->q);
}

void
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

void
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

void
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

void
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

void
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


void
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

void
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

void
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

void
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
void
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
bool
is_mine(void)
{
	bool mine = turn++ % jobs == job;

	if (!mine)
		memset(touched, 0, sizeof(touched));
	return mine;
}

/* now[] is the directory; harmed: at least one byte that matters is wrong. */
void
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

bool
cuts_frame(uint32_t seg, size_t at)
{
	uint32_t i;

	for (i = 0; i < places; i++)
		if (place[i].seg == seg && place[i].at < at &&
		    at < place[i].at + place[i].size)
			return has_bytes(&base[seg], place[i].at, at);
	return false;
}
