/* SPDX-License-Identifier: ISC */
/*
 * test_drain.c - lanes drained to a relay that the test plays itself
 *
 * Claimed: every published byte is handed on, in order within its flow,
 * whatever relay, queue and producers do; a tail moves only behind what is
 * safe; the dead are told of; taken = acked + spilled + held + aside + lost, always.
 * How: lanes and directory are real, made by hand (lane_kit.h); loop, sender
 * and queue are played (drain_stage.h), so that time is virtual and each
 * acknowledgement and each fdatasync happens when the test says so.
 */

#include <grp.h>
#include <sys/wait.h>
#include <time.h>

#include "lane_kit.h"
#include "drain_stage.h"

#include "counters/fates.h"
#include "drain/drain.h"
#include "forward/mp.h"
#include "http/ingest.h"
#include "shm/ring.h"
#include "shm/sys.h"

#define DATA	((uint64_t)LANE_DATA_MIN)
#define WHO	"\x81\xa9worker_id\xa2w7"
#define MACHINE	"\x82\xaamachine_id\xa2m1\xa9worker_id\xa2zz"
#define NAMES	520

static struct env env;
static struct drain *dr;
static char base[64], ring[96], why[DRAIN_WHY];
static struct kit kits[NAMES];
static unsigned kits_n;
static int stopped, rooms, notes;
static uint64_t dead_keep;

/* ---- hands ---- */

static void
on_stopped(void *arg)
{
	stopped++;
}

static void
on_room(void *arg)
{
	rooms++;
}

static void
on_note(void *arg, enum log_level level, const char *text)
{
	notes++;
}

static int
start(void)
{
	struct drain_conf conf = {
		.ring_dir = ring, .shm_sys = &shm_sys_os, .sender = &snd,
		.queue = &dsk, .identity = BYTES(MACHINE),
		.dead_keep_ns = dead_keep, .room = on_room, .note = on_note,
	};
	int r;

	ck_assert_int_eq(drain_new(&dr, &env, &conf), 0);
	r = drain_start(dr, why);
	if (r < 0)
		drain_free(&dr);
	else
		settle();
	return r;
}

static uint64_t
ctr(enum ctr id)
{
	return ctr_get(&env.ctr, id);
}

static void
stop(void)
{
	stopped = 0;
	drain_stop(dr, on_stopped, NULL);
	pass(SECOND);
	ck_assert_int_eq(stopped, 1);
}

/* The process is gone: what was with the sender was not acknowledged. */
static void
leave(void)
{
	relay_lose(false);
	disk_answer(-EIO);
	settle();
	drain_free(&dr);
}

static void
setup(void)
{
	const char *at = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	stage_clear();
	env_init(&env, &lp, "agent");
	env.log_fd = -1;
	snprintf(base, sizeof(base), "%s/drain.XXXXXX", at);
	ck_assert_ptr_nonnull(mkdtemp(base));
	ck_assert_int_eq(chmod(base, 0755), 0);
	snprintf(ring, sizeof(ring), "%s/ring", base);
	kits_n = 0;
	rooms = notes = 0;
	dead_keep = 1800 * SECOND;
	snd.up = snd.answers = dsk.syncs = true;
}

static void
teardown(void)
{
	char cmd[128];
	unsigned i;

	if (dr != NULL) {
		pass(2 * SECOND);
		ck_assert_uint_eq(ctr(CTR_conservation_broken), 0);
		stop();
		leave();
	}
	ck_assert_uint_eq(ctr(CTR_conservation_broken), 0);
	for (i = 0; i < kits_n; i++)
		kit_die(&kits[i]);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", base);
	ck_assert_int_eq(system(cmd), 0);
	stage_clear();
	env_fini(&env);
}

static struct kit *
lane(uint64_t data_bytes)
{
	struct kit *k = &kits[kits_n++];

	(void)mkdir(ring, 0700);
	kit_make(k, ring, kits_n, data_bytes, WHO, sizeof(WHO) - 1);
	loop_ring_changed();
	return k;
}

/* What any lane's byte at a position is. */
static uint8_t
pattern(const struct kit *k, uint64_t pos)
{
	return (uint8_t)(pos * 31 + (pos >> 8) * 7 + (uint64_t)(k - kits));
}

static void
put(struct kit *k, uint64_t n)
{
	static uint8_t rec[LANE_RECORD_MAX];
	uint64_t i;

	for (i = 0; i < n; i++)
		rec[i] = pattern(k, k->at + i);
	kit_put(k, rec, n);
}

static void
put_many(struct kit *k, unsigned times, uint64_t n)
{
	while (times-- > 0)
		put(k, n);
}

static struct born *
born(const struct kit *k)
{
	return relay_stream(k->id);
}

/* The relay has bytes [0, n) of k, each as it was written. */
static void
arrived(struct kit *k, uint64_t n)
{
	struct born *b = born(k);
	uint64_t i;

	ck_assert_uint_eq(b->end, n);
	ck_assert_uint_eq(b->total, n);
	for (i = 0; i < n; i++)
		ck_assert_uint_eq(b->bytes[i], pattern(k, i));
}

/* ---- what the agent noted of what it let go ---- */

static char fates_path[] = "/tmp/test_drain.XXXXXX";
static struct fate_entry last_fate;
static unsigned fates_n;

