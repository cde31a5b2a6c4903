/* SPDX-License-Identifier: ISC */
/* gap.c - telling of records dropped by HTTP; the contract is in gap.h */

#include "http/gap.h"

#include <errno.h>
#include <string.h>

#include "base/env.h"
#include "base/must.h"
#include "forward/mp.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "banned.h"

#define SECOND		UINT64_C(1000000000)
#define EACH_NS		(5 * SECOND)
#define GAP_BYTES	512		/* constant words and two numbers */

struct gap {
	uint32_t	 magic;		/* GAP_MAGIC */
	struct env	*env;
	struct queue	*queue;
	struct op	 timer;
	struct queue_put put;
	uint64_t	 putting;	/* records told of by put, 0: it is idle */
	uint64_t	 told_ns;	/* loop_now() clock; 0: never */
	bool		 closing;
	void		(*closed)(void *arg);	/* NULL: told, or not asked */
	void		*closed_arg;
};
#define GAP_MAGIC	0x47415044U

static uint64_t
untold(const struct gap *g)
{
	const struct counters *c = &g->env->ctr;

	return ctr_get(c, CTR_ingest_dropped) -
	    ctr_get(c, CTR_ingest_dropped_told);
}

static void
check_closed(struct gap *g)
{
	void (*closed)(void *arg) = g->closed;

	if (closed == NULL || g->putting > 0 || !op_idle(&g->timer))
		return;
	g->closed = NULL;
	closed(g->closed_arg);
}

static void
rearm(struct gap *g)
{
	uint64_t at = loop_now(g->env->loop) + SECOND;

	if (g->closing || g->putting > 0 || !op_idle(&g->timer) ||
	    untold(g) == 0)
		return;
	if (g->told_ns > 0 && g->told_ns + EACH_NS > at)
		at = g->told_ns + EACH_NS;
	loop_timer(g->env->loop, &g->timer, at);
}

static void
pair(struct mpw *w, const char *key, const char *value)
{
	mpw_str(w, bytes_str(key));
	mpw_str(w, bytes_str(value));
}

/* The fields of the agent's own, but those of a machine. */
static struct bytes
record_of(struct gap *g, uint64_t records, uint8_t out[GAP_BYTES])
{
	struct mpw w = { out, out + GAP_BYTES, false };
	uint64_t wall = loop_wall(g->env->loop);

	mpw_array(&w, 2);
	mpw_event_time(&w, wall);
	mpw_map(&w, 7);
	pair(&w, "event_type", "emplog_gap");
	pair(&w, "level", "warn");
	pair(&w, "message",
	    "records that came by HTTP were dropped: there was no room");
	pair(&w, "source", "emplogd");
	pair(&w, "logger_name", "emplogd.relay");
	mpw_str(&w, BYTES("refused"));
	mpw_uint(&w, records);
	mpw_str(&w, BYTES("last_ms"));
	mpw_uint(&w, wall / 1000000);
	must(!w.full);
	return bytes_of(out, (size_t)(w.p - out));
}

static void
tell(struct gap *g)
{
	uint8_t out[GAP_BYTES];
	struct chunk c = { .records = 1,
	    .taken_ns = loop_wall(g->env->loop) };
	uint64_t n = untold(g);

	if (n == 0 || g->putting > 0)
		return;
	c.body[0] = record_of(g, n, out);
	if (queue_put(g->queue, &c, &g->put) == 0)
		g->putting = n;
}

static void
on_put(struct queue_put *put, int res)
{
	struct gap *g = put->arg;

	must(g->magic == GAP_MAGIC);
	if (res == 0) {
		ctr_add(&g->env->ctr, CTR_ingest_dropped_told, g->putting);
		g->told_ns = loop_now(g->env->loop);
	}
	g->putting = 0;
	rearm(g);
	check_closed(g);
}

static void
on_timer(struct op *op)
{
	struct gap *g = op->arg;

	must(g->magic == GAP_MAGIC);
	if (!g->closing)
		tell(g);
	rearm(g);
	check_closed(g);
}

void
gap_dropped(struct gap *g)
{
	must(g->magic == GAP_MAGIC);
	rearm(g);
}

int
gap_new(struct gap **ret_g, struct env *env, struct queue *queue)
{
	struct gap *g = env_alloc(env, sizeof(*g));

	if (g == NULL)
		return -ENOMEM;
	*g = (struct gap){ .magic = GAP_MAGIC, .env = env, .queue = queue,
	    .put = { .done = on_put, .arg = g } };
	op_init(&g->timer, on_timer, g);
	*ret_g = g;
	return 0;
}

void
gap_close(struct gap *g, void (*closed)(void *arg), void *arg)
{
	must(g->magic == GAP_MAGIC);
	must(!g->closing);
	tell(g);
	g->closing = true;
	g->closed = closed;
	g->closed_arg = arg;
	loop_cancel(g->env->loop, &g->timer);
	check_closed(g);
}

void
gap_free(struct gap **gp)
{
	struct gap *g = *gp;

	if (g == NULL)
		return;
	must(g->magic == GAP_MAGIC);
	g->magic = 0;
	env_free(g->env, g);
	*gp = NULL;
}
