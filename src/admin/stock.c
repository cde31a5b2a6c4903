/* SPDX-License-Identifier: ISC */
/* stock.c - what a queue's directory has; see stock.h */

#include "admin/stock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/scan.h"
#include "banned.h"

#define TRIES		5	/* a segment went while it was looked for */
#define SEGMENTS_MAX	65536u
#define NAME_LEN	20	/* "0123456789abcdef.seg" */

enum pass { HEADS, LEDGERS, DATA };

struct one {			/* a segment */
	char		 name[NAME_LEN + 1];
	uint64_t	 order;
	uint64_t	 generation;
	bool		 checkpointed;
};

struct reading {
	struct stock	*s;
	const char	*dir;
	struct one	*one;
	size_t		 n;
	uint64_t	 base;		/* order of the base */
	struct ranges	 seen;		/* sequences */
	stock_see	*see;
	void		*arg;
	uint8_t		*mem;
	size_t		 mem_cap;
	size_t		 len;
	enum pass	 pass;
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct one *)a)->name,
	    ((const struct one *)b)->name);
}

static bool
is_segment(const char *name)
{
	return strlen(name) == NAME_LEN &&
	    strspn(name, "0123456789abcdef") == 16 &&
	    strcmp(name + 16, ".seg") == 0;
}

static int
list(struct reading *rd)
{
	DIR *d = opendir(rd->dir);
	struct dirent *e;
	struct one *more;
	int r = 0;

	if (d == NULL)
		return -errno;
	while (r == 0 && (e = readdir(d)) != NULL) {
		if (!is_segment(e->d_name))
			continue;
		if (rd->n == SEGMENTS_MAX) {
			r = -EFBIG;
			break;
		}
		more = realloc(rd->one, (rd->n + 1) * sizeof(*more));
		if (more == NULL) {
			r = -ENOMEM;
			break;
		}
		rd->one = more;
		rd->one[rd->n] = (struct one){ .order =
		    strtoull(e->d_name, NULL, 16) };
		memcpy(rd->one[rd->n++].name, e->d_name, NAME_LEN + 1);
	}
	closedir(d);
	if (rd->n > 0)
		qsort(rd->one, rd->n, sizeof(*rd->one), by_name);
	return r;
}

static int
room(struct reading *rd, uint64_t size)
{
	uint8_t *p;

	if (size > STOCK_FILE_MAX)
		return -EFBIG;
	if (size <= rd->mem_cap)
		return 0;
	p = realloc(rd->mem, (size_t)size);
	if (p == NULL)
		return -ENOMEM;
	rd->mem = p;
	rd->mem_cap = (size_t)size;
	return 0;
}

