/* SPDX-License-Identifier: ISC */
/*
 * guard.h - a process outlives a mapped file that shrinks under it
 *
 * What:     one table of mapped ranges per process and one SIGBUS handler.  A
 *           fault inside a range puts zero pages over it, from the faulting
 *           page to the range's end (a truncated file has nothing behind
 *           it either), and marks the range; the access then goes on.
 * Used by:  shm/reader.c (lanes), src/drain/ringctl.c (ring.ctl).
 * Never:    jumps out of the faulting code, allocates, or hides a SIGBUS that
 *           is not its own: that one ends the process as it would without us.
 *
 * Threads: slots are taken and given back by any thread; the handler runs in
 * whichever thread faulted and only loads the table.
 */
#ifndef EMPLOG_GUARD_H
#define EMPLOG_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#define GUARD_SLOTS	4096

/* Installs the handler once per process; again is fine.  0 or -errno. */
int	 guard_install(void);
/*
 * Guards [base, base + bytes), a mapping readable and perhaps writable,
 * until guard_remove(), which comes before the munmap.  A slot, or -ENOSPC.
 */
int	 guard_add(void *base, uint64_t bytes, bool writable);
void	 guard_remove(int slot);
/* Bytes at the range's front that never faulted; all of it when none did. */
uint64_t guard_intact(int slot);

#endif
