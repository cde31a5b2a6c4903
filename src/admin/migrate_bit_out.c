/* SPDX-License-Identifier: ISC */
/* migrate_bit_out.c - where a Fluent Bit sent to; see migrate_bit.h */

#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <strings.h>

#include "admin/migrate_bit.h"
#include "config/tell.h"
#include "config/types.h"
#include "config/url.h"
#include "banned.h"

void
bit_inner(struct migrate *m, const struct old_section *s)
{
	struct old_key at;

	for (s = s->sections; s != NULL; s = s->next) {
		at = (struct old_key){ .file = s->file, .line = s->line,
		    .name = s->name };
		migrate_say(m, &at, "nothing of it is taken over: records are "
		    "not changed on their way");
	}
}

void
bit_shared_key(struct migrate *m, const struct old_section *s)
{
	if (old_value(s, "shared_key") != NULL)
		migrate_hint(m, "common.shared_key_file", NULL, "a file, mode "
		    "0400, with the old shared_key: it is not printed here");
}

static void
output_storage(struct bit *b, const struct old_section *s)
{
	const struct old_key *k = old_key_find(s, "storage.total_limit_size");
	struct old_key at = migrate_at(s);

	if (old_key_find(s, "retry_limit") == NULL)
		migrate_say(b->m, &at, "without Retry_Limit it is 1: a second "
		    "failure, and the records were lost; emplogd keeps them "
		    "on disk (agent.queue_max, agent.queue_age)");
	if (k == NULL)
		return;
	if (!b->keeps)
		migrate_say(b->m, k, "did nothing: no input has storage.type "
		    "filesystem");
	else
		migrate_say(b->m, k, "at the limit the oldest records were "
		    "dropped; emplogd keeps them and refuses new ones by "
		    "severity");
	if (migrate_is_plain(k->value) && (b->m->roles & ROLE_AGENT))
		(void)migrate_put(b->m, k, KEY_agent_queue_max, "%s",
		    k->value);
}

/* May it have been TLS. */
static bool
has_tls(const struct old_section *s)
{
	const char *tls = old_value(s, "tls");
	bool on;

	return tls != NULL && (strstr(tls, "${") != NULL ||
	    (value_bool(tls, &on) == 0 && on));
}

/* The way, and the files that TLS needs for it. */
static void
output_tls(struct bit *b, const struct old_section *s, const char *peer)
{
	static const struct { const char *old; enum conf_key ours; } file[] = {
		{ "tls.ca_file", KEY_common_tls_ca },
		{ "tls.crt_file", KEY_common_tls_cert },
		{ "tls.key_file", KEY_common_tls_key },
		{ "tls.vhost", KEY_common_tls_name },
	};
	struct migrate *m = b->m;
	const struct old_key *k = old_key_find(s, "tls");
	struct old_key at = migrate_at(s);
	size_t i;

	if (k != NULL && strstr(k->value, "${") != NULL)
		migrate_say(m, k, "on or off by a variable: taken for on");
	(void)migrate_put(m, &at, m->roles & ROLE_AGENT ? KEY_agent_relay :
	    KEY_relay_next, "%s", peer);
	for (i = 0; i < sizeof(file) / sizeof(file[0]); i++)
		if (old_value(s, file[i].old) != NULL)
			(void)migrate_put(m, old_key_find(s, file[i].old),
			    file[i].ours, "%s", old_value(s, file[i].old));
}

static void
output_forward(struct bit *b, const struct old_section *s)
{
	struct old_key at = migrate_at(s);

	if (old_key_find(s, "require_ack_response") == NULL)
		migrate_say(b->m, &at, "without Require_ack_response what was "
		    "under way when a connection broke was lost; emplogd "
		    "waits for the acknowledgement");
	bit_shared_key(b->m, s);
	if (old_value(s, "username") != NULL)
		migrate_hint(b->m, "common.user", NULL, "the old Username; "
		    "the password is common.password, by environment: "
		    "EMPLOGD_COMMON_PASSWORD");
}

/* One more in "a, tls://b"; what no longer fits is told. */
static void
add_node(struct bit *b, const struct old_section *n, char *list, size_t cap)
{
	struct migrate_addr a = migrate_addr(bit_value(n, "host", "127.0.0.1"),
	    bit_value(n, "port", "24224"));
	struct old_key at = migrate_at(n);
	size_t len = strlen(list);

	migrate_options(b->m, n, "");
	if (a.text[0] == '\0' || len + strlen(a.text) + 16 > cap)
		migrate_say(b->m, &at, "not taken over as a relay: give it by "
		    "hand");
	else
		snprintf(list + len, cap - len, "%s%s%s", len > 0 ? ", " : "",
		    has_tls(n) ? "tls://" : "", a.text);
}

/* The nodes of an upstream file, as relays; they took turns there. */
static void
upstream(struct bit *b, const struct old_key *k)
{
	struct migrate *m = b->m;
	const struct old_section *s, *n, *tls = NULL;
	struct old_conf up;
	char path[OLD_LINE_MAX], list[MIGRATE_TEXT] = "";
	int r;

	old_conf_init(&up, m->old.files, m->old.err);
	up.said = m->old.said;
	up.arg = m->old.arg;
	r = old_path(k->file, k->value, path, sizeof(path));
	if (r == 0)
		r = old_conf_read(&up, path);
	if (r == -ENOMEM)
		m->error = r;
	else if (r < 0)
		migrate_say(m, k, "the file is not here: give its nodes in "
		    "agent.relay, as host:port, host:port");
	for (s = up.sections; s != NULL; s = s->next)
		for (n = s->sections; n != NULL; n = n->next) {
			add_node(b, n, list, sizeof(list));
			if (has_tls(n))
				tls = n;
		}
	if (list[0] != '\0') {
		migrate_say(m, k, "the nodes took turns; emplogd's are tried "
		    "in order, the second when the first is lost");
		if (tls != NULL)
			output_tls(b, tls, list);
		else
			(void)migrate_put(m, k, KEY_agent_relay, "%s", list);
		snprintf(b->to, sizeof(b->to), "%s", list);
	}
	old_conf_fini(&up);
}

