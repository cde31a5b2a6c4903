/* SPDX-License-Identifier: ISC */
/*
 * inflate.h - compressed Forward payloads, into memory of a known size
 *
 * What:     gzip (also several members in a row, as Fluentd writes them) and
 *           zstd (also several frames).  The caller gives the room and
 *           decides whether to try again with more.
 * Used by:  src/hop/receiver.c, one per receiver.
 * Never:    writes past the room, whatever the input says of its size.
 */
#ifndef EMPLOG_INFLATE_H
#define EMPLOG_INFLATE_H

#include "base/bytes.h"
#include "forward/message.h"

struct inflate {		/* made when first needed */
	void	*gzip;
	void	*zstd;
};

void	 inflate_init(struct inflate *z);
void	 inflate_fini(struct inflate *z);

/* What the input says it will be; a hint to size the first try by. */
size_t	 inflate_hint(enum message_packing packing, struct bytes in);
/*
 * -ENOBUFS: more than cap bytes would come; -EBADMSG: damaged or cut off;
 * -ENOMEM.
 */
int	 inflate_bytes(struct inflate *z, enum message_packing packing,
	    struct bytes in, uint8_t *out, size_t cap, size_t *ret_len);

#endif
