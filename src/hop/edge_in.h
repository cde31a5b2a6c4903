/* SPDX-License-Identifier: ISC */
/*
 * edge_in.h - inside the edge: edge.c the pair and when letters go,
 * edge_letter.c one letter, edge_body.c what makes a body, edge_url.c where
 * to, edge_words.c what an answer means
 */
#ifndef EMPLOG_EDGE_IN_H
#define EMPLOG_EDGE_IN_H

#include "base/chunk.h"
#include "base/env.h"
#include "forward/message.h"
#include "hop/edge.h"

#define EDGE_MAGIC	0x45444745U
#define EDGE_URL_MAX	512
#define EDGE_MAKES	((size_t)1 << 20)
#define EDGE_MAKES_MIN	((size_t)64 << 10)

enum edge_state { EDGE_IDLE, EDGE_HELLO, EDGE_UP, EDGE_ENDS };

struct libdeflate_compressor;

/* Whole messages at the front of the input, for one letter. */
struct gather {
	size_t		 bytes;
	unsigned	 messages;
	unsigned	 asked;		/* of them want an acknowledgement */
	bool		 full;		/* the next one would be too much */
	unsigned	 streams;
	uint8_t		 stream[EDGE_STREAMS][STREAM_ID_LEN];
};

struct letter {
	struct edge	*e;
	struct op	 op;
	struct op	 again;		/* until the next try */
	unsigned	 tries;
	struct post	 post;
	uint8_t		*body;
	size_t		 len;		/* of body, packed or as it is */
	bool		 packed;
	struct gather	 what;
	bool		 used;		/* under way, or its answer is written */
	struct letter	*next;		/* answers to be written */
};

struct edge {
	uint32_t	 magic;
	struct env	*env;
	char		*url;		/* as posted to */
	char		*connect_to;	/* or NULL */
	char		*agent_id, *ca, *cert, *cert_key;
	char		*bearer;	/* "Bearer key", or NULL */
	struct post_header header[3];
	unsigned	 headers;	/* of them, without Content-Encoding */
	size_t		 body_max;	/* of more than one message */
	bool		 packs;		/* an edge found us too large */
	struct libdeflate_compressor *packer;	/* NULL: none was needed */

	enum edge_state	 state;
	bool		 wanted;	/* open again once ended */
	bool		 left;		/* nobody reads at the sender's end */
	bool		 late;		/* no more grace */
	void		(*opened)(void *arg, int res);
	void		*opened_arg;
	void		(*closed)(void *arg);
	void		*closed_arg;
	bool		 closing;
	int		 res;		/* of the hello */
	int		 fd;		/* our end of the pair, -1: none */
	struct op	 recv, send, close, timer, last;
	struct iovec	 iov;
	uint64_t	 wait_until_ns;

	uint8_t		*in;
	size_t		 in_cap, in_len;
	struct message_scan scan;	/* of the message behind gather */
	struct gather	 gather;
	struct letter	 letter[EDGE_LETTERS];
	struct letter	*home, **homep;	/* answers, in the order they came */
	char		 why[EDGE_WHY];
	int		 error;		/* as why; 0: none */
};

/*
 * edge_body.c.  Room to read into: 0; -ENOBUFS: what is there must go first;
 * -ENOMEM.
 */
int	 edge_room(struct edge *e);
/* All whole messages that make a body.  -errno: they are none. */
int	 edge_gather(struct edge *e);
/* One of its streams is under way already. */
bool	 edge_must_wait(const struct edge *e);
/* The front of the input becomes the body of l, the rest the input. */
int	 edge_take_body(struct edge *e, struct letter *l);
/* Bodies are too large: smaller and packed from now on; false: they are. */
bool	 edge_shrink(struct edge *e);

/* edge_letter.c.  One that is free, or NULL; whether any is not. */
struct letter *edge_letter_unused(struct edge *e);
bool	 edge_any_letter(const struct edge *e);
/*
 * l->body, len, packed and what are set; the body is freed with the letter.
 * -ENOMEM: it is free again.
 */
int	 edge_letter_post(struct letter *l, uint32_t timeout_ms);
void	 edge_letter_free(struct letter *l);
/* Once more: at once, or after a while by way of l->again. */
void	 edge_letter_send(struct letter *l);
void	 edge_letter_again(struct letter *l);
/* It may go well the next time, though nobody needed to do anything. */
bool	 edge_letter_may_pass(const struct letter *l, int64_t res);

/* edge_url.c: url and connect_to of conf.  -EINVAL, -ENOMEM. */
int	 edge_address(struct edge *e, const struct edge_conf *conf);

/*
 * edge_words.c: what became of a letter, res of its post.  0: post.answer
 * holds so many acknowledgements; -errno with the words in e->why.  The wait
 * asked for is noted.
 */
int	 edge_judge(struct edge *e, struct letter *l, int res,
	    unsigned *ret_acks);

#endif
