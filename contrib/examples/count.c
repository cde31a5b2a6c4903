/* SPDX-License-Identifier: ISC */
/*
 * count.c - follows the local export and compares it with the side files
 *
 * usage: count EXPORT_DIR SECONDS SIDE_FILE=CONNECTOR_ID...
 *
 * Reads each new line of EXPORT_DIR/logs*.jsonl as it appears, prints the
 * first records of each connector, and at the end what the connectors wrote
 * (their side files), what was delivered, what is missing, what came twice,
 * and the time from call to delivery.  Exit 1 when anything is missing.
 * It ends when everything has arrived and the connectors are done, or after
 * SECONDS; with 0 seconds it counts what is there, and says nothing of times.
 */

#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONNECTORS_MAX	16
#define FILES_MAX	64
#define SHOWN_EACH	3

struct side {
	const char	*path;
	const char	*id;
	uint64_t	 written;
	uint64_t	 shown;
	uint64_t	 delivered;
	uint64_t	 twice;
	uint64_t	*called_ns;	/* by number */
	uint64_t	*came_ns;	/* by number, 0: not yet */
	uint64_t	 cap;
};

struct file { ino_t ino; off_t at; };

struct count {
	const char	*dir;
	struct side	 side[CONNECTORS_MAX];
	unsigned	 sides;
	struct file	 file[FILES_MAX];
	unsigned	 files;
	bool		 live;
};

static uint64_t
wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
grow(struct side *s, uint64_t n)
{
	uint64_t cap = s->cap == 0 ? 4096 : s->cap;

	while (cap <= n)
		cap *= 2;
	if (cap == s->cap)
		return;
	s->called_ns = realloc(s->called_ns, cap * sizeof(uint64_t));
	s->came_ns = realloc(s->came_ns, cap * sizeof(uint64_t));
	if (s->called_ns == NULL || s->came_ns == NULL) {
		fprintf(stderr, "count: not enough memory\n");
		exit(1);
	}
	memset(s->called_ns + s->cap, 0, (cap - s->cap) * sizeof(uint64_t));
	memset(s->came_ns + s->cap, 0, (cap - s->cap) * sizeof(uint64_t));
	s->cap = cap;
}

static json_t *
attribute(json_t *attributes, const char *key)
{
	json_t *a;
	size_t i;

	json_array_foreach(attributes, i, a) {
		const char *k = json_string_value(json_object_get(a, "key"));

		if (k != NULL && strcmp(k, key) == 0)
			return json_object_get(a, "value");
	}
	return NULL;
}

static const char *
attribute_text(json_t *attributes, const char *key)
{
	json_t *v = attribute(attributes, key);

	if (json_object_get(v, "intValue") != NULL)
		v = json_object_get(v, "intValue");
	else
		v = json_object_get(v, "stringValue");
	return json_string_value(v);
}

/* Of a health check the number is among its details. */
static const char *
number_text(json_t *attributes)
{
	const char *text = attribute_text(attributes, "demo_seq");
	json_t *details;

	if (text != NULL)
		return text;
	details = json_object_get(attribute(attributes, "health_details"),
	    "kvlistValue");
	return attribute_text(json_object_get(details, "values"), "demo_seq");
}

static void
show(const struct side *s, json_t *record)
{
	const char *level, *event, *body, *job;

	level = json_string_value(json_object_get(record, "severityText"));
	event = json_string_value(json_object_get(record, "eventName"));
	body = json_string_value(json_object_get(json_object_get(record,
	    "body"), "stringValue"));
	job = attribute_text(json_object_get(record, "attributes"), "job_id");
	printf("  %-16s %-5s %-18s %-14s %s\n", s->id, level ? level : "-",
	    event ? event : "-", job ? job : "-", body ? body : "");
	fflush(stdout);
}

static void
take_record(struct side *s, json_t *record, uint64_t now)
{
	const char *text;
	uint64_t n;

	text = number_text(json_object_get(record, "attributes"));
	if (text == NULL)
		return;
	n = strtoull(text, NULL, 10);
	if (n > (UINT64_C(1) << 32))
		return;
	grow(s, n);
	if (s->came_ns[n] != 0) {
		s->twice++;
		return;
	}
	s->came_ns[n] = now;
	s->delivered++;
	if (s->shown++ < SHOWN_EACH)
		show(s, record);
}

static struct side *
side_of(struct count *c, json_t *resource)
{
	const char *id;
	unsigned i;

	id = attribute_text(json_object_get(resource, "attributes"),
	    "connector_id");
	for (i = 0; id != NULL && i < c->sides; i++)
		if (strcmp(c->side[i].id, id) == 0)
			return &c->side[i];
	return NULL;
}

static void
take_line(struct count *c, const char *line, size_t len)
{
	json_t *root, *rl, *sl, *rec;
	uint64_t now = wall_ns();
	struct side *s;
	size_t i, j, k;

	root = json_loadb(line, len, 0, NULL);
	if (root == NULL) {
		fprintf(stderr, "count: a line is not JSON\n");
		exit(1);
	}
	json_array_foreach(json_object_get(root, "resourceLogs"), i, rl) {
		s = side_of(c, json_object_get(rl, "resource"));
		if (s == NULL)
			continue;
		json_array_foreach(json_object_get(rl, "scopeLogs"), j, sl)
			json_array_foreach(json_object_get(sl, "logRecords"),
			    k, rec)
				take_record(s, rec, now);
	}
	json_decref(root);
}

