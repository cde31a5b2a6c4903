/* SPDX-License-Identifier: ISC */
/*
 * test_receiver.c - the receiving end of a hop, as foreign senders meet it
 *
 * Claims: ids are echoed byte for byte, after the bytes are durable and not
 * before; a repetition is answered and not stored; what is no record is kept
 * and answered; what is no message ends the connection, and only that one;
 * limits hold.  A real loop, a real queue, sockets on loopback.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <libdeflate.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "forward/mp.h"
#include "forward/walk.h"
#include "hop/wire.h"
#include "hop_rig.h"
#include "queue/streams.h"

#define TIME	"\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x05"
#define RECORD	"\x81\xa3" "msg\xa2" "hi"
#define ENTRY	"\x92" TIME RECORD
#define ID	"\xb9" "q83vEjRWeJASNFZ4kBI0Vg==\n"
#define CHUNK	"\xa5" "chunk" ID
#define ACK	"\x81\xa3" "ack" ID
/* as Fluentd sends it */
#define PACKED(tag)	"\x93\xa3" tag "\xdb\x00\x00\x00\x13" ENTRY \
	"\x83\xa4" "size\x01\xaa" "compressed\xa4" "text" CHUNK
#define MESSAGE	PACKED("a.b")

static struct rig rig;

static void
setup(void)
{
	rig_init(&rig);
}

static void
teardown(void)
{
	rig_fini(&rig);
}

static void
stored(struct bytes body)
{
	struct chunk c = rig_take(&rig);

	ck_assert(bytes_eq(c.body[0], body));
	ck_assert_uint_eq(c.flags & CHUNK_BROKEN, 0);
}

START_TEST(an_id_is_echoed_byte_for_byte_when_durable)
{
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES(MESSAGE));
	while (rig_ctr(&rig, CTR_queue_put_frames) == 0) {
		rig_expect_nothing(fd);
		loop_turn(rig.loop, true);
	}
	rig_expect(&rig, fd, BYTES(ACK));
	rig_expect_nothing(fd);
	stored(BYTES(ENTRY));
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_records), 1);
	close(fd);
}
END_TEST

START_TEST(a_binary_id_keeps_its_type_and_width)
{
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("\x93\xa1" "t\x91" ENTRY
	    "\x81\xa5" "chunk\xc6\x00\x00\x00\x02\x00\xff"));
	rig_expect(&rig, fd,
	    BYTES("\x81\xa3" "ack\xc6\x00\x00\x00\x02\x00\xff"));
	stored(BYTES(ENTRY));
	close(fd);
}
END_TEST

START_TEST(byte_by_byte_it_is_the_same)
{
	struct bytes m = BYTES(MESSAGE "\xc0\xc0" PACKED("a.c"));
	size_t i;
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	for (i = 0; i < m.n; i++) {
		rig_send(&rig, fd, bytes_of(m.p + i, 1));
		if (i > 0)
			loop_turn(rig.loop, true);
	}
	rig_expect(&rig, fd, BYTES(ACK ACK));
	stored(BYTES(ENTRY));
	stored(BYTES(ENTRY));
	close(fd);
}
END_TEST

START_TEST(a_repetition_is_answered_and_not_stored)
{
	int fd, again;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES(MESSAGE MESSAGE));
	while (rig_ctr(&rig, CTR_queue_put_frames) == 0) {
		rig_expect_nothing(fd);
		loop_turn(rig.loop, true);
	}
	rig_expect(&rig, fd, BYTES(ACK ACK));
	again = rig_client(&rig);
	rig_send(&rig, again, BYTES(MESSAGE));
	rig_expect(&rig, again, BYTES(ACK));
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_dup_records), 2);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_records), 1);
	stored(BYTES(ENTRY));
	rig_expect_empty(&rig);
	/* the same id and content under another tag is another chunk */
	rig_send(&rig, again, BYTES(PACKED("a.x")));
	rig_expect(&rig, again, BYTES(ACK));
	stored(BYTES(ENTRY));
	close(fd);
	close(again);
}
END_TEST

