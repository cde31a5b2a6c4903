/* SPDX-License-Identifier: ISC */
/*
 * malloc.h - mallinfo2() for musl, which has none: what a test has in use
 *
 * Linked with --wrap=malloc, calloc, realloc and free, statically, so that
 * the C library's own calls are seen as well.
 */
#ifndef EMPLOG_MUSL_MALLOC_H
#define EMPLOG_MUSL_MALLOC_H

#include_next <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void	*__real_malloc(size_t n);
void	*__real_realloc(void *p, size_t n);
void	 __real_free(void *p);
void	*__wrap_malloc(size_t n);
void	*__wrap_calloc(size_t n, size_t size);
void	*__wrap_realloc(void *p, size_t n);
void	 __wrap_free(void *p);

struct mallinfo2 { size_t uordblks; };

static atomic_size_t heap_used;

static inline struct mallinfo2
mallinfo2(void)
{
	return (struct mallinfo2){ atomic_load(&heap_used) };
}

static inline void *
heap_more(void *p)
{
	if (p != NULL)
		atomic_fetch_add(&heap_used, malloc_usable_size(p));
	return p;
}

static inline void
heap_less(void *p)
{
	if (p != NULL)
		atomic_fetch_sub(&heap_used, malloc_usable_size(p));
}

void *
__wrap_malloc(size_t n)
{
	return heap_more(__real_malloc(n));
}

void *
__wrap_calloc(size_t n, size_t size)
{
	void *p;

	/* The library's own calls malloc(), which would count it twice. */
	if (size > 0 && n > SIZE_MAX / size)
		return NULL;
	p = __wrap_malloc(n * size);
	if (p != NULL)
		memset(p, 0, n * size);
	return p;
}

void *
__wrap_realloc(void *p, size_t n)
{
	void *q;

	heap_less(p);
	q = __real_realloc(p, n);
	(void)heap_more(q == NULL && n > 0 ? p : q);	/* p stays then */
	return q;
}

void
__wrap_free(void *p)
{
	heap_less(p);
	__real_free(p);
}

#endif
