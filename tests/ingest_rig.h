/* SPDX-License-Identifier: ISC */
/*
 * ingest_rig.h - a client, serve and ingest on one loop
 *
 * What:     a sink that keeps what it gets, can be full, and says when its
 *           pieces are durable.
 * Used by:  tests/test_ingest.c, tests/test_ingest_flow.c.
 */
#ifndef EMPLOG_INGEST_RIG_H
#define EMPLOG_INGEST_RIG_H

#include "http_rig.h"

#include "forward/mp.h"
#include "forward/walk.h"
#include "http/ingest.h"
#include "http/json.h"

#define SINK_MAX	(32u << 20)

static struct ingest *ingest;
static uint8_t *sink_mem;		/* every entry taken */
static size_t sink_len, sink_piece_max;
static uint32_t sink_records;
static unsigned sink_calls, sink_durable;
static int sink_error;			/* what it answers */
static unsigned sink_room;		/* pieces it takes all the same */
static bool sink_at_once;		/* durable before it returns */
static bool sink_disk;			/* all goes to the disk */
static struct ingest_put *held[512];
static unsigned held_n;

static int
sink(void *arg, struct bytes entries, uint32_t records, bool durable,
    struct ingest_put *put)
{
	struct walk w;

	(void)arg;
	ck_assert_uint_le(entries.n, CHUNK_BYTES_MAX);
	walk_entries(entries, JSON_RECORD_MAX, &w);
	ck_assert_int_eq(w.error, 0);
	ck_assert_uint_eq(w.records, records);
	ck_assert_ptr_nonnull(put);
	sink_calls++;
	if (sink_error != 0 && sink_room == 0)
		return sink_error;
	sink_room -= sink_room > 0;
	ck_assert_uint_le(sink_len + entries.n, SINK_MAX);
	memcpy(sink_mem + sink_len, entries.p, entries.n);
	sink_len += entries.n;
	sink_records += records;
	if (entries.n > sink_piece_max)
		sink_piece_max = entries.n;
	sink_durable += durable;
	if (!durable && !sink_disk)
		return 1;
	if (sink_at_once)
		put->done(put, 0);
	else
		held[held_n++] = put;
	return 0;
}

static void
on_req(void *arg, struct serve_req *req)
{
	(void)arg;
	ingest_request(ingest, req);
}

static int
on_refused(void *arg, const struct serve_req *req, int status)
{
	(void)arg;
	return ingest_refused(ingest, req, status);
}

static const struct serve_conf conf = { .handler = on_req,
    .refused = on_refused };
static const struct ingest_conf iconf = { .sink = sink };

#define RIG()	RIG_OF(&conf)
#define RIG_OF(serve_conf_)	do {					\
	rig_open(io_of(_i), serve_conf_);				\
	ck_assert_int_eq(ingest_new(&ingest, &env, &iconf), 0);		\
	sink_mem = malloc(SINK_MAX);					\
	sink_len = sink_piece_max = sink_records = 0;			\
	sink_calls = sink_durable = held_n = 0;				\
	sink_error = 0;							\
	sink_room = 0;							\
	sink_at_once = sink_disk = false;				\
} while (0)

static void
rig_end(void)
{
	if (!serve_is_closed) {
		serve_close(serve, on_closed, &serve_is_closed);
		turn_until(&serve_is_closed);
	}
	ingest_free(&ingest);
	rig_close();
	free(sink_mem);
}

static uint64_t
ctr(enum ctr id)
{
	return ctr_get(&env.ctr, id);
}

/* The nth record in the sink as JSON. */
static const char *
record(unsigned n)
{
	struct mp m = mp_of(bytes_of(sink_mem, sink_len));
	static char text[65536];
	struct entry e;
	size_t len;

	do
		ck_assert_int_eq(walk_entry(&m, &e), 0);
	while (n-- > 0);
	ck_assert_int_eq(json_out(e.record, text, sizeof(text) - 1, &len), 0);
	text[len] = '\0';
	return text;
}

/* n records of about 200 bytes as NDJSON. */
static char *
many(unsigned n, size_t *ret_len)
{
	char *s = malloc(n * 220u), *p = s;
	unsigned i;

	for (i = 0; i < n; i++)
		p += sprintf(p, "{\"n\":%u,\"message\":\"%0150u\"}\n", i, i);
	*ret_len = (size_t)(p - s);
	return s;
}

static int
send_one(const char *path, const char *headers, const char *body)
{
	struct client *c = client_open();
	int status;

	client_post(c, path, headers, body);
	status = client_answer(c);
	client_close(c);
	return status;
}

#define JSON	"Content-Type: application/json\r\n"
#define ACK	"Emplog-Ack: agent\r\n"

#endif
