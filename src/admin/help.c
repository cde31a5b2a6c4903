/* SPDX-License-Identifier: ISC */
/* help.c - emplogd help: the tables of keys, variables and counters */

#include <string.h>

#include "admin/admin.h"
#include "config/foreign.h"
#include "config/keys.h"
#include "config/types.h"
#include "counters/counters.h"
#include "banned.h"

#define WIDTH	72

/* Text in lines of WIDTH, indented. */
static void
put_text(FILE *out, const char *text)
{
	size_t n, at = 0;

	while (*text != '\0') {
		n = strcspn(text, " ");
		if (at > 0 && at + 1 + n > WIDTH) {
			fputc('\n', out);
			at = 0;
		}
		at += (size_t)fprintf(out, at == 0 ? "    %.*s" : " %.*s",
		    (int)n, text);
		text += n + strspn(text + n, " ");
	}
	if (at > 0)
		fputc('\n', out);
}

static void
put_key(FILE *out, enum conf_key key)
{
	const struct key_info *k = &key_info[key];

	fprintf(out, "%s\n", k->name);
	fprintf(out, "    %s\n", k->brief);
	fprintf(out, "    %s; default %s\n", value_expected(key).text,
	    k->def[0] == '\0' ? "empty" : k->def);
	fprintf(out, "    also %s\n", key_env(key).name);
	put_text(out, k->text);
	fputc('\n', out);
}

static void
put_foreign(FILE *out, const struct foreign_info *f)
{
	fprintf(out, "%s\n", f->name);
	if (f->key < KEY_COUNT)
		fprintf(out, "    to %s\n", key_info[f->key].name);
	put_text(out, f->text);
	fputc('\n', out);
}

static void
put_counter(FILE *out, const struct ctr_info *c)
{
	fprintf(out, "%s (%s, %s)\n", c->name, c->part,
	    c->kind == CTR_GAUGE ? "gauge" : "counter");
	fprintf(out, "    %s\n", c->brief);
	put_text(out, c->text);
	fputc('\n', out);
}

void
admin_synopsis(FILE *to)
{
	fputs("usage: emplogd --role=role[,role...] [--check] [--config=file] "
	    "[--io=name]\n               [--keep] [--set section.key=value ...] "
	    "[--version]\n       emplogd [option ...] verb [argument ...]\n",
	    to);
}

static int
help_verbs(struct admin *a)
{
	const struct admin_verb *v;

	admin_synopsis(a->out);
	fputc('\n', a->out);
	for (v = admin_verbs; v->name != NULL; v++)
		fprintf(a->out, "emplogd %s\n    %s\n", v->usage, v->brief);
	fputs("\nSee emplogd(8), emplogd.conf(5) and emplogd-counters(7).\n",
	    a->out);
	return 0;
}

static int
help_keys(struct admin *a)
{
	unsigned k;

	for (k = 0; k < KEY_COUNT; k++)
		put_key(a->out, (enum conf_key)k);
	return 0;
}

static int
help_counters(struct admin *a)
{
	unsigned i;

	for (i = 0; i < CTR_COUNT; i++)
		put_counter(a->out, &ctr_info[i]);
	return 0;
}

static int
help_variables(struct admin *a)
{
	const struct foreign_info *f;

	for (f = foreign_info; f->name != NULL; f++)
		put_foreign(a->out, f);
	return 0;
}

/* A key by its name, its variable or its section; a counter; a variable. */
static int
help_name(struct admin *a, const char *name)
{
	const struct foreign_info *f;
	enum conf_key key = key_find_name(name);
	bool found = false;
	const char *near;
	unsigned i;

	if (key == KEY_COUNT)
		key = key_find_env(name);
	for (i = 0; i < KEY_COUNT; i++)
		if (i == key || strcmp(key_info[i].section, name) == 0) {
			put_key(a->out, (enum conf_key)i);
			found = true;
		}
	for (i = 0; i < CTR_COUNT; i++)
		if (strcmp(ctr_info[i].name, name) == 0) {
			put_counter(a->out, &ctr_info[i]);
			found = true;
		}
	for (f = foreign_info; f->name != NULL; f++)
		if (strcmp(f->name, name) == 0) {
			put_foreign(a->out, f);
			found = true;
		}
	if (found)
		return 0;
	near = key_nearest(name);
	return near == NULL ? admin_usage(a, "help", "'%s' is not known",
	    name) : admin_usage(a, "help", "'%s' is not known; did you mean "
	    "'%s'?", name, near);
}

int
admin_help(int argc, char **argv, struct admin *a)
{
	if (argc > 2)
		return admin_usage(a, "help", "'%s' is not understood",
		    argv[2]);
	if (argc < 2)
		return help_verbs(a);
	if (strcmp(argv[1], "keys") == 0)
		return help_keys(a);
	if (strcmp(argv[1], "counters") == 0)
		return help_counters(a);
	if (strcmp(argv[1], "variables") == 0)
		return help_variables(a);
	return help_name(a, argv[1]);
}
