/* SPDX-License-Identifier: ISC */
/*
 * post.c - one HTTP request at a time out of many, with libcurl
 *
 * What:     loop_post() for the real backends: one thread runs a multi handle;
 *           ops go to it over a lock-free list and come back by
 *           loop_complete_from_thread().
 * Never:    follows redirects, skips the check of a certificate, or puts a
 *           header's value into an error text.
 *
 *   loop_post(op) --> asked --exchange--> thread: struct xfer, easy handle
 *   loop_cancel(op): op->state = CANCEL, wake up          |
 *   done(op) <-- loop_complete_from_thread() <------------+
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "base/must.h"
#include "loop/post_in.h"
#include "loop/real.h"

#include "banned.h"

#define STACK_BYTES	(256u << 10)
#define IDLE_WAIT_MS	600000
#define STALL_LOOK_MS	500	/* between two looks at who stalls */

/* In op->state: asked by the loop's thread, read by ours. */
enum { POST_RUNS, POST_CANCEL };

/* ---- a request ---- */

static CURL *
easy_get(struct poster *p)
{
	if (p->idle_n > 0)
		return p->idle[--p->idle_n];
	return p->curl.easy_init();
}

static void
easy_put(struct poster *p, CURL *easy)
{
	if (p->idle_n == IDLE_HANDLES) {
		p->curl.easy_cleanup(easy);
		return;
	}
	p->curl.easy_reset(easy);
	p->idle[p->idle_n++] = easy;
}

/* The op is the loop's again; x is gone. */
static void
xfer_end(struct xfer *x, int res)
{
	struct poster *p = x->poster;
	struct op *op = x->op;

	if (x->prevp != NULL) {
		*x->prevp = x->next;
		if (x->next != NULL)
			x->next->prevp = x->prevp;
		p->watched -= x->post->stall_ms > 0;
	}
	if (x->easy != NULL)
		easy_put(p, x->easy);
	p->curl.slist_free_all(x->headers);
	p->curl.slist_free_all(x->connect_to);
	free(x);
	loop_complete_from_thread(p->loop, op, res);
}

static void
xfer_begin(struct poster *p, struct xfer *x)
{
	int r;

	x->easy = easy_get(p);
	r = x->easy == NULL ? -ENOMEM : post_prepare(x);
	if (r == 0 && p->curl.multi_add_handle(p->multi, x->easy) != CURLM_OK)
		r = -ENOMEM;
	if (r < 0) {
		(void)snprintf(x->post->error, sizeof(x->post->error), "%s",
		    r == -EINVAL ? "a header has a line break in it" :
		    "out of memory");
		xfer_end(x, r);
		return;
	}
	x->next = p->active;
	x->prevp = &p->active;
	if (x->next != NULL)
		x->next->prevp = &x->next;
	p->active = x;
	p->watched += x->post->stall_ms > 0;
	x->moved = -1;
}

/* ---- the thread ---- */

static void
take_asked(struct poster *p)
{
	struct op *op, *next, *first = NULL;

	/* acquire: pairs with the release in loop_post() */
	op = atomic_exchange_explicit(&p->asked, NULL, memory_order_acquire);
	for (; op != NULL; op = next) {		/* oldest first again */
		next = op->next;
		op->next = first;
		first = op;
	}
	for (op = first; op != NULL; op = next) {
		next = op->next;
		xfer_begin(p, op->priv);
	}
}

static void
take_cancelled(struct poster *p)
{
	struct xfer *x, *next;

	for (x = p->active; x != NULL; x = next) {
		next = x->next;
		if (__atomic_load_n(&x->op->state, __ATOMIC_RELAXED) !=
		    POST_CANCEL)
			continue;
		(void)p->curl.multi_remove_handle(p->multi, x->easy);
		(void)snprintf(x->post->error, sizeof(x->post->error),
		    "cancelled");
		xfer_end(x, -ECANCELED);
	}
}

static void
take_finished(struct poster *p)
{
	struct xfer *x;
	CURLMsg *m;
	int left, r;

	while ((m = p->curl.multi_info_read(p->multi, &left)) != NULL) {
		char *priv = NULL;
		CURLcode code;

		if (m->msg != CURLMSG_DONE)
			continue;
		code = m->data.result;
		(void)p->curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE,
		    &priv);
		x = (struct xfer *)(void *)priv;
		must(x != NULL && x->poster == p);
		r = post_outcome(x, code);
		(void)p->curl.multi_remove_handle(p->multi, x->easy);
		xfer_end(x, r);
	}
}