static void
note_fates(void)
{
	int fd = mkstemp(fates_path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(fates_map(&env.fates, fates_path), 0);
	fates_begin(env.fates);
}

static void
see_fate(void *arg, const struct fate_entry *e)
{
	last_fate = *e;
	fates_n++;
}

static void
only_fate(const struct kit *k, uint64_t from, uint64_t to, enum fate fate)
{
	uint64_t evicted;

	ck_assert_int_eq(fates_read(fates_path, see_fate, NULL, &evicted), 0);
	(void)unlink(fates_path);
	ck_assert_uint_eq(fates_n, 1);
	ck_assert_uint_eq(last_fate.fate, fate);
	ck_assert_mem_eq(last_fate.stream, k->id, STREAM_ID_LEN);
	ck_assert_uint_eq(last_fate.from, from);
	ck_assert_uint_eq(last_fate.to, to);
}

static uint64_t
tail(const struct kit *k)
{
	return atomic_load(&k->agent->tail);
}

static unsigned
frames_of(const struct kit *k)
{
	unsigned i, n = 0;

	for (i = 0; i < dsk.n; i++)
		n += memcmp(dsk.frame[i].chunk.stream, k->id,
		    STREAM_ID_LEN) == 0;
	return n;
}

/* Within each flow of each stream from never goes back. */
static void
in_order(void)
{
	uint64_t at[STREAMS][2] = { { 0 } };
	struct arrival *a;
	unsigned i;

	for (i = 0; i < snd.arrivals; i++) {
		a = &snd.arrival[i];
		ck_assert_uint_ge(a->from, at[a->stream][a->backlog]);
		at[a->stream][a->backlog] = a->to;
	}
}

static bool
text_in(struct bytes b, const char *text)
{
	return memmem(b.p, b.n, text, strlen(text)) != NULL;
}

/* The agent's own record that holds text: its map. */
static bool
own_record(const char *text, struct mp *ret_map)
{
	struct bytes all, entry;
	struct born *b;
	struct mp m;
	uint32_t n;
	unsigned i;

	for (i = 0; i < snd.born_n; i++) {
		b = &snd.born[i];
		all = bytes_of(b->bytes, b->end);
		if (!text_in(all, text))
			continue;
		m = mp_of(all);
		while (m.p < m.end) {
			ck_assert_int_eq(mp_value(&m, &entry), 0);
			if (!text_in(entry, text))
				continue;
			*ret_map = mp_of(entry);
			ck_assert_int_eq(mp_array(ret_map, &n), 0);
			ck_assert_uint_eq(n, 2);
			ck_assert_int_eq(mp_skip(ret_map), 0);
			return true;
		}
	}
	return false;
}

static void
field_is(struct mp map, const char *key, const char *text)
{
	struct bytes s;
	struct mp v;

	ck_assert_int_eq(mp_find(map, key, &v), 0);
	ck_assert_int_eq(mp_str(&v, &s), 0);
	ck_assert_uint_eq(s.n, strlen(text));
	ck_assert_mem_eq(s.p, text, s.n);
}

static uint64_t
field_num(struct mp map, const char *key)
{
	uint64_t u;
	struct mp v;

	ck_assert_int_eq(mp_find(map, key, &v), 0);
	ck_assert_int_eq(mp_uint(&v, &u), 0);
	return u;
}

/* ---- the straight way ---- */

START_TEST(what_is_published_arrives_and_the_tail_follows)
{
	struct kit *k = lane(DATA);

	ck_assert_int_eq(start(), 0);
	put_many(k, 10, 333);
	pass(SECOND);
	arrived(k, 3330);
	ck_assert_uint_eq(tail(k), 3330);
	ck_assert_uint_eq(frames_of(k), 0);
	ck_assert_uint_eq(drain_held_bytes(dr), 0);
}
END_TEST

START_TEST(a_lane_that_wraps_many_times_arrives_whole)
{
	struct kit *k = lane(DATA);
	unsigned i;

	ck_assert_int_eq(start(), 0);
	for (i = 0; i < 300; i++) {
		put_many(k, 3, 777 + i % 13);
		pass(50 * MS);
	}
	pass(SECOND);
	arrived(k, k->at);
	ck_assert_uint_gt(k->at, 10 * DATA);
	ck_assert_uint_eq(tail(k), k->at);
	in_order();
}
END_TEST

START_TEST(a_lane_left_by_a_dead_producer_is_found_at_start)
{
	struct kit *k = lane(DATA);
	uint64_t n = DATA / 10 * 9;

	put_many(k, (unsigned)(n / 100), 100);
	n = k->at;
	kit_die(k);
	ck_assert_int_eq(start(), 0);
	pass(2 * SECOND);
	arrived(k, n);
	ck_assert_uint_eq(ctr(CTR_lane_taken_bytes) -
	    ctr(CTR_lane_acked_bytes) - ctr(CTR_lane_spilled_bytes), 0);
}
END_TEST

START_TEST(the_tail_waits_for_the_acknowledgement)
{
	struct kit *k = lane(DATA);

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put(k, 1000);
	pass(100 * MS);
	ck_assert_uint_eq(snd.out, 1);
	ck_assert_uint_eq(tail(k), 0);
	relay_ack(1);
	ck_assert_uint_eq(tail(k), 1000);
	snd.answers = true;
}
END_TEST

START_TEST(a_trickle_goes_in_one_chunk_while_one_is_out)
{
	struct kit *k = lane(DATA);

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put(k, 100);
	pass(100 * MS);
	put_many(k, 5, 100);
	pass(100 * MS);
	ck_assert_uint_eq(snd.out, 1);
	relay_ack(1);
	settle();
	ck_assert_uint_eq(snd.out, 1);
	ck_assert_uint_eq(snd.first->chunk.to, 600);
	snd.answers = true;
}
END_TEST

START_TEST(several_chunks_are_out_when_there_is_much)
{
	struct kit *k = lane(256 << 10);

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put_many(k, 120, 1000);
	pass(50 * MS);
	ck_assert_uint_ge(snd.out, 2);
	ck_assert_uint_eq(tail(k), 0);
	snd.answers = true;
	pass(SECOND);
	arrived(k, 120000);
}
END_TEST

START_TEST(a_lost_connection_costs_a_repetition_and_no_byte)
{
	struct kit *k = lane(DATA);

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put_many(k, 20, 1000);
	pass(30 * MS);
	relay_lose(true);	/* taken there, but the agent cannot know */
	pass(100 * MS);
	ck_assert_uint_eq(tail(k), 0);
	put_many(k, 3, 1000);
	snd.up = snd.answers = true;
	drain_sender_up(dr);
	pass(SECOND);
	arrived(k, 23000);
	ck_assert_uint_eq(tail(k), 23000);
}
END_TEST

START_TEST(a_hundred_lanes_all_get_their_turn)
{
	unsigned i;

	for (i = 0; i < 100; i++)
		(void)lane(DATA);
	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	ck_assert_uint_ge(drain_lanes(dr), 100);
	put_many(&kits[0], 60, 1000);	/* the loud one */
	for (i = 1; i < 100; i++)
		put(&kits[i], 200);
	pass(30 * MS);
	while (snd.out > 0) {
		relay_ack(1);
		settle();
	}
	/* all quiet ones before the loud one is through */
	ck_assert_uint_gt(snd.arrivals, 100);
	snd.answers = true;
	pass(SECOND);
	arrived(&kits[0], 60000);
	for (i = 1; i < 100; i++)
		arrived(&kits[i], 200);
}
END_TEST

START_TEST(the_machine_says_only_what_the_lane_does_not)
{
	struct kit *k = lane(DATA);
	struct mp id;

	ck_assert_int_eq(start(), 0);
	put(k, 100);
	pass(100 * MS);
	id = mp_of(bytes_of(snd.identity, snd.identity_len));
	field_is(id, "machine_id", "m1");
	field_is(id, "worker_id", "w7");
}
END_TEST

START_TEST(an_identity_that_is_no_map_says_nothing)
{
	struct kit *k = lane(DATA);

	memset(k->head->identity, 0xc1, 20);
	ck_assert_int_eq(start(), 0);
	put(k, 100);
	pass(100 * MS);
	arrived(k, 100);
	ck_assert_uint_eq(snd.identity_len, sizeof(MACHINE) - 1);
	ck_assert_uint_eq(ctr(CTR_lane_bad), 1);
}
END_TEST

/* ---- spill ---- */

START_TEST(when_the_relay_is_away_a_second_lanes_go_to_disk_and_come_back)
{
	struct kit *k = lane(DATA), *other;

	ck_assert_int_eq(start(), 0);
	other = lane(DATA);
	put_many(k, 3, 500);
	pass(SECOND);
	relay_lose(false);
	put_many(k, 10, 500);
	pass(900 * MS);
	ck_assert_uint_eq(frames_of(k), 0);
	pass(700 * MS);
	ck_assert_uint_gt(frames_of(k), 0);
	ck_assert_uint_eq(tail(k), 6500);
	ck_assert_uint_eq(ctr(CTR_lane_spilled_bytes), 5000);
	put_many(k, 4, 500);
	pass(2 * SECOND);
	ck_assert_uint_eq(tail(k), 8500);
	snd.up = true;
	drain_sender_up(dr);
	put(other, 100);
	pass(2 * SECOND);
	put(k, 500);
	pass(SECOND);
	arrived(k, 9000);
	arrived(other, 100);
	in_order();
	ck_assert_uint_eq(queue_held_frames(&dsk), 0);
}
END_TEST

/* Bytes of a flow among the first n arrivals, of all streams. */
static uint64_t
flow_bytes(unsigned n, bool backlog)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		if (snd.arrival[i].backlog == backlog)
			sum += snd.arrival[i].to - snd.arrival[i].from;
	return sum;
}

/* The relay goes, so much is written and spilled, it comes back. */
static void
outage(struct kit *k, unsigned times, uint64_t n)
{
	unsigned i;

	relay_lose(false);
	pass(SECOND);
	for (i = 0; i < times; i++) {
		put_many(k, 10, n / 10);
		pass(700 * MS);
	}
	ck_assert_uint_eq(tail(k), k->at);
	snd.up = true;
	drain_sender_up(dr);
}

START_TEST(a_lane_with_spilled_bytes_sends_newer_ones_beside_them)
{
	struct kit *k = lane(DATA), *other = lane(DATA);
	struct hop_chunk *hc;
	bool live = false;

	ck_assert_int_eq(start(), 0);
	snd.answers = false;
	outage(k, 10, 5000);
	put(k, 500);
	put(other, 500);
	pass(100 * MS);
	for (hc = snd.first; hc != NULL; hc = hc->next)
		live |= hc->chunk.from == 50000 &&
		    (hc->chunk.flags & CHUNK_BACKLOG) == 0 &&
		    memcmp(hc->chunk.stream, k->id, 16) == 0;
	ck_assert(live);
	ck_assert_uint_gt(queue_held_frames(&dsk), 0);
	snd.answers = true;
	pass(SECOND);
	arrived(k, 50500);
	arrived(other, 500);
	in_order();
}
END_TEST

/*
 * The relay answers one chunk a time, slower than the lane is written; it
 * spills what it must.
 */
START_TEST(of_what_is_sent_after_an_outage_each_flow_has_a_third)
{
	struct kit *k = lane(DATA);
	uint64_t live, spilled;

	ck_assert_int_eq(start(), 0);
	snd.answers = false;
	outage(k, 30, 10000);
	ck_assert_uint_ge(queue_held_frames(&dsk), 20);
	while (flow_bytes(snd.arrivals, true) < 200000) {
		put_many(k, 16, 400);
		pass(5 * MS);
		relay_ack(1);
	}
	live = flow_bytes(snd.arrivals, false);
	spilled = flow_bytes(snd.arrivals, true);
	ck_assert_uint_ge(live * 3, live + spilled);
	ck_assert_uint_ge(spilled * 3, live + spilled);
	snd.answers = true;
	pass(5 * SECOND);
	arrived(k, k->at);
	in_order();
}
END_TEST

