/* SPDX-License-Identifier: ISC */
/* keys.c - the table of keys and the nearest of them; see keys.h */

#include "config/keys.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "banned.h"

#define FAR	1000u
#define NEAR	3u			/* edits; more is another word */

const struct key_info key_info[KEY_COUNT] = {
#define KEY(section, key, type, def, least, most, brief, text) \
	[KEY_##section##_##key] = { #section, #key, #section "." #key, type, \
	    def, least, most, brief, text },
#include "config/keys.def"
#undef KEY
};

static const char *const sections[] = { "common", "agent", "relay",
    "exporter" };
#define SECTIONS	(sizeof(sections) / sizeof(sections[0]))

enum conf_key
key_find(const char *section, const char *key)
{
	unsigned k;

	for (k = 0; k < KEY_COUNT; k++)
		if (strcmp(key_info[k].section, section) == 0 &&
		    strcmp(key_info[k].key, key) == 0)
			break;
	return (enum conf_key)k;
}

enum conf_key
key_find_name(const char *name)
{
	unsigned k;

	for (k = 0; k < KEY_COUNT; k++)
		if (strcmp(key_info[k].name, name) == 0)
			break;
	return (enum conf_key)k;
}

struct key_env
key_env(enum conf_key key)
{
	struct key_env e;
	size_t i;

	must(key < KEY_COUNT);
	must(strlen(key_info[key].name) < KEY_NAME_MAX);
	snprintf(e.name, sizeof(e.name), KEY_ENV_PREFIX "%s",
	    key_info[key].name);
	for (i = 0; e.name[i] != '\0'; i++)
		e.name[i] = e.name[i] == '.' ? '_' :
		    (char)toupper((unsigned char)e.name[i]);
	return e;
}

enum conf_key
key_find_env(const char *variable)
{
	unsigned k;

	for (k = 0; k < KEY_COUNT; k++)
		if (strcmp(key_env((enum conf_key)k).name, variable) == 0)
			break;
	return (enum conf_key)k;
}

bool
key_is_section(const char *section)
{
	size_t i;

	for (i = 0; i < SECTIONS; i++)
		if (strcmp(sections[i], section) == 0)
			return true;
	return false;
}

static unsigned
least_of(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Three rows are enough; a name too long for them is far away. */
unsigned
word_edits(const char *a, const char *b)
{
	unsigned row[3][KEY_NAME_MAX + 16];
	unsigned *before = row[0], *above = row[1], *now = row[2], *spare;
	size_t i, j, n = strlen(b);

	if (n + 1 > sizeof(row[0]) / sizeof(row[0][0]))
		return FAR;
	for (j = 0; j <= n; j++)
		above[j] = (unsigned)j;
	for (i = 0; a[i] != '\0'; i++) {
		now[0] = (unsigned)i + 1;
		for (j = 0; j < n; j++) {
			now[j + 1] = least_of(above[j] + (a[i] != b[j]),
			    least_of(above[j + 1], now[j]) + 1);
			if (i > 0 && j > 0 && a[i] == b[j - 1] &&
			    a[i - 1] == b[j])
				now[j + 1] = least_of(now[j + 1],
				    before[j - 1] + 1);
		}
		spare = before;
		before = above;
		above = now;
		now = spare;
	}
	return above[n];
}

/* A wrong section costs as much as two letters. */
static unsigned
key_distance(const struct key_info *k, const char *name)
{
	const char *dot = strchr(name, '.');
	unsigned whole = word_edits(k->name, name);

	if (dot == NULL)
		return least_of(whole, word_edits(k->key, name) + 1);
	return least_of(whole, word_edits(k->key, dot + 1) + 2);
}

const char *
key_nearest(const char *name)
{
	unsigned k, d, best = NEAR + 1;
	const char *near = NULL;

	for (k = 0; k < KEY_COUNT; k++) {
		d = key_distance(&key_info[k], name);
		if (d < best && d < strlen(key_info[k].key)) {
			best = d;
			near = key_info[k].name;
		}
	}
	return near;
}

const char *
key_nearest_section(const char *section)
{
	unsigned d, best = NEAR + 1;
	const char *near = NULL;
	size_t i;

	for (i = 0; i < SECTIONS; i++) {
		d = word_edits(sections[i], section);
		if (d < best) {
			best = d;
			near = sections[i];
		}
	}
	return near;
}

enum conf_key
key_nearest_env(const char *variable)
{
	unsigned k, d, best = NEAR + 1;
	enum conf_key near = KEY_COUNT;

	for (k = 0; k < KEY_COUNT; k++) {
		d = word_edits(key_env((enum conf_key)k).name, variable);
		if (d < best) {
			best = d;
			near = (enum conf_key)k;
		}
	}
	return near;
}

const char *
key_type_name(enum conf_type type)
{
	static const char *const name[] = {
		[CONF_STR] = "text", [CONF_SIZE] = "size",
		[CONF_NUM] = "number", [CONF_MS] = "time",
		[CONF_BOOL] = "yes or no", [CONF_ENUM] = "word",
		[CONF_LIST] = "list", [CONF_HOSTPORT] = "host:port",
		[CONF_SECRET] = "secret", [CONF_PATH] = "path",
	};

	must(type <= CONF_PATH);
	return name[type];
}