static bool
is_backend(const struct old_section *s)
{
	const char *uri = bit_value(s, "uri", "");
	char url[MIGRATE_TEXT];
	struct url_host host;

	if (bit_has_plugin(s, "opentelemetry"))
		return true;
	if (!bit_has_plugin(s, "http"))
		return false;
	snprintf(url, sizeof(url), "http://%.256s", bit_value(s, "host", ""));
	return strstr(uri, "/logs/json") != NULL ||
	    strncmp(uri, "/v1/", 4) == 0 ||
	    (url_host(url, &host) && url_is_under(&host, "dash0.com"));
}

static void
output_backend(struct bit *b, const struct old_section *s)
{
	struct old_key at = migrate_at(s);
	bool otlp = bit_has_plugin(s, "opentelemetry");
	const char *port = bit_value(s, "port", "80"), *uri;
	bool tls = migrate_is_on(old_value(s, "tls"));
	const struct old_key *k;
	char url[2 * MIGRATE_TEXT];

	if (!tls && strcmp(port, "443") == 0) {
		migrate_say(b->m, &at, "spoke plain HTTP to port 443: without "
		    "tls on nothing arrived");
		tls = true;
	}
	if (otlp && old_key_find(s, "logs_body_key_attributes") == NULL)
		migrate_say(b->m, &at, "without logs_body_key_attributes only "
		    "the message was sent: every other field was left out");
	uri = bit_value(s, otlp ? "logs_uri" : "uri", "");
	if (strcmp(port, tls ? "443" : "80") == 0)
		snprintf(url, sizeof(url), "http%s://%s%s", tls ? "s" : "",
		    bit_value(s, "host", "127.0.0.1"), uri);
	else
		snprintf(url, sizeof(url), "http%s://%s%s", tls ? "s" : "",
		    migrate_addr(bit_value(s, "host", "127.0.0.1"), port).text,
		    uri);
	b->m->roles |= ROLE_RELAY;
	migrate_endpoint(b->m, &at, url, otlp);
	for (k = s->keys; k != NULL; k = k->next)
		if (strcmp(k->name, "header") == 0)
			migrate_headers(b->m, k);
}

static void
output_hop(struct bit *b, const struct old_section *s)
{
	struct migrate *m = b->m;
	struct old_key at = migrate_at(s);
	const struct old_key *up = old_key_find(s, "upstream");
	bool forward = bit_has_plugin(s, "forward");
	struct migrate_addr a = migrate_addr(bit_value(s, "host", "127.0.0.1"),
	    bit_value(s, "port", forward ? "24224" : "80"));
	char peer[MIGRATE_TEXT + 8];

	if (forward)
		output_forward(b, s);
	else if (m->uri == NULL) {
		m->uri = old_key_find(s, "uri");
		m->format = old_key_find(s, "format");
	}
	if (b->to[0] != '\0') {
		if (up != NULL || strcmp(b->to, a.text) != 0)
			migrate_say(m, &at, "a second receiver: emplogd sends "
			    "to one, and to the others of agent.relay when "
			    "that is lost; let the backend, or the exporter, "
			    "hand on what two shall have");
	} else if (up != NULL && (m->roles & ROLE_AGENT)) {
		upstream(b, up);
	} else {
		snprintf(b->to, sizeof(b->to), "%s", a.text);
		snprintf(peer, sizeof(peer), "%s://%s", forward ? "tls" :
		    "https", a.text);
		if (has_tls(s))
			output_tls(b, s, peer);
		else
			(void)migrate_put(m, &at, m->roles & ROLE_AGENT ?
			    KEY_agent_relay : KEY_relay_next, "%s", a.text);
	}
}

/* Does any input's Tag match; unknown is yes. */
static bool
is_reached(const struct bit *b, const struct old_section *out)
{
	const char *match = old_value(out, "match"), *tag;
	const struct old_section *s;

	if (match == NULL || old_value(out, "match_regex") != NULL ||
	    b->retags)
		return true;
	for (s = b->m->old.sections; s != NULL; s = s->next) {
		if (s->fluentd || !bit_is(s, "input"))
			continue;
		tag = old_value(s, "tag");
		if (tag == NULL || strpbrk(tag, "*$") != NULL ||
		    strchr(match, '$') != NULL ||
		    old_value(s, "tag_key") != NULL ||
		    bit_has_plugin(s, "forward") ||
		    fnmatch(match, tag, FNM_NOESCAPE) == 0)
			return true;
	}
	return false;
}

void
bit_output(struct bit *b, const struct old_section *s)
{
	struct old_key at = migrate_at(s);
	const struct old_key *k;

	bit_inner(b->m, s);
	if (!migrate_plugin_known(b->m, s))
		return;
	for (k = s->keys; k != NULL; k = k->next)
		if (strcmp(k->name, "condition") == 0)
			migrate_say(b->m, k, "an output knows no Condition");
	if (!is_reached(b, s))
		migrate_say(b->m, &at, "no input's Tag matches its Match "
		    "'%s': it sent nothing",
		    tell_shown(old_value(s, "match")).text);
	migrate_options(b->m, s, migrate_plugin(s));
	if (!bit_has_plugin(s, "http") && !bit_has_plugin(s, "forward") &&
	    !bit_has_plugin(s, "opentelemetry"))
		return;
	output_storage(b, s);
	if (is_backend(s))
		output_backend(b, s);
	else
		output_hop(b, s);
}
