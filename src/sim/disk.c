/* SPDX-License-Identifier: ISC */
/* disk.c - names and files of a simulated host, and what a power loss leaves */

#include "sim/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "banned.h"

#define DISK_BYTES	(UINT64_C(1) << 40)
#define SHM_PREFIX	"/dev/shm/"

static bool
is_shared_memory(const char *path)
{
	return strncmp(path, SHM_PREFIX, strlen(SHM_PREFIX)) == 0;
}

static void
parent_of(const char *path, char dir[SIM_PATH])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - path);

	must(n < SIM_PATH);
	memcpy(dir, path, n);
	dir[n] = '\0';
}

/* ---- inodes ---- */

static struct inode *
inode_new(struct sim_host *h, enum loop_type type, uint32_t mode)
{
	struct inode *n = must_alloc(sizeof(*n));

	n->ino = h->next_ino++;
	n->type = type;
	n->mode = mode;
	n->memfd = -1;
	n->mtime_ns = h->sim->wall_ns + h->sim->now_ns;
	return n;
}

void
inode_put(struct inode *n)
{
	if (n->links > 0 || n->opens > 0)
		return;
	if (n->memfd >= 0)
		close(n->memfd);
	free(n->data);
	free(n->dirty);
	free(n->undo);
	free(n);
}

void
inode_unlock(struct inode *n)
{
	must(n->lock_refs > 0);
	if (--n->lock_refs == 0)
		n->lock = NULL;
}

int
disk_resize(struct inode *n, uint64_t size)
{
	uint64_t cap = n->cap == 0 ? 65536 : n->cap;

	if (n->memfd >= 0) {
		n->size = size;
		return ftruncate(n->memfd, (off_t)size) < 0 ? -errno : 0;
	}
	while (cap < size)
		cap *= 2;
	if (cap != n->cap) {
		n->data = realloc(n->data, cap);
		n->dirty = realloc(n->dirty, cap / SIM_SECTOR);
		must(n->data != NULL && n->dirty != NULL);
		memset(n->data + n->cap, 0, cap - n->cap);
		memset(n->dirty + n->cap / SIM_SECTOR, 0,
		    (cap - n->cap) / SIM_SECTOR);
		n->cap = cap;
	}
	if (size < n->size)
		memset(n->data + size, 0, n->size - size);
	n->size = size;
	return 0;
}

static void
remember(struct inode *n, uint64_t sector)
{
	struct undo *u;

	if (n->dirty[sector])
		return;
	n->dirty[sector] = 1;
	if (n->undo_n == n->undo_cap) {
		n->undo_cap = n->undo_cap == 0 ? 64 : 2 * n->undo_cap;
		n->undo = realloc(n->undo, n->undo_cap * sizeof(*n->undo));
		must(n->undo != NULL);
	}
	u = &n->undo[n->undo_n++];
	u->sector = sector;
	memcpy(u->was, n->data + sector * SIM_SECTOR, SIM_SECTOR);
}

int64_t
disk_read(struct inode *n, void *buf, size_t len, uint64_t off)
{
	size_t left;

	if (n->type != LOOP_FILE)
		return -EISDIR;
	if (off >= n->size)
		return 0;
	left = (size_t)(n->size - off);
	len = len < left ? len : left;
	if (n->memfd >= 0)
		return pread(n->memfd, buf, len, (off_t)off);
	memcpy(buf, n->data + off, len);
	return (int64_t)len;
}

bool
disk_no_room(struct sim_proc *p, const struct inode *n, uint64_t size)
{
	struct sim_host *h = p->host;

	if (!h->full || n->memfd >= 0 || size <= n->size)
		return false;
	h->sim->fired[FAULT_FULL]++;
	return true;
}

int64_t
disk_write(struct sim_proc *p, struct inode *n, const void *buf, size_t len,
    uint64_t off)
{
	struct sim *s = p->host->sim;
	uint64_t i;

	if (n->memfd >= 0)
		return pwrite(n->memfd, buf, len, (off_t)off);
	if (disk_no_room(p, n, off + len))
		return -ENOSPC;
	if (sim_chance(s, s->faults.write_error / 2, FAULT_EIO))
		return -EIO;
	if (sim_chance(s, s->faults.write_error / 2, FAULT_ENOSPC))
		return -ENOSPC;
	if (len > 1 && sim_chance(s, s->faults.short_io, FAULT_SHORT_WRITE))
		len = 1 + (size_t)sim_random(s, len);
	if (off + len > n->size)
		disk_resize(n, off + len);
	for (i = off / SIM_SECTOR; i * SIM_SECTOR < off + len; i++)
		remember(n, i);
	memcpy(n->data + off, buf, len);
	n->mtime_ns = s->wall_ns + s->now_ns;
	return (int64_t)len;
}

