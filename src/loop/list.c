/* SPDX-License-Identifier: ISC */
/* list.c - the answer of an OP_LIST; the contract is in backend.h */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loop/backend.h"

#include "banned.h"

void
list_add(struct list_names *ln, const char *name)
{
	size_t n = strlen(name) + 1, cap = ln->cap;
	char *more;

	if (ln->error < 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return;
	if (ln->n == LOOP_LIST_MAX) {
		ln->error = -E2BIG;
		return;
	}
	while (cap - ln->len < n)
		cap = cap == 0 ? 1024 : cap * 2;
	if (cap != ln->cap) {
		more = realloc(ln->text, cap);
		if (more == NULL) {
			ln->error = -ENOMEM;
			return;
		}
		ln->text = more;
		ln->cap = cap;
	}
	memcpy(ln->text + ln->len, name, n);
	ln->len += n;
	ln->n++;
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One block: the pointers, then the text they point into. */
static char **
names_pack(const struct list_names *ln)
{
	char **names, *text;
	size_t i;

	names = malloc(ln->n * sizeof(*names) + ln->len);
	if (names == NULL)
		return NULL;
	text = (char *)(names + ln->n);
	memcpy(text, ln->text, ln->len);
	for (i = 0; i < ln->n; i++) {
		names[i] = text;
		text += strlen(text) + 1;
	}
	qsort(names, ln->n, sizeof(*names), by_bytes);
	return names;
}

int64_t
list_end(struct list_names *ln, struct op *op)
{
	char **names = NULL;
	int64_t r = ln->error;

	if (r == 0 && ln->n > 0) {
		names = names_pack(ln);
		if (names == NULL)
			r = -ENOMEM;
	}
	if (r == 0) {
		op->list.names = names;
		op->list.n = ln->n;
		r = (int64_t)ln->n;
	}
	free(ln->text);
	*ln = (struct list_names){ 0 };
	return r;
}

void
op_list_free(struct op *op)
{
	free(op->list.names);
	op->list.names = NULL;
	op->list.n = 0;
}
