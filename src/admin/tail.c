/* SPDX-License-Identifier: ISC */
/*
 * tail.c - emplogd tail: records as they stand in the lanes
 *
 * Lanes are read without moving them, with or without an agent, living, dead
 * and kept.  A record shows at most LOOK_MS and a little after it was
 * written.  Between two looks lanes are put in order by time; a record that
 * was delayed longer comes late, as it would from any other pipe.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "admin/human.h"
#include "admin/lanes.h"
#include "admin/show.h"
#include "forward/mp.h"
#include "forward/walk.h"
#include "banned.h"

#define LOOK_MS		100
#define LINES_DEFAULT	20u
#define LINES_MAX	100000u
#define COPY_BYTES	READER_COPY_MIN(LANE_DATA_MAX)

struct line {
	uint64_t	 time_ns;
	uint64_t	 nth;		/* as read: keeps a lane's order */
	char		*text;
};

struct tail {
	struct admin	*a;
	struct lanes	 lanes;
	const char	*job, *worker, *event;
	int		 level;		/* least; -1 all */
	bool		 follow, json;
	bool		 old;		/* show what was there before us */
	unsigned	 keep;		/* -n */
	struct line	*line;		/* not printed yet */
	size_t		 n, cap;
	uint64_t	 nth;
	uint64_t	 skipped;	/* times the writer overtook us */
	uint64_t	 bad;		/* runs of bytes that are no records */
	uint8_t		*buf;
	bool		 oom;
};

static bool
is_wanted(const json_t *record, enum field_id field, const char *want)
{
	const char *s = want == NULL ? NULL :
	    json_string_value(show_field(record, field));

	return want == NULL || (s != NULL && strcmp(s, want) == 0);
}

static bool
wanted(const struct tail *t, const json_t *record)
{
	int level = t->level < 0 ? -1 :
	    show_level(show_field(record, F_level));

	if (level >= 0 && level < t->level)
		return false;
	return is_wanted(record, F_job_id, t->job) &&
	    is_wanted(record, F_worker_id, t->worker) &&
	    is_wanted(record, F_event_type, t->event);
}

static int
by_time(const void *x, const void *y)
{
	const struct line *a = x, *b = y;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return a->nth < b->nth ? -1 : 1;
}

/* Forgets all but the newest keep lines. */
static void
cut_lines(struct tail *t, size_t keep)
{
	size_t drop, i;

	qsort(t->line, t->n, sizeof(t->line[0]), by_time);
	if (t->n <= keep)
		return;
	drop = t->n - keep;
	for (i = 0; i < drop; i++)
		free(t->line[i].text);
	memmove(t->line, t->line + drop, keep * sizeof(t->line[0]));
	t->n = keep;
}

static void
add_line(struct tail *t, uint64_t time_ns, char *text)
{
	struct line *more;
	size_t cap;

	if (t->n == t->cap && t->cap > 2 * (size_t)LINES_MAX)
		cut_lines(t, t->old ? t->keep : LINES_MAX);
	if (t->n == t->cap) {
		cap = t->cap == 0 ? 256 : 2 * t->cap;
		more = realloc(t->line, cap * sizeof(*more));
		if (more == NULL) {
			t->oom = true;
			free(text);
			return;
		}
		t->line = more;
		t->cap = cap;
	}
	t->line[t->n++] = (struct line){ .time_ns = time_ns, .nth = t->nth++,
	    .text = text };
}

static void
take_entry(struct tail *t, const struct entry *e, const json_t *identity)
{
	json_t *record = show_json(e->record);
	char *text = NULL;
	size_t size;
	FILE *f;

	if (record == NULL)
		return;
	show_identity(record, identity);
	if (!wanted(t, record))
		goto out;
	f = open_memstream(&text, &size);
	if (f == NULL) {
		t->oom = true;
		goto out;
	}
	if (t->json)
		show_json_line(f, record, e->time_ns);
	else
		show_line(f, record, e->time_ns);
	if (fclose(f) == 0 && text != NULL)
		add_line(t, e->time_ns, text);
	else
		t->oom = true;
out:
	json_decref(record);
}

static void
take_bytes(struct tail *t, struct bytes body, const json_t *identity)
{
	struct mp m = mp_of(body);
	struct entry e;

	while (walk_entry(&m, &e) == 0)
		if (!e.group_mark)
			take_entry(t, &e, identity);
	if (m.p < m.end)
		t->bad++;
}

/* Everything new of one lane. */
static void
take_lane(struct tail *t, struct watched *w)
{
	json_t *identity;
	bool skipped;
	size_t n;

	if (w->error < 0)
		return;
	if (!w->begun) {
		w->begun = true;
		w->pos = reader_oldest(&w->r);
	}
	identity = w->r.identity_len == 0 ? NULL :
	    show_json(bytes_of(w->r.identity, w->r.identity_len));
	do {
		n = reader_copy(&w->r, &w->pos, t->buf, COPY_BYTES, &skipped);
		t->skipped += skipped;
		if (n > 0)
			take_bytes(t, bytes_of(t->buf, n), identity);
	} while (n > 0 && !t->oom);
	json_decref(identity);
}

static void
on_gone(void *arg, struct watched *w)
{
	take_lane(arg, w);		/* what came since the last look */
}

static void
print_lines(struct tail *t, size_t keep)
{
	size_t i;

	if (t->n > 0)
		cut_lines(t, keep);
	for (i = 0; i < t->n; i++) {
		fputs(t->line[i].text, t->a->out);
		free(t->line[i].text);
	}
	t->n = 0;
	fflush(t->a->out);
}

