/* SPDX-License-Identifier: ISC */
/* reader_inner.h - what reader.c and reader_said.c share */
#ifndef EMPLOG_READER_INNER_H
#define EMPLOG_READER_INNER_H

#include "shm/reader.h"

static inline struct lane_producer *
producer(const struct reader *r)
{
	return (struct lane_producer *)((uintptr_t)r->base + LANE_PRODUCER_AT);
}

static inline struct lane_agent *
agent(const struct reader *r)
{
	return (struct lane_agent *)((uintptr_t)r->base + LANE_AGENT_AT);
}

static inline uint64_t
relaxed(const _Atomic uint64_t *p)
{
	return atomic_load_explicit(p, memory_order_relaxed);
}

#endif
