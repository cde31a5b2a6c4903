/* SPDX-License-Identifier: ISC */
/* asked.c - requests for dead letters; the contract is in asked.h */

#include "export/asked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/env.h"
#include "base/must.h"
#include "loop/loop.h"
#include "banned.h"

#define HEAD		"emplogd-dlq 1 "
#define AGAIN_NS	UINT64_C(30000000000)

enum asked_state {
	A_IDLE, A_MKDIR, A_LIST, A_OPEN, A_READ, A_CLOSE, A_BUSY, A_UNLINK,
	A_WATCH, A_TIMER
};

struct asked {
	struct env	*env;
	enum asked_state state;
	struct op	 op;
	struct loop_watch *watch;
	char		 dir[512];
	char		 path[800];
	int		 fd;
	size_t		 len;
	bool		 good;		/* what was read is a request */
	bool		 closing;
	struct asked_for want;
	void		(*begin)(void *arg, const struct asked_for *want);
	void		*arg;
	void		(*closed)(void *arg);
	void		*closed_arg;
	char		 text[ASKED_BYTES_MAX];
};

/* ---- the text ---- */

/* A number at *at, which moves behind it. */
static bool
take_number(const char **at, const char *end, uint64_t *ret_n)
{
	const char *p = *at;
	uint64_t n = 0;

	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		if (n > UINT64_MAX / 20)
			return false;
		n = 10 * n + (uint64_t)(*p - '0');
	}
	if (p == *at)
		return false;
	*at = p;
	*ret_n = n;
	return true;
}

static bool
take_word(const char **at, const char *end, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(end - *at) < n || memcmp(*at, word, n) != 0)
		return false;
	*at += n;
	return true;
}

/* " 7" or " 7-9" */
static bool
take_range(const char **at, const char *end, struct asked_range *ret_r)
{
	struct asked_range r;

	if (!take_word(at, end, " ") || !take_number(at, end, &r.first))
		return false;
	r.last = r.first;
	if (take_word(at, end, "-") && !take_number(at, end, &r.last))
		return false;
	*ret_r = r;
	return r.first <= r.last;
}

int
asked_read(struct bytes text, struct asked_for *ret_for)
{
	const char *at = (const char *)text.p, *end = at + text.n;
	struct asked_for *f = ret_for;
	struct asked_range r;

	f->n = 0;
	if (!take_word(&at, end, HEAD))
		return -EINVAL;
	f->drop = take_word(&at, end, "drop");
	if (!f->drop && !take_word(&at, end, "replay"))
		return -EINVAL;
	while (at < end && *at != '\n') {
		if (f->n == ASKED_RANGES_MAX || !take_range(&at, end, &r) ||
		    (f->n > 0 && r.first <= f->v[f->n - 1].last))
			return -EINVAL;
		f->v[f->n++] = r;
	}
	return at < end && f->n > 0 ? 0 : -EINVAL;
}

size_t
asked_text(const struct asked_for *want, char *buf, size_t cap)
{
	size_t n;
	unsigned i;

	n = (size_t)snprintf(buf, cap, HEAD "%s",
	    want->drop ? "drop" : "replay");
	for (i = 0; i < want->n && n < cap; i++)
		n += (size_t)snprintf(buf + n, cap - n, " %llu-%llu",
		    (unsigned long long)want->v[i].first,
		    (unsigned long long)want->v[i].last);
	if (n < cap)
		n += (size_t)snprintf(buf + n, cap - n, "\n");
	must(n < cap);
	return n;
}

bool
asked_has(const struct asked_for *want, uint64_t number)
{
	unsigned lo = 0, hi = want->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (number > want->v[mid].last)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < want->n && number >= want->v[lo].first;
}

/* ---- the files ---- */

static struct loop *
loop_of(struct asked *a)
{
	return a->env->loop;
}

static void
look(struct asked *a)
{
	a->state = A_LIST;
	loop_list(loop_of(a), &a->op, a->dir);
}

/* Nothing to do now: until something comes, or half a minute. */
static void
rest(struct asked *a, bool soon)
{
	if (!soon && a->watch != NULL) {
		a->state = A_WATCH;
		loop_watch(loop_of(a), &a->op, a->watch);
		return;
	}
	a->state = A_TIMER;
	loop_timer(loop_of(a), &a->op, loop_now(loop_of(a)) + AGAIN_NS);
}

static bool
is_request(const char *name)
{
	size_t n = strlen(name), m = strlen(ASKED_SUFFIX);

	return *name != '.' && n > m && n < 256 &&
	    strcmp(name + n - m, ASKED_SUFFIX) == 0;
}

