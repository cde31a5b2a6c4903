/* SPDX-License-Identifier: ISC */
/*
 * connector.h - what the five example connectors share
 *
 * What:     a pretended job service: opens a logger from the environment,
 *           runs jobs until the time is over, and notes in a side file each
 *           record it wrote, so that somebody can count what arrived.
 *
 * Side file: 16 bytes a record, little endian: u64 number, u64 wall ns of the
 * call.  The number is also in the record, as demo_seq.
 */
#ifndef EMPLOG_CONNECTOR_H
#define EMPLOG_CONNECTOR_H

#include <shm/emplog.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct connector {
	struct emplog	*log;
	const char	*service;	/* "comfyui" */
	const char	*id;		/* "comfyui-gpu0" */
	FILE		*side;
	uint64_t	 seq;		/* of the next record */
	uint64_t	 rand;
	uint64_t	 until_ns;
	unsigned	 jobs;
};

/* Usage of every example: NAME SIDE_FILE SECONDS.  Exits on a wrong one. */
void	 connector_open(struct connector *c, int argc, char **argv,
	    const char *service, const char *id);
int	 connector_close(struct connector *c);
/* False when the time is over. */
bool	 connector_more(struct connector *c);
/* Work that takes about ms. */
void	 connector_work(struct connector *c, unsigned ms);
uint64_t connector_random(struct connector *c, uint64_t below);

/*
 * The field that numbers the record; makes a note of it in the side file.
 * Once per record, in its list of fields.
 */
struct emplog_field connector_seq(struct connector *c);

#endif
