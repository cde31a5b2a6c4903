/* SPDX-License-Identifier: ISC */
/*
 * conn.h - inside the receiver: its connections and what they share
 *
 *   conn.c      one connection: reads, finds messages, closes
 *   intake.c    one message: uncompressed, cut, walked, put into the queue
 *   answers.c   acknowledgements in the order of their messages
 *   keep.c      quarantine files
 *   receiver.c  the set: limits, memory, waiting, closing
 *
 * Memory of input: each connection has 4 KiB of its own.  What it needs
 * beyond is taken from input_max, and never more than a few times what it
 * has already sent.  The last two message_max of input_max are lent to one
 * connection at a time, so that many half-read messages cannot block each
 * other for ever.
 */
#ifndef EMPLOG_CONN_H
#define EMPLOG_CONN_H

#include "base/chunk.h"
#include "base/env.h"
#include "forward/inflate.h"
#include "forward/message.h"
#include "hop/keep.h"
#include "hop/receiver.h"
#include "hop/wire.h"
#include "loop/loop.h"
#include "queue/queue.h"

#define CONN_SMALL	4096
#define ANSWERS_MAX	1024	/* messages of a connection not answered */
#define ANSWERS_OUT	2048	/* bytes of answers in one write */
#define PUTS_MAX	65536	/* pieces on their way to the disk */

struct conn;

/* ---- answers.c ---- */

struct answer {
	struct answer	*next;
	struct conn	*conn;
	unsigned	 pending;	/* puts; one more while being taken */
	int		 res;		/* of the puts: the first failure */
	bool		 asks;		/* who does not will not send again */
	bool		 told;		/* an emplogd asks: say how many */
	bool		 whole;		/* id is all that is to be said */
	uint64_t	 records;
	size_t		 id_len;	/* 0: no answer is wanted */
	uint8_t		 id[MESSAGE_ID_MAX + 5];
};

struct answer_put {
	struct queue_put put;
	struct answer	*answer;
	uint32_t	 records;
	struct answer_put *next;
};

struct answers {
	struct answer	*first, **lastp;
	unsigned	 n;
	bool		 told;		/* those in out may be run together */
	size_t		 len, off;	/* of out */
	uint8_t		 out[ANSWERS_OUT];
};

void	 answers_init(struct answers *a);
/* A message begins: NULL when there is no memory. */
struct answer *answers_add(struct conn *c, struct bytes id, bool told);
/* Says these bytes, behind the answers before; without memory it does not. */
void	 answers_say(struct conn *c, struct bytes b);
/* It is taken as a whole, or will never be (res < 0). */
void	 answer_taken(struct answer *an, int res);
/* Puts a piece, or with c NULL a barrier, for it: as queue_put(). */
int	 answer_put(struct answer *an, struct chunk *c);
/*
 * Writes what is ready into out.  0: nothing to send; 1: send out; -errno:
 * a put failed, the connection must end without that answer.
 */
int	 answers_fill(struct conn *c);

/* ---- intake.c ---- */

enum { BODY_RECORDS, BODY_OPAQUE, BODY_BROKEN };

struct intake {
	struct chunk	 chunk;		/* of the whole message */
	struct answer	*answer;
	struct bytes	 body;
	uint8_t		*own;		/* unpacked body, or NULL */
	size_t		 own_bytes;
	uint64_t	 at;		/* position in the stream */
	uint64_t	 good;		/* bytes of the body; behind: filled */
	uint8_t		 kind;		/* BODY_* */
	bool		 active;
	bool		 unpacked;
	bool		 duplicate;	/* a part was taken before */
	bool		 quarantined;	/* a part went there */
	bool		 end;		/* the sender says: end of stream */
	bool		 keeping;	/* job is under way */
	bool		 no_file;	/* that failed: into the queue */
	const char	*why;		/* of what goes to quarantine */
	struct message	 message;
	struct keep_job	 job;
	uint8_t		 identity[MESSAGE_TAG_MAX + 16];
};

/*
 * A message, in memory that stays until intake_end().  0, -ENOMEM, or
 * -EBADMSG, -EPROTO: the connection must end.
 */
