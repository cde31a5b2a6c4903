/* SPDX-License-Identifier: ISC */
/*
 * test_hop.c - sender and receiver together, over connections that break
 *
 * Claims: exactly once from a stream into the queue, in order, whatever
 * connections do and however chunks are cut after it, also when the receiver
 * and its queue end and come back; each chunk completes exactly once; memory
 * that vanishes costs its own chunk only; silence, refusal and lies of a peer
 * end in another attempt.  A real loop, a real queue; a proxy that cuts at
 * random instants (the seed is printed; RIG_SEED repeats it).
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hop/wire.h"
#include "hop_rig.h"

static struct rig rig;

/* ---- a proxy that cuts ---- */

struct half {
	struct cut	*cut;
	struct op	 recv, send;
	int		 from, to;
	struct iovec	 iov;
	uint8_t		 buf[16384];
};

struct cut {			/* one connection at a time */
	struct op	 accept, connect, close;
	int		 listener;
	int		 fd[2];
	struct half	 half[2];
	uint64_t	 left;		/* bytes until the cut */
	uint64_t	 most;		/* of a connection */
	unsigned	 cuts, cuts_max;
	bool		 up, ending, done;
	char		 addr[LOOP_ADDR_TEXT];
	struct loop_addr to;
};

static struct cut cut;

static void	 cut_step(void);

static void
half_sent(struct op *op)
{
	struct half *h = op->arg;

	if (op->res > 0) {
		h->iov.iov_base = (uint8_t *)h->iov.iov_base + op->res;
		h->iov.iov_len -= (size_t)op->res;
	}
	if (op->res <= 0)
		cut.ending = true;
	else if (h->iov.iov_len > 0 && !cut.ending)
		loop_send(rig.loop, &h->send, h->to, &h->iov, 1);
	cut_step();
}

static void
half_got(struct op *op)
{
	struct half *h = op->arg;
	uint64_t n = op->res > 0 ? (uint64_t)op->res : 0;

	if (n == 0 || cut.ending) {
		cut.ending = true;
	} else {
		/* of the last bytes some are lost on the way */
		if (n < cut.left) {
			cut.left -= n;
		} else {
			n = rig_random(&rig, cut.left + 1);
			cut.left = 0;
		}
		if (n > 0) {
			h->iov = (struct iovec){ h->buf, n };
			loop_send(rig.loop, &h->send, h->to, &h->iov, 1);
		}
	}
	cut_step();
}

static void
cut_connected(struct op *op)
{
	if (op->res < 0) {
		cut.ending = true;
	} else {
		cut.fd[1] = (int)op->res;
		cut.half[0].from = cut.half[1].to = cut.fd[0];
		cut.half[0].to = cut.half[1].from = cut.fd[1];
		cut.up = true;
	}
	cut_step();
}

static void
cut_accepted(struct op *op)
{
	if (op->res < 0)
		return;
	cut.fd[0] = (int)op->res;
	cut.fd[1] = -1;
	cut.ending = cut.up = false;
	cut.left = cut.cuts < cut.cuts_max ?
	    rig_random(&rig, cut.most) : UINT64_MAX;
	loop_connect(rig.loop, &cut.connect, &cut.to);
}

static void
cut_closed(struct op *op)
{
	cut_step();
}

/* Reads where nothing is under way; closes when a cut is due. */
static void
cut_step(void)
{
	struct half *h;
	size_t i;

	if (!op_idle(&cut.connect) || !op_idle(&cut.close))
		return;
	if (cut.up && cut.left == 0)
		cut.ending = true;
	for (i = 0; i < 2; i++) {
		h = &cut.half[i];
		if (cut.ending && !op_idle(&h->recv))
			loop_cancel(rig.loop, &h->recv);
		if (cut.ending && !op_idle(&h->send))
			loop_cancel(rig.loop, &h->send);
		if (!cut.ending && cut.up && op_idle(&h->recv) &&
		    op_idle(&h->send))
			loop_recv(rig.loop, &h->recv, h->from, h->buf,
			    1 + rig_random(&rig, sizeof(h->buf)));
	}
	if (!cut.ending || !op_idle(&cut.half[0].recv) ||
	    !op_idle(&cut.half[0].send) || !op_idle(&cut.half[1].recv) ||
	    !op_idle(&cut.half[1].send))
		return;
	for (i = 0; i < 2; i++) {
		if (cut.fd[i] < 0)
			continue;
		loop_close(rig.loop, &cut.close, cut.fd[i]);
		cut.fd[i] = -1;
		return;
	}
	cut.up = cut.ending = false;
	cut.cuts++;
	if (cut.done)
		return;
	loop_accept(rig.loop, &cut.accept, cut.listener);
}

