/* SPDX-License-Identifier: ISC */
/*
 * test_message.c - Forward messages found and read
 *
 * Claims: the bytes Fluent Bit 5, Fluentd and Docker send are read as they
 * mean them; a message that comes byte by byte is found at its last byte and
 * not before, each byte looked at about once; what is asked for is never more
 * than the message has; limits hold one below, at, one above; whatever bytes
 * come, a scan ends.  Payloads: several gzip members, zstd frames, bombs.
 */
#include <check.h>
#include <errno.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "forward/inflate.h"
#include "forward/message.h"
#include "forward/walk.h"
#include "hop/wire.h"

#define MAX	((size_t)1 << 20)
#define TIME	"\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x05"
#define RECORD	"\x81\xa3" "msg\xa2" "hi"
#define ENTRY	"\x92" TIME RECORD

/* Fluent Bit 5.1, defaults: Forward mode, metadata, no options */
#define FB_PLAIN	"\x92\xa7" "dummy.0" "\x91\x92\x92" TIME "\x80" RECORD
/* with require_ack_response: option as map32, chunk first, signal */
#define FB_ACK		"\x93\xa7" "dummy.0" "\xdd\x00\x00\x00\x01" \
	"\xdd\x00\x00\x00\x02\xdd\x00\x00\x00\x02" TIME "\x80" RECORD \
	"\xdf\x00\x00\x00\x03" "\xa5" "chunk" \
	"\xb8" "q83vEjRWeJASNFZ4kBI0Vg==" \
	"\xa4" "size\x01\xad" "fluent_signal\x00"
/* Fluentd: PackedForward as str32, a chunk id that ends in a newline */
#define FLUENTD		"\x93\xa3" "a.b" "\xdb\x00\x00\x00\x13" ENTRY \
	"\x83\xa4" "size\x01\xaa" "compressed\xa4" "text" \
	"\xa5" "chunk\xb9" "q83vEjRWeJASNFZ4kBI0Vg==\n"
/* Fluent Bit, metrics: Packed, bin, signal alone */
#define FB_METRICS	"\x93\xa3" "m.c" "\xc4\x03" "\x81\x01\x02" \
	"\x81\xad" "fluent_signal\x01"
/* Message mode: Docker's nil option, dynamic tags' metadata, plain seconds */
#define DOCKER		"\x94\xa1" "d" TIME RECORD "\xc0"
#define DYNAMIC		"\x94\xa1" "d" TIME RECORD "\x81\xa8" "metadata" \
	"\x81\xa1" "k\x01"
#define SECONDS		"\x93\xa1" "d\xce\x65\x53\xf1\x00" RECORD

static int
scan(struct bytes b, struct message *m)
{
	struct message_scan ms;

	message_scan_init(&ms, MAX);
	return message_scan(&ms, b, m);
}

static struct message
read_all(struct bytes b)
{
	struct message m;

	ck_assert_int_eq(scan(b, &m), 0);
	ck_assert_uint_eq(m.bytes, b.n);
	return m;
}

START_TEST(fluent_bit_without_options_is_forward_mode)
{
	struct message m = read_all(BYTES(FB_PLAIN));

	ck_assert_int_eq(m.mode, MESSAGE_FORWARD);
	ck_assert(bytes_eq(m.tag, BYTES("dummy.0")));
	ck_assert(bytes_eq(m.body, BYTES("\x92\x92" TIME "\x80" RECORD)));
	ck_assert_uint_eq(m.chunk.n, 0);
	ck_assert_uint_eq(m.emplog.n, 0);
}
END_TEST

START_TEST(fluent_bit_with_ack_is_read_though_not_minimal)
{
	struct message m = read_all(BYTES(FB_ACK));
	struct walk w;

	ck_assert_int_eq(m.mode, MESSAGE_FORWARD);
	ck_assert(bytes_eq(m.chunk,
	    BYTES("\xb8" "q83vEjRWeJASNFZ4kBI0Vg==")));
	ck_assert_uint_eq(m.size, 1);
	ck_assert_uint_eq(m.signal, 0);
	walk_entries(m.body, MAX, &w);
	ck_assert_int_eq(w.error, 0);
	ck_assert_uint_eq(w.records, 1);
}
END_TEST

