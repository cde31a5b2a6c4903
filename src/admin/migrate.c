/* SPDX-License-Identifier: ISC */
/* migrate.c - emplogd migrate: the emplogd.conf of an old pipeline; see .h */

#include "admin/migrate.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/admin.h"
#include "admin/old_lore.h"
#include "config/keys.h"
#include "config/tell.h"
#include "config/types.h"
#include "config/url.h"
#include "banned.h"

#define PLAIN	"abcdefghijklmnopqrstuvwxyz" \
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/-${}"

static const char plain[] = PLAIN, listed[] = PLAIN "[], ";

#define NAME_SHOWN_MAX	40u

/* What stands in a name's place: "key=secret", or a piece of a secret. */
static const char *
name_of(const struct old_key *at, struct shown *word)
{
	*word = tell_word(at->name);
	return strlen(at->name) <= NAME_SHOWN_MAX ||
	    strpbrk(at->name, "=:") != NULL ? word->text : "...";
}

void
migrate_say(struct migrate *m, const struct old_key *at, const char *fmt, ...)
{
	struct shown word;
	va_list ap;

	fprintf(m->said, "# %s:%u: '%s': ", tell_shown(at->file).text,
	    at->line, name_of(at, &word));
	va_start(ap, fmt);
	vfprintf(m->said, fmt, ap);
	va_end(ap);
	fputc('\n', m->said);
}

static void
said_by_reader(void *arg, const struct old_key *at, const char *text)
{
	migrate_say(arg, at, "%s", text);
}

const char *
migrate_plugin(const struct old_section *s)
{
	const char *p = old_value(s, s->fluentd ? "@type" : "name");

	if (p == NULL && s->fluentd)
		p = old_value(s, "type");	/* before Fluentd 1 */
	return p != NULL ? p : "";
}

struct old_key
migrate_at(const struct old_section *s)
{
	const char *plugin = migrate_plugin(s);

	return (struct old_key){ .file = s->file, .line = s->line,
	    .name = *plugin != '\0' ? plugin : s->name, .value = s->arg };
}

bool
migrate_is_on(const char *value)
{
	bool on = false;

	return value != NULL && value_bool(value, &on) == 0 && on;
}

bool
migrate_is_plain(const char *s)
{
	return s[strspn(s, plain)] == '\0' && strlen(s) < MIGRATE_TEXT / 4;
}

struct migrate_addr
migrate_addr(const char *host, const char *port)
{
	struct migrate_addr a = { "" };
	bool v6 = strchr(host, ':') != NULL && strchr(host, '$') == NULL;

	if (migrate_is_plain(host) && migrate_is_plain(port))
		snprintf(a.text, sizeof(a.text), "%s%s%s:%s", v6 ? "[" : "",
		    host, v6 ? "]" : "", port);
	return a;
}

/* ---- values of ours ---- */

/*
 * text with each ${VAR} as sample and each ${VAR:-default} as default, as
 * it will be read.  false: a '$' that our reader takes for something else.
 */
static bool
with_samples(const char *text, const char *sample, char *buf, size_t cap)
{
	const char *end, *def;
	size_t at = 0, n, name;

	for (; *text != '\0' && at + 1 < cap; text = end) {
		end = text + 1;
		if (*text != '$') {
			buf[at++] = *text;
			continue;
		}
		end = strchr(text, '}');
		if (text[1] != '{' || end == NULL)
			return false;
		name = strspn(text + 2, "abcdefghijklmnopqrstuvwxyz"
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
		def = text + 2 + name;
		if (name == 0 || name > 100 ||
		    isdigit((unsigned char)text[2]) ||
		    (def != end && strncmp(def, ":-", 2) != 0))
			return false;
		n = def == end ? strlen(sample) : (size_t)(end - def - 2);
		if (def != end && memchr(def, '$', (size_t)(end - def)))
			return false;
		if (n >= cap - at)
			return false;
		memcpy(buf + at, def == end ? sample : def + 2, n);
		at += n;
		end++;
	}
	buf[at] = '\0';
	return *text == '\0';
}

/* Would our reader take it, whatever stands in its variables. */
static bool
is_ours(enum conf_key key, const char *text)
{
	static const char *const sample[] = { "1", "http://h", "h:1", "4M" };
	char buf[2 * MIGRATE_TEXT], kept[2 * MIGRATE_TEXT];
	uint64_t num;
	size_t i;

	if (text[strcspn(text, "\"'#;\\")] != '\0')
		return false;
	for (i = 0; i < sizeof(sample) / sizeof(sample[0]); i++)
		if (with_samples(text, sample[i], buf, sizeof(buf)) &&
		    value_check(key, buf, kept, &num) == 0)
			return true;
	return false;
}

bool
migrate_put(struct migrate *m, const struct old_key *at, enum conf_key key,
    const char *fmt, ...)
{
	char text[MIGRATE_TEXT];
	va_list ap;
	int n;

	if (m->given[key])
		return false;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n <= 0 || (size_t)n >= sizeof(text) || !is_ours(key, text)) {
		migrate_say(m, at, "not taken over as %s, which is %s: give "
		    "it by hand", key_info[key].name,
		    value_expected(key).text);
		return false;
	}
	memcpy(m->value[key], text, sizeof(text));
	m->given[key] = true;
	return true;
}