static void
forget_undo(struct inode *n)
{
	size_t i;

	for (i = 0; i < n->undo_n; i++)
		n->dirty[n->undo[i].sector] = 0;
	n->undo_n = 0;
	n->synced_size = n->size;
}

static void
sync_directory(struct sim_host *h, const char *dir)
{
	char parent[SIM_PATH];
	struct entry_name *e;
	size_t i;

	for (i = 0; i < h->names_n; i++) {
		e = &h->names[i];
		parent_of(e->path, parent);
		if (strcmp(parent, dir) != 0 || e->durable == e->node)
			continue;
		if (e->durable != NULL) {
			e->durable->links--;
			inode_put(e->durable);
		}
		e->durable = e->node;
		if (e->node != NULL)
			e->node->links++;
	}
}

int
disk_sync(struct sim_proc *p, struct sim_fd *f)
{
	struct sim *s = p->host->sim;

	if (f->node->type == LOOP_DIR) {
		if (sim_chance(s, s->faults.fsync_error, FAULT_DIR_FSYNC))
			return -EIO;
		sync_directory(p->host, f->path);
		return 0;
	}
	/* After a failure the kernel believes the pages are clean. */
	if (f->node->broken)
		return 0;
	if (sim_chance(s, s->faults.fsync_error, FAULT_FSYNC)) {
		f->node->broken = true;
		return -EIO;
	}
	forget_undo(f->node);
	return 0;
}

/* ---- names ---- */

struct entry_name *
disk_find(struct sim_host *h, const char *path)
{
	size_t i;

	for (i = 0; i < h->names_n; i++)
		if (strcmp(h->names[i].path, path) == 0)
			return &h->names[i];
	return NULL;
}

