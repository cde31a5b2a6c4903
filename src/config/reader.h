/* SPDX-License-Identifier: ISC */
/*
 * reader.h - lines of the configuration file, whatever is in it
 *
 * What:     reads the file, tells every fault of form with its exact line,
 *           and gives key by key to take().  inih knows sections and keys;
 *           but it cuts a line at 199 bytes without a word, counts lines
 *           wrongly behind one, takes an indented line as one more value and
 *           ends a value at " ;".  So it sees only lines made here, short and
 *           clean, and values never pass through it.
 *
 *   [section]
 *   key = value       blanks around both are dropped
 *   key = "value"     quotes keep blanks, and " ;" and " #"
 *   # or ; at the beginning of a line: a comment; nowhere else
 *
 * A line is at most CONF_LINE_MAX bytes, without continuation; a file
 * CONF_FILE_MAX.  UTF-8, with or without BOM; lines end with LF or CRLF.
 */
#ifndef EMPLOG_CONFIG_READER_H
#define EMPLOG_CONFIG_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "config/tell.h"

#define CONF_LINE_MAX	65536u
#define CONF_FILE_MAX	(16u << 20)

struct conf_line {
	const char	*section;	/* "" before the first */
	const char	*key;
	const char	*value;		/* unquoted, not expanded */
	int		 line;
};

/*
 * Calls take for each key = value.  0, also when faults were told; -ENOENT
 * and other -errno: the file could not be read (not told); -ENOMEM.
 * ret_open: everybody may read the file.
 */
int	 conf_file_read(const char *path, struct teller *t,
	    void (*take)(void *arg, const struct conf_line *line), void *arg,
	    bool *ret_open);

#endif