void
migrate_hint(struct migrate *m, const char *key, const char *value,
    const char *why)
{
	bool shown = value != NULL && strlen(value) < MIGRATE_TEXT &&
	    value[strspn(value, listed)] == '\0';

	fprintf(m->hints, "# %s = %s\n#   %s\n", key, shown ? value : "...",
	    why);
}

void
migrate_listen_tls(struct migrate *m, const struct old_key *cert,
    const struct old_key *key, const struct old_key *ca)
{
	bool whole = cert != NULL && key != NULL && migrate_put(m, cert,
	    KEY_common_tls_cert, "%s", cert->value) && migrate_put(m, key,
	    KEY_common_tls_key, "%s", key->value);

	if (whole && ca != NULL)
		(void)migrate_put(m, ca, KEY_common_tls_ca, "%s", ca->value);
	if (whole) {
		(void)migrate_put(m, cert, KEY_common_tls_listen, "yes");
		return;
	}
	migrate_hint(m, "common.tls_cert", NULL, "the old one listened with "
	    "TLS: its certificate");
	migrate_hint(m, "common.tls_key", NULL, "and its key, without a "
	    "passphrase");
	migrate_hint(m, "common.tls_listen", "yes", "with both");
}

void
migrate_listen(struct migrate *m, const struct old_key *at, enum conf_key key,
    const char *host, const char *port, bool secured)
{
	struct migrate_addr open = migrate_addr(host, port);
	struct hostport hp;
	bool near = hostport_parse(open.text, strlen(open.text), &hp) == 0 &&
	    hostport_is_loopback(&hp);

	if (near || !secured) {
		if (migrate_put(m, at, key, "%s", open.text) && !near &&
		    !m->given[KEY_common_tls_listen])
			(void)migrate_put(m, at, KEY_common_insecure_listen,
			    "yes");
		return;
	}
	if (!migrate_put(m, at, key, "%s", migrate_addr("127.0.0.1",
	    port).text))
		return;
	migrate_hint(m, key_info[key].name, open.text, "once the above is "
	    "set: the old one asked for TLS or a key, and without them this "
	    "listens on loopback alone");
}

/* ---- options and plugins ---- */

