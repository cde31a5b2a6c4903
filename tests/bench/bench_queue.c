/* SPDX-License-Identifier: ISC */
/*
 * bench_queue.c - how fast chunks become durable, and how fast they are read
 *
 *   bench_queue [directory [chunk bytes [total MiB [epoll|uring]]]]
 *
 * One JSON line: durable MB/s and frames/s, fdatasync calls, then the same
 * bytes taken and committed.  The directory is made and its segments stay
 * until the queue removes them.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/env.h"
#include "loop/loop.h"
#include "queue/queue.h"

#define SLOTS	32768

struct bench {
	struct env	 env;
	struct loop	*loop;
	struct queue	*q;
	struct queue_put put[SLOTS];
	struct queue_put *idle;
	size_t		 size;
	uint64_t	 total;		/* frames */
	uint64_t	 given;
	uint64_t	 durable;
	uint64_t	 taken;
	uint8_t		*body;
	uint8_t		*out;
	bool		 blocked;
	bool		 done;
	int		 res;
};

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
die(const char *what, int res)
{
	fprintf(stderr, "bench_queue: %s: %s\n", what, strerror(-res));
	exit(1);
}

static void
put_more(struct bench *b)
{
	struct queue_put *put;
	struct chunk c;
	int r;

	while (!b->blocked && b->given < b->total && b->idle != NULL) {
		put = b->idle;
		c = (struct chunk){ .records = 1,
		    .taken_ns = loop_wall(b->loop),
		    .body = { bytes_of(b->body, b->size) } };
		b->idle = put->next;
		r = queue_put(b->q, &c, put);
		if (r == 0) {
			b->given++;
			continue;
		}
		put->next = b->idle;
		b->idle = put;
		if (r != -EAGAIN && r != -ENOSPC)
			die("put", r);
		b->blocked = true;
	}
}

static void
put_done(struct queue_put *put, int res)
{
	struct bench *b = put->arg;

	if (res < 0)
		die("durable", res);
	put->next = b->idle;
	b->idle = put;
	b->durable++;
}

static void
take_more(struct bench *b)
{
	struct chunk c;
	uint64_t seq;

	while (queue_take(b->q, b->out, QUEUE_TAKE_MAX, &c, &seq) == 0) {
		queue_commit(b->q, seq);
		b->taken++;
	}
}

static void
on_notify(void *arg)
{
	struct bench *b = arg;

	b->blocked = false;
}

static void
on_open(void *arg, int res)
{
	struct bench *b = arg;

	b->done = true;
	b->res = res;
}

static void
on_close(void *arg)
{
	((struct bench *)arg)->done = true;
}

static void
until_done(struct bench *b)
{
	while (!b->done)
		loop_turn(b->loop, true);
	b->done = false;
}

static void
set_up(struct bench *b, const char *dir, enum loop_io io)
{
	struct queue_conf conf = { .dir = dir, .notify = on_notify,
	    .notify_arg = b };
	char why[LOOP_WHY];
	int i, r;

	r = loop_new(&b->loop, io, why);
	if (r < 0)
		die("loop", r);
	env_init(&b->env, b->loop, "bench");
	for (i = 0; i < SLOTS; i++) {
		b->put[i] = (struct queue_put){ .done = put_done, .arg = b,
		    .next = b->idle };
		b->idle = &b->put[i];
	}
	b->body = malloc(b->size);
	b->out = malloc(QUEUE_TAKE_MAX);
	if (b->body == NULL || b->out == NULL)
		die("memory", -ENOMEM);
	loop_random(b->loop, b->body, b->size);
	r = queue_new(&b->q, &b->env, &conf);
	if (r < 0)
		die("queue", r);
	queue_open(b->q, on_open, b);
	until_done(b);
	if (b->res < 0)
		die(dir, b->res);
}

static uint64_t
run_puts(struct bench *b)
{
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);

	while (b->durable < b->total) {
		put_more(b);
		loop_turn(b->loop, true);
	}
	return clock_ns(CLOCK_MONOTONIC) - begin;
}

static uint64_t
run_takes(struct bench *b)
{
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);

	take_more(b);
	while (b->taken < b->total) {
		loop_turn(b->loop, true);
		take_more(b);
	}
	return clock_ns(CLOCK_MONOTONIC) - begin;
}

static void
report(struct bench *b, uint64_t put_ns, uint64_t take_ns, uint64_t syncs,
    uint64_t cpu_ns)
{
	double bytes = (double)b->total * (double)b->size;

	printf("{\"bench\":\"queue\",\"io\":\"%s\",\"chunk\":%zu,"
	    "\"frames\":%" PRIu64 ",\"durable_mb_s\":%.1f,"
	    "\"durable_frames_s\":%.0f,\"fdatasync\":%" PRIu64 ","
	    "\"put_cpu_s_per_gb\":%.2f,\"take_mb_s\":%.1f}\n",
	    loop_name(b->loop), b->size, b->total,
	    bytes * 1e3 / (double)put_ns,
	    (double)b->total * 1e9 / (double)put_ns, syncs,
	    (double)cpu_ns / bytes, bytes * 1e3 / (double)take_ns);
}

int
main(int argc, char **argv)
{
	static struct bench b;
	uint64_t put_ns, take_ns, syncs, cpu;
	enum loop_io io = LOOP_AUTO;

	b.size = argc > 2 ? strtoul(argv[2], NULL, 10) : 65536;
	if (b.size == 0 || b.size > CHUNK_BYTES_MAX)
		die("chunk bytes", -EINVAL);
	b.total = ((argc > 3 ? strtoul(argv[3], NULL, 10) : 512) << 20) /
	    b.size;
	if (argc > 4)
		io = strcmp(argv[4], "uring") == 0 ? LOOP_URING : LOOP_EPOLL;
	set_up(&b, argc > 1 ? argv[1] : "bench-queue", io);
	syncs = ctr_get(&b.env.ctr, CTR_queue_syncs);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	put_ns = run_puts(&b);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	syncs = ctr_get(&b.env.ctr, CTR_queue_syncs) - syncs;
	take_ns = run_takes(&b);
	report(&b, put_ns, take_ns, syncs, cpu);
	queue_close(b.q, on_close, &b);
	until_done(&b);
	queue_free(&b.q);
	env_fini(&b.env);
	loop_free(&b.loop);
	free(b.body);
	free(b.out);
	return 0;
}
