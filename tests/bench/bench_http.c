/* SPDX-License-Identifier: ISC */
/*
 * bench_http.c - what a record by HTTP costs the server process
 *
 * How:      a child serves and ingests into a sink that only counts; the
 *           parent posts over one keep-alive connection, so that only the
 *           child's CPU time is measured.  One line of JSON per case.
 * Usage:    bench_http [epoll|uring]
 *           bench_http at PORT RECORDS_PER_POST POSTS [CONNECTIONS]
 *                     the client alone, for a real agent; POSTS 0: one body
 *                     of 16 MiB; CONNECTIONS: so many are under way at once
 */
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"
#include "http/ingest.h"
#include "loop/loop.h"

struct server {
	struct loop	*loop;
	struct env	 env;
	struct serve	*serve;
	struct ingest	*ingest;
	struct op	 accepting;
	int		 listen_fd;
	uint64_t	 records;
	long		 rss_max_kb;
	bool		 watch_rss;
};

struct stats {				/* what /stats answers, as bytes */
	uint64_t	 cpu_ns;
	uint64_t	 records;
	int64_t		 rss_kb;
	int64_t		 rss_max_kb;
};

static long
rss_anon_kb(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	long kb = -1;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "RssAnon: %ld", &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kb;
}

static uint64_t
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int
sink(void *arg, struct bytes entries, uint32_t records, bool durable,
    struct ingest_put *put)
{
	struct server *s = arg;
	long kb;

	(void)entries;
	(void)durable;
	(void)put;
	s->records += records;
	if (s->watch_rss && (kb = rss_anon_kb()) > s->rss_max_kb)
		s->rss_max_kb = kb;
	return 1;
}

static void
on_req(void *arg, struct serve_req *req)
{
	struct server *s = arg;
	struct stats st;

	if (strcmp(req_path(req), "/stats") != 0) {
		ingest_request(s->ingest, req);
		return;
	}
	s->watch_rss = req_query(req, "rss") != NULL;
	st = (struct stats){ cpu_ns(), s->records, rss_anon_kb(),
	    s->rss_max_kb };
	serve_answer(req, 200, NULL, bytes_of(&st, sizeof(st)), NULL, 0);
}

static void
on_accept(struct op *op)
{
	struct server *s = op->arg;

	if (op->res >= 0)
		(void)serve_take(s->serve, (int)op->res, &op->addr);
	loop_accept(s->loop, op, s->listen_fd);
}

static void
serve_forever(enum loop_io io, int ready_fd)
{
	static struct server s;
	struct ingest_conf ic = { .sink = sink, .arg = &s };
	struct serve_conf sc = { .handler = on_req, .arg = &s };
	struct loop_addr at;

	/* as main() does: a large body's memory goes back when it is freed */
	(void)mallopt(M_MMAP_THRESHOLD, 128 << 10);
	if (loop_new(&s.loop, io, NULL) < 0)
		_exit(77);
	env_init(&s.env, s.loop, "bench");
	if (serve_new(&s.serve, &s.env, &sc) < 0 ||
	    ingest_new(&s.ingest, &s.env, &ic) < 0)
		_exit(1);
	s.listen_fd = loop_listen(s.loop, "127.0.0.1:0", &at);
	op_init(&s.accepting, on_accept, &s);
	loop_accept(s.loop, &s.accepting, s.listen_fd);
	if (write(ready_fd, &at, sizeof(at)) != (ssize_t)sizeof(at))
		_exit(1);
	loop_run(s.loop);
	_exit(0);
}

/* ---- the client ---- */

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
send_all(int fd, const char *p, size_t n)
{
	ssize_t r;

	while (n > 0) {
		r = send(fd, p, n, MSG_NOSIGNAL);
		if (r <= 0)
			die("send");
		p += r;
		n -= (size_t)r;
	}
}

