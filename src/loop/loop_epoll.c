/* SPDX-License-Identifier: ISC */
/*
 * loop_epoll.c - the backend for kernels and containers without io_uring
 *
 * What:     a socket operation is tried at once; if it would wait, it hangs
 *           on its descriptor, which is armed once (EPOLLONESHOT) for what
 *           all ops there want, and is tried again when epoll says so.
 *           Files and names go to helper threads.
 *
 *   fds[fd].waiting --> op --next--> op        at most recv, send, some polls
 *
 * A descriptor closed behind our back (libmicrohttpd closes its own) leaves
 * epoll by itself; because each arming is a fresh EPOLL_CTL_MOD or ADD, the
 * number may come back as another file without any book to correct.
 */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "loop/backend.h"
#include "loop/real.h"
#include "loop/worker.h"

#include "banned.h"

#define EVENTS_MAX	128	/* taken per turn; more wait for the next */
#define HAND_TAG	UINT64_MAX

enum { EP_WAITING = WORKER_STATE + 1 };		/* op->state */

struct ep {
	int		 fd;
	struct worker	*files;
	struct worker	*names;
};

static struct ep *
ep_of(struct loop *l)
{
	return l->be_state;
}

/* ---- one try ---- */

static int64_t
try_accept(struct op *op)
{
	int fd;

	do {
		op->addr.len = sizeof(op->addr.sa);
		fd = accept4(op->fd, (struct sockaddr *)&op->addr.sa,
		    &op->addr.len, (int)op->flags | SOCK_NONBLOCK);
		/* A peer that left while queued is no news to anyone. */
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return -errno;
	real_tune(fd);
	return fd;
}

/* Also asks how an earlier connect went: the kernel then says EISCONN. */
static int64_t
try_connect(struct op *op)
{
	int r;

	if (op->fd < 0) {
		r = real_socket(&op->addr, SOCK_NONBLOCK);
		if (r < 0)
			return r;
		op->fd = r;
	}
	do
		r = connect(op->fd, (const struct sockaddr *)&op->addr.sa,
		    op->addr.len);
	while (r < 0 && errno == EINTR);
	if (r == 0 || errno == EISCONN)
		return op->fd;
	if (errno == EINPROGRESS || errno == EALREADY)
		return -EAGAIN;
	r = -errno;
	close(op->fd);
	op->fd = -1;
	/* connect() says EAGAIN when it has no port left: not ours to wait. */
	return r == -EAGAIN ? -EADDRNOTAVAIL : r;
}

static int64_t
try_poll(struct op *op, uint32_t events)
{
	return events & (op->flags | EPOLLERR | EPOLLHUP) ? 0 : -EAGAIN;
}

static int64_t
try_op(struct op *op, uint32_t events)
{
	switch (op->kind) {
	case OP_ACCEPT:
		return try_accept(op);
	case OP_CONNECT:
		return try_connect(op);
	case OP_RECV:
		return real_recv(op);
	case OP_SEND:
		return real_send(op);
	case OP_WATCH:
		return real_watch_take(op->watch);
	default:
		must(op->kind == OP_POLL);
		return try_poll(op, events);
	}
}

/* ---- ops that wait on a descriptor ---- */

static uint32_t
wants(const struct op *op)
{
	if (op->kind == OP_POLL)
		return op->flags;
	return op->kind == OP_SEND || op->kind == OP_CONNECT ?
	    EPOLLOUT : EPOLLIN;
}

static void
hang(struct fd_use *use, struct op *op)
{
	op->state = EP_WAITING;
	op->next = use->waiting;
	use->waiting = op;
}

/* Searched from the head: the list is short, and the table may move. */
static void
unhang(struct fd_use *use, struct op *op)
{
	struct op **at = &use->waiting;

	while (*at != op) {
		must(*at != NULL);
		at = &(*at)->next;
	}
	*at = op->next;
	op->next = NULL;
	op->state = 0;
}

static int
arm(struct loop *l, int fd, const struct fd_use *use)
{
	struct epoll_event ev = { .events = EPOLLONESHOT };
	const struct op *op;

	for (op = use->waiting; op != NULL; op = op->next)
		ev.events |= wants(op);
	ev.data.u64 = (uint64_t)fd;
	if (epoll_ctl(ep_of(l)->fd, EPOLL_CTL_MOD, fd, &ev) == 0)
		return 0;
	if (errno == ENOENT &&
	    epoll_ctl(ep_of(l)->fd, EPOLL_CTL_ADD, fd, &ev) == 0)
		return 0;
	return -errno;
}

/* The descriptor could not be armed: nothing on it will ever happen. */
static void
fail_waiting(struct loop *l, struct fd_use *use, int error)
{
	struct op *op;

	while ((op = use->waiting) != NULL) {
		unhang(use, op);
		if (op->kind == OP_CONNECT)
			close(op->fd);
		/* A plain file is always ready, epoll only does not say so. */
		loop_complete(l, op,
		    error == -EPERM && op->kind == OP_POLL ? 0 : error);
	}
}

static void
wait_for(struct loop *l, struct op *op)
{
	struct fd_use *use = loop_fd(l, op->fd);
	int r;

	if (use == NULL) {
		if (op->kind == OP_CONNECT)
			close(op->fd);
		loop_complete(l, op, -ENOMEM);
		return;
	}
	hang(use, op);
	r = arm(l, op->fd, use);
	if (r < 0)
		fail_waiting(l, use, r);
}

static void
try_or_wait(struct loop *l, struct op *op)
{
	int64_t r;

	r = try_op(op, 0);
	if (r == -EAGAIN)
		wait_for(l, op);
	else
		loop_complete(l, op, r);
}

static void
fd_event(struct loop *l, int fd, uint32_t events)
{
	struct fd_use *use = loop_fd(l, fd);
	struct op *op, *next;
	int64_t r;

	must(use != NULL);
	for (op = use->waiting; op != NULL; op = next) {
		next = op->next;
		if ((events & (wants(op) | EPOLLERR | EPOLLHUP)) == 0)
			continue;
		r = try_op(op, events);
		if (r == -EAGAIN)
			continue;
		unhang(use, op);
		loop_complete(l, op, r);
	}
	if (use->waiting == NULL)
		return;
	r = arm(l, fd, use);
	if (r < 0)
		fail_waiting(l, use, (int)r);
}

/* ---- the table ---- */

static void
ep_submit(struct loop *l, struct op *op)
{
	struct ep *ep = ep_of(l);
	int64_t r;

	switch (op->kind) {
	case OP_ACCEPT: case OP_CONNECT: case OP_RECV: case OP_SEND:
	case OP_POLL:
		try_or_wait(l, op);
		break;
	case OP_WATCH:
		op->fd = op->watch->fd;
		try_or_wait(l, op);
		break;
	case OP_RESOLVE:
		r = real_resolve_now(op);
		if (r == -EAGAIN)
			worker_submit(ep->names, op);
		else
			loop_complete(l, op, r);
		break;
	default:
		if (real_at_once(op))
			loop_complete(l, op, real_file(op));
		else
			worker_submit(ep->files, op);
	}
}

static void
ep_cancel(struct loop *l, struct op *op)
{
	struct ep *ep = ep_of(l);
	int fd = op->fd;

	if (op->kind == OP_RESOLVE)
		worker_cancel(ep->names, op);
	else if (op->state == WORKER_STATE)
		worker_cancel(ep->files, op);
	else {
		must(op->state == EP_WAITING);
		/* The arming stays; an event with nobody waiting is nothing. */
		unhang(loop_fd(l, fd), op);
		if (op->kind == OP_CONNECT)
			close(fd);
		loop_complete(l, op, -ECANCELED);
	}
}

/* Milliseconds, rounded up: a timer is never early. */
static int
wait_ms(struct loop *l, uint64_t until_ns)
{
	uint64_t now, ms;

	if (until_ns == UINT64_MAX)
		return -1;
	now = until_ns == 0 ? 0 : real_now(l);
	if (until_ns <= now)
		return 0;
	ms = (until_ns - now - 1) / 1000000u + 1;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void
ep_wait(struct loop *l, uint64_t until_ns)
{
	struct epoll_event ev[EVENTS_MAX];
	int i, n;

	n = epoll_wait(ep_of(l)->fd, ev, EVENTS_MAX, wait_ms(l, until_ns));
	must(n >= 0 || errno == EINTR);
	for (i = 0; i < n; i++) {
		if (ev[i].data.u64 == HAND_TAG)
			loop_hand_take(l);
		else
			fd_event(l, (int)ev[i].data.u64, ev[i].events);
	}
}

static int
ep_listen(struct loop *l, const struct loop_addr *at,
    struct loop_addr *ret_bound)
{
	return real_listen(at, SOCK_NONBLOCK | inherit_flags(l), ret_bound);
}

static int
ep_pair(struct loop *l, int ret_fd[2])
{
	return real_pair(SOCK_NONBLOCK, ret_fd);
}

static void
ep_destroy(struct ep *ep)
{
	worker_free(&ep->files);
	worker_free(&ep->names);
	if (ep->fd >= 0)
		close(ep->fd);
	free(ep);
}

static void
ep_free(struct loop *l)
{
	ep_destroy(ep_of(l));
	l->be_state = NULL;
}

static const struct backend ep_backend = {
	.name = "epoll", .socket_flags = SOCK_NONBLOCK,
	.submit = ep_submit, .cancel = ep_cancel,
	.wait = ep_wait, .now = real_now, .wall = real_wall,
	.random = real_random, .listen = ep_listen,
	.pair = ep_pair, .shutdown = real_shutdown, .defer = real_defer,
	.watch_open = real_watch_open, .watch_close = real_watch_close,
	.free = ep_free,
};

static int
ep_open(struct loop *l, struct ep *ep)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = HAND_TAG };
	int r;

	r = loop_hand_open(l);
	if (r == 0)
		r = worker_new(&ep->files, l, WORKER_FILES);
	if (r == 0)
		r = worker_new(&ep->names, l, WORKER_NAMES);
	if (r < 0)
		return r;
	ep->fd = epoll_create1(EPOLL_CLOEXEC);
	if (ep->fd < 0 ||
	    epoll_ctl(ep->fd, EPOLL_CTL_ADD, l->hand.fd, &ev) < 0)
		return -errno;
	return 0;
}

int
loop_epoll_new(struct loop **ret_loop)
{
	struct loop *l = NULL;
	struct ep *ep;
	int r;

	ep = calloc(1, sizeof(*ep));
	if (ep == NULL)
		return -ENOMEM;
	ep->fd = -1;
	r = loop_make(&l, &ep_backend, ep);
	if (r < 0) {
		ep_destroy(ep);
		return r;
	}
	r = ep_open(l, ep);
	if (r < 0) {
		loop_free(&l);
		return r;
	}
	*ret_loop = l;
	return 0;
}
