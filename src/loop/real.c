/* SPDX-License-Identifier: ISC */
/* real.c - clocks, sockets and names; the contract is in real.h */

#include "loop/real.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "loop/addr.h"

#include "banned.h"

#define LISTEN_BACKLOG	4096	/* the kernel takes net.core.somaxconn of it */
#define DEFER_S		10	/* then a silent one is accepted too */
#define LISTEN_TRIES	200	/* two seconds in all */
#define LISTEN_NAP_NS	10000000L
#define SILENT_MS	45000	/* above the patience of a hop's sender */
#define SMALLEST_PAGE	4096u	/* every page size is a multiple of it */

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
real_now(struct loop *l)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t
real_wall(struct loop *l)
{
	return clock_ns(CLOCK_REALTIME);
}

void
real_random(struct loop *l, void *buf, size_t n)
{
	uint8_t *p = buf;
	ssize_t r;

	while (n > 0) {
		r = getrandom(p, n, 0);
		if (r < 0) {
			must(errno == EINTR);	/* no other error exists */
			continue;
		}
		p += r;
		n -= (size_t)r;
	}
}

/* ---- sockets ---- */

static void
set(int fd, int level, int name, int value)
{
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

void
real_tune(int fd)
{
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	/* A dead peer is found in a minute and a half, not in two hours. */
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
	/* Also while bytes are on their way, when keep-alive rests. */
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, SILENT_MS);
}

int
real_socket(const struct loop_addr *to, int type_flags)
{
	int fd;

	fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | type_flags,
	    0);
	if (fd < 0)
		return -errno;
	real_tune(fd);
	return fd;
}

int
real_pair(int type_flags, int ret_fd[2])
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | type_flags, 0,
	    fd) < 0)
		return -errno;
	ret_fd[0] = fd[0];
	ret_fd[1] = fd[1];
	return 0;
}

int
real_shutdown(struct loop *l, int fd)
{
	return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

/*
 * The kernel takes back what io_uring holds some time after a process has
 * ended: whoever is killed and started at once meets its own old port.
 */
static int
bind_patiently(int fd, const struct loop_addr *at)
{
	const struct timespec nap = { .tv_nsec = LISTEN_NAP_NS };
	unsigned tries = LISTEN_TRIES;

	while (bind(fd, (const struct sockaddr *)&at->sa, at->len) < 0) {
		if (errno != EADDRINUSE || --tries == 0)
			return -1;
		nanosleep(&nap, NULL);
	}
	return 0;
}

int
real_listen(const struct loop_addr *at, int type_flags,
    struct loop_addr *ret_bound)
{
	struct loop_addr bound = { .len = sizeof(bound.sa) };
	int fd, r = 0;

	fd = socket(at->sa.ss_family, SOCK_STREAM | type_flags, 0);
	if (fd < 0)
		return -errno;
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (at->sa.ss_family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);	/* [::] is both */
	if (bind_patiently(fd, at) < 0 ||
	    listen(fd, LISTEN_BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&bound.sa, &bound.len) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	if (ret_bound != NULL)
		*ret_bound = bound;
	return fd;
}

void
real_defer(int listen_fd)
{
	set(listen_fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DEFER_S);
}

int64_t
real_recv(struct op *op)
{
	ssize_t n;

	do
		n = recv(op->fd, op->buf, op->len,
		    (int)op->flags | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void
real_send_prepare(struct op *op)
{
	struct msghdr *m = &op->sending.msg;

	memset(m, 0, sizeof(*m));
	/* The kernel does not write to it; the type is older than const. */
	m->msg_iov = (struct iovec *)(uintptr_t)op->iov;
	m->msg_iovlen = op->len;
}

static int64_t
send_once(struct op *op)
{
	ssize_t n;

	do
		n = sendmsg(op->fd, &op->sending.msg,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/*
 * The kernel copies in pieces and refuses the whole piece that touches a
 * vanished page, though bytes before that page are there.  Those up to the
 * end of the first page are sent here; if even they fail, the first byte is
 * gone, which is what -EFAULT promises.
 */
int64_t
real_send_rest(struct op *op)
{
	struct iovec *one = &op->sending.one;
	const struct iovec *v = op->iov;
	size_t i, in_page;

	for (i = 0; i < op->len && v[i].iov_len == 0; i++)
		;
	if (i == op->len)
		return -EFAULT;
	in_page = SMALLEST_PAGE - (uintptr_t)v[i].iov_base % SMALLEST_PAGE;
	one->iov_base = v[i].iov_base;
	one->iov_len = v[i].iov_len < in_page ? v[i].iov_len : in_page;
	op->sending.msg.msg_iov = one;
	op->sending.msg.msg_iovlen = 1;
	return send_once(op);
}

int64_t
real_send(struct op *op)
{
	int64_t n;

	real_send_prepare(op);
	n = send_once(op);
	return n == -EFAULT ? real_send_rest(op) : n;
}

/* ---- names ---- */

static int64_t
resolved_one(struct op *op, const struct loop_addr *a)
{
	op->resolved.n = 1;
	op->resolved.addr[0] = *a;
	return 1;
}

int64_t
real_resolve_now(struct op *op)
{
	struct loop_addr a;

	if (strcmp(op->path, "localhost") == 0 ||
	    addr_numeric(op->path, op->path2, &a) < 0)
		return -EAGAIN;
	return resolved_one(op, &a);
}

static int
eai_errno(int r)
{
	switch (r) {
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SERVICE:
		return -EINVAL;
	case EAI_SYSTEM:
		return errno > 0 ? -errno : -EIO;
	case EAI_NONAME: case EAI_NODATA:
		return -ENOENT;
	default:
		return -EIO;
	}
}

int64_t
real_resolve(const char *host, const char *port, struct op *op)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	const size_t most = sizeof(op->resolved.addr) / sizeof(op->addr);
	struct addrinfo *first, *ai;
	struct loop_addr *a;
	int r;

	r = getaddrinfo(host, port, &hints, &first);
	if (r != 0)
		return eai_errno(r);
	op->resolved.n = 0;
	for (ai = first; ai != NULL; ai = ai->ai_next) {
		if (op->resolved.n == most)
			break;
		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		a = &op->resolved.addr[op->resolved.n++];
		memset(a, 0, sizeof(*a));
		memcpy(&a->sa, ai->ai_addr, ai->ai_addrlen);
		a->len = ai->ai_addrlen;
	}
	freeaddrinfo(first);
	return op->resolved.n > 0 ? (int64_t)op->resolved.n : -ENOENT;
}
