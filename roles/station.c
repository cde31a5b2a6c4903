/* SPDX-License-Identifier: ISC */
/* station.c - queue, receiver and ports; see station.h */

#include "roles/station.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/must.h"
#include "base/remedy.h"
#include "export/export.h"
#include "hop/onward.h"
#include "hop/port.h"
#include "hop/receiver.h"
#include "http/door.h"
#include "http/gap.h"
#include "http/inpost.h"
#include "http/probe.h"
#include "loop/bridge.h"
#include "banned.h"

static struct env *
env_of(struct station *s)
{
	return &s->role->env;
}

static void
on_queue(void *arg)
{
	struct station *s = arg;

	if (s->export != NULL)
		export_notify(s->export);
	if (s->onward != NULL)
		onward_go(s->onward);
	if (s->receiver != NULL)
		receiver_resume(s->receiver);
	if (s->ingest != NULL)
		ingest_resume(s->ingest);
}

static void
on_trouble(void *arg, enum queue_trouble what, int error)
{
	struct station *s = arg;

	role_trouble(s->role, s->queue_dir, what, error);
}

/* ---- records by HTTP ---- */

struct http_put {
	struct queue_put put;
	struct ingest_put *ip;
	struct station	*s;
};

static void
http_dropped(void *arg)
{
	struct station *s = arg;

	gap_dropped(s->gap);
}

static void
http_stored(struct queue_put *put, int res)
{
	struct http_put *hp = put->arg;
	struct station *s = hp->s;

	hp->ip->done(hp->ip, res);
	env_free(env_of(s), hp);
}

static int
take_http(void *arg, struct bytes entries, uint32_t records, bool durable,
    struct ingest_put *ip)
{
	struct station *s = arg;
	struct chunk c = { .records = records, .body = { entries },
	    .taken_ns = loop_wall(env_of(s)->loop) };
	struct http_put *hp;
	int r;

	hp = env_alloc(env_of(s), sizeof(*hp));
	if (hp == NULL)
		return -EAGAIN;
	hp->s = s;
	hp->ip = ip;
	hp->put.done = http_stored;
	hp->put.arg = hp;
	r = queue_put(s->queue, &c, &hp->put);
	if (r < 0)
		env_free(env_of(s), hp);
	return r;
}

static void
on_request(void *arg, struct serve_req *req)
{
	struct station *s = arg;

	/* Looks are free; what brings a record wants the key, /test too. */
	if (!probe_owns(req) && probe_request(s->probe, req))
		return;
	if (!door_opens(secure_key(&s->secure), req))
		door_refuse(env_of(s), req);
	else if (inpost_owns(req))
		inpost_request(s->inpost, req);
	else if (!probe_request(s->probe, req))
		ingest_request(s->ingest, req);
}

static int
on_refused(void *arg, const struct serve_req *req, int status)
{
	struct station *s = arg;

	if (!door_opens(secure_key(&s->secure), req)) {
		ctr_add(&env_of(s)->ctr, CTR_recv_key_refused, 1);
		return 401;
	}
	return probe_owns(req) || inpost_owns(req) ? status :
	    ingest_refused(s->ingest, req, status);
}

/* ---- opening ---- */

/*
 * Two ports, what came through them to Forward and to HTTP: so many each, and
 * a third of the descriptors is left for the disk and the backend.
 */
static unsigned
connections_max(unsigned most)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur / 6 >= most)
		return most;
	return l.rlim_cur < 12 ? 2 : (unsigned)(l.rlim_cur / 6);
}

static int
open_port(struct station *s, struct port **ret, enum conf_key key)
{
	struct port_conf pc = {
		.listen = conf_text(s->role->conf, key),
		.receiver = s->receiver, .serve = s->serve,
		.connections_max = connections_max(256),
	};
	bool http = key == s->conf.http_listen;
	char text[LOOP_ADDR_TEXT];
	int r;

	if (*pc.listen == '\0')
		return 0;
	secure_port(&s->secure, &pc);
	pc.bridges = s->bridges;
	/* A key makes the server speak first, which HTTP does not bear. */
	if (pc.key != NULL && !http)
		pc.serve = NULL;
	r = port_open(ret, env_of(s), &pc);
	if (r < 0) {
		role_fail(s->role, r, "cannot listen on", pc.listen,
		    r == -EADDRINUSE ? "another process has it; is emplogd "
		    "running already?" : "give an address of this machine");
		return r;
	}
	loop_addr_text(port_bound(*ret), text);
	env_log(env_of(s), LOG_INFO, "listening on %s", text);
	return 0;
}

