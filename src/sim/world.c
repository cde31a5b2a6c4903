/* SPDX-License-Identifier: ISC */
/* world.c - events, time, random and processes of a simulated world */

#include "sim/inner.h"

#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "banned.h"

/* 2026-01-01T00:00:00Z: every world begins there. */
#define WALL_AT_START	UINT64_C(1767225600000000000)

void *
must_alloc(size_t n)
{
	void *p = calloc(1, n);

	must(p != NULL);	/* a test without memory has nothing to say */
	return p;
}

/* xoroshiro128+, seeded by splitmix64. */
uint64_t
rng_next(uint64_t r[2])
{
	uint64_t a = r[0], b = r[1], v = a + b;

	b ^= a;
	r[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
	r[1] = b << 37 | b >> 27;
	return v;
}

void
rng_seed(uint64_t r[2], uint64_t seed)
{
	uint64_t z;
	int i;

	for (i = 0; i < 2; i++) {
		seed += UINT64_C(0x9e3779b97f4a7c15);
		z = seed;
		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		r[i] = z ^ z >> 31;
	}
}

/* FNV-1a over whatever happens. */
void
sim_note(struct sim *s, const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n-- > 0)
		s->trace = (s->trace ^ *b++) * UINT64_C(0x100000001b3);
}

uint64_t
sim_random(struct sim *s, uint64_t below)
{
	return rng_next(s->rng) % below;
}

bool
sim_chance(struct sim *s, uint32_t per_million, enum sim_fault f)
{
	if (per_million == 0 || sim_random(s, 1000000) >= per_million)
		return false;
	s->fired[f]++;
	return true;
}

uint64_t
sim_now(const struct sim *s)
{
	return s->now_ns;
}

uint64_t
sim_trace(const struct sim *s)
{
	return s->trace;
}

uint64_t
sim_fired(const struct sim *s, enum sim_fault f)
{
	return s->fired[f];
}

struct sim_faults *
sim_odds(struct sim *s)
{
	return &s->faults;
}

void
sim_calm(struct sim *s)
{
	struct sim_host *h;
	struct sim_proc *p;

	s->faults.cut = s->faults.write_error = s->faults.fsync_error = 0;
	s->faults.read_error = 0;
	s->faults.one_byte = s->faults.together = 0;
	s->faults.late = s->faults.silent = 0;
	for (h = s->hosts; h != NULL; h = h->next) {
		h->dark_ns = h->bad_ns = 0;
		h->full = false;
	}
	for (p = s->procs; p != NULL; p = p->next)
		p->stopped = false;
}

uint64_t
sim_wall(const struct sim_host *h)
{
	return h->sim->wall_ns + h->sim->now_ns + (uint64_t)h->clock_ns;
}

void
sim_stop(struct sim_proc *p, bool stopped)
{
	p->host->sim->fired[FAULT_STOP] += stopped && !p->stopped;
	p->stopped = stopped;
}

void
sim_dark(struct sim_host *h, uint64_t until_ns)
{
	h->sim->fired[FAULT_DARK]++;
	h->dark_ns = until_ns;
}

void
sim_clock(struct sim_host *h, int64_t by_ns)
{
	h->sim->fired[FAULT_CLOCK]++;
	h->clock_ns += by_ns;
}

uint64_t
sim_read_fails(struct sim_host *h, uint64_t after, uint64_t n)
{
	uint64_t reads = h->reads;

	h->reads = 0;
	h->bad_from = after;
	h->bad_n = n;
	return reads;
}

size_t
sim_memory(const struct sim_proc *p, size_t *ret_most)
{
	*ret_most = p->bytes_most;
	return p->bytes;
}

void
sim_tap(struct sim *s, void (*tap)(void *arg, struct sim_tapped *t),
    void *arg)
{
	s->tap = tap;
	s->tap_arg = arg;
}

void
sim_backend(struct sim *s, int (*answer)(void *arg, struct post *post),
    void *arg)
{
	s->answer = answer;
	s->answer_arg = arg;
}

/* ---- the event heap ---- */

static bool
before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void
swap(struct sim *s, size_t i, size_t j)
{
	struct sim_event *e = s->heap[i];

	s->heap[i] = s->heap[j];
	s->heap[j] = e;
}

static void
sift_up(struct sim *s, size_t i)
{
	for (; i > 0 && before(s->heap[i], s->heap[(i - 1) / 2]);
	    i = (i - 1) / 2)
		swap(s, i, (i - 1) / 2);
}

static void
sift_down(struct sim *s, size_t i)
{
	size_t c;

	for (; (c = 2 * i + 1) < s->heap_n; i = c) {
		if (c + 1 < s->heap_n && before(s->heap[c + 1], s->heap[c]))
			c++;
		if (!before(s->heap[c], s->heap[i]))
			break;
		swap(s, i, c);
	}
}

