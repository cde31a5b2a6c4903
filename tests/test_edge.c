/* SPDX-License-Identifier: ISC */
/*
 * test_edge.c - a sender whose relay is behind HTTP
 *
 * Claims: exactly once and in order from many streams into the queue, by
 * requests of which no two under way hold one stream; a peer is up only when
 * a relay said so; whatever else an edge answers is left, with its words, and
 * what was acknowledged before counts; memory is bounded; it ends at any
 * instant.  A real queue, receiver and HTTP server; the server sometimes
 * answers as edges do.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/cert.h"
#include "forward/message.h"
#include "hop/edge.h"
#include "hop/wire.h"
#include "hop_rig.h"
#include "http/inpost.h"
#include "loop/bridge.h"
#include "loop/serve.h"
#include "loop/tls.h"

#define MS	UINT64_C(1000000)

static struct rig rig;
static struct inpost *inpost;
static struct inpost_conf iconf;
static struct sender *sender;
static struct op tick;

static void
ticked(struct op *op)
{
}

/* ---- the server ---- */

static struct {
	int		 status;	/* 0: a relay's; else this one */
	const char	*type, *text;
	unsigned	 hellos;	/* so many are a relay's, then that */
	unsigned	 fails;		/* if any, only so many are that */
	const char	*retry_after;
	bool		 keep;		/* no answer until let_go() */
	unsigned long	 limit;		/* of a body; 0: none */
	unsigned	 packed;	/* bodies that came so */
	unsigned	 requests;
	uint64_t	 last_ns;	/* when the last one came */
} script;

static struct serve_req *kept[64];
static unsigned kept_n, kept_most;

static void
say(struct serve_req *req)
{
	struct serve_header h = { "Retry-After", script.retry_after };

	serve_answer(req, script.status, script.type, bytes_of(script.text,
	    strlen(script.text)), &h, script.retry_after != NULL);
}

static void
on_req(void *arg, struct serve_req *req)
{
	if (inpost == NULL) {
		serve_answer(req, 503, NULL, BYTES(""), NULL, 0);
		return;
	}
	script.requests++;
	script.last_ns = loop_now(rig.loop);
	script.packed += req_header(req, "Content-Encoding") != NULL;
	if (script.limit > 0 && strtoul(req_header(req, "Content-Length"),
	    NULL, 10) > script.limit) {
		script.status = 413;
		say(req);
		script.status = 0;
	} else if (script.hellos > 0) {
		script.hellos--;
		inpost_request(inpost, req);
	} else if (script.keep) {
		ck_assert_uint_lt(kept_n, 64);
		kept[kept_n++] = req;
		kept_most = kept_n > kept_most ? kept_n : kept_most;
	} else if (script.status != 0) {
		say(req);
		if (script.fails > 0 && --script.fails == 0)
			script.status = 0;
	} else {
		inpost_request(inpost, req);
	}
}

static void
let_go(void)
{
	while (kept_n > 0)
		inpost_request(inpost, kept[--kept_n]);
}

static void
on_flag(void *arg)
{
	*(bool *)arg = true;
}

static void
await(const bool *flag)
{
	while (!*flag)
		loop_turn(rig.loop, true);
}

static void
start(void)
{
	const struct serve_conf sc = { .handler = on_req };

	memset(&script, 0, sizeof(script));
	script.text = "";
	kept_n = kept_most = 0;
	rig_init(&rig);
	rig.env.log_fd = -1;
	op_init(&tick, ticked, NULL);
	ck_assert_int_eq(serve_new(&rig.serve, &rig.env, &sc), 0);
	rig_start(&rig);
	iconf.receiver = rig.receiver;
	ck_assert_int_eq(inpost_new(&inpost, &rig.env, &iconf), 0);
}

static void
close_sender(void)
{
	bool done = false;

	if (sender == NULL)
		return;
	sender_close(sender, on_flag, &done);
	await(&done);
	sender_free(&sender);
}

