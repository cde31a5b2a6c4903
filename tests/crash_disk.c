/* SPDX-License-Identifier: ISC */
/* crash_disk.c - see crash_disk.h */

#include "crash_disk.h"

uint64_t rnd = 1;

uint32_t
dice(uint32_t n)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return (uint32_t)(rnd >> 24) % n;
}

void
record(void *arg, const struct sim_disk_op *op)
{
	struct trace *t = arg;
	struct event *e;

	if (t->n == EVENTS_MAX)
		broken("too many events");
	e = &t->ev[t->n++];
	*e = (struct event){ .kind = op->kind, .ino = op->ino, .off = op->off,
	    .len = op->kind == OP_WRITE ? op->data.n : op->len,
	    .res = op->res };
	snprintf(e->path, sizeof(e->path), "%s", op->path);
	snprintf(e->path2, sizeof(e->path2), "%s",
	    op->path2 == NULL ? "" : op->path2);
	if (op->kind == OP_WRITE) {
		e->data = malloc(op->data.n);
		memcpy(e->data, op->data.p, op->data.n);
	}
}

void
trace_clear(struct trace *t)
{
	while (t->n > 0)
		free(t->ev[--t->n].data);
}

/* ---- a disk ---- */

struct file *
file_of(struct disk *d, uint64_t ino)
{
	uint32_t i;

	for (i = 0; i < d->files; i++)
		if (d->file[i].ino == ino)
			return &d->file[i];
	if (d->files == FILES_MAX)
		broken("too many files");
	d->file[d->files] = (struct file){ .ino = ino };
	return &d->file[d->files++];
}

void
resize(struct file *f, uint64_t size)
{
	if (size > f->cap) {
		f->cap = size + 65536;
		f->data = realloc(f->data, f->cap);
	}
	if (size > f->size)
		memset(f->data + f->size, 0, size - f->size);
	f->size = size;
}

void
name_set(struct disk *d, const char *path, uint64_t ino)
{
	uint32_t i;

	for (i = 0; i < d->names; i++)
		if (strcmp(d->name[i].path, path) == 0)
			break;
	if (ino == 0 && i == d->names)
		return;
	if (ino == 0) {
		d->name[i] = d->name[--d->names];
		return;
	}
	if (i == FILES_MAX)
		broken("too many names");
	if (i == d->names)
		snprintf(d->name[d->names++].path, sizeof(d->name[i].path),
		    "%s", path);
	d->name[i].ino = ino;
}

void
disk_clear(struct disk *d)
{
	while (d->files > 0)
		free(d->file[--d->files].data);
	d->names = 0;
}

void
disk_copy(struct disk *to, const struct disk *from)
{
	struct file *f;
	uint32_t i;

	disk_clear(to);
	for (i = 0; i < from->files; i++) {
		f = file_of(to, from->file[i].ino);
		f->is_dir = from->file[i].is_dir;
		resize(f, from->file[i].size);
		if (f->size > 0)
			memcpy(f->data, from->file[i].data, f->size);
	}
	memcpy(to->name, from->name, sizeof(to->name));
	to->names = from->names;
}

static bool
has_name(const struct disk *d, uint64_t ino)
{
	uint32_t k;

	for (k = 0; k < d->names; k++)
		if (d->name[k].ino == ino)
			return true;
	return false;
}

static void
apply_write(struct file *f, const struct event *e, bool tear)
{
	uint64_t at, end, n;

	if (e->off + e->len > f->size)
		resize(f, e->off + e->len);
	for (at = e->off; at < e->off + e->len; at = end) {
		end = (at / SECTOR + 1) * SECTOR;
		n = (end < e->off + e->len ? end : e->off + e->len) - at;
		if (!tear || dice(2) == 0)
			memcpy(f->data + at, e->data + (at - e->off), n);
	}
}

static void
apply(struct disk *d, const struct event *e, bool tear)
{
	struct file *f = file_of(d, e->ino);

	switch (e->kind) {
	case OP_WRITE:
		apply_write(f, e, tear);
		break;
	case OP_TRUNCATE:
		resize(f, e->len);
		break;
	case OP_FALLOCATE:
		if (e->off + e->len > f->size)
			resize(f, e->off + e->len);
		break;
	case OP_MKDIR:
		f->is_dir = true;
		name_set(d, e->path, e->ino);
		break;
	case OP_OPEN:
		name_set(d, e->path, e->ino);
		break;
	case OP_RENAME:
		name_set(d, e->path, 0);
		name_set(d, e->path2, e->ino);
		break;
	default:
		name_set(d, e->path, 0);
		break;
	}
}

static bool
is_data(const struct event *e)
{
	return e->kind == OP_WRITE || e->kind == OP_TRUNCATE ||
	    e->kind == OP_FALLOCATE;
}