int	 intake_begin(struct conn *c, const struct message *m);
/*
 * Goes on.  0: all of it is taken; -EAGAIN: the queue has no room;
 * -ENOBUFS: wait for memory; -EINPROGRESS: conn_go() is called again; other
 * errors end the connection.
 */
int	 intake_run(struct conn *c);
/* Also half-way: the answer is given up then. Not while keeping (must). */
void	 intake_end(struct conn *c, int res);

/* ---- conn.c ---- */

enum conn_state { CONN_OPEN, CONN_DRAINS, CONN_DEAD };

struct conn {
	uint32_t	 magic;
	struct receiver	*r;
	struct conn	*next, **prevp;
	struct conn	*wait_next;	/* for memory */
	bool		 waits_memory;
	bool		 waits_room;	/* in the queue */
	enum conn_state	 state;
	bool		 closing_fd, closed_fd;
	bool		 shrink;	/* recv was cancelled for this */
	int		 fd;
	struct loop_addr peer;
	struct op	 recv, send, close;
	struct iovec	 answer_iov;

	uint8_t		*buf;		/* small, or taken from input_max */
	size_t		 cap, start, len;
	struct message_scan scan;
	uint64_t	 messages;
	uint64_t	 seen_ns;	/* bytes came, or reading began again */
	uint64_t	 room_ns;	/* waits_room since then */
	uint64_t	 began_ns;	/* a message did; 0: none, or not read */
	uint64_t	 send_ns;	/* a send began */
	uint64_t	 lent_ns;	/* the last part of input_max: since */

	struct intake	 in;
	struct answers	 answers;
	uint8_t		 small[CONN_SMALL];
};

int	 conn_new(struct receiver *r, int fd, const struct loop_addr *peer);
/* Does all it can; c may be gone afterwards. */
void	 conn_go(struct conn *c);
/* No more reading; answers what becomes durable, then closes. */
void	 conn_drain(struct conn *c);
/* Closes without waiting for anything but its operations. */
void	 conn_kill(struct conn *c);
/* An answer may be ready; c may be gone afterwards. */
void	 conn_answer(struct conn *c);
/* Gives back memory not in use now. */
void	 conn_shrink(struct conn *c);
/* Closes what has been silent for too long; false: nothing to watch here. */
bool	 conn_watch(struct conn *c, uint64_t now_ns);

/* ---- receiver.c ---- */

#define RECEIVER_MAGIC	0x52435652U
#define CONN_MAGIC	0x434f4e4eU

struct receiver {
	uint32_t	 magic;
	struct env	*env;
	struct receiver_conf conf;
	struct conn	*conns;
	unsigned	 open;
	size_t		 held;		/* bytes taken from input_max */
	size_t		 shared;	/* of it: not the last part */
	struct conn	*borrower;	/* has the last part */
	struct conn	*waiters, **waitersp;
	struct inflate	 inflate;
	struct keep	 keep;
	struct op	 wake, sweep;
	struct answer	*free_answers;
	struct answer_put *free_puts;
	unsigned	 puts;		/* under way */
	bool		 waits_puts;	/* for fewer of them */
	bool		 closing;
	uint64_t	 closing_ns;
	void		(*closed)(void *arg);
	void		*closed_arg;
};

/* Memory from input_max.  -ENOBUFS: none now, c waits and will go on. */
int	 receiver_memory(struct receiver *r, struct conn *c, size_t n,
	    uint8_t **ret_p);
void	 receiver_memory_back(struct receiver *r, void *p, size_t n);
/* c borrows nothing any more. */
void	 receiver_returned(struct receiver *r, struct conn *c);
/* Soon, and not from inside here: who waits tries again. */
void	 receiver_wake(struct receiver *r);
/* c is out of the set; frees it. */
void	 receiver_gone(struct receiver *r, struct conn *c);
/* Something of a connection must be watched from now on. */
void	 receiver_watch(struct receiver *r);

static inline struct counters *
conn_ctr(struct conn *c)
{
	return &c->r->env->ctr;
}

#endif
