/* SPDX-License-Identifier: ISC */
/*
 * tee.h - bodies of HTTP requests once more, to an old collector beside us
 *
 * What:     while a team moves over, each body that comes by HTTP is also
 *           POSTed, byte for byte, to the Fluent Bit it used to go to, so
 *           that both can be compared.
 * Used by:  roles/agent.c, for agent.tee.
 * Never:    delays or fails the client, sends a body twice, or holds more
 *           than TEE_BYTES_MAX.
 *
 *   tee_request() -copy-> waiting --4 at a time--> loop_post() -> counted
 *                                   a connection each, as the old client
 *
 * tee_requests = tee_taken + tee_failed + tee_dropped + those under way.
 */
#ifndef EMPLOG_TEE_H
#define EMPLOG_TEE_H

#include "loop/serve.h"

#define TEE_BYTES_MAX	(4u << 20)	/* bodies waiting or under way */
#define TEE_ITEMS_MAX	1024u
/* On what we send: who gets it back must not send it on. */
#define TEE_HEADER	"Emplog-Tee"

struct env;
struct tee;

/*
 * Copies url; one without a path has the request's path appended.  0,
 * -ENOMEM.
 */
int	 tee_new(struct tee **ret_tee, struct env *env, const char *url);
/* Copies what it needs of a request that is not answered yet. */
void	 tee_request(struct tee *t, const struct serve_req *req);
/* A request whose body was not read: it cannot be sent on. */
void	 tee_missed(struct tee *t, const struct serve_req *req);
/* Gives up what is under way; done(arg) also from inside this call. */
void	 tee_close(struct tee *t, void (*done)(void *arg), void *arg);
/* After done(), or never used.  Accepts NULL. */
void	 tee_free(struct tee **t);

#endif
