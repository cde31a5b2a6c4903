/* SPDX-License-Identifier: ISC */
/* trace.c - emplogd trace: where is a record now; see trace.h */

#include "admin/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "admin/human.h"
#include "admin/uids.h"
#include "banned.h"

#define CANNOT_LOOK	2

struct traced *
trace_add(struct trace *t, const uint8_t *stream, uint64_t pos)
{
	struct traced *rec;
	unsigned i;

	for (i = 0; i < t->n; i++)
		if (t->rec[i].pos == pos &&
		    memcmp(t->rec[i].stream, stream, STREAM_ID_LEN) == 0)
			return &t->rec[i];
	if (t->n == TRACE_MAX) {
		t->more++;
		return NULL;
	}
	rec = &t->rec[t->n++];
	*rec = (struct traced){ .pos = pos };
	memcpy(rec->stream, stream, STREAM_ID_LEN);
	return rec;
}

static bool
has(const struct streams *s, const struct traced *rec)
{
	const struct ranges *rs = s == NULL ? NULL :
	    streams_taken(s, rec->stream);

	return rs != NULL && ranges_has(rs, rec->pos);
}

/* ---- one record ---- */

static bool
say_lane(struct trace *t, const struct traced *rec)
{
	struct watched *w;
	uint64_t tail, head;
	unsigned i;

	for (i = 0; i < t->lanes->n; i++) {
		w = t->lanes->v[i];
		if (w->error < 0 ||
		    memcmp(w->r.id, rec->stream, STREAM_ID_LEN) != 0)
			continue;
		tail = reader_tail(&w->r);
		head = reader_head(&w->r, tail);
		if (rec->pos >= head)
			continue;
		fprintf(t->a->out, "  lane      '%s': %s (%" PRIu64 " to %"
		    PRIu64 " wait)\n", w->r.path, rec->pos >= tail ?
		    "waits to be acknowledged" :
		    "acknowledged by a relay, or spilled", tail, head);
		return true;
	}
	return false;
}

/* Why it left as what it is not: a record delivered. */
static const char *
dropped(const struct part *p, const struct traced *rec)
{
	if (has(p->fate[FATE_AGED], rec))
		return "dropped as too old, and counted";
	if (has(p->fate[FATE_LOST], rec))
		return "lost with its lane, which was spoiled, and counted";
	if (has(p->fate[FATE_REFUSED], rec))
		return "dropped, for no connection can carry it, and counted";
	if (has(p->fate[FATE_BAD], rec))
		return "done: no record can be made of it";
	return NULL;
}

/* In its file of fates, if that is there and whole, everything is. */
static bool
is_noted(const struct part *p, const struct traced *rec)
{
	unsigned i;

	for (i = FATE_BEFORE; i < FATE_COUNT; i++)
		if (has(p->fate[i], rec))
			return true;
	return p->fates_error < 0 || p->evicted > 0;
}

/* What a station that exports has done with it. */
static const char *
fate(const struct part *p, const struct traced *rec)
{
	if (rec->dead && p->ends)
		return "done: a dead letter";
	if (rec->exported && p->ends)
		return "done: in the local export";
	if (!p->ends || (p->sent_on && !is_noted(p, rec)))
		return "sent on and acknowledged";
	if (!is_noted(p, rec))
		return "done, but in no request that was answered";
	return p->local ? "done, but not in the files of the export" :
	    "done: answered by the backend";
}

static bool
say_part(struct trace *t, const struct part *p, const struct traced *rec)
{
	bool bad = has(p->bad, rec);
	const char *what = NULL;

	if (has(p->stock.held, rec))
		what = p->kind == PART_AGENT ? "spilled, waits for the relay" :
		    "waits in the queue";
	else if (bad)
		what = "in quarantine: no record, kept as bytes";
	else if (has(p->stock.streams, rec) && dropped(p, rec) != NULL)
		what = dropped(p, rec);
	else if (has(p->stock.streams, rec))
		what = p->kind == PART_AGENT ?
		    "was spilled, sent and acknowledged" : fate(p, rec);
	if (what == NULL)
		return false;
	fprintf(t->a->out, "  %-9s '%s': %s\n", p->role, p->dir, what);
	return true;
}