static void
open_ports(struct station *s)
{
	if (open_port(s, &s->port, s->conf.listen) < 0)
		return;
	if (s->conf.http &&
	    open_port(s, &s->http_port, s->conf.http_listen) < 0)
		return;
	role_ready(s->role, 0);
}

static void
export_ready(void *arg, int res)
{
	struct station *s = arg;

	if (res < 0)
		role_fail(s->role, res, "cannot use", s->file_dir,
		    "common.state_dir must have room and be writable");
	else
		open_ports(s);
}

static void
went_up(void *arg)
{
	struct station *s = arg;

	onward_go(s->onward);
}

static void
went_down(void *arg, int why)
{
	struct station *s = arg;

	(void)why;
	if (sender_is_news(s->sender))
		env_log(env_of(s), LOG_WARN, "lost the next hop %s: %s",
		    sender_peer(s->sender), sender_words(s->sender));
}

static void
missed(void *arg, int why)
{
	struct station *s = arg;

	(void)why;
	env_log(env_of(s), LOG_WARN, "cannot reach the next hop %s: %s; records "
	    "stay in the queue; is relay.next right?", sender_peer(s->sender),
	    sender_words(s->sender));
}

static enum otlp_limits
limits_of(const struct conf *c)
{
	const char *host = conf_text(c, KEY_exporter_endpoint);
	bool dash0 = strstr(host, ".dash0.com") != NULL;

	switch (conf_num(c, KEY_exporter_limits)) {
	case 0: return dash0 ? OTLP_DASH0 : OTLP_NONE;
	case 1: return OTLP_DASH0;
	default: return OTLP_NONE;
	}
}

static uint64_t
window_of(const struct conf *c)
{
	uint64_t ms = conf_num(c, KEY_exporter_window);

	if (ms == 0 && limits_of(c) == OTLP_DASH0)
		ms = UINT64_C(6) * 3600 * 1000;
	return ms * 1000000;
}

static void
export_conf_of(struct station *s, const struct conf *c,
    struct export_conf *ret)
{
	*ret = (struct export_conf){
		.endpoint = conf_text(c, KEY_exporter_endpoint),
		.token = conf_text(c, KEY_exporter_token),
		.dataset = conf_text(c, KEY_exporter_dataset),
		.headers = conf_text(c, KEY_exporter_headers),
		.gzip = conf_num(c, KEY_exporter_compression) == 0,
		.requests_max = (unsigned)conf_num(c,
		    KEY_exporter_requests_max),
		.batch_bytes = conf_num(c, KEY_exporter_batch_bytes),
		.timeout_ms = (uint32_t)conf_num(c, KEY_exporter_timeout),
		.otlp = {
			.norm = {
				.names = conf_num(c, KEY_exporter_names) == 1 ?
				    NAMES_OTEL : NAMES_EMP,
				.service_namespace = "emp",
			},
			.limits = limits_of(c), .window_ns = window_of(c),
		},
		.file_dir = s->file_dir,
		.file_max = conf_num(c, KEY_exporter_file_max),
		.files_keep = (unsigned)conf_num(c, KEY_exporter_files_keep),
		.dead_dir = s->dead_dir,
	};
}

static int
open_export(struct station *s)
{
	struct export_conf ec;
	int r;

	export_conf_of(s, s->role->conf, &ec);
	r = export_new(&s->export, env_of(s), s->queue, &ec);
	if (r == 0)
		export_start(s->export, export_ready, s);
	return r;
}