START_TEST(fluentd_is_packed_in_a_string_and_its_id_keeps_the_newline)
{
	struct message m = read_all(BYTES(FLUENTD));

	ck_assert_int_eq(m.mode, MESSAGE_PACKED);
	ck_assert_int_eq(m.packing, PACKED_PLAIN);
	ck_assert(bytes_eq(m.body, BYTES(ENTRY)));
	ck_assert(bytes_eq(m.chunk,
	    BYTES("\xb9" "q83vEjRWeJASNFZ4kBI0Vg==\n")));
}
END_TEST

START_TEST(metrics_keep_their_signal_and_bytes)
{
	struct message m = read_all(BYTES(FB_METRICS));

	ck_assert_int_eq(m.mode, MESSAGE_PACKED);
	ck_assert_uint_eq(m.signal, SIGNAL_METRICS);
	ck_assert(bytes_eq(m.body, BYTES("\x81\x01\x02")));
}
END_TEST

/* Message mode becomes the entry it would have been in Forward mode. */
static void
entry_is(struct bytes message, struct bytes entry)
{
	struct message m = read_all(message);
	uint8_t buf[128];
	struct mpw w = { buf, buf + message_entry_bytes(&m), false };

	ck_assert_int_eq(m.mode, MESSAGE_ONE);
	ck_assert_uint_le(message_entry_bytes(&m), sizeof(buf));
	message_entry(&m, UINT64_C(1700000000000000005), &w);
	ck_assert(!w.full);
	ck_assert(bytes_eq(bytes_of(buf, (size_t)(w.p - buf)), entry));
}

START_TEST(message_mode_becomes_an_entry)
{
	entry_is(BYTES(DOCKER), BYTES(ENTRY));
	entry_is(BYTES(DYNAMIC),
	    BYTES("\x92\x92" TIME "\x81\xa1" "k\x01" RECORD));
	entry_is(BYTES(SECONDS), BYTES("\x92\xce\x65\x53\xf1\x00" RECORD));
	entry_is(BYTES("\x93\xa1" "d\xc0" RECORD), BYTES(ENTRY));
	entry_is(BYTES("\x93\xa1" "d\x00" RECORD), BYTES(ENTRY));
}
END_TEST

static const struct bytes goldens[] = {
	BYTES(FB_PLAIN), BYTES(FB_ACK), BYTES(FLUENTD), BYTES(FB_METRICS),
	BYTES(DOCKER), BYTES(DYNAMIC), BYTES(SECONDS)
};
#define GOLDENS	((int)(sizeof(goldens) / sizeof(goldens[0])))

START_TEST(byte_by_byte_it_is_found_at_its_last_byte)
{
	struct bytes g = goldens[_i];
	struct message_scan ms;
	struct message m;
	uint8_t *p;
	size_t n;
	int r;

	message_scan_init(&ms, MAX);
	for (n = 0; n < g.n; n++) {
		/* another place each time: only offsets may be kept */
		p = malloc(n + 1);
		memcpy(p, g.p, n);
		r = message_scan(&ms, bytes_of(p, n), &m);
		ck_assert_int_eq(r, -EAGAIN);
		ck_assert_uint_gt(ms.need, n);
		ck_assert_uint_le(ms.need, g.n);
		free(p);
	}
	ck_assert_int_eq(message_scan(&ms, g, &m), 0);
	ck_assert_uint_eq(m.bytes, g.n);
}
END_TEST

START_TEST(a_message_ends_where_the_next_begins)
{
	struct bytes both = BYTES(FLUENTD FB_PLAIN);
	struct message m;

	ck_assert_int_eq(scan(both, &m), 0);
	ck_assert_uint_eq(m.bytes, sizeof(FLUENTD) - 1);
	ck_assert_int_eq(scan(bytes_of(both.p + m.bytes, both.n - m.bytes),
	    &m), 0);
	ck_assert_uint_eq(m.bytes, sizeof(FB_PLAIN) - 1);
}
END_TEST

