/* SPDX-License-Identifier: ISC */
/*
 * loop.h - all I/O, time and randomness: operations that complete
 *
 * What:     the caller fills a struct op by one of the loop_* calls below; the
 *           loop owns it, and every buffer it names, until it calls done(op).
 * Backends: uring (liburing), epoll (file operations and resolve on one helper
 *           thread), sim (virtual time, in-memory network and disk, seeded
 *           faults).  One contract, one test suite.
 * Never:    calls done() from inside a loop_* call: only loop_turn() does.
 *
 *     caller              loop                      caller
 *     loop_recv(op) --->  PENDING ... complete ---> op->done(op), op idle
 *                            ^
 *     loop_cancel(op) -------+  completes it early, usually -ECANCELED
 *
 * Invariants
 *   1. Each submitted op completes exactly once, also after loop_cancel().
 *      The buffer is the caller's again when done() is called, not before.
 *   2. op->res is >= 0 on success, -errno on failure; what each kind means
 *      by it stands at its call.
 *   3. done() may submit the same op again and may free it.
 *   4. Completions are called in the order they finished; timers in the order
 *      of their deadlines, equal ones in the order they were set.
 *   5. At loop_free() no op is pending (must): cancel and drain first.
 *   6. A descriptor has at most one recv and one send pending.  Ops that name
 *      it are cancelled and completed before it is closed (must).
 *
 * Descriptors are ints that mean something only to the loop they came from.
 */
#ifndef EMPLOG_LOOP_H
#define EMPLOG_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/bytes.h"

struct env;
struct loop;
struct op;
typedef void op_fn(struct op *op);

enum op_kind {
	OP_IDLE, OP_ACCEPT, OP_CONNECT, OP_RECV, OP_SEND, OP_READ, OP_WRITE,
	OP_FSYNC, OP_OPEN, OP_CLOSE, OP_RENAME, OP_UNLINK, OP_MKDIR,
	OP_FALLOCATE, OP_TRUNCATE, OP_LIST, OP_STAT, OP_SPACE, OP_LOCK,
	OP_WATCH, OP_RESOLVE, OP_TIMER, OP_POLL, OP_POST, OP_TLS, OP_KINDS
};

#define LOOP_ADDR_TEXT	64
struct loop_addr {
	struct sockaddr_storage	 sa;
	socklen_t		 len;
};

enum loop_type { LOOP_FILE, LOOP_DIR, LOOP_FIFO, LOOP_LINK, LOOP_OTHER };
struct loop_stat {
	enum loop_type	 type;		/* of the name, not its target */
	uint32_t	 mode;		/* permission bits */
	uint32_t	 uid;
	uint32_t	 gid;
	uint64_t	 ino;
	uint64_t	 size;
	uint64_t	 mtime_ns;
};
struct loop_space {			/* of the file system a path is on */
	uint64_t	 total_bytes;
	uint64_t	 free_bytes;	/* for an ordinary user */
	uint64_t	 free_inodes;
	bool		 fleeting;	/* memory, or a container's own layer:
					   gone with the machine or container */
};

/* An HTTP request for loop_post(); all memory stays the caller's. */
struct post_header { const char *name; const char *value; };
struct post {
	const char		*url;
	const struct post_header *headers;
	unsigned		 headers_n;
	struct bytes		 body;
	uint32_t		 timeout_ms;	/* of all of it; 0: none */
	uint32_t		 stall_ms;	/* not a byte went or came for so
						   long; 0: may be */
	/* All NULL: the system's authorities, no certificate of our own. */
	const char		*ca;		/* PEM file: whom to trust */
	const char		*cert, *key;	/* PEM files */
	const char		*connect_to;	/* "host:port" that speaks for the
						   URL's; NULL: itself */
	/*
	 * On a connection of its own: where one is used again and found
	 * closed, libcurl sends once more by itself.
	 */
	bool			 once;
	/* the answer */
	int			 status;	/* HTTP, 0: no answer */
	int64_t			 retry_after_ms; /* -1: none was given */
	char			 content_type[64];
	char			 error[256];	/* curl's, status 0 */
	uint8_t			*answer;	/* caller's or NULL */
	size_t			 answer_cap;
	size_t			 answer_len;	/* what fitted */
};

struct op {
	uint32_t	 magic;		/* OP_MAGIC from op_init on */
	uint8_t		 kind;		/* OP_IDLE when not pending */
	uint8_t		 state;		/* the backend's */
	bool		 cancelled;	/* loop_cancel() was called */
	bool		 ready;		/* finished, done() not called yet */
	bool		 inner;		/* a layer's own: see backend.h */
	op_fn		*done;
	void		*arg;		/* the caller's */
	int64_t		 res;

