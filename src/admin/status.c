/* SPDX-License-Identifier: ISC */
/*
 * status.c - emplogd status: does it work, and where are the records
 *
 * Read from the counters file of each role, which is there when the role is
 * not.  Healthy means: every role that should run runs, talks to the next
 * one, and no record has waited long.
 */

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "admin/human.h"
#include "base/remedy.h"
#include "counters/counters.h"
#include "banned.h"

#define NS_PER_S	UINT64_C(1000000000)
#define SEEN_NS		(15 * NS_PER_S)	/* three times a role's tick */
#define WAIT_NS		(600 * NS_PER_S)
#define CERT_NS		(14 * 86400 * NS_PER_S)
#define TROUBLES_MAX	8

enum life { LIFE_NONE, LIFE_RUN, LIFE_HUNG, LIFE_STOPPED, LIFE_DIED };

struct role {
	const char	*name;
	unsigned	 bit;
	struct counters	 c;
	bool		 known;		/* c is there */
	int		 error;
	enum life	 life;
	char		 trouble[TROUBLES_MAX][120];
	unsigned	 troubles;
};

struct loss {
	enum ctr	 id;
	const char	*unit;
	const char	*why;
};

static const struct loss losses[] = {
	{ CTR_lane_refused, "records", "lane full" },
	{ CTR_lane_lost_bytes, "bytes", "lane spoiled" },
	{ CTR_ingest_dropped, "records", "no room for HTTP" },
	{ CTR_ingest_duplicates, "records", "duplicate over HTTP" },
	{ CTR_queue_dropped_age_records, "records", "too old" },
	{ CTR_queue_quarantined_bytes, "bytes", "damaged on disk" },
	{ CTR_queue_lost_records, "records", "gone from the disk" },
	{ CTR_recv_quarantined_bytes, "bytes", "no records" },
	{ CTR_recv_lost_records, "records", "never stored, sender asks no answer" },
	{ CTR_export_rejected_records, "records", "rejected by the backend" },
	{ CTR_export_dead_dropped, "records", "dead letters dropped" },
	{ CTR_export_dead_lost, "records", "dead letters damaged on disk" },
	{ CTR_export_bad_records, "records", "not convertible" },
};
#define LOSSES	(sizeof(losses) / sizeof(losses[0]))

