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

#include <malloc.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "damage_rig.h"

#define FLIPS		100000u
#define FLIP_FEW	2000u	/* when not full */
#define JOBS_MAX	16u

static struct tried *tried;

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
		/* All kinds, and of the data some. */
		if (!is_full() && place[i].kind == FRAME_DATA && i % 50 != 0)
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

static void
told(void)
{
	__atomic_add_fetch(&tried->disks, trials, __ATOMIC_RELAXED);
	if (jobs > 1)
		return;
	printf("damage: %" PRIu64 " disks, the last: %s\n", trials, note);
	fflush(stdout);
}

void
damage_case(Suite *s, const char *name, const TTest *test)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 0);
	tcase_add_checked_fixture(t, make_base, told);
	tcase_add_test(t, test);
	suite_add_tcase(s, t);
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
	};
	Suite *s = suite_create("damage");
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		damage_case(s, all[i].name, all[i].test);
	damage_files(s);
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
