/* SPDX-License-Identifier: ISC */
/* audit.c - emplogd audit: nothing lost, as far as it can be seen from here */

#include "admin/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "admin/human.h"
#include "banned.h"

#define AGAIN_NS	500000000	/* between two looks */
#define CANNOT_LOOK	2

static const char *const hop_words[] = {
	[HOP_LANE_RELAY] = "lane -> relay",
	[HOP_LANE_SPILL] = "lane -> spill",
	[HOP_SPILL_RELAY] = "spill -> relay",
	[HOP_QUEUE] = "queue",
	[HOP_RELAY_EXPORTER] = "relay -> exporter",
	[HOP_EXPORT] = "export",
	[HOP_DEAD] = "dead letters",
};

static bool
is_same_place(const struct finding *a, const struct finding *b)
{
	return a->hop == b->hop && a->part == b->part &&
	    a->placed == b->placed &&
	    memcmp(a->stream, b->stream, STREAM_ID_LEN) == 0;
}

static bool
overlaps(const struct finding *a, const struct finding *b)
{
	return is_same_place(a, b) &&
	    (!a->placed || (a->from < b->to && b->from < a->to));
}

void
audit_found(struct audit_look *lk, const struct finding *f)
{
	struct finding *old;
	unsigned i;

	if (lk->elsewhere && f->placed && f->hop <= HOP_SPILL_RELAY) {
		lk->unseen_bytes += f->to - f->from;
		return;
	}
	for (i = 0; i < lk->n; i++) {
		old = &lk->found[i];
		if (overlaps(old, f))
			return;
		if (f->placed && is_same_place(old, f) && old->to == f->from) {
			old->to = f->to;
			old->records += f->records;
			return;
		}
	}
	if (lk->n == FINDINGS_MAX)
		lk->more++;
	else
		lk->found[lk->n++] = *f;
}

static void __attribute__((format(printf, 2, 0)))
vnote(struct audit_look *lk, const char *fmt, va_list ap)
{
	if (lk->notes < NOTES_MAX)
		vsnprintf(lk->note[lk->notes++], sizeof(lk->note[0]), fmt, ap);
}

void
audit_note(struct audit_look *lk, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vnote(lk, fmt, ap);
	va_end(ap);
}

void
audit_blind(struct audit_look *lk, const char *fmt, ...)
{
	va_list ap;

	lk->blind++;
	va_start(ap, fmt);
	vnote(lk, fmt, ap);
	va_end(ap);
}

/* ---- looking ---- */

static void
begin(struct audit_look *lk)
{
	lk->n = lk->more = lk->blind = lk->notes = lk->forgotten = 0;
	lk->lanes_n = lk->head_bytes = lk->held_bytes = 0;
	lk->counted_bytes = lk->unseen_bytes = 0;
}

/* Of all lanes before any queue: they are the furthest up. */
static void
note_cursors(struct lanes *ls)
{
	struct watched *w;
	unsigned i;

	for (i = 0; i < ls->n; i++) {
		w = ls->v[i];
		if (w->error == 0 && !reader_is_sane(&w->r))
			w->r.spoiled = true;
		w->pos = w->error == 0 ? reader_tail(&w->r) : 0;
	}
}

static int
audit_once(struct audit_look *lk)
{
	int r;

	begin(lk);
	r = lanes_scan(lk->lanes);
	if (r == 0 && lk->lanes->error < 0 && lk->lanes->error != -ENOENT)
		audit_blind(lk, "'%s' cannot be read: %s", lk->lanes->dir[0],
		    strerror(-lk->lanes->error));
	note_cursors(lk->lanes);
	if (r == 0)
		r = sites_read(lk->sites, audit_before, audit_frame, lk);
	lk->elsewhere = !audit_has_relays(lk);
	if (r == 0)
		r = audit_at_lanes(lk);
	if (r == 0)
		r = audit_at_spills(lk);
	if (r == 0)
		r = audit_at_relays(lk);
	if (r == 0)
		r = audit_at_exports(lk);
	if (r == 0)
		r = audit_at_fates(lk);
	if (lk->unseen_bytes > 0)
		audit_blind(lk, "%" PRIu64 " bytes left for a relay that is not "
		    "here", lk->unseen_bytes);
	return r == 0 ? audit_at_sums(lk) : r;
}

/* What both looks miss. */
static void
keep_common(struct audit_look *lk, const struct finding *before, unsigned n)
{
	unsigned i, j, kept = 0;

	for (i = 0; i < lk->n; i++)
		for (j = 0; j < n; j++)
			if (overlaps(&lk->found[i], &before[j])) {
				lk->found[kept++] = lk->found[i];
				break;
			}
	lk->n = kept;
}

