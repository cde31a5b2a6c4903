/* SPDX-License-Identifier: ISC */
/* inherit.c - sockets from before this process; the contract is in inherit.h */

#include "loop/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "base/vars.h"
#include "loop/backend.h"
#include "loop/real.h"

#include "banned.h"

/* ---- what a service manager lists ---- */

static void
mark(int fd, bool ends_with_us)
{
	(void)fcntl(fd, F_SETFD, ends_with_us ? FD_CLOEXEC : 0);
}

int
inherit_listed(char *const *env, unsigned *ret_n)
{
	uint64_t who, n;

	if (vars_get(env, "LISTEN_PID") == NULL ||
	    vars_get(env, "LISTEN_FDS") == NULL) {
		*ret_n = 0;
		return 0;
	}
	if (!vars_number(env, "LISTEN_PID", &who) ||
	    !vars_number(env, "LISTEN_FDS", &n) || n > INHERIT_MAX)
		return -EINVAL;
	if (who != (uint64_t)getpid())
		n = 0;		/* for a parent of ours */
	*ret_n = (unsigned)n;
	return 0;
}

/* ---- addresses ---- */

static int
own_addr(int fd, struct loop_addr *ret)
{
	ret->len = sizeof(ret->sa);
	if (getsockname(fd, (struct sockaddr *)&ret->sa, &ret->len) < 0)
		return -errno;
	return ret->sa.ss_family == AF_INET || ret->sa.ss_family == AF_INET6 ?
	    0 : -EAFNOSUPPORT;
}

static in_port_t
port_of(const struct loop_addr *a)
{
	return a->sa.ss_family == AF_INET ?
	    ((const struct sockaddr_in *)&a->sa)->sin_port :
	    ((const struct sockaddr_in6 *)&a->sa)->sin6_port;
}

static bool
same_host(const struct loop_addr *a, const struct loop_addr *b)
{
	const struct sockaddr_in *a4 = (const struct sockaddr_in *)&a->sa;
	const struct sockaddr_in *b4 = (const struct sockaddr_in *)&b->sa;
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->sa;
	const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)&b->sa;

	if (a->sa.ss_family != b->sa.ss_family)
		return false;
	if (a->sa.ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return memcmp(&a6->sin6_addr, &b6->sin6_addr,
	    sizeof(a6->sin6_addr)) == 0;
}

static bool
is_any(const struct loop_addr *a)
{
	if (a->sa.ss_family == AF_INET)
		return ((const struct sockaddr_in *)&a->sa)->sin_addr.s_addr ==
		    htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(
	    &((const struct sockaddr_in6 *)&a->sa)->sin6_addr);
}

static bool
is_tcp(int fd)
{
	struct loop_addr a;
	socklen_t n = sizeof(int);
	int type = 0;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 &&
	    type == SOCK_STREAM && own_addr(fd, &a) == 0;
}

static bool
is_listener(int fd)
{
	socklen_t n = sizeof(int);
	int yes = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &n) == 0 &&
	    yes != 0;
}

/* ---- taking over ---- */

int
loop_inherit(struct loop *l, const int *fds, unsigned n)
{
	struct inherited *in = &l->inherited;
	unsigned i;

	must(in->fds == NULL);
	if (n == 0)
		return 0;
	in->fds = calloc(n, sizeof(*in->fds));
	if (in->fds == NULL)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		if (is_tcp(fds[i]))
			in->fds[in->n++] = fds[i];
	return 0;
}

unsigned
loop_inherit_end(struct loop *l, char text[LOOP_ADDR_TEXT])
{
	struct inherited *in = &l->inherited;
	struct loop_addr a;
	unsigned i, listeners = 0;

	for (i = 0; i < in->n; i++) {
		if (in->fds[i] < 0)
			continue;
		if (is_listener(in->fds[i]) && listeners++ == 0 &&
		    own_addr(in->fds[i], &a) == 0)
			loop_addr_text(&a, text);
		close(in->fds[i]);
	}
	inherit_fini(l);
	return listeners;
}

void
inherit_fini(struct loop *l)
{
	free(l->inherited.fds);
	l->inherited.fds = NULL;
	l->inherited.n = 0;
}

void
loop_outlive(struct loop *l)
{
	l->inherited.outlive = true;
}

bool
loop_outlives(const struct loop *l)
{
	return l->inherited.outlive;
}

int
inherit_flags(const struct loop *l)
{
	return l->inherited.outlive ? 0 : SOCK_CLOEXEC;
}

/* As if this backend had opened it. */
static int
hand_out(struct loop *l, int *slot)
{
	int fd = *slot, flags = fcntl(fd, F_GETFL);

	*slot = -1;
	flags &= ~O_NONBLOCK;
	if ((l->be->socket_flags & SOCK_NONBLOCK) != 0)
		flags |= O_NONBLOCK;
	(void)fcntl(fd, F_SETFL, flags);
	mark(fd, !l->inherited.outlive);
	return fd;
}

int
inherit_listener(struct loop *l, const struct loop_addr *at,
    struct loop_addr *ret_bound)
{
	struct inherited *in = &l->inherited;
	struct loop_addr a;
	unsigned i;

	for (i = 0; i < in->n; i++) {
		if (in->fds[i] < 0 || !is_listener(in->fds[i]) ||
		    own_addr(in->fds[i], &a) < 0)
			continue;
		if (port_of(&a) != port_of(at) || !same_host(&a, at))
			continue;
		if (ret_bound != NULL)
			*ret_bound = a;
		return hand_out(l, &in->fds[i]);
	}
	return -ENOENT;
}

int
loop_heir(struct loop *l, int listen_fd, struct loop_addr *ret_peer)
{
	struct inherited *in = &l->inherited;
	struct loop_addr at, a, peer;
	unsigned i;

	if (in->n == 0 || own_addr(listen_fd, &at) < 0)
		return -ENOENT;
	for (i = 0; i < in->n; i++) {
		if (in->fds[i] < 0 || is_listener(in->fds[i]) ||
		    own_addr(in->fds[i], &a) < 0)
			continue;
		if (port_of(&a) != port_of(&at) ||
		    a.sa.ss_family != at.sa.ss_family ||
		    (!is_any(&at) && !same_host(&a, &at)))
			continue;
		peer.len = sizeof(peer.sa);
		if (getpeername(in->fds[i], (struct sockaddr *)&peer.sa,
		    &peer.len) < 0)
			continue;	/* gone; closed in the end */
		*ret_peer = peer;
		return hand_out(l, &in->fds[i]);
	}
	return -ENOENT;
}

void
loop_own(struct loop *l, int fd)
{
	const int one = 1;

	if (!l->inherited.outlive)
		return;
	mark(fd, true);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}
