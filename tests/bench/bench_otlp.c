/* SPDX-License-Identifier: ISC */
/*
 * bench_otlp.c - what a record costs the exporter, from msgpack to protobuf
 *
 *   bench_otlp [records]
 *
 * Chunks of 500 records of twelve fields and about 300 bytes, three fresh
 * texts in each, go into batches of 512 KiB.  Prints one JSON object: CPU ns
 * a record without compression (lane: the identity is said once; record: in
 * each record, as the old connectors do) and with gzip levels 1, 4 (the
 * exporter's) and 6.
 */
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/env.h"
#include "forward/mp.h"
#include "otlp/otlp.h"

#define CHUNK_RECORDS	500
#define CHUNKS		16
#define BATCH_CAP	(512u << 10)

struct input {
	struct chunk	 chunk[CHUNKS];
	uint8_t		 body[CHUNKS][CHUNK_RECORDS * 640];
	uint8_t		 identity[IDENTITY_MAX];
	size_t		 bytes;		/* of all bodies */
};

struct result {
	double		 ns;		/* CPU a record */
	double		 out_bytes;	/* a record, as sent */
};

static void
pair(struct mpw *w, const char *key, const char *text)
{
	mpw_str(w, bytes_str(key));
	mpw_str(w, bytes_str(text));
}

static void
identity(struct mpw *w)
{
	pair(w, "machine_id", "railway-comfy-7f3a");
	pair(w, "worker_id", "railway-comfy-7f3a-worker-comfyui-0");
	pair(w, "service_type", "comfyui");
	pair(w, "connector_id", "comfyui-gpu0");
}

/* Twelve fields; with_identity: four more. */
static void
record(struct mpw *w, unsigned i, bool with_identity)
{
	char job[48], message[128], session[24];

	snprintf(job, sizeof(job), "job-%08x-0d3f-4d3e-9a53-%012x",
	    i * 2654435761u, i);
	snprintf(message, sizeof(message), "Job %u completed successfully after"
	    " %u steps in the queue of gpu %u", i, i % 50, i % 8);
	snprintf(session, sizeof(session), "sess-%06x", i / 7);
	mpw_array(w, 2);
	mpw_event_time(w, UINT64_C(1754920944902000000) + i);
	mpw_map(w, with_identity ? 16 : 12);
	pair(w, "level", "info");
	pair(w, "message", message);
	pair(w, "event_type", "job_completed");
	pair(w, "job_id", job);
	pair(w, "job_status", "completed");
	mpw_str(w, BYTES("duration"));
	mpw_uint(w, 17784 + i % 1000);
	mpw_str(w, BYTES("queue_ms"));
	mpw_double(w, 12.5 + i % 9);
	pair(w, "model", "sdxl-base-1.0");
	pair(w, "session_id", session);
	mpw_str(w, BYTES("output_size"));
	mpw_uint(w, 912 + i % 77);
	pair(w, "prompt_id", "8d7c2a5e-1f2b-4c11-9d0a-77aa0b1c2d3e");
	pair(w, "execution_step", "KSampler");
	if (with_identity)
		identity(w);
}

static void
fill(struct input *in, bool with_identity)
{
	struct mpw w = { in->identity, in->identity + IDENTITY_MAX, false };
	struct chunk *c;
	unsigned i, k;

	mpw_map(&w, 4);
	identity(&w);
	in->bytes = 0;
	for (i = 0; i < CHUNKS; i++) {
		c = &in->chunk[i];
		*c = (struct chunk){ .from = i * 1000000u };
		memset(c->stream, 0x5a, sizeof(c->stream));
		if (!with_identity)
			c->identity = bytes_of(in->identity,
			    (size_t)(w.p - in->identity));
		struct mpw b = { in->body[i], in->body[i] +
		    sizeof(in->body[i]), false };
		for (k = 0; k < CHUNK_RECORDS; k++)
			record(&b, i * CHUNK_RECORDS + k, with_identity);
		if (b.full)
			abort();
		c->body[0] = bytes_of(in->body[i],
		    (size_t)(b.p - in->body[i]));
		c->taken_ns = UINT64_C(1754920945000000000);
		in->bytes += c->body[0].n;
	}
}

static double
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static size_t
ship(struct otlp_batch *b, struct libdeflate_compressor *z, uint8_t *out)
{
	struct bytes request = otlp_batch_finish(b);
	size_t n = request.n;

	if (z != NULL)
		n = libdeflate_gzip_compress(z, request.p, request.n, out,
		    BATCH_CAP + 4096);
	otlp_batch_reset(b);
	return n;
}

static struct result
run(const struct input *in, unsigned long records, int level)
{
	static uint8_t out[BATCH_CAP + 4096];
	struct otlp_conf conf = {
		.norm.service_namespace = "emp", .limits = OTLP_DASH0
	};
	struct libdeflate_compressor *z = NULL;
	struct otlp_batch *b;
	struct env env;
	unsigned long done = 0;
	size_t sent = 0, i = 0;
	double start;

	env_init(&env, NULL, "bench");
	if (otlp_batch_new(&b, &env, &conf, BATCH_CAP) != 0)
		abort();
	if (level > 0)
		z = libdeflate_alloc_compressor(level);
	start = cpu_ns();
	for (; done < records; i++) {
		if (otlp_batch_add(b, &in->chunk[i % CHUNKS], 0, UINT32_MAX,
		    UINT64_C(1754920946000000000)) == 0) {
			done += CHUNK_RECORDS;
			continue;
		}
		sent += ship(b, z, out);
		i--;
	}
	sent += ship(b, z, out);
	start = cpu_ns() - start;
	if (z != NULL)
		libdeflate_free_compressor(z);
	otlp_batch_free(&b);
	env_fini(&env);
	return (struct result){ start / (double)done,
	    (double)sent / (double)done };
}

int
main(int argc, char **argv)
{
	unsigned long records = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
	static const int levels[] = { 1, 4, 6 };
	struct input *in = malloc(sizeof(*in));
	struct result r;
	size_t i;

	if (in == NULL)
		return 1;
	fill(in, true);
	r = run(in, records, 0);
	printf("{\"records\":%lu,\"record_identity_ns\":%.0f", records, r.ns);
	fill(in, false);
	r = run(in, records, 0);
	printf(",\"lane_identity_ns\":%.0f,\"in_bytes\":%.0f,"
	    "\"out_bytes\":%.0f", r.ns,
	    (double)in->bytes / (CHUNKS * CHUNK_RECORDS), r.out_bytes);
	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		r = run(in, records, levels[i]);
		printf(",\"gzip%d_ns\":%.0f,\"gzip%d_bytes\":%.0f", levels[i],
		    r.ns, levels[i], r.out_bytes);
	}
	printf("}\n");
	free(in);
	return 0;
}