static void
finish(void)
{
	bool done = false;

	close_sender();
	script.keep = false;
	let_go();
	loop_cancel(rig.loop, &tick);
	while (!op_idle(&tick))
		loop_turn(rig.loop, true);
	inpost_close(inpost, on_flag, &done);
	await(&done);
	done = false;
	serve_close(rig.serve, on_flag, &done);
	await(&done);
	inpost_free(&inpost);
	serve_free(&rig.serve);
	rig_fini(&rig);
	iconf = (struct inpost_conf){ .receiver = NULL };
}

/* ---- the sender ---- */

static unsigned ups, downs;
static char why[EDGE_WHY];
static char peer_text[600];

static void
went_up(void *arg)
{
	ups += sender_is_up(sender);
}

static void
went_down(void *arg, int res)
{
	downs++;
	snprintf(why, sizeof(why), "%s", sender_words(sender));
}

static void
connect_by(const char *url, const struct edge_conf *ec)
{
	struct sender_conf sc = { .peers = url, .agent_id = "test",
	    .edge = ec, .up = went_up, .down = went_down };

	ups = downs = 0;
	why[0] = '\0';
	ck_assert_int_eq(sender_new(&sender, &rig.out, &sc), 0);
	sender_start(sender);
}

static void
connect_edge(const char *path)
{
	snprintf(peer_text, sizeof(peer_text), "http://%s%s", rig.addr, path);
	connect_by(peer_text, NULL);
}

static void
await_up(void)
{
	while (!sender_is_up(sender))
		loop_turn(rig.loop, true);
}

/* Up, and its own hello behind the edge's is answered. */
static void
await_quiet(void)
{
	uint64_t until;

	await_up();
	while (script.requests < 2 || rig_ctr(&rig, CTR_recv_acks) > 0 ||
	    serve_pending(rig.serve) > 0)
		loop_turn(rig.loop, true);
	until = loop_now(rig.loop) + 50 * MS;
	while (loop_now(rig.loop) < until) {
		if (op_idle(&tick))
			loop_timer(rig.loop, &tick, until);
		loop_turn(rig.loop, true);
	}
}

static uint64_t
out_ctr(enum ctr id)
{
	return ctr_get(&rig.out.ctr, id);
}

/* ---- streams ---- */

#define LANES	6

struct feed {			/* one lane, sent piece by piece */
	struct lane	 lane;
	struct hop_chunk hc[16];	/* under way, in order */
	bool		 busy[16];
	unsigned	 at, under;
	size_t		 sent, acked;	/* records */
	size_t		 first[16];
	unsigned	 wrong;
};

static struct feed feed[LANES];
static size_t piece;

static void
piece_done(struct hop_chunk *hc, int res)
{
	struct feed *f = hc->arg;
	unsigned i = (unsigned)(hc - f->hc);

	f->busy[i] = false;
	f->under--;
	if (res == 0) {
		f->wrong += f->first[i] != f->acked;
		f->acked = f->first[i] + hc->chunk.records;
	} else if (f->first[i] < f->sent) {
		f->sent = f->first[i];	/* again from here */
	}
}

static bool
feed_more(struct feed *f)
{
	size_t n = f->lane.records - f->sent;
	unsigned i = f->at % 16;
	struct hop_chunk *hc = &f->hc[i];

	if (n == 0 || f->busy[i])
		return false;
	n = n < piece ? n : piece;
	*hc = (struct hop_chunk){ .done = piece_done, .arg = f };
	hc->chunk = lane_chunk(&f->lane, f->sent, n);
	if (sender_send(sender, hc) < 0)
		return false;
	f->first[i] = f->sent;
	f->sent += n;
	f->busy[i] = true;
	f->under++;
	f->at++;
	return true;
}