static bool
is_stalled(struct xfer *x, uint64_t now_ns)
{
	const struct curl_lib *c = &x->poster->curl;
	curl_off_t up = 0, down = 0;
	long head = 0;

	(void)c->easy_getinfo(x->easy, CURLINFO_SIZE_UPLOAD_T, &up);
	(void)c->easy_getinfo(x->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
	(void)c->easy_getinfo(x->easy, CURLINFO_HEADER_SIZE, &head);
	if (up + down + head != x->moved) {
		x->moved = up + down + head;
		x->moved_ns = now_ns;
	}
	return now_ns - x->moved_ns >= x->post->stall_ms * UINT64_C(1000000);
}

/* Each byte is a sign of life; without any, the peer is gone. */
static void
take_stalled(struct poster *p)
{
	uint64_t now_ns = p->watched > 0 ? real_now(p->loop) : 0;
	struct xfer *x, *next;

	for (x = p->active; x != NULL && p->watched > 0; x = next) {
		next = x->next;
		if (x->post->stall_ms == 0 || !is_stalled(x, now_ns))
			continue;
		(void)p->curl.multi_remove_handle(p->multi, x->easy);
		(void)snprintf(x->post->error, sizeof(x->post->error),
		    "no byte for %u ms", x->post->stall_ms);
		xfer_end(x, -ETIMEDOUT);
	}
}

static void *
thread_main(void *arg)
{
	struct poster *p = arg;
	int running;

	while (!atomic_load_explicit(&p->stop, memory_order_acquire)) {
		take_asked(p);
		take_cancelled(p);
		(void)p->curl.multi_perform(p->multi, &running);
		take_finished(p);
		take_stalled(p);
		(void)p->curl.multi_poll(p->multi, NULL, 0, p->watched > 0 ?
		    STALL_LOOK_MS : IDLE_WAIT_MS, NULL);
	}
	return NULL;
}

/* Signals are the loop's: the thread is born with all of them blocked. */
static int
thread_start(struct poster *p)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r;

	r = -pthread_attr_init(&attr);
	if (r < 0)
		return r;
	r = -pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	if (r == 0)
		r = -pthread_sigmask(SIG_SETMASK, &all, &old);
	if (r == 0) {
		r = -pthread_create(&p->thread, &attr, thread_main, p);
		(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	(void)pthread_attr_destroy(&attr);
	return r;
}

/* ---- the loop's side ---- */

static void
poster_cancel(struct loop *l, struct op *op)
{
	struct poster *p = l->post.state;

	/* the op is ours until it completes, so its state may be written */
	__atomic_store_n(&op->state, POST_CANCEL, __ATOMIC_RELAXED);
	(void)p->curl.multi_wakeup(p->multi);
}

static void
poster_free(struct loop *l)
{
	struct poster *p = l->post.state;

	if (p->refused == 0) {
		atomic_store_explicit(&p->stop, true, memory_order_release);
		(void)p->curl.multi_wakeup(p->multi);
		(void)pthread_join(p->thread, NULL);
		must(p->active == NULL);
		while (p->idle_n > 0)
			p->curl.easy_cleanup(p->idle[--p->idle_n]);
		(void)p->curl.multi_cleanup(p->multi);
		curl_lib_close(&p->curl);
	}
	free(p);
	l->post = (struct post_part){ 0 };
}

static int
poster_open(struct poster *p)
{
	int r;

	r = curl_lib_open(&p->curl);
	if (r < 0)
		return r;
	p->multi = p->curl.multi_init();
	if (p->multi == NULL) {
		r = -ENOMEM;
		goto out;
	}
	(void)p->curl.multi_setopt(p->multi, CURLMOPT_MAXCONNECTS,
	    (long)IDLE_HANDLES);
	r = thread_start(p);
out:
	if (r < 0) {
		if (p->multi != NULL)
			(void)p->curl.multi_cleanup(p->multi);
		curl_lib_close(&p->curl);
	}
	return r;
}

/* The poster of a loop, made at the first request. */
static struct poster *
poster_of(struct loop *l)
{
	struct poster *p = l->post.state;

	if (p != NULL)
		return p;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->loop = l;
	p->refused = loop_hand_open(l);
	if (p->refused == 0)
		p->refused = poster_open(p);
	l->post = (struct post_part){ p, poster_cancel, poster_free };
	return p;
}

static void
refuse(struct loop *l, struct op *op, int error)
{
	(void)snprintf(op->post->error, sizeof(op->post->error), "%s",
	    error == -ENOSYS ? "libcurl.so.4 is not installed" :
	    "no memory or thread for libcurl");
	loop_complete(l, op, error);
}

void
loop_post(struct loop *l, struct op *op, struct post *post)
{
	struct poster *p;
	struct xfer *x;

	must(post->url != NULL);
	if (!op_start(l, op, OP_POST, -1))
		return;
	op->post = post;
	post->status = 0;
	post->retry_after_ms = -1;
	post->content_type[0] = post->error[0] = '\0';
	post->answer_len = 0;
	if (l->be->post != NULL) {
		l->be->post(l, op);
		return;
	}
	p = poster_of(l);
	if (p == NULL || p->refused < 0) {
		refuse(l, op, p == NULL ? -ENOMEM : p->refused);
		return;
	}
	x = calloc(1, sizeof(*x));
	if (x == NULL) {
		refuse(l, op, -ENOMEM);
		return;
	}
	x->poster = p;
	x->op = op;
	x->post = post;
	op->priv = x;
	op->state = POST_RUNS;
	op->next = atomic_load_explicit(&p->asked, memory_order_relaxed);
	/* release: pairs with the acquire in take_asked() */
	while (!atomic_compare_exchange_weak_explicit(&p->asked, &op->next,
	    op, memory_order_release, memory_order_relaxed))
		;
	(void)p->curl.multi_wakeup(p->multi);
}
