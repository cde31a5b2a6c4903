/* SPDX-License-Identifier: ISC */
/*
 * options.h - the command line of emplogd
 */
#ifndef EMPLOG_OPTIONS_H
#define EMPLOG_OPTIONS_H

#include <stdbool.h>

#define SETS_MAX	64

struct opts {
	const char	*file;
	const char	*sets[SETS_MAX];
	unsigned	 sets_n;
	unsigned	 roles;
	bool		 check;
	bool		 keep;
	char		 io_set[64];	/* "common.io=…", of --io */
};

/*
 * Fills o; verbs and their arguments begin at optind then.  0: go on; else
 * it was said what is wrong, or what was asked for: exit with *ret_status.
 */
int	 options_read(struct opts *o, int argc, char **argv, int *ret_status);

#endif
