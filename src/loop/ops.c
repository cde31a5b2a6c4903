/* SPDX-License-Identifier: ISC */
/*
 * ops.c - the calls of loop.h that start an operation
 *
 * Each fills in the op and gives it to the backend; what all share is
 * op_start().  One that names no descriptor cannot fail there.
 */

#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>

#include "base/must.h"
#include "loop/addr.h"
#include "loop/backend.h"
#include "loop/timers.h"

#include "banned.h"

void
loop_timer(struct loop *l, struct op *op, uint64_t at_ns)
{
	op_start(l, op, OP_TIMER, -1);
	op->at_ns = at_ns;
	op->seq = l->timer_seq++;
	timers_add(&l->timers, op);
}

int
loop_listen(struct loop *l, const char *hostport, struct loop_addr *ret_bound)
{
	struct loop_addr at;
	int r;

	r = addr_parse(hostport, &at);
	if (r < 0)
		return r;
	r = inherit_listener(l, &at, ret_bound);
	return r != -ENOENT ? r : l->be->listen(l, &at, ret_bound);
}

int
loop_pair(struct loop *l, int ret_fd[2])
{
	return l->be->pair(l, ret_fd);
}

int
loop_shutdown(struct loop *l, int fd)
{
	struct fd_use *use = loop_fd(l, fd);

	if (use == NULL)
		return -ENOMEM;
	must(!use->sending);
	if (use->layer != NULL)
		return use->layer->calls->shutdown(use->layer);
	return l->be->shutdown(l, fd);
}

void
loop_defer(struct loop *l, int listen_fd)
{
	must(listen_fd >= 0);
	if (l->be->defer != NULL)
		l->be->defer(listen_fd);
}

void
loop_accept(struct loop *l, struct op *op, int listen_fd)
{
	must(listen_fd >= 0);
	if (!op_start(l, op, OP_ACCEPT, listen_fd))
		return;
	op->flags = (uint32_t)inherit_flags(l);
	l->be->submit(l, op);
}

void
loop_connect(struct loop *l, struct op *op, const struct loop_addr *to)
{
	struct loop_addr addr = *to;	/* may be op's own, of an accept */

	must(addr.len <= sizeof(addr.sa));
	op_start(l, op, OP_CONNECT, -1);
	op->addr = addr;
	l->be->submit(l, op);
}

static void
receive(struct loop *l, struct op *op, int fd, void *buf, size_t len,
    uint32_t flags)
{
	must(fd >= 0);
	must(len > 0);
	if (!op_start(l, op, OP_RECV, fd))
		return;
	op->buf = buf;
	op->len = len;
	op->flags = flags;
	op_submit(l, op);
}

void
loop_recv(struct loop *l, struct op *op, int fd, void *buf, size_t len)
{
	receive(l, op, fd, buf, len, 0);
}

void
loop_peek(struct loop *l, struct op *op, int fd, void *buf, size_t len)
{
	receive(l, op, fd, buf, len, MSG_PEEK);
}

void
loop_send(struct loop *l, struct op *op, int fd, const struct iovec *iov,
    unsigned n)
{
	must(fd >= 0);
	must(n >= 1);
	must(n <= IOV_MAX);
	if (!op_start(l, op, OP_SEND, fd))
		return;
	op->iov = iov;
	op->len = n;
	op_submit(l, op);
}

void
loop_poll(struct loop *l, struct op *op, int fd, uint32_t events)
{
	must(fd >= 0);
	must(events != 0);
	if (!op_start(l, op, OP_POLL, fd))
		return;
	op->flags = events;
	l->be->submit(l, op);
}

void
loop_await(struct loop *l, struct op *op, int fd, size_t bytes)
{
	int n = bytes < INT_MAX ? (int)bytes : INT_MAX;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &n, sizeof(n));
	loop_poll(l, op, fd, POLLIN);
}

void
loop_resolve(struct loop *l, struct op *op, const char *host,
    const char *port)
{
	op_start(l, op, OP_RESOLVE, -1);
	op->resolved.n = 0;
	op->path = host;
	op->path2 = port;
	l->be->submit(l, op);
}

