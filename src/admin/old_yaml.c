/* SPDX-License-Identifier: ISC */
/*
 * old_yaml.c - the YAML of Fluent Bit's files, as far as they use it
 *
 * What:     block mappings and lists, plain and quoted scalars, lists of
 *           scalars in brackets on one line, text blocks.
 * Never:    guesses: an anchor, an alias, a tag, a mapping in braces or a
 *           tab in front is a fault that says what to write instead.
 *
 *   key: value          a key of the mapping it stands in
 *   key:                with a mapping below: a section inside
 *     - name: http      each item that is a mapping: a section of that name
 *     - text            each that is none: one more key of that name
 *
 * "inputs" becomes "input" and so on, as in a classic file; what stands
 * below "pipeline" stands at the top.
 */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/old_inner.h"
#include "banned.h"

struct level {			/* a mapping */
	size_t		 indent;
	struct old_section *s;	/* NULL: its keys are told elsewhere */
	bool		 env, pipeline, top;
	char		 list[64];	/* the key whose items are being read */
	size_t		 list_indent;
};

struct yaml {
	struct old_file	*f;
	char		*next;
	struct level	 level[OLD_NEST_MAX];
	unsigned	 nest;
	/* A key without a value: what is below it is not known yet. */
	char		 name[64];
	size_t		 name_indent;
	bool		 waits;
	size_t		 text_indent;	/* of a key with a text block */
	bool		 in_text;
};

