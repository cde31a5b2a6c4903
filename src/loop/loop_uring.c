/* SPDX-License-Identifier: ISC */
/*
 * loop_uring.c - the backend on io_uring
 *
 * What:     one ring, made and used by one thread.  Each op is one SQE at a
 *           time and its user_data is the op; what the ring has no opcode for
 *           (names, list, locks, ...) goes to a helper thread.
 * Bounds:   at most OPS_MAX ops and CANCELS_MAX cancellations are in the
 *           ring, together fewer than its CQ holds, so it never overflows;
 *           more ops wait in a list of ours.
 *
 *   submit --> [OPS_MAX in the ring?] --no--> SQE .. io_uring_enter .. CQE
 *                     | yes                    ^                        |
 *                     +--> waiting list -------+   <--- one came back --+
 *
 * Accept and recv are single-shot: multishot ends silently and has given
 * invalid descriptors on some kernels.  No zero-copy send: it is slower where
 * it was measured, and pins memory until the peer acknowledges.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "loop/backend.h"
#include "loop/real.h"
#include "loop/uring_prep.h"
#include "loop/uring_ring.h"
#include "loop/worker.h"

#include "banned.h"

#define OPS_MAX		640
#define CANCELS_MAX	320
#define WAIT_MAX_S	3600	/* no sum of times may wrap */

static_assert(OPS_MAX + CANCELS_MAX + 1 < URING_CQ_ENTRIES,
    "room for the wake-up");

/* user_data that is no op; no op lives at such an address. */
#define TAG_CANCEL	1u
#define TAG_HAND	2u

/* op->state */
enum {
	UR_WAITING = WORKER_STATE + 1,	/* in our list, not in the ring */
	UR_IN_RING,
	UR_POLLING		/* in the ring as a poll: it said EAGAIN */
};

struct ur {
	struct io_uring	 ring;
	bool		 opened;
	unsigned	 ops;		/* in the ring */
	unsigned	 cancels;	/* in the ring */
	struct op	*waiting;
	struct op	**waiting_end;
	struct worker	*files;
	struct worker	*names;
};

static struct ur *
ur_of(struct loop *l)
{
	return l->be_state;
}

/* ---- the ring ---- */

/*
 * What enter() can say that is not our bug: a signal, the time is over, or
 * the kernel is short of memory and takes the rest next time.
 */
static void
check_enter(int r)
{
	must(r >= 0 || r == -EINTR || r == -ETIME || r == -EAGAIN ||
	    r == -EBUSY || r == -ENOMEM);
}

static struct io_uring_sqe *
get_sqe(struct loop *l)
{
	struct ur *ur = ur_of(l);
	struct io_uring_sqe *sqe;

	while ((sqe = io_uring_get_sqe(&ur->ring)) == NULL)
		check_enter(io_uring_submit(&ur->ring));
	return sqe;
}

static void
hand_arm(struct loop *l)
{
	struct io_uring_sqe *sqe = get_sqe(l);

	io_uring_prep_poll_add(sqe, l->hand.fd, POLLIN);
	sqe->user_data = TAG_HAND;
}

/* ---- op to SQE ---- */

static bool
is_socket_kind(int kind)
{
	switch (kind) {
	case OP_ACCEPT: case OP_CONNECT: case OP_RECV: case OP_SEND:
	case OP_POLL: case OP_WATCH:
		return true;
	default:
		return false;
	}
}

static void
issue(struct loop *l, struct op *op, int state)
{
	struct io_uring_sqe *sqe;

	must(ur_of(l)->ops < OPS_MAX);
	sqe = get_sqe(l);
	if (state == UR_POLLING)
		io_uring_prep_poll_add(sqe, op->fd,
		    op->kind == OP_SEND ? POLLOUT : POLLIN);
	else if (is_socket_kind(op->kind))
		uring_prep_socket(sqe, op);
	else
		uring_prep_file(sqe, op);
	io_uring_sqe_set_data(sqe, op);
	op->state = (uint8_t)state;
	ur_of(l)->ops++;
}

static void
waiting_put(struct ur *ur, struct op *op)
{
	op->state = UR_WAITING;
	op->next = NULL;
	op->prevp = ur->waiting_end;
	*ur->waiting_end = op;
	ur->waiting_end = &op->next;
}

static void
waiting_remove(struct ur *ur, struct op *op)
{
	*op->prevp = op->next;
	if (op->next != NULL)
		op->next->prevp = op->prevp;
	else
		ur->waiting_end = op->prevp;
	op->next = NULL;
	op->prevp = NULL;
}

static void
issue_or_wait(struct loop *l, struct op *op)
{
	struct ur *ur = ur_of(l);

	if (ur->ops < OPS_MAX)
		issue(l, op, UR_IN_RING);
	else
		waiting_put(ur, op);
}

/* ---- CQE to result ---- */

static void
connect_end(struct loop *l, struct op *op, int64_t res)
{
	int fd = op->fd;

	if (res < 0) {
		close(fd);
		loop_complete(l, op, res);
	} else
		loop_complete(l, op, fd);
}

