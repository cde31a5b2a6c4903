/* SPDX-License-Identifier: ISC */
/*
 * agent.c - the agent: lanes and HTTP in, a hop out, a spill beside it
 *
 * Open:   the spill (state_dir/agent/spill), the ring, the port.
 * Wire:   lanes -> drain -> sender; what cannot wait -> spill -> sender;
 *         HTTP -> ingest -> drain.
 * Run:    a lane's tail moves when the relay says durable, or the spill does.
 * Drain:  port, requests, lanes into the spill, sender, spill: in that order.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "base/remedy.h"
#include "drain/drain.h"
#include "forward/mp.h"
#include "hop/port.h"
#include "hop/sender.h"
#include "http/ingest.h"
#include "http/probe.h"
#include "http/tee.h"
#include "queue/queue.h"
#include "roles/role.h"
#include "roles/secure.h"
#include "shm/reader.h"
#include "banned.h"

#define HTTP_BODY_BUDGET	(18u << 20)	/* one 16 MiB body, and some */
/* As many as may speak: a fleet of workers may connect before it logs. */
#define HTTP_SILENT_MAX		1024
/* Sent bytes pin their lanes: a silent relay is left before they fill. */

struct agent {
	struct role	 role;		/* first */
	char		 spill_dir[ROLE_PATH + 32];
	uint8_t		 identity[IDENTITY_MAX];
	char		 id[64];
	struct queue	*queue;
	struct sender	*sender;
	struct secure	 secure;
	struct drain	*drain;
	struct serve	*serve;
	struct ingest	*ingest;
	struct probe	*probe;
	struct tee	*tee;		/* NULL: none */
	struct port	*port;
	unsigned	 step;
	bool		 queue_open;
};

static struct agent *
agent_of(struct role *r)
{
	return (struct agent *)(void *)r;
}

/* ---- what the machine says of itself ---- */

static void
add_pair(struct mpw *w, unsigned *n, const char *key, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	mpw_str(w, bytes_str(key));
	mpw_str(w, bytes_str(value));
	(*n)++;
}

/* "worker_id=a, service_type=b": fields the operator lets us fill. */
static int
add_fill(struct mpw *w, unsigned *n, const char *list)
{
	static const char *const known[] = {
		"worker_id", "service_type", "connector_id"
	};
	const char *p = list, *eq;
	size_t len, i;

	while (*(p += strspn(p, ", ")) != '\0') {
		len = strcspn(p, ",");
		eq = memchr(p, '=', len);
		for (i = 0; eq != NULL && i < 3; i++)
			if (strlen(known[i]) == (size_t)(eq - p) &&
			    strncmp(known[i], p, (size_t)(eq - p)) == 0)
				break;
		if (eq == NULL || i == 3)
			return -EINVAL;
		mpw_str(w, bytes_str(known[i]));
		mpw_str(w, bytes_of(eq + 1, len - (size_t)(eq + 1 - p)));
		(*n)++;
		p += len;
	}
	return 0;
}

/* The msgpack map drain merges where a lane says nothing. */
static int
identity_of(struct agent *a, struct bytes *ret)
{
	struct mpw w = { a->identity + 1, a->identity + sizeof(a->identity),
	    false };
	const struct conf *c = a->role.conf;
	char host[256] = "";
	unsigned n = 0;
	int r;

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	add_pair(&w, &n, "machine_id",
	    *conf_text(c, KEY_agent_machine_id) != '\0' ?
	    conf_text(c, KEY_agent_machine_id) : host);
	add_pair(&w, &n, "host", host);
	add_pair(&w, &n, "deployment", conf_text(c, KEY_agent_deployment));
	add_pair(&w, &n, "region", conf_text(c, KEY_agent_region));
	r = add_fill(&w, &n, conf_text(c, KEY_agent_fill));
	if (r == 0 && w.full)
		r = -E2BIG;
	must(n <= 15);
	a->identity[0] = (uint8_t)(0x80 | n);
	*ret = bytes_of(a->identity, (size_t)(w.p - a->identity));
	snprintf(a->id, sizeof(a->id), "%.63s", host);
	return r;
}

/* ---- who tells whom ---- */

static void
went_up(void *arg)
{
	struct agent *a = arg;

	if (a->drain != NULL)
		drain_sender_up(a->drain);
}

static void
went_down(void *arg, int why)
{
	struct agent *a = arg;

	(void)why;
	if (sender_is_news(a->sender))
		env_log(&a->role.env, LOG_WARN, "lost the relay %s: %s; "
		    "records are kept here meanwhile", sender_peer(a->sender),
		    sender_words(a->sender));
	if (a->drain != NULL)
		drain_sender_down(a->drain);
}

