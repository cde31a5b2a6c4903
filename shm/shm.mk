# SPDX-License-Identifier: ISC
# shm.mk - what shm/ adds to the build: libemplog (shared and static), and
# libemplog_parts.a, the same objects and the reader, for emplogd and tests

EMPLOG_SOURCES = shm/console.c shm/emplog.c shm/encode.c shm/encode.h \
	shm/ident.c shm/ident.h shm/job.c shm/jobs.c shm/jobs.h shm/lane.h \
	shm/loan.c shm/loan.h shm/log.c shm/log.h shm/pool.c shm/pool.h \
	shm/pool_lane.c shm/pool_lane.h shm/ring.c shm/ring.h \
	shm/sys.h shm/sys_os.c shm/text.c shm/text.h shm/writer.c shm/writer.h

noinst_LIBRARIES += libemplog_parts.a
libemplog_parts_a_SOURCES = $(EMPLOG_SOURCES) shm/reader.h
include_HEADERS += shm/emplog.h

# Never unloaded: threads that used it run its code when they end.
lib_LTLIBRARIES += libemplog.la
libemplog_la_SOURCES = $(EMPLOG_SOURCES)
# Flags of its own, so that its objects have names of their own.
libemplog_la_CFLAGS = $(AM_CFLAGS)
libemplog_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined \
	-Wl,-z,nodelete -Wl,--version-script=$(top_srcdir)/shm/emplog.map
libemplog_la_LIBADD = -lpthread
libemplog_la_DEPENDENCIES = shm/emplog.map
EXTRA_DIST += shm/emplog.map

pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = shm/emplog.pc

# The producer's side needs nothing but itself: no part of src/.
SHM_TEST_LIBS = libemplog_parts.a $(MSGPACK_STATIC) $(CHECK_LIBS) -lpthread

check_PROGRAMS += tests/test_writer
TESTS += tests/test_writer
tests_test_writer_SOURCES = tests/test_writer.c tests/shm_kit.h
tests_test_writer_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_writer_LDADD = $(SHM_TEST_LIBS)

check_PROGRAMS += tests/test_loan
TESTS += tests/test_loan
tests_test_loan_SOURCES = tests/test_loan.c tests/shm_kit.h
tests_test_loan_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_loan_LDADD = $(SHM_TEST_LIBS)

EXTRA_PROGRAMS += tests/bench/bench_log
tests_bench_bench_log_SOURCES = tests/bench/bench_log.c
tests_bench_bench_log_LDADD = libemplog_parts.a -lpthread

check_PROGRAMS += tests/test_encode
TESTS += tests/test_encode
tests_test_encode_SOURCES = tests/test_encode.c
tests_test_encode_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(MSGPACK_CFLAGS)
tests_test_encode_LDADD = $(SHM_TEST_LIBS)

check_PROGRAMS += tests/test_emplog
TESTS += tests/test_emplog
tests_test_emplog_SOURCES = tests/test_emplog.c tests/shm_kit.h
tests_test_emplog_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(MSGPACK_CFLAGS)
tests_test_emplog_LDADD = $(SHM_TEST_LIBS)

check_PROGRAMS += tests/test_unharmed
TESTS += tests/test_unharmed
tests_test_unharmed_SOURCES = tests/test_unharmed.c tests/shm_kit.h
tests_test_unharmed_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_unharmed_LDADD = $(SHM_TEST_LIBS)

# Another libc builds and runs what the script says.
dist_check_SCRIPTS += tests/t0100-shm-musl.sh
TESTS += tests/t0100-shm-musl.sh
EXTRA_DIST += tests/lone/check.h tests/musl/malloc.h

# So does another machine, where its compiler and qemu are.
dist_check_SCRIPTS += tests/t0110-shm-arm64.sh
TESTS += tests/t0110-shm-arm64.sh
EXTRA_DIST += tests/shm_round.c

dist_man_MANS += man/emplog.3 man/emplog-ring.7