static void
listed(struct asked *a, int64_t res)
{
	size_t i;

	for (i = 0; res > 0 && i < a->op.list.n; i++)
		if (is_request(a->op.list.names[i]))
			break;
	if (res <= 0 || i == a->op.list.n) {
		if (res >= 0)
			op_list_free(&a->op);
		rest(a, res < 0);
		return;
	}
	snprintf(a->path, sizeof(a->path), "%s/%s", a->dir,
	    a->op.list.names[i]);
	op_list_free(&a->op);
	a->state = A_OPEN;
	loop_open(loop_of(a), &a->op, a->path,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
}

static void
remove_it(struct asked *a)
{
	a->state = A_UNLINK;
	loop_unlink(loop_of(a), &a->op, a->path);
}

static void
read_more(struct asked *a)
{
	a->state = A_READ;
	loop_read(loop_of(a), &a->op, a->fd, a->text + a->len,
	    sizeof(a->text) - a->len, a->len);
}

static void
read_some(struct asked *a, int64_t res)
{
	if (res > 0)
		a->len += (size_t)res;
	if (res > 0 && a->len < sizeof(a->text)) {
		read_more(a);
		return;
	}
	a->good = res == 0 &&
	    asked_read(bytes_of(a->text, a->len), &a->want) == 0;
	a->state = A_CLOSE;
	loop_close(loop_of(a), &a->op, a->fd);
	a->fd = -1;
}

static void
refuse(struct asked *a)
{
	env_log(a->env, LOG_WARN, "'%s' is no request for dead letters that "
	    "can be read and understood", a->path);
	remove_it(a);
}

static void
was_opened(struct asked *a, int64_t res)
{
	a->len = 0;
	if (res >= 0) {
		a->fd = (int)res;
		read_more(a);
	} else if (res == -ENOENT) {	/* thought better of */
		look(a);
	} else if (res == -EACCES || res == -ELOOP || res == -EISDIR) {
		refuse(a);
	} else {
		rest(a, true);
	}
}

/* One that cannot be removed must not be done over and over. */
static void
removed(struct asked *a, int64_t res)
{
	if (res < 0 && res != -ENOENT)
		env_log(a->env, LOG_WARN, "cannot remove '%s': %s; remove it, "
		    "or it is asked for again", a->path,
		    strerror((int)-res));
	if (res < 0 && res != -ENOENT)
		rest(a, true);
	else
		look(a);
}

static void
made(struct asked *a)
{
	/* Not there, or no inotify left: then it looks now and then. */
	if (loop_watch_open(loop_of(a), a->dir, &a->watch) < 0)
		a->watch = NULL;
	look(a);
}

static void
ended(struct asked *a)
{
	a->state = A_IDLE;
	if (a->watch != NULL)
		loop_watch_close(loop_of(a), &a->watch);
	a->closed(a->closed_arg);
}

/* While closing: what is open must not be left so. */
static void
step_to_end(struct asked *a, int64_t res)
{
	if (a->state == A_LIST && res >= 0)
		op_list_free(&a->op);
	if (a->state == A_OPEN && res >= 0)
		a->fd = (int)res;
	if (a->fd >= 0) {
		a->state = A_CLOSE;
		loop_close(loop_of(a), &a->op, a->fd);
		a->fd = -1;
		return;
	}
	ended(a);
}

static void
step(struct op *op)
{
	struct asked *a = op->arg;
	int64_t res = op->res;

	if (a->closing) {
		step_to_end(a, res);
		return;
	}
	switch (a->state) {
	case A_MKDIR:	made(a);		break;
	case A_WATCH:
	case A_TIMER:	look(a);		break;
	case A_LIST:	listed(a, res);		break;
	case A_OPEN:	was_opened(a, res);	break;
	case A_READ:	read_some(a, res);	break;
	case A_CLOSE:
		a->state = A_BUSY;
		if (a->good)
			a->begin(a->arg, &a->want);
		else
			refuse(a);
		break;
	case A_UNLINK:	removed(a, res);	break;
	default:	must(false);
	}
}

int
asked_new(struct asked **ret_a, struct env *env, const char *dir,
    void (*begin)(void *arg, const struct asked_for *want), void *arg)
{
	struct asked *a;

	a = env_alloc(env, sizeof(*a));
	if (a == NULL)
		return -ENOMEM;
	a->env = env;
	a->fd = -1;
	a->begin = begin;
	a->arg = arg;
	op_init(&a->op, step, a);
	snprintf(a->dir, sizeof(a->dir), "%s/" ASKED_DIR, dir);
	*ret_a = a;
	return 0;
}

void
asked_open(struct asked *a)
{
	must(a->state == A_IDLE);
	a->state = A_MKDIR;
	loop_mkdir(loop_of(a), &a->op, a->dir, 0700);
}

void
asked_done(struct asked *a)
{
	must(a->state == A_BUSY);
	remove_it(a);
}

void
asked_close(struct asked *a, void (*closed)(void *arg), void *arg)
{
	a->closing = true;
	a->closed = closed;
	a->closed_arg = arg;
	if (op_idle(&a->op))
		ended(a);
	else
		loop_cancel(loop_of(a), &a->op);
}

void
asked_free(struct asked **ap)
{
	struct asked *a = *ap;

	if (a == NULL)
		return;
	must(op_idle(&a->op));
	env_free(a->env, a);
	*ap = NULL;
}