START_TEST(without_an_id_there_is_no_answer_and_all_is_stored)
{
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("\x92\xa1" "t\x91" ENTRY));
	rig_send(&rig, fd, BYTES("\x92\xa1" "t\x91" ENTRY));
	rig_send(&rig, fd, BYTES("\x94\xa1" "t" TIME RECORD "\xc0"));
	stored(BYTES(ENTRY));
	stored(BYTES(ENTRY));
	stored(BYTES(ENTRY));
	rig_expect_nothing(fd);
	close(fd);
}
END_TEST

START_TEST(the_tag_is_kept_as_identity)
{
	struct chunk c;
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES(MESSAGE));
	c = rig_take(&rig);
	ck_assert(bytes_eq(c.identity, BYTES("\x81\xa3" "tag\xa3" "a.b")));
	ck_assert_uint_eq(c.flags & CHUNK_FOREIGN, CHUNK_FOREIGN);
	ck_assert_uint_eq(c.records, 1);
	close(fd);
}
END_TEST

START_TEST(a_half_closed_sender_still_gets_its_answer)
{
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES(MESSAGE));
	shutdown(fd, SHUT_WR);
	rig_expect(&rig, fd, BYTES(ACK));
	rig_expect_end(&rig, fd);
	stored(BYTES(ENTRY));
	close(fd);
}
END_TEST

/* ---- what is not good ---- */

START_TEST(garbage_ends_its_connection_and_no_other)
{
	int fd, good;

	rig_start(&rig);
	good = rig_client(&rig);
	rig_send(&rig, good, bytes_of(MESSAGE, 9));
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("\x93\x05\x05\x05"));
	rig_expect_end(&rig, fd);
	close(fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_bad), 1);
	rig_send(&rig, good, bytes_of(&MESSAGE[9], sizeof(MESSAGE) - 10));
	rig_expect(&rig, good, BYTES(ACK));
	stored(BYTES(ENTRY));
	close(good);
}
END_TEST

START_TEST(who_shows_a_shared_key_is_refused_with_words)
{
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("\x96\xa4" "PING\xa1" "h\xa1" "s\xa1" "d"
	    "\xa0\xa0"));
	rig_expect(&rig, fd, BYTES("\x95\xa4" "PONG\xc2\xd9\x29"
	    "this port has no shared key: leave it out" "\xa0\xa0"));
	rig_expect_end(&rig, fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_bad), 1);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_acks), 0);
	close(fd);
}
END_TEST

START_TEST(what_was_good_before_garbage_is_answered)
{
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES(MESSAGE "\xc1"));
	rig_expect(&rig, fd, BYTES(ACK));
	rig_expect_end(&rig, fd);
	stored(BYTES(ENTRY));
	close(fd);
}
END_TEST

/* A PackedForward message of n payload bytes in all, whole entries. */
static struct bytes
large(size_t n)
{
	uint8_t *p = malloc(n + 64);
	struct mpw w = { p, p + n + 64, false };

	mpw_raw(&w, BYTES("\x93\xa1" "t"));
	mpw_bin_head(&w, (uint32_t)n);
	while (n >= 1024 + 32) {
		mpw_raw(&w, BYTES("\x92" TIME "\x81\xa1" "k\xc5\x03\xec"));
		memset(w.p, 'x', 1004);
		w.p += 1004;
		n -= 1021;
	}
	/* 11 + 3 + header of 3 and what is left */
	mpw_raw(&w, BYTES("\x92" TIME "\x81\xa1" "k\xc5"));
	mpw_raw(&w, bytes_of((uint8_t[]){ (uint8_t)((n - 17) >> 8),
	    (uint8_t)(n - 17) }, 2));
	memset(w.p, 'x', n - 17);
	w.p += n - 17;
	mpw_raw(&w, BYTES("\x81" CHUNK));
	ck_assert(!w.full);
	return bytes_of(p, (size_t)(w.p - p));
}

static uint8_t *
own(struct bytes b)
{
	union { const uint8_t *in; uint8_t *out; } u = { .in = b.p };

	return u.out;
}

static void
release(struct bytes b)
{
	free(own(b));
}

