/* SPDX-License-Identifier: ISC */
/* foreign.c - what other programs' variables say; the table is foreign.def */

#include "config/foreign.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/vars.h"
#include "config/read.h"
#include "config/url.h"
#include "banned.h"

#define KEY_NONE	KEY_COUNT
#define TEXT_MAX	8192u		/* of one foreign value */

const struct foreign_info foreign_info[] = {
#define FOREIGN(name, how, key, text) \
	{ #name, FOREIGN_##how, KEY_##key, text },
#include "config/foreign.def"
#undef FOREIGN
	{ 0 },
};

/*
 * A worker's environment is not written for us: what no role of this process
 * reads is not looked at, and cannot be a fault.
 */
static bool
is_read(const struct reading *rd, enum conf_key key)
{
	const char *section = key_info[key].section;
	unsigned roles = rd->conf->roles;

	if (roles == 0 || strcmp(section, "common") == 0)
		return true;
	return (roles & (strcmp(section, "agent") == 0 ? ROLE_AGENT :
	    ROLE_RELAY | ROLE_EXPORTER)) != 0;
}

/* Nobody stronger, and no row above, gave the key a value. */
static bool
is_free(const struct reading *rd, enum conf_key key)
{
	return is_read(rd, key) &&
	    rd->conf->value[key].from == FROM_DEFAULT;
}

static void
give(struct reading *rd, enum conf_key key, const char *name,
    const char *text)
{
	if (is_free(rd, key))
		reading_take(rd, key, FROM_FOREIGN, name, 0, text);
}

static void
take_copy(struct reading *rd, const struct foreign_info *f, const char *value)
{
	give(rd, f->key, f->name, value);
}

/* PM2 set-ups say MACHINE_ID=unknown; the host's name is better. */
static void
take_id(struct reading *rd, const struct foreign_info *f, const char *value)
{
	if (strcmp(value, "unknown") != 0)
		give(rd, f->key, f->name, value);
}

static void
take_railway(struct reading *rd, const struct foreign_info *f,
    const char *value)
{
	char text[300];

	snprintf(text, sizeof(text), "railway-%s", value);
	give(rd, f->key, f->name, text);
}

static void
take_port(struct reading *rd, const struct foreign_info *f, const char *value)
{
	char text[64];

	snprintf(text, sizeof(text), "[::]:%s", value);
	give(rd, f->key, f->name, text);
}

static void
take_relay(struct reading *rd, const struct foreign_info *f,
    const char *value)
{
	const char *port = vars_get(rd->src->env, "FLUENTD_PORT");
	const char *secure = vars_get(rd->src->env, "FLUENTD_SECURE");
	bool yes = false;
	char text[400];

	if (!is_free(rd, f->key))
		return;
	if (secure != NULL && *secure != '\0' &&
	    value_bool(secure, &yes) < 0) {
		tell_fault(&rd->t, "FLUENTD_SECURE: '%s' is not yes or no",
		    tell_shown(secure).text);
		return;
	}
	snprintf(text, sizeof(text), strchr(value, ':') != NULL &&
	    value[0] != '[' ? "%s[%s]:%s" : "%s%s:%s", yes ? "tls://" : "",
	    value, port == NULL || *port == '\0' ? "24224" : port);
	give(rd, f->key, f->name, text);
}

static void
take_base(struct reading *rd, const struct foreign_info *f, const char *value)
{
	/* conf_check() leaves the path of a signal off, whoever gave it. */
	give(rd, f->key, f->name, value);
}

static void
take_level(struct reading *rd, const struct foreign_info *f,
    const char *value)
{
	static const struct { const char *theirs, *ours; } level[] = {
		{ "fatal", "error" }, { "error", "error" },
		{ "warn", "warning" }, { "warning", "warning" },
		{ "info", "info" }, { "http", "debug" },
		{ "verbose", "debug" }, { "debug", "debug" },
		{ "silly", "debug" }, { "trace", "debug" },
	};
	size_t i;

	for (i = 0; i < sizeof(level) / sizeof(level[0]); i++)
		if (strcasecmp(level[i].theirs, value) == 0) {
			give(rd, f->key, f->name, level[i].ours);
			return;
		}
	tell_remark(&rd->t, "%s: '%s' is no level known here and is ignored",
	    f->name, tell_shown(value).text);
}

static void
take_header(struct reading *rd, const struct foreign_info *f,
    const char *name, const char *value, char *rest, size_t cap)
{
	size_t n = strlen(rest);
	int len = 0;

	if (strcasecmp(name, "authorization") == 0 &&
	    strncasecmp(value, "bearer ", 7) == 0)
		give(rd, KEY_exporter_token, f->name, value + 7);
	else if (strcasecmp(name, "dash0-dataset") == 0)
		give(rd, KEY_exporter_dataset, f->name, value);
	else
		len = snprintf(rest + n, cap - n, "%s%s=%s",
		    n > 0 ? "," : "", name, value);
	if (len < 0 || (size_t)len >= cap - n)
		tell_fault(&rd->t, "%s: the value is longer than %zu bytes",
		    f->name, cap - 1);
}

static void
take_headers(struct reading *rd, const struct foreign_info *f,
    const char *value)
{
	char rest[TEXT_MAX] = "", pair[TEXT_MAX];
	const char *item;
	char *eq;
	size_t n;

	while (list_next(&value, &item, &n)) {
		url_decode(item, n, pair, sizeof(pair));
		eq = strchr(pair, '=');
		if (eq == NULL || eq == pair) {
			tell_remark(&rd->t, "%s: an item that is not "
			    "name=value is ignored", f->name);
			continue;
		}
		*eq = '\0';
		take_header(rd, f, pair, eq + 1, rest, sizeof(rest));
	}
	if (rest[0] != '\0')
		give(rd, f->key, f->name, rest);
	explicit_bzero(pair, sizeof(pair));
}

static void
take_resource(struct reading *rd, const struct foreign_info *f,
    const char *value)
{
	char pair[TEXT_MAX];
	const char *item;
	char *eq;
	size_t n;

	while (list_next(&value, &item, &n)) {
		url_decode(item, n, pair, sizeof(pair));
		eq = strchr(pair, '=');
		if (eq == NULL)
			continue;
		*eq = '\0';
		if (strcmp(pair, "deployment.environment.name") == 0 ||
		    strcmp(pair, "deployment.environment") == 0)
			give(rd, KEY_agent_deployment, f->name, eq + 1);
		else if (strcmp(pair, "cloud.region") == 0)
			give(rd, KEY_agent_region, f->name, eq + 1);
	}
}

static void
take_protocol(struct reading *rd, const struct foreign_info *f,
    const char *value)
{
	if (rd->conf->value[f->key].from != FROM_FOREIGN ||
	    strcmp(value, "http/protobuf") == 0)
		return;
	tell_remark(&rd->t, "%s: '%s' is not spoken here: OTLP goes out as "
	    "http/protobuf, to port 4318 where a collector listens",
	    f->name, tell_shown(value).text);
}

static void
take_unused(struct reading *rd, const struct foreign_info *f,
    const char *value)
{
	tell_remark(&rd->t, "%s: %s", f->name, f->text);
}

static bool
is_set(const struct reading *rd, const char *name)
{
	const char *value = vars_get(rd->src->env, name);

	return value != NULL && *value != '\0';
}

void
foreign_take(struct reading *rd)
{
	static void (*const take[])(struct reading *rd,
	    const struct foreign_info *f, const char *value) = {
		[FOREIGN_COPY] = take_copy, [FOREIGN_ID] = take_id,
		[FOREIGN_RAILWAY] = take_railway, [FOREIGN_PORT] = take_port,
		[FOREIGN_RELAY] = take_relay, [FOREIGN_BASE] = take_base,
		[FOREIGN_HEADERS] = take_headers,
		[FOREIGN_RESOURCE] = take_resource,
		[FOREIGN_LEVEL] = take_level, [FOREIGN_WITH] = NULL,
		[FOREIGN_PROTOCOL] = take_protocol,
		[FOREIGN_UNUSED] = take_unused, [FOREIGN_PRODUCER] = NULL,
	};
	const struct foreign_info *f;
	const char *value;

	for (f = foreign_info; f->name != NULL; f++) {
		value = vars_get(rd->src->env, f->name);
		if (value != NULL && *value != '\0' && take[f->how] != NULL)
			take[f->how](rd, f, value);
	}
	rd->conf->no_volume = is_set(rd, "RAILWAY_ENVIRONMENT_NAME") &&
	    !is_set(rd, "RAILWAY_VOLUME_MOUNT_PATH");
}
