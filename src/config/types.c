/* SPDX-License-Identifier: ISC */
/* types.c - is a text a value of its key; the contract is in types.h */

#include "config/types.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/must.h"
#include "http/scrub.h"
#include "hop/peers.h"
#include "banned.h"

#define PATH_BYTES_MAX	200u		/* a lane's name still fits behind it */

/* Digits at *at, passed over. */
static int
take_number(const char **at, uint64_t *ret_n)
{
	const char *s = *at;
	uint64_t n = 0, d;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	for (; isdigit((unsigned char)*s); s++) {
		d = (uint64_t)(*s - '0');
		if (n > (UINT64_MAX - d) / 10)
			return -ERANGE;
		n = n * 10 + d;
	}
	*at = s;
	*ret_n = n;
	return 0;
}

int
conf_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGTP";
	const char *unit;
	unsigned shift = 0;
	uint64_t n;
	int r;

	r = take_number(&text, &n);
	if (r < 0)
		return r;
	if (*text != '\0') {
		unit = strchr(units, toupper((unsigned char)*text));
		if (unit == NULL || text[1] != '\0')
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (n > UINT64_MAX >> shift)
		return -ERANGE;
	*ret_bytes = n << shift;
	return 0;
}

int
conf_ms(const char *text, uint64_t *ret_ms)
{
	static const struct { const char *name; uint64_t ms; } unit[] = {
		{ "", 1 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 },
	};
	uint64_t n;
	size_t i;
	int r;

	r = take_number(&text, &n);
	if (r < 0)
		return r;
	for (i = 0; i < sizeof(unit) / sizeof(unit[0]); i++)
		if (strcmp(text, unit[i].name) == 0)
			break;
	if (i == sizeof(unit) / sizeof(unit[0]))
		return -EINVAL;
	if (n > UINT64_MAX / unit[i].ms)
		return -ERANGE;
	*ret_ms = n * unit[i].ms;
	return 0;
}

int
value_bool(const char *text, bool *ret_bool)
{
	static const char *const word[] = { "no", "yes", "false", "true",
	    "off", "on", "0", "1" };
	unsigned i;

	for (i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		if (strcasecmp(text, word[i]) == 0) {
			*ret_bool = i % 2 == 1;
			return 0;
		}
	return -EINVAL;
}

/* The place of text among the blank-separated words. */
static int
word_index(const char *words, const char *text, uint64_t *ret_index)
{
	size_t n, len = strlen(text);
	uint64_t i;

	for (i = 0; *words != '\0'; i++) {
		n = strcspn(words, " ");
		if (n == len && memcmp(words, text, n) == 0) {
			*ret_index = i;
			return 0;
		}
		words += n + strspn(words + n, " ");
	}
	return -EINVAL;
}

bool
list_next(const char **at, const char **ret_item, size_t *ret_len)
{
	const char *s = *at;
	size_t n, len;

	s += strspn(s, ", \t");
	if (*s == '\0')
		return false;
	n = len = strcspn(s, ",");
	while (s[len - 1] == ' ' || s[len - 1] == '\t')
		len--;
	*ret_item = s;
	*ret_len = len;
	*at = s + n;
	return true;
}

int
hostport_parse(const char *text, size_t n, struct hostport *ret)
{
	struct hostport hp = { .port = 0 };
	const char *host = text, *colon, *p;
	size_t len;

	colon = memrchr(text, ':', n);
	if (colon == NULL)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	} else if (memchr(host, ':', len) != NULL) {
		return -EINVAL;		/* an IPv6 address without brackets */
	}
	if (len == 0 || len >= sizeof(hp.host))
		return -EINVAL;
	memcpy(hp.host, host, len);
	if (strcspn(hp.host, " \t/[]@,") != len)
		return -EINVAL;
	for (p = colon + 1; p < text + n; p++) {
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		hp.port = hp.port * 10 + (unsigned)(*p - '0');
		if (hp.port > 65535)
			return -EINVAL;
	}
	if (colon + 1 == text + n)
		return -EINVAL;
	*ret = hp;
	return 0;
}

bool
hostport_is_loopback(const struct hostport *hp)
{
	const char *h = hp->host;

	if (strcasecmp(h, "localhost") == 0 || strcmp(h, "::1") == 0)
		return true;
	/* A name such as 127.example.com is not an address. */
	return strncmp(h, "127.", 4) == 0 &&
	    strspn(h, "0123456789.") == strlen(h);
}

static bool
is_header(const char *item, size_t n)
{
	const char *eq = memchr(item, '=', n);
	size_t i;

	if (eq == NULL || eq == item)
		return false;
	for (i = 0; item + i < eq; i++)
		if (!isalnum((unsigned char)item[i]) &&
		    strchr("-_.", item[i]) == NULL)
			return false;
	return true;
}

