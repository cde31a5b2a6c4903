# SPDX-License-Identifier: ISC
# bench.mk - make bench: every speed claim, measured; see tests/bench/README

BENCHES = tests/bench/bench_call tests/bench/bench_lanes \
	tests/bench/bench_latency tests/bench/bench_load \
	tests/bench/bench_peer
noinst_HEADERS += tests/bench/bench_series.h tests/bench/bench_lttng.h
tests_bench_bench_call_SOURCES = tests/bench/bench_call.c
tests_bench_bench_call_LDADD = libemplog.la
tests_bench_bench_call_LDFLAGS = $(AM_LDFLAGS) -no-install
tests_bench_bench_lanes_SOURCES = tests/bench/bench_lanes.c
tests_bench_bench_lanes_LDADD = libemplog_parts.a -lpthread
tests_bench_bench_latency_SOURCES = tests/bench/bench_latency.c
tests_bench_bench_latency_LDADD = libemplog.la
tests_bench_bench_latency_LDFLAGS = $(AM_LDFLAGS) -no-install
tests_bench_bench_load_SOURCES = tests/bench/bench_load.c
tests_bench_bench_load_LDADD = $(PARTS_LIBS)
tests_bench_bench_peer_SOURCES = tests/bench/bench_peer.c
tests_bench_bench_peer_LDADD = $(PARTS_LIBS)
if HAVE_LTTNG
BENCHES += tests/bench/bench_lttng
tests_bench_bench_lttng_SOURCES = tests/bench/bench_lttng.c
# The macros of LTTng-UST are not written for our warnings.
tests_bench_bench_lttng_CPPFLAGS = $(AM_CPPFLAGS) \
	-I$(top_srcdir)/tests/bench $(LTTNG_CFLAGS)
tests_bench_bench_lttng_CFLAGS = $(AM_CFLAGS) -Wno-error -w
tests_bench_bench_lttng_LDADD = $(LTTNG_LIBS)
endif
EXTRA_PROGRAMS += $(BENCHES)
EXTRA_DIST += tests/bench/README tests/bench/bench.py

# BENCH names rows, e.g. make bench BENCH='call http'; without: all of them.
bench: emplogd$(EXEEXT) $(BENCHES) tests/bench/bench_otlp \
    tests/bench/bench_http tests/bench/bench_queue
	BUILD_DIR=$(abs_builddir) /usr/bin/python3 \
	    $(srcdir)/tests/bench/bench.py $(BENCH)
.PHONY: bench
