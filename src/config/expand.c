/* SPDX-License-Identifier: ISC */
/* expand.c - ${VAR} in values; the rules are in expand.h */

#include "config/expand.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/vars.h"
#include "banned.h"

struct out {
	char	*p;
	char	*end;			/* the NUL's place at most */
	bool	 full;
};

static void
put(struct out *o, const char *s, size_t n)
{
	if (o->full || n > (size_t)(o->end - o->p)) {
		o->full = true;
		return;
	}
	memcpy(o->p, s, n);
	o->p += n;
}

static size_t
name_len(const char *s)
{
	size_t n = 0;

	if (isdigit((unsigned char)s[0]))
		return 0;
	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return n;
}

/* *at stands behind "${"; afterwards behind its "}". */
static int
put_variable(struct out *o, const char **at, char *const *env,
    struct expand_fault *ret_fault)
{
	const char *s = *at, *value, *close, *def = NULL;
	size_t n = name_len(s);

	close = strchr(s, '}');
	if (close == NULL || n == 0 || n >= sizeof(ret_fault->name))
		return -EINVAL;
	memcpy(ret_fault->name, s, n);
	ret_fault->name[n] = '\0';
	if (s[n] == ':' && s[n + 1] == '-')
		def = s + n + 2;
	else if (s + n != close)
		return -EINVAL;
	if (def != NULL && memmem(def, (size_t)(close - def), "${", 2) != NULL)
		return -EINVAL;
	value = vars_get(env, ret_fault->name);
	if (value == NULL && def == NULL)
		return -ENOENT;
	if (def != NULL && (value == NULL || *value == '\0'))
		put(o, def, (size_t)(close - def));
	else
		put(o, value, strlen(value));
	*at = close + 1;
	return 0;
}

int
expand(const char *text, char *const *env, char *buf, size_t cap,
    struct expand_fault *ret_fault)
{
	struct out o = { .p = buf, .end = buf + cap - 1 };
	int r = 0;

	ret_fault->name[0] = '\0';
	while (*text != '\0' && r == 0) {
		if (text[0] == '$' && text[1] == '{') {
			text += 2;
			r = put_variable(&o, &text, env, ret_fault);
		} else {
			put(&o, text, 1);
			text += text[0] == '$' && text[1] == '$' ? 2 : 1;
		}
	}
	*o.p = '\0';
	return r < 0 ? r : o.full ? -E2BIG : 0;
}
