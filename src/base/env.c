/* SPDX-License-Identifier: ISC */
/* env.c - memory and log of one instance of a role; the contract is in env.h */

#include "base/env.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "counters/fates.h"
#include "banned.h"

static void *
plain_alloc(void *arg, size_t n)
{
	return calloc(1, n);
}

static void
plain_release(void *arg, void *p)
{
	free(p);
}

int
env_init(struct env *env, struct loop *loop, const char *name)
{
	must(name != NULL);
	*env = (struct env){
		.loop = loop, .log_level = LOG_INFO, .log_fd = STDERR_FILENO,
		.name = name, .alloc = plain_alloc, .release = plain_release,
	};
	return counters_init(&env->ctr);
}

void
env_fini(struct env *env)
{
	counters_fini(&env->ctr);
	fates_free(&env->fates);
}

void *
env_alloc(struct env *env, size_t n)
{
	must(n > 0);
	return env->alloc(env->mem_arg, n);
}

void
env_free(struct env *env, void *p)
{
	if (p != NULL)
		env->release(env->mem_arg, p);
}

char *
env_strdup(struct env *env, const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy;

	copy = env_alloc(env, n);
	if (copy != NULL)
		memcpy(copy, s, n);
	return copy;
}

void
env_log(struct env *env, enum log_level level, const char *fmt, ...)
{
	static const char *const word[] = { "error", "warning", "info", "debug" };
	char line[1024];
	va_list ap;
	int n, m;

	if (level > env->log_level)
		return;
	n = snprintf(line, sizeof(line), "emplogd %s: %s: ", env->name,
	    word[level]);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n += m;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n] = '\0';
	if (env->log_sink != NULL) {
		env->log_sink(env->log_arg, level, line);
		return;
	}
	if (env->log_fd < 0)
		return;
	line[n++] = '\n';
	(void)!write(env->log_fd, line, (size_t)n);
}
