/* SPDX-License-Identifier: ISC */
/*
 * main.c - emplogd: reads what was asked for, runs the roles, ends in time
 *
 * SIGTERM, SIGINT   drain within common.grace_ms; a second one ends at once
 * SIGHUP            read the configuration anew; a refused one changes nothing
 */

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "config.h"
#include "admin/admin.h"
#include "base/must.h"
#include "config/keys.h"
#include "loop/inherit.h"
#include "loop/notify.h"
#include "roles/keep.h"
#include "roles/options.h"
#include "roles/role.h"
#include "banned.h"

#define ROLES		3
#define FILES		8192	/* connections of both ports, and files */

extern char **environ;

struct process {
	struct opts	 opts;
	const struct kept *kept;	/* what was there before; never NULL */
	struct loop	*loop;
	struct conf	*conf;
	struct conf	*fresh_conf;	/* of the last SIGHUP, or NULL */
	struct role	*role[ROLES];
	unsigned	 role_n;
	unsigned	 waiting;	/* roles not yet ready, or not yet done */
	bool		 failed;
	bool		 draining;
	bool		 keeper_told;	/* to end */
	unsigned	 drain_at;	/* next role to drain */
	uint64_t	 until_ns;
	struct op	 signal_op;
	struct op	 grace;
	struct notify	 notify;
	int		 signal_fd;
	char		 why[LOOP_WHY];
};

static void
tell(void *arg, bool fault, const char *line)
{
	fprintf(stderr, "emplogd: %s: %s\n", fault ? "error" : "note", line);
}

/* A service manager that asked for it. */
static void
tell_manager(struct process *p, const char *state)
{
	int r = notify_tell(&p->notify, state);

	if (r < 0)
		fprintf(stderr, "emplogd: warning: cannot tell NOTIFY_SOCKET "
		    "'%s': %s\n", state, strerror(-r));
}

static int
read_conf(const struct opts *o, struct conf **ret_conf)
{
	struct conf_source src = {
		.file = o->file, .env = environ, .sets = o->sets,
		.sets_n = o->sets_n, .roles = o->roles, .tell = tell,
	};

	return conf_read(ret_conf, &src);
}

/* emplogd [--config=…] status … */
static int
run_verb(const struct opts *o, int argc, char **argv)
{
	const struct conf_source given = { .file = o->file, .sets = o->sets,
	    .sets_n = o->sets_n, .roles = o->roles };

	return admin_main(argc, argv, &given);
}

/* What is in force of keys that main itself looks at. */
static const struct conf *
conf_now(const struct process *p)
{
	return p->fresh_conf != NULL ? p->fresh_conf : p->conf;
}

/* ---- ending ---- */

static void	 drain_next(struct process *p);

/* Records kept on disk, drained or not. */
static uint64_t
kept(const struct process *p)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < p->role_n; i++)
		n += p->role[i]->kind->kept(p->role[i]);
	return n;
}

/* The last line, and the exit status that goes with it. */
static int
tell_end(const struct process *p)
{
	uint64_t n = kept(p);

	fprintf(stderr, "emplogd: ended; %" PRIu64 " records kept on disk\n",
	    n);
	return n == 0 ? 0 : (int)conf_num(conf_now(p), KEY_common_exit_kept);
}

/* Everything acknowledged is durable: ending here loses nothing. */
static void
end_at_once(struct process *p)
{
	unsigned i;

	for (i = 0; i < p->role_n; i++)
		if (p->role[i] != NULL)
			role_cut_off(p->role[i]);
	if (p->waiting == 0)
		_exit(tell_end(p));
	fputs("emplogd: ended before it was ready\n", stderr);
	_exit(0);		/* nothing was taken in yet */
}

static void
role_ended(void *arg, struct role *r)
{
	drain_next(arg);
}

/* The agent first: what it spills to a relay of this process still counts. */
static void
drain_next(struct process *p)
{
	struct role *r;

	if (p->drain_at == p->role_n) {
		loop_stop(p->loop);
		return;
	}
	r = p->role[p->drain_at++];
	role_drain(r, p->until_ns, role_ended);
}

static void
grace_over(struct op *op)
{
	struct process *p = op->arg;

	if (op->res < 0)
		return;
	fprintf(stderr, "emplogd: warning: could not drain within "
	    "common.grace_ms; what was acknowledged is on disk\n");
	end_at_once(p);
}

static void
drain(struct process *p)
{
	uint64_t grace = conf_num(conf_now(p), KEY_common_grace_ms) * 1000000;

	p->draining = true;
	tell_manager(p, "STOPPING=1");
	p->until_ns = loop_now(p->loop) + grace - grace / 8;
	loop_timer(p->loop, &p->grace, loop_now(p->loop) + grace);
	p->drain_at = 0;
	drain_next(p);
}

