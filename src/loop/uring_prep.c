/* SPDX-License-Identifier: ISC */
/* uring_prep.c - an op as an entry of the submission queue */

#include "loop/uring_prep.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/must.h"
#include "loop/real.h"

#include "banned.h"

#define IO_MAX		(1u << 30)

static uint32_t
io_len(const struct op *op)
{
	return op->len < IO_MAX ? (uint32_t)op->len : IO_MAX;
}

void
uring_prep_socket(struct io_uring_sqe *sqe, struct op *op)
{
	switch (op->kind) {
	case OP_ACCEPT:
		op->addr.len = sizeof(op->addr.sa);
		io_uring_prep_accept(sqe, op->fd,
		    (struct sockaddr *)&op->addr.sa, &op->addr.len,
		    (int)op->flags);
		break;
	case OP_CONNECT:
		io_uring_prep_connect(sqe, op->fd,
		    (struct sockaddr *)&op->addr.sa, op->addr.len);
		break;
	case OP_RECV:
		io_uring_prep_recv(sqe, op->fd, op->buf, io_len(op),
		    (int)op->flags);
		break;
	case OP_SEND:
		real_send_prepare(op);
		io_uring_prep_sendmsg(sqe, op->fd, &op->sending.msg,
		    MSG_NOSIGNAL);
		break;
	case OP_POLL:
		io_uring_prep_poll_add(sqe, op->fd, op->flags);
		break;
	default:
		must(op->kind == OP_WATCH);
		io_uring_prep_poll_add(sqe, op->fd, POLLIN);
	}
}

void
uring_prep_file(struct io_uring_sqe *sqe, struct op *op)
{
	switch (op->kind) {
	case OP_READ:
		io_uring_prep_read(sqe, op->fd, op->buf, io_len(op), op->off);
		break;
	case OP_WRITE:
		io_uring_prep_write(sqe, op->fd, op->cbuf, io_len(op),
		    op->off);
		break;
	case OP_FSYNC:
		/* see file_fsync() in real_file.c */
		io_uring_prep_fsync(sqe, op->fd, real_is_dir(op->fd) ?
		    0 : IORING_FSYNC_DATASYNC);
		break;
	case OP_OPEN:
		io_uring_prep_openat(sqe, AT_FDCWD, op->path,
		    (int)op->flags, (mode_t)op->len);
		break;
	case OP_CLOSE:
		io_uring_prep_close(sqe, op->fd);
		break;
	case OP_RENAME:
		io_uring_prep_renameat(sqe, AT_FDCWD, op->path, AT_FDCWD,
		    op->path2, 0);
		break;
	case OP_UNLINK:
		io_uring_prep_unlinkat(sqe, AT_FDCWD, op->path, 0);
		break;
	default:
		must(op->kind == OP_FALLOCATE);
		io_uring_prep_fallocate(sqe, op->fd, 0, (off_t)op->off,
		    (off_t)op->len);
	}
}