START_TEST(a_message_over_the_limit_is_refused)
{
	struct bytes m;
	int fd, above;
	size_t n;

	/* 3 and 3 bytes before the payload, 32 behind it */
	n = 65535 - 6 - 33;
	for (above = -1; above <= 1; above++) {
		m = large(n + (size_t)(above + 1));
		if (above == -1)
			rig.rconf.message_max = m.n + 1;
		if (above == -1)
			rig_start(&rig);
		ck_assert_uint_eq(m.n, rig.rconf.message_max + (size_t)above);
		fd = rig_client(&rig);
		rig_send(&rig, fd, m);
		if (above <= 0)
			rig_expect(&rig, fd, BYTES(ACK));
		else
			rig_expect_end(&rig, fd);
		close(fd);
		release(m);
	}
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_too_large), 1);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_acks), 2);
}
END_TEST

START_TEST(a_large_message_becomes_chunks_of_whole_records)
{
	struct bytes m = large(5 << 20);
	uint64_t records = 0;
	size_t bytes = 0;
	struct chunk c;
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, m);
	while (bytes < 5 << 20) {
		c = rig_take(&rig);
		ck_assert_uint_le(c.body[0].n, CHUNK_BYTES_MAX + 1021);
		ck_assert_uint_eq(c.from, bytes);
		bytes += c.body[0].n;
		records += c.records;
	}
	rig_expect(&rig, fd, BYTES(ACK));
	ck_assert_uint_eq(records, rig_ctr(&rig, CTR_recv_records));
	ck_assert_uint_eq(records, (5 << 20) / 1021 + 1);
	close(fd);
	release(m);
}
END_TEST

START_TEST(many_large_messages_do_not_block_each_other)
{
	struct bytes m = large(3 << 20);
	int fd[12];
	size_t i;

	/* room for one, and a little */
	rig.rconf.message_max = 4 << 20;
	rig.rconf.input_max = (8 << 20) + 65536;
	rig_start(&rig);
	for (i = 0; i < 12; i++) {
		fd[i] = rig_client(&rig);
		rig_send(&rig, fd[i], bytes_of(m.p, 100000 + 1000 * i));
	}
	for (i = 0; i < 12; i++)
		rig_send(&rig, fd[i], bytes_of(m.p + 100000 + 1000 * i,
		    m.n - 100000 - 1000 * i));
	for (i = 0; i < 12; i++) {
		rig_expect(&rig, fd[i], BYTES(ACK));
		close(fd[i]);
	}
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_acks), 12);
	release(m);
}
END_TEST

START_TEST(what_is_no_record_is_kept_and_answered)
{
	static const char bad[] = ENTRY "\xc1\xc1\xc1";
	struct chunk c;
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("\x93\xa3" "a.b\xc4\x16" ENTRY "\xc1\xc1\xc1"
	    "\x81" CHUNK));
	rig_expect(&rig, fd, BYTES(ACK));
	stored(bytes_of(bad, sizeof(bad) - 4));
	c = rig_take(&rig);
	ck_assert_uint_eq(c.flags & CHUNK_BROKEN, CHUNK_BROKEN);
	ck_assert(bytes_eq(c.body[0], BYTES("\xc1\xc1\xc1")));
	ck_assert_uint_eq(c.from, 19);
	ck_assert_uint_eq(c.to, 22);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_quarantined_bytes), 3);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_quarantined_chunks), 1);
	close(fd);
}
END_TEST

/* The one file of a directory, its size; 0: not exactly one. */
static size_t
only_file(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;
	size_t n = 0, size = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		ck_assert_int_eq(fstatat(dirfd(d), e->d_name, &st, 0), 0);
		ck_assert_ptr_nonnull(strstr(e->d_name, ".no-records"));
		size = (size_t)st.st_size;
		n++;
	}
	closedir(d);
	return n == 1 ? size : 0;
}

START_TEST(quarantine_is_a_file_where_a_directory_is_given)
{
	static const char m[] = "\x93\xa3" "a.b\xc4\x16" ENTRY "\xc1\xc1\xc1"
	    "\x81" CHUNK;
	int fd;

	rig.rconf.quarantine_dir = rig.bad;
	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, bytes_of(m, sizeof(m) - 1));
	rig_expect(&rig, fd, BYTES(ACK));
	stored(BYTES(ENTRY));
	ck_assert_uint_eq(only_file(rig.bad), 3);
	/* its range counts as taken */
	rig_send(&rig, fd, bytes_of(m, sizeof(m) - 1));
	rig_expect(&rig, fd, BYTES(ACK));
	rig_expect_empty(&rig);
	ck_assert_uint_eq(only_file(rig.bad), 3);
	close(fd);
}
END_TEST

