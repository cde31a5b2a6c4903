/* SPDX-License-Identifier: ISC */
/*
 * migrate_bit.h - what the two halves of Fluent Bit's walk share
 *
 * What:     migrate_bit.c looks at [SERVICE], inputs and filters,
 *           migrate_bit_out.c at outputs: where records went.
 */
#ifndef EMPLOG_ADMIN_MIGRATE_BIT_H
#define EMPLOG_ADMIN_MIGRATE_BIT_H

#include <string.h>
#include <strings.h>

#include "admin/migrate.h"

struct bit {
	struct migrate	*m;
	const struct old_section *service;	/* NULL: there is none */
	bool		 keeps;		/* an input has storage on disk */
	bool		 retags;	/* tags are not those of inputs */
	char		 to[MIGRATE_TEXT];	/* the first receiver */
};

static inline bool
bit_is(const struct old_section *s, const char *name)
{
	return strcmp(s->name, name) == 0;
}

static inline bool
bit_has_plugin(const struct old_section *s, const char *plugin)
{
	return strcasecmp(migrate_plugin(s), plugin) == 0;
}

static inline const char *
bit_value(const struct old_section *s, const char *name, const char *other)
{
	const char *v = old_value(s, name);

	return v != NULL ? v : other;
}

/* What only YAML has below a plugin: processors and the like. */
void	 bit_inner(struct migrate *m, const struct old_section *s);
/* Where the key of Forward belongs. */
void	 bit_shared_key(struct migrate *m, const struct old_section *s);
void	 bit_output(struct bit *b, const struct old_section *s);

#endif
