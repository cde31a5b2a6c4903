/* SPDX-License-Identifier: ISC */
/*
 * station.h - queue, receiver and ports: what relay and exporter share
 *
 * What:     opens a queue, takes Forward (and HTTP, where wanted) into it, and
 *           hands it to a consumer: the export, or the next hop.
 *
 *   ports -> receiver \                      / export -> backend or files
 *    ^    -> serve ----> queue (disk) -> one of
 *              |  \-> probe                  \ onward -> sender -> next hop
 *              '----> ingest -- gap
 */
#ifndef EMPLOG_STATION_H
#define EMPLOG_STATION_H

#include "hop/sender.h"
#include "http/ingest.h"
#include "queue/queue.h"
#include "roles/role.h"
#include "roles/secure.h"

struct bridges;
struct export;
struct gap;
struct inpost;
struct onward;
struct port;
struct probe;
struct receiver;

struct station_conf {
	const char	*queue_leaf;	/* "0": shard directory under the role's */
	enum conf_key	 queue_max, listen, http_listen;
	bool		 http;
	uint64_t	 queue_age_ns;
	uint64_t	 message_max;
	const char	*next;		/* "export" or peers */
};

struct station {
	struct role	*role;
	struct station_conf conf;
	char		 queue_dir[ROLE_PATH + 32];
	char		 bad_dir[ROLE_PATH + 32];
	char		 file_dir[ROLE_PATH + 32];
	char		 dead_dir[ROLE_PATH + 32];
	struct queue	*queue;
	struct receiver	*receiver;
	struct serve	*serve;
	struct bridges	*bridges;
	struct ingest	*ingest;
	struct probe	*probe;
	struct inpost	*inpost;
	struct gap	*gap;
	struct export	*export;
	struct sender	*sender;
	struct secure	 secure;
	struct onward	*onward;
	struct port	*port, *http_port;
	struct op	 space;
	unsigned	 step;		/* of closing */
	uint64_t	 until_ns;
	bool		 queue_open;
};

/* Ends in role_ready(). */
void	 station_open(struct station *s, struct role *role,
	    const struct station_conf *conf);
/* Ends in role_done(). */
void	 station_drain(struct station *s, uint64_t until_ns);
void	 station_reload(struct station *s, const struct conf *conf);
void	 station_free(struct station *s);
/* DESIGN 11, in records; see export_conserves(). */
bool	 station_conserves(struct station *s);
/* Not yet delivered. */
uint64_t station_kept(struct station *s);

#endif
