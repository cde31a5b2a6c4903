# SPDX-License-Identifier: ISC
# config.mk - what src/config adds to the build

libparts_a_SOURCES += src/config/conf.c src/config/config.h \
	src/config/read.h src/config/keys.c src/config/keys.h \
	src/config/keys.def src/config/types.c src/config/types.h \
	src/config/expand.c src/config/expand.h src/config/reader.c \
	src/config/reader.h src/config/foreign.c src/config/foreign.h \
	src/config/foreign.def src/config/check.c src/config/secret.c \
	src/config/url.c src/config/url.h src/config/tell.c src/config/tell.h
libparts_a_CPPFLAGS += $(INIH_CFLAGS)

check_PROGRAMS += tests/test_config
TESTS += tests/test_config
tests_test_config_SOURCES = tests/test_config.c
tests_test_config_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_config_LDADD = $(TEST_LIBS)
tests_test_config_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc \
	-Wl,--wrap=calloc -Wl,--wrap=realloc
