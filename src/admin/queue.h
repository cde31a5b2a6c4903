/* SPDX-License-Identifier: ISC */
/*
 * queue.h - emplogd queue: what the files of this verb share
 *
 *   queue.c         which of them is meant; ls; who has the queue open
 *   queue_check.c   check: each damaged place
 *   queue_cat.c     cat: records as they lie there
 *   queue_export.c  export: what is not delivered, into a file
 *   queue_repair.c  repair: damage to quarantine
 *
 * All but repair only look (queue/look.h), beside whoever has it open.
 *
 * Exit status of each: QUEUE_CLEAN, QUEUE_DAMAGE when some of it is damaged,
 * missing or could not be given out, QUEUE_BLIND when nothing can be said.
 */
#ifndef EMPLOG_ADMIN_QUEUE_H
#define EMPLOG_ADMIN_QUEUE_H

#include "admin/admin.h"
#include "base/env.h"
#include "queue/look.h"

enum queue_exit { QUEUE_CLEAN = 0, QUEUE_DAMAGE = 1, QUEUE_BLIND = 2 };

struct qdir {
	struct admin	*a;
	const char	*verb;		/* "check", for words */
	const char	*path;
	struct loop	*loop;
	struct env	 env;
	bool		 busy;		/* somebody has the queue open */
	char		 who[80];	/* " (emplogd, pid 7)", or empty */
	/* of the last look */
	struct look_sum	 sum;
	uint64_t	 segments;	/* files, readable or not */
	int		 res;
	bool		 over;
	void		(*segment)(void *arg, const struct look_segment *s);
};

/* 0; QUEUE_BLIND, and it was said why.  Closed with qdir_close() in both. */
int	 qdir_open(struct qdir *d, struct admin *a, const char *verb,
	    const char *path);
void	 qdir_close(struct qdir *d);
/* Fills busy and who. */
void	 qdir_who(struct qdir *d);
/*
 * The whole of look, whose done is taken over; d->sum is what came of it.
 * 0; QUEUE_BLIND, and it was said why: no directory, no queue in it.
 */
int	 qdir_look(struct qdir *d, struct look *look);
/* Why a piece is damage, in words. */
void	 qdir_why(char buf[80], const struct look_damage *dm);
/* Why a segment cannot be read, in words: buf. */
const char *qdir_unread(char buf[80], const struct look_segment *s);
/* "emplogd queue verb: ..." on err. */
void	 qdir_say(struct qdir *d, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

int	 queue_check_verb(struct qdir *d);
int	 queue_cat_verb(struct qdir *d, bool all, bool json);
/* file must not be there yet. */
int	 queue_export_verb(struct qdir *d, bool forward, const char *file);
int	 queue_repair_verb(struct qdir *d);

#endif