	/* arguments and results, by kind */
	int		 fd;
	uint32_t	 flags;
	uint64_t	 off;
	uint64_t	 len;
	union {
		void			*buf;
		const void		*cbuf;
		const struct iovec	*iov;
		const char		*path;
		struct post		*post;
		struct loop_watch	*watch;
	};
	const char	*path2;
	union {
		struct {			/* send, for the backend */
			struct msghdr	msg;
			struct iovec	one;
		} sending;
		struct loop_addr  addr;		/* accept, connect */
		struct loop_stat  stat;
		struct loop_space space;
		struct {			/* list */
			char	**names;
			size_t	  n;
		} list;
		struct {			/* resolve */
			struct loop_addr addr[4];
			unsigned	 n;
		} resolved;
		uint64_t	  at_ns;	/* timer */
	};

	/* the loop's own */
	struct op	*next;
	struct op	**prevp;
	struct op	*child;
	uint64_t	 seq;
	void		*priv;
};
#define OP_MAGIC	0x4f505f21U

/* Ready for a first use; done is called at each completion. */
void	 op_init(struct op *op, op_fn *done, void *arg);
/* Not pending: may be freed, or used for another operation. */
static inline bool
op_idle(const struct op *op)
{
	return op->kind == OP_IDLE;
}

/* ---- the loop itself ---- */

enum loop_io { LOOP_AUTO, LOOP_URING, LOOP_EPOLL };

/*
 * Opens a loop.  LOOP_AUTO probes io_uring in a child (a seccomp filter may
 * kill) and takes epoll when it is refused; ret_why (LOOP_WHY bytes, may be
 * NULL) gets one line that says which and why.  -ENOSYS, -EPERM, … when
 * LOOP_URING was asked for and is refused; -ENOMEM.  A loop belongs to the
 * thread that made it and does not survive fork().
 */
#define LOOP_WHY	160
int	 loop_new(struct loop **ret_loop, enum loop_io io, char *ret_why);
void	 loop_free(struct loop **loop);
/* "uring", "epoll" or "sim". */
const char *loop_name(const struct loop *l);

/*
 * One turn: waits until something completes, at most until the next timer
 * (wait=false: does not wait), and calls what is done.  Returns how many.
 */
int	 loop_turn(struct loop *l, bool wait);
/* Turns until loop_stop(). */
void	 loop_run(struct loop *l);
void	 loop_stop(struct loop *l);
/* Ops pending; 0 before loop_free(). */
size_t	 loop_pending(const struct loop *l);

/* Monotonic and wall clock, ns.  Read once per turn: cheap, steady inside. */
uint64_t loop_now(const struct loop *l);
uint64_t loop_wall(const struct loop *l);
/* Unpredictable in the real backends, seeded in sim. */
void	 loop_random(struct loop *l, void *buf, size_t n);
uint64_t loop_random_below(struct loop *l, uint64_t bound);

/* ---- operations; each op is idle before ---- */

/* res 0 at at_ns (loop_now's clock) or as soon as possible if it is past. */
void	 loop_timer(struct loop *l, struct op *op, uint64_t at_ns);
/* Asks a pending op to end; no-op on an idle one.  done() still comes. */
void	 loop_cancel(struct loop *l, struct op *op);

/*
 * Two connected streams, both ends ours: bytes written to one are read from
 * the other.  0, or -EMFILE, -ENFILE, -ENOMEM.
 */
int	 loop_pair(struct loop *l, int ret_fd[2]);
/*
 * Nothing more is sent on this connection: the peer reads its end behind what
 * was sent, and may go on sending.  No send is pending (must).  0, -ENOTCONN.
 */
int	 loop_shutdown(struct loop *l, int fd);
/*
 * Binds and listens now; a port that is taken is waited for, half a second
 * at most, as it may be that of a predecessor just killed.  A socket that was
 * inherited with this address is taken instead, see inherit.h.  hostport:
 * "127.0.0.1:24224", "[::]:8888", "localhost:0"; a number or localhost, no
 * DNS.  Returns the descriptor and where it is bound, or -EINVAL,
 * -EADDRINUSE, -EACCES, ….
 */
int	 loop_listen(struct loop *l, const char *hostport,
	    struct loop_addr *ret_bound);
/*
 * Those who connect and say nothing are left to the kernel for some seconds,
 * and keep nobody from being accepted who speaks.  Not where this side speaks
 * first.
 */
void	 loop_defer(struct loop *l, int listen_fd);
/*
 * res: the new descriptor (TCP_NODELAY, keep-alive on); op->addr: the peer.
 * -EMFILE, -ENFILE, -ENOMEM come again at once: wait before the next accept.
 * Cancelled, it may still give a descriptor: the caller's to close.
 */
