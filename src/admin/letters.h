/* SPDX-License-Identifier: ISC */
/*
 * letters.h - the dead letters of this host, seen by an observer
 *
 * What:     reads the segments of a directory of dead letters (queue.h) as
 *           they lie there, with or without a process that writes them, and
 *           tells each letter that is kept.
 * Used by:  dlq.c.
 * Never:    writes, locks, or waits for a lock.
 * Bounds:   one segment in memory; what is damaged is passed over.
 */
#ifndef EMPLOG_LETTERS_H
#define EMPLOG_LETTERS_H

#include "export/letter.h"
#include "queue/frame.h"

struct letter {
	uint64_t	 number;
	const struct frame *frame;	/* borrowed until each() returns */
	struct letter_note note;	/* the same */
};

/*
 * Calls each() of every letter kept, in order of their numbers but after a
 * repair of the queue.  Returns how many; -ENOENT: no such directory;
 * -EACCES, -ENOMEM, ….
 */
int64_t	 letters_each(const char *dir, void (*each)(void *arg,
	    const struct letter *l), void *arg);
/* Does a process have the directory?  1, 0; -errno: it cannot be told. */
int	 letters_are_run(const char *dir);
/*
 * Puts a request (asked.h) beside the letters, durably; path (cap bytes) is
 * its name, gone when it is done.  0 or -errno.
 */
struct asked_for;
int	 letters_ask(const char *dir, const struct asked_for *want,
	    char *path, size_t cap);

#endif
