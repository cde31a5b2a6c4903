/* SPDX-License-Identifier: ISC */
/* old_conf.c - a fluent-bit.conf or fluentd.conf; see old_conf.h */

#include "admin/old_conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/tell.h"
#include "banned.h"

struct file {
	struct old_reader *r;
	const char	*path;
	unsigned	 line, depth;
	bool		 fluentd;
	unsigned	 open;		/* sections */
};

static int	 read_file(struct old_reader *r, const char *path,
		    unsigned depth);

static int
fault(const struct file *f, int error, const char *why)
{
	fprintf(f->r->err, "emplogd migrate: %s:%u: %s\n",
	    tell_shown(f->path).text, f->line, why);
	return error;
}

static void
give(struct file *f, enum old_kind kind, char *key, const char *value)
{
	struct old_line l = { kind, f->fluentd, f->path, f->line, key, value };
	char *p;

	for (p = key; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	f->r->take(f->r->arg, &l);
}

static void
end_section(struct file *f)
{
	char none[] = "";

	if (f->open == 0)
		return;
	f->open--;
	give(f, OLD_END, none, "");
}

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
include(struct file *f, const char *name)
{
	const char *slash = strrchr(f->path, '/');
	char path[OLD_LINE_MAX];
	int n;

	if (strpbrk(name, "*?[") != NULL)
		return fault(f, -EINVAL, "an include with a pattern is not "
		    "followed: give its files as arguments");
	if (f->depth + 1 > OLD_DEPTH_MAX)
		return fault(f, -ELOOP, "includes nest deeper than 4");
	n = snprintf(path, sizeof(path), "%.*s%s", *name == '/' ||
	    slash == NULL ? 0 : (int)(slash + 1 - f->path), f->path, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return fault(f, -ENAMETOOLONG, "the name is too long");
	return read_file(f->r, path, f->depth + 1);
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

/* "[INPUT]", "<match tag>" or "</match>" */
static int
section(struct file *f, char *s)
{
	char *end = s + strlen(s) - 1, *value;
	bool nested = *s == '<';

	if (*end != (nested ? '>' : ']'))
		return fault(f, -EINVAL, "the section's name has no end");
	*end = '\0';
	f->fluentd = nested;
	if (s[1] == '/') {
		end_section(f);
		return 0;
	}
	/* Only Fluentd's are inside of each other. */
	if (!nested)
		end_section(f);
	value = cut_key(s + 1);
	give(f, OLD_BEGIN, s + 1, value);
	f->open++;
	return 0;
}

static int
one_line(struct file *f, char *s)
{
	size_t n = strlen(s);
	char *value;

	while (n > 0 && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	s += strspn(s, " \t");
	if (*s == '\0' || *s == '#')
		return 0;
	if (*s == '[' || *s == '<')
		return section(f, s);
	value = cut_key(s);
	if (strcasecmp(s, "@include") == 0)
		return include(f, value);
	give(f, OLD_KEY, s, value);
	return 0;
}

static int
all_lines(struct file *f, char *text, size_t n)
{
	char *at = text, *next;
	int r = 0;

	if (!is_utf8((unsigned char *)text, n))
		return fault(f, -EINVAL, "not text: NUL or bad UTF-8");
	for (; r == 0 && *at != '\0'; at = next) {
		f->line++;
		next = at + strcspn(at, "\n");
		if ((size_t)(next - at) >= OLD_LINE_MAX)
			return fault(f, -E2BIG, "a line has at most 4096 "
			    "bytes");
		if (*next != '\0')
			*next++ = '\0';
		r = one_line(f, at);
	}
	while (f->open > 0)
		end_section(f);
	return r;
}

static int
load(struct file *f, char *text, size_t *ret_n)
{
	struct stat st;
	ssize_t n = 0;
	size_t len = 0;
	int fd, r = 0;

	fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fault(f, -errno, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		r = fault(f, -EINVAL, "not a regular file");
	while (r == 0 && len <= OLD_FILE_MAX &&
	    (n = read(fd, text + len, OLD_FILE_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (r == 0 && n < 0)
		r = fault(f, -errno, strerror(errno));
	else if (len > OLD_FILE_MAX)
		r = fault(f, -EFBIG, "a file has at most 1 MiB");
	(void)close(fd);
	text[len] = '\0';
	*ret_n = len;
	return r;
}

static int
read_file(struct old_reader *r, const char *path, unsigned depth)
{
	struct file f = { .r = r, .path = path, .depth = depth };
	char *text;
	size_t n = 0;
	int res;

	if (++r->files > OLD_FILES_MAX)
		return fault(&f, -ELOOP, "more than 64 files");
	text = malloc(OLD_FILE_MAX + 2);
	if (text == NULL)
		return -ENOMEM;
	res = load(&f, text, &n);
	if (res == 0)
		res = all_lines(&f, text, n);
	free(text);
	return res;
}

int
old_conf_read(struct old_reader *r, const char *path)
{
	return read_file(r, path, 0);
}