static int
audit_twice(struct audit_look *lk)
{
	struct timespec nap = { 0, AGAIN_NS };
	struct finding *before;
	unsigned n;
	int r;

	r = audit_once(lk);
	if (r < 0 || lk->n == 0)
		return r;
	n = lk->n;
	before = malloc(n * sizeof(*before));
	if (before == NULL)
		return -ENOMEM;
	memcpy(before, lk->found, n * sizeof(*before));
	nanosleep(&nap, NULL);
	r = audit_once(lk);
	if (r == 0)
		keep_common(lk, before, n);
	free(before);
	return r;
}

/* ---- saying ---- */

static void
print_finding(FILE *out, const struct finding *f)
{
	char hex[2 * STREAM_ID_LEN + 1];

	fprintf(out, "MISSING   %s", hop_words[f->hop]);
	if (f->part != NULL)
		fprintf(out, " of '%s'", f->part->dir);
	if (f->placed) {
		uid_hex(f->stream, hex);
		fprintf(out, ": stream %s bytes %" PRIu64 "-%" PRIu64, hex,
		    f->from, f->to);
	}
	if (f->records > 0)
		fprintf(out, ": %" PRIu64, f->records);
	fprintf(out, ": %s\n", f->words);
}

static int
verdict(struct audit_look *lk)
{
	FILE *out = lk->a->out;
	unsigned i;

	print_sums(out, lk);
	for (i = 0; i < lk->notes; i++)
		fprintf(out, "note      %s\n", lk->note[i]);
	if (lk->forgotten > 0)
		fprintf(out, "note      %u streams ended too long ago to be "
		    "remembered\n", lk->forgotten);
	if (lk->counted_bytes > 0)
		fprintf(out, "note      %" PRIu64 " bytes were dropped and "
		    "counted: see 'emplogd status'\n", lk->counted_bytes);
	for (i = 0; i < lk->n; i++)
		print_finding(out, &lk->found[i]);
	if (lk->more > 0)
		fprintf(out, "MISSING   %u places more\n", lk->more);
	if (lk->n > 0)
		fprintf(out, "audit: records are missing\n");
	else if (lk->blind > 0)
		fprintf(out, "audit: not everything could be looked at\n");
	else
		fprintf(out, "audit: conserved\n");
	return lk->n > 0 ? 1 : lk->blind > 0 ? CANNOT_LOOK : 0;
}

static unsigned
parts_there(const struct sites *st)
{
	unsigned i, n = 0;

	for (i = 0; i < st->n; i++)
		n += st->part[i].there;
	return n;
}

static int
run(struct audit_look *lk)
{
	unsigned i;
	int r;

	if (parts_there(lk->sites) == 0) {
		fprintf(lk->a->err, "emplogd audit: no role has run with "
		    "common.state_dir '%s'\n",
		    conf_text(lk->a->conf, KEY_common_state_dir));
		return CANNOT_LOOK;
	}
	r = reader_guard_install();
	if (r == 0)
		r = audit_twice(lk);
	if (r < 0)
		fprintf(lk->a->err, "emplogd audit: %s\n", strerror(-r));
	r = r < 0 ? CANNOT_LOOK : verdict(lk);
	for (i = 0; i < PARTS_MAX; i++)
		uids_fini(&lk->uids[i]);
	return r;
}

int
admin_audit(int argc, char **argv, struct admin *a)
{
	const char *state = conf_text(a->conf, KEY_common_state_dir);
	struct audit_look *lk = calloc(1, sizeof(*lk));
	struct sites *st = calloc(1, sizeof(*st));
	struct lanes *ls = calloc(1, sizeof(*ls));
	int i, r = CANNOT_LOOK;

	if (lk == NULL || st == NULL || ls == NULL || sites_init(st) < 0) {
		fprintf(a->err, "emplogd audit: %s\n", strerror(ENOMEM));
		goto out;
	}
	*lk = (struct audit_look){ .a = a, .sites = st, .lanes = ls };
	lanes_init(ls, a->sys != NULL ? a->sys : &shm_sys_os,
	    conf_text(a->conf, KEY_common_ring_dir), state);
	r = sites_add(st, state);
	for (i = 1; i < argc && r == 0; i++)
		r = argv[i][0] == '-' ? -EINVAL : sites_add(st, argv[i]);
	if (r == -EINVAL)
		r = admin_usage(a, "audit", "'%s' is not understood",
		    argv[i - 1]);
	else if (r < 0)
		r = admin_usage(a, "audit", "more than %d state directories",
		    SITES_MAX);
	else
		r = run(lk);
	lanes_fini(ls);
	sites_fini(st);
out:
	free(ls);
	free(st);
	free(lk);
	return r;
}
