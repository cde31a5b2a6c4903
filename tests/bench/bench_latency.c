/* SPDX-License-Identifier: ISC */
/*
 * bench_latency.c - from a call to the exported line, on an idle system
 *
 * What:     logs single records at random times, 50 to 450 ms apart, each
 *           with the time of its call; waits (inotify, no polling) for the
 *           lines of the local export and takes the difference.
 * Usage:    bench_latency export_dir records
 *           EMPLOG_RING_DIR names the ring of the agent.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <unistd.h>

#include "bench_series.h"
#include "shm/emplog.h"

#define KEY "\"sent_ns\",\"value\":{\"intValue\":\""

struct tail {
	char		 dir[256];
	int		 ino_fd, fd;
	char		 buf[1 << 16];
	size_t		 n;
};

/* Its first file: the bench writes far less than one. */
static void
tail_open(struct tail *t)
{
	struct dirent *e;
	DIR *d = opendir(t->dir);

	while (t->fd < 0 && d != NULL && (e = readdir(d)) != NULL)
		if (strncmp(e->d_name, "logs", 4) == 0)
			t->fd = openat(dirfd(d), e->d_name, O_RDONLY);
	if (d != NULL)
		closedir(d);
}

/* Takes the times of the whole lines that are there. */
static size_t
tail_take(struct tail *t, struct series *s, size_t at)
{
	char *p = t->buf, *end, *key;
	uint64_t now = now_ns();

	t->buf[t->n] = '\0';
	while ((end = strchr(p, '\n')) != NULL) {
		*end = '\0';
		for (; (key = strstr(p, KEY)) != NULL; p = key + 1)
			if (at < s->n)
				s->ns[at++] = (uint32_t)((now -
				    strtoull((key += strlen(KEY)), NULL, 10)) /
				    1000);
		p = end + 1;
	}
	t->n -= (size_t)(p - t->buf);
	memmove(t->buf, p, t->n);
	return at;
}

static size_t
tail_read(struct tail *t, struct series *s, size_t at)
{
	ssize_t n;

	if (t->fd < 0)
		tail_open(t);
	while (t->fd >= 0 && (n = read(t->fd, t->buf + t->n,
	    sizeof(t->buf) - 1 - t->n)) > 0) {
		t->n += (size_t)n;
		at = tail_take(t, s, at);
	}
	return at;
}

static bool
wait_change(struct tail *t, int wait_ms)
{
	struct pollfd p = { .fd = t->ino_fd, .events = POLLIN };
	char events[4096];

	return poll(&p, 1, wait_ms) == 1 &&
	    read(t->ino_fd, events, sizeof(events)) > 0;
}

static int
send_one(struct emplog *log)
{
	return emplog_info(log, "one record",
	    EMPLOG_STR("event_type", "bench_latency"),
	    EMPLOG_UINT("sent_ns", now_ns()));
}

static size_t
run(struct emplog *log, struct tail *t, struct series *s)
{
	uint64_t end;
	size_t at = 0, i;
	uint16_t r;

	for (i = 0; i < s->n; i++) {
		if (getrandom(&r, sizeof(r), 0) != sizeof(r) ||
		    send_one(log) < 0)
			return at;
		end = now_ns() + 50000000u + r % 400u * 1000000u;
		while (now_ns() < end)
			if (wait_change(t, (int)((end - now_ns()) / 1000000) +
			    1))
				at = tail_read(t, s, at);
	}
	while (at < s->n && wait_change(t, 5000))
		at = tail_read(t, s, at);
	return at;
}

int
main(int argc, char **argv)
{
	static struct tail t = { .fd = -1 };
	struct emplog_options o = { .console = EMPLOG_CONSOLE_OFF };
	struct series s = { 0 };
	struct emplog *log;
	size_t got;

	if (argc < 3) {
		fputs("usage: bench_latency export_dir records\n", stderr);
		return 2;
	}
	snprintf(t.dir, sizeof(t.dir), "%s", argv[1]);
	t.ino_fd = inotify_init1(IN_CLOEXEC);
	if (t.ino_fd < 0 || inotify_add_watch(t.ino_fd, t.dir,
	    IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
		perror(t.dir);
		return 1;
	}
	series_init(&s, strtoul(argv[2], NULL, 10));
	if (emplog_open(&log, &o) < 0)
		return 1;
	got = run(log, &t, &s);
	if (got < s.n) {
		fprintf(stderr, "bench_latency: %zu of %zu came\n", got, s.n);
		return 1;
	}
	printf("{\"records\":%zu,\"p50_us\":%u,", s.n, series_at(&s, 500));
	printf("\"p99_us\":%u,\"max_us\":%u}\n", series_at(&s, 990),
	    s.ns[s.n - 1]);
	emplog_close(&log);
	series_fini(&s);
	return 0;
}
