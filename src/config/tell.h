/* SPDX-License-Identifier: ISC */
/*
 * tell.h - faults and remarks on their way to the operator, one line each
 *
 * What:     formats, counts and bounds them.  A file of ten thousand faults
 *           is told as FAULTS_TOLD_MAX lines and one that counts the rest.
 * Never:    prints a control character, or more than a piece of a value.
 */
#ifndef EMPLOG_TELL_H
#define EMPLOG_TELL_H

#include <stdbool.h>
#include <stddef.h>

#define FAULTS_TOLD_MAX	1000
#define SHOWN_MAX	96

struct teller {
	void		(*tell)(void *arg, bool fault, const char *line);
	void		*arg;
	unsigned	 faults;
};

void	 tell_fault(struct teller *t, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
void	 tell_remark(struct teller *t, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* Says how many faults were not told, if any. */
void	 tell_end(struct teller *t);

/* value as it may stand in a line: cut to SHOWN_MAX, printable. */
struct shown { char text[SHOWN_MAX + 4]; };
struct shown tell_shown(const char *value);
/* Only its first word, for a line whose rest may be a secret. */
struct shown tell_word(const char *line);

#endif
