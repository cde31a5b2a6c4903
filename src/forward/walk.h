/* SPDX-License-Identifier: ISC */
/*
 * walk.h - is this run of bytes made of records, and of how many
 *
 * What:     walks concatenated Forward entries in place: [time, map] or
 *           [[time, metadata], map], time an EventTime (ext 0, 8 bytes), an
 *           unsigned integer, a float or nil.  Everything else in src/ that parses
 *           records does so only after this accepted them.
 * Bounds:   depth <= MP_DEPTH_MAX, declared counts <= bytes left, one record
 *           <= record_max.
 */
#ifndef EMPLOG_WALK_H
#define EMPLOG_WALK_H

#include "base/bytes.h"

struct walk {
	size_t		 good_bytes;	/* whole valid entries from the start */
	uint32_t	 records;	/* how many they are */
	uint32_t	 group_marks;	/* Fluent Bit's, counted in records too */
	int		 error;		/* 0: all of it; else why it stopped:
					   -EAGAIN cut off, -EBADMSG, -E2BIG
					   too deep, -EMSGSIZE too large */
};

void	 walk_entries(struct bytes body, size_t record_max,
	    struct walk *ret_walk);
/*
 * The same, but leaves off at the first entry boundary at or after
 * stop_bytes (0: walks all): used to cut a large body into chunks.
 */
void	 walk_until(struct bytes body, size_t record_max, size_t stop_bytes,
	    struct walk *ret_walk);

/* One entry already accepted. */
struct entry {
	uint64_t	 time_ns;	/* 0: none was given */
	struct bytes	 metadata;	/* a map, or empty */
	struct bytes	 record;	/* a map */
	bool		 group_mark;
};
/* Takes the next entry off m; -EAGAIN at the end. */
struct mp;
int	 walk_entry(struct mp *m, struct entry *ret_entry);
/*
 * The same but for the record, which may be anything: m is left at it, and
 * record is all there is from there on.  For who reads it and finds its end.
 */
int	 walk_head(struct mp *m, struct entry *ret_entry);

#endif
