/* SPDX-License-Identifier: ISC */
/* town.c - the processes of a town: started, crashed, started again */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "town.h"

const char *const kind_name[KINDS] = {
	"cut", "short-io", "one-byte-reads", "coalesced", "late-bytes",
	"half-open", "host-cut-off", "short-write", "eio",
	"eio-on-read", "unreadable", "enospc", "disk-full", "failed-fsync",
	"pages-dropped", "pages-kept", "kept-pages-lost", "failed-dir-fsync",
	"unsynced-lost",
	"unsynced-names-lost", "torn-sector", "bit-flip", "clock-jump",
	"sigstop", "process-crash", "power-loss",
	"ack-lost", "ack-late", "ack-twice", "ack-of-older-epoch",
	"200", "200-json", "200-partial", "429", "429-retry-after", "408",
	"500", "503", "302", "200-html", "401", "403", "404", "407", "413",
	"400", "422", "400-one-record", "no-answer", "no-answer-but-taken",
	"maker-killed", "maker-killed-midway", "lane-full",
	"agent-power-loss", "graceful-restart", "outage-hour", "outage-day",
};

void
town_fired(const struct town *t, uint64_t ret_n[KINDS])
{
	unsigned i;

	for (i = 0; i < FAULT_KINDS; i++)
		ret_n[i] = sim_fired(t->sim, (enum sim_fault)i);
	for (i = 0; i < EVENTS; i++)
		ret_n[FAULT_KINDS + i] = t->fired[i];
}

uint64_t
node_ctr(const struct node *n, enum ctr id)
{
	return n->role == NULL ? 0 : ctr_get(&n->role->env.ctr, id);
}

/* ---- configuration ---- */

static void
tell(void *arg, bool fault, const char *line)
{
	if (fault)
		fprintf(stderr, "conf: %s\n", line);
}

static const char *
next_of(const struct town *t)
{
	return t->shape == RELAY_EXPORTER || t->shape == TWO_RELAYS_EXPORTER ?
	    "relay.next=127.0.0.1:24225" : "relay.next=export";
}

static struct conf *
conf_of(const struct town *t, enum who who)
{
	static const char *const common[] = {
		"common.state_dir=/state", ("common.ring_dir=" RING),
		"relay.http_listen=", "agent.http_listen=",
		"agent.queue_max=4M", "relay.queue_max=4M",
		"exporter.queue_max=4M",
		"exporter.endpoint=http://127.0.0.1:4318",
		"exporter.compression=none", "exporter.batch_bytes=64K",
	};
	static const char *const own[WHO] = {
		[RELAY1] = "relay.listen=127.0.0.1:24224",
		[RELAY2] = "relay.listen=127.0.0.1:24324",
		[EXPORTER] = "exporter.listen=127.0.0.1:24225",
	};
	static const unsigned bits[WHO] = { ROLE_AGENT,
	    ROLE_RELAY | ROLE_EXPORTER, ROLE_RELAY | ROLE_EXPORTER,
	    ROLE_EXPORTER };
	static char *no_env[] = { NULL };
	const char *sets[16];
	struct conf_source src = { .env = no_env, .sets = sets,
	    .roles = bits[who], .tell = tell };
	struct conf *c = NULL;
	unsigned n;

	for (n = 0; n < sizeof(common) / sizeof(common[0]); n++)
		sets[n] = common[n];
	if (own[who] != NULL)
		sets[n++] = own[who];
	if (who == AGENT)
		sets[n++] = t->node[RELAY2].used ?
		    "agent.relay=127.0.0.1:24224,127.0.0.1:24324" :
		    "agent.relay=127.0.0.1:24224";
	if (who == RELAY1 || who == RELAY2)
		sets[n++] = next_of(t);
	src.sets_n = n;
	must(conf_read(&c, &src) == 0);
	return c;
}

/* ---- life of a node ---- */

static void
log_line(void *arg, enum log_level level, const char *line)
{
	struct node *n = arg;

	if (getenv("SIM_LOUD") != NULL)
		fprintf(stderr, "%12.6f %u %s\n",
		    (double)sim_now(n->t->sim) / 1e9, n->who, line);
}

/* Its counters are a file that is mapped again: gauges begin at 0. */
static void
tune(void *arg, struct env *env)
{
	struct node *n = arg;
	int i;

	env->alloc = sim_alloc;
	env->release = sim_release;
	env->mem_arg = n->proc;
	env->log_sink = log_line;
	env->log_arg = n;
	counters_fini(&env->ctr);
	counters_init_in(&env->ctr, n->ctr);
	for (i = 0; i < CTR_COUNT; i++)
		if (ctr_info[i].kind == CTR_GAUGE)
			ctr_set(&env->ctr, (enum ctr)i, 0);
}

