/* SPDX-License-Identifier: ISC */
/* post_say.c - one request for libcurl, and what came of it; see post_in.h */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/must.h"
#include "loop/post_in.h"
#include "loop/real.h"

#include "banned.h"

#define CONNECT_MS	10000
#define ANSWER_MAX	(1u << 20)	/* read of an answer at most */
#define CA_FRESH_S	60L	/* an authority's file is read again */

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

int
post_outcome(struct xfer *x, CURLcode code)
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

int
post_prepare(struct xfer *x)
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
