/* SPDX-License-Identifier: ISC */
/*
 * dlq.c - emplogd dlq: the records no backend takes, and what to do with them
 *
 * Reading needs no daemon.  Giving back and dropping is asked of the daemon
 * that has the letters (asked.h): running, it does it now; stopped, at its
 * next start.  So there is one writer, and its counters have everything.
 */

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/human.h"
#include "admin/letters.h"
#include "admin/show.h"
#include "export/asked.h"
#include "forward/mp.h"
#include "forward/walk.h"
#include "banned.h"

#define HOMES		2
#define PICKS_MAX	256u
#define WAIT_MS		3000
#define LOOK_MS		20
#define HEX_MAX		32u

struct pick {				/* an argument: letters of a role */
	unsigned	 home;		/* HOMES: whichever has any */
	uint64_t	 first, last;
	bool		 found;
};

/* Letters with one note, one after the other: a line of ls. */
struct run {
	uint64_t	 first, last, letters, bytes;
	uint64_t	 from_ns, to_ns;
	json_t		*note;		/* NULL: there is no run yet */
};

struct home {				/* a role's letters */
	const char	*role;
	char		 dir[512];
	int64_t		 n;		/* kept, or -errno */
};

struct dlq {
	struct admin	*a;
	bool		 json, yes;
	struct home	 home[HOMES];
	unsigned	 at;		/* the home that is read */
	struct pick	 pick[PICKS_MAX];
	unsigned	 picks;
	/* ls */
	struct run	 run;
	uint64_t	 total, total_bytes;
	/* replay, drop */
	struct asked_for *want;
	uint64_t	 asked;		/* letters in want */
	char		 path[1024];	/* of the last request */
	int		 error;
};

/* ---- which letters ---- */

static bool
is_picked(struct dlq *q, uint64_t number)
{
	bool hit = q->picks == 0;
	unsigned i;

	for (i = 0; i < q->picks; i++)
		if ((q->pick[i].home == HOMES || q->pick[i].home == q->at) &&
		    number >= q->pick[i].first && number <= q->pick[i].last)
			hit = q->pick[i].found = true;
	return hit;
}

static bool
number_at(const char **at, uint64_t *ret_n)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*ret_n = strtoull(*at, &end, 10);
	*at = end;
	return errno == 0;
}

/* "7", "7-9", "relay/7-9" */
static bool
parse_pick(struct dlq *q, const char *arg)
{
	struct pick *p = &q->pick[q->picks];
	const char *slash = strchr(arg, '/'), *at = arg;

	if (q->picks == PICKS_MAX)
		return false;
	*p = (struct pick){ .home = HOMES };
	if (slash != NULL) {
		for (p->home = 0; p->home < HOMES; p->home++)
			if (strlen(q->home[p->home].role) ==
			    (size_t)(slash - arg) && memcmp(arg,
			    q->home[p->home].role, (size_t)(slash - arg)) == 0)
				break;
		if (p->home == HOMES)
			return false;
		at = slash + 1;
	}
	if (!number_at(&at, &p->first))
		return false;
	p->last = p->first;
	if (*at == '-' && (at++, !number_at(&at, &p->last)))
		return false;
	q->picks++;
	return *at == '\0' && p->first <= p->last;
}

/* Of two roles with letters a bare number means neither. */
static bool
is_ambiguous(const struct dlq *q)
{
	unsigned i;

	if (q->home[0].n <= 0 || q->home[1].n <= 0)
		return false;
	for (i = 0; i < q->picks; i++)
		if (q->pick[i].home == HOMES)
			return true;
	return false;
}

static int
missing(struct dlq *q)
{
	int r = 0;
	unsigned i;

	for (i = 0; i < q->picks; i++)
		if (!q->pick[i].found) {
			fprintf(q->a->err, "emplogd dlq: there is no dead "
			    "letter %" PRIu64 "\n", q->pick[i].first);
			r = 1;
		}
	return r;
}

/* Each letter of each role; roles that have none are passed over. */
static int
each_home(struct dlq *q, void (*each)(void *arg, const struct letter *l))
{
	int r = 0;

	for (q->at = 0; q->at < HOMES; q->at++) {
		struct home *h = &q->home[q->at];

		h->n = letters_each(h->dir, each, q);
		if (h->n >= 0 || h->n == -ENOENT)
			continue;
		fprintf(q->a->err, "emplogd dlq: '%s' cannot be read: %s\n",
		    h->dir, strerror((int)-h->n));
		r = 1;
	}
	return r;
}

