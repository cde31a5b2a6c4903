/* SPDX-License-Identifier: ISC */
/* queue.c - emplogd queue: a queue on disk, and what is wrong with it */

#include "admin/queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/human.h"
#include "base/must.h"
#include "loop/loop.h"
#include "banned.h"

#define LOOKS_MAX	5	/* while segments come and go */

void
qdir_say(struct qdir *d, const char *fmt, ...)
{
	va_list ap;

	fprintf(d->a->err, "emplogd queue %s: ", d->verb);
	va_start(ap, fmt);
	vfprintf(d->a->err, fmt, ap);
	va_end(ap);
	fputc('\n', d->a->err);
}

/* ---- who has it ---- */

/* Does the process have this file open?  Of others' it is not to be seen. */
static bool
has_open(const char *pid, const struct stat *want)
{
	char path[600];
	struct dirent *e;
	struct stat st;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	while (dir != NULL && !found && (e = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%s", pid,
		    e->d_name);
		found = stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    st.st_dev == want->st_dev && st.st_ino == want->st_ino;
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

static void
name_process(struct qdir *d, const char *pid)
{
	char path[64], comm[32] = "?";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fgets(comm, sizeof(comm), f) == NULL)
			comm[0] = '\0';
		comm[strcspn(comm, "\n")] = '\0';
		fclose(f);
	}
	snprintf(d->who, sizeof(d->who), " (%.31s, pid %.20s)", comm, pid);
}

static void
find_process(struct qdir *d, const struct stat *lock)
{
	struct dirent *e;
	char own[24];
	DIR *dir;

	snprintf(own, sizeof(own), "%ld", (long)getpid());
	dir = opendir("/proc");
	while (dir != NULL && d->who[0] == '\0' && (e = readdir(dir)) != NULL)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
		    strcmp(e->d_name, own) != 0 && has_open(e->d_name, lock))
			name_process(d, e->d_name);
	if (dir != NULL)
		closedir(dir);
}

/* Asked, never taken: a role that starts now must not find it taken. */
void
qdir_who(struct qdir *d)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[512];
	struct stat st;
	int fd;

	d->busy = false;
	d->who[0] = '\0';
	if ((size_t)snprintf(path, sizeof(path), "%s/lock", d->path) >=
	    sizeof(path))
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	d->busy = fcntl(fd, F_OFD_GETLK, &fl) == 0 && fl.l_type != F_UNLCK;
	if (d->busy && fstat(fd, &st) == 0)
		find_process(d, &st);
	close(fd);
}

/* ---- one look ---- */

int
qdir_open(struct qdir *d, struct admin *a, const char *verb, const char *path)
{
	int r;

	*d = (struct qdir){ .a = a, .verb = verb, .path = path };
	r = loop_new(&d->loop, LOOP_EPOLL, NULL);
	if (r == 0)
		r = env_init(&d->env, d->loop, "queue");
	if (r < 0) {
		qdir_say(d, "cannot start: %s", strerror(-r));
		loop_free(&d->loop);
		return QUEUE_BLIND;
	}
	qdir_who(d);
	return 0;
}

void
qdir_close(struct qdir *d)
{
	if (d->loop == NULL)
		return;
	env_fini(&d->env);
	loop_free(&d->loop);
}

static void
look_done(void *arg, int res, const struct look_sum *sum)
{
	struct qdir *d = arg;

	d->res = res;
	d->over = true;
	if (sum != NULL)
		d->sum = *sum;
}

static int
look_once(struct qdir *d, struct look *look)
{
	int r;

	look->done = look_done;
	d->over = false;
	d->segments = 0;
	r = queue_look(look, &d->env, d->path);
	if (r < 0)
		return r;
	while (!d->over)
		(void)loop_turn(d->loop, true);
	return d->res;
}

/* What to do about it. */
static const char *
remedy(int r)
{
	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
		return "; a queue is a directory, as relay/0 in that of "
		    "common.state_dir";
	case -EACCES:
	case -EPERM:
		return "; who owns it, or root, can read it";
	case -EIO:
		return "; the disk fails, the kernel's log says more";
	default:
		return "";
	}
}

