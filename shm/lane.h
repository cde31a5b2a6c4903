/* SPDX-License-Identifier: ISC */
/*
 * lane.h - one producer's shared memory, byte by byte
 *
 * What:     a file of control area and byte stream; one writer (a process,
 *           lent to one of its threads at a time), one reader (the agent).
 * Used by:  shm/writer.c (producer), shm/reader.c (agent, observers).
 * Format:   version 1, little endian; a change of bytes bumps LANE_VERSION
 *           and the old one is still read.
 *
 *   0          64 KiB control area
 *              0      struct lane_head      written before the rename
 *              4096   struct lane_producer  the producer's words
 *              8192   struct lane_agent     the agent's words
 *              12288  struct lane_mark[64]
 *              16384  struct lane_job[64]   jobs in progress
 *   65536      data, data_bytes long (a power of two, 64 KiB .. 4 MiB)
 *
 *      tail                         head
 *       |  published, unacknowledged  |   free            (mod data_bytes)
 *
 *   A position is a u64 count of bytes since creation and never wraps; the
 *   byte at position p lies at p & (data_bytes - 1).  0 <= head - tail <=
 *   data_bytes always.  [tail, head) is made of whole records and is a valid
 *   PackedForward body as it lies.  The producer maps the data twice, back
 *   to back, so a record never wraps for it; the agent maps it once.
 *
 * What the agent sees when the producer dies at any instruction
 *   before the rename     a .tmp-<id> without lock: garbage, unlinked
 *   while encoding        nothing: head is stored once, with release, after
 *                         the whole record is in place
 *   between the record and its counters   the record; counters are relaxed
 *                         and may be one record behind
 *   while holding gap_claim               LANE_CLAIM_PRODUCER of a dead lane
 *                         is void
 *
 * The agent trusts nothing here: each field is loaded once into a local and
 * bounded against its own cursor and the file's size.  The producer trusts
 * the agent's words only so far that a wrong one loses records: tail is
 * bounded by head and head - data_bytes, retired and knock_at are hints.
 *
 * Liveness: an OFD write lock on the file, taken before the rename, held by
 * the mapping alone (the descriptor is closed after mmap, the mapping is
 * MADV_DONTFORK): lock, mapping and process end together.
 *
 * Marks: mark i belongs to stripe i (data_bytes / 64 each).  When head passes
 * into a stripe, the producer stores the first record boundary in it and the
 * records so far.  pos is stored last, with release.  A mark is a hint: valid
 * only if tail < pos <= head.
 */
#ifndef EMPLOG_LANE_H
#define EMPLOG_LANE_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define LANE_MAGIC		"EMPLANE"	/* 8 bytes with its NUL */
#define LANE_VERSION		1
#define LANE_CONTROL_BYTES	65536
#define LANE_DATA_MIN		(64u << 10)
#define LANE_DATA_MAX		(4u << 20)
#define LANE_POSITION_MAX	(UINT64_MAX / 2)	/* none comes so far */
#define LANE_MARKS		64
#define LANE_JOBS		64
#define LANE_ID_LEN		16
#define LANE_IDENTITY_MAX	2048
#define LANE_RECORD_MAX		(256u << 10)	/* and data_bytes / 4 */
#define LANE_SEVERITIES		6	/* trace debug info warn error fatal */

struct lane_head {
	char		 magic[8];
	uint32_t	 version;
	uint32_t	 control_bytes;
	uint64_t	 data_bytes;
	uint8_t		 id[LANE_ID_LEN];
	uint32_t	 pid;		/* for humans: never used to judge life */
	uint32_t	 uid;
	uint64_t	 created_ns;	/* wall clock */
	uint32_t	 flags;		/* LANE_F_* */
	uint32_t	 identity_len;
	uint8_t		 reserved[448];
	uint8_t		 identity[LANE_IDENTITY_MAX]; /* msgpack map, str: str */
};
#define LANE_F_ON_DISK	0x1	/* in state_dir/ring, not in the tmpfs */
#define LANE_F_AGENT	0x2	/* the agent's own */
#define LANE_F_EXTRA	0x4	/* not its process's first lane: no jobs in it,
				   and its death is told by the first one's */