/*
 * The socket is in non-blocking mode (it came from outside the loop, or a
 * library set it): older kernels' io_uring then does not wait by itself, so
 * poll first.
 */
static void
again(struct loop *l, struct op *op)
{
	if (op->cancelled)
		loop_complete(l, op, -ECANCELED);
	else
		issue(l, op, UR_POLLING);
}

static void
send_end(struct loop *l, struct op *op, int64_t res)
{
	if (res == -EFAULT)
		res = real_send_rest(op);
	if (res == -EAGAIN)
		again(l, op);
	else
		loop_complete(l, op, res);
}

static void
watch_end(struct loop *l, struct op *op, int64_t res)
{
	if (res >= 0)
		res = real_watch_take(op->watch);
	if (res != -EAGAIN)
		loop_complete(l, op, res);
	else if (op->cancelled)
		loop_complete(l, op, -ECANCELED);
	else
		issue(l, op, UR_IN_RING);
}

static void
accept_end(struct loop *l, struct op *op, int64_t res)
{
	if (res == -EAGAIN)
		again(l, op);
	else if (res == -ECONNABORTED && !op->cancelled)
		issue(l, op, UR_IN_RING);
	else {
		if (res >= 0)
			real_tune((int)res);
		loop_complete(l, op, res);
	}
}

/* A file opened O_NONBLOCK may say EAGAIN: then the thread does it. */
static void
file_end(struct loop *l, struct op *op, int64_t res)
{
	if (res == -EAGAIN && !op->cancelled) {
		op->state = 0;
		worker_submit(ur_of(l)->files, op);
	} else if (op->kind == OP_CLOSE && res == -EINTR)
		loop_complete(l, op, 0);	/* closed all the same */
	else
		loop_complete(l, op, res);
}

static void
op_end(struct loop *l, struct op *op, int64_t res)
{
	bool polled = op->state == UR_POLLING;

	must(op->magic == OP_MAGIC);	/* a stale user_data stops here */
	must(op->state == UR_IN_RING || polled);
	op->state = 0;
	if (res == -EINTR && op->cancelled && op->kind != OP_CLOSE)
		res = -ECANCELED;
	if ((res == -EINTR && op->kind != OP_CLOSE) || (polled && res >= 0)) {
		if (op->cancelled)
			res = -ECANCELED;
		else {
			issue(l, op, UR_IN_RING);
			return;
		}
	}
	switch (op->kind) {
	case OP_ACCEPT:
		accept_end(l, op, res);
		break;
	case OP_CONNECT:
		connect_end(l, op, res);
		break;
	case OP_RECV:
		if (res == -EAGAIN)
			again(l, op);
		else
			loop_complete(l, op, res);
		break;
	case OP_SEND:
		send_end(l, op, res);
		break;
	case OP_POLL:
		loop_complete(l, op, res > 0 ? 0 : res);
		break;
	case OP_WATCH:
		watch_end(l, op, res);
		break;
	default:
		file_end(l, op, res);
	}
}

static void
cqe_end(struct loop *l, uint64_t data, int res)
{
	struct ur *ur = ur_of(l);

	if (data == TAG_CANCEL) {
		must(ur->cancels > 0);
		ur->cancels--;	/* whether it met its op or not */
	} else if (data == TAG_HAND) {
		loop_hand_take(l);
		hand_arm(l);
	} else {
		must(ur->ops > 0);
		ur->ops--;
		op_end(l, (struct op *)(uintptr_t)data, res);
	}
}

static void
ur_reap(struct loop *l)
{
	struct ur *ur = ur_of(l);
	struct io_uring_cqe *cqe;
	struct op *op;
	uint64_t data;
	int res;

	while (io_uring_peek_cqe(&ur->ring, &cqe) == 0) {
		data = cqe->user_data;
		res = cqe->res;
		/* Given back first: what it leads to may submit and fill. */
		io_uring_cqe_seen(&ur->ring, cqe);
		cqe_end(l, data, res);
	}
	while (ur->ops < OPS_MAX && (op = ur->waiting) != NULL) {
		waiting_remove(ur, op);
		issue(l, op, UR_IN_RING);
	}
}

/* ---- the table ---- */

static void
submit_connect(struct loop *l, struct op *op)
{
	int fd;

	fd = real_socket(&op->addr, 0);
	if (fd < 0) {
		loop_complete(l, op, fd);
		return;
	}
	op->fd = fd;
	issue_or_wait(l, op);
}

static void
submit_watch(struct loop *l, struct op *op)
{
	int64_t r;

	op->fd = op->watch->fd;
	r = real_watch_take(op->watch);
	if (r != -EAGAIN)
		loop_complete(l, op, r);
	else
		issue_or_wait(l, op);
}

static void
submit_resolve(struct loop *l, struct op *op)
{
	int64_t r;

	r = real_resolve_now(op);
	if (r != -EAGAIN)
		loop_complete(l, op, r);
	else
		worker_submit(ur_of(l)->names, op);
}

/* No opcode for it, or none that is safe: a FIFO's write raises SIGPIPE. */
static bool
for_the_worker(const struct op *op)
{
	switch (op->kind) {
	case OP_MKDIR: case OP_TRUNCATE: case OP_LIST: case OP_STAT:
	case OP_SPACE: case OP_LOCK:
		return true;
	case OP_WRITE:
		return op->off == LOOP_STREAM;
	default:
		return false;
	}
}