START_TEST(heartbeats_belong_to_no_message)
{
	ck_assert_uint_eq(message_nils(BYTES("")), 0);
	ck_assert_uint_eq(message_nils(BYTES("\xc0\xc0\x93\xc0")), 2);
	ck_assert_uint_eq(message_nils(BYTES("\x93\xc0")), 0);
}
END_TEST

static void
fails(struct bytes b, int error)
{
	struct message m;

	ck_assert_int_eq(scan(b, &m), error);
}

START_TEST(what_is_no_message_is_refused)
{
	fails(BYTES("\x91\xa1" "d"), -EBADMSG);
	fails(BYTES("\x95\xa1" "d\x90\x80\x80\x80"), -EBADMSG);
	fails(BYTES("\x93\x05\x90\x80"), -EBADMSG);		/* tag */
	fails(BYTES("\x93\xa1" "d\x80\x80"), -EBADMSG);		/* body map */
	fails(BYTES("\x93\xa1" "d\xff\x80"), -EBADMSG);		/* negative */
	fails(BYTES("\x93\xa1" "d\xc3\x80"), -EBADMSG);		/* true */
	fails(BYTES("\x94\xa1" "d\x90\x80\xc0"), -EBADMSG);	/* 4, Forward */
	fails(BYTES("\x92\xa1" "d\x05\xc0"), -EBADMSG);		/* 2, Message */
	fails(BYTES("\x93\xa1" "d\x90\x90"), -EBADMSG);		/* option */
	fails(BYTES("\x93\xa1" "d\x90\x81\xa5" "chunk\x05"), -EBADMSG);
	fails(BYTES("\x93\xa1" "d\x90\x81\xa6" "emplog\x05"), -EBADMSG);
	fails(BYTES("\x93\xa1" "d\x91\xc1"), -EBADMSG);
	fails(BYTES("\x16\x03\x01"), -EBADMSG);			/* TLS */
	fails(BYTES("GET / HTTP/1.1"), -EBADMSG);
	fails(BYTES("{\"a\":1}"), -EBADMSG);
}
END_TEST

START_TEST(options_of_others_are_passed_over)
{
	struct message m = read_all(BYTES("\x93\xa1" "d\x90\x86\x05\x06"
	    "\xc4\x01x\x90\xc0\xc0\x92\x01\x02\x81\xa1x\x01"
	    "\xa4" "size\xa1x\xa5" "chunk\xc4\x02" "ab"));

	ck_assert(bytes_eq(m.chunk, BYTES("\xc4\x02" "ab")));
	ck_assert_uint_eq(m.size, 0);
	m = read_all(BYTES("\x93\xa1" "d\x90\xc0"));	/* nil option */
	m = read_all(BYTES("\x93\xa1" "d\x90\x81\xa5" "chunk\xc0"));
	ck_assert_uint_eq(m.chunk.n, 0);
	m = read_all(BYTES("\x93\xa1" "d\x90\x81\xad" "fluent_signal\xcd\x01"
	    "\x00"));
	ck_assert_uint_eq(m.signal, 255);
}
END_TEST

static struct message_scan ended;

static int
with_part(const char *before, size_t before_n, size_t n, const char *behind,
    size_t behind_n)
{
	struct message m;
	uint8_t *p = malloc(before_n + n + behind_n);
	int r;

	memcpy(p, before, before_n);
	memset(p + before_n, 'x', n);
	memcpy(p + before_n + n, behind, behind_n);
	message_scan_init(&ended, MAX);
	r = message_scan(&ended, bytes_of(p, before_n + n + behind_n), &m);
	free(p);
	return r;
}

