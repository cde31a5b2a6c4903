/* SPDX-License-Identifier: ISC */
/*
 * quarantine.h - keeps bytes that are no frames, with the reason
 *
 *   quarantine/<segment>-<offset>.bin   a damaged piece
 *   quarantine/<segment>-<offset>.why   one line of text
 *   quarantine/<segment>-<offset>-<end>.bin, .why   the same, where a piece
 *                                       of another length was copied before
 */
#ifndef EMPLOG_QUARANTINE_H
#define EMPLOG_QUARANTINE_H

#include "queue/priv.h"

enum quarantine_state {
	Q_MKDIR, Q_HOME_SYNC, Q_OPEN, Q_STAT, Q_READ, Q_WRITE, Q_SYNC, Q_CLOSE,
	Q_DIR_OPEN, Q_DIR_SYNC, Q_DIR_CLOSE, Q_WHY_OPEN,
	Q_WHY_WRITE, Q_WHY_CLOSE,
};

struct quarantine {
	struct op	 op;
	struct queue	*q;
	enum quarantine_state state;
	char		*path;
	struct pages	 mem;
	int		 from_fd;
	int		 fd;
	uint64_t	 number;
	struct range	 piece;
	uint64_t	 at;
	bool		 grown;		/* the name says its end too */
	size_t		 len;
	int		 res;
	char		 why[192];
	void		(*done)(struct quarantine *qu, int res);
	void		*arg;
};

int	 quarantine_init(struct quarantine *qu, struct queue *q);
void	 quarantine_fini(struct quarantine *qu);
/*
 * Copies a piece of a segment.  done(0); -EEXIST: it was copied at an
 * earlier start; else it could not be, and the segment must be kept.
 */
void	 quarantine_piece(struct quarantine *qu, int from_fd, uint64_t number,
	    struct range piece);

#endif
