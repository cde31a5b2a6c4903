/* SPDX-License-Identifier: ISC */
/*
 * ring.h - the directory of lanes as a producer sees it
 *
 * What:     is it safe to use, how much is in it, its FIFO and its counters.
 * Used by:  shm/writer.c, shm/pool.c.
 * Never:    follows a symlink, or trusts a directory that an ordinary user
 *           may have put in place of the agent's.
 *
 * Who may own the ring: this process's user, root, a system account (uid up
 * to RING_SYSTEM_UID, where the agent's is) or the one the caller names.  The
 * owner can read every lane in it through the setgid group, so any other is a
 * squatter.  Somebody else's directory must be sticky, else its other users
 * could put their files in place of ours.
 */
#ifndef EMPLOG_RING_H
#define EMPLOG_RING_H

#include "shm/lane.h"
#include "shm/sys.h"

#define RING_SYSTEM_UID	999
#define RING_MAX	(64u << 20)	/* and a quarter of the tmpfs */

/*
 * Makes dir (0700) when absent and says so in *ret_made.  -ELOOP a symlink,
 * -ENOTDIR, -EPERM squatted or writable by others without the sticky bit,
 * and what mkdir returns.
 */
int	 ring_check(const struct shm_sys *sys, const char *dir, uint32_t owner,
	    bool *ret_made);
/* What dir may hold, in bytes; max 0: by the rule. */
uint64_t ring_room(const struct shm_sys *sys, const char *dir, uint64_t max);
/* What its lanes hold, living, dead and being made. */
uint64_t ring_used(const struct shm_sys *sys, const char *dir);
/* A new lane's data bytes; want 0: a 64th of the tmpfs, within 256K..4M. */
uint64_t ring_lane_bytes(const struct shm_sys *sys, const char *dir,
	    uint64_t want);

/* Opens dir's FIFO, made when absent.  The descriptor or -errno. */
int	 ring_knock_open(const struct shm_sys *sys, const char *dir,
	    uint64_t *ret_ino);
/*
 * One byte into it.  -EBADF: fd is not that FIFO any more, because the
 * program closed descriptors it does not know; nothing was written.
 */
int	 ring_knock(const struct shm_sys *sys, int fd, uint64_t ino);

/*
 * Maps dir's ring.ctl, made when absent; NULL when it or dir cannot be had or
 * is not to be trusted.  Any user may cut it short: without a guard (guard.h)
 * it is written to by the system's count and poke only.  Given back by
 * ring_ctl_unmap().
 */
struct ring_ctl *ring_ctl_map(const struct shm_sys *sys, const char *dir,
	    uint32_t owner);
void	 ring_ctl_unmap(const struct shm_sys *sys, struct ring_ctl *ctl);

#endif
