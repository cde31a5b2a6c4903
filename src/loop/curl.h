/* SPDX-License-Identifier: ISC */
/*
 * curl.h - libcurl, opened when it is first needed
 *
 * What:     the calls post.c uses, as pointers out of libcurl.so.4.  A host
 *           that exports nothing needs no libcurl.
 * Used by:  post.c.
 */
#ifndef EMPLOG_CURL_H
#define EMPLOG_CURL_H

#include <curl/curl.h>

struct curl_lib {
	void	*handle;
#define CURL_CALL(name) __typeof__(curl_##name) *name;
#include "loop/curl_calls.def"
#undef CURL_CALL
};

/*
 * 0; -ENOSYS: there is no libcurl.so.4, or one without a call we need.
 * curl_global_init() has been called when it succeeds.
 */
int	 curl_lib_open(struct curl_lib *c);
void	 curl_lib_close(struct curl_lib *c);

#endif
