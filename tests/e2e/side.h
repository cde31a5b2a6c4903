/* SPDX-License-Identifier: ISC */
/*
 * side.h - what a test's producer notes beside its lane
 *
 * A record of producer p with number n carries a payload that follows from
 * both, so that whoever receives it can tell whether it is whole.  The side
 * file is mapped and survives its process:
 *
 *   0    u64 issued: numbers below it may have been written
 *   8    u64 refused
 *   16   u8  per number: 1 when emplog_log() returned 0
 *
 * payload: crc32(p, n) as eight hex digits and a blank (so that it is no run of
 * Base64, which would be shortened), repeated to 2,000 + crc % 4,000
 * characters.
 */
#ifndef EMPLOG_TESTS_SIDE_H
#define EMPLOG_TESTS_SIDE_H

#include <shm/emplog.h>

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define NUMBERS_MAX	1000000
#define PAYLOAD_MAX	6000

struct side {
	_Atomic uint64_t issued;
	_Atomic uint64_t refused;
	_Atomic uint8_t	 accepted[NUMBERS_MAX];
};

/* Goes on with the numbers of a predecessor that was killed or restarted. */
static inline struct side *
side_map(const char *path)
{
	void *p;
	int fd;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, sizeof(struct side)) < 0)
		return NULL;
	p = mmap(NULL, sizeof(struct side), PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static inline size_t
side_payload(char to[PAYLOAD_MAX], uint64_t p, uint64_t n)
{
	uint64_t key[2] = { p, n };
	uint32_t crc = libdeflate_crc32(0, key, sizeof(key));
	size_t len = 2000 + crc % 4000, i;
	char digits[10];

	snprintf(digits, sizeof(digits), "%08x ", (unsigned)crc);
	for (i = 0; i < len; i++)
		to[i] = digits[i % 9];
	return len;
}

/*
 * The next number of p as a record, its payload cut to length; may be called
 * from many threads.
 */
static inline int
side_issue_cut(struct side *s, struct emplog *log, enum emplog_level level,
    uint64_t p, size_t length)
{
	char text[PAYLOAD_MAX];
	uint64_t n;
	size_t len;
	int r;

	n = atomic_fetch_add(&s->issued, 1);
	if (n >= NUMBERS_MAX) {
		atomic_fetch_sub(&s->issued, 1);
		return -ERANGE;
	}
	len = side_payload(text, p, n);
	if (len > length)
		len = length;
	r = emplog_log(log, level, "issued",
	    (const struct emplog_field[]){ EMPLOG_UINT("p", p),
	    EMPLOG_UINT("n", n), EMPLOG_STRN("payload", text, len) }, 3);
	if (r == 0)
		atomic_store(&s->accepted[n], 1);
	else
		atomic_fetch_add(&s->refused, 1);
	return r;
}

static inline int
side_issue(struct side *s, struct emplog *log, enum emplog_level level,
    uint64_t p)
{
	return side_issue_cut(s, log, level, p, PAYLOAD_MAX);
}

#endif
