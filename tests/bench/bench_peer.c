/* SPDX-License-Identifier: ISC */
/*
 * bench_peer.c - the other end of what is measured, as small as can be
 *
 *   bench_peer ack             a relay that only acknowledges
 *   bench_peer read            reads, and says nothing
 *   bench_peer http            answers each POST with 200 and no body
 *   bench_peer send PORT SIZE BYTES
 *                              by send(2) alone: so many bytes in such pieces
 *
 *   bench_peer rss PROGRAM [ARGUMENT]
 *                              the most a program had resident, in bytes
 *
 * A server prints its port, serves each connection in a thread of its own,
 * and at the end of stdin prints what came in, as JSON.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "forward/message.h"
#include "hop/wire.h"

#define BUF_BYTES	(8u << 20)

struct peer {
	int		 fd;
	uint8_t		*buf;
	size_t		 len;
	struct message_scan ms;
};

/* How much of buf is done with; it adds its counts and may answer. */
typedef size_t eat_fn(struct peer *p);

static _Atomic uint64_t bytes, messages;
static eat_fn *eat;

static size_t
eat_forward(struct peer *p)
{
	uint8_t ack[WIRE_ACK_MAX];
	struct message m;
	size_t start = 0, n;

	while (message_scan(&p->ms, bytes_of(p->buf + start, p->len - start),
	    &m) == 0) {
		start += m.bytes;
		message_scan_init(&p->ms, 16 << 20);
		if (m.chunk.n == 0)
			continue;
		messages++;
		n = wire_ack(ack, m.chunk, true, 1);
		if (send(p->fd, ack, n, MSG_NOSIGNAL) != (ssize_t)n)
			return p->len;
	}
	return start;
}

static size_t
eat_all(struct peer *p)
{
	return p->len;
}

/* One request: its end in buf, or 0 when it is not all there. */
static size_t
request_end(const struct peer *p, size_t start, bool *ret_expect)
{
	char head[4096];
	size_t n = p->len - start < sizeof(head) - 1 ? p->len - start :
	    sizeof(head) - 1;
	char *end, *len;

	memcpy(head, p->buf + start, n);
	head[n] = '\0';
	if ((end = strstr(head, "\r\n\r\n")) == NULL)
		return 0;
	*end = '\0';
	*ret_expect = strcasestr(head, "100-continue") != NULL;
	len = strcasestr(head, "\r\ncontent-length:");
	return start + (size_t)(end + 4 - head) +
	    (len == NULL ? 0 : strtoul(len + 17, NULL, 10));
}

static size_t
eat_http(struct peer *p)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\n"
	    "Content-Type: application/x-protobuf\r\n"
	    "Content-Length: 0\r\n\r\n";
	static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
	size_t start = 0, end;
	bool expect = false;

	while ((end = request_end(p, start, &expect)) > 0 && end <= p->len) {
		start = end;
		messages++;
		if (send(p->fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL) < 0)
			return p->len;
	}
	if (end > p->len && expect && p->len - start < 4096 &&
	    send(p->fd, go, sizeof(go) - 1, MSG_NOSIGNAL) < 0)
		return p->len;
	return start;
}

static void *
serve(void *arg)
{
	struct peer p = { .fd = (int)(intptr_t)arg,
	    .buf = malloc(BUF_BYTES) };
	size_t done;
	ssize_t n;

	must(p.buf != NULL);
	message_scan_init(&p.ms, 16 << 20);
	while ((n = recv(p.fd, p.buf + p.len, BUF_BYTES - p.len, 0)) > 0) {
		bytes += (uint64_t)n;
		p.len += (size_t)n;
		done = eat(&p);
		memmove(p.buf, p.buf + done, p.len - done);
		p.len -= done;
		if (p.len == BUF_BYTES)
			break;
	}
	close(p.fd);
	free(p.buf);
	return NULL;
}

static int
listen_any(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(fd >= 0);
	must(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	must(listen(fd, 128) == 0);
	must(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	printf("%u\n", ntohs(sa.sin_port));
	fflush(stdout);
	return fd;
}

static void *
accept_all(void *arg)
{
	int listener = (int)(intptr_t)arg, fd;
	pthread_t t;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		must(pthread_create(&t, NULL, serve,
		    (void *)(intptr_t)fd) == 0);
		pthread_detach(t);
	}
	return NULL;
}

static int
serve_until_eof(eat_fn *fn)
{
	pthread_t t;

	eat = fn;
	must(pthread_create(&t, NULL, accept_all,
	    (void *)(intptr_t)listen_any()) == 0);
	while (getchar() != EOF)
		;
	printf("{\"bytes\":%llu,\"messages\":%llu}\n",
	    (unsigned long long)bytes, (unsigned long long)messages);
	return 0;
}

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec ts;

	must(clock_gettime(id, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* From 4 MiB that are walked round, as from a lane. */
static int
send_alone(uint16_t port, size_t size, uint64_t total)
{
	const size_t lane = 4u << 20;
	struct sockaddr_in sa = { .sin_family = AF_INET };
	uint64_t cpu, wall, at;
	uint8_t *mem = malloc(lane + size);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	size_t off;
	ssize_t n;

	must(mem != NULL && size > 0);
	memset(mem, 'x', lane + size);
	sa.sin_port = htons(port);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	wall = clock_ns(CLOCK_MONOTONIC);
	for (at = 0; at < total; at += size)
		for (off = 0; off < size; off += (size_t)n) {
			n = send(fd, mem + at % lane + off, size - off,
			    MSG_NOSIGNAL);
			must(n > 0);
		}
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	printf("{\"cpu_ns\":%llu,\"wall_ns\":%llu,\"bytes\":%llu}\n",
	    (unsigned long long)cpu, (unsigned long long)wall,
	    (unsigned long long)at);
	close(fd);
	free(mem);
	return 0;
}

static int
rss_of(char **argv)
{
	struct rusage ru;
	int status;
	pid_t pid = fork();

	must(pid >= 0);
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	must(wait4(pid, &status, 0, &ru) == pid);
	printf("{\"max_rss\":%ld}\n", ru.ru_maxrss * 1024);
	return status == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	if (strcmp(what, "ack") == 0)
		return serve_until_eof(eat_forward);
	if (strcmp(what, "read") == 0)
		return serve_until_eof(eat_all);
	if (strcmp(what, "http") == 0)
		return serve_until_eof(eat_http);
	if (strcmp(what, "send") == 0 && argc > 4)
		return send_alone((uint16_t)atoi(argv[2]),
		    strtoul(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	if (strcmp(what, "rss") == 0 && argc > 2)
		return rss_of(argv + 2);
	fputs("usage: bench_peer ack|read|http|send PORT SIZE BYTES\n",
	    stderr);
	return 2;
}