struct lane_producer {
	_Atomic uint64_t head;		/* release: record bytes before it */
	_Atomic uint64_t records;	/* published */
	uint8_t		 pad0[48];
	/* refused for want of room, by severity, and when; relaxed */
	_Atomic uint64_t refused[LANE_SEVERITIES];
	_Atomic uint64_t refused_bytes;
	_Atomic uint64_t refused_first_ns;	/* of the run not yet told */
	_Atomic uint64_t refused_last_ns;
	_Atomic uint64_t told[LANE_SEVERITIES];	/* said in gap records */
	_Atomic uint64_t shortened;	/* strings cut */
	_Atomic uint64_t redacted;	/* secrets replaced */
	_Atomic uint64_t oversize;	/* records refused as too large */
	_Atomic uint64_t knocks;
	_Atomic uint32_t closed;	/* 1: closed cleanly */
	_Atomic uint32_t gap_claim;	/* LANE_CLAIM_*: who tells the gap */
};
#define LANE_CLAIM_NONE		0u
#define LANE_CLAIM_PRODUCER	1u
#define LANE_CLAIM_AGENT	2u

struct lane_agent {
	_Atomic uint64_t tail;		/* acknowledged or in the agent's queue */
	uint8_t		 pad0[56];
	_Atomic uint64_t knock_at;	/* head at which to write to the FIFO;
					   UINT64_MAX: never */
	uint8_t		 pad1[56];
	_Atomic uint32_t retired;	/* 1: open a new lane */
	uint8_t		 pad2[4];
	_Atomic uint64_t counted;	/* refusals in the agent's counters */
};

struct lane_mark {
	_Atomic uint64_t pos;		/* release: records before it */
	_Atomic uint64_t records;
};

struct lane_job {			/* one job in progress */
	_Atomic uint32_t state;		/* LANE_JOB_* */
	uint32_t	 len;		/* of id, <= sizeof(id) */
	uint64_t	 received_mono_ns;	/* 0: not received */
	uint64_t	 started_mono_ns;	/* 0: not started */
	uint64_t	 received_wall_ns;
	char		 id[96];
};
#define LANE_JOB_FREE	0u
#define LANE_JOB_BUSY	1u		/* being filled */
#define LANE_JOB_SET	2u		/* release: the fields before it */

#define LANE_PRODUCER_AT	4096
#define LANE_AGENT_AT		8192
#define LANE_MARKS_AT		12288
#define LANE_JOBS_AT		16384
#define LANE_DATA_AT		LANE_CONTROL_BYTES

static_assert(sizeof(struct lane_head) == 512 + LANE_IDENTITY_MAX, "head");
static_assert(offsetof(struct lane_head, data_bytes) == 16, "data_bytes");
static_assert(offsetof(struct lane_head, id) == 24, "id");
static_assert(offsetof(struct lane_head, created_ns) == 48, "created_ns");
static_assert(offsetof(struct lane_head, identity) == 512, "identity");
static_assert(offsetof(struct lane_producer, refused) == 64, "refused");
static_assert(offsetof(struct lane_producer, told) == 136, "told");
static_assert(offsetof(struct lane_producer, closed) == 216, "closed");
static_assert(sizeof(struct lane_producer) == 224, "producer");
static_assert(offsetof(struct lane_agent, knock_at) == 64, "knock_at");
static_assert(offsetof(struct lane_agent, retired) == 128, "retired");
static_assert(offsetof(struct lane_agent, counted) == 136, "counted");
static_assert(sizeof(struct lane_mark) == 16, "mark");
static_assert(sizeof(struct lane_job) == 128, "job");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "u64 atomics need no lock");

/*
 * The ring directory
 *   <id>.lane     a lane; id is 32 hex digits
 *   .tmp-<id>     a lane being made; without a lock and a minute old: garbage
 *   <id>.dead     a drained lane kept for tail and ring
 *   knock         FIFO, 0666: one byte wakes the agent
 *   ring.ctl      struct ring_ctl, 0666
 *   agent.lock    OFD lock: the agent runs
 */
#define RING_CTL_BYTES	4096
struct ring_ctl {
	char		 magic[8];	/* "EMPRING" */
	uint32_t	 version;
	uint32_t	 pad;
	_Atomic uint64_t no_lane;	/* records refused for want of a lane */
	_Atomic uint64_t no_lane_last_ns;
	_Atomic uint64_t told;		/* of no_lane, in gap records */
};

#endif
