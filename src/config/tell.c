/* SPDX-License-Identifier: ISC */
/* tell.c - faults and remarks, one line each; the contract is in tell.h */

#include "config/tell.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "banned.h"

static void __attribute__((format(printf, 3, 0)))
say(struct teller *t, bool fault, const char *fmt, va_list ap)
{
	char line[1024];

	if (t->tell == NULL)
		return;
	if (vsnprintf(line, sizeof(line), fmt, ap) > 0)
		t->tell(t->arg, fault, line);
}

void
tell_fault(struct teller *t, const char *fmt, ...)
{
	va_list ap;

	if (++t->faults > FAULTS_TOLD_MAX)
		return;
	va_start(ap, fmt);
	say(t, true, fmt, ap);
	va_end(ap);
}

void
tell_remark(struct teller *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(t, false, fmt, ap);
	va_end(ap);
}

void
tell_end(struct teller *t)
{
	unsigned more;

	if (t->faults <= FAULTS_TOLD_MAX)
		return;
	more = t->faults - FAULTS_TOLD_MAX;
	t->faults = FAULTS_TOLD_MAX - 1;	/* room for this one line */
	tell_fault(t, "and %u faults more", more);
	t->faults += more;
}

struct shown
tell_shown(const char *value)
{
	struct shown s;
	size_t i, n = strlen(value);
	bool cut = n > SHOWN_MAX;

	if (cut)
		n = SHOWN_MAX;
	for (i = 0; i < n; i++) {
		s.text[i] = (unsigned char)value[i] < 0x20 ||
		    value[i] == 0x7f ? '?' : value[i];
		if (i > 0 && value[i - 1] == '\xc2' &&
		    (unsigned char)value[i] >= 0x80 &&
		    (unsigned char)value[i] < 0xa0)	/* C1 */
			s.text[i - 1] = s.text[i] = '?';
	}
	memcpy(s.text + n, cut ? "..." : "", cut ? 4 : 1);
	return s;
}

struct shown
tell_word(const char *line)
{
	struct shown s = tell_shown(line);
	size_t n = strcspn(line, " \t=:");

	if (n < SHOWN_MAX && line[n] != '\0')
		memcpy(s.text + n, n > 0 ? "..." : "", n > 0 ? 4 : 1);
	return s;
}