START_TEST(quarantine_goes_to_the_queue_when_its_directory_fails)
{
	struct chunk c;
	int fd;

	rig.rconf.quarantine_dir = "/proc/none";
	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("\x93\xa1" "t\xc4\x01\xc1\x81" CHUNK));
	rig_expect(&rig, fd, BYTES(ACK));
	c = rig_take(&rig);
	ck_assert_uint_eq(c.flags & CHUNK_BROKEN, CHUNK_BROKEN);
	close(fd);
}
END_TEST

/* ---- payloads and signals ---- */

START_TEST(compressed_payloads_are_stored_in_plain)
{
	struct libdeflate_compressor *z = libdeflate_alloc_compressor(6);
	uint8_t buf[512], gz[256];
	struct mpw w = { buf, buf + sizeof(buf), false };
	size_t n;
	int fd;

	n = libdeflate_gzip_compress(z, ENTRY ENTRY, 38, gz, sizeof(gz));
	n += libdeflate_gzip_compress(z, ENTRY, 19, gz + n, sizeof(gz) - n);
	libdeflate_free_compressor(z);
	mpw_raw(&w, BYTES("\x93\xa1" "t"));
	mpw_bin(&w, bytes_of(gz, n));
	mpw_raw(&w, BYTES("\x82" CHUNK "\xaa" "compressed\xa4" "gzip"));
	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, bytes_of(buf, (size_t)(w.p - buf)));
	rig_expect(&rig, fd, BYTES(ACK));
	stored(BYTES(ENTRY ENTRY ENTRY));
	close(fd);
}
END_TEST

START_TEST(a_bomb_is_kept_as_it_came)
{
	struct libdeflate_compressor *z = libdeflate_alloc_compressor(6);
	size_t n = 8 << 20, cap = 65536;
	uint8_t *zeros = calloc(1, n), *buf = malloc(cap);
	uint8_t *gz = malloc(cap);
	struct mpw w = { buf, buf + cap, false };
	struct chunk c;
	int fd;

	n = libdeflate_gzip_compress(z, zeros, n, gz, cap);
	libdeflate_free_compressor(z);
	mpw_raw(&w, BYTES("\x93\xa1" "t"));
	mpw_bin(&w, bytes_of(gz, n));
	mpw_raw(&w, BYTES("\x82" CHUNK "\xaa" "compressed\xa4" "gzip"));
	ck_assert(!w.full);
	rig.rconf.message_max = 1 << 20;
	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, bytes_of(buf, (size_t)(w.p - buf)));
	rig_expect(&rig, fd, BYTES(ACK));
	c = rig_take(&rig);
	ck_assert_uint_eq(c.flags & CHUNK_BROKEN, CHUNK_BROKEN);
	ck_assert(bytes_eq(c.body[0], bytes_of(gz, n)));
	close(fd);
	free(zeros);
	free(buf);
	free(gz);
}
END_TEST

START_TEST(metrics_are_stored_as_they_are)
{
	struct chunk c;
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("\x93\xa1" "m\xc4\x03\x81\x01\x02"
	    "\x81\xad" "fluent_signal\x01"));
	c = rig_take(&rig);
	ck_assert_uint_eq(c.signal, SIGNAL_METRICS);
	ck_assert_uint_eq(c.records, 1);
	ck_assert(bytes_eq(c.body[0], BYTES("\x81\x01\x02")));
	close(fd);
}
END_TEST

START_TEST(group_marks_are_kept_and_counted)
{
	int fd;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("\x92\xa1" "t\x92"
	    "\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x80" ENTRY));
	stored(BYTES("\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x80"
	    ENTRY));
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_group_marks), 1);
	close(fd);
}
END_TEST

/* ---- ports and limits ---- */

