/* SPDX-License-Identifier: ISC */
/* nth_town.c - a world one of whose processes has an nth failure */

#include "nth_town.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "forward/mp.h"
#include "sim/inner.h"

#define EVENTS_MOST	200000		/* between two instants a second apart */
#define GRACE_NS	(1200 * MS)

static const struct role_kind *const kind_of[WHO] = { &role_agent,
    &role_relay, &role_exporter };

uint64_t
town_ctr(const struct town *t, enum who who, enum ctr id)
{
	const struct node *n = &t->node[who];

	return n->role == NULL ? 0 : ctr_get(&n->role->env.ctr, id);
}

/* ---- configuration ---- */

static void
tell(void *arg, bool fault, const char *line)
{
	if (fault)
		fprintf(stderr, "conf: %s\n", line);
}

struct conf *
town_read_conf(enum who who, const char *const *more)
{
	static const unsigned bits[WHO] = { ROLE_AGENT, ROLE_RELAY,
	    ROLE_EXPORTER };
	const char *sets[16] = { "common.state_dir=/state",
	    ("common.ring_dir=" RING), "relay.http_listen=",
	    "agent.http_listen=", "relay.queue_max=4M", "agent.queue_max=4M",
	    "exporter.queue_max=4M", "exporter.compression=none" };
	static char *no_env[] = { NULL };
	struct conf_source src = { .env = no_env, .sets = sets,
	    .roles = bits[who], .tell = tell };
	struct conf *c = NULL;
	unsigned n = 8;

	while (*more != NULL && n < 16)
		sets[n++] = *more++;
	src.sets_n = n;
	must(conf_read(&c, &src) == 0);
	return c;
}

/* ---- what arrives ---- */

static bool
exports(const struct node *n)
{
	return n->who == EXPORTER || (n->who == RELAY &&
	    strcmp(conf_text(n->conf, KEY_relay_next), "export") == 0);
}

static void
arrive(struct town *t, unsigned lane, unsigned n, bool dead)
{
	struct lane *l = &t->lane[lane];

	if (lane >= LANES || n >= l->made)
		nth_wrong("record %u.%u was never made", lane, n);
	if (dead)
		l->dead[n] = true;
	else
		l->got[n]++;
}

static void
look_for_marks(struct town *t, struct bytes b, bool dead)
{
	const uint8_t *at = b.p, *end;
	char text[24];
	unsigned lane, n;
	size_t len;

	if (b.n == 0)
		return;
	for (end = at + b.n; (at = memchr(at, '[', (size_t)(end - at))) != NULL;
	    at++) {
		len = (size_t)(end - at);
		len = len < sizeof(text) - 1 ? len : sizeof(text) - 1;
		memcpy(text, at, len);
		text[len] = '\0';
		if (sscanf(text, "[%u.%u]", &lane, &n) == 2)
			arrive(t, lane, n, dead);
	}
}

static int
backend(void *arg, struct post *p)
{
	struct town *t = arg;
	int status = t->answer == NULL ? 200 : t->answer(t, p->body);

	if (status < 0)
		return status;
	t->posts++;
	p->status = status;
	p->answer_len = 0;
	snprintf(p->content_type, sizeof(p->content_type), "%s",
	    status == 200 ? "application/x-protobuf" : "text/plain");
	if (status == 200)
		look_for_marks(t, p->body, false);
	return 0;
}

static void
look_in_file(void *arg, const char *path, struct bytes content)
{
	if (strstr(path, "/dead/") != NULL)
		look_for_marks(arg, content, true);
	else if (strstr(path, "/export/") != NULL)
		look_for_marks(arg, content, false);
}

/* Files say it anew each time. */
static void
look_at_files(struct town *t)
{
	struct node *n;
	unsigned i;

	for (n = t->node; n < t->node + WHO; n++) {
		if (!n->used || !exports(n))
			continue;
		if (*conf_text(n->conf, KEY_exporter_endpoint) == '\0')
			for (i = 0; i < LANES; i++)
				memset(t->lane[i].got, 0,
				    sizeof(t->lane[i].got));
		sim_files(n->host, look_in_file, t);
	}
}

/* ---- life of a node ---- */

