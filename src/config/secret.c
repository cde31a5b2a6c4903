/* SPDX-License-Identifier: ISC */
/* secret.c - secrets that lie in files of their own; see read.h */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/vars.h"
#include "config/read.h"
#include "banned.h"

#define TOKEN_MAX	8192u
#define PATH_LEN	512

struct secret {
	enum conf_key	 value, file;
	const char	*word;
};

static const struct secret secrets[] = {
	{ KEY_exporter_token, KEY_exporter_token_file, "token" },
	{ KEY_common_shared_key, KEY_common_shared_key_file, "key" },
};

/* A relative name lies where systemd puts credentials. */
static int
token_path(struct reading *rd, const char *name, char *buf, size_t cap)
{
	const char *dir = vars_get(rd->src->env, "CREDENTIALS_DIRECTORY");
	int n;

	if (*name == '/')
		n = snprintf(buf, cap, "%s", name);
	else if (dir != NULL && *dir == '/')
		n = snprintf(buf, cap, "%s/%s", dir, name);
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

static int
read_token(const char *path, char *buf, size_t cap, bool *ret_open)
{
	struct stat st;
	size_t len = 0;
	ssize_t n;
	int fd, r = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, cap - 1);
	if (n < 0 || fstat(fd, &st) < 0)
		r = -errno;
	else
		len = (size_t)n;
	if (r == 0 && len == cap - 1)
		r = -EFBIG;
	close(fd);
	if (r < 0)
		return r;
	while (len > 0 && memchr(" \t\r\n", buf[len - 1], 4) != NULL)
		len--;
	buf[len] = '\0';
	*ret_open = (st.st_mode & S_IROTH) != 0;
	return len == 0 || strlen(buf) != len ? -EBADMSG : 0;
}

static void
take_file(struct reading *rd, const struct secret *s, const char *name,
    enum conf_from from, const char *place)
{
	const char *key = key_info[s->file].name;
	char path[PATH_LEN], token[TOKEN_MAX];
	bool open_to_all = false;
	int r;

	r = token_path(rd, name, path, sizeof(path));
	if (r == -ENOENT) {
		tell_fault(&rd->t, "%s: key '%s': '%s' has no '/', and "
		    "$CREDENTIALS_DIRECTORY is not set", place, key, name);
		return;
	}
	if (r == 0)
		r = read_token(path, token, sizeof(token), &open_to_all);
	if (r == -EBADMSG)
		tell_fault(&rd->t, "%s: key '%s': '%s' holds no %s", place, key,
		    path, s->word);
	else if (r < 0)
		tell_fault(&rd->t, "%s: key '%s': '%s' cannot be read: %s",
		    place, key, name, strerror(-r));
	else
		reading_take(rd, s->value, from, path, 0, token);
	if (r == 0 && open_to_all)
		tell_remark(&rd->t, "%s: everybody may read the %s: chmod "
		    "600 %s", path, s->word, path);
	explicit_bzero(token, sizeof(token));
}

static void
find(struct reading *rd, const struct secret *s)
{
	const struct conf_value *value = &rd->conf->value[s->value];
	const struct conf_value *file = &rd->conf->value[s->file];
	const char *dir = vars_get(rd->src->env, "CREDENTIALS_DIRECTORY");
	const char *name = key_info[s->value].name;
	char path[PATH_LEN];
	struct stat st;

	if (*file->text != '\0') {
		if (*value->text != '\0' && value->from == file->from)
			tell_fault(&rd->t, "%s: key '%s' and '%s' (%s) are "
			    "both given", place_of(file).text,
			    key_info[s->file].name, name,
			    place_of(value).text);
		else if (value->from <= file->from)
			take_file(rd, s, file->text, file->from,
			    place_of(file).text);
	} else if (*value->text == '\0' && dir != NULL && *dir == '/') {
		/*
		 * LoadCredential=exporter.token says enough; a lone newline
		 * is what a unit's SetCredential= puts where there is no file.
		 */
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		if (stat(path, &st) == 0 && st.st_size > 1)
			take_file(rd, s, path, FROM_FILE, path);
	}
	if (value->from == FROM_FILE && rd->open_file &&
	    rd->line_of[s->value] == value->line && value->line > 0)
		tell_remark(&rd->t, "%s: everybody may read the file, and it "
		    "holds '%s': chmod 640 %s", rd->src->file, name,
		    rd->src->file);
}

void
secrets_find(struct reading *rd)
{
	unsigned i;

	for (i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		find(rd, &secrets[i]);
}