static bool
all_acked(unsigned lanes)
{
	unsigned i;

	for (i = 0; i < lanes; i++)
		if (feed[i].acked < feed[i].lane.records)
			return false;
	return true;
}

static void
feeds_init(unsigned lanes, size_t records, size_t pad, size_t each)
{
	unsigned i;

	piece = each;
	for (i = 0; i < lanes; i++) {
		memset(&feed[i], 0, sizeof(feed[i]));
		lane_init(&feed[i].lane, &rig, records, pad);
	}
}

/* One piece of each in turn; comes back soon also when nothing happens. */
static void
feeds_turn(unsigned lanes)
{
	bool more = sender_is_up(sender);
	unsigned i;

	while (more)
		for (more = false, i = 0; i < lanes; i++)
			more |= feed_more(&feed[i]);
	if (op_idle(&tick))
		loop_timer(rig.loop, &tick, loop_now(rig.loop) + 5 * MS);
	loop_turn(rig.loop, true);
}

static void
feeds_fini(unsigned lanes)
{
	while (lanes > 0)
		lane_fini(&feed[--lanes].lane);
}

/* Every lane is in the queue once, each in order. */
static void
expect_lanes(unsigned lanes)
{
	uint64_t at[LANES] = { 0 };
	struct chunk c;
	unsigned i;

	while (queue_held_frames(rig.queue) > 0) {
		c = rig_take(&rig);
		for (i = 0; i < lanes && memcmp(c.stream, feed[i].lane.stream,
		    STREAM_ID_LEN) != 0; i++)
			continue;
		ck_assert_uint_lt(i, lanes);
		ck_assert_uint_eq(c.from, at[i]);
		ck_assert_mem_eq(c.body[0].p, feed[i].lane.mem + at[i],
		    c.body[0].n);
		at[i] = c.to;
	}
	for (i = 0; i < lanes; i++) {
		ck_assert_uint_eq(at[i], feed[i].lane.len);
		ck_assert_uint_eq(feed[i].wrong, 0);
	}
}

START_TEST(many_streams_arrive_once_and_in_order)
{
	start();
	connect_edge(_i == 0 ? "" : "/v1/forward");
	feeds_init(LANES, 2000, 400, 37);
	while (!all_acked(LANES))
		feeds_turn(LANES);
	expect_lanes(LANES);
	ck_assert_uint_eq(ups > 0, 1);
	ck_assert_uint_eq(downs, 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_posts_failed), 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_bad_acks), 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_acked_chunks),
	    out_ctr(CTR_hop_sent_chunks));
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_dup_records), 0);
	/* what waits goes together */
	ck_assert_uint_lt(out_ctr(CTR_hop_posts),
	    out_ctr(CTR_hop_sent_chunks));
	feeds_fini(LANES);
	finish();
}
END_TEST

/* The streams of a body. */
static unsigned
streams_of(struct bytes b, uint8_t ret[EDGE_STREAMS][STREAM_ID_LEN])
{
	struct message_scan scan;
	struct message m;
	struct wire w;
	unsigned n = 0, i;
	size_t at;

	for (at = 0; at < b.n; at += m.bytes) {
		message_scan_init(&scan, EDGE_MESSAGE_MAX);
		ck_assert_int_eq(message_scan(&scan, bytes_of(b.p + at,
		    b.n - at), &m), 0);
		ck_assert_int_eq(wire_read(m.emplog, &w), 0);
		for (i = 0; i < n; i++)
			if (memcmp(ret[i], w.stream, STREAM_ID_LEN) == 0)
				break;
		if (i == n)
			memcpy(ret[n++], w.stream, STREAM_ID_LEN);
	}
	return n;
}

/* One request more than before. */
static void
await_kept(unsigned n)
{
	while (kept_n < n)
		loop_turn(rig.loop, true);
}