START_TEST(a_port_tells_protocols_by_the_first_byte)
{
	int fd, http, silent;

	rig_start(&rig);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("\x16\x03\x01"));
	rig_expect_end(&rig, fd);
	close(fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_tls), 1);
	fd = rig_client(&rig);
	rig_send(&rig, fd, BYTES("{}"));
	rig_expect_end(&rig, fd);
	close(fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_bad), 1);
	http = rig_client(&rig);
	rig_send(&rig, http, BYTES("GET / HTTP/1.1\r\n"));
	while (rig.http_fd < 0)
		loop_turn(rig.loop, true);
	silent = rig_client(&rig);	/* Fluentd's heartbeat */
	shutdown(silent, SHUT_WR);
	rig_expect_end(&rig, silent);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_bad), 1);
	close(http);
	close(silent);
}
END_TEST

START_TEST(who_falls_silent_in_a_message_is_closed_and_no_other)
{
	int fd, idle;

	rig.rconf.silent_ms = 40;
	rig_start(&rig);
	idle = rig_client(&rig);
	rig_send(&rig, idle, BYTES(MESSAGE));
	rig_expect(&rig, idle, BYTES(ACK));
	fd = rig_client(&rig);
	rig_send(&rig, fd, bytes_of(MESSAGE, sizeof(MESSAGE) - 2));
	rig_expect_end(&rig, fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_silent), 1);
	/* between messages there is all the time in the world */
	rig_send(&rig, idle, BYTES(MESSAGE));
	rig_expect(&rig, idle, BYTES(ACK));
	close(fd);
	close(idle);
}
END_TEST

START_TEST(who_sends_a_byte_now_and_then_is_closed)
{
	struct bytes m = BYTES(MESSAGE);
	uint64_t next = 0;
	uint8_t b;
	size_t i = 0;
	int fd;

	/* each byte well within the limit, all of them far beyond it */
	rig.rconf.silent_ms = 100;
	rig_start(&rig);
	fd = rig_client(&rig);
	while (recv(fd, &b, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
		if (loop_now(rig.loop) >= next && i < m.n) {
			rig_send(&rig, fd, bytes_of(m.p + i++, 1));
			next = loop_now(rig.loop) + 20000000;
		}
		loop_turn(rig.loop, true);
	}
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_silent), 1);
	ck_assert_uint_lt(i, m.n);
	close(fd);
}
END_TEST

START_TEST(who_says_nothing_is_closed_and_is_no_error)
{
	int fd;

	rig.pconf.first_byte_ms = 20;
	rig_start(&rig);
	fd = rig_client(&rig);
	rig_expect_end(&rig, fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_bad), 0);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_refused), 0);
	close(fd);
}
END_TEST

START_TEST(connections_over_the_limit_are_refused)
{
	int fd[3];
	size_t i;

	rig.rconf.connections_max = 2;
	rig_start(&rig);
	for (i = 0; i < 3; i++) {
		fd[i] = rig_client(&rig);
		rig_send(&rig, fd[i], BYTES("\x93"));
		if (i < 2)
			rig_until_ctr(&rig, CTR_recv_connections, i + 1);
	}
	rig_expect_end(&rig, fd[2]);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_refused), 1);
	ck_assert_uint_eq(receiver_open_count(rig.receiver), 2);
	close(fd[0]);
	while (receiver_open_count(rig.receiver) == 2)
		loop_turn(rig.loop, true);
	close(fd[1]);
	close(fd[2]);
}
END_TEST

