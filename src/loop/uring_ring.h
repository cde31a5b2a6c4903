/* SPDX-License-Identifier: ISC */
/*
 * uring_ring.h - opening the ring of loop_uring.c, and trying whether one opens
 */
#ifndef EMPLOG_URING_RING_H
#define EMPLOG_URING_RING_H

#include <liburing.h>

#define URING_CQ_ENTRIES	1024

/*
 * 0, or -errno of the call refused, -EOPNOTSUPP when the kernel's io_uring
 * lacks a feature or an opcode we use.  Allocates nothing: a child between
 * fork() and _exit() may call it.
 */
int	 uring_ring_open(struct io_uring *ring);

#endif