static int
open_next(struct station *s)
{
	struct sender_conf sc = { .peers = s->conf.next, .agent_id = "relay",
	    .up = went_up, .down = went_down, .missed = missed, .arg = s };
	int r;

	secure_sender(&s->secure, &sc);
	r = sender_new(&s->sender, env_of(s), &sc);
	if (r == 0)
		r = onward_new(&s->onward, env_of(s), s->queue, s->sender);
	if (r < 0)
		return r;
	sender_start(s->sender);
	return 0;
}

static int
wire(struct station *s)
{
	struct receiver_conf rc = { .queue = s->queue,
	    .connections_max = connections_max(1024),
	    .message_max = s->conf.message_max, .quarantine_dir = s->bad_dir };
	struct serve_conf vc = { .handler = on_request, .arg = s,
	    .refused = on_refused,
	    .connections_max = connections_max(1024) };
	struct ingest_conf ic = { .sink = take_http, .arg = s,
	    .dropped = http_dropped };
	struct inpost_conf pc = { .message_max = s->conf.message_max };
	int r;

	r = receiver_new(&s->receiver, env_of(s), &rc);
	if (r == 0 && s->conf.http)
		r = gap_new(&s->gap, env_of(s), s->queue);
	pc.receiver = s->receiver;
	if (r == 0 && s->conf.http)
		r = inpost_new(&s->inpost, env_of(s), &pc);
	if (r == 0 && s->conf.http)
		r = serve_new(&s->serve, env_of(s), &vc);
	if (r == 0 && s->conf.http)
		r = bridges_new(&s->bridges, env_of(s),
		    connections_max(1024));
	if (r == 0 && s->conf.http)
		r = ingest_new(&s->ingest, env_of(s), &ic);
	if (r == 0 && s->conf.http)
		gap_dropped(s->gap);	/* before a restart, maybe */
	return r;
}

static int
wire_probe(struct station *s)
{
	struct probe_conf pc = { s->queue, s->export };

	return s->conf.http ? probe_new(&s->probe, env_of(s), &pc) : 0;
}

static void
queue_opened(void *arg, int res)
{
	struct station *s = arg;
	bool export = strcmp(s->conf.next, "export") == 0;
	int r = res;

	s->queue_open = res == 0;
	if (res == 0)
		role_unread(s->role, s->queue, s->queue_dir);
	if (res == 0)
		r = wire(s);
	if (r == 0)
		r = export ? open_export(s) : open_next(s);
	if (r == 0)
		r = wire_probe(s);
	if (r < 0)
		role_fail(s->role, r, "cannot open", s->queue_dir,
		    r == -EBUSY ? "another emplogd uses it" :
		    r == -EINVAL ? "exporter.headers must be name=value, "
		    "separated by commas" :
		    disk_remedy(r));
	else if (!export)
		open_ports(s);
}

static void
got_space(struct op *op)
{
	struct station *s = op->arg;
	struct queue_conf qc = { .dir = s->queue_dir,
	    .age_max_ns = s->conf.queue_age_ns, .notify = on_queue,
	    .notify_arg = s, .trouble = on_trouble };
	int r;

	if (op->res < 0) {
		role_fail(s->role, (int)op->res, "cannot look at",
		    s->role->dir, "common.state_dir must be readable");
		return;
	}
	qc.bytes_max = role_queue_max(s->role, s->conf.queue_max, &op->space);
	r = queue_new(&s->queue, env_of(s), &qc);
	if (r < 0)
		role_fail(s->role, r, "cannot open", s->queue_dir,
		    "there is not enough memory");
	else
		queue_open(s->queue, queue_opened, s);
}

static void
look_for_space(void *arg)
{
	struct station *s = arg;

	op_init(&s->space, got_space, s);
	loop_space(env_of(s)->loop, &s->space, s->role->dir);
}

void
station_open(struct station *s, struct role *role,
    const struct station_conf *conf)
{
	s->role = role;
	s->conf = *conf;
	/* No port for it: no HTTP on the other one either. */
	if (s->conf.http && *conf_text(role->conf, conf->http_listen) == '\0')
		s->conf.http = false;
	role_path(role, conf->queue_leaf, s->queue_dir, sizeof(s->queue_dir));
	role_path(role, "quarantine", s->bad_dir, sizeof(s->bad_dir));
	role_path(role, "export", s->file_dir, sizeof(s->file_dir));
	role_path(role, "dead", s->dead_dir, sizeof(s->dead_dir));
	secure_open(&s->secure, role, strcmp(conf->next, "export") == 0 ?
	    NULL : conf->next, true, look_for_space, s);
}