/* Keys that a running process takes over; the others say that they are not. */
static bool
is_live(enum conf_key k)
{
	static const enum conf_key live[] = {
		KEY_common_log_level, KEY_common_grace_ms,
		KEY_common_exit_kept, KEY_exporter_endpoint,
		KEY_exporter_token, KEY_exporter_token_file,
		KEY_exporter_dataset, KEY_exporter_headers,
		KEY_exporter_names, KEY_exporter_limits,
		KEY_exporter_compression, KEY_exporter_timeout,
		KEY_exporter_window,
	};
	size_t i;

	for (i = 0; i < sizeof(live) / sizeof(live[0]); i++)
		if (live[i] == k)
			return true;
	return false;
}

static void
tell_stale(const struct process *p, const struct conf *fresh)
{
	int k;

	for (k = 0; k < KEY_COUNT; k++)
		if (!is_live((enum conf_key)k) &&
		    strcmp(conf_text(fresh, (enum conf_key)k),
		    conf_text(p->conf, (enum conf_key)k)) != 0)
			fprintf(stderr, "emplogd: warning: '%s' has changed: "
			    "that needs a restart\n", key_info[k].name);
}

static void
reload(struct process *p)
{
	struct conf *fresh;
	unsigned i;
	int r;

	r = read_conf(&p->opts, &fresh);
	if (r < 0) {
		fprintf(stderr, "emplogd: error: the new configuration is "
		    "refused, the old one stays\n");
		for (i = 0; i < p->role_n; i++)
			ctr_add(&p->role[i]->env.ctr, CTR_config_refused, 1);
		return;
	}
	for (i = 0; i < p->role_n; i++) {
		p->role[i]->env.log_level = (enum log_level)conf_num(fresh,
		    KEY_common_log_level);
		if (p->role[i]->kind->reload != NULL)
			p->role[i]->kind->reload(p->role[i], fresh);
		ctr_add(&p->role[i]->env.ctr, CTR_config_reloads, 1);
	}
	tell_stale(p, fresh);
	/* The first one stays as long as the roles: they borrow its texts. */
	conf_free(&p->fresh_conf);
	p->fresh_conf = fresh;
	fprintf(stderr, "emplogd: note: configuration read anew\n");
}

/* ---- signals ---- */

static void
wait_signal(struct process *p)
{
	loop_poll(p->loop, &p->signal_op, p->signal_fd, POLLIN);
}

/*
 * Who signals a whole group or tree reaches this process and its keeper, who
 * passes it on: that is one signal, and only the keeper's count as a second.
 */
static void
told_to_end(struct process *p, pid_t by)
{
	bool again = p->draining || p->waiting > 0;

	if (p->kept->keeper != 0 && p->draining) {
		again = by == p->kept->keeper && p->keeper_told;
		p->keeper_told |= by == p->kept->keeper;
		if (!again)
			return;
	}
	p->keeper_told = by == p->kept->keeper;
	if (again)
		end_at_once(p);
	else
		drain(p);
}

static void
on_signal(struct op *op)
{
	struct process *p = op->arg;
	struct signalfd_siginfo si;

	if (op->res < 0)
		return;
	while (read(p->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo != SIGHUP)
			told_to_end(p, (pid_t)si.ssi_pid);
		else if (!p->draining && p->waiting == 0)
			reload(p);
	}
	wait_signal(p);
}

static int
open_signals(struct process *p)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* RLIMIT_FSIZE: -EFBIG is enough */
	/* As process 1 of a container it inherits what others leave behind. */
	signal(SIGCHLD, SIG_IGN);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return p->signal_fd < 0 ? -errno : 0;
}

/* ---- starting ---- */

/* Connections must not take what the disk needs; a shell gives 1024. */
static void
raise_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= FILES)
		return;
	l.rlim_cur = l.rlim_max < FILES ? l.rlim_max : FILES;
	(void)setrlimit(RLIMIT_NOFILE, &l);
}

/* Sockets that no role listens to, of a manager's unit or an old port. */
static void
tell_unwanted(struct process *p)
{
	char text[LOOP_ADDR_TEXT];

	if (loop_inherit_end(p->loop, text) > 0)
		fprintf(stderr, "emplogd: warning: a listening socket was "
		    "inherited that no role asks for: '%s'; it is closed\n",
		    text);
}

static void
all_ready(struct process *p)
{
	char names[64] = "";
	size_t n = 0;
	unsigned i;

	for (i = p->role_n; i-- > 0;)
		n += (size_t)snprintf(names + n, sizeof(names) - n, " %s",
		    p->role[i]->kind->name);
	tell_unwanted(p);
	fprintf(stderr, "emplogd: ready:%s (%s)\n", names, p->why);
	for (i = 0; i < p->role_n; i++)
		ctr_set(&p->role[i]->env.ctr, CTR_process_restarts,
		    p->kept->starts);
	keep_ready(p->kept);
	tell_manager(p, "READY=1");
	notify_watch(&p->notify);
	if (p->opts.check)
		drain(p);
}

static void	 open_next_role(struct process *p);

static void
role_opened(void *arg, struct role *r, int res)
{
	struct process *p = arg;

	p->waiting--;
	if (res < 0) {
		p->failed = true;
		loop_stop(p->loop);
	} else if (p->waiting == 0) {
		all_ready(p);
	} else {
		open_next_role(p);
	}
}