/* All of a file, or as much as there is of it. */
static int
load(struct reading *rd, const char *name)
{
	char path[512];
	struct stat st;
	ssize_t n = 1;
	int fd, r;

	rd->len = 0;
	snprintf(path, sizeof(path), "%s/%s", rd->dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ?
	    room(rd, (uint64_t)st.st_size) : -EINVAL;
	while (r == 0 && n > 0 && rd->len < (size_t)st.st_size) {
		n = pread(fd, rd->mem + rd->len,
		    (size_t)st.st_size - rd->len, (off_t)rd->len);
		if (n < 0)
			r = -errno;
		else
			rd->len += (size_t)n;
	}
	close(fd);
	return r;
}

static int
ledger_frame(struct reading *rd, const struct frame *f)
{
	struct stock *s = rd->s;
	struct bytes rest;
	struct ledger l;
	int r;

	r = ledger_get(f->body, s->env, &l, &s->done, &rest);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	s->ledger = l;
	if (f->kind != FRAME_CHECKPOINT)
		return 0;
	s->based = true;
	r = streams_load(s->streams, rest);
	return r == -ENOMEM ? r : 0;
}

static int
keep_frame(struct stock *s, const struct frame *f, bool held)
{
	struct stock_frame *more;
	size_t cap = s->cap == 0 ? 256 : 2 * s->cap;

	if (s->frames == STOCK_FRAMES_MAX)
		return -EFBIG;
	if (s->frames == s->cap) {
		more = realloc(s->frame, cap * sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		s->frame = more;
		s->cap = cap;
	}
	s->frame[s->frames] = (struct stock_frame){ .from = f->from,
	    .to = f->to, .seq = f->seq, .records = f->records,
	    .flags = f->flags, .held = held };
	memcpy(s->frame[s->frames++].stream, f->stream, STREAM_ID_LEN);
	return 0;
}

static int
data_frame(struct reading *rd, const struct one *one, const struct frame *f)
{
	bool foreign = (f->flags & CHUNK_FOREIGN) != 0, held;
	struct stock *s = rd->s;
	int r;

	if (ranges_has(&rd->seen, f->seq))
		return 0;		/* a second copy */
	r = ranges_add(&rd->seen, s->env, f->seq, f->seq + 1);
	if (r < 0)
		return r;
	held = !ranges_has(&s->done, f->seq);
	if (rd->see != NULL)
		rd->see(rd->arg, f, held);
	r = keep_frame(s, f, held);
	if (r == 0 && held)
		r = streams_add(s->held, f->stream, f->from, f->to, foreign,
		    f->taken_ns);
	if (r == -ENOSPC)
		r = -EFBIG;		/* too many holes to go by it */
	if (r < 0 || one->order < rd->base)
		return r;		/* its range is in the checkpoint */
	r = streams_add(s->streams, f->stream, f->from, f->to, foreign,
	    f->taken_ns);
	return r == -ENOMEM ? r : 0;
}

/* 1: no more of this file in this pass. */
static int
take_frame(struct reading *rd, struct one *one, const struct frame *f)
{
	if (one->generation == 0)
		one->generation = f->generation;
	if (f->seq >= UINT64_MAX / 2)
		return 0;
	switch (rd->pass) {
	case HEADS:
		if (f->kind == FRAME_CHECKPOINT && f->from < UINT64_MAX / 2) {
			one->checkpointed = true;
			one->order = f->from;
		}
		return 1;
	case LEDGERS:
		return f->kind == FRAME_DATA ? 0 : ledger_frame(rd, f);
	default:
		rd->s->next_seq = f->kind == FRAME_DATA &&
		    f->seq >= rd->s->next_seq ? f->seq + 1 : rd->s->next_seq;
		return f->kind == FRAME_DATA ? data_frame(rd, one, f) : 0;
	}
}

static int
walk(struct reading *rd, struct one *one)
{
	struct scan sc;
	size_t at = 0;
	int r = 0;

	while (r == 0 && at < rd->len) {
		scan_next(rd->mem + at, rd->len - at, at, true,
		    one->generation, &sc);
		if (sc.kind == SCAN_END || sc.len == 0)
			break;
		if (sc.kind == SCAN_FRAME)
			r = take_frame(rd, one, &sc.frame);
		else if (rd->pass == HEADS)
			r = 1;		/* as a recovery does */
		at += sc.len;
	}
	return r == 1 ? 0 : r;
}

/* The commits a base is followed by lie in segments as new as itself. */
static int
pass(struct reading *rd, enum pass which)
{
	size_t i;
	int r = 0;

	rd->pass = which;
	for (i = 0; i < rd->n && r == 0; i++) {
		if (which == LEDGERS && rd->one[i].order < rd->base)
			continue;
		r = load(rd, rd->one[i].name);
		/* What we may not open is not ours, as in a recovery. */
		if (r == -EINVAL || r == -ELOOP)
			r = rd->len = 0;
		else if (r == 0)
			r = walk(rd, &rd->one[i]);
	}
	return r;
}

static void
find_base(struct reading *rd)
{
	size_t i;

	rd->base = 0;
	for (i = 0; i < rd->n; i++)
		if (rd->one[i].checkpointed && rd->one[i].order >= rd->base)
			rd->base = rd->one[i].order;
}

static int
read_once(struct stock *s, const char *dir, stock_see *see, void *arg)
{
	struct reading rd = { .s = s, .dir = dir, .see = see, .arg = arg };
	int r;

	r = streams_new(&s->streams, s->env);
	if (r == 0)
		r = streams_new(&s->held, s->env);
	if (r == 0)
		r = list(&rd);
	if (r == 0 && rd.n > 0) {
		r = pass(&rd, HEADS);
		find_base(&rd);
		if (r == 0)
			r = pass(&rd, LEDGERS);
		if (r == 0)
			r = pass(&rd, DATA);
		if (r == -ENOENT)
			r = -EAGAIN;
	}
	s->segments = (unsigned)rd.n;
	ranges_fini(&rd.seen, s->env);
	free(rd.one);
	free(rd.mem);
	return r;
}

int
stock_read(struct stock *s, struct env *env, const char *dir, stock_see *see,
    void *arg)
{
	unsigned i;
	int r = -EAGAIN;

	*s = (struct stock){ .env = env };
	for (i = 0; i < TRIES && r == -EAGAIN; i++) {
		stock_fini(s);
		*s = (struct stock){ .env = env };
		r = read_once(s, dir, see, arg);
	}
	return r;
}

void
stock_fini(struct stock *s)
{
	if (s->env == NULL)
		return;
	ranges_fini(&s->done, s->env);
	streams_free(&s->streams);
	streams_free(&s->held);
	free(s->frame);
	s->env = NULL;
}
