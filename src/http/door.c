/* SPDX-License-Identifier: ISC */
/* door.c - HTTP's way of knowing the shared key; see door.h */

#include "http/door.h"

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "base/env.h"
#include "banned.h"

bool
door_opens(const char *key, const struct serve_req *req)
{
	const char *auth;
	size_t n;

	if (key == NULL || *key == '\0')
		return true;
	auth = req_header(req, "Authorization");
	if (auth == NULL || strncasecmp(auth, "Bearer ", 7) != 0)
		return false;
	auth += 7;
	n = strlen(key);
	/* However much of it is right, it takes as long. */
	return strlen(auth) == n && CRYPTO_memcmp(auth, key, n) == 0;
}

void
door_refuse(struct env *env, struct serve_req *req)
{
	const struct serve_header how = { "WWW-Authenticate", "Bearer" };

	ctr_add(&env->ctr, CTR_recv_key_refused, 1);
	serve_answer(req, 401, "text/plain", BYTES("Authorization: Bearer "
	    "must have the shared key, common.shared_key\n"), &how, 1);
}
