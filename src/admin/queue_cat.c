/* SPDX-License-Identifier: ISC */
/* queue_cat.c - emplogd queue cat: records as they lie in a queue */

#include <inttypes.h>

#include "admin/human.h"
#include "admin/queue.h"
#include "admin/show.h"
#include "forward/mp.h"
#include "forward/walk.h"
#include "banned.h"

struct cat {
	struct qdir	 d;		/* first: the look's arg */
	bool		 all, json;
	uint64_t	 bad;		/* runs of bytes that are no records */
	uint64_t	 damaged;	/* places */
};

static void
put_entry(struct cat *c, const struct entry *e, const json_t *identity)
{
	json_t *record = show_json(e->record);

	if (record == NULL) {
		c->bad++;
		return;
	}
	show_identity(record, identity);
	if (c->json)
		show_json_line(c->d.a->out, record, e->time_ns);
	else
		show_line(c->d.a->out, record, e->time_ns);
	json_decref(record);
}

static void
put_records(struct cat *c, const struct frame *f)
{
	struct mp m = mp_of(f->body);
	json_t *identity;
	struct entry e;

	identity = f->identity.n == 0 ? NULL : show_json(f->identity);
	while (walk_entry(&m, &e) == 0)
		if (!e.group_mark)
			put_entry(c, &e, identity);
	if (m.p < m.end)
		c->bad++;
	json_decref(identity);
}

/* What came as OTLP lies there as it came: protobuf, not records. */
static void
put_request(struct cat *c, const struct frame *f)
{
	static const char *const kind[] = { "logs", "metrics", "traces" };
	json_t *o;

	o = json_pack("{s:s, s:I, s:I}", "otlp_request", kind[f->signal],
	    "bytes", (json_int_t)f->body.n, "records", (json_int_t)f->records);
	if (o == NULL)
		return;
	if (c->json)
		show_json_line(c->d.a->out, o, f->taken_ns);
	else
		show_line(c->d.a->out, o, f->taken_ns);
	json_decref(o);
}

static void
on_frame(void *arg, const struct frame *f, bool held)
{
	struct cat *c = arg;

	if ((!held && !c->all) || ferror(c->d.a->out))
		return;
	if ((f->flags & CHUNK_BROKEN) != 0)
		c->bad++;
	else if (f->encoding == ENC_OTLP)
		put_request(c, f);
	else
		put_records(c, f);
}

static void
on_damage(void *arg, const struct look_damage *dm)
{
	struct cat *c = arg;

	c->damaged++;
}

static void
on_segment(void *arg, const struct look_segment *s)
{
	struct cat *c = arg;

	c->d.segments++;
}

int
queue_cat_verb(struct qdir *d, bool all, bool json)
{
	struct cat c = { .d = *d, .all = all, .json = json };
	struct look look = { .frame = on_frame, .damage = on_damage,
	    .segment = on_segment, .arg = &c };
	int r;

	r = qdir_look(&c.d, &look);
	if (r != 0)
		return r;
	if (c.bad > 0)
		qdir_say(d, "%" PRIu64 " pieces hold no records", c.bad);
	if (c.damaged > 0 && !c.d.busy)
		qdir_say(d, "%" PRIu64 " places are damaged; emplogd queue check "
		    "says which", c.damaged);
	return (c.damaged > 0 && !c.d.busy) || c.d.sum.unread ||
	    ferror(d->a->out) ? QUEUE_DAMAGE : QUEUE_CLEAN;
}