START_TEST(a_full_queue_stops_the_reading_and_loses_nothing)
{
	struct bytes m = large(1 << 20);
	size_t bytes = 0, sent = 0, want;
	ssize_t n;
	int fd;

	rig.qconf.bytes_max = 8 << 20;
	rig.qconf.segment_bytes = 1 << 20;
	rig_start(&rig);
	fd = rig_client(&rig);
	/* no id: each is new; 24 MiB through a queue of 8 */
	own(m)[0] = 0x92;
	m.n -= sizeof("\x81" CHUNK) - 1;
	want = 24 * m.n;
	while (rig_ctr(&rig, CTR_recv_refused_full) == 0) {
		n = send(fd, m.p + sent % m.n, m.n - sent % m.n,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		loop_turn(rig.loop, n < 0);
		ck_assert_uint_le(sent, want);
	}
	while (bytes < (size_t)24 << 20) {
		bytes += rig_take(&rig).body[0].n;
		while (sent < want && (n = send(fd, m.p + sent % m.n,
		    m.n - sent % m.n, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
			sent += (size_t)n;
	}
	ck_assert_uint_eq(bytes, (size_t)24 << 20);
	close(fd);
	release(m);
}
END_TEST

/* ---- lost, and told ---- */

static void
file_size_limit(rlim_t most)
{
	struct rlimit l;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = most;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &l), 0);
}

START_TEST(what_a_failing_disk_loses_of_who_wants_no_answer_is_counted)
{
	int fd, asks;

	rig_start(&rig);
	fd = rig_client(&rig);
	asks = rig_client(&rig);
	file_size_limit(4096);
	rig_send(&rig, fd, BYTES("\x92\xa1" "t\x92" ENTRY ENTRY));
	rig_expect_end(&rig, fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_lost_records), 2);
	rig_send(&rig, asks, BYTES(MESSAGE));
	while (rig_ctr(&rig, CTR_recv_refused_full) == 0 &&
	    receiver_open_count(rig.receiver) > 0)
		loop_turn(rig.loop, true);
	file_size_limit(RLIM_INFINITY);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_lost_records), 2);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_acks), 0);
	close(fd);
	close(asks);
}
END_TEST

START_TEST(what_the_end_loses_of_who_wants_no_answer_is_counted)
{
	struct bytes m = large(1 << 20);
	struct walk w;
	uint64_t came;
	size_t sent = 0;
	ssize_t n;
	int fd;

	rig.qconf.bytes_max = 8 << 20;
	rig.qconf.segment_bytes = 1 << 20;
	rig_start(&rig);
	fd = rig_client(&rig);
	own(m)[0] = 0x92;
	m.n -= sizeof("\x81" CHUNK) - 1;
	walk_entries(bytes_of(m.p + m.n - (1 << 20), 1 << 20), 1 << 20, &w);
	ck_assert_int_eq(w.error, 0);
	while (rig_ctr(&rig, CTR_recv_refused_full) == 0) {
		n = send(fd, m.p + sent % m.n, m.n - sent % m.n,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		loop_turn(rig.loop, n < 0);
	}
	rig_restart(&rig);
	/* every message but the last was taken as a whole */
	ck_assert_uint_gt(rig_ctr(&rig, CTR_recv_lost_records), 0);
	came = rig_ctr(&rig, CTR_queue_put_records) +
	    rig_ctr(&rig, CTR_recv_lost_records);
	ck_assert_uint_eq(came % w.records, 0);
	close(fd);
	release(m);
}
END_TEST

/* ---- no memory ---- */

static unsigned allocations, fail_at;

static void *
failing_alloc(void *arg, size_t n)
{
	return ++allocations == fail_at ? NULL : calloc(1, n);
}

START_TEST(without_memory_a_connection_ends_and_nothing_is_claimed)
{
	struct bytes m = large(100000);
	uint8_t b[64];
	ssize_t n;
	int fd;

	rig.env.alloc = failing_alloc;
	fail_at = 0;
	rig_start(&rig);
	allocations = 0;
	fail_at = (unsigned)_i;
	fd = rig_client(&rig);
	rig_send(&rig, fd, m);
	while ((n = recv(fd, b, sizeof(b), MSG_DONTWAIT)) < 0 &&
	    errno == EAGAIN)
		loop_turn(rig.loop, true);
	if (n > 0)
		ck_assert_uint_eq(rig_ctr(&rig, CTR_queue_put_records),
		    100000 / 1021 + 1);
	close(fd);
	fail_at = 0;
	/* the next one finds everything in order */
	fd = rig_client(&rig);
	rig_send(&rig, fd, m);
	rig_expect(&rig, fd, BYTES(ACK));
	close(fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_queue_put_records),
	    100000 / 1021 + 1);
	release(m);
}
END_TEST

/* ---- emplogd's own option ---- */

static struct bytes
ours(const struct chunk *c, uint8_t *buf)
{
	uint8_t id[WIRE_ID_LEN];
	size_t n;

	wire_id(c, id);
	n = wire_head(buf, "x", chunk_body_len(c));
	memcpy(buf + n, c->body[0].p, c->body[0].n);
	n += c->body[0].n;
	memcpy(buf + n, c->body[1].p, c->body[1].n);
	n += c->body[1].n;
	n += wire_tail(buf + n, c, id, WIRE_ALL);
	return bytes_of(buf, n);
}

