/* SPDX-License-Identifier: ISC */
/* old_lines.c - Fluent Bit's classic lines and Fluentd's; see old_conf.h */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/old_inner.h"
#include "banned.h"

struct lines {
	struct old_file	*f;
	struct old_section *open[OLD_NEST_MAX];
	unsigned	 nest, base;	/* base: what an include began in */
	bool		 fluentd;
	char		*next;		/* the line behind */
	char		 value[OLD_LINE_MAX];
};

/* Cuts the line at *at off; NULL at the end of the text. */
static char *
next_line(struct lines *l)
{
	char *s = l->next, *end;

	if (*s == '\0')
		return NULL;
	end = s + strcspn(s, "\n");
	l->next = *end == '\0' ? end : end + 1;
	*end = '\0';
	l->f->line++;
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s + strspn(s, " \t");
}

/* "key value", both without blanks around. */
static char *
cut_key(char *s)
{
	char *value = s + strcspn(s, " \t");

	if (*value != '\0')
		*value++ = '\0';
	return value + strspn(value, " \t");
}

static void
end_section(struct lines *l)
{
	l->nest -= l->nest > l->base;
}

/* "[INPUT]", "<match tag>" or "</match>" */
static int
section(struct lines *l, char *s)
{
	struct old_section *parent, *made;
	char *end = s + strlen(s) - 1, *arg;
	bool nested = *s == '<';
	int r;

	if (end == s || *end != (nested ? '>' : ']'))
		return old_fault(l->f, -EINVAL, "the section's name has no "
		    "end");
	*end = '\0';
	l->fluentd = nested;
	if (s[1] == '/') {
		end_section(l);
		return 0;
	}
	/* Only Fluentd's, and the nodes of an upstream, are in each other. */
	if (!nested)
		l->nest = strcasecmp(s + 1, "node") == 0 && l->nest > 0;
	if (l->nest == OLD_NEST_MAX)
		return old_fault(l->f, -E2BIG, "sections nest deeper than 16");
	arg = cut_key(s + 1);
	parent = l->nest == 0 ? NULL : l->open[l->nest - 1];
	r = old_add_section(l->f, parent, nested, s + 1, arg, &made);
	if (r == 0)
		l->open[l->nest++] = made;
	return r;
}

/* ---- values of Fluentd ---- */

struct text {			/* of a value that is being written */
	char	*p;
	size_t	 n, cap;
};

static void
put(struct text *t, const char *s, size_t n)
{
	if (n > t->cap - 1 - t->n)
		n = t->cap - 1 - t->n;
	memcpy(t->p + t->n, s, n);
	t->n += n;
	t->p[t->n] = '\0';
}

/* A quoted word at s; behind it, or NULL. */
static const char *
quoted(const char *s, const char **ret_word, size_t *ret_n)
{
	const char *end;

	if (*s != '\'' && *s != '"')
		return NULL;
	end = strchr(s + 1, *s);
	if (end == NULL)
		return NULL;
	*ret_word = s + 1;
	*ret_n = (size_t)(end - s - 1);
	return end + 1;
}

static const char *
skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

/*
 * ENV['A'], ENV['A'] || 'b' and ENV.fetch('A', 'b') as ${A:-b}, up to the
 * "}".  Behind that, or NULL when it is something else.
 */
static const char *
ruby_env(const char *s, struct text *out)
{
	const char *name, *def = NULL;
	size_t n, def_n = 0;
	bool fetch = false;

	s = skip_blanks(s);
	if (strncmp(s, "ENV[", 4) == 0)
		s += 4;
	else if (strncmp(s, "ENV.fetch(", 10) == 0) {
		s += 10;
		fetch = true;
	} else
		return NULL;
	s = quoted(skip_blanks(s), &name, &n);
	if (s == NULL || n == 0)
		return NULL;
	s = skip_blanks(s);
	if (fetch && *s == ',' &&
	    (s = quoted(skip_blanks(s + 1), &def, &def_n)) == NULL)
		return NULL;
	s = skip_blanks(s);
	if (*s++ != (fetch ? ')' : ']'))
		return NULL;
	s = skip_blanks(s);
	if (!fetch && strncmp(s, "||", 2) == 0) {
		s = skip_blanks(s + 2);
		if (strncmp(s, "use_", 4) == 0) {	/* the plugin's own */
			s += strspn(s, "abcdefghijklmnopqrstuvwxyz_");
		} else if ((s = quoted(s, &def, &def_n)) == NULL)
			return NULL;
	}
	s = skip_blanks(s);
	if (*s != '}')
		return NULL;
	put(out, "${", 2);
	put(out, name, n);
	put(out, ":-", def != NULL ? 2 : 0);
	put(out, def != NULL ? def : "", def_n);
	put(out, "}", 1);
	return s + 1;
}

