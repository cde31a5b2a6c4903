/* SPDX-License-Identifier: ISC */
/*
 * exporter.c - the exporter alone: a hop in, OTLP out
 *
 * Open:   state_dir/exporter/0: it stores before it acknowledges, as a relay
 *         does, so that a relay may forget what it has passed on.
 * Wire:   Forward in, the export out.  (In a process with a relay whose next
 *         is "export" there is no hop: the relay's queue is exported.)
 * Drain:  port, connections, export, queue: in that order.
 */

#include "roles/station.h"

#include "banned.h"

struct exporter {
	struct role	 role;		/* first */
	struct station	 station;
};

static struct exporter *
exporter_of(struct role *r)
{
	return (struct exporter *)(void *)r;
}

static void
exporter_open(struct role *r)
{
	struct station_conf sc = {
		.queue_leaf = "0",
		.queue_max = KEY_exporter_queue_max,
		.listen = KEY_exporter_listen,
		.queue_age_ns = conf_num(r->conf, KEY_relay_queue_age) *
		    1000000,
		.message_max = conf_num(r->conf, KEY_relay_message_max),
		.next = "export",
	};

	station_open(&exporter_of(r)->station, r, &sc);
}

static void
exporter_drain(struct role *r, uint64_t until_ns)
{
	station_drain(&exporter_of(r)->station, until_ns);
}

static void
exporter_reload(struct role *r, const struct conf *conf)
{
	station_reload(&exporter_of(r)->station, conf);
}

static uint64_t
exporter_kept(struct role *r)
{
	return station_kept(&exporter_of(r)->station);
}

static bool
exporter_conserves(struct role *r)
{
	return station_conserves(&exporter_of(r)->station);
}

static void
exporter_free(struct role *r)
{
	station_free(&exporter_of(r)->station);
}

const struct role_kind role_exporter = {
	.name = "exporter", .bit = ROLE_EXPORTER,
	.size = sizeof(struct exporter),
	.open = exporter_open, .drain = exporter_drain,
	.reload = exporter_reload, .kept = exporter_kept,
	.conserves = exporter_conserves, .free = exporter_free,
};