START_TEST(overlapping_ranges_are_cut_and_each_byte_is_taken_once)
{
	/* order of arrival; of ten records */
	static const struct { size_t first, n; } part[] = {
		{ 4, 2 }, { 7, 1 }, { 3, 5 }, { 0, 10 }, { 0, 4 }
	};
	size_t taken_bytes = 0, i;
	uint8_t buf[8192], have[10] = { 0 };
	struct lane l;
	struct chunk c;
	int fd;

	rig_start(&rig);
	lane_init(&l, &rig, 10, 200);
	fd = rig_client(&rig);
	for (i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		c = lane_chunk(&l, part[i].first, part[i].n);
		rig_send(&rig, fd, ours(&c, buf));
	}
	rig_until_ctr(&rig, CTR_recv_acks, 5);
	while (taken_bytes < l.len) {
		c = rig_take(&rig);
		taken_bytes += c.body[0].n;
		ck_assert_mem_eq(c.body[0].p, l.mem + c.from, c.body[0].n);
		for (i = 0; i < 10; i++)
			if (l.end[i] > c.from && l.end[i] <= c.to)
				have[i]++;
	}
	rig_expect_empty(&rig);
	for (i = 0; i < 10; i++)
		ck_assert_uint_eq(have[i], 1);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_records), 10);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_dup_records), 12);
	close(fd);
	lane_fini(&l);
}
END_TEST

/* A chunk taken for another range would make that range's own one a copy. */
START_TEST(a_chunk_whose_id_is_not_of_its_range_is_refused)
{
	uint8_t buf[8192], id[WIRE_ID_LEN];
	struct chunk c, moved;
	struct lane l;
	struct bytes m;
	size_t i, n;
	int fd;

	rig_start(&rig);
	lane_init(&l, &rig, 10, 200);
	c = lane_chunk(&l, 2, 3);
	wire_id(&c, id);
	m = ours(&c, buf);
	n = m.n - wire_tail((uint8_t[WIRE_TAIL_MAX]){ 0 }, &c, id, WIRE_ALL);
	for (i = n; i + sizeof(id) <= m.n; i++)
		if (memcmp(buf + i, id, sizeof(id)) == 0)
			break;
	ck_assert_uint_lt(i + sizeof(id), m.n);
	buf[i + 7] ^= 1;
	fd = rig_client(&rig);
	rig_send(&rig, fd, m);
	rig_expect_end(&rig, fd);
	close(fd);
	moved = c;
	moved.from += 64;
	moved.to += 64;
	m = ours(&moved, buf);
	wire_id(&c, buf + i);
	fd = rig_client(&rig);
	rig_send(&rig, fd, m);
	rig_expect_end(&rig, fd);
	close(fd);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_bad), 2);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_records), 0);
	fd = rig_client(&rig);
	rig_send(&rig, fd, ours(&c, buf));
	rig_until_ctr(&rig, CTR_recv_acks, 1);
	ck_assert_uint_eq(rig_ctr(&rig, CTR_recv_records), 3);
	close(fd);
	lane_fini(&l);
}
END_TEST

/* "taken" is the sender's word: how long a range is known is not. */
START_TEST(a_quarantined_range_is_known_however_old_its_records)
{
	uint8_t buf[8192];
	struct streams *s;
	struct chunk c = { .stream = "quarantined-old", .to = 3,
	    .taken_ns = 1, .body = { BYTES("\xc1\xc1\xc1"), BYTES("") } };
	int fd;

	rig.rconf.quarantine_dir = rig.bad;
	rig_start(&rig);
	s = queue_streams(rig.queue);
	fd = rig_client(&rig);
	rig_send(&rig, fd, ours(&c, buf));
	rig_until_ctr(&rig, CTR_recv_acks, 1);
	streams_age(s, loop_wall(rig.loop));
	ck_assert_uint_eq(streams_count(s), 1);
	rig_send(&rig, fd, ours(&c, buf));
	rig_until_ctr(&rig, CTR_recv_acks, 2);
	ck_assert_uint_eq(only_file(rig.bad), 3);
	close(fd);
}
END_TEST

