/* SPDX-License-Identifier: ISC */
/*
 * sim.h - a world in one thread: virtual time, network, disks, processes
 *
 * What:     the loop's third backend.  A world has hosts; a host has a disk
 *           (files and a shared memory directory that outlives processes) and
 *           processes; a process has a loop.  Everything that happens is an
 *           event at a virtual instant; one seed decides all of it.
 * Used by:  tests/test_sim.c; the roles themselves do not know.
 * Never:    reads a real clock, a real random number, or an address's value.
 *
 *   sim_run() : next event -> its loop: loop_complete() -> loop_turn() -> …
 *
 * Network: all hosts share 127.0.0.1; a connection is two byte streams with
 * delay, bounded windows, short sends and receives; it can be cut, or fall
 * silent with neither end being told.  A tap sees and changes what the side
 * that was connected to sends.
 * Disk: a write is in the cache until an fsync of its file returned; a crash
 * of the host loses any subset of unsynced 512 byte sectors and of unsynced
 * directory entries, and may tear one sector.  A crash of a process alone
 * loses nothing of the disk but what a failed fsync has given up.
 * A failed fsync: some of the file's sectors reached the disk, the kernel
 * believes that all did and forgets the error.  Of the others the pages are
 * dropped (reads return what is on the disk, at once) or kept (reads return
 * what was written; a later fsync succeeds and changes nothing; a power loss,
 * or at a process's crash the want of memory, takes them).
 *
 * Faults are drawn from the seed with the probabilities below, per million.
 */
#ifndef EMPLOG_SIM_H
#define EMPLOG_SIM_H

#include "loop/loop.h"
#include "shm/sys.h"

struct sim;
struct sim_host;
struct sim_proc;

struct sim_faults {
	uint32_t	 cut;		/* a connection, per send */
	uint32_t	 short_io;	/* fewer bytes than asked, per send, recv,
					   write */
	uint32_t	 one_byte;	/* a run of receives of one, per recv */
	uint32_t	 together;	/* waits for what comes behind, per send */
	uint32_t	 late;		/* by seconds, per send */
	uint32_t	 silent;	/* a connection is half-open, per send */
	uint32_t	 write_error;	/* EIO or ENOSPC, per write */
	uint32_t	 read_error;	/* EIO, per read of a file on disk */
	uint32_t	 fsync_error;
	uint64_t	 net_delay_ns;	/* most, of one way */
	uint64_t	 disk_delay_ns;	/* most, of one fsync */
};

enum sim_fault { FAULT_CUT, FAULT_SHORT, FAULT_ONE_BYTE, FAULT_TOGETHER,
    FAULT_LATE, FAULT_SILENT, FAULT_DARK, FAULT_SHORT_WRITE, FAULT_EIO,
    FAULT_READ_EIO, FAULT_READ_BAD, FAULT_ENOSPC, FAULT_FULL, FAULT_FSYNC,
    FAULT_DROPPED, FAULT_KEPT, FAULT_KEPT_LOST, FAULT_DIR_FSYNC, FAULT_UNSYNCED,
    FAULT_UNNAMED, FAULT_TORN, FAULT_FLIP, FAULT_CLOCK, FAULT_STOP,
    FAULT_PROC_CRASH, FAULT_HOST_CRASH, FAULT_KINDS };

int	 sim_new(struct sim **ret_sim, uint64_t seed,
	    const struct sim_faults *faults);
/* Frees hosts and processes too. */
void	 sim_free(struct sim **sim);

struct sim_host *sim_host_new(struct sim *s, const char *name);
/* A process with its own loop; NULL: no memory. */
struct sim_proc *sim_proc_new(struct sim_host *h, const char *name);
struct loop	*sim_loop(struct sim_proc *p);
/* Its view of files and clock, for shm/. */
const struct shm_sys *sim_shm(struct sim_proc *p);
/*
 * Memory of the process: all of it goes when the process ends or crashes.
 * For env->alloc, env->release and env->mem_arg.
 */
void	*sim_alloc(void *proc, size_t n);
void	 sim_release(void *proc, void *p);

