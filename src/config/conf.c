/* SPDX-License-Identifier: ISC */
/* conf.c - the sources of a configuration, by precedence; see config.h */

#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "base/vars.h"
#include "config/expand.h"
#include "config/read.h"
#include "config/reader.h"
#include "shm/text.h"
#include "banned.h"

#define DEFAULT_FILE	SYSCONFDIR "/emplogd/emplogd.conf"
#define PATH_LEN	512

struct conf_text {
	struct conf_text *next;
	size_t		 n;
	char		 s[];
};

struct own {				/* what conf_read() makes */
	struct conf	 conf;		/* first: the caller's view */
	struct conf_text *texts;
	char		 none[1];
};

char *
reading_copy(struct reading *rd, const char *text)
{
	struct own *o = (struct own *)(void *)rd->conf;
	size_t n = strlen(text) + 1;
	struct conf_text *t;

	t = malloc(sizeof(*t) + n);
	if (t == NULL) {
		rd->oom = true;
		return o->none;
	}
	memcpy(t->s, text, n);
	t->n = n;
	t->next = o->texts;
	o->texts = t;
	return t->s;
}

void
conf_free(struct conf **conf)
{
	struct own *o = (struct own *)(void *)*conf;
	struct conf_text *t;

	if (o == NULL)
		return;
	while ((t = o->texts) != NULL) {
		o->texts = t->next;
		explicit_bzero(t->s, t->n);
		free(t);
	}
	free(o);
	*conf = NULL;
}

struct place
place_of(const struct conf_value *v)
{
	struct place p;

	if (v->from == FROM_DEFAULT)
		snprintf(p.text, sizeof(p.text), "default");
	else if (v->line > 0)
		snprintf(p.text, sizeof(p.text), "%s:%d", v->where, v->line);
	else
		snprintf(p.text, sizeof(p.text), "%s", v->where);
	return p;
}

/* A header's value, or the user in a URL, is a secret as much as a token. */
static bool
may_be_shown(enum conf_key key, const char *text)
{
	return key_info[key].type != CONF_SECRET &&
	    key != KEY_exporter_headers &&
	    ((key != KEY_exporter_endpoint && key != KEY_agent_tee) ||
	    strpbrk(text, "@?") == NULL);
}

static void
tell_bad_value(struct reading *rd, enum conf_key key, const char *place,
    const char *text, int why)
{
	const struct key_info *k = &key_info[key];

	if (why == -EILSEQ)
		tell_fault(&rd->t, "%s: key '%s': the value holds a control "
		    "character or is not UTF-8", place, k->name);
	else if (k->type == CONF_SECRET)
		tell_fault(&rd->t, "%s: key '%s': the value cannot be used",
		    place, k->name);
	else if (k->type == CONF_LIST && why == -ERANGE)
		tell_fault(&rd->t, "%s: key '%s': more than %u items", place,
		    k->name, LIST_ITEMS_MAX);
	else if (!may_be_shown(key, text))
		tell_fault(&rd->t, "%s: key '%s': the value is not %s", place,
		    k->name, value_expected(key).text);
	else
		tell_fault(&rd->t, "%s: key '%s': '%s' is not %s", place,
		    k->name, tell_shown(text).text,
		    value_expected(key).text);
}

void
reading_take(struct reading *rd, enum conf_key key, enum conf_from from,
    const char *where, int line, const char *text)
{
	struct conf_value *v = &rd->conf->value[key];
	struct conf_value new = { .from = from, .line = line, .where = where };
	char *kept;
	int r;

	kept = reading_copy(rd, text);
	if (rd->oom)
		return;
	r = value_check(key, text, kept, &new.num);
	if (r < 0) {
		tell_bad_value(rd, key, place_of(&new).text, text, r);
		return;
	}
	if (v->text != NULL && v->from > from)
		return;
	new.text = kept;
	new.where = reading_copy(rd, where);
	*v = new;
}

/*
 * Without root /dev/shm/emplog and /var/lib are somebody else's.  Where the
 * session has no directory of its own (containers) the default stays.
 */
static void
user_defaults(struct reading *rd)
{
	const char *run = vars_get(rd->src->env, "XDG_RUNTIME_DIR");
	const char *state = vars_get(rd->src->env, "XDG_STATE_HOME");
	const char *home = vars_get(rd->src->env, "HOME");
	char path[PATH_LEN];

	if (run != NULL && *run == '/') {
		snprintf(path, sizeof(path), "%s/emplog", run);
		reading_take(rd, KEY_common_ring_dir, FROM_DEFAULT,
		    "XDG_RUNTIME_DIR", 0, path);
	}
	if (state != NULL && *state == '/')
		snprintf(path, sizeof(path), "%s/emplogd", state);
	else if (home != NULL && *home == '/')
		snprintf(path, sizeof(path), "%s/.local/state/emplogd", home);
	else
		return;
	reading_take(rd, KEY_common_state_dir, FROM_DEFAULT,
	    "XDG_STATE_HOME", 0, path);
}