START_TEST(an_end_lets_the_stream_be_forgotten_early)
{
	uint8_t buf[8192];
	struct streams *s;
	struct lane l;
	struct chunk c;
	uint64_t wall;
	int fd;

	rig_start(&rig);
	s = queue_streams(rig.queue);
	lane_init(&l, &rig, 3, 200);
	fd = rig_client(&rig);
	c = lane_chunk(&l, 0, 3);
	rig_send(&rig, fd, ours(&c, buf));
	rig_until_ctr(&rig, CTR_recv_acks, 1);
	wall = loop_wall(rig.loop) + UINT64_C(2 * 3600) * 1000000000;
	streams_age(s, wall);
	ck_assert_uint_eq(streams_count(s), 1);
	rig_send(&rig, fd, bytes_of(buf, wire_control(buf, "x", l.stream)));
	rig_until_ctr(&rig, CTR_recv_messages, 2);
	streams_age(s, wall);
	ck_assert_uint_eq(streams_count(s), 0);
	close(fd);
	lane_fini(&l);
}
END_TEST

static void
add_good(TCase *t)
{
	tcase_add_test(t, an_id_is_echoed_byte_for_byte_when_durable);
	tcase_add_test(t, a_binary_id_keeps_its_type_and_width);
	tcase_add_test(t, byte_by_byte_it_is_the_same);
	tcase_add_test(t, a_repetition_is_answered_and_not_stored);
	tcase_add_test(t, without_an_id_there_is_no_answer_and_all_is_stored);
	tcase_add_test(t, the_tag_is_kept_as_identity);
	tcase_add_test(t, a_half_closed_sender_still_gets_its_answer);
	tcase_add_test(t, compressed_payloads_are_stored_in_plain);
	tcase_add_test(t, metrics_are_stored_as_they_are);
	tcase_add_test(t, group_marks_are_kept_and_counted);
	tcase_add_test(t,
	    overlapping_ranges_are_cut_and_each_byte_is_taken_once);
	tcase_add_test(t,
	    a_chunk_whose_id_is_not_of_its_range_is_refused);
	tcase_add_test(t,
	    a_quarantined_range_is_known_however_old_its_records);
	tcase_add_test(t, an_end_lets_the_stream_be_forgotten_early);
}

static void
add_bad(TCase *t)
{
	tcase_add_test(t, garbage_ends_its_connection_and_no_other);
	tcase_add_test(t, who_shows_a_shared_key_is_refused_with_words);
	tcase_add_test(t, what_was_good_before_garbage_is_answered);
	tcase_add_test(t, a_message_over_the_limit_is_refused);
	tcase_add_test(t, a_large_message_becomes_chunks_of_whole_records);
	tcase_add_test(t, many_large_messages_do_not_block_each_other);
	tcase_add_test(t, what_is_no_record_is_kept_and_answered);
	tcase_add_test(t, quarantine_is_a_file_where_a_directory_is_given);
	tcase_add_test(t,
	    quarantine_goes_to_the_queue_when_its_directory_fails);
	tcase_add_test(t, a_bomb_is_kept_as_it_came);
	tcase_add_test(t, a_port_tells_protocols_by_the_first_byte);
	tcase_add_test(t,
	    who_falls_silent_in_a_message_is_closed_and_no_other);
	tcase_add_test(t, who_sends_a_byte_now_and_then_is_closed);
	tcase_add_test(t, who_says_nothing_is_closed_and_is_no_error);
	tcase_add_test(t, connections_over_the_limit_are_refused);
	tcase_add_test(t, a_full_queue_stops_the_reading_and_loses_nothing);
	tcase_add_test(t,
	    what_a_failing_disk_loses_of_who_wants_no_answer_is_counted);
	tcase_add_test(t,
	    what_the_end_loses_of_who_wants_no_answer_is_counted);
	tcase_add_loop_test(t,
	    without_memory_a_connection_ends_and_nothing_is_claimed, 1, 12);
}

int
main(void)
{
	Suite *s = suite_create("receiver");
	TCase *t = tcase_create("receiver");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	add_good(t);
	add_bad(t);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
