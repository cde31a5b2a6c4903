/* SPDX-License-Identifier: ISC */
/* audit_export.c - records done that no local export has; see audit.h */

#include <errno.h>
#include <stdlib.h>

#include "admin/audit.h"
#include "forward/walk.h"
#include "forward/mp.h"
#include "banned.h"

#define COPY_BYTES	READER_COPY_MIN(LANE_DATA_MAX)

static struct uids *
uids_of(struct audit_look *lk, const struct part *p)
{
	return &lk->uids[p - lk->sites->part];
}

/* Its export tells of each record ever. */
static bool
tells_all(struct audit_look *lk, const struct part *p)
{
	return p->there && p->local && !p->sent_on &&
	    uids_of(lk, p)->slots > 0 && !uids_of(lk, p)->cut;
}

void
audit_before(void *arg, struct part *p)
{
	struct audit_look *lk = arg;
	struct uids *u = uids_of(lk, p);
	char dir[512];
	int r;

	lk->at = p;
	uids_fini(u);
	if (!p->local)
		return;
	snprintf(dir, sizeof(dir), "%s/export", p->dir);
	r = uids_read(u, dir);
	if (r < 0 && r != -ENOENT)
		audit_blind(lk, "the export '%s' cannot be read: %s", dir,
		    strerror(-r));
	if (r < 0)
		uids_fini(u);
	else if (u->cut)
		audit_note(lk, "older files of the export '%s' are gone: its "
		    "records are not looked for one by one", dir);
}

static bool
is_taken(const struct streams *s, const uint8_t *id, uint64_t from,
    uint64_t to)
{
	struct range rg;

	return s != NULL && streams_cut(s, id, from, to, &rg) == -ENOENT;
}

static bool
is_touched(const struct streams *s, const uint8_t *id, uint64_t from,
    uint64_t to)
{
	const struct ranges *rs = s == NULL ? NULL : streams_taken(s, id);

	return rs != NULL && ranges_count(rs, from, to) > 0;
}

/* Exported, buried, or kept as bytes: or it is missing. */
static bool
is_out(struct audit_look *lk, const struct part *p, const uint8_t *id,
    uint64_t from, uint64_t to)
{
	return uids_has(uids_of(lk, p), id, from) ||
	    is_touched(p->bad, id, from, to) ||
	    is_taken(p->fate[FATE_BAD], id, from, to) ||
	    (p->dead_error == 0 && is_taken(p->dead.streams, id, from, to));
}

static void
not_out(struct audit_look *lk, const struct part *p, const uint8_t *id,
    uint64_t from, uint64_t to)
{
	struct finding f = { .hop = HOP_EXPORT, .part = p, .placed = true,
	    .from = from, .to = to, .records = 1, .words =
	    "done in its queue, but neither in its export nor among the dead "
	    "letters" };

	memcpy(f.stream, id, STREAM_ID_LEN);
	audit_found(lk, &f);
}

/* sees each record of a body that begins at pos. */
static void
each_record(struct audit_look *lk, struct bytes body, const uint8_t *id,
    uint64_t pos, void (*see)(struct audit_look *lk, const uint8_t *id,
    uint64_t from, uint64_t to))
{
	struct mp m = mp_of(body);
	const uint8_t *start = m.p;
	struct entry e;

	while (walk_entry(&m, &e) == 0) {
		if (!e.group_mark)
			see(lk, id, pos + (uint64_t)(start - body.p),
			    pos + (uint64_t)(m.p - body.p));
		start = m.p;
	}
}

/* ---- records that are in frames still ---- */

static void
see_framed(struct audit_look *lk, const uint8_t *id, uint64_t from, uint64_t to)
{
	if (!is_out(lk, lk->at, id, from, to))
		not_out(lk, lk->at, id, from, to);
}

static bool
is_parsed(const struct frame *f)
{
	struct walk w;

	if (f->signal != SIGNAL_LOGS || f->encoding != ENC_FORWARD ||
	    (f->flags & CHUNK_BROKEN) != 0)
		return false;
	walk_entries(f->body, RECORD_BYTES_MAX, &w);
	return w.error == 0;
}

void
audit_frame(void *arg, const struct frame *f, bool held)
{
	struct audit_look *lk = arg;

	if (!held && tells_all(lk, lk->at) && is_parsed(f))
		each_record(lk, f->body, f->stream, f->from, see_framed);
}

/* ---- records that are in lanes still ---- */

/* One that some queue is done with, and no export has. */
static void
see_in_lane(struct audit_look *lk, const uint8_t *id, uint64_t from,
    uint64_t to)
{
	struct sites *st = lk->sites;
	const struct part *p, *done = NULL;
	unsigned i;

	for (i = 0; i < st->n; i++) {
		p = &st->part[i];
		if (!p->ends || !part_is_station(p) ||
		    !is_taken(p->stock.streams, id, from, to))
			continue;
		if (!tells_all(lk, p) || is_out(lk, p, id, from, to) ||
		    is_touched(p->stock.held, id, from, to))
			return;
		done = p;
	}
	if (done != NULL)
		not_out(lk, done, id, from, to);
}

static void
audit_through_lane(struct audit_look *lk, struct watched *w, uint8_t *buf)
{
	uint64_t tail = reader_tail(&w->r), pos = reader_oldest(&w->r);
	bool skipped;
	size_t n;

	while (pos < tail) {
		n = reader_copy(&w->r, &pos, buf, COPY_BYTES, &skipped);
		if (n == 0)
			break;
		each_record(lk, bytes_of(buf, n), w->r.id, pos - n,
		    see_in_lane);
	}
}

/* Without its fates, an entry that is no record has nothing but its count. */
static void
forgive_bad(struct audit_look *lk)
{
	uint64_t found[PARTS_MAX] = { 0 }, bad;
	const struct finding *f;
	unsigned i, kept = 0;

	for (i = 0; i < lk->n; i++)
		if (lk->found[i].hop == HOP_EXPORT)
			found[lk->found[i].part - lk->sites->part] +=
			    lk->found[i].records;
	for (i = 0; i < lk->n; i++) {
		f = &lk->found[i];
		bad = f->hop == HOP_EXPORT && f->part->c_error == 0 &&
		    f->part->fates_error < 0 ?
		    ctr_get(&f->part->c, CTR_export_bad_records) : 0;
		if (bad > 0 && found[f->part - lk->sites->part] <= bad)
			lk->counted_bytes += f->to - f->from;
		else
			lk->found[kept++] = *f;
	}
	lk->n = kept;
}

int
audit_at_exports(struct audit_look *lk)
{
	uint8_t *buf = malloc(COPY_BYTES);
	unsigned i;

	if (buf == NULL)
		return -ENOMEM;
	for (i = 0; i < lk->lanes->n; i++)
		if (lk->lanes->v[i]->error == 0 &&
		    !lk->lanes->v[i]->r.spoiled)
			audit_through_lane(lk, lk->lanes->v[i], buf);
	free(buf);
	forgive_bad(lk);
	return 0;
}