/* Many lanes have more out at a time than the backlog has buffers for. */
START_TEST(many_fresh_lanes_leave_the_backlog_its_third)
{
	struct kit *k = lane(DATA), *more[24];
	uint64_t live, spilled;
	unsigned j;

	for (j = 0; j < 24; j++)
		more[j] = lane(DATA);
	ck_assert_int_eq(start(), 0);
	snd.answers = false;
	outage(k, 30, 10000);
	while (flow_bytes(snd.arrivals, true) < 200000) {
		for (j = 0; j < 24; j++)
			if (more[j]->at == tail(more[j]))
				put_many(more[j], 12, 1000);
		pass(5 * MS);
		relay_ack(snd.out < 4 ? snd.out : 4);
	}
	live = flow_bytes(snd.arrivals, false);
	spilled = flow_bytes(snd.arrivals, true);
	ck_assert_uint_ge(spilled * 3, live + spilled);
	ck_assert_uint_ge(live * 3, live + spilled);
	snd.answers = true;
	pass(5 * SECOND);
	arrived(k, k->at);
	for (j = 0; j < 24; j++)
		arrived(more[j], more[j]->at);
	in_order();
}
END_TEST

/* Four frames of 256 KiB are out at a time; of this lane 32 KiB at most. */
START_TEST(large_frames_leave_a_small_fresh_lane_its_third)
{
	struct kit *big[3], *k = lane(DATA);
	uint64_t live, spilled;
	unsigned i;

	for (i = 0; i < 3; i++)
		big[i] = lane(1 << 20);
	ck_assert_int_eq(start(), 0);
	snd.answers = false;
	for (i = 0; i < 3; i++)
		outage(big[i], 3, 250000);
	while (flow_bytes(snd.arrivals, true) < 1400000) {
		while (k->at - tail(k) < DATA / 4 * 3 - 2000)
			put(k, 1000);
		pass(5 * MS);
		relay_ack(1);
	}
	live = flow_bytes(snd.arrivals, false);
	spilled = flow_bytes(snd.arrivals, true);
	ck_assert_uint_ge(live * 3, live + spilled);
	snd.answers = true;
	pass(5 * SECOND);
	arrived(k, k->at);
	for (i = 0; i < 3; i++)
		arrived(big[i], big[i]->at);
	in_order();
}
END_TEST

START_TEST(a_lane_with_too_many_holes_waits_for_its_backlog)
{
	struct kit *k = lane(DATA);
	uint64_t live = 0;
	unsigned i;

	ck_assert_int_eq(start(), 0);
	snd.answers = false;
	/* Each time one goes to the disk, and the next one live. */
	for (i = 1; i <= 256; i++) {
		relay_lose(false);
		put(k, 100);
		pass(1700 * MS);
		ck_assert_uint_eq(tail(k), k->at);
		snd.up = true;
		drain_sender_up(dr);
		put(k, 100);
		pass(50 * MS);
		relay_ack_live();
		live += 100;
		if (i < 256)
			ck_assert_uint_eq(flow_bytes(snd.arrivals, false), live);
	}
	ck_assert_uint_eq(flow_bytes(snd.arrivals, false), live - 100);
	ck_assert_uint_eq(tail(k) + 100, k->at);
	snd.answers = true;
	pass(5 * SECOND);
	arrived(k, k->at);
	in_order();
}
END_TEST

START_TEST(past_three_quarters_the_lane_spills_though_the_relay_is_there)
{
	struct kit *k = lane(DATA);

	snd.room = 0;			/* no room there */
	ck_assert_int_eq(start(), 0);
	put_many(k, (unsigned)(DATA / 4 * 3 / 100), 100);
	pass(50 * MS);
	ck_assert_uint_eq(frames_of(k), 0);
	put_many(k, 10, 100);
	pass(50 * MS);
	ck_assert_uint_gt(frames_of(k), 0);
	ck_assert_uint_eq(tail(k), k->at);
	snd.room = 32 << 20;
	drain_sender_up(dr);
	pass(SECOND);
	arrived(k, k->at);
}
END_TEST

START_TEST(past_half_it_spills_after_half_a_second)
{
	struct kit *k = lane(DATA);

	snd.room = 0;
	ck_assert_int_eq(start(), 0);
	put_many(k, (unsigned)(DATA / 2 / 100) - 10, 100);
	pass(2 * SECOND);
	ck_assert_uint_eq(frames_of(k), 0);
	put_many(k, 30, 100);
	pass(200 * MS);
	ck_assert_uint_gt(frames_of(k), 0);	/* its oldest byte is old */
	snd.room = 32 << 20;
	drain_sender_up(dr);
	pass(SECOND);
	arrived(k, k->at);
}
END_TEST

START_TEST(what_is_with_the_sender_holds_the_tail_though_it_spills)
{
	struct kit *k = lane(DATA);
	uint64_t out;

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put(k, 1000);
	pass(50 * MS);
	out = snd.first->chunk.to;
	put_many(k, 60, 1000);
	pass(100 * MS);
	ck_assert_uint_gt(frames_of(k), 0);
	ck_assert_uint_eq(tail(k), 0);
	relay_ack(1);
	ck_assert_uint_ge(tail(k), out);
	snd.answers = true;
	drain_sender_up(dr);
	pass(SECOND);
	ck_assert_uint_eq(tail(k), k->at);
	arrived(k, k->at);
}
END_TEST

START_TEST(what_a_lost_connection_had_comes_behind_what_was_spilled_meanwhile)
{
	struct kit *k = lane(DATA);
	uint64_t out;

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put(k, 1000);
	pass(50 * MS);
	out = snd.first->chunk.to;
	put_many(k, 60, 1000);
	pass(100 * MS);
	ck_assert_uint_gt(frames_of(k), 0);
	relay_lose(false);
	pass(2 * SECOND);
	ck_assert_uint_eq(tail(k), k->at);
	snd.up = snd.answers = true;
	drain_sender_up(dr);
	pass(SECOND);
	arrived(k, k->at);
	ck_assert_uint_gt(snd.arrival[0].from, 0);
	ck_assert_uint_lt(snd.arrival[snd.arrivals - 1].from, out);
	ck_assert(snd.arrival[snd.arrivals - 1].backlog);
}
END_TEST

START_TEST(what_a_silent_relay_has_goes_to_disk_before_the_lane_is_full)
{
	struct kit *k = lane(DATA);
	uint64_t out;

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put(k, 1000);
	pass(50 * MS);
	out = snd.first->chunk.to;
	snd.owes_ns = lp.now;
	put_many(k, 60, 1000);
	pass(300 * MS);
	ck_assert_uint_eq(tail(k), 0);
	snd.going = true;	/* its memory is still being read */
	pass(200 * MS);
	ck_assert_uint_eq(tail(k), 0);
	snd.going = false;
	pass(200 * MS);
	ck_assert_uint_ge(tail(k), out);
	ck_assert_uint_eq(tail(k), k->at);
	snd.owes_ns = 0;
	relay_lose(false);
	snd.up = snd.answers = true;
	drain_sender_up(dr);
	pass(SECOND);
	arrived(k, k->at);
}
END_TEST

/* What it has no room for would stay in the lane, half sent. */
START_TEST(a_silent_relay_gets_no_more)
{
	struct kit *k = lane(DATA);
	unsigned out;

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put(k, 1000);
	pass(50 * MS);
	snd.owes_ns = lp.now;
	pass(250 * MS);
	out = snd.out;
	put_many(k, 20, 1000);
	pass(50 * MS);
	ck_assert_uint_eq(snd.out, out);
	snd.owes_ns = 0;	/* it spoke */
	snd.answers = true;
	relay_ack(out);
	pass(SECOND);
	arrived(k, k->at);
}
END_TEST

START_TEST(a_sync_that_fails_is_no_acknowledgement)
{
	struct kit *k = lane(DATA);

	dsk.syncs = false;
	ck_assert_int_eq(start(), 0);
	relay_lose(false);
	put_many(k, 10, 500);
	pass(2 * SECOND);
	ck_assert(disk_answer(-EIO));
	settle();
	ck_assert_uint_eq(tail(k), 0);
	dsk.syncs = true;
	pass(2 * SECOND);
	ck_assert_uint_eq(tail(k), 5000);
	snd.up = true;
	drain_sender_up(dr);
	pass(SECOND);
	arrived(k, 5000);
}
END_TEST

START_TEST(a_full_disk_leaves_the_bytes_in_the_lane)
{
	struct kit *k = lane(DATA);

	dsk.refuses = -ENOSPC;
	ck_assert_int_eq(start(), 0);
	relay_lose(false);
	put_many(k, (unsigned)(DATA / 100), 100);
	pass(5 * SECOND);
	ck_assert_uint_eq(tail(k), 0);
	ck_assert_uint_eq(drain_held_bytes(dr), k->at);
	snd.up = true;
	drain_sender_up(dr);
	pass(SECOND);
	arrived(k, k->at);
}
END_TEST

