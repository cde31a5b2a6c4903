/* SPDX-License-Identifier: ISC */
/*
 * migrate_tails.c - log files that were read twice, or by their writer
 *
 * What:     compares the paths of Fluent Bit's tail inputs with each other,
 *           with what PM2 writes and with the shipper's own files.
 */

#include <fnmatch.h>
#include <string.h>
#include <strings.h>

#include "admin/migrate.h"
#include "config/tell.h"
#include "banned.h"

#define PATH_CAP	512u
#define TAILS_MAX	256u		/* compared with each other */

/* The next of patterns that are separated by commas; false at the end. */
static bool
next_pattern(const char **at, char *buf, size_t cap)
{
	size_t n;

	*at += strspn(*at, ", \t");
	n = strcspn(*at, ",");
	if (n == 0)
		return false;
	snprintf(buf, cap, "%.*s", (int)(n < cap ? n : cap - 1), *at);
	*at += n;
	while (n > 0 && n < cap && (buf[n - 1] == ' ' || buf[n - 1] == '\t'))
		buf[--n] = '\0';
	return true;
}

static bool
any_matches(const char *patterns, const char *path)
{
	char pattern[PATH_CAP];

	while (patterns != NULL && next_pattern(&patterns, pattern,
	    sizeof(pattern)))
		if (fnmatch(pattern, path, 0) == 0)
			return true;
	return false;
}

static bool
takes(const struct old_section *s, const char *path)
{
	return any_matches(old_value(s, "path"), path) &&
	    !any_matches(old_value(s, "exclude_path"), path);
}

/* A file of that name where s looks; which is left in path. */
static bool
takes_name(const struct old_section *s, const char *name, char *path,
    size_t cap)
{
	const char *at = old_value(s, "path");
	char pattern[PATH_CAP];
	const char *slash;

	while (at != NULL && next_pattern(&at, pattern, sizeof(pattern))) {
		slash = strrchr(pattern, '/');
		snprintf(path, cap, "%.*s%s", slash == NULL ? 0 :
		    (int)(slash + 1 - pattern), pattern, name);
		if (takes(s, path))
			return true;
	}
	return false;
}

static bool
is_tail(const struct old_section *s)
{
	const char *kind = s->fluentd ? "source" : "input";

	return strcmp(s->name, kind) == 0 &&
	    strcasecmp(migrate_plugin(s), "tail") == 0 &&
	    old_value(s, "path") != NULL;
}

/* What PM2, and the shippers, write beside what workers write. */
static void
neighbours(struct migrate *m, const struct old_section *s)
{
	static const char *const own[] = { "fluent-bit.log",
	    "fluent-bit-out.log", "fluent-bit-error.log", "td-agent.log",
	    "fluentd.log", "otel-collector.log" };
	struct old_key at = migrate_at(s);
	char path[2 * PATH_CAP], also[2 * PATH_CAP];
	size_t i;

	if (takes_name(s, "app-out.log", also, sizeof(also)) &&
	    takes_name(s, "app-combined.log", path, sizeof(path)))
		migrate_say(m, &at, "PM2 writes each line to -out.log or "
		    "-error.log and again to -combined.log: a pattern that "
		    "takes both sent each line twice");
	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (takes_name(s, own[i], path, sizeof(path))) {
			migrate_say(m, &at, "takes '%s', where a shipper "
			    "writes its own lines: each line it sent made "
			    "another", tell_shown(path).text);
			break;
		}
}

/* A file that this configuration itself writes. */
static void
own_files(struct migrate *m, const struct old_section *s)
{
	const struct old_section *o;
	struct old_key at = migrate_at(s);
	const char *log;
	char path[2 * PATH_CAP];

	for (o = m->old.sections; o != NULL; o = o->next) {
		log = strcmp(o->name, "service") == 0 ?
		    old_value(o, "log_file") : NULL;
		if (log != NULL && takes(s, log))
			migrate_say(m, &at, "reads '%s', its own Log_File: "
			    "each line it sent made another",
			    tell_shown(log).text);
		if (strcmp(o->name, "output") != 0 ||
		    strcasecmp(migrate_plugin(o), "file") != 0)
			continue;
		log = old_value(o, "file");
		snprintf(path, sizeof(path), "%.500s%s%.500s",
		    old_value(o, "path") != NULL ? old_value(o, "path") : "",
		    log != NULL ? "/" : "", log != NULL ? log : "");
		if (takes(s, path))
			migrate_say(m, &at, "reads '%s', which the output "
			    "'file' of line %u writes: records went round in "
			    "a circle", tell_shown(path).text, o->line);
	}
}

/* One pattern that the other takes as a name, wildcards and all. */
static bool
overlap(const struct old_section *a, const struct old_section *b)
{
	const char *at = old_value(a, "path");
	char pattern[PATH_CAP];

	while (next_pattern(&at, pattern, sizeof(pattern)))
		if (takes(b, pattern))
			return true;
	return false;
}

static void
pair(struct migrate *m, const struct old_section *a,
    const struct old_section *b)
{
	struct old_key at = migrate_at(b);
	const char *db = old_value(a, "db"), *db_b = old_value(b, "db");

	if (overlap(a, b) || overlap(b, a))
		migrate_say(m, &at, "its Path meets that of line %u: such "
		    "files were read twice, and each line was sent twice",
		    a->line);
	if (db != NULL && db_b != NULL && strcmp(db, db_b) == 0)
		migrate_say(m, &at, "shares its DB with line %u: two inputs "
		    "wrote each other's offsets", a->line);
}

void
migrate_tails(struct migrate *m)
{
	const struct old_section *tail[TAILS_MAX], *s;
	unsigned n = 0, i;

	for (s = m->old.sections; s != NULL; s = s->next) {
		if (!is_tail(s))
			continue;
		neighbours(m, s);
		if (!s->fluentd)
			own_files(m, s);
		for (i = 0; i < n; i++)
			if (tail[i]->fluentd == s->fluentd)
				pair(m, tail[i], s);
		if (n < TAILS_MAX)
			tail[n++] = s;
	}
}