/* Behind its opening quote; false: no closing one. */
static bool
double_quoted(const char *s, struct text *out)
{
	const char *behind;

	while (*s != '"' && *s != '\0') {
		if (s[0] == '#' && s[1] == '{' &&
		    (behind = ruby_env(s + 2, out)) != NULL) {
			s = behind;
			continue;
		}
		if (s[0] == '\\' && s[1] != '\0')
			s++;
		put(out, s++, 1);
	}
	return *s == '"';
}

/* How many brackets stand open at the end of s, outside of quotes. */
static int
open_brackets(const char *s, int open)
{
	bool in = false;

	for (; *s != '\0'; s++) {
		if (in && *s == '\\' && s[1] != '\0')
			s++;
		else if (*s == '"')
			in = !in;
		else if (!in)
			open += (*s == '{' || *s == '[') -
			    (*s == '}' || *s == ']');
	}
	return open;
}

/* An object or array goes on until its brackets are closed. */
static int
bracketed(struct lines *l, const char *s, struct text *out)
{
	int open = 0;

	for (;;) {
		put(out, s, strlen(s));
		open = open_brackets(s, open);
		if (out->n + 1 >= out->cap)
			return old_fault(l->f, -E2BIG, "a value has at most "
			    "4096 bytes");
		if (open <= 0)
			return 0;
		s = next_line(l);
		if (s == NULL)
			return old_fault(l->f, -EINVAL, "a value has no end: "
			    "'}' or ']' is missing");
		put(out, " ", 1);
	}
}

/* What stands before " #". */
static size_t
bare_len(const char *s)
{
	size_t n;

	for (n = 0; s[n] != '\0'; n++)
		if (s[n] == '#' && s[n + 1] != '{' &&
		    (n == 0 || s[n - 1] == ' ' || s[n - 1] == '\t'))
			break;
	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	return n;
}

static int
fluentd_value(struct lines *l, const char *key, const char *s)
{
	struct text out = { l->value, 0, sizeof(l->value) };
	const char *end;

	l->value[0] = '\0';
	if (*s == '{' || *s == '[')
		return bracketed(l, s, &out);
	if (*s == '"') {
		if (!double_quoted(s + 1, &out))
			return old_fault(l->f, -EINVAL, "a quote has no end");
	} else if (*s == '\'' && (end = strrchr(s + 1, '\'')) != NULL) {
		put(&out, s + 1, (size_t)(end - s - 1));
	} else {
		put(&out, s, bare_len(s));
		if (strstr(l->value, "#{") != NULL)
			old_said(l->f, key, "Ruby is evaluated in double "
			    "quotes alone: this stood there as text");
	}
	return 0;
}

/* ---- lines ---- */

/* "@SET name=value" */
static int
set(struct lines *l, char *s)
{
	char *eq = strchr(s, '='), *end;

	if (eq == NULL || eq == s) {
		old_said(l->f, "@set", "is no name=value: Fluent Bit did not "
		    "start");
		return 0;
	}
	for (end = eq; end > s && isspace((unsigned char)end[-1]); end--)
		;
	*end = '\0';
	return old_add_set(l->f, s, eq + 1 + strspn(eq + 1, " \t"));
}

static int
key(struct lines *l, char *s)
{
	char *value = cut_key(s);
	int r;

	if (strcasecmp(s, "@include") == 0)
		return old_include(l->f, l->fluentd && l->nest > 0 ?
		    l->open[l->nest - 1] : NULL, value);
	if (strcasecmp(s, "@set") == 0)
		return set(l, value);
	if (l->nest == 0) {
		old_said(l->f, s, "stands outside of every section: it did "
		    "nothing");
		return 0;
	}
	if (l->fluentd) {
		r = fluentd_value(l, s, value);
		if (r < 0)
			return r;
		value = l->value;
	}
	return old_add_key(l->f, l->open[l->nest - 1], s, value);
}

int
old_lines_read(struct old_file *f, char *text)
{
	struct lines *l = calloc(1, sizeof(*l));
	char *s;
	int r = 0;

	if (l == NULL)
		return -ENOMEM;
	l->f = f;
	l->next = text;
	if (f->inside != NULL) {
		l->open[0] = f->inside;
		l->nest = l->base = 1;
		l->fluentd = true;
	}
	while (r == 0 && (s = next_line(l)) != NULL) {
		if (strlen(s) >= OLD_LINE_MAX)
			r = old_fault(f, -E2BIG, "a line has at most 4096 "
			    "bytes");
		else if (*s == '[' || *s == '<')
			r = section(l, s);
		else if (*s != '\0' && *s != '#')
			r = key(l, s);
	}
	free(l);
	return r;
}