START_TEST(a_backlog_frame_that_fails_is_sent_again_before_the_next)
{
	struct kit *k = lane(DATA);

	ck_assert_int_eq(start(), 0);
	relay_lose(false);
	put_many(k, 60, 1000);
	pass(2 * SECOND);
	put_many(k, 20, 1000);
	pass(2 * SECOND);
	ck_assert_uint_ge(frames_of(k), 2);
	snd.answers = false;
	snd.up = true;
	drain_sender_up(dr);
	pass(100 * MS);
	relay_ack(1);
	relay_lose(true);
	pass(100 * MS);
	snd.up = snd.answers = true;
	drain_sender_up(dr);
	pass(2 * SECOND);
	arrived(k, 80000);
	ck_assert_uint_eq(queue_held_frames(&dsk), 0);
}
END_TEST

START_TEST(a_spilled_chunk_no_connection_carries_is_counted_and_noted)
{
	struct kit *k = lane(DATA);

	note_fates();
	ck_assert_int_eq(start(), 0);
	relay_lose(false);
	put_many(k, 10, 1000);
	pass(2 * SECOND);
	ck_assert_uint_eq(frames_of(k), 1);
	put_many(k, 10, 1000);
	pass(2 * SECOND);
	ck_assert_uint_eq(frames_of(k), 2);
	snd.refuses = -EINVAL;
	snd.up = snd.answers = true;
	drain_sender_up(dr);
	pass(2 * SECOND);
	ck_assert_uint_eq(queue_held_frames(&dsk), 0);
	ck_assert_uint_eq(ctr_get(&env.ctr, CTR_backlog_refused), 1);
	only_fate(k, 0, 10000, FATE_REFUSED);
}
END_TEST

/* ---- the agent dies and comes back ---- */

START_TEST(what_the_spill_holds_is_not_sent_from_the_lane_again)
{
	struct kit *k = lane(DATA);

	ck_assert_int_eq(start(), 0);
	relay_lose(false);
	put_many(k, 10, 500);
	pass(2 * SECOND);
	ck_assert_uint_eq(tail(k), 5000);
	stop();
	leave();
	/* as if it had died between the sync and the tail */
	atomic_store(&k->agent->tail, 0);
	put_many(k, 2, 500);
	snd.up = true;
	ck_assert_int_eq(start(), 0);
	ck_assert_uint_ge(tail(k), 5000);
	pass(3 * SECOND);
	arrived(k, 6000);
	in_order();
}
END_TEST

/* An agent that can send nothing has taken 5,000 bytes of it, and ended. */
static struct kit *
lane_taken_and_left(void)
{
	struct kit *k = lane(DATA);

	snd.up = false;
	dsk.refuses = -ENOSPC;
	ck_assert_int_eq(start(), 0);
	put_many(k, 10, 500);
	pass(SECOND);
	stop();
	leave();
	return k;
}

START_TEST(the_books_balance_over_a_restart)
{
	struct kit *k = lane_taken_and_left();

	ck_assert_uint_eq(ctr(CTR_lane_held_bytes), 5000);
	put_many(k, 10, 500);
	dsk.refuses = 0;
	snd.up = true;
	ck_assert_int_eq(start(), 0);
	pass(2 * SECOND);
	arrived(k, 10000);
	ck_assert_uint_eq(ctr(CTR_lane_taken_bytes), 10000);
	ck_assert_uint_eq(ctr(CTR_lane_acked_bytes), 10000);
	ck_assert_uint_eq(ctr(CTR_lane_lost_bytes), 0);
}
END_TEST

START_TEST(no_byte_is_taken_twice_after_a_kill)
{
	struct kit *k = lane_taken_and_left();

	/* Gauges begin anew, and a kill may fall behind a count. */
	ctr_set(&env.ctr, CTR_lane_held_bytes, 0);
	ctr_add(&env.ctr, CTR_lane_acked_bytes, 500);
	put_many(k, 10, 500);
	dsk.refuses = 0;
	snd.up = true;
	ck_assert_int_eq(start(), 0);
	pass(2 * SECOND);
	arrived(k, 10000);
	ck_assert_uint_eq(ctr(CTR_lane_taken_bytes), 10500);
	ck_assert_uint_eq(ctr(CTR_lane_acked_bytes), 10500);
	ck_assert_uint_eq(ctr(CTR_lane_lost_bytes), 0);
	ck_assert_uint_eq(ctr(CTR_conservation_broken), 0);
}
END_TEST

START_TEST(lanes_gone_with_a_reboot_are_counted_as_lost)
{
	struct kit *k = lane_taken_and_left();

	ck_assert_int_eq(unlink(k->path), 0);
	dsk.refuses = 0;
	snd.up = true;
	ck_assert_int_eq(start(), 0);
	pass(2 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_lost_bytes), 5000);
}
END_TEST

/* An agent of another version comes, and goes; 5,000 bytes are taken. */
static struct kit *
lane_of_another_version(void)
{
	struct kit *k = lane_taken_and_left();

	k->head->version = LANE_VERSION + 1;
	dsk.refuses = 0;
	snd.up = true;
	ck_assert_int_eq(start(), 0);
	pass(2 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_taken_bytes), 5000);
	ck_assert_uint_eq(ctr(CTR_lane_aside_bytes), 5000);
	ck_assert_uint_eq(ctr(CTR_lane_lost_bytes), 0);
	ck_assert_uint_eq(ctr(CTR_conservation_broken), 0);
	return k;
}

START_TEST(what_waits_in_a_lane_of_another_version_is_neither_lost_nor_taken_twice)
{
	struct kit *k = lane_of_another_version();
	struct kit *fresh = lane(DATA);

	put_many(k, 10, 500);
	put_many(fresh, 10, 500);
	fresh->head->created_ns = (uint64_t)time(NULL) * SECOND + SECOND;
	pass(2 * SECOND);
	arrived(fresh, 5000);
	ck_assert_uint_eq(ctr(CTR_lane_taken_bytes), 10000);
	ck_assert_uint_eq(ctr(CTR_lane_aside_bytes), 5000);
	k->head->version = LANE_VERSION;
	(void)lane(DATA);		/* a reason to look */
	pass(2 * SECOND);
	arrived(k, 10000);
	ck_assert_uint_eq(ctr(CTR_lane_taken_bytes), 15000);
	ck_assert_uint_eq(ctr(CTR_lane_acked_bytes), 15000);
	ck_assert_uint_eq(ctr(CTR_lane_aside_bytes), 0);
	ck_assert_uint_eq(ctr(CTR_lane_lost_bytes), 0);
	ck_assert_uint_eq(ctr(CTR_conservation_broken), 0);
}
END_TEST

START_TEST(a_lane_of_another_version_that_went_is_lost_from_the_next_start_on)
{
	struct kit *k = lane_of_another_version();

	stop();
	leave();
	ck_assert_int_eq(unlink(k->path), 0);
	ck_assert_int_eq(start(), 0);
	pass(2 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_aside_bytes), 0);
	ck_assert_uint_eq(ctr(CTR_lane_lost_bytes), 5000);
	ck_assert_uint_eq(ctr(CTR_conservation_broken), 0);
}
END_TEST

/* ---- stopping ---- */

START_TEST(stop_spills_the_rest)
{
	struct kit *k = lane(DATA);

	snd.up = false;
	ck_assert_int_eq(start(), 0);
	put_many(k, 10, 500);
	stop();
	ck_assert_uint_eq(tail(k), 5000);
	ck_assert_uint_eq(ctr(CTR_lane_spilled_bytes), 5000);
	leave();
}
END_TEST

START_TEST(stop_spills_a_lane_nobody_has_looked_at_yet)
{
	struct kit *k;

	ck_assert_int_eq(start(), 0);
	k = lane(DATA);
	put_many(k, 10, 500);
	stop();
	ck_assert_uint_eq(tail(k), 5000);
	ck_assert_uint_eq(ctr(CTR_lane_spilled_bytes), 5000);
	leave();
}
END_TEST

START_TEST(stop_puts_what_a_silent_relay_has_on_disk_too)
{
	struct kit *k = lane(DATA);

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put_many(k, 10, 500);
	pass(50 * MS);
	ck_assert_uint_gt(snd.out, 0);
	stop();
	ck_assert_uint_eq(streams_end_of(NULL, k->id), 5000);
	leave();
	snd.up = snd.answers = true;
	ck_assert_int_eq(start(), 0);
	pass(2 * SECOND);
	arrived(k, 5000);
	ck_assert_uint_eq(tail(k), 5000);
}
END_TEST

