/* SPDX-License-Identifier: ISC */
/* role.c - what every role has in common; see role.h */

#include "roles/role.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "base/remedy.h"
#include "counters/fates.h"
#include "queue/frame.h"
#include "banned.h"

#define TICK_NS	UINT64_C(5000000000)

static void
tick(struct op *op)
{
	struct role *r = op->arg;

	if (op->res < 0)
		return;
	r->env.ctr.head->seen_ns = loop_wall(r->env.loop);
	if (r->kind->conserves != NULL && !r->kind->conserves(r))
		ctr_add(&r->env.ctr, CTR_conservation_broken, 1);
	loop_timer(r->env.loop, &r->tick, loop_now(r->env.loop) + TICK_NS);
}

static void
set_state(struct role *r, const char *state)
{
	snprintf(r->env.ctr.head->state, sizeof(r->env.ctr.head->state), "%s",
	    state);
	r->env.ctr.head->seen_ns = loop_wall(r->env.loop);
}

void
role_trouble(struct role *r, const char *dir, enum queue_trouble what,
    int error)
{
	if (what == QUEUE_READS && error < 0)
		env_log(&r->env, LOG_ERROR, "cannot read the queue under "
		    "'%s': %s; it is tried for up to a minute, then what is "
		    "there counts as lost; see what the kernel says of the "
		    "disk: dmesg", dir, strerror(-error));
	else if (what == QUEUE_READS)
		env_log(&r->env, LOG_INFO, "reading the queue under '%s' goes "
		    "on", dir);
	else if (error < 0)
		env_log(&r->env, LOG_ERROR, "cannot write the queue under "
		    "'%s': %s; nothing is taken into it meanwhile; %s", dir,
		    strerror(-error), disk_remedy(error));
	else
		env_log(&r->env, LOG_INFO, "the queue under '%s' is written "
		    "again", dir);
}

void
role_unread(struct role *r, const struct queue *q, const char *dir)
{
	struct queue_unread n = queue_unread(q);

	if (n.version > 0)
		env_log(&r->env, LOG_WARN, "%u segments under '%s' are of "
		    "another version than this emplogd reads (%d), and left "
		    "alone: the emplogd that wrote them delivers them",
		    n.version, dir, FRAME_VERSION);
	if (n.failed > 0)
		env_log(&r->env, LOG_WARN, "%u segments under '%s' cannot be "
		    "read, and are left alone; see who owns them, and what "
		    "the kernel says of the disk", n.failed, dir);
}

void
role_path(const struct role *r, const char *leaf, char *path, size_t cap)
{
	int n;

	n = snprintf(path, cap, "%s/%s", r->dir, leaf);
	must(n > 0 && (size_t)n < cap);
}

/* The simulated world has no real files to map. */
static int
map_counters(struct role *r)
{
	char path[ROLE_PATH + 16];

	if (strcmp(loop_name(r->env.loop), "sim") == 0)
		return 0;
	role_path(r, "counters", path, sizeof(path));
	return counters_map(&r->env.ctr, path, r->kind->name);
}

/* Without them the audit adds up, and cannot say which. */
static void
map_fates(struct role *r)
{
	char path[ROLE_PATH + 16];
	int res;

	if (strcmp(loop_name(r->env.loop), "sim") == 0)
		return;
	role_path(r, "fates", path, sizeof(path));
	res = fates_map(&r->env.fates, path);
	if (res < 0)
		env_log(&r->env, LOG_WARN, "cannot keep '%s': %s; 'emplogd "
		    "audit' then counts records and cannot name them", path,
		    strerror(-res));
}

/* Whose counters these are, as far as they say. */
static void
tell_other(struct role *r)
{
	char path[ROLE_PATH + 16], pid[24] = "";
	char text[128];
	struct counters other;

	role_path(r, "counters", path, sizeof(path));
	if (counters_peek(&other, path) == 0) {
		snprintf(pid, sizeof(pid), ", pid %u", other.head->pid);
		counters_fini(&other);
	}
	snprintf(text, sizeof(text), "another emplogd uses it%s; give one of "
	    "them another common.state_dir", pid);
	role_fail(r, -EBUSY, "cannot use", r->dir, text);
}

