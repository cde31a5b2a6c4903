/* SPDX-License-Identifier: ISC */
/*
 * bench_load.c - agents' worth of records for a real relay
 *
 * What:     as many connections as asked for, each a sender as an agent's,
 *           send chunks of records of twelve fields and about 300 bytes; done
 *           when the relay has acknowledged them all.  One line of JSON.
 * Usage:    bench_load PORT connections chunk_bytes records
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/env.h"
#include "base/must.h"
#include "forward/mp.h"
#include "hop/sender.h"
#include "loop/loop.h"

#define FLIGHT	8
#define CONNS_MAX 256

struct load;

struct conn {
	struct load	*load;
	struct sender	*sender;
	uint8_t		 stream[STREAM_ID_LEN];
	uint64_t	 at;
	struct hop_chunk hc[FLIGHT];
	struct hop_chunk *idle[FLIGHT];
	unsigned	 idle_n;
	bool		 closed;
};

struct load {
	struct loop	*loop;
	struct env	 env;
	struct conn	*conn;
	unsigned	 conn_n, up;
	struct bytes	 body;		/* of one chunk */
	uint64_t	 per_chunk;	/* records */
	uint64_t	 left;		/* chunks not given yet */
	uint64_t	 acked, acked_bytes;
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
pair(struct mpw *w, const char *key, const char *text)
{
	mpw_str(w, bytes_str(key));
	mpw_str(w, bytes_str(text));
}

static void
record(struct mpw *w, unsigned i, uint64_t wall_ns)
{
	char job[48], message[128], session[24];

	snprintf(job, sizeof(job), "job-%08x-0d3f-4d3e-9a53-%012x",
	    i * 2654435761u, i);
	snprintf(message, sizeof(message), "Job %u completed successfully after"
	    " %u steps in the queue of gpu %u", i, i % 50, i % 8);
	snprintf(session, sizeof(session), "sess-%06x", i / 7);
	mpw_array(w, 2);
	mpw_event_time(w, wall_ns + i);
	mpw_map(w, 12);
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
}

static void
prepare(struct load *l, size_t chunk_bytes)
{
	uint8_t *p = malloc(chunk_bytes);
	struct mpw w = { p, p + chunk_bytes, false };
	uint64_t wall = loop_wall(l->loop);

	must(p != NULL);
	while ((size_t)(w.end - w.p) > 512)
		record(&w, (unsigned)l->per_chunk++, wall);
	must(!w.full && l->per_chunk > 0);
	l->body = bytes_of(p, (size_t)(w.p - p));
}

static void	 push(struct conn *c);

static void
done(struct hop_chunk *hc, int res)
{
	struct conn *c = hc->arg;

	must(res == 0 || res == -ECANCELED);
	c->load->acked++;
	c->load->acked_bytes += chunk_body_len(&hc->chunk);
	c->idle[c->idle_n++] = hc;
	push(c);
}

static void
push(struct conn *c)
{
	struct load *l = c->load;
	struct hop_chunk *hc;

	while (c->idle_n > 0 && l->left > 0) {
		hc = c->idle[c->idle_n - 1];
		hc->done = done;
		hc->arg = c;
		hc->chunk = (struct chunk){ .from = c->at,
		    .to = c->at + l->body.n, .body = { l->body } };
		memcpy(hc->chunk.stream, c->stream, STREAM_ID_LEN);
		if (sender_send(c->sender, hc) < 0)
			return;
		c->idle_n--;
		c->at += l->body.n;
		l->left--;
	}
}

static void
up(void *arg)
{
	struct conn *c = arg;

	if (c->at == 0)
		c->load->up++;
}

static void
down(void *arg, int why)
{
	fprintf(stderr, "bench_load: connection lost: %s\n", strerror(-why));
	exit(1);
}

static void
closed(void *arg)
{
	((struct conn *)arg)->closed = true;
}

static void
connect_all(struct load *l, const char *port)
{
	char peer[32];
	struct sender_conf conf = { .peers = peer, .agent_id = "bench",
	    .up = up, .down = down };
	struct conn *c;
	unsigned k;

	snprintf(peer, sizeof(peer), "127.0.0.1:%s", port);
	for (c = l->conn; c < l->conn + l->conn_n; c++) {
		c->load = l;
		loop_random(l->loop, c->stream, sizeof(c->stream));
		for (k = 0; k < FLIGHT; k++)
			c->idle[c->idle_n++] = &c->hc[k];
		conf.arg = c;
		must(sender_new(&c->sender, &l->env, &conf) == 0);
		sender_start(c->sender);
	}
	while (l->up < l->conn_n)
		loop_turn(l->loop, true);
}

static void
disconnect_all(struct load *l)
{
	struct conn *c;

	for (c = l->conn; c < l->conn + l->conn_n; c++) {
		sender_close(c->sender, closed, c);
		while (!c->closed)
			loop_turn(l->loop, true);
		sender_free(&c->sender);
	}
}

int
main(int argc, char **argv)
{
	struct load l = { 0 };
	uint64_t start, chunks;
	double wall_s;
	unsigned i;

	if (argc < 5 || (l.conn_n = (unsigned)atoi(argv[2])) < 1 ||
	    l.conn_n > CONNS_MAX) {
		fputs("usage: bench_load PORT connections chunk_bytes "
		    "records\n", stderr);
		return 2;
	}
	must(loop_new(&l.loop, LOOP_EPOLL, NULL) == 0);
	env_init(&l.env, l.loop, "bench");
	l.conn = calloc(l.conn_n, sizeof(*l.conn));
	must(l.conn != NULL);
	prepare(&l, strtoul(argv[3], NULL, 10));
	l.left = chunks = strtoull(argv[4], NULL, 10) / l.per_chunk + 1;
	connect_all(&l, argv[1]);
	start = now_ns();
	for (i = 0; i < l.conn_n; i++)
		push(&l.conn[i]);
	while (l.acked < chunks)
		loop_turn(l.loop, true);
	wall_s = (double)(now_ns() - start) / 1e9;
	printf("{\"records\":%llu,\"bytes\":%llu,\"chunks\":%llu,"
	    "\"wall_s\":%.6f}\n",
	    (unsigned long long)(chunks * l.per_chunk),
	    (unsigned long long)l.acked_bytes, (unsigned long long)chunks,
	    wall_s);
	fflush(stdout);
	if (argc > 5)
		(void)getchar();	/* stays connected meanwhile */
	disconnect_all(&l);
	env_fini(&l.env);
	loop_free(&l.loop);
	free(l.conn);
	free((void *)(uintptr_t)l.body.p);
	return 0;
}
