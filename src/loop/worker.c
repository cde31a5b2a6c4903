/* SPDX-License-Identifier: ISC */
/* worker.c - one helper thread; the contract is in worker.h */

#include "loop/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "loop/real.h"

#include "banned.h"

/* getaddrinfo() with its modules is the hungriest guest. */
#define STACK_BYTES	(256u << 10)

/*
 * Where an op is: op->seq, under mu.  op->state says WORKER_STATE from submit
 * to completion, so the loop's thread may look at it without the lock.
 */
enum { W_QUEUED = 1, W_RUNNING, W_DONE };

struct worker {
	struct loop	*loop;
	enum worker_kind kind;
	pthread_t	 thread;
	bool		 started;
	pthread_mutex_t	 mu;		/* guards all below */
	pthread_cond_t	 more;
	struct op	*head;
	struct op	**tail;
	struct op	*running;	/* NULL: idle, or abandoned */
	bool		 busy;
	bool		 quit;
	bool		 orphan;	/* the thread frees the worker */
};

int
worker_new(struct worker **ret_worker, struct loop *l, enum worker_kind kind)
{
	struct worker *w;

	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	w->loop = l;
	w->kind = kind;
	w->tail = &w->head;
	pthread_mutex_init(&w->mu, NULL);
	pthread_cond_init(&w->more, NULL);
	*ret_worker = w;
	return 0;
}

static void
destroy(struct worker *w)
{
	must(w->head == NULL);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->mu);
	free(w);
}

void
worker_free(struct worker **worker)
{
	struct worker *w = *worker;

	*worker = NULL;
	if (w == NULL)
		return;
	if (!w->started) {
		destroy(w);
		return;
	}
	pthread_mutex_lock(&w->mu);
	must(w->head == NULL);
	must(w->running == NULL);
	w->quit = true;
	w->orphan = w->busy;
	pthread_cond_signal(&w->more);
	if (w->orphan) {
		pthread_detach(w->thread);
		pthread_mutex_unlock(&w->mu);
		return;
	}
	pthread_mutex_unlock(&w->mu);
	pthread_join(w->thread, NULL);
	destroy(w);
}

/* ---- the thread ---- */

static struct op *
take(struct worker *w)
{
	struct op *op = w->head;

	w->head = op->next;
	if (w->head == NULL)
		w->tail = &w->head;
	else
		w->head->prevp = &w->head;
	op->next = NULL;
	op->prevp = NULL;
	op->seq = W_RUNNING;
	w->running = op;
	w->busy = true;
	return op;
}

static int64_t
run(struct op *copy)
{
	int64_t r;

	if (copy->kind != OP_RESOLVE)
		return real_file(copy);
	/* priv: host and port, ours since the op was taken */
	r = real_resolve(copy->priv,
	    (char *)copy->priv + strlen(copy->priv) + 1, copy);
	free(copy->priv);
	return r;
}

/* The arguments; the rest of an op is the loop's to change meanwhile. */
static struct op
arguments(const struct op *op)
{
	return (struct op){
		.kind = op->kind, .fd = op->fd, .flags = op->flags,
		.off = op->off, .len = op->len, .buf = op->buf,
		.path2 = op->path2, .priv = op->priv,
	};
}

/* Called and returns with mu held; does the work without it. */
static void
run_next(struct worker *w)
{
	struct op *op = take(w);
	struct op copy = arguments(op);
	int64_t res;

	op->priv = NULL;
	pthread_mutex_unlock(&w->mu);
	res = run(&copy);
	pthread_mutex_lock(&w->mu);
	w->busy = false;
	if (w->running == NULL)
		return;			/* abandoned: op is not ours */
	must(w->running == op);
	w->running = NULL;
	op->resolved = copy.resolved;	/* the largest kind of result */
	op->seq = W_DONE;
	loop_complete_from_thread(w->loop, op, res);
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	bool orphan;

	pthread_mutex_lock(&w->mu);
	for (;;) {
		if (w->head != NULL)
			run_next(w);
		else if (w->quit)
			break;
		else
			pthread_cond_wait(&w->more, &w->mu);
	}
	orphan = w->orphan;
	pthread_mutex_unlock(&w->mu);
	if (orphan)
		destroy(w);
	return NULL;
}

/* ---- the loop's side ---- */

static int
start(struct worker *w)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int r;

	if (w->started)
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* Signals are for the main thread; SIGPIPE is for nobody. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, &attr, work, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	w->started = r == 0;
	return -r;
}

/* Host and port for a thread that may outlive the op. */
static void *
question(const struct op *op)
{
	size_t host = strlen(op->path) + 1, port = strlen(op->path2) + 1;
	char *p;

	p = malloc(host + port);
	if (p != NULL) {
		memcpy(p, op->path, host);
		memcpy(p + host, op->path2, port);
	}
	return p;
}

void
worker_submit(struct worker *w, struct op *op)
{
	int r;

	r = start(w);
	if (r == 0 && op->kind == OP_RESOLVE) {
		op->priv = question(op);
		if (op->priv == NULL)
			r = -ENOMEM;
	}
	if (r < 0) {
		loop_complete(w->loop, op, r);
		return;
	}
	op->state = WORKER_STATE;
	pthread_mutex_lock(&w->mu);
	op->seq = W_QUEUED;
	op->next = NULL;
	op->prevp = w->tail;
	*w->tail = op;
	w->tail = &op->next;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->mu);
}

static void
unqueue(struct worker *w, struct op *op)
{
	*op->prevp = op->next;
	if (op->next != NULL)
		op->next->prevp = op->prevp;
	else
		w->tail = op->prevp;
	op->prevp = NULL;
	free(op->priv);
	op->priv = NULL;
}

void
worker_cancel(struct worker *w, struct op *op)
{
	bool ended = false;

	pthread_mutex_lock(&w->mu);
	if (op->seq == W_QUEUED) {
		unqueue(w, op);
		ended = true;
	} else if (op->seq == W_RUNNING && w->kind == WORKER_NAMES) {
		w->running = NULL;
		ended = true;
	}
	pthread_mutex_unlock(&w->mu);
	if (ended)
		loop_complete(w->loop, op, -ECANCELED);
}
