/* SPDX-License-Identifier: ISC */
/* tls_files.c - one side's identity, as its files say now; see tls.h */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <xxhash.h>

#include "base/must.h"
#include "loop/tls_in.h"
#include "banned.h"

#define S		UINT64_C(1000000000)
#define FRESH_NS	S		/* so old a look may be */
#define EVERY_NS	(3600 * S)	/* a look when nobody comes */
#define DAY_S		UINT64_C(86400)
#define SOON_S		(14 * DAY_S)
#define UNREADABLE	1		/* no digest is asked for it */

enum step { OPEN, READ, CLOSE };

static void	 step_done(struct op *op);
static void	 timer_done(struct op *op);
static void	 next_file(struct tls *t);

/* ---- life ---- */

static void
free_all(struct tls *t)
{
	struct env *env = t->env;
	int i;

	for (i = 0; i < TLS_FILES; i++) {
		env_free(env, t->file[i].path);
		if (t->file[i].bytes != NULL)
			OPENSSL_cleanse(t->file[i].bytes, t->file[i].len);
		env_free(env, t->file[i].bytes);
	}
	SSL_CTX_free(t->ctx);
	OPENSSL_cleanse(t->plain, sizeof(t->plain));
	t->magic = 0;
	env_free(env, t);
}

int
tls_new(struct tls **ret_t, struct env *env, const struct tls_conf *conf)
{
	const char *path[TLS_FILES] = { conf->cert, conf->key, conf->ca };
	struct tls *t;
	int i, r = 0;

	must(!conf->server || (conf->cert != NULL && conf->key != NULL));
	t = env_alloc(env, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->magic = TLS_MAGIC;
	t->env = env;
	t->server = conf->server;
	t->fd = -1;
	op_init(&t->op, step_done, t);
	op_init(&t->timer, timer_done, t);
	for (i = 0; i < TLS_FILES; i++) {
		if (path[i] == NULL)
			continue;
		t->file[i].path = env_strdup(env, path[i]);
		if (t->file[i].path == NULL)
			r = -ENOMEM;
	}
	if (r == 0)
		*ret_t = t;
	else
		free_all(t);
	return r;
}

void
tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	if (t == NULL)
		return;
	must(t->magic == TLS_MAGIC);
	must(!t->looking && op_idle(&t->timer));
	must(t->conns == 0);
	free_all(t);
	*tp = NULL;
}

uint64_t
tls_expires(const struct tls *t)
{
	must(t->magic == TLS_MAGIC);
	return t->expires;
}

void
tls_on_news(struct tls *t, void (*news)(void *arg, enum tls_news what,
    const char *text), void *arg)
{
	t->news = news;
	t->news_arg = arg;
}

static void
tell(struct tls *t, enum tls_news what, const char *text)
{
	if (t->news != NULL)
		t->news(t->news_arg, what, text);
}

/* ---- the end of a look ---- */

static uint64_t
digest_of(const struct tls *t)
{
	XXH64_hash_t h = 1;
	int i;

	for (i = 0; i < TLS_FILES; i++)
		if (t->file[i].bytes != NULL)
			h = XXH3_64bits_withSeed(t->file[i].bytes,
			    t->file[i].len, h + (uint64_t)i);
	return h;
}