static void
log_line(void *arg, enum log_level level, const char *line)
{
	struct node *n = arg;

	n->errors += level == LOG_ERROR;
	snprintf(n->t->last, sizeof(n->t->last), "%s", line);
	if (getenv("NTH_LOUD") != NULL)
		fprintf(stderr, "%12.6f %s\n",
		    (double)sim_now(n->t->sim) / 1e9, line);
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
	if (n->nth != NULL)
		nth_memory(n->nth, env);
}

static void
opened(void *arg, struct role *r, int res)
{
	struct node *n = arg;

	n->ready = res == 0;
	n->refused = res < 0;
	n->t->attention |= res < 0;
	if (res < 0 && n->errors == 0)
		nth_wrong("%s does not start (%s) and does not say why",
		    kind_of[n->who]->name, strerror(-res));
}

static void
node_start(struct node *n)
{
	struct role_world w;

	n->proc = sim_proc_new(n->host, kind_of[n->who]->name);
	n->ready = n->refused = n->drained = false;
	n->errors = 0;
	if (n->nth != NULL)
		nth_loop(n->nth, sim_loop(n->proc));
	w = (struct role_world){ sim_loop(n->proc), sim_shm(n->proc), tune, n };
	if (n->nth != NULL)
		w.shm_sys = nth_shm(&n->shm, n->nth, w.shm_sys);
	n->role = role_open(kind_of[n->who], &w, n->conf, opened, n);
	/* main says that there is not enough memory, and ends. */
	n->refused |= n->role == NULL;
	n->t->attention |= n->refused;
}

static void
node_gone(struct node *n)
{
	n->proc = NULL;
	n->role = NULL;
	n->ready = n->refused = n->drained = false;
	n->up_ns = sim_now(n->t->sim) + 500 * MS;
}

static void
node_kill(struct node *n)
{
	if (n->proc == NULL)
		return;
	if (exports(n) && n->t->posts > 0)
		n->t->uncertain = true;
	sim_crash(n->proc);
	node_gone(n);
}

static void
attend(struct town *t)
{
	struct node *n;

	t->attention = false;
	for (n = t->node; n < t->node + WHO; n++) {
		if (!n->used)
			continue;
		if (n->proc != NULL && n->refused) {
			t->starts_refused++;
			node_kill(n);
		}
		if (n->proc == NULL && !n->away &&
		    n->up_ns <= sim_now(t->sim))
			node_start(n);
	}
}

static bool
wants_us(void *arg)
{
	struct town *t = arg;

	if (++t->events > EVENTS_MOST)
		nth_wrong("it turns without end; last said: %s", t->last);
	return t->attention;
}

static uint64_t
next_call(const struct town *t, uint64_t until)
{
	const struct node *n;

	for (n = t->node; n < t->node + WHO; n++)
		if (n->used && n->proc == NULL && !n->away && n->up_ns < until)
			until = n->up_ns;
	return until;
}

void
town_run(struct town *t, uint64_t for_ns)
{
	uint64_t until = sim_now(t->sim) + for_ns;

	t->events = 0;
	do {
		(void)sim_run(t->sim, next_call(t, until), wants_us, t);
		attend(t);
	} while (sim_now(t->sim) < until);
}

void
town_kill(struct town *t, enum who who)
{
	t->node[who].away = true;
	node_kill(&t->node[who]);
}

void
town_up(struct town *t, enum who who)
{
	t->node[who].away = false;
	t->node[who].up_ns = sim_now(t->sim);
	attend(t);
}

static void
role_is_done(void *arg, struct role *r)
{
	struct node *n = arg;

	n->drained = n->t->attention = true;
}

/* What it had of the world is back. */
static void
look_given_back(struct node *n)
{
	const char *name = kind_of[n->who]->name;
	size_t most, held;
	int fd;

	held = sim_memory(n->proc, &most);
	if (held > 0)
		nth_wrong("%s has ended and holds %zu bytes of memory", name,
		    held);
	for (fd = 0; fd < SIM_FDS; fd++)
		if (n->proc->fd[fd].kind != FD_FREE)
			nth_wrong("%s has ended and holds descriptor %d, '%s'",
			    name, fd, n->proc->fd[fd].path);
	if (n->proc->maps != NULL || n->proc->watches != NULL)
		nth_wrong("%s has ended and holds a mapping or a watch", name);
}