static void
opened(void *arg, struct role *r, int res)
{
	struct node *n = arg;

	n->ready = res == 0;
	n->failed = res < 0;
	n->t->attention = n->t->attention || res < 0;
}

static void
node_start(struct node *n)
{
	struct role_world w;

	n->proc = sim_proc_new(n->host, n->kind->name);
	n->ready = n->failed = n->draining = n->drained = false;
	n->up_ns = n->go_ns = 0;
	n->quiet_ns = sim_now(n->t->sim);
	w = (struct role_world){ sim_loop(n->proc), sim_shm(n->proc), tune, n };
	n->role = role_open(n->kind, &w, n->conf, opened, n);
	must(n->role != NULL);
}

static void
node_down(struct node *n, uint64_t for_ns)
{
	n->proc = NULL;
	n->role = NULL;
	n->ready = n->failed = n->draining = n->drained = false;
	n->up_ns = sim_now(n->t->sim) + 1 + for_ns;
	n->go_ns = 0;
}

void
town_crash(struct town *t, struct node *n, bool power)
{
	uint64_t down = t->calm || sim_random(t->sim, 2) == 0 ? 0 :
	    sim_random(t->sim, 30 * S);

	if (n->proc == NULL)
		return;
	oracle_step(t);
	oracle_crash(t, n);
	if (power && n->who == AGENT) {
		t->fired[AGENT_POWER]++;
		oracle_power(t);
	}
	if (power)
		sim_power_loss(n->host);
	else
		sim_crash(n->proc);
	oracle_ended(t, n);
	if (power && n->who == AGENT) {
		oracle_powered(t);
		makers_lose(t);
	}
	node_down(n, down);
}

static void
role_is_done(void *arg, struct role *r)
{
	struct node *n = arg;

	n->drained = n->t->attention = true;
}

void
town_drain(struct town *t, struct node *n)
{
	if (n->proc == NULL || !n->ready || n->go_ns > 0)
		return;
	t->fired[GRACEFUL]++;
	n->draining = true;
	n->ready = false;
	n->role->arg = n;
	role_drain(n->role, sim_now(t->sim) + 1200 * MS, role_is_done);
}

/* It has ended by itself, or could not begin: again in a second. */
static void
end_node(struct town *t, struct node *n)
{
	if (n->failed) {
		sim_crash(n->proc);
	} else {
		/* what it had not committed may be exported again */
		oracle_crash(t, n);
		role_free(&n->role);
		sim_end(n->proc);
	}
	oracle_ended(t, n);
	node_down(n, S);
}

static void
attend(struct town *t)
{
	uint64_t now = sim_now(t->sim);
	struct node *n;

	t->attention = false;
	for (n = t->node; n < t->node + WHO; n++) {
		if (!n->used)
			continue;
		if (n->proc != NULL && (n->failed || n->drained))
			end_node(t, n);
		if (n->proc == NULL && now >= n->up_ns)
			node_start(n);
		if (n->go_ns > 0 && now >= n->go_ns) {
			n->go_ns = 0;
			sim_stop(n->proc, false);
		}
	}
}

static uint64_t
next_call(const struct town *t, uint64_t until)
{
	const struct node *n;

	for (n = t->node; n < t->node + WHO; n++) {
		if (!n->used)
			continue;
		if (n->proc == NULL && n->up_ns < until)
			until = n->up_ns;
		if (n->go_ns > 0 && n->go_ns < until)
			until = n->go_ns;
	}
	return until;
}

/*
 * What is done about a failed fsync may be cut short: a crash soon.  What the
 * next start makes of the pages still there, a power loss behind it shows.
 */
static void
look_synced(struct town *t)
{
	struct node *n;

	t->syncs_failed = sim_fired(t->sim, FAULT_FSYNC);
	for (n = t->node; n < t->node + WHO; n++) {
		if (!n->used || n->syncs_failed == sim_syncs_failed(n->host))
			continue;
		n->syncs_failed = sim_syncs_failed(n->host);
		if (t->steps_left > 0 || sim_random(t->sim, 2) == 0)
			continue;
		t->victim = (unsigned)n->who;
		t->steps_left = 1 + sim_random(t->sim, 30);
		t->relapse = sim_random(t->sim, 2) == 0;
	}
}

