/* SPDX-License-Identifier: ISC */
/*
 * test_inpost.c - Forward messages as the bodies of requests
 *
 * Claims: what a body acknowledges is in the queue; the same body again is a
 * duplicate and acknowledged; what is no message, too large, without the key
 * or comes while the queue is full or the relay ends is answered in words and
 * leaves nothing behind.  A real queue, receiver and HTTP server behind a
 * port; a raw client.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hop/wire.h"
#include "hop_rig.h"
#include "http/door.h"
#include "http/inpost.h"
#include "loop/serve.h"

static struct rig rig;
static struct inpost *inpost;
static struct inpost_conf iconf;
static const char *key;
static struct lane lane;
static bool small_queue;

static void
on_req(void *arg, struct serve_req *req)
{
	ck_assert(inpost_owns(req));
	if (door_opens(key, req))
		inpost_request(inpost, req);
	else
		door_refuse(&rig.env, req);
}

static void
start(void)
{
	const struct serve_conf sc = { .handler = on_req };

	rig_init(&rig);
	rig.env.log_fd = -1;
	if (small_queue)
		rig.qconf.bytes_max = 8 << 20;
	ck_assert_int_eq(serve_new(&rig.serve, &rig.env, &sc), 0);
	rig_start(&rig);
	iconf.receiver = rig.receiver;
	ck_assert_int_eq(inpost_new(&inpost, &rig.env, &iconf), 0);
	lane_init(&lane, &rig, 100, 200);
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
stop_http(void)
{
	bool done = false;

	inpost_close(inpost, on_flag, &done);
	await(&done);
	done = false;
	serve_close(rig.serve, on_flag, &done);
	await(&done);
	inpost_free(&inpost);
	serve_free(&rig.serve);
}

static void
finish(void)
{
	if (inpost != NULL)
		stop_http();
	lane_fini(&lane);
	rig_fini(&rig);
	iconf = (struct inpost_conf){ .receiver = NULL };
	key = NULL;
	small_queue = false;
}

/* ---- bodies and answers ---- */

static uint8_t body[4 << 20];
static size_t body_n;

static void
add(const void *p, size_t n)
{
	ck_assert_uint_le(body_n + n, sizeof(body));
	memcpy(body + body_n, p, n);
	body_n += n;
}

/* A message of records [first, first + n) of the lane. */
static void
add_chunk(size_t first, size_t n)
{
	struct chunk c = lane_chunk(&lane, first, n);
	uint8_t id[WIRE_ID_LEN], head[WIRE_HEAD_MAX], tail[WIRE_TAIL_MAX];

	wire_id(&c, id);
	add(head, wire_head(head, "test", chunk_body_len(&c)));
	add(c.body[0].p, c.body[0].n);
	add(c.body[1].p, c.body[1].n);
	add(tail, wire_tail(tail, &c, id, WIRE_ALL));
}

static char answer[65536];
static size_t answer_n;

static int
ask(const char *method, const char *headers)
{
	char head[512], *end;
	int fd = rig_client(&rig);
	ssize_t n;
	int len;

	len = snprintf(head, sizeof(head), "%s " INPOST_PATH " HTTP/1.1\r\n"
	    "Host: h\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
	    method, headers, body_n);
	rig_send(&rig, fd, bytes_of(head, (size_t)len));
	rig_send(&rig, fd, bytes_of(body, body_n));
	for (answer_n = 0;;) {
		n = recv(fd, answer + answer_n, sizeof(answer) - 1 - answer_n,
		    MSG_DONTWAIT);
		if (n < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			loop_turn(rig.loop, true);
			continue;
		}
		if (n == 0)
			break;
		answer_n += (size_t)n;
	}
	close(fd);
	body_n = 0;
	answer[answer_n] = '\0';
	end = strstr(answer, "\r\n\r\n");
	ck_assert_ptr_nonnull(end);
	return (int)strtol(answer + strlen("HTTP/1.1 "), NULL, 10);
}

