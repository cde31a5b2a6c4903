/* SPDX-License-Identifier: ISC */
/* migrate_bit.c - what stood in a fluent-bit.conf; see migrate.h */

#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <strings.h>

#include "admin/migrate.h"
#include "config/tell.h"
#include "config/types.h"
#include "config/url.h"
#include "banned.h"

struct bit {
	struct migrate	*m;
	const struct old_section *service;	/* NULL: there is none */
	bool		 keeps;		/* an input has storage on disk */
	bool		 retags;
	char		 to[MIGRATE_TEXT];	/* the first receiver */
};

static const struct old_key *
key_of(const struct old_section *s, const char *name)
{
	const struct old_key *k;

	for (k = s->keys; k != NULL; k = k->next)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

static const char *
value_or(const struct old_section *s, const char *name, const char *other)
{
	const char *v = old_value(s, name);

	return v != NULL ? v : other;
}

static bool
is_name(const struct old_section *s, const char *name)
{
	return strcmp(s->name, name) == 0;
}

static bool
has_plugin(const struct old_section *s, const char *plugin)
{
	return strcasecmp(migrate_plugin(s), plugin) == 0;
}

/* What only YAML has: processors and the like. */
static void
inner_sections(struct migrate *m, const struct old_section *s)
{
	struct old_key at;

	for (s = s->sections; s != NULL; s = s->next) {
		at = (struct old_key){ .file = s->file, .line = s->line,
		    .name = s->name };
		migrate_say(m, &at, "nothing of it is taken over: records are "
		    "not changed on their way");
	}
}

/* ---- service ---- */

static void
log_level(struct migrate *m, const struct old_key *k)
{
	static const char *const ours[][2] = { { "trace", "debug" },
	    { "warn", "warning" }, { "off", "error" } };
	const char *level = k->value;
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcasecmp(level, ours[i][0]) == 0)
			level = ours[i][1];
	if (strcasecmp(level, "info") != 0)
		(void)migrate_put(m, k, KEY_common_log_level, "%s", level);
}

static void
service(struct bit *b, const struct old_section *s)
{
	const struct old_key *k = key_of(s, "log_level");

	migrate_options(b->m, s, "");
	inner_sections(b->m, s);
	if (k != NULL)
		log_level(b->m, k);
}

/* ---- inputs ---- */

/* Where the input's records were between being taken and being sent. */
static void
input_storage(struct bit *b, const struct old_section *s)
{
	const char *type = old_value(s, "storage.type");
	struct old_key at = migrate_at(s);
	bool path = b->service != NULL &&
	    old_value(b->service, "storage.path") != NULL;
	bool disk = type != NULL && strcasecmp(type, "filesystem") == 0;

	if (disk && !path)
		migrate_say(b->m, &at, "storage.type filesystem needs a "
		    "storage.path in [SERVICE]: without it nothing started");
	else if (disk && old_value(s, "mem_buf_limit") != NULL)
		migrate_say(b->m, &at, "Mem_Buf_Limit does nothing beside "
		    "storage.type filesystem");
	else if (!disk && path)
		migrate_say(b->m, &at, "storage.path alone keeps nothing: "
		    "without storage.type filesystem this input's records "
		    "were in memory");
	else if (!disk && old_value(s, "mem_buf_limit") == NULL)
		migrate_say(b->m, &at, "the buffer was memory without a "
		    "limit: an outage of the receiver could end in the OOM killer");
}

static void
listen_tls(struct migrate *m, const struct old_section *s)
{
	if (!migrate_is_on(old_value(s, "tls")))
		return;
	migrate_hint(m, "common.tls_cert", old_value(s, "tls.crt_file"),
	    "the old one listened with TLS: its certificate");
	migrate_hint(m, "common.tls_key", old_value(s, "tls.key_file"),
	    "and its key");
	migrate_hint(m, "common.tls_listen", "yes", "then insecure_listen can "
	    "go");
}

static void
listen_key(struct migrate *m, const struct old_section *s)
{
	if (old_value(s, "shared_key") != NULL)
		migrate_hint(m, "common.shared_key_file", NULL, "a file, mode "
		    "0400, with the old shared_key: it is not printed here");
}

