/* SPDX-License-Identifier: ISC */
/* old_conf.c - the tree of an old configuration, and its files; see .h */

#include "admin/old_conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/old_inner.h"
#include "config/tell.h"
#include "banned.h"

struct old_arena {		/* one piece of memory of the tree's */
	struct old_arena *next;
	max_align_t	 mem[];
};

static void *
arena_take(struct old_conf *c, size_t n)
{
	struct old_arena *a = calloc(1, sizeof(*a) + n);

	if (a == NULL)
		return NULL;
	a->next = c->arena;
	c->arena = a;
	return a->mem;
}

static char *
arena_str(struct old_conf *c, const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = arena_take(c, n);

	if (copy != NULL)
		memcpy(copy, s, n);
	return copy;
}

static char *
arena_lower(struct old_conf *c, const char *s)
{
	char *copy = arena_str(c, s), *p;

	for (p = copy; p != NULL && *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return copy;
}

int
old_fault(const struct old_file *f, int error, const char *why)
{
	fprintf(f->c->err, "emplogd migrate: %s:%u: %s\n",
	    tell_shown(f->path).text, f->line, why);
	return error;
}

void
old_said(const struct old_file *f, const char *name, const char *text)
{
	struct old_key at = { .file = f->path, .line = f->line, .name = name,
	    .value = "" };

	if (f->c->said != NULL)
		f->c->said(f->c->arg, &at, text);
}

static int
one_more(struct old_file *f)
{
	if (++f->c->nodes > OLD_NODES_MAX)
		return old_fault(f, -E2BIG, "more than 8192 sections and keys");
	return 0;
}

int
old_add_section(struct old_file *f, struct old_section *parent, bool fluentd,
    const char *name, const char *arg, struct old_section **ret_s)
{
	struct old_conf *c = f->c;
	struct old_section *s, **at;
	int r = one_more(f);

	if (r < 0)
		return r;
	s = arena_take(c, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	*s = (struct old_section){ .parent = parent, .file = f->path,
	    .name = arena_lower(c, name), .arg = arena_str(c, arg),
	    .line = f->line, .fluentd = fluentd };
	if (s->name == NULL || s->arg == NULL)
		return -ENOMEM;
	at = parent == NULL ? c->end : &parent->sections;
	while (*at != NULL)
		at = &(*at)->next;
	*at = s;
	if (parent == NULL)
		c->end = &s->next;
	*ret_s = s;
	return 0;
}

/* name as it is to stand there. */
static int
add_key(struct old_file *f, struct old_key **at, const char *name,
    const char *value)
{
	struct old_key *k;
	int r = one_more(f);

	if (r < 0)
		return r;
	k = arena_take(f->c, sizeof(*k));
	if (k == NULL || name == NULL)
		return -ENOMEM;
	*k = (struct old_key){ .file = f->path, .line = f->line, .name = name,
	    .value = arena_str(f->c, value) };
	if (k->value == NULL)
		return -ENOMEM;
	while (*at != NULL)
		at = &(*at)->next;
	*at = k;
	return 0;
}

int
old_add_key(struct old_file *f, struct old_section *s, const char *name,
    const char *value)
{
	return add_key(f, &s->keys, arena_lower(f->c, name), value);
}

int
old_add_set(struct old_file *f, const char *name, const char *value)
{
	if (++f->c->sets_n > OLD_SETS_MAX)
		return old_fault(f, -E2BIG, "more than 64 @SET");
	return add_key(f, &f->c->sets, arena_str(f->c, name), value);
}

/* ---- files ---- */

static int
load_real(void *arg, const char *path, char *buf, size_t cap, size_t *ret_n)
{
	struct stat st;
	ssize_t n = 1;
	size_t len = 0;
	int fd, r = 0;

	(void)arg;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		r = -EINVAL;
	while (r == 0 && len < cap && n > 0) {
		n = read(fd, buf + len, cap - len);
		if (n < 0)
			r = -errno;
		else
			len += (size_t)n;
	}
	(void)close(fd);
	if (r == 0 && len == cap)
		r = -EFBIG;
	*ret_n = len;
	return r;
}

static int
match_real(void *arg, const char *pattern, void *each_arg,
    int (*each)(void *each_arg, const char *path))
{
	glob_t g = { .gl_pathc = 0 };
	size_t i;
	int r;

	(void)arg;
	r = glob(pattern, 0, NULL, &g);
	r = r == 0 || r == GLOB_NOMATCH ? 0 : r == GLOB_NOSPACE ? -ENOMEM :
	    -EACCES;
	for (i = 0; r == 0 && i < g.gl_pathc; i++)
		r = each(each_arg, g.gl_pathv[i]);
	globfree(&g);
	return r;
}

static const struct old_files real_files = { load_real, match_real, NULL };

static bool
is_utf8(const unsigned char *p, size_t n)
{
	size_t i, more;

	for (i = 0; i < n; i++) {
		more = p[i] < 0x80 ? 0 : (p[i] & 0xe0) == 0xc0 ? 1 :
		    (p[i] & 0xf0) == 0xe0 ? 2 : (p[i] & 0xf8) == 0xf0 ? 3 : 4;
		if (p[i] == 0 || more > n - 1 - i || more == 4)
			return false;
		for (; more > 0; more--)
			if ((p[++i] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static int
load(struct old_file *f, char *text, size_t *ret_n)
{
	const struct old_files *files = f->c->files;
	int r = files->load(files->arg, f->path, text, OLD_FILE_MAX + 1, ret_n);

	if (r == -EFBIG)
		return old_fault(f, r, "a file has at most 1 MiB");
	if (r == -EINVAL)
		return old_fault(f, r, "not a regular file");
	if (r < 0)
		return old_fault(f, r, strerror(-r));
	text[*ret_n] = '\0';
	if (!is_utf8((unsigned char *)text, *ret_n))
		return old_fault(f, -EINVAL, "not text: NUL or bad UTF-8");
	return 0;
}

static int
read_file(struct old_conf *c, const char *path, unsigned depth,
    struct old_section *inside)
{
	struct old_file f = { .c = c, .path = arena_str(c, path),
	    .depth = depth, .inside = inside };
	char *text = NULL;
	size_t n = 0;
	int r;

	if (f.path == NULL)
		return -ENOMEM;
	if (++c->files_n > OLD_FILES_MAX)
		return old_fault(&f, -ELOOP, "more than 64 files");
	text = malloc(OLD_FILE_MAX + 2);
	if (text == NULL)
		return -ENOMEM;
	r = load(&f, text, &n);
	if (r == 0)
		r = old_is_yaml(f.path, text) ? old_yaml_read(&f, text) :
		    old_lines_read(&f, text);
	free(text);
	return r;
}

int
old_path(const char *from, const char *path, char *buf, size_t cap)
{
	const char *slash = strrchr(from, '/');
	int n;

	n = snprintf(buf, cap, "%.*s%s", *path == '/' || slash == NULL ? 0 :
	    (int)(slash + 1 - from), from, path);
	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

struct include {
	struct old_file	*f;
	struct old_section *inside;
	unsigned	 n;
};

static int
each_include(void *arg, const char *path)
{
	struct include *in = arg;

	in->n++;
	return read_file(in->f->c, path, in->f->depth + 1, in->inside);
}

int
old_include(struct old_file *f, struct old_section *inside, const char *name)
{
	const struct old_files *files = f->c->files;
	struct include in = { f, inside, 0 };
	char path[OLD_LINE_MAX];
	int r;

	if (f->depth + 1 > OLD_DEPTH_MAX)
		return old_fault(f, -ELOOP, "includes nest deeper than 4");
	if (strstr(name, "://") != NULL) {
		old_said(f, "@include", "is fetched from elsewhere, which is "
		    "not done here: give its text as an argument");
		return 0;
	}
	if (*name == '\0' || old_path(f->path, name, path, sizeof(path)) < 0)
		return old_fault(f, -ENAMETOOLONG, "no name that can be "
		    "included");
	if (strpbrk(name, "*?[") == NULL)
		return each_include(&in, path);
	r = files->match(files->arg, path, &in, each_include);
	if (r == 0 && in.n == 0)
		old_said(f, "@include", "no file matches");
	else if (r == -EACCES && in.n == 0)
		return old_fault(f, r, "the pattern cannot be looked up");
	return r;
}

/* ---- the whole ---- */

void
old_conf_init(struct old_conf *c, const struct old_files *files, FILE *err)
{
	*c = (struct old_conf){ .files = files != NULL ? files : &real_files,
	    .err = err };
	c->end = &c->sections;
}

int
old_conf_read(struct old_conf *c, const char *path)
{
	return read_file(c, path, 0, NULL);
}

static const char *
set_value(const struct old_conf *c, const char *name, size_t n)
{
	const struct old_key *k;
	const char *value = NULL;

	for (k = c->sets; k != NULL; k = k->next)
		if (strlen(k->name) == n && memcmp(k->name, name, n) == 0)
			value = k->value;
	return value;
}

/* ${name} that @SET gave, in text; what was put in is not looked at again. */
static int
expand_sets(const struct old_conf *c, const char *text, char *buf, size_t cap)
{
	const char *value, *end;
	size_t at = 0, n;

	while (*text != '\0') {
		end = text[0] == '$' && text[1] == '{' ?
		    strchr(text, '}') : NULL;
		value = end == NULL ? NULL :
		    set_value(c, text + 2, (size_t)(end - text - 2));
		if (value == NULL) {
			value = text;
			n = 1;
			text++;
		} else {
			n = strlen(value);
			text = end + 1;
		}
		if (n >= cap - at)
			return -E2BIG;
		memcpy(buf + at, value, n);
		at += n;
	}
	buf[at] = '\0';
	return 0;
}

static int
finish_keys(struct old_conf *c, const struct old_section *s)
{
	struct old_file f = { .c = c };
	struct old_key *k;
	char buf[OLD_LINE_MAX];

	for (k = s->keys; k != NULL; k = k->next) {
		if (strstr(k->value, "${") == NULL)
			continue;
		if (expand_sets(c, k->value, buf, sizeof(buf)) < 0) {
			f.path = k->file;
			f.line = k->line;
			return old_fault(&f, -E2BIG, "a value has at most "
			    "4096 bytes, with its variables");
		}
		if (strcmp(buf, k->value) != 0 &&
		    (k->value = arena_str(c, buf)) == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int
finish(struct old_conf *c, const struct old_section *s)
{
	int r = 0;

	for (; r == 0 && s != NULL; s = s->next) {
		if (!s->fluentd)
			r = finish_keys(c, s);
		if (r == 0)
			r = finish(c, s->sections);	/* boundedly deep */
	}
	return r;
}

int
old_conf_finish(struct old_conf *c)
{
	return c->sets == NULL ? 0 : finish(c, c->sections);
}

void
old_conf_fini(struct old_conf *c)
{
	struct old_arena *a;

	while ((a = c->arena) != NULL) {
		c->arena = a->next;
		free(a);
	}
	c->sections = NULL;
	c->sets = NULL;
}

const struct old_key *
old_key_find(const struct old_section *s, const char *name)
{
	const struct old_key *k;

	for (k = s->keys; k != NULL; k = k->next)
		if (strcmp(k->name, name) == 0)
			break;
	return k;
}

const char *
old_value(const struct old_section *s, const char *name)
{
	const struct old_key *k = old_key_find(s, name);

	return k == NULL ? NULL : k->value;
}