void
town_drain(struct town *t, enum who who)
{
	struct node *n = &t->node[who];
	uint64_t until = sim_now(t->sim) + GRACE_NS;

	n->away = true;
	if (n->proc == NULL || !n->ready) {
		node_kill(n);		/* as main does with one half open */
		return;
	}
	n->role->arg = n;
	role_drain(n->role, until - GRACE_NS / 8, role_is_done);
	t->events = 0;
	while (!n->drained && sim_now(t->sim) < until) {
		(void)sim_run(t->sim, next_call(t, until), wants_us, t);
		if (n->drained)
			break;
		attend(t);
	}
	if (!n->drained)
		nth_wrong("%s does not end within the grace time",
		    kind_of[who]->name);
	/* What was exported last may lack its commit. */
	if (exports(n) && n->nth != NULL && n->nth->failed > 0)
		t->uncertain = true;
	role_free(&n->role);
	look_given_back(n);
	sim_end(n->proc);
	node_gone(n);
}

/* ---- makers ---- */

static bool
open_lane(struct town *t, struct lane *l)
{
	struct writer_conf c = { .ring_dir = RING, .lane_bytes = 65536,
	    .identity = (const uint8_t *)"\x80", .identity_len = 1 };

	if (l->open && writer_retired(&l->w)) {
		writer_close(&l->w, true);
		l->open = false;
	}
	if (l->maker == NULL)
		l->maker = sim_proc_new(t->node[AGENT].host, "maker");
	c.sys = sim_shm(l->maker);
	if (t->makers != NULL)
		c.sys = nth_shm(&l->shm, t->makers, c.sys);
	if (!l->open)
		l->open = writer_open(&l->w, &c) == 0;
	return l->open;
}

static void
make_one(struct town *t, struct lane *l, size_t bytes)
{
	uint8_t *room = writer_lend(&l->w, bytes + 64, 0);
	char text[8192];
	struct mpw m;
	size_t n;

	must(bytes < sizeof(text) && l->made < RECORDS);
	if (room == NULL)
		return;
	n = (size_t)snprintf(text, sizeof(text), "[%u.%u]",
	    (unsigned)(l - t->lane), l->made);
	for (; n < bytes; n++)
		text[n] = (char)('a' + n % 26);
	m = (struct mpw){ room, room + bytes + 64, false };
	mpw_array(&m, 2);
	mpw_event_time(&m, sim_wall(t->node[AGENT].host));
	mpw_map(&m, 1);
	mpw_str(&m, BYTES("message"));
	mpw_str(&m, bytes_of(text, n));
	must(!m.full);
	writer_publish(&l->w, (uint64_t)(m.p - room), 1);
	l->made++;
}

void
town_make(struct town *t, unsigned lane, unsigned n, size_t bytes)
{
	struct lane *l = &t->lane[lane];

	while (n-- > 0 && open_lane(t, l))
		make_one(t, l, bytes);
}

void
town_kill_maker(struct town *t, unsigned lane)
{
	struct lane *l = &t->lane[lane];

	if (l->maker == NULL)
		return;
	sim_crash(l->maker);
	l->maker = NULL;
	l->open = false;
}

/* ---- what must hold ---- */

static bool
all_there(struct town *t)
{
	struct lane *l;
	unsigned i;

	look_at_files(t);
	for (l = t->lane; l < t->lane + LANES; l++)
		for (i = 0; i < l->made; i++)
			if (l->got[i] == 0 && !l->dead[i])
				return false;
	return true;
}

static bool
nothing_held(const struct town *t)
{
	const struct node *n;

	for (n = t->node; n < t->node + WHO; n++)
		if (n->used && (!n->ready ||
		    town_ctr(t, n->who, CTR_queue_held_records) > 0 ||
		    town_ctr(t, n->who, CTR_lane_held_bytes) > 0))
			return false;
	return true;
}

