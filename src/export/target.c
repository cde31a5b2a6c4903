/* SPDX-License-Identifier: ISC */
/* target.c - URLs and headers of the backend; see target.h */

#include "export/target.h"

#include <errno.h>
#include <stdio.h>

#include "config.h"

#include "base/env.h"
#include "base/must.h"
#include "export/export.h"
#include "banned.h"

#define BY_ENVIRONMENT	"by:deployment.environment.name"
#define SECRET_MIN	6	/* shorter ones are words, not secrets */

static const char *const signal_path[3] = {
	[SIGNAL_LOGS] = "/v1/logs",
	[SIGNAL_METRICS] = "/v1/metrics",
	[SIGNAL_TRACES] = "/v1/traces",
};

static void
add(struct target *t, const char *name, const char *value)
{
	must(t->header_n < TARGET_HEADERS_MAX);
	t->header[t->header_n++] = (struct post_header){ name, value };
}

static char *
trimmed(char *s)
{
	char *end;

	while (*s == ' ' || *s == '\t')
		s++;
	end = s + strlen(s);
	while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	return s;
}

static bool
is_token(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 0x7f || *s == ':')
			return false;
	return true;
}

/* "name=value, name=value", cut in place. */
static int
add_list(struct target *t, char *list)
{
	char *item, *next, *eq;

	for (item = list; item != NULL && *item != '\0'; item = next) {
		next = strchr(item, ',');
		if (next != NULL)
			*next++ = '\0';
		eq = strchr(item, '=');
		if (eq == NULL || t->header_n == TARGET_HEADERS_MAX)
			return -EINVAL;
		*eq = '\0';
		item = trimmed(item);
		if (!is_token(item) || strpbrk(eq + 1, "\r\n") != NULL)
			return -EINVAL;
		add(t, item, trimmed(eq + 1));
	}
	return 0;
}

/* "by:deployment.environment.name, a, b": the slugs, cut in place. */
static int
add_slugs(struct target *t, char *list)
{
	char *at = list + strlen(BY_ENVIRONMENT), *end;

	for (;; at = end) {
		at += strspn(at, ", \t");
		if (*at == '\0')
			return t->slug_n == 0 ? -EINVAL : 0;
		if (t->slug_n == TARGET_SLUGS_MAX)
			return -EINVAL;
		end = at + strcspn(at, ", \t");
		if (*end != '\0')
			*end++ = '\0';
		t->slug[t->slug_n++] = at;
	}
}

static int
add_dataset(struct target *t, char *dataset)
{
	int r = 0;

	if (*dataset == '\0')
		return 0;
	t->dataset_at = t->header_n;
	if (strncmp(dataset, BY_ENVIRONMENT, strlen(BY_ENVIRONMENT)) == 0)
		r = add_slugs(t, dataset);
	if (r == 0)
		add(t, "Dash0-Dataset", t->slug_n > 0 ? t->slug[0] : dataset);
	return r;
}

const char *
target_dataset(const struct target *t, struct bytes environment)
{
	unsigned i;

	for (i = 0; i < t->slug_n; i++)
		if (bytes_eq(bytes_str(t->slug[i]), environment))
			return t->slug[i];
	return t->slug_n > 0 ? t->slug[0] : NULL;
}

static int
make_urls(struct target *t, struct env *env, const char *base)
{
	size_t len = strlen(base), cap, i;

	if (len == 0)
		return 0;
	while (len > 0 && base[len - 1] == '/')
		len--;
	for (i = 0; i < 3; i++) {
		cap = len + strlen(signal_path[i]) + 1;
		t->url[i] = env_alloc(env, cap);
		if (t->url[i] == NULL)
			return -ENOMEM;
		snprintf(t->url[i], cap, "%.*s%s", (int)len, base,
		    signal_path[i]);
	}
	return 0;
}

int
target_init(struct target *t, struct env *env, const struct export_conf *conf)
{
	size_t cap = strlen(conf->token) + strlen(conf->dataset) +
	    strlen(conf->headers) + 64;
	char *token, *dataset, *list;
	int r;

	*t = (struct target){ 0 };
	r = make_urls(t, env, conf->endpoint);
	if (r < 0)
		goto out;
	t->text = env_alloc(env, cap);
	t->text_cap = cap;
	if (t->text == NULL) {
		r = -ENOMEM;
		goto out;
	}
	token = t->text;
	dataset = token + 1 + (size_t)snprintf(token, cap, "Bearer %s",
	    conf->token);
	list = dataset + 1 + (size_t)snprintf(dataset, strlen(conf->dataset) +
	    1, "%s", conf->dataset);
	snprintf(list, strlen(conf->headers) + 1, "%s", conf->headers);
	add(t, "Content-Type", "application/x-protobuf");
	add(t, "User-Agent", "emplogd/" PACKAGE_VERSION
	    " OTel-OTLP-Exporter-C/" PACKAGE_VERSION);
	if (conf->gzip)
		add(t, "Content-Encoding", "gzip");
	r = add_dataset(t, dataset);
	t->own_n = t->header_n;
	if (*conf->token != '\0')
		add(t, "Authorization", token);
	if (r == 0)
		r = add_list(t, list);
out:
	if (r < 0)
		target_fini(t, env);
	return r;
}

static void
hide(const char *secret, char *words)
{
	size_t len = strlen(secret), n;

	if (len < SECRET_MIN)
		return;
	for (; *words != '\0'; words++) {
		for (n = 0; n < len && words[n] == secret[n]; n++)
			;
		if (n == len || (n >= SECRET_MIN && words[n] == '\0'))
			memset(words, '*', n);
	}
}

void
target_hide(const struct target *t, char *words)
{
	const char *blank;
	unsigned i;

	for (i = t->own_n; i < t->header_n; i++) {
		blank = strrchr(t->header[i].value, ' ');	/* Bearer x */
		hide(blank == NULL ? t->header[i].value : blank + 1, words);
	}
}

void
target_tell(const struct target *t, const struct post_header *header,
    char *url, size_t cap, const char **ret_dataset)
{
	const char *base = t->url[SIGNAL_LOGS] == NULL ? "" :
	    t->url[SIGNAL_LOGS], *host = strstr(base, "://"), *at;
	size_t n = strcspn(base, "?#"), scheme;

	host = host == NULL ? base : host + 3;
	scheme = (size_t)(host - base);
	at = memrchr(host, '@', strcspn(host, "/?#"));
	if (at != NULL)
		host = at + 1;
	n -= n < (size_t)(host - base) ? n : (size_t)(host - base);
	snprintf(url, cap, "%.*s%.*s", (int)scheme, base, (int)n, host);
	n = strlen(url);
	scheme = strlen(signal_path[SIGNAL_LOGS]);
	if (n > scheme && strcmp(url + n - scheme, signal_path[SIGNAL_LOGS])
	    == 0)
		url[n - scheme] = '\0';
	*ret_dataset = t->dataset_at > 0 && header != NULL &&
	    header[t->dataset_at].value != NULL ?
	    header[t->dataset_at].value : "";
}

void
target_fini(struct target *t, struct env *env)
{
	size_t i;

	for (i = 0; i < 3; i++)
		env_free(env, t->url[i]);
	if (t->text != NULL)
		explicit_bzero(t->text, t->text_cap);
	env_free(env, t->text);
	*t = (struct target){ 0 };
}
