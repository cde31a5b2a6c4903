/* SPDX-License-Identifier: ISC */
/* io_here.c - does this kernel let us have the backend TEST_IO names?  77: no */
#include "tests/io.h"

int
main(void)
{
	(void)io_asked();
	return 0;
}
