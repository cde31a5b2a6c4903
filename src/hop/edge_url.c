/* SPDX-License-Identifier: ISC */
/* edge_url.c - where an edge's letters go; see edge_in.h */

#include <errno.h>
#include <stdio.h>

#include "hop/edge_in.h"
#include "hop/peers.h"
#include "banned.h"

/* An IPv6 address stands in brackets. */
static void
authority(char *to, size_t cap, const char *host, const char *port)
{
	bool v6 = strchr(host, ':') != NULL;

	(void)snprintf(to, cap, "%s%s%s:%s", v6 ? "[" : "", host,
	    v6 ? "]" : "", port);
}

int
edge_address(struct edge *e, const struct edge_conf *conf)
{
	const char *name = conf->name;
	char at[EDGE_URL_MAX], url[2 * EDGE_URL_MAX];
	struct peer p;

	if (peer_parse(conf->url, strlen(conf->url), &p) < 0 ||
	    !peer_is_url(&p))
		return -EINVAL;
	authority(at, sizeof(at), p.host, p.port);
	if (name != NULL && *name != '\0') {
		if (strlen(name) > 255 || strpbrk(name, " /@[]") != NULL)
			return -EINVAL;
		e->connect_to = env_strdup(e->env, at);
		if (e->connect_to == NULL)
			return -ENOMEM;
		authority(at, sizeof(at), name, p.port);
	}
	(void)snprintf(url, sizeof(url), "%s://%s%s",
	    p.scheme == PEER_HTTPS ? "https" : "http", at, p.path);
	e->url = env_strdup(e->env, url);
	return e->url == NULL ? -ENOMEM : 0;
}
