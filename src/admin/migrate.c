/* SPDX-License-Identifier: ISC */
/*
 * migrate.c - emplogd migrate: the emplogd.conf of an old pipeline
 *
 * What:     takes from fluent-bit.conf and fluentd.conf what has an
 *           equivalent, and says of the rest what it did, or never did.
 * Never:    prints a value that is, or may be, a secret.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/admin.h"
#include "admin/old_conf.h"
#include "config/tell.h"
#include "config/url.h"
#include "banned.h"

#define VALUE_MAX	256
#define ADDR_BYTES	(2 * VALUE_MAX)
#define NEST_MAX	8	/* sections in each other; deeper ones are one */

/* A section that is being read; Fluentd's have others in them. */
struct section {
	char		 name[32], plugin[64], host[VALUE_MAX],
			 port[VALUE_MAX];
	unsigned	 conditions;
	bool		 database, json;
};

struct migrate {
	FILE		*said;		/* remarks, put behind the keys */
	bool		 bit, fluentd;
	char		 agent_http[VALUE_MAX], host[VALUE_MAX],
			 port[VALUE_MAX], deployment[VALUE_MAX],
			 region[VALUE_MAX];
	char		 forward[ADDR_BYTES], http[ADDR_BYTES],
			 endpoint[VALUE_MAX], dataset[VALUE_MAX];
	bool		 open;		/* listens off loopback */
	bool		 all_taken;
	struct section	 section[NEST_MAX];
	unsigned	 nest;		/* 0: none is open */
};

static struct section *
section_of(struct migrate *m)
{
	return &m->section[m->nest < NEST_MAX ? m->nest : NEST_MAX - 1];
}

/* One thing that a key of the old file did, or did not do. */
struct lore {
	bool		 fluentd;
	const char	*key, *value;	/* value: "" any, else how it begins */
	const char	*text;
};

static const struct lore lore[] = {
	{ false, "buffer_max_size", "", "larger bodies were refused, and the "
	    "refusal ended the worker; emplogd takes 16 MiB and shortens" },
	{ false, "retry_limit", "", "records were lost after so many tries; "
	    "emplogd keeps them on disk (agent.queue_max, agent.queue_age)" },
	{ false, "tls.verify", "off", "anybody could stand in for the "
	    "receiver; emplogd has no such switch for a backend" },
	{ false, "record", "level", "overwrote the level of every record, "
	    "also of errors; not taken over" },
	{ false, "record", "worker_id", "record_modifier appends a second "
	    "key, and the last one wins: the agent's identity replaced the "
	    "worker's; emplogd only fills what is missing (agent.fill)" },
	{ false, "record", "service_type", "as worker_id: replaced the "
	    "worker's own; see agent.fill" },
	{ false, "record", "connector_id", "as worker_id: replaced the "
	    "worker's own; see agent.fill" },
	{ false, "record", "processed_at", "Fluent Bit has no strftime: the "
	    "text itself was sent; each record has its time" },
	{ false, "rule", "", "a new tag that matches the filter's own Match "
	    "goes round in a cycle; emplogd needs no tags, service_type is an "
	    "attribute" },
	{ false, "skip_long_lines", "on", "longer lines, error dumps above "
	    "all, were left out without a word" },
	{ false, "mem_buf_limit", "", "the buffer was memory: a restart lost "
	    "it; emplogd's are shared memory and disk" },
	{ false, "storage.path", "", "no equivalent needed: the queue is "
	    "under common.state_dir" },
	{ true, "retry_max_times", "", "records were dropped after so many "
	    "tries, with short waits within seconds; emplogd retries for "
	    "relay.queue_age" },
	{ true, "retry_limit", "", "records were dropped after so many tries; "
	    "emplogd retries for relay.queue_age" },
	{ true, "without_source", "", "tells Fluentd to start no input at "
	    "all: nothing ever came in" },
	{ true, "verify_mode", "none", "anybody could stand in for the "
	    "receiver" },
	{ true, "tls_verify_mode", "none", "anybody could stand in for the "
	    "backend; emplogd always verifies it" },
	{ true, "fluentd_timestamp", "", "was evaluated once, when the file "
	    "was read: the same time in every record" },
	{ true, "processed_at", "", "envsubst blanks ${time}: it was empty; "
	    "each record has its time" },
	{ true, "dash0_dataset", "", "the http input calls the header "
	    "HTTP_X_DASH0_DATASET: never matched; see exporter.dataset" },
};

