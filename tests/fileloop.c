/* SPDX-License-Identifier: ISC */
/* fileloop.c - files and timers one by one; see fileloop.h */

#include "fileloop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"

#define OPS_MAX 64
#define UNDO_FD 512		/* its own are above: a crash closes the rest */

struct loop {
	struct op	*op[OPS_MAX];	/* in the order they were given */
	size_t		 n;
	uint64_t	 now;
	uint64_t	 wall;
	uint64_t	 random;
	uint64_t	 shuffle;	/* state of its own; 0: in order */
	struct fault	 fault;
	unsigned	 count[OP_KINDS];
	struct undo	*undo;		/* the newest */
	bool		 cuttable;
};

/* What a power cut may take back: a write or a rename nobody synced. */
struct undo {
	struct undo	*older;
	int		 fd;		/* of its own; -1: a rename */
	ino_t		 ino;
	bool		 lost;		/* its sync failed: no other helps */
	off_t		 off;
	size_t		 len;
	uint8_t		*old;
	char		 from[256], to[256];
};

static void	 undo_free(struct undo *u);

struct loop *
fileloop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	must(l != NULL);
	l->now = 1000000000;
	l->wall = 1700000000000000000;
	l->random = 88172645463325252u;
	return l;
}

void
fileloop_fault(struct loop *l, struct fault f)
{
	l->fault = f;
}

void
fileloop_shuffle(struct loop *l, uint64_t seed)
{
	l->shuffle = seed;
}

unsigned
fileloop_count(const struct loop *l, enum op_kind kind)
{
	return l->count[kind];
}

void
fileloop_pass(struct loop *l, uint64_t ns)
{
	l->now += ns;
	l->wall += ns;
}

void
loop_free(struct loop **l)
{
	struct undo *u;

	must((*l)->n == 0);
	while ((u = (*l)->undo) != NULL) {
		(*l)->undo = u->older;
		undo_free(u);
	}
	free(*l);
	*l = NULL;
}

size_t
loop_pending(const struct loop *l)
{
	return l->n;
}

uint64_t
loop_now(const struct loop *l)
{
	return l->now;
}

uint64_t
loop_wall(const struct loop *l)
{
	return l->wall;
}

static uint64_t
xorshift(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 24;
}

void
loop_random(struct loop *l, void *buf, size_t n)
{
	uint8_t *p = buf;

	while (n-- > 0)
		*p++ = (uint8_t)xorshift(&l->random);
}

void
op_init(struct op *op, op_fn *done, void *arg)
{
	memset(op, 0, sizeof(*op));
	op->magic = OP_MAGIC;
	op->done = done;
	op->arg = arg;
}

static void
submit(struct loop *l, struct op *op, enum op_kind kind)
{
	must(op->magic == OP_MAGIC && op_idle(op) && l->n < OPS_MAX);
	op->kind = (uint8_t)kind;
	op->cancelled = false;
	l->op[l->n++] = op;
}

void
loop_timer(struct loop *l, struct op *op, uint64_t at_ns)
{
	op->at_ns = at_ns;
	submit(l, op, OP_TIMER);
}

void
loop_cancel(struct loop *l, struct op *op)
{
	op->cancelled = true;
}

#define CALL_FD(name, KIND) \
void loop_##name(struct loop *l, struct op *op, int fd) \
{ op->fd = fd; submit(l, op, KIND); }
CALL_FD(fsync, OP_FSYNC)
CALL_FD(close, OP_CLOSE)
CALL_FD(lock, OP_LOCK)

#define CALL_PATH(name, KIND) \
void loop_##name(struct loop *l, struct op *op, const char *path) \
{ op->path = path; submit(l, op, KIND); }
CALL_PATH(unlink, OP_UNLINK)
CALL_PATH(list, OP_LIST)
CALL_PATH(stat, OP_STAT)

void
loop_read(struct loop *l, struct op *op, int fd, void *buf, size_t len,
    uint64_t off)
{
	op->fd = fd;
	op->buf = buf;
	op->len = len;
	op->off = off;
	submit(l, op, OP_READ);
}

void
loop_write(struct loop *l, struct op *op, int fd, const void *buf, size_t len,
    uint64_t off)
{
	op->fd = fd;
	op->cbuf = buf;
	op->len = len;
	op->off = off;
	submit(l, op, OP_WRITE);
}

void
loop_open(struct loop *l, struct op *op, const char *path, int flags,
    uint32_t mode)
{
	op->path = path;
	op->flags = (uint32_t)flags;
	op->len = mode;
	submit(l, op, OP_OPEN);
}

void
loop_mkdir(struct loop *l, struct op *op, const char *path, uint32_t mode)
{
	op->path = path;
	op->len = mode;
	submit(l, op, OP_MKDIR);
}

