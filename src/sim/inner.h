/* SPDX-License-Identifier: ISC */
/*
 * inner.h - what the files of src/sim share
 *
 *   world.c   events, time, random, processes
 *   net.c     sockets
 *   names.c   what files are called
 *   disk.c    files
 *   loss.c    what a power loss leaves of them
 *   back.c    the loop's backend: an op is done now, or becomes an event
 *   record.c  what is done to a disk, told
 *   lanes.c   the shm_sys of a process
 */
#ifndef EMPLOG_SIM_INNER_H
#define EMPLOG_SIM_INNER_H

#include "loop/backend.h"
#include "sim/sim.h"

#define SIM_PATH	512
#define SIM_FDS		1024
#define SIM_WINDOW	(256u << 10)	/* of one direction of a connection */
#define SIM_SECTOR	512

struct sim_event {
	uint64_t	 at_ns;
	uint64_t	 seq;
	void		(*run)(struct sim_event *e);
	struct sim_proc	*proc;		/* NULL'd when it is gone */
	struct op	*op;		/* completed with res by default */
	int64_t		 res;
	void		*arg;
	uint64_t	 num;
};

/* ---- files ---- */

/*
 * What processes see of a sector is what a power loss leaves; or an undo says
 * what that is, and the next fsync mends it; or the kernel believes it is
 * clean since an fsync failed, and only another write changes that.
 */
enum sector { SECTOR_CLEAN, SECTOR_DIRTY, SECTOR_KEPT };

struct undo {
	uint64_t	 sector;
	uint8_t		 was[SIM_SECTOR];
};

struct inode {
	uint64_t	 ino;
	unsigned	 links;		/* names, durable or not */
	unsigned	 opens;		/* descriptors and mappings */
	enum loop_type	 type;
	uint32_t	 mode;
	uint64_t	 mtime_ns;
	/* LOOP_FILE: what processes see, and how to go back to the last fsync */
	uint8_t		*data;
	uint64_t	 size, cap;
	uint64_t	 synced_size;
	struct undo	*undo;		/* sectors written since, as they were */
	size_t		 undo_n, undo_cap;
	uint8_t		*dirty;		/* by sector, enum sector */
	size_t		 kept;		/* that many are SECTOR_KEPT */
	/* in the shared memory directory: a real memfd, for real mappings */
	int		 memfd;		/* -1: an ordinary file */
	struct sim_proc	*lock;		/* who holds the OFD lock */
	unsigned	 lock_refs;	/* descriptor and mapping that carry it */
	uint64_t	 fifo;		/* bytes in a LOOP_FIFO */
};

struct entry_name {
	char		*path;
	size_t		 path_len, dir_len;
	uint32_t	 hash;
	struct inode	*node;		/* what processes see; NULL: unlinked */
	struct inode	*durable;	/* what a power loss leaves */
};

struct sim_map {			/* one mapping of a lane */
	struct sim_map	*next;
	struct inode	*node;
	void		*base;
	uint64_t	 bytes;
	bool		 locked;
};

struct loop_watch {			/* the backend's own type */
	struct loop_watch *next;
	char		 dir[SIM_PATH];
	size_t		 dir_len;
	uint64_t	 changes;	/* since the last completion */
	struct op	*op;
	struct sim_proc	*proc;
};

struct sim_host {
	struct sim	*sim;
	struct sim_host	*next;
	char		 name[32];
	int64_t		 clock_ns;	/* its wall clock is off by so much */
	uint64_t	 dark_ns;	/* until then it is cut off */
	bool		 full;		/* the disk */
	uint64_t	 bad_ns;	/* until then it cannot be read */
	uint64_t	 syncs_failed;
	uint64_t	 reads, bad_from, bad_n;	/* sim_read_fails() */
	struct entry_name *names;
	size_t		 names_n, names_cap;
	uint32_t	*slots;		/* by hash: 1 + its index, 0: none */
	uint32_t	 slots_n;	/* a power of two */
	uint64_t	 next_ino;
	void		(*record)(void *arg, const struct sim_disk_op *op);
	void		*record_arg;
};

/* ---- sockets ---- */

struct sock {
	struct sim_proc	*proc;
	int		 fd;		/* -1: closed here */
	struct sock	*peer;		/* NULL: gone */
	uint8_t		*rx;		/* arrived, unread */
	size_t		 rx_n, rx_cap;
	size_t		 flying;	/* sent to us, not yet arrived */
	uint64_t	 last_ns;	/* when the last of it arrives */
	bool		 eof, reset;
	bool		 pair;		/* nothing of a network in between */
	bool		 accepted;	/* the other end has connected */
	bool		 silent;	/* nothing arrives any more */
	size_t		 swallowed;	/* sent into the silence */
	unsigned	 one_byte;	/* receives left that get one */
	uint64_t	 connection;
	unsigned	 refs;		/* fd, peer, events under way */
	struct op	*recv, *send;	/* waiting */
};

struct listener {
	struct listener	*next;
	struct sim_proc	*proc;
	int		 fd;
	uint16_t	 port;
	struct op	*accept;
	struct sock	*backlog[64];
	unsigned	 backlog_n;
};

enum fd_kind { FD_FREE, FD_FILE, FD_SOCK, FD_LISTEN };
struct sim_fd {
	enum fd_kind	 kind;
	struct inode	*node;
	struct sock	*sock;
	struct listener	*listener;
	bool		 locked;
	bool		 writes;	/* a watch hears of its close */
	char		*path;		/* FD_FILE: its own */
};

/* ---- processes ---- */

struct sim_mem {
	struct sim_mem	*next, **prevp;
	size_t		 bytes;
};

