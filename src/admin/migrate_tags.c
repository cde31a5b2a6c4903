/* SPDX-License-Identifier: ISC */
/* migrate_tags.c - Fluentd's patterns of tags; see migrate.h */

#include <string.h>

#include "admin/migrate.h"
#include "banned.h"

/* The next of patterns that are separated by blanks. */
static bool
next_tag(const char **at, const char **ret_tag, size_t *ret_n)
{
	*at += strspn(*at, " \t");
	*ret_tag = *at;
	*ret_n = strcspn(*at, " \t");
	*at += *ret_n;
	return *ret_n > 0;
}

/* Does pattern a take all that b takes; b may be a tag.  Unsure is no. */
static bool
covers(const char *a, size_t a_n, const char *b, size_t b_n)
{
	if (a_n == b_n && memcmp(a, b, a_n) == 0)
		return true;
	if (a_n < 2 || memcmp(a + a_n - 2, "**", 2) != 0)
		return false;
	a_n -= 2;
	if (a_n == 0)
		return true;
	/* "a.**" takes "a" itself, and all below. */
	if (a[a_n - 1] != '.' || memchr(a, '*', a_n) || memchr(a, '{', a_n))
		return false;
	return (b_n >= a_n && memcmp(a, b, a_n) == 0) ||
	    (b_n == a_n - 1 && memcmp(a, b, b_n) == 0);
}

bool
migrate_tags_cover(const char *earlier, const char *later)
{
	const char *a, *b, *at;
	size_t a_n, b_n;
	bool found;

	while (next_tag(&later, &b, &b_n)) {
		found = false;
		for (at = earlier; !found && next_tag(&at, &a, &a_n);)
			found = covers(a, a_n, b, b_n);
		if (!found)
			return false;
	}
	return true;
}

bool
migrate_tags_may_take(const char *patterns, const char *tag)
{
	const char *p;
	size_t n;

	while (next_tag(&patterns, &p, &n)) {
		if (covers(p, n, tag, strlen(tag)))
			return true;
		if (n > 3 && memcmp(p + n - 3, ".**", 3) == 0)
			n -= 3;
		if (memchr(p, '{', n) || memchr(p, '/', n) ||
		    memchr(p, '#', n) || memchr(p, '*', n))
			return true;
	}
	return false;
}
