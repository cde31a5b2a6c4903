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
#include "loop/backend.h"
#include "loop/curl.h"
#include "loop/real.h"

#include "banned.h"

#define STACK_BYTES	(256u << 10)
#define CONNECT_MS	10000
#define IDLE_HANDLES	16		/* easy handles kept for the next */
#define ANSWER_MAX	(1u << 20)	/* read of an answer at most */
#define IDLE_WAIT_MS	600000
#define STALL_LOOK_MS	500	/* between two looks at who stalls */
#define CA_FRESH_S	60L	/* an authority's file is read again */

/* In op->state: asked by the loop's thread, read by ours. */
enum { POST_RUNS, POST_CANCEL };

struct xfer {			/* a request under way; the thread's */
	struct xfer	*next, **prevp;
	struct poster	*poster;
	struct op	*op;
	struct post	*post;
	CURL		*easy;
	struct curl_slist *headers;
	struct curl_slist *connect_to;
	curl_off_t	 moved;		/* bytes both ways, at moved_ns */
	uint64_t	 moved_ns;
	size_t		 got;		/* bytes of the answer */
	bool		 enough;	/* ANSWER_MAX was reached */
	char		 words[CURL_ERROR_SIZE];
};

struct poster {
	struct loop	*loop;
	struct curl_lib	 curl;
	int		 refused;	/* -errno: there is no libcurl */
	CURLM		*multi;
	pthread_t	 thread;
	_Atomic(struct op *) asked;	/* newest first */
	atomic_bool	 stop;
	/* the thread's own */
	struct xfer	*active;
	unsigned	 watched;	/* active ones that may not stall */
	CURL		*idle[IDLE_HANDLES];
	unsigned	 idle_n;
};

/* ---- the answer ---- */

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct xfer *x = arg;
	struct post *post = x->post;
	size_t room;

	n *= size;
	room = post->answer == NULL ? 0 : post->answer_cap - post->answer_len;
	if (room > n)
		room = n;
	if (room > 0)
		memcpy(post->answer + post->answer_len, p, room);
	post->answer_len += room;
	x->got += n;
	x->enough = x->got > ANSWER_MAX;
	return x->enough ? 0 : n;
}

/* Seconds, or a date: ms from now, -1 when it is neither. */
static int64_t
retry_after(const struct curl_lib *c, const char *text)
{
	time_t now = time(NULL), at;
	unsigned long long s;
	char *end;

	if (*text >= '0' && *text <= '9') {
		errno = 0;
		s = strtoull(text, &end, 10);
		if (*end == '\0')
			return errno != 0 || s > INT32_MAX ?
			    (int64_t)INT32_MAX * 1000 : (int64_t)s * 1000;
	}
	at = c->getdate(text, NULL);
	if (at == -1)
		return -1;
	return at <= now ? 0 : (int64_t)(at - now) * 1000;
}

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	static const char name[] = "Retry-After:";
	struct xfer *x = arg;
	size_t from = sizeof(name) - 1, to;
	char text[64];

	to = n = n * size;
	/* another answer begins: one of a proxy, or 100 Continue, came first */
	if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
		x->post->retry_after_ms = -1;
	if (n < from || strncasecmp(p, name, from) != 0)
		return n;
	while (from < to && (p[from] == ' ' || p[from] == '\t'))
		from++;
	while (to > from && (unsigned char)p[to - 1] <= ' ')
		to--;
	if (to - from < sizeof(text)) {
		memcpy(text, p + from, to - from);
		text[to - from] = '\0';
		x->post->retry_after_ms = retry_after(&x->poster->curl, text);
	}
	return n;
}

static int
connect_error(struct xfer *x)
{
	long e = 0;

	(void)x->poster->curl.easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &e);
	return e > 0 ? -(int)e : -ECONNREFUSED;
}

/* libcurl has one code for "no such scheme" and for "this is not HTTP". */
static int
protocol_error(struct xfer *x)
{
	long sent = 0;

	(void)x->poster->curl.easy_getinfo(x->easy, CURLINFO_REQUEST_SIZE,
	    &sent);
	return sent > 0 ? -EPROTO : -EINVAL;
}

static int
code_error(struct xfer *x, CURLcode code)
{
	switch (code) {
	case CURLE_OK: return 0;
	case CURLE_OUT_OF_MEMORY: return -ENOMEM;
	case CURLE_URL_MALFORMAT: return -EINVAL;
	case CURLE_UNSUPPORTED_PROTOCOL: return protocol_error(x);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY: return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT: return connect_error(x);
	case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION: return -EACCES;
	default: return -EPROTO;
	}
}

static void
answered(struct xfer *x, long status)
{
	const struct curl_lib *c = &x->poster->curl;
	struct post *post = x->post;
	const char *type = NULL;

	post->status = (int)status;
	(void)c->easy_getinfo(x->easy, CURLINFO_CONTENT_TYPE, &type);
	(void)snprintf(post->content_type, sizeof(post->content_type), "%s",
	    type == NULL ? "" : type);
}

static int
outcome(struct xfer *x, CURLcode code)
{
	const struct curl_lib *c = &x->poster->curl;
	long status = 0;

	(void)c->easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	/*
	 * An answer may come before all of the request went out, and the
	 * connection end then; one longer than we read is an answer too.
	 */
	if (code == CURLE_OK || x->enough ||
	    (code == CURLE_SEND_ERROR && status >= 300)) {
		answered(x, status);
		return 0;
	}
	x->post->answer_len = 0;
	x->post->retry_after_ms = -1;
	(void)snprintf(x->post->error, sizeof(x->post->error), "%s",
	    x->words[0] != '\0' ? x->words : c->easy_strerror(code));
	return code_error(x, code);
}