static void
strike(struct town *t)
{
	struct node *n = &t->node[t->victim];
	bool power = n->who != AGENT || t->agent_power;

	t->strike = false;
	if (t->relapse) {
		town_crash(t, n, false);
		t->steps_left = 1 + sim_random(t->sim, 3000);
		t->relapse = false;
	} else {
		town_crash(t, n, power && sim_random(t->sim, 2) == 0);
	}
}

static bool
wants_us(void *arg)
{
	struct town *t = arg;

	oracle_books(t);
	if (t->syncs_failed != sim_fired(t->sim, FAULT_FSYNC))
		look_synced(t);
	if (t->steps_left > 0 && --t->steps_left == 0)
		t->attention = t->strike = true;
	return t->attention;
}

void
town_run(struct town *t, uint64_t for_ns)
{
	uint64_t until = sim_now(t->sim) + for_ns;

	do {
		(void)sim_run(t->sim, next_call(t, until), wants_us, t);
		if (t->strike)
			strike(t);
		attend(t);
	} while (sim_now(t->sim) < until);
	oracle_step(t);
}

void
town_calm(struct town *t)
{
	struct node *n;

	t->calm = true;
	t->steps_left = 0;
	t->strike = t->relapse = false;
	sim_calm(t->sim);
	for (n = t->node; n < t->node + WHO; n++) {
		n->go_ns = 0;
		n->up_ns = 0;
	}
}

/* ---- the whole ---- */

static void
choose(struct town *t)
{
	/* Two relays in a third of the seeds. */
	t->shape = t->seed % 3 == 0 ?
	    (t->seed % 2 == 0 ? TWO_RELAYS : TWO_RELAYS_EXPORTER) :
	    (t->seed % 2 == 0 ? ONE_RELAY : RELAY_EXPORTER);
	t->lanes = 3 + (unsigned)sim_random(t->sim, LANES - 2);
	t->flips = sim_random(t->sim, 5) == 0;
	t->poison = sim_random(t->sim, 3) == 0;
	t->agent_power = sim_random(t->sim, 4) == 0;
	t->node[AGENT].used = t->node[RELAY1].used = true;
	t->node[RELAY2].used = t->seed % 3 == 0;
	t->node[EXPORTER].used = t->shape == RELAY_EXPORTER ||
	    t->shape == TWO_RELAYS_EXPORTER;
	t->node[EXPORTER].exports = t->node[EXPORTER].used;
	t->node[RELAY1].exports = !t->node[EXPORTER].used;
	t->node[RELAY2].exports = t->node[RELAY2].used &&
	    !t->node[EXPORTER].used;
}

void
town_open(struct town *t, uint64_t seed)
{
	static const struct sim_faults f = { .cut = 600, .short_io = 20000,
	    .one_byte = 1000, .together = 8000, .late = 500, .silent = 150,
	    .write_error = 1500, .fsync_error = 1500, .read_error = 1500,
	    .net_delay_ns = 5 * MS, .disk_delay_ns = 5 * MS };
	static const char *const names[WHO] = { "agent", "relay1", "relay2",
	    "exporter" };
	static const struct role_kind *const kinds[WHO] = { &role_agent,
	    &role_relay, &role_relay, &role_exporter };
	struct node *n;
	unsigned i;

	*t = (struct town){ .seed = seed, .ack_odds = 20000 };
	must(sim_new(&t->sim, seed, &f) == 0);
	t->begun_ns = sim_now(t->sim);
	choose(t);
	sim_backend(t->sim, backend_answer, t);
	sim_tap(t->sim, taps_see, t);
	for (i = WHO; i-- > 0;) {
		n = &t->node[i];
		if (!n->used)
			continue;
		n->t = t;
		n->who = (enum who)i;
		n->host = sim_host_new(t->sim, names[i]);
		n->kind = kinds[i];
		n->conf = conf_of(t, n->who);
		n->ctr = calloc(1, counters_bytes());
		must(n->ctr != NULL);
		node_start(n);
	}
	town_run(t, S);
}

void
town_close(struct town *t)
{
	unsigned i;

	makers_close(t);
	sim_free(&t->sim);
	for (i = 0; i < WHO; i++) {
		conf_free(&t->node[i].conf);
		free(t->node[i].ctr);
	}
	for (i = 0; i < t->uids; i++)
		free(t->uid[i]);
}
