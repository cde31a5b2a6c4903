/* SPDX-License-Identifier: ISC */
/* connector.c - the frame of the example connectors; see connector.h */

#include "contrib/examples/connector.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t asked;	/* to end, by SIGTERM */

static void
on_term(int number)
{
	asked = 1;
}

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void
connector_open(struct connector *c, int argc, char **argv,
    const char *service, const char *id)
{
	struct emplog_options o = { .service_type = service,
	    .connector_id = id, .logger_name = "example" };
	char worker[64];
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: %s SIDE_FILE SECONDS\n", argv[0]);
		exit(1);
	}
	signal(SIGTERM, on_term);
	*c = (struct connector){ .service = service, .id = id };
	c->rand = clock_ns(CLOCK_REALTIME) ^ (uint64_t)getpid();
	c->side = fopen(argv[1], "w");
	if (c->side == NULL) {
		perror(argv[1]);
		exit(1);
	}
	c->until_ns = clock_ns(CLOCK_MONOTONIC) +
	    strtoull(argv[2], NULL, 10) * 1000000000u;
	snprintf(worker, sizeof(worker), "demo-worker-%s", service);
	o.worker_id = worker;
	o.machine_id = "demo-machine";
	r = emplog_open(&c->log, &o);
	if (r < 0) {
		fprintf(stderr, "%s: cannot open the logger: %s\n", argv[0],
		    strerror(-r));
		exit(1);
	}
}

int
connector_close(struct connector *c)
{
	struct emplog_stats st;

	emplog_get_stats(c->log, &st);
	emplog_close(&c->log);
	if (fclose(c->side) != 0) {
		perror("side file");
		return 1;
	}
	return st.refused + st.no_lane + st.oversize > 0;
}

bool
connector_more(struct connector *c)
{
	return !asked && clock_ns(CLOCK_MONOTONIC) < c->until_ns;
}

uint64_t
connector_random(struct connector *c, uint64_t below)
{
	c->rand ^= c->rand << 13;
	c->rand ^= c->rand >> 7;
	c->rand ^= c->rand << 17;
	return c->rand % below;
}

void
connector_work(struct connector *c, unsigned ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

struct emplog_field
connector_seq(struct connector *c)
{
	uint64_t note[2] = { c->seq, clock_ns(CLOCK_REALTIME) };

	fwrite(note, sizeof(note), 1, c->side);
	return EMPLOG_UINT("demo_seq", c->seq++);
}