START_TEST(no_two_requests_under_way_hold_one_stream)
{
	uint8_t a[EDGE_STREAMS][STREAM_ID_LEN], b[EDGE_STREAMS][STREAM_ID_LEN];
	unsigned i, j, na, nb, x, y;
	uint64_t until;

	start();
	connect_edge("");
	await_quiet();
	script.keep = true;
	feeds_init(LANES, 300, 400, 10);
	for (i = 0; i < EDGE_LETTERS; i++) {
		ck_assert(feed_more(&feed[i]));
		await_kept(i + 1);
	}
	until = loop_now(rig.loop) + 300 * MS;
	while (loop_now(rig.loop) < until)
		feeds_turn(LANES);
	ck_assert_uint_eq(kept_n, EDGE_LETTERS);
	inpost_request(inpost, kept[--kept_n]);	/* not the first one */
	until = loop_now(rig.loop) + 300 * MS;
	while (loop_now(rig.loop) < until)
		feeds_turn(LANES);
	ck_assert_uint_le(kept_n, EDGE_LETTERS);
	for (i = 0; i < kept_n; i++) {
		na = streams_of(req_body(kept[i]), a);
		for (j = 0; j < i; j++) {
			nb = streams_of(req_body(kept[j]), b);
			for (x = 0; x < na; x++)
				for (y = 0; y < nb; y++)
					ck_assert_mem_ne(a[x], b[y],
					    STREAM_ID_LEN);
		}
	}
	script.keep = false;
	let_go();		/* the last one first */
	while (!all_acked(LANES))
		feeds_turn(LANES);
	expect_lanes(LANES);
	feeds_fini(LANES);
	finish();
}
END_TEST

START_TEST(memory_is_bounded_by_the_letters)
{
	uint64_t until, most = (EDGE_LETTERS + 1) * EDGE_BODY + (1u << 20);

	start();
	connect_edge("");
	await_quiet();
	script.keep = true;
	feeds_init(LANES, 3000, 2000, 500);
	until = loop_now(rig.loop) + 500 * MS;
	while (loop_now(rig.loop) < until)
		feeds_turn(LANES);
	ck_assert_uint_le(kept_most, EDGE_LETTERS);
	/* what left the sender is in bodies, or in the kernel */
	ck_assert_uint_lt(out_ctr(CTR_hop_sent_bytes), most);
	ck_assert_uint_gt(out_ctr(CTR_hop_inflight_bytes), most);
	script.keep = false;
	let_go();
	while (!all_acked(LANES))
		feeds_turn(LANES);
	expect_lanes(LANES);
	feeds_fini(LANES);
	finish();
}
END_TEST

/* ---- what edges answer ---- */

static const struct {
	int status;
	const char *type, *text;
	int res;
	const char *words;
} answers[] = {
	{ 301, "text/html", "moved", EPROTO, "301: a redirect" },
	{ 400, "text/plain", "bad\nbody", EPROTO, "400: no answer of a relay"
	    ": bad body" },
	{ 401, "text/plain", "key!", EACCES, "401: our shared key is not" },
	{ 403, NULL, "", EACCES, "403: we are not let in" },
	{ 404, "text/html", "<h1>no</h1>", EPROTO, "404: no relay there" },
	{ 405, NULL, "", EPROTO, "405: no relay there" },
	{ 407, NULL, "", EACCES, "407: a proxy wants" },
	{ 413, NULL, "", EMSGSIZE, "413: what we send is larger" },
	{ 429, NULL, "", EBUSY, "429: later" },
	{ 500, "text/plain", "\x1b[31mred", EPROTO, ":  [31mred" },
	{ 502, NULL, "", EHOSTUNREACH, "502: the edge does not reach" },
	{ 503, "text/plain", "queue full", EBUSY, "503: later: queue full" },
	{ 504, NULL, "", ETIMEDOUT, "504: the relay does not answer" },
	{ 200, "text/html", "<html>", EPROTO, "no acknowledgement but "
	    "text/html" },
	{ 200, NULL, "", EPROTO, "no acknowledgement but of no type" },
	{ 200, "application/msgpack", "{}", EPROTO, "no acknowledgement" },
	{ 204, NULL, "", EPROTO, "204" },
};
#define ANSWERS (int)(sizeof(answers) / sizeof(answers[0]))

