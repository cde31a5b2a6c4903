/* SPDX-License-Identifier: ISC */
/*
 * ca.c - emplogd ca: a private certificate authority in a directory
 *
 *   DIR/ca.pem     the CA's certificate: each side's common.tls_ca
 *   DIR/ca.key     its key, 0600; needed for issue alone: keep it off hosts
 *   NAME.pem .key  a certificate with its key: common.tls_cert, .tls_key
 *
 * Files appear whole under their names, by rename: a process that reads them
 * at this moment has the old or the new one.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/cert.h"
#include "banned.h"

#define CA_DAYS		3650u
#define LEAF_DAYS	365u
#define DAYS_MAX	36500u
#define PATH_BYTES	512
#define PEM_MAX		65536
#define NAMES_MAX	64

struct ca_args {
	const char	*dir;
	const char	*names[NAMES_MAX];
	size_t		 n;
	const char	*out;		/* path without .pem; NULL: DIR/NAME */
	unsigned	 days;
	bool		 force;
};

/* ---- files ---- */

static int
ca_fault(struct admin *a, const char *what, const char *path, int r,
    const char *remedy)
{
	fprintf(a->err, "emplogd ca: cannot %s '%s': %s%s%s\n", what, path,
	    strerror(-r), *remedy != '\0' ? "; " : "", remedy);
	return 1;
}

