/* SPDX-License-Identifier: ISC */
/*
 * banned.h - functions that have hurt others: the build refuses them
 *
 * Include last.  strcpy and its kin do not know the size of what they write;
 * strtok, gmtime and localtime keep state; atoi has no error.
 */
#ifndef EMPLOG_BANNED_H
#define EMPLOG_BANNED_H

#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol gmtime \
    localtime gets

#endif
