/* SPDX-License-Identifier: ISC */
/*
 * remedy.h - what an operator can do about an error
 *
 * An error says its subject, what went wrong, and what to do; this is the last
 * part, where files are concerned.
 */
#ifndef EMPLOG_REMEDY_H
#define EMPLOG_REMEDY_H

/* About a file or directory that is to be written; error is -errno. */
const char	*disk_remedy(int error);
/* The same where it is the place of the dead letters, which has a size. */
const char	*letters_remedy(int error);

#endif