/* The process is gone between two instructions: locks, sockets, memory. */
void	 sim_crash(struct sim_proc *p);
/* The host loses power: its processes, and what was not synced. */
void	 sim_power_loss(struct sim_host *h);
/* SIGSTOP and SIGCONT: what it asked for completes, it does not go on. */
void	 sim_stop(struct sim_proc *p, bool stopped);
/* Until then nothing comes from this host nor to it, and then all at once. */
void	 sim_dark(struct sim_host *h, uint64_t until_ns);
/* The host's wall clock jumps. */
void	 sim_clock(struct sim_host *h, int64_t by_ns);
/* Times that an fsync of a file failed there. */
uint64_t sim_syncs_failed(const struct sim_host *h);
/* Until then every read of a file on its disk is EIO. */
void	 sim_unreadable(struct sim_host *h, uint64_t until_ns);
/* No file grows while it is full. */
void	 sim_disk_full(struct sim_host *h, bool full);
/*
 * Of the reads of its files from now on, the first `after` are good, and the
 * `n` behind them fail.  Returns how many there were since it was last called.
 */
uint64_t sim_read_fails(struct sim_host *h, uint64_t after, uint64_t n);
/*
 * Flips one durable bit of one file whose path begins with prefix.  -ENOENT:
 * there is none.  Where, and the file as it is now, lent until the next event;
 * another XOR of mask undoes it.
 */
struct sim_flip { const char *path; struct bytes now; uint64_t at; uint8_t mask; };
int	 sim_flip(struct sim_host *h, const char *prefix,
	    struct sim_flip *ret_flip);
/* Ends a process whose loop has nothing pending. */
void	 sim_end(struct sim_proc *p);

/*
 * Runs until nothing happens any more, until until_ns, or until done(arg) is
 * true (looked at after each event; may be NULL).  Returns events handled.
 */
uint64_t sim_run(struct sim *s, uint64_t until_ns, bool (*done)(void *arg),
	    void *arg);
uint64_t sim_now(const struct sim *s);
/* Wall clock of a host. */
uint64_t sim_wall(const struct sim_host *h);
/* Bytes of sim_alloc() in use, and the most there ever were. */
size_t	 sim_memory(const struct sim_proc *p, size_t *ret_most);
uint64_t sim_random(struct sim *s, uint64_t below);
/* Hash of everything that happened so far: equal for equal seeds. */
uint64_t sim_trace(const struct sim *s);
uint64_t sim_fired(const struct sim *s, enum sim_fault f);
/* How likely they are from now on: the world's own, to be changed. */
struct sim_faults *sim_odds(struct sim *s);
/* No faults from now on. */
void	 sim_calm(struct sim *s);

/*
 * What answers loop_post(): sets status, content_type, answer_len; returns
 * 0 or -errno for no answer.
 */
void	 sim_backend(struct sim *s, int (*answer)(void *arg,
	    struct post *post), void *arg);

/*
 * What an accepted connection sends passes here.  The tap may change the
 * bytes within cap, delay them, or have the connection cut instead.
 */
struct sim_tapped {
	struct sim_proc	*from, *to;	/* to: NULL when it is gone */
	uint64_t	 connection;	/* no two have the same */
	uint8_t		*bytes;
	size_t		 n, cap;
	uint64_t	 delay_ns;
	bool		 lose;
};
#define SIM_TAP_ROOM	1024		/* cap is n and this */
void	 sim_tap(struct sim *s, void (*tap)(void *arg,
	    struct sim_tapped *t), void *arg);

/* A whole file as the process sees it, lent until the next event; or none. */
int	 sim_file(struct sim_host *h, const char *path, struct bytes *ret);
/* Bytes of any file, of shared memory too; how many, or -errno. */
int64_t	 sim_peek(struct sim_host *h, const char *path, uint64_t off,
	    void *buf, size_t len);
size_t	 sim_files(struct sim_host *h, void (*each)(void *arg,
	    const char *path, struct bytes content), void *arg);

/* What was done to a disk; path and data are lent for the call. */
struct sim_disk_op {
	enum op_kind	 kind;		/* OP_WRITE, OP_FSYNC, OP_TRUNCATE,
					   OP_FALLOCATE; OP_OPEN and OP_MKDIR:
					   made; OP_RENAME, OP_UNLINK */
	uint64_t	 ino;		/* of the file or directory; never 0 */
	const char	*path;		/* its name, or that it was opened by */
	const char	*path2;		/* OP_RENAME: what it is called now */
	struct bytes	 data;		/* OP_WRITE: what was taken */
	uint64_t	 off, len;
	int64_t		 res;		/* OP_FSYNC may have failed */
};
/* From now on each is told, in order.  NULL: no more. */
void	 sim_record(struct sim_host *h, void (*each)(void *arg,
	    const struct sim_disk_op *op), void *arg);
/* A file or directory that is durable from the start; its ino. */
uint64_t sim_install(struct sim_host *h, const char *path,
	    enum loop_type type, struct bytes content);

#endif
