# SPDX-License-Identifier: ISC
# drain.mk - what src/drain and the lane reader add to the build

libemplog_parts_a_SOURCES += shm/reader.c shm/reader_inner.h \
	shm/reader_said.c shm/guard.c shm/guard.h
libparts_a_SOURCES += src/drain/drain.c src/drain/drain.h \
	src/drain/inner.h src/drain/ringdir.c src/drain/ringctl.c \
	src/drain/ringlook.c \
	src/drain/inlane.c src/drain/whoami.c src/drain/span.c \
	src/drain/backlog.c src/drain/share.c src/drain/burial.c \
	src/drain/ownrec.c

check_PROGRAMS += tests/test_reader
TESTS += tests/test_reader
tests_test_reader_SOURCES = tests/test_reader.c tests/lane_kit.h
tests_test_reader_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_reader_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_drain
TESTS += tests/test_drain
tests_test_drain_SOURCES = tests/test_drain.c tests/lane_kit.h \
	tests/drain_stage.h
tests_test_drain_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_drain_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_drain_hop
TESTS += tests/test_drain_hop
tests_test_drain_hop_SOURCES = tests/test_drain_hop.c
tests_test_drain_hop_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_drain_hop_LDADD = $(TEST_LIBS)

# The agent on the simulated loop.
check_PROGRAMS += tests/test_outage_agent
TESTS += tests/test_outage_agent
tests_test_outage_agent_SOURCES = tests/test_outage_agent.c
tests_test_outage_agent_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_outage_agent_LDADD = libsim.a $(TEST_LIBS)