static void
set_answer(int i)
{
	script.status = answers[i].status;
	script.type = answers[i].type;
	script.text = answers[i].text;
}

START_TEST(who_is_no_relay_is_never_up)
{
	start();
	set_answer(_i);
	connect_edge("");
	while (script.requests < 2)
		loop_turn(rig.loop, true);
	ck_assert_uint_eq(ups, 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_up), 0);
	ck_assert_uint_ge(out_ctr(CTR_hop_failures), 1);
	ck_assert_uint_ge(out_ctr(CTR_hop_posts_failed), 1);
	ck_assert_int_eq(sender_why(sender), -answers[_i].res);
	script.status = 0;
	await_up();
	finish();
}
END_TEST

START_TEST(whatever_it_answers_later_it_is_left_and_nothing_is_lost)
{
	start();
	connect_edge("");
	await_up();
	set_answer(_i);
	feeds_init(2, 200, 100, 20);
	while (downs == 0)
		feeds_turn(2);
	ck_assert_msg(strstr(why, answers[_i].words) != NULL, "%s", why);
	script.status = 0;
	while (!all_acked(2))
		feeds_turn(2);
	expect_lanes(2);
	ck_assert_uint_ge(out_ctr(CTR_hop_resent_chunks), 1);
	feeds_fini(2);
	finish();
}
END_TEST

START_TEST(what_passes_is_asked_again_and_is_no_end)
{
	start();
	connect_edge("");
	await_quiet();
	script.status = _i == 0 ? 502 : 504;
	script.fails = EDGE_TRIES - 1;
	feeds_init(2, 200, 100, 20);
	while (!all_acked(2))
		feeds_turn(2);
	expect_lanes(2);
	ck_assert_uint_eq(downs, 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_posts_failed), EDGE_TRIES - 1);
	ck_assert_uint_eq(out_ctr(CTR_hop_resent_chunks), 0);
	feeds_fini(2);
	finish();
}
END_TEST

START_TEST(a_limit_below_ours_is_met)
{
	start();
	script.limit = 100000;
	connect_edge("");
	feeds_init(LANES, 1000, 1000, 300);
	while (downs == 0)
		feeds_turn(LANES);
	ck_assert_ptr_nonnull(strstr(why, "413: what we send is larger than "
	    "it takes; smaller and packed from now on"));
	while (!all_acked(LANES))
		feeds_turn(LANES);
	expect_lanes(LANES);
	ck_assert_uint_ge(script.packed, 1);
	ck_assert_uint_le(downs, 4);	/* no more than were under way */
	feeds_fini(LANES);
	finish();
}
END_TEST

START_TEST(retry_after_is_waited_for)
{
	uint64_t asked;

	start();
	script.status = 503;
	script.retry_after = "1";
	connect_edge("");
	while (script.requests < 1)
		loop_turn(rig.loop, true);
	asked = script.last_ns;
	while (script.requests < 2)
		loop_turn(rig.loop, true);
	ck_assert_uint_ge(script.last_ns - asked, 950 * MS);
	ck_assert_uint_lt(script.last_ns - asked, 5000 * MS);
	finish();
}
END_TEST

START_TEST(the_next_peer_is_taken_at_once)
{
	uint64_t begun;

	start();
	script.status = 503;
	script.retry_after = "5";
	snprintf(peer_text, sizeof(peer_text), "http://%s/v1/forward,%s",
	    rig.addr, rig.addr);
	begun = loop_now(rig.loop);
	connect_by(peer_text, NULL);
	await_up();
	ck_assert_uint_lt(loop_now(rig.loop) - begun, 1000 * MS);
	ck_assert_str_eq(sender_peer(sender), rig.addr);
	feeds_init(2, 200, 100, 20);
	while (!all_acked(2))
		feeds_turn(2);
	expect_lanes(2);
	feeds_fini(2);
	finish();
}
END_TEST

