/* SPDX-License-Identifier: ISC */
/*
 * old_conf.h - lines of a fluent-bit.conf or fluentd.conf, whatever is in it
 *
 * What:     tells the two by their lines ("[INPUT]", "<source>"), follows
 *           @INCLUDE, and gives sections and keys in order.
 * Used by:  migrate.c.
 * Never:    follows more than OLD_DEPTH_MAX includes, or takes a file over
 *           OLD_FILE_MAX, a line over OLD_LINE_MAX, NUL or bad UTF-8.
 */
#ifndef EMPLOG_ADMIN_OLD_CONF_H
#define EMPLOG_ADMIN_OLD_CONF_H

#include <stdbool.h>
#include <stdio.h>

#define OLD_DEPTH_MAX	4u
#define OLD_FILES_MAX	64u
#define OLD_FILE_MAX	(1u << 20)
#define OLD_LINE_MAX	4096u

enum old_kind { OLD_BEGIN, OLD_KEY, OLD_END };

struct old_line {
	enum old_kind	 kind;
	bool		 fluentd;
	const char	*file;
	unsigned	 line;
	const char	*key;		/* lower case; the section's at BEGIN */
	const char	*value;		/* of <match TAG> its tag */
};

struct old_reader {
	void		(*take)(void *arg, const struct old_line *line);
	void		*arg;
	FILE		*err;		/* faults, one line each */
	unsigned	 files;
};

/* 0, or -errno when a fault was told. */
int	 old_conf_read(struct old_reader *r, const char *path);

#endif
