/* SPDX-License-Identifier: ISC */
/* check.c - what one key alone cannot tell: keys looked at together */

#include <stdio.h>
#include <string.h>

#include "config/read.h"
#include "config/url.h"
#include "hop/key.h"
#include "hop/peers.h"
#include "banned.h"

#define DAY_MS		UINT64_C(86400000)
#define REMEMBERED_MS	(7 * DAY_MS)	/* streams, at a relay */

static const struct conf_value *
value_of(const struct reading *rd, enum conf_key key)
{
	return &rd->conf->value[key];
}

/* Does this process export, in its own role or as a relay's end? */
static bool
exports(const struct reading *rd)
{
	return (rd->conf->roles & ROLE_EXPORTER) != 0 ||
	    ((rd->conf->roles & ROLE_RELAY) != 0 &&
	    strcmp(value_of(rd, KEY_relay_next)->text, "export") == 0);
}

/* The listening addresses of the roles of this process; how many. */
static unsigned
listens(const struct reading *rd, enum conf_key ret_keys[4])
{
	unsigned roles = rd->conf->roles, n = 0, i, kept = 0;

	if (roles & ROLE_AGENT)
		ret_keys[n++] = KEY_agent_http_listen;
	if (roles & ROLE_RELAY) {
		ret_keys[n++] = KEY_relay_listen;
		ret_keys[n++] = KEY_relay_http_listen;
	} else if (roles & ROLE_EXPORTER) {
		ret_keys[n++] = KEY_exporter_listen;
	}
	for (i = 0; i < n; i++)
		if (value_of(rd, ret_keys[i])->text[0] != '\0')
			ret_keys[kept++] = ret_keys[i];
	return kept;
}

enum { TLS_NO, TLS_YES, TLS_BOTH };

static bool
has_key(const struct reading *rd)
{
	return value_of(rd, KEY_common_shared_key)->text[0] != '\0';
}

/* Does the port ask everybody for what only friends have, or encrypt? */
static bool
is_guarded(const struct reading *rd, enum conf_key key)
{
	return key != KEY_agent_http_listen && (has_key(rd) ||
	    value_of(rd, KEY_common_tls_listen)->num == TLS_YES);
}

static void
check_open_listen(struct reading *rd, enum conf_key key)
{
	const struct conf_value *v = value_of(rd, key);
	struct hostport hp;

	if (hostport_parse(v->text, strlen(v->text), &hp) < 0 ||
	    hostport_is_loopback(&hp))
		return;
	if (!is_guarded(rd, key) &&
	    !conf_num(rd->conf, KEY_common_insecure_listen))
		tell_fault(&rd->t, "%s: key '%s': '%s' can be reached from "
		    "other hosts, without TLS or key: listen on 127.0.0.1, "
		    "%sor set common.insecure_listen = yes (%s=yes)",
		    place_of(v).text, key_info[key].name, v->text,
		    key == KEY_agent_http_listen ? "" :
		    "set common.tls_listen = yes or common.shared_key_file, ",
		    key_env(KEY_common_insecure_listen).name);
	else if (has_key(rd) && key != KEY_agent_http_listen &&
	    value_of(rd, KEY_common_tls_listen)->num != TLS_YES &&
	    !conf_num(rd->conf, KEY_common_shared_key_plain))
		tell_fault(&rd->t, "%s: key '%s': '%s' would ask for the "
		    "shared key without TLS: set common.tls_listen = yes, or "
		    "common.shared_key_plain = yes (%s=yes)", place_of(v).text,
		    key_info[key].name, v->text,
		    key_env(KEY_common_shared_key_plain).name);
}

