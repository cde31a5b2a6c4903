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

# One seed is one world with all roles in it; make sim runs many.
sim_sources = tests/sim/main.c tests/sim/town.c tests/sim/town.h \
	tests/sim/makers.c tests/sim/backend.c tests/sim/oracle.c \
	tests/sim/taps.c tests/sim/trouble.c tests/sim/bugs.c
check_PROGRAMS += tests/sim/sim
TESTS += tests/sim/sim
tests_sim_sim_SOURCES = $(sim_sources)
tests_sim_sim_LDADD = libsim.a $(PARTS_LIBS)

# The parts once more, with bugs to be found: nothing else is linked with it.
EXTRA_LIBRARIES = libbugged.a
libbugged_a_SOURCES = $(libparts_a_SOURCES)
libbugged_a_CPPFLAGS = $(libparts_a_CPPFLAGS) -DEMPLOG_PLANTED_BUGS
EXTRA_PROGRAMS += tests/sim/bugged
tests_sim_bugged_SOURCES = $(sim_sources)
tests_sim_bugged_CPPFLAGS = $(AM_CPPFLAGS) -DEMPLOG_PLANTED_BUGS
tests_sim_bugged_LDADD = libbugged.a libsim.a libbugged.a $(PARTS_LIBS)

# make sim SEEDS=300 [SEED=1] [JOBS=2] [BUG=name]
SEED = 1
SEEDS = 300
JOBS = 2
sim: $(BUILT_SOURCES)
	@prog=tests/sim/sim; test -z "$$BUG" || prog=tests/sim/bugged; \
	$(MAKE) $(AM_MAKEFLAGS) $$prog && \
	./$$prog -s $(SEED) -n $(SEEDS) -j $(JOBS) $${BUG:+-b $$BUG}
.PHONY: sim

# A queue spoilt in every way, on disks of that kind.
check_PROGRAMS += tests/test_damage
TESTS += tests/test_damage
tests_test_damage_SOURCES = tests/test_damage.c
tests_test_damage_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_damage_LDADD = libsim.a $(TEST_LIBS)
