/* SPDX-License-Identifier: ISC */
/* disk.c - files of a simulated host: read, written, synced */

#include "sim/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "banned.h"

/* ---- inodes ---- */

struct inode *
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

/* What is cut off is cut off on the disk too: no undo brings it back. */
static void
cut_off(struct inode *n, uint64_t size)
{
	size_t i, left = 0;
	struct undo *u;
	uint64_t at;

	for (i = 0; i < n->undo_n; i++) {
		u = &n->undo[i];
		at = u->sector * SIM_SECTOR;
		if (at >= size) {
			n->kept -= n->dirty[u->sector] == SECTOR_KEPT;
			n->dirty[u->sector] = SECTOR_CLEAN;
			continue;
		}
		if (at + SIM_SECTOR > size)
			memset(u->was + (size - at), 0,
			    (size_t)(at + SIM_SECTOR - size));
		n->undo[left++] = *u;
	}
	n->undo_n = left;
	memset(n->data + size, 0, n->size - size);
	if (n->synced_size > size)
		n->synced_size = size;
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
		cut_off(n, size);
	n->size = size;
	return 0;
}

static void
remember(struct inode *n, uint64_t sector)
{
	struct undo *u;

	n->kept -= n->dirty[sector] == SECTOR_KEPT;
	if (n->dirty[sector] != SECTOR_CLEAN) {
		n->dirty[sector] = SECTOR_DIRTY;
		return;
	}
	n->dirty[sector] = SECTOR_DIRTY;
	if (n->undo_n == n->undo_cap) {
		n->undo_cap = n->undo_cap == 0 ? 64 : 2 * n->undo_cap;
		n->undo = realloc(n->undo, n->undo_cap * sizeof(*n->undo));
		must(n->undo != NULL);
	}
	u = &n->undo[n->undo_n++];
	u->sector = sector;
	memcpy(u->was, n->data + sector * SIM_SECTOR, SIM_SECTOR);
}

void
undo_sector(struct inode *n, const struct undo *u, size_t but)
{
	n->kept -= n->dirty[u->sector] == SECTOR_KEPT;
	n->dirty[u->sector] = SECTOR_CLEAN;
	memcpy(n->data + u->sector * SIM_SECTOR + but, u->was + but,
	    SIM_SECTOR - but);
}

static bool
read_fails(struct sim_host *h)
{
	struct sim *s = h->sim;
	uint64_t at = h->reads++;

	if (at >= h->bad_from && at - h->bad_from < h->bad_n) {
		s->fired[FAULT_READ_EIO]++;
		return true;
	}
	if (h->bad_ns > s->now_ns) {
		s->fired[FAULT_READ_BAD]++;
		return true;
	}
	return sim_chance(s, s->faults.read_error, FAULT_READ_EIO);
}

int64_t
disk_read(struct sim_proc *p, struct inode *n, void *buf, size_t len,
    uint64_t off)
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
	if (p != NULL && read_fails(p->host))
		return -EIO;
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

/* All that is dirty is on the disk now. */
static void
written_back(struct inode *n)
{
	size_t i, left = 0;
	struct undo *u;

	for (i = 0; i < n->undo_n; i++) {
		u = &n->undo[i];
		if (n->dirty[u->sector] == SECTOR_KEPT)
			n->undo[left++] = *u;
		else
			n->dirty[u->sector] = SECTOR_CLEAN;
	}
	n->undo_n = left;
	n->synced_size = n->size;
}

/* One in four is; the rest is given up, and seen no more or seen still. */
static void
not_written_back(struct sim *s, struct inode *n)
{
	bool drop = sim_random(s, 2) == 0;
	size_t i, left = 0;
	struct undo *u;

	for (i = 0; i < n->undo_n; i++) {
		u = &n->undo[i];
		if (n->dirty[u->sector] == SECTOR_DIRTY &&
		    sim_random(s, 4) == 0) {
			n->dirty[u->sector] = SECTOR_CLEAN;
			continue;
		}
		if (drop) {
			undo_sector(n, u, 0);
			continue;
		}
		n->kept += n->dirty[u->sector] != SECTOR_KEPT;
		n->dirty[u->sector] = SECTOR_KEPT;
		n->undo[left++] = *u;
	}
	s->fired[FAULT_DROPPED] += drop && n->undo_n > 0;
	s->fired[FAULT_KEPT] += !drop && left > 0;
	n->undo_n = left;
}

void
disk_sync_fails(struct sim_proc *p, struct inode *n)
{
	p->host->syncs_failed++;
	not_written_back(p->host->sim, n);
}

static void
sync_directory(struct sim_host *h, const char *dir)
{
	size_t i, n = strlen(dir);
	struct entry_name *e;

	for (i = 0; i < h->names_n; i++) {
		e = &h->names[i];
		if (name_is_in(e, dir, n))
			name_keep(e);
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
	if (sim_chance(s, s->faults.fsync_error, FAULT_FSYNC)) {
		disk_sync_fails(p, f->node);
		return -EIO;
	}
	written_back(f->node);
	return 0;
}

/* ---- what befalls it ---- */

uint64_t
sim_syncs_failed(const struct sim_host *h)
{
	return h->syncs_failed;
}

void
sim_unreadable(struct sim_host *h, uint64_t until_ns)
{
	h->bad_ns = until_ns;
}

void
sim_disk_full(struct sim_host *h, bool full)
{
	h->full = full;
}
