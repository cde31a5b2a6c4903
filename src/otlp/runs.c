/* SPDX-License-Identifier: ISC */
/* runs.c - runs of records become one request; the contract is in runs.h */

#include "otlp/runs.h"

#include "otlp/pb.h"
#include "banned.h"

#define RL		PB_LEN(1)	/* ExportLogsServiceRequest */
#define SL		PB_LEN(2)	/* ResourceLogs */

static size_t
field_len(size_t n)
{
	return 1 + pb_varint_len(n) + n;
}

static uint8_t *
field_put(uint8_t *p, uint8_t tag, size_t n)
{
	*p++ = tag;
	return pb_varint_put(p, n);
}

static size_t
scope_logs_len(const struct run *r)
{
	return r->scope_n + r->records_n;
}

/* Moves a run's scope and records to p, their lengths in front. */
static uint8_t *
place_scope(const uint8_t *mem, const struct run *r, uint8_t *p)
{
	p = field_put(p, SL, scope_logs_len(r));
	memmove(p, mem + r->scope_at, r->scope_n);
	p += r->scope_n;
	memmove(p, mem + r->records_at, r->records_n);
	return p + r->records_n;
}

/* Of a ResourceLogs of n runs, without its own tag and length. */
static size_t
resource_logs_len(const struct run *r, unsigned n)
{
	size_t len = r->resource_n;
	unsigned i;

	for (i = 0; i < n; i++)
		len += field_len(scope_logs_len(&r[i]));
	return len;
}

/*
 * One ResourceLogs of n runs at p.  The resource is moved before a length is
 * written: in the first one it moves up, onto that length's old place.
 */
static uint8_t *
place_resource(const uint8_t *mem, const struct run *r, unsigned n,
    uint8_t *p)
{
	size_t len = resource_logs_len(r, n);
	size_t head = field_len(len) - len;
	unsigned i;

	memmove(p + head, mem + r->resource_at, r->resource_n);
	field_put(p, RL, len);
	p += head + r->resource_n;
	for (i = 0; i < n; i++)
		p = place_scope(mem, &r[i], p);
	return p;
}

/* How many of n runs have the resource of the first. */
static unsigned
of_one_resource(const struct run *r, unsigned n)
{
	unsigned i = 1;

	while (i < n && r[i].resource_n == 0)
		i++;
	return i;
}

/* Where the request begins for the first run's records to stay in place. */
static uint8_t *
request_start(uint8_t *mem, const struct run *r, unsigned n)
{
	size_t len = resource_logs_len(r, n), scope = scope_logs_len(r);

	return mem + r->records_at - r->scope_n - (field_len(scope) - scope) -
	    r->resource_n - (field_len(len) - len);
}

struct bytes
runs_join(uint8_t *mem, const struct run *runs, unsigned n)
{
	uint8_t *start, *p;
	unsigned i, same;

	if (n == 0)
		return bytes_of(mem, 0);
	p = start = request_start(mem, runs, of_one_resource(runs, n));
	for (i = 0; i < n; i += same) {
		same = of_one_resource(&runs[i], n - i);
		p = place_resource(mem, &runs[i], same, p);
	}
	return bytes_of(start, (size_t)(p - start));
}
