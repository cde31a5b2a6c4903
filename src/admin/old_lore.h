/* SPDX-License-Identifier: ISC */
/*
 * old_lore.h - what options and plugins of the old pipeline did, or did not
 *
 * What:     two tables, made to be added to: an option's row says what it
 *           becomes or what it cost; a plugin's row what stands for it.
 * Used by:  migrate.c.
 */
#ifndef EMPLOG_ADMIN_OLD_LORE_H
#define EMPLOG_ADMIN_OLD_LORE_H

#include <stdbool.h>
#include <stddef.h>

/* The place of an option: Fluent Bit's or Fluentd's, section, plugin. */
struct old_place {
	bool		 fluentd;
	const char	*section;	/* "input", "buffer" */
	const char	*plugin;	/* "http"; "" where there is none */
};

struct old_option {
	bool		 known;		/* there is such an option */
	const char	*text;		/* to be said; NULL: nothing is */
};

/* What is known of an option with that value. */
struct old_option old_option_find(const struct old_place *at,
	    const char *key, const char *value);
/* All options of that place are in the table: another one is a mistake. */
bool	 old_place_is_whole(const struct old_place *at);
/* The option of that place most like key, or NULL; lives for ever. */
const char *old_option_near(const struct old_place *at, const char *key,
	    char *buf, size_t cap);

struct old_plugin {
	bool		 known;
	const char	*text;		/* NULL: it is taken over */
};

struct old_plugin old_plugin_find(const struct old_place *at);

#endif
