/* SPDX-License-Identifier: ISC */
/* record.c - what is done to a simulated disk, told; and disks made of it */

#include "sim/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/must.h"
#include "banned.h"

void
sim_record(struct sim_host *h, void (*each)(void *arg,
    const struct sim_disk_op *op), void *arg)
{
	h->record = each;
	h->record_arg = arg;
}

static uint64_t
ino_at(struct sim_host *h, const char *path)
{
	struct entry_name *e = disk_find(h, path);

	return e == NULL || e->node == NULL ? 0 : e->node->ino;
}

static void
of_file(struct sim_proc *p, const struct op *op, struct sim_disk_op *d)
{
	const struct sim_fd *f = &p->fd[op->fd];

	if (f->kind != FD_FILE)
		return;
	d->kind = (enum op_kind)op->kind;
	d->ino = f->node->ino;
	d->path = f->path;
}

/* What it was before it is carried out: names may be gone afterwards. */
void
record_before(struct sim_proc *p, const struct op *op, struct sim_disk_op *d)
{
	*d = (struct sim_disk_op){ .kind = OP_IDLE };
	if (p->host->record == NULL)
		return;
	switch (op->kind) {
	case OP_WRITE:
	case OP_FSYNC:
	case OP_TRUNCATE:
	case OP_FALLOCATE:
		of_file(p, op, d);
		d->off = op->off;
		d->len = op->len;
		break;
	case OP_OPEN:
	case OP_MKDIR:
	case OP_RENAME:
	case OP_UNLINK:
		d->kind = (enum op_kind)op->kind;
		d->path = op->path;
		d->path2 = op->path2;
		d->ino = ino_at(p->host, op->path);
		break;
	default:
		break;
	}
}

/* Told: what changed something, and each sync with its result. */
void
record_after(struct sim_proc *p, const struct op *op, struct sim_disk_op *d,
    int64_t res)
{
	struct sim_host *h = p->host;
	bool made = d->ino == 0;

	d->res = res;
	if (d->kind == OP_IDLE || (res < 0 && d->kind != OP_FSYNC))
		return;
	if (d->kind == OP_OPEN && !made && (op->flags & O_TRUNC) == 0)
		return;
	if (d->kind == OP_OPEN && !made) {
		d->kind = OP_TRUNCATE;
		d->len = 0;
	}
	if (made)
		d->ino = ino_at(h, d->path);
	if (d->kind == OP_WRITE)
		d->data = bytes_of(op->cbuf, (size_t)res);
	h->record(h->record_arg, d);
}

uint64_t
sim_install(struct sim_host *h, const char *path, enum loop_type type,
    struct bytes content)
{
	struct inode *n;

	must(ino_at(h, path) == 0);
	n = disk_install(h, path, type);
	if (content.n > 0) {
		disk_resize(n, content.n);
		memcpy(n->data, content.p, content.n);
		n->synced_size = content.n;
	}
	return n->ino;
}
