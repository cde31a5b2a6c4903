/* SPDX-License-Identifier: ISC */
/*
 * types.h - is a text a value of its key
 *
 * What:     one shape per enum conf_type, and per key where a key is more
 *           than its type (lists of relays, the endpoint's URL).
 */
#ifndef EMPLOG_TYPES_H
#define EMPLOG_TYPES_H

#include "config/config.h"
#include "config/keys.h"

#define VALUE_MAX	65536u		/* bytes of a value, expanded */
#define LIST_ITEMS_MAX	64u

/*
 * Checks text, writes what is to be kept to buf (at least strlen(text) + 1
 * bytes) and its number.  -EINVAL: not a value of this key; -ERANGE: not
 * between least and most; -EILSEQ: control characters, or
 * not UTF-8.
 */
int	 value_check(enum conf_key key, const char *text, char *buf,
	    uint64_t *ret_num);
/* "a size from 4M to 1T", "auto, uring or epoll", … */
struct expected { char text[160]; };
struct expected value_expected(enum conf_key key);

/* "yes", "no", "true", "false", "on", "off", "1", "0"; -EINVAL. */
int	 value_bool(const char *text, bool *ret_bool);

/* The next item of a list "a,b"; false at its end.  Lent from the list. */
bool	 list_next(const char **at, const char **ret_item, size_t *ret_len);

/* "127.0.0.1:24224", "[::1]:80", "host:80".  -EINVAL. */
struct hostport { char host[256]; unsigned port; };
int	 hostport_parse(const char *text, size_t n, struct hostport *ret);
/* Reached from this host alone. */
bool	 hostport_is_loopback(const struct hostport *hp);

#endif