int
qdir_look(struct qdir *d, struct look *look)
{
	unsigned tries;
	int r = -EAGAIN;

	must(look->arg == d);
	for (tries = 0; r == -EAGAIN && tries < LOOKS_MAX; tries++)
		r = look_once(d, look);
	if (r < 0) {
		qdir_say(d, "'%s' cannot be read: %s%s", d->path, strerror(-r),
		    remedy(r));
		return QUEUE_BLIND;
	}
	if (d->segments == 0 && !d->sum.gone) {
		qdir_say(d, "no queue is in '%s': it has no segment, a file "
		    "named by 16 digits and .seg", d->path);
		return QUEUE_BLIND;
	}
	return 0;
}

void
qdir_why(char buf[80], const struct look_damage *dm)
{
	static const char *const why[SCAN_WHYS] = {
		[SCAN_NOTHING] = "no frame begins there",
		[SCAN_HEAD] = "the head of a frame that cannot be",
		[SCAN_PLACE] = "a frame written for another place",
		[SCAN_SHORT] = "a frame that is cut off",
		[SCAN_SUM] = "a frame whose checksum is another",
	};

	must(dm->why < SCAN_WHYS);
	if (dm->why == SCAN_VERSION)
		snprintf(buf, 80, "a frame of version %d, this emplogd reads "
		    "version %d", dm->version, FRAME_VERSION);
	else
		snprintf(buf, 80, "%s", why[dm->why]);
}

const char *
qdir_unread(char buf[80], const struct look_segment *s)
{
	if (s->error == -EPROTONOSUPPORT)
		snprintf(buf, 80, "it is of version %d, this emplogd reads "
		    "version %d", s->version, FRAME_VERSION);
	else
		snprintf(buf, 80, "%s", strerror(-s->error));
	return buf;
}

/* ---- ls ---- */

struct ls {
	struct qdir	 d;		/* first: the look's arg */
	uint64_t	 now, damaged, all_damaged;
	bool		 header;
};

static void
ls_frame(void *arg, const struct frame *f, bool held)
{
}

static void
ls_damage(void *arg, const struct look_damage *dm)
{
	struct ls *ls = arg;

	ls->damaged += dm->to - dm->from;
	ls->all_damaged += dm->to - dm->from;
}

static void
ls_end(struct ls *ls, const struct look_segment *s)
{
	FILE *out = ls->d.a->out;

	if (s->held_records > 0 || s->held_frames > 0)
		fprintf(out, "%" PRIu64 " not delivered", s->held_records);
	else
		fputs(s->frames > 0 ? "delivered" : "no records", out);
	if (ls->damaged > 0)
		fprintf(out, ", %s damaged", human_bytes(ls->damaged).text);
	if (s->copies > 0)
		fprintf(out, ", %" PRIu64 " second copies", s->copies);
	if (s->order != s->number)
		fprintf(out, ", was %016" PRIx64, s->order);
	if (s->newest && ls->d.busy)
		fputs(", being written", out);
	fputc('\n', out);
	ls->damaged = 0;
}

static void
ls_segment(void *arg, const struct look_segment *s)
{
	struct ls *ls = arg;
	FILE *out = ls->d.a->out;
	char seqs[48] = "-", version[16] = "-", why[80];

	ls->d.segments++;
	if (!ls->header)
		fputs("SEGMENT           SEQUENCE                  BYTES  RECORDS"
		    "  AGE           VERSION\n", out);
	ls->header = true;
	fprintf(out, "%016" PRIx64 "  ", s->number);
	if (s->error != 0) {
		fprintf(out, "cannot be read: %s\n", qdir_unread(why, s));
		return;
	}
	if (s->frames > 0)
		snprintf(seqs, sizeof(seqs), "%" PRIu64 "..%" PRIu64,
		    s->first_seq, s->end_seq - 1);
	if (s->version >= 0)
		snprintf(version, sizeof(version), "%d", s->version);
	fprintf(out, "%-21s %10s %8" PRIu64 "  %-12s  %-7s  ", seqs,
	    human_bytes(s->bytes).text, s->records, s->frames == 0 ? "-" :
	    human_age(human_since(ls->now, s->oldest_ns)).text, version);
	ls_end(ls, s);
}