static void
missed(void *arg, int why)
{
	struct agent *a = arg;

	(void)why;
	env_log(&a->role.env, LOG_WARN, "cannot reach the relay %s: %s; records "
	    "are kept here meanwhile; is agent.relay right?",
	    sender_peer(a->sender), sender_words(a->sender));
}

static void
on_queue(void *arg)
{
	struct agent *a = arg;

	if (a->drain != NULL)
		drain_queue_notify(a->drain);
}

static void
on_trouble(void *arg, enum queue_trouble what, int error)
{
	struct agent *a = arg;

	role_trouble(&a->role, a->spill_dir, what, error);
}

static void
on_room(void *arg)
{
	struct agent *a = arg;

	if (a->ingest != NULL)
		ingest_resume(a->ingest);
}

static void
on_note(void *arg, enum log_level level, const char *text)
{
	struct agent *a = arg;

	env_log(&a->role.env, level, "%s", text);
}

static void
on_request(void *arg, struct serve_req *req)
{
	struct agent *a = arg;

	if (probe_request(a->probe, req))
		return;
	if (a->tee != NULL)
		tee_request(a->tee, req);
	ingest_request(a->ingest, req);
}

static int
on_refused(void *arg, const struct serve_req *req, int status)
{
	struct agent *a = arg;

	if (probe_owns(req))
		return status;
	if (a->tee != NULL)
		tee_missed(a->tee, req);
	return ingest_refused(a->ingest, req, status);
}

/* ---- opening ---- */

static int
open_http(struct agent *a)
{
	const char *listen = conf_text(a->role.conf, KEY_agent_http_listen);
	const char *tee = conf_text(a->role.conf, KEY_agent_tee);
	struct serve_conf vc = { .handler = on_request, .arg = a,
	    .refused = on_refused, .budget_bytes = HTTP_BODY_BUDGET };
	struct ingest_conf ic = { .sink = drain_ingest, .arg = a->drain };
	struct probe_conf pc = { .queue = a->queue };
	struct port_conf pp = { .listen = listen, .defer = true,
	    .connections_max = HTTP_SILENT_MAX };
	char text[LOOP_ADDR_TEXT];
	int r;

	if (*listen == '\0')
		return 0;
	r = serve_new(&a->serve, &a->role.env, &vc);
	if (r == 0)
		r = ingest_new(&a->ingest, &a->role.env, &ic);
	if (r == 0)
		r = probe_new(&a->probe, &a->role.env, &pc);
	if (r == 0 && *tee != '\0')
		r = tee_new(&a->tee, &a->role.env, tee);
	pp.serve = a->serve;
	if (r == 0)
		r = port_open(&a->port, &a->role.env, &pp);
	if (r < 0) {
		role_fail(&a->role, r, "cannot listen on", listen,
		    "give agent.http_listen another port, or leave it empty");
		return r;
	}
	loop_addr_text(port_bound(a->port), text);
	env_log(&a->role.env, LOG_INFO, "listening on %s", text);
	return 0;
}

static int
open_drain(struct agent *a, struct bytes identity)
{
	const struct conf *c = a->role.conf;
	struct drain_conf dc = {
		.ring_dir = conf_text(c, KEY_common_ring_dir),
		.state_dir = conf_text(c, KEY_common_state_dir),
		.shm_sys = a->role.shm_sys,
		.sender = a->sender, .queue = a->queue, .identity = identity,
		.dead_keep_ns = conf_num(c, KEY_agent_dead_keep) * 1000000,
		.ring_max = conf_num(c, KEY_common_ring_max),
		.room = on_room, .note = on_note, .arg = a,
	};
	char why[DRAIN_WHY] = "";
	int r;

	r = drain_new(&a->drain, &a->role.env, &dc);
	if (r == 0)
		r = drain_start(a->drain, why);
	if (r < 0)
		role_fail(&a->role, r, "cannot use the ring", dc.ring_dir,
		    *why != '\0' ? why : "common.ring_dir must be a directory "
		    "of the agent's user on a tmpfs");
	return r;
}

static int
open_sender(struct agent *a)
{
	struct sender_conf sc = {
		.peers = conf_text(a->role.conf, KEY_agent_relay),
		.inflight_max = conf_num(a->role.conf, KEY_agent_inflight_max),
		.agent_id = a->id,
		.up = went_up, .down = went_down, .missed = missed,
		.arg = a,
	};
	int r;

	secure_sender(&a->secure, &sc);
	r = sender_new(&a->sender, &a->role.env, &sc);
	if (r < 0)
		role_fail(&a->role, r, "cannot use", sc.peers,
		    "agent.relay is a list of host:port or https://host");
	return r;
}

