/* SPDX-License-Identifier: ISC */
/* loss.c - what a power loss leaves of a simulated disk; bits that rot */

#include "sim/inner.h"

#include <errno.h>
#include <stdlib.h>

#include "banned.h"

/* ---- power loss ---- */

/*
 * Of a sector the end is as it was; rarely, its beginning is new.  What was
 * given up is as it was, all of it.
 */
static void
lose_sector(struct sim *s, struct inode *n, const struct undo *u)
{
	size_t but = 0;

	if (n->dirty[u->sector] == SECTOR_DIRTY && sim_random(s, 16) == 0) {
		but = (size_t)sim_random(s, SIM_SECTOR);
		s->fired[FAULT_TORN]++;
	}
	undo_sector(n, u, but);
}

static void
tear(struct sim *s, struct inode *n)
{
	size_t i, lost = 0;
	struct undo *u;

	if (n->type != LOOP_FILE || n->memfd >= 0)
		return;
	s->fired[FAULT_KEPT_LOST] += n->kept > 0;
	for (i = 0; i < n->undo_n; i++) {
		u = &n->undo[i];
		if (n->dirty[u->sector] == SECTOR_DIRTY &&
		    sim_random(s, 2) == 0) {
			n->dirty[u->sector] = SECTOR_CLEAN;
			continue;
		}
		lose_sector(s, n, u);
		lost++;
	}
	s->fired[FAULT_UNSYNCED] += lost > 0;
	n->undo_n = 0;
	if (n->size > n->synced_size && sim_random(s, 2) == 0)
		disk_resize(n, n->synced_size);
	n->synced_size = n->size;
}

static void
evict(struct inode *n)
{
	size_t i, left = 0;

	for (i = 0; i < n->undo_n; i++) {
		if (n->dirty[n->undo[i].sector] == SECTOR_KEPT)
			undo_sector(n, &n->undo[i], 0);
		else
			n->undo[left++] = n->undo[i];
	}
	n->undo_n = left;
}

/* What the kernel believes to be clean may leave its memory any time: now. */
void
disk_evict(struct sim_host *h)
{
	struct entry_name *e;
	size_t i;

	for (i = 0; i < h->names_n; i++) {
		e = &h->names[i];
		if (e->node == NULL || e->node->kept == 0 ||
		    sim_random(h->sim, 2) == 0)
			continue;
		h->sim->fired[FAULT_KEPT_LOST]++;
		evict(e->node);
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
		if (path_is_shared_memory(e->path))
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
		name_keep(e);
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
	free(h->slots);
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
		if (n->data[at] == 0 || n->dirty[at / SIM_SECTOR] != SECTOR_CLEAN)
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

int64_t
sim_peek(struct sim_host *h, const char *path, uint64_t off, void *buf,
    size_t len)
{
	struct entry_name *e = disk_find(h, path);

	if (e == NULL || e->node == NULL)
		return -ENOENT;
	return disk_read(NULL, e->node, buf, len, off);
}

int
sim_file(struct sim_host *h, const char *path, struct bytes *ret)
{
	struct entry_name *e = disk_find(h, path);

	if (e == NULL || e->node == NULL || e->node->type != LOOP_FILE ||
	    e->node->memfd >= 0)
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
