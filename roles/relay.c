/* SPDX-License-Identifier: ISC */
/*
 * relay.c - the relay: Forward and HTTP in, durable, acknowledged, passed on
 *
 * Open:   state_dir/relay/0, one shard; its streams and what it holds.
 * Wire:   both ports tell Forward from HTTP by the first byte; all goes into
 *         the queue; the export of this process, or relay.next, takes it out.
 * Run:    an acknowledgement follows the fdatasync that covers it.
 * Drain:  ports, requests, connections, export, queue: in that order.
 */

#include "roles/station.h"

#include "banned.h"

struct relay {
	struct role	 role;		/* first */
	struct station	 station;
};

static struct relay *
relay_of(struct role *r)
{
	return (struct relay *)(void *)r;
}

static void
relay_open(struct role *r)
{
	const struct conf *c = r->conf;
	struct station_conf sc = {
		.queue_leaf = "0",
		.queue_max = KEY_relay_queue_max,
		.listen = KEY_relay_listen,
		.http_listen = KEY_relay_http_listen,
		.http = true,
		.queue_age_ns = conf_num(c, KEY_relay_queue_age) * 1000000,
		.message_max = conf_num(c, KEY_relay_message_max),
		.next = conf_text(c, KEY_relay_next),
	};

	station_open(&relay_of(r)->station, r, &sc);
}

static void
relay_drain(struct role *r, uint64_t until_ns)
{
	station_drain(&relay_of(r)->station, until_ns);
}

static void
relay_reload(struct role *r, const struct conf *conf)
{
	station_reload(&relay_of(r)->station, conf);
}

static uint64_t
relay_kept(struct role *r)
{
	return station_kept(&relay_of(r)->station);
}

static bool
relay_conserves(struct role *r)
{
	return station_conserves(&relay_of(r)->station);
}

static void
relay_free(struct role *r)
{
	station_free(&relay_of(r)->station);
}

const struct role_kind role_relay = {
	.name = "relay", .bit = ROLE_RELAY, .size = sizeof(struct relay),
	.open = relay_open, .drain = relay_drain, .reload = relay_reload,
	.kept = relay_kept, .conserves = relay_conserves, .free = relay_free,
};