struct sim_event *
sim_at(struct sim *s, uint64_t at_ns, void (*run)(struct sim_event *))
{
	struct sim_event *e = must_alloc(sizeof(*e));

	e->at_ns = at_ns > s->now_ns ? at_ns : s->now_ns;
	e->seq = s->event_seq++;
	e->run = run;
	if (s->heap_n == s->heap_cap) {
		s->heap_cap = s->heap_cap == 0 ? 256 : 2 * s->heap_cap;
		s->heap = realloc(s->heap, s->heap_cap * sizeof(*s->heap));
		must(s->heap != NULL);
	}
	s->heap[s->heap_n++] = e;
	sift_up(s, s->heap_n - 1);
	return e;
}

static void
complete_op(struct sim_event *e)
{
	if (e->op != NULL)
		loop_complete(e->proc->loop, e->op, e->res);
}

void
sim_later(struct sim_proc *p, struct op *op, int64_t res, uint64_t delay_ns)
{
	struct sim_event *e;

	e = sim_at(p->host->sim, p->host->sim->now_ns + delay_ns, complete_op);
	e->proc = p;
	e->op = op;
	e->res = res;
}

void
sim_forget(struct sim *s, struct op *op)
{
	size_t i;

	for (i = 0; i < s->heap_n; i++)
		if (s->heap[i]->op == op)
			s->heap[i]->op = NULL;
}

static void
pop_and_run(struct sim *s)
{
	struct sim_event *e = s->heap[0];
	uint64_t note[3];

	swap(s, 0, --s->heap_n);
	sift_down(s, 0);
	s->now_ns = e->at_ns;
	note[0] = e->at_ns;
	note[1] = (uint64_t)e->res;
	note[2] = (e->proc != NULL ? e->proc->number : 0) * UINT64_C(256) +
	    (e->op != NULL ? e->op->kind : 0);
	sim_note(s, note, sizeof(note));
	e->run(e);
	free(e);
}

/* ---- running ---- */

static uint64_t
next_instant(struct sim *s)
{
	uint64_t at = s->heap_n > 0 ? s->heap[0]->at_ns : UINT64_MAX, due;
	struct sim_proc *p;

	for (p = s->procs; p != NULL; p = p->next) {
		if (p->stopped)
			continue;
		due = loop_ready(p->loop) > 0 ? s->now_ns : loop_due(p->loop);
		at = due < at ? due : at;
	}
	return at < s->now_ns ? s->now_ns : at;
}

/* One turn of the first process that has something to do; false: none. */
static bool
turn_one(struct sim *s)
{
	struct sim_proc *p;

	for (p = s->procs; p != NULL; p = p->next)
		if (!p->stopped && (loop_ready(p->loop) > 0 ||
		    loop_due(p->loop) <= s->now_ns)) {
			loop_turn(p->loop, false);
			return true;
		}
	return false;
}

uint64_t
sim_run(struct sim *s, uint64_t until_ns, bool (*done)(void *arg), void *arg)
{
	uint64_t at, n = 0;

	while (done == NULL || !done(arg)) {
		at = next_instant(s);
		if (at > until_ns || at == UINT64_MAX) {
			if (until_ns != UINT64_MAX)
				s->now_ns = until_ns;	/* nothing until then */
			break;
		}
		s->now_ns = at;
		n++;
		if (!turn_one(s) && s->heap_n > 0 && s->heap[0]->at_ns <= at)
			pop_and_run(s);
	}
	return n;
}

/* ---- processes ---- */

static void
poll_clear(struct sim_proc *p)
{
	p->polls = NULL;
}

struct sim_proc *
sim_proc_new(struct sim_host *h, const char *name)
{
	struct sim *s = h->sim;
	struct sim_proc *p, **end;

	p = must_alloc(sizeof(*p));
	p->host = h;
	p->number = ++s->procs_ever;
	snprintf(p->name, sizeof(p->name), "%s", name);
	rng_seed(p->rng, rng_next(s->rng));
	lanes_init(p);
	must(loop_make(&p->loop, &sim_backend_table, p) == 0);
	for (end = &s->procs; *end != NULL; end = &(*end)->next)
		continue;
	*end = p;
	return p;
}

struct loop *
sim_loop(struct sim_proc *p)
{
	return p->loop;
}

const struct shm_sys *
sim_shm(struct sim_proc *p)
{
	return &p->shm;
}

union mem_head {
	struct sim_mem	 m;
	max_align_t	 align;
	char		 pad[32];
};

void *
sim_alloc(void *proc, size_t n)
{
	struct sim_proc *p = proc;
	union mem_head *h;

	h = calloc(1, sizeof(*h) + n);
	if (h == NULL)
		return NULL;
	h->m.next = p->mem;
	h->m.prevp = &p->mem;
	h->m.bytes = n;
	if (p->mem != NULL)
		p->mem->prevp = &h->m.next;
	p->mem = &h->m;
	p->bytes += n;
	if (p->bytes > p->bytes_most)
		p->bytes_most = p->bytes;
	return h + 1;
}

