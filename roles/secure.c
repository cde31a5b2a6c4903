/* SPDX-License-Identifier: ISC */
/* secure.c - certificates and shared key of a role's hops; see secure.h */

#include "roles/secure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "hop/peers.h"
#include "loop/tls.h"
#include "banned.h"

static void	 open_next(struct secure *s);
static void	 close_next(void *arg);

static const char *
text_of(const struct secure *s, enum conf_key key)
{
	const char *text = conf_text(s->role->conf, key);

	return *text != '\0' ? text : NULL;
}

/* ---- the key ---- */

const char *
secure_key(const struct secure *s)
{
	return text_of(s, KEY_common_shared_key);
}

/* Both ends of a hop may be on one host: they must not be called the same. */
static void
take_key(struct secure *s)
{
	const struct conf *c = s->role->conf;
	char host[KEY_HOST_MAX - 8] = "";

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	(void)snprintf(s->host[0], sizeof(s->host[0]), "to:%s", host);
	(void)snprintf(s->host[1], sizeof(s->host[1]), "at:%s", host);
	s->out = (struct hop_key){
		.shared = conf_text(c, KEY_common_shared_key),
		.user = conf_text(c, KEY_common_user),
		.password = conf_text(c, KEY_common_password),
		.host = s->host[0],
	};
	s->in = s->out;
	s->in.host = s->host[1];
}

/* ---- news of the files ---- */

static void
on_news(void *arg, enum tls_news what, const char *text)
{
	struct secure *s = arg;
	struct env *env = &s->role->env;
	const struct tls *t = s->server != NULL ? s->server : s->client;

	ctr_add(&env->ctr, CTR_tls_reloads, what == TLS_RENEWED);
	ctr_add(&env->ctr, CTR_tls_reload_failed, what == TLS_REFUSED);
	ctr_set(&env->ctr, CTR_tls_cert_expires, tls_expires(t));
	env_log(env, what == TLS_RENEWED ? LOG_INFO : LOG_WARN, "%s", text);
}

/* ---- opening ---- */

static void
files_read(void *arg, int res, const char *why)
{
	struct secure *s = arg;
	const struct tls *t = s->server != NULL ? s->server : s->client;

	if (res < 0) {
		env_log(&s->role->env, LOG_ERROR, "cannot use the files of "
		    "common.tls_cert, tls_key and tls_ca, which emplogd ca "
		    "makes: %s", why);
		role_ready(s->role, res);
		return;
	}
	ctr_set(&s->role->env.ctr, CTR_tls_cert_expires, tls_expires(t));
	open_next(s);
}

/* The next of the two that is there, or NULL. */
static struct tls *
step(struct secure *s)
{
	struct tls *t = NULL;

	while (t == NULL && s->step < 2)
		t = s->step++ == 0 ? s->client : s->server;
	return t;
}

static void
open_next(struct secure *s)
{
	struct tls *t = step(s);

	if (t != NULL)
		tls_open(t, files_read, s);
	else
		s->next(s->arg);
}

static bool
any_tls(const char *peers)
{
	struct peer peer;
	size_t n;
	bool found = false;

	while (peers != NULL && *(peers += strspn(peers, ", \t")) != '\0') {
		n = strcspn(peers, ", \t");
		/* libcurl reads an edge's files itself; their end is told here */
		found |= peer_parse(peers, n, &peer) == 0 &&
		    peer_is_tls(&peer);
		peers += n;
	}
	return found;
}

static int
make(struct secure *s, bool server, struct tls **ret)
{
	bool clients = conf_num(s->role->conf, KEY_common_tls_clients);
	struct tls_conf tc = { .server = server,
	    .cert = text_of(s, KEY_common_tls_cert),
	    .key = text_of(s, KEY_common_tls_key),
	    .ca = server && !clients ? NULL : text_of(s, KEY_common_tls_ca) };
	int r;

	r = tls_new(ret, &s->role->env, &tc);
	if (r == 0)
		tls_on_news(*ret, on_news, s);
	return r;
}

void
secure_open(struct secure *s, struct role *role, const char *peers,
    bool listens, void (*opened)(void *arg), void *arg)
{
	int r = 0;

	*s = (struct secure){ .role = role, .next = opened, .arg = arg };
	take_key(s);
	if (any_tls(peers))
		r = make(s, false, &s->client);
	if (r == 0 && listens &&
	    conf_num(role->conf, KEY_common_tls_listen) != PORT_PLAIN)
		r = make(s, true, &s->server);
	if (r < 0)
		role_fail(role, r, "cannot use", "TLS",
		    "there is not enough memory");
	else
		open_next(s);
}

/* ---- closing ---- */

static void
close_next(void *arg)
{
	struct secure *s = arg;
	struct tls *t = step(s);

	if (t != NULL)
		tls_close(t, close_next, s);
	else
		s->next(s->arg);
}

void
secure_close(struct secure *s, void (*closed)(void *arg), void *arg)
{
	s->step = 0;
	s->next = closed;
	s->arg = arg;
	close_next(s);
}

void
secure_free(struct secure *s)
{
	tls_free(&s->client);
	tls_free(&s->server);
}

/* ---- whom it is for ---- */

void
secure_sender(struct secure *s, struct sender_conf *sc)
{
	s->edge = (struct edge_conf){
		.ca = text_of(s, KEY_common_tls_ca),
		.cert = text_of(s, KEY_common_tls_cert),
		.cert_key = text_of(s, KEY_common_tls_key),
		.name = text_of(s, KEY_common_tls_name),
		.key = secure_key(s),
	};
	sc->edge = &s->edge;
	sc->shake = (struct shake_conf){
		.tls = s->client,
		.name = text_of(s, KEY_common_tls_name),
		.sni = text_of(s, KEY_common_tls_sni),
		.key = secure_key(s) != NULL ? &s->out : NULL,
	};
}

static void
on_note(void *arg, const char *text)
{
	struct secure *s = arg;

	env_log(&s->role->env, LOG_WARN, "%s", text);
}

void
secure_port(struct secure *s, struct port_conf *pc)
{
	pc->secure = (enum port_tls)conf_num(s->role->conf,
	    KEY_common_tls_listen);
	pc->tls = s->server;
	pc->key = secure_key(s) != NULL ? &s->in : NULL;
	pc->note = on_note;
	pc->arg = s;
}
