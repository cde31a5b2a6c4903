/* SPDX-License-Identifier: ISC */
/*
 * sender.h - the sending end of a hop: chunks out, acknowledgements back
 *
 * What:     one Forward connection at a time to one of a list of relays;
 *           PackedForward messages whose body is sent from where it lies;
 *           pipelined up to inflight_max bytes.
 * Wire:     reference of the format: Forward protocol v1 and src/hop/wire.h
 *           (the "emplog" option).
 * Used by:  src/drain (lanes and spill), roles/relay.c (relay.next).
 * Never:    copies a body, or keeps one: the caller has it until done().
 *
 *   IDLE -> DIAL -> SHAKE -> UP -> (lost) -> WAIT with jitter -> DIAL
 *
 * Invariants
 *   1. Each hop_chunk handed over completes exactly once, or is taken back.
 *   2. done(0) means: the peer said it is durable there.  Anything else means
 *      it may or may not be; send it again (ranges de-duplicate).
 *   3. When a connection ends, all its chunks complete with -ECONNRESET (in
 *      the order they were sent), then down() is called.
 */
#ifndef EMPLOG_SENDER_H
#define EMPLOG_SENDER_H

#include "base/chunk.h"
#include "hop/shake.h"
#include "loop/loop.h"

struct edge_conf;
struct env;
struct sender;

struct sender_conf {
	const char	*peers;		/* as peers.h has them */
	struct shake_conf shake;	/* borrowed until sender_free() */
	/* For https:// peers, but url and agent_id; or NULL.  Copied. */
	const struct edge_conf *edge;
	uint64_t	 inflight_max;	/* 32 MiB when 0 */
	const char	*agent_id;	/* for the tag: "emplog.<agent_id>" */
	uint32_t	 ack_timeout_ms; /* 5000 when 0: then it is left */
	void		(*up)(void *arg);	/* also: there is room again */
	void		(*down)(void *arg, int why);
	/*
	 * Or NULL.  No peer could be reached since the start, 2 s now: once; or
	 * a certificate or the key was refused: once until one was reached.
	 */
	void		(*missed)(void *arg, int why);
	void		*arg;
};

struct hop_chunk {
	struct chunk	 chunk;		/* what it names stays until done() */
	void		(*done)(struct hop_chunk *hc, int res);
	/* Or NULL.  All of it was given to the kernel: its memory is read
	   again only if it is sent again.  No call of the sender in it. */
	void		(*sent)(struct hop_chunk *hc);
	void		*arg;
	/* the sender's own */
	struct hop_chunk *next;
	uint64_t	 sent_ns;
	uint8_t		 id[24];	/* the Forward "chunk" option */
	uint16_t	 head_len;
	uint8_t		 state;
	uint8_t		 head[256];	/* message head, before the body */
	uint8_t		 tail[IDENTITY_MAX + 256]; /* option map, behind it */
	uint16_t	 tail_len;
};

/*
 * Borrows env; copies what conf names.  -EINVAL: peers or agent_id;
 * -ENOMEM.
 */
int	 sender_new(struct sender **ret_s, struct env *env,
	    const struct sender_conf *conf);
void	 sender_start(struct sender *s);
/* Cancels, completes every chunk with -ECANCELED, then closed(arg). */
void	 sender_close(struct sender *s, void (*closed)(void *arg), void *arg);
void	 sender_free(struct sender **s);

bool	 sender_is_up(const struct sender *s);
/* Bytes that may be handed over now; 0: wait for up(). */
size_t	 sender_room(const struct sender *s);
/*
 * -ENOTCONN when not up, -EAGAIN without room (one chunk always finds room
 * in an empty sender), -EINVAL: no stream, an empty body, a range that is not
 * as long as the body, an identity over IDENTITY_MAX.  done() does not come
 * then.  At done(0) chunk.records is what the peer counted, if it told.
 */
int	 sender_send(struct sender *s, struct hop_chunk *hc);
/*
 * 0: a chunk under way is the caller's again and done() does not come; it went
 * as a whole, so the peer may have it, and counts as resent.  -EBUSY: its
 * memory may still be read, or its connection is ending.
 */
int	 sender_take_back(struct sender *s, struct hop_chunk *hc);
/* How long the peer has owed an answer, ns; 0: it owes none. */
uint64_t sender_silent(const struct sender *s);
/* The stream is finished: told when the connection is up, no answer. */
void	 sender_end_stream(struct sender *s, const uint8_t id[STREAM_ID_LEN]);
/* "127.0.0.1:24224" of the peer in use, or of the one tried. */
const char *sender_peer(const struct sender *s);
/* When it went up or down last (loop_now). */
uint64_t sender_since(const struct sender *s);
/* Why the last attempt or connection ended, -errno; 0: none did yet. */
int	 sender_why(const struct sender *s);
/* The same for people, never empty. */
const char *sender_words(const struct sender *s);
/*
 * In down(): is it worth a line?  Not when a certificate or the key is
 * refused once more for the same reason, nor when the peer is lost within a
 * minute of the last line about it.
 */
bool	 sender_is_news(struct sender *s);

#endif