static void
check_listens(struct reading *rd)
{
	enum conf_key keys[4];
	const struct conf_value *a, *b;
	unsigned n = listens(rd, keys), i, j;

	for (i = 0; i < n; i++) {
		a = value_of(rd, keys[i]);
		check_open_listen(rd, keys[i]);
		for (j = 0; j < i; j++) {
			b = value_of(rd, keys[j]);
			if (a->num != 0 && strcmp(a->text, b->text) == 0)
				tell_fault(&rd->t, "%s: key '%s': '%s' is "
				    "'%s' (%s) already: leave one of them "
				    "empty", place_of(a).text,
				    key_info[keys[i]].name, a->text,
				    key_info[keys[j]].name, place_of(b).text);
		}
	}
}

/* The classic: the path of a signal given, and appended once more. */
static void
trim_endpoint(struct reading *rd)
{
	struct conf_value *v = &rd->conf->value[KEY_exporter_endpoint];
	size_t n = url_base_len(v->text);
	const char *path = v->text + n;

	if (*path == '\0')
		return;
	if (strspn(path, "/") != strlen(path))
		tell_remark(&rd->t, "%s: key 'exporter.endpoint': '%s' is left "
		    "off: the base is '%.*s', and /v1/logs is appended",
		    place_of(v).text, path, (int)n, v->text);
	v->text[n] = '\0';
}

static void
check_dash0(struct reading *rd, const struct url_host *host)
{
	const struct conf_value *v = value_of(rd, KEY_exporter_endpoint);
	const char *token = value_of(rd, KEY_exporter_token)->text;

	if (token[0] == '\0')
		tell_fault(&rd->t, "%s: key 'exporter.endpoint': '%s' wants a "
		    "token: set exporter.token_file, %s or DASH0_AUTH_TOKEN",
		    place_of(v).text, v->text,
		    key_env(KEY_exporter_token).name);
	else if (strncmp(token, "auth_", 5) != 0)
		tell_remark(&rd->t, "%s: key 'exporter.token': Dash0's tokens "
		    "begin with 'auth_', this one does not",
		    place_of(value_of(rd, KEY_exporter_token)).text);
	if (strncmp(host->name, "api.", 4) == 0)
		tell_remark(&rd->t, "%s: key 'exporter.endpoint': '%s' is "
		    "Dash0's query host; records go to its ingress host",
		    place_of(v).text, host->name);
}

static void
check_endpoint(struct reading *rd)
{
	const struct conf_value *v = value_of(rd, KEY_exporter_endpoint);
	const char *token = value_of(rd, KEY_exporter_token)->text;
	struct url_host host;
	struct hostport hp = { .port = 0 };

	if (v->text[0] == '\0') {
		if (token[0] != '\0')
			tell_remark(&rd->t, "%s: 'exporter.token' is given but "
			    "'exporter.endpoint' is not: records are written "
			    "under common.state_dir", place_of(value_of(rd,
			    KEY_exporter_token)).text);
		return;
	}
	if (!url_host(v->text, &host))
		return;
	if (url_is_under(&host, "dash0.com"))
		check_dash0(rd, &host);
	if (host.port == 4317)
		tell_remark(&rd->t, "%s: key 'exporter.endpoint': port 4317 is "
		    "gRPC's; OTLP over HTTP is at 4318", place_of(v).text);
	memcpy(hp.host, host.name, sizeof(hp.host));
	if (token[0] != '\0' && strncmp(v->text, "http:", 5) == 0 &&
	    !hostport_is_loopback(&hp))
		tell_remark(&rd->t, "%s: key 'exporter.endpoint': the token "
		    "goes out in clear over http", place_of(v).text);
}

/* ---- hops ---- */

static void
want_with(struct reading *rd, enum conf_key key, const char *value,
    enum conf_key needed)
{
	if (value_of(rd, needed)->text[0] == '\0')
		tell_fault(&rd->t, "%s: key '%s': '%s' needs %s, which is not "
		    "set; 'emplogd ca' makes the files",
		    place_of(value_of(rd, key)).text, key_info[key].name,
		    value, key_info[needed].name);
}

