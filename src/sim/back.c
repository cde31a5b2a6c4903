/* SPDX-License-Identifier: ISC */
/* back.c - the loop's backend in a simulated world; see backend.h */

#include "sim/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "loop/addr.h"
#include "banned.h"

static struct sim_proc *
proc_of(struct loop *l)
{
	return l->be_state;
}

static struct sim *
world_of(struct loop *l)
{
	return proc_of(l)->host->sim;
}

int
proc_fd(struct sim_proc *p, enum fd_kind kind)
{
	int fd;

	for (fd = 3; fd < SIM_FDS; fd++)
		if (p->fd[fd].kind == FD_FREE) {
			p->fd[fd] = (struct sim_fd){ .kind = kind };
			return fd;
		}
	return -EMFILE;
}

static struct inode *
file_of(struct sim_proc *p, int fd)
{
	must(fd >= 0 && fd < SIM_FDS);
	return p->fd[fd].kind == FD_FILE ? p->fd[fd].node : NULL;
}

/* ---- operations on files, done when their instant comes ---- */

static int64_t
do_list(struct sim_proc *p, struct op *op)
{
	struct list_names names = { 0 };
	size_t i, len = strlen(op->path);
	struct entry_name *e;

	e = disk_find(p->host, op->path);
	if (e == NULL || e->node == NULL)
		return -ENOENT;
	for (i = 0; i < p->host->names_n; i++) {
		e = &p->host->names[i];
		if (e->node != NULL && name_is_in(e, op->path, len))
			list_add(&names, e->path + len + 1);
	}
	return list_end(&names, op);
}

static int64_t
do_stat(struct sim_proc *p, struct op *op)
{
	struct entry_name *e = disk_find(p->host, op->path);

	if (e == NULL || e->node == NULL)
		return -ENOENT;
	return disk_stat(e->node, &op->stat);
}

static int64_t
do_stream(struct inode *n, struct op *op)
{
	uint64_t take = n->fifo < op->len ? n->fifo : op->len;

	if (n->type != LOOP_FIFO)
		return -EINVAL;
	if (op->kind == OP_WRITE) {
		n->fifo += op->len;
		return (int64_t)op->len;
	}
	if (take == 0)
		return -EAGAIN;
	memset(op->buf, 0, (size_t)take);
	n->fifo -= take;
	return (int64_t)take;
}

static int64_t
do_rw(struct sim_proc *p, struct op *op)
{
	struct inode *n = file_of(p, op->fd);

	if (n == NULL)
		return -EBADF;
	if (op->off == LOOP_STREAM)
		return do_stream(n, op);
	if (op->kind == OP_READ)
		return disk_read(p, n, op->buf, (size_t)op->len, op->off);
	return disk_write(p, n, op->cbuf, (size_t)op->len, op->off);
}

static int64_t
do_size(struct sim_proc *p, struct op *op)
{
	struct inode *n = file_of(p, op->fd);

	if (n == NULL)
		return -EBADF;
	if (op->kind == OP_TRUNCATE)
		return disk_resize(n, op->len);
	if (op->off + op->len <= n->size)
		return 0;
	return disk_no_room(p, n, op->off + op->len) ? -ENOSPC :
	    disk_resize(n, op->off + op->len);
}

static int64_t
do_resolve(struct op *op)
{
	struct loop_addr a;
	int r;

	r = addr_numeric(op->path, op->path2, &a);
	if (r < 0)
		return -ENOENT;
	op->resolved.addr[0] = a;
	op->resolved.n = 1;
	return 0;
}

static int64_t
do_close(struct sim_proc *p, int fd)
{
	if (p->fd[fd].kind == FD_FILE)
		return disk_close(p, fd);
	if (p->fd[fd].kind == FD_FREE)
		return -EBADF;
	net_close(p, fd, false);
	return 0;
}

static int64_t
do_post(struct sim_proc *p, struct op *op)
{
	struct sim *s = p->host->sim;

	sim_note(s, op->post->body.p, op->post->body.n);
	return s->answer == NULL ? -ECONNREFUSED :
	    s->answer(s->answer_arg, op->post);
}

static int64_t
carry_out(struct sim_proc *p, struct op *op)
{
	switch (op->kind) {
	case OP_READ: case OP_WRITE: return do_rw(p, op);
	case OP_FSYNC: return disk_sync(p, &p->fd[op->fd]);
	case OP_OPEN:
		return disk_open(p, op->path, (int)op->flags,
		    (uint32_t)op->len);
	case OP_CLOSE: return do_close(p, op->fd);
	case OP_RENAME: return disk_rename(p, op->path, op->path2);
	case OP_UNLINK: return disk_unlink(p, op->path);
	case OP_MKDIR: return disk_mkdir(p, op->path, (uint32_t)op->len);
	case OP_FALLOCATE: case OP_TRUNCATE: return do_size(p, op);
	case OP_LIST: return do_list(p, op);
	case OP_STAT: return do_stat(p, op);
	case OP_SPACE:
		op->space = (struct loop_space){ UINT64_C(1) << 33,
		    UINT64_C(1) << 32, 1000000, false };
		return 0;
	case OP_LOCK: return disk_lock(p, &p->fd[op->fd]);
	case OP_RESOLVE: return do_resolve(op);
	case OP_POST: return do_post(p, op);
	default: must(false);
	}
}

