/* SPDX-License-Identifier: ISC */
/* admin.c - the table of verbs; see admin.h */

#include "admin/admin.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "banned.h"

#define SETS_MAX	64u

const struct admin_verb admin_verbs[] = {
	{ "audit", admin_audit, "audit [state_dir ...]",
	    "whether everything written is held, delivered or counted", true },
	{ "ca", admin_ca, "ca init dir | issue dir name ... [--days=number] "
	    "[--force] [--out=path]",
	    "certificates of a private authority, for TLS on hops", false },
	{ "dlq", admin_dlq, "dlq ls | show [--json] [letter ...] | "
	    "replay [letter ...] | drop --yes | drop letter ...",
	    "dead letters: why, what, again, or away", true },
	{ "help", admin_help, "help [keys | counters | variables | name]",
	    "this, or what a key, counter or variable means", false },
	{ "migrate", admin_migrate, "migrate file ...",
	    "the emplogd.conf of a fluent-bit.conf or fluentd.conf", false },
	{ "queue", admin_queue, "queue ls dir | check dir | cat [--all] "
	    "[--json] dir | export [--format=otlp|forward] dir file | "
	    "repair dir", "a queue on disk: what lies there, what is damaged",
	    false },
	{ "ring", admin_ring, "ring",
	    "the lanes of this host, living and dead", true },
	{ "status", admin_status, "status [--json]",
	    "what each role took, holds, delivered and dropped", true },
	{ "tail", admin_tail, "tail [-f] [-n number] [--event=type] "
	    "[--job=id] [--json] [--level=level] [--worker=id]",
	    "records as they stand in the lanes", true },
	{ "trace", admin_trace, "trace uid | job [state_dir ...]",
	    "where a record is now, or all of a job", true },
	{ "version", admin_version, "version", "which emplogd this is", false },
	{ 0 },
};

extern char **environ;

struct asked {				/* options every verb takes */
	const char	*file;
	const char	*set[SETS_MAX];
	unsigned	 sets;
	unsigned	 roles;
	char		 first[256];	/* fault of the configuration */
};

const struct admin_verb *
admin_find(const char *name)
{
	const struct admin_verb *v;

	for (v = admin_verbs; v->name != NULL; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

int
admin_usage(struct admin *a, const char *verb, const char *fmt, ...)
{
	const struct admin_verb *v = admin_find(verb);
	va_list ap;

	fprintf(a->err, "emplogd %s: ", verb);
	va_start(ap, fmt);
	vfprintf(a->err, fmt, ap);
	va_end(ap);
	fputc('\n', a->err);
	if (v != NULL)
		fprintf(a->err, "usage: emplogd %s\n", v->usage);
	return EXIT_CONFIG;
}

int
admin_version(int argc, char **argv, struct admin *a)
{
	if (argc > 1)
		return admin_usage(a, "version", "'%s' is not understood",
		    argv[1]);
	fprintf(a->out, "emplogd %s\n", PACKAGE_VERSION);
	return 0;
}

/* The value of "--name=value" or "--name value" at argv[*i], or NULL. */
static const char *
value_at(int argc, char **argv, int *i, const char *name)
{
	size_t n = strlen(name);

	if (strncmp(argv[*i], name, n) != 0)
		return NULL;
	if (argv[*i][n] == '=')
		return argv[*i] + n + 1;
	if (argv[*i][n] != '\0' || *i + 1 == argc)
		return NULL;
	return argv[++*i];
}

/* Takes its own options out of argv; what is left, in order. */
static int
take_options(struct asked *ask, int argc, char **argv)
{
	const char *value;
	int i, kept = 1;

	for (i = 1; i < argc; i++) {
		value = value_at(argc, argv, &i, "--config");
		if (value != NULL) {
			ask->file = value;
			continue;
		}
		value = value_at(argc, argv, &i, "--set");
		if (value != NULL && ask->sets < SETS_MAX)
			ask->set[ask->sets++] = value;
		else
			argv[kept++] = argv[i];	/* the verb's, or too many */
	}
	argv[kept] = NULL;
	return kept;
}

/* A verb's output is read by scripts too: one fault will do, no remarks. */
static void
keep_first(void *arg, bool fault, const char *line)
{
	struct asked *ask = arg;

	if (fault && ask->first[0] == '\0')
		snprintf(ask->first, sizeof(ask->first), "%s", line);
}

static struct conf *
read_conf(struct asked *ask)
{
	struct conf_source src = { .file = ask->file, .env = environ,
	    .sets = ask->set, .sets_n = ask->sets, .roles = ask->roles,
	    .lenient = true, .tell = keep_first, .arg = ask };
	struct conf *conf = NULL;

	if (conf_read(&conf, &src) < 0)
		fputs("emplogd: error: there is not enough memory\n", stderr);
	else if (conf->faults > 0)
		fprintf(stderr, "emplogd: note: %u fault%s in the "
		    "configuration as seen from here, first: %s\n",
		    conf->faults, conf->faults == 1 ? "" : "s", ask->first);
	return conf;
}

void *
admin_needed(size_t n)
{
	void *p = malloc(n);

	if (p == NULL) {
		fputs("emplogd: error: there is not enough memory\n", stderr);
		exit(1);
	}
	return p;
}

int
admin_main(int argc, char **argv, const struct conf_source *given)
{
	const struct admin_verb *v = admin_find(argv[0]);
	struct admin a = { .out = stdout, .err = stderr };
	struct asked ask = { .file = given->file, .roles = given->roles };
	struct conf *conf = NULL;
	int r;

	if (v == NULL) {
		fprintf(stderr, "emplogd: error: '%s' is no verb; see 'emplogd "
		    "help'\n", argv[0]);
		return EXIT_CONFIG;
	}
	json_set_alloc_funcs(admin_needed, free);
	for (; ask.sets < given->sets_n && ask.sets < SETS_MAX; ask.sets++)
		ask.set[ask.sets] = given->sets[ask.sets];
	argc = take_options(&ask, argc, argv);
	if (v->needs_conf && (conf = read_conf(&ask)) == NULL)
		return 1;
	a.conf = conf;
	r = v->run(argc, argv, &a);
	conf_free(&conf);
	if (fflush(stdout) != 0 && r == 0)
		r = 1;
	return r;
}
