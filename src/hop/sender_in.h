/* SPDX-License-Identifier: ISC */
/*
 * sender_in.h - what the parts of the sender share: sender.c the connection,
 * from its dial to its end; sender_up.c what goes over it
 */
#ifndef EMPLOG_SENDER_IN_H
#define EMPLOG_SENDER_IN_H

#include "base/env.h"
#include "base/must.h"
#include "hop/dial.h"
#include "hop/outq.h"
#include "hop/patience.h"
#include "hop/peers.h"
#include "hop/sender.h"
#include "hop/shake.h"

#define SENDER_MAGIC	0x534e4452U
#define MS		UINT64_C(1000000)
#define CHUNKS_MAX	8192	/* under way at once */
#define IOVS		64
#define ANSWERS_BYTES	4096
#define LOST_AGAIN_MS	UINT64_C(60000)

enum sender_state { S_IDLE, S_DIAL, S_SHAKE, S_UP, S_LOST, S_WAIT, S_CLOSED };

struct sender {
	uint32_t	 magic;
	struct env	*env;
	struct sender_conf conf;
	char		*agent_id;
	struct peers	 peers;
	enum sender_state state;
	bool		 closing;
	bool		 missed;	/* told, or a peer was reached once */
	void		(*closed)(void *arg);
	void		*closed_arg;

	struct dial	 dial;
	struct shake	 shake;
	struct op	 send, recv, close, timer, last;
	uint64_t	 deadline;	/* of the state; 0: none */
	int		 fd;
	int		 why;
	char		 words[SHAKE_WHY];	/* of it; "": strerror's */
	bool		 was_up;	/* the connection that is lost */
	char		 told[SHAKE_WHY]; /* a refusal, until one answered */
	char		 lost[SHAKE_WHY]; /* the peer whose loss was told */
	uint64_t	 lost_ns;
	uint64_t	 since;
	uint64_t	 up_ns;		/* so long the last connection was up */
	struct patience	 patience;
	uint64_t	 taken_back;	/* chunks whose answer may still come */

	struct outq	 out;
	struct iovec	 iov[IOVS];
	size_t		 in_len;
	uint8_t		 in[ANSWERS_BYTES];
};

static inline void
sender_check(const struct sender *s)
{
	must(s != NULL);
	must(s->magic == SENDER_MAGIC);
}

static inline struct sender *
sender_of(struct op *op)
{
	struct sender *s = op->arg;

	sender_check(s);
	return s;
}

static inline struct counters *
ctr(struct sender *s)
{
	return &s->env->ctr;
}

/* ---- sender.c ---- */

/* s->deadline was set: the timer is to be there by then. */
void	 sender_arm(struct sender *s);
/* Last in each completion: the caller may free s in closed(). */
void	 sender_finish(struct sender *s);
/* Closes once nothing is under way on the connection. */
void	 sender_settle(struct sender *s);
/* What TLS says to why, or "". */
const char *sender_tls_words(const struct sender *s, int why);
/* The connection ends; words may be "". Nothing when it is not up. */
void	 sender_lose(struct sender *s, int why, const char *words);

/* ---- sender_up.c ---- */

/* The handshake is over. */
void	 up_begin(struct sender *s);
void	 up_gauge(struct sender *s);
/* What went as a whole may be there: it will be sent again all the same. */
void	 up_lost(struct sender *s, const struct hop_chunk *hc);
/* The time an answer must have come by is over, or not yet. */
void	 up_expired(struct sender *s);
void	 up_sent(struct op *op);
void	 up_received(struct op *op);

#endif