/*
 * The relay is lost while the second copies of what it had are on their way
 * to the disk: a put that is out must not be used for another one.
 */
START_TEST(stop_survives_a_relay_that_is_lost_while_its_copies_are_written)
{
	struct kit *k = lane(DATA);

	snd.answers = dsk.syncs = false;
	ck_assert_int_eq(start(), 0);
	put_many(k, 10, 500);
	pass(50 * MS);
	ck_assert_uint_gt(snd.out, 0);
	stopped = 0;
	drain_stop(dr, on_stopped, NULL);
	pass(200 * MS);
	ck_assert_uint_eq(frames_of(k), 1);
	relay_lose(false);
	pass(100 * MS);
	ck_assert_uint_eq(frames_of(k), 1);
	ck_assert_uint_eq(tail(k), 0);
	ck_assert(disk_answer(0));
	pass(50 * MS);
	ck_assert_int_eq(stopped, 1);
	ck_assert_uint_eq(tail(k), 5000);
	ck_assert_uint_eq(ctr(CTR_lane_spilled_bytes), 5000);
	leave();
}
END_TEST

START_TEST(stop_moves_the_tail_behind_a_copy_when_the_relay_is_lost_later)
{
	struct kit *k = lane(DATA);

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put_many(k, 10, 500);
	pass(50 * MS);
	stop();
	ck_assert_uint_eq(tail(k), 0);
	relay_lose(false);
	ck_assert_uint_eq(tail(k), 5000);
	ck_assert_uint_eq(ctr(CTR_lane_spilled_bytes), 5000);
	ck_assert_uint_eq(ctr(CTR_lane_held_bytes), 0);
	leave();
}
END_TEST

START_TEST(stop_ends_in_a_second_whatever_relay_and_disk_do)
{
	struct kit *k = lane(DATA);

	snd.answers = dsk.syncs = false;
	ck_assert_int_eq(start(), 0);
	put_many(k, 10, 500);
	pass(50 * MS);
	put_many(k, 10, 500);
	stop();
	ck_assert_uint_eq(tail(k), 0);
	leave();
}
END_TEST

/* ---- the dead ---- */

static void
job(struct kit *k, unsigned at, const char *id)
{
	memcpy(k->jobs[at].id, id, strlen(id));
	k->jobs[at].len = (uint32_t)strlen(id);
	atomic_store(&k->jobs[at].state, LANE_JOB_SET);
}

static void
die(struct kit *k)
{
	kit_die(k);
	loop_ring_changed();
}

START_TEST(a_killed_worker_is_told_of_with_its_jobs)
{
	struct kit *k = lane(DATA);
	uint32_t pid = k->head->pid, n;
	struct bytes s;
	struct mp m, v;

	ck_assert_int_eq(start(), 0);
	put(k, 100);
	job(k, 0, "job-1");
	job(k, 7, "job-2");
	pass(100 * MS);
	die(k);
	pass(SECOND);
	ck_assert(own_record("worker_died", &m));
	field_is(m, "event_type", "worker_died");
	field_is(m, "level", "error");
	field_is(m, "worker_id", "w7");
	field_is(m, "machine_id", "m1");
	ck_assert_uint_eq(field_num(m, "pid"), pid);
	ck_assert_uint_eq(field_num(m, "uid"), getuid());
	ck_assert_uint_eq(field_num(m, "jobs_in_progress"), 2);
	ck_assert_int_eq(mp_find(m, "jobs", &v), 0);
	ck_assert_int_eq(mp_array(&v, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(mp_str(&v, &s), 0);
	ck_assert(bytes_eq(s, BYTES("job-1")));
	ck_assert_int_eq(mp_find(m, "job_id", &v), -ENOENT);
	ck_assert_uint_eq(ctr(CTR_worker_died), 1);
	ck_assert_uint_eq(ctr(CTR_lane_died_unclean), 1);
}
END_TEST

START_TEST(its_one_job_is_found_by_job_id)
{
	struct kit *k = lane(DATA);
	struct mp m;

	ck_assert_int_eq(start(), 0);
	job(k, 3, "job-77");
	pass(100 * MS);
	die(k);
	pass(SECOND);
	ck_assert(own_record("worker_died", &m));
	field_is(m, "job_id", "job-77");
}
END_TEST

START_TEST(a_clean_close_is_no_death)
{
	struct kit *k = lane(DATA);
	struct mp m;

	ck_assert_int_eq(start(), 0);
	put(k, 100);
	atomic_store(&k->prod->closed, 1);
	pass(100 * MS);
	die(k);
	pass(SECOND);
	ck_assert(!own_record("worker_died", &m));
	ck_assert_uint_eq(ctr(CTR_worker_died), 0);
	ck_assert_uint_eq(ctr(CTR_lane_dead), 1);
}
END_TEST

static bool
there(const struct kit *k, const char *suffix)
{
	char path[256];
	size_t n = strlen(k->path);

	memcpy(path, k->path, n - 5);
	snprintf(path + n - 5, sizeof(path) - n, "%s", suffix);
	return access(path, F_OK) == 0;
}

START_TEST(a_dead_lane_stays_as_dead_for_a_while)
{
	struct kit *k = lane(DATA);

	ck_assert_int_eq(start(), 0);
	put(k, 100);
	pass(100 * MS);
	die(k);
	pass(SECOND);
	ck_assert(!there(k, ".lane"));
	ck_assert(there(k, ".dead"));
	lp.now += dead_keep;
	pass(2 * SECOND);
	ck_assert(!there(k, ".dead"));
}
END_TEST

START_TEST(a_dead_lane_with_bytes_to_send_is_not_buried)
{
	struct kit *k = lane(DATA);

	snd.answers = false;
	ck_assert_int_eq(start(), 0);
	put(k, 100);
	pass(100 * MS);
	die(k);
	pass(SECOND);
	ck_assert(there(k, ".lane"));
	snd.answers = true;
	pass(2 * SECOND);
	ck_assert(there(k, ".dead"));
}
END_TEST

START_TEST(a_stream_ends_after_its_backlog_is_delivered)
{
	struct kit *k = lane(DATA);

	ck_assert_int_eq(start(), 0);
	relay_lose(false);
	put(k, 100);
	pass(2 * SECOND);
	die(k);
	pass(SECOND);
	ck_assert(there(k, ".dead"));
	snd.answers = false;
	snd.up = true;
	drain_sender_up(dr);
	pass(100 * MS);
	ck_assert(!born(k)->ended);
	snd.answers = true;
	pass(2 * SECOND);
	ck_assert(born(k)->ended);
}
END_TEST

/* Found by the simulator's seed 47, on a disk full for an hour and more. */
START_TEST(a_stream_does_not_end_while_a_kill_would_send_it_again)
{
	struct kit *k = lane(DATA);

	ck_assert_int_eq(start(), 0);
	commits_wait = true;
	relay_lose(false);
	put(k, 100);
	pass(2 * SECOND);
	die(k);
	snd.up = true;
	drain_sender_up(dr);
	pass(5 * SECOND);
	ck_assert(!born(k)->ended);
	commits_wait = false;
	pass(2 * SECOND);
	ck_assert(born(k)->ended);
}
END_TEST

static void
refuse(struct kit *k, uint64_t n)
{
	atomic_store(&k->prod->refused[3], n);
	atomic_store(&k->prod->refused_first_ns, 5);
	atomic_store(&k->prod->refused_last_ns, 6);
}

START_TEST(a_dead_producers_gap_is_told_by_the_agent)
{
	struct kit *k = lane(DATA);
	struct mp m;

	ck_assert_int_eq(start(), 0);
	put(k, 100);
	refuse(k, 42);
	atomic_store(&k->prod->gap_claim, LANE_CLAIM_PRODUCER);
	pass(100 * MS);
	die(k);
	pass(SECOND);
	ck_assert(own_record("emplog_gap", &m));
	field_is(m, "worker_id", "w7");
	ck_assert_uint_eq(field_num(m, "refused"), 42);
	ck_assert_uint_eq(ctr(CTR_lane_gap_records), 1);
}
END_TEST

START_TEST(refusals_count_once_whichever_agent_sees_them)
{
	struct kit *k = lane(DATA);

	put(k, 100);
	refuse(k, 42);
	ck_assert_int_eq(start(), 0);
	pass(2 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_refused), 42);
	stop();
	leave();
	refuse(k, 43);
	ck_assert_int_eq(start(), 0);
	pass(2 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_refused), 43);
	refuse(k, 50);
	die(k);		/* buried before the second is over */
	pass(SECOND / 2);
	ck_assert_uint_eq(ctr(CTR_lane_refused), 50);
}
END_TEST

