/* SPDX-License-Identifier: ISC */
/*
 * nth.h - of a process' calls for memory, or of its operations, one fails
 *
 * What:     stands between a struct env and its memory, between a loop and
 *           its backend, and between shm/ and its system; counts the calls;
 *           the nth one fails, or it and all behind it until nth_lift().
 * Used by:  tests/nth_town.c (simulated processes), tests/test_nth_*.c.
 * Never:    fails a timer (a backend is never asked for one), or leaves
 *           behind what a failure would not: a close that fails has closed, a
 *           sync that fails has lost what it was to keep.
 *
 *     env_alloc() --> nth_alloc() ---- n < at ----> env's own memory
 *                          '---------- else ------> NULL
 *     loop_*() --> op_start() --> nth's submit() -- n < at --> backend
 *                          '------ else --> completes with what the kernel
 *                                           says in such a case
 *
 * The same struct nth goes from one life of a process to the next: the calls
 * of a start after a crash, or after an end, are counted on.
 */
#ifndef NTH_H
#define NTH_H

#include <stdio.h>

#include "base/env.h"
#include "loop/backend.h"
#include "shm/sys.h"

/* What may fail: memory, an operation by its kind, what is no op, and calls
   of shm_sys. */
enum { NTH_MEMORY = OP_KINDS, NTH_LISTEN, NTH_PAIR, NTH_SHUTDOWN,
    NTH_WATCH_OPEN, SYS_RANDOM, SYS_OPEN, SYS_CLOSE, SYS_FSTAT, SYS_LSTAT,
    SYS_STATFS, SYS_MKDIR, SYS_MKFIFO, SYS_FCHMOD, SYS_RESIZE, SYS_FALLOCATE,
    SYS_PUNCH, SYS_RENAME, SYS_UNLINK, SYS_WRITE, SYS_READ, SYS_LOCK,
    SYS_LOCKED, SYS_MAP, SYS_LIST, NTH_KINDS };

enum nth_what { NTH_NOTHING, NTH_ALLOC, NTH_OP, NTH_SYS };

struct nth {
	enum nth_what	 what;
	uint64_t	 at;		/* the first call is 1 */
	bool		 ever;		/* those behind it too */
	bool		 lifted;
	bool		 loud;		/* says each that fails */
	uint64_t	 calls[NTH_KINDS];
	uint64_t	 allocs, ops, sys;	/* of all kinds */
	uint64_t	 failed;
	unsigned	 kind;		/* of the first that failed */
	/* the env's own */
	void		*(*alloc)(void *arg, size_t n);
	void		 (*release)(void *arg, void *p);
	void		*mem_arg;
	/* the loop's own */
	const struct backend *be;
	struct backend	 mine;
};

/* From now on env's memory is asked for through n; again for each life. */
void	 nth_memory(struct nth *n, struct env *env);
/* From now on l's operations pass through n; one loop at a time. */
void	 nth_loop(struct nth *n, struct loop *l);
/* A system whose calls pass through n; for each process of its own. */
struct nth_shm { struct shm_sys mine; const struct shm_sys *real; struct nth *n; };
const struct shm_sys *nth_shm(struct nth_shm *s, struct nth *n,
	    const struct shm_sys *real);
/* Nothing fails any more. */
void	 nth_lift(struct nth *n);
/* True: this call fails; counts it.  For what goes by other ways. */
bool	 nth_fails(struct nth *n, unsigned kind);
const char *nth_kind_name(unsigned kind);
/* -errno, as the kernel says it. */
int	 nth_kind_error(unsigned kind);
/* "memory 120; operations 310: accept 2, …". */
void	 nth_print(const struct nth *n, FILE *to);

#endif
