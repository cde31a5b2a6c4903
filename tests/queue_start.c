/* SPDX-License-Identifier: ISC */
/*
 * queue_start.c - how long a queue takes to open, of a real disk
 *
 *   queue_start DIRECTORY MIB
 *
 * Fills a queue with so much, closes it, spoils one byte in every segment
 * and opens it twice: with nothing of it in the page cache, and with all of
 * it there.  Prints both, and what that is for a GiB.  Exits 1 when the second
 * takes more than 2 s for a GiB, for the first is the disk's to answer for.
 */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"
#include "loop/loop.h"
#include "queue/queue.h"

#define PUTS		1024u
#define SECONDS_PER_GIB	2.0

static struct env env;
static struct loop *loop;
static struct queue *q;
static struct queue_put put[PUTS], *idle;
static uint8_t body[65536];
static uint64_t under_way, frames;
static bool over;
static int res;

static void
fail(const char *what, int r)
{
	fprintf(stderr, "queue_start: %s: %s\n", what, strerror(-r));
	exit(1);
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
on_open(void *arg, int r)
{
	over = true;
	res = r;
}

static void
on_close(void *arg)
{
	over = true;
}

static void
on_put(struct queue_put *p, int r)
{
	if (r < 0)
		fail("put", r);
	p->next = idle;
	idle = p;
	under_way--;
}

static void
until_over(void)
{
	while (!over)
		(void)loop_turn(loop, true);
	over = false;
}

/* Its seconds. */
static double
open_queue(const char *dir)
{
	struct queue_conf conf = { .dir = dir };
	double begin = seconds();

	env_init(&env, loop, "start");
	env.log_fd = -1;
	res = queue_new(&q, &env, &conf);
	if (res < 0)
		fail("queue", res);
	queue_open(q, on_open, NULL);
	until_over();
	if (res < 0)
		fail(dir, res);
	return seconds() - begin;
}

static void
close_queue(void)
{
	queue_close(q, on_close, NULL);
	until_over();
	queue_free(&q);
	env_fini(&env);
}

/* Frames as a relay has them: from some hundred bytes to 64 KiB. */
static void
fill(uint64_t bytes)
{
	struct queue_put *p;
	struct chunk c;
	uint64_t given = 0, pos = 0;
	size_t n;

	while (given < bytes || under_way > 0) {
		while (given < bytes && (p = idle) != NULL) {
			n = 256 + (frames * 7919) % (sizeof(body) - 256);
			c = (struct chunk){ .records = 1, .from = pos,
			    .to = pos + n, .taken_ns = loop_wall(loop),
			    .stream = "start-lane-0001",
			    .body = { bytes_of(body, n) } };
			p->done = on_put;
			idle = p->next;
			if (queue_put(q, &c, p) < 0) {
				p->next = idle;
				idle = p;
				break;
			}
			pos += n;
			given += n;
			frames++;
			under_way++;
		}
		(void)loop_turn(loop, true);
	}
}

/* One byte of each segment; its pages leave the memory. */
static uint32_t
spoil(const char *dir)
{
	struct dirent *e;
	char path[512];
	uint32_t n = 0;
	DIR *d = opendir(dir);
	int fd;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strstr(e->d_name, ".seg") == NULL)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0 || pwrite(fd, "\xa5", 1, 70000 + n) != 1 ||
		    fsync(fd) < 0)
			perror(path);
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
		n++;
	}
	if (d != NULL)
		closedir(d);
	return n;
}

int
main(int argc, char **argv)
{
	uint64_t mib = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
	double cold, warm, gib = (double)mib / 1024;
	uint64_t held, kept;
	uint32_t i, segs;

	if (mib == 0) {
		fprintf(stderr, "usage: queue_start DIRECTORY MIB\n");
		return 2;
	}
	if (loop_new(&loop, LOOP_AUTO, NULL) < 0)
		return 1;
	for (i = 0; i < PUTS; i++) {
		put[i].next = idle;
		idle = &put[i];
	}
	loop_random(loop, body, sizeof(body));
	(void)open_queue(argv[1]);
	fill(mib << 20);
	close_queue();
	segs = spoil(argv[1]);
	cold = open_queue(argv[1]);
	held = queue_held_frames(q);
	kept = ctr_get(&env.ctr, CTR_queue_quarantined_frames);
	close_queue();
	warm = open_queue(argv[1]);
	close_queue();
	loop_free(&loop);
	printf("start: %" PRIu64 " MiB, %u segments, %" PRIu64 " of %" PRIu64
	    " frames intact: %.2f s from the disk, %.2f s from memory; "
	    "of a GiB %.2f s and %.2f s\n", mib, segs, held, frames, cold, warm,
	    cold / gib, warm / gib);
	if (kept == 0 || held + kept < frames || held >= frames) {
		printf("start: %" PRIu64 " pieces in quarantine\n", kept);
		return 1;
	}
	return warm / gib <= SECONDS_PER_GIB ? 0 : 1;
}
