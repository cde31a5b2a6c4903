/* SPDX-License-Identifier: ISC */
/*
 * real.h - system calls the epoll and the uring backend have in common
 *
 * What:     clocks, random, listening, inotify, and each operation as one
 *           call that does not wait (sockets) or may (files).
 * Used by:  loop_epoll.c, loop_uring.c, worker.c.
 *
 * Each returns what op->res shall be: >= 0 or -errno.
 */
#ifndef EMPLOG_REAL_H
#define EMPLOG_REAL_H

#include "loop/backend.h"

struct loop_watch {
	int	fd;			/* inotify, one for each watch */
};

uint64_t real_now(struct loop *l);
uint64_t real_wall(struct loop *l);
void	 real_random(struct loop *l, void *buf, size_t n);
int	 real_watch_open(struct loop *l, const char *dir,
	    struct loop_watch **ret_watch);
void	 real_watch_close(struct loop *l, struct loop_watch *w);
/* Events since the last call, -EAGAIN: none, -EOVERFLOW, -ENOENT: gone. */
int64_t	 real_watch_take(const struct loop_watch *w);

/* type_flags: SOCK_NONBLOCK as the backend wants it, SOCK_CLOEXEC. */
int	 real_listen(const struct loop_addr *at, int type_flags,
	    struct loop_addr *ret_bound);
int	 real_pair(int type_flags, int ret_fd[2]);
int	 real_shutdown(struct loop *l, int fd);
void	 real_defer(int listen_fd);
/* SOCK_CLOEXEC is added. */
int	 real_socket(const struct loop_addr *to, int type_flags);
/* TCP_NODELAY and keep-alive; other sockets are left as they are. */
void	 real_tune(int fd);

/* Sockets, without waiting: -EAGAIN when it would. */
int64_t	 real_recv(struct op *op);
int64_t	 real_send(struct op *op);
/* Fills op->sending.msg from op->iov. */
void	 real_send_prepare(struct op *op);
/* What a send that met -EFAULT can still send; -EFAULT when nothing. */
int64_t	 real_send_rest(struct op *op);

bool	 real_is_dir(int fd);
/*
 * A file operation that never waits, so real_file() may do it in the loop's
 * own thread: a read of a FIFO, a close of anything but a file.
 */
bool	 real_at_once(const struct op *op);
/* Any file operation, in the calling thread: may wait. */
int64_t	 real_file(struct op *op);
/* A name or a number; may wait for the network. */
int64_t	 real_resolve(const char *host, const char *port, struct op *op);
/* The same for numbers and localhost only; -EAGAIN: ask real_resolve(). */
int64_t	 real_resolve_now(struct op *op);

#endif