struct sim_proc {
	struct sim_host	*host;
	struct sim_proc	*next;
	char		 name[32];
	unsigned	 number;	/* of all ever made in this world */
	bool		 stopped;
	size_t		 bytes, bytes_most;	/* of mem */
	struct loop	*loop;
	struct sim_fd	 fd[SIM_FDS];
	struct sim_map	*maps;
	struct loop_watch *watches;
	struct sim_mem	*mem;
	struct op	*polls;		/* waiting for a FIFO, by next */
	struct shm_sys	 shm;
	uint64_t	 rng[2];
};

struct sim {
	struct sim_faults faults;
	struct sim_host	*hosts;
	struct sim_proc	*procs;		/* living, in the order of birth */
	unsigned	 procs_ever;
	struct listener	*listeners;
	struct sim_event **heap;
	size_t		 heap_n, heap_cap;
	uint64_t	 event_seq;
	uint64_t	 connections;	/* ever */
	uint64_t	 now_ns;
	uint64_t	 wall_ns;
	uint64_t	 rng[2];
	uint64_t	 trace;
	uint64_t	 fired[FAULT_KINDS];
	uint16_t	 next_port;
	int		(*answer)(void *arg, struct post *post);
	void		*answer_arg;
	void		(*tap)(void *arg, struct sim_tapped *t);
	void		*tap_arg;
};

/* world.c */
uint64_t rng_next(uint64_t rng[2]);
void	 rng_seed(uint64_t rng[2], uint64_t seed);
struct sim_event *sim_at(struct sim *s, uint64_t at_ns,
	    void (*run)(struct sim_event *));
/* The op completes with res after delay_ns. */
void	 sim_later(struct sim_proc *p, struct op *op, int64_t res,
	    uint64_t delay_ns);
/* Drops what is to happen to an op. */
void	 sim_forget(struct sim *s, struct op *op);
bool	 sim_chance(struct sim *s, uint32_t per_million, enum sim_fault f);
void	 sim_note(struct sim *s, const void *p, size_t n);
void	*must_alloc(size_t n);

/* names.c */
bool	 path_is_shared_memory(const char *path);
struct entry_name *disk_find(struct sim_host *h, const char *path);
/* Is dir[0..n) where it stands? */
bool	 name_is_in(const struct entry_name *e, const char *dir, size_t n);
/* What processes see of it is what a power loss leaves from now on. */
void	 name_keep(struct entry_name *e);
int	 disk_open(struct sim_proc *p, const char *path, int flags,
	    uint32_t mode);
int	 disk_close(struct sim_proc *p, int fd);
int	 disk_rename(struct sim_proc *p, const char *from, const char *to);
int	 disk_unlink(struct sim_proc *p, const char *path);
int	 disk_mkdir(struct sim_proc *p, const char *path, uint32_t mode);
int	 disk_mkfifo(struct sim_proc *p, const char *path, uint32_t mode);
int	 disk_lock(struct sim_proc *p, struct sim_fd *f);
int	 disk_stat(const struct inode *n, struct loop_stat *ret);
struct inode *disk_install(struct sim_host *h, const char *path,
	    enum loop_type type);
/* Those who watch its directory hear of it. */
void	 disk_changed(struct sim_host *h, const char *path);

/* disk.c */
int	 disk_resize(struct inode *n, uint64_t size);
bool	 disk_no_room(struct sim_proc *p, const struct inode *n,
	    uint64_t size);
/* p NULL: whoever it is, it does not fail. */
int64_t	 disk_read(struct sim_proc *p, struct inode *n, void *buf, size_t len,
	    uint64_t off);
int64_t	 disk_write(struct sim_proc *p, struct inode *n, const void *buf,
	    size_t len, uint64_t off);
int	 disk_sync(struct sim_proc *p, struct sim_fd *f);
/* What the kernel does when an fsync of it fails. */
void	 disk_sync_fails(struct sim_proc *p, struct inode *n);
struct inode *inode_new(struct sim_host *h, enum loop_type type,
	    uint32_t mode);
void	 inode_put(struct inode *n);
void	 inode_unlock(struct inode *n);
/* It is as on the disk again but for its first bytes; the undo is void. */
void	 undo_sector(struct inode *n, const struct undo *u, size_t but);

/* loss.c */
void	 disk_power_loss(struct sim_host *h);
void	 disk_evict(struct sim_host *h);
void	 disk_free(struct sim_host *h);

/* record.c */
void	 record_before(struct sim_proc *p, const struct op *op,
	    struct sim_disk_op *ret_d);
void	 record_after(struct sim_proc *p, const struct op *op,
	    struct sim_disk_op *d, int64_t res);

/* net.c */
int	 net_listen(struct sim_proc *p, const struct loop_addr *at,
	    struct loop_addr *ret_bound);
int	 net_pair(struct sim_proc *p, int ret_fd[2]);
int	 net_shutdown(struct sim_proc *p, int fd);
void	 net_accept(struct sim_proc *p, struct op *op);
void	 net_connect(struct sim_proc *p, struct op *op);
void	 net_recv(struct sim_proc *p, struct op *op);
void	 net_send(struct sim_proc *p, struct op *op);
void	 net_close(struct sim_proc *p, int fd, bool reset);
bool	 net_cancel(struct sim_proc *p, struct op *op);

/* back.c */
extern const struct backend sim_backend_table;
int	 proc_fd(struct sim_proc *p, enum fd_kind kind);

/* lanes.c */
void	 lanes_init(struct sim_proc *p);
void	 lanes_unmap_all(struct sim_proc *p);

#endif