static struct file *
file_of(struct count *c, ino_t ino)
{
	unsigned i;

	for (i = 0; i < c->files; i++)
		if (c->file[i].ino == ino)
			return &c->file[i];
	if (c->files == FILES_MAX)
		return NULL;
	c->file[c->files] = (struct file){ ino, 0 };
	return &c->file[c->files++];
}

/* Whole lines from where we were; a line not ended yet waits. */
static void
read_file(struct count *c, const char *path)
{
	struct stat st;
	struct file *at;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	FILE *f;

	f = fopen(path, "r");
	if (f == NULL)
		return;
	if (fstat(fileno(f), &st) < 0 || (at = file_of(c, st.st_ino)) == NULL)
		goto out;
	if (st.st_size <= at->at || fseeko(f, at->at, SEEK_SET) < 0)
		goto out;
	while ((n = getline(&line, &cap, f)) > 0 && line[n - 1] == '\n') {
		take_line(c, line, (size_t)n - 1);
		at->at += n;
	}
out:
	free(line);
	fclose(f);
}

static void
read_export(struct count *c)
{
	struct dirent **names;
	char path[1024];
	int i, n;

	n = scandir(c->dir, &names, NULL, alphasort);
	for (i = 0; i < n; i++) {
		if (strncmp(names[i]->d_name, "logs", 4) == 0) {
			snprintf(path, sizeof(path), "%s/%s", c->dir,
			    names[i]->d_name);
			read_file(c, path);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static void
read_side(struct side *s)
{
	uint64_t note[2];
	FILE *f;

	f = fopen(s->path, "r");
	if (f == NULL)
		return;
	s->written = 0;
	while (fread(note, sizeof(note), 1, f) == 1) {
		grow(s, note[0]);
		s->called_ns[note[0]] = note[1];
		s->written++;
	}
	fclose(f);
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
print_times(struct count *c, uint64_t total)
{
	uint64_t *t, n = 0, i;
	unsigned s;

	t = calloc(total + 1, sizeof(*t));
	if (t == NULL)
		return;
	for (s = 0; s < c->sides; s++)
		for (i = 0; i < c->side[s].cap && n < total; i++)
			if (c->side[s].came_ns[i] != 0 &&
			    c->side[s].called_ns[i] != 0)
				t[n++] = c->side[s].came_ns[i] -
				    c->side[s].called_ns[i];
	qsort(t, n, sizeof(*t), by_value);
	if (n > 0)
		printf("from call to delivery: p50 %.1f ms, p99 %.1f ms, "
		    "max %.1f ms\n", (double)t[n / 2] / 1e6,
		    (double)t[n * 99 / 100] / 1e6, (double)t[n - 1] / 1e6);
	free(t);
}

static int
summary(struct count *c)
{
	uint64_t written = 0, delivered = 0, twice = 0;
	struct side *s;
	unsigned i;

	printf("%-18s %10s %10s %10s\n", "connector", "written", "delivered",
	    "lost");
	for (i = 0; i < c->sides; i++) {
		s = &c->side[i];
		read_side(s);
		printf("%-18s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n",
		    s->id, s->written, s->delivered,
		    s->written - s->delivered);
		written += s->written;
		delivered += s->delivered;
		twice += s->twice;
	}
	printf("written %" PRIu64 ", delivered %" PRIu64 ", lost %" PRIu64
	    ", twice %" PRIu64 "\n", written, delivered, written - delivered,
	    twice);
	if (c->live)
		print_times(c, delivered);
	return written == 0 || delivered != written || twice != 0;
}

/* The demo leaves this file when the connectors have ended. */
static bool
all_there(struct count *c)
{
	char path[1024];
	unsigned i;

	snprintf(path, sizeof(path), "%s/../../done", c->dir);
	if (access(path, F_OK) != 0)
		return false;
	for (i = 0; i < c->sides; i++) {
		read_side(&c->side[i]);
		if (c->side[i].delivered < c->side[i].written)
			return false;
	}
	return true;
}

int
main(int argc, char **argv)
{
	struct timespec nap = { 0, 2000000 };
	struct count c = { 0 };
	uint64_t until;
	char *eq;
	int i;

	if (argc < 4 || argc - 3 > CONNECTORS_MAX) {
		fprintf(stderr,
		    "usage: %s EXPORT_DIR SECONDS SIDE_FILE=ID...\n", argv[0]);
		return 1;
	}
	c.dir = argv[1];
	until = wall_ns() + strtoull(argv[2], NULL, 10) * 1000000000u;
	for (i = 3; i < argc; i++) {
		eq = strchr(argv[i], '=');
		if (eq == NULL)
			return 1;
		*eq = '\0';
		c.side[c.sides].path = argv[i];
		c.side[c.sides++].id = eq + 1;
	}
	c.live = strcmp(argv[2], "0") != 0;
	do {
		read_export(&c);
		if (all_there(&c))
			break;
		nanosleep(&nap, NULL);
	} while (wall_ns() < until);
	return summary(&c);
}