static bool
is_secret(const char *key)
{
	static const char *const word[] = { "passw", "shared_key", "token",
	    "secret", "authorization", "api_key", "http_user", "username",
	    "passphrase" };
	size_t i;

	if (strcmp(key, "empty_shared_key") == 0)
		return false;
	for (i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		if (strcasestr(key, word[i]) != NULL)
			return true;
	return false;
}

static void
one_option(struct migrate *m, const struct old_place *place,
    const struct old_key *k)
{
	struct old_option o = old_option_find(place, k->name, k->value);
	char buf[64];
	const char *near;

	if (is_secret(k->name)) {
		migrate_say(m, k, "not printed: a secret belongs into the "
		    "environment or a file");
		return;
	}
	if (!place->fluentd && strstr(k->value, ":-") != NULL &&
	    strstr(k->value, "${") != NULL)
		migrate_say(m, k, "${VAR:-default} is the shell's: Fluent "
		    "Bit found no such variable; emplogd knows it");
	if (o.text != NULL)
		migrate_say(m, k, "%s", o.text);
	if (o.known || !old_place_is_whole(place))
		return;
	near = old_option_near(place, k->name, buf, sizeof(buf));
	if (near != NULL)
		migrate_say(m, k, "there is no such option; did you mean "
		    "'%s'? It did nothing, or kept the old one from starting",
		    near);
	else
		migrate_say(m, k, "an option that emplogd does not know: not "
		    "taken over");
}

void
migrate_options(struct migrate *m, const struct old_section *s,
    const char *plugin)
{
	struct old_place place = { s->fluentd, s->name, plugin };
	const struct old_key *k;

	for (k = s->keys; k != NULL; k = k->next)
		one_option(m, &place, k);
}

bool
migrate_plugin_known(struct migrate *m, const struct old_section *s)
{
	struct old_key at = migrate_at(s);
	struct old_place place = { s->fluentd, s->name, migrate_plugin(s) };
	struct old_plugin p = old_plugin_find(&place);

	if (*place.plugin == '\0')
		migrate_say(m, &at, "says no plugin: it did nothing, or kept "
		    "the old one from starting");
	else if (!p.known)
		migrate_say(m, &at, "a plugin that emplogd does not know: "
		    "nothing of it is taken over");
	else if (p.text != NULL)
		migrate_say(m, &at, "%s", p.text);
	return p.known;
}

/* ---- backends and fields ---- */

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), len = strlen(end);

	while (n > 0 && s[n - 1] == '/')
		n--;
	return n >= len && strncmp(s + n - len, end, len) == 0;
}

void
migrate_endpoint(struct migrate *m, const struct old_key *at, const char *url,
    bool otlp)
{
	struct url_host host;
	size_t n = url_base_len(url);

	if (strpbrk(url, "@?") != NULL) {
		migrate_say(m, at, "may hold a secret and is not printed: set "
		    "exporter.endpoint");
		return;
	}
	if (otlp && ends_with(url, "/logs/json"))
		migrate_say(m, at, "/logs/json takes plain JSON, and OTLP was "
		    "sent there: nothing arrived; emplogd sends to /v1/logs");
	if (!otlp && (ends_with(url, "/v1/logs") ||
	    ends_with(url, "/v1/traces") || ends_with(url, "/v1/metrics")))
		migrate_say(m, at, "takes OTLP, and plain JSON was sent "
		    "there: it was refused; emplogd sends OTLP");
	if (!otlp && ends_with(url, "/logs/json"))
		migrate_say(m, at, "emplogd sends OTLP to /v1/logs of the "
		    "same host");
	if (url_host(url, &host) && host.port == 4317)
		migrate_say(m, at, "4317 is gRPC's port; OTLP over HTTP is at "
		    "4318");
	if (url_host(url, &host) && url_is_under(&host, "dash0.com") &&
	    strncmp(host.name, "api.", 4) == 0)
		migrate_say(m, at, "is Dash0's query host; records go to its "
		    "ingress host");
	if (m->given[KEY_exporter_endpoint])
		migrate_say(m, at, "a second backend: emplogd has one; run a "
		    "second exporter, or have the backend hand on");
	else if (migrate_is_plain(url))
		(void)migrate_put(m, at, KEY_exporter_endpoint, "%.*s",
		    (int)n, url);
	else
		migrate_say(m, at, "not taken over: set exporter.endpoint");
}

void
migrate_headers(struct migrate *m, const struct old_key *at)
{
	const char *p = strcasestr(at->value, "dash0-dataset"), *end;
	char name[256];

	if (at->name[0] != '\0' && strcasestr(at->value, "authorization") &&
	    strcmp(at->name, "headers") == 0)
		migrate_say(m, at, "the token is not printed: put it into a "
		    "file and name that in exporter.token_file, or set "
		    "DASH0_AUTH_TOKEN");
	if (p == NULL)
		return;
	p += strlen("dash0-dataset");
	p += strspn(p, "\": =>");
	end = p + strcspn(p, "\",} ");
	if (*p == '$' && strchr(p, '}') != NULL)
		end = strchr(p, '}') + 1;
	if (end == p || (size_t)(end - p) >= sizeof(name))
		return;
	snprintf(name, sizeof(name), "%.*s", (int)(end - p), p);
	if (migrate_is_plain(name))
		(void)migrate_put(m, at, KEY_exporter_dataset, "%s", name);
	else
		migrate_say(m, at, "the dataset is not taken over: set "
		    "exporter.dataset");
}