/* What is kept here and goes with the container is better known before. */
static void
got_space(struct op *op)
{
	struct role *r = op->arg;
	bool bare = r->conf->no_volume;
	bool fleeting = bare || (op->res == 0 && op->space.fleeting);

	if (op->res == 0)
		r->space = op->space;
	ctr_set(&r->env.ctr, CTR_state_fleeting, fleeting);
	if (fleeting)
		env_log(&r->env, LOG_WARN, "common.state_dir '%s' is on no "
		    "volume: what is kept there is lost with the %s; %s",
		    conf_text(r->conf, KEY_common_state_dir),
		    bare ? "deployment" : "container or the machine",
		    bare ? "attach a volume to this service" :
		    "mount a volume there");
	r->kind->open(r);
}

static void
made_own_dir(struct op *op)
{
	struct role *r = op->arg;
	int res = (int)op->res;

	if (res == 0 || res == -EEXIST)
		res = map_counters(r);
	if (res == -EBUSY) {
		tell_other(r);
		return;
	}
	if (res < 0) {
		role_fail(r, res, "cannot use", r->dir, res == -EACCES ?
		    "give common.state_dir to this user; Railway's volumes "
		    "belong to root: RAILWAY_RUN_UID=0 there" :
		    res == -ENOTDIR ?
		    "common.state_dir must be a directory this user may write" :
		    disk_remedy(res));
		return;
	}
	map_fates(r);
	snprintf(r->env.ctr.head->io, sizeof(r->env.ctr.head->io), "%s",
	    loop_name(r->env.loop));
	set_state(r, "start");
	op_init(&r->op, got_space, r);
	loop_space(r->env.loop, &r->op, r->dir);
}

static void	 make_next_dir(struct role *r);

/*
 * Of those above common.state_dir most are there, and not for us to make:
 * only the last ones tell whether it can be used.
 */
static void
made_dir(struct op *op)
{
	struct role *r = op->arg;
	const char *state = conf_text(r->conf, KEY_common_state_dir);

	if (op->res < 0 && op->res != -EEXIST &&
	    strlen(r->dir) >= strlen(state)) {
		role_fail(r, (int)op->res, "cannot make", state,
		    "make it, or set common.state_dir to a directory this "
		    "user may write");
		return;
	}
	r->dir[strlen(r->dir)] = '/';
	make_next_dir(r);
}

/* One directory after the other: r->dir is cut behind it meanwhile. */
static void
make_next_dir(struct role *r)
{
	char *slash = strchr(r->dir + r->dir_made, '/');

	op_init(&r->op, slash != NULL ? made_dir : made_own_dir, r);
	if (slash != NULL) {
		r->dir_made = (size_t)(slash - r->dir) + 1;
		*slash = '\0';
	}
	loop_mkdir(r->env.loop, &r->op, r->dir, 0750);
}

struct role *
role_open(const struct role_kind *kind, const struct role_world *world,
    const struct conf *conf, void (*ready)(void *arg, struct role *r, int res),
    void *arg)
{
	struct loop *loop = world->loop;
	struct env env;
	struct role *r;
	int n;

	must(kind->size >= sizeof(*r));
	if (env_init(&env, loop, kind->name) < 0)
		return NULL;
	if (world->tune != NULL)
		world->tune(world->arg, &env);
	r = env_alloc(&env, kind->size);
	if (r == NULL) {
		env_fini(&env);
		return NULL;
	}
	r->env = env;
	r->shm_sys = world->shm_sys;
	r->kind = kind;
	r->conf = conf;
	r->ready = ready;
	r->arg = arg;
	r->env.log_level = (enum log_level)conf_num(conf,
	    KEY_common_log_level);
	n = snprintf(r->dir, sizeof(r->dir), "%s/%s",
	    conf_text(conf, KEY_common_state_dir), kind->name);
	op_init(&r->tick, tick, r);
	if (n < 0 || (size_t)n >= sizeof(r->dir)) {
		role_fail(r, -ENAMETOOLONG, "cannot use",
		    conf_text(conf, KEY_common_state_dir),
		    "common.state_dir must be shorter");
		return r;
	}
	r->dir_made = 1;	/* "/" is there */
	make_next_dir(r);
	return r;
}

