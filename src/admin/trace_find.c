/* SPDX-License-Identifier: ISC */
/* trace_find.c - the records of a job, and marks on those found; trace.h */

#include "admin/trace.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "admin/human.h"
#include "admin/show.h"
#include "admin/uids.h"
#include "forward/mp.h"
#include "forward/walk.h"
#include "banned.h"

#define COPY_BYTES	READER_COPY_MIN(LANE_DATA_MAX)

static bool
is_of_job(const struct trace *t, struct bytes record)
{
	const char *job;
	json_t *j;
	bool is;

	if (memmem(record.p, record.n, t->job, strlen(t->job)) == NULL)
		return false;
	j = show_json(record);
	job = json_string_value(show_field(j, F_job_id));
	is = job != NULL && strcmp(job, t->job) == 0;
	json_decref(j);
	return is;
}

/* Whole records, the first of which lies at pos of its stream. */
static void
look_in(struct trace *t, struct bytes body, const uint8_t *stream,
    uint64_t pos)
{
	struct mp m = mp_of(body);
	const uint8_t *start = m.p;
	struct entry e;

	while (t->job != NULL && walk_entry(&m, &e) == 0) {
		if (!e.group_mark && is_of_job(t, e.record))
			(void)trace_add(t, stream, pos +
			    (uint64_t)(start - body.p));
		start = m.p;
	}
}

static void
look_in_lane(struct trace *t, struct watched *w, uint8_t *buf)
{
	struct reader_job job[LANE_JOBS];
	uint64_t pos = reader_oldest(&w->r);
	unsigned i, n;
	bool skipped;
	size_t got;

	while ((got = reader_copy(&w->r, &pos, buf, COPY_BYTES, &skipped)) > 0)
		look_in(t, bytes_of(buf, got), w->r.id, pos - got);
	n = t->job == NULL ? 0 : reader_jobs(&w->r, job, LANE_JOBS);
	for (i = 0; i < n; i++)
		t->running += strcmp(job[i].id, t->job) == 0;
}

static int
look_in_lanes(struct trace *t)
{
	uint8_t *buf = malloc(COPY_BYTES);
	unsigned i;
	int r;

	if (buf == NULL)
		return -ENOMEM;
	r = lanes_scan(t->lanes);
	for (i = 0; i < t->lanes->n && r == 0; i++)
		if (t->lanes->v[i]->error == 0)
			look_in_lane(t, t->lanes->v[i], buf);
	free(buf);
	return r;
}

static bool
may_parse(const struct frame *f)
{
	struct walk w;

	if (f->signal != SIGNAL_LOGS || f->encoding != ENC_FORWARD ||
	    (f->flags & CHUNK_BROKEN) != 0)
		return false;
	walk_entries(f->body, RECORD_BYTES_MAX, &w);
	return w.error == 0;
}

static void
see_frame(void *arg, const struct frame *f, bool held)
{
	struct trace *t = arg;

	if (t->job != NULL && may_parse(f))
		look_in(t, f->body, f->stream, f->from);
}

/* ---- dead letters ---- */

static void
say_why(struct traced *rec, struct bytes identity)
{
	json_t *j = show_json(identity);
	const char *why = show_text(j, "emplog.dead_why");
	const char *status = show_text(j, "emplog.dead_status");
	const char *words = show_text(j, "emplog.dead_words");

	snprintf(rec->why, sizeof(rec->why), "%s %s %s", why != NULL ? why :
	    "?", status != NULL ? status : "", words != NULL ? words : "");
	json_decref(j);
}

static void
see_letter(void *arg, const struct frame *f, bool held)
{
	struct trace *t = arg;
	unsigned i;

	see_frame(t, f, held);
	for (i = 0; i < t->n; i++)
		if (memcmp(t->rec[i].stream, f->stream, STREAM_ID_LEN) == 0 &&
		    t->rec[i].pos >= f->from && t->rec[i].pos < f->to) {
			t->rec[i].dead = true;
			say_why(&t->rec[i], f->identity);
		}
}

