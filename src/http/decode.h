/* SPDX-License-Identifier: ISC */
/*
 * decode.h - a body's Content-Encoding undone, within bounds
 *
 * What:     gzip (several members too), deflate (with zlib's head or, as some
 *           send it, without) and zstd, from one buffer into one new buffer.
 * Used by:  serve.c.
 * Never:    makes more than max bytes, or more than DECODE_RATIO_MAX times the
 *           input where that is over DECODE_FREE bytes: a bomb is refused.
 */
#ifndef EMPLOG_DECODE_H
#define EMPLOG_DECODE_H

#include "base/bytes.h"

struct env;

#define DECODE_RATIO_MAX	200
#define DECODE_FREE		(1u << 20)

/* Is there anything to undo.  NULL, "" and "identity" are nothing. */
bool	 decode_needed(const char *encoding);
/*
 * *ret_body is the caller's, of env_alloc().  -ENOTSUP: an encoding we do not
 * know; -EBADMSG: not what it says; -EFBIG: over the bounds; -ENOMEM.
 */
int	 decode_body(struct env *env, const char *encoding, struct bytes in,
	    size_t max, uint8_t **ret_body, size_t *ret_len);

#endif
