/* SPDX-License-Identifier: ISC */
/*
 * keep.h - bytes that are no records, kept in files
 *
 * What:     writes one run of bytes to a new file of the quarantine
 *           directory, named for where it came from and why; done when file
 *           and name are durable.
 * Used by:  src/hop/intake.c.  When it fails, or keep_max is reached, the
 *           caller stores the bytes in the queue instead.
 * Never:    deletes or overwrites what is there.
 */
#ifndef EMPLOG_KEEP_H
#define EMPLOG_KEEP_H

#include "base/chunk.h"
#include "loop/loop.h"

struct env;

struct keep {
	struct env	*env;
	const char	*dir;		/* borrowed */
	char		 parent[512];	/* directory that dir lies in */
	bool		 entered;	/* dir's name there is durable */
	uint64_t	 bytes;		/* kept since the start */
	uint64_t	 bytes_max;
	uint64_t	 files;
};

struct keep_job {
	struct op	 op;
	struct keep	*keep;
	uint8_t		 step;
	int		 fd;
	int		 res;
	struct bytes	 left;		/* borrowed until done() */
	size_t		 len;
	char		 path[512];
	void		(*done)(struct keep_job *job, int res);
	void		*arg;
};

void	 keep_init(struct keep *k, struct env *env, const char *dir,
	    uint64_t bytes_max);
/*
 * 0: done() comes; -EDQUOT: bytes_max is reached; -ENAMETOOLONG.
 * why is a word for the file's name.
 */
int	 keep_put(struct keep *k, struct keep_job *job,
	    const uint8_t stream[STREAM_ID_LEN], uint64_t from,
	    struct bytes bytes, const char *why);

#endif