static void
ur_submit(struct loop *l, struct op *op)
{
	if (real_at_once(op))
		loop_complete(l, op, real_file(op));
	else if (for_the_worker(op))
		worker_submit(ur_of(l)->files, op);
	else if (op->kind == OP_CONNECT)
		submit_connect(l, op);
	else if (op->kind == OP_WATCH)
		submit_watch(l, op);
	else if (op->kind == OP_RESOLVE)
		submit_resolve(l, op);
	else
		issue_or_wait(l, op);
}

static void
cancel_in_ring(struct loop *l, struct op *op)
{
	struct ur *ur = ur_of(l);
	struct io_uring_sqe *sqe;

	/* Each is answered when it is submitted, so this ends. */
	while (ur->cancels == CANCELS_MAX) {
		check_enter(io_uring_submit_and_get_events(&ur->ring));
		ur_reap(l);
	}
	if (op->ready)
		return;
	sqe = get_sqe(l);
	io_uring_prep_cancel(sqe, op, 0);
	sqe->user_data = TAG_CANCEL;
	ur->cancels++;
}

static void
ur_cancel(struct loop *l, struct op *op)
{
	struct ur *ur = ur_of(l);

	if (op->kind == OP_RESOLVE)
		worker_cancel(ur->names, op);
	else if (op->state == UR_IN_RING || op->state == UR_POLLING)
		cancel_in_ring(l, op);
	else if (op->state == WORKER_STATE)
		worker_cancel(ur->files, op);
	else {
		must(op->state == UR_WAITING);
		waiting_remove(ur, op);
		if (op->kind == OP_CONNECT)
			connect_end(l, op, -ECANCELED);
		else
			loop_complete(l, op, -ECANCELED);
	}
}

static void
ur_wait(struct loop *l, uint64_t until_ns)
{
	struct io_uring *ring = &ur_of(l)->ring;
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	uint64_t now;
	int r;

	ur_reap(l);
	now = until_ns == 0 || until_ns == UINT64_MAX ? 0 : real_now(l);
	if (until_ns <= now || l->ready_n > 0)
		r = io_uring_submit_and_get_events(ring);
	else if (until_ns == UINT64_MAX)
		r = io_uring_submit_and_wait(ring, 1);
	else {
		ts.tv_sec = (int64_t)((until_ns - now) / 1000000000u);
		ts.tv_nsec = (int64_t)((until_ns - now) % 1000000000u);
		if (ts.tv_sec > WAIT_MAX_S)
			ts.tv_sec = WAIT_MAX_S;
		r = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &ts, NULL);
	}
	check_enter(r);
	ur_reap(l);
}

static int
ur_listen(struct loop *l, const struct loop_addr *at,
    struct loop_addr *ret_bound)
{
	return real_listen(at, inherit_flags(l), ret_bound);
}

static int
ur_pair(struct loop *l, int ret_fd[2])
{
	return real_pair(0, ret_fd);
}

static void
ur_destroy(struct ur *ur)
{
	worker_free(&ur->files);
	worker_free(&ur->names);
	if (ur->opened)
		io_uring_queue_exit(&ur->ring);
	free(ur);
}

static void
ur_free(struct loop *l)
{
	must(ur_of(l)->ops == 0);
	must(ur_of(l)->waiting == NULL);
	ur_destroy(ur_of(l));
	l->be_state = NULL;
}

static const struct backend ur_backend = {
	.name = "uring", .submit = ur_submit, .cancel = ur_cancel,
	.wait = ur_wait, .now = real_now, .wall = real_wall,
	.random = real_random, .listen = ur_listen,
	.pair = ur_pair, .shutdown = real_shutdown, .defer = real_defer,
	.watch_open = real_watch_open, .watch_close = real_watch_close,
	.free = ur_free,
};

static int
ur_open(struct loop *l, struct ur *ur)
{
	int r;

	r = loop_hand_open(l);
	if (r == 0)
		r = worker_new(&ur->files, l, WORKER_FILES);
	if (r == 0)
		r = worker_new(&ur->names, l, WORKER_NAMES);
	if (r == 0)
		r = uring_ring_open(&ur->ring);
	if (r < 0)
		return r;
	ur->opened = true;
	/* Saves a look-up per enter; older kernels do not know it. */
	(void)io_uring_register_ring_fd(&ur->ring);
	hand_arm(l);
	return 0;
}

int
loop_uring_new(struct loop **ret_loop)
{
	struct loop *l = NULL;
	struct ur *ur;
	int r;

	ur = calloc(1, sizeof(*ur));
	if (ur == NULL)
		return -ENOMEM;
	ur->waiting_end = &ur->waiting;
	r = loop_make(&l, &ur_backend, ur);
	if (r < 0) {
		ur_destroy(ur);
		return r;
	}
	r = ur_open(l, ur);
	if (r < 0) {
		loop_free(&l);
		return r;
	}
	*ret_loop = l;
	return 0;
}