START_TEST(a_tag_has_a_greatest_length)
{
	ck_assert_int_eq(with_part("\x92\xda\x03\xff", 4, 1023, "\x90", 1), 0);
	ck_assert_int_eq(with_part("\x92\xda\x04\x00", 4, 1024, "\x90", 1), 0);
	ck_assert_int_eq(with_part("\x92\xda\x04\x01", 4, 1025, "\x90", 1),
	    -EMSGSIZE);
	/* and is refused before it has come */
	fails(BYTES("\x92\xda\x40\x00"), -EMSGSIZE);
	fails(BYTES("\x92\xdb\xff\xff\xff\xff"), -EMSGSIZE);
}
END_TEST

START_TEST(a_chunk_id_has_a_greatest_length)
{
	static const char at[] = "\x93\xa1" "d\x90\x81\xa5" "chunk\xda\x01\x00";
	static const char above[] =
	    "\x93\xa1" "d\x90\x81\xa5" "chunk\xda\x01\x01";

	ck_assert_int_eq(with_part(at, sizeof(at) - 1, 256, "", 0), 0);
	ck_assert_int_eq(with_part(above, sizeof(above) - 1, 257, "", 0),
	    -EMSGSIZE);
}
END_TEST

START_TEST(options_have_a_greatest_length)
{
	/* a map of one: key 1 byte, bin16 header 3 */
	size_t fixed = 5, n;
	char head[] = "\x93\xa1" "d\x90\x81\xa1x\xc5??";
	int below;

	for (below = -1; below <= 1; below++) {
		n = (size_t)((int)(MESSAGE_OPTION_MAX - fixed - 1) + below);
		head[8] = (char)(n >> 8);
		head[9] = (char)n;
		ck_assert_int_eq(with_part(head, sizeof(head) - 1, n, "", 0),
		    below <= 0 ? 0 : -EMSGSIZE);
	}
	fails(BYTES("\x93\xa1" "d\x90\x81\xa1x\xc6\x00\x00\x40\x00"),
	    -EMSGSIZE);
}
END_TEST

START_TEST(a_message_has_a_greatest_size)
{
	/* 2 + 2 + 5 bytes before the payload */
	char head[] = "\x92\xa1" "d\xc6????";
	uint32_t n;
	int below;

	for (below = -1; below <= 1; below++) {
		n = (uint32_t)((int)MAX - 8 + below);
		head[4] = (char)(n >> 24);
		head[5] = (char)(n >> 16);
		head[6] = (char)(n >> 8);
		head[7] = (char)n;
		ck_assert_int_eq(with_part(head, 8, n, "", 0),
		    below <= 0 ? 0 : -EMSGSIZE);
		if (below <= 0) {
			fails(bytes_of(head, 8), -EAGAIN);
		} else {
			fails(bytes_of(head, 8), -EMSGSIZE);
		}
	}
}
END_TEST

START_TEST(lying_counts_are_refused_or_wait_for_a_bounded_number)
{
	struct message_scan ms;
	struct message m;

	fails(BYTES("\x92\xa1" "d\xdd\xff\xff\xff\xff"), -EMSGSIZE);
	fails(BYTES("\x92\xa1" "d\x91\x92\x01\xdf\xff\xff\xff\xff"), -EMSGSIZE);
	fails(BYTES("\xdd\xff\xff\xff\xff"), -EMSGSIZE);
	message_scan_init(&ms, MAX);
	ck_assert_int_eq(message_scan(&ms,
	    BYTES("\x92\xa1" "d\xdd\x00\x00\x10\x00"), &m), -EAGAIN);
	ck_assert_uint_eq(ms.need, 8 + 4096);
}
END_TEST

START_TEST(nesting_of_any_depth_is_passed_over)
{
	size_t n = MAX / 2;
	uint8_t *p = malloc(n);
	struct message m;

	memcpy(p, "\x92\xa1" "d\x91", 4);
	memset(p + 4, 0x91, n - 5);
	p[n - 1] = 0xc0;
	ck_assert_int_eq(scan(bytes_of(p, n), &m), 0);
	ck_assert_uint_eq(m.body.n, n - 4);
	free(p);
}
END_TEST

