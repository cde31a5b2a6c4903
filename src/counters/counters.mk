# SPDX-License-Identifier: ISC
# counters.mk - what src/counters adds to the build

libparts_a_SOURCES += src/counters/counters.c src/counters/counters.h \
	src/counters/counters.def \
	src/counters/fates.c src/counters/fates.h \
	src/counters/prom.c src/counters/prom.h

check_PROGRAMS += tests/test_counters
TESTS += tests/test_counters
tests_test_counters_SOURCES = tests/test_counters.c
tests_test_counters_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_counters_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_fates
TESTS += tests/test_fates
tests_test_fates_SOURCES = tests/test_fates.c
tests_test_fates_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_fates_LDADD = $(TEST_LIBS)
