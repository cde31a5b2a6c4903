/* SPDX-License-Identifier: ISC */
/* old_lore.c - finding in the tables of old_lore.def; see old_lore.h */

#include "admin/old_lore.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/keys.h"
#include "banned.h"

#define BIT	false
#define FLUENTD	true
#define NEAR	2u			/* edits; more is another word */

struct option {
	bool		 fluentd;
	const char	*section, *plugin;	/* "*": any */
	const char	*keys;			/* separated by blanks */
	const char	*value;			/* how it begins */
	const char	*text;
};

/* The first row that fits is taken: special ones stand above. */
static const struct option options[] = {
#define OPTION(which, section, plugin, keys, value, text) \
	{ which, section, plugin, keys, value, text },
#define PLUGIN(which, section, names, text)
#define WHOLE(which, section, plugins)
#include "admin/old_lore.def"
#undef OPTION
#undef PLUGIN
#undef WHOLE
};

struct plugin {
	bool		 fluentd;
	const char	*section, *names, *text;
};

static const struct plugin plugins[] = {
#define OPTION(which, section, plugin, keys, value, text)
#define PLUGIN(which, section, names, text) { which, section, names, text },
#define WHOLE(which, section, plugins)
#include "admin/old_lore.def"
#undef OPTION
#undef PLUGIN
#undef WHOLE
};

static const struct plugin wholes[] = {
#define OPTION(which, section, plugin, keys, value, text)
#define PLUGIN(which, section, names, text)
#define WHOLE(which, section, plugins) { which, section, plugins, NULL },
#include "admin/old_lore.def"
#undef OPTION
#undef PLUGIN
#undef WHOLE
};

#define COUNT(table)	(sizeof(table) / sizeof((table)[0]))

/* The next of words that are separated by blanks. */
static bool
word_next(const char **at, const char **ret_word, size_t *ret_n)
{
	*at += strspn(*at, " ");
	*ret_word = *at;
	*ret_n = strcspn(*at, " ");
	*at += *ret_n;
	return *ret_n > 0;
}

/* "storage.*" stands for all that begin so. */
static bool
is_one_of(const char *words, const char *name)
{
	const char *w;
	size_t n, len = strlen(name);

	while (word_next(&words, &w, &n)) {
		if (n == len && strncasecmp(w, name, n) == 0)
			return true;
		if (w[n - 1] == '*' && strncasecmp(w, name, n - 1) == 0)
			return true;
	}
	return false;
}

static bool
is_there(const struct option *o, const struct old_place *at)
{
	return o->fluentd == at->fluentd &&
	    strcmp(o->section, at->section) == 0 &&
	    is_one_of(o->plugin, at->plugin);
}

struct old_option
old_option_find(const struct old_place *at, const char *key, const char *value)
{
	struct old_option found = { false, NULL };
	const struct option *o;
	size_t i;

	for (i = 0; i < COUNT(options); i++) {
		o = &options[i];
		if (!is_there(o, at) || !is_one_of(o->keys, key))
			continue;
		found.known = true;
		if (strncasecmp(o->value, value, strlen(o->value)) == 0) {
			found.text = o->text;
			break;
		}
	}
	return found;
}

bool
old_place_is_whole(const struct old_place *at)
{
	size_t i;

	for (i = 0; i < COUNT(wholes); i++)
		if (wholes[i].fluentd == at->fluentd &&
		    strcmp(wholes[i].section, at->section) == 0 &&
		    is_one_of(wholes[i].names, at->plugin))
			return true;
	return false;
}

const char *
old_option_near(const struct old_place *at, const char *key, char *buf,
    size_t cap)
{
	unsigned edits, best = NEAR + 1;
	const char *words, *w;
	char word[64];
	size_t i, n;

	for (i = 0; i < COUNT(options); i++) {
		if (!is_there(&options[i], at))
			continue;
		for (words = options[i].keys; word_next(&words, &w, &n);) {
			if (n >= sizeof(word))
				continue;
			memcpy(word, w, n);
			word[n] = '\0';
			edits = word_edits(word, key);
			/* Of short words too many are alike. */
			if (edits < best && edits * 3 < n) {
				best = edits;
				snprintf(buf, cap, "%s", word);
			}
		}
	}
	return best <= NEAR ? buf : NULL;
}

struct old_plugin
old_plugin_find(const struct old_place *at)
{
	struct old_plugin found = { false, NULL };
	size_t i;

	for (i = 0; i < COUNT(plugins) && !found.known; i++)
		if (plugins[i].fluentd == at->fluentd &&
		    strcmp(plugins[i].section, at->section) == 0 &&
		    is_one_of(plugins[i].names, at->plugin))
			found = (struct old_plugin){ true, plugins[i].text };
	return found;
}
