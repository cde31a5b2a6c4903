/* SPDX-License-Identifier: ISC */
/*
 * foreign.h - variables of other programs, at run time
 *
 * What:     the table of foreign.def.  A row gives its key a value only when
 *           flag, EMPLOGD_ variable and file gave none, and no row above it
 *           gave that key one.
 */
#ifndef EMPLOG_FOREIGN_H
#define EMPLOG_FOREIGN_H

#include "config/config.h"

enum foreign_how {
	FOREIGN_COPY,		/* as it is */
	FOREIGN_ID,		/* as it is, unless it is "unknown" */
	FOREIGN_RAILWAY,	/* "railway-" before it */
	FOREIGN_PORT,		/* [::]:port */
	FOREIGN_RELAY,		/* host, with FLUENTD_PORT and FLUENTD_SECURE */
	FOREIGN_BASE,		/* URL, the path of a signal left off */
	FOREIGN_HEADERS,	/* Authorization, Dash0-Dataset, the others */
	FOREIGN_RESOURCE,	/* deployment.environment.name, cloud.region */
	FOREIGN_LEVEL,		/* a logger's level in our words */
	FOREIGN_WITH,		/* read together with another */
	FOREIGN_PROTOCOL,	/* told when it is not ours */
	FOREIGN_UNUSED,		/* told once when set */
	FOREIGN_PRODUCER	/* read by connectors, never here */
};

struct foreign_info {
	const char	*name;
	enum foreign_how how;
	enum conf_key	 key;		/* KEY_COUNT: none */
	const char	*text;		/* one line */
};

/* Ends with a row whose name is NULL. */
extern const struct foreign_info foreign_info[];

#endif
