/* SPDX-License-Identifier: ISC */
/*
 * admin.h - the verbs of emplogd: what an administrator asks
 *
 * What:     status, audit, trace, ring, tail, queue, dlq, help, version, ca,
 *           migrate.  They read the same files the roles write (counters,
 *           lanes), so they work on a stopped host too, and need no
 *           socket, no daemon and no agreement with one.
 * Used by:  main, with the rest of its arguments.
 * Never:    write to a lane or a counters file; print a control character that
 *           stood in a record.
 *
 * A verb returns the exit status: 0, 1 trouble, EXIT_CONFIG a fault in the
 * arguments (told on err).
 */
#ifndef EMPLOG_ADMIN_H
#define EMPLOG_ADMIN_H

#include <stdbool.h>
#include <stdio.h>

#include "config/config.h"

#define EXIT_CONFIG	78	/* configuration or command line */

struct shm_sys;

struct admin {
	const struct conf *conf;	/* borrowed; NULL will do for help */
	FILE		*out;
	FILE		*err;
	const struct shm_sys *sys;	/* NULL: shm_sys_os */
	/* Asked between two looks of tail -f; NULL: for ever. */
	bool		(*go_on)(void *arg);
	void		*arg;
};

struct admin_verb {
	const char	*name;
	int		(*run)(int argc, char **argv, struct admin *a);
	const char	*usage;
	const char	*brief;
	bool		 needs_conf;
};

/* Ends with a row whose name is NULL. */
extern const struct admin_verb admin_verbs[];
/* NULL: there is none of this name. */
const struct admin_verb *admin_find(const char *name);
/* One line on err: "emplogd tail: …", and how it is used.  EXIT_CONFIG. */
int	 admin_usage(struct admin *a, const char *verb, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));

/*
 * The whole of "emplogd verb ...": argv[0] is the verb.  given holds what
 * stood before it (file, sets, roles).  Takes --config=file and
 * --set=section.key=value out of the arguments wherever they stand, reads the
 * configuration leniently (the daemon's secrets are not in everybody's
 * environment) and runs the verb on stdout and stderr.
 */
int	 admin_main(int argc, char **argv, const struct conf_source *given);
/*
 * Memory for what is to be printed, jansson's too; without it the process
 * says so and ends with 1.  Half of what there is, printed as if it were all,
 * would be worse; a verb holds nothing that an end here would lose.
 */
void	*admin_needed(size_t n);
/* How emplogd is called, two lines or three. */
void	 admin_synopsis(FILE *to);

/* argv[0] is the verb itself. */
int	 admin_audit(int argc, char **argv, struct admin *a);
int	 admin_status(int argc, char **argv, struct admin *a);
int	 admin_trace(int argc, char **argv, struct admin *a);
int	 admin_ring(int argc, char **argv, struct admin *a);
int	 admin_tail(int argc, char **argv, struct admin *a);
int	 admin_dlq(int argc, char **argv, struct admin *a);
int	 admin_ca(int argc, char **argv, struct admin *a);
int	 admin_queue(int argc, char **argv, struct admin *a);
int	 admin_help(int argc, char **argv, struct admin *a);
int	 admin_migrate(int argc, char **argv, struct admin *a);
int	 admin_version(int argc, char **argv, struct admin *a);

#endif
