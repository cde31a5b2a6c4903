/* SPDX-License-Identifier: ISC */
/* hand.c - ops finished by other threads; the contract is in backend.h */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/must.h"
#include "loop/backend.h"

#include "banned.h"

int
loop_hand_open(struct loop *l)
{
	int fd;

	if (l->hand.fd >= 0)
		return 0;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	l->hand.fd = fd;
	return 0;
}

void
loop_hand_close(struct loop *l)
{
	must(atomic_load(&l->hand.first) == NULL);
	if (l->hand.fd >= 0)
		close(l->hand.fd);
	l->hand.fd = -1;
}

void
loop_complete_from_thread(struct loop *l, struct op *op, int64_t res)
{
	const uint64_t one = 1;
	int fd = l->hand.fd;
	struct op *old;

	op->res = res;
	old = atomic_load_explicit(&l->hand.first, memory_order_relaxed);
	do
		op->next = old;
	/* release: pairs with the acquire in loop_hand_take() */
	while (!atomic_compare_exchange_weak_explicit(&l->hand.first, &old, op,
	    memory_order_release, memory_order_relaxed));
	/* Whoever made the list non-empty wakes; the others ride along. */
	if (old == NULL)
		(void)!write(fd, &one, sizeof(one));
}

void
loop_hand_take(struct loop *l)
{
	struct op *op, *next, *oldest = NULL;
	uint64_t count;

	/* First the eventfd, then the list: what comes between wakes again. */
	(void)!read(l->hand.fd, &count, sizeof(count));
	op = atomic_exchange_explicit(&l->hand.first, NULL,
	    memory_order_acquire);
	for (; op != NULL; op = next) {
		next = op->next;
		op->next = oldest;
		oldest = op;
	}
	for (op = oldest; op != NULL; op = next) {
		next = op->next;
		loop_complete(l, op, op->res);
	}
}
