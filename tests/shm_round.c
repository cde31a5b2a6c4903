/* SPDX-License-Identifier: ISC */
/*
 * shm_round.c - a producer and a consumer around one ring, without any library
 *
 * What:     a child opens libemplog, logs from several threads through lanes
 *           small enough to fill, and dies by SIGKILL; the parent reads the
 *           lanes as the agent does and counts whole records.
 * Used by:  tests/t0100-shm-musl.sh, which builds it with another libc.
 * Usage:    shm_round ring_dir; prints "round ok", exits 1 when not so.
 */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/emplog.h"
#include "shm/reader.h"

#define THREADS	4
#define EACH	5000u
#define LANES	16

static struct emplog *elog;

#define expect(x) ((x) ? (void)0 : failed(#x, __LINE__))

static void
failed(const char *what, int line)
{
	printf("shm_round.c:%d: %s\n", line, what);
	exit(1);
}

/* Logs until EACH records were taken. */
static void *
produce(void *arg)
{
	const struct timespec nap = { .tv_nsec = 100000 };
	unsigned i;

	for (i = 0; i < EACH;) {
		if (emplog_info(elog, "round", EMPLOG_UINT("i", i),
		    EMPLOG_STR("text", "some text to fill the lane")) == 0)
			i++;
		else
			nanosleep(&nap, NULL);
	}
	return NULL;
}

static void
child(const char *dir, int up)
{
	struct emplog_options o = { .ring_dir = dir, .lane_bytes = 65536,
	    .console = EMPLOG_CONSOLE_OFF };
	struct emplog_job job = EMPLOG_JOB("job-1");
	pthread_t t[THREADS];
	unsigned i;

	expect(emplog_open(&elog, &o) == 0);
	expect(emplog_job_started(elog, &job, NULL, 0) == 0);
	for (i = 0; i < THREADS; i++)
		expect(pthread_create(&t[i], NULL, produce, NULL) == 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	expect(write(up, "d", 1) == 1);
	raise(SIGKILL);
}

struct seen {
	char		 name[64];
	struct reader	 r;
	uint64_t	 at;
	uint64_t	 records;
};
static struct seen seen[LANES];
static unsigned n_seen;

static uint8_t
byte_at(const struct reader_piece p[2], uint64_t i)
{
	return i < p[0].n ? p[0].p[i] : p[1].p[i - p[0].n];
}

/* Records begin 92 d7 00; that sequence is in no text here. */
static uint64_t
count(const struct reader_piece p[2])
{
	uint64_t i, n = 0, bytes = p[0].n + p[1].n;

	for (i = 0; i + 2 < bytes; i++)
		n += byte_at(p, i) == 0x92 && byte_at(p, i + 1) == 0xd7 &&
		    byte_at(p, i + 2) == 0;
	return n;
}

static uint64_t
consume(struct seen *s)
{
	struct reader_piece p[2];
	uint64_t head = reader_head(&s->r, s->at);

	if (head == s->at)
		return 0;
	reader_pieces(&s->r, s->at, head, p);
	expect(byte_at(p, 0) == 0x92);
	s->records += count(p);
	reader_set_tail(&s->r, head);
	head -= s->at;
	s->at += head;
	return head;
}

static void
look(const char *dir)
{
	struct dirent *e;
	char path[512];
	unsigned i;
	DIR *d = opendir(dir);

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strlen(e->d_name) != 37 ||
		    strcmp(e->d_name + 32, ".lane") != 0)
			continue;
		for (i = 0; i < n_seen; i++)
			if (strcmp(seen[i].name, e->d_name) == 0)
				break;
		if (i < n_seen)
			continue;
		expect(n_seen < LANES);
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		expect(reader_attach(&seen[n_seen].r, &shm_sys_os, path,
		    true) == 0);
		memcpy(seen[n_seen++].name, e->d_name, 38);
	}
	if (d != NULL)
		closedir(d);
}

int
main(int argc, char **argv)
{
	const struct timespec nap = { .tv_nsec = 100000 };
	struct reader_job job;
	uint64_t records = 0, got;
	unsigned i, jobs = 0;
	int up[2], status = 0;
	bool dead = false;
	pid_t pid;

	expect(argc == 2 && pipe(up) == 0);
	pid = fork();
	expect(pid >= 0);
	if (pid == 0)
		child(argv[1], up[1]);
	close(up[1]);
	do {
		dead = dead || waitpid(pid, &status, WNOHANG) == pid;
		look(argv[1]);
		for (got = 0, i = 0; i < n_seen; i++)
			got += consume(&seen[i]);
		nanosleep(&nap, NULL);
	} while (got > 0 || !dead);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	for (i = 0; i < n_seen; i++) {
		expect(reader_alive(&seen[i].r) == 0);
		expect(!reader_closed(&seen[i].r));
		expect(seen[i].records == reader_records(&seen[i].r));
		records += seen[i].records;
		jobs += reader_jobs(&seen[i].r, &job, 1);
	}
	expect(jobs == 1 && strcmp(job.id, "job-1") == 0);
	/* One for the job; what was refused was told in gap records. */
	expect(records >= THREADS * EACH + 1);
	printf("round ok: %llu records in %u lanes\n",
	    (unsigned long long)records, n_seen);
	return 0;
}
