/* SPDX-License-Identifier: ISC */
/*
 * damage_rig.h - a queue that is spoilt, and what must be so when it opens
 *
 * make_base() makes a queue once, with known frames, some committed, and
 * keeps its files in base[].  A test changes a copy of them in now[], says
 * with touch() or touched[] which frames it has spoilt, and calls trial(),
 * which puts now[] on a disk of its own, opens it and compares.
 *
 *   base[seg] --restore()--> now[seg] --spoilt--> trial(harmed)
 *   place[] : where in base[] each frame lies   unit[] : what was put
 *
 * A process tries those disks whose turn is its own: see is_mine().
 */
#ifndef EMPLOG_TESTS_DAMAGE_RIG_H
#define EMPLOG_TESTS_DAMAGE_RIG_H

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "queue/look.h"

#include "queue_world.h"

#define DIR		"/var/lib/q"
#define SEGMENT		(128u << 10)
#define SEGS		3u
#define UNITS_MAX	400u
#define SEGS_MAX	8u
#define FRAMES_MAX	1200u
#define TAIL		(64u << 10)
#define LOOK_EVERY	7u	/* trials, of those where all is there */

/* An assertion of check's writes a file each time, and there are millions. */
#define holds(claim, ...) do {						\
	if (!(claim))							\
		ck_abort_msg(__VA_ARGS__);				\
} while (0)

struct unit {
	struct queue_put put;
	uint32_t	 len;
	uint64_t	 from, seq;
	bool		 committed;
};

struct place {			/* of a frame */
	uint32_t	 seg;
	size_t		 at, size;
	uint8_t		 kind;
	uint32_t	 unit;
};

struct segment_bytes { uint8_t *p; size_t n; uint64_t number; };

struct kept { uint64_t bytes; unsigned files; };

/* What the processes have tried; shared. */
struct tried { uint64_t disks, flips; };

struct seen {
	struct look	 look;
	uint64_t	 held, places, bytes;
	bool		 over;
};

extern struct unit unit[UNITS_MAX];
extern uint32_t units;
extern struct segment_bytes base[SEGS_MAX], now[SEGS_MAX];
extern uint32_t segs;
extern struct place place[FRAMES_MAX];
extern uint32_t places;
extern uint64_t rnd, trials, seed;
extern uint32_t jobs, job;	/* this one of them */
extern char note[128];		/* what was done, for words */
/* What the damage did to each frame, as the test that did it knows. */
extern bool touched[FRAMES_MAX];
/* What the last take_all() gave. */
extern bool came[UNITS_MAX];
extern bool extra;		/* the frame of goes_on() may come too */

uint32_t dice(uint32_t n);

/* ---- the queue that is spoilt ---- */

void	 make_base(void);
/* The frames of base[seg] into place[]. */
void	 find_places(uint32_t seg);
/* now[] is as base[]. */
void	 restore(void);
/* All frames that have a byte in [from, to) of a segment are spoilt. */
void	 touch(uint32_t seg, size_t from, size_t to);
/* Does the file, if it ends there, end in a frame that shows? */
bool	 cuts_frame(uint32_t seg, size_t at);

/* ---- a disk of its own ---- */

/* A world without a queue; then its disk holds now[]. */
void	 run_begin(struct run *r);
void	 install(struct run *r);
/* Opened, which must not fail; closed; and the world's end. */
void	 run_open(struct run *r);
void	 run_close(struct run *r);
void	 run_end(struct run *r);
/* One more put, until it is durable. */
void	 goes_on(struct run *r);
/* Everything there is to take: into came[], with bytes and order compared. */
void	 take_all(struct run *r);
/* What emplogd queue check sees. */
void	 look(struct run *r, struct seen *s);
/* For sim_files(): counts what lies in quarantine; arg: struct kept. */
void	 in_quarantine(void *arg, const char *path, struct bytes b);

/* ---- one trial ---- */

/* Is the disk that is to be tried now this process's?  Else touched[] is
   cleared. */
bool	 is_mine(void);
/* now[] is the directory; harmed: at least one byte that matters is wrong.
   Clears touched[]. */
void	 trial(bool harmed);

/* ---- damage_files.c ---- */

void	 damage_files(Suite *s);
/* A case of its own, with make_base() before it. */
void	 damage_case(Suite *s, const char *name, const TTest *test);

#endif