bool
old_is_yaml(const char *path, const char *text)
{
	static const char *const head[] = { "service:", "pipeline:", "env:",
	    "includes:", "parsers:", "multiline_parsers:", "upstream_servers:",
	    "customs:", "plugins:", "---", "%YAML" };
	const char *dot = strrchr(path, '.'), *s = text;
	size_t i;

	if (dot != NULL && (strcasecmp(dot, ".yaml") == 0 ||
	    strcasecmp(dot, ".yml") == 0))
		return true;
	while (*s == '#' || isspace((unsigned char)*s))
		s += *s == '#' ? strcspn(s, "\n") : 1;
	for (i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		if (strncmp(s, head[i], strlen(head[i])) == 0)
			return true;
	return false;
}

static const char *
section_name(const char *name)
{
	static const char *const other[][2] = { { "inputs", "input" },
	    { "filters", "filter" }, { "outputs", "output" },
	    { "upstream_servers", "upstream" }, { "nodes", "node" },
	    { "parsers", "parser" }, { "customs", "custom" },
	    { "multiline_parsers", "multiline_parser" } };
	size_t i;

	for (i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		if (strcasecmp(name, other[i][0]) == 0)
			return other[i][1];
	return name;
}

/* Cuts a comment off, and blanks at the end. */
static void
cut_comment(char *s)
{
	char quote = '\0', *p;

	for (p = s; *p != '\0'; p++)
		if (quote != '\0')
			quote = *p == quote ? '\0' : quote;
		else if ((*p == '"' || *p == '\'') && (p == s ||
		    strchr(" \t:,[-", p[-1]) != NULL))
			quote = *p;
		else if (*p == '#' && (p == s || isspace((unsigned char)p[-1])))
			break;
	while (p > s && isspace((unsigned char)p[-1]))
		p--;
	*p = '\0';
}

static int
beyond(struct yaml *y)
{
	return old_fault(y->f, -ENOTSUP, "YAML beyond block mappings, lists "
	    "and plain or quoted scalars: write 'key: value' a line, or the "
	    "classic form, where each item of 'inputs:' is an [INPUT] and "
	    "'key: value' is 'key value'");
}

/* A scalar in place, without its quotes. */
static int
scalar(struct yaml *y, char **s)
{
	size_t n = strlen(*s);

	if (**s != '\0' && strchr("&*!{|>@`%", **s) != NULL)
		return beyond(y);
	if (**s != '"' && **s != '\'')
		return 0;
	if (n < 2 || (*s)[n - 1] != **s)
		return old_fault(y->f, -EINVAL, "a quote has no end");
	(*s)[n - 1] = '\0';
	(*s)++;
	return 0;
}

static struct level *
top(struct yaml *y)
{
	return &y->level[y->nest - 1];
}

/* "key: value" -> its value; NULL: it is no such line. */
static char *
cut_name(char *s)
{
	char *colon = s;

	if (*s == '"' || *s == '\'') {
		colon = strchr(s + 1, *s);
		if (colon == NULL)
			return NULL;
		colon++;
	}
	for (; *colon != '\0'; colon++)
		if (*colon == ':' && (colon[1] == ' ' || colon[1] == '\0' ||
		    colon[1] == '\t'))
			break;
	if (*colon == '\0' || colon == s)
		return NULL;
	*colon = '\0';
	return colon + 1 + strspn(colon + 1, " \t");
}

static int
give(struct yaml *y, const char *name, const char *value)
{
	struct level *l = top(y);

	if (l->env)
		return old_add_set(y->f, name, value);
	if (l->top && strcasecmp(name, "includes") == 0)
		return old_include(y->f, NULL, value);
	if (l->s == NULL) {
		old_said(y->f, name, "stands outside of every section: it did "
		    "nothing");
		return 0;
	}
	return old_add_key(y->f, l->s, name, value);
}

/* "[a, b]": one key of that name each. */
static int
flow_list(struct yaml *y, const char *name, char *s)
{
	char *end = s + strlen(s) - 1, *item, *behind;
	int r = 0;

	if (*end != ']' || strpbrk(s + 1, "[{") != NULL)
		return beyond(y);
	*end = '\0';
	for (item = s + 1; r == 0 && *item != '\0'; item = behind) {
		behind = item + strcspn(item, ",");
		if (*behind != '\0')
			*behind++ = '\0';
		item += strspn(item, " \t");
		cut_comment(item);
		r = scalar(y, &item);
		if (r == 0 && *item != '\0')
			r = give(y, name, item);
	}
	return r;
}

/* A mapping begins: below the key of that name, or as an item of its list. */
static int
begin(struct yaml *y, const char *name, size_t indent)
{
	struct level *in = top(y), new = { .indent = indent };
	bool outer = in->top || in->pipeline;
	int r = 0;

	if (y->nest == OLD_NEST_MAX)
		return old_fault(y->f, -E2BIG, "sections nest deeper than 16");
	if (in->top && strcasecmp(name, "pipeline") == 0)
		new.pipeline = true;
	else if (in->top && strcasecmp(name, "env") == 0)
		new.env = true;
	else
		r = old_add_section(y->f, outer ? NULL : in->s, false,
		    section_name(name), "", &new.s);
	if (r == 0)
		y->level[y->nest++] = new;
	return r;
}

static int
mapping_line(struct yaml *y, char *s, size_t indent)
{
	char *value = cut_name(s);
	int r;

	if (value == NULL)
		return old_fault(y->f, -EINVAL, "is no 'key: value'");
	r = scalar(y, &s);
	if (r < 0)
		return r;
	if (*value == '|' || *value == '>') {
		y->in_text = true;
		y->text_indent = indent;
		return give(y, s, "");
	}
	if (*value == '\0') {
		snprintf(y->name, sizeof(y->name), "%s", s);
		y->name_indent = indent;
		y->waits = true;
		return 0;
	}
	if (*value == '[')
		return flow_list(y, s, value);
	r = scalar(y, &value);
	return r < 0 ? r : give(y, s, value);
}

/* Is the item that begins at s a mapping. */
static bool
is_mapping(const char *s)
{
	const char *colon = strstr(s, ": ");
	size_t n = strlen(s);

	if (*s == '"' || *s == '\'')
		return false;
	return colon != NULL || (n > 1 && s[n - 1] == ':');
}

static int
item_line(struct yaml *y, char *s, size_t indent)
{
	char *rest = s + 1 + strspn(s + 1, " \t");
	struct level *l = top(y);
	int r;

	if (y->waits && indent >= y->name_indent) {
		memcpy(l->list, y->name, sizeof(l->list));
		l->list_indent = indent;
	}
	y->waits = false;
	if (l->list[0] == '\0' || l->list_indent != indent)
		return old_fault(y->f, -EINVAL, "an item of no list");
	if (*rest == '\0')
		return beyond(y);
	if (!is_mapping(rest)) {
		r = scalar(y, &rest);
		return r < 0 ? r : give(y, l->list, rest);
	}
	indent += (size_t)(rest - s);
	r = begin(y, l->list, indent);
	return r < 0 ? r : mapping_line(y, rest, indent);
}

static int
one_line(struct yaml *y, char *s)
{
	size_t indent = strspn(s, " ");
	int r = 0;

	cut_comment(s + indent);
	s += indent;
	if (*s == '\0' || (indent == 0 && (strcmp(s, "---") == 0 ||
	    strncmp(s, "%YAML", 5) == 0)))
		return 0;
	if (y->in_text && indent > y->text_indent)
		return 0;
	y->in_text = false;
	if (*s == '\t')
		return old_fault(y->f, -EINVAL, "a tab in front");
	while (y->nest > 1 && indent < top(y)->indent)
		y->nest--;
	if (s[0] == '-' && (s[1] == ' ' || s[1] == '\0'))
		return item_line(y, s, indent);
	if (y->waits && indent > y->name_indent)
		r = begin(y, y->name, indent);
	y->waits = false;
	if (r == 0 && indent != top(y)->indent)
		r = old_fault(y->f, -EINVAL, "stands at the depth of no "
		    "mapping");
	return r < 0 ? r : mapping_line(y, s, indent);
}

int
old_yaml_read(struct old_file *f, char *text)
{
	struct yaml *y = calloc(1, sizeof(*y));
	char *s;
	int r = 0;

	if (y == NULL)
		return -ENOMEM;
	y->f = f;
	y->level[0] = (struct level){ .top = true };
	y->nest = 1;
	for (s = text; r == 0 && *s != '\0'; s = y->next) {
		f->line++;
		y->next = s + strcspn(s, "\n");
		if ((size_t)(y->next - s) >= OLD_LINE_MAX)
			r = old_fault(f, -E2BIG, "a line has at most 4096 "
			    "bytes");
		if (*y->next != '\0')
			*y->next++ = '\0';
		if (r == 0)
			r = one_line(y, s);
	}
	free(y);
	return r;
}
