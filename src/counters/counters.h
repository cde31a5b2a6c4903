/* SPDX-License-Identifier: ISC */
/*
 * counters.h - what happened, in one mapped page per process and role
 *
 * What:     one u64 per line of counters.def, and a header.  The file is
 *           state_dir/<role>/counters, or private memory in tests.
 * Used by:  every part writes its own; status, audit and /metrics read.
 * Never:    locks or makes a system call to count.
 *
 *   0    the head below, 256 bytes
 *   256  u64 per counter, in the order of counters.def
 *   then the names, each ended by a NUL, in the same order: a reader of
 *        another version takes what it knows by name
 *
 * A gauge is a counter that may go down; only one writer sets it.
 */
#ifndef EMPLOG_COUNTERS_H
#define EMPLOG_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ctr {
#define COUNTER(part, name, kind, brief, text) CTR_##name,
#include "counters/counters.def"
#undef COUNTER
	CTR_COUNT
};

enum ctr_kind { CTR_COUNTER, CTR_GAUGE };

struct counters_head {
	char		 magic[8];
	uint32_t	 version;
	uint32_t	 header_bytes;
	uint32_t	 count;
	uint32_t	 pid;
	uint64_t	 names_bytes;	/* right behind the words */
	uint64_t	 started_ns;	/* wall clock */
	uint64_t	 seen_ns;	/* wall clock, every few seconds */
	char		 role[16];
	char		 io[16];
	char		 state[16];	/* "run", "drain", "done" */
	uint8_t		 pad[160];	/* zero */
};

struct counters {
	struct counters_head	*head;
	uint64_t		*word;	/* CTR_COUNT of them */
	size_t			 mapped;	/* 0: private memory */
	void			*own;		/* private memory, or NULL */
	int			 fd;		/* mapped: holds the lock */
	int			 held;		/* peeked: see counters_peek() */
};

struct ctr_info {
	const char	*part;		/* "agent", "hop", "queue", … */
	const char	*name;
	enum ctr_kind	 kind;
	const char	*brief;		/* one line */
	const char	*text;		/* for emplogd-counters(7) */
};

extern const struct ctr_info ctr_info[CTR_COUNT];

/* Private memory.  -ENOMEM: c is empty, and must not count. */
int	 counters_init(struct counters *c);
/* In memory of the caller's: counters_bytes() of zeros that outlive c. */
size_t	 counters_bytes(void);
void	 counters_init_in(struct counters *c, void *mem);
/*
 * Maps path (made when absent, 0644) and takes over, by name, what a file
 * already there counts; a damaged one is begun anew.  Holds a lock on it
 * until counters_fini() or the process' end.  Blocking; start-up only.  0 or
 * -errno, -EBUSY: another process counts there, and nothing was touched; on
 * failure the private memory stays in use.
 */
int	 counters_map(struct counters *c, const char *path, const char *role);
/*
 * Read-only view of another process's file, also of a stopped one, also of
 * another version (taken by name).  c->held: 1 a process counts in it, 0
 * none does, -1 the file system cannot tell.  -EINVAL: not one of ours.
 */
int	 counters_peek(struct counters *c, const char *path);
void	 counters_fini(struct counters *c);

_Static_assert(sizeof(struct counters_head) == 256, "the head is 256 bytes");

static inline void
ctr_add(struct counters *c, enum ctr id, uint64_t n)
{
	/* relaxed: one writer per word, readers want any recent value */
	__atomic_store_n(&c->word[id],
	    __atomic_load_n(&c->word[id], __ATOMIC_RELAXED) + n,
	    __ATOMIC_RELAXED);
}

static inline void
ctr_set(struct counters *c, enum ctr id, uint64_t v)
{
	__atomic_store_n(&c->word[id], v, __ATOMIC_RELAXED);
}

static inline uint64_t
ctr_get(const struct counters *c, enum ctr id)
{
	return __atomic_load_n(&c->word[id], __ATOMIC_RELAXED);
}

#endif
