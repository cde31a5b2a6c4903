/* SPDX-License-Identifier: ISC */
/*
 * fuzz_lane.c - the reader over a lane that another thread scribbles over
 *
 * Input: bytes for the control area (every word that is not the file's own
 * name), then a script: where, what, for how long.  A thread plays it again
 * and again on a second mapping, and now and then cuts the file short, while
 * the reader does all it can.  Claims: no call leaves its bounds or does not
 * end; positions only grow; pieces lie in the mapping.  The sanitizer that
 * would see the two threads race has its say in test_race.c; here two
 * processes' worth of memory is only lied to.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "shm/reader.h"

#define DATA		((uint64_t)LANE_DATA_MIN)
#define LANE		(LANE_DATA_AT + DATA)
#define STEP		10		/* u16 where, u64 what */
#define ROUNDS		64

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct liar {
	uint8_t		*base;
	const uint8_t	*script;
	size_t		 n;
	int		 fd;
	_Atomic int	 stop;
};

/* A whole word at once, as a processor would store it. */
static void
poke(struct liar *y, size_t at, uint64_t v)
{
	_Atomic uint64_t *word;

	word = (_Atomic uint64_t *)(void *)(y->base + (at & ~(size_t)7));
	atomic_store_explicit(word, v, memory_order_relaxed);
}

/* Where lies are told: the words of both sides, the marks, the jobs. */
static void
lie(struct liar *y, const uint8_t *s)
{
	size_t where = (size_t)s[0] | (size_t)s[1] << 8;
	uint64_t v;

	memcpy(&v, s + 2, sizeof(v));
	poke(y, LANE_PRODUCER_AT + where % (LANE_JOBS_AT +
	    sizeof(struct lane_job) * LANE_JOBS - LANE_PRODUCER_AT), v);
}

static void *
tell_lies(void *arg)
{
	struct liar *y = arg;
	size_t at;

	while (atomic_load(&y->stop) == 0) {
		for (at = 0; at + STEP <= y->n; at += STEP)
			lie(y, y->script + at);
		if (y->n < STEP)
			break;
	}
	return NULL;
}

/* ---- the file ---- */

static int
make_lane(char *path, struct liar *y, const uint8_t *p, size_t n)
{
	struct lane_head *h;
	size_t i;
	int fd;

	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return fd;
	must(ftruncate(fd, (off_t)LANE) == 0);
	y->base = mmap(NULL, LANE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(y->base != MAP_FAILED);
	y->fd = fd;
	h = (struct lane_head *)(void *)y->base;
	memcpy(h->magic, LANE_MAGIC, sizeof(h->magic));
	h->version = LANE_VERSION;
	h->control_bytes = LANE_CONTROL_BYTES;
	h->data_bytes = DATA;
	h->uid = (uint32_t)getuid();
	h->identity_len = n > 0 ? p[0] * 16u : 0;
	for (i = 0; i + STEP <= n; i += STEP)
		lie(y, p + i);
	return fd;
}

/* ---- what the agent and the observers do ---- */

static void
touch(const struct reader *r, struct reader_piece piece)
{
	const uint8_t *base = r->base;
	volatile uint8_t sink;

	if (piece.n == 0)
		return;
	must(piece.p >= base + LANE_DATA_AT);
	must(piece.n <= LANE - (size_t)(piece.p - base));
	sink = piece.p[0];
	sink = piece.p[piece.n - 1];
	(void)sink;
}

static void
consume(struct reader *r, uint64_t *tail)
{
	uint64_t head = reader_head(r, *tail), to;
	struct reader_piece piece[2];

	must(head >= *tail && head - *tail <= DATA);
	if (head == *tail)
		return;
	to = reader_cut(r, *tail, head, DATA / 4);
	must(to > *tail && to <= head);
	reader_pieces(r, *tail, to, piece);
	must(piece[0].n + piece[1].n == to - *tail);
	touch(r, piece[0]);
	touch(r, piece[1]);
	(void)reader_records_at(r, to, head);
	reader_set_tail(r, to);
	reader_set_knock(r, head + 1);
	reader_drop(r, to);
	*tail = to;
}

static void
ask(struct reader *r)
{
	struct reader_job job[LANE_JOBS];
	struct reader_gap gap;
	unsigned i, n;

	n = reader_jobs(r, job, LANE_JOBS);
	must(n <= LANE_JOBS);
	for (i = 0; i < n; i++)
		must(memchr(job[i].id, '\0', sizeof(job[i].id)) != NULL);
	if (reader_gap_claim(r, &gap) == 1) {
		must(gap.total > 0);
		reader_gap_told(r, &gap);
	}
	(void)reader_refused_more(r);
	(void)reader_records(r);
	(void)reader_closed(r);
	(void)reader_check(r);
}

static void
watch(struct reader *r, uint64_t *pos)
{
	static uint8_t copy[READER_COPY_MIN(LANE_DATA_MIN)];
	bool skipped;

	must(reader_copy(r, pos, copy, sizeof(copy), &skipped) <=
	    sizeof(copy));
}

static void
read_on(struct reader *r, struct liar *y, size_t cut)
{
	uint64_t tail = reader_tail(r), pos = reader_oldest(r);
	unsigned i;

	for (i = 0; i < ROUNDS; i++) {
		consume(r, &tail);
		watch(r, &pos);
		if (i % 8 == 0)
			ask(r);
		if (i == ROUNDS / 2 && cut > 0)
			must(ftruncate(y->fd, (off_t)(cut % LANE)) == 0);
	}
	must(r->intact <= r->mapped);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char path[] = "/dev/shm/fuzz-lane-XXXXXX";
	struct liar y = { .stop = 0 };
	size_t split = n / 2;
	struct reader r;
	pthread_t t;
	int fd, res;

	if (n < 4 || n > 4096)
		return 0;
	must(reader_guard_install() == 0);
	fd = make_lane(path, &y, p + 3, split > 3 ? split - 3 : 0);
	must(fd >= 0);
	y.script = p + split;
	y.n = n - split;
	res = reader_attach(&r, &shm_sys_os, path, true);
	if (res == 0) {
		must(pthread_create(&t, NULL, tell_lies, &y) == 0);
		/* The liar's own mapping must not be cut under it. */
		read_on(&r, &y, 0);
		atomic_store(&y.stop, 1);
		must(pthread_join(t, NULL) == 0);
		read_on(&r, &y, p[0] & 1 ? 1 + ((size_t)p[1] << 9 |
		    (size_t)p[2]) : 0);
		reader_detach(&r);
	}
	munmap(y.base, LANE);
	close(fd);
	must(unlink(path) == 0);
	return 0;
}