static void
cut_start(uint64_t most, unsigned cuts)
{
	struct loop_addr bound;
	size_t i;

	cut = (struct cut){ .most = most, .cuts_max = cuts, .fd = { -1, -1 } };
	cut.to = *port_bound(rig.port);
	op_init(&cut.accept, cut_accepted, NULL);
	op_init(&cut.connect, cut_connected, NULL);
	op_init(&cut.close, cut_closed, NULL);
	for (i = 0; i < 2; i++) {
		op_init(&cut.half[i].recv, half_got, &cut.half[i]);
		op_init(&cut.half[i].send, half_sent, &cut.half[i]);
	}
	cut.listener = loop_listen(rig.loop, "127.0.0.1:0", &bound);
	ck_assert_int_ge(cut.listener, 0);
	loop_addr_text(&bound, cut.addr);
	loop_accept(rig.loop, &cut.accept, cut.listener);
}

static bool
cut_is_idle(struct rig *r, void *arg)
{
	return op_idle(&cut.accept) && op_idle(&cut.connect) &&
	    op_idle(&cut.close) && op_idle(&cut.half[0].recv) &&
	    op_idle(&cut.half[0].send) && op_idle(&cut.half[1].recv) &&
	    op_idle(&cut.half[1].send);
}

static void
cut_end(void)
{
	cut.done = true;
	if (!op_idle(&cut.accept)) {
		loop_cancel(rig.loop, &cut.accept);
	} else {
		cut.ending = true;
		cut_step();
	}
	rig_until(&rig, cut_is_idle, NULL);
	loop_close(rig.loop, &cut.close, cut.listener);
	rig_until(&rig, cut_is_idle, NULL);
}

/* ---- a drain: a lane's bytes to a sender, from its tail ---- */

#define FLIGHT	32

struct drain {
	struct sender	*sender;
	struct lane	 lane;
	size_t		 tail, next;	/* records acknowledged, handed over */
	size_t		 chunk_max;	/* records of a chunk */
	struct hop_chunk hc[FLIGHT];
	bool		 busy[FLIGHT];
	size_t		 first[FLIGHT], n[FLIGHT];
	unsigned	 ups, downs, lost, cancelled;
	int		 why;
	bool		 closed;
};

static struct drain d;

static void	 push(void);

static void
chunk_done(struct hop_chunk *hc, int res)
{
	size_t i = (size_t)(hc - d.hc);

	ck_assert(d.busy[i]);
	d.busy[i] = false;
	if (res == 0) {
		/* in the order they were sent, each with its count */
		ck_assert_uint_eq(d.first[i], d.tail);
		d.tail += d.n[i];
		ck_assert_uint_eq(hc->chunk.records, d.n[i]);
	} else if (res == -ECONNRESET) {
		ck_assert(!sender_is_up(d.sender));
		d.lost++;
	} else {
		ck_assert_int_eq(res, -ECANCELED);
		d.cancelled++;
	}
}

static bool
push_one(size_t i)
{
	size_t n = 1 + rig_random(&rig, d.chunk_max);
	int r;

	if (n > d.lane.records - d.next)
		n = d.lane.records - d.next;
	d.hc[i] = (struct hop_chunk){ .done = chunk_done,
	    .chunk = lane_chunk(&d.lane, d.next, n) };
	r = sender_send(d.sender, &d.hc[i]);
	if (r < 0) {
		ck_assert(r == -EAGAIN || r == -ENOTCONN);
		return false;
	}
	d.busy[i] = true;
	d.first[i] = d.next;
	d.n[i] = n;
	d.next += n;
	return true;
}

static void
push(void)
{
	size_t i;

	for (i = 0; i < FLIGHT && d.next < d.lane.records; i++)
		if (!d.busy[i] && !push_one(i))
			return;
}

