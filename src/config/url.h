/* SPDX-License-Identifier: ISC */
/*
 * url.h - the little the configuration needs to know of URLs
 */
#ifndef EMPLOG_URL_H
#define EMPLOG_URL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * %41 -> A, into buf, cut to cap - 1 bytes; what is no %hh stays.  An
 * encoded control character or comma becomes a blank: the result goes into
 * lists and headers.
 */
void	 url_decode(const char *text, size_t n, char *buf, size_t cap);

/* Bytes of url without the path of a signal and slashes at its end. */
size_t	 url_base_len(const char *url);
/* The host of "https://host:port/path", without brackets. */
struct url_host { char name[256]; unsigned port; };
bool	 url_host(const char *url, struct url_host *ret_host);
/* host is domain or ends in .domain. */
bool	 url_is_under(const struct url_host *host, const char *domain);

#endif
