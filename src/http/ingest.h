/* SPDX-License-Identifier: ISC */
/*
 * ingest.h - records that come by HTTP, at the agent (:9880) and the relay
 *
 * What:     any path: a body of JSON (object, array, NDJSON), msgpack or a
 *           form's json= becomes Forward entries, handed to a sink in pieces
 *           of at most CHUNK_BYTES_MAX.
 * Answers:  201 to every client, counting what could not be taken: when the
 *           death of this process does not reach its records any more, or
 *           after a second, as an old client gives up after five; a client
 *           that sends "Emplog-Ack: agent" (or relay) gets 200 only after
 *           the sink says durable, and 503 + Retry-After instead of a
 *           counted drop.  400 with the place of the fault when nothing in
 *           the body was a record and the client sent Emplog-Ack; else 2xx.
 * Exact duplicates (same path and body) within 2 s are recognised,
 * acknowledged and counted (ingest_duplicates), also of a request that is
 * still under way.
 * Answers are 201, 200, 400, 503 and, for methods other than POST and PUT,
 * 405; GET of a path the role knows is the role's before it comes here.
 */
#ifndef EMPLOG_INGEST_H
#define EMPLOG_INGEST_H

#include "base/chunk.h"
#include "loop/serve.h"

struct env;
struct ingest;

/* A piece on its way into the sink. */
struct ingest_put {
	void		(*done)(struct ingest_put *put, int res); /* 0: durable */
	void		*arg;
	void		*sink;		/* the sink's own */
	struct ingest_put *next;
};

struct ingest_conf {
	/*
	 * Takes whole entries; copies them before it returns.  0: calls
	 * put->done() when they are on disk, or with -errno when they will
	 * never be; also from inside this call.  1, and never when durable:
	 * they are where they outlive this process, put is not kept.
	 * Else nothing was taken and put is not kept: -EAGAIN: no room at
	 * this moment, ingest_resume() will be called (waited for, half a
	 * second at most, and two for all pieces of a client that does not
	 * ask for an acknowledgement); -ENOSPC or any other: no room.
	 */
	int		(*sink)(void *arg, struct bytes entries,
			    uint32_t records, bool durable,
			    struct ingest_put *put);
	void		*arg;
	/* Something was counted in ingest_dropped.  May be NULL. */
	void		(*dropped)(void *arg);
	unsigned	 turn_bytes;	/* JSON per turn; 256 KiB when 0 */
};

/* 0, -ENOMEM. */
int	 ingest_new(struct ingest **ret_i, struct env *env,
	    const struct ingest_conf *conf);
/* Takes over the request; answers it. */
void	 ingest_request(struct ingest *i, struct serve_req *req);
/*
 * serve_conf.refused: a request that was refused before it came here, and
 * status.  What it is to be answered with: the same, but 201 for a client
 * that would not come again; it counts as one record dropped.
 */
int	 ingest_refused(struct ingest *i, const struct serve_req *req,
	    int status);
/* Room again in the sink. */
void	 ingest_resume(struct ingest *i);
/* The end is near: from now on nobody waits for room. */
void	 ingest_hurry(struct ingest *i);
/*
 * Every request has been answered (serve_close() waits for that).  The loop
 * must turn once more before it is freed itself.  Accepts NULL.
 */
void	 ingest_free(struct ingest **i);

#endif
