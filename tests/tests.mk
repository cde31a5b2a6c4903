# SPDX-License-Identifier: ISC
# tests.mk - the end to end tests and what they need

check_PROGRAMS += tests/e2e/issuer
tests_e2e_issuer_SOURCES = tests/e2e/issuer.c tests/e2e/side.h
tests_e2e_issuer_LDADD = libemplog.la $(DEFLATE_LIBS)
tests_e2e_issuer_LDFLAGS = -static-libtool-libs
EXTRA_DIST += tests/e2e/world.py tests/e2e/kills.py tests/part-kills.sh
EXTRA_DIST += tests/e2e/legacy_load.py tests/part-legacy.sh \
	tests/e2e/legacy-winston/connector.js \
	tests/e2e/legacy-winston/package.json

check_PROGRAMS += tests/e2e/fleet
tests_e2e_fleet_SOURCES = tests/e2e/fleet.c
tests_e2e_fleet_LDADD = libemplog.la $(DEFLATE_LIBS) -lpthread
tests_e2e_fleet_LDFLAGS = -static-libtool-libs
EXTRA_DIST += tests/e2e/side.h tests/e2e/lanes.py tests/part-fleet.sh
EXTRA_DIST += tests/hostile.tsv tests/part-hostile.sh \
	tests/e2e/hostile.py tests/e2e/scenes.py tests/e2e/words.py

check_PROGRAMS += tests/e2e/caller tests/e2e/no_uring
tests_e2e_caller_SOURCES = tests/e2e/caller.c
tests_e2e_caller_LDADD = libemplog.la
tests_e2e_no_uring_SOURCES = tests/e2e/no_uring.c
EXTRA_DIST += tests/e2e/run.py tests/e2e/claims.py tests/e2e/fleet.py \
	tests/e2e/audit.py tests/e2e/vanish.py tests/part-audit.sh \
	tests/e2e/backend.py tests/e2e/answers.py tests/e2e/decoded.py \
	tests/e2e/edge.py tests/e2e/endpoints.py tests/e2e/kept.py \
	tests/e2e/legacy.py tests/e2e/letters.py tests/e2e/life.py \
	tests/e2e/middle.py tests/e2e/moving.py tests/e2e/outage.py \
	tests/e2e/queues.py \
	tests/e2e/service.py \
	tests/e2e/verbs.py tests/part-e2e.sh

noinst_HEADERS += tests/io.h
check_PROGRAMS += tests/io_here
tests_io_here_SOURCES = tests/io_here.c
tests_io_here_LDADD = $(PARTS_LIBS)

# Both sides of a lane in one process, for ThreadSanitizer's eyes.
check_PROGRAMS += tests/test_race
TESTS += tests/test_race
tests_test_race_SOURCES = tests/test_race.c tests/shm_kit.h
tests_test_race_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_race_LDADD = $(SHM_TEST_LIBS)

EXTRA_DIST += tests/part-sim.sh tests/claim.sh tests/part-install.sh tests/part-demo.sh
EXTRA_DIST += tests/part-damage.sh tests/part-start.sh
EXTRA_DIST += tests/e2e/internet.py tests/e2e/netns.py tests/e2e/proxy.py \
	tests/part-internet.sh
EXTRA_DIST += tests/part-chaos.sh tests/chaos/chain.py tests/chaos/ends.py \
	tests/chaos/flips.py tests/chaos/limits.py tests/chaos/lines.py \
	tests/chaos/run.py tests/chaos/small.py tests/chaos/stops.py \
	tests/chaos/wire.py
EXTRA_DIST += tests/part-model.sh tests/model/hop.pml tests/model/lane.pml
EXTRA_DIST += tests/part-pm2.sh tests/e2e/pm2.py
EXTRA_DIST += tests/part-systemd.sh tests/deploy/root.sh \
	tests/deploy/systemd-boot.sh tests/deploy/systemd-claims.sh

style_tests = tests/t0001-style.sh tests/t0002-layers.sh \
	tests/t0003-objects.sh tests/t0004-manual.sh \
	tests/t0005-readme.sh tests/t0006-nothing-planted.sh \
	tests/t0007-bench-says-of-what.sh \
	tests/t0020-promises-have-tests.sh tests/t0011-man-has-messages.sh