static void
queue_opened(void *arg, int res)
{
	struct agent *a = arg;
	struct bytes identity;
	int r;

	a->queue_open = res == 0;
	if (res < 0) {
		role_fail(&a->role, res, "cannot open", a->spill_dir,
		    res == -EBUSY ? "another agent uses it" :
		    disk_remedy(res));
		return;
	}
	role_unread(&a->role, a->queue, a->spill_dir);
	r = identity_of(a, &identity);
	if (r < 0) {
		role_fail(&a->role, r, "cannot use",
		    conf_text(a->role.conf, KEY_agent_fill),
		    "agent.fill is a list of worker_id=…, service_type=…, "
		    "connector_id=…");
		return;
	}
	if (open_sender(a) < 0 || open_drain(a, identity) < 0 ||
	    open_http(a) < 0)
		return;
	sender_start(a->sender);
	role_ready(&a->role, 0);
}

static void
open_spill(void *arg)
{
	struct agent *a = arg;
	struct role *r = &a->role;
	struct queue_conf qc = { .dir = a->spill_dir,
	    .bytes_max = role_queue_max(r, KEY_agent_queue_max, &r->space),
	    .age_max_ns = conf_num(r->conf, KEY_agent_queue_age) * 1000000,
	    .staging_bytes = 1u << 20,
	    .notify = on_queue, .notify_arg = a, .trouble = on_trouble };
	int res;

	role_path(r, "spill", a->spill_dir, sizeof(a->spill_dir));
	res = queue_new(&a->queue, &r->env, &qc);
	if (res < 0)
		role_fail(r, res, "cannot open", a->spill_dir,
		    "there is not enough memory");
	else
		queue_open(a->queue, queue_opened, a);
}

static void
agent_open(struct role *r)
{
	int res = r->shm_sys == &shm_sys_os ? reader_guard_install() : 0;

	if (res < 0)
		role_fail(r, res, "cannot guard", "lanes",
		    "sigaction(2) was refused");
	else
		secure_open(&agent_of(r)->secure, r,
		    conf_text(r->conf, KEY_agent_relay), false, open_spill,
		    agent_of(r));
}

/* ---- closing: one step after the other ---- */

static void	 next_step(void *arg);

static void
close_port(struct agent *a)
{
	port_close(a->port, next_step, a);
}

static void
close_probe(struct agent *a)
{
	probe_close(a->probe, next_step, a);
}

static void
close_serve(struct agent *a)
{
	if (a->ingest != NULL)
		ingest_hurry(a->ingest);
	serve_close(a->serve, next_step, a);
}

static void
close_tee(struct agent *a)
{
	tee_close(a->tee, next_step, a);
}

static void
close_drain(struct agent *a)
{
	drain_stop(a->drain, next_step, a);
}

static void
close_sender(struct agent *a)
{
	sender_close(a->sender, next_step, a);
}

static void
close_queue(struct agent *a)
{
	queue_close(a->queue, next_step, a);
}

static void
close_secure(struct agent *a)
{
	secure_close(&a->secure, next_step, a);
}

static void
next_step(void *arg)
{
	struct agent *a = arg;
	const struct { bool there; void (*close)(struct agent *); } steps[] = {
		{ a->port != NULL, close_port },
		{ a->probe != NULL, close_probe },
		{ a->serve != NULL, close_serve },
		{ a->tee != NULL, close_tee },
		{ a->drain != NULL, close_drain },
		{ a->sender != NULL, close_sender },
		{ a->queue != NULL && a->queue_open, close_queue },
		{ true, close_secure },
	};

	while (a->step < sizeof(steps) / sizeof(steps[0])) {
		if (steps[a->step].there) {
			steps[a->step++].close(a);
			return;
		}
		a->step++;
	}
	role_done(&a->role);
}

static void
agent_drain(struct role *r, uint64_t until_ns)
{
	agent_of(r)->step = 0;
	next_step(agent_of(r));
}

static uint64_t
agent_kept(struct role *r)
{
	struct agent *a = agent_of(r);

	return a->queue == NULL ? 0 : queue_held_records(a->queue);
}

static void
agent_free(struct role *r)
{
	struct agent *a = agent_of(r);

	port_free(&a->port);
	probe_free(&a->probe);
	ingest_free(&a->ingest);
	tee_free(&a->tee);
	serve_free(&a->serve);
	drain_free(&a->drain);
	sender_free(&a->sender);
	secure_free(&a->secure);
	queue_free(&a->queue);
}

const struct role_kind role_agent = {
	.name = "agent", .bit = ROLE_AGENT, .size = sizeof(struct agent),
	.open = agent_open, .drain = agent_drain,
	.kept = agent_kept, .free = agent_free,
};