static int
write_all(int fd, const char *text)
{
	size_t n = strlen(text);
	ssize_t w;

	while (n > 0) {
		w = write(fd, text, n);
		if (w < 0 && errno != EINTR)
			return -errno;
		if (w > 0) {
			text += w;
			n -= (size_t)w;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int
put_file(const char *path, const char *text, mode_t mode)
{
	char tmp[PATH_BYTES + 8];
	int fd, r;

	(void)snprintf(tmp, sizeof(tmp), "%s.new", path);
	(void)unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(tmp);
	return r;
}

/* NULL: told. */
static char *
get_file(struct admin *a, const char *path)
{
	char *text = malloc(PEM_MAX);
	size_t n = 0;
	FILE *f;
	int r = text == NULL ? -ENOMEM : 0;

	f = r == 0 ? fopen(path, "re") : NULL;
	if (r == 0 && f == NULL)
		r = -errno;
	if (f != NULL) {
		n = fread(text, 1, PEM_MAX - 1, f);
		if (ferror(f))
			r = -EIO;
		fclose(f);
	}
	if (r < 0) {
		(void)ca_fault(a, "read", path, r,
		    "'emplogd ca init DIR' makes one");
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

static int
is_free(struct admin *a, const char *path, bool force)
{
	if (force || access(path, F_OK) < 0)
		return 0;
	fprintf(a->err, "emplogd ca: '%s' is there already; --force writes a "
	    "new one over it\n", path);
	return 1;
}

/* Both files of a pair, under stem.pem and stem.key. */
static int
put_pair(struct admin *a, const char *stem, const struct cert_pem *c,
    bool force)
{
	char cert[PATH_BYTES], key[PATH_BYTES];
	int n, r;

	n = snprintf(cert, sizeof(cert), "%s.pem", stem);
	(void)snprintf(key, sizeof(key), "%s.key", stem);
	if (n < 0 || (size_t)n >= sizeof(cert))
		return ca_fault(a, "write", stem, -ENAMETOOLONG, "");
	if (is_free(a, cert, force) != 0 || is_free(a, key, force) != 0)
		return 1;
	r = put_file(key, c->key, 0600);
	if (r < 0)
		return ca_fault(a, "write", key, r, "");
	r = put_file(cert, c->cert, 0644);
	if (r < 0)
		return ca_fault(a, "write", cert, r, "");
	fprintf(a->out, "%s\n%s\n", cert, key);
	return 0;
}

/* ---- arguments ---- */

static int
ca_days(struct admin *a, const char *text, unsigned *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || v < 1 ||
	    v > DAYS_MAX)
		return admin_usage(a, "ca", "'%s' is not a number of days "
		    "from 1 to %u", text, DAYS_MAX);
	*ret = (unsigned)v;
	return 0;
}

static int
read_args(struct admin *a, int argc, char **argv, struct ca_args *ret)
{
	int i, r = 0;

	for (i = 2; i < argc && r == 0; i++) {
		if (strncmp(argv[i], "--days=", 7) == 0)
			r = ca_days(a, argv[i] + 7, &ret->days);
		else if (strncmp(argv[i], "--out=", 6) == 0)
			ret->out = argv[i] + 6;
		else if (strcmp(argv[i], "--force") == 0)
			ret->force = true;
		else if (argv[i][0] == '-')
			r = admin_usage(a, "ca", "'%s' is not understood",
			    argv[i]);
		else if (ret->dir == NULL)
			ret->dir = argv[i];
		else if (ret->n < NAMES_MAX)
			ret->names[ret->n++] = argv[i];
		else
			r = admin_usage(a, "ca", "more than %d names",
			    NAMES_MAX);
	}
	if (r == 0 && ret->dir == NULL)
		r = admin_usage(a, "ca", "a directory is expected");
	return r;
}

/* ---- init, issue ---- */

static int
ca_init(struct admin *a, const struct ca_args *args)
{
	char stem[PATH_BYTES];
	struct cert_pem c;
	int n, r;

	if (args->n > 0)
		return admin_usage(a, "ca", "init takes no name");
	n = snprintf(stem, sizeof(stem), "%s/ca", args->dir);
	if (n < 0 || (size_t)n >= sizeof(stem))
		return ca_fault(a, "write", args->dir, -ENAMETOOLONG, "");
	if (mkdir(args->dir, 0700) < 0 && errno != EEXIST)
		return ca_fault(a, "make", args->dir, -errno, "");
	r = cert_make_ca("emplogd hops", args->days != 0 ? args->days :
	    CA_DAYS, &c);
	if (r < 0)
		return ca_fault(a, "make", stem, r, "");
	r = put_pair(a, stem, &c, args->force);
	cert_free(&c);
	if (r == 0)
		fprintf(a->out, "common.tls_ca of every host is ca.pem; "
		    "ca.key stays here\n");
	return r;
}

static int
read_ca_pair(struct admin *a, const char *dir, struct cert_pem *ret)
{
	char path[PATH_BYTES];
	int n;

	n = snprintf(path, sizeof(path), "%s/ca.pem", dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return ca_fault(a, "read", dir, -ENAMETOOLONG, "");
	ret->cert = get_file(a, path);
	(void)snprintf(path, sizeof(path), "%s/ca.key", dir);
	ret->key = ret->cert == NULL ? NULL : get_file(a, path);
	return ret->key == NULL;
}

static const char *
issue_words(int r)
{
	switch (r) {
	case -EBADMSG:
		return "ca.pem and ca.key are not a CA's certificate and key";
	case -EINVAL:
		return "a name must be a host or an address";
	default:
		return strerror(-r);
	}
}

static int
ca_issue(struct admin *a, const struct ca_args *args)
{
	struct cert_pem ca = { 0 }, c;
	char stem[PATH_BYTES];
	int n, r;

	if (args->n == 0)
		return admin_usage(a, "ca", "issue needs the host's name, as "
		    "others reach it");
	if (args->out != NULL)
		n = snprintf(stem, sizeof(stem), "%s", args->out);
	else
		n = snprintf(stem, sizeof(stem), "%s/%s", args->dir,
		    args->names[0]);
	if (n < 0 || (size_t)n >= sizeof(stem))
		return ca_fault(a, "write", args->dir, -ENAMETOOLONG, "");
	r = read_ca_pair(a, args->dir, &ca);
	if (r == 0) {
		r = cert_issue(&ca, args->names, args->n,
		    args->days != 0 ? args->days : LEAF_DAYS, &c);
		if (r < 0) {
			fprintf(a->err, "emplogd ca: cannot issue '%s': %s\n",
			    args->names[0], issue_words(r));
			r = 1;
		} else {
			r = put_pair(a, stem, &c, args->force);
			cert_free(&c);
			if (r == 0)
				fprintf(a->out, "common.tls_cert and "
				    "common.tls_key of that host are these; "
				    "its daemon's user must be able to read "
				    "the key\n");
		}
	}
	cert_free(&ca);
	return r;
}

int
admin_ca(int argc, char **argv, struct admin *a)
{
	struct ca_args args = { 0 };

	if (argc < 2)
		return admin_usage(a, "ca", "init or issue is expected");
	if (read_args(a, argc, argv, &args) != 0)
		return 1;
	if (strcmp(argv[1], "init") == 0)
		return ca_init(a, &args);
	if (strcmp(argv[1], "issue") == 0)
		return ca_issue(a, &args);
	return admin_usage(a, "ca", "'%s' is neither init nor issue", argv[1]);
}
