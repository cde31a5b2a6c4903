/* SPDX-License-Identifier: ISC */
/* migrate_fluentd.c - what stood in a fluentd.conf; see migrate.h */

#include <string.h>
#include <strings.h>

#include "admin/migrate.h"
#include "config/tell.h"
#include "banned.h"

struct fluentd {
	struct migrate	*m;
	bool		 next;		/* a next hop was found */
	bool		 reached;	/* Fluent Bit's URI, by a match */
	bool		 matches;
	const char	*parse;		/* of the HTTP source, or NULL */
	bool		 http;
};

static bool
is_name(const struct old_section *s, const char *name)
{
	return strcmp(s->name, name) == 0;
}

static bool
has_plugin(const struct old_section *s, const char *plugin)
{
	return strcmp(migrate_plugin(s), plugin) == 0;
}

static const struct old_section *
child(const struct old_section *s, const char *name)
{
	for (s = s->sections; s != NULL; s = s->next)
		if (is_name(s, name))
			break;
	return s;
}

static struct old_key
name_at(const struct old_section *s)
{
	return (struct old_key){ .file = s->file, .line = s->line,
	    .name = s->name, .value = s->arg };
}

/* ---- order ---- */

/* A match or filter behind a match that leaves nothing for it. */
static void
order(struct fluentd *f, const struct old_section *first,
    const struct old_section *s)
{
	const struct old_section *e;
	struct old_key at = name_at(s);
	const char *what = *s->arg != '\0' ? s->arg : "**";

	for (e = first; e != s; e = e->next)
		if (is_name(e, "match") && migrate_tags_cover(*e->arg != '\0' ?
		    e->arg : "**", what))
			break;
	if (e == s)
		return;
	if (is_name(s, "match"))
		migrate_say(f->m, &at, "stands behind <match %s> of line %u, "
		    "which takes everything it would: never reached",
		    tell_shown(e->arg).text, e->line);
	else
		migrate_say(f->m, &at, "stands behind <match %s> of line %u: "
		    "no record comes so far", tell_shown(e->arg).text, e->line);
}

/* ---- sections inside of others ---- */

static void
transport(struct fluentd *f, const struct old_section *s, bool listens)
{
	if (!listens || strncmp(s->arg, "tls", 3) != 0)
		return;
	migrate_listen_tls(f->m, old_key_find(s, "cert_path"),
	    old_key_find(s, "private_key_path"), old_key_find(s, "ca_path"));
}

static void
security(struct fluentd *f, const struct old_section *s)
{
	const struct old_section *user = child(s, "user");

	if (old_value(s, "shared_key") != NULL)
		migrate_hint(f->m, "common.shared_key_file", NULL, "a file, "
		    "mode 0400, with the old shared_key: it is not printed "
		    "here");
	if (user != NULL || old_value(s, "username") != NULL)
		migrate_hint(f->m, "common.user", NULL, "the old username; "
		    "the password is common.password, by environment: "
		    "EMPLOGD_COMMON_PASSWORD");
}

static void
buffer(struct fluentd *f, const struct old_section *s)
{
	const struct old_key *k = old_key_find(s, "total_limit_size");
	const char *type = migrate_plugin(s);

	/* <buffer tag> and the like: keys of chunks */
	if (strcasecmp(type, "file") == 0 && k != NULL &&
	    migrate_is_plain(k->value))
		(void)migrate_put(f->m, k, KEY_relay_queue_max, "%s",
		    k->value);
	if (*type == '\0') {
		struct old_key at = name_at(s);

		migrate_say(f->m, &at, "without @type it is memory: a restart "
		    "lost the buffer; emplogd acknowledges what is on its "
		    "disk");
	}
	if (old_value(s, "retry_max_times") == NULL &&
	    old_value(s, "retry_timeout") == NULL &&
	    !migrate_is_on(old_value(s, "retry_forever"))) {
		struct old_key at = name_at(s);

		migrate_say(f->m, &at, "without retry_forever records were "
		    "dropped after 72h of tries; see relay.queue_age");
	}
}