static void
up(void *arg)
{
	d.ups++;
	push();
}

static void
down(void *arg, int why)
{
	size_t i;

	for (i = 0; i < FLIGHT; i++)
		ck_assert(!d.busy[i]);
	d.downs++;
	d.why = why;
	d.next = d.tail;	/* and cut anew, at other places */
}

static void
drain_start(const char *peers, size_t records, size_t pad, size_t chunk_max)
{
	struct sender_conf conf = { .peers = peers, .agent_id = "test",
	    .up = up, .down = down };

	d = (struct drain){ .chunk_max = chunk_max };
	lane_init(&d.lane, &rig, records, pad);
	ck_assert_int_eq(sender_new(&d.sender, &rig.out, &conf), 0);
	sender_start(d.sender);
}

static void
sender_closed(void *arg)
{
	size_t i;

	for (i = 0; i < FLIGHT; i++)
		ck_assert(!d.busy[i]);
	d.closed = true;
}

static bool
is_closed(struct rig *r, void *arg)
{
	return d.closed;
}

static void
drain_end(void)
{
	sender_close(d.sender, sender_closed, NULL);
	ck_assert(!d.closed);	/* never from inside the call */
	rig_until(&rig, is_closed, NULL);
	sender_free(&d.sender);
	ck_assert_ptr_null(d.sender);
	lane_fini(&d.lane);
}

static bool
acked(struct rig *r, void *arg)
{
	push();
	return d.tail == d.lane.records;
}

static void
setup(void)
{
	rig_init(&rig);
	rig_start(&rig);
}

static void
teardown(void)
{
	rig_fini(&rig);
}

static uint64_t
out_ctr(enum ctr id)
{
	return ctr_get(&rig.out.ctr, id);
}

/* ---- claims ---- */

START_TEST(each_record_arrives_once_and_in_order)
{
	drain_start(rig.addr, 3000, 400, 20);
	rig_until(&rig, acked, NULL);
	ck_assert_uint_eq(d.ups > 0, 1);
	ck_assert_uint_eq(d.downs, 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_acked_bytes), d.lane.len);
	ck_assert_uint_eq(out_ctr(CTR_hop_sent_bytes), d.lane.len);
	ck_assert_uint_eq(out_ctr(CTR_hop_inflight_bytes), 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_bad_acks), 0);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_records), 3000);
	rig_expect_lane(&rig, &d.lane);
	drain_end();
}
END_TEST

START_TEST(each_record_arrives_once_over_cut_connections)
{
	printf("seed %#llx\n", (unsigned long long)rig.random);
	fflush(stdout);
	/* connections live for many chunks, for a few, or not for one */
	cut_start(_i % 2 == 0 ? 60000 : 10000, _i % 2 == 0 ? 12 : 5);
	drain_start(cut.addr, 1000, 600, 12);
	rig_until(&rig, acked, NULL);
	ck_assert_uint_gt(d.downs, 0);
	rig_expect_lane(&rig, &d.lane);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_records), 1000);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_quarantined_bytes), 0);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_bad), 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_sent_bytes),
	    out_ctr(CTR_hop_acked_bytes) + out_ctr(CTR_hop_resent_bytes));
	drain_end();
	cut_end();
}
END_TEST

static bool
half_acked(struct rig *r, void *arg)
{
	push();
	return d.tail >= d.lane.records / 2;
}

START_TEST(each_record_arrives_once_over_a_restart_of_the_receiver)
{
	drain_start(rig.addr, 2000, 400, 5);
	rig_until(&rig, half_acked, NULL);
	rig_restart(&rig);
	rig_until(&rig, acked, NULL);
	ck_assert_uint_gt(d.downs, 0);
	rig_expect_lane(&rig, &d.lane);
	drain_end();
}
END_TEST

START_TEST(chunks_of_a_mebibyte_pass)
{
	drain_start(rig.addr, 200, 65000, 30);
	rig_until(&rig, acked, NULL);
	rig_expect_lane(&rig, &d.lane);
	drain_end();
}
END_TEST

/* ---- memory that vanishes ---- */

static unsigned gone_done;

static void
gone_chunk_done(struct hop_chunk *hc, int res)
{
	ck_assert_int_eq(res, 0);
	gone_done++;
}