/* A host, a port perhaps: what stands between the scheme and the path. */
static bool
is_authority(const char *s, size_t n)
{
	struct hostport hp;
	const char *end = s[0] == '[' ? memchr(s, ']', n) : NULL;

	if (end == NULL && memchr(s, ':', n) == NULL)
		return n > 0;
	if (end != NULL && end + 1 == s + n)
		return end > s + 1;
	return hostport_parse(s, n, &hp) == 0 && hp.port > 0;
}

/* A scheme, a host, perhaps a path; no blank, query or user. */
static bool
is_url(const char *s)
{
	const char *host;

	if (strncmp(s, "http://", 7) == 0)
		host = s + 7;
	else if (strncmp(s, "https://", 8) == 0)
		host = s + 8;
	else
		return false;
	return strpbrk(host, " \t?#@\"<>\\") == NULL &&
	    is_authority(host, strcspn(host, "/"));
}

static bool
item_ok(enum conf_key key, const char *item, size_t n)
{
	struct peer peer;
	uint64_t i;
	char word[32];
	size_t name;

	switch (key) {
	case KEY_agent_relay:
		return peer_parse(item, n, &peer) == 0;
	case KEY_exporter_headers:
		return is_header(item, n);
	case KEY_common_role:
	case KEY_agent_fill:
		name = key == KEY_agent_fill && memchr(item, '=', n) != NULL ?
		    (size_t)((const char *)memchr(item, '=', n) - item) : n;
		if (name >= sizeof(word))
			return false;
		memcpy(word, item, name);
		word[name] = '\0';
		return word_index(key == KEY_agent_fill ?
		    "worker_id service_type connector_id" :
		    "agent relay exporter", word, &i) == 0;
	default:
		return true;
	}
}

/* One peer or more, as in agent.relay. */
static bool
is_peers(const char *text)
{
	const char *item;
	size_t n, items = 0;

	while (list_next(&text, &item, &n)) {
		if (!item_ok(KEY_agent_relay, item, n))
			return false;
		items++;
	}
	return items > 0;
}

/* Writes "a,b" and counts the items. */
static int
check_list(enum conf_key key, const char *text, char *buf, uint64_t *ret_num)
{
	const char *item;
	uint64_t items = 0;
	size_t n, at = 0;

	while (list_next(&text, &item, &n)) {
		if (!item_ok(key, item, n))
			return -EINVAL;
		if (++items > LIST_ITEMS_MAX)
			return -ERANGE;
		if (at > 0)
			buf[at++] = ',';
		memcpy(buf + at, item, n);
		at += n;
	}
	buf[at] = '\0';
	*ret_num = items;
	return 0;
}

static int
check_hostport(const char *text, uint64_t *ret_num)
{
	struct hostport hp;
	int r = 0;

	if (*text == '\0')
		return 0;		/* none */
	r = hostport_parse(text, strlen(text), &hp);
	if (r == 0)
		*ret_num = hp.port;
	return r;
}

#define SLUG "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

/* A slug, or by:deployment.environment.name and the slugs allowed. */
static bool
is_dataset(const char *text)
{
	static const char by[] = "by:deployment.environment.name";
	size_t n = strlen(by);

	if (strncmp(text, by, n) != 0)
		return text[strspn(text, SLUG)] == '\0';
	text += n;
	return (*text == ',' || *text == ' ') &&
	    text[strspn(text, ", \t" SLUG)] == '\0' &&
	    text[strspn(text, ", \t")] != '\0';
}

static int
check_text(enum conf_key key, const char *text)
{
	switch (key) {
	case KEY_relay_next:
		return strcmp(text, "export") == 0 || is_peers(text) ? 0 :
		    -EINVAL;
	case KEY_agent_tee:
	case KEY_exporter_endpoint:
		return *text == '\0' || is_url(text) ? 0 : -EINVAL;
	case KEY_exporter_dataset:
		return is_dataset(text) ? 0 : -EINVAL;
	case KEY_common_tls_cert:
	case KEY_common_tls_key:
	case KEY_common_tls_ca:
		return *text == '\0' || *text == '/' ? 0 : -EINVAL;
	case KEY_exporter_token_file:
	case KEY_common_shared_key_file:
		return *text == '\0' || *text == '/' ||
		    strchr(text, '/') == NULL ? 0 : -EINVAL;
	case KEY_common_ring_dir:
	case KEY_common_state_dir:
		return *text == '/' && strlen(text) <= PATH_BYTES_MAX ? 0 :
		    -EINVAL;
	default:
		return 0;
	}
}

static int
parse_number(const struct key_info *k, const char *text, uint64_t *ret_num)
{
	int r;

	if (k->type == CONF_SIZE)
		return conf_size(text, ret_num);
	if (k->type == CONF_MS)
		return conf_ms(text, ret_num);
	r = take_number(&text, ret_num);
	return r == 0 && *text != '\0' ? -EINVAL : r;
}