dist_check_SCRIPTS += $(style_tests)
TESTS += $(style_tests)

# Any bytes to a decoder: configure CC=clang --enable-fuzz, then
# make fuzz; each takes its corpus' directory as its argument.
fuzz_targets = tests/fuzz/fuzz_body tests/fuzz/fuzz_conf \
	tests/fuzz/fuzz_inpost \
	tests/fuzz/fuzz_json tests/fuzz/fuzz_key tests/fuzz/fuzz_lane \
	tests/fuzz/fuzz_message tests/fuzz/fuzz_migrate tests/fuzz/fuzz_otlp \
	tests/fuzz/fuzz_queue tests/fuzz/fuzz_recv tests/fuzz/fuzz_walk
EXTRA_PROGRAMS += $(fuzz_targets)
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/seeds.py
fuzz: $(BUILT_SOURCES)
	$(MAKE) $(AM_MAKEFLAGS) $(fuzz_targets)
.PHONY: fuzz
FUZZ_FLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_body_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_body_LDADD = $(PARTS_LIBS)
tests_fuzz_fuzz_conf_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_conf_LDADD = $(PARTS_LIBS)
tests_fuzz_fuzz_inpost_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_inpost_LDADD = libsim.a $(PARTS_LIBS)
tests_fuzz_fuzz_json_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_json_LDADD = $(PARTS_LIBS)
tests_fuzz_fuzz_key_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_key_LDADD = $(PARTS_LIBS)
tests_fuzz_fuzz_lane_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_lane_LDADD = $(PARTS_LIBS) -lpthread
tests_fuzz_fuzz_message_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_message_LDADD = $(PARTS_LIBS)
tests_fuzz_fuzz_migrate_SOURCES = tests/fuzz/fuzz_migrate.c \
	tests/migrate_files.h
tests_fuzz_fuzz_migrate_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_migrate_LDADD = $(PARTS_LIBS)
tests_fuzz_fuzz_otlp_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_otlp_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_otlp_LDADD = $(PARTS_LIBS) $(JANSSON_LIBS)
tests_fuzz_fuzz_queue_SOURCES = tests/fuzz/fuzz_queue.c tests/fileloop.c \
	tests/fileloop.h
tests_fuzz_fuzz_queue_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests
tests_fuzz_fuzz_queue_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_queue_LDADD = $(PARTS_LIBS)
tests_fuzz_fuzz_recv_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_recv_LDADD = libsim.a $(PARTS_LIBS)
tests_fuzz_fuzz_walk_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_walk_LDADD = $(PARTS_LIBS)

# The nth call for memory, or to the loop, of a simulated process fails.
check_PROGRAMS += tests/test_nth
TESTS += tests/test_nth
tests_test_nth_SOURCES = tests/test_nth.c tests/nth.c tests/nth.h \
	tests/nth_shm.c tests/nth_town.c tests/nth_town.h
tests_test_nth_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) -I$(srcdir)/tests
tests_test_nth_LDADD = libsim.a $(TEST_LIBS)

check_PROGRAMS += tests/test_nth_verbs
TESTS += tests/test_nth_verbs
tests_test_nth_verbs_SOURCES = tests/test_nth_verbs.c tests/lane_kit.h
tests_test_nth_verbs_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) \
	$(JANSSON_CFLAGS) -DSRCDIR='"$(abs_top_srcdir)"'
tests_test_nth_verbs_LDADD = $(TEST_LIBS) $(JANSSON_LIBS)
tests_test_nth_verbs_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc \
	-Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=strndup \
	-Wl,--wrap=free \
	-Wl,--wrap=open_memstream

check_PROGRAMS += tests/test_nth_http
TESTS += tests/test_nth_http
tests_test_nth_http_SOURCES = tests/test_nth_http.c tests/nth.c tests/nth.h
tests_test_nth_http_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) -I$(srcdir)/tests
tests_test_nth_http_LDADD = libsim.a $(TEST_LIBS)
