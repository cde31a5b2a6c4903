/* SPDX-License-Identifier: ISC */
/*
 * export.h - from the queue to the backend, until it says yes
 *
 * What:     takes frames off a queue, makes OTLP requests of them, sends up to
 *           requests_max at a time, does with each answer what DESIGN 10 says
 *           and commits the frames of a request after its answer.  Without an
 *           endpoint it writes OTLP/JSON lines to local files.
 * Used by:  roles/relay.c, roles/exporter.c.
 * Never:    commits before the answer, drops a record without a counter,
 *           retries what cannot be accepted, forgets what could be.
 *
 *            fill            encode          post            answer
 *   FREE ----------> READY ----------> SENDING ----> done: pop, next range
 *     ^                ^                   |    ----> retry: WAITING, due
 *     |                '--- WAITING <------'    ----> halve, bisect: split
 *     '------ all ranges delivered, frames committed -> hold: READY, probe
 *
 * At most requests_max batches are in memory, so an outage holds at most
 * those; everything else stays in the queue.  With the first success after it
 * what is fresh goes beside the backlog (queue_return()); a request is of one
 * of the two flows, so what a backend has against old records does not hold
 * up the new ones.  The lines of local files stay in one.
 */
#ifndef EMPLOG_EXPORT_H
#define EMPLOG_EXPORT_H

#include "otlp/otlp.h"

struct env;
struct export;
struct queue;

#define EXPORT_PROBE_NS		UINT64_C(30000000000)	/* while held */
#define EXPORT_TRUST_NS		UINT64_C(600000000000)	/* DESIGN 10: 10 min */
#define EXPORT_BISECT_NS	UINT64_C(1000000000)
#define EXPORT_LINGER_NS	UINT64_C(100000000)

struct export_conf {
	const char	*endpoint;	/* base URL, "" for local files */
	const char	*token;		/* "" for none */
	const char	*dataset;	/* "" for none */
	const char	*headers;	/* "name=value, name=value" */
	bool		 gzip;
	unsigned	 requests_max;	/* 1..64 */
	size_t		 batch_bytes;
	uint32_t	 timeout_ms;
	struct otlp_conf otlp;		/* format is chosen by endpoint */
	const char	*file_dir;
	uint64_t	 file_max;
	unsigned	 files_keep;
	const char	*dead_dir;
};

/* What is going on, for /ready, /test and status. */
struct export_state {
	int		 last_status;	/* 0: no answer yet, or none came */
	int		 hold_status;	/* not 0: held because of this */
	bool		 circuit_open;
	uint64_t	 last_ok_ns;	/* wall, 0: never */
	const char	*words;		/* the backend's or curl's last ones */
};

/* Borrows queue; copies all of conf. 0, -ENOMEM, -EINVAL (headers). */
int	 export_new(struct export **ret_e, struct env *env,
	    struct queue *queue, const struct export_conf *conf);
/* ready(arg, res): files and dead letters are open, work begins. */
void	 export_start(struct export *e, void (*ready)(void *arg, int res),
	    void *arg);
/* The queue said notify(). */
void	 export_notify(struct export *e);
/*
 * No new requests; those under way may end until at_ns (loop_now), then
 * they are cancelled.  What was not answered stays in the queue.
 */
void	 export_stop(struct export *e, uint64_t at_ns,
	    void (*stopped)(void *arg), void *arg);
void	 export_free(struct export **e);
/*
 * New endpoint, token, headers, limits: when no request is under way.
 * -ENOTSUP: from files to an endpoint or back needs a restart; -EINVAL.
 */
int	 export_reconf(struct export *e, const struct export_conf *conf);

/*
 * taken = accepted + rejected + dead letters + no records + held, in records,
 * since the counters began.
 */
bool	 export_conserves(const struct export *e);

void	 export_state(const struct export *e, struct export_state *ret);

/* Tells what became of one frame; the caller's until told() or unwatch. */
struct export_watch {
	uint64_t	 seq;
	/* delivered: accepted; else it went to the dead letters */
	void		(*told)(struct export_watch *w, bool delivered,
			    int status, const char *words);
	void		*arg;
	struct export_watch *next;
};
void	 export_watch(struct export *e, struct export_watch *w);
void	 export_unwatch(struct export *e, struct export_watch *w);

#endif