/*
 * A scan that began again at each byte would touch n*n/2 bytes: for half a
 * MiB more than this test's time allows.
 */
START_TEST(many_small_reads_cost_one_pass)
{
	size_t n = MAX / 2, have;
	uint8_t *p = malloc(n);
	struct message_scan ms;
	struct message m;
	int r = -EAGAIN;

	memcpy(p, "\x92\xa1" "d\xdd", 4);
	p[4] = 0;
	p[5] = (uint8_t)((n - 8) >> 16);
	p[6] = (uint8_t)((n - 8) >> 8);
	p[7] = (uint8_t)(n - 8);
	memset(p + 8, 0x01, n - 8);
	message_scan_init(&ms, MAX);
	for (have = 0; have <= n; have++)
		r = message_scan(&ms, bytes_of(p, have), &m);
	ck_assert_int_eq(r, 0);
	free(p);
}
END_TEST

START_TEST(damaged_messages_end)
{
	struct bytes g = goldens[_i];
	uint8_t buf[256];
	struct message m;
	size_t at;
	int v, r;

	for (at = 0; at < g.n; at++) {
		for (v = 0; v < 256; v++) {
			memcpy(buf, g.p, g.n);
			buf[at] = (uint8_t)v;
			r = scan(bytes_of(buf, g.n), &m);
			ck_assert(r == 0 || r == -EAGAIN || r == -EBADMSG ||
			    r == -EMSGSIZE);
			if (r == 0)
				ck_assert_uint_le(m.bytes, g.n);
		}
	}
}
END_TEST

/* ---- payloads ---- */

static size_t
gzip(struct bytes in, uint8_t *out, size_t cap)
{
	struct libdeflate_compressor *z = libdeflate_alloc_compressor(6);
	size_t n = libdeflate_gzip_compress(z, in.p, in.n, out, cap);

	libdeflate_free_compressor(z);
	return n;
}

START_TEST(several_gzip_members_are_one_payload)
{
	uint8_t in[512], out[256];
	struct inflate z;
	size_t n, len, cap;

	n = gzip(BYTES(ENTRY), in, sizeof(in));
	n += gzip(BYTES(ENTRY ENTRY), in + n, sizeof(in) - n);
	inflate_init(&z);
	ck_assert_int_eq(inflate_bytes(&z, PACKED_GZIP, bytes_of(in, n), out,
	    sizeof(out), &len), 0);
	ck_assert(bytes_eq(bytes_of(out, len), BYTES(ENTRY ENTRY ENTRY)));
	for (cap = 0; cap < len; cap++)
		ck_assert_int_eq(inflate_bytes(&z, PACKED_GZIP,
		    bytes_of(in, n), out, cap, &len), -ENOBUFS);
	ck_assert_int_eq(inflate_bytes(&z, PACKED_GZIP, bytes_of(in, n), out,
	    len, &len), 0);
	while (--n > 0)
		ck_assert_int_le(inflate_bytes(&z, PACKED_GZIP,
		    bytes_of(in, n), out, sizeof(out), &len), 0);
	ck_assert_int_eq(inflate_bytes(&z, PACKED_GZIP, BYTES("nonsense"),
	    out, sizeof(out), &len), -EBADMSG);
	inflate_fini(&z);
}
END_TEST

START_TEST(several_zstd_frames_are_one_payload)
{
	uint8_t in[512], out[256];
	struct inflate z;
	size_t n, len;

	n = ZSTD_compress(in, sizeof(in), ENTRY, sizeof(ENTRY) - 1, 3);
	n += ZSTD_compress(in + n, sizeof(in) - n, ENTRY, sizeof(ENTRY) - 1,
	    3);
	inflate_init(&z);
	ck_assert_int_eq(inflate_bytes(&z, PACKED_ZSTD, bytes_of(in, n), out,
	    sizeof(out), &len), 0);
	ck_assert(bytes_eq(bytes_of(out, len), BYTES(ENTRY ENTRY)));
	ck_assert_int_eq(inflate_bytes(&z, PACKED_ZSTD, bytes_of(in, n), out,
	    len - 1, &len), -ENOBUFS);
	ck_assert_int_eq(inflate_bytes(&z, PACKED_ZSTD, bytes_of(in, n - 1),
	    out, sizeof(out), &len), -EBADMSG);
	inflate_fini(&z);
}
END_TEST