static int
look_in_letters(struct trace *t, const struct part *p)
{
	struct stock s;
	char dir[512];
	int r;

	snprintf(dir, sizeof(dir), "%s/dead", p->dir);
	r = stock_read(&s, &t->sites->env, dir, see_letter, t);
	stock_fini(&s);
	t->blind += r < 0 && r != -ENOENT;
	return r == -ENOMEM ? r : 0;
}

/* ---- the local export ---- */

static const char *
text_of(const json_t *attribute)
{
	return json_string_value(json_object_get(json_object_get(attribute,
	    "value"), "stringValue"));
}

static bool
names_job(const json_t *attribute, const char *job)
{
	const char *key = json_string_value(json_object_get(attribute, "key"));
	const char *text = text_of(attribute);
	struct bytes name = bytes_str(key == NULL ? "" : key);
	uint8_t alias;

	return text != NULL && strcmp(text, job) == 0 &&
	    field_find(name, field_hash(name), &alias) == F_job_id;
}

/* A record of an export that is one of those asked for. */
static void
see_exported(struct trace *t, const json_t *record)
{
	const json_t *all = json_object_get(record, "attributes"), *at;
	const char *key, *uid = NULL;
	struct traced *rec;
	uint8_t id[STREAM_ID_LEN];
	bool of_job = false;
	uint64_t pos;
	size_t i;
	unsigned k;

	json_array_foreach(all, i, at) {
		key = json_string_value(json_object_get(at, "key"));
		if (key != NULL && strcmp(key, "log.record.uid") == 0)
			uid = text_of(at);
		of_job = of_job || (t->job != NULL && names_job(at, t->job));
	}
	if (uid == NULL || strlen(uid) < 2 * STREAM_ID_LEN + 2 ||
	    !uid_parse(uid, '\0', id, &pos))
		return;
	if (of_job && (rec = trace_add(t, id, pos)) != NULL)
		rec->exported = true;
	for (k = 0; k < t->n; k++)
		if (t->rec[k].pos == pos &&
		    memcmp(t->rec[k].stream, id, STREAM_ID_LEN) == 0)
			t->rec[k].exported = true;
}

static void
see_line(struct trace *t, const char *line, size_t n)
{
	json_t *all = json_loadb(line, n, 0, NULL), *resource, *scope, *record;
	size_t i, j, k;

	json_array_foreach(json_object_get(all, "resourceLogs"), i, resource)
		json_array_foreach(json_object_get(resource, "scopeLogs"), j,
		    scope)
			json_array_foreach(json_object_get(scope,
			    "logRecords"), k, record)
				see_exported(t, record);
	json_decref(all);
}

/* Without a look into it: no line but those can have one asked for. */
static bool
is_worth_it(const struct trace *t, const char *line)
{
	char hex[2 * STREAM_ID_LEN + 1];
	unsigned i;

	if (t->job != NULL && strstr(line, t->job) != NULL)
		return true;
	for (i = 0; i < t->n; i++) {
		uid_hex(t->rec[i].stream, hex);
		if (strstr(line, hex) != NULL)
			return true;
	}
	return false;
}

static void
look_in_file(struct trace *t, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (f == NULL) {
		t->blind += errno != ENOENT;
		return;
	}
	while ((n = getline(&line, &cap, f)) > 0)
		if (line[n - 1] == '\n' && is_worth_it(t, line))
			see_line(t, line, (size_t)n);
	free(line);
	fclose(f);
}

static void
look_in_export(struct trace *t, const struct part *p)
{
	char dir[512], path[800];
	struct dirent *e;
	size_t n;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/export", p->dir);
	d = opendir(dir);
	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		n = strlen(e->d_name);
		if (n < 6 || strcmp(e->d_name + n - 6, ".jsonl") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		look_in_file(t, path);
	}
	closedir(d);
}

int
trace_find(struct trace *t)
{
	struct part *p;
	unsigned i;
	int r;

	r = look_in_lanes(t);
	if (r == 0)
		r = sites_read(t->sites, NULL, see_frame, t);
	for (i = 0; i < t->sites->n && r == 0; i++) {
		p = &t->sites->part[i];
		if (!p->there)
			continue;
		t->blind += p->stock_error < 0 && p->stock_error != -ENOENT;
		if (!p->ends)
			continue;
		r = look_in_letters(t, p);
		look_in_export(t, p);
	}
	return r;
}
