/* SPDX-License-Identifier: ISC */
/*
 * queue_check.c - emplogd queue check: each damaged place of a queue
 *
 * Beside a process that writes, a frame half written looks like a torn one.
 * So what is found then is looked for once more, and only what is damaged
 * both times is told.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "admin/human.h"
#include "admin/queue.h"
#include "banned.h"

#define PLACES_MAX	4096u	/* told one by one; the rest is counted */
#define NO_SEQ		UINT64_MAX

struct place {
	struct look_damage dm;
	uint64_t	 frames, records;	/* intact before it, in its file */
	uint64_t	 before, after;	/* seq of the frames around it */
};

struct check {
	struct qdir	 d;		/* first: the look's arg */
	struct place	*place;
	size_t		 n, told;
	uint64_t	 more;		/* places beyond PLACES_MAX */
	size_t		 first;		/* place of this segment */
	uint64_t	 frames, records, last;	/* of this segment */
	struct place	*old;		/* of the look before; NULL: tell all */
	size_t		 old_n;
	uint64_t	 all_frames, all_records, faults;
	bool		 quiet;		/* collects only */
};

static void
on_frame(void *arg, const struct frame *f, bool held)
{
	struct check *c = arg;
	size_t i;

	for (i = c->n; i > c->first && c->place[i - 1].after == NO_SEQ; i--)
		c->place[i - 1].after = f->seq;
	c->frames++;
	c->records += f->records;
	c->last = f->seq;
}

static void
on_damage(void *arg, const struct look_damage *dm)
{
	struct check *c = arg;
	struct place *p = c->n > c->first ? &c->place[c->n - 1] : NULL;

	if (p != NULL && p->dm.to == dm->from) {
		p->dm.to = dm->to;
		return;
	}
	if (c->n == PLACES_MAX) {
		c->more++;
		return;
	}
	c->place[c->n++] = (struct place){ .dm = *dm, .frames = c->frames,
	    .records = c->records, .before = c->last, .after = NO_SEQ };
}

static bool
was_there(const struct check *c, const struct place *p)
{
	size_t i;

	if (c->old == NULL)
		return true;
	for (i = 0; i < c->old_n; i++)
		if (c->old[i].dm.number == p->dm.number &&
		    c->old[i].dm.from == p->dm.from)
			return true;
	return false;
}

static void
tell_missing(FILE *out, const struct place *p)
{
	if (p->before == NO_SEQ || p->after == NO_SEQ)
		return;
	if (p->after > p->before + 1)
		fprintf(out, "; sequence %" PRIu64 " to %" PRIu64 " missing",
		    p->before + 1, p->after - 1);
	else
		fputs("; no sequence missing", out);
}

static void
tell_place(struct check *c, const struct place *p)
{
	FILE *out = c->d.a->out;
	char why[80];

	if (!was_there(c, p))
		return;
	c->told++;
	qdir_why(why, &p->dm);
	fprintf(out, "%016" PRIx64 ".seg: bytes %" PRIu64 " to %" PRIu64 ": %s; "
	    "%" PRIu64 " records in %" PRIu64 " frames intact before, %" PRIu64
	    " in %" PRIu64 " behind", p->dm.number, p->dm.from, p->dm.to, why,
	    p->records, p->frames, c->records - p->records,
	    c->frames - p->frames);
	tell_missing(out, p);
	fputc('\n', out);
}

static void
tell_segment(struct check *c, const struct look_segment *s)
{
	FILE *out = c->d.a->out;
	char why[80];
	size_t i;

	for (i = c->first; i < c->n; i++)
		tell_place(c, &c->place[i]);
	if (s->error != 0)
		fprintf(out, "%016" PRIx64 ".seg: cannot be read: %s\n",
		    s->number, qdir_unread(why, s));
	else if (!s->checkpoint && c->n == c->first && !(s->newest &&
	    c->d.busy))
		fprintf(out, "%016" PRIx64 ".seg: does not begin with a "
		    "checkpoint\n", s->number);
	else if (s->copies > 0)
		fprintf(out, "%016" PRIx64 ".seg: %" PRIu64 " frames are second "
		    "copies of others\n", s->number, s->copies);
	else if (s->order != s->number)
		fprintf(out, "%016" PRIx64 ".seg: was named %016" PRIx64 ".seg\n",
		    s->number, s->order);
	else
		return;
	c->faults++;
}

static void
on_segment(void *arg, const struct look_segment *s)
{
	struct check *c = arg;

	c->d.segments++;
	c->all_frames += c->frames;
	c->all_records += c->records;
	if (!c->quiet)
		tell_segment(c, s);
	c->first = c->n;
	c->frames = c->records = 0;
	c->last = NO_SEQ;
}

static int
look(struct check *c)
{
	struct look lk = { .frame = on_frame, .damage = on_damage,
	    .segment = on_segment, .arg = c };

	c->n = c->first = 0;
	c->more = c->frames = c->records = c->all_frames = c->all_records = 0;
	c->last = NO_SEQ;
	return qdir_look(&c->d, &lk);
}

/* Finds first what may be no damage a moment later. */
static int
look_twice(struct check *c)
{
	int r;

	c->quiet = true;
	r = look(c);
	c->quiet = false;
	if (r != 0)
		return r;
	c->old = c->place;
	c->old_n = c->n;
	c->place = calloc(PLACES_MAX, sizeof(*c->place));
	return c->place == NULL ? QUEUE_BLIND : look(c);
}

static int
tell_sum(struct check *c)
{
	FILE *out = c->d.a->out;
	const struct look_sum *sum = &c->d.sum;
	bool bad;

	if (c->more > 0)
		fprintf(out, "%" PRIu64 " damaged places more\n", c->more);
	if (sum->lost_frames > 0)
		fprintf(out, "%" PRIu64 " records in %" PRIu64 " frames were put, "
		    "and are neither delivered nor here\n", sum->lost_records,
		    sum->lost_frames);
	bad = c->told > 0 || c->more > 0 || c->faults > 0 || sum->unread ||
	    sum->lost_frames > 0;
	fprintf(out, "%s: %" PRIu64 " segments, %" PRIu64 " frames, %" PRIu64
	    " records intact, %" PRIu64 " of them not delivered%s%s\n",
	    bad ? "damaged" : "clean", c->d.segments, c->all_frames,
	    c->all_records, sum->held_records,
	    c->d.busy ? "; open in another process" : "", c->d.who);
	return bad ? QUEUE_DAMAGE : QUEUE_CLEAN;
}

int
queue_check_verb(struct qdir *d)
{
	struct check c = { .d = *d };
	int r = QUEUE_BLIND;

	c.place = calloc(PLACES_MAX, sizeof(*c.place));
	if (c.place != NULL)
		r = c.d.busy ? look_twice(&c) : look(&c);
	else
		qdir_say(d, "%s", strerror(ENOMEM));
	if (r == 0)
		r = tell_sum(&c);
	free(c.place);
	free(c.old);
	return r;
}