START_TEST(a_hint_is_bounded_by_what_compression_can_do)
{
	size_t n = 4 << 20;
	uint8_t *in = calloc(1, n), *out = malloc(n);

	n = gzip(bytes_of(in, n), out, n);
	ck_assert_uint_eq(inflate_hint(PACKED_GZIP, bytes_of(out, n)), 4 << 20);
	memset(out + n - 4, 0xff, 4);
	ck_assert_uint_le(inflate_hint(PACKED_GZIP, bytes_of(out, n)), 4 * n);
	ck_assert_uint_ge(inflate_hint(PACKED_GZIP, BYTES("")), 1);
	ck_assert_uint_ge(inflate_hint(PACKED_ZSTD, BYTES("")), 1);
	free(in);
	free(out);
}
END_TEST

START_TEST(how_a_payload_is_packed_is_told_or_seen)
{
	ck_assert_int_eq(read_all(BYTES("\x93\xa1" "d\xa1x\x81\xaa"
	    "compressed\xa4" "gzip")).packing, PACKED_GZIP);
	ck_assert_int_eq(read_all(BYTES("\x93\xa1" "d\xa1x\x81\xaa"
	    "compressed\xa4" "zstd")).packing, PACKED_ZSTD);
	ck_assert_int_eq(read_all(BYTES("\x93\xa1" "d\xa2\x1f\x8b\x81\xaa"
	    "compressed\xa2" "gz")).packing, PACKED_GZIP);
	ck_assert_int_eq(read_all(BYTES("\x93\xa1" "d\xa2xx\x81\xaa"
	    "compressed\xa2" "xx")).packing, PACKED_PLAIN);
	/* in Forward mode the word means nothing */
	ck_assert_int_eq(read_all(BYTES("\x93\xa1" "d\x90\x81\xaa"
	    "compressed\xa4" "gzip")).packing, PACKED_PLAIN);
}
END_TEST

/* ---- our own option ---- */

static struct chunk
a_chunk(void)
{
	struct chunk c = { .from = 1000, .to = 1019, .taken_ns = 77,
	    .flags = CHUNK_BACKLOG, .identity = BYTES("\x81\xa1" "a\xa1" "b"),
	    .body = { BYTES(ENTRY) } };

	memcpy(c.stream, "0123456789abcdef", STREAM_ID_LEN);
	return c;
}

static struct message
over_the_wire(const struct chunk *c, uint8_t *buf, size_t cap)
{
	uint8_t id[WIRE_ID_LEN];
	size_t n;

	ck_assert_uint_ge(cap, WIRE_HEAD_MAX + WIRE_TAIL_MAX + 64);
	wire_id(c, id);
	n = wire_head(buf, "host1", chunk_body_len(c));
	memcpy(buf + n, c->body[0].p, c->body[0].n);
	n += c->body[0].n;
	n += wire_tail(buf + n, c, id, WIRE_ALL);
	return read_all(bytes_of(buf, n));
}

START_TEST(a_chunk_is_read_back_from_its_message)
{
	uint8_t buf[4096];
	struct chunk c = a_chunk();
	struct message m = over_the_wire(&c, buf, sizeof(buf));
	struct wire w;

	ck_assert(bytes_eq(m.tag, BYTES("emplog.host1")));
	ck_assert(bytes_eq(m.body, c.body[0]));
	ck_assert_uint_eq(m.chunk.n, 1 + WIRE_ID_LEN);
	ck_assert_int_eq(wire_read(m.emplog, &w), 0);
	ck_assert_mem_eq(w.stream, c.stream, STREAM_ID_LEN);
	ck_assert_uint_eq(w.from, 1000);
	ck_assert_uint_eq(w.taken_ns, 77);
	ck_assert(w.backlog && !w.broken && !w.end);
	ck_assert(bytes_eq(w.identity, c.identity));
}
END_TEST