/* A relay that took one of two messages. */
static void
answer_one(struct serve_req *req)
{
	struct bytes b = req_body(req);
	struct message_scan scan;
	struct message m;
	uint8_t ack[WIRE_ACK_MAX];

	message_scan_init(&scan, EDGE_MESSAGE_MAX);
	ck_assert_int_eq(message_scan(&scan, b, &m), 0);
	serve_answer(req, 200, "application/msgpack", bytes_of(ack,
	    wire_ack(ack, m.chunk, true, 10)), NULL, 0);
}

START_TEST(what_was_acknowledged_counts_and_the_rest_comes_again)
{
	start();
	connect_edge("");
	await_quiet();
	script.keep = true;
	feeds_init(1, 40, 100, 10);	/* four pieces */
	feed_more(&feed[0]);
	await_kept(1);
	while (feed_more(&feed[0]))
		continue;
	inpost_request(inpost, kept[--kept_n]);
	await_kept(1);
	answer_one(kept[--kept_n]);	/* of three */
	while (downs == 0)
		loop_turn(rig.loop, true);
	ck_assert_uint_eq(feed[0].acked, 20);
	ck_assert_str_eq(why, "1 of 3 messages were acknowledged");
	finish();
	feeds_fini(1);
}
END_TEST

START_TEST(others_under_way_come_home_before_it_is_left)
{
	start();
	connect_edge("");
	await_quiet();
	script.keep = true;
	feeds_init(2, 10, 100, 10);
	while (kept_n < 2)
		feeds_turn(2);
	script.status = 500;
	say(kept[0]);
	kept[0] = kept[1];
	kept_n = 1;
	while (out_ctr(CTR_hop_posts_failed) == 0)
		loop_turn(rig.loop, true);
	let_go();
	while (downs == 0)
		loop_turn(rig.loop, true);
	ck_assert_uint_eq(feed[0].acked + feed[1].acked, 10);
	script.status = 0;
	script.keep = false;
	while (!all_acked(2))
		feeds_turn(2);
	expect_lanes(2);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_dup_records), 0);
	finish();
	feeds_fini(2);
}
END_TEST

START_TEST(one_that_never_comes_home_is_left_behind)
{
	uint64_t begun;

	start();
	connect_edge("");
	await_quiet();
	script.keep = true;
	feeds_init(2, 10, 100, 10);
	while (kept_n < 2)
		feeds_turn(2);
	script.status = 500;
	begun = loop_now(rig.loop);
	say(kept[0]);
	kept[0] = kept[1];
	kept_n = 1;
	while (downs == 0)
		loop_turn(rig.loop, true);
	ck_assert_uint_ge(loop_now(rig.loop) - begun,
	    (EDGE_GRACE_MS - 50) * MS);
	ck_assert_uint_lt(loop_now(rig.loop) - begun, 5000 * MS);
	finish();
	feeds_fini(2);
}
END_TEST

static unsigned allocations, fail_at;

static void *
failing_alloc(void *arg, size_t n)
{
	return ++allocations == fail_at ? NULL : calloc(1, n);
}

/* _i: below 8 the agent's nth allocation fails, from 8 on the relay's. */
START_TEST(without_memory_it_begins_again_and_loses_nothing)
{
	start();
	(_i < 8 ? &rig.out : &rig.env)->alloc = failing_alloc;
	connect_edge("");
	allocations = 0;
	fail_at = (unsigned)(_i < 8 ? _i : _i - 8) + 1;
	feeds_init(2, 300, 1000, 50);
	while (!all_acked(2))
		feeds_turn(2);
	ck_assert_uint_ge(allocations, fail_at);
	fail_at = 0;
	expect_lanes(2);
	finish();
	feeds_fini(2);
}
END_TEST

