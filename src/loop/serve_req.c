/* SPDX-License-Identifier: ISC */
/* serve_req.c - what a request says, and the memory for its body */

#include "loop/serve_inner.h"

#include <errno.h>

#include "base/must.h"
#include "http/decode.h"
#include "loop/stay.h"

#include "banned.h"

#define BODY_FIRST	(16u << 10)	/* of a body of unknown length */

/* ---- the body ---- */

void
req_body_drop(struct serve_req *r)
{
	env_free(r->serve->env, r->body);
	r->serve->held -= r->held;
	r->body = NULL;
	r->len = r->cap = r->held = 0;
}

/* The request will be answered with status; what comes of it is passed over. */
static void
refuse(struct serve_req *r, int status)
{
	req_body_drop(r);
	r->refuse = status;
}

static bool
budget_take(struct serve_req *r, size_t n)
{
	struct serve *s = r->serve;

	if (n > s->conf.budget_bytes - s->held)
		return false;
	s->held += n;
	r->held += n;
	return true;
}

/*
 * Room for n bytes more, which body_max allows.  What was there is moved; the
 * budget does not see that for a moment it is there twice.
 */
static bool
body_grow(struct serve_req *r, size_t n)
{
	size_t cap = r->cap == 0 ? BODY_FIRST : r->cap;
	uint8_t *mem;

	while (cap - r->len < n)
		cap *= 2;
	if (cap > r->serve->conf.body_max)
		cap = r->serve->conf.body_max;
	if (!budget_take(r, cap - r->cap))
		return false;
	mem = env_alloc(r->serve->env, cap);
	if (mem == NULL)
		return false;
	if (r->len > 0)
		memcpy(mem, r->body, r->len);
	env_free(r->serve->env, r->body);
	r->body = mem;
	r->cap = cap;
	return true;
}

void
req_body_take(struct serve_req *r, const void *p, size_t n)
{
	if (r->refuse != 0)
		return;
	if (n > r->serve->conf.body_max - r->len) {
		refuse(r, 413);
	} else if (n > r->cap - r->len && !body_grow(r, n)) {
		refuse(r, 503);
	} else {
		memcpy(r->body + r->len, p, n);
		r->len += n;
	}
}

/* A body whose length was said: refused now, or given its room at once. */
void
req_body_announced(struct serve_req *r, uint64_t n)
{
	if (n > r->serve->conf.body_max) {
		refuse(r, 413);
	} else if (n > 0 && !budget_take(r, (size_t)n)) {
		refuse(r, 503);
	} else if (n > 0) {
		r->body = env_alloc(r->serve->env, (size_t)n);
		if (r->body == NULL)
			refuse(r, 503);
		else
			r->cap = (size_t)n;
	}
}

/* The encoded body becomes the plain one. */
void
req_body_decode(struct serve_req *r)
{
	struct serve *s = r->serve;
	const char *encoding = req_header(r, "Content-Encoding");
	size_t max = s->conf.body_max, left, n;
	uint8_t *plain;
	bool fits;
	int rc;

	if (r->refuse != 0 || r->len == 0 || !decode_needed(encoding))
		return;
	left = s->conf.budget_bytes - s->held;
	rc = decode_body(s->env, encoding, req_body(r),
	    left < max ? left : max, &plain, &n);
	if (rc == -EFBIG)
		refuse(r, left < max ? 503 : 413);
	else if (rc < 0)
		refuse(r, rc == -ENOTSUP ? 415 : rc == -ENOMEM ? 503 : 400);
	if (rc < 0)
		return;
	req_body_drop(r);
	fits = budget_take(r, n);
	must(fits);		/* it was bounded by what the budget left */
	r->body = plain;
	r->len = r->cap = n;
}

/* ---- what it says ---- */

const char *
req_method(const struct serve_req *r)
{
	req_check(r);
	return r->method;
}

const char *
req_path(const struct serve_req *r)
{
	req_check(r);
	return r->path;
}

const char *
req_query(const struct serve_req *r, const char *key)
{
	req_check(r);
	if (r->stay != NULL)
		return NULL;	/* such a request does not stay */
	return MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND,
	    key);
}

const char *
req_header(const struct serve_req *r, const char *name)
{
	req_check(r);
	if (r->stay != NULL)
		return stay_header(r->stay, name);
	return MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, name);
}

struct bytes
req_body(const struct serve_req *r)
{
	req_check(r);
	return bytes_of(r->body, r->len);
}

const struct loop_addr *
req_peer(const struct serve_req *r)
{
	req_check(r);
	return &r->peer;
}

void
req_set_arg(struct serve_req *r, void *arg)
{
	req_check(r);
	r->arg = arg;
}

void *
req_arg(const struct serve_req *r)
{
	req_check(r);
	return r->arg;
}
