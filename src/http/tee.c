/* SPDX-License-Identifier: ISC */
/* tee.c - bodies once more to an old collector; the contract is in tee.h */

#include "http/tee.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/must.h"
#include "banned.h"

#define AT_ONCE		4u
#define TIMEOUT_MS	5000		/* as the old client */
#define PATH_CAP	1024u

struct item {			/* one body */
	struct item	*next;
	struct tee	*tee;
	struct op	 op;
	struct post	 post;
	struct post_header header[2];
	char		 type[128];
	char		*url;		/* both behind the item itself */
	uint8_t		*body;
};

struct tee {
	uint32_t	 magic;		/* TEE_MAGIC */
	struct env	*env;
	char		*url;
	size_t		 base_n;	/* of url without slashes at its end */
	bool		 has_path;
	struct item	*waiting, **waiting_end;
	struct item	*active;
	unsigned	 items, active_n;
	size_t		 bytes;
	bool		 closing;
	void		(*closed)(void *arg);
	void		*closed_arg;
};
#define TEE_MAGIC	0x54454521U

static void
count(struct tee *t, enum ctr id)
{
	ctr_add(&t->env->ctr, id, 1);
}

static void
item_free(struct item *it)
{
	struct tee *t = it->tee;

	must(op_idle(&it->op));
	t->items--;
	t->bytes -= it->post.body.n;
	env_free(t->env, it);
}

static void
active_remove(struct tee *t, const struct item *it)
{
	struct item **at = &t->active;

	while (*at != it)
		at = &(*at)->next;
	*at = it->next;
	t->active_n--;
}

static void
pump(struct tee *t)
{
	struct item *it;

	while (t->active_n < AT_ONCE && (it = t->waiting) != NULL) {
		t->waiting = it->next;
		if (t->waiting == NULL)
			t->waiting_end = &t->waiting;
		it->next = t->active;
		t->active = it;
		t->active_n++;
		loop_post(t->env->loop, &it->op, &it->post);
	}
}

static void
on_post(struct op *op)
{
	struct item *it = op->arg;
	struct tee *t = it->tee;

	must(t->magic == TEE_MAGIC);
	if (op->res == -ECANCELED)
		count(t, CTR_tee_dropped);
	else if (op->res == 0 && it->post.status / 100 == 2)
		count(t, CTR_tee_taken);
	else
		count(t, CTR_tee_failed);
	active_remove(t, it);
	item_free(it);
	if (!t->closing)
		pump(t);
	else if (t->active_n == 0)
		t->closed(t->closed_arg);
}

/* The path as it may stand in a URL; one that is too long becomes "/". */
static void
put_path(char *out, const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
	const char *p;
	size_t n = 0;

	for (p = path; *p != '\0' && n + 4 < PATH_CAP; p++)
		if (strchr(plain, *p) != NULL)
			out[n++] = *p;
		else
			n += (size_t)snprintf(out + n, 4, "%%%02X",
			    (unsigned)(unsigned char)*p);
	out[n] = '\0';
	if (*p != '\0' || out[0] != '/')
		snprintf(out, PATH_CAP, "/");
}

static struct item *
item_new(struct tee *t, const struct serve_req *req)
{
	struct bytes body = req_body(req);
	const char *type = req_header(req, "Content-Type");
	size_t url_cap = strlen(t->url) + PATH_CAP;
	struct item *it;

	if (t->items == TEE_ITEMS_MAX || body.n > TEE_BYTES_MAX - t->bytes)
		return NULL;
	it = env_alloc(t->env, sizeof(*it) + url_cap + body.n);
	if (it == NULL)
		return NULL;
	*it = (struct item){ .tee = t };
	it->url = (char *)(it + 1);
	it->body = (uint8_t *)it->url + url_cap;
	if (body.n > 0)
		memcpy(it->body, body.p, body.n);
	snprintf(it->url, url_cap, "%.*s", t->has_path ?
	    (int)strlen(t->url) : (int)t->base_n, t->url);
	if (!t->has_path)
		put_path(it->url + t->base_n, req_path(req));
	it->header[0] = (struct post_header){ TEE_HEADER, "1" };
	/* One that does not fit would say something else when cut. */
	if (type != NULL && strlen(type) < sizeof(it->type))
		snprintf(it->type, sizeof(it->type), "%s", type);
	it->header[1] = (struct post_header){ "Content-Type", it->type };
	it->post = (struct post){ .url = it->url, .headers = it->header,
	    .headers_n = it->type[0] != '\0' ? 2 : 1,
	    .body = bytes_of(it->body, body.n), .timeout_ms = TIMEOUT_MS,
	    .once = true };
	op_init(&it->op, on_post, it);
	t->items++;
	t->bytes += body.n;
	return it;
}

/* What ingest takes, and we have not sent ourselves. */
static bool
is_meant(const struct serve_req *req)
{
	const char *m = req_method(req);

	return (strcmp(m, "POST") == 0 || strcmp(m, "PUT") == 0) &&
	    req_header(req, TEE_HEADER) == NULL;
}

void
tee_request(struct tee *t, const struct serve_req *req)
{
	struct item *it;

	must(t->magic == TEE_MAGIC);
	if (!is_meant(req))
		return;
	count(t, CTR_tee_requests);
	it = t->closing ? NULL : item_new(t, req);
	if (it == NULL) {
		count(t, CTR_tee_dropped);
		return;
	}
	*t->waiting_end = it;
	t->waiting_end = &it->next;
	pump(t);
}

void
tee_missed(struct tee *t, const struct serve_req *req)
{
	must(t->magic == TEE_MAGIC);
	if (!is_meant(req))
		return;
	count(t, CTR_tee_requests);
	count(t, CTR_tee_dropped);
}

int
tee_new(struct tee **ret_tee, struct env *env, const char *url)
{
	const char *host = strstr(url, "://");
	struct tee *t = env_alloc(env, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	*t = (struct tee){ .magic = TEE_MAGIC, .env = env,
	    .url = env_strdup(env, url), .base_n = strlen(url) };
	if (t->url == NULL) {
		env_free(env, t);
		return -ENOMEM;
	}
	while (t->base_n > 0 && url[t->base_n - 1] == '/')
		t->base_n--;
	host = host == NULL ? url : host + 3;
	t->has_path = memchr(host, '/', (size_t)(url + t->base_n - host)) !=
	    NULL;
	t->waiting_end = &t->waiting;
	*ret_tee = t;
	return 0;
}

void
tee_close(struct tee *t, void (*done)(void *arg), void *arg)
{
	struct item *it;

	must(t->magic == TEE_MAGIC && !t->closing);
	t->closing = true;
	t->closed = done;
	t->closed_arg = arg;
	while ((it = t->waiting) != NULL) {
		t->waiting = it->next;
		count(t, CTR_tee_dropped);
		item_free(it);
	}
	t->waiting_end = &t->waiting;
	/* A cancelled one ends later, not in here. */
	for (it = t->active; it != NULL; it = it->next)
		loop_cancel(t->env->loop, &it->op);
	if (t->active_n == 0)
		done(arg);
}

void
tee_free(struct tee **tee)
{
	struct tee *t = *tee;

	if (t == NULL)
		return;
	must(t->magic == TEE_MAGIC && t->items == 0);
	t->magic = 0;
	env_free(t->env, t->url);
	env_free(t->env, t);
	*tee = NULL;
}