/* ---- ls ---- */

/* Bytes of a stranger's as text that is UTF-8. */
static json_t *
text_of(struct bytes b)
{
	uint8_t buf[512];
	struct mpw w = { buf, buf + sizeof(buf), false };
	json_t *text;

	b.n = b.n < 400 ? b.n : 400;
	mpw_str(&w, b);
	text = show_json(bytes_of(buf, (size_t)(w.p - buf)));
	return text != NULL ? text : json_string("?");
}

static json_t *
note_json(const struct letter_note *n)
{
	return json_pack("{s:o, s:i, s:o, s:o, s:o}",
	    "why", text_of(n->why), "status", n->status,
	    "words", text_of(n->words), "endpoint", text_of(n->endpoint),
	    "dataset", text_of(n->dataset));
}

static void
time_text(uint64_t ns, char text[32])
{
	time_t s = (time_t)(ns / UINT64_C(1000000000));
	struct tm tm;

	if (ns == 0 || gmtime_r(&s, &tm) == NULL)
		snprintf(text, 32, "-");
	else
		strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void
put_note(FILE *out, const char *before, const json_t *note, const char *key)
{
	const char *s = json_string_value(json_object_get(note, key));

	if (s == NULL || *s == '\0')
		return;
	fputs(before, out);
	human_put(out, s);
}

static void
print_run(struct dlq *q)
{
	const struct run *r = &q->run;
	FILE *out = q->a->out;
	char from[32], to[32];
	int64_t status = json_integer_value(json_object_get(r->note,
	    "status"));

	time_text(r->from_ns, from);
	time_text(r->to_ns, to);
	fprintf(out, "%s/%" PRIu64, q->home[q->at].role, r->first);
	if (r->last != r->first)
		fprintf(out, "-%" PRIu64, r->last);
	fprintf(out, "  %" PRIu64 " record%s  %s  %s", r->letters,
	    r->letters == 1 ? "" : "s", human_bytes(r->bytes).text, from);
	if (strcmp(from, to) != 0)
		fprintf(out, " to %s", to);
	put_note(out, "  ", r->note, "why");
	if (status > 0)
		fprintf(out, ", HTTP %" PRId64, status);
	put_note(out, ": ", r->note, "words");
	put_note(out, "; ", r->note, "endpoint");
	put_note(out, ", dataset ", r->note, "dataset");
	fputc('\n', out);
}

static void
print_run_json(struct dlq *q)
{
	const struct run *r = &q->run;
	char from[32], to[32], *dump;
	json_t *o;

	time_text(r->from_ns, from);
	time_text(r->to_ns, to);
	o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:s}",
	    "role", q->home[q->at].role, "first", (json_int_t)r->first,
	    "last", (json_int_t)r->last, "records", (json_int_t)r->letters,
	    "bytes", (json_int_t)r->bytes, "from", from, "to", to);
	json_object_update(o, r->note);
	dump = json_dumps(o, JSON_COMPACT);
	human_put_json(q->a->out, dump != NULL ? dump : "{}");
	fputc('\n', q->a->out);
	free(dump);
	json_decref(o);
}

static void
end_run(struct dlq *q)
{
	if (q->run.note == NULL)
		return;
	if (q->json)
		print_run_json(q);
	else
		print_run(q);
	json_decref(q->run.note);
	q->run = (struct run){ 0 };
}

static void
list_letter(void *arg, const struct letter *l)
{
	struct dlq *q = arg;
	struct run *r = &q->run;
	json_t *note;

	if (!is_picked(q, l->number))
		return;
	note = note_json(&l->note);
	if (r->note != NULL && (l->number != r->last + 1 ||
	    !json_equal(note, r->note)))
		end_run(q);
	if (r->note == NULL)
		*r = (struct run){ .first = l->number, .note = note,
		    .from_ns = l->note.time_ns };
	else
		json_decref(note);
	r->last = l->number;
	r->to_ns = l->note.time_ns;
	r->letters++;
	r->bytes += l->frame->body.n;
	q->total++;
	q->total_bytes += l->frame->body.n;
}