/* What a section is inside of is known by its name alone. */
static void
inner(struct fluentd *f, const struct old_section *s, bool listens)
{
	static const char *const known[] = { "parse", "format", "inject",
	    "extract", "auth", "http", "grpc", "service_discovery", "client",
	    "user", "storage" };
	const struct old_section *c;
	struct old_key at;
	size_t i;

	for (c = s->sections; c != NULL; c = c->next) {
		migrate_options(f->m, c, migrate_plugin(c));
		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (is_name(c, known[i]))
				break;
		at = name_at(c);
		if (is_name(c, "buffer"))
			buffer(f, c);
		else if (is_name(c, "security"))
			security(f, c);
		else if (is_name(c, "transport"))
			transport(f, c, listens);
		else if (is_name(c, "secondary"))
			migrate_say(f->m, &at, "what could not be delivered "
			    "went there; emplogd keeps dead letters under "
			    "common.state_dir");
		else if (!is_name(c, "server") && !is_name(c, "store") &&
		    i == sizeof(known) / sizeof(known[0]))
			migrate_say(f->m, &at, "a section that emplogd does "
			    "not know: nothing of it is taken over");
		/* users and clients are inside of security */
		if (is_name(c, "security"))
			inner(f, c, listens);
	}
}

/* ---- sources ---- */

/* Did it ask who comes, and we do not yet. */
static bool
is_secured(const struct fluentd *f, const struct old_section *s)
{
	const struct old_section *c = child(s, "transport"),
	    *security = child(s, "security");

	return (c != NULL && strncmp(c->arg, "tls", 3) == 0 &&
	    !f->m->given[KEY_common_tls_listen]) ||
	    (security != NULL && old_value(security, "shared_key") != NULL);
}

static void
source(struct fluentd *f, const struct old_section *s)
{
	bool forward = has_plugin(s, "forward");
	enum conf_key key = forward ? KEY_relay_listen : KEY_relay_http_listen;
	const char *host = old_value(s, "bind"), *port = old_value(s, "port");
	const struct old_section *parse = child(s, "parse");
	struct old_key at = migrate_at(s);

	if (!migrate_plugin_known(f->m, s))
		return;
	migrate_options(f->m, s, migrate_plugin(s));
	if (!forward && !has_plugin(s, "http"))
		return;
	inner(f, s, true);
	if (!forward) {
		f->http = true;
		f->parse = parse != NULL ? migrate_plugin(parse) : NULL;
	}
	if (host == NULL)
		host = "0.0.0.0";
	if (port == NULL)
		port = forward ? "24224" : "9880";
	if (f->m->given[key])
		migrate_say(f->m, &at, "a second one: emplogd listens at one "
		    "address each for Forward and HTTP, and tells the two "
		    "apart on either");
	else
		migrate_listen(f->m, &at, key, host, port, is_secured(f, s));
}

/* ---- filters ---- */

static void
filter(struct fluentd *f, const struct old_section *s)
{
	const struct old_section *c;
	const struct old_key *k;
	struct old_key at = migrate_at(s);

	if (!migrate_plugin_known(f->m, s))
		return;
	if (has_plugin(s, "grep"))
		migrate_say(f->m, &at, "left records out; emplogd sends all, "
		    "and the backend is asked for fewer");
	migrate_options(f->m, s, migrate_plugin(s));
	for (c = s->sections; c != NULL; c = c->next) {
		migrate_options(f->m, c, "");
		if (!is_name(c, "record"))
			continue;
		for (k = c->keys; k != NULL; k = k->next)
			if (strcmp(k->name, "level") != 0 &&
			    strcmp(k->name, "processed_at") != 0 &&
			    strcmp(k->name, "fluentd_timestamp") != 0 &&
			    strcmp(k->name, "dash0_dataset") != 0)
				migrate_field(f->m, k, k->name, k->value);
	}
}

/* ---- outputs ---- */

static void	 out(struct fluentd *f, const struct old_section *s);

/* Chunk keys are filled in by Fluentd, not by the environment. */
static bool
has_placeholder(const char *s)
{
	while ((s = strstr(s, "${")) != NULL) {
		s += 2;
		if (strncmp(s, "tag", 3) == 0 || strncmp(s, "time", 4) == 0 ||
		    strncmp(s, "chunk_id", 8) == 0 || *s == '$')
			return true;
	}
	return false;
}

static void
out_url(struct fluentd *f, const struct old_section *s, const char *key,
    bool otlp)
{
	const struct old_key *k = old_key_find(s, key);

	if (k == NULL)
		return;
	if (has_placeholder(k->value))
		migrate_say(f->m, k, "a place that depends on the tag: emplogd "
		    "has one endpoint, and exporter.dataset by environment");
	else
		migrate_endpoint(f->m, k, k->value, otlp);
}

