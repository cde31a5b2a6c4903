/* SPDX-License-Identifier: ISC */
/* reader.c - lines of the configuration file; the contract is in reader.h */

#include "config/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/keys.h"
#include "banned.h"

#define BLANKS		" \t"
/* inih keeps 49 bytes of a section's or key's name. */
#define NAME_MAX_INIH	48u

struct reader {
	const char	*path;
	struct teller	*t;
	void		(*take)(void *arg, const struct conf_line *line);
	void		*arg;
	char		*at;		/* the next line */
	char		*end;		/* a NUL stands here */
	char		*value;		/* of the line given to inih last */
	int		 line;
	bool		 skip;		/* in a section nobody knows */
};

static char *
trim(char *s)
{
	size_t n;

	s += strspn(s, BLANKS);
	n = strlen(s);
	while (n > 0 && strchr(BLANKS, s[n - 1]) != NULL)
		n--;
	s[n] = '\0';
	return s;
}

static bool
is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return n > 0 && s[n] == '\0' && n <= NAME_MAX_INIH;
}

/* Takes quotes off, or refuses what looks like a comment behind a value. */
static char *
unquote(struct reader *r, char *v)
{
	size_t n = strlen(v), i;

	if (n >= 2 && v[0] == '"' && v[n - 1] == '"') {
		v[n - 1] = '\0';
		return v + 1;
	}
	if (v[0] == '"') {
		tell_fault(r->t, "%s:%d: a value that begins with '\"' must "
		    "end with one", r->path, r->line);
		return NULL;
	}
	for (i = 1; i < n; i++) {
		if ((v[i] != ';' && v[i] != '#') ||
		    strchr(BLANKS, v[i - 1]) == NULL)
			continue;
		tell_fault(r->t, "%s:%d: ' %c' within a value: a comment "
		    "stands on a line of its own, and a value that holds it "
		    "in double quotes", r->path, r->line, v[i]);
		return NULL;
	}
	return v;
}

static void
section_line(struct reader *r, char *s, char *out, size_t cap)
{
	size_t n = strlen(s);
	const char *near;
	char *name;

	r->skip = true;
	if (n < 2 || s[n - 1] != ']') {
		tell_fault(r->t, "%s:%d: '%s' is not a section: it must end "
		    "with ']'", r->path, r->line, tell_shown(s).text);
		return;
	}
	s[n - 1] = '\0';
	name = trim(s + 1);
	if (!key_is_section(name)) {
		near = key_nearest_section(name);
		tell_fault(r->t, "%s:%d: section '%s' is not known%s%s%s",
		    r->path, r->line, tell_shown(name).text,
		    near == NULL ? "; there are common, agent, relay and "
		    "exporter" : "; did you mean '",
		    near == NULL ? "" : near, near == NULL ? "" : "'?");
		return;
	}
	r->skip = false;
	snprintf(out, cap, "[%s]\n", name);
}

static void
key_line(struct reader *r, char *s, char *out, size_t cap)
{
	char *eq = strchr(s, '='), *key;

	if (eq == NULL) {
		tell_fault(r->t, "%s:%d: '%s' is not 'key = value'", r->path,
		    r->line, tell_word(s).text);
		return;
	}
	*eq = '\0';
	key = trim(s);
	if (!is_name(key)) {
		tell_fault(r->t, "%s:%d: '%s' is not the name of a key",
		    r->path, r->line, tell_word(key).text);
		return;
	}
	r->value = unquote(r, trim(eq + 1));
	if (r->value != NULL && !r->skip)
		snprintf(out, cap, "%s=-\n", key);
}