/* ---- closing: one step after the other ---- */

static void	 next_step(void *arg);

static void
close_port(struct station *s)
{
	port_close(s->port, next_step, s);
}

static void
close_http_port(struct station *s)
{
	port_close(s->http_port, next_step, s);
}

static void
close_probe(struct station *s)
{
	probe_close(s->probe, next_step, s);
}

static void
close_inpost(struct station *s)
{
	inpost_close(s->inpost, next_step, s);
}

static void
close_serve(struct station *s)
{
	serve_close(s->serve, next_step, s);
}

static void
close_bridges(struct station *s)
{
	bridges_close(s->bridges, next_step, s);
}

static void
close_gap(struct station *s)
{
	gap_close(s->gap, next_step, s);
}

static void
close_receiver(struct station *s)
{
	receiver_close(s->receiver, next_step, s);
}

static void
close_export(struct station *s)
{
	uint64_t now = loop_now(env_of(s)->loop);
	uint64_t left = s->until_ns > now ? s->until_ns - now : 0;

	/* The queue's last commit must still fit in. */
	export_stop(s->export, now + left / 2, next_step, s);
}

static void
close_sender(struct station *s)
{
	sender_close(s->sender, next_step, s);
}

static void
close_queue(struct station *s)
{
	queue_close(s->queue, next_step, s);
}

static void
close_secure(struct station *s)
{
	secure_close(&s->secure, next_step, s);
}

static void
next_step(void *arg)
{
	struct station *s = arg;
	const struct { bool there; void (*close)(struct station *); } steps[] = {
		{ s->port != NULL, close_port },
		{ s->http_port != NULL, close_http_port },
		{ s->probe != NULL, close_probe },
		{ s->inpost != NULL, close_inpost },
		{ s->serve != NULL, close_serve },
		{ s->bridges != NULL, close_bridges },
		{ s->gap != NULL, close_gap },
		{ s->receiver != NULL, close_receiver },
		{ s->export != NULL, close_export },
		{ s->sender != NULL, close_sender },
		{ s->queue != NULL && s->queue_open, close_queue },
		{ true, close_secure },
	};

	while (s->step < sizeof(steps) / sizeof(steps[0])) {
		if (steps[s->step].there) {
			steps[s->step++].close(s);
			return;
		}
		s->step++;
	}
	role_done(s->role);
}

void
station_drain(struct station *s, uint64_t until_ns)
{
	s->until_ns = until_ns;
	s->step = 0;
	next_step(s);
}

void
station_reload(struct station *s, const struct conf *conf)
{
	struct export_conf ec;
	int r;

	if (s->export == NULL)
		return;
	export_conf_of(s, conf, &ec);
	r = export_reconf(s->export, &ec);
	if (r < 0)
		env_log(env_of(s), LOG_ERROR, "exporter.endpoint stays as it "
		    "was: %s", r == -ENOTSUP ? "from local files to an "
		    "endpoint or back needs a restart" : strerror(-r));
}

bool
station_conserves(struct station *s)
{
	return s->export == NULL || export_conserves(s->export);
}

uint64_t
station_kept(struct station *s)
{
	return s->queue == NULL ? 0 : queue_held_records(s->queue);
}

void
station_free(struct station *s)
{
	port_free(&s->port);
	port_free(&s->http_port);
	probe_free(&s->probe);
	ingest_free(&s->ingest);
	serve_free(&s->serve);
	bridges_free(&s->bridges);
	inpost_free(&s->inpost);
	gap_free(&s->gap);
	receiver_free(&s->receiver);
	export_free(&s->export);
	onward_free(&s->onward);
	sender_free(&s->sender);
	secure_free(&s->secure);
	queue_free(&s->queue);
}