/* ---- a request ---- */

static bool
add_header(struct xfer *x, const char *name, const char *value)
{
	struct curl_slist *list;
	char stack[512], *text = stack;
	size_t n = strlen(name) + strlen(value) + 3;

	if (n > sizeof(stack) && (text = malloc(n)) == NULL)
		return false;
	/* libcurl's spelling of a header without a value is "Name;" */
	(void)snprintf(text, n, *value == '\0' ? "%s;%s" : "%s: %s", name,
	    value);
	list = x->poster->curl.slist_append(x->headers, text);
	if (list != NULL)
		x->headers = list;
	explicit_bzero(text, n);
	if (text != stack)
		free(text);
	return list != NULL;
}

/* "Name:" keeps libcurl from adding a header of its own. */
static bool
without_header(struct xfer *x, const char *name_colon)
{
	struct curl_slist *list;

	list = x->poster->curl.slist_append(x->headers, name_colon);
	if (list != NULL)
		x->headers = list;
	return list != NULL;
}

static int
set_headers(struct xfer *x)
{
	const struct post_header *h = x->post->headers;
	bool ok = without_header(x, "Expect:"), typed = false;
	unsigned i;

	for (i = 0; ok && i < x->post->headers_n; i++) {
		/* a line break would begin a header of somebody else's */
		if (strpbrk(h[i].name, "\r\n:") != NULL ||
		    strpbrk(h[i].value, "\r\n") != NULL)
			return -EINVAL;
		typed |= strcasecmp(h[i].name, "Content-Type") == 0;
		ok = add_header(x, h[i].name, h[i].value);
	}
	if (ok && !typed)
		ok = without_header(x, "Content-Type:");
	return ok ? 0 : -ENOMEM;
}

#define SET(opt, val)	(void)c->easy_setopt(x->easy, CURLOPT_##opt, val)

static void
set_limits(struct xfer *x)
{
	const struct curl_lib *c = &x->poster->curl;
	long ms = x->post->timeout_ms > INT32_MAX ? INT32_MAX :
	    (long)x->post->timeout_ms;

	SET(NOSIGNAL, 1L);
	SET(TIMEOUT_MS, ms);
	SET(CONNECTTIMEOUT_MS, ms == 0 || ms > CONNECT_MS ?
	    (long)CONNECT_MS : ms);
	SET(FOLLOWLOCATION, 0L);
	/* 7.81 knows the older spelling only */
	if (c->easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, "http,https") !=
	    CURLE_OK)
		(void)c->easy_setopt(x->easy, (CURLoption)181,
		    (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
	SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(SSL_VERIFYPEER, 1L);
	SET(SSL_VERIFYHOST, 2L);
	SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(TCP_KEEPALIVE, 1L);
	SET(QUICK_EXIT, 1L);	/* an end does not wait for a resolver */
}

/* Whom we believe, who we are, and who speaks for the URL's host. */
static int
set_peer(struct xfer *x)
{
	const struct curl_lib *c = &x->poster->curl;
	const struct post *post = x->post;
	char text[512];

	if (post->ca != NULL) {
		SET(CAINFO, post->ca);
		/* CA_CACHE_TIMEOUT: 7.87 keeps what it read for a day */
		(void)c->easy_setopt(x->easy, (CURLoption)321, CA_FRESH_S);
	}
	if (post->cert != NULL)
		SET(SSLCERT, post->cert);
	if (post->key != NULL)
		SET(SSLKEY, post->key);
	if (post->connect_to == NULL)
		return 0;
	if ((size_t)snprintf(text, sizeof(text), "::%s", post->connect_to) >=
	    sizeof(text))
		return -ENOMEM;
	x->connect_to = c->slist_append(NULL, text);
	if (x->connect_to == NULL)
		return -ENOMEM;
	SET(CONNECT_TO, x->connect_to);
	return 0;
}

static int
set_request(struct xfer *x)
{
	const struct curl_lib *c = &x->poster->curl;
	struct post *post = x->post;
	int r;

	r = set_headers(x);
	if (r == 0)
		r = set_peer(x);
	if (r < 0)
		return r;
	set_limits(x);
	if (c->easy_setopt(x->easy, CURLOPT_URL, post->url) != CURLE_OK)
		return -ENOMEM;
	SET(POST, 1L);
	SET(POSTFIELDS, post->body.n == 0 ? "" : (const char *)post->body.p);
	SET(POSTFIELDSIZE_LARGE, (curl_off_t)post->body.n);
	SET(HTTPHEADER, x->headers);
	if (post->once) {
		SET(FRESH_CONNECT, 1L);
		SET(FORBID_REUSE, 1L);
	}
	SET(USERAGENT, "emplogd");
	SET(WRITEFUNCTION, on_body);
	SET(WRITEDATA, x);
	SET(HEADERFUNCTION, on_header);
	SET(HEADERDATA, x);
	SET(ERRORBUFFER, x->words);
	SET(PRIVATE, x);
	return 0;
}

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
	r = x->easy == NULL ? -ENOMEM : set_request(x);
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
		r = outcome(x, code);
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