static void
input_http(struct bit *b, const struct old_section *s, struct old_key *at)
{
	if (b->m->given[KEY_agent_http_listen])
		migrate_say(b->m, at, "a second HTTP input: emplogd listens "
		    "at one address, and takes any path there");
	else
		(void)migrate_put(b->m, at, KEY_agent_http_listen,
		    "127.0.0.1:%s", migrate_is_plain(value_or(s, "port",
		    "9880")) ? value_or(s, "port", "9880") : "?");
	listen_tls(b->m, s);
}

static void
input_forward(struct bit *b, const struct old_section *s, struct old_key *at)
{
	bool secured = migrate_is_on(old_value(s, "tls")) ||
	    old_value(s, "shared_key") != NULL;

	b->m->roles |= ROLE_RELAY;
	listen_tls(b->m, s);
	listen_key(b->m, s);
	if (b->m->given[KEY_relay_listen])
		migrate_say(b->m, at, "a second Forward input: emplogd "
		    "listens at one address");
	else
		migrate_listen(b->m, at, KEY_relay_listen, value_or(s,
		    "listen", "0.0.0.0"), value_or(s, "port", "24224"),
		    secured);
}

static void
input(struct bit *b, const struct old_section *s)
{
	struct old_key at = migrate_at(s);

	inner_sections(b->m, s);
	if (!migrate_plugin_known(b->m, s))
		return;
	migrate_options(b->m, s, migrate_plugin(s));
	if (has_plugin(s, "forward")) {
		input_forward(b, s, &at);
	} else if (has_plugin(s, "http")) {
		b->m->roles |= ROLE_AGENT;
		input_http(b, s, &at);
	} else if (has_plugin(s, "opentelemetry")) {
		migrate_say(b->m, &at, "no equivalent: emplogd takes no OTLP; "
		    "send it to the backend");
		return;
	} else if (has_plugin(s, "tail")) {
		b->m->roles |= ROLE_AGENT;
		migrate_say(b->m, &at, "no equivalent: emplogd reads no log "
		    "files; let the worker log by libemplog or HTTP, with its "
		    "fields");
		if (old_value(s, "db") == NULL)
			migrate_say(b->m, &at, "without DB every restart lost "
			    "lines or sent them again");
	} else {
		return;
	}
	input_storage(b, s);
}

/* ---- filters ---- */

/* "key value" of Record, Add and Set. */
static void
field(struct migrate *m, const struct old_key *k)
{
	char name[64];
	size_t n = strcspn(k->value, " \t");

	snprintf(name, sizeof(name), "%.*s", (int)(n < sizeof(name) ? n :
	    sizeof(name) - 1), k->value);
	migrate_field(m, k, name, k->value + n + strspn(k->value + n, " \t"));
}

/* Has the table of options its own word on that field. */
static bool
is_told(const char *value)
{
	static const char *const field[] = { "level", "worker_id",
	    "service_type", "connector_id", "processed_at",
	    "normalized_level", "log_category" };
	size_t i;

	for (i = 0; i < sizeof(field) / sizeof(field[0]); i++)
		if (strncasecmp(value, field[i], strlen(field[i])) == 0)
			return true;
	return false;
}

static void
filter_key(struct migrate *m, const struct old_key *k, unsigned *conditions)
{
	if (strcmp(k->name, "condition") == 0) {
		if ((*conditions)++ == 1)
			migrate_say(m, k, "the Conditions of one filter are "
			    "AND-ed: several values of one key never match "
			    "together");
	} else if (strcmp(k->name, "record") == 0 ||
	    strcmp(k->name, "add") == 0 || strcmp(k->name, "set") == 0) {
		if (!is_told(k->value))
			field(m, k);
	} else if (strncmp(k->name, "remove", 6) == 0 ||
	    strstr(k->name, "rename") != NULL ||
	    strstr(k->name, "copy") != NULL ||
	    strstr(k->name, "list_key") != NULL ||
	    strcmp(k->name, "allowlist_key") == 0) {
		migrate_say(m, k, "no equivalent: records are not changed on "
		    "their way");
	}
}

static void
filter(struct bit *b, const struct old_section *s)
{
	const struct old_key *k;
	unsigned conditions = 0;

	if (!migrate_plugin_known(b->m, s))
		return;
	migrate_options(b->m, s, migrate_plugin(s));
	if (!has_plugin(s, "record_modifier") && !has_plugin(s, "modify"))
		return;
	for (k = s->keys; k != NULL; k = k->next)
		filter_key(b->m, k, &conditions);
}

