/* SPDX-License-Identifier: ISC */
/*
 * fuzz_queue.c - any bytes in the directory of a queue (libFuzzer: clang)
 *
 * Input: a byte of options, then segments, each behind its length in two
 * bytes (of 16).  Frames are sealed anew where their magic stands, so that
 * what is behind the sum is reached too.  Claims: the queue opens; what it
 * gives out has bytes as its range says and comes in order; a put becomes
 * durable and comes, at once or after another start; what is held comes or
 * is counted as lost, and when all is committed nothing is held.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/must.h"
#include "fileloop.h"
#include "queue/frame.h"
#include "queue/queue.h"
#include "queue/streams.h"

#define SEGMENTS	4u
#define INPUT_MAX	(64u << 10)
#define GENERATION	0x1122334455667788u

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct life {
	struct env	 env;
	struct loop	*l;
	struct queue	*q;
	int		 open_res;
	int		 put_res;
	bool		 closed;
};

static uint8_t buf[QUEUE_TAKE_MAX];

static int
drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void
seal(uint8_t *p, size_t n, uint8_t options)
{
	static const uint8_t magic[] = { 'E', 'M', 'Q', 'F' };
	struct frame f;
	size_t at;

	for (at = 0; n - at >= FRAME_HEAD; at += 8) {
		if (memcmp(p + at + 8, magic, sizeof(magic)) != 0 ||
		    frame_peek(p + at, n - at, &f) < 0 || f.size > n - at)
			continue;
		frame_seal(p + at, options & 2 ? f.generation : GENERATION,
		    options & 4 ? f.at : at);
	}
}

static void
write_segment(const char *dir, unsigned i, const uint8_t *p, size_t n,
    uint8_t options)
{
	uint8_t *copy = malloc(n + 1);
	char path[128];
	int fd;

	must(copy != NULL);
	memcpy(copy, p, n);
	if (options & 1)
		seal(copy, n, options);
	snprintf(path, sizeof(path), "%s/%016x.seg", dir, i + 1);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(fd >= 0);
	must(write(fd, copy, n) == (ssize_t)n);
	close(fd);
	free(copy);
}

static void
lay_out(const char *dir, const uint8_t *p, size_t n)
{
	uint8_t options = p[0];
	unsigned i;
	size_t len;

	for (p++, n--, i = 0; n > 2 && i < SEGMENTS; i++) {
		len = ((size_t)p[0] | (size_t)p[1] << 8) * 16;
		p += 2;
		n -= 2;
		if (len > n || i == SEGMENTS - 1)
			len = n;
		write_segment(dir, i, p, len, options);
		p += len;
		n -= len;
	}
}

/* ---- a life ---- */

static void
on_open(void *arg, int res)
{
	struct life *life = arg;

	life->open_res = res;
}

static void
on_close(void *arg)
{
	struct life *life = arg;

	life->closed = true;
}

static void
on_put(struct queue_put *put, int res)
{
	struct life *life = put->arg;

	life->put_res = res;
}

static void
begin(struct life *life, const char *dir)
{
	const struct queue_conf conf = { .dir = dir, .bytes_max = 8 << 20,
	    .segment_bytes = 1 << 20 };

	*life = (struct life){ .open_res = 1 };
	life->l = fileloop_new();
	env_init(&life->env, life->l, "fuzz");
	life->env.log_fd = -1;
	must(queue_new(&life->q, &life->env, &conf) == 0);
	queue_open(life->q, on_open, life);
	fileloop_settle(life->l);
	must(life->open_res == 0);
}

static void
finish(struct life *life)
{
	queue_close(life->q, on_close, life);
	fileloop_settle(life->l);
	must(life->closed);
	queue_free(&life->q);
	env_fini(&life->env);
	loop_free(&life->l);
}

static uint64_t
lost(const struct life *life)
{
	return ctr_get(&life->env.ctr, CTR_queue_lost_frames);
}

/* It may have given its bytes back, and read them again. */
static int
take(struct life *life, struct chunk *c, uint64_t *ret_seq,
    enum queue_flow *ret_flow)
{
	int i, r = -EAGAIN;

	for (i = 0; i < 2 && r == -EAGAIN; i++) {
		fileloop_settle(life->l);
		*ret_flow = queue_turn(life->q);
		r = queue_take(life->q, buf, sizeof(buf), c, ret_seq);
	}
	return r;
}

/* All that comes, or is counted as lost; how often ours is among it. */
static unsigned
drain(struct life *life, const uint8_t id[STREAM_ID_LEN], bool commit)
{
	uint64_t seq, next[2] = { 0 }, held = queue_held_frames(life->q);
	uint64_t gone = lost(life), came = 0;
	enum queue_flow flow;
	unsigned ours = 0;
	struct chunk c;

	while (take(life, &c, &seq, &flow) == 0) {
		must(seq >= next[flow]);
		next[flow] = seq + 1;
		must(stream_is_none(c.stream) ||
		    c.to - c.from == chunk_body_len(&c));
		ours += memcmp(c.stream, id, STREAM_ID_LEN) == 0 &&
		    c.from == 0 && c.body[0].n == 7;
		came++;
		if (commit)
			queue_commit(life->q, seq);
	}
	must(came + lost(life) - gone == held);
	return ours;
}

/* 1 when it was new and is durable now. */
static unsigned
put(struct life *life, const uint8_t id[STREAM_ID_LEN])
{
	struct chunk c = { .to = 7, .records = 1,
	    .body = { BYTES("\x92\x00\x81\xa1k\xa1v") } };
	struct queue_put qp = { .done = on_put, .arg = life };
	struct range r;

	memcpy(c.stream, id, STREAM_ID_LEN);
	/* The bytes found may say that it is taken: then that is so. */
	if (streams_cut(queue_streams(life->q), id, 0, 7, &r) < 0 ||
	    r.from != 0 || r.to != 7)
		return 0;
	life->put_res = 1;
	must(queue_put(life->q, &c, &qp) == 0);
	fileloop_settle(life->l);
	must(life->put_res == 0);
	must(streams_cut(queue_streams(life->q), id, 0, 7, &r) == -ENOENT);
	return 1;
}

/* As after an outage: what was there is backlog, if its time says so. */
static void
come_back(struct life *life)
{
	fileloop_settle(life->l);
	fileloop_pass(life->l, UINT64_C(61000000000));
	fileloop_settle(life->l);
	queue_return(life->q);
}

static void
live(const char *dir)
{
	static const uint8_t id[STREAM_ID_LEN] = { 0xf0, 0x0d, 1, 2, 3 };
	static const uint8_t more[STREAM_ID_LEN] = { 0xf0, 0x0d, 4, 5, 6 };
	struct life life;
	unsigned n, came;

	begin(&life, dir);
	n = drain(&life, id, false);
	queue_rewind(life.q);
	come_back(&life);
	n += put(&life, id);
	(void)drain(&life, id, false);
	finish(&life);
	begin(&life, dir);
	come_back(&life);
	(void)put(&life, more);
	came = drain(&life, id, true);
	must(came >= n || lost(&life) >= n - came);	/* it may be any number */
	finish(&life);
	begin(&life, dir);
	must(queue_held_frames(life.q) == 0);
	finish(&life);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char dir[] = "/dev/shm/fuzz-queue-XXXXXX";

	if (n < 3 || n > INPUT_MAX)
		return 0;
	must(mkdtemp(dir) != NULL);
	lay_out(dir, p, n);
	live(dir);
	must(nftw(dir, drop, 16, FTW_DEPTH | FTW_PHYS) == 0);
	return 0;
}