static void
say(struct migrate *m, const struct old_line *l, const char *text)
{
	fprintf(m->said, "# %s:%u: '%s': %s\n", tell_shown(l->file).text,
	    l->line, tell_shown(l->key).text, text);
}

static bool
is_secret(const char *key)
{
	static const char *const word[] = { "passw", "shared_key", "token",
	    "secret", "authorization", "api_key", "http_user", "username" };
	size_t i;

	for (i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		if (strcasestr(key, word[i]) != NULL)
			return true;
	return false;
}

/* Only what cannot be more than the one value it stands for. */
static void
keep(struct migrate *m, const struct old_line *l, char *to, const char *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/-${}";

	if (strlen(value) >= VALUE_MAX ||
	    value[strspn(value, plain)] != '\0')
		say(m, l, "not taken over: give it by hand");
	else
		snprintf(to, VALUE_MAX, "%s", value);
}

static void
tell_lore(struct migrate *m, const struct old_line *l)
{
	const struct lore *o;
	size_t i;

	for (i = 0; i < sizeof(lore) / sizeof(lore[0]); i++) {
		o = &lore[i];
		if (o->fluentd == l->fluentd && strcmp(o->key, l->key) == 0 &&
		    strncasecmp(o->value, l->value, strlen(o->value)) == 0)
			say(m, l, o->text);
	}
}

/* "Dash0-Dataset":"name" in a header's list. */
static void
headers(struct migrate *m, const struct old_line *l)
{
	const char *p = strcasestr(l->value, "dash0-dataset"), *end;
	char name[VALUE_MAX];

	if (strcasestr(l->value, "authorization") != NULL)
		say(m, l, "the token is not printed: put it into a file and "
		    "name that in exporter.token_file, or set "
		    "DASH0_AUTH_TOKEN");
	if (p == NULL)
		return;
	p += strlen("dash0-dataset");
	p += strspn(p, "\": =>");
	end = p + strcspn(p, "\",} ");
	if (*p == '$')
		end = p + strcspn(p, "}") + 1;
	if ((size_t)(end - p) >= sizeof(name) || end > p + strlen(p))
		return;
	snprintf(name, sizeof(name), "%.*s", (int)(end - p), p);
	keep(m, l, m->dataset, name);
}

static void
endpoint(struct migrate *m, const struct old_line *l)
{
	size_t n = strlen(l->value);
	const char *logs = "/logs/json";

	if (strpbrk(l->value, "@?") != NULL) {
		say(m, l, "may hold a secret and is not printed: set "
		    "exporter.endpoint");
		return;
	}
	keep(m, l, m->endpoint, l->value);
	if (n > strlen(logs) && strcmp(l->value + n - strlen(logs), logs) == 0)
		m->endpoint[n - strlen(logs)] = '\0';
	m->endpoint[url_base_len(m->endpoint)] = '\0';
}

static void
record(struct migrate *m, const struct old_line *l)
{
	char key[64];
	const char *value = l->value + strcspn(l->value, " \t");

	snprintf(key, sizeof(key), "%.*s", (int)(value - l->value), l->value);
	value += strspn(value, " \t");
	if (strcmp(key, "deployment_env") == 0)
		keep(m, l, m->deployment, value);
	else if (strcmp(key, "region") == 0)
		keep(m, l, m->region, value);
}

static void
bit_key(struct migrate *m, const struct old_line *l)
{
	struct section *s = section_of(m);

	if (strstr(l->value, ":-") != NULL)
		say(m, l, "${VAR:-default} is the shell's: Fluent Bit found "
		    "no such variable; emplogd knows it");
	if (strcmp(l->key, "name") == 0)
		snprintf(s->plugin, sizeof(s->plugin), "%s", l->value);
	else if (strcmp(l->key, "host") == 0)
		keep(m, l, s->host, l->value);
	else if (strcmp(l->key, "port") == 0)
		keep(m, l, s->port, l->value);
	else if (strcmp(l->key, "record") == 0)
		record(m, l);
	else if (strcmp(l->key, "condition") == 0 && s->conditions++ == 1)
		say(m, l, "the Conditions of one filter are AND-ed: several "
		    "values of one key never match together");
	else if (strcmp(l->key, "condition") == 0 &&
	    strcmp(s->name, "output") == 0)
		say(m, l, "an output knows no Condition");
	s->database |= strcmp(l->key, "db") == 0;
	s->json |= strcmp(l->key, "format") == 0 &&
	    strcasecmp(l->value, "json") == 0;
}

static void
fluentd_key(struct migrate *m, const struct old_line *l)
{
	struct section *s = section_of(m);

	if (strcmp(l->key, "@type") == 0 && strcmp(s->name, "buffer") == 0) {
		if (strcmp(l->value, "memory") == 0)
			say(m, l, "a restart lost the buffer; emplogd "
			    "acknowledges what is on its disk");
	} else if (strcmp(l->key, "@type") == 0)
		snprintf(s->plugin, sizeof(s->plugin), "%s", l->value);
	else if (strcmp(l->key, "bind") == 0)
		keep(m, l, s->host, l->value);
	else if (strcmp(l->key, "port") == 0)
		keep(m, l, s->port, l->value);
	else if (strcmp(l->key, "endpoint") == 0)
		endpoint(m, l);
	else if (strcmp(l->key, "headers") == 0)
		headers(m, l);
}

static void
section_begin(struct migrate *m, const struct old_line *l)
{
	struct section *s;

	m->nest++;
	s = section_of(m);
	*s = (struct section){ .conditions = 0 };
	snprintf(s->name, sizeof(s->name), "%s", l->key);
	if (strcmp(l->key, "match") != 0)
		return;
	if (m->all_taken)
		say(m, l, "stands behind <match **>, which takes everything: "
		    "never reached");
	m->all_taken |= strcmp(l->value, "**") == 0;
}

static void
bit_output(struct migrate *m, const struct old_line *at)
{
	struct section *s = section_of(m);

	if (s->host[0] == '\0')
		return;
	snprintf(m->host, VALUE_MAX, "%s", s->host);
	snprintf(m->port, VALUE_MAX, "%s", s->port);
	if (s->json && strcmp(s->plugin, "http") == 0)
		say(m, at, "sent one JSON array a flush: a receiver that "
		    "expects lines could not parse it");
}

static void
bit_end(struct migrate *m, const struct old_line *l)
{
	struct section *s = section_of(m);
	struct old_line at = *l;

	at.key = s->plugin;
	if (strcmp(s->name, "output") == 0) {
		bit_output(m, &at);
	} else if (strcmp(s->name, "input") == 0 &&
	    strcmp(s->plugin, "http") == 0) {
		snprintf(m->agent_http, sizeof(m->agent_http), "%s",
		    s->port[0] != '\0' ? s->port : "9880");
	} else if (strcmp(s->name, "input") == 0 &&
	    strcmp(s->plugin, "tail") == 0) {
		say(m, &at, "no equivalent: emplogd reads no log files; let "
		    "the worker log by libemplog or HTTP, with its fields");
		if (!s->database)
			say(m, &at, "without DB every restart lost lines or "
			    "sent them again");
	}
}

static bool
is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
	    strcmp(host, "localhost") == 0;
}

