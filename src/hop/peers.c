/* SPDX-License-Identifier: ISC */
/* peers.c - which peer next, and when; the contract is in peers.h */

#include "hop/peers.h"

#include <errno.h>
#include <string.h>

#include "base/env.h"
#include "base/must.h"
#include "loop/loop.h"
#include "banned.h"

#define MS		UINT64_C(1000000)
#define WAIT_FIRST_MS	100
#define WAIT_MAX_MS	5000
#define ALONE_ROUNDS	1	/* of one that answers: 200 ms */
#define STEADY_MS	5000	/* worked so long: it may be tried again */

/* ---- one peer ---- */

static const struct {
	const char	*prefix;
	enum peer_scheme scheme;
	const char	*port;		/* where there is none; NULL: a fault */
} schemes[] = {
	{ "tcp://", PEER_TCP, NULL },
	{ "tls://", PEER_TLS, NULL },
	{ "http://", PEER_HTTP, "80" },
	{ "https://", PEER_HTTPS, "443" },
};

static int
copy(char *to, size_t cap, const char *from, size_t n)
{
	if (n == 0 || n >= cap)
		return -EINVAL;
	memcpy(to, from, n);
	to[n] = '\0';
	return 0;
}

/* Cuts ":port" off *n; -EINVAL: a bad one; 0 and "": none. */
static int
take_port(const char *text, size_t *n, struct peer *ret)
{
	const char *colon = memrchr(text, ':', *n);
	const char *close = memrchr(text, ']', *n);
	unsigned long v = 0;
	size_t i, len;

	ret->port[0] = '\0';
	if (colon == NULL || (close != NULL && colon < close))
		return 0;
	len = *n - (size_t)(colon + 1 - text);
	*n = (size_t)(colon - text);
	for (i = 1; i <= len && i < sizeof(ret->port); i++) {
		if (colon[i] < '0' || colon[i] > '9')
			return -EINVAL;
		v = v * 10 + (unsigned long)(colon[i] - '0');
	}
	if (v == 0 || v > 65535)
		return -EINVAL;
	return copy(ret->port, sizeof(ret->port), colon + 1, len);
}

static int
take_host(const char *text, size_t n, struct peer *ret)
{
	bool brackets = n > 2 && text[0] == '[' && text[n - 1] == ']';
	int r;

	r = brackets ? copy(ret->host, sizeof(ret->host), text + 1, n - 2) :
	    copy(ret->host, sizeof(ret->host), text, n);
	if (r == 0 && strcspn(ret->host, brackets ? " \t/[]@,?#" :
	    " \t/[]@,?#:") != strlen(ret->host))
		r = -EINVAL;
	return r;
}

static int
take_path(const char *text, size_t *n, struct peer *ret)
{
	const char *slash = memchr(text, '/', *n);
	size_t len;

	if (slash == NULL)
		return copy(ret->path, sizeof(ret->path), PEER_PATH,
		    strlen(PEER_PATH));
	len = *n - (size_t)(slash - text);
	*n -= len;
	if (len == 1)
		return copy(ret->path, sizeof(ret->path), PEER_PATH,
		    strlen(PEER_PATH));
	if (memchr(slash, '?', len) != NULL || memchr(slash, '#', len) != NULL)
		return -EINVAL;
	return copy(ret->path, sizeof(ret->path), slash, len);
}

int
peer_parse(const char *text, size_t n, struct peer *ret)
{
	struct peer p = { .scheme = PEER_TCP };
	const char *port = NULL;
	size_t i, len;
	int r = 0;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		len = strlen(schemes[i].prefix);
		if (n <= len || strncasecmp(text, schemes[i].prefix, len) != 0)
			continue;
		p.scheme = schemes[i].scheme;
		port = schemes[i].port;
		text += len;
		n -= len;
		break;
	}
	if (peer_is_url(&p))
		r = take_path(text, &n, &p);
	if (r == 0)
		r = take_port(text, &n, &p);
	if (r == 0 && p.port[0] == '\0')
		r = port == NULL ? -EINVAL :
		    copy(p.port, sizeof(p.port), port, strlen(port));
	if (r == 0)
		r = take_host(text, n, &p);
	if (r == 0)
		*ret = p;
	return r;
}

bool
peer_is_tls(const struct peer *p)
{
	return p->scheme == PEER_TLS || p->scheme == PEER_HTTPS;
}

bool
peer_is_url(const struct peer *p)
{
	return p->scheme == PEER_HTTP || p->scheme == PEER_HTTPS;
}

/* ---- the list ---- */

static int
add(struct peers *p, char *name)
{
	struct peer peer;

	if (p->n == PEERS_MAX)
		return -EINVAL;
	p->name[p->n++] = name;
	return peer_parse(name, strlen(name), &peer);
}

int
peers_init(struct peers *p, struct env *env, const char *list)
{
	char *name, *rest;
	int r = 0;

	*p = (struct peers){ .env = env };
	p->text = env_strdup(env, list);
	if (p->text == NULL)
		return -ENOMEM;
	for (name = strtok_r(p->text, ", \t", &rest); name != NULL && r == 0;
	    name = strtok_r(NULL, ", \t", &rest))
		r = add(p, name);
	if (r == 0 && p->n == 0)
		r = -EINVAL;
	if (r < 0)
		peers_fini(p);
	return r;
}

void
peers_fini(struct peers *p)
{
	env_free(p->env, p->text);
	*p = (struct peers){ 0 };
}

const char *
peers_name(const struct peers *p)
{
	must(p->at < p->n);
	return p->name[p->at];
}

void
peers_peer(const struct peers *p, struct peer *ret)
{
	const char *name = peers_name(p);
	int r = peer_parse(name, strlen(name), ret);

	must(r == 0);		/* peers_init() looked */
}

static uint64_t
pause_max_ns(const struct peers *p)
{
	uint64_t ms = WAIT_FIRST_MS;
	unsigned i;

	for (i = 0; i < p->rounds && ms < WAIT_MAX_MS; i++)
		ms *= 2;
	return (ms < WAIT_MAX_MS ? ms : WAIT_MAX_MS) * MS;
}

uint64_t
peers_failed(struct peers *p, bool cut, uint64_t up_ns, uint64_t asked_ns)
{
	bool steady = p->worked && up_ns >= STEADY_MS * MS;
	uint64_t most, ns;

	if (p->worked && up_ns > pause_max_ns(p) / 4)
		p->rounds = 0;
	/* Where there is no other, waiting for long gives way to nobody. */
	if (p->worked && p->n == 1 && p->rounds > ALONE_ROUNDS)
		p->rounds = ALONE_ROUNDS;
	p->worked = false;
	p->at = steady && cut ? 0 : (p->at + 1) % p->n;
	if (p->at != 0)
		return 0;
	most = pause_max_ns(p);
	p->rounds++;
	ns = loop_random_below(p->env->loop, most);
	if (asked_ns > WAIT_MAX_MS * MS)
		asked_ns = WAIT_MAX_MS * MS;
	return ns > asked_ns ? ns : asked_ns;
}

void
peers_worked(struct peers *p)
{
	p->worked = true;
}
