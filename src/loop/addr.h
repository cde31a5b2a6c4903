/* SPDX-License-Identifier: ISC */
/*
 * addr.h - text to address, for the loop and its backends
 *
 * What:     numbers and "localhost" only; nothing here asks the network.
 */
#ifndef EMPLOG_ADDR_H
#define EMPLOG_ADDR_H

#include "loop/loop.h"

/* host is a v4 or v6 number or localhost, port 0 to 65535.  0 or -EINVAL. */
int	 addr_numeric(const char *host, const char *port,
	    struct loop_addr *ret_addr);
/* The same for "host:port" and "[v6]:port". */
int	 addr_parse(const char *hostport, struct loop_addr *ret_addr);

#endif
