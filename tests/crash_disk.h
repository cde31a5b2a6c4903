/* SPDX-License-Identifier: ISC */
/*
 * crash_disk.h - what a disk may hold after the power went
 *
 *   sim_record --> trace --instants_step()--> durable disk + pending events
 *                                             --make_image(subset)--> disk
 *
 * A trace is what was done to a simulated disk, in order.  At an instant a
 * part of it is durable, for a sync came after it; of the rest any subset may
 * be found, and of a write any sectors.  Names are durable once their
 * directory was synced.  When a sync failed, no later one makes durable what
 * was pending then: of a file not even what is written afterwards, of a
 * directory what is named afterwards.
 */
#ifndef EMPLOG_TESTS_CRASH_DISK_H
#define EMPLOG_TESTS_CRASH_DISK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim.h"

#define SECTOR		512u
#define EVENTS_MAX	8192u
#define FILES_MAX	256u

struct event {
	enum op_kind	 kind;
	uint64_t	 ino;
	char		 path[64], path2[64];
	uint8_t		*data;
	uint64_t	 off, len;
	int64_t		 res;
};

struct trace {
	struct event	 ev[EVENTS_MAX];
	uint32_t	 n;
};

struct file {
	uint64_t	 ino;
	bool		 is_dir;
	bool		 broken;	/* a sync failed: nothing gets durable */
	uint8_t		*data;
	uint64_t	 size, cap;
};
struct name { char path[64]; uint64_t ino; };
struct disk {
	struct file	 file[FILES_MAX];
	uint32_t	 files;
	struct name	 name[FILES_MAX];
	uint32_t	 names;
};

struct instants {
	const struct trace *t;
	struct disk	*d;		/* durable */
	uint32_t	 pending[EVENTS_MAX];
	bool		 stuck[EVENTS_MAX];	/* by event; names that no sync helps */
	uint32_t	 n;
};

extern uint64_t rnd;		/* never 0 */
uint32_t dice(uint32_t n);

/* The test's: says where it is, and ends it. */
void	 broken(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2), noreturn));

/* For sim_record(); arg: struct trace. */
void	 record(void *arg, const struct sim_disk_op *op);
void	 trace_clear(struct trace *t);

/* Made empty when it is not there. */
struct file *file_of(struct disk *d, uint64_t ino);
void	 resize(struct file *f, uint64_t size);
/* ino 0: the name goes. */
void	 name_set(struct disk *d, const char *path, uint64_t ino);
void	 disk_clear(struct disk *d);
void	 disk_copy(struct disk *to, const struct disk *from);

/* After event k too; all before it were stepped over. */
void	 instants_step(struct instants *in, uint32_t k);
/* What no disk will show any more makes no other images. */
void	 instants_sweep(struct instants *in);
/* The durable disk, and of the pending events those in mask. */
void	 make_image(struct disk *img, const struct instants *in, uint64_t mask,
	    bool tear);

/* A host without files has these. */
void	 disk_put(struct sim_host *h, const struct disk *d);
/* The inodes as sim_install() numbers them, parents first. */
void	 disk_renumber(struct disk *d);
/* The inodes of a run that began with img, as img has them. */
void	 trace_translate(struct trace *t, const struct disk *img);

#endif