/* Last to first: a relay listens before the agent of its process connects. */
static void
open_next_role(struct process *p)
{
	static const struct role_kind *const order[ROLES] = {
		&role_agent, &role_relay, &role_exporter
	};
	struct role_world world = { p->loop, &shm_sys_os, NULL, NULL };
	unsigned i, want = p->waiting - 1, seen = 0;
	unsigned bits = p->conf->roles;

	if ((bits & ROLE_RELAY) != 0 &&
	    strcmp(conf_text(p->conf, KEY_relay_next), "export") == 0)
		bits &= ~ROLE_EXPORTER;		/* the relay is one itself */
	for (i = 0; i < ROLES; i++)
		if ((bits & order[i]->bit) != 0 && seen++ == want)
			break;
	must(i < ROLES);
	p->role[want] = role_open(order[i], &world, p->conf, role_opened,
	    p);
	if (p->role[want] == NULL) {
		fprintf(stderr, "emplogd: error: there is not enough memory\n");
		p->failed = true;
		loop_stop(p->loop);
	}
}

static unsigned
count_roles(const struct conf *c)
{
	unsigned bits = c->roles, n = 0;

	if ((bits & ROLE_RELAY) != 0 &&
	    strcmp(conf_text(c, KEY_relay_next), "export") == 0)
		bits &= ~ROLE_EXPORTER;
	for (; bits != 0; bits &= bits - 1)
		n++;
	return n;
}

static int
start(struct process *p)
{
	static const enum loop_io ios[] = { LOOP_AUTO, LOOP_URING, LOOP_EPOLL };
	int r;

	p->role_n = p->waiting = count_roles(p->conf);
	if (p->role_n == 0) {
		fprintf(stderr, "emplogd: error: no role; give --role=agent, "
		    "relay or exporter (or several, separated by commas)\n");
		return EXIT_CONFIG;
	}
	r = open_signals(p);
	if (r == 0)
		r = loop_new(&p->loop, ios[conf_num(p->conf, KEY_common_io)],
		    p->why);
	if (r < 0) {
		fprintf(stderr, "emplogd: error: cannot open the event loop: "
		    "%s; %s\n", strerror(-r), p->why);
		return 1;
	}
	r = loop_inherit(p->loop, p->kept->fds, p->kept->n);
	if (r < 0)
		return 1;
	if (p->kept->keeper != 0)
		loop_outlive(p->loop);
	r = notify_open(&p->notify, p->loop, environ);
	if (r < 0)
		fprintf(stderr, "emplogd: warning: cannot use NOTIFY_SOCKET: "
		    "%s\n", strerror(-r));
	op_init(&p->signal_op, on_signal, p);
	op_init(&p->grace, grace_over, p);
	wait_signal(p);
	open_next_role(p);
	loop_run(p->loop);
	return p->failed ? 1 : 0;
}

static void
tear_down(struct process *p)
{
	unsigned i;

	for (i = 0; i < p->role_n; i++)
		role_free(&p->role[i]);
	loop_cancel(p->loop, &p->signal_op);
	loop_cancel(p->loop, &p->grace);
	notify_close(&p->notify);
	while (loop_pending(p->loop) > 0)
		loop_turn(p->loop, true);
	loop_free(&p->loop);
	close(p->signal_fd);
	conf_free(&p->fresh_conf);
	conf_free(&p->conf);
}

/* One life of it: all there is, or a child of the keeper. */
static int
work(void *arg, const struct kept *kept)
{
	struct process p = { .opts = *(struct opts *)arg, .kept = kept };
	int status;

	if (read_conf(&p.opts, &p.conf) < 0)
		return EXIT_CONFIG;
	status = start(&p);
	if (status != 0)
		return status;	/* half open: the kernel takes it all back */
	if (p.opts.check)
		fprintf(stderr, "emplogd: the configuration is good and the "
		    "start succeeds\n");
	else
		status = tell_end(&p);
	tear_down(&p);
	return status;
}

int
main(int argc, char **argv)
{
	struct opts opts = { 0 };
	struct kept kept;
	int status;

	/*
	 * Buffers of bodies and batches go back to the kernel when they are
	 * freed, and a few helper threads need no heaps of their own.
	 */
	(void)mallopt(M_MMAP_THRESHOLD, 128 << 10);
	(void)mallopt(M_ARENA_MAX, 1);
	if (options_read(&opts, argc, argv, &status) != 0)
		return status;
	if (optind < argc)
		return run_verb(&opts, argc - optind, argv + optind);
	if (kept_init(&kept, environ) < 0)
		fprintf(stderr, "emplogd: warning: cannot use LISTEN_FDS: it "
		    "and LISTEN_PID must be numbers, and no more than %d "
		    "sockets\n", INHERIT_MAX);
	raise_files();
	if (opts.keep && !opts.check)
		return keep_run(&kept, work, &opts);
	return work(&opts, &kept);
}
