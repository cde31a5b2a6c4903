/* SPDX-License-Identifier: ISC */
/* addr.c - addresses as text; the contracts are in loop.h and addr.h */

#include "loop/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"

#include "banned.h"

int
loop_hostport(const char *text, char *host, size_t host_cap, char *port,
    size_t port_cap)
{
	const char *from, *to, *p;
	size_t host_len, port_len;

	must(text != NULL);
	if (*text == '[') {
		from = text + 1;
		to = strchr(from, ']');
		if (to == NULL || to[1] != ':')
			return -EINVAL;
		p = to + 2;
	} else {
		from = text;
		to = strchr(from, ':');
		if (to == NULL || strchr(to + 1, ':') != NULL)
			return -EINVAL;
		p = to + 1;
	}
	host_len = (size_t)(to - from);
	port_len = strlen(p);
	if (host_len == 0 || host_len >= host_cap)
		return -EINVAL;
	if (port_len == 0 || port_len >= port_cap)
		return -EINVAL;
	memcpy(host, from, host_len);
	host[host_len] = '\0';
	memcpy(port, p, port_len + 1);
	return 0;
}

static int
port_parse(const char *text, uint16_t *ret_port)
{
	unsigned v = 0;
	const char *p;

	for (p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		v = v * 10 + (unsigned)(*p - '0');
		if (v > UINT16_MAX)
			return -EINVAL;
	}
	if (p == text)
		return -EINVAL;
	*ret_port = (uint16_t)v;
	return 0;
}

int
addr_numeric(const char *host, const char *port, struct loop_addr *ret_addr)
{
	struct loop_addr a = { .len = 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a.sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.sa;
	uint16_t n;

	if (port_parse(port, &n) < 0)
		return -EINVAL;
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(n);
		a.len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(n);
		a.len = sizeof(*v6);
	} else
		return -EINVAL;
	*ret_addr = a;
	return 0;
}

int
addr_parse(const char *hostport, struct loop_addr *ret_addr)
{
	char host[LOOP_ADDR_TEXT], port[8];
	int r;

	r = loop_hostport(hostport, host, sizeof(host), port, sizeof(port));
	if (r < 0)
		return r;
	return addr_numeric(host, port, ret_addr);
}

void
loop_addr_text(const struct loop_addr *a, char text[LOOP_ADDR_TEXT])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->sa;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->sa;
	const uint8_t *b;
	char host[INET6_ADDRSTRLEN];

	if (a->len >= sizeof(*v4) && a->sa.ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text, LOOP_ADDR_TEXT, "%s:%u", host,
		    ntohs(v4->sin_port));
	} else if (a->len >= sizeof(*v6) && a->sa.ss_family == AF_INET6) {
		b = v6->sin6_addr.s6_addr;
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
			/* a v4 peer of a socket on [::]: say what it is */
			snprintf(text, LOOP_ADDR_TEXT, "%u.%u.%u.%u:%u",
			    b[12], b[13], b[14], b[15], ntohs(v6->sin6_port));
			return;
		}
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text, LOOP_ADDR_TEXT, "[%s]:%u", host,
		    ntohs(v6->sin6_port));
	} else
		snprintf(text, LOOP_ADDR_TEXT, "unknown");
}
