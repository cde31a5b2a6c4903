/* SPDX-License-Identifier: ISC */
/*
 * issuer.c - a producer that can be killed at any instruction and audited
 *
 * usage: issuer SIDE_FILE NUMBER BURST PAUSE_MS COUNT [LENGTH]
 *
 * Writes bursts of records as side.h describes them: p is NUMBER, n counts
 * from 0.  With LENGTH payloads are cut to it.
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "side.h"

int
main(int argc, char **argv)
{
	struct emplog *log;
	struct timespec pause;
	size_t length;
	uint64_t p, left, burst, i;
	struct side *s;
	unsigned ms;
	int r;

	if (argc != 6 && argc != 7) {
		fprintf(stderr, "usage: %s SIDE_FILE NUMBER BURST PAUSE_MS "
		    "COUNT [LENGTH]\n", argv[0]);
		return 2;
	}
	s = side_map(argv[1]);
	if (s == NULL) {
		perror(argv[1]);
		return 1;
	}
	p = strtoull(argv[2], NULL, 10);
	burst = strtoull(argv[3], NULL, 10);
	ms = (unsigned)strtoul(argv[4], NULL, 10);
	pause = (struct timespec){ ms / 1000, (long)(ms % 1000) * 1000000 };
	length = argc == 7 ? strtoul(argv[6], NULL, 10) : PAYLOAD_MAX;
	r = emplog_open(&log, NULL);
	if (r < 0) {
		fprintf(stderr, "emplog_open: %s\n", strerror(-r));
		return 1;
	}
	for (left = strtoull(argv[5], NULL, 10); left > 0; left--) {
		for (i = 0; i < burst; i++)
			(void)side_issue_cut(s, log, EMPLOG_INFO, p,
			    length);
		nanosleep(&pause, NULL);
	}
	emplog_close(&log);
	return 0;
}
