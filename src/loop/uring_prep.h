/* SPDX-License-Identifier: ISC */
/*
 * uring_prep.h - what loop_uring.c writes into the submission queue
 *
 * What:     fills an entry from an op of a kind that the ring has an opcode
 *           for (else must()); user_data is the caller's.
 */
#ifndef EMPLOG_URING_PREP_H
#define EMPLOG_URING_PREP_H

#include <liburing.h>

#include "loop/backend.h"

/* accept connect recv send poll watch */
void	 uring_prep_socket(struct io_uring_sqe *sqe, struct op *op);
/* read write fsync open close rename unlink fallocate */
void	 uring_prep_file(struct io_uring_sqe *sqe, struct op *op);

#endif
