/* SPDX-License-Identifier: ISC */
/* lanes.c - the shm_sys of a simulated process: real mappings, virtual names */

#include "sim/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/must.h"
#include "banned.h"

static uint64_t
lanes_mono(void *arg)
{
	struct sim_proc *p = arg;

	return p->host->sim->now_ns;
}

static uint64_t
lanes_wall(void *arg)
{
	struct sim_proc *p = arg;

	return sim_wall(p->host);
}

static int
lanes_random(void *arg, void *buf, size_t n)
{
	struct sim_proc *p = arg;
	uint8_t *to = buf;

	while (n-- > 0)
		*to++ = (uint8_t)(rng_next(p->rng) >> 56);
	return 0;
}

static int
lanes_open(void *arg, const char *path, int flags, uint32_t mode)
{
	return disk_open(arg, path, flags, mode);
}

static int
lanes_close(void *arg, int fd)
{
	return disk_close(arg, fd);
}

static void
stat_of(const struct inode *n, struct shm_stat *ret)
{
	static const uint32_t bits[] = {
		[LOOP_FILE] = S_IFREG, [LOOP_DIR] = S_IFDIR,
		[LOOP_FIFO] = S_IFIFO, [LOOP_LINK] = S_IFLNK,
		[LOOP_OTHER] = S_IFCHR,
	};

	*ret = (struct shm_stat){ .size = n->size, .ino = n->ino,
	    .mtime_ns = n->mtime_ns, .mode = n->mode | bits[n->type] };
}

static int
lanes_fstat(void *arg, int fd, struct shm_stat *ret)
{
	struct sim_proc *p = arg;

	stat_of(p->fd[fd].node, ret);
	return 0;
}

static int
lanes_lstat(void *arg, const char *path, struct shm_stat *ret)
{
	struct sim_proc *p = arg;
	struct entry_name *e = disk_find(p->host, path);

	if (e == NULL || e->node == NULL)
		return -ENOENT;
	stat_of(e->node, ret);
	return 0;
}

static int
lanes_statfs(void *arg, const char *path, struct shm_space *ret)
{
	*ret = (struct shm_space){ UINT64_C(64) << 20, UINT64_C(60) << 20 };
	return 0;
}

static int
lanes_mkdir(void *arg, const char *path, uint32_t mode)
{
	return disk_mkdir(arg, path, mode);
}

static int
lanes_mkfifo(void *arg, const char *path, uint32_t mode)
{
	return disk_mkfifo(arg, path, mode);
}

static int
lanes_fchmod(void *arg, int fd, uint32_t mode)
{
	struct sim_proc *p = arg;

	p->fd[fd].node->mode = mode;
	return 0;
}

static void
lanes_nap(void *arg)
{
}

static int
lanes_fallocate(void *arg, int fd, uint64_t len)
{
	struct sim_proc *p = arg;

	return disk_resize(p->fd[fd].node, len);
}

static int
lanes_punch(void *arg, int fd, uint64_t off, uint64_t len)
{
	return 0;	/* frees pages, changes nothing anybody may read */
}

static int
lanes_rename(void *arg, const char *from, const char *to)
{
	return disk_rename(arg, from, to);
}

static int
lanes_unlink(void *arg, const char *path)
{
	return disk_unlink(arg, path);
}

/* Wakes those of the host who poll this FIFO. */
static void
wake(struct sim_host *h, struct inode *n)
{
	struct op **at, *op;
	struct sim_proc *p;

	for (p = h->sim->procs; p != NULL; p = p->next) {
		if (p->host != h)
			continue;
		for (at = &p->polls; (op = *at) != NULL;) {
			if (p->fd[op->fd].node != n) {
				at = &op->next;
				continue;
			}
			*at = op->next;
			op->next = NULL;
			sim_later(p, op, 0, 1000);
		}
	}
}

static int
lanes_write(void *arg, int fd, const void *buf, size_t n)
{
	struct sim_proc *p = arg;
	struct inode *node = p->fd[fd].node;

	if (node->type != LOOP_FIFO)
		return -EINVAL;
	node->fifo += n;
	wake(p->host, node);
	return (int)n;
}

static int
lanes_lock(void *arg, int fd)
{
	struct sim_proc *p = arg;

	return disk_lock(p, &p->fd[fd]);
}

static int
lanes_locked(void *arg, int fd)
{
	struct sim_proc *p = arg;
	struct inode *n = p->fd[fd].node;

	return n->lock != NULL && !p->fd[fd].locked;
}