void
loop_rename(struct loop *l, struct op *op, const char *from, const char *to)
{
	op->path = from;
	op->path2 = to;
	submit(l, op, OP_RENAME);
}

void
loop_fallocate(struct loop *l, struct op *op, int fd, uint64_t off,
    uint64_t len)
{
	op->fd = fd;
	op->off = off;
	op->len = len;
	submit(l, op, OP_FALLOCATE);
}

void
loop_truncate(struct loop *l, struct op *op, int fd, uint64_t len)
{
	op->fd = fd;
	op->len = len;
	submit(l, op, OP_TRUNCATE);
}

/* ---- doing ---- */

static int64_t
res_of(long r)
{
	return r < 0 ? -errno : r;
}

static int
not_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static int64_t
do_list(struct op *op)
{
	struct dirent **v;
	int i, n;

	n = scandir(op->path, &v, not_dots, alphasort);
	if (n < 0)
		return -errno;
	op->list.names = calloc((size_t)n + 1, sizeof(char *));
	must(op->list.names != NULL);
	for (i = 0; i < n; i++) {
		op->list.names[i] = strdup(v[i]->d_name);
		free(v[i]);
	}
	free(v);
	op->list.n = (size_t)n;
	return n;
}

void
op_list_free(struct op *op)
{
	while (op->list.n > 0)
		free(op->list.names[--op->list.n]);
	free(op->list.names);
	op->list.names = NULL;
}

static int64_t
do_stat(struct op *op)
{
	struct stat st;

	if (lstat(op->path, &st) < 0)
		return -errno;
	op->stat = (struct loop_stat){
		.type = S_ISREG(st.st_mode) ? LOOP_FILE :
		    S_ISDIR(st.st_mode) ? LOOP_DIR : LOOP_OTHER,
		.size = (uint64_t)st.st_size, .mode = st.st_mode & 07777,
	};
	return 0;
}

static int64_t
do_lock(struct op *op)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(op->fd, F_OFD_SETLK, &fl) < 0 ?
	    (errno == EACCES ? -EAGAIN : -errno) : 0;
}

static int64_t
perform(struct op *op)
{
	switch (op->kind) {
	case OP_READ:
		return res_of(pread(op->fd, op->buf, op->len, (off_t)op->off));
	case OP_WRITE:
		return res_of(pwrite(op->fd, op->cbuf, op->len,
		    (off_t)op->off));
	case OP_FSYNC:
		return res_of(fdatasync(op->fd));
	case OP_OPEN:
		return res_of(open(op->path, (int)op->flags | O_CLOEXEC,
		    (mode_t)op->len));
	case OP_CLOSE:
		return res_of(close(op->fd));
	case OP_RENAME:
		return res_of(rename(op->path, op->path2));
	case OP_UNLINK:
		return res_of(unlink(op->path));
	case OP_MKDIR:
		return res_of(mkdir(op->path, (mode_t)op->len));
	case OP_FALLOCATE:
		return -posix_fallocate(op->fd, (off_t)op->off,
		    (off_t)op->len);
	case OP_TRUNCATE:
		return res_of(ftruncate(op->fd, (off_t)op->len));
	case OP_LIST:
		return do_list(op);
	case OP_STAT:
		return do_stat(op);
	case OP_LOCK:
		return do_lock(op);
	default:
		return 0;
	}
}

/* ---- power ---- */

static ino_t
inode_of(int fd)
{
	struct stat st;

	must(fstat(fd, &st) == 0);
	return st.st_ino;
}

static struct undo *
undo_new(struct loop *l)
{
	struct undo *u = calloc(1, sizeof(*u));

	must(u != NULL);
	u->fd = -1;
	u->older = l->undo;
	l->undo = u;
	return u;
}

static void
undo_free(struct undo *u)
{
	if (u->fd >= 0)
		close(u->fd);
	free(u->old);
	free(u);
}

static void
note_write(struct loop *l, const struct op *op)
{
	struct undo *u = undo_new(l);
	ssize_t n;

	u->fd = fcntl(op->fd, F_DUPFD_CLOEXEC, UNDO_FD);
	u->ino = inode_of(op->fd);
	u->off = (off_t)op->off;
	u->len = op->len;
	must(u->fd >= 0);
	must(posix_memalign((void **)&u->old, 4096, op->len) == 0);
	memset(u->old, 0, op->len);
	n = pread(op->fd, u->old, op->len, u->off);
	must(n >= 0 || errno == EBADF);
	if (n < 0)
		u->len = 0;	/* only written to: its promise is no sync */
}

static void
note_rename(struct loop *l, const struct op *op)
{
	struct undo *u = undo_new(l);

	(void)snprintf(u->from, sizeof(u->from), "%s", op->path);
	(void)snprintf(u->to, sizeof(u->to), "%s", op->path2);
}

