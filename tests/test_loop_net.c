/* SPDX-License-Identifier: ISC */
/* test_loop_net.c - sockets, polls and names; see test_loop.c */

#include "test_loop.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* The C library's, with hosts of our own: nothing here asks a network. */
int
getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
    struct addrinfo **ret_first)
{
	static int (*real)(const char *, const char *,
	    const struct addrinfo *, struct addrinfo **);

	if (strcmp(host, "missing.test") == 0)
		return EAI_NONAME;
	if (strcmp(host, "busy.test") == 0)
		return EAI_AGAIN;
	if (strncmp(host, "pipe:", 5) == 0) {
		/* waits until the other end of that pipe is closed */
		char c;
		(void)!read(atoi(host + 5), &c, 1);
		return EAI_NONAME;
	}
	real = (int (*)(const char *, const char *, const struct addrinfo *,
	    struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
	return real(host, port, hints, ret_first);
}

/* ---- listen, accept, connect ---- */

START_TEST(listen_says_where_it_is_bound)
{
	struct loop_addr at;
	char text[LOOP_ADDR_TEXT];
	int s;

	s = loop_listen(l, "localhost:0", &at);
	ck_assert_int_ge(s, 0);
	loop_addr_text(&at, text);
	ck_assert(strncmp(text, "127.0.0.1:", 10) == 0);
	ck_assert_str_ne(text, "127.0.0.1:0");
	ck_assert(fcntl(s, F_GETFD) & FD_CLOEXEC);
	close_fd(s);
}
END_TEST

START_TEST(listen_where_another_listens_is_in_use)
{
	struct loop_addr at, none = { .len = 7 };
	char text[LOOP_ADDR_TEXT];
	int s;

	s = loop_listen(l, "127.0.0.1:0", &at);
	loop_addr_text(&at, text);
	ck_assert_int_eq(loop_listen(l, text, &none), -EADDRINUSE);
	ck_assert_uint_eq(none.len, 7);
	close_fd(s);
}
END_TEST

START_TEST(listen_at_no_address_is_invalid)
{
	static const char *const bad[] = {
		"", ":", "127.0.0.1", "127.0.0.1:", ":8888", "1.2.3:80",
		"127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:8x", "::1:80",
		"[::1]80", "[::1", "[::1]", "[]:80", "[::1]:", "name.test:80",
		"127.0.0.1:99999999999999999999", "127.0.0.1: 80",
	};
	struct loop_addr at;
	size_t i;
	int s;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(loop_listen(l, bad[i], &at) == -EINVAL,
		    "'%s'", bad[i]);
	s = loop_listen(l, "127.0.0.1:65535", &at);
	ck_assert(s >= 0 || s == -EADDRINUSE);
	if (s >= 0)
		close_fd(s);
}
END_TEST

START_TEST(accept_gives_a_descriptor_and_the_peer)
{
	struct loop_addr at, me = { .len = sizeof(me.sa) };
	char a_text[LOOP_ADDR_TEXT], me_text[LOOP_ADDR_TEXT];
	struct tap a, c;
	int s;

	tap_init(&a);
	tap_init(&c);
	s = loop_listen(l, "127.0.0.1:0", &at);
	loop_connect(l, &c.op, &at);
	ck_assert_int_ge(await(&c), 0);
	loop_accept(l, &a.op, s);	/* it waits in the queue already */
	ck_assert_int_ge(await(&a), 0);
	getsockname((int)c.res, (struct sockaddr *)&me.sa, &me.len);
	loop_addr_text(&a.op.addr, a_text);
	loop_addr_text(&me, me_text);
	ck_assert_str_eq(a_text, me_text);
	ck_assert(fcntl((int)a.res, F_GETFD) & FD_CLOEXEC);
	close_fd((int)a.res);
	close_fd((int)c.res);
	close_fd(s);
}
END_TEST

/* The first number no descriptor has becomes the limit. */
static struct rlimit
no_more_descriptors(void)
{
	struct rlimit before, now;
	int next;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	next = dup(0);
	close(next);
	now = (struct rlimit){ (rlim_t)next, before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	return before;
}

START_TEST(without_descriptors_it_is_emfile_and_nothing_is_lost)
{
	struct loop_addr at;
	struct rlimit before;
	struct tap a, c, f;
	int s;

	tap_init(&a);
	tap_init(&c);
	tap_init(&f);
	s = loop_listen(l, "127.0.0.1:0", &at);
	loop_connect(l, &c.op, &at);
	ck_assert_int_ge(await(&c), 0);
	close_fd(open("/", O_RDONLY));	/* no gap below the limit */
	before = no_more_descriptors();
	loop_accept(l, &a.op, s);
	ck_assert_int_eq(await(&a), -EMFILE);
	loop_connect(l, &f.op, &at);
	ck_assert_int_eq(await(&f), -EMFILE);
	loop_open(l, &f.op, dir, O_RDONLY, 0);
	ck_assert_int_eq(await(&f), -EMFILE);
	loop_list(l, &f.op, dir);
	ck_assert_int_eq(await(&f), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	loop_accept(l, &a.op, s);	/* the one that waited meanwhile */
	ck_assert_int_ge(await(&a), 0);
	close_fd((int)a.res);
	close_fd((int)c.res);
	close_fd(s);
}
END_TEST

static int
option(int fd, int level, int name)
{
	int v = -1;
	socklen_t n = sizeof(v);

	getsockopt(fd, level, name, &v, &n);
	return v;
}

START_TEST(connected_sockets_have_nodelay_and_keepalive)
{
	int fd[2], i;

	tcp_pair(fd);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(option(fd[i], IPPROTO_TCP, TCP_NODELAY), 1);
		ck_assert_int_eq(option(fd[i], SOL_SOCKET, SO_KEEPALIVE), 1);
		ck_assert_int_eq(option(fd[i], IPPROTO_TCP,
		    TCP_USER_TIMEOUT), 45000);
		ck_assert(fcntl(fd[i], F_GETFD) & FD_CLOEXEC);
		close_fd(fd[i]);
	}
}
END_TEST

START_TEST(connect_where_nobody_listens_is_refused)
{
	struct loop_addr at;
	struct tap c;
	int s;

	s = loop_listen(l, "127.0.0.1:0", &at);
	close_fd(s);
	tap_init(&c);
	loop_connect(l, &c.op, &at);
	ck_assert_int_eq(await(&c), -ECONNREFUSED);
	loop_connect(l, &c.op, &at);	/* the same op, again */
	ck_assert_int_eq(await(&c), -ECONNREFUSED);
}
END_TEST

START_TEST(connect_to_no_family_fails)
{
	struct loop_addr at = { .len = sizeof(at.sa) };
	struct tap c;

	at.sa.ss_family = 77;
	tap_init(&c);
	loop_connect(l, &c.op, &at);
	ck_assert_int_eq(await(&c), -EAFNOSUPPORT);
}
END_TEST

START_TEST(ipv6_listens_and_takes_ipv4_too)
{
	struct loop_addr at, to;
	char text[LOOP_ADDR_TEXT], v4[LOOP_ADDR_TEXT];
	struct tap a, c;
	int s, round;

	s = loop_listen(l, "[::]:0", &at);
	if (s == -EAFNOSUPPORT || s == -EADDRNOTAVAIL)
		return;			/* a machine without IPv6 */
	ck_assert_int_ge(s, 0);
	loop_addr_text(&at, text);
	ck_assert(strncmp(text, "[::]:", 5) == 0);
	snprintf(v4, sizeof(v4), "%s", text + 5);
	for (round = 0; round < 2; round++) {
		tap_init(&a);
		tap_init(&c);
		loop_resolve(l, &c.op, round == 0 ? "::1" : "127.0.0.1", v4);
		ck_assert_int_eq(await(&c), 1);
		to = c.op.resolved.addr[0];
		loop_accept(l, &a.op, s);
		loop_connect(l, &c.op, &to);
		ck_assert_int_ge(await(&c), 0);
		while (a.n == 0)
			loop_turn(l, true);
		loop_addr_text(&a.op.addr, text);
		ck_assert(strncmp(text, round == 0 ? "[::1]:" : "127.0.0.1:",
		    round == 0 ? 6 : 10) == 0);
		close_fd((int)a.res);
		close_fd((int)c.res);
	}
	close_fd(s);
}
END_TEST

/* ---- recv, peek, send ---- */

static struct iovec
vec(const char *s)
{
	return (struct iovec){ (void *)(uintptr_t)s, strlen(s) };
}

START_TEST(recv_gives_bytes_and_zero_at_the_end)
{
	struct iovec v = vec("hello");
	struct tap r, s;
	char buf[16];
	int fd[2];

	tcp_pair(fd);
	tap_init(&r);
	tap_init(&s);
	loop_recv(l, &r.op, fd[1], buf, sizeof(buf));
	ck_assert_uint_eq(r.n, 0);
	loop_send(l, &s.op, fd[0], &v, 1);
	ck_assert_int_eq(await(&r), 5);
	ck_assert_mem_eq(buf, "hello", 5);
	ck_assert_int_eq(s.n == 1 ? s.res : await(&s), 5);
	loop_recv(l, &r.op, fd[1], buf, sizeof(buf));
	close_fd(fd[0]);
	ck_assert_int_eq(r.n == 2 ? r.res : await(&r), 0);
	close_fd(fd[1]);
}
END_TEST

START_TEST(peek_leaves_the_bytes)
{
	struct iovec v = vec("POST");
	struct tap r, s;
	char buf[8];
	int fd[2];

	tcp_pair(fd);
	tap_init(&r);
	tap_init(&s);
	loop_peek(l, &r.op, fd[1], buf, 1);
	loop_send(l, &s.op, fd[0], &v, 1);
	ck_assert_int_eq(await(&r), 1);
	ck_assert_int_eq(buf[0], 'P');
	loop_recv(l, &r.op, fd[1], buf, sizeof(buf));
	ck_assert_int_eq(await(&r), 4);
	ck_assert_mem_eq(buf, "POST", 4);
	while (!op_idle(&s.op))
		loop_turn(l, true);
	close_fd(fd[0]);
	close_fd(fd[1]);
}
END_TEST

START_TEST(recv_after_a_reset_is_connreset)
{
	const struct linger now = { .l_onoff = 1 };
	struct tap r;
	char buf[8];
	int fd[2];

	tcp_pair(fd);
	tap_init(&r);
	loop_recv(l, &r.op, fd[1], buf, sizeof(buf));
	setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close_fd(fd[0]);
	ck_assert_int_eq(r.n == 1 ? r.res : await(&r), -ECONNRESET);
	close_fd(fd[1]);
}
END_TEST

START_TEST(socket_ops_on_a_file_are_notsock)
{
	struct iovec v = vec("x");
	struct tap t;
	char buf[8];
	int fd;

	put_file("f", "text");
	fd = open(in_dir("f"), O_RDWR | O_CLOEXEC);
	tap_init(&t);
	loop_recv(l, &t.op, fd, buf, sizeof(buf));
	ck_assert_int_eq(await(&t), -ENOTSOCK);
	loop_send(l, &t.op, fd, &v, 1);
	ck_assert_int_eq(await(&t), -ENOTSOCK);
	loop_accept(l, &t.op, fd);
	ck_assert_int_eq(await(&t), -ENOTSOCK);
	close(fd);
	loop_recv(l, &t.op, fd, buf, sizeof(buf));
	ck_assert_int_eq(await(&t), -EBADF);
}
END_TEST

START_TEST(send_gathers_its_pieces)
{
	struct iovec v[4] = { vec("one "), vec(""), vec("two "), vec("3") };
	struct tap r, s;
	char buf[16];
	int fd[2];

	tcp_pair(fd);
	tap_init(&r);
	tap_init(&s);
	loop_send(l, &s.op, fd[0], v, 4);
	ck_assert_int_eq(await(&s), 9);
	loop_recv(l, &r.op, fd[1], buf, sizeof(buf));
	ck_assert_int_eq(await(&r), 9);
	ck_assert_mem_eq(buf, "one two 3", 9);
	close_fd(fd[0]);
	close_fd(fd[1]);
}
END_TEST

#define BIG	(32u << 20)

START_TEST(short_sends_add_up)
{
	uint8_t *out, *in;
	size_t sent = 0, got = 0, i;
	struct iovec v;
	struct tap r, s;
	unsigned sends = 0;
	int fd[2];

	tcp_pair(fd);
	out = malloc(BIG);
	in = malloc(BIG);
	for (i = 0; i < BIG; i++)
		out[i] = (uint8_t)(i * 2654435761u >> 24);
	tap_init(&r);
	tap_init(&s);
	while (got < BIG) {
		if (op_idle(&s.op) && sent < BIG) {
			if (s.n > sends) {
				ck_assert_int_gt(s.res, 0);
				sent += (size_t)s.res;
				sends = s.n;
			}
			if (sent < BIG) {
				v = (struct iovec){ out + sent, BIG - sent };
				loop_send(l, &s.op, fd[0], &v, 1);
			}
		}
		if (op_idle(&r.op))
			loop_recv(l, &r.op, fd[1], in + got, BIG - got);
		i = r.n;
		loop_turn(l, true);
		if (r.n > i) {
			ck_assert_int_gt(r.res, 0);
			got += (size_t)r.res;
		}
	}
	while (!op_idle(&s.op))
		loop_turn(l, true);
	ck_assert_mem_eq(in, out, BIG);
	ck_assert_uint_gt(s.n, 1);	/* more than a socket takes at once */
	free(in);
	free(out);
	close_fd(fd[0]);
	close_fd(fd[1]);
}
END_TEST

START_TEST(send_to_one_who_left_is_an_error_and_no_signal)
{
	const struct linger now = { .l_onoff = 1 };
	struct iovec v = vec("anyone?");
	struct tap s;
	int fd[2], i;

	tcp_pair(fd);
	setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close_fd(fd[1]);
	tap_init(&s);
	for (i = 0; i < 2; i++) {
		loop_send(l, &s.op, fd[0], &v, 1);
		await(&s);
	}
	ck_assert_int_eq(s.res, -EPIPE);
	close_fd(fd[0]);
}
END_TEST

/* Sends [p, p+n) on until an error; gives how much went before it. */
static size_t
send_until(int fd, uint8_t *p, size_t n, int64_t *ret_error)
{
	struct iovec v;
	size_t sent = 0;
	struct tap s;

	tap_init(&s);
	do {
		v = (struct iovec){ p + sent, n - sent };
		loop_send(l, &s.op, fd, &v, 1);
		if (await(&s) > 0)
			sent += (size_t)s.res;
	} while (s.res > 0 && sent < n);
	*ret_error = s.res;
	return sent;
}

START_TEST(send_of_a_vanished_mapping_goes_up_to_the_hole)
{
	const size_t page = 4096;
	int64_t error;
	uint8_t *p;
	size_t off;
	int fd[2], i;

	tcp_pair(fd);
	for (i = 0; i < 4; i++) {
		p = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(p, i, 16 * page);
		munmap(p + 3 * page, 13 * page);
		off = i == 3 ? 3 * page : (size_t)i * 1000;
		ck_assert_uint_eq(send_until(fd[0], p + off,
		    10 * page, &error), 3 * page - off);
		ck_assert_int_eq(error, -EFAULT);
		munmap(p, 3 * page);
	}
	close_fd(fd[0]);
	close_fd(fd[1]);
}
END_TEST

START_TEST(send_of_a_truncated_file_is_efault_and_no_signal)
{
	const size_t page = 4096;
	int64_t error;
	uint8_t *p;
	int fd[2], m;

	tcp_pair(fd);
	m = memfd_create("lane", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(m, 8 * 4096), 0);
	p = mmap(NULL, 8 * page, PROT_READ, MAP_SHARED, m, 0);
	ck_assert_int_eq(ftruncate(m, 2 * 4096), 0);
	ck_assert_uint_eq(send_until(fd[0], p, 8 * page, &error), 2 * page);
	ck_assert_int_eq(error, -EFAULT);
	munmap(p, 8 * page);
	close(m);
	close_fd(fd[0]);
	close_fd(fd[1]);
}
END_TEST

/* A library that owned a socket for a while may have set either mode. */
START_TEST(sockets_work_in_both_blocking_modes)
{
	struct iovec v = vec("x");
	struct tap r, s;
	char buf[8];
	int fd[2], i, flags;

	tcp_pair(fd);
	tap_init(&r);
	tap_init(&s);
	for (i = 0; i < 2; i++) {
		flags = fcntl(fd[1], F_GETFL) & ~O_NONBLOCK;
		fcntl(fd[1], F_SETFL, i == 0 ? flags : flags | O_NONBLOCK);
		loop_recv(l, &r.op, fd[1], buf, sizeof(buf));
		loop_turn(l, false);
		loop_turn(l, false);
		ck_assert(!op_idle(&r.op));
		loop_send(l, &s.op, fd[0], &v, 1);
		ck_assert_int_eq(await(&r), 1);
		while (!op_idle(&s.op))
			loop_turn(l, true);
	}
	close_fd(fd[0]);
	close_fd(fd[1]);
}
END_TEST

START_TEST(a_number_closed_elsewhere_works_again)
{
	struct iovec v = vec("again");
	struct tap r;
	char buf[8];
	int fd[2], more[2], i;

	tcp_pair(fd);
	tap_init(&r);
	loop_recv(l, &r.op, fd[1], buf, sizeof(buf));
	loop_turn(l, false);
	loop_cancel(l, &r.op);
	ck_assert_int_eq(await(&r), -ECANCELED);
	close(fd[1]);			/* as libmicrohttpd does */
	close(fd[0]);
	tcp_pair(more);
	i = more[0] == fd[1] || more[1] == fd[1];
	ck_assert(i);
	loop_recv(l, &r.op, more[1], buf, sizeof(buf));
	loop_turn(l, false);
	ck_assert_int_eq(write(more[0], v.iov_base, v.iov_len), 5);
	ck_assert_int_eq(await(&r), 5);
	close_fd(more[0]);
	close_fd(more[1]);
}
END_TEST

START_TEST(close_of_a_socket_is_seen_by_the_peer_at_once)
{
	struct tap c;
	char buf[8];
	int fd[2];

	tcp_pair(fd);
	tap_init(&c);
	loop_close(l, &c.op, fd[0]);
	/* no turn of the loop in between */
	ck_assert_int_eq(fcntl(fd[0], F_GETFD), -1);
	ck_assert_int_eq(recv(fd[1], buf, sizeof(buf), 0), 0);
	ck_assert_uint_eq(c.n, 0);
	ck_assert_int_eq(await(&c), 0);
	close_fd(fd[1]);
}
END_TEST

/* ---- poll ---- */

START_TEST(poll_waits_for_what_it_was_asked)
{
	struct tap in, out;
	int fd;

	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	tap_init(&in);
	tap_init(&out);
	loop_poll(l, &in.op, fd, POLLIN);
	loop_poll(l, &out.op, fd, POLLOUT);
	ck_assert_int_eq(await(&out), 0);
	ck_assert_uint_eq(in.n, 0);
	ck_assert_int_eq(eventfd_write(fd, 1), 0);
	ck_assert_int_eq(await(&in), 0);
	loop_poll(l, &in.op, fd, POLLIN | POLLOUT);	/* still there */
	ck_assert_int_eq(await(&in), 0);
	close(fd);
}
END_TEST

START_TEST(poll_ends_when_the_other_end_goes)
{
	struct tap t;
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	tap_init(&t);
	loop_poll(l, &t.op, fd[0], POLLIN);
	loop_turn(l, false);
	ck_assert_uint_eq(t.n, 0);
	close(fd[1]);
	ck_assert_int_eq(await(&t), 0);
	close(fd[0]);
}
END_TEST

START_TEST(poll_of_a_plain_file_is_ready)
{
	struct tap t;
	int fd;

	put_file("f", "x");
	fd = open(in_dir("f"), O_RDONLY | O_CLOEXEC);
	tap_init(&t);
	loop_poll(l, &t.op, fd, POLLIN);
	ck_assert_int_eq(await(&t), 0);
	close(fd);
	loop_poll(l, &t.op, fd, POLLIN);
	ck_assert_int_eq(await(&t), -EBADF);
}
END_TEST

/* ---- names ---- */

START_TEST(resolve_takes_numbers_and_names)
{
	char text[LOOP_ADDR_TEXT];
	struct tap t;

	tap_init(&t);
	loop_resolve(l, &t.op, "127.0.0.1", "24224");
	ck_assert_int_eq(await(&t), 1);
	loop_addr_text(&t.op.resolved.addr[0], text);
	ck_assert_str_eq(text, "127.0.0.1:24224");
	loop_resolve(l, &t.op, "::1", "24224");
	ck_assert_int_eq(await(&t), 1);
	loop_addr_text(&t.op.resolved.addr[0], text);
	ck_assert_str_eq(text, "[::1]:24224");
	loop_resolve(l, &t.op, "localhost", "80");
	ck_assert_int_ge(await(&t), 1);
	ck_assert_uint_eq(t.op.resolved.n, (unsigned)t.res);
	ck_assert_uint_gt(t.op.resolved.addr[0].len, 0);
}
END_TEST

START_TEST(resolve_says_why_not)
{
	struct tap t;

	tap_init(&t);
	loop_resolve(l, &t.op, "missing.test", "80");
	ck_assert_int_eq(await(&t), -ENOENT);
	loop_resolve(l, &t.op, "busy.test", "80");
	ck_assert_int_eq(await(&t), -EAGAIN);
	loop_resolve(l, &t.op, "localhost", "no such port");
	ck_assert_int_eq(await(&t), -EINVAL);
}
END_TEST

START_TEST(a_slow_name_holds_up_no_file)
{
	char host[32];
	struct tap t, f;
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	snprintf(host, sizeof(host), "pipe:%d", fd[0]);
	tap_init(&t);
	tap_init(&f);
	loop_resolve(l, &t.op, host, "80");
	loop_stat(l, &f.op, dir);
	ck_assert_int_eq(await(&f), 0);
	ck_assert_uint_eq(t.n, 0);
	close(fd[1]);
	ck_assert_int_eq(await(&t), -ENOENT);
	close(fd[0]);
}
END_TEST

START_TEST(hostport_is_split_within_its_buffers)
{
	char host[5], port[4];

	ck_assert_int_eq(loop_hostport("abcd:123", host, 5, port, 4), 0);
	ck_assert_str_eq(host, "abcd");
	ck_assert_str_eq(port, "123");
	ck_assert_int_eq(loop_hostport("[::1]:1", host, 5, port, 4), 0);
	ck_assert_str_eq(host, "::1");
	ck_assert_int_eq(loop_hostport("abcde:1", host, 5, port, 4), -EINVAL);
	ck_assert_int_eq(loop_hostport("a:1234", host, 5, port, 4), -EINVAL);
	ck_assert_str_eq(host, "::1");
}
END_TEST

void
net_tests(TCase *tc)
{
	tcase_add_test(tc, listen_says_where_it_is_bound);
	tcase_add_test(tc, listen_where_another_listens_is_in_use);
	tcase_add_test(tc, listen_at_no_address_is_invalid);
	tcase_add_test(tc, accept_gives_a_descriptor_and_the_peer);
	tcase_add_test(tc,
	    without_descriptors_it_is_emfile_and_nothing_is_lost);
	tcase_add_test(tc, connected_sockets_have_nodelay_and_keepalive);
	tcase_add_test(tc, connect_where_nobody_listens_is_refused);
	tcase_add_test(tc, connect_to_no_family_fails);
	tcase_add_test(tc, ipv6_listens_and_takes_ipv4_too);
	tcase_add_test(tc, recv_gives_bytes_and_zero_at_the_end);
	tcase_add_test(tc, peek_leaves_the_bytes);
	tcase_add_test(tc, recv_after_a_reset_is_connreset);
	tcase_add_test(tc, socket_ops_on_a_file_are_notsock);
	tcase_add_test(tc, send_gathers_its_pieces);
	tcase_add_test(tc, short_sends_add_up);
	tcase_add_test(tc, send_to_one_who_left_is_an_error_and_no_signal);
	tcase_add_test(tc, send_of_a_vanished_mapping_goes_up_to_the_hole);
	tcase_add_test(tc, send_of_a_truncated_file_is_efault_and_no_signal);
	tcase_add_test(tc, sockets_work_in_both_blocking_modes);
	tcase_add_test(tc, a_number_closed_elsewhere_works_again);
	tcase_add_test(tc, close_of_a_socket_is_seen_by_the_peer_at_once);
	tcase_add_test(tc, poll_waits_for_what_it_was_asked);
	tcase_add_test(tc, poll_ends_when_the_other_end_goes);
	tcase_add_test(tc, poll_of_a_plain_file_is_ready);
	tcase_add_test(tc, resolve_takes_numbers_and_names);
	tcase_add_test(tc, resolve_says_why_not);
	tcase_add_test(tc, a_slow_name_holds_up_no_file);
	tcase_add_test(tc, hostport_is_split_within_its_buffers);
}