void	 loop_accept(struct loop *l, struct op *op, int listen_fd);
/* res: a connected descriptor (TCP_NODELAY, keep-alive on). */
void	 loop_connect(struct loop *l, struct op *op,
	    const struct loop_addr *to);
/* res: bytes, 0 at the end. */
void	 loop_recv(struct loop *l, struct op *op, int fd, void *buf,
	    size_t len);
/* The same, but the bytes stay to be received again. */
void	 loop_peek(struct loop *l, struct op *op, int fd, void *buf,
	    size_t len);
/*
 * res: bytes sent, perhaps fewer than given.  Borrows iov and what it names.
 * -EFAULT: the first byte not sent is no longer mapped (a lane vanished).
 */
void	 loop_send(struct loop *l, struct op *op, int fd,
	    const struct iovec *iov, unsigned n);
/*
 * res 0: one of events (POLLIN, POLLOUT), an error or a hang-up is there on a
 * real descriptor.  Several polls may be pending on one.
 */
void	 loop_poll(struct loop *l, struct op *op, int fd, uint32_t events);
/* The same for so many bytes to receive, or as many as are still to come. */
void	 loop_await(struct loop *l, struct op *op, int fd, size_t bytes);
/*
 * res: op->resolved.n >= 1, or -ENOENT (no such name), -EAGAIN (no answer
 * now), -EINVAL (no such port), ….
 */
void	 loop_resolve(struct loop *l, struct op *op, const char *host,
	    const char *port);

/*
 * res: bytes, perhaps fewer than asked, 0 at the end.  off LOOP_STREAM reads
 * or writes a FIFO that is O_NONBLOCK: -EAGAIN when there is nothing or no
 * room, -EPIPE (no signal) when nobody reads.
 */
#define LOOP_STREAM	UINT64_MAX
void	 loop_read(struct loop *l, struct op *op, int fd, void *buf, size_t len,
	    uint64_t off);
void	 loop_write(struct loop *l, struct op *op, int fd, const void *buf,
	    size_t len, uint64_t off);
/* fdatasync; of a directory's descriptor: makes its entries durable. */
void	 loop_fsync(struct loop *l, struct op *op, int fd);
/* open(2) with O_CLOEXEC added; res: descriptor, also when cancelled late. */
void	 loop_open(struct loop *l, struct op *op, const char *path,
	    int flags, uint32_t mode);
/*
 * A socket without TLS is closed when the call returns, anything else by the
 * time of done(); so it is when it was cancelled.
 */
void	 loop_close(struct loop *l, struct op *op, int fd);
void	 loop_rename(struct loop *l, struct op *op, const char *from,
	    const char *to);
void	 loop_unlink(struct loop *l, struct op *op, const char *path);
void	 loop_mkdir(struct loop *l, struct op *op, const char *path,
	    uint32_t mode);
void	 loop_fallocate(struct loop *l, struct op *op, int fd, uint64_t off,
	    uint64_t len);
void	 loop_truncate(struct loop *l, struct op *op, int fd, uint64_t len);
/*
 * res: op->list.n names (no "." and ".."), sorted by bytes; free them (after
 * a failure there are none).  -E2BIG: more than 65536.
 */
void	 loop_list(struct loop *l, struct op *op, const char *path);
void	 op_list_free(struct op *op);
void	 loop_stat(struct loop *l, struct op *op, const char *path);
void	 loop_space(struct loop *l, struct op *op, const char *path);
/* OFD write lock on the whole file; res 0, -EAGAIN: another holds it. */
void	 loop_lock(struct loop *l, struct op *op, int fd);

/*
 * A directory under watch.  loop_watch() completes (res: events, >= 1) when
 * names came, went or were closed after writing since its last completion;
 * nothing between two calls is missed.  -EOVERFLOW: look at everything;
 * -ENOENT: the directory is gone.
 */
int	 loop_watch_open(struct loop *l, const char *dir,
	    struct loop_watch **ret_watch);
void	 loop_watch(struct loop *l, struct op *op, struct loop_watch *w);
void	 loop_watch_close(struct loop *l, struct loop_watch **w);

/*
 * Sends one HTTP request; libcurl is opened at the first call.  res 0: there
 * is an answer, see post->status.  -ENOSYS: libcurl is not installed;
 * -ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH, -EPROTO, -EACCES (TLS): no
 * answer, post->error has the words.
 */
void	 loop_post(struct loop *l, struct op *op, struct post *post);

/* Text of an address, "127.0.0.1:24224" or "[::1]:24224". */
void	 loop_addr_text(const struct loop_addr *a, char text[LOOP_ADDR_TEXT]);
/* Splits "host:port" or "[v6]:port"; -EINVAL. Buffers are NUL-ended. */
int	 loop_hostport(const char *text, char *host, size_t host_cap,
	    char *port, size_t port_cap);

#endif
