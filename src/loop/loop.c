/* SPDX-License-Identifier: ISC */
/* loop.c - the half of the loop all backends share; see loop.h, backend.h */

#include "loop/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "loop/backend.h"
#include "loop/timers.h"

#include "banned.h"

static void
loop_check(const struct loop *l)
{
	must(l != NULL);
	must(l->magic == LOOP_MAGIC);
}

/* ---- life of the loop ---- */

int
loop_make(struct loop **ret_loop, const struct backend *be, void *be_state)
{
	struct loop *l;

	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return -ENOMEM;
	l->magic = LOOP_MAGIC;
	l->be = be;
	l->be_state = be_state;
	l->ready_end = &l->ready;
	l->hand.fd = -1;
	l->now_ns = be->now(l);
	l->wall_ns = be->wall(l);
	*ret_loop = l;
	return 0;
}

void
loop_free(struct loop **loop)
{
	struct loop *l = *loop;

	if (l == NULL)
		return;
	loop_check(l);
	must(l->pending == 0);
	must(!l->turning);
	if (l->post.free != NULL)
		l->post.free(l);
	l->be->free(l);
	loop_hand_close(l);
	inherit_fini(l);
	free(l->fds);
	l->magic = 0;
	free(l);
	*loop = NULL;
}

const char *
loop_name(const struct loop *l)
{
	loop_check(l);
	return l->be->name;
}

size_t
loop_pending(const struct loop *l)
{
	loop_check(l);
	return l->pending;
}

size_t
loop_ready(const struct loop *l)
{
	loop_check(l);
	return l->ready_n;
}

uint64_t
loop_due(const struct loop *l)
{
	loop_check(l);
	return l->timers == NULL ? UINT64_MAX : l->timers->at_ns;
}

uint64_t
loop_now(const struct loop *l)
{
	loop_check(l);
	return l->now_ns;
}

uint64_t
loop_wall(const struct loop *l)
{
	loop_check(l);
	return l->wall_ns;
}

void
loop_random(struct loop *l, void *buf, size_t n)
{
	loop_check(l);
	l->be->random(l, buf, n);
}

uint64_t
loop_random_below(struct loop *l, uint64_t bound)
{
	uint64_t v, uneven;

	must(bound > 0);
	/* Values below 2^64 mod bound would favour small results. */
	uneven = -bound % bound;
	do
		loop_random(l, &v, sizeof(v));
	while (v < uneven);
	return v % bound;
}

/* ---- descriptors ---- */

struct fd_use *
loop_fd(struct loop *l, int fd)
{
	struct fd_use *more;
	size_t n;

	must(fd >= 0);
	if ((size_t)fd < l->fds_n)
		return &l->fds[fd];
	n = l->fds_n == 0 ? 64 : l->fds_n;
	while (n <= (size_t)fd)
		n *= 2;
	more = realloc(l->fds, n * sizeof(*more));
	if (more == NULL)
		return NULL;
	memset(more + l->fds_n, 0, (n - l->fds_n) * sizeof(*more));
	l->fds = more;
	l->fds_n = n;
	return &l->fds[fd];
}

/* The descriptor that op names as an argument, or -1. */
static int
names_fd(const struct op *op)
{
	switch (op->kind) {
	case OP_ACCEPT: case OP_RECV: case OP_SEND: case OP_READ:
	case OP_WRITE: case OP_FSYNC: case OP_FALLOCATE: case OP_TRUNCATE:
	case OP_LOCK: case OP_POLL: case OP_TLS:
		return op->inner ? -1 : op->fd;
	default:
		return -1;
	}
}

/* Who stands between this op and the backend, or NULL. */
static struct fd_layer *
layer_of(struct loop *l, const struct op *op)
{
	if (op->inner || op->fd < 0 || (size_t)op->fd >= l->fds_n)
		return NULL;
	switch (op->kind) {
	case OP_RECV: case OP_SEND: case OP_CLOSE: case OP_TLS:
		return l->fds[op->fd].layer;
	default:
		return NULL;
	}
}

void
op_submit(struct loop *l, struct op *op)
{
	struct fd_layer *layer = layer_of(l, op);

	must(op->kind != OP_TLS);
	if (layer != NULL)
		layer->calls->start(layer, op);
	else
		l->be->submit(l, op);
}

static bool *
direction(struct fd_use *use, int kind)
{
	if (kind == OP_RECV || kind == OP_ACCEPT)
		return &use->receiving;
	if (kind == OP_SEND)
		return &use->sending;
	return NULL;
}

