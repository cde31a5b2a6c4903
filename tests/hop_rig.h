/* SPDX-License-Identifier: ISC */
/*
 * hop_rig.h - a receiver with a real queue on a real loop, for tests
 *
 * What:     one loop; a queue in a directory of its own; a receiver behind a
 *           port on loopback; raw clients; a stream of records whose content
 *           is known from their number.
 */
#ifndef TESTS_HOP_RIG_H
#define TESTS_HOP_RIG_H

#include "base/chunk.h"
#include "base/env.h"
#include "hop/port.h"
#include "hop/receiver.h"
#include "hop/sender.h"
#include "loop/loop.h"
#include "queue/queue.h"

struct rig {
	struct loop	*loop;
	struct env	 env;		/* of the receiving side */
	struct env	 out;		/* of a sender */
	struct queue	*queue;
	struct receiver	*receiver;
	struct port	*port;
	struct bridges	*bridges;	/* where pconf has tls */
	char		 dir[64];
	char		 bad[96];	/* quarantine */
	char		 addr[LOOP_ADDR_TEXT];
	bool		 opened, closed;
	struct queue_conf qconf;
	struct receiver_conf rconf;
	struct port_conf pconf;	/* but for listen, receiver, serve */
	bool		 forward_only;	/* the port has no serve */
	int		 http_fd;	/* what serve_take() was given, or -1 */
	struct serve	*serve;		/* with RIG_REAL_SERVE, or NULL */
	uint64_t	 random;
};

/* Changes of conf by a test come between these two. */
void	 rig_init(struct rig *r);
void	 rig_start(struct rig *r);
/* Receiver and queue end in order and come back on the same port. */
void	 rig_restart(struct rig *r);
/* What rig_start() made; rig_fini() does it too. */
void	 rig_stop(struct rig *r);
void	 rig_fini(struct rig *r);

/* Turns the loop until *cond; a test's own timeout ends it else. */
void	 rig_until(struct rig *r, bool (*cond)(struct rig *r, void *arg),
	    void *arg);
uint64_t rig_ctr(struct rig *r, enum ctr id);
/* Until a counter is at least n. */
void	 rig_until_ctr(struct rig *r, enum ctr id, uint64_t n);

/* ---- raw clients ---- */

int	 rig_client(struct rig *r);
void	 rig_send(struct rig *r, int fd, struct bytes b);
/* Exactly n bytes. */
void	 rig_expect(struct rig *r, int fd, struct bytes want);
/* The peer has closed and sent nothing more. */
void	 rig_expect_end(struct rig *r, int fd);
/* Nothing came so far. */
void	 rig_expect_nothing(int fd);

/* ---- what the queue holds ---- */

/* The next frame, waiting for it; body and identity lie in static memory. */
struct chunk rig_take(struct rig *r);
void	 rig_expect_empty(struct rig *r);

/* ---- known records ---- */

/* A seed that the test prints when it fails: RIG_SEED repeats one. */
uint64_t rig_seed(void);
uint64_t rig_random(struct rig *r, uint64_t below);

struct lane {			/* a stream as an agent would hold it */
	uint8_t		 stream[STREAM_ID_LEN];
	uint8_t		*mem;
	size_t		 len;
	size_t		*end;		/* of each record */
	size_t		 records;
};
void	 lane_init(struct lane *l, struct rig *r, size_t records,
	    size_t pad_max);
void	 lane_fini(struct lane *l);
/* The chunk of records [first, first + n). */
struct chunk lane_chunk(const struct lane *l, size_t first, size_t n);

/* Takes all frames; each record of l is there once, in order. */
void	 rig_expect_lane(struct rig *r, const struct lane *l);

#endif
