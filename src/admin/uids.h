/* SPDX-License-Identifier: ISC */
/*
 * uids.h - which records a local export has, by their log.record.uid
 *
 * What:     reads logs*.jsonl of an export directory; a set of (stream,
 *           position), as 64 bit hashes: of ten million records two look
 *           alike once in four hundred thousand audits.
 * Used by:  audit.c.
 * Bounds:   UIDS_MAX records.
 */
#ifndef EMPLOG_UIDS_H
#define EMPLOG_UIDS_H

#include "base/chunk.h"

#define UIDS_MAX	(16u << 20)

struct uids {
	uint64_t	*slot;		/* 0: free */
	size_t		 slots;		/* a power of two */
	size_t		 n;
	bool		 cut;		/* older files were dropped already */
};

/* 0; -ENOENT: no such export; -EFBIG; -ENOMEM.  uids_fini() in any case. */
int	 uids_read(struct uids *u, const char *dir);
void	 uids_fini(struct uids *u);
bool	 uids_has(const struct uids *u, const uint8_t id[STREAM_ID_LEN],
	    uint64_t pos);
/* "<32 hex digits>:<position>", ended by end.  False: it is none. */
bool	 uid_parse(const char *text, char end, uint8_t ret_id[STREAM_ID_LEN],
	    uint64_t *ret_pos);
/* The stream alone, whatever is behind it. */
bool	 uid_stream(const char *text, uint8_t ret_id[STREAM_ID_LEN]);
/* 2 * STREAM_ID_LEN digits and a NUL. */
void	 uid_hex(const uint8_t id[STREAM_ID_LEN],
	    char ret_hex[2 * STREAM_ID_LEN + 1]);

#endif
