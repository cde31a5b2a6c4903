/* SPDX-License-Identifier: ISC */
/* url.c - the little the configuration needs to know of URLs; see url.h */

#include "config/url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "banned.h"

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void
url_decode(const char *text, size_t n, char *buf, size_t cap)
{
	size_t i, at = 0;
	int hi, lo;

	for (i = 0; i < n && at + 1 < cap; i++) {
		hi = text[i] == '%' && i + 2 < n ? hex(text[i + 1]) : -1;
		lo = hi >= 0 ? hex(text[i + 2]) : -1;
		if (lo < 0) {
			buf[at++] = text[i];
			continue;
		}
		i += 2;
		buf[at++] = (char)(hi << 4 | lo);
		if (strchr(",\x7f", buf[at - 1]) != NULL ||
		    (unsigned char)buf[at - 1] < 0x20)
			buf[at - 1] = ' ';
	}
	buf[at] = '\0';
}

size_t
url_base_len(const char *url)
{
	static const char *const path[] = { "/logs/json", "/v1/logs",
	    "/v1/traces", "/v1/metrics" };
	size_t n = strlen(url), i, len;

	while (n > 0 && url[n - 1] == '/')
		n--;
	for (i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		len = strlen(path[i]);
		if (n > len && strncmp(url + n - len, path[i], len) == 0) {
			n -= len;
			break;
		}
	}
	while (n > 0 && url[n - 1] == '/')
		n--;
	return n;
}

bool
url_host(const char *url, struct url_host *ret_host)
{
	struct url_host h = { .port = 0 };
	const char *s = strstr(url, "://");
	size_t n;

	if (s == NULL)
		return false;
	s += 3;
	if (*s == '[') {
		s++;
		n = strcspn(s, "]");
	} else {
		n = strcspn(s, ":/?#");
	}
	if (n == 0 || n >= sizeof(h.name))
		return false;
	memcpy(h.name, s, n);
	s += n + (s[n] == ']');
	if (*s == ':')
		h.port = (unsigned)strtoul(s + 1, NULL, 10);
	*ret_host = h;
	return true;
}

bool
url_is_under(const struct url_host *host, const char *domain)
{
	size_t n = strlen(host->name), d = strlen(domain);

	return n >= d && strcasecmp(host->name + n - d, domain) == 0 &&
	    (n == d || host->name[n - d - 1] == '.');
}