START_TEST(what_http_dropped_is_told_when_there_is_room)
{
	struct mp m;

	ck_assert_int_eq(start(), 0);
	ctr_add(&env.ctr, CTR_ingest_dropped, 3);
	pass(2 * SECOND);
	ck_assert(own_record("came by HTTP", &m));
	field_is(m, "event_type", "emplog_gap");
	ck_assert_uint_eq(field_num(m, "refused"), 3);
	ck_assert_uint_eq(ctr(CTR_ingest_dropped_told), 3);
	ck_assert_uint_eq(ctr(CTR_lane_gap_records), 1);
	/* once in 5 s, and those before the end at the end */
	ctr_add(&env.ctr, CTR_ingest_dropped, 4);
	pass(2 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_gap_records), 1);
	stop();
	ck_assert_uint_eq(ctr(CTR_ingest_dropped_told), 7);
	leave();
	/* an agent that comes later has nothing to add */
	ck_assert_int_eq(start(), 0);
	pass(10 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_gap_records), 2);
}
END_TEST

START_TEST(a_silent_living_producers_gap_is_told_after_five_seconds)
{
	struct kit *k = lane(DATA);
	struct mp m;

	ck_assert_int_eq(start(), 0);
	put(k, 100);
	pass(100 * MS);
	refuse(k, 42);
	pass(4 * SECOND);
	ck_assert(!own_record("emplog_gap", &m));
	pass(3 * SECOND);
	ck_assert(own_record("emplog_gap", &m));
	pass(7 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_gap_records), 1);
	ck_assert_uint_eq(ctr(CTR_lane_refused), 42);
	ck_assert_uint_eq(atomic_load(&k->prod->told[3]), 42);
}
END_TEST

/* ---- the hostile ---- */

START_TEST(an_unlinked_lane_is_retired_and_still_drained)
{
	struct kit *k = lane(DATA);

	snd.up = false;
	ck_assert_int_eq(start(), 0);
	put(k, 100);
	pass(100 * MS);
	ck_assert_int_eq(unlink(k->path), 0);
	loop_ring_changed();
	pass(100 * MS);
	ck_assert_uint_eq(atomic_load(&k->agent->retired), 1);
	put(k, 100);	/* it had not looked yet */
	snd.up = true;
	drain_sender_up(dr);
	pass(2 * SECOND);
	arrived(k, 200);
}
END_TEST

START_TEST(a_lane_cut_short_costs_what_is_gone_and_no_more)
{
	struct kit *k = lane(DATA), *other = lane(DATA);

	snd.room = 0;
	note_fates();
	ck_assert_int_eq(start(), 0);
	put_many(k, 20, 1000);
	put(other, 500);
	pass(100 * MS);
	ck_assert_int_eq(ftruncate(k->fd, LANE_DATA_AT + 8192), 0);
	pass(11 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_spoiled), 1);
	ck_assert_uint_eq(atomic_load(&k->agent->retired), 1);
	snd.room = 32 << 20;
	drain_sender_up(dr);
	pass(2 * SECOND);
	arrived(other, 500);
	ck_assert_uint_eq(ctr(CTR_lane_lost_bytes), 20000 - 8192);
	ck_assert_uint_eq(born(k)->total, 8192);
	ck_assert_uint_eq(drain_held_bytes(dr), 0);
	/* And nothing it says of what is behind is to be believed. */
	only_fate(k, 8192, LANE_POSITION_MAX, FATE_LOST);
}
END_TEST

START_TEST(a_head_that_lies_spoils_its_own_lane_alone)
{
	struct kit *k = lane(DATA), *other = lane(DATA);

	ck_assert_int_eq(start(), 0);
	put(k, 500);
	pass(100 * MS);
	put(k, 500);
	put(other, 500);
	pass(5 * MS);
	atomic_store(&k->prod->head, UINT64_MAX / 2);
	pass(3 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_spoiled), 1);
	ck_assert_uint_ge(born(k)->total, 500);
	arrived(other, 500);
}
END_TEST

START_TEST(garbage_in_the_ring_is_counted_once_and_left)
{
	char path[160];
	unsigned i;
	int fd;

	ck_assert_int_eq(mkdir(ring, 0700), 0);
	static const char *const names[] = {
		"junk", "0123.lane", "zz.lane", "core",
		"a0020202020202020202020202020202.lane",
	};
	for (i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/%s", ring, names[i]);
		fd = open(path, O_CREAT | O_RDWR, 0600);
		ck_assert_int_eq(write(fd, "garbage", 7), 7);
		close(fd);
	}
	snprintf(path, sizeof(path),
	    "%s/a0030303030303030303030303030303.lane", ring);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	ck_assert_int_eq(start(), 0);
	pass(SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_bad), 6);
	loop_ring_changed();
	pass(12 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_bad), 6);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(more_garbage_than_can_be_remembered_fills_no_log)
{
	char path[160];
	int i, fd, told;

	ck_assert_int_eq(start(), 0);
	for (i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "%s/garbage-%d", ring, i);
		fd = open(path, O_CREAT | O_RDWR, 0600);
		ck_assert_int_ge(fd, 0);
		close(fd);
	}
	loop_ring_changed();
	pass(SECOND);
	told = notes;
	ck_assert_int_ge(told, 256);
	for (i = 0; i < 10; i++) {
		loop_ring_changed();
		pass(SECOND);
	}
	ck_assert_int_eq(notes, told);
	ck_assert_uint_eq(ctr(CTR_lane_bad), 256);
	/* what is gone makes room for what was passed over */
	for (i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "%s/garbage-%d", ring, i);
		if (i % 3 > 0)
			ck_assert_int_eq(unlink(path), 0);
	}
	for (i = 0; i < 2; i++) {
		loop_ring_changed();
		pass(SECOND);
	}
	ck_assert_uint_ge(ctr(CTR_lane_bad), 256);
	ck_assert_uint_le(ctr(CTR_lane_bad), 300);
	snprintf(path, sizeof(path), "%s/garbage-new", ring);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	close(fd);
	told = notes;
	loop_ring_changed();
	pass(SECOND);
	ck_assert_int_eq(notes, told + 1);
}
END_TEST

START_TEST(a_lane_under_another_ones_name_is_refused)
{
	struct kit *k = lane(DATA);
	char path[160];

	snprintf(path, sizeof(path),
	    "%s/a0777777777777777777777777777777.lane", ring);
	ck_assert_int_eq(rename(k->path, path), 0);
	ck_assert_int_eq(start(), 0);
	put(k, 100);
	pass(SECOND);
	ck_assert_uint_eq(born(k)->total, 0);
	ck_assert_uint_eq(ctr(CTR_lane_bad), 1);
}
END_TEST

START_TEST(one_user_cannot_take_all_places)
{
	unsigned i;

	for (i = 0; i < 513; i++)
		(void)lane(DATA);
	ck_assert_int_eq(start(), 0);
	ck_assert_uint_eq(drain_lanes(dr), 512);	/* the ring has none left */
	ck_assert_uint_eq(ctr(CTR_lane_bad), 0);
	ck_assert_uint_eq(ctr(CTR_lane_waiting), 1);
	kit_die(&kits[0]);	/* one of them has a place, and leaves it */
	kit_die(&kits[1]);
	loop_ring_changed();
	pass(12 * SECOND);
	ck_assert_uint_eq(drain_lanes(dr), 511);
	ck_assert_uint_eq(ctr(CTR_lane_seen), 513);
	ck_assert_uint_eq(ctr(CTR_lane_waiting), 0);
}
END_TEST

START_TEST(old_tmp_files_without_a_lock_are_swept)
{
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	char path[3][160];
	int fd[3];
	unsigned i;
	struct kit k = { .fd = -1 };

	ck_assert_int_eq(mkdir(ring, 0700), 0);
	for (i = 0; i < 3; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/.tmp-%u", ring, i);
		fd[i] = open(path[i], O_CREAT | O_RDWR, 0600);
		ck_assert_int_ge(fd[i], 0);
	}
	ck_assert_int_eq(futimens(fd[0], old), 0);
	ck_assert_int_eq(futimens(fd[1], old), 0);
	k.fd = fd[1];
	kit_lock(&k);
	ck_assert_int_eq(start(), 0);
	pass(SECOND);
	ck_assert_int_ne(access(path[0], F_OK), 0);
	ck_assert_int_eq(access(path[1], F_OK), 0);	/* being made */
	ck_assert_int_eq(access(path[2], F_OK), 0);	/* young */
	for (i = 0; i < 3; i++)
		close(fd[i]);
}
END_TEST

