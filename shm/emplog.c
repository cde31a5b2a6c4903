/* SPDX-License-Identifier: ISC */
/* emplog.c - loggers: open, close, state; the contract is in emplog.h */

#include "shm/emplog.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/ident.h"
#include "shm/jobs.h"
#include "shm/log.h"

/* The loggers of this process.  Only open and close take the mutex. */
static struct {
	pthread_mutex_t	 mutex;
	unsigned	 loggers;
	struct ident	 lane;		/* the first logger's: the lanes' */
} all = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/*
 * In a child the mutex may be held by a thread that does not exist there, and
 * the lanes are the parent's.
 */
static void
settle_fork(void)
{
	static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

	if (atomic_load(pool.fork_word) == POOL_READY)
		return;
	all.mutex = fresh;
	pool_settle();
}

static void
pool_open_as(const struct ident *id)
{
	struct pool_conf conf = {
		.sys = pool.conf.sys != NULL ? pool.conf.sys : &shm_sys_os,
		.lane_bytes = id->lane_bytes,
		.ring_max = id->ring_max,
		.ring_owner = id->ring_owner,
	};

	memcpy(conf.ring_dir, id->ring_dir, sizeof(conf.ring_dir));
	memcpy(conf.state_dir, id->state_dir, sizeof(conf.state_dir));
	conf.identity_len = ident_map(id, conf.identity);
	pool_open(&conf);
}

/* It turned logging off in the pipeline before this one. */
static void
say_ignored(const struct ident *id)
{
	static const char text[] = "emplog: DISABLE_FLUENT_BIT_LOGGING is "
	    "ignored, EMPLOG_DISABLED=1 turns logging off\n";
	const struct shm_sys *sys = pool.conf.sys;

	if (getenv("DISABLE_FLUENT_BIT_LOGGING") == NULL ||
	    id->console == EMPLOG_CONSOLE_OFF || id->level > EMPLOG_FATAL)
		return;
	(void)sys->say(sys->arg, 2, text, sizeof(text) - 1);
}

int
emplog_open(struct emplog **ret_log, const struct emplog_options *o)
{
	struct emplog *log = NULL;
	struct ident *id;
	int r;

	if (ret_log == NULL)
		return -EINVAL;
	r = pool_init();
	if (r < 0)
		return r;
	id = calloc(1, sizeof(*id));
	log = calloc(1, sizeof(*log));
	r = id == NULL || log == NULL ? -ENOMEM : ident_settle(id, o);
	if (r < 0)
		goto out;
	settle_fork();
	pthread_mutex_lock(&all.mutex);
	if (all.loggers++ == 0) {
		all.lane = *id;
		pool_open_as(id);
		say_ignored(id);
	}
	log->level = id->level;
	log->console = id->console;
	log->extra_len = ident_extra(id, &all.lane, log->extra,
	    &log->extra_pairs);
	pthread_mutex_unlock(&all.mutex);
	*ret_log = log;
	log = NULL;
out:
	free(log);
	free(id);
	return r;
}

void
emplog_close(struct emplog **log)
{
	if (log == NULL || *log == NULL)
		return;
	settle_fork();
	pthread_mutex_lock(&all.mutex);
	if (--all.loggers == 0)
		pool_close();
	pthread_mutex_unlock(&all.mutex);
	free(*log);
	*log = NULL;
}

void
emplog_get_stats(struct emplog *log, struct emplog_stats *ret_stats)
{
	if (ret_stats == NULL)
		return;
	*ret_stats = (struct emplog_stats){ 0 };
	if (log == NULL)
		return;
	settle_fork();
	pool_stats(ret_stats);
}

/* Why there is no lane, in words for whoever runs the program. */
static void
say_why(char *buf, size_t cap, const char *dir, int error)
{
	const char *why = strerror(-error);

	if (error == -ENOSPC)
		why = "no room for a lane";
	else if (error == -ELOOP)
		why = "is a symbolic link";
	else if (error == -EPERM)
		why = "belongs to another user, or others may write to it "
		    "without the sticky bit";
	else if (error == -EFBIG)
		why = "the file size limit (ulimit -f) is below a lane's size";
	(void)snprintf(buf, cap, "console: %s: %s", dir, why);
}

const char *
emplog_state(struct emplog *log)
{
	struct lane *l = &pool.lane[0];
	const char *note = "";

	if (log == NULL)
		return "closed";
	settle_fork();
	if (log->level > EMPLOG_FATAL)
		return "disabled: EMPLOG_DISABLED is set";
	if (!pool_lock(l, 1u << 20)) {
		say_why(log->state, sizeof(log->state), pool.conf.ring_dir,
		    atomic_load(&pool.error));
		return log->state;
	}
	if (atomic_load(&pool.made_ring) != 0)
		note = " (the directory was missing: made 0700 for this user "
		    "only)";
	(void)snprintf(log->state, sizeof(log->state), "lane %s%s",
	    l->w.path, note);
	pool_give(l);
	return log->state;
}

/*
 * A program that ends by exit(3) has not died, unless it leaves jobs behind:
 * then the agent shall say so.
 */
__attribute__((destructor)) static void
exiting(void)
{
	pool_exit(jobs_count() == 0);
}
