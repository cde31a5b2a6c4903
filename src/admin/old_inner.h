/* SPDX-License-Identifier: ISC */
/*
 * old_inner.h - what the readers of old configurations share
 *
 * What:     old_conf.c owns the tree and the files; old_lines.c reads classic
 *           lines, old_yaml.c the YAML of Fluent Bit, both one file at a time.
 */
#ifndef EMPLOG_ADMIN_OLD_INNER_H
#define EMPLOG_ADMIN_OLD_INNER_H

#include "admin/old_conf.h"

struct old_file {
	struct old_conf	*c;
	const char	*path;		/* lives as long as the tree */
	unsigned	 line, depth;
	struct old_section *inside;	/* it is included there, or NULL */
};

/* One line on err; returns error. */
int	 old_fault(const struct old_file *f, int error, const char *why);
/* Both add behind what is there; parent NULL: to the top.  -errno, told. */
int	 old_add_section(struct old_file *f, struct old_section *parent,
	    bool fluentd, const char *name, const char *arg,
	    struct old_section **ret_s);
int	 old_add_key(struct old_file *f, struct old_section *s,
	    const char *name, const char *value);
int	 old_add_set(struct old_file *f, const char *name, const char *value);
void	 old_said(const struct old_file *f, const char *name,
	    const char *text);
/*
 * An include: a name or a pattern, beside the file that names it; its keys
 * belong to inside, which may be NULL.
 */
int	 old_include(struct old_file *f, struct old_section *inside,
	    const char *name);

/* text ends with NUL and is changed. */
int	 old_lines_read(struct old_file *f, char *text);
bool	 old_is_yaml(const char *path, const char *text);
int	 old_yaml_read(struct old_file *f, char *text);

#endif