START_TEST(it_is_closed_at_any_instant)
{
	unsigned turns, i;

	for (turns = 0; turns < 60; turns++) {
		start();
		script.keep = turns % 3 == 1;
		script.status = turns % 7 == 3 ? 502 : 0;
		script.hellos = 1;
		connect_edge("");
		feeds_init(2, 500, 1000, 30);
		for (i = 0; i < turns; i++)
			feeds_turn(2);
		close_sender();
		ck_assert_uint_eq(feed[0].under + feed[1].under, 0);
		finish();
		feeds_fini(2);
	}
}
END_TEST

START_TEST(a_relay_that_is_away_is_found_again)
{
	bool done = false;

	start();
	connect_edge("");
	feeds_init(2, 3000, 300, 20);
	while (feed[0].acked < 300)
		feeds_turn(2);
	/* as when its process ends: HTTP first, then the receiver */
	inpost_close(inpost, on_flag, &done);
	await(&done);
	inpost_free(&inpost);
	rig_restart(&rig);
	iconf.receiver = rig.receiver;
	ck_assert_int_eq(inpost_new(&inpost, &rig.env, &iconf), 0);
	while (!all_acked(2))
		feeds_turn(2);
	expect_lanes(2);
	feeds_fini(2);
	finish();
}
END_TEST

START_TEST(urls_are_checked)
{
	static const char *const bad[] = { "https://", "https:///x",
	    "https://h:/x", "https://h:1x", "https://u@h", "https://h?q",
	    "https://[::1", "https://h#f", "ftp://h", "https://a b" };
	struct edge_conf ec = { .agent_id = "a" };
	struct edge *e;
	unsigned i;

	start();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ec.url = bad[i];
		ck_assert_msg(edge_new(&e, &rig.out, &ec) == -EINVAL, "%s",
		    bad[i]);
	}
	ec.url = "https://[::1]:8443/a/b";
	ck_assert_int_eq(edge_new(&e, &rig.out, &ec), 0);
	edge_free(&e);
	ec.url = "tls://x:1";
	ck_assert_int_eq(edge_new(&e, &rig.out, &ec), -EINVAL);
	finish();
}
END_TEST

static void
add_all(TCase *tc)
{
	tcase_add_loop_test(tc, many_streams_arrive_once_and_in_order, 0, 2);
	tcase_add_test(tc, no_two_requests_under_way_hold_one_stream);
	tcase_add_test(tc, memory_is_bounded_by_the_letters);
	tcase_add_loop_test(tc, who_is_no_relay_is_never_up, 0, ANSWERS);
	tcase_add_loop_test(tc,
	    whatever_it_answers_later_it_is_left_and_nothing_is_lost, 0,
	    ANSWERS);
	tcase_add_loop_test(tc, what_passes_is_asked_again_and_is_no_end,
	    0, 2);
	tcase_add_test(tc, a_limit_below_ours_is_met);
	tcase_add_test(tc, retry_after_is_waited_for);
	tcase_add_test(tc, the_next_peer_is_taken_at_once);
	tcase_add_test(tc,
	    what_was_acknowledged_counts_and_the_rest_comes_again);
	tcase_add_test(tc, others_under_way_come_home_before_it_is_left);
	tcase_add_test(tc, one_that_never_comes_home_is_left_behind);
	tcase_add_loop_test(tc,
	    without_memory_it_begins_again_and_loses_nothing, 0, 20);
	tcase_add_test(tc, it_is_closed_at_any_instant);
	tcase_add_test(tc, a_relay_that_is_away_is_found_again);
	tcase_add_test(tc, urls_are_checked);
}

int
main(void)
{
	Suite *s = suite_create("edge");
	TCase *tc = tcase_create("edge");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	add_all(tc);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