static bool
is_up(struct rig *r, void *arg)
{
	return sender_is_up(d.sender);
}

static bool
both_done(struct rig *r, void *arg)
{
	return gone_done == 2;
}

START_TEST(a_chunk_whose_memory_vanished_is_filled_and_others_are_whole)
{
	static struct hop_chunk hc[2];
	uint8_t *mem;
	size_t whole, len, page = 4096, kept = 3 * page;
	struct chunk c;

	gone_done = 0;
	drain_start(rig.addr, 400, 200, 20);
	d.next = d.lane.records;	/* nothing by itself */
	rig_until(&rig, is_up, NULL);
	len = d.lane.end[199];
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(mem != MAP_FAILED);
	memcpy(mem, d.lane.mem, len);
	munmap(mem + kept, len - kept);
	hc[0] = (struct hop_chunk){ .done = gone_chunk_done,
	    .chunk = lane_chunk(&d.lane, 0, 200) };
	hc[0].chunk.body[0] = bytes_of(mem, len);
	hc[0].chunk.body[1].n = 0;
	hc[1] = (struct hop_chunk){ .done = gone_chunk_done,
	    .chunk = lane_chunk(&d.lane, 200, 200) };
	ck_assert_int_eq(sender_send(d.sender, &hc[0]), 0);
	ck_assert_int_eq(sender_send(d.sender, &hc[1]), 0);
	rig_until(&rig, both_done, NULL);
	ck_assert_uint_eq(out_ctr(CTR_hop_filled_bytes), len - kept);
	/* what could be read is kept up to its last whole record */
	for (whole = 0; d.lane.end[whole] <= kept; whole++)
		;
	c = rig_take(&rig);
	ck_assert_mem_eq(c.body[0].p, d.lane.mem, c.body[0].n);
	ck_assert_uint_eq(c.to, d.lane.end[whole - 1]);
	ck_assert_uint_eq(c.records, whole);
	c = rig_take(&rig);
	ck_assert_uint_eq(c.flags & CHUNK_BROKEN, CHUNK_BROKEN);
	ck_assert_uint_eq(c.to, len);
	c = rig_take(&rig);
	ck_assert_uint_eq(c.from, len);
	ck_assert_uint_eq(c.records, 200);
	munmap(mem, kept);
	drain_end();
}
END_TEST

/* ---- peers that are not as they should be ---- */

static void
nothing_by_itself(const char *peers, uint32_t ack_timeout_ms)
{
	struct sender_conf conf = { .peers = peers, .agent_id = "test",
	    .up = up, .down = down, .ack_timeout_ms = ack_timeout_ms };

	d = (struct drain){ .chunk_max = 2 };
	lane_init(&d.lane, &rig, 4, 100);
	ck_assert_int_eq(sender_new(&d.sender, &rig.out, &conf), 0);
	sender_start(d.sender);
}

static bool
went_down(struct rig *r, void *arg)
{
	return d.downs > 0;
}

START_TEST(a_peer_that_does_not_answer_is_left)
{
	struct loop_addr bound;
	char addr[LOOP_ADDR_TEXT];
	struct op close_op;
	int fd = loop_listen(rig.loop, "127.0.0.1:0", &bound);

	/* the kernel accepts and takes bytes; nobody reads them */
	loop_addr_text(&bound, addr);
	nothing_by_itself(addr, 50);
	rig_until(&rig, went_down, NULL);
	ck_assert_int_eq(d.why, -ETIMEDOUT);
	ck_assert_uint_gt(d.lost, 0);
	ck_assert_int_eq(sender_why(d.sender), -ETIMEDOUT);
	drain_end();
	op_init(&close_op, cut_closed, NULL);
	cut = (struct cut){ 0 };
	loop_close(rig.loop, &close_op, fd);
	while (!op_idle(&close_op))
		loop_turn(rig.loop, true);
}
END_TEST

START_TEST(peers_are_tried_in_order)
{
	char peers[3 * LOOP_ADDR_TEXT];

	/* port 1 of loopback refuses at once */
	snprintf(peers, sizeof(peers), "127.0.0.1:1, [::1]:1,%s", rig.addr);
	drain_start(peers, 10, 100, 2);
	rig_until(&rig, acked, NULL);
	ck_assert_str_eq(sender_peer(d.sender), rig.addr);
	ck_assert_uint_eq(out_ctr(CTR_hop_failures), 2);
	ck_assert_uint_eq(out_ctr(CTR_hop_connects), 1);
	rig_expect_lane(&rig, &d.lane);
	drain_end();
}
END_TEST

