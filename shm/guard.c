/* SPDX-License-Identifier: ISC */
/* guard.c - SIGBUS on a shrunken mapping; the contract is in guard.h */

#include "shm/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

struct slot {
	_Atomic uint32_t	 state;	/* SLOT_* */
	bool			 writable;
	_Atomic uintptr_t	 base;	/* 0: nothing is guarded */
	uint64_t		 bytes;
	_Atomic uint64_t	 intact;
};
enum { SLOT_FREE, SLOT_TAKEN };

/* A signal handler has no argument: this table belongs to the process. */
static struct slot slots[GUARD_SLOTS];
static uintptr_t page_bytes;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int install_result;

static struct slot *
slot_of(uintptr_t addr)
{
	uintptr_t base;
	unsigned i;

	for (i = 0; i < GUARD_SLOTS; i++) {
		/* acquire: pairs with the release in guard_add() */
		base = atomic_load_explicit(&slots[i].base,
		    memory_order_acquire);
		if (base != 0 && addr >= base && addr - base < slots[i].bytes)
			return &slots[i];
	}
	return NULL;
}

static int
cover(struct slot *s, uintptr_t addr)
{
	uintptr_t base = atomic_load(&s->base);
	uintptr_t page = addr & ~(page_bytes - 1);
	uint64_t from = page - base;
	int prot = s->writable ? PROT_READ | PROT_WRITE : PROT_READ;

	/* Straight to the kernel: the only calls safe here are plain ones. */
	if (mmap((void *)page, s->bytes - from, prot,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) ==
	    MAP_FAILED)
		return -errno;
	if (from < atomic_load(&s->intact))
		atomic_store(&s->intact, from);
	return 0;
}

static void
on_sigbus(int sig, siginfo_t *si, void *context)
{
	int saved = errno;
	struct slot *s = NULL;

	(void)context;
	if (si->si_code > 0)	/* a fault, not somebody's kill() */
		s = slot_of((uintptr_t)si->si_addr);
	if (s == NULL || cover(s, (uintptr_t)si->si_addr) < 0) {
		/* Not ours: end as if we had never been here. */
		signal(sig, SIG_DFL);
		raise(sig);
	}
	errno = saved;
}

static void
install(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus };

	page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigemptyset(&sa.sa_mask);
	install_result = sigaction(SIGBUS, &sa, NULL) < 0 ? -errno : 0;
}

int
guard_install(void)
{
	pthread_once(&once, install);
	return install_result;
}

int
guard_add(void *base, uint64_t bytes, bool writable)
{
	uint32_t free;
	int i;

	for (i = 0; i < GUARD_SLOTS; i++) {
		free = SLOT_FREE;
		if (!atomic_compare_exchange_strong(&slots[i].state, &free,
		    SLOT_TAKEN))
			continue;
		slots[i].bytes = bytes;
		slots[i].writable = writable;
		atomic_store(&slots[i].intact, bytes);
		/* release: pairs with the acquire in slot_of() */
		atomic_store_explicit(&slots[i].base, (uintptr_t)base,
		    memory_order_release);
		return i;
	}
	return -ENOSPC;
}

void
guard_remove(int slot)
{
	if (slot < 0 || slot >= GUARD_SLOTS)
		return;
	atomic_store(&slots[slot].base, 0);
	atomic_store(&slots[slot].state, SLOT_FREE);
}

uint64_t
guard_intact(int slot)
{
	if (slot < 0 || slot >= GUARD_SLOTS)
		return 0;
	return atomic_load(&slots[slot].intact);
}
