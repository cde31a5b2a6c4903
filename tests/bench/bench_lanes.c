/* SPDX-License-Identifier: ISC */
/*
 * bench_lanes.c - lanes with prepared records, for an agent to drain
 *
 * What:     opens lanes and fills them with copies of records encoded before,
 *           never past two fifths, so that none is spilled; the agent's tail
 *           makes room.  "ready" on stdout when the lanes are open; a line on
 *           stdin starts; one line of JSON when all is taken; another line on
 *           stdin, or its end, closes.
 * Usage:    bench_lanes ring lanes lane_bytes total_bytes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/encode.h"
#include "shm/writer.h"

#define LANES_MAX	256
#define BLOCK_RECORDS	100
#define RECORD_MAX	1024

static struct writer lane[LANES_MAX];

struct block {
	uint8_t		 bytes[BLOCK_RECORDS * RECORD_MAX];
	size_t		 n;
};

static uint64_t
wall(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* About 300 bytes each. */
static void
prepare(struct block *b)
{
	const struct emplog_field f[] = {
		EMPLOG_STR("event_type", "job_progress"),
		EMPLOG_STR("job_id",
		    "job-5b0c1b1e-0d3f-4d3e-9a53-2f0f7a1d9c11"),
		EMPLOG_STR("job_status", "processing"),
		EMPLOG_INT("progress", 42),
		EMPLOG_STR("execution_step", "KSampler"),
		EMPLOG_INT("queue_remaining", 1),
		EMPLOG_DOUBLE("vram_usage", 11264.5),
		EMPLOG_STR("session_id", "sess-0a51bc77d3e2"),
		EMPLOG_STR("model", "sdxl-base-1.0"),
		EMPLOG_BOOL("is_processing", true),
	};
	struct encode_in in = { .wall_ns = wall(CLOCK_REALTIME),
	    .level = EMPLOG_INFO, .message = "Job progress update",
	    .message_len = 19, .fields = f, .n = sizeof(f) / sizeof(f[0]) };
	struct text_notes notes = { 0 };
	size_t i, cap;

	for (i = 0; i < BLOCK_RECORDS; i++) {
		if (encode_worst(&in, RECORD_MAX, &cap) > RECORD_MAX)
			abort();
		b->n = (size_t)(encode_put(b->bytes + b->n, &in, cap, &notes) -
		    b->bytes);
	}
}

static int
open_lanes(const char *ring, unsigned n, uint64_t bytes)
{
	static const uint8_t identity[] = "\x81\xaamachine_id\xa5""bench";
	struct writer_conf conf = { .sys = &shm_sys_os, .ring_dir = ring,
	    .lane_bytes = bytes, .ring_max = 1ull << 30,
	    .identity = identity, .identity_len = sizeof(identity) - 1 };
	unsigned i;
	int r = 0;

	for (i = 0; i < n && r == 0; i++)
		r = writer_open(&lane[i], &conf);
	return r;
}

static uint64_t
waiting(const struct writer *w)
{
	return w->at - atomic_load_explicit(&w->agent->tail,
	    memory_order_acquire);
}

/* Blocks written in one round. */
static unsigned
fill_round(unsigned n, const struct block *b, uint64_t *left)
{
	unsigned i, did = 0;
	uint8_t *p;

	for (i = 0; i < n && *left > 0; i++) {
		if (waiting(&lane[i]) + b->n > lane[i].data_bytes * 2 / 5 ||
		    (p = writer_lend(&lane[i], b->n, 0)) == NULL)
			continue;
		memcpy(p, b->bytes, b->n);
		writer_publish(&lane[i], b->n, BLOCK_RECORDS);
		*left -= b->n < *left ? b->n : *left;
		did++;
	}
	return did;
}

static void
run(unsigned n, const struct block *b, uint64_t total)
{
	const struct timespec nap = { .tv_nsec = 200000 };
	uint64_t start = wall(CLOCK_MONOTONIC), left = total, bytes = 0;
	uint64_t records = 0;
	unsigned i;

	while (left > 0)
		if (fill_round(n, b, &left) == 0)
			nanosleep(&nap, NULL);
	for (i = 0; i < n; i++) {
		while (waiting(&lane[i]) > 0)
			nanosleep(&nap, NULL);
		bytes += lane[i].at;
		records += lane[i].records;
	}
	printf("{\"records\":%llu,\"bytes\":%llu,\"wall_s\":%.6f}\n",
	    (unsigned long long)records, (unsigned long long)bytes,
	    (double)(wall(CLOCK_MONOTONIC) - start) / 1e9);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	static struct block b;
	unsigned n, i;

	if (argc < 5 || (n = (unsigned)atoi(argv[2])) < 1 || n > LANES_MAX) {
		fputs("usage: bench_lanes ring lanes lane_bytes "
		    "total_bytes\n", stderr);
		return 2;
	}
	prepare(&b);
	if (open_lanes(argv[1], n, strtoull(argv[3], NULL, 10)) < 0) {
		fputs("bench_lanes: cannot open its lanes\n", stderr);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	if (getchar() != EOF && strtoull(argv[4], NULL, 10) > 0) {
		run(n, &b, strtoull(argv[4], NULL, 10));
		(void)getchar();
	}
	for (i = 0; i < n; i++)
		writer_close(&lane[i], true);
	return 0;
}
