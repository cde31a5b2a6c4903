# SPDX-License-Identifier: ISC
# hop.mk - what src/hop adds to the build

libparts_a_SOURCES += src/hop/wire.c src/hop/wire.h \
	src/hop/dial.c src/hop/dial.h \
	src/hop/edge.c src/hop/edge.h src/hop/edge_in.h \
	src/hop/edge_letter.c src/hop/edge_body.c src/hop/edge_url.c src/hop/edge_words.c \
	src/hop/outq.c src/hop/outq.h src/hop/peers.c src/hop/peers.h \
	src/hop/patience.c src/hop/patience.h \
	src/hop/sender.c src/hop/sender.h src/hop/sender_in.h \
	src/hop/sender_up.c \
	src/hop/key.c src/hop/key.h src/hop/shake.c src/hop/shake.h \
	src/hop/greet.c src/hop/greet.h \
	src/hop/conn.c src/hop/conn.h src/hop/intake.c src/hop/answers.c \
	src/hop/keep.c src/hop/keep.h src/hop/receiver.c \
	src/hop/receiver.h src/hop/port.c src/hop/port.h

check_PROGRAMS += tests/test_receiver tests/test_hop tests/test_guard \
	tests/test_failover
TESTS += tests/test_receiver tests/test_hop tests/test_guard \
	tests/test_failover
tests_test_guard_SOURCES = tests/test_guard.c tests/hop_rig.c tests/hop_rig.h
tests_test_guard_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_guard_LDADD = $(TEST_LIBS)
tests_test_receiver_SOURCES = tests/test_receiver.c tests/hop_rig.c \
	tests/hop_rig.h
tests_test_receiver_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_receiver_LDADD = $(TEST_LIBS)
tests_test_hop_SOURCES = tests/test_hop.c tests/hop_rig.c tests/hop_rig.h
tests_test_hop_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_hop_LDADD = $(TEST_LIBS)
tests_test_failover_SOURCES = tests/test_failover.c tests/hop_rig.c \
	tests/hop_rig.h
tests_test_failover_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_failover_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_edge tests/test_inpost
TESTS += tests/test_edge tests/test_inpost
tests_test_edge_SOURCES = tests/test_edge.c tests/hop_rig.c tests/hop_rig.h
tests_test_edge_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) -DRIG_REAL_SERVE
tests_test_edge_LDADD = $(TEST_LIBS)
tests_test_inpost_SOURCES = tests/test_inpost.c tests/hop_rig.c \
	tests/hop_rig.h
tests_test_inpost_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) -DRIG_REAL_SERVE
tests_test_inpost_LDADD = $(TEST_LIBS)

# A sender of its own, in place of that of libparts.a.
check_PROGRAMS += tests/test_onward
TESTS += tests/test_onward
tests_test_onward_SOURCES = tests/test_onward.c
tests_test_onward_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_onward_LDADD = libsim.a $(TEST_LIBS)

EXTRA_PROGRAMS += tests/bench/bench_hop
tests_bench_bench_hop_SOURCES = tests/bench/bench_hop.c
tests_bench_bench_hop_LDADD = $(PARTS_LIBS)