static int
map_pieces(struct inode *n, uint64_t control, uint64_t data, bool twice,
    int prot, void **ret_base)
{
	uint64_t all = control + data;
	uint8_t *base;

	base = mmap(NULL, all + (twice ? data : 0), PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	if (mmap(base, all, prot, MAP_SHARED | MAP_FIXED, n->memfd, 0) ==
	    MAP_FAILED || (twice && mmap(base + all, data, prot,
	    MAP_SHARED | MAP_FIXED, n->memfd, (off_t)control) == MAP_FAILED)) {
		munmap(base, all + (twice ? data : 0));
		return -ENOMEM;
	}
	*ret_base = base;
	return 0;
}

static int
lanes_map(void *arg, int fd, uint64_t control, uint64_t data, bool twice,
    bool writable, bool dontfork, void **ret_base)
{
	struct sim_proc *p = arg;
	struct sim_fd *f = &p->fd[fd];
	struct sim_map *m;
	int r;

	if (f->node->memfd < 0)
		return -ENODEV;
	r = map_pieces(f->node, control, data, twice,
	    writable ? PROT_READ | PROT_WRITE : PROT_READ, ret_base);
	if (r < 0)
		return r;
	m = must_alloc(sizeof(*m));
	m->node = f->node;
	m->base = *ret_base;
	m->bytes = control + data + (twice ? data : 0);
	m->locked = f->locked;
	f->node->opens++;
	if (m->locked)
		f->node->lock_refs++;
	m->next = p->maps;
	p->maps = m;
	return 0;
}

static void
unmap_one(struct sim_proc *p, struct sim_map *m)
{
	struct sim_host *h = p->host;
	struct inode *n = m->node;
	size_t i;

	munmap(m->base, (size_t)m->bytes);
	if (m->locked)
		inode_unlock(n);
	for (i = 0; i < h->names_n; i++)
		if (h->names[i].node == n)
			disk_changed(h, h->names[i].path);
	n->opens--;
	inode_put(n);
	free(m);
}

static void
lanes_unmap(void *arg, void *base, uint64_t bytes)
{
	struct sim_proc *p = arg;
	struct sim_map **mp, *m;

	for (mp = &p->maps; (m = *mp) != NULL; mp = &m->next)
		if (m->base == base) {
			*mp = m->next;
			unmap_one(p, m);
			return;
		}
	must(false);
}

void
lanes_unmap_all(struct sim_proc *p)
{
	struct sim_map *m;

	while ((m = p->maps) != NULL) {
		p->maps = m->next;
		unmap_one(p, m);
	}
}

static void
lanes_drop(void *arg, void *at, uint64_t bytes)
{
	/* A matter of residence, not of content. */
}

static int
lanes_list(void *arg, const char *path, void (*name)(void *ctx,
    const char *name), void *ctx)
{
	struct sim_proc *p = arg;
	size_t i, len = strlen(path);
	struct entry_name *e;

	for (i = 0; i < p->host->names_n; i++) {
		e = &p->host->names[i];
		if (e->node != NULL && name_is_in(e, path, len))
			name(ctx, e->path + len + 1);
	}
	return 0;
}

static int
lanes_read(void *arg, int fd, void *at, size_t n)
{
	struct sim_proc *p = arg;
	ssize_t r;

	if (p->fd[fd].node->memfd < 0)
		return -ENODEV;
	r = pread(p->fd[fd].node->memfd, at, n, 0);
	return r < 0 ? -errno : (int)r;
}

static uint32_t
lanes_uid(void *arg)
{
	return 0;
}

static uint32_t
lanes_pid(void *arg)
{
	struct sim_proc *p = arg;

	return p->number;
}

static uint64_t
lanes_file_limit(void *arg)
{
	return UINT64_MAX;
}

void
lanes_init(struct sim_proc *p)
{
	p->shm = (struct shm_sys){
		.arg = p, .mono_ns = lanes_mono, .wall_ns = lanes_wall,
		.random = lanes_random, .open = lanes_open,
		.close = lanes_close, .fstat = lanes_fstat,
		.lstat = lanes_lstat, .statfs = lanes_statfs,
		.mkdir = lanes_mkdir, .mkfifo = lanes_mkfifo,
		.fchmod = lanes_fchmod, .nap = lanes_nap, .resize = lanes_fallocate,
		.fallocate = lanes_fallocate,
		.punch = lanes_punch, .rename = lanes_rename,
		.unlink = lanes_unlink, .write = lanes_write,
		.read = lanes_read,
		.lock = lanes_lock, .locked = lanes_locked,
		.map = lanes_map, .unmap = lanes_unmap, .drop = lanes_drop,
		.list = lanes_list, .uid = lanes_uid,
		.file_limit = lanes_file_limit, .pid = lanes_pid,
	};
}
