/* SPDX-License-Identifier: ISC */
/*
 * lane_kit.h - lanes made by hand, also such as no honest producer makes
 *
 * What:     one lane file with every word in reach of the test.  kit_put()
 *           publishes as the writer does; the test may then lie.
 * Used by:  tests/test_reader.c, tests/test_drain.c.
 */
#ifndef EMPLOG_LANE_KIT_H
#define EMPLOG_LANE_KIT_H

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/lane.h"

struct kit {
	char			 path[200];
	uint8_t			 id[LANE_ID_LEN];
	struct lane_head	*head;
	struct lane_producer	*prod;
	struct lane_agent	*agent;
	struct lane_mark	*marks;
	struct lane_job		*jobs;
	uint8_t			*data;
	uint64_t		 data_bytes;
	uint64_t		 at;
	uint64_t		 next_mark;
	int			 fd;		/* its lock lives with it */
};

static inline void
kit_hex(const uint8_t id[LANE_ID_LEN], char text[33])
{
	unsigned i;

	for (i = 0; i < LANE_ID_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
}

static inline void
kit_map(struct kit *k)
{
	uint8_t *p;

	p = mmap(NULL, LANE_DATA_AT + k->data_bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED, k->fd, 0);
	ck_assert(p != MAP_FAILED);
	k->head = (struct lane_head *)p;
	k->prod = (struct lane_producer *)(p + LANE_PRODUCER_AT);
	k->agent = (struct lane_agent *)(p + LANE_AGENT_AT);
	k->marks = (struct lane_mark *)(p + LANE_MARKS_AT);
	k->jobs = (struct lane_job *)(p + LANE_JOBS_AT);
	k->data = p + LANE_DATA_AT;
}

static inline void
kit_lock(struct kit *k)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	ck_assert_int_eq(fcntl(k->fd, F_OFD_SETLK, &fl), 0);
}

/* identity: a msgpack map as bytes. */
static inline void
kit_make(struct kit *k, const char *dir, unsigned name, uint64_t data_bytes,
    const void *identity, uint32_t identity_len)
{
	uint8_t id[LANE_ID_LEN];
	char hex[33];

	*k = (struct kit){ .data_bytes = data_bytes };
	memset(id, (int)(name & 0xff), sizeof(id));
	id[0] = (uint8_t)(0xA0 + (name >> 8));	/* never all zero */
	kit_hex(id, hex);
	memcpy(k->id, id, sizeof(id));
	snprintf(k->path, sizeof(k->path), "%s/%s.lane", dir, hex);
	k->fd = open(k->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
	ck_assert_int_ge(k->fd, 0);
	ck_assert_int_eq(ftruncate(k->fd,
	    (off_t)(LANE_DATA_AT + data_bytes)), 0);
	kit_lock(k);
	kit_map(k);
	memcpy(k->head->magic, LANE_MAGIC, 8);
	k->head->version = LANE_VERSION;
	k->head->control_bytes = LANE_CONTROL_BYTES;
	k->head->data_bytes = data_bytes;
	memcpy(k->head->id, id, sizeof(id));
	k->head->pid = (uint32_t)getpid();
	k->head->uid = (uint32_t)getuid();
	k->head->created_ns = 1;
	k->head->identity_len = identity_len;
	if (identity_len > 0)
		memcpy(k->head->identity, identity, identity_len);
}

/* One record of n bytes; the marks as lane.h says. */
static inline void
kit_put(struct kit *k, const void *record, uint64_t n)
{
	uint64_t stripe = k->data_bytes / LANE_MARKS;
	const uint8_t *p = record;
	struct lane_mark *m;
	uint64_t i;

	for (i = 0; i < n; i++)
		k->data[(k->at + i) & (k->data_bytes - 1)] = p[i];
	k->at += n;
	atomic_store(&k->prod->head, k->at);
	atomic_fetch_add(&k->prod->records, 1);
	if (k->at < k->next_mark)
		return;
	m = &k->marks[(k->at / stripe) % LANE_MARKS];
	atomic_store(&m->records, atomic_load(&k->prod->records));
	atomic_store(&m->pos, k->at);
	k->next_mark = (k->at / stripe + 1) * stripe;
}

/* The process ends: lock and mapping go, the file stays. */
static inline void
kit_die(struct kit *k)
{
	if (k->head != NULL)
		munmap(k->head, LANE_DATA_AT + k->data_bytes);
	if (k->fd >= 0)
		close(k->fd);
	k->head = NULL;
	k->fd = -1;
}

#endif