/* ---- the directory ---- */

START_TEST(the_ring_is_made_for_everyone_whatever_the_umask)
{
	struct stat st;
	char path[160];
	mode_t old = umask(077);

	ck_assert_int_eq(start(), 0);
	umask(old);
	ck_assert_int_eq(stat(ring, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 03777);
	snprintf(path, sizeof(path), "%s/knock", ring);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert(S_ISFIFO(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 0777, 0666);
	snprintf(path, sizeof(path), "%s/ring.ctl", ring);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0666);
}
END_TEST

START_TEST(a_ring_ctl_cut_short_ends_nobody_and_is_made_anew)
{
	struct ring_ctl *ctl;
	char path[160];
	struct mp m;

	ck_assert_int_eq(start(), 0);
	snprintf(path, sizeof(path), "%s/ring.ctl", ring);
	ck_assert_int_eq(truncate(path, 0), 0);
	pass(2 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_bad), 1);
	pass(10 * SECOND);
	ck_assert_uint_eq(ctr(CTR_lane_bad), 1);
	ctl = ring_ctl_map(&shm_sys_os, ring, 0);
	ck_assert_ptr_nonnull(ctl);
	atomic_fetch_add(&ctl->no_lane, 5);
	pass(2 * SECOND);
	ck_assert_uint_eq(atomic_load(&ctl->told), 5);
	ring_ctl_unmap(&shm_sys_os, ctl);
	ck_assert(own_record("emplog_gap", &m));
}
END_TEST

START_TEST(a_second_agent_is_refused_and_told_of_the_first)
{
	struct drain *first;
	char pid[32];

	ck_assert_int_eq(start(), 0);
	first = dr;
	ck_assert_int_eq(start(), -EBUSY);
	ck_assert_ptr_nonnull(strstr(why, "another agent"));
	snprintf(pid, sizeof(pid), "pid %u", (unsigned)getpid());
	ck_assert_ptr_nonnull(strstr(why, pid));
	dr = first;
}
END_TEST

START_TEST(one_that_did_not_start_can_be_stopped)
{
	struct drain *first;
	struct drain_conf conf = { .ring_dir = ring, .shm_sys = &shm_sys_os,
	    .sender = &snd, .queue = &dsk };

	ck_assert_int_eq(start(), 0);
	first = dr;
	ck_assert_int_eq(drain_new(&dr, &env, &conf), 0);
	ck_assert_int_eq(drain_start(dr, why), -EBUSY);
	stop();
	drain_free(&dr);
	dr = first;
}
END_TEST

START_TEST(a_symlink_and_a_file_are_no_ring)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/elsewhere", base);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(symlink(path, ring), 0);
	ck_assert_int_eq(start(), -ELOOP);
	ck_assert_ptr_nonnull(strstr(why, "symbolic link"));
	ck_assert_int_eq(unlink(ring), 0);
	ck_assert_int_eq(close(open(ring, O_CREAT | O_RDWR, 0600)), 0);
	ck_assert_int_eq(start(), -ENOTDIR);
	ck_assert_uint_eq(ctr(CTR_lane_foreign_dir), 2);
	ck_assert_int_eq(unlink(ring), 0);
}
END_TEST

START_TEST(somebody_elses_ring_is_refused_with_the_remedy)
{
	if (getuid() != 0)
		return;
	ck_assert_int_eq(mkdir(ring, 0700), 0);
	ck_assert_int_eq(chown(ring, 4242, 4242), 0);
	ck_assert_int_eq(start(), -EPERM);
	ck_assert_ptr_nonnull(strstr(why, "4242"));
	ck_assert_ptr_nonnull(strstr(why, "chown"));
}
END_TEST

/* ---- sleep ---- */

START_TEST(a_deep_sleeper_is_woken_by_one_byte)
{
	struct kit *k = lane(DATA);
	char path[160];
	int fd;

	ck_assert_int_eq(start(), 0);
	put(k, 100);
	pass(SECOND);
	ck_assert_uint_eq(atomic_load(&k->agent->knock_at), 100 + DATA / 4);
	pass(3 * SECOND);
	ck_assert_uint_eq(atomic_load(&k->agent->knock_at), 101);
	put(k, 100);
	settle();
	ck_assert_uint_eq(born(k)->total, 100);
	snprintf(path, sizeof(path), "%s/knock", ring);
	fd = open(path, O_RDWR | O_NONBLOCK);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "k", 1), 1);
	settle();	/* no time passes */
	arrived(k, 200);
	ck_assert_uint_eq(atomic_load(&k->agent->knock_at), 200 + DATA / 4);
	ck_assert_uint_ge(ctr(CTR_lane_knocks), 1);
	close(fd);
}
END_TEST

/* The record that a producer's store buffer still held is found soon. */
START_TEST(a_tick_that_was_due_is_not_the_second_look)
{
	struct kit *k = lane(DATA);
	char path[160];
	int fd;

	ck_assert_int_eq(start(), 0);
	put(k, 100);
	while (born(k) == NULL || born(k)->total < 100)
		pass(5 * MS);
	/* Ticks come each 25 ms from here; the traffic ends 10 ms later. */
	pass(10 * MS);
	put(k, 100);
	snprintf(path, sizeof(path), "%s/knock", ring);
	fd = open(path, O_RDWR | O_NONBLOCK);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "k", 1), 1);
	settle();
	arrived(k, 200);
	pass(2 * SECOND);
	ck_assert_uint_eq(atomic_load(&k->agent->knock_at), 200 + DATA / 4);
	drain_sender_up(dr);
	settle();
	ck_assert_uint_eq(atomic_load(&k->agent->knock_at), 201);
	pass(15 * MS);		/* the tick that was due */
	put(k, 100);
	pass(25 * MS);
	arrived(k, 300);
	close(fd);
}
END_TEST

START_TEST(without_a_knock_a_second_is_the_most)
{
	struct kit *k = lane(DATA);

	ck_assert_int_eq(start(), 0);
	pass(4 * SECOND);
	put(k, 100);
	pass(1005 * MS);
	arrived(k, 100);
}
END_TEST

/* ---- records by HTTP ---- */

static int puts_done;

static void
on_ingested(struct ingest_put *ip, int res)
{
	ck_assert_int_eq(res, 0);
	puts_done++;
}

START_TEST(small_requests_go_through_the_own_lane)
{
	struct ingest_put ip = { .done = on_ingested };

	ck_assert_int_eq(start(), 0);
	ck_assert_int_eq(drain_ingest(dr, BYTES("entries"), 1, false, &ip), 1);
	ck_assert_uint_eq(dsk.n, 0);
	pass(SECOND);
	ck_assert_uint_eq(snd.born_n, 1);
	ck_assert_mem_eq(snd.born[0].bytes, "entries", 7);
	ck_assert_uint_eq(snd.identity_len, sizeof(MACHINE) - 1);
}
END_TEST

START_TEST(durable_requests_are_done_when_the_disk_says_so)
{
	struct ingest_put ip = { .done = on_ingested };

	puts_done = 0;
	dsk.syncs = false;
	ck_assert_int_eq(start(), 0);
	ck_assert_int_eq(drain_ingest(dr, BYTES("entries"), 1, true, &ip), 0);
	pass(SECOND);
	ck_assert_int_eq(puts_done, 0);
	disk_answer(0);
	ck_assert_int_eq(puts_done, 1);
	dsk.syncs = true;
	pass(SECOND);
	ck_assert_mem_eq(snd.born[0].bytes, "entries", 7);
}
END_TEST

START_TEST(what_the_own_lane_cannot_take_is_done_when_on_disk)
{
	struct ingest_put ip = { .done = on_ingested };
	static uint8_t large[512 << 10];

	puts_done = 0;
	dsk.syncs = false;
	ck_assert_int_eq(start(), 0);
	ck_assert_int_eq(drain_ingest(dr, bytes_of(large, sizeof(large)), 1,
	    false, &ip), 0);
	pass(SECOND);
	ck_assert_int_eq(puts_done, 0);
	disk_answer(0);
	ck_assert_int_eq(puts_done, 1);
	dsk.syncs = true;
	pass(SECOND);
}
END_TEST

START_TEST(a_request_without_room_is_refused_and_called_back)
{
	struct ingest_put ip = { .done = on_ingested };

	ck_assert_int_eq(start(), 0);
	dsk.refuses = -ENOSPC;
	ck_assert_int_eq(drain_ingest(dr, BYTES("entries"), 1, true, &ip),
	    -ENOSPC);
	dsk.refuses = 0;
	drain_queue_notify(dr);
	settle();
	ck_assert_int_eq(rooms, 1);
	puts_done = 0;
	ck_assert_int_eq(drain_ingest(dr, BYTES("entries"), 1, true, &ip), 0);
	pass(SECOND);
	ck_assert_int_eq(puts_done, 1);
	ck_assert_int_eq(drain_ingest(dr, BYTES(""), 1, true, &ip), -EMSGSIZE);
}
END_TEST

