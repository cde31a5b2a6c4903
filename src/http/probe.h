/* SPDX-License-Identifier: ISC */
/*
 * probe.h - what a relay answers by HTTP about itself
 *
 *   GET  /health   200 can take records, 503 cannot (queue full or closed)
 *   GET  /ready    200 delivers, 503 {"ready":false,"reason":"…"}: the oldest
 *                  record waits more than 60 s, or the backend said 401 or 403
 *                  and in both "warning" where what is kept has no volume
 *   GET  /metrics  Prometheus text
 *   POST /test     sends the body (or a record of its own) through and says,
 *                  within 10 s, what became of it; 400 and 413 for a body
 *                  that is no test, 503 when it cannot be stored:
 *                  {"stored":true,"exported":true,"status":200,
 *                   "backend":"…"}
 */
#ifndef EMPLOG_PROBE_H
#define EMPLOG_PROBE_H

#include "loop/serve.h"

struct env;
struct export;
struct probe;
struct queue;

struct probe_conf {
	struct queue	*queue;
	struct export	*export;	/* NULL: records go to another hop */
};

int	 probe_new(struct probe **ret_p, struct env *env,
	    const struct probe_conf *conf);
/* True: the request was one of these and is, or will be, answered. */
bool	 probe_request(struct probe *p, struct serve_req *req);
/* A POST /test: whoever sent it wants to know, also when it is refused. */
bool	 probe_owns(const struct serve_req *req);
/* Answers what still waits; before queue and export are closed. */
void	 probe_close(struct probe *p, void (*closed)(void *arg), void *arg);
void	 probe_free(struct probe **p);

#endif
