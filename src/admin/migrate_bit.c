/* SPDX-License-Identifier: ISC */
/* migrate_bit.c - what stood in a fluent-bit.conf; see migrate.h */

#include <string.h>
#include <strings.h>

#include "admin/migrate_bit.h"
#include "banned.h"

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
	const struct old_key *k = old_key_find(s, "log_level");

	migrate_options(b->m, s, "");
	bit_inner(b->m, s);
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
	if (migrate_is_on(old_value(s, "tls")))
		migrate_listen_tls(m, old_key_find(s, "tls.crt_file"),
		    old_key_find(s, "tls.key_file"), NULL);
}

static void
input_http(struct bit *b, const struct old_section *s, struct old_key *at)
{
	if (b->m->given[KEY_agent_http_listen])
		migrate_say(b->m, at, "a second HTTP input: emplogd listens "
		    "at one address, and takes any path there");
	else
		(void)migrate_put(b->m, at, KEY_agent_http_listen,
		    "127.0.0.1:%s", migrate_is_plain(bit_value(s, "port",
		    "9880")) ? bit_value(s, "port", "9880") : "?");
	listen_tls(b->m, s);
}

static void
input_forward(struct bit *b, const struct old_section *s, struct old_key *at)
{
	bool secured;

	b->m->roles |= ROLE_RELAY;
	listen_tls(b->m, s);
	secured = old_value(s, "shared_key") != NULL ||
	    (migrate_is_on(old_value(s, "tls")) &&
	    !b->m->given[KEY_common_tls_listen]);
	bit_shared_key(b->m, s);
	if (b->m->given[KEY_relay_listen])
		migrate_say(b->m, at, "a second Forward input: emplogd "
		    "listens at one address");
	else
		migrate_listen(b->m, at, KEY_relay_listen, bit_value(s,
		    "listen", "0.0.0.0"), bit_value(s, "port", "24224"),
		    secured);
}

static void
input(struct bit *b, const struct old_section *s)
{
	struct old_key at = migrate_at(s);

	bit_inner(b->m, s);
	if (!migrate_plugin_known(b->m, s))
		return;
	migrate_options(b->m, s, migrate_plugin(s));
	if (bit_has_plugin(s, "forward")) {
		input_forward(b, s, &at);
	} else if (bit_has_plugin(s, "http")) {
		b->m->roles |= ROLE_AGENT;
		input_http(b, s, &at);
	} else if (bit_has_plugin(s, "opentelemetry")) {
		migrate_say(b->m, &at, "no equivalent: emplogd takes no OTLP; "
		    "send it to the backend");
		return;
	} else if (bit_has_plugin(s, "tail")) {
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
	if (!bit_has_plugin(s, "record_modifier") && !bit_has_plugin(s, "modify"))
		return;
	for (k = s->keys; k != NULL; k = k->next)
		filter_key(b->m, k, &conditions);
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
		if (!s->fluentd && bit_is(s, name))
			f(b, s);
}

static void
look(struct bit *b, const struct old_section *s)
{
	const char *type = old_value(s, "storage.type");

	if (bit_is(s, "service") && b->service == NULL)
		b->service = s;
	b->keeps |= type != NULL && strcasecmp(type, "filesystem") == 0;
	b->retags |= bit_has_plugin(s, "rewrite_tag");
}

void
migrate_bit(struct migrate *m)
{
	static const struct {
		const char *name;
		void (*f)(struct bit *b, const struct old_section *s);
	} part[] = { { "service", service }, { "input", input },
	    { "filter", filter }, { "output", bit_output } };
	struct bit b = { .m = m };
	const struct old_section *s;
	size_t i;

	for (s = m->old.sections; s != NULL; s = s->next)
		if (!s->fluentd)
			look(&b, s);
	for (i = 0; i < sizeof(part) / sizeof(part[0]); i++)
		each(&b, part[i].name, part[i].f);
	for (s = m->old.sections; s != NULL; s = s->next)
		if (!s->fluentd && !bit_is(s, "service") &&
		    !bit_is(s, "input") && !bit_is(s, "filter") &&
		    !bit_is(s, "output"))
			other(&b, s);
	if (!m->fluentd && m->format != NULL &&
	    strcasecmp(m->format->value, "json") == 0)
		migrate_say(m, m->format, "sent one JSON array a flush: a "
		    "receiver that expects lines could not parse it");
	/* Sections of outputs alone are of an agent. */
	if (m->roles == 0)
		m->roles = ROLE_AGENT;
}
