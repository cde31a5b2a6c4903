/* SPDX-License-Identifier: ISC */
/*
 * notify.h - what a service manager is told: ready, stopping, still turning
 *
 * What:     sd_notify(3)'s datagrams to $NOTIFY_SOCKET, and WATCHDOG=1 from a
 *           timer of the loop, twice in the time that $WATCHDOG_USEC allows: a
 *           loop that no longer turns is silent, and is started anew.
 * Used by:  roles/main.c.
 * Never:    waits longer than a second for a manager that does not read, and
 *           for the watchdog not at all.
 *
 * Written out here because it is one sendto(2), and libsystemd would bring
 * six libraries into an agent that shares its container with a worker.
 */
#ifndef EMPLOG_NOTIFY_H
#define EMPLOG_NOTIFY_H

#include <sys/un.h>

#include "loop/loop.h"

struct notify {
	struct loop	*loop;		/* borrowed */
	struct op	 tick;
	uint64_t	 every_ns;	/* 0: no watchdog */
	int		 fd;		/* -1: nobody wants to know */
	socklen_t	 to_len;
	struct sockaddr_un to;
};

/*
 * env is environ: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are looked
 * for.  -EINVAL: the socket's name is none; such a notify tells nobody.
 */
int	 notify_open(struct notify *n, struct loop *loop, char *const *env);
/* "READY=1", "STOPPING=1": 0, also when nobody wants to know, or -errno. */
int	 notify_tell(const struct notify *n, const char *state);
/* Tells WATCHDOG=1 from now on, if that is wanted. */
void	 notify_watch(struct notify *n);
/* The tick is cancelled, and completes like any other op. */
void	 notify_close(struct notify *n);

#endif