static bool
say_record(struct trace *t, const struct traced *rec)
{
	char hex[2 * STREAM_ID_LEN + 1];
	bool known;
	unsigned i;

	uid_hex(rec->stream, hex);
	fprintf(t->a->out, "%s:%" PRIu64 "\n", hex, rec->pos);
	known = say_lane(t, rec);
	for (i = 0; i < t->sites->n; i++)
		if (t->sites->part[i].there)
			known |= say_part(t, &t->sites->part[i], rec);
	if (rec->dead) {
		fputs("  refused   ", t->a->out);
		human_put(t->a->out, rec->why);
		fputc('\n', t->a->out);
	}
	if (!known && rec->exported)
		fputs("  export    in the local export\n", t->a->out);
	if (!known && !rec->exported && !rec->dead)
		fputs("  unknown   in no lane, spill or queue of what was "
		    "looked at\n", t->a->out);
	return known || rec->exported || rec->dead;
}

static int
say_all(struct trace *t)
{
	unsigned i, known = 0;

	for (i = 0; i < t->n; i++)
		known += say_record(t, &t->rec[i]);
	if (t->running > 0)
		fprintf(t->a->out, "in progress, says its lane\n");
	if (t->more > 0)
		fprintf(t->a->out, "%u records more are not shown\n", t->more);
	if (t->blind > 0)
		fprintf(t->a->err, "emplogd trace: not everything could be "
		    "looked at; 'emplogd audit' says what\n");
	if (t->n == 0 && t->running == 0)
		fprintf(t->a->out, "no record of it is known here\n");
	if (known > 0 || t->running > 0)
		return 0;
	return t->blind > 0 ? CANNOT_LOOK : 1;
}

static int
run(struct trace *t, const char *id)
{
	uint8_t stream[STREAM_ID_LEN];
	uint64_t pos;
	int r;

	if (strlen(id) > 2 * STREAM_ID_LEN + 1 &&
	    uid_parse(id, '\0', stream, &pos))
		(void)trace_add(t, stream, pos);
	else
		t->job = id;
	r = reader_guard_install();
	if (r == 0)
		r = trace_find(t);
	if (r < 0)
		fprintf(t->a->err, "emplogd trace: %s\n", strerror(-r));
	return r < 0 ? CANNOT_LOOK : say_all(t);
}

int
admin_trace(int argc, char **argv, struct admin *a)
{
	const char *state = conf_text(a->conf, KEY_common_state_dir);
	struct trace *t = calloc(1, sizeof(*t));
	struct sites *st = calloc(1, sizeof(*st));
	struct lanes *ls = calloc(1, sizeof(*ls));
	int i, r = CANNOT_LOOK;

	if (t == NULL || st == NULL || ls == NULL || sites_init(st) < 0) {
		fprintf(a->err, "emplogd trace: %s\n", strerror(ENOMEM));
		goto out;
	}
	*t = (struct trace){ .a = a, .sites = st, .lanes = ls };
	lanes_init(ls, a->sys != NULL ? a->sys : &shm_sys_os,
	    conf_text(a->conf, KEY_common_ring_dir), state);
	r = sites_add(st, state);
	for (i = 2; i < argc && r == 0; i++)
		r = sites_add(st, argv[i]);
	if (argc < 2 || argv[1][0] == '-' || argv[1][0] == '\0')
		r = admin_usage(a, "trace", "which record or job?");
	else if (r < 0)
		r = admin_usage(a, "trace", "more than %d state directories",
		    SITES_MAX);
	else
		r = run(t, argv[1]);
	lanes_fini(ls);
	sites_fini(st);
out:
	free(ls);
	free(st);
	free(t);
	return r;
}
