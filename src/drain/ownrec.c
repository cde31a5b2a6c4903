/* SPDX-License-Identifier: ISC */
/* ownrec.c - the agent's own records and those that came by HTTP; drain.h */

#include "drain/inner.h"

#include <errno.h>
#include <stdio.h>

#include "base/must.h"
#include "forward/mp.h"
#include "http/ingest.h"
#include "banned.h"

#define OWN_RETRY	(10 * SECOND)
/* A quarter of it takes what one turn of HTTP makes; mapped twice, populated,
   it counts double in the agent's size. */
#define OWN_BYTES	(1u << 20)

/* ---- the own lane ---- */

void
ownrec_open(struct drain *d)
{
	struct writer_conf conf = {
		.sys = d->conf.shm_sys, .ring_dir = d->ring_dir,
		.lane_bytes = OWN_BYTES,
		.ring_max = d->conf.ring_max, .flags = LANE_F_AGENT,
		.identity = d->conf.identity.p,
		.identity_len = (uint32_t)d->conf.identity.n,
	};
	uint64_t now = drain_now(d);
	int r;

	if (d->own_open && writer_retired(&d->own))
		ownrec_close(d);
	if (d->own_open || (d->own_retry_ns > now))
		return;
	r = writer_open(&d->own, &conf);
	if (r < 0) {
		d->own_retry_ns = now + OWN_RETRY;
		return;
	}
	d->own_open = true;
	d->scan_due = true;
}

void
ownrec_close(struct drain *d)
{
	if (d->own_open)
		writer_close(&d->own, true);
	d->own_open = false;
}

int
ownrec_lane(struct drain *d, struct bytes entries, uint32_t records)
{
	uint8_t *room;

	if (!d->own_open)
		return -ENOTCONN;
	if (entries.n > d->own.data_bytes / 4)
		return -EMSGSIZE;
	room = writer_lend(&d->own, entries.n, 0);
	if (room == NULL)
		return -EAGAIN;
	memcpy(room, entries.p, entries.n);
	writer_publish(&d->own, entries.n, records);
	drain_kick(d);
	return 0;
}

/* ---- into the queue ---- */

static void
on_put(struct queue_put *put, int res)
{
	struct ingest_way *w = put->arg;
	struct drain *d = w->d;
	struct ingest_put *ip = w->ip;

	drain_check(d);
	w->next = d->ingest_free;
	d->ingest_free = w;
	d->ingest_out--;
	drain_kick(d);
	if (ip != NULL)
		ip->done(ip, res);
}

static int
into_queue(struct drain *d, struct bytes entries, uint32_t records,
    struct ingest_put *ip)
{
	struct ingest_way *w = d->ingest_free;
	struct chunk c = {
		.taken_ns = loop_wall(d->env->loop), .records = records,
		.signal = SIGNAL_LOGS, .encoding = ENC_FORWARD,
		.identity = d->conf.identity, .body = { entries },
	};
	int r;

	if (d->conf.queue == NULL)
		return -ENOSPC;
	if (w == NULL)
		return -EAGAIN;
	c.to = entries.n;
	w->put = (struct queue_put){ .done = on_put, .arg = w };
	r = queue_put(d->conf.queue, &c, &w->put);
	if (r < 0)
		return r;
	w->ip = ip;
	d->ingest_free = w->next;
	d->ingest_out++;
	return 0;
}

int
drain_ingest(void *drain, struct bytes entries, uint32_t records,
    bool durable, struct ingest_put *put)
{
	struct drain *d = drain;
	int r = -ENOTCONN;

	drain_check(d);
	if (d->state != DRAIN_RUN)
		return -EAGAIN;
	if (entries.n == 0 || records == 0 || entries.n > CHUNK_BYTES_MAX)
		return -EMSGSIZE;
	if (!durable)
		r = ownrec_lane(d, entries, records);
	if (r == 0)
		return 1;
	r = into_queue(d, entries, records, put);
	if (r == -EAGAIN || r == -ENOSPC)
		d->starved = true;
	return r;
}

int
drain_own_record(struct drain *d, struct bytes entry)
{
	int r;

	drain_check(d);
	r = ownrec_lane(d, entry, 1);
	return r < 0 ? into_queue(d, entry, 1, NULL) : r;
}

/* ---- what the agent has to say ---- */

static void
put_str(struct mpw *w, const char *key, struct bytes value)
{
	mpw_str(w, bytes_str(key));
	mpw_str(w, value);
}

static void
put_num(struct mpw *w, const char *key, uint64_t value)
{
	mpw_str(w, bytes_str(key));
	mpw_uint(w, value);
}

/* The pairs of an identity, which inlane_attach() has looked at. */
static struct bytes
pairs_of(struct bytes map, uint32_t *ret_n)
{
	struct mp m = mp_of(map);

	*ret_n = 0;
	if (map.n == 0 || mp_map(&m, ret_n) < 0)
		return (struct bytes){ NULL, 0 };
	return bytes_of(m.p, (size_t)(m.end - m.p));
}