void
sim_release(void *proc, void *ptr)
{
	union mem_head *h = (union mem_head *)ptr - 1;
	struct sim_proc *p = proc;

	p->bytes -= h->m.bytes;
	*h->m.prevp = h->m.next;
	if (h->m.next != NULL)
		h->m.next->prevp = h->m.prevp;
	free(h);
}

static void
drop_events(struct sim *s, struct sim_proc *p)
{
	size_t i, n = 0;

	for (i = 0; i < s->heap_n; i++) {
		if (s->heap[i]->proc == p)
			free(s->heap[i]);
		else
			s->heap[n++] = s->heap[i];
	}
	s->heap_n = n;
	for (i = n; i-- > 0;)
		sift_down(s, i);
}

static void
close_all(struct sim_proc *p, bool reset)
{
	struct loop_watch *w;
	int fd;

	for (fd = 0; fd < SIM_FDS; fd++) {
		if (p->fd[fd].kind == FD_SOCK || p->fd[fd].kind == FD_LISTEN)
			net_close(p, fd, reset);
		else if (p->fd[fd].kind == FD_FILE)
			disk_close(p, fd);
	}
	lanes_unmap_all(p);
	while ((w = p->watches) != NULL) {
		p->watches = w->next;
		free(w);
	}
}

/*
 * The loop's own memory goes without its asking for what is pending; names
 * listed and not looked at yet are no memory of the process.
 */
static void
free_loop(struct sim_proc *p)
{
	struct op *op;

	for (op = p->loop->ready; op != NULL; op = op->next)
		if (op->kind == OP_LIST && op->res > 0)
			op_list_free(op);
	p->loop->pending = 0;
	p->loop->ready = NULL;
	p->loop->ready_n = 0;
	p->loop->timers = NULL;
	loop_free(&p->loop);
}

static void
gone(struct sim_proc *p, bool reset)
{
	struct sim *s = p->host->sim;
	struct sim_proc **pp;
	struct sim_mem *m;

	poll_clear(p);
	drop_events(s, p);
	close_all(p, reset);
	drop_events(s, p);
	free_loop(p);
	while ((m = p->mem) != NULL) {
		p->mem = m->next;
		free(m);
	}
	for (pp = &s->procs; *pp != p; pp = &(*pp)->next)
		continue;
	*pp = p->next;
	free(p);
}

void
sim_crash(struct sim_proc *p)
{
	struct sim_host *h = p->host;

	h->sim->fired[FAULT_PROC_CRASH]++;
	gone(p, true);
	disk_evict(h);
}

void
sim_end(struct sim_proc *p)
{
	must(loop_pending(p->loop) == 0);
	gone(p, false);
}

/* Half of its connections hear of it when they are used, the others never. */
static void
hush(struct sim_proc *p)
{
	struct sim *s = p->host->sim;
	struct sock *k;
	int fd;

	for (fd = 0; fd < SIM_FDS; fd++) {
		k = p->fd[fd].kind == FD_SOCK ? p->fd[fd].sock : NULL;
		if (k == NULL || k->pair || k->peer == NULL ||
		    sim_random(s, 2) == 0)
			continue;
		k->silent = k->peer->silent = true;
		s->fired[FAULT_SILENT]++;
	}
}

void
sim_power_loss(struct sim_host *h)
{
	struct sim *s = h->sim;
	struct sim_proc *p, *next;

	s->fired[FAULT_HOST_CRASH]++;
	for (p = s->procs; p != NULL; p = next) {
		next = p->next;
		if (p->host != h)
			continue;
		hush(p);
		gone(p, true);
	}
	disk_power_loss(h);
}

/* ---- the world ---- */

int
sim_new(struct sim **ret_sim, uint64_t seed, const struct sim_faults *faults)
{
	struct sim *s = must_alloc(sizeof(*s));

	s->faults = *faults;
	s->now_ns = UINT64_C(1000000000);
	s->wall_ns = WALL_AT_START;
	s->trace = UINT64_C(0xcbf29ce484222325);
	s->next_port = 40000;
	rng_seed(s->rng, seed);
	*ret_sim = s;
	return 0;
}

struct sim_host *
sim_host_new(struct sim *s, const char *name)
{
	struct sim_host *h = must_alloc(sizeof(*h)), **end;

	h->sim = s;
	h->next_ino = 1;
	snprintf(h->name, sizeof(h->name), "%s", name);
	for (end = &s->hosts; *end != NULL; end = &(*end)->next)
		continue;
	*end = h;
	return h;
}

void
sim_free(struct sim **sp)
{
	struct sim *s = *sp;
	struct sim_host *h;
	size_t i;

	if (s == NULL)
		return;
	while (s->procs != NULL)
		gone(s->procs, true);
	/* What still flies between sockets holds them. */
	while (s->heap_n > 0)
		pop_and_run(s);
	while ((h = s->hosts) != NULL) {
		s->hosts = h->next;
		disk_free(h);
		free(h);
	}
	for (i = 0; i < s->heap_n; i++)
		free(s->heap[i]);
	free(s->heap);
	free(s);
	*sp = NULL;
}
