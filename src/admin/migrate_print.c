/* SPDX-License-Identifier: ISC */
/* migrate_print.c - what emplogd migrate prints of our keys; see migrate.h */

#include <string.h>

#include "admin/migrate.h"
#include "config/keys.h"
#include "banned.h"

static const char *
note_of(enum conf_key key)
{
	switch (key) {
	case KEY_agent_http_listen:
		return "# workers are on this host\n";
	case KEY_common_insecure_listen:
		return "# the old one listened to everybody, without TLS or "
		    "key, and so does this\n";
	case KEY_agent_relay:
		return "# the relay in the old receiver's place\n";
	default:
		return "";
	}
}

/* What a start makes of it where no variable is set: ${NAME:-default}. */
static void
with_defaults(const char *value, char ret[MIGRATE_TEXT])
{
	const char *p = value, *mid, *end;
	size_t n = 0;

	while (*p != '\0' && n < MIGRATE_TEXT - 1) {
		end = strncmp(p, "${", 2) == 0 ? strchr(p, '}') : NULL;
		mid = end == NULL ? NULL : strstr(p, ":-");
		if (mid == NULL || mid > end) {
			ret[n++] = *p++;
			continue;
		}
		for (p = mid + 2; p < end && n < MIGRATE_TEXT - 1;)
			ret[n++] = *p++;
		p = end + 1;
	}
	ret[n] = '\0';
}

static bool
same_port(const char *a, const char *b)
{
	char x[MIGRATE_TEXT], y[MIGRATE_TEXT];
	const char *at, *to;

	with_defaults(a, x);
	with_defaults(b, y);
	at = strrchr(x, ':');
	to = strrchr(y, ':');
	return at != NULL && to != NULL && strcmp(at, to) == 0;
}

/* One port is not taken twice, as it was on two hosts. */
static void
apart(struct migrate *m)
{
	static const enum conf_key keys[] = { KEY_agent_http_listen,
	    KEY_relay_listen, KEY_relay_http_listen };
	const char *a, *b;
	size_t i, j;

	for (i = (m->roles & ROLE_AGENT) ? 0 : 1; i < 3; i++)
		for (j = i + 1; j < 3; j++) {
			a = m->value[keys[i]];
			b = m->value[keys[j]];
			if (*a == '\0' || *b == '\0' || !same_port(a, b))
				continue;
			fprintf(m->hints, "# %s and %s had the same port: "
			    "%s is left out; on two hosts give each its "
			    "own file\n", key_info[keys[i]].name,
			    key_info[keys[j]].name, b);
			m->value[keys[j]][0] = '\0';
		}
}

/* What is not said has a default; a relay that listens nowhere is none. */
/* One half of a certificate is of no use, and a fault. */
static void
no_half_certificate(struct migrate *m)
{
	enum conf_key one = m->given[KEY_common_tls_cert] ?
	    KEY_common_tls_cert : KEY_common_tls_key;

	if (m->given[KEY_common_tls_cert] == m->given[KEY_common_tls_key])
		return;
	m->given[one] = false;
	migrate_hint(m, key_info[one].name, m->value[one], "with its other "
	    "half: common.tls_cert and common.tls_key go together");
}

void
migrate_complete(struct migrate *m)
{
	no_half_certificate(m);
	if (m->roles == 0)
		m->roles = ROLE_AGENT;
	if ((m->roles & ROLE_AGENT) && !m->given[KEY_agent_http_listen])
		snprintf(m->value[KEY_agent_http_listen], MIGRATE_TEXT,
		    "127.0.0.1:9880");
	if (m->roles & ROLE_RELAY) {
		if (!m->given[KEY_relay_listen] &&
		    !m->given[KEY_relay_http_listen])
			snprintf(m->value[KEY_relay_listen], MIGRATE_TEXT,
			    "127.0.0.1:24224");
		m->given[KEY_relay_listen] = true;
		m->given[KEY_relay_http_listen] = true;
		apart(m);
	}
}

static void
print_section(const struct migrate *m, const char *section, FILE *out)
{
	size_t k;

	for (k = 0; k < KEY_COUNT; k++)
		if (m->given[k] && strcmp(key_info[k].section, section) == 0)
			fprintf(out, "%s%s = %s\n",
			    note_of((enum conf_key)k), key_info[k].key,
			    m->value[k]);
}

/* Names of variables without a default: a start wants them. */
static void
print_variables(const struct migrate *m, FILE *out)
{
	const char *p, *end;
	bool any = false;
	size_t k;

	for (k = 0; k < KEY_COUNT; k++)
		for (p = strstr(m->value[k], "${"); p != NULL;
		    p = strstr(end, "${")) {
			end = strchr(p, '}');
			if (memchr(p, ':', (size_t)(end - p)) != NULL)
				continue;
			fprintf(out, "%s %.*s", any ? "," :
			    "# must be set in its environment:",
			    (int)(end - p - 2), p + 2);
			any = true;
		}
	if (any)
		fputc('\n', out);
}

void
migrate_print(const struct migrate *m, const char *hints, FILE *out)
{
	bool relay = (m->roles & ROLE_RELAY) != 0;

	fprintf(out, "# made by emplogd migrate\n");
	print_variables(m, out);
	fprintf(out, "\n[common]\nrole = %s\n", !relay ? "agent" :
	    m->roles & ROLE_AGENT ? "agent, relay" : "relay");
	print_section(m, "common", out);
	fputs(hints, out);
	if (m->roles & ROLE_AGENT) {
		fputs("\n[agent]\n", out);
		print_section(m, "agent", out);
	}
	if (!relay)
		return;
	fputs("\n[relay]\n", out);
	print_section(m, "relay", out);
	if (m->given[KEY_relay_next])
		return;
	fputs("\n[exporter]\n", out);
	print_section(m, "exporter", out);
	fputs("# the token: exporter.token_file or DASH0_AUTH_TOKEN\n", out);
}