/* Reads one answer, which is 2xx; its body to ret if that is not NULL. */
static void
read_answer(int fd, void *ret, size_t ret_n)
{
	char in[4096], *end = NULL, *len;
	size_t n = 0, want = SIZE_MAX;
	ssize_t r;

	while (end == NULL || n < want) {
		r = recv(fd, in + n, sizeof(in) - 1 - n, 0);
		if (r <= 0)
			die("recv");
		n += (size_t)r;
		in[n] = '\0';
		if (end != NULL || (end = strstr(in, "\r\n\r\n")) == NULL)
			continue;
		len = strstr(in, "Content-Length: ");
		want = (size_t)(end - in) + 4 +
		    (len == NULL ? 0 : strtoul(len + 16, NULL, 10));
	}
	if (strncmp(in, "HTTP/1.1 2", 10) != 0)
		die("refused");
	if (ret != NULL && n >= ret_n)
		memcpy(ret, in + n - ret_n, ret_n);
}

static struct stats
stats_of(int fd, const char *path)
{
	struct stats st = { 0 };
	char head[128];

	(void)snprintf(head, sizeof(head),
	    "GET %s HTTP/1.1\r\nHost: b\r\n\r\n", path);
	send_all(fd, head, strlen(head));
	read_answer(fd, &st, sizeof(st));
	return st;
}

/* A record of about 300 bytes as the connectors write them. */
static size_t
one_record(char *p, size_t cap, unsigned n)
{
	return (size_t)snprintf(p, cap, "{\"timestamp\":"
	    "\"2025-08-11T14:02:07.118Z\",\"level\":\"info\",\"message\":"
	    "\"Job progress update\",\"machine_id\":\"gpu-7f3a\",\"worker_id\":"
	    "\"gpu-7f3a-worker-0\",\"service_type\":\"comfyui\","
	    "\"connector_id\":\"comfyui-gpu0\",\"event_type\":\"job_progress\","
	    "\"job_id\":\"job-%08x\",\"progress\":%u,\"queue_ms\":12.5}", n,
	    n % 100);
}

static void
post_send(int fd, const char *body, size_t n)
{
	char head[160];

	(void)snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: b\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
	    n);
	if (n < 8192) {			/* one segment, as clients do */
		char one[8192 + sizeof(head)];
		size_t len = strlen(head);

		memcpy(one, head, len);
		memcpy(one + len, body, n);
		send_all(fd, one, len + n);
		return;
	}
	send_all(fd, head, strlen(head));
	send_all(fd, body, n);
}

static void
post(int fd, const char *body, size_t n)
{
	post_send(fd, body, n);
	read_answer(fd, NULL, 0);
}

/* An array of records; n counts them on. */
static size_t
one_array(char *body, unsigned per_post, unsigned *n)
{
	size_t len = 0;
	unsigned k;

	body[len++] = '[';
	for (k = 0; k < per_post; k++) {
		if (k > 0)
			body[len++] = ',';
		len += one_record(body + len, 511, (*n)++);
	}
	body[len++] = ']';
	return len;
}

/* Lines up to nearly 16 MiB. */
static size_t
one_large(char *body, unsigned *n)
{
	const size_t most = (16u << 20) - 600;
	size_t len = 0;

	while (len < most) {
		len += one_record(body + len, 600, (*n)++);
		body[len++] = '\n';
	}
	return len;
}

static void
bench_posts(int fd, const char *io, unsigned per_post, unsigned posts)
{
	char *body = malloc(per_post * 512u);
	struct stats before, after;
	unsigned i, n = 0;
	size_t len = 0;
	double us;

	before = stats_of(fd, "/stats");
	for (i = 0; i < posts; i++) {
		len = one_array(body, per_post, &n);
		post(fd, body, len);
	}
	after = stats_of(fd, "/stats");
	if (after.records - before.records != n)
		die("records are missing");
	us = (double)(after.cpu_ns - before.cpu_ns) / 1000;
	printf("{\"bench\":\"http\",\"io\":\"%s\",\"records_per_post\":%u,"
	    "\"records\":%u,\"bytes_per_record\":%zu,"
	    "\"cpu_us_per_record\":%.3f,\"cpu_us_per_post\":%.2f,"
	    "\"rss_anon_kb\":%lld}\n", io, per_post, n, len / per_post,
	    us / n, us / posts, (long long)after.rss_kb);
	free(body);
}

