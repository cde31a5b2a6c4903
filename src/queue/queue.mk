# SPDX-License-Identifier: ISC
# queue.mk - what src/queue adds to the build

libparts_a_SOURCES += \
	src/queue/anew.c \
	src/queue/feed.c src/queue/flow.c src/queue/priv.h \
	src/queue/frame.c src/queue/frame.h \
	src/queue/look.c src/queue/look.h \
	src/queue/ledger.c src/queue/ledger.h \
	src/queue/quarantine.c src/queue/quarantine.h \
	src/queue/commit.c src/queue/damage.c src/queue/put.c \
	src/queue/queue.c src/queue/queue.h \
	src/queue/ranges.c src/queue/ranges.h \
	src/queue/home.c src/queue/recover.c src/queue/recover.h \
	src/queue/version.c \
	src/queue/order.c src/queue/reader.c src/queue/replay.c \
	src/queue/scan.c src/queue/scan.h \
	src/queue/segment.c \
	src/queue/streams.c src/queue/streams.h \
	src/queue/take.c src/queue/window.c src/queue/window.h \
	src/queue/write.c

check_PROGRAMS += tests/test_frame tests/test_streams tests/test_queue \
	tests/test_queue_chaos tests/test_queue_flows
TESTS += tests/test_frame tests/test_streams tests/test_queue \
	tests/test_queue_chaos tests/test_queue_flows
EXTRA_DIST += tests/golden/queue-segment-v1.bin

tests_test_frame_SOURCES = tests/test_frame.c
tests_test_frame_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) \
	-DSRCDIR='"$(abs_top_srcdir)"'
tests_test_frame_LDADD = $(TEST_LIBS)

tests_test_streams_SOURCES = tests/test_streams.c
tests_test_streams_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_streams_LDADD = $(TEST_LIBS)

# A loop of its own, in place of that of libparts.a.
tests_test_queue_SOURCES = tests/test_queue.c tests/fileloop.c tests/fileloop.h
tests_test_queue_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_queue_LDADD = $(TEST_LIBS)

tests_test_queue_chaos_SOURCES = tests/test_queue_chaos.c \
	tests/fileloop.c tests/fileloop.h
tests_test_queue_chaos_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_queue_chaos_LDADD = $(TEST_LIBS)

tests_test_queue_flows_SOURCES = tests/test_queue_flows.c \
	tests/fileloop.c tests/fileloop.h
tests_test_queue_flows_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_queue_flows_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/queue_start
tests_queue_start_SOURCES = tests/queue_start.c
tests_queue_start_LDADD = $(PARTS_LIBS)

EXTRA_PROGRAMS += tests/bench/bench_queue
tests_bench_bench_queue_SOURCES = tests/bench/bench_queue.c
tests_bench_bench_queue_LDADD = $(PARTS_LIBS)
