/* SPDX-License-Identifier: ISC */
/* notify.c - datagrams to a service manager; see notify.h */

#include "loop/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/must.h"
#include "base/vars.h"
#include "banned.h"

/* Nothing when it is for another process, as the parent of a shell. */
static uint64_t
watchdog_every(char *const *env)
{
	uint64_t usec, pid;

	if (!vars_number(env, "WATCHDOG_USEC", &usec) ||
	    usec == 0 || usec > UINT64_MAX / 1000)
		return 0;
	if (vars_get(env, "WATCHDOG_PID") != NULL &&
	    (!vars_number(env, "WATCHDOG_PID", &pid) ||
	    pid != (uint64_t)getpid()))
		return 0;
	return usec * 1000 / 2;
}

/* A path, or with '@' first a name of Linux's abstract space. */
static int
address_of(struct notify *n, const char *name)
{
	size_t len = strlen(name);

	if ((*name != '/' && *name != '@') || len < 2 ||
	    len >= sizeof(n->to.sun_path))
		return -EINVAL;
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, name, len + 1);
	n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
	    (*name == '/'));
	if (*name == '@')
		n->to.sun_path[0] = '\0';
	return 0;
}

static int
send_text(const struct notify *n, const char *text, int flags)
{
	if (n->fd < 0)
		return 0;
	if (sendto(n->fd, text, strlen(text), flags | MSG_NOSIGNAL,
	    (const struct sockaddr *)&n->to, n->to_len) < 0)
		return -errno;
	return 0;
}

static void
tick(struct op *op)
{
	struct notify *n = op->arg;

	if (op->res < 0)
		return;
	(void)send_text(n, "WATCHDOG=1", MSG_DONTWAIT);
	loop_timer(n->loop, op, loop_now(n->loop) + n->every_ns);
}

int
notify_open(struct notify *n, struct loop *loop, char *const *env)
{
	const struct timeval patience = { .tv_sec = 1 };
	const char *name = vars_get(env, "NOTIFY_SOCKET");
	int r;

	*n = (struct notify){ .loop = loop, .fd = -1 };
	op_init(&n->tick, tick, n);
	if (name == NULL || *name == '\0')
		return 0;
	r = address_of(n, name);
	if (r < 0)
		return r;
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (n->fd < 0)
		return -errno;
	(void)setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
	    sizeof(patience));
	n->every_ns = watchdog_every(env);
	return 0;
}

int
notify_tell(const struct notify *n, const char *state)
{
	return send_text(n, state, 0);
}

void
notify_watch(struct notify *n)
{
	must(op_idle(&n->tick));
	if (n->every_ns > 0)
		loop_timer(n->loop, &n->tick, loop_now(n->loop));
}

void
notify_close(struct notify *n)
{
	loop_cancel(n->loop, &n->tick);
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
	n->every_ns = 0;
}
