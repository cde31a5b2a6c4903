/* SPDX-License-Identifier: ISC */
/*
 * keys.h - the table of keys.def at run time, and the key somebody meant
 */
#ifndef EMPLOG_KEYS_H
#define EMPLOG_KEYS_H

#include "config/config.h"

#define KEY_NAME_MAX	48		/* of "section.key", of a variable */
#define KEY_ENV_PREFIX	"EMPLOGD_"

struct key_info {
	const char	*section;
	const char	*key;
	const char	*name;		/* "section.key" */
	enum conf_type	 type;
	const char	*def;
	const char	*least;		/* of an enum: its words */
	const char	*most;
	const char	*brief;
	const char	*text;
};

extern const struct key_info key_info[KEY_COUNT];

/* KEY_COUNT: there is none. */
enum conf_key key_find(const char *section, const char *key);
enum conf_key key_find_name(const char *name);
/* Of "EMPLOGD_AGENT_RELAY". */
enum conf_key key_find_env(const char *variable);
bool	 key_is_section(const char *section);

/* "EMPLOGD_AGENT_RELAY" */
struct key_env { char name[KEY_NAME_MAX + sizeof(KEY_ENV_PREFIX)]; };
struct key_env key_env(enum conf_key key);

/*
 * Edits from a to b: a letter put in, left out, changed, or two neighbours
 * swapped.  Many when b is longer than a key may be.
 */
unsigned word_edits(const char *a, const char *b);
/*
 * The key, or section, most like name; NULL when none is like it.  A known
 * key in the wrong section is near.
 */
const char *key_nearest(const char *name);
const char *key_nearest_section(const char *section);
/* The variable most like this one; KEY_COUNT when none is like it. */
enum conf_key key_nearest_env(const char *variable);

/* "size", "time", … for people. */
const char *key_type_name(enum conf_type type);

#endif