static unsigned
acks(void)
{
	char *at = strstr(answer, "\r\n\r\n") + 4;
	struct mp m = { (uint8_t *)at, (uint8_t *)answer + answer_n };
	uint64_t records;
	struct bytes id;
	unsigned n = 0;

	for (; m.p < m.end; n++)
		ck_assert_int_eq(wire_read_ack(&m, &id, &records), 0);
	return n;
}

START_TEST(what_is_acknowledged_is_in_the_queue)
{
	start();
	add_chunk(0, 30);
	add_chunk(30, 50);
	add_chunk(80, 20);
	ck_assert_int_eq(ask("POST", ""), 200);
	ck_assert_ptr_nonnull(strstr(answer, "application/msgpack"));
	ck_assert_uint_eq(acks(), 3);
	ck_assert_uint_eq(queue_held_records(rig.queue), 100);
	rig_expect_lane(&rig, &lane);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_posts), 1);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_posts_refused), 0);
	finish();
}
END_TEST

START_TEST(the_same_body_again_is_acknowledged_and_counted_twice)
{
	start();
	add_chunk(0, 100);
	ck_assert_int_eq(ask("POST", ""), 200);
	add_chunk(0, 60);	/* cut otherwise than before */
	add_chunk(60, 40);
	ck_assert_int_eq(ask("POST", ""), 200);
	ck_assert_uint_eq(acks(), 2);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_dup_records), 100);
	rig_expect_lane(&rig, &lane);
	finish();
}
END_TEST

START_TEST(who_asks_for_nothing_gets_an_empty_answer)
{
	uint8_t hello[WIRE_CONTROL_MAX];

	start();
	add(hello, wire_control(hello, "test", NULL));
	ck_assert_int_eq(ask("POST", ""), 200);
	ck_assert_uint_eq(acks(), 0);
	finish();
}
END_TEST

START_TEST(a_foreign_chunk_is_echoed)
{
	static const char m[] = "\x93\xa3" "tag\xc4\x10\x92\xd7\x00"
	    "\x65\x00\x00\x00\x00\x00\x00\x01\x81\xa1" "a\xa1" "b"
	    "\x81\xa5" "chunk\xa3" "abc";

	start();
	add(m, sizeof(m) - 1);
	ck_assert_int_eq(ask("POST", ""), 200);
	ck_assert_mem_eq(strstr(answer, "\r\n\r\n") + 4,
	    "\x81\xa3" "ack\xa3" "abc", 9);
	ck_assert_uint_eq(rig_take(&rig).records, 1);
	finish();
}
END_TEST

START_TEST(what_is_no_message_is_refused_and_leaves_nothing)
{
	start();
	ck_assert_int_eq(ask("POST", ""), 400);		/* nothing */
	add("{\"a\":1}", 7);
	ck_assert_int_eq(ask("POST", ""), 400);
	add_chunk(0, 10);
	body_n--;					/* cut off */
	ck_assert_int_eq(ask("POST", ""), 400);
	add_chunk(0, 10);
	add("\x00", 1);
	ck_assert_int_eq(ask("POST", ""), 400);
	ck_assert_ptr_nonnull(strstr(answer, "Forward messages"));
	ck_assert_int_eq(ask("GET", ""), 405);
	ck_assert_ptr_nonnull(strstr(answer, "Allow: POST"));
	add_chunk(0, 10);
	ck_assert_int_eq(ask("PUT", ""), 405);
	rig_expect_empty(&rig);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_posts_refused), 6);
	finish();
}
END_TEST

START_TEST(a_message_over_the_limit_is_too_large)
{
	iconf.message_max = 4096;
	start();
	add_chunk(0, 100);
	ck_assert_int_eq(ask("POST", ""), 413);
	rig_expect_empty(&rig);
	finish();
}
END_TEST

