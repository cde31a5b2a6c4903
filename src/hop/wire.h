/* SPDX-License-Identifier: ISC */
/*
 * wire.h - what emplogd adds to Forward protocol v1
 *
 * A chunk between emplogd processes is one PackedForward message:
 *
 *   [ tag, bin body, { "chunk": str24, "fluent_signal": 0..2,
 *                      "emplog": { … } } ]
 *
 *   tag      "emplog.<agent id>", str
 *   body     the chunk's bytes as they lie in lane or segment
 *   chunk    Base64 of XXH3-128(stream, from, to): the same range has the
 *            same id however often it is sent; always the first key.
 *            A receiver refuses a stream's chunk whose id of this length is
 *            not of its range: one of them changed on the way
 *   emplog   map, unknown keys are ignored:
 *            "v" 1          version of this map
 *            "s" bin 16     stream
 *            "f" uint       from; to = f + length of the body
 *            "e" uint       encoding (absent: 0)
 *            "b" true       backlog flow (absent: live)
 *            "t" uint       wall ns when first taken (absent: now)
 *            "q" true       quarantined bytes, not records
 *            "g" uint       only so many bytes of the body are the chunk's;
 *                           the rest is 0xc1 for memory that vanished while
 *                           it was sent (absent: all are)
 *            "i" map        identity, strings to strings, <= IDENTITY_MAX
 *   end of a stream: body empty, no "chunk", "emplog" { "v" 1, "s" …,
 *            "end" true }
 *
 *   hello: the same without "s" and "end"; the first bytes of a connection
 *            that has nothing to send yet
 *
 * A PING, as of a sender with a shared key, is answered
 * [ "PONG", false, why, "", "" ] and the connection closed: there is no key.
 *
 * Answer: { "ack": chunk, "n": records } - "n" only to a sender that gave
 * "emplog"; { "ack": chunk }, byte for byte, to any other.
 */
#ifndef EMPLOG_WIRE_H
#define EMPLOG_WIRE_H

#include "base/chunk.h"
#include "forward/mp.h"

#define WIRE_VERSION	1
#define WIRE_ID_MAX	256	/* a foreign chunk id, bytes */
#define WIRE_ID_LEN	24	/* ours */
#define WIRE_AGENT_MAX	128	/* an agent id, bytes */
/* Most a head, a tail or a whole message without body may take. */
#define WIRE_HEAD_MAX	256
#define WIRE_TAIL_MAX	(IDENTITY_MAX + 256)
#define WIRE_CONTROL_MAX 256
#define WIRE_ACK_MAX	(WIRE_ID_MAX + 32)
#define WIRE_PONG_MAX	128

struct wire {			/* an "emplog" map */
	uint8_t		 stream[STREAM_ID_LEN];	/* all zero: none */
	uint64_t	 from;
	uint64_t	 taken_ns;	/* 0: absent */
	uint64_t	 good;		/* bytes; UINT64_MAX: all */
	struct bytes	 identity;	/* borrowed; empty when absent or bad */
	uint8_t		 encoding;
	bool		 backlog;
	bool		 broken;
	bool		 end;
	bool		 bad_identity;	/* there was one, and it is refused */
};

/* The id of a chunk's range, Base64, no NUL. */
void	 wire_id(const struct chunk *c, uint8_t ret_id[WIRE_ID_LEN]);
/*
 * What stands before the body and behind it.  Identity is at most
 * IDENTITY_MAX, the tag's agent id WIRE_AGENT_MAX, the body UINT32_MAX
 * bytes (must).  good is how much of the body could be sent, WIRE_ALL when
 * all.  Return bytes written.
 */
#define WIRE_ALL	UINT64_MAX
size_t	 wire_head(uint8_t p[WIRE_HEAD_MAX], const char *agent_id,
	    size_t body_bytes);
size_t	 wire_tail(uint8_t p[WIRE_TAIL_MAX], const struct chunk *c,
	    const uint8_t id[WIRE_ID_LEN], uint64_t good);
/* A whole message without body: hello when stream is NULL, else its end. */
size_t	 wire_control(uint8_t p[WIRE_CONTROL_MAX], const char *agent_id,
	    const uint8_t *stream);
/* chunk is the id as a whole msgpack value; n is said only if told. */
size_t	 wire_ack(uint8_t p[WIRE_ACK_MAX], struct bytes chunk, bool told,
	    uint64_t records);

/* Whether have begins like a PING; what is answered. */
bool	 wire_is_ping(struct bytes have);
size_t	 wire_pong(uint8_t p[WIRE_PONG_MAX]);

/* Reads an "emplog" map.  -EBADMSG; -EPROTO: a version we do not know. */
int	 wire_read(struct bytes map, struct wire *ret_wire);
/*
 * Takes one answer off m.  -EAGAIN: not all there; -EBADMSG: no answer.
 * records is 0 when it is not told.
 */
int	 wire_read_ack(struct mp *m, struct bytes *ret_id,
	    uint64_t *ret_records);

#endif