/* ---- three users ---- */

static int
as_uid(uint32_t uid, int (*what)(const char *path), const char *path)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		gid_t none = uid;

		if (setgroups(1, &none) < 0 || setresgid(uid, uid, uid) < 0 ||
		    setresuid(uid, uid, uid) < 0)
			_exit(99);
		_exit(what(path));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A connector of uid A: makes a lane, writes, and is killed. */
static int
write_a_lane(const char *dir)
{
	struct kit *k = &kits[0];

	kit_make(k, dir, 1, DATA, WHO, sizeof(WHO) - 1);
	if (fchmod(k->fd, 0660) < 0)
		return 1;
	put_many(k, 50, 100);
	return 0;
}

/* What uid C may do with it: 0 when nothing. */
static int
break_a_lane(const char *path)
{
	char other[256];

	if (open(path, O_RDONLY) >= 0 || open(path, O_RDWR) >= 0 ||
	    open(path, O_WRONLY) >= 0)
		return 1;
	if (unlink(path) == 0)
		return 2;
	snprintf(other, sizeof(other), "%s.mine", path);
	if (rename(path, other) == 0)
		return 3;
	if (truncate(path, 0) == 0 || chmod(path, 0666) == 0)
		return 4;
	return 0;
}

START_TEST(three_users_one_writes_one_drains_one_can_do_nothing)
{
	struct kit *k = &kits[0];
	char path[256];

	if (getuid() != 0)
		return;
	ck_assert_int_eq(start(), 0);
	ck_assert_int_eq(as_uid(4001, write_a_lane, ring), 0);
	snprintf(path, sizeof(path), "%s/a0010101010101010101010101010101.lane",
	    ring);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(as_uid(4003, break_a_lane, path), 0);
	loop_ring_changed();
	pass(SECOND);
	ck_assert_uint_eq(snd.born[0].end, 5000);
	ck_assert_uint_eq(snd.born[0].bytes[77], pattern(k, 77));
	ck_assert_uint_eq(ctr(CTR_worker_died), 1);
	ck_assert_uint_eq(ctr(CTR_lane_bad), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("drain");
	TCase *t = tcase_create("drain");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_is_published_arrives_and_the_tail_follows);
	tcase_add_test(t, a_lane_that_wraps_many_times_arrives_whole);
	tcase_add_test(t, a_lane_left_by_a_dead_producer_is_found_at_start);
	tcase_add_test(t, the_tail_waits_for_the_acknowledgement);
	tcase_add_test(t, a_trickle_goes_in_one_chunk_while_one_is_out);
	tcase_add_test(t, several_chunks_are_out_when_there_is_much);
	tcase_add_test(t, a_lost_connection_costs_a_repetition_and_no_byte);
	tcase_add_test(t, a_hundred_lanes_all_get_their_turn);
	tcase_add_test(t, the_machine_says_only_what_the_lane_does_not);
	tcase_add_test(t, an_identity_that_is_no_map_says_nothing);
	tcase_add_test(t,
	    when_the_relay_is_away_a_second_lanes_go_to_disk_and_come_back);
	tcase_add_test(t,
	    a_lane_with_spilled_bytes_sends_newer_ones_beside_them);
	tcase_add_test(t,
	    of_what_is_sent_after_an_outage_each_flow_has_a_third);
	tcase_add_test(t, many_fresh_lanes_leave_the_backlog_its_third);
	tcase_add_test(t, large_frames_leave_a_small_fresh_lane_its_third);
	tcase_add_test(t, a_lane_with_too_many_holes_waits_for_its_backlog);
	tcase_add_test(t,
	    past_three_quarters_the_lane_spills_though_the_relay_is_there);
	tcase_add_test(t, past_half_it_spills_after_half_a_second);
	tcase_add_test(t,
	    what_is_with_the_sender_holds_the_tail_though_it_spills);
	tcase_add_test(t,
	    what_a_lost_connection_had_comes_behind_what_was_spilled_meanwhile);
	tcase_add_test(t,
	    what_a_silent_relay_has_goes_to_disk_before_the_lane_is_full);
	tcase_add_test(t, a_silent_relay_gets_no_more);
	tcase_add_test(t, a_sync_that_fails_is_no_acknowledgement);
	tcase_add_test(t, a_full_disk_leaves_the_bytes_in_the_lane);
	tcase_add_test(t, a_backlog_frame_that_fails_is_sent_again_before_the_next);
	tcase_add_test(t,
	    a_spilled_chunk_no_connection_carries_is_counted_and_noted);
	tcase_add_test(t, what_the_spill_holds_is_not_sent_from_the_lane_again);
	tcase_add_test(t, the_books_balance_over_a_restart);
	tcase_add_test(t, no_byte_is_taken_twice_after_a_kill);
	tcase_add_test(t, lanes_gone_with_a_reboot_are_counted_as_lost);
	tcase_add_test(t,
	    what_waits_in_a_lane_of_another_version_is_neither_lost_nor_taken_twice);
	tcase_add_test(t,
	    a_lane_of_another_version_that_went_is_lost_from_the_next_start_on);
	tcase_add_test(t, stop_spills_the_rest);
	tcase_add_test(t, stop_spills_a_lane_nobody_has_looked_at_yet);
	tcase_add_test(t, stop_puts_what_a_silent_relay_has_on_disk_too);
	tcase_add_test(t,
	    stop_survives_a_relay_that_is_lost_while_its_copies_are_written);
	tcase_add_test(t,
	    stop_moves_the_tail_behind_a_copy_when_the_relay_is_lost_later);
	tcase_add_test(t, stop_ends_in_a_second_whatever_relay_and_disk_do);
	tcase_add_test(t, a_killed_worker_is_told_of_with_its_jobs);
	tcase_add_test(t, its_one_job_is_found_by_job_id);
	tcase_add_test(t, a_clean_close_is_no_death);
	tcase_add_test(t, a_dead_lane_stays_as_dead_for_a_while);
	tcase_add_test(t, a_dead_lane_with_bytes_to_send_is_not_buried);
	tcase_add_test(t, a_stream_ends_after_its_backlog_is_delivered);
	tcase_add_test(t,
	    a_stream_does_not_end_while_a_kill_would_send_it_again);
	tcase_add_test(t, a_dead_producers_gap_is_told_by_the_agent);
	tcase_add_test(t, refusals_count_once_whichever_agent_sees_them);
	tcase_add_test(t, what_http_dropped_is_told_when_there_is_room);
	tcase_add_test(t,
	    a_silent_living_producers_gap_is_told_after_five_seconds);
	tcase_add_test(t, an_unlinked_lane_is_retired_and_still_drained);
	tcase_add_test(t, a_lane_cut_short_costs_what_is_gone_and_no_more);
	tcase_add_test(t, a_head_that_lies_spoils_its_own_lane_alone);
	tcase_add_test(t, garbage_in_the_ring_is_counted_once_and_left);
	tcase_add_test(t, more_garbage_than_can_be_remembered_fills_no_log);
	tcase_add_test(t, a_lane_under_another_ones_name_is_refused);
	tcase_add_test(t, one_user_cannot_take_all_places);
	tcase_add_test(t, old_tmp_files_without_a_lock_are_swept);
	tcase_add_test(t, the_ring_is_made_for_everyone_whatever_the_umask);
	tcase_add_test(t, a_ring_ctl_cut_short_ends_nobody_and_is_made_anew);
	tcase_add_test(t, a_second_agent_is_refused_and_told_of_the_first);
	tcase_add_test(t, one_that_did_not_start_can_be_stopped);
	tcase_add_test(t, a_symlink_and_a_file_are_no_ring);
	tcase_add_test(t, somebody_elses_ring_is_refused_with_the_remedy);
	tcase_add_test(t, a_deep_sleeper_is_woken_by_one_byte);
	tcase_add_test(t, a_tick_that_was_due_is_not_the_second_look);
	tcase_add_test(t, without_a_knock_a_second_is_the_most);
	tcase_add_test(t, small_requests_go_through_the_own_lane);
	tcase_add_test(t, durable_requests_are_done_when_the_disk_says_so);
	tcase_add_test(t, what_the_own_lane_cannot_take_is_done_when_on_disk);
	tcase_add_test(t, a_request_without_room_is_refused_and_called_back);
	tcase_add_test(t,
	    three_users_one_writes_one_drains_one_can_do_nothing);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