/* A run ends where its role's letters end. */
static int
list(struct dlq *q)
{
	struct home *h;
	int r = 0;

	for (q->at = 0; q->at < HOMES; q->at++) {
		h = &q->home[q->at];
		h->n = letters_each(h->dir, list_letter, q);
		end_run(q);
		if (h->n >= 0 || h->n == -ENOENT)
			continue;
		fprintf(q->a->err, "emplogd dlq: '%s' cannot be read: %s\n",
		    h->dir, strerror((int)-h->n));
		r = 1;
	}
	if (!q->json)
		fprintf(q->a->out, "kept: %" PRIu64 " dead letter%s, %s\n",
		    q->total, q->total == 1 ? "" : "s",
		    human_bytes(q->total_bytes).text);
	return r;
}

/* ---- show ---- */

static void
show_bytes(struct dlq *q, const struct letter *l)
{
	const struct frame *f = l->frame;
	size_t i;

	fprintf(q->a->out, "%zu bytes that are no records:", f->body.n);
	for (i = 0; i < f->body.n && i < HEX_MAX; i++)
		fprintf(q->a->out, " %02x", f->body.p[i]);
	fputs(i < f->body.n ? " ...\n" : "\n", q->a->out);
}

/* So that one that is of interest can be named. */
static void
name_it(struct dlq *q, const struct letter *l, json_t *record)
{
	char name[48];

	snprintf(name, sizeof(name), "%s/%" PRIu64, q->home[q->at].role,
	    l->number);
	json_object_set_new(record, "emplog.dead_letter", json_string(name));
}

static void
show_entry(struct dlq *q, const struct letter *l, const struct entry *e)
{
	uint8_t buf[IDENTITY_MAX];
	size_t n = letter_strip(buf, l->frame->identity);
	json_t *identity = n == 0 ? NULL : show_json(bytes_of(buf, n));
	json_t *record = show_json(e->record);

	if (record != NULL && identity != NULL)
		show_identity(record, identity);
	if (record == NULL)
		show_bytes(q, l);
	else if (q->json) {
		name_it(q, l, record);
		show_json_line(q->a->out, record, e->time_ns);
	} else
		show_line(q->a->out, record, e->time_ns);
	json_decref(record);
	json_decref(identity);
}

static void
show_letter(void *arg, const struct letter *l)
{
	struct dlq *q = arg;
	struct mp m = mp_of(l->frame->body);
	struct entry e;

	if (!is_picked(q, l->number))
		return;
	if (!q->json)
		fprintf(q->a->out, "%s/%" PRIu64 " ", q->home[q->at].role,
		    l->number);
	if ((l->frame->flags & CHUNK_BROKEN) == 0 &&
	    l->frame->encoding == ENC_FORWARD && walk_entry(&m, &e) == 0)
		show_entry(q, l, &e);
	else if (q->json)
		fprintf(q->a->out, "{\"emplog.dead_letter\":\"%s/%" PRIu64
		    "\",\"no_record_bytes\":%zu}\n", q->home[q->at].role,
		    l->number, l->frame->body.n);
	else
		show_bytes(q, l);
}

static int
show(struct dlq *q)
{
	int r = each_home(q, show_letter);

	return missing(q) != 0 || r != 0;
}

/* ---- replay, drop ---- */

static void
send_request(struct dlq *q)
{
	if (q->want->n > 0 && q->error == 0)
		q->error = letters_ask(q->home[q->at].dir, q->want, q->path,
		    sizeof(q->path));
	q->want->n = 0;
}

static void
want_letter(void *arg, const struct letter *l)
{
	struct dlq *q = arg;
	struct asked_for *w = q->want;

	if (!is_picked(q, l->number))
		return;
	q->asked++;
	if (w->n > 0 && l->number == w->v[w->n - 1].last + 1) {
		w->v[w->n - 1].last = l->number;
		return;
	}
	/* A repaired queue may have them out of order; a request may not. */
	if (w->n == ASKED_RANGES_MAX || (w->n > 0 &&
	    l->number <= w->v[w->n - 1].last))
		send_request(q);
	w->v[w->n++] = (struct asked_range){ l->number, l->number };
}

