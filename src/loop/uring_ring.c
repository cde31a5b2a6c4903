/* SPDX-License-Identifier: ISC */
/* uring_ring.c - a ring with all we need, or why not; see uring_ring.h */

#include "loop/uring_ring.h"

#include <errno.h>
#include <string.h>

#include "loop/backend.h"

#include "banned.h"

#define SQ_ENTRIES	256

/*
 * Older kernels refuse flags they do not know, so ask for less until one
 * takes it; only flags this liburing knows are ever passed.
 */
static int
ring_setup(struct io_uring *ring)
{
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN, 0,
	};
	const unsigned need = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
	    IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL;
	struct io_uring_params p;
	size_t i;
	int r = -EINVAL;

	for (i = 0; r == -EINVAL && i < sizeof(flags) / sizeof(*flags); i++) {
		p = (struct io_uring_params){
			.flags = flags[i] | IORING_SETUP_CQSIZE |
			    IORING_SETUP_CLAMP,
			.cq_entries = URING_CQ_ENTRIES,
		};
		r = io_uring_queue_init_params(SQ_ENTRIES, ring, &p);
	}
	if (r < 0)
		return r;
	if ((p.features & need) != need || p.cq_entries < URING_CQ_ENTRIES) {
		io_uring_queue_exit(ring);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int
has_opcodes(struct io_uring *ring)
{
	static const uint8_t need[] = {
		IORING_OP_NOP, IORING_OP_ACCEPT, IORING_OP_CONNECT,
		IORING_OP_RECV, IORING_OP_SENDMSG, IORING_OP_POLL_ADD,
		IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC,
		IORING_OP_OPENAT, IORING_OP_CLOSE, IORING_OP_FALLOCATE,
		IORING_OP_RENAMEAT, IORING_OP_UNLINKAT,
		IORING_OP_ASYNC_CANCEL,
	};
	/* On the stack: the child of a probe must not allocate. */
	union {
		struct io_uring_probe probe;
		uint8_t		 room[sizeof(struct io_uring_probe) +
				     256 * sizeof(struct io_uring_probe_op)];
	} u;
	size_t i;
	int r;

	memset(&u, 0, sizeof(u));
	r = io_uring_register_probe(ring, &u.probe, 256);
	if (r < 0)
		return r;
	for (i = 0; i < sizeof(need); i++)
		if (!io_uring_opcode_supported(&u.probe, need[i]))
			return -EOPNOTSUPP;
	return 0;
}

int
uring_ring_open(struct io_uring *ring)
{
	int r;

	r = ring_setup(ring);
	if (r < 0)
		return r;
	r = has_opcodes(ring);
	if (r < 0)
		io_uring_queue_exit(ring);
	return r;
}

int
loop_uring_probe(void)
{
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	int r;

	r = uring_ring_open(&ring);
	if (r < 0)
		return r;
	io_uring_prep_nop(io_uring_get_sqe(&ring));
	r = io_uring_submit_and_wait(&ring, 1);
	if (r == 1)
		r = io_uring_peek_cqe(&ring, &cqe);
	io_uring_queue_exit(&ring);
	return r;
}
