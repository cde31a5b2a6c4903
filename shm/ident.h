/* SPDX-License-Identifier: ISC */
/*
 * ident.h - who logs: options, environment, defaults
 *
 * What:     settles each option (given, else environment, else default) and
 *           encodes the identity, for a lane's head or as the pairs in which
 *           a logger differs from its lane.
 * Used by:  shm/emplog.c.
 */
#ifndef EMPLOG_IDENT_H
#define EMPLOG_IDENT_H

#include "shm/emplog.h"

#define IDENT_TEXT_MAX	255

enum ident_field {
	IDENT_MACHINE_ID, IDENT_WORKER_ID, IDENT_SERVICE_TYPE,
	IDENT_CONNECTOR_ID, IDENT_SERVICE_NAME, IDENT_SERVICE_VERSION,
	IDENT_DEPLOYMENT, IDENT_FIELDS
};

struct ident {
	char	 field[IDENT_FIELDS][IDENT_TEXT_MAX + 1];	/* "": not known */
	char	 logger_name[IDENT_TEXT_MAX + 1];
	char	 ring_dir[IDENT_TEXT_MAX + 1];
	char	 state_dir[IDENT_TEXT_MAX + 1];
	uint32_t level;			/* FATAL + 1: disabled */
	enum emplog_console console;	/* never DEFAULT */
	uint64_t lane_bytes;
	uint64_t ring_max;		/* 0: by the rule */
	uint32_t ring_owner;
};

/*
 * o may be NULL.  -EINVAL: a given text is over 255 bytes, a given level or
 * console is none.  From the
 * environment one is cut at that, a number or word that is none is ignored:
 * a stray variable is no reason for a program not to start.
 */
int	 ident_settle(struct ident *id, const struct emplog_options *o);
/* A msgpack map of what is known; buf holds LANE_IDENTITY_MAX. */
uint32_t ident_map(const struct ident *id, uint8_t *buf);
/*
 * The pairs at the end of each record: logger_name, and what id knows
 * differently from lane.  buf holds LOG_EXTRA_MAX.
 */
uint32_t ident_extra(const struct ident *id, const struct ident *lane,
	    uint8_t *buf, uint32_t *ret_pairs);

#endif
