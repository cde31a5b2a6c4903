# SPDX-License-Identifier: ISC
# http.mk - what src/http adds to the build

libparts_a_SOURCES += src/http/json.c src/http/json.h src/http/json_out.c \
	src/http/json_record.c src/http/json_record.h \
	src/http/scrub.c src/http/scrub.h src/http/decode.c src/http/decode.h \
	src/http/body.c src/http/body.h \
	src/http/ingest.c src/http/ingest.h src/http/ingest_inner.h \
	src/http/ingest_work.c src/http/tee.c src/http/tee.h src/http/mpin.c src/http/mpin.h \
	src/http/mp_scrub.c src/http/mp_scrub.h \
	src/http/form.c src/http/form.h src/http/gap.c src/http/gap.h \
	src/http/inpost.c src/http/inpost.h \
	src/http/door.c src/http/door.h \
	src/http/seen.c src/http/seen.h src/http/vec.h \
	src/loop/serve.c src/loop/serve_req.c src/loop/serve.h src/loop/serve_inner.h \
	src/loop/stay.c src/loop/stay.h src/loop/stay_head.c \
	src/loop/stay_head.h src/loop/post.c src/loop/post_in.h src/loop/post_say.c \
	src/loop/curl.c \
	src/loop/curl.h src/loop/curl_calls.def

check_PROGRAMS += tests/test_json
TESTS += tests/test_json
tests_test_json_SOURCES = tests/test_json.c
tests_test_json_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_json_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_stay
TESTS += tests/test_stay
tests_test_stay_SOURCES = tests/test_stay.c tests/http_rig.h
tests_test_stay_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_stay_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_serve
TESTS += tests/test_serve
tests_test_serve_SOURCES = tests/test_serve.c tests/http_rig.h
tests_test_serve_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_serve_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_post
TESTS += tests/test_post
tests_test_post_SOURCES = tests/test_post.c tests/http_rig.h
tests_test_post_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_post_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_ingest
TESTS += tests/test_ingest
tests_test_ingest_SOURCES = tests/test_ingest.c tests/ingest_rig.h \
	tests/http_rig.h
tests_test_ingest_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_ingest_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_ingest_flow
TESTS += tests/test_ingest_flow
tests_test_ingest_flow_SOURCES = tests/test_ingest_flow.c \
	tests/ingest_rig.h tests/http_rig.h
tests_test_ingest_flow_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_ingest_flow_LDADD = $(TEST_LIBS)

EXTRA_PROGRAMS += tests/bench/bench_http
tests_bench_bench_http_SOURCES = tests/bench/bench_http.c
tests_bench_bench_http_LDADD = $(PARTS_LIBS)