static void
tell_missing(const struct town *t)
{
	const struct node *n;
	const struct lane *l;
	unsigned i;

	for (l = t->lane; l < t->lane + LANES; l++)
		for (i = 0; i < l->made; i++)
			if (l->got[i] == 0 && !l->dead[i])
				nth_wrong("record %td.%u of %u is lost; last "
				    "said: %s", l - t->lane, i, l->made,
				    t->last);
	for (n = t->node; n < t->node + WHO; n++)
		if (n->used && !n->ready)
			nth_wrong("%s is not ready; last said: %s",
			    kind_of[n->who]->name, t->last);
	for (n = t->node; n < t->node + WHO; n++)
		if (n->used && town_ctr(t, n->who, CTR_queue_held_records) +
		    town_ctr(t, n->who, CTR_lane_held_bytes) > 0)
			nth_wrong("%s holds %" PRIu64 " records, %" PRIu64
			    " bytes of lanes", kind_of[n->who]->name,
			    town_ctr(t, n->who, CTR_queue_held_records),
			    town_ctr(t, n->who, CTR_lane_held_bytes));
	nth_wrong("nothing is missing, and yet it is");
}

static void
look_at_books(struct town *t, struct node *n)
{
	static const enum ctr never[] = { CTR_conservation_broken,
	    CTR_recv_bad, CTR_recv_lost_records, CTR_recv_quarantined_chunks,
	    CTR_hop_bad_acks, CTR_queue_lost_records, CTR_lane_spoiled,
	    CTR_lane_lost_bytes, CTR_stream_evicted, CTR_backlog_refused };
	size_t i;

	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (town_ctr(t, n->who, never[i]) > 0)
			nth_wrong("%s: %s is %" PRIu64, kind_of[n->who]->name,
			    ctr_info[never[i]].name,
			    town_ctr(t, n->who, never[i]));
	if (n->ready && kind_of[n->who]->conserves != NULL &&
	    !kind_of[n->who]->conserves(n->role))
		nth_wrong("%s does not conserve", kind_of[n->who]->name);
}

static void
look_for_doubles(const struct town *t)
{
	const struct lane *l;
	unsigned i;

	for (l = t->lane; l < t->lane + LANES; l++)
		for (i = 0; i < l->made; i++)
			if (!t->uncertain && l->got[i] > 1)
				nth_wrong("record %td.%u came %u times",
				    l - t->lane, i, l->got[i]);
}

void
town_settle(struct town *t)
{
	struct node *n;
	unsigned i;

	for (i = 0; i < 240 && !(all_there(t) && nothing_held(t)); i++)
		town_run(t, 500 * MS);
	if (!all_there(t) || !nothing_held(t))
		tell_missing(t);
	look_for_doubles(t);
	for (n = t->node; n < t->node + WHO; n++)
		if (n->used)
			look_at_books(t, n);
}

/* ---- the whole ---- */

void
town_open(struct town *t, const struct town_conf *c, enum who victim,
    struct nth *nth)
{
	static const struct sim_faults none = { .net_delay_ns = MS,
	    .disk_delay_ns = MS };
	struct node *n;
	unsigned i;

	memset(t, 0, sizeof(*t));
	must(sim_new(&t->sim, 1, &none) == 0);
	sim_backend(t->sim, backend, t);
	t->makers = victim == MAKERS ? nth : NULL;
	for (i = WHO; i-- > 0;) {
		n = &t->node[i];
		n->t = t;
		n->who = (enum who)i;
		n->host = sim_host_new(t->sim, i == AGENT ? "agent" : "far");
		n->used = c->of[i] != NULL;
		if (!n->used)
			continue;
		n->conf = c->of[i];
		n->nth = n->who == victim ? nth : NULL;
		n->ctr = calloc(1, counters_bytes());
		must(n->ctr != NULL);
	}
	if (c->disks != NULL)
		c->disks(t);
	for (i = WHO; i-- > 0;)
		if (t->node[i].used)
			node_start(&t->node[i]);
}

void
town_close(struct town *t)
{
	unsigned i;

	for (i = 0; i < LANES; i++) {
		if (t->lane[i].open)
			writer_close(&t->lane[i].w, true);
		t->lane[i].open = false;
	}
	for (i = 0; i < WHO; i++)
		if (t->node[i].used)
			town_drain(t, (enum who)i);
	sim_free(&t->sim);
	for (i = 0; i < WHO; i++)
		free(t->node[i].ctr);
}
