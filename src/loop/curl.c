/* SPDX-License-Identifier: ISC */
/* curl.c - libcurl, opened when it is first needed; see curl.h */

#include "loop/curl.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "banned.h"

/* ISO C has no cast from an object pointer to a function pointer. */
static int
find(void *handle, const char *name, void *call, size_t n)
{
	void *p = dlsym(handle, name);

	memcpy(call, &p, n);
	return p == NULL ? -ENOSYS : 0;
}

int
curl_lib_open(struct curl_lib *c)
{
	int r = 0;

	*c = (struct curl_lib){ 0 };
	c->handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
	if (c->handle == NULL)
		return -ENOSYS;
#define CURL_CALL(name)							\
	if (r == 0)							\
		r = find(c->handle, "curl_" #name, &c->name, sizeof(c->name));
#include "loop/curl_calls.def"
#undef CURL_CALL
	if (r == 0 && c->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		r = -ENOSYS;
	if (r < 0)
		dlclose(c->handle);
	return r;
}

void
curl_lib_close(struct curl_lib *c)
{
	/*
	 * The library stays mapped: OpenSSL's exit handlers are in what it
	 * brought along.
	 */
	c->global_cleanup();
	*c = (struct curl_lib){ 0 };
}
