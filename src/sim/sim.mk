# SPDX-License-Identifier: ISC
# sim.mk - the loop's simulated backend, for tests only

noinst_LIBRARIES += libsim.a
libsim_a_SOURCES = src/sim/sim.h src/sim/inner.h src/sim/world.c \
	src/sim/record.c src/sim/net.c src/sim/names.c src/sim/disk.c \
	src/sim/loss.c src/sim/back.c src/sim/lanes.c

check_PROGRAMS += tests/test_sim
TESTS += tests/test_sim
tests_test_sim_SOURCES = tests/test_sim.c
tests_test_sim_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_sim_LDADD = libsim.a $(TEST_LIBS)

# The queue on a disk that loses what was not synced, at every instant.
check_PROGRAMS += tests/test_crashpoints
TESTS += tests/test_crashpoints
tests_test_crashpoints_SOURCES = tests/test_crashpoints.c \
	tests/crash_disk.c tests/crash_disk.h tests/queue_world.h
tests_test_crashpoints_LDADD = libsim.a $(PARTS_LIBS)

# One seed is one world with all roles in it; make sim runs many.
check_PROGRAMS += tests/sim/sim
TESTS += tests/sim/sim
tests_sim_sim_SOURCES = tests/sim/main.c tests/sim/town.c tests/sim/town.h \
	tests/sim/makers.c tests/sim/backend.c tests/sim/oracle.c \
	tests/sim/excuse.c tests/sim/shelf.c tests/sim/shelf.h \
	tests/sim/taps.c tests/sim/trouble.c
tests_sim_sim_LDADD = libsim.a $(PARTS_LIBS)

# make sim SEEDS=300 [SEED=1] [JOBS=2] [BUG=name]
SEED = 1
SEEDS = 300
JOBS = 2
SIM_RUN = -s $(SEED) -n $(SEEDS) -j $(JOBS) $${BUG:+-b $$BUG}
if PLANTED
sim: $(BUILT_SOURCES)
	@$(MAKE) $(AM_MAKEFLAGS) tests/sim/sim && \
	./tests/sim/sim $(SIM_RUN)
else
# A bug needs a build of its own, configured as this one and with the switch.
sim: $(BUILT_SOURCES)
	@if test -n "$$BUG"; then \
		$(MAKE) $(AM_MAKEFLAGS) planted && \
		./planted/tests/sim/sim $(SIM_RUN); \
	else \
		$(MAKE) $(AM_MAKEFLAGS) tests/sim/sim && \
		./tests/sim/sim $(SIM_RUN); \
	fi
planted: planted/Makefile
	@cd planted && $(MAKE) $(AM_MAKEFLAGS) $$(sed -n \
	    's/^BUILT_SOURCES = //p' Makefile) && \
	$(MAKE) $(AM_MAKEFLAGS) tests/sim/sim
planted/Makefile: $(top_builddir)/config.status
	@$(MKDIR_P) planted && src=$$(cd $(top_srcdir) && pwd) && \
	eval "set -- $$(./config.status --config)" && cd planted && \
	"$$src/configure" "$$@" -q --enable-planted
endif
.PHONY: sim planted clean-planted
clean-local: clean-planted
clean-planted:
	rm -rf planted

# The queue on a disk that fails to read, and fails to say what it has.
check_PROGRAMS += tests/test_pages
TESTS += tests/test_pages
tests_test_pages_SOURCES = tests/test_pages.c
tests_test_pages_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_pages_LDADD = libsim.a $(TEST_LIBS)

# A queue spoilt in every way, on disks of that kind.
check_PROGRAMS += tests/test_damage
TESTS += tests/test_damage
tests_test_damage_SOURCES = tests/test_damage.c tests/damage_files.c \
	tests/damage_rig.c tests/damage_rig.h
tests_test_damage_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_damage_LDADD = libsim.a $(TEST_LIBS)