static int
queue_ls(struct admin *a, const char *path)
{
	struct ls ls = { .now = human_now() };
	struct look look = { .frame = ls_frame, .damage = ls_damage,
	    .segment = ls_segment, .arg = &ls };
	int r;

	r = qdir_open(&ls.d, a, "ls", path);
	if (r == 0)
		r = qdir_look(&ls.d, &look);
	if (r == 0) {
		fprintf(a->out, "%" PRIu64 " segments, %" PRIu64 " records not "
		    "delivered; ", ls.d.segments, ls.d.sum.held_records);
		if (ls.d.busy)
			fprintf(a->out, "open in another process%s\n",
			    ls.d.who);
		else
			fputs("nobody has it open\n", a->out);
		if (ls.d.sum.unread || (ls.all_damaged > 0 && !ls.d.busy))
			r = QUEUE_DAMAGE;
	}
	qdir_close(&ls.d);
	return r;
}

/* ---- which of them ---- */

struct wanted {
	const char	*sub, *dir, *file;
	bool		 all, json, forward;
};

static int
parse_format(struct admin *a, const char *text, struct wanted *w)
{
	w->forward = strcmp(text, "forward") == 0;
	if (!w->forward && strcmp(text, "otlp") != 0)
		return admin_usage(a, "queue", "'%s' is not otlp or forward",
		    text);
	return 0;
}

static int
parse(struct admin *a, int argc, char **argv, struct wanted *w)
{
	static const struct option longs[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "format", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'J' },
		{ 0 },
	};
	bool cat = strcmp(w->sub, "cat") == 0;
	bool export = strcmp(w->sub, "export") == 0;
	int c, r = 0;

	optind = 0;
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "+", longs,
	    NULL)) != -1)
		if (c == 'a' && cat)
			w->all = true;
		else if (c == 'J' && cat)
			w->json = true;
		else if (c == 'f' && export)
			r = parse_format(a, optarg, w);
		else
			r = admin_usage(a, "queue", "'%s' is not understood",
			    argv[optind > 1 ? optind - 1 : 1]);
	if (r != 0)
		return r;
	if (argc - optind != (export ? 2 : 1))
		return admin_usage(a, "queue", export ? "a directory and a "
		    "file are wanted" : "a directory is wanted");
	w->dir = argv[optind];
	w->file = export ? argv[optind + 1] : NULL;
	return 0;
}

static int
run(struct admin *a, const struct wanted *w)
{
	struct qdir d;
	int r;

	r = qdir_open(&d, a, w->sub, w->dir);
	if (r == 0)
		switch (w->sub[1]) {
		case 'h': r = queue_check_verb(&d); break;
		case 'a': r = queue_cat_verb(&d, w->all, w->json); break;
		case 'x': r = queue_export_verb(&d, w->forward, w->file); break;
		default: r = queue_repair_verb(&d); break;
		}
	qdir_close(&d);
	return r;
}

int
admin_queue(int argc, char **argv, struct admin *a)
{
	static const char *const subs[] = { "ls", "check", "cat", "export",
	    "repair" };
	struct wanted w = { 0 };
	size_t i;
	int r;

	for (i = 0; argc > 1 && i < sizeof(subs) / sizeof(subs[0]); i++)
		if (strcmp(argv[1], subs[i]) == 0)
			w.sub = subs[i];
	if (w.sub == NULL)
		return admin_usage(a, "queue", "'%s' is not ls, check, cat, "
		    "export or repair", argc > 1 ? argv[1] : "");
	r = parse(a, argc - 1, argv + 1, &w);
	if (r != 0)
		return r;
	return strcmp(w.sub, "ls") == 0 ? queue_ls(a, w.dir) : run(a, &w);
}
