/* SPDX-License-Identifier: ISC */
/* body.c - the records of a request's body; the contract is in body.h */

#include "http/body.h"

#include <errno.h>
#include <strings.h>

#include "base/env.h"
#include "http/form.h"

#include "banned.h"

enum text_kind { TEXT_JSON, TEXT_MSGPACK, TEXT_FORM };

static bool
begins(const char *s, const char *with)
{
	return strncasecmp(s, with, strlen(with)) == 0;
}

static enum text_kind
kind_of(const char *type)
{
	if (type == NULL)
		return TEXT_JSON;
	if (begins(type, "application/msgpack") ||
	    begins(type, "application/x-msgpack") ||
	    begins(type, "application/vnd.msgpack"))
		return TEXT_MSGPACK;
	if (begins(type, "application/x-www-form-urlencoded"))
		return TEXT_FORM;
	return TEXT_JSON;	/* and all that people send it as */
}

/*
 * What curl -d sends calls itself a form and is JSON; a real form has its
 * JSON in json=.
 */
static int
form_text(struct body *b, struct env *env, struct bytes *text)
{
	int64_t n;

	if (text->n == 0 || text->p[0] == '{' || text->p[0] == '[')
		return 0;
	b->form = env_alloc(env, text->n);
	if (b->form == NULL)
		return -ENOMEM;
	n = form_get(*text, "json", b->form);
	if (n < 0) {
		body_close(b, env);
		return -EBADMSG;
	}
	*text = bytes_of(b->form, (size_t)n);
	return 0;
}

int
body_open(struct body *b, struct env *env, const char *type,
    struct bytes text, uint64_t now_ns)
{
	enum text_kind kind = kind_of(type);
	int r = 0;

	b->form = NULL;
	b->msgpack = kind == TEXT_MSGPACK;
	if (kind == TEXT_FORM)
		r = form_text(b, env, &text);
	if (r < 0)
		return r;
	if (b->msgpack)
		mp_in_init(&b->mp, text, now_ns);
	else
		json_in_init(&b->json, text, now_ns);
	return 0;
}

void
body_close(struct body *b, struct env *env)
{
	env_free(env, b->form);
	b->form = NULL;
}

int64_t
body_next(struct body *b, uint8_t *out, size_t cap)
{
	return b->msgpack ? mp_in_next(&b->mp, out, cap) :
	    json_in_next(&b->json, out, cap);
}

size_t
body_at(const struct body *b)
{
	return b->msgpack ? b->mp.at : b->json.at;
}

const struct json_counts *
body_counts(const struct body *b)
{
	return b->msgpack ? &b->mp.counts : &b->json.counts;
}

bool
body_fault(const struct body *b, size_t *ret_at, const char **ret_why)
{
	size_t at = b->msgpack ? b->mp.bad_at : b->json.bad_at;

	if (at == SIZE_MAX)
		return false;
	*ret_at = at;
	*ret_why = b->msgpack ? b->mp.bad_why : b->json.bad_why;
	return true;
}
