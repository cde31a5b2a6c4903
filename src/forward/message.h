/* SPDX-License-Identifier: ISC */
/*
 * message.h - one Forward message off the front of a growing buffer
 *
 * What:     finds where a message ends while its bytes arrive, then says what
 *           is in it.  Four modes of Forward protocol v1:
 *
 *             [ tag, time, record, option? ]       Message
 *             [ tag, [entry, entry, ...], option? ]  Forward
 *             [ tag, str-or-bin, option? ]         PackedForward, and
 *                                                  compressed
 *
 * Used by:  src/hop/receiver.c, and whoever reads what it stored.
 * Never:    allocates, copies, recurses, or reads a byte twice because it
 *           came alone: a scan goes on where it stopped.
 *
 * A scan holds offsets from the message's first byte, so the buffer may move
 * and grow between two calls.  What a message points to lies in the buffer.
 */
#ifndef EMPLOG_MESSAGE_H
#define EMPLOG_MESSAGE_H

#include "base/bytes.h"
#include "forward/mp.h"

#define MESSAGE_TAG_MAX		1024
#define MESSAGE_ID_MAX		256	/* a chunk id, without its header */
#define MESSAGE_OPTION_MAX	4096	/* 64 KiB in Message mode: metadata */

enum message_mode { MESSAGE_ONE, MESSAGE_FORWARD, MESSAGE_PACKED };
enum message_packing { PACKED_PLAIN, PACKED_GZIP, PACKED_ZSTD };

struct message_span { size_t at, n; };

struct message_scan {
	size_t		 max;		/* bytes of a message */
	size_t		 at;		/* accepted so far */
	size_t		 need;		/* after -EAGAIN: this many at least */
	uint64_t	 left;		/* values to pass over in this step */
	uint32_t	 members;
	uint8_t		 step;
	uint8_t		 mode;		/* enum message_mode */
	struct message_span tag, body, time, record, option;
};

struct message {
	enum message_mode mode;
	enum message_packing packing;
	uint8_t		 signal;	/* fluent_signal; 255: beyond it */
	size_t		 bytes;		/* all of the message */
	struct bytes	 tag;
	struct bytes	 body;		/* entries as they lie (Forward, Packed:
					   perhaps compressed) */
	struct bytes	 time;		/* Message mode: three whole values; */
	struct bytes	 record;
	struct bytes	 metadata;	/* empty when there was none */
	struct bytes	 chunk;		/* the id as a whole value, to be echoed
					   byte for byte; empty: no ack */
	struct bytes	 emplog;	/* our own map, empty when absent */
	uint64_t	 size;		/* "size", 0 when absent */
};

/* How many nil heartbeats lie at the front; they belong to no message. */
size_t	 message_nils(struct bytes have);

/* Before the first byte of each message. max is at most 1 GiB. */
void	 message_scan_init(struct message_scan *ms, size_t max);
/*
 * have begins at the message's first byte, and is never less than before.
 *   0          *ret_message is filled
 *   -EAGAIN    at least ms->need bytes are needed
 *   -EMSGSIZE  it is or says it will be over max, or a part over its limit
 *   -EBADMSG   not a Forward message
 */
int	 message_scan(struct message_scan *ms, struct bytes have,
	    struct message *ret_message);

/* Message mode as one entry: bytes it takes at most, and the entry. */
size_t	 message_entry_bytes(const struct message *m);
/* now_ns stands in for a time of nil or 0. */
void	 message_entry(const struct message *m, uint64_t now_ns,
	    struct mpw *w);

#endif
