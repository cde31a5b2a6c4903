/* SPDX-License-Identifier: ISC */
/*
 * bench_hop.c - what sending a record costs the agent
 *
 * Prepared records of about 300 bytes, as they lie in a lane, go through a
 * sender to a process that only acknowledges; then the same bytes in the same
 * pieces by bare sendmsg() to a process that only reads.  CPU of this process
 * alone, user and system; one line of JSON a size of chunk.
 *
 *   bench_hop [MiB of each run, 256] [epoll|uring]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"
#include "base/must.h"
#include "forward/message.h"
#include "hop/sender.h"
#include "hop/wire.h"
#include "loop/loop.h"

#define RECORD	300
#define LANE	((size_t)4 << 20)
#define FLIGHT	64

static uint64_t
cpu_ns(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t
wall_ns(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- the other end, a process of its own ---- */

static int
listen_any(uint16_t *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(fd >= 0);
	must(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	must(listen(fd, 1) == 0);
	must(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

/* Acknowledges each whole message in buf; what is left is at its front. */
static size_t
acknowledge(int fd, uint8_t *buf, size_t len, struct message_scan *ms)
{
	uint8_t ack[WIRE_ACK_MAX];
	struct message m;
	size_t start = 0, n;

	while (message_scan(ms, bytes_of(buf + start, len - start), &m) == 0) {
		start += m.bytes;
		message_scan_init(ms, 16 << 20);
		if (m.chunk.n == 0)
			continue;
		n = wire_ack(ack, m.chunk, true, 1);
		if (send(fd, ack, n, MSG_NOSIGNAL) != (ssize_t)n)
			_exit(1);
	}
	memmove(buf, buf + start, len - start);
	return len - start;
}

static void
other_end(int listener, bool answers)
{
	size_t cap = 4 << 20, len = 0;
	uint8_t *buf = malloc(cap);
	struct message_scan ms;
	ssize_t n;
	int fd = accept(listener, NULL, NULL);

	must(buf != NULL);
	message_scan_init(&ms, 16 << 20);
	while ((n = recv(fd, buf + len, cap - len, 0)) > 0)
		if (answers)
			len = acknowledge(fd, buf, len + (size_t)n, &ms);
	_exit(0);
}

static pid_t
start_other_end(bool answers, uint16_t *ret_port)
{
	int listener = listen_any(ret_port);
	pid_t pid = fork();

	must(pid >= 0);
	if (pid == 0)
		other_end(listener, answers);
	close(listener);
	return pid;
}

/* ---- through a sender ---- */

struct bench {
	struct loop	*loop;
	struct env	 env;
	struct sender	*sender;
	uint8_t		*lane;
	size_t		 chunk;
	uint64_t	 at, acked, total;
	bool		 closed, up;
	struct hop_chunk *free_hc[FLIGHT];
	unsigned	 free_n;
	struct hop_chunk hc[FLIGHT];
};

static void	 push(struct bench *b);

static void
done(struct hop_chunk *hc, int res)
{
	struct bench *b = hc->arg;

	must(res == 0 || res == -ECANCELED);
	b->acked += chunk_body_len(&hc->chunk);
	b->free_hc[b->free_n++] = hc;
	push(b);
}

static void
push(struct bench *b)
{
	struct hop_chunk *hc;

	while (b->free_n > 0 && b->at < b->total) {
		hc = b->free_hc[b->free_n - 1];
		hc->done = done;
		hc->arg = b;
		hc->chunk = (struct chunk){ .stream = { 1 }, .from = b->at,
		    .to = b->at + b->chunk,
		    .body = { { b->lane + b->at % LANE, b->chunk } } };
		if (sender_send(b->sender, hc) < 0)
			return;
		b->free_n--;
		b->at += b->chunk;
	}
}

static void
up(void *arg)
{
	struct bench *b = arg;

	b->up = true;
}

static void
down(void *arg, int why)
{
	fprintf(stderr, "bench_hop: connection lost: %s\n", strerror(-why));
	exit(1);
}

static void
closed(void *arg)
{
	struct bench *b = arg;

	b->closed = true;
}

static uint64_t
by_sender(struct bench *b, uint64_t *ret_wall)
{
	char peer[32];
	struct sender_conf conf = { .peers = peer, .agent_id = "bench",
	    .up = up, .down = down, .arg = b };
	uint64_t cpu, wall;
	uint16_t port;
	pid_t pid = start_other_end(true, &port);
	unsigned i;

	snprintf(peer, sizeof(peer), "127.0.0.1:%u", port);
	b->at = b->acked = 0;
	b->up = b->closed = false;
	for (i = 0; i < FLIGHT; i++)
		b->free_hc[i] = &b->hc[i];
	b->free_n = FLIGHT;
	must(sender_new(&b->sender, &b->env, &conf) == 0);
	sender_start(b->sender);
	while (!b->up)
		loop_turn(b->loop, true);
	cpu = cpu_ns();
	wall = wall_ns();
	push(b);
	while (b->acked < b->total)
		loop_turn(b->loop, true);
	cpu = cpu_ns() - cpu;
	*ret_wall = wall_ns() - wall;
	sender_close(b->sender, closed, b);
	while (!b->closed)
		loop_turn(b->loop, true);
	sender_free(&b->sender);
	must(waitpid(pid, NULL, 0) == pid);
	return cpu;
}

/* ---- by sendmsg alone ---- */

static uint64_t
by_send(struct bench *b, uint64_t *ret_wall)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	uint64_t cpu, wall, at;
	uint16_t port;
	size_t off;
	ssize_t n;
	pid_t pid = start_other_end(false, &port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sa.sin_port = htons(port);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	cpu = cpu_ns();
	wall = wall_ns();
	for (at = 0; at < b->total; at += b->chunk) {
		for (off = 0; off < b->chunk; off += (size_t)n) {
			struct iovec v = { b->lane + at % LANE + off,
			    b->chunk - off };
			struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

			n = sendmsg(fd, &m, MSG_NOSIGNAL);
			must(n > 0);
		}
	}
	cpu = cpu_ns() - cpu;
	*ret_wall = wall_ns() - wall;
	close(fd);
	must(waitpid(pid, NULL, 0) == pid);
	return cpu;
}

static void
one_size(struct bench *b, size_t chunk, size_t mib)
{
	uint64_t hop_cpu, hop_wall, raw_cpu, raw_wall;
	double records;

	b->chunk = chunk;
	b->total = ((uint64_t)mib << 20) / chunk * chunk;
	records = (double)b->total / RECORD;
	hop_cpu = by_sender(b, &hop_wall);
	raw_cpu = by_send(b, &raw_wall);
	printf("{\"bench\":\"hop\",\"io\":\"%s\",\"chunk_bytes\":%zu,"
	    "\"bytes\":%llu,\"records\":%.0f,"
	    "\"cpu_ns_per_record\":%.1f,\"send_cpu_ns_per_record\":%.1f,"
	    "\"cpu_s_per_gb\":%.3f,\"send_cpu_s_per_gb\":%.3f,"
	    "\"mb_per_s\":%.0f,\"send_mb_per_s\":%.0f}\n",
	    loop_name(b->loop), chunk, (unsigned long long)b->total, records,
	    (double)hop_cpu / records, (double)raw_cpu / records,
	    (double)hop_cpu / (double)b->total,
	    (double)raw_cpu / (double)b->total,
	    (double)b->total * 1e3 / (double)hop_wall,
	    (double)b->total * 1e3 / (double)raw_wall);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	static const size_t sizes[] = { 4096, 65536, 1 << 20 };
	size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 256, i;
	enum loop_io io = argc > 2 && strcmp(argv[2], "uring") == 0 ?
	    LOOP_URING : LOOP_EPOLL;
	struct bench *b = calloc(1, sizeof(*b));

	must(b != NULL);
	signal(SIGPIPE, SIG_IGN);
	/* bodies are never looked at: any bytes will do, but of one's own */
	b->lane = malloc(LANE);
	must(b->lane != NULL);
	memset(b->lane, 'x', LANE);
	if (mib == 0 || loop_new(&b->loop, io, NULL) < 0) {
		fprintf(stderr, "usage: bench_hop [MiB] [epoll|uring]\n");
		return 1;
	}
	env_init(&b->env, b->loop, "bench");
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		one_size(b, sizes[i], mib);
	env_fini(&b->env);
	loop_free(&b->loop);
	free(b->lane);
	free(b);
	return 0;
}