static void
tell_ready(struct role *r, int res)
{
	must(!r->is_ready);
	r->is_ready = true;
	if (res == 0) {
		set_state(r, "run");
		loop_timer(r->env.loop, &r->tick,
		    loop_now(r->env.loop) + TICK_NS);
	}
	r->ready(r->arg, r, res);
}

/* state_dir's parent, state_dir, the role's own: one after the other. */
static void	 sync_next(struct role *r);

static void
dir_closed(struct op *op)
{
	sync_next(op->arg);
}

static void
dir_synced(struct op *op)
{
	struct role *r = op->arg;

	op_init(&r->op, dir_closed, r);
	loop_close(r->env.loop, &r->op, r->dir_fd);
}

static void
dir_opened(struct op *op)
{
	struct role *r = op->arg;

	if (op->res < 0) {
		sync_next(r);	/* a parent we may not read: not ours to sync */
		return;
	}
	r->dir_fd = (int)op->res;
	op_init(&r->op, dir_synced, r);
	loop_fsync(r->env.loop, &r->op, r->dir_fd);
}

static void
sync_next(struct role *r)
{
	char *slash;
	unsigned i;

	if (r->dirs_left == 0) {
		tell_ready(r, 0);
		return;
	}
	r->dirs_left--;
	snprintf(r->sync_path, sizeof(r->sync_path), "%s", r->dir);
	for (i = 0; i < r->dirs_left; i++) {
		slash = strrchr(r->sync_path, '/');
		if (slash == NULL || slash == r->sync_path)
			break;
		*slash = '\0';
	}
	op_init(&r->op, dir_opened, r);
	loop_open(r->env.loop, &r->op, r->sync_path, O_RDONLY | O_DIRECTORY,
	    0);
}

/* What was made while opening must outlive a loss of power. */
void
role_ready(struct role *r, int res)
{
	if (res < 0) {
		tell_ready(r, res);
		return;
	}
	r->dirs_left = 3;
	sync_next(r);
}

void
role_fail(struct role *r, int res, const char *what, const char *subject,
    const char *remedy)
{
	env_log(&r->env, LOG_ERROR, "%s '%s': %s; %s", what, subject,
	    strerror(-res), remedy);
	role_ready(r, res);
}

void
role_drain(struct role *r, uint64_t until_ns,
    void (*done)(void *arg, struct role *r))
{
	r->done = done;
	set_state(r, "drain");
	r->kind->drain(r, until_ns);
}

void
role_cut_off(struct role *r)
{
	set_state(r, "done");
}

static void
told_done(struct op *op)
{
	struct role *r = op->arg;

	if (!op_idle(&r->tick))
		return;
	set_state(r, "done");
	r->drained = true;
	r->done(r->arg, r);
}

static void
tick_ended(struct op *op)
{
	told_done(&((struct role *)op->arg)->op);
}

void
role_done(struct role *r)
{
	/* The tick must have ended, and done() comes from the loop. */
	op_init(&r->op, told_done, r);
	if (!op_idle(&r->tick)) {
		r->tick.done = tick_ended;
		loop_cancel(r->env.loop, &r->tick);
		return;
	}
	loop_timer(r->env.loop, &r->op, 0);
}

void
role_free(struct role **rp)
{
	struct role *r = *rp;
	struct env env;

	if (r == NULL)
		return;
	r->kind->free(r);
	env = r->env;
	env_free(&env, r);
	env_fini(&env);
	*rp = NULL;
}

uint64_t
role_queue_max(const struct role *r, enum conf_key key,
    const struct loop_space *space)
{
	uint64_t max = conf_num(r->conf, key);

	if (max == 0 || (space->total_bytes > 0 && max > space->total_bytes))
		max = space->total_bytes / 10 * 8;
	return max;
}
