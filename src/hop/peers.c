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

static int
add(struct peers *p, char *name)
{
	char host[256], port[32];

	if (p->n == PEERS_MAX)
		return -EINVAL;
	p->name[p->n++] = name;
	return loop_hostport(name, host, sizeof(host), port, sizeof(port));
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

uint64_t
peers_failed(struct peers *p)
{
	uint64_t cap_ms = WAIT_FIRST_MS;
	unsigned i;

	if (p->worked) {
		p->worked = false;
		p->rounds = 0;
		p->at = 0;
	} else {
		p->at = (p->at + 1) % p->n;
	}
	if (p->at != 0)
		return 0;
	for (i = 0; i < p->rounds && cap_ms < WAIT_MAX_MS; i++)
		cap_ms *= 2;
	if (cap_ms > WAIT_MAX_MS)
		cap_ms = WAIT_MAX_MS;
	p->rounds++;
	return loop_random_below(p->env->loop, cap_ms * MS);
}

void
peers_worked(struct peers *p)
{
	p->worked = true;
}
