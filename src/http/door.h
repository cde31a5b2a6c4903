/* SPDX-License-Identifier: ISC */
/*
 * door.h - HTTP's way of knowing the shared key
 *
 *   Authorization: Bearer KEY		(RFC 6750, 2.1)
 *
 * Used by:  roles/station.c, for all that may bring records.
 */
#ifndef EMPLOG_DOOR_H
#define EMPLOG_DOOR_H

#include "loop/serve.h"

struct env;

/* Does it have the key?  NULL or "": none is needed. */
bool	 door_opens(const char *key, const struct serve_req *req);
/* 401 in words; counted in recv_key_refused. */
void	 door_refuse(struct env *env, struct serve_req *req);

#endif