/* [now, { identity…, event_type, level, message, … pairs more to come */
static void
begin(struct drain *d, struct mpw *w, struct bytes identity, uint32_t pairs)
{
	struct bytes who;
	uint32_t n;

	*w = (struct mpw){ d->scratch, d->scratch + SCRATCH_BYTES, false };
	who = pairs_of(identity, &n);
	mpw_array(w, 2);
	mpw_event_time(w, loop_wall(d->env->loop));
	mpw_map(w, n + pairs);
	mpw_raw(w, who);
}

static int
end(struct drain *d, struct mpw *w)
{
	must(!w->full);		/* SCRATCH_BYTES holds the largest of them */
	return drain_own_record(d, bytes_of(d->scratch,
	    (size_t)(w->p - d->scratch)));
}

static void
say(struct mpw *w, const char *event_type, const char *level,
    const char *message)
{
	put_str(w, "event_type", bytes_str(event_type));
	put_str(w, "level", bytes_str(level));
	put_str(w, "message", bytes_str(message));
	put_str(w, "source", BYTES("emplogd"));
	put_str(w, "logger_name", BYTES("emplogd.agent"));
}
#define SAY_PAIRS	5

static void
about_lane(struct mpw *w, const struct inlane *l)
{
	char hex[2 * LANE_ID_LEN + 1];
	unsigned i;

	for (i = 0; i < LANE_ID_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", l->r.id[i]);
	put_num(w, "pid", l->r.pid);
	put_num(w, "uid", l->r.uid);
	put_str(w, "lane", bytes_str(hex));
}
#define LANE_PAIRS	3

int
ownrec_died(struct drain *d, struct inlane *l)
{
	struct reader_job job[LANE_JOBS];
	unsigned i, n = reader_jobs(&l->r, job, LANE_JOBS);
	char text[128];
	struct mpw w;

	snprintf(text, sizeof(text), "Worker process %u ended without closing "
	    "its log; %u job%s in progress", l->r.pid, n, n == 1 ? "" : "s");
	begin(d, &w, bytes_of(l->r.identity, l->r.identity_len),
	    SAY_PAIRS + LANE_PAIRS + 3 + (n == 1));
	say(&w, "worker_died", "error", text);
	about_lane(&w, l);
	put_num(&w, "last_ms", l->moved_wall_ns / MS);
	put_num(&w, "jobs_in_progress", n);
	mpw_str(&w, BYTES("jobs"));
	mpw_array(&w, n);
	for (i = 0; i < n; i++)
		mpw_str(&w, bytes_str(job[i].id));
	if (n == 1)		/* so that a search for it finds this */
		put_str(&w, "job_id", bytes_str(job[0].id));
	return end(d, &w);
}

/* The same fields as the producer's own gap record in shm/log.c. */
int
ownrec_gap(struct drain *d, struct inlane *l, const struct reader_gap *gap)
{
	static const char *const key[LANE_SEVERITIES] = {
		"refused_trace", "refused_debug", "refused_info",
		"refused_warn", "refused_error", "refused_fatal"
	};
	struct mpw w;
	unsigned i, n = 0;

	for (i = 0; i < LANE_SEVERITIES; i++)
		n += gap->by_severity[i] > 0;
	begin(d, &w, bytes_of(l->r.identity, l->r.identity_len),
	    SAY_PAIRS + LANE_PAIRS + 3 + n);
	say(&w, "emplog_gap", "warn", "records refused: the lane was full");
	about_lane(&w, l);
	put_num(&w, "refused", gap->total);
	for (i = 0; i < LANE_SEVERITIES; i++) {
		if (gap->by_severity[i] > 0)
			put_num(&w, key[i], gap->by_severity[i]);
	}
	put_num(&w, "first_ms", gap->first_ns / MS);
	put_num(&w, "last_ms", gap->last_ns / MS);
	return end(d, &w);
}

int
ownrec_no_lane(struct drain *d, uint64_t records, uint64_t last_ns)
{
	struct mpw w;

	begin(d, &w, d->conf.identity, SAY_PAIRS + 2);
	say(&w, "emplog_gap", "warn",
	    "records refused: their process had no lane");
	put_num(&w, "refused", records);
	put_num(&w, "last_ms", last_ns / MS);
	return end(d, &w);
}

int
ownrec_dropped(struct drain *d, uint64_t records)
{
	struct mpw w;

	begin(d, &w, d->conf.identity, SAY_PAIRS + 2);
	say(&w, "emplog_gap", "warn",
	    "records that came by HTTP were dropped: there was no room");
	put_num(&w, "refused", records);
	put_num(&w, "last_ms", loop_wall(d->env->loop) / MS);
	return end(d, &w);
}
