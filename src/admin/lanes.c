/* SPDX-License-Identifier: ISC */
/* lanes.c - all lanes of a host, seen by an observer; see lanes.h */

#include "admin/lanes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define ID_HEX		(2 * LANE_ID_LEN)
#define SUFFIX		5		/* of ".lane" and of ".dead" */

struct scan {
	struct lanes	*ls;
	const char	*dir;
	int		 error;
};

void
lanes_init(struct lanes *ls, const struct shm_sys *sys, const char *ring_dir,
    const char *state_dir)
{
	*ls = (struct lanes){ .sys = sys };
	snprintf(ls->dir[0], sizeof(ls->dir[0]), "%s", ring_dir);
	snprintf(ls->dir[1], sizeof(ls->dir[1]), "%s/ring", state_dir);
}

static void
let_go(struct lanes *ls, unsigned i)
{
	struct watched *w = ls->v[i];

	if (w->error == 0) {
		if (ls->gone != NULL)
			ls->gone(ls->arg, w);
		reader_detach(&w->r);
	}
	free(w);
	ls->v[i] = ls->v[--ls->n];
}

void
lanes_fini(struct lanes *ls)
{
	ls->gone = NULL;
	while (ls->n > 0)
		let_go(ls, ls->n - 1);
}

static bool
is_lane_name(const char *name)
{
	size_t n = strlen(name);

	return n == ID_HEX + SUFFIX &&
	    strspn(name, "0123456789abcdef") == ID_HEX &&
	    (strcmp(name + ID_HEX, ".lane") == 0 ||
	    strcmp(name + ID_HEX, ".dead") == 0);
}

static struct watched *
find(struct lanes *ls, const char *dir, const char *name)
{
	unsigned i;

	for (i = 0; i < ls->n; i++)
		if (ls->v[i]->dir == dir &&
		    strncmp(ls->v[i]->name, name, ID_HEX) == 0)
			return ls->v[i];
	return NULL;
}

static void
attach_as(struct lanes *ls, struct watched *w, const char *suffix)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s%s", w->dir, w->name, suffix);
	w->error = reader_attach(&w->r, ls->sys, path, false);
}

/*
 * The agent may rename it, or remove it, between its listing and its opening:
 * one that is gone by then is none.
 */
static void
attach(struct lanes *ls, struct watched *w)
{
	attach_as(ls, w, w->dead_name ? ".dead" : ".lane");
	if (w->error == -ENOENT && !w->dead_name) {
		w->dead_name = true;
		attach_as(ls, w, ".dead");
	}
	w->here = w->error != -ENOENT;
	if (w->error == 0 && !reader_has_name(&w->r, w->name)) {
		reader_detach(&w->r);
		w->error = -EBADMSG;	/* its process wrote over it */
	}
}

/* One name of a directory. */
static void
on_name(void *ctx, const char *name)
{
	struct scan *sc = ctx;
	struct watched *w;
	bool dead;

	if (!is_lane_name(name))
		return;
	dead = strcmp(name + ID_HEX, ".dead") == 0;
	w = find(sc->ls, sc->dir, name);
	if (w == NULL && sc->ls->n == LANES_MAX) {
		sc->ls->more++;
		return;
	}
	if (w == NULL) {
		w = calloc(1, sizeof(*w));
		if (w == NULL) {
			sc->error = -ENOMEM;
			return;
		}
		snprintf(w->name, sizeof(w->name), "%.*s", (int)ID_HEX, name);
		w->dir = sc->dir;
		w->error = -EAGAIN;
		sc->ls->v[sc->ls->n++] = w;
	}
	w->here = true;
	w->dead_name = dead;
	if (w->error == -EAGAIN || w->error == -ENOENT)
		attach(sc->ls, w);
}

int
lanes_scan(struct lanes *ls)
{
	struct scan sc = { .ls = ls };
	unsigned i;
	int r;

	for (i = 0; i < ls->n; i++)
		ls->v[i]->here = false;
	ls->more = 0;
	ls->error = 0;
	for (i = 0; i < 2; i++) {
		sc.dir = ls->dir[i];
		r = ls->sys->list(ls->sys->arg, sc.dir, on_name, &sc);
		if (i == 0)
			ls->error = r < 0 ? r : 0;
	}
	for (i = ls->n; i > 0; i--)
		if (!ls->v[i - 1]->here)
			let_go(ls, i - 1);
	return sc.error;
}
