# SPDX-License-Identifier: ISC
# export.mk - what src/export adds to the build

libparts_a_SOURCES += src/export/answer.c src/export/answer.h \
	src/export/circuit.c src/export/circuit.h \
	src/export/batch.c src/export/batch.h \
	src/export/file.c src/export/file.h \
	src/export/dead.c src/export/dead.h \
	src/export/letter.c src/export/letter.h \
	src/export/asked.c src/export/asked.h \
	src/export/fill.c src/export/send.c \
	src/export/target.c src/export/target.h \
	src/export/outcome.c src/export/inner.h \
	src/export/export.c src/export/export.h

libparts_a_SOURCES += src/http/probe.c src/http/probe.h

check_PROGRAMS += tests/test_export
TESTS += tests/test_export
tests_test_export_SOURCES = tests/test_export.c
tests_test_export_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_export_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_engine
TESTS += tests/test_engine
tests_test_engine_SOURCES = tests/test_engine.c tests/engine_rig.c \
	tests/engine_rig.h
tests_test_engine_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_engine_LDADD = libsim.a $(TEST_LIBS)

check_PROGRAMS += tests/test_letters
TESTS += tests/test_letters
tests_test_letters_SOURCES = tests/test_letters.c tests/engine_rig.c \
	tests/engine_rig.h
tests_test_letters_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_letters_LDADD = libsim.a $(TEST_LIBS)

check_PROGRAMS += tests/test_outage
TESTS += tests/test_outage
tests_test_outage_SOURCES = tests/test_outage.c tests/engine_rig.c \
	tests/engine_rig.h
tests_test_outage_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_outage_LDADD = libsim.a $(TEST_LIBS)

# A loop of its own, in place of that of libparts.a.
check_PROGRAMS += tests/test_efile
TESTS += tests/test_efile
tests_test_efile_SOURCES = tests/test_efile.c tests/fileloop.c tests/fileloop.h
tests_test_efile_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_efile_LDADD = $(TEST_LIBS)
