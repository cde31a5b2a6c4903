/* SPDX-License-Identifier: ISC */
/*
 * file.h - the local export: OTLP/JSON lines in files rotated by size
 *
 * What:     appends one line at a time and says when it is durable.
 *
 *   dir/logs.jsonl                     being written
 *   dir/logs-00000001.jsonl …          complete, the highest is the newest;
 *                                      beyond files_keep the oldest goes
 *
 * A line torn by a crash is cut off at the next start (nobody was told it
 * was there), one that could not be written at once, or before anything else
 * if that fails.  After a write or sync that failed, but for want of room,
 * nothing more goes to that file: it is rotated away, or removed if it holds
 * no line.
 * One line is under way at a time.
 */
#ifndef EMPLOG_EXPORT_FILE_H
#define EMPLOG_EXPORT_FILE_H

#include "loop/loop.h"

struct env;
struct efile;

struct efile_conf {
	const char	*dir;		/* made when absent */
	uint64_t	 bytes_max;
	unsigned	 files_keep;
};

/* Copies dir. 0 or -ENOMEM. */
int	 efile_new(struct efile **ret_f, struct env *env,
	    const struct efile_conf *conf);
/* ready(arg, res): 0, or -EACCES, -EROFS, -ENOSPC, …. */
void	 efile_open(struct efile *f, void (*ready)(void *arg, int res),
	    void *arg);
/*
 * Appends line and a newline; borrowed until done(arg, res).  0: durable.
 * -ENOSPC, -EIO, …: it is not; try again later.  -EBUSY: one is under way.
 */
int	 efile_write(struct efile *f, struct bytes line,
	    void (*done)(void *arg, int res), void *arg);
/* Not while a line is under way. */
void	 efile_close(struct efile *f, void (*closed)(void *arg), void *arg);
void	 efile_free(struct efile **f);

#endif