START_TEST(peers_that_are_none_are_refused)
{
	static const char *const bad[] = { "", " ", "nohost", "a:1,b", ":1" };
	struct sender_conf conf = { .agent_id = "x", .up = up, .down = down };
	struct sender *s = NULL;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		conf.peers = bad[i];
		ck_assert_int_eq(sender_new(&s, &rig.out, &conf), -EINVAL);
		ck_assert_ptr_null(s);
	}
}
END_TEST

/* ---- a peer of our own making: answers by hand ---- */

static int hand;		/* its side of the connection */

static void
hand_accepted(struct op *op)
{
	hand = (int)op->res;
}

static void
with_answer(struct bytes answer, bool ends)
{
	struct loop_addr bound;
	char addr[LOOP_ADDR_TEXT];
	struct op accept, close_op;
	int fd = loop_listen(rig.loop, "127.0.0.1:0", &bound);

	hand = -1;
	loop_addr_text(&bound, addr);
	op_init(&accept, hand_accepted, NULL);
	op_init(&close_op, cut_closed, NULL);
	loop_accept(rig.loop, &accept, fd);
	nothing_by_itself(addr, 0);
	while (hand < 0 || out_ctr(CTR_hop_sent_chunks) == 0)
		loop_turn(rig.loop, true);
	ck_assert_int_eq((int)send(hand, answer.p, answer.n, 0),
	    (int)answer.n);
	while (out_ctr(CTR_hop_bad_acks) == 0)
		loop_turn(rig.loop, true);
	if (ends)
		rig_until(&rig, went_down, NULL);
	ck_assert_uint_eq(d.downs, ends);
	ck_assert_uint_eq(d.tail, 0);
	ck_assert_uint_eq(out_ctr(CTR_hop_acked_chunks), 0);
	drain_end();
	close(hand);
	cut = (struct cut){ 0 };
	loop_close(rig.loop, &close_op, fd);
	while (!op_idle(&close_op))
		loop_turn(rig.loop, true);
}

START_TEST(an_answer_to_nothing_is_counted_and_passed_over)
{
	with_answer(BYTES("\x81\xa3" "ack\xb8" "AAAAAAAAAAAAAAAAAAAAAA=="),
	    false);
}
END_TEST

START_TEST(an_answer_that_is_none_ends_the_connection)
{
	with_answer(BYTES("\x81\xa3" "nak\x01"), true);
}
END_TEST

START_TEST(an_answer_without_end_ends_the_connection)
{
	static uint8_t buf[4096] = "\x81\xa3" "ack\xc6\x00\x00\x20\x00";

	with_answer(bytes_of(buf, sizeof(buf)), true);
}
END_TEST

/* ---- what a caller may do ---- */

START_TEST(a_chunk_that_cannot_be_is_refused)
{
	static struct hop_chunk hc;

	nothing_by_itself(rig.addr, 0);
	d.next = d.lane.records;
	hc = (struct hop_chunk){ .done = chunk_done,
	    .chunk = lane_chunk(&d.lane, 0, 2) };
	ck_assert_int_eq(sender_send(d.sender, &hc), -ENOTCONN);
	ck_assert_uint_eq(sender_room(d.sender), 0);
	rig_until(&rig, is_up, NULL);
	ck_assert_uint_eq(sender_room(d.sender), 32 << 20);
	hc.chunk.to++;
	ck_assert_int_eq(sender_send(d.sender, &hc), -EINVAL);
	hc.chunk.to--;
	hc.chunk.identity.n = IDENTITY_MAX + 1;
	ck_assert_int_eq(sender_send(d.sender, &hc), -EINVAL);
	hc.chunk = lane_chunk(&d.lane, 0, 2);
	memset(hc.chunk.stream, 0, STREAM_ID_LEN);
	ck_assert_int_eq(sender_send(d.sender, &hc), -EINVAL);
	drain_end();
}
END_TEST