static bool
fd_begin(struct loop *l, int kind, int fd)
{
	struct fd_use *use;
	bool *busy;

	use = loop_fd(l, fd);
	if (use == NULL)
		return false;
	if (kind == OP_CLOSE) {
		must(use->ops == 0);	/* cancel and drain comes first */
		return true;
	}
	must(use->ops < UINT16_MAX);
	busy = direction(use, kind);
	if (busy != NULL) {
		must(!*busy);		/* one recv, one send at a time */
		*busy = true;
	}
	use->ops++;
	return true;
}

static void
fd_end(struct loop *l, const struct op *op)
{
	struct fd_use *use;
	bool *busy;
	int fd = names_fd(op);

	if (fd < 0)
		return;
	must((size_t)fd < l->fds_n);
	use = &l->fds[fd];
	must(use->ops > 0);
	use->ops--;
	busy = direction(use, op->kind);
	if (busy != NULL)
		*busy = false;
}

/* ---- life of an op ---- */

void
op_init(struct op *op, op_fn *done, void *arg)
{
	must(done != NULL);
	memset(op, 0, sizeof(*op));
	op->magic = OP_MAGIC;
	op->fd = -1;
	op->done = done;
	op->arg = arg;
}

bool
op_start(struct loop *l, struct op *op, enum op_kind kind, int fd)
{
	loop_check(l);
	must(op->magic == OP_MAGIC);
	must(op->kind == OP_IDLE);
	op->kind = (uint8_t)kind;
	op->state = 0;
	op->cancelled = false;
	op->ready = false;
	op->res = 0;
	op->fd = fd;
	op->flags = 0;
	op->next = NULL;
	op->prevp = NULL;
	op->child = NULL;
	op->seq = 0;
	op->priv = NULL;
	l->pending++;
	if (fd >= 0 && !op->inner && !fd_begin(l, kind, fd)) {
		op->fd = -1;	/* not counted there, so not uncounted */
		loop_complete(l, op, -ENOMEM);
		return false;
	}
	return true;
}

void
loop_complete(struct loop *l, struct op *op, int64_t res)
{
	must(op->magic == OP_MAGIC);
	must(op->kind != OP_IDLE);
	must(!op->ready);
	op->ready = true;
	op->res = res;
	op->next = NULL;
	*l->ready_end = op;
	l->ready_end = &op->next;
	l->ready_n++;
}

static void
op_finish(struct loop *l)
{
	struct op *op = l->ready;

	l->ready = op->next;
	if (l->ready == NULL)
		l->ready_end = &l->ready;
	l->ready_n--;
	l->pending--;
	fd_end(l, op);
	op->next = NULL;
	op->ready = false;
	op->kind = OP_IDLE;
	op->done(op);
}

void
loop_cancel(struct loop *l, struct op *op)
{
	struct fd_layer *layer;

	loop_check(l);
	must(op->magic == OP_MAGIC);
	if (op->kind == OP_IDLE || op->ready || op->cancelled)
		return;
	op->cancelled = true;
	/* Taken back, it would leave a descriptor that nobody knows. */
	if (op->kind == OP_CLOSE)
		return;
	layer = layer_of(l, op);
	if (op->kind == OP_TIMER) {
		timers_remove(&l->timers, op);
		loop_complete(l, op, -ECANCELED);
	} else if (op->kind == OP_POST && l->be->post == NULL)
		l->post.cancel(l, op);
	else if (layer != NULL)
		layer->calls->cancel(layer, op);
	else
		l->be->cancel(l, op);
}

/* ---- turns ---- */

static void
expire(struct loop *l)
{
	struct op *op;

	while ((op = l->timers) != NULL && op->at_ns <= l->now_ns) {
		timers_remove(&l->timers, op);
		loop_complete(l, op, 0);
	}
}

int
loop_turn(struct loop *l, bool wait)
{
	size_t i, n;

	loop_check(l);
	must(!l->turning);
	l->turning = true;
	l->be->wait(l, wait && l->ready_n == 0 ? loop_due(l) : 0);
	l->now_ns = l->be->now(l);
	l->wall_ns = l->be->wall(l);
	expire(l);

	/* What finishes from here on has its turn in the next one. */
	n = l->ready_n;
	for (i = 0; i < n; i++)
		op_finish(l);
	l->turning = false;
	return n > INT_MAX ? INT_MAX : (int)n;
}

void
loop_run(struct loop *l)
{
	loop_check(l);
	while (!l->stop)
		loop_turn(l, true);
	l->stop = false;
}

void
loop_stop(struct loop *l)
{
	loop_check(l);
	l->stop = true;
}