static void
fluentd_end(struct migrate *m)
{
	const struct section *s = section_of(m);
	const char *host = s->host[0] != '\0' ? s->host : "0.0.0.0";
	bool forward = strcmp(s->plugin, "forward") == 0, v6;

	if (strcmp(s->name, "source") != 0 ||
	    (!forward && strcmp(s->plugin, "http") != 0))
		return;
	v6 = strchr(host, ':') != NULL;
	snprintf(forward ? m->forward : m->http, ADDR_BYTES, "%s%s%s:%s",
	    v6 ? "[" : "", host, v6 ? "]" : "", s->port[0] != '\0' ? s->port :
	    forward ? "24224" : "9880");
	m->open |= !is_loopback(host);
}

static void
take(void *arg, const struct old_line *l)
{
	struct migrate *m = arg;

	m->bit |= !l->fluentd;
	m->fluentd |= l->fluentd;
	if (l->kind == OLD_BEGIN) {
		section_begin(m, l);
		return;
	}
	if (l->kind == OLD_END) {
		if (l->fluentd)
			fluentd_end(m);
		else
			bit_end(m, l);
		m->nest -= m->nest > 0;
		return;
	}
	tell_lore(m, l);
	if (is_secret(l->key))
		say(m, l, "not printed: a secret belongs into the "
		    "environment or a file");
	else if (l->fluentd)
		fluentd_key(m, l);
	else
		bit_key(m, l);
}

