/* SPDX-License-Identifier: ISC */
/*
 * body.h - the records of a request's body, whatever they are written in
 *
 * What:     JSON, msgpack or a form's json=, told by Content-Type, read entry
 *           by entry.
 * Used by:  ingest.c.
 * Never:    copies the body, but for a form's.
 *
 * A copy of a struct body is a place to come back to.
 */
#ifndef EMPLOG_BODY_H
#define EMPLOG_BODY_H

#include "http/json.h"
#include "http/mpin.h"

struct env;

struct body {
	bool		 msgpack;
	union {
		struct json_in	 json;
		struct mp_in	 mp;
	};
	uint8_t		*form;		/* the decoded json=, or NULL */
};

/*
 * Borrows text until body_close().  type may be NULL.  0; -EBADMSG: a form
 * without json=; -ENOMEM.  Nothing is to be closed then.
 */
int	 body_open(struct body *b, struct env *env, const char *type,
	    struct bytes text, uint64_t now_ns);
void	 body_close(struct body *b, struct env *env);
/* As json_in_next(). */
int64_t	 body_next(struct body *b, uint8_t *out, size_t cap);
/* The next byte to be read. */
size_t	 body_at(const struct body *b);
const struct json_counts *body_counts(const struct body *b);
/* Place and words of the first fault; false: there was none. */
bool	 body_fault(const struct body *b, size_t *ret_at, const char **ret_why);

#endif