static int
check_number(const struct key_info *k, const char *text, uint64_t *ret_num)
{
	uint64_t n, least, most;
	int r;

	r = parse_number(k, text, &n);
	if (r < 0)
		return r;
	/* The table's own limits are ours. */
	r = parse_number(k, k->least, &least);
	must(r == 0);
	r = parse_number(k, k->most, &most);
	must(r == 0);
	if (n < least || n > most)
		return -ERANGE;
	*ret_num = n;
	return 0;
}

/* It may go into records and headers: UTF-8 without control characters. */
static bool
is_printable(const char *s)
{
	const uint8_t *p = (const uint8_t *)s, *end = p + strlen(s);
	unsigned n;

	for (; p < end; p += n) {
		n = utf8_len(p, end);
		if (n == 0 || (*p < 0x20 && *p != '\t') || *p == 0x7f ||
		    (*p == 0xc2 && p[1] < 0xa0))
			return false;
	}
	return true;
}

int
value_check(enum conf_key key, const char *text, char *buf,
    uint64_t *ret_num)
{
	const struct key_info *k = &key_info[key];
	uint64_t num = 0;
	bool yes = false;
	int r = 0;

	if (!is_printable(text))
		return -EILSEQ;
	switch (k->type) {
	case CONF_SIZE:
	case CONF_NUM:
	case CONF_MS:
		r = check_number(k, text, &num);
		break;
	case CONF_BOOL:
		r = value_bool(text, &yes);
		num = yes;
		break;
	case CONF_ENUM:
		r = word_index(k->least, text, &num);
		break;
	case CONF_HOSTPORT:
		r = check_hostport(text, &num);
		break;
	case CONF_LIST:
		r = check_list(key, text, buf, &num);
		break;
	case CONF_STR:
	case CONF_SECRET:
	case CONF_PATH:
		r = check_text(key, text);
		break;
	}
	if (r < 0)
		return r;
	if (k->type != CONF_LIST)
		memcpy(buf, text, strlen(text) + 1);
	*ret_num = num;
	return 0;
}

/* "auto uring epoll" -> "auto, uring or epoll" */
static void
words_for_people(const char *words, char *buf, size_t cap)
{
	size_t n, at = 0;
	const char *rest;

	for (buf[0] = '\0'; *words != '\0' && at < cap; words = rest) {
		n = strcspn(words, " ");
		rest = words + n + strspn(words + n, " ");
		at += (size_t)snprintf(buf + at, cap - at, "%s%.*s",
		    at == 0 ? "" : *rest == '\0' ? " or " : ", ", (int)n,
		    words);
	}
}

static const char *
shape_of(enum conf_key key)
{
	switch (key) {
	case KEY_common_role:
		return "a list of agent, relay, exporter";
	case KEY_agent_relay:
		return "a list of host:port, tls://host:port, "
		    "https://host";
	case KEY_agent_fill:
		return "a list of worker_id, service_type, connector_id";
	case KEY_exporter_headers:
		return "a list of name=value";
	case KEY_relay_next:
		return "export or a list of host:port, tls://host:port, "
		    "https://host";
	case KEY_agent_tee:
	case KEY_exporter_endpoint:
		return "a URL that begins with https:// or http://, without "
		    "user or query";
	case KEY_exporter_dataset:
		return "a name of letters, digits, - and _, or "
		    "by:deployment.environment.name and a list of such names";
	case KEY_common_tls_cert:
	case KEY_common_tls_key:
	case KEY_common_tls_ca:
		return "a path that begins with /";
	case KEY_exporter_token_file:
	case KEY_common_shared_key_file:
		return "a path that begins with / or a name without /";
	case KEY_common_ring_dir:
	case KEY_common_state_dir:
		return "a path that begins with / and has at most 200 bytes";
	default:
		return "a text";
	}
}

struct expected
value_expected(enum conf_key key)
{
	static const char *const noun[] = { [CONF_SIZE] = "a size",
	    [CONF_NUM] = "a number", [CONF_MS] = "a time" };
	const struct key_info *k = &key_info[key];
	struct expected e;

	switch (k->type) {
	case CONF_SIZE:
	case CONF_NUM:
	case CONF_MS:
		snprintf(e.text, sizeof(e.text), "%s from %s to %s",
		    noun[k->type], k->least, k->most);
		break;
	case CONF_BOOL:
		snprintf(e.text, sizeof(e.text), "yes or no");
		break;
	case CONF_ENUM:
		words_for_people(k->least, e.text, sizeof(e.text));
		break;
	case CONF_HOSTPORT:
		snprintf(e.text, sizeof(e.text), "host:port, or empty");
		break;
	default:
		snprintf(e.text, sizeof(e.text), "%s", shape_of(key));
		break;
	}
	return e;
}
