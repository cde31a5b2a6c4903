/* SPDX-License-Identifier: ISC */
/*
 * old_conf.h - a fluent-bit.conf or fluentd.conf as a tree, whatever is in it
 *
 * What:     reads Fluent Bit's classic and YAML files and Fluentd's, told by
 *           their lines ("[INPUT]", "pipeline:", "<source>"), follows includes
 *           and fills in @SET variables.
 * Used by:  migrate.c and its parts.
 * Never:    takes more than the bounds below, NUL, bad UTF-8 or a file that
 *           is none; evaluates anything.
 *
 *   [OUTPUT]                 section "output"
 *       Name forward         key "name", value "forward"
 *
 *   <match worker.**>        section "match", arg "worker.**"
 *     @type copy             key "@type"
 *     <store>                a section inside
 *
 *   pipeline:                sections "output", as many as items; what is
 *     outputs:               below an item is a section inside
 *       - name: forward
 *
 * Names are lower case.  A value is without quotes and comment; of Fluentd's
 * Ruby "#{ENV['A'] || 'b'}" is given as ${A:-b}, the rest as it stands.
 */
#ifndef EMPLOG_ADMIN_OLD_CONF_H
#define EMPLOG_ADMIN_OLD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define OLD_DEPTH_MAX	4u		/* includes in each other */
#define OLD_FILES_MAX	64u
#define OLD_FILE_MAX	(1u << 20)
#define OLD_LINE_MAX	4096u		/* and a value, expanded */
#define OLD_NODES_MAX	8192u		/* sections and keys */
#define OLD_SETS_MAX	64u
#define OLD_NEST_MAX	16u		/* sections in each other */

struct old_key {
	struct old_key	*next;
	const char	*file, *name, *value;
	unsigned	 line;
};

struct old_section {
	struct old_section *next, *parent, *sections;
	struct old_key	*keys;
	const char	*file, *name, *arg;
	unsigned	 line;
	bool		 fluentd;
};

/* Where files are; the real ones unless a test has its own. */
struct old_files {
	/*
	 * Fills buf, at most cap bytes; 0, or -errno: -EFBIG, -EINVAL when it
	 * is no regular file, or what open says.
	 */
	int	 (*load)(void *arg, const char *path, char *buf, size_t cap,
		    size_t *ret_n);
	/* Calls each for what matches, in order, until it is not 0. */
	int	 (*match)(void *arg, const char *pattern, void *each_arg,
		    int (*each)(void *each_arg, const char *path));
	void	*arg;
};

struct old_arena;

struct old_conf {
	struct old_section *sections;	/* of all files, in order */
	struct old_section **end;
	struct old_key	*sets;		/* @SET name=value */
	struct old_arena *arena;
	const struct old_files *files;
	FILE		*err;		/* a fault, one line */
	/* What a reader passes over; key may be "". */
	void		(*said)(void *arg, const struct old_key *at,
			    const char *text);
	void		*arg;
	unsigned	 files_n, nodes, sets_n;
};

/* files may be NULL; err and said are borrowed until old_conf_fini(). */
void	 old_conf_init(struct old_conf *c, const struct old_files *files,
	    FILE *err);
/* Adds a file and what it includes.  0, or -errno when a fault was told. */
int	 old_conf_read(struct old_conf *c, const char *path);
/* Once all are read: fills in @SET variables.  As old_conf_read(). */
int	 old_conf_finish(struct old_conf *c);
void	 old_conf_fini(struct old_conf *c);

/* The first key of that name, its value; NULL: there is none. */
const struct old_key *old_key_find(const struct old_section *s,
	    const char *name);
const char *old_value(const struct old_section *s, const char *name);
/* path beside the file named from, unless it is absolute.  -ENAMETOOLONG. */
int	 old_path(const char *from, const char *path, char *buf, size_t cap);

#endif
