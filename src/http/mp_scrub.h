/* SPDX-License-Identifier: ISC */
/*
 * mp_scrub.h - a msgpack value without its secrets
 *
 * What:     copies a value; strings and binaries under a secret key, and what
 *           follows "Bearer" in a string, are replaced as scrub.h says.
 *           Everything else stays byte for byte, long texts too.
 * Used by:  mpin.c.
 * Never:    recurses, allocates.
 */
#ifndef EMPLOG_MP_SCRUB_H
#define EMPLOG_MP_SCRUB_H

#include "forward/mp.h"

/*
 * value is one whole value.  0, w->full where it did not fit; -EBADMSG,
 * -E2BIG, -EAGAIN as mp.h has them.  *ret_redacted is how many were replaced.
 */
int	 mp_scrub(struct bytes value, struct mpw *w, uint64_t *ret_redacted);

#endif