START_TEST(the_same_range_has_the_same_id_and_no_other_has)
{
	uint8_t id[4][WIRE_ID_LEN];
	struct chunk c = a_chunk();

	wire_id(&c, id[0]);
	c.taken_ns = 1;
	c.identity = BYTES("");
	wire_id(&c, id[1]);
	ck_assert_mem_eq(id[0], id[1], WIRE_ID_LEN);
	c.to++;
	wire_id(&c, id[2]);
	ck_assert_mem_ne(id[0], id[2], WIRE_ID_LEN);
	c.to--;
	c.stream[0]++;
	wire_id(&c, id[3]);
	ck_assert_mem_ne(id[0], id[3], WIRE_ID_LEN);
}
END_TEST

START_TEST(ids_are_base64_of_the_hash_and_never_change)
{
	uint8_t id[WIRE_ID_LEN];
	struct chunk c = a_chunk();

	wire_id(&c, id);
	ck_assert_mem_eq(id + 22, "==", 2);
	ck_assert_mem_eq(id, "sLL0Ub6Wll0MTvFGxB9MHQ==", WIRE_ID_LEN);
}
END_TEST

START_TEST(a_bad_identity_is_left_out_and_the_rest_is_read)
{
	static const struct bytes bad[] = {
		BYTES("\xa1x"), BYTES("\x81\xa1" "a\x05"),
		BYTES("\x81\x05\xa1x"), BYTES("\x81\xa1" "a\x90")
	};
	uint8_t buf[4096];
	struct chunk c = a_chunk();
	struct message m;
	struct wire w;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		c.identity = bad[i];
		m = over_the_wire(&c, buf, sizeof(buf));
		ck_assert_int_eq(wire_read(m.emplog, &w), 0);
		ck_assert(w.bad_identity);
		ck_assert_uint_eq(w.identity.n, 0);
		ck_assert_uint_eq(w.from, 1000);
	}
}
END_TEST

START_TEST(a_version_we_do_not_know_and_wrong_types_are_refused)
{
	struct wire w;

	ck_assert_int_eq(wire_read(BYTES("\x81\xa1v\x02"), &w), -EPROTO);
	ck_assert_int_eq(wire_read(BYTES("\x81\xa1v\xa1x"), &w), -EBADMSG);
	ck_assert_int_eq(wire_read(BYTES("\x81\xa1s\xc4\x01x"), &w), -EBADMSG);
	ck_assert_int_eq(wire_read(BYTES("\x81\xa1" "e\x02"), &w), -EBADMSG);
	ck_assert_int_eq(wire_read(BYTES("\x81\xa1" "f\xff"), &w), -EBADMSG);
	ck_assert_int_eq(wire_read(BYTES("\x81\xa3" "end\x01"), &w), -EBADMSG);
	ck_assert_int_eq(wire_read(BYTES("\x82\xa1v\x01\xa3xyz\x90"), &w), 0);
}
END_TEST

START_TEST(hello_and_end_are_messages_without_body)
{
	uint8_t buf[WIRE_CONTROL_MAX];
	struct message m;
	struct wire w;

	m = read_all(bytes_of(buf, wire_control(buf, "h", NULL)));
	ck_assert_uint_eq(m.body.n, 0);
	ck_assert_uint_eq(m.chunk.n, 0);
	ck_assert_int_eq(wire_read(m.emplog, &w), 0);
	ck_assert(!w.end);
	m = read_all(bytes_of(buf,
	    wire_control(buf, "h", (const uint8_t *)"0123456789abcdef")));
	ck_assert_int_eq(wire_read(m.emplog, &w), 0);
	ck_assert(w.end);
	ck_assert_mem_eq(w.stream, "0123456789abcdef", 16);
}
END_TEST