/* The next line of the file, NUL-ended in place; NULL: it was refused. */
static char *
next_line(struct reader *r)
{
	char *s = r->at, *nl;
	size_t n;

	nl = memchr(s, '\n', (size_t)(r->end - s));
	r->at = nl == NULL ? r->end : nl + 1;
	n = (size_t)((nl == NULL ? r->end : nl) - s);
	r->line++;
	if (n > CONF_LINE_MAX) {
		tell_fault(r->t, "%s:%d: the line is longer than %u bytes",
		    r->path, r->line, CONF_LINE_MAX);
		return NULL;
	}
	if (memchr(s, '\0', n) != NULL) {
		tell_fault(r->t, "%s:%d: the line holds a NUL byte: this is "
		    "not a text file", r->path, r->line);
		return NULL;
	}
	if (n > 0 && s[n - 1] == '\r')
		n--;
	s[n] = '\0';
	return trim(s);
}

/* inih asks for a line: it gets one of the same meaning, without a value. */
static char *
give_line(char *out, int cap, void *arg)
{
	struct reader *r = arg;
	char *s;

	r->value = NULL;
	while (r->at != r->end) {
		s = next_line(r);
		if (s == NULL || *s == '\0' || *s == '#' || *s == ';')
			continue;
		snprintf(out, (size_t)cap, "\n");	/* a refused one */
		if (*s == '[')
			section_line(r, s, out, (size_t)cap);
		else
			key_line(r, s, out, (size_t)cap);
		return out;
	}
	return NULL;
}

static int
take_pair(void *arg, const char *section, const char *key, const char *value)
{
	struct reader *r = arg;
	struct conf_line line = { .section = section, .key = key,
	    .value = r->value, .line = r->line };

	if (r->value != NULL)
		r->take(r->arg, &line);
	return 1;
}

static int
slurp(int fd, char **ret_mem, size_t *ret_size)
{
	size_t cap = 64 << 10, size = 0;
	char *mem = NULL, *more;
	ssize_t n = 0;
	int r = 0;

	do {
		size += (size_t)n;
		if (mem == NULL || size == cap) {
			cap *= 2;
			more = cap > 2 * (size_t)CONF_FILE_MAX ? NULL :
			    realloc(mem, cap + 1);
			if (more == NULL) {
				r = cap > 2 * (size_t)CONF_FILE_MAX ? -EFBIG :
				    -ENOMEM;
				goto out;
			}
			mem = more;
		}
		n = read(fd, mem + size, cap - size);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n == 0)
			break;
	} while (n >= 0);
	if (n < 0)
		r = -errno;
	else if (size > CONF_FILE_MAX)
		r = -EFBIG;
	if (r < 0)
		goto out;
	mem[size] = '\0';
	*ret_size = size;
	*ret_mem = mem;
	mem = NULL;
out:
	free(mem);
	return r;
}

static int
load(const char *path, char **ret_mem, size_t *ret_size, bool *ret_open)
{
	struct stat st;
	int fd, r;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else
		r = slurp(fd, ret_mem, ret_size);
	if (r == 0)
		*ret_open = (st.st_mode & S_IROTH) != 0;
	close(fd);
	return r;
}

int
conf_file_read(const char *path, struct teller *t,
    void (*take)(void *arg, const struct conf_line *line), void *arg,
    bool *ret_open)
{
	struct reader r = { .path = path, .t = t, .take = take, .arg = arg };
	size_t size = 0;
	char *mem = NULL;
	int e;

	e = load(path, &mem, &size, ret_open);
	if (e < 0)
		return e;
	r.at = mem;
	r.end = mem + size;
	if (size >= 3 && memcmp(mem, "\xef\xbb\xbf", 3) == 0)
		r.at += 3;
	if (size >= 2 && (memcmp(mem, "\xff\xfe", 2) == 0 ||
	    memcmp(mem, "\xfe\xff", 2) == 0))
		tell_fault(t, "%s:1: the file is UTF-16: save it as UTF-8",
		    path);
	else if (ini_parse_stream(give_line, &r, take_pair, &r) != 0)
		tell_fault(t, "%s: the file could not be parsed", path);
	free(mem);
	return 0;
}