static void
check_tls(struct reading *rd)
{
	const struct conf_value *listen = value_of(rd, KEY_common_tls_listen);
	const char *cert = value_of(rd, KEY_common_tls_cert)->text;
	const char *key = value_of(rd, KEY_common_tls_key)->text;
	const struct conf_value *user = value_of(rd, KEY_common_user);

	if (strlen(user->text) > KEY_USER_MAX)
		tell_fault(&rd->t, "%s: key 'common.user': longer than %u "
		    "bytes", place_of(user).text, KEY_USER_MAX);
	if (listen->num != TLS_NO &&
	    (rd->conf->roles & (ROLE_RELAY | ROLE_EXPORTER)) != 0) {
		want_with(rd, KEY_common_tls_listen, listen->text,
		    KEY_common_tls_cert);
		if (conf_num(rd->conf, KEY_common_tls_clients))
			want_with(rd, KEY_common_tls_clients, "yes",
			    KEY_common_tls_ca);
	}
	if (cert[0] != '\0')
		want_with(rd, KEY_common_tls_cert, cert, KEY_common_tls_key);
	else if (key[0] != '\0')
		want_with(rd, KEY_common_tls_key, key, KEY_common_tls_cert);
}

/* Through the open internet in clear is allowed, and told. */
static void
check_peer(struct reading *rd, enum conf_key key, const char *item, size_t n)
{
	const struct conf_value *v = value_of(rd, key);
	struct hostport hp = { .port = 0 };
	struct peer peer;

	if (peer_parse(item, n, &peer) < 0 || peer_is_tls(&peer))
		return;
	snprintf(hp.host, sizeof(hp.host), "%s", peer.host);
	if (hostport_is_loopback(&hp))
		return;
	if (has_key(rd) && !conf_num(rd->conf, KEY_common_shared_key_plain))
		tell_fault(&rd->t, "%s: key '%s': '%.*s' would be shown the "
		    "shared key without TLS: write tls://, or set "
		    "common.shared_key_plain = yes (%s=yes)",
		    place_of(v).text, key_info[key].name, (int)n, item,
		    key_env(KEY_common_shared_key_plain).name);
	else
		tell_remark(&rd->t, "%s: key '%s': records go to '%.*s' in "
		    "clear: tls:// before it encrypts", place_of(v).text,
		    key_info[key].name, (int)n, item);
}

static void
check_peers(struct reading *rd, enum conf_key key)
{
	const struct conf_value *v = value_of(rd, key);
	const char *at = v->text, *item;
	size_t n;
	unsigned count = 0;

	while (list_next(&at, &item, &n)) {
		check_peer(rd, key, item, n);
		count++;
	}
	if (count > PEERS_MAX)
		tell_fault(&rd->t, "%s: key '%s': more than %u peers",
		    place_of(v).text, key_info[key].name, PEERS_MAX);
	if (count == 0)
		tell_fault(&rd->t, "%s: key '%s': no peer is given",
		    place_of(v).text, key_info[key].name);
}

static void
check_ages(struct reading *rd)
{
	const struct conf_value *v = value_of(rd, KEY_agent_queue_age);

	if (v->num > REMEMBERED_MS)
		tell_remark(&rd->t, "%s: key 'agent.queue_age': a relay "
		    "remembers a stream for 7d: what is older may come twice",
		    place_of(v).text);
}

void
conf_check(struct reading *rd)
{
	if (rd->oom)
		return;
	check_listens(rd);
	check_tls(rd);
	if (rd->conf->roles & ROLE_AGENT)
		check_peers(rd, KEY_agent_relay);
	if ((rd->conf->roles & ROLE_RELAY) && strcmp(value_of(rd,
	    KEY_relay_next)->text, "export") != 0)
		check_peers(rd, KEY_relay_next);
	trim_endpoint(rd);
	if (exports(rd))
		check_endpoint(rd);
	if (rd->conf->roles & ROLE_AGENT)
		check_ages(rd);
}