static struct entry_name *
name_make(struct sim_host *h, const char *path)
{
	struct entry_name *e = disk_find(h, path);

	if (e != NULL)
		return e;
	if (h->names_n == h->names_cap) {
		h->names_cap = h->names_cap == 0 ? 64 : 2 * h->names_cap;
		h->names = realloc(h->names, h->names_cap *
		    sizeof(*h->names));
		must(h->names != NULL);
	}
	e = &h->names[h->names_n++];
	*e = (struct entry_name){ .path = strdup(path) };
	must(e->path != NULL);
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
	char dir[SIM_PATH];
	struct loop_watch *w;
	struct sim_proc *p;

	parent_of(path, dir);
	for (p = h->sim->procs; p != NULL; p = p->next) {
		if (p->host != h)
			continue;
		for (w = p->watches; w != NULL; w = w->next) {
			if (strcmp(w->dir, dir) != 0)
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
parent_exists(struct sim_host *h, const char *path)
{
	char dir[SIM_PATH];
	struct entry_name *e;

	parent_of(path, dir);
	if (dir[0] == '\0' || strcmp(dir, "/dev/shm") == 0 ||
	    strcmp(dir, "/var/lib") == 0)
		return true;
	e = disk_find(h, dir);
	return e != NULL && e->node != NULL && e->node->type == LOOP_DIR;
}

static int
create(struct sim_proc *p, const char *path, enum loop_type type,
    uint32_t mode, struct inode **ret)
{
	struct inode *n;

	if (!parent_exists(p->host, path))
		return -ENOENT;
	n = inode_new(p->host, type, mode);
	if (type == LOOP_FILE && is_shared_memory(path)) {
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
	strncpy(p->fd[fd].path, path, SIM_PATH - 1);
	return fd;
}

int
disk_close(struct sim_proc *p, int fd)
{
	struct sim_fd *f = &p->fd[fd];
	struct inode *n = f->node;

	if (f->locked)
		inode_unlock(n);
	disk_changed(p->host, f->path);
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

/* ---- power loss ---- */

/* Of a sector the end is as it was; rarely, its beginning is new. */
static void
undo_sector(struct sim *s, struct inode *n, const struct undo *u)
{
	size_t kept = 0;

	if (!n->broken && sim_random(s, 16) == 0) {
		kept = (size_t)sim_random(s, SIM_SECTOR);
		s->fired[FAULT_TORN]++;
	}
	memcpy(n->data + u->sector * SIM_SECTOR + kept, u->was + kept,
	    SIM_SECTOR - kept);
}

static void
tear(struct sim *s, struct inode *n)
{
	size_t i, lost = 0;
	struct undo *u;

	if (n->type != LOOP_FILE || n->memfd >= 0)
		return;
	for (i = 0; i < n->undo_n; i++) {
		u = &n->undo[i];
		n->dirty[u->sector] = 0;
		if (!n->broken && sim_random(s, 2) == 0)
			continue;
		undo_sector(s, n, u);
		lost++;
	}
	s->fired[FAULT_UNSYNCED] += lost > 0;
	n->undo_n = 0;
	if (n->size > n->synced_size && sim_random(s, 2) == 0)
		disk_resize(n, n->synced_size);
	n->synced_size = n->size;
	n->broken = false;
}

/* After a failed fsync the kernel may drop the pages any time: now. */
void
disk_evict(struct sim_host *h)
{
	struct entry_name *e;
	size_t i;

	for (i = 0; i < h->names_n; i++) {
		e = &h->names[i];
		if (e->node != NULL && e->node->broken)
			tear(h->sim, e->node);
	}
}

void
disk_power_loss(struct sim_host *h)
{
	bool keep = sim_random(h->sim, 2) == 0;
	struct entry_name *e;
	struct inode *old;
	size_t i;

	for (i = 0; i < h->names_n; i++) {
		e = &h->names[i];
		old = e->node;
		if (is_shared_memory(e->path))
			e->node = NULL;
		else if (!keep) {
			h->sim->fired[FAULT_UNNAMED] += e->node != e->durable;
			e->node = e->durable;
		}
		if (e->node != NULL && e->node != old)
			e->node->links++;
		if (old != NULL && e->node != old) {
			old->links--;
			inode_put(old);
		}
		if (e->node != NULL)
			tear(h->sim, e->node);
	}
	for (i = 0; i < h->names_n; i++) {
		e = &h->names[i];
		if (e->durable == e->node)
			continue;
		if (e->durable != NULL) {
			e->durable->links--;
			inode_put(e->durable);
		}
		e->durable = e->node;
		if (e->node != NULL)
			e->node->links++;
	}
}

void
disk_free(struct sim_host *h)
{
	struct entry_name *e;
	size_t i;

	for (i = 0; i < h->names_n; i++) {
		e = &h->names[i];
		if (e->durable != NULL) {
			e->durable->links--;
			if (e->durable != e->node)
				inode_put(e->durable);
		}
		if (e->node != NULL) {
			e->node->links--;
			inode_put(e->node);
		}
		free(e->path);
	}
	free(h->names);
}

/* ---- bits that rot ---- */

/* A file with bytes in it, a byte that is not all zero around it. */
static struct entry_name *
to_flip(struct sim_host *h, const char *prefix, uint64_t *ret_at)
{
	struct entry_name *e;
	struct inode *n;
	unsigned tries;
	uint64_t at;

	for (tries = 0; h->names_n > 0 && tries < 1000; tries++) {
		e = &h->names[sim_random(h->sim, h->names_n)];
		n = e->node;
		if (strncmp(e->path, prefix, strlen(prefix)) != 0 ||
		    n == NULL || n->type != LOOP_FILE || n->memfd >= 0 ||
		    n->size == 0)
			continue;
		at = sim_random(h->sim, n->size);
		if (n->data[at] == 0 || n->dirty[at / SIM_SECTOR])
			continue;
		*ret_at = at;
		return e;
	}
	return NULL;
}

int
sim_flip(struct sim_host *h, const char *prefix, struct sim_flip *ret_flip)
{
	struct entry_name *e;
	uint8_t mask = (uint8_t)(1u << sim_random(h->sim, 8));
	uint64_t at;

	e = to_flip(h, prefix, &at);
	if (e == NULL)
		return -ENOENT;
	h->sim->fired[FAULT_FLIP]++;
	e->node->data[at] ^= mask;
	*ret_flip = (struct sim_flip){ e->path,
	    bytes_of(e->node->data, (size_t)e->node->size), at, mask };
	return 0;
}

int
sim_file(struct sim_host *h, const char *path, struct bytes *ret)
{
	struct entry_name *e = disk_find(h, path);

	if (e == NULL || e->node == NULL || e->node->type != LOOP_FILE)
		return -ENOENT;
	*ret = bytes_of(e->node->data, (size_t)e->node->size);
	return 0;
}

size_t
sim_files(struct sim_host *h, void (*each)(void *arg, const char *path,
    struct bytes content), void *arg)
{
	struct bytes b;
	size_t i, n = 0;

	for (i = 0; i < h->names_n; i++)
		if (sim_file(h, h->names[i].path, &b) == 0) {
			each(arg, h->names[i].path, b);
			n++;
		}
	return n;
}
