/* SPDX-License-Identifier: ISC */
/*
 * ingest_inner.h - what the two files of ingest.h share
 *
 *   ingest.c        requests as they come, and whose turn it is
 *   ingest_work.c   one request: body, sink, answer
 */
#ifndef EMPLOG_INGEST_INNER_H
#define EMPLOG_INGEST_INNER_H

#include "http/ingest.h"

#include "base/env.h"
#include "http/body.h"
#include "http/seen.h"

#define OUT_BYTES	(2 * JSON_RECORD_MAX)	/* <= CHUNK_BYTES_MAX */
#define HURRY_NS	200000000u	/* at the end a slow disk has so long */

struct again {			/* the same request, come meanwhile */
	struct again	*next;
	struct serve_req *req;
	bool		 durable;
};

struct work {			/* one request until it is answered */
	uint32_t	 magic;		/* WORK_MAGIC */
	struct work	*next;		/* on runnable or waiting */
	struct work	*later, **laterp;	/* on ingest->all */
	struct ingest	*ingest;
	struct serve_req *req;
	struct body	 in;
	struct seen_key	 key;
	size_t		 body_n;
	uint64_t	 taken;		/* records in the sink */
	uint64_t	 lost;		/* records there was no room for */
	uint64_t	 began_ns;	/* loop_now() clock */
	uint64_t	 wait_until;	/* loop_now() clock; 0: not waiting */
	uint64_t	 waits_end;	/* and not beyond; 0: never waited */
	uint64_t	 settle_at;	/* answered then, whatever the disk does */
	struct again	*again;		/* answered with it */
	unsigned	 puts;		/* handed in, not yet durable */
	bool		 durable;	/* the client waits for the disk */
	bool		 failed;	/* a put will never be durable */
	bool		 ended;		/* the body has been read */
	bool		 answered;	/* before its puts were done */
};
#define WORK_MAGIC	0x574f524bU

struct list {
	struct work	*first;
	struct work	**end;
};

struct ingest {
	uint32_t	 magic;		/* INGEST_MAGIC */
	struct env	*env;
	struct ingest_conf conf;
	struct op	 timer;
	struct list	 runnable;	/* bodies not read to their end */
	struct list	 waiting;	/* for room; oldest first */
	struct list	 settling;	/* for the disk, a while; oldest first */
	unsigned	 waiting_n;
	size_t		 waiting_bytes;
	struct work	*all;		/* the newest first */
	bool		 hurried;	/* nobody waits for room any more */
	bool		 dying;
	struct seen	*seen;
	uint8_t		*out;		/* OUT_BYTES */
};
#define INGEST_MAGIC	0x494e4753U

static inline void
ingest_count(struct ingest *i, enum ctr id, uint64_t n)
{
	if (n > 0)
		ctr_add(&i->env->ctr, id, n);
}

/* Records are lost whose client is not told so. */
static inline void
ingest_drop(struct ingest *i, uint64_t n)
{
	if (n == 0)
		return;
	ctr_add(&i->env->ctr, CTR_ingest_dropped, n);
	if (i->conf.dropped != NULL)
		i->conf.dropped(i->conf.arg);
}

static inline void
list_init(struct list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static inline void
list_add(struct list *l, struct work *w)
{
	w->next = NULL;
	*l->end = w;
	l->end = &w->next;
}

/* It is on the list, near its beginning. */
static inline void
list_remove(struct list *l, struct work *w)
{
	struct work **at = &l->first;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (*at == NULL)
		l->end = at;
}

static inline struct work *
list_take(struct list *l)
{
	struct work *w = l->first;

	if (w == NULL)
		return NULL;
	l->first = w->next;
	if (l->first == NULL)
		l->end = &l->first;
	w->next = NULL;
	return w;
}

/* ---- ingest_work.c ---- */

/* The client wants to hear of the disk, or of a lack of room. */
bool	 wants_disk(const struct serve_req *req);
/* No body; with Retry-After when it is 503. */
void	 answer_plain(struct serve_req *req, int status);
void	 answer_text(struct serve_req *req, int status, const char *text);
/*
 * Takes over req when it returns 0; -EBADMSG: a form without records;
 * -ENOMEM.
 */
int	 work_new(struct ingest *i, struct serve_req *req,
	    struct seen_key key, struct work **ret_work);
/* One turn's share of a body; w is on a list again or gone afterwards. */
void	 work_step(struct work *w);
/* Answers those whose disk has been slow for too long. */
void	 work_settle_late(struct ingest *i);

#endif
