/* SPDX-License-Identifier: ISC */
/*
 * musl_bridge.c - what a libstdc++ made for glibc asks of the C library
 *
 * A test's alone: the one JavaScript runtime for musl that npm has wants a
 * libstdc++, and Debian has one for glibc only.  Both C libraries agree on
 * nearly all it uses; this file, loaded by the name of glibc's loader, is the
 * rest.  The addon under test is made by musl-gcc and needs nothing of it.
 */

#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

int	 __cpu_indicator_init(void);
int	 __cxa_thread_atexit_impl(void (*fn)(void *), void *arg, void *dso);
size_t	 __strftime_l(char *s, size_t cap, const char *format,
	    const struct tm *tm, locale_t locale);
uint32_t arc4random(void);

char __libc_single_threaded;
unsigned __cpu_model[4];

int
__cpu_indicator_init(void)
{
	return 0;
}

uint32_t
arc4random(void)
{
	uint32_t v = 0;

	(void)getrandom(&v, sizeof(v), 0);
	return v;
}

size_t
__strftime_l(char *s, size_t cap, const char *format, const struct tm *tm,
    locale_t locale)
{
	return strftime_l(s, cap, format, tm, locale);
}

/* ---- destructors of a thread's variables, the last made first ---- */

struct dtor {
	struct dtor	*next;
	void		(*fn)(void *);
	void		*arg;
};
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
dtors_run(void *p)
{
	struct dtor *d = p, *next;

	for (; d != NULL; d = next) {
		next = d->next;
		d->fn(d->arg);
		free(d);
	}
}

static void
key_make(void)
{
	(void)pthread_key_create(&key, dtors_run);
}

int
__cxa_thread_atexit_impl(void (*fn)(void *), void *arg, void *dso)
{
	struct dtor *d = malloc(sizeof(*d));

	(void)dso;
	if (d == NULL)
		return -1;
	(void)pthread_once(&once, key_make);
	*d = (struct dtor){ pthread_getspecific(key), fn, arg };
	return pthread_setspecific(key, d);
}

/* ---- where the unwind table of an address is ---- */

struct dl_find_object {		/* as in glibc's dlfcn.h */
	unsigned long long flags;
	void		*start;
	void		*end;
	void		*map;
	void		*eh_frame;
	unsigned long long reserved[7];
};
int	 _dl_find_object(void *pc, struct dl_find_object *ret);

struct wanted {
	uintptr_t	 pc;
	struct dl_find_object *found;
};

static int
object_look(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct wanted *w = arg;
	uintptr_t at, low = UINTPTR_MAX, high = 0, table = 0;
	unsigned i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		at = info->dlpi_addr + p->p_vaddr;
		if (p->p_type == PT_GNU_EH_FRAME)
			table = at;
		if (p->p_type != PT_LOAD)
			continue;
		low = at < low ? at : low;
		high = at + p->p_memsz > high ? at + p->p_memsz : high;
	}
	if (table == 0 || w->pc < low || w->pc >= high)
		return 0;
	*w->found = (struct dl_find_object){ .start = (void *)low,
	    .end = (void *)high, .eh_frame = (void *)table };
	return 1;
}

int
_dl_find_object(void *pc, struct dl_find_object *ret)
{
	struct wanted w = { (uintptr_t)pc, ret };

	return dl_iterate_phdr(object_look, &w) == 1 ? 0 : -1;
}
