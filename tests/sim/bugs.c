/* SPDX-License-Identifier: ISC */
/* bugs.c - the one planted bug of this run; see src/base/bug.h */

#include "base/bug.h"

#include <string.h>

#ifdef EMPLOG_PLANTED_BUGS

static const char *planted;

static const char *const names[] = {
	"ack_before_fsync", "ack_duplicate_early", "export_before_fsync",
	"high_water_mark", "forget_overlap_cut", "forget_ranges",
	"read_past_torn_frame", "free_lane_on_send", "reuse_failed_fsync",
	"accept_older_epoch", "lose_gap_record", "wall_clock_timer",
	"drop_on_503",
};

bool
bug_planted(const char *name)
{
	return planted != NULL && strcmp(planted, name) == 0;
}

bool
bug_plant(const char *name)
{
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0) {
			planted = names[i];
			return true;
		}
	return false;
}

#else

bool
bug_plant(const char *name)
{
	return false;
}

#endif
