/* SPDX-License-Identifier: ISC */
/*
 * circuit.h - how long to leave a failing backend alone
 *
 * What:     opens after CIRCUIT_FAILURES failed requests in CIRCUIT_WINDOW_NS;
 *           then one probe at a time, the wait doubling from 1 s to 60 s with
 *           full jitter after the cap; one success closes it.
 *
 *   CLOSED --5 failures in 30 s--> OPEN --wait over--> HALF --success--> CLOSED
 *                                   ^------failure------'
 * Time comes in, random comes in: pure.
 */
#ifndef EMPLOG_CIRCUIT_H
#define EMPLOG_CIRCUIT_H

#include <stdbool.h>
#include <stdint.h>

#define CIRCUIT_FAILURES	5
#define CIRCUIT_WINDOW_NS	UINT64_C(30000000000)
#define CIRCUIT_WAIT_MIN_NS	UINT64_C(1000000000)
#define CIRCUIT_WAIT_MAX_NS	UINT64_C(60000000000)

enum circuit_state { CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_HALF };

struct circuit {
	enum circuit_state state;
	uint64_t	 failed_ns[CIRCUIT_FAILURES];	/* the latest ones */
	unsigned	 failed_n;
	unsigned	 opened_n;	/* in a row without a success */
	uint64_t	 until_ns;	/* OPEN: when a probe may go */
};

/* May a request go now?  In HALF only one may: the call takes that right. */
bool	 circuit_try(struct circuit *c, uint64_t now);
void	 circuit_ok(struct circuit *c);
/* random: any 64 bits. */
void	 circuit_failed(struct circuit *c, uint64_t now, uint64_t random);
/* The probe ended without telling anything about the backend. */
void	 circuit_unused(struct circuit *c, uint64_t now);

/*
 * The wait before attempt n (1: the first repeat) of one request: uniform in
 * [d/4, d], d = min(30 s, 0.5 s * 2^n): spread after the cap, never at once.
 */
uint64_t retry_wait_ns(unsigned attempt, uint64_t random);
/* What Retry-After says, exactly; but who says a year is asked in an hour. */
#define RETRY_AFTER_MAX_NS	UINT64_C(3600000000000)
uint64_t retry_after_ns(uint64_t ms);

#endif
