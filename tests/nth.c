/* SPDX-License-Identifier: ISC */
/* nth.c - of a process' calls for memory, or operations, one fails; see nth.h */

#include "nth.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/must.h"
#include "sim/inner.h"

/* What the kernel says when such an operation fails. */
static const struct { const char *name; int error; } kinds[NTH_KINDS] = {
	[OP_ACCEPT] = { "accept", -EMFILE },
	[OP_CONNECT] = { "connect", -ENETUNREACH },
	[OP_RECV] = { "recv", -ECONNRESET },
	[OP_SEND] = { "send", -EPIPE },
	[OP_READ] = { "read", -EIO },
	[OP_WRITE] = { "write", -ENOSPC },
	[OP_FSYNC] = { "fsync", -EIO },
	[OP_OPEN] = { "open", -EMFILE },
	[OP_CLOSE] = { "close", -EIO },
	[OP_RENAME] = { "rename", -EIO },
	[OP_UNLINK] = { "unlink", -EIO },
	[OP_MKDIR] = { "mkdir", -ENOSPC },
	[OP_FALLOCATE] = { "fallocate", -ENOSPC },
	[OP_TRUNCATE] = { "truncate", -EIO },
	[OP_LIST] = { "list", -EMFILE },
	[OP_STAT] = { "stat", -EIO },
	[OP_SPACE] = { "space", -EIO },
	[OP_LOCK] = { "lock", -ENOLCK },
	[OP_WATCH] = { "watch", -ENOMEM },
	[OP_RESOLVE] = { "resolve", -EAGAIN },
	[OP_POLL] = { "poll", -ENOMEM },
	[OP_POST] = { "post", -ECONNREFUSED },
	[NTH_MEMORY] = { "memory", -ENOMEM },
	[NTH_LISTEN] = { "listen", -EMFILE },
	[NTH_PAIR] = { "pair", -EMFILE },
	[NTH_SHUTDOWN] = { "shutdown", -ENOTCONN },
	[NTH_WATCH_OPEN] = { "watch-open", -EMFILE },
	[SYS_RANDOM] = { "shm random", -ENOSYS },
	[SYS_OPEN] = { "shm open", -EMFILE },
	[SYS_CLOSE] = { "shm close", -EIO },
	[SYS_FSTAT] = { "shm fstat", -EIO },
	[SYS_LSTAT] = { "shm lstat", -EIO },
	[SYS_STATFS] = { "shm statfs", -EIO },
	[SYS_MKDIR] = { "shm mkdir", -ENOSPC },
	[SYS_MKFIFO] = { "shm mkfifo", -ENOSPC },
	[SYS_FCHMOD] = { "shm fchmod", -EPERM },
	[SYS_RESIZE] = { "shm resize", -ENOSPC },
	[SYS_FALLOCATE] = { "shm fallocate", -ENOSPC },
	[SYS_PUNCH] = { "shm punch", -EOPNOTSUPP },
	[SYS_RENAME] = { "shm rename", -ENOSPC },
	[SYS_UNLINK] = { "shm unlink", -EPERM },
	[SYS_WRITE] = { "shm write", -ENOSPC },
	[SYS_READ] = { "shm read", -EIO },
	[SYS_LOCK] = { "shm lock", -ENOLCK },
	[SYS_LOCKED] = { "shm locked", -ENOLCK },
	[SYS_MAP] = { "shm map", -ENOMEM },
	[SYS_LIST] = { "shm list", -EMFILE },
};

/* The nth of each loop that has one. */
#define LOOPS	4
static struct { struct loop *l; struct nth *n; } loops[LOOPS];

static struct nth *
nth_of(const struct loop *l)
{
	unsigned i;

	for (i = 0; i < LOOPS; i++)
		if (loops[i].l == l)
			return loops[i].n;
	must(false);
}

const char *
nth_kind_name(unsigned kind)
{
	return kind < NTH_KINDS && kinds[kind].name != NULL ?
	    kinds[kind].name : "nothing";
}

int
nth_kind_error(unsigned kind)
{
	return kinds[kind].error;
}

bool
nth_fails(struct nth *n, unsigned kind)
{
	enum nth_what what = kind == NTH_MEMORY ? NTH_ALLOC :
	    kind >= SYS_RANDOM ? NTH_SYS : NTH_OP;
	uint64_t at = what == NTH_ALLOC ? ++n->allocs : what == NTH_SYS ?
	    ++n->sys : ++n->ops;

	n->calls[kind]++;
	if (n->lifted || n->what != what || at < n->at ||
	    (at > n->at && !n->ever))
		return false;
	if (n->failed++ == 0)
		n->kind = kind;
	if (n->loud)
		fprintf(stderr, "%s fails\n", nth_kind_name(kind));
	return true;
}

void
nth_lift(struct nth *n)
{
	n->lifted = true;
}