START_TEST(answers_are_read_one_by_one)
{
	uint8_t buf[2 * WIRE_ACK_MAX], cut;
	struct bytes id;
	uint64_t n;
	size_t len;
	struct mp m;

	len = wire_ack(buf, BYTES("\xa4" "AAAA"), false, 9);
	ck_assert_mem_eq(buf, "\x81\xa3" "ack\xa4" "AAAA", len);
	len += wire_ack(buf + len, BYTES("\xc4\x02" "bb"), true, 300);
	m = mp_of(bytes_of(buf, len));
	ck_assert_int_eq(wire_read_ack(&m, &id, &n), 0);
	ck_assert(bytes_eq(id, BYTES("AAAA")) && n == 0);
	for (cut = 1; cut < (uint8_t)(m.end - m.p); cut++) {
		struct mp part = { m.p, m.p + cut };

		ck_assert_int_eq(wire_read_ack(&part, &id, &n), -EAGAIN);
	}
	ck_assert_int_eq(wire_read_ack(&m, &id, &n), 0);
	ck_assert(bytes_eq(id, BYTES("bb")) && n == 300);
	m = mp_of(BYTES("\x81\xa3" "nak\x01"));
	ck_assert_int_eq(wire_read_ack(&m, &id, &n), -EBADMSG);
	m = mp_of(BYTES("\xc1"));
	ck_assert_int_eq(wire_read_ack(&m, &id, &n), -EBADMSG);
}
END_TEST

static void
add_reading(TCase *t)
{
	tcase_add_test(t, fluent_bit_without_options_is_forward_mode);
	tcase_add_test(t, fluent_bit_with_ack_is_read_though_not_minimal);
	tcase_add_test(t,
	    fluentd_is_packed_in_a_string_and_its_id_keeps_the_newline);
	tcase_add_test(t, metrics_keep_their_signal_and_bytes);
	tcase_add_test(t, message_mode_becomes_an_entry);
	tcase_add_loop_test(t, byte_by_byte_it_is_found_at_its_last_byte, 0,
	    GOLDENS);
	tcase_add_test(t, a_message_ends_where_the_next_begins);
	tcase_add_test(t, heartbeats_belong_to_no_message);
	tcase_add_test(t, what_is_no_message_is_refused);
	tcase_add_test(t, options_of_others_are_passed_over);
	tcase_add_test(t, a_tag_has_a_greatest_length);
	tcase_add_test(t, a_chunk_id_has_a_greatest_length);
	tcase_add_test(t, options_have_a_greatest_length);
	tcase_add_test(t, a_message_has_a_greatest_size);
	tcase_add_test(t,
	    lying_counts_are_refused_or_wait_for_a_bounded_number);
	tcase_add_test(t, nesting_of_any_depth_is_passed_over);
	tcase_add_test(t, many_small_reads_cost_one_pass);
	tcase_add_loop_test(t, damaged_messages_end, 0, GOLDENS);
}

static void
add_rest(TCase *t)
{
	tcase_add_test(t, several_gzip_members_are_one_payload);
	tcase_add_test(t, several_zstd_frames_are_one_payload);
	tcase_add_test(t, a_hint_is_bounded_by_what_compression_can_do);
	tcase_add_test(t, how_a_payload_is_packed_is_told_or_seen);
	tcase_add_test(t, a_chunk_is_read_back_from_its_message);
	tcase_add_test(t, the_same_range_has_the_same_id_and_no_other_has);
	tcase_add_test(t, ids_are_base64_of_the_hash_and_never_change);
	tcase_add_test(t,
	    a_bad_identity_is_left_out_and_the_rest_is_read);
	tcase_add_test(t,
	    a_version_we_do_not_know_and_wrong_types_are_refused);
	tcase_add_test(t, hello_and_end_are_messages_without_body);
	tcase_add_test(t, answers_are_read_one_by_one);
}

int
main(void)
{
	Suite *s = suite_create("message");
	TCase *t = tcase_create("message");
	SRunner *sr;
	int failed;

	add_reading(t);
	add_rest(t);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
