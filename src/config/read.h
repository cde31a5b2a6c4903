/* SPDX-License-Identifier: ISC */
/*
 * read.h - a configuration being read; what the files of src/config share
 *
 * What:     conf.c fills it source by source, foreign.c gives what other
 *           programs' variables say, check.c looks at keys together.
 */
#ifndef EMPLOG_CONFIG_READ_H
#define EMPLOG_CONFIG_READ_H

#include "config/config.h"
#include "config/keys.h"
#include "config/tell.h"
#include "config/types.h"

struct conf_text;			/* one string of a conf, chained */

struct reading {
	struct conf	*conf;
	const struct conf_source *src;
	struct teller	 t;
	int		 line_of[KEY_COUNT];	/* in the file; 0: not there */
	bool		 open_file;	/* everybody may read it */
	bool		 oom;
};

/* A copy that lives as long as the conf; "" and oom when there is no memory. */
char	*reading_copy(struct reading *rd, const char *text);

/* Where a value came from, for messages: "file:3", "--set", "PORT". */
struct place { char text[300]; };
struct place place_of(const struct conf_value *v);

/*
 * Checks text as a value of key, tells a fault, keeps it unless a stronger
 * source gave one.  where is copied.
 */
void	 reading_take(struct reading *rd, enum conf_key key,
	    enum conf_from from, const char *where, int line,
	    const char *text);

/* foreign.c: gives FROM_FOREIGN values to keys that have only a default. */
void	 foreign_take(struct reading *rd);
/* secret.c: what lies in files of its own. */
void	 secrets_find(struct reading *rd);
/* check.c: what one key alone cannot tell. */
void	 conf_check(struct reading *rd);

#endif