static int
look(struct tail *t, size_t keep)
{
	unsigned i;
	int r;

	r = lanes_scan(&t->lanes);
	if (r < 0)
		return r;
	for (i = 0; i < t->lanes.n; i++)
		take_lane(t, t->lanes.v[i]);
	print_lines(t, keep);
	t->old = false;
	return t->oom ? -ENOMEM : 0;
}

static void
tell_losses(struct tail *t)
{
	if (t->skipped > 0)
		fprintf(t->a->err, "emplogd tail: records were overwritten "
		    "before they were read, %" PRIu64 " times\n", t->skipped);
	if (t->bad > 0)
		fprintf(t->a->err, "emplogd tail: %" PRIu64 " pieces of lanes "
		    "hold no records any more\n", t->bad);
	t->skipped = t->bad = 0;
}

/* Somebody else's lanes, for one: said once, as their records are missed. */
static void
tell_unread(const struct tail *t)
{
	const struct watched *w;
	unsigned n = t->lanes.more, i;

	for (i = 0; i < t->lanes.n; i++) {
		w = t->lanes.v[i];
		n += w->error < 0 && w->error != -EAGAIN &&
		    w->error != -ENOENT;
	}
	if (n > 0)
		fprintf(t->a->err, "emplogd tail: %u lanes cannot be read; "
		    "emplogd ring says why\n", n);
}

/* Waits; false when nobody reads any more, as behind "| head". */
static bool
is_read(struct tail *t)
{
	struct pollfd p = { .fd = fileno(t->a->out) };

	return poll(&p, 1, LOOK_MS) <= 0;
}

static int
run(struct tail *t)
{
	int r;

	r = look(t, t->keep);
	if (r == 0 && t->lanes.error < 0 && !t->follow) {
		fprintf(t->a->err, "emplogd tail: '%s' cannot be read: %s\n",
		    t->lanes.dir[0], strerror(-t->lanes.error));
		return 1;
	}
	tell_unread(t);
	while (r == 0 && t->follow && !ferror(t->a->out) &&
	    (t->a->go_on == NULL || t->a->go_on(t->a->arg))) {
		tell_losses(t);
		if (!is_read(t))
			break;
		r = look(t, SIZE_MAX);
	}
	tell_losses(t);
	if (r < 0)
		fprintf(t->a->err, "emplogd tail: %s\n", strerror(-r));
	return r < 0 || ferror(t->a->out) ? 1 : 0;
}

static int
parse_lines(struct tail *t, const char *text)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *text == '-' ||
	    n > LINES_MAX)
		return admin_usage(t->a, "tail", "'%s' is not a number from "
		    "0 to %u", text, LINES_MAX);
	t->keep = (unsigned)n;
	return 0;
}

static int
parse_level(struct tail *t, const char *text)
{
	json_t *word = json_string(text);

	t->level = show_level(word);
	json_decref(word);
	if (t->level < 0)
		return admin_usage(t->a, "tail", "'%s' is not trace, debug, "
		    "info, warn, error or fatal", text);
	return 0;
}

static int
parse(struct tail *t, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "lines", required_argument, NULL, 'n' },
		{ "job", required_argument, NULL, 'j' },
		{ "worker", required_argument, NULL, 'w' },
		{ "level", required_argument, NULL, 'l' },
		{ "event", required_argument, NULL, 'e' },
		{ "json", no_argument, NULL, 'J' },
		{ 0 },
	};
	int c, r = 0;

	optind = 0;
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "+fn:", longs,
	    NULL)) != -1)
		switch (c) {
		case 'f': t->follow = true; break;
		case 'n': r = parse_lines(t, optarg); break;
		case 'j': t->job = optarg; break;
		case 'w': t->worker = optarg; break;
		case 'l': r = parse_level(t, optarg); break;
		case 'e': t->event = optarg; break;
		case 'J': t->json = true; break;
		default:
			r = admin_usage(t->a, "tail", "'%s' is not understood",
			    argv[optind > 1 ? optind - 1 : 1]);
			break;
		}
	if (r == 0 && optind < argc)
		r = admin_usage(t->a, "tail", "'%s' is not understood",
		    argv[optind]);
	return r;
}

int
admin_tail(int argc, char **argv, struct admin *a)
{
	struct tail *t;
	int r;

	t = calloc(1, sizeof(*t));
	if (t == NULL) {
		fprintf(a->err, "emplogd tail: cannot start: %s\n",
		    strerror(ENOMEM));
		return 1;
	}
	t->a = a;
	t->level = -1;
	t->keep = LINES_DEFAULT;
	t->old = true;
	r = parse(t, argc, argv);
	if (r != 0)
		goto out;
	r = 1;
	t->buf = malloc(COPY_BYTES);
	if (t->buf == NULL || reader_guard_install() < 0) {
		fprintf(a->err, "emplogd tail: cannot start: %s\n",
		    strerror(errno));
		goto out;
	}
	lanes_init(&t->lanes, a->sys != NULL ? a->sys : &shm_sys_os,
	    conf_text(a->conf, KEY_common_ring_dir),
	    conf_text(a->conf, KEY_common_state_dir));
	t->lanes.gone = on_gone;
	t->lanes.arg = t;
	r = run(t);
	lanes_fini(&t->lanes);
out:
	free(t->line);
	free(t->buf);
	free(t);
	return r;
}
