/* SPDX-License-Identifier: ISC */
/* damage_files.c - files renamed, doubled, gone, mingled, not to be read */

#include <errno.h>

#include "damage_rig.h"

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

static void
is_forked(void *arg, const char *path, struct bytes b)
{
	const struct segment_bytes *s = &now[segs - 1];

	if (strncmp(path, DIR "/quarantine/", strlen(DIR) + 12) == 0 &&
	    b.n >= s->n && memcmp(b.p, s->p, s->n) == 0)
		++*(unsigned *)arg;
}

/* A backup was put back, worked on, and the newer files found again. */
START_TEST(frames_with_sequences_given_twice_are_kept)
{
	static bool done[UNITS_MAX];
	uint32_t i, n = places;
	unsigned kept = 0;
	struct run r;
	struct frame f;

	copy_segment(0);
	restore();
	for (i = n; i < places; i++) {
		ck_assert_int_eq(frame_peek(now[segs - 1].p + place[i].at,
		    place[i].size, &f), 0);
		frame_seal(now[segs - 1].p + place[i].at, f.generation ^ 4711,
		    f.at);
	}
	places = n;
	rnd = 2029;
	snprintf(note, sizeof(note), "forked");
	run_begin(&r);
	install(&r);
	run_open(&r);
	commit_one_in(&r, 1, done);
	for (i = 0; i < units; i++)
		holds(came[i] || unit[i].committed, "unit %u", i);
	goes_on(&r);
	sim_run(r.sim, sim_now(r.sim) + 10000000, NULL, NULL);
	reopen(&r);
	goes_on(&r);
	sim_run(r.sim, sim_now(r.sim) + 10000000, NULL, NULL);
	sim_files(r.host, is_forked, &kept);
	ck_assert_uint_eq(kept, 1);
	run_close(&r);
	run_end(&r);
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

/* It is left alone; one frame alone that says so is damage. */
START_TEST(a_segment_is_of_another_version)
{
	uint32_t a, i, n;
	struct frame f;

	for (a = 0; a < segs; a++) {
		restore();
		snprintf(note, sizeof(note), "version 2: %u", a);
		for (i = n = 0; i < places; i++) {
			if (place[i].seg != a)
				continue;
			ck_assert_int_eq(frame_peek(now[a].p + place[i].at,
			    base[a].n - place[i].at, &f), 0);
			now[a].p[place[i].at + 12] = 2;
			frame_seal(now[a].p + place[i].at, f.generation, f.at);
			touched[i] = true;
			n++;
		}
		trial(n == 1);
	}
}
END_TEST

void
damage_files(Suite *s)
{
	damage_case(s, "swapped", segments_have_each_others_names);
	damage_case(s, "doubled", a_segment_is_there_twice);
	damage_case(s, "mingled", a_copy_has_what_is_spoilt_in_the_other);
	damage_case(s, "restarts",
	    what_is_mingled_is_delivered_over_several_starts);
	damage_case(s, "forked", frames_with_sequences_given_twice_are_kept);
	damage_case(s, "reads", a_read_fails_and_no_intact_frame_is_lost);
	damage_case(s, "gone", a_segment_is_gone);
	damage_case(s, "version", a_segment_is_of_another_version);
}
