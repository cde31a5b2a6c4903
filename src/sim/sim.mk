# SPDX-License-Identifier: ISC
# sim.mk - the loop's simulated backend, for tests only

noinst_LIBRARIES += libsim.a
libsim_a_SOURCES = src/sim/sim.h src/sim/inner.h src/sim/world.c \
	src/sim/record.c src/sim/net.c src/sim/disk.c src/sim/back.c src/sim/lanes.c

check_PROGRAMS += tests/test_sim
TESTS += tests/test_sim
tests_test_sim_SOURCES = tests/test_sim.c
tests_test_sim_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_sim_LDADD = libsim.a $(TEST_LIBS)

# The queue on a disk that loses what was not synced, at every instant.
check_PROGRAMS += tests/test_crashpoints
TESTS += tests/test_crashpoints
tests_test_crashpoints_SOURCES = tests/test_crashpoints.c
tests_test_crashpoints_LDADD = libsim.a $(PARTS_LIBS)