void
nth_print(const struct nth *n, FILE *to)
{
	unsigned k;

	fprintf(to, "memory %" PRIu64 "; calls of shm %" PRIu64 "; operations "
	    "%" PRIu64 ":", n->allocs, n->sys, n->ops);
	for (k = 0; k < NTH_KINDS; k++)
		if (k != NTH_MEMORY && n->calls[k] > 0)
			fprintf(to, " %s %" PRIu64, nth_kind_name(k),
			    n->calls[k]);
}

/* ---- memory ---- */

static void *
nth_alloc(void *arg, size_t bytes)
{
	struct nth *n = arg;

	return nth_fails(n, NTH_MEMORY) ? NULL : n->alloc(n->mem_arg, bytes);
}

static void
nth_release(void *arg, void *p)
{
	struct nth *n = arg;

	n->release(n->mem_arg, p);
}

void
nth_memory(struct nth *n, struct env *env)
{
	n->alloc = env->alloc;
	n->release = env->release;
	n->mem_arg = env->mem_arg;
	env->alloc = nth_alloc;
	env->release = nth_release;
	env->mem_arg = n;
}

/* ---- operations ---- */

/* Whom to tell that its descriptor is closed, and that this failed. */
#define CLOSINGS 64
static struct { struct op *op; op_fn *done; } closing[CLOSINGS];

static void
close_failed(struct op *op)
{
	unsigned i;

	for (i = 0; i < CLOSINGS && closing[i].op != op; i++)
		continue;
	must(i < CLOSINGS);
	closing[i].op = NULL;
	op->done = closing[i].done;
	op->res = kinds[OP_CLOSE].error;
	op->done(op);
}

static void
fail_close(struct op *op)
{
	unsigned i;

	for (i = 0; i < CLOSINGS && closing[i].op != NULL; i++)
		continue;
	must(i < CLOSINGS);
	closing[i].op = op;
	closing[i].done = op->done;
	op->done = close_failed;
}

/* Those of a loop that went with its process are told no more. */
static void
forget_closings(void)
{
	memset(closing, 0, sizeof(closing));
}

/* What a failed sync was to keep is gone, as far as the kernel says. */
static void
spoil(struct loop *l, const struct op *op)
{
	struct sim_proc *p = l->be_state;

	if (strcmp(l->be->name, "sim") == 0 && p->fd[op->fd].kind == FD_FILE)
		disk_sync_fails(p, p->fd[op->fd].node);
}

static void
fail_op(struct loop *l, struct op *op)
{
	if (op->kind == OP_FSYNC)
		spoil(l, op);
	if (op->kind != OP_CLOSE) {
		loop_complete(l, op, kinds[op->kind].error);
		return;
	}
	fail_close(op);
	nth_of(l)->be->submit(l, op);
}

static void
nth_submit(struct loop *l, struct op *op)
{
	struct nth *n = nth_of(l);

	if (nth_fails(n, op->kind))
		fail_op(l, op);
	else
		n->be->submit(l, op);
}

static void
nth_post(struct loop *l, struct op *op)
{
	struct nth *n = nth_of(l);

	if (nth_fails(n, OP_POST))
		loop_complete(l, op, kinds[OP_POST].error);
	else
		n->be->post(l, op);
}

static int
nth_listen(struct loop *l, const struct loop_addr *at,
    struct loop_addr *ret_bound)
{
	struct nth *n = nth_of(l);

	return nth_fails(n, NTH_LISTEN) ? kinds[NTH_LISTEN].error :
	    n->be->listen(l, at, ret_bound);
}

static int
nth_pair(struct loop *l, int ret_fd[2])
{
	struct nth *n = nth_of(l);

	return nth_fails(n, NTH_PAIR) ? kinds[NTH_PAIR].error :
	    n->be->pair(l, ret_fd);
}

static int
nth_shutdown(struct loop *l, int fd)
{
	struct nth *n = nth_of(l);

	return nth_fails(n, NTH_SHUTDOWN) ? kinds[NTH_SHUTDOWN].error :
	    n->be->shutdown(l, fd);
}

static int
nth_watch_open(struct loop *l, const char *dir, struct loop_watch **ret)
{
	struct nth *n = nth_of(l);

	return nth_fails(n, NTH_WATCH_OPEN) ? kinds[NTH_WATCH_OPEN].error :
	    n->be->watch_open(l, dir, ret);
}

static void
nth_free(struct loop *l)
{
	struct nth *n = nth_of(l);
	unsigned i;

	for (i = 0; i < LOOPS; i++)
		if (loops[i].l == l)
			loops[i].l = NULL;
	forget_closings();
	n->be->free(l);
}

void
nth_loop(struct nth *n, struct loop *l)
{
	unsigned i;

	for (i = 0; i < LOOPS && loops[i].l != NULL; i++)
		continue;
	must(i < LOOPS);
	loops[i].l = l;
	loops[i].n = n;
	n->be = l->be;
	n->mine = *l->be;
	n->mine.submit = nth_submit;
	n->mine.listen = nth_listen;
	n->mine.pair = nth_pair;
	n->mine.shutdown = nth_shutdown;
	n->mine.watch_open = nth_watch_open;
	n->mine.free = nth_free;
	if (n->mine.post != NULL)
		n->mine.post = nth_post;
	l->be = &n->mine;
}