static void
out_http(struct fluentd *f, const struct old_section *s)
{
	struct old_key at = migrate_at(s);
	const struct old_key *k = old_key_find(s, "headers");
	const char *hard = old_value(s, "error_response_as_unrecoverable");

	out_url(f, s, "endpoint", false);
	if (old_key_find(s, "endpoint") == NULL)
		out_url(f, s, "endpoint_url", false);
	if (k != NULL)
		migrate_headers(f->m, k);
	if (hard == NULL && old_value(s, "retryable_response_codes") == NULL)
		migrate_say(f->m, &at, "an answer such as 429 or 502 was taken "
		    "for final, and lost the chunk: only 503 is tried again "
		    "when nothing is said; emplogd keeps it and tries again");
}

/* s sends to this server. */
static void
next_hop(struct fluentd *f, const struct old_section *s,
    const struct old_section *server)
{
	const char *host = old_value(server, "host"),
	    *port = old_value(server, "port"),
	    *way = old_value(s, "transport");
	static const struct { const char *old; enum conf_key ours; } file[] = {
		{ "tls_cert_path", KEY_common_tls_ca },
		{ "tls_client_cert_path", KEY_common_tls_cert },
		{ "tls_client_private_key_path", KEY_common_tls_key },
		{ "tls_hostname", KEY_common_tls_name },
	};
	struct old_key at = name_at(server);
	struct migrate_addr a;
	char peer[MIGRATE_TEXT + 8];
	size_t i;

	a = migrate_addr(host != NULL ? host : "127.0.0.1", port != NULL ?
	    port : "24224");
	if (way == NULL || strcmp(way, "tls") != 0) {
		(void)migrate_put(f->m, &at, KEY_relay_next, "%s", a.text);
		return;
	}
	snprintf(peer, sizeof(peer), "tls://%s", a.text);
	(void)migrate_put(f->m, &at, KEY_relay_next, "%s", peer);
	for (i = 0; i < sizeof(file) / sizeof(file[0]); i++)
		if (old_value(s, file[i].old) != NULL)
			(void)migrate_put(f->m, old_key_find(s, file[i].old),
			    file[i].ours, "%s", old_value(s, file[i].old));
}

static void
out_forward(struct fluentd *f, const struct old_section *s)
{
	const struct old_section *c;
	struct old_key at = migrate_at(s);

	if (old_value(s, "require_ack_response") == NULL)
		migrate_say(f->m, &at, "without require_ack_response what was "
		    "under way when a connection broke was lost; emplogd "
		    "waits for the acknowledgement");
	for (c = s->sections; c != NULL; c = c->next) {
		if (!is_name(c, "server"))
			continue;
		at = name_at(c);
		if (f->next) {
			migrate_say(f->m, &at, "a second receiver: Fluentd "
			    "shared records out among them; relay.next takes "
			    "a list, and the second when the first is lost");
			continue;
		}
		f->next = true;
		next_hop(f, s, c);
	}
}

static void
copy(struct fluentd *f, const struct old_section *s)
{
	const struct old_section *c;
	unsigned n = 0;

	for (c = s->sections; c != NULL; c = c->next)
		if (is_name(c, "store")) {
			n++;
			out(f, c);
		}
	if (n == 0) {
		struct old_key at = migrate_at(s);

		migrate_say(f->m, &at, "has no <store>: it sent nothing");
	}
}

static void
out_otlp(struct fluentd *f, const struct old_section *s)
{
	const struct old_section *c;
	struct old_key at = migrate_at(s);

	c = child(s, "http");
	if (c != NULL)
		out_url(f, c, "endpoint", true);
	else if ((c = child(s, "grpc")) != NULL)
		migrate_say(f->m, &at, "emplogd speaks OTLP over HTTP: set "
		    "exporter.endpoint, usually port 4318 or 443");
}

/* A <match>, or a <store> in one. */
static void
out(struct fluentd *f, const struct old_section *s)
{
	struct old_key at = migrate_at(s);
	bool sends = has_plugin(s, "http") || has_plugin(s, "forward");

	if (!migrate_plugin_known(f->m, s))
		return;
	migrate_options(f->m, s, migrate_plugin(s));
	if (sends && child(s, "buffer") == NULL &&
	    old_value(s, "buffer_type") == NULL)
		migrate_say(f->m, &at, "without <buffer> it is memory: a "
		    "restart lost what waited, and 72h of failure too");
	inner(f, s, false);
	if (has_plugin(s, "copy") || has_plugin(s, "roundrobin"))
		copy(f, s);
	else if (has_plugin(s, "http"))
		out_http(f, s);
	else if (has_plugin(s, "forward"))
		out_forward(f, s);
	else if (has_plugin(s, "opentelemetry"))
		out_otlp(f, s);
}