static void
put(FILE *out, const char *key, const char *value)
{
	if (*value != '\0')
		fprintf(out, "%s = %s\n", key, value);
}

static void
print_conf(const struct migrate *m, FILE *out)
{
	fprintf(out, "# made by emplogd migrate\n\n[common]\nrole = %s\n",
	    !m->fluentd ? "agent" : !m->bit ? "relay" : "agent, relay");
	if (m->open)
		fputs("# the old one listened to everybody, without TLS or "
		    "key, and so does this\ninsecure_listen = yes\n", out);
	if (m->bit) {
		fputs("\n[agent]\n", out);
		if (m->host[0] != '\0')
			fprintf(out, "relay = %s:%s\n", m->host,
			    m->port[0] != '\0' ? m->port : "8888");
		if (m->agent_http[0] != '\0')
			fprintf(out, "# workers are on this host\n"
			    "http_listen = 127.0.0.1:%s\n", m->agent_http);
		put(out, "deployment", m->deployment);
		put(out, "region", m->region);
	}
	if (!m->fluentd)
		return;
	fputs("\n[relay]\n", out);
	fprintf(out, "listen = %s\nhttp_listen = %s\n", m->forward, m->http);
	fputs("\n[exporter]\n", out);
	put(out, "endpoint", m->endpoint);
	put(out, "dataset", m->dataset);
	fputs("# the token: exporter.token_file or DASH0_AUTH_TOKEN\n", out);
}

int
admin_migrate(int argc, char **argv, struct admin *a)
{
	struct migrate *m = calloc(1, sizeof(*m));
	struct old_reader r = { take, m, a->err, 0 };
	char *text = NULL;
	size_t len;
	int i, res = -ENOMEM;

	if (argc < 2) {
		free(m);
		return admin_usage(a, "migrate", "a file is missing");
	}
	if (m == NULL || (m->said = open_memstream(&text, &len)) == NULL)
		goto out;
	for (res = 0, i = 1; res == 0 && i < argc; i++)
		res = old_conf_read(&r, argv[i]);
	if (fclose(m->said) != 0 && res == 0)
		res = -ENOMEM;
	if (res < 0)
		goto out;
	if (!m->bit && !m->fluentd) {
		res = -EINVAL;
		fputs("emplogd migrate: no section in it: a classic "
		    "fluent-bit.conf or a fluentd.conf was expected\n",
		    a->err);
		goto out;
	}
	print_conf(m, a->out);
	if (len > 0)
		fprintf(a->out, "\n# Of the old files:\n%s", text);
out:
	free(text);
	free(m);
	return res == 0 ? 0 : res == -ENOMEM ? 1 : EXIT_CONFIG;
}
