/* SPDX-License-Identifier: ISC */
/* ring.c - emplogd ring: the lanes of this host, and who writes them */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "admin/human.h"
#include "admin/lanes.h"
#include "forward/mp.h"
#include "banned.h"

#define RING_MAX_DEFAULT (64u << 20)	/* and a quarter of the tmpfs */

/* A text of a lane's identity, cut to cap - 1 bytes; "-" when absent. */
static void
identity_text(const struct reader *r, const char *key, char *buf, size_t cap)
{
	struct mp m = mp_of(bytes_of(r->identity, r->identity_len)), at;
	struct bytes s;

	if (r->identity_len == 0 || mp_find(m, key, &at) < 0 ||
	    mp_str(&at, &s) < 0 || s.n == 0)
		s = BYTES("-");
	if (s.n > cap - 1)
		s.n = cap - 1;
	memcpy(buf, s.p, s.n);
	buf[s.n] = '\0';
}

static const char *
state_of(struct watched *w)
{
	if (w->r.spoiled)
		return "bad";
	if (!w->dead_name && reader_alive(&w->r) == 1)
		return w->r.flags & LANE_F_AGENT ? "agent" : "alive";
	return reader_closed(&w->r) ? "closed" : "dead";
}

static void
print_lane(struct admin *a, struct watched *w, uint64_t now)
{
	uint64_t tail = reader_tail(&w->r);
	uint64_t used = reader_head(&w->r, tail) - tail;
	char machine[48], worker[48], service[32];

	identity_text(&w->r, "machine_id", machine, sizeof(machine));
	identity_text(&w->r, "worker_id", worker, sizeof(worker));
	identity_text(&w->r, "service_type", service, sizeof(service));
	fprintf(a->out, "%.8s  %-7" PRIu32 " %-6s %9s %3u%%  %10" PRIu64
	    " %8" PRIu64 "  %-12s ", w->name, w->r.pid, state_of(w),
	    human_bytes(w->r.data_bytes).text,
	    (unsigned)(used * 100 / w->r.data_bytes), reader_records(&w->r),
	    reader_refused(&w->r),
	    human_age(human_since(now, w->r.created_ns)).text);
	human_put(a->out, machine);
	fputs("  ", a->out);
	human_put(a->out, worker);
	fputs("  ", a->out);
	human_put(a->out, service);
	fputs(w->r.flags & LANE_F_ON_DISK ? "  (on disk)\n" : "\n", a->out);
}

static void
print_jobs(struct admin *a, struct watched *w)
{
	struct reader_job job[LANE_JOBS];
	unsigned n = reader_jobs(&w->r, job, LANE_JOBS), i;

	for (i = 0; i < n; i++) {
		fputs("          in progress: ", a->out);
		human_put(a->out, job[i].id);
		fputs(job[i].started ? "\n" : " (not started)\n", a->out);
	}
}

static void
print_bad(struct admin *a, const struct watched *w)
{
	const char *why = w->error == -EPERM ?
	    "its owner is not the one it names" : w->error == -EPROTO ?
	    "a lane of another version" : w->error == -EBADMSG ?
	    "not a lane" : strerror(-w->error);

	fprintf(a->out, "%.8s  cannot be read: %s\n", w->name, why);
}

static int
by_age(const void *x, const void *y)
{
	const struct watched *const *a = x, *const *b = y;

	if ((*a)->r.created_ns != (*b)->r.created_ns)
		return (*a)->r.created_ns < (*b)->r.created_ns ? -1 : 1;
	return strcmp((*a)->name, (*b)->name);
}

/* Read, never mapped or made: an observer leaves nothing behind. */
static void
print_no_lane(struct admin *a, const char *dir)
{
	char path[300];
	struct ring_ctl ctl;
	FILE *f;

	snprintf(path, sizeof(path), "%s/ring.ctl", dir);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	if (fread(&ctl, sizeof(ctl), 1, f) == 1 &&
	    memcmp(ctl.magic, "EMPRING", 8) == 0 && ctl.no_lane > 0)
		fprintf(a->out, "refused for want of a lane: %" PRIu64
		    " records\n", (uint64_t)ctl.no_lane);
	fclose(f);
}

static void
print_budget(struct admin *a, const struct lanes *ls)
{
	uint64_t max = conf_num(a->conf, KEY_common_ring_max), used = 0;
	struct shm_space space = { 0, 0 };
	unsigned i;

	for (i = 0; i < ls->n; i++)
		if (ls->v[i]->error == 0 && ls->v[i]->dir == ls->dir[0])
			used += ls->v[i]->r.mapped;
	if (ls->sys->statfs(ls->sys->arg, ls->dir[0], &space) < 0)
		space.total = 0;
	if (max == 0)
		max = space.total / 4 < RING_MAX_DEFAULT ? space.total / 4 :
		    RING_MAX_DEFAULT;
	fprintf(a->out, "%s: %u lanes, %s of at most %s; the file system has "
	    "%s free of %s\n", ls->dir[0], ls->n, human_bytes(used).text,
	    human_bytes(max).text, human_bytes(space.free).text,
	    human_bytes(space.total).text);
	if (ls->more > 0)
		fprintf(a->out, "%u lanes more are not shown\n", ls->more);
}

static int
print_all(struct admin *a, struct lanes *ls)
{
	uint64_t now = human_now();
	unsigned i;

	if (ls->error < 0) {
		fprintf(a->err, "emplogd ring: '%s' cannot be read: %s\n",
		    ls->dir[0], strerror(-ls->error));
		return 1;
	}
	print_budget(a, ls);
	print_no_lane(a, ls->dir[0]);
	if (ls->n == 0)
		return 0;
	qsort(ls->v, ls->n, sizeof(ls->v[0]), by_age);
	fputs("ID        PID     STATE       SIZE USED     RECORDS  REFUSED  "
	    "AGE          MACHINE  WORKER  SERVICE\n", a->out);
	for (i = 0; i < ls->n; i++) {
		if (ls->v[i]->error < 0) {
			print_bad(a, ls->v[i]);
			continue;
		}
		print_lane(a, ls->v[i], now);
		print_jobs(a, ls->v[i]);
	}
	return 0;
}

int
admin_ring(int argc, char **argv, struct admin *a)
{
	struct lanes *ls;
	int r;

	if (argc > 1)
		return admin_usage(a, "ring", "'%s' is not understood",
		    argv[1]);
	r = reader_guard_install();
	ls = r < 0 ? NULL : calloc(1, sizeof(*ls));
	if (ls == NULL) {
		fprintf(a->err, "emplogd ring: %s\n",
		    strerror(r < 0 ? -r : ENOMEM));
		return 1;
	}
	lanes_init(ls, a->sys != NULL ? a->sys : &shm_sys_os,
	    conf_text(a->conf, KEY_common_ring_dir),
	    conf_text(a->conf, KEY_common_state_dir));
	r = lanes_scan(ls);
	if (r < 0)
		fprintf(a->err, "emplogd ring: %s\n", strerror(-r));
	r = r < 0 ? 1 : print_all(a, ls);
	lanes_fini(ls);
	free(ls);
	return r;
}