static void
bench_large(int fd, const char *io)
{
	char *body = malloc(16u << 20);
	struct stats before, after;
	unsigned n = 0;
	size_t len = one_large(body, &n);

	before = stats_of(fd, "/stats?rss=1");
	post(fd, body, len);
	after = stats_of(fd, "/stats");
	if (after.records - before.records != n)
		die("records are missing");
	printf("{\"bench\":\"http\",\"io\":\"%s\",\"body_bytes\":%zu,"
	    "\"records\":%u,\"cpu_us_per_record\":%.3f,"
	    "\"rss_anon_before_kb\":%lld,\"rss_anon_max_kb\":%lld,"
	    "\"rss_anon_after_kb\":%lld}\n", io, len, n,
	    (double)(after.cpu_ns - before.cpu_ns) / 1000 / n,
	    (long long)before.rss_kb, (long long)after.rss_max_kb,
	    (long long)after.rss_kb);
	free(body);
}

static int
connect_to(const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, sa, len) < 0)
		die("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* The client alone.  Each run's records are its own: none is a duplicate. */
static int
client(uint16_t port, unsigned per_post, unsigned posts, unsigned conns)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	unsigned first = (unsigned)getpid() << 16, n = first, i, k;
	char *body = malloc(16u << 20);
	int fd[64];

	if (body == NULL || per_post > 1000 || conns < 1 || conns > 64)
		die("records a POST, connections");
	for (k = 0; k < conns; k++)
		fd[k] = connect_to((struct sockaddr *)&sa, sizeof(sa));
	for (i = 0; i < posts; i += conns) {
		for (k = 0; k < conns; k++)
			post_send(fd[k], body, one_array(body, per_post, &n));
		for (k = 0; k < conns; k++)
			read_answer(fd[k], NULL, 0);
	}
	if (posts == 0)
		post(fd[0], body, one_large(body, &n));
	printf("{\"records\":%u}\n", n - first);
	free(body);
	for (k = 0; k < conns; k++)
		close(fd[k]);
	return 0;
}

static void
bench(enum loop_io io, const char *name)
{
	struct loop_addr at;
	int pipe_fd[2], fd;
	pid_t child = -1;

	if (pipe(pipe_fd) < 0 || (child = fork()) < 0)
		die("fork");
	if (child == 0) {
		close(pipe_fd[0]);
		serve_forever(io, pipe_fd[1]);
	}
	close(pipe_fd[1]);
	if (read(pipe_fd[0], &at, sizeof(at)) != (ssize_t)sizeof(at)) {
		printf("{\"bench\":\"http\",\"io\":\"%s\",\"skipped\":true}\n",
		    name);
		close(pipe_fd[0]);
		(void)waitpid(child, NULL, 0);
		return;
	}
	close(pipe_fd[0]);
	fd = connect_to((struct sockaddr *)&at.sa, at.len);
	bench_posts(fd, name, 1, 20000);
	bench_posts(fd, name, 100, 2000);
	bench_large(fd, name);
	close(fd);
	(void)kill(child, SIGTERM);
	(void)waitpid(child, NULL, 0);
}

int
main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(only, "at") == 0 && argc > 4)
		return client((uint16_t)atoi(argv[2]),
		    (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]),
		    argc > 5 ? (unsigned)atoi(argv[5]) : 1);
	if (strcmp(only, "uring") != 0)
		bench(LOOP_EPOLL, "epoll");
	if (strcmp(only, "epoll") != 0)
		bench(LOOP_URING, "uring");
	return 0;
}