static void __attribute__((format(printf, 2, 3)))
trouble(struct role *ro, const char *fmt, ...)
{
	va_list ap;

	if (ro->troubles == TROUBLES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(ro->trouble[ro->troubles++], sizeof(ro->trouble[0]), fmt,
	    ap);
	va_end(ap);
}

/* Where locks cannot be asked for; wrong from another container. */
static bool
pid_lives(uint32_t pid)
{
	return pid > 0 && pid <= INT32_MAX &&
	    (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

static enum life
life_of(const struct counters *c, uint64_t now)
{
	bool lives = c->held < 0 ? pid_lives(c->head->pid) : c->held == 1;

	if (strcmp(c->head->state, "done") == 0)
		return LIFE_STOPPED;
	if (!lives)
		return LIFE_DIED;
	return human_since(now, c->head->seen_ns) > SEEN_NS ? LIFE_HUNG :
	    LIFE_RUN;
}

static void
look_at_life(struct role *ro, uint64_t now, bool expected)
{
	struct human ago = human_age(human_since(now, ro->c.head->seen_ns));

	if (ro->life == LIFE_HUNG)
		trouble(ro, "pid %" PRIu32 " is there but has not counted for "
		    "%s", ro->c.head->pid, ago.text);
	else if (ro->life == LIFE_DIED)
		trouble(ro, "died: last seen %s ago", ago.text);
	else if (ro->life == LIFE_STOPPED && expected)
		trouble(ro, "stopped %s ago", ago.text);
}

/* The page is a file: what is no errno is an unknown one. */
static int
errno_in(const struct counters *c, enum ctr id)
{
	uint64_t n = ctr_get(c, id);

	return n < 4096 ? (int)n : EIO;
}

static void
look_at_work(struct role *ro, uint64_t now)
{
	const struct counters *c = &ro->c;
	uint64_t oldest = ctr_get(c, CTR_queue_oldest_ns);
	uint64_t ends = ctr_get(c, CTR_tls_cert_expires) * NS_PER_S;
	uint64_t status = ctr_get(c, CTR_export_last_status);
	int disk = errno_in(c, CTR_queue_disk_error);
	int file = errno_in(c, CTR_export_file_error);
	int dead = errno_in(c, CTR_export_dead_error);

	if (ro->bit == ROLE_AGENT && ctr_get(c, CTR_hop_up) == 0)
		trouble(ro, "no relay is connected");
	if (ctr_get(c, CTR_export_held_auth) != 0)
		trouble(ro, "the backend refuses token or address: HTTP %"
		    PRIu64, status);
	if (ctr_get(c, CTR_export_circuit_open) != 0)
		trouble(ro, "the backend fails: sending is suspended");
	if (disk != 0)
		trouble(ro, "the queue's disk takes nothing: %s; %s",
		    strerror(disk), disk_remedy(-disk));
	if (file != 0)
		trouble(ro, "the local export's disk takes nothing: %s; %s",
		    strerror(file), disk_remedy(-file));
	if (dead != 0)
		trouble(ro, "dead letters cannot be kept: %s; %s",
		    strerror(dead), letters_remedy(-dead));
	if (ends != 0 && ends < now + CERT_NS)
		trouble(ro, "the TLS certificate ends in %s; put a new one "
		    "in its place", human_age(ends > now ? ends - now :
		    0).text);
	if (oldest != 0 && human_since(now, oldest) > WAIT_NS)
		trouble(ro, "the oldest record has waited %s",
		    human_age(human_since(now, oldest)).text);
	if (ctr_get(c, CTR_conservation_broken) != 0)
		trouble(ro, "the sums do not add up: a bug, please report");
}

/* Roles with counters of their own: a relay that exports is one role. */
static unsigned
roles_of(const struct conf *conf)
{
	if ((conf->roles & ROLE_RELAY) != 0 &&
	    strcmp(conf_text(conf, KEY_relay_next), "export") == 0)
		return conf->roles & ~ROLE_EXPORTER;
	return conf->roles;
}

static void
load(struct role *ro, struct admin *a, uint64_t now)
{
	unsigned roles = roles_of(a->conf);
	char path[512];

	snprintf(path, sizeof(path), "%s/%s/counters",
	    conf_text(a->conf, KEY_common_state_dir), ro->name);
	ro->error = counters_peek(&ro->c, path);
	ro->known = ro->error == 0;
	if (!ro->known) {
		if (ro->error != -ENOENT || (roles & ro->bit) != 0)
			trouble(ro, "'%s' cannot be read: %s", path,
			    strerror(-ro->error));
		return;
	}
	ro->life = life_of(&ro->c, now);
	look_at_life(ro, now, roles == 0 || (roles & ro->bit) != 0);
	if (ro->life == LIFE_RUN)
		look_at_work(ro, now);
}

static const char *
life_word(enum life life)
{
	static const char *const word[] = { "unknown", "running", "hung",
	    "stopped", "died" };

	return word[life];
}

static void
print_head(FILE *out, const struct role *ro, uint64_t now)
{
	const struct counters_head *h = ro->c.head;

	fprintf(out, "%-9s %s", ro->name, life_word(ro->life));
	if (ro->life == LIFE_RUN)
		fprintf(out, ", pid %" PRIu32 ", io %s, up %s", h->pid,
		    h->io[0] == '\0' ? "?" : h->io,
		    human_age(human_since(now, h->started_ns)).text);
	else
		fprintf(out, ", last seen %s ago",
		    human_age(human_since(now, h->seen_ns)).text);
	if (strcmp(h->state, "drain") == 0)
		fputs(", draining", out);
	fputc('\n', out);
}

static void
print_agent(FILE *out, const struct counters *c)
{
	fprintf(out, "  taken      %s from lanes, %" PRIu64 " records over "
	    "HTTP\n", human_bytes(ctr_get(c, CTR_lane_taken_bytes)).text,
	    ctr_get(c, CTR_ingest_records));
	fprintf(out, "  delivered  %s from lanes, %" PRIu64 " chunks "
	    "acknowledged\n",
	    human_bytes(ctr_get(c, CTR_lane_acked_bytes)).text,
	    ctr_get(c, CTR_hop_acked_chunks));
	fprintf(out, "  held       %s in %" PRIu64 " lanes, %" PRIu64
	    " records on disk, %s on the way\n",
	    human_bytes(ctr_get(c, CTR_lane_held_bytes)).text,
	    ctr_get(c, CTR_lane_open), ctr_get(c, CTR_queue_held_records),
	    human_bytes(ctr_get(c, CTR_hop_inflight_bytes)).text);
	if (ctr_get(c, CTR_lane_aside_bytes) > 0)
		fprintf(out, "  aside      %s in lanes of another version, or "
		    "without a place\n", human_bytes(ctr_get(c,
		    CTR_lane_aside_bytes)).text);
	fprintf(out, "  relay      %s; %" PRIu64 " connections made, %" PRIu64
	    " lost or refused\n", ctr_get(c, CTR_hop_up) ? "connected" :
	    "not connected", ctr_get(c, CTR_hop_connects),
	    ctr_get(c, CTR_hop_failures));
	if (ctr_get(c, CTR_tee_requests) > 0)
		fprintf(out, "  tee        %" PRIu64 " of %" PRIu64 " HTTP "
		    "bodies taken by the old one, %" PRIu64 " failed, %"
		    PRIu64 " not sent\n", ctr_get(c, CTR_tee_taken),
		    ctr_get(c, CTR_tee_requests), ctr_get(c, CTR_tee_failed),
		    ctr_get(c, CTR_tee_dropped));
}

static void
print_relay(FILE *out, const struct counters *c)
{
	fprintf(out, "  taken      %" PRIu64 " records over Forward, %" PRIu64
	    " over HTTP, %" PRIu64 " duplicates\n",
	    ctr_get(c, CTR_recv_records), ctr_get(c, CTR_ingest_records),
	    ctr_get(c, CTR_recv_dup_records));
	fprintf(out, "  delivered  %" PRIu64 " records\n",
	    ctr_get(c, CTR_queue_done_records));
	fprintf(out, "  held       %" PRIu64 " records, %s on disk\n",
	    ctr_get(c, CTR_queue_held_records),
	    human_bytes(ctr_get(c, CTR_queue_bytes)).text);
	if (ctr_get(c, CTR_queue_backlog_records) > 0)
		fprintf(out, "  backlog    %" PRIu64 " of them; what is fresh "
		    "goes beside it\n",
		    ctr_get(c, CTR_queue_backlog_records));
	fprintf(out, "  senders    %" PRIu64 " connected\n",
	    ctr_get(c, CTR_recv_open));
}

static void
print_exporter(FILE *out, const struct counters *c, uint64_t now)
{
	uint64_t status = ctr_get(c, CTR_export_last_status);
	uint64_t ok = ctr_get(c, CTR_export_last_ok_ns);

	fprintf(out, "  exported   %" PRIu64 " of %" PRIu64 " records, %"
	    PRIu64 " on the way; %" PRIu64 " requests, %" PRIu64
	    " sent again\n", ctr_get(c, CTR_export_done_records),
	    ctr_get(c, CTR_export_taken_records),
	    ctr_get(c, CTR_export_held_records),
	    ctr_get(c, CTR_export_requests), ctr_get(c, CTR_export_retries));
	if (ctr_get(c, CTR_export_dead_records) > 0)
		fprintf(out, "  dead       %" PRIu64 " letters kept, %" PRIu64
		    " exported again, %" PRIu64 " dropped%s\n",
		    ctr_get(c, CTR_export_dead_held),
		    ctr_get(c, CTR_export_dead_replayed),
		    ctr_get(c, CTR_export_dead_dropped),
		    ctr_get(c, CTR_export_dead_held) == 0 ? "" :
		    "; emplogd dlq ls says why, replay or drop ends it");
	if (ctr_get(c, CTR_export_requests) == 0) {
		fprintf(out, "  backend    %s written locally\n",
		    human_bytes(ctr_get(c, CTR_export_file_bytes)).text);
		return;
	}
	if (status == 0)
		fputs("  backend    last: no answer", out);
	else
		fprintf(out, "  backend    last: HTTP %" PRIu64, status);
	if (ok == 0)
		fputs("; nothing accepted yet\n", out);
	else
		fprintf(out, "; accepted %s ago\n",
		    human_age(human_since(now, ok)).text);
}

static void
print_losses(FILE *out, const struct counters *c)
{
	const char *sep = "";
	uint64_t n;
	size_t i;

	fputs("  dropped    ", out);
	for (i = 0; i < LOSSES; i++) {
		n = ctr_get(c, losses[i].id);
		if (n == 0)
			continue;
		fprintf(out, "%s%" PRIu64 " %s (%s)", sep, n, losses[i].unit,
		    losses[i].why);
		sep = ", ";
	}
	fputs(*sep == '\0' ? "nothing\n" : "\n", out);
}

static void
print_tls(FILE *out, const struct counters *c, uint64_t now)
{
	uint64_t ends = ctr_get(c, CTR_tls_cert_expires) * NS_PER_S;
	uint64_t n = ctr_get(c, CTR_tls_handshakes);

	if (n + ends > 0)
		fprintf(out, "  tls        %" PRIu64 " handshakes, %" PRIu64
		    " failed, certificate %s%s\n", n,
		    ctr_get(c, CTR_tls_failed), ends == 0 ? "none" :
		    ends > now ? "ends in " : "has ended",
		    ends > now ? human_age(ends - now).text : "");
}

static void
print_role(FILE *out, const struct role *ro, uint64_t now)
{
	uint64_t oldest;
	unsigned i;

	if (ro->known) {
		print_head(out, ro, now);
		if (ro->bit == ROLE_AGENT)
			print_agent(out, &ro->c);
		else
			print_relay(out, &ro->c);
		if (ro->bit == ROLE_EXPORTER ||
		    ctr_get(&ro->c, CTR_export_taken_records) > 0)
			print_exporter(out, &ro->c, now);
		print_tls(out, &ro->c, now);
		print_losses(out, &ro->c);
		oldest = ctr_get(&ro->c, CTR_queue_oldest_ns);
		if (oldest != 0)
			fprintf(out, "  oldest     waiting for %s\n",
			    human_age(human_since(now, oldest)).text);
	} else if (ro->troubles > 0) {
		fprintf(out, "%-9s unknown\n", ro->name);
	}
	if (ro->life == LIFE_RUN && ctr_get(&ro->c, CTR_state_fleeting) != 0)
		fputs("  WARNING    common.state_dir is on no volume: what is "
		    "kept is lost with the container or the machine\n", out);
	for (i = 0; i < ro->troubles; i++)
		fprintf(out, "  TROUBLE    %s\n", ro->trouble[i]);
}

struct kept { uint64_t records, lane_bytes; };

static struct kept
kept_of(const struct role *roles, unsigned n)
{
	struct kept k = { 0, 0 };
	unsigned i;

	for (i = 0; i < n; i++) {
		if (!roles[i].known)
			continue;
		k.records += ctr_get(&roles[i].c, CTR_queue_held_records);
		k.lane_bytes += ctr_get(&roles[i].c, CTR_lane_held_bytes);
	}
	return k;
}

static json_t *
role_json(const struct role *ro)
{
	const struct counters_head *h = ro->c.head;
	json_t *counters = json_object(), *troubles = json_array();
	unsigned i;

	for (i = 0; i < CTR_COUNT; i++)
		json_object_set_new(counters, ctr_info[i].name,
		    json_integer((json_int_t)ctr_get(&ro->c, (enum ctr)i)));
	for (i = 0; i < ro->troubles; i++)
		json_array_append_new(troubles, json_string(ro->trouble[i]));
	return json_pack("{s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:o, s:o}",
	    "role", ro->name, "life", life_word(ro->life), "pid",
	    (json_int_t)h->pid, "io", h->io, "state", h->state, "started_ns",
	    (json_int_t)h->started_ns, "seen_ns", (json_int_t)h->seen_ns,
	    "trouble", troubles, "counters", counters);
}

/* A role without counters, but with trouble. */
static json_t *
unknown_json(const struct role *ro)
{
	return json_pack("{s:s, s:s, s:[s]}", "role", ro->name, "life",
	    life_word(LIFE_NONE), "trouble", ro->trouble[0]);
}

static void
print_json(FILE *out, const struct role *roles, unsigned n, bool healthy)
{
	struct kept k = kept_of(roles, n);
	json_t *list = json_array(), *all;
	unsigned i;

	for (i = 0; i < n; i++)
		if (roles[i].known)
			json_array_append_new(list, role_json(&roles[i]));
		else if (roles[i].troubles > 0)
			json_array_append_new(list, unknown_json(&roles[i]));
	all = json_pack("{s:b, s:o, s:{s:I, s:I}}", "healthy", healthy,
	    "roles", list, "kept", "records", (json_int_t)k.records,
	    "lane_bytes", (json_int_t)k.lane_bytes);
	json_dumpf(all, out, JSON_INDENT(2));
	fputc('\n', out);
	json_decref(all);
}

static void
print_text(struct admin *a, const struct role *roles, unsigned n)
{
	struct kept k = kept_of(roles, n);
	uint64_t now = human_now();
	unsigned i;

	for (i = 0; i < n; i++)
		print_role(a->out, &roles[i], now);
	fprintf(a->out, "kept: %" PRIu64 " records on disk, %s in lanes\n",
	    k.records, human_bytes(k.lane_bytes).text);
}

int
admin_status(int argc, char **argv, struct admin *a)
{
	struct role roles[] = {
		{ .name = "agent", .bit = ROLE_AGENT },
		{ .name = "relay", .bit = ROLE_RELAY },
		{ .name = "exporter", .bit = ROLE_EXPORTER },
	};
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	unsigned i, known = 0, troubles = 0;
	uint64_t now = human_now();

	if (argc > 1 + json)
		return admin_usage(a, "status", "'%s' is not understood",
		    argv[argc - 1]);
	for (i = 0; i < 3; i++) {
		load(&roles[i], a, now);
		known += roles[i].known;
		troubles += roles[i].troubles;
	}
	if (known == 0)
		fprintf(a->err, "emplogd status: no role has run with "
		    "common.state_dir '%s'\n",
		    conf_text(a->conf, KEY_common_state_dir));
	if (json)
		print_json(a->out, roles, 3, known > 0 && troubles == 0);
	else if (known + troubles > 0)
		print_text(a, roles, 3);
	for (i = 0; i < 3; i++)
		if (roles[i].known)
			counters_fini(&roles[i].c);
	return known > 0 && troubles == 0 ? 0 : 1;
}