static bool
lies_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/' &&
	    strchr(path + n + 1, '/') == NULL;
}

/* ---- instants: what is durable, what is pending ---- */

/* After one event more. */
void
instants_step(struct instants *in, uint32_t k)
{
	const struct event *e = &in->t->ev[k], *p;
	uint32_t i, kept = 0;
	struct file *f;
	bool mine;

	if (e->kind != OP_FSYNC) {
		in->pending[in->n++] = k;
		return;
	}
	f = file_of(in->d, e->ino);
	f->broken = f->broken || (e->res < 0 && !f->is_dir);
	for (i = 0; i < in->n; i++) {
		p = &in->t->ev[in->pending[i]];
		mine = is_data(p) ? p->ino == e->ino :
		    lies_in(p->path, e->path);
		in->stuck[in->pending[i]] |= mine && e->res < 0;
		if (mine && !f->broken && !in->stuck[in->pending[i]])
			apply(in->d, p, false);
		else
			in->pending[kept++] = in->pending[i];
	}
	in->n = kept;
}

/* A name, or one that is pending. */
static bool
can_come_back(const struct instants *in, uint64_t ino)
{
	uint32_t i;

	for (i = 0; i < in->n; i++)
		if (in->t->ev[in->pending[i]].ino == ino &&
		    !is_data(&in->t->ev[in->pending[i]]))
			return true;
	return has_name(in->d, ino);
}

/* What no disk will show any more makes no other images. */
void
instants_sweep(struct instants *in)
{
	uint32_t i, kept = 0;

	for (i = 0; i < in->n; i++)
		if (can_come_back(in, in->t->ev[in->pending[i]].ino))
			in->pending[kept++] = in->pending[i];
	in->n = kept;
	for (i = 0; i < in->d->files; )
		if (can_come_back(in, in->d->file[i].ino)) {
			i++;
		} else {
			free(in->d->file[i].data);
			in->d->file[i] = in->d->file[--in->d->files];
		}
}

void
make_image(struct disk *img, const struct instants *in, uint64_t mask,
    bool tear)
{
	uint32_t i;

	disk_copy(img, in->d);
	for (i = 0; i < in->n; i++)
		if (i >= 64 ? dice(2) == 0 : (mask >> i & 1) != 0)
			apply(img, &in->t->ev[in->pending[i]], tear);
}

/* ---- disks that were recovered in turn ---- */

/* sim_install numbers anew, in the order of install(). */
void
disk_renumber(struct disk *d)
{
	static struct disk fresh;
	struct file *from, *to;
	uint32_t i, k, depth;
	uint64_t ino = 1;

	disk_clear(&fresh);
	for (depth = 1; depth < 5; depth++)
		for (i = 0; i < d->names; i++) {
			uint32_t slashes = 0;

			for (k = 0; d->name[i].path[k] != '\0'; k++)
				slashes += d->name[i].path[k] == '/';
			if (slashes != depth)
				continue;
			from = file_of(d, d->name[i].ino);
			to = file_of(&fresh, ino);
			to->is_dir = from->is_dir;
			resize(to, from->size);
			if (from->size > 0)
				memcpy(to->data, from->data, from->size);
			name_set(&fresh, d->name[i].path, ino++);
		}
	disk_copy(d, &fresh);
}

/* The numbers of that run of the files of img; new ones are far off. */
void
trace_translate(struct trace *t, const struct disk *img)
{
	static struct disk run;
	struct event *e;
	uint32_t i, k;

	disk_copy(&run, img);
	disk_renumber(&run);
	for (e = t->ev; e < t->ev + t->n; e++) {
		for (i = 0; i < run.names; i++)
			if (run.name[i].ino == e->ino)
				break;
		for (k = 0; i < run.names && k < img->names; k++)
			if (strcmp(img->name[k].path, run.name[i].path) == 0)
				break;
		e->ino = i < run.names ? img->name[k].ino :
		    e->ino + 1000000;
	}
}

void
disk_put(struct sim_host *h, const struct disk *d)
{
	const struct file *f;
	uint32_t i, k, left = d->names, depth;

	/* Parents before their children. */
	for (depth = 1; left > 0 && depth < 5; depth++)
		for (i = 0; i < d->names; i++) {
			const char *p = d->name[i].path;
			uint32_t slashes = 0;

			for (k = 0; p[k] != '\0'; k++)
				slashes += p[k] == '/';
			if (slashes != depth)
				continue;
			left--;
			f = file_of((struct disk *)(uintptr_t)d,
			    d->name[i].ino);
			(void)sim_install(h, p, f->is_dir ? LOOP_DIR :
			    LOOP_FILE, bytes_of(f->data, f->size));
		}
}