START_TEST(room_is_what_is_not_under_way)
{
	struct sender_conf conf = { .peers = rig.addr, .agent_id = "test",
	    .inflight_max = 1000, .up = up, .down = down };

	d = (struct drain){ .chunk_max = 3 };
	lane_init(&d.lane, &rig, 300, 900);
	ck_assert_int_eq(sender_new(&d.sender, &rig.out, &conf), 0);
	sender_start(d.sender);
	/* a chunk larger than all the room goes alone */
	rig_until(&rig, acked, NULL);
	rig_expect_lane(&rig, &d.lane);
	drain_end();
}
END_TEST

START_TEST(closing_gives_every_chunk_back)
{
	drain_start(rig.addr, 3000, 4000, 20);
	rig_until(&rig, is_up, NULL);
	push();
	drain_end();
	ck_assert_uint_gt(d.cancelled, 0);
}
END_TEST

START_TEST(closing_while_away_ends_too)
{
	drain_start("127.0.0.1:1", 1, 100, 1);
	while (out_ctr(CTR_hop_failures) < 1)
		loop_turn(rig.loop, true);
	drain_end();
	drain_start("127.0.0.1:1", 1, 100, 1);
	drain_end();		/* in the middle of resolving */
}
END_TEST

START_TEST(an_idle_sender_says_hello_and_stays)
{
	nothing_by_itself(rig.addr, 0);
	d.next = d.lane.records;
	rig_until_ctr(&rig, CTR_recv_messages, 1);
	ck_assert_uint_eq(receiver_open_count(rig.receiver), 1);
	sender_end_stream(d.sender, d.lane.stream);
	rig_until_ctr(&rig, CTR_recv_messages, 2);
	ck_assert_uint_eq(d.downs, 0);
	drain_end();
}
END_TEST

static void
up_and_end(void *arg)
{
	sender_end_stream(d.sender, d.lane.stream);
}

START_TEST(a_stream_may_end_the_moment_the_sender_is_up)
{
	struct sender_conf conf = { .peers = rig.addr, .agent_id = "test",
	    .up = up_and_end, .down = down };

	d = (struct drain){ .chunk_max = 2 };
	lane_init(&d.lane, &rig, 1, 100);
	ck_assert_int_eq(sender_new(&d.sender, &rig.out, &conf), 0);
	sender_start(d.sender);
	rig_until_ctr(&rig, CTR_recv_messages, 1);
	ck_assert_uint_eq(receiver_open_count(rig.receiver), 1);
	drain_end();
}
END_TEST

static void
add_all(TCase *t)
{
	tcase_add_test(t, each_record_arrives_once_and_in_order);
	tcase_add_test(t,
	    each_record_arrives_once_over_a_restart_of_the_receiver);
	tcase_add_test(t, chunks_of_a_mebibyte_pass);
	tcase_add_test(t,
	    a_chunk_whose_memory_vanished_is_filled_and_others_are_whole);
	tcase_add_test(t, a_peer_that_does_not_answer_is_left);
	tcase_add_test(t, peers_are_tried_in_order);
	tcase_add_test(t, peers_that_are_none_are_refused);
	tcase_add_test(t, an_answer_to_nothing_is_counted_and_passed_over);
	tcase_add_test(t, an_answer_that_is_none_ends_the_connection);
	tcase_add_test(t, an_answer_without_end_ends_the_connection);
	tcase_add_test(t, a_chunk_that_cannot_be_is_refused);
	tcase_add_test(t, room_is_what_is_not_under_way);
	tcase_add_test(t, closing_gives_every_chunk_back);
	tcase_add_test(t, closing_while_away_ends_too);
	tcase_add_test(t, an_idle_sender_says_hello_and_stays);
	tcase_add_test(t, a_stream_may_end_the_moment_the_sender_is_up);
}

int
main(void)
{
	Suite *s = suite_create("hop");
	TCase *t = tcase_create("hop"), *cuts = tcase_create("cuts");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	add_all(t);
	tcase_add_checked_fixture(cuts, setup, teardown);
	tcase_set_timeout(cuts, 60);
	tcase_add_loop_test(cuts,
	    each_record_arrives_once_over_cut_connections, 0, 6);
	suite_add_tcase(s, t);
	suite_add_tcase(s, cuts);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