/* ---- labels ---- */

static bool
leads_to(const struct old_section *s, const char *label)
{
	const char *to;

	for (; s != NULL; s = s->next) {
		to = old_value(s, "@label");
		if (s->fluentd && to != NULL && strcmp(to, label) == 0)
			return true;
		if (leads_to(s->sections, label))
			return true;
	}
	return false;
}

static void
label(struct fluentd *f, const struct old_section *s)
{
	struct old_key at = name_at(s);

	if (strcmp(s->arg, "@FLUENT_LOG") == 0 || strcmp(s->arg, "@ERROR") == 0)
		migrate_say(f->m, &at, "was for Fluentd's own lines and "
		    "faults; emplogd's go to standard error");
	else if (strcmp(s->arg, "@ROOT") != 0 &&
	    !leads_to(f->m->old.sections, s->arg))
		migrate_say(f->m, &at, "no source and no relabel leads to "
		    "'%s': never reached", tell_shown(s->arg).text);
}

static bool
is_defined(const struct migrate *m, const char *name)
{
	const struct old_section *s;

	for (s = m->old.sections; s != NULL; s = s->next)
		if (is_name(s, "label") && strcmp(s->arg, name) == 0)
			return true;
	return strcmp(name, "@ROOT") == 0;
}

static void
label_used(struct fluentd *f, const struct old_section *s)
{
	const struct old_key *k = old_key_find(s, "@label");

	if (k != NULL && !is_defined(f->m, k->value))
		migrate_say(f->m, k, "there is no <label %s>: the old one did "
		    "not start", tell_shown(k->value).text);
}

/* ---- the whole ---- */

static void
uri_taken(struct fluentd *f, const struct old_section *s)
{
	const struct old_key *uri = f->m->uri;
	char tag[256], *p;
	size_t n;

	if (uri == NULL)
		return;
	f->matches = true;
	snprintf(tag, sizeof(tag), "%.255s", uri->value + (uri->value[0] ==
	    '/'));
	for (n = strlen(tag); n > 0 && tag[n - 1] == '/'; n--)
		tag[n - 1] = '\0';
	for (p = tag; *p != '\0'; p++)
		if (*p == '/')
			*p = '.';
	f->reached |= migrate_tags_may_take(*s->arg != '\0' ? s->arg : "**", tag);
}

/* One level of sources, filters and matches, in order. */
static void
scope(struct fluentd *f, const struct old_section *first, bool root)
{
	const struct old_section *s;
	struct old_key at;

	for (s = first; s != NULL; s = s->next) {
		if (!s->fluentd)
			continue;
		at = name_at(s);
		label_used(f, s);
		if (is_name(s, "source")) {
			source(f, s);
		} else if (is_name(s, "filter")) {
			order(f, first, s);
			filter(f, s);
		} else if (is_name(s, "match")) {
			order(f, first, s);
			uri_taken(f, s);
			out(f, s);
		} else if (root && is_name(s, "label")) {
			label(f, s);
			scope(f, s->sections, false);
		} else if (root && is_name(s, "worker")) {
			scope(f, s->sections, false);
		} else if (root && is_name(s, "system")) {
			migrate_options(f->m, s, "");
		} else {
			migrate_say(f->m, &at, "a section that emplogd does "
			    "not know: nothing of it is taken over");
		}
	}
}

/* What Fluent Bit sent against what Fluentd's HTTP source reads. */
static void
formats(struct fluentd *f)
{
	const struct old_key *k = f->m->format;
	bool lines, json = f->parse == NULL || *f->parse == '\0' ||
	    strcmp(f->parse, "json") == 0;

	if (k == NULL)
		return;
	lines = strncasecmp(k->value, "json_", 5) == 0;
	if (lines && f->http && json)
		migrate_say(f->m, k, "one object a line, and Fluentd's JSON "
		    "parser takes one value a body: it could not be parsed; "
		    "emplogd takes both");
	else if (strcasecmp(k->value, "json") == 0 && (!f->http || !json))
		migrate_say(f->m, k, "sent one JSON array a flush: a receiver "
		    "that expects lines could not parse it");
}

void
migrate_fluentd(struct migrate *m)
{
	struct fluentd f = { .m = m };

	m->roles |= ROLE_RELAY;
	scope(&f, m->old.sections, true);
	formats(&f);
	if (f.matches && !f.reached)
		migrate_say(m, m->uri, "the URI is the tag there, and no "
		    "<match> takes it: records were thrown away with a "
		    "warning");
}