START_TEST(without_the_key_nothing_is_taken)
{
	static const char *const wrong[] = { "", "Authorization: Bearer \r\n",
	    "Authorization: Bearer geheim\r\n",
	    "Authorization: Bearer geheim12\r\n",
	    "Authorization: Bearer geheim1geheim1\r\n",
	    "Authorization: Basic geheim1\r\n",
	    "Authorization: geheim1\r\n" };
	unsigned i, n = sizeof(wrong) / sizeof(wrong[0]);

	key = "geheim1";
	start();
	for (i = 0; i < n; i++) {
		add_chunk(0, 100);
		ck_assert_int_eq(ask("POST", wrong[i]), 401);
		ck_assert_ptr_null(strstr(answer, "geheim"));
	}
	rig_expect_empty(&rig);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_key_refused), n);
	add_chunk(0, 100);
	ck_assert_int_eq(ask("POST", "authorization: bearer geheim1\r\n"),
	    200);
	rig_expect_lane(&rig, &lane);
	finish();
}
END_TEST

/* ---- no room ---- */

#define LANES	64

static struct lane fill[LANES];
static unsigned fills;

static void
add_lane(struct lane *l)
{
	struct lane kept = lane;

	lane = *l;
	add_chunk(0, l->records);
	lane = kept;
}

/* Lane after lane until one is not taken: that one is fill[fills - 1]. */
static void
fill_queue(void)
{
	int status = 200;

	for (fills = 0; status == 200 && fills < LANES; fills++) {
		lane_init(&fill[fills], &rig, 500, 2000);
		add_lane(&fill[fills]);
		status = ask("POST", "");
		if (status == 200)
			ck_assert_uint_eq(acks(), 1);
	}
	ck_assert_int_eq(status, 503);
}

static void
forget_lanes(void)
{
	while (fills > 0)
		lane_fini(&fill[--fills]);
}

START_TEST(a_full_queue_is_503_in_time_and_nothing_is_lost)
{
	uint64_t records = 0;

	iconf.wait_ms = 300;
	small_queue = true;
	start();
	fill_queue();
	ck_assert_ptr_nonnull(strstr(answer, "Retry-After: 1"));
	ck_assert_ptr_nonnull(strstr(answer, "queue is full"));
	while (records < (uint64_t)(fills - 1) * 500)
		records += rig_take(&rig).records;
	add_lane(&fill[fills - 1]);
	ck_assert_int_eq(ask("POST", ""), 200);
	while (records < (uint64_t)fills * 500)
		records += rig_take(&rig).records;
	rig_expect_empty(&rig);
	ck_assert_uint_eq(records, (uint64_t)fills * 500);
	forget_lanes();
	finish();
}
END_TEST

START_TEST(who_waits_at_the_end_is_answered)
{
	static const char head[] = "POST " INPOST_PATH " HTTP/1.1\r\n"
	    "Host: h\r\nContent-Length: %zu\r\n\r\n";
	char text[256];
	ssize_t n;
	int fd, len;

	iconf.wait_ms = 500;
	small_queue = true;
	start();
	fill_queue();
	fd = rig_client(&rig);
	add_lane(&fill[fills - 1]);
	len = snprintf(text, sizeof(text), head, body_n);
	rig_send(&rig, fd, bytes_of(text, (size_t)len));
	rig_send(&rig, fd, bytes_of(body, body_n));
	rig_until_ctr(&rig, CTR_recv_posts, fills + 1);
	stop_http();
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert(strncmp(text, "HTTP/1.1 503", 12) == 0);
	close(fd);
	forget_lanes();
	finish();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("inpost");
	TCase *tc = tcase_create("inpost");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, what_is_acknowledged_is_in_the_queue);
	tcase_add_test(tc,
	    the_same_body_again_is_acknowledged_and_counted_twice);
	tcase_add_test(tc, who_asks_for_nothing_gets_an_empty_answer);
	tcase_add_test(tc, a_foreign_chunk_is_echoed);
	tcase_add_test(tc, what_is_no_message_is_refused_and_leaves_nothing);
	tcase_add_test(tc, a_message_over_the_limit_is_too_large);
	tcase_add_test(tc, without_the_key_nothing_is_taken);
	tcase_add_test(tc, a_full_queue_is_503_in_time_and_nothing_is_lost);
	tcase_add_test(tc, who_waits_at_the_end_is_answered);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