static void
take_defaults(struct reading *rd)
{
	unsigned k;

	for (k = 0; k < KEY_COUNT; k++)
		reading_take(rd, (enum conf_key)k, FROM_DEFAULT, "default", 0,
		    key_info[k].def);
	must(rd->oom || rd->t.faults == 0);
	if (rd->src->as_user || geteuid() != 0)
		user_defaults(rd);
}

static void
tell_unknown_key(struct reading *rd, const char *place, const char *name)
{
	const char *near = key_nearest(name);

	tell_fault(&rd->t, "%s: key '%s' is not known%s%s%s", place,
	    tell_shown(name).text, near == NULL ?
	    "; see 'emplogd help keys'" : "; did you mean '",
	    near == NULL ? "" : near, near == NULL ? "" : "'?");
}

/* Expands and takes a value of the file. */
static void
take_expanded(struct reading *rd, enum conf_key key, const char *place,
    const struct conf_line *l)
{
	struct expand_fault f;
	char *buf;
	int r;

	buf = malloc(VALUE_MAX + 1);
	if (buf == NULL) {
		rd->oom = true;
		return;
	}
	r = expand(l->value, rd->src->env, buf, VALUE_MAX + 1, &f);
	if (r == -ENOENT)
		tell_fault(&rd->t, "%s: key '%s': variable '%s' is not set; "
		    "${%s:-default} gives it a default", place,
		    key_info[key].name, f.name, f.name);
	else if (r == -E2BIG)
		tell_fault(&rd->t, "%s: key '%s': the value is longer than "
		    "%u bytes", place, key_info[key].name, VALUE_MAX);
	else if (r < 0)
		tell_fault(&rd->t, "%s: key '%s': '${' begins neither ${VAR} "
		    "nor ${VAR:-default}; a '$' itself is '$$'", place,
		    key_info[key].name);
	else
		reading_take(rd, key, FROM_FILE, rd->src->file, l->line, buf);
	explicit_bzero(buf, VALUE_MAX + 1);
	free(buf);
}

static void
take_line(void *arg, const struct conf_line *l)
{
	struct reading *rd = arg;
	char place[300], name[2 * KEY_NAME_MAX + 16];
	enum conf_key key;

	snprintf(place, sizeof(place), "%s:%d", rd->src->file, l->line);
	if (l->section[0] == '\0') {
		tell_fault(&rd->t, "%s: key '%s' stands before any section "
		    "such as [common]", place, l->key);
		return;
	}
	key = key_find(l->section, l->key);
	if (key == KEY_COUNT) {
		snprintf(name, sizeof(name), "%s.%s", l->section, l->key);
		tell_unknown_key(rd, place, name);
		return;
	}
	if (rd->line_of[key] != 0) {
		tell_fault(&rd->t, "%s: key '%s' was given in line %d already",
		    place, key_info[key].name, rd->line_of[key]);
		return;
	}
	rd->line_of[key] = l->line;
	take_expanded(rd, key, place, l);
}

static void
take_file(struct reading *rd, bool must_be)
{
	int r;

	r = conf_file_read(rd->src->file, &rd->t, take_line, rd,
	    &rd->open_file);
	if (r == -ENOMEM)
		rd->oom = true;
	else if (r == -EFBIG)
		tell_fault(&rd->t, "%s: the file is larger than %u bytes",
		    rd->src->file, CONF_FILE_MAX);
	else if (r < 0 && (r != -ENOENT || must_be))
		tell_fault(&rd->t, "%s: cannot be read: %s", rd->src->file,
		    strerror(-r));
}

static void
take_variable(struct reading *rd, const char *name, const char *value)
{
	enum conf_key key = key_find_env(name), near;

	if (key != KEY_COUNT) {
		reading_take(rd, key, FROM_ENV, name, 0, value);
		return;
	}
	near = key_nearest_env(name);
	if (near == KEY_COUNT)
		tell_remark(&rd->t, "%s: the variable names no key and is "
		    "ignored", tell_shown(name).text);
	else
		tell_remark(&rd->t, "%s: the variable names no key and is "
		    "ignored; did you mean '%s'?", tell_shown(name).text,
		    key_env(near).name);
}

static void
take_environment(struct reading *rd)
{
	char *const *env = rd->src->env;
	char name[128];
	const char *eq;
	size_t n;

	for (; env != NULL && *env != NULL; env++) {
		eq = strchr(*env, '=');
		if (eq == NULL || strncmp(*env, KEY_ENV_PREFIX,
		    strlen(KEY_ENV_PREFIX)) != 0)
			continue;
		n = (size_t)(eq - *env);
		if (n >= sizeof(name))
			n = sizeof(name) - 1;
		memcpy(name, *env, n);
		name[n] = '\0';
		take_variable(rd, name, eq + 1);
	}
}