static void
count_letter(void *arg, const struct letter *l)
{
	is_picked(arg, l->number);
}

/* True: the request is done, its file is gone. */
static bool
wait_for_it(const struct dlq *q)
{
	int ms;

	for (ms = 0; ms < WAIT_MS; ms += LOOK_MS) {
		if (access(q->path, F_OK) < 0 && errno == ENOENT)
			return true;
		poll(NULL, 0, LOOK_MS);
	}
	return false;
}

static int
ask_home(struct dlq *q)
{
	const struct home *h = &q->home[q->at];
	const char *verb = q->want->drop ? "drop" : "replay";
	int run = letters_are_run(h->dir);

	q->asked = 0;
	q->error = 0;
	(void)letters_each(h->dir, want_letter, q);
	send_request(q);
	if (q->error < 0) {
		fprintf(q->a->err, "emplogd dlq: cannot ask in '%s/"
		    ASKED_DIR "': %s\n", h->dir, strerror(-q->error));
		return 1;
	}
	if (q->asked == 0)
		return 0;
	fprintf(q->a->out, "%s: %s %" PRIu64 " dead letter%s: ", h->role,
	    verb, q->asked, q->asked == 1 ? "" : "s");
	if (run == 0)
		fputs("when an exporter starts that has them, none does "
		    "now\n", q->a->out);
	else if (wait_for_it(q))
		fprintf(q->a->out, "done, %" PRId64 " are kept now\n",
		    letters_each(h->dir, NULL, NULL));
	else
		fputs("under way; emplogd dlq ls shows what is left\n",
		    q->a->out);
	return 0;
}

static int
ask(struct dlq *q, bool drop)
{
	int r = each_home(q, count_letter), n = 0;

	if (is_ambiguous(q)) {
		fputs("emplogd dlq: relay and exporter have dead letters; say "
		    "relay/N or exporter/N\n", q->a->err);
		return 1;
	}
	if (r != 0 || missing(q) != 0)
		return 1;
	q->want = calloc(1, sizeof(*q->want));
	if (q->want == NULL)
		return 1;
	q->want->drop = drop;
	for (q->at = 0; q->at < HOMES; q->at++) {
		n += q->home[q->at].n > 0;
		if (q->home[q->at].n > 0)
			r |= ask_home(q);
	}
	if (n == 0)
		fputs("there are no dead letters\n", q->a->out);
	free(q->want);
	return r;
}

/* ---- the verb ---- */

static int
parse(struct dlq *q, int argc, char **argv, bool drop)
{
	int i;

	for (i = 2; i < argc; i++)
		if (strcmp(argv[i], "--json") == 0)
			q->json = true;
		else if (drop && strcmp(argv[i], "--yes") == 0)
			q->yes = true;
		else if (!parse_pick(q, argv[i]))
			return admin_usage(q->a, "dlq", "'%s' is no dead "
			    "letter: 7, 7-9 or relay/7-9", argv[i]);
	if (drop && q->picks == 0 && !q->yes)
		return admin_usage(q->a, "dlq", "drop wants the letters by "
		    "number, or --yes for all of them");
	return 0;
}

static void
find_homes(struct dlq *q)
{
	static const char *const role[HOMES] = { "relay", "exporter" };
	unsigned i;

	for (i = 0; i < HOMES; i++) {
		q->home[i].role = role[i];
		snprintf(q->home[i].dir, sizeof(q->home[i].dir), "%s/%s/dead",
		    conf_text(q->a->conf, KEY_common_state_dir), role[i]);
	}
}

int
admin_dlq(int argc, char **argv, struct admin *a)
{
	struct dlq q = { .a = a };
	const char *what = argc > 1 ? argv[1] : "";
	bool drop = strcmp(what, "drop") == 0;
	int r;

	find_homes(&q);
	r = parse(&q, argc, argv, drop);
	if (r != 0)
		return r;
	if (strcmp(what, "ls") == 0)
		return list(&q);
	if (strcmp(what, "show") == 0)
		return show(&q);
	if (drop || strcmp(what, "replay") == 0)
		return ask(&q, drop);
	return admin_usage(a, "dlq", "ls, show, replay or drop is wanted, not "
	    "'%s'", what);
}
