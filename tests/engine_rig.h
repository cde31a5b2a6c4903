/* SPDX-License-Identifier: ISC */
/*
 * engine_rig.h - the export over a queue and a backend, in virtual time
 *
 * What:     a world of one process (src/sim), its queue in /queue, its dead
 *           letters in /dead, and a backend that is a function.
 * Used by:  test_engine.c, test_letters.c, test_outage.c.
 */
#ifndef EMPLOG_ENGINE_RIG_H
#define EMPLOG_ENGINE_RIG_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "export/export.h"
#include "forward/mp.h"
#include "queue/queue.h"
#include "sim/inner.h"	/* faults from a certain moment on */

#define MS		UINT64_C(1000000)
#define S		UINT64_C(1000000000)
#define POSTS_MAX	65536
#define EVENTS_MAX	100000		/* in one go: it turns in place */

struct seen {
	uint64_t	 at_ns;
	int		 status;
};

extern struct sim *sim;
extern struct sim_host *host;
extern struct sim_proc *proc;
extern struct env env;
extern struct queue *queue;
extern struct export *export;
extern struct export_conf conf;
extern uint64_t queue_age_ns;		/* 0: for ever */
extern unsigned durable_n;
extern int stopped_n;
extern struct seen post[POSTS_MAX];
extern unsigned post_n;
extern unsigned lines_n;		/* log lines that hold `sought` */
extern const char *sought;
/* What the backend says: by number of request, or by what is in it. */
extern int (*say)(unsigned nth, struct bytes body, struct post *p);

/* Before each test. */
void	 reset(void);
void	 start(int (*backend)(unsigned, struct bytes, struct post *));
/* The process is gone without a word, or power is; it is started again. */
void	 crash_and_start(bool power);
/* So many events more, or until nothing happens for a minute. */
void	 happen(unsigned n);
void	 stop(void);
/* Also when nothing else happens. */
void	 pass(uint64_t ns);
bool	 has(struct bytes body, const char *text);
/* What the frames given from now on have; a msgpack map, or empty. */
extern struct bytes identity;
extern uint8_t flags, encoding;
/* n records in one frame, each with this message. */
void	 give(const char *message, uint32_t n);
/* A frame with these entries. */
void	 put_body(const struct mpw *w, const uint8_t *body, uint32_t records);
uint64_t count(enum ctr c);
void	 stopped(void *arg);
void	 opened(void *arg, int res);

#endif