static void
date_text(uint64_t s, char *text, size_t cap)
{
	time_t at = (time_t)s;
	struct tm tm;

	if (gmtime_r(&at, &tm) == NULL ||
	    strftime(text, cap, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		(void)snprintf(text, cap, "?");
}

static void
warn_of_end(struct tls *t)
{
	uint64_t now = loop_wall(t->env->loop) / S;
	char text[TLS_WHY], date[32];

	if (t->expires == 0 || t->expires > now + SOON_S ||
	    (t->warned == t->expires && now - t->warned_at < DAY_S))
		return;
	t->warned = t->expires;
	t->warned_at = now;
	date_text(t->expires, date, sizeof(date));
	(void)snprintf(text, sizeof(text), "certificate '%s' %s on %s",
	    t->file[TLS_CERT].path, t->expires > now ? "ends" : "ended", date);
	tell(t, TLS_ENDS, text);
}

/* Told once for each state of the files. */
static void
refused(struct tls *t, uint64_t digest)
{
	char text[TLS_WHY + 64];

	if (digest == t->bad_digest)
		return;
	t->bad_digest = digest;
	(void)snprintf(text, sizeof(text),
	    "%s; the files read before stay in use", t->why);
	tell(t, TLS_REFUSED, text);
}

static void
use_files(struct tls *t)
{
	uint64_t digest = digest_of(t);
	bool first = t->ctx == NULL;

	if (!first && digest == t->digest)
		return;
	t->res = tls_make_ctx(t);
	if (t->res == 0) {
		t->digest = digest;
		t->bad_digest = 0;
		if (!first)
			tell(t, TLS_RENEWED, "the TLS files were renewed");
	} else if (!first) {
		refused(t, digest);
	}
}

static void
look_over(struct tls *t)
{
	void (*opened)(void *, int, const char *) = t->opened;
	void (*closed)(void *) = t->closed;
	struct tls_conn *c;

	t->looking = false;
	t->looked_ns = loop_now(t->env->loop);
	if (t->res == 0)
		use_files(t);
	else if (t->ctx != NULL)
		refused(t, UNREADABLE);
	warn_of_end(t);
	env_free(t->env, t->room);
	t->room = NULL;
	if (op_idle(&t->timer) && !t->closing && t->file[TLS_CERT].path != NULL)
		loop_timer(t->env->loop, &t->timer, t->looked_ns + EVERY_NS);
	while ((c = t->waiting) != NULL) {
		tls_forget(t, c);
		conn_begin(c);
	}
	if (opened != NULL) {
		t->opened = NULL;
		opened(t->opened_arg, t->ctx != NULL ? 0 :
		    t->res < 0 ? t->res : -EINVAL, t->why);
	}
	if (t->closing && closed != NULL && op_idle(&t->timer)) {
		t->closed = NULL;
		closed(t->closed_arg);
	}
}

/* ---- a look: each file opened, read, closed ---- */

static void
file_fault(struct tls *t, int res)
{
	t->res = res;
	(void)snprintf(t->why, sizeof(t->why), "%s '%s': %s",
	    tls_file_names[t->at], t->file[t->at].path, res == -EFBIG ?
	    "too large for a PEM file" : strerror(-res));
}

static void
read_more(struct tls *t)
{
	t->step = READ;
	loop_read(t->env->loop, &t->op, t->fd, t->room + t->got,
	    TLS_FILE_MAX - t->got, t->got);
}

static void
keep_bytes(struct tls *t)
{
	struct tls_file *f = &t->file[t->at];
	uint8_t *copy;

	copy = env_alloc(t->env, t->got + 1);
	if (copy == NULL) {
		file_fault(t, -ENOMEM);
		return;
	}
	memcpy(copy, t->room, t->got);
	OPENSSL_cleanse(t->room, t->got);
	if (f->bytes != NULL)
		OPENSSL_cleanse(f->bytes, f->len);
	env_free(t->env, f->bytes);
	f->bytes = copy;
	f->len = t->got;
}

static void
close_file(struct tls *t)
{
	t->step = CLOSE;
	loop_close(t->env->loop, &t->op, t->fd);
	t->fd = -1;
}

static void
step_done(struct op *op)
{
	struct tls *t = op->arg;
	int64_t res = op->res;

	switch ((enum step)t->step) {
	case OPEN:
		if (res >= 0) {
			t->fd = (int)res;
			t->got = 0;
			read_more(t);
			return;
		}
		file_fault(t, (int)res);
		look_over(t);
		return;
	case READ:
		if (res > 0)
			t->got += (size_t)res;
		if (res < 0)
			file_fault(t, (int)res);
		else if (t->got == TLS_FILE_MAX)
			file_fault(t, -EFBIG);
		else if (res > 0) {
			read_more(t);
			return;
		} else
			keep_bytes(t);
		close_file(t);
		return;
	case CLOSE:
		t->at++;
		next_file(t);
		return;
	}
}

static void
next_file(struct tls *t)
{
	while (t->at < TLS_FILES && t->file[t->at].path == NULL)
		t->at++;
	if (t->res < 0 || t->at == TLS_FILES) {
		look_over(t);
		return;
	}
	t->step = OPEN;
	loop_open(t->env->loop, &t->op, t->file[t->at].path, O_RDONLY, 0);
}

/* Later: from inside here nobody is called. */
static void
begun(struct op *op)
{
	struct tls *t = op->arg;

	op_init(&t->op, step_done, t);
	t->room = env_alloc(t->env, TLS_FILE_MAX);
	if (t->room == NULL) {
		t->res = -ENOMEM;
		look_over(t);
		return;
	}
	next_file(t);
}

static void
look(struct tls *t)
{
	if (t->looking)
		return;
	t->looking = true;
	t->at = 0;
	t->res = 0;
	op_init(&t->op, begun, t);
	loop_timer(t->env->loop, &t->op, 0);
}

void
tls_open(struct tls *t, void (*opened)(void *arg, int res, const char *why),
    void *arg)
{
	must(t->magic == TLS_MAGIC);
	must(t->ctx == NULL && !t->looking);
	t->opened = opened;
	t->opened_arg = arg;
	look(t);
}

void
tls_fresh(struct tls *t, struct tls_conn *c)
{
	uint64_t now = loop_now(t->env->loop);

	if (!t->looking && t->looked_ns != 0 &&
	    now - t->looked_ns < FRESH_NS) {
		conn_begin(c);
		return;
	}
	c->waits = true;
	c->next = t->waiting;
	t->waiting = c;
	look(t);
}

void
tls_forget(struct tls *t, struct tls_conn *c)
{
	struct tls_conn **at = &t->waiting;

	while (*at != c) {
		must(*at != NULL);
		at = &(*at)->next;
	}
	*at = c->next;
	c->next = NULL;
	c->waits = false;
}

static void
timer_done(struct op *op)
{
	struct tls *t = op->arg;
	void (*closed)(void *) = t->closed;

	if (!t->closing) {
		look(t);
	} else if (!t->looking && closed != NULL) {
		t->closed = NULL;
		closed(t->closed_arg);
	}
}

void
tls_close(struct tls *t, void (*closed)(void *arg), void *arg)
{
	must(t->magic == TLS_MAGIC);
	must(!t->closing);
	t->closing = true;
	t->closed = closed;
	t->closed_arg = arg;
	if (op_idle(&t->timer))
		loop_timer(t->env->loop, &t->timer, 0);
	else
		loop_cancel(t->env->loop, &t->timer);
}