/* A sync that failed has told all it will ever tell of these pages. */
static void
note_sync(struct loop *l, const struct op *op)
{
	struct undo **p = &l->undo, *u;
	struct stat st;

	must(fstat(op->fd, &st) == 0);
	while ((u = *p) != NULL) {
		if (u->lost || (u->fd < 0 ? !S_ISDIR(st.st_mode) :
		    u->ino != st.st_ino)) {
			p = &u->older;
		} else if (op->res < 0) {
			u->lost = true;
			p = &u->older;
		} else {
			*p = u->older;
			undo_free(u);
		}
	}
}

static void
note(struct loop *l, const struct op *op)
{
	if (!l->cuttable)
		return;
	if (op->kind == OP_WRITE)
		note_write(l, op);
	else if (op->kind == OP_RENAME)
		note_rename(l, op);
}

void
fileloop_cuttable(struct loop *l)
{
	l->cuttable = true;
}

/* Names come back from the newest on, as many as a journal had not got. */
static bool
undo_one(struct undo *u, uint64_t *random, bool names)
{
	size_t i;

	if (u->fd < 0) {
		if (names)
			(void)rename(u->to, u->from);
		return names;
	}
	for (i = 0; i + 4096 <= u->len; i += 4096)
		if (xorshift(random) % 2 == 0)
			(void)!pwrite(u->fd, u->old + i, 4096,
			    u->off + (off_t)i);
	return names;
}

void
fileloop_cut(struct loop *l, uint64_t seed)
{
	struct undo *u;
	bool names = true;

	while ((u = l->undo) != NULL) {
		names = names && xorshift(&seed) % 4 != 0;
		names = undo_one(u, &seed, names);
		l->undo = u->older;
		undo_free(u);
	}
}

/* The process died and the machine did not: the pages are still to come. */
void
fileloop_inherit(struct loop *l, struct loop *dead)
{
	struct undo *u;

	l->wall = dead->wall;
	l->random = dead->random;
	l->cuttable = dead->cuttable;
	l->undo = dead->undo;
	dead->undo = NULL;
	for (u = l->undo; u != NULL; u = u->older)
		u->lost = false;
}

static bool
has_path(const struct op *op)
{
	return op->kind == OP_OPEN || op->kind == OP_RENAME ||
	    op->kind == OP_UNLINK || op->kind == OP_MKDIR ||
	    op->kind == OP_STAT;
}

static bool
faulty(struct loop *l, const struct op *op)
{
	struct fault *f = &l->fault;

	if (f->times == 0 || op->kind == OP_TIMER || op->kind == OP_CLOSE ||
	    (f->kind != OP_IDLE && f->kind != op->kind))
		return false;
	if (f->path != NULL &&
	    (!has_path(op) || strstr(op->path, f->path) == NULL))
		return false;
	if (f->after > 0) {
		f->after--;
		return false;
	}
	f->times--;
	return true;
}

static void
finish(struct loop *l, size_t i)
{
	struct op *op = l->op[i];

	memmove(&l->op[i], &l->op[i + 1], (--l->n - i) * sizeof(op));
	l->count[op->kind]++;
	if (op->kind == OP_TIMER) {
		op->res = op->cancelled ? -ECANCELED : 0;
	} else if (faulty(l, op)) {
		if (l->fault.torn)
			note(l, op);
		op->res = l->fault.res;
		if (l->fault.torn && op->kind == OP_WRITE)
			must(pwrite(op->fd, op->cbuf, op->len / 2 & ~4095ul,
			    (off_t)op->off) >= 0);
	} else {
		note(l, op);
		op->res = perform(op);
	}
	if (op->kind == OP_FSYNC)
		note_sync(l, op);
	op->kind = OP_IDLE;
	op->done(op);
}

static bool
can_run(const struct loop *l, const struct op *op)
{
	return op->kind != OP_TIMER || op->cancelled || op->at_ns <= l->now;
}

/* Which of those pending ends now; l->n: none can. */
static size_t
next_to_end(struct loop *l)
{
	size_t able[OPS_MAX], n = 0, i;

	for (i = 0; i < l->n; i++)
		if (can_run(l, l->op[i]))
			able[n++] = i;
	if (n == 0)
		return l->n;
	return able[l->shuffle == 0 ? 0 : xorshift(&l->shuffle) % n];
}

int
loop_turn(struct loop *l, bool wait)
{
	uint64_t at = UINT64_MAX;
	size_t i;

	i = next_to_end(l);
	if (i < l->n) {
		finish(l, i);
		return 1;
	}
	if (!wait)
		return 0;
	for (i = 0; i < l->n; i++)
		if (l->op[i]->at_ns < at)
			at = l->op[i]->at_ns;
	if (at != UINT64_MAX)
		fileloop_pass(l, at - l->now);
	return 0;
}

void
fileloop_settle(struct loop *l)
{
	while (loop_turn(l, false) > 0)
		;
}
