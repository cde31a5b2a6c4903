/* SPDX-License-Identifier: ISC */
/* shelf.c - reads the segments of a queue; see shelf.h */

#include "shelf.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "queue/ledger.h"
#include "queue/scan.h"

static void *
room(void *v, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return v;
	*cap = *cap == 0 ? 64 : 2 * *cap;
	v = realloc(v, *cap * size);
	must(v != NULL);
	return v;
}

static void
add_done(struct shelf *s, uint64_t from, uint64_t to)
{
	if (from >= to)
		return;
	s->done = room(s->done, s->dones, &s->dones_cap, sizeof(*s->done));
	s->done[s->dones++] = (struct shelf_span){ from, to };
}

/* It says nothing of a frame from its own sequence on. */
static void
ledger_frame(struct shelf *s, const struct frame *f)
{
	const uint8_t *p = f->body.p;
	uint64_t to;
	uint32_t i, n;
	size_t head;

	if (f->body.n < LEDGER_HEAD)
		return;
	n = le32_get(p + 72);
	head = ledger_size(n);
	if (n > LEDGER_RANGES_MAX || head > f->body.n)
		return;
	for (i = 0, p += LEDGER_HEAD; i < n; i++, p += 16) {
		to = le64_get(p + 8);
		add_done(s, le64_get(p), to < f->seq ? to : f->seq);
	}
	if (f->kind != FRAME_CHECKPOINT || f->from < s->newest)
		return;
	s->newest = f->from;
	free(s->table);
	s->table_n = f->body.n - head;
	s->table = malloc(s->table_n + 1);
	must(s->table != NULL);
	memcpy(s->table, f->body.p + head, s->table_n);
}

static void
data_frame(struct shelf *s, const struct frame *f)
{
	struct shelf_frame *to;

	s->frame = room(s->frame, s->frames, &s->frames_cap,
	    sizeof(*s->frame));
	to = &s->frame[s->frames++];
	*to = (struct shelf_frame){ .seq = f->seq, .from = f->from,
	    .to = f->to, .records = f->records };
	memcpy(to->stream, f->stream, sizeof(to->stream));
}

static void
read_segment(struct shelf *s, struct bytes b)
{
	uint64_t generation = 0;
	struct scan k;
	size_t at = 0;

	while (at < b.n) {
		scan_next(b.p + at, b.n - at, at, true, generation, &k);
		if (k.kind == SCAN_END || k.len == 0)
			break;
		at += k.len;
		if (k.kind != SCAN_FRAME)
			continue;
		if (generation == 0)
			generation = k.frame.generation;
		if (k.frame.kind == FRAME_DATA)
			data_frame(s, &k.frame);
		else
			ledger_frame(s, &k.frame);
	}
}

static void
each_file(void *arg, const char *path, struct bytes content)
{
	struct shelf *s = arg;
	size_t n = strlen(s->dir), len = strlen(path);
	uint8_t *was;

	if (strncmp(path, s->dir, n) != 0 || strchr(path + n, '/') != NULL ||
	    len < 4 || strcmp(path + len - 4, ".seg") != 0 || content.n == 0)
		return;
	if (s->without == NULL || strcmp(s->without->path, path) != 0) {
		read_segment(s, content);
		return;
	}
	was = malloc(content.n);
	must(was != NULL);
	memcpy(was, content.p, content.n);
	was[s->without->at] ^= s->without->mask;
	read_segment(s, bytes_of(was, content.n));
	free(was);
}

/* ---- done or not ---- */

static int
by_from(const void *a, const void *b)
{
	const struct shelf_span *x = a, *y = b;

	return x->from != y->from ? (x->from < y->from ? -1 : 1) :
	    x->to < y->to ? -1 : x->to > y->to;
}

static int
by_seq(const void *a, const void *b)
{
	const struct shelf_frame *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Both in order: one way through each. */
static void
mark_done(struct shelf *s)
{
	uint64_t to = 0;
	size_t i, k = 0;

	if (s->dones > 0)
		qsort(s->done, s->dones, sizeof(*s->done), by_from);
	if (s->frames > 0)
		qsort(s->frame, s->frames, sizeof(*s->frame), by_seq);
	for (i = 0; i < s->frames; i++) {
		for (; k < s->dones && s->done[k].from <= s->frame[i].seq; k++)
			to = s->done[k].to > to ? s->done[k].to : to;
		s->frame[i].done = s->frame[i].seq < to;
	}
}

void
shelf_read(struct shelf *s, struct sim_host *h, const char *dir,
    const struct sim_flip *without)
{
	*s = (struct shelf){ .dir = dir, .without = without };
	sim_files(h, each_file, s);
	mark_done(s);
}

void
shelf_free(struct shelf *s)
{
	free(s->frame);
	free(s->done);
	free(s->table);
}

const struct shelf_frame *
shelf_find(const struct shelf *s, uint64_t seq)
{
	const struct shelf_frame key = { .seq = seq };

	return s->frames == 0 ? NULL : bsearch(&key, s->frame, s->frames,
	    sizeof(key), by_seq);
}

/* The bytes are told in streams.h. */
void
shelf_table(const struct shelf *s, void (*each)(void *arg,
    const uint8_t *stream, uint64_t from, uint64_t to), void *arg)
{
	const uint8_t *p = s->table, *end = p + s->table_n, *id;
	uint32_t streams, n;

	if (s->table_n < 8)
		return;
	for (streams = le32_get(p + 4), p += 8; streams > 0 &&
	    end - p >= 32; streams--) {
		id = p;
		n = le32_get(p + 20);
		for (p += 32; n > 0 && end - p >= 16; n--, p += 16)
			each(arg, id, le64_get(p), le64_get(p + 8));
	}
}
