/* SPDX-License-Identifier: ISC */
/*
 * names.c - what files of a simulated host are called, and who hears of it
 *
 * Names stand in an array, in the order in which they were first made, and
 * stay there when they are unlinked; a table finds them by their hash.
 */

#include "sim/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/must.h"
#include "banned.h"

#define SHM_PREFIX	"/dev/shm/"

bool
path_is_shared_memory(const char *path)
{
	return strncmp(path, SHM_PREFIX, strlen(SHM_PREFIX)) == 0;
}

static size_t
dir_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? 0 : (size_t)(slash - path);
}

/* ---- the table ---- */

static uint32_t
hash_of(const char *p, size_t n)
{
	uint64_t h = n, v;

	for (; n > 0; p += 8, n -= n < 8 ? n : 8) {
		v = 0;
		memcpy(&v, p, n < 8 ? n : 8);
		h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	return (uint32_t)h;
}

/* Where it is, or where it would be. */
static uint32_t *
slot_of(struct sim_host *h, const char *path, size_t n)
{
	uint32_t hash = hash_of(path, n), i = hash & (h->slots_n - 1);
	const struct entry_name *e;

	for (; h->slots[i] != 0; i = (i + 1) & (h->slots_n - 1)) {
		e = &h->names[h->slots[i] - 1];
		if (e->hash == hash && e->path_len == n &&
		    memcmp(e->path, path, n) == 0)
			break;
	}
	return &h->slots[i];
}

static struct entry_name *
find(struct sim_host *h, const char *path, size_t n)
{
	uint32_t at = h->slots_n == 0 ? 0 : *slot_of(h, path, n);

	return at == 0 ? NULL : &h->names[at - 1];
}

struct entry_name *
disk_find(struct sim_host *h, const char *path)
{
	return find(h, path, strlen(path));
}

bool
name_is_in(const struct entry_name *e, const char *dir, size_t n)
{
	return e->dir_len == n && memcmp(e->path, dir, n) == 0;
}

void
name_keep(struct entry_name *e)
{
	if (e->durable == e->node)
		return;
	if (e->durable != NULL) {
		e->durable->links--;
		inode_put(e->durable);
	}
	e->durable = e->node;
	if (e->node != NULL)
		e->node->links++;
}

/* Less than half of it is full. */
static void
grow(struct sim_host *h)
{
	size_t i;

	h->names_cap = h->names_cap == 0 ? 64 : 2 * h->names_cap;
	h->names = realloc(h->names, h->names_cap * sizeof(*h->names));
	must(h->names != NULL);
	free(h->slots);
	h->slots_n = 2 * (uint32_t)h->names_cap;
	h->slots = must_alloc(h->slots_n * sizeof(*h->slots));
	for (i = 0; i < h->names_n; i++)
		*slot_of(h, h->names[i].path, h->names[i].path_len) =
		    (uint32_t)i + 1;
}

static struct entry_name *
name_make(struct sim_host *h, const char *path)
{
	struct entry_name *e = disk_find(h, path);

	if (e != NULL)
		return e;
	if (h->names_n == h->names_cap)
		grow(h);
	e = &h->names[h->names_n];
	*e = (struct entry_name){ .path = strdup(path),
	    .path_len = strlen(path), .dir_len = dir_len(path) };
	must(e->path != NULL);
	e->hash = hash_of(path, e->path_len);
	*slot_of(h, path, e->path_len) = (uint32_t)++h->names_n;
	return e;
}

static void
name_set(struct sim_host *h, const char *path, struct inode *n)
{
	struct entry_name *e = name_make(h, path);
	struct inode *old = e->node;

	if (n != NULL)
		n->links++;
	e->node = n;
	if (old != NULL) {
		old->links--;
		inode_put(old);
	}
	disk_changed(h, path);
}

void
disk_changed(struct sim_host *h, const char *path)
{
	size_t n = dir_len(path);
	struct loop_watch *w;
	struct sim_proc *p;

	for (p = h->sim->procs; p != NULL; p = p->next) {
		if (p->host != h)
			continue;
		for (w = p->watches; w != NULL; w = w->next) {
			if (w->dir_len != n || memcmp(w->dir, path, n) != 0)
				continue;
			w->changes++;
			if (w->op == NULL)
				continue;
			sim_later(p, w->op, (int64_t)w->changes, 1000);
			w->op = NULL;
			w->changes = 0;
		}
	}
}

static bool
is_dir(const char *path, size_t n, const char *dir)
{
	return n == strlen(dir) && memcmp(path, dir, n) == 0;
}

static bool
parent_exists(struct sim_host *h, const char *path)
{
	size_t n = dir_len(path);
	struct entry_name *e;

	if (n == 0 || is_dir(path, n, "/dev/shm") ||
	    is_dir(path, n, "/var/lib"))
		return true;
	e = find(h, path, n);
	return e != NULL && e->node != NULL && e->node->type == LOOP_DIR;
}

/* ---- what is done with names ---- */

static int
create(struct sim_proc *p, const char *path, enum loop_type type,
    uint32_t mode, struct inode **ret)
{
	struct inode *n;

	if (!parent_exists(p->host, path))
		return -ENOENT;
	n = inode_new(p->host, type, mode);
	if (type == LOOP_FILE && path_is_shared_memory(path)) {
		n->memfd = memfd_create("sim", MFD_CLOEXEC);
		must(n->memfd >= 0);
	}
	name_set(p->host, path, n);
	*ret = n;
	return 0;
}

/* Durable at once. */
struct inode *
disk_install(struct sim_host *h, const char *path, enum loop_type type)
{
	struct inode *n = inode_new(h, type, 0700);
	struct entry_name *e;

	name_set(h, path, n);
	e = disk_find(h, path);
	e->durable = n;
	n->links++;
	return n;
}

int
disk_open(struct sim_proc *p, const char *path, int flags, uint32_t mode)
{
	struct entry_name *e = disk_find(p->host, path);
	struct inode *n = e == NULL ? NULL : e->node;
	int fd, r;

	if (n != NULL && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (n != NULL && (flags & O_DIRECTORY) != 0 && n->type != LOOP_DIR)
		return -ENOTDIR;
	if (n == NULL && (flags & O_CREAT) == 0)
		return -ENOENT;
	fd = proc_fd(p, FD_FILE);
	if (fd < 0)
		return fd;
	if (n == NULL) {
		r = create(p, path, LOOP_FILE, mode & 0777, &n);
		if (r < 0) {
			p->fd[fd] = (struct sim_fd){ 0 };
			return r;
		}
	}
	if ((flags & O_TRUNC) != 0 && n->type == LOOP_FILE)
		disk_resize(n, 0);
	n->opens++;
	p->fd[fd].node = n;
	p->fd[fd].writes = (flags & O_ACCMODE) != O_RDONLY;
	p->fd[fd].path = strdup(path);
	must(p->fd[fd].path != NULL);
	return fd;
}

int
disk_close(struct sim_proc *p, int fd)
{
	struct sim_fd *f = &p->fd[fd];
	struct inode *n = f->node;

	if (f->locked)
		inode_unlock(n);
	if (f->writes)
		disk_changed(p->host, f->path);
	free(f->path);
	*f = (struct sim_fd){ 0 };
	n->opens--;
	inode_put(n);
	return 0;
}

int
disk_lock(struct sim_proc *p, struct sim_fd *f)
{
	struct inode *n = f->node;

	if (n->lock != NULL && n->lock != p)
		return -EAGAIN;
	n->lock = p;
	if (!f->locked) {
		f->locked = true;
		n->lock_refs++;
	}
	return 0;
}

int
disk_rename(struct sim_proc *p, const char *from, const char *to)
{
	struct entry_name *e = disk_find(p->host, from);
	struct inode *n = e == NULL ? NULL : e->node;

	if (n == NULL || !parent_exists(p->host, to))
		return -ENOENT;
	n->links++;		/* held while it has neither name */
	name_set(p->host, to, n);
	name_set(p->host, from, NULL);
	n->links--;
	return 0;
}

int
disk_unlink(struct sim_proc *p, const char *path)
{
	struct entry_name *e = disk_find(p->host, path);

	if (e == NULL || e->node == NULL)
		return -ENOENT;
	if (e->node->type == LOOP_DIR)
		return -EISDIR;
	name_set(p->host, path, NULL);
	return 0;
}

int
disk_mkdir(struct sim_proc *p, const char *path, uint32_t mode)
{
	struct entry_name *e = disk_find(p->host, path);
	struct inode *n;

	if (e != NULL && e->node != NULL)
		return -EEXIST;
	return create(p, path, LOOP_DIR, mode, &n);
}

int
disk_mkfifo(struct sim_proc *p, const char *path, uint32_t mode)
{
	struct entry_name *e = disk_find(p->host, path);
	struct inode *n;

	if (e != NULL && e->node != NULL)
		return -EEXIST;
	return create(p, path, LOOP_FIFO, mode, &n);
}

int
disk_stat(const struct inode *n, struct loop_stat *ret)
{
	*ret = (struct loop_stat){
		.type = n->type, .mode = n->mode, .ino = n->ino,
		.size = n->size, .mtime_ns = n->mtime_ns,
	};
	return 0;
}