static void
file_event(struct sim_event *e)
{
	struct sim_disk_op d;
	int64_t res;

	if (e->op == NULL)
		return;
	record_before(e->proc, e->op, &d);
	res = carry_out(e->proc, e->op);
	record_after(e->proc, e->op, &d, res);
	loop_complete(e->proc->loop, e->op, res);
}

static void
at_its_time(struct sim_proc *p, struct op *op)
{
	struct sim *s = p->host->sim;
	uint64_t most = op->kind == OP_FSYNC ? s->faults.disk_delay_ns :
	    op->kind == OP_POST ? s->faults.net_delay_ns : 20000;
	struct sim_event *e;

	e = sim_at(s, s->now_ns + 500 + sim_random(s, most + 1), file_event);
	e->proc = p;
	e->op = op;
}

/* ---- waiting ---- */

static void
sim_watch(struct sim_proc *p, struct op *op)
{
	struct loop_watch *w = op->watch;

	if (w->changes > 0) {
		sim_later(p, op, (int64_t)w->changes, 0);
		w->changes = 0;
	} else {
		w->op = op;
	}
}

static void
sim_poll(struct sim_proc *p, struct op *op)
{
	struct inode *n = file_of(p, op->fd);

	if (n != NULL && n->fifo > 0) {
		sim_later(p, op, 0, 0);
		return;
	}
	op->next = p->polls;
	p->polls = op;
}

static bool
unpoll(struct sim_proc *p, struct op *op)
{
	struct op **at;

	for (at = &p->polls; *at != NULL; at = &(*at)->next)
		if (*at == op) {
			*at = op->next;
			op->next = NULL;
			return true;
		}
	return false;
}

static void
back_submit(struct loop *l, struct op *op)
{
	struct sim_proc *p = proc_of(l);

	switch (op->kind) {
	case OP_ACCEPT: net_accept(p, op); break;
	case OP_CONNECT: net_connect(p, op); break;
	case OP_RECV: net_recv(p, op); break;
	case OP_SEND: net_send(p, op); break;
	case OP_WATCH: sim_watch(p, op); break;
	case OP_POLL: sim_poll(p, op); break;
	default: at_its_time(p, op); break;
	}
}

static void
back_cancel(struct loop *l, struct op *op)
{
	struct sim_proc *p = proc_of(l);
	bool ours = false;

	switch (op->kind) {
	case OP_ACCEPT: case OP_CONNECT: case OP_RECV: case OP_SEND:
		ours = net_cancel(p, op);
		break;
	case OP_WATCH:
		ours = op->watch->op == op;
		if (ours)
			op->watch->op = NULL;
		break;
	case OP_POLL:
		ours = unpoll(p, op);
		break;
	case OP_POST:
		sim_forget(p->host->sim, op);
		ours = true;
		break;
	default:
		break;		/* it runs, and ends soon */
	}
	if (ours)
		sim_later(p, op, -ECANCELED, 0);
}

static void
back_wait(struct loop *l, uint64_t until_ns)
{
	/* sim_run() is who waits. */
}

static uint64_t
back_now(struct loop *l)
{
	return world_of(l)->now_ns;
}

static uint64_t
back_wall(struct loop *l)
{
	return sim_wall(proc_of(l)->host);
}

static void
back_random(struct loop *l, void *buf, size_t n)
{
	uint8_t *p = buf;

	while (n-- > 0)
		*p++ = (uint8_t)(rng_next(proc_of(l)->rng) >> 56);
}

static int
back_listen(struct loop *l, const struct loop_addr *at,
    struct loop_addr *ret_bound)
{
	return net_listen(proc_of(l), at, ret_bound);
}

static int
back_pair(struct loop *l, int ret_fd[2])
{
	return net_pair(proc_of(l), ret_fd);
}

static int
back_shutdown(struct loop *l, int fd)
{
	return net_shutdown(proc_of(l), fd);
}

static int
back_watch_open(struct loop *l, const char *dir, struct loop_watch **ret_watch)
{
	struct sim_proc *p = proc_of(l);
	struct entry_name *e = disk_find(p->host, dir);
	struct loop_watch *w;

	if (e == NULL || e->node == NULL || e->node->type != LOOP_DIR)
		return -ENOENT;
	w = must_alloc(sizeof(*w));
	snprintf(w->dir, sizeof(w->dir), "%s", dir);
	w->dir_len = strlen(w->dir);
	w->proc = p;
	w->next = p->watches;
	p->watches = w;
	*ret_watch = w;
	return 0;
}

static void
back_watch_close(struct loop *l, struct loop_watch *w)
{
	struct loop_watch **wp;

	for (wp = &proc_of(l)->watches; *wp != w; wp = &(*wp)->next)
		continue;
	*wp = w->next;
	free(w);
}

static void
back_free(struct loop *l)
{
	/* The process frees itself. */
}

const struct backend sim_backend_table = {
	.name = "sim",
	.submit = back_submit, .cancel = back_cancel, .wait = back_wait,
	.now = back_now, .wall = back_wall, .random = back_random,
	.listen = back_listen, .pair = back_pair, .shutdown = back_shutdown,
	.watch_open = back_watch_open, .watch_close = back_watch_close,
	.post = back_submit, .free = back_free,
};
