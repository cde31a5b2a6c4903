# SPDX-License-Identifier: ISC
# otlp.mk - what src/otlp adds to the build

libparts_a_SOURCES += src/otlp/answer.c src/otlp/environment.c \
	src/otlp/fields.c src/otlp/fields.def \
	src/otlp/fields.h src/otlp/json_lines.c src/otlp/jtext.c \
	src/otlp/jtext.h src/otlp/norm.c src/otlp/norm.h \
	src/otlp/norm_identity.c src/otlp/norm_level.c src/otlp/norm_place.c \
	src/otlp/norm_time.c src/otlp/norm_trace.c src/otlp/otlp.c \
	src/otlp/parts.c src/otlp/parts.h src/otlp/runs.c src/otlp/runs.h \
	src/otlp/otlp.h src/otlp/sift.h src/otlp/pb.c \
	src/otlp/pb.h src/otlp/pb_record.c src/otlp/text.c src/otlp/text.h \
	src/otlp/trim.c src/otlp/trim.h src/otlp/write.h
EXTRA_DIST += src/otlp/fields-index.awk

# The hash of the fields' names, made from the table.
BUILT_SOURCES += src/otlp/fields_index.h
CLEANFILES += src/otlp/fields_index.h
src/otlp/fields_index.h: src/otlp/fields-index.awk src/otlp/fields.def
	$(AM_V_GEN)$(MKDIR_P) src/otlp && \
	LC_ALL=C $(AWK) -f $(top_srcdir)/src/otlp/fields-index.awk \
	    $(top_srcdir)/src/otlp/fields.def > $@.tmp && mv $@.tmp $@
src/otlp/libparts_a-fields.$(OBJEXT): src/otlp/fields_index.h

check_PROGRAMS += tests/otlp_make
tests_otlp_make_SOURCES = tests/otlp_make.c tests/pack_json.c \
	tests/pack_json.h
tests_otlp_make_LDADD = $(TEST_LIBS)

EXTRA_PROGRAMS += tests/bench/bench_otlp
tests_bench_bench_otlp_SOURCES = tests/bench/bench_otlp.c
tests_bench_bench_otlp_LDADD = $(TEST_LIBS)

dist_man_MANS += man/emplog-fields.7
EXTRA_DIST += man/emplog-fields.awk
dist_check_SCRIPTS += tests/t0400-fields-man.sh
TESTS += tests/t0400-fields-man.sh

if HAVE_CHECK
check_PROGRAMS += tests/test_norm tests/test_otlp
TESTS += tests/test_norm tests/test_otlp
endif
tests_test_norm_SOURCES = tests/test_norm.c tests/pack_json.c
tests_test_norm_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_norm_LDADD = $(TEST_LIBS)
tests_test_otlp_SOURCES = tests/test_otlp.c tests/pack_json.c
tests_test_otlp_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_otlp_LDADD = $(TEST_LIBS)

dist_check_SCRIPTS += tests/t0405-otlp-golden.sh tests/t0410-otlp-decoder.sh
TESTS += tests/t0405-otlp-golden.sh tests/t0410-otlp-decoder.sh
EXTRA_DIST += tests/otlp-decode.js tests/golden/otlp

clean-local: clean-otlp-modules
.PHONY: clean-otlp-modules
clean-otlp-modules:
	rm -rf tests/otlp-modules