/* Does ps show a secret in this value of a flag? */
static bool
flag_tells_secret(enum conf_key key, const char *text)
{
	const char *item;
	size_t n;

	if (key_info[key].type == CONF_SECRET)
		return true;
	while (key == KEY_exporter_headers && list_next(&text, &item, &n))
		if (text_key_secret(item, strcspn(item, "=,")))
			return true;
	return false;
}

static void
take_set(struct reading *rd, const char *set)
{
	const char *eq = strchr(set, '=');
	char name[128];
	enum conf_key key;

	if (eq == NULL || eq == set || (size_t)(eq - set) >= sizeof(name)) {
		tell_fault(&rd->t, "--set: '%s' is not section.key=value",
		    tell_word(set).text);
		return;
	}
	memcpy(name, set, (size_t)(eq - set));
	name[eq - set] = '\0';
	key = key_find_name(name);
	if (key == KEY_COUNT)
		tell_unknown_key(rd, "--set", name);
	else if (flag_tells_secret(key, eq + 1))
		tell_fault(&rd->t, "--set: key '%s' is a secret, and ps shows "
		    "it: use %s%s or the file", name, key_env(key).name,
		    key == KEY_exporter_token ? ", exporter.token_file" :
		    key == KEY_common_shared_key ? ", common.shared_key_file" :
		    "");
	else
		reading_take(rd, key, FROM_FLAG, "--set", 0, eq + 1);
}

/* "worker_id" becomes "worker_id=" and what WORKER_ID says. */
static void
complete_fill(struct reading *rd)
{
	static const char *const name[] = { "worker_id", "service_type",
	    "connector_id" };
	static const char *const var[] = { "WORKER_ID", "SERVICE_TYPE",
	    "CONNECTOR_ID" };
	struct conf_value *v = &rd->conf->value[KEY_agent_fill];
	const char *at = v->text, *item, *value;
	char list[1024];
	size_t n, i, len = 0;

	list[0] = '\0';
	while (list_next(&at, &item, &n)) {
		for (i = 0; i < 2; i++)
			if (strncmp(item, name[i], strlen(name[i])) == 0)
				break;
		value = vars_get(rd->src->env, var[i]);
		if (memchr(item, '=', n) != NULL) {
			len += (size_t)snprintf(list + len, sizeof(list) - len,
			    "%s%.*s", len > 0 ? "," : "", (int)n, item);
		} else if (value == NULL || *value == '\0' ||
		    strchr(value, ',') != NULL) {
			tell_fault(&rd->t, "%s: key 'agent.fill': '%s' has no "
			    "value: set %s or write %s=value",
			    place_of(v).text, name[i], var[i], name[i]);
		} else {
			len += (size_t)snprintf(list + len, sizeof(list) - len,
			    "%s%s=%s", len > 0 ? "," : "", name[i], value);
		}
		if (len >= sizeof(list)) {
			tell_fault(&rd->t, "%s: key 'agent.fill': the values "
			    "are longer than %zu bytes", place_of(v).text,
			    sizeof(list) - 1);
			return;
		}
	}
	v->text = reading_copy(rd, list);
}

static void
find_roles(struct reading *rd)
{
	static const struct { const char *name; unsigned role; } roles[] = {
		{ "agent", ROLE_AGENT }, { "relay", ROLE_RELAY },
		{ "exporter", ROLE_EXPORTER },
	};
	const char *at = conf_text(rd->conf, KEY_common_role), *item;
	size_t n, i;

	rd->conf->roles = rd->src->roles;
	if (rd->conf->roles != 0)
		return;
	while (list_next(&at, &item, &n))
		for (i = 0; i < 3; i++)
			if (strncmp(item, roles[i].name, n) == 0)
				rd->conf->roles |= roles[i].role;
}

static void
read_all(struct reading *rd, bool file_must_be)
{
	unsigned i;

	take_defaults(rd);
	take_file(rd, file_must_be);
	take_environment(rd);
	for (i = 0; i < rd->src->sets_n; i++)
		take_set(rd, rd->src->sets[i]);
	if (rd->oom)
		return;			/* keys may be without text */
	find_roles(rd);
	foreign_take(rd);
	if (rd->src->lenient)
		return;
	complete_fill(rd);
	secrets_find(rd);
	conf_check(rd);
}

int
conf_read(struct conf **ret_conf, const struct conf_source *src)
{
	struct conf_source named = *src;
	struct reading rd = { .src = &named,
	    .t = { .tell = src->tell, .arg = src->arg } };
	struct own *o;
	int r = 0;

	if (named.file == NULL)
		named.file = DEFAULT_FILE;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return -ENOMEM;
	rd.conf = &o->conf;
	read_all(&rd, src->file != NULL);
	tell_end(&rd.t);
	o->conf.faults = rd.t.faults;
	if (rd.oom)
		r = -ENOMEM;
	else if (rd.t.faults > 0 && !src->lenient)
		r = -EINVAL;
	if (r < 0)
		conf_free(&rd.conf);
	else
		*ret_conf = rd.conf;
	return r;
}