void
migrate_field(struct migrate *m, const struct old_key *at, const char *field,
    const char *value)
{
	static const struct { const char *name; enum conf_key key; } ours[] = {
		{ "deployment_env", KEY_agent_deployment },
		{ "deployment.environment", KEY_agent_deployment },
		{ "deployment.environment.name", KEY_agent_deployment },
		{ "environment", KEY_agent_deployment },
		{ "region", KEY_agent_region },
		{ "cloud.region", KEY_agent_region },
		{ "machine_id", KEY_agent_machine_id },
		{ "machine.id", KEY_agent_machine_id },
	};
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcasecmp(ours[i].name, field) == 0)
			break;
	if (i == sizeof(ours) / sizeof(ours[0]))
		migrate_say(m, at, "sets '%s', which emplogd does not: let "
		    "the worker say it", tell_shown(field).text);
	else if (m->roles != 0 && (m->roles & ROLE_AGENT) == 0)
		migrate_say(m, at, "sets '%s': the agent does, with %s",
		    tell_shown(field).text, key_info[ours[i].key].name);
	else if (migrate_is_plain(value))
		(void)migrate_put(m, at, ours[i].key, "%s", value);
	else
		migrate_say(m, at, "not taken over: set %s",
		    key_info[ours[i].key].name);
}

/* ---- the whole ---- */

static int
walk(struct migrate *m)
{
	const struct old_section *s;

	for (s = m->old.sections; s != NULL; s = s->next) {
		m->bit |= !s->fluentd;
		m->fluentd |= s->fluentd;
	}
	if (!m->bit && !m->fluentd) {
		fputs("emplogd migrate: no section in it: a fluent-bit.conf, "
		    "classic or YAML, or a fluentd.conf was expected\n",
		    m->old.err);
		return -EINVAL;
	}
	if (m->bit)
		migrate_bit(m);
	if (m->fluentd)
		migrate_fluentd(m);
	migrate_tails(m);
	migrate_complete(m);
	return m->error;
}

static int
read_all(struct migrate *m, const char *const *paths, unsigned n)
{
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < n; i++)
		r = old_conf_read(&m->old, paths[i]);
	return r == 0 ? old_conf_finish(&m->old) : r;
}

int
migrate_files(const char *const *paths, unsigned n,
    const struct old_files *files, FILE *out, FILE *err)
{
	struct migrate *m = calloc(1, sizeof(*m));
	char *said = NULL, *hints = NULL;
	size_t said_n = 0, hints_n = 0;
	int r = -ENOMEM;

	if (m == NULL)
		return r;
	old_conf_init(&m->old, files, err);
	m->old.said = said_by_reader;
	m->old.arg = m;
	m->said = open_memstream(&said, &said_n);
	m->hints = open_memstream(&hints, &hints_n);
	if (m->said != NULL && m->hints != NULL) {
		r = read_all(m, paths, n);
		if (r == 0)
			r = walk(m);
	}
	if (m->said != NULL && fclose(m->said) != 0 && r == 0)
		r = -ENOMEM;
	if (m->hints != NULL && fclose(m->hints) != 0 && r == 0)
		r = -ENOMEM;
	if (r == 0)
		migrate_print(m, hints, out);
	if (r == 0 && said_n > 0)
		fprintf(out, "\n# Of the old files:\n%s", said);
	old_conf_fini(&m->old);
	free(said);
	free(hints);
	free(m);
	return r;
}

int
admin_migrate(int argc, char **argv, struct admin *a)
{
	int r;

	if (argc < 2)
		return admin_usage(a, "migrate", "a file is missing");
	r = migrate_files((const char *const *)argv + 1, (unsigned)argc - 1,
	    NULL, a->out, a->err);
	return r == 0 ? 0 : r == -ENOMEM ? 1 : EXIT_CONFIG;
}