/* ---- outputs ---- */

static void
output_storage(struct bit *b, const struct old_section *s)
{
	const struct old_key *k = key_of(s, "storage.total_limit_size");
	struct old_key at = migrate_at(s);

	if (key_of(s, "retry_limit") == NULL)
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

/* What TLS needs; the way itself is a comment until that is there. */
static void
output_tls(struct bit *b, const struct old_section *s, const char *peer)
{
	static const struct { const char *old, *ours, *why; } file[] = {
		{ "tls.ca_file", "common.tls_ca", "who signed the receiver's "
		    "certificate" },
		{ "tls.crt_file", "common.tls_cert", "our own certificate" },
		{ "tls.key_file", "common.tls_key", "and its key, without a "
		    "passphrase" },
		{ "tls.vhost", "common.tls_name", "the name in the receiver's "
		    "certificate" },
	};
	struct migrate *m = b->m;
	const struct old_key *k = key_of(s, "tls");
	struct old_key at = migrate_at(s);
	size_t i;

	if (k != NULL && strstr(k->value, "${") != NULL)
		migrate_say(m, k, "on or off by a variable: taken for on");
	migrate_say(m, k != NULL ? k : &at, "the way with TLS is a comment "
	    "in [common]: nothing is sent in the clear instead");
	migrate_hint(m, m->roles & ROLE_AGENT ? "agent.relay" : "relay.next",
	    peer, "the old one used TLS on this way: so should this");
	for (i = 0; i < sizeof(file) / sizeof(file[0]); i++)
		if (old_value(s, file[i].old) != NULL)
			migrate_hint(m, file[i].ours,
			    old_value(s, file[i].old), file[i].why);
}

static void
output_forward(struct bit *b, const struct old_section *s)
{
	struct old_key at = migrate_at(s);

	if (key_of(s, "require_ack_response") == NULL)
		migrate_say(b->m, &at, "without Require_ack_response what was "
		    "under way when a connection broke was lost; emplogd "
		    "waits for the acknowledgement");
	listen_key(b->m, s);
	if (old_value(s, "username") != NULL)
		migrate_hint(b->m, "common.user", NULL, "the old Username; "
		    "the password is common.password, by environment: "
		    "EMPLOGD_COMMON_PASSWORD");
}

/* One more in "a, tls://b"; what no longer fits is told. */
static void
add_node(struct bit *b, const struct old_section *n, char *list, size_t cap)
{
	struct migrate_addr a = migrate_addr(value_or(n, "host", "127.0.0.1"),
	    value_or(n, "port", "24224"));
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

	old_conf_init(&up, m->old.files, m->old.err);
	up.said = m->old.said;
	up.arg = m->old.arg;
	if (old_path(k->file, k->value, path, sizeof(path)) < 0 ||
	    old_conf_read(&up, path) < 0)
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
	const char *uri = value_or(s, "uri", "");
	char url[MIGRATE_TEXT];
	struct url_host host;

	if (has_plugin(s, "opentelemetry"))
		return true;
	if (!has_plugin(s, "http"))
		return false;
	snprintf(url, sizeof(url), "http://%.256s", value_or(s, "host", ""));
	return strstr(uri, "/logs/json") != NULL ||
	    strncmp(uri, "/v1/", 4) == 0 ||
	    (url_host(url, &host) && url_is_under(&host, "dash0.com"));
}

static void
output_backend(struct bit *b, const struct old_section *s)
{
	struct old_key at = migrate_at(s);
	bool otlp = has_plugin(s, "opentelemetry");
	const char *port = value_or(s, "port", "80"), *uri;
	bool tls = migrate_is_on(old_value(s, "tls"));
	const struct old_key *k;
	char url[2 * MIGRATE_TEXT];

	if (!tls && strcmp(port, "443") == 0) {
		migrate_say(b->m, &at, "spoke plain HTTP to port 443: without "
		    "tls on nothing arrived");
		tls = true;
	}
	if (otlp && key_of(s, "logs_body_key_attributes") == NULL)
		migrate_say(b->m, &at, "without logs_body_key_attributes only "
		    "the message was sent: every other field was left out");
	uri = value_or(s, otlp ? "logs_uri" : "uri", "");
	if (strcmp(port, tls ? "443" : "80") == 0)
		snprintf(url, sizeof(url), "http%s://%s%s", tls ? "s" : "",
		    value_or(s, "host", "127.0.0.1"), uri);
	else
		snprintf(url, sizeof(url), "http%s://%s%s", tls ? "s" : "",
		    migrate_addr(value_or(s, "host", "127.0.0.1"), port).text,
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
	const struct old_key *up = key_of(s, "upstream");
	bool forward = has_plugin(s, "forward");
	struct migrate_addr a = migrate_addr(value_or(s, "host", "127.0.0.1"),
	    value_or(s, "port", forward ? "24224" : "80"));
	char peer[MIGRATE_TEXT + 8];

	if (forward)
		output_forward(b, s);
	else if (m->uri == NULL) {
		m->uri = key_of(s, "uri");
		m->format = key_of(s, "format");
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
		if (s->fluentd || !is_name(s, "input"))
			continue;
		tag = old_value(s, "tag");
		if (tag == NULL || strpbrk(tag, "*$") != NULL ||
		    strchr(match, '$') != NULL ||
		    old_value(s, "tag_key") != NULL ||
		    has_plugin(s, "forward") ||
		    fnmatch(match, tag, FNM_NOESCAPE) == 0)
			return true;
	}
	return false;
}

static void
output(struct bit *b, const struct old_section *s)
{
	struct old_key at = migrate_at(s);
	const struct old_key *k;

	inner_sections(b->m, s);
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
	if (!has_plugin(s, "http") && !has_plugin(s, "forward") &&
	    !has_plugin(s, "opentelemetry"))
		return;
	output_storage(b, s);
	if (is_backend(s))
		output_backend(b, s);
	else
		output_hop(b, s);
}

/* ---- the whole ---- */

static void
other(struct bit *b, const struct old_section *s)
{
	static const char *const quiet[] = { "parser", "multiline_parser",
	    "plugins", "stream_task" };
	struct old_key at = { .file = s->file, .line = s->line,
	    .name = s->name };
	size_t i;

	for (i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++)
		if (strcmp(s->name, quiet[i]) == 0) {
			migrate_say(b->m, &at, "not needed: nothing is parsed "
			    "out of text, fields stay fields");
			return;
		}
	if (strcmp(s->name, "upstream") == 0)
		migrate_say(b->m, &at, "its nodes are relays: see agent.relay");
	else
		migrate_say(b->m, &at, "a section that emplogd does not know: "
		    "nothing of it is taken over");
}

static void
each(struct bit *b, const char *name,
    void (*f)(struct bit *b, const struct old_section *s))
{
	const struct old_section *s;

	for (s = b->m->old.sections; s != NULL; s = s->next)
		if (!s->fluentd && is_name(s, name))
			f(b, s);
}

static void
look(struct bit *b, const struct old_section *s)
{
	const char *type = old_value(s, "storage.type");

	if (is_name(s, "service") && b->service == NULL)
		b->service = s;
	b->keeps |= type != NULL && strcasecmp(type, "filesystem") == 0;
	b->retags |= has_plugin(s, "rewrite_tag");
}

void
migrate_bit(struct migrate *m)
{
	static const struct {
		const char *name;
		void (*f)(struct bit *b, const struct old_section *s);
	} part[] = { { "service", service }, { "input", input },
	    { "filter", filter }, { "output", output } };
	struct bit b = { .m = m };
	const struct old_section *s;
	size_t i;

	for (s = m->old.sections; s != NULL; s = s->next)
		if (!s->fluentd)
			look(&b, s);
	for (i = 0; i < sizeof(part) / sizeof(part[0]); i++)
		each(&b, part[i].name, part[i].f);
	for (s = m->old.sections; s != NULL; s = s->next)
		if (!s->fluentd && !is_name(s, "service") &&
		    !is_name(s, "input") && !is_name(s, "filter") &&
		    !is_name(s, "output"))
			other(&b, s);
	if (!m->fluentd && m->format != NULL &&
	    strcasecmp(m->format->value, "json") == 0)
		migrate_say(m, m->format, "sent one JSON array a flush: a "
		    "receiver that expects lines could not parse it");
	/* Sections of outputs alone are of an agent. */
	if (m->roles == 0)
		m->roles = ROLE_AGENT;
}
