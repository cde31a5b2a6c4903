/* SPDX-License-Identifier: ISC */
/*
 * fates.h - what became of which bytes, where a role let go of them
 *
 * What:     a bounded set of ranges of streams, each with its fate, in one
 *           mapped file beside the counters, state_dir/<role>/fates.  The
 *           counters say how many; this says which, so that one counted drop
 *           cannot hide one that was not.
 * Used by:  who exports notes all that leaves (done, bad, dead), a queue what
 *           is too old, an agent what no connection carries and what was in a
 *           lane that was spoiled; emplogd audit holds it against what a
 *           lane or a queue had.
 * Never:    locks, allocates once it is open, or makes a system call to note.
 *
 *   0      the head below, 128 bytes
 *   128    FATES_MAX entries of 56 bytes, in no order; fate 0: free
 *
 *   queue took     [0 ------------------------------------------ 900)
 *   held           ................................ [700 ------- 900)
 *   fates          [0 -- done -- 300) [340 - done - 700)
 *                                   ^ dead [300,320), and of [320,340)
 *                                     nobody knows: the audit names it
 *
 * Invariants
 *   1. A range is noted before its frame is committed.
 *   2. Entries of one stream and fate neither overlap nor touch: they are
 *      joined.  Those of other fates may overlap.
 *   3. Full, the streams not noted for longest go, each as a whole, and count
 *      in evicted; of a stream that may be one of them nothing is known below
 *      its first entry.
 *   4. What a queue had taken when its file was begun is "before": begun anew
 *      are files of another version and, after a crash of the machine, of
 *      another boot, for the kernel may not have written all of it.
 */
#ifndef EMPLOG_FATES_H
#define EMPLOG_FATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FATES_MAX	4096
#define FATES_STREAM	16		/* STREAM_ID_LEN */

enum fate {
	FATE_NONE,
	FATE_BEFORE,		/* taken before this file began */
	FATE_DONE,		/* in a request that was answered */
	FATE_BAD,		/* no record can be made of it, or a mark */
	FATE_DEAD,		/* kept as a dead letter */
	FATE_AGED,		/* too old */
	FATE_REFUSED,		/* no connection can carry it */
	FATE_LOST,		/* its lane was spoiled */
	FATE_COUNT
};

struct fate_entry {
	uint8_t		 stream[FATES_STREAM];
	uint64_t	 from, to;
	uint64_t	 noted_ns;	/* wall clock, the last time */
	uint32_t	 fate;
	uint32_t	 pad[3];
};

struct fates_head {
	char		 magic[8];	/* written last: see fates_begin() */
	uint32_t	 version;
	uint32_t	 entries;
	uint64_t	 evicted;	/* streams */
	uint32_t	 clean;		/* 1: closed, all of it is on disk */
	char		 boot[40];	/* of the kernel */
	uint8_t		 pad[60];
};

_Static_assert(sizeof(struct fates_head) == 128, "the head is 128 bytes");
_Static_assert(sizeof(struct fate_entry) == 56, "an entry is 56 bytes");

struct fates;

/*
 * Maps path, made when absent.  Blocking; start-up only, after the lock on
 * the counters is held.  0, -ENOMEM or what the system said; then there is no
 * file of that name, which would be believed later.
 */
int	 fates_map(struct fates **ret_f, const char *path);
/* In private memory.  -ENOMEM. */
int	 fates_new(struct fates **ret_f);
/* Accepts NULL.  A mapped file is synced. */
void	 fates_free(struct fates **f);

/*
 * True until fates_begin(): whose queue this is notes what it has taken
 * first.  A process that ends in between leaves a file that is begun anew.
 * No fates at all (NULL) are not fresh.
 */
bool	 fates_is_fresh(const struct fates *f);
void	 fates_begin(struct fates *f);
/* Never fails; empty ranges and no fates (NULL) are no-ops. */
void	 fates_note(struct fates *f, const uint8_t stream[FATES_STREAM],
	    uint64_t from, uint64_t to, enum fate fate, uint64_t wall_ns);

/*
 * Calls see for each entry of a file, beside a running role too.  -ENOENT;
 * -EINVAL: not one of ours, or not begun.
 */
int	 fates_read(const char *path, void (*see)(void *arg,
	    const struct fate_entry *e), void *arg, uint64_t *ret_evicted);

#endif
