/* SPDX-License-Identifier: ISC */
/*
 * queue_repair.c - emplogd queue repair: damage goes to quarantine
 *
 * What a role does when it starts, and one thing more (queue_conf.mend): what
 * was copied away is wiped where it was, so that the queue is clean then.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "admin/human.h"
#include "admin/queue.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "banned.h"

struct repair {
	struct qdir	 d;		/* first: the look's arg */
	uint64_t	 damaged;
	int		 res;		/* 1: not there yet */
	bool		 closed;
};

static void
on_frame(void *arg, const struct frame *f, bool held)
{
}

static void
on_damage(void *arg, const struct look_damage *dm)
{
	struct repair *p = arg;

	p->damaged++;
}

static void
on_segment(void *arg, const struct look_segment *s)
{
	struct repair *p = arg;

	p->d.segments++;
}

static int
look(struct repair *p)
{
	struct look lk = { .frame = on_frame, .damage = on_damage,
	    .segment = on_segment, .arg = p };

	p->damaged = 0;
	return qdir_look(&p->d, &lk);
}

static void
opened(void *arg, int res)
{
	struct repair *p = arg;

	p->res = res;
}

static void
closed(void *arg)
{
	struct repair *p = arg;

	p->closed = true;
}

/* Opens it as a role does, and closes it again. */
static int
mend(struct repair *p)
{
	struct queue_conf conf = { .dir = p->d.path, .mend = true };
	struct queue *q = NULL;
	int r;

	r = queue_new(&q, &p->d.env, &conf);
	if (r < 0)
		return r;
	p->res = 1;
	queue_open(q, opened, p);
	while (p->res == 1)
		(void)loop_turn(p->d.loop, true);
	if (p->res == 0) {
		queue_close(q, closed, p);
		while (!p->closed)
			(void)loop_turn(p->d.loop, true);
	}
	queue_free(&q);
	return p->res;
}

static int
refuse(struct repair *p, int r)
{
	if (r == -EBUSY)
		qdir_who(&p->d);
	if (p->d.busy)
		qdir_say(&p->d, "'%s' is open in another process%s: stop it "
		    "first", p->d.path, p->d.who);
	else
		qdir_say(&p->d, "'%s' cannot be repaired: %s", p->d.path,
		    strerror(-r));
	return QUEUE_BLIND;
}

static int
tell(struct repair *p)
{
	const struct counters *c = &p->d.env.ctr;
	FILE *out = p->d.a->out;

	fprintf(out, "%" PRIu64 " damaged pieces, %s, were copied to "
	    "%s/quarantine\n",
	    ctr_get(c, CTR_queue_quarantined_frames),
	    human_bytes(ctr_get(c, CTR_queue_quarantined_bytes)).text,
	    p->d.path);
	if (ctr_get(c, CTR_queue_lost_frames) > 0)
		fprintf(out, "%" PRIu64 " records in %" PRIu64 " frames are lost, "
		    "since the queue was made\n",
		    ctr_get(c, CTR_queue_lost_records),
		    ctr_get(c, CTR_queue_lost_frames));
	if (p->damaged > 0)
		qdir_say(&p->d, "%" PRIu64 " places are too many or cannot be "
		    "copied: their segments go to quarantine whole, when "
		    "the rest of them is delivered", p->damaged);
	if (p->d.sum.unread)
		qdir_say(&p->d, "some of it could not be read, and was let "
		    "alone");
	fprintf(out, "%" PRIu64 " records are intact and not delivered\n",
	    p->d.sum.held_records);
	return p->damaged > 0 || p->d.sum.unread ? QUEUE_DAMAGE : QUEUE_CLEAN;
}

int
queue_repair_verb(struct qdir *d)
{
	struct repair p = { .d = *d };
	int r;

	if (d->busy)
		return refuse(&p, -EBUSY);
	r = look(&p);			/* a queue must be there: none is made */
	if (r != 0)
		return r;
	r = mend(&p);
	if (r < 0)
		return refuse(&p, r);
	r = look(&p);
	return r == 0 ? tell(&p) : r;
}
