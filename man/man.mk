# SPDX-License-Identifier: ISC
# man.mk - what man/ adds to the build
#
# The lists of emplogd.conf(5) and emplogd-counters(7) are made from the
# tables: after a change of keys.def, foreign.def or counters.def
# "make man-tables" puts them into the pages, and "make check" insists.

dist_man_MANS += man/emplogd.8 man/emplogd.conf.5 man/emplogd-counters.7 \
	man/emplogd-delivery.7
EXTRA_DIST += man/tables.sh

check_PROGRAMS += tests/print_tables
tests_print_tables_SOURCES = tests/print_tables.c
tests_print_tables_CPPFLAGS = $(AM_CPPFLAGS)
tests_print_tables_LDADD = $(PARTS_LIBS)

dist_check_SCRIPTS += tests/t0010-man-matches-tables.sh
TESTS += tests/t0010-man-matches-tables.sh

man-tables: tests/print_tables
	$(srcdir)/man/tables.sh tests/print_tables $(srcdir)/man
.PHONY: man-tables
