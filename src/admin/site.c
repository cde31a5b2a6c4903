/* SPDX-License-Identifier: ISC */
/* site.c - the roles of some state directories; see site.h */

#include "admin/site.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "admin/human.h"
#include "admin/uids.h"
#include "banned.h"

/* A little less than the letters' queue remembers: see queue/streams.h. */
#define DEAD_KNOWN	(UINT64_C(6) * 24 * 60 * 60 * 1000000000)

static const struct {
	const char	*role;
	const char	*queue;
} kinds[] = {
	[PART_AGENT] = { "agent", "spill" },
	[PART_RELAY] = { "relay", "0" },
	[PART_EXPORTER] = { "exporter", "0" },
};

int
sites_init(struct sites *st)
{
	int r;

	memset(st, 0, sizeof(*st));
	r = env_init(&st->env, NULL, "audit");
	st->env.log_fd = -1;
	return r;
}

static bool
is_dir(const char *dir, const char *leaf)
{
	char path[512];
	struct stat s;

	snprintf(path, sizeof(path), "%s/%s", dir, leaf);
	return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

int
sites_add(struct sites *st, const char *state_dir)
{
	struct part *p;
	unsigned k;

	if (st->n + 3 > PARTS_MAX)
		return -ENOSPC;
	for (k = PART_AGENT; k <= PART_EXPORTER; k++) {
		p = &st->part[st->n++];
		*p = (struct part){ .kind = (enum part_kind)k,
		    .role = kinds[k].role };
		snprintf(p->dir, sizeof(p->dir), "%s/%s", state_dir, p->role);
		p->there = is_dir(p->dir, ".");
	}
	return 0;
}

static void
drop(struct part *p)
{
	unsigned i;

	if (p->c.head != NULL)
		counters_fini(&p->c);
	memset(&p->c, 0, sizeof(p->c));
	stock_fini(&p->stock);
	stock_fini(&p->dead);
	streams_free(&p->bad);
	for (i = FATE_BEFORE; i < FATE_COUNT; i++)
		streams_free(&p->fate[i]);
}

void
sites_drop(struct sites *st)
{
	unsigned i;

	for (i = 0; i < st->n; i++)
		drop(&st->part[i]);
}

void
sites_fini(struct sites *st)
{
	sites_drop(st);
	env_fini(&st->env);
}

/* "<stream>-<from>-<when>-<n>.<why>", as long as its range. */
static int
quarantined(struct part *p, struct env *env, const char *dir, const char *name)
{
	uint8_t id[STREAM_ID_LEN];
	char path[800], text[64];
	size_t n = strcspn(name, "-");
	uint64_t from;
	struct stat s;
	int r = 0;

	if (n != 2 * STREAM_ID_LEN)
		return 0;
	snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, name);
	text[n] = ':';
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (uid_parse(text, '-', id, &from) && stat(path, &s) == 0 &&
	    S_ISREG(s.st_mode))
		r = streams_add(p->bad, id, from, from + (uint64_t)s.st_size,
		    false, 0);
	return r == -ENOMEM ? r : 0;
}

static int
read_quarantine(struct part *p, struct env *env)
{
	char dir[512];
	struct dirent *e;
	DIR *d;
	int r;

	r = streams_new(&p->bad, env);
	if (r < 0)
		return r;
	snprintf(dir, sizeof(dir), "%s/quarantine", p->dir);
	d = opendir(dir);
	if (d == NULL)
		return 0;
	while (r == 0 && (e = readdir(d)) != NULL)
		r = quarantined(p, env, dir, e->d_name);
	closedir(d);
	return r;
}

void
part_recount(struct part *p)
{
	char path[512];

	if (p->c.head != NULL)
		counters_fini(&p->c);
	snprintf(path, sizeof(path), "%s/counters", p->dir);
	p->c_error = counters_peek(&p->c, path);
	if (p->c_error < 0) {
		memset(&p->c, 0, sizeof(p->c));
		return;
	}
	p->sent_on = p->ends && ctr_get(&p->c, CTR_hop_acked_chunks) > 0;
	p->running = p->c.held != 0 && strcmp(p->c.head->state, "done") != 0;
	p->local = p->ends && is_dir(p->dir, "export") &&
	    ctr_get(&p->c, CTR_export_requests) == 0;
}

static void
see_fate(void *arg, const struct fate_entry *e)
{
	struct part *p = arg;
	uint32_t fate = e->fate;
	int r;

	if (fate == FATE_DEAD &&
	    human_since(human_now(), e->noted_ns) > DEAD_KNOWN)
		fate = FATE_BEFORE;
	r = streams_add(p->fate[fate], e->stream, e->from, e->to, false, 0);
	if (r < 0)
		p->fates_error = r;
}

static int
read_fates(struct part *p, struct env *env)
{
	char path[512];
	unsigned i;
	int r = 0;

	for (i = FATE_BEFORE; i < FATE_COUNT && r == 0; i++)
		r = streams_new(&p->fate[i], env);
	if (r < 0)
		return r;
	p->fates_error = 0;
	snprintf(path, sizeof(path), "%s/fates", p->dir);
	r = fates_read(path, see_fate, p, &p->evicted);
	if (r < 0)
		p->fates_error = r;
	return p->fates_error == -ENOMEM ? -ENOMEM : 0;
}

static int
read_part(struct sites *st, struct part *p,
    void (*before)(void *arg, struct part *p), stock_see *see, void *arg)
{
	char dir[512];
	int r;

	p->ends = p->kind != PART_AGENT && is_dir(p->dir, "dead");
	part_recount(p);
	r = read_quarantine(p, &st->env);
	if (r < 0)
		return r;
	if (before != NULL)
		before(arg, p);
	snprintf(dir, sizeof(dir), "%s/dead", p->dir);
	p->dead_error = p->ends ? stock_read(&p->dead, &st->env, dir, NULL,
	    NULL) : -ENOENT;
	snprintf(dir, sizeof(dir), "%s/%s", p->dir, kinds[p->kind].queue);
	p->stock_error = stock_read(&p->stock, &st->env, dir, see, arg);
	if (p->stock_error == -ENOMEM)
		return -ENOMEM;
	/* After the queue: what is committed there is noted already. */
	return read_fates(p, &st->env);
}

int
sites_read(struct sites *st, void (*before)(void *arg, struct part *p),
    stock_see *see, void *arg)
{
	unsigned i, k;
	int r = 0;

	sites_drop(st);
	for (k = PART_AGENT; k <= PART_EXPORTER && r == 0; k++)
		for (i = 0; i < st->n && r == 0; i++)
			if (st->part[i].kind == k && st->part[i].there)
				r = read_part(st, &st->part[i], before, see,
				    arg);
	return r;
}