void
loop_read(struct loop *l, struct op *op, int fd, void *buf, size_t len,
    uint64_t off)
{
	must(fd >= 0);
	if (!op_start(l, op, OP_READ, fd))
		return;
	op->buf = buf;
	op->len = len;
	op->off = off;
	l->be->submit(l, op);
}

void
loop_write(struct loop *l, struct op *op, int fd, const void *buf, size_t len,
    uint64_t off)
{
	must(fd >= 0);
	if (!op_start(l, op, OP_WRITE, fd))
		return;
	op->cbuf = buf;
	op->len = len;
	op->off = off;
	l->be->submit(l, op);
}

/* Kinds that take a descriptor and at most a range of it. */
static void
file_range(struct loop *l, struct op *op, enum op_kind kind, int fd,
    uint64_t off, uint64_t len)
{
	must(fd >= 0);
	if (!op_start(l, op, kind, fd))
		return;
	op->off = off;
	op->len = len;
	op_submit(l, op);
}

void
loop_fsync(struct loop *l, struct op *op, int fd)
{
	file_range(l, op, OP_FSYNC, fd, 0, 0);
}

void
loop_close(struct loop *l, struct op *op, int fd)
{
	file_range(l, op, OP_CLOSE, fd, 0, 0);
}

void
loop_fallocate(struct loop *l, struct op *op, int fd, uint64_t off,
    uint64_t len)
{
	file_range(l, op, OP_FALLOCATE, fd, off, len);
}

void
loop_truncate(struct loop *l, struct op *op, int fd, uint64_t len)
{
	file_range(l, op, OP_TRUNCATE, fd, 0, len);
}

void
loop_lock(struct loop *l, struct op *op, int fd)
{
	file_range(l, op, OP_LOCK, fd, 0, 0);
}

/* Kinds that take a name; len is mkdir's mode. */
static void
by_path(struct loop *l, struct op *op, enum op_kind kind, const char *path,
    const char *path2, uint32_t mode)
{
	must(path != NULL);
	op_start(l, op, kind, -1);
	op->path2 = path2;
	op->path = path;
	op->len = mode;
	l->be->submit(l, op);
}

void
loop_open(struct loop *l, struct op *op, const char *path, int flags,
    uint32_t mode)
{
	must(path != NULL);
	op_start(l, op, OP_OPEN, -1);
	op->path = path;
	op->flags = (uint32_t)(flags | O_CLOEXEC);
	op->len = mode;
	l->be->submit(l, op);
}

void
loop_rename(struct loop *l, struct op *op, const char *from, const char *to)
{
	must(to != NULL);
	by_path(l, op, OP_RENAME, from, to, 0);
}

void
loop_unlink(struct loop *l, struct op *op, const char *path)
{
	by_path(l, op, OP_UNLINK, path, NULL, 0);
}

void
loop_mkdir(struct loop *l, struct op *op, const char *path, uint32_t mode)
{
	by_path(l, op, OP_MKDIR, path, NULL, mode);
}

void
loop_list(struct loop *l, struct op *op, const char *path)
{
	op->list.names = NULL;	/* so that freeing after a failure is fine */
	op->list.n = 0;
	by_path(l, op, OP_LIST, path, NULL, 0);
}

void
loop_stat(struct loop *l, struct op *op, const char *path)
{
	by_path(l, op, OP_STAT, path, NULL, 0);
}

void
loop_space(struct loop *l, struct op *op, const char *path)
{
	by_path(l, op, OP_SPACE, path, NULL, 0);
}

int
loop_watch_open(struct loop *l, const char *dir, struct loop_watch **ret_watch)
{
	return l->be->watch_open(l, dir, ret_watch);
}

void
loop_watch(struct loop *l, struct op *op, struct loop_watch *w)
{
	must(w != NULL);
	op_start(l, op, OP_WATCH, -1);
	op->watch = w;
	l->be->submit(l, op);
}

void
loop_watch_close(struct loop *l, struct loop_watch **w)
{
	if (*w == NULL)
		return;
	l->be->watch_close(l, *w);
	*w = NULL;
}
