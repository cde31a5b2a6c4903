/* SPDX-License-Identifier: ISC */
/*
 * audit.h - is everything that was written still somewhere, or counted
 *
 * What:     DESIGN 11 along the whole way, from outside: what lanes published
 *           against what agent, relays and exporters have on their disks and
 *           in their counters.
 * Used by:  audit.c (the verb), with audit_look.c (ranges of streams),
 *           audit_fates.c (what left an exporter), audit_sums.c (counters) and
 *           site.c (what there is to look at).
 * Never:    writes, or takes a lock.
 *
 *   lane [0,tail)  =  taken by a station  +  held in the spill  +  lost
 *   spill          =  taken by a station  +  held               +  aged
 *   relay's taken  =  taken by the next   +  held  +  quarantined +  aged
 *   exporter's     =  in the local export +  held  +  quarantined +  dead
 *                  =  answered (its fates) +  held  +  quarantined +  dead
 *
 * A station is the queue of a relay or an exporter.  What lies upstream is
 * read first: a byte on its way is then seen at its new place, or at both.
 * What is missing in one look is reported only if the next one misses it too.
 *
 * Bounds: FINDINGS_MAX findings a look, SITES_MAX state directories.
 */
#ifndef EMPLOG_AUDIT_H
#define EMPLOG_AUDIT_H

#include "admin/admin.h"
#include "admin/lanes.h"
#include "admin/site.h"
#include "admin/uids.h"

#define FINDINGS_MAX	4096
#define NOTES_MAX	32

enum audit_hop {
	HOP_LANE_RELAY,		/* freed by the agent, in no station */
	HOP_LANE_SPILL,		/* the same, among bytes that were spilled */
	HOP_SPILL_RELAY,	/* committed in the spill, in no station */
	HOP_QUEUE,		/* a frame of a queue is gone */
	HOP_RELAY_EXPORTER,	/* done at a relay, not taken behind it */
	HOP_EXPORT,		/* done at who exports, not in the export */
	HOP_DEAD		/* told to be a dead letter, and is none */
};

struct finding {
	enum audit_hop	 hop;
	const struct part *part;	/* who let go of it; NULL: the agent */
	bool		 placed;	/* stream and range are known */
	uint8_t		 stream[STREAM_ID_LEN];
	uint64_t	 from, to;
	uint64_t	 records;	/* by counters; 0: not known */
	const char	*words;
};

/* One look at everything. */
struct audit_look {
	struct admin	*a;
	struct sites	*sites;
	struct lanes	*lanes;
	struct finding	 found[FINDINGS_MAX];
	unsigned	 n;
	unsigned	 more;		/* beyond FINDINGS_MAX */
	unsigned	 blind;		/* what could not be looked at */
	unsigned	 notes;
	char		 note[NOTES_MAX][200];
	struct uids	 uids[PARTS_MAX];	/* of the local exports */
	struct part	*at;		/* whose queue is being read */
	uint64_t	 lanes_n, head_bytes, held_bytes;
	uint64_t	 counted_bytes;	/* not there, and counted as dropped */
	bool		 elsewhere;	/* an agent's relay is not here */
	uint64_t	 unseen_bytes;	/* which may have these */
	unsigned	 forgotten;	/* streams no longer remembered */
};

/* An agent has more relays than have their queues here. */
bool	 audit_has_relays(const struct audit_look *lk);
/* Once, however often it is found; one that continues another extends it. */
void	 audit_found(struct audit_look *lk, const struct finding *f);
/* What a reader of the result must know. */
void	 audit_note(struct audit_look *lk, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* The same, of something that cannot be looked at: the exit status says it. */
void	 audit_blind(struct audit_look *lk, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* ---- audit_look.c: ranges of streams.  -ENOMEM. ---- */
int	 audit_at_lanes(struct audit_look *lk);
int	 audit_at_spills(struct audit_look *lk);
int	 audit_at_relays(struct audit_look *lk);
/* What s knows of it as well; s may be NULL.  0, -ENOMEM. */
int	 audit_merge(struct ranges *known, struct env *env,
	    const struct streams *s, const uint8_t *id);
/*
 * All that stations other than from have, ever had, or quarantined of it.
 * -ENOMEM.
 */
int	 audit_known_of(struct audit_look *lk, const struct part *from,
	    const uint8_t *id, struct ranges *known, bool *ret_known);
/* Other relays and exporters whose queues are here. */
unsigned audit_stations(const struct audit_look *lk, const struct part *but);
/* A part's queue dropped some that it counted and cannot name. */
bool	 audit_has_counted(const struct part *p);
/* Nobody need remember the stream any more. */
bool	 audit_is_old(const struct stream_seen *st);

/* ---- audit_export.c: records of the local exports ---- */
/* before and see of sites_read(); arg is the look. */
void	 audit_before(void *arg, struct part *p);
void	 audit_frame(void *arg, const struct frame *f, bool held);
/* Once sites_read() is done.  -ENOMEM. */
int	 audit_at_exports(struct audit_look *lk);

/* ---- audit_fates.c: what left the exporters, by range ---- */
/* What p noted of the stream when it let go of it.  -ENOMEM. */
int	 audit_fates_of(const struct audit_look *lk, const struct part *p,
	    const uint8_t *id, struct ranges *known);
/* -ENOMEM. */
int	 audit_at_fates(struct audit_look *lk);

/* ---- audit_sums.c: counters, and the frames of a queue ---- */
/* -ENOMEM. */
int	 audit_at_sums(struct audit_look *lk);
void	 print_sums(FILE *out, const struct audit_look *lk);

#endif
