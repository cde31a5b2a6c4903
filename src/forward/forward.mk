# SPDX-License-Identifier: ISC
# forward.mk - what src/forward adds to the build

libparts_a_SOURCES += src/forward/mp.c src/forward/mp.h \
	src/forward/walk.c src/forward/walk.h \
	src/forward/message.c src/forward/message.h \
	src/forward/inflate.c src/forward/inflate.h

check_PROGRAMS += tests/test_mp tests/test_walk tests/test_message
TESTS += tests/test_mp tests/test_walk tests/test_message
tests_test_mp_SOURCES = tests/test_mp.c
tests_test_mp_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_mp_LDADD = $(TEST_LIBS)
tests_test_walk_SOURCES = tests/test_walk.c
tests_test_walk_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_walk_LDADD = $(TEST_LIBS)
tests_test_message_SOURCES = tests/test_message.c
tests_test_message_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_message_LDADD = $(TEST_LIBS)
