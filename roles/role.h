/* SPDX-License-Identifier: ISC */
/*
 * role.h - what every role has in common, and how main drives it
 *
 * What:     a role is open, wire, run, drain, close.  main calls role_open(),
 *           waits for ready, later role_drain(), waits for done, role_free().
 *
 *   role_open() -> state_dir, counters -> kind->open() -> role_ready(res)
 *   role_drain() -> kind->drain() -> role_done()
 */
#ifndef EMPLOG_ROLE_H
#define EMPLOG_ROLE_H

#include "base/env.h"
#include "config/config.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "shm/sys.h"

struct role;

struct role_kind {
	const char	*name;
	unsigned	 bit;		/* ROLE_* */
	size_t		 size;		/* of the struct that begins with role */
	/* Goes on until role_ready(); told problems by role_fail(). */
	void		(*open)(struct role *r);
	/* Ends by role_done(), whatever peers do, before until_ns. */
	void		(*drain)(struct role *r, uint64_t until_ns);
	/* What of it this role takes over while it runs; NULL: nothing. */
	void		(*reload)(struct role *r, const struct conf *conf);
	/* Records kept on disk. */
	uint64_t	(*kept)(struct role *r);
	/* Taken is delivered, held or counted as lost; NULL: see src/drain. */
	bool		(*conserves)(struct role *r);
	/* Frees what open made. */
	void		(*free)(struct role *r);
};

extern const struct role_kind role_agent, role_relay, role_exporter;

#define ROLE_PATH	400

/* What a role stands on; the simulator gives its own. */
struct role_world {
	struct loop	*loop;
	const struct shm_sys *shm_sys;
	/* Changes memory or log of the env before anything uses it; or NULL. */
	void		(*tune)(void *arg, struct env *env);
	void		*arg;
};

struct role {
	const struct role_kind *kind;
	struct env	 env;
	const struct conf *conf;
	const struct shm_sys *shm_sys;
	char		 dir[ROLE_PATH];	/* state_dir/<name> */
	size_t		 dir_made;	/* so much of it is looked at */
	char		 sync_path[ROLE_PATH];
	unsigned	 dirs_left;
	int		 dir_fd;
	struct loop_space space;	/* of dir, at start; zero: not known */
	struct op	 op;
	struct op	 tick;
	bool		 is_ready;
	bool		 drained;
	void		(*ready)(void *arg, struct role *r, int res);
	void		(*done)(void *arg, struct role *r);
	void		*arg;
};

/*
 * Makes the role's directory and counters and opens it.  ready(arg, role,
 * res) once; a failure was already told to the operator.  NULL: no memory.
 */
struct role *role_open(const struct role_kind *kind,
	    const struct role_world *world, const struct conf *conf,
	    void (*ready)(void *arg, struct role *r, int res), void *arg);
void	 role_drain(struct role *r, uint64_t until_ns,
	    void (*done)(void *arg, struct role *r));
/* The process ends now: status is to call it stopped, not dead. */
void	 role_cut_off(struct role *r);
/* After done, or after ready with a failure. */
void	 role_free(struct role **r);

/* For the kinds. */
void	 role_ready(struct role *r, int res);
void	 role_done(struct role *r);
/*
 * Says what could not be done with which subject, and what to do; ends the
 * opening.
 */
void	 role_fail(struct role *r, int res, const char *what,
	    const char *subject, const char *remedy);
/* queue_conf.trouble of the queue in dir: one line at each end of it. */
void	 role_trouble(struct role *r, const char *dir,
	    enum queue_trouble what, int error);
/* What its open left alone there, a line for each kind. */
void	 role_unread(struct role *r, const struct queue *q, const char *dir);
/* dir/leaf, cut never: ROLE_PATH and leaf are bounded (must). */
void	 role_path(const struct role *r, const char *leaf, char *path,
	    size_t cap);
/*
 * The key's own value; 80 % of the file system when that is 0, or more than
 * there is.
 */
uint64_t role_queue_max(const struct role *r, enum conf_key key,
	    const struct loop_space *space);

#endif
